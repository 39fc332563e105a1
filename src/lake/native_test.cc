#include "lake/native.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "lake/lake.h"

namespace stillwatch::lake {
namespace {

template <typename T>
std::vector<T> Some(size_t n) {
  std::vector<T> v(n);
  for (size_t i = 0; i < n; ++i) v[i] = static_cast<T>(i * 0x9E3779B97F4A7C15ULL);
  return v;
}

template <typename T>
ArrayColumn<T> Arrays(size_t n) {
  ArrayColumn<T> a;
  for (size_t i = 0; i < n; ++i) {
    const std::vector<T> v = Some<T>(i % 4);
    a.Append(v.begin(), v.end());
  }
  return a;
}

Block Every(size_t n) {
  StringColumn s;
  for (size_t i = 0; i < n; ++i) s.Append(std::string(i * 37 % 300, static_cast<char>(i)));
  return {{{"u8", Some<uint8_t>(n)}, {"u16", Some<uint16_t>(n)}, {"u32", Some<uint32_t>(n)},
           {"u64", Some<uint64_t>(n)}, {"i64", Some<int64_t>(n)}, {"f32", std::vector<float>(n, 1.5f)},
           {"f64", std::vector<double>(n, std::numeric_limits<double>::denorm_min())}, {"s", s},
           {"a32", Arrays<uint32_t>(n)}, {"a64", Arrays<uint64_t>(n)}}};
}

std::string Encoded(const Block& b) {
  std::string bytes;
  EncodeNative(b, &bytes);
  return bytes;
}

TEST(Native, BytesAreTheFormats) {
  StringColumn s;
  s.Append("hé");
  ArrayColumn<uint32_t> a;
  const uint32_t one[] = {1};
  a.Append(one, one + 1);
  EXPECT_EQ(Encoded({{{"s", s}, {"a", a}}}),
            std::string("\x02\x01" "\x01s\x06String" "\x03h\xC3\xA9" "\x01" "a\x0D" "Array(UInt32)"
                        "\x01\0\0\0\0\0\0\0" "\x01\0\0\0", 43));
}

TEST(Native, RoundTripsEveryTypeAndSeveralBlocks) {
  const std::string one = Encoded(Every(301)), none = Encoded(Every(0));
  const std::string bytes = one + none + one;
  std::string_view in = bytes;
  std::string again;
  size_t rows = 0, blocks = 0;
  while (!in.empty()) {
    const auto block = DecodeNative(&in);
    ASSERT_TRUE(block.ok()) << block.status();
    ASSERT_TRUE(CheckShape(*block).ok());
    rows += block->rows();
    ++blocks;
    EncodeNative(*block, &again);
  }
  EXPECT_EQ(rows, 602u);
  EXPECT_EQ(blocks, 3u);
  EXPECT_EQ(again, bytes);
}

TEST(Native, EveryCutIsRefused) {
  const std::string bytes = Encoded(Every(9));
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    std::string_view part(bytes.data(), cut);
    EXPECT_FALSE(DecodeNative(&part).ok()) << cut;
  }
}

TEST(Native, HostileLengthsAllocateNothing) {
  const std::string huge = "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F";  // 2^56 - 1
  const std::string endless(12, '\xFF');
  for (const std::string& bytes : {
           "\x01" + huge + "\x01s\x06String", "\x01" + huge + "\x01u\x05UInt8", huge + "\x01", endless,
           std::string("\x01\x01") + huge, std::string("\x01\x01\x01s\x06String") + huge,
           std::string("\x01\x01\x01" "a\x0D" "Array(UInt32)" "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 26),
           std::string("\x01\x02\x01" "a\x0D" "Array(UInt32)" "\x01\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0" "\0\0\0\0", 38)}) {
    std::string_view in = bytes;
    EXPECT_FALSE(DecodeNative(&in).ok()) << testing::PrintToString(bytes);
  }
}

TEST(Native, AnotherTypeSaysWhatToDo) {
  const std::string bytes = "\x01\x01\x02" "at\x0A" "DateTime64" "12345678";
  std::string_view in = bytes;
  const auto block = DecodeNative(&in);
  ASSERT_FALSE(block.ok());
  EXPECT_NE(block.status().message().find("column at is of type DateTime64: cast it in the SQL"), std::string::npos)
      << block.status();
}

TEST(Native, ABlockThatDoesNotAgreeIsRefused) {
  EXPECT_TRUE(CheckShape(Every(5)).ok());
  EXPECT_TRUE(CheckShape({}).ok());
  Block shorter = Every(5);
  shorter.columns[3].As<std::vector<uint64_t>>().pop_back();
  EXPECT_NE(CheckShape(shorter).message().find("u64 has 4 rows of 5"), std::string::npos);
  Block loose = Every(5);
  loose.columns[7].As<StringColumn>().bytes += "more";
  EXPECT_FALSE(CheckShape(loose).ok());
  Block back = Every(5);
  std::swap(back.columns[8].As<ArrayColumn<uint32_t>>().ends[2], back.columns[8].As<ArrayColumn<uint32_t>>().ends[4]);
  EXPECT_FALSE(CheckShape(back).ok());
}

TEST(SqlString, LeavesNoWayOut) {
  EXPECT_EQ(SqlString(""), "''");
  EXPECT_EQ(SqlString("o'clock \\"), "'o\\'clock \\\\'");
  EXPECT_EQ(SqlString(std::string("\0\n\x7F", 3)), "'\\x00\\x0A\\x7F'");
  // Between the outer quotes a quote or a backslash only ever stands behind an odd backslash.
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const std::string quoted = SqlString(std::string{static_cast<char>(a), static_cast<char>(b)});
      size_t i = 1;
      while (i < quoted.size() && quoted[i] != '\'') i += quoted[i] == '\\' ? 2 : 1;
      ASSERT_EQ(i, quoted.size() - 1) << a << " " << b;
    }
  }
}

}  // namespace
}  // namespace stillwatch::lake
