#include "watch/sample.h"

#include <algorithm>
#include <utility>

namespace stillwatch::watch {

void Sampler::Add(uint64_t hash) {
  if (keep_ == 0 || hash >= below_) return;
  hashes_.push_back(hash);
  if (hashes_.size() >= 2 * keep_) Shrink();
}

void Sampler::Shrink() {
  std::sort(hashes_.begin(), hashes_.end());
  hashes_.erase(std::unique(hashes_.begin(), hashes_.end()), hashes_.end());
  if (hashes_.size() < keep_) return;
  hashes_.resize(keep_);
  below_ = hashes_.back();
}

std::vector<uint64_t> Sampler::Take() {
  Shrink();
  below_ = UINT64_MAX;
  return std::exchange(hashes_, {});
}

Overlap Compare(const Sample& a, const Sample& b) {
  Overlap o;
  uint64_t top = UINT64_MAX;
  for (const Sample* s : {&a, &b}) {
    if (s->hashes.empty()) return o;
    if (s->hashes.size() < s->size) top = std::min(top, s->hashes.back());
  }
  for (auto i = a.hashes.begin(), j = b.hashes.begin();;) {
    const bool in_a = i != a.hashes.end() && *i <= top, in_b = j != b.hashes.end() && *j <= top;
    if (!in_a && !in_b) break;
    if (in_a && in_b && *i == *j) {
      ++o.both, ++o.of_a, ++o.of_b, ++i, ++j;
    } else if (in_a && (!in_b || *i < *j)) {
      ++o.of_a, ++i;
    } else {
      ++o.of_b, ++j;
    }
  }
  if (o.both > 0) {
    // From the side of which the larger share was seen: what lies within the other whole is known
    // exactly.
    const auto of_a = o.ShareOfA() * static_cast<double>(a.size);
    const auto of_b = o.ShareOfB() * static_cast<double>(b.size);
    o.shared = o.ShareOfA() == o.ShareOfB()  ? std::min(of_a, of_b)
               : o.ShareOfA() > o.ShareOfB() ? of_a
                                             : of_b;
    o.shared = std::min(o.shared, static_cast<double>(std::min(a.size, b.size)));
  }
  return o;
}

std::vector<std::pair<uint32_t, uint32_t>> Meeting(const std::vector<const Sample*>& a,
                                                   const std::vector<const Sample*>& b) {
  std::vector<std::pair<uint64_t, uint32_t>> of_a, of_b;
  const auto list = [](const std::vector<const Sample*>& from, auto* to) {
    for (uint32_t i = 0; i < from.size(); ++i)
      for (const uint64_t h : from[i]->hashes) to->push_back({h, i});
    std::sort(to->begin(), to->end());
  };
  list(a, &of_a);
  list(b, &of_b);
  std::vector<std::pair<uint32_t, uint32_t>> out;
  for (auto i = of_a.begin(), j = of_b.begin(); i != of_a.end() && j != of_b.end();) {
    if (i->first < j->first) {
      ++i;
    } else if (j->first < i->first) {
      ++j;
    } else {
      for (auto k = j; k != of_b.end() && k->first == i->first; ++k)
        out.push_back({i->second, k->second});
      ++i;
    }
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace stillwatch::watch
