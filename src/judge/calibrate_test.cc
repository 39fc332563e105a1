#include "judge/calibrate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace stillwatch::judge {
namespace {

using model::Verdict;

Weighed Of(double odds_bits, double purpose_bits, Verdict verdict) {
  Weighed w;
  w.odds_bits = odds_bits;
  w.purpose_bits = purpose_bits;
  w.verdict = verdict;
  const double p = 1 / (1 + std::exp2(-odds_bits));
  w.probability = {p, (1 - p) * .7, (1 - p) * .3, 0, 0, 0};
  return w;
}

TEST(Calibrate, MoreBitsAreNeverLessProbable) {
  for (const Formed formed : {Formed::kText, Formed::kPurse, Formed::kManner, Formed::kReplay}) {
    for (double odds = -25; odds <= 15; odds += .5) {
      for (double purpose = -7; purpose <= 12; purpose += .5) {
        Weighed a = Of(odds, purpose, Verdict::kUnresolved),
                b = Of(odds + .5, purpose, Verdict::kUnresolved),
                c = Of(odds, purpose + .5, Verdict::kUnresolved);
        for (Weighed* w : {&a, &b, &c}) {
          Calibrate(formed, w);
          ASSERT_NEAR(std::accumulate(w->probability.begin(), w->probability.end(), 0.0), 1, 1e-9);
        }
        ASSERT_GE(b.probability[0], a.probability[0]);
        ASSERT_GE(c.probability[0], a.probability[0]);
      }
    }
  }
}

TEST(Calibrate, AccusationsAreNotTouched) {
  Weighed w = Of(5, 4, Verdict::kDistillation);
  const auto before = w.probability;
  Calibrate(Formed::kText, &w);
  EXPECT_EQ(w.probability, before);
  EXPECT_EQ(w.verdict, Verdict::kDistillation);
}

// Little traffic, nothing shared, a scaffold that asks for traces: the weighing calls it a tool.
TEST(Calibrate, WhatMayWellBeAHarvestIsNotCalledSomethingElse) {
  Weighed w = Of(-6, 10, Verdict::kSharedTool);
  Calibrate(Formed::kText, &w);
  EXPECT_GT(w.probability[0], .5);
  EXPECT_EQ(w.verdict, Verdict::kUnresolved);
  w = Of(-6, 2, Verdict::kSharedTool);
  Calibrate(Formed::kText, &w);
  EXPECT_LT(w.probability[0], .05);
  EXPECT_EQ(w.verdict, Verdict::kSharedTool);
  EXPECT_NEAR(w.probability[1] / w.probability[2], 7. / 3, 1e-9);  // the others in proportion
}

}  // namespace
}  // namespace stillwatch::judge
