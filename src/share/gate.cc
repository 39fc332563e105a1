#include "share/gate.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/str.h"

namespace stillwatch::share {
namespace {

using base::StrCat;

struct Row {
  ItemType type;
  std::array<Rule, kAudiences> rule;  // provider, cloud, government, public
  const char* why;
};

constexpr Rule N = Rule::kNever, C = Rule::kCompare, B = Rule::kBlinded, P = Rule::kPlain;

// What is not here, or N, never leaves.
constexpr Row kTable[] = {
    {ItemType::kTemplateSketch,
     {P, P, P, N},
     "a technical trait of the attack; it confirms guesses of the scaffold, so only shingles that "
     "20 accounts and 200 exchanges share leave, and never to the public"},
    {ItemType::kSettings, {P, P, P, N}, "a technical trait of the attack"},
    {ItemType::kNetwork,
     {P, P, P, N},
     "a network operator is no person; many of its users are innocent"},
    {ItemType::kTlsFingerprint, {P, P, P, N}, "names software, not a person"},
    {ItemType::kClient, {P, P, P, N}, "names software, not a person; one that 20 accounts use"},
    {ItemType::kSignature, {N, P, N, N}, "means something only where the same models are served"},
    {ItemType::kAddress, {B, B, B, N}, "personal data, and few enough to be guessed"},
    {ItemType::kPayment, {C, C, N, N}, "personal data, and few enough to be guessed"},
    {ItemType::kMailDomain, {B, B, B, N}, "may name a person or a firm, and can be guessed"},
    {ItemType::kReferrer, {B, B, B, N}, "may name a person or a firm, and can be guessed"},
    {ItemType::kAccountId,
     {N, B, N, N},
     "a customer's name; only a cloud that sells the same service knows the same accounts"},
    {ItemType::kAccount, {P, P, P, N}, "a running number that says nothing about the account"},
    {ItemType::kCapability, {P, P, P, P}, "what the attack aims at"},
    {ItemType::kCampaignFigures,
     {P, P, P, P},
     "sums over the whole campaign, to two digits and whole days; none of a customer"},
    {ItemType::kAttribution,
     {P, P, P, N},
     "an allegation; to those who act on it, with its probability"},
    {ItemType::kRhythm,
     {P, P, P, N},
     "a technical trait of the attack: half hours in which ten accounts or more together were "
     "busier "
     "or quieter than their habits; none of an account"},
};
static_assert(std::size(kTable) == kItemTypes);

const Row* RowOf(ItemType type) {
  for (const Row& r : kTable)
    if (r.type == type) return &r;
  return nullptr;
}

bool IsKey(std::string_view v) {
  return v.size() == 16 && std::all_of(v.begin(), v.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// To two significant digits: 28,812,345 is 29,000,000.
uint64_t Rounded(uint64_t n) {
  uint64_t unit = 1;
  while (n / unit >= 100) unit *= 10;
  return (n + unit / 2) / unit * unit;
}

constexpr int64_t kDay = 86'400'000;
int64_t DayOf(int64_t ms) { return (ms >= 0 ? ms : ms - (kDay - 1)) / kDay * kDay; }

// What stays, summed up by type and reason.
class Keeper {
 public:
  void Keep(ItemType type, Rule rule, std::string why, uint64_t count = 1) {
    if (count == 0) return;
    auto& [kept_rule, n] = kept_[{type, std::move(why)}];
    kept_rule = rule;
    n += count;
  }
  std::vector<Kept> Take() {
    std::vector<Kept> out;
    for (auto& [key, value] : kept_)
      out.push_back({key.first, value.first, value.second, key.second});
    return out;
  }

 private:
  std::map<std::pair<ItemType, std::string>, std::pair<Rule, uint64_t>> kept_;
};

}  // namespace

const char* AudienceName(Audience a) {
  static constexpr const char* kNames[] = {"provider", "cloud", "government", "public"};
  return kNames[static_cast<int>(a)];
}

std::optional<Audience> AudienceNamed(std::string_view name) {
  for (int i = 0; i < kAudiences; ++i)
    if (name == AudienceName(static_cast<Audience>(i))) return static_cast<Audience>(i);
  return std::nullopt;
}

const char* RuleName(Rule r) {
  static constexpr const char* kNames[] = {"never", "compare", "blinded", "plain"};
  return kNames[static_cast<int>(r)];
}

Rule RuleFor(ItemType type, Audience audience) {
  const Row* row = RowOf(type);
  return row ? row->rule[static_cast<size_t>(audience)] : Rule::kNever;
}

const char* RuleReason(ItemType type) {
  const Row* row = RowOf(type);
  return row ? row->why : "not in the list of what may leave";
}

absl::StatusOr<Release> Gate(const std::vector<CandidateCampaign>& campaigns, Audience audience,
                             const BlindingKey* key) {
  Release out;
  out.audience_ = audience;
  Keeper keeper;
  for (const CandidateCampaign& c : campaigns) {
    if (!IsKey(c.facts.key))
      return absl::InvalidArgumentError(
          StrCat("gate: a campaign's key is 16 hex digits, not '", c.facts.key, "'"));
    if (!(c.facts.probability >= 0 && c.facts.probability <= 1))
      return absl::InvalidArgumentError(
          StrCat("gate: campaign ", c.facts.key, ": its probability is not within 0 and 1"));
    if (c.facts.suspected && audience == Audience::kPublic)
      return absl::InvalidArgumentError(
          StrCat("gate: campaign ", c.facts.key, " is a suspicion; none is made public"));
    Release::Campaign r;
    r.facts.key = c.facts.key;
    r.facts.suspected = c.facts.suspected;
    r.facts.probability = c.facts.probability;
    r.facts.accounts = Rounded(c.facts.accounts);
    r.facts.exchanges = Rounded(c.facts.exchanges);
    r.facts.first_seen_ms = DayOf(c.facts.first_seen_ms);
    r.facts.last_seen_ms = DayOf(c.facts.last_seen_ms);
    for (const auto& [label, share] : c.facts.capabilities) {
      if (!Item::Parse(ItemType::kCapability, label) || !(share >= 0 && share <= 1))
        return absl::InvalidArgumentError(StrCat("gate: campaign ", c.facts.key, ": '", label,
                                                 "' is no capability with a share"));
      r.facts.capabilities.emplace_back(label, static_cast<int>(share * 100 + .5) / 100.0);
    }
    for (const std::string& family : c.facts.families) {
      if (!Item::Parse(ItemType::kCapability, family))  // the same grammar of labels
        return absl::InvalidArgumentError(
            StrCat("gate: campaign ", c.facts.key, ": '", family, "' is no family of evidence"));
      r.facts.families.push_back(family);
    }
    for (const Item& item : c.items) {
      const Rule rule = RuleFor(item.type(), audience);
      if (item.type() == ItemType::kTemplateSketch || item.type() == ItemType::kAttribution)
        return absl::InvalidArgumentError(
            StrCat("gate: campaign ", c.facts.key, ": a ", ItemTypeName(item.type()),
                   " has a field of its own, with what it must be judged by"));
      if (c.facts.suspected && item.type() != ItemType::kRhythm &&
          item.type() != ItemType::kCapability) {
        keeper.Keep(item.type(), Rule::kNever,
                    "of a suspicion nothing leaves but its scaffold, its rhythm and its figures");
      } else if (rule == Rule::kPlain) {
        r.items.push_back(item);
      } else if (rule == Rule::kBlinded && key) {
        r.items.push_back(item.Blind(*key));
      } else if (rule == Rule::kBlinded) {
        keeper.Keep(
            item.type(), rule,
            "leaves only under a key that the peers hold (--key, in the service sharing.keys)");
      } else {
        keeper.Keep(item.type(), rule, RuleReason(item.type()));
      }
    }
    for (const auto& shingles : c.templates) {
      std::vector<uint32_t> common;
      uint64_t rare = 0;
      for (const CountedShingle& s : shingles) {
        if (s.accounts >= kShingleAccountsMin && s.exchanges >= kShingleExchangesMin)
          common.push_back(s.hash);
        else
          ++rare;
      }
      const Rule rule = RuleFor(ItemType::kTemplateSketch, audience);
      if (rule != Rule::kPlain) {
        keeper.Keep(ItemType::kTemplateSketch, rule, RuleReason(ItemType::kTemplateSketch),
                    shingles.size());
        continue;
      }
      keeper.Keep(ItemType::kTemplateSketch, rule,
                  "shingles that fewer than 20 accounts or 200 exchanges have", rare);
      std::sort(common.begin(), common.end());
      common.erase(std::unique(common.begin(), common.end()), common.end());
      if (common.size() > kSketchHashes) {  // the smallest: a fair sample of hashes
        keeper.Keep(ItemType::kTemplateSketch, rule, "beyond the 512 of a sketch",
                    common.size() - kSketchHashes);
        common.resize(kSketchHashes);
      }
      if (const auto sketch = TemplateSketch(std::move(common))) r.items.push_back(*sketch);
    }
    for (const auto& actor : c.attribution) {
      const Rule rule = RuleFor(ItemType::kAttribution, audience);
      if (!Item::Parse(ItemType::kAttribution, actor.name) ||
          !(actor.probability >= 0 && actor.probability <= 1))
        return absl::InvalidArgumentError(
            StrCat("gate: campaign ", c.facts.key, ": attribution needs a name and a probability"));
      if (rule == Rule::kPlain && !c.facts.suspected)
        r.attribution.push_back(actor);
      else
        keeper.Keep(ItemType::kAttribution, rule, RuleReason(ItemType::kAttribution));
    }
    if (r.facts.suspected && std::none_of(r.items.begin(), r.items.end(), [](const Item& i) {
          return i.type() == ItemType::kTemplateSketch;
        })) {
      keeper.Keep(ItemType::kCampaignFigures, Rule::kNever,
                  "a suspicion without a scaffold that may leave is nobody else's business");
      continue;
    }
    std::sort(r.items.begin(), r.items.end());
    r.items.erase(std::unique(r.items.begin(), r.items.end()), r.items.end());
    out.campaigns_.push_back(std::move(r));
  }
  std::sort(out.campaigns_.begin(), out.campaigns_.end(),
            [](const auto& a, const auto& b) { return a.facts.key < b.facts.key; });
  out.kept_ = keeper.Take();
  return out;
}

absl::StatusOr<Release> GateSightings(std::vector<Sighting> sightings, Audience audience) {
  Release out;
  out.audience_ = audience;
  Keeper keeper;
  for (Sighting& s : sightings) {
    const size_t dashes = s.of.find("--");
    if (dashes == std::string::npos || s.of.size() != dashes + 38 ||
        !std::all_of(s.of.begin(), s.of.end(), [](char c) {
          return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-';
        }))
      return absl::InvalidArgumentError(StrCat("gate: '", s.of, "' is no id of STIX"));
    const Rule rule = RuleFor(ItemType::kCampaignFigures, audience);
    if (rule != Rule::kPlain) {
      keeper.Keep(ItemType::kCampaignFigures, rule, RuleReason(ItemType::kCampaignFigures));
    } else if (s.accounts < kShingleAccountsMin || s.exchanges < kShingleExchangesMin) {
      keeper.Keep(ItemType::kCampaignFigures, rule,
                  "seen in fewer than 20 accounts or 200 exchanges");
    } else {
      Sighting seen;
      seen.of = std::move(s.of);
      seen.accounts = Rounded(s.accounts), seen.exchanges = Rounded(s.exchanges);
      seen.first_seen_ms = DayOf(s.first_seen_ms), seen.last_seen_ms = DayOf(s.last_seen_ms);
      out.sightings_.push_back(std::move(seen));
    }
  }
  std::sort(out.sightings_.begin(), out.sightings_.end(),
            [](const auto& a, const auto& b) { return a.of < b.of; });
  out.kept_ = keeper.Take();
  return out;
}

}  // namespace stillwatch::share
