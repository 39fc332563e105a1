// What a policy would have done to a day of traffic, before it does it to the next.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "respond/decide.h"

namespace stillwatch::respond {

inline constexpr size_t kDryRunAccountsMax = 4 << 20;  // told apart; more are counted as one
inline constexpr size_t kDryRunClassesMax = 256;       // as are classes beyond these, as "other"
inline constexpr size_t kExamplesMax = 20;             // account ids in a report

struct TrafficRow {
  Request request;
  int64_t ts_ms = 0;
  // What the report counts by: a plan, a kind of customer. Empty: the account's own verdict in
  // the snapshot, "no finding" or "no record".
  std::string_view label;
};
// Fills *row and returns true, or returns false at the end. Rows ascend in time; views live until
// the next call.
using Traffic = std::function<bool(TrafficRow* row)>;

struct Tally {
  std::array<uint64_t, kActions> requests{};  // by Action
  std::array<uint64_t, kActions> accounts{};  // that met the action at least once
  // Met by anything but allow and observe.
  uint64_t requests_touched = 0, accounts_touched = 0;
};

struct DryRunReport {
  std::string policy_version;
  uint64_t requests = 0, accounts = 0;
  int64_t first_ms = 0, last_ms = 0;
  Tally enforced;  // as the policy stands
  Tally all;       // as if all of it were enforced
  std::map<std::string, Tally>
      rules;  // by id or name, as if all were enforced; allow counts permits and room in a throttle
  std::map<std::string, Tally> labels;  // likewise
  // Accounts denied or held for verification by what is enforced: what the lock-out bound is about.
  uint64_t accounts_locked = 0;
  std::vector<std::string> locked_examples;  // ascending, at most kExamplesMax
  bool accounts_overflow = false;  // more than kDryRunAccountsMax: counts are lower bounds
};

// Uses counters of its own, with the traffic's clock.
DryRunReport DryRun(const Snapshot& candidate, const Traffic& traffic);

// FailedPrecondition with the count when enforcing would lock out more than the policy's share of
// the accounts seen; also when there was no traffic to try an enforcing policy on.
absl::Status CheckLockout(const Policy& policy, const DryRunReport& report);

struct PolicyDiff {
  DryRunReport before, after;
  // Requests by (action before, action after), as enforced and as if all were.
  std::array<std::array<uint64_t, kActions>, kActions> enforced{}, all{};
  // By what is enforced: accounts with a request that is treated otherwise; newly touched, no
  // longer touched.
  uint64_t accounts_changed = 0, accounts_newly_touched = 0, accounts_released = 0;
  std::vector<std::string> newly_touched_examples;  // ascending, at most kExamplesMax
};

// Both over the same traffic in one reading.
PolicyDiff Compare(const Snapshot& before, const Snapshot& after, const Traffic& traffic);

}  // namespace stillwatch::respond
