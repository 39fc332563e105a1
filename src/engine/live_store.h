// Passes kept in the service's state: campaigns under their lasting ids, their history, and the
// bytes of watching, one transaction a pass.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/live.h"
#include "state/state.h"

namespace stillwatch::engine {

class StateStore : public LiveStore {
 public:
  // `state` outlives it.
  explicit StateStore(state::State* state) : state_(state) {}
  absl::StatusOr<std::string> Load() override;
  // Writes the campaigns that differ from what this object wrote last; after a start, all.
  absl::Status Commit(const PassFindings& pass, const watch::Identities& identities,
                      std::string_view bytes) override;

 private:
  state::State* state_;
  std::unordered_map<std::string, uint64_t> written_;  // lasting id -> hash of what was written
};

}  // namespace stillwatch::engine
