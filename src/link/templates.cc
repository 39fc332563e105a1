#include "link/templates.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "base/hash.h"

namespace stillwatch::link {
namespace {

constexpr int kMinHashes = 16;

// Open-addressing map from a salted hash to its number among the frequent ones.
class FrequentSet {
 public:
  explicit FrequentSet(const std::vector<uint64_t>& keys) {
    size_t size = 16;
    while (size < keys.size() * 4) size *= 2;
    mask_ = size - 1;
    slots_.assign(size, {~uint64_t{0}, 0});
    for (uint32_t i = 0; i < keys.size(); ++i) {
      size_t at = base::Mix64(keys[i]) & mask_;
      while (slots_[at].first != ~uint64_t{0}) at = (at + 1) & mask_;
      slots_[at] = {keys[i], i};
    }
  }
  uint32_t Find(uint64_t key) const {
    for (size_t at = base::Mix64(key) & mask_;; at = (at + 1) & mask_) {
      if (slots_[at].first == key) return slots_[at].second;
      if (slots_[at].first == ~uint64_t{0}) return kNone;
    }
  }

 private:
  std::vector<std::pair<uint64_t, uint32_t>> slots_;
  size_t mask_ = 0;
};

template <typename F>
void ForEachHash(const Log& log, size_t row, F&& f) {
  for (const uint32_t h : log.turn[row]) f(SaltTurn(h));
  for (const uint32_t h : log.system[row]) f(SaltSystem(h));
}

// Hashes carried by enough entities and exchanges, ascending.
std::vector<uint64_t> FrequentHashes(const Log& log, const TemplateOptions& options,
                                     const base::Parallel& parallel) {
  // Most hashes are of payloads and occur once: a table of counters drops them before anything is
  // sorted. A collision lets one through, never out.
  constexpr size_t kCounters = 1 << 24;
  std::vector<uint16_t> counters(kCounters, 0);
  constexpr uint16_t kEnough = 1000;
  const auto slot = [](uint64_t h) { return base::Mix64(h) >> 40; };
  parallel.For(log.rows(), 16'384, [&](size_t begin, size_t end, int) {
    for (size_t row = begin; row < end; ++row) {
      ForEachHash(log, row, [&](uint64_t h) {
        uint16_t& c = counters[slot(h)];
        if (__atomic_load_n(&c, __ATOMIC_RELAXED) < kEnough) __atomic_fetch_add(&c, 1, __ATOMIC_RELAXED);
      });
    }
  });
  const uint16_t enough = static_cast<uint16_t>(std::min<uint32_t>(options.exchanges_min, kEnough));
  struct Pair {
    uint64_t key;  // salted hash
    uint32_t entity;
    bool operator<(const Pair& o) const { return key != o.key ? key < o.key : entity < o.entity; }
  };
  const size_t parts = static_cast<size_t>(parallel.threads()) * 4;
  std::vector<std::vector<std::vector<Pair>>> gathered(parallel.threads(), std::vector<std::vector<Pair>>(parts));
  parallel.For(log.rows(), 16'384, [&](size_t begin, size_t end, int worker) {
    for (size_t row = begin; row < end; ++row) {
      const uint32_t entity = log.entity[log.row_account[row]];
      ForEachHash(log, row, [&](uint64_t h) {
        if (counters[slot(h)] < enough) return;
        gathered[worker][(static_cast<uint32_t>(h) * uint64_t{parts}) >> 32].push_back({h, entity});
      });
    }
  });
  std::vector<std::vector<uint64_t>> found(parts);
  parallel.For(parts, 1, [&](size_t begin, size_t end, int) {
    for (size_t part = begin; part < end; ++part) {
      std::vector<Pair> pairs;
      for (auto& g : gathered) {
        pairs.insert(pairs.end(), g[part].begin(), g[part].end());
        g[part] = {};
      }
      std::sort(pairs.begin(), pairs.end());
      for (size_t i = 0; i < pairs.size();) {
        size_t j = i;
        uint32_t entities = 0;
        while (j < pairs.size() && pairs[j].key == pairs[i].key) {
          if (j == i || pairs[j].entity != pairs[j - 1].entity) ++entities;
          ++j;
        }
        if (entities >= options.entities_min && j - i >= options.exchanges_min) found[part].push_back(pairs[i].key);
        i = j;
      }
    }
  });
  std::vector<uint64_t> all;
  for (const auto& f : found) all.insert(all.end(), f.begin(), f.end());
  std::sort(all.begin(), all.end());
  return all;
}

struct Occurrence {
  std::array<uint32_t, kMinHashes> min;
  uint32_t rows = 0;
};

// Where each frequent hash occurs, as min-hashes over exchange numbers.
std::vector<Occurrence> Occurrences(const Log& log, const FrequentSet& frequent, size_t count,
                                    const base::Parallel& parallel) {
  std::vector<std::vector<Occurrence>> partial(parallel.threads());
  Occurrence empty;
  empty.min.fill(kNone);
  parallel.For(log.rows(), 16'384, [&](size_t begin, size_t end, int worker) {
    auto& mine = partial[worker];
    if (mine.empty()) mine.assign(count, empty);
    std::array<uint32_t, kMinHashes> row_hash;
    for (size_t row = begin; row < end; ++row) {
      bool ready = false;
      ForEachHash(log, row, [&](uint64_t h) {
        const uint32_t id = frequent.Find(h);
        if (id == kNone) return;
        if (!ready) {
          uint64_t state = base::Mix64(row + 1);
          for (int k = 0; k < kMinHashes; k += 2) {
            state = base::Mix64(state + 0x9e3779b97f4a7c15ULL);
            row_hash[k] = static_cast<uint32_t>(state);
            row_hash[k + 1] = static_cast<uint32_t>(state >> 32);
          }
          ready = true;
        }
        Occurrence& o = mine[id];
        ++o.rows;
        for (int k = 0; k < kMinHashes; ++k) o.min[k] = std::min(o.min[k], row_hash[k]);
      });
    }
  });
  std::vector<Occurrence> all(count, empty);
  for (const auto& p : partial) {
    for (size_t i = 0; i < p.size(); ++i) {
      all[i].rows += p[i].rows;
      for (int k = 0; k < kMinHashes; ++k) all[i].min[k] = std::min(all[i].min[k], p[i].min[k]);
    }
  }
  return all;
}

}  // namespace

std::vector<Template> FindTemplates(const Log& log, const TemplateOptions& options,
                                    const base::Parallel& parallel) {
  const std::vector<uint64_t> keys = FrequentHashes(log, options, parallel);
  if (keys.empty()) return {};
  const FrequentSet frequent(keys);
  const std::vector<Occurrence> where = Occurrences(log, frequent, keys.size(), parallel);

  // Group by head, the most frequent first. One bucket per (min-hash position, value) finds the
  // heads worth comparing.
  std::vector<uint32_t> order(keys.size());
  for (uint32_t i = 0; i < keys.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return where[a].rows != where[b].rows ? where[a].rows > where[b].rows : keys[a] < keys[b];
  });
  std::vector<uint32_t> group_of(keys.size(), kNone);
  std::vector<uint32_t> heads;
  std::vector<std::vector<uint32_t>> groups;
  std::unordered_map<uint64_t, std::vector<uint32_t>> buckets;
  const int needed = static_cast<int>(options.together * kMinHashes + .999);
  for (const uint32_t i : order) {
    std::unordered_map<uint32_t, int> agreement;
    for (int k = 0; k < kMinHashes; ++k) {
      const auto it = buckets.find(uint64_t(k) << 32 | where[i].min[k]);
      if (it == buckets.end()) continue;
      for (const uint32_t g : it->second) ++agreement[g];
    }
    uint32_t best = kNone;
    int best_agreement = needed - 1;
    for (const auto& [g, n] : agreement) {
      if (n > best_agreement || (n == best_agreement && best != kNone && g < best)) {
        best = g;
        best_agreement = n;
      }
    }
    if (best == kNone) {
      best = static_cast<uint32_t>(heads.size());
      heads.push_back(i);
      groups.emplace_back();
      for (int k = 0; k < kMinHashes; ++k) {
        buckets[uint64_t(k) << 32 | where[i].min[k]].push_back(best);
      }
    }
    group_of[i] = best;
    groups[best].push_back(i);
  }

  // A scaffold is at least two shingles that keep together; a lone one is a turn of phrase.
  // An exchange belongs to the group of which it carries the most, and at least two in five.
  std::vector<uint32_t> assigned(log.rows(), kNone);
  std::vector<std::unordered_map<uint64_t, uint32_t>> beside(parallel.threads());  // (group, other) -> rows
  parallel.For(log.rows(), 16'384, [&](size_t begin, size_t end, int worker) {
    std::vector<std::pair<uint32_t, uint32_t>> counts;  // (group, hits)
    for (size_t row = begin; row < end; ++row) {
      counts.clear();
      ForEachHash(log, row, [&](uint64_t h) {
        const uint32_t id = frequent.Find(h);
        if (id == kNone || groups[group_of[id]].size() < 2) return;
        for (auto& c : counts) {
          if (c.first == group_of[id]) {
            ++c.second;
            return;
          }
        }
        counts.push_back({group_of[id], 1});
      });
      uint32_t best = kNone;
      uint32_t best_hits = 0;
      for (const auto& [g, hits] : counts) {
        if (hits * 5 < groups[g].size() * 2) continue;
        if (best == kNone || hits > best_hits || (hits == best_hits && g < best)) {
          best = g;
          best_hits = hits;
        }
      }
      assigned[row] = best;
      for (const auto& [g, hits] : counts) {
        if (g != best && hits * 5 >= groups[g].size() * 2 && groups[g].size() * 3 >= groups[best].size()) {
          ++beside[worker][uint64_t{best} << 32 | g];
        }
      }
    }
  });

  std::vector<Template> out(groups.size());
  for (uint32_t row = 0; row < log.rows(); ++row) {
    if (assigned[row] != kNone) out[assigned[row]].rows.push_back(row);
  }
  std::vector<uint32_t> family(groups.size());
  for (uint32_t g = 0; g < groups.size(); ++g) family[g] = g;
  const auto root = [&](uint32_t g) {
    while (family[g] != g) g = family[g] = family[family[g]];
    return g;
  };
  std::unordered_map<uint64_t, uint64_t> together;
  for (const auto& mine : beside) {
    for (const auto& [pair, n] : mine) together[pair] += n;
  }
  for (const auto& [pair, n] : together) {
    const uint32_t a = static_cast<uint32_t>(pair >> 32), b = static_cast<uint32_t>(pair);
    if (n * 2 < out[a].rows.size()) continue;
    // The smaller number leads: the same families in any order of joining.
    out[a].length += groups[b].size();
    const uint32_t x = root(a), y = root(b);
    family[std::max(x, y)] = std::min(x, y);
  }
  for (uint32_t g = 0; g < groups.size(); ++g) {
    out[g].family = root(g);
    out[g].length += groups[g].size();
    for (const uint32_t i : groups[g]) out[g].hashes.push_back(keys[i]);
    std::sort(out[g].hashes.begin(), out[g].hashes.end());
    uint64_t id = 0;
    for (const uint64_t h : out[g].hashes) id = base::Combine64(id, h);
    out[g].id = id;
  }
  std::erase_if(out, [&](const Template& t) {
    if (t.rows.size() < options.exchanges_min) return true;
    std::vector<uint32_t> entities;
    for (const uint32_t row : t.rows) entities.push_back(log.entity[log.row_account[row]]);
    std::sort(entities.begin(), entities.end());
    return std::unique(entities.begin(), entities.end()) - entities.begin() < options.entities_min;
  });
  std::sort(out.begin(), out.end(), [](const Template& a, const Template& b) {
    return a.rows.size() != b.rows.size() ? a.rows.size() > b.rows.size() : a.id < b.id;
  });
  return out;
}

}  // namespace stillwatch::link
