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
  double absorbed = 0, weight = 0;  // Rhythm::absorbed times weight, and the weight
};

// From when on a log covers its first day.
struct Covered {
  int32_t day = INT32_MIN, slot = 0;
  Covered(int32_t half_hour, int slots) {
    if (half_hour == INT32_MIN) return;
    constexpr int32_t kHalves = static_cast<int32_t>(base::kMsPerDay / Event::kMs);
    day = half_hour / kHalves - (half_hour % kHalves < 0);
    const int32_t width = kHalves / slots;
    slot = (half_hour - day * kHalves + width - 1) / width;
  }
  bool Part(int32_t of) const { return of == day && slot > 0; }
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
  // Likewise the one that the log covers from `slot` on.
  void AddPart(size_t slot, size_t active) {
    part_slot_ = slot;
    part_active_ = active;
  }
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
    if (part_active_ == 0 &&
        best * static_cast<double>(most) <= kNearlyLinear * static_cast<double>(presences)) {
      for (size_t k = 1; k <= most; ++k) {
        if (days_[k] == 0) continue;
        const double share = static_cast<double>(k) / static_cast<double>(presences);
        for (size_t s = 0; s < slots_; ++s) chance_[k * slots_ + s] = share * habit[s];
      }
      std::fill(days_.begin(), days_.end(), 0);
      return;
    }
    if (part_active_ > 0) part_.resize(slots_);
    for (size_t s = 0; s < slots_; ++s) {
      const double of = static_cast<double>(days + (part_active_ > 0 && s >= part_slot_));
      rate_[s] = of > 0 ? -std::log1p(-std::min(habit[s] / of, kSure)) : 0;
    }
    const double mean = days > 0 ? static_cast<double>(presences) / static_cast<double>(days) : 1;
    for (int round = 1; round <= kFitRounds; ++round) {
      std::fill(sum_.begin(), sum_.end(), 0.0);
      if (part_active_ > 0) {
        OfADay(static_cast<double>(part_active_), static_cast<double>(part_active_), part_.data(),
               part_slot_);
        for (size_t s = 0; s < slots_; ++s) sum_[s] = part_[s];
      }
      for (size_t k = 1; k <= most; ++k) {
        if (days_[k] == 0) continue;
        OfADay(static_cast<double>(k), mean, &chance_[k * slots_]);
        for (size_t s = 0; s < slots_; ++s)
          sum_[s] += static_cast<double>(days_[k]) * chance_[k * slots_ + s];
      }
      for (size_t s = 0; s < slots_; ++s) {
        const double off = sum_[s] > 0 ? habit[s] / sum_[s] : 1;
        if (part_active_ > 0 && round == kFitRounds) part_[s] = std::min(1.0, part_[s] * off);
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
    part_active_ = 0;
  }
  // Of a day's presences.
  const double* On(size_t active, bool part = false) const {
    return part ? part_.data() : &chance_[active * slots_];
  }

 private:
  // Newton's method for the day's rate; the sum of the chances is concave in it.
  void OfADay(double active, double mean, double* chance, size_t first = 0) const {
    constexpr int kStepsMax = 30;
    double day = active / mean;
    for (int step = 0; step < kStepsMax; ++step) {
      double sum = 0, slope = 0;
      for (size_t s = 0; s < first; ++s) chance[s] = 0;
      for (size_t s = first; s < slots_; ++s) {
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
  std::vector<double> part_;    // of the day that the log covers in part
  size_t part_slot_ = 0, part_active_ = 0;
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

// What the accounts of a group do together: the share of each slot, and from when to when. A slot
// that the first day lacks was seen on a day less than the others.
struct Habit {
  std::vector<double> share;
  Covered covered;
  int32_t first = 0, last = -1;  // days; nothing was heard: none
  double presences = 0, part = 0;  // ...of them on the day that is covered in part
  double seen = 1;                 // share of a whole day's presences that fall on what it covers

  Habit(int slots, int32_t covered_from) : share(slots, 0.0), covered(covered_from, slots) {}
  void Add(std::span<const Presence> mine) {
    if (presences == 0) first = last = mine[0].day;
    first = std::min(first, mine.front().day);
    last = std::max(last, mine.back().day);
    presences += static_cast<double>(mine.size());
    for (const Presence& p : mine) {
      ++share[p.slot];
      part += covered.Part(p.day);
      later_ += p.slot >= covered.slot && !covered.Part(p.day);
    }
  }
  void Finish() {
    const double whole = presences - part;
    if (part > 0 && whole > 0) {
      seen = std::max(later_ / whole, .01);
      double sum = 0;
      for (size_t s = 0; s < share.size(); ++s) sum += share[s] *= Unseen(s, whole, part);
      for (double& h : share) h /= sum;
      return;
    }
    for (double& h : share) h /= presences;
  }
  // What a count of slot `s` is to be multiplied with, of presences on whole days and in part.
  double Unseen(size_t s, double whole, double in_part) const {
    return static_cast<int32_t>(s) < covered.slot && whole > 0 ? 1 + in_part / seen / whole : 1;
  }

 private:
  double later_ = 0;
};

// An account's chances of presence, by the group's habit and its own.
class Expected {
 public:
  explicit Expected(int slots) : own_(slots), chances_(slots) {}
  const Chances& Of(std::span<const Presence> mine, const Habit& habit) {
    std::fill(own_.begin(), own_.end(), 0.0);
    for (const Presence& p : mine) ++own_[p.slot];
    double part = 0;
    EachDay(mine, [&](auto day) {
      if (!habit.covered.Part(day[0].day)) {
        chances_.AddDay(day.size());
        return;
      }
      part = static_cast<double>(day.size());
      chances_.AddPart(static_cast<size_t>(habit.covered.slot), day.size());
    });
    const double n = static_cast<double>(mine.size());
    if (part == 0) {
      for (size_t s = 0; s < own_.size(); ++s)
        own_[s] = (own_[s] + kHabitPrior * habit.share[s]) * n / (n + kHabitPrior);
    } else {
      // The group's habit on as much of days as this account's.
      double sum = 0;
      for (size_t s = 0; s < own_.size(); ++s) sum += habit.share[s] * Weight(s, n, part, habit);
      for (size_t s = 0; s < own_.size(); ++s) {
        const double prior = sum > 0 ? habit.share[s] * Weight(s, n, part, habit) / sum : 0;
        own_[s] = (own_[s] + kHabitPrior * prior) * n / (n + kHabitPrior);
      }
    }
    chances_.Fit(own_);
    return chances_;
  }

 private:
  static double Weight(size_t s, double n, double part, const Habit& habit) {
    const bool later = static_cast<int32_t>(s) >= habit.covered.slot;
    return n - part + (later ? part / habit.seen : 0);
  }

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

void Add(std::span<const Presence> mine, const Chances& chances, const Habit& habit, Grid* g) {
  const size_t slots = habit.share.size();
  EachDay(mine, [&](auto day) {
    const size_t at = static_cast<size_t>(day[0].day - g->first_day) * slots;
    for (const Presence& p : day) ++g->seen[at + p.slot];
    const double* chance = chances.On(day.size(), habit.covered.Part(day[0].day));
    for (size_t s = 0; s < slots; ++s) {
      g->mean[at + s] += chance[s];
      g->own[at + s] += chance[s] * chance[s];
    }
  });
}

Habit HabitOf(std::span<const Event> sorted, int slots, const Accounts& who, const Days& on,
              int32_t covered_from) {
  Habit habit(slots, covered_from);
  EachAccount(sorted, slots, who, on, [&](uint32_t, auto mine) { habit.Add(mine); });
  habit.Finish();
  return habit;
}

Grid Presences(std::span<const Event> sorted, int64_t slot_ms, int32_t covered_from,
               const Accounts& who = {}, const Days& on = {}) {
  const int slots = static_cast<int>(base::kMsPerDay / slot_ms);
  const Habit habit = HabitOf(sorted, slots, who, on, covered_from);
  Grid g = GridOver(habit);
  Expected expected(slots);
  EachAccount(sorted, slots, who, on,
              [&](uint32_t, auto mine) { Add(mine, expected.Of(mine, habit), habit, &g); });
  return g;
}

// How much of a common rhythm habits take in that were learnt on the same days. Of a slot's share
// of each day a queue adds something of its own, on the mean over the days that is taken for habit:
// of D days that are alike one in D, of unlike ones more. `b` begins `days_later` after `a`.
void Absorb(const Grid& a, const Grid& b, int64_t days_later, Scale* out) {
  const size_t slots = a.seen.size() / a.days;
  for (size_t s = 0; s < slots; ++s) {
    double both = 0, of_a = 0, of_b = 0;
    for (size_t d = 0; d < a.days; ++d) {
      const int64_t other = static_cast<int64_t>(d) - days_later;
      of_a += a.mean[d * slots + s];
      if (other >= 0 && other < static_cast<int64_t>(b.days))
        both += a.mean[d * slots + s] * b.mean[static_cast<size_t>(other) * slots + s];
    }
    for (size_t d = 0; d < b.days; ++d) of_b += b.mean[d * slots + s];
    if (both <= 0) continue;
    out->absorbed += both * both / (of_a * of_b);
    out->weight += both;
  }
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
  if (g.days > 0) Absorb(g, g, 0, &out);
  out.absorbed /= 2, out.weight /= 2;  // pairs count once
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
  Absorb(a, b, b.first_day - a.first_day, &out);
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
    const double absorbed = s.weight > 0 ? std::min(s.absorbed / s.weight, kAbsorbedMax) : 0;
    r.power += kOrdinaryExcess * (1 - absorbed) * s.expected / s.sd / std::size(kSlots);
    if (kSlots[i] != base::kMsPerHour) continue;
    r.absorbed = absorbed;
    r.pairs = s.pairs;
    r.expected = s.expected;
    r.excess = s.pairs / s.expected - 1;
  }
  return r;
}

}  // namespace

Rhythm MeasureRhythm(std::span<const Event> events, const base::Parallel& parallel,
                     const Accounts& who, const Days& on, int32_t covered_from) {
  std::vector<Event> copy;
  const std::span<const Event> sorted = Sorted(events, &copy);
  return OverScales(parallel, [&](int64_t slot) {
    return Within(Presences(sorted, slot, covered_from, who, on));
  });
}

Rhythm MeasureRhythm(std::span<const Event> events,
                     const std::function<uint32_t(uint32_t)>& part_of,
                     const base::Parallel& parallel, const Days& counted, int32_t covered_from) {
  std::vector<Event> copy;
  const std::span<const Event> sorted = Sorted(events, &copy);
  const Accounts who = [&](uint32_t a) { return part_of(a) != kNone; };
  return OverScales(parallel, [&](int64_t slot) {
    const int slots = static_cast<int>(base::kMsPerDay / slot);
    std::vector<Habit> habits(1, Habit(slots, covered_from));
    EachAccount(sorted, slots, who, {}, [&](uint32_t a, auto mine) {
      const uint32_t part = part_of(a);
      if (part >= habits.size()) habits.resize(part + 1, Habit(slots, covered_from));
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
      Add(mine, expected.Of(mine, habits[part]), habits[part], &grids[part]);
    });
    Scale sum;
    double variance = 0;
    const auto add = [&](const Scale& s) {
      sum.pairs += s.pairs;
      sum.expected += s.expected;
      variance += s.sd * s.sd;
      sum.absorbed += s.absorbed;
      sum.weight += s.weight;
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
                                        const Days& on, int32_t covered_from) {
  constexpr int kSlots = static_cast<int>(base::kMsPerDay / base::kMsPerHour);
  std::vector<Event> copy;
  const std::span<const Event> sorted = Sorted(events, &copy);
  const Habit habit = HabitOf(sorted, kSlots, {}, on, covered_from);
  Grid g = GridOver(habit);
  Expected expected(kSlots);
  EachAccount(sorted, kSlots, in, on,
              [&](uint32_t, auto mine) { Add(mine, expected.Of(mine, habit), habit, &g); });
  std::vector<Following> out;
  EachAccount(sorted, kSlots, {}, on, [&](uint32_t a, auto mine) {
    const Chances& chances = expected.Of(mine, habit);
    const double self = in(a) ? 1 : 0;
    double seen = 0, mean = 0;
    EachDay(mine, [&](auto day) {
      const size_t at = static_cast<size_t>(day[0].day - g.first_day) * kSlots;
      const double* chance = chances.On(day.size(), habit.covered.Part(day[0].day));
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

Beat::Beat(std::span<const Event> events, int32_t covered_from) {
  auto scales = std::make_shared<Scales>();
  std::vector<Event> copy;
  const std::span<const Event> sorted = Sorted(events, &copy);
  for (size_t i = 0; i < std::size(kSlots); ++i)
    scales->grids[i] = Presences(sorted, kSlots[i], covered_from);
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

Rhythm MeasureAgainst(std::span<const Event> events, const Weights& weight, int32_t covered_from) {
  std::vector<Event> copy;
  const std::span<const Event> sorted = Sorted(events, &copy);
  Rhythm r;
  for (const int64_t slot : kSlots) {
    const int32_t halves = static_cast<int32_t>(slot / Event::kMs);
    const Grid g = Presences(sorted, slot, covered_from);
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
