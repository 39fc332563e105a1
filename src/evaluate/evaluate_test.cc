// Tiny worlds whose figures can be worked out by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "base/str.h"
#include "base/csv.h"
#include "evaluate/report.h"

namespace stillwatch::evaluate {
namespace {

using base::StrCat;
namespace fs = std::filesystem;
using Rows = std::vector<std::string>;

// Two operators, three campaigns. op-a's `alpha` (10 exchanges, accounts a0 a1) and `beta` (4, by
// a1), op-b's `gamma` (6, by b0, and one by v0, whose key was stolen); innocents n0..n5 and v0.
class EvaluateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() /
           StrCat("stillwatch-evaluate-",
                  ::testing::UnitTest::GetInstance()->current_test_info()->name(), "-", getpid());
    fs::remove_all(dir_);
    Truth();
    Found();
  }
  void TearDown() override { fs::remove_all(dir_); }

  static void Shuffle(Rows* rows, unsigned seed) {
    std::mt19937 rng(seed);
    std::shuffle(rows->begin(), rows->end(), rng);
  }
  void Write(const std::string& name, const std::string& text) {
    fs::create_directories((dir_ / name).parent_path());
    std::ofstream(dir_ / name, std::ios::binary) << text;
  }
  void Csv(const std::string& name, const std::string& header, Rows rows, unsigned seed) {
    if (seed != 0) Shuffle(&rows, seed);
    std::string text = header + "\n";
    for (const std::string& r : rows) text += r + "\n";
    Write(name, text);
  }
  void Truth(unsigned seed = 0) {
    Rows exchanges;
    for (int i = 0; i < 10; ++i) exchanges.push_back(StrCat("x", i, ",alpha"));
    for (int i = 10; i < 14; ++i) exchanges.push_back(StrCat("x", i, ",beta"));
    for (int i = 14; i < 20; ++i) exchanges.push_back(StrCat("x", i, ",gamma"));
    Csv("truth/truth_exchanges.csv", "exchange_id,campaign", exchanges, seed);
    Csv("truth/truth_accounts.csv", "account_id,role,operator",
        {"a0,campaign,op-a", "a1,campaign,op-a", "b0,relay-pool,op-b", "v0,victim,", "n0,person,",
         "n1,person,", "n2,person,", "n3,class,", "n4,class,", "n5,class,"},
        seed);
    Csv("truth/truth_campaigns.csv",
        "campaign,operator,exchanges,accounts,first_seen,last_seen,capability",
        {"alpha,op-a,10,2,,,grading", "beta,op-a,4,1,,,tool_use", "gamma,op-b,6,2,,,mathematics"},
        seed);
  }
  // cmp_1 accuses: 8 of alpha, and 2 exchanges of n3 and n4. cmp_2 is unresolved: 1 of alpha and
  // the 6 of gamma. beta is nowhere.
  void Found(unsigned seed = 0) {
    Write("found/campaigns.json",
          R"({"schema":"stillwatch.campaigns/1","campaigns":[
{"id":"cmp_1","verdict":"distillation","probability":0.97,"exchanges":10,"accounts":3,"capabilities":{"grading":0.9,"other":0.1},"evidence":[{"family":"rhythm","bits":9.5,"statement":"They <act> together."}]},
{"id":"cmp_2","verdict":"unresolved","probability":0.6,"exchanges":7,"accounts":3,"capabilities":{"other":1.0},"evidence":[]}]})");
    Rows rows;
    for (int i = 0; i < 8; ++i) rows.push_back(StrCat("x", i, ",a0,cmp_1"));
    rows.insert(rows.end(), {"y1,n3,cmp_1", "y2,n4,cmp_1", "x8,a1,cmp_2"});
    for (int i = 14; i < 20; ++i) rows.push_back(StrCat("x", i, i == 19 ? ",v0" : ",b0", ",cmp_2"));
    Csv("found/exchanges.csv", "exchange_id,account_id,campaign_id", rows, seed);
    Csv("found/accounts.csv",
        "account_id,campaign_id,pool_id,verdict,probability,exchanges,attributed_exchanges",
        {"a0,cmp_1,p,distillation,0.97,8,8", "n3,cmp_1,p,distillation,0.97,1,1",
         "n4,cmp_1,p,unresolved,0.4,1,1", "a1,cmp_2,p,unresolved,0.6,7,1",
         "b0,cmp_2,p,unresolved,0.6,5,5", "v0,cmp_2,p,victim,0.2,9,1"},
        seed);
    Write("found/explain.jsonl",
          "{\"account_id\":\"n3\",\"campaign_id\":\"cmp_1\",\"verdict\":\"distillation\",\"why\":"
          "\"Sent 1 of 1.\"}\n");
    Write("found/candidates.jsonl",
          "{\"formed\":\"text\",\"verdict\":\"distillation\",\"distillation\":0.97,\"odds_bits\":5,"
          "\"purpose_bits\":8.5,\"open\":false,\"reported\":"
          "true,\"accounts\":3,\"exchanges\":10,\"sample\":[[\"x0\",\"a0\"],[\"x1\",\"a0\"],["
          "\"y1\",\"n3\"]]}\n"
          "{\"formed\":\"purse\",\"verdict\":\"unresolved\",\"distillation\":0.6,\"odds_bits\":0.6,"
          "\"purpose_bits\":3,\"open\":false,\"reported\":true,"
          "\"accounts\":3,\"exchanges\":7,\"sample\":[[\"x8\",\"a1\"],[\"x14\",\"b0\"],[\"y9\","
          "\"n5\"]]}\n"
          "{\"formed\":\"text\",\"verdict\":\"shared-tool\",\"distillation\":0.01,\"odds_bits\":-6."
          "6,\"purpose_bits\":-1,\"open\":true,\"reported\":"
          "false,\"accounts\":3,\"exchanges\":30,\"sample\":[[\"y3\",\"n5\"],[\"y4\",\"n3\"],["
          "\"y5\",\"n0\"]]}\n");
    Write("found/run.json", "{\"accounts\": 10}");
  }
  absl::StatusOr<Score> TryScore(const std::string& truth = "truth",
                                 const std::string& found = "found") {
    auto world = ReadWorld(dir_ / truth);
    if (!world.ok()) return world.status();
    auto findings = ReadFindings(dir_ / found);
    if (!findings.ok()) return findings.status();
    return ScoreFindings(*world, *findings);
  }
  void ExpectError(const std::string& part) {
    const auto score = TryScore();
    ASSERT_FALSE(score.ok()) << part;
    EXPECT_TRUE(absl::IsInvalidArgument(score.status()));
    EXPECT_NE(std::string(score.status().message()).find(part), std::string::npos)
        << score.status();
    EXPECT_EQ(std::string(score.status().message()).find('\n'), std::string::npos);
  }
  std::string Read(const std::string& name) {
    std::ifstream in(dir_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  fs::path dir_;
};

TEST_F(EvaluateTest, FiguresWorkedOutByHand) {
  const auto score = TryScore();
  ASSERT_TRUE(score.ok()) << score.status();
  EXPECT_EQ(score->recall.part, 8u);
  EXPECT_EQ(score->recall.all, 20u);
  EXPECT_EQ(score->precision.part, 8u);
  EXPECT_EQ(score->precision.all, 10u);
  EXPECT_EQ(score->accounts.part, 1u);  // a0 of a0, a1, b0
  EXPECT_EQ(score->accounts.all, 3u);
  EXPECT_EQ(score->innocents.part, 1u);
  EXPECT_EQ(score->innocents.all, 7u);
  EXPECT_EQ(score->by_class.at("class").part, 1u);
  EXPECT_EQ(score->by_class.at("class").all, 3u);
  EXPECT_EQ(score->by_class.at("victim").part, 0u);
  EXPECT_EQ(score->min_campaign_recall, 0);
  ASSERT_EQ(score->campaigns.size(), 3u);
  const CampaignScore& alpha = score->campaigns[0];
  EXPECT_DOUBLE_EQ(alpha.recall, .8);
  EXPECT_DOUBLE_EQ(alpha.reported_recall, .9);
  EXPECT_DOUBLE_EQ(alpha.in_best, .8);
  EXPECT_DOUBLE_EQ(alpha.purity, .8);
  EXPECT_DOUBLE_EQ(alpha.volume_error, 0);
  EXPECT_EQ(alpha.pieces, 2u);
  EXPECT_TRUE(alpha.capability_right);
  EXPECT_DOUBLE_EQ(alpha.accounts_named, .5);
  EXPECT_DOUBLE_EQ(alpha.accounts_reported, 1);
  EXPECT_DOUBLE_EQ(alpha.accounts_together, .5);
  const CampaignScore& beta = score->campaigns[1];
  EXPECT_EQ(beta.recall + beta.reported_recall + beta.in_best, 0);
  EXPECT_TRUE(beta.best_verdict.empty());
  const CampaignScore& gamma = score->campaigns[2];
  EXPECT_DOUBLE_EQ(gamma.reported_recall, 1);
  EXPECT_DOUBLE_EQ(gamma.recall, 0);
  EXPECT_DOUBLE_EQ(gamma.purity, 6.0 / 7);
  EXPECT_EQ(gamma.best_verdict, "unresolved");
  EXPECT_FALSE(gamma.capability_right);
  ASSERT_EQ(score->accused.size(), 1u);
  EXPECT_EQ(score->accused[0].account, "n3");
  EXPECT_EQ(score->accused[0].why, "Sent 1 of 1.");
  EXPECT_EQ(score->accused[0].evidence.at(0), "rhythm +9.5 bits: They <act> together.");
}

TEST_F(EvaluateTest, CandidatesAreLabelledByTheirOperator) {
  const auto score = TryScore();
  ASSERT_TRUE(score.ok());
  ASSERT_EQ(score->judged.size(), 3u);
  EXPECT_TRUE(score->judged[0].harvest);
  EXPECT_EQ(score->judged[0].kind, "alpha");
  // A third each of two operators and an innocent is nobody's harvest.
  EXPECT_FALSE(score->judged[1].harvest);
  EXPECT_FALSE(score->judged[2].harvest);
  EXPECT_EQ(score->judged[2].kind, "class");
  const std::string csv = CandidatesCsv(Summarise({*score}, {}));
  EXPECT_NE(csv.find(",text,distillation,0.970000,5.000,8.500,0,10,1,alpha\n"), std::string::npos)
      << csv;
  EXPECT_NE(csv.find(",text,shared-tool,0.010000,-6.600,-1.000,1,30,0,class\n"), std::string::npos)
      << csv;
}

TEST_F(EvaluateTest, OrderOfRowsAndWorldsChangesNothing) {
  const auto text = [&](bool reversed) {
    std::vector<Score> scores;
    for (const char* found : {"found", "found2"}) scores.push_back(*TryScore("truth", found));
    if (reversed) std::swap(scores[0], scores[1]);
    const Summary s = Summarise(scores, {});
    return SummaryJson(s) + SummaryPage(s) + SummaryText(s);
  };
  fs::copy(dir_ / "found", dir_ / "found2", fs::copy_options::recursive);
  Csv("found2/accounts.csv",
      "account_id,campaign_id,pool_id,verdict,probability,exchanges,attributed_exchanges",
      {"a0,cmp_1,p,distillation,0.97,8,8", "n0,cmp_1,p,distillation,0.97,1,1",
       "n4,cmp_1,p,distillation,0.97,1,1", "a1,cmp_2,p,unresolved,0.6,7,1",
       "b0,cmp_2,p,unresolved,0.6,5,5", "v0,cmp_2,p,victim,0.2,9,1"},
      0);
  const std::string before = text(false);
  EXPECT_EQ(before, text(true));
  for (unsigned seed = 1; seed <= 5; ++seed) {
    Truth(seed);
    Found(seed);
    EXPECT_EQ(before, text(false)) << seed;
  }
  EXPECT_NE(before.find("\"innocents\": 14"), std::string::npos);
}

TEST_F(EvaluateTest, NothingFoundAndNoCampaign) {
  Write("found/campaigns.json", R"({"schema":"stillwatch.campaigns/1","campaigns":[]})");
  Csv("found/exchanges.csv", "exchange_id,account_id,campaign_id", {}, 0);
  Csv("found/accounts.csv",
      "account_id,campaign_id,pool_id,verdict,probability,exchanges,attributed_exchanges", {}, 0);
  fs::remove(dir_ / "found/candidates.jsonl");
  auto score = TryScore();
  ASSERT_TRUE(score.ok()) << score.status();
  EXPECT_EQ(score->recall.value(1), 0);
  EXPECT_EQ(score->precision.value(1), 1);
  Csv("truth/truth_exchanges.csv", "exchange_id,campaign", {}, 0);
  Csv("truth/truth_campaigns.csv",
      "campaign,operator,exchanges,accounts,first_seen,last_seen,capability", {}, 0);
  score = TryScore();
  ASSERT_TRUE(score.ok()) << score.status();
  EXPECT_EQ(score->recall.value(1), 1);
  EXPECT_EQ(score->min_campaign_recall, 1);
  EXPECT_FALSE(SummaryPage(Summarise({*score}, {})).empty());
}

TEST_F(EvaluateTest, OtherLogsAreRefused) {
  Csv("truth/truth_accounts.csv", "account_id,role,operator",
      {"q0,campaign,op-a", "q1,person,", "q2,person,"}, 0);
  ExpectError("are of different logs: 10 accounts were judged, the truth knows 3");
  fs::remove(dir_ / "found/run.json");
  ExpectError("are of different logs: account a0 is not in truth_accounts.csv");
}

TEST_F(EvaluateTest, PartialFindingsAreRefused) {
  for (const auto& [name, part] :
       {std::pair("campaigns.json", "is missing, so the findings are not complete"),
        std::pair("accounts.csv", "is missing"), std::pair("exchanges.csv", "--attribution csv")}) {
    const std::string kept = Read(StrCat("found/", name));
    fs::remove(dir_ / "found" / name);
    ExpectError(part);
    // Cut anywhere, a file is refused, not scored.
    for (size_t cut = 0; cut + 1 < kept.size(); ++cut) {
      Write(StrCat("found/", name), kept.substr(0, cut));
      const auto score = TryScore();
      EXPECT_FALSE(score.ok()) << name << " cut at " << cut;
    }
    Write(StrCat("found/", name), kept);
  }
  const std::string rows = Read("found/exchanges.csv");
  Write("found/exchanges.csv", rows.substr(0, rows.rfind('\n', rows.size() - 2) + 1));
  ExpectError("has 6 of its 7 exchanges; was the file cut short?");
  Write("found/exchanges.csv", rows + "x9,a0,cmp_9\n");
  ExpectError("campaign cmp_9 is not in campaigns.json");
  fs::remove_all(dir_ / "found");
  ExpectError("is not a folder");
}

TEST_F(EvaluateTest, BrokenTruthIsRefused) {
  const std::string exchanges = Read("truth/truth_exchanges.csv");
  Write("truth/truth_exchanges.csv",
        exchanges.substr(0, exchanges.rfind('\n', exchanges.size() - 2) + 1));
  ExpectError("campaign gamma has 5 of its 6 exchanges");
  Write("truth/truth_exchanges.csv", exchanges + "x0,alpha\n");
  ExpectError("campaign alpha has 11 of its 10");
  Write("truth/truth_exchanges.csv", exchanges + "z,delta\n");
  ExpectError("truth_exchanges.csv:22: campaign delta is not in truth_campaigns.csv");
  Write("truth/truth_exchanges.csv", "id,campaign\n");
  ExpectError("truth_exchanges.csv:1: expected the header exchange_id,campaign");
  Truth();
  Write("truth/truth_accounts.csv", Read("truth/truth_accounts.csv") + "a0,person,\n");
  ExpectError("truth_accounts.csv:12: account a0 appears twice");
  Truth();
  Write("truth/scenario.yaml", "seed: 3\nknobs: [1, 2\n");
  ExpectError("scenario.yaml:");
  Write("truth/scenario.yaml", "");
  EXPECT_TRUE(TryScore().ok());
  fs::remove(dir_ / "truth/truth_campaigns.csv");
  ExpectError("truth_campaigns.csv: cannot be opened");
}

TEST_F(EvaluateTest, KnobsThatDifferAreCompared) {
  std::vector<Score> scores;
  for (const auto& [shared, jitter] :
       {std::pair("0.5", "10"), std::pair("0.5", "9"), std::pair("1", "10")}) {
    Write("truth/scenario.yaml", StrCat("seed: ", scores.size(),
                                        "\nname: mixed\ncampaigns:\n  - name: gamma\n    jitter: ",
                                        jitter, "\nshared: ", shared, "\n"));
    scores.push_back(*TryScore());
  }
  const Summary s = Summarise(scores, {});
  ASSERT_EQ(s.knobs.size(), 2u);  // not the seed, not what never differs
  EXPECT_EQ(s.knobs[0].path, "campaigns.gamma.jitter");
  EXPECT_EQ(s.knobs[0].levels[0].value, "9");  // as numbers
  EXPECT_EQ(s.knobs[0].levels[1].worlds, 2u);
  EXPECT_EQ(s.knobs[0].levels[0].recall, 0);  // gamma's
  EXPECT_EQ(s.knobs[1].path, "shared");
  EXPECT_DOUBLE_EQ(s.knobs[1].levels[0].recall, .4);  // the world's
  EXPECT_EQ(s.knobs[1].levels[0].innocents.part, 2u);
  EXPECT_FALSE(s.knobs[0].levels[0].interval.has_value());
  EXPECT_TRUE(s.knobs[0].levels[1].interval.has_value());
}

TEST_F(EvaluateTest, KnobsThatAScenarioNamesStandForAll) {
  std::vector<Score> scores;
  for (const char* jitter : {"0", "1"}) {
    Write("truth/scenario.yaml",
          StrCat("pools:\n  - {name: a, spread: ", jitter, "}\nknobs: {jitter: ", jitter, "}\n"));
    scores.push_back(*TryScore());
  }
  const Summary s = Summarise(scores, {});
  ASSERT_EQ(s.knobs.size(), 1u);
  EXPECT_EQ(s.knobs[0].path, "knobs.jitter");
}

TEST_F(EvaluateTest, PageEscapesWhatOthersWrote) {
  Write("found/explain.jsonl",
        "{\"account_id\":\"n3\",\"campaign_id\":\"cmp_1\",\"verdict\":\"distillation\",\"why\":\"<"
        "script>alert(1)</script>\"}\n");
  const std::string page = SummaryPage(Summarise({*TryScore()}, {}));
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_NE(page.find("&lt;script&gt;"), std::string::npos);
  EXPECT_NE(page.find("They &lt;act&gt; together."), std::string::npos);
  EXPECT_EQ(page.find("http://"), std::string::npos);
  EXPECT_EQ(page.find("https://"), std::string::npos);
}

// alpha's exchanges come at 0, 10, ..., 90; from 35 on a finding holds what was seen of it.
TEST_F(EvaluateTest, ReplayFindsTheShareBeforeTheFirstVerdict) {
  Csv("truth/truth_exchanges.csv", "exchange_id,campaign",
      {"x0,alpha", "x1,alpha", "x2,alpha", "x3,alpha", "x4,alpha", "x5,alpha", "x6,alpha",
       "x7,alpha", "x8,alpha", "x9,alpha"},
      0);
  Csv("truth/truth_campaigns.csv",
      "campaign,operator,exchanges,accounts,first_seen,last_seen,capability",
      {"alpha,op-a,10,2,,,grading"}, 0);
  const auto world = ReadWorld(dir_ / "truth");
  ASSERT_TRUE(world.ok());
  const auto account = [](int i) { return i < 6 ? "a0" : "a1"; };
  std::vector<int64_t> asked;
  ReplayInput input;
  input.each_exchange = [&](const auto& row) {
    for (int i = 9; i >= 0; --i) row(StrCat("x", i), account(i), i * 10);
    row("x3", account(3), 30);  // twice in the log
    row("y1", "n1", 5);
    return absl::OkStatus();
  };
  input.judge = [&](int64_t until) -> absl::StatusOr<std::string> {
    asked.push_back(until);
    Rows rows, accounts;
    for (int i = 0; i * 10 < until && until > 35; ++i)
      rows.push_back(StrCat("x", i, ",", account(i), ",cmp_1"));
    Write(
        "found/campaigns.json",
        StrCat(
            R"({"schema":"stillwatch.campaigns/1","campaigns":[{"id":"cmp_1","verdict":"distillation","probability":1.0,"exchanges":)",
            rows.size(), ",\"accounts\":", (until > 35) + (until > 85), "}]}"));
    if (until > 35) accounts.push_back("a0,cmp_1,p,distillation,1,1,1");
    if (until > 85) accounts.push_back("a1,cmp_1,p,distillation,1,1,1");
    Csv("found/exchanges.csv", "exchange_id,account_id,campaign_id", rows, 0);
    Csv("found/accounts.csv",
        "account_id,campaign_id,pool_id,verdict,probability,exchanges,attributed_exchanges",
        accounts, 0);
    fs::remove(dir_ / "found/candidates.jsonl");
    return (dir_ / "found").string();
  };
  const auto replay = ReplayWorld(*world, input);
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_EQ(asked, (std::vector<int64_t>{1, 21, 41, 91}));  // 10, 25 (the third), 50 and 100 %
  const ReplayedCampaign& c = replay->campaigns.at(0);
  EXPECT_DOUBLE_EQ(c.first_verdict, .5);
  EXPECT_DOUBLE_EQ(c.no_verdict_yet, .3);
  EXPECT_TRUE(c.held);
  EXPECT_DOUBLE_EQ(c.nine_tenths, 1);
  EXPECT_DOUBLE_EQ(c.nine_tenths_not_yet, .5);
  EXPECT_DOUBLE_EQ(c.moments[2].named, .5);
  EXPECT_DOUBLE_EQ(c.moments[2].named_active, 1);
  EXPECT_DOUBLE_EQ(c.holds, .5);
  EXPECT_DOUBLE_EQ(c.not_held, .3);
  EXPECT_DOUBLE_EQ(c.apart_holds, .5);
  EXPECT_EQ(replay->moments, 4u);
  EXPECT_EQ(replay->innocents_accused, 0u);
  // A verdict that is lost once holds from where it is back; who is accused at one moment alone was
  // accused.
  const auto steady = input.judge;
  input.judge = [&](int64_t until) {
    const auto found = steady(until == 41 ? 21 : 91);
    if (until == 41) {
      Write(
          "found/campaigns.json",
          R"({"schema":"stillwatch.campaigns/1","campaigns":[{"id":"cmp_1","verdict":"distillation","probability":1.0,"exchanges":1,"accounts":1}]})");
      Csv("found/exchanges.csv", "exchange_id,account_id,campaign_id", {"y1,n1,cmp_1"}, 0);
      Csv("found/accounts.csv",
          "account_id,campaign_id,pool_id,verdict,probability,exchanges,attributed_exchanges",
          {"n1,cmp_1,p,distillation,1,1,1"}, 0);
    }
    return found;
  };
  const auto lost = ReplayWorld(*world, input);
  ASSERT_TRUE(lost.ok()) << lost.status();
  EXPECT_DOUBLE_EQ(lost->campaigns.at(0).first_verdict, .1);
  EXPECT_FALSE(lost->campaigns.at(0).held);
  EXPECT_DOUBLE_EQ(lost->campaigns.at(0).holds, 1);
  EXPECT_DOUBLE_EQ(lost->campaigns.at(0).not_held, .5);
  EXPECT_EQ(lost->innocents_accused, 1u);
  Summary said = Summarise({}, {*lost});
  EXPECT_NE(SummaryText(said).find("innocents accused at any of 4 moments: at most 1"),
            std::string::npos);
  EXPECT_NE(SummaryJson(said).find("\"holds_from\": 1"), std::string::npos) << SummaryJson(said);
  EXPECT_NE(SummaryPage(said).find("it held for good"), std::string::npos);
  input.each_exchange = [&](const auto& row) {
    row("x1", "a0", 10);
    return absl::OkStatus();
  };
  EXPECT_NE(std::string(ReplayWorld(*world, input).status().message())
                .find("holds 1 of the 10 exchanges of campaign alpha"),
            std::string::npos);
}

// Six exchanges of beta and four of alpha are one finding.
TEST_F(EvaluateTest, ReplayTellsAVerdictFromAFindingOfItsOwn) {
  Rows truth;
  for (int i = 0; i < 10; ++i) truth.push_back(StrCat("x", i, i < 4 ? ",alpha" : ",beta"));
  Csv("truth/truth_exchanges.csv", "exchange_id,campaign", truth, 0);
  for (const char* other : {"op-a", "op-b"}) {
    Csv("truth/truth_campaigns.csv",
        "campaign,operator,exchanges,accounts,first_seen,last_seen,capability",
        {"alpha,op-a,4,2,,,grading", StrCat("beta,", other, ",6,2,,,grading")}, 0);
    const auto world = ReadWorld(dir_ / "truth");
    ASSERT_TRUE(world.ok()) << world.status();
    size_t held = 0;  // of alpha's
    ReplayInput input;
    input.shares = {1};
    input.each_exchange = [](const auto& row) {
      for (int i = 0; i < 10; ++i) row(StrCat("x", i), "a0", (i + 6) % 10);  // beta's first
      return absl::OkStatus();
    };
    input.judge = [&](int64_t until) -> absl::StatusOr<std::string> {
      Rows rows;
      for (int i = 0; i < 10; ++i) {
        if ((i + 6) % 10 >= until) continue;
        if (i < static_cast<int>(held) || i >= 4) rows.push_back(StrCat("x", i, ",a0,cmp_1"));
      }
      Write(
          "found/campaigns.json",
          StrCat(
              R"({"schema":"stillwatch.campaigns/1","campaigns":[{"id":"cmp_1","verdict":"distillation","probability":1.0,"exchanges":)",
              rows.size(), R"(,"accounts":1}]})"));
      Csv("found/exchanges.csv", "exchange_id,account_id,campaign_id", rows, 0);
      Csv("found/accounts.csv",
          "account_id,campaign_id,pool_id,verdict,probability,exchanges,attributed_exchanges",
          {"a0,cmp_1,p,distillation,1,1,1"}, 0);
      fs::remove(dir_ / "found/candidates.jsonl");
      return (dir_ / "found").string();
    };
    // Of the operator's own two jobs the verdict on both is right, on beta in any case. Less than
    // half of alpha is no verdict on it.
    for (held = 1; held <= 2; ++held) {
      const auto replay = ReplayWorld(*world, input);
      ASSERT_TRUE(replay.ok()) << replay.status();
      const ReplayedCampaign &alpha = replay->campaigns.at(0), &beta = replay->campaigns.at(1);
      EXPECT_EQ(alpha.moments.back().correct, std::string(other) == "op-a" && held == 2);
      EXPECT_FALSE(alpha.moments.back().apart);
      EXPECT_TRUE(beta.moments.back().correct);
      EXPECT_DOUBLE_EQ(beta.apart, 1);
      EXPECT_GT(alpha.apart, 1);
      EXPECT_DOUBLE_EQ(alpha.moments.back().recall, static_cast<double>(held) / 4);
    }
  }
}

// The first 10 of 20 exchanges that the scenario plans, by a pool and by the one that follows it.
TEST_F(EvaluateTest, ReplayOfALogThatIsABeginningAndOfThePoolThatTakesOver) {
  Rows truth;
  for (int i = 0; i < 10; ++i) truth.push_back(StrCat("x", i, ",alpha"));
  Csv("truth/truth_exchanges.csv", "exchange_id,campaign", truth, 0);
  Csv("truth/truth_campaigns.csv",
      "campaign,operator,exchanges,accounts,first_seen,last_seen,capability",
      {"alpha,op-a,10,2,,,grading"}, 0);
  Csv("truth/truth_pools.csv", "account_id,pool", {"a0,one", "a1,two"}, 0);
  const auto scenario = [&](const char* planned) {
    Write("truth/scenario.yaml",
          StrCat("pools:\n  - {name: one, failover: two}\n  - {name: two}\ncampaigns:\n"
                 "  - {name: alpha, exchanges: ",
                 planned, "}\n"));
    auto world = ReadWorld(dir_ / "truth");
    EXPECT_TRUE(world.ok()) << world.status();
    return *std::move(world);
  };
  const auto account = [](int i) { return i < 6 ? "a0" : "a1"; };
  std::vector<int64_t> asked;
  ReplayInput input;
  input.shares = {.1, .25, .5, 1};
  input.each_exchange = [&](const auto& row) {
    for (int i = 0; i < 10; ++i) row(StrCat("x", i), account(i), i * 10);
    return absl::OkStatus();
  };
  // From 75 on what the second pool has sent since 65 is found too.
  input.judge = [&](int64_t until) -> absl::StatusOr<std::string> {
    asked.push_back(until);
    Rows rows, accounts{"a0,cmp_1,p,distillation,1,1,1"};
    for (int i = 0; i * 10 < until; ++i) {
      if (i < 6 || (i > 6 && until > 75)) rows.push_back(StrCat("x", i, ",", account(i), ",cmp_1"));
    }
    if (until > 75) accounts.push_back("a1,cmp_1,p,distillation,1,1,1");
    Write(
        "found/campaigns.json",
        StrCat(
            R"({"schema":"stillwatch.campaigns/1","campaigns":[{"id":"cmp_1","verdict":"distillation","probability":1.0,"exchanges":)",
            rows.size(), ",\"accounts\":", accounts.size(), "}]}"));
    Csv("found/exchanges.csv", "exchange_id,account_id,campaign_id", rows, 0);
    Csv("found/accounts.csv",
        "account_id,campaign_id,pool_id,verdict,probability,exchanges,attributed_exchanges",
        accounts, 0);
    fs::remove(dir_ / "found/candidates.jsonl");
    return (dir_ / "found").string();
  };
  auto replay = ReplayWorld(scenario("2e+01"), input);
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_EQ(asked, (std::vector<int64_t>{11, 41, 91}));  // 2, 5 and 10 of 20
  ASSERT_EQ(replay->campaigns.size(), 2u);
  EXPECT_EQ(replay->campaigns[0].exchanges, 20u);
  EXPECT_DOUBLE_EQ(replay->campaigns[0].first_verdict, .1);
  // How much the second pool has in all a beginning does not say.
  EXPECT_EQ(replay->campaigns[1].campaign, "pool two");
  EXPECT_TRUE(replay->campaigns[1].moments.empty());

  asked.clear();
  replay = ReplayWorld(scenario("10"), input);
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_EQ(asked, (std::vector<int64_t>{1, 21, 41, 61, 71, 91}));
  const ReplayedCampaign& pool = replay->campaigns[1];
  EXPECT_EQ(pool.exchanges, 4u);
  EXPECT_EQ(pool.accounts, 1u);
  ASSERT_EQ(pool.moments.size(), 3u);
  EXPECT_FALSE(pool.moments[1].correct);  // half of it harvested, none of that found
  EXPECT_DOUBLE_EQ(pool.moments[2].recall, .75);
  EXPECT_DOUBLE_EQ(pool.first_verdict, 1);
  EXPECT_DOUBLE_EQ(pool.no_verdict_yet, .5);

  Csv("truth/truth_pools.csv", "account_id,pool", {"nobody,one"}, 0);
  EXPECT_NE(std::string(ReadWorld(dir_ / "truth").status().message())
                .find("account nobody is not in truth_accounts.csv"),
            std::string::npos);
}

TEST(CsvTest, ReadsWhatRfc4180Writes) {
  std::vector<std::string> cells;
  EXPECT_TRUE(base::SplitCsv("a,\"b,\"\"c\"\"\",", &cells));
  EXPECT_EQ(cells, (std::vector<std::string>{"a", "b,\"c\"", ""}));
  EXPECT_FALSE(base::SplitCsv("a\"b\"", &cells));
  EXPECT_FALSE(base::SplitCsv("\"a\"b", &cells));
  EXPECT_FALSE(base::SplitCsv("\"a", &cells));
  auto reader = base::CsvReader::Read(
      std::make_unique<std::istringstream>("h,i,more\r\n1,\"x\ny\",\r\n3\n"), "f", "h,i");
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE(*reader->Next(&cells));
  EXPECT_EQ(cells, (std::vector<std::string>{"1", "x\ny", ""}));
  const auto short_row = reader->Next(&cells);
  EXPECT_EQ(short_row.status().message(), "f:4: expected 2 columns, got 1");
  for (const auto& [text, part] :
       {std::pair("h,i\n1,\"x\n", "never closed"), std::pair("h,i\n1,2", "cut short"),
        std::pair("h,ix\n", "expected the header"), std::pair("", "expected the header"),
        std::pair("h,i\n1,a\"b\"\n", "quote in the middle")}) {
    auto r = base::CsvReader::Read(std::make_unique<std::istringstream>(text), "f", "h,i");
    absl::Status s = r.status();
    if (r.ok()) s = r->Next(&cells).status();
    EXPECT_NE(std::string(s.message()).find(part), std::string::npos) << text << s;
  }
  auto r = base::CsvReader::Read(
      std::make_unique<std::istringstream>("h\n" + std::string(base::kCsvRecordMax + 1, 'x') + "\n"), "f",
      "h");
  EXPECT_NE(std::string(r->Next(&cells).status().message()).find("more than 1048576 bytes"),
            std::string::npos);
}

TEST(StatisticsTest, BootstrapCoversTheMean) {
  std::mt19937 rng(1);
  std::normal_distribution<double> normal(10, 2);
  int covered = 0;
  constexpr int kTrials = 200, kUnits = 40;
  for (int t = 0; t < kTrials; ++t) {
    std::vector<double> v(kUnits);
    for (double& x : v) x = normal(rng);
    const auto i = Bootstrap(kUnits, [&](std::span<const uint32_t> drawn) {
      double sum = 0;
      for (const uint32_t d : drawn) sum += v[d];
      return sum / kUnits;
    });
    covered += i->low <= 10 && 10 <= i->high;
  }
  EXPECT_GE(covered, kTrials * .88);
  EXPECT_LT(covered, kTrials);
  EXPECT_FALSE(Bootstrap(1, [](auto) { return 1.0; }).has_value());
}

TEST(StatisticsTest, CalibrationOfStatedProbabilities) {
  std::vector<Prediction> p;
  for (int i = 0; i < 100; ++i) p.push_back({.8, i < 80});  // right
  for (int i = 0; i < 100; ++i) p.push_back({.3, i < 50});  // .2 too low
  const Calibration c = Calibrate(p);
  EXPECT_EQ(c.count, 200u);
  EXPECT_EQ(c.happened, 130u);
  EXPECT_NEAR(c.error, .1, 1e-12);
  EXPECT_NEAR(
      c.log_loss,
      (-80 * std::log(.8) - 20 * std::log(.2) - 50 * std::log(.3) - 50 * std::log(.7)) / 200,
      1e-12);
  EXPECT_NEAR(c.brier, (80 * .04 + 20 * .64 + 50 * .49 + 50 * .09) / 200, 1e-12);
  EXPECT_EQ(c.bins[8].count, 100u);
  EXPECT_EQ(c.bins[3].happened, 50u);
  EXPECT_EQ(Calibrate({}).error, 0);
  EXPECT_EQ(Calibrate(std::vector<Prediction>{{1, true}, {0, false}}).error, 0);
}

}  // namespace
}  // namespace stillwatch::evaluate
