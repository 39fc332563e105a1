// What a decision pays for its record, what an appended record waits for, how fast a log is
// checked.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "audit/log.h"
#include "audit/verify.h"
#include "base/str.h"

namespace stillwatch::audit {
namespace {

namespace fs = std::filesystem;

std::string Folder() {
  const std::string dir =
      base::StrCat(fs::temp_directory_path().string(), "/stillwatch-audit-", getpid());
  fs::remove_all(dir);
  return dir;
}

AuditRecord Decision() {
  return {
      1'780'000'000'000, "gateway", "decision.deny", "acct-0123456789",
      R"({"via":"decide","reason":"campaign","rule":"accused-surely","campaign":"camp_0123456789ab","probability":0.987,"account_id":"acct-0123456789","model":"atlas-5","client_ip":"198.51.100.7","appeal_ref":"SW-4XK2P-9M7RD-3TZ0"})"};
}

void Offer(benchmark::State& state) {
  const std::string dir = Folder();
  {
    auto log = AuditLog::Open({dir, [] { return int64_t{1}; }, "", kSegmentBytes});
    uint64_t dropped = 0;
    for (auto _ : state) dropped += !(*log)->Offer(Decision());
    state.counters["dropped"] = double(dropped);
  }
  fs::remove_all(dir);
}
BENCHMARK(Offer)->Iterations(60'000);  // fewer than the queue holds

void Append(benchmark::State& state) {
  const std::string dir = Folder();
  {
    auto log = AuditLog::Open({dir, [] { return int64_t{1}; }, "", kSegmentBytes});
    for (auto _ : state) benchmark::DoNotOptimize((*log)->Append(Decision()));
  }
  fs::remove_all(dir);
}
BENCHMARK(Append)->UseRealTime();

void Write(benchmark::State& state) {
  const std::string dir = Folder();
  for (auto _ : state) {
    auto log = AuditLog::Open({dir, [] { return int64_t{1}; }, "", kSegmentBytes});
    for (int i = 0; i < 50'000; ++i) (*log)->Offer(Decision());
    (*log)->Flush().IgnoreError();
  }
  state.SetItemsProcessed(state.iterations() * 50'000);
  fs::remove_all(dir);
}
BENCHMARK(Write)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(5);

void Verify(benchmark::State& state) {
  const std::string dir = Folder();
  {
    auto log = AuditLog::Open({dir, [] { return int64_t{1}; }, "", kSegmentBytes});
    for (int i = 0; i < 50'000; ++i) (*log)->Offer(Decision());
  }
  uint64_t records = 0;
  for (auto _ : state) {
    auto report = VerifyAudit(dir);
    if (!report.ok() || !report->ok()) std::abort();
    records += report->records;
  }
  state.SetItemsProcessed(int64_t(records));
  fs::remove_all(dir);
}
BENCHMARK(Verify)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace stillwatch::audit
