// What words say, learned from src/sketch/corpus.txt: naive Bayes over words and pairs of words.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace stillwatch::sketch {

// 13 capabilities, 7 signs, padding: one register of bytes.
inline constexpr int kLanes = 32;

// Bytes of evidence are at most 40 and a text has at most 256 words that count: no overflow.
using Score = std::array<int16_t, kLanes>;

// Words and pairs fall into buckets; few have something to say. A bit tells which, and the ones
// before it where: 6 kB that stay in the nearest cache.
struct Weights {
  static constexpr size_t kBuckets = 1 << 15;
  static constexpr uint32_t kSpread = 0x9e3779b1u;
  static constexpr int kShift = 17;

  std::array<uint32_t, kBuckets / 32> known{};
  std::array<uint16_t, kBuckets / 32> before{};      // known ones in the words before
  std::vector<std::array<int8_t, kLanes>> evidence;  // of each known bucket, in 1/8 bits

  static constexpr uint32_t Bucket(uint32_t feature) { return (feature * kSpread) >> kShift; }
};

// Counted from the corpus once (about 2 ms). Thread-safe.
const Weights& Learned();

}  // namespace stillwatch::sketch
