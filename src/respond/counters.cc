#include "respond/counters.h"

#include <algorithm>
#include <bit>

#include "base/hash.h"
#include "respond/policy.h"

namespace stillwatch::respond {
namespace {

constexpr int kTimeBits = 44;
constexpr uint64_t kTimeMask = (uint64_t{1} << kTimeBits) - 1;
constexpr int64_t kTicksPerMs = 16;
// Time starts in 2020, so that 44 bits last to 2054.
constexpr int64_t kEpochMs = 1'577'836'800'000;
constexpr size_t kWays = 8;

constexpr size_t kPermitSlots = std::bit_ceil(kPermitsMax * 4);
constexpr size_t kPermitIdsMax = kPermitsMax * 2;

}  // namespace

TokenBuckets::TokenBuckets(size_t slots)
    : mask_(std::bit_ceil(std::max(slots, kWays)) - 1),
      slots_(std::make_unique<std::atomic<uint64_t>[]>(mask_ + 1)) {}

int64_t TokenBuckets::Take(uint64_t key, uint32_t count, int64_t period_ms, uint32_t burst,
                           int64_t now_ms) {
  const int64_t last = static_cast<int64_t>(kTimeMask);
  const int64_t now = std::clamp((now_ms - kEpochMs) * kTicksPerMs, int64_t{1}, last);
  const int64_t cost = std::max<int64_t>(1, period_ms * kTicksPerMs / std::max(1u, count));
  const int64_t room = cost * std::max(1u, burst);
  const uint64_t mixed = base::Mix64(key);
  const uint64_t tag = std::max<uint64_t>(1, mixed >> kTimeBits) << kTimeBits;
  std::atomic<uint64_t>* way = &slots_[mixed & mask_ & ~(kWays - 1)];
  for (;;) {
    // Its own slot, else the one that is full soonest.
    std::atomic<uint64_t>* slot = nullptr;
    uint64_t seen = 0;
    for (size_t i = 0; i < kWays; ++i) {
      const uint64_t v = way[i].load(std::memory_order_relaxed);
      if ((v & ~kTimeMask) == tag) {
        slot = &way[i];
        seen = v;
        break;
      }
      if (slot == nullptr || (v & kTimeMask) < (seen & kTimeMask)) {
        slot = &way[i];
        seen = v;
      }
    }
    const bool mine = (seen & ~kTimeMask) == tag;
    // When the bucket is full again; now or earlier: it is full.
    const int64_t full = mine ? static_cast<int64_t>(seen & kTimeMask) : 0;
    // Emptier than empty: the clock was set back, or the policy changed. It is empty now.
    if (full > now + room) {
      slot->compare_exchange_weak(seen, tag | static_cast<uint64_t>(std::min(now + room, last)),
                                  std::memory_order_relaxed);
      continue;
    }
    const int64_t after = std::max(full, now) + cost;
    if (after > now + room) return (after - now - room + kTicksPerMs - 1) / kTicksPerMs;
    const bool busy = !mine && static_cast<int64_t>(seen & kTimeMask) > now;
    if (slot->compare_exchange_weak(seen, tag | static_cast<uint64_t>(std::min(after, last)),
                                    std::memory_order_relaxed)) {
      if (busy) taken_over_.fetch_add(1, std::memory_order_relaxed);
      return 0;
    }
  }
}

uint64_t PermitKey(std::string_view id) { return std::max<uint64_t>(1, base::Hash64(id)); }

PermitUses::PermitUses() : slots_(std::make_unique<Slot[]>(kPermitSlots)) {}

PermitUses::Slot* PermitUses::Find(uint64_t permit, bool insert) const {
  for (size_t i = permit, probes = 0; probes < kPermitIdsMax; ++i, ++probes) {
    Slot& slot = slots_[i & (kPermitSlots - 1)];
    uint64_t seen = slot.permit.load(std::memory_order_relaxed);
    if (seen == permit) return &slot;
    if (seen != 0) continue;
    if (!insert) return nullptr;
    if (slot.permit.compare_exchange_strong(seen, permit, std::memory_order_relaxed) ||
        seen == permit) {
      return &slot;
    }
  }
  return nullptr;
}

bool PermitUses::Take(uint64_t permit, uint64_t max) {
  Slot* slot = Find(permit, true);
  if (slot == nullptr) return false;
  uint64_t used = slot->used.load(std::memory_order_relaxed);
  do {
    if (max != 0 && used >= max) return false;
  } while (!slot->used.compare_exchange_weak(used, used + 1, std::memory_order_relaxed));
  return true;
}

uint64_t PermitUses::Used(uint64_t permit) const {
  const Slot* slot = Find(permit, false);
  return slot == nullptr ? 0 : slot->used.load(std::memory_order_relaxed);
}

void PermitUses::Raise(uint64_t permit, uint64_t used) {
  Slot* slot = Find(permit, true);
  if (slot == nullptr) return;
  uint64_t seen = slot->used.load(std::memory_order_relaxed);
  while (seen < used && !slot->used.compare_exchange_weak(seen, used, std::memory_order_relaxed)) {
  }
}

std::vector<PermitUse> PermitUses::All() const {
  std::vector<PermitUse> out;
  for (size_t i = 0; i < kPermitSlots; ++i) {
    const uint64_t permit = slots_[i].permit.load(std::memory_order_relaxed);
    if (permit != 0) out.push_back({permit, slots_[i].used.load(std::memory_order_relaxed)});
  }
  std::sort(out.begin(), out.end(),
            [](const PermitUse& a, const PermitUse& b) { return a.permit < b.permit; });
  return out;
}

}  // namespace stillwatch::respond
