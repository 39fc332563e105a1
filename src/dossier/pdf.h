// A page as PDF, by an installed Chromium; there is none without it.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace stillwatch::dossier {

inline constexpr int kPdfSecondsMax = 120;  // for one page; then Chromium is killed

// Where Chromium is: $CHROMIUM, or chromium, chromium-browser, google-chrome on the PATH. Empty:
// none.
std::string FindChromium();

// The page as PDF; it names its paper (@page). Chromium runs without network or a profile
// of the user. The times that it writes into the file are set to 1970, so that the same page
// gives the same bytes. DeadlineExceeded, or Unavailable with what Chromium said.
absl::StatusOr<std::string> PrintPdf(const std::string& chromium, const std::string& html);

}  // namespace stillwatch::dossier
