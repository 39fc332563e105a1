#include "base/sorted.h"

#include <gtest/gtest.h>

#include <vector>

namespace stillwatch::base {
namespace {

TEST(Sorted, CountsWhatTwoHaveInCommon) {
  const std::vector<uint32_t> a = {1, 3, 5, 7}, b = {0, 3, 4, 7, UINT32_MAX}, none;
  EXPECT_EQ(CountCommon(a, b), 2u);
  EXPECT_EQ(CountCommon(b, a), 2u);
  EXPECT_EQ(CountCommon(a, a), 4u);
  EXPECT_EQ(CountCommon(a, none), 0u);
  EXPECT_EQ(CountCommon(none, none), 0u);
}

}  // namespace
}  // namespace stillwatch::base
