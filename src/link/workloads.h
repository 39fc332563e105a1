// Templates that the same accounts deal out for the same purpose are one job: a workload.
#pragma once

#include <cstdint>
#include <vector>

#include "link/log.h"
#include "link/templates.h"

namespace stillwatch::link {

struct WorkloadOptions {
  double overlap_min = .4;  // of the smaller one's carriers
  double lift_min = 3;      // times what chance would give
  uint32_t shared_min = 4;  // carriers in both, at least
  // Of the carriers that two templates dealt out of one queue would have in common.
  double dealt_min = .5;
  double purpose_min = .8;  // cosine of the capability profiles: two jobs in one pool stay apart
  // Of the exchanges by accounts that do both, in settings in which the same account does the
  // other, as a share of how many are so within the other: a relay's customers each have settings
  // of their own, on every account of it.
  double manner_min = .5;
};

struct Workload {
  std::vector<uint32_t> templates;  // indices, ascending
  size_t rows = 0;                  // of all of them
};

// Paraphrases of one scaffold have disjoint shingles and common accounts (carriers). Deterministic; every template ends up
// in exactly one workload. O(carriers per template * templates per carrier).
std::vector<Workload> FindWorkloads(const Log& log, const std::vector<Template>& templates,
                                    const WorkloadOptions& options);

}  // namespace stillwatch::link
