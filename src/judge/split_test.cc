#include "judge/split.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "judge/facts.h"
#include "link/test_log.h"

namespace stillwatch::judge {
namespace {

constexpr int kDays = 21;

// Which hours of each day a queue is full in.
std::vector<std::vector<int>> Queue(std::mt19937_64& random) {
  std::vector<std::vector<int>> full(kDays);
  for (auto& day : full) {
    for (int hour = 0; hour < 24; ++hour) {
      if (random() % 2 == 0) day.push_back(hour);
    }
  }
  return full;
}

// `hours` of each day, three in four of them of the queue if there is one.
void Act(link::TestLog* log, std::mt19937_64& random, const std::string& account,
         const std::vector<std::vector<int>>* queue, int days, int hours = 6) {
  for (int day = 0; day < days; ++day) {
    for (int i = 0; i < hours; ++i) {
      int hour = static_cast<int>(random() % 24);
      if (queue != nullptr && random() % 4 != 0 && !(*queue)[day].empty())
        hour = (*queue)[day][random() % (*queue)[day].size()];
      log->Add(account, link::kTestDay + day * base::kMsPerDay + hour * base::kMsPerHour +
                            static_cast<int64_t>(random() % base::kMsPerHour));
    }
  }
}

Candidate All(const link::Log& log) {
  Candidate c;
  for (uint32_t row = 0; row < log.rows(); ++row) c.rows.push_back(row);
  for (uint32_t a = 0; a < log.accounts(); ++a) c.accounts.push_back(a);
  return c;
}

std::vector<Candidate> Split(const link::Log& log, Candidate c) {
  const Background background(log);
  const link::AccountGraph graph = link::BuildGraph({}, log.entity, log.entities, {});
  return SplitByQueue(background, graph, std::move(c));
}

// Accounts of a candidate below `bound`, and from it on.
std::pair<int, int> Sides(const Candidate& c, uint32_t bound) {
  const auto first = std::count_if(c.accounts.begin(), c.accounts.end(), [&](uint32_t a) { return a < bound; });
  return {static_cast<int>(first), static_cast<int>(c.accounts.size()) - static_cast<int>(first)};
}

TEST(SplitByQueue, FollowersLeaveTheStrangersBehind) {
  std::mt19937_64 random(1);
  const auto queue = Queue(random);
  link::TestLog rows;
  for (uint32_t i = 0; i < 30; ++i) Act(&rows, random, link::TestAccount(i), &queue, kDays);
  for (uint32_t i = 30; i < 100; ++i) Act(&rows, random, link::TestAccount(i), nullptr, kDays);
  const link::Log log = rows.Build();
  const std::vector<Candidate> parts = Split(log, All(log));
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_GE(Sides(parts[0], 30).first, 29);
  EXPECT_LE(Sides(parts[0], 30).second, 2);
  EXPECT_EQ(parts[0].way_bits.size(), parts[0].accounts.size());
  EXPECT_TRUE(parts[1].way_bits.empty());
  // On days that did not pick them they are heard as well.
  const base::Parallel one(1);
  ASSERT_TRUE(parts[0].unpicked.has_value());
  EXPECT_GT(parts[0].unpicked->z,
            .5 * RhythmOf(log, EventsOf(log, parts[0].rows), parts[0], one).z);
  EXPECT_FALSE(parts[1].unpicked.has_value());
  // Nothing is lost, and every row goes with its account.
  EXPECT_EQ(parts[0].rows.size() + parts[1].rows.size(), log.rows());
  for (const Candidate& c : parts) {
    for (const uint32_t row : c.rows)
      EXPECT_TRUE(std::binary_search(c.accounts.begin(), c.accounts.end(), log.row_account[row]));
  }
}

// A rhythm of every fourth day alone is loud over all days, and nothing on those on which the
// accounts were not picked by it.
TEST(SplitByQueue, WhatPickedThemDoesNotSpeakForThem) {
  std::mt19937_64 random(3);
  auto queue = Queue(random);
  for (size_t day = 0; day < queue.size(); ++day) {
    const bool on = (link::kTestDay / base::kMsPerDay + static_cast<int64_t>(day)) % 4 == 0;
    queue[day] = on ? std::vector<int>{static_cast<int>(day % 5), 9, 14, 20} : std::vector<int>{};
  }
  link::TestLog rows;
  for (uint32_t i = 0; i < 80; ++i) Act(&rows, random, link::TestAccount(i), &queue, kDays, 10);
  for (uint32_t i = 80; i < 120; ++i) Act(&rows, random, link::TestAccount(i), nullptr, kDays, 10);
  const link::Log log = rows.Build();
  const std::vector<Candidate> parts = Split(log, All(log));
  ASSERT_EQ(parts.size(), 2u);
  const base::Parallel one(1);
  EXPECT_GT(RhythmOf(log, EventsOf(log, parts[0].rows), parts[0], one).z, 3 * kAudibleScore);
  ASSERT_TRUE(parts[0].unpicked.has_value());
  EXPECT_LT(parts[0].unpicked->z, kAudibleScore);
}

// Few exchanges a day: the habit of a fourth of the days would be the rhythm itself.
TEST(SplitByQueue, WhoActsSeldomIsHeardOnDaysThatDidNotPickHim) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    std::mt19937_64 random(seed);
    const auto queue = Queue(random);
    link::TestLog rows;
    for (uint32_t i = 0; i < 40; ++i) Act(&rows, random, link::TestAccount(i), &queue, kDays, 3);
    for (uint32_t i = 40; i < 52; ++i) Act(&rows, random, link::TestAccount(i), nullptr, kDays, 3);
    const link::Log log = rows.Build();
    const std::vector<Candidate> parts = Split(log, All(log));
    ASSERT_EQ(parts.size(), 2u) << seed;
    ASSERT_TRUE(parts[0].unpicked.has_value()) << seed;
    const double z = RhythmOf(log, EventsOf(log, parts[0].rows), parts[0], base::Parallel(1)).z;
    EXPECT_GT(parts[0].unpicked->z, .6 * z) << seed;
  }
}

// On a day that the log covers in part all are about in the same hours. Four days, cut at noon:
// people who have nothing to do with each other have no rhythm.
TEST(RhythmOf, ALogThatEndsAtNoonIsNoQueue) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    std::mt19937_64 random(seed);
    link::TestLog rows;
    constexpr int64_t kNoon = link::kTestDay + 3 * base::kMsPerDay + base::kMsPerDay / 2;
    for (uint32_t i = 0; i < 400; ++i) {
      for (int k = 0; k < 20; ++k) {
        const int64_t at = link::kTestDay + static_cast<int64_t>(random() % (4 * base::kMsPerDay));
        if (at < kNoon) rows.Add(link::TestAccount(i), at);
      }
    }
    const link::Log log = rows.Build();
    const Candidate c = All(log);
    const link::Rhythm r = RhythmOf(log, EventsOf(log, c.rows), c, base::Parallel(1));
    EXPECT_GT(r.power, 10) << seed;
    EXPECT_LT(r.z, kAudibleScore) << seed;
  }
}

TEST(SplitByQueue, WithoutAQueueNothingIsCut) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    link::TestLog rows;
    for (uint32_t i = 0; i < 80; ++i) Act(&rows, random, link::TestAccount(i), nullptr, kDays);
    const link::Log log = rows.Build();
    const std::vector<Candidate> parts = Split(log, All(log));
    ASSERT_EQ(parts.size(), 1u) << seed;
    EXPECT_TRUE(parts[0].way_bits.empty()) << seed;
    EXPECT_EQ(parts[0].accounts.size(), 80u) << seed;
  }
}

TEST(SplitByQueue, AQueueOfAnotherTemplateIsHeardOnceTheLargerHasLeft) {
  std::mt19937_64 random(2);
  const auto one = Queue(random), other = Queue(random);
  link::TestLog rows;
  for (uint32_t i = 0; i < 85; ++i) Act(&rows, random, link::TestAccount(i), &one, kDays);
  for (uint32_t i = 85; i < 100; ++i) Act(&rows, random, link::TestAccount(i), &other, kDays);
  const link::Log log = rows.Build();
  Candidate c = All(log);
  for (const uint32_t row : c.rows) c.row_template.push_back(log.row_account[row] < 85 ? 0 : 1);
  const std::vector<Candidate> parts = Split(log, c);
  ASSERT_GE(parts.size(), 2u);
  EXPECT_GE(Sides(parts[0], 85).first, 82);
  EXPECT_LE(Sides(parts[0], 85).second, 3);
  EXPECT_GE(Sides(parts[1], 85).second, 12);
  EXPECT_FALSE(parts[1].way_bits.empty());
}

TEST(SplitByQueue, WhoHasFewHoursGoesWithThoseWhoCameTheSameWay) {
  std::mt19937_64 random(3);
  const auto queue = Queue(random);
  link::TestLog rows;
  const auto short_of_hours = [](uint32_t i) { return i % 5 == 0; };
  for (uint32_t i = 0; i < 100; ++i) {
    Act(&rows, random, link::TestAccount(i), i < 50 ? &queue : nullptr, short_of_hours(i) ? 1 : kDays,
        short_of_hours(i) ? 2 : 6);
  }
  const link::Log log = rows.Build();
  Candidate c = All(log);
  // Followers use one template, strangers another.
  for (const uint32_t row : c.rows) c.row_template.push_back(log.row_account[row] < 50 ? 0 : 1);
  const std::vector<Candidate> parts = Split(log, c);
  ASSERT_EQ(parts.size(), 2u);
  int followers = 0, strangers = 0;
  for (const uint32_t a : parts[0].accounts) {
    if (short_of_hours(a)) ++(a < 50 ? followers : strangers);
  }
  EXPECT_GE(followers, 9);
  EXPECT_LE(strangers, 1);
  EXPECT_TRUE(std::all_of(parts[0].row_template.begin(), parts[0].row_template.end(), [](uint32_t t) { return t == 0; }));
}

// Accounts 0 to 19 share addresses, the next twelve nothing; all come and go evenly. `from(a)`:
// whose answers account a may present, in three exchanges of ten.
std::vector<Candidate> Hands(const std::function<uint32_t(uint32_t a, uint32_t draw)>& from,
                             bool vpn = false) {
  std::mt19937_64 random(8);
  link::TestLog rows;
  const auto signature = [](uint32_t a, uint64_t k) { return (uint64_t{a} + 1) << 32 | k; };
  for (uint32_t a = 0; a < 40; ++a) {
    for (uint32_t k = 0; k < (vpn ? 90u : 30u); ++k) {
      link::TestRow& r =
          rows.Add(link::TestAccount(a),
                   link::kTestDay + static_cast<int64_t>(random() % (kDays * base::kMsPerDay)));
      r.address = a < 20          ? "exit " + std::to_string(random() % 6)
                  : vpn && a < 32 ? "vpn " + std::to_string(random() % 3)
                                  : "home " + std::to_string(a);
      r.issued = {signature(a, k)};
      if (a < 32 && k % 10 < 3)
        r.presented = {signature(from(a, static_cast<uint32_t>(random() >> 40)), random() % 30)};
    }
  }
  for (uint32_t a = 40; a < 900; ++a) rows.Add(link::TestAccount(a), link::kTestDay);
  const link::Log log = rows.Build();
  Candidate c;
  for (uint32_t row = 0; row < log.first_row[32]; ++row) c.rows.push_back(row);
  for (uint32_t a = 0; a < 32; ++a) c.accounts.push_back(a);
  const Background background(log);
  const link::AccountGraph graph =
      link::BuildGraph(link::AccountTraits(log), log.entity, log.entities, {});
  return SplitByHand(background, graph, {}, std::move(c));
}

TEST(SplitByHand, HandsThatPassEachOtherSignaturesAreOne) {
  const auto all = Hands([](uint32_t, uint32_t draw) { return draw % 32; });
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(Sides(all[0], 20), std::pair(20, 12));
  // Each hand keeps its own habit.
  EXPECT_EQ(std::set<uint32_t>(all[0].part.begin(), all[0].part.end()).size(), 2u);
}

// Of the twelve others six pass signatures with the pool and six among themselves: as one hand they
// would be neither's, whether they share nothing or the addresses of a VPN.
TEST(SplitByHand, AStrayGoesToThePoolWhoseSignaturesItPasses) {
  for (const bool vpn : {false, true}) {
    const auto parts =
        Hands([](uint32_t a, uint32_t draw) { return a < 26 ? draw % 26 : 26 + draw % 6; }, vpn);
    ASSERT_EQ(parts.size(), 2u) << vpn;
    EXPECT_EQ(parts[0].accounts.size(), 26u) << vpn;
    EXPECT_EQ(parts[0].accounts.back(), 25u) << vpn;
    EXPECT_EQ(parts[1].accounts.front(), 26u) << vpn;
  }
}

TEST(SplitByHand, StoresOfTheirOwnAndReadersOfAPublishedConversationStayApart) {
  const auto own =
      Hands([](uint32_t a, uint32_t draw) { return a < 20 ? draw % 20 : 20 + draw % 12; });
  ASSERT_EQ(own.size(), 2u);
  EXPECT_EQ(Sides(own[0], 20), std::pair(20, 0));
  EXPECT_EQ(Sides(own[1], 20), std::pair(0, 12));
  // Two of the pool's conversations are known to everybody; what the readers were answered is not.
  EXPECT_EQ(Hands([](uint32_t a, uint32_t draw) { return a < 20 ? draw % 20 : draw % 2; }).size(),
            2u);
}

TEST(FollowingBits, SpeaksForAQueueFromItsFullHoursAndAgainstItFromOrdinaryOnes) {
  EXPECT_GT(FollowingBits({0, 100, 1.3}, .3), kTellingBits);
  EXPECT_LT(FollowingBits({0, 100, 1.0}, .3), -kTellingBits);
  EXPECT_LT(std::abs(FollowingBits({0, 4, 1.0}, .3)), kTellingBits);
  EXPECT_EQ(FollowingBits({0, 0, 1.0}, .3), 0);
  // Twice the hours say twice as much.
  EXPECT_NEAR(FollowingBits({0, 80, 1.2}, .3), 2 * FollowingBits({0, 40, 1.2}, .3), 1e-9);
}

TEST(EventsOf, OneForEachHalfHourOfAnAccount) {
  link::TestLog rows;
  for (const int64_t minute : {0, 1, 29, 30, 31, 95}) rows.Add("a", link::kTestDay + minute * 60'000);
  rows.Add("b", link::kTestDay + 60'000);
  const link::Log log = rows.Build();
  const Candidate c = All(log);
  const std::vector<link::Event> events = EventsOf(log, c.rows);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[1], link::Event(events[1].account, link::kTestDay + 30 * 60'000 + log.shift_ms));
  EXPECT_EQ(events[3].account, 1u);
}

TEST(Select, KeepsRowsTemplatesAndHandsTogether) {
  link::TestLog rows;
  for (int i = 0; i < 12; ++i) rows.Add(link::TestAccount(static_cast<uint32_t>(i % 4)), link::kTestDay + i * 1'000);
  const link::Log log = rows.Build();
  Candidate c = All(log);
  for (const uint32_t row : c.rows) c.row_template.push_back(row);
  c.part = {7, 8, 9, 10};
  const Candidate odd = Select(log, c, [](size_t i) { return i % 2 == 1; });
  EXPECT_EQ(odd.accounts, (std::vector<uint32_t>{1, 3}));
  EXPECT_EQ(odd.part, (std::vector<uint32_t>{8, 10}));
  EXPECT_EQ(odd.rows, (std::vector<uint32_t>{3, 4, 5, 9, 10, 11}));
  EXPECT_EQ(odd.row_template, odd.rows);
}

}  // namespace
}  // namespace stillwatch::judge
