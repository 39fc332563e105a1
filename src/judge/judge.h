// From the linked log to findings: candidates are formed, measured, weighed against their rivals
// and, within the error budget of the review, named. Pure: no I/O, clock or thread of its own;
// the same log gives the same findings, byte for byte, at any thread count.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "judge/facts.h"
#include "link/log.h"
#include "link/pools.h"
#include "link/templates.h"
#include "link/workloads.h"
#include "model/account.h"
#include "model/campaign.h"

namespace stillwatch::judge {

struct JudgeOptions {
  link::TemplateOptions templates;
  link::WorkloadOptions workloads;
  link::PoolOptions pools;
  uint32_t entities_min = 5;  // of a candidate
  uint64_t exchanges_min = 40;
  size_t candidates_max = 20'000;  // the largest are judged, the rest counted in `skipped`
  size_t evidence_ids_max = 20;
  uint32_t specimens = 0;  // texts wanted of each template; 16 times as many are named
  std::vector<model::Permit> permits;
  std::vector<model::KnownActor> known;
  std::vector<SharedIndicator> shared;  // what others say (judge/prior.h)
  Blind blind;
  // Told the templates of the log as soon as they are found; the log's rows are in place.
  std::function<void(std::span<const link::Template>)> on_templates;
};

// A candidate that was weighed, reported or not: what the stated probabilities are measured by.
struct WeighedCandidate {
  Formed formed = Formed::kText;
  model::Verdict verdict = model::Verdict::kUnresolved;
  std::array<double, model::kVerdicts> probability{};
  // What the probability of distillation was made of: Weighed's members of these names, and
  // whether it is openly one customer or a crowd.
  double odds_bits = 0, purpose_bits = 0;
  double independent_bits = 0;  // log2 of the e-value that the error budget was spent by
  bool open = false;
  bool reported = false;
  std::string campaign;  // id of the campaign that it was reported as; empty: not reported
  uint64_t exchanges = 0, accounts = 0;
  std::vector<uint32_t> rows;  // kCandidateSample of them, by smallest hash of the exchange id
  std::vector<std::pair<std::string, std::string>> sample;  // exchange and account, once named
};
inline constexpr size_t kCandidateSample = 32;

struct Judged {
  model::Findings findings;
  std::vector<WeighedCandidate> weighed;  // in the order in which they were formed
  size_t candidates = 0;                  // weighed
  size_t skipped = 0;                     // beyond candidates_max
  size_t templates = 0;
};

// The log's texts are given back on the way: nothing of what follows reads them.
Judged Judge(link::Log& log, const JudgeOptions& options, const base::Parallel& parallel);

}  // namespace stillwatch::judge
