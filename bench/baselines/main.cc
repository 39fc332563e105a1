// baselines METHOD --log exchanges.jsonl --accounts accounts.jsonl --out DIR [NAME=VALUE]...
//
// Runs one of the methods that Stillwatch is compared with and writes what a scan would write, so
// that `stillwatch evaluate` scores both. METHOD: threshold, components, synchrotrap, fraudar or
// clickhouse. Exit status 2: usage or unreadable input.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <unordered_map>

#include "base/str.h"
#include "lake/embedded/embedded_lake.h"
#include "log.h"

namespace stillwatch::baselines {
namespace {

using base::StrCat;
namespace fs = std::filesystem;

struct Method {
  Parameters defaults;
  std::function<std::vector<Group>(const Log&, const Parameters&)>
      run;  // none: near_duplicates.sql
};

const std::map<std::string, Method>& Methods() {
  static const std::map<std::string, Method> methods = {
      {"threshold", {{{"per_day", 200}}, Threshold}},
      {"components",
       {{{"address", 1},
         {"mail", 0},
         {"client", 0},
         {"value_accounts_max", 1e9},
         {"accounts_min", 5}},
        Components}},
      {"synchrotrap",
       {{{"window_minutes", 60},
         {"days", 7},
         {"similarity", .5},
         {"matches_min", 3},
         {"accounts_min", 10},
         {"object_accounts_max", 2000}},
        SynchroTrap}},
      {"fraudar", {{{"blocks", 1}, {"share", 0}, {"text", 1}, {"accounts_min", 5}}, Fraudar}},
      {"clickhouse",
       {{{"words", 3},
         {"accounts_min", 10},
         {"exchanges_min", 100},
         {"per_account_min", 1},
         {"shared", .8}},
        nullptr}}};
  return methods;
}

std::string Number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", v);
  return text;
}

// The statement with its words in braces filled in.
std::string Fill(std::string sql, const std::map<std::string, std::string>& words) {
  for (const auto& [name, value] : words) {
    const std::string from = StrCat("{", name, "}");
    for (size_t at = 0; (at = sql.find(from, at)) != std::string::npos; at += value.size())
      sql.replace(at, from.size(), value);
  }
  return sql;
}

absl::Status ClickHouse(const Log& log, const std::string& exchanges, const std::string& accounts,
                        const Parameters& p, const std::string& out) {
  std::ifstream in(BASELINES_SQL, std::ios::binary);
  std::stringstream sql;
  sql << in.rdbuf();
  if (sql.str().empty()) return absl::InternalError(StrCat(BASELINES_SQL, ": cannot be read"));
  std::map<std::string, std::string> words{
      {"exchanges", lake::SqlString(fs::absolute(exchanges).string())},
      {"accounts", lake::SqlString(fs::absolute(accounts).string())}};
  for (const auto& [name, value] : p) words[name] = Number(value);
  const std::string state = out + "/engine";
  std::vector<Named> named;
  std::vector<Group> groups;
  {
    auto lake =
        lake::OpenEmbedded({.path = state, .threads = 2, .memory_max_bytes = uint64_t{6} << 30});
    if (!lake.ok()) return lake.status();
    std::unordered_map<std::string, uint32_t> account, group;
    for (uint32_t a = 0; a < log.accounts.size(); ++a) account[log.accounts[a].id] = a;
    const absl::Status s = (*lake)->Query(
        Fill(sql.str(), words) +
            " SETTINGS input_format_json_read_arrays_as_strings = 1, "
            "input_format_json_read_objects_as_strings = 1, input_format_skip_unknown_fields = 1, "
            "input_format_null_as_default = 1",
        [&](const lake::Block& b) {
          for (size_t i = 0; i < b.rows(); ++i) {
            const std::string exchange(b.columns[0].As<lake::StringColumn>()[i]);
            const std::string sender(b.columns[1].As<lake::StringColumn>()[i]);
            const auto [it, fresh] =
                group.emplace(std::string(b.columns[2].As<lake::StringColumn>()[i]),
                              static_cast<uint32_t>(groups.size()));
            if (fresh) groups.emplace_back();
            groups[it->second].push_back(account.at(sender));
            named.push_back({exchange, sender, it->second});
          }
          return absl::OkStatus();
        });
    if (!s.ok()) return s;
  }
  std::error_code error;
  fs::remove_all(state, error);
  return WriteFindings(log, exchanges, groups, &named, out);
}

int Main(int argc, char** argv) {
  const auto usage = [](const std::string& what) {
    std::cerr << "baselines: " << what
              << "\nusage: baselines METHOD --log FILE --accounts FILE --out DIR [NAME=VALUE]...\n";
    for (const auto& [name, m] : Methods()) {
      std::cerr << "  " << name;
      for (const auto& [parameter, value] : m.defaults)
        std::cerr << " " << parameter << "=" << Number(value);
      std::cerr << "\n";
    }
    return 2;
  };
  if (argc < 2) return usage("name a method");
  const auto method = Methods().find(argv[1]);
  if (method == Methods().end()) return usage(StrCat("no method ", argv[1]));
  Parameters p = method->second.defaults;
  std::map<std::string, std::string> files{{"--log", ""}, {"--accounts", ""}, {"--out", ""}};
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i];
    if (files.contains(word)) {
      if (++i == argc) return usage(StrCat(word, " needs a value"));
      files[word] = argv[i];
      continue;
    }
    const size_t at = word.find('=');
    char* end = nullptr;
    const double value = at == std::string::npos ? 0 : std::strtod(word.c_str() + at + 1, &end);
    if (end == nullptr || *end != 0 || at + 1 == word.size() || !p.contains(word.substr(0, at)))
      return usage(StrCat(argv[1], " has no parameter ", word));
    p[word.substr(0, at)] = value;
  }
  for (const auto& [name, value] : files) {
    if (value.empty()) return usage(StrCat(name, " is missing"));
  }
  const std::string& out = files["--out"];
  std::error_code error;
  fs::create_directories(out, error);
  auto log = ReadLog(files["--log"], files["--accounts"]);
  absl::Status s = log.status();
  if (s.ok()) {
    s = method->second.run
            ? WriteFindings(*log, files["--log"], method->second.run(*log, p), nullptr, out)
            : ClickHouse(*log, files["--log"], files["--accounts"], p, out);
  }
  if (s.ok()) return 0;
  std::cerr << "baselines: " << s.message() << "\n";
  return absl::IsInvalidArgument(s) ? 2 : 1;
}

}  // namespace
}  // namespace stillwatch::baselines

int main(int argc, char** argv) { return stillwatch::baselines::Main(argc, argv); }
