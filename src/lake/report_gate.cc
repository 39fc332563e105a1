#include "lake/report_gate.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "absl/status/statusor.h"
#include "base/str.h"

namespace stillwatch::lake {
namespace {

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string_view SkipBlanksAndComments(std::string_view sql) {
  for (;;) {
    sql.remove_prefix(std::min(sql.find_first_not_of(" \t\r\n\f\v"), sql.size()));
    if (sql.substr(0, 2) == "--") {
      sql.remove_prefix(std::min(sql.find('\n'), sql.size()));
    } else if (sql.substr(0, 2) == "/*") {
      const size_t end = sql.find("*/", 2);
      sql.remove_prefix(end == std::string_view::npos ? sql.size() : end + 2);
    } else {
      return sql;
    }
  }
}

// Table functions that make rows from nothing or from the lake's own tables.
const std::set<std::string>& Harmless() {
  static const std::set<std::string> names = {
      "numbers", "numbers_mt", "zeros", "zeros_mt", "primes", "generateseries", "generate_series", "generaterandom",
      "values", "sqlstandardvalues", "null", "merge", "view", "viewifpermitted", "format", "mergetreeindex"};
  return names;
}

// Scalar functions that read files or call services.
bool ScalarReachesOut(std::string_view name) {
  return name == "file" || name == "catboostevaluate" || name == "aiclassify" || name == "aigenerate" ||
         name == "aiembed" || name == "aiextract" || name == "aitranslate";
}

}  // namespace

absl::Status CheckReportStart(std::string_view sql) {
  const std::string_view start = SkipBlanksAndComments(sql);
  size_t n = 0;
  while (n < start.size() && std::isalpha(static_cast<unsigned char>(start[n]))) ++n;
  const std::string word = Lower(start.substr(0, n));
  if (start.substr(0, 1) == "(" || word == "select" || word == "with" || word == "show" || word == "describe" ||
      word == "desc" || word == "explain") {
    return absl::OkStatus();
  }
  if (start.empty()) return absl::InvalidArgumentError("query: empty statement");
  return absl::InvalidArgumentError(
      "query: the lake is read-only here: one SELECT, WITH, SHOW, DESCRIBE or EXPLAIN");
}

absl::Status CheckReportTree(std::string_view tree, const std::set<std::string>& table_functions) {
  static constexpr std::string_view kFunction = "Function ";
  // A name that holds a line break can only add lines, so it cannot hide a function.
  while (!tree.empty()) {
    const size_t eol = std::min(tree.find('\n'), tree.size());
    std::string_view line = tree.substr(0, eol);
    tree.remove_prefix(std::min(tree.size(), eol + 1));
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (line.substr(0, kFunction.size()) != kFunction) continue;
    line.remove_prefix(kFunction.size());
    const std::string_view name = line.substr(0, line.find(' '));
    const std::string lower = Lower(name);
    if (ScalarReachesOut(lower) || (table_functions.contains(lower) && !Harmless().contains(lower))) {
      return absl::InvalidArgumentError(
          base::StrCat("query: ", name.substr(0, 100), "() reaches outside the lake and is refused"));
    }
  }
  return absl::OkStatus();
}

namespace {

struct Word {
  enum Kind : uint8_t { kName, kQuoted, kOther } kind;
  std::string text;  // lower case of a name
};

bool NameByte(unsigned char c) { return std::isalnum(c) || c == '_'; }

// The words outside of strings and comments; strings themselves are dropped. An error names what
// engines may read differently.
absl::StatusOr<std::vector<Word>> WordsOf(std::string_view sql) {
  std::vector<Word> out;
  for (size_t at = 0; at < sql.size();) {
    const unsigned char c = static_cast<unsigned char>(sql[at]);
    const std::string_view rest = sql.substr(at);
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      ++at;
    } else if (rest.substr(0, 2) == "--") {
      at = std::min(sql.find('\n', at), sql.size());
    } else if (rest.substr(0, 2) == "/*") {
      const size_t end = sql.find("*/", at + 2);
      if (end == std::string_view::npos)
        return absl::InvalidArgumentError("query: a comment has no end");
      if (sql.substr(at + 2, end - at - 2).find("/*") != std::string_view::npos)
        return absl::InvalidArgumentError("query: a comment within a comment");
      at = end + 2;
    } else if (c == '\'' || c == '"' || c == '`') {
      std::string text;
      size_t i = at + 1;
      for (;; ++i) {
        if (i >= sql.size()) return absl::InvalidArgumentError("query: a quote has no end");
        if (sql[i] == '\\') {
          if (c != '\'') return absl::InvalidArgumentError("query: a backslash in a quoted name");
          ++i;
          continue;
        }
        if (sql[i] == static_cast<char>(c)) {
          if (i + 1 >= sql.size() || sql[i + 1] != static_cast<char>(c)) break;
          ++i;
        }
        text.push_back(sql[i]);
      }
      if (c != '\'')
        out.push_back({Word::kQuoted, Lower(text)});
      else
        out.push_back({Word::kOther, "'"});
      at = i + 1;
    } else if (NameByte(c)) {
      size_t end = at;
      while (end < sql.size() && NameByte(static_cast<unsigned char>(sql[end]))) ++end;
      out.push_back({Word::kName, Lower(sql.substr(at, end - at))});
      at = end;
    } else if (c > 0x7f || c < 0x20 || c == '$' || c == '#' || c == '\\' || c == '{' || c == '}') {
      return absl::InvalidArgumentError(
          base::StrCat("query: character ", at + 1, " is none of SQL's outside of quotes"));
    } else {
      out.push_back({Word::kOther, std::string(1, static_cast<char>(c))});
      ++at;
    }
  }
  return out;
}

// Table functions of the engines we know, and functions that read more than their arguments.
bool Refused(const std::string& name) {
  static const std::set<std::string> names = {"merge",
                                              "mergetreeindex",
                                              "mergetreeprojection",
                                              "mergetreeanalyzeindexes",
                                              "loop",
                                              "file",
                                              "url",
                                              "s3",
                                              "gcs",
                                              "oss",
                                              "cosn",
                                              "hdfs",
                                              "remote",
                                              "remotesecure",
                                              "cluster",
                                              "clusterallreplicas",
                                              "executable",
                                              "input",
                                              "infile",
                                              "jdbc",
                                              "odbc",
                                              "mysql",
                                              "postgresql",
                                              "mongodb",
                                              "redis",
                                              "sqlite",
                                              "iceberg",
                                              "hudi",
                                              "deltalake",
                                              "paimon",
                                              "azureblobstorage",
                                              "dictionary",
                                              "catalog",
                                              "catboostpool",
                                              "catboostevaluate",
                                              "modelevaluate",
                                              "filesystem",
                                              "viewexplain",
                                              "fuzzquery",
                                              "fuzzjson",
                                              "timeseriesdata",
                                              "timeseriesmetrics",
                                              "timeseriestags",
                                              "timeseriesselector",
                                              "prometheusquery",
                                              "prometheusqueryrange",
                                              "arrowflight",
                                              "python",
                                              "ytsaurus",
                                              "joinget",
                                              "joingetornull",
                                              "getmacro",
                                              "getsetting",
                                              "getserversetting",
                                              "getmergetreesetting",
                                              "getserverport",
                                              "getoskernelversion",
                                              "gethostnamefromaddress",
                                              "displayname",
                                              "hostname",
                                              "fqdn",
                                              "fullhostname",
                                              "servertimezone",
                                              "serveruuid",
                                              "sleep",
                                              "sleepeachrow",
                                              "filterallblocks",
                                              "throwif",
                                              "currentuser",
                                              "user",
                                              "currentroles",
                                              "enabledroles",
                                              "currentprofiles",
                                              "enabledprofiles",
                                              "defaultprofiles",
                                              "addresstoline",
                                              "addresstosymbol",
                                              "addresstolinewithinlines",
                                              "demangle",
                                              "reversedns",
                                              "reversednsquery",
                                              "showcertificate",
                                              "structuretoprotobufschema",
                                              "evalmlmethod",
                                              "queryid",
                                              "initialqueryid",
                                              "connectionid",
                                              "tcpport",
                                              "uptime",
                                              "buildid",
                                              "version",
                                              "hasthreadfuzzer",
                                              "zookeepersessionuptime",
                                              "getclienthttpheader"};
  return names.contains(name) || name.starts_with("dictget") || name.starts_with("dicthas") ||
         name.starts_with("dictis") || name.starts_with("ai") || name.starts_with("iceberg") ||
         name.starts_with("deltalake") || name.starts_with("s3") || name.starts_with("azure") ||
         name.starts_with("hdfs") || name.starts_with("url") || name.starts_with("hudi") ||
         name.starts_with("paimon") || name.starts_with("remote") || name.starts_with("catboost") ||
         (name.ends_with("cluster") && name != "cluster") || name.starts_with("filelog");
}

}  // namespace

absl::Status CheckHunt(std::string_view sql) {
  auto words = WordsOf(sql);
  if (!words.ok()) return words.status();
  while (!words->empty() && words->back().text == ";") words->pop_back();
  size_t first = 0;
  while (first < words->size() && (*words)[first].text == "(") ++first;
  const std::string start = first < words->size() ? (*words)[first].text : "";
  if (start.empty()) return absl::InvalidArgumentError("query: it is empty");
  if ((*words)[first].kind != Word::kName || (start != "select" && start != "with"))
    return absl::InvalidArgumentError(
        "query: the lake is read-only here: one SELECT, or WITH ... SELECT");
  std::vector<bool> in_from = {false};  // by depth of parentheses: where a comma brings a table
  for (size_t i = 0; i < words->size(); ++i) {
    const Word& w = (*words)[i];
    const auto at = [&](size_t k) -> std::string_view {
      return k < words->size() ? std::string_view((*words)[k].text) : "";
    };
    bool table_next = false;
    if (w.kind == Word::kOther) {
      if (w.text == "(") in_from.push_back(false);
      if (w.text == ")" && in_from.size() > 1) in_from.pop_back();
      table_next = w.text == "," && in_from.back();
    } else if (w.kind == Word::kName && (i == 0 || at(i - 1) != ".")) {
      static const std::set<std::string> ends = {
          "where",  "prewhere", "group",  "order", "having", "limit",  "union",    "select",
          "window", "qualify",  "offset", "fetch", "with",   "except", "intersect"};
      const bool array = w.text == "join" && i > 0 && at(i - 1) == "array";
      if (w.text == "from" || (w.text == "join" && !array)) in_from.back() = table_next = true;
      if (w.text == "in") table_next = true;
      if (array || ends.contains(w.text)) in_from.back() = false;
    }
    if (table_next && i + 1 < words->size() && (*words)[i + 1].kind != Word::kOther &&
        at(i + 2) == ".")
      return absl::InvalidArgumentError(
          "query: only the lake's own tables can be read here: write their names without a "
          "database");
    const std::string next = i + 1 < words->size() ? (*words)[i + 1].text : "";
    const bool after_dot = i > 0 && (*words)[i - 1].text == ".";
    if (w.text == ";" && w.kind == Word::kOther)
      return absl::InvalidArgumentError("query: one statement at a time");
    if (w.kind == Word::kOther) continue;
    if (w.kind == Word::kName && !after_dot) {
      if (w.text == "outfile" || w.text == "settings" || w.text == "infile" ||
          (w.text == "into" && next != ".") || (w.text == "format" && next != "(")) {
        std::string shown = w.text;
        std::transform(shown.begin(), shown.end(), shown.begin(),
                       [](unsigned char c) { return std::toupper(c); });
        return absl::InvalidArgumentError(
            base::StrCat("query: ", shown,
                         " has no place here: answers are shown as a table, within "
                         "bounds that are not the query's to change"));
      }
    }
    if (w.text == "system" || w.text == "information_schema" || w.text.starts_with("system.") ||
        w.text.starts_with("information_schema."))
      return absl::InvalidArgumentError(
          "query: only the lake's own tables can be read here; the engine's are not among them");
    if (next == "(" && !after_dot && Refused(w.text))
      return absl::InvalidArgumentError(base::StrCat("query: ", w.text.substr(0, 100),
                                                     "() reaches outside the lake and is refused"));
  }
  return absl::OkStatus();
}

}  // namespace stillwatch::lake
