#include "respond/counters.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/hash.h"
#include "respond/holder.h"
#include "respond/test_snapshot.h"

namespace stillwatch::respond {
namespace {

TEST(TokenBuckets, LetThroughBurstAndRate) {
  TokenBuckets b(64);
  int64_t allowed = 0;
  // 10 a second with a burst of 5, asked every 10 ms for ten seconds.
  for (int64_t t = 0; t < 10'000; t += 10) allowed += b.Take(7, 10, 1'000, 5, kNow + t) == 0;
  EXPECT_EQ(allowed, 5 + 99);  // the burst, then one each 100 ms
  // Silence fills the bucket, and no further than full.
  allowed = 0;
  for (int i = 0; i < 20; ++i) allowed += b.Take(7, 10, 1'000, 5, kNow + 100'000) == 0;
  EXPECT_EQ(allowed, 5);
}

TEST(TokenBuckets, SayWhenToComeBack) {
  TokenBuckets b(64);
  EXPECT_EQ(b.Take(1, 1, 60'000, 1, kNow), 0);
  EXPECT_EQ(b.Take(1, 1, 60'000, 1, kNow + 1), 59'999);
  EXPECT_EQ(b.Take(1, 1, 60'000, 1, kNow + 59'999), 1);
  EXPECT_EQ(b.Take(1, 1, 60'000, 1, kNow + 60'000), 0);
  // A day's rate, and 16,000 a second.
  EXPECT_EQ(b.Take(2, 1, kDay, 1, kNow), 0);
  EXPECT_EQ(b.Take(2, 1, kDay, 1, kNow), kDay);
  int n = 0;
  for (int i = 0; i < 40'000; ++i) n += b.Take(3, 16'000, 1'000, 16, kNow + i / 20) == 0;
  EXPECT_NEAR(n, 32'000, 20);
}

TEST(TokenBuckets, AClockThatJumpsLocksNobodyOut) {
  TokenBuckets b(64);
  for (int i = 0; i < 3; ++i) b.Take(1, 1, 1'000, 3, kNow + 365 * kDay);
  // A year back: an empty bucket, not one that fills in a year.
  EXPECT_EQ(b.Take(1, 1, 1'000, 3, kNow), 1'000);
  EXPECT_EQ(b.Take(1, 1, 1'000, 3, kNow + 1'000), 0);
  for (const int64_t t : {int64_t{0}, INT64_MIN / 32, INT64_MAX / 32, int64_t{-1}}) {
    TokenBuckets fresh(8);
    EXPECT_EQ(fresh.Take(1, 1, 1'000, 1, t), 0) << t;
  }
}

TEST(TokenBuckets, MemoryIsBoundedAndIdleBucketsMakeRoom) {
  TokenBuckets b(64);
  EXPECT_EQ(b.bytes(), 64 * 8u);
  // Far more keys than slots, each long idle when the next comes: nothing is lost.
  for (uint64_t k = 0; k < 10'000; ++k) {
    ASSERT_EQ(b.Take(k, 1, 1'000, 1, kNow + static_cast<int64_t>(k) * 100'000), 0);
  }
  EXPECT_EQ(b.taken_over(), 0u);
  // All busy at once: some are taken over, and that is counted.
  for (uint64_t k = 0; k < 10'000; ++k) b.Take(k, 1, kDay, 1, kNow + 2'000'000'000);
  EXPECT_GT(b.taken_over(), 9'000u);
}

TEST(TokenBuckets, ThreadsShareABucketExactly) {
  TokenBuckets b(64);
  std::atomic<int> allowed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5'000; ++i) allowed += b.Take(9, 1, kDay, 1'000, kNow) == 0;
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(allowed, 1'000);
}

TEST(PermitUses, CountDownExactlyAndOutliveSnapshots) {
  PermitUses p;
  const uint64_t key = PermitKey("licence");
  p.Raise(key, 100);  // from the lake
  p.Raise(key, 50);   // never down
  std::atomic<int> allowed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1'000; ++i) allowed += p.Take(key, 1'100);
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(allowed, 1'000);
  EXPECT_EQ(p.Used(key), 1'100u);
  EXPECT_FALSE(p.Take(key, 1'100));
  EXPECT_TRUE(p.Take(key, 0));  // no bound
  EXPECT_EQ(p.All().size(), 1u);
  EXPECT_EQ(p.All()[0].used, 1'101u);
}

TEST(PermitUses, WhatCannotBeCountedIsNotPermitted) {
  PermitUses p;
  for (size_t i = 0; i < 2 * kPermitsMax; ++i) p.Take(base::Mix64(i + 1), 0);
  EXPECT_EQ(p.All().size(), 2 * kPermitsMax);
}

TEST(Holder, ReadersSeeWhatWasSetAndNothingOlder) {
  SnapshotHolder holder;
  EXPECT_EQ(holder.Get(), nullptr);
  std::vector<std::shared_ptr<const Snapshot>> all;
  for (int i = 0; i < 8; ++i) {
    SnapshotBuilder b(Policy{});
    all.push_back(*b.Build(i, kTestKey));
  }
  std::atomic<bool> stop{false};
  std::atomic<int64_t> set{-1};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&] {
      int64_t last = -1;
      while (!stop.load()) {
        const int64_t floor = set.load();
        const auto& s = holder.Get();
        const int64_t seen = s == nullptr ? -1 : s->info().as_of_ms;
        wrong += seen < floor || seen < last;
        last = seen;
      }
    });
  }
  for (int i = 0; i < 8; ++i) {
    holder.Set(all[static_cast<size_t>(i)]);
    set = i;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  stop = true;
  for (auto& t : readers) t.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(holder.version(), 8u);
  EXPECT_EQ(holder.Get(), all.back());
  // Only those that still hold it: this list, the holder, this thread.
  EXPECT_EQ(all.back().use_count(), 3);
  EXPECT_EQ(all.front().use_count(), 1);
}

TEST(Holder, HoldersOfOneThreadAreApart) {
  SnapshotBuilder a(Policy{}), b(Policy{});
  const auto sa = *a.Build(1, kTestKey), sb = *b.Build(2, kTestKey);
  for (int i = 0; i < 40; ++i) {  // more than a thread remembers
    SnapshotHolder x, y;
    x.Set(sa);
    y.Set(sb);
    EXPECT_EQ(x.Get(), sa);
    EXPECT_EQ(y.Get(), sb);
    EXPECT_EQ(x.Get(), sa);
  }
}

}  // namespace
}  // namespace stillwatch::respond
