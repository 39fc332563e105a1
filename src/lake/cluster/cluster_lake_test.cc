#include "lake/cluster/cluster_lake.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <random>
#include <thread>

#include "lake/cluster/test_servers.h"
#include "lake/test_conformance.h"

namespace stillwatch::lake {
namespace {

// Servers of all cases; a case has databases of its own.
TestServers& One() {
  static TestServers servers(1);
  return servers;
}
TestServers& Three() {
  static TestServers servers(3);
  return servers;
}
std::string NewDatabase() {
  static int n = 0;
  return "lake" + std::to_string(n++);
}
std::string OneUrl() { return "clickhouse://" + One().host(0) + "/" + NewDatabase() + "?wait=10"; }
std::string ThreeUrl(int wait = 10) {
  return "clickhouse://" + Three().hosts() + "/" + NewDatabase() + "?cluster=" + kTestCluster +
         "&wait=" + std::to_string(wait);
}

ClusterOptions OptionsOf(const std::string& where) {
  ClusterOptions options;
  auto url = ParseLakeUrl(where);
  EXPECT_TRUE(url.ok()) << url.status();
  options.url = *url;
  options.insert_seconds = 20;
  options.silent_seconds = 20;
  options.settle_ms = 300;
  return options;
}
absl::StatusOr<std::unique_ptr<Lake>> OpenIt(const std::string& where) {
  return OpenCluster(OptionsOf(where));
}
void RemoveIt(const std::string& where) {
  const absl::Status dropped = DropCluster(OptionsOf(where));
  EXPECT_TRUE(dropped.ok()) << dropped;
}

INSTANTIATE_TEST_SUITE_P(Cluster, LakeConformance,
                         testing::Values(LakeUnderTest{"one_server", OneUrl, OpenIt, RemoveIt},
                                         LakeUnderTest{"three_servers", [] { return ThreeUrl(); },
                                                       OpenIt, RemoveIt}),
                         [](const auto& info) { return info.param.name; });

// Rows of accounts that fall on every shard.
Block Rows(uint32_t run, size_t n) {
  StringColumn id, account, campaign;
  for (size_t i = 0; i < n; ++i) {
    id.Append(std::to_string(run) + "_" + std::to_string(i));
    account.Append("a" + std::to_string(i % 97));
    campaign.Append("c");
  }
  return {{{"run", std::vector<uint32_t>(n, run)},
           {"exchange_id", id},
           {"account_id", account},
           {"campaign_id", campaign}}};
}

class ClusterTest : public testing::Test {
 protected:
  static std::unique_ptr<Lake> Opened(const ClusterOptions& options) {
    auto lake = OpenCluster(options);
    EXPECT_TRUE(lake.ok()) << lake.status();
    const absl::Status migrated = (*lake)->Migrate();
    EXPECT_TRUE(migrated.ok()) << migrated;
    return *std::move(lake);
  }
  static uint64_t Number(Lake& lake, const std::string& sql) {
    uint64_t n = UINT64_MAX;
    const absl::Status s = lake.Query(sql, [&](const Block& b) {
      n = b.columns[0].As<std::vector<uint64_t>>()[0];
      return absl::OkStatus();
    });
    EXPECT_TRUE(s.ok()) << s;
    return n;
  }
  // Every row of so many runs is there once. `attributed` collapses nothing, so a row that was sent
  // twice shows.
  static void ExpectWhole(Lake& lake, uint64_t runs, uint64_t rows) {
    EXPECT_EQ(Number(lake, "SELECT count() AS n FROM attributed"), runs * rows);
    EXPECT_EQ(Number(lake, "SELECT uniqExact(run, exchange_id) AS n FROM attributed"), runs * rows);
  }
  static std::string Message(const absl::Status& s) {
    return std::string(s.message().data(), s.message().size());
  }
};

TEST_F(ClusterTest, RowsAreSpreadByAccountAndReadFromEveryServer) {
  const ClusterOptions options = OptionsOf(ThreeUrl());
  auto lake = Opened(options);
  ASSERT_TRUE(lake->Insert("attributed", Rows(1, 3000)).ok());
  uint64_t accounts = 0;
  for (int i = 0; i < 3; ++i) {
    ClusterOptions one = options;
    one.url.hosts = {Three().host(i)};
    one.url.cluster.clear();
    auto whole = OpenCluster(one);
    ASSERT_TRUE(whole.ok());
    EXPECT_EQ(Number(**whole, "SELECT count() AS n FROM attributed"), 3000u)
        << "read through server " << i;
    one.url.database += "_local";
    auto own = OpenCluster(one);
    ASSERT_TRUE(own.ok());
    const uint64_t here = Number(**own, "SELECT count() AS n FROM attributed");
    EXPECT_GT(here, 500u);
    EXPECT_LT(here, 1500u);
    accounts += Number(**own, "SELECT uniqExact(account_id) AS n FROM attributed");
  }
  EXPECT_EQ(accounts, 97u) << "no account is on two shards";
  EXPECT_TRUE(DropCluster(options).ok());
}

TEST_F(ClusterTest, WhatIsWrongWithAClusterIsSaid) {
  const std::string hosts = Three().hosts();
  const auto opens = [](const std::string& where) {
    return OpenIt("clickhouse://" + where + (where.back() == 'x' ? "?wait=1" : "&wait=1")).status();
  };
  absl::Status s = opens(hosts + "/x?cluster=nobodys");
  EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(Message(s).find("knows no cluster nobodys"), std::string::npos) << s;
  s = opens(hosts + "/x?cluster=pair");
  EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(Message(s).find("not replicated"), std::string::npos) << s;
  s = opens(Three().host(0) + "/x?cluster=test");  // the others have other ports here
  EXPECT_FALSE(s.ok());
  EXPECT_NE(Message(s).find("shard 2 of test is in no host of the URL"), std::string::npos) << s;
  s = opens("hush:hush@" + hosts + "/x?cluster=test");
  EXPECT_EQ(s.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Message(s).find("hush@"), std::string::npos) << s;
  s = opens("guarded:wrong@" + Three().host(0) + "/x");
  EXPECT_EQ(s.code(), absl::StatusCode::kPermissionDenied) << s;
  EXPECT_EQ(Message(s).find("wrong@"), std::string::npos) << s;
  EXPECT_TRUE(opens("guarded:se%3Ac%40ret@" + Three().host(0) + "/x").ok());
  s = opens("127.0.0.1:1/x");
  EXPECT_EQ(s.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(Message(s).find("127.0.0.1:1 does not answer"), std::string::npos) << s;
  const absl::Status none = DropCluster(OptionsOf(ThreeUrl()));
  EXPECT_EQ(none.code(), absl::StatusCode::kNotFound) << none;
}

TEST_F(ClusterTest, TablesOfAnotherProgramAreLeftAlone) {
  const std::string database = NewDatabase();
  const ClusterOptions plain =
      OptionsOf("clickhouse://" + Three().host(1) + "/" + database + "_local");
  auto other = OpenCluster(plain);
  ASSERT_TRUE(other.ok());
  ASSERT_TRUE((*other)->Migrate().ok());
  ASSERT_TRUE((*other)->Execute("DROP TABLE schema_version").ok());
  const ClusterOptions options =
      OptionsOf("clickhouse://" + Three().hosts() + "/" + database + "?cluster=test");
  auto lake = OpenCluster(options);
  ASSERT_TRUE(lake.ok());
  const absl::Status s = (*lake)->Migrate();
  EXPECT_EQ(s.code(), absl::StatusCode::kFailedPrecondition) << s;
  EXPECT_NE(Message(s).find("of another program"), std::string::npos) << s;
}

TEST_F(ClusterTest, AShardThatLacksATableGetsIt) {
  const ClusterOptions options = OptionsOf(ThreeUrl());
  auto lake = Opened(options);
  ClusterOptions third = options;
  third.url.hosts = {Three().host(2)};
  third.url.cluster.clear();
  third.url.database += "_local";
  auto own = OpenCluster(third);
  ASSERT_TRUE((*own)->Execute("DROP TABLE attributed").ok());
  EXPECT_FALSE(lake->Query("SELECT count() AS n FROM attributed",
                           [](const Block&) { return absl::OkStatus(); })
                   .ok())
      << "never an answer without that shard";
  lake = Opened(options);
  ASSERT_TRUE(lake->Insert("attributed", Rows(1, 300)).ok());
  ExpectWhole(*lake, 1, 300);
  EXPECT_TRUE(DropCluster(options).ok());
}

TEST_F(ClusterTest, ReplaceDeleteAndUse) {
  const ClusterOptions options = OptionsOf(ThreeUrl());
  auto lake = Opened(options);
  ASSERT_TRUE(lake->Insert("attributed", Rows(1, 300)).ok());
  ASSERT_TRUE(lake->Insert("attributed", Rows(2, 300)).ok());
  ASSERT_TRUE(lake->Delete("attributed", "run = 1").ok());
  EXPECT_EQ(Number(*lake, "SELECT count() AS n FROM attributed"), 300u);
  EXPECT_EQ(Number(*lake, "SELECT countIf(run = 1) AS n FROM attributed"), 0u);
  ASSERT_TRUE(lake->Replace("attributed", Rows(3, 120)).ok());
  EXPECT_EQ(Number(*lake, "SELECT countIf(run = 3) AS n FROM attributed"), 120u);
  EXPECT_EQ(Number(*lake, "SELECT count() AS n FROM attributed"), 120u);
  auto use = lake->Use();
  ASSERT_TRUE(use.ok());
  EXPECT_EQ((*use)["attributed"].rows, 120u);
  EXPECT_GT((*use)["attributed"].bytes, 0u);
  EXPECT_TRUE(DropCluster(options).ok());
}

TEST_F(ClusterTest, SeveralLakesAreMadeAndWrittenAtOnce) {
  const ClusterOptions options = OptionsOf(ThreeUrl());
  std::vector<std::thread> threads;
  std::array<absl::Status, 4> said;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      auto lake = OpenCluster(options);
      said[t] = lake.ok() ? (*lake)->Migrate() : lake.status();
      for (uint32_t i = 0; i < 5 && said[t].ok(); ++i)
        said[t] = (*lake)->Insert("attributed", Rows(t * 100 + i, 500));
    });
  }
  for (std::thread& t : threads) t.join();
  for (const absl::Status& s : said) EXPECT_TRUE(s.ok()) << s;
  ExpectWhole(*Opened(options), 20, 500);
  EXPECT_TRUE(DropCluster(options).ok());
}

// ---- servers that freeze and die; each test has its own

class FaultTest : public ClusterTest {
 protected:
  ClusterOptions Impatient(int wait) {
    ClusterOptions options =
        OptionsOf("clickhouse://" + servers_.hosts() + "/lake?cluster=" + kTestCluster);
    options.url.wait_seconds = wait;
    options.insert_seconds = 1;
    options.silent_seconds = 2;
    options.settle_ms = 500;
    return options;
  }
  template <typename F>
  static bool Soon(const F& what) {
    for (int i = 0; i < 12'000; ++i) {
      if (what()) return true;
      usleep(10'000);
    }
    return false;
  }
  // Writes from three threads until `trouble` has ended; gives the number of blocks. `trouble`
  // calls what it is given to wait until a few more have been written.
  uint32_t WriteThrough(Lake& lake,
                        const std::function<void(const std::function<void()>& go_on)>& trouble,
                        size_t rows) {
    std::atomic<uint32_t> next{1};
    std::atomic<bool> done{false};
    std::vector<std::thread> writers;
    for (int t = 0; t < 3; ++t) {
      writers.emplace_back([&] {
        while (!done) {
          const absl::Status s = lake.Insert("attributed", Rows(next++, rows));
          EXPECT_TRUE(s.ok()) << s;
        }
      });
    }
    trouble([&] {
      const uint32_t to = next + 3;
      EXPECT_TRUE(Soon([&] { return next >= to; }));
    });
    done = true;
    for (std::thread& t : writers) t.join();
    return next - 1;
  }
  // As whoever had an error does; a busy machine may need more than one.
  static void InsertAgain(Lake& lake, const Block& block) {
    absl::Status again;
    EXPECT_TRUE(Soon([&] {
      again = lake.Insert("attributed", block);
      EXPECT_TRUE(again.ok() || again.code() == absl::StatusCode::kUnavailable) << again;
      return again.ok();
    })) << again;
  }
  TestServers servers_{3};
};

TEST_F(FaultTest, WritesOutlastAFrozenServer) {
  auto lake = Opened(Impatient(60));
  const uint32_t runs = WriteThrough(
      *lake,
      [&](const auto& go_on) {
        for (int round = 0; round < 2; ++round) {
          go_on();
          servers_.Signal(1 + round, SIGSTOP);
          usleep(2'500'000);  // longer than an insert may take: what was sent lands when the server
                              // goes on
          servers_.Signal(1 + round, SIGCONT);
        }
        go_on();
      },
      3000);
  EXPECT_GT(runs, 6u);
  ExpectWhole(*lake, runs, 3000);
}

TEST_F(FaultTest, WritesOutlastKilledServers) {
  auto lake = Opened(Impatient(60));
  std::mt19937 random(std::random_device{}());
  const uint32_t runs = WriteThrough(
      *lake,
      [&](const auto& go_on) {
        for (int round = 0; round < 6; ++round) {
          if (round % 2 == 0) go_on();
          usleep(random() % 300'000);
          servers_.Kill(round % 3);
          usleep(100'000);
          servers_.Start(round % 3);
          EXPECT_TRUE(servers_.Ready(round % 3));
        }
        go_on();
      },
      3000);
  EXPECT_GT(runs, 6u);
  ExpectWhole(*lake, runs, 3000);
}

TEST_F(FaultTest, ReadsWaitOrFailAndAreNeverPartial) {
  auto lake = Opened(Impatient(120));
  auto hasty = Opened(Impatient(1));
  ASSERT_TRUE(lake->Insert("attributed", Rows(1, 30'000)).ok());
  // Frozen in the middle of many reads: each is whole or an error.
  std::atomic<bool> done{false};
  std::atomic<int> whole{0}, refused{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&, t] {
      while (!done) {
        uint64_t rows = 0;
        Lake& mine = t == 0 ? *hasty : *lake;
        const absl::Status s =
            mine.Query("SELECT exchange_id, account_id FROM attributed", [&](const Block& b) {
              rows += b.rows();
              return absl::OkStatus();
            });
        if (s.ok())
          EXPECT_EQ(rows, 30'000u);
        else
          EXPECT_EQ(s.code(), absl::StatusCode::kUnavailable) << s;
        ++(s.ok() ? whole : refused);
        if (t > 0) EXPECT_TRUE(s.ok()) << s;
      }
    });
  }
  const auto more = [&](std::atomic<int>& count) {
    const int to = count + 3;
    return Soon([&] { return count >= to; });
  };
  // The hasty one meets each trouble; the others go on once it is over.
  EXPECT_TRUE(more(whole));
  servers_.Signal(2, SIGSTOP);
  EXPECT_TRUE(Soon([&] { return refused > 0; }));
  servers_.Signal(2, SIGCONT);
  EXPECT_TRUE(more(whole));
  servers_.Kill(1);
  EXPECT_TRUE(more(refused));
  servers_.Start(1);
  EXPECT_TRUE(servers_.Ready(1));
  EXPECT_TRUE(more(whole));
  done = true;
  for (std::thread& t : readers) t.join();
}

TEST_F(FaultTest, ABlockThatFailedInPartIsCompletedByInsertingItAgain) {
  auto lake = Opened(Impatient(1));
  const Block block = Rows(1, 3000);
  ASSERT_TRUE(lake->Insert("attributed", Rows(0, 300)).ok());
  servers_.Kill(1);
  const absl::Status failed = lake->Insert("attributed", block);
  EXPECT_EQ(failed.code(), absl::StatusCode::kUnavailable) << failed;
  EXPECT_NE(Message(failed).find("shard 2 (" + servers_.host(1) + ") does not answer"),
            std::string::npos)
      << failed;
  EXPECT_NE(Message(failed).find("start the server again"), std::string::npos) << failed;
  servers_.Start(1);
  ASSERT_TRUE(servers_.Ready(1));
  InsertAgain(*lake, block);
  auto patient = Opened(Impatient(60));
  EXPECT_EQ(Number(*patient, "SELECT countIf(run = 1) AS n FROM attributed"), 3000u);
  InsertAgain(*lake, block);  // a third time is new rows again
  EXPECT_EQ(Number(*patient, "SELECT countIf(run = 1) AS n FROM attributed"), 6000u);
}

TEST_F(FaultTest, AnInsertOfUnknownFateThatLandedLaterIsNotSentAgain) {
  ClusterOptions options = Impatient(1);
  auto lake = Opened(options);
  ASSERT_TRUE(lake->Insert("attributed", Rows(0, 300)).ok());
  for (int i = 0; i < 3; ++i) servers_.Signal(i, SIGSTOP);
  const Block block = Rows(1, 3000);
  const absl::Status failed = lake->Insert("attributed", block);
  EXPECT_EQ(failed.code(), absl::StatusCode::kUnavailable) << failed;
  for (int i = 0; i < 3; ++i) servers_.Signal(i, SIGCONT);
  auto patient = Opened(Impatient(60));
  const char* landed = "SELECT countIf(run = 1) AS n FROM attributed";
  EXPECT_TRUE(Soon([&] { return Number(*patient, landed) > 0; })) << "the servers had the rows";
  InsertAgain(*lake, block);
  EXPECT_EQ(Number(*patient, landed), 3000u);
}

TEST_F(FaultTest, AWaitingCallCanBeStopped) {
  std::atomic<bool> stop{false};
  std::atomic<int> notes{0};
  ClusterOptions options = Impatient(600);
  options.stop = &stop;
  options.note = [&](const std::string& text) {
    EXPECT_NE(text.find("does not answer"), std::string::npos) << text;
    ++notes;
  };
  auto lake = Opened(options);
  servers_.Kill(0);
  std::thread later([&] {
    EXPECT_TRUE(Soon([&] { return notes > 0; }));
    stop = true;
  });
  // Long before the wait of ten minutes would be over.
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(lake->Insert("attributed", Rows(1, 300)).code(), absl::StatusCode::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(300));
  later.join();
}

}  // namespace
}  // namespace stillwatch::lake
