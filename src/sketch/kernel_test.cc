#include "sketch/kernel.h"

#include <gtest/gtest.h>

#include <random>

#include "sketch/letters.h"
#include "sketch/test_kernels.h"

namespace stillwatch::sketch {
namespace {

std::string Utf8(uint32_t code) {
  if (code < 0x80) return {static_cast<char>(code)};
  uint8_t bytes[4];
  const int n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  EncodeUtf8(code, n, bytes);
  return {reinterpret_cast<const char*>(bytes), static_cast<size_t>(n)};
}

// A piece of what texts are made of, the awkward more often than in any real one.
std::string Piece(std::mt19937& rng) {
  static constexpr uint32_t kScripts[][2] = {
      {0xC0, 0x24F},    {0x370, 0x3FF},   {0x400, 0x52F},   {0x590, 0x6FF},     {0x900, 0x97F},
      {0xE00, 0xEFF},   {0x1000, 0x109F}, {0x1780, 0x17FF}, {0x1E00, 0x1EFF},   {0x3000, 0x30FF},
      {0x3400, 0x9FFF}, {0xAC00, 0xD7A3}, {0xF900, 0xFFFF}, {0x1F300, 0x1F9FF}, {0x20000, 0x2A6DF}};
  std::string out;
  const auto some = [&](size_t most) { return 1 + rng() % most; };
  switch (rng() % 10) {
    case 0:
    case 1:
    case 2:
      for (size_t n = some(rng() % 8 == 0 ? 200 : 12); n > 0; --n)
        out.push_back("abcdefghijklmnopqrstuvwxyzABCXYZ__"[rng() % 34]);
      return out;
    case 3:
      for (size_t n = some(8); n > 0; --n) out.push_back("0123456789_abc"[rng() % 14]);
      return out;
    case 4:
    case 5: {
      const auto& [from, to] = kScripts[rng() % std::size(kScripts)];
      for (size_t n = some(20); n > 0; --n) out += Utf8(from + rng() % (to - from + 1));
      return out;
    }
    case 6: {
      for (size_t n = some(4); n > 0; --n) out.push_back(static_cast<char>(rng()));
      return out;
    }
    case 7: {
      out = kMarks[rng() % std::size(kMarks)].text;
      if (rng() % 4 == 0) out.resize(some(out.size()));
      return out;
    }
    default:
      return std::string(some(rng() % 8 == 0 ? 70 : 2), " \n.,"[rng() % 4]);
  }
}

TEST(Kernel, ImplementationsAgree) {
  const Kernel* avx2 = Avx2Kernel();
  if (avx2 == nullptr) GTEST_SKIP() << "this processor has no AVX2";
  std::mt19937 rng(11);
  for (int i = 0; i < 20'000; ++i) {
    const bool alike = rng() % 4 == 0;  // the same piece again and again: equal shingles
    std::string text;
    for (size_t n = rng() % (i % 100 == 0 ? 3000 : 60); n > 0;) {
      const std::string piece = Piece(rng);
      for (size_t times = alike ? 1 + rng() % 9 : 1; times > 0 && n > 0; --times, --n)
        text += piece;
    }
    ASSERT_EQ(Difference(*avx2, text), "") << testing::PrintToString(text);
  }
}

// Every length, so that what ends at the edge of a register does so here.
TEST(Kernel, ImplementationsAgreeAtEveryLength) {
  const Kernel* avx2 = Avx2Kernel();
  if (avx2 == nullptr) GTEST_SKIP() << "this processor has no AVX2";
  std::mt19937 rng(5);
  std::string text;
  while (text.size() < 6000) text += Piece(rng);
  for (size_t n = 0; n < 700; ++n) {
    ASSERT_EQ(Difference(*avx2, text.substr(0, n)), "") << n;
    ASSERT_EQ(Difference(*avx2, text.substr(n, 200)), "") << n;
    ASSERT_EQ(Difference(*avx2, std::string(n, 'x')), "") << n;
    ASSERT_EQ(Difference(*avx2, std::string(n, '?') + "\xE4"), "") << n;
  }
}

// Every character of the planes that have letters, alone and doubled, across the edge of a block.
TEST(Kernel, ImplementationsAgreeOnEveryCharacter) {
  const Kernel* avx2 = Avx2Kernel();
  if (avx2 == nullptr) GTEST_SKIP() << "this processor has no AVX2";
  for (uint32_t c = 1; c < 0x30000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    const std::string one = Utf8(c);
    for (const size_t before : {size_t{0}, size_t{61} + c % 4}) {
      const std::string text = std::string(before, '.') + one + one + "Ж" + one;
      ASSERT_EQ(Difference(*avx2, text), "") << c << " behind " << before;
    }
  }
}

TEST(Kernel, FindsEachMarkWhereverItStandsAndNothingElse) {
  for (const Kernel* kernel : {&kScalarKernel, &BestKernel()}) {
    for (const Mark& mark : kMarks) {
      for (size_t n = 0; n < 200; ++n) {
        const std::string at = std::string(n, '.') + std::string(mark.text);
        ASSERT_EQ(kernel->format(at), mark.bit) << at;
        ASSERT_EQ(kernel->format(at + "..."), mark.bit) << at;
        ASSERT_EQ(kernel->format(at.substr(0, at.size() - 1)), 0) << at;
      }
      for (size_t n = kFormatBytes - mark.text.size() - 1; n < kFormatBytes + 4; ++n) {
        const std::string at = std::string(n, '.') + std::string(mark.text) + "..";
        ASSERT_EQ(kernel->format(at), n + mark.text.size() <= kFormatBytes ? mark.bit : 0) << n;
      }
    }
  }
}

TEST(Kernel, ReadsAtMostTheBound) {
  for (const Kernel* kernel : {&kScalarKernel, &BestKernel()}) {
    Words words;
    kernel->split(std::string(kTextMax - 3, ' ') + "abc def", &words);
    EXPECT_EQ(words.size, 1u);
  }
}

// Texts are lowered in place, and once is enough.
TEST(Letters, LowerCaseKeepsTheLengthAndIsFinal) {
  for (uint32_t c = 0x80; c < 0x110000; ++c) {
    if (c == 0x3A2) continue;  // no letter has that place
    const uint32_t letter = Letter(c);
    if (letter == 0) continue;
    ASSERT_EQ(Utf8(letter).size(), Utf8(c).size()) << c;
    ASSERT_EQ(Letter(letter), letter) << c;
  }
}

TEST(Letters, DecodesWhatIsUtf8AndNothingElse) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    const std::string bytes = Utf8(c);
    const auto* s = reinterpret_cast<const uint8_t*>(bytes.data());
    uint32_t code = 0;
    ASSERT_EQ(DecodeUtf8(s, bytes.size(), &code), static_cast<int>(bytes.size()));
    ASSERT_EQ(code, c);
    for (size_t cut = 1; cut < bytes.size(); ++cut) ASSERT_EQ(DecodeUtf8(s, cut, &code), 0) << c;
  }
  for (const char* bad : {"\x80", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
                          "\xF4\x90\x80\x80", "\xF8\x88\x80\x80", "\xC3 "}) {
    uint32_t code;
    EXPECT_EQ(DecodeUtf8(reinterpret_cast<const uint8_t*>(bad), std::strlen(bad), &code), 0);
  }
}

std::vector<uint32_t> WordsOf(std::string_view text) {
  Words words;
  BestKernel().split(text, &words);
  return {words.hash.begin(), words.hash.begin() + static_cast<ptrdiff_t>(words.size)};
}

TEST(Words, AreWhatTheHeaderSays) {  // of the best implementation
  EXPECT_EQ(WordsOf("One, TWO\t_three!"), WordsOf("one two _Three"));
  EXPECT_EQ(WordsOf("item12 7 99x"), WordsOf("item7 123 5"));
  EXPECT_NE(WordsOf("one"), WordsOf("two"));
  EXPECT_EQ(WordsOf("ÉCOLE ŻÓŁW ΣΟΦΟΣ МОСКВА ЁЖ ЂѠ"), WordsOf("école żółw σοφος москва ёж ђѡ"));
  EXPECT_EQ(WordsOf("a\xFFz").size(), 2u);
  EXPECT_TRUE(WordsOf("").empty());
  EXPECT_TRUE(WordsOf(" .,;\n“”—。！").empty());
  const std::string long_word(5000, 'q');
  EXPECT_EQ(WordsOf(long_word).size(), 1u);
  EXPECT_NE(WordsOf(long_word), WordsOf(long_word + 'q'));
}

TEST(Words, CharactersOfScriptsWithoutSpacesAreWords) {
  const std::pair<const char*, size_t> cases[] = {
      {"汉字文本", 4}, {"ひらがな", 4}, {"カタカナ", 4}, {"ภาษาไทย", 7},   {"ພາສາ", 4},
      {"မြန်မာ", 6},    {"ខ្មែរ", 5},     {"𠀀𠀁", 2},     {"한국어 글", 2},  // spaced
  };
  for (const auto& [text, count] : cases) EXPECT_EQ(WordsOf(text).size(), count) << text;
  const auto mixed = WordsOf("abc汉def");
  ASSERT_EQ(mixed.size(), 3u);
  EXPECT_EQ(mixed[0] & 1, 0u);
  EXPECT_EQ(mixed[1] & 1, 1u);
  EXPECT_EQ(mixed[2] & 1, 0u);
}

// These values lie in lakes and in sketched logs. Whoever changes them gives model::kSketchVersion
// a new number.
TEST(Sketches, StayWhatTheyAreWithinAVersion) {
  Sketcher sketcher;
  model::Sketch s;
  sketcher.Sketch("Be brief and kind to all who ask.",
                  "Write 3 lines about the old_sea, step by step. 请写三行关于大海的文字。", "yes",
                  {}, 2, &s);
  EXPECT_EQ(model::kSketchVersion, 2);
  EXPECT_EQ(Encode(s).system, "Y+teNY8Ea0LGLazW5aRX1w==");
  EXPECT_EQ(Encode(s).turn, "AwB7AAAIAQIx/6+PaUF6vHFrFcfLuW3l");
}

}  // namespace
}  // namespace stillwatch::sketch
