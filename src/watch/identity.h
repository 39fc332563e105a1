// Campaigns keep their identity from pass to pass, as they grow, merge, split, fade and return.
//
// A pass names campaigns by content; those ids change when an earlier record comes in late. A
// lasting id is given once and means the same campaign for good. A finding carries on the identity
// with which it shares most exchanges (estimated by bottom-k samples); of equal shares the eldest,
// then the smallest id. Exchanges decide: accounts alone may do several jobs, so they decide only
// for an identity none of whose exchanges is in any finding (it returns after its exchanges
// left the window).
//
// Pure and deterministic: the result depends on the values given, never on their order, and a pass
// over the same findings changes nothing and tells nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/campaign.h"
#include "watch/sample.h"

namespace stillwatch::watch {

inline constexpr size_t kExchangeSample = 256;  // hashes kept of each identity
inline constexpr size_t kAccountSample = 128;
inline constexpr size_t kIdentitiesMax = 10'000;  // the longest gone are forgotten beyond that
inline constexpr double kLinkShare = .25;  // of the smaller: less in common is no link
inline constexpr double kReturnShare = .5;  // of the accounts of both, to return by accounts alone
inline constexpr double kGrewFactor = 2;    // in exchanges or accounts, to be told again

// What a pass found, as far as identity goes.
struct Finding {
  std::string id;    // by content, of this pass
  std::string name;  // for people
  model::Verdict verdict = model::Verdict::kUnresolved;
  double probability = 0;
  Sample exchanges, accounts;  // of base::Hash64 of their ids
  int64_t first_seen_ms = 0, last_seen_ms = 0;
  // The gate's word (watch/gate.h): whether it may be told and acted upon. An identity that is open
  // stays so while its verdict is distillation.
  bool open = false;
  // Of what speaks for it: families (bit i is model::Family i) and bits in all. watch/dismissal.h
  uint32_t families = 0;
  double bits = 0;
  bool dismissed = false;  // it repeats what a person dismissed: neither told nor acted upon
};

enum class Life : uint8_t { kCurrent, kFaded, kMerged };

struct Identity {
  std::string id;          // lasting
  std::string name;        // its first
  std::string finding_id;  // of the last pass that saw it
  std::string parent;      // it was split from; empty: from none
  std::string merged_into; // of kMerged: the one that carries on, which may be merged itself
  Life life = Life::kCurrent;
  uint64_t born = 0, seen = 0;  // passes: first, last that saw it
  model::Verdict verdict = model::Verdict::kUnresolved;
  double probability = 0;
  Sample exchanges, accounts;  // as last seen
  uint64_t told_exchanges = 0, told_accounts = 0;  // when last told as new or grown
  int64_t first_seen_ms = 0, last_seen_ms = 0;
  bool open = false;

  bool operator==(const Identity&) const = default;
};

enum class Change : uint8_t {
  kNew,
  kGrew,     // to kGrewFactor times what was told last
  kMerged,   // into `other`
  kSplit,    // from `other`; also when what was merged comes apart again
  kFaded,    // no finding holds it any more
  kReturned, // after it had faded
  kVerdict,  // from `before`
  kOpened,   // the gate opened: may be told and acted upon
  kClosed,   // it no longer may: not distillation any more
};
const char* ChangeName(Change c);  // "new" "grew" "merged" ...

struct Event {
  uint64_t pass = 0;
  std::string id;     // lasting
  Change change = Change::kNew;
  std::string other;  // lasting id; empty: none
  model::Verdict before = model::Verdict::kUnresolved;  // of kVerdict
  // As of this pass; of kMerged and kFaded as last seen.
  model::Verdict verdict = model::Verdict::kUnresolved;
  double probability = 0;
  uint64_t exchanges = 0, accounts = 0;
  bool open = false;

  bool operator==(const Event&) const = default;
};

struct Identities {
  uint64_t passes = 0;
  std::vector<Identity> all;  // ascending by id

  const Identity* Find(const std::string& id) const;  // null: unknown or forgotten
  // Follows merges to the one that carries on; `id` itself when it is not merged or unknown.
  std::string Resolve(const std::string& id) const;
  bool operator==(const Identities&) const = default;
};

struct Step {
  Identities next;
  std::vector<std::string> ids;  // lasting id of each finding, in their order
  std::vector<Event> events;     // ascending by id, then change
};

// Findings' ids must differ. About 3 kB an identity; time is the number of pairs that have a
// hash in common, found by sorting.
Step Identify(const Identities& before, const std::vector<Finding>& findings);

}  // namespace stillwatch::watch
