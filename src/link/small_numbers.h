// Numbers of which few are large: two bytes each, and the large ones apart.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/cold_column.h"
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
    if (Code(v) == kIsLarge) large_.push_back({static_cast<uint32_t>(small_.size() - 1), v});
  }
  // In pieces, as a ColdColumn; of an empty one.
  int Begin(size_t n, const std::string& folder) { return small_.Begin(n, folder); }
  int Put(size_t at, std::span<const uint32_t> values) {
    std::vector<uint16_t> codes(values.size());
    for (size_t i = 0; i < values.size(); ++i) codes[i] = Code(values[i]);
    {
      const std::lock_guard<std::mutex> lock(*putting_);
      for (size_t i = 0; i < values.size(); ++i) {
        if (codes[i] == kIsLarge) large_.push_back({static_cast<uint32_t>(at + i), values[i]});
      }
    }
    return small_.Put(at, codes);
  }
  int End() {
    std::sort(large_.begin(), large_.end());
    return small_.End();
  }
  void Rest() const { small_.Rest(); }

 private:
  static constexpr uint16_t kIsLarge = 0xfffe, kIsNone = 0xffff;
  static uint16_t Code(uint32_t v) {
    return v == kNone ? kIsNone : v < kIsLarge ? static_cast<uint16_t>(v) : kIsLarge;
  }
  base::ColdColumn<uint16_t> small_;
  std::vector<std::pair<uint32_t, uint32_t>> large_;  // place, number; ascending
  std::unique_ptr<std::mutex> putting_ = std::make_unique<std::mutex>();
};

}  // namespace stillwatch::link
