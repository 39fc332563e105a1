// Text -> Sketch: split into words, keep a bounded sample of shingles' hashes (words.h), note a few
// features.
//
// Scaffolds stand at the ends of a turn, so a third of the shingles that begin within the first or
// last kTurnWindow words is kept and the smallest few of the others beside them: a payload of any
// length changes hardly anything about what is kept of a scaffold around it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "model/sketch.h"
#include "sketch/kernel.h"
#include "sketch/words.h"

namespace stillwatch::sketch {

inline constexpr size_t kTurnWindow = 24;
inline constexpr size_t kSystemWindow = 16;

// Thread-compatible, one per worker; no allocation in steady state.
class Sketcher {
 public:
  // `kernel` must outlive it.
  explicit Sketcher(const Kernel& kernel = BestKernel()) : kernel_(kernel) {}

  // Of `response` only the length is noted: nothing links or judges by what it says. `messages`:
  // how many the request carried. Sets all of *out.
  void Sketch(std::string_view system, std::string_view turn, std::string_view response,
              std::span<const std::string_view> tools, uint32_t messages, model::Sketch* out);

 private:
  const Kernel& kernel_;
  Words system_, turn_;
};

// The record format's sketch: base64 of little-endian u32 hashes, ascending; `turn` is preceded
// by 8 bytes of TextFeatures::Pack.
struct EncodedSketch {
  std::string system, turn, response;
};
EncodedSketch Encode(const model::Sketch& sketch);

// InvalidArgument for another version, bad base64, a length that is no whole number of hashes,
// more than 64 of them, or hashes that do not ascend.
absl::Status Decode(int version, std::string_view system, std::string_view turn,
                    std::string_view response, model::Sketch* out);

}  // namespace stillwatch::sketch
