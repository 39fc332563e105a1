// Small logs on which each method's answer follows from its paper.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/hash.h"
#include "base/str.h"
#include "log.h"

namespace stillwatch::baselines {
namespace {

constexpr int64_t kMinute = 60'000;

uint64_t H(const std::string& text) { return base::Hash64(text) | 1; }

Log People(int n) {
  Log log;
  for (int a = 0; a < n; ++a) log.accounts.push_back({base::StrCat("a", a)});
  return log;
}

void Send(Log* log, uint32_t account, int64_t ts, const std::string& address = "",
          const std::string& turn = "") {
  Exchange e;
  e.account = account;
  e.ts_ms = ts;
  if (!address.empty()) e.address = H(address);
  if (!turn.empty()) e.turn = e.head = H(turn);
  log->exchanges.push_back(e);
}

TEST(BaselinesTest, ThresholdCountsTheBusiestDay) {
  Log log = People(3);
  log.accounts[2].verified = true;
  for (int i = 0; i < 10; ++i) {
    Send(&log, 0, i * kMinute);
    Send(&log, 1, i * 24 * 60 * kMinute);
    Send(&log, 2, i * kMinute);
  }
  EXPECT_EQ(Threshold(log, {{"per_day", 10}}), (std::vector<Group>{{0}}));
  EXPECT_EQ(Threshold(log, {{"per_day", 1}}), (std::vector<Group>{{0, 1}}));
}

TEST(BaselinesTest, ComponentsChainThroughSharedValues) {
  Log log = People(6);
  for (const int a : {0, 1}) log.accounts[a].payment = H("card");
  Send(&log, 1, 0, "ip1");
  Send(&log, 2, 0, "ip1");
  Send(&log, 3, 0, "ip2");
  for (const int a : {4, 5}) log.accounts[a].mail = H("mail.example");
  Parameters p{
      {"address", 1}, {"mail", 0}, {"client", 0}, {"value_accounts_max", 1e9}, {"accounts_min", 3}};
  EXPECT_EQ(Components(log, p), (std::vector<Group>{{0, 1, 2}}));
  p["address"] = 0;
  EXPECT_TRUE(Components(log, p).empty());
  p["accounts_min"] = 2;
  p["mail"] = 1;
  EXPECT_EQ(Components(log, p), (std::vector<Group>{{0, 1}, {4, 5}}));
  p["value_accounts_max"] = 1;
  EXPECT_TRUE(Components(log, p).empty());
}

// 0 to 3 ask the same things within minutes, day after day; 4 and 5 the same things on other days.
TEST(BaselinesTest, SynchroTrapNeedsTheSameObjectAtTheSameTime) {
  Log log = People(6);
  for (int day = 0; day < 6; ++day) {
    for (uint32_t a = 0; a < 4; ++a)
      Send(&log, a, (day * 24 * 60 + static_cast<int>(a)) * kMinute, "",
           base::StrCat("task ", day));
    for (uint32_t a = 4; a < 6; ++a)
      Send(&log, a, (day * 24 + 1 + a) * 60 * kMinute, "", base::StrCat("task ", day));
  }
  Parameters p{{"window_minutes", 60}, {"days", 7},         {"similarity", .5},
               {"matches_min", 3},     {"accounts_min", 3}, {"object_accounts_max", 100}};
  EXPECT_EQ(SynchroTrap(log, p), (std::vector<Group>{{0, 1, 2, 3}}));
  p["object_accounts_max"] = 3;  // what many use is left out
  EXPECT_TRUE(SynchroTrap(log, p).empty());
}

// Ten accounts on five addresses each with each; everybody on one popular address as camouflage.
TEST(BaselinesTest, FraudarFindsTheDenseBlockUnderCamouflage) {
  Log log = People(200);
  for (uint32_t a = 0; a < 200; ++a) Send(&log, a, 0, "popular");
  for (uint32_t a = 20; a < 30; ++a) {
    for (int k = 0; k < 5; ++k) Send(&log, a, 0, base::StrCat("proxy", k));
  }
  for (uint32_t a = 100; a < 106; ++a) {
    for (int k = 0; k < 3; ++k) Send(&log, a, 0, base::StrCat("second", k));
  }
  Parameters p{{"blocks", 1}, {"share", 0}, {"text", 1}, {"accounts_min", 5}};
  Group block;
  for (uint32_t a = 20; a < 30; ++a) block.push_back(a);
  EXPECT_EQ(Fraudar(log, p), (std::vector<Group>{block}));
  p["blocks"] = 2;
  const auto two = Fraudar(log, p);
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[1], (Group{100, 101, 102, 103, 104, 105}));
  p["share"] = .99;
  EXPECT_EQ(Fraudar(log, p).size(), 1u);
}

TEST(BaselinesTest, ReadsALogAndWritesFindings) {
  const std::string dir = base::StrCat(std::filesystem::temp_directory_path().string(),
                                       "/stillwatch-baselines-", getpid());
  std::filesystem::create_directories(dir);
  std::ofstream(dir + "/a.jsonl") << R"({"account_id":"p","payment_id":"c","org_verified":false})"
                                  << "\n";
  std::ofstream(dir + "/x.jsonl")
      << R"({"exchange_id":"1","ts":"2026-04-22T00:00:01.000Z","account_id":"p","messages":[{"role":"system","content":"s"},{"role":"user","content":"Sum 12 and 7 for me"}]})"
      << "\n"
      << R"({"exchange_id":"2","ts":"2026-04-22T00:00:02.000Z","account_id":"q","messages":[{"role":"user","content":[{"type":"text","text":"sum 99 and 3 for me"}]}]})"
      << "\n";
  const auto log = ReadLog(dir + "/x.jsonl", dir + "/a.jsonl");
  ASSERT_TRUE(log.ok()) << log.status();
  ASSERT_EQ(log->exchanges.size(), 2u);
  EXPECT_EQ(log->exchanges[0].ts_ms % 1000, 0);
  EXPECT_NE(log->exchanges[0].system, 0u);
  EXPECT_NE(log->exchanges[0].turn, log->exchanges[1].turn);
  EXPECT_EQ(log->exchanges[0].head, log->exchanges[1].head);
  ASSERT_TRUE(WriteFindings(*log, dir + "/x.jsonl", {{1}}, nullptr, dir + "/out").ok());
  std::ifstream in(dir + "/out/exchanges.csv");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  EXPECT_EQ(text, "exchange_id,account_id,campaign_id\n2,q,cmp_0\n");
  std::ofstream(dir + "/x.jsonl") << "{\"exchange_id\":\"1\"}\n";
  EXPECT_NE(std::string(ReadLog(dir + "/x.jsonl", dir + "/a.jsonl").status().message())
                .find("x.jsonl:1: no account_id"),
            std::string::npos);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace stillwatch::baselines
