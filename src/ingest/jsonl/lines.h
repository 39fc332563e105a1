// Lines of files, in chunks that several threads may take in turn: plain, .gz, .zst, "-".
#pragma once

#include <emmintrin.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ingest/source.h"

namespace stillwatch::ingest {

// Small enough that the bytes are still in a core's own cache when they are parsed.
inline constexpr size_t kChunkBytes = 512u << 10;
inline constexpr size_t kReadBytes = 128u << 10;  // of a file at a time, and decompressed

struct Chunk {
  std::string bytes;  // whole lines; spare capacity of 64 bytes behind them for simdjson
  size_t size = 0;    // of the lines
  std::string source;
  bool first = false;  // of its source
  uint64_t first_line = 1, offset = 0;
};

// How often `c` stands in `s`: SSE2, which every x86-64 has; -O2 leaves std::count at a byte a
// step.
inline uint64_t CountByte(std::string_view s, char c) {
  const __m128i want = _mm_set1_epi8(c), zero = _mm_setzero_si128();
  uint64_t total = 0;
  size_t i = 0;
  while (s.size() - i >= 16) {
    __m128i run = zero;  // 16 counts of a byte each: at most 255 steps
    for (int step = 0; step < 255 && s.size() - i >= 16; ++step, i += 16) {
      run = _mm_sub_epi8(
          run,
          _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(s.data() + i)), want));
    }
    const __m128i sums = _mm_sad_epu8(run, zero);
    total += static_cast<uint64_t>(_mm_cvtsi128_si64(sums)) +
             static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(sums, sums)));
  }
  for (; i < s.size(); ++i) total += s[i] == c;
  return total;
}

// InvalidArgument when `path` is missing or a folder, OK for "-".
absl::Status CheckReadable(const std::string& path);

inline constexpr size_t kPeekBytes = 1u << 20;  // of a file as stored

// What a file begins with, decompressed: at most kPeekBytes of it are looked at, so the last line
// may be cut. Broken compression ends it early; the reader that follows says so. What is taken
// from a pipe or "-" is kept for the next LineReader of the same path. Not thread-safe. Waits for a
// pipe until `stop` is set (null: for ever), then CancelledError.
absl::StatusOr<std::string> PeekHead(const std::string& path,
                                     const std::atomic<bool>* stop = nullptr);

// Gives a descriptor that can be read once (a pipe, a socket) a name that the next LineReader
// knows; it then owns the descriptor. DropPipe closes one that nobody took. Not thread-safe.
std::string AdoptPipe(int fd);
void DropPipe(const std::string& name);

// Reading and decompressing happen inside Next under a lock, parsing outside of it: no queue, no
// extra thread, one chunk per caller in memory. Magic bytes, not names, tell the compression.
class LineReader {
 public:
  // `note` gets sentences about what was met and is no error; `reject` lines that are too long.
  // `arrays`: a file that is one JSON array on one long line comes in chunks cut anywhere.
  LineReader(std::vector<std::string> paths, Progress* progress,
             std::function<void(std::string)> note,
             std::function<absl::Status(model::Reject)> reject, bool arrays = false);
  ~LineReader();
  // Before the first Next: a pipe from which nothing comes is waited for until *stop, then
  // CancelledError.
  void StopBy(const std::atomic<bool>* stop) { stop_ = stop; }
  // False at the end, the same error again after an error. Thread-safe.
  absl::StatusOr<bool> Next(Chunk* chunk);

 private:
  struct File;
  friend absl::StatusOr<std::string> PeekHead(const std::string& path,
                                              const std::atomic<bool>* stop);
  absl::Status Open(const std::string& path);
  static void Begin(File* file);
  // Appends up to kChunkBytes decompressed bytes; sets *end.
  absl::Status Fill(std::string* out, bool* end);

  std::mutex mutex_;
  std::vector<std::string> paths_;
  size_t next_path_ = 0;
  std::unique_ptr<File> file_;
  std::string carry_;  // the unfinished line
  uint64_t line_ = 1, offset_ = 0;
  const bool arrays_;
  const std::atomic<bool>* stop_ = nullptr;
  bool skipping_ = false;  // inside a line that is too long
  absl::Status error_;     // what ended reading; whole lines before it are handed out first
  Progress* progress_;
  std::function<void(std::string)> note_;
  std::function<absl::Status(model::Reject)> reject_;
};

}  // namespace stillwatch::ingest
