// Names to dense numbers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/hash.h"
#include "link/log.h"

namespace stillwatch::engine {

// Numbers in order of first use; neighbouring rows repeat their values, so the last one is kept at
// hand. As `Name` std::string keeps them, std::string_view refers to what must outlive it. One
// thread at a time. Memory: each name once.
template <typename Name>
class Interner {
 public:
  uint32_t operator()(std::string_view v) {
    if (last_ != nullptr && v == *last_) return number_;
    const auto it = ids_.find(v);
    if (it != ids_.end()) {
      number_ = it->second;
      last_ = &names_[number_];
      return number_;
    }
    number_ = static_cast<uint32_t>(names_.size());
    last_ = &names_.emplace_back(v);
    ids_.emplace(*last_, number_);
    return number_;
  }
  bool Has(std::string_view v) const { return ids_.contains(v); }
  const std::deque<Name>& names() const { return names_; }
  // Appends the names in ascending order to `ascending`; the place there of each number.
  std::vector<uint32_t> Rank(link::Names* ascending) const {
    std::vector<uint32_t> order(names_.size()), rank(order.size());
    for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](uint32_t x, uint32_t y) { return names_[x] < names_[y]; });
    for (uint32_t i = 0; i < order.size(); ++i) {
      rank[order[i]] = i;
      ascending->emplace_back(names_[order[i]]);
    }
    return rank;
  }

 private:
  struct Hash {
    size_t operator()(std::string_view s) const { return base::Hash64(s); }
  };
  std::deque<Name> names_;
  absl::flat_hash_map<std::string_view, uint32_t, Hash, std::equal_to<>> ids_;
  const Name* last_ = nullptr;
  uint32_t number_ = 0;
};

}  // namespace stillwatch::engine
