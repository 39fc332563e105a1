#include "lake/report_gate.h"

#include <algorithm>
#include <cctype>

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

}  // namespace stillwatch::lake
