// Findings against a world's truth (docs/EVALUATION.md). Reads two folders, nothing else.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace stillwatch::engine {

struct CampaignScore {
  std::string campaign, operator_name, best_id, best_verdict, capability;
  uint64_t exchanges = 0;
  double recall = 0;           // attributed to a campaign with verdict distillation
  double reported_recall = 0;  // attributed under any verdict
  double in_best = 0;          // share in its best match
  double purity = 0;           // of the best match
  double volume_error = 0;     // best match's volume against the truth, relative
  uint64_t pieces = 0;         // found campaigns that hold at least 2 % of it
  bool capability_right = false;
  double accounts_reported = 0;  // share of its accounts in any found campaign, whatever the verdict
  double accounts_together = 0;  // ... in the one that has most of them
};

struct Score {
  double exchange_recall = 0, exchange_precision = 1, account_recall = 0, min_campaign_recall = 0;
  uint64_t innocents = 0, innocents_accused = 0, attributed = 0;
  std::map<std::string, std::pair<uint64_t, uint64_t>> by_class;  // class -> (accused, all)
  std::vector<CampaignScore> campaigns;
};

// InvalidArgument for missing files, wrong headers and findings of another log.
absl::StatusOr<Score> Evaluate(const std::string& truth_dir, const std::string& found_dir);
std::string ScoreJson(const Score& score);
std::string ScoreText(const Score& score);

}  // namespace stillwatch::engine
