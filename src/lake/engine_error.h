// The engine's error texts as statuses.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace stillwatch::lake {

// "Code: 60. DB::Exception: Unknown table x in scope SELECT ... (UNKNOWN_TABLE) (version ...)"
//   -> 60, "Unknown table x in scope SELECT ... (UNKNOWN_TABLE)": without stacked prefixes, the
// version and anything behind it; at most 600 bytes.
int EngineCode(std::string_view error);
std::string EngineSentence(std::string_view error);

// Which kind of failure: ResourceExhausted for disk or memory, DeadlineExceeded for time,
// Internal when the engine is at fault or gave no code; otherwise `otherwise`.
absl::Status EngineError(std::string_view what, std::string_view error,
                         absl::StatusCode otherwise = absl::StatusCode::kInvalidArgument);

}  // namespace stillwatch::lake
