#include "judge/judge.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "base/hash.h"
#include "base/release.h"
#include "base/sorted.h"
#include "base/time.h"
#include "judge/calibrate.h"
#include "judge/facts.h"
#include "judge/report.h"
#include "judge/split.h"
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

// The templates of its rows, and what they say about the job.
void Describe(const std::vector<link::Template>& templates, Candidate* c) {
  std::map<uint32_t, size_t> rows, families;
  for (const uint32_t t : c->row_template) ++rows[t];
  // What half of the work is done with, at least: one long template among many phrases is not the
  // job.
  std::vector<std::pair<size_t, size_t>> lengths;  // shingles, rows
  c->templates.clear();
  for (const auto& [t, n] : rows) {
    c->templates.push_back(t);
    lengths.push_back({templates[t].length, n});
    families[templates[t].family] += n;
  }
  std::sort(lengths.rbegin(), lengths.rend());
  size_t covered = 0;
  for (const auto& [shingles, n] : lengths) {
    if (covered * 2 < c->rows.size()) c->scaffold = shingles;
    covered += n;
  }
  c->phrase = c->scaffold < kScaffoldHashesMin;
  size_t most = 0;
  for (const auto& [family, n] : families) most = std::max(most, n);
  c->main_family = static_cast<double>(most) / static_cast<double>(std::max<size_t>(1, c->rows.size()));
}

// Of each account whether it shares something with another of them.
std::vector<bool> LinkedInside(const Log& log, const link::AccountGraph& graph,
                               const std::vector<uint32_t>& accounts) {
  AccountSet inside(log.accounts(), false);
  for (const uint32_t a : accounts) inside[a] = true;
  std::vector<bool> linked;
  for (const uint32_t a : accounts) {
    linked.push_back(std::any_of(graph.Of(a).begin(), graph.Of(a).end(), [&](uint32_t l) {
      const link::Link& link = graph.links[l];
      return inside[link.a == a ? link.b : link.a];
    }));
  }
  return linked;
}

// A scaffold of a few words leaves a shingle or two, which make no template. Among what else the
// accounts of a harvest do, one that most of them send, much oftener than the log does, is the
// words of a job. Takes the exchanges that have it out of `c`, unless they are most of it anyhow.
Candidate InFewWords(const Log& log, Candidate* c) {
  constexpr double kOftener = 8, kAccountsMin = .5, kMost = .6;
  constexpr size_t kLooked = 200'000;  // exchanges that are looked at, of these and of the log
  Candidate job;
  job.formed = c->formed;
  std::unordered_map<uint64_t, uint32_t> carried;
  const size_t each = c->rows.size() / kLooked + 1;
  for (size_t i = 0; i < c->rows.size(); i += each) {
    for (const uint64_t h : log.texts[log.text[c->rows[i]]]) ++carried[h];
  }
  std::pair<uint32_t, uint64_t> best;  // of equally frequent ones the largest
  for (const auto& [h, n] : carried) best = std::max(best, {n, h});
  const auto has = [&](uint32_t row) {
    const link::TextSet set = log.texts[log.text[row]];
    return std::find(set.begin(), set.end(), best.second) != set.end();
  };
  const size_t mine_looked = (c->rows.size() + each - 1) / each;
  const double mine = static_cast<double>(mine_looked);
  if (best.first < 2 || best.first >= kMost * mine) return job;
  const size_t step = log.rows() / kLooked + 1;
  double looked = 0, elsewhere = 0;
  for (size_t row = 0; row < log.rows(); row += step) {
    if (std::binary_search(c->rows.begin(), c->rows.end(), static_cast<uint32_t>(row))) continue;
    ++looked;
    elsewhere += has(static_cast<uint32_t>(row));
  }
  if (best.first / mine < kOftener * elsewhere / std::max(1.0, looked)) return job;
  std::copy_if(c->rows.begin(), c->rows.end(), std::back_inserter(job.rows), has);
  job.accounts = AccountsOf(log, job.rows);
  if (static_cast<double>(job.accounts.size()) <
      kAccountsMin * static_cast<double>(c->accounts.size()))
    return {};
  std::erase_if(c->rows, has);
  c->accounts = AccountsOf(log, c->rows);
  return job;
}

// Adds those accounts of `more`, none of which `c` has, that are wanted; false: there are none.
bool Add(const Log& log, const Candidate& more, const AccountSet& wanted, Candidate* c) {
  const Candidate add = Select(log, more, [&](size_t i) { return wanted[more.accounts[i]]; });
  if (add.rows.empty()) return false;
  std::vector<std::pair<uint32_t, uint32_t>> rows;  // with their template
  for (const Candidate* of : {static_cast<const Candidate*>(c), &add}) {
    for (size_t i = 0; i < of->rows.size(); ++i) rows.push_back({of->rows[i], of->row_template[i]});
  }
  std::sort(rows.begin(), rows.end());
  c->rows.clear();
  c->row_template.clear();
  for (const auto& [row, t] : rows) {
    c->rows.push_back(row);
    c->row_template.push_back(t);
  }
  // A hand of their own, that came no way of which anything was learnt.
  const std::vector<uint32_t> before = std::move(c->accounts), hands = std::move(c->part);
  const std::vector<float> bits = std::move(c->way_bits);
  c->accounts = AccountsOf(log, c->rows);
  c->part.clear();
  c->way_bits.clear();
  const uint32_t hand = hands.empty() ? 1 : *std::max_element(hands.begin(), hands.end()) + 1;
  for (size_t i = 0, at = 0; i < c->accounts.size(); ++i) {
    const bool old = at < before.size() && before[at] == c->accounts[i];
    c->part.push_back(!old ? hand : hands.empty() ? 0 : hands[at]);
    if (!bits.empty()) c->way_bits.push_back(old ? bits[at] : 0);
    at += old;
  }
  return true;
}

// Runs `body(i, parallel)` for i in [0, rows.size()): what has many rows one after the other with
// all workers, so that one at a time is in memory, then the others side by side.
void BySize(const std::vector<size_t>& rows, const base::Parallel& parallel,
            const std::function<void(size_t, const base::Parallel&)>& body) {
  constexpr size_t kLarge = 1'000'000;
  std::vector<size_t> others;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] >= kLarge)
      body(i, parallel);
    else
      others.push_back(i);
  }
  parallel.For(others.size(), 1, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) body(others[i], base::Parallel(1));
  });
}

std::vector<uint32_t> Sample(const Log& log, std::vector<uint32_t> rows) {
  const size_t keep = std::min(kCandidateSample, rows.size());
  std::partial_sort(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(keep), rows.end(),
                    [&](uint32_t x, uint32_t y) { return log.id[x] < log.id[y]; });
  rows.resize(keep);
  log.id.Rest();
  return rows;
}

struct Finding {
  Candidate candidate;
  Facts facts;
  Weighed weighed;
};

}  // namespace

Judged Judge(Log& read, const JudgeOptions& options, const base::Parallel& parallel) {
  const Log& log = read;
  Judged out;
  const Background background(log);
  std::vector<link::Template> templates = link::FindTemplates(log, options.templates, parallel);
  if (options.on_templates) options.on_templates(templates);
  log.Rest();
  const std::vector<link::Workload> workloads =
      link::FindWorkloads(log, templates, options.workloads);
  const link::AccountGraph graph = link::BuildGraph(link::AccountTraits(log, parallel), log.entity,
                                                    log.entities, options.pools, parallel);
  log.Rest();
  out.templates = templates.size();
  std::vector<uint64_t> over;
  const std::vector<uint16_t> permitted = Permitted(log, options.permits, &over);
  const Imports imports(log, templates, options.shared, options.blind);
  const auto free = [&](uint32_t row) { return permitted.empty() || permitted[row] == 0; };
  const auto worth = [&](const Candidate& c) {
    return c.rows.size() >= options.exchanges_min &&
           Entities(log, c.accounts) >= options.entities_min;
  };

  // The parts of a candidate that are worth judging.
  const auto split = [&](Candidate c, const base::Parallel& workers, std::vector<Candidate>* into) {
    for (Candidate& hand : SplitByHand(background, graph, options.pools, std::move(c))) {
      for (Candidate& part : SplitByQueue(background, graph, std::move(hand), workers)) {
        if (worth(part)) into->push_back(std::move(part));
      }
    }
  };

  // Candidates by text.
  std::vector<std::vector<Candidate>> of_workload(workloads.size());
  const auto form = [&](const link::Workload& w, std::vector<Candidate>* formed,
                        const base::Parallel& workers) {
    Candidate c;
    c.formed = Formed::kText;
    {
      std::vector<std::pair<uint32_t, uint32_t>> rows;  // with their template
      rows.reserve(w.rows);
      for (const uint32_t t : w.templates) {
        for (const uint32_t row : templates[t].rows) {
          if (free(row)) rows.push_back({row, t});
        }
        base::Release(templates[t].rows);  // of this workload alone
      }
      std::sort(rows.begin(), rows.end());
      c.rows.reserve(rows.size());
      c.row_template.reserve(rows.size());
      for (const auto& [row, t] : rows) {
        c.rows.push_back(row);
        c.row_template.push_back(t);
      }
    }
    c.accounts = AccountsOf(log, c.rows);
    c.among = c.accounts.size();
    Describe(templates, &c);
    if (c.phrase) {
      // Who shares nothing else is not drawn in by a phrase.
      const std::vector<bool> linked = LinkedInside(log, graph, c.accounts);
      const auto those = [&](bool drawn) {
        return Select(log, c, [&](size_t i) {
          return linked[i] == drawn && !background.Replaying(c.accounts[i]);
        });
      };
      auto unlinked = std::make_shared<Candidate>(those(false));
      c = those(true);
      if (!unlinked->rows.empty()) c.unlinked = std::move(unlinked);
    }
    if (!worth(c)) return;
    c.senders = std::make_shared<const std::vector<uint32_t>>(c.accounts);
    split(std::move(c), workers, formed);
    for (Candidate& part : *formed) Describe(templates, &part);
  };
  {
    std::vector<size_t> rows;
    for (const link::Workload& w : workloads) rows.push_back(w.rows);
    BySize(rows, parallel, [&](size_t i, const base::Parallel& workers) {
      form(workloads[i], &of_workload[i], workers);
    });
  }
  std::vector<Candidate> candidates;
  for (std::vector<Candidate>& formed : of_workload) {
    std::move(formed.begin(), formed.end(), std::back_inserter(candidates));
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
  AccountSet queued(log.accounts(), false);  // by any candidate, whatever comes of it
  AccountSet accused(log.accounts(), false);
  // Accounts whose work is explained by a finding, and rows that are accused, are not sought a
  // second time.
  AccountSet explained(log.accounts(), false);
  std::vector<bool> taken(log.rows(), false);
  const auto explain = [&](const Finding& f) {
    if (f.weighed.verdict != Verdict::kDistillation &&
        f.weighed.verdict != Verdict::kCoordinatedOther &&
        (f.weighed.verdict != Verdict::kUnresolved || f.weighed.probability[0] < .2)) {
      return;
    }
    if (f.weighed.verdict == Verdict::kDistillation) {
      for (const uint32_t row : f.candidate.rows) taken[row] = true;
    }
    // By a finding that holds most of an account's work, not by a stray phrase in it.
    for (size_t i = 0; i < f.candidate.rows.size();) {
      const uint32_t a = log.row_account[f.candidate.rows[i]];
      size_t j = i;
      while (j < f.candidate.rows.size() && log.row_account[f.candidate.rows[j]] == a) ++j;
      if ((j - i) * 2 >= log.Exchanges(a)) explained[a] = true;
      i = j;
    }
  };
  // How many of a candidate's accounts do other work that is accused.
  const auto accompany = [&](Finding& f) {
    double n = 0;
    for (const uint32_t a : f.candidate.accounts) n += accused[a];
    f.facts.company = n / static_cast<double>(f.candidate.accounts.size());
    f.weighed = Weigh(f.facts, f.candidate.formed);
  };
  // Measures and weighs the candidates; `after` sees all of them before any explains anything.
  const auto judge = [&](std::vector<Candidate> list,
                         const std::function<void(std::span<Finding>)>& after) {
    const size_t first = findings.size();
    std::vector<size_t> rows;
    for (const Candidate& c : list) rows.push_back(c.rows.size());
    std::vector<uint8_t> queues(list.size());
    BySize(rows, parallel, [&](size_t i, const base::Parallel& workers) {
      queues[i] = FollowsAQueue(background, list[i], workers);
    });
    for (size_t i = 0; i < list.size(); ++i) {
      for (const uint32_t a : list[i].accounts) queued[a] = queued[a] || queues[i];
      findings.push_back({std::move(list[i]), {}, {}});
    }
    BySize(rows, parallel, [&](size_t i, const base::Parallel& workers) {
      Finding& f = findings[first + i];
      AccountSet excluded = queued;
      for (const uint32_t a : f.candidate.accounts) excluded[a] = true;
      f.facts = Measure(background, graph, f.candidate, excluded, workers);
      f.facts.prior = imports.Of(f.candidate);
      imports.Listen(background, f.candidate, excluded, &f.facts.prior);
      f.weighed = Weigh(f.facts, f.candidate.formed);
    });
    const std::span<Finding> judged(findings.begin() + static_cast<ptrdiff_t>(first),
                                    findings.end());
    if (after) after(judged);
    for (const Finding& f : judged) explain(f);
  };
  // An account's rows that no accused campaign explains and no permit covers.
  const auto rest = [&](uint32_t a, std::vector<uint32_t>* rows) {
    for (uint64_t row = log.first_row[a]; row < log.first_row[a + 1]; ++row) {
      if (free(static_cast<uint32_t>(row)) && !taken[row])
        rows->push_back(static_cast<uint32_t>(row));
    }
  };
  judge(std::move(candidates), [&](std::span<Finding> judged) {
    for (const Finding& f : judged) {
      if (f.weighed.verdict != Verdict::kDistillation) continue;
      for (const uint32_t a : f.candidate.accounts) accused[a] = true;
    }
    for (Finding& f : judged) {
      if (f.weighed.verdict != Verdict::kDistillation) accompany(f);
    }
    // Who sends an accused turn of phrase and shares nothing but other accused work with most of
    // those who do is theirs.
    for (Finding& f : judged) {
      if (f.weighed.verdict != Verdict::kDistillation || !f.candidate.unlinked) continue;
      AccountSet with(log.accounts(), false);
      for (const Finding& g : judged) {
        if (&g == &f || g.weighed.verdict != Verdict::kDistillation) continue;
        const size_t common = base::CountCommon(f.candidate.accounts, g.candidate.accounts);
        if (static_cast<double>(common) <
            kCompanyMin * static_cast<double>(f.candidate.accounts.size()))
          continue;
        for (const uint32_t a : g.candidate.accounts) with[a] = true;
      }
      Finding more;
      more.candidate = f.candidate;
      if (!Add(log, *f.candidate.unlinked, with, &more.candidate)) continue;
      Describe(templates, &more.candidate);
      AccountSet excluded = queued;
      for (const uint32_t a : more.candidate.accounts) excluded[a] = true;
      more.facts = Measure(background, graph, more.candidate, excluded, parallel);
      more.facts.prior = f.facts.prior;
      more.weighed = Weigh(more.facts, more.candidate.formed);
      if (more.weighed.verdict == Verdict::kDistillation) f = std::move(more);
    }
    for (Finding& f : judged) f.candidate.unlinked = nullptr;
  });

  // Candidates by replay: accounts that present others' reasoning signatures and send no scaffold.
  {
    Candidate c;
    c.formed = Formed::kReplay;
    for (uint32_t a = 0; a < log.accounts(); ++a) {
      if (explained[a] || !background.Replaying(a)) continue;
      // By what no accused campaign explains.
      const size_t before = c.rows.size();
      rest(a, &c.rows);
      const auto replays =
          std::count_if(c.rows.begin() + static_cast<ptrdiff_t>(before), c.rows.end(),
                        [&](uint32_t row) { return background.IsReplay(row); });
      if (!background.Replaying(static_cast<uint64_t>(replays), c.rows.size() - before))
        c.rows.resize(before);
    }
    c.accounts = AccountsOf(log, c.rows);
    c.among = c.accounts.size();
    std::vector<Candidate> list;
    split(std::move(c), parallel, &list);
    judge(std::move(list), nullptr);
  }

  // Candidates by company: what else the accounts of a harvest do, if it follows a queue as well.
  {
    AccountSet asked(log.accounts(), false);
    std::vector<Candidate> list;
    for (const Finding& f : findings) {
      if (f.weighed.verdict != Verdict::kDistillation) continue;
      Candidate c;
      c.formed = Formed::kCompany;
      // From where the harvest comes: what an account sends from elsewhere is the life of a stolen
      // key's owner.
      std::unordered_set<uint32_t> places{0};
      for (const uint32_t row : f.candidate.rows) places.insert(log.address[row]);
      for (const uint32_t a : f.candidate.accounts) {
        if (asked[a]) continue;
        asked[a] = accused[a] = true;
        const size_t before = c.rows.size();
        rest(a, &c.rows);
        c.rows.erase(
            std::remove_if(c.rows.begin() + static_cast<ptrdiff_t>(before), c.rows.end(),
                           [&](uint32_t row) { return !places.contains(log.address[row]); }),
            c.rows.end());
      }
      c.accounts = AccountsOf(log, c.rows);
      if (!worth(c)) continue;
      Candidate job = InFewWords(log, &c);
      for (Candidate* of : {&job, &c}) {
        if (!worth(*of)) continue;
        for (Candidate& part : SplitByQueue(background, graph, std::move(*of), parallel)) {
          if (!part.way_bits.empty() && worth(part)) list.push_back(std::move(part));
        }
      }
    }
    judge(std::move(list), [&](std::span<Finding> judged) {
      for (Finding& f : judged) accompany(f);
    });
  }

  read.texts = {};
  read.text = {};
  log.Rest();

  // Candidates by purse: pools of the whole log.
  {
    const std::vector<uint32_t> pools = link::FindPools(graph, {}, options.pools);
    std::map<uint32_t, Candidate> by_pool;
    for (uint32_t a = 0; a < log.accounts(); ++a) {
      if (pools[a] == kNone || explained[a]) continue;
      Candidate& c = by_pool[pools[a]];
      c.formed = Formed::kPurse;
      rest(a, &c.rows);
    }
    std::vector<Candidate> list;
    for (auto& [pool, c] : by_pool) {
      c.accounts = AccountsOf(log, c.rows);
      if (Entities(log, c.accounts) >= options.entities_min) list.push_back(std::move(c));
    }
    judge(std::move(list), nullptr);
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
        const auto t = link::LongFeatures(log.features[row]);
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
    judge(std::move(list), nullptr);
  }
  out.candidates = findings.size();

  // The error budget of the review.
  std::vector<double> e_values, weighted, priors;
  for (const Finding& f : findings) {
    e_values.push_back(f.weighed.independent_bits);
    priors.push_back(f.facts.prior.scaffold_bits);
  }
  weighted = BudgetBits(priors);
  for (size_t i = 0; i < findings.size(); ++i)
    weighted[i] += e_values[i] + findings[i].weighed.heard_bits;
  const std::vector<bool> within = SelectByEBH(weighted, kErrorRate);
  const std::vector<bool> alone =
      imports.empty() ? within : SelectByEBH(e_values, kErrorRate);  // had nobody said anything
  std::vector<const Finding*> reported;
  for (size_t i = 0; i < findings.size(); ++i) {
    Finding& f = findings[i];
    if (f.weighed.verdict == Verdict::kDistillation && !within[i]) {
      f.weighed.verdict = Verdict::kUnresolved;
      f.weighed.would_change =
          "The evidence does not fit into the error budget of this review; more "
          "volume would decide it.";
    }
    if (!f.facts.prior.refs.empty()) {
      Facts own = f.facts;
      own.prior = {};
      Weighed without = Weigh(own, f.candidate.formed);
      if (!alone[i] && without.verdict == Verdict::kDistillation)
        without.verdict = Verdict::kUnresolved;
      f.weighed.rests_on_imports =
          f.weighed.verdict == Verdict::kDistillation && without.verdict != Verdict::kDistillation;
      Calibrate(f.candidate.formed, &without);
      f.weighed.own_probability = without.probability[int(Verdict::kDistillation)];
    }
    const bool report = WorthReporting(f.facts, f.weighed, f.candidate.formed);
    Calibrate(f.candidate.formed, &f.weighed);
    if (report) reported.push_back(&f);
    out.weighed.push_back({.formed = f.candidate.formed,
                           .verdict = f.weighed.verdict,
                           .probability = f.weighed.probability,
                           .odds_bits = f.weighed.odds_bits,
                           .purpose_bits = f.weighed.purpose_bits,
                           .independent_bits = f.weighed.independent_bits,
                           .open = f.weighed.overt || f.weighed.crowd,
                           .reported = report,
                           .campaign = "",
                           .exchanges = f.candidate.rows.size(),
                           .accounts = f.candidate.accounts.size(),
                           .rows = Sample(log, f.candidate.rows),
                           .sample = {}});
  }
  // What e-BH took back is no harvest. What else the accounts of a harvest do together, though it
  // is not accused, is no life of their own either; where it is all the rest of what they do, as
  // far as an account's hours tell so.
  taken.assign(log.rows(), false);
  for (const Finding& f : findings) {
    const Verdict verdict = f.weighed.verdict;
    const bool besides =
        (verdict == Verdict::kUnresolved || verdict == Verdict::kCoordinatedOther) &&
        f.facts.company >= kCompanyMin;
    if (verdict != Verdict::kDistillation && !besides) continue;
    const bool all_the_rest = besides && f.candidate.formed == Formed::kCompany;
    AccountSet told(log.accounts(), !all_the_rest);
    if (all_the_rest) {
      for (const link::Following& one : link::MeasureFollowing(
               EventsOf(log, f.candidate.rows), [](uint32_t) { return true; }, {},
               CoveredFrom(log)))
        told[one.account] = FollowingBits(one, f.facts.rhythm.excess) >= kTellingBits;
    }
    for (const uint32_t row : f.candidate.rows)
      taken[row] = taken[row] || told[log.row_account[row]];
  }
  Reporter reporter(background, graph, templates, options, taken);
  std::vector<model::Campaign> campaigns(reported.size());
  {
    std::vector<size_t> rows;
    for (const Finding* f : reported) rows.push_back(f->candidate.rows.size());
    BySize(rows, parallel, [&](size_t i, const base::Parallel&) {
      campaigns[i] = reporter.Report(reported[i]->candidate, reported[i]->facts, reported[i]->weighed);
    });
  }
  size_t next = 0;
  for (WeighedCandidate& w : out.weighed) {
    if (w.reported) w.campaign = campaigns[next++].id;
  }
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
