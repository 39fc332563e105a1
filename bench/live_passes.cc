// How long a pass takes over a lake that grows, and how soon its alert is at a receiver.
//
//   live_passes STILLWATCH SOCKET DIR PERMITS THREADS LOAD
//
// Runs a pass over the lake that a host serves at SOCKET, then the shell command LOAD, which brings
// new exchanges, then a pass again. One JSON object on stdout: for each pass its seconds (of the
// loop: child, results, identity, commit to a file), the child's CPU, the exchanges judged, the
// child's peak of memory, and the seconds from its start to the first alert that was there, -1 for
// none.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "engine/live.h"
#include "serve/alerts/alerts.h"
#include "serve/http/server.h"

namespace {

using namespace stillwatch;
using Clock = std::chrono::steady_clock;

class FileStore : public engine::LiveStore {
 public:
  explicit FileStore(std::string path) : path_(std::move(path)) {}
  absl::StatusOr<std::string> Load() override {
    std::ifstream in(path_, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  absl::Status Commit(const engine::PassFindings&, const watch::Identities&,
                      std::string_view bytes) override {
    const int fd = open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const bool ok = fd >= 0 && write(fd, bytes.data(), bytes.size()) == ssize_t(bytes.size()) &&
                    fsync(fd) == 0;
    if (fd >= 0) close(fd);
    return ok ? absl::OkStatus() : absl::UnavailableError(path_);
  }

 private:
  std::string path_;
};

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: live_passes STILLWATCH SOCKET DIR PERMITS THREADS LOAD\n");
    return 2;
  }
  const std::string dir = argv[3];
  std::atomic<double> told{-1};
  Clock::time_point began;
  serve::Router router;
  router.Add("POST", "/hook", serve::Role::kPublic, serve::Speed::kInline,
             [&](const serve::HttpRequest&) {
               double none = -1;
               told.compare_exchange_strong(none, Seconds(began));
               return serve::JsonReply("{}");
             });
  serve::Metrics metrics;
  serve::Log log(serve::LogLevel::kError);
  serve::ServerOptions o;
  o.endpoints.push_back({"127.0.0.1", 0, &router});
  auto server =
      serve::Server::Start(std::move(o), std::make_shared<serve::TokenTable>(), &metrics, &log);
  const auto fail = [](const absl::Status& s) {
    std::fprintf(stderr, "live_passes: %s\n", std::string(s.message()).c_str());
    return 1;
  };
  if (!server.ok()) return fail(server.status());
  const auto now_ms = [] {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  };
  const auto note = [](const std::string& n) { std::fprintf(stderr, "live_passes: %s\n", n.c_str()); };
  serve::AlertOptions alert_options;
  alert_options.dir = dir + "/alerts";
  alert_options.receivers.push_back(
      {serve::AlertReceiver::Kind::kWebhook, "desk",
       "http://127.0.0.1:" + std::to_string((*server)->ports()[0]) + "/hook",
       "a secret of this bench", {}});
  alert_options.now_ms = now_ms;
  alert_options.note = note;
  auto alerts = serve::Alerts::Open(std::move(alert_options));
  if (!alerts.ok()) return fail(alerts.status());

  engine::LiveOptions options;
  options.program = argv[1];
  options.lake = std::string("unix:") + argv[2];
  options.dir = dir + "/passes";
  options.flags = {"--permits", argv[4]};
  options.window_ms = 0;
  options.threads = std::atoi(argv[5]);
  uint64_t loads = 1, exchanges = 0, open = 0, campaigns = 0;
  engine::LiveHooks hooks;
  hooks.now_ms = now_ms;
  hooks.mark = [&] { return loads; };
  hooks.publish = [&](const engine::PassFindings& pass) {
    exchanges = pass.exchanges;
    campaigns = pass.findings.campaigns.size();
    open = 0;
    for (const uint8_t one : pass.open) open += one;
    return absl::OkStatus();
  };
  hooks.alert = [&](const engine::PassFindings& pass) {
    if (absl::Status s = (*alerts)->Offer(serve::AlertsOf(pass)); !s.ok()) note(s.ToString());
  };
  hooks.note = note;
  FileStore store(dir + "/state");
  auto live = engine::LivePasses::Open(options, hooks, &store);
  if (!live.ok()) return fail(live.status());
  std::string out = "{\"passes\":[";
  for (int i = 0; i < 2; ++i) {
    if (i == 1) {
      if (std::system(argv[6]) != 0) return fail(absl::InternalError("the load failed"));
      ++loads;
    }
    told = -1;
    began = Clock::now();
    const auto ran = (*live)->RunOnce();
    if (!ran.ok()) return fail(ran.status());
    const double took = Seconds(began);
    while ((*alerts)->stats().waiting > 0 && Seconds(began) < 120)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    char line[400];
    std::snprintf(
        line, sizeof line,
        "%s{\"seconds\":%.3f,\"cpu_s\":%.3f,\"alert_s\":%.3f,\"exchanges\":%llu,\"campaigns\":%llu,"
        "\"open\":%llu,\"peak_bytes\":%llu}",
        i > 0 ? "," : "", took, static_cast<double>((*live)->stats().last_cpu_ms) / 1000,
        told.load(), static_cast<unsigned long long>(exchanges),
        static_cast<unsigned long long>(campaigns), static_cast<unsigned long long>(open),
        static_cast<unsigned long long>((*live)->stats().last_peak_bytes));
    out += line;
  }
  std::printf("%s]}\n", out.c_str());
  return 0;
}
