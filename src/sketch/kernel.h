// The loops over bytes and words, in two implementations that agree bit for bit: a scalar one that
// defines the values and one in AVX2 (kernel_test.cc and sketch_fuzz.cc hold them equal). Pure and
// thread-safe; nothing fails.
#pragma once

#include <span>

#include "sketch/marks.h"
#include "sketch/weights.h"
#include "sketch/words.h"

namespace stillwatch::sketch {

struct Kernel {
  // Sets all of *words.
  void (*split)(std::string_view text, Words* words);

  // The shingles kept: of those that begin within the first or last `window` (2 to kWindowMax)
  // words a third, up to kFloor the smallest of the others there, and the smallest few of those
  // between. Writes them ascending and distinct to `out`, which has room for kSelectedMax and
  // kSelectedPadding; returns how many.
  size_t (*select)(const Words& words, size_t window, uint32_t* out);

  // Adds the evidence of the words and of the pairs of neighbours to *score.
  void (*score)(const Weights& weights, std::span<const uint32_t> words, Score* score);

  // TextFeatures::format (marks.h).
  uint8_t (*format)(std::string_view text);
};

extern const Kernel kScalarKernel;

// Null on a processor without AVX2, BMI1, BMI2 and POPCNT.
const Kernel* Avx2Kernel();

const Kernel& BestKernel();

}  // namespace stillwatch::sketch
