// What of a campaign may be shown to whom.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/campaign.h"

namespace stillwatch::dossier {

enum class Audience {
  kInternal,  // everything that was kept
  kPartner,   // another provider, a cloud, government: no personal data, no text, no prices
  kPublic,    // the story and its evidence: no infrastructure, templates or attribution either
};
const char* AudienceName(Audience a);  // "internal"
std::optional<Audience> AudienceNamed(std::string_view name);

// One kind of thing and what becomes of it, for the preview and for the page's own footer.
struct Redaction {
  std::string what;    // "account ids"
  uint64_t count = 0;  // how many are in the campaign
  bool leaves = false;
};

// Takes out of `campaign` what `audience` may not see, and says of everything that is personal,
// secret or somebody's text whether it leaves. Members keep their verdicts and figures under
// running numbers for a partner, and are gone for the public.
std::vector<Redaction> Redact(Audience audience, model::Campaign* campaign);

}  // namespace stillwatch::dossier
