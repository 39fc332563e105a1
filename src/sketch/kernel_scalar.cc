// The definition of the values, one character and one word at a time.
#include <algorithm>
#include <bit>

#include "sketch/kernel.h"
#include "sketch/letters.h"
#include "sketch/marks.h"
#include "sketch/shingles.h"

namespace stillwatch::sketch {
namespace {

void Split(std::string_view text, Words* words) {
  const auto* s = reinterpret_cast<const uint8_t*>(text.data());
  const size_t n = std::min(text.size(), kTextMax);
  Reserve(n, words);
  words->letters = {};
  words->characters = false;
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
      words->characters = true;
      words->hash[count++] = HashWord(at, static_cast<size_t>(length), true);
      continue;
    }
    open = true;
    if (number) continue;
    EncodeUtf8(letter, length, word + bytes);
    bytes += static_cast<size_t>(length);
  }
  end();
  words->size = count;
}

size_t Select(const Words& words, size_t window, uint32_t* out) {
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
  uint32_t few[kBetweenMax];
  return Finish(words, shingles, window, {few, between.Take(few)}, kept, out);
}

void AddScore(const Weights& weights, std::span<const uint32_t> words, Score* score) {
  const auto add = [&](uint32_t feature) {
    const uint32_t bucket = Weights::Bucket(feature), bits = weights.known[bucket / 32];
    if ((bits >> bucket % 32 & 1) == 0) return;
    const int below = std::popcount(bits & ((1u << bucket % 32) - 1));
    const auto& evidence =
        weights.evidence[weights.before[bucket / 32] + static_cast<uint32_t>(below)];
    for (size_t l = 0; l < kLanes; ++l) (*score)[l] += evidence[l];
  };
  for (size_t i = 0; i < words.size(); ++i) {
    add(words[i]);
    if (i + 1 < words.size()) add(Pair(words[i], words[i + 1]));
  }
}

uint8_t Format(std::string_view text) {
  text = text.substr(0, kFormatBytes);
  uint8_t format = 0;
  for (const Mark& mark : kMarks) {
    if (text.find(mark.text) != std::string_view::npos) format |= mark.bit;
  }
  return format;
}

}  // namespace

const Kernel kScalarKernel = {Split, Select, AddScore, Format};

}  // namespace stillwatch::sketch
