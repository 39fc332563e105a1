// Port: where exchanges come from. Adapters (jsonl, formats) implement it; engine drives it.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "model/exchange.h"

namespace stillwatch::ingest {

// Limits of one record; a longer one is rejected with its position, never truncated.
inline constexpr size_t kRecordBytesMax = 32u << 20;
inline constexpr int kNestingMax = 64;
inline constexpr size_t kSignaturesMax = 64;  // per direction and exchange; more: record rejected

struct Progress {
  std::atomic<uint64_t> bytes_done{0};   // of the source as stored
  std::atomic<uint64_t> bytes_total{0};  // 0: unknown (stdin)
  std::atomic<uint64_t> records{0};
};

// Calls back from up to `threads` threads at once, each with its own worker number in
// [0, threads); views die when the call returns. Order across workers is not defined.
struct Sink {
  std::function<absl::Status(int worker, const model::ExchangeView&)> exchange;
  std::function<absl::Status(model::Reject)> reject;  // called under the source's own lock
};

class Source {
 public:
  virtual ~Source() = default;
  // Reads to the end. A record that cannot be used goes to `reject` and reading goes on; a
  // source that cannot be read (missing, a directory, cut short, changed while read) ends with
  // an error that says what, where and what to do. Records before the error were delivered.
  // Checks *stop between chunks and then returns CancelledError.
  virtual absl::Status Read(int threads, const Sink& sink, Progress* progress,
                            const std::atomic<bool>* stop) = 0;
};

}  // namespace stillwatch::ingest
