// What changes from request to request: throttles and permits. Handed to Decide, shared by all
// threads, lock-free, of fixed size.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace stillwatch::respond {

// Token buckets as the time at which each is full again (the generic cell rate algorithm, ITU-T
// I.371), one atomic word a bucket: 20 bits of its key and 44 of time in sixteenths of a
// millisecond. A bucket that is full again needs no memory, so a slot is taken over from such a
// one; where all eight that a key may use are busy, from the one that is full soonest, and counted.
// Two keys share a bucket by chance once in 10^5 pairs of busy neighbours.
//
// Thread-safe; one compare-and-swap a take. 8 bytes a slot.
class TokenBuckets {
 public:
  // `slots` is rounded up to a power of two, at least 8.
  explicit TokenBuckets(size_t slots = size_t{1} << 18);

  // 0: a token was taken. Else how many milliseconds until there is one. A clock that jumps back
  // makes no bucket emptier than empty.
  int64_t Take(uint64_t key, uint32_t count, int64_t period_ms, uint32_t burst, int64_t now_ms);

  uint64_t taken_over() const { return taken_over_.load(std::memory_order_relaxed); }
  size_t bytes() const { return (mask_ + 1) * sizeof(uint64_t); }

 private:
  size_t mask_;
  std::unique_ptr<std::atomic<uint64_t>[]> slots_;
  std::atomic<uint64_t> taken_over_{0};
};

struct PermitUse {
  uint64_t permit = 0;  // PermitKey of its id
  uint64_t used = 0;
};

uint64_t PermitKey(std::string_view id);

// How much of each permit was used. Keyed by the permit's id, so a new snapshot goes on counting.
// Thread-safe. 16 bytes a slot; holds 2 * kPermitsMax ids in a process's life and counts no further
// ids (Take then refuses: what cannot be counted is not permitted).
class PermitUses {
 public:
  PermitUses();
  // Counts one use unless `max` were used already. `max` 0: no bound.
  bool Take(uint64_t permit, uint64_t max);
  uint64_t Used(uint64_t permit) const;
  // Raises the count to `used`, from the lake or the state of an earlier process; never lowers it.
  void Raise(uint64_t permit, uint64_t used);
  std::vector<PermitUse> All() const;  // ascending by permit

 private:
  struct Slot {
    std::atomic<uint64_t> permit{0}, used{0};
  };
  Slot* Find(uint64_t permit, bool insert) const;
  std::unique_ptr<Slot[]> slots_;
};

// A rule that is not enforced throttles nobody: it has buckets of its own, so that what is only
// watched cannot change what is allowed.
struct Counters {
  explicit Counters(size_t bucket_slots = size_t{1} << 18)
      : enforced(bucket_slots), shadow(bucket_slots) {}
  TokenBuckets enforced, shadow;
  PermitUses permits;
};

}  // namespace stillwatch::respond
