#include "base/cold_column.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/parallel.h"
#include "base/test_folder.h"

namespace stillwatch::base {
namespace {

class ColdColumnTest : public testing::Test {
 protected:
  const TestFolder held_;
  const std::string folder_ = held_.path();
};

TEST_F(ColdColumnTest, ReadsTheSameFromMemoryAndFromAFile) {
  constexpr size_t kNumbers = 300'001;  // several blocks and a part of one
  const auto value = [](size_t i) { return i * 0x9e3779b97f4a7c15ULL; };
  for (const size_t in_memory : {size_t{0}, kNumbers}) {
    ColdColumn<uint64_t> filled;
    ASSERT_EQ(filled.Begin(kNumbers, folder_, in_memory), 0);
    Parallel(3).For(kNumbers, 65'536, [&](size_t begin, size_t end, int) {
      std::vector<uint64_t> some;
      for (size_t i = begin; i < end; ++i) some.push_back(value(i));
      EXPECT_EQ(filled.Put(begin, some), 0);
    });
    ASSERT_EQ(filled.End(), 0);
    EXPECT_TRUE(std::filesystem::is_empty(folder_));  // the file has no name
    const ColdColumn<uint64_t> column = std::move(filled);
    ASSERT_EQ(column.size(), kNumbers);
    for (int round = 0; round < 2; ++round) {
      for (size_t i = 0; i < kNumbers; ++i) ASSERT_EQ(column[i], value(i)) << i;
      column.Rest();
    }
  }
}

TEST_F(ColdColumnTest, SaysWhenThereIsNoPlaceForTheFile) {
  ColdColumn<uint32_t> column;
  EXPECT_EQ(column.Begin(10, folder_ + "/missing", 0), ENOENT);
  EXPECT_EQ(column.size(), 0u);
}

TEST_F(ColdColumnTest, GrowsOneByOne) {
  ColdColumn<uint32_t> column;
  for (uint32_t i = 0; i < 1'000; ++i) column.push_back(i);
  ASSERT_EQ(column.size(), 1'000u);
  for (uint32_t i = 0; i < 1'000; ++i) ASSERT_EQ(column[i], i);
  column = {};
  EXPECT_EQ(column.size(), 0u);
}

}  // namespace
}  // namespace stillwatch::base
