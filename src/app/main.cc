#include <malloc.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>

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

absl::StatusOr<lake::ClusterOptions> ServedLake(const std::string& where) {
  auto url = lake::ParseLakeUrl(where);
  if (!url.ok()) return url.status();
  if (absl::Status s = lake::TakeEnvironment(&*url); !s.ok()) return s;
  lake::ClusterOptions options;
  options.url = *std::move(url);
  options.stop = &g_stop;
  options.note = [](const std::string& text) {
    std::fprintf(stderr, "stillwatch: note: %s\n", text.c_str());
  };
  return options;
}

namespace {

absl::StatusOr<std::unique_ptr<lake::Lake>> OpenServed(const std::string& where, bool must_exist) {
  auto options = ServedLake(where);
  if (!options.ok()) return options.status();
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

}  // namespace

absl::StatusOr<std::unique_ptr<lake::Lake>> OpenLake(const std::string& where, int threads,
                                                     bool must_exist) {
  auto lake = lake::IsLakeUrl(where) ? OpenServed(where, must_exist)
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
    return app.exit(e) == 0 ? kOk : kUsage;
  }
  // Who reads no further has what it wanted; any other loss is said.
  if ((std::fflush(stdout) != 0 || std::ferror(stdout)) && errno != EPIPE && code == kOk) {
    std::fprintf(stderr, "stillwatch: standard output: %s\n", std::strerror(errno));
    return kUsage;
  }
  return code;
}
