// The commands that work on a service's folder beside the service: who may, and opening it.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "audit/log.h"
#include "state/state.h"

namespace stillwatch::app {

// How a command names the folder of its service.
struct Where {
  std::string config, data = "/var/lib/stillwatch";
};
// --data and --config.
void AddPlace(CLI::App* sub, Where* where);

// DATA of the configuration file, or `data` where no file is named.
absl::StatusOr<std::string> DataDir(const std::string& config, const std::string& data);

struct LocalState {
  std::unique_ptr<audit::AuditLog> audit;
  std::unique_ptr<state::State> state;  // after the log that it writes to
  std::string actor;                    // "local:root"
};

// DATA/state and DATA/audit. InvalidArgument when the folder belongs to another user: files that
// this user left there the service could not write.
absl::StatusOr<LocalState> OpenLocalState(const std::string& data);
absl::StatusOr<LocalState> OpenLocalState(const Where& where);

}  // namespace stillwatch::app
