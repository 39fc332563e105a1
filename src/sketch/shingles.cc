#include "sketch/shingles.h"

#include <algorithm>

namespace stillwatch::sketch {

void Reserve(size_t n, Words* words) {
  // Two words have a byte between them, or one of them is a character of three. A register may
  // reach 16 words behind the last, and 96 bytes behind the text.
  if (words->hash.size() < n / 2 + 32) words->hash.resize(n / 2 + 256);
  if (words->text.size() < n + 96) words->text.resize(n + 1024);
  const size_t bits = 3 * ((n + 63) / 64 + 1);  // and a word behind each of three kinds
  if (words->bits.size() < bits) words->bits.resize(bits + 48);
}

size_t SelectWhole(const Words& words, uint32_t* out) {
  if (words.size == 0) return 0;
  auto h = static_cast<uint32_t>(words.size);
  for (size_t i = 0; i < words.size; ++i) h = Pair(h, words.hash[i]);
  out[0] = Mix(h);
  return 1;
}

size_t Finish(const Words& words, size_t shingles, size_t window, std::span<const uint32_t> between,
              size_t kept, uint32_t* out) {
  std::sort(out, out + kept);
  kept = static_cast<size_t>(std::unique(out, out + kept) - out);
  size_t more = kept;
  if (kept < kFloor) {
    Smallest<kFloor> others;
    for (size_t i = 0; i < shingles; ++i) {
      if (i == window && shingles > 2 * window) i = shingles - window;
      const uint32_t* w = &words.hash[i];
      const uint32_t h = Shingle(Gram(w), Gram(w + 1), Gram(w + 2));
      if (!std::binary_search(out, out + kept, h)) others.Offer(h);
    }
    uint32_t other[kFloor];
    const size_t n = std::min(others.Take(other), kFloor - kept);
    more = static_cast<size_t>(std::copy_n(other, n, out + more) - out);
  }
  more = static_cast<size_t>(std::copy(between.begin(), between.end(), out + more) - out);
  if (more == kept) return kept;
  std::sort(out, out + more);
  return static_cast<size_t>(std::unique(out, out + more) - out);
}

}  // namespace stillwatch::sketch
