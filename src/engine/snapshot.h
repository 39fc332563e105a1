// From the lake, the last pass and what people decided to the snapshot that decisions read.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/live.h"
#include "lake/lake.h"
#include "respond/dry_run.h"
#include "respond/snapshot.h"
#include "state/state.h"

namespace stillwatch::engine {

inline constexpr size_t kSnapshotAccountsMax = 16 << 20, kSnapshotKeysMax = 16 << 20;
inline constexpr size_t kReplayedMax = 1 << 20;  // signatures, of all campaigns

// Keeps what was read of the lake, so that a change of policy, an appeal or a list takes effect
// while the lake is away: about 150 bytes an account and 60 a key. Thread-safe.
class SnapshotMaker {
 public:
  // After a pass: its findings, and from the lake the records of accounts, whose keys are whose
  // (since the pass's window began), the signatures that open campaigns replayed, a sample of what
  // they asked, and one of what everybody else did, which is no sign of them. An error keeps what
  // was read before; the findings are taken up all the same.
  absl::Status Take(const PassFindings& pass, lake::Lake* lake);
  // Whether an imported indicator still acts (model::ImportRef). What was accused on the strength
  // of one that does not is `unresolved` in what Make gives from now on, until a pass judges it
  // anew.
  void ActsOn(std::function<bool(const model::ImportRef&)> acts);
  // A snapshot of all that, under `policy` with what `enforcement` adds to it: attestations (they
  // go before what an account's record says), lists, appeals.
  absl::StatusOr<std::shared_ptr<const respond::Snapshot>> Make(
      respond::Policy policy, const state::Enforcement& enforcement,  // with its attestations
      std::span<const uint8_t, 16> appeal_key, int64_t now_ms) const;

 private:
  struct Facts;
  mutable std::mutex mutex_;
  std::shared_ptr<const Facts> facts_;
  std::shared_ptr<const std::vector<model::Campaign>> campaigns_;  // as decisions may use them
  int64_t as_of_ms_ = 0;
  std::function<bool(const model::ImportRef&)> acts_;  // null: all do
};

// A number that differs once something was loaded into the lake, by whomever (LiveHooks::mark).
// Merges of duplicates change it too, which costs a pass.
absl::StatusOr<uint64_t> LakeMark(lake::Lake* lake);

// The lake's traffic of [since_ms, until_ms) in order of time, for a dry run; read an hour at a
// time, each exchange once. `status` is set when a read failed, and the traffic ends there.
respond::Traffic LakeTraffic(lake::Lake* lake, int64_t since_ms, int64_t until_ms,
                             std::shared_ptr<absl::Status> status);

}  // namespace stillwatch::engine
