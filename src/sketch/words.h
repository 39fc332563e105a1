// The words of a text and the shingles that stand for it.
//
// A word is a run of ASCII letters, digits, '_' and letters of other scripts, in lower case; it
// counts up to its first digit, so that "item12" is "item7", and numbers are all one word. A
// character of a script without spaces (Han, kana, Thai, Lao, Khmer, Myanmar) is a word by itself.
// Everything else separates, bytes that are no UTF-8 too.
//
// A gram is two neighbouring words, or four where the first is such a character. A shingle is three
// successive grams, so four words or six characters. It is kept where its middle gram is the
// smallest of the three (an open syncmer, Edgar 2021): one shingle in three, never two in a row,
// and whether one is kept depends on its own words alone. That spreads what is kept so evenly that
// seven shingles lack a second kept one hardly more often than with a fair coin for each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace stillwatch::sketch {

inline constexpr size_t kTextMax = 4 << 20;  // bytes of one text; the tail beyond it is not read
inline constexpr size_t kBetweenMax = 4;     // kept of what begins between the windows
inline constexpr size_t kFloor = 4;          // kept at least, where there are so many
inline constexpr size_t kWindowMax = 24;     // words at either end
// A kept shingle has no kept neighbour.
inline constexpr size_t kSelectedMax = kWindowMax / 2 * 2 + kBetweenMax;
// What an implementation may write behind them: its registers are wider than what is left.
inline constexpr size_t kSelectedPadding = 8;

// What script a text is in, by the bytes of its letters.
enum Script : uint8_t {
  kNoScript,
  kLatin,
  kCyrillic,
  kHan,
  kKana,
  kHangul,
  kArabic,
  kDevanagari,
  kOtherScript,
};
inline constexpr int kScripts = 9;

// Reused from text to text: no allocation in steady state. Thread-compatible.
struct Words {
  // Even for a word, odd for a character of a script without spaces. Longer than `size`; what lies
  // behind is not meaningful.
  std::vector<uint32_t> hash;
  size_t size = 0;
  bool characters = false;                   // any of the latter
  std::array<uint32_t, kScripts> letters{};  // bytes of each script's letters
  std::vector<uint8_t> text;                 // scratch: the text in lower case
  std::vector<uint64_t> bits;                // scratch: kinds of its bytes

  bool character(size_t i) const { return hash[i] & 1; }
};

// Stands for two neighbouring words.
constexpr uint32_t Pair(uint32_t a, uint32_t b) { return a * 0x9e3779b1u + b; }

}  // namespace stillwatch::sketch
