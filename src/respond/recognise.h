// An index from shingle hashes to the templates and requests of accused campaigns.
//
// A request is looked up hash by hash; what shares enough hashes with it is compared in full. The
// work for a request is bounded by its own hashes: a hash leads to kPostingMax patterns at most.
// A pattern is indexed by its kSampled rarest hashes, rare among patterns. A request that holds a
// share s of a pattern holds each of these with probability about s.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

#include "respond/policy.h"

namespace stillwatch::respond {

inline constexpr size_t kPostingMax = 32;
inline constexpr size_t kSampled = 8;
inline constexpr size_t kSketchHitsMin = 3;         // of them, before a request is compared
inline constexpr size_t kCandidatesMax = 64;        // compared in full
inline constexpr size_t kMatchesMax = 16;           // told
inline constexpr size_t kRequestHashesMax = 128;    // system and turn, read of a request
inline constexpr double kSketchSimilarityMin = .8;  // "near-identical", whatever a rule says
inline constexpr size_t kCommonMin = 3;             // hashes in common, whatever the share

struct Pattern {
  By by = By::kTemplate;  // kTemplate or kSketch; templates first, so that they outlive kPostingMax
  uint32_t campaign = 0;  // number, as the snapshot has it
  std::vector<uint32_t> hashes;  // ascending, distinct, kPatternHashesMin at least
  auto operator<=>(const Pattern&) const = default;
};

struct PatternMatch {
  uint32_t campaign;
  By by;
  double similarity;  // containment of a template, Jaccard of a request
};

// Immutable once built; equal patterns in any order give equal bytes.
class PatternIndex {
 public:
  PatternIndex() = default;
  explicit PatternIndex(std::vector<Pattern> patterns);
  // Best first, one for each campaign and kind. `system` and `turn` ascend and are distinct.
  // Templates with less than `least` of their hashes are not told. Returns how many were written.
  size_t Find(std::span<const uint32_t> system, std::span<const uint32_t> turn, double least,
              PatternMatch (&out)[kMatchesMax]) const;
  // The patterns that match, by their place in the constructor's argument once it was sorted and
  // rid of repetitions; in no order, each once.
  void FindAll(std::span<const uint32_t> system, std::span<const uint32_t> turn, double least,
               std::vector<uint32_t>* out) const;
  bool empty() const { return patterns_.empty(); }
  size_t bytes() const;
  uint64_t Hash(uint64_t seed) const;  // of its content

 private:
  struct Hit {
    uint32_t pattern;
    double similarity;
  };
  size_t Compare(std::span<const uint32_t> system, std::span<const uint32_t> turn, double least,
                 Hit (&out)[kCandidatesMax]) const;
  struct Stored {
    uint32_t begin, campaign, size;
    By by;
  };
  struct Slot {
    uint32_t hash, value;  // of kMany: where the posting begins; else a pattern
  };
  static constexpr uint32_t kFree = UINT32_MAX, kMany = uint32_t{1} << 31;
  size_t Place(uint32_t hash) const {
    return static_cast<size_t>(uint64_t{hash * 0x9e3779b1u} * slots_.size() >> 32);
  }
  std::vector<Stored> patterns_;
  std::vector<uint32_t> hashes_;    // of all patterns
  std::vector<uint32_t> postings_;  // length, then patterns
  std::vector<Slot> slots_;
  // One bit for each hash's place among many: most hashes of most requests end here.
  std::vector<uint64_t> filter_;
  uint32_t filter_shift_ = 0;
};

}  // namespace stillwatch::respond
