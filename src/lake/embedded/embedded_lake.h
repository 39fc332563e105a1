// The lake in this process: chDB, loaded on first use from the pinned npm package.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lake/lake.h"

namespace stillwatch::lake {

struct EmbeddedOptions {
  std::string path;  // directory, created if missing
  int threads = 4;   // of one statement
  uint64_t memory_max_bytes = uint64_t{2} << 30;  // of one statement; it spills from half of it on
  uint64_t many_rows =
      4'000'000;  // written to a table, from which on its parts are merged less often
};

// Statements that run at a time; further callers wait. A Query callback that queries again holds
// two, so nesting must stay far below this.
inline constexpr int kEmbeddedConnectionsMax = 16;

// Opens or makes the lake in `path`; Migrate() comes next. The engine has one data path per
// process: the same lake may be opened again, another one only when all others are closed.
//   FailedPrecondition: libchdb.so is not found, the path is a file, is not writable or holds
//     anything but a lake (nothing is written there), or this process has another lake open.
//   Unavailable: another process holds the lake; names its process id where known.
// Nothing is written outside `path`, and nothing to stdout or stderr.
//
// Errors of Insert, Query and Execute: ResourceExhausted when the disk is full or a statement
// passes its memory, DeadlineExceeded when it passes its time, InvalidArgument when the statement
// or the block is wrong, Internal for the rest.
absl::StatusOr<std::unique_ptr<Lake>> OpenEmbedded(const EmbeddedOptions& options);

// Removes what the engine made in `path`, and the folder when nothing else lies in it. The lake is
// not opened, so a damaged one goes too. NotFound: there is no lake, nothing was removed.
// Unavailable: another process holds it. A drop that was cut short can be run again.
absl::Status DropEmbedded(const std::string& path);

}  // namespace stillwatch::lake
