#include "respond/holder.h"

#include <utility>
#include <vector>

namespace stillwatch::respond {
namespace {

std::atomic<uint64_t> next_id{1};

struct Cached {
  uint64_t holder, version;
  std::shared_ptr<const Snapshot> snapshot;
};
// A process has one holder; tests have a few.
constexpr size_t kCachedMax = 16;
thread_local std::vector<std::unique_ptr<Cached>> cached;

}  // namespace

SnapshotHolder::SnapshotHolder() : id_(next_id.fetch_add(1, std::memory_order_relaxed)) {}

void SnapshotHolder::Set(std::shared_ptr<const Snapshot> snapshot) {
  const std::lock_guard lock(mutex_);
  snapshot_.swap(snapshot);
  version_.fetch_add(1, std::memory_order_release);
  // `snapshot`, the old one, is a parameter: it is let go after the lock.
}

const std::shared_ptr<const Snapshot>& SnapshotHolder::Get() const {
  Cached* mine = nullptr;
  for (const auto& c : cached) {
    if (c->holder == id_) mine = c.get();
  }
  if (mine != nullptr && mine->version == version_.load(std::memory_order_acquire)) {
    return mine->snapshot;
  }
  if (mine == nullptr) {
    if (cached.size() == kCachedMax) cached.erase(cached.begin());
    mine = cached.emplace_back(std::make_unique<Cached>(Cached{id_, 0, nullptr})).get();
  }
  std::shared_ptr<const Snapshot> old = std::move(mine->snapshot);  // let go after the lock
  const std::lock_guard lock(mutex_);
  mine->snapshot = snapshot_;
  mine->version = version_.load(std::memory_order_relaxed);
  return mine->snapshot;
}

}  // namespace stillwatch::respond
