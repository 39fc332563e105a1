#include <malloc.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "app/command.h"
#include "base/str.h"
#include "base/version.h"
#include "engine/specimens.h"
#include "lake/cluster/cluster_lake.h"
#include "lake/embedded/embedded_lake.h"

namespace stillwatch::app {

std::atomic<bool> g_stop{false};

int64_t NowMs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

int Report(const absl::Status& status) {
  if (status.ok()) return kOk;
  const std::string text(status.message().data(), status.message().size());
  std::fprintf(stderr, "stillwatch: %s\n", text.c_str());
  if (absl::IsCancelled(status)) return kInterrupted;
  return absl::IsInternal(status) ? kOurFault : kUsage;
}

void SayNote(const std::string& text) {
  std::fprintf(stderr, "stillwatch: note: %s\n", text.c_str());
}

absl::StatusOr<lake::ClusterOptions> ServedLake(const std::string& where) {
  auto url = lake::ParseLakeUrl(where);
  if (!url.ok()) return url.status();
  if (absl::Status s = lake::TakeEnvironment(&*url); !s.ok()) return s;
  lake::ClusterOptions options;
  options.url = *std::move(url);
  options.stop = &g_stop;
  options.note = SayNote;
  return options;
}

namespace {

absl::StatusOr<std::unique_ptr<lake::Lake>> OpenServed(
    const std::string& where, bool must_exist,
    const std::function<void(const std::string&)>& note) {
  auto options = ServedLake(where);
  if (!options.ok()) return options.status();
  options->note = note;
  if (must_exist) {
    auto has = lake::ClusterHasLake(*options);
    if (!has.ok()) return has.status();
    if (!*has) {
      return absl::NotFoundError(
          base::StrCat("lake: ", options->url.Shown(),
                       " holds no lake; a scan makes it, or `stillwatch lake init --lake URL`"));
    }
  }
  return lake::OpenCluster(*options);
}

absl::StatusOr<std::unique_ptr<lake::Lake>> OpenFolder(const std::string& where, int threads,
                                                       bool must_exist) {
  std::error_code ignored;
  if (must_exist && !std::filesystem::is_directory(where, ignored)) {
    return absl::NotFoundError(base::StrCat(
        "lake: ", where, " does not exist; a scan makes it, or `stillwatch lake init --lake ",
        where, "`"));
  }
  return lake::OpenEmbedded({.path = where, .threads = threads});
}

// The fewest letters to change, add or leave out between two words.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t before = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      before = std::exchange(
          row[j], std::min({row[j] + 1, row[j - 1] + 1, before + (a[i - 1] != b[j - 1])}));
    }
  }
  return row.back();
}

// A command line that makes no sense, in the one line that every other error has.
int Misused(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* at = &app;
  std::string command = "stillwatch";
  for (auto subs = at->get_subcommands(); !subs.empty(); subs = at->get_subcommands()) {
    at = subs.back();
    base::StrAppend(&command, " ", at->get_name());
  }
  std::string what = error.what();
  std::replace(what.begin(), what.end(), '\n', ' ');
  const auto rest = at->remaining();
  const auto subcommands = at->get_subcommands([](const CLI::App*) { return true; });
  // Of an unknown command it is said first that one is missing.
  if (!rest.empty() &&
      (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr || !subcommands.empty())) {
    const std::string word = rest[0].substr(0, rest[0].find('='));
    const bool option = word.starts_with("-");
    std::vector<std::string> known;
    if (option) {
      for (const CLI::Option* o : at->get_options())
        for (const std::string& name : o->get_lnames()) known.push_back("--" + name);
    } else {
      for (const CLI::App* sub : subcommands) known.push_back(sub->get_name());
    }
    what = base::StrCat(word, option                ? ": no such option"
                              : subcommands.empty() ? ": one argument too many"
                                                    : ": no such command");
    const auto nearest = std::min_element(known.begin(), known.end(), [&](auto& x, auto& y) {
      return Distance(word, x) < Distance(word, y);
    });
    if (nearest != known.end() && Distance(word, *nearest) <= 1 + word.size() / 4)
      base::StrAppend(&what, "; did you mean ", *nearest, "?");
  } else if (!subcommands.empty() && at->get_subcommands().empty()) {
    what = "a command is missing:";
    for (const CLI::App* sub : subcommands)
      base::StrAppend(&what, sub == subcommands[0] ? " " : ", ", sub->get_name());
  }
  std::fprintf(stderr, "stillwatch: %s (%s --help)\n", what.c_str(), command.c_str());
  return kUsage;
}

}  // namespace

absl::StatusOr<std::unique_ptr<lake::Lake>> OpenLake(
    const std::string& where, int threads, bool must_exist,
    const std::function<void(const std::string&)>& note) {
  auto lake = lake::IsLakeUrl(where) ? OpenServed(where, must_exist, note)
                                     : OpenFolder(where, threads, must_exist);
  if (!lake.ok()) return lake.status();
  if (absl::Status s = (*lake)->Migrate(); !s.ok()) return s;
  if (absl::Status s = engine::ExpireSpecimens(**lake, NowMs()); !s.ok()) return s;
  return lake;
}

}  // namespace stillwatch::app

int main(int argc, char** argv) {
  using namespace stillwatch::app;
  if (!__builtin_cpu_supports("avx2")) {
    std::fprintf(stderr, "stillwatch: this processor lacks AVX2, which the log reader needs\n");
    return kUsage;
  }
  // Columns go back to the system as soon as they are freed; otherwise a log that is put in order
  // column by column would be there twice.
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
  mallopt(M_MMAP_MAX, 1 << 20);
  std::signal(SIGINT, [](int) {
    if (g_stop.exchange(true)) std::_Exit(kInterrupted);  // the second time: at once
  });
  std::signal(SIGTERM, [](int) { g_stop = true; });
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app{
      "Finds coordinated distillation campaigns in the traffic of a language-model API and says "
      "how it knows.",
      "stillwatch"};
  app.set_version_flag("--version",
                       stillwatch::base::StrCat("stillwatch ", stillwatch::base::kVersion));
  app.require_subcommand(1);
  app.footer("Example: stillwatch scan --accounts accounts.jsonl exchanges.jsonl.zst");
  int code = kOk;
  AddScan(app, &code);
  AddExplain(app, &code);
  AddLink(app, &code);
  AddQuery(app, &code);
  AddSketch(app, &code);
  AddLake(app, &code);
  AddConsole(app, &code);
  AddDossier(app, &code);
  AddEvaluate(app, &code);
  AddSimulate(app, &code);
  AddServe(app, &code);
  AddConfig(app, &code);
  AddAudit(app, &code);
  AddToken(app, &code);
  AddPolicy(app, &code);
  AddShare(app, &code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return e.get_exit_code() == 0 ? app.exit(e) : Misused(app, e);
  }
  // Who reads no further has what it wanted; any other loss is said.
  if ((std::fflush(stdout) != 0 || std::ferror(stdout)) && errno != EPIPE && code == kOk) {
    std::fprintf(stderr, "stillwatch: standard output: %s\n", std::strerror(errno));
    return kUsage;
  }
  return code;
}
