#include "judge/judge.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "base/hash.h"
#include "base/time.h"
#include "judge/facts.h"
#include "judge/report.h"
#include "judge/weigh.h"

namespace stillwatch::judge {
namespace {

using link::kNone;
using link::Log;
using model::Verdict;

std::vector<uint32_t> AccountsOf(const Log& log, const std::vector<uint32_t>& rows) {
  std::vector<uint32_t> out;
  for (const uint32_t row : rows) {
    if (out.empty() || out.back() != log.row_account[row]) out.push_back(log.row_account[row]);
  }
  return out;  // rows ascend, and so do their accounts
}

size_t Entities(const Log& log, const std::vector<uint32_t>& accounts) {
  std::unordered_set<uint32_t> seen;
  for (const uint32_t a : accounts) seen.insert(log.entity[a]);
  return seen.size();
}

// Rows that a permit covers: its accounts, models and time, the first `exchanges_max` of them.
// Returns for each row the permit's number + 1, or 0.
std::vector<uint16_t> Permitted(const Log& log, const std::vector<model::Permit>& permits,
                                std::vector<uint64_t>* over) {
  std::vector<uint16_t> of_row(permits.empty() ? 0 : log.rows(), 0);
  over->assign(permits.size(), 0);
  for (size_t p = 0; p < permits.size(); ++p) {
    const model::Permit& permit = permits[p];
    const std::unordered_set<std::string> named(permit.account_ids.begin(),
                                                permit.account_ids.end());
    const std::unordered_set<std::string> models(permit.models.begin(), permit.models.end());
    std::vector<uint32_t> rows;
    for (uint32_t a = 0; a < log.accounts(); ++a) {
      const bool holds = named.contains(log.account_id[a]) ||
                         (!permit.org_id.empty() && log.account[a].org_id == permit.org_id);
      if (!holds) continue;
      for (uint64_t row = log.first_row[a]; row < log.first_row[a + 1]; ++row) {
        if (log.ts_ms[row] < permit.valid_from_ms || log.ts_ms[row] > permit.valid_until_ms)
          continue;
        if (!models.empty() && !models.contains(log.models[log.model[row]])) continue;
        rows.push_back(static_cast<uint32_t>(row));
      }
    }
    std::stable_sort(rows.begin(), rows.end(),
                     [&](uint32_t x, uint32_t y) { return log.ts_ms[x] < log.ts_ms[y]; });
    for (size_t i = 0; i < rows.size(); ++i) {
      if (permit.exchanges_max != 0 && i >= permit.exchanges_max) {
        ++(*over)[p];
      } else {
        of_row[rows[i]] = static_cast<uint16_t>(p + 1);
      }
    }
  }
  return of_row;
}

// Below this many sampled shingles (one in three: about 12 words) a template is a turn of phrase,
// which people share without a common source.
constexpr size_t kScaffoldHashesMin = 3;

std::vector<uint8_t> LinkedInside(const Log& log, const link::AccountGraph& graph,
                                  const std::vector<uint32_t>& accounts) {
  std::vector<uint8_t> inside(log.accounts(), 0), linked(log.accounts(), 0);
  for (const uint32_t a : accounts) inside[a] = 1;
  for (const uint32_t a : accounts) {
    for (const uint32_t l : graph.Of(a)) {
      const link::Link& link = graph.links[l];
      if (inside[link.a == a ? link.b : link.a]) linked[a] = 1;
    }
  }
  return linked;
}

// What is heard of a group's rhythm. Of a larger one whole accounts are left out, because those
// that stay keep their habits: a bound on time, not on truth.
std::vector<link::Event> EventsOf(const Log& log, const std::vector<uint32_t>& rows) {
  const size_t step = rows.size() / kRhythmRowsMax + 1;
  std::vector<link::Event> events;
  events.reserve(rows.size() / step);
  for (const uint32_t row : rows) {
    if (log.row_account[row] % step == 0) events.push_back({log.row_account[row], log.ts_ms[row]});
  }
  return events;
}

// One job may be done by several hands: pools that share nothing with each other, and people
// who share nothing at all. They are one operator's only if they follow one queue. A workload is
// cut into its pools and the rest, and two parts are joined where their accounts coincide in time
// beyond each part's own habits. Where there is too little traffic to tell, they stay apart.
std::vector<Candidate> SplitByHand(const Background& background, const link::AccountGraph& graph,
                                   const link::PoolOptions& options, const Candidate& whole) {
  const Log& log = background.log();
  const std::vector<uint32_t> pool = link::FindPools(graph, whole.accounts, options);
  std::map<uint32_t, uint32_t> sizes;
  for (const uint32_t a : whole.accounts) {
    if (pool[a] != kNone) ++sizes[pool[a]];
  }
  struct Part {
    std::vector<uint32_t> rows;
    std::vector<link::Event> events;
    std::vector<uint32_t> hands;  // of each row: the part it came from
    uint32_t number = 0;          // no other part ever has it
    bool replays = false;         // signatures issued to others
  };
  // Those without a pool of some size are two hands: accounts that do little else, and people for
  // whom this is one thing among others.
  constexpr uint32_t kDedicated = kNone, kOccasional = kNone - 1;
  std::map<std::pair<uint32_t, bool>, Part> by_pool;
  for (size_t i = 0, j = 0; i < whole.rows.size(); i = j) {
    const uint32_t a = log.row_account[whole.rows[i]];
    while (j < whole.rows.size() && log.row_account[whole.rows[j]] == a) ++j;
    const uint32_t loose = (j - i) * 5 >= log.Exchanges(a) * 4 ? kDedicated : kOccasional;
    // Who replays signatures and who does not are never one hand.
    const bool pooled = pool[a] != kNone && sizes[pool[a]] >= 5;
    Part& part = by_pool[{pooled ? pool[a] : loose, background.Replaying(a)}];
    part.replays = background.Replaying(a);
    part.rows.insert(part.rows.end(), whole.rows.begin() + static_cast<ptrdiff_t>(i),
                     whole.rows.begin() + static_cast<ptrdiff_t>(j));
  }
  std::vector<Part> parts;
  uint32_t numbers = 0;
  for (auto& [id, part] : by_pool) {
    part.number = numbers++;
    part.hands.assign(part.rows.size(), part.number);
    part.events = EventsOf(log, part.rows);
    parts.push_back(std::move(part));
  }
  std::vector<link::Beat> beats;  // by number
  for (const Part& part : parts) beats.emplace_back(part.events);
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part& x, const Part& y) { return x.rows.size() > y.rows.size(); });
  constexpr size_t kPartsMax = 256;    // cross tests are quadratic; the smallest stay alone
  std::unordered_set<uint64_t> apart;  // pairs of numbers that were tested
  for (bool joined = true; joined;) {
    joined = false;
    for (size_t i = 0; i < std::min(parts.size(), kPartsMax) && !joined; ++i) {
      for (size_t j = i + 1; j < std::min(parts.size(), kPartsMax) && !joined; ++j) {
        if (parts[i].replays != parts[j].replays) continue;
        if (!apart.insert(uint64_t{parts[i].number} << 32 | parts[j].number).second) continue;
        const link::Rhythm cross =
            link::MeasureCrossRhythm(beats[parts[i].number], beats[parts[j].number]);
        if (cross.power < 2 || cross.z < std::max(2.0, cross.power / 3)) continue;
        parts[i].rows.insert(parts[i].rows.end(), parts[j].rows.begin(), parts[j].rows.end());
        parts[i].hands.insert(parts[i].hands.end(), parts[j].hands.begin(), parts[j].hands.end());
        parts[i].events.insert(parts[i].events.end(), parts[j].events.begin(),
                               parts[j].events.end());
        parts[i].number = numbers++;
        beats.emplace_back(parts[i].events);
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(j));
        joined = true;
      }
    }
  }
  std::vector<Candidate> out;
  for (Part& part : parts) {
    Candidate c;
    c.formed = whole.formed;
    c.phrase = whole.phrase;
    c.templates = whole.templates;
    c.scaffold = whole.scaffold;
    std::map<uint32_t, uint32_t> hand_of, number;  // account -> hand; hand -> 0, 1, ...
    for (size_t i = 0; i < part.rows.size(); ++i)
      hand_of[log.row_account[part.rows[i]]] = part.hands[i];
    std::sort(part.rows.begin(), part.rows.end());
    c.rows = std::move(part.rows);
    c.accounts = AccountsOf(log, c.rows);
    for (const uint32_t a : c.accounts) {
      const uint32_t next = static_cast<uint32_t>(number.size());
      c.part.push_back(number.emplace(hand_of[a], next).first->second);
    }
    out.push_back(std::move(c));
  }
  return out;
}

std::vector<uint32_t> Sample(const Log& log, std::vector<uint32_t> rows) {
  const size_t keep = std::min(kCandidateSample, rows.size());
  std::partial_sort(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(keep), rows.end(),
                    [&](uint32_t x, uint32_t y) { return log.id[x] < log.id[y]; });
  rows.resize(keep);
  return rows;
}

struct Finding {
  Candidate candidate;
  Facts facts;
  Weighed weighed;
};

}  // namespace

Judged Judge(const Log& log, const JudgeOptions& options, const base::Parallel& parallel) {
  Judged out;
  const Background background(log);
  const link::AccountGraph graph =
      link::BuildGraph(link::AccountTraits(log), log.entity, log.entities, options.pools);
  const std::vector<link::Template> templates =
      link::FindTemplates(log, options.templates, parallel);
  const std::vector<link::Workload> workloads =
      link::FindWorkloads(log, templates, options.workloads);
  out.templates = templates.size();
  std::vector<uint64_t> over;
  const std::vector<uint16_t> permitted = Permitted(log, options.permits, &over);
  const auto free = [&](uint32_t row) { return permitted.empty() || permitted[row] == 0; };
  const auto worth = [&](const Candidate& c) {
    return c.rows.size() >= options.exchanges_min &&
           Entities(log, c.accounts) >= options.entities_min;
  };

  // Candidates by text.
  std::vector<Candidate> candidates;
  for (const link::Workload& w : workloads) {
    Candidate c;
    c.formed = Formed::kText;
    c.templates = w.templates;
    for (const uint32_t row : w.rows) {
      if (free(row)) c.rows.push_back(row);
    }
    c.accounts = AccountsOf(log, c.rows);
    // What half of the work is done with, at least: one long template among many phrases is not
    // the job.
    std::vector<std::pair<size_t, size_t>> lengths;  // shingles, rows
    for (const uint32_t t : w.templates)
      lengths.push_back({templates[t].length, templates[t].rows.size()});
    std::sort(lengths.rbegin(), lengths.rend());
    size_t covered = 0;
    for (const auto& [shingles, rows] : lengths) {
      if (covered * 2 < w.rows.size()) c.scaffold = shingles;
      covered += rows;
    }
    c.phrase = c.scaffold < kScaffoldHashesMin;
    if (c.phrase) {
      // Who shares nothing else is not drawn in by a phrase.
      const std::vector<uint8_t> linked = LinkedInside(log, graph, c.accounts);
      std::erase_if(c.rows, [&](uint32_t row) { return !linked[log.row_account[row]]; });
      c.accounts = AccountsOf(log, c.rows);
    }
    if (!worth(c)) continue;
    for (Candidate& part : SplitByHand(background, graph, options.pools, c)) {
      if (worth(part)) candidates.push_back(std::move(part));
    }
  }
  // The largest first, so that the bound cuts the least.
  std::stable_sort(
      candidates.begin(), candidates.end(),
      [](const Candidate& a, const Candidate& b) { return a.rows.size() > b.rows.size(); });
  if (candidates.size() > options.candidates_max) {
    out.skipped = candidates.size() - options.candidates_max;
    candidates.resize(options.candidates_max);
  }

  std::vector<Finding> findings;
  const auto weigh_all = [&](std::vector<Candidate> list) {
    const size_t first = findings.size();
    for (Candidate& c : list) findings.push_back({std::move(c), {}, {}});
    parallel.For(findings.size() - first, 1, [&](size_t begin, size_t end, int) {
      for (size_t i = first + begin; i < first + end; ++i) {
        std::vector<uint8_t> excluded(log.accounts(), 0);
        for (const uint32_t a : findings[i].candidate.accounts) excluded[a] = 1;
        findings[i].facts = Measure(background, graph, findings[i].candidate, excluded);
        findings[i].weighed = Weigh(findings[i].facts, findings[i].candidate.formed);
      }
    });
  };
  weigh_all(std::move(candidates));

  // Accounts whose work is explained by a finding are not sought a second time.
  std::vector<uint8_t> explained(log.accounts(), 0), taken(log.rows(), 0);
  const auto explain = [&](const Finding& f) {
    if (f.weighed.verdict != Verdict::kDistillation &&
        f.weighed.verdict != Verdict::kCoordinatedOther &&
        (f.weighed.verdict != Verdict::kUnresolved || f.weighed.probability[0] < .2)) {
      return;
    }
    if (f.weighed.verdict == Verdict::kDistillation) {
      for (const uint32_t row : f.candidate.rows) taken[row] = 1;
    }
    // By a finding that holds most of an account's work, not by a stray phrase in it.
    for (size_t i = 0; i < f.candidate.rows.size();) {
      const uint32_t a = log.row_account[f.candidate.rows[i]];
      size_t j = i;
      while (j < f.candidate.rows.size() && log.row_account[f.candidate.rows[j]] == a) ++j;
      if ((j - i) * 2 >= log.Exchanges(a)) explained[a] = 1;
      i = j;
    }
  };
  for (const Finding& f : findings) explain(f);

  // Candidates by purse: pools of the whole log.
  const std::vector<uint32_t> pools = link::FindPools(graph, {}, options.pools);
  {
    std::map<uint32_t, Candidate> by_pool;
    for (uint32_t a = 0; a < log.accounts(); ++a) {
      if (pools[a] == kNone || explained[a]) continue;
      Candidate& c = by_pool[pools[a]];
      c.formed = Formed::kPurse;
      for (uint64_t row = log.first_row[a]; row < log.first_row[a + 1]; ++row) {
        if (free(static_cast<uint32_t>(row)) && !taken[row])
          c.rows.push_back(static_cast<uint32_t>(row));
      }
    }
    std::vector<Candidate> list;
    for (auto& [pool, c] : by_pool) {
      c.accounts = AccountsOf(log, c.rows);
      if (Entities(log, c.accounts) >= options.entities_min) list.push_back(std::move(c));
    }
    const size_t first = findings.size();
    weigh_all(std::move(list));
    for (size_t i = first; i < findings.size(); ++i) explain(findings[i]);
  }

  // Candidates by manner: accounts that ask for one capability with one setting, one turn at a
  // time, most of the time. Only a common rhythm makes such a group worth reporting.
  {
    std::map<std::tuple<uint32_t, int, int>, Candidate> by_manner;
    std::unordered_map<uint64_t, uint32_t> count;
    for (uint32_t a = 0; a < log.accounts(); ++a) {
      const uint64_t n = log.Exchanges(a);
      if (explained[a] || n < 15 || log.account[a].org_verified) continue;
      count.clear();
      const auto key = [&](uint64_t row) {
        const auto t = model::TextFeatures::Unpack(log.features[row]);
        return uint64_t{log.settings[row]} << 16 | uint64_t(t.capability) << 8 | (t.messages >= 3);
      };
      uint64_t best = 0;
      uint32_t best_count = 0;
      for (uint64_t row = log.first_row[a]; row < log.first_row[a + 1]; ++row) {
        if (log.features[row] == 0 || !free(static_cast<uint32_t>(row))) continue;
        const uint64_t k = key(row);
        const uint32_t c = ++count[k];
        if (c > best_count || (c == best_count && k < best)) best = k, best_count = c;
      }
      const int capability = static_cast<int>(best >> 8 & 255);
      if (best_count * 10 < n * 6 || capability == static_cast<int>(model::Capability::kOther) ||
          (best & 1)) {
        continue;
      }
      Candidate& c = by_manner[{static_cast<uint32_t>(best >> 16), capability, 0}];
      c.formed = Formed::kManner;
      // The account's work in this manner: the same settings, whatever a single prompt's label.
      for (uint64_t row = log.first_row[a]; row < log.first_row[a + 1]; ++row) {
        if (log.settings[row] == best >> 16 && !taken[row])
          c.rows.push_back(static_cast<uint32_t>(row));
      }
    }
    std::vector<Candidate> list;
    for (auto& [key, c] : by_manner) {
      c.accounts = AccountsOf(log, c.rows);
      if (worth(c) && c.accounts.size() >= 10) list.push_back(std::move(c));
    }
    weigh_all(std::move(list));
  }
  out.candidates = findings.size();

  // The error budget of the review.
  std::vector<double> e_values;
  for (const Finding& f : findings) e_values.push_back(f.weighed.independent_bits);
  const std::vector<bool> within = SelectByEBH(e_values, kErrorRate);
  std::vector<const Finding*> reported;
  for (size_t i = 0; i < findings.size(); ++i) {
    Finding& f = findings[i];
    if (f.weighed.verdict == Verdict::kDistillation && !within[i]) {
      f.weighed.verdict = Verdict::kUnresolved;
      f.weighed.would_change =
          "The evidence does not fit into the error budget of this review; more "
          "volume would decide it.";
    }
    const bool report = WorthReporting(f.facts, f.weighed, f.candidate.formed);
    if (report) reported.push_back(&f);
    out.weighed.push_back({f.candidate.formed,
                           f.weighed.verdict,
                           f.weighed.probability,
                           f.weighed.odds_bits,
                           f.weighed.purpose_bits,
                           f.weighed.overt || f.weighed.crowd,
                           report,
                           f.candidate.rows.size(),
                           f.candidate.accounts.size(),
                           Sample(log, f.candidate.rows),
                           {}});
  }
  std::vector<uint8_t> harvested(log.rows(), 0);
  for (const Finding* f : reported) {
    if (f->weighed.verdict != Verdict::kDistillation) continue;
    for (const uint32_t row : f->candidate.rows) harvested[row] = 1;
  }
  Reporter reporter(background, graph, templates, options, harvested);
  std::vector<model::Campaign> campaigns(reported.size());
  parallel.For(reported.size(), 1, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i)
      campaigns[i] = reporter.Report(reported[i]->candidate, reported[i]->weighed);
  });
  for (size_t i = 0; i < reported.size(); ++i)
    reporter.Add(std::move(campaigns[i]), reported[i]->candidate.rows);
  for (size_t p = 0; p < options.permits.size(); ++p) {
    std::vector<uint32_t> rows;
    for (uint32_t row = 0; row < permitted.size(); ++row) {
      if (permitted[row] == p + 1) rows.push_back(row);
    }
    reporter.AddPermitted(options.permits[p], rows, over[p]);
  }
  out.findings = std::move(reporter).Finish();
  return out;
}

}  // namespace stillwatch::judge
