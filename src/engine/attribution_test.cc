#include "engine/attribution.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "base/str.h"
#include "lake/embedded/embedded_lake.h"
#include "link/test_log.h"

namespace stillwatch::engine {
namespace {

using base::StrCat;
using Strings = std::vector<std::string>;

std::string Message(const absl::Status& s) { return {s.message().data(), s.message().size()}; }

// Holds exchange ids by account and answers the one question that is asked of it, in blocks of a
// few rows and in no order.
class ShelfLake : public lake::Lake {
 public:
  absl::Status Migrate() override { return absl::OkStatus(); }
  absl::Status Execute(std::string_view) override { return absl::InternalError("not asked for"); }
  absl::StatusOr<std::string> Report(std::string_view, std::string_view,
                                     const lake::ReportBounds&) override {
    return absl::InternalError("not asked for");
  }
  absl::Status Query(std::string_view sql,
                     const std::function<absl::Status(const lake::Block&)>& on_block) override {
    ++queries;
    size_t accounts = 0;
    Strings out;
    for (const auto& [account, ids] : exchanges) {
      if (sql.find(lake::SqlString(account)) == sql.npos) continue;
      ++accounts;
      out.insert(out.end(), ids.begin(), ids.end());
    }
    most_accounts = std::max(most_accounts, accounts);
    std::shuffle(out.begin(), out.end(), std::mt19937(5));
    for (size_t i = 0; i < out.size(); i += 7) {
      lake::StringColumn ids;
      for (size_t k = i; k < std::min(out.size(), i + 7); ++k) ids.Append(out[k]);
      if (absl::Status s = on_block({{{"exchange_id", ids}}}); !s.ok()) return s;
    }
    return query_status;
  }
  absl::Status Insert(std::string_view table, const lake::Block& b) override {
    EXPECT_EQ(table, "attributed");
    EXPECT_LE(b.rows(), lake::kInsertRowsMax);
    for (size_t i = 0; i < b.rows(); ++i) {
      attributed.push_back(StrCat(b.Find("run")->As<std::vector<uint32_t>>()[i], " ",
                                  b.Find("account_id")->As<lake::StringColumn>()[i], " ",
                                  b.Find("exchange_id")->As<lake::StringColumn>()[i], " ",
                                  b.Find("campaign_id")->As<lake::StringColumn>()[i]));
    }
    return absl::OkStatus();
  }

  std::map<std::string, Strings> exchanges;
  absl::Status query_status;
  Strings attributed;
  int queries = 0;
  size_t most_accounts = 0;
};

// Accounts "a000".. with `each` exchanges, "x0".. in a mixed order, in a log and on a shelf. Other
// accounts and exchanges that the log leaves out are on the shelf too.
struct World {
  explicit World(uint32_t accounts, uint32_t each = 3) {
    link::TestLog t;
    for (uint32_t i = 0; i < accounts * each; ++i) {
      const std::string account = link::TestAccount(i % accounts);
      link::TestRow& r = t.Add(account, link::kTestDay + i * 7919 % 1'000);
      lake.exchanges[account].push_back(r.id);
      id[base::Hash64(r.id)] = r.id;
    }
    log = t.Build();
    lake.exchanges["stranger"] = {"x-stranger"};
    lake.exchanges["a000"].push_back("x-outside-the-window");
  }
  const std::string& Id(uint32_t row) const { return id.at(log.id[row]); }
  const std::string& Account(uint32_t row) const { return log.account_id[log.row_account[row]]; }
  link::Log log;
  ShelfLake lake;
  std::map<uint64_t, std::string> id;
};

TEST(NameExchanges, EachRowGoesToItsCampaignOnceInOrder) {
  World w(40);
  model::Findings f;
  f.campaigns.resize(2);
  f.campaigns[0].id = "cmp_0";
  f.campaigns[1].id = "cmp_1";
  Strings expected;
  for (uint32_t row = 0; row < w.log.rows(); ++row) {
    if (row % 3 == 0) continue;
    for (uint32_t c = 0; c < 2; ++c) {
      if (c == 1 && row % 4 != 0) continue;  // some belong to both
      f.rows.push_back({row, c});
      expected.push_back(StrCat(w.Account(row), " ", w.Id(row), " ", f.campaigns[c].id));
    }
  }
  std::sort(expected.begin(), expected.end());
  std::shuffle(f.rows.begin(), f.rows.end(), std::mt19937(1));
  std::vector<judge::WeighedCandidate> weighed;
  Strings seen;
  const absl::Status s = NameExchanges(
      w.lake, w.log, 17, &f, &weighed,
      [&](std::string_view exchange, std::string_view account, std::string_view campaign) {
        seen.push_back(StrCat(account, " ", exchange, " ", campaign));
        return absl::OkStatus();
      });
  ASSERT_TRUE(s.ok()) << s;
  EXPECT_EQ(seen, expected);
  for (std::string& line : expected) line = "17 " + line;
  EXPECT_EQ(w.lake.attributed, expected);
  EXPECT_EQ(w.lake.queries, 1);
}

TEST(NameExchanges, WhateverIsCitedGetsItsName) {
  World w(40);
  model::Findings f;
  f.campaigns.resize(1);
  f.campaigns[0].id = "cmp";
  f.campaigns[0].evidence.resize(2);
  f.campaigns[0].evidence[0].rows = {90, 3, 50};
  f.campaigns[0].evidence[1].rows = {3};  // cited twice
  f.campaigns[0].templates.resize(1);
  f.campaigns[0].templates[0].specimens = {{119, "", ""}, {3, "", ""}};
  f.rows = {{3, 0}, {4, 0}};
  std::vector<judge::WeighedCandidate> weighed(2);
  weighed[0].rows = {70, 3, 0};
  ASSERT_TRUE(NameExchanges(w.lake, w.log, 1, &f, &weighed, nullptr).ok());
  Strings ids = {w.Id(90), w.Id(3), w.Id(50)};
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(f.campaigns[0].evidence[0].exchanges, ids);
  EXPECT_EQ(f.campaigns[0].evidence[1].exchanges, Strings{w.Id(3)});
  EXPECT_EQ(f.campaigns[0].templates[0].specimens[0].exchange_id, w.Id(119));
  EXPECT_EQ(f.campaigns[0].templates[0].specimens[1].exchange_id, w.Id(3));
  EXPECT_EQ(weighed[0].sample,
            (std::vector<std::pair<std::string, std::string>>{
                {w.Id(70), w.Account(70)}, {w.Id(3), w.Account(3)}, {w.Id(0), w.Account(0)}}));
  EXPECT_TRUE(weighed[1].sample.empty());
  // What is only cited is not attributed.
  EXPECT_EQ(w.lake.attributed.size(), 2u);
}

TEST(NameExchanges, AMissingExchangeIsAnError) {
  for (const bool cited : {false, true}) {
    World w(4);
    model::Findings f;
    f.campaigns.resize(1);
    if (cited) {
      f.campaigns[0].evidence.resize(1);
      f.campaigns[0].evidence[0].rows = {5};
    } else {
      f.rows = {{5, 0}};
    }
    std::erase(w.lake.exchanges[w.Account(5)], w.Id(5));
    std::vector<judge::WeighedCandidate> weighed;
    const absl::Status s = NameExchanges(w.lake, w.log, 1, &f, &weighed, nullptr);
    EXPECT_EQ(Message(s), "lake: an exchange that was judged is no longer in the lake");
    EXPECT_TRUE(w.lake.attributed.empty());
  }
}

TEST(NameExchanges, RowsThatTheLakeHoldsTwiceCountOnce) {
  World w(4);
  for (auto& [account, ids] : w.lake.exchanges) {
    const Strings again = ids;
    ids.insert(ids.end(), again.begin(), again.end());
  }
  model::Findings f;
  f.campaigns.resize(1);
  for (uint32_t row = 0; row < w.log.rows(); ++row) f.rows.push_back({row, 0});
  std::vector<judge::WeighedCandidate> weighed;
  ASSERT_TRUE(NameExchanges(w.lake, w.log, 1, &f, &weighed, nullptr).ok());
  EXPECT_EQ(w.lake.attributed.size(), 12u);
}

TEST(NameExchanges, ErrorsComeThrough) {
  World w(4);
  model::Findings f;
  f.campaigns.resize(1);
  f.rows = {{5, 0}};
  std::vector<judge::WeighedCandidate> weighed;
  const auto full = [](std::string_view, std::string_view, std::string_view) {
    return absl::ResourceExhaustedError("full");
  };
  EXPECT_EQ(Message(NameExchanges(w.lake, w.log, 1, &f, &weighed, full)), "full");
  w.lake.query_status = absl::UnavailableError("gone");
  EXPECT_EQ(Message(NameExchanges(w.lake, w.log, 1, &f, &weighed, nullptr)), "gone");
}

TEST(NameExchanges, NothingToNameAsksNothing) {
  World w(4);
  model::Findings f;
  std::vector<judge::WeighedCandidate> weighed(3);
  ASSERT_TRUE(NameExchanges(w.lake, w.log, 1, &f, &weighed, nullptr).ok());
  EXPECT_EQ(w.lake.queries, 0);
}

TEST(NameExchanges, MoreAccountsThanOneStatementAsksForStayInOrder) {
  link::TestLog t;
  ShelfLake lake;
  model::Findings f;
  f.campaigns.resize(1);
  f.campaigns[0].id = "c";
  Strings expected;
  constexpr uint32_t kAccounts = 4'200;
  for (uint32_t i = 0; i < kAccounts; ++i) {
    const std::string account = "b" + std::to_string(10'000 + i);
    lake.exchanges[account] = {t.Add(account, link::kTestDay).id};
    expected.push_back(StrCat("2 ", account, " ", lake.exchanges[account][0], " c"));
    f.rows.push_back({i, 0});
  }
  std::vector<judge::WeighedCandidate> weighed(1);
  weighed[0].rows = {0, kAccounts - 1};
  ASSERT_TRUE(NameExchanges(lake, t.Build(), 2, &f, &weighed, nullptr).ok());
  EXPECT_EQ(lake.attributed, expected);
  EXPECT_EQ(lake.queries, 2);
  EXPECT_EQ(lake.most_accounts, 4'096u);
  EXPECT_EQ(weighed[0].sample[1].first, lake.exchanges["b14199"][0]);
}

TEST(NameExchanges, InTheEmbeddedLakeWhateverTheNames) {
  const std::string path = testing::TempDir() + "/attribution_lake";
  auto lake = lake::OpenEmbedded({.path = path, .threads = 1});
  ASSERT_TRUE(lake.ok()) << lake.status();
  ASSERT_TRUE((*lake)->Migrate().ok());
  link::TestLog t;
  lake::StringColumn exchange, account;
  for (const std::string a : {"o'clock", "back\\slash", "", "new\nline", "\xe6\xbc\xa2"}) {
    t.Add(a, link::kTestDay).id = "id of " + a;
    exchange.Append("id of " + a);
    account.Append(a);
  }
  ASSERT_TRUE((*lake)
                  ->Insert("exchanges", {{{"exchange_id", exchange},
                                          {"account_id", account},
                                          {"ts", std::vector<int64_t>(5, link::kTestDay)}}})
                  .ok());
  const link::Log log = t.Build();
  model::Findings f;
  f.campaigns.resize(1);
  f.campaigns[0].id = "cmp_1";
  for (uint32_t row = 0; row < log.rows(); ++row) f.rows.push_back({row, 0});
  std::vector<judge::WeighedCandidate> weighed;
  const absl::Status s = NameExchanges(**lake, log, 3, &f, &weighed, nullptr);
  ASSERT_TRUE(s.ok()) << s;
  Strings found;
  ASSERT_TRUE(
      (*lake)
          ->Query(
              "SELECT concat(toString(run), account_id, exchange_id, campaign_id) FROM attributed "
              "ORDER BY account_id",
              [&](const lake::Block& b) {
                const auto& c = b.columns[0].As<lake::StringColumn>();
                for (size_t i = 0; i < c.size(); ++i) found.emplace_back(c[i]);
                return absl::OkStatus();
              })
          .ok());
  Strings expected;
  for (const std::string& a : log.account_id)
    expected.push_back(StrCat("3", a, "id of ", a, "cmp_1"));
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace stillwatch::engine
