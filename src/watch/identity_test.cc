#include "watch/identity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "base/hash.h"
#include "watch/state.h"

namespace stillwatch::watch {
namespace {

using model::Verdict;

// Exchange n of the log; eight accounts take turns, told apart by `pool`.
Finding Found(const std::string& id, const std::vector<uint64_t>& exchanges, uint64_t pool = 0,
              Verdict verdict = Verdict::kUnresolved) {
  Finding f;
  f.id = id;
  f.name = "name-" + id;
  f.verdict = verdict;
  f.probability = .5;
  Sampler e(kExchangeSample), a(kAccountSample);
  std::set<uint64_t> accounts;
  for (const uint64_t x : exchanges) {
    e.Add(base::Mix64(x + 1));
    accounts.insert(pool * 1000 + x % 8);
  }
  for (const uint64_t x : accounts) a.Add(base::Mix64(x + 77'000'000));
  f.exchanges = {e.Take(), exchanges.size()};
  f.accounts = {a.Take(), accounts.size()};
  return f;
}

std::vector<uint64_t> Range(uint64_t begin, uint64_t end) {
  std::vector<uint64_t> out;
  for (uint64_t i = begin; i < end; ++i) out.push_back(i);
  return out;
}

std::vector<std::string> Told(const Step& s) {
  std::vector<std::string> out;
  for (const Event& e : s.events)
    out.push_back(e.id + " " + ChangeName(e.change) + (e.other.empty() ? "" : " " + e.other));
  return out;
}
using Lines = std::vector<std::string>;

TEST(Identity, GrowsUnderItsFirstId) {
  Step s = Identify({}, {Found("a", Range(0, 100))});
  EXPECT_EQ(Told(s), (Lines{"a new"}));
  s = Identify(s.next, {Found("b", Range(0, 150))});
  EXPECT_EQ(s.ids, Lines{"a"});
  EXPECT_TRUE(s.events.empty());
  s = Identify(s.next, {Found("c", Range(0, 100'000))});  // by a factor of 667 in one pass
  EXPECT_EQ(Told(s), (Lines{"a grew"}));
  EXPECT_EQ(s.next.Find("a")->finding_id, "c");
  EXPECT_EQ(s.events[0].exchanges, 100'000u);
}

TEST(Identity, MergesIntoTheOneWithMostAndComesApartAgain) {
  Step s = Identify({}, {Found("a", Range(0, 300)), Found("b", Range(1000, 1400), 1)});
  std::vector<uint64_t> both = Range(0, 300);
  for (const uint64_t x : Range(1000, 1400)) both.push_back(x);
  s = Identify(s.next, {Found("ab", both)});
  EXPECT_EQ(Told(s), (Lines{"a merged b"}));
  EXPECT_EQ(s.ids, Lines{"b"});
  EXPECT_EQ(s.next.Resolve("a"), "b");
  s = Identify(s.next, {Found("x", Range(0, 300)), Found("y", Range(1000, 1400), 1)});
  EXPECT_EQ(s.ids, (Lines{"a", "b"}));
  EXPECT_EQ(Told(s), (Lines{"a split b"}));
  EXPECT_EQ(s.next.Resolve("a"), "a");
}

TEST(Identity, OfEqualSharesTheEldestWins) {
  Step s = Identify({}, {Found("z", Range(0, 200))});
  s = Identify(s.next, {Found("z", Range(0, 200)), Found("a", Range(1000, 1200), 1)});
  std::vector<uint64_t> both = Range(0, 200);
  for (const uint64_t x : Range(1000, 1200)) both.push_back(x);
  s = Identify(s.next, {Found("m", both)});
  EXPECT_EQ(s.ids, Lines{"z"});
}

TEST(Identity, ASplitChildHasAParentAndANewIdEvenWithItsParentsContentId) {
  Step s = Identify({}, {Found("a", Range(0, 1000))});
  // The smaller part holds the earliest exchange, and with it the content's id.
  s = Identify(s.next, {Found("a", Range(0, 300)), Found("q", Range(300, 1000))});
  EXPECT_EQ(s.ids[1], "a");
  EXPECT_NE(s.ids[0], "a");
  EXPECT_EQ(s.next.Find(s.ids[0])->parent, "a");
  ASSERT_EQ(s.events.size(), 1u);
  EXPECT_EQ(s.events[0].change, Change::kSplit);
}

TEST(Identity, FadesAndReturnsByItsAccountsWhenItsExchangesAreGone) {
  Step s = Identify({}, {Found("a", Range(0, 200), 3)});
  s = Identify(s.next, {});
  EXPECT_EQ(Told(s), (Lines{"a faded"}));
  s = Identify(s.next, {});
  EXPECT_TRUE(s.events.empty());
  s = Identify(s.next, {Found("n", Range(5000, 5200), 3), Found("m", Range(7000, 7100), 4)});
  EXPECT_EQ(s.ids, (Lines{"a", "m"}));
  EXPECT_EQ(Told(s), (Lines{"a returned", "m new"}));
}

TEST(Identity, AccountsThatDoTwoJobsAreTwoCampaigns) {
  Step s = Identify({}, {Found("a", Range(0, 200), 3), Found("b", Range(5000, 5200), 3)});
  s = Identify(s.next, {Found("b", Range(5000, 5300), 3)});
  EXPECT_EQ(s.ids, Lines{"b"});
  EXPECT_EQ(Told(s), (Lines{"a faded"}));
}

TEST(Identity, TellsVerdictsAndTheGate) {
  Finding f = Found("a", Range(0, 200));
  Step s = Identify({}, {f});
  f.verdict = Verdict::kDistillation;
  s = Identify(s.next, {f});
  ASSERT_EQ(Told(s), (Lines{"a verdict"}));
  EXPECT_EQ(s.events[0].before, Verdict::kUnresolved);
  f.open = true;
  s = Identify(s.next, {f});
  EXPECT_EQ(Told(s), (Lines{"a opened"}));
  f.open = false;  // the gate took it for another
  s = Identify(s.next, {f});
  EXPECT_TRUE(s.events.empty());
  EXPECT_TRUE(s.next.Find("a")->open);
  f.verdict = Verdict::kCoordinatedOther;
  s = Identify(s.next, {f});
  EXPECT_EQ(Told(s), (Lines{"a verdict", "a closed"}));
  f.verdict = Verdict::kDistillation;
  s = Identify(s.next, {f});
  EXPECT_EQ(Told(s), (Lines{"a verdict"}));
  EXPECT_FALSE(s.next.Find("a")->open);
}

TEST(Identity, KnowsWhatListsNoExchangesByItsAccounts) {
  Finding f = Found("a", Range(0, 200), 5, Verdict::kUnresolved);
  Step s = Identify({}, {f});
  Finding tool = Found("b", Range(0, 220), 5, Verdict::kSharedTool);
  tool.exchanges.hashes.clear();
  s = Identify(s.next, {tool});
  EXPECT_EQ(Told(s), (Lines{"a verdict"}));
  s = Identify(s.next, {Found("c", Range(0, 240), 5)});
  EXPECT_EQ(s.ids, Lines{"a"});
}

// A world of campaigns that grow, merge, split, end and begin, at random.
class Drift {
 public:
  explicit Drift(uint64_t seed) : rng_(seed) {}
  std::vector<Finding> Next() {
    const auto below = [&](uint64_t n) { return n == 0 ? 0 : rng_() % n; };
    for (auto& p : parts_)
      for (uint64_t n = below(60); n > 0; --n) p.push_back(next_++);
    if (parts_.size() < 12 && below(3) == 0) {
      parts_.emplace_back();
      for (uint64_t n = 40 + below(300); n > 0; --n) parts_.back().push_back(next_++);
    }
    if (parts_.size() > 1 && below(4) == 0) {
      auto moved = std::move(parts_.back());
      parts_.pop_back();
      auto& to = parts_[below(parts_.size())];
      to.insert(to.end(), moved.begin(), moved.end());
    }
    if (!parts_.empty() && below(4) == 0) {
      auto& from = parts_[below(parts_.size())];
      const size_t cut = from.size() / 4 + below(from.size() / 2);
      std::vector<uint64_t> part(from.begin() + static_cast<std::ptrdiff_t>(cut), from.end());
      from.resize(cut);
      parts_.push_back(std::move(part));
    }
    if (parts_.size() > 3 && below(6) == 0) parts_.erase(parts_.begin());
    std::vector<Finding> out;
    for (const auto& p : parts_)
      if (!p.empty())
        out.push_back(Found("f" + std::to_string(*std::min_element(p.begin(), p.end())), p, p[0]));
    return out;
  }

 private:
  std::mt19937_64 rng_;
  uint64_t next_ = 0;
  std::vector<std::vector<uint64_t>> parts_;
};

TEST(IdentityProperty, OrderNeverMattersNothingIsReusedAndTheSameAgainTellsNothing) {
  std::map<Change, int> seen;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Drift drift(seed);
    std::mt19937_64 rng(seed);
    Identities at;
    std::set<std::string> ever;
    for (int pass = 0; pass < 40; ++pass) {
      std::vector<Finding> found = drift.Next();
      const Step s = Identify(at, found);
      // Whatever the order of findings and of what is remembered.
      std::vector<size_t> order(found.size());
      for (size_t i = 0; i < order.size(); ++i) order[i] = i;
      std::shuffle(order.begin(), order.end(), rng);
      std::vector<Finding> mixed;
      for (const size_t i : order) mixed.push_back(found[i]);
      const Step other = Identify(at, mixed);
      ASSERT_EQ(other.next, s.next) << seed << " " << pass;
      ASSERT_EQ(other.events, s.events);
      for (size_t i = 0; i < order.size(); ++i) ASSERT_EQ(other.ids[i], s.ids[order[i]]);
      // The same again.
      const Step again = Identify(s.next, found);
      ASSERT_TRUE(again.events.empty()) << seed << " " << pass << " " << Told(again)[0];
      ASSERT_EQ(again.ids, s.ids);
      // After a restart.
      Watched kept;
      kept.identities = s.next;
      kept.events = s.events;
      const auto read = Decode(Encode(kept));
      ASSERT_TRUE(read.ok()) << read.status();
      ASSERT_EQ(*read, kept);

      ASSERT_EQ(std::set<std::string>(s.ids.begin(), s.ids.end()).size(), s.ids.size());
      for (const Event& e : s.events) {
        ++seen[e.change];
        const bool born =
            e.change == Change::kNew || (e.change == Change::kSplit && at.Find(e.id) == nullptr);
        if (born) {
          ASSERT_TRUE(ever.insert(e.id).second) << e.id << " was given twice";
        } else {
          ASSERT_TRUE(ever.contains(e.id)) << e.id << " was never given";
        }
      }
      for (size_t i = 0; i < found.size(); ++i) {
        const Identity* now = s.next.Find(s.ids[i]);
        ASSERT_NE(now, nullptr);
        ASSERT_EQ(now->life, Life::kCurrent);
        // Who goes on has something of what it was.
        if (const Identity* was = at.Find(s.ids[i]); was != nullptr) {
          ASSERT_GT(Compare(was->exchanges, found[i].exchanges).both +
                        Compare(was->accounts, found[i].accounts).both,
                    0u);
        }
      }
      // Every reference ends at somebody who is there, or has faded himself.
      for (const Identity& i : s.next.all) {
        const Identity* end = s.next.Find(s.next.Resolve(i.id));
        ASSERT_NE(end, nullptr);
        ASSERT_NE(end->life, Life::kMerged);
      }
      at = s.next;
    }
  }
  // The test meets what it is about.
  for (const Change c :
       {Change::kNew, Change::kGrew, Change::kMerged, Change::kSplit, Change::kFaded})
    EXPECT_GT(seen[c], 20) << ChangeName(c);
}

TEST(Watched, DamageIsTold) {
  Watched w;
  w.identities = Identify({}, {Found("a", Range(0, 200))}).next;
  w.gate.starts.resize(2);
  const std::string good = Encode(w);
  for (size_t i = 0; i < good.size(); i += 7) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 16);
    EXPECT_FALSE(Decode(bad).ok()) << i;
    EXPECT_FALSE(Decode(good.substr(0, i)).ok()) << i;
  }
  std::string newer = good;
  newer[7] = '2';
  EXPECT_EQ(Decode(newer).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Sample, TellsTheOverlapOfLargeSets) {
  std::mt19937_64 rng(5);
  for (const double share : {.02, .3, .9}) {
    Sampler a(256), b(256);
    const uint64_t n = 50'000;
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t h = rng();
      a.Add(h);
      a.Add(h);  // twice counts once
      b.Add(static_cast<double>(i) < share * static_cast<double>(n) ? h : rng());
    }
    const Overlap o = Compare({a.Take(), n}, {b.Take(), n});
    EXPECT_NEAR(o.shared / static_cast<double>(n), share, .08) << share;
  }
}

}  // namespace
}  // namespace stillwatch::watch
