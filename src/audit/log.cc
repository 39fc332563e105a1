#include "audit/log.h"

#include <fcntl.h>
#include <simdjson.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <filesystem>
#include <mutex>
#include <thread>

#include "audit/segments.h"
#include "audit/verify.h"
#include "base/json.h"
#include "base/str.h"

namespace stillwatch::audit {
namespace {

using base::StrCat;

constexpr auto kRetry = std::chrono::seconds(1);

size_t Size(const AuditRecord& r) {
  return r.actor.size() + r.action.size() + r.subject.size() + r.details.size();
}

struct Waiter {
  bool done = false;
  absl::Status status;
};

struct Item {
  AuditRecord record;
  Waiter* waiter = nullptr;  // of Append
};

class Writer final : public AuditLog {
 public:
  explicit Writer(AuditOptions options) : options_(std::move(options)) {}

  ~Writer() override {
    if (thread_.joinable()) {
      {
        std::lock_guard lock(mutex_);
        stop_ = true;
      }
      wake_.notify_all();
      thread_.join();
    }
    if (fd_ >= 0) close(fd_);
    if (lock_fd_ >= 0) close(lock_fd_);
  }

  absl::Status Start() {
    if (sodium_init() < 0) return absl::InternalError("libsodium cannot be initialised");
    if (!options_.signing_key.empty()) {
      if (options_.signing_key.size() != crypto_sign_SEEDBYTES)
        return absl::InvalidArgumentError("audit log: a signing key has 32 bytes");
      unsigned char pub[crypto_sign_PUBLICKEYBYTES], sec[crypto_sign_SECRETKEYBYTES];
      crypto_sign_seed_keypair(pub, sec,
                               reinterpret_cast<const unsigned char*>(options_.signing_key.data()));
      public_.assign(reinterpret_cast<char*>(pub), sizeof pub);
      secret_.assign(reinterpret_cast<char*>(sec), sizeof sec);
      sodium_memzero(sec, sizeof sec);
    }
    std::error_code error;
    if (!std::filesystem::is_directory(options_.dir)) {
      std::filesystem::create_directories(options_.dir, error);
      if (error)
        return absl::InvalidArgumentError(
            StrCat("audit log: ", options_.dir, ": cannot be made: ", error.message()));
      chmod(options_.dir.c_str(), 0700);
    }
    const std::string lock = StrCat(options_.dir, "/LOCK");
    lock_fd_ = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock_fd_ < 0) return Fault(lock);
    if (flock(lock_fd_, LOCK_EX) != 0) return Fault(lock);
    absl::Status s = LoadTail();
    if (s.ok() && recovered_.size() > 0) s = Write({});
    flock(lock_fd_, LOCK_UN);
    if (!s.ok()) return s;
    if (seq_ > 0) shown_ = {seq_, hash_};
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  bool Offer(AuditRecord record) override {
    const size_t size = Size(record);
    bool ring = false, fits = false;
    {
      std::lock_guard lock(mutex_);
      fits = size <= kRecordBytes && queue_.size() < kQueueRecords && bytes_ + size <= kQueueBytes;
      if (!fits) {
        ++stats_.dropped;
        ++untold_;
        ring = true;
      } else {
        bytes_ += size;
        ring = queue_.empty();
        queue_.push_back({std::move(record), nullptr});
        ++offered_;
      }
    }
    if (ring) wake_.notify_one();
    return fits;
  }

  absl::Status Append(AuditRecord record) override {
    const size_t size = Size(record);
    if (size > kRecordBytes) {
      return absl::InvalidArgumentError(
          StrCat("audit log: a record of ", size, " bytes; ", kRecordBytes, " is the most"));
    }
    Waiter waiter;
    std::unique_lock lock(mutex_);
    bytes_ += size;
    queue_.push_back({std::move(record), &waiter});
    ++waiting_;
    wake_.notify_one();
    done_.wait(lock, [&] { return waiter.done; });
    return waiter.status;
  }

  absl::Status Flush() override {
    std::unique_lock lock(mutex_);
    const uint64_t until = offered_;
    const uint64_t failures = stats_.failed_batches;
    ++waiting_;
    wake_.notify_one();
    done_.wait(lock, [&] { return settled_ >= until || stats_.failed_batches != failures; });
    --waiting_;
    return settled_ >= until ? absl::OkStatus() : last_error_;
  }

  AuditHead Head() const override {
    std::lock_guard lock(mutex_);
    return shown_;
  }

  AuditStats Stats() const override {
    std::lock_guard lock(mutex_);
    AuditStats s = stats_;
    s.queued = queue_.size();
    return s;
  }

  const std::string& dir() const override { return options_.dir; }

 private:
  absl::Status Fault(std::string_view what) const {
    return absl::UnavailableError(StrCat("audit log: ", what, ": ", std::strerror(errno)));
  }

  // --- the chain's end; under the file lock ---

  // Finds the last whole record, and what a crash left behind it. A region that holds no whole
  // record was never acknowledged.
  absl::Status LoadTail() {
    known_ = false;
    recovered_.clear();
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
    auto listed = ListSegments(options_.dir);
    if (!listed.ok()) return listed.status();
    seq_ = 0;
    hash_ = kZeroHash;
    unsigned_ = 0;
    std::vector<SegmentFile>& files = *listed;
    if (files.empty()) return OpenSegment(1, 0);
    const SegmentFile last = files.back();
    uint64_t torn_at = 0;
    bool found = false;
    if (absl::Status s = LastRecord(last, &torn_at, &found); !s.ok()) return s;
    if (found && torn_at == last.bytes) return OpenSegment(last.number, last.bytes);
    if (found) return After(last, torn_at, last.number + 1);
    // No whole record: begun by a process that died at once, or damaged. A lone beginning of a
    // record is cleared away, anything else stays.
    bool fresh = last.bytes == 0;
    if (!fresh && last.bytes <= 2 * kRecordBytes) {
      auto bytes = ReadRange(last.path, 0, last.bytes);
      if (!bytes.ok()) return bytes.status();
      fresh = bytes->find('\n') == std::string::npos;
      if (fresh && truncate(last.path.c_str(), 0) != 0) return Fault(last.path);
    }
    const uint64_t number = fresh ? last.number : last.number + 1;
    // The chain goes on from the last record of an earlier segment.
    for (size_t i = files.size() - 1; i-- > 0;) {
      uint64_t at = 0;
      if (absl::Status s = LastRecord(files[i], &at, &found); !s.ok()) return s;
      if (!found) continue;
      if (!fresh) return After(last, 0, number);
      return at == files[i].bytes ? OpenSegment(number, 0) : After(files[i], at, number);
    }
    return fresh ? OpenSegment(number, 0) : After(last, 0, number);
  }

  // The last line whose hash is right; `end` is the offset behind it.
  absl::Status LastRecord(const SegmentFile& file, uint64_t* end, bool* found) {
    *found = false;
    for (const uint64_t window : {uint64_t{2} * kLineBytes, file.bytes}) {
      const uint64_t from = file.bytes > window ? file.bytes - window : 0;
      auto bytes = ReadRange(file.path, from, file.bytes - from);
      if (!bytes.ok()) return bytes.status();
      std::string_view rest = *bytes;
      for (size_t eol = rest.rfind('\n'); eol != std::string_view::npos;) {
        const size_t before = eol == 0 ? std::string_view::npos : rest.rfind('\n', eol - 1);
        const size_t begin = before == std::string_view::npos ? 0 : before + 1;
        RecordView r;
        if ((begin > 0 || from == 0) && ParseRecord(rest.substr(begin, eol - begin), &r) &&
            HashHex(r.body) == r.hash) {
          seq_ = r.seq;
          hash_ = r.hash;
          unsigned_ = r.action == kActionSigned ? 0 : kSignEvery;  // how many is not known
          *end = from + eol + 1;
          *found = true;
          return absl::OkStatus();
        }
        eol = before;
      }
      if (from == 0) break;
    }
    return absl::OkStatus();
  }

  // Begins segment `number`; its first record will name the bytes of `file` from `at` on.
  absl::Status After(const SegmentFile& file, uint64_t at, uint64_t number) {
    auto rest = ReadRange(file.path, at, file.bytes - at);
    if (!rest.ok()) return rest.status();
    recovered_ = RecoveredDetails(file.name, at, rest->size(), HashHex(*rest));
    return OpenSegment(number, 0);
  }

  absl::Status OpenSegment(uint64_t number, uint64_t size) {
    const std::string path = StrCat(options_.dir, "/", SegmentName(number));
    fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd_ < 0) return Fault(path);
    const int dir = open(options_.dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0) {
      fsync(dir);
      close(dir);
    }
    number_ = number;
    size_ = size;
    known_ = true;
    return absl::OkStatus();
  }

  // Whether another process has written since.
  bool Current() {
    struct stat st {};
    if (!known_ || fstat(fd_, &st) != 0 || static_cast<uint64_t>(st.st_size) != size_) return false;
    struct stat named {};
    const std::string path = StrCat(options_.dir, "/", SegmentName(number_));
    if (stat(path.c_str(), &named) != 0 || named.st_ino != st.st_ino) return false;
    return access(StrCat(options_.dir, "/", SegmentName(number_ + 1)).c_str(), F_OK) != 0;
  }

  // --- writing ---

  void AppendLine(const AuditRecord& r, std::string* out) {
    simdjson::dom::element e;
    if (r.details.find('\n') == std::string::npos && r.details.starts_with('{') &&
        r.details.ends_with('}') && parser_.parse(r.details).get(e) == simdjson::SUCCESS &&
        e.is_object()) {
      hash_ = FormatRecord(seq_ + 1, hash_, r, out);
    } else {  // a mistake of ours must not break the log, nor be lost
      AuditRecord mended = r;
      mended.details = R"({"not_json":)";
      base::AppendJsonString(r.details, &mended.details);
      mended.details += "}";
      hash_ = FormatRecord(seq_ + 1, hash_, mended, out);
    }
    ++seq_;
    ++unsigned_;
  }

  void AppendSignature(std::string* out) {
    unsigned char signature[crypto_sign_BYTES];
    const std::string text = SignedText({seq_, hash_});
    crypto_sign_detached(signature, nullptr, reinterpret_cast<const unsigned char*>(text.data()),
                         text.size(), reinterpret_cast<const unsigned char*>(secret_.data()));
    AppendLine({options_.now_ms(), "stillwatch", std::string(kActionSigned), StrCat(seq_),
                SignatureDetails(public_, {reinterpret_cast<char*>(signature), sizeof signature})},
               out);
    unsigned_ = 0;
  }

  // One batch, whole or (but for a crash) not at all. Under the file lock.
  absl::Status Write(const std::deque<Item>& batch) {
    if (!Current()) {
      if (absl::Status s = LoadTail(); !s.ok()) return s;
    }
    if (size_ >= options_.segment_bytes) {
      close(fd_);
      if (absl::Status s = OpenSegment(number_ + 1, 0); !s.ok()) {
        known_ = false;
        return s;
      }
    }
    uint64_t untold = 0;
    {
      std::lock_guard lock(mutex_);
      untold = untold_;
    }
    const uint64_t seq = seq_, unsigned_before = unsigned_;
    const std::string hash = hash_;
    std::string out;
    bool sign = stop_seen_ && unsigned_ > 0;
    const bool may_sign = !secret_.empty();
    if (!recovered_.empty()) {
      AppendLine({options_.now_ms(), "stillwatch", std::string(kActionRecovered), "", recovered_},
                 &out);
    }
    for (const Item& i : batch) {
      AppendLine(i.record, &out);
      sign |= i.waiter != nullptr;
      if (may_sign && unsigned_ >= kSignEvery) AppendSignature(&out);
    }
    if (untold > 0) {
      AppendLine({options_.now_ms(), "stillwatch", std::string(kActionOverflow), "",
                  StrCat(R"({"dropped":)", untold, "}")},
                 &out);
    }
    if (may_sign && unsigned_ > 0 && (sign || size_ + out.size() >= options_.segment_bytes))
      AppendSignature(&out);
    if (out.empty()) return absl::OkStatus();
    absl::Status status;
    for (size_t done = 0; done < out.size();) {
      const ssize_t n = write(fd_, out.data() + done, out.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        status = Fault(StrCat(options_.dir, "/", SegmentName(number_)));
        break;
      }
      done += static_cast<size_t>(n);
    }
    if (status.ok() && fdatasync(fd_) != 0)
      status = Fault(StrCat(options_.dir, "/", SegmentName(number_)));
    if (!status.ok()) {
      seq_ = seq;
      hash_ = hash;
      unsigned_ = unsigned_before;
      // Take back what got there, so that the batch can be tried again without being there twice.
      if (ftruncate(fd_, static_cast<off_t>(size_)) != 0 || fdatasync(fd_) != 0) known_ = false;
      return status;
    }
    size_ += out.size();
    recovered_.clear();
    std::lock_guard lock(mutex_);
    untold_ -= untold;
    stats_.written += seq_ - seq;
    shown_ = {seq_, seq_ == 0 ? std::string() : hash_};
    return absl::OkStatus();
  }

  void Run() {
    std::unique_lock lock(mutex_);
    bool failed = false;
    for (;;) {
      const auto due = [&] { return stop_ || waiting_ > 0 || queue_.size() > kQueueRecords / 16; };
      if (failed) {
        wake_.wait_for(lock, kRetry, [&] { return stop_ || waiting_ > 0; });
      } else {
        wake_.wait(lock, [&] { return stop_ || waiting_ > 0 || !queue_.empty() || untold_ > 0; });
        wake_.wait_for(lock, std::chrono::milliseconds(kGatherMs), due);
      }
      std::deque<Item> batch;
      batch.swap(queue_);
      bytes_ = 0;
      int appends = 0;
      for (const Item& i : batch) appends += i.waiter != nullptr;
      waiting_ -= appends;
      stop_seen_ = stop_;
      lock.unlock();
      absl::Status status;
      while (flock(lock_fd_, LOCK_EX) != 0) {
        if (errno != EINTR) {
          status = Fault(StrCat(options_.dir, "/LOCK"));
          break;
        }
      }
      if (status.ok()) {
        status = Write(batch);
        flock(lock_fd_, LOCK_UN);
      }
      lock.lock();
      failed = !status.ok();
      uint64_t offers = 0;
      for (Item& i : batch) {
        if (i.waiter != nullptr) {
          i.waiter->status = status;
          i.waiter->done = true;
        } else {
          ++offers;
        }
      }
      if (failed) {
        ++stats_.failed_batches;
        last_error_ = status;
        // Offered records are tried again, before what came meanwhile.
        size_t kept = 0;
        for (auto i = batch.rbegin(); i != batch.rend(); ++i) {
          if (i->waiter != nullptr) continue;
          kept += Size(i->record);
          queue_.push_front(std::move(*i));
        }
        bytes_ += kept;
      } else {
        settled_ += offers;
      }
      done_.notify_all();
      if (stop_ && (failed || queue_.empty())) return;
    }
  }

  AuditOptions options_;
  std::string public_, secret_;
  int lock_fd_ = -1, fd_ = -1;

  // Of the writing thread (of Start before it).
  simdjson::dom::parser parser_;
  bool known_ = false, stop_seen_ = false;
  uint64_t number_ = 0, size_ = 0, seq_ = 0, unsigned_ = 0;
  std::string hash_, recovered_;

  mutable std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<Item> queue_;
  size_t bytes_ = 0;
  int waiting_ = 0;  // Appends in the queue, Flushes
  uint64_t untold_ = 0, offered_ = 0, settled_ = 0;
  bool stop_ = false;
  AuditStats stats_;
  AuditHead shown_;
  absl::Status last_error_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AuditLog>> AuditLog::Open(AuditOptions options) {
  auto log = std::make_unique<Writer>(std::move(options));
  if (absl::Status s = log->Start(); !s.ok()) return s;
  return log;
}

absl::StatusOr<AuditPage> ReadAudit(const std::string& dir, const AuditFilter& filter,
                                    uint64_t before, size_t limit, uint64_t scan_bytes) {
  auto segments = ListSegments(dir);
  if (!segments.ok()) return segments.status();
  const auto quoted = [](const std::string& s) {
    std::string out;
    if (!s.empty()) base::AppendJsonString(s, &out);
    return out.empty() ? out : out.substr(1, out.size() - 2);
  };
  const std::string action = quoted(filter.action), subject = quoted(filter.subject),
                    actor = quoted(filter.actor);
  AuditPage page;
  uint64_t looked = 0;
  simdjson::dom::parser parser;
  for (auto f = segments->rbegin(); f != segments->rend(); ++f) {
    if (f->bytes == 0) continue;
    auto bytes = ReadRange(f->path, 0, f->bytes);
    if (!bytes.ok()) return bytes.status();
    RecordView r;
    const std::string_view all = *bytes;
    // A segment that begins later than what is asked for is passed over.
    if (before != 0 && ParseRecord(all.substr(0, all.find('\n')), &r) && r.seq >= before) continue;
    looked += all.size();
    uint64_t oldest = 0;
    for (size_t eol = all.rfind('\n'); eol != std::string_view::npos;) {
      const size_t prev = eol == 0 ? std::string_view::npos : all.rfind('\n', eol - 1);
      const size_t begin = prev == std::string_view::npos ? 0 : prev + 1;
      const std::string_view line = all.substr(begin, eol - begin);
      eol = prev;
      if (!ParseRecord(line, &r) || (before != 0 && r.seq >= before)) continue;
      oldest = r.seq;
      if (!r.action.starts_with(action) || (!subject.empty() && r.subject != subject) ||
          (!actor.empty() && r.actor != actor) ||
          (!filter.contains.empty() && line.find(filter.contains) == std::string_view::npos)) {
        continue;
      }
      // What somebody wrote into the file by hand must not break the reader.
      simdjson::dom::element e;
      if (parser.parse(line.data(), line.size()).get(e) != simdjson::SUCCESS) continue;
      page.lines.emplace_back(line);
      if (page.lines.size() >= limit) {
        page.next = r.seq > 1 ? r.seq : 0;
        return page;
      }
    }
    if (looked >= scan_bytes && oldest > 1) {
      page.next = oldest;
      return page;
    }
  }
  return page;
}

std::string PublicKey(std::string_view signing_key) {
  if (sodium_init() < 0 || signing_key.size() != crypto_sign_SEEDBYTES) return {};
  unsigned char pub[crypto_sign_PUBLICKEYBYTES], sec[crypto_sign_SECRETKEYBYTES];
  crypto_sign_seed_keypair(pub, sec, reinterpret_cast<const unsigned char*>(signing_key.data()));
  sodium_memzero(sec, sizeof sec);
  return {reinterpret_cast<char*>(pub), sizeof pub};
}

}  // namespace stillwatch::audit
