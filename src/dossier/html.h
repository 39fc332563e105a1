// A campaign written down for people: one self-contained page, no script, no network.
#pragma once

#include <string>
#include <vector>

#include "dossier/audience.h"
#include "dossier/figures.h"
#include "model/campaign.h"

namespace stillwatch::dossier {

// What stands in a dossier beside the campaign; all optional but the audience.
struct Context {
  Audience audience = Audience::kInternal;
  std::vector<Redaction> redactions{};  // Redact's answer for this campaign
  const Figures* figures = nullptr;     // of the kept lake
  const Prices* prices = nullptr;       // with figures, for the internal audience
  const std::vector<Milestone>* milestones = nullptr;
  Intervals intervals{};     // MembershipIntervals before anything was redacted
  const char* paper = "A4";  // or "Letter"; for print
};

// Every string from a log is escaped. About 60 kB for a campaign of 25,000 accounts: the first
// kMembersShown are listed, the rest are in accounts.csv. The same bytes for the same arguments.
inline constexpr size_t kMembersShown = 200;
std::string RenderDossier(const model::Campaign& campaign, const Context& context);

}  // namespace stillwatch::dossier
