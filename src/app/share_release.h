// What the command line and the service do alike on the way to an export.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lake/lake.h"
#include "model/campaign.h"
#include "share/gate.h"
#include "state/types.h"

namespace stillwatch::app {

inline constexpr size_t kBundleBytes = size_t{256} << 20;  // of a file that is read

// A file's bytes. NotFound when it cannot be read, InvalidArgument when it is longer.
absl::StatusOr<std::string> ReadWhole(const std::string& path, size_t bytes_max);

// Of a file that `stillwatch share key` wrote and only its owner may read.
absl::StatusOr<share::BlindingKey> ReadBlindingKey(const std::string& path);

// Counts what of the campaigns might leave and puts it to the gate. InvalidArgument when one of
// them is judged neither a distillation nor unresolved: nothing else is anybody else's business.
absl::StatusOr<share::Release> Release(const std::vector<const model::Campaign*>& campaigns,
                                       share::Audience audience, const share::BlindingKey* key,
                                       lake::Lake* lake);

struct ExportOptions {
  std::string format = "stix";  // stix, misp-event, misp-feed
  std::string issuer, tlp, opinion;
  int64_t now_ms = 0;
  std::string previous;  // of stix: the bundle that was issued before; empty: none
};
using state::ExportFile;
absl::StatusOr<std::vector<ExportFile>> Render(const share::Release& release,
                                               const ExportOptions& options);

// JSON object for the preview and the audit log: what leaves by type and form, what stays and why.
// Counts alone, never a value.
std::string Summary(const share::Release& release);
// A file, "-" for stdout, or of several a folder, in which a reader finds what its manifest names
// and nothing of events that no longer hold.
absl::Status WriteExport(const std::string& to, const std::vector<ExportFile>& files);

}  // namespace stillwatch::app
