// Records a second from a plain and from compressed files of 1.5 kB lines, by threads.
#include <benchmark/benchmark.h>
#include <unistd.h>
#include <zstd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "ingest/jsonl/jsonl_source.h"

namespace {

using namespace stillwatch;

constexpr int kRecords = 200'000;

std::string Log() {
  std::string out;
  for (int i = 0; i < kRecords; ++i) {
    const std::string n = std::to_string(i);
    out += R"({"exchange_id":"x-)" + n + R"(","ts":"2026-04-01T00:00:00.000Z","account_id":"a)" + std::to_string(i % 997) +
           R"(","org_id":"o","api_key_id":"k","channel":"api","model":"m","input_tokens":1200,"output_tokens":400,)"
           R"("status":200,"stream":true,"client_ip":"192.0.2.7","user_agent":"client/1.2","latency_ms":900,)"
           R"("messages":[{"role":"system","content":"You are an assistant.\nBe brief."},{"role":"user","content":")";
    for (int k = 0; k < 12; ++k) out += R"(Solve the \"problem\" number )" + n + R"( step by step, and show each step of the work.\n)";
    out += R"("}],"response":")";
    for (int k = 0; k < 6; ++k) out += R"(First we note that the value is bounded, then we conclude.\n)";
    out += "\"}\n";
  }
  return out;
}

const std::string& Path(bool compressed) {
  static const auto make = [](bool zstd) {
    const char* tmp = std::getenv("TMPDIR");
    const std::string path = std::string(tmp == nullptr ? "/tmp" : tmp) + "/jsonl_benchmark_" + std::to_string(getpid()) + (zstd ? ".zst" : "");
    std::string bytes = Log();
    if (zstd) {
      std::string frame(ZSTD_compressBound(bytes.size()), 0);
      frame.resize(ZSTD_compress(frame.data(), frame.size(), bytes.data(), bytes.size(), 1));
      bytes.swap(frame);
    }
    std::ofstream(path, std::ios::binary) << bytes;
    std::atexit([] { unlink(Path(false).c_str()), unlink(Path(true).c_str()); });
    return path;
  };
  static const std::string plain = make(false), zstd = make(true);
  return compressed ? zstd : plain;
}

void ReadLog(benchmark::State& state) {
  const std::string& path = Path(state.range(1) != 0);
  ingest::Sink sink{[](int, const model::ExchangeView& e) {
                      benchmark::DoNotOptimize(e.turn.size());
                      return absl::OkStatus();
                    },
                    [](model::Reject) { return absl::InternalError("a record was refused"); }};
  for (auto _ : state) {
    const absl::Status s = ingest::MakeJsonlSource({path}, {.now_ms = 1'800'000'000'000})
                               ->Read(static_cast<int>(state.range(0)), sink, nullptr, nullptr);
    if (!s.ok()) state.SkipWithError(std::string(s.message()).c_str());
  }
  state.SetItemsProcessed(state.iterations() * kRecords);
}
BENCHMARK(ReadLog)->ArgNames({"threads", "zstd"})->ArgsProduct({{1, 2, 4}, {0, 1}})->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
