// Numbers of which few are large: two bytes each, and the large ones apart.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "link/text_sets.h"

namespace stillwatch::link {

// Thread-safe to read. Up to 65,533 and kNone two bytes, any other 10. At most 2^32 - 1 of them.
class SmallNumbers {
 public:
  size_t size() const { return small_.size(); }
  uint32_t operator[](size_t i) const {
    const uint16_t s = small_[i];
    if (s < kIsLarge) return s;
    if (s == kIsNone) return kNone;
    return std::lower_bound(large_.begin(), large_.end(),
                            std::pair<uint32_t, uint32_t>{static_cast<uint32_t>(i), 0})
        ->second;
  }
  void push_back(uint32_t v) {
    small_.push_back(Code(v));
    if (small_.back() == kIsLarge) large_.push_back({static_cast<uint32_t>(small_.size() - 1), v});
  }
  // value(i) for each of n, in any order and from several threads.
  template <typename F>
  void Fill(size_t n, const base::Parallel& parallel, F&& value) {
    small_.assign(n, 0);
    std::vector<std::vector<std::pair<uint32_t, uint32_t>>> large(
        static_cast<size_t>(parallel.threads()));
    parallel.For(n, 16'384, [&](size_t begin, size_t end, int worker) {
      for (size_t i = begin; i < end; ++i) {
        const uint32_t v = value(i);
        small_[i] = Code(v);
        if (small_[i] == kIsLarge)
          large[static_cast<size_t>(worker)].push_back({static_cast<uint32_t>(i), v});
      }
    });
    large_.clear();
    for (const auto& found : large) large_.insert(large_.end(), found.begin(), found.end());
    std::sort(large_.begin(), large_.end());
  }

 private:
  static constexpr uint16_t kIsLarge = 0xfffe, kIsNone = 0xffff;
  static uint16_t Code(uint32_t v) {
    return v == kNone ? kIsNone : v < kIsLarge ? static_cast<uint16_t>(v) : kIsLarge;
  }
  std::vector<uint16_t> small_;
  std::vector<std::pair<uint32_t, uint32_t>> large_;  // place, number; ascending
};

}  // namespace stillwatch::link
