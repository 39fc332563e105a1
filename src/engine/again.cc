#include "engine/again.h"

#include <algorithm>
#include <thread>

#include "base/str.h"
#include "lake/lake.h"

namespace stillwatch::engine {

absl::Status Again(const std::function<absl::Status()>& ask,
                   const std::function<void(const std::string&)>& note,
                   const std::atomic<bool>* stop) {
  using Clock = std::chrono::steady_clock;
  auto rest = kFirstRest;
  for (int tries = 1;; ++tries) {
    absl::Status s = ask();
    if (!lake::IsBrokenOff(s) || tries == kTriesMax) return s;
    note(base::StrCat(std::string(s.message()), "; begun again (", tries + 1, " of ", kTriesMax,
                      " tries)"));
    for (const auto end = Clock::now() + rest; Clock::now() < end;) {
      if (stop != nullptr && *stop) return absl::CancelledError("interrupted");
      std::this_thread::sleep_for(
          std::min<Clock::duration>(std::chrono::milliseconds(50), end - Clock::now()));
    }
    rest *= 2;
  }
}

}  // namespace stillwatch::engine
