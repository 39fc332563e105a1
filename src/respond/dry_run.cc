#include "respond/dry_run.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <set>

#include "base/str.h"
#include "base/text.h"
#include "respond/snapshot_core.h"

namespace stillwatch::respond {
namespace {

constexpr size_t kBucketSlots = size_t{1} << 16;

bool Touches(Action a) { return a > Action::kObserve; }
bool Locks(Action a) { return a == Action::kVerify || a == Action::kDeny; }

// Who sent a request, as well as it says.
uint64_t Sender(const Snapshot& s, const Request& r) {
  if (!r.account_id.empty()) return IdHash(r.account_id);
  if (!r.api_key_id.empty()) {
    const uint64_t* account = s.core().keys.Find(IdHash(r.api_key_id));
    return account != nullptr ? *account : IdHash(r.api_key_id);
  }
  return IdHash(r.org_id.empty() ? r.client_ip : r.org_id);
}

// The smallest names, so that they do not depend on the order of traffic.
void Example(std::string_view name, std::set<std::string>* names) {
  if (names->size() == kExamplesMax && name >= *names->rbegin()) return;
  names->emplace(name);
  if (names->size() > kExamplesMax) names->erase(std::prev(names->end()));
}

class Run {
 public:
  explicit Run(const Snapshot& s) : snapshot_(s), counters_(kBucketSlots) {
    report_.policy_version = s.info().policy_version;
  }

  Decision Take(const TrafficRow& row) {
    const Request& r = row.request;
    if (report_.requests++ == 0) report_.first_ms = row.ts_ms;
    report_.last_ms = row.ts_ms;
    const Decision d = Decide(snapshot_, r, row.ts_ms, &counters_);
    Seen* seen = nullptr;
    const uint64_t sender = Sender(snapshot_, r);
    if (const auto it = accounts_.find(sender); it != accounts_.end()) {
      seen = &it->second;
    } else if (accounts_.size() < kDryRunAccountsMax) {
      seen = &accounts_[sender];
      ++report_.accounts;
    } else {
      report_.accounts_overflow = true;
    }
    Count(d.action, seen == nullptr ? &overflow_ : &seen->enforced, &report_.enforced);
    uint8_t* all = seen == nullptr ? &overflow_ : &seen->all;
    Count(d.shadowed.action, all, &report_.all);
    if (Locks(d.action) && seen != nullptr && !seen->locked) {
      seen->locked = true;
      ++report_.accounts_locked;
      Example(r.account_id.empty() ? r.api_key_id : r.account_id, &locked_);
    }
    if (!d.shadowed.rule.empty()) {
      CountIn(d.shadowed.action, sender, d.shadowed.rule, &rules_, &report_.rules);
    }
    CountIn(d.shadowed.action, sender, Label(row), &labels_, &report_.labels);
    return d;
  }

  DryRunReport Report() {
    report_.locked_examples.assign(locked_.begin(), locked_.end());
    return std::move(report_);
  }

 private:
  struct Seen {
    uint8_t enforced = 0, all = 0;  // bit i: met action i
    bool locked = false;
  };

  static void Count(Action a, uint8_t* met, Tally* t) {
    const auto i = static_cast<size_t>(a);
    const auto bit = static_cast<uint8_t>(1u << i);
    constexpr uint8_t kTouching = 0b111100;
    ++t->requests[i];
    t->requests_touched += Touches(a);
    t->accounts_touched += Touches(a) && (*met & kTouching) == 0;
    t->accounts[i] += (*met & bit) == 0;
    *met |= bit;
  }

  // Accounts that met a rule, or have a label, beside their number.
  using Met = absl::flat_hash_map<std::pair<uint64_t, uint64_t>, uint8_t>;
  void CountIn(Action a, uint64_t sender, std::string_view name, Met* met,
               std::map<std::string, Tally>* tallies) {
    auto it = tallies->find(std::string(name));
    if (it == tallies->end()) {
      const bool full = tallies == &report_.labels && tallies->size() >= kDryRunClassesMax;
      it = tallies->try_emplace(full ? "other" : std::string(name)).first;
    }
    const std::pair key(IdHash(it->first), sender);
    const auto known = met->find(key);
    if (known != met->end()) return Count(a, &known->second, &it->second);
    if (met->size() < kDryRunAccountsMax) return Count(a, &(*met)[key], &it->second);
    report_.accounts_overflow = true;
    uint8_t all = 0xff;
    Count(a, &all, &it->second);
  }

  std::string_view Label(const TrafficRow& row) const {
    if (!row.label.empty()) return row.label;
    const uint64_t account = Sender(snapshot_, row.request);
    const Snapshot::Core& core = snapshot_.core();
    if (const Range* found = core.findings_of.Find(account)) {
      return OwnName(core.findings[found->begin].own);
    }
    return core.accounts.Find(account) != nullptr ? "no finding" : "no record";
  }

  const Snapshot& snapshot_;
  Counters counters_;
  DryRunReport report_;
  absl::flat_hash_map<uint64_t, Seen> accounts_;
  Met rules_, labels_;
  std::set<std::string> locked_;
  uint8_t overflow_ = 0xff;
};

}  // namespace

DryRunReport DryRun(const Snapshot& candidate, const Traffic& traffic) {
  Run run(candidate);
  TrafficRow row;
  while (traffic(&row)) run.Take(row);
  return run.Report();
}

absl::Status CheckLockout(const Policy& policy, const DryRunReport& report) {
  using base::StrCat;
  if (report.requests == 0) {
    const auto enforces = [](const auto& v) {
      return std::any_of(v.begin(), v.end(), [](const auto& x) { return x.enforce; });
    };
    if (!enforces(policy.rules) && !enforces(policy.recognition) && !enforces(policy.directives) &&
        !enforces(policy.lists)) {
      return absl::OkStatus();
    }
    return absl::FailedPreconditionError(
        "policy: there is no traffic to try it on, and it enforces something; put it into shadow "
        "(enforce: false) until there is a day of traffic");
  }
  const double share =
      static_cast<double>(report.accounts_locked) / static_cast<double>(report.accounts);
  if (share <= policy.lockout_share_max) return absl::OkStatus();
  std::string some;
  for (size_t i = 0; i < std::min<size_t>(report.locked_examples.size(), 3); ++i) {
    some += (i > 0 ? ", " : "") + report.locked_examples[i];
  }
  return absl::FailedPreconditionError(
      StrCat("policy: it would deny or hold ", base::Grouped(report.accounts_locked), " of the ",
             base::Grouped(report.accounts), " accounts of that traffic (", base::Percent(share),
             "; lockout_share_max is ", base::Percent(policy.lockout_share_max), "), among them ",
             some, "; narrow it, or state a higher lockout_share_max if that is meant"));
}

PolicyDiff Compare(const Snapshot& before, const Snapshot& after, const Traffic& traffic) {
  Run run_before(before), run_after(after);
  PolicyDiff diff;
  struct Change {
    bool changed = false, touched_before = false, touched_after = false;
  };
  absl::flat_hash_map<uint64_t, Change> accounts;
  std::set<std::string> newly;
  absl::flat_hash_map<uint64_t, std::string> names;  // of accounts that may be newly touched
  TrafficRow row;
  while (traffic(&row)) {
    const Decision b = run_before.Take(row), a = run_after.Take(row);
    ++diff.enforced[static_cast<size_t>(b.action)][static_cast<size_t>(a.action)];
    ++diff.all[static_cast<size_t>(b.shadowed.action)][static_cast<size_t>(a.shadowed.action)];
    if (!Touches(b.action) && !Touches(a.action) && a.action == b.action) continue;
    const uint64_t sender = Sender(after, row.request);
    if (accounts.size() >= kDryRunAccountsMax && !accounts.contains(sender)) continue;
    Change& c = accounts[sender];
    c.changed |= a.action != b.action;
    c.touched_before |= Touches(b.action);
    c.touched_after |= Touches(a.action);
    if (c.touched_after && !c.touched_before) {
      names.try_emplace(
          sender, row.request.account_id.empty() ? row.request.api_key_id : row.request.account_id);
    }
  }
  for (const auto& [sender, c] : accounts) {
    diff.accounts_changed += c.changed;
    diff.accounts_released += c.touched_before && !c.touched_after;
    if (c.touched_before || !c.touched_after) continue;
    ++diff.accounts_newly_touched;
    Example(names[sender], &newly);
  }
  diff.newly_touched_examples.assign(newly.begin(), newly.end());
  diff.before = run_before.Report();
  diff.after = run_after.Report();
  return diff;
}

}  // namespace stillwatch::respond
