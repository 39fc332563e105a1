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
constexpr double kSure = .98;            // nobody's presence in a slot is surer than this
constexpr double kNearlyLinear = .5;     // chances below it add up without saturation
constexpr int kFitRounds = 3;

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

// One account's chances to be present in each slot of its days. Exchanges come at a rate of the
// slot times one of the day, so that on a busy day the best slots saturate and the others fill up:
// a chance is 1 - exp(-slot * day). The rates are fitted so that the chances of a day add up to its
// active slots, and those of a slot over all days to what the habit says. Days with equally many
// active slots have the same chances. Where no slot comes near saturation shares do as well.
class Chances {
 public:
  explicit Chances(int slots) : slots_(slots), rate_(slots), sum_(slots), days_(slots + 1, 0) {
    chance_.resize((slots_ + 1) * slots_);
  }
  // Days with `active` slots until the next Fit.
  void AddDay(size_t active) { ++days_[active]; }
  // `habit`: of each slot, over all days.
  void Fit(const std::vector<double>& habit) {
    size_t days = 0, presences = 0, most = 0;
    for (size_t k = 1; k < days_.size(); ++k) {
      if (days_[k] == 0) continue;
      days += days_[k];
      presences += k * days_[k];
      most = k;
    }
    const double best = *std::max_element(habit.begin(), habit.end());
    if (best * static_cast<double>(most) <= kNearlyLinear * static_cast<double>(presences)) {
      for (size_t k = 1; k <= most; ++k) {
        if (days_[k] == 0) continue;
        const double share = static_cast<double>(k) / static_cast<double>(presences);
        for (size_t s = 0; s < slots_; ++s) chance_[k * slots_ + s] = share * habit[s];
      }
      std::fill(days_.begin(), days_.end(), 0);
      return;
    }
    for (size_t s = 0; s < slots_; ++s) {
      rate_[s] = -std::log1p(-std::min(habit[s] / static_cast<double>(days), kSure));
    }
    const double mean = static_cast<double>(presences) / static_cast<double>(days);
    for (int round = 1; round <= kFitRounds; ++round) {
      std::fill(sum_.begin(), sum_.end(), 0.0);
      for (size_t k = 1; k <= most; ++k) {
        if (days_[k] == 0) continue;
        OfADay(static_cast<double>(k), mean, &chance_[k * slots_]);
        for (size_t s = 0; s < slots_; ++s)
          sum_[s] += static_cast<double>(days_[k]) * chance_[k * slots_ + s];
      }
      for (size_t s = 0; s < slots_; ++s) {
        const double off = sum_[s] > 0 ? habit[s] / sum_[s] : 1;
        if (round < kFitRounds) {
          rate_[s] *= off;
          continue;
        }
        for (size_t k = 1; k <= most; ++k) {
          if (days_[k] > 0) chance_[k * slots_ + s] = std::min(1.0, chance_[k * slots_ + s] * off);
        }
      }
    }
    std::fill(days_.begin(), days_.end(), 0);
  }
  const double* On(size_t active) const { return &chance_[active * slots_]; }

 private:
  // Newton's method for the day's rate; the sum of the chances is concave in it.
  void OfADay(double active, double mean, double* chance) const {
    constexpr int kStepsMax = 30;
    double day = active / mean;
    for (int step = 0; step < kStepsMax; ++step) {
      double sum = 0, slope = 0;
      for (size_t s = 0; s < slots_; ++s) {
        const double absent = std::exp(-day * rate_[s]);
        chance[s] = 1 - absent;
        sum += chance[s];
        slope += rate_[s] * absent;
      }
      if (std::abs(active - sum) < 1e-3 * active || slope < 1e-9) break;
      day = std::max(day / 4, day + (active - sum) / slope);
    }
  }

  const size_t slots_;
  std::vector<double> rate_, sum_;
  std::vector<size_t> days_;    // by active slots
  std::vector<double> chance_;  // by active slots, then slot
};

struct Presence {
  uint32_t account;
  int32_t day, slot;
  auto operator<=>(const Presence&) const = default;
};

// Sorted, each once.
std::vector<Presence> PresencesOf(std::span<const Event> events, int64_t slot_ms) {
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
  return present;
}

// Calls each(presences of a day) for each day of one account's.
template <typename F>
void EachDay(std::span<const Presence> of_account, F&& each) {
  for (size_t i = 0, k = 0; i < of_account.size(); i = k) {
    while (k < of_account.size() && of_account[k].day == of_account[i].day) ++k;
    each(of_account.subspan(i, k - i));
  }
}

// Calls each(account's presences, its chances of presence) for one account after the other.
template <typename F>
void EachAccount(std::span<const Presence> present, int slots, F&& each) {
  std::vector<double> habit(slots, 0.0), own(slots);
  for (const auto& p : present) ++habit[p.slot];
  for (double& h : habit) h /= static_cast<double>(present.size());
  Chances chances(slots);
  for (size_t i = 0, j = 0; i < present.size(); i = j) {
    std::fill(own.begin(), own.end(), 0.0);
    while (j < present.size() && present[j].account == present[i].account) ++own[present[j++].slot];
    const std::span<const Presence> mine = present.subspan(i, j - i);
    EachDay(mine, [&](auto day) { chances.AddDay(day.size()); });
    const double n = static_cast<double>(mine.size());
    for (int s = 0; s < slots; ++s) own[s] = (own[s] + kHabitPrior * habit[s]) * n / (n + kHabitPrior);
    chances.Fit(own);
    each(mine, chances);
  }
}

// Of the accounts that are in; the days are those of all.
Grid GridOf(std::span<const Presence> present, int64_t slot_ms,
            const std::function<bool(uint32_t)>& in) {
  Grid g;
  if (present.empty()) return g;
  const int slots = static_cast<int>(base::kMsPerDay / slot_ms);
  int32_t last = g.first_day = present[0].day;
  for (const auto& p : present)
    g.first_day = std::min(g.first_day, p.day), last = std::max(last, p.day);
  g.days = static_cast<size_t>(last - g.first_day) + 1;
  g.seen.assign(g.days * slots, 0.0);
  g.mean = g.own = g.seen;
  EachAccount(present, slots, [&](auto mine, const Chances& chances) {
    if (!in(mine[0].account)) return;
    EachDay(mine, [&](auto day) {
      const size_t at = static_cast<size_t>(day[0].day - g.first_day) * slots;
      for (const Presence& p : day) ++g.seen[at + p.slot];
      const double* chance = chances.On(day.size());
      for (int s = 0; s < slots; ++s) {
        g.mean[at + s] += chance[s];
        g.own[at + s] += chance[s] * chance[s];
      }
    });
  });
  return g;
}

Grid Presences(std::span<const Event> events, int64_t slot_ms) {
  return GridOf(PresencesOf(events, slot_ms), slot_ms, [](uint32_t) { return true; });
}

// `heard`: see MeasureRhythm.
using Days = std::function<bool(int64_t day)>;

Scale Within(const Grid& g, const Days& heard = {}) {
  Scale out;
  double variance = 0;
  const size_t slots = g.days > 0 ? g.seen.size() / g.days : 1;
  for (size_t c = 0; c < g.seen.size(); ++c) {
    if (heard && !heard(g.first_day + static_cast<int64_t>(c / slots))) continue;
    out.pairs += g.seen[c] * (g.seen[c] - 1) / 2;
    out.expected += (g.mean[c] * g.mean[c] - g.own[c]) / 2;
    variance += g.mean[c] * g.mean[c] / 2;
  }
  out.sd = std::sqrt(std::max(variance, 1.0));
  return out;
}

Scale Between(const Grid& a, const Grid& b, const Days& heard = {}) {
  Scale out;
  if (a.days == 0 || b.days == 0) return out;
  const size_t slots = a.seen.size() / a.days;
  double variance = 0;
  for (size_t c = 0; c < a.seen.size(); ++c) {
    const int64_t day = a.first_day + static_cast<int64_t>(c / slots) - b.first_day;
    if (day < 0 || day >= static_cast<int64_t>(b.days)) continue;
    if (heard && !heard(b.first_day + day)) continue;
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

// Each scale on its own.
template <typename F>
Rhythm OverScales(const base::Parallel& parallel, F&& at_scale) {
  std::array<Scale, std::size(kSlots)> scales;
  parallel.For(scales.size(), 1, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) scales[i] = at_scale(kSlots[i]);
  });
  Rhythm r;
  for (size_t i = 0; i < scales.size(); ++i) {
    const Scale& s = scales[i];
    if (s.expected <= 0) return r;
    r.z += (s.pairs - s.expected) / s.sd / std::size(kSlots);
    r.power += kOrdinaryExcess * s.expected / s.sd / std::size(kSlots);
    if (kSlots[i] != base::kMsPerHour) continue;
    r.pairs = s.pairs;
    r.expected = s.expected;
    r.excess = s.pairs / s.expected - 1;
  }
  return r;
}

}  // namespace

Rhythm MeasureRhythm(std::span<const Event> events, const base::Parallel& parallel) {
  return OverScales(parallel, [&](int64_t slot) { return Within(Presences(events, slot)); });
}

Rhythm MeasureRhythm(std::span<const std::vector<Event>> parts, const base::Parallel& parallel,
                     const std::function<bool(int64_t day)>& heard) {
  return OverScales(parallel, [&](int64_t slot) {
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
      add(Within(grids[i], heard));
      for (size_t j = i + 1; j < grids.size(); ++j) add(Between(grids[i], grids[j], heard));
    }
    sum.sd = std::sqrt(std::max(variance, 1.0));
    return sum;
  });
}

std::vector<Following> MeasureFollowing(std::span<const Event> events,
                                        const std::function<bool(uint32_t)>& in) {
  constexpr int64_t kSlot = base::kMsPerHour;
  constexpr int kSlots = static_cast<int>(base::kMsPerDay / kSlot);
  const std::vector<Presence> present = PresencesOf(events, kSlot);
  const Grid g = GridOf(present, kSlot, in);
  std::vector<Following> out;
  EachAccount(present, kSlots, [&](auto mine, const Chances& chances) {
    const double self = in(mine[0].account) ? 1 : 0;
    double seen = 0, mean = 0;
    EachDay(mine, [&](auto day) {
      const size_t at = static_cast<size_t>(day[0].day - g.first_day) * kSlots;
      const double* chance = chances.On(day.size());
      for (const Presence& p : day) {
        seen += g.seen[at + p.slot] - self;
        mean += g.mean[at + p.slot] - self * chance[p.slot];
      }
    });
    out.push_back({mine[0].account, static_cast<double>(mine.size()), mean > 0 ? seen / mean : 1});
  });
  return out;
}

struct Beat::Scales {
  std::array<Grid, std::size(kSlots)> grids;
};

Beat::Beat(std::span<const Event> events) {
  auto scales = std::make_shared<Scales>();
  for (size_t i = 0; i < std::size(kSlots); ++i) scales->grids[i] = Presences(events, kSlots[i]);
  scales_ = std::move(scales);
}

Beat Beat::Joined(const Beat& a, const Beat& b) {
  auto scales = std::make_shared<Scales>();
  for (size_t i = 0; i < std::size(kSlots); ++i) {
    const Grid &x = a.scales_->grids[i], &y = b.scales_->grids[i];
    if (x.days == 0 || y.days == 0) {
      scales->grids[i] = x.days == 0 ? y : x;
      continue;
    }
    Grid& g = scales->grids[i];
    const size_t slots = x.seen.size() / x.days;
    g.first_day = std::min(x.first_day, y.first_day);
    const int64_t end = std::max(x.first_day + static_cast<int64_t>(x.days),
                                 y.first_day + static_cast<int64_t>(y.days));
    g.days = static_cast<size_t>(end - g.first_day);
    g.seen.assign(g.days * slots, 0.0);
    g.mean = g.own = g.seen;
    for (const Grid* part : {&x, &y}) {
      const size_t first = static_cast<size_t>(part->first_day - g.first_day) * slots;
      for (size_t c = 0; c < part->seen.size(); ++c) {
        g.seen[first + c] += part->seen[c];
        g.mean[first + c] += part->mean[c];
        g.own[first + c] += part->own[c];
      }
    }
  }
  Beat out{std::span<const Event>()};
  out.scales_ = std::move(scales);
  return out;
}

Rhythm MeasureCrossRhythm(const Beat& a, const Beat& b) {
  return OverScales(base::Parallel(1), [&](int64_t slot) {
    const size_t i =
        static_cast<size_t>(std::find(std::begin(kSlots), std::end(kSlots), slot) - kSlots);
    return Between(a.scales_->grids[i], b.scales_->grids[i]);
  });
}

}  // namespace stillwatch::link
