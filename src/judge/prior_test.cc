#include "judge/prior.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <set>

#include "judge/judge.h"
#include "judge/test_facts.h"
#include "judge/test_world.h"
#include "judge/weigh.h"

namespace stillwatch::judge {
namespace {

using Kind = SharedIndicator::Kind;
using model::Verdict;

SharedIndicator Scaffold(const char* id, std::vector<uint32_t> hashes, char reliability = 'A',
                         int credibility = 1) {
  SharedIndicator i;
  i.id = id, i.campaign = "campaign--1", i.origin = "northwind", i.type = "template-sketch";
  i.reliability = reliability, i.credibility = credibility;
  i.hashes = std::move(hashes);
  return i;
}

SharedIndicator Value(Kind kind, const char* value, const char* key = "") {
  SharedIndicator i = Scaffold(value, {});
  i.kind = kind, i.type = "payment", i.value = value, i.key = key;
  return i;
}

std::vector<uint32_t> From(uint32_t first, uint32_t n) {
  std::vector<uint32_t> out(n);
  for (uint32_t i = 0; i < n; ++i) out[i] = first + i;
  return out;
}

Judged JudgeWorld(const World& w, std::vector<SharedIndicator> shared, Blind blind = nullptr) {
  link::Log log = w.log.Build();
  JudgeOptions options;
  options.shared = std::move(shared);
  options.blind = std::move(blind);
  return Judge(log, options, base::Parallel(2));
}

TEST(Prior, RisesToEvenOddsAtMost) {
  EXPECT_EQ(PriorBits(0), 0);
  EXPECT_EQ(PriorBits(.01), 0);  // says less than is assumed of every scaffold
  EXPECT_EQ(PriorBits(1), kPriorBitsMax);
  EXPECT_EQ(PriorBits(7), kPriorBitsMax);
  double before = 0;
  for (double trust = 0; trust <= 1; trust += .01) {
    EXPECT_GE(PriorBits(trust), before);
    before = PriorBits(trust);
  }
  // From 1 in 65, by the bits that it says.
  EXPECT_NEAR(1 / (1 + std::exp2(6 - PriorBits(.5))), .25, 1e-9);
  for (char r = 'A'; r < 'E'; ++r) {
    for (int c = 1; c <= 6; ++c)
      EXPECT_GT(Trust(r, c), Trust(static_cast<char>(r + 1), c)) << r << c;
    for (int c = 1; c < 5; ++c) EXPECT_GT(Trust(r, c), Trust(r, c + 1)) << r << c;
  }
}

TEST(Prior, MovesTheBudgetAndAddsNothingToIt) {
  std::mt19937 random(7);
  for (int round = 0; round < 2'000; ++round) {
    std::vector<double> bits(1 + random() % 60);
    for (double& b : bits) b = random() % 3 ? 0 : (random() % 601) / 100.;
    const std::vector<double> moved = BudgetBits(bits);
    double sum = 0;
    for (size_t i = 0; i < bits.size(); ++i) {
      EXPECT_GE(std::exp2(moved[i]), kBudgetKept - 1e-9);
      for (size_t j = 0; j < bits.size(); ++j) {
        if (bits[i] > bits[j]) {
          EXPECT_GE(moved[i], moved[j] - 1e-9);
        }
      }
      sum += std::exp2(moved[i]);
    }
    EXPECT_NEAR(sum, static_cast<double>(bits.size()), 1e-6);
  }
  for (const double b : BudgetBits(std::vector<double>(9, 0))) EXPECT_EQ(b, 0);
  EXPECT_TRUE(BudgetBits({}).empty());
}

// Whatever facts there are: with the strongest statement what is accused has passed every gate on
// its own, and the statement is no family, no purpose and in no e-value.
TEST(Prior, OpensNoGate) {
  std::mt19937_64 random(11);
  const auto share = [&] { return std::uniform_real_distribution<double>(0, 1)(random); };
  int accused = 0, tipped = 0;
  for (int round = 0; round < 60'000; ++round) {
    Facts f = RandomFacts(random);
    f.one_payment = random() % 3 ? share() * .5 : share();
    f.payments = static_cast<uint32_t>(random() % 20);
    f.distinct_items = share();
    f.effective_items = share() * 500;
    f.popular_items = random() % 3 ? 0 : share();
    f.capability[random() % model::kCapabilities] = share();
    for (double& s : f.sign) s = random() % 3 ? 0 : share();
    const auto formed = static_cast<Formed>(random() % 5);
    const Weighed own = Weigh(f, formed);
    f.prior.bits = kPriorBitsMax;
    f.prior.statement = "northwind says so";
    if (round % 2) f.prior.heard = {share() * 12};
    const Weighed told = Weigh(f, formed);
    EXPECT_EQ(told.families, own.families);
    EXPECT_EQ(told.purpose_bits, own.purpose_bits);
    EXPECT_EQ(told.independent_bits, own.independent_bits);
    EXPECT_EQ(told.evidence.size(), own.evidence.size() + 1 + f.prior.heard.size());
    EXPECT_GE(told.heard_bits, -1.01);  // what others say costs a bit at most
    EXPECT_EQ(own.heard_bits, 0);
    if (told.verdict != Verdict::kDistillation) continue;
    ++accused;
    tipped += own.verdict != Verdict::kDistillation;
    EXPECT_GE(told.families, kCoordinationFamiliesMin);
    EXPECT_GE(told.purpose_bits, kPurposeBitsMin);
    EXPECT_FALSE(told.overt || told.crowd);
    EXPECT_NE(formed, Formed::kPurse);
    EXPECT_NE(formed, Formed::kManner);
  }
  EXPECT_GT(accused, 100);
  EXPECT_GT(tipped, 10);  // and it does tip some
  // With nothing of its own a group stays far from the line, purpose and all.
  Facts nothing;
  nothing.accounts = nothing.entities = 40;
  nothing.exchanges = 2'000;
  nothing.has_text = true;
  nothing.scaffold = 8;
  nothing.rhythm.power = 1;
  nothing.distinct_items = 1;
  nothing.effective_items = 2'000;
  nothing.sign = {1, 1, 0, 0, 1, 0, 1};
  nothing.prior.bits = kPriorBitsMax;
  nothing.prior.heard = {20, 20};
  const Weighed w = Weigh(nothing, Formed::kText);
  EXPECT_GE(w.purpose_bits, kPurposeBitsMin);
  EXPECT_NE(w.verdict, Verdict::kDistillation);
}

// A peer of the best grade that lies: it names every scaffold of a world of innocents, with
// hundreds of indicators. And values that everybody has.
TEST(Prior, APeerThatLiesAccusesNobody) {
  for (const uint32_t seed : {1u, 2u, 3u}) {
    World w(seed);
    w.People(150);
    for (uint32_t tool = 0; tool < 12; ++tool) {
      // Users of published scaffolds that ask for reasoning word for word.
      w.Add({.prefix = "t" + std::to_string(tool) + "-",
             .accounts = 12 + tool,
             .exchanges = 300,
             .scaffold = 1'000 + 100 * tool,
             .cards = 0,
             .addresses = 0,
             .queue = false});
    }
    std::vector<SharedIndicator> lies;
    for (uint32_t tool = 0; tool < 12; ++tool) {
      for (const char* who : {"liar", "liar's friend", "liar's other name"}) {
        lies.push_back(Scaffold("indicator", From(1'000 + 100 * tool, 8)));
        lies.back().id += std::to_string(lies.size());
        lies.back().campaign = lies.back().id;
        lies.back().origin = who;
      }
    }
    lies.push_back(Value(Kind::kMailDomain, "mail.example"));
    lies.push_back(Value(Kind::kMailDomain, "post.example"));
    const Judged told = JudgeWorld(w, lies), own = JudgeWorld(w, {});
    EXPECT_EQ(told.candidates, own.candidates);
    size_t named = 0;
    for (const model::Campaign& c : told.findings.campaigns) {
      EXPECT_NE(c.verdict, Verdict::kDistillation) << c.summary;
      for (const model::CampaignMember& m : c.members) EXPECT_NE(m.verdict, "distillation");
      named += !c.imports.empty();
    }
    EXPECT_GE(named, 3u) << seed;  // the lies were heard, and more than was reported before
  }
}

TEST(Prior, AMatchIsToldWithItsOrigin) {
  World w(5);
  w.People(150);
  w.Add({});
  auto shared = {Scaffold("indicator--a", From(1'000, 6), 'B', 2),
                 Scaffold("indicator--b", From(5'000, 6))};  // of nobody here
  const Judged judged = JudgeWorld(w, shared);
  ASSERT_FALSE(judged.findings.campaigns.empty());
  const model::Campaign& c = judged.findings.campaigns[0];
  ASSERT_EQ(c.imports.size(), 1u);
  EXPECT_EQ(c.imports[0].id, "indicator--a");
  EXPECT_EQ(c.imports[0].origin, "northwind");
  EXPECT_EQ(c.imports[0].exchanges, c.exchanges);
  EXPECT_EQ(c.imports[0].accounts, c.accounts);
  size_t lines = 0;
  for (const model::Evidence& e : c.evidence) {
    if (e.family != model::Family::kShared) continue;
    ++lines;
    EXPECT_NEAR(e.bits, PriorBits(Trust('B', 2)), .01);
    EXPECT_NE(e.statement.find("northwind says"), std::string::npos) << e.statement;
    EXPECT_NE(e.statement.find("graded B2"), std::string::npos) << e.statement;
  }
  EXPECT_EQ(lines, 1u);
  // It stands by itself, and says so.
  EXPECT_EQ(c.verdict, Verdict::kDistillation);
  EXPECT_FALSE(c.rests_on_imports);
}

TEST(Prior, HalfOfASketchIsItsScaffoldAndLessIsNot) {
  World w(5);
  w.People(150);
  w.Add({});
  const auto heard = [&](std::vector<uint32_t> hashes) {
    const Judged judged = JudgeWorld(w, {Scaffold("indicator--a", std::move(hashes))});
    return !judged.findings.campaigns.at(0).imports.empty();
  };
  const auto with = [](uint32_t own, uint32_t other) {
    std::vector<uint32_t> hashes = From(1'000, own), rest = From(9'000'000, other);
    hashes.insert(hashes.end(), rest.begin(), rest.end());
    return hashes;
  };
  EXPECT_TRUE(heard(with(4, 4)));
  EXPECT_FALSE(heard(with(4, 5)));
  EXPECT_TRUE(heard(with(3, 0)));
  EXPECT_FALSE(heard(with(2, 0)));  // a turn of phrase
}

TEST(Prior, ValuesCountWhereOthersDoNotHaveThem) {
  World w(6);
  w.People(150);
  w.Add({.cards = 4});
  const auto bits = [&](std::vector<SharedIndicator> shared, Blind blind = nullptr) {
    const Judged judged = JudgeWorld(w, std::move(shared), std::move(blind));
    for (const model::Evidence& e : judged.findings.campaigns.at(0).evidence)
      if (e.family == model::Family::kShared) return e.bits;
    return 0.0;
  };
  // A card of a quarter of the accounts is half a statement, two cards of half of them a whole one.
  EXPECT_NEAR(bits({Value(Kind::kPayment, "op card 1")}), PriorBits(.45), .01);
  EXPECT_NEAR(bits({Value(Kind::kPayment, "op card 1"), Value(Kind::kPayment, "op card 2")}),
              PriorBits(.9), .01);
  EXPECT_EQ(bits({Value(Kind::kPayment, "another card")}), 0);
  EXPECT_EQ(bits({Value(Kind::kMailDomain, "mail.example")}), 0);  // everybody's
  EXPECT_EQ(bits({Value(Kind::kAddress, "op card 1")}), 0);        // another kind
  // Blinded: by the same key alone.
  const Blind blind = [](const std::string& key, Kind, std::string_view value) {
    return key == "k1" ? "~" + std::string(value) : std::string();
  };
  EXPECT_NEAR(bits({Value(Kind::kPayment, "~op card 1", "k1")}, blind), PriorBits(.45), .01);
  EXPECT_EQ(bits({Value(Kind::kPayment, "~op card 1", "k2")}, blind), 0);
  EXPECT_EQ(bits({Value(Kind::kPayment, "~op card 1", "k1")}), 0);
}

// What a source says of its campaign's hours, by who was there in each half hour.
SharedIndicator RhythmOf(const std::set<std::pair<std::string, int64_t>>& there) {
  SharedIndicator i = Scaffold("indicator--rhythm", {});
  i.kind = Kind::kRhythm, i.type = "rhythm";
  i.first_half_hour = static_cast<int32_t>(link::kTestDay / link::Event::kMs);
  std::vector<double> seen((World::kDays + 1) * 48, 0);  // a queue works into the night
  for (const auto& [account, half] : there) ++seen.at(static_cast<size_t>(half));
  for (const double n : seen) {
    const double mean = static_cast<double>(there.size()) / static_cast<double>(seen.size());
    i.busy.push_back(
        static_cast<int8_t>(std::clamp(std::lround(2 * (n - mean) / std::sqrt(mean)), -7L, 7L)));
  }
  return i;
}

// Bits by what was heard of a rhythm; nothing: none was.
std::optional<double> HeardBits(const Judged& judged) {
  std::optional<double> most;
  for (const model::Campaign& c : judged.findings.campaigns)
    for (const model::Evidence& e : c.evidence)
      if (e.family == model::Family::kShared && e.statement.find("half hours") != e.statement.npos)
        most = std::max(most.value_or(-9), e.bits);
  return most;
}

// Presences of accounts by half hour of the world's days, and their rows leave the log with `take`.
std::set<std::pair<std::string, int64_t>> There(World* w,
                                                const std::function<bool(const std::string&)>& who,
                                                bool take) {
  std::set<std::pair<std::string, int64_t>> there;
  for (const link::TestRow& r : w->log.rows)
    if (who(r.account)) there.insert({r.account, (r.ts_ms - link::kTestDay) / link::Event::kMs});
  if (take) {
    std::erase_if(w->log.rows, [&](const auto& r) { return who(r.account); });
    std::erase_if(w->log.described, [&](const auto& d) { return who(d.first); });
  }
  return there;
}

TEST(Prior, TheOtherHalfOfAQueueIsHeard) {
  std::mt19937 random(3);
  for (const uint32_t seed : {1u, 2u, 3u}) {
    World w(seed);
    w.People(200);
    w.Add({.accounts = 80, .exchanges = 300, .cards = 0, .addresses = 0});
    const std::string middle = "op-" + link::TestAccount(40);
    const auto theirs = There(
        &w, [&](const std::string& a) { return a.starts_with("op-") && a >= middle; }, true);
    const auto bits = [&](SharedIndicator rhythm) {
      return HeardBits(JudgeWorld(w, {Scaffold("indicator--a", From(1'000, 8)), rhythm}));
    };
    const SharedIndicator said = RhythmOf(theirs);
    ASSERT_TRUE(bits(said)) << seed;
    EXPECT_GT(*bits(said), 3) << seed;
    // Hours by chance, another campaign's and those of another year say nothing, and cost a bit.
    SharedIndicator other = said;
    std::shuffle(other.busy.begin(), other.busy.end(), random);
    EXPECT_LT(bits(other).value_or(0), 1) << seed;
    other = said;
    other.campaign = "campaign--2";
    EXPECT_FALSE(bits(other)) << seed;
    other = said;
    other.first_half_hour += 48 * 365;
    EXPECT_LE(bits(other).value_or(0), 0) << seed;
    EXPECT_FALSE(HeardBits(JudgeWorld(w, {said}))) << seed;  // nobody said whose
  }
}

// Users of a published scaffold, and a liar who sends back what their provider told of them.
TEST(Prior, AnEchoProvesNothing) {
  double sum = 0;
  size_t n = 0;
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    World w(seed);
    w.People(200);
    w.Add({.prefix = "t-",
           .accounts = 60,
           .exchanges = 900,
           .cards = 0,
           .addresses = 0,
           .queue = false});
    const auto told = There(
        &w, [](const std::string& a) { return a.starts_with("t-") && model::ToldOf(a); }, false);
    const Judged judged = JudgeWorld(w, {Scaffold("indicator--a", From(1'000, 8)), RhythmOf(told)});
    for (const model::Campaign& c : judged.findings.campaigns)
      EXPECT_NE(c.verdict, Verdict::kDistillation) << c.summary;
    if (const auto bits = HeardBits(judged)) sum += *bits, ++n;
  }
  ASSERT_GE(n, 8u);
  EXPECT_LT(sum / static_cast<double>(n), .5);
}

}  // namespace
}  // namespace stillwatch::judge
