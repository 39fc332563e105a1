// Account records, permits, known actors and trait tables: the small files beside a log.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ingest/source.h"
#include "model/account.h"

namespace stillwatch::ingest {

struct AccountRow {
  model::Account account;
  std::string country, citizenship;  // for directives alone; go into the lake and no further
  uint32_t content = 0;              // hash of all fields
};

// One record. Thread-compatible.
class AccountParser {
 public:
  AccountParser();
  ~AccountParser();
  // Empty, or what is wrong with `line`.
  std::string Parse(std::string_view line, AccountRow* row);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// JSON lines, plain or compressed. A bad line goes to `reject`.
absl::Status ReadAccounts(const std::string& path, const std::function<absl::Status(AccountRow)>& on_row,
                          const std::function<absl::Status(model::Reject)>& reject);

// YAML. InvalidArgument names the file, the line and the key; unknown keys are errors.
absl::StatusOr<std::vector<model::Permit>> ReadPermits(const std::string& path);
absl::StatusOr<std::vector<model::KnownActor>> ReadKnownActors(const std::string& path);

// CSV with a header `account_id,family,value[,ts]` (RFC 4180).
struct TraitRow {
  std::string account_id, family, value;
};
absl::StatusOr<std::vector<TraitRow>> ReadTraits(const std::string& path);

}  // namespace stillwatch::ingest
