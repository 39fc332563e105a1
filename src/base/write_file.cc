#include "base/write_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace stillwatch::base {

int WriteAt(int file, const void* bytes, size_t n, uint64_t at) {
  const char* p = static_cast<const char*>(bytes);
  while (n > 0) {
    const ssize_t done = ::pwrite(file, p, n, static_cast<off_t>(at));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return done < 0 ? errno : EIO;
    p += done, at += static_cast<uint64_t>(done), n -= static_cast<size_t>(done);
  }
  return 0;
}

int WriteFileDurably(const std::string& path, std::string_view bytes) {
  const std::string partial = path + ".partial";
  const int fd = open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  int error = fd < 0 ? errno : WriteAt(fd, bytes.data(), bytes.size(), 0);
  if (error == 0 && fsync(fd) != 0) error = errno;
  if (fd >= 0) close(fd);
  if (error == 0 && std::rename(partial.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return 0;
  unlink(partial.c_str());
  return error;
}

}  // namespace stillwatch::base
