// A server in a process of its own, killed at random moments while clients post. Whatever it
// acknowledged is in the lake or in the journal afterwards, and nothing else is but what was sent.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/str.h"
#include "lake/native.h"
#include "serve/http/server.h"
#include "serve/http/test_client.h"
#include "serve/ingest/routes.h"

namespace stillwatch::serve {
namespace {

namespace fs = std::filesystem;
using base::StrCat;

// A lake that is one file: an insert is in it whole, or not at all.
class FileLake : public lake::Lake {
 public:
  explicit FileLake(const std::string& path)
      : fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600)) {}
  ~FileLake() override { close(fd_); }
  absl::Status Migrate() override { return absl::OkStatus(); }
  absl::Status Insert(std::string_view, const lake::Block& b) override {
    if (rand_r(&seed_) % 4 == 0) return absl::UnavailableError("lake: busy");
    std::string lines;
    const auto& id = b.Find("exchange_id")->As<lake::StringColumn>();
    for (size_t i = 0; i < b.rows(); ++i) base::StrAppend(&lines, id[i], "\n");
    if (write(fd_, lines.data(), lines.size()) != static_cast<ssize_t>(lines.size()) ||
        fdatasync(fd_) != 0)
      return absl::UnavailableError("lake: disk");
    return absl::OkStatus();
  }
  absl::Status Query(std::string_view,
                     const std::function<absl::Status(const lake::Block&)>&) override {
    return absl::UnimplementedError("");
  }
  absl::Status Execute(std::string_view) override { return absl::UnimplementedError(""); }
  absl::StatusOr<std::string> Report(std::string_view, std::string_view,
                                     const lake::ReportBounds&) override {
    return absl::UnimplementedError("");
  }

 private:
  int fd_;
  unsigned seed_ = static_cast<unsigned>(getpid());
};

// The server's process; tells its port through `port_fd`, never returns.
[[noreturn]] void Serve(const std::string& folder, int port_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  auto journal = journal::Journal::Open(
      {.folder = folder + "/journal", .bytes_max = 64u << 20, .segment_bytes = 64u << 10},
      [](std::string) {});
  auto rejected = ingest::RejectedLog::Open({.folder = folder});
  if (!journal.ok() || !rejected.ok()) _exit(1);
  FileLake lake(folder + "/lake");
  ingest::LiveOptions live;
  live.now_ms = [] { return int64_t{1'798'761'600'000}; };
  ingest::IngestService service(journal->get(), rejected->get(), live);
  ingest::Loader loader(journal->get(), &lake, {.rows_min = 50, .linger_ms = 2, .backoff_ms = 1});
  loader.Start();
  Router router;
  AddIngestRoutes(&router, &service);
  Metrics metrics;
  Log log(LogLevel::kError);
  ServerOptions options;
  options.endpoints = {{"127.0.0.1", 0, &router}};
  auto server = Server::Start(options, std::make_shared<TokenTable>(), &metrics, &log);
  if (!server.ok()) _exit(2);
  const uint16_t port = (*server)->ports()[0];
  if (write(port_fd, &port, sizeof port) != sizeof port) _exit(3);
  for (;;) pause();
}

TEST(Kill, NothingAcknowledgedIsLostAndNothingIsInvented) {
  const char* wanted = std::getenv("STILLWATCH_KILLS");
  const int kills = wanted == nullptr ? 10 : std::atoi(wanted);
  const std::string folder = testing::TempDir() + "/kill";
  fs::create_directories(folder);
  std::mt19937 random(20261121);
  std::set<std::string> sent, acknowledged;
  uint64_t posts = 0;
  for (int round = 0; round < kills; ++round) {
    int fds[2];
    ASSERT_EQ(pipe(fds), 0);
    const pid_t child = fork();
    if (child == 0) Serve(folder, fds[1]);
    close(fds[1]);
    uint16_t port = 0;
    ASSERT_EQ(read(fds[0], &port, sizeof port), static_cast<ssize_t>(sizeof port)) << round;
    close(fds[0]);
    // Three clients, each on one connection, until the server is gone.
    std::vector<std::set<std::string>> out(3), in(3);
    std::vector<std::thread> clients;
    for (int c = 0; c < 3; ++c) {
      clients.emplace_back([&, c] {
        TestClient client(port);
        for (int n = 0;; ++n) {
          std::string body;
          std::vector<std::string> ids;
          for (int i = 0; i <= n % 7; ++i) {
            ids.push_back(StrCat(round, "-", c, "-", n, "-", i));
            base::StrAppend(&body, R"({"exchange_id":")", ids.back(),
                            R"(","ts":"2026-05-01T10:00:00Z","account_id":"a"})", "\n");
          }
          out[c].insert(ids.begin(), ids.end());
          if (!client.Send(StrCat(
                  "POST /v1/exchanges HTTP/1.1\r\nHost: localhost\r\nContent-Length: ", body.size(),
                  "\r\n\r\n", body)))
            return;
          const TestReply reply = client.Receive();
          if (reply.status == 0) return;
          if (reply.status == 200) in[c].insert(ids.begin(), ids.end());
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 60'000));
    kill(child, SIGKILL);
    for (auto& t : clients) t.join();
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "round " << round << ": ended by itself, " << status;
    for (int c = 0; c < 3; ++c) {
      sent.merge(out[c]);
      posts += in[c].size();
      acknowledged.merge(in[c]);
    }
  }
  // What the lake has, and what the journal still holds for it.
  std::map<std::string, int> found;
  std::ifstream lake(folder + "/lake");
  for (std::string id; std::getline(lake, id);) ++found[id];
  const size_t loaded = found.size();
  auto journal = journal::Journal::Open(
      {.folder = folder + "/journal", .bytes_max = 64u << 20, .segment_bytes = 64u << 10},
      [](std::string) {});
  ASSERT_TRUE(journal.ok()) << journal.status();
  journal::Entry entry;
  for (;;) {
    const auto more = (*journal)->Next(&entry);
    ASSERT_TRUE(more.ok()) << more.status();
    if (!*more) break;
    std::string_view bytes = entry.block;
    const auto block = lake::DecodeNative(&bytes);
    ASSERT_TRUE(block.ok());
    const auto& id = block->Find("exchange_id")->As<lake::StringColumn>();
    for (size_t i = 0; i < block->rows(); ++i) ++found[std::string(id[i])];
  }
  std::cout << kills << " kills, " << acknowledged.size() << " of " << sent.size()
            << " records acknowledged, " << loaded << " loaded, " << found.size() << " found\n";
  EXPECT_GT(acknowledged.size(), static_cast<size_t>(10 * kills));
  EXPECT_GT(loaded, 0u);
  for (const std::string& id : acknowledged) ASSERT_TRUE(found.count(id)) << "lost: " << id;
  for (const auto& [id, times] : found) ASSERT_TRUE(sent.count(id)) << "invented: " << id;
  fs::remove_all(folder);
}

}  // namespace
}  // namespace stillwatch::serve
