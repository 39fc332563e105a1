#include "lake/lake.h"

#include "absl/strings/cord.h"
#include "base/str.h"

namespace stillwatch::lake {

using base::StrCat;

// A new table changes places with the old one, which is dropped at once: what TRUNCATE or DELETE
// leaves behind lies on the disk until the engine cleans up.
absl::Status Lake::Replace(std::string_view table, const Block& rows) {
  const std::string other = StrCat(table, "_other");
  absl::Status s = Execute(StrCat("DROP TABLE IF EXISTS ", other, " SYNC"));
  if (s.ok()) s = Execute(StrCat("CREATE TABLE ", other, " AS ", table));
  if (s.ok() && rows.rows() > 0) s = Insert(other, rows);
  if (s.ok()) s = Execute(StrCat("EXCHANGE TABLES ", table, " AND ", other));
  if (s.ok()) s = Execute(StrCat("DROP TABLE ", other, " SYNC"));
  return s;
}

absl::Status Lake::Delete(std::string_view table, std::string_view condition) {
  return Execute(
      StrCat("ALTER TABLE ", table, " DELETE WHERE ", condition, " SETTINGS mutations_sync = 1"));
}

void AddTableUse(const Block& block, std::map<std::string, TableUse>* out) {
  for (size_t i = 0; i < block.rows(); ++i) {
    TableUse& use = (*out)[std::string(block.columns[0].As<StringColumn>()[i])];
    use.rows += block.columns[1].As<std::vector<uint64_t>>()[i];
    use.bytes += block.columns[2].As<std::vector<uint64_t>>()[i];
  }
}

absl::StatusOr<std::map<std::string, TableUse>> Lake::Use() {
  std::map<std::string, TableUse> out;
  const absl::Status s = Query(kTableUseSql, [&](const Block& b) {
    AddTableUse(b, &out);
    return absl::OkStatus();
  });
  if (!s.ok()) return s;
  return out;
}

static constexpr char kBrokenOff[] = "stillwatch/broken-off";  // a payload's type

absl::Status BrokenOff(std::string_view message) {
  absl::Status s = absl::UnavailableError(std::string(message));
  s.SetPayload(kBrokenOff, absl::Cord());
  return s;
}

bool IsBrokenOff(const absl::Status& status) { return status.GetPayload(kBrokenOff).has_value(); }

std::string SqlName(std::string_view identifier) {
  std::string out = "`";
  for (const char c : identifier) {
    if (c == '`' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back('`');
  return out;
}

std::string SqlString(std::string_view value) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out = "'";
  for (const char c : value) {
    const uint8_t byte = static_cast<uint8_t>(c);
    if (c == '\'' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\x";
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('\'');
  return out;
}

}  // namespace stillwatch::lake
