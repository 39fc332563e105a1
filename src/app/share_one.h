// One campaign of the findings for one audience, as /api/v1 asks for it.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lake/lake.h"
#include "model/campaign.h"
#include "serve/api/api.h"
#include "share/gate.h"

namespace stillwatch::app {

// `campaign` under the id that the lake attributes exchanges to. Values are left out of a bundle's
// summary. `keys`: by audience; one that has none shares nothing that can be guessed. `opinion`: of
// whoever reviewed it, in STIX's words, or empty.
using AudienceKeys = std::map<share::Audience, share::BlindingKey>;
absl::StatusOr<serve::Shared> ShareOne(const model::Campaign& campaign, lake::Lake* lake,
                                       const serve::ShareAsk& ask, const AudienceKeys& keys,
                                       const std::string& opinion = "");

// A bundle that we issued, revoked.
absl::StatusOr<std::string> RevocationOf(const std::string& issuer, std::string_view bundle);

}  // namespace stillwatch::app
