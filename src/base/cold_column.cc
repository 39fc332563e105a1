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
