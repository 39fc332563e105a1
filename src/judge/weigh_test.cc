#include "judge/weigh.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>
#include <set>

#include "judge/test_facts.h"

namespace stillwatch::judge {
namespace {

using model::Capability;
using model::Family;
using model::Verdict;

// A harvest as the disclosed ones were: a queue over 40 accounts with few cards, a scaffold that
// asks for reasoning word for word, item by item.
Facts Harvest() {
  Facts f;
  f.entities = f.accounts = 40;
  f.exchanges = 2'000;
  f.scaffold = 8;
  f.main_family = 1;
  f.followed = .9;
  f.has_text = true;
  f.dedicated = 1;
  f.rhythm = {.pairs = 1'400, .expected = 1'000, .excess = .4, .z = 15, .power = 8};
  f.rhythm_z = 14;
  f.rhythm_groups = 24;
  f.coverage[0] = {36, 1, 8};
  f.coverage[3] = {40, .5, 8};
  f.one_payment = .2;
  f.payments = 9;
  f.one_address = .2;
  f.addresses = 12;
  f.one_setting = 1;
  f.distinct_items = .98;
  f.effective_items = 1'900;
  f.capability[static_cast<int>(Capability::kTraceExtraction)] = .9;
  f.capability[static_cast<int>(Capability::kOther)] = .1;
  f.sign = {.9, .8, 0, 0, 0, 0, .5};
  return f;
}

TEST(Weigh, ARhythmThatHabitsTookInHalfIsHeardAsOfManyDays) {
  Facts f = Harvest();
  f.rhythm.excess = .03;  // a common calendar does as much, in weeks
  EXPECT_NE(Weigh(f, Formed::kText).verdict, Verdict::kDistillation);
  f.rhythm.absorbed = .5;  // two days
  EXPECT_EQ(Weigh(f, Formed::kText).verdict, Verdict::kDistillation);
  f.rhythm.excess = .019;
  EXPECT_NE(Weigh(f, Formed::kText).verdict, Verdict::kDistillation);
}

TEST(Weigh, InLessThanTwoDaysAnOperatorsAccountsNeedNotBeHeardTwice) {
  Facts f = Harvest();
  f.dedicated = .12;
  f.rhythm_z = f.rhythm.z = 1;
  f.rhythm.excess = .005;
  f.rhythm.power = 20;
  f.rhythm.absorbed = link::kAbsorbedMax;
  EXPECT_NE(Weigh(f, Formed::kText).verdict, Verdict::kDistillation);
  f.company = 1;  // all of them do other work that is a harvest
  EXPECT_EQ(Weigh(f, Formed::kText).verdict, Verdict::kDistillation);
  // Of more days silence says that it is no queue.
  f.rhythm.absorbed = .3;
  EXPECT_NE(Weigh(f, Formed::kText).verdict, Verdict::kDistillation);
  f.rhythm.absorbed = link::kAbsorbedMax;
  // Cards of their own, several scaffolds, a phrase: not told to be one job.
  for (const auto& change : {std::function<void(Facts*)>([](Facts* g) {
                               g->coverage[3] = {2, 1, 0};
                             }),
                             std::function<void(Facts*)>([](Facts* g) { g->main_family = .3; }),
                             std::function<void(Facts*)>([](Facts* g) { g->phrase = true; })}) {
    Facts g = f;
    change(&g);
    EXPECT_NE(Weigh(g, Formed::kText).verdict, Verdict::kDistillation);
  }
}

Facts Random(std::mt19937_64& random) {
  const auto share = [&] { return std::uniform_real_distribution<double>(0, 1)(random); };
  const auto rare = [&] { return random() % 3 == 0 ? share() : 0; };
  Facts f = RandomFacts(random);
  f.one_payment = rare();
  f.one_address = rare();
  f.one_own_domain = rare();
  f.verified = rare();
  f.business = rare();
  f.payments = static_cast<uint32_t>(random() % 9);
  f.young = share();
  f.young_elsewhere = share() / 2;
  f.sign_up_burst = share();
  f.one_setting = share();
  f.distinct_items = share();
  f.effective_items = f.distinct_items * static_cast<double>(f.exchanges);
  f.popular_items = rare();
  f.recurring_items = rare();
  double left = 1;
  for (int k = 0; k < 3; ++k) {
    const double part = left * share();
    f.capability[random() % model::kCapabilities] += part;
    left -= part;
  }
  for (double& s : f.sign) s = rare();
  for (double& s : f.sign_elsewhere) s = share() / 4;
  f.follow_ups = rare();
  if (random() % 5 == 0)
    f.replays = static_cast<double>(random() % 50), f.replayed_volume = share();
  return f;
}

Formed AnyForm(std::mt19937_64& random) {
  return static_cast<Formed>(random() % 4 == 0 ? 1 + random() % 2 : 0);
}

// Families of coordination that have a statement of enough bits.
size_t Families(const Weighed& w) {
  std::set<Family> families;
  for (const auto& e : w.evidence) {
    if (e.family != Family::kPurpose && e.bits >= kFamilyBitsMin) families.insert(e.family);
  }
  return families.size();
}

TEST(Weigh, AHarvestIsCalledOne) {
  const Weighed w = Weigh(Harvest(), Formed::kText);
  EXPECT_EQ(w.verdict, Verdict::kDistillation);
  EXPECT_GE(w.probability[0], kAccuseProbability);
  EXPECT_GE(w.purpose_bits, kPurposeBitsMin);
  EXPECT_GE(w.families, 3);
  EXPECT_FALSE(w.would_change.empty());
}

// Numbers as people read them, and no "0 %" of anything.
TEST(Weigh, StatementsReadAsSentences) {
  Facts f = Harvest();
  f.rhythm.pairs = 1'234'567;
  f.exchanges = 40'000;
  f.popular_items = f.recurring_items = f.follow_ups = .004;
  std::string all;
  for (const model::Evidence& e : Weigh(f, Formed::kText).evidence) all += e.statement + "\n";
  for (const char* part : {"1,234,567 times", "39,200 distinct items", "none asks one of the few",
                           "none repeats an item", "None of the exchanges continues"}) {
    EXPECT_NE(all.find(part), std::string::npos) << part << " in\n" << all;
  }
  EXPECT_EQ(all.find(" 0 %"), std::string::npos) << all;
  f.popular_items = .02;
  all.clear();
  for (const model::Evidence& e : Weigh(f, Formed::kText).evidence) all += e.statement + "\n";
  EXPECT_NE(all.find("2 % ask one of the few"), std::string::npos) << all;
}

TEST(Weigh, OnlyDistillationAccusesAndItNeedsAllOfItsGates) {
  const auto verdict = [](const std::function<void(Facts&)>& change,
                          Formed formed = Formed::kText) {
    Facts f = Harvest();
    change(f);
    return Weigh(f, formed).verdict;
  };
  ASSERT_EQ(verdict([](Facts&) {}), Verdict::kDistillation);
  // The accounts were found by what they share or by their manner: no proof of a job.
  EXPECT_NE(verdict([](Facts&) {}, Formed::kPurse), Verdict::kDistillation);
  EXPECT_NE(verdict([](Facts&) {}, Formed::kManner), Verdict::kDistillation);
  // No purpose.
  EXPECT_NE(verdict([](Facts& f) { f.sign = {}, f.capability = {}; }), Verdict::kDistillation);
  EXPECT_NE(verdict([](Facts& f) {
              f.sign_elsewhere = f.sign;
              f.capability = {};
            }),
            Verdict::kDistillation);
  EXPECT_NE(verdict([](Facts& f) { f.has_text = false; }), Verdict::kDistillation);
  // Nothing says that the accounts do one job.
  EXPECT_NE(verdict([](Facts& f) { f.rhythm_z = 0; }), Verdict::kDistillation);
  EXPECT_NE(verdict([](Facts& f) { f.rhythm.excess = .03; }), Verdict::kDistillation);
  // Openly one customer.
  EXPECT_EQ(verdict([](Facts& f) { f.verified = .5; }), Verdict::kCoordinatedOther);
  EXPECT_EQ(verdict([](Facts& f) { f.one_payment = .8; }), Verdict::kCoordinatedOther);
  EXPECT_EQ(verdict([](Facts& f) { f.one_own_domain = .6, f.business = .5; }),
            Verdict::kCoordinatedOther);
  EXPECT_NE(verdict([](Facts& f) { f.one_address = .6, f.payments = 2; }), Verdict::kDistillation);
  // A crowd, a class, an evaluation.
  EXPECT_NE(verdict([](Facts& f) { f.popular_items = .6; }), Verdict::kDistillation);
  EXPECT_NE(verdict([](Facts& f) { f.recurring_items = .3; }), Verdict::kDistillation);
  EXPECT_NE(verdict([](Facts& f) { f.effective_items = 20; }), Verdict::kDistillation);
}

// A harness that hundreds use besides brings nobody together: only the rhythm is left.
TEST(Weigh, AScaffoldThatManySendWithoutAQueueIsNoFamily) {
  Facts f = Harvest();
  f.coverage = {};
  EXPECT_EQ(Weigh(f, Formed::kText).verdict, Verdict::kDistillation);
  f.strangers = f.accounts / 3;
  EXPECT_EQ(Weigh(f, Formed::kText).verdict, Verdict::kDistillation);
  f.strangers = f.accounts / 2;
  EXPECT_NE(Weigh(f, Formed::kText).verdict, Verdict::kDistillation);
  EXPECT_EQ(Weigh(f, Formed::kText).families, 1);
}

TEST(Weigh, WorkByCompanyHasWordsInCommonOrReplaysItself) {
  Facts f = Harvest();
  f.company = 1;
  EXPECT_NE(Weigh(f, Formed::kCompany).verdict, Verdict::kDistillation);
  f.focus = .7;
  EXPECT_EQ(Weigh(f, Formed::kCompany).verdict, Verdict::kDistillation);
  f.focus = .1;
  f.replays = 400;
  f.replayed_volume = .3;
  EXPECT_NE(Weigh(f, Formed::kCompany).verdict, Verdict::kDistillation);
  f.replayed_volume = .9;
  EXPECT_EQ(Weigh(f, Formed::kCompany).verdict, Verdict::kDistillation);
}

TEST(Weigh, ControlHiddenBehindSeveralCardsSaysWhatForBesideASign) {
  const auto purpose = [](uint32_t payments, bool signs) {
    Facts f = Harvest();
    if (!signs) f.sign = {}, f.capability = {};
    f.coverage[3] = {40, .5, 8};
    f.one_payment = .2;
    f.payments = payments;
    return Weigh(f, Formed::kText).purpose_bits;
  };
  EXPECT_DOUBLE_EQ(purpose(8, true), purpose(2, true) + 1.5);
  EXPECT_DOUBLE_EQ(purpose(8, false), purpose(2, false));
}

// A phrase in a small part of the work of customers who share little.
TEST(Weigh, WhatIsHardlyTheirWorkIsNotHeldAgainstThem) {
  const auto verdict = [](double dedicated, uint32_t linked) {
    Facts f = Harvest();
    f.dedicated = dedicated;
    for (Coverage& c : f.coverage) c = {};
    f.coverage[3] = {linked, .5, 8};
    return Weigh(f, Formed::kText).verdict;
  };
  const uint32_t n = Harvest().accounts;
  EXPECT_EQ(verdict(.2, n / 5), Verdict::kDistillation);
  EXPECT_NE(verdict(.1, n / 5), Verdict::kDistillation);
  EXPECT_EQ(verdict(.1, n), Verdict::kDistillation);  // a relay's pool
  EXPECT_NE(verdict(.01, n), Verdict::kDistillation);
}

TEST(Weigh, OneFamilyOfCoordinationIsNotEnough) {
  // A rhythm and nothing else: what the accounts send is a turn of phrase.
  Facts f = Harvest();
  f.coverage = {};
  f.phrase = true;
  f.scaffold = 2;
  const Weighed alone = Weigh(f, Formed::kText);
  EXPECT_EQ(alone.families, 1);
  EXPECT_NE(alone.verdict, Verdict::kDistillation);
  f.coverage[3] = {40, .5, 8};
  EXPECT_EQ(Weigh(f, Formed::kText).families, 2);
  EXPECT_EQ(Weigh(f, Formed::kText).verdict, Verdict::kDistillation);
  // A phrase brings strangers together: what they do must be told to follow the queue.
  f.followed = .2;
  EXPECT_EQ(Weigh(f, Formed::kText).verdict, Verdict::kUnresolved);
}

TEST(Weigh, AFamilyCountsOnceHoweverMuchItSays) {
  // Mail domains in common and accounts made in one go are both enrolment.
  Facts f = Harvest();
  f.coverage = {};
  f.phrase = true;
  f.rhythm_z = 0;
  f.coverage[2] = {40, 1, 8};
  f.young = 1;
  f.sign_up_burst = 1;
  const Weighed w = Weigh(f, Formed::kText);
  EXPECT_EQ(Families(w), 1u);
  EXPECT_EQ(w.families, 1);
}

TEST(Weigh, WithoutTextOnlyAReplayedSignatureSaysWhatForItIs) {
  Facts f = Harvest();
  f.has_text = false;
  const Weighed silent = Weigh(f, Formed::kText);
  EXPECT_EQ(silent.purpose_bits, 0);
  EXPECT_LT(silent.probability[0], silent.probability[1]);
  f.replays = 50;
  f.replayed_volume = 1;
  EXPECT_EQ(Weigh(f, Formed::kText).verdict, Verdict::kDistillation);
  // A few of them are a shared session.
  f.replayed_volume = .4;
  EXPECT_NE(Weigh(f, Formed::kText).verdict, Verdict::kDistillation);
  f.replayed_volume = 1;
  f.replays = 2;
  EXPECT_NE(Weigh(f, Formed::kText).verdict, Verdict::kDistillation);
}

TEST(Weigh, WhateverTheFactsTheVerdictKeepsItsGates) {
  std::mt19937_64 random(1);
  int accused = 0;
  for (int i = 0; i < 30'000; ++i) {
    Facts f = i % 2 ? Random(random) : Harvest();
    if (i % 2 == 0) {  // near a harvest: some facts are others'
      const Facts other = Random(random);
      if (random() % 4 == 0) f.coverage = other.coverage;
      if (random() % 4 == 0) f.rhythm = other.rhythm, f.rhythm_z = other.rhythm_z;
      if (random() % 4 == 0) f.sign = other.sign;
      if (random() % 4 == 0) f.capability = other.capability;
      if (random() % 4 == 0) f.phrase = other.phrase, f.scaffold = other.scaffold;
      if (random() % 4 == 0) f.young = other.young, f.sign_up_burst = other.sign_up_burst;
      if (random() % 4 == 0) f.one_address = other.one_address, f.payments = other.payments;
    }
    const Formed formed = AnyForm(random);
    const Weighed w = Weigh(f, formed);
    ASSERT_LE(static_cast<size_t>(w.families), Families(w));
    // No probability is stated higher than .995, and they add up.
    const double sum = std::accumulate(w.probability.begin(), w.probability.end(), 0.0);
    ASSERT_NEAR(sum, 1, 1e-9);
    for (const double p : w.probability) {
      ASSERT_GE(p, 0);
      ASSERT_LE(p, .995 + 1e-12);
    }
    ASSERT_TRUE(std::is_sorted(w.evidence.begin(), w.evidence.end(),
                               [](const auto& x, const auto& y) { return x.bits > y.bits; }));
    double purpose = 0;
    for (const auto& e : w.evidence) {
      ASSERT_FALSE(e.statement.empty());
      ASSERT_FALSE(e.null.empty());
      ASSERT_TRUE(std::isfinite(e.bits)) << e.statement;
      if (e.family == Family::kPurpose) purpose += e.bits;
    }
    // The purpose is what the statements say, and four bits of a replay.
    ASSERT_GE(w.purpose_bits + 1e-9, purpose);
    ASSERT_LE(w.purpose_bits, purpose + 4 + 1e-9);
    ASSERT_FALSE(w.would_change.empty());
    ASSERT_NE(w.verdict, Verdict::kPermitted);
    if (w.verdict != Verdict::kDistillation) continue;
    ++accused;
    ASSERT_EQ(formed, Formed::kText);
    ASSERT_GE(w.probability[0], kAccuseProbability);
    ASSERT_GE(Families(w), static_cast<size_t>(kCoordinationFamiliesMin));
    ASSERT_GE(w.purpose_bits, kPurposeBitsMin);
    ASSERT_FALSE(w.overt);
    ASSERT_FALSE(w.crowd);
  }
  EXPECT_GT(accused, 500);
}

TEST(Weigh, MoreEvidenceOfCoordinationNeverSpeaksAgainstDistillation) {
  std::mt19937_64 random(2);
  const auto share = [&] { return std::uniform_real_distribution<double>(0, 1)(random); };
  int raised = 0;
  for (int i = 0; i < 20'000; ++i) {
    const Facts f = i % 3 == 0 ? Harvest() : Random(random);
    const Formed formed = AnyForm(random);
    Facts more = f;
    const char* what = "";
    switch (random() % 4) {
      case 0:
        what = "rhythm";
        more.rhythm_z += share() * 6;
        more.rhythm.excess += share() * .1;
        break;
      case 1: {
        what = "shared values";
        Coverage& c = more.coverage[random() % 2 ? 0 : 2 + random() % 2];
        if (c.linked == f.accounts) continue;
        c.linked += 1 + static_cast<uint32_t>(random() % (f.accounts - c.linked));
        c.bits += share() * 3;
        break;
      }
      case 2:
        what = "replays";
        more.replays += 1 + static_cast<double>(random() % 20);
        more.replayed_volume = std::min(1.0, more.replayed_volume + share());
        break;
      default:
        what = "young accounts";
        more.young = std::min(1.0, more.young + share() / 2);
        more.sign_up_burst = std::min(1.0, more.sign_up_burst + share() / 2);
        break;
    }
    const Weighed before = Weigh(f, formed), after = Weigh(more, formed);
    ASSERT_GE(after.probability[0], before.probability[0] - 1e-9) << what << " " << i;
    ASSERT_GE(after.independent_bits, before.independent_bits - 1e-9) << what << " " << i;
    ASSERT_GE(after.families, before.families) << what << " " << i;
    if (before.verdict == Verdict::kDistillation) {
      ASSERT_EQ(after.verdict, before.verdict) << what << " " << i;
    }
    raised += after.probability[0] > before.probability[0] + 1e-6;
  }
  EXPECT_GT(raised, 2'000);
}

TEST(Weigh, SilenceCountsOnlyAsFarAsItCouldHaveBeenHeard) {
  const auto rhythm = [](double z, double power) {
    Facts f = Harvest();
    f.rhythm_z = z;
    f.rhythm.power = power;
    for (const auto& e : Weigh(f, Formed::kText).evidence) {
      if (e.family == Family::kRhythm) return e.bits;
    }
    return std::nan("");
  };
  EXPECT_NEAR(rhythm(0, .5), -.09, .01);  // hardly any volume: .5^2 / 2 / ln 2 / 2
  EXPECT_NEAR(rhythm(0, 3), -3.25, .01);
  EXPECT_DOUBLE_EQ(rhythm(0, 20), -3.3);  // one in ten hides its rhythm
  EXPECT_DOUBLE_EQ(rhythm(1.5, 3), 0);    // half heard
  EXPECT_NEAR(rhythm(6, 8), 36.0 / 4 / std::log(2.0) - 1, 1e-9);
  EXPECT_DOUBLE_EQ(rhythm(60, 8), 14);
}

TEST(Weigh, APurseThatFormedTheCandidateCountsHalfInTheErrorBudget) {
  const Facts f = Harvest();
  const double text = Weigh(f, Formed::kText).independent_bits;
  const double purse = Weigh(f, Formed::kPurse).independent_bits;
  // Eight bits of addresses and of cards; enrolment is silent, which costs half a bit by text only.
  EXPECT_NEAR(text - purse, 8 - .5, 1e-9);
}

// By its definition: the largest k of which the k-th largest e-value is at least m / (k rate).
std::vector<bool> ByDefinition(const std::vector<double>& log2_e, double rate) {
  std::vector<double> sorted = log2_e;
  std::sort(sorted.rbegin(), sorted.rend());
  double bound = std::numeric_limits<double>::infinity();
  for (size_t k = 1; k <= sorted.size(); ++k) {
    const double e = std::exp2(sorted[k - 1]);
    if (e >= static_cast<double>(sorted.size()) / (static_cast<double>(k) * rate))
      bound = sorted[k - 1];
  }
  std::vector<bool> out;
  for (const double e : log2_e) out.push_back(e >= bound);
  return out;
}

TEST(ErrorBudget, IsEBHByItsDefinition) {
  std::mt19937_64 random(3);
  size_t selected = 0;
  for (int i = 0; i < 2'000; ++i) {
    std::vector<double> e(random() % 30);
    for (double& v : e) v = std::uniform_real_distribution<double>(-5, 14)(random);
    const auto chosen = SelectByEBH(e, .05);
    ASSERT_EQ(chosen, ByDefinition(e, .05));
    selected += static_cast<size_t>(std::count(chosen.begin(), chosen.end(), true));
    // More evidence for one never deselects anything.
    if (e.empty()) continue;
    e[random() % e.size()] += 2;
    const auto more = SelectByEBH(e, .05);
    for (size_t k = 0; k < e.size(); ++k) ASSERT_GE(more[k], chosen[k]);
  }
  EXPECT_GT(selected, 1'000u);
  EXPECT_TRUE(SelectByEBH({}, .01).empty());
  // One candidate alone needs 1 / rate.
  EXPECT_EQ(SelectByEBH({std::log2(100) + 1e-9}, .01), std::vector<bool>{true});
  EXPECT_EQ(SelectByEBH({std::log2(100) - 1e-3}, .01), std::vector<bool>{false});
}

TEST(ErrorBudget, HoldsForDependentCandidates) {
  // E-values of which the innocent ones have mean 1: exp(s x - s^2 / 2), all by one common draw or
  // each by its own; ten of sixty are guilty.
  std::mt19937_64 random(4);
  std::normal_distribution<double> normal;
  constexpr double kRate = .2, kS = 3;
  for (const bool common : {false, true}) {
    double false_share = 0;
    constexpr int kReviews = 2'000;
    for (int i = 0; i < kReviews; ++i) {
      const double shared = normal(random);
      std::vector<double> e;
      for (int k = 0; k < 60; ++k) {
        const double x = common ? shared : normal(random);
        e.push_back((kS * (k < 10 ? x + kS : x) - kS * kS / 2) / std::log(2.0));
      }
      const auto chosen = SelectByEBH(e, kRate);
      const double all = static_cast<double>(std::count(chosen.begin(), chosen.end(), true));
      if (all > 0)
        false_share +=
            static_cast<double>(std::count(chosen.begin() + 10, chosen.end(), true)) / all;
    }
    EXPECT_LE(false_share / kReviews, kRate) << common;
  }
}

}  // namespace
}  // namespace stillwatch::judge
