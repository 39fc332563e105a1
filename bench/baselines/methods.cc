#include <algorithm>
#include <cmath>
#include <numeric>
#include <queue>
#include <unordered_map>

#include "base/hash.h"
#include "log.h"

namespace stillwatch::baselines {
namespace {

constexpr int64_t kDayMs = 86'400'000;

struct Union {
  explicit Union(size_t n) : parent(n) { std::iota(parent.begin(), parent.end(), 0); }
  uint32_t Root(uint32_t a) {
    while (parent[a] != a) a = parent[a] = parent[parent[a]];
    return a;
  }
  void Join(uint32_t a, uint32_t b) {
    a = Root(a), b = Root(b);
    parent[std::max(a, b)] = std::min(a, b);
  }
  std::vector<uint32_t> parent;
};

std::vector<Group> Clusters(Union* sets, const std::vector<uint8_t>& in, size_t accounts_min) {
  std::map<uint32_t, Group> by_root;
  for (uint32_t a = 0; a < in.size(); ++a) {
    if (in[a]) by_root[sets->Root(a)].push_back(a);
  }
  std::vector<Group> out;
  for (auto& [root, group] : by_root) {
    if (group.size() >= accounts_min) out.push_back(std::move(group));
  }
  return out;
}

// Accounts by value; each account once per value.
class Values {
 public:
  explicit Values(const Log& log) : log_(log) {}
  void Add(int family, uint64_t value, uint32_t account) {
    if (value == 0 || log_.accounts[account].verified) return;
    pairs_.push_back({base::Combine64(value, static_cast<uint64_t>(family) + 1), account});
  }
  const std::vector<std::pair<uint64_t, uint32_t>>& Sorted() {
    std::sort(pairs_.begin(), pairs_.end());
    pairs_.erase(std::unique(pairs_.begin(), pairs_.end()), pairs_.end());
    return pairs_;
  }

 private:
  const Log& log_;
  std::vector<std::pair<uint64_t, uint32_t>> pairs_;
};

enum Family { kPayment, kAddress, kMail, kReferrer, kClient, kSystem, kHead };

}  // namespace

std::vector<Group> Threshold(const Log& log, const Parameters& p) {
  std::unordered_map<uint64_t, uint32_t> days;
  std::vector<uint32_t> most(log.accounts.size(), 0);
  for (const Exchange& e : log.exchanges) {
    const uint32_t n = ++days[uint64_t{e.account} << 32 | static_cast<uint32_t>(e.ts_ms / kDayMs)];
    most[e.account] = std::max(most[e.account], n);
  }
  Group out;
  for (uint32_t a = 0; a < most.size(); ++a) {
    if (!log.accounts[a].verified && most[a] >= p.at("per_day")) out.push_back(a);
  }
  return {std::move(out)};
}

std::vector<Group> Components(const Log& log, const Parameters& p) {
  Values values(log);
  for (uint32_t a = 0; a < log.accounts.size(); ++a) {
    const Account& account = log.accounts[a];
    values.Add(kPayment, account.payment, a);
    if (p.at("address") > 0) values.Add(kAddress, account.address, a);
    if (p.at("mail") > 0) values.Add(kMail, account.mail, a);
  }
  for (const Exchange& e : log.exchanges) {
    if (p.at("address") > 0) values.Add(kAddress, e.address, e.account);
    if (p.at("client") > 0) values.Add(kClient, e.client, e.account);
  }
  const auto& sorted = values.Sorted();
  Union sets(log.accounts.size());
  std::vector<uint8_t> in(log.accounts.size(), 0);
  for (size_t i = 0; i < sorted.size();) {
    size_t j = i;
    while (j < sorted.size() && sorted[j].first == sorted[i].first) ++j;
    if (j - i >= 2 && static_cast<double>(j - i) <= p.at("value_accounts_max")) {
      for (size_t k = i; k < j; ++k) {
        sets.Join(sorted[i].second, sorted[k].second);
        in[sorted[k].second] = 1;
      }
    }
    i = j;
  }
  return Clusters(&sets, in, static_cast<size_t>(p.at("accounts_min")));
}

std::vector<Group> SynchroTrap(const Log& log, const Parameters& p) {
  struct Action {
    uint64_t object;
    int64_t slot;
    uint32_t account;
    auto operator<=>(const Action&) const = default;
  };
  const auto window = static_cast<int64_t>(p.at("window_minutes") * 60'000);
  const auto days = static_cast<int64_t>(p.at("days"));
  const size_t most = static_cast<size_t>(p.at("object_accounts_max"));
  std::map<int64_t, std::vector<Action>> by_period;
  for (const Exchange& e : log.exchanges) {
    if (log.accounts[e.account].verified) continue;
    auto& actions = by_period[e.ts_ms / kDayMs / days];
    const std::pair<int, uint64_t> objects[] = {
        {1, e.address}, {2, e.system}, {3, e.head}, {4, e.turn}};
    for (const auto& [kind, value] : objects) {
      if (value != 0)
        actions.push_back(
            {base::Combine64(value, static_cast<uint64_t>(kind)), e.ts_ms / window, e.account});
    }
  }
  Union sets(log.accounts.size());
  std::vector<uint8_t> in(log.accounts.size(), 0);
  for (auto& [period, actions] : by_period) {
    std::sort(actions.begin(), actions.end());
    actions.erase(std::unique(actions.begin(), actions.end()), actions.end());
    std::unordered_map<uint32_t, uint32_t> count;
    for (const Action& a : actions) ++count[a.account];
    std::unordered_map<uint64_t, uint32_t> common;
    for (size_t i = 0; i < actions.size();) {
      size_t j = i;
      while (j < actions.size() && actions[j].object == actions[i].object &&
             actions[j].slot == actions[i].slot)
        ++j;
      if (j - i <= most) {
        for (size_t x = i; x < j; ++x) {
          for (size_t y = x + 1; y < j; ++y)
            ++common[uint64_t{actions[x].account} << 32 | actions[y].account];
        }
      }
      i = j;
    }
    for (const auto& [pair, n] : common) {
      const auto a = static_cast<uint32_t>(pair >> 32), b = static_cast<uint32_t>(pair);
      if (n < p.at("matches_min")) continue;
      if (n < p.at("similarity") * (count[a] + count[b] - n)) continue;
      sets.Join(a, b);
      in[a] = in[b] = 1;
    }
  }
  return Clusters(&sets, in, static_cast<size_t>(p.at("accounts_min")));
}

std::vector<Group> Fraudar(const Log& log, const Parameters& p) {
  Values values(log);
  for (uint32_t a = 0; a < log.accounts.size(); ++a) {
    const Account& account = log.accounts[a];
    values.Add(kPayment, account.payment, a);
    values.Add(kAddress, account.address, a);
    values.Add(kMail, account.mail, a);
    values.Add(kReferrer, account.referrer, a);
  }
  for (const Exchange& e : log.exchanges) {
    values.Add(kAddress, e.address, e.account);
    values.Add(kClient, e.client, e.account);
    if (p.at("text") > 0) {
      values.Add(kSystem, e.system, e.account);
      values.Add(kHead, e.head, e.account);
    }
  }
  // Nodes: accounts, then values. Edges are those of values that somebody shares.
  const auto& sorted = values.Sorted();
  const size_t accounts = log.accounts.size();
  std::vector<std::vector<uint32_t>> edges(accounts);
  std::vector<double> weight;
  for (size_t i = 0; i < sorted.size();) {
    size_t j = i;
    while (j < sorted.size() && sorted[j].first == sorted[i].first) ++j;
    if (j - i >= 2) {
      const auto value = static_cast<uint32_t>(edges.size());
      edges.emplace_back();
      weight.push_back(1 / std::log(static_cast<double>(j - i) + 5));
      for (size_t k = i; k < j; ++k) {
        edges[value].push_back(sorted[k].second);
        edges[sorted[k].second].push_back(value);
      }
    }
    i = j;
  }
  const auto weight_of = [&](uint32_t x, uint32_t y) { return weight[std::max(x, y) - accounts]; };
  std::vector<Group> out;
  double first = 0;
  for (int block = 0; block < static_cast<int>(p.at("blocks")); ++block) {
    std::vector<double> degree(edges.size(), 0);
    double total = 0;
    size_t left = 0;
    using Entry = std::pair<double, uint32_t>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
    std::vector<uint8_t> gone(edges.size(), 0);
    for (uint32_t v = 0; v < edges.size(); ++v) {
      for (const uint32_t other : edges[v]) degree[v] += weight_of(v, other);
      if (edges[v].empty()) {
        gone[v] = 1;
        continue;
      }
      total += degree[v] / 2;
      ++left;
      queue.push({degree[v], v});
    }
    if (left == 0) break;
    std::vector<uint32_t> order;
    double best = total / static_cast<double>(left);
    size_t best_at = 0;
    while (left > 1) {
      const auto [d, v] = queue.top();
      queue.pop();
      if (gone[v] || d != degree[v]) continue;
      gone[v] = 1;
      order.push_back(v);
      total -= degree[v];
      --left;
      for (const uint32_t other : edges[v]) {
        if (gone[other]) continue;
        degree[other] -= weight_of(v, other);
        queue.push({degree[other], other});
      }
      const double density = total / static_cast<double>(left);
      if (density > best) best = density, best_at = order.size();
    }
    std::vector<uint8_t> inside(edges.size(), 0);
    for (uint32_t v = 0; v < edges.size(); ++v) inside[v] = !edges[v].empty();
    for (size_t i = 0; i < best_at; ++i) inside[order[i]] = 0;
    if (block == 0) first = best;
    if (best < first * p.at("share")) break;
    Group group;
    for (uint32_t a = 0; a < accounts; ++a) {
      if (inside[a]) group.push_back(a);
    }
    for (uint32_t v = 0; v < edges.size(); ++v) {
      if (inside[v]) std::erase_if(edges[v], [&](uint32_t other) { return inside[other]; });
    }
    if (group.size() >= static_cast<size_t>(p.at("accounts_min"))) out.push_back(std::move(group));
  }
  return out;
}

}  // namespace stillwatch::baselines
