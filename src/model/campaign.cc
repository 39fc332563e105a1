#include "model/campaign.h"

namespace stillwatch::model {

const char* VerdictName(Verdict v) {
  static constexpr const char* kNames[kVerdicts] = {"distillation", "coordinated-other",
                                                    "shared-tool",  "evaluation",
                                                    "permitted",    "unresolved"};
  return kNames[static_cast<int>(v)];
}

const char* FamilyName(Family f) {
  static constexpr const char* kNames[kFamilies] = {"network", "client", "enrolment", "payment",
                                                    "text",    "manner", "rhythm",    "replay",
                                                    "purpose", "shared"};
  return kNames[static_cast<int>(f)];
}

std::optional<Verdict> VerdictNamed(std::string_view name) {
  for (int v = 0; v < kVerdicts; ++v)
    if (name == VerdictName(static_cast<Verdict>(v))) return static_cast<Verdict>(v);
  return std::nullopt;
}

std::optional<Family> FamilyNamed(std::string_view name) {
  for (int f = 0; f < kFamilies; ++f)
    if (name == FamilyName(static_cast<Family>(f))) return static_cast<Family>(f);
  return std::nullopt;
}

const char* LikelihoodWords(double p) {
  if (p < .05) return "almost no chance";
  if (p < .20) return "very unlikely";
  if (p < .45) return "unlikely";
  if (p <= .55) return "roughly even chance";
  if (p <= .80) return "likely";
  if (p <= .95) return "very likely";
  return "almost certain";
}

}  // namespace stillwatch::model
