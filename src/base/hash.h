// Stable 64-bit hashes. The values are written to disk and shared between machines, so they
// never depend on the process, the platform or the build.
#pragma once

#include <cstdint>
#include <string_view>

namespace stillwatch::base {

// XXH3-64 with seed 0.
uint64_t Hash64(std::string_view bytes);

// A bijection on 64 bits that spreads nearby inputs (the finaliser of MurmurHash3).
constexpr uint64_t Mix64(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  x ^= x >> 33;
  return x;
}

// Order-dependent combination of two hashes.
constexpr uint64_t Combine64(uint64_t a, uint64_t b) {
  return Mix64(a ^ (b + 0x9e3779b97f4a7c15ULL + (a << 6) + (a >> 2)));
}

}  // namespace stillwatch::base
