#include "base/write_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace stillwatch::base {

int WriteFileDurably(const std::string& path, std::string_view bytes) {
  const std::string partial = path + ".partial";
  const int fd = open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool ok = fd >= 0;
  for (size_t at = 0; ok && at < bytes.size();) {
    const ssize_t n = write(fd, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    ok = n > 0;
    if (ok) at += static_cast<size_t>(n);
  }
  ok = ok && fsync(fd) == 0;
  int error = errno;
  if (fd >= 0) close(fd);
  if (ok && std::rename(partial.c_str(), path.c_str()) == 0) return 0;
  if (ok) error = errno;
  unlink(partial.c_str());
  return error;
}

}  // namespace stillwatch::base
