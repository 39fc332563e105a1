#include "link/templates.h"

#include <algorithm>
#include <array>
#include <bit>
#include <unordered_map>

#include "base/hash.h"

namespace stillwatch::link {
namespace {

constexpr int kMinHashes = 16;

// Open-addressing map from a salted hash to its number among the frequent ones. Most questions are
// about hashes that are not there: a bitmap that fits a core's cache answers those.
class FrequentSet {
 public:
  explicit FrequentSet(const std::vector<uint64_t>& keys) {
    size_t size = 16;
    while (size < keys.size() * 4) size *= 2;
    mask_ = size - 1;
    slots_.assign(size, {~uint64_t{0}, 0});
    bits_.assign(std::clamp<size_t>(size, 1 << 16, 1 << 22) / 64, 0);
    for (const uint64_t k : keys) bits_[k / 64 & (bits_.size() - 1)] |= uint64_t{1} << k % 64;
    for (uint32_t i = 0; i < keys.size(); ++i) {
      size_t at = base::Mix64(keys[i]) & mask_;
      while (slots_[at].first != ~uint64_t{0}) at = (at + 1) & mask_;
      slots_[at] = {keys[i], i};
    }
  }
  uint32_t Find(uint64_t key) const {
    if (!(bits_[key / 64 & (bits_.size() - 1)] >> key % 64 & 1)) return kNone;
    for (size_t at = base::Mix64(key) & mask_;; at = (at + 1) & mask_) {
      if (slots_[at].first == key) return slots_[at].second;
      if (slots_[at].first == ~uint64_t{0}) return kNone;
    }
  }

 private:
  std::vector<std::pair<uint64_t, uint32_t>> slots_;
  std::vector<uint64_t> bits_;
  size_t mask_ = 0;
};

template <typename F>
void ForEachHash(const Log& log, size_t row, F&& f) {
  for (const uint32_t h : log.turn[row]) f(SaltTurn(h));
  for (const uint32_t h : log.system[row]) f(SaltSystem(h));
}

// Hashes carried by enough entities and exchanges, ascending. Most are of payloads and occur once:
// hashes are dealt into parts that fit a core's cache, where a table of counters drops those before
// anything is sorted. A collision lets one through, never out.
std::vector<uint64_t> FrequentHashes(const Log& log, const TemplateOptions& options,
                                     const base::Parallel& parallel) {
  constexpr size_t kHashesAtOnce = 1 << 26;  // bound on memory: 8 bytes each
  constexpr int kPartBits = 8;
  constexpr uint8_t kEnough = 200;
  const uint8_t enough = static_cast<uint8_t>(std::min<uint32_t>(options.exchanges_min, kEnough));
  const size_t total = log.turn.values.size() + log.system.values.size();
  const int round_bits = static_cast<int>(std::bit_width(total / kHashesAtOnce));
  const size_t parts = size_t{1} << kPartBits;
  std::vector<std::vector<uint64_t>> found(parts << round_bits);
  for (size_t round = 0; round < size_t{1} << round_bits; ++round) {
    // A salted hash in the upper 33 bits, its entity in the lower 31.
    std::vector<std::vector<std::vector<uint64_t>>> dealt(
        parallel.threads(), std::vector<std::vector<uint64_t>>(parts));
    parallel.For(log.rows(), 65'536, [&](size_t begin, size_t end, int worker) {
      auto& mine = dealt[worker];
      for (size_t row = begin; row < end; ++row) {
        const uint64_t entity = log.entity[log.row_account[row]];
        ForEachHash(log, row, [&](uint64_t h) {
          const uint64_t at = base::Mix64(h) >> (64 - kPartBits - round_bits);
          if (at >> kPartBits == round) mine[at & (parts - 1)].push_back(h << 31 | entity);
        });
      }
    });
    parallel.For(parts, 1, [&](size_t begin, size_t end, int) {
      std::vector<uint8_t> counters;
      std::vector<uint64_t> kept;
      for (size_t part = begin; part < end; ++part) {
        size_t n = 0;
        for (const auto& d : dealt) n += d[part].size();
        const int bits = std::max<int>(6, static_cast<int>(std::bit_width(n)));
        counters.assign(size_t{1} << bits, 0);
        const auto slot = [&](uint64_t packed) {
          return (packed >> 31) * 0x9e3779b97f4a7c15ULL >> (64 - bits);
        };
        for (const auto& d : dealt) {
          for (const uint64_t packed : d[part]) {
            uint8_t& c = counters[slot(packed)];
            c = static_cast<uint8_t>(c + (c < kEnough));
          }
        }
        kept.clear();
        for (auto& d : dealt) {
          for (const uint64_t packed : d[part]) {
            if (counters[slot(packed)] >= enough) kept.push_back(packed);
          }
          d[part] = {};
        }
        std::sort(kept.begin(), kept.end());
        for (size_t i = 0; i < kept.size();) {
          size_t j = i;
          uint32_t entities = 0;
          for (; j < kept.size() && kept[j] >> 31 == kept[i] >> 31; ++j)
            entities += j == i || kept[j] != kept[j - 1];
          if (entities >= options.entities_min && j - i >= options.exchanges_min) {
            found[round << kPartBits | part].push_back(kept[i] >> 31);
          }
          i = j;
        }
      }
    });
  }
  std::vector<uint64_t> all;
  for (const auto& f : found) all.insert(all.end(), f.begin(), f.end());
  std::sort(all.begin(), all.end());
  return all;
}

// Of each row the numbers of its frequent hashes.
Ragged<uint32_t> Hits(const Log& log, const std::vector<uint64_t>& keys,
                      const base::Parallel& parallel) {
  const FrequentSet frequent(keys);
  constexpr size_t kGrain = 65'536;
  std::vector<Ragged<uint32_t>> pieces((log.rows() + kGrain - 1) / kGrain);
  parallel.For(pieces.size(), 1, [&](size_t begin, size_t end, int) {
    for (size_t piece = begin; piece < end; ++piece) {
      Ragged<uint32_t>& mine = pieces[piece];
      for (size_t row = piece * kGrain; row < std::min(log.rows(), (piece + 1) * kGrain); ++row) {
        ForEachHash(log, row, [&](uint64_t h) {
          if (const uint32_t id = frequent.Find(h); id != kNone) mine.values.push_back(id);
        });
        mine.Close();
      }
    }
  });
  Ragged<uint32_t> all;
  all.ends.reserve(log.rows());
  for (Ragged<uint32_t>& piece : pieces) {
    const uint64_t before = all.values.size();
    all.values.insert(all.values.end(), piece.values.begin(), piece.values.end());
    for (const uint64_t end : piece.ends) all.ends.push_back(before + end);
    piece = {};
  }
  return all;
}

struct Occurrence {
  std::array<uint32_t, kMinHashes> min;
  uint32_t rows = 0;
};

// Where each frequent hash occurs, as min-hashes over exchange numbers.
std::vector<Occurrence> Occurrences(const Ragged<uint32_t>& hits, size_t count,
                                    const base::Parallel& parallel) {
  std::vector<std::vector<Occurrence>> partial(parallel.threads());
  Occurrence empty;
  empty.min.fill(kNone);
  parallel.For(hits.size(), 16'384, [&](size_t begin, size_t end, int worker) {
    auto& mine = partial[worker];
    if (mine.empty()) mine.assign(count, empty);
    std::array<uint32_t, kMinHashes> row_hash;
    for (size_t row = begin; row < end; ++row) {
      if (hits[row].empty()) continue;
      uint64_t state = base::Mix64(row + 1);
      for (int k = 0; k < kMinHashes; k += 2) {
        state = base::Mix64(state + 0x9e3779b97f4a7c15ULL);
        row_hash[k] = static_cast<uint32_t>(state);
        row_hash[k + 1] = static_cast<uint32_t>(state >> 32);
      }
      for (const uint32_t id : hits[row]) {
        Occurrence& o = mine[id];
        ++o.rows;
        for (int k = 0; k < kMinHashes; ++k) o.min[k] = std::min(o.min[k], row_hash[k]);
      }
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
  const Ragged<uint32_t> hits = Hits(log, keys, parallel);
  const std::vector<Occurrence> where = Occurrences(hits, keys.size(), parallel);

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
  std::vector<std::unordered_map<uint64_t, uint32_t>> beside(
      parallel.threads());  // (group, other) -> rows
  parallel.For(log.rows(), 16'384, [&](size_t begin, size_t end, int worker) {
    std::vector<std::pair<uint32_t, uint32_t>> counts;  // (group, how many of it)
    for (size_t row = begin; row < end; ++row) {
      counts.clear();
      for (const uint32_t id : hits[row]) {
        const uint32_t g = group_of[id];
        if (groups[g].size() < 2) continue;
        const auto it =
            std::find_if(counts.begin(), counts.end(), [&](const auto& c) { return c.first == g; });
        if (it != counts.end())
          ++it->second;
        else
          counts.push_back({g, 1});
      }
      uint32_t best = kNone;
      uint32_t best_carried = 0;
      for (const auto& [g, carried] : counts) {
        if (carried * 5 < groups[g].size() * 2) continue;
        if (best == kNone || carried > best_carried || (carried == best_carried && g < best)) {
          best = g;
          best_carried = carried;
        }
      }
      assigned[row] = best;
      for (const auto& [g, carried] : counts) {
        if (g != best && carried * 5 >= groups[g].size() * 2 &&
            groups[g].size() * 3 >= groups[best].size()) {
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
