// What the subcommands share: exit codes, messages, opening the lake.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lake/cluster/cluster_lake.h"
#include "lake/lake.h"

namespace stillwatch::app {

inline constexpr int kOk = 0, kOurFault = 1, kUsage = 2, kInterrupted = 130;
extern std::atomic<bool> g_stop;  // set by SIGINT and SIGTERM

int64_t NowMs();  // the system's clock, milliseconds since 1970

// Prints the one clear line and gives the exit code for it.
int Report(const absl::Status& status);

// One clear sentence for the person: "stillwatch: note: ..." on standard error.
void SayNote(const std::string& text);
// How to reach a lake that is no folder: its URL, with the password from the environment.
absl::StatusOr<lake::ClusterOptions> ServedLake(const std::string& where);
// Opens and migrates a folder or a URL. `note` hears, from any thread, that a server is waited for.
absl::StatusOr<std::unique_ptr<lake::Lake>> OpenLake(
    const std::string& where, int threads, bool must_exist,
    const std::function<void(const std::string&)>& note = SayNote);

// Each adds its subcommand; `code` receives the exit code when it ran.
void AddScan(CLI::App& app, int* code);
void AddExplain(CLI::App& app, int* code);
void AddLink(CLI::App& app, int* code);
void AddQuery(CLI::App& app, int* code);
void AddSketch(CLI::App& app, int* code);
void AddLake(CLI::App& app, int* code);
void AddConsole(CLI::App& app, int* code);
void AddDossier(CLI::App& app, int* code);
void AddEvaluate(CLI::App& app, int* code);
void AddSimulate(CLI::App& app, int* code);
void AddServe(CLI::App& app, int* code);
void AddConfig(CLI::App& app, int* code);
void AddAudit(CLI::App& app, int* code);
void AddToken(CLI::App& app, int* code);
void AddPolicy(CLI::App& app, int* code);
void AddShare(CLI::App& app, int* code);

}  // namespace stillwatch::app
