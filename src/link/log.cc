#include "link/log.h"

#include <algorithm>
#include <unordered_map>

namespace stillwatch::link {

void Log::Finish() {
  first_row.assign(accounts() + 1, 0);
  for (const uint32_t a : row_account) ++first_row[a + 1];
  for (size_t a = 0; a < accounts(); ++a) first_row[a + 1] += first_row[a];
  entity.assign(accounts(), 0);
  std::unordered_map<std::string, uint32_t> of_org;
  entities = 0;
  for (size_t a = 0; a < accounts(); ++a) {
    if (account[a].org_verified && !account[a].org_id.empty()) {
      const auto [it, fresh] = of_org.emplace(account[a].org_id, entities);
      if (fresh) ++entities;
      entity[a] = it->second;
    } else {
      entity[a] = entities++;
    }
  }
}

std::span<const Log::Presented> Log::PresentedBy(uint32_t row) const {
  const auto begin = std::lower_bound(presented.begin(), presented.end(), Presented{row, 0});
  auto end = begin;
  while (end != presented.end() && end->row == row) ++end;
  return {begin, end};
}

}  // namespace stillwatch::link
