// What an operator wants done, as a file says it: rules, recognition rules, directives, permits and
// lists. docs/POLICY.md is the language's reference; this is its meaning as plain values.
//
// Nothing here reads a clock or a file: text comes in, a validated Policy goes out. Values are
// immutable after Parse and may be read by any number of threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/account.h"
#include "model/campaign.h"

namespace stillwatch::respond {

// Bounds. A policy beyond one of them is refused with the number.
inline constexpr size_t kPolicyBytesMax = 8 << 20;
// Of , : [ { and line breaks: what a YAML tree grows by, some 450 bytes each.
inline constexpr size_t kPolicyMarksMax = 1'000'000;
inline constexpr size_t kRulesMax = 128;            // in each of the two sections
inline constexpr size_t kDirectivesMax = 64;        // bits of a word
inline constexpr size_t kListsMax = 64;             // bits of a word
inline constexpr size_t kListEntriesMax = 100'000;  // over all lists
inline constexpr size_t kPermitsMax = 16'384;
inline constexpr size_t kNamesMax = 1'024;  // models, plans, ... of one key
inline constexpr size_t kNameBytesMax = 256;
inline constexpr size_t kPolicyErrorsMax = 20;  // told at once

inline constexpr int64_t kNever = INT64_MAX;

// In the order of severity that a dry run sorts by; a later one is not always harsher to a person.
enum class Action : uint8_t { kAllow, kObserve, kThrottle, kVerify, kReduce, kDeny };
inline constexpr int kActions = 6;
const char* ActionName(Action a);  // "allow" "observe" "throttle" "verify" "reduce" "deny"

// An account's own verdict, as accounts.csv has it: the campaign verdicts and `victim`.
enum class Own : uint8_t {
  kDistillation,
  kCoordinatedOther,
  kSharedTool,
  kEvaluation,
  kPermitted,
  kUnresolved,
  kVictim,
};
inline constexpr int kOwns = 7;
const char* OwnName(Own v);
std::optional<Own> OwnFromName(std::string_view name);

// What a probability of distillation amounts to.
enum class Tier : uint8_t { kLow, kModerate, kElevated, kHigh };
inline constexpr int kTiers = 4;
const char* TierName(
    Tier t);  // "low" below .55, "moderate" below .80, "elevated" below .95, "high"
Tier TierOf(double probability);

// How an account proved who it is; kUnknown: no record of the account, or a word we do not know.
enum class Kyc : uint8_t { kNone, kEmail, kPhone, kDocument, kBusiness, kUnknown };
inline constexpr int kKycs = 6;
const char* KycName(Kyc k);
Kyc KycFromName(std::string_view name);

// By what a request of anybody is recognised.
enum class By : uint8_t { kTemplate, kSketch, kReplay };
inline constexpr int kBys = 3;
const char* ByName(By b);  // "template" "sketch" "replay"

// Conditions; all that are stated must hold. A mask of 0 and an empty list state nothing. Bit i of
// a mask is value i of its enum.
struct Match {
  // About a finding. In `rules`: of the account's own; in `recognition`: of the campaign whose
  // template, sketch or signature was met.
  uint32_t verdicts = 0;  // rules: Own; with any other condition on findings, distillation is meant
  double probability_min = 0, probability_max = 1;
  uint32_t tiers = 0;
  uint32_t capabilities = 0;  // of the campaign, with at least kCapabilityShare of its exchanges
  std::vector<std::string> campaigns;  // ids

  // About the account. One without a record has kyc `unknown`, no verified organisation (unless
  // the request names one that is) and no plan.
  uint32_t kycs = 0;
  std::optional<bool> org_verified, known;
  std::vector<std::string> plans;

  // About the request. A model may hold "*"; case does not count.
  std::vector<std::string> models, channels;

  // recognition alone
  uint32_t by = 0;
  double containment_min = .6;  // share of a template's hashes; of sketches the Jaccard similarity

  bool AsksFinding() const {
    return verdicts != 0 || probability_min > 0 || probability_max < 1 || tiers != 0 ||
           capabilities != 0 || !campaigns.empty();
  }
};
inline constexpr double kCapabilityShare = .2;

// Who shares a throttle's bucket.
enum class Per : uint8_t { kAccount, kCampaign };

// At most `count` requests in `period_ms` in the long run, `burst` at once.
struct Throttle {
  uint32_t count = 0;
  int64_t period_ms = 0;
  uint32_t burst = 1;
  Per per = Per::kAccount;
};

struct Rule {
  std::string id;
  Match match;
  Action action = Action::kObserve;
  bool enforce = false;
  bool beyond_verify = false;  // recognition: the author knows that published scaffolds exist
  Throttle throttle;           // action throttle
  std::string reduce_to;       // action reduce: the tier's name, for the gateway
  int64_t until_ms = kNever;
  int64_t expires_after_ms = 0;  // after the campaign was last seen; 0: does not
  int line = 0;                  // of the file; no part of the policy's identity
};

// What an account must hold: of attestation `key` one of `values`.
struct Requirement {
  std::string key;  // "citizenship", "country" or any other attestation
  std::vector<std::string> values;
};

enum class Unknown : uint8_t { kAllow, kVerify, kDeny };

// Refuses models to whoever does not hold what is required, or is on a list of entities. Above
// everything else: no permit, allow list or appeal weakens one.
struct Directive {
  std::string id, basis;
  std::vector<std::string> models;  // empty: every model
  int64_t from_ms = INT64_MIN, until_ms = kNever;
  std::vector<Requirement> require;  // all of them
  uint32_t proof = 0;  // Kyc mask: an attestation of an account with another kyc counts as unknown
  std::vector<std::string> lists;  // names of lists of kind entities
  // An attestation that is missing or without proof, or a request that does not name its model.
  Unknown unknown = Unknown::kDeny;
  Action action = Action::kDeny;  // deny or verify
  bool enforce = false;
  int line = 0;
};

enum class ListKind : uint8_t { kAllow, kDeny, kEntities };
enum class EntryKind : uint8_t { kAccount, kKey, kOrg, kAddress };

struct ListEntry {
  EntryKind kind = EntryKind::kAccount;
  std::string value;  // an address range as "198.51.100.0/24", its host bits zero
  int64_t until_ms = kNever;
  std::string note;
};

// "account:acct-1", "key:...", "org:...", "address:198.51.100.0/24": an entry in one word, as the
// server's lists keep it. Nothing when it is none.
std::optional<ListEntry> ParseListEntry(std::string_view text);

struct List {
  std::string name;
  ListKind kind = ListKind::kDeny;
  Action action = Action::kDeny;  // of a deny list: anything but allow
  std::string reduce_to;
  Throttle throttle;
  bool enforce = false;  // of a deny list; an allow list always holds
  std::vector<ListEntry> entries;
  int line = 0;
};

struct Policy {
  std::string name;
  std::vector<Rule> rules, recognition;  // the first that matches decides
  std::vector<Directive> directives;
  std::vector<List> lists;
  std::vector<model::Permit> permits;
  uint64_t approval_above = 100;  // enforcing that touches more accounts needs a second person
  double lockout_share_max = .1;  // of a day's accounts denied or held; more is refused

  // The policy written one way: every default stated, lists sorted where order means nothing.
  // Parsing it gives the same policy, so two files that mean the same have the same version.
  std::string Canonical() const;
  // 32 hex digits: BLAKE2b of Canonical().
  std::string Version() const;
};

// `name` stands in messages ("policy.yaml:12: rules[0].rate: ..."). InvalidArgument names for each
// of the first kPolicyErrorsMax faults the line, the key and what to do, a line each. Unknown keys,
// keys twice, and keys that contradict each other are faults.
absl::StatusOr<Policy> ParsePolicy(std::string_view yaml, std::string_view name);

// An address range as 16 bytes (IPv4 as ::ffff:0:0/96) and its length there, 0 to 128.
struct AddressRange {
  uint8_t bytes[16] = {};
  int length = 0;
};
// "198.51.100.7", "198.51.100.0/24", "2001:db8::/32". Nothing when it is none of these.
std::optional<AddressRange> ParseAddressRange(std::string_view text);

// Whether `text`, in lower case already, is like `pattern`, where "*" stands for any run.
bool Glob(std::string_view pattern, std::string_view text);

}  // namespace stillwatch::respond
