#include "sketch/weights.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/embedded_file.h"
#include "model/sketch.h"
#include "sketch/kernel.h"

namespace stillwatch::sketch {

extern const base::EmbeddedFile kCorpusFiles[];

namespace {

constexpr int kClasses = model::kCapabilities;
constexpr int kSigns = 7;
static_assert(kClasses + kSigns <= kLanes);

template <typename F>
void ForEachFeature(std::span<const uint32_t> words, F&& f) {
  for (size_t i = 0; i < words.size(); ++i) {
    f(Weights::Bucket(words[i]));
    if (i + 1 < words.size()) f(Weights::Bucket(Pair(words[i], words[i + 1])));
  }
}

// A corpus line: capability [sign ...] "|" text. Lines of "#" are comments.
Weights Learn() {
  static constexpr const char* kSignNames[kSigns] = {"reasoning", "verbatim", "grade", "trajectory",
                                                     "dataset",   "rewrite",  "format"};
  std::vector<std::array<double, kLanes>> count(Weights::kBuckets, std::array<double, kLanes>{});
  std::vector<double> documents(Weights::kBuckets, 0);
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
    BestKernel().split(line.substr(bar + 1), &words);
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
  for (uint32_t b = 0; b < Weights::kBuckets; ++b) {
    if (b % 32 == 0) w.before[b / 32] = static_cast<uint16_t>(w.evidence.size());
    std::array<int8_t, kLanes> evidence{};
    for (int l = 0; l < kLanes && documents[b] != 0; ++l) {
      if (lines[l] == 0) continue;
      // Smoothed towards no evidence: one phrase alone says half of what three say.
      const double p = (count[b][l] + .4) / (lines[l] + 20);
      const double q = (documents[b] - count[b][l] + .4) / (all - lines[l] + 20);
      // Less than a bit either way is noise that long texts would add up.
      const double bits = std::log2(p / q);
      if (std::fabs(bits) >= 1)
        evidence[l] = static_cast<int8_t>(std::clamp(bits * 8, -24.0, 40.0));
    }
    if (evidence == std::array<int8_t, kLanes>{}) continue;
    w.known[b / 32] |= 1u << b % 32;
    w.evidence.push_back(evidence);
  }
  return w;
}

}  // namespace

const Weights& Learned() {
  static const Weights* const kWeights = new Weights(Learn());
  return *kWeights;
}

}  // namespace stillwatch::sketch
