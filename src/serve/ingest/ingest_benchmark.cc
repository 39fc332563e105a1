// Exchanges a second that one core takes in over HTTP, durable: decoded, sketched, synced to disk,
// acknowledged, and handed on to a lake that costs nothing (the real one is another process). The
// server is a process of its own and its CPU time is what counts; the load generator shares the
// machine. Records are 1.5 kB of text, as jsonl_benchmark's.
#include <benchmark/benchmark.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/str.h"
#include "serve/http/server.h"
#include "serve/http/test_client.h"
#include "serve/ingest/routes.h"

namespace {

using namespace stillwatch;
using base::StrCat;
namespace fs = std::filesystem;

class NoLake : public lake::Lake {
 public:
  absl::Status Migrate() override { return absl::OkStatus(); }
  absl::Status Insert(std::string_view, const lake::Block&) override { return absl::OkStatus(); }
  absl::Status Query(std::string_view,
                     const std::function<absl::Status(const lake::Block&)>&) override {
    return absl::UnimplementedError("");
  }
  absl::Status Execute(std::string_view) override { return absl::UnimplementedError(""); }
  absl::StatusOr<std::string> Report(std::string_view, std::string_view,
                                     const lake::ReportBounds&) override {
    return absl::UnimplementedError("");
  }
};

[[noreturn]] void Serve(const std::string& folder, int port_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  auto journal = journal::Journal::Open({.folder = folder + "/journal"}, [](std::string) {});
  auto rejected = ingest::RejectedLog::Open({.folder = folder});
  if (!journal.ok() || !rejected.ok()) _exit(1);
  NoLake lake;
  ingest::LiveOptions live;
  live.now_ms = [] { return int64_t{1'798'761'600'000}; };
  ingest::IngestService service(journal->get(), rejected->get(), live);
  serve::OtlpService otlp(&service);
  ingest::Loader loader(journal->get(), &lake, {});
  loader.Start();
  serve::Router router;
  serve::AddIngestRoutes(&router, &service);
  serve::AddOtlpRoutes(&router, &otlp);
  serve::Metrics metrics;
  serve::Log log(serve::LogLevel::kError);
  serve::ServerOptions options;
  options.endpoints = {{"127.0.0.1", 0, &router}};
  auto server =
      serve::Server::Start(options, std::make_shared<serve::TokenTable>(), &metrics, &log);
  if (!server.ok()) _exit(2);
  const uint16_t port = (*server)->ports()[0];
  if (write(port_fd, &port, sizeof port) != sizeof port) _exit(3);
  for (;;) pause();
}

std::string Turn(int i) {
  std::string out;
  for (int k = 0; k < 12; ++k)
    out += StrCat("Solve the problem number ", i * 31 + k,
                  " step by step, and show each step of the work. ");
  return out;
}
std::string Answer() {
  std::string out;
  for (int k = 0; k < 6; ++k) out += "First we note that the value is bounded, then we conclude. ";
  return out;
}

std::string Lines(int records, int seed) {
  std::string out;
  for (int i = 0; i < records; ++i) {
    const int n = seed * records + i;
    out += StrCat(
        R"({"exchange_id":"x-)", n, R"(","ts":"2026-04-01T00:00:00.000Z","account_id":"a)", n % 997,
        R"(","org_id":"o","api_key_id":"k","channel":"api","model":"m","input_tokens":1200,)"
        R"("output_tokens":400,"status":200,"stream":true,"client_ip":"192.0.2.7",)"
        R"("user_agent":"client/1.2","latency_ms":900,"messages":[{"role":"system",)"
        R"("content":"You are an assistant. Be brief."},{"role":"user","content":")",
        Turn(n), R"("}],"response":")", Answer(), "\"}\n");
  }
  return out;
}

std::string Spans(int records, int seed) {
  std::string spans;
  for (int i = 0; i < records; ++i) {
    const int n = seed * records + i;
    const auto text = [](std::string_view key, std::string_view value) {
      return StrCat(R"({"key":")", key, R"(","value":{"stringValue":")", value, R"("}},)");
    };
    char id[33];
    std::snprintf(id, sizeof id, "%032x", n + 1);
    spans += StrCat(
        spans.empty() ? "" : ",", R"({"traceId":")", id, R"(","spanId":"00f067aa0ba902b7",)",
        R"("name":"chat m","startTimeUnixNano":"1767225600000000000",)",
        R"("endTimeUnixNano":"1767225600900000000","attributes":[)",
        text("gen_ai.operation.name", "chat"), text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", "m"), text("user.id", StrCat("a", n % 997)),
        text("client.address", "192.0.2.7"),
        text("gen_ai.input.messages",
             StrCat(R"([{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\")", Turn(n),
                    R"(\"}]}])")),
        text("gen_ai.output.messages",
             StrCat(R"([{\"role\":\"assistant\",\"parts\":[{\"type\":\"text\",\"content\":\")",
                    Answer(), R"(\"}]}])")),
        R"({"key":"gen_ai.usage.input_tokens","value":{"intValue":"1200"}}]})");
  }
  return StrCat(R"({"resourceSpans":[{"scopeSpans":[{"spans":[)", spans, "]}]}]}");
}

double CpuSeconds(pid_t pid) {
  clockid_t clock;
  timespec t{};
  if (clock_getcpuclockid(pid, &clock) == 0) clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// Posts bodies of range(0) records on range(1) connections.
void Post(benchmark::State& state, const char* path, const char* type,
          std::string (*make)(int records, int seed)) {
  const int records = static_cast<int>(state.range(0)),
            connections = static_cast<int>(state.range(1));
  const char* tmp = std::getenv("TMPDIR");
  const std::string folder = StrCat(tmp == nullptr ? "/tmp" : tmp, "/ingest_benchmark_", getpid());
  fs::create_directories(folder);
  int fds[2];
  uint16_t port = 0;
  if (pipe(fds) != 0) return state.SkipWithError("pipe");
  const pid_t child = fork();
  if (child == 0) Serve(folder, fds[1]);
  close(fds[1]);
  if (read(fds[0], &port, sizeof port) != sizeof port) return state.SkipWithError("no server");
  close(fds[0]);
  std::vector<std::string> requests;
  for (int i = 0; i < 8; ++i) {
    const std::string body = make(records, i);
    requests.push_back(StrCat("POST ", path, " HTTP/1.1\r\nHost: localhost\r\nContent-Type: ", type,
                              "\r\nContent-Length: ", body.size(), "\r\n\r\n", body));
  }
  double cpu = 0, wall = 0;
  uint64_t taken = 0;
  std::atomic<bool> bad{false};
  for (auto _ : state) {
    const int posts = std::max(4, 40'000 / records / connections);
    const double cpu_before = CpuSeconds(child);
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::thread> clients;
    for (int c = 0; c < connections; ++c) {
      clients.emplace_back([&, c] {
        serve::TestClient client(port);
        for (int i = 0; i < posts && !bad; ++i) {
          if (!client.Send(requests[static_cast<size_t>(i + c) % requests.size()]) ||
              client.Receive().status != 200)
            bad = true;
        }
      });
    }
    for (auto& t : clients) t.join();
    wall += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    cpu += CpuSeconds(child) - cpu_before;
    taken += static_cast<uint64_t>(posts) * static_cast<uint64_t>(connections * records);
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  fs::remove_all(folder);
  if (bad) return state.SkipWithError("a post was refused");
  state.SetItemsProcessed(static_cast<int64_t>(taken));
  state.counters["per_core"] = static_cast<double>(taken) / cpu;
  state.counters["per_second"] = static_cast<double>(taken) / wall;
  state.counters["cpu_us"] = cpu / static_cast<double>(taken) * 1e6;
}

void IngestLines(benchmark::State& state) {
  Post(state, "/v1/exchanges", "application/x-ndjson", Lines);
}
void IngestOtlpJson(benchmark::State& state) {
  Post(state, "/v1/traces", "application/json", Spans);
}
BENCHMARK(IngestLines)
    ->Args({100, 4})
    ->Args({1000, 4})
    ->Args({1, 16})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(IngestOtlpJson)->Args({100, 4})->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
