#include "model/sketch.h"

namespace stillwatch::model {

const char* CapabilityName(Capability c) {
  static constexpr const char* kNames[kCapabilities] = {
      "agentic_reasoning", "tool_use", "software_engineering", "long_horizon_planning",
      "computer_use", "mathematics", "data_analysis", "grading", "trace_extraction",
      "translation", "safety_rewriting", "decision_making", "other"};
  return kNames[static_cast<int>(c)];
}

std::optional<Capability> CapabilityNamed(std::string_view name) {
  for (int c = 0; c < kCapabilities; ++c)
    if (name == CapabilityName(static_cast<Capability>(c))) return static_cast<Capability>(c);
  return std::nullopt;
}

}  // namespace stillwatch::model
