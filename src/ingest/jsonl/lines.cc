#include "ingest/jsonl/lines.h"

#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "base/str.h"

namespace stillwatch::ingest {

using base::StrCat;

namespace {

constexpr int kStopMs = 100;  // how soon a reader that waits hears that it is to stop

// What PeekHead took from a pipe, with the open pipe.
struct Ahead {
  int fd;
  std::string bytes;
};
std::map<std::string, Ahead>& Taken() {
  static auto* taken = new std::map<std::string, Ahead>;
  return *taken;
}

// Until there is something to read, its end included.
absl::Status Await(int fd, const std::atomic<bool>* stop) {
  pollfd p{fd, POLLIN, 0};
  while (stop != nullptr) {
    if (*stop) return absl::CancelledError("interrupted");
    const int ready = poll(&p, 1, kStopMs);
    if (ready > 0 || (ready < 0 && errno != EINTR)) break;
  }
  return absl::OkStatus();
}

}  // namespace

struct LineReader::File {
  std::string path;
  int fd = -1;
  bool regular = false;
  uint64_t size = 0, read = 0;  // of the file as stored, when regular
  enum { kPlain, kGzip, kZstd } kind = kPlain;
  std::string input = std::string(kReadBytes, 0);
  size_t begin = 0, end = 0;  // unread bytes of input
  bool eof = false;
  bool started = false;  // inside a compressed member or frame
  bool pending = false;  // the decompressor filled its room and may hold more
  bool head = true;      // nothing was read yet
  bool first = true;     // nothing was handed out yet
  bool cut = false;      // chunks need not end with a line
  ZSTD_DStream* zstd = nullptr;
  std::unique_ptr<inflate_state> gzip;
  ~File() {
    if (fd > 0) close(fd);
    if (zstd != nullptr) ZSTD_freeDStream(zstd);
  }
  // Appends what one read gives; starts over when all of input was used.
  absl::Status More(Progress* progress, const std::atomic<bool>* stop) {
    if (begin == end) begin = end = 0;
    size_t want = input.size() - end;
    if (regular) want = std::min<uint64_t>(want, size - read);
    while (want > 0) {
      if (!regular) {
        if (absl::Status s = Await(fd, stop); !s.ok()) return s;
      }
      const ssize_t n = ::read(fd, input.data() + end, want);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0)
        return absl::InvalidArgumentError(StrCat(path, ": cannot be read: ", std::strerror(errno)));
      if (n == 0) {
        if (regular) {
          return absl::InvalidArgumentError(
              StrCat(path, ": became shorter while it was read (", read, " of ", size,
                     " bytes were there); scan a copy that nobody writes to"));
        }
        break;
      }
      end += static_cast<size_t>(n);
      read += static_cast<uint64_t>(n);
      if (progress != nullptr) progress->bytes_done += static_cast<uint64_t>(n);
      return absl::OkStatus();
    }
    eof = true;
    return absl::OkStatus();
  }
};

std::string AdoptPipe(int fd) {
  std::string name = StrCat("pipe:", fd);
  Taken()[name] = {fd, ""};
  return name;
}

void DropPipe(const std::string& name) {
  const auto taken = Taken().find(name);
  if (taken == Taken().end()) return;
  close(taken->second.fd);
  Taken().erase(taken);
}

absl::Status CheckReadable(const std::string& path) {
  if (path == "-" || Taken().contains(path)) return absl::OkStatus();
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    return absl::InvalidArgumentError(StrCat(path, ": cannot be opened: ", std::strerror(errno)));
  }
  if (S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(
        StrCat(path, ": is a folder; name its files, for instance ", path, "/*.jsonl"));
  }
  return absl::OkStatus();
}

LineReader::LineReader(std::vector<std::string> paths, Progress* progress,
                       std::function<void(std::string)> note,
                       std::function<absl::Status(model::Reject)> reject, bool arrays)
    : paths_(std::move(paths)),
      arrays_(arrays),
      progress_(progress),
      note_(std::move(note)),
      reject_(std::move(reject)) {
  // Before an hour of reading, not after it.
  for (const std::string& path : paths_) {
    if (error_ = CheckReadable(path); !error_.ok()) return;
  }
  if (progress_ == nullptr) return;
  uint64_t total = 0;
  for (const std::string& path : paths_) {
    struct stat info;
    if (path == "-" || stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
      total = 0;
      break;
    }
    total += static_cast<uint64_t>(info.st_size);
  }
  // Another source may have read before.
  progress_->bytes_total = total == 0 ? 0 : progress_->bytes_done + total;
}

LineReader::~LineReader() = default;

absl::Status LineReader::Open(const std::string& path) {
  file_ = std::make_unique<File>();
  File& f = *file_;
  f.path = path;
  line_ = 1;
  offset_ = 0;
  if (const auto taken = Taken().find(path); taken != Taken().end()) {
    f.fd = taken->second.fd;
    f.end = f.read = taken->second.bytes.size();
    if (progress_ != nullptr) progress_->bytes_done += f.end;
    taken->second.bytes.resize(std::max(f.end, f.input.size()));
    f.input = std::move(taken->second.bytes);
    Taken().erase(taken);
  } else if (path == "-") {
    f.fd = 0;
  } else {
    f.fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (f.fd < 0) {
      return absl::InvalidArgumentError(StrCat(path, ": cannot be opened: ", std::strerror(errno)));
    }
    struct stat info;
    if (fstat(f.fd, &info) != 0)
      return absl::InvalidArgumentError(StrCat(path, ": ", std::strerror(errno)));
    f.regular = S_ISREG(info.st_mode);
    f.size = static_cast<uint64_t>(info.st_size);
    if (f.regular && f.size == 0) note_(StrCat(path, ": is empty"));
  }
  while (f.end < 4 && !f.eof) {  // a pipe may give single bytes
    if (absl::Status s = f.More(progress_, stop_); !s.ok()) return s;
  }
  Begin(&f);
  return absl::OkStatus();
}

// The first bytes tell the compression.
void LineReader::Begin(File* file) {
  File& f = *file;
  const auto byte = [&](size_t i) { return i < f.end ? static_cast<uint8_t>(f.input[i]) : 0; };
  if (byte(0) == 0x1F && byte(1) == 0x8B) {
    f.kind = File::kGzip;
    f.gzip = std::make_unique<inflate_state>();
    isal_inflate_init(f.gzip.get());
    f.gzip->crc_flag = ISAL_GZIP;
  } else if (byte(0) == 0x28 && byte(1) == 0xB5 && byte(2) == 0x2F && byte(3) == 0xFD) {
    f.kind = File::kZstd;
    f.zstd = ZSTD_createDStream();
    ZSTD_DCtx_setParameter(f.zstd, ZSTD_d_windowLogMax,
                           27);  // 128 MiB: what zstd --long writes by default
  }
}

absl::StatusOr<std::string> PeekHead(const std::string& path, const std::atomic<bool>* stop) {
  if (absl::Status s = CheckReadable(path); !s.ok()) return s;
  const int fd = path == "-" ? 0 : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) != 0) {
    return absl::InvalidArgumentError(StrCat(path, ": cannot be opened: ", std::strerror(errno)));
  }
  LineReader reader(
      {}, nullptr, [](std::string) {}, [](model::Reject) { return absl::OkStatus(); });
  reader.file_ = std::make_unique<LineReader::File>();
  LineReader::File& f = *reader.file_;
  f.path = path;
  f.input.resize(kPeekBytes);
  while (f.end < kPeekBytes) {
    if (!S_ISREG(info.st_mode)) {
      if (absl::Status s = Await(fd, stop); !s.ok()) {
        if (fd > 0) close(fd);
        return s;
      }
    }
    const ssize_t n = ::read(fd, f.input.data() + f.end, kPeekBytes - f.end);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const std::string why = std::strerror(errno);
      if (fd > 0) close(fd);
      return absl::InvalidArgumentError(StrCat(path, ": cannot be read: ", why));
    }
    if (n == 0) break;
    f.end += static_cast<size_t>(n);
  }
  f.eof = true;
  if (!S_ISREG(info.st_mode)) {
    Taken()[path] = {fd, f.input.substr(0, f.end)};
  } else if (fd == 0) {
    lseek(fd, -static_cast<off_t>(f.end), SEEK_CUR);  // `< file`
  } else {
    close(fd);
  }
  LineReader::Begin(&f);
  std::string head;
  bool end = false;
  (void)reader.Fill(&head, &end);
  if (head.starts_with("\xEF\xBB\xBF")) head.erase(0, 3);
  return head;
}

absl::Status LineReader::Fill(std::string* out, bool* end) {
  File& f = *file_;
  const size_t goal = out->size() + kChunkBytes;
  *end = false;
  size_t at_least = 0;  // what of *out is known to be data
  const auto cut_short = [&](const char* kind) {
    return absl::InvalidArgumentError(
        StrCat(f.path, ": ends in the middle of its ", kind, " data after line ",
               line_ - 1 + std::count(out->begin(), out->end(), '\n'), "; get the whole file"));
  };
  const auto corrupt = [&](const char* kind, std::string_view why) {
    out->resize(at_least);
    return absl::InvalidArgumentError(StrCat(f.path, ": broken ", kind, " data near byte ", f.read,
                                             " (", why, "); get an intact copy"));
  };
  while (out->size() < goal) {
    if (f.begin == f.end && !f.eof && !f.pending) {
      if (absl::Status s = f.More(progress_, stop_); !s.ok()) return s;
    }
    if (f.begin == f.end && !f.pending) {
      if (!f.eof) continue;
      if (f.started) return cut_short(f.kind == File::kGzip ? "gzip" : "zstd");
      *end = true;
      return absl::OkStatus();
    }
    if (f.kind == File::kPlain) {
      out->append(f.input, f.begin, f.end - f.begin);
      f.begin = f.end;
      continue;
    }
    const size_t at = out->size(), room = kReadBytes;
    at_least = at;
    out->resize(at + room);
    size_t made = 0;
    if (f.kind == File::kZstd) {
      ZSTD_inBuffer in{f.input.data() + f.begin, f.end - f.begin, 0};
      ZSTD_outBuffer to{out->data() + at, room, 0};
      const size_t left = ZSTD_decompressStream(f.zstd, &to, &in);
      if (ZSTD_isError(left)) return corrupt("zstd", ZSTD_getErrorName(left));
      f.started = left != 0;
      f.pending = f.started && to.pos == room;
      f.begin += in.pos;
      made = to.pos;
    } else {
      f.started = true;
      f.gzip->next_in = reinterpret_cast<uint8_t*>(f.input.data()) + f.begin;
      f.gzip->avail_in = static_cast<uint32_t>(f.end - f.begin);
      f.gzip->next_out = reinterpret_cast<uint8_t*>(out->data()) + at;
      f.gzip->avail_out = room;
      const int code = isal_inflate(f.gzip.get());
      if (code != ISAL_DECOMP_OK && code != ISAL_END_INPUT)
        return corrupt("gzip", StrCat("code ", code));
      f.begin = f.end - f.gzip->avail_in;
      made = room - f.gzip->avail_out;
      f.pending = f.gzip->avail_out == 0;
      if (f.gzip->block_state == ISAL_BLOCK_FINISH) {
        isal_inflate_reset(f.gzip.get());
        f.gzip->crc_flag = ISAL_GZIP;
        f.started = f.pending = false;
      }
    }
    out->resize(at + made);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> LineReader::Next(Chunk* chunk) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (;;) {
    if (!error_.ok()) return error_;
    if (file_ == nullptr) {
      if (next_path_ == paths_.size()) return false;
      if (error_ = Open(paths_[next_path_++]); !error_.ok()) return error_;
    }
    std::string& bytes = chunk->bytes;
    bytes.clear();
    bytes.swap(carry_);
    bool end = false;
    error_ = Fill(&bytes, &end);
    if (file_->head && bytes.starts_with("\xEF\xBB\xBF")) {
      bytes.erase(0, 3);
      offset_ = 3;
    }
    if (file_->head && arrays_ && !end) {
      file_->cut = bytes.starts_with('[') && bytes.find('\n') == std::string::npos;
    }
    file_->head = false;
    chunk->source = file_->path;
    chunk->first = file_->first;
    chunk->first_line = line_;
    chunk->offset = offset_;
    size_t whole = bytes.size();
    if (!end && !file_->cut) {
      const size_t newline = bytes.rfind('\n');
      whole = newline == std::string::npos ? 0 : newline + 1;
      carry_.assign(bytes, whole, std::string::npos);
    } else if (end) {
      struct stat info;
      if (file_->regular && whole > 0 && bytes[whole - 1] != '\n' && fstat(file_->fd, &info) == 0 &&
          static_cast<uint64_t>(info.st_size) > file_->size) {
        note_(
            StrCat(file_->path,
                   ": is still being written; its unfinished last line is left for the next scan"));
        const size_t newline = bytes.rfind('\n');
        whole = newline == std::string::npos ? 0 : newline + 1;
      }
      file_ = nullptr;
    }
    if (skipping_) {
      const size_t newline = bytes.find('\n');
      const size_t gone = newline == std::string::npos ? bytes.size() : newline + 1;
      if (newline != std::string::npos || end) {
        skipping_ = false;
        ++line_;
        chunk->first_line = line_;
      } else {
        carry_.clear();
      }
      whole = whole > gone ? whole - gone : 0;
      bytes.erase(0, gone);
      offset_ += gone;
      chunk->offset = offset_;
    }
    if (carry_.size() > kRecordBytesMax) {
      model::Reject r;
      r.source = chunk->source;
      r.line =
          line_ + static_cast<uint64_t>(std::count(bytes.begin(), bytes.begin() + whole, '\n'));
      r.offset = offset_ + whole;
      r.reason = StrCat("line: longer than ", kRecordBytesMax >> 20,
                        " MiB; split the record or drop its attachments");
      r.record = carry_.substr(0, 1024);
      if (absl::Status s = reject_(std::move(r)); !s.ok()) return error_ = s;
      offset_ += carry_.size();
      carry_.clear();
      skipping_ = true;
    }
    bytes.resize(whole);
    line_ += CountByte(bytes, '\n');
    offset_ += whole;
    if (whole == 0) continue;
    if (file_ != nullptr) file_->first = false;
    chunk->size = whole;
    bytes.append(64, '\0');
    return true;
  }
}

}  // namespace stillwatch::ingest
