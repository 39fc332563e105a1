#include "watch/gate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/hash.h"

namespace stillwatch::watch {
namespace {

constexpr int64_t kMinute = 60'000;

// Candidate `which` with its first `n` exchanges.
Look Candidate(uint64_t which, uint64_t n, double bits, bool accused = true) {
  Sampler s(kStartSample);
  for (uint64_t i = 0; i < n; ++i) s.Add(base::Mix64(which * 10'000'000 + i + 1));
  return {.exchanges = {s.Take(), n}, .accused = accused, .log2_e = bits};
}
// The same without the work: grown from the first by scaling what is smallest.
Look Grown(const Look& first, uint64_t n, double bits) {
  Look l = first;
  l.exchanges.size = n;
  l.log2_e = bits;
  l.accused = true;
  return l;
}

TEST(Gate, SharesOfTheBudgetAddUpToOneAtMost) {
  double serials = 0, looks = 0;
  for (uint64_t j = 1; j <= 2'000'000; ++j) serials += std::exp2(-SerialBits(j));
  for (uint64_t k = 1; k <= 1'000'000; ++k) looks += std::exp2(-LookBits(k));
  EXPECT_LE(serials, 1);
  EXPECT_GT(serials, .9);
  EXPECT_LE(looks, 1 + 1e-9);
  EXPECT_GT(looks, .99);
}

TEST(Gate, LooksOnlyWhenVolumeHasGrownOrAWindowHasPassed) {
  const GateOptions o;
  const Look first = Candidate(1, 100, 5);
  GateStep s = Pass({}, {first}, 0, o);
  ASSERT_EQ(s.next.starts.size(), 1u);
  EXPECT_EQ(s.next.starts[0].looks, 1u);
  s = Pass(s.next, {Grown(first, 124, 5)}, kMinute, o);
  EXPECT_EQ(s.next.starts[0].looks, 1u);
  s = Pass(s.next, {Grown(first, 125, 5)}, 2 * kMinute, o);
  EXPECT_EQ(s.next.starts[0].looks, 2u);
  s = Pass(s.next, {Grown(first, 125, 5)}, o.window_ms, o);
  EXPECT_EQ(s.next.starts[0].looks, 2u);
  s = Pass(s.next, {Grown(first, 125, 5)}, o.window_ms + 2 * kMinute, o);
  EXPECT_EQ(s.next.starts[0].looks, 3u);
  EXPECT_EQ(s.next.serials, 1u);
}

TEST(Gate, OpensOnceTheSumIsLargeEnoughAndStaysOpenWhileAccused) {
  const GateOptions o;
  const double need = -std::log2(o.rate) + SerialBits(1) + LookBits(1);
  EXPECT_FALSE(Pass({}, {Candidate(1, 100, need - .01)}, 0, o).open[0]);
  GateStep s = Pass({}, {Candidate(1, 100, need + .01)}, 0, o);
  EXPECT_TRUE(s.open[0]);
  EXPECT_EQ(s.bits_short[0], 0);
  s = Pass(s.next, {Candidate(1, 100, need, false)}, kMinute, o);
  EXPECT_FALSE(s.open[0]);
  s = Pass(s.next, {Candidate(1, 100, 0)}, 2 * kMinute, o);
  EXPECT_TRUE(s.open[0]);
}

TEST(Gate, ManyThatAreSureMakeRoomForOneThatIsLessSo) {
  const GateOptions o;
  const double need = -std::log2(o.rate) + SerialBits(1) + LookBits(1);
  std::vector<Look> looks;
  for (uint64_t i = 0; i < 15; ++i) looks.push_back(Candidate(i, 100, 40));
  looks.push_back(Candidate(15, 100, need - 3.9));
  const GateStep s = Pass({}, looks, 0, o);
  EXPECT_EQ(std::count(s.open.begin(), s.open.end(), true), 16);
  EXPECT_FALSE(Pass({}, {looks.back()}, 0, o).open[0]);
}

TEST(Gate, OrderOfCandidatesDoesNotMatter) {
  const GateOptions o;
  std::vector<Look> looks;
  for (uint64_t i = 0; i < 30; ++i)
    looks.push_back(Candidate(i, 50 + 7 * i, static_cast<double>(i)));
  std::vector<Look> mixed = looks;
  std::shuffle(mixed.begin(), mixed.end(), std::mt19937_64(3));
  EXPECT_EQ(Pass({}, looks, 0, o).next, Pass({}, mixed, 0, o).next);
}

TEST(Gate, ForgetsWhatIsLongGoneAndANewCohortHasABudgetOfItsOwn) {
  GateOptions o;
  GateStep s = Pass({}, {Candidate(1, 100, 5)}, 0, o);
  s = Pass(s.next, {Candidate(2, 100, 5)}, o.cohort_ms, o);
  ASSERT_EQ(s.next.starts.size(), 1u);
  EXPECT_EQ(s.next.starts[0].serial, 1u);
  EXPECT_EQ(s.next.starts[0].cohort, 1u);
  s = Pass(s.next, {Candidate(3, 100, 5)}, 0, o);  // the clock went back
  EXPECT_EQ(s.next.starts.back().cohort, 1u);
  EXPECT_EQ(s.next.starts.back().serial, 2u);
}

// Innocents only. Each world has some candidates whose evidence walks at random while they grow
// from 40 exchanges to 40,000, and is looked at in hundreds of passes. By whatever is told of them,
// how many worlds tell anything?
struct Worlds {
  double naive = 0, gate = 0;  // share of worlds with an accusation
};
template <typename Bits>
Worlds Innocent(int worlds, int candidates, int passes, double rate, const Bits& bits) {
  GateOptions o;
  o.rate = rate;
  std::mt19937_64 rng(11);
  Worlds out;
  for (int w = 0; w < worlds; ++w) {
    std::vector<Look> first;
    for (int c = 0; c < candidates; ++c)
      first.push_back(Candidate(static_cast<uint64_t>(w * candidates + c), 40, 0));
    std::vector<double> state(static_cast<size_t>(candidates), 0.0);
    Gate gate;
    bool naive = false, told = false;
    uint64_t before = 40;
    for (int p = 0; p < passes; ++p) {
      const auto n = static_cast<uint64_t>(40 * std::pow(1000, static_cast<double>(p) / passes));
      std::vector<Look> looks;
      for (int c = 0; c < candidates; ++c) {
        const double b = bits(rng, &state[static_cast<size_t>(c)], p == 0 ? 0 : before, n);
        looks.push_back(Grown(first[static_cast<size_t>(c)], n, b));
        // What a scan of its own does at each pass: e-BH over all candidates, here for one.
        naive |= b >= -std::log2(rate) + std::log2(candidates);
      }
      before = n;
      GateStep s = Pass(gate, looks, p * kMinute, o);
      gate = std::move(s.next);
      told |= std::count(s.open.begin(), s.open.end(), true) > 0;
    }
    out.naive += naive;
    out.gate += told;
  }
  out.naive /= worlds;
  out.gate /= worlds;
  return out;
}

// The best case for looking often: a true likelihood ratio, a martingale in the volume.
TEST(GateSimulation, RandomWalksStayWithinTheBudget) {
  const auto walk = [](std::mt19937_64& rng, double* x, uint64_t from, uint64_t to) {
    std::normal_distribution<double> normal;
    const double lambda = .05;  // per exchange, in standard deviations
    const auto n = static_cast<double>(to - from);
    *x += lambda * std::sqrt(n) * normal(rng) - lambda * lambda * n / 2;
    return *x / std::log(2.0);
  };
  const Worlds w = Innocent(200, 5, 200, .1, walk);
  EXPECT_LE(w.gate, .1);
}

// What a judge does that takes the best-fitting ratio of each moment: a test statistic z of mean 0
// whose e-value is calibrated for one look (2^bits has mean 1), looked at for ever. The law of the
// iterated logarithm brings every candidate above any bound.
TEST(GateSimulation, LuckyMomentsOfARatioThatIsNoMartingale) {
  const auto lucky = [](std::mt19937_64& rng, double* x, uint64_t from, uint64_t to) {
    std::normal_distribution<double> normal;
    *x += std::sqrt(static_cast<double>(to - from)) * normal(rng);
    const double z = *x / std::sqrt(static_cast<double>(to));
    // p-value to e-value: 1 / (2 sqrt p) has mean 1 for uniform p (Vovk and Wang 2021).
    const double p = .5 * std::erfc(z / std::sqrt(2.0));
    return -1 - .5 * std::log2(std::max(p, 1e-300));
  };
  const Worlds w = Innocent(200, 5, 200, .3, lucky);
  EXPECT_LE(w.gate, .3);
}

// The worst case: every look is drawn anew, and as large as it may be. A scan at each pass is
// certain to accuse somebody; the gate is not.
TEST(GateSimulation, FreshLuckAtEachLookStaysWithinTheBudgetWhereScanningAlwaysFails) {
  constexpr double kRate = .2;
  constexpr int kCandidates = 4, kWorlds = 500;
  for (const double extra : {0., 4.}) {
    // 2^top with probability 2^-top: mean 1, and the top is what some look needs.
    const double top = -std::log2(kRate) + SerialBits(1) + extra;
    const auto fresh = [&](std::mt19937_64& rng, double*, uint64_t, uint64_t) {
      return std::uniform_real_distribution<double>()(rng) < std::exp2(-top) ? top : -1e6;
    };
    const Worlds w = Innocent(kWorlds, kCandidates, 300, kRate, fresh);
    // Three standard deviations above what is promised.
    EXPECT_LE(w.gate, kRate + 3 * std::sqrt(kRate * (1 - kRate) / kWorlds)) << extra;
    if (extra == 0) {
      EXPECT_GT(w.naive, .75) << "the test does not meet what it is about";
    }
  }
}

// An opponent who knows the gate and spends each look's share to the last bit, for the 64 starts
// that have half of the budget: half of the rate is what he gets, less the looks that he does not
// have.
TEST(GateSimulation, WhoKnowsTheGateGetsTheBudgetAndNoMore) {
  constexpr double kRate = .2;
  constexpr int kWorlds = 700, kStarts = 64, kLooks = 12;
  GateOptions o;
  o.rate = kRate;
  std::mt19937_64 rng(5);
  std::uniform_real_distribution<double> uniform;
  std::vector<Look> first;
  for (uint64_t c = 0; c < kStarts; ++c) first.push_back(Candidate(c, 40, 0));
  int told = 0;
  for (int w = 0; w < kWorlds; ++w) {
    Gate gate;
    bool any = false;
    double n = 40;
    for (uint64_t k = 1; k <= kLooks && !any; ++k, n *= 1.3) {
      const double top = -std::log2(kRate) + SerialBits(kStarts) + LookBits(k) + 1e-6;
      std::vector<Look> looks;
      for (const Look& f : first)
        looks.push_back(
            Grown(f, static_cast<uint64_t>(n), uniform(rng) < std::exp2(-top) ? top : -1e6));
      GateStep s = Pass(gate, looks, 0, o);
      gate = std::move(s.next);
      ASSERT_EQ(gate.starts[0].looks, k);
      any = std::count(s.open.begin(), s.open.end(), true) > 0;
    }
    told += any;
  }
  const double share = static_cast<double>(told) / kWorlds;
  const double spread = 3 * std::sqrt(kRate / 2 / kWorlds);
  EXPECT_LE(share, kRate / 2 + spread);
  EXPECT_GE(share, kRate / 2 * kLooks / (kLooks + 1) * .9 - spread) << "the bound is not tried";
}

// An honest campaign: bits in proportion to its volume, among innocents. How much later than a
// single review does it open, in volume?
TEST(GateSimulation, AnHonestCampaignIsNotDelayedByMoreThanStated) {
  const GateOptions o;
  for (const int innocents : {0, 20, 200}) {
    for (const double full : {15., 20., 30.}) {  // bits at 1,000 exchanges
      const double review = -std::log2(o.rate) + std::log2(innocents + 1);
      const double volume = 1000 * review / full;  // at which one review accuses
      std::vector<Look> first;
      for (int c = 0; c <= innocents; ++c)
        first.push_back(Candidate(static_cast<uint64_t>(c), 40, 0));
      Gate gate;
      double opened = 0;
      uint64_t looks_then = 0;
      for (double n = 40; n < 100'000 && opened == 0; n = std::max(n + 1, n * 1.01)) {
        const auto size = static_cast<uint64_t>(n);
        std::vector<Look> looks;
        for (int c = 0; c < innocents; ++c) {
          looks.push_back(Grown(first[static_cast<size_t>(c) + 1], size, -3));
          looks.back().accused = false;
        }
        looks.push_back(Grown(first[0], size, full * n / 1000));
        looks.back().accused = n >= volume;
        GateStep s = Pass(gate, looks, 0, o);
        gate = std::move(s.next);
        if (s.open.back()) opened = n;
        for (const Start& start : gate.starts) looks_then = std::max(looks_then, start.looks);
      }
      const double price = SerialBits(static_cast<uint64_t>(innocents) + 1) -
                           std::log2(innocents + 1) + LookBits(looks_then);
      // 1.02: a pass falls between volumes, too.
      EXPECT_LE(opened, volume * kLookGrowth * 1.02 * (review + price) / review)
          << innocents << " " << full;
      EXPECT_GT(opened, volume);
      std::printf(
          "  %3d innocents, %2.0f bits at 1,000: accused at %.0f, told at %.0f: %.2f times\n",
          innocents, full, volume, opened, opened / volume);
    }
  }
}

}  // namespace
}  // namespace stillwatch::watch
