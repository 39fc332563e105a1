// Write-ahead journal of lake blocks: what makes "acknowledged" mean durable while the lake, which
// takes rows cheaply only in large blocks, comes behind (or is gone).
//
// A folder of segments (NNNNNNNNNNNNNNNN.journal, hexadecimal first sequence) of checksummed frames
// (frame.h), `position` (what the lake has), `lock`. Blocks are numbers and short strings; no text
// of a prompt or response comes here.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lake/block.h"

namespace stillwatch::journal {

struct JournalOptions {
  std::string folder;                  // made when missing
  uint64_t bytes_max = 8ull << 30;     // on disk; then Append refuses until the lake has caught up
  uint64_t segment_bytes = 64u << 20;  // a new segment once one is so large
  size_t queue_bytes_max = 64u << 20;  // waiting for the disk; then Append refuses
};

struct JournalStats {
  uint64_t bytes = 0;      // on disk
  uint64_t last = 0;       // sequence of the last durable entry
  uint64_t committed = 0;  // and of the last that the lake has
  uint64_t syncs = 0, appended = 0, refused = 0, failed = 0;
  uint64_t lost = 0;  // entries that were acknowledged and could not be read back
};

struct Entry {
  uint64_t sequence = 0;
  std::string table;
  uint32_t rows = 0;
  std::string block;  // Native, as lake/native.h reads it
};

// Append from any thread. Next, Wait and Commit from one thread, the reader.
class Journal {
 public:
  // Opens or creates. Cuts off what a crash left of an unfinished write and says so through `note`
  // (called only from Open, Next and Commit). FailedPrecondition: another process has it open, or
  // the folder holds something else. The folder lies on a local disk.
  static absl::StatusOr<std::unique_ptr<Journal>> Open(JournalOptions options,
                                                       std::function<void(std::string)> note);
  ~Journal();

  // Returns once the block is durable; one sync serves all who wait at that moment.
  // ResourceExhausted: a bound or the disk is full; Unavailable: the disk failed. In both cases
  // nothing of the block counts, and a later call may succeed. InvalidArgument: the block is too
  // large or ill-formed. An empty block is durable at once.
  absl::Status Append(std::string_view table, const lake::Block& block);

  // The next durable entry. False: there is none now. DataLoss: entries that were acknowledged
  // cannot be read; the message names the segment and how many; the next call goes on behind them.
  // Other errors (of the disk) may pass.
  absl::StatusOr<bool> Next(Entry* entry);

  // Waits until Next may have something, at most `ms`, or until Interrupt.
  void Wait(int64_t ms);
  void Interrupt();  // any thread

  // The lake has all entries up to `sequence`. Segments that hold nothing else go; a damaged one
  // is kept as NAME.damaged for a person to look at.
  absl::Status Commit(uint64_t sequence);

  JournalStats stats() const;  // any thread

 private:
  struct Segment {
    uint64_t serial = 0;  // tells it from an earlier one of the same name
    uint64_t first = 0;
    uint64_t size = 0;  // durable bytes
    bool open = true;   // more may come
    bool damaged = false;
    std::string path;
  };
  struct Waiter {
    std::string frame;
    absl::Status status;
    bool done = false;
  };

  Journal(JournalOptions options, std::function<void(std::string)> note);
  absl::Status Load();
  // The leader's work, without the lock: all of `batch`, or none of it.
  absl::Status Write(const std::vector<Waiter*>& batch, size_t bytes);
  absl::Status Rotate();
  void CloseSegment();  // locked
  absl::StatusOr<bool> ReadFrame(const Segment& segment, uint64_t next_first, Entry* entry);

  const JournalOptions options_;
  const std::function<void(std::string)> note_;
  int lock_fd_ = -1, folder_fd_ = -1;

  mutable std::mutex mutex_;
  std::condition_variable written_, arrived_;
  bool writing_ = false, interrupted_ = false;
  std::deque<Waiter*> queue_;
  size_t queue_bytes_ = 0;
  std::deque<Segment> segments_;
  uint64_t bytes_ = 0;  // of segments_
  uint64_t serial_ = 0;
  uint64_t last_ = 0, committed_ = 0;
  JournalStats counts_;

  int fd_ = -1;  // of the segment being written; the leader's

  // The reader's.
  int read_fd_ = -1;
  uint64_t read_serial_ = 0;  // the segment of read_fd_
  uint64_t read_at_ = 0, expected_ = 1;
};

}  // namespace stillwatch::journal
