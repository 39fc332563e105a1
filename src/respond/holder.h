// The one place where a server's threads find the current snapshot.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "respond/snapshot.h"

namespace stillwatch::respond {

// Get is wait-free while nothing is set: each thread keeps a reference of its own (thread-local)
// and compares one counter. The first Get of a thread after a Set takes a lock for the copying of a
// pointer; Set never holds that lock while a snapshot is built or freed.
//
// A thread that never calls Get again keeps the snapshot that it saw last until it ends, so a
// process holds at most one old snapshot for each thread that reads.
class SnapshotHolder {
 public:
  SnapshotHolder();
  // `snapshot` may be null, and is before the first Set.
  void Set(std::shared_ptr<const Snapshot> snapshot);
  // Valid until this thread calls Get again; copy it to keep it longer.
  const std::shared_ptr<const Snapshot>& Get() const;
  // Sets so far.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }

  SnapshotHolder(const SnapshotHolder&) = delete;
  SnapshotHolder& operator=(const SnapshotHolder&) = delete;

 private:
  const uint64_t id_;  // of this holder; never used again in the process
  std::atomic<uint64_t> version_{0};
  mutable std::mutex mutex_;
  std::shared_ptr<const Snapshot> snapshot_;
};

}  // namespace stillwatch::respond
