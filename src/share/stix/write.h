// A Release as a STIX 2.1 bundle. Pure, thread-safe: the same bytes for the same arguments.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "share/gate.h"

namespace stillwatch::share::stix {

inline constexpr int64_t kSketchDays = 180,
                         kTraitDays = 60;  // an indicator's validity, from last seen

struct WriteOptions {
  std::string issuer;  // who says so, as others know the organisation; required
  int64_t now_ms = 0;  // of this version; required
  std::string tlp;     // level of TLP 2.0; empty: clear for the public, amber for others
  // A person's opinion of the campaigns: "strongly-disagree" to "strongly-agree"; empty: none.
  std::string opinion;
  // The bundle that was issued before, to the same audience: objects keep the time of their
  // creation, what has not changed its version, and what is no longer released is revoked. An id
  // that was revoked is not used again. Empty: none was.
  std::string_view previous;
};

// InvalidArgument when an option makes no sense, or `previous` is no bundle of this issuer's or of
// a later time than now_ms. The result passes Read.
absl::StatusOr<std::string> Write(const Release& release, const WriteOptions& options);

// Nothing of `previous` holds any longer: the same bundle, revoked.
absl::StatusOr<std::string> Revoke(const WriteOptions& options);

// Confidence in the middle of the band that holds a probability: 5, 15, 30, 50, 70, 85 or 95
// (appendix A of STIX 2.1, "WEP" scale of words of estimative probability).
int ConfidenceBand(double probability);

}  // namespace stillwatch::share::stix
