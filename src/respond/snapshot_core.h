// The inside of a snapshot, for decide.cc and the builder.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "respond/flat_map.h"
#include "respond/recognise.h"
#include "respond/snapshot.h"

namespace stillwatch::respond {

inline constexpr uint32_t kNone = UINT32_MAX;

// Part of one of the arrays below.
struct Range {
  uint32_t begin = 0, size = 0;
};

// Names in a policy, in lower case, against one in a request.
struct NameSet {
  bool any = true;              // states nothing
  std::vector<uint64_t> exact;  // hashes, ascending
  std::vector<std::string> globs;
  bool Has(uint64_t hash, std::string_view lower) const;
};

// Accounts that all rules and directives see alike: what is true of them does not change before
// the next snapshot. Nothing says why.
struct Class {
  uint64_t refused = 0, unknown = 0;  // directives, by number
  uint64_t channel = 0;               // hash of its name; 0: none
  bool known = false;
  Range plain, all, recognition;  // rule numbers: without finding, all, recognition rules
};

struct AccountEntry {
  uint32_t cls = 0, org = kNone;
};

struct Finding {
  uint32_t campaign = 0;
  float probability = 0;
  Own own = Own::kUnresolved;
};

struct CampaignInfo {
  std::string id;
  uint64_t hash = 0;
  model::Verdict verdict = model::Verdict::kUnresolved;
  double probability = 0;
  uint32_t capabilities = 0;  // with kCapabilityShare of its exchanges
  int64_t first_seen_ms = 0, last_seen_ms = 0;
  uint64_t accounts = 0;
};

struct RuleCode {
  const Rule* rule = nullptr;
  NameSet models, channels;
  std::vector<uint32_t> campaigns;  // numbers, ascending
  uint64_t hash = 0;                // of its id
  bool asks_finding = false;
};

struct DirectiveCode {
  const Directive* directive = nullptr;
  NameSet models;
  uint64_t lists = 0;  // by number
  uint64_t hash = 0;
};

struct ListCode {
  const List* list = nullptr;
  uint64_t hash = 0;
};

struct ListedEntry {
  uint32_t list = 0;
  int64_t until_ms = kNever;
};

struct PermitCode {
  const model::Permit* permit = nullptr;
  NameSet models;
  uint64_t key = 0;
};

struct Replayed {
  uint32_t campaign = 0;
  uint64_t issued_to = 0;  // hash of the account
};

struct Snapshot::Core {
  Policy policy;
  std::vector<model::Permit> permits;  // the policy's and those added
  std::vector<RuleCode> rules, recognition;
  double containment_least = 1;  // of the recognition rules
  std::vector<DirectiveCode> directives;
  std::vector<ListCode> lists;
  uint64_t allow_lists = 0, deny_lists = 0;  // by number
  std::vector<PermitCode> permit_codes;

  std::vector<Class> classes;  // [0]: no record; [1]: no record, in a verified organisation
  std::vector<uint16_t> rule_numbers;
  FlatMap<AccountEntry> accounts;
  FlatMap<uint64_t> keys;            // hash of the account
  FlatMap<uint8_t> orgs;             // 1: verified
  std::vector<uint64_t> org_hashes;  // by AccountEntry::org
  FlatMap<Range> findings_of;
  std::vector<Finding> findings;
  std::vector<CampaignInfo> campaigns;  // by id

  FlatMap<Range> listed;  // EntryHash -> entries
  std::vector<ListedEntry> entries;
  std::vector<uint8_t> address_lengths;  // in use, longest first
  FlatMap<Range> permits_of;  // EntryHash of an account or organisation -> permit_numbers
  std::vector<uint32_t> permit_numbers;

  PatternIndex patterns;
  FlatMap<Replayed> replayed;

  std::array<uint8_t, 16> appeal_key{};
  SnapshotInfo info;
};

struct Pardon {
  uint32_t campaign = kNone;  // kNone: all
  int64_t until_ms = kNever;
};

struct Snapshot::Pardons {
  FlatMap<Range> of;  // account
  std::vector<Pardon> pardons;
};

// Of an id; never 0.
uint64_t IdHash(std::string_view id);
uint64_t EntryHash(EntryKind kind, uint64_t id_hash);
// Of the first `length` bits.
uint64_t AddressHash(const AddressRange& range, int length);

}  // namespace stillwatch::respond
