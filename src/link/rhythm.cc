#include "link/rhythm.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <tuple>

#include "base/time.h"

namespace stillwatch::link {
namespace {

constexpr double kOrdinaryExcess = .12;  // of the disclosed campaigns: .10 to .45
constexpr double kHabitPrior = 10;       // slots of the group's habit added to an account's own

struct Scale {
  double pairs = 0, expected = 0, sd = 0;
};

// Presence of a group's accounts per (day, slot): how many were there, how many were to be
// expected, and the sum of squared expectations (an account does not coincide with itself).
struct Grid {
  int32_t first_day = 0;
  size_t days = 0;
  std::vector<double> seen, mean, own;
};

Grid Presences(std::span<const Event> events, int64_t slot_ms) {
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
  // Rows of a log come sorted; the parts of several hands do not.
  if (!std::is_sorted(present.begin(), present.end())) std::sort(present.begin(), present.end());
  present.erase(std::unique(present.begin(), present.end()), present.end());
  Grid g;
  if (present.empty()) return g;
  const int slots = static_cast<int>(base::kMsPerDay / slot_ms);
  int32_t last = g.first_day = present[0].day;
  for (const auto& p : present)
    g.first_day = std::min(g.first_day, p.day), last = std::max(last, p.day);
  g.days = static_cast<size_t>(last - g.first_day) + 1;
  std::vector<double> habit(slots, 0.0);
  for (const auto& p : present) ++habit[p.slot];
  for (double& h : habit) h /= static_cast<double>(present.size());
  g.seen.assign(g.days * slots, 0.0);
  g.mean = g.own = g.seen;
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
      const size_t at = static_cast<size_t>(present[i].day - g.first_day) * slots;
      while (k < j && present[k].day == present[i].day) ++g.seen[at + present[k++].slot];
      const double active = static_cast<double>(k - i);
      for (int s = 0; s < slots; ++s) {
        const double p = std::min(1.0, active * profile[s]);
        g.mean[at + s] += p;
        g.own[at + s] += p * p;
      }
      i = k;
    }
  }
  return g;
}

Scale Within(const Grid& g) {
  Scale out;
  double variance = 0;
  for (size_t c = 0; c < g.seen.size(); ++c) {
    out.pairs += g.seen[c] * (g.seen[c] - 1) / 2;
    out.expected += (g.mean[c] * g.mean[c] - g.own[c]) / 2;
    variance += g.mean[c] * g.mean[c] / 2;
  }
  out.sd = std::sqrt(std::max(variance, 1.0));
  return out;
}

Scale Between(const Grid& a, const Grid& b) {
  Scale out;
  if (a.days == 0 || b.days == 0) return out;
  const size_t slots = a.seen.size() / a.days;
  double variance = 0;
  for (size_t c = 0; c < a.seen.size(); ++c) {
    const int64_t day = a.first_day + static_cast<int64_t>(c / slots) - b.first_day;
    if (day < 0 || day >= static_cast<int64_t>(b.days)) continue;
    const size_t d = static_cast<size_t>(day) * slots + c % slots;
    out.pairs += a.seen[c] * b.seen[d];
    out.expected += a.mean[c] * b.mean[d];
    variance += a.mean[c] * b.mean[d];
  }
  out.sd = std::sqrt(std::max(variance, 1.0));
  return out;
}

// Queues pause for minutes to hours: the three scales see different ones and are averaged.
constexpr int64_t kSlots[] = {base::kMsPerHour / 2, base::kMsPerHour, 2 * base::kMsPerHour};

template <typename F>
Rhythm OverScales(F&& at_scale) {
  Rhythm r;
  for (const int64_t slot : kSlots) {
    const Scale s = at_scale(slot);
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

}  // namespace

Rhythm MeasureRhythm(std::span<const Event> events) {
  return OverScales([&](int64_t slot) { return Within(Presences(events, slot)); });
}

Rhythm MeasureRhythm(std::span<const std::vector<Event>> parts) {
  return OverScales([&](int64_t slot) {
    std::vector<Grid> grids;
    for (const auto& part : parts) grids.push_back(Presences(part, slot));
    Scale sum;
    double variance = 0;
    const auto add = [&](const Scale& s) {
      sum.pairs += s.pairs;
      sum.expected += s.expected;
      variance += s.sd * s.sd;
    };
    for (size_t i = 0; i < grids.size(); ++i) {
      add(Within(grids[i]));
      for (size_t j = i + 1; j < grids.size(); ++j) add(Between(grids[i], grids[j]));
    }
    sum.sd = std::sqrt(std::max(variance, 1.0));
    return sum;
  });
}

struct Beat::Scales {
  std::array<Grid, std::size(kSlots)> grids;
};

Beat::Beat(std::span<const Event> events) {
  auto scales = std::make_shared<Scales>();
  for (size_t i = 0; i < std::size(kSlots); ++i) scales->grids[i] = Presences(events, kSlots[i]);
  scales_ = std::move(scales);
}

Rhythm MeasureCrossRhythm(const Beat& a, const Beat& b) {
  return OverScales([&](int64_t slot) {
    const size_t i = static_cast<size_t>(std::find(std::begin(kSlots), std::end(kSlots), slot) - kSlots);
    return Between(a.scales_->grids[i], b.scales_->grids[i]);
  });
}

}  // namespace stillwatch::link
