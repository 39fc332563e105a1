#include "link/rhythm.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/time.h"

namespace stillwatch::link {
namespace {

constexpr double kOrdinaryExcess = .12;  // of the disclosed campaigns: .10 to .45
constexpr double kHabitPrior = 10;       // slots of the group's habit added to an account's own

struct Scale {
  double pairs = 0, expected = 0, sd = 0;
};

Scale AtScale(std::span<const Event> events, int64_t slot_ms) {
  struct Presence {
    uint32_t account;
    int32_t day, slot;
    auto operator<=>(const Presence&) const = default;
  };
  std::vector<Presence> present;
  present.reserve(events.size());
  for (const Event& e : events) {
    const int64_t day = e.ts_ms / base::kMsPerDay;
    present.push_back({e.account, static_cast<int32_t>(day),
                       static_cast<int32_t>((e.ts_ms - day * base::kMsPerDay) / slot_ms)});
  }
  std::sort(present.begin(), present.end());
  present.erase(std::unique(present.begin(), present.end()), present.end());
  Scale out;
  if (present.empty()) return out;

  const int slots = static_cast<int>(base::kMsPerDay / slot_ms);
  int32_t first = present[0].day, last = first;
  for (const auto& p : present) first = std::min(first, p.day), last = std::max(last, p.day);
  const size_t days = static_cast<size_t>(last - first) + 1;
  std::vector<double> habit(slots, 0.0);
  for (const auto& p : present) ++habit[p.slot];
  for (double& h : habit) h /= static_cast<double>(present.size());

  std::vector<double> seen(days * slots, 0.0), mean(days * slots, 0.0), own(days * slots, 0.0);
  std::vector<double> profile(slots);
  for (size_t i = 0; i < present.size();) {
    size_t j = i;
    std::fill(profile.begin(), profile.end(), 0.0);
    while (j < present.size() && present[j].account == present[i].account) {
      ++profile[present[j].slot];
      ++j;
    }
    const double total = static_cast<double>(j - i) + kHabitPrior;
    for (int s = 0; s < slots; ++s) profile[s] = (profile[s] + kHabitPrior * habit[s]) / total;
    while (i < j) {
      size_t k = i;
      const size_t at = static_cast<size_t>(present[i].day - first) * slots;
      while (k < j && present[k].day == present[i].day) ++seen[at + present[k++].slot];
      const double active = static_cast<double>(k - i);
      for (int s = 0; s < slots; ++s) {
        const double p = std::min(1.0, active * profile[s]);
        mean[at + s] += p;
        own[at + s] += p * p;
      }
      i = k;
    }
  }
  double variance = 0;
  for (size_t c = 0; c < seen.size(); ++c) {
    out.pairs += seen[c] * (seen[c] - 1) / 2;
    out.expected += (mean[c] * mean[c] - own[c]) / 2;
    variance += mean[c] * mean[c] / 2;
  }
  out.sd = std::sqrt(std::max(variance, 1.0));
  return out;
}

}  // namespace

Rhythm MeasureRhythm(std::span<const Event> events) {
  Rhythm r;
  // Queues pause for minutes to hours: the three scales see different ones and are averaged.
  constexpr int64_t kSlots[] = {base::kMsPerHour / 2, base::kMsPerHour, 2 * base::kMsPerHour};
  for (const int64_t slot : kSlots) {
    const Scale s = AtScale(events, slot);
    if (s.expected <= 0) return r;
    r.z += (s.pairs - s.expected) / s.sd / std::size(kSlots);
    r.power += kOrdinaryExcess * s.expected / s.sd / std::size(kSlots);
    if (slot != base::kMsPerHour) continue;
    r.pairs = s.pairs;
    r.expected = s.expected;
    r.excess = s.pairs / s.expected - 1;
  }
  return r;
}

}  // namespace stillwatch::link
