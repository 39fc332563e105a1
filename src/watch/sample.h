// A set of ids by its smallest hashes: what is needed to tell how far two sets overlap.
// Bottom-k sampling (Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007).
// Pure; values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace stillwatch::watch {

struct Sample {
  std::vector<uint64_t> hashes;  // the smallest, ascending, each once
  uint64_t size = 0;             // of the whole set

  bool operator==(const Sample&) const = default;
};

// Collects the `keep` smallest of the hashes that it is given, in any order; a hash given twice
// counts once as long as it is among them. `size` is left to the caller. Bytes: 16 * keep.
class Sampler {
 public:
  explicit Sampler(size_t keep) : keep_(keep) {}
  void Add(uint64_t hash);
  std::vector<uint64_t> Take();  // and starts anew

 private:
  void Shrink();
  size_t keep_;
  uint64_t below_ = UINT64_MAX;
  std::vector<uint64_t> hashes_;  // up to 2 * keep_, unsorted
};

// How far two sets overlap, told from what both samples can see: hashes up to the smaller of
// their largest, or all where a sample is its whole set.
struct Overlap {
  uint64_t both = 0, of_a = 0, of_b = 0;  // hashes seen
  double shared = 0;                      // estimated members in common; 0 when none was seen
  double ShareOfA() const { return of_a == 0 ? 0 : static_cast<double>(both) / static_cast<double>(of_a); }
  double ShareOfB() const { return of_b == 0 ? 0 : static_cast<double>(both) / static_cast<double>(of_b); }
};
Overlap Compare(const Sample& a, const Sample& b);

// Pairs of indices whose samples have a hash in common, ascending.
std::vector<std::pair<uint32_t, uint32_t>> Meeting(const std::vector<const Sample*>& a,
                                                   const std::vector<const Sample*>& b);

}  // namespace stillwatch::watch
