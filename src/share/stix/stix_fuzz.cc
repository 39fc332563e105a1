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

namespace {

// Of every item that is read: a rhythm is whole days of half hours, each -7 to 7.
void Check(const share::Item& item) {
  int32_t first = 0;
  const auto halves = item.HalfHours(&first);
  if (first < 0 || halves.size() % share::kHalfHours != 0 ||
      halves.size() > share::kRhythmDays * share::kHalfHours)
    std::abort();
  for (const int8_t h : halves)
    if (h < -7 || h > 7) std::abort();
  if (item.Hashes().size() > share::kSketchHashes) std::abort();
}

}  // namespace

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
    for (const auto& i : bundle->indicators) Check(i.item);
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
    Check(*item);
    const auto written = share::stix::PatternOf(*item, "00000000000000aa");
    if (written.pattern_type == share::stix::kPatternType &&
        share::stix::ParseOwnPattern(written.pattern) != *item)
      std::abort();
  }
  (void)share::stix::JsonFault(text, 32);
  return 0;
}
