// Text -> Sketch: normalise, shingle, keep a bounded sample of hashes, note a few features.
//
// Normalising: ASCII, Latin-1, Greek and Cyrillic letters in lower case; a run of digits is one
// token; everything else separates. Words are letters; a character of a script without spaces
// (Han, kana, Thai, Lao, Khmer, Myanmar) is a word by itself. A shingle is 4 words, or 6 if its
// first is such a character. Its 64-bit hash is split: the upper half decides whether it is kept
// (FracMinHash, Hera et al. 2023), the lower half is stored.
//
// Scaffolds stand at the ends of a turn, so shingles that begin within the first or last
// kWindowWords are kept at 1/2, the smallest few of the others (1/32) beside them: a payload of any
// length changes hardly anything about what is kept of a scaffold around it. At least kFloor of
// the smallest stay, at most a cap.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "model/sketch.h"

namespace stillwatch::sketch {

inline constexpr int kWordShingle = 4;
inline constexpr int kCharacterShingle = 6;
inline constexpr size_t kWindowWords = 24;
inline constexpr size_t kFloor = 4;
inline constexpr size_t kBetweenMax = 4;  // kept of what begins between the windows
inline constexpr size_t kTurnMax = 28;
inline constexpr size_t kSystemMax = 16;
inline constexpr size_t kResponseMax = 1;
inline constexpr size_t kWordsMax = 1 << 20;  // of one text; the tail beyond it is not read

struct Word {
  uint64_t hash = 0;
  bool character = false;  // of a script without spaces
};

// The words of a text, at most kWordsMax. Never fails: invalid UTF-8 separates.
void SplitWords(std::string_view text, std::vector<Word>* words);

// Thread-compatible, one per worker; no allocation in steady state.
class Sketcher {
 public:
  // `messages`: how many the request carried. Sets out->present.
  void Sketch(std::string_view system, std::string_view turn, std::string_view response,
              std::span<const std::string_view> tools, uint32_t messages, model::Sketch* out);

 private:
  void Select(const std::vector<Word>& words, size_t max, size_t floor, std::vector<uint32_t>* out);

  std::vector<Word> system_, turn_, response_;
  std::vector<uint64_t> kept_, rest_;
};

// The record format's sketch: base64 of little-endian u32 hashes, ascending; `turn` is preceded
// by 8 bytes of TextFeatures::Pack.
struct EncodedSketch {
  std::string system, turn, response;
};
EncodedSketch Encode(const model::Sketch& sketch);

// InvalidArgument for another version, bad base64, a length that is no whole number of hashes,
// more than 64 of them, or hashes that do not ascend.
absl::Status Decode(int version, std::string_view system, std::string_view turn,
                    std::string_view response, model::Sketch* out);

}  // namespace stillwatch::sketch
