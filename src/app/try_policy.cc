#include "app/try_policy.h"

#include "base/json.h"
#include "base/time.h"
#include "engine/snapshot.h"

namespace stillwatch::app {
namespace {

void Write(const respond::Tally& t, base::JsonWriter* w) {
  w->BeginObject();
  w->Key("requests_touched");
  w->Uint(t.requests_touched);
  w->Key("accounts_touched");
  w->Uint(t.accounts_touched);
  for (const auto& [key, counts] :
       {std::pair("requests", &t.requests), {"accounts", &t.accounts}}) {
    w->Key(key);
    w->BeginObject();
    for (int a = 0; a < respond::kActions; ++a) {
      if ((*counts)[size_t(a)] == 0) continue;
      w->Key(respond::ActionName(respond::Action(a)));
      w->Uint((*counts)[size_t(a)]);
    }
    w->EndObject();
  }
  w->EndObject();
}

}  // namespace

std::string DryRunJson(const respond::DryRunReport& r) {
  std::string out;
  base::JsonWriter w(&out);
  w.BeginObject();
  w.Key("policy_version");
  w.String(r.policy_version);
  w.Key("requests");
  w.Uint(r.requests);
  w.Key("accounts");
  w.Uint(r.accounts);
  if (r.requests > 0) {
    w.Key("first");
    w.String(base::FormatRfc3339(r.first_ms));
    w.Key("last");
    w.String(base::FormatRfc3339(r.last_ms));
  }
  w.Key("enforced");
  Write(r.enforced, &w);
  w.Key("all");
  Write(r.all, &w);
  for (const auto& [key, tallies] : {std::pair("rules", &r.rules), {"labels", &r.labels}}) {
    w.Key(key);
    w.BeginObject();
    for (const auto& [name, tally] : *tallies) {
      w.Key(name);
      Write(tally, &w);
    }
    w.EndObject();
  }
  w.Key("accounts_locked");
  w.Uint(r.accounts_locked);
  w.Key("locked_examples");
  w.BeginArray();
  for (const auto& id : r.locked_examples) w.String(id);
  w.EndArray();
  w.Key("accounts_overflow");
  w.Bool(r.accounts_overflow);
  w.EndObject();
  return out;
}

absl::StatusOr<serve::TriedPolicy> TryPolicy(const respond::Snapshot& candidate, lake::Lake* lake,
                                             int64_t now_ms) {
  const auto status = std::make_shared<absl::Status>();
  const respond::DryRunReport report = respond::DryRun(
      candidate, engine::LakeTraffic(lake, now_ms - base::kMsPerDay, now_ms, status));
  if (!status->ok()) return *status;
  if (absl::Status s = respond::CheckLockout(candidate.policy(), report); !s.ok()) return s;
  return serve::TriedPolicy{report.enforced.accounts_touched, DryRunJson(report)};
}

}  // namespace stillwatch::app
