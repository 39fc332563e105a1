// A Release as a MISP event, or as the files of a MISP feed (MISP core format; object templates of
// the misp-objects collection). Pure, thread-safe: the same bytes for the same arguments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "share/gate.h"

namespace stillwatch::share::misp {

struct WriteOptions {
  std::string issuer;  // the organisation; required
  int64_t now_ms = 0;  // of this version; required
  std::string tlp;     // level of TLP 2.0; empty: clear for the public, amber for others
};

struct File {
  std::string name, bytes;
};

// One event for each campaign, as a list of {"Event": ...}; a single campaign's is no list.
absl::StatusOr<std::string> WriteEvent(const Release& release, const WriteOptions& options);

// manifest.json, hashes.csv and UUID.json of each event. A feed is what its folder holds: events of
// campaigns that no longer hold are for the caller to delete.
absl::StatusOr<std::vector<File>> WriteFeed(const Release& release, const WriteOptions& options);

}  // namespace stillwatch::share::misp
