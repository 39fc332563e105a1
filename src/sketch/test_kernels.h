// What kernel_test.cc and sketch_fuzz.cc hold: every implementation says the same of any bytes.
#pragma once

#include <cstring>
#include <memory>
#include <string>

#include "base/str.h"
#include "sketch/kernel.h"
#include "sketch/sketcher.h"

namespace stillwatch::sketch {

// Where `other` differs from the scalar kernel on `text`; empty when nowhere.
inline std::string Difference(const Kernel& other, std::string_view text) {
  // A copy without a byte behind it, so that a sanitizer sees reading beyond the end.
  const std::unique_ptr<char[]> copy(new char[text.size()]);
  std::memcpy(copy.get(), text.data(), text.size());
  text = std::string_view(copy.get(), text.size());

  Words want, got;
  // What an earlier text left behind must not matter.
  other.split("left 中文 over_ 12 ąБ", &got);
  kScalarKernel.split(text, &want);
  other.split(text, &got);
  if (got.size != want.size) return base::StrCat("words: ", got.size, " for ", want.size);
  for (size_t i = 0; i < want.size; ++i) {
    if (got.hash[i] != want.hash[i]) return base::StrCat("word ", i);
  }
  if (got.letters != want.letters) return "letters of a script";
  if (got.characters != want.characters) return "characters";

  for (const size_t window : {size_t{2}, size_t{7}, kSystemWindow, kTurnWindow, kWindowMax}) {
    uint32_t kept[2][kSelectedMax + kSelectedPadding];
    const size_t n = kScalarKernel.select(want, window, kept[0]);
    if (n > kSelectedMax) return "more shingles than there may be";
    for (size_t i = 1; i < n; ++i) {
      if (kept[0][i - 1] >= kept[0][i]) return "shingles do not ascend";
    }
    if (other.select(got, window, kept[1]) != n) return base::StrCat("shingles, window ", window);
    if (std::memcmp(kept[0], kept[1], n * 4) != 0) return base::StrCat("shingle, window ", window);
  }

  if (kScalarKernel.format(text) != other.format(text)) return "format";

  const std::span<const uint32_t> words(want.hash.data(), std::min<size_t>(want.size, 128));
  Score scores[2] = {};
  kScalarKernel.score(Learned(), words, &scores[0]);
  other.score(Learned(), words, &scores[1]);
  return scores[0] == scores[1] ? "" : "score";
}

}  // namespace stillwatch::sketch
