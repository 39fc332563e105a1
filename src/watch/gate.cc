#include "watch/gate.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace stillwatch::watch {
namespace {

constexpr uint32_t kNone = ~uint32_t{0};
constexpr double kLinkShare = .25;      // of the smaller
constexpr double kRejectionsMax = 128;  // counted in favour of others

// log2(2^a + 2^b).
double Add(double a, double b) {
  const double top = std::max(a, b);
  return top + std::log2(std::exp2(a - top) + std::exp2(b - top));
}

Sample Cut(Sample s) {
  if (s.hashes.size() > kStartSample) s.hashes.resize(kStartSample);
  return s;
}

// e-BH with weights over the starts of one cohort.
void Open(const std::vector<Start*>& cohort, double rate) {
  std::vector<double> scores;
  for (const Start* s : cohort)
    scores.push_back(s->open ? 1e9 : s->log2_sum - SerialBits(s->serial));
  std::sort(scores.rbegin(), scores.rend());
  double need = 1e18;
  for (size_t r = 1; r <= scores.size(); ++r) {
    const double bits = -std::log2(rate * std::min(static_cast<double>(r), kRejectionsMax));
    if (scores[r - 1] >= bits) need = bits;
  }
  for (Start* s : cohort) s->open |= s->log2_sum - SerialBits(s->serial) >= need;
}

}  // namespace

double SerialBits(uint64_t serial) {
  // Blocks of 64, 128, 256, ... serials have 1/2, 1/6, 1/12, ... of the budget.
  uint64_t m = 0, size = 64;
  for (uint64_t left = serial - 1; left >= size; ++m) left -= size, size *= 2;
  return std::log2(static_cast<double>(size)) + std::log2(static_cast<double>((m + 1) * (m + 2)));
}

double LookBits(uint64_t look) {
  const auto k = static_cast<double>(look);
  return std::log2(k * (k + 1));
}

GateStep Pass(const Gate& before, const std::vector<Look>& looks, int64_t now_ms,
              const GateOptions& options) {
  GateStep step;
  Gate& gate = step.next;
  gate = before;
  const auto cohort = static_cast<uint64_t>(std::max<int64_t>(0, now_ms / options.cohort_ms));
  if (cohort > gate.cohort) gate.cohort = cohort, gate.serials = 0;

  // Which start each is: by the exchanges in common, most first.
  std::vector<Sample> samples;
  for (const Look& l : looks) samples.push_back(Cut(l.exchanges));
  std::vector<const Sample*> a, b;
  for (const Start& s : gate.starts) a.push_back(&s.exchanges);
  for (const Sample& s : samples) b.push_back(&s);
  struct Link {
    double shared;
    uint32_t start, look;
  };
  std::vector<Link> links;
  for (const auto& [start, look] : Meeting(a, b)) {
    const Overlap o = Compare(*a[start], *b[look]);
    if (std::max(o.ShareOfA(), o.ShareOfB()) >= kLinkShare)
      links.push_back({o.shared, start, look});
  }
  const auto same = [&](const Link& l) { return *a[l.start] == *b[l.look]; };
  std::sort(links.begin(), links.end(), [&](const Link& x, const Link& y) {
    return std::tuple(-x.shared, !same(x), x.start, std::cref(b[x.look]->hashes).get(), x.look) <
           std::tuple(-y.shared, !same(y), y.start, std::cref(b[y.look]->hashes).get(), y.look);
  });
  std::vector<uint32_t> start_of(looks.size(), kNone);
  std::vector<uint8_t> taken(gate.starts.size());
  for (const Link& l : links) {
    if (taken[l.start] || start_of[l.look] != kNone) continue;
    taken[l.start] = 1;
    start_of[l.look] = l.start;
  }
  std::vector<uint32_t> fresh;
  for (uint32_t l = 0; l < looks.size(); ++l)
    if (start_of[l] == kNone) fresh.push_back(l);
  std::sort(fresh.begin(), fresh.end(), [&](uint32_t x, uint32_t y) {
    return std::tie(samples[x].hashes, samples[x].size, x) <
           std::tie(samples[y].hashes, samples[y].size, y);
  });
  for (const uint32_t l : fresh) {
    Start s;
    s.cohort = gate.cohort;
    s.serial = ++gate.serials;
    start_of[l] = static_cast<uint32_t>(gate.starts.size());
    gate.starts.push_back(std::move(s));
  }

  for (uint32_t l = 0; l < looks.size(); ++l) {
    Start& s = gate.starts[start_of[l]];
    s.seen_ms = std::max(s.seen_ms, now_ms);
    s.exchanges = std::move(samples[l]);
    const bool due = s.looks == 0 ||
                     static_cast<double>(s.exchanges.size) >=
                         kLookGrowth * static_cast<double>(s.looked_exchanges) ||
                     now_ms - s.looked_ms >= options.window_ms;
    if (!due) continue;
    ++s.looks;
    s.looked_exchanges = s.exchanges.size;
    s.looked_ms = now_ms;
    if (looks[l].accused) s.log2_sum = Add(s.log2_sum, looks[l].log2_e - LookBits(s.looks));
  }

  std::vector<Start*> one;
  for (size_t i = 0; i < gate.starts.size(); ++i) {  // starts stand by cohort
    one.push_back(&gate.starts[i]);
    if (i + 1 < gate.starts.size() && gate.starts[i + 1].cohort == gate.starts[i].cohort) continue;
    Open(one, options.rate);
    one.clear();
  }
  const double alone = -std::log2(options.rate);
  for (uint32_t l = 0; l < looks.size(); ++l) {
    const Start& s = gate.starts[start_of[l]];
    step.open.push_back(s.open && looks[l].accused);
    step.bits_short.push_back(s.open ? 0 : alone + SerialBits(s.serial) - s.log2_sum);
  }

  std::erase_if(gate.starts,
                [&](const Start& s) { return now_ms - s.seen_ms > 2 * options.window_ms; });
  if (gate.starts.size() > kStartsMax) {
    std::vector<std::tuple<bool, int64_t, uint64_t, uint64_t>> order;
    for (const Start& s : gate.starts) order.push_back({s.open, s.seen_ms, s.cohort, s.serial});
    const auto nth = order.begin() + static_cast<std::ptrdiff_t>(order.size() - kStartsMax);
    std::nth_element(order.begin(), nth, order.end());
    const auto first_kept = *nth;
    std::erase_if(gate.starts, [&](const Start& s) {
      return std::tuple(s.open, s.seen_ms, s.cohort, s.serial) < first_kept;
    });
  }
  return step;
}

}  // namespace stillwatch::watch
