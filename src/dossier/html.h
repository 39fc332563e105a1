// A campaign written down for people: one self-contained page, no script, no network.
#pragma once

#include <string>

#include "model/campaign.h"

namespace stillwatch::dossier {

// Every string from a log is escaped. About 60 kB for a campaign of 25,000 accounts: the first
// kMembersShown are listed, the rest are in accounts.csv.
inline constexpr size_t kMembersShown = 200;
std::string RenderDossier(const model::Campaign& campaign);

}  // namespace stillwatch::dossier
