#include "engine/scan.h"

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "app/command.h"
#include "app/indicators.h"
#include "app/scratch_engine.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "base/version.h"
#include "dossier/outputs.h"
#include "engine/specimens.h"
#include "enrich/mmdb.h"
#include "ingest/formats/log.h"
#include "ingest/jsonl/side_files.h"
#include "ingest/live/account_block.h"

namespace stillwatch::app {
namespace {

using base::StrCat;

// "42 s", "12 min", "3 h 05 min".
std::string Duration(double seconds) {
  const auto s = static_cast<uint64_t>(seconds + .5);
  if (s < 100) return StrCat(s, " s");
  if (s < 6000) return StrCat((s + 30) / 60, " min");
  const uint64_t minutes = s / 60 % 60;
  return StrCat(s / 3600, " h ", minutes < 10 ? "0" : "", minutes, " min");
}

// One line on a terminal's stderr, redrawn four times a second: stage, share, rate, time left.
class ProgressLine {
 public:
  ProgressLine(const ingest::Progress& progress, bool on) : progress_(progress) {
    if (on) thread_ = std::thread([this] { Run(); });
  }
  ~ProgressLine() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      done_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) {
      thread_.join();
      std::fprintf(stderr, "\r\033[K");
    }
  }
  void Stage(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    stage_ = name;
  }

 private:
  void Run() {
    const auto begin = std::chrono::steady_clock::now();
    std::unique_lock<std::mutex> lock(mutex_);
    while (!wake_.wait_for(lock, std::chrono::milliseconds(250), [this] { return done_; })) {
      const double s =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      const double rate = static_cast<double>(progress_.records) / s;
      const uint64_t total = progress_.bytes_total, done = progress_.bytes_done;
      std::fprintf(stderr, "\r\033[K%-8s ", stage_.c_str());
      if (total > 0 && stage_ == "reading") {
        const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
        char bar[31] = "                              ";
        for (int i = 0; i < static_cast<int>(share * 30); ++i) bar[i] = '#';
        std::fprintf(stderr, "[%s] %3.0f %%  %.0f records/s", bar, share * 100, rate);
        if (share > 0) std::fprintf(stderr, "  %s left", Duration(s * (1 - share) / share).c_str());
      } else {
        std::fprintf(stderr, "%llu records  %s",
                     static_cast<unsigned long long>(progress_.records.load()),
                     Duration(s).c_str());
      }
      std::fflush(stderr);
    }
  }
  const ingest::Progress& progress_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::string stage_ = "starting";
  bool done_ = false;
  std::thread thread_;
};

struct Options {
  std::string format = "auto", accounts, lake, out = "stillwatch-out", attribution = "csv", permits,
              known, since, until;
  std::vector<std::string> logs, mmdb, indicators, blinding_keys;
  std::string reliability = "F";
  int threads = static_cast<int>(std::thread::hardware_concurrency());
  uint32_t specimens = 0;
  bool strict = false, json = false, quiet = false;
};

absl::Status Time(const std::string& text, const char* flag, int64_t* out) {
  if (text.empty()) return absl::OkStatus();
  const auto ms = base::ParseRfc3339(text);
  if (!ms) return absl::InvalidArgumentError(StrCat(flag, ": not RFC 3339 with a zone: ", text));
  *out = *ms;
  return absl::OkStatus();
}

void RunJson(const Options& o, const std::vector<std::string>& inputs, const engine::ScanResult& r,
             std::string* out) {
  base::JsonWriter w(out, true);
  w.BeginObject();
  w.Key("version");
  w.String(base::kVersion);
  w.Key("inputs");
  w.BeginArray();
  for (const auto& log : inputs) w.String(log);
  w.EndArray();
  const auto number = [&](const char* key, uint64_t v) {
    w.Key(key);
    w.Uint(v);
  };
  number("threads", static_cast<uint64_t>(o.threads));
  number("read", r.read);
  number("rejected", r.rejected);
  number("conflicts", r.conflicts);
  number("exchanges", r.exchanges);
  number("accounts", r.accounts);
  number("templates", r.templates);
  number("candidates", r.candidates);
  number("campaigns", r.findings.campaigns.size());
  w.Key("seconds");
  w.BeginObject();
  for (const auto& [stage, s] : r.seconds) {
    w.Key(stage);
    w.Double(s);
  }
  w.EndObject();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  w.Key("cpu_seconds");
  w.Double(static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6);
  number("peak_memory_kib", static_cast<uint64_t>(usage.ru_maxrss));
  w.EndObject();
  out->push_back('\n');
}

// What writes the log to our stdin may write the side files first, as simulate does: a file that is
// not there yet is missed only once the log has begun or ended.
void AwaitSideFiles(const Options& o) {
  if (std::find(o.logs.begin(), o.logs.end(), "-") == o.logs.end()) return;
  const auto missing = [](const std::string& path) {
    return !path.empty() && access(path.c_str(), R_OK) != 0;
  };
  if (!missing(o.accounts) && !missing(o.permits) && !missing(o.known)) return;
  pollfd log{STDIN_FILENO, POLLIN, 0};
  while (!g_stop && poll(&log, 1, 200) == 0) {
  }
}

absl::Status Run(const Options& o) {
  engine::ScanInput in;
  if (absl::Status s = Time(o.since, "--since", &in.since_ms); !s.ok()) return s;
  if (absl::Status s = Time(o.until, "--until", &in.until_ms); !s.ok()) return s;
  if (in.since_ms >= in.until_ms)
    return absl::InvalidArgumentError("--since: must be before --until");
  if (o.threads < 1 || o.threads > 1024)
    return absl::InvalidArgumentError("--threads: expected 1 to 1024");
  if (o.attribution == "parquet")
    in.attribution = engine::ScanInput::kParquet;
  else if (o.attribution == "none")
    in.attribution = engine::ScanInput::kNone;
  else if (o.attribution != "csv")
    return absl::InvalidArgumentError(
        StrCat("--attribution: csv, parquet or none, not ", o.attribution));
  if (in.attribution == engine::ScanInput::kParquet && lake::IsLakeUrl(o.lake)) {
    return absl::InvalidArgumentError(
        "--attribution: parquet is written by the embedded engine, into its own files; with a "
        "lake on a server take csv or none");
  }
  if (o.specimens > engine::kSpecimensMax) {
    return absl::InvalidArgumentError(StrCat("--specimens: expected 0 to ", engine::kSpecimensMax));
  }
  AwaitSideFiles(o);
  if (!o.permits.empty()) {
    auto permits = ingest::ReadPermits(o.permits);
    if (!permits.ok()) return permits.status();
    in.judge.permits = std::move(*permits);
  }
  if (!o.known.empty()) {
    auto known = ingest::ReadKnownActors(o.known);
    if (!known.ok()) return known.status();
    in.judge.known = std::move(*known);
  }
  const int64_t now = NowMs();
  if (!o.indicators.empty()) {
    if (o.reliability.size() != 1 || o.reliability[0] < 'A' || o.reliability[0] > 'F') {
      return absl::InvalidArgumentError(
          "--reliability: expected A (reliable) to F (cannot be judged)");
    }
    // Of what is judged up to an earlier time, by what was valid then.
    auto shared = ReadIndicators(o.indicators, std::min(now, in.until_ms), o.reliability[0]);
    if (!shared.ok()) return shared.status();
    in.judge.shared = *std::move(shared);
    auto blind = BlindWith(o.blinding_keys);
    if (!blind.ok()) return blind.status();
    in.judge.blind = *std::move(blind);
  }
  absl::StatusOr<enrich::AddressBook> book = enrich::AddressBook::Open(o.mmdb);
  if (!book.ok()) return book.status();
  if (!o.mmdb.empty()) {
    in.enrich = [&](model::Campaign* c) {
      c->infrastructure = enrich::Summarise(*book, c->addresses);
    };
  }
  // Everything that can be known to be wrong is said before anything is written.
  auto log = ingest::Log::Plan(o.logs, o.format, &g_stop);
  if (!log.ok()) return log.status();
  if (o.specimens > 0 && !log->once().empty()) {
    return absl::InvalidArgumentError(StrCat(
        log->once(),
        ": --specimens reads the log a second time, which a pipe does not allow; name files"));
  }
  if (!o.accounts.empty()) {
    std::error_code ignored;
    if (std::filesystem::is_directory(o.accounts, ignored)) {
      return absl::InvalidArgumentError(StrCat(o.accounts, ": is a folder; name one file"));
    }
    if (access(o.accounts.c_str(), R_OK) != 0) {
      return absl::InvalidArgumentError(
          StrCat(o.accounts, errno == ENOENT ? ": does not exist" : ": may not be read"));
    }
    if (absl::Status s = ingest::LookAtAccounts(o.accounts); !s.ok()) return s;
  }
  const std::string where = o.lake.empty() ? o.out + "/lake" : o.lake;
  const bool nothing_new = o.logs.empty() && o.accounts.empty();
  if (std::error_code ignored;
      nothing_new && !lake::IsLakeUrl(where) && !std::filesystem::is_directory(where, ignored)) {
    return absl::InvalidArgumentError(
        StrCat("scan: no LOG is named, and no lake is in ", where,
               "; name a log (stillwatch scan exchanges.jsonl), or the lake to judge with --lake"));
  }
  std::error_code error;
  std::filesystem::create_directories(o.out, error);
  if (error || access(o.out.c_str(), W_OK) != 0) {
    return absl::InvalidArgumentError(
        StrCat(o.out, ": results cannot be written there; name another folder with --out (",
               error ? error.message() : std::strerror(errno), ")"));
  }

  auto lake = OpenLake(where, o.threads, nothing_new);
  if (!lake.ok()) return lake.status();
  // Formats are taken apart by the embedded engine, wherever the lake is.
  ScratchEngine scratch;
  lake::Lake* engine = lake->get();
  if ((*lake)->Shared() && log->needs_engine()) {
    if (absl::Status s = scratch.Open(o.out, o.threads); !s.ok()) return s;
    engine = scratch.lake();
  }
  const bool terminal = isatty(2) && !o.quiet && !o.json;
  const auto note = [&](const std::string& text) {
    if (!o.quiet)
      std::fprintf(stderr, "%sstillwatch: note: %s\n", terminal ? "\r\033[K" : "", text.c_str());
  };
  ingest::Progress progress;
  std::unique_ptr<ingest::Source> source;
  if (!o.logs.empty()) {
    for (const std::string& why : log->recognised()) note(why);
    auto opened = log->Open(engine, {.now_ms = now, .since_ms = in.since_ms, .note = note});
    if (!opened.ok()) return opened.status();
    source = *std::move(opened);
    for (const std::string& why : log->recognised()) note(why);
    for (const std::string& name : log->names())
      in.source_name += (in.source_name.empty() ? "" : " ") + name;
  }
  in.source = source.get();
  if (!o.accounts.empty()) {
    in.accounts = [&](const auto& on_block, const auto& reject) -> absl::Status {
      ingest::AccountBlock accounts;
      const absl::Status read = ingest::ReadAccounts(
          o.accounts,
          [&](const ingest::AccountRow& row) -> absl::Status {
            accounts.Add(row);
            return accounts.rows() == lake::kInsertRows ? on_block(accounts.Take())
                                                        : absl::OkStatus();
          },
          reject);
      return read.ok() ? on_block(accounts.Take()) : read;
    };
  }
  in.lake = lake->get();
  in.out = o.out;
  in.threads = o.threads;
  in.strict = o.strict;
  in.specimens = o.specimens;
  in.now_ms = now;
  in.progress = &progress;
  in.stop = &g_stop;
  in.note = note;
  absl::StatusOr<engine::ScanResult> result;
  {
    ProgressLine line(progress, terminal);
    in.stage = [&](const std::string& name) { line.Stage(name); };
    result = engine::Scan(in);
  }
  if (!result.ok()) {
    if (absl::IsCancelled(result.status())) {
      return absl::CancelledError(
          "interrupted; what was read stays in the lake and counts once, results are as before");
    }
    return result.status();
  }
  std::string run;
  RunJson(o, log->names(), *result, &run);
  if (absl::Status s = dossier::WriteWhole(o.out + "/run.json", run); !s.ok()) return s;
  const bool none_usable = in.source != nullptr && result->read == 0 && result->rejected > 0;
  if (o.json) {
    std::fputs(dossier::CampaignsJson(result->findings.campaigns).c_str(), stdout);
  } else if (!o.quiet && !(none_usable && result->exchanges == 0)) {
    std::printf("%llu exchanges of %llu accounts judged",
                static_cast<unsigned long long>(result->exchanges),
                static_cast<unsigned long long>(result->accounts));
    if (result->rejected > 0) {
      std::printf("; %llu record%s rejected (%s/rejected.jsonl)",
                  static_cast<unsigned long long>(result->rejected),
                  result->rejected == 1 ? "" : "s", o.out.c_str());
    }
    std::printf("\n\n%s", dossier::CampaignTable(result->findings, o.out).c_str());
  }
  if (none_usable) {
    return absl::InvalidArgumentError(StrCat("none of the ", result->rejected,
                                             " records could be used; see ", o.out,
                                             "/rejected.jsonl for each reason"));
  }
  return absl::OkStatus();
}

}  // namespace

void AddScan(CLI::App& app, int* code) {
  auto* sub = app.add_subcommand("scan", "Read a log, find the campaigns in it, write dossiers");
  auto o = std::make_shared<Options>();
  sub->add_option("LOG", o->logs, "files, globs, - for stdin, URLs; .gz and .zst as they are");
  sub->add_option("--format", o->format, ingest::FormatNames() + " or FILE.sql")
      ->capture_default_str();
  sub->add_option("--accounts", o->accounts, "account records (JSON lines)");
  sub->add_option("--lake", o->lake, "folder or URL of the lake (default: OUT/lake)");
  sub->add_option("--out", o->out, "folder of the results")->capture_default_str();
  sub->add_option("--attribution", o->attribution, "csv, parquet or none")->capture_default_str();
  sub->add_option("--permits", o->permits, "licensed distillation (YAML)");
  sub->add_option("--known", o->known, "known actors (YAML)");
  sub->add_option("--indicators", o->indicators,
                  "what others shared: STIX bundles, or a folder of them; may be repeated")
      ->allow_extra_args(false);
  sub->add_option("--reliability", o->reliability, "of whom the bundles came from: A to F")
      ->capture_default_str();
  sub->add_option("--blinding-key", o->blinding_keys,
                  "key of a group of peers (share key); may be repeated")
      ->allow_extra_args(false);
  sub->add_option(
         "--mmdb", o->mmdb,
         "MaxMind database (ASN, Anonymous-IP, Residential-Proxy, Enterprise); may be repeated")
      ->allow_extra_args(false);
  sub->add_option("--since", o->since, "judge from this time on (RFC 3339)");
  sub->add_option("--until", o->until, "judge up to this time");
  sub->add_option("--specimens", o->specimens, "keep up to N texts per template for 30 days")
      ->type_name("N")
      ->capture_default_str();
  sub->add_option("--threads", o->threads, "workers")->capture_default_str();
  sub->add_flag("--strict", o->strict, "stop at the first bad record and write nothing");
  sub->add_flag("--json", o->json, "print campaigns.json instead of the table");
  sub->add_flag("--quiet", o->quiet, "print nothing but errors");
  sub->footer(
      "Example: stillwatch scan --accounts accounts.jsonl --permits permits.yaml "
      "exchanges.jsonl.zst");
  sub->callback([o, code] { *code = Report(Run(*o)); });
}

}  // namespace stillwatch::app
