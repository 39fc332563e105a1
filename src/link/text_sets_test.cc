#include "link/text_sets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <thread>

namespace stillwatch::link {
namespace {

using Hashes = std::vector<uint64_t>;

// Runs `body(worker)` on `threads` threads at once.
template <typename F>
void Concurrently(int threads, const F& body) {
  std::vector<std::thread> all;
  for (int w = 0; w < threads; ++w) all.emplace_back(body, w);
  for (std::thread& t : all) t.join();
}

TEST(Items, StandForTurns) {
  using Turn = std::vector<uint32_t>;
  EXPECT_EQ(ItemOf(Turn{}), 0u);
  EXPECT_NE(ItemOf(Turn{0}), 0u);
  EXPECT_EQ(ItemOf(Turn{1, 2}), ItemOf(Turn{1, 2}));
  const std::set<uint64_t> distinct = {ItemOf(Turn{0}),      ItemOf(Turn{0, 0}), ItemOf(Turn{1}),
                                       ItemOf(Turn{2}),      ItemOf(Turn{1, 2}), ItemOf(Turn{2, 1}),
                                       ItemOf(Turn{1, 2, 3})};
  EXPECT_EQ(distinct.size(), 7u);
}

TEST(Salts, KeepTheSystemPromptFromTheTurn) {
  for (const uint32_t hash : {0u, 1u, 77u, ~0u}) {
    EXPECT_NE(SaltTurn(hash), SaltSystem(hash));
    EXPECT_EQ(static_cast<uint32_t>(SaltTurn(hash)), hash);
    EXPECT_EQ(static_cast<uint32_t>(SaltSystem(hash)), hash);
  }
}

TEST(HashCounts, NeverLosesAFrequentHashAndHardlyEverInventsOne) {
  // Hash i is added 1 + i % 40 times, by four threads in four orders.
  constexpr uint32_t kHashes = 20'000;
  constexpr int kThreads = 4;
  std::mt19937_64 random(1);
  Hashes hashes(kHashes);
  for (uint64_t& h : hashes) h = SaltTurn(static_cast<uint32_t>(random()));
  const auto times = [](uint32_t i) { return 1 + i % 40; };
  HashCounts counts;
  Concurrently(kThreads, [&](int worker) {
    std::vector<uint32_t> mine;
    for (uint32_t i = 0; i < kHashes; ++i) {
      for (uint32_t k = 0; k < times(i); ++k) {
        if ((i + k) % kThreads == static_cast<uint32_t>(worker)) mine.push_back(i);
      }
    }
    std::shuffle(mine.begin(), mine.end(), std::mt19937_64(static_cast<uint64_t>(worker)));
    for (const uint32_t i : mine) counts.Add(hashes[i]);
  });
  int invented = 0;
  for (uint32_t i = 0; i < kHashes; ++i) {
    EXPECT_TRUE(counts.MayHave(hashes[i], times(i))) << i;
    EXPECT_TRUE(counts.MayHave(hashes[i], 0));
    invented += counts.MayHave(hashes[i], times(i) + 1);
  }
  // 20,000 hashes in 2^26 counters: six collide on average.
  EXPECT_LE(invented, 20);
  EXPECT_FALSE(counts.MayHave(SaltSystem(static_cast<uint32_t>(hashes[0])), 1));

  // The counter of a hash that is everywhere stops; it does not run over.
  const uint64_t everywhere = SaltSystem(12'345);
  Concurrently(8, [&](int) {
    for (int i = 0; i < 10'000; ++i) counts.Add(everywhere);
  });
  EXPECT_TRUE(counts.MayHave(everywhere, HashCounts::kCountMax));
  EXPECT_TRUE(counts.MayHave(everywhere, 1'000'000));
  for (int i = 0; i < 6'000; ++i) {  // as many as are left to the counter's end
    counts.Add(everywhere);
    ASSERT_TRUE(counts.MayHave(everywhere, HashCounts::kCountMax)) << i;
  }
  for (int i = 1; i < HashCounts::kCountMax; ++i) counts.Add(SaltSystem(54'321));
  EXPECT_FALSE(counts.MayHave(SaltSystem(54'321), 1'000'000));
}

TEST(TextSets, EqualSetsHaveOneNumberWhoeverAddsThem) {
  std::mt19937_64 random(2);
  std::set<Hashes> distinct;
  while (distinct.size() < 20'000) {
    Hashes set(1 + random() % 20);
    for (uint64_t& h : set) h = random() % 5'000;
    distinct.insert(set);
  }
  const std::vector<Hashes> sets(distinct.begin(), distinct.end());
  constexpr int kThreads = 8;
  TextSets texts;
  std::vector<std::vector<uint32_t>> number(kThreads, std::vector<uint32_t>(sets.size()));
  Concurrently(kThreads, [&](int worker) {
    std::vector<uint32_t> order(sets.size());
    for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), std::mt19937_64(static_cast<uint64_t>(worker)));
    for (const uint32_t i : order) number[worker][i] = texts.Add(sets[i]);
  });
  std::set<uint32_t> taken;
  for (int w = 0; w < kThreads; ++w) EXPECT_EQ(number[w], number[0]);
  for (uint32_t i = 0; i < sets.size(); ++i) {
    taken.insert(number[0][i]);
    ASSERT_LT(number[0][i], texts.bound());
    ASSERT_NE(number[0][i], 0u);
    const auto kept = texts[number[0][i]];
    ASSERT_TRUE(std::equal(kept.begin(), kept.end(), sets[i].begin(), sets[i].end())) << i;
    ASSERT_EQ(texts.Add(sets[i]), number[0][i]);
  }
  EXPECT_EQ(taken.size(), sets.size());
  // Few numbers below the bound are not taken, and those are empty.
  EXPECT_LE(texts.bound(), sets.size() + sets.size() / 3);
  size_t filled = 0;
  for (uint32_t n = 0; n < texts.bound() + 200; ++n) filled += !texts[n].empty();
  EXPECT_EQ(filled, sets.size());
}

TEST(TextSets, AreTheSameInAFile) {
  TextSets texts;
  std::vector<Hashes> sets;
  std::vector<uint32_t> numbers;
  for (uint64_t i = 0; i < 3'000; ++i) {
    sets.push_back({SaltSystem(static_cast<uint32_t>(i)), i * 7, i});
    sets.back().resize(1 + i % 3);
    numbers.push_back(texts.Add(sets.back()));
  }
  const uint32_t bound = texts.bound();
  ASSERT_NE(texts.Seal(testing::TempDir() + "/there/is/no/such/folder", 0), 0);
  ASSERT_EQ(texts.Seal(testing::TempDir(), 0), 0);
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < sets.size(); ++i) {
      const TextSet kept = texts[numbers[i]];
      ASSERT_TRUE(std::equal(kept.begin(), kept.end(), sets[i].begin(), sets[i].end())) << i;
    }
    texts.Rest();
  }
  EXPECT_EQ(texts.bound(), bound);
  EXPECT_TRUE(texts[0].empty());
  EXPECT_TRUE(texts[bound + 200].empty());
}

TEST(TextSets, SetsThatLookAlikeStayApart) {
  TextSets texts;
  const std::vector<Hashes> sets = {{1}, {2}, {1, 2}, {2, 1}, {1, 2, 3}, {1, 1}, {0}, {0, 0}};
  std::set<uint32_t> numbers;
  for (const Hashes& set : sets) numbers.insert(texts.Add(set));
  EXPECT_EQ(numbers.size(), sets.size());
  EXPECT_FALSE(numbers.contains(0));
  // Sets that begin as another one does, so many that some meet on their way to a free slot.
  for (uint64_t h = 0; h < 5'000; ++h) numbers.insert(texts.Add(Hashes{1, 1'000 + h}));
  EXPECT_EQ(numbers.size(), sets.size() + 5'000);
}

TEST(TextSets, NumberZeroIsTheEmptySet) {
  TextSets texts;
  EXPECT_EQ(texts.Add({}), 0u);
  EXPECT_TRUE(texts[0].empty());
  EXPECT_EQ(texts.bound(), 1u);
  EXPECT_TRUE(texts[1].empty());
  EXPECT_TRUE(texts[kNone - 1].empty());
}

}  // namespace
}  // namespace stillwatch::link
