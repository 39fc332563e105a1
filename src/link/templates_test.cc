#include "link/templates.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "link/test_log.h"

namespace stillwatch::link {
namespace {

using Numbers = std::vector<uint32_t>;
using Hashes = std::vector<uint64_t>;

const base::Parallel kOne(1);

// Hashes `first`, `first` + 1, ... of a scaffold; payloads are above 2^20.
Numbers Scaffold(uint32_t first, size_t n) {
  Numbers out(n);
  for (uint32_t& h : out) h = first++;
  return out;
}

Numbers Payload(std::mt19937& random, size_t n) {
  std::set<uint32_t> out;
  while (out.size() < n) out.insert((1 << 20) + random() % (1 << 30));
  return {out.begin(), out.end()};
}

// Parts of one text, ascending and distinct as a sketch has them.
Numbers Text(std::initializer_list<Numbers> parts) {
  std::set<uint32_t> all;
  for (const Numbers& p : parts) all.insert(p.begin(), p.end());
  return {all.begin(), all.end()};
}

// `rows` exchanges dealt out over accounts `first`, `first` + 1, ...
void Deal(TestLog* t, uint32_t first, uint32_t accounts, uint32_t rows,
          const std::function<void(TestRow&)>& fill) {
  for (uint32_t i = 0; i < rows; ++i) {
    fill(t->Add(TestAccount(first + i % accounts), kTestDay + i * 1000));
  }
}

// What does not depend on how accounts and rows are numbered.
struct Seen {
  uint64_t id;
  Hashes hashes;
  std::set<uint64_t> rows;  // by exchange
  size_t length;
  uint64_t family;  // id of the family's first template
  auto operator<=>(const Seen&) const = default;
};

std::vector<Seen> Find(const Log& log, const base::Parallel& parallel = kOne,
                       const TemplateOptions& options = {}) {
  const std::vector<Template> found = FindTemplates(log, options, parallel);
  std::map<uint32_t, uint64_t> leader;
  std::vector<Seen> out;
  for (const Template& t : found) {
    Seen s{t.id, t.hashes, {}, t.length, leader.emplace(t.family, t.id).first->second};
    EXPECT_TRUE(std::is_sorted(t.rows.begin(), t.rows.end()));
    EXPECT_TRUE(std::is_sorted(t.hashes.begin(), t.hashes.end()));
    for (const uint32_t row : t.rows) s.rows.insert(log.id[row]);
    EXPECT_EQ(s.rows.size(), t.rows.size());
    out.push_back(s);
  }
  EXPECT_TRUE(std::is_sorted(out.begin(), out.end(), [](const Seen& x, const Seen& y) {
    return x.rows.size() != y.rows.size() ? x.rows.size() > y.rows.size() : x.id < y.id;
  }));
  return out;
}

Hashes Salted(const Numbers& hashes, uint64_t (*salt)(uint32_t)) {
  Hashes out;
  for (const uint32_t h : hashes) out.push_back(salt(h));
  return out;
}

TEST(Templates, AScaffoldIsFoundAroundChangingPayloadsInTurnAndInSystemPrompt) {
  const Numbers scaffold = Scaffold(100, 6);
  for (const bool in_system : {false, true}) {
    std::mt19937 random(1);
    TestLog t;
    // Payloads are far longer than the scaffold.
    Deal(&t, 0, 6, 60, [&](TestRow& r) {
      (in_system ? r.system : r.turn) = Text({scaffold, Payload(random, 30)});
      (in_system ? r.turn : r.system) = Payload(random, 20);
    });
    Deal(&t, 0, 40, 200, [&](TestRow& r) { r.turn = Payload(random, 30); });
    const Log log = t.Build();
    const auto found = Find(log);
    ASSERT_EQ(found.size(), 1u) << in_system;
    EXPECT_EQ(found[0].hashes, Salted(scaffold, in_system ? SaltSystem : SaltTurn));
    EXPECT_EQ(found[0].length, 6u);
    std::set<uint64_t> rows;
    for (int i = 0; i < 60; ++i) rows.insert(base::Hash64(t.rows[i].id));
    EXPECT_EQ(found[0].rows, rows);
  }
}

TEST(Templates, TheSameWordsInSystemPromptAndTurnAreTwoThings) {
  // Half of the exchanges have the words in the turn, half in the system prompt: 25 each, and 50
  // would be enough.
  std::mt19937 random(2);
  TestLog t;
  Deal(&t, 0, 5, 50, [&](TestRow& r) {
    const bool system = t.rows.size() % 2 == 0;
    (system ? r.system : r.turn) = Text({Scaffold(100, 5), Payload(random, 5)});
  });
  EXPECT_TRUE(Find(t.Build()).empty());
  const auto found = Find(t.Build(), kOne, {.exchanges_min = 25});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_NE(found[0].family, found[1].family);
  EXPECT_NE(found[0].id, found[1].id);
}

TEST(Templates, ThresholdsAreExact) {
  const auto found = [&](uint32_t accounts, uint32_t rows, bool verified) {
    std::mt19937 random(3);
    TestLog t;
    Deal(&t, 0, accounts, rows, [&](TestRow& r) {
      r.turn = Text({Scaffold(100, 4), Payload(random, 8)});
    });
    if (verified) {  // the first two are one customer
      for (const uint32_t a : {0, 1}) {
        t.Describe(TestAccount(a)).org_id = "org";
        t.Describe(TestAccount(a)).org_verified = true;
      }
    }
    return Find(t.Build()).size();
  };
  EXPECT_EQ(found(5, 30, false), 1u);
  EXPECT_EQ(found(4, 400, false), 0u);
  EXPECT_EQ(found(5, 29, false), 0u);
  EXPECT_EQ(found(29, 29, false), 0u);
  EXPECT_EQ(found(5, 400, true), 0u);
  EXPECT_EQ(found(6, 30, true), 1u);
  // Thresholds that are asked for hold too, beyond what the small counters can count.
  std::mt19937 random(3);
  TestLog t;
  Deal(&t, 0, 300, 600, [&](TestRow& r) { r.turn = Text({Scaffold(100, 4), Payload(random, 8)}); });
  const Log log = t.Build();
  EXPECT_EQ(Find(log, kOne, {.entities_min = 300, .exchanges_min = 600}).size(), 1u);
  EXPECT_EQ(Find(log, kOne, {.entities_min = 301, .exchanges_min = 600}).size(), 0u);
  EXPECT_EQ(Find(log, kOne, {.entities_min = 300, .exchanges_min = 601}).size(), 0u);
  EXPECT_EQ(Find(log, kOne, {.entities_min = 230, .exchanges_min = 600}).size(), 1u);
}

TEST(Templates, AFrequentHashAloneIsNoScaffold) {
  // Every row has one of two hashes, none both: each is frequent, neither has company.
  std::mt19937 random(4);
  TestLog t;
  Deal(&t, 0, 8, 200, [&](TestRow& r) {
    r.turn = Text({{t.rows.size() / 8 % 2 ? 100u : 101u}, Payload(random, 8)});
  });
  EXPECT_TRUE(Find(t.Build()).empty());
}

TEST(Templates, WhatOneCustomerAddsIsNoPartOfTheScaffold) {
  // He sends four exchanges in five, all with a word of his own.
  std::mt19937 random(12);
  TestLog t;
  const auto fill = [&](TestRow& r) { r.turn = Text({Scaffold(100, 4), Payload(random, 8)}); };
  Deal(&t, 1, 8, 40, fill);
  Deal(&t, 0, 1, 160, fill);
  for (TestRow& r : t.rows) {
    if (r.account == TestAccount(0)) r.turn = Text({r.turn, {200}});
  }
  const auto found = Find(t.Build());
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].hashes, Salted(Scaffold(100, 4), SaltTurn));
}

TEST(Templates, AHashIsAsFrequentAsATemplateOrNoPartOfOne) {
  for (const uint32_t with : {29, 30}) {
    std::mt19937 random(13);
    TestLog t;
    Deal(&t, 0, 5, 31, [&](TestRow& r) {
      r.turn = Text({Scaffold(100, 4), Payload(random, 8)});
      if (t.rows.size() <= with) r.turn = Text({r.turn, {200}});
    });
    const auto found = Find(t.Build());
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].hashes.size(), with == 30 ? 5u : 4u);
  }
}

TEST(Templates, TheMostFrequentHashHeadsItsGroup) {
  // Two parts that are in seven of ten exchanges each, but together in four of ten, belong to a
  // scaffold that is in all; the one with the smaller hash is not compared with the other.
  std::mt19937 random(16);
  TestLog t;
  Deal(&t, 0, 8, 400, [&](TestRow& r) {
    const size_t i = t.rows.size() - 1;
    r.turn = Text({Scaffold(100, 3), Payload(random, 8)});
    if (i < 280) r.turn = Text({r.turn, {50}});
    if (i >= 120) r.turn = Text({r.turn, {303}});
  });
  const auto found = Find(t.Build());
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].hashes.size(), 5u);
}

TEST(Templates, WhatALargerScaffoldLeavesMustBeEnough) {
  // Of forty exchanges with the small one, twenty carry more of the large one.
  std::mt19937 random(15);
  TestLog t;
  Deal(&t, 0, 8, 90, [&](TestRow& r) {
    r.turn = Text({Scaffold(100, 10), Payload(random, 8)});
    if (t.rows.size() <= 20) r.turn = Text({r.turn, Scaffold(200, 4)});
  });
  Deal(&t, 0, 8, 20, [&](TestRow& r) { r.turn = Text({Scaffold(200, 4), Payload(random, 8)}); });
  EXPECT_EQ(Find(t.Build()).size(), 1u);
  Deal(&t, 0, 8, 10, [&](TestRow& r) { r.turn = Text({Scaffold(200, 4), Payload(random, 8)}); });
  EXPECT_EQ(Find(t.Build()).size(), 2u);
}

TEST(Templates, UnrelatedScaffoldsStayApart) {
  std::mt19937 random(5);
  TestLog t;
  Deal(&t, 0, 10, 90, [&](TestRow& r) { r.turn = Text({Scaffold(100, 6), Payload(random, 9)}); });
  Deal(&t, 0, 10, 60, [&](TestRow& r) { r.turn = Text({Scaffold(200, 6), Payload(random, 9)}); });
  const auto found = Find(t.Build());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].rows.size(), 90u);
  EXPECT_EQ(found[1].rows.size(), 60u);
  EXPECT_EQ(found[0].hashes, Salted(Scaffold(100, 6), SaltTurn));
  EXPECT_EQ(found[1].hashes, Salted(Scaffold(200, 6), SaltTurn));
  EXPECT_NE(found[0].family, found[1].family);
}

TEST(Templates, GroupsDoNotChain) {
  // Hash i is in the exchanges of a window that moves on by an eighth: neighbours have a Jaccard
  // of .78, those eight apart none. Chains would make all one group.
  constexpr uint32_t kHashes = 40, kWindow = 400, kStep = 50;
  TestLog t;
  for (uint32_t row = 0; row < kHashes * kStep + kWindow; ++row) {
    TestRow& r = t.Add(TestAccount(row % 7), kTestDay + row);
    for (uint32_t h = 0; h < kHashes; ++h) {
      if (row >= h * kStep && row < h * kStep + kWindow) r.turn.push_back(100 + h);
    }
    r.turn.push_back((1 << 20) + row);  // no two exchanges are the same
  }
  const auto jaccard = [&](uint64_t x, uint64_t y) {
    const double apart = std::abs(static_cast<double>(x) - static_cast<double>(y)) * kStep;
    return std::max(0.0, (kWindow - apart) / (kWindow + apart));
  };
  const auto found = Find(t.Build());
  ASSERT_GE(found.size(), 5u);
  for (const Seen& s : found) {
    // Some member is near all others: the estimate by 16 min-hashes errs by .12 at most often.
    double best = 0;
    for (const uint64_t head : s.hashes) {
      double least = 1;
      for (const uint64_t h : s.hashes) least = std::min(least, jaccard(head, h));
      best = std::max(best, least);
    }
    EXPECT_GE(best, .55 - .25);
    EXPECT_LE(s.hashes.back() - s.hashes.front(), 9u);
  }
}

TEST(Templates, VariantsOfOneScaffoldAreOneFamily) {
  std::mt19937 random(6);
  TestLog t;
  // Three variants of nine shingles with five in common, and another scaffold of nine that has
  // nothing to do with them.
  for (const uint32_t variant : {200, 300, 400}) {
    Deal(&t, 0, 9, 90, [&](TestRow& r) {
      r.turn = Text({Scaffold(100, 5), Scaffold(variant, 9), Payload(random, 9)});
    });
  }
  Deal(&t, 0, 9, 80, [&](TestRow& r) { r.turn = Text({Scaffold(500, 9), Payload(random, 9)}); });
  const auto found = Find(t.Build());
  ASSERT_EQ(found.size(), 4u);
  std::set<uint64_t> families;
  for (const Seen& s : found) {
    families.insert(s.family);
    const bool variant = s.rows.size() == 90;
    EXPECT_EQ(s.length, variant ? 14u : 9u);
    EXPECT_EQ(s.family == found[3].family, !variant);
  }
  EXPECT_EQ(families.size(), 2u);

  // A common phrase of two shingles in nine makes nobody a relative.
  TestLog phrase;
  for (const uint32_t variant : {200, 300}) {
    Deal(&phrase, 0, 9, 90, [&](TestRow& r) {
      r.turn = Text({Scaffold(100, 2), Scaffold(variant, 9), Payload(random, 9)});
    });
  }
  const auto strangers = Find(phrase.Build());
  ASSERT_EQ(strangers.size(), 2u);
  EXPECT_NE(strangers[0].family, strangers[1].family);
  EXPECT_EQ(strangers[0].length, 9u);
}

TEST(Templates, AnExchangeBelongsToTheTemplateOfWhichItCarriesTheMostAndTwoInFive) {
  std::mt19937 random(7);
  TestLog t;
  Deal(&t, 0, 9, 90, [&](TestRow& r) { r.turn = Text({Scaffold(100, 10), Payload(random, 9)}); });
  Deal(&t, 0, 9, 80, [&](TestRow& r) { r.turn = Text({Scaffold(200, 10), Payload(random, 9)}); });
  const std::string three = "three", four = "four", both = "both";
  t.Add(TestAccount(1), kTestDay).turn = Scaffold(100, 3);
  t.rows.back().id = three;
  t.Add(TestAccount(2), kTestDay).turn = Scaffold(100, 4);
  t.rows.back().id = four;
  t.Add(TestAccount(3), kTestDay).turn = Text({Scaffold(100, 5), Scaffold(200, 6)});
  t.rows.back().id = both;
  const auto found = Find(t.Build());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].hashes[0], 100u);
  EXPECT_FALSE(found[0].rows.contains(base::Hash64(three)));
  EXPECT_TRUE(found[0].rows.contains(base::Hash64(four)));
  EXPECT_FALSE(found[0].rows.contains(base::Hash64(both)));
  EXPECT_TRUE(found[1].rows.contains(base::Hash64(both)));
  EXPECT_FALSE(found[1].rows.contains(base::Hash64(three)));
}

// A log with scaffolds that overlap, popular words and noise.
TestLog Motley(uint32_t seed) {
  std::mt19937 random(seed);
  TestLog t;
  for (uint32_t i = 0; i < 1'500; ++i) {
    TestRow& r =
        t.Add(TestAccount(random() % 30), kTestDay + static_cast<int64_t>(random() % 100'000));
    std::set<uint32_t> turn, system;
    const uint32_t kind = random() % 8;
    if (kind < 3) {
      for (const uint32_t h : Scaffold(100, 5)) turn.insert(h);
      for (const uint32_t h : Scaffold(200 + 100 * kind, 9)) turn.insert(h);
    } else if (kind < 5) {
      for (const uint32_t h : Scaffold(1'000 * kind, 7)) system.insert(h);
    } else if (kind == 5) {
      for (const uint32_t h : Scaffold(200, 4 + random() % 6)) turn.insert(h);
    }
    for (uint32_t k = random() % 6; k > 0; --k) turn.insert(2'000'000 + random() % 60);
    for (const uint32_t h : Payload(random, 4)) turn.insert(h);
    r.turn.assign(turn.begin(), turn.end());
    r.system.assign(system.begin(), system.end());
  }
  return t;
}

TEST(Templates, TheOrderOfRowsAndTheNumberOfThreadsDoNotMatter) {
  for (const uint32_t seed : {1, 2, 3}) {
    TestLog t = Motley(seed);
    const auto expected = Find(t.Build());
    ASSERT_GE(expected.size(), 4u);
    for (const int threads : {1, 2, 5, 16}) {
      std::shuffle(t.rows.begin(), t.rows.end(),
                   std::mt19937(seed + static_cast<uint32_t>(threads)));
      EXPECT_EQ(Find(t.Build(), base::Parallel(threads)), expected) << seed << " " << threads;
    }
  }
}

TEST(Templates, TheNamesOfAccountsAndExchangesDoNotMatter) {
  TestLog t = Motley(4);
  const auto content = [](const std::vector<Seen>& found, const std::map<uint64_t, size_t>& place) {
    std::vector<std::tuple<uint64_t, Hashes, std::set<size_t>, size_t, uint64_t>> out;
    for (const Seen& s : found) {
      std::set<size_t> rows;
      for (const uint64_t id : s.rows) rows.insert(place.at(id));
      out.push_back({s.id, s.hashes, rows, s.length, s.family});
    }
    return out;
  };
  const auto places = [&] {
    std::map<uint64_t, size_t> place;
    for (size_t i = 0; i < t.rows.size(); ++i) place[base::Hash64(t.rows[i].id)] = i;
    return place;
  };
  const auto expected = content(Find(t.Build()), places());
  ASSERT_GE(expected.size(), 4u);
  for (size_t i = 0; i < t.rows.size(); ++i) {
    const uint32_t a = static_cast<uint32_t>(std::stoul(t.rows[i].account.substr(1)));
    t.rows[i].account = "other" + std::to_string((a * 7 + 3) % 30);
    t.rows[i].id = "renamed-" + std::to_string(i * 7919 % 1'500);
  }
  EXPECT_EQ(content(Find(t.Build()), places()), expected);
}

TEST(Templates, WhatElseIsKeptOfATextDoesNotMatter) {
  // A collision in HashCounts lets payload hashes through: the sets are then others, not the
  // templates.
  TestLog all = Motley(5), some = all, none = all;
  std::mt19937 random(5);
  const auto drop = [&](TestLog* t, uint32_t of) {
    for (TestRow& r : t->rows)
      std::erase_if(r.turn, [&](uint32_t h) { return h > 3'000'000 && random() % of == 0; });
  };
  drop(&some, 2);
  drop(&none, 1);
  const auto expected = Find(all.Build());
  ASSERT_GE(expected.size(), 4u);
  EXPECT_EQ(Find(some.Build()), expected);
  EXPECT_EQ(Find(none.Build()), expected);
}

TEST(Templates, EveryTemplateIsOfFrequentHashesAndEveryRowCarriesItsShare) {
  const TestLog t = Motley(6);
  const Log log = t.Build();
  const TemplateOptions options;
  const std::vector<Template> found = FindTemplates(log, options, kOne);
  ASSERT_GE(found.size(), 4u);
  std::map<uint64_t, std::pair<std::set<uint32_t>, uint32_t>> carried;  // entities, exchanges
  for (uint32_t row = 0; row < log.rows(); ++row) {
    for (const uint64_t h : log.texts[log.text[row]]) {
      carried[h].first.insert(log.entity[log.row_account[row]]);
      ++carried[h].second;
    }
  }
  std::set<uint32_t> taken;
  std::set<uint64_t> grouped;
  for (const Template& x : found) {
    EXPECT_GE(x.hashes.size(), 2u);
    EXPECT_GE(x.rows.size(), options.exchanges_min);
    for (const uint64_t h : x.hashes) {
      EXPECT_GE(carried[h].first.size(), options.entities_min);
      EXPECT_GE(carried[h].second, options.exchanges_min);
      EXPECT_TRUE(grouped.insert(h).second) << "a hash in two templates";
    }
    for (const uint32_t row : x.rows) {
      EXPECT_TRUE(taken.insert(row).second) << "a row in two templates";
      const auto set = log.texts[log.text[row]];
      size_t common = 0;
      for (const uint64_t h : x.hashes) common += std::find(set.begin(), set.end(), h) != set.end();
      EXPECT_GE(common * 5, x.hashes.size() * 2);
    }
  }
}

TEST(Templates, NothingComesOfNothing) {
  EXPECT_TRUE(Find(TestLog().Build()).empty());
  TestLog t;
  Deal(&t, 0, 9, 90, [](TestRow&) {});
  EXPECT_TRUE(Find(t.Build(), base::Parallel(3)).empty());
  t.Describe("nobody");
  EXPECT_TRUE(Find(t.Build()).empty());
}

TEST(TemplateOptions, WhatIsEnoughGrowsWithALargeLog) {
  const TemplateOptions options;
  EXPECT_EQ(options.ExchangesMin(0), 30u);
  EXPECT_EQ(options.ExchangesMin(3'000'000), 30u);
  EXPECT_EQ(options.ExchangesMin(86'000'000), 860u);
}

}  // namespace
}  // namespace stillwatch::link
