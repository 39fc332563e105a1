#include "judge/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "base/hash.h"
#include "base/text.h"
#include "base/time.h"
#include "judge/split.h"
#include "model/exchanges_of.h"
#include "model/words.h"

namespace stillwatch::judge {
namespace {

using base::Grouped;
using base::Percent;

using link::kNone;
using link::Log;
using model::Family;
using model::Verdict;

std::string Hex(const char* prefix, uint64_t value) {
  char text[48];
  std::snprintf(text, sizeof text, "%s%012llx", prefix,
                static_cast<unsigned long long>(value >> 16));
  return text;
}

// Of the names there are, the one that a number stands for.
constexpr uint64_t kNames = 32 * 32;
std::string Name(uint64_t number) {
  static constexpr const char* kFirst[] = {
      "amber", "ashen", "birch",  "bronze", "calm",   "cedar", "cobalt", "copper",
      "coral", "dusky", "ember",  "fallow", "flint",  "frost", "gilded", "granite",
      "hazel", "heron", "indigo", "ivory",  "jade",   "lunar", "maple",  "misty",
      "ochre", "olive", "pearl",  "quartz", "russet", "sable", "slate",  "umber"};
  static constexpr const char* kSecond[] = {
      "anchor",  "badger", "beacon",  "brook", "canal",   "cliff",  "cove",   "crane",
      "delta",   "falcon", "fjord",   "forge", "glade",   "harbor", "hollow", "island",
      "kestrel", "lagoon", "lantern", "marsh", "meadow",  "otter",  "pike",   "plover",
      "quarry",  "raven",  "reef",    "ridge", "sparrow", "spire",  "tarn",   "thicket"};
  return std::string(kFirst[number & 31]) + "-" + kSecond[number >> 5 & 31];
}

std::string Quoted(const std::string& value) { return "'" + value + "'"; }  // ids are [a-z0-9_]

constexpr uint64_t kVictimRowsMin = 3, kVictimRowsSure = 10;
constexpr uint64_t kFewExchanges = 2;
constexpr double kOwnShareMin =
    .05;  // of an account's exchanges, to accuse it without a card in common
constexpr double kRelayedShareMin = .01;  // ... and with one
// Accounts of a pool have a mail domain or a referrer with so many others of it in common, so many
// times as often as the log has it: strangers share popular ones.
constexpr double kKinMin = 3, kKinLift = 8;

}  // namespace

std::string TemplateId(const link::Template& t) { return Hex("tpl_", t.id); }

void NameEach(std::span<model::Campaign> campaigns) {
  std::vector<model::Campaign*> by_age;
  for (model::Campaign& c : campaigns) by_age.push_back(&c);
  std::sort(by_age.begin(), by_age.end(), [](const auto* x, const auto* y) {
    return std::tie(x->first_seen_ms, x->id) < std::tie(y->first_seen_ms, y->id);
  });
  std::unordered_set<std::string> taken;
  for (model::Campaign* c : by_age) {
    const std::string digits = c->id.substr(c->id.find('_') + 1);
    const uint64_t number = std::stoull(digits, nullptr, 16) >> 20;
    c->name = Name(number) + "-" + digits;
    for (uint64_t i = 0; i < kNames; ++i) {
      if (!taken.insert(Name(number + i)).second) continue;
      c->name = Name(number + i);
      break;
    }
  }
}

bool WorthReporting(const Facts& f, const Weighed& w, Formed formed) {
  // A pool's accounts that share a phrase are reported as the pool.
  if (formed == Formed::kText && f.phrase && w.verdict != Verdict::kDistillation &&
      f.rhythm_z < 3 && !w.overt)
    return false;
  // A small part of what the accounts of an accused campaign do says nothing more about them.
  if (f.company >= kCompanyMin && f.dedicated < kDedicatedMin && w.verdict != Verdict::kDistillation)
    return false;
  switch (w.verdict) {
    case Verdict::kDistillation:
    case Verdict::kPermitted:
      return true;
    case Verdict::kCoordinatedOther:
      // One shared address alone is a household, a campus or a carrier. Several that follow one
      // queue are a pool, though in a small log everybody on so few would meet by chance.
      if (formed == Formed::kPurse) {
        return w.families >= 2 || f.coverage[3].bits >= kFamilyBitsMin ||
               (f.rhythm_z >= 4 && f.rhythm.excess >= kAudibleExcess && !w.overt && !w.crowd);
      }
      return formed != Formed::kManner || f.rhythm_z >= 4;
    case Verdict::kUnresolved:
      return formed == Formed::kManner
                 ? f.rhythm_z >= 4 && f.rhythm.excess >= AudibleExcess(f.rhythm)
                 : (w.probability[0] >= .1 && f.exchanges >= 40) || w.families >= 2;
    case Verdict::kSharedTool:
    case Verdict::kEvaluation:
      // What a reviewer would ask about: many customers and a purpose worth harvesting for.
      return formed == Formed::kText && f.entities >= 20 && f.exchanges >= 200 &&
             w.purpose_bits >= kPurposeBitsMin;
  }
  return false;
}

Reporter::Reporter(const Background& background, const link::AccountGraph& graph,
                   const std::vector<link::Template>& templates, const JudgeOptions& options,
                   const std::vector<bool>& harvest)
    : background_(background),
      log_(background.log()),
      graph_(graph),
      templates_(templates),
      options_(options),
      harvest_(harvest) {}

model::Campaign Reporter::Figures(const std::vector<uint32_t>& rows,
                                  const std::string& kind) const {
  model::Campaign c;
  c.exchanges = rows.size();
  uint32_t first = rows[0];
  std::array<double, model::kCapabilities> capability{};
  c.first_seen_ms = c.last_seen_ms = log_.ts_ms[rows[0]];
  for (const uint32_t row : rows) {
    c.first_seen_ms = std::min(c.first_seen_ms, log_.ts_ms[row]);
    c.last_seen_ms = std::max(c.last_seen_ms, log_.ts_ms[row]);
  }
  // Counted by number; names come last. Rows of one account are neighbours.
  const int64_t first_day = c.first_seen_ms / base::kMsPerDay;
  const size_t days = static_cast<size_t>(c.last_seen_ms / base::kMsPerDay - first_day) + 1;
  const size_t models = log_.models.size();
  struct Day {
    uint64_t exchanges = 0, accounts = 0;
    uint32_t last = kNone;  // account that was counted last
  };
  std::vector<Day> day(days);
  std::unordered_map<uint64_t, uint64_t> model_days;  // day * models + model -> exchanges
  std::vector<uint64_t> by_model(models, 0);
  std::vector<uint32_t> addresses;
  uint32_t last_account = kNone;
  for (const uint32_t row : rows) {
    const uint32_t a = log_.row_account[row];
    c.accounts += a != last_account;
    last_account = a;
    if (log_.ts_ms[row] < log_.ts_ms[first] ||
        (log_.ts_ms[row] == log_.ts_ms[first] && log_.id[row] < log_.id[first]))
      first = row;
    if (log_.input_tokens[row] != kNone) c.input_tokens += log_.input_tokens[row];
    if (log_.output_tokens[row] != kNone) c.output_tokens += log_.output_tokens[row];
    if (log_.address[row] != 0) addresses.push_back(log_.address[row]);
    if (log_.features[row] != 0) {
      ++capability[static_cast<int>(link::LongFeatures(log_.features[row]).capability)];
    }
    const size_t d = static_cast<size_t>(log_.ts_ms[row] / base::kMsPerDay - first_day);
    ++day[d].exchanges;
    day[d].accounts += day[d].last != a;
    day[d].last = a;
    ++by_model[log_.model[row]];
    ++model_days[d * models + log_.model[row]];
  }
  std::sort(addresses.begin(), addresses.end());
  for (size_t i = 0, j = 0; i < addresses.size(); i = j) {
    while (j < addresses.size() && addresses[j] == addresses[i]) ++j;
    c.addresses[log_.addresses[addresses[i]]] = j - i;
  }
  for (size_t m = 1; m < models; ++m) {
    if (by_model[m] > 0) c.models[log_.models[m]] = by_model[m];
  }
  // The earliest exchange keeps its campaign's id while the campaign grows.
  const uint64_t id = base::Combine64(base::Hash64(kind), log_.id[first]);
  c.id = Hex("cmp_", id);
  std::vector<size_t> place(days, kNone);
  for (size_t d = 0; d < days; ++d) {
    if (day[d].exchanges == 0) continue;
    place[d] = c.timeline.size();
    c.timeline.push_back({base::FormatRfc3339((first_day + static_cast<int64_t>(d)) * base::kMsPerDay).substr(0, 10),
                          day[d].exchanges, day[d].accounts, {}});
  }
  for (const auto& [key, n] : model_days) {
    if (key % models != 0) c.timeline[place[key / models]].models[log_.models[key % models]] = n;
  }
  double total = 0;
  for (const double n : capability) total += n;
  for (int i = 0; i < model::kCapabilities && total > 0; ++i) {
    if (capability[i] > 0) {
      c.capabilities.push_back({static_cast<model::Capability>(i), capability[i] / total});
    }
  }
  std::stable_sort(c.capabilities.begin(), c.capabilities.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });

  // Moves to a model within a day of its first use by anyone.
  for (size_t m = 1; m < models; ++m) {
    if (by_model[m] == 0) continue;
    const std::string& name = log_.models[m];
    int64_t first_here = INT64_MAX;
    for (const uint32_t row : rows) {
      if (log_.model[row] == m) first_here = std::min(first_here, log_.ts_ms[row]);
    }
    if (first_here - background_.FirstUse(static_cast<uint16_t>(m)) > base::kMsPerDay ||
        first_here - c.first_seen_ms < 2 * base::kMsPerDay) {
      continue;
    }
    uint64_t within = 0, all_within = 0;
    for (const uint32_t row : rows) {
      if (log_.ts_ms[row] < first_here || log_.ts_ms[row] >= first_here + base::kMsPerDay) continue;
      ++all_within;
      within += log_.model[row] == m;
    }
    if (all_within < 20 || within * 5 < all_within) continue;
    c.pivots.push_back(
        {first_here, Percent(static_cast<double>(within) / static_cast<double>(all_within)) +
                         " of the traffic moved to " + name +
                         " within 24 hours of its first use in this log"});
  }
  static constexpr model::ExchangeColumn kColumns[] = {
      {"account_id"}, {"ts"}, {"model"}, {"input_tokens"}, {"output_tokens"}, {"features"}};
  const std::string once = model::ExchangesOf(Quoted(c.id), kColumns);
  c.queries["exchanges"] = "SELECT count() FROM " + once;
  c.queries["accounts"] = "SELECT uniqExact(account_id) FROM " + once;
  c.queries["tokens"] =
      "SELECT sumIf(toUInt64(input_tokens), input_tokens != 4294967295) AS input, "
      "sumIf(toUInt64(output_tokens), output_tokens != 4294967295) AS output FROM " +
      once;
  c.queries["window"] = "SELECT min(ts), max(ts) FROM " + once;
  c.queries["models"] = "SELECT model, count() FROM " + once + " GROUP BY model ORDER BY model";
  c.queries["capabilities"] =
      "SELECT bitAnd(bitShiftRight(features, 8), 255) AS capability, count() FROM " + once +
      " WHERE features != 0 GROUP BY capability ORDER BY capability";
  c.queries["timeline"] =
      "SELECT toDate(intDiv(ts, 1000), 'UTC') AS day, count(), uniqExact(account_id) FROM " + once +
      " GROUP BY day ORDER BY day";
  c.queries["rhythm"] = "SELECT sum(n * (n - 1) / 2) AS pairs FROM (SELECT intDiv(ts + " +
                        std::to_string(log_.shift_ms) +
                        ", 3600000) AS hour, uniqExact(account_id) AS n FROM " + once +
                        " WHERE ts >= " + std::to_string(log_.heard_from_ms) + " AND ts < " +
                        std::to_string(log_.heard_until_ms) + " GROUP BY hour)";
  return c;
}

void Reporter::Members(const Candidate& candidate, const Facts& facts,
                       model::Campaign* campaign) const {
  AccountSet inside(log_.accounts(), false);
  for (const uint32_t a : candidate.accounts) inside[a] = true;
  // Pools: communities of the members by what they share; those who share nothing but the work
  // are one pool of their own.
  const std::vector<uint32_t> pool = link::FindPools(graph_, candidate.accounts, options_.pools);
  std::unordered_map<uint32_t, std::string> pool_id;
  std::map<std::string, uint64_t> pool_size;

  // Values of enrolment: how many members have them.
  std::unordered_map<std::string_view, size_t> domains, referrers;
  for (const uint32_t a : candidate.accounts) {
    ++domains[log_.account[a].email_domain];
    ++referrers[log_.account[a].referrer];
  }
  const auto pools_own = [&](const std::string& value, const auto& inside, size_t everywhere) {
    if (value.empty()) return false;
    const double others = static_cast<double>(inside.at(value)) - 1;
    return others >= kKinMin && others * static_cast<double>(log_.accounts()) >=
                                    kKinLift * static_cast<double>(candidate.accounts.size()) *
                                        static_cast<double>(everywhere);
  };

  // Addresses that several members use for the work.
  std::unordered_map<uint32_t, uint32_t> address_user, address_users;
  for (const uint32_t row : candidate.rows) {
    const uint32_t a = log_.row_account[row], address = log_.address[row];
    if (address == 0) continue;
    const auto [it, fresh] = address_user.emplace(address, a);
    if (fresh || it->second != a) {
      ++address_users[address];
      it->second = a;
    }
  }

  // What each account shows by itself, in bits: its hours, what it shares, what it replays.
  std::vector<double> own_bits(candidate.accounts.size(), 0);
  if (Audible(facts.rhythm)) {
    size_t at = 0;
    for (const link::Following& f : link::MeasureFollowing(
             EventsOf(log_, candidate.rows), [](uint32_t) { return true; }, {},
             CoveredFrom(log_))) {
      while (candidate.accounts[at] != f.account) ++at;
      own_bits[at] = std::clamp(FollowingBits(f, facts.rhythm.excess), -6.0, 6.0);
    }
  }
  AccountSet told(log_.accounts(), false);
  bool anyone_told = false;
  for (size_t i = 0; i < candidate.accounts.size(); ++i) {
    const uint32_t a = candidate.accounts[i];
    told[a] = own_bits[i] >= kTellingBits || background_.Replaying(a);
    anyone_told = anyone_told || told[a];
  }
  const double n = std::max(1u, facts.accounts);
  // Of sharing within a family, or not, against strangers' chance of it.
  std::array<double, link::kLinkFamilies> shares{}, does_not{};
  for (int f = 0; f < link::kLinkFamilies; ++f) {
    const double with = std::clamp(facts.coverage[f].linked / n, .02, .98);
    const double chance = std::clamp(facts.coverage[f].expected / n, .02, .98);
    if (with <= chance) continue;
    shares[f] = std::min(4.0, std::log2(with / chance));
    does_not[f] = std::max(-2.0, std::log2((1 - with) / (1 - chance)));
  }

  // Of the accounts that work from the pool's addresses, how many share a card with another of
  // them: who is off those addresses says nothing of whose they are.
  double at_pool = 0, paying = 0;
  {
    AccountSet seen(log_.accounts(), false);
    for (const uint32_t row : candidate.rows) {
      const auto it = address_users.find(log_.address[row]);
      if (it != address_users.end() && it->second >= 2) seen[log_.row_account[row]] = true;
    }
    for (const uint32_t a : candidate.accounts) {
      if (!seen[a]) continue;
      ++at_pool;
      paying += std::any_of(graph_.Of(a).begin(), graph_.Of(a).end(), [&](uint32_t l) {
        const link::Link& link = graph_.links[l];
        return link.bits[3] >= 3 && seen[link.a == a ? link.b : link.a];
      });
    }
  }

  size_t at = 0;
  for (size_t number = 0; number < candidate.accounts.size(); ++number) {
    const uint32_t a = candidate.accounts[number];
    model::CampaignMember m;
    m.account_id = log_.account_id[a];
    m.exchanges = log_.Exchanges(a);
    std::unordered_set<uint32_t> work_addresses;
    std::vector<uint8_t> mine(m.exchanges, 0);
    for (; at < candidate.rows.size() && log_.row_account[candidate.rows[at]] == a; ++at) {
      mine[candidate.rows[at] - log_.first_row[a]] = 1;
      ++m.attributed_exchanges;
      work_addresses.insert(log_.address[candidate.rows[at]]);
    }
    // Its pool's: an address that several members use for the work.
    const auto pools = [&](uint32_t address) {
      const auto it = address_users.find(address);
      return it != address_users.end() && it->second >= 2;
    };
    uint64_t own = 0, own_elsewhere = 0;     // no work of an accused campaign's accounts
    uint64_t own_in_pool = 0, own_away = 0;  // ... at addresses of the pool, and at nobody's of it
    int64_t own_since = INT64_MAX, work_since = INT64_MAX;
    for (uint64_t i = 0; i < m.exchanges; ++i) {
      const uint64_t row = log_.first_row[a] + i;
      const bool work = mine[i] || harvest_[row];
      int64_t& since = work ? work_since : own_since;
      since = std::min(since, log_.ts_ms[row]);
      if (work) continue;
      ++own;
      const uint32_t address = log_.address[row];
      own_elsewhere += !work_addresses.contains(address);
      own_in_pool += pools(address);
      own_away += address != 0 && !address_users.contains(address);
    }
    const bool pool_address = std::any_of(work_addresses.begin(), work_addresses.end(), pools);
    int linked = 0, strong = 0;  // strong: by payment, or by address
    bool same_purse = false;
    std::string families;
    std::array<bool, link::kLinkFamilies> by{};
    for (const uint32_t l : graph_.Of(a)) {
      const link::Link& link = graph_.links[l];
      const uint32_t other = link.a == a ? link.b : link.a;
      if (!inside[other]) continue;
      ++linked;
      if (anyone_told && !told[other]) continue;  // a link to somebody who may be a stranger as well
      for (int f = 0; f < link::kLinkFamilies; ++f) by[f] = by[f] || link.bits[f] >= 3;
      same_purse |= link.bits[3] >= 3;
      // What the members share no more often than chance would links none of them.
      strong += (shares[0] > 0 && link.bits[0] >= 3) || link.bits[3] >= 3;
    }
    const std::string &domain = log_.account[a].email_domain, &referrer = log_.account[a].referrer;
    const bool enrolled = pools_own(domain, domains, background_.AtDomain(domain)) ||
                          pools_own(referrer, referrers, background_.FromReferrer(referrer));
    // Of those who came the same way; where no queue was heard, a scaffold of one's own says a little.
    const double way = !candidate.way_bits.empty() ? std::clamp<double>(candidate.way_bits[number], -4, 3)
                       : candidate.phrase          ? 0
                                                   : 2;
    double evidence = own_bits[number] + (background_.Replaying(a) ? 6 : 0) + way;
    for (int f = 0; f < link::kLinkFamilies; ++f) evidence += by[f] ? shares[f] : does_not[f];
    for (int f = 0; f < link::kLinkFamilies; ++f) {
      if (by[f])
        families +=
            (families.empty() ? "" : ", ") + std::string(model::FamilyName(static_cast<Family>(f)));
    }
    if (pool[a] != kNone) {
      auto& id = pool_id[pool[a]];
      if (id.empty()) id = Hex("pool_", base::Hash64(m.account_id));
      m.pool_id = id;
    } else {
      m.pool_id = Hex("pool_", base::Hash64(campaign->id));
    }
    ++pool_size[m.pool_id];

    const double share = m.exchanges ? 1 - static_cast<double>(own) / static_cast<double>(m.exchanges) : 0;
    m.probability = campaign->probability;
    m.verdict = model::VerdictName(campaign->verdict);
    m.why = "Sent " + Grouped(m.attributed_exchanges) + " of its " + Grouped(m.exchanges) +
            " exchanges as part of this work";
    if (linked > 0) {
      m.why += "; shares " + (families.empty() ? std::string("several weak traits") : families) +
               " with " + Grouped(static_cast<uint64_t>(linked)) + " other accounts of it";
    }
    m.why += ".";
    if (campaign->verdict == Verdict::kDistillation) {
      // A person with a life of his own on the account, elsewhere, whose key works from the
      // pool's addresses: the owner of a stolen key. He is not accused.
      // What comes from the pool's addresses besides may be other work of the thief's.
      const auto lives = [&](uint64_t elsewhere, uint64_t of) {
        return elsewhere >= kVictimRowsMin && elsewhere * 10 >= of * 9 &&
               (elsewhere >= kVictimRowsSure ||
                elsewhere * (own_since + base::kMsPerDay < work_since ? 40 : 20) >= m.exchanges);
      };
      if (!same_purse && (lives(own_elsewhere, own) || lives(own_away, own - own_in_pool))) {
        m.verdict = "victim";
        m.probability = std::min(m.probability, .2);
        m.why +=
            " Its other " + Grouped(own) +
            " exchanges come from other addresses, as the key's "
            "owner's would" +
            std::string(pool_address ? ", and the work comes from addresses of the pool" : "") +
            ": the key may be stolen. The owner is not accused.";
      } else if (log_.account[a].org_verified) {
        m.verdict = "unresolved";
        m.probability = std::min(m.probability, .4);
        m.why += " A verified organisation owns it, which speaks against a fraudulent account.";
      } else if (own >= 5 && share < .85 && (!same_purse || share < kRelayedShareMin) &&
                 (strong < 2 || share < kOwnShareMin)) {
        m.verdict = "unresolved";
        m.probability = std::min(m.probability, .5);
        m.why +=
            " It does other work of its own and neither payment nor addresses link it to the "
            "others: "
            "a stolen key or a relay's customer would look like this. Not accused.";
      } else if (pool_address && !enrolled && !by[3] && paying * 2 >= at_pool) {
        // The pool's own accounts share its purse, or stay off its addresses as well.
        m.verdict = "unresolved";
        m.probability = std::min(m.probability, .5);
        m.why +=
            " It works from the pool's addresses, but shares neither card nor enrolment with those "
            "who do: a stolen key that its owner does not use would look like this. Not accused.";
      } else if (evidence < kTellingBits) {
        m.verdict = "unresolved";
        m.probability = std::min(m.probability, .5);
        m.why +=
            " Its hours and what it shares do not tell it from a stranger who uses the same words. "
            "Not accused.";
      } else if (m.attributed_exchanges <= kFewExchanges && !told[a]) {
        m.verdict = "unresolved";
        m.probability = std::min(m.probability, .5);
        m.why += " So few exchanges say too little about an account.";
      }
    }
    campaign->members.push_back(std::move(m));
  }
  for (const auto& [id, n] : pool_size) campaign->pools.push_back({id, n});
  std::stable_sort(campaign->pools.begin(), campaign->pools.end(),
                   [](const auto& x, const auto& y) { return x.accounts > y.accounts; });
}

// Up to evidence_ids_max exchanges for each statement, by smallest hash of their ids among those
// that show it.
void Reporter::Cite(const Candidate& candidate, model::Campaign* campaign) const {
  AccountSet inside(log_.accounts(), false);
  for (const uint32_t a : candidate.accounts) inside[a] = true;
  const int64_t first_hour = campaign->first_seen_ms / base::kMsPerHour;
  std::vector<uint32_t> accounts(
      static_cast<size_t>(campaign->last_seen_ms / base::kMsPerHour - first_hour) + 1,
      0);  // by hour
  const auto hour_of = [&](uint32_t row) {
    return static_cast<size_t>(log_.ts_ms[row] / base::kMsPerHour - first_hour);
  };
  for (size_t i = 0; i < candidate.rows.size(); ++i) {
    // An account's rows are neighbours and ascend in time.
    const uint32_t row = candidate.rows[i], last = i == 0 ? row : candidate.rows[i - 1];
    accounts[hour_of(row)] +=
        i == 0 || log_.row_account[row] != log_.row_account[last] || hour_of(row) != hour_of(last);
  }
  const size_t busiest =
      static_cast<size_t>(std::max_element(accounts.begin(), accounts.end()) - accounts.begin());
  for (model::Evidence& e : campaign->evidence) {
    std::vector<std::pair<uint64_t, uint32_t>> shown;  // a heap, the largest first
    AccountSet linked;
    const int family = static_cast<int>(e.family);
    if (family < link::kLinkFamilies) {
      linked.assign(log_.accounts(), false);
      for (const uint32_t a : candidate.accounts) {
        for (const uint32_t l : graph_.Of(a)) {
          const link::Link& link = graph_.links[l];
          if (inside[link.a == a ? link.b : link.a] && link.bits[family] >= 3) linked[a] = true;
        }
      }
    }
    for (const uint32_t row : candidate.rows) {
      if (!linked.empty() && !linked[log_.row_account[row]]) continue;
      if (e.family == Family::kRhythm && hour_of(row) != busiest) continue;
      if (e.family == Family::kReplay && !background_.IsReplay(row)) continue;
      const std::pair one{log_.id[row], row};
      if (shown.size() == options_.evidence_ids_max) {
        if (shown.empty() || shown.front() < one) continue;
        std::pop_heap(shown.begin(), shown.end());
        shown.pop_back();
      }
      shown.push_back(one);
      std::push_heap(shown.begin(), shown.end());
    }
    std::sort(shown.begin(), shown.end());
    for (const auto& [id, row] : shown) e.rows.push_back(row);

    const std::string mine =
        "(SELECT account_id FROM attributed WHERE campaign_id = " + Quoted(campaign->id) + ")";
    const auto shared = [&](const char* table, const char* column) {
      return std::string("SELECT ") + column + ", uniqExact(account_id) AS accounts FROM " + table +
             " WHERE account_id IN " + mine + " AND " + column + " != '' GROUP BY " + column +
             " HAVING accounts > 1 ORDER BY accounts DESC, " + column;
    };
    switch (e.family) {
      case Family::kNetwork:
        e.query = shared("exchanges", "client_ip");
        break;
      case Family::kClient:
        e.query = shared("exchanges", "ja4");
        break;
      case Family::kEnrolment:
        e.query = shared("accounts", "email_domain");
        break;
      case Family::kPayment:
        e.query = shared("accounts", "payment_id");
        break;
      case Family::kRhythm:
        e.query = campaign->queries.at("rhythm");
        break;
      case Family::kPurpose:
        e.query = campaign->queries.at("capabilities");
        break;
      default:
        e.query = campaign->queries.at("exchanges");
        break;
    }
  }
}

void Reporter::Attribute(const Candidate& candidate, model::Campaign* campaign) const {
  static const std::map<char, double> kReliability = {{'A', .9},  {'B', .75}, {'C', .55},
                                                      {'D', .35}, {'E', .15}, {'F', .3}};
  for (const model::KnownActor& actor : options_.known) {
    std::unordered_set<std::string> wanted;
    for (const auto& t : actor.traits) wanted.insert(t.value);
    size_t carriers = 0;
    for (const uint32_t a : candidate.accounts) {
      const model::Account& r = log_.account[a];
      bool hit = wanted.contains(r.payment_id) || wanted.contains(r.signup_ip) ||
                 wanted.contains(r.email_domain) || wanted.contains(r.referrer);
      for (uint64_t row = log_.first_row[a]; !hit && row < log_.first_row[a + 1]; ++row) {
        hit = wanted.contains(log_.addresses[log_.address[row]]) ||
              wanted.contains(log_.ja4s[log_.ja4[row]]);
      }
      carriers += hit;
    }
    bool scaffold = false;
    for (const auto& hashes : actor.templates) {
      size_t common = 0;
      for (const uint32_t h : hashes) {
        for (const uint32_t t : candidate.templates) {
          const auto& mine = templates_[t].hashes;
          if (std::binary_search(mine.begin(), mine.end(), link::SaltTurn(h)) ||
              std::binary_search(mine.begin(), mine.end(), link::SaltSystem(h))) {
            ++common;
            break;
          }
        }
      }
      scaffold |= common >= 2 && common * 2 >= hashes.size();
    }
    const double share =
        candidate.accounts.empty()
            ? 0
            : static_cast<double>(carriers) / static_cast<double>(candidate.accounts.size());
    if (share < .05 && !scaffold) continue;
    const auto it = kReliability.find(actor.reliability);
    const double trust = it == kReliability.end() ? .3 : it->second;
    const double strength = 1 - (1 - std::min(1.0, share * 2)) * (scaffold ? .4 : 1);
    campaign->attribution.push_back({actor.actor,
                                     actor.basis + " (source graded " +
                                         std::string(1, actor.reliability) + "); " +
                                         Percent(share) + " of the accounts carry a listed trait" +
                                         (scaffold ? "; a listed scaffold is used" : "") + ".",
                                     trust * strength});
  }
  std::stable_sort(campaign->attribution.begin(), campaign->attribution.end(),
                   [](const auto& a, const auto& b) { return a.probability > b.probability; });
}

model::Campaign Reporter::Report(const Candidate& candidate, const Facts& facts,
                                 const Weighed& weighed) const {
  model::Campaign c = Figures(candidate.rows, FormedName(candidate.formed));
  c.verdict = weighed.verdict;
  for (int v = 0; v < model::kVerdicts; ++v) {
    if (weighed.probability[v] > 0)
      c.all.push_back({static_cast<Verdict>(v), weighed.probability[v]});
  }
  std::stable_sort(c.all.begin(), c.all.end(),
                   [](const auto& a, const auto& b) { return a.probability > b.probability; });
  // Of what is unresolved the probability of distillation is stated.
  c.probability =
      weighed
          .probability[weighed.verdict == Verdict::kUnresolved ? 0
                                                               : static_cast<int>(weighed.verdict)];
  for (const auto& v : c.all) {
    const bool stated = weighed.verdict == Verdict::kUnresolved
                            ? v.verdict == Verdict::kDistillation
                            : v.verdict == weighed.verdict;
    if (!stated) {
      c.rival = v;
      break;
    }
  }
  c.would_change = weighed.would_change;
  c.evidence = weighed.evidence;
  std::unordered_map<uint32_t, uint64_t> of_template;
  std::unordered_map<uint32_t, std::vector<std::pair<uint64_t, uint32_t>>>
      specimens;  // hash of the id, row
  for (size_t i = 0; i < candidate.row_template.size(); ++i) {
    ++of_template[candidate.row_template[i]];
    if (options_.specimens > 0)
      specimens[candidate.row_template[i]].push_back(
          {log_.id[candidate.rows[i]], candidate.rows[i]});
  }
  for (const uint32_t t : candidate.templates) {
    model::TemplateRef ref;
    ref.id = TemplateId(templates_[t]);
    ref.exchanges = of_template[t];
    std::vector<std::pair<uint64_t, uint32_t>>& drawn = specimens[t];
    // More than are wanted: the text of some may be gone with an older log.
    const size_t n = std::min<size_t>(drawn.size(), options_.specimens * size_t{16});
    std::partial_sort(drawn.begin(), drawn.begin() + static_cast<std::ptrdiff_t>(n), drawn.end());
    for (size_t i = 0; i < n; ++i) ref.specimens.push_back({drawn[i].second, "", ""});
    for (const uint64_t h : templates_[t].hashes) ref.hashes.push_back(static_cast<uint32_t>(h));
    if (ref.exchanges > 0) c.templates.push_back(std::move(ref));
  }
  std::stable_sort(c.templates.begin(), c.templates.end(), [](const auto& a, const auto& b) {
    return a.exchanges != b.exchanges ? a.exchanges > b.exchanges : a.id < b.id;
  });
  Members(candidate, facts, &c);
  Cite(candidate, &c);
  log_.id.Rest();
  Attribute(candidate, &c);
  c.imports = facts.prior.refs;
  c.rests_on_imports = weighed.rests_on_imports;
  c.own_probability = weighed.own_probability;
  if (c.rests_on_imports)
    c.would_change += " It rests on what others say: without that it would be unresolved.";
  const std::string aim = c.capabilities.empty() ? "an aim that the log does not show"
                                                 : model::CapabilityWords(c.capabilities[0].first);
  const char* what = weighed.verdict == Verdict::kDistillation ? " sent " : " made ";
  c.summary = Grouped(c.accounts) + " accounts" + what + Grouped(c.exchanges) +
              " exchanges between " + base::FormatRfc3339(c.first_seen_ms).substr(0, 10) + " and " +
              base::FormatRfc3339(c.last_seen_ms).substr(0, 10) + ", mainly aimed at " + aim +
              "; the evidence makes ";
  c.summary += weighed.verdict == Verdict::kDistillation || weighed.verdict == Verdict::kUnresolved
                   ? "a coordinated harvest for distillation " +
                         std::string(model::LikelihoodWords(weighed.probability[0]))
                   : "the explanation \"" + std::string(model::VerdictName(weighed.verdict)) +
                         "\" " + model::LikelihoodWords(c.probability);
  c.summary += ".";
  return c;
}

void Reporter::Add(model::Campaign campaign, std::vector<uint32_t> rows) {
  campaigns_.push_back(std::move(campaign));
  rows_.push_back(std::move(rows));
}

void Reporter::AddPermitted(const model::Permit& permit, const std::vector<uint32_t>& rows,
                            uint64_t over) {
  if (rows.empty()) return;
  model::Campaign c = Figures(rows, "permit " + permit.id);
  c.verdict = Verdict::kPermitted;
  c.probability = .99;
  c.rival = {Verdict::kCoordinatedOther, .01};
  c.all = {{Verdict::kPermitted, .99}, {Verdict::kCoordinatedOther, .01}};
  c.would_change = "The permit's end, its withdrawal or use beyond it would change the verdict.";
  c.summary =
      "Permit " + permit.id + " covers " + Grouped(rows.size()) + " exchanges by " +
      Grouped(c.accounts) + " accounts" +
      (permit.exchanges_max ? " of " + Grouped(permit.exchanges_max) + " allowed" : "") +
      (over > 0 ? "; " + Grouped(over) + " more went beyond it and are judged like all others"
                : "") +
      ".";
  const std::string pool = Hex("pool_", base::Hash64(permit.id));
  size_t at = 0;
  for (const uint32_t a : [&] {
         std::vector<uint32_t> accounts;
         for (const uint32_t row : rows) {
           if (accounts.empty() || accounts.back() != log_.row_account[row])
             accounts.push_back(log_.row_account[row]);
         }
         return accounts;
       }()) {
    model::CampaignMember m;
    m.account_id = log_.account_id[a];
    m.pool_id = pool;
    m.verdict = "permitted";
    m.probability = .99;
    m.exchanges = log_.Exchanges(a);
    for (; at < rows.size() && log_.row_account[rows[at]] == a; ++at) ++m.attributed_exchanges;
    m.why = "Covered by permit " + permit.id + ".";
    c.members.push_back(std::move(m));
  }
  c.pools.push_back({pool, c.members.size()});
  Add(std::move(c), rows);
}

model::Findings Reporter::Finish() && {
  std::vector<uint32_t> order(campaigns_.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto rank = [](Verdict v) {
    switch (v) {
      case Verdict::kDistillation:
        return 0;
      case Verdict::kUnresolved:
        return 1;
      case Verdict::kCoordinatedOther:
        return 2;
      default:
        return 3;
    }
  };
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const auto& x = campaigns_[a];
    const auto& y = campaigns_[b];
    return std::tuple(rank(x.verdict), y.exchanges, x.id) <
           std::tuple(rank(y.verdict), x.exchanges, y.id);
  });
  // The owner of a stolen key is not accused of anything that the key did.
  std::unordered_set<std::string_view> victims;
  for (const model::Campaign& c : campaigns_) {
    for (const model::CampaignMember& m : c.members) {
      if (m.verdict == "victim") victims.insert(m.account_id);
    }
  }
  for (model::Campaign& c : campaigns_) {
    for (model::CampaignMember& m : c.members) {
      if (m.verdict != model::VerdictName(Verdict::kDistillation) ||
          !victims.contains(m.account_id))
        continue;
      m.verdict = "victim";
      m.probability = std::min(m.probability, .2);
      m.why += " Its key was used for another harvest and may be stolen. The owner is not accused.";
    }
  }
  NameEach(campaigns_);
  model::Findings out;
  for (uint32_t i = 0; i < order.size(); ++i) {
    model::Campaign& c = campaigns_[order[i]];
    if (rank(c.verdict) < 3) {
      for (const uint32_t row : rows_[order[i]]) {
        out.rows.push_back({row, i});
      }
    }
    std::stable_sort(c.members.begin(), c.members.end(),
                     [](const auto& x, const auto& y) { return x.account_id < y.account_id; });
    out.campaigns.push_back(std::move(c));
  }
  return out;
}

}  // namespace stillwatch::judge
