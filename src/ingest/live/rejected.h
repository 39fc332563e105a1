// rejected.jsonl of a service that runs for ever: the newest refused records, bounded.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "model/exchange.h"

namespace stillwatch::ingest {

struct RejectedOptions {
  std::string folder;              // made when missing; rejected.jsonl and rejected.1.jsonl
  uint64_t bytes_max = 64u << 20;  // of both files; the older half goes
  size_t record_bytes_max = 1024;  // of each record; 0: keep none of it, only place and reason
};

// Thread-safe. A full disk loses what is kept of refused records, never a request: it is counted.
class RejectedLog {
 public:
  static absl::StatusOr<std::unique_ptr<RejectedLog>> Open(RejectedOptions options);
  ~RejectedLog();
  void Add(const model::Reject& r, int64_t now_ms);
  uint64_t unkept() const;

 private:
  explicit RejectedLog(RejectedOptions options) : options_(std::move(options)) {}
  void Rotate();
  const RejectedOptions options_;
  mutable std::mutex mutex_;
  std::FILE* file_ = nullptr;
  uint64_t bytes_ = 0, unkept_ = 0;
};

}  // namespace stillwatch::ingest
