#include "link/row_columns.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

namespace stillwatch::link {
namespace {

TEST(RowAccounts, SaysWhoseEachRowIs) {
  std::mt19937 random(1);
  for (const uint32_t most : {0u, 1u, 3u, 700u}) {
    std::vector<uint64_t> first = {0};
    std::vector<uint32_t> expected;
    for (uint32_t a = 0; a < 2'000; ++a) {
      const uint32_t n = random() % 3 == 0 ? 0 : most == 0 ? 0 : 1 + random() % most;
      expected.insert(expected.end(), n, a);
      first.push_back(first.back() + n);
    }
    RowAccounts accounts;
    accounts.Assign(std::vector<uint64_t>{0, 5});  // forgotten
    accounts.Assign(first);
    ASSERT_EQ(accounts.size(), expected.size());
    for (size_t row = 0; row < expected.size(); ++row)
      ASSERT_EQ(accounts[row], expected[row]) << row;
  }
}

TEST(Times, AreWhatWasPutIn) {
  constexpr int64_t kSpan = int64_t{1} << 40;  // ms that five bytes tell apart
  constexpr int64_t kNow = 1'780'000'000'000;
  using Limits = std::numeric_limits<int64_t>;
  for (const std::vector<int64_t>& ms : std::vector<std::vector<int64_t>>{
           {},
           {kNow},
           {kNow, kNow - kSpan + 1, kNow - 4'294'967'296, kNow - 1},
           {kNow, kNow - kSpan},
           {Limits::min(), 0, Limits::max()},
           {-5, Limits::min() + 1},
       }) {
    Times times;
    const auto [from, to] = std::minmax_element(ms.begin(), ms.end());
    times.Begin(ms.size(), ms.empty() ? Limits::max() : *from, ms.empty() ? Limits::min() : *to);
    for (size_t i = 0; i < ms.size(); ++i) times.Put(i, ms[i]);
    ASSERT_EQ(times.size(), ms.size());
    EXPECT_EQ(times.empty(), ms.empty());
    for (size_t i = 0; i < ms.size(); ++i) EXPECT_EQ(times[i], ms[i]);
  }
}

}  // namespace
}  // namespace stillwatch::link
