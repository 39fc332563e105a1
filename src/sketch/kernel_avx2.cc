// Thirty-two bytes and eight words at a time. Built for AVX2 and BMI2: nothing here may run before
// Avx2Kernel() has asked the processor.
#include <immintrin.h>

#include <bit>

#include "sketch/kernel.h"
#include "sketch/letters.h"
#include "sketch/shingles.h"

namespace stillwatch::sketch {
namespace {

__m256i Load(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }
uint64_t Load64(const uint8_t* at) {
  uint64_t v;
  std::memcpy(&v, at, 8);
  return v;
}
uint32_t Bytes(__m256i v) { return static_cast<uint32_t>(_mm256_movemask_epi8(v)); }
uint32_t Lanes(__m256i v) {
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(v)));
}

// a <= b, of 8 unsigned lanes.
__m256i AtMost(__m256i a, __m256i b) { return _mm256_cmpeq_epi32(_mm256_min_epu32(a, b), a); }
__m256i All(uint32_t v) { return _mm256_set1_epi32(static_cast<int>(v)); }

// ---- Words

// A bit per byte: letters, digits, first bytes of characters that are words by themselves. A word
// of zeros behind each, so that the last bits can be read eight bytes at a time.
struct Kinds {
  uint64_t *letter, *digit, *character;
};

struct BlockKinds {
  uint64_t letter, line, digit, beyond;  // of 64 bytes; `beyond` ASCII
};

// Lowers 64 bytes from `in` to `out`.
BlockKinds Lower(const uint8_t* in, uint8_t* out) {
  BlockKinds kinds{};
  for (int half = 0; half < 64; half += 32) {
    const __m256i v = Load(in + half);
    const __m256i within =
        _mm256_sub_epi8(_mm256_or_si256(v, _mm256_set1_epi8(0x20)), _mm256_set1_epi8('a'));
    const __m256i letter = _mm256_cmpeq_epi8(_mm256_min_epu8(within, _mm256_set1_epi8(25)), within);
    const __m256i value = _mm256_sub_epi8(v, _mm256_set1_epi8('0'));
    const __m256i digit = _mm256_cmpeq_epi8(_mm256_min_epu8(value, _mm256_set1_epi8(9)), value);
    const __m256i line = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('_'));
    const __m256i lower = _mm256_and_si256(_mm256_or_si256(letter, line), _mm256_set1_epi8(0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + half), _mm256_or_si256(v, lower));
    kinds.letter |= uint64_t{Bytes(letter)} << half;
    kinds.line |= uint64_t{Bytes(line)} << half;
    kinds.digit |= uint64_t{Bytes(digit)} << half;
    kinds.beyond |= uint64_t{Bytes(v)} << half;
  }
  return kinds;
}

__m256i IsContinuation(__m256i v) { return _mm256_cmpgt_epi8(_mm256_set1_epi8(-64), v); }
// Bytes of the `count` values from `from` on.
__m256i IsOneOf(__m256i v, int from, int count) {
  const __m256i within = _mm256_sub_epi8(v, _mm256_set1_epi8(static_cast<char>(from)));
  return _mm256_cmpeq_epi8(_mm256_min_epu8(within, _mm256_set1_epi8(static_cast<char>(count - 1))),
                           within);
}

// First bytes in 64 of the letters that texts beyond ASCII are mostly made of, by script; `others`
// are the remaining first bytes.
struct FirstBytes {
  uint64_t cyrillic, arabic, hangul, han, kana, others;
};

FirstBytes FindFirstBytes(const uint8_t* block) {
  FirstBytes f{};
  for (int half = 0; half < 64; half += 32) {
    const __m256i v = Load(block + half), next = Load(block + half + 1);
    const __m256i two = IsContinuation(next);
    const __m256i three = _mm256_and_si256(two, IsContinuation(Load(block + half + 2)));
    const auto put = [&](uint64_t* bits, __m256i lead, __m256i rest) {
      *bits |= uint64_t{Bytes(_mm256_and_si256(lead, rest))} << half;
    };
    put(&f.cyrillic, IsOneOf(v, 0xD0, 2), two);  // U+0400 to U+047F
    put(&f.arabic, IsOneOf(v, 0xD8, 2), two);    // U+0600 to U+067F
    put(&f.hangul, IsOneOf(v, 0xEA, 3), three);  // U+A000 to U+CFFF
    put(&f.han, IsOneOf(v, 0xE4, 6), three);     // U+4000 to U+9FFF
    put(&f.kana, _mm256_and_si256(IsOneOf(v, 0xE3, 1), IsOneOf(next, 0x81, 3)), three);
    put(&f.others, v, _mm256_andnot_si256(IsContinuation(v), All(~0u)));
  }
  f.cyrillic &= ~(uint64_t{1} << 63);  // both bytes are lowered at once
  f.others &= ~(f.cyrillic | f.arabic | f.hangul | f.han | f.kana);
  return f;
}

// Capital letters of U+0400 to U+047F in 32 bytes. The first byte changes where the second is 80 to
// 8F or A0 to AF.
__m256i LowerCyrillic(__m256i v, __m256i before, __m256i behind) {
  const auto is = [](__m256i x, int mask, int value) {
    return _mm256_cmpeq_epi8(_mm256_and_si256(x, _mm256_set1_epi8(static_cast<char>(mask))),
                             _mm256_set1_epi8(static_cast<char>(value)));
  };
  const __m256i shifts = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x20, -0x20, 0, 0, 0, 0, 0));
  const __m256i half = _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
  const __m256i first = _mm256_and_si256(is(v, 0xFF, 0xD0), is(behind, 0xD0, 0x80));
  const __m256i shift =
      _mm256_and_si256(_mm256_shuffle_epi8(shifts, half),
                       _mm256_and_si256(is(before, 0xFF, 0xD0), is(v, 0xC0, 0x80)));
  const __m256i odd = _mm256_and_si256(is(before, 0xFF, 0xD1), is(v, 0xE0, 0xA0));
  return _mm256_or_si256(_mm256_add_epi8(_mm256_sub_epi8(v, first), shift),
                         _mm256_and_si256(odd, _mm256_set1_epi8(1)));
}

// Of 64 bytes; not of a letter that ends behind them or began before.
void LowerCyrillic(uint8_t* block) {
  const __m256i a = Load(block), b = Load(block + 32);
  const __m256i before_a = _mm256_alignr_epi8(a, _mm256_permute2x128_si256(a, a, 0x08), 15);
  const __m256i behind_b = _mm256_alignr_epi8(_mm256_permute2x128_si256(b, b, 0x81), b, 1);
  const __m256i lower_a = LowerCyrillic(a, before_a, Load(block + 1));
  const __m256i lower_b = LowerCyrillic(b, Load(block + 31), behind_b);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(block), lower_a);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(block + 32), lower_b);
}

// Letter() of U+0080 to U+07FF.
constexpr auto kTwoBytes = [] {
  std::array<uint16_t, 0x800> t{};
  for (uint32_t c = 0x80; c < 0x800; ++c) t[c] = static_cast<uint16_t>(Letter(c));
  return t;
}();

void SetBits(uint64_t* bits, size_t at, uint64_t mark) {
  bits[at / 64] |= mark << at % 64;
  if (at % 64 > 60) bits[at / 64 + 1] |= mark >> (64 - at % 64);
}

// The letters beyond ASCII of `text`, a copy of n bytes with zeros behind, from block `first` on:
// lowers them in place and marks them. Bytes that continue no letter separate, as spaces do, so
// every first byte can be looked at by itself.
void LowerBeyond(uint8_t* text, size_t n, size_t first, const Kinds& kinds, Words* words) {
  auto& letters = words->letters;
  const auto count = [](uint64_t bits) { return static_cast<uint32_t>(std::popcount(bits)); };
  for (size_t b = first; b * 64 < n; ++b) {
    uint8_t* block = text + b * 64;
    if (Bytes(_mm256_or_si256(Load(block), Load(block + 32))) == 0) continue;
    const FirstBytes f = FindFirstBytes(block);
    const uint64_t two = f.cyrillic | f.arabic, three = f.hangul;
    kinds.letter[b] |= two | two << 1 | three | three << 1 | three << 2;
    kinds.letter[b + 1] |= two >> 63 | three >> 63 | three >> 62;
    kinds.character[b] |= f.han | f.kana;
    if (two != 0) {
      letters[kCyrillic] += 2 * count(f.cyrillic);
      letters[kArabic] += 2 * count(f.arabic);
    }
    letters[kHangul] += 4 * count(f.hangul);
    letters[kHan] += 4 * count(f.han);
    letters[kKana] += 6 * count(f.kana);
    words->characters |= (f.han | f.kana) != 0;
    for (uint64_t others = f.others; others != 0; others &= others - 1) {
      const size_t i = b * 64 + static_cast<size_t>(std::countr_zero(others));
      uint32_t code;
      const int length = DecodeUtf8(text + i, n - i, &code);
      if (length == 0) continue;
      const bool character = WithoutSpaces(code);
      const uint32_t letter = character ? code : length == 2 ? kTwoBytes[code] : Letter(code);
      if (letter == 0) continue;
      const ScriptWeight script = ScriptOf(text[i]);
      letters[script.script] += script.weight;
      if (character) {
        SetBits(kinds.character, i, 1);
        words->characters = true;
      } else {
        SetBits(kinds.letter, i, (1u << length) - 1);
        if (letter != code) EncodeUtf8(letter, length, text + i);
      }
    }
    if (f.cyrillic != 0) LowerCyrillic(block);
  }
}

// A word of up to 16 bytes, or the last piece of a longer one.
uint32_t HashLast(const uint8_t* bytes, uint64_t length, uint64_t seed) {
  const auto bits = static_cast<uint32_t>(length * 8);
  const uint64_t low = _bzhi_u64(Load64(bytes), bits);
  const uint64_t high = _bzhi_u64(Load64(bytes + 8), std::max(bits, 64u) - 64);
  return HashPiece(low, high, seed) & ~1u;
}

// A word of more bytes than one piece.
[[gnu::noinline]] uint32_t HashLong(const uint8_t* text, const uint8_t* letter_bytes,
                                    size_t begin) {
  size_t end = begin;
  for (;;) {
    const size_t seen = 64 - end % 8;
    const auto run =
        static_cast<size_t>(std::countr_zero(~(Load64(letter_bytes + end / 8) >> end % 8)));
    end += run;
    if (run < seen) break;
  }
  uint64_t seed = 0;
  for (; end - begin > 16; begin += 16)
    seed = ChainPiece(Load64(text + begin), Load64(text + begin + 8), seed);
  return HashLast(text + begin, end - begin, seed);
}

template <bool kCharacters>
size_t HashWords(const uint8_t* text, size_t blocks, const Kinds& kinds, uint32_t* out) {
  const auto* letter_bytes = reinterpret_cast<const uint8_t*>(kinds.letter);
  size_t count = 0;
  uint64_t carry = 0;
  for (size_t b = 0; b < blocks; ++b) {
    const uint64_t word = kinds.letter[b] | kinds.digit[b];
    uint64_t starts = word & ~(word << 1 | carry);
    carry = word >> 63;
    if constexpr (kCharacters) starts |= kinds.character[b];
    uint32_t* to = out + count;
    count += static_cast<size_t>(std::popcount(starts));
    while (starts != 0) {
      const size_t in_block = static_cast<size_t>(std::countr_zero(starts)), at = b * 64 + in_block;
      uint64_t length =
          static_cast<uint64_t>(std::countr_zero(~(Load64(letter_bytes + at / 8) >> at % 8)));
      bool character = false;
      if constexpr (kCharacters) {
        character = kinds.character[b] >> in_block & 1;
        length = character ? (text[at] < 0xF0 ? 3 : 4) : length;
      }
      starts &= starts - 1;
      if (length > 16) [[unlikely]] {
        *to++ = HashLong(text, letter_bytes, at);
        continue;
      }
      *to++ = HashLast(text + at, length, 0) | character;
    }
  }
  return count;
}

void Split(std::string_view view, Words* words) {
  const auto* s = reinterpret_cast<const uint8_t*>(view.data());
  const size_t n = std::min(view.size(), kTextMax);
  Reserve(n, words);
  words->letters = {};
  uint8_t* text = words->text.data();
  const size_t blocks = (n + 63) / 64;
  const Kinds kinds = {words->bits.data(), words->bits.data() + blocks + 1,
                       words->bits.data() + 2 * (blocks + 1)};
  size_t first_beyond = blocks, latin = 0;
  const auto note = [&](size_t b, const BlockKinds& k) {
    kinds.letter[b] = k.letter | k.line;
    kinds.digit[b] = k.digit;
    latin += static_cast<size_t>(std::popcount(k.letter));
    if (k.beyond != 0) first_beyond = std::min(first_beyond, b);
  };
  const size_t whole = n / 64, rest = n % 64;
  for (size_t b = 0; b < whole; ++b) note(b, Lower(s + b * 64, text + b * 64));
  if (rest > 0 && whole > 0) {
    // Some of the bytes before once more, in place of reading behind the end.
    BlockKinds k = Lower(s + n - 64, text + n - 64);
    for (uint64_t* bits : {&k.letter, &k.line, &k.digit, &k.beyond}) *bits >>= 64 - rest;
    note(whole, k);
  } else if (rest > 0) {
    alignas(32) uint8_t copy[64] = {};
    std::memcpy(copy, s, n);
    note(0, Lower(copy, text));
  }
  kinds.letter[blocks] = kinds.digit[blocks] = 0;
  std::memset(text + n, 0, 96);  // what is read behind the end must not continue a word
  words->letters[kLatin] = static_cast<uint32_t>(latin);
  words->characters = false;
  if (first_beyond < blocks) {
    std::memset(kinds.character, 0, (blocks + 1) * 8);
    LowerBeyond(text, n, first_beyond, kinds, words);
  }
  words->size = words->characters ? HashWords<true>(text, blocks, kinds, words->hash.data())
                                  : HashWords<false>(text, blocks, kinds, words->hash.data());
}

// ---- Shingles

// The lanes whose bit is set, moved to the front.
constexpr auto kFront = [] {
  std::array<uint64_t, 256> t{};
  for (uint32_t mask = 0; mask < 256; ++mask) {
    int to = 0;
    for (uint64_t lane = 0; lane < 8; ++lane) {
      if (mask >> lane & 1) t[mask] |= lane << 8 * to++;
    }
  }
  return t;
}();

struct Grams {
  __m256i first, middle, last;
};

template <bool kCharacters>
Grams GramsAt(const uint32_t* w) {
  const __m256i step = All(Pair(1, 0));
  const auto pair = [&](int i) {
    return _mm256_add_epi32(_mm256_mullo_epi32(Load(w + i), step), Load(w + i + 1));
  };
  Grams g = {pair(0), pair(1), pair(2)};
  if constexpr (kCharacters) {
    const __m256i p3 = pair(3), p4 = pair(4), four = All(kFourChars);
    const auto choose = [&](__m256i two, __m256i next, const uint32_t* head) {
      const __m256i chars = _mm256_add_epi32(_mm256_mullo_epi32(two, four), next);
      return _mm256_castps_si256(
          _mm256_blendv_ps(_mm256_castsi256_ps(two), _mm256_castsi256_ps(chars),
                           _mm256_castsi256_ps(_mm256_slli_epi32(Load(head), 31))));
    };
    g = {choose(g.first, g.last, w), choose(g.middle, p3, w + 1), choose(g.last, p4, w + 2)};
  }
  return g;
}

__m256i ShinglesOf(const Grams& g) {
  __m256i h = _mm256_add_epi32(_mm256_mullo_epi32(g.first, All(kFirstGram)),
                               _mm256_add_epi32(_mm256_mullo_epi32(g.middle, All(kMiddleGram)),
                                                _mm256_mullo_epi32(g.last, All(kLastGram))));
  h = _mm256_mullo_epi32(_mm256_xor_si256(h, _mm256_srli_epi32(h, 16)), All(kMix1));
  h = _mm256_mullo_epi32(_mm256_xor_si256(h, _mm256_srli_epi32(h, 13)), All(kMix2));
  return _mm256_xor_si256(h, _mm256_srli_epi32(h, 16));
}

// The kept shingles that begin in [begin, end), to `out`. Writes up to 8 behind them.
template <bool kCharacters>
size_t Keep(const uint32_t* w, size_t begin, size_t end, uint32_t* out) {
  size_t kept = 0;
  for (size_t i = begin; i < end; i += 8) {
    const Grams g = GramsAt<kCharacters>(w + i);
    uint32_t lanes =
        Lanes(_mm256_andnot_si256(AtMost(g.first, g.middle), AtMost(g.middle, g.last)));
    if (end - i < 8) lanes &= (1u << (end - i)) - 1;
    const __m256i front =
        _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(kFront[lanes])));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + kept),
                        _mm256_permutevar8x32_epi32(ShinglesOf(g), front));
    kept += static_cast<size_t>(std::popcount(lanes));
  }
  return kept;
}

// Sorts n <= 32 values by counting how many are smaller; returns how many are distinct. Room for
// 8 more behind them.
size_t SortDistinct(uint32_t* values, size_t n) {
  alignas(32) uint32_t rank[32], sorted[32];
  const __m256i sign = All(1u << 31);
  __m256i key[4], below[4] = {};
  for (size_t r = 0; r * 8 < n; ++r) key[r] = _mm256_xor_si256(Load(values + r * 8), sign);
  for (size_t i = 0; i < n; ++i) {
    const __m256i one = All(values[i] ^ 1u << 31);
    for (size_t r = 0; r * 8 < n; ++r)
      below[r] = _mm256_sub_epi32(below[r], _mm256_cmpgt_epi32(key[r], one));
  }
  for (size_t r = 0; r * 8 < n; ++r)
    _mm256_store_si256(reinterpret_cast<__m256i*>(rank + r * 8), below[r]);
  // Equal values have one rank and leave the next ranks to nobody.
  uint32_t taken = 0;
  for (size_t i = 0; i < n; ++i) {
    sorted[rank[i]] = values[i];
    taken |= 1u << rank[i];
  }
  const auto distinct = static_cast<size_t>(std::popcount(taken));
  if (distinct == n) {
    for (size_t r = 0; r * 8 < n; ++r)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + r * 8), Load(sorted + r * 8));
  } else {
    for (; taken != 0; taken &= taken - 1) *values++ = sorted[std::countr_zero(taken)];
  }
  return distinct;
}

template <bool kCharacters>
void OfferBetween(const uint32_t* w, size_t begin, size_t end, Smallest<kBetweenMax>* between) {
  for (size_t i = begin; i < end; i += 8) {
    uint32_t lanes = Lanes(AtMost(GramsAt<kCharacters>(w + i).middle, All(kBetweenBelow - 1)));
    if (end - i < 8) lanes &= (1u << (end - i)) - 1;
    for (; lanes != 0; lanes &= lanes - 1) {
      const uint32_t* at = w + i + std::countr_zero(lanes);
      between->Offer(Shingle(Gram(at), Gram(at + 1), Gram(at + 2)));
    }
  }
}

template <bool kCharacters>
size_t SelectOf(const Words& words, size_t shingles, size_t window, uint32_t* out) {
  const uint32_t* w = words.hash.data();
  Smallest<kBetweenMax> between;
  size_t kept = 0;
  if (shingles <= 2 * window) {
    kept = Keep<kCharacters>(w, 0, shingles, out);
  } else {
    kept = Keep<kCharacters>(w, 0, window, out);
    kept += Keep<kCharacters>(w, shingles - window, shingles, out + kept);
    OfferBetween<kCharacters>(w, window, shingles - window, &between);
  }
  kept = SortDistinct(out, kept);
  if (kept < kFloor) {
    uint32_t few[kBetweenMax];
    return Finish(words, shingles, window, {few, between.Take(few)}, kept, out);
  }
  return between.size == 0 ? kept : SortDistinct(out, kept + between.Take(out + kept));
}

size_t Select(const Words& words, size_t window, uint32_t* out) {
  const size_t shingles = Shingles(words);
  if (shingles == 0) return SelectWhole(words, out);
  return words.characters ? SelectOf<true>(words, shingles, window, out)
                          : SelectOf<false>(words, shingles, window, out);
}

// ---- Evidence

void AddScore(const Weights& weights, std::span<const uint32_t> words, Score* score) {
  constexpr size_t kStep = 32;
  alignas(32) std::array<uint32_t, 2 * kStep> bucket;
  __m256i low = Load(score->data()), high = Load(score->data() + 16);
  const __m256i spread = All(Weights::kSpread);
  for (size_t begin = 0; begin < words.size(); begin += kStep) {
    const size_t n = std::min(kStep, words.size() - begin);
    const uint32_t* w = words.data() + begin;
    for (size_t i = 0; i < n; i += 8) {
      const __m256i one = Load(w + i);
      const __m256i two =
          _mm256_add_epi32(_mm256_mullo_epi32(one, All(Pair(1, 0))), Load(w + i + 1));
      const auto put = [&](size_t at, __m256i feature) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(&bucket[at]),
                           _mm256_srli_epi32(_mm256_mullo_epi32(feature, spread), Weights::kShift));
      };
      put(i, one);
      put(kStep + i, two);
    }
    const auto add = [&](const uint32_t* of, size_t count) {
      uint32_t hits = 0;
      for (size_t i = 0; i < count; ++i) hits |= (weights.known[of[i] / 32] >> of[i] % 32 & 1) << i;
      for (; hits != 0; hits &= hits - 1) {
        const uint32_t b = of[std::countr_zero(hits)];
        const auto below =
            static_cast<uint32_t>(std::popcount(_bzhi_u32(weights.known[b / 32], b % 32)));
        const __m256i evidence = Load(&weights.evidence[weights.before[b / 32] + below]);
        low = _mm256_add_epi16(low, _mm256_cvtepi8_epi16(_mm256_castsi256_si128(evidence)));
        high = _mm256_add_epi16(high, _mm256_cvtepi8_epi16(_mm256_extracti128_si256(evidence, 1)));
      }
    };
    add(bucket.data(), n);
    add(bucket.data() + kStep, begin + n == words.size() ? n - 1 : n);
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(score->data()), low);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(score->data() + 16), high);
}

// ---- Marks

// By a byte's half: the groups that have a mark whose first, second or third byte has that half. A
// byte that a mark lacks may be any. (The search of Hyperscan's Teddy.)
struct Halves {
  alignas(16) uint8_t low[3][16] = {}, high[3][16] = {};
};
constexpr Halves kHalves = [] {
  Halves h;
  for (const Mark& mark : kMarks) {
    if (mark.group == kMarkGroups) continue;
    const auto group = static_cast<uint8_t>(1 << mark.group);
    for (size_t k = 0; k < 3; ++k) {
      for (int half = 0; half < 16; ++half) {
        const bool any = k >= mark.text.size();
        const auto byte = any ? uint8_t{0} : static_cast<uint8_t>(mark.text[k]);
        if (any || (byte & 15) == half) h.low[k][half] |= group;
        if (any || byte >> 4 == half) h.high[k][half] |= group;
      }
    }
  }
  return h;
}();

class FormatFinder {
 public:
  explicit FormatFinder(std::string_view text) : text_(text) {
    const auto table = [](const uint8_t* half) {
      return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(half)));
    };
    for (size_t k = 0; k < 3; ++k) {
      low_[k] = table(kHalves.low[k]);
      high_[k] = table(kHalves.high[k]);
    }
  }

  // The marks that begin in the 32 bytes from `at` of the text. `bytes` holds them and 2 more.
  void Find(const uint8_t* bytes, size_t at) {
    const __m256i groups =
        _mm256_and_si256(Groups<0>(bytes), _mm256_and_si256(Groups<1>(bytes), Groups<2>(bytes)));
    uint32_t places = ~Bytes(_mm256_cmpeq_epi8(groups, _mm256_setzero_si256()));
    question_ = _mm256_or_si256(question_, _mm256_cmpeq_epi8(Load(bytes), _mm256_set1_epi8('?')));
    if (places == 0) return;
    alignas(32) uint8_t of[32];
    _mm256_store_si256(reinterpret_cast<__m256i*>(of), groups);
    for (; places != 0; places &= places - 1) {
      const auto place = static_cast<size_t>(std::countr_zero(places));
      const std::string_view rest = text_.substr(at + place);
      for (const Mark& mark : kMarks) {
        if (of[place] >> mark.group & 1 && (format_ & mark.bit) == 0 && rest.starts_with(mark.text))
          format_ |= mark.bit;
      }
    }
  }

  uint8_t format() const { return format_ | (_mm256_testz_si256(question_, question_) ? 0 : 128); }

 private:
  template <int kByte>
  __m256i Groups(const uint8_t* bytes) const {
    const __m256i v = Load(bytes + kByte), fifteen = _mm256_set1_epi8(15);
    return _mm256_and_si256(
        _mm256_shuffle_epi8(low_[kByte], _mm256_and_si256(v, fifteen)),
        _mm256_shuffle_epi8(high_[kByte], _mm256_and_si256(_mm256_srli_epi16(v, 4), fifteen)));
  }

  std::string_view text_;
  __m256i low_[3], high_[3], question_{};
  uint8_t format_ = 0;
};

uint8_t Format(std::string_view text) {
  text = text.substr(0, kFormatBytes);
  const auto* s = reinterpret_cast<const uint8_t*>(text.data());
  const size_t n = text.size();
  FormatFinder finder(text);
  size_t i = 0;
  for (; i + 34 <= n; i += 32) finder.Find(s + i, i);
  alignas(32) uint8_t last[98] = {};
  if (n >= 64) {
    std::memcpy(last, s + n - 64, 64);
    finder.Find(last + 64 - (n - i), i);
    if (n - i > 32) finder.Find(last + 96 - (n - i), i + 32);
  } else {
    if (n > i) std::memcpy(last, s + i, n - i);  // there may be no text at all, and no pointer
    finder.Find(last, i);
    if (n - i > 32) finder.Find(last + 32, i + 32);
  }
  return finder.format();
}

}  // namespace

const Kernel* Avx2Kernel() {
  static constexpr Kernel kKernel = {Split, Select, AddScore, Format};
  static const bool kCan = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  return kCan ? &kKernel : nullptr;
}

}  // namespace stillwatch::sketch
