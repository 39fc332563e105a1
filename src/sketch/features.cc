#include "sketch/features.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/embedded_file.h"

namespace stillwatch::sketch {

extern const base::EmbeddedFile kCorpusFiles[];

namespace {

constexpr int kClasses = model::kCapabilities;
constexpr int kSigns = 7;
constexpr int kLanes = 32;  // 13 capabilities, 7 signs, padding: one AVX2 register of bytes
constexpr size_t kBuckets = 1 << 15;
constexpr size_t kEndWords = 64;

struct Weights {
  // Per bucket: evidence of each lane, in 1/8 bits.
  std::vector<std::array<int8_t, kLanes>> of = std::vector<std::array<int8_t, kLanes>>(kBuckets);
};

size_t Bucket(uint32_t feature) { return (feature * 0x9e3779b1u) >> 17; }

template <typename F>
void ForEachFeature(std::span<const uint32_t> words, F&& f) {
  for (size_t i = 0; i < words.size(); ++i) {
    f(Bucket(words[i]));
    if (i + 1 < words.size()) f(Bucket(Pair(words[i], words[i + 1])));
  }
}

// A corpus line: capability [sign ...] "|" text. Lines of "#" are comments.
Weights Learn() {
  static constexpr const char* kSignNames[kSigns] = {"reasoning", "verbatim", "grade", "trajectory",
                                                     "dataset",   "rewrite",  "format"};
  std::vector<std::array<double, kLanes>> count(kBuckets, std::array<double, kLanes>{});
  std::vector<double> documents(kBuckets, 0);
  std::array<double, kLanes> lines{};
  double all = 0;
  std::string_view rest = kCorpusFiles[0].text;
  Words words;
  std::vector<size_t> seen;
  while (!rest.empty()) {
    const size_t eol = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, eol);
    rest.remove_prefix(std::min(rest.size(), eol + 1));
    const size_t bar = line.find('|');
    if (line.empty() || line[0] == '#' || bar == std::string_view::npos) continue;
    std::array<bool, kLanes> is{};
    std::string_view labels = line.substr(0, bar);
    while (!labels.empty()) {
      const size_t space = std::min(labels.find(' '), labels.size());
      const std::string_view label = labels.substr(0, space);
      for (int c = 0; c < kClasses; ++c) {
        is[c] |= label == model::CapabilityName(static_cast<model::Capability>(c));
      }
      for (int s = 0; s < kSigns; ++s) is[kClasses + s] |= label == kSignNames[s];
      labels.remove_prefix(std::min(labels.size(), space + 1));
    }
    SplitScalar(line.substr(bar + 1), &words);
    seen.clear();
    ForEachFeature(std::span(words.hash.data(), words.size), [&](size_t b) { seen.push_back(b); });
    std::sort(seen.begin(), seen.end());
    seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
    ++all;
    for (int l = 0; l < kLanes; ++l) lines[l] += is[l];
    for (const size_t b : seen) {
      ++documents[b];
      for (int l = 0; l < kLanes; ++l) count[b][l] += is[l];
    }
  }
  Weights w;
  for (size_t b = 0; b < kBuckets; ++b) {
    if (documents[b] == 0) continue;
    for (int l = 0; l < kLanes; ++l) {
      if (lines[l] == 0) continue;
      // Smoothed towards no evidence: one phrase alone says half of what three say.
      const double p = (count[b][l] + .4) / (lines[l] + 20);
      const double q = (documents[b] - count[b][l] + .4) / (all - lines[l] + 20);
      // Less than a bit either way is noise that long texts would add up.
      const double bits = std::log2(p / q);
      w.of[b][l] = std::fabs(bits) < 1 ? 0 : static_cast<int8_t>(std::clamp(bits * 8, -24.0, 40.0));
    }
  }
  return w;
}

const Weights& Learned() {
  static const Weights* const kWeights = new Weights(Learn());
  return *kWeights;
}

bool Contains(std::string_view text, std::string_view what) {
  return text.find(what) != std::string_view::npos;
}

uint8_t Length(size_t words) {
  return static_cast<uint8_t>(std::min(255.0, std::floor(2 * std::log2(1.0 + words))));
}

uint8_t Language(const Words& words) {
  return static_cast<uint8_t>(std::max_element(words.letters.begin(), words.letters.end()) -
                              words.letters.begin());
}

uint8_t Format(std::string_view text) {
  const std::string_view t = text.substr(0, 4096);
  uint8_t f = 0;
  if (Contains(t, "```") || Contains(t, "def ") || Contains(t, "#include") || Contains(t, "();") ||
      Contains(t, "function ") || Contains(t, "SELECT "))
    f |= 1;
  if (Contains(t, "{\"") || Contains(t, "JSON") || Contains(t, "json")) f |= 2;
  if (Contains(t, "\\frac") || Contains(t, "$$") || Contains(t, " = ") || Contains(t, "^2")) f |= 4;
  if (Contains(t, "</") || Contains(t, "/>")) f |= 8;
  if (Contains(t, "\nA. ") || Contains(t, "\nA) ") || Contains(t, "(A) ")) f |= 16;
  if (Contains(t, "\n- ") || Contains(t, "\n# ") || Contains(t, "**")) f |= 32;
  if (Contains(t, "http")) f |= 64;
  if (Contains(t, "?") || Contains(t, "\xEF\xBC\x9F")) f |= 128;
  return f;
}

}  // namespace

model::TextFeatures Features(std::string_view system, std::string_view turn,
                             std::string_view response, const Words& system_words,
                             const Words& turn_words, std::span<const std::string_view> tools,
                             uint32_t messages) {
  const Weights& w = Learned();
  // At most 4 * kEndWords features of 48 at most each: no overflow.
  alignas(64) std::array<int16_t, kLanes> score{};
  static_assert(2 * 2 * 2 * kEndWords * 40 < 32'767);
  const auto add = [&](std::span<const uint32_t> words) {
    ForEachFeature(words, [&](size_t b) {
      const auto& lane = w.of[b];
      for (int l = 0; l < kLanes; ++l) score[l] += lane[l];
    });
  };
  const auto ends = [&](const Words& words) {
    const std::span<const uint32_t> all(words.hash.data(), words.size);
    if (all.size() <= 2 * kEndWords) return add(all);
    add(all.first(kEndWords));
    add(all.last(kEndWords));
  };
  ends(system_words);
  ends(turn_words);

  model::TextFeatures f;
  f.language = Language(turn.empty() ? system_words : turn_words);
  f.format = Format(turn);
  if (f.format & 1) score[static_cast<int>(model::Capability::kSoftwareEngineering)] += 40;
  if (!tools.empty()) score[static_cast<int>(model::Capability::kToolUse)] += 24;
  f.turn_length = Length(turn_words.size);
  f.response_length = response.empty() ? 0 : std::max<uint8_t>(1, Length(response.size() / 6));
  f.messages = static_cast<uint8_t>(std::min<uint32_t>(messages, 255));
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
