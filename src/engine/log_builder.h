// Blocks of the lake's tables -> link::Log: interned, deduplicated, in the one canonical order.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/parallel.h"
#include "lake/block.h"
#include "link/log.h"

namespace stillwatch::engine {

// Columns of `exchanges` that the log needs, for a SELECT.
extern const char kLogColumns[];

struct Conflict {  // two records of one exchange_id with different content: the loser
  std::string exchange_id, account_id;
  int64_t ts_ms = 0;
};

// AddExchanges and AddAccounts may be called from several threads; Finish once, at the end.
// Memory: about 90 bytes a row beside ids and sketches; twice the largest column while sorting.
class LogBuilder {
 public:
  // Rows outside [since_ms, until_ms) are left out, and with them the records of accounts that
  // nobody could know of by until_ms: no row, and created later or at an unknown time.
  LogBuilder(int64_t since_ms, int64_t until_ms) : since_(since_ms), until_(until_ms) {}
  absl::Status AddExchanges(const lake::Block& block);
  absl::Status AddAccounts(const lake::Block& block);
  // Of rows with one exchange_id the one with the smallest content hash stays. The result does
  // not depend on the order in which blocks came.
  link::Log Finish(const base::Parallel& parallel, std::vector<Conflict>* conflicts);

 private:
  std::mutex mutex_;
  int64_t since_, until_;
  link::Log log_;
  link::Dictionary accounts_;
  std::vector<uint32_t> content_;
  std::vector<std::pair<model::Account, uint32_t>> records_;  // with content hash
};

}  // namespace stillwatch::engine
