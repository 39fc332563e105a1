#include "engine/live.h"

#include <fcntl.h>
#include <signal.h>
#include <simdjson.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <unordered_map>

#include "base/csv.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/time.h"
#include "dossier/read.h"

namespace stillwatch::engine {
namespace {

using base::StrCat;
using model::Verdict;
namespace fs = std::filesystem;

constexpr auto kPoll = std::chrono::milliseconds(50);
constexpr int kBackoffMax = 16;  // times the interval, after passes that failed
constexpr size_t kMessageBytes = 2'000;
constexpr int kDescriptors = 65'536;  // closed one by one where the kernel is too old for better

std::string FolderName(uint64_t pass) {
  std::string n = std::to_string(pass);
  return "pass-" + std::string(n.size() < 10 ? 10 - n.size() : 0, '0') + n;
}

// What the store keeps: "live1 MARK SINCE BEGAN ENDED FOLDER\n" and the state of watching.
std::string Pack(uint64_t mark, const PassFindings& pass, const std::string& kept,
                 const watch::Watched& watched) {
  return StrCat("live1 ", mark, " ", pass.since_ms, " ", pass.began_ms, " ", pass.ended_ms, " ",
                kept, "\n") +
         watch::Encode(watched);
}

absl::Status Unpack(std::string_view bytes, uint64_t* mark, PassFindings* pass, std::string* kept,
                    watch::Watched* watched) {
  const size_t line = bytes.substr(0, 200).find('\n');
  const auto damaged = absl::DataLossError("the state of passes is not what this program writes");
  if (line == std::string_view::npos || !bytes.starts_with("live1 ")) return damaged;
  const char *at = bytes.data() + 6, *end = bytes.data() + line;
  const auto number = [&](auto* v) {
    const auto [next, error] = std::from_chars(at, end, *v);
    if (error != std::errc() || next == end || *next != ' ') return false;
    at = next + 1;
    return true;
  };
  if (!number(mark) || !number(&pass->since_ms) || !number(&pass->began_ms) ||
      !number(&pass->ended_ms))
    return damaged;
  kept->assign(at, end);
  auto decoded = watch::Decode(bytes.substr(line + 1));
  if (!decoded.ok()) return decoded.status();
  *watched = *std::move(decoded);
  return absl::OkStatus();
}

uint64_t AnonymousBytes(pid_t pid) {
  std::ifstream in(StrCat("/proc/", pid, "/status"));
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("RssAnon:")) return std::strtoull(line.c_str() + 8, nullptr, 10) * 1024;
  }
  return 0;
}

// The end of what the child said, on one line.
std::string LastWords(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.size() > kMessageBytes) text.erase(0, text.size() - kMessageBytes);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// One line of candidates.jsonl, as far as the gate asks.
struct Candidate {
  std::string campaign;  // it was reported as; empty: not reported
  std::vector<uint64_t> sample;
  uint64_t exchanges = 0;
  double bits = 0;
};

absl::StatusOr<std::vector<Candidate>> ReadCandidates(const std::string& dir) {
  std::vector<Candidate> out;
  const std::string path = dir + "/candidates.jsonl";
  simdjson::padded_string text;
  if (simdjson::padded_string::load(path).get(text) != simdjson::SUCCESS)
    return absl::NotFoundError(StrCat(path, ": cannot be read"));
  try {
    simdjson::dom::parser parser;
    simdjson::dom::document_stream lines;
    if (parser.parse_many(text, 1 << 20).get(lines) != simdjson::SUCCESS)
      return absl::InvalidArgumentError(StrCat(path, ": cannot be parsed"));
    for (simdjson::dom::element c : lines) {
      Candidate one;
      one.campaign = std::string_view(c["campaign"]);
      one.bits = double(c["independent_bits"]);
      one.exchanges = uint64_t(c["exchanges"]);
      for (simdjson::dom::element x : c["sample"])
        one.sample.push_back(base::Hash64(std::string_view(x.at(0))));
      std::sort(one.sample.begin(), one.sample.end());
      out.push_back(std::move(one));
    }
  } catch (const simdjson::simdjson_error& e) {
    return absl::InvalidArgumentError(
        StrCat(path, ": is not what a scan of this version writes (", e.what(), ")"));
  }
  return out;
}

}  // namespace

model::Campaign ForDecisions(const model::Campaign& campaign, bool open) {
  model::Campaign c = campaign;
  if (open || c.verdict != Verdict::kDistillation) return c;
  c.verdict = Verdict::kUnresolved;
  for (model::CampaignMember& m : c.members)
    if (m.verdict == model::VerdictName(Verdict::kDistillation))
      m.verdict = model::VerdictName(Verdict::kUnresolved);
  return c;
}

LivePasses::LivePasses(LiveOptions options, LiveHooks hooks, LiveStore* store)
    : options_(std::move(options)), hooks_(std::move(hooks)), store_(store) {
  options_.rest = std::max(1.0, options_.rest);
  options_.keep = std::max<size_t>(1, options_.keep);
  options_.gate.window_ms =
      options_.window_ms > 0 ? options_.window_ms : watch::GateOptions().window_ms;
}

absl::StatusOr<std::unique_ptr<LivePasses>> LivePasses::Open(LiveOptions options, LiveHooks hooks,
                                                             LiveStore* store) {
  std::unique_ptr<LivePasses> live(new LivePasses(std::move(options), std::move(hooks), store));
  if (absl::Status s = live->Resume(); !s.ok()) return s;
  return live;
}

LivePasses::~LivePasses() {
  Stop();
  if (lock_ >= 0) close(lock_);
}

absl::Status LivePasses::Resume() {
  std::error_code error;
  fs::create_directories(options_.dir, error);
  const std::string lock = options_.dir + "/lock";
  lock_ = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) {
    return absl::FailedPreconditionError(
        StrCat(lock, ": ", std::strerror(errno), "; passes need a folder that they can write"));
  }
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        StrCat(options_.dir, ": another process runs its passes there; one per folder"));
  }
  auto bytes = store_->Load();
  if (!bytes.ok()) return bytes.status();
  PassFindings last;
  if (!bytes->empty()) {
    absl::Status s = Unpack(*bytes, &mark_, &last, &kept_, &watched_);
    if (!s.ok()) return s;
    since_ms_ = last.since_ms;
    any_ = true;
  }
  Clear();
  if (!any_) return absl::OkStatus();
  // The last pass again, for whoever had not heard of it.
  auto pass = Read(options_.dir + "/" + kept_);
  if (!pass.ok()) {
    // The results are gone, not the identities: the next pass makes them anew.
    hooks_.note(StrCat("the results of the last pass cannot be read (",
                       std::string(pass.status().message()), "); judging anew"));
    any_ = false;
    return absl::OkStatus();
  }
  std::unordered_map<std::string, const watch::Identity*> of;
  for (const watch::Identity& i : watched_.identities.all)
    if (i.life == watch::Life::kCurrent) of[i.finding_id] = &i;
  pass->pass = watched_.identities.passes;
  pass->since_ms = last.since_ms;
  pass->began_ms = last.began_ms;
  pass->ended_ms = last.ended_ms;
  pass->events = watched_.events;
  for (model::Campaign& c : pass->findings.campaigns) {
    const auto it = of.find(c.id);
    pass->finding_ids.push_back(c.id);
    pass->open.push_back(it != of.end() && it->second->open);
    pass->bits_short.push_back(0);
    if (it != of.end()) c.id = it->second->id;
  }
  Tell(*pass);
  return absl::OkStatus();
}

void LivePasses::Tell(const PassFindings& pass) {
  uint64_t open = 0;
  for (const uint8_t o : pass.open) open += o;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stats_.exchanges = pass.exchanges;
    stats_.accounts = pass.accounts;
    stats_.campaigns = pass.findings.campaigns.size();
    stats_.open = open;
    stats_.last_began_ms = pass.began_ms;
    stats_.last_ended_ms = pass.ended_ms;
  }
  if (hooks_.publish) {
    if (absl::Status s = hooks_.publish(pass); !s.ok())
      hooks_.note(StrCat("no snapshot of pass ", pass.pass, ": ", std::string(s.message())));
  }
  if (hooks_.alert) hooks_.alert(pass);
}

// Removes folders of passes that were never committed, and of old ones.
void LivePasses::Clear() const {
  std::error_code error;
  std::vector<std::string> committed;
  for (const auto& entry : fs::directory_iterator(options_.dir, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("pass-")) continue;
    if (name <= kept_)
      committed.push_back(name);
    else
      fs::remove_all(entry.path(), error);
  }
  std::sort(committed.rbegin(), committed.rend());
  for (size_t i = options_.keep; i < committed.size(); ++i)
    fs::remove_all(options_.dir + "/" + committed[i], error);
}

absl::Status LivePasses::Run(const std::string& dir, int64_t since_ms) {
  std::vector<std::string> args = {options_.program, "scan",
                                   "--lake",         options_.lake,
                                   "--out",          dir,
                                   "--attribution",  "csv",
                                   "--threads",      std::to_string(options_.threads),
                                   "--quiet"};
  if (since_ms != INT64_MIN) {
    args.push_back("--since");
    args.push_back(base::FormatRfc3339(since_ms));
  }
  args.insert(args.end(), options_.flags.begin(), options_.flags.end());
  std::vector<char*> argv;
  for (std::string& a : args) argv.push_back(a.data());
  argv.push_back(nullptr);
  const std::string said = dir + "/stderr";
  const int err = open(said.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (err < 0 || null < 0) {
    const std::string why = std::strerror(errno);
    if (err >= 0) close(err);
    if (null >= 0) close(null);
    return absl::FailedPreconditionError(StrCat(said, ": ", why));
  }
  const pid_t parent = getpid();
  const int nice = options_.nice;
  const pid_t pid = fork();
  if (pid == 0) {
    // Only what is safe between fork and exec.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    setpgid(0, 0);
    setpriority(PRIO_PROCESS, 0, nice);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    dup2(null, 0);
    dup2(null, 1);
    dup2(err, 2);
    // A client's connection must end when we end it, not when the pass does.
    if (close_range(3, ~0u, 0) != 0)
      for (int fd = 3; fd < kDescriptors; ++fd) close(fd);
    execv(argv[0], argv.data());
    _exit(127);
  }
  const int fork_error = errno;
  close(err);
  close(null);
  if (pid < 0)
    return absl::ResourceExhaustedError(StrCat("a pass cannot start: ", std::strerror(fork_error)));

  const auto begin = std::chrono::steady_clock::now();
  enum { kRuns, kStopped, kMemory, kTime } why = kRuns;
  int status = 0;
  rusage usage{};
  uint64_t bytes = 0;
  for (;;) {
    const pid_t ended = wait4(pid, &status, WNOHANG, &usage);
    if (ended == pid) break;
    if (ended < 0 && errno != EINTR)
      return absl::InternalError(StrCat("a pass was lost: ", std::strerror(errno)));
    if (why == kRuns) {
      bytes = std::max(bytes, AnonymousBytes(pid));
      const auto ran = std::chrono::duration_cast<std::chrono::milliseconds>(
          std::chrono::steady_clock::now() - begin);
      if (bytes > options_.memory_max)
        why = kMemory;
      else if (ran.count() > options_.time_max_ms)
        why = kTime;
    }
    std::unique_lock<std::mutex> lock(mutex_);
    if (why == kRuns && stop_) why = kStopped;
    if (why != kRuns) kill(-pid, SIGKILL);
    wake_.wait_for(lock, kPoll, [&] { return why == kRuns && stop_; });
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stats_.last_peak_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
    const auto ms = [](const timeval& t) { return int64_t{t.tv_sec} * 1000 + t.tv_usec / 1000; };
    stats_.last_cpu_ms = ms(usage.ru_utime) + ms(usage.ru_stime);
    stats_.killed_memory += why == kMemory;
    stats_.killed_time += why == kTime;
  }
  if (why == kStopped) return absl::CancelledError("stopped");
  if (why == kMemory) {
    return absl::ResourceExhaustedError(
        StrCat("a pass was killed: it took more than ", options_.memory_max >> 20,
               " MiB; allow more memory to passes or shorten their window"));
  }
  if (why == kTime) {
    return absl::DeadlineExceededError(
        StrCat("a pass was killed: it took longer than ", options_.time_max_ms / 1000,
               " s; allow more time or threads to passes, or shorten their window"));
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  const std::string words = LastWords(said);
  return absl::InternalError(StrCat("a pass ended ",
                                    WIFSIGNALED(status) ? "by signal " : "with status ",
                                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                                    words.empty() ? "" : ": ", words));
}

absl::StatusOr<PassFindings> LivePasses::Read(const std::string& dir) const {
  PassFindings pass;
  pass.dir = dir;
  auto findings = dossier::ReadFindings(dir);
  if (!findings.ok()) return findings.status();
  pass.findings = *std::move(findings);
  simdjson::dom::parser parser;
  simdjson::dom::element run;
  if (parser.load(dir + "/run.json").get(run) != simdjson::SUCCESS ||
      run["exchanges"].get(pass.exchanges) != simdjson::SUCCESS ||
      run["accounts"].get(pass.accounts) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(
        StrCat(dir, "/run.json: is not what a scan of this version writes"));
  }
  return pass;
}

absl::Status LivePasses::Attempt(uint64_t mark, int64_t since_ms) {
  const uint64_t number = watched_.identities.passes + 1;
  const std::string name = FolderName(number), dir = options_.dir + "/" + name;
  std::error_code error;
  fs::remove_all(dir, error);
  fs::create_directories(dir, error);
  if (error) {
    return absl::FailedPreconditionError(
        StrCat(dir, ": ", error.message(), "; passes need a folder that they can write"));
  }
  const int64_t began = hooks_.now_ms();
  if (absl::Status s = Run(dir, since_ms); !s.ok()) {
    fs::remove_all(dir, error);
    return s;
  }
  auto read = Read(dir);
  if (!read.ok()) return read.status();
  PassFindings pass = *std::move(read);
  pass.pass = number;
  pass.began_ms = began;
  pass.since_ms = since_ms;

  // Samples of exchanges and accounts.
  std::vector<model::Campaign>& campaigns = pass.findings.campaigns;
  std::unordered_map<std::string, size_t> index;
  for (size_t i = 0; i < campaigns.size(); ++i) index[campaigns[i].id] = i;
  std::vector<watch::Sampler> samplers(campaigns.size(), watch::Sampler(watch::kExchangeSample));
  {
    auto rows = base::CsvReader::Open(dir + "/exchanges.csv", "exchange_id,account_id,campaign_id");
    if (!rows.ok()) return rows.status();
    std::vector<std::string> cells;
    for (;;) {
      const auto more = rows->Next(&cells);
      if (!more.ok()) return more.status();
      if (!*more) break;
      const auto it = index.find(cells[2]);
      if (it == index.end()) {
        return absl::InvalidArgumentError(
            StrCat(rows->Where(), ": campaign ", cells[2], " is not in campaigns.json"));
      }
      samplers[it->second].Add(base::Hash64(cells[0]));
    }
  }
  std::vector<watch::Finding> found(campaigns.size());
  for (size_t i = 0; i < campaigns.size(); ++i) {
    const model::Campaign& c = campaigns[i];
    watch::Finding& f = found[i];
    f.id = c.id;
    f.name = c.name;
    f.verdict = c.verdict;
    f.probability = c.probability;
    f.first_seen_ms = c.first_seen_ms;
    f.last_seen_ms = c.last_seen_ms;
    f.exchanges = {samplers[i].Take(), c.exchanges};
    watch::Sampler accounts(watch::kAccountSample);
    for (const model::CampaignMember& m : c.members) accounts.Add(base::Hash64(m.account_id));
    f.accounts = {accounts.Take(), c.accounts};
    for (const model::Evidence& e : c.evidence) {
      if (e.bits <= 0) continue;
      f.families |= 1u << static_cast<int>(e.family);
      f.bits += e.bits;
    }
  }

  // The gate sees every candidate that was weighed.
  auto candidates = ReadCandidates(dir);
  if (!candidates.ok()) return candidates.status();
  std::vector<watch::Look> looks;
  std::vector<size_t> finding_of;
  for (const Candidate& c : *candidates) {
    size_t finding = campaigns.size();
    if (const auto it = index.find(c.campaign); it != index.end()) {
      finding = it->second;
    } else if (!c.campaign.empty()) {
      return absl::InvalidArgumentError(
          StrCat(dir, "/candidates.jsonl: campaign ", c.campaign, " is not in campaigns.json"));
    }
    watch::Look look;
    look.exchanges = {c.sample, c.exchanges};
    if (finding < campaigns.size()) {
      look.accused = campaigns[finding].verdict == Verdict::kDistillation;
      look.log2_e = c.bits;
    }
    finding_of.push_back(finding);
    looks.push_back(std::move(look));
  }
  watch::Watched next;
  const int64_t now = hooks_.now_ms();
  watch::GateStep gate = watch::Pass(watched_.gate, looks, now, options_.gate);
  next.gate = std::move(gate.next);
  pass.bits_short.assign(campaigns.size(), 0);
  for (size_t i = 0; i < looks.size(); ++i) {
    if (finding_of[i] == campaigns.size()) continue;
    found[finding_of[i]].open = gate.open[i];
    pass.bits_short[finding_of[i]] = gate.bits_short[i];
  }

  if (hooks_.dismissed) {
    auto dismissed = hooks_.dismissed();
    if (dismissed.ok())
      dismissed_ = *std::move(dismissed);
    else
      hooks_.note(StrCat("what people dismissed cannot be read: ",
                         std::string(dismissed.status().message())));
  }
  const std::vector<size_t> repeats = watch::Repeats(watched_.identities, found, dismissed_);
  for (size_t i = 0; i < found.size(); ++i) {
    found[i].dismissed = repeats[i] != watch::kNoRepeat;
    pass.dismissed.push_back(found[i].dismissed);
  }
  watch::Step step = watch::Identify(watched_.identities, found);
  next.identities = std::move(step.next);
  next.events = step.events;
  pass.events = std::move(step.events);
  for (size_t i = 0; i < campaigns.size(); ++i) {
    pass.finding_ids.push_back(campaigns[i].id);
    campaigns[i].id = step.ids[i];
    pass.open.push_back(next.identities.Find(step.ids[i])->open);
    if (pass.open[i]) pass.bits_short[i] = 0;
  }
  pass.ended_ms = now;
  if (absl::Status s = store_->Commit(pass, next.identities, Pack(mark, pass, name, next));
      !s.ok()) {
    fs::remove_all(dir, error);
    return s;
  }
  watched_ = std::move(next);
  mark_ = mark;
  since_ms_ = since_ms;
  kept_ = name;
  any_ = true;
  Tell(pass);
  Clear();
  return absl::OkStatus();
}

absl::StatusOr<bool> LivePasses::RunOnce() {
  bool kicked = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    kicked = std::exchange(kicked_, false) || retry_;
  }
  const auto mark = hooks_.mark();
  absl::Status s = mark.status();
  const auto begin = std::chrono::steady_clock::now();
  if (s.ok()) {
    const int64_t now = hooks_.now_ms();
    int64_t since = INT64_MIN;
    if (options_.window_ms > 0) {
      const int64_t from = now - options_.window_ms;
      since = from - ((from % base::kMsPerHour) + base::kMsPerHour) % base::kMsPerHour;
    }
    if (any_ && !kicked && *mark == mark_ && since == since_ms_) {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++stats_.skipped;
      return false;
    }
    s = Attempt(*mark, since);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  retry_ = kicked && !s.ok();
  stats_.last_duration_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                                std::chrono::steady_clock::now() - begin)
                                .count();
  if (s.ok()) {
    ++stats_.passes;
    stats_.last_error.clear();
    return true;
  }
  if (!absl::IsCancelled(s)) {
    ++stats_.failed;
    stats_.last_error = std::string(s.message());
  }
  return s;
}

void LivePasses::Loop() {
  using Clock = std::chrono::steady_clock;
  int failures = 0;
  for (;;) {
    const auto began = Clock::now();
    const auto ran = RunOnce();
    if (ran.ok()) {
      failures = 0;
    } else if (!absl::IsCancelled(ran.status())) {
      ++failures;
      hooks_.note(StrCat("pass failed, what was known stays in force: ",
                         std::string(ran.status().message())));
    }
    const double took = std::chrono::duration<double, std::milli>(Clock::now() - began).count();
    const double times = failures == 0 ? 1 : std::min(kBackoffMax, 1 << std::min(failures - 1, 10));
    const double wait =
        std::max(static_cast<double>(options_.interval_ms) * times, options_.rest * took);
    std::unique_lock<std::mutex> lock(mutex_);
    wake_.wait_until(lock,
                     began + std::chrono::duration_cast<Clock::duration>(
                                 std::chrono::duration<double, std::milli>(wait)),
                     [&] { return stop_ || kicked_; });
    if (stop_) return;
  }
}

void LivePasses::Start() {
  if (!thread_.joinable()) thread_ = std::thread([this] { Loop(); });
}

void LivePasses::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void LivePasses::Kick() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    kicked_ = true;
  }
  wake_.notify_all();
}

LiveStats LivePasses::stats() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

}  // namespace stillwatch::engine
