// The arithmetic that both implementations share. Changing a value here changes every sketch:
// model::kSketchVersion.
#pragma once

#include <algorithm>
#include <cstring>

#include "sketch/words.h"

namespace stillwatch::sketch {

inline constexpr uint64_t kWordLow = 0x9ae16a3b2f90404fULL, kWordHigh = 0xc949c7defeb1e6a9ULL;
inline constexpr uint32_t kFourChars = 0x85ebca77u;
inline constexpr uint32_t kFirstGram = 0xc2b2ae3du, kMiddleGram = 0x27d4eb2eu,
                          kLastGram = 0x165667b1u;
inline constexpr uint32_t kMix1 = 0x85ebca6bu, kMix2 = 0xc2b2ae35u;
inline constexpr uint32_t kOrder = 0x9e3779b9u;
inline constexpr uint32_t kBetweenBelow = 1u << 27;  // of 2^32: one gram in 32

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
  return w.size - std::min(w.size, cut);
}

// The few smallest of what is offered, by an order that does not favour small values.
template <size_t kMost>
struct Smallest {
  std::array<uint32_t, kMost> order;
  size_t size = 0;

  void Offer(uint32_t shingle) {
    uint32_t o = shingle * kOrder;
    size_t at = 0;
    while (at < size && order[at] < o) ++at;
    if (at == kMost || (at < size && order[at] == o)) return;
    if (size < kMost) ++size;
    for (; at < size; ++at) std::swap(order[at], o);
  }
  // kOrder's inverse gives back what was offered.
  uint32_t At(size_t i) const { return order[i] * 0x144cbc89u; }
};
static_assert(kOrder * 0x144cbc89u == 1);

// A text too short for a shingle is one.
inline size_t SelectWhole(const Words& w, uint32_t* out) {
  if (w.size == 0) return 0;
  uint32_t h = static_cast<uint32_t>(w.size);
  for (size_t i = 0; i < w.size; ++i) h = Pair(h, w.hash[i]);
  out[0] = Mix(h);
  return 1;
}

// What remains once the windows and what lies between them have been looked through: `out` holds
// `kept` shingles of the windows.
inline size_t Finish(const Words& w, size_t shingles, size_t window,
                     const Smallest<kBetweenMax>& between, size_t kept, uint32_t* out) {
  std::sort(out, out + kept);
  kept = static_cast<size_t>(std::unique(out, out + kept) - out);
  size_t more = kept;
  if (kept < kFloor) {
    Smallest<kFloor> others;
    for (size_t i = 0; i < shingles; ++i) {
      if (i == window && shingles > 2 * window) i = shingles - window;
      const uint32_t h = Shingle(Gram(&w.hash[i]), Gram(&w.hash[i + 1]), Gram(&w.hash[i + 2]));
      if (!std::binary_search(out, out + kept, h)) others.Offer(h);
    }
    for (size_t i = 0; i < others.size && more < kFloor; ++i) out[more++] = others.At(i);
  }
  for (size_t i = 0; i < between.size; ++i) out[more++] = between.At(i);
  if (more == kept) return kept;
  std::sort(out, out + more);
  return static_cast<size_t>(std::unique(out, out + more) - out);
}

}  // namespace stillwatch::sketch
