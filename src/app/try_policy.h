// A policy tried on the lake's last day, for /api/v1.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "lake/lake.h"
#include "respond/dry_run.h"
#include "serve/api/api.h"

namespace stillwatch::app {

// FailedPrecondition with the count when enforcing it would lock out too many; Unavailable when the
// lake cannot be read.
absl::StatusOr<serve::TriedPolicy> TryPolicy(const respond::Snapshot& candidate, lake::Lake* lake,
                                             int64_t now_ms);

// The report as people read it: who would be met by what, by rule and by kind of customer.
std::string DryRunJson(const respond::DryRunReport& report);

}  // namespace stillwatch::app
