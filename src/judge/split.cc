#include "judge/split.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <tuple>
#include <utility>

#include "base/release.h"
#include "base/time.h"

namespace stillwatch::judge {
namespace {

constexpr uint32_t kHandMin = 5;   // accounts of a pool that is a hand of its own
// Signatures that two hands of one store would pass each other, from which on it is told whether
// they do, and the share of them that is enough.
constexpr double kPassedMin = 5, kPassedShare = .5;
constexpr size_t kPartsMax = 256;  // cross tests are quadratic; the smallest stay alone
constexpr int kQueuesMax = 4;   // told apart in one candidate
constexpr int kFolds = 4;       // of days, to hear those whom the other days picked
constexpr int kRoundsMax = 8;   // of dropping strangers
constexpr double kFromQueue = .6;  // of a follower's hours, at least: it may have others of its own
constexpr int kSteps = 12;      // of learning how many follow
constexpr size_t kEventsMax = 16'000'000;  // of one group; beyond, whole accounts are not heard

// Of each account (ascending, as c.accounts) the template with most of its rows.
std::vector<uint32_t> MainTemplates(const link::Log& log, const Candidate& c) {
  std::vector<uint32_t> best(c.accounts.size(), link::kNone);
  if (c.row_template.empty()) return best;
  std::map<uint32_t, size_t> count;
  for (size_t i = 0, j = 0, at = 0; i < c.rows.size(); i = j, ++at) {
    count.clear();
    for (; j < c.rows.size() && log.row_account[c.rows[j]] == c.accounts[at]; ++j) ++count[c.row_template[j]];
    size_t most = 0;
    for (const auto& [t, n] : count) {
      if (n > most) most = n, best[at] = t;
    }
  }
  return best;
}

struct Following {
  std::vector<bool> in;         // of each account: it follows the loudest queue
  std::vector<float> way_bits;  // Candidate::way_bits
};

// Empty when no queue is heard in these events, which are of the candidate's accounts, on days
// `on`; where one is `known` to be there, the faintest audible one is followed.
Following Follow(const Background& background, const link::AccountGraph& graph, const Candidate& c,
                 const std::vector<uint32_t>& main_template, const std::vector<link::Event>& events,
                 const base::Parallel& parallel, const link::Days& on = {}, bool known = false) {
  const link::Log& log = background.log();
  const size_t n = c.accounts.size();
  // How many of those who came the same way follow is learnt with who does (EM for a mixture,
  // Dempster, Laird and Rubin 1977): it decides where an account's own hours say little.
  struct Way {
    double sum = 0, n = 0, bits = 0;
  };
  Following out;
  AccountSet in(log.accounts(), false);
  for (const uint32_t a : c.accounts) in[a] = true;
  const auto pays_with = [&](uint32_t a, const auto& whom) {
    for (const uint32_t l : graph.Of(a)) {
      const link::Link& link = graph.links[l];
      if (link.bits[3] >= 3 && whom[link.a == a ? link.b : link.a]) return true;
    }
    return false;
  };
  std::map<std::tuple<uint32_t, uint32_t, bool, bool>, Way> ways;
  std::vector<Way*> way(n);
  for (size_t i = 0; i < n; ++i) {
    const uint32_t a = c.accounts[i];
    way[i] = &ways[{main_template[i], c.part.empty() ? 0 : c.part[i], background.Replaying(a), pays_with(a, in)}];
    ++way[i]->n;
  }
  std::vector<double> bits(n);
  for (int round = 0; round < kRoundsMax; ++round) {
    const auto is_in = [&](uint32_t a) { return in[a]; };
    const link::Rhythm rhythm = link::MeasureRhythm(events, parallel, is_in, on, CoveredFrom(log));
    if (!known && !Audible(rhythm)) return {};
    const double excess = std::max(rhythm.excess, AudibleExcess(rhythm));
    // Those who were not heard, beyond the bound on events, stay.
    std::fill(bits.begin(), bits.end(), kTellingBits);
    size_t at = 0;
    for (const link::Following& f : link::MeasureFollowing(events, is_in, on, CoveredFrom(log))) {
      while (c.accounts[at] != f.account) ++at;
      bits[at] = FollowingBits(f, excess);
    }
    for (int step = 0; step < kSteps; ++step) {
      for (auto& [key, w] : ways) w.sum = 0;
      for (size_t i = 0; i < n; ++i) way[i]->sum += 1 / (1 + std::exp2(-bits[i] - way[i]->bits));
      for (auto& [key, w] : ways) w.bits = std::log2((w.sum + 1) / (w.n - w.sum + 1));
    }
    bool changed = false;
    for (size_t i = 0; i < n; ++i) {
      const uint32_t a = c.accounts[i];
      const bool keep = bits[i] + way[i]->bits >= 0;
      changed |= keep != in[a];
      in[a] = keep;
    }
    if (!changed) break;
  }
  for (size_t i = 0; i < n; ++i) {
    out.in.push_back(in[c.accounts[i]]);
    out.way_bits.push_back(static_cast<float>(way[i]->bits));
  }
  return out;
}

// The rhythm of followers on days on which they were not picked: every fourth day is heard by those
// whom the others pick, four times. Among many strangers some are always about when others are, and
// would be heard to be so by the hours that picked them. Habits are those of all days: of a fourth
// of them an account's habit would be its rhythm.
link::Rhythm Unpicked(const Background& background, const link::AccountGraph& graph,
                      const Candidate& c, const std::vector<uint32_t>& main_template,
                      const std::vector<link::Event>& events, const base::Parallel& parallel) {
  link::Rhythm sum;
  double power = 0, folds = 0, absorbed = 0;
  for (int fold = 0; fold < kFolds; ++fold) {
    const auto of_fold = [&](int64_t day) { return day % kFolds == fold; };
    const Following f = Follow(
        background, graph, c, main_template, events, parallel,
        [&](int64_t day) { return !of_fold(day); }, true);
    AccountSet in(background.log().accounts(), false);
    for (size_t i = 0; i < f.in.size(); ++i) in[c.accounts[i]] = f.in[i];
    const link::Rhythm r = RhythmOf(
        background.log(), events, c, parallel, [&](uint32_t a) { return in[a]; }, of_fold);
    sum.pairs += r.pairs;
    sum.expected += r.expected;
    absorbed += r.absorbed * r.expected;
    sum.z += r.z;  // Stouffer; alike, for the more strangers are in, the more power and the less z
    power += r.power * r.power;
    folds += r.expected > 0;
  }
  sum.excess = sum.expected > 0 ? sum.pairs / sum.expected - 1 : 0;
  sum.absorbed = sum.expected > 0 ? absorbed / sum.expected : 0;
  sum.power = std::sqrt(power);
  if (folds > 0) sum.z /= std::sqrt(folds);
  return sum;
}

}  // namespace

namespace {

// The accounts at these positions, which ascend, with their rows.
Candidate Take(const link::Log& log, const Candidate& whole, std::span<const uint32_t> positions) {
  Candidate c;
  c.formed = whole.formed;
  c.phrase = whole.phrase;
  c.templates = whole.templates;
  c.among = whole.among;
  c.senders = whole.senders;
  c.unlinked = whole.unlinked;
  c.scaffold = whole.scaffold;
  c.main_family = whole.main_family;
  c.unpicked = whole.unpicked;
  const auto append = [](const auto& from, size_t begin, size_t end, auto* to) {
    if (from.empty()) return;
    to->insert(to->end(), from.begin() + static_cast<ptrdiff_t>(begin), from.begin() + static_cast<ptrdiff_t>(end));
  };
  // An account's rows are neighbours in the log.
  const auto rows_of = [&](uint32_t i) {
    const uint32_t a = whole.accounts[i];
    const auto first = std::lower_bound(whole.rows.begin(), whole.rows.end(), log.first_row[a]);
    const auto last = std::lower_bound(first, whole.rows.end(), log.first_row[a + 1]);
    return std::pair(static_cast<size_t>(first - whole.rows.begin()),
                     static_cast<size_t>(last - whole.rows.begin()));
  };
  size_t rows = 0;
  for (const uint32_t i : positions) {
    const auto [begin, end] = rows_of(i);
    rows += end - begin;
  }
  c.rows.reserve(rows);
  if (!whole.row_template.empty()) c.row_template.reserve(rows);
  for (const uint32_t i : positions) {
    const auto [begin, end] = rows_of(i);
    append(whole.rows, begin, end, &c.rows);
    append(whole.row_template, begin, end, &c.row_template);
    append(whole.accounts, i, i + 1, &c.accounts);
    append(whole.part, i, i + 1, &c.part);
    append(whole.way_bits, i, i + 1, &c.way_bits);
  }
  return c;
}

}  // namespace

Candidate Select(const link::Log& log, const Candidate& whole,
                 const std::function<bool(size_t)>& take) {
  std::vector<uint32_t> positions;
  for (uint32_t i = 0; i < whole.accounts.size(); ++i) {
    if (take(i)) positions.push_back(i);
  }
  return Take(log, whole, positions);
}

std::optional<link::Event> EventOf(const link::Log& log, uint64_t row) {
  const int64_t at = log.ts_ms[row];
  if (at < log.heard_from_ms || at >= log.heard_until_ms) return std::nullopt;
  return link::Event(log.row_account[row], at + log.shift_ms);
}

int32_t CoveredFrom(const link::Log& log) {
  return link::Event(0, log.heard_from_ms + log.shift_ms).half_hour;
}

std::vector<link::Event> EventsOf(const link::Log& log, std::span<const uint32_t> rows) {
  const size_t step = rows.size() / kEventsMax + 1;
  const auto each = [&](auto&& use) {
    link::Event last;
    bool any = false;
    for (const uint32_t row : rows) {
      const uint32_t a = log.row_account[row];
      if (a % step != 0) continue;
      const std::optional<link::Event> e = EventOf(log, row);
      if (!e || (any && *e == last)) continue;
      any = true;
      use(last = *e);
    }
  };
  size_t n = 0;
  each([&](const link::Event&) { ++n; });
  std::vector<link::Event> events;
  events.reserve(n);
  each([&](const link::Event& e) { events.push_back(e); });
  return events;
}

double FollowingBits(const link::Following& f, double excess) {
  const double own = kFromQueue * excess;
  return f.slots / 2 * kFromQueue * (f.ratio - 1 - own / 2) / std::log(2.0);
}

namespace {

// Reasoning signatures that accounts of a candidate present although another of its customers was
// issued them. They cannot be guessed: whoever presents one was handed the conversation. A queue
// that deals out what its accounts were answered passes them between all its hands, both ways and
// as often as both are at work; readers of a published conversation present those of the few who
// wrote it.
class Passed {
 public:
  Passed(const Background& background, const Candidate& c, const std::vector<uint32_t>& hand,
         const std::vector<size_t>& rows_of, size_t hands)
      : shown_(hands, 0), rows_(hands, 0) {
    const link::Log& log = background.log();
    std::vector<uint32_t> whose;
    for (size_t i = 0, row = 0; i < c.accounts.size(); row += rows_of[i++]) {
      if (!background.Replaying(c.accounts[i])) continue;
      rows_[hand[i]] += static_cast<double>(rows_of[i]);
      all_ += static_cast<double>(rows_of[i]);
      for (size_t r = row; r < row + rows_of[i]; ++r) {
        whose.clear();
        for (const auto& p : log.PresentedBy(c.rows[r])) {
          const uint32_t owner = background.IssuedTo(p.signature);
          if (owner == link::kNone || log.entity[owner] == log.entity[c.accounts[i]]) continue;
          const auto at = std::lower_bound(c.accounts.begin(), c.accounts.end(), owner);
          if (at == c.accounts.end() || *at != owner || !background.Replaying(owner)) continue;
          const uint32_t h = hand[static_cast<size_t>(at - c.accounts.begin())];
          if (std::find(whose.begin(), whose.end(), h) == whose.end()) whose.push_back(h);
        }
        for (const uint32_t h : whose) ++passed_[{hand[i], h}];
        shown_[hand[i]] += static_cast<double>(whose.size());
      }
    }
  }
  bool OneStore(const std::vector<uint32_t>& x, const std::vector<uint32_t>& y) const {
    if (passed_.empty()) return false;
    const double to = Count(x, y), from = Count(y, x);
    const double expected =
        (Sum(shown_, x) * Sum(rows_, y) + Sum(shown_, y) * Sum(rows_, x)) / all_;
    return to >= kPassedMin && from >= kPassedMin && to + from >= kPassedShare * expected;
  }

 private:
  static double Sum(const std::vector<double>& of, const std::vector<uint32_t>& hands) {
    double sum = 0;
    for (const uint32_t h : hands) sum += of[h];
    return sum;
  }
  double Count(const std::vector<uint32_t>& by, const std::vector<uint32_t>& whose) const {
    double sum = 0;
    for (const uint32_t x : by) {
      for (const uint32_t y : whose) {
        const auto it = passed_.find({x, y});
        if (it != passed_.end()) sum += it->second;
      }
    }
    return sum;
  }

  std::map<std::pair<uint32_t, uint32_t>, double> passed_;  // by whom, whose -> exchanges
  std::vector<double> shown_, rows_;                        // of each hand
  double all_ = 0;
};

// A pool's addresses may be those of a VPN, and accounts without a pool are those of all stores of
// the log: as one hand they are nobody's. Each account that replays goes to the pool whose
// signatures it presents and which presents its own, if it is more than its own hand twice over.
void Home(const Background& background, const Candidate& c, const std::vector<size_t>& rows_of,
          const std::vector<bool>& pool, std::vector<uint32_t>* hand) {
  struct Passes {
    double to = 0, from = 0;  // exchanges
  };
  const link::Log& log = background.log();
  std::map<std::pair<uint32_t, uint32_t>, Passes> passed;  // by account's position, hand
  // Others' signatures shown: by accounts, with the hands that were issued them; by hands, with the
  // accounts.
  std::vector<double> shown(c.accounts.size(), 0), shows(pool.size(), 0), rows(pool.size(), 0);
  double all = 0;
  std::vector<uint32_t> owners, hands;
  size_t row = 0;
  for (uint32_t i = 0; i < c.accounts.size(); row += rows_of[i++]) {
    if (!background.Replaying(c.accounts[i])) continue;
    rows[(*hand)[i]] += static_cast<double>(rows_of[i]);
    all += static_cast<double>(rows_of[i]);
    for (size_t r = row; r < row + rows_of[i]; ++r) {
      owners.clear();
      hands.clear();
      for (const auto& p : log.PresentedBy(c.rows[r])) {
        const uint32_t owner = background.IssuedTo(p.signature);
        if (owner == link::kNone || log.entity[owner] == log.entity[c.accounts[i]]) continue;
        const auto at = std::lower_bound(c.accounts.begin(), c.accounts.end(), owner);
        if (at == c.accounts.end() || *at != owner || !background.Replaying(owner)) continue;
        owners.push_back(static_cast<uint32_t>(at - c.accounts.begin()));
        hands.push_back((*hand)[owners.back()]);
      }
      for (std::vector<uint32_t>* of : {&owners, &hands}) {
        std::sort(of->begin(), of->end());
        of->erase(std::unique(of->begin(), of->end()), of->end());
      }
      for (const uint32_t h : hands) ++passed[{i, h}].to;
      for (const uint32_t j : owners) ++passed[{j, (*hand)[i]}].from;
      shown[i] += static_cast<double>(hands.size());
      shows[(*hand)[i]] += static_cast<double>(owners.size());
    }
  }
  std::vector<uint32_t> to = *hand;
  for (auto it = passed.begin(); it != passed.end();) {
    const uint32_t i = it->first.first, own = (*hand)[i];
    const auto mine = passed.find({i, own});
    double most = pool[own] && mine != passed.end() ? 2 * (mine->second.to + mine->second.from) : 0;
    for (; it != passed.end() && it->first.first == i; ++it) {
      const uint32_t h = it->first.second;
      const double both = it->second.to + it->second.from;
      const double expected =
          (shown[i] * rows[h] + shows[h] * static_cast<double>(rows_of[i])) / all;
      if (h == own || !pool[h] || both <= most || it->second.to < kPassedMin ||
          it->second.from < kPassedMin || both < kPassedShare * expected)
        continue;
      most = both;
      to[i] = h;
    }
  }
  *hand = std::move(to);
}

}  // namespace

std::vector<Candidate> SplitByHand(const Background& background, const link::AccountGraph& graph,
                                   const link::PoolOptions& options, Candidate whole) {
  const link::Log& log = background.log();
  const std::vector<uint32_t> pool = link::FindPools(graph, whole.accounts, options);
  std::map<uint32_t, uint32_t> sizes, replayers;
  for (const uint32_t a : whole.accounts) {
    if (pool[a] == link::kNone) continue;
    ++sizes[pool[a]];
    replayers[pool[a]] += background.Replaying(a);
  }
  // Who replays signatures and who does not are never one hand. Those without a pool of some size are
  // two: accounts that do little else, and people for whom this is one thing among others.
  constexpr uint32_t kDedicated = link::kNone, kOccasional = link::kNone - 1;
  std::map<std::pair<uint32_t, bool>, uint32_t> number;  // of each hand, in order of its first account
  std::vector<uint32_t> hand;                            // of each account
  std::vector<size_t> rows_of;                           // of each account
  std::vector<bool> is_pool;                             // of each hand
  for (size_t i = 0, row = 0; i < whole.accounts.size(); ++i) {
    const uint32_t a = whole.accounts[i];
    const size_t first = row;
    while (row < whole.rows.size() && log.row_account[whole.rows[row]] == a) ++row;
    const bool pooled = pool[a] != link::kNone &&
                        (background.Replaying(a) ? replayers[pool[a]] : sizes[pool[a]]) >= kHandMin;
    const uint32_t loose = (row - first) * 5 >= log.Exchanges(a) * 4 ? kDedicated : kOccasional;
    const std::pair of(pooled ? pool[a] : loose, background.Replaying(a));
    hand.push_back(number.emplace(of, static_cast<uint32_t>(number.size())).first->second);
    rows_of.push_back(row - first);
    is_pool.resize(number.size(), pooled);
  }
  Home(background, whole, rows_of, is_pool, &hand);
  std::map<uint32_t, uint32_t> left;  // hands of which not everybody went home, numbered anew
  for (uint32_t& h : hand) h = left.emplace(h, static_cast<uint32_t>(left.size())).first->second;
  struct Part {
    uint32_t number = 0;           // no other part ever has it
    size_t rows = 0;
    bool replays = false;
    std::vector<uint32_t> hands;
  };
  std::vector<Part> parts(left.size());
  std::vector<std::vector<uint32_t>> positions(left.size());  // of each hand
  for (uint32_t i = 0; i < hand.size(); ++i) positions[hand[i]].push_back(i);
  for (uint32_t h = 0; h < parts.size(); ++h) {
    parts[h] = {h, 0, background.Replaying(whole.accounts[positions[h][0]]), {h}};
    for (const uint32_t i : positions[h]) parts[h].rows += rows_of[i];
  }
  // Of parts that were tested; one of several hands has the beats of each, against its own habits.
  std::map<uint32_t, link::Beat> beats;
  const auto beat = [&](const Part& p) -> const link::Beat& {
    const auto it = beats.find(p.number);
    if (it != beats.end()) return it->second;
    const std::vector<link::Event> events =
        EventsOf(log, Take(log, whole, positions[p.number]).rows);
    return beats.emplace(p.number, link::Beat(events, CoveredFrom(log))).first->second;
  };
  uint32_t next_number = static_cast<uint32_t>(parts.size());
  const auto join = [&](size_t i, size_t j) {
    beats.emplace(next_number, link::Beat::Joined(beat(parts[i]), beat(parts[j])));
    beats.erase(parts[i].number);
    beats.erase(parts[j].number);
    parts[i].number = next_number++;
    parts[i].rows += parts[j].rows;
    parts[i].hands.insert(parts[i].hands.end(), parts[j].hands.begin(), parts[j].hands.end());
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(j));
  };
  std::stable_sort(parts.begin(), parts.end(), [](const Part& x, const Part& y) { return x.rows > y.rows; });
  const Passed passed(background, whole, hand, rows_of, left.size());
  for (size_t i = 0; i < std::min(parts.size(), kPartsMax); ++i) {
    for (size_t j = i + 1; j < std::min(parts.size(), kPartsMax);) {
      if (passed.OneStore(parts[i].hands, parts[j].hands))
        join(i, j), j = i + 1;
      else
        ++j;
    }
  }
  std::map<std::pair<uint32_t, uint32_t>, link::Rhythm> apart;  // pairs of numbers that were tested
  for (bool joined = true; joined;) {
    joined = false;
    for (size_t i = 0; i < std::min(parts.size(), kPartsMax) && !joined; ++i) {
      for (size_t j = i + 1; j < std::min(parts.size(), kPartsMax) && !joined; ++j) {
        if (parts[i].replays != parts[j].replays) continue;
        const auto [it, fresh] = apart.try_emplace(std::minmax(parts[i].number, parts[j].number));
        if (!fresh) continue;
        const link::Rhythm cross = it->second =
            link::MeasureCrossRhythm(beat(parts[i]), beat(parts[j]));
        if (cross.power < 2 || cross.z < std::max(2.0, cross.power / 3)) continue;
        join(i, j);
        joined = true;
      }
    }
  }
  // What two small parts alone have too little traffic to tell, a part and all the others may:
  // pools of one card each would otherwise look like so many customers. Scores are added by their
  // power (Stouffer).
  std::array<std::vector<size_t>, 2> heard;  // by replaying
  for (size_t i = 0; i < std::min(parts.size(), kPartsMax); ++i) {
    double score = 0, power = 0;
    for (size_t j = 0; j < std::min(parts.size(), kPartsMax); ++j) {
      if (i == j || parts[i].replays != parts[j].replays) continue;
      const link::Rhythm& cross = apart.at(std::minmax(parts[i].number, parts[j].number));
      score += cross.z * cross.power;
      power += cross.power * cross.power;
    }
    power = std::sqrt(power);
    if (power >= 2 && score / power >= std::max(kAudibleScore, power / 3))
      heard[parts[i].replays].push_back(i);
  }
  std::vector<size_t> gone;
  for (const std::vector<size_t>& together : heard) {
    for (size_t k = 1; k < together.size(); ++k) {
      const std::vector<uint32_t>& hands = parts[together[k]].hands;
      parts[together[0]].hands.insert(parts[together[0]].hands.end(), hands.begin(), hands.end());
      gone.push_back(together[k]);
    }
  }
  std::sort(gone.rbegin(), gone.rend());
  for (const size_t i : gone) parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i));
  whole.part = hand;
  std::vector<uint32_t> part_of(left.size());
  for (uint32_t p = 0; p < parts.size(); ++p) {
    for (const uint32_t h : parts[p].hands) part_of[h] = p;
  }
  std::vector<std::vector<uint32_t>> members(parts.size());
  for (uint32_t i = 0; i < hand.size(); ++i) members[part_of[hand[i]]].push_back(i);
  base::Release(beats);
  std::vector<Candidate> out;
  for (uint32_t p = 0; p < parts.size(); ++p) {
    Candidate c = Take(log, whole, members[p]);
    std::map<uint32_t, uint32_t> dense;
    for (uint32_t& h : c.part) h = dense.emplace(h, static_cast<uint32_t>(dense.size())).first->second;
    out.push_back(std::move(c));
  }
  return out;
}

std::vector<Candidate> SplitByQueue(const Background& background, const link::AccountGraph& graph,
                                    Candidate whole, const base::Parallel& parallel) {
  const link::Log& log = background.log();
  std::vector<Candidate> out;
  for (int queue = 0; queue < kQueuesMax; ++queue) {
    const std::vector<uint32_t> main_template = MainTemplates(log, whole);
    const std::vector<link::Event> events = EventsOf(log, whole.rows);
    Following f = Follow(background, graph, whole, main_template, events, parallel);
    const auto n = std::count(f.in.begin(), f.in.end(), true);
    if (n == 0) break;
    whole.way_bits = std::move(f.way_bits);
    if (static_cast<size_t>(n) == f.in.size()) break;
    out.push_back(Select(log, whole, [&](size_t i) { return f.in[i]; }));
    out.back().unpicked = Unpicked(background, graph, whole, main_template, events, parallel);
    whole = Select(log, whole, [&](size_t i) { return !f.in[i]; });
    whole.way_bits.clear();
  }
  out.push_back(std::move(whole));
  return out;
}

}  // namespace stillwatch::judge
