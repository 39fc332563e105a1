// What reviewers' dispositions say of the detector: which share of what it raised was right, in
// all, of its accusations, by family of evidence and by the probability that it stated. Pure
// functions.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "state/types.h"

namespace stillwatch::state {

struct Judged {
  uint64_t confirmed = 0, dismissed = 0, unsure = 0;
  double stated = 0;  // sum of the probabilities of those decided
  uint64_t decided() const { return confirmed + dismissed; }
};

// The share confirmed of those decided, with its 95 % score interval (Wilson 1927), which is right
// where few were judged too. Only where something is decided.
struct ShareRight {
  double precision = 0, low = 0, high = 1;
};
ShareRight RightOf(const Judged& n);

inline constexpr std::array<double, 7> kStatedBins = {0, .5, .8, .9, .95, .99, 1};

struct Precision {
  Judged all, accused;
  std::map<std::string, Judged> families;  // of campaigns with evidence of that family
  // Of the accused, by the probability stated; those given before it was kept are left out.
  std::array<Judged, kStatedBins.size() - 1> stated;
  std::map<std::string, uint64_t> look_alikes;  // of the dismissed
};

// Of the dispositions that hold, one a campaign (State::CurrentDispositions).
Precision PrecisionOf(const std::vector<Disposition>& dispositions);

// As GET /api/v1/precision tells it (docs/openapi.yaml).
std::string PrecisionJson(const Precision& precision);

// Dispositions as GET /api/v1/dispositions gives them. InvalidArgument: which row lacks what.
absl::StatusOr<std::vector<Disposition>> ReadDispositions(const std::string& json);

}  // namespace stillwatch::state
