#include "app/files.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/str.h"

namespace stillwatch::app {

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max) {
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::string bytes;
  char part[65'536];
  while (in.read(part, sizeof part), in.gcount() > 0) {
    bytes.append(part, static_cast<size_t>(in.gcount()));
    if (bytes.size() > bytes_max) {
      return absl::InvalidArgumentError(
          base::StrCat(path, ": ", bytes_max, " bytes is the most"));
    }
  }
  if (!in.is_open() || in.bad()) {
    return absl::InvalidArgumentError(base::StrCat(
        path, ": cannot be read", errno == 0 ? "" : base::StrCat(": ", std::strerror(errno))));
  }
  return bytes;
}

}  // namespace stillwatch::app
