// Any text as a time: what is accepted is written in full and reads back as the same instant.
#include <cstdlib>

#include "base/time.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::base;
  const auto ms = ParseRfc3339({reinterpret_cast<const char*>(data), size});
  if (!ms) return 0;
  // Four digits of year; an offset may reach a day beyond.
  static constexpr int64_t kFirst = -62'167'219'200'000, kLast = 253'402'300'799'999;
  if (*ms < kFirst - kMsPerDay || *ms > kLast + kMsPerDay) std::abort();
  if (*ms < kFirst || *ms > kLast) return 0;
  const std::string text = FormatRfc3339(*ms);
  if (text.size() != 24 || ParseRfc3339(text) != ms) std::abort();
  return 0;
}
