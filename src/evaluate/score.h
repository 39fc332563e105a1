// Findings against a world's truth: the measures of one world, and of several together.
// docs/EVALUATION.md says what each measure means. Pure functions of what world.h reads.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "evaluate/world.h"

namespace stillwatch::evaluate {

struct CampaignScore {
  std::string campaign, operator_name, best_id, best_verdict, capability;
  uint64_t exchanges = 0, accounts = 0;
  double recall = 0;           // attributed to a campaign with verdict distillation
  double reported_recall = 0;  // attributed under any verdict
  double in_best = 0;          // share in its best match
  double purity = 0;           // of the best match
  double volume_error = 0;     // best match's volume against the truth, relative
  uint64_t pieces = 0;         // found campaigns that hold at least 2 % of it
  bool capability_right = false;
  double accounts_named = 0;     // share of its operator's accounts that are accused
  double accounts_reported = 0;  // share of them in any found campaign, whatever the verdict
  double accounts_together = 0;  // ... in the one that has most of them
};

// An innocent whose own verdict is distillation.
struct Accused {
  std::string account, role, campaign, why;
  double probability = 0;
  std::vector<std::string> evidence;  // of the campaign, strongest first
};

// A candidate that was weighed, with the truth: whether most of what was sampled of it is one
// operator's harvest.
struct JudgedCandidate {
  FoundCandidate found;  // without its sample
  bool harvest = false;
  std::string kind;  // the campaign, or the role of most of its accounts
};

struct Share {
  uint64_t part = 0, all = 0;
  double value(double empty) const {
    return all == 0 ? empty : static_cast<double>(part) / static_cast<double>(all);
  }
};

struct Score {
  std::string truth, found;
  Share recall, precision, accounts;  // exchanges, exchanges, operators' accounts
  Share innocents;                    // accused of all
  double min_campaign_recall = 1;
  std::map<std::string, Share> by_class;
  std::vector<CampaignScore> campaigns;  // by name
  std::vector<Accused> accused;          // by account
  std::vector<JudgedCandidate> judged;
  std::map<std::string, std::string> scenario;
};

// InvalidArgument for findings of another log, and for what EachExchange reports.
absl::StatusOr<Score> ScoreFindings(const World& world, const Findings& findings);

}  // namespace stillwatch::evaluate
