#include "base/proportion.h"

#include <gtest/gtest.h>

namespace stillwatch::base {
namespace {

TEST(Proportion, WilsonIsTheTextbooks) {
  const Interval i = Wilson(3, 10);  // Brown, Cai and DasGupta 2001: .108 to .603
  EXPECT_NEAR(i.low, .1078, 5e-4);
  EXPECT_NEAR(i.high, .6032, 5e-4);
  EXPECT_EQ(Wilson(0, 300'000).low, 0);
  EXPECT_NEAR(Wilson(0, 300'000).high, 1.28e-5, 1e-7);
  EXPECT_EQ(Wilson(5, 5).high, 1);
  EXPECT_EQ(Wilson(0, 0).high, 1);
}

}  // namespace
}  // namespace stillwatch::base
