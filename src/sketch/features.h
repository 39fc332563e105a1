// What a text aims at, by the words near its ends (weights.h) and the marks of its turn.
#pragma once

#include <string_view>

#include "model/sketch.h"
#include "sketch/kernel.h"
#include "sketch/words.h"

namespace stillwatch::sketch {

struct Request {
  std::string_view turn;
  const Words& system_words;
  const Words& turn_words;
  size_t response_bytes = 0;
  bool tools = false;  // any are offered
  uint32_t messages = 0;
};

// Pure and thread-safe. Reads the system prompt's and the turn's first and last 64 words and the
// turn's first kFormatBytes.
model::TextFeatures Features(const Kernel& kernel, const Request& request);

}  // namespace stillwatch::sketch
