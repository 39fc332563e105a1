// Text specimens of templates (`scan --specimens N`): the one text that a lake may hold, and only
// for a stated time. docs/PRIVACY.md says what that means for people.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "engine/scan.h"

namespace stillwatch::engine {

inline constexpr uint32_t kSpecimensMax = 100;         // of a template
inline constexpr size_t kSpecimenPartBytesMax = 2048;  // of system prompt and turn each
inline constexpr int kSpecimenDays = 30;               // from the scan that read the text

// Fills the text of the exchanges that the findings' templates name: from input.source, which is
// read a second time, else from what the lake still keeps of earlier scans. At most
// input.specimens of each template stay in `findings`, and the lake then holds these and no
// others. With input.specimens 0 nothing is read and the lake's specimens are removed.
absl::Status TakeSpecimens(const ScanInput& input, model::Findings* findings);

// Removes specimens whose time is over, from the disk too, and what a killed removal left.
absl::Status ExpireSpecimens(lake::Lake& lake, int64_t now_ms);

}  // namespace stillwatch::engine
