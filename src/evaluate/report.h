// Scores of one or several worlds written out: JSON for machines, a table for a terminal, one
// self-contained page for people. Same scores in any order give the same bytes.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "evaluate/replay.h"
#include "evaluate/score.h"
#include "evaluate/statistics.h"

namespace stillwatch::evaluate {

// One campaign over the worlds that have it.
struct CampaignSummary {
  std::string campaign;
  size_t worlds = 0;
  CampaignScore mean;  // ratios and pieces are means; verdict and names are the worst world's
  double pieces = 0;   // mean
  double worst_recall = 1;
  size_t capability_right = 0, accused = 0;  // worlds
  std::optional<Interval> recall;
};

// A number or word of scenario.yaml that differs between the worlds.
struct Knob {
  std::string path;
  struct Level {
    std::string value;
    size_t worlds = 0;
    double recall = 0;  // mean; of the campaign that the path names, of the world otherwise
    std::optional<Interval> interval;
    Share innocents;
  };
  std::vector<Level> levels;  // ascending, numbers as numbers
};

struct Summary {
  std::vector<Score> worlds;    // by (truth, found)
  std::vector<Replay> replays;  // of the worlds that were replayed
  Share recall, precision, accounts, innocents;
  std::optional<Interval> recall_interval, precision_interval, accounts_interval,
      min_recall_interval;
  Interval innocents_interval;     // of the share accused
  double min_campaign_recall = 1;  // over campaigns and worlds
  std::map<std::string, Share> by_class;
  std::vector<CampaignSummary> campaigns;
  Calibration calibration;                       // over all judged candidates
  std::optional<Interval> calibration_interval;  // of the error
  Calibration reported;                          // over the reported ones alone
  std::map<std::string, Calibration> by_verdict, by_kind;
  std::vector<Knob> knobs;  // at most kKnobsMax, by path
};
inline constexpr size_t kKnobsMax = 64;

Summary Summarise(std::vector<Score> worlds, std::vector<Replay> replays);
std::string SummaryJson(const Summary& summary);
std::string SummaryText(const Summary& summary);
std::string SummaryPage(const Summary& summary);
// Every judged candidate with the truth, one a row.
std::string CandidatesCsv(const Summary& summary);

}  // namespace stillwatch::evaluate
