#include "judge/facts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "judge/split.h"
#include "link/test_log.h"

namespace stillwatch::judge {
namespace {

using base::kMsPerDay;
using base::kMsPerHour;
using link::kTestDay;
using link::TestAccount;
using link::TestLog;
using link::TestRow;
using model::Capability;

// The facts of the candidate that has the rows of which `mine` says so.
Facts Measured(
    const TestLog& t, const std::function<bool(const link::Log&, uint32_t row)>& mine,
    const std::function<void(Candidate&)>& change = [](Candidate&) {}) {
  const link::Log log = t.Build();
  Candidate c;
  for (uint32_t row = 0; row < log.rows(); ++row) {
    if (!mine(log, row)) continue;
    c.rows.push_back(row);
    if (c.accounts.empty() || c.accounts.back() != log.row_account[row])
      c.accounts.push_back(log.row_account[row]);
  }
  change(c);
  const link::AccountGraph graph =
      link::BuildGraph(link::AccountTraits(log), log.entity, log.entities, {});
  AccountSet inside(log.accounts(), false);
  for (const uint32_t a : c.accounts) inside[a] = 1;
  return Measure(Background(log), graph, c, inside);
}

// ...of the first accounts, with all their rows.
Facts OfAccounts(const TestLog& t, uint32_t accounts) {
  return Measured(
      t, [&](const link::Log& log, uint32_t row) { return log.row_account[row] < accounts; });
}

model::TextFeatures Text(Capability capability = Capability::kOther, uint16_t purpose = 0,
                         uint8_t messages = 1) {
  model::TextFeatures f;
  f.capability = capability;
  f.purpose = purpose;
  f.messages = messages;
  return f;
}

TEST(Facts, CountsAreThoseOfTheCandidate) {
  TestLog t;
  for (uint32_t i = 0; i < 40; ++i) t.Add(TestAccount(i % 8), kTestDay + i);
  for (const uint32_t a : {0, 1, 2}) {
    t.Describe(TestAccount(a)).org_id = "org";
    t.Describe(TestAccount(a)).org_verified = a != 2;
  }
  // Of five accounts with five exchanges each those at even times: 15 of 25.
  const Facts f = Measured(t, [](const link::Log& log, uint32_t row) {
    return log.row_account[row] < 5 && (log.ts_ms[row] - kTestDay) / 8 % 2 == 0;
  });
  EXPECT_EQ(f.accounts, 5u);
  EXPECT_EQ(f.entities, 4u);  // two are one verified organisation's
  EXPECT_EQ(f.exchanges, 15u);
  EXPECT_DOUBLE_EQ(f.dedicated, 15. / 25);
  EXPECT_DOUBLE_EQ(f.verified, 2. / 5);
  EXPECT_FALSE(f.has_text);
}

TEST(Facts, WhatTheCandidateSaysOfItselfIsPassedOn) {
  TestLog t;
  for (uint32_t i = 0; i < 6; ++i) t.Add(TestAccount(i), kTestDay);
  const Facts f = Measured(
      t, [](const link::Log&, uint32_t) { return true; },
      [](Candidate& c) { c.phrase = true, c.scaffold = 2; });
  EXPECT_TRUE(f.phrase);
  EXPECT_EQ(f.scaffold, 2u);
}

TEST(Facts, CoverageIsAgainstPartnersAtRandom) {
  // Of 512 active accounts, the eight of the candidate share one card.
  TestLog t;
  for (uint32_t a = 0; a < 512; ++a) {
    t.Add(TestAccount(a), kTestDay);
    if (a < 8) t.Describe(TestAccount(a)).payment_id = "card";
  }
  const Facts f = OfAccounts(t, 8);
  EXPECT_EQ(f.coverage[3].linked, 8u);
  // Each has seven links; with partners at random 1 - (504 / 512)^7 = .10437 would be linked.
  EXPECT_NEAR(f.coverage[3].expected, 8 * .10437, 1e-3);
  // log2(.9999 / .10437) for each of eight, a quarter of it.
  EXPECT_NEAR(f.coverage[3].bits, 6.520, 2e-3);
  EXPECT_EQ(f.coverage[0].linked, 0u);
  EXPECT_EQ(f.coverage[0].bits, 0);
}

TEST(Facts, AHandThatLinksCutOutOfACrowdIsNoSurprise) {
  // As before, but these eight are one hand of a workload that half of all accounts take part in.
  TestLog t;
  for (uint32_t a = 0; a < 512; ++a) {
    t.Add(TestAccount(a), kTestDay);
    if (a < 8) t.Describe(TestAccount(a)).payment_id = "card";
  }
  const auto among = [&](size_t crowd) {
    return Measured(
        t, [](const link::Log& log, uint32_t row) { return log.row_account[row] < 8; },
        [&](Candidate& c) { c.among = crowd; });
  };
  EXPECT_NEAR(among(256).coverage[3].expected, 8 * (1 - std::pow(.5, 7)), 1e-9);
  EXPECT_LT(among(256).coverage[3].bits, .1);
  EXPECT_NEAR(among(0).coverage[3].expected, 8 * .10437, 1e-3);
  EXPECT_GT(among(8).coverage[3].bits, 6);
}

TEST(Facts, WhatAWholeGroupSharesByChanceAloneWeighsNothing) {
  // All eight share the card and, found among all that there are, would share one by chance as
  // well: of what is beyond chance there is nothing, and nothing to divide it by.
  TestLog t;
  for (uint32_t a = 0; a < 512; ++a) {
    t.Add(TestAccount(a), kTestDay);
    if (a < 8) t.Describe(TestAccount(a)).payment_id = "card";
  }
  const Facts f = Measured(
      t, [](const link::Log& log, uint32_t row) { return log.row_account[row] < 8; },
      [](Candidate& c) { c.among = 512; });
  EXPECT_EQ(f.coverage[3].linked, 8u);
  EXPECT_EQ(f.coverage[3].expected, 8);
  EXPECT_EQ(f.coverage[3].bits, 0);  // which NaN is not
}

TEST(Facts, ACardSharedWithOthersLinksNobodyInside) {
  // Four accounts, each with a card of its own that seven others share: many links, none inside.
  TestLog t;
  for (uint32_t a = 0; a < 512; ++a) {
    t.Add(TestAccount(a), kTestDay);
    if (a < 4) t.Describe(TestAccount(a)).payment_id = "card" + std::to_string(a);
    if (a >= 100 && a < 128) t.Describe(TestAccount(a)).payment_id = "card" + std::to_string(a % 4);
  }
  const Facts f = OfAccounts(t, 4);
  EXPECT_EQ(f.coverage[3].linked, 0u);
  EXPECT_NEAR(f.coverage[3].expected, 4 * (1 - std::pow(508. / 512, 7)), 1e-9);
  EXPECT_EQ(f.coverage[3].bits, 0);
}

TEST(Facts, CardsAddressesAndReferrersInCommonLink) {
  TestLog t;
  for (uint32_t a = 0; a < 512; ++a) {
    for (uint32_t i = 0; i < (a == 0 ? 10u : 1u); ++i) t.Add(TestAccount(a), kTestDay + i);
  }
  t.Describe(TestAccount(0)).payment_id = t.Describe(TestAccount(1)).payment_id = "card";
  t.rows[13].address = t.rows[14].address = "10.0.0.1";  // accounts 4 and 5
  t.Describe(TestAccount(2)).referrer = t.Describe(TestAccount(3)).referrer = "friend";
  const Facts f = OfAccounts(t, 8);
  EXPECT_EQ(f.exchanges, 17u);
  EXPECT_EQ(f.coverage[0].linked, 2u);
  EXPECT_EQ(f.coverage[2].linked, 2u);
  EXPECT_EQ(f.coverage[3].linked, 2u);
}

TEST(Facts, OpenlyOneCustomer) {
  TestLog t;
  for (uint32_t a = 0; a < 20; ++a) {
    TestRow& r = t.Add(TestAccount(a), kTestDay);
    r.address = a < 6 ? "10.0.0.1" : a < 8 ? "10.0.0.2" : "";
    t.Add(TestAccount(a), kTestDay + 1).address = a == 0 ? "10.0.0.3" : r.address;
    model::Account& record = t.Describe(TestAccount(a));
    record.payment_id = a < 5 ? "one" : a < 7 ? "two" : "";
    record.kyc = a % 5 == 0 ? "business" : "none";
    record.email_domain = a < 8 ? "own.example" : "mail.example";
  }
  Facts f = OfAccounts(t, 10);
  EXPECT_DOUBLE_EQ(f.one_payment, .5);
  EXPECT_EQ(f.payments, 2u);
  EXPECT_DOUBLE_EQ(f.one_address, .6);
  EXPECT_EQ(f.addresses, 3u);
  EXPECT_DOUBLE_EQ(f.business, .2);
  EXPECT_DOUBLE_EQ(f.verified, 0);
  EXPECT_DOUBLE_EQ(f.one_own_domain, .8);
  // A domain that others have as well is nobody's own: 8 of 11.
  for (const uint32_t a : {17, 18, 19}) t.Describe(TestAccount(a)).email_domain = "own.example";
  f = OfAccounts(t, 10);
  EXPECT_DOUBLE_EQ(f.one_own_domain, 0);
  // 8 of 10 still is.
  t.Describe(TestAccount(19)).email_domain = "";
  EXPECT_DOUBLE_EQ(OfAccounts(t, 10).one_own_domain, .8);
}

TEST(Facts, YoungAccountsAndThoseMadeInOneGo) {
  TestLog t;
  const auto born = [&](uint32_t a, std::optional<int64_t> days_before) {
    t.Add(TestAccount(a), kTestDay);
    t.Add(TestAccount(a), kTestDay + 90 * kMsPerDay);  // its first use counts
    if (days_before) t.Describe(TestAccount(a)).created_at_ms = kTestDay - *days_before * kMsPerDay;
  };
  born(0, 1), born(1, 5), born(2, 8), born(3, 29), born(4, 30), born(5, 400), born(6, std::nullopt);
  for (uint32_t a = 7; a < 15; ++a) born(a, a < 9 ? 3 : 300);
  const Facts f = OfAccounts(t, 7);
  EXPECT_DOUBLE_EQ(f.young, 4. / 6);  // of those whose age is known
  EXPECT_DOUBLE_EQ(f.young_elsewhere, 2. / 8);
  EXPECT_DOUBLE_EQ(f.sign_up_burst, 3. / 7);  // within seven days: 1, 5 and 8 before
}

TEST(Facts, SettingsTextAndPurpose) {
  TestLog t;
  const auto add = [&](uint32_t a, const char* setting,
                       std::optional<model::TextFeatures> features) {
    TestRow& r = t.Add(TestAccount(a), kTestDay + static_cast<int64_t>(t.rows.size()));
    r.setting = setting;
    r.features = features;
    r.turn = {static_cast<uint32_t>(t.rows.size())};
  };
  add(0, "hot", Text(Capability::kGrading, model::kAsksGrade | model::kDictatesFormat));
  add(0, "hot", Text(Capability::kGrading, model::kAsksGrade, 3));
  add(1, "cold", Text(Capability::kGrading, model::kAsksGrade, 2));
  add(1, "hot", Text(Capability::kMathematics, 0, 9));
  add(2, "hot", std::nullopt);  // no text
  add(3, "cold", Text(Capability::kGrading, model::kAsksGrade));
  add(3, "cold", Text());
  add(4, "cold", Text());
  add(4, "cold", std::nullopt);
  const Facts f = OfAccounts(t, 3);
  EXPECT_TRUE(f.has_text);
  EXPECT_DOUBLE_EQ(f.one_setting, .8);
  EXPECT_DOUBLE_EQ(f.capability[static_cast<int>(Capability::kGrading)], .75);
  EXPECT_DOUBLE_EQ(f.capability[static_cast<int>(Capability::kMathematics)], .25);
  EXPECT_DOUBLE_EQ(f.follow_ups, .5);
  EXPECT_DOUBLE_EQ(f.sign[2], .75);
  EXPECT_DOUBLE_EQ(f.sign[6], .25);
  EXPECT_DOUBLE_EQ(f.sign_elsewhere[2], (.5 + 0) / 2);  // the others who sent text, each once
  EXPECT_DOUBLE_EQ(f.sign_elsewhere[6], 0);
}

TEST(Facts, HalfOfTheExchangesWithTextAreNotEnough) {
  TestLog t;
  for (uint32_t i = 0; i < 10; ++i) t.Add(TestAccount(i % 5), kTestDay + i).features = Text();
  EXPECT_TRUE(OfAccounts(t, 5).has_text);
  for (uint32_t i = 0; i < 5; ++i) t.rows[i].features.reset();
  EXPECT_FALSE(OfAccounts(t, 5).has_text);
}

TEST(Facts, Items) {
  TestLog t;
  const auto ask = [&](uint32_t a, int day, uint32_t item) {
    TestRow& r =
        t.Add(TestAccount(a), kTestDay + day * kMsPerDay + static_cast<int64_t>(t.rows.size()));
    r.features = Text();
    if (item != 0) r.turn = {item};
  };
  // One item that seven customers ask, one of them twice on a day; twenty that one asks once.
  for (uint32_t a = 0; a < 7; ++a) ask(a, 0, 1);
  ask(0, 0, 1);
  for (uint32_t i = 0; i < 20; ++i) ask(7, 0, 100 + i);
  // One that an account asks on three days, and one that four customers ask eight times.
  for (const int day : {0, 1, 2}) ask(8, day, 2);
  for (uint32_t i = 0; i < 8; ++i) ask(9 + i % 4, 0, 3);
  ask(13, 0, 0);  // no turn: no item
  const Facts f = OfAccounts(t, 14);
  const double asks = 8 + 20 + 3 + 8, squares = 64 + 20 + 9 + 64;
  EXPECT_DOUBLE_EQ(f.distinct_items, 23 / asks);
  EXPECT_DOUBLE_EQ(f.effective_items, asks * asks / squares);
  // Five times as often as the mean item is 8.5: nothing is that popular...
  EXPECT_DOUBLE_EQ(f.popular_items, 0);
  EXPECT_DOUBLE_EQ(f.recurring_items, 2 / asks);
  // ...until it is asked once more; four customers are too few however often they ask.
  ask(1, 0, 1);
  for (int i = 0; i < 4; ++i) ask(9, 0, 3);
  EXPECT_DOUBLE_EQ(OfAccounts(t, 14).popular_items, 0);
  for (int i = 0; i < 2; ++i) ask(2, 0, 1);
  EXPECT_DOUBLE_EQ(OfAccounts(t, 14).popular_items, 11 / (asks + 7));
}

TEST(Facts, ReplaysAreOfOtherCustomersSignatures) {
  TestLog t;
  const auto of = [&](uint32_t a) -> TestRow& {
    return t.Add(TestAccount(a), kTestDay + static_cast<int64_t>(t.rows.size()));
  };
  of(9).issued = {1, 2, 3};
  of(8).issued = {3};  // issued to two: nobody's
  of(1).issued = {7};
  of(0).issued = {4};
  of(0).presented = {1, 2};  // one exchange
  of(0).presented = {4};     // its own
  of(0).presented = {3};
  of(0).presented = {99};  // of nobody in this log
  of(1).presented = {2};
  of(2).presented = {7};  // of its own organisation
  for (const uint32_t a : {1, 2}) {
    t.Describe(TestAccount(a)).org_id = "org";
    t.Describe(TestAccount(a)).org_verified = true;
  }
  for (uint32_t i = 0; i < 3; ++i) of(3).presented = {1};
  const Facts f = OfAccounts(t, 4);
  EXPECT_DOUBLE_EQ(f.replays, 5);
  // Account 3 does little else: three of the rows of the four.
  EXPECT_EQ(f.exchanges, 11u);
  EXPECT_DOUBLE_EQ(f.replayed_volume, 3. / 11);
}

// What the accounts of a harvest replay in it says nothing about their other work.
TEST(Facts, WorkByCompanyReplaysWhatItPresentsItself) {
  TestLog t;
  for (uint64_t s = 1; s <= 40; ++s) t.Add(TestAccount(9), kTestDay).issued = {s};
  for (uint32_t i = 0; i < 40; ++i) {
    TestRow& r = t.Add(TestAccount(i % 4), kTestDay + i);
    r.model = i < 20 ? "harvest" : "other";
    if (i < 20 || i == 31) r.presented = {i + 1};
  }
  const auto volume = [&](Formed formed) {
    return Measured(
               t,
               [&](const link::Log& log, uint32_t row) {
                 return log.models[log.model[row]] == "other";
               },
               [&](Candidate& c) { c.formed = formed; })
        .replayed_volume;
  };
  EXPECT_DOUBLE_EQ(volume(Formed::kText), 1);
  EXPECT_DOUBLE_EQ(volume(Formed::kCompany), 0);
}

TEST(Background, KnowsWhoWasIssuedWhatAndWhenModelsCame) {
  TestLog t;
  t.Add("a", kTestDay + 5).issued = {1, 2};
  t.Add("a", kTestDay + 6).issued = {1};  // twice to one
  t.Add("b", kTestDay + 7).issued = {2, 3};
  t.rows[1].model = "new";
  t.rows[2].model = "old";
  t.Add("b", kTestDay + 1).model = "old";
  t.Describe("c").email_domain = t.Describe("a").email_domain = "x.example";
  const link::Log log = t.Build();
  const Background b(log);
  EXPECT_EQ(b.IssuedTo(1), 0u);
  EXPECT_EQ(b.IssuedTo(2), link::kNone);
  EXPECT_EQ(b.IssuedTo(3), 1u);
  EXPECT_EQ(b.IssuedTo(4), link::kNone);
  EXPECT_EQ(b.FirstUse(1), kTestDay + 6);
  EXPECT_EQ(b.FirstUse(2), kTestDay + 1);
  EXPECT_EQ(b.AtDomain("x.example"), 2u);
  EXPECT_EQ(b.AtDomain("y.example"), 0u);
  EXPECT_EQ(b.active_accounts(), 2);
}

TEST(Background, ReplaysAreCountedByExchangeAndNotInsideOneCustomer) {
  TestLog t;
  t.Add("a", kTestDay).issued = {1, 2};
  for (const char* id : {"a", "b"}) {
    t.Describe(id).org_id = "org";
    t.Describe(id).org_verified = true;
  }
  for (int64_t i = 0; i < 3; ++i) {
    for (const char* id : {"a", "b", "c", "d"}) t.Add(id, kTestDay + i).presented = {1, 2};
  }
  t.Add("e", kTestDay).presented = {1};
  t.Add("e", kTestDay + 1).presented = {2};
  // Of d's exchanges one in twenty replays; one fewer is a shared session.
  for (int64_t i = 0; i < 57; ++i) t.Add("d", kTestDay + 9 + i);
  const link::Log log = t.Build();
  const Background b(log);
  EXPECT_FALSE(b.Replaying(0));
  EXPECT_FALSE(b.Replaying(1));
  EXPECT_TRUE(b.Replaying(2));
  EXPECT_TRUE(b.Replaying(3));
  EXPECT_FALSE(b.Replaying(4));
  t.Add("d", kTestDay + 99);
  const link::Log more = t.Build();
  EXPECT_FALSE(Background(more).Replaying(3));
}

TEST(Background, TheRandomOrderIsThatOfIdsNotOfRows) {
  TestLog t;
  for (uint32_t a = 0; a < 500; ++a) t.Add(TestAccount(a), kTestDay - a);
  const link::Log log = t.Build();
  const Background b(log);
  std::set<uint32_t> all(b.shuffled().begin(), b.shuffled().end());
  EXPECT_EQ(all.size(), 500u);
  size_t in_place = 0;
  for (uint32_t a = 0; a < 500; ++a) in_place += b.shuffled()[a] == a;
  EXPECT_LE(in_place, 5u);
  for (size_t i = 1; i < 500; ++i) {
    EXPECT_LT(base::Hash64(log.account_id[b.shuffled()[i - 1]]),
              base::Hash64(log.account_id[b.shuffled()[i]]));
  }
}

// Independent accounts, and `queued` first ones that follow a queue.
TestLog Busy(uint32_t accounts, uint32_t queued, std::mt19937& random) {
  TestLog t;
  const auto draw = [&](double n) {
    return static_cast<int64_t>(std::uniform_real_distribution<double>(0, n)(random));
  };
  for (uint32_t a = queued; a < accounts; ++a) {
    for (int i = 0; i < 40; ++i) t.Add(TestAccount(a), kTestDay + draw(10 * kMsPerDay));
  }
  // The queue works for two hours, forty times.
  std::vector<int64_t> begins(40);
  for (int64_t& b : begins) b = draw(10 * kMsPerDay - 2 * kMsPerHour);
  for (uint32_t i = 0; i < queued * 40; ++i) {
    t.Add(TestAccount(static_cast<uint32_t>(draw(queued))),
          kTestDay + begins[i % 40] + draw(2 * kMsPerHour));
  }
  return t;
}

TEST(Facts, TheRhythmIsMeasuredAgainstRandomGroupsOfTheLog) {
  std::mt19937 random(1);
  const TestLog t = Busy(200, 20, random);
  const Facts queue = OfAccounts(t, 20);
  EXPECT_EQ(queue.rhythm_groups, 24u);
  EXPECT_GT(queue.rhythm_z, 6);
  EXPECT_LE(queue.rhythm_z, queue.rhythm.z);
  const Facts strangers = Measured(t, [](const link::Log& log, uint32_t row) {
    return log.row_account[row] >= 100 && log.row_account[row] < 120;
  });
  EXPECT_LT(std::abs(strangers.rhythm_z), 2.5);
  // The plain measure is that of the rows.
  const link::Log log = t.Build();
  std::vector<link::Event> events;
  for (uint32_t row = 0; row < log.first_row[20]; ++row) {
    if (const auto e = EventOf(log, row)) events.push_back(*e);
  }
  EXPECT_DOUBLE_EQ(queue.rhythm.z, link::MeasureRhythm(events).z);
  EXPECT_DOUBLE_EQ(queue.rhythm.pairs, link::MeasureRhythm(events).pairs);
}

TEST(Facts, WhereEverybodyHasARhythmItIsNoSign) {
  // The whole log works when the queue does.
  std::mt19937 random(2);
  TestLog t = Busy(200, 200, random);
  const Facts f = OfAccounts(t, 20);
  EXPECT_GT(f.rhythm.z, 5);
  EXPECT_LT(f.rhythm_z, 3);
}

TEST(Facts, TooFewOthersToCompareWithLeaveTheGaussian) {
  std::mt19937 random(3);
  const Facts f = OfAccounts(Busy(30, 20, random), 20);
  EXPECT_EQ(f.rhythm_groups, 0u);
  EXPECT_DOUBLE_EQ(f.rhythm_z, f.rhythm.z);
}

TEST(Facts, HandsHaveHabitsOfTheirOwn) {
  std::mt19937 random(4);
  const TestLog t = Busy(60, 0, random);
  const auto all = [](const link::Log&, uint32_t) { return true; };
  const Facts hands = Measured(t, all, [](Candidate& c) {
    for (const uint32_t a : c.accounts) c.part.push_back(a % 2);
  });
  const link::Log log = t.Build();
  std::vector<link::Event> events;
  for (uint32_t row = 0; row < log.rows(); ++row) {
    if (const auto e = EventOf(log, row)) events.push_back(*e);
  }
  EXPECT_DOUBLE_EQ(hands.rhythm.z, link::MeasureRhythm(events, [](uint32_t a) { return a % 2; }).z);
  EXPECT_DOUBLE_EQ(hands.rhythm.pairs, Measured(t, all).rhythm.pairs);
}

}  // namespace
}  // namespace stillwatch::judge
