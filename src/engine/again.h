// A lake that ends in the middle of an answer (its process was killed, a server restarted) is often
// back within seconds: what asked it begins anew, in place of failing as a whole.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace stillwatch::engine {

inline constexpr int kTriesMax = 6;                          // of one Again
inline constexpr std::chrono::milliseconds kFirstRest{100};  // before the second try, then doubled

// Calls `ask` until its status is another than lake::BrokenOff, at most kTriesMax times. `ask`
// begins from nothing each time. A lake that stays away is waited for by the lake itself, and is
// not asked again here. `note` hears of each further try; `stop` (may be null) ends the rests:
// Cancelled. Blocks; any thread.
absl::Status Again(const std::function<absl::Status()>& ask,
                   const std::function<void(const std::string&)>& note,
                   const std::atomic<bool>* stop);

}  // namespace stillwatch::engine
