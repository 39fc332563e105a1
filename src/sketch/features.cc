#include "sketch/features.h"

#include <algorithm>
#include <bit>

namespace stillwatch::sketch {
namespace {

constexpr int kClasses = model::kCapabilities;
constexpr int kSigns = 7;
constexpr size_t kEndWords = 64;
static_assert(2 * 2 * 2 * kEndWords * 40 < 32'767, "a score cannot overflow");

// floor(2 log2(1 + words)).
uint8_t Length(size_t words) {
  const uint64_t n = std::min<uint64_t>(words, (1u << 31) - 1) + 1;
  const int log2 = std::bit_width(n) - 1;
  return static_cast<uint8_t>(2 * log2 + (n * n >> (2 * log2 + 1) != 0));
}

uint8_t Language(const Words& words) {
  return static_cast<uint8_t>(std::max_element(words.letters.begin(), words.letters.end()) -
                              words.letters.begin());
}

void ScoreEnds(const Kernel& kernel, const Words& words, Score* score) {
  const std::span<const uint32_t> all(words.hash.data(), words.size);
  if (all.size() <= 2 * kEndWords) return kernel.score(Learned(), all, score);
  kernel.score(Learned(), all.first(kEndWords), score);
  kernel.score(Learned(), all.last(kEndWords), score);
}

}  // namespace

model::TextFeatures Features(const Kernel& kernel, const Request& request) {
  const Words &system = request.system_words, &turn = request.turn_words;
  Score score{};
  ScoreEnds(kernel, system, &score);
  ScoreEnds(kernel, turn, &score);
  model::TextFeatures f;
  f.language = Language(request.turn.empty() ? system : turn);
  f.format = kernel.format(request.turn);
  if (f.format & 1) score[static_cast<int>(model::Capability::kSoftwareEngineering)] += 40;
  if (request.tools) score[static_cast<int>(model::Capability::kToolUse)] += 24;
  f.turn_length = Length(turn.size);
  f.response_length =
      request.response_bytes == 0 ? 0 : std::max<uint8_t>(1, Length(request.response_bytes / 6));
  f.messages = static_cast<uint8_t>(std::min<uint32_t>(request.messages, 255));
  int best = kClasses - 1;
  for (int c = 0; c < kClasses - 1; ++c) {
    if (score[c] > score[best]) best = c;
  }
  // Less than four bits of evidence: nothing in particular.
  if (best != kClasses - 1 && score[best] >= 32)
    f.capability = static_cast<model::Capability>(best);
  for (int s = 0; s < kSigns; ++s) {
    if (score[kClasses + s] >= 48) f.purpose |= static_cast<uint16_t>(1 << s);
  }
  return f;
}

}  // namespace stillwatch::sketch
