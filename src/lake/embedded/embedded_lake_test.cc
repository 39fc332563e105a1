#include "lake/embedded/embedded_lake.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "lake/native.h"

namespace stillwatch::lake {
namespace {

Block Rows(size_t n, uint32_t batch, const std::string& prefix = "x") {
  StringColumn id, run_id, account;
  std::vector<uint32_t> run(n, batch);
  for (size_t i = 0; i < n; ++i) {
    id.Append(prefix + std::to_string(i) + std::string("'\\\0\n", 4));
    run_id.Append("c");
    account.Append("a");
  }
  return {{{"run", run}, {"exchange_id", id}, {"account_id", account}, {"campaign_id", run_id}}};
}

class EmbeddedLakeTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/lake-" + std::to_string(getpid()) + "-" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(path_);
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  std::unique_ptr<Lake> Open() {
    auto lake = OpenEmbedded({.path = path_, .threads = 2});
    EXPECT_TRUE(lake.ok()) << lake.status();
    const absl::Status migrated = (*lake)->Migrate();
    EXPECT_TRUE(migrated.ok()) << migrated;
    return std::move(*lake);
  }
  static uint64_t Count(Lake& lake, const std::string& where = "1") {
    uint64_t n = 0;
    const absl::Status s = lake.Query("SELECT count() FROM attributed WHERE " + where, [&](const Block& b) {
      n = b.columns[0].As<std::vector<uint64_t>>()[0];
      return absl::OkStatus();
    });
    EXPECT_TRUE(s.ok()) << s;
    return n;
  }
  std::string path_;
};

TEST_F(EmbeddedLakeTest, KeepsEveryByteAndReopens) {
  {
    auto lake = Open();
    const absl::Status stored = lake->Insert("attributed", Rows(1000, 1));
    ASSERT_TRUE(stored.ok()) << stored;
  }
  auto lake = Open();
  ASSERT_TRUE(lake->Migrate().ok());
  EXPECT_EQ(Count(*lake), 1000u);
  EXPECT_EQ(Count(*lake, "exchange_id = " + SqlString("x7" + std::string("'\\\0\n", 4))), 1u);
}

TEST_F(EmbeddedLakeTest, RefusesWrongColumnsBeforeStoring) {
  auto lake = Open();
  Block wrong = Rows(3, 1);
  wrong.columns[0].name = "runs";
  EXPECT_EQ(lake->Insert("attributed", wrong).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Count(*lake), 0u);
}

TEST_F(EmbeddedLakeTest, AGoodQueryFollowsABadOne) {
  auto lake = Open();
  ASSERT_TRUE(lake->Insert("attributed", Rows(100'000, 1)).ok());
  EXPECT_FALSE(lake->Query("SELECT nothing FROM nowhere", [](const Block&) { return absl::OkStatus(); }).ok());
  // Fails in the middle of its output.
  EXPECT_FALSE(lake->Query("SELECT throwIf(number = 90000) AS x FROM numbers(100000) SETTINGS max_block_size = 1000",
                           [](const Block&) { return absl::OkStatus(); }).ok());
  EXPECT_EQ(Count(*lake), 100'000u);
}

TEST_F(EmbeddedLakeTest, InsertsAndReadsFromSeveralThreads) {
  auto lake = Open();
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i) {
        failed += !lake->Insert("attributed", Rows(2000, t, std::to_string(t) + "_" + std::to_string(i))).ok();
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(Count(*lake), 40'000u);
}

TEST_F(EmbeddedLakeTest, ReportsReadOnly) {
  auto lake = Open();
  ASSERT_TRUE(lake->Insert("attributed", Rows(3, 1)).ok());
  auto csv = lake->Report("SELECT count() FROM attributed;", "CSV");
  ASSERT_TRUE(csv.ok()) << csv.status();
  EXPECT_EQ(*csv, "3\n");
  for (const char* sql : {"DROP TABLE attributed", "INSERT INTO attributed VALUES (1,'a','b','c')",
                          "SELECT * FROM file('/etc/passwd', 'LineAsString')", "SELECT 1 INTO OUTFILE '/tmp/x'",
                          "SELECT * FROM url('http://127.0.0.1/', 'CSV')", "SYSTEM SHUTDOWN",
                          "SELECT 1 SETTINGS readonly = 0", "SELECT 1; DROP TABLE attributed"}) {
    EXPECT_FALSE(lake->Report(sql, "CSV").ok()) << sql;
  }
  EXPECT_EQ(Count(*lake), 3u);
}

TEST_F(EmbeddedLakeTest, SaysWhatIsInTheWay) {
  const std::string file = path_ + "-file";
  { FILE* f = fopen(file.c_str(), "w"); fclose(f); }
  const auto opened = OpenEmbedded({.path = file});
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.status().message().find("is a file"), std::string::npos);
  std::filesystem::remove(file);
}

TEST_F(EmbeddedLakeTest, AcknowledgedBatchesSurviveKill) {
  for (int round = 0; round < 3; ++round) {
    int acknowledged[2];
    ASSERT_EQ(pipe(acknowledged), 0);
    const pid_t child = fork();
    if (child == 0) {
      execl("/proc/self/exe", "lake_embedded_test", "--gtest_filter=Child.InsertsUntilKilled", nullptr);
      _exit(9);
    }
    // The child reports through a file, since exec'd gtest owns stdout.
    close(acknowledged[0]);
    close(acknowledged[1]);
    usleep(300'000 + 250'000 * round);
    kill(child, SIGKILL);
    int status;
    waitpid(child, &status, 0);
  }
  const std::string path = testing::TempDir() + "/lake-child";
  const std::string journal = path + ".acknowledged";
  uint64_t done = 0;
  if (FILE* f = fopen(journal.c_str(), "r")) {
    unsigned batch;
    while (fscanf(f, "%u", &batch) == 1) ++done;
    fclose(f);
  }
  path_ = path;
  auto lake = Open();
  uint64_t rows = Count(*lake), batches = 0;
  ASSERT_TRUE(lake->Query("SELECT uniqExact(run) FROM attributed", [&](const Block& b) {
    batches = b.columns[0].As<std::vector<uint64_t>>()[0];
    return absl::OkStatus();
  }).ok());
  EXPECT_GT(done, 0u);
  EXPECT_EQ(rows, batches * 5000) << "a batch was stored in part";
  EXPECT_GE(batches, done) << "an acknowledged batch is gone";
  std::filesystem::remove(journal);
}

// Runs in the child of the test above; alone it would insert for ever.
TEST(Child, InsertsUntilKilled) {
  if (getppid() == 1 || std::getenv("STILLWATCH_NO_CHILD")) GTEST_SKIP();
  std::string parent;
  if (FILE* f = fopen(("/proc/" + std::to_string(getppid()) + "/cmdline").c_str(), "r")) {
    char text[256];
    const size_t n = fread(text, 1, sizeof text, f);
    parent.assign(text, n);
    fclose(f);
  }
  if (parent.find("lake_embedded_test") == std::string::npos) GTEST_SKIP() << "only as a child";
  const std::string path = testing::TempDir() + "/lake-child";
  auto lake = OpenEmbedded({.path = path, .threads = 1});
  ASSERT_TRUE(lake.ok());
  ASSERT_TRUE((*lake)->Migrate().ok());
  const uint32_t base = static_cast<uint32_t>(getpid()) * 1000;
  for (uint32_t batch = base; batch < base + 1000; ++batch) {
    ASSERT_TRUE((*lake)->Insert("attributed", Rows(5000, batch)).ok());
    FILE* f = fopen((path + ".acknowledged").c_str(), "a");
    fprintf(f, "%u\n", batch);
    fclose(f);
  }
}

TEST(Native, RoundTripsAndRefusesCuts) {
  Block block = Rows(50, 1);
  block.columns.push_back({"a32", [] { ArrayColumn<uint32_t> a; for (int i = 0; i < 50; ++i) { std::vector<uint32_t> v(i % 3, 7); a.Append(v.begin(), v.end()); } return a; }()});
  block.columns.push_back({"f", std::vector<float>(50, 1.5f)});
  std::string bytes;
  EncodeNative(block, &bytes);
  std::string_view in = bytes;
  auto back = DecodeNative(&in);
  ASSERT_TRUE(back.ok());
  EXPECT_TRUE(in.empty());
  std::string again;
  EncodeNative(*back, &again);
  EXPECT_EQ(bytes, again);
  for (size_t cut = 0; cut < bytes.size(); cut += 7) {
    std::string_view part(bytes.data(), cut);
    EXPECT_FALSE(DecodeNative(&part).ok()) << cut;
  }
}

}  // namespace
}  // namespace stillwatch::lake
