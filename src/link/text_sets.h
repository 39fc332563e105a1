// What is kept of the texts of a log that may be far larger than memory.
//
// Most shingle hashes are of payloads and occur once; what linking needs are those that many
// exchanges carry. HashCounts counts while the log is read, in one table of fixed size (a count-min
// sketch of one row, Cormode and Muthukrishnan 2005): a collision lets a rare hash through, never a
// frequent one out. What passes is kept as sets, and a set that many exchanges carry is kept once:
// exchanges made from one scaffold have the same.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/cold_column.h"

namespace stillwatch::link {

inline constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

// System prompt and turn are one name space with two salts: a scaffold is found in either.
inline uint64_t SaltTurn(uint32_t hash) { return hash; }
inline uint64_t SaltSystem(uint32_t hash) { return uint64_t{1} << 32 | hash; }

// Equal turns have equal items; 0 for a turn without hashes.
uint64_t ItemOf(std::span<const uint32_t> turn);

// Thread-safe. 128 MiB, of which a small log touches little. 1.4 10^9 hashes, as 86 million
// exchanges have, are 21 a counter, where their threshold is 860.
class HashCounts {
 public:
  static constexpr uint16_t kCountMax = 60'000;  // counted no further; serves 5,000 threads
  HashCounts();
  void Add(uint64_t salted);
  // Soon to be added or asked for: the counters are far larger than any cache.
  void Expect(uint64_t salted) const { __builtin_prefetch(counts_.get() + Slot(salted), 1); }
  // Whether the hash may have been added `n` times; n beyond kCountMax counts as kCountMax.
  bool MayHave(uint64_t salted, uint32_t n) const;

 private:
  static constexpr int kBits = 26;
  static size_t Slot(uint64_t salted) { return salted * 0x9e3779b97f4a7c15ULL >> (64 - kBits); }
  struct Free {
    void operator()(void* counts) const { std::free(counts); }
  };
  std::unique_ptr<std::atomic<uint16_t>[], Free> counts_;
};

// One of the sets below: salted hashes.
class TextSet {
 public:
  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = uint64_t;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = uint64_t;
    Iterator() = default;
    Iterator(const uint32_t* at, const uint32_t* turn) : at_(at), turn_(turn) {}
    uint64_t operator*() const { return at_ < turn_ ? SaltSystem(*at_) : SaltTurn(*at_); }
    Iterator& operator++() { return ++at_, *this; }
    Iterator operator++(int) { return {at_++, turn_}; }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    const uint32_t *at_ = nullptr, *turn_ = nullptr;
  };
  TextSet() = default;
  // How many are of the system prompt, these, then the others.
  explicit TextSet(std::span<const uint32_t> stored) : stored_(stored) {}
  size_t size() const { return stored_.empty() ? 0 : stored_.size() - 1; }
  bool empty() const { return size() == 0; }
  Iterator begin() const {
    return stored_.empty() ? Iterator() : Iterator(stored_.data() + 1, turn());
  }
  Iterator end() const {
    return stored_.empty() ? Iterator() : Iterator(stored_.data() + stored_.size(), turn());
  }

 private:
  const uint32_t* turn() const { return stored_.data() + 1 + stored_[0]; }
  std::span<const uint32_t> stored_;
};

// Distinct sets of salted hashes, numbered; number 0 is the empty one. Numbers depend on the order
// of adding: nothing that is written may depend on them. 4 bytes a hash and 8 a set, and while sets
// are added 8 to 16 more.
class TextSets {
 public:
  TextSets();
  // Equal sets get equal numbers. `hashes` is in one order for equal sets, those of the system
  // prompt before those of the turn. Thread-safe.
  uint32_t Add(std::span<const uint64_t> hashes);
  // Gives back what only adding needs, and puts what is many into a file without a name in
  // `folder`. An errno, 0: done. Nothing is added afterwards.
  int Seal(const std::string& folder, size_t in_memory = base::ColdColumn<uint32_t>::kInMemory);
  // What was read of the file no longer counts as this process's memory.
  void Rest() const { file_.Rest(); }
  // Empty for a number that is not taken. Not while another thread adds; valid until the next Add.
  TextSet operator[](uint32_t number) const;
  // All numbers are below it; few below it are not taken.
  uint32_t bound() const;

 private:
  // Sets are dealt by their hash, so that threads seldom meet. Set i of shard s has the number
  // 1 + (i << kShardBits | s).
  static constexpr int kShardBits = 6;
  struct Shard {
    std::mutex mutex;
    std::vector<uint32_t> values, ends;
    // Open addressing: number in this shard + 1, 0: free; above it bits of the set's hash, so that
    // few sets are looked at that are others.
    std::vector<uint32_t> slots;
    std::span<const uint32_t> sealed_values, sealed_ends;  // as the first two, once sealed
    size_t sets() const { return sealed_ends.empty() ? ends.size() : sealed_ends.size(); }
    std::span<const uint32_t> Set(size_t i) const;
    void Grow();
  };
  static constexpr int kNumberBits = 32 - kShardBits;  // as a number has room for
  static constexpr uint32_t kNumberMask = (uint32_t{1} << kNumberBits) - 1;
  static uint32_t Tag(uint64_t hash) {
    return static_cast<uint32_t>(hash >> (58 - kShardBits)) << kNumberBits;
  }
  std::unique_ptr<Shard[]> shards_;
  base::Mapping file_;
};

}  // namespace stillwatch::link
