#include "dossier/read.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "dossier/outputs.h"

namespace stillwatch::dossier {
namespace {

namespace fs = std::filesystem;

model::Findings Some() {
  model::Findings f;
  for (int i = 0; i < 2; ++i) {
    model::Campaign c;
    c.id = i == 0 ? "c0ffee" : "decaf";
    c.name = i == 0 ? "amber-otter" : "blue-\"heron\",<b>";
    c.verdict = i == 0 ? model::Verdict::kDistillation : model::Verdict::kSharedTool;
    c.probability = .9731;
    c.rival = {model::Verdict::kUnresolved, .02};
    c.all = {{c.verdict, .9731}, {model::Verdict::kUnresolved, .02}};
    c.would_change = "A permit.";
    c.summary = "One line\nand another, with \xe2\x82\xac.";
    c.accounts = 2, c.exchanges = 28'800'000'000, c.input_tokens = 7, c.output_tokens = 9;
    c.first_seen_ms = 1'776'816'000'123, c.last_seen_ms = 1'780'617'600'000;
    c.models = {{"atlas-4", 3}, {"atlas-5", 4}};
    c.capabilities = {{model::Capability::kGrading, .75}, {model::Capability::kOther, .25}};
    c.pools = {{"p1", 2}};
    c.templates = {{"t1", 7, {{0, "", "first"}, {0, "", "second"}}, {1, 4'294'967'295}}};
    c.evidence = {{model::Family::kRhythm, 12.5, "They follow.", "They do not.", "SELECT 1", {}, {"x1", "x2"}},
                  {model::Family::kPurpose, -1.25, "Few.", "Many.", "", {}, {}}};
    c.attribution = {{"Somebody", "a card", .4}};
    c.timeline = {{"2026-04-22", 3, 2, {{"atlas-4", 3}}}};
    c.pivots = {{1'776'816'000'000, "moved"}};
    c.infrastructure = {{"hosting", "Example, Inc.", 64500, 3, 9}};
    c.queries = {{"exchanges", "SELECT count() FROM attributed"}};
    c.members = {{"a,\"1\"\n", "p1", "distillation", .97, 10, 9, "because <it>"},
                 {"b2", "", "victim", .1, 5, 1, "its key was stolen"}};
    f.campaigns.push_back(c);
  }
  return f;
}

class Read : public ::testing::Test {
 protected:
  Read() : dir_(fs::temp_directory_path() / ("stillwatch-read-" + std::to_string(getpid()))) {
    fs::create_directories(dir_);
    Results results(dir_);
    EXPECT_TRUE(results.Begin().ok());
    EXPECT_TRUE(results.Write(Some()).ok());
    EXPECT_TRUE(results.Publish().ok());
  }
  ~Read() override { fs::remove_all(dir_); }
  std::string Error() {
    const auto f = ReadFindings(dir_);
    return f.ok() ? "" : std::string(f.status().message());
  }
  void Put(const char* name, const std::string& bytes) { std::ofstream(dir_ / name) << bytes; }
  std::string Get(const char* name) {
    std::ifstream in(dir_ / name);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void Replace(const char* name, const std::string& from, const std::string& to) {
    std::string bytes = Get(name);
    const size_t at = bytes.find(from);
    ASSERT_NE(at, std::string::npos);
    Put(name, bytes.replace(at, from.size(), to));
  }
  fs::path dir_;
};

TEST_F(Read, WhatWasWrittenIsReadBack) {
  const auto found = ReadFindings(dir_);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(CampaignsJson(found->campaigns), Get("campaigns.json"));
  const model::Findings was = Some();
  ASSERT_EQ(found->campaigns.size(), was.campaigns.size());
  for (size_t i = 0; i < was.campaigns.size(); ++i) {
    ASSERT_EQ(found->campaigns[i].members.size(), 2u);
    for (size_t m = 0; m < 2; ++m) {
      const auto &a = found->campaigns[i].members[m], &b = was.campaigns[i].members[m];
      EXPECT_EQ(std::tie(a.account_id, a.pool_id, a.verdict, a.probability, a.exchanges,
                         a.attributed_exchanges, a.why),
                std::tie(b.account_id, b.pool_id, b.verdict, b.probability, b.exchanges,
                         b.attributed_exchanges, b.why));
    }
  }
}

TEST_F(Read, SaysWhatIsWrongAndWhere) {
  Replace("explain.jsonl", "b2", "b3");
  EXPECT_NE(Error().find("explain.jsonl: no line for account b2"), std::string::npos) << Error();
  Replace("explain.jsonl", "b3", "b2");
  Replace("accounts.csv", "decaf", "dead");
  EXPECT_NE(Error().find("is not in campaigns.json"), std::string::npos) << Error();
  Replace("campaigns.json", "\"rhythm\"", "\"rhyme\"");
  EXPECT_NE(Error().find("campaign c0ffee: evidence.family: expected a name"), std::string::npos)
      << Error();
  Replace("campaigns.json", "stillwatch.campaigns/1", "stillwatch.campaigns/9");
  EXPECT_NE(Error().find("schema: expected stillwatch.campaigns/1"), std::string::npos) << Error();
  Put("campaigns.json", "{");
  EXPECT_NE(Error().find("not JSON"), std::string::npos) << Error();
  fs::remove(dir_ / "campaigns.json");
  EXPECT_EQ(ReadFindings(dir_).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace stillwatch::dossier
