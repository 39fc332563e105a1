// console: the analysts' pages over a finished scan, for whoever sits at this machine.
#include "serve/console/console.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <thread>

#include "app/command.h"
#include "app/share_one.h"
#include "base/str.h"
#include "dossier/read.h"
#include "engine/live_store.h"
#include "serve/api/api.h"
#include "serve/http/server.h"

namespace stillwatch::app {
namespace {

using base::StrCat;

// The findings as one pass, taken up again at each start; what people said of them before stays.
absl::Status Take(const model::Findings& findings, state::State* state) {
  engine::PassFindings pass;
  pass.findings = findings;
  pass.began_ms = pass.ended_ms = NowMs();
  for (const model::Campaign& c : findings.campaigns) {
    pass.finding_ids.push_back(c.id);
    pass.open.push_back(1);
    pass.bits_short.push_back(0);
    for (const model::CampaignMember& m : c.members) pass.accounts += m.exchanges > 0;
    pass.exchanges += c.exchanges;
  }
  return engine::StateStore(state).Commit(pass, {}, "");
}

// The scan's lake, opened by the first question: most looks at a console ask none.
class OwnLake {
 public:
  explicit OwnLake(std::string dir) : dir_(std::move(dir)) {}
  absl::StatusOr<lake::Lake*> Get() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (lake_ == nullptr) {
      auto lake = OpenLake(dir_, 2, true);
      // Another process may have it open, or it was removed.
      if (!lake.ok()) return absl::UnavailableError(lake.status().message());
      lake_ = *std::move(lake);
    }
    return lake_.get();
  }
  absl::StatusOr<std::string> Report(std::string_view sql, std::string_view format,
                                     const lake::ReportBounds& bounds) {
    auto lake = Get();
    if (!lake.ok()) return lake.status();
    return (*lake)->Report(sql, format, bounds);
  }

 private:
  const std::string dir_;
  std::mutex mutex_;
  std::unique_ptr<lake::Lake> lake_;
};

absl::Status Console(const std::string& dir, uint16_t port) {
  auto findings = dossier::ReadFindings(dir);
  if (!findings.ok()) return findings.status();
  const std::string kept = dir + "/console";
  std::error_code error;
  std::filesystem::create_directories(kept, error);
  if (error) return absl::FailedPreconditionError(StrCat(kept, ": ", error.message()));
  audit::AuditOptions audit_options;
  audit_options.dir = kept + "/audit";
  audit_options.now_ms = NowMs;
  auto audit = audit::AuditLog::Open(std::move(audit_options));
  if (!audit.ok()) return audit.status();
  auto state = state::State::Open({.dir = kept + "/state", .audit = audit->get(), .now_ms = NowMs});
  if (!state.ok()) return state.status();
  if (absl::Status s = Take(*findings, state->get()); !s.ok()) return s;

  serve::Router router;
  serve::ApiContext context;
  context.state = state->get();
  context.audit = audit->get();
  context.now_ms = NowMs;
  OwnLake lake(dir + "/lake");
  context.report = [&](std::string_view sql, std::string_view format,
                       const lake::ReportBounds& bounds) {
    return lake.Report(sql, format, bounds);
  };
  // A folder of an older version has none, and is asked of its lake.
  auto index = lookup::Lookup::Open(dir + "/" + lookup::kFileName);
  if (!index.ok() && !absl::IsNotFound(index.status())) return index.status();
  context.lookup = [found = index.ok() ? *index : nullptr] { return found; };
  context.share = [&](const serve::ShareAsk& ask) -> absl::StatusOr<serve::Shared> {
    for (const model::Campaign& c : findings->campaigns) {
      if (c.id != ask.campaign) continue;
      auto opened = lake.Get();
      if (!opened.ok()) return opened.status();
      return ShareOne(c, *opened, ask, {});
    }
    return absl::NotFoundError("campaign: the findings have none with this id");
  };
  context.revocation = RevocationOf;
  serve::AddApiRoutes(&router, std::move(context));
  serve::AddConsole(&router);
  serve::Metrics metrics;
  serve::Log log(serve::LogLevel::kError);
  serve::ServerOptions options;
  options.endpoints = {{.port = port, .router = &router}};
  auto server = serve::Server::Start(std::move(options), std::make_shared<serve::TokenTable>(),
                                     &metrics, &log);
  if (!server.ok()) return server.status();
  std::printf("http://127.0.0.1:%u/\n", unsigned{(*server)->ports()[0]});
  std::fflush(stdout);
  while (!g_stop) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  (*server)->Drain(std::chrono::seconds(2));
  return absl::OkStatus();
}

}  // namespace

void AddConsole(CLI::App& app, int* code) {
  auto* sub = app.add_subcommand("console",
                                 "The analysts' pages over a finished scan, on this machine alone");
  auto dir = std::make_shared<std::string>();
  auto port = std::make_shared<uint16_t>(uint16_t{8090});
  sub->add_option("--port", *port, "of 127.0.0.1; 0: any that is free")->capture_default_str();
  sub->add_option("DIR", *dir,
                  "folder of the scan; what is said of its campaigns is kept in DIR/console")
      ->required();
  sub->footer("Example: stillwatch console stillwatch-out");
  sub->callback([=] { *code = Report(Console(*dir, *port)); });
}

}  // namespace stillwatch::app
