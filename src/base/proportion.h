// A counted share and how far it can be trusted.
#pragma once

#include <cstdint>

namespace stillwatch::base {

struct Interval {
  double low = 0, high = 1;
};

// 95 % score interval of a proportion (Wilson 1927), right for few counts and at the ends; [0, 1]
// when nothing was tried.
Interval Wilson(uint64_t part, uint64_t all);

}  // namespace stillwatch::base
