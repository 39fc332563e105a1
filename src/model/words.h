// Names as people read them in a sentence.
#pragma once

#include <algorithm>
#include <string>

#include "model/sketch.h"

namespace stillwatch::model {

// "safety_rewriting" -> "safety rewriting".
inline std::string Words(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}
inline std::string CapabilityWords(Capability c) { return Words(CapabilityName(c)); }

}  // namespace stillwatch::model
