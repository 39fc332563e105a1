#include "judge/null_groups.h"

#include <algorithm>
#include <cstdint>

#include "judge/split.h"

namespace stillwatch::judge {

NullGroups::NullGroups(const Background& background, const AccountSet& not_innocent,
                       size_t accounts, size_t rows)
    : background_(background),
      not_innocent_(not_innocent),
      accounts_(std::min(kNullAccountsMax, accounts)),
      per_account_(std::max<size_t>(3, rows / std::max<size_t>(1, accounts))) {}

bool NullGroups::Events(size_t g, size_t at_least, std::vector<link::Event>* events) const {
  const link::Log& log = background_.log();
  const std::vector<uint32_t>& order = background_.shuffled();
  events->clear();
  std::vector<uint32_t> group;
  const size_t start = order.size() * g / kNullGroups;
  for (size_t i = 0; i < order.size() && group.size() < accounts_; ++i) {
    const uint32_t a = order[(start + i) % order.size()];
    if (!not_innocent_[a] && log.Exchanges(a) * 2 >= per_account_) group.push_back(a);
  }
  if (group.size() < at_least) return false;
  std::sort(group.begin(), group.end());
  for (const uint32_t a : group) {
    const uint64_t step = std::max<uint64_t>(1, log.Exchanges(a) / per_account_);
    for (uint64_t r = log.first_row[a]; r < log.first_row[a + 1]; r += step)
      if (const auto e = EventOf(log, r)) events->push_back(*e);
  }
  return true;
}

double AgainstGroups(double z, std::vector<double> groups) {
  if (groups.size() < kNullGroupsMin) return z;
  std::sort(groups.begin(), groups.end());
  const double median = groups[groups.size() / 2], upper = groups[groups.size() * 84 / 100];
  return (z - std::max(0.0, median)) / std::max(1.0, upper - median);
}

}  // namespace stillwatch::judge
