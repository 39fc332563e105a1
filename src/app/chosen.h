// Which campaigns of a finished scan a command is about.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/campaign.h"

namespace stillwatch::app {

// Those of `findings`, which are of the folder `out`, that are named by id or name; without a name
// every distillation, and with `suspected` what is unresolved. NotFound for a name that nothing
// has. Pointers into `findings`.
absl::StatusOr<std::vector<const model::Campaign*>> ChosenCampaigns(
    const model::Findings& findings, const std::vector<std::string>& names, const std::string& out,
    bool suspected = false);

}  // namespace stillwatch::app
