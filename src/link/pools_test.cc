#include "link/pools.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "link/test_log.h"

namespace stillwatch::link {
namespace {

using model::Family;
using Numbers = std::vector<uint32_t>;

// Each account an entity of its own.
Numbers Strangers(uint32_t n) {
  Numbers entity(n);
  std::iota(entity.begin(), entity.end(), 0);
  return entity;
}

void Share(std::vector<Trait>* traits, Family family, uint64_t value, const Numbers& accounts,
           bool domain = false) {
  for (const uint32_t a : accounts) traits->push_back({a, family, value, domain});
}

Numbers Range(uint32_t begin, uint32_t end) {
  Numbers out(end - begin);
  std::iota(out.begin(), out.end(), begin);
  return out;
}

constexpr PoolOptions kEveryLink{.link_bits_min = 0};

// The one link of a graph in which `accounts` of 1,024 share a value.
std::array<float, kLinkFamilies> BitsOf(Family family, uint32_t accounts, bool domain = false) {
  std::vector<Trait> traits;
  Share(&traits, family, 1, Range(0, accounts), domain);
  const AccountGraph g = BuildGraph(traits, Strangers(1024), 1024, kEveryLink);
  EXPECT_EQ(g.links.size(), accounts * (accounts - 1) / 2);
  return g.links.empty() ? std::array<float, kLinkFamilies>{} : g.links[0].bits;
}

TEST(Graph, AValueIsWorthTheLogarithmOfItsRarity) {
  EXPECT_FLOAT_EQ(BitsOf(Family::kPayment, 8)[3], 7);  // log2(1024 / 8)
  EXPECT_FLOAT_EQ(BitsOf(Family::kPayment, 16)[3], 6);
  EXPECT_FLOAT_EQ(BitsOf(Family::kEnrolment, 32)[2], 5);
  EXPECT_FLOAT_EQ(BitsOf(Family::kNetwork, 128)[0], 3);
  EXPECT_FLOAT_EQ(BitsOf(Family::kNetwork, 2)[0], 8);          // 9, capped
  EXPECT_FLOAT_EQ(BitsOf(Family::kClient, 2)[1], 2);           // a client never counts more
  EXPECT_FLOAT_EQ(BitsOf(Family::kEnrolment, 8, true)[2], 3);  // a mail domain counts 4 less
  EXPECT_FLOAT_EQ(BitsOf(Family::kEnrolment, 2, true)[2], 5);
}

TEST(Graph, LessThanOneBitLinksNobody) {
  std::vector<Trait> traits;
  Share(&traits, Family::kPayment, 1, Range(0, 6));
  EXPECT_EQ(BuildGraph(traits, Strangers(12), 12, kEveryLink).links.size(), 15u);  // 1 bit
  EXPECT_EQ(BuildGraph(traits, Strangers(11), 11, kEveryLink).links.size(), 0u);
}

TEST(Graph, WeakLinksAreDroppedAndFamiliesAdd) {
  std::vector<Trait> traits;
  Share(&traits, Family::kNetwork, 1, Range(0, 16));  // 4 bits of 256
  EXPECT_TRUE(BuildGraph(traits, Strangers(256), 256, {}).links.empty());
  EXPECT_EQ(BuildGraph(traits, Strangers(512), 512, {}).links.size(), 120u);  // 5 bits are enough
  Share(&traits, Family::kPayment, 1, Range(14, 18));                         // 6 bits
  Share(&traits, Family::kClient, 1, {15, 16});                               // 2 bits, capped
  const AccountGraph g = BuildGraph(traits, Strangers(256), 256, {});
  ASSERT_EQ(g.links.size(), 6u);
  const auto link = [&](uint32_t a, uint32_t b) {
    for (const Link& l : g.links) {
      if (l.a == a && l.b == b) return l;
    }
    return Link{};
  };
  EXPECT_EQ(link(14, 15).bits, (std::array<float, 4>{4, 0, 0, 6}));
  EXPECT_FLOAT_EQ(link(14, 15).total, 10);
  EXPECT_EQ(link(15, 16).bits, (std::array<float, 4>{0, 2, 0, 6}));
  EXPECT_FLOAT_EQ(link(16, 17).total, 6);
}

TEST(Graph, OfOneFamilyTheBestValueCounts) {
  std::vector<Trait> traits;
  Share(&traits, Family::kNetwork, 1, Range(0, 16));  // 4 bits
  Share(&traits, Family::kNetwork, 2, Range(0, 4));   // 6 bits
  Share(&traits, Family::kNetwork, 3, {0, 1, 200});   // log2(256 / 3)
  // Said twice, it is one value.
  Share(&traits, Family::kNetwork, 3, {0, 1, 200});
  const AccountGraph g = BuildGraph(traits, Strangers(256), 256, kEveryLink);
  EXPECT_FLOAT_EQ(g.links[0].bits[0], std::log2(256.f / 3));
  EXPECT_FLOAT_EQ(g.links[0].total, std::log2(256.f / 3));
  // The same number in two families is two values.
  Share(&traits, Family::kPayment, 2, {5, 6});
  EXPECT_EQ(BuildGraph(traits, Strangers(256), 256, kEveryLink).links.size(), g.links.size());
}

TEST(Graph, AValueThatTooManyEntitiesCarryIsSkippedAndCounted) {
  std::vector<Trait> traits;
  Share(&traits, Family::kPayment, 1, Range(0, 8));
  Share(&traits, Family::kPayment, 2, Range(20, 29));
  const AccountGraph g =
      BuildGraph(traits, Strangers(1024), 1024, {.holders_max = 8, .link_bits_min = 0});
  EXPECT_EQ(g.values_skipped, 1u);
  EXPECT_EQ(g.links.size(), 28u);
  EXPECT_EQ(g.links.back().b, 7u);
  // Entities count, not accounts: nine accounts of eight entities.
  Numbers entity = Strangers(1024);
  entity[28] = 27;
  const AccountGraph h = BuildGraph(traits, entity, 1023, {.holders_max = 8, .link_bits_min = 0});
  EXPECT_EQ(h.values_skipped, 0u);
  EXPECT_EQ(h.links.size(), 28u + 36u - 1u);
}

TEST(Graph, TheBoundOnPairsSkipsTheLongestLists) {
  std::vector<Trait> traits;
  Share(&traits, Family::kPayment, 1, Range(0, 10));   // 45 pairs
  Share(&traits, Family::kPayment, 2, Range(20, 24));  // 6
  Share(&traits, Family::kPayment, 3, Range(30, 35));  // 10
  const PoolOptions options{.link_bits_min = 0, .pairs_max = 50};
  const AccountGraph g = BuildGraph(traits, Strangers(1024), 1024, options);
  EXPECT_EQ(g.values_skipped, 1u);
  EXPECT_EQ(g.links.size(), 16u);
  EXPECT_GE(g.links[0].a, 20u);
}

TEST(Graph, InsideOneEntityThereAreNoLinks) {
  std::vector<Trait> traits;
  Share(&traits, Family::kPayment, 1, Range(0, 6));
  Numbers entity = Strangers(256);
  entity[1] = entity[2] = 0;
  const AccountGraph g = BuildGraph(traits, entity, 254, {});
  ASSERT_EQ(g.links.size(), 12u);  // 15 pairs, three of them inside
  for (const Link& l : g.links) {
    EXPECT_NE(entity[l.a], entity[l.b]);
    EXPECT_FLOAT_EQ(l.bits[3], std::log2(254.f / 4));  // four entities carry it
  }
  // A value that only one entity carries links nobody.
  std::vector<Trait> own;
  Share(&own, Family::kPayment, 1, {0, 1, 2});
  EXPECT_TRUE(BuildGraph(own, entity, 254, kEveryLink).links.empty());
}

TEST(Graph, AdjacencyIsThatOfTheLinks) {
  std::mt19937 random(1);
  std::vector<Trait> traits;
  for (uint32_t v = 0; v < 60; ++v) {
    for (uint32_t k = 0; k < 5; ++k)
      traits.push_back({static_cast<uint32_t>(random() % 200), Family::kPayment, v});
  }
  const AccountGraph g = BuildGraph(traits, Strangers(200), 200, {});
  ASSERT_GT(g.links.size(), 300u);
  for (uint32_t a = 0; a < 200; ++a) {
    std::set<uint32_t> expected;
    for (uint32_t l = 0; l < g.links.size(); ++l) {
      if (g.links[l].a == a || g.links[l].b == a) expected.insert(l);
    }
    const auto of = g.Of(a);
    EXPECT_EQ(std::set<uint32_t>(of.begin(), of.end()), expected);
    EXPECT_EQ(of.size(), expected.size());
  }
  for (size_t i = 0; i < g.links.size(); ++i) {
    EXPECT_LT(g.links[i].a, g.links[i].b);
    if (i > 0) {
      EXPECT_LT(std::pair(g.links[i - 1].a, g.links[i - 1].b),
                std::pair(g.links[i].a, g.links[i].b));
    }
  }
}

// Links of 5 bits inside groups of accounts.
std::vector<Trait> Groups(const std::vector<Numbers>& groups) {
  std::vector<Trait> traits;
  for (uint64_t v = 0; v < groups.size(); ++v) Share(&traits, Family::kPayment, v, groups[v]);
  return traits;
}

std::vector<uint32_t> Pools(const std::vector<Trait>& traits, uint32_t accounts,
                            const Numbers& members = {}) {
  return FindPools(BuildGraph(traits, Strangers(accounts), accounts, {}), members, {});
}

TEST(Pools, AreNumberedByTheirSmallestAccount) {
  const auto pool = Pools(Groups({{90, 91, 5}, {2, 80, 81}, {40, 41}}), 256);
  std::vector<uint32_t> expected(256, kNone);
  for (const uint32_t a : {2, 80, 81}) expected[a] = 0;
  for (const uint32_t a : {5, 90, 91}) expected[a] = 1;
  for (const uint32_t a : {40, 41}) expected[a] = 2;
  EXPECT_EQ(pool, expected);
}

TEST(Pools, AmongMembersOnlyTheirOwnLinksCount) {
  const auto traits = Groups({{1, 2, 3, 4}, {4, 5, 6, 7}, {8, 9}});
  // 4 joins the groups; without it they are two. 9 has lost its partner.
  const auto pool = Pools(traits, 256, {9, 7, 6, 5, 3, 2, 1});
  for (const uint32_t a : {1, 2, 3}) EXPECT_EQ(pool[a], 0u);
  for (const uint32_t a : {5, 6, 7}) EXPECT_EQ(pool[a], 1u);
  for (const uint32_t a : {4, 8, 9}) EXPECT_EQ(pool[a], kNone);
}

TEST(Pools, ABridgeDoesNotMakeOnePoolOfTwo) {
  // Two pools of 12 and one stranger who shares something with an account of each; connected
  // components would make one of them.
  auto traits = Groups({Range(0, 12), Range(20, 32), {0, 50}, {20, 50}});
  const auto pool = Pools(traits, 1024);
  for (uint32_t a = 1; a < 12; ++a) EXPECT_EQ(pool[a], pool[0]) << a;
  for (uint32_t a = 21; a < 32; ++a) EXPECT_EQ(pool[a], pool[20]) << a;
  EXPECT_NE(pool[0], pool[20]);
  // Nor does a direct link.
  traits = Groups({Range(0, 12), Range(20, 32), {0, 20}});
  const auto direct = Pools(traits, 1024);
  EXPECT_EQ(direct[1], direct[11]);
  EXPECT_EQ(direct[21], direct[31]);
  EXPECT_NE(direct[1], direct[21]);
}

TEST(Pools, AChainOfPairsIsNoPool) {
  // Each account shares something with the next: a hundred acquaintances of acquaintances.
  std::vector<Numbers> pairs;
  for (uint32_t a = 0; a + 1 < 100; ++a) pairs.push_back({a, a + 1});
  const auto pool = Pools(Groups(pairs), 256);
  std::map<uint32_t, uint32_t> size;
  for (uint32_t a = 0; a < 100; ++a) ++size[pool[a]];
  EXPECT_GE(size.size(), 3u);
}

TEST(Pools, AHomogeneousPoolStaysWhole) {
  // One operator's 60 accounts with cards shared by four each, dealt out so that every account has
  // two cards: no account is far from another.
  std::mt19937 random(3);
  std::vector<Numbers> cards;
  for (int deal = 0; deal < 3; ++deal) {
    Numbers accounts = Range(0, 60);
    std::shuffle(accounts.begin(), accounts.end(), random);
    for (size_t i = 0; i < 60; i += 4)
      cards.push_back({accounts.begin() + i, accounts.begin() + i + 4});
  }
  const auto pool = Pools(Groups(cards), 512);
  for (uint32_t a = 1; a < 60; ++a) EXPECT_EQ(pool[a], pool[0]);
}

TEST(Pools, TheOrderOfTraitsAndTheNumbersOfAccountsDoNotMatter) {
  std::mt19937 random(4);
  constexpr uint32_t kAccounts = 400;
  std::vector<Trait> traits;
  for (uint32_t p = 0; p < 8; ++p) {  // pools of 20
    for (uint32_t v = 0; v < 12; ++v) {
      for (uint32_t k = 0; k < 8; ++k)
        traits.push_back({p * 20 + static_cast<uint32_t>(random() % 20),
                          v % 2 ? Family::kPayment : Family::kNetwork, p * 100 + v});
    }
  }
  const auto links = [](const AccountGraph& g) {
    std::vector<std::tuple<uint32_t, uint32_t, std::array<float, kLinkFamilies>, float>> out;
    for (const Link& l : g.links) out.emplace_back(l.a, l.b, l.bits, l.total);
    return out;
  };
  const AccountGraph graph = BuildGraph(traits, Strangers(kAccounts), kAccounts, {});
  const auto pool = FindPools(graph, {}, {});
  const auto partition = [](const std::vector<uint32_t>& of) {
    std::map<uint32_t, std::set<uint32_t>> sets;
    for (uint32_t a = 0; a < of.size(); ++a) {
      if (of[a] != kNone) sets[of[a]].insert(a);
    }
    std::set<std::set<uint32_t>> out;
    for (auto& [id, set] : sets) out.insert(set);
    return out;
  };
  EXPECT_EQ(partition(pool).size(), 8u);
  for (int round = 0; round < 5; ++round) {
    std::shuffle(traits.begin(), traits.end(), random);
    const AccountGraph again = BuildGraph(traits, Strangers(kAccounts), kAccounts, {});
    EXPECT_EQ(links(again), links(graph));
    EXPECT_EQ(FindPools(again, {}, {}), pool);
    Numbers renumbered = Range(0, kAccounts), back(kAccounts);
    std::shuffle(renumbered.begin(), renumbered.end(), random);
    for (uint32_t a = 0; a < kAccounts; ++a) back[renumbered[a]] = a;
    std::vector<Trait> other = traits;
    for (Trait& t : other) t.account = renumbered[t.account];
    const auto theirs = Pools(other, kAccounts);
    std::vector<uint32_t> as_before(kAccounts);
    for (uint32_t a = 0; a < kAccounts; ++a) as_before[a] = theirs[renumbered[a]];
    EXPECT_EQ(partition(as_before), partition(pool));
  }
}

TEST(Pools, NobodySharesAnything) {
  EXPECT_EQ(Pools({}, 5), std::vector<uint32_t>(5, kNone));
  EXPECT_EQ(Pools({}, 0), std::vector<uint32_t>());
  EXPECT_EQ(Pools(Groups({{1}, {2}}), 64), std::vector<uint32_t>(64, kNone));
}

TEST(Traits, AreThoseOfTheRecordAndOfTheExchanges) {
  TestLog t;
  model::Account& a = t.Describe("a");
  a.payment_id = "card";
  a.signup_ip = "10.0.0.1";
  a.email_domain = "card";  // the same text as the card: another kind of value
  a.referrer = "friend";
  t.Describe("b").payment_id = "card";
  t.Add("a", 1).address = "10.0.0.2";
  t.Add("a", 2).address = "10.0.0.2";
  t.Add("a", 3).ja4 = "j";
  t.Add("c", 1).address = "10.0.0.1";  // works from where `a` signed up
  const std::vector<Trait> traits = AccountTraits(t.Build());
  const auto of = [&](uint32_t account, Family family) {
    std::vector<uint64_t> values;
    for (const Trait& x : traits) {
      if (x.account == account && x.family == family) values.push_back(x.value);
    }
    return values;
  };
  EXPECT_EQ(of(0, Family::kPayment).size(), 1u);
  EXPECT_EQ(of(0, Family::kPayment), of(1, Family::kPayment));
  EXPECT_EQ(of(0, Family::kNetwork).size(), 2u);
  EXPECT_EQ(of(0, Family::kNetwork)[0], of(2, Family::kNetwork)[0]);
  EXPECT_EQ(of(0, Family::kEnrolment).size(), 2u);
  EXPECT_EQ(of(0, Family::kClient).size(), 1u);
  EXPECT_EQ(traits.size(), 8u);
  std::set<uint64_t> distinct;
  for (const Trait& x : traits) {
    distinct.insert(x.value);
    EXPECT_EQ(x.domain, x.account == 0 && x.value == of(0, Family::kEnrolment)[0]);
  }
  EXPECT_EQ(distinct.size(), 6u);
}

}  // namespace
}  // namespace stillwatch::link
