#include "graph/network.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <utility>

#include "base/str.h"
#include "graph/layout.h"

namespace stillwatch::graph {
namespace {

using base::StrCat;

constexpr size_t kValuesMax = 10'000;  // where there are many accounts
constexpr uint32_t kGroupMin = 3;      // accounts that make a group or a pool of its own
constexpr size_t kTopValues = 80;      // values and templates that stand free at the top
constexpr int kDepthMax = 12;
constexpr uint32_t kNone = UINT32_MAX;

std::string ValueId(const Input::Value& v) {
  return v.kind == Kind::kTemplate ? StrCat("t:", v.value) : StrCat("v:", v.field, ":", v.value);
}

}  // namespace

const char* KindName(Kind k) {
  static constexpr const char* kNames[] = {"cluster", "account", "value", "template"};
  return kNames[static_cast<int>(k)];
}

struct Network::Layouts {
  std::mutex mutex;
  std::vector<std::unique_ptr<const std::vector<Place>>> of;  // a cluster's, once made
};

// The tree while it grows. Items are numbers of `items`; children are in the order of drawing.
struct Network::Tree {
  struct Item {
    Kind kind = Kind::kCluster;
    uint32_t parent = kNone;
    uint32_t of = 0;  // number in the input
    int depth = 0;
    uint32_t accounts = 0;
    uint32_t bundles = 0;  // made in it so far
    std::string id, field, label;
    std::vector<uint32_t> children;
  };
  const Input& input;
  std::vector<Item> items;
  std::vector<uint32_t> account_item, value_item;
  std::vector<std::vector<uint32_t>> values_of;  // of each account

  explicit Tree(const Input& in) : input(in) {
    account_item.resize(in.accounts.size());
    values_of.resize(in.accounts.size());
    for (uint32_t v = 0; v < in.values.size(); ++v)
      for (const uint32_t a : in.values[v].holders) values_of[a].push_back(v);
    items.emplace_back().id = "c:";
    items[0].label = "campaign";
    items[0].parent = 0;
  }

  uint32_t Add(uint32_t parent, Kind kind, std::string id, std::string field, std::string label,
               uint32_t of = 0) {
    const auto n = static_cast<uint32_t>(items.size());
    Item& i = items.emplace_back();
    i.kind = kind, i.parent = parent, i.of = of;
    i.depth = items[parent].depth + 1;
    i.id = std::move(id), i.field = std::move(field), i.label = std::move(label);
    items[parent].children.push_back(n);
    return n;
  }
  uint32_t AddCluster(uint32_t parent, std::string field, std::string label) {
    const std::string id =
        StrCat(items[parent].id, parent == 0 ? "" : ".", ++items[parent].bundles);
    return Add(parent, Kind::kCluster, id, std::move(field), std::move(label));
  }
  void AddAccount(uint32_t parent, uint32_t a) {
    account_item[a] = Add(parent, Kind::kAccount, StrCat("a:", input.accounts[a].id), "",
                          input.accounts[a].id, a);
  }

  // Accounts that share a value are grouped until no cluster has more than kFan.
  void Split(uint32_t cluster, std::vector<uint32_t> members) {
    if (members.size() > kFan && items[cluster].depth < kDepthMax) {
      std::map<uint32_t, uint32_t> having;
      for (const uint32_t a : members)
        for (const uint32_t v : values_of[a]) ++having[v];
      std::vector<std::pair<uint32_t, uint32_t>> best;  // how many lack it, which
      for (const auto& [v, n] : having) {
        if (n >= kGroupMin && n * 3 <= members.size() * 2)
          best.emplace_back(static_cast<uint32_t>(members.size()) - n, v);
      }
      std::sort(best.begin(), best.end());
      std::vector<uint8_t> taken(input.accounts.size() > 0 ? members.size() : 0);
      for (const auto& [lack, v] : best) {
        if (items[cluster].children.size() >= kFan / 2) break;
        const auto& holders = input.values[v].holders;
        std::vector<uint32_t> group;
        for (size_t i = 0; i < members.size(); ++i) {
          if (!taken[i] && std::binary_search(holders.begin(), holders.end(), members[i]))
            group.push_back(static_cast<uint32_t>(i));
        }
        if (group.size() < kGroupMin) continue;
        for (uint32_t& i : group) {
          taken[i] = 1;
          i = members[i];
        }
        const uint32_t child = AddCluster(cluster, input.values[v].field, input.values[v].value);
        Split(child, std::move(group));
      }
      std::vector<uint32_t> rest;
      for (size_t i = 0; i < members.size(); ++i)
        if (!taken[i]) rest.push_back(members[i]);
      members = std::move(rest);
    }
    for (const uint32_t a : members) AddAccount(cluster, a);
  }

  uint32_t Common(uint32_t a, uint32_t b) const {  // the smallest cluster with both
    while (a != b) {
      if (items[a].depth >= items[b].depth)
        a = items[a].parent;
      else
        b = items[b].parent;
    }
    return a;
  }

  // Children beyond `max` go into bundles of their kind and field, in order; bundles into bundles.
  void Bundle(uint32_t cluster, size_t max) {
    std::vector<uint32_t> all = std::move(items[cluster].children);
    items[cluster].children.clear();
    if (all.size() <= max) {
      items[cluster].children = std::move(all);
      return;
    }
    // What is kept free: of each kind the first, clusters before accounts before values.
    const size_t keep = max / 2;
    std::vector<uint32_t> rest(all.begin() + static_cast<std::ptrdiff_t>(keep), all.end());
    all.resize(keep);
    items[cluster].children = std::move(all);
    // Each run of one kind and field may leave one bundle that is not full.
    size_t runs = 1;
    for (size_t i = 1; i < rest.size(); ++i) {
      const Item &a = items[rest[i - 1]], &b = items[rest[i]];
      runs += a.kind != b.kind || (a.kind != Kind::kCluster && a.field != b.field);
    }
    const size_t room = max - keep - std::min(runs, max - keep - 1);
    const size_t each = std::max(kFan, (rest.size() + room - 1) / room);
    for (size_t begin = 0; begin < rest.size();) {
      size_t end = begin;
      const Kind kind = items[rest[begin]].kind;
      const std::string field = kind == Kind::kCluster ? "" : items[rest[begin]].field;
      while (end < rest.size() && end - begin < each && items[rest[end]].kind == kind &&
             (kind == Kind::kCluster || items[rest[end]].field == field))
        ++end;
      const char* what = kind == Kind::kCluster   ? "clusters"
                         : kind == Kind::kAccount ? "accounts"
                         : kind == Kind::kValue   ? "values"
                                                  : "templates";
      const uint32_t child = AddCluster(cluster, field, StrCat(end - begin, " more ", what));
      for (size_t i = begin; i < end; ++i) {
        items[rest[i]].parent = child;
        items[child].children.push_back(rest[i]);
      }
      Deepen(child);
      if (end - begin > kFan) Bundle(child, kFan);
      begin = end;
    }
  }
  void Deepen(uint32_t cluster) {
    std::vector<uint32_t> todo = {cluster};
    while (!todo.empty()) {
      const uint32_t at = todo.back();
      todo.pop_back();
      for (const uint32_t c : items[at].children) {
        items[c].depth = items[at].depth + 1;
        todo.push_back(c);
      }
    }
  }
};

Network::Network() : layouts_(std::make_unique<Layouts>()) {}
Network::~Network() = default;

std::unique_ptr<Network> Network::Build(Input input) {
  std::unique_ptr<Network> out(new Network);
  // Bounds: of the values the most shared, of the accounts those of the largest pools.
  std::stable_sort(input.values.begin(), input.values.end(), [](const auto& a, const auto& b) {
    if ((a.kind == Kind::kTemplate) != (b.kind == Kind::kTemplate))
      return a.kind == Kind::kTemplate;
    if (a.holders.size() != b.holders.size()) return a.holders.size() > b.holders.size();
    return std::pair(a.field, a.value) < std::pair(b.field, b.value);
  });
  const size_t values =
      std::min(input.values.size(),
               std::max(kValuesMax, kNodesMax - std::min(kNodesMax, input.accounts.size())));
  out->left_out_ += input.values.size() - values;
  input.values.resize(values);
  const size_t room = kNodesMax - values;
  std::map<std::string, std::vector<uint32_t>> pools;
  for (uint32_t a = 0; a < input.accounts.size(); ++a) pools[input.accounts[a].pool].push_back(a);
  std::vector<std::pair<std::string, std::vector<uint32_t>>> order;
  std::vector<uint32_t> small, alone;  // of pools too small for a cluster; in none
  for (auto& [id, members] : pools) {
    if (id.empty())
      alone = std::move(members);
    else if (members.size() < kGroupMin)
      small.insert(small.end(), members.begin(), members.end());
    else
      order.emplace_back(id, std::move(members));
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.second.size() > b.second.size(); });
  std::sort(small.begin(), small.end());
  std::vector<uint8_t> kept(input.accounts.size());
  size_t have = 0;
  const auto keep = [&](std::vector<uint32_t>& members) {
    if (members.size() > room - have) members.resize(room - have);
    have += members.size();
    for (const uint32_t a : members) kept[a] = 1;
  };
  for (auto& [id, members] : order) keep(members);
  keep(small);
  keep(alone);
  out->left_out_ += input.accounts.size() - have;
  size_t links = 0;
  for (auto& v : input.values) {
    std::erase_if(v.holders, [&](uint32_t a) { return !kept[a]; });
    if (v.holders.size() > kLinksMax - links) v.holders.clear();
    links += v.holders.size();
  }
  std::erase_if(input.values, [&](const auto& v) {
    out->left_out_ += v.holders.empty();
    return v.holders.empty();
  });

  Tree tree(input);
  for (auto& [id, members] : order) {
    if (members.empty()) continue;
    const uint32_t cluster = tree.Add(0, Kind::kCluster, StrCat("c:", id), "pool", id);
    tree.Split(cluster, std::move(members));
  }
  const auto apart = [&](const char* id, const char* label, std::vector<uint32_t> members) {
    if (members.empty()) return;
    const uint32_t cluster = tree.Add(0, Kind::kCluster, id, "", label);
    tree.Split(cluster, std::move(members));
  };
  apart("c:*small", "pools of one or two", std::move(small));
  apart("c:*none", "in no pool", std::move(alone));
  for (uint32_t v = 0; v < input.values.size(); ++v) {
    const Input::Value& value = input.values[v];
    uint32_t at = tree.items[tree.account_item[value.holders[0]]].parent;
    for (const uint32_t a : value.holders) {
      if (at == 0 || value.kind == Kind::kTemplate) break;
      at = tree.Common(at, tree.items[tree.account_item[a]].parent);
    }
    if (value.kind == Kind::kTemplate) at = 0;  // who works on what is what one looks for first
    const uint32_t item = tree.Add(at, value.kind, ValueId(value), value.field, value.value, v);
    tree.items[item].accounts = static_cast<uint32_t>(value.holders.size());
    tree.value_item.push_back(item);
  }
  // Values among themselves by field where they are too many, so that a bundle holds one field.
  const auto clusters = static_cast<uint32_t>(tree.items.size());
  for (uint32_t c = 0; c < clusters; ++c) {
    auto& children = tree.items[c].children;
    if (tree.items[c].kind != Kind::kCluster || children.size() <= kFan) continue;
    const auto free_values = c == 0 ? kTopValues : kFan / 4;
    std::vector<uint32_t> first, later;
    size_t free = 0, others = 0;
    for (const uint32_t i : children) {
      const bool value =
          tree.items[i].kind == Kind::kValue || tree.items[i].kind == Kind::kTemplate;
      const bool stays = value ? free++ < free_values : others++ < kFan;
      (stays ? first : later).push_back(i);
    }
    std::stable_sort(later.begin(), later.end(), [&](uint32_t a, uint32_t b) {
      const auto& x = tree.items[a];
      const auto& y = tree.items[b];
      return std::pair(x.kind, x.kind == Kind::kCluster ? std::string() : x.field) <
             std::pair(y.kind, y.kind == Kind::kCluster ? std::string() : y.field);
    });
    children = std::move(first);
    children.insert(children.end(), later.begin(), later.end());
    tree.Bundle(c, kFan);
  }

  // In order of breadth, so that children follow each other and a parent goes before them.
  std::vector<uint32_t> at = {0}, number(tree.items.size());
  for (size_t i = 0; i < at.size(); ++i) {
    number[at[i]] = static_cast<uint32_t>(i);
    const auto& children = tree.items[at[i]].children;
    at.insert(at.end(), children.begin(), children.end());
  }
  out->nodes_.resize(at.size());
  size_t next = 1;
  for (size_t i = 0; i < at.size(); ++i) {
    Tree::Item& item = tree.items[at[i]];
    Node& n = out->nodes_[i];
    n.kind = item.kind;
    n.parent = number[item.parent];
    n.first = static_cast<uint32_t>(next);
    n.children = static_cast<uint32_t>(item.children.size());
    next += item.children.size();
    n.id = std::move(item.id), n.field = std::move(item.field), n.label = std::move(item.label);
    if (n.kind == Kind::kAccount) {
      n.accounts = 1;
      n.links = static_cast<uint32_t>(tree.values_of[item.of].size());
    } else {
      n.accounts = n.links = item.accounts;
    }
  }
  for (size_t i = at.size(); i-- > 1;) {
    Node& parent = out->nodes_[out->nodes_[i].parent];
    const Node& n = out->nodes_[i];
    if (n.kind == Kind::kCluster || n.kind == Kind::kAccount) parent.accounts += n.accounts;
    if (n.kind == Kind::kValue || n.kind == Kind::kTemplate) parent.links += n.links;
    if (n.kind == Kind::kCluster) parent.links += n.links;
  }
  out->by_id_.reserve(out->nodes_.size());
  for (uint32_t i = 0; i < out->nodes_.size(); ++i) out->by_id_.emplace(out->nodes_[i].id, i);
  // Links by the cluster that holds both ends: the one whose layout they shape.
  std::vector<std::vector<std::pair<uint32_t, uint32_t>>> of(out->nodes_.size());
  for (uint32_t v = 0; v < input.values.size(); ++v) {
    const uint32_t value = number[tree.value_item[v]];
    for (const uint32_t a : input.values[v].holders) {
      const uint32_t account = number[tree.account_item[a]];
      uint32_t x = account, y = value;
      while (x != y) (x > y ? x : y) = out->nodes_[std::max(x, y)].parent;  // parents have less
      of[x].emplace_back(account, value);
    }
  }
  out->links_of_.push_back(0);
  for (auto& l : of) {
    std::sort(l.begin(), l.end());
    out->links_.insert(out->links_.end(), l.begin(), l.end());
    out->links_of_.push_back(out->links_.size());
  }
  out->accounts_ = have;
  out->values_ = input.values.size();
  out->layouts_->of.resize(out->nodes_.size());
  return out;
}

int64_t Network::Find(std::string_view id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? -1 : int64_t{it->second};
}

std::vector<uint32_t> Network::Linked(uint32_t node) const {
  std::vector<uint32_t> out;
  const Kind kind = nodes_[node].kind;
  if (kind == Kind::kCluster) return out;
  for (const auto& [account, value] : links_) {
    if (kind == Kind::kAccount ? account == node : value == node)
      out.push_back(kind == Kind::kAccount ? value : account);
  }
  std::sort(out.begin(), out.end());
  return out;
}

const std::vector<Place>& Network::PlacesIn(uint32_t cluster) const {
  {
    const std::lock_guard<std::mutex> lock(layouts_->mutex);
    if (layouts_->of[cluster]) return *layouts_->of[cluster];
  }
  const Node& c = nodes_[cluster];
  std::vector<float> radii;
  for (uint32_t i = c.first; i < c.first + c.children; ++i) {
    const Node& n = nodes_[i];
    const auto accounts = static_cast<float>(n.accounts);
    radii.push_back(n.kind == Kind::kCluster   ? 1.6f + std::sqrt(accounts)
                    : n.kind == Kind::kAccount ? 1.f
                    : n.kind == Kind::kValue   ? .8f + .15f * std::log2(1 + accounts)
                                               : 1.f + .25f * std::log2(1 + accounts));
  }
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> counts;
  const auto child = [&](uint32_t n) {
    while (nodes_[n].parent != cluster) n = nodes_[n].parent;
    return n - c.first;
  };
  for (uint64_t l = links_of_[cluster]; l < links_of_[cluster + 1]; ++l) {
    const uint32_t a = child(links_[l].first), b = child(links_[l].second);
    ++counts[{std::min(a, b), std::max(a, b)}];
  }
  std::vector<Edge> edges;
  for (const auto& [ends, n] : counts)
    edges.push_back({ends.first, ends.second, std::min(4.f, std::log2(1 + static_cast<float>(n)))});
  auto places = std::make_unique<const std::vector<Place>>(LayOut(radii, edges));
  const std::lock_guard<std::mutex> lock(layouts_->mutex);
  auto& slot = layouts_->of[cluster];
  if (!slot) slot = std::move(places);  // somebody else may have been first, with the same
  return *slot;
}

View Network::Draw(std::span<const uint32_t> open, uint32_t focus) const {
  View out;
  std::vector<uint8_t> opened(nodes_.size());
  opened[0] = 1;
  size_t drawn = nodes_[0].children;
  std::vector<uint32_t> wanted(open.begin(), open.end());
  std::erase_if(wanted, [&](uint32_t n) {
    return n == 0 || n >= nodes_.size() || nodes_[n].kind != Kind::kCluster;
  });
  // A parent may be named after its child: what waits for it is tried again.
  for (bool again = true; again;) {
    again = false;
    for (uint32_t& n : wanted) {
      if (n == 0 || opened[n] || !opened[nodes_[n].parent]) continue;
      if (drawn + nodes_[n].children > kDrawnNodes) continue;
      drawn += nodes_[n].children;
      opened[n] = 1;
      again = true;
    }
  }
  for (const uint32_t n : wanted)
    if (!opened[n] && opened[nodes_[n].parent]) out.refused.push_back(n);
  // Elements in order of breadth; which of them stands for a node that is not drawn.
  std::vector<uint32_t> stands(nodes_.size(), kNone);
  std::vector<uint32_t> queue = {0};
  std::vector<Place> places = {Place{0, 0, 1}};
  for (size_t i = 0; i < queue.size(); ++i) {
    const uint32_t c = queue[i];
    const Place outer = places[i];
    const std::vector<Place>& in = PlacesIn(c);
    for (uint32_t k = 0; k < nodes_[c].children; ++k) {
      const uint32_t n = nodes_[c].first + k;
      const Place p = {outer.x + in[k].x * outer.r, outer.y + in[k].y * outer.r, in[k].r * outer.r};
      stands[n] = static_cast<uint32_t>(out.elements.size());
      out.elements.push_back({n, opened[n] != 0, p});
      if (opened[n]) {
        queue.push_back(n);
        places.push_back(p);
      }
    }
  }
  std::vector<uint8_t> shown(nodes_.size());
  for (uint32_t n = 1; n < nodes_.size(); ++n) {
    if (stands[n] != kNone)
      shown[n] = 1;
    else
      stands[n] = stands[nodes_[n].parent];
  }
  std::vector<uint64_t> ends;
  ends.reserve(links_.size());
  for (const auto& [account, value] : links_) {
    const uint32_t a = stands[account], b = stands[value];
    if (a != b) ends.push_back(uint64_t{std::min(a, b)} << 32 | std::max(a, b));
  }
  std::sort(ends.begin(), ends.end());
  for (size_t i = 0; i < ends.size();) {
    size_t j = i;
    while (j < ends.size() && ends[j] == ends[i]) ++j;
    out.links.push_back({static_cast<uint32_t>(ends[i] >> 32), static_cast<uint32_t>(ends[i]),
                         static_cast<uint32_t>(j - i)});
    i = j;
  }
  const uint32_t of = focus == 0 || focus >= nodes_.size() ? kNone : stands[focus];
  std::stable_sort(out.links.begin(), out.links.end(), [&](const auto& x, const auto& y) {
    const bool fx = x.a == of || x.b == of, fy = y.a == of || y.b == of;
    return fx != fy ? fx : x.count > y.count;
  });
  const size_t room = kDrawnMax - out.elements.size();
  if (out.links.size() > room) {
    out.links_cut = out.links.size() - room;
    out.links.resize(room);
  }
  return out;
}

std::vector<uint32_t> Network::Opening() const {
  std::vector<uint32_t> out;
  if (nodes_.size() > kShowAll) return out;
  for (uint32_t n = 1; n < nodes_.size(); ++n)
    if (nodes_[n].kind == Kind::kCluster) out.push_back(n);
  return out;
}

}  // namespace stillwatch::graph
