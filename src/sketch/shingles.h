// The arithmetic that both implementations share. Changing a value here changes every sketch:
// model::kSketchVersion.
#pragma once

#include <array>
#include <cstring>
#include <span>
#include <utility>

#include "sketch/words.h"

namespace stillwatch::sketch {

inline constexpr uint64_t kWordLow = 0x9ae16a3b2f90404fULL, kWordHigh = 0xc949c7defeb1e6a9ULL;
inline constexpr uint32_t kFourChars = 0x85ebca77u;
inline constexpr uint32_t kFirstGram = 0xc2b2ae3du, kMiddleGram = 0x27d4eb2eu,
                          kLastGram = 0x165667b1u;
inline constexpr uint32_t kMix1 = 0x85ebca6bu, kMix2 = 0xc2b2ae35u;
inline constexpr uint32_t kOrder = 0x9e3779b9u, kOrderInverse = 0x144cbc89u;
static_assert(kOrder * kOrderInverse == 1);
inline constexpr uint32_t kBetweenBelow = 1u << 27;  // of 2^32: one gram in 32

// Room for the words of n bytes.
void Reserve(size_t n, Words* words);

// A text too short for a shingle is one.
size_t SelectWhole(const Words& words, uint32_t* out);

// What remains once the windows and what lies between them have been looked through: `out` holds
// `kept` shingles of the windows, `between` the smallest few of the others.
size_t Finish(const Words& words, size_t shingles, size_t window, std::span<const uint32_t> between,
              size_t kept, uint32_t* out);

// Everything below is a copy of each implementation's own: one linked for both would run one
// processor's instructions on another.
namespace {

// Low and high half of up to 16 bytes, zeros behind; `seed` chains the pieces of longer words.
// 64 x 64 -> 128 bits, of which the middle depends on every bit of both (as in wyhash, Wang Yi).
inline uint32_t HashPiece(uint64_t low, uint64_t high, uint64_t seed) {
  const auto product = static_cast<unsigned __int128>(low ^ kWordLow ^ seed) * (high ^ kWordHigh);
  return static_cast<uint32_t>(static_cast<uint64_t>(product) >> 32) ^
         static_cast<uint32_t>(product >> 64);
}
inline uint64_t ChainPiece(uint64_t low, uint64_t high, uint64_t seed) {
  const auto product = static_cast<unsigned __int128>(low ^ kWordLow ^ seed) * (high ^ kWordHigh);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Of a word's bytes in lower case; the lowest bit is left for what kind of word it is.
inline uint32_t HashWord(const uint8_t* bytes, size_t n, bool character) {
  uint64_t seed = 0, half[2];
  for (; n > 16; bytes += 16, n -= 16) {
    std::memcpy(half, bytes, 16);
    seed = ChainPiece(half[0], half[1], seed);
  }
  half[0] = half[1] = 0;
  if (n > 0) std::memcpy(half, bytes, n);
  return (HashPiece(half[0], half[1], seed) & ~1u) | character;
}

inline uint32_t Gram(const uint32_t* w) {
  const uint32_t two = Pair(w[0], w[1]);
  return w[0] & 1 ? two * kFourChars + Pair(w[2], w[3]) : two;
}

inline uint32_t Mix(uint32_t h) {  // the finaliser of MurmurHash3
  h = (h ^ h >> 16) * kMix1;
  h = (h ^ h >> 13) * kMix2;
  return h ^ h >> 16;
}

inline uint32_t Shingle(uint32_t first, uint32_t middle, uint32_t last) {
  return Mix(first * kFirstGram + middle * kMiddleGram + last * kLastGram);
}

// How many shingles a text has: the last ones must be complete.
inline size_t Shingles(const Words& w) {
  if (w.size < 4) return 0;
  const size_t cut = 3 + (w.character(w.size - 3) ? 2 : w.character(w.size - 2) ? 1 : 0);
  return w.size < cut ? 0 : w.size - cut;
}

// The few smallest of what is offered, by an order that does not favour small values.
template <size_t kMost>
struct Smallest {
  uint32_t order[kMost] = {};
  size_t size = 0;

  void Offer(uint32_t shingle) {
    uint32_t o = shingle * kOrder;
    size_t at = 0;
    while (at < size && order[at] < o) ++at;
    if (at == kMost || (at < size && order[at] == o)) return;
    if (size < kMost) ++size;
    for (; at < size; ++at) {
      const uint32_t next = order[at];
      order[at] = o;
      o = next;
    }
  }
  // Writes what was kept; returns how many.
  size_t Take(uint32_t* out) const {
    for (size_t i = 0; i < size; ++i) out[i] = order[i] * kOrderInverse;
    return size;
  }
};

}  // namespace
}  // namespace stillwatch::sketch
