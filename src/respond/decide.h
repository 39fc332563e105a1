// What to do about one request.
//
// Precedence, highest first. The first step that says anything decides; within a step the policy's
// order does.
//   1. directives           refuse (or verify) named models; nothing below weakens one
//   2. permits              allow, and count down
//      overturned appeals   allow, or strike one campaign from what counts against the account
//      allow lists          allow
//   3. deny lists
//   4. rules                by what was found of the account, or by what it is
//   5. recognition          by what the request carries, whoever sends it
//
// Shadow mode: what is not enforced is evaluated beside what is, and changes nothing of it. A
// decision therefore has two outcomes: its own, from what is enforced (and from permits, appeals
// and allow lists, which always hold), and `shadowed`, as if all were enforced.
//
// Pure but for the counters: no clock, no lock, no allocation unless the request's text is
// recognised by nothing but long lists of hits (bounded, on the stack). Never fails.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "model/sketch.h"
#include "respond/counters.h"
#include "respond/policy.h"
#include "respond/snapshot.h"

namespace stillwatch::respond {

// Views are read during the call. All may be empty; what is not said is not known.
struct Request {
  std::string_view account_id;  // empty: that of the key
  std::string_view api_key_id;
  std::string_view org_id;  // empty: the account's. Permits and allow lists go by the account's
  std::string_view model, channel;  // channel empty: the account's
  std::string_view client_ip;
  const model::Sketch* sketch = nullptr;  // of the request's text, when the caller sends any
  std::span<const uint64_t>
      signatures_presented;  // base::Hash64 of each; kSignaturesSeenMax are read
};
inline constexpr size_t kSignaturesSeenMax = 64;

enum class Reason : uint8_t {
  kNothing,           // nothing speaks about the request
  kDirective,         // it is refused to this one
  kDirectiveUnknown,  // the directive needs something that is not known
  kPermit,
  kOverturned,
  kAllowList,
  kDenyList,
  kCampaign,    // a rule about what was found of the account
  kRule,        // a rule about what the account or request is
  kTemplate,    // recognised: an accused campaign's template,
  kSketch,      // one of its requests,
  kReplay,      // a signature that it replayed
  kWithinRate,  // a throttle applies and has room
};
inline constexpr int kReasons = 13;
const char* ReasonName(Reason r);  // "campaign", "directive_unknown"

struct Outcome {
  Action action = Action::kAllow;
  Reason reason = Reason::kNothing;
  std::string_view rule;       // id of the rule, directive or permit, name of the list; empty: none
  std::string_view campaign;   // id; empty: none
  std::string_view reduce_to;  // of kReduce
  double probability = 0;      // of the finding; 0: none
  int64_t expires_ms = 0;      // when the rule, entry or finding lapses; 0: does not
  uint32_t retry_after_s = 0;  // of kThrottle; 0 otherwise
};

// Views point into the snapshot.
struct Decision : Outcome {
  Outcome shadowed;     // if all that the policy says were enforced
  bool shadow = false;  // that would be another action
  // Of what touches the request, its own outcome or else the shadowed: stands for (account, rule,
  // campaign), is keyed, reveals none of them and is the same each time. 0: allow.
  uint64_t appeal = 0;
};

// `counters` may be null: nothing is counted, a throttle says throttle, a permit never runs out
// (what an analyst's question may ask).
Decision Decide(const Snapshot& snapshot, const Request& request, int64_t now_ms,
                Counters* counters);

// "SW-4XK2P-9M7RD-3TZ0": what a client may be shown. Empty for 0.
std::string AppealText(uint64_t appeal);
// 0 when the text is no reference. Case, and O, I, L for 0, 1, 1, do not count.
uint64_t ParseAppeal(std::string_view text);

}  // namespace stillwatch::respond
