// What a dossier says beyond the findings: counted in the kept lake, so that each figure stands
// beside the statement that recomputes it; and what files of the provider add to it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lake/lake.h"
#include "model/campaign.h"

namespace stillwatch::dossier {

struct ModelUsage {
  std::string model;
  uint64_t exchanges = 0;
  uint64_t answered = 0;  // status 2xx, or none logged, and not known to be empty
  uint64_t input_tokens = 0, cached_tokens = 0, output_tokens = 0, reasoning_tokens = 0;
};

struct Figures {
  std::vector<ModelUsage> usage;  // by exchanges, descending
  std::map<std::string, std::string> queries;
  uint64_t answered() const;
};

// One pass over the campaign's exchanges. NotFound when the lake does not hold the attribution of
// this campaign: it was judged again since.
absl::StatusOr<Figures> ReadFigures(lake::Lake* lake, const std::string& campaign_id);

// 95 % of what the campaign may be, seen from how sure each account's membership is; what was
// missed altogether is not in it.
struct Interval {
  double low = 0, high = 0;
};
struct Intervals {
  Interval accounts, exchanges;
  double of_exchanges = 0;  // the expected exchanges over those attributed
};
Intervals MembershipIntervals(const model::Campaign& campaign);

// Prices as published, per million tokens.
struct Price {
  double input = 0, cached_input = 0, output = 0;
};
struct Prices {
  std::string currency;
  std::map<std::string, Price> models;
};
// YAML: {currency: USD, models: {NAME: {input: 5, cached_input: 0.5, output: 25}}}. InvalidArgument
// with line and key.
absl::StatusOr<Prices> ParsePrices(const std::string& yaml, const std::string& name);
// What the campaign's tokens cost at these prices; false when a model of it has none.
bool Worth(const Figures& figures, const Prices& prices, double* out);

// A date of another model's development, as somebody published it.
struct Milestone {
  std::string date;  // "2026-05-12"
  std::string event, source;
};
// YAML: [{date: 2026-05-12, event: ..., source: ...}], at most kMilestonesMax.
inline constexpr size_t kMilestonesMax = 200;
absl::StatusOr<std::vector<Milestone>> ParseMilestones(const std::string& yaml,
                                                       const std::string& name);

}  // namespace stillwatch::dossier
