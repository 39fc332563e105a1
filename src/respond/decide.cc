#include "respond/decide.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "base/hash.h"
#include "respond/recognise.h"
#include "respond/snapshot_core.h"

namespace stillwatch::respond {
namespace {

using base::Combine64;

constexpr size_t kModelBytesMax = kNameBytesMax;

// One decision on its way through the steps.
class Ladder {
 public:
  Ladder(const Snapshot& snapshot, const Request& r, int64_t now_ms, Counters* counters)
      : core_(snapshot.core()), r_(r), now_(now_ms), counters_(counters) {
    if (!r.account_id.empty()) {
      account_ = IdHash(r.account_id);
    } else if (!r.api_key_id.empty()) {
      if (const uint64_t* a = core_.keys.Find(IdHash(r.api_key_id))) account_ = *a;
    }
    const AccountEntry* entry = account_ == 0 ? nullptr : core_.accounts.Find(account_);
    claimed_org_ = r.org_id.empty() ? 0 : IdHash(r.org_id);
    if (entry != nullptr) {
      class_ = &core_.classes[entry->cls];
      org_ = entry->org == kNone ? claimed_org_ : core_.org_hashes[entry->org];
    } else {
      org_ = claimed_org_;
      const uint8_t* verified = org_ == 0 ? nullptr : core_.orgs.Find(org_);
      class_ = &core_.classes[verified != nullptr && *verified != 0];
    }
    // No policy names a longer one, so it is not known.
    const size_t n = r.model.size() > kModelBytesMax ? 0 : r.model.size();
    for (size_t i = 0; i < n; ++i) {
      const char c = r.model[i];
      model_bytes_[i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c;
    }
    model_ = {model_bytes_, n};
    model_hash_ = n == 0 ? 0 : IdHash(model_);
    channel_ = r.channel.empty() ? class_->channel : IdHash(r.channel);
    const Snapshot::Pardons& pardons = snapshot.pardons();
    if (const Range* of = account_ == 0 ? nullptr : pardons.of.Find(account_)) {
      pardons_ = std::span(&pardons.pardons[of->begin], of->size);
    }
    FindListed();
  }

  // Steps in order; each says whether all is decided.
  void Run() {
    (void)(Directives() || Permits() || Overturned() || AllowLists() || DenyLists() || Rules() ||
           Recognition());
  }

  Decision Take() {
    d_.shadow = d_.shadowed.action != d_.action;
    const Outcome& told =
        d_.action != Action::kAllow ? static_cast<const Outcome&>(d_) : d_.shadowed;
    if (told.action != Action::kAllow) d_.appeal = Appeal(told);
    return d_;
  }

 private:
  // True when nothing further down can change anything.
  bool Offer(const Outcome& o, bool enforced) {
    if (!shadowed_) {
      shadowed_ = true;
      d_.shadowed = o;
    }
    if (enforced) static_cast<Outcome&>(d_) = o;
    return enforced;
  }
  // Not worth looking at: it is not enforced, and something else comes first in shadow.
  bool Idle(bool enforced) const { return shadowed_ && !enforced; }

  static void ExpireAt(int64_t ms, Outcome* o) {
    if (ms != kNever && (o->expires_ms == 0 || ms < o->expires_ms)) o->expires_ms = ms;
  }

  // Turns a throttle into its answer.
  void Brake(const Throttle& t, uint64_t rule, uint64_t campaign, bool enforced, Outcome* o) {
    const int64_t spacing = std::max<int64_t>(1, t.period_ms / std::max(1u, t.count));
    int64_t wait = spacing;
    if (counters_ != nullptr) {
      const uint64_t who = t.per == Per::kCampaign ? campaign : Subject();
      TokenBuckets& buckets = enforced ? counters_->enforced : counters_->shadow;
      wait = buckets.Take(Combine64(rule, who), t.count, t.period_ms, t.burst, now_);
    }
    if (wait == 0) {
      o->action = Action::kAllow;
      o->reason = Reason::kWithinRate;
    } else {
      o->retry_after_s = static_cast<uint32_t>(std::min<int64_t>((wait + 999) / 1000, INT32_MAX));
    }
  }

  // Who a bucket and an appeal are about, as well as it is known.
  uint64_t Subject() const {
    if (account_ != 0) return Combine64(account_, 1);
    if (!r_.api_key_id.empty()) return Combine64(IdHash(r_.api_key_id), 2);
    if (claimed_org_ != 0) return Combine64(claimed_org_, 3);
    return Combine64(r_.client_ip.empty() ? 0 : IdHash(r_.client_ip), 4);
  }

  uint64_t Appeal(const Outcome& o) const {
    const uint64_t about[3] = {Subject(), base::Hash64(o.rule), base::Hash64(o.campaign)};
    static_assert(crypto_shorthash_BYTES == 8 && crypto_shorthash_KEYBYTES == 16);
    uint64_t out;
    crypto_shorthash(reinterpret_cast<unsigned char*>(&out),
                     reinterpret_cast<const unsigned char*>(about), sizeof about,
                     core_.appeal_key.data());
    return std::max<uint64_t>(1, out);
  }

  void Meet(uint64_t hash, uint64_t* lists) {
    const Range* range = core_.listed.Find(hash);
    if (range == nullptr) return;
    for (uint32_t i = range->begin; i < range->begin + range->size; ++i) {
      const ListedEntry& e = core_.entries[i];
      if (e.until_ms <= now_) continue;
      const uint64_t bit = uint64_t{1} << e.list;
      until_[e.list] = (listed_ & bit) != 0 ? std::max(until_[e.list], e.until_ms) : e.until_ms;
      listed_ |= bit;
      *lists |= bit;
    }
  }

  void FindListed() {
    if (core_.listed.size() == 0) return;
    uint64_t own = 0;
    if (account_ != 0) Meet(EntryHash(EntryKind::kAccount, account_), &own);
    if (!r_.api_key_id.empty()) Meet(EntryHash(EntryKind::kKey, IdHash(r_.api_key_id)), &own);
    if (org_ != 0) Meet(EntryHash(EntryKind::kOrg, org_), &own);
    if (!core_.address_lengths.empty() && !r_.client_ip.empty()) {
      if (const auto address = ParseAddressRange(r_.client_ip)) {
        for (const uint8_t length : core_.address_lengths) {
          if (length <= address->length) Meet(AddressHash(*address, length), &own);
        }
      }
    }
    // What is only claimed may accuse and never spares.
    uint64_t claimed = 0;
    if (claimed_org_ != 0 && claimed_org_ != org_) {
      Meet(EntryHash(EntryKind::kOrg, claimed_org_), &claimed);
    }
    spared_ = own & core_.allow_lists;
  }

  bool Directives() {
    for (size_t i = 0; i < core_.directives.size(); ++i) {
      const DirectiveCode& c = core_.directives[i];
      const Directive& d = *c.directive;
      const uint64_t bit = uint64_t{1} << i;
      const bool refused = (class_->refused & bit) != 0 || (listed_ & c.lists) != 0;
      if (!refused && (class_->unknown & bit) == 0) continue;
      if (now_ < d.from_ms || now_ >= d.until_ms || Idle(d.enforce)) continue;
      const bool model_unknown = !c.models.any && model_.empty();
      if (!model_unknown && !c.models.Has(model_hash_, model_)) continue;
      Outcome o;
      o.rule = d.id;
      if (refused && !model_unknown) {
        o.reason = Reason::kDirective;
        o.action = d.action;
      } else {
        if (d.unknown == Unknown::kAllow) continue;
        o.reason = Reason::kDirectiveUnknown;
        o.action = d.unknown == Unknown::kVerify ? Action::kVerify : Action::kDeny;
      }
      ExpireAt(d.until_ms, &o);
      if (Offer(o, d.enforce)) return true;
    }
    return false;
  }

  bool Permits() {
    if (core_.permits_of.size() == 0) return false;
    for (const uint64_t holder : {account_ == 0 ? 0 : EntryHash(EntryKind::kAccount, account_),
                                  org_ == 0 ? 0 : EntryHash(EntryKind::kOrg, org_)}) {
      const Range* range = holder == 0 ? nullptr : core_.permits_of.Find(holder);
      if (range == nullptr) continue;
      for (uint32_t i = range->begin; i < range->begin + range->size; ++i) {
        const PermitCode& c = core_.permit_codes[core_.permit_numbers[i]];
        const model::Permit& p = *c.permit;
        if (now_ < p.valid_from_ms || now_ >= p.valid_until_ms) continue;
        if (!c.models.Has(model_hash_, model_)) continue;
        if (counters_ != nullptr && !counters_->permits.Take(c.key, p.exchanges_max)) continue;
        Outcome o;
        o.rule = p.id;
        o.reason = Reason::kPermit;
        ExpireAt(p.valid_until_ms, &o);
        return Offer(o, true);
      }
    }
    return false;
  }

  bool Overturned() {
    for (const Pardon& p : pardons_) {
      if (p.campaign != kNone || p.until_ms <= now_) continue;
      Outcome o;
      o.reason = Reason::kOverturned;
      ExpireAt(p.until_ms, &o);
      return Offer(o, true);
    }
    return false;
  }

  bool AllowLists() {
    if (spared_ == 0) return false;
    const auto i = static_cast<size_t>(__builtin_ctzll(spared_));
    Outcome o;
    o.rule = core_.lists[i].list->name;
    o.reason = Reason::kAllowList;
    ExpireAt(until_[i], &o);
    return Offer(o, true);
  }

  bool DenyLists() {
    for (uint64_t left = listed_ & core_.deny_lists; left != 0; left &= left - 1) {
      const auto i = static_cast<size_t>(__builtin_ctzll(left));
      const List& l = *core_.lists[i].list;
      if (Idle(l.enforce)) continue;
      Outcome o;
      o.rule = l.name;
      o.reason = Reason::kDenyList;
      o.action = l.action;
      o.reduce_to = l.reduce_to;
      ExpireAt(until_[i], &o);
      if (l.action == Action::kThrottle) Brake(l.throttle, core_.lists[i].hash, 0, l.enforce, &o);
      if (Offer(o, l.enforce)) return true;
    }
    return false;
  }

  bool Struck(uint32_t campaign) const {
    for (const Pardon& p : pardons_) {
      if (p.campaign == campaign && p.until_ms > now_) return true;
    }
    return false;
  }

  // The part of a rule that this request decides.
  bool RequestMatches(const RuleCode& c) const {
    return now_ < c.rule->until_ms && c.models.Has(model_hash_, model_) &&
           (c.channels.any ||
            (channel_ != 0 &&
             std::binary_search(c.channels.exact.begin(), c.channels.exact.end(), channel_)));
  }

  bool CampaignMatches(const RuleCode& c, uint32_t number, double probability) const {
    const Match& m = c.rule->match;
    const CampaignInfo& campaign = core_.campaigns[number];
    if (probability < m.probability_min || probability > m.probability_max) return false;
    if (m.tiers != 0 && (m.tiers & 1u << static_cast<int>(TierOf(probability))) == 0) return false;
    if (m.capabilities != 0 && (m.capabilities & campaign.capabilities) == 0) return false;
    if (!m.campaigns.empty() &&
        !std::binary_search(c.campaigns.begin(), c.campaigns.end(), number)) {
      return false;
    }
    return !Lapsed(*c.rule, campaign) && !Struck(number);
  }
  bool Lapsed(const Rule& rule, const CampaignInfo& campaign) const {
    return rule.expires_after_ms > 0 && now_ >= campaign.last_seen_ms + rule.expires_after_ms;
  }

  // Of a rule that has matched.
  bool Act(const RuleCode& c, uint32_t campaign, double probability, Reason reason) {
    const Rule& rule = *c.rule;
    Outcome o;
    o.rule = rule.id;
    o.reason = reason;
    o.action = rule.action;
    o.reduce_to = rule.reduce_to;
    o.probability = probability;
    ExpireAt(rule.until_ms, &o);
    uint64_t campaign_hash = 0;
    if (campaign != kNone) {
      const CampaignInfo& info = core_.campaigns[campaign];
      o.campaign = info.id;
      campaign_hash = info.hash;
      if (rule.expires_after_ms > 0) ExpireAt(info.last_seen_ms + rule.expires_after_ms, &o);
    }
    if (rule.action == Action::kThrottle)
      Brake(rule.throttle, c.hash, campaign_hash, rule.enforce, &o);
    return Offer(o, rule.enforce);
  }

  bool Rules() {
    const Range* found = account_ == 0 ? nullptr : core_.findings_of.Find(account_);
    const Range& numbers = found == nullptr ? class_->plain : class_->all;
    for (uint32_t i = numbers.begin; i < numbers.begin + numbers.size; ++i) {
      const RuleCode& c = core_.rules[core_.rule_numbers[i]];
      if (Idle(c.rule->enforce) || !RequestMatches(c)) continue;
      if (!c.asks_finding) {
        if (Act(c, kNone, 0, Reason::kRule)) return true;
        continue;
      }
      for (uint32_t f = found->begin; f < found->begin + found->size; ++f) {
        const Finding& finding = core_.findings[f];
        // A probability of .95 is kept as the nearest float and means .95.
        const double probability = static_cast<double>(finding.probability) + 1e-7;
        if ((c.rule->match.verdicts & 1u << static_cast<int>(finding.own)) == 0 ||
            !CampaignMatches(c, finding.campaign, std::min(1.0, probability))) {
          continue;
        }
        if (Act(c, finding.campaign, static_cast<double>(finding.probability), Reason::kCampaign))
          return true;
        break;
      }
    }
    return false;
  }

  bool Recognition() {
    if (class_->recognition.size == 0) return false;
    PatternMatch matches[kMatchesMax + kSignaturesSeenMax];
    size_t n = 0;
    for (const uint64_t signature : r_.signatures_presented.first(
             std::min(r_.signatures_presented.size(), kSignaturesSeenMax))) {
      const Replayed* replayed = core_.replayed.Find(signature);
      if (replayed == nullptr || !Foreign(replayed->issued_to)) continue;
      matches[n++] = {replayed->campaign, By::kReplay, 1};
    }
    if (r_.sketch != nullptr && r_.sketch->present && !core_.patterns.empty()) {
      PatternMatch found[kMatchesMax];
      const size_t k =
          core_.patterns.Find(r_.sketch->system, r_.sketch->turn, core_.containment_least, found);
      std::copy(found, found + k, matches + n);
      n += k;
    }
    if (n == 0) return false;
    const Range& numbers = class_->recognition;
    for (uint32_t i = numbers.begin; i < numbers.begin + numbers.size; ++i) {
      const RuleCode& c = core_.recognition[core_.rule_numbers[i]];
      if (Idle(c.rule->enforce) || !RequestMatches(c)) continue;
      for (size_t k = 0; k < n; ++k) {
        const PatternMatch& m = matches[k];
        const double probability = core_.campaigns[m.campaign].probability;
        if ((c.rule->match.by & 1u << static_cast<int>(m.by)) == 0 ||
            m.similarity < c.rule->match.containment_min ||
            !CampaignMatches(c, m.campaign, probability)) {
          continue;
        }
        const Reason reason = m.by == By::kTemplate ? Reason::kTemplate
                              : m.by == By::kSketch ? Reason::kSketch
                                                    : Reason::kReplay;
        if (Act(c, m.campaign, probability, reason)) return true;
        break;
      }
    }
    return false;
  }

  // Whether somebody else presents it than it was issued to; one organisation is one customer.
  bool Foreign(uint64_t issued_to) const {
    if (issued_to == account_) return false;
    if (org_ == 0) return true;
    const AccountEntry* owner = core_.accounts.Find(issued_to);
    return owner == nullptr || owner->org == kNone || core_.org_hashes[owner->org] != org_;
  }

  const Snapshot::Core& core_;
  const Request& r_;
  const int64_t now_;
  Counters* const counters_;
  const Class* class_;
  uint64_t account_ = 0, org_ = 0, claimed_org_ = 0;  // hashes; 0: not known
  uint64_t model_hash_ = 0, channel_ = 0;
  std::string_view model_;
  std::span<const Pardon> pardons_;
  uint64_t listed_ = 0, spared_ = 0;  // by list
  bool shadowed_ = false;
  Decision d_;
  int64_t until_[kListsMax];  // of those in listed_
  char model_bytes_[kModelBytesMax];
};

}  // namespace

Decision Decide(const Snapshot& snapshot, const Request& request, int64_t now_ms,
                Counters* counters) {
  Ladder ladder(snapshot, request, now_ms, counters);
  ladder.Run();
  return ladder.Take();
}

}  // namespace stillwatch::respond
