#include "respond/snapshot.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <bit>
#include <bitset>
#include <cstring>
#include <tuple>

#include "base/hash.h"
#include "base/release.h"
#include "base/str.h"
#include "respond/counters.h"
#include "respond/snapshot_core.h"

namespace stillwatch::respond {
namespace {

using base::Combine64;
using base::StrCat;

std::string Lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c;
  return out;
}

NameSet Names(const std::vector<std::string>& names) {
  NameSet out;
  out.any = names.empty();
  for (const std::string& n : names) {
    if (n.find('*') == std::string::npos)
      out.exact.push_back(IdHash(n));
    else
      out.globs.push_back(n);
  }
  std::sort(out.exact.begin(), out.exact.end());
  return out;
}

// What a policy makes of an account by its record alone.
struct Traits {
  uint64_t refused = 0, unknown = 0, channel = 0;
  uint32_t known = 0;
  std::array<uint64_t, kRulesMax / 64> rules{}, recognition{};
  auto operator<=>(const Traits&) const = default;
};

struct AccountRecord {
  uint64_t account, org, content;
  uint32_t traits;
  bool org_verified;
};

struct MemberRecord {
  uint64_t account;
  uint32_t campaign;  // in the order of adding
  float probability;
  Own own;
};

struct PatternRecord {
  std::string campaign;
  By by;
  std::vector<uint32_t> hashes;
};

struct OrdinaryRecord {
  uint64_t content, account;
  int64_t ts_ms;
  std::vector<uint32_t> system, turn;
};

struct SignatureRecord {
  uint64_t signature, issued_to;
  uint64_t campaign;  // hash of its id
  auto operator<=>(const SignatureRecord&) const = default;
};

template <typename T>
size_t Bytes(const std::vector<T>& v) {
  return v.capacity() * sizeof(T);
}

// Runs of equal keys in sorted pairs become ranges over their values.
template <typename T>
FlatMap<Range> Ranges(const std::vector<std::pair<uint64_t, T>>& sorted, std::vector<T>* values) {
  std::vector<std::pair<uint64_t, Range>> ranges;
  for (const auto& [key, value] : sorted) {
    if (ranges.empty() || ranges.back().first != key) {
      ranges.push_back({key, {static_cast<uint32_t>(values->size()), 0}});
    }
    ++ranges.back().second.size;
    values->push_back(value);
  }
  values->shrink_to_fit();
  return FlatMap<Range>(ranges);
}

std::shared_ptr<const Snapshot::Pardons> MakePardons(const Snapshot::Core& core,
                                                     const std::vector<Overturned>& overturned) {
  std::vector<std::pair<uint64_t, Pardon>> pardons;
  for (const Overturned& o : overturned) {
    Pardon p{kNone, o.until_ms};
    if (!o.campaign_id.empty()) {
      const auto it =
          std::lower_bound(core.campaigns.begin(), core.campaigns.end(), o.campaign_id,
                           [](const CampaignInfo& c, const std::string& id) { return c.id < id; });
      // Of a campaign that nobody is accused of any more there is nothing to strike.
      if (it == core.campaigns.end() || it->id != o.campaign_id) continue;
      p.campaign = static_cast<uint32_t>(it - core.campaigns.begin());
    }
    pardons.push_back({IdHash(o.account_id), p});
  }
  std::sort(pardons.begin(), pardons.end(), [](const auto& a, const auto& b) {
    return std::tuple(a.first, a.second.campaign, a.second.until_ms) <
           std::tuple(b.first, b.second.campaign, b.second.until_ms);
  });
  auto out = std::make_shared<Snapshot::Pardons>();
  out->of = Ranges(pardons, &out->pardons);
  return out;
}

}  // namespace

uint64_t IdHash(std::string_view id) { return std::max<uint64_t>(1, base::Hash64(id)); }

uint64_t EntryHash(EntryKind kind, uint64_t id_hash) {
  return Combine64(id_hash, static_cast<uint64_t>(kind) + 1);
}

uint64_t AddressHash(const AddressRange& range, int length) {
  uint64_t high, low;
  std::memcpy(&high, range.bytes, 8);
  std::memcpy(&low, range.bytes + 8, 8);
  high = __builtin_bswap64(high);
  low = __builtin_bswap64(low);
  high = length >= 64 ? high : length == 0 ? 0 : high & ~uint64_t{0} << (64 - length);
  low = length >= 128 ? low : length <= 64 ? 0 : low & ~uint64_t{0} << (128 - length);
  return EntryHash(EntryKind::kAddress,
                   Combine64(Combine64(high, low), static_cast<uint64_t>(length)));
}

bool NameSet::Has(uint64_t hash, std::string_view lower) const {
  if (any) return true;
  if (lower.empty()) return false;
  for (const uint64_t h : exact) {
    if (h == hash) return true;
  }
  for (const std::string& g : globs) {
    if (Glob(g, lower)) return true;
  }
  return false;
}

Snapshot::Snapshot() = default;
Snapshot::~Snapshot() = default;
const SnapshotInfo& Snapshot::info() const { return core_->info; }
const Policy& Snapshot::policy() const { return core_->policy; }
std::span<const model::Permit> Snapshot::permits() const { return core_->permits; }
bool Snapshot::Knows(std::string_view account_id) const {
  return core_->accounts.Find(IdHash(account_id)) != nullptr;
}
bool Snapshot::KnowsKey(std::string_view api_key_id) const {
  return core_->keys.Find(IdHash(api_key_id)) != nullptr;
}
bool Snapshot::KnowsOrg(std::string_view org_id) const {
  return core_->orgs.Find(IdHash(org_id)) != nullptr;
}

std::vector<KnownFinding> Snapshot::Findings(std::string_view account_id) const {
  std::vector<KnownFinding> out;
  if (const Range* r = core_->findings_of.Find(IdHash(account_id))) {
    for (uint32_t i = r->begin; i < r->begin + r->size; ++i) {
      const Finding& f = core_->findings[i];
      out.push_back({core_->campaigns[f.campaign].id, f.own, f.probability});
    }
  }
  return out;
}

std::shared_ptr<const Snapshot> Snapshot::With(std::vector<Overturned> overturned) const {
  const std::shared_ptr<Snapshot> out(new Snapshot());
  out->core_ = core_;
  out->pardons_ = MakePardons(*core_, overturned);
  return out;
}

struct SnapshotBuilder::State {
  std::shared_ptr<Snapshot::Core> core = std::make_shared<Snapshot::Core>();
  std::vector<AccountRecord> accounts;
  std::vector<Traits> traits;
  absl::flat_hash_map<std::string, uint32_t> traits_of_facts;  // what a record says -> traits
  std::vector<std::pair<uint64_t, uint64_t>> keys;             // key, account
  std::vector<CampaignInfo> campaigns;
  std::vector<MemberRecord> members;
  std::vector<PatternRecord> patterns;
  std::vector<SignatureRecord> signatures;
  std::vector<OrdinaryRecord> ordinary;
  absl::flat_hash_set<std::string> pattern_campaigns;  // named by sketches and signatures
  std::vector<absl::flat_hash_set<uint32_t>> public_templates;
  std::vector<Overturned> overturned;
  std::vector<std::pair<std::string, ListEntry>> listed;
  std::string problem;

  void Problem(std::string what) {
    if (problem.empty() || what < problem) problem = std::move(what);
  }
  Traits TraitsOf(const AccountFacts& f, bool known);
  void Prune(size_t max);
  void PruneOrdinary();
  void DropOrdinary(std::vector<Pattern>* patterns);
};

namespace {

enum class Holds { kYes, kNo, kUnknown };

// Values may be several, separated by commas. Case and white space around them do not count.
Holds HoldsOne(std::string_view values, const Requirement& q) {
  Holds out = Holds::kUnknown;
  while (!values.empty()) {
    const size_t comma = std::min(values.find(','), values.size());
    std::string_view v = values.substr(0, comma);
    values.remove_prefix(std::min(comma + 1, values.size()));
    while (!v.empty() && (v.front() == ' ' || v.front() == '\t')) v.remove_prefix(1);
    while (!v.empty() && (v.back() == ' ' || v.back() == '\t')) v.remove_suffix(1);
    if (v.empty()) continue;
    if (std::binary_search(q.values.begin(), q.values.end(), Lower(v))) return Holds::kYes;
    out = Holds::kNo;
  }
  return out;
}

Holds HoldsAll(const Directive& d, const AccountFacts& f) {
  if (d.require.empty()) return Holds::kYes;
  if (d.proof != 0 && (d.proof & 1u << static_cast<int>(KycFromName(f.kyc))) == 0) {
    return Holds::kUnknown;
  }
  Holds all = Holds::kYes;
  for (const Requirement& q : d.require) {
    Holds one = Holds::kUnknown;
    const auto said = [&](std::string_view values) {
      if (one == Holds::kYes) return;
      if (const Holds h = HoldsOne(values, q); h != Holds::kUnknown) one = h;
    };
    if (q.key == "country") said(f.country);
    if (q.key == "citizenship") said(f.citizenship);
    for (const auto& [key, value] : f.attestations) {
      if (Lower(key) == q.key) said(value);
    }
    if (one == Holds::kNo) return Holds::kNo;
    if (one == Holds::kUnknown) all = Holds::kUnknown;
  }
  return all;
}

// The part of a rule's conditions that an account's record decides.
bool AccountMatches(const Match& m, const AccountFacts& f, bool known) {
  const Kyc kyc = f.kyc.empty() && known ? Kyc::kNone : known ? KycFromName(f.kyc) : Kyc::kUnknown;
  if (m.kycs != 0 && (m.kycs & 1u << static_cast<int>(kyc)) == 0) return false;
  if (m.org_verified && *m.org_verified != f.org_verified) return false;
  if (m.known && *m.known != known) return false;
  if (!m.plans.empty() && !std::binary_search(m.plans.begin(), m.plans.end(), f.plan)) return false;
  return true;
}

}  // namespace

Traits SnapshotBuilder::State::TraitsOf(const AccountFacts& f, bool known) {
  Traits t;
  t.known = known;
  t.channel = f.channel.empty() ? 0 : IdHash(f.channel);
  const Policy& p = core->policy;
  for (size_t i = 0; i < p.directives.size(); ++i) {
    const Holds h = HoldsAll(p.directives[i], f);
    if (h == Holds::kNo) t.refused |= uint64_t{1} << i;
    if (h == Holds::kUnknown) t.unknown |= uint64_t{1} << i;
  }
  const auto mark = [&](const std::vector<Rule>& rules, auto* bits) {
    for (size_t i = 0; i < rules.size(); ++i) {
      if (AccountMatches(rules[i].match, f, known)) (*bits)[i / 64] |= uint64_t{1} << i % 64;
    }
  };
  mark(p.rules, &t.rules);
  mark(p.recognition, &t.recognition);
  return t;
}

// Keeps those with the smallest content, so that what is kept does not depend on the order.
void SnapshotBuilder::State::Prune(size_t max) {
  const auto content = [](const PatternRecord& p) {
    uint64_t h = base::Hash64(p.campaign);
    for (const uint32_t v : p.hashes) h = Combine64(h, v);
    return std::pair(p.by, h);  // templates before sketches
  };
  std::sort(patterns.begin(), patterns.end(),
            [&](const auto& a, const auto& b) { return content(a) < content(b); });
  patterns.erase(std::unique(patterns.begin(), patterns.end(),
                             [](const auto& a, const auto& b) {
                               return a.by == b.by && a.campaign == b.campaign &&
                                      a.hashes == b.hashes;
                             }),
                 patterns.end());
  if (patterns.size() > max) {
    core->info.beyond_bounds += patterns.size() - max;
    patterns.resize(max);
  }
}

void SnapshotBuilder::State::PruneOrdinary() {
  const auto by_content = [](const OrdinaryRecord& a, const OrdinaryRecord& b) {
    return a.content < b.content;
  };
  if (ordinary.size() <= kOrdinaryMax) return;
  std::nth_element(ordinary.begin(), ordinary.begin() + kOrdinaryMax, ordinary.end(), by_content);
  ordinary.resize(kOrdinaryMax);
}

// `patterns` are sorted and distinct, as the index numbers them.
void SnapshotBuilder::State::DropOrdinary(std::vector<Pattern>* patterns) {
  PruneOrdinary();
  if (ordinary.empty() || patterns->empty()) return;
  absl::flat_hash_set<uint64_t> members;
  for (const MemberRecord& m : this->members) {
    if (core->campaigns[m.campaign].verdict == model::Verdict::kDistillation) {
      members.insert(m.account);
    }
  }
  const PatternIndex index(*patterns);
  std::vector<std::pair<uint32_t, uint64_t>> carried;  // pattern, account
  std::vector<uint32_t> found;
  for (const OrdinaryRecord& r : ordinary) {
    if (members.contains(r.account)) continue;
    index.FindAll(r.system, r.turn, core->containment_least, &found);
    for (const uint32_t p : found) {
      const CampaignInfo& c = core->campaigns[(*patterns)[p].campaign];
      if (r.ts_ms >= c.first_seen_ms && r.ts_ms <= c.last_seen_ms)
        carried.push_back({p, r.account});
    }
  }
  std::sort(carried.begin(), carried.end());
  carried.erase(std::unique(carried.begin(), carried.end()), carried.end());
  std::vector<uint32_t> accounts(patterns->size());
  for (const auto& [p, account] : carried) ++accounts[p];
  size_t kept = 0;
  for (size_t p = 0; p < patterns->size(); ++p) {
    const Pattern& pattern = (*patterns)[p];
    const bool is_ordinary =
        pattern.by == By::kSketch
            ? accounts[p] > 0
            : accounts[p] >= kOrdinaryAccountsMin &&
                  static_cast<double>(accounts[p]) >
                      kOrdinaryShare *
                          static_cast<double>(core->campaigns[pattern.campaign].accounts);
    core->info.patterns_ordinary += is_ordinary;
    if (is_ordinary) continue;
    if (kept != p) (*patterns)[kept] = std::move((*patterns)[p]);
    ++kept;
  }
  patterns->resize(kept);
  base::Release(ordinary);
}

SnapshotBuilder::SnapshotBuilder(Policy policy) : s_(std::make_unique<State>()) {
  s_->core->info.policy_version = policy.Version();
  s_->core->policy = std::move(policy);
  s_->core->permits = s_->core->policy.permits;
}
SnapshotBuilder::~SnapshotBuilder() = default;

void SnapshotBuilder::ExpectAccounts(size_t n) { s_->accounts.reserve(n); }

void SnapshotBuilder::AddAccount(const AccountFacts& f) {
  if (f.account_id.empty()) return s_->Problem("an account without an id");
  // Accounts with the same words are the same to a policy.
  std::string words;
  for (const std::string_view w : {f.kyc, f.plan, f.channel, f.country, f.citizenship}) {
    words.append(w).push_back('\x1f');
  }
  words.push_back(f.org_verified ? '1' : '0');
  for (const auto& [key, value] : f.attestations) {
    words.append(key).push_back('\x1e');
    words.append(value).push_back('\x1d');
  }
  const uint64_t content = Combine64(base::Hash64(words), base::Hash64(f.org_id));
  const auto [it, is_new] = s_->traits_of_facts.try_emplace(std::move(words), 0);
  if (is_new) {
    it->second = static_cast<uint32_t>(s_->traits.size());
    s_->traits.push_back(s_->TraitsOf(f, true));
  }
  s_->accounts.push_back({IdHash(f.account_id), f.org_id.empty() ? 0 : IdHash(f.org_id), content,
                          it->second, f.org_verified});
}

void SnapshotBuilder::AddKey(std::string_view api_key_id, std::string_view account_id) {
  if (api_key_id.empty() || account_id.empty())
    return s_->Problem("a key without an id or account");
  s_->keys.push_back({IdHash(api_key_id), IdHash(account_id)});
}

void SnapshotBuilder::AddCampaign(const model::Campaign& c) {
  if (c.id.empty()) return s_->Problem("a campaign without an id");
  CampaignInfo info;
  info.id = c.id;
  info.hash = IdHash(c.id);
  info.verdict = c.verdict;
  info.probability = c.probability;
  info.first_seen_ms = c.first_seen_ms;
  info.last_seen_ms = c.last_seen_ms;
  info.accounts = std::max<uint64_t>(c.accounts, c.members.size());
  for (const auto& [capability, share] : c.capabilities) {
    if (share >= kCapabilityShare) info.capabilities |= 1u << static_cast<int>(capability);
  }
  const auto number = static_cast<uint32_t>(s_->campaigns.size());
  s_->campaigns.push_back(std::move(info));
  for (const model::CampaignMember& m : c.members) {
    const auto own = OwnFromName(m.verdict);
    if (m.account_id.empty() || !own) {
      s_->Problem(StrCat("campaign ", c.id, ": member \"", m.account_id.substr(0, 64),
                         "\" with the verdict \"", m.verdict.substr(0, 64), "\""));
      continue;
    }
    // Nobody is worse than the campaign.
    const bool accused = *own == Own::kDistillation && c.verdict != model::Verdict::kDistillation;
    s_->members.push_back({IdHash(m.account_id), number, static_cast<float>(m.probability),
                           accused ? Own::kUnresolved : *own});
  }
  if (c.verdict != model::Verdict::kDistillation) return;
  for (const model::TemplateRef& t : c.templates) {
    PatternRecord p{c.id, By::kTemplate, t.hashes};
    std::sort(p.hashes.begin(), p.hashes.end());
    p.hashes.erase(std::unique(p.hashes.begin(), p.hashes.end()), p.hashes.end());
    s_->patterns.push_back(std::move(p));
  }
}

void SnapshotBuilder::AddSketch(std::string_view campaign_id, std::span<const uint32_t> hashes) {
  s_->pattern_campaigns.emplace(campaign_id);
  s_->patterns.push_back({std::string(campaign_id), By::kSketch, {hashes.begin(), hashes.end()}});
  if (s_->patterns.size() >= 2 * kPatternsMax) s_->Prune(kPatternsMax);
}

void SnapshotBuilder::AddReplayed(std::string_view campaign_id, uint64_t signature,
                                  std::string_view issued_to) {
  if (issued_to.empty())
    return s_->Problem("a replayed signature without the account it was issued to");
  s_->pattern_campaigns.emplace(campaign_id);
  s_->signatures.push_back({signature, IdHash(issued_to), IdHash(campaign_id)});
}

void SnapshotBuilder::AddOrdinary(std::string_view account_id, int64_t ts_ms,
                                  std::span<const uint32_t> system,
                                  std::span<const uint32_t> turn) {
  if (system.empty() && turn.empty()) return;
  OrdinaryRecord r{
      0, IdHash(account_id), ts_ms, {system.begin(), system.end()}, {turn.begin(), turn.end()}};
  r.content = Combine64(r.account, static_cast<uint64_t>(ts_ms));
  for (const uint32_t h : r.system) r.content = Combine64(r.content, h);
  for (const uint32_t h : r.turn) r.content = Combine64(r.content, h);
  s_->ordinary.push_back(std::move(r));
  if (s_->ordinary.size() >= 2 * kOrdinaryMax) s_->PruneOrdinary();
}

void SnapshotBuilder::AddPublicTemplate(std::span<const uint32_t> hashes) {
  s_->public_templates.emplace_back(hashes.begin(), hashes.end());
}

void SnapshotBuilder::AddPermit(model::Permit permit) {
  for (std::string& m : permit.models) m = Lower(m);
  s_->core->permits.push_back(std::move(permit));
}

void SnapshotBuilder::AddListEntry(std::string_view list, ListEntry entry) {
  s_->listed.emplace_back(std::string(list), std::move(entry));
}

void SnapshotBuilder::AddOverturned(Overturned overturned) {
  if (overturned.account_id.empty()) return s_->Problem("an overturned appeal without an account");
  s_->overturned.push_back(std::move(overturned));
}

absl::StatusOr<std::shared_ptr<const Snapshot>> SnapshotBuilder::Build(
    int64_t as_of_ms, std::span<const uint8_t, 16> appeal_key) {
  State& s = *s_;
  Snapshot::Core& core = *s.core;
  core.info.as_of_ms = as_of_ms;
  std::copy(appeal_key.begin(), appeal_key.end(), core.appeal_key.begin());

  // Campaigns, by id.
  std::vector<uint32_t> order(s.campaigns.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return s.campaigns[a].id < s.campaigns[b].id; });
  std::vector<uint32_t> number_of(order.size());
  absl::flat_hash_map<uint64_t, uint32_t> by_hash;
  for (uint32_t i = 0; i < order.size(); ++i) {
    number_of[order[i]] = i;
    core.campaigns.push_back(std::move(s.campaigns[order[i]]));
    if (!by_hash.emplace(core.campaigns[i].hash, i).second) {
      s.Problem(StrCat("campaign ", core.campaigns[i].id, " was added twice"));
    }
  }
  for (const std::string& id : s.pattern_campaigns) {
    if (!by_hash.contains(IdHash(id))) {
      s.Problem(StrCat("a sketch or signature of campaign \"", id.substr(0, 64),
                       "\", which was not added"));
    }
  }
  if (core.permits.size() > kPermitsMax) {
    s.Problem(StrCat(core.permits.size(), " permits; at most ", kPermitsMax, " are taken"));
  }
  if (!s.problem.empty()) return absl::InvalidArgumentError(StrCat("snapshot: ", s.problem));

  // The policy, made ready.
  const Policy& policy = core.policy;
  const auto code = [&](const std::vector<Rule>& rules, std::vector<RuleCode>* out) {
    for (const Rule& r : rules) {
      RuleCode c{&r, Names(r.match.models), Names(r.match.channels),
                 {}, IdHash(r.id),          r.match.AsksFinding()};
      for (const std::string& id : r.match.campaigns) {
        if (const auto it = by_hash.find(IdHash(id)); it != by_hash.end())
          c.campaigns.push_back(it->second);
      }
      std::sort(c.campaigns.begin(), c.campaigns.end());
      out->push_back(std::move(c));
    }
  };
  code(policy.rules, &core.rules);
  code(policy.recognition, &core.recognition);
  for (const Rule& r : policy.recognition) {
    core.containment_least = std::min(core.containment_least, r.match.containment_min);
  }
  absl::flat_hash_map<std::string_view, uint32_t> list_numbers;
  for (const List& l : policy.lists) {
    const auto i = static_cast<uint32_t>(core.lists.size());
    list_numbers[l.name] = i;
    if (l.kind == ListKind::kAllow) core.allow_lists |= uint64_t{1} << i;
    if (l.kind == ListKind::kDeny) core.deny_lists |= uint64_t{1} << i;
    core.lists.push_back({&l, IdHash(l.name)});
  }
  for (const Directive& d : policy.directives) {
    DirectiveCode c{&d, Names(d.models), 0, IdHash(d.id)};
    for (const std::string& l : d.lists) c.lists |= uint64_t{1} << list_numbers.at(l);
    core.directives.push_back(std::move(c));
  }

  // List entries.
  std::vector<std::pair<uint64_t, ListedEntry>> entries;
  std::bitset<129> lengths;
  const auto enter = [&](uint32_t list, const ListEntry& e) {
    uint64_t hash = 0;
    if (e.kind == EntryKind::kAddress) {
      const auto range = ParseAddressRange(e.value);
      if (!range) return false;
      lengths.set(static_cast<size_t>(range->length));
      hash = AddressHash(*range, range->length);
    } else {
      if (e.value.empty()) return false;
      hash = EntryHash(e.kind, IdHash(e.value));
    }
    entries.push_back({hash, {list, e.until_ms}});
    return true;
  };
  for (uint32_t i = 0; i < core.lists.size(); ++i) {
    for (const ListEntry& e : core.lists[i].list->entries) enter(i, e);
  }
  for (const auto& [list, e] : s.listed) {
    const auto it = list_numbers.find(list);
    if (it == list_numbers.end() || !enter(it->second, e)) ++core.info.entries_unused;
  }
  if (entries.size() > 2 * kListEntriesMax) {
    return absl::InvalidArgumentError(StrCat("snapshot: ", entries.size(),
                                             " list entries; at most ", 2 * kListEntriesMax,
                                             " are taken"));
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::tuple(a.first, a.second.list, a.second.until_ms) <
           std::tuple(b.first, b.second.list, b.second.until_ms);
  });
  core.listed = Ranges(entries, &core.entries);
  for (int i = 128; i >= 0; --i) {
    if (lengths.test(static_cast<size_t>(i)))
      core.address_lengths.push_back(static_cast<uint8_t>(i));
  }

  // Permits; those that were added after the policy's, in the order of their ids.
  std::sort(core.permits.begin() + static_cast<std::ptrdiff_t>(policy.permits.size()),
            core.permits.end(), [](const model::Permit& a, const model::Permit& b) {
              return std::tie(a.id, a.org_id, a.account_ids, a.models, a.exchanges_max,
                              a.valid_from_ms, a.valid_until_ms) <
                     std::tie(b.id, b.org_id, b.account_ids, b.models, b.exchanges_max,
                              b.valid_from_ms, b.valid_until_ms);
            });
  std::vector<std::pair<uint64_t, uint32_t>> holders;
  for (uint32_t i = 0; i < core.permits.size(); ++i) {
    const model::Permit& p = core.permits[i];
    core.permit_codes.push_back({&p, Names(p.models), PermitKey(p.id)});
    if (!p.org_id.empty()) holders.push_back({EntryHash(EntryKind::kOrg, IdHash(p.org_id)), i});
    for (const std::string& a : p.account_ids)
      holders.push_back({EntryHash(EntryKind::kAccount, IdHash(a)), i});
  }
  std::sort(holders.begin(), holders.end());
  holders.erase(std::unique(holders.begin(), holders.end()), holders.end());
  core.permits_of = Ranges(holders, &core.permit_numbers);

  // Accounts: of those that differ the smallest content counts.
  std::sort(s.accounts.begin(), s.accounts.end(),
            [](const AccountRecord& a, const AccountRecord& b) {
              return std::tie(a.account, a.content) < std::tie(b.account, b.content);
            });
  size_t kept = 0;
  for (size_t i = 0; i < s.accounts.size(); ++i) {
    if (kept > 0 && s.accounts[kept - 1].account == s.accounts[i].account) {
      core.info.accounts_conflicting += s.accounts[kept - 1].content != s.accounts[i].content;
      continue;
    }
    s.accounts[kept++] = s.accounts[i];
  }
  s.accounts.resize(kept);

  // Organisations: verified when any account says so.
  std::vector<std::pair<uint64_t, uint8_t>> orgs;
  for (const AccountRecord& a : s.accounts) {
    if (a.org != 0) orgs.push_back({a.org, a.org_verified});
  }
  std::sort(orgs.begin(), orgs.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second > b.second;
  });
  orgs.erase(std::unique(orgs.begin(), orgs.end(),
                         [](const auto& a, const auto& b) { return a.first == b.first; }),
             orgs.end());
  for (const auto& [hash, verified] : orgs) core.org_hashes.push_back(hash);
  core.orgs = FlatMap<uint8_t>(orgs);

  // Classes: two for whoever has no record, then the distinct traits in their own order.
  AccountFacts stranger;
  std::vector<Traits> distinct(s.traits);
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::vector<uint32_t> class_of(s.traits.size());
  for (size_t i = 0; i < s.traits.size(); ++i) {
    class_of[i] =
        2 + static_cast<uint32_t>(std::lower_bound(distinct.begin(), distinct.end(), s.traits[i]) -
                                  distinct.begin());
  }
  std::vector<Traits> all = {s.TraitsOf(stranger, false)};
  stranger.org_verified = true;
  all.push_back(s.TraitsOf(stranger, false));
  all.insert(all.end(), distinct.begin(), distinct.end());
  absl::flat_hash_map<std::vector<uint16_t>, uint32_t> known_lists;
  const auto keep = [&](const std::vector<uint16_t>& numbers) {
    const auto [it, is_new] =
        known_lists.try_emplace(numbers, static_cast<uint32_t>(core.rule_numbers.size()));
    if (is_new) core.rule_numbers.insert(core.rule_numbers.end(), numbers.begin(), numbers.end());
    return Range{it->second, static_cast<uint32_t>(numbers.size())};
  };
  for (const Traits& t : all) {
    Class c;
    c.refused = t.refused;
    c.unknown = t.unknown;
    c.channel = t.channel;
    c.known = t.known != 0;
    std::vector<uint16_t> plain, every, recognition;
    for (size_t i = 0; i < core.rules.size(); ++i) {
      if ((t.rules[i / 64] >> i % 64 & 1) == 0) continue;
      every.push_back(static_cast<uint16_t>(i));
      if (!core.rules[i].asks_finding) plain.push_back(static_cast<uint16_t>(i));
    }
    for (size_t i = 0; i < core.recognition.size(); ++i) {
      if (t.recognition[i / 64] >> i % 64 & 1) recognition.push_back(static_cast<uint16_t>(i));
    }
    c.plain = keep(plain);
    c.all = keep(every);
    c.recognition = keep(recognition);
    core.classes.push_back(c);
  }

  std::vector<std::pair<uint64_t, AccountEntry>> accounts;
  accounts.reserve(s.accounts.size());
  for (const AccountRecord& a : s.accounts) {
    AccountEntry e{class_of[a.traits], kNone};
    if (a.org != 0) {
      e.org = static_cast<uint32_t>(
          std::lower_bound(core.org_hashes.begin(), core.org_hashes.end(), a.org) -
          core.org_hashes.begin());
    }
    accounts.push_back({a.account, e});
  }
  base::Release(s.accounts);
  core.accounts = FlatMap<AccountEntry>(accounts);
  base::Release(accounts);

  // Keys; one of several accounts says nothing.
  std::sort(s.keys.begin(), s.keys.end());
  s.keys.erase(std::unique(s.keys.begin(), s.keys.end()), s.keys.end());
  std::vector<std::pair<uint64_t, uint64_t>> keys;
  for (size_t i = 0; i < s.keys.size();) {
    size_t j = i;
    while (j < s.keys.size() && s.keys[j].first == s.keys[i].first) ++j;
    if (j - i == 1)
      keys.push_back(s.keys[i]);
    else
      ++core.info.keys_ambiguous;
    i = j;
  }
  base::Release(s.keys);
  core.keys = FlatMap<uint64_t>(keys);
  base::Release(keys);

  // Findings, the most probable first. Of several of one account in one campaign the mildest
  // counts: it cannot be both.
  for (MemberRecord& m : s.members) m.campaign = number_of[m.campaign];
  std::sort(s.members.begin(), s.members.end(), [](const MemberRecord& a, const MemberRecord& b) {
    return std::tuple(a.account, a.campaign, -static_cast<int>(a.own), a.probability) <
           std::tuple(b.account, b.campaign, -static_cast<int>(b.own), b.probability);
  });
  s.members.erase(std::unique(s.members.begin(), s.members.end(),
                              [](const auto& a, const auto& b) {
                                return a.account == b.account && a.campaign == b.campaign;
                              }),
                  s.members.end());
  std::sort(s.members.begin(), s.members.end(), [](const MemberRecord& a, const MemberRecord& b) {
    return std::tuple(a.account, -a.probability, a.campaign) <
           std::tuple(b.account, -b.probability, b.campaign);
  });
  std::vector<std::pair<uint64_t, Finding>> findings;
  for (const MemberRecord& m : s.members)
    findings.push_back({m.account, {m.campaign, m.probability, m.own}});
  core.findings_of = Ranges(findings, &core.findings);

  // What can be recognised: of accused campaigns alone.
  std::vector<PatternRecord> usable;
  for (PatternRecord& p : s.patterns) {
    const CampaignInfo& c = core.campaigns[by_hash.at(IdHash(p.campaign))];
    if (c.verdict != model::Verdict::kDistillation) continue;
    if (p.hashes.size() < (p.by == By::kSketch ? kSketchHashesMin : kPatternHashesMin)) {
      ++core.info.patterns_short;
      continue;
    }
    const bool is_public =
        p.by == By::kTemplate &&
        std::any_of(s.public_templates.begin(), s.public_templates.end(), [&](const auto& known) {
          const auto held = std::count_if(p.hashes.begin(), p.hashes.end(),
                                          [&](uint32_t h) { return known.contains(h); });
          return static_cast<size_t>(held) * 2 >= p.hashes.size();
        });
    if (is_public) {
      ++core.info.patterns_public;
      continue;
    }
    usable.push_back(std::move(p));
  }
  s.patterns = std::move(usable);
  s.Prune(kPatternsMax);
  std::vector<Pattern> patterns;
  for (PatternRecord& p : s.patterns) {
    patterns.push_back({p.by, by_hash.at(IdHash(p.campaign)), std::move(p.hashes)});
  }
  base::Release(s.patterns);
  std::sort(patterns.begin(), patterns.end());
  s.DropOrdinary(&patterns);
  for (const Pattern& p : patterns) {
    ++(p.by == By::kTemplate ? core.info.templates : core.info.sketches);
  }
  core.patterns = PatternIndex(std::move(patterns));

  // One campaign for each signature, the most probable; one that was issued to several tells
  // nothing.
  std::erase_if(s.signatures, [&](const SignatureRecord& r) {
    return core.campaigns[by_hash.at(r.campaign)].verdict != model::Verdict::kDistillation;
  });
  std::sort(s.signatures.begin(), s.signatures.end());
  std::vector<std::pair<uint64_t, Replayed>> replayed;
  for (size_t i = 0; i < s.signatures.size();) {
    size_t j = i;
    bool several = false;
    uint32_t best = by_hash.at(s.signatures[i].campaign);
    for (; j < s.signatures.size() && s.signatures[j].signature == s.signatures[i].signature; ++j) {
      several |= s.signatures[j].issued_to != s.signatures[i].issued_to;
      const uint32_t c = by_hash.at(s.signatures[j].campaign);
      const auto rank = [&](uint32_t n) { return std::pair(-core.campaigns[n].probability, n); };
      if (rank(c) < rank(best)) best = c;
    }
    if (several)
      ++core.info.signatures_ambiguous;
    else if (replayed.size() == kSignaturesMax)
      ++core.info.beyond_bounds;
    else
      replayed.push_back(
          {std::max<uint64_t>(1, s.signatures[i].signature), {best, s.signatures[i].issued_to}});
    i = j;
  }
  base::Release(s.signatures);
  core.replayed = FlatMap<Replayed>(replayed);

  SnapshotInfo& info = core.info;
  info.accounts = core.accounts.size();
  info.keys = core.keys.size();
  info.orgs = core.orgs.size();
  info.findings = core.findings.size();
  info.campaigns = core.campaigns.size();
  info.signatures = core.replayed.size();
  info.bytes = sizeof core + core.accounts.bytes() + core.keys.bytes() + core.orgs.bytes() +
               Bytes(core.org_hashes) + core.findings_of.bytes() + Bytes(core.findings) +
               Bytes(core.campaigns) + core.listed.bytes() + Bytes(core.entries) +
               core.permits_of.bytes() + Bytes(core.permit_numbers) + Bytes(core.permits) +
               Bytes(core.permit_codes) + Bytes(core.classes) + Bytes(core.rule_numbers) +
               core.patterns.bytes() + core.replayed.bytes();

  uint64_t f = base::Hash64(info.policy_version);
  const auto mix = [&](uint64_t v) { f = Combine64(f, v); };
  for (const Class& c : core.classes) {
    for (const uint64_t v : {c.refused, c.unknown, c.channel, uint64_t{c.known}}) mix(v);
    for (const Range& r : {c.plain, c.all, c.recognition}) mix(uint64_t{r.begin} << 32 | r.size);
  }
  for (const uint16_t v : core.rule_numbers) mix(v);
  core.accounts.ForEach(
      [&](uint64_t k, const AccountEntry& e) { mix(k), mix(uint64_t{e.cls} << 32 | e.org); });
  core.keys.ForEach([&](uint64_t k, uint64_t v) { mix(k), mix(v); });
  core.orgs.ForEach([&](uint64_t k, uint8_t v) { mix(k), mix(v); });
  const auto mix_range = [&](uint64_t k, const Range& r) {
    mix(k), mix(uint64_t{r.begin} << 32 | r.size);
  };
  core.findings_of.ForEach(mix_range);
  for (const Finding& v : core.findings)
    mix(uint64_t{v.campaign} << 40 | uint64_t{std::bit_cast<uint32_t>(v.probability)} << 8 |
        static_cast<uint64_t>(v.own));
  for (const CampaignInfo& c : core.campaigns) {
    for (const uint64_t v :
         {c.hash, static_cast<uint64_t>(c.verdict), std::bit_cast<uint64_t>(c.probability),
          uint64_t{c.capabilities}, static_cast<uint64_t>(c.last_seen_ms)})
      mix(v);
  }
  core.listed.ForEach(mix_range);
  for (const ListedEntry& e : core.entries)
    mix(Combine64(e.list, static_cast<uint64_t>(e.until_ms)));
  core.permits_of.ForEach(mix_range);
  for (const uint32_t v : core.permit_numbers) mix(v);
  for (const PermitCode& p : core.permit_codes) {
    for (const uint64_t v :
         {p.key, p.permit->exchanges_max, static_cast<uint64_t>(p.permit->valid_from_ms),
          static_cast<uint64_t>(p.permit->valid_until_ms)})
      mix(v);
    for (const std::string& m : p.permit->models) mix(IdHash(m));
  }
  f = core.patterns.Hash(f);
  core.replayed.ForEach(
      [&](uint64_t k, const Replayed& r) { mix(k), mix(r.campaign), mix(r.issued_to); });

  const std::shared_ptr<Snapshot> out(new Snapshot());
  out->pardons_ = MakePardons(core, s.overturned);
  out->pardons_->of.ForEach(mix_range);
  for (const Pardon& p : out->pardons_->pardons)
    mix(Combine64(p.campaign, static_cast<uint64_t>(p.until_ms)));
  info.fingerprint = f;
  out->core_ = std::move(s.core);
  s_ = std::make_unique<State>();
  return std::shared_ptr<const Snapshot>(out);
}

}  // namespace stillwatch::respond
