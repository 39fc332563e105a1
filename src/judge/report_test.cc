#include "judge/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "judge/judge.h"
#include "judge/test_world.h"

namespace stillwatch::judge {
namespace {

using model::Campaign;
using model::Family;
using model::Verdict;

// A log with campaigns of several verdicts, and what was found in it.
struct Found {
  explicit Found(World w, JudgeOptions o = {})
      : world(std::move(w)), options(std::move(o)), log(world.log.Build()) {
    judged = Judge(log, options, base::Parallel(1));
    rows.resize(judged.findings.campaigns.size());
    for (const auto& r : judged.findings.rows) rows[r.campaign].push_back(r.row);
  }
  const std::vector<Campaign>& campaigns() const { return judged.findings.campaigns; }
  World world;
  JudgeOptions options;
  link::Log log;
  Judged judged;
  std::vector<std::vector<uint32_t>> rows;  // attributed, of each campaign
};

World Several() {
  World w(31);
  w.People(150);
  w.Add({.exchanges = 700, .row = [](uint32_t i, link::TestRow& r) {
           if (i % 3 == 0) r.model = "birch";
           if (i % 4 == 0) r.input_tokens = model::kNoTokens;
           if (i % 5 == 0) r.address.clear();
           if (i == 7) r.features->capability = model::Capability::kMathematics;
         }});
  w.Add({.prefix = "shop", .accounts = 12, .exchanges = 400, .scaffold = 4'000, .cards = 1});
  w.Add(
      {.prefix = "pool", .accounts = 9, .exchanges = 300, .shingles = 0, .cards = 2, .purpose = 0});
  w.Add({.prefix = "user",
         .accounts = 40,
         .exchanges = 800,
         .scaffold = 3'000,
         .cards = 0,
         .addresses = 0,
         .queue = false});
  return w;
}

TEST(Report, FiguresAreThoseOfTheAttributedExchanges) {
  const Found f(Several());
  size_t checked = 0;
  std::set<Verdict> verdicts;
  for (size_t i = 0; i < f.campaigns().size(); ++i) {
    const Campaign& c = f.campaigns()[i];
    verdicts.insert(c.verdict);
    if (f.rows[i].empty()) continue;
    ++checked;
    uint64_t input = 0, output = 0;
    double text = 0;
    int64_t first = INT64_MAX, last = 0;
    std::set<uint32_t> accounts;
    std::map<std::string, uint64_t> models, addresses;
    std::map<model::Capability, double> capabilities;
    struct Day {
      uint64_t exchanges = 0;
      std::set<uint32_t> accounts;
      std::map<std::string, uint64_t> models;
    };
    std::map<std::string, Day> days;
    for (const uint32_t row : f.rows[i]) {
      accounts.insert(f.log.row_account[row]);
      if (f.log.input_tokens[row] != link::kNone) input += f.log.input_tokens[row];
      if (f.log.output_tokens[row] != link::kNone) output += f.log.output_tokens[row];
      first = std::min(first, f.log.ts_ms[row]);
      last = std::max(last, f.log.ts_ms[row]);
      const std::string& name = f.log.models[f.log.model[row]];
      Day& day = days[base::FormatRfc3339(f.log.ts_ms[row]).substr(0, 10)];
      ++day.exchanges;
      day.accounts.insert(f.log.row_account[row]);
      if (!name.empty()) ++models[name], ++day.models[name];
      if (f.log.address[row] != 0) ++addresses[f.log.addresses[f.log.address[row]]];
      if (f.log.features[row] == 0) continue;
      ++text;
      ++capabilities[link::LongFeatures(f.log.features[row]).capability];
    }
    EXPECT_EQ(c.exchanges, f.rows[i].size());
    EXPECT_EQ(c.accounts, accounts.size());
    EXPECT_EQ(c.input_tokens, input);
    EXPECT_EQ(c.output_tokens, output);
    EXPECT_EQ(c.first_seen_ms, first);
    EXPECT_EQ(c.last_seen_ms, last);
    EXPECT_EQ(c.models, models);
    EXPECT_EQ(c.addresses, addresses);
    ASSERT_EQ(c.capabilities.size(), capabilities.size());
    for (size_t k = 0; k < c.capabilities.size(); ++k) {
      EXPECT_DOUBLE_EQ(c.capabilities[k].second, capabilities[c.capabilities[k].first] / text);
      if (k > 0) {
        EXPECT_LE(c.capabilities[k].second, c.capabilities[k - 1].second);
      }
    }
    ASSERT_EQ(c.timeline.size(), days.size());
    size_t d = 0;
    for (const auto& [day, expected] : days) {
      EXPECT_EQ(c.timeline[d].day, day);
      EXPECT_EQ(c.timeline[d].exchanges, expected.exchanges);
      EXPECT_EQ(c.timeline[d].accounts, expected.accounts.size());
      EXPECT_EQ(c.timeline[d].models, expected.models);
      ++d;
    }
    // Members and pools.
    ASSERT_EQ(c.members.size(), accounts.size());
    std::map<std::string, uint64_t> pools;
    for (const auto& m : c.members) {
      const size_t a = static_cast<size_t>(
          std::lower_bound(f.log.account_id.begin(), f.log.account_id.end(), m.account_id) -
          f.log.account_id.begin());
      EXPECT_EQ(m.exchanges, f.log.Exchanges(static_cast<uint32_t>(a)));
      EXPECT_EQ(m.attributed_exchanges, static_cast<uint64_t>(std::count_if(
                                            f.rows[i].begin(), f.rows[i].end(), [&](uint32_t row) {
                                              return f.log.row_account[row] == a;
                                            })));
      EXPECT_FALSE(m.why.empty());
      ++pools[m.pool_id];
    }
    EXPECT_TRUE(
        std::is_sorted(c.members.begin(), c.members.end(),
                       [](const auto& x, const auto& y) { return x.account_id < y.account_id; }));
    ASSERT_EQ(c.pools.size(), pools.size());
    for (const auto& p : c.pools) EXPECT_EQ(p.accounts, pools[p.id]);
  }
  EXPECT_GE(checked, 3u);
  EXPECT_TRUE(verdicts.contains(Verdict::kDistillation));
  EXPECT_TRUE(verdicts.contains(Verdict::kCoordinatedOther));
}

TEST(Report, EvidenceCitesTwentyExchangesOfItsOwnAtMost) {
  const Found f(Several());
  size_t cited = 0;
  for (size_t i = 0; i < f.campaigns().size(); ++i) {
    if (f.rows[i].empty()) continue;
    const std::set<uint32_t> mine(f.rows[i].begin(), f.rows[i].end());
    std::map<int64_t, std::set<uint32_t>> hours;
    for (const uint32_t row : mine)
      hours[f.log.ts_ms[row] / base::kMsPerHour].insert(f.log.row_account[row]);
    size_t most = 0;
    for (const auto& [hour, accounts] : hours) most = std::max(most, accounts.size());
    std::vector<uint64_t> smallest;
    for (const uint32_t row : mine) smallest.push_back(f.log.id[row]);
    std::sort(smallest.begin(), smallest.end());
    for (const auto& e : f.campaigns()[i].evidence) {
      EXPECT_LE(e.rows.size(), 20u);
      EXPECT_EQ(std::set<uint32_t>(e.rows.begin(), e.rows.end()).size(), e.rows.size());
      EXPECT_FALSE(e.query.empty());
      cited += e.rows.size();
      for (const uint32_t row : e.rows) {
        EXPECT_TRUE(mine.contains(row));
        if (e.family == Family::kRhythm) {
          EXPECT_EQ(hours[f.log.ts_ms[row] / base::kMsPerHour].size(), most);
        }
      }
      if (e.family == Family::kPurpose || e.family == Family::kManner ||
          e.family == Family::kText) {
        ASSERT_EQ(e.rows.size(), 20u);
        for (size_t k = 0; k < 20; ++k) EXPECT_EQ(f.log.id[e.rows[k]], smallest[k]);
      }
    }
  }
  EXPECT_GT(cited, 200u);
}

TEST(Report, EvidenceOfLinksCitesLinkedAccounts) {
  World w(32);
  w.People(200);
  // The last four of the operator's accounts share no card with the others.
  w.Add({.cards = 4, .account = [](uint32_t i, model::Account& a) {
           if (i >= 16) a.payment_id = "alone " + std::to_string(i);
         }});
  JudgeOptions options;
  options.evidence_ids_max = 5'000;
  const Found f(w, options);
  ASSERT_FALSE(f.campaigns().empty());
  size_t payment = 0;
  for (const auto& e : f.campaigns()[0].evidence) {
    if (e.family != Family::kPayment) continue;
    std::set<std::string> accounts;
    for (const uint32_t row : e.rows) accounts.insert(f.log.account_id[f.log.row_account[row]]);
    EXPECT_EQ(accounts.size(), 16u);
    EXPECT_FALSE(accounts.contains("op-a016"));
    ++payment;
  }
  EXPECT_EQ(payment, 1u);
}

TEST(Report, NoTwoHaveTheSameName) {
  std::vector<Campaign> all(3'000);
  for (size_t i = 0; i < all.size(); ++i) {
    char id[32];
    std::snprintf(id, sizeof id, "cmp_%012zx", i % 7 << 20 | i);
    all[i].id = id;
    all[i].first_seen_ms = static_cast<int64_t>(all.size() - i);
  }
  NameEach(all);
  std::set<std::string> names;
  for (const Campaign& c : all) EXPECT_TRUE(names.insert(c.name).second) << c.name;
  // What began later changes nobody's name.
  std::vector<Campaign> older(all.begin() + 500, all.end());
  NameEach(older);
  for (size_t i = 0; i < older.size(); ++i) EXPECT_EQ(older[i].name, all[500 + i].name);
}

TEST(Report, EveryCampaignSaysHowItsFiguresAreComputed) {
  JudgeOptions options;
  options.permits.emplace_back().id = "p";
  options.permits[0].account_ids = {World::Id({.prefix = "shop"}, 1)};
  const Found f(Several(), options);
  std::set<std::string> ids, names;
  for (const Campaign& c : f.campaigns()) {
    for (const char* what : {"exchanges", "accounts", "tokens", "window", "models", "capabilities",
                             "timeline", "rhythm"}) {
      ASSERT_TRUE(c.queries.contains(what)) << what;
      EXPECT_NE(c.queries.at(what).find("campaign_id = '" + c.id + "'"), std::string::npos);
    }
    EXPECT_TRUE(c.id.starts_with("cmp_"));
    EXPECT_EQ(c.id.size(), 16u);
    EXPECT_TRUE(ids.insert(c.id).second);
    EXPECT_NE(c.name.find('-'), std::string::npos);
    EXPECT_FALSE(c.summary.empty());
    EXPECT_FALSE(c.would_change.empty());
    // Probabilities descend, and the rival is the best of the others.
    EXPECT_TRUE(std::is_sorted(c.all.begin(), c.all.end(), [](const auto& x, const auto& y) {
      return x.probability > y.probability;
    }));
    const Verdict stated = c.verdict == Verdict::kUnresolved ? Verdict::kDistillation : c.verdict;
    double rival = 0;
    for (const auto& v : c.all) {
      if (v.verdict == stated) {
        EXPECT_DOUBLE_EQ(v.probability, c.probability);
      } else {
        rival = std::max(rival, v.probability);
      }
    }
    EXPECT_DOUBLE_EQ(c.rival.probability, rival);
    EXPECT_NE(c.rival.verdict, stated);
  }
}

TEST(Report, AccusedCampaignsComeFirstThenByExchanges) {
  World w(33);
  w.People(150);
  w.Add({.exchanges = 500});
  w.Add({.prefix = "big", .exchanges = 900, .scaffold = 6'000});
  w.Add({.prefix = "shop", .accounts = 20, .exchanges = 1'200, .scaffold = 4'000, .cards = 1});
  JudgeOptions options;
  options.permits.emplace_back().id = "p";
  options.permits[0].account_ids = {World::Id({.prefix = "shop"}, 1)};
  const Found f(w, options);
  ASSERT_GE(f.campaigns().size(), 4u);
  const auto rank = [](Verdict v) {
    return v == Verdict::kDistillation       ? 0
           : v == Verdict::kUnresolved       ? 1
           : v == Verdict::kCoordinatedOther ? 2
                                             : 3;
  };
  for (size_t i = 1; i < f.campaigns().size(); ++i) {
    const Campaign &x = f.campaigns()[i - 1], &y = f.campaigns()[i];
    ASSERT_LE(rank(x.verdict), rank(y.verdict));
    if (rank(x.verdict) == rank(y.verdict)) {
      EXPECT_GE(x.exchanges, y.exchanges);
    }
  }
  EXPECT_EQ(f.campaigns()[0].exchanges, 900u);
  EXPECT_EQ(f.campaigns().back().verdict, Verdict::kPermitted);
  EXPECT_TRUE(f.rows.back().empty());
}

TEST(Report, ACampaignKeepsItsNameWhileItGrows) {
  World w(34);
  w.People(150);
  w.Add({});
  const Found before(w);
  ASSERT_EQ(before.campaigns()[0].verdict, Verdict::kDistillation);
  // Some more of its exchanges, later.
  for (int i = 0; i < 100; ++i) {
    link::TestRow r = w.log.rows[w.log.rows.size() - 1 - static_cast<size_t>(i * 7 % 900)];
    r.ts_ms = link::kTestDay + 15 * base::kMsPerDay + i * base::kMsPerHour / 20;
    r.id = "more" + std::to_string(i);
    r.turn.back() += 1;
    w.log.rows.push_back(r);
  }
  const Found after(w);
  EXPECT_EQ(after.campaigns()[0].exchanges, 1'100u);
  EXPECT_EQ(after.campaigns()[0].id, before.campaigns()[0].id);
  EXPECT_EQ(after.campaigns()[0].name, before.campaigns()[0].name);
}

TEST(Report, TemplatesNameTheirExchangesAndHashes) {
  JudgeOptions options;
  options.specimens = 2;
  World w(35);
  w.People(150);
  w.Add({.shingles = 9});
  const Found f(w, options);
  ASSERT_EQ(f.campaigns().size(), 1u);
  const Campaign& c = f.campaigns()[0];
  ASSERT_EQ(c.templates.size(), 1u);
  EXPECT_EQ(c.templates[0].exchanges, 1'000u);
  std::vector<uint32_t> hashes;
  for (uint32_t h = 1'000; h < 1'009; ++h) hashes.push_back(h);
  EXPECT_EQ(c.templates[0].hashes, hashes);
  std::vector<uint64_t> ids, smallest;
  for (const auto& s : c.templates[0].specimens) ids.push_back(f.log.id[s.row]);
  for (const uint32_t row : f.rows[0]) smallest.push_back(f.log.id[row]);
  std::sort(smallest.begin(), smallest.end());
  smallest.resize(32);  // sixteen times as many as are wanted
  EXPECT_EQ(ids, smallest);
  options.specimens = 0;
  EXPECT_TRUE(Found(w, options).campaigns()[0].templates[0].specimens.empty());
}

TEST(Report, AKnownActorIsNamedAsFarAsItsTraitsAreThere) {
  JudgeOptions options;
  const auto actor = [&](const char* name, char reliability, std::vector<model::KnownTrait> traits,
                         std::vector<std::vector<uint32_t>> templates) {
    options.known.push_back(
        {name, "a report", reliability, std::move(traits), std::move(templates)});
  };
  actor("cards", 'B', {{"payment", "op card 0"}}, {});
  actor("nobody", 'A', {{"payment", "another card"}}, {});
  actor("scaffold", 'B', {{"payment", "op card 1"}}, {{1'000, 1'001, 1'002, 77}});
  actor("half", 'A', {}, {{1'000, 1'001, 77, 78, 79}});  // two of five hashes are not the scaffold
  World w(36);
  w.People(150);
  w.Add({.cards = 5});
  const Found f(w, options);
  const auto& found = f.campaigns()[0].attribution;
  ASSERT_EQ(found.size(), 2u);
  // Four of twenty accounts have the card: twice their share of what a B is worth. With the
  // scaffold, what is missing shrinks to two in five.
  EXPECT_EQ(found[0].actor, "scaffold");
  EXPECT_NEAR(found[0].probability, .75 * (1 - .6 * .4), 1e-9);
  EXPECT_EQ(found[1].actor, "cards");
  EXPECT_NEAR(found[1].probability, .75 * .4, 1e-9);
  // A verdict is never another for it.
  const Found without(w);
  EXPECT_EQ(without.campaigns()[0].verdict, f.campaigns()[0].verdict);
  EXPECT_EQ(without.campaigns()[0].probability, f.campaigns()[0].probability);
}

TEST(Report, AMoveToANewModelIsAPivot) {
  World w(37);
  w.People(150);
  const int64_t launch = link::kTestDay + 7 * base::kMsPerDay;
  w.Add({.row = [&](uint32_t, link::TestRow& r) {
    if (r.ts_ms >= launch) r.model = "cedar";
  }});
  const Found f(w);
  const auto& pivots = f.campaigns()[0].pivots;
  ASSERT_EQ(pivots.size(), 1u);
  EXPECT_GE(pivots[0].ts_ms, launch);
  EXPECT_LT(pivots[0].ts_ms, launch + base::kMsPerDay);
  EXPECT_EQ(pivots[0].statement,
            "100 % of the traffic moved to cedar within 24 hours of its first use in this log");
}

TEST(Report, WhatNobodyWouldAskAboutIsNotReported) {
  Facts f;
  f.entities = 30;
  f.exchanges = 500;
  Weighed w;
  const auto worth = [&](Verdict v, Formed formed) {
    w.verdict = v;
    return WorthReporting(f, w, formed);
  };
  for (const Formed formed : {Formed::kText, Formed::kPurse}) {
    EXPECT_TRUE(worth(Verdict::kDistillation, formed));
    EXPECT_TRUE(worth(Verdict::kPermitted, formed));
  }
  // One shared address alone is a household; two families are not.
  EXPECT_FALSE(worth(Verdict::kCoordinatedOther, Formed::kPurse));
  // Nor is a pool that follows a queue, unless it is openly one customer's or a crowd.
  f.rhythm_z = 4;
  f.rhythm.excess = .04;
  EXPECT_TRUE(worth(Verdict::kCoordinatedOther, Formed::kPurse));
  w.overt = true;
  EXPECT_FALSE(worth(Verdict::kCoordinatedOther, Formed::kPurse));
  w.overt = false;
  w.crowd = true;
  EXPECT_FALSE(worth(Verdict::kCoordinatedOther, Formed::kPurse));
  w.crowd = false;
  f.rhythm.excess = .03;
  EXPECT_FALSE(worth(Verdict::kCoordinatedOther, Formed::kPurse));
  w.families = 2;
  EXPECT_TRUE(worth(Verdict::kCoordinatedOther, Formed::kPurse));
  // Users of one tool are of interest when there are many and what they ask is worth harvesting.
  EXPECT_FALSE(worth(Verdict::kSharedTool, Formed::kText));
  w.purpose_bits = kPurposeBitsMin;
  EXPECT_TRUE(worth(Verdict::kSharedTool, Formed::kText));
  EXPECT_FALSE(worth(Verdict::kSharedTool, Formed::kPurse));
  f.entities = 19;
  EXPECT_FALSE(worth(Verdict::kSharedTool, Formed::kText));
}

}  // namespace
}  // namespace stillwatch::judge
