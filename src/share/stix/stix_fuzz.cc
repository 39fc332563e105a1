// Any bytes as a bundle, an object and patterns: refused with a place, or read; what is read is
// valid again when it is put together anew, and patterns give their item back.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/str.h"
#include "share/stix/json_fault.h"
#include "share/stix/pattern.h"
#include "share/stix/read.h"

using namespace stillwatch;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  share::stix::ReadLimits limits;
  limits.objects = 256;
  const auto bundle = share::stix::Read(text, limits);
  if (!bundle.ok()) {
    // Every refusal begins with a JSON pointer.
    const std::string_view what(bundle.status().message().data(), bundle.status().message().size());
    if (what.empty() || (what[0] != '/' && what[0] != ':')) std::abort();
  } else {
    std::string again =
        base::StrCat("{\"type\":\"bundle\",\"id\":\"", bundle->id, "\",\"objects\":[");
    for (size_t i = 0; i < bundle->objects.size(); ++i)
      base::StrAppend(&again, i ? "," : "", bundle->objects[i].json);
    const auto second = share::stix::Read(again + "]}", limits);
    if (!second.ok() || second->indicators.size() != bundle->indicators.size()) std::abort();
    for (size_t i = 0; i < bundle->indicators.size(); ++i)
      if (second->indicators[i].item != bundle->indicators[i].item) std::abort();
  }
  (void)share::stix::ReadObject(text, limits);
  if (const auto pattern = share::stix::ParsePattern(text); pattern.ok()) {
    if (const auto item = share::stix::ItemOf(*pattern)) {
      const auto written = share::stix::PatternOf(*item, "00000000000000aa");
      const auto parsed = share::stix::ParsePattern(written.pattern);
      if (written.pattern_type == "stix" && (!parsed.ok() || share::stix::ItemOf(*parsed) != *item))
        std::abort();
    }
  }
  if (const auto item = share::stix::ParseOwnPattern(text)) {
    const auto written = share::stix::PatternOf(*item, "00000000000000aa");
    if (written.pattern_type == share::stix::kPatternType &&
        share::stix::ParseOwnPattern(written.pattern) != *item)
      std::abort();
  }
  (void)share::stix::JsonFault(text, 32);
  return 0;
}
