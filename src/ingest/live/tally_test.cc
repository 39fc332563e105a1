#include "ingest/live/tally.h"

#include <gtest/gtest.h>

namespace stillwatch::ingest {
namespace {

constexpr int64_t kNow = 1'780'000'000'000 / 60'000 * 60'000;

TEST(Tally, CountsBySourceAndMinute) {
  Tally t;
  t.Add("b", 3, 1, 500, kNow - 60'000);
  t.Add("b", 2, 0, 400, kNow + 59'999);
  t.Add("a", 1, 0, INT64_MIN, kNow);
  t.Add("a", 7, 0, 1, kNow - 60 * 60'000);  // over an hour ago
  const auto sources = t.Sources();
  ASSERT_EQ(sources.size(), 2u);
  EXPECT_EQ(sources[0].source, "a");
  EXPECT_EQ(sources[1].accepted, 5u);
  EXPECT_EQ(sources[1].rejected, 1u);
  EXPECT_EQ(sources[1].newest_ms, 500);
  EXPECT_EQ(sources[1].first_ms, kNow - 60'000);
  const auto minutes = t.Minutes(kNow);
  ASSERT_EQ(minutes.size(), kTallyMinutes);
  EXPECT_EQ(minutes.back().begin_ms, kNow);
  EXPECT_EQ(minutes.back().accepted, 3u);
  EXPECT_EQ(minutes[58].rejected, 1u);
  EXPECT_EQ(minutes[0].accepted, 0u);
}

TEST(Tally, OneKindOfFaultIsOneReason) {
  Tally t;
  t.Refuse("s", 1, "ts: not RFC 3339 with a zone: \"yesterday\"", kNow);
  t.Refuse("s", 9, "ts: not RFC 3339 with a zone: \"4 May\"", kNow + 1);
  t.Refuse("s", 2, "line 17: no JSON", kNow);
  const auto reasons = t.Reasons();
  ASSERT_EQ(reasons.size(), 2u);
  EXPECT_EQ(reasons[0].reason, "ts: not RFC # with a zone");
  EXPECT_EQ(reasons[0].count, 2u);
  EXPECT_EQ(reasons[0].last_ms, kNow + 1);
  ASSERT_EQ(t.Refused().size(), 3u);
  EXPECT_EQ(t.Refused()[0].record, 2u);
}

TEST(Tally, IsBounded) {
  Tally t;
  for (int i = 0; i < 1000; ++i) {
    const std::string name(static_cast<size_t>(i % 97 + 1), static_cast<char>('a' + i % 26));
    t.Add(name, 1, 0, 0, kNow + int64_t{i} * 60'000);
    t.Refuse(name, 1, name, kNow);
  }
  EXPECT_EQ(t.Sources().size(), kTallySources + 1);
  EXPECT_EQ(t.Reasons().size(), kTallyReasons + 1);
  EXPECT_EQ(t.Refused().size(), kTallyRefused);
  uint64_t sum = 0;
  for (const auto& s : t.Sources()) sum += s.accepted;
  EXPECT_EQ(sum, 1000u) << "what has no name of its own is counted all the same";
}

}  // namespace
}  // namespace stillwatch::ingest
