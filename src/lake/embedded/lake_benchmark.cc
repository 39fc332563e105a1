// Insert and streaming-read rates of table `exchanges`, its bytes per row, and the peak on disk.
// Rows look like a provider's: ids of 14 random hex digits, accounts of 50 exchanges, 8 system
// hashes that an account repeats, 12 turn hashes that it does not.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <limits>
#include <random>
#include <thread>

#include "lake/embedded/embedded_lake.h"

namespace stillwatch::lake {
namespace {

namespace fs = std::filesystem;

constexpr size_t kAccountRows = 50;

std::vector<uint32_t> Hashes(std::mt19937_64& random, size_t n) {
  std::vector<uint32_t> v(n);
  for (uint32_t& x : v) x = static_cast<uint32_t>(random());
  std::sort(v.begin(), v.end());
  return v;
}

std::string Hex(uint64_t v, int digits) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out(digits, '0');
  for (char& c : out) {
    c = kDigits[v & 15];
    v >>= 4;
  }
  return out;
}

// A log comes in order of time, so a block holds a few rows of many accounts.
Block Exchanges(uint64_t seed, size_t rows, size_t accounts) {
  std::mt19937_64 random(seed);
  std::vector<std::string> name(accounts), ip(accounts), ja4(accounts), agent(accounts);
  std::vector<std::vector<uint32_t>> system(accounts);
  std::mt19937_64 fixed(1);
  for (size_t a = 0; a < accounts; ++a) {
    name[a] = "acct_" + Hex(fixed(), 14);
    ip[a] = std::to_string(fixed() % 223 + 1) + "." + std::to_string(fixed() % 256) + "." +
            std::to_string(fixed() % 256) + "." + std::to_string(fixed() % 256);
    ja4[a] = "t13d" + std::to_string(1500 + fixed() % 20) + "h2_8daaf6152771_" +
             Hex(fixed() % 64 * 0x9E3779B97F4A7C15ULL, 12);
    agent[a] = "anthropic-sdk-python/0." + std::to_string(fixed() % 40) + ".0";
    system[a] = fixed() % 2 ? Hashes(fixed, 8) : std::vector<uint32_t>();
  }
  static const std::string kModels[] = {"atlas-4", "atlas-4-mini", "atlas-5", "atlas-5-long"};
  StringColumn id, account, channel, model, operation, client_ip, user_agent, ja4s;
  std::vector<uint32_t> content, batch, session, input, output, reasoning, cached, max_tokens,
      latency;
  std::vector<int64_t> ts;
  std::vector<uint16_t> status;
  std::vector<float> temperature, top_p;
  std::vector<uint8_t> stream;
  std::vector<uint64_t> features;
  ArrayColumn<uint32_t> system_sketch, turn;
  for (size_t i = 0; i < rows; ++i) {
    const size_t a = random() % accounts;
    id.Append("x_" + Hex(random(), 14));
    account.Append(name[a]);
    channel.Append(a % 5 ? "api" : "web");
    model.Append(kModels[random() % 4]);
    operation.Append("chat");
    client_ip.Append(ip[a]);
    user_agent.Append(agent[a]);
    ja4s.Append(ja4[a]);
    content.push_back(static_cast<uint32_t>(random()));
    batch.push_back(1);
    session.push_back(a % 3 ? 0 : static_cast<uint32_t>(random()));
    ts.push_back(1'776'000'000'000 +
                 static_cast<int64_t>(seed * 60'000'000 + i * 450 + random() % 450));
    status.push_back(random() % 50 ? 200 : 429);
    input.push_back(static_cast<uint32_t>(200 + random() % 2000));
    output.push_back(static_cast<uint32_t>(random() % 1500));
    reasoning.push_back(random() % 3 ? 0 : static_cast<uint32_t>(random() % 4000));
    cached.push_back(0xFFFFFFFF);
    max_tokens.push_back(4096);
    latency.push_back(static_cast<uint32_t>(300 + random() % 20'000));
    temperature.push_back(a % 4 ? 0.7f : 1.0f);
    top_p.push_back(std::numeric_limits<float>::quiet_NaN());
    stream.push_back(a % 2);
    features.push_back(random() & 0x0006'0B0F'0B20'0301ULL);
    system_sketch.Append(system[a].begin(), system[a].end());
    const auto t = Hashes(random, 12);
    turn.Append(t.begin(), t.end());
  }
  return {{{"exchange_id", id},
           {"content", content},
           {"batch", batch},
           {"ts", ts},
           {"account_id", account},
           {"session", session},
           {"channel", channel},
           {"model", model},
           {"operation", operation},
           {"status", status},
           {"input_tokens", input},
           {"output_tokens", output},
           {"reasoning_tokens", reasoning},
           {"cached_tokens", cached},
           {"temperature", temperature},
           {"top_p", top_p},
           {"max_tokens", max_tokens},
           {"stream", stream},
           {"client_ip", client_ip},
           {"user_agent", user_agent},
           {"ja4", ja4s},
           {"latency_ms", latency},
           {"features", features},
           {"system_sketch", system_sketch},
           {"turn_sketch", turn}}};
}

uint64_t BytesUnder(const fs::path& path) {
  uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code gone;  // parts come and go meanwhile
    if (it->is_regular_file(gone)) {
      const uint64_t size = it->file_size(gone);
      if (!gone) bytes += size;
    }
  }
  return bytes;
}

struct Place {
  Place()
      : path(fs::temp_directory_path() /
             ("stillwatch-lake-benchmark-" + std::to_string(getpid()))) {
    fs::remove_all(path);
  }
  ~Place() { fs::remove_all(path); }
  fs::path path;
};

struct Active {
  double rows = 0, bytes = 0;
};
Active ActiveParts(Lake& lake) {
  Active out;
  (void)lake.Query(kTableUseSql, [&](const Block& b) {
    for (size_t i = 0; i < b.rows(); ++i) {
      if (b.columns[0].As<StringColumn>()[i] != "exchanges") continue;
      out = {static_cast<double>(b.columns[1].As<std::vector<uint64_t>>()[i]),
             static_cast<double>(b.columns[2].As<std::vector<uint64_t>>()[i])};
    }
    return absl::OkStatus();
  });
  return out;
}

// Arguments: connections, rows a statement.
void Insert(benchmark::State& state) {
  const int threads = static_cast<int>(state.range(0));
  const size_t rows = static_cast<size_t>(state.range(1));
  const size_t blocks = (2u << 20) / rows;
  std::vector<Block> data;
  for (size_t i = 0; i < blocks; ++i) data.push_back(Exchanges(i, rows, 2'000'000 / kAccountRows));
  for (auto _ : state) {
    const Place place;
    auto lake = OpenEmbedded({.path = place.path.string(), .threads = 4});
    if (!lake.ok() || !(*lake)->Migrate().ok())
      return state.SkipWithError("the lake cannot be opened");
    std::atomic<bool> stop{false}, failed{false};
    std::atomic<size_t> next{0};
    uint64_t peak = 0;
    std::thread watch([&] {
      while (!stop) {
        peak = std::max(peak, BytesUnder(place.path));
        usleep(50'000);
      }
    });
    const auto begin = std::chrono::steady_clock::now();
    const std::clock_t cpu = std::clock();
    std::vector<std::thread> writers;
    for (int t = 0; t < threads; ++t) {
      writers.emplace_back([&] {
        for (size_t i = next++; i < blocks; i = next++)
          failed = failed || !(*lake)->Insert("exchanges", data[i]).ok();
      });
    }
    for (std::thread& t : writers) t.join();
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    state.counters["cpu_us_a_row"] = 1e6 * static_cast<double>(std::clock() - cpu) /
                                     CLOCKS_PER_SEC / static_cast<double>(blocks * rows);
    usleep(10'000'000);  // merges go on
    stop = true;
    watch.join();
    if (failed) return state.SkipWithError("an insert failed");
    const Active active = ActiveParts(**lake);
    if (active.rows != static_cast<double>(blocks * rows))
      return state.SkipWithError("rows are missing");
    state.counters["bytes_a_row"] = active.bytes / active.rows;
    state.counters["peak_over_active"] = static_cast<double>(peak) / active.bytes;
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * blocks * rows));
}
BENCHMARK(Insert)
    ->Args({1, 131'072})
    ->Args({4, 131'072})
    ->Args({4, 16'384})
    ->Args({4, 262'144})
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

// All columns that judging reads, in the table's order.
void Stream(benchmark::State& state) {
  const Place place;
  auto lake = OpenEmbedded({.path = place.path.string(), .threads = 4});
  if (!lake.ok() || !(*lake)->Migrate().ok())
    return state.SkipWithError("the lake cannot be opened");
  for (uint64_t i = 0; i < 8; ++i) {
    if (!(*lake)->Insert("exchanges", Exchanges(i, 131'072, 40'000)).ok())
      return state.SkipWithError("an insert failed");
  }
  uint64_t rows = 0;
  for (auto _ : state) {
    const absl::Status s = (*lake)->Query(
        "SELECT exchange_id, content, ts, account_id, model, status, input_tokens, output_tokens, "
        "client_ip, user_agent, ja4, "
        "signatures_issued, signatures_presented, features, system_sketch, turn_sketch FROM "
        "exchanges",
        [&](const Block& b) {
          rows += b.rows();
          return absl::OkStatus();
        });
    if (!s.ok()) return state.SkipWithError("the query failed");
  }
  state.SetItemsProcessed(static_cast<int64_t>(rows));
}
BENCHMARK(Stream)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace stillwatch::lake
