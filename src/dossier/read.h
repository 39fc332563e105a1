// What a finished scan left, read back.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "model/campaign.h"

namespace stillwatch::dossier {

inline constexpr size_t kCampaignsBytesMax = size_t{1} << 30;  // of campaigns.json

// campaigns.json, accounts.csv and explain.jsonl of DIR as the findings that wrote them, without
// rows, addresses and the exchanges of specimens, which are not in those files; probabilities have
// their four decimals. NotFound when DIR holds no finished scan,
// InvalidArgument with file and place when a file is not what a scan writes.
absl::StatusOr<model::Findings> ReadFindings(const std::string& dir);

}  // namespace stillwatch::dossier
