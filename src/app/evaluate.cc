#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <thread>

#include "app/command.h"
#include "app/files.h"
#include "app/state_dir.h"
#include "base/str.h"
#include "base/time.h"
#include "dossier/outputs.h"
#include "engine/scan.h"
#include "evaluate/report.h"
#include "evaluate/world.h"
#include "ingest/jsonl/side_files.h"
#include "state/precision.h"

namespace stillwatch::app {
namespace {

using base::StrCat;
namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> truth, found;
  std::string html, out, dispositions;
  bool json = false, replay = false;
  std::vector<double> shares{std::begin(evaluate::kReplayShares),
                             std::end(evaluate::kReplayShares)};
  int threads = static_cast<int>(std::thread::hardware_concurrency());
};

// Judges the lake of the findings at each moment, with the permits of the world.
absl::StatusOr<evaluate::Replay> Replayed(const evaluate::World& world, const std::string& found,
                                          const Options& o) {
  const std::string where = found + "/lake";
  std::error_code error;
  if (!fs::exists(where, error)) {
    return absl::InvalidArgumentError(
        StrCat(where, ": is missing; --replay judges the lake that the scan of ", world.dir,
               "/exchanges.jsonl kept there (scan without --lake)"));
  }
  auto lake = OpenLake(where, o.threads, true);
  if (!lake.ok()) return lake.status();
  engine::ScanInput in;
  in.lake = lake->get();
  in.threads = o.threads;
  in.stop = &g_stop;
  in.note = [](const std::string&) {};
  in.stage = [](const std::string&) {};
  in.trial = true;
  if (const std::string permits = world.dir + "/permits.yaml"; fs::exists(permits, error)) {
    auto read = ingest::ReadPermits(permits);
    if (!read.ok()) return read.status();
    in.judge.permits = std::move(*read);
  }
  evaluate::ReplayInput replay;
  replay.shares = o.shares;
  replay.each_exchange = [&](const auto& row) {
    return in.lake->Query(
        "SELECT exchange_id, account_id, ts FROM exchanges", [&](const lake::Block& b) {
          for (size_t i = 0; i < b.rows(); ++i) {
            row(b.columns[0].As<lake::StringColumn>()[i], b.columns[1].As<lake::StringColumn>()[i],
                b.columns[2].As<std::vector<int64_t>>()[i]);
          }
          return absl::OkStatus();
        });
  };
  replay.judge = [&](int64_t until) -> absl::StatusOr<std::string> {
    in.until_ms = until;
    in.out = StrCat(o.out, "/replay/", fs::path(world.dir).filename().string(), "/",
                    base::FormatRfc3339(until));
    fs::create_directories(in.out, error);
    if (error)
      return absl::InvalidArgumentError(
          StrCat(in.out, ": cannot be made; name another folder with --out"));
    auto result = engine::Scan(in);
    if (!result.ok()) return result.status();
    return in.out;
  };
  return evaluate::ReplayWorld(world, replay);
}

// What reviewers said, of a service's folder (or DIR/console of a scan) or in a file of the API's.
absl::Status Reviewed(const Options& o) {
  std::error_code error;
  absl::StatusOr<std::vector<state::Disposition>> said;
  if (fs::is_directory(o.dispositions, error)) {
    auto local = OpenLocalState(o.dispositions);
    if (!local.ok()) return local.status();
    said = local->state->CurrentDispositions();
  } else {
    auto text = ReadFile(o.dispositions);
    if (!text.ok()) return text.status();
    said = state::ReadDispositions(*text);
  }
  if (!said.ok())
    return absl::Status(said.status().code(),
                        StrCat(o.dispositions, ": ", std::string(said.status().message())));
  const state::Precision p = state::PrecisionOf(*said);
  if (o.json) {
    std::printf("%s\n", state::PrecisionJson(p).c_str());
    return absl::OkStatus();
  }
  std::printf("%-28s %9s %9s %7s %9s  %s\n", "", "confirmed", "dismissed", "unsure", "precision",
              "95 %");
  const auto row = [](const std::string& name, const state::Judged& n) {
    const state::ShareRight r = state::RightOf(n);
    std::printf("%-28s %9ju %9ju %7ju ", name.c_str(), uintmax_t{n.confirmed},
                uintmax_t{n.dismissed}, uintmax_t{n.unsure});
    if (n.decided() == 0)
      std::printf("%9s  -\n", "-");
    else
      std::printf("%9.3f  %.3f to %.3f\n", r.precision, r.low, r.high);
  };
  row("all", p.all);
  row("accused", p.accused);
  for (const auto& [name, n] : p.families) row(StrCat("family ", name), n);
  for (size_t bin = 0; bin < p.stated.size(); ++bin) {
    if (p.stated[bin].decided() + p.stated[bin].unsure == 0) continue;
    char name[32];
    std::snprintf(name, sizeof name, "stated %.2f to %.2f", state::kStatedBins[bin],
                  state::kStatedBins[bin + 1]);
    row(name, p.stated[bin]);
  }
  for (const auto& [name, n] : p.look_alikes)
    std::printf("%-28s %9s %9ju\n", StrCat("was ", name).c_str(), "", uintmax_t{n});
  return absl::OkStatus();
}

absl::Status Run(const Options& o) {
  if (!o.dispositions.empty()) return Reviewed(o);
  if (o.truth.empty())
    return absl::InvalidArgumentError(
        "evaluate: give --truth and --found, or --dispositions; see --help");
  if (o.truth.size() != o.found.size()) {
    return absl::InvalidArgumentError(StrCat("evaluate: ", o.truth.size(), " --truth and ",
                                             o.found.size(), " --found; give them in pairs"));
  }
  if (o.threads < 1 || o.threads > 1024)
    return absl::InvalidArgumentError("--threads: expected 1 to 1024");
  if (!std::is_sorted(o.shares.begin(), o.shares.end()) ||
      std::any_of(o.shares.begin(), o.shares.end(), [](double s) { return !(s > 0 && s <= 1); }))
    return absl::InvalidArgumentError("--shares: expected ascending numbers above 0, at most 1");
  if (o.replay && o.out.empty())
    return absl::InvalidArgumentError(
        "--replay: say with --out where the findings of each moment go");
  std::error_code error;
  if (!o.out.empty()) {
    fs::create_directories(o.out, error);
    if (error)
      return absl::InvalidArgumentError(
          StrCat(o.out, ": cannot be made; name another folder with --out"));
  }
  std::vector<evaluate::Score> scores;
  std::vector<evaluate::Replay> replays;
  for (size_t i = 0; i < o.truth.size(); ++i) {
    auto world = evaluate::ReadWorld(o.truth[i]);
    if (!world.ok()) return world.status();
    auto findings = evaluate::ReadFindings(o.found[i]);
    if (!findings.ok()) return findings.status();
    if (!fs::exists(o.found[i] + "/candidates.jsonl", error))
      std::fprintf(stderr,
                   "stillwatch: %s/candidates.jsonl is missing: nothing is said of how much stated "
                   "probabilities are worth\n",
                   o.found[i].c_str());
    auto score = evaluate::ScoreFindings(*world, *findings);
    if (!score.ok()) return score.status();
    scores.push_back(std::move(*score));
    if (!o.replay) continue;
    auto replay = Replayed(*world, o.found[i], o);
    if (!replay.ok()) return replay.status();
    replays.push_back(std::move(*replay));
  }
  const evaluate::Summary summary = evaluate::Summarise(std::move(scores), std::move(replays));
  const std::string json = evaluate::SummaryJson(summary);
  absl::Status s;
  if (!o.html.empty()) s = dossier::WriteWhole(o.html, evaluate::SummaryPage(summary));
  if (s.ok() && !o.out.empty()) s = dossier::WriteWhole(o.out + "/evaluation.json", json);
  if (s.ok() && !o.out.empty())
    s = dossier::WriteWhole(o.out + "/evaluation.html", evaluate::SummaryPage(summary));
  if (s.ok() && !o.out.empty())
    s = dossier::WriteWhole(o.out + "/candidates.csv", evaluate::CandidatesCsv(summary));
  if (s.ok()) std::fputs((o.json ? json : evaluate::SummaryText(summary)).c_str(), stdout);
  return s;
}

}  // namespace

void AddEvaluate(CLI::App& app, int* code) {
  auto* sub = app.add_subcommand("evaluate", "Compare findings with a world's truth");
  auto o = std::make_shared<Options>();
  sub->add_option("--truth", o->truth,
                  "folder with truth_*.csv; may be repeated, in pairs with --found")
      ->allow_extra_args(false);
  sub->add_option("--found", o->found, "folder of a finished scan; may be repeated")
      ->allow_extra_args(false);
  sub->add_option("--dispositions", o->dispositions,
                  "in place of a truth: what reviewers said, in a service's data folder, a scan's "
                  "DIR/console or a file of GET /api/v1/dispositions")
      ->excludes("--truth")
      ->excludes("--found");
  sub->add_flag("--json", o->json, "print JSON");
  sub->add_option("--html", o->html, "write one page with plots to this file");
  sub->add_option(
      "--out", o->out,
      "write evaluation.json, evaluation.html, candidates.csv and what --replay finds to this "
      "folder");
  sub->add_flag(
      "--replay", o->replay,
      "judge again what had been seen when .1 to 100 % of each campaign had been harvested");
  sub->add_option("--shares", o->shares, "of each campaign, in place of .001 to 1")
      ->type_name("SHARE,...")
      ->delimiter(',')
      ->default_str("");
  sub->add_option("--threads", o->threads, "workers of --replay")->capture_default_str();
  sub->footer(
      "Example: stillwatch evaluate --truth world --found stillwatch-out --html evaluation.html");
  sub->callback([o, code] { *code = Report(Run(*o)); });
}

}  // namespace stillwatch::app
