// Who answers for what leaves: two persons by an export that was approved, or one alone who says
// why.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "app/state_dir.h"
#include "state/types.h"

namespace stillwatch::app {

// --alone REASON: nobody else looks at it; recorded as such.
void AddAlone(CLI::App* sub, std::string* alone);
// --token-file of a person; without it the variable STILLWATCH_TOKEN.
void AddPersonToken(CLI::App* sub, std::string* file);

// The person whose token it is, by the tokens of the service's folder. PermissionDenied when it is
// none of them, or lacks the role.
absl::StatusOr<std::string> PersonByToken(LocalState* local, const std::string& file,
                                          state::Role role);

// Whether `what` (named in errors and in the audit log), whose digest is `digest`, may leave:
// approved, or `alone`. Recorded before it leaves. FailedPrecondition says how to go on.
absl::Status Answered(LocalState* local, std::string_view kind, const std::string& digest,
                      const std::string& what, const std::string& alone);

// Proposes it in the name of the person whose token it is, and says what comes next.
absl::Status ProposeExport(LocalState* local, const std::string& token_file, state::Export proposal,
                           const std::vector<state::ExportFile>& files);

}  // namespace stillwatch::app
