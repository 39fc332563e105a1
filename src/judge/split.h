// A workload cut into those who act as one: by what they share, and by the queue they follow. A tool,
// a phrase or a relay brings a queue's accounts together with strangers; each account's hours tell
// which of the two it is, and what a few hours cannot tell of one account they tell of all that came
// the same way.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "judge/facts.h"
#include "link/log.h"
#include "link/pools.h"
#include "link/rhythm.h"

namespace stillwatch::judge {

// From here on a group's rhythm is heard; a common calendar does less.
inline constexpr double kAudibleExcess = .04;
inline constexpr double kAudibleScore = 3;
// A log of few days shows less of either, as habits are learnt on the same days.
inline double AudibleExcess(const link::Rhythm& rhythm) {
  return kAudibleExcess * (1 - rhythm.absorbed);
}
inline bool Audible(const link::Rhythm& rhythm) {
  return rhythm.excess >= AudibleExcess(rhythm) && rhythm.z >= kAudibleScore;
}
// Bits from which an account is told to follow a queue, or below their negative not to.
inline constexpr double kTellingBits = 2;

// What is heard of a row; nothing outside the days of the log (Log::heard_from_ms).
std::optional<link::Event> EventOf(const link::Log& log, uint64_t row);

// From when on it is heard; link::MeasureRhythm's covered_from.
int32_t CoveredFrom(const link::Log& log);

// One event for each half hour in which an account was active: all that a rhythm consists of.
// Rows ascend.
std::vector<link::Event> EventsOf(const link::Log& log, std::span<const uint32_t> rows);

// log2 of how much likelier an account's hours are if it is dealt from a queue of this excess than
// if it comes and goes on its own. The ratio's variance is the excess over its hours, which come in
// runs: every second one counts.
double FollowingBits(const link::Following& following, double excess);

// The candidate's accounts, by position, that are to be taken, with their rows.
Candidate Select(const link::Log& log, const Candidate& whole,
                 const std::function<bool(size_t position)>& take);

// One job may be done by several hands: pools that share nothing with each other, and people
// who share nothing at all. They are one operator's only if they follow one queue. A workload is
// cut into its pools and the rest, and two parts are joined where their accounts coincide in time
// beyond each part's own habits. Where there is too little traffic to tell, they stay apart.
std::vector<Candidate> SplitByHand(const Background& background, const link::AccountGraph& graph,
                                   const link::PoolOptions& options, Candidate whole);

// The candidate as the groups that follow one queue each and what is left: `whole` alone when no
// rhythm is heard or all follow it. An account goes by its own hours and by how many follow of those
// who came the same way: with the same main template and hand, replaying or not, with a shared
// payment or not.
std::vector<Candidate> SplitByQueue(const Background& background, const link::AccountGraph& graph,
                                    Candidate whole,
                                    const base::Parallel& parallel = base::Parallel(1));

}  // namespace stillwatch::judge
