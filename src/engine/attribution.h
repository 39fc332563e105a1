// Names what was judged, from the lake, where alone the ids of exchanges are kept.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "judge/judge.h"
#include "lake/lake.h"
#include "link/log.h"
#include "model/campaign.h"

namespace stillwatch::engine {

using EachExchange = std::function<absl::Status(
    std::string_view exchange, std::string_view account, std::string_view campaign)>;

// Fills the ids of the exchanges that are spoken of (Evidence, Specimen, samples), and puts every
// attributed exchange into the empty table `attributed` under `run` (`store`). `each` (may be null)
// sees them too, by account, exchange and campaign id. Memory does not grow with the attributed
// exchanges but by 8 bytes each, which `findings->rows` has already.
absl::Status NameExchanges(lake::Lake& lake, const link::Log& log, uint32_t run,
                           model::Findings* findings, std::vector<judge::WeighedCandidate>* weighed,
                           const EachExchange& each, bool store = true);

}  // namespace stillwatch::engine
