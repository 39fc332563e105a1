// Any bytes as prices and as milestones: refused by the file's name, or within their bounds.
#include <cmath>
#include <cstdlib>

#include "dossier/figures.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::dossier;
  const std::string yaml(reinterpret_cast<const char*>(data), size);
  const auto named = [](const absl::Status& s) {
    if (!s.ok() && s.message().substr(0, 2) != "f:") std::abort();
  };
  const auto prices = ParsePrices(yaml, "f");
  named(prices.status());
  if (prices.ok()) {
    if (prices->currency.empty()) std::abort();
    for (const auto& [model, p] : prices->models) {
      for (const double each : {p.input, p.cached_input, p.output}) {
        if (!std::isfinite(each) || each < 0) std::abort();
      }
    }
  }
  const auto milestones = ParseMilestones(yaml, "f");
  named(milestones.status());
  if (milestones.ok()) {
    if (milestones->size() > kMilestonesMax) std::abort();
    for (const Milestone& m : *milestones) {
      if (m.date.size() != 10 || m.event.empty()) std::abort();
    }
  }
  return 0;
}
