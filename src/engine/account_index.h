// The scan's part of accounts.index (lookup/lookup.h): what each account did, from the rows of the
// log while it is built.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/parallel.h"
#include "link/log.h"
#include "link/templates.h"
#include "lookup/lookup.h"

namespace stillwatch::engine {

// What judging does not read of an exchange: how it was sent. Rows have the number of a
// combination.
struct Senders {
  enum { kChannel, kUserAgent, kApiKey, kOrg, kParts };
  std::array<link::Names, kParts> names;           // ascending, number 0 is ""
  std::vector<std::array<uint32_t, kParts>> sent;  // of each combination
  std::function<uint32_t(uint64_t row)> of;        // thread-safe
};

// Rows and names of `log` are in place, and `first_row`; more is not asked of it.
absl::Status IndexAccounts(const link::Log& log, const Senders& senders,
                           const base::Parallel& parallel, lookup::Writer* writer);

// Who sent which template, when the judge has found them.
absl::Status IndexTemplates(const link::Log& log, std::span<const link::Template> templates,
                            lookup::Writer* writer);

}  // namespace stillwatch::engine
