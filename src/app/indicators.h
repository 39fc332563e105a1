// Indicators that others shared on their way to the judge: from files, or from the service's state
// by way of a file that its passes read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "judge/prior.h"
#include "share/indicator.h"
#include "share/stix/read.h"
#include "state/types.h"

namespace stillwatch::app {

inline constexpr size_t kIndicatorFiles = 10'000;           // of one folder
inline constexpr size_t kIndicatorBytes = size_t{1} << 30;  // of one file that the service wrote
inline constexpr size_t kBlindingKeys = 64;

// {"schema":"stillwatch.indicators/1","indicators":[...]}: what acts, as graded here. The same
// bytes for the same rows.
std::string IndicatorsJson(const std::vector<state::ImportedIndicator>& active);

// A STIX bundle or a file of IndicatorsJson; a folder is all *.json in it, by name. What is
// revoked, expired or not yet valid at `now_ms` is left out, and of two versions the newer counts.
// A bundle's statements are of `reliability`. InvalidArgument names the file and the fault: nothing
// is read then.
absl::StatusOr<std::vector<judge::SharedIndicator>> ReadIndicators(
    const std::vector<std::string>& paths, int64_t now_ms, char reliability);

struct ImportRows {
  std::vector<state::ImportedIndicator> indicators;
  std::vector<state::ImportedSighting> sightings;
  uint64_t other = 0;  // patterns or values that are not ours to act on
};

// One bundle, or the result of `share compare`, as rows of the state. What a comparison matched is
// confirmed by ours: credibility 1, for 90 days.
absl::StatusOr<ImportRows> ReadBundle(const std::string& path);

// The same of a bundle's text; `name` is what errors call it.
absl::StatusOr<ImportRows> BundleRows(const std::string& name, std::string_view text,
                                      const share::stix::ReadLimits& limits);

// By files of `stillwatch share key`.
absl::StatusOr<judge::Blind> BlindWith(const std::vector<std::string>& key_files);

// Admiralty credibility of a statement by its confidence (STIX 2.1, appendix A). "Confirmed by
// other sources" is not for the one who says it: 2 is the best.
int CredibilityOf(int confidence);

}  // namespace stillwatch::app
