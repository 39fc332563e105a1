// Carries the journal's entries into the lake.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "journal/journal.h"
#include "lake/lake.h"

namespace stillwatch::ingest {

struct LoaderOptions {
  size_t rows_min = 10'000;             // an INSERT waits for so many rows,
  int64_t linger_ms = 2'000;            // at most so long,
  size_t rows_max = lake::kInsertRows;  // and holds no more (but one entry more)
  int64_t backoff_ms = 100, backoff_max_ms = 30'000;
  std::function<void(std::string)> note = [](std::string) {};  // from the loader's thread
};

struct LoaderStats {
  uint64_t rows = 0, inserts = 0, failures = 0;
  bool failing = false;  // the last insert failed; it is tried again
  std::string last_error;
};

// Owns one thread from Start to Stop. An insert is tried until it succeeds: an entry may be loaded
// twice, which the lake counts once, and is never dropped. Order is the journal's.
class Loader {
 public:
  // Both outlive it; nobody else reads the journal.
  Loader(journal::Journal* journal, lake::Lake* lake, LoaderOptions options);
  ~Loader();
  void Start();
  // Ends after the insert under way; what is left waits in the journal.
  void Stop();
  LoaderStats stats() const;

  // One step, for a caller with a thread of its own: reads, inserts, commits. False: nothing came.
  bool Step();

 private:
  absl::Status InsertAll();
  void Sleep(int64_t ms);

  journal::Journal* const journal_;
  lake::Lake* const lake_;
  const LoaderOptions options_;
  std::thread thread_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::condition_variable stopped_;
  LoaderStats stats_;
  std::map<std::string, std::vector<lake::Block>> pending_;  // by table
  uint64_t read_ = 0;                                        // sequence of the last entry in it
};

}  // namespace stillwatch::ingest
