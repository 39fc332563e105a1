// Any text as an encoded sketch: refused, or within its bounds and written back as it was.
// The three parts stand on lines of their own.
#include <cstdlib>

#include "sketch/sketcher.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::string_view part[3];
  for (std::string_view& p : part) {
    p = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), p.size() + 1));
  }
  model::Sketch sketch, again;
  if (!sketch::Decode(model::kSketchVersion, part[0], part[1], part[2], &sketch).ok()) return 0;
  const sketch::EncodedSketch text = sketch::Encode(sketch);
  if (!sketch::Decode(model::kSketchVersion, text.system, text.turn, text.response, &again).ok()) {
    std::abort();
  }
  const sketch::EncodedSketch twice = sketch::Encode(again);
  if (twice.system != text.system || twice.turn != text.turn || twice.response != text.response) {
    std::abort();
  }
  return 0;
}
