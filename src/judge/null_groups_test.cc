#include "judge/null_groups.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>

#include "link/test_log.h"

namespace stillwatch::judge {
namespace {

using link::Event;
using link::kTestDay;
using link::TestAccount;
using link::TestLog;

// Of account a `each(a)` exchanges, one in each half hour.
template <typename Each>
TestLog Busy(uint32_t accounts, Each&& each) {
  TestLog t;
  for (uint32_t a = 0; a < accounts; ++a)
    for (int64_t i = 0; i < each(a); ++i) t.Add(TestAccount(a), kTestDay + i * Event::kMs);
  return t;
}

std::map<uint32_t, size_t> CountOf(const std::vector<Event>& events) {
  std::map<uint32_t, size_t> out;
  for (const Event& e : events) ++out[e.account];
  return out;
}

TEST(NullGroups, AreOfAsManyOthersWithAsMuchWork) {
  // One in four does too little, and the first hundred may not serve.
  const TestLog t = Busy(1'000, [](uint32_t a) { return a % 4 == 0 ? 4 : 20 + a % 40; });
  link::Log log = t.Build();
  log.heard_from_ms = INT64_MIN, log.heard_until_ms = INT64_MAX;  // the log's edges count as well
  const Background background(log);
  AccountSet not_innocent(log.accounts(), false);
  for (uint32_t a = 0; a < 100; ++a) not_innocent[a] = true;
  const NullGroups groups(background, not_innocent, 50, 500);
  EXPECT_EQ(groups.accounts(), 50u);
  std::vector<Event> events = {{7, 7}};
  std::map<uint32_t, size_t> served;
  for (size_t g = 0; g < kNullGroups; ++g) {
    ASSERT_TRUE(groups.Events(g, 50, &events));
    EXPECT_TRUE(std::is_sorted(events.begin(), events.end()));
    const auto count = CountOf(events);
    EXPECT_EQ(count.size(), 50u);
    for (const auto& [a, n] : count) {
      EXPECT_FALSE(not_innocent[a]);
      EXPECT_NE(a % 4, 0u);
      // All, every second, every third, ... of its 20 to 59, so that about ten are left.
      EXPECT_GE(n, 10u);
      EXPECT_LT(n, 20u);
      ++served[a];
    }
  }
  // 24 groups of 50 from 675: nearly all serve, few more than twice.
  EXPECT_GT(served.size(), 600u);
  for (const auto& [a, n] : served) EXPECT_LE(n, 4u);
}

TEST(NullGroups, AreTheSameWhateverTheOrderOfTheRows) {
  TestLog t = Busy(300, [](uint32_t) { return 5; });
  const link::Log log = t.Build();
  std::reverse(t.rows.begin(), t.rows.end());
  const link::Log turned = t.Build();
  const AccountSet none(log.accounts(), false);
  const Background one(log), other(turned);
  std::vector<Event> a, b;
  for (size_t g = 0; g < kNullGroups; ++g) {
    ASSERT_TRUE(NullGroups(one, none, 20, 100).Events(g, 20, &a));
    ASSERT_TRUE(NullGroups(other, none, 20, 100).Events(g, 20, &b));
    EXPECT_EQ(a, b);
  }
}

TEST(NullGroups, ThatAreTooSmallAreNone) {
  const TestLog t = Busy(30, [](uint32_t) { return 5; });
  const link::Log log = t.Build();
  const Background background(log);
  const AccountSet none(log.accounts(), false);
  const NullGroups groups(background, none, 40, 200);
  std::vector<Event> events = {{7, 7}};
  EXPECT_FALSE(groups.Events(3, groups.accounts(), &events));
  EXPECT_TRUE(events.empty());
  // A smaller one will do: the same for all.
  std::vector<Event> first;
  ASSERT_TRUE(groups.Events(0, 20, &first));
  EXPECT_EQ(CountOf(first).size(), 30u);
  ASSERT_TRUE(groups.Events(3, 20, &events));
  EXPECT_EQ(first, events);
  EXPECT_EQ(NullGroups(background, none, 9'999, 200).accounts(), kNullAccountsMax);
  const link::Log empty = TestLog().Build();
  const Background nobody(empty);
  EXPECT_FALSE(NullGroups(nobody, {}, 0, 0).Events(0, 1, &events));
}

TEST(NullGroups, AScoreIsInTheirStandardDeviations) {
  std::vector<double> groups;
  for (int i = 0; i < 24; ++i) groups.push_back((i * 7) % 24);  // 0 to 23 in another order
  // Median 12, 84th percentile 20.
  EXPECT_DOUBLE_EQ(AgainstGroups(28, groups), (28 - 12) / 8.);
  EXPECT_DOUBLE_EQ(AgainstGroups(12, groups), 0);
  // What groups have less of than chance, or spread less than chance, is no merit of this one.
  EXPECT_DOUBLE_EQ(AgainstGroups(5, std::vector<double>(24, -3)), 5);
  EXPECT_DOUBLE_EQ(AgainstGroups(5, std::vector<double>(24, 2)), 3);
  // Groups that hold another queue do not hide this one.
  std::vector<double> some(24, 0);
  for (int i = 0; i < 3; ++i) some[static_cast<size_t>(i)] = 500;
  EXPECT_DOUBLE_EQ(AgainstGroups(7, some), 7);
  // Too few to say anything.
  EXPECT_DOUBLE_EQ(AgainstGroups(28, std::vector<double>(kNullGroupsMin - 1, 20)), 28);
  EXPECT_DOUBLE_EQ(AgainstGroups(28, std::vector<double>(kNullGroupsMin, 20)), 8);
  EXPECT_DOUBLE_EQ(AgainstGroups(28, {}), 28);
}

}  // namespace
}  // namespace stillwatch::judge
