// Everything that goes into one dossier's archive.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dossier/archive.h"
#include "dossier/html.h"

namespace stillwatch::dossier {

struct PackageOptions {
  Audience audience = Audience::kInternal;
  const Figures* figures = nullptr;
  const Prices* prices = nullptr;
  const std::vector<Milestone>* milestones = nullptr;
  std::string chromium{};  // empty: no PDF
};

// index.html, campaign.json, evidence.csv, timeline.csv, accounts.csv where members may be shown,
// and dossier-a4.pdf and dossier-letter.pdf. Nothing of the campaign that the audience may not see
// is in any of them.
absl::StatusOr<std::vector<File>> Package(model::Campaign campaign, const PackageOptions& options);

}  // namespace stillwatch::dossier
