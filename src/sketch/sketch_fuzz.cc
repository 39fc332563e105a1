// Any bytes as a text: the implementations agree, a sketch keeps its bounds and survives the record
// format; and any bytes as a sketch in that format: refused, or read as what writes them again.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "sketch/test_kernels.h"

namespace {

using namespace stillwatch;

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "sketch_fuzz: %s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const sketch::Kernel* avx2 = sketch::Avx2Kernel()) {
    const std::string difference = sketch::Difference(*avx2, bytes);
    Require(difference.empty(), difference.c_str());
  }

  static sketch::Sketcher scalar(sketch::kScalarKernel), best;
  model::Sketch sketches[2];
  const std::string_view system = bytes.substr(0, bytes.find('\0'));
  const std::string_view turn = bytes.substr(system.size());
  scalar.Sketch(system, turn, turn, {}, 2, &sketches[0]);
  best.Sketch(system, turn, turn, {}, 2, &sketches[1]);
  const sketch::EncodedSketch one = sketch::Encode(sketches[0]), two = sketch::Encode(sketches[1]);
  Require(one.system == two.system && one.turn == two.turn, "sketches differ");
  model::Sketch back;
  Require(sketch::Decode(model::kSketchVersion, one.system, one.turn, one.response, &back).ok(),
          "a sketch of our own is refused");
  Require(back.system == sketches[0].system && back.turn == sketches[0].turn &&
              back.features.Pack() == sketches[0].features.Pack(),
          "a sketch changes on its way through the record format");

  if (sketch::Decode(model::kSketchVersion, system, turn, system, &back).ok()) {
    model::Sketch again;
    const sketch::EncodedSketch encoded = sketch::Encode(back);
    Require(sketch::Decode(model::kSketchVersion, encoded.system, encoded.turn, encoded.response,
                           &again)
                    .ok() &&
                again.system == back.system && again.turn == back.turn &&
                again.response == back.response,
            "a foreign sketch changes on its way through the record format");
  }
  return 0;
}
