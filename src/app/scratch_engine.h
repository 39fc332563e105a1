// An embedded engine without a lake of its own, for taking foreign formats apart.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/str.h"
#include "lake/embedded/embedded_lake.h"
#include "lake/lake.h"

namespace stillwatch::app {

// Its folder lies in the one that is named, and goes with it. Outlives the sources that it feeds.
class ScratchEngine {
 public:
  ScratchEngine() = default;
  ~ScratchEngine() {
    lake_.reset();
    std::error_code ignored;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }
  ScratchEngine(const ScratchEngine&) = delete;
  ScratchEngine& operator=(const ScratchEngine&) = delete;
  // Errors of lake::OpenEmbedded.
  absl::Status Open(const std::string& in, int threads) {
    folder_ = base::StrCat(in, "/.engine-", getpid());
    auto lake = lake::OpenEmbedded({.path = folder_, .threads = threads});
    if (!lake.ok()) return lake.status();
    lake_ = *std::move(lake);
    return absl::OkStatus();
  }
  lake::Lake* lake() { return lake_.get(); }

 private:
  std::string folder_;
  std::unique_ptr<lake::Lake> lake_;
};

}  // namespace stillwatch::app
