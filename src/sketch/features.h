// What a text aims at, learned from src/sketch/corpus.txt: phrases of our own in eight languages,
// each with its capability and its signs of purpose. Naive Bayes over words and pairs of words;
// the weights are counted from the corpus once, at start (about 2 ms).
#pragma once

#include <span>
#include <string_view>

#include "model/sketch.h"
#include "sketch/words.h"

namespace stillwatch::sketch {

// Pure and thread-safe. Reads the system prompt's and the turn's first and last 64 words.
model::TextFeatures Features(std::string_view system, std::string_view turn,
                             std::string_view response, const Words& system_words,
                             const Words& turn_words, std::span<const std::string_view> tools,
                             uint32_t messages);

}  // namespace stillwatch::sketch
