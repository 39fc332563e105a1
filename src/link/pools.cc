#include "link/pools.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <unordered_map>

#include "base/hash.h"
#include "base/release.h"

namespace stillwatch::link {
namespace {

using model::Family;

// Weighted graph of one level of the Leiden method: edges of node v are [first[v], first[v + 1]).
// Those of the first level are floats, sums of them are not.
template <typename Weight>
struct Level {
  std::vector<uint64_t> first;
  std::vector<uint32_t> to;
  std::vector<Weight> weight;
  std::vector<double> strength;  // sum of weights, loops twice
  double total = 0;              // sum of all weights, twice
  size_t nodes() const { return strength.size(); }
};

// Moves nodes to the neighbouring community of largest gain until none gains. Nodes are visited
// in ascending order, so the result is the same for the same graph.
template <typename Weight>
void LocalMoves(const Level<Weight>& g, double resolution, std::vector<uint32_t>* community) {
  const size_t n = g.nodes();
  std::vector<double> weight(n, 0.0);
  for (size_t v = 0; v < n; ++v) weight[(*community)[v]] += g.strength[v];
  std::vector<double> to(n, 0.0);
  std::vector<uint32_t> touched;
  std::vector<uint8_t> queued(n, 1);
  std::vector<uint32_t> queue(n);
  for (uint32_t v = 0; v < n; ++v) queue[v] = v;
  constexpr size_t kMovesPerNodeMax = 50;  // guards against cycles by rounding
  for (size_t head = 0; head < queue.size() && head < n * kMovesPerNodeMax; ++head) {
    const uint32_t v = queue[head];
    queued[v] = 0;
    touched.clear();
    for (uint64_t e = g.first[v]; e < g.first[v + 1]; ++e) {
      if (g.to[e] == v) continue;
      const uint32_t c = (*community)[g.to[e]];
      if (to[c] == 0) touched.push_back(c);
      to[c] += g.weight[e];
    }
    const uint32_t own = (*community)[v];
    weight[own] -= g.strength[v];
    const auto gain = [&](uint32_t c) {
      return to[c] - resolution * g.strength[v] * weight[c] / g.total;
    };
    uint32_t best = own;
    double best_gain = gain(own);
    std::sort(touched.begin(), touched.end());
    for (const uint32_t c : touched) {
      if (gain(c) > best_gain + 1e-9) {
        best = c;
        best_gain = gain(c);
      }
    }
    weight[best] += g.strength[v];
    for (const uint32_t c : touched) to[c] = 0;
    if (best == own) continue;
    (*community)[v] = best;
    for (uint64_t e = g.first[v]; e < g.first[v + 1]; ++e) {
      const uint32_t u = g.to[e];
      if (u != v && (*community)[u] != best && !queued[u]) {
        queued[u] = 1;
        queue.push_back(u);
      }
    }
  }
}

void Renumber(std::vector<uint32_t>* community) {
  std::vector<uint32_t> number(community->size(), kNone);
  uint32_t next = 0;
  for (uint32_t& c : *community) {
    if (number[c] == kNone) number[c] = next++;
    c = number[c];
  }
}

// Splits each community into well-connected parts: singletons merge, inside their community
// only, where the merge gains (Leiden's refinement, greedy instead of random).
template <typename Weight>
std::vector<uint32_t> Refine(const Level<Weight>& g, double resolution,
                             const std::vector<uint32_t>& community) {
  const size_t n = g.nodes();
  std::vector<uint32_t> part(n);
  for (uint32_t v = 0; v < n; ++v) part[v] = v;
  std::vector<double> weight = g.strength;
  std::vector<uint8_t> alone(n, 1);
  std::unordered_map<uint32_t, double> to;
  for (uint32_t v = 0; v < n; ++v) {
    if (!alone[v]) continue;
    to.clear();
    for (uint64_t e = g.first[v]; e < g.first[v + 1]; ++e) {
      const uint32_t u = g.to[e];
      if (u != v && community[u] == community[v]) to[part[u]] += g.weight[e];
    }
    uint32_t best = v;
    double best_gain = 0;
    for (const auto& [c, w] : to) {
      if (c == v) continue;
      const double gain = w - resolution * g.strength[v] * weight[c] / g.total;
      if (gain > best_gain + 1e-9 || (gain > best_gain - 1e-9 && best != v && c < best)) {
        best = c;
        best_gain = gain;
      }
    }
    if (best == v) continue;
    part[v] = best;
    alone[best] = 0;
    alone[v] = 0;
    weight[best] += g.strength[v];
    weight[v] = 0;
  }
  return part;
}

// The next level, whose nodes are the parts.
template <typename Weight>
Level<double> Merge(const Level<Weight>& g, const std::vector<uint32_t>& part, uint32_t parts) {
  Level<double> next;
  next.strength.assign(parts, 0.0);
  next.total = g.total;
  next.first.assign(parts + 1, 0);
  // The nodes of each part.
  std::vector<uint32_t> begin(parts + 1, 0), nodes(g.nodes());
  for (const uint32_t p : part) ++begin[p + 1];
  for (uint32_t p = 0; p < parts; ++p) begin[p + 1] += begin[p];
  std::vector<uint32_t> at(begin.begin(), begin.end() - 1);
  for (uint32_t v = 0; v < nodes.size(); ++v) nodes[at[part[v]]++] = v;
  std::vector<double> sum(parts, 0.0);
  std::vector<uint32_t> touched;
  for (uint32_t p = 0; p < parts; ++p) {
    touched.clear();
    for (uint32_t k = begin[p]; k < begin[p + 1]; ++k) {
      const uint32_t v = nodes[k];
      next.strength[p] += g.strength[v];
      for (uint64_t e = g.first[v]; e < g.first[v + 1]; ++e) {
        double& s = sum[part[g.to[e]]];
        if (s == 0) touched.push_back(part[g.to[e]]);
        s += g.weight[e];
      }
    }
    std::sort(touched.begin(), touched.end());
    for (const uint32_t q : touched) {
      next.to.push_back(q);
      next.weight.push_back(sum[q]);
      sum[q] = 0;
    }
    next.first[p + 1] = next.to.size();
  }
  return next;
}

// One round: better communities and their parts. Whether any node moved.
template <typename Weight>
bool Round(const Level<Weight>& g, double resolution, std::vector<uint32_t>* community,
           std::vector<uint32_t>* of_node, Level<double>* next) {
  LocalMoves(g, resolution, community);
  Renumber(community);
  std::vector<uint32_t> part = Refine(g, resolution, *community);
  Renumber(&part);
  const uint32_t parts = part.empty() ? 0 : *std::max_element(part.begin(), part.end()) + 1;
  if (parts == g.nodes()) return false;
  *next = Merge(g, part, parts);
  std::vector<uint32_t> of_part(parts, 0);
  for (uint32_t v = 0; v < g.nodes(); ++v) of_part[part[v]] = (*community)[v];
  for (uint32_t& v : *of_node) v = part[v];
  *community = std::move(of_part);
  return true;
}

std::vector<uint32_t> Leiden(Level<float> g, double resolution) {
  constexpr int kRoundsMax = 20;
  std::vector<uint32_t> of_node(g.nodes());
  for (uint32_t v = 0; v < of_node.size(); ++v) of_node[v] = v;
  std::vector<uint32_t> community = of_node;
  Level<double> level, next;
  if (Round(g, resolution, &community, &of_node, &level)) {
    g = {};
    for (int round = 1; round < kRoundsMax && Round(level, resolution, &community, &of_node, &next);
         ++round)
      level = std::move(next);
  }
  std::vector<uint32_t> out(of_node.size());
  for (size_t v = 0; v < of_node.size(); ++v) out[v] = community[of_node[v]];
  return out;
}

constexpr size_t kAccountsAtOnce = 256;

}  // namespace

std::vector<Trait> AccountTraits(const Log& log, const base::Parallel& parallel) {
  const size_t blocks = (log.accounts() + kAccountsAtOnce - 1) / kAccountsAtOnce;
  std::vector<std::vector<Trait>> of_block(blocks);
  parallel.For(blocks, 1, [&](size_t begin, size_t end, int) {
    std::vector<uint32_t> seen;
    for (size_t k = begin; k < end; ++k) {
      std::vector<Trait>& out = of_block[k];
      const auto add = [&](uint32_t a, Family f, std::string_view kind, std::string_view value) {
        if (!value.empty()) {
          out.push_back({a, f, base::Combine64(base::Hash64(kind), base::Hash64(value)),
                         kind == "email_domain"});
        }
      };
      const size_t last = std::min(log.accounts(), (k + 1) * kAccountsAtOnce);
      for (uint32_t a = static_cast<uint32_t>(k * kAccountsAtOnce); a < last; ++a) {
        const model::Account& record = log.account[a];
        add(a, Family::kPayment, "payment_id", record.payment_id);
        // The address of enrolment is an address: it links with those of requests.
        add(a, Family::kNetwork, "address", record.signup_ip);
        add(a, Family::kEnrolment, "email_domain", record.email_domain);
        add(a, Family::kEnrolment, "referrer", record.referrer);
        const auto distinct = [&](const auto& column, const Names& names, Family family,
                                  const char* kind) {
          seen.clear();
          for (uint64_t row = log.first_row[a]; row < log.first_row[a + 1]; ++row) {
            if (seen.empty() || seen.back() != column[row]) seen.push_back(column[row]);
          }
          std::sort(seen.begin(), seen.end());
          seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
          for (const uint32_t id : seen) add(a, family, kind, names[id]);
        };
        distinct(log.address, log.addresses, Family::kNetwork, "address");
        distinct(log.ja4, log.ja4s, Family::kClient, "ja4");
      }
    }
  });
  std::vector<Trait> out;
  size_t n = 0;
  for (const auto& block : of_block) n += block.size();
  out.reserve(n);
  for (auto& block : of_block) {
    out.insert(out.end(), block.begin(), block.end());
    base::Release(block);
  }
  return out;
}

namespace {

// By family, value and account, each once. Dealt out by the first bits of the value, so that the
// parts are sorted each on its own.
void SortTraits(std::vector<Trait>* traits, const base::Parallel& parallel) {
  constexpr int kBits = 6;
  const auto part_of = [](const Trait& t) {
    return size_t(t.family) << kBits | t.value >> (64 - kBits);
  };
  std::vector<size_t> first((size_t{model::kFamilies} << kBits) + 1, 0);
  for (const Trait& t : *traits) ++first[part_of(t) + 1];
  for (size_t p = 1; p < first.size(); ++p) first[p] += first[p - 1];
  std::vector<Trait> dealt(traits->size());
  {
    std::vector<size_t> at(first.begin(), first.end() - 1);
    for (const Trait& t : *traits) dealt[at[part_of(t)]++] = t;
  }
  *traits = std::move(dealt);
  parallel.For(first.size() - 1, 1, [&](size_t begin, size_t end, int) {
    for (size_t p = begin; p < end; ++p) {
      std::sort(traits->begin() + static_cast<ptrdiff_t>(first[p]),
                traits->begin() + static_cast<ptrdiff_t>(first[p + 1]),
                [](const Trait& x, const Trait& y) {
                  return std::tie(x.family, x.value, x.account, x.domain) <
                         std::tie(y.family, y.value, y.account, y.domain);
                });
    }
  });
  traits->erase(std::unique(traits->begin(), traits->end(),
                            [](const Trait& x, const Trait& y) {
                              return x.family == y.family && x.value == y.value &&
                                     x.account == y.account;
                            }),
                traits->end());
}

// A value that links: its accounts, ascending, are traits [begin, end).
struct Posting {
  size_t begin, end;
  uint32_t holders;  // entities
  uint64_t pairs;    // of accounts of different entities
  float bits = 0;
};

}  // namespace

AccountGraph BuildGraph(std::vector<Trait> traits, std::span<const uint32_t> entity,
                        uint32_t entities, const PoolOptions& options,
                        const base::Parallel& parallel) {
  SortTraits(&traits, parallel);
  AccountGraph graph;
  std::vector<Posting> postings;
  {
    std::vector<uint32_t> holders;
    for (size_t i = 0, j = 0; i < traits.size(); i = j) {
      holders.clear();
      while (j < traits.size() && traits[j].family == traits[i].family &&
             traits[j].value == traits[i].value) {
        holders.push_back(entity[traits[j].account]);
        ++j;
      }
      if (holders.size() < 2) continue;
      std::sort(holders.begin(), holders.end());
      uint32_t k = 0;
      uint64_t pairs = uint64_t{holders.size()} * (holders.size() - 1) / 2;
      for (size_t x = 0, y = 0; x < holders.size(); x = y, ++k) {
        while (y < holders.size() && holders[y] == holders[x]) ++y;
        pairs -= uint64_t{y - x} * (y - x - 1) / 2;
      }
      if (k > options.holders_max)
        ++graph.values_skipped;
      else if (k >= 2)
        postings.push_back({i, j, k, pairs});
    }
  }
  std::stable_sort(postings.begin(), postings.end(), [](const Posting& x, const Posting& y) {
    return x.end - x.begin < y.end - y.begin;
  });
  uint64_t pairs = 0;
  std::erase_if(postings, [&](Posting& p) {
    const uint64_t size = p.end - p.begin;
    if (pairs + size * (size - 1) / 2 > options.pairs_max) {
      ++graph.values_skipped;
      return true;
    }
    const Family family = traits[p.begin].family;
    const float cap = family == Family::kClient ? options.client_bits_max : options.family_bits_max;
    const float off = traits[p.begin].domain ? options.domain_bits_off : 0;
    p.bits =
        std::min(cap, static_cast<float>(std::log2(double(entities) / double(p.holders))) - off);
    if (p.bits < 1) return true;
    pairs += p.pairs;
    return false;
  });
  // The postings of each account, those of clients last: where they cannot make a link alone they
  // are looked at for accounts that something else links.
  std::stable_partition(postings.begin(), postings.end(), [&](const Posting& p) {
    return traits[p.begin].family != Family::kClient;
  });
  const bool client_alone = options.client_bits_max >= options.link_bits_min;
  std::vector<uint64_t> first_posting(entity.size() + 1, 0);
  for (const Posting& p : postings) {
    for (size_t i = p.begin; i < p.end; ++i) ++first_posting[traits[i].account + 1];
  }
  for (size_t v = 0; v < entity.size(); ++v) first_posting[v + 1] += first_posting[v];
  std::vector<uint32_t> posting(first_posting.back());
  {
    std::vector<uint64_t> at(first_posting.begin(), first_posting.end() - 1);
    for (uint32_t p = 0; p < postings.size(); ++p) {
      for (size_t i = postings[p].begin; i < postings[p].end; ++i)
        posting[at[traits[i].account]++] = p;
    }
  }

  // Account by account, so that no list of pairs is ever made: most share several values.
  const size_t blocks = (entity.size() + kAccountsAtOnce - 1) / kAccountsAtOnce;
  std::vector<std::vector<Link>> of_block(blocks);
  std::vector<std::vector<uint32_t>> slots(
      static_cast<size_t>(parallel.threads()));  // by account: its place among the found, + 1
  parallel.For(blocks, 1, [&](size_t begin, size_t end, int worker) {
    std::vector<uint32_t>& slot = slots[static_cast<size_t>(worker)];
    if (slot.empty()) slot.assign(entity.size(), 0);
    std::vector<Link> found;
    for (size_t k = begin; k < end; ++k) {
      const size_t last = std::min(entity.size(), (k + 1) * kAccountsAtOnce);
      for (uint32_t a = static_cast<uint32_t>(k * kAccountsAtOnce); a < last; ++a) {
        found.clear();
        for (uint64_t i = first_posting[a]; i < first_posting[a + 1]; ++i) {
          const Posting& p = postings[posting[i]];
          const int family = static_cast<int>(traits[p.begin].family);
          const bool makes = client_alone || traits[p.begin].family != Family::kClient;
          for (size_t other = p.end; other-- > p.begin && traits[other].account > a;) {
            const uint32_t b = traits[other].account;
            uint32_t& at = slot[b];
            if (at == 0) {
              if (!makes || entity[a] == entity[b]) continue;
              found.push_back({a, b, {}, 0});
              at = static_cast<uint32_t>(found.size());
            }
            float& bits = found[at - 1].bits[family];
            bits = std::max(bits, p.bits);
          }
        }
        for (const Link& link : found) slot[link.b] = 0;
        for (Link& link : found) {
          for (const float b : link.bits) link.total += b;
        }
        std::erase_if(found, [&](const Link& link) { return link.total < options.link_bits_min; });
        std::sort(found.begin(), found.end(),
                  [](const Link& x, const Link& y) { return x.b < y.b; });
        of_block[k].insert(of_block[k].end(), found.begin(), found.end());
      }
    }
  });
  base::Release(slots);
  size_t links = 0;
  for (const auto& block : of_block) links += block.size();
  graph.links.reserve(links);
  for (auto& block : of_block) {
    graph.links.insert(graph.links.end(), block.begin(), block.end());
    base::Release(block);
  }
  graph.first.assign(entity.size() + 1, 0);
  for (const Link& l : graph.links) ++graph.first[l.a + 1], ++graph.first[l.b + 1];
  for (size_t v = 0; v < entity.size(); ++v) graph.first[v + 1] += graph.first[v];
  graph.incident.resize(graph.links.size() * 2);
  std::vector<uint64_t> at(graph.first.begin(), graph.first.end() - 1);
  for (uint32_t i = 0; i < graph.links.size(); ++i) {
    graph.incident[at[graph.links[i].a]++] = i;
    graph.incident[at[graph.links[i].b]++] = i;
  }
  return graph;
}

std::vector<uint32_t> FindPools(const AccountGraph& graph, std::span<const uint32_t> members,
                                const PoolOptions& options) {
  const size_t n = graph.first.size() - 1;
  std::vector<uint32_t> number(n, kNone);
  std::vector<uint32_t> nodes;
  const auto consider = [&](uint32_t v) {
    if (number[v] == kNone && !graph.Of(v).empty()) {
      number[v] = static_cast<uint32_t>(nodes.size());
      nodes.push_back(v);
    }
  };
  if (members.empty()) {
    for (uint32_t v = 0; v < n; ++v) consider(v);
  } else {
    std::vector<uint32_t> sorted(members.begin(), members.end());
    std::sort(sorted.begin(), sorted.end());
    for (const uint32_t v : sorted) consider(v);
  }
  Level<float> g;
  g.strength.assign(nodes.size(), 0.0);
  g.first.assign(nodes.size() + 1, 0);
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    for (const uint32_t l : graph.Of(nodes[i])) {
      const Link& link = graph.links[l];
      const uint32_t j = number[link.a == nodes[i] ? link.b : link.a];
      if (j == kNone) continue;
      g.to.push_back(j);
      g.weight.push_back(link.total);
      g.strength[i] += link.total;
      g.total += link.total;
    }
    g.first[i + 1] = g.to.size();
  }
  std::vector<uint32_t> pool(n, kNone);
  if (g.total == 0) return pool;
  const std::vector<uint32_t> community = Leiden(std::move(g), options.resolution);
  std::vector<uint32_t> size(nodes.size(), 0), id(nodes.size(), kNone);
  for (const uint32_t c : community) ++size[c];
  uint32_t next = 0;
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    if (size[community[i]] < 2) continue;
    if (id[community[i]] == kNone) id[community[i]] = next++;
    pool[nodes[i]] = id[community[i]];
  }
  return pool;
}

}  // namespace stillwatch::link
