#include "link/log.h"

namespace stillwatch::link {

uint32_t Dictionary::Intern(std::string_view value) {
  const auto it = ids_.find(value);
  if (it != ids_.end()) return it->second;
  const uint32_t id = static_cast<uint32_t>(names_.size());
  names_.emplace_back(value);
  ids_.emplace(names_.back(), id);
  return id;
}

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

}  // namespace stillwatch::link
