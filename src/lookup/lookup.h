// Who has which value, who sent which template, and what an account did: a file that each scan
// leaves beside its findings (accounts.index), sorted both ways, so that a question costs what its
// answer is long however many exchanges there are. It says what that scan judged: each exchange
// once, of its window alone.
//
// Layout (little endian): a header, then sections. Names ascend, and a number is a place among
// them. An account's section has its sums and, field by field, its values; a value's has its
// accounts, a template's its accounts and what they did with it. Numbers are differences in LEB128,
// so a pair of account and value, or template, costs 9 to 16 bytes.
// Nothing in it depends on the clock or the number of threads.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stillwatch::lookup {

inline constexpr char kFileName[] = "accounts.index";

// Of exchanges, then of the accounts' records. client_ip is last, as it has most values and fields
// are read in order.
enum class Field : uint8_t {
  kModel,
  kChannel,
  kJa4,
  kUserAgent,
  kApiKey,
  kOrg,
  kSignupIp,
  kEmailDomain,
  kPaymentId,
  kReferrer,
  kRecordOrg,
  kPlan,
  kRecordChannel,
  kKyc,
  kClientIp,
};
inline constexpr size_t kFields = 15;
inline constexpr bool OfRecord(Field f) { return f >= Field::kSignupIp && f <= Field::kKyc; }
// "client_ip", as columns of the lake are called; of a record "record.org_id", "record.channel".
const char* FieldName(Field f);
std::optional<Field> FieldOf(std::string_view name);

// What an account did with a value. Of a record's values nothing but `value`.
struct Use {
  uint32_t value = 0;
  uint64_t exchanges = 0;
  int64_t first_ms = 0, last_ms = 0;
  bool operator==(const Use&) const = default;
};

struct Account {
  uint64_t exchanges = 0, with_text = 0;
  uint64_t input_tokens = 0, output_tokens = 0;  // of exchanges that say
  int64_t first_ms = 0, last_ms = 0;             // where it has exchanges
  std::array<uint64_t, 24> hours{};              // exchanges by hour of the day, UTC
  std::optional<int64_t> created_ms;
  std::array<std::vector<Use>, kFields> uses;  // ascending by value
  std::vector<Use>& of(Field f) { return uses[static_cast<size_t>(f)]; }
  const std::vector<Use>& of(Field f) const { return uses[static_cast<size_t>(f)]; }
};

struct Holder {
  uint32_t account = 0;
  uint64_t exchanges = 0;
  int64_t first_ms = 0, last_ms = 0;
  bool operator==(const Holder&) const = default;
};

// Writes the file; calls in the order of declaration. Memory: 4 bytes a pair of account and value,
// 16 a value, 8 an account, and the names of one field.
class Writer {
 public:
  static absl::StatusOr<std::unique_ptr<Writer>> Create(const std::string& path);
  // Thread-safe: what Append takes.
  static void Encode(const Account& account, std::string* out);
  // The next accounts: of each what Encode gave, and where it ends in `bytes`.
  absl::Status Append(std::string_view bytes, std::span<const uint64_t> ends);
  // Once all accounts are there. Names ascend; number 0 of each field is "", which nobody has.
  absl::Status Names(const std::vector<std::string>& accounts,
                     const std::array<const std::vector<std::string>*, kFields>& values);
  // Who sent what the judge took for one template; need not be called. Ids ascend, and of each so
  // do its accounts.
  absl::Status Templates(const std::vector<std::string>& ids,
                         const std::function<void(size_t, std::vector<Holder>*)>& holders);
  absl::Status Finish();
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

 private:
  explicit Writer(std::string path) : path_(std::move(path)) {}
  absl::Status Put(std::string_view bytes);
  absl::Status Section(size_t number, std::string_view bytes, std::span<const uint64_t> ends);
  absl::Status PutEnds(size_t number, std::span<const uint64_t> ends);
  absl::Status Failed(int error) const;
  const std::string path_;
  int fd_ = -1;
  uint64_t at_ = 0;  // where the next byte goes
  std::vector<uint64_t> sections_, ends_;
};

// Thread-safe; the file is mapped for as long as this lives, and may be unlinked meanwhile. What is
// asked of a damaged file is missing; nothing beyond the file is read.
class Lookup {
 public:
  // NotFound: there is none. InvalidArgument: it is not what this version writes.
  static absl::StatusOr<std::shared_ptr<const Lookup>> Open(const std::string& path);
  ~Lookup();
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

  int64_t as_of_ms() const { return as_of_ms_; }  // when the file was written
  uint64_t bytes() const { return size_; }
  uint32_t accounts() const;
  uint32_t active() const;  // of them those with exchanges
  std::string_view AccountId(uint32_t account) const;
  std::optional<uint32_t> FindAccount(std::string_view id) const;
  // `only`: the values of these fields (bits by Field), and all of the rest.
  static constexpr uint32_t kAllFields = (1u << kFields) - 1;
  static constexpr uint32_t Bit(Field f) { return 1u << static_cast<uint32_t>(f); }
  Account Read(uint32_t account, uint32_t only = kAllFields) const;

  uint32_t values(Field f) const;  // with ""
  std::string_view Value(Field f, uint32_t value) const;
  std::optional<uint32_t> FindValue(Field f, std::string_view value) const;
  uint32_t HolderCount(Field f, uint32_t value) const;
  std::vector<uint32_t> Accounts(Field f, uint32_t value) const;  // that have it, ascending
  std::vector<Holder> Holders(Field f, uint32_t value) const;     // the same, with what they did

  // Templates by the ids that findings have. One that an earlier scan found may be none of this.
  uint32_t templates() const;
  std::string_view TemplateId(uint32_t t) const;
  std::optional<uint32_t> FindTemplate(std::string_view id) const;
  std::vector<Holder> TemplateHolders(uint32_t t) const;  // ascending by account

 private:
  Lookup() = default;
  absl::Status Check(const std::string& path) const;
  std::string_view Item(size_t section, uint64_t i) const;
  uint64_t Count(size_t section) const;
  std::optional<uint32_t> Find(size_t section, std::string_view name) const;
  const char* map_ = nullptr;
  uint64_t size_ = 0;
  int64_t as_of_ms_ = 0;
};

}  // namespace stillwatch::lookup
