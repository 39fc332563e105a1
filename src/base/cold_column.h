// Numbers that are written once and seldom read, in a file without a name that is mapped: what of
// them is in memory the system may take away when it needs room, and Rest gives back at once.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "base/write_file.h"

namespace stillwatch::base {

// A new file in `folder` that nobody else can open and that goes with its descriptor; -1 and errno.
int OpenNameless(const std::string& folder);

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
  ColdColumn& operator=(ColdColumn&& other) noexcept {
    std::swap(values_, other.values_);
    std::swap(mapping_, other.mapping_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  size_t size() const { return size_; }
  T operator[](size_t i) const { return data_[i]; }
  void push_back(T v) {
    values_.push_back(v);
    data_ = values_.data();
    size_ = values_.size();
  }
  // value(i) for each of n, in any order and from several threads; of an empty one. An errno, 0:
  // done.
  template <typename F>
  int Fill(size_t n, const std::string& folder, const Parallel& parallel, F&& value,
           size_t in_memory = kInMemory) {
    constexpr size_t kAtOnce = 1 << 16;
    const int file = n <= in_memory ? -1 : OpenNameless(folder);
    std::atomic<int> failed = n > in_memory && file < 0 ? errno : 0;
    if (failed != 0) return failed;
    if (file < 0) values_.resize(n);
    parallel.For(n, kAtOnce, [&](size_t begin, size_t end, int) {
      std::vector<T> block;
      for (size_t from = begin; from < end && failed == 0; from += kAtOnce) {
        const size_t to = std::min(end, from + kAtOnce);
        if (file >= 0) block.resize(to - from);
        T* const out = file < 0 ? values_.data() + from : block.data();
        for (size_t i = from; i < to; ++i) out[i - from] = value(i);
        if (file < 0) continue;
        if (const int e = WriteAt(file, out, (to - from) * sizeof(T), from * sizeof(T)); e != 0)
          failed = e;
      }
    });
    if (file >= 0) {
      if (failed == 0) failed = mapping_.Open(file, n * sizeof(T));
      ::close(file);
      if (failed != 0) return failed;
    }
    data_ = file < 0 ? values_.data() : static_cast<const T*>(mapping_.data());
    size_ = n;
    return 0;
  }
  // What was read of a file no longer counts as this process's memory.
  void Rest() const { mapping_.Rest(); }

 private:
  std::vector<T> values_;
  Mapping mapping_;
  const T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace stillwatch::base
