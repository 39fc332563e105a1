#include "ingest/formats/format.h"

#include <simdjson.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/embedded_file.h"
#include "base/str.h"
#include "ingest/formats/records.h"

namespace stillwatch::ingest {

extern const base::EmbeddedFile kFormatFiles[];

namespace {

using base::StrAppend;
using base::StrCat;
namespace dom = simdjson::dom;

std::vector<std::string> Words(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::vector<std::string> out;
  for (std::string w; in >> w;) out.push_back(w);
  return out;
}

// "{include NAME}" becomes the text of that built-in file.
absl::Status Include(std::string* sql) {
  constexpr std::string_view kInclude = "{include ";
  for (size_t at = 0, end; (at = sql->find(kInclude)) != sql->npos;) {
    end = std::min(sql->find('}', at), sql->size() - 1);
    const std::string name = sql->substr(at + kInclude.size(), end - at - kInclude.size());
    const base::EmbeddedFile* f = kFormatFiles;
    while (!f->name.empty() && f->name != name) ++f;
    if (f->name.empty() || f->text.find(kInclude) != f->text.npos) {
      return absl::InvalidArgumentError(StrCat("there is no file ", name, " to include"));
    }
    sql->replace(at, end + 1 - at, f->text);
  }
  return absl::OkStatus();
}

absl::StatusOr<Format> ParseFormat(std::string_view name, std::string_view text) {
  Format f;
  f.name = name;
  f.sql = text;
  while (!text.empty()) {
    const size_t eol = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, eol);
    text.remove_prefix(std::min(text.size(), eol + 1));
    const auto value = [&](std::string_view key) -> std::string_view {
      return line.substr(0, key.size()) == key ? line.substr(key.size()) : std::string_view();
    };
    if (const auto v = value("-- describes: "); !v.empty()) f.describes = v;
    if (const auto v = value("-- recognise: "); !v.empty()) f.recognise = Words(v);
    if (const auto v = value("-- values: "); !v.empty()) f.strict = v == "strict";
    if (const auto v = value("-- reads: "); !v.empty()) f.lines = v.rfind("JSON lines", 0) == 0;
  }
  if (absl::Status s = Include(&f.sql); !s.ok()) {
    return absl::InvalidArgumentError(
        StrCat("format ", name, ": ", std::string(s.message().data(), s.message().size())));
  }
  while (!f.sql.empty() &&
         (std::isspace(static_cast<unsigned char>(f.sql.back())) || f.sql.back() == ';'))
    f.sql.pop_back();
  if (f.sql.find("{source}") == std::string::npos) {
    return absl::InvalidArgumentError(
        StrCat("format ", name, ": the SELECT does not read from {source}"));
  }
  return f;
}

// Keys of an object that may be cut short anywhere, those of inner objects dotted.
void KeysOfCut(std::string_view s, std::vector<std::string>* keys) {
  std::vector<std::string> path;  // the key that each open bracket stands under
  std::string key;
  bool awaits_key = false;
  for (size_t i = 0; i < s.size(); ++i) {
    const char c = s[i];
    if (c == '"') {
      const size_t begin = ++i;
      for (; i < s.size() && s[i] != '"'; ++i) i += s[i] == '\\';
      if (i >= s.size()) return;
      if (!awaits_key) continue;
      size_t colon = i + 1;
      while (colon < s.size() &&
             (s[colon] == ' ' || s[colon] == '\n' || s[colon] == '\t' || s[colon] == '\r'))
        ++colon;
      if (colon >= s.size() || s[colon] != ':') continue;
      key = (path.empty() || path.back().empty() ? "" : path.back() + ".") +
            std::string(s.substr(begin, i - begin));
      keys->push_back(key);
      awaits_key = false;
    } else if (c == '{' || c == '[') {
      // Keys inside of arrays are no keys of the record; "[" marks them.
      path.push_back(path.empty() && c == '{'                            ? ""
                     : c == '[' || (!path.empty() && path.back() == "[") ? "["
                                                                         : key);
      awaits_key = c == '{' && path.back() != "[";
    } else if (c == '}' || c == ']') {
      if (path.empty()) return;
      path.pop_back();
      if (path.empty()) return;
      awaits_key = false;
    } else if (c == ',') {
      awaits_key = !path.empty() && path.back() != "[";
    }
  }
}

}  // namespace

const std::vector<Format>& BuiltInFormats() {
  static const std::vector<Format>* formats = [] {
    auto* out = new std::vector<Format>;
    for (const base::EmbeddedFile* f = kFormatFiles; !f->name.empty(); ++f) {
      if (!f->name.ends_with(".sql")) continue;
      auto format = ParseFormat(f->name.substr(0, f->name.rfind('.')), f->text);
      if (format.ok()) out->push_back(*std::move(format));
    }
    return out;
  }();
  return *formats;
}

std::string FormatNames() {
  std::string names = "auto, canonical";
  for (const Format& f : BuiltInFormats()) {
    if (f.name != kCanonicalTable) StrAppend(&names, ", ", f.name);
  }
  return names;
}

absl::StatusOr<Format> FindFormat(const std::string& name) {
  if (name.ends_with(".sql")) {
    std::ifstream in(name);
    if (!in) return absl::InvalidArgumentError(StrCat(name, ": cannot be read"));
    std::ostringstream text;
    text << in.rdbuf();
    return ParseFormat(name, text.str());
  }
  for (const Format& f : BuiltInFormats()) {
    if (f.name == name) return f;
  }
  return absl::NotFoundError(StrCat("--format: ", name, " is unknown; this version reads ",
                                    FormatNames(), ", or a FILE.sql"));
}

Glance GlanceAtJson(std::string_view head) {
  Glance g;
  dom::parser parser;
  dom::element e;
  // The first record that parses, a broken first line does not decide; else what a cut one shows.
  std::string_view rest = head, cut;
  if (IsDocument(head)) cut = head;
  for (int tries = 0; cut.empty() && tries < 64 && !rest.empty(); ++tries) {
    const size_t eol = rest.find('\n');
    const std::string_view line = rest.substr(0, eol);
    if (parser.parse(line.data(), line.size()).get(e) == simdjson::SUCCESS &&
        (e.is_object() || e.is_array()))
      cut = line;
    if (eol == rest.npos) cut = line;
    rest.remove_prefix(eol == rest.npos ? rest.size() : eol + 1);
  }
  const size_t open = cut.find('{');
  g.text = open != cut.npos;
  if (g.text) KeysOfCut(cut.substr(open), &g.keys);
  return g;
}

absl::StatusOr<Detected> DetectFormat(std::string_view log, const Glance& glance) {
  if (!glance.text) return Detected{"canonical", ""};  // its reader says what is wrong
  const auto has = [&](std::string_view key) {
    return std::find(glance.keys.begin(), glance.keys.end(), key) != glance.keys.end();
  };
  const char* where = glance.table ? "the columns include " : "the first record carries ";
  if (!glance.table && (has("exchange_id") || (has("ts") && has("account_id")))) {
    return Detected{"canonical", StrCat("canonical: ", where, "exchange_id, ts, account_id")};
  }
  std::vector<const Format*> fits;
  for (const Format& f : BuiltInFormats()) {
    if (f.lines != !glance.table || f.recognise.empty()) continue;
    if (std::all_of(f.recognise.begin(), f.recognise.end(), has)) fits.push_back(&f);
  }
  if (fits.size() == 1) {
    std::string keys;
    for (const std::string& k : fits[0]->recognise) StrAppend(&keys, keys.empty() ? "" : ", ", k);
    const std::string& name = fits[0]->name;
    return Detected{name, StrCat(name == kCanonicalTable ? "canonical" : name, ": ", where, keys)};
  }
  if (fits.size() > 1) {
    std::string names;
    for (const Format* f : fits) StrAppend(&names, names.empty() ? "" : ", ", f->name);
    return absl::InvalidArgumentError(
        StrCat(log, ": could be ", names, "; name one with --format"));
  }
  if (has("account_id") && !has("ts") &&
      (has("created_at") || has("org_verified") || has("payment_id") || has("email_domain"))) {
    return absl::InvalidArgumentError(
        StrCat(log, ": holds accounts, not exchanges: give it with --accounts, beside the log"));
  }
  std::string seen;
  int n = 0;
  for (const std::string& key : glance.keys) {
    if (!glance.table && key.find('.') != key.npos) continue;
    if (++n > 8) break;
    StrAppend(&seen, n > 1 ? ", " : "", key.substr(0, 64));
  }
  return absl::InvalidArgumentError(
      StrCat(log, ": no known format: found ",
             glance.table ? "a table with the columns " : "a record with the keys ",
             seen.empty() ? "(none)" : seen,
             "; name the format with --format NAME or map it with your own FILE.sql"));
}

}  // namespace stillwatch::ingest
