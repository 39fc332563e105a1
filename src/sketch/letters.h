// Code points as the splitter sees them. Lower case keeps a letter's length in UTF-8, so that a
// text can be lowered in place.
#pragma once

#include <cstdint>

#include "sketch/words.h"

namespace stillwatch::sketch {
namespace {  // as in shingles.h

// One code point of `n` > 0 bytes at `s`: its length, or 0 for what is not UTF-8 (too long a form,
// surrogates, beyond U+10FFFF, cut off).
inline int DecodeUtf8(const uint8_t* s, size_t n, uint32_t* code) {
  const uint8_t c = s[0];
  const auto follows = [&](size_t k) { return (s[k] & 0xC0) == 0x80; };
  if (c < 0x80) return *code = c, 1;
  if (c < 0xC2) return 0;
  if (c < 0xE0) {
    if (n < 2 || !follows(1)) return 0;
    return *code = (c & 0x1Fu) << 6 | (s[1] & 0x3Fu), 2;
  }
  if (c < 0xF0) {
    if (n < 3 || !follows(1) || !follows(2)) return 0;
    *code = (c & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    return *code >= 0x800 && (*code < 0xD800 || *code > 0xDFFF) ? 3 : 0;
  }
  if (c > 0xF4 || n < 4 || !follows(1) || !follows(2) || !follows(3)) return 0;
  *code = (c & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
  return *code >= 0x10000 && *code <= 0x10FFFF ? 4 : 0;
}

// Writes a code point of `length` >= 2 bytes.
inline void EncodeUtf8(uint32_t code, int length, uint8_t* out) {
  static constexpr uint8_t kLead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (int k = length - 1; k > 0; --k, code >>= 6)
    out[k] = static_cast<uint8_t>(0x80 | (code & 0x3F));
  out[0] = static_cast<uint8_t>(kLead[length] | code);
}

// A character that is a word by itself: Thai, Lao, Myanmar, Khmer, kana, Han.
constexpr bool WithoutSpaces(uint32_t c) {
  return (c >= 0x0E00 && c <= 0x0EFF) || (c >= 0x1000 && c <= 0x109F) ||
         (c >= 0x1780 && c <= 0x17FF) || (c >= 0x3040 && c <= 0x30FF) ||
         (c >= 0x3400 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x20000 && c <= 0x3FFFF);
}

// 0 for punctuation and space, otherwise the letter in lower case where that is as long. For c from
// U+0080.
constexpr uint32_t Letter(uint32_t c) {
  const auto from = [c](uint32_t a, uint32_t b) { return c >= a && c <= b; };
  if (c < 0xC0 || c == 0xD7 || c == 0xF7) return 0;
  if (c <= 0xDE) return c + 32;
  if (from(0x139, 0x148) || from(0x179, 0x17E)) return c + (c & 1);
  if (c == 0x138) return c;
  if (from(0x100, 0x177)) return c | 1;
  if (c == 0x178) return 0xFF;
  if (c == 0x386) return 0x3AC;
  if (from(0x388, 0x38A)) return c + 37;
  if (c == 0x38C) return 0x3CC;
  if (from(0x38E, 0x38F)) return c + 63;
  if (from(0x391, 0x3A9)) return c + 32;
  if (c == 0x3C2) return 0x3C3;
  if (from(0x400, 0x40F)) return c + 80;
  if (from(0x410, 0x42F)) return c + 32;
  if (from(0x460, 0x481) || from(0x48A, 0x4BF) || from(0x4D0, 0x52F)) return c | 1;
  if (from(0x531, 0x556)) return c + 48;
  if (from(0x1E00, 0x1E95) || from(0x1EA0, 0x1EFF)) return c | 1;
  if (from(0xFF21, 0xFF3A)) return c + 32;
  if (from(0x2000, 0x2BFF) || from(0x3000, 0x303F) || from(0xE000, 0xF8FF) || c == 0xFEFF ||
      from(0xFF00, 0xFF0F) || from(0xFF1A, 0xFF20) || from(0xFF3B, 0xFF40) ||
      from(0xFF5B, 0xFF65) || c == 0xFFFD || c >= 0x1F000) {
    return 0;
  }
  return c;
}

// By the first byte of a letter beyond ASCII: its script, and what it weighs. Kana weigh more than
// Han, which Japanese mixes with them.
struct ScriptWeight {
  Script script = kNoScript;
  uint8_t weight = 0;
};
constexpr ScriptWeight ScriptOf(uint8_t lead) {
  if (lead < 0xCA) return {kLatin, 2};
  if (lead == 0xD0 || lead == 0xD1) return {kCyrillic, 2};
  if (lead == 0xD8 || lead == 0xD9) return {kArabic, 2};
  if (lead == 0xE0) return {kDevanagari, 3};
  if (lead == 0xE3) return {kKana, 6};
  if (lead >= 0xE4 && lead <= 0xE9) return {kHan, 4};
  if (lead >= 0xEA && lead <= 0xED) return {kHangul, 4};
  return {kOtherScript, 1};
}

}  // namespace
}  // namespace stillwatch::sketch
