// Numbers that are written once and seldom read, in a file without a name that is mapped: what of
// them is in memory the system may take away when it needs room, and Rest gives back at once.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/write_file.h"

namespace stillwatch::base {

// A new file in `folder` that nobody else can open and that goes with its descriptor; -1 and errno.
int OpenNameless(const std::string& folder);
// Reads all of it, or returns an errno (0: done; EIO: the file is shorter).
int ReadAt(int file, void* bytes, size_t n, uint64_t at);
// Gives the disk back what is no longer read, where the file system can.
void PunchHole(int file, uint64_t at, uint64_t n);

// A file's bytes, read-only.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept { *this = std::move(other); }
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Mapping();
  int Open(int file, size_t bytes);  // an errno, 0: done
  const void* data() const { return at_; }
  void Rest() const;

 private:
  void* at_ = nullptr;
  size_t bytes_ = 0;
};

// Thread-safe to read once filled. Up to kInMemory of them stay in memory.
template <typename T>
class ColdColumn {
 public:
  static constexpr size_t kInMemory = size_t{1} << 22;

  ColdColumn() = default;
  ColdColumn(ColdColumn&& other) noexcept { *this = std::move(other); }
  ~ColdColumn() {
    if (file_ >= 0) ::close(file_);
  }
  ColdColumn& operator=(ColdColumn&& other) noexcept {
    std::swap(values_, other.values_);
    std::swap(mapping_, other.mapping_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(file_, other.file_);
    return *this;
  }
  size_t size() const { return size_; }
  T operator[](size_t i) const { return data_[i]; }
  void push_back(T v) {
    values_.push_back(v);
    data_ = values_.data();
    size_ = values_.size();
  }
  // In pieces: Begin, of an empty one; Put, from several threads, each place once; End. Each an
  // errno, 0: done.
  int Begin(size_t n, const std::string& folder, size_t in_memory = kInMemory) {
    if (n <= in_memory) {
      values_.resize(n);
    } else if (file_ = OpenNameless(folder); file_ < 0) {
      return errno;
    }
    size_ = n;
    return 0;
  }
  int Put(size_t at, std::span<const T> values) {
    if (file_ >= 0) return WriteAt(file_, values.data(), values.size_bytes(), at * sizeof(T));
    std::copy(values.begin(), values.end(), values_.begin() + static_cast<ptrdiff_t>(at));
    return 0;
  }
  int End() {
    data_ = values_.data();
    if (file_ < 0) return 0;
    const int failed = mapping_.Open(file_, size_ * sizeof(T));
    ::close(std::exchange(file_, -1));
    data_ = static_cast<const T*>(mapping_.data());
    return failed;
  }
  // What was read of a file no longer counts as this process's memory.
  void Rest() const { mapping_.Rest(); }

 private:
  std::vector<T> values_;
  Mapping mapping_;
  const T* data_ = nullptr;
  size_t size_ = 0;
  int file_ = -1;  // from Begin to End
};

}  // namespace stillwatch::base
