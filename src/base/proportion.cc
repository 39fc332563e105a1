#include "base/proportion.h"

#include <algorithm>
#include <cmath>

namespace stillwatch::base {

Interval Wilson(uint64_t part, uint64_t all) {
  if (all == 0) return {};
  constexpr double kZ = 1.959964;
  const double n = static_cast<double>(all), p = static_cast<double>(part) / n, z2 = kZ * kZ;
  const double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kZ / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return {part == 0 ? 0 : std::max(0.0, middle - half),
          part == all ? 1 : std::min(1.0, middle + half)};
}

}  // namespace stillwatch::base
