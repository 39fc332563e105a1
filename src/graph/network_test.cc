#include "graph/network.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/hash.h"
#include "base/str.h"
#include "graph/layout.h"

namespace stillwatch::graph {
namespace {

using base::StrCat;

// `pools` pools of `each` accounts; values that two to some accounts of a pool share, a few across.
Input World(uint32_t pools, uint32_t each, uint32_t values, uint64_t seed = 1) {
  Input in;
  for (uint32_t p = 0; p < pools; ++p)
    for (uint32_t i = 0; i < each; ++i)
      in.accounts.push_back({StrCat("acct-", p, "-", i), StrCat("pool-", p)});
  for (uint32_t v = 0; v < values; ++v) {
    const uint64_t r = base::Mix64(seed * 1'000'003 + v);
    Input::Value value{
        .field = r % 3 == 0 ? "ja4" : "client_ip", .value = StrCat("v", v), .holders = {}};
    std::set<uint32_t> holders;
    const uint32_t pool = static_cast<uint32_t>(r >> 8) % pools, n = 2 + (r >> 20) % 14;
    for (uint32_t k = 0; k < n; ++k) {
      const uint64_t one = base::Mix64(r + k);
      const uint32_t of = v % 50 == 0 ? static_cast<uint32_t>(one >> 32) % pools : pool;
      holders.insert(of * each + static_cast<uint32_t>(one) % each);
    }
    value.holders.assign(holders.begin(), holders.end());
    in.values.push_back(std::move(value));
  }
  Input::Value all{.kind = Kind::kTemplate, .field = "template", .value = "tpl_1", .holders = {}};
  for (uint32_t a = 0; a < in.accounts.size(); ++a) all.holders.push_back(a);
  in.values.push_back(std::move(all));
  return in;
}

void CheckTree(const Network& n, const Input& in) {
  std::set<std::string> ids, accounts;
  uint64_t links = 0;
  for (uint32_t i = 0; i < n.nodes().size(); ++i) {
    const Node& node = n.nodes()[i];
    EXPECT_TRUE(ids.insert(node.id).second) << node.id;
    EXPECT_EQ(n.Find(node.id), int64_t{i});
    EXPECT_LT(node.parent, std::max(i, 1u));
    EXPECT_LE(node.children, kFan) << node.id;
    EXPECT_EQ(node.kind == Kind::kCluster && n.accounts() > 0, node.children > 0) << node.id;
    if (node.kind == Kind::kAccount) accounts.insert(node.label), links += node.links;
    for (uint32_t c = node.first; c < node.first + node.children; ++c)
      EXPECT_EQ(n.nodes()[c].parent, i);
  }
  EXPECT_EQ(accounts.size(), n.accounts());
  EXPECT_EQ(n.nodes()[0].accounts, n.accounts());
  EXPECT_EQ(links, n.links());
  EXPECT_EQ(n.accounts() + n.values() + n.left_out(), in.accounts.size() + in.values.size());
}

void CheckView(const Network& n, const View& v) {
  EXPECT_LE(v.elements.size() + v.links.size(), kDrawnMax);
  for (const auto& e : v.elements) {
    EXPECT_TRUE(std::isfinite(e.place.x) && std::isfinite(e.place.y) && e.place.r > 0);
    EXPECT_LE(std::hypot(e.place.x, e.place.y) + e.place.r, 1.001f);
  }
  for (const auto& l : v.links) {
    ASSERT_LT(l.b, v.elements.size());
    EXPECT_LT(l.a, l.b);
    EXPECT_FALSE(v.elements[l.a].open || v.elements[l.b].open);
    EXPECT_GT(l.count, 0u);
  }
}

TEST(Network, HoldsFiftyThousandAndDrawsFiveThousandOfThem) {
  const Input in = World(300, 140, 12'000);
  const auto n = Network::Build(in);
  // Values whose accounts are all beyond the bound are none.
  EXPECT_LE(n->accounts() + n->values(), kNodesMax);
  EXPECT_GT(n->accounts() + n->values(), kNodesMax - 1'000);
  EXPECT_GT(n->left_out(), 0u);
  CheckTree(*n, in);
  CheckView(*n, n->Draw({}, 0));
  // All at once is refused in part, and what is opened fits.
  std::vector<uint32_t> all;
  for (uint32_t i = 1; i < n->nodes().size(); ++i)
    if (n->nodes()[i].kind == Kind::kCluster) all.push_back(i);
  const View v = n->Draw(all, 0);
  CheckView(*n, v);
  EXPECT_FALSE(v.refused.empty());
  EXPECT_GT(v.elements.size(), 3'000u);
  EXPECT_TRUE(n->Opening().empty());
}

TEST(Network, OpeningMovesNothingAndTheSameInputGivesTheSamePlaces) {
  const Input in = World(12, 60, 300);
  const auto one = Network::Build(in), two = Network::Build(in);
  const View closed = one->Draw({}, 0);
  const uint32_t some = closed.elements[3].node;
  ASSERT_EQ(one->nodes()[some].kind, Kind::kCluster);
  const View open = one->Draw({&some, 1}, 0);
  EXPECT_EQ(open.elements.size(), closed.elements.size() + one->nodes()[some].children);
  for (size_t i = 0; i < closed.elements.size(); ++i) {
    EXPECT_EQ(open.elements[i].node, closed.elements[i].node);
    EXPECT_EQ(open.elements[i].place.x, closed.elements[i].place.x);
    EXPECT_EQ(open.elements[i].open, closed.elements[i].node == some);
  }
  // What is in the cluster lies in its disc.
  const Place disc = open.elements[3].place;
  for (size_t i = closed.elements.size(); i < open.elements.size(); ++i) {
    const Place& p = open.elements[i].place;
    EXPECT_LE(std::hypot(p.x - disc.x, p.y - disc.y) + p.r, disc.r * 1.001f);
  }
  const View again = two->Draw({&some, 1}, 0);
  ASSERT_EQ(again.elements.size(), open.elements.size());
  for (size_t i = 0; i < open.elements.size(); ++i) {
    EXPECT_EQ(two->nodes()[again.elements[i].node].id, one->nodes()[open.elements[i].node].id);
    EXPECT_EQ(again.elements[i].place.x, open.elements[i].place.x);
    EXPECT_EQ(again.elements[i].place.y, open.elements[i].place.y);
  }
}

TEST(Network, LinksStandForAllThatTheyHide) {
  const Input in = World(8, 50, 200);
  const auto n = Network::Build(in);
  // Everything open: each link of the input is drawn once, or cut.
  std::vector<uint32_t> all;
  for (uint32_t i = 1; i < n->nodes().size(); ++i)
    if (n->nodes()[i].kind == Kind::kCluster) all.push_back(i);
  const View v = n->Draw(all, 0);
  EXPECT_TRUE(v.refused.empty());
  EXPECT_EQ(v.links.size() + v.links_cut, n->links());
  for (const auto& l : v.links) EXPECT_EQ(l.count, 1u);
  // Closed: the template's links stand for every account.
  const View closed = n->Draw({}, 0);
  const int64_t t = n->Find("t:tpl_1");
  ASSERT_GE(t, 0);
  uint64_t counted = 0;
  for (const auto& l : closed.links)
    if (closed.elements[l.a].node == t || closed.elements[l.b].node == t) counted += l.count;
  EXPECT_EQ(counted, in.accounts.size());
  EXPECT_EQ(n->Linked(static_cast<uint32_t>(t)).size(), in.accounts.size());
  // Of an account with links: the focus is never cut.
  const View focused = n->Draw(all, static_cast<uint32_t>(t));
  EXPECT_EQ(focused.links[0].count, 1u);
  EXPECT_TRUE(focused.elements[focused.links[0].a].node == t ||
              focused.elements[focused.links[0].b].node == t);
}

TEST(Network, AValueStandsInTheSmallestClusterThatHasIt) {
  Input in = World(3, 20, 0);
  in.values.push_back({.field = "client_ip", .value = "inside", .holders = {0, 1, 2}});
  in.values.push_back({.field = "client_ip", .value = "across", .holders = {0, 25}});
  const auto n = Network::Build(in);
  const auto parent = [&](const char* id) {
    return n->nodes()[n->nodes()[static_cast<size_t>(n->Find(id))].parent].id;
  };
  EXPECT_EQ(parent("v:client_ip:inside"), "c:pool-0");
  EXPECT_EQ(parent("v:client_ip:across"), "c:");
  EXPECT_EQ(parent("a:acct-1-3"), "c:pool-1");
  EXPECT_FALSE(n->Opening().empty());
}

TEST(Network, LargePoolsAreGroupedByWhatTheyShare) {
  Input in = World(1, 1'000, 0);
  Input::Value v{.field = "client_ip", .value = "office", .holders = {}};
  for (uint32_t a = 100; a < 250; ++a) v.holders.push_back(a);
  in.values.push_back(v);
  const auto n = Network::Build(in);
  CheckTree(*n, in);
  const auto account = static_cast<size_t>(n->Find("a:acct-0-120"));
  EXPECT_EQ(n->nodes()[n->nodes()[account].parent].label, "office");
  EXPECT_EQ(n->nodes()[n->nodes()[account].parent].accounts, 150u);
}

TEST(Network, OddInputs) {
  CheckTree(*Network::Build({}), {});
  CheckView(*Network::Build({}), Network::Build({})->Draw({}, 0));
  Input in;
  in.accounts = {{"only", ""}};
  auto n = Network::Build(in);
  CheckTree(*n, in);
  CheckView(*n, n->Draw(n->Opening(), 0));
  // Fifty thousand accounts in no pool; as many pools of three; one value that all have.
  for (const uint32_t pools : {0u, 16'000u}) {
    Input many;
    Input::Value all{.field = "referrer", .value = "x", .holders = {}};
    for (uint32_t a = 0; a < 48'000; ++a) {
      many.accounts.push_back({StrCat("a", a), pools == 0 ? "" : StrCat("p", a % pools)});
      all.holders.push_back(a);
    }
    many.values.push_back(all);
    n = Network::Build(many);
    CheckTree(*n, many);
    CheckView(*n, n->Draw({}, 0));
    const std::vector<uint32_t> none = {0, 4'000'000'000u, 1, 1};
    CheckView(*n, n->Draw(none, 4'000'000'000u));
  }
}

TEST(LayOut, LinkedDiscsAreNearAndNoneCoversAnother) {
  // Ten stars of ten: a middle and what hangs on it.
  std::vector<float> radii;
  std::vector<Edge> edges;
  for (uint32_t i = 0; i < 100; ++i) {
    radii.push_back(i % 10 == 0 ? 2.f : 1.f);
    if (i % 10 != 0) edges.push_back({i - i % 10, i, 1});
  }
  const std::vector<Place> at = LayOut(radii, edges);
  double linked = 0, any = 0, pairs = 0;
  for (const Edge& e : edges) linked += std::hypot(at[e.a].x - at[e.b].x, at[e.a].y - at[e.b].y);
  for (size_t i = 0; i < at.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const double d = std::hypot(at[i].x - at[j].x, at[i].y - at[j].y);
      EXPECT_GT(d, std::max(at[i].r, at[j].r)) << i << " " << j;
      any += d, pairs += 1;
    }
  }
  EXPECT_LT(linked / double(edges.size()), .4 * any / pairs);
  // All on one point at first, as sizes of nothing are.
  for (const Place& p : LayOut(std::vector<float>(5, 0.f), {}))
    EXPECT_TRUE(std::isfinite(p.x) && std::isfinite(p.r));
}

}  // namespace
}  // namespace stillwatch::graph
