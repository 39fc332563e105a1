// Decides whether a person's statement may run: one reading statement over the lake itself.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace stillwatch::lake {

// Whether `sql` starts as a reading statement does. The engine takes a bare expression for a
// SELECT, and EXPLAIN takes options in front; both would blur what was checked.
absl::Status CheckReportStart(std::string_view sql);

// Looks through the engine's own syntax tree (the lines of EXPLAIN AST) for functions that reach
// outside the lake. `table_functions` are the engine's, in lower case; all but a few are refused.
// Reading through table names is left to the engine's readonly mode, which refuses it.
absl::Status CheckReportTree(std::string_view tree, const std::set<std::string>& table_functions);

// For statements that come over a network: on top of what the engine refuses, one SELECT of the
// lake's own tables. Reads the words of `sql` itself, so it holds on servers that show no syntax
// tree. Refused with a sentence: other databases (`system`), table functions other than a few that
// make rows of nothing, INTO OUTFILE, FORMAT, SETTINGS, functions that read files, dictionaries or
// the server's state, and characters that tell words apart differently in different versions.
absl::Status CheckHunt(std::string_view sql);

}  // namespace stillwatch::lake
