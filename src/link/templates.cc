#include "link/templates.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <unordered_map>

#include "absl/container/flat_hash_map.h"
#include "base/hash.h"
#include "base/release.h"

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

constexpr size_t kAccountsAtOnce = 1'024;

// Calls each(set, exchanges that have it) for the sets of one account, ascending.
template <typename F>
void EachSet(const Log& log, uint32_t a, std::vector<uint32_t>* sets, F&& each) {
  sets->clear();
  for (uint64_t row = log.first_row[a]; row < log.first_row[a + 1]; ++row) {
    if (const uint32_t set = log.text[row]; set != 0) sets->push_back(set);
  }
  std::sort(sets->begin(), sets->end());
  for (size_t i = 0, j = 0; i < sets->size(); i = j) {
    while (j < sets->size() && (*sets)[j] == (*sets)[i]) ++j;
    each((*sets)[i], j - i);
  }
}

// Of each hash its exchanges and as many of its entities as matter. What is of one hash lies in one
// place, because each hash of each text is added.
class Carriers {
 public:
  explicit Carriers(uint32_t entities) : enough_(entities), width_(kEntities + entities) { Grow(); }
  void Add(uint64_t hash, uint32_t entity, uint64_t rows) {
    size_t at = base::Mix64(hash) & mask_;
    while (slots_[at] != 0 && Get(slots_[at] - 1, kHash) != hash) at = (at + 1) & mask_;
    if (slots_[at] == 0) {
      words_.resize(words_.size() + width_);
      slots_[at] = static_cast<uint32_t>(++size_);
      Put(size_ - 1, kHash, hash);
      if (size_ * 2 > mask_) Grow(), at = SlotOf(hash);
    }
    const size_t k = slots_[at] - 1;
    Put(k, kRows, Get(k, kRows) + rows);
    uint32_t& n = words_[k * width_ + kCount];
    uint32_t* const first = &words_[k * width_ + kEntities];
    if (n == enough_ || std::find(first, first + n, entity) != first + n) return;
    first[n++] = entity;
  }
  void Add(const Carriers& other) {
    for (size_t k = 0; k < other.size_; ++k) {
      const uint32_t* const of = &other.words_[k * width_];
      for (uint32_t i = 0; i < of[kCount]; ++i)
        Add(other.Get(k, kHash), of[kEntities + i], i == 0 ? other.Get(k, kRows) : 0);
    }
  }
  // Hashes that enough entities and exchanges carry, ascending.
  std::vector<uint64_t> Frequent(uint64_t rows_min) const {
    std::vector<uint64_t> out;
    for (size_t k = 0; k < size_; ++k) {
      if (words_[k * width_ + kCount] == enough_ && Get(k, kRows) >= rows_min)
        out.push_back(Get(k, kHash));
    }
    std::sort(out.begin(), out.end());
    return out;
  }

 private:
  enum : size_t { kHash = 0, kRows = 2, kCount = 4, kEntities = 5 };  // words of one
  uint64_t Get(size_t k, size_t what) const {
    uint64_t v;
    std::memcpy(&v, &words_[k * width_ + what], sizeof v);
    return v;
  }
  void Put(size_t k, size_t what, uint64_t v) {
    std::memcpy(&words_[k * width_ + what], &v, sizeof v);
  }
  size_t SlotOf(uint64_t hash) const {
    size_t at = base::Mix64(hash) & mask_;
    while (Get(slots_[at] - 1, kHash) != hash) at = (at + 1) & mask_;
    return at;
  }
  void Grow() {
    mask_ = std::max<size_t>(1'024, (mask_ + 1) * 2) - 1;
    slots_.assign(mask_ + 1, 0);
    for (size_t k = 0; k < size_; ++k) {
      size_t at = base::Mix64(Get(k, kHash)) & mask_;
      while (slots_[at] != 0) at = (at + 1) & mask_;
      slots_[at] = static_cast<uint32_t>(k + 1);
    }
  }
  const uint32_t enough_;
  const size_t width_;
  size_t mask_ = 0, size_ = 0;
  std::vector<uint32_t> slots_;  // open addressing: number + 1, 0: free
  std::vector<uint32_t> words_;
};

std::vector<uint64_t> FrequentHashes(const Log& log, const TemplateOptions& options,
                                     const base::Parallel& parallel) {
  std::vector<Carriers> carriers(static_cast<size_t>(parallel.threads()),
                                 Carriers(std::max(1u, options.entities_min)));
  parallel.For(log.accounts(), kAccountsAtOnce, [&](size_t begin, size_t end, int worker) {
    Carriers& mine = carriers[static_cast<size_t>(worker)];
    std::vector<uint32_t> sets;
    for (size_t a = begin; a < end; ++a) {
      EachSet(log, static_cast<uint32_t>(a), &sets, [&](uint32_t set, uint64_t rows) {
        for (const uint64_t h : log.texts[set]) mine.Add(h, log.entity[a], rows);
      });
    }
  });
  for (size_t w = 1; w < carriers.size(); ++w) carriers[0].Add(carriers[w]);
  return carriers[0].Frequent(options.ExchangesMin(log.rows()));
}

// The sets without their other hashes: what a set has beside frequent ones depends on collisions
// and must not matter. Sets that are then equal are one.
struct Hits {
  std::vector<uint32_t>
      of;  // of each of the log's sets the one that stands for it; kNone: nothing is left
  std::vector<uint32_t> rows;  // exchanges that have it
};

// The frequent hashes of a set, by number.
void FrequentOf(const TextSet& set, const FrequentSet& frequent, std::vector<uint32_t>* ids) {
  ids->clear();
  for (const uint64_t h : set) {
    if (const uint32_t id = frequent.Find(h); id != kNone) ids->push_back(id);
  }
}

// What is left of a set, by its hash of 64 bits, and the first such set that came.
class Remainders {
 public:
  uint32_t Stands(uint64_t hash, uint32_t set) {
    Shard& shard = shards_[hash >> (64 - kShardBits)];
    const std::lock_guard<std::mutex> lock(shard.mutex);
    return shard.of.try_emplace(hash, set).first->second;
  }

 private:
  static constexpr int kShardBits = 6;
  struct Shard {
    std::mutex mutex;
    absl::flat_hash_map<uint64_t, uint32_t> of;
  };
  std::array<Shard, size_t{1} << kShardBits> shards_;
};

Hits HitsOf(const Log& log, const FrequentSet& frequent, const base::Parallel& parallel) {
  const size_t sets = log.texts.bound();
  Hits out;
  out.rows.assign(sets, 0);
  for (size_t row = 0; row < log.rows(); ++row) ++out.rows[log.text[row]];
  out.rows[0] = 0;  // no text
  out.of.assign(sets, kNone);
  Remainders remainders;
  parallel.For(sets, 16'384, [&](size_t begin, size_t end, int) {
    std::vector<uint32_t> ids;
    for (size_t set = begin; set < end; ++set) {
      if (out.rows[set] == 0) continue;
      FrequentOf(log.texts[static_cast<uint32_t>(set)], frequent, &ids);
      if (ids.empty()) continue;
      uint64_t hash = ids.size();
      for (const uint32_t id : ids) hash = base::Combine64(hash, id);
      out.of[set] = remainders.Stands(hash, static_cast<uint32_t>(set));
    }
  });
  for (size_t set = 0; set < sets; ++set) {
    const uint32_t of = out.of[set];
    if (of == set) continue;
    if (of != kNone) out.rows[of] += out.rows[set];
    out.rows[set] = 0;
  }
  return out;
}

struct Occurrence {
  std::array<float, kMinHashes> min;
  uint64_t rows = 0;
};

// Where each frequent hash occurs. A set of n exchanges draws n numbers at once: the least of n
// exponentials is one of n times the rate.
std::vector<Occurrence> Occurrences(const Log& log, const Hits& hits, const FrequentSet& frequent,
                                    const std::vector<uint64_t>& keys,
                                    const base::Parallel& parallel) {
  const size_t count = keys.size();
  std::vector<std::vector<Occurrence>> partial(parallel.threads());
  Occurrence empty;
  empty.min.fill(std::numeric_limits<float>::infinity());
  parallel.For(hits.rows.size(), 16'384, [&](size_t begin, size_t end, int worker) {
    auto& mine = partial[worker];
    if (mine.empty()) mine.assign(count, empty);
    std::array<float, kMinHashes> drawn;
    std::vector<uint32_t> ids;
    for (size_t set = begin; set < end; ++set) {
      if (hits.rows[set] == 0) continue;
      FrequentOf(log.texts[static_cast<uint32_t>(set)], frequent, &ids);
      uint64_t state = 0;
      for (const uint32_t id : ids) state = base::Combine64(state, keys[id]);
      for (int k = 0; k < kMinHashes; ++k) {
        state = base::Mix64(state + 0x9e3779b97f4a7c15ULL);
        const double uniform = (static_cast<double>(state >> 11) + .5) * 0x1p-53;
        drawn[k] = static_cast<float>(-std::log(uniform) / static_cast<double>(hits.rows[set]));
      }
      for (const uint32_t id : ids) {
        Occurrence& o = mine[id];
        o.rows += hits.rows[set];
        for (int k = 0; k < kMinHashes; ++k) o.min[k] = std::min(o.min[k], drawn[k]);
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
  const FrequentSet frequent(keys);
  const Hits hits = HitsOf(log, frequent, parallel);
  const std::vector<Occurrence> where = Occurrences(log, hits, frequent, keys, parallel);

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
      const auto it = buckets.find(uint64_t(k) << 32 | std::bit_cast<uint32_t>(where[i].min[k]));
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
        buckets[uint64_t(k) << 32 | std::bit_cast<uint32_t>(where[i].min[k])].push_back(best);
      }
    }
    group_of[i] = best;
    groups[best].push_back(i);
  }

  // A scaffold is at least two shingles that keep together; a lone one is a turn of phrase.
  // An exchange belongs to the group of which it carries the most, and at least two in five.
  std::vector<uint32_t> assigned(hits.rows.size(), kNone);  // of sets
  std::vector<std::unordered_map<uint64_t, uint64_t>> beside(
      parallel.threads());  // (group, other) -> rows
  parallel.For(hits.rows.size(), 16'384, [&](size_t begin, size_t end, int worker) {
    std::vector<std::pair<uint32_t, uint32_t>> counts;  // (group, how many of it)
    std::vector<uint32_t> ids;
    for (size_t set = begin; set < end; ++set) {
      if (hits.rows[set] == 0) continue;
      counts.clear();
      FrequentOf(log.texts[static_cast<uint32_t>(set)], frequent, &ids);
      for (const uint32_t id : ids) {
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
      assigned[set] = best;
      for (const auto& [g, carried] : counts) {
        if (g != best && carried * 5 >= groups[g].size() * 2 &&
            groups[g].size() * 3 >= groups[best].size()) {
          beside[worker][uint64_t{best} << 32 | g] += hits.rows[set];
        }
      }
    }
  });

  std::vector<Template> out(groups.size());
  {
    constexpr size_t kRowsAtOnce = 1 << 18;
    std::vector<std::vector<std::pair<uint32_t, uint32_t>>> found((log.rows() + kRowsAtOnce - 1) /
                                                                  kRowsAtOnce);  // group, row
    parallel.For(found.size(), 1, [&](size_t begin, size_t end, int) {
      for (size_t block = begin; block < end; ++block) {
        const size_t last = std::min(log.rows(), (block + 1) * kRowsAtOnce);
        for (size_t row = block * kRowsAtOnce; row < last; ++row) {
          const uint32_t set = hits.of[log.text[row]];
          if (const uint32_t g = set == kNone ? kNone : assigned[set]; g != kNone)
            found[block].push_back({g, static_cast<uint32_t>(row)});
        }
      }
    });
    for (auto& block : found) {
      for (const auto& [g, row] : block) out[g].rows.push_back(row);
      base::Release(block);
    }
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
    if (t.rows.size() < options.ExchangesMin(log.rows())) return true;
    std::vector<uint32_t> entities;
    uint32_t last = kNone;  // rows of one account are neighbours
    for (const uint32_t row : t.rows) {
      if (log.row_account[row] != last) entities.push_back(log.entity[last = log.row_account[row]]);
    }
    std::sort(entities.begin(), entities.end());
    return std::unique(entities.begin(), entities.end()) - entities.begin() < options.entities_min;
  });
  std::sort(out.begin(), out.end(), [](const Template& a, const Template& b) {
    return a.rows.size() != b.rows.size() ? a.rows.size() > b.rows.size() : a.id < b.id;
  });
  return out;
}

}  // namespace stillwatch::link
