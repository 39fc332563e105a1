// All that a decision needs, in one immutable value: who is known, what was found about them, what
// the policy makes of it, and what accused campaigns can be recognised by.
//
// A snapshot holds no country and no citizenship: the builder turns attestations into which
// directives meet an account, and nothing else can ask. It holds no account id either, but 64-bit
// hashes: that an id that is not among a million is taken for one of them happens once in 10^13
// requests.
//
// Bytes: about 24 an account, 24 a key, 12 a finding, 45 a sketch (respond_benchmark measures
// them). Thread-safe: nothing in it changes. Everything that a Decision points at lives as long as
// it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/campaign.h"
#include "model/sketch.h"
#include "respond/policy.h"

namespace stillwatch::respond {

// Bounds of what can be recognised. What is beyond them is left out, smallest content hash first
// in, and counted (SnapshotInfo).
inline constexpr size_t kPatternsMax = 262'144;    // templates and sketches
inline constexpr size_t kSignaturesMax = 1 << 20;  // replayed
inline constexpr size_t kOrdinaryMax = 262'144;    // requests of accounts that nobody accuses
inline constexpr size_t kOrdinaryAccountsMin = 5;  // that carry a template, before it is ordinary,
inline constexpr double kOrdinaryShare = .1;       // ...and more than this share of the campaign's
inline constexpr size_t kPatternHashesMin = 4;     // of a template: fewer recognises anybody
inline constexpr size_t kSketchHashesMin = 8;      // of a request

// What is known of an account, from its record. Views are read during the call only.
struct AccountFacts {
  std::string_view account_id, org_id, kyc, plan, channel;
  bool org_verified = false;
  // Several citizenships are separated by ",". Case does not count. For directives alone.
  std::string_view country, citizenship;
  // Any other attestation, key and value; a key may occur more than once.
  std::span<const std::pair<std::string_view, std::string_view>> attestations;
};

// An appeal that was upheld for the account: it was wronged. With a campaign: its findings and
// recognitions no longer count against the account. Without: nothing but a directive does.
struct Overturned {
  std::string account_id, campaign_id;
  int64_t until_ms = kNever;
};

struct SnapshotInfo {
  std::string policy_version;
  int64_t as_of_ms = 0;      // of the findings
  uint64_t fingerprint = 0;  // of all content; equal for equal inputs in any order
  size_t bytes = 0;
  uint64_t accounts = 0, keys = 0, orgs = 0, findings = 0, campaigns = 0;
  uint64_t templates = 0, sketches = 0, signatures = 0;
  // Left out: records of an account that differ (the one with the smallest content hash counts),
  // keys of several accounts, patterns that are too short, public, or beyond a bound.
  uint64_t accounts_conflicting = 0, keys_ambiguous = 0, patterns_short = 0, patterns_public = 0,
           patterns_ordinary = 0, signatures_ambiguous = 0, beyond_bounds = 0;
  uint64_t entries_unused =
      0;  // list entries that were added to no list of the policy, or are none
};

// What an API may show of somebody: the analyst's view of a snapshot.
struct KnownFinding {
  std::string_view campaign;
  Own verdict = Own::kUnresolved;
  double probability = 0;
};

class Snapshot {
 public:
  ~Snapshot();
  const SnapshotInfo& info() const;
  const Policy& policy() const;
  // The policy's and those added; PermitUses counts by PermitKey of the id.
  std::span<const model::Permit> permits() const;
  // Of an account, most probable first; empty when nothing was found.
  std::vector<KnownFinding> Findings(std::string_view account_id) const;
  bool Knows(std::string_view account_id) const;
  bool KnowsKey(std::string_view api_key_id) const;
  bool KnowsOrg(std::string_view org_id) const;
  // The same snapshot with other overturned appeals: shares all else, takes microseconds, so that
  // access is restored at once and not at the next pass.
  std::shared_ptr<const Snapshot> With(std::vector<Overturned> overturned) const;

  struct Core;  // snapshot_core.h, for Decide
  struct Pardons;
  const Core& core() const { return *core_; }
  const Pardons& pardons() const { return *pardons_; }

 private:
  friend class SnapshotBuilder;
  Snapshot();
  std::shared_ptr<const Core> core_;
  std::shared_ptr<const Pardons> pardons_;
};

// Everything may be added in any order; the same things give the same snapshot. Thread-compatible.
// Memory while building: 32 bytes an account and what the snapshot takes.
class SnapshotBuilder {
 public:
  explicit SnapshotBuilder(Policy policy);
  ~SnapshotBuilder();

  // Reserves; a hint.
  void ExpectAccounts(size_t n);
  void AddAccount(const AccountFacts& facts);
  // The key belongs to the account: requests that name only their key are decided by it.
  void AddKey(std::string_view api_key_id, std::string_view account_id);

  // A campaign with its members, as judged. A member's own verdict decides: `distillation` counts
  // as such only where the campaign's verdict is distillation too. Templates of a campaign whose
  // verdict is distillation can be recognised from now on.
  void AddCampaign(const model::Campaign& campaign);
  // The last turn of a request of an accused campaign: one like it is recognised. Hashes ascending,
  // as model::Sketch has them.
  void AddSketch(std::string_view campaign_id, std::span<const uint32_t> hashes);
  // A reasoning signature (base::Hash64 of its text, as the lake has it) that an accused campaign
  // presented and that was issued to `issued_to`, who may go on presenting it.
  void AddReplayed(std::string_view campaign_id, uint64_t signature, std::string_view issued_to);
  // A request that is attributed to no accused campaign. What ordinary accounts send as well is no
  // sign of the campaign: a template that kOrdinaryAccountsMin of them, and more than
  // kOrdinaryShare of the campaign's number, carried between its first and its last exchange (a
  // harness whose users it imitates) is not recognised, and neither is a request that any of them
  // made. Later requests do not count: they may be the fresh pool's. Accounts in an accused
  // campaign are not ordinary, whatever their own verdict. A sample will do, and few of each
  // account are better than many of few.
  void AddOrdinary(std::string_view account_id, int64_t ts_ms, std::span<const uint32_t> system,
                   std::span<const uint32_t> turn);
  // A published scaffold: a campaign's template half of which it holds is not recognised.
  void AddPublicTemplate(std::span<const uint32_t> hashes);

  // Beside those of the policy.
  void AddPermit(model::Permit permit);
  // To a list of the policy; entries of other lists are counted and unused.
  void AddListEntry(std::string_view list, ListEntry entry);
  void AddOverturned(Overturned overturned);

  // Ends the builder. `as_of_ms` is noted. `appeal_key` keys appeal references: 16 random bytes
  // that outlive restarts, or references change. InvalidArgument when a sketch or signature names a
  // campaign that was not added, an id is empty, or permits pass kPermitsMax.
  absl::StatusOr<std::shared_ptr<const Snapshot>> Build(int64_t as_of_ms,
                                                        std::span<const uint8_t, 16> appeal_key);

 private:
  struct State;
  std::unique_ptr<State> s_;
};

}  // namespace stillwatch::respond
