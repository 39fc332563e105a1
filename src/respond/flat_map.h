// An immutable hash table of 64-bit keys that are hashes already: a sorted array with gaps. A key's
// place is its share of the range, so keys ascend from slot to slot and a search that misses ends
// at the first larger key. Equal contents give equal bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace stillwatch::respond {

template <typename V>
class FlatMap {
 public:
  FlatMap() = default;
  // `entries` ascend by key, each key once. Key 0 is taken for 1 by Find: never give both.
  explicit FlatMap(const std::vector<std::pair<uint64_t, V>>& entries) : size_(entries.size()) {
    if (entries.empty()) return;
    places_ = entries.size() + entries.size() / 3 + 1;
    slots_.resize(places_ + 1);
    size_t next = 0;
    for (const auto& [key, value] : entries) {
      const uint64_t k = key == 0 ? 1 : key;
      size_t at = Place(k);
      if (at < next) at = next;
      if (at + 1 >= slots_.size()) slots_.resize(at + 2);
      slots_[at] = {k, value};
      next = at + 1;
    }
    slots_.shrink_to_fit();
  }
  const V* Find(uint64_t key) const {
    if (size_ == 0) return nullptr;
    if (key == 0) key = 1;
    // The last slot is free, so the search ends.
    for (size_t at = Place(key);; ++at) {
      const Slot& s = slots_[at];
      if (s.key == key) return &s.value;
      if (s.key == 0 || s.key > key) return nullptr;
    }
  }
  void Prefetch(uint64_t key) const {
    if (size_ != 0) __builtin_prefetch(&slots_[Place(key)]);
  }
  size_t size() const { return size_; }
  size_t bytes() const { return slots_.capacity() * sizeof(Slot); }
  template <typename F>
  void ForEach(F&& f) const {
    for (const Slot& s : slots_) {
      if (s.key != 0) f(s.key, s.value);
    }
  }

 private:
  struct Slot {
    uint64_t key = 0;
    V value{};
  };
  size_t Place(uint64_t key) const {
    return static_cast<size_t>(static_cast<unsigned __int128>(key) * places_ >> 64);
  }
  size_t places_ = 0, size_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace stillwatch::respond
