#include "watch/dismissal.h"

#include <gtest/gtest.h>

#include "base/hash.h"

namespace stillwatch::watch {
namespace {

using model::Verdict;
constexpr uint32_t kText = 1u << static_cast<int>(model::Family::kText);
constexpr uint32_t kRhythm = 1u << static_cast<int>(model::Family::kRhythm);
constexpr uint32_t kPayment = 1u << static_cast<int>(model::Family::kPayment);

// Exchanges [begin, end) of accounts [from, from + 20), found with text and rhythm.
Finding Found(const std::string& id, uint64_t begin, uint64_t end, uint64_t from = 0) {
  Finding f;
  f.id = id;
  f.verdict = Verdict::kDistillation;
  f.probability = .97;
  Sampler e(kExchangeSample), a(kAccountSample);
  for (uint64_t x = begin; x < end; ++x) e.Add(base::Mix64(x + 1));
  for (uint64_t x = from; x < from + 20; ++x) a.Add(base::Mix64(x + 77'000'000));
  f.exchanges = {e.Take(), end - begin};
  f.accounts = {a.Take(), 20};
  f.open = true;
  f.families = kText | kRhythm;
  f.bits = 30;
  return f;
}

// One pass as the engine makes it.
Step Pass(const Identities& before, std::vector<Finding> findings,
          const std::vector<Dismissed>& dismissed) {
  const auto repeats = Repeats(before, findings, dismissed);
  for (size_t i = 0; i < findings.size(); ++i) findings[i].dismissed = repeats[i] != kNoRepeat;
  return Identify(before, findings);
}

bool Opened(const Step& s, size_t finding) { return s.next.Find(s.ids[finding])->open; }

class DismissalTest : public testing::Test {
 protected:
  const Step first_ = Pass({}, {Found("a", 0, 1000)}, {});
  const std::vector<Dismissed> a_ = {{"a", kText | kRhythm, 30, 1000}};
};

TEST_F(DismissalTest, WhatWasDismissedIsClosedAndStaysSo) {
  EXPECT_TRUE(Opened(first_, 0));
  Step s = Pass(first_.next, {Found("b", 0, 1010)}, a_);
  EXPECT_FALSE(Opened(s, 0));
  ASSERT_EQ(s.events.size(), 1u);
  EXPECT_EQ(s.events[0].change, Change::kClosed) << "those who were told are told";
  // Under new ids of content, pass after pass, with slow growth.
  for (int i = 1; i < 20; ++i) {
    s = Pass(s.next, {Found("c" + std::to_string(i), 0, 1010 + uint64_t(i) * 100)}, a_);
    EXPECT_FALSE(Opened(s, 0)) << i;
    for (const Event& e : s.events) EXPECT_FALSE(e.open);
  }
}

TEST_F(DismissalTest, ATwinIsNotRaised) {
  // It came apart: a piece is new to watching, and all of it was dismissed.
  Step s = Pass(first_.next, {Found("b", 0, 600), Found("c", 600, 1000)}, a_);
  EXPECT_FALSE(Opened(s, 0));
  EXPECT_FALSE(Opened(s, 1));
  // It went, and its accounts came back with other exchanges.
  s = Pass(first_.next, {}, a_);
  s = Pass(s.next, {Found("d", 50'000, 51'000)}, a_);
  EXPECT_FALSE(Opened(s, 0));
  // Strangers are not its twin.
  s = Pass(s.next, {Found("e", 70'000, 71'000, 500)}, a_);
  EXPECT_TRUE(Opened(s, 0));
}

TEST_F(DismissalTest, WhileItIsThereItsAccountsMayStillDoAnotherJob) {
  const Step s = Pass(first_.next, {Found("a", 0, 1000), Found("b", 50'000, 51'000)}, a_);
  EXPECT_FALSE(Opened(s, 0));
  EXPECT_TRUE(Opened(s, 1));
}

TEST_F(DismissalTest, NewEvidenceRaisesItAgain) {
  Finding family = Found("b", 0, 1000);
  family.families |= kPayment;
  EXPECT_TRUE(Opened(Pass(first_.next, {family}, a_), 0));
  Finding bits = Found("b", 0, 1000);
  bits.bits = 30 + kNewBits;
  EXPECT_TRUE(Opened(Pass(first_.next, {bits}, a_), 0));
  bits.bits = 30 + kNewBits - .1;
  EXPECT_FALSE(Opened(Pass(first_.next, {bits}, a_), 0));
  Finding fewer = Found("b", 0, 1000);
  fewer.families = kText;
  EXPECT_FALSE(Opened(Pass(first_.next, {fewer}, a_), 0));
}

TEST_F(DismissalTest, WhatSwallowedItOrOutgrewItWasNeverLookedAt) {
  EXPECT_TRUE(Opened(Pass(first_.next, {Found("b", 0, 3000)}, a_), 0)) << "a third was dismissed";
  Step s = first_;
  for (uint64_t n = 1500; n < 4000; n += 500) {
    s = Pass(s.next, {Found("b", 0, n)}, a_);
    EXPECT_FALSE(Opened(s, 0)) << n;
  }
  EXPECT_TRUE(Opened(Pass(s.next, {Found("b", 0, 4000)}, a_), 0)) << "four times as much";
}

TEST_F(DismissalTest, TakenBackItIsRaised) {
  const Step s = Pass(first_.next, {Found("a", 0, 1000)}, a_);
  const Step back = Pass(s.next, {Found("a", 0, 1000)}, {});
  EXPECT_TRUE(Opened(back, 0));
  ASSERT_EQ(back.events.size(), 1u);
  EXPECT_EQ(back.events[0].change, Change::kOpened);
}

TEST_F(DismissalTest, UnknownIdsAndUnknownNumbers) {
  EXPECT_TRUE(Opened(Pass(first_.next, {Found("a", 0, 1000)}, {{"nobody", kText, 1, 1}}), 0));
  // Dismissed before numbers were kept: families alone decide.
  const std::vector<Dismissed> old = {{"a", kText | kRhythm, 0, 0}};
  EXPECT_FALSE(Opened(Pass(first_.next, {Found("b", 0, 1900)}, old), 0));
}

}  // namespace
}  // namespace stillwatch::watch
