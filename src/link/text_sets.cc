#include "link/text_sets.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <new>
#include <stdexcept>

#include "base/hash.h"
#include "base/release.h"

namespace stillwatch::link {
namespace {

uint64_t HashOf(std::span<const uint32_t> stored) {
  uint64_t h = stored.size();
  for (const uint32_t v : stored) h = base::Combine64(h, v);
  return h;
}

}  // namespace

uint64_t ItemOf(std::span<const uint32_t> turn) {
  if (turn.empty()) return 0;
  uint64_t key = 1;
  for (const uint32_t h : turn) key = base::Combine64(key, h);
  return key;
}

// Pages of zeros that are not there until they are written.
HashCounts::HashCounts()
    : counts_(static_cast<std::atomic<uint16_t>*>(std::calloc(size_t{1} << kBits, 2))) {
  static_assert(sizeof(std::atomic<uint16_t>) == 2 && std::atomic<uint16_t>::is_always_lock_free);
  if (counts_ == nullptr) throw std::bad_alloc();
}

void HashCounts::Add(uint64_t salted) {
  std::atomic<uint16_t>& count = counts_[Slot(salted)];
  if (count.load(std::memory_order_relaxed) < kCountMax)
    count.fetch_add(1, std::memory_order_relaxed);
}

bool HashCounts::MayHave(uint64_t salted, uint32_t n) const {
  return counts_[Slot(salted)].load(std::memory_order_relaxed) >= std::min<uint32_t>(n, kCountMax);
}

TextSets::TextSets() : shards_(new Shard[size_t{1} << kShardBits]) {}

std::span<const uint32_t> TextSets::Shard::Set(size_t i) const {
  const uint32_t* const v = sealed_ends.empty() ? values.data() : sealed_values.data();
  const uint32_t* const e = sealed_ends.empty() ? ends.data() : sealed_ends.data();
  return {v + (i == 0 ? 0 : e[i - 1]), v + e[i]};
}

void TextSets::Shard::Grow() {
  slots.assign(std::bit_ceil(std::max<size_t>(64, ends.size() * 4)), 0);
  const size_t mask = slots.size() - 1;
  for (size_t i = 0; i < ends.size(); ++i) {
    const uint64_t hash = HashOf(Set(i));
    size_t at = hash & mask;
    while (slots[at] != 0) at = (at + 1) & mask;
    slots[at] = Tag(hash) | static_cast<uint32_t>(i + 1);
  }
}

uint32_t TextSets::Add(std::span<const uint64_t> hashes) {
  if (hashes.empty()) return 0;
  thread_local std::vector<uint32_t> stored;
  stored.assign(1, 0);
  for (const uint64_t h : hashes) {
    if (h >> 32 != 0 && ++stored[0] != stored.size())
      throw std::logic_error("text sets: a hash of the system prompt after one of the turn");
    stored.push_back(static_cast<uint32_t>(h));
  }
  const uint64_t hash = HashOf(stored);
  const uint32_t number = static_cast<uint32_t>(hash >> (64 - kShardBits));
  Shard& shard = shards_[number];
  const std::lock_guard<std::mutex> lock(shard.mutex);
  if (shard.ends.size() * 2 >= shard.slots.size()) shard.Grow();
  const size_t mask = shard.slots.size() - 1;
  size_t at = hash & mask;
  for (; shard.slots[at] != 0; at = (at + 1) & mask) {
    if ((shard.slots[at] ^ Tag(hash)) & ~kNumberMask) continue;
    const uint32_t i = (shard.slots[at] & kNumberMask) - 1;
    const auto there = shard.Set(i);
    if (std::equal(there.begin(), there.end(), stored.begin(), stored.end()))
      return 1 + (i << kShardBits | number);
  }
  if (shard.values.size() + stored.size() > kNone)
    throw std::length_error("text sets: more than 2^38 hashes");
  if (shard.ends.size() + 1 >= kNumberMask)
    throw std::length_error("text sets: more than 2^32 sets");
  shard.values.insert(shard.values.end(), stored.begin(), stored.end());
  shard.ends.push_back(static_cast<uint32_t>(shard.values.size()));
  shard.slots[at] = Tag(hash) | static_cast<uint32_t>(shard.ends.size());
  return 1 + (static_cast<uint32_t>(shard.ends.size() - 1) << kShardBits | number);
}

int TextSets::Seal(const std::string& folder, size_t in_memory) {
  const std::span<Shard> shards(shards_.get(), size_t{1} << kShardBits);
  size_t n = 0;
  for (Shard& s : shards) {
    base::Release(s.slots);
    n += s.values.size() + s.ends.size();
  }
  if (n <= in_memory) return 0;
  const int file = base::OpenNameless(folder);
  if (file < 0) return errno;
  int failed = 0;
  uint64_t at = 0;
  for (const Shard& s : shards) {
    for (const auto* v : {&s.values, &s.ends}) {
      if (failed == 0) failed = base::WriteAt(file, v->data(), v->size() * sizeof((*v)[0]), at);
      at += v->size() * sizeof((*v)[0]);
    }
  }
  if (failed == 0) failed = file_.Open(file, at);
  ::close(file);
  if (failed != 0) return failed;
  const uint32_t* next = static_cast<const uint32_t*>(file_.data());
  for (Shard& s : shards) {
    s.sealed_values = {next, s.values.size()};
    s.sealed_ends = {next + s.values.size(), s.ends.size()};
    next += s.values.size() + s.ends.size();
    base::Release(s.values);
    base::Release(s.ends);
  }
  return 0;
}

TextSet TextSets::operator[](uint32_t number) const {
  if (number == 0) return {};
  const Shard& shard = shards_[(number - 1) & ((1 << kShardBits) - 1)];
  const size_t i = (number - 1) >> kShardBits;
  if (i >= shard.sets()) return {};
  return TextSet(shard.Set(i));
}

uint32_t TextSets::bound() const {
  size_t most = 0;
  for (size_t s = 0; s < size_t{1} << kShardBits; ++s) most = std::max(most, shards_[s].sets());
  return static_cast<uint32_t>(1 + (most << kShardBits));
}

}  // namespace stillwatch::link
