// Of sorted sequences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace stillwatch::base {

// How many values two ascending sequences of distinct ones have in common. O(both); without
// branches on the values, which predict badly.
inline size_t CountCommon(std::span<const uint32_t> a, std::span<const uint32_t> b) {
  size_t n = 0, i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    const uint32_t x = a[i], y = b[j];
    n += x == y;
    i += x <= y;
    j += y <= x;
  }
  return n;
}

}  // namespace stillwatch::base
