#include "lake/host/host.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "lake/cluster/cluster_lake.h"
#include "lake/test_conformance.h"

namespace stillwatch::lake {
namespace {

namespace fs = std::filesystem;

// A host in a process of its own: a copy of this program that runs DISABLED_Host.Serves.
class Host {
 public:
  explicit Host(const std::string& folder, bool parent = false) : folder_(folder) { Start(parent); }
  ~Host() { End(SIGTERM); }
  Host(const Host&) = delete;
  void operator=(const Host&) = delete;
  void Start(bool parent = false) {
    setenv("STILLWATCH_TEST_LAKE", folder_.c_str(), 1);
    setenv("STILLWATCH_TEST_PARENT", parent ? std::to_string(getpid()).c_str() : "0", 1);
    pid_ = fork();
    if (pid_ == 0) {
      execl("/proc/self/exe", "lake_host_test", "--gtest_filter=DISABLED_Host.Serves",
            "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr);
      _exit(99);
    }
  }
  // The exit code, 1000 + signal.
  int End(int signal) {
    if (pid_ <= 0) return -1;
    kill(pid_, signal);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  pid_t pid() const { return pid_; }
  std::string socket() const { return folder_ + ".sock"; }

 private:
  const std::string folder_;
  pid_t pid_ = -1;
};

std::atomic<bool> g_told{false};

TEST(DISABLED_Host, Serves) {
  signal(SIGTERM, [](int) { g_told = true; });
  signal(SIGPIPE, SIG_IGN);
  HostOptions options;
  options.lake = {.path = getenv("STILLWATCH_TEST_LAKE"), .threads = 2};
  options.socket = options.lake.path + ".sock";
  options.parent = atoi(getenv("STILLWATCH_TEST_PARENT"));
  options.stop = &g_told;
  const auto drained = HostLake(options);
  EXPECT_TRUE(drained.ok()) << drained.status();
  EXPECT_TRUE(*drained);
}

std::string NewPlace() {
  static int n = 0;
  const fs::path base = fs::temp_directory_path() / ("sw-host-" + std::to_string(getpid()));
  fs::create_directories(base);
  return (base / std::to_string(n++)).string();
}

std::unique_ptr<Host> g_host;  // of the running case

absl::StatusOr<std::unique_ptr<Lake>> OpenAt(const std::string& where, int wait = 60) {
  ClusterOptions options;
  options.url = *ParseLakeUrl("unix:" + where + ".sock");
  options.url.wait_seconds = wait;
  return OpenCluster(options);
}

void RemovePlace(const std::string& where) {
  fs::remove_all(where);
  fs::remove(fs::path(where).parent_path());
}

INSTANTIATE_TEST_SUITE_P(Host, LakeConformance,
                         testing::Values(LakeUnderTest{
                             "socket",
                             [] {
                               const std::string where = NewPlace();
                               g_host = std::make_unique<Host>(where);
                               return where;
                             },
                             [](const std::string& where) { return OpenAt(where); },
                             [](const std::string& where) {
                               EXPECT_EQ(g_host->End(SIGTERM), 0);
                               EXPECT_FALSE(fs::exists(where + ".sock"));
                               g_host.reset();
                               RemovePlace(where);
                             }}),
                         [](const auto& info) { return info.param.name; });

class HostTest : public testing::Test {
 protected:
  void SetUp() override { place_ = NewPlace(); }
  void TearDown() override { RemovePlace(place_); }
  static Block Ingest(uint32_t batch) {
    StringColumn state, source;
    state.Append("begun");
    source.Append("x");
    return {{{"batch", std::vector<uint32_t>{batch}},
             {"state", state},
             {"source", source},
             {"records", std::vector<uint64_t>{1}},
             {"rejected", std::vector<uint64_t>{0}}}};
  }
  static uint64_t Count(Lake& lake, const std::string& sql) {
    uint64_t n = 0;
    const absl::Status s = lake.Query(sql, [&](const Block& b) {
      n = b.columns[0].As<std::vector<uint64_t>>()[0];
      return absl::OkStatus();
    });
    EXPECT_TRUE(s.ok()) << s;
    return n;
  }
  std::string place_;
};

TEST_F(HostTest, TheSocketIsTheOwnersAlone) {
  Host host(place_);
  ASSERT_TRUE(OpenAt(place_).ok());
  struct stat st {};
  ASSERT_EQ(stat(host.socket().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
}

TEST_F(HostTest, ASecondHostIsRefused) {
  Host host(place_);
  ASSERT_TRUE(OpenAt(place_).ok());
  HostOptions same;
  same.lake = {.path = place_};
  same.socket = place_ + ".other";
  const auto folder = HostLake(same);
  EXPECT_EQ(folder.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(folder.status().message().find("in use by another process (process " +
                                           std::to_string(host.pid()) + ")"),
            std::string::npos)
      << folder.status();
  EXPECT_FALSE(fs::exists(same.socket));
  HostOptions socket;
  socket.lake = {.path = place_ + "-other"};
  socket.socket = host.socket();
  EXPECT_EQ(HostLake(socket).status().code(), absl::StatusCode::kAlreadyExists);
  fs::remove_all(place_ + "-other");
  EXPECT_TRUE(OpenAt(place_).ok()) << "the first one goes on";
}

TEST_F(HostTest, AFileInTheSocketsPlaceIsLeftAlone) {
  std::ofstream(place_ + ".sock") << "mine";
  HostOptions options;
  options.lake = {.path = place_};
  options.socket = place_ + ".sock";
  EXPECT_EQ(HostLake(options).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(fs::file_size(place_ + ".sock"), 4u);
  fs::remove(place_ + ".sock");
}

TEST_F(HostTest, ItEndsWithItsParent) {
  // The parent in between hands back the host's process id and goes.
  int told[2];
  ASSERT_EQ(pipe2(told, O_CLOEXEC), 0);
  const pid_t between = fork();
  if (between == 0) {
    setenv("STILLWATCH_TEST_LAKE", place_.c_str(), 1);
    setenv("STILLWATCH_TEST_PARENT", std::to_string(getpid()).c_str(), 1);
    const pid_t host = fork();
    if (host == 0) {
      execl("/proc/self/exe", "lake_host_test", "--gtest_filter=DISABLED_Host.Serves",
            "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr);
      _exit(99);
    }
    (void)!write(told[1], &host, sizeof(host));
    pause();
    _exit(0);
  }
  pid_t host = 0;
  ASSERT_EQ(read(told[0], &host, sizeof(host)), static_cast<ssize_t>(sizeof(host)));
  ASSERT_TRUE(OpenAt(place_).ok());
  kill(between, SIGKILL);
  waitpid(between, nullptr, 0);
  for (int i = 0; i < 600 && fs::exists(place_ + ".sock"); ++i) usleep(50'000);
  EXPECT_FALSE(fs::exists(place_ + ".sock"));
  for (int i = 0; i < 600 && !OpenEmbedded({.path = place_}).ok(); ++i) usleep(50'000);
  EXPECT_TRUE(OpenEmbedded({.path = place_}).ok()) << "the folder is free again";
  close(told[0]);
  close(told[1]);
}

TEST_F(HostTest, WritersWaitForAHostThatIsKilledAndNothingIsLost) {
  Host host(place_);
  auto lake = OpenAt(place_);
  ASSERT_TRUE(lake.ok()) << lake.status();
  ASSERT_TRUE((*lake)->Migrate().ok());
  std::atomic<bool> done{false};
  std::atomic<uint32_t> next{1};
  std::vector<std::thread> writers;
  for (int t = 0; t < 2; ++t) {
    writers.emplace_back([&] {
      while (!done) {
        const uint32_t batch = next++;
        const absl::Status s = (*lake)->Insert("ingests", Ingest(batch));
        EXPECT_TRUE(s.ok()) << s;
      }
    });
  }
  // Each round kills a host that writers keep busy.
  const auto six_more = [&] {
    for (uint32_t i = 0, to = next + 6; i < 60'000 && next < to; ++i) usleep(1'000);
  };
  for (int round = 0; round < 4; ++round) {
    six_more();
    EXPECT_EQ(host.End(SIGKILL), 1000 + SIGKILL);
    usleep(100'000);
    host.Start();
    EXPECT_TRUE(OpenAt(place_).ok());
  }
  six_more();
  done = true;
  for (std::thread& t : writers) t.join();
  const uint32_t all = next - 1;
  EXPECT_GT(all, 20u);
  EXPECT_EQ(Count(**lake, "SELECT uniqExact(batch) AS n FROM ingests"), all);
  EXPECT_EQ(Count(**lake, "SELECT count() AS n FROM ingests FINAL"), all)
      << "what was sent twice counts once";
}

TEST_F(HostTest, AWaitThatIsOverIsSaid) {
  const auto lake = OpenAt(place_, 0);
  EXPECT_EQ(lake.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(lake.status().message().find("unix:" + place_ + ".sock does not answer"),
            std::string::npos)
      << lake.status();
}

}  // namespace
}  // namespace stillwatch::lake
