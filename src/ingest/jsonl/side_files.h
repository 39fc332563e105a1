// Account records, permits, known actors and trait tables: the small files beside a log. What
// cannot be read is an InvalidArgument that names file, place and remedy. Calls share nothing: any
// thread.
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

// JSON lines, plain or compressed, read as a stream; a line has kRecordBytesMax bytes at most
// (ingest/source.h). A bad line goes to `reject`, and reading goes on.
absl::Status ReadAccounts(const std::string& path, const std::function<absl::Status(AccountRow)>& on_row,
                          const std::function<absl::Status(model::Reject)>& reject);

// The first record alone, of a plain file: InvalidArgument when it is an exchange, as when a log
// was named in place of accounts. What cannot be read is left to ReadAccounts.
absl::Status LookAtAccounts(const std::string& path);

// YAML, in memory as a whole. InvalidArgument names the file, the line and the key; unknown keys
// are errors.
absl::StatusOr<std::vector<model::Permit>> ReadPermits(const std::string& path);
absl::StatusOr<std::vector<model::KnownActor>> ReadKnownActors(const std::string& path);

// CSV with a header `account_id,family,value[,ts]` (RFC 4180).
struct TraitRow {
  std::string account_id, family, value;
};
absl::StatusOr<std::vector<TraitRow>> ReadTraits(const std::string& path);

}  // namespace stillwatch::ingest
