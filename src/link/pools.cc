#include "link/pools.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <unordered_map>

#include "base/hash.h"

namespace stillwatch::link {
namespace {

using model::Family;

// Weighted graph of one level of the Leiden method.
struct Level {
  std::vector<std::vector<std::pair<uint32_t, double>>> edges;
  std::vector<double> strength;  // sum of weights, loops twice
  double total = 0;              // sum of all weights, twice
};

// Moves nodes to the neighbouring community of largest gain until none gains. Nodes are visited
// in ascending order, so the result is the same for the same graph.
void LocalMoves(const Level& g, double resolution, std::vector<uint32_t>* community) {
  const size_t n = g.edges.size();
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
    for (const auto& [u, w] : g.edges[v]) {
      if (u == v) continue;
      const uint32_t c = (*community)[u];
      if (to[c] == 0) touched.push_back(c);
      to[c] += w;
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
    for (const auto& [u, w] : g.edges[v]) {
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
std::vector<uint32_t> Refine(const Level& g, double resolution,
                             const std::vector<uint32_t>& community) {
  const size_t n = g.edges.size();
  std::vector<uint32_t> part(n);
  for (uint32_t v = 0; v < n; ++v) part[v] = v;
  std::vector<double> weight = g.strength;
  std::vector<uint8_t> alone(n, 1);
  std::unordered_map<uint32_t, double> to;
  for (uint32_t v = 0; v < n; ++v) {
    if (!alone[v]) continue;
    to.clear();
    for (const auto& [u, w] : g.edges[v]) {
      if (u != v && community[u] == community[v]) to[part[u]] += w;
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

std::vector<uint32_t> Leiden(Level g, double resolution) {
  std::vector<uint32_t> of_node(g.edges.size());
  for (uint32_t v = 0; v < of_node.size(); ++v) of_node[v] = v;
  std::vector<uint32_t> community = of_node;
  for (int round = 0; round < 20; ++round) {
    LocalMoves(g, resolution, &community);
    Renumber(&community);
    std::vector<uint32_t> part = Refine(g, resolution, community);
    Renumber(&part);
    const uint32_t parts = part.empty() ? 0 : *std::max_element(part.begin(), part.end()) + 1;
    if (parts == g.edges.size()) break;
    Level next;
    next.edges.resize(parts);
    next.strength.assign(parts, 0.0);
    next.total = g.total;
    std::vector<std::unordered_map<uint32_t, double>> merged(parts);
    std::vector<uint32_t> next_community(parts, 0);
    for (uint32_t v = 0; v < g.edges.size(); ++v) {
      next.strength[part[v]] += g.strength[v];
      next_community[part[v]] = community[v];
      for (const auto& [u, w] : g.edges[v]) merged[part[v]][part[u]] += w;
    }
    for (uint32_t p = 0; p < parts; ++p) {
      next.edges[p].assign(merged[p].begin(), merged[p].end());
      std::sort(next.edges[p].begin(), next.edges[p].end());
    }
    for (uint32_t& v : of_node) v = part[v];
    g = std::move(next);
    community = std::move(next_community);
  }
  std::vector<uint32_t> out(of_node.size());
  for (size_t v = 0; v < of_node.size(); ++v) out[v] = community[of_node[v]];
  return out;
}

}  // namespace

std::vector<Trait> AccountTraits(const Log& log) {
  std::vector<Trait> out;
  const auto add = [&](uint32_t a, Family f, std::string_view kind, std::string_view value) {
    if (!value.empty()) {
      out.push_back(
          {a, f, base::Combine64(base::Hash64(kind), base::Hash64(value)), kind == "email_domain"});
    }
  };
  std::vector<uint32_t> seen;
  for (uint32_t a = 0; a < log.accounts(); ++a) {
    const model::Account& record = log.account[a];
    add(a, Family::kPayment, "payment_id", record.payment_id);
    // The address of enrolment is an address: it links with those of requests.
    add(a, Family::kNetwork, "address", record.signup_ip);
    add(a, Family::kEnrolment, "email_domain", record.email_domain);
    add(a, Family::kEnrolment, "referrer", record.referrer);
    const auto distinct = [&](const std::vector<uint32_t>& column, const Names& names,
                              Family family, const char* kind) {
      seen.assign(column.begin() + log.first_row[a], column.begin() + log.first_row[a + 1]);
      std::sort(seen.begin(), seen.end());
      seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
      for (const uint32_t id : seen) add(a, family, kind, names[id]);
    };
    distinct(log.address, log.addresses, Family::kNetwork, "address");
    distinct(log.ja4, log.ja4s, Family::kClient, "ja4");
  }
  return out;
}

AccountGraph BuildGraph(std::vector<Trait> traits, std::span<const uint32_t> entity,
                        uint32_t entities, const PoolOptions& options) {
  std::sort(traits.begin(), traits.end(), [](const Trait& x, const Trait& y) {
    return std::tie(x.family, x.value, x.account) < std::tie(y.family, y.value, y.account);
  });
  traits.erase(std::unique(traits.begin(), traits.end(),
                           [](const Trait& x, const Trait& y) {
                             return x.family == y.family && x.value == y.value &&
                                    x.account == y.account;
                           }),
               traits.end());
  AccountGraph graph;
  struct Posting {
    size_t begin, end;
    uint32_t holders;  // entities
  };
  std::vector<Posting> postings;
  std::vector<uint32_t> holders;
  for (size_t i = 0; i < traits.size();) {
    size_t j = i;
    holders.clear();
    while (j < traits.size() && traits[j].family == traits[i].family &&
           traits[j].value == traits[i].value) {
      holders.push_back(entity[traits[j].account]);
      ++j;
    }
    std::sort(holders.begin(), holders.end());
    const uint32_t k =
        static_cast<uint32_t>(std::unique(holders.begin(), holders.end()) - holders.begin());
    if (k > options.holders_max)
      ++graph.values_skipped;
    else if (k >= 2)
      postings.push_back({i, j, k});
    i = j;
  }
  std::stable_sort(postings.begin(), postings.end(), [](const Posting& x, const Posting& y) {
    return x.end - x.begin < y.end - y.begin;
  });
  struct Pair {
    uint32_t a, b;
    uint8_t family;
    float bits;
  };
  std::vector<Pair> pairs;
  for (const Posting& p : postings) {
    const uint64_t size = p.end - p.begin;
    if (pairs.size() + size * (size - 1) / 2 > options.pairs_max) {
      ++graph.values_skipped;
      continue;
    }
    const Family family = traits[p.begin].family;
    const float cap = family == Family::kClient ? options.client_bits_max : options.family_bits_max;
    const float off = traits[p.begin].domain ? options.domain_bits_off : 0;
    const float bits =
        std::min(cap, static_cast<float>(std::log2(double(entities) / double(p.holders))) - off);
    if (bits < 1) continue;
    for (size_t x = p.begin; x < p.end; ++x) {
      for (size_t y = x + 1; y < p.end; ++y) {
        const uint32_t a = traits[x].account, b = traits[y].account;
        if (entity[a] != entity[b]) pairs.push_back({a, b, static_cast<uint8_t>(family), bits});
      }
    }
  }
  std::sort(pairs.begin(), pairs.end(), [](const Pair& x, const Pair& y) {
    return std::tie(x.a, x.b, x.family, y.bits) < std::tie(y.a, y.b, y.family, x.bits);
  });
  for (size_t i = 0; i < pairs.size();) {
    Link link{pairs[i].a, pairs[i].b, {}, 0};
    for (; i < pairs.size() && pairs[i].a == link.a && pairs[i].b == link.b; ++i) {
      float& slot = link.bits[pairs[i].family];
      slot = std::max(slot, pairs[i].bits);
    }
    for (const float b : link.bits) link.total += b;
    if (link.total >= options.link_bits_min) graph.links.push_back(link);
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
  Level g;
  g.edges.resize(nodes.size());
  g.strength.assign(nodes.size(), 0.0);
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    for (const uint32_t l : graph.Of(nodes[i])) {
      const Link& link = graph.links[l];
      const uint32_t j = number[link.a == nodes[i] ? link.b : link.a];
      if (j == kNone) continue;
      g.edges[i].push_back({j, link.total});
      g.strength[i] += link.total;
      g.total += link.total;
    }
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
