// The sketch kernel against the engine's own: sketch_vs_clickhouse LOG THREADS TIMES LAKE
//
// Takes the system prompts and last turns of LOG (at most kTextBytesMax), puts them into a table of
// the engine that lies in memory and times `wordShingleMinHash` over it, and our kernel over the
// same texts, on THREADS threads each. The two take turns, and a plain pass of the engine over the
// column is taken off its time, to its advantage. Prints a table; exits 1 when the kernel is less
// than TIMES times as fast. LAKE is a folder for the engine's state.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>

#include "base/parallel.h"
#include "base/str.h"
#include "ingest/jsonl/jsonl_source.h"
#include "lake/embedded/embedded_lake.h"
#include "sketch/sketcher.h"

namespace stillwatch {
namespace {

using base::StrCat;

constexpr size_t kTextBytesMax = size_t{200} << 20;
constexpr size_t kRowsPerBlock = 8192;  // the engine hands blocks to its threads
constexpr int kRounds = 7;
constexpr int64_t kLater = 10'000'000'000'000;  // a made log may be of any day
constexpr size_t kGrain = 512;

struct Texts {
  std::vector<std::string> system, turn;
  size_t bytes = 0;
};

struct Cost {
  double wall = 0, cpu = 0;  // seconds
};

Cost Now() {
  rusage u;
  getrusage(RUSAGE_SELF, &u);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  const auto wall = std::chrono::steady_clock::now().time_since_epoch();
  return {std::chrono::duration<double>(wall).count(), seconds(u.ru_utime) + seconds(u.ru_stime)};
}

absl::StatusOr<Cost> Timed(const std::function<absl::Status()>& f) {
  const Cost begin = Now();
  if (absl::Status s = f(); !s.ok()) return s;
  const Cost end = Now();
  return Cost{end.wall - begin.wall, end.cpu - begin.cpu};
}

absl::StatusOr<Texts> Read(const std::string& log, int threads) {
  Texts texts;
  std::mutex mutex;
  std::atomic<bool> enough{false};
  ingest::Sink sink;
  sink.exchange = [&](int, const model::ExchangeView& e) {
    const std::lock_guard<std::mutex> lock(mutex);
    texts.bytes += e.system.size() + e.turn.size();
    if (texts.bytes > kTextBytesMax) enough = true;
    texts.system.emplace_back(e.system);
    texts.turn.emplace_back(e.turn);
    return absl::OkStatus();
  };
  sink.reject = [](model::Reject r) { return absl::InvalidArgumentError(r.reason); };
  const absl::Status s =
      ingest::MakeJsonlSource({log}, {.now_ms = kLater})->Read(threads, sink, nullptr, &enough);
  if (!s.ok() && !enough) return s;
  if (texts.bytes == 0) return absl::InvalidArgumentError(StrCat(log, ": holds no text"));
  return texts;
}

absl::Status Fill(lake::Lake& lake, const Texts& texts) {
  if (absl::Status s = lake.Execute("CREATE TABLE texts (t String) ENGINE = Memory"); !s.ok())
    return s;
  lake::StringColumn column;
  const auto flush = [&]() -> absl::Status {
    if (column.size() == 0) return absl::OkStatus();
    const absl::Status s = lake.Insert("texts", {{{"t", std::move(column)}}});
    column = {};
    return s;
  };
  for (const auto* part : {&texts.system, &texts.turn}) {
    for (const std::string& t : *part) {
      if (t.empty()) continue;
      column.Append(t);
      if (column.size() < kRowsPerBlock) continue;
      if (absl::Status s = flush(); !s.ok()) return s;
    }
  }
  return flush();
}

double Median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

struct Contender {
  const char* name;
  std::function<absl::Status()> run;
  std::vector<double> wall, cpu;
};

int Main(const std::string& log, int threads, double times, const std::string& path) {
  const auto fail = [](const absl::Status& s) {
    std::fprintf(stderr, "sketch_vs_clickhouse: %s\n", std::string(s.message()).c_str());
    return 2;
  };
  auto lake = lake::OpenEmbedded({.path = path, .threads = threads});
  if (!lake.ok()) return fail(lake.status());
  auto texts = Read(log, threads);
  if (!texts.ok()) return fail(texts.status());
  if (absl::Status s = Fill(**lake, *texts); !s.ok()) return fail(s);

  const auto query = [&](const char* what) {
    return [&lake, threads, what] {
      return (*lake)->Query(StrCat("SELECT toUInt64(sum(", what,
                                   ")) AS n FROM texts SETTINGS max_threads = ", threads),
                            [](const lake::Block&) { return absl::OkStatus(); });
    };
  };
  const base::Parallel parallel(threads);
  std::atomic<size_t> kept{0};
  const auto kernel = [&] {
    parallel.For(texts->turn.size(), kGrain, [&](size_t begin, size_t end, int) {
      static thread_local sketch::Words words;
      uint32_t out[sketch::kSelectedMax + sketch::kSelectedPadding];
      size_t n = 0;
      const sketch::Kernel& best = sketch::BestKernel();
      const auto one = [&](const std::string& text, size_t window) {
        if (text.empty()) return;
        best.split(text, &words);
        n += best.select(words, window, out);
      };
      for (size_t i = begin; i < end; ++i) {
        one(texts->system[i], sketch::kSystemWindow);
        one(texts->turn[i], sketch::kTurnWindow);
      }
      kept += n;
    });
    return absl::OkStatus();
  };
  const auto whole = [&] {
    parallel.For(texts->turn.size(), kGrain, [&](size_t begin, size_t end, int) {
      static thread_local sketch::Sketcher sketcher;
      static thread_local model::Sketch out;
      size_t n = 0;
      for (size_t i = begin; i < end; ++i) {
        sketcher.Sketch(texts->system[i], texts->turn[i], "", {}, 1, &out);
        n += out.system.size() + out.turn.size();
      }
      kept += n;
    });
    return absl::OkStatus();
  };

  Contender scan{"", query("length(t)"), {}, {}};
  Contender contenders[] = {
      {"wordShingleMinHash (the yardstick)",
       query("tupleElement(wordShingleMinHash(t), 1) % 2"),
       {},
       {}},
      {"wordShingleMinHashCaseInsensitiveUTF8, which knows letters as ours does",
       query("tupleElement(wordShingleMinHashCaseInsensitiveUTF8(t), 1) % 2"),
       {},
       {}},
      {"our kernel: words and shingles", kernel, {}, {}},
      {"our whole sketch, features too", whole, {}, {}},
  };
  constexpr int kKernel = 2;
  std::vector<double> ratios;
  for (int round = -1; round < kRounds; ++round) {  // the first warms
    const auto plain = Timed(scan.run);
    if (!plain.ok()) return fail(plain.status());
    for (Contender& c : contenders) {
      auto cost = Timed(c.run);
      if (!cost.ok()) return fail(cost.status());
      if (round < 0) continue;
      const bool engine = &c < contenders + kKernel;
      c.wall.push_back(std::max(1e-9, cost->wall - (engine ? plain->wall : 0)));
      c.cpu.push_back(std::max(1e-9, cost->cpu - (engine ? plain->cpu : 0)));
    }
    if (round >= 0) ratios.push_back(contenders[0].wall.back() / contenders[kKernel].wall.back());
  }

  const double megabytes = static_cast<double>(texts->bytes) / 1e6;
  std::printf("%zu exchanges, %.0f MB of text, %d threads, medians of %d rounds\n\n",
              texts->turn.size(), megabytes, threads, kRounds);
  std::printf(
      "| | wall, ms | MB/s and core of CPU | times as fast, wall | CPU |\n|---|---|---|---|---|\n");
  for (const Contender& c : contenders) {
    std::printf("| %s | %.0f | %.0f | %.1f | %.1f |\n", c.name, Median(c.wall) * 1e3,
                megabytes / Median(c.cpu), Median(contenders[0].wall) / Median(c.wall),
                Median(contenders[0].cpu) / Median(c.cpu));
  }
  const double ratio = Median(ratios);
  std::printf(
      "\nThe kernel is %.1f times as fast (rounds %.1f to %.1f, at least %.1f wanted): %s\n", ratio,
      *std::min_element(ratios.begin(), ratios.end()),
      *std::max_element(ratios.begin(), ratios.end()), times, ratio >= times ? "ok" : "MISSED");
  return kept > 0 && ratio >= times ? 0 : 1;
}

}  // namespace
}  // namespace stillwatch

int main(int argc, char** argv) {
  const int threads = argc == 5 ? std::atoi(argv[2]) : 0;
  if (threads < 1) {
    std::fprintf(stderr, "usage: sketch_vs_clickhouse LOG THREADS TIMES LAKE\n");
    return 2;
  }
  return stillwatch::Main(argv[1], threads, std::atof(argv[3]), argv[4]);
}
