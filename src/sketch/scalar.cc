// The definition of a sketch's values, one character at a time.
#include "sketch/letters.h"
#include "sketch/shingles.h"

namespace stillwatch::sketch {

void SplitScalar(std::string_view text, Words* words) {
  const auto* s = reinterpret_cast<const uint8_t*>(text.data());
  const size_t n = std::min(text.size(), kTextMax);
  // A word has a byte at least; behind the last one as much again as a register may read.
  if (words->hash.size() < n + kWordsPadding) words->hash.resize(n + kWordsPadding);
  if (words->text.size() < n) words->text.resize(n);
  words->letters = {};
  uint8_t* word = words->text.data();  // the one under way
  size_t bytes = 0, count = 0;
  bool open = false, number = false;  // in a word; behind its first digit
  const auto end = [&] {
    if (open) words->hash[count++] = HashWord(word, bytes, false);
    open = number = false;
    bytes = 0;
  };
  for (size_t i = 0; i < n;) {
    uint32_t code;
    const int length = DecodeUtf8(s + i, n - i, &code);
    if (length == 0) {
      end();
      ++i;
      continue;
    }
    const uint8_t* at = s + i;
    i += static_cast<size_t>(length);
    if (length == 1) {
      const bool letter = (code | 32) >= 'a' && (code | 32) <= 'z',
                 digit = code >= '0' && code <= '9';
      words->letters[kLatin] += letter;
      if (!letter && !digit && code != '_') {
        end();
        continue;
      }
      open = true;
      number |= digit;
      if (!number) word[bytes++] = static_cast<uint8_t>(code | 32);
      continue;
    }
    const bool character = WithoutSpaces(code);
    const uint32_t letter = character ? code : Letter(code);
    if (letter == 0) {
      end();
      continue;
    }
    const ScriptWeight script = ScriptOf(at[0]);
    words->letters[script.script] += script.weight;
    if (character) {
      end();
      words->hash[count++] = HashWord(at, static_cast<size_t>(length), true);
      continue;
    }
    open = true;
    if (number) continue;
    if (length == 2) word[bytes++] = static_cast<uint8_t>(0xC0 | letter >> 6);
    if (length == 3)
      word[bytes++] = static_cast<uint8_t>(0xE0 | letter >> 12),
      word[bytes++] = 0x80 | (letter >> 6 & 0x3F);
    if (length == 4) {
      word[bytes++] = static_cast<uint8_t>(0xF0 | letter >> 18);
      word[bytes++] = 0x80 | (letter >> 12 & 0x3F);
      word[bytes++] = 0x80 | (letter >> 6 & 0x3F);
    }
    word[bytes++] = 0x80 | (letter & 0x3F);
  }
  end();
  words->size = count;
}

size_t SelectScalar(const Words& words, size_t window, uint32_t* out) {
  const size_t shingles = Shingles(words);
  if (shingles == 0) return SelectWhole(words, out);
  Smallest<kBetweenMax> between;
  size_t kept = 0;
  for (size_t i = 0; i < shingles; ++i) {
    const uint32_t* w = &words.hash[i];
    const uint32_t middle = Gram(w + 1);
    if (i < window || i + window >= shingles) {
      const uint32_t first = Gram(w), last = Gram(w + 2);
      if (middle < first && middle <= last) out[kept++] = Shingle(first, middle, last);
    } else if (middle < kBetweenBelow) {
      between.Offer(Shingle(Gram(w), middle, Gram(w + 2)));
    }
  }
  return Finish(words, shingles, window, between, kept, out);
}

}  // namespace stillwatch::sketch
