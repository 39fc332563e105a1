// Any bytes as the configuration of `serve`: problems with a place, or what is printed reads back
// as the same.
#include <cstdlib>

#include "app/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::app;
  std::vector<Problem> problems;
  const Config config = ParseConfig({reinterpret_cast<const char*>(data), size}, &problems);
  if (problems.size() > kProblemsMax) std::abort();
  for (const Problem& p : problems) {
    if (p.what.empty() || p.line < 0) std::abort();
  }
  if (!problems.empty()) return 0;
  const std::string printed = PrintConfig(config);
  const Config again = ParseConfig(printed, &problems);
  if (!problems.empty() || PrintConfig(again) != printed || !ChangedKeys(config, again).empty())
    std::abort();
  return 0;
}
