#include <gtest/gtest.h>
#include <simdjson.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/str.h"
#include "base/time.h"
#include "simulate/grammar.h"
#include "simulate/presets.h"
#include "simulate/scenario.h"
#include "simulate/world.h"

namespace stillwatch::simulate {
namespace {

using base::kMsPerDay;
using base::kMsPerHour;
using base::StrCat;

Scenario Read(std::string_view yaml, double scale = 1) {
  auto s = ReadScenario("test", yaml, FindPreset);
  EXPECT_TRUE(s.ok()) << s.status();
  EXPECT_TRUE(Scale(scale, &*s).ok());
  return *s;
}

struct Made {
  std::unique_ptr<World> world;
  std::string lines, truth, accounts;
};

Made Make(const Scenario& scenario, uint64_t seed, int threads = 1,
          std::vector<std::string_view> prompts = {}) {
  const base::Parallel parallel(threads);
  auto world = World::Make(scenario, seed, std::move(prompts), parallel);
  EXPECT_TRUE(world.ok()) << world.status();
  Made m{std::move(*world), {}, {}, {}};
  for (int day = 0; day < m.world->days(); ++day) {
    const DayPlan plan = m.world->Plan(day, parallel);
    std::vector<Text> lines(plan.blocks()), truth(plan.blocks());
    std::vector<Scratch> scratch(static_cast<size_t>(threads));
    parallel.For(plan.blocks(), 1, [&](size_t begin, size_t end, int worker) {
      for (size_t b = begin; b < end; ++b)
        m.world->Render(plan, b, &scratch[static_cast<size_t>(worker)], &lines[b], &truth[b]);
    });
    for (size_t b = 0; b < plan.blocks(); ++b) {
      m.lines += lines[b].view();
      m.truth += truth[b].view();
    }
  }
  Text accounts;
  for (const uint32_t a : m.world->AccountOrder()) m.world->RenderAccount(a, &accounts);
  m.accounts = accounts.view();
  return m;
}

struct Row {
  std::string id, account, model, campaign, turn, system;
  int64_t ts = 0;
  std::vector<std::string> issued, presented;
};

std::vector<Row> Rows(const Made& m) {
  std::map<std::string, std::string> campaign;
  std::istringstream truth(m.truth);
  for (std::string line; std::getline(truth, line);)
    campaign[line.substr(0, line.find(','))] = line.substr(line.find(',') + 1);
  std::vector<Row> rows;
  simdjson::dom::parser parser;
  std::istringstream lines(m.lines);
  for (std::string line; std::getline(lines, line);) {
    simdjson::dom::element e;
    EXPECT_EQ(parser.parse(line).get(e), simdjson::SUCCESS) << line;
    const auto text = [&](const char* key) { return std::string(e[key].get_string().value()); };
    Row r;
    r.id = text("exchange_id");
    r.account = text("account_id");
    r.model = text("model");
    r.ts = base::ParseRfc3339(text("ts")).value();
    for (simdjson::dom::element message : e["messages"].get_array()) {
      const std::string_view role = message["role"].get_string().value();
      if (role == "user") r.turn = message["content"].get_string().value();
      if (role == "system") r.system = message["content"].get_string().value();
    }
    for (const auto& [key, list] : {std::pair{"reasoning_signatures_issued", &r.issued},
                                    {"reasoning_signatures_presented", &r.presented}}) {
      simdjson::dom::array a;
      if (e[key].get(a) != simdjson::SUCCESS) continue;
      for (simdjson::dom::element s : a) list->emplace_back(s.get_string().value());
    }
    const auto it = campaign.find(r.id);
    if (it != campaign.end()) r.campaign = it->second;
    rows.push_back(std::move(r));
  }
  EXPECT_EQ(campaign.size(),
            static_cast<size_t>(std::count_if(rows.begin(), rows.end(),
                                              [](const Row& r) { return !r.campaign.empty(); })));
  return rows;
}

// --- grammar

std::string Say(const Grammar& g, const char* symbol, uint64_t seed) {
  Rng r(seed);
  Text t;
  g.Expand(g.Find(symbol), 0, &r, &t);
  return std::string(t.view());
}

TEST(Grammar, ExpandsRemembersAndCounts) {
  auto g = Grammar::Compile({{"g",
                              "@a\nx {b:1}-{=1} {#3-5} | x {b:1}-{=1} {#3-5}\n@b\none | two | "
                              "three\n@q\nsay \"{b}\"\\n\\{{ITEM}\\}"}});
  ASSERT_TRUE(g.ok()) << g.status();
  std::set<std::string> seen;
  for (uint64_t i = 0; i < 200; ++i) {
    const std::string s = Say(*g, "a", i);
    EXPECT_EQ(s, Say(*g, "a", i));
    const size_t dash = s.find('-'), space = s.find(' ', 2);
    EXPECT_EQ(s.substr(2, dash - 2), s.substr(dash + 1, space - dash - 1)) << s;
    EXPECT_TRUE(s.back() >= '3' && s.back() <= '5') << s;
    seen.insert(s);
  }
  EXPECT_EQ(seen.size(), 9u);
  const std::string q = Say(*g, "q", 1);  // ready for the inside of a JSON string
  EXPECT_EQ(q.substr(0, 5), "say \\");
  EXPECT_NE(q.find("\\n{\x01}"), std::string::npos) << q;
}

TEST(Grammar, NothingLeavesNoGap) {
  auto g = Grammar::Compile({{"g", "@a\n{b} middle {b} end {b}\n@b\n-"}});
  ASSERT_TRUE(g.ok());
  EXPECT_EQ(Say(*g, "a", 1), "middle end");
}

TEST(Grammar, BadSourceNamesItsLine) {
  const std::pair<const char*, const char*> bad[] = {
      {"@a\nx {b}", "g:2: unknown symbol b"},
      {"@a\nx {b", "g:2: { without }"},
      {"@a\nx }", "g:2: } without {"},
      {"text", "g:1: text before"},
      {"@a\nx\n@a\ny", "g:3: symbol a is there already"},
      {"@a\n{#5-5}", "low is not below"},
      {"@a\n{b}\n@b\n{a}", "contains itself"},
      {"@a\n@b\nx", "g:1: symbol a has no alternative"},
      {"@a\n{a:7}", "only 1 to 4"}};
  for (const auto& [source, message] : bad) {
    const auto g = Grammar::Compile({{"g", source}});
    ASSERT_FALSE(g.ok()) << source;
    EXPECT_NE(std::string(g.status().message()).find(message), std::string::npos) << g.status();
  }
}

// --- scenarios

constexpr std::string_view kSmall = R"(
name: small
start: 2026-05-01T00:00:00Z
days: 4
models:
  - {name: m1, share: 1}
  - {name: m2, share: 1, released: 2026-05-02T06:00:00Z}
innocents: {accounts: 900, exchanges: 9_000}
pools:
  - {name: first, operator: op, accounts: 60, account_age: [1, 5], banned: 2026-05-03T04:00:00Z, failover: second, failover_hours: 3, victims: 4}
  - {name: second, operator: op, accounts: 40, account_age: [1, 5]}
  - {name: quiet, operator: hush, accounts: 60, infrastructure: 0, own_hours: true}
  - {name: relay, operator: shop, relay: true, accounts: 50, customers: .5, relay_customers: 6}
campaigns:
  - {name: thought, operator: op, pools: [first, second], method: forced-reasoning, exchanges: 8_000, pivot_share: .5, samples: 3, probing: {exchanges: 400, days: .5}}
  - {name: marks, operator: op, pools: [second], method: grading, scaffold: system, exchanges: 1_000, from: 2026-05-03T12:00:00Z, until: 2026-05-04T12:00:00Z}
  - {name: guest, operator: guest, pools: [relay], method: forward, exchanges: 3_000, replay: .5}
  - {name: whisper, operator: hush, pools: [quiet], method: verbatim, exchanges: 2_000, own_manner: true, jitter: .3}
)";

TEST(Scenario, EveryPresetSurvivesBeingWrittenAndReadAgain) {
  EXPECT_GE(Presets().size(), 3u);
  for (const auto& [name, title] : Presets()) {
    EXPECT_FALSE(title.empty()) << name;
    auto s = ReadScenario(name, FindPreset(name), FindPreset);
    ASSERT_TRUE(s.ok()) << s.status();
    const std::string once = ScenarioYaml(*s);
    auto again = ReadScenario("again", once, FindPreset);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(ScenarioYaml(*again), once) << name;
  }
}

TEST(Scenario, PresetsHaveThePublishedSizes) {
  struct Published {
    const char* preset;
    double exchanges;
    uint64_t accounts;  // 0: not published
    int days;           // 0: not published
  };
  constexpr Published kPublished[] = {
      {"feb-2026-deepseek", 150e3, 0, 0},     {"feb-2026-moonshot", 3.4e6, 0, 0},
      {"feb-2026-minimax", 13e6, 0, 0},       {"june-2026", 28.8e6, 25'000, 45},
      {"sep-2026-alibaba", 151e6, 8'500, 92}, {"sep-2026-moonshot", 23e6, 5'380, 92},
      {"sep-2026-deepseek", 12.1e6, 0, 14},   {"sep-2026-zhipu", 4.17e6, 0, 0},
      {"sep-2026-xiaomi", 400e3, 1'500, 20},
  };
  uint64_t february = 0;
  for (const Published& p : kPublished) {
    const Scenario s = Read(StrCat("base: ", p.preset, "\n"));
    double exchanges = 0, innocent = 0;
    uint64_t accounts = 0;
    int64_t from = INT64_MAX, until = 0;
    for (const CampaignSpec& c : s.campaigns) {
      exchanges += c.exchanges;
      from = std::min(from, c.from_ms);
      until = std::max(until, c.until_ms);
    }
    for (const PoolSpec& pool : s.pools) accounts += pool.accounts;
    for (const PopulationSpec& k : s.populations)
      innocent += static_cast<double>(k.accounts) * k.per_day * s.days;
    EXPECT_NEAR(exchanges, p.exchanges, 1) << p.preset;
    EXPECT_GE(innocent, exchanges) << p.preset;
    if (p.accounts != 0) {
      EXPECT_EQ(accounts, p.accounts) << p.preset;
    }
    if (p.days != 0) {
      EXPECT_EQ((until - from) / kMsPerDay, p.days) << p.preset;
    }
    if (std::string_view(p.preset).starts_with("feb")) february += accounts;
  }
  EXPECT_EQ(february, 24'000u);
  EXPECT_EQ(Read("base: sep-2026-zhipu\n").pools[0].accounts, 273u);
}

TEST(Scenario, TheMixtureHasEveryKindOfInnocent) {
  for (const char* preset : {"clean", "mixed", "june-2026"}) {
    EXPECT_EQ(Read(StrCat("base: ", preset, "\n")).populations.size(), Kinds().size()) << preset;
  }
}

TEST(Scenario, WhatIsWrongIsNamedWithItsLine) {
  const auto with = [](std::string_view from, std::string_view to) {
    std::string s(kSmall);
    s.replace(s.find(from), from.size(), to);
    return s;
  };
  const std::pair<std::string, const char*> bad[] = {
      {with("days: 4", "dayz: 4"), "test:4: unknown key \"dayz\""},
      {with("days: 4", "days: 4\ndays: 5"), "appears twice"},
      {with("accounts: 60", "accounts: sixty"), "test:10: accounts: expected a number"},
      {with("accounts: 60", "accounts: 5"), "test:10: accounts: 5 is impossible"},
      {with("failover: second", "failover: third"), "there is no pool \"third\""},
      {with("banned: 2026-05-03T04:00:00Z, ", ""),
       "test:10: failover: contradicts a pool that is never banned"},
      {with("banned: 2026-05-03", "banned: 2027-05-03"), "outside of the window"},
      {with("pools: [first, second]", "pools: [fist]"),
       "test:15: pools: there is no pool \"fist\""},
      {with("method: grading", "method: guessing"), "test:16: method: unknown \"guessing\""},
      {with("exchanges: 8_000", "exchanges: 3e9"), "exchanges per account and day is impossible"},
      {with("exchanges: 8_000", "exchanges: 8_000, per_account_day: 3"),
       "either exchanges or per_account_day"},
      {with("exchanges: 8_000", "exchanges: -4"), "-4 is impossible"},
      {with("pivot_share: .5", "pivot_share: 1.5"), "test:15: pivot_share: 1.5 is impossible"},
      {with("released: 2026-05-02T06:00:00Z", "share: 2"), "appears twice"},
      {with("method: forward", "method: forward, scaffold: turn"), "contradicts method forward"},
      {with("customers: .5", "customers: .99"), "test:13: customers: 0.99 is impossible"},
      {with("until: 2026-05-04", "until: 2026-05-02"), "not after from"},
      {with("start: 2026-05-01T00:00:00Z", "start: noon"), "test:3: start: not RFC 3339"},
      {with("accounts: 900", "accounts: 0"), "0 is impossible"},
      {"a: [", "test:"},
      {"base: nobody\n", "no preset \"nobody\""},
  };
  for (const auto& [yaml, message] : bad) {
    const auto s = ReadScenario("test", yaml, FindPreset);
    ASSERT_FALSE(s.ok()) << message;
    EXPECT_NE(std::string(s.status().message()).find(message), std::string::npos)
        << s.status() << "\nwanted " << message;
  }
  Scenario s = Read(kSmall);
  for (const double scale : {0., -1., 1e9, std::nan("")})
    EXPECT_FALSE(Scale(scale, &s).ok()) << scale;
}

TEST(Scenario, ScaleKeepsRatesAndTheLeastPool) {
  const Scenario whole = Read("base: mixed\n"), small = Read("base: mixed\n", .01);
  for (size_t i = 0; i < whole.campaigns.size(); ++i) {
    double before = 0, after = 0;
    for (const PoolSpec& p : whole.pools)
      before += p.name == whole.campaigns[i].pools[0] ? static_cast<double>(p.accounts) : 0;
    for (const PoolSpec& p : small.pools)
      after += p.name == small.campaigns[i].pools[0] ? static_cast<double>(p.accounts) : 0;
    if (whole.campaigns[i].pools.size() == 1) {
      EXPECT_NEAR(small.campaigns[i].exchanges / after / (whole.campaigns[i].exchanges / before), 1,
                  1e-6)
          << whole.campaigns[i].name;
    }
    EXPECT_GE(after, kPoolAccountsMin);
  }
}

TEST(Scenario, KnobsReachEveryPoolAndCampaign) {
  const Scenario s = Read("base: mixed\nknobs: {careful: true, samples: 4, customers: .3}\n");
  for (const PoolSpec& p : s.pools) {
    EXPECT_EQ(p.infrastructure, 0);
    EXPECT_TRUE(p.own_hours && p.relay);
    EXPECT_EQ(p.customers, .3);
  }
  for (const CampaignSpec& c : s.campaigns) EXPECT_TRUE(c.own_manner && c.samples == 4) << c.name;
}

// --- worlds

TEST(World, SameSeedSameBytesAtAnyThreadCount) {
  const Scenario s = Read(kSmall);
  const Made one = Make(s, 5, 1), three = Make(s, 5, 3), other = Make(s, 6, 1);
  EXPECT_EQ(one.lines, three.lines);
  EXPECT_EQ(one.truth, three.truth);
  EXPECT_EQ(one.accounts, three.accounts);
  EXPECT_EQ(one.world->Truth()[0].accounts, three.world->Truth()[0].accounts);
  EXPECT_NE(one.lines, other.lines);
  EXPECT_NE(one.accounts, other.accounts);
}

TEST(World, KeepsToItsScenario) {
  const Scenario s = Read(kSmall);
  const Made m = Make(s, 11);
  const std::vector<Row> rows = Rows(m);
  std::map<std::string, uint64_t> n;
  std::set<std::string> ids;
  std::map<std::string, std::string> role;
  {
    Text id;
    for (uint32_t a = 0; a < m.world->accounts(); ++a) {
      id.clear();
      m.world->PutAccountId(a, &id);
      const Person& p = m.world->people()[a];
      role[std::string(id.view())] =
          StrCat(m.world->RoleName(p.role),
                 p.pool == kNone16 ? std::string() : "/" + s.pools[p.pool].name);
    }
  }
  EXPECT_EQ(role.size(), m.world->accounts());
  const int64_t banned = s.pools[0].banned_ms, back = banned + 3 * kMsPerHour;
  int64_t before = 0, second = INT64_MAX;
  uint64_t customers = 0, innocent = 0;
  std::map<std::string, int> techniques;
  for (const Row& r : rows) {
    ++n[r.campaign];
    EXPECT_TRUE(ids.insert(r.id).second) << r.id;
    EXPECT_GE(r.ts, s.start_ms);
    EXPECT_LT(r.ts, s.end_ms());
    EXPECT_GE(r.ts, before - 10'000) << "far out of order";
    before = std::max(before, r.ts);
    const std::string& who = role[r.account];
    if (r.campaign.empty()) {
      if (who == "relay-pool/relay")
        ++customers;
      else
        ++innocent;
      EXPECT_NE(who, "campaign/first");
    } else if (r.campaign == "whisper") {
      EXPECT_EQ(who, "campaign/quiet");
    } else if (r.campaign == "guest") {
      EXPECT_EQ(who, "relay-pool/relay");
    } else if (who == "campaign/first" || who == "victim/first") {
      EXPECT_EQ(r.campaign, "thought");
      EXPECT_LT(r.ts, banned);
    } else {
      EXPECT_EQ(who, "campaign/second");
      if (r.campaign == "thought") second = std::min(second, r.ts);
    }
    if (r.campaign == "marks") {
      EXPECT_FALSE(r.system.empty());
      EXPECT_TRUE(r.ts >= s.campaigns[1].from_ms && r.ts < s.campaigns[1].until_ms);
    }
  }
  EXPECT_GE(second, back);
  EXPECT_LT(second, back + 12 * kMsPerHour);
  EXPECT_NEAR(static_cast<double>(n["thought"]), 8000, 8);
  EXPECT_NEAR(static_cast<double>(n["marks"]), 1000, 2);
  EXPECT_NEAR(static_cast<double>(n["whisper"]), 2000, 20);
  EXPECT_NEAR(static_cast<double>(n["guest"]), 3000, 300);  // sessions of a random length
  EXPECT_NEAR(static_cast<double>(customers), 3000, 450);
  EXPECT_NEAR(static_cast<double>(innocent), 9000, 1500);
  for (const CampaignTruth& t : m.world->Truth()) EXPECT_EQ(t.exchanges, n[t.name]) << t.name;
  EXPECT_NEAR(m.world->Expected() / static_cast<double>(rows.size()), 1, .12);
}

TEST(World, PivotsProbesAndSamples) {
  const Scenario s = Read(kSmall);
  const std::vector<Row> rows = Rows(Make(s, 3));
  const int64_t released = s.models[1].released_ms;
  uint64_t after = 0, moved = 0;
  std::map<std::string, int> probes, items;
  for (const Row& r : rows) {
    if (r.ts < released) {
      EXPECT_EQ(r.model, "m1");
    }
    if (r.campaign != "thought") continue;
    if (r.ts >= released + kMsPerDay) {
      ++after;
      moved += r.model == "m2";
    }
    if (r.ts < s.start_ms + kMsPerDay / 2)
      ++probes[r.turn];
    else
      ++items[r.turn];
  }
  EXPECT_NEAR(static_cast<double>(moved) / static_cast<double>(after), .5, .05);
  EXPECT_GT(probes.size(), 380u);  // each another technique
  uint64_t thrice = 0, all = 0;
  for (const auto& [turn, n] : items) {
    all += static_cast<uint64_t>(n);
    thrice += n == 3 ? 3u : 0;
  }
  EXPECT_GT(static_cast<double>(thrice), .8 * static_cast<double>(all));
}

TEST(World, SignaturesOfOthersArePresentedByReplayersAlone) {
  std::map<std::string, std::string> issuer;
  uint64_t own = 0, foreign = 0, harvest = 0, unknown = 0;
  const std::vector<Row> rows = Rows(Make(Read(kSmall), 9));
  for (const Row& r : rows) {
    for (const std::string& s : r.issued) issuer[s] = r.account;
  }
  for (const Row& r : rows) {
    harvest += r.campaign == "guest";
    for (const std::string& s : r.presented) {
      if (!issuer.contains(s))
        ++unknown;
      else if (issuer[s] == r.account)
        ++own;
      else {
        EXPECT_EQ(r.campaign, "guest");
        ++foreign;
      }
    }
  }
  EXPECT_EQ(unknown, 0u);
  EXPECT_GT(own, 100u);
  EXPECT_GT(foreign, harvest / 6);
}

TEST(World, PromptsOfTheUsersAreThePayloads) {
  const std::vector<Row> rows =
      Rows(Make(Read(kSmall), 9, 1, {"alpha \\\"one\\\" payload", "beta two payload"}));
  uint64_t with = 0;
  for (const Row& r : rows)
    with += r.turn.find("alpha \"one\" payload") != std::string::npos ||
            r.turn.find("beta two payload") != std::string::npos;
  EXPECT_GT(with, rows.size() / 2);
}

TEST(World, AccountsAreOpenedBeforeTheyAreUsed) {
  const Made m = Make(Read(kSmall), 2);
  std::map<std::string, int64_t> created;
  simdjson::dom::parser parser;
  std::istringstream lines(m.accounts);
  std::string previous;
  for (std::string line; std::getline(lines, line);) {
    simdjson::dom::element e;
    ASSERT_EQ(parser.parse(line).get(e), simdjson::SUCCESS) << line;
    const std::string id(e["account_id"].get_string().value());
    EXPECT_LT(previous, id);
    previous = id;
    created[id] = base::ParseRfc3339(e["created_at"].get_string().value()).value();
  }
  EXPECT_EQ(created.size(), m.world->accounts());
  for (const Row& r : Rows(m)) EXPECT_LE(created.at(r.account), r.ts) << r.account;
}

// UPDATE_GOLDEN=1 writes it anew; a change must be meant, for seeds name worlds in reports.
TEST(World, GoldenFile) {
  const Scenario s = Read(R"(
name: tiny
start: 2026-05-01T00:00:00Z
days: 1
innocents: {accounts: 24, exchanges: 24}
pools:
  - {name: p, operator: op, accounts: 24}
campaigns:
  - {name: c, operator: op, pools: [p], method: grading, exchanges: 8}
)");
  const Made m = Make(s, 1);
  const std::string now = m.lines + m.truth + m.accounts;
  const std::string path = std::string(STILLWATCH_SOURCE_DIR) + "/tests/golden/simulate/tiny.txt";
  if (std::getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(path, std::ios::binary) << now;
  std::ifstream in(path, std::ios::binary);
  const std::string golden((std::istreambuf_iterator<char>(in)), {});
  EXPECT_TRUE(golden == now)
      << "the world of seed 1 changed; if that is meant, UPDATE_GOLDEN=1 and say so in the commit";
}

}  // namespace
}  // namespace stillwatch::simulate
