// What a person dismissed is not raised again, nor is its twin, without new evidence.
//
// A finding repeats a dismissed campaign when most of what it holds was in that: most of its
// exchanges, or, once none of the dismissed one's exchanges is in the window any more, most of its
// accounts. (The other way round does not count: a campaign in which a small dismissed one is
// swallowed is another campaign.) New evidence is a family that did not speak for it then, kNewBits
// more evidence in all, or kOutgrown times the exchanges: then most of what is there was never
// looked at.
//
// Pure; deterministic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "watch/identity.h"

namespace stillwatch::watch {

inline constexpr double kTwinShare = .5;
inline constexpr double kNewBits = 10;  // a thousand times the odds
inline constexpr double kOutgrown = 4;

// A campaign as it was when it was dismissed.
struct Dismissed {
  std::string id;          // lasting
  uint32_t families = 0;   // that spoke for it: bit i is model::Family i
  double bits = 0;         // of all that spoke for it; 0: not known
  uint64_t exchanges = 0;  // 0: not known
};

inline constexpr size_t kNoRepeat = SIZE_MAX;

// For each finding the dismissed campaign (index) that it repeats without new evidence, or
// kNoRepeat. Of several the one with which it shares most, then the first. A finding that repeats
// one and is new evidence on another is new.
std::vector<size_t> Repeats(const Identities& before, const std::vector<Finding>& findings,
                            const std::vector<Dismissed>& dismissed);

}  // namespace stillwatch::watch
