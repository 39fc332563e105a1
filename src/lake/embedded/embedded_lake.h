// The lake in this process: chDB, loaded on first use from the pinned npm package.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lake/lake.h"

namespace stillwatch::lake {

struct EmbeddedOptions {
  std::string path;  // directory, created if missing
  int threads = 4;
  uint64_t memory_max_bytes = uint64_t{2} << 30;  // of one statement; it spills from half of it on
};

// One path per process at a time. Unavailable when another process holds the lake;
// FailedPrecondition when libchdb.so is not found, the path is a file or is not writable.
// Looks for the engine in $STILLWATCH_CHDB, beside the executable, then where it was built.
absl::StatusOr<std::unique_ptr<Lake>> OpenEmbedded(const EmbeddedOptions& options);

}  // namespace stillwatch::lake
