// Blocks of the lake's tables -> link::Log: interned, deduplicated, in the one canonical order.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/parallel.h"
#include "judge/judge.h"
#include "lake/block.h"
#include "lake/lake.h"
#include "link/log.h"
#include "model/campaign.h"

namespace stillwatch::engine {

// Columns of `exchanges` that the log needs, for a SELECT.
extern const char kLogColumns[];

// AddExchanges and AddAccounts may be called from several threads and do not wait for each other;
// Finish once, at the end. Memory: the log, and one column of it twice while it is sorted.
class LogBuilder {
 public:
  // Rows outside [since_ms, until_ms) are left out, and with them the records of accounts that
  // nobody could know of by until_ms: no row, and created later or at an unknown time.
  LogBuilder(int64_t since_ms, int64_t until_ms);
  ~LogBuilder();
  absl::Status AddExchanges(const lake::Block& block);
  absl::Status AddAccounts(const lake::Block& block);
  // Of rows with one exchange_id the one with the smallest content hash stays. The result does
  // not depend on the order in which blocks came. `conflicts`: how many losers had other content
  // than their winner. ResourceExhausted beyond 2^32 - 2 rows or 65,535 models.
  absl::Status Finish(const base::Parallel& parallel, link::Log* log, uint64_t* conflicts);

 private:
  struct Chunk;
  struct Part;  // what one caller at a time adds to
  std::unique_ptr<Part> Take();
  void Return(std::unique_ptr<Part> part);

  int64_t since_, until_;
  std::mutex mutex_;  // of what follows
  std::vector<std::unique_ptr<Part>> parts_;
  uint32_t part_count_ = 0;
  std::vector<std::pair<model::Account, uint32_t>> records_;  // with content hash
};

// Names the exchanges that are spoken of (Evidence, Specimen, Findings::exchanges, samples) from
// the lake, where alone the ids are kept.
absl::Status NameExchanges(lake::Lake& lake, const link::Log& log, model::Findings* findings,
                           std::vector<judge::WeighedCandidate>* weighed);

}  // namespace stillwatch::engine
