#include "link/log.h"

#include <gtest/gtest.h>

#include "base/time.h"
#include "link/test_log.h"

namespace stillwatch::link {
namespace {

using Numbers = std::vector<uint32_t>;

TEST(Log, FinishFindsEachAccountsRows) {
  TestLog t;
  t.Add("c", 5);
  t.Add("a", 7);
  t.Add("c", 3);
  t.Add("a", 7);
  t.Add("c", 4);
  t.Describe("b");
  t.Describe("d");
  const Log log = t.Build();
  EXPECT_EQ(log.account_id, (Names{"a", "b", "c", "d"}));
  EXPECT_EQ(log.first_row, (std::vector<uint64_t>{0, 2, 2, 5, 5}));
  EXPECT_EQ(log.Exchanges(0), 2u);
  EXPECT_EQ(log.Exchanges(1), 0u);
  EXPECT_EQ(log.Exchanges(2), 3u);
  Numbers of_row;
  for (size_t row = 0; row < log.rows(); ++row) of_row.push_back(log.row_account[row]);
  EXPECT_EQ(of_row, (Numbers{0, 0, 2, 2, 2}));
}

TEST(Log, OnlyAVerifiedOrganisationMakesOneEntityOfItsAccounts) {
  TestLog t;
  const auto of = [&](const char* id, const char* org, bool verified) {
    t.Describe(id).org_id = org;
    t.Describe(id).org_verified = verified;
  };
  of("a", "one", true);
  of("b", "two", false);
  of("c", "two", false);
  of("d", "one", true);
  of("e", "", true);
  of("f", "", true);
  of("g", "one", false);  // says so, but nobody verified it
  of("h", "three", true);
  t.Add("i", 0);  // nothing is known of it
  of("j", "three", true);
  const Log log = t.Build();
  EXPECT_EQ(log.entity, (Numbers{0, 1, 2, 0, 3, 4, 5, 6, 7, 6}));
  EXPECT_EQ(log.entities, 8u);
}

// Who says in one organisation, with one mail domain and one card whose accounts they are hides
// nothing, verified or not.
TEST(Log, AnOrganisationOfOneDomainAndOneCardIsOneEntity) {
  TestLog t;
  const auto of = [&](const char* id, const char* org, const char* domain, const char* card) {
    model::Account& a = t.Describe(id);
    a.org_id = org;
    a.email_domain = domain;
    a.payment_id = card;
  };
  of("a", "open", "one.example", "card1");
  of("b", "open", "one.example", "card1");
  of("c", "open", "other.example", "card2");
  of("d", "cards", "two.example", "card3");
  of("e", "cards", "two.example", "card4");
  of("f", "domains", "three.example", "card5");
  of("g", "domains", "four.example", "card5");
  of("h", "", "one.example", "card1");
  of("i", "silent", "", "");
  of("j", "silent", "", "");
  const Log log = t.Build();
  EXPECT_EQ(log.entity, (Numbers{0, 0, 0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(Log, ItsDaysEndWithIt) {
  constexpr int64_t kHour = base::kMsPerHour, kDay = base::kMsPerDay;
  struct Heard {
    int64_t from, until, begins;  // hours from the first midnight; when a day begins
    bool operator==(const Heard&) const = default;
  };
  const auto heard = [](int64_t first, int64_t last) {
    TestLog t;
    t.Add("a", kTestDay + first);
    t.Add("b", kTestDay + last);
    const Log log = t.Build();
    EXPECT_EQ((kTestDay + log.shift_ms) % (kHour / 2), 0);
    return Heard{(log.heard_from_ms - kTestDay) / kHour, (log.heard_until_ms - kTestDay) / kHour,
                 (kDay - (kTestDay + log.shift_ms) % kDay) % kDay / kHour};
  };
  EXPECT_EQ(heard(0, 3 * kDay - 1), (Heard{0, 72, 0}));
  // The last day is cut at noon: days begin at noon. The half of one before is heard where it
  // counts, from an even hour on.
  EXPECT_EQ(heard(0, 7 * kDay + 12 * kHour - 1), (Heard{12, 180, 12}));
  EXPECT_EQ(heard(0, 6 * kDay + 12 * kHour - 1), (Heard{0, 156, 12}));
  EXPECT_EQ(heard(90 * 60'000, kDay + 12 * kHour - 1), (Heard{2, 36, 12}));
  EXPECT_EQ(heard(11 * kHour, kDay + 12 * kHour - 1), (Heard{12, 36, 12}));
  // Half an hour that has begun is left out; a first day of nearly 24 hours is not.
  EXPECT_EQ(heard(0, 3 * kDay + 20 * 60'000), (Heard{0, 72, 0}));
  EXPECT_EQ(heard(0, 3 * kDay - 50 * 60'000), (Heard{0, 72, 0}));
  EXPECT_EQ(heard(40 * 60'000, 3 * kDay - 1), (Heard{0, 72, 0}));
  // Of less than a day all is heard, as one day.
  EXPECT_EQ(heard(20 * kHour, kDay + 10 * kHour - 1), (Heard{10, 34, 10}));
  EXPECT_EQ(heard(5 * kHour, 8 * kHour + 5), (Heard{-15, 8, 8}));
}

TEST(Log, FinishAgainForgetsTheFirstTime) {
  TestLog t;
  t.Add("a", 0);
  t.Add("b", 0);
  Log log = t.Build();
  log.Finish();
  EXPECT_EQ(log.first_row, (std::vector<uint64_t>{0, 1, 2}));
  EXPECT_EQ(log.entity, (Numbers{0, 1}));
  EXPECT_EQ(log.entities, 2u);
}

TEST(Log, AnEmptyOneHasNothing) {
  const Log log = TestLog().Build();
  EXPECT_EQ(log.rows(), 0u);
  EXPECT_EQ(log.accounts(), 0u);
  EXPECT_EQ(log.entities, 0u);
  EXPECT_EQ(log.first_row, (std::vector<uint64_t>{0}));
  EXPECT_TRUE(log.PresentedBy(0).empty());
}

TEST(Log, PresentedByGivesThoseOfTheRowAlone) {
  TestLog t;
  t.Add("a", 0).presented = {9, 3};
  t.Add("a", 1);
  t.Add("a", 2).presented = {1};
  const Log log = t.Build();
  const auto of = [&](uint32_t row) {
    std::vector<uint64_t> out;
    for (const auto& p : log.PresentedBy(row)) out.push_back(p.signature);
    return out;
  };
  EXPECT_EQ(of(0), (std::vector<uint64_t>{3, 9}));
  EXPECT_EQ(of(1), std::vector<uint64_t>());
  EXPECT_EQ(of(2), std::vector<uint64_t>{1});
  EXPECT_EQ(of(3), std::vector<uint64_t>());
}

}  // namespace
}  // namespace stillwatch::link
