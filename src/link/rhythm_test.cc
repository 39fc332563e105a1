#include "link/rhythm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <random>

#include "base/time.h"
#include "link/test_log.h"

namespace stillwatch::link {
namespace {

using base::kMsPerDay;
using base::kMsPerHour;
using Events = std::vector<Event>;

constexpr int64_t kMinute = 60'000;

// Accounts that act on their own: on each day that `works` allows, `a_day` exchanges on average,
// each in an hour that `hour` draws.
Events Independents(
    uint32_t accounts, int days, double a_day, std::mt19937_64& random,
    const std::function<double(uint32_t account, std::mt19937_64&)>& hour,
    const std::function<double(int day)>& works = [](int) { return 1; }, uint32_t first = 0) {
  Events out;
  for (uint32_t a = first; a < first + accounts; ++a) {
    for (int d = 0; d < days; ++d) {
      for (int n = std::poisson_distribution<int>(a_day * works(d))(random); n > 0; --n) {
        const double h = std::fmod(hour(a, random) + 48, 24);
        out.push_back({a, kTestDay + d * kMsPerDay + static_cast<int64_t>(h * kMsPerHour)});
      }
    }
  }
  return out;
}

double AnyHour(uint32_t, std::mt19937_64& random) {
  return std::uniform_real_distribution<double>(0, 24)(random);
}

double OfficeHour(uint32_t, std::mt19937_64& random) {
  return std::normal_distribution<double>(14, 2.5)(random);
}

// A queue that works in stretches of some hours and rests between, dealt out over its accounts at
// random.
Events Queue(uint32_t accounts, int days, double a_day, std::mt19937_64& random,
             uint32_t first = 0) {
  Events out;
  for (int64_t at = kTestDay; at < kTestDay + days * kMsPerDay;) {
    const auto hours = [&](double mean) {
      return static_cast<int64_t>(std::exponential_distribution<double>(1 / mean)(random) *
                                  kMsPerHour);
    };
    const int64_t until = std::min(at + hours(2.5), kTestDay + days * kMsPerDay);
    const double exchanges = 2 * a_day * accounts * static_cast<double>(until - at) / kMsPerDay;
    for (int n = std::poisson_distribution<int>(exchanges)(random); n > 0; --n) {
      out.push_back({first + static_cast<uint32_t>(random() % accounts),
                     at + static_cast<int64_t>(random() % static_cast<uint64_t>(until - at))});
    }
    at = until + hours(2.5);
  }
  return out;
}

struct Spread {
  double mean, sd, worst;
};

Spread Over(int seeds, const std::function<double(std::mt19937_64&)>& z) {
  std::vector<double> all;
  for (int s = 0; s < seeds; ++s) {
    std::mt19937_64 random(static_cast<uint64_t>(s) + 1);
    all.push_back(z(random));
  }
  const double mean = std::accumulate(all.begin(), all.end(), 0.0) / seeds;
  double squares = 0;
  for (const double v : all) squares += (v - mean) * (v - mean);
  return {mean, std::sqrt(squares / (seeds - 1)), *std::max_element(all.begin(), all.end())};
}

Rhythm OfParts(const std::vector<Events>& parts, const Days& counted = {}) {
  Events all;
  std::map<uint32_t, uint32_t> part;
  for (uint32_t p = 0; p < parts.size(); ++p) {
    all.insert(all.end(), parts[p].begin(), parts[p].end());
    for (const Event& e : parts[p]) part[e.account] = p;
  }
  return MeasureRhythm(
      all, [&](uint32_t a) { return part.at(a); }, base::Parallel(2), counted);
}

TEST(Rhythm, WorkedByHand) {
  // Two accounts, once each, in the same hour: the habit leaves no other hour.
  const Rhythm same = MeasureRhythm(Events{{0, kTestDay}, {1, kTestDay + kMinute}});
  EXPECT_DOUBLE_EQ(same.pairs, 1);
  EXPECT_DOUBLE_EQ(same.expected, 1);
  EXPECT_DOUBLE_EQ(same.excess, 0);
  EXPECT_DOUBLE_EQ(same.z, 0);
  // In hours apart: each account's profile is (1 + 10 / 2) / 11 where it was and 5 / 11 where the
  // other was, so 2 * 30 / 121 pairs were to be expected, with a variance of 1.
  const Rhythm apart = MeasureRhythm(Events{{0, kTestDay}, {1, kTestDay + 12 * kMsPerHour}});
  EXPECT_DOUBLE_EQ(apart.pairs, 0);
  EXPECT_NEAR(apart.expected, 60. / 121, 1e-12);
  EXPECT_NEAR(apart.excess, -1, 1e-12);
  EXPECT_NEAR(apart.z, -60. / 121, 1e-12);
  EXPECT_DOUBLE_EQ(apart.absorbed, .5);  // of one day, as of two
  EXPECT_NEAR(apart.power, .12 * .5 * 60 / 121, 1e-12);
  // On days apart nothing can coincide.
  const Rhythm days = MeasureRhythm(Events{{0, kTestDay}, {1, kTestDay + kMsPerDay}});
  EXPECT_DOUBLE_EQ(days.expected, 0);
  EXPECT_DOUBLE_EQ(days.z, 0);
  EXPECT_DOUBLE_EQ(days.excess, 0);
}

TEST(Rhythm, HabitsTakeInWhatFewDaysHaveInCommon) {
  const auto mean = [](int days, double* absorbed) {
    double excess = 0;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      std::mt19937_64 random(seed);
      const Rhythm r = MeasureRhythm(Queue(60, days, 8, random));
      excess += r.excess / 20;
      *absorbed += r.absorbed / 20;
    }
    return excess;
  };
  double of_two = 0, of_three = 0, of_many = 0;
  const double two = mean(2, &of_two), three = mean(3, &of_three), many = mean(24, &of_many);
  EXPECT_NEAR(of_two, .5, .01);
  EXPECT_NEAR(of_three, .4, .06);
  EXPECT_NEAR(of_many, .05, .02);
  // What is heard falls, and is what of more days is heard once that is made up for.
  EXPECT_LT(two, .75 * many);
  EXPECT_NEAR(two / (1 - of_two), many / (1 - of_many), .35 * many);
  EXPECT_NEAR(three / (1 - of_three), many / (1 - of_many), .25 * many);
}

TEST(Rhythm, ADayThatTheLogCoversInPartIsHeard) {
  // A day and a half, and four and a half; the log begins at noon.
  constexpr int64_t kNoon = kTestDay + 12 * kMsPerHour;
  const int32_t from = Event(0, kNoon).half_hour;
  const auto since_noon = [&](Events events) {
    std::erase_if(events, [&](const Event& e) { return e.half_hour < from; });
    return events;
  };
  const Spread people = Over(20, [&](std::mt19937_64& random) {
    return MeasureRhythm(since_noon(Independents(120, 2, 4, random, OfficeHour)), base::Parallel(1),
                         {}, {}, from)
        .z;
  });
  EXPECT_LT(people.mean, .8);
  EXPECT_LT(people.worst, 2.5);
  const Spread longer = Over(20, [&](std::mt19937_64& random) {
    return MeasureRhythm(since_noon(Independents(120, 5, 2, random, OfficeHour)), base::Parallel(1),
                         {}, {}, from)
        .z;
  });
  EXPECT_LT(longer.mean, .8);
  EXPECT_LT(longer.worst, 2.5);
  // As if it were a whole day, all were found in the part that is there.
  const Spread whole = Over(20, [&](std::mt19937_64& random) {
    return MeasureRhythm(since_noon(Independents(120, 2, 4, random, OfficeHour))).z;
  });
  EXPECT_GT(whole.mean, 3 + people.mean);
  // A queue is heard by half a day more than the one day, which habits take in as a whole.
  const Events queue = [&] {
    std::mt19937_64 random(1);
    return since_noon(Queue(60, 2, 12, random));
  }();
  const Rhythm both = MeasureRhythm(queue, base::Parallel(1), {}, {}, from);
  const Rhythm last = MeasureRhythm(queue, base::Parallel(1), {},
                                    [&](int64_t day) { return day > kTestDay / kMsPerDay; });
  EXPECT_GT(both.z, 3);
  EXPECT_GT(both.z, 2 * last.z);
  // Who follows is told on such days as well.
  double ratio = 0;
  const auto all = [](uint32_t) { return true; };
  for (const Following& f : MeasureFollowing(queue, all, {}, from)) ratio += f.ratio / 60;
  EXPECT_GT(ratio, 1.02);
}

TEST(Rhythm, PairsAreThoseOfDifferentAccountsInOneHour) {
  std::mt19937_64 random(1);
  const Events events = Independents(30, 5, 6, random, AnyHour);
  std::map<int64_t, std::set<uint32_t>> hours;
  for (const Event& e : events) hours[e.half_hour / 2].insert(e.account);
  double pairs = 0;
  for (const auto& [hour, accounts] : hours)
    pairs += static_cast<double>(accounts.size() * (accounts.size() - 1)) / 2;
  EXPECT_DOUBLE_EQ(MeasureRhythm(events).pairs, pairs);
}

TEST(Rhythm, NothingAndOneAccountHaveNone) {
  EXPECT_EQ(MeasureRhythm(Events()).z, 0);
  EXPECT_EQ(OfParts({}).z, 0);
  std::mt19937_64 random(1);
  const Rhythm r = MeasureRhythm(Independents(1, 30, 20, random, AnyHour));
  EXPECT_EQ(r.pairs, 0);
  EXPECT_EQ(r.expected, 0);
  EXPECT_EQ(r.z, 0);
  EXPECT_EQ(r.power, 0);
}

TEST(Rhythm, IndependentAccountsHaveAStandardScore) {
  for (const uint32_t accounts : {20u, 80u}) {
    const Spread z = Over(60, [&](std::mt19937_64& random) {
      return MeasureRhythm(Independents(accounts, 14, 4, random, AnyHour)).z;
    });
    EXPECT_NEAR(z.mean, 0, .5) << accounts;
    EXPECT_GT(z.sd, .4) << accounts;
    EXPECT_LT(z.sd, 1.2) << accounts;
    EXPECT_LT(z.worst, 3.2) << accounts;
  }
}

TEST(Rhythm, HabitsAreNoQueue) {
  const auto none = [](const char* what, double mean,
                       const std::function<Events(std::mt19937_64&)>& events) {
    const Spread z =
        Over(30, [&](std::mt19937_64& random) { return MeasureRhythm(events(random)).z; });
    EXPECT_NEAR(z.mean, 0, mean) << what;
    EXPECT_LT(z.worst, mean + 2) << what;
  };
  none("working hours", .5,
       [](std::mt19937_64& random) { return Independents(60, 21, 4, random, OfficeHour); });
  none("busy working hours", 3,  // 15 by shares
       [](std::mt19937_64& random) { return Independents(60, 10, 16, random, OfficeHour); });
  none("working hours in three parts of the world", 1, [](std::mt19937_64& random) {
    return Independents(60, 21, 4, random, [](uint32_t a, std::mt19937_64& r) {
      return OfficeHour(a, r) + 8 * (a % 3);
    });
  });
  none("weekends", .5, [](std::mt19937_64& random) {
    return Independents(60, 21, 4, random, OfficeHour,
                        [](int day) { return day % 7 >= 5 ? .1 : 1; });
  });
  // Two days at five times the volume: a chance that is not fitted to the slot as well scores 11,
  // one that does not saturate 17.
  none("a launch", 2.5, [](std::mt19937_64& random) {
    return Independents(60, 21, 4, random, OfficeHour, [](int day) {
      return day == 9 || day == 10 ? 5 : day % 7 >= 5 ? .1 : 1;
    });
  });
  none("growth", .5, [](std::mt19937_64& random) {
    return Independents(60, 21, 4, random, AnyHour, [](int day) { return day / 10.; });
  });
  none("bursts of each account's own", .6, [](std::mt19937_64& random) {
    Events events = Independents(60, 21, 2, random, AnyHour), all;
    for (const Event& e : events) {
      all.insert(all.end(), 20, e);
      // Some go on in the next half hour.
      if (random() % 6 == 0) all.push_back({e.account, (e.half_hour + 1) * Event::kMs});
    }
    return all;
  });
}

TEST(Rhythm, AQueueIsHeard) {
  const Spread z =
      Over(10, [](std::mt19937_64& random) { return -MeasureRhythm(Queue(40, 21, 4, random)).z; });
  EXPECT_LT(z.worst, -6);
  std::mt19937_64 random(1);
  const Rhythm r = MeasureRhythm(Queue(40, 21, 4, random));
  EXPECT_GT(r.excess, .1);
  EXPECT_GT(r.power, 3);
}

TEST(Rhythm, PowerGrowsWithVolume) {
  std::mt19937_64 random(1);
  const double few = MeasureRhythm(Queue(10, 3, 2, random)).power;
  const double more = MeasureRhythm(Queue(40, 21, 4, random)).power;
  EXPECT_LT(few, 3);  // silence says nothing
  EXPECT_GT(more, 3 * few);
}

TEST(Rhythm, TheOrderOfEventsAndTheNumbersOfAccountsDoNotMatter) {
  std::mt19937_64 random(5);
  Events events = Queue(30, 10, 4, random);
  const Rhythm expected = MeasureRhythm(events);
  Events other = Independents(
      20, 10, 4, random, OfficeHour, [](int) { return 1; }, 100);
  const Rhythm cross = MeasureCrossRhythm(Beat(events), Beat(other));
  std::vector<uint32_t> number(120);
  std::iota(number.begin(), number.end(), 0);
  for (int round = 0; round < 4; ++round) {
    std::shuffle(events.begin(), events.end(), random);
    // Said twice, an event counts once.
    events.insert(events.end(), events.begin(), events.begin() + 50);
    std::shuffle(other.begin(), other.end(), random);
    const Rhythm r = MeasureRhythm(events);
    EXPECT_EQ(r.pairs, expected.pairs);
    EXPECT_EQ(r.expected, expected.expected);
    EXPECT_EQ(r.z, expected.z);
    EXPECT_EQ(r.power, expected.power);
    const Rhythm c = MeasureCrossRhythm(Beat(events), Beat(other));
    EXPECT_EQ(c.z, cross.z);
    EXPECT_EQ(c.pairs, cross.pairs);
    EXPECT_NEAR(MeasureCrossRhythm(Beat(other), Beat(events)).z, cross.z, 1e-9);
    std::shuffle(number.begin(), number.end(), random);
    Events renumbered = events;
    for (Event& e : renumbered) e.account = number[e.account];
    EXPECT_EQ(MeasureRhythm(renumbered).pairs, expected.pairs);
    EXPECT_NEAR(MeasureRhythm(renumbered).z, expected.z, 1e-9);
  }
}

TEST(Rhythm, AllTimesShiftedByDaysChangeNothing) {
  std::mt19937_64 random(6);
  Events events = Queue(30, 10, 4, random);
  const Rhythm expected = MeasureRhythm(events);
  for (Event& e : events) e.half_hour -= 19'000 * 48;
  EXPECT_EQ(MeasureRhythm(events).z, expected.z);
}

TEST(Rhythm, OfPartsEachHasItsOwnHabit) {
  // Two offices, nine hours apart.
  const auto offices = [](std::mt19937_64& random) {
    const auto hour = [](double shift) {
      return [shift](uint32_t a, std::mt19937_64& r) { return OfficeHour(a, r) + shift; };
    };
    return std::vector<Events>{Independents(40, 15, 3, random, hour(0)),
                               Independents(
                                   40, 15, 3, random, hour(9), [](int) { return 1; }, 100)};
  };
  const Spread apart =
      Over(20, [&](std::mt19937_64& random) { return OfParts(offices(random)).z; });
  EXPECT_NEAR(apart.mean, 0, .8);
  EXPECT_LT(apart.worst, 2.5);
  // Two hands of one queue are heard together.
  const Spread hands = Over(5, [&](std::mt19937_64& random) {
    std::vector<Events> parts(2);
    for (const Event& e : Queue(40, 21, 4, random)) parts[e.account % 2].push_back(e);
    return -OfParts(parts).z;
  });
  EXPECT_LT(hands.worst, -6);

  // One part alone is the whole; and all pairs are counted, whoever they are between.
  std::mt19937_64 random(1);
  const std::vector<Events> parts = offices(random);
  const Rhythm whole = MeasureRhythm(parts[0]), one = OfParts({parts[0]});
  EXPECT_DOUBLE_EQ(one.z, whole.z);
  EXPECT_DOUBLE_EQ(one.power, whole.power);
  Events both = parts[0];
  both.insert(both.end(), parts[1].begin(), parts[1].end());
  EXPECT_DOUBLE_EQ(OfParts(parts).pairs, MeasureRhythm(both).pairs);
}

TEST(Rhythm, WhoAndWhichDaysAreHeardIsAsIfNothingElseHadBeen) {
  std::mt19937_64 random(7);
  const Events events = Queue(40, 20, 4, random);
  const Accounts who = [](uint32_t a) { return a % 3 != 1; };
  const Days on = [](int64_t day) { return day % 4 != 2; };
  Events heard, days;
  for (const Event& e : events) {
    if (!on(e.half_hour / 48)) continue;
    days.push_back(e);
    if (who(e.account)) heard.push_back(e);
  }
  const Rhythm some = MeasureRhythm(events, base::Parallel(2), who, on),
               same = MeasureRhythm(heard);
  EXPECT_GT(some.pairs, 0);
  EXPECT_EQ(some.pairs, same.pairs);
  EXPECT_EQ(some.expected, same.expected);
  EXPECT_EQ(some.z, same.z);
  const std::vector<Following> a = MeasureFollowing(events, who, on),
                               b = MeasureFollowing(days, who);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].account, b[i].account);
    EXPECT_EQ(a[i].slots, b[i].slots);
    EXPECT_EQ(a[i].ratio, b[i].ratio);
  }
  // Of parts: who is in none.
  const Rhythm parts = MeasureRhythm(
      events, [&](uint32_t x) { return who(x) ? 0 : kNone; }, base::Parallel(1));
  EXPECT_EQ(parts.z, MeasureRhythm(events, base::Parallel(1), who).z);
}

TEST(Rhythm, WhatIsHeardOnSomeDaysAndOnTheOthersIsAll) {
  std::mt19937_64 random(19);
  const std::vector<Events> parts = {Queue(20, 16, 6, random),
                                     Independents(
                                         20, 16, 6, random, OfficeHour, [](int) { return 1; }, 20)};
  const Rhythm all = OfParts(parts);
  double pairs = 0, expected = 0, power = 0;
  for (int fold = 0; fold < 4; ++fold) {
    const Rhythm r = OfParts(parts, [&](int64_t day) { return day % 4 == fold; });
    EXPECT_GT(r.pairs, 0);
    pairs += r.pairs;
    expected += r.expected;
    power += r.power * r.power;
  }
  EXPECT_EQ(pairs, all.pairs);
  EXPECT_NEAR(expected, all.expected, 1e-6 * all.expected);
  EXPECT_NEAR(std::sqrt(power), all.power, .05 * all.power);
}

TEST(CrossRhythm, TwoGroupsOfOneQueueCoincideAndStrangersDoNot) {
  const auto halves = [](const Events& events, uint32_t first) {
    std::array<Events, 2> out;
    for (const Event& e : events) out[e.account >= first].push_back(e);
    return out;
  };
  const Spread queue = Over(10, [&](std::mt19937_64& random) {
    const auto h = halves(Queue(40, 21, 4, random), 15);
    return -MeasureCrossRhythm(Beat(h[0]), Beat(h[1])).z;
  });
  EXPECT_LT(queue.worst, -5);
  const Spread strangers = Over(30, [&](std::mt19937_64& random) {
    const auto h = halves(Independents(40, 21, 4, random, OfficeHour), 15);
    return MeasureCrossRhythm(Beat(h[0]), Beat(h[1])).z;
  });
  EXPECT_NEAR(strangers.mean, 0, .6);
  EXPECT_LT(strangers.worst, 3.2);
  // Two queues, each with a rhythm of its own.
  const Spread queues = Over(20, [&](std::mt19937_64& random) {
    return MeasureCrossRhythm(Beat(Queue(20, 21, 4, random)), Beat(Queue(20, 21, 4, random, 50))).z;
  });
  EXPECT_NEAR(queues.mean, 0, 3);
}

TEST(CrossRhythm, JoinedGroupsCoincideWithAThirdAsBothOfThemDo) {
  std::mt19937_64 random(3);
  const Events x = Queue(12, 21, 4, random), third = Queue(12, 9, 4, random, 200);
  Events y = Independents(12, 30, 4, random, OfficeHour);
  for (Event& e : y) e.account += 100, e.half_hour += 5 * 48;  // other days, some in common
  const Rhythm both = MeasureCrossRhythm(Beat::Joined(Beat(x), Beat(y)), Beat(third));
  const Rhythm first = MeasureCrossRhythm(Beat(x), Beat(third)),
               second = MeasureCrossRhythm(Beat(y), Beat(third));
  EXPECT_GT(first.pairs, 0);
  EXPECT_GT(second.pairs, 0);
  EXPECT_DOUBLE_EQ(both.pairs, first.pairs + second.pairs);
  EXPECT_NEAR(both.expected, first.expected + second.expected, 1e-9 * both.expected);
  // Nobody joins without a trace.
  EXPECT_EQ(MeasureCrossRhythm(Beat::Joined(Beat({}), Beat(x)), Beat(third)).z, first.z);
  EXPECT_EQ(MeasureCrossRhythm(Beat::Joined(Beat(x), Beat({})), Beat(third)).z, first.z);
}

TEST(CrossRhythm, PairsAreBetweenTheGroupsOnly) {
  const Events a = {{0, kTestDay}, {1, kTestDay + kMinute}, {0, kTestDay + 3 * kMsPerDay}};
  const Events b = {{5, kTestDay + 2 * kMinute},
                    {6, kTestDay + 3 * kMsPerDay + kMinute},
                    {7, kTestDay + 9 * kMsPerDay}};
  const Rhythm r = MeasureCrossRhythm(Beat(a), Beat(b));
  EXPECT_DOUBLE_EQ(r.pairs, 3);
  EXPECT_DOUBLE_EQ(r.expected, 3);
  // Nobody, or never on the same day.
  EXPECT_EQ(MeasureCrossRhythm(Beat(a), Beat({})).expected, 0);
  EXPECT_EQ(MeasureCrossRhythm(Beat({}), Beat(b)).z, 0);
  EXPECT_EQ(MeasureCrossRhythm(Beat(a), Beat(Events{{5, kTestDay + 9 * kMsPerDay}})).z, 0);
  EXPECT_EQ(MeasureCrossRhythm(Beat(a), Beat(Events{{5, kTestDay - 9 * kMsPerDay}})).pairs, 0);
}

// Against hours that others state: independents match them by chance whatever they are, a queue
// matches those of its other half.
TEST(Rhythm, AgainstStatedHoursOnlyTheirQueueIsHeard) {
  std::mt19937_64 random(5);
  std::vector<double> own, strangers;
  for (int round = 0; round < 60; ++round) {
    const Events queue = Queue(60, 10, 3, random);
    std::map<int32_t, double> seen;
    for (const Event& e : queue) seen[e.half_hour] += e.account >= 30 ? 1 : 0;
    double mean = 0;
    for (const auto& [half, n] : seen) mean += n / static_cast<double>(seen.size());
    const Weights weight = [&](int32_t half) {
      const auto it = seen.find(half);
      return it == seen.end() ? -mean : it->second - mean;
    };
    Events half;
    std::copy_if(queue.begin(), queue.end(), std::back_inserter(half),
                 [](const Event& e) { return e.account < 30; });
    const Rhythm heard = MeasureAgainst(half, weight);
    own.push_back(heard.z);
    EXPECT_GT(heard.pairs, heard.expected);
    strangers.push_back(MeasureAgainst(Independents(30, 10, 3, random, OfficeHour), weight).z);
    EXPECT_EQ(MeasureAgainst(half, [](int32_t) { return 0.0; }).z, 0);
  }
  EXPECT_GT(*std::min_element(own.begin(), own.end()), 3);
  double mean = 0, square = 0;
  for (const double z : strangers) mean += z / 60, square += z * z / 60;
  EXPECT_NEAR(mean, 0, .5);
  EXPECT_LT(square, 1.5);
  EXPECT_EQ(MeasureAgainst({}, [](int32_t) { return 1.0; }).z, 0);
}

}  // namespace
}  // namespace stillwatch::link
