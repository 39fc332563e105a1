// Findings written out: figures, members, evidence with exchange ids and the queries that
// recompute them. Decides about accounts, which are judged apart from their campaign.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "judge/facts.h"
#include "judge/judge.h"
#include "judge/weigh.h"
#include "model/campaign.h"

namespace stillwatch::judge {

// Groups that nobody would ask about (unrelated people, no sign of purpose) are not reported.
bool WorthReporting(const Facts& facts, const Weighed& weighed, Formed formed);

// People say names: no two of a scan have the same. Made of the ids; who began first has the first
// choice, so that what begins later renames nobody. Beyond 1,024 campaigns names end with the id.
void NameEach(std::span<model::Campaign> campaigns);

// As findings call it.
std::string TemplateId(const link::Template& t);

class Reporter {
 public:
  // Keeps references: all must outlive it. `harvest`: of each row, whether an accused campaign has
  // it, or other work that its accounts do together.
  Reporter(const Background& background, const link::AccountGraph& graph,
           const std::vector<link::Template>& templates, const JudgeOptions& options,
           const std::vector<bool>& harvest);
  // May be called from several threads.
  model::Campaign Report(const Candidate& candidate, const Facts& facts, const Weighed& weighed) const;
  // `rows`: what is attributed to the campaign.
  void Add(model::Campaign campaign, std::vector<uint32_t> rows);
  void AddPermitted(const model::Permit& permit, const std::vector<uint32_t>& rows, uint64_t over);
  model::Findings Finish() &&;

 private:
  model::Campaign Figures(const std::vector<uint32_t>& rows, const std::string& kind) const;
  void Members(const Candidate& candidate, const Facts& facts, model::Campaign* campaign) const;
  void Cite(const Candidate& candidate, model::Campaign* campaign) const;
  void Attribute(const Candidate& candidate, model::Campaign* campaign) const;

  const Background& background_;
  const link::Log& log_;
  const link::AccountGraph& graph_;
  const std::vector<link::Template>& templates_;
  const JudgeOptions& options_;
  const std::vector<bool>& harvest_;  // of each row
  std::vector<model::Campaign> campaigns_;
  std::vector<std::vector<uint32_t>> rows_;  // attributed, of each campaign
};

}  // namespace stillwatch::judge
