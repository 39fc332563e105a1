#include "judge/prior.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "base/str.h"
#include "base/text.h"
#include "judge/facts.h"
#include "judge/null_groups.h"
#include "judge/split.h"
#include "link/rhythm.h"
#include "model/account.h"

namespace stillwatch::judge {
namespace {

using base::Percent;
using base::StrCat;

// "half of the exchanges have its scaffold" counts half.
struct Matched {
  double strength = 0;  // share of the candidate that the best of them speaks for, times its trust
  double share = 0;     // that share
  const SharedIndicator* best = nullptr;
};

void Distinct(std::vector<uint32_t>* v) {
  std::sort(v->begin(), v->end());
  v->erase(std::unique(v->begin(), v->end()), v->end());
}

// Of one campaign's indicators the one of the better grade, of equal ones the first by id.
void Stronger(const SharedIndicator& i, const SharedIndicator** best) {
  const auto trust = [](const SharedIndicator& x) { return Trust(x.reliability, x.credibility); };
  if (*best == nullptr || std::tuple(-trust(i), std::string_view(i.id)) <
                              std::tuple(-trust(**best), std::string_view((*best)->id)))
    *best = &i;
}

void Better(Matched* m, const SharedIndicator& i, double share) {
  const double strength = Trust(i.reliability, i.credibility) * std::min(1.0, share);
  if (m->best != nullptr && std::tuple(-m->strength, std::string_view(m->best->id)) <=
                                std::tuple(-strength, std::string_view(i.id)))
    return;
  *m = {strength, share, &i};
}

}  // namespace

double Trust(char reliability, int credibility) {
  double r = 0, c = 0;
  switch (reliability) {
    case 'A':
      r = .9;
      break;  // completely reliable
    case 'B':
      r = .75;
      break;  // usually
    case 'C':
      r = .55;
      break;  // fairly
    case 'D':
      r = .35;
      break;  // not usually
    case 'E':
      r = .15;
      break;  // unreliable
    default:
      r = .3;
      break;  // cannot be judged
  }
  switch (credibility) {
    case 1:
      c = 1;
      break;  // confirmed by other sources
    case 2:
      c = .85;
      break;  // probably true
    case 3:
      c = .6;
      break;  // possibly
    case 4:
      c = .35;
      break;  // doubtful
    case 5:
      c = .1;
      break;  // improbable
    default:
      c = .5;
      break;  // cannot be judged
  }
  return r * c;
}

double PriorBits(double trust) {
  const double q = std::clamp(trust, 0.0, 1.0) / 2;
  return q <= 0 ? 0 : std::clamp(std::log2(q / (1 - q)) + kPriorBitsMax, 0.0, kPriorBitsMax);
}

Imports::Imports(const link::Log& log, const std::vector<link::Template>& templates,
                 const std::vector<SharedIndicator>& indicators, const Blind& blind)
    : log_(log), indicators_(indicators) {
  if (indicators.empty()) return;
  using Kind = SharedIndicator::Kind;
  std::map<std::pair<std::string_view, std::string_view>, uint32_t> groups;
  std::unordered_map<uint32_t, std::vector<uint32_t>> by_hash;
  // By kind and key id: value -> indicators.
  std::map<std::pair<Kind, std::string_view>,
           std::unordered_map<std::string_view, std::vector<uint32_t>>>
      by_value;
  for (uint32_t i = 0; i < indicators.size(); ++i) {
    const SharedIndicator& one = indicators[i];
    group_.push_back(
        groups
            .emplace(std::pair<std::string_view, std::string_view>(one.origin, one.campaign),
                     static_cast<uint32_t>(groups.size()))
            .first->second);
    if (one.kind == Kind::kRhythm) {
      // Of several versions of one campaign's the one by which more is said.
      const auto [it, fresh] = rhythm_of_group_.try_emplace(group_.back(), i);
      if (!fresh && indicators[it->second].busy.size() < one.busy.size()) it->second = i;
    } else if (one.kind == Kind::kTemplate) {
      for (const uint32_t h : one.hashes) by_hash[h].push_back(i);
    } else {
      by_value[{one.kind, one.key}][one.value].push_back(i);
    }
  }
  of_template_.resize(templates.size());
  groups_of_template_.resize(templates.size());
  std::unordered_map<uint32_t, uint32_t> common;
  std::vector<uint32_t> hashes;
  for (size_t t = 0; t < templates.size() && !by_hash.empty(); ++t) {
    common.clear();
    hashes.clear();
    for (const uint64_t h : templates[t].hashes) hashes.push_back(static_cast<uint32_t>(h));
    Distinct(&hashes);  // one that is in system prompts and turns counts once
    for (const uint32_t h : hashes) {
      if (const auto it = by_hash.find(h); it != by_hash.end())
        for (const uint32_t i : it->second) ++common[i];
    }
    for (const auto& [i, n] : common) {
      if (n >= kSharedHashesMin && n * 2 >= indicators[i].hashes.size())
        of_template_[t].push_back(i);
    }
    std::sort(of_template_[t].begin(), of_template_[t].end());
    for (const uint32_t i : of_template_[t]) groups_of_template_[t].push_back(group_[i]);
    Distinct(&groups_of_template_[t]);
  }
  carriers_.assign(groups.size(), 0);
  if (by_value.empty()) return;
  // What a value of this log stands for; each is blinded once.
  std::map<Kind, std::unordered_map<std::string_view, std::vector<uint32_t>>> known;
  const auto find = [&](Kind kind, std::string_view value) -> const std::vector<uint32_t>& {
    const auto [it, fresh] = known[kind].try_emplace(value);
    if (!fresh || value.empty()) return it->second;
    for (const auto& [of, values] : by_value) {
      if (of.first != kind) continue;
      const std::string blinded = of.second.empty() ? std::string(value)
                                  : blind           ? blind(std::string(of.second), kind, value)
                                                    : std::string();
      if (const auto found = values.find(blinded); !blinded.empty() && found != values.end())
        it->second.insert(it->second.end(), found->second.begin(), found->second.end());
    }
    return it->second;
  };
  std::vector<uint32_t> mine, seen;
  for (uint32_t a = 0; a < log.accounts(); ++a) {
    mine.clear();
    const auto add = [&](Kind kind, std::string_view value) {
      const std::vector<uint32_t>& found = find(kind, value);
      mine.insert(mine.end(), found.begin(), found.end());
    };
    const model::Account& record = log.account[a];
    add(Kind::kPayment, record.payment_id);
    add(Kind::kAddress, record.signup_ip);
    add(Kind::kMailDomain, record.email_domain);
    add(Kind::kReferrer, record.referrer);
    uint32_t last = 0;
    for (uint64_t row = log.first_row[a]; row < log.first_row[a + 1]; ++row) {
      if (log.address[row] == last) continue;
      last = log.address[row];
      add(Kind::kAddress, log.addresses[last]);
    }
    if (mine.empty()) continue;
    Distinct(&mine);
    seen.clear();
    for (const uint32_t i : mine) seen.push_back(group_[i]);
    Distinct(&seen);
    for (const uint32_t g : seen) ++carriers_[g];
    of_account_[a] = mine;
  }
}

Prior Imports::Of(const Candidate& c) const {
  Prior out;
  if (indicators_.empty() || c.accounts.empty()) return out;
  std::map<uint32_t, model::ImportRef> refs;  // by indicator
  const auto ref = [&](uint32_t i) -> model::ImportRef& {
    const auto [it, fresh] = refs.try_emplace(i);
    if (fresh) {
      const SharedIndicator& one = indicators_[i];
      it->second = {one.id,          one.campaign,    one.origin, one.type,
                    one.reliability, one.credibility, 0,          0};
    }
    return it->second;
  };
  Matched scaffold, value;
  // Scaffolds, by the exchanges that have them. Variants of one campaign's speak for it together.
  std::map<uint32_t, uint64_t> rows_of;  // of each group
  std::map<uint32_t, const SharedIndicator*> best_of;
  {
    std::map<uint32_t, uint32_t> last;  // account that was counted last, by indicator
    for (size_t r = 0; r < c.row_template.size(); ++r) {
      const std::vector<uint32_t>& found = of_template_[c.row_template[r]];
      if (found.empty()) continue;
      const uint32_t a = log_.row_account[c.rows[r]];
      for (const uint32_t g : groups_of_template_[c.row_template[r]]) ++rows_of[g];
      for (const uint32_t i : found) {
        model::ImportRef& one = ref(i);
        ++one.exchanges;
        const auto [it, fresh] = last.try_emplace(i, a);
        if (fresh || it->second != a) ++one.accounts, it->second = a;
        Stronger(indicators_[i], &best_of[group_[i]]);
      }
    }
  }
  for (const auto& [g, n] : rows_of) {
    const double share = std::min(
        1.0, static_cast<double>(n) / static_cast<double>(std::max<size_t>(1, c.rows.size())));
    if (share < .5) continue;
    Better(&scaffold, *best_of[g], share);
    out.scaffolds.push_back(g);
  }
  // Values, by the accounts that have any of a campaign's.
  if (!of_account_.empty()) {
    std::map<uint32_t, uint32_t> accounts_of;  // of each group
    std::map<uint32_t, const SharedIndicator*> one_of;
    for (const uint32_t a : c.accounts) {
      const auto it = of_account_.find(a);
      if (it == of_account_.end()) continue;
      std::vector<uint32_t> groups;
      for (const uint32_t i : it->second) {
        ++ref(i).accounts;
        groups.push_back(group_[i]);
        Stronger(indicators_[i], &one_of[group_[i]]);
      }
      Distinct(&groups);
      for (const uint32_t g : groups) ++accounts_of[g];
    }
    const double n = static_cast<double>(c.accounts.size());
    const double others = std::max(1.0, static_cast<double>(log_.accounts()) - n);
    for (const auto& [g, carry] : accounts_of) {
      const double share = carry / n, elsewhere = (carriers_[g] - carry) / others;
      // A pool shares a card in tens: half of the accounts is as much as all of them.
      if (share >= kTraitShareMin && share >= kTraitLift * elsewhere)
        Better(&value, *one_of[g], share * 2);
    }
  }
  const Matched& best = scaffold.strength >= value.strength ? scaffold : value;
  if (best.best != nullptr) {
    out.bits = PriorBits(best.strength);
    out.scaffold_bits = PriorBits(scaffold.strength);
    const SharedIndicator& by = *best.best;
    const auto said = [](const Matched& m, const char* of, double share) {
      return StrCat(Percent(std::min(1.0, share)), of);
    };
    std::string what;
    if (scaffold.best != nullptr)
      what = said(scaffold, " of the exchanges have its scaffold", scaffold.share);
    if (value.best != nullptr)
      what +=
          (what.empty() ? "" : ", ") +
          said(value, " of the accounts a payment, address or enrolment of it", value.share / 2);
    out.statement = StrCat(by.origin.empty() ? "An imported file" : by.origin,
                           " says that this is a campaign of theirs (",
                           by.campaign.empty() ? by.id : by.campaign,
                           "; source and statement graded ", std::string(1, by.reliability),
                           by.credibility, "): ", what, ". The prior rises from 1 in 65 to ",
                           Percent(1 / (1 + std::exp2(kPriorBitsMax - out.bits))), ".");
    out.null =
        "Nobody said anything of it. What others say is of no family of evidence, is no purpose "
        "and raises the "
        "prior to even odds at most: nothing is accused by it alone.";
  }
  for (auto& [i, one] : refs) out.refs.push_back(std::move(one));
  // Those that count most of the exchanges and accounts stay.
  std::stable_sort(out.refs.begin(), out.refs.end(), [](const auto& x, const auto& y) {
    return std::tuple(y.exchanges, y.accounts, std::string_view(x.id)) <
           std::tuple(x.exchanges, x.accounts, std::string_view(y.id));
  });
  if (out.refs.size() > model::kImportRefsMax) out.refs.resize(model::kImportRefsMax);
  std::sort(out.refs.begin(), out.refs.end(),
            [](const auto& x, const auto& y) { return x.id < y.id; });
  return out;
}

void Imports::Listen(const Background& background, const Candidate& c,
                     const AccountSet& not_innocent, Prior* prior) const {
  const link::Log& log = log_;
  std::vector<const SharedIndicator*> said;
  for (const uint32_t g : prior->scaffolds)
    if (const auto it = rhythm_of_group_.find(g); it != rhythm_of_group_.end())
      said.push_back(&indicators_[it->second]);
  if (said.empty()) return;
  std::stable_sort(said.begin(), said.end(), [](const auto* x, const auto* y) {
    return std::tuple(-Trust(x->reliability, x->credibility), std::string_view(x->id)) <
           std::tuple(-Trust(y->reliability, y->credibility), std::string_view(y->id));
  });
  if (said.size() > kHeardMax) said.resize(kHeardMax);
  const auto listens = [&](uint32_t a) { return !model::ToldOf(log.account_id[a]); };
  std::vector<uint32_t> rows;
  size_t listeners = 0;
  for (const uint32_t row : c.rows) {
    const uint32_t a = log.row_account[row];
    if (!rows.empty() && log.row_account[rows.back()] == a) {
      rows.push_back(row);
    } else if (listens(a)) {
      rows.push_back(row);
      ++listeners;
    }
  }
  if (listeners < kListenersMin) return;
  const std::vector<link::Event> own = EventsOf(log, rows);
  // As many others, with as much work each, listen as well.
  const NullGroups others(background, not_innocent, listeners, rows.size());
  std::vector<std::vector<link::Event>> groups;
  std::vector<link::Event> events;
  for (size_t g = 0; g < kNullGroups && others.Events(g, others.accounts(), &events); ++g)
    groups.push_back(std::move(events));
  double most = 0;
  for (const SharedIndicator* one : said) {
    const auto weight = [&](int32_t half_hour) -> double {
      // Days of the log may begin at any hour (EventOf).
      const int64_t at = half_hour * link::Event::kMs - log.shift_ms;
      const int64_t i =
          (at - (at % link::Event::kMs + link::Event::kMs) % link::Event::kMs) / link::Event::kMs -
          one->first_half_hour;
      return i < 0 || i >= static_cast<int64_t>(one->busy.size())
                 ? 0
                 : one->busy[static_cast<size_t>(i)];
    };
    const link::Rhythm heard = link::MeasureAgainst(own, weight, CoveredFrom(log));
    double z = heard.z;
    if (z > 0) {
      std::vector<double> zs;
      for (const auto& group : groups)
        zs.push_back(link::MeasureAgainst(group, weight, CoveredFrom(log)).z);
      z = AgainstGroups(z, std::move(zs));
    }
    prior->heard.push_back(z);
    if (!prior->heard_statement.empty() && z <= most) continue;
    most = z;
    prior->heard_statement =
        StrCat("In the half hours in which ", one->origin.empty() ? "another" : one->origin,
               " says that its campaign was busier than its habits, ", std::to_string(listeners),
               " of these accounts, of which nothing is told to others, were present ",
               base::Counted(heard.pairs), " times where their own habits explain ",
               base::Counted(heard.expected), " (", base::Fixed(z, 1),
               " standard deviations of random groups of this log).");
    prior->heard_null = StrCat(
        "The accounts come and go on their own, whatever anybody says",
        said.size() > 1 ? StrCat("; the mean over ", said.size(), " who said so") : std::string(),
        ".");
  }
}

std::vector<double> BudgetBits(std::span<const double> prior_bits) {
  std::vector<double> out(prior_bits.size(), 0);
  if (std::all_of(prior_bits.begin(), prior_bits.end(), [](double b) { return b <= 0; }))
    return out;
  // In proportion to 2^bits, but for those that would have less than is kept.
  std::vector<double> most(prior_bits.begin(), prior_bits.end());
  std::sort(most.begin(), most.end());
  double rest = 0;
  for (const double b : most) rest += std::exp2(b);
  double left = static_cast<double>(most.size()), each = left / rest;
  for (size_t k = 0; k + 1 < most.size() && std::exp2(most[k]) * each < kBudgetKept; ++k) {
    left -= kBudgetKept;
    rest -= std::exp2(most[k]);
    each = left / rest;
  }
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = std::log2(std::max(kBudgetKept, std::exp2(prior_bits[i]) * each));
  return out;
}

}  // namespace stillwatch::judge
