// The log in memory as linking and judging read it: rows sorted by (account_id, ts, id), values
// interned. Everything is an integer but the names.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/cold_column.h"
#include "link/row_columns.h"
#include "link/small_numbers.h"
#include "link/text_sets.h"
#include "model/account.h"
#include "model/sketch.h"

namespace stillwatch::link {

// Names by number, ascending. Number 0 is always "" (not stated).
using Names = std::vector<std::string>;

// What judging reads of model::TextFeatures, in four bytes: capability, signs of purpose, messages.
// 0: the record had no text.
inline uint32_t ShortFeatures(uint64_t packed) {
  if (packed == 0) return 0;
  const auto f = model::TextFeatures::Unpack(packed);
  return uint32_t{1} << 31 | uint32_t{f.messages} << 20 | uint32_t(f.capability) << 12 |
         (uint32_t{f.purpose} & 0xfff);
}
inline model::TextFeatures LongFeatures(uint32_t features) {
  model::TextFeatures f;
  f.purpose = static_cast<uint16_t>(features & 0xfff);
  f.capability = static_cast<model::Capability>(features >> 12 & 0xff);
  f.messages = static_cast<uint8_t>(features >> 20 & 0xff);
  return f;
}

// Thread-safe to read once built. Six bytes a row; of a large log another 36 and the texts are in
// files without a name, which are read in the order of rows.
struct Log {
  // Accounts, ascending by id. `described[a]` says whether an account record exists.
  std::vector<std::string> account_id;
  std::vector<model::Account> account;
  std::vector<uint8_t> described;
  std::vector<uint64_t> first_row;  // accounts + 1 entries
  // Accounts that one organisation openly owns share an entity; links inside it are no evidence. An
  // organisation is open that is verified, or whose accounts mostly have one mail domain and pay
  // with one instrument. Entity numbers are dense and ascend with the smallest account of each.
  std::vector<uint32_t> entity;
  uint32_t entities = 0;

  // Rows.
  // Hash64 of exchange_id, which stands for it: among 10^8 exchanges two share one with
  // probability 3e-4, and then one of them is not counted. Names come back from the lake.
  base::ColdColumn<uint64_t> id;
  RowAccounts row_account;  // says what first_row does
  Times ts_ms;
  base::ColdColumn<uint16_t> model;  // of `models`, as the next ones of theirs
  base::ColdColumn<uint32_t> address;
  SmallNumbers settings, ja4;
  SmallNumbers input_tokens, output_tokens;  // kNoTokens: unknown
  base::ColdColumn<uint32_t> features;       // ShortFeatures
  base::ColdColumn<uint64_t> item;           // stands for the last turn (ItemOf); 0: there is none
  base::ColdColumn<uint32_t> text;           // of `texts`
  TextSets texts;

  // Reasoning signatures, sorted. Of those issued only the ones that were presented by anyone.
  struct Presented {
    uint32_t row;
    uint64_t signature;
    auto operator<=>(const Presented&) const = default;
  };
  std::vector<Presented> presented;
  std::vector<std::pair<uint64_t, uint32_t>> issued;  // signature, account

  Names models, setting_names, addresses, ja4s;

  // The days of a rhythm. On a day that the log covers in part all are about in the same hours, so
  // that they end with the log where its last one misses more than an hour: `shift_ms` added to a
  // time makes them begin at midnight. Rows outside [heard_from_ms, heard_until_ms) are of the half
  // hour that has begun, or of a first day that misses more than an hour where there are many
  // others. Of a log of few days it is heard from the first even hour on that the log covers.
  int64_t heard_from_ms = 0, heard_until_ms = 0, shift_ms = 0;

  size_t rows() const { return ts_ms.size(); }
  size_t accounts() const { return account_id.size(); }
  uint64_t Exchanges(uint32_t a) const { return first_row[a + 1] - first_row[a]; }

  // What was read of the files no longer counts as this process's memory.
  void Rest() const;
  // Fills row_account, entity and what is heard once accounts, first_row and the rows are in place.
  void Finish();
  // Those of a row.
  std::span<const Presented> PresentedBy(uint32_t row) const;

 private:
  void FindDays();
};

}  // namespace stillwatch::link
