// Chance by counter: the n-th draw of a key is a function of both, so any part of a world can be
// made alone, in any order, on any thread. SplitMix64 (Steele, Lea, Flood 2014) with the key as
// its starting point.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/hash.h"

namespace stillwatch::simulate {

class Rng {
 public:
  explicit Rng(uint64_t key) : state_(base::Mix64(key)) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  // In [0, 1).
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  double Uniform(double low, double high) { return low + (high - low) * Unit(); }
  // In [0, n); n > 0. Bias below 2^-32 for the n used here.
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>((Next() >> 32) * n >> 32); }
  bool Chance(double p) { return Unit() < p; }
  double Exponential(double mean) { return -mean * std::log1p(-Unit()); }
  double Normal() {
    const double r = std::sqrt(-2 * std::log1p(-Unit()));
    return r * std::cos(6.283185307179586 * Unit());
  }
  // A factor with mean 1.
  double LogNormal(double sigma) { return std::exp(sigma * Normal() - sigma * sigma / 2); }
  // Number of further trials that succeed with probability 1 - 1 / mean; mean >= 1 counts the
  // first.
  uint32_t Geometric(double mean) {
    return mean <= 1 ? 1 : 1 + static_cast<uint32_t>(std::log1p(-Unit()) / std::log1p(-1 / mean));
  }
  uint32_t Poisson(double mean) {
    if (mean > 40) {
      const double n = mean + std::sqrt(mean) * Normal();
      return n < 0 ? 0 : static_cast<uint32_t>(n + .5);
    }
    double u = Unit(), p = std::exp(-mean), sum = p;
    uint32_t k = 0;
    while (u > sum && k < 400) sum += p *= mean / ++k;
    return k;
  }

 private:
  uint64_t state_;
};

inline uint64_t Key(uint64_t a, uint64_t b) { return base::Combine64(a, b); }
inline uint64_t Key(uint64_t a, uint64_t b, uint64_t c) { return Key(Key(a, b), c); }

}  // namespace stillwatch::simulate
