#include "lake/embedded/embedded_lake.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "lake/engine_error.h"
#include "lake/migrate.h"
#include "lake/report_gate.h"
#include "lake/test_conformance.h"

namespace stillwatch::lake {
namespace {

namespace fs = std::filesystem;

std::string NewPlace() {
  static int n = 0;
  const fs::path base = fs::path(testing::TempDir()) / ("stillwatch-lake-" + std::to_string(getpid()));
  fs::create_directories(base);
  return (base / std::to_string(n++)).string();
}

INSTANTIATE_TEST_SUITE_P(Embedded, LakeConformance,
                         testing::Values(LakeUnderTest{
                             "embedded", NewPlace,
                             [](const std::string& where) { return OpenEmbedded({.path = where, .threads = 2}); },
                             [](const std::string& where) { fs::remove_all(where); }}),
                         [](const auto& info) { return info.param.name; });

class EmbeddedLakeTest : public testing::Test {
 protected:
  void SetUp() override { path_ = NewPlace(); }
  void TearDown() override { fs::remove_all(path_); }

  std::unique_ptr<Lake> Opened() {
    auto lake = OpenEmbedded({.path = path_, .threads = 2});
    EXPECT_TRUE(lake.ok()) << lake.status();
    const absl::Status migrated = (*lake)->Migrate();
    EXPECT_TRUE(migrated.ok()) << migrated;
    return std::move(*lake);
  }
  static std::vector<std::string> Strings(Lake& lake, const std::string& sql) {
    std::vector<std::string> out;
    const absl::Status s = lake.Query(sql, [&](const Block& b) {
      const auto& c = b.columns[0].As<StringColumn>();
      for (size_t i = 0; i < c.size(); ++i) out.emplace_back(c[i]);
      return absl::OkStatus();
    });
    EXPECT_TRUE(s.ok()) << s;
    return out;
  }
  std::string path_;
};

Block Batch(uint32_t run, size_t n) {
  StringColumn id, account, campaign;
  for (size_t i = 0; i < n; ++i) {
    id.Append(std::to_string(run) + "_" + std::to_string(i));
    account.Append("a" + std::to_string(i % 100));
    campaign.Append("c");
  }
  return {{{"run", std::vector<uint32_t>(n, run)}, {"exchange_id", id}, {"account_id", account}, {"campaign_id", campaign}}};
}

// A copy of this program that runs one test of suite DISABLED_Child in a process of its own. The
// engine's threads live on in the parent, so between fork and exec only `setup` runs, which may
// make system calls and nothing else.
pid_t StartChild(const std::string& test, const std::map<std::string, std::string>& environment,
                 const std::function<void()>& setup = [] {}) {
  for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
  const std::string filter = "--gtest_filter=DISABLED_Child." + test;
  const pid_t child = fork();
  if (child != 0) {
    for (const auto& [name, value] : environment) unsetenv(name.c_str());
    return child;
  }
  setup();
  execl("/proc/self/exe", "lake_embedded_test", filter.c_str(), "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr);
  _exit(99);
}

int Wait(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

std::string ChildPath() {
  const char* path = std::getenv("STILLWATCH_TEST_LAKE");
  return path == nullptr ? "" : path;
}

// ---- opening

TEST_F(EmbeddedLakeTest, AFileIsNoLake) {
  std::ofstream(path_) << "x";
  const auto opened = OpenEmbedded({.path = path_});
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(opened.status().message().find("is a file"), std::string::npos) << opened.status();
  const auto below = OpenEmbedded({.path = path_ + "/lake"});
  EXPECT_EQ(below.status().code(), absl::StatusCode::kFailedPrecondition) << below.status();
}

TEST_F(EmbeddedLakeTest, AFolderWithOtherThingsIsLeftAlone) {
  fs::create_directories(path_ + "/data");
  std::ofstream(path_ + "/diary.txt") << "x";
  const auto opened = OpenEmbedded({.path = path_});
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(opened.status().message().find("diary.txt"), std::string::npos) << opened.status();
  EXPECT_EQ(std::distance(fs::directory_iterator(path_), fs::directory_iterator()), 2);
}

TEST_F(EmbeddedLakeTest, AnUnwritableFolderIsSaid) {
  if (geteuid() == 0) {
    const auto opened = OpenEmbedded({.path = "/proc/stillwatch-lake"});  // root may write anywhere else
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition) << opened.status();
    return;
  }
  fs::create_directories(path_);
  fs::permissions(path_, fs::perms::owner_read | fs::perms::owner_exec);
  const auto opened = OpenEmbedded({.path = path_});
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(opened.status().message().find("cannot be written"), std::string::npos) << opened.status();
  fs::permissions(path_, fs::perms::owner_all);
}

TEST_F(EmbeddedLakeTest, DroppingRemovesTheLakeAndNothingElse) {
  { ASSERT_TRUE(Opened()->Insert("attributed", Batch(1, 1000)).ok()); }
  std::ofstream(path_ + "/diary.txt") << "mine";
  fs::create_directories(path_ + "/results/store");
  ASSERT_TRUE(DropEmbedded(path_).ok());
  EXPECT_EQ(std::distance(fs::directory_iterator(path_), fs::directory_iterator()), 2);
  EXPECT_EQ(fs::file_size(path_ + "/diary.txt"), 4u);
  EXPECT_TRUE(fs::exists(path_ + "/results/store"));
  // What is no lake is left alone, though its entries have the engine's names.
  for (const char* entry : {"store", "data", "tmp"})
    fs::create_directories(path_ + "/" + entry + "/mine");
  EXPECT_EQ(DropEmbedded(path_).code(), absl::StatusCode::kNotFound);
  for (const char* entry : {"store", "data", "tmp"})
    EXPECT_TRUE(fs::exists(path_ + "/" + entry + "/mine"));
  EXPECT_EQ(DropEmbedded(path_ + "-nowhere").code(), absl::StatusCode::kNotFound);
}

TEST_F(EmbeddedLakeTest, DroppingTakesADamagedLakeAndItsFolder) {
  { ASSERT_TRUE(Opened()->Insert("attributed", Batch(1, 1000)).ok()); }
  fs::remove_all(path_ + "/store");  // damaged, or a drop that was cut short
  ASSERT_TRUE(DropEmbedded(path_).ok());
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(EmbeddedLakeTest, OneLakeAtATimeAndTheSameOneTwice) {
  auto lake = Opened();
  const auto other = OpenEmbedded({.path = path_ + "-other"});
  EXPECT_EQ(other.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(other.status().message().find(path_ + " open"), std::string::npos) << other.status();
  {
    auto again = OpenEmbedded({.path = path_ + "/."});
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE((*again)->Insert("attributed", Batch(1, 5)).ok());
  }
  EXPECT_EQ(Strings(*lake, "SELECT toString(count()) AS n FROM attributed"), std::vector<std::string>{"5"});
  lake.reset();
  EXPECT_TRUE(OpenEmbedded({.path = path_ + "-other"}).ok());
  fs::remove_all(path_ + "-other");
}

TEST_F(EmbeddedLakeTest, ALakeThatWasMovedIsTheSame) {
  {
    auto lake = Opened();
    ASSERT_TRUE(lake->Insert("attributed", Batch(1, 5)).ok());
  }
  fs::rename(path_, path_ + "-moved");
  path_ += "-moved";
  EXPECT_EQ(Strings(*Opened(), "SELECT toString(count()) AS n FROM attributed"), std::vector<std::string>{"5"});
}

TEST_F(EmbeddedLakeTest, AnotherProcessHoldsIt) {
  int ready[2], hold[2];
  ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(hold, O_CLOEXEC), 0);
  const pid_t child = StartChild("HoldsALake", {{"STILLWATCH_TEST_LAKE", path_}}, [&] {
    dup2(hold[0], 10);
    dup2(ready[1], 11);
  });
  close(ready[1]);
  close(hold[0]);
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  const auto opened = OpenEmbedded({.path = path_});
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(opened.status().message().find("in use by another process (process " + std::to_string(child) + ")"),
            std::string::npos)
      << opened.status();
  EXPECT_EQ(DropEmbedded(path_).code(), absl::StatusCode::kUnavailable);
  close(hold[1]);
  EXPECT_EQ(Wait(child), 0);
  close(ready[0]);
  EXPECT_TRUE(OpenEmbedded({.path = path_}).ok());
}

TEST(DISABLED_Child, HoldsALake) {
  auto lake = OpenEmbedded({.path = ChildPath()});
  ASSERT_TRUE(lake.ok()) << lake.status();
  ASSERT_TRUE((*lake)->Migrate().ok());
  char byte = 0;
  ASSERT_EQ(write(11, &byte, 1), 1);
  EXPECT_EQ(read(10, &byte, 1), 0);  // until the parent lets go
}

TEST_F(EmbeddedLakeTest, ALibraryThatIsNotThereIsSaid) {
  const pid_t child = StartChild("MissesTheLibrary",
                                 {{"STILLWATCH_TEST_LAKE", path_}, {"STILLWATCH_CHDB", "/nowhere/libchdb.so"}});
  EXPECT_EQ(Wait(child), 0);
}

TEST(DISABLED_Child, MissesTheLibrary) {
  const auto lake = OpenEmbedded({.path = ChildPath()});
  EXPECT_EQ(lake.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(lake.status().message().find("/nowhere/libchdb.so"), std::string::npos) << lake.status();
  EXPECT_NE(lake.status().message().find("make setup"), std::string::npos) << lake.status();
}

// ---- what it leaves and says

TEST_F(EmbeddedLakeTest, LeavesNothingElsewhereAndPrintsNothing) {
  const fs::path here = path_ + "-here";
  fs::create_directories(here);
  const std::string old_home = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  const pid_t child = StartChild("UsesEveryCall",
                                 {{"STILLWATCH_TEST_LAKE", path_}, {"HOME", here.string()}, {"TMPDIR", here.string()}},
                                 [&] {
                                   if (chdir(here.c_str()) != 0) _exit(98);
                                 });
  setenv("HOME", old_home.c_str(), 1);
  EXPECT_EQ(Wait(child), 0);
  EXPECT_TRUE(fs::is_empty(here)) << fs::directory_iterator(here)->path();
  fs::remove_all(here);
}

TEST(DISABLED_Child, UsesEveryCall) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  {
    auto lake = OpenEmbedded({.path = ChildPath()});
    ASSERT_TRUE(lake.ok());
    EXPECT_TRUE((*lake)->Migrate().ok());
    EXPECT_TRUE((*lake)->Insert("attributed", Batch(1, 1000)).ok());
    EXPECT_FALSE((*lake)->Query("SELECT throwIf(1) AS x", [](const Block&) { return absl::OkStatus(); }).ok());
    EXPECT_FALSE((*lake)->Execute("CREATE NONSENSE").ok());
    EXPECT_TRUE((*lake)->Report("SELECT count() FROM attributed", "CSV").ok());
    EXPECT_FALSE((*lake)->Report("SELECT * FROM nowhere", "CSV").ok());
    // Sorted on disk: the spill stays in the lake too.
    EXPECT_TRUE((*lake)->Execute("CREATE TABLE big (n UInt64) ENGINE = MergeTree ORDER BY n").ok());
    EXPECT_TRUE((*lake)->Execute("INSERT INTO big SELECT cityHash64(number) FROM numbers(500000) ORDER BY 1 "
                                 "SETTINGS max_bytes_before_external_sort = 1000000").ok());
  }
  // TempDir() is gtest's own and its captures are files there, so they are read before the check.
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

// ---- settings

TEST_F(EmbeddedLakeTest, EveryConnectionHasItsBounds) {
  auto lake = OpenEmbedded({.path = path_, .threads = 3, .memory_max_bytes = 123'000'000});
  ASSERT_TRUE(lake.ok());
  const std::string sql =
      "SELECT concat(name, '=', value) AS s FROM system.settings WHERE name IN ('max_memory_usage', 'max_threads', "
      "'max_bytes_before_external_group_by', 'max_bytes_before_external_sort', 'optimize_on_insert') ORDER BY name";
  const std::vector<std::string> want = {"max_bytes_before_external_group_by=61500000", "max_bytes_before_external_sort=61500000",
                                         "max_memory_usage=123000000", "max_threads=3", "optimize_on_insert=0"};
  EXPECT_EQ(Strings(**lake, sql), want);
  const absl::Status s = (*lake)->Query("SELECT length(groupArray(toString(number))) AS n FROM numbers(100000000)",
                                        [](const Block&) { return absl::OkStatus(); });
  EXPECT_EQ(s.code(), absl::StatusCode::kResourceExhausted) << s;
  EXPECT_EQ(Strings(**lake, sql), want);  // on a new connection
}

TEST_F(EmbeddedLakeTest, OldPartsGoSoonAndSafely) {
  auto lake = Opened();
  EXPECT_EQ(Strings(*lake, "SELECT name FROM system.tables WHERE database = currentDatabase() AND "
                           "(position(create_table_query, 'old_parts_lifetime = 5') = 0 OR "
                           "position(create_table_query, 'min_rows_to_fsync_after_merge = 1') = 0)"),
            std::vector<std::string>{});
}

TEST_F(EmbeddedLakeTest, PartsOfATableThatGrowsLargeInOneGoAreMergedManyAtATime) {
  const auto merged = [](Lake& lake, int at_once) {
    return Strings(lake,
                   "SELECT name FROM system.tables WHERE database = currentDatabase() AND "
                   "name IN ('attributed', 'exchanges') AND position(create_table_query, "
                   "'min_parts_to_merge_at_once = " +
                       std::to_string(at_once) + "') > 0 ORDER BY name");
  };
  const std::vector<std::string> both = {"attributed", "exchanges"};
  {
    auto lake = OpenEmbedded({.path = path_, .many_rows = 200'000});
    ASSERT_TRUE(lake.ok() && (*lake)->Migrate().ok());
    for (int i = 0; i < 3; ++i) ASSERT_TRUE((*lake)->Insert("attributed", Batch(1, 60'000)).ok());
    EXPECT_EQ(merged(**lake, 6), both) << "small blocks do not count";
    ASSERT_TRUE((*lake)->Insert("attributed", Batch(1, 100'000)).ok());
    EXPECT_EQ(merged(**lake, 6), both);
    ASSERT_TRUE((*lake)->Insert("attributed", Batch(1, 100'000)).ok());
    EXPECT_EQ(merged(**lake, 32), std::vector<std::string>{"attributed"});
  }
  EXPECT_EQ(merged(*Opened(), 6), both) << "until it is opened again";
}

TEST_F(EmbeddedLakeTest, ActiveBytesAreCounted) {
  auto lake = Opened();
  ASSERT_TRUE(lake->Insert("attributed", Batch(1, 5000)).ok());
  std::map<std::string, std::pair<uint64_t, uint64_t>> tables;
  ASSERT_TRUE(lake->Query(kTableUseSql,
                          [&](const Block& b) {
                            for (size_t i = 0; i < b.rows(); ++i) {
                              tables[std::string(b.columns[0].As<StringColumn>()[i])] = {
                                  b.columns[1].As<std::vector<uint64_t>>()[i],
                                  b.columns[2].As<std::vector<uint64_t>>()[i]};
                            }
                            return absl::OkStatus();
                          })
                  .ok());
  EXPECT_EQ(tables["attributed"].first, 5000u);
  EXPECT_GT(tables["attributed"].second, 5000u);
}

// ---- reports

TEST_F(EmbeddedLakeTest, ReportsDoNotReachOutside) {
  const std::string secret = path_ + "-secret.csv";
  std::ofstream(secret) << "hush\n";
  auto lake = Opened();
  const std::string q = SqlString(secret);
  const std::string made = path_ + "-out.csv";
  for (const std::string& sql : {
           "SELECT * FROM file(" + q + ", 'LineAsString')", "SELECT * FROM \"file\"(" + q + ", 'LineAsString')",
           "SELECT * FROM FILE /* ' */ (" + q + ", 'LineAsString') -- '", "SELECT file(" + q + ")", "SELECT `File`(" + q + ")",
           "WITH file(" + q + ") AS x SELECT x", "SELECT * FROM (SELECT file(" + q + "))", "DESCRIBE file(" + q + ")",
           "EXPLAIN SELECT file(" + q + ")", "SELECT * FROM \"" + secret + "\"", "SELECT * FROM `" + secret + "`",
           "SELECT * FROM " + q, "SELECT 1 IN (SELECT * FROM \"" + secret + "\")", "DESCRIBE TABLE \"" + secret + "\"",
           "EXISTS TABLE \"" + secret + "\"", "SELECT 1 INTO OUTFILE " + SqlString(made), std::string("SELECT * FROM url('http://127.0.0.1:1/', 'CSV')"),
           std::string("SELECT * FROM s3('http://127.0.0.1:1/b/x', 'CSV', 'a String')"),
           std::string("SELECT * FROM remote('127.0.0.1', 'default', 'attributed')"),
           std::string("SELECT * FROM executable('ls', 'CSV', 'a String')"), "SELECT * FROM sqlite(" + q + ", 't')",
           "SELECT * FROM filesystem(" + q + ")", "SELECT catboostEvaluate(" + q + ", 1)", "INSERT INTO FUNCTION file(" + SqlString(made) + ", 'CSV') SELECT 1",
           "graph = 1, file(" + q + ")", std::string("SELECT * FROM loop('default', 'attributed')")}) {
    const auto out = lake->Report(sql, "CSV");
    EXPECT_FALSE(out.ok()) << sql << " gave " << *out;
    EXPECT_EQ(out.status().message().find("hush"), std::string::npos) << sql << out.status();
  }
  EXPECT_FALSE(fs::exists(made));
  fs::remove(secret);
}

TEST_F(EmbeddedLakeTest, ReportsAreBounded) {
  auto lake = Opened();
  const auto many = lake->Report("SELECT * FROM numbers(" + std::to_string(kReportRowsMax + 1) + ")", "CSV");
  EXPECT_FALSE(many.ok());
  EXPECT_TRUE(lake->Report("SELECT * FROM numbers(1000)", "Null").ok());
  const auto raised = lake->Report("SELECT * FROM numbers(2) SETTINGS max_result_rows = 0", "CSV");
  EXPECT_FALSE(raised.ok());
  EXPECT_FALSE(lake->Report("SELECT 1", "NoSuchFormat").ok());
}

TEST_F(EmbeddedLakeTest, ReportErrorsAreOneSentence) {
  auto lake = Opened();
  const auto out = lake->Report("SELECT * FROM nowhere", "CSV");
  EXPECT_EQ(out.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(out.status().message().find("nowhere"), std::string::npos) << out.status();
  for (const char* noise : {"Code:", "DB::Exception", "version", "\n"}) {
    EXPECT_EQ(out.status().message().find(noise), std::string::npos) << out.status();
  }
}

// What a person at a screen may send: every way that we know out of the lake, or around the bounds.
TEST_F(EmbeddedLakeTest, HuntsAreRefusedWhatReportsAre) {
  const std::string secret = path_ + "-secret.csv", made = path_ + "-out.csv";
  std::ofstream(secret) << "hush\n";
  const std::string q = SqlString(secret);
  for (const std::string& sql : std::vector<std::string>{
           "SELECT * FROM file(" + q + ", 'LineAsString')",
           "SELECT * FROM \"file\"(" + q + ")",
           "SELECT * FROM `FILE` /* ' */ (" + q + ") -- '",
           "SELECT file(" + q + ")",
           "WITH file(" + q + ") AS x SELECT x",
           "SELECT * FROM exchanges WHERE account_id IN (SELECT file(" + q + "))",
           "SELECT * FROM (SELECT * FROM url('http://127.0.0.1:1/', 'CSV'))",
           "SELECT * FROM s3('http://127.0.0.1:1/b/x', 'CSV')",
           "SELECT * FROM s3Cluster('c', 'http://127.0.0.1:1/b/x', 'CSV')",
           "SELECT * FROM urlCluster('c', 'http://127.0.0.1:1/')",
           "SELECT * FROM remote('127.0.0.1', 'system', 'users')",
           "SELECT * FROM remoteSecure('127.0.0.1', system.users)",
           "SELECT * FROM cluster('c', default.t)",
           "SELECT * FROM merge('system', '.*')",
           "SELECT * FROM executable('ls', 'CSV', 'a String')",
           "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
           "SELECT * FROM system.settings",
           "SELECT * FROM `system`.`settings`",
           "SELECT * FROM \"system\" . tables",
           "SELECT 1 WHERE 1 IN system.one",
           "SELECT * FROM exchanges, system.one",
           "SELECT * FROM other.exchanges",
           "SELECT * FROM exchanges AS e, other.secrets",
           "SELECT * FROM exchanges JOIN other.secrets USING account_id",
           "SELECT 1 IN other.secrets",
           "SELECT * FROM exchanges e JOIN accounts a ON e.account_id = a.account_id, "
           "other.secrets",
           "SELECT * FROM INFORMATION_SCHEMA.tables",
           "SELECT 1 INTO OUTFILE " + SqlString(made),
           "SELECT 1 into/**/outfile " + SqlString(made),
           "SELECT 1 FORMAT JSON",
           "SELECT 1 SETTINGS readonly = 0",
           "SELECT 1 settings max_result_rows = 0",
           "SELECT * FROM (SELECT 1 SETTINGS max_execution_time = 0)",
           "SELECT 1; SELECT 2",
           "SELECT 1; DROP TABLE exchanges",
           "DROP TABLE exchanges",
           "INSERT INTO exchanges VALUES (1)",
           "INSERT INTO FUNCTION file('x') SELECT 1",
           "SET readonly = 0",
           "SHOW TABLES",
           "EXPLAIN SELECT 1",
           "SYSTEM SHUTDOWN",
           "1",
           "",
           "SELECT dictGet('d', 'a', 1)",
           "SELECT getServerSetting('path')",
           "SELECT getSetting('readonly')",
           "SELECT $$ $$ FROM system.one",
           "SELECT 1 /* /* */ FROM system.one -- */",
           "SELECT \xE2\x80\x98 FROM system.one \xE2\x80\x99",
           "SELECT 1 # \nFROM system.one",
           "SELECT {a:String}",
           "SELECT 'open",
           "SELECT 1 /* open",
           "SELECT * FROM `syst\\x65m`.one",
           "SELECT 'a\\' FROM system.one WHERE 'b'"}) {
    const absl::Status s = CheckHunt(sql);
    // The last one is a string to the end of its line: it must not parse as two words apart.
    EXPECT_FALSE(s.ok()) << sql;
    EXPECT_EQ(s.message().substr(0, 6), "query:") << s;
  }
  EXPECT_FALSE(fs::exists(made));
  auto lake = Opened();
  ASSERT_TRUE(lake->Insert("attributed", Batch(1, 3)).ok());
  for (const char* sql :
       {"SELECT count() FROM attributed", " select count(*) from attributed ; ",
        "WITH x AS (SELECT * FROM attributed) SELECT count() FROM x",
        "(SELECT count() FROM attributed)",
        "SELECT count() FROM attributed AS a WHERE a.account_id != 'FROM system.one INTO OUTFILE ; "
        "--'",
        "SELECT count() /* system, settings */ FROM attributed -- FORMAT x",
        "SELECT count() FROM attributed a JOIN attributed b ON a.exchange_id = b.exchange_id",
        "SELECT count() FROM numbers(3)",
        "SELECT count() FROM (SELECT account_id, account_id AS alias FROM attributed WHERE "
        "account_id != 'it''s' ORDER BY account_id, exchange_id)"}) {
    EXPECT_TRUE(CheckHunt(sql).ok()) << sql << CheckHunt(sql);
    const auto out = lake->Report(sql, "CSV");
    ASSERT_TRUE(out.ok()) << sql << out.status();
    EXPECT_EQ(*out, "3\n") << sql;
  }
  fs::remove(secret);
}

TEST_F(EmbeddedLakeTest, AReportIsCutAndEndedInTime) {
  auto lake = Opened();
  ReportBounds few;
  few.rows = 1000;
  few.cut = true;
  const auto cut = lake->Report("SELECT number FROM numbers(100000000)", "TSV", few);
  ASSERT_TRUE(cut.ok()) << cut.status();
  const auto lines = std::count(cut->begin(), cut->end(), '\n');
  EXPECT_GE(lines, 1000);
  EXPECT_LT(lines, 1'000'000);
  few.cut = false;
  EXPECT_FALSE(lake->Report("SELECT number FROM numbers(100000000)", "TSV", few).ok());
  ReportBounds brief;
  brief.seconds = 1;
  const auto late = lake->Report(
      "SELECT sum(sipHash64(number, number)) FROM numbers(1000000000000)", "TSV", brief);
  EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded) << late.status();
}

TEST(ReportGate, StartsAsAReadingStatement) {
  for (const char* sql : {"SELECT 1", "  with x as (select 1) select 1", "-- a\n/* b */ ShOw TABLES", "(SELECT 1)", "DESC t"}) {
    EXPECT_TRUE(CheckReportStart(sql).ok()) << sql;
  }
  for (const char* sql : {"", "  ", "-- only", "/* open", "graph = 1 SELECT 1", "1 + 1", "INSERT", "selects", "`SELECT`"}) {
    EXPECT_FALSE(CheckReportStart(sql).ok()) << sql;
  }
}

TEST(ReportGate, ReadsTheTree) {
  const std::set<std::string> functions = {"file", "url", "numbers", "merge"};
  EXPECT_TRUE(CheckReportTree("Select\n Function numbers (children 1)\n Function plus (children 1)\n Identifier file", functions).ok());
  EXPECT_FALSE(CheckReportTree("Select\n  Function URL (alias x) (children 1)", functions).ok());
  EXPECT_FALSE(CheckReportTree("Function file", {}).ok());
}

// ---- errors

TEST(EngineError, KeepsTheSentence) {
  const std::string text =
      "Code: 60. DB::Exception: Code: 60. DB::Exception: Unknown table 'x'. (UNKNOWN_TABLE) (version 26.7.2.1). (UNKNOWN_TABLE)";
  EXPECT_EQ(EngineCode(text), 60);
  EXPECT_EQ(EngineSentence(text), "Unknown table 'x'. (UNKNOWN_TABLE)");
  EXPECT_EQ(EngineSentence("Code: 395. DB::Exception: my text: while executing 'FUNCTION throwIf(1)'. (THROWN)"),
            "my text (THROWN)");
  EXPECT_EQ(EngineSentence("plain"), "plain");
  EXPECT_EQ(EngineCode("plain"), 0);
  EXPECT_LE(EngineSentence(std::string(100'000, 'x')).size(), 610u);
}

TEST(EngineError, SaysWhichKind) {
  EXPECT_EQ(EngineError("q", "Code: 243. DB::Exception: Cannot reserve 1.00 MiB").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(EngineError("q", "Code: 75. DB::ErrnoException: Cannot write to file: , errno: 28, strerror: No space left on device").code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(EngineError("q", "Code: 241. DB::Exception: Memory limit").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(EngineError("q", "Code: 159. DB::Exception: Timeout").code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(EngineError("q", "Code: 49. DB::Exception: Logical").code(), absl::StatusCode::kInternal);
  EXPECT_EQ(EngineError("q", "Code: 62. DB::Exception: Syntax").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(EngineError("q", "Code: 62. DB::Exception: Syntax", absl::StatusCode::kInternal).code(), absl::StatusCode::kInternal);
}

// ---- full disk

TEST_F(EmbeddedLakeTest, AFullDiskIsSaidAndWhatWasAcknowledgedStays) {
  fs::create_directories(path_);
  if (mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=16m") != 0) {
    GTEST_SKIP() << "needs root: cannot mount a small tmpfs here";
  }
  const std::string mounted = path_;
  path_ += "/lake";
  uint32_t stored = 0;
  {
    auto lake = Opened();
    absl::Status s;
    for (; stored < 200; ++stored) {
      // Values that do not compress.
      Block b = Batch(stored, 20'000);
      std::mt19937_64 random(stored);
      StringColumn id;
      for (size_t i = 0; i < 20'000; ++i) id.Append(std::to_string(random()) + std::to_string(random()));
      b.columns[1].data = id;
      s = lake->Insert("attributed", b);
      if (!s.ok()) break;
    }
    EXPECT_EQ(s.code(), absl::StatusCode::kResourceExhausted) << s;
    EXPECT_NE(s.message().find("disk is full"), std::string::npos) << s;
    EXPECT_GT(stored, 0u);
    EXPECT_EQ(Strings(*lake, "SELECT concat(toString(uniqExact(run)), ' ', toString(count())) AS s FROM attributed"),
              std::vector<std::string>{std::to_string(stored) + " " + std::to_string(stored * 20'000)});
  }
  umount2(mounted.c_str(), MNT_DETACH);
  path_ = mounted;
}

// ---- migration

const base::EmbeddedFile kOlder[] = {
    {"001_first.sql", "-- the first\nCREATE TABLE IF NOT EXISTS things (a UInt32) ENGINE = MergeTree ORDER BY a\n;\n-- end\n"}, {"", ""}};
const base::EmbeddedFile kNewer[] = {
    kOlder[0],
    {"002_second.sql", "ALTER TABLE things ADD COLUMN IF NOT EXISTS b String\n;\nCREATE TABLE IF NOT EXISTS more (c UInt8) ENGINE = MergeTree ORDER BY c"},
    {"", ""}};
const base::EmbeddedFile kBroken[] = {
    kOlder[0], {"002_second.sql", "ALTER TABLE things ADD COLUMN IF NOT EXISTS b String\n;\nCREATE NONSENSE\n;\n"}, {"", ""}};

TEST_F(EmbeddedLakeTest, AnOlderLakeIsMigratedAndKeepsItsRows) {
  auto lake = std::move(*OpenEmbedded({.path = path_}));
  ASSERT_TRUE(MigrateSchema(*lake, path_, kOlder).ok());
  ASSERT_TRUE(lake->Insert("things", {{{"a", std::vector<uint32_t>{7}}}}).ok());
  const std::string versions = "SELECT toString(version) AS v FROM schema_version ORDER BY version";
  EXPECT_EQ(Strings(*lake, versions), std::vector<std::string>{"1"});
  // Cut short in the middle of the second file: still version 1, and the next run completes it.
  EXPECT_FALSE(MigrateSchema(*lake, path_, kBroken).ok());
  EXPECT_EQ(Strings(*lake, versions), std::vector<std::string>{"1"});
  const absl::Status s = MigrateSchema(*lake, path_, kNewer);
  ASSERT_TRUE(s.ok()) << s;
  EXPECT_EQ(Strings(*lake, versions), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(Strings(*lake, "SELECT concat(toString(a), b) AS v FROM things"), std::vector<std::string>{"7"});
  StringColumn b;
  b.Append("x");
  EXPECT_TRUE(lake->Insert("things", {{{"a", std::vector<uint32_t>{8}}, {"b", b}}}).ok());
  EXPECT_TRUE(lake->Insert("more", {{{"c", std::vector<uint8_t>{1}}}}).ok());
  // A program that knows only the first file refuses it and changes nothing.
  const absl::Status older = MigrateSchema(*lake, path_, kOlder);
  EXPECT_EQ(older.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(older.message().find("newer Stillwatch (schema 2"), std::string::npos) << older;
}

TEST_F(EmbeddedLakeTest, AForeignDatabaseIsLeftAlone) {
  auto lake = std::move(*OpenEmbedded({.path = path_}));
  ASSERT_TRUE(lake->Execute("CREATE TABLE exchanges (rate Float64) ENGINE = MergeTree ORDER BY rate").ok());
  const absl::Status s = lake->Migrate();
  EXPECT_EQ(s.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(s.message().find("another program (exchanges)"), std::string::npos) << s;
  EXPECT_EQ(Strings(*lake, "SELECT name FROM system.tables WHERE database = currentDatabase()"),
            std::vector<std::string>{"exchanges"});
}

TEST_F(EmbeddedLakeTest, SchemaVersionOfAnotherProgramIsForeign) {
  auto lake = std::move(*OpenEmbedded({.path = path_}));
  ASSERT_TRUE(lake->Execute("CREATE TABLE schema_version (version String) ENGINE = MergeTree ORDER BY version").ok());
  EXPECT_EQ(lake->Migrate().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(EmbeddedLakeTest, SchemaFilesMustBeNamedAndInOrder) {
  auto lake = std::move(*OpenEmbedded({.path = path_}));
  const base::EmbeddedFile unnamed[] = {{"first.sql", ""}, {"", ""}};
  const base::EmbeddedFile mixed[] = {{"002_b.sql", ""}, {"001_a.sql", ""}, {"", ""}};
  EXPECT_FALSE(MigrateSchema(*lake, path_, unnamed).ok());
  EXPECT_FALSE(MigrateSchema(*lake, path_, mixed).ok());
}

// ---- kill -9

constexpr size_t kKillRows = 4000;

TEST_F(EmbeddedLakeTest, AcknowledgedBatchesSurviveKills) {
  constexpr int kRounds = 20;
  std::set<uint32_t> acknowledged;
  std::mt19937 random(std::random_device{}());
  int while_inserting = 0;
  for (int round = 0; round < kRounds; ++round) {
    int said[2];
    ASSERT_EQ(pipe2(said, O_CLOEXEC), 0);
    const pid_t child = StartChild("InsertsUntilKilled",
                                   {{"STILLWATCH_TEST_LAKE", path_}, {"STILLWATCH_TEST_FIRST", std::to_string(round * 100'000)}},
                                   [&] { dup2(said[1], 11); });
    close(said[1]);
    // The clock runs from the first acknowledgement, so that no round kills an idle process.
    uint32_t batch;
    bool killed = false;
    while (read(said[0], &batch, sizeof(batch)) == sizeof(batch)) {
      acknowledged.insert(batch);
      if (!killed) {
        usleep(random() % 150'000);
        kill(child, SIGKILL);
        killed = true;
        ++while_inserting;
      }
    }
    close(said[0]);
    EXPECT_EQ(Wait(child), 1000 + SIGKILL) << "round " << round;
  }
  EXPECT_EQ(while_inserting, kRounds);
  auto lake = Opened();
  std::map<uint32_t, uint64_t> kept;
  ASSERT_TRUE(lake->Query("SELECT run, count() AS n FROM attributed GROUP BY run", [&](const Block& b) {
    for (size_t i = 0; i < b.rows(); ++i) {
      kept[b.columns[0].As<std::vector<uint32_t>>()[i]] = b.columns[1].As<std::vector<uint64_t>>()[i];
    }
    return absl::OkStatus();
  }).ok());
  for (const uint32_t batch : acknowledged) EXPECT_TRUE(kept.contains(batch)) << "acknowledged batch " << batch << " is gone";
  for (const auto& [batch, rows] : kept) EXPECT_EQ(rows, kKillRows) << "batch " << batch << " is torn";
  EXPECT_GE(acknowledged.size(), size_t{kRounds});
  RecordProperty("acknowledged", static_cast<int>(acknowledged.size()));
  EXPECT_TRUE(lake->Insert("attributed", Batch(1, 5)).ok());
}

TEST(DISABLED_Child, InsertsUntilKilled) {
  auto lake = OpenEmbedded({.path = ChildPath(), .threads = 1});
  ASSERT_TRUE(lake.ok()) << lake.status();
  ASSERT_TRUE((*lake)->Migrate().ok());
  const uint32_t first = static_cast<uint32_t>(std::atoi(std::getenv("STILLWATCH_TEST_FIRST")));
  std::atomic<uint32_t> next{first + 1};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (next < first + 100'000) {
        const uint32_t batch = next++;
        ASSERT_TRUE((*lake)->Insert("attributed", Batch(batch, kKillRows)).ok());
        ASSERT_EQ(write(11, &batch, sizeof(batch)), static_cast<ssize_t>(sizeof(batch)));
      }
    });
  }
  for (std::thread& t : threads) t.join();
}

}  // namespace
}  // namespace stillwatch::lake
