#include "judge/judge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "judge/test_world.h"
#include "judge/weigh.h"

namespace stillwatch::judge {
namespace {

using model::Campaign;
using model::Verdict;

Judged JudgeWorld(const World& w, const JudgeOptions& options = {}, int threads = 1) {
  link::Log log = w.log.Build();
  return Judge(log, options, base::Parallel(threads));
}

std::vector<const Campaign*> With(const Judged& j, Verdict v) {
  std::vector<const Campaign*> out;
  for (const Campaign& c : j.findings.campaigns) {
    if (c.verdict == v) out.push_back(&c);
  }
  return out;
}

// Accounts by their own verdict, of all campaigns.
std::set<std::string> Members(const Judged& j, const std::string& verdict) {
  std::set<std::string> out;
  for (const Campaign& c : j.findings.campaigns) {
    for (const auto& m : c.members) {
      if (m.verdict == verdict) out.insert(m.account_id);
    }
  }
  return out;
}

// Ids of the exchanges attributed to campaigns of a verdict.
std::set<std::string> Attributed(const World& w, const Judged& j, Verdict v) {
  const link::Log log = w.log.Build();
  std::map<uint64_t, std::string> id;
  for (const auto& r : w.log.rows) id[base::Hash64(r.id)] = r.id;
  std::set<std::string> out;
  for (const auto& r : j.findings.rows) {
    if (j.findings.campaigns[r.campaign].verdict == v) out.insert(id[log.id[r.row]]);
  }
  return out;
}

std::set<std::string> Ids(const World& w, const std::string& prefix) {
  std::set<std::string> out;
  for (const auto& r : w.log.rows) {
    if (r.id.starts_with(prefix)) out.insert(r.id);
  }
  return out;
}

// All that a judgement says.
std::string Written(const Judged& j) {
  std::ostringstream out;
  out.precision(17);
  for (const Campaign& c : j.findings.campaigns) {
    out << c.id << c.name << int(c.verdict) << ' ' << c.probability << ' ' << c.would_change
        << c.summary << c.accounts << ' ' << c.exchanges << ' ' << c.input_tokens << ' '
        << c.output_tokens << ' ' << c.first_seen_ms << ' ' << c.last_seen_ms << '\n';
    for (const auto& v : c.all) out << int(v.verdict) << ' ' << v.probability << '\n';
    for (const auto& [name, n] : c.models) out << name << ' ' << n << '\n';
    for (const auto& [name, n] : c.addresses) out << name << ' ' << n << '\n';
    for (const auto& [what, sql] : c.queries) out << what << ' ' << sql << '\n';
    for (const auto& [what, share] : c.capabilities) out << int(what) << ' ' << share << '\n';
    for (const auto& p : c.pools) out << p.id << ' ' << p.accounts << '\n';
    for (const auto& t : c.templates) {
      out << t.id << ' ' << t.exchanges;
      for (const uint32_t h : t.hashes) out << ' ' << h;
      out << '\n';
    }
    for (const auto& e : c.evidence) {
      out << int(e.family) << ' ' << e.bits << e.statement << e.null << e.query;
      for (const uint32_t row : e.rows) out << ' ' << row;
      out << '\n';
    }
    for (const auto& d : c.timeline)
      out << d.day << ' ' << d.exchanges << ' ' << d.accounts << '\n';
    for (const auto& m : c.members) {
      out << m.account_id << m.pool_id << m.verdict << m.probability << ' ' << m.exchanges << ' '
          << m.attributed_exchanges << m.why << '\n';
    }
  }
  for (const auto& r : j.findings.rows) out << r.row << ' ' << r.campaign << '\n';
  for (const auto& w : j.weighed) {
    out << int(w.formed) << int(w.verdict) << w.reported << ' ' << w.exchanges << ' ' << w.accounts;
    for (const double p : w.probability) out << ' ' << p;
    for (const uint32_t row : w.rows) out << ' ' << row;
    out << '\n';
  }
  out << j.candidates << ' ' << j.skipped << ' ' << j.templates;
  return out.str();
}

TEST(Judge, ASmallOperatorAmongManyPeopleIsFoundAndNobodyElse) {
  for (const uint32_t seed : {1, 2, 3}) {
    World w(seed);
    w.People(200);
    w.Add({.accounts = 16, .exchanges = 600});
    const Judged j = JudgeWorld(w);
    ASSERT_EQ(With(j, Verdict::kDistillation).size(), 1u) << seed;
    const Campaign& c = *With(j, Verdict::kDistillation)[0];
    EXPECT_EQ(Attributed(w, j, Verdict::kDistillation), Ids(w, "op")) << seed;
    EXPECT_EQ(c.exchanges, 600u);
    EXPECT_EQ(c.accounts, 16u);
    EXPECT_EQ(Members(j, "distillation").size(), 16u);
    ASSERT_FALSE(c.capabilities.empty());
    EXPECT_EQ(c.capabilities[0].first, model::Capability::kTraceExtraction);
    EXPECT_GE(c.probability, .95);
    // Nothing is distillation but what is first in the list.
    EXPECT_EQ(j.findings.campaigns[0].verdict, Verdict::kDistillation);
  }
}

TEST(Judge, TwoOperatorsAreTwoCampaigns) {
  World w(4);
  w.People(200);
  w.Add({});
  w.Add({.prefix = "other",
         .scaffold = 5'000,
         .purpose = model::kAsksTrajectory,
         .capability = model::Capability::kAgenticReasoning});
  const Judged j = JudgeWorld(w);
  ASSERT_EQ(With(j, Verdict::kDistillation).size(), 2u);
  EXPECT_EQ(Attributed(w, j, Verdict::kDistillation).size(), 2'000u);
  for (const Campaign* c : With(j, Verdict::kDistillation)) EXPECT_EQ(c->exchanges, 1'000u);
}

TEST(Judge, PeopleAloneAccuseNobody) {
  for (const uint32_t seed : {5, 6}) {
    World w(seed);
    w.People(200);
    const Judged j = JudgeWorld(w);
    EXPECT_TRUE(With(j, Verdict::kDistillation).empty());
    EXPECT_TRUE(Members(j, "distillation").empty());
  }
}

TEST(Judge, UsersOfAPublishedScaffoldAreNotAccused) {
  // The same requests by people who share nothing and follow no queue.
  World w(7);
  w.People(200);
  w.Add({.prefix = "user",
         .accounts = 60,
         .exchanges = 1'500,
         .cards = 0,
         .addresses = 0,
         .queue = false});
  const Judged j = JudgeWorld(w);
  EXPECT_TRUE(Members(j, "distillation").empty());
  EXPECT_TRUE(With(j, Verdict::kDistillation).empty());
}

TEST(Judge, CoordinatedWorkWithoutTheirPurposeIsNoDistillation) {
  World w(8);
  w.People(200);
  // Conversations about all sorts of things, by bots of a company that does not say who it is.
  w.Add({.prefix = "shop",
         .purpose = 0,
         .capability = model::Capability::kOther,
         .row = [](uint32_t, link::TestRow& r) { r.features->messages = 5; }});
  const Judged j = JudgeWorld(w);
  EXPECT_TRUE(Members(j, "distillation").empty());
  ASSERT_EQ(With(j, Verdict::kCoordinatedOther).size(), 1u);
  EXPECT_EQ(With(j, Verdict::kCoordinatedOther)[0]->exchanges, 1'000u);
}

TEST(Judge, OneOpenCustomerIsNotAccused) {
  // One verified organisation: its accounts are one customer, and no candidate at all.
  World verified(9);
  verified.People(200);
  verified.Add(
      {.account = [](uint32_t, model::Account& a) { a.org_id = "org", a.org_verified = true; }});
  const Judged j = JudgeWorld(verified);
  EXPECT_TRUE(j.findings.campaigns.empty());
  // One card for all.
  World card(10);
  card.People(200);
  card.Add({.cards = 1});
  const Judged paid = JudgeWorld(card);
  EXPECT_TRUE(Members(paid, "distillation").empty());
  EXPECT_EQ(With(paid, Verdict::kCoordinatedOther).size(), 1u);
  // A mail domain of its own, and a business.
  World domain(11);
  domain.People(200);
  domain.Add({.account = [](uint32_t, model::Account& a) {
    a.email_domain = "own.example", a.kyc = "business";
  }});
  EXPECT_TRUE(Members(JudgeWorld(domain), "distillation").empty());
}

TEST(Judge, PoolsOfOneCardEachAreNotSoManyCustomersWhenTheyFollowOneQueue) {
  // Five or ten accounts a card, and no other link: each pool is openly one customer.
  for (const uint32_t cards : {5, 10}) {
    World w(22);
    w.People(200);
    w.Add({.accounts = 50, .exchanges = 2'000, .cards = cards});
    const Judged j = JudgeWorld(w);
    EXPECT_EQ(Members(j, "distillation").size(), 50u) << cards;
    EXPECT_EQ(With(j, Verdict::kDistillation).size(), 1u) << cards;
  }
  // Ten firms with five accounts each that use one scaffold, each by a queue of its own.
  World firms(23);
  firms.People(200);
  for (uint32_t i = 0; i < 10; ++i) {
    firms.Add({.prefix = "firm" + std::to_string(i),
               .accounts = 5,
               .exchanges = 200,
               .cards = 1,
               .addresses = 1});
  }
  EXPECT_TRUE(Members(JudgeWorld(firms), "distillation").empty());
}

TEST(Judge, WhatAPermitCoversIsPermitted) {
  World w(12);
  w.People(200);
  w.Add({.account = [](uint32_t, model::Account& a) { a.org_id = "lab"; }});
  JudgeOptions options;
  options.permits.emplace_back().id = "permit-1";
  options.permits[0].org_id = "lab";
  const Judged j = JudgeWorld(w, options);
  EXPECT_TRUE(Members(j, "distillation").empty());
  ASSERT_EQ(With(j, Verdict::kPermitted).size(), 1u);
  EXPECT_EQ(With(j, Verdict::kPermitted)[0]->exchanges, 1'000u);
  EXPECT_EQ(Members(j, "permitted").size(), 20u);
  EXPECT_TRUE(j.findings.rows.empty());  // nothing is attributed
  // Named by account, for a time and a model; somebody else's permit does not help.
  options.permits[0].org_id = "another";
  EXPECT_EQ(With(JudgeWorld(w, options), Verdict::kDistillation).size(), 1u);
  for (uint32_t i = 0; i < 20; ++i) options.permits[0].account_ids.push_back(World::Id({}, i));
  EXPECT_TRUE(With(JudgeWorld(w, options), Verdict::kDistillation).empty());
  options.permits[0].models = {"birch"};
  EXPECT_EQ(With(JudgeWorld(w, options), Verdict::kDistillation).size(), 1u);
  options.permits[0].models = {"atlas", "birch"};
  EXPECT_TRUE(With(JudgeWorld(w, options), Verdict::kDistillation).empty());
  options.permits[0].valid_until_ms = link::kTestDay - 1;
  EXPECT_EQ(With(JudgeWorld(w, options), Verdict::kDistillation).size(), 1u);
}

TEST(Judge, BeyondItsPermitACustomerIsJudgedLikeAllOthers) {
  World w(13);
  w.People(200);
  w.Add({.exchanges = 2'000, .account = [](uint32_t, model::Account& a) { a.org_id = "lab"; }});
  JudgeOptions options;
  options.permits.emplace_back().id = "permit-1";
  options.permits[0].org_id = "lab";
  options.permits[0].exchanges_max = 900;
  const Judged j = JudgeWorld(w, options);
  ASSERT_EQ(With(j, Verdict::kPermitted).size(), 1u);
  const Campaign& permitted = *With(j, Verdict::kPermitted)[0];
  EXPECT_EQ(permitted.exchanges, 900u);
  EXPECT_NE(permitted.summary.find("1,100 more went beyond it"), std::string::npos)
      << permitted.summary;
  ASSERT_EQ(With(j, Verdict::kDistillation).size(), 1u);
  EXPECT_EQ(With(j, Verdict::kDistillation)[0]->exchanges, 1'100u);
  // The first 900 in time are covered.
  EXPECT_LE(permitted.last_seen_ms, With(j, Verdict::kDistillation)[0]->first_seen_ms);
}

// Four of the crew's keys are people's, with a card of their own, who send `own` exchanges each
// from home, and `more`. Their ids.
std::set<std::string> Steal(World* w, const Crew& crew, int own,
                            const std::function<void(const std::string&)>& more = {}) {
  std::set<std::string> out;
  for (uint32_t i = 0; i < 4; ++i) {
    const std::string id = World::Id(crew, i);
    w->log.Describe(id).payment_id = "card of " + id;
    for (int k = 0; k < own; ++k) w->Own(id);
    if (more) more(id);
    out.insert(id);
  }
  return out;
}

TEST(Judge, TheOwnerOfAStolenKeyIsAVictim) {
  World w(14);
  w.People(200);
  Crew crew;
  w.Add(crew);
  const std::set<std::string> victims = Steal(&w, crew, 25);
  const Judged j = JudgeWorld(w);
  ASSERT_EQ(With(j, Verdict::kDistillation).size(), 1u);
  EXPECT_EQ(Members(j, "victim"), victims);
  EXPECT_EQ(Members(j, "distillation").size(), 16u);
  // What the keys did is the campaign's, what their owners did is not.
  EXPECT_EQ(Attributed(w, j, Verdict::kDistillation), Ids(w, "op"));
}

TEST(Judge, APoolsOtherWorkIsNotTheLifeOfAStolenKeysOwner) {
  World w(14);
  w.People(200);
  Crew crew;
  w.Add(crew);
  Crew other{.scaffold = 2'000, .purpose = 0, .capability = model::Capability::kOther};
  other.row = [&](uint32_t, link::TestRow& r) {
    r.id = "other " + r.id;
    r.address = "another " + std::to_string(w.Draw(400));
    r.features->messages = 5;
  };
  w.Add(other);
  const std::set<std::string> stolen = Steal(&w, crew, 12, [&](const std::string& id) {
    // Some of it from where the thief is as well.
    for (int k = 0; k < 2; ++k) w.Own(id).address = "op address 0";
  });
  const Judged j = JudgeWorld(w);
  ASSERT_EQ(With(j, Verdict::kDistillation).size(), 1u);
  EXPECT_EQ(Attributed(w, j, Verdict::kDistillation), Ids(w, "op"));
  const std::set<std::string> accused = Members(j, "distillation");
  EXPECT_EQ(accused.size(), 16u);
  for (const std::string& id : stolen) EXPECT_FALSE(accused.contains(id));
}

TEST(Judge, APopularReferrerMakesNobodyAPoolsOwn) {
  World w(14);
  w.People(400);
  for (uint32_t i = 0; i < 24; ++i)
    w.log.Describe("p" + link::TestAccount(i)).referrer = "newsletter";
  Crew crew;
  w.Add(crew);
  // Four stolen keys, whose owners send nothing. One of the operator's came by the newsletter too.
  const std::set<std::string> stolen = Steal(&w, crew, 0);
  for (uint32_t i = 0; i < 5; ++i) w.log.Describe(World::Id(crew, i)).referrer = "newsletter";
  const Judged j = JudgeWorld(w);
  ASSERT_EQ(With(j, Verdict::kDistillation).size(), 1u);
  const std::set<std::string> accused = Members(j, "distillation");
  EXPECT_EQ(accused.size(), 16u);
  for (const std::string& id : stolen) EXPECT_FALSE(accused.contains(id));
  EXPECT_EQ(Attributed(w, j, Verdict::kDistillation), Ids(w, "op"));
}

// Most of the operator's accounts share nothing. Who works from where those do that share cards,
// and pays with a card of its own, is not told from a stolen key that its owner does not use.
TEST(Judge, OnTheAddressesOfAPoolWithoutItsCardsNobodyIsAccusedThoughMostAreElsewhere) {
  World w(14);
  w.People(400);
  const auto pooled = [](uint32_t i) { return i < 18; };
  const auto stolen = [](uint32_t i) { return i >= 15 && i < 18; };
  Crew crew{.accounts = 50, .exchanges = 5'000};
  crew.account = [&](uint32_t i, model::Account& a) {
    if (!pooled(i) || stolen(i)) a.payment_id = "card of " + a.account_id;
  };
  crew.row = [&](uint32_t i, link::TestRow& r) {
    if (!pooled(i)) r.address = "home of " + r.account;
  };
  w.Add(crew);
  const Judged j = JudgeWorld(w);
  ASSERT_EQ(With(j, Verdict::kDistillation).size(), 1u);
  EXPECT_EQ(Attributed(w, j, Verdict::kDistillation), Ids(w, "op"));
  const std::set<std::string> accused = Members(j, "distillation");
  for (uint32_t i = 0; i < 50; ++i)
    EXPECT_EQ(accused.contains(World::Id(crew, i)), !stolen(i)) << i;
}

// Everybody comes through one of many small carriers, the operator's accounts as well. Who does
// some of the work among much of his own, and has nothing but carriers in common with them, is not
// accused.
TEST(Judge, AddressesThatAreSharedByChanceAccuseNobody) {
  World w(14);
  const auto carrier = [](uint32_t i) { return "carrier " + std::to_string(i % 80); };
  w.People(900);
  for (size_t k = 0; k < w.log.rows.size(); ++k)
    w.log.rows[k].address = carrier(static_cast<uint32_t>(k / 20));
  constexpr uint32_t kStranger = 39;
  Crew crew{.accounts = 40, .exchanges = 4'000, .cards = 0};
  const auto of = [&](uint32_t i) { return carrier((i == kStranger ? w.Draw(3) : i) * 37); };
  crew.row = [&](uint32_t i, link::TestRow& r) { r.address = of(i); };
  w.Add(crew);
  for (int k = 0; k < 150; ++k) w.Own(World::Id(crew, kStranger)).address = of(kStranger);
  const Judged j = JudgeWorld(w);
  ASSERT_EQ(With(j, Verdict::kDistillation).size(), 1u);
  const std::set<std::string> accused = Members(j, "distillation");
  for (uint32_t i = 0; i < 40; ++i)
    EXPECT_EQ(accused.contains(World::Id(crew, i)), i != kStranger) << i;
}

TEST(Judge, OtherWorkFromThePoolsAddressesIsNotTheLifeOfAStolenKeysOwner) {
  World w(14);
  w.People(200);
  Crew crew;
  w.Add(crew);
  // The thief does something else with the keys besides, in no words that would tell what.
  const std::set<std::string> victims = Steal(&w, crew, 25, [&](const std::string& id) {
    for (int k = 0; k < 60; ++k) w.Own(id).address = "op address " + std::to_string(w.Draw(6));
  });
  const Judged j = JudgeWorld(w);
  ASSERT_EQ(With(j, Verdict::kDistillation).size(), 1u);
  EXPECT_EQ(Members(j, "victim"), victims);
  EXPECT_EQ(Members(j, "distillation").size(), 16u);
}

TEST(Judge, ARelaysCustomersAreNotAccused) {
  World w(15);
  w.People(200);
  Crew crew;
  w.Add(crew);
  // Eight customers of a relay through which a part of the queue goes; the rest is their own, from
  // the same places.
  Crew relay{.prefix = "relay", .accounts = 8, .exchanges = 200, .cards = 0, .addresses = 0};
  w.Add(relay);
  for (uint32_t i = 0; i < 8; ++i) {
    for (int k = 0; k < 40; ++k) w.Own(World::Id(relay, i));
  }
  const Judged j = JudgeWorld(w);
  const std::set<std::string> accused = Members(j, "distillation");
  EXPECT_EQ(accused.size(), 20u);
  for (const std::string& id : accused) EXPECT_TRUE(id.starts_with("op-")) << id;
}

// One shingle makes no template. A relay's accounts do their customers' work as well.
TEST(Judge, AJobInFewWordsIsFoundInTheWorkOfAHarvestsAccounts) {
  for (const bool said : {true, false}) {
    World w(18);
    w.People(300);
    w.Add({});
    Crew guest{.exchanges = 900, .scaffold = 5'000, .shingles = said ? 1u : 0u};
    guest.row = [](uint32_t, link::TestRow& r) { r.id = "guest " + r.id; };
    w.Add(guest);
    Crew customers{.exchanges = 1'500, .shingles = 0, .purpose = 0};
    customers.row = [&](uint32_t, link::TestRow& r) {
      r.id = "customer " + r.id;
      r.features->messages = static_cast<uint8_t>(1 + w.Draw(6));
      r.features->capability = static_cast<model::Capability>(w.Draw(model::kCapabilities));
    };
    w.Add(customers);
    std::set<std::string> harvest = Ids(w, "op");
    if (said) harvest.merge(Ids(w, "guest"));
    const Judged j = JudgeWorld(w);
    EXPECT_EQ(Attributed(w, j, Verdict::kDistillation), harvest) << said;
  }
}

// A phrase draws nobody in who shares nothing else. Other accused work is something else.
TEST(Judge, AnAccusedPhraseIsThatOfAllWhoDoOtherAccusedWorkTogether) {
  World w(19);
  w.People(300);
  const auto loose = [](uint32_t i) { return i >= 24; };
  Crew crew{.accounts = 30, .exchanges = 2'500};
  crew.account = [&](uint32_t i, model::Account& a) {
    if (loose(i)) a.payment_id = "card of " + a.account_id;
  };
  crew.row = [&](uint32_t i, link::TestRow& r) {
    if (loose(i)) r.address = "home of " + r.account;
  };
  w.Add(crew);
  Crew guest = crew;
  guest.scaffold = 5'000;
  guest.shingles = 2;
  guest.capability = model::Capability::kMathematics;
  guest.row = [&](uint32_t i, link::TestRow& r) {
    crew.row(i, r);
    r.id = "guest " + r.id;
  };
  w.Add(guest);
  // A relay's accounts do their customers' work as well, so that what is left of the phrase is few.
  Crew customers = crew;
  customers.shingles = customers.purpose = 0;
  customers.row = [&](uint32_t i, link::TestRow& r) {
    crew.row(i, r);
    r.id = "customer " + r.id;
    r.features->messages = static_cast<uint8_t>(1 + w.Draw(6));
    r.features->capability = static_cast<model::Capability>(w.Draw(model::kCapabilities));
  };
  w.Add(customers);
  // People say it as well.
  Crew people{.prefix = "people",
              .exchanges = 300,
              .scaffold = 5'000,
              .shingles = 2,
              .cards = 0,
              .addresses = 0,
              .queue = false};
  w.Add(people);
  std::set<std::string> harvest = Ids(w, "op");
  harvest.merge(Ids(w, "guest"));
  EXPECT_EQ(Attributed(w, JudgeWorld(w), Verdict::kDistillation), harvest);
}

TEST(Judge, NothingComesOfNothing) {
  World w(16);
  Judged j = JudgeWorld(w);
  EXPECT_TRUE(j.findings.campaigns.empty());
  EXPECT_EQ(j.candidates, 0u);
  w.Own("a");
  EXPECT_TRUE(JudgeWorld(w, {}, 4).findings.campaigns.empty());
  // All rows of one account, with a scaffold and a purpose: a customer.
  World one(17);
  one.Add({.accounts = 1});
  EXPECT_TRUE(JudgeWorld(one).findings.campaigns.empty());
  // Accounts that nobody used.
  World idle(18);
  for (uint32_t i = 0; i < 30; ++i) idle.log.Describe(link::TestAccount(i)).payment_id = "card";
  EXPECT_TRUE(JudgeWorld(idle).findings.campaigns.empty());
}

TEST(Judge, WithoutTextNothingIsCalledDistillation) {
  World w(19);
  w.People(200);
  w.Add({.row = [](uint32_t, link::TestRow& r) { r.features.reset(), r.turn.clear(); }});
  EXPECT_TRUE(With(JudgeWorld(w), Verdict::kDistillation).empty());
}

TEST(Judge, FewEntitiesOrExchangesAreNoCandidate) {
  World w(20);
  w.People(100);
  w.Add({.accounts = 4, .exchanges = 400});
  w.Add({.prefix = "few",
         .accounts = 10,
         .exchanges = 39,
         .scaffold = 9'000,
         .cards = 0,
         .addresses = 0});
  const Judged j = JudgeWorld(w);
  EXPECT_TRUE(j.findings.campaigns.empty());
}

World Mixed() {
  World w(21);
  w.People(150);
  w.Add({.exchanges = 700});
  w.Add({.prefix = "user",
         .accounts = 40,
         .exchanges = 800,
         .scaffold = 3'000,
         .cards = 0,
         .addresses = 0,
         .queue = false});
  w.Add({.prefix = "shop",
         .accounts = 12,
         .exchanges = 400,
         .scaffold = 4'000,
         .cards = 1,
         .purpose = 0});
  w.Add({.prefix = "quiet", .accounts = 9, .exchanges = 200, .shingles = 0, .cards = 2});
  return w;
}

TEST(Judge, TheOrderOfRowsAndTheNumberOfThreadsDoNotMatter) {
  World w = Mixed();
  JudgeOptions options;
  options.permits.emplace_back().id = "p";
  options.permits[0].account_ids = {World::Id({.prefix = "shop"}, 3)};
  options.specimens = 2;
  const std::string expected = Written(JudgeWorld(w, options));
  EXPECT_NE(expected.find("cmp_"), std::string::npos);
  for (const int threads : {1, 3, 8}) {
    std::shuffle(w.log.rows.begin(), w.log.rows.end(), w.random);
    EXPECT_EQ(Written(JudgeWorld(w, options, threads)) == expected, true) << threads;
  }
}

TEST(Judge, WhereTheLogComesFromDoesNotMatterOnlyWhatItSays) {
  // All times a year later, all text in the system prompt: the same accounts are accused.
  World w = Mixed();
  const std::set<std::string> accused = Members(JudgeWorld(w), "distillation");
  EXPECT_EQ(accused.size(), 20u);
  World later = Mixed();
  for (auto& r : later.log.rows) r.ts_ms += 364 * base::kMsPerDay;
  for (auto& [id, a] : later.log.described) *a.created_at_ms += 364 * base::kMsPerDay;
  EXPECT_EQ(Members(JudgeWorld(later), "distillation"), accused);
  World system = Mixed();
  for (auto& r : system.log.rows) {
    // Shingles of the scaffold, not of the payload.
    const auto payload =
        std::partition_point(r.turn.begin(), r.turn.end(), [](uint32_t h) { return h < 1 << 24; });
    r.system.assign(r.turn.begin(), payload);
    r.turn.erase(r.turn.begin(), payload);
  }
  EXPECT_EQ(Members(JudgeWorld(system), "distillation"), accused);
}

TEST(Judge, EveryCandidateIsListedWithASampleOfItsRows) {
  const World w = Mixed();
  const Judged j = JudgeWorld(w);
  EXPECT_EQ(j.weighed.size(), j.candidates);
  EXPECT_GT(j.candidates, 2u);
  size_t reported = 0;
  for (const WeighedCandidate& c : j.weighed) {
    reported += c.reported;
    EXPECT_EQ(c.rows.size(), std::min<size_t>(kCandidateSample, c.exchanges));
    EXPECT_EQ(std::set<uint32_t>(c.rows.begin(), c.rows.end()).size(), c.rows.size());
    EXPECT_TRUE(c.sample.empty());  // named by the engine
    EXPECT_EQ(c.campaign.empty(), !c.reported);
    if (!c.reported) continue;
    const auto campaign = std::find_if(j.findings.campaigns.begin(), j.findings.campaigns.end(),
                                       [&](const auto& x) { return x.id == c.campaign; });
    ASSERT_NE(campaign, j.findings.campaigns.end());
    EXPECT_EQ(campaign->exchanges, c.exchanges);
    EXPECT_EQ(campaign->accounts, c.accounts);
    EXPECT_EQ(campaign->verdict, c.verdict);
    // What is accused has paid for it out of the error budget.
    if (c.verdict == model::Verdict::kDistillation) {
      EXPECT_GE(c.independent_bits, std::log2(1 / kErrorRate));
    }
  }
  EXPECT_EQ(reported, j.findings.campaigns.size());
}

TEST(Judge, TheBoundOnCandidatesKeepsTheLargest) {
  const World w = Mixed();
  JudgeOptions options;
  options.candidates_max = 1;
  const Judged j = JudgeWorld(w, options);
  EXPECT_GT(j.skipped, 0u);
  EXPECT_EQ(std::count_if(j.weighed.begin(), j.weighed.end(),
                          [](const auto& c) { return c.formed == Formed::kText; }),
            1);
  EXPECT_EQ(j.weighed[0].exchanges, 800u);
}

}  // namespace
}  // namespace stillwatch::judge
