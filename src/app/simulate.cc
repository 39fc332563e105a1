// simulate: labelled traffic. The core plans and renders; here are the threads and the files.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "app/command.h"
#include "app/files.h"
#include "base/json.h"
#include "base/parallel.h"
#include "base/str.h"
#include "base/time.h"
#include "simulate/presets.h"
#include "simulate/world.h"

namespace stillwatch::app {
namespace {

using base::StrCat;

constexpr size_t kBlocksAhead = 4;  // rendered blocks per thread that may wait for the writer
constexpr uint64_t kPromptBytesMax = 2ULL << 30;  // of --prompts
constexpr unsigned kPartsMax = 100;               // of a world
constexpr size_t kPromptBytesOne = 32'000;  // of one payload; longer ones are cut at a character

struct Options {
  std::string scenario, out, side, prompts, part;
  double scale = 1;
  uint64_t seed = 1;
  int days = 0;  // all
  int threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  std::vector<std::string> set;
  bool quiet = false, list = false, knobs = false, show = false;
};

// A file that appears complete or not at all; "-" is stdout.
class File {
 public:
  explicit File(const std::string& path) : path_(path) {
    fd_ = path == "-"
              ? STDOUT_FILENO
              : open((path + ".partial").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  }
  ~File() {
    if (fd_ > STDERR_FILENO) {
      close(fd_);
      unlink((path_ + ".partial").c_str());
    }
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  absl::Status Write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n =
          fd_ < 0 ? -1 : write(fd_, bytes.data(), std::min<size_t>(bytes.size(), 1 << 20));
      if (n < 0 && fd_ >= 0 && errno == EINTR) continue;
      if (n < 0) return Failed();
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }
  absl::Status Finish() {
    if (path_ == "-") return absl::OkStatus();
    const bool closed = fd_ >= 0 && close(fd_) == 0;
    fd_ = -1;
    std::error_code error;
    if (closed) std::filesystem::rename(path_ + ".partial", path_, error);
    return closed && !error ? absl::OkStatus() : Failed();
  }

 private:
  absl::Status Failed() const {
    const std::string why = std::strerror(errno);
    return absl::InvalidArgumentError(
        StrCat(path_ == "-" ? "stdout" : path_, ": cannot be written: ", why));
  }
  std::string path_;
  int fd_;
};

absl::Status WriteFile(const std::string& path, std::string_view text) {
  File f(path);
  absl::Status s = f.Write(text);
  return s.ok() ? f.Finish() : s;
}

// Renders a day's blocks on all threads and hands them to `write` in order.
absl::Status RenderDay(
    const simulate::World& world, const simulate::DayPlan& plan, int threads,
    std::vector<simulate::Scratch>& scratch,
    const std::function<absl::Status(std::string_view lines, std::string_view truth)>& write) {
  struct Slot {
    simulate::Text lines, truth;
    bool full = false;
  };
  const size_t window = kBlocksAhead * static_cast<size_t>(threads);
  std::vector<Slot> ring(window);
  std::mutex mutex;
  std::condition_variable changed;
  size_t next = 0, written = 0;
  bool stop = false;
  const auto work = [&](int worker) {
    for (;;) {
      size_t block;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock,
                     [&] { return stop || next >= plan.blocks() || next < written + window; });
        if (stop || next >= plan.blocks()) return;
        block = next++;
      }
      Slot& slot = ring[block % window];
      slot.lines.clear();
      slot.truth.clear();
      world.Render(plan, block, &scratch[static_cast<size_t>(worker)], &slot.lines, &slot.truth);
      {
        const std::lock_guard lock(mutex);
        slot.full = true;
      }
      changed.notify_all();
    }
  };
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) workers.emplace_back(work, t);
  absl::Status status;
  while (status.ok() && written < plan.blocks()) {
    Slot& slot = ring[written % window];
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return slot.full; });
    }
    status = write(slot.lines.view(), slot.truth.view());
    if (g_stop) status = absl::CancelledError("interrupted");
    {
      const std::lock_guard lock(mutex);
      slot.full = false;
      ++written;
      stop = !status.ok();
    }
    changed.notify_all();
  }
  for (std::thread& t : workers) t.join();
  return status;
}

// One payload a line: a JSON string, or plain text. Escaped for the inside of a JSON string.
absl::Status ReadPrompts(const std::string& path, std::string* bytes,
                         std::vector<std::string_view>* prompts) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    return absl::InvalidArgumentError(StrCat("--prompts: ", path, ": no such file"));
  if (std::filesystem::file_size(path, error) > kPromptBytesMax)
    return absl::InvalidArgumentError(StrCat("--prompts: ", path, ": larger than 2 GiB"));
  std::ifstream in(path, std::ios::binary);
  std::vector<std::pair<size_t, size_t>> at;
  std::string quoted;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    if (line.size() > kPromptBytesOne) {
      size_t n = kPromptBytesOne;
      while (n > 0 && (line[n] & 0xc0) == 0x80) --n;
      line.resize(n);
    }
    quoted.clear();
    base::AppendJsonString(line, &quoted);
    at.emplace_back(bytes->size(), quoted.size() - 2);
    bytes->append(quoted, 1, quoted.size() - 2);
  }
  if (at.empty())
    return absl::InvalidArgumentError(
        StrCat("--prompts: ", path, ": no line with text; expected one prompt a line"));
  for (const auto& [from, n] : at) prompts->push_back(std::string_view(*bytes).substr(from, n));
  return absl::OkStatus();
}

absl::StatusOr<simulate::Scenario> Load(const Options& o) {
  std::string name = o.scenario, text(simulate::FindPreset(o.scenario));
  if (text.empty()) {
    auto read = ReadFile(name);
    if (!read.ok()) {
      return absl::InvalidArgumentError(
          StrCat(name,
                 ": neither a preset nor a scenario file that can be read; `stillwatch simulate "
                 "--list` names the presets"));
    }
    text = *std::move(read);
  }
  // Knobs of the command line are a scenario on top of it.
  if (o.set.empty()) return simulate::ReadScenario(name, text, simulate::FindPreset);
  std::string top = "base: ";
  base::AppendJsonString(name, &top);
  top += "\nknobs:\n";
  for (const std::string& s : o.set) {
    const size_t eq = s.find('=');
    if (eq == std::string::npos || eq == 0 || s.find('\n') != std::string::npos)
      return absl::InvalidArgumentError(StrCat("--set ", s, ": expected KNOB=VALUE"));
    base::StrAppend(&top, "  ", s.substr(0, eq), ": ", s.substr(eq + 1), "\n");
  }
  auto read = simulate::ReadScenario("--set", top, [&](std::string_view base) -> std::string_view {
    return base == name ? std::string_view(text) : simulate::FindPreset(base);
  });
  // A line of `top` is one of --set.
  size_t line = 0;
  const std::string message(read.status().message());
  if (std::sscanf(message.c_str(), "--set:%zu:", &line) == 1 && line >= 3 &&
      line - 3 < o.set.size())
    return absl::InvalidArgumentError(
        StrCat("--set ", o.set[line - 3], message.substr(message.find(':', 6))));
  return read;
}

class Meter {
 public:
  Meter(double expected, bool on) : expected_(expected), on_(on && isatty(2)), begin_(Now()) {}
  void Add(uint64_t exchanges, bool last) {
    done_ += exchanges;
    const double now = Now();
    if (!on_ || (!last && now - shown_ < .2)) return;
    shown_ = now;
    const double share = last
                             ? 1
                             : std::min(.999, static_cast<double>(done_) / std::max(1., expected_)),
                 elapsed = now - begin_;
    const int full = static_cast<int>(share * 30);
    std::fprintf(stderr,
                 "\r\033[Ksimulating [%.*s%.*s] %3.0f %%  %.1f M exchanges  %.0f/s  %.0f s left%s",
                 full, "##############################", 30 - full,
                 "..............................", share * 100, static_cast<double>(done_) * 1e-6,
                 static_cast<double>(done_) / std::max(.001, elapsed),
                 share > 0 ? elapsed * (1 - share) / share : 0., last ? "\n" : "");
  }
  uint64_t done() const { return done_; }

 private:
  static double Now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  double expected_;
  bool on_;
  double begin_, shown_ = 0;
  uint64_t done_ = 0;
};

absl::Status Run(const Options& o) {
  if (o.list) {
    for (const auto& [name, title] : simulate::Presets())
      std::printf("%-20s %s\n", name.c_str(), title.c_str());
    return absl::OkStatus();
  }
  if (o.knobs) {
    for (const simulate::KnobInfo& k : simulate::Knobs()) {
      char range[64] = "";
      if (k.high > 0) std::snprintf(range, sizeof range, "%g to %g", k.low, k.high);
      std::printf("%-16s %-14s [%s] %s\n", std::string(k.name).c_str(), range,
                  std::string(k.fallback).c_str(), std::string(k.meaning).c_str());
    }
    return absl::OkStatus();
  }
  if (o.scenario.empty())
    return absl::InvalidArgumentError(
        "simulate: name a SCENARIO; --list shows the presets, --knobs what --set turns");
  if (o.threads < 1 || o.threads > 1024)
    return absl::InvalidArgumentError("--threads: expected 1 to 1024");
  auto scenario = Load(o);
  if (!scenario.ok()) return scenario.status();
  if (absl::Status s = simulate::Scale(o.scale, &*scenario); !s.ok()) return s;
  const std::string yaml = simulate::ScenarioYaml(*scenario);
  if (o.show) {
    std::fputs(yaml.c_str(), stdout);
    return absl::OkStatus();
  }
  if (o.out.empty()) return absl::InvalidArgumentError("--out: name a folder, or - for stdout");
  if (o.out == "-" && o.side.empty())
    return absl::InvalidArgumentError(
        "--out -: name a folder for the accounts and the truth with --side");
  if (o.out == "-" && isatty(STDOUT_FILENO))
    return absl::InvalidArgumentError(
        "--out -: stdout is a terminal; pipe it into a scan or name a folder");
  if (o.out != "-" && !o.side.empty() && o.side != o.out)
    return absl::InvalidArgumentError("--side: goes with --out -; a folder takes all files");
  const std::string side = o.out == "-" ? o.side : o.out;
  std::string prompt_bytes;
  std::vector<std::string_view> prompts;
  if (!o.prompts.empty()) {
    if (absl::Status s = ReadPrompts(o.prompts, &prompt_bytes, &prompts); !s.ok()) return s;
  }
  const base::Parallel parallel(o.threads);
  auto made = simulate::World::Make(std::move(*scenario), o.seed, std::move(prompts), parallel);
  if (!made.ok()) return made.status();
  simulate::World& world = **made;
  if (o.days < 0 || o.days > world.days())
    return absl::InvalidArgumentError(
        StrCat("--days: the scenario has ", world.days(), "; expected 1 to that many"));
  if (o.days > 0) world.StopAfter(o.days);
  if (!o.part.empty()) {
    unsigned part = 0, parts = 0;
    char end = 0;
    if (std::sscanf(o.part.c_str(), "%u/%u%c", &part, &parts, &end) != 2 || part < 1 ||
        part > parts || parts > kPartsMax) {
      return absl::InvalidArgumentError(
          StrCat("--part ", o.part, ": expected I/N, 1/2 for the first of two (N at most ",
                 kPartsMax, ")"));
    }
    world.Only(part - 1, parts);
  }

  std::error_code error;
  std::filesystem::create_directories(side, error);
  if (error || access(side.c_str(), W_OK) != 0)
    return absl::InvalidArgumentError(StrCat(side, ": cannot be written; name another folder"));

  // Of an earlier world nothing stays that could be taken for this one's.
  for (const char* name : {"/exchanges.jsonl", "/truth_exchanges.csv", "/truth_campaigns.csv"}) {
    std::filesystem::remove(side + name, error);
  }
  size_t accounts_written = 0;
  // What a scan reads beside the log comes first.
  {
    File roles(side + "/truth_accounts.csv"), accounts(side + "/accounts.jsonl"),
        pools(side + "/truth_pools.csv");
    absl::Status s = roles.Write("account_id,role,operator\n");
    if (s.ok()) s = pools.Write("account_id,pool\n");
    simulate::Text lines, truth, pool;
    constexpr size_t kFlush = 4 << 20;
    const std::vector<uint32_t> order = world.AccountOrder();
    accounts_written = order.size();
    for (size_t i = 0; s.ok() && i < order.size(); ++i) {
      const simulate::Person& p = world.people()[order[i]];
      world.RenderAccount(order[i], &lines);
      world.PutAccountId(order[i], &truth);
      truth.Put(',');
      truth.Put(world.RoleName(p.role));
      truth.Put(',');
      truth.Put(world.OperatorOf(p));
      truth.Put('\n');
      if (!world.OperatorOf(p).empty()) {
        world.PutAccountId(order[i], &pool);
        pool.Put(',');
        pool.Put(world.scenario().pools[p.pool].name);
        pool.Put('\n');
      }
      if (lines.size() < kFlush && i + 1 < order.size()) continue;
      s = accounts.Write(lines.view());
      if (s.ok()) s = roles.Write(truth.view());
      if (s.ok()) s = pools.Write(pool.view());
      lines.clear();
      truth.clear();
      pool.clear();
    }
    if (s.ok()) s = WriteFile(side + "/permits.yaml", world.Permits());
    if (s.ok()) s = WriteFile(side + "/known.yaml", world.Known());
    if (s.ok()) s = WriteFile(side + "/scenario.yaml", yaml);
    if (s.ok()) s = roles.Finish();
    if (s.ok()) s = pools.Finish();
    if (s.ok()) s = accounts.Finish();
    if (!s.ok()) return s;
  }

  File exchanges(o.out == "-" ? "-" : o.out + "/exchanges.jsonl"),
      harvest(side + "/truth_exchanges.csv");
  absl::Status status = harvest.Write("exchange_id,campaign\n");
  Meter meter(world.Expected(), !o.quiet);
  std::vector<simulate::Scratch> scratch(static_cast<size_t>(o.threads));
  for (int day = 0; status.ok() && day < world.days(); ++day) {
    const simulate::DayPlan plan = world.Plan(day, parallel);
    status = RenderDay(world, plan, o.threads, scratch,
                       [&](std::string_view lines, std::string_view truth) -> absl::Status {
                         if (absl::Status s = exchanges.Write(lines); !s.ok()) return s;
                         return harvest.Write(truth);
                       });
    meter.Add(plan.events.size(), status.ok() && day + 1 == world.days());
  }
  if (!status.ok()) return status;
  std::string csv = "campaign,operator,exchanges,accounts,first_seen,last_seen,capability\n";
  for (const simulate::CampaignTruth& t : world.Truth()) {
    if (t.exchanges == 0) continue;
    base::StrAppend(&csv, t.name, ",", t.operator_name, ",", t.exchanges, ",", t.accounts, ",",
                    base::FormatRfc3339(t.first_ms), ",", base::FormatRfc3339(t.last_ms), ",",
                    t.capability, "\n");
  }
  status = WriteFile(side + "/truth_campaigns.csv", csv);
  if (status.ok()) status = harvest.Finish();
  if (status.ok()) status = exchanges.Finish();
  if (status.ok() && !o.quiet && o.out != "-") {
    std::printf("%llu exchanges of %zu accounts -> %s\n",
                static_cast<unsigned long long>(meter.done()), accounts_written, o.out.c_str());
  }
  return status;
}

}  // namespace

void AddSimulate(CLI::App& app, int* code) {
  auto* sub = app.add_subcommand("simulate", "Write labelled traffic: campaigns among innocents");
  auto o = std::make_shared<Options>();
  sub->add_option("SCENARIO", o->scenario, "a preset (--list) or a YAML file");
  sub->add_option("--scale", o->scale, "multiplies the numbers of accounts")->capture_default_str();
  sub->add_option("--seed", o->seed, "another number, another world")->capture_default_str();
  sub->add_option("--days", o->days, "write the first N days alone")->type_name("N");
  sub->add_option("--prompts", o->prompts, "draw payloads from this file, one a line");
  sub->add_option("--out", o->out, "folder of the world, or - for exchanges on stdout");
  sub->add_option("--side", o->side, "with --out -: folder of accounts, permits and truth");
  sub->add_option("--set", o->set,
                  "KNOB=VALUE for every pool or campaign (--knobs); may be repeated")
      ->type_name("KNOB=VALUE")
      ->allow_extra_args(false);
  sub->add_option("--part", o->part,
                  "the I-th of N providers among whom the accounts are dealt out")
      ->type_name("I/N");
  sub->add_option("--threads", o->threads, "workers")->capture_default_str();
  sub->add_flag("--list", o->list, "list the presets");
  sub->add_flag("--knobs", o->knobs, "list what --set turns: bounds, defaults, meaning");
  sub->add_flag("--show", o->show, "print the scenario with everything resolved");
  sub->add_flag("--quiet", o->quiet, "print nothing but errors");
  sub->footer("Example: stillwatch simulate june-2026 --scale .01 --out world");
  sub->callback([o, code] { *code = Report(Run(*o)); });
}

}  // namespace stillwatch::app
