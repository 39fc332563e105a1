// The rhythm of a queue: do different accounts act at the same moments more often than their
// habits explain?
//
// Each account's day is cut into slots; an account is present in a slot or not, which removes its
// own bursts. Given on which days an account was active and in how many slots, the null places
// those slots independently by the account's daily habit (its own profile, shrunk to the
// group's; on a busy day the best slots saturate and the others fill up). Conditioning on the day
// removes launch days, weekends, growth and bans; conditioning on the habit removes working hours
// and shared time zones. What is left is coincidence within a day: the queue's bursts and pauses,
// dealt out over its accounts. Expectation and variance of the number of coinciding pairs are
// closed sums, so that no shuffling is needed (the variance of pairs under independent presence:
// E^2/2 a slot, Poisson limit).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "link/text_sets.h"

namespace stillwatch::link {

// An account's half hour; no rhythm is finer.
struct Event {
  static constexpr int64_t kMs = 30 * 60'000;
  Event() = default;
  Event(uint32_t account, int64_t ts_ms)
      : account(account), half_hour(static_cast<int32_t>(ts_ms / kMs - (ts_ms % kMs < 0))) {}
  uint32_t account = 0;   // any dense numbering
  int32_t half_hour = 0;  // since 1970, UTC
  auto operator<=>(const Event&) const = default;
};

// Of accounts, and of days since 1970 (UTC). An empty one: all.
using Accounts = std::function<bool(uint32_t account)>;
using Days = std::function<bool(int64_t day)>;

// What a single day leaves of a queue is not known; it is taken for as much as two leave.
inline constexpr double kAbsorbedMax = .5;

struct Rhythm {
  double pairs = 0;     // coinciding pairs of different accounts, one-hour slots
  double expected = 0;  // of them under the null
  double excess = 0;    // pairs / expected - 1; 0 when nothing was expected
  double z = 0;         // mean of the z at slots of 30 minutes, one hour and two
  // Share of a common rhythm that habits take in because they are learnt on the same days: one in D
  // of D days that are alike, and never stated above kAbsorbedMax.
  double absorbed = 0;
  // Standard deviations at which a queue of ordinary tightness (excess .12, before habits absorb of
  // it) would stand out with this volume. Below 3 silence says nothing.
  double power = 0;
};

// From when on a log covers its first day; accounts are not looked for in what it lacks of it.
// At a multiple of two hours.
inline constexpr int32_t kWholeDays = INT32_MIN;

// Pure. Events in any order (of the order of a log no copy is made); equal ones count once a slot.
// Only those of accounts `who` on days `on` are heard. O(accounts * days * slots).
Rhythm MeasureRhythm(std::span<const Event> events,
                     const base::Parallel& parallel = base::Parallel(1), const Accounts& who = {},
                     const Days& on = {}, int32_t covered_from = kWholeDays);

// Of a group made of parts with habits of their own (pools, a class among them): coincidences
// inside and between the parts, each part against its own habit, so that a difference of habits
// does not look like a rhythm. `part_of`: dense numbers; kNone: not heard. Coincidences count on
// days `counted` alone; habits are still those of all days, of which a few would take in the rhythm
// itself. O(parts^2 * days * slots) more.
Rhythm MeasureRhythm(std::span<const Event> events,
                     const std::function<uint32_t(uint32_t account)>& part_of,
                     const base::Parallel& parallel = base::Parallel(1), const Days& counted = {},
                     int32_t covered_from = kWholeDays);

// How an account moves with the rest of its group: how full the group's hours were in which it was
// present, against how full its own and the others' habits would have made them. 1 for one who comes
// and goes on his own; 1 + excess for one who is dealt from the queue.
struct Following {
  uint32_t account = 0;
  double slots = 0;  // hours in which it was present
  double ratio = 1;
};

// One entry for each account of the events on days `on`, ascending: how it moves with those of them
// that are `in` the group, itself excepted. O(accounts * days * 24).
std::vector<Following> MeasureFollowing(std::span<const Event> events, const Accounts& in,
                                        const Days& on = {}, int32_t covered_from = kWholeDays);

// A group's presences, made once for any number of comparisons. Immutable; copies share.
class Beat {
 public:
  explicit Beat(std::span<const Event> events, int32_t covered_from = kWholeDays);
  // Of two groups of different accounts together, each against its own habits. O(days * slots).
  static Beat Joined(const Beat& a, const Beat& b);

 private:
  friend Rhythm MeasureCrossRhythm(const Beat& a, const Beat& b);
  struct Scales;
  std::shared_ptr<const Scales> scales_;
};

// Coincidences of accounts of one group with accounts of another, each group by its own habits:
// do two groups follow one queue? Accounts must not be in both. O(days * slots).
Rhythm MeasureCrossRhythm(const Beat& a, const Beat& b);

// Weight of a half hour since 1970, in whatever unit.
using Weights = std::function<double(int32_t half_hour)>;

// A group against hours that somebody else states: are its accounts present more often than their
// own habits explain where the weight is positive, and less where it is negative? Given the
// weights, whoever made them and why, z has mean 0 and a variance of 1 at most for accounts that
// come and go on their own, as long as they were made without these accounts. `pairs` and
// `expected` are presences in hours of positive weight; `power` says nothing.
// O(accounts * days * slots).
Rhythm MeasureAgainst(std::span<const Event> events, const Weights& weight,
                      int32_t covered_from = kWholeDays);

}  // namespace stillwatch::link
