#include "base/cold_column.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cstdlib>

namespace stillwatch::base {

int OpenNameless(const std::string& folder) {
  int file = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file >= 0) return file;
  // A file system without nameless files.
  std::string path = folder + "/.rows-XXXXXX";
  file = ::mkostemp(path.data(), O_CLOEXEC);
  if (file >= 0) ::unlink(path.c_str());
  return file;
}

int ReadAt(int file, void* bytes, size_t n, uint64_t at) {
  char* p = static_cast<char*>(bytes);
  while (n > 0) {
    const ssize_t done = ::pread(file, p, n, static_cast<off_t>(at));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return done < 0 ? errno : EIO;
    p += done, at += static_cast<uint64_t>(done), n -= static_cast<size_t>(done);
  }
  return 0;
}

void PunchHole(int file, uint64_t at, uint64_t n) {
  (void)::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
                    static_cast<off_t>(n));
}

int Mapping::Open(int file, size_t bytes) {
  void* const at = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0);
  if (at == MAP_FAILED) return errno;
  at_ = at;
  bytes_ = bytes;
  return 0;
}

Mapping::~Mapping() {
  if (at_ != nullptr) ::munmap(at_, bytes_);
}

void Mapping::Rest() const {
  if (at_ != nullptr) ::madvise(at_, bytes_, MADV_DONTNEED);
}

}  // namespace stillwatch::base
