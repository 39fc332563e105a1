#include "lake/migrate.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <string>

#include "base/str.h"

namespace stillwatch::lake {
namespace {

using base::StrCat;

absl::StatusOr<uint32_t> VersionOf(const base::EmbeddedFile& file) {
  uint32_t version = 0;
  const char* end = file.name.data() + file.name.size();
  const auto [at, error] = std::from_chars(file.name.data(), end, version);
  if (error != std::errc() || at == end || *at != '_' || version == 0) {
    return absl::InternalError(StrCat("lake: schema file ", file.name, " is not named NNN_what.sql"));
  }
  return version;
}

// Whether a piece holds more than blanks and comments.
bool HasStatement(std::string_view text) {
  while (!text.empty()) {
    const size_t eol = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, eol);
    line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
    if (!line.empty() && line.substr(0, 2) != "--") return true;
    text.remove_prefix(std::min(text.size(), eol + 1));
  }
  return false;
}

absl::Status Apply(Lake& lake, const base::EmbeddedFile& file) {
  std::string statement;
  const auto run = [&]() -> absl::Status {
    absl::Status status;
    if (HasStatement(statement)) status = lake.Execute(statement);
    statement.clear();
    return status;
  };
  std::string_view rest = file.text;
  while (!rest.empty()) {
    const size_t eol = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, eol);
    if (line == ";") {
      if (absl::Status s = run(); !s.ok()) return s;
    } else {
      base::StrAppend(&statement, line, "\n");
    }
    rest.remove_prefix(std::min(rest.size(), eol + 1));
  }
  return run();
}

}  // namespace

absl::Status MigrateSchema(Lake& lake, std::string_view where, const base::EmbeddedFile* files) {
  uint32_t newest = 0;
  for (const base::EmbeddedFile* f = files; !f->name.empty(); ++f) {
    auto version = VersionOf(*f);
    if (!version.ok()) return version.status();
    if (*version <= newest) return absl::InternalError(StrCat("lake: schema file ", f->name, " is out of order"));
    newest = *version;
  }

  std::set<std::string> tables, version_columns;
  absl::Status status = lake.Query(
      "SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name", [&](const Block& b) {
        for (size_t i = 0; i < b.rows(); ++i) tables.emplace(b.columns[0].As<StringColumn>()[i]);
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  uint32_t have = 0;
  const bool marked = tables.contains("schema_version");
  if (marked) {
    status = lake.Query(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'schema_version'",
        [&](const Block& b) {
          for (size_t i = 0; i < b.rows(); ++i) {
            version_columns.insert(StrCat(b.columns[0].As<StringColumn>()[i], " ", b.columns[1].As<StringColumn>()[i]));
          }
          return absl::OkStatus();
        });
    if (!status.ok()) return status;
    version_columns.erase("insert_id UInt64");  // of every table on a server (lake/cluster)
  }
  if ((!marked && !tables.empty()) ||
      (marked && version_columns != std::set<std::string>{"applied UInt8", "version UInt32"})) {
    return absl::FailedPreconditionError(StrCat("lake: ", where, " holds tables of another program (",
                                                marked ? "schema_version" : *tables.begin(), "); name another lake"));
  }
  if (marked) {
    status = lake.Query("SELECT max(version) AS version FROM schema_version", [&](const Block& b) {
      if (b.rows() > 0) have = b.columns[0].As<std::vector<uint32_t>>()[0];
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
  }
  if (have > newest) {
    return absl::FailedPreconditionError(StrCat("lake: ", where, " was written by a newer Stillwatch (schema ", have,
                                                ", this program knows up to ", newest,
                                                "): update the program, or name another lake"));
  }
  if (!marked) {
    status = lake.Execute(
        "CREATE TABLE IF NOT EXISTS schema_version (version UInt32, applied UInt8) ENGINE = MergeTree ORDER BY version");
    if (!status.ok()) return status;
  }
  for (const base::EmbeddedFile* f = files; !f->name.empty(); ++f) {
    const uint32_t version = *VersionOf(*f);
    if (version <= have) continue;
    if (status = Apply(lake, *f); !status.ok()) return status;
    Block row;
    row.columns = {{"version", std::vector<uint32_t>{version}}, {"applied", std::vector<uint8_t>{1}}};
    if (status = lake.Insert("schema_version", row); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace stillwatch::lake
