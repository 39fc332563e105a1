// Any bytes may be a scenario file: it ends in a scenario or an error, and what is accepted can be
// written out and read again.
#include <cstdlib>

#include "simulate/presets.h"
#include "simulate/scenario.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::simulate;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto scenario = ReadScenario("fuzz", text, FindPreset);
  if (!scenario.ok()) return 0;
  const std::string once = ScenarioYaml(*scenario);
  const auto again = ReadScenario("again", once, FindPreset);
  if (!again.ok() || ScenarioYaml(*again) != once) std::abort();
  Scenario scaled = *again;
  (void)Scale(.01, &scaled);
  return 0;
}
