#include "link/small_numbers.h"

#include <gtest/gtest.h>

#include <random>

#include "base/parallel.h"

namespace stillwatch::link {
namespace {

TEST(SmallNumbers, EveryNumberComesBackHoweverItWentIn) {
  std::mt19937 random(1);
  std::vector<uint32_t> numbers = {0, 1, 65'533, 65'534, 65'535, 65'536, kNone - 1, kNone};
  while (numbers.size() < 100'000)
    numbers.push_back(random() % 10 ? random() % 60'000 : random() % 5 ? random() : kNone);
  for (const int threads : {1, 4}) {
    SmallNumbers filled;
    ASSERT_EQ(filled.Begin(numbers.size(), testing::TempDir()), 0);
    base::Parallel(threads).For(numbers.size(), 1'000, [&](size_t begin, size_t end, int) {
      EXPECT_EQ(filled.Put(begin, std::span(numbers).subspan(begin, end - begin)), 0);
    });
    ASSERT_EQ(filled.End(), 0);
    ASSERT_EQ(filled.size(), numbers.size());
    for (size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(filled[i], numbers[i]) << i;
  }
  SmallNumbers pushed;
  for (const uint32_t n : numbers) pushed.push_back(n);
  ASSERT_EQ(pushed.size(), numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(pushed[i], numbers[i]) << i;
}

}  // namespace
}  // namespace stillwatch::link
