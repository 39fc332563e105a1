// Blocks of the lake's tables -> link::Log: interned, deduplicated, in the one canonical order.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "base/parallel.h"
#include "engine/account_index.h"
#include "lake/block.h"
#include "link/log.h"
#include "link/templates.h"
#include "link/text_sets.h"
#include "model/account.h"

namespace stillwatch::engine {

// Columns of `exchanges` that the log needs, for a SELECT.
extern const char kLogColumns[];

// AddExchanges and AddAccounts may be called from several threads and do not wait for each other;
// Finish once, at the end. Memory: names, and rows up to kMemoryBytes; what goes beyond waits in a
// file without a name (about 150 bytes a row), gone with this object. Finish needs 8 bytes a row at
// first, and 64 in that file, from which it gives back what it has read.
class LogBuilder {
 public:
  static constexpr uint64_t kMemoryBytes = uint64_t{1} << 30;
  // Rows outside [since_ms, until_ms) are left out, and with them the records of accounts that
  // nobody could know of by until_ms: no row, and created later or at an unknown time.
  // `options` say which hashes are worth keeping; `folder` is where that file is made.
  LogBuilder(int64_t since_ms, int64_t until_ms, const link::TemplateOptions& options,
             std::string folder, uint64_t memory_bytes = kMemoryBytes);
  ~LogBuilder();
  absl::Status AddExchanges(const lake::Block& block);
  absl::Status AddAccounts(const lake::Block& block);
  // Of rows with one exchange_id the one with the smallest content hash stays. The result does
  // not depend on the order in which blocks came. `conflicts`: how many losers had other content
  // than their winner. ResourceExhausted beyond 2^32 - 2 rows or 65,535 models, or when the folder
  // has no room. `index`, if any, is given all accounts (engine/account_index.h).
  absl::Status Finish(const base::Parallel& parallel, link::Log* log, uint64_t* conflicts,
                      lookup::Writer* index = nullptr);

 private:
  struct Chunk;
  struct Part;  // what one caller at a time adds to
  std::unique_ptr<Part> Take();
  void Return(std::unique_ptr<Part> part);

  template <typename F>
  void EachText(const Chunk& chunk, F&& each) const;
  void Count(const Chunk& chunk);
  absl::Status Seal(Chunk* chunk);
  using Chunks = std::vector<std::unique_ptr<Chunk>>;
  template <typename Body, typename... Columns>
  absl::Status EachChunk(const Chunks& chunks, const base::Parallel& parallel, const Body& body,
                         Columns... columns) const;
  absl::Status FindTwice(const Chunks& chunks, const base::Parallel& parallel,
                         absl::flat_hash_set<uint64_t>* twice) const;
  template <typename T>
  int ReadBack(T* column) const;  // an errno, 0: done

  const int64_t since_, until_;
  const link::TemplateOptions options_;
  const std::string folder_;
  const uint64_t memory_bytes_;
  std::unique_ptr<link::HashCounts> counts_;  // until Finish
  std::atomic<uint64_t> held_ = 0;            // bytes of sealed chunks in memory
  std::mutex mutex_;  // of what follows
  int file_ = -1;
  uint64_t file_end_ = 0;
  std::vector<std::unique_ptr<Part>> parts_;
  uint32_t part_count_ = 0;
  std::vector<std::pair<model::Account, uint32_t>> records_;  // with content hash
};

}  // namespace stillwatch::engine
