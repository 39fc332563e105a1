// Small files that a person names.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace stillwatch::app {

// The bytes of a file. InvalidArgument names it and says why it cannot be read, or that it has more
// than `bytes_max` bytes.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max = size_t{256} << 20);

}  // namespace stillwatch::app
