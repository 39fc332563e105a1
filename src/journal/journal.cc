#include "journal/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "base/hash.h"
#include "base/hex.h"
#include "base/str.h"
#include "journal/frame.h"
#include "lake/native.h"

namespace stillwatch::journal {
namespace {

using base::StrCat;
namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".journal";
constexpr size_t kWriteParts = 512;  // frames of one write; IOV_MAX is 1024

absl::Status DiskError(std::string_view what, const std::string& path, int error) {
  const std::string message = StrCat("journal: ", path, ": ", what, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return absl::ResourceExhaustedError(
        StrCat(message, "; free space on this disk, or move the journal to a larger one"));
  }
  return absl::UnavailableError(message);
}

// All of it, or an errno.
int WriteAll(int fd, std::vector<iovec>& parts, uint64_t at) {
  for (size_t i = 0; i < parts.size();) {
    const int n = static_cast<int>(std::min(parts.size() - i, kWriteParts));
    const ssize_t wrote = pwritev(fd, &parts[i], n, static_cast<off_t>(at));
    if (wrote < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    at += static_cast<uint64_t>(wrote);
    size_t left = static_cast<size_t>(wrote);
    while (i < parts.size() && left >= parts[i].iov_len) left -= parts[i++].iov_len;
    if (i < parts.size()) {
      parts[i].iov_base = static_cast<char*>(parts[i].iov_base) + left;
      parts[i].iov_len -= left;
    }
  }
  return 0;
}

// `size` bytes from `at`, or an errno; ENODATA when the file ends before.
int ReadAll(int fd, uint64_t at, size_t size, std::string* out) {
  out->resize(size);
  for (size_t done = 0; done < size;) {
    const ssize_t n = pread(fd, out->data() + done, size - done, static_cast<off_t>(at + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return ENODATA;
    done += static_cast<size_t>(n);
  }
  return 0;
}

class File {
 public:
  File(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

// Written beside and moved there, so that a crash leaves the old one or the new one.
absl::Status WritePosition(const std::string& folder, int folder_fd, uint64_t sequence) {
  const std::string path = StrCat(folder, "/position"), fresh = StrCat(path, ".new");
  const std::string number = std::to_string(sequence);
  const std::string text = StrCat(number, " ", base::Hex(base::Hash64(number)), "\n");
  const File file(fresh, O_WRONLY | O_CREAT | O_TRUNC);
  if (file.fd() < 0) return DiskError("cannot be made", fresh, errno);
  std::vector<iovec> parts{{const_cast<char*>(text.data()), text.size()}};
  if (const int error = WriteAll(file.fd(), parts, 0))
    return DiskError("not written", fresh, error);
  if (fdatasync(file.fd()) != 0) return DiskError("not synced", fresh, errno);
  if (rename(fresh.c_str(), path.c_str()) != 0) return DiskError("not moved", fresh, errno);
  if (fsync(folder_fd) != 0) return DiskError("not synced", folder, errno);
  return absl::OkStatus();
}

// 0 when there is none, or none that can be relied on: then all is loaded again, which counts once.
uint64_t ReadPosition(const std::string& folder) {
  const File file(StrCat(folder, "/position"), O_RDONLY);
  char text[64] = {};
  if (file.fd() < 0 || pread(file.fd(), text, sizeof text - 1, 0) <= 0) return 0;
  unsigned long long sequence = 0, hash = 0;
  if (std::sscanf(text, "%llu %llx", &sequence, &hash) != 2) return 0;
  return hash == base::Hash64(std::to_string(sequence)) ? sequence : 0;
}

}  // namespace

Journal::Journal(JournalOptions options, std::function<void(std::string)> note)
    : options_(std::move(options)), note_(std::move(note)) {}

Journal::~Journal() {
  for (const int fd : {fd_, read_fd_, folder_fd_, lock_fd_}) {
    if (fd >= 0) close(fd);
  }
}

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(JournalOptions options,
                                                       std::function<void(std::string)> note) {
  if (options.segment_bytes < 4096 || options.bytes_max < 2 * options.segment_bytes) {
    return absl::InvalidArgumentError(
        "journal: its bound must hold two segments, and a segment 4 KiB");
  }
  std::unique_ptr<Journal> journal(new Journal(std::move(options), std::move(note)));
  if (absl::Status s = journal->Load(); !s.ok()) return s;
  return journal;
}

absl::Status Journal::Load() {
  const std::string& folder = options_.folder;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return DiskError("cannot be made", folder, error.value());
  folder_fd_ = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd_ < 0) return DiskError("cannot be opened", folder, errno);
  const std::string lock = StrCat(folder, "/lock");
  lock_fd_ = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd_ < 0) return DiskError("cannot be opened", lock, errno);
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        StrCat("journal: ", folder, ": another process has it open; stop that one first"));
  }
  committed_ = ReadPosition(folder);

  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(kSuffix)) continue;
    Segment s;
    s.path = entry.path().string();
    s.first = std::strtoull(name.c_str(), nullptr, 16);
    s.size = fs::file_size(entry.path(), error);
    s.open = false;
    s.serial = ++serial_;
    if (name != StrCat(base::Hex(s.first), kSuffix) || s.first == 0) {
      return absl::FailedPreconditionError(StrCat(
          "journal: ", s.path, ": no name of a segment; give the journal a folder of its own"));
    }
    segments_.push_back(std::move(s));
  }
  if (error) return DiskError("cannot be read", folder, error.value());
  std::sort(segments_.begin(), segments_.end(),
            [](const Segment& a, const Segment& b) { return a.first < b.first; });

  last_ = committed_;
  if (!segments_.empty()) {
    Segment& s = segments_.back();
    last_ = std::max(last_, s.first - 1);
    const File file(s.path, O_RDWR);
    if (file.fd() < 0) return DiskError("cannot be opened", s.path, errno);
    std::string bytes;
    if (const int e = ReadAll(file.fd(), 0, s.size, &bytes)) {
      return DiskError("cannot be read", s.path, e);
    }
    const Recovered r = Recover(bytes);
    last_ = std::max(last_, r.last);
    if (r.last == 0 && !FindFrame(bytes, 0)) {
      if (s.size > kSegmentHead) {
        note_(StrCat("journal: ", s.path, ": ", s.size,
                     " bytes of a write that was never finished were removed"));
      }
      if (unlink(s.path.c_str()) != 0) return DiskError("cannot be removed", s.path, errno);
      segments_.pop_back();
    } else if (r.keep < s.size) {
      note_(StrCat("journal: ", s.path, ": the last ", s.size - r.keep,
                   " bytes, of a write that was never finished, were cut off"));
      if (ftruncate(file.fd(), static_cast<off_t>(r.keep)) != 0)
        return DiskError("cannot be cut", s.path, errno);
      s.size = r.keep;
    }
    if (fdatasync(file.fd()) != 0) return DiskError("not synced", s.path, errno);
  }
  for (const Segment& s : segments_) bytes_ += s.size;
  expected_ = committed_ + 1;
  // What was loaded, but not removed before the program ended.
  while (!segments_.empty() &&
         (segments_.size() > 1 ? segments_[1].first : last_ + 1) <= expected_) {
    unlink(segments_[0].path.c_str());
    bytes_ -= segments_[0].size;
    segments_.pop_front();
  }
  return absl::OkStatus();
}

absl::Status Journal::Append(std::string_view table, const lake::Block& block) {
  if (block.rows() == 0) return absl::OkStatus();
  if (absl::Status s = lake::CheckShape(block); !s.ok()) return s;
  if (table.empty() || table.size() > kTableBytesMax)
    return absl::InvalidArgumentError("journal: a table's name of 1 to 64 bytes is needed");
  std::string native;
  lake::EncodeNative(block, &native);
  if (native.size() > kBlockBytesMax) {
    return absl::InvalidArgumentError(
        StrCat("journal: a block of ", native.size(), " bytes; the bound is ", kBlockBytesMax));
  }
  Waiter mine;
  mine.frame = Frame(table, static_cast<uint32_t>(block.rows()), native);
  const size_t size = mine.frame.size();

  std::unique_lock<std::mutex> lock(mutex_);
  if (bytes_ + queue_bytes_ + size > options_.bytes_max) {
    ++counts_.refused;
    return absl::ResourceExhaustedError(
        StrCat("journal: full: ", bytes_, " bytes wait for the lake, the bound is ",
               options_.bytes_max, "; see whether the lake takes rows"));
  }
  if (queue_bytes_ > 0 && queue_bytes_ + size > options_.queue_bytes_max) {
    ++counts_.refused;
    return absl::ResourceExhaustedError(
        StrCat("journal: the disk is behind: ", queue_bytes_, " bytes wait to be written"));
  }
  queue_.push_back(&mine);
  queue_bytes_ += size;
  while (!mine.done) {
    if (writing_) {
      written_.wait(lock);
      continue;
    }
    // Whoever finds nobody writing writes for all who wait.
    writing_ = true;
    const std::vector<Waiter*> batch(queue_.begin(), queue_.end());
    queue_.clear();
    size_t bytes = 0;
    for (const Waiter* w : batch) bytes += w->frame.size();
    lock.unlock();
    const absl::Status status = Write(batch, bytes);
    lock.lock();
    writing_ = false;
    queue_bytes_ -= bytes;
    for (Waiter* w : batch) {
      w->status = status;
      w->done = true;
      ++(status.ok() ? counts_.appended : counts_.failed);
    }
    written_.notify_all();
    arrived_.notify_all();
  }
  return mine.status;
}

absl::Status Journal::Rotate() {
  uint64_t first;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    CloseSegment();
    first = last_ + 1;
  }
  Segment s;
  s.first = first;
  s.path = StrCat(options_.folder, "/", base::Hex(first), kSuffix);
  // One of this name can only be what an earlier failure here left: nothing in it counts.
  const int fd = open(s.path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return DiskError("cannot be made", s.path, errno);
  const std::string head = SegmentHead(first);
  std::vector<iovec> parts{{const_cast<char*>(head.data()), head.size()}};
  int error = WriteAll(fd, parts, 0);
  if (error == 0 && fdatasync(fd) != 0) error = errno;
  if (error == 0 && fsync(folder_fd_) != 0) error = errno;
  if (error != 0) {
    close(fd);
    unlink(s.path.c_str());
    return DiskError("not written", s.path, error);
  }
  fd_ = fd;
  s.size = head.size();
  const std::lock_guard<std::mutex> lock(mutex_);
  s.serial = ++serial_;
  bytes_ += s.size;
  segments_.push_back(std::move(s));
  return absl::OkStatus();
}

void Journal::CloseSegment() {
  if (fd_ < 0) return;
  close(fd_);
  fd_ = -1;
  Segment& s = segments_.back();
  s.open = false;
  if (s.first <= last_) return;
  // Nothing in it counts, and the next one takes its name.
  bytes_ -= s.size;
  unlink(s.path.c_str());
  segments_.pop_back();
}

absl::Status Journal::Write(const std::vector<Waiter*>& batch, size_t bytes) {
  // Only the leader changes what is read here.
  if (fd_ < 0 || segments_.back().size >= options_.segment_bytes) {
    if (absl::Status s = Rotate(); !s.ok()) return s;
  }
  Segment& segment = segments_.back();
  uint64_t sequence = last_;
  std::vector<iovec> parts;
  parts.reserve(batch.size());
  for (Waiter* w : batch) {
    Seal(&w->frame, ++sequence, segment.size);
    parts.push_back({w->frame.data(), w->frame.size()});
  }
  const int write_error = WriteAll(fd_, parts, segment.size);
  const int sync_error = write_error == 0 && fdatasync(fd_) != 0 ? errno : 0;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (write_error != 0 || sync_error != 0) {
    // What may have been written must not count: cut it, and do not trust this file further after
    // a failed sync. Should the cut fail too, the next segment begins with the same sequence, and
    // readers stop there.
    const bool cut = ftruncate(fd_, static_cast<off_t>(segment.size)) == 0;
    const std::string path = segment.path;
    if (!cut || sync_error != 0) CloseSegment();
    return DiskError(sync_error != 0 ? "not synced" : "not written", path,
                     sync_error != 0 ? sync_error : write_error);
  }
  ++counts_.syncs;
  segment.size += bytes;
  bytes_ += bytes;
  last_ = sequence;
  return absl::OkStatus();
}

absl::StatusOr<bool> Journal::ReadFrame(const Segment& segment, uint64_t next_first, Entry* entry) {
  const uint64_t end = segment.size;
  if (read_fd_ < 0 || read_serial_ != segment.serial) {
    if (read_fd_ >= 0) close(read_fd_);
    read_fd_ = open(segment.path.c_str(), O_RDONLY | O_CLOEXEC);
    if (read_fd_ < 0) return DiskError("cannot be opened", segment.path, errno);
    read_serial_ = segment.serial;
    read_at_ = kSegmentHead;
  }
  const auto damage = [&](uint64_t until) -> absl::Status {
    const uint64_t lost = until - expected_;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      counts_.lost += lost;
      for (Segment& s : segments_) s.damaged |= s.serial == segment.serial;
    }
    std::string what = StrCat("journal: ", segment.path, ": damaged at byte ", read_at_, ": ", lost,
                              " acknowledged entries cannot be read; the file is kept with "
                              "\".damaged\" behind its name once the rest is loaded");
    expected_ = until;
    return absl::DataLossError(what);
  };
  std::string bytes;
  while (read_at_ < end) {
    std::optional<FrameHead> head;
    if (end - read_at_ >= kFrameHead) {
      if (const int e = ReadAll(read_fd_, read_at_, kFrameHead, &bytes); e != 0 && e != ENODATA)
        return DiskError("cannot be read", segment.path, e);
      else if (e == 0)
        head = ParseFrameHead(bytes);
    }
    bool intact = head && head->size() <= end - read_at_;
    if (intact) {
      if (const int e = ReadAll(read_fd_, read_at_, head->size(), &bytes); e != 0 && e != ENODATA)
        return DiskError("cannot be read", segment.path, e);
      else
        intact = e == 0 && ChecksumFits(*head, bytes);
    }
    if (!intact) {
      // The next intact frame says what is missing; without one the next segment does.
      const int e = ReadAll(read_fd_, read_at_, end - read_at_, &bytes);
      if (e != 0 && e != ENODATA) return DiskError("cannot be read", segment.path, e);
      const auto next = e == 0 ? FindFrame(bytes, 1) : std::nullopt;
      const uint64_t at = read_at_;
      if (next && next->head.sequence < next_first) {
        if (next->head.sequence > expected_) {
          const absl::Status s = damage(next->head.sequence);
          read_at_ = at + next->offset;
          return s;
        }
        read_at_ = at + next->offset;
        continue;
      }
      read_at_ = end;
      break;
    }
    if (head->sequence >= next_first) {  // a failed write; the next segment has what counts
      read_at_ = end;
      break;
    }
    if (head->sequence > expected_) return damage(head->sequence);
    read_at_ += head->size();
    if (head->sequence < expected_) continue;  // loaded before
    entry->sequence = head->sequence;
    entry->rows = head->rows;
    entry->table = bytes.substr(kFrameHead, head->table_bytes);
    entry->block = bytes.substr(kFrameHead + head->table_bytes);
    ++expected_;
    return true;
  }
  if (next_first != UINT64_MAX && expected_ < next_first) return damage(next_first);
  return false;
}

absl::StatusOr<bool> Journal::Next(Entry* entry) {
  uint64_t after = 0;  // the first sequence of the segment looked at last
  for (;;) {
    Segment segment;
    uint64_t next_first = UINT64_MAX;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const Segment* here = nullptr;
      for (size_t i = 0; i < segments_.size(); ++i) {
        const bool last = i + 1 == segments_.size();
        next_first = last ? (segments_[i].open ? UINT64_MAX : last_ + 1) : segments_[i + 1].first;
        if (segments_[i].first <= after || (!last && next_first <= expected_)) continue;
        here = &segments_[i];
        break;
      }
      if (here == nullptr || (next_first == UINT64_MAX && expected_ > last_)) return false;
      segment = *here;
    }
    if (expected_ < segment.first) {
      const uint64_t lost = segment.first - expected_;
      const std::lock_guard<std::mutex> lock(mutex_);
      counts_.lost += lost;
      expected_ = segment.first;
      return absl::DataLossError(StrCat("journal: ", options_.folder, ": ", lost,
                                        " acknowledged entries before ", segment.path,
                                        " are missing: a segment was removed from outside"));
    }
    auto got = ReadFrame(segment, next_first, entry);
    if (!got.ok() || *got) return got;
    if (segment.open) return false;
    after = segment.first;
  }
}

void Journal::Wait(int64_t ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  arrived_.wait_for(lock, std::chrono::milliseconds(ms),
                    [&] { return interrupted_ || last_ >= expected_; });
}

void Journal::Interrupt() {
  const std::lock_guard<std::mutex> lock(mutex_);
  interrupted_ = true;
  arrived_.notify_all();
}

absl::Status Journal::Commit(uint64_t sequence) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (sequence <= committed_) return absl::OkStatus();
  }
  if (absl::Status s = WritePosition(options_.folder, folder_fd_, sequence); !s.ok()) return s;
  std::vector<Segment> gone;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    committed_ = sequence;
    // A full one is not kept waiting for a next block that its own size may have refused.
    if (!writing_ && fd_ >= 0 && committed_ == last_ &&
        segments_.back().size >= options_.segment_bytes) {
      CloseSegment();
    }
    // The last one may have more to come; the next after it is what ends it.
    while (!segments_.empty() && !segments_.front().open) {
      const uint64_t end = segments_.size() > 1 ? segments_[1].first : last_ + 1;
      if (end > committed_ + 1) break;
      bytes_ -= segments_.front().size;
      gone.push_back(std::move(segments_.front()));
      segments_.pop_front();
    }
  }
  for (const Segment& s : gone) {
    if (read_serial_ == s.serial && read_fd_ >= 0) {
      close(read_fd_);
      read_fd_ = -1;
    }
    const int failed = s.damaged ? rename(s.path.c_str(), StrCat(s.path, ".damaged").c_str())
                                 : unlink(s.path.c_str());
    if (failed != 0)
      note_(StrCat("journal: ", s.path, ": cannot be removed: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

JournalStats Journal::stats() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  JournalStats s = counts_;
  s.bytes = bytes_;
  s.last = last_;
  s.committed = committed_;
  return s;
}

}  // namespace stillwatch::journal
