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
  int32_t day, slot;
  auto operator<=>(const Presence&) const = default;
};

// Rows of a log come sorted; others are, in `copy`.
std::span<const Event> Sorted(std::span<const Event> events, std::vector<Event>* copy) {
  if (std::is_sorted(events.begin(), events.end())) return events;
  copy->assign(events.begin(), events.end());
  std::sort(copy->begin(), copy->end());
  return *copy;
}

// Calls each(presences of a day) for each day of one account's.
template <typename F>
void EachDay(std::span<const Presence> of_account, F&& each) {
  for (size_t i = 0, k = 0; i < of_account.size(); i = k) {
    while (k < of_account.size() && of_account[k].day == of_account[i].day) ++k;
    each(of_account.subspan(i, k - i));
  }
}

// Calls each(account, its presences) for one account after the other; events are sorted.
template <typename F>
void EachAccount(std::span<const Event> events, int slots, const Accounts& who, const Days& on,
                 F&& each) {
  constexpr int32_t kHalves = static_cast<int32_t>(base::kMsPerDay / Event::kMs);
  const int32_t width = kHalves / slots;
  std::vector<Presence> mine;
  for (size_t i = 0; i < events.size();) {
    const uint32_t a = events[i].account;
    const bool heard = !who || who(a);
    mine.clear();
    for (; i < events.size() && events[i].account == a; ++i) {
      if (!heard) continue;
      const int32_t half = events[i].half_hour;
      const int32_t day = half / kHalves - (half % kHalves < 0);
      const Presence p{day, (half - day * kHalves) / width};
      if (!mine.empty() && mine.back() == p) continue;
      if (on && (mine.empty() || mine.back().day != day) && !on(day)) continue;
      mine.push_back(p);
    }
    if (!mine.empty()) each(a, std::span<const Presence>(mine));
  }
}

// What the accounts of a group do together: the share of each slot, and from when to when.
struct Habit {
  std::vector<double> share;
  int32_t first = 0, last = -1;  // days; nothing was heard: none
  double presences = 0;

  explicit Habit(int slots) : share(slots, 0.0) {}
  void Add(std::span<const Presence> mine) {
    if (presences == 0) first = last = mine[0].day;
    first = std::min(first, mine.front().day);
    last = std::max(last, mine.back().day);
    presences += static_cast<double>(mine.size());
    for (const Presence& p : mine) ++share[p.slot];
  }
  void Finish() {
    for (double& h : share) h /= presences;
  }
};

// An account's chances of presence, by the group's habit and its own.
class Expected {
 public:
  explicit Expected(int slots) : own_(slots), chances_(slots) {}
  const Chances& Of(std::span<const Presence> mine, const Habit& habit) {
    std::fill(own_.begin(), own_.end(), 0.0);
    for (const Presence& p : mine) ++own_[p.slot];
    EachDay(mine, [&](auto day) { chances_.AddDay(day.size()); });
    const double n = static_cast<double>(mine.size());
    for (size_t s = 0; s < own_.size(); ++s)
      own_[s] = (own_[s] + kHabitPrior * habit.share[s]) * n / (n + kHabitPrior);
    chances_.Fit(own_);
    return chances_;
  }

 private:
  std::vector<double> own_;
  Chances chances_;
};

Grid GridOver(const Habit& habit) {
  Grid g;
  g.first_day = habit.first;
  g.days = static_cast<size_t>(habit.last - habit.first + 1);
  g.seen.assign(g.days * habit.share.size(), 0.0);
  g.mean = g.own = g.seen;
  return g;
}

void Add(std::span<const Presence> mine, const Chances& chances, size_t slots, Grid* g) {
  EachDay(mine, [&](auto day) {
    const size_t at = static_cast<size_t>(day[0].day - g->first_day) * slots;
    for (const Presence& p : day) ++g->seen[at + p.slot];
    const double* chance = chances.On(day.size());
    for (size_t s = 0; s < slots; ++s) {
      g->mean[at + s] += chance[s];
      g->own[at + s] += chance[s] * chance[s];
    }
  });
}

Habit HabitOf(std::span<const Event> sorted, int slots, const Accounts& who, const Days& on) {
  Habit habit(slots);
  EachAccount(sorted, slots, who, on, [&](uint32_t, auto mine) { habit.Add(mine); });
  habit.Finish();
  return habit;
}

Grid Presences(std::span<const Event> sorted, int64_t slot_ms, const Accounts& who = {},
               const Days& on = {}) {
  const int slots = static_cast<int>(base::kMsPerDay / slot_ms);
  const Habit habit = HabitOf(sorted, slots, who, on);
  Grid g = GridOver(habit);
  Expected expected(slots);
  EachAccount(sorted, slots, who, on, [&](uint32_t, auto mine) {
    Add(mine, expected.Of(mine, habit), habit.share.size(), &g);
  });
  return g;
}

// `heard`: see MeasureRhythm.
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

Rhythm MeasureRhythm(std::span<const Event> events, const base::Parallel& parallel,
                     const Accounts& who, const Days& on) {
  std::vector<Event> copy;
  const std::span<const Event> sorted = Sorted(events, &copy);
  return OverScales(parallel,
                    [&](int64_t slot) { return Within(Presences(sorted, slot, who, on)); });
}

Rhythm MeasureRhythm(std::span<const Event> events,
                     const std::function<uint32_t(uint32_t)>& part_of,
                     const base::Parallel& parallel, const Days& counted) {
  std::vector<Event> copy;
  const std::span<const Event> sorted = Sorted(events, &copy);
  const Accounts who = [&](uint32_t a) { return part_of(a) != kNone; };
  return OverScales(parallel, [&](int64_t slot) {
    const int slots = static_cast<int>(base::kMsPerDay / slot);
    std::vector<Habit> habits(1, Habit(slots));
    EachAccount(sorted, slots, who, {}, [&](uint32_t a, auto mine) {
      const uint32_t part = part_of(a);
      if (part >= habits.size()) habits.resize(part + 1, Habit(slots));
      habits[part].Add(mine);
    });
    std::vector<Grid> grids;
    for (Habit& habit : habits) {
      habit.Finish();
      grids.push_back(GridOver(habit));
    }
    Expected expected(slots);
    EachAccount(sorted, slots, who, {}, [&](uint32_t a, auto mine) {
      const uint32_t part = part_of(a);
      Add(mine, expected.Of(mine, habits[part]), static_cast<size_t>(slots), &grids[part]);
    });
    Scale sum;
    double variance = 0;
    const auto add = [&](const Scale& s) {
      sum.pairs += s.pairs;
      sum.expected += s.expected;
      variance += s.sd * s.sd;
    };
    for (size_t i = 0; i < grids.size(); ++i) {
      add(Within(grids[i], counted));
      for (size_t j = i + 1; j < grids.size(); ++j) add(Between(grids[i], grids[j], counted));
    }
    sum.sd = std::sqrt(std::max(variance, 1.0));
    return sum;
  });
}

std::vector<Following> MeasureFollowing(std::span<const Event> events, const Accounts& in,
                                        const Days& on) {
  constexpr int kSlots = static_cast<int>(base::kMsPerDay / base::kMsPerHour);
  std::vector<Event> copy;
  const std::span<const Event> sorted = Sorted(events, &copy);
  const Habit habit = HabitOf(sorted, kSlots, {}, on);
  Grid g = GridOver(habit);
  Expected expected(kSlots);
  EachAccount(sorted, kSlots, in, on,
              [&](uint32_t, auto mine) { Add(mine, expected.Of(mine, habit), kSlots, &g); });
  std::vector<Following> out;
  EachAccount(sorted, kSlots, {}, on, [&](uint32_t a, auto mine) {
    const Chances& chances = expected.Of(mine, habit);
    const double self = in(a) ? 1 : 0;
    double seen = 0, mean = 0;
    EachDay(mine, [&](auto day) {
      const size_t at = static_cast<size_t>(day[0].day - g.first_day) * kSlots;
      const double* chance = chances.On(day.size());
      for (const Presence& p : day) {
        seen += g.seen[at + p.slot] - self;
        mean += g.mean[at + p.slot] - self * chance[p.slot];
      }
    });
    out.push_back({a, static_cast<double>(mine.size()), mean > 0 ? seen / mean : 1});
  });
  return out;
}

struct Beat::Scales {
  std::array<Grid, std::size(kSlots)> grids;
};

Beat::Beat(std::span<const Event> events) {
  auto scales = std::make_shared<Scales>();
  std::vector<Event> copy;
  const std::span<const Event> sorted = Sorted(events, &copy);
  for (size_t i = 0; i < std::size(kSlots); ++i) scales->grids[i] = Presences(sorted, kSlots[i]);
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

Rhythm MeasureAgainst(std::span<const Event> events, const Weights& weight) {
  std::vector<Event> copy;
  const std::span<const Event> sorted = Sorted(events, &copy);
  Rhythm r;
  for (const int64_t slot : kSlots) {
    const int32_t halves = static_cast<int32_t>(slot / Event::kMs);
    const Grid g = Presences(sorted, slot);
    const int32_t first = g.first_day * static_cast<int32_t>(base::kMsPerDay / Event::kMs);
    double sum = 0, variance = 0;
    for (size_t c = 0; c < g.seen.size(); ++c) {
      double w = 0;
      for (int32_t h = 0; h < halves; ++h)
        w += weight(first + static_cast<int32_t>(c) * halves + h);
      sum += w * (g.seen[c] - g.mean[c]);
      variance += w * w * g.mean[c];
      if (slot != base::kMsPerHour || w <= 0) continue;
      r.pairs += g.seen[c];
      r.expected += g.mean[c];
    }
    if (variance <= 0) return {};
    r.z += sum / std::sqrt(variance) / std::size(kSlots);
  }
  r.excess = r.expected > 0 ? r.pairs / r.expected - 1 : 0;
  return r;
}

Rhythm MeasureCrossRhythm(const Beat& a, const Beat& b) {
  return OverScales(base::Parallel(1), [&](int64_t slot) {
    const size_t i =
        static_cast<size_t>(std::find(std::begin(kSlots), std::end(kSlots), slot) - kSlots);
    return Between(a.scales_->grids[i], b.scales_->grids[i]);
  });
}

}  // namespace stillwatch::link
