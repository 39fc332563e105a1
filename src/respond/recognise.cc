#include "respond/recognise.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/hash.h"
#include "base/release.h"
#include "base/sorted.h"
#include "respond/snapshot.h"

namespace stillwatch::respond {
PatternIndex::PatternIndex(std::vector<Pattern> patterns) {
  std::sort(patterns.begin(), patterns.end());
  patterns.erase(std::unique(patterns.begin(), patterns.end()), patterns.end());
  std::vector<uint64_t> places;  // hash, place in hashes_
  for (const Pattern& p : patterns) {
    patterns_.push_back({static_cast<uint32_t>(hashes_.size()), p.campaign,
                         static_cast<uint32_t>(p.hashes.size()), p.by});
    for (const uint32_t h : p.hashes) {
      places.push_back(uint64_t{h} << 32 | hashes_.size());
      hashes_.push_back(h);
    }
  }
  std::sort(places.begin(), places.end());
  std::vector<uint32_t> carriers(hashes_.size());  // patterns that have the hash at that place
  for (size_t i = 0; i < places.size();) {
    size_t j = i;
    while (j < places.size() && places[j] >> 32 == places[i] >> 32) ++j;
    for (size_t k = i; k < j; ++k) {
      carriers[static_cast<uint32_t>(places[k])] = static_cast<uint32_t>(j - i);
    }
    i = j;
  }
  base::Release(places);

  std::vector<std::pair<uint32_t, uint32_t>> pairs;  // hash, pattern
  std::vector<uint32_t> sample;
  for (size_t i = 0; i < patterns_.size(); ++i) {
    const Stored& p = patterns_[i];
    sample.resize(p.size);
    std::iota(sample.begin(), sample.end(), p.begin);
    const size_t n = std::min<size_t>(kSampled, p.size);
    std::partial_sort(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(n), sample.end(),
                      [&](uint32_t a, uint32_t b) {
                        if (carriers[a] != carriers[b]) return carriers[a] < carriers[b];
                        return base::Mix64(hashes_[a]) < base::Mix64(hashes_[b]);
                      });
    for (size_t k = 0; k < n; ++k) pairs.push_back({hashes_[sample[k]], static_cast<uint32_t>(i)});
  }
  std::sort(pairs.begin(), pairs.end());
  size_t distinct = 0;
  for (size_t i = 0; i < pairs.size(); ++i)
    distinct += i == 0 || pairs[i].first != pairs[i - 1].first;
  if (distinct == 0) return;
  slots_.assign(distinct + distinct / 2 + 8, {0, kFree});
  const int bits = std::clamp(static_cast<int>(std::bit_width(distinct)) + 3, 12, 26);
  filter_shift_ = static_cast<uint32_t>(32 - bits);
  filter_.assign((size_t{1} << bits) / 64, 0);
  for (size_t i = 0; i < pairs.size();) {
    size_t j = i;
    while (j < pairs.size() && pairs[j].first == pairs[i].first) ++j;
    const uint32_t hash = pairs[i].first;
    uint32_t value = pairs[i].second;
    if (j - i > 1) {
      value = kMany | static_cast<uint32_t>(postings_.size());
      const size_t n = std::min(j - i, kPostingMax);
      postings_.push_back(static_cast<uint32_t>(n));
      for (size_t k = i; k < i + n; ++k) postings_.push_back(pairs[k].second);
    }
    size_t at = Place(hash);
    while (slots_[at].value != kFree) at = at + 1 == slots_.size() ? 0 : at + 1;
    slots_[at] = {hash, value};
    const uint32_t bit = hash * 0x9e3779b1u >> filter_shift_;
    filter_[bit / 64] |= uint64_t{1} << bit % 64;
    i = j;
  }
  patterns_.shrink_to_fit();
  hashes_.shrink_to_fit();
  postings_.shrink_to_fit();
}

size_t PatternIndex::Compare(std::span<const uint32_t> system, std::span<const uint32_t> turn,
                             double least, Hit (&out)[kCandidatesMax]) const {
  if (slots_.empty()) return 0;
  uint32_t hashes[kRequestHashesMax];
  const size_t half = kRequestHashesMax / 2;
  const auto all = std::set_union(
      system.begin(), system.begin() + static_cast<std::ptrdiff_t>(std::min(system.size(), half)),
      turn.begin(), turn.begin() + static_cast<std::ptrdiff_t>(std::min(turn.size(), half)),
      hashes);
  const std::span<const uint32_t> request(hashes, static_cast<size_t>(all - hashes));

  uint32_t hits[kRequestHashesMax * kPostingMax];
  size_t n = 0;
  for (const uint32_t h : request) {
    const uint32_t bit = h * 0x9e3779b1u >> filter_shift_;
    if ((filter_[bit / 64] >> bit % 64 & 1) == 0) continue;
    for (size_t at = Place(h); slots_[at].value != kFree;
         at = at + 1 == slots_.size() ? 0 : at + 1) {
      if (slots_[at].hash != h) continue;
      const uint32_t value = slots_[at].value;
      if ((value & kMany) == 0) {
        hits[n++] = value;
      } else {
        const uint32_t* posting = &postings_[value & ~kMany];
        for (uint32_t i = 1; i <= posting[0]; ++i) hits[n++] = posting[i];
      }
      break;
    }
  }
  if (n == 0) return 0;
  std::sort(hits, hits + n);
  struct Candidate {
    uint32_t hits, pattern;
  };
  Candidate candidates[kRequestHashesMax * kPostingMax];
  size_t candidate_count = 0;
  for (size_t i = 0; i < n;) {
    size_t j = i;
    while (j < n && hits[j] == hits[i]) ++j;
    if (patterns_[hits[i]].by == By::kTemplate || j - i >= kSketchHitsMin) {
      candidates[candidate_count++] = {static_cast<uint32_t>(j - i), hits[i]};
    }
    i = j;
  }
  const auto most_hits = [](const Candidate& a, const Candidate& b) {
    return a.hits != b.hits ? a.hits > b.hits : a.pattern < b.pattern;
  };
  if (candidate_count > kCandidatesMax) {
    std::nth_element(candidates, candidates + kCandidatesMax, candidates + candidate_count,
                     most_hits);
    candidate_count = kCandidatesMax;
  }
  size_t found_count = 0;
  for (size_t i = 0; i < candidate_count; ++i) {
    const Stored& p = patterns_[candidates[i].pattern];
    const std::span<const uint32_t> of(&hashes_[p.begin], p.size);
    const bool whole = p.by == By::kTemplate;
    const size_t common = base::CountCommon(of, whole ? request : turn);
    const size_t total = whole ? of.size() : of.size() + turn.size() - common;
    const double similarity = static_cast<double>(common) / static_cast<double>(total);
    if (common < kCommonMin ||
        similarity < (whole ? least : std::max(least, kSketchSimilarityMin))) {
      continue;
    }
    out[found_count++] = {candidates[i].pattern, similarity};
  }
  return found_count;
}

void PatternIndex::FindAll(std::span<const uint32_t> system, std::span<const uint32_t> turn,
                           double least, std::vector<uint32_t>* out) const {
  Hit hits[kCandidatesMax];
  const size_t n = Compare(system, turn, least, hits);
  out->clear();
  for (size_t i = 0; i < n; ++i) out->push_back(hits[i].pattern);
}

size_t PatternIndex::Find(std::span<const uint32_t> system, std::span<const uint32_t> turn,
                          double least, PatternMatch (&out)[kMatchesMax]) const {
  Hit hits[kCandidatesMax];
  size_t found_count = Compare(system, turn, least, hits);
  PatternMatch found[kCandidatesMax];
  for (size_t i = 0; i < found_count; ++i) {
    const Stored& p = patterns_[hits[i].pattern];
    found[i] = {p.campaign, p.by, hits[i].similarity};
  }
  // One of each campaign and kind, the most similar.
  std::sort(found, found + found_count, [](const PatternMatch& a, const PatternMatch& b) {
    if (a.campaign != b.campaign) return a.campaign < b.campaign;
    if (a.by != b.by) return a.by < b.by;
    return a.similarity > b.similarity;
  });
  const auto* end = std::unique(found, found + found_count, [](const auto& a, const auto& b) {
    return a.campaign == b.campaign && a.by == b.by;
  });
  found_count = static_cast<size_t>(end - found);
  std::stable_sort(found, found + found_count,
                   [](const auto& a, const auto& b) { return a.similarity > b.similarity; });
  found_count = std::min(found_count, kMatchesMax);
  std::copy(found, found + found_count, out);
  return found_count;
}

size_t PatternIndex::bytes() const {
  return patterns_.capacity() * sizeof(Stored) + hashes_.capacity() * sizeof(uint32_t) +
         postings_.capacity() * sizeof(uint32_t) + slots_.capacity() * sizeof(Slot) +
         filter_.capacity() * sizeof(uint64_t);
}

uint64_t PatternIndex::Hash(uint64_t seed) const {
  for (const Stored& p : patterns_) {
    seed = base::Combine64(
        seed, uint64_t{p.campaign} << 32 | uint64_t{p.size} << 8 | static_cast<uint64_t>(p.by));
  }
  for (const uint32_t h : hashes_) seed = base::Combine64(seed, h);
  for (const uint32_t v : postings_) seed = base::Combine64(seed, v);
  return seed;
}

}  // namespace stillwatch::respond
