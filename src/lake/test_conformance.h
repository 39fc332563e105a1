// What every lake must do, whatever carries it. A test of an adapter includes this header in one
// source and names its lakes:
//   INSTANTIATE_TEST_SUITE_P(Embedded, LakeConformance, testing::Values(LakeUnderTest{...}));
// Each case gets a lake of its own, new and migrated.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "lake/lake.h"

namespace stillwatch::lake {

struct LakeUnderTest {
  std::string name;
  // A new, empty lake, not yet migrated; `remove` is called when the case has ended and the lake
  // is gone. `where` is what make() was given back to open the same lake again.
  std::function<std::string()> where;
  std::function<absl::StatusOr<std::unique_ptr<Lake>>(const std::string& where)> open;
  std::function<void(const std::string& where)> remove;
};

inline void PrintTo(const LakeUnderTest& l, std::ostream* out) { *out << l.name; }

class LakeConformance : public testing::TestWithParam<LakeUnderTest> {
 protected:
  void SetUp() override {
    where_ = GetParam().where();
    Open();
  }
  void TearDown() override {
    lake_.reset();
    GetParam().remove(where_);
  }
  void Open() {
    lake_.reset();
    auto opened = GetParam().open(where_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    lake_ = std::move(*opened);
    const absl::Status migrated = lake_->Migrate();
    ASSERT_TRUE(migrated.ok()) << migrated;
  }

  uint64_t Number(const std::string& sql) {
    uint64_t n = std::numeric_limits<uint64_t>::max();
    const absl::Status s = lake_->Query(sql, [&](const Block& b) {
      n = b.columns[0].As<std::vector<uint64_t>>()[0];
      return absl::OkStatus();
    });
    EXPECT_TRUE(s.ok()) << s << "\n" << sql;
    return n;
  }
  uint64_t Attributed(const std::string& condition = "1") {
    return Number("SELECT count() AS n FROM attributed WHERE " + condition);
  }
  std::vector<std::string> Strings(const std::string& sql) {
    std::vector<std::string> out;
    const absl::Status s = lake_->Query(sql, [&](const Block& b) {
      const auto& c = b.columns[0].As<StringColumn>();
      for (size_t i = 0; i < c.size(); ++i) out.emplace_back(c[i]);
      return absl::OkStatus();
    });
    EXPECT_TRUE(s.ok()) << s << "\n" << sql;
    return out;
  }
  void Store(std::string_view table, const Block& block) {
    const absl::Status s = lake_->Insert(table, block);
    ASSERT_TRUE(s.ok()) << s;
  }

  static Block AttributedRows(uint32_t run, const std::vector<std::string>& ids) {
    StringColumn id, account, campaign;
    for (const std::string& v : ids) {
      id.Append(v);
      account.Append("a");
      campaign.Append("c");
    }
    return {{{"run", std::vector<uint32_t>(ids.size(), run)}, {"exchange_id", id}, {"account_id", account},
             {"campaign_id", campaign}}};
  }
  static Block AttributedRows(uint32_t run, size_t n) {
    std::vector<std::string> ids;
    for (size_t i = 0; i < n; ++i) ids.push_back(std::to_string(run) + "_" + std::to_string(i));
    return AttributedRows(run, ids);
  }

  std::string where_;
  std::unique_ptr<Lake> lake_;
};

TEST_P(LakeConformance, EveryTypeComesBackAsItWent) {
  ASSERT_TRUE(lake_->Execute("CREATE TABLE every (i UInt64, u8 UInt8, u16 UInt16, u32 UInt32, i64 Int64, f32 Float32, "
                             "f64 Float64, s String, a32 Array(UInt32), a64 Array(UInt64)) ENGINE = MergeTree ORDER BY i")
                  .ok());
  constexpr size_t kRows = 70'000;  // more than one block on the way out
  std::mt19937_64 random(7);
  std::vector<uint64_t> index(kRows);
  std::vector<uint8_t> u8(kRows);
  std::vector<uint16_t> u16(kRows);
  std::vector<uint32_t> u32(kRows);
  std::vector<int64_t> i64(kRows);
  std::vector<float> f32(kRows);
  std::vector<double> f64(kRows);
  StringColumn s;
  ArrayColumn<uint32_t> a32;
  ArrayColumn<uint64_t> a64;
  for (size_t i = 0; i < kRows; ++i) {
    index[i] = i;
    u8[i] = static_cast<uint8_t>(random());
    u16[i] = static_cast<uint16_t>(random());
    u32[i] = static_cast<uint32_t>(random());
    i64[i] = static_cast<int64_t>(random());
    f32[i] = static_cast<float>(static_cast<int64_t>(random())) / 7;
    f64[i] = static_cast<double>(static_cast<int64_t>(random())) / 7;
    std::string text(random() % 40, '\0');
    for (char& c : text) c = static_cast<char>(random());
    s.Append(text);
    std::vector<uint64_t> v(random() % 13);
    for (uint64_t& x : v) x = random();
    a64.Append(v.begin(), v.end());
    std::vector<uint32_t> w(v.begin(), v.end());
    a32.Append(w.begin(), w.end());
  }
  i64[0] = std::numeric_limits<int64_t>::min();
  i64[1] = std::numeric_limits<int64_t>::max();
  f32[0] = std::numeric_limits<float>::infinity();
  f32[1] = std::numeric_limits<float>::quiet_NaN();
  f64[0] = -0.0;
  f64[1] = std::numeric_limits<double>::denorm_min();
  const Block in = {{{"i", index}, {"u8", u8}, {"u16", u16}, {"u32", u32}, {"i64", i64}, {"f32", f32}, {"f64", f64},
                     {"s", s}, {"a32", a32}, {"a64", a64}}};
  Store("every", in);
  size_t row = 0, blocks = 0;
  const absl::Status status =
      lake_->Query("SELECT i, u8, u16, u32, i64, f32, f64, s, a32, a64 FROM every ORDER BY i", [&](const Block& b) {
        ++blocks;
        for (size_t i = 0; i < b.rows(); ++i, ++row) {
          const bool same =
              b.columns[0].As<std::vector<uint64_t>>()[i] == row && b.columns[1].As<std::vector<uint8_t>>()[i] == u8[row] &&
              b.columns[2].As<std::vector<uint16_t>>()[i] == u16[row] &&
              b.columns[3].As<std::vector<uint32_t>>()[i] == u32[row] &&
              b.columns[4].As<std::vector<int64_t>>()[i] == i64[row] &&
              std::memcmp(&b.columns[5].As<std::vector<float>>()[i], &f32[row], 4) == 0 &&
              std::memcmp(&b.columns[6].As<std::vector<double>>()[i], &f64[row], 8) == 0 &&
              b.columns[7].As<StringColumn>()[i] == s[row] &&
              std::equal(b.columns[8].As<ArrayColumn<uint32_t>>().begin(i), b.columns[8].As<ArrayColumn<uint32_t>>().end(i),
                         a32.begin(row), a32.end(row)) &&
              std::equal(b.columns[9].As<ArrayColumn<uint64_t>>().begin(i), b.columns[9].As<ArrayColumn<uint64_t>>().end(i),
                         a64.begin(row), a64.end(row));
          if (!same) return absl::DataLossError("row " + std::to_string(row) + " differs");
        }
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(row, kRows);
  EXPECT_GT(blocks, 1u) << "the result was not streamed";
}

TEST_P(LakeConformance, ATypeOutsideTheListIsRefusedWithAdvice) {
  const absl::Status s = lake_->Query("SELECT toDate('2026-01-01') AS day", [](const Block&) { return absl::OkStatus(); });
  EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(s.message().find("column day is of type Date: cast it in the SQL"), std::string::npos) << s;
}

TEST_P(LakeConformance, AnEmptyBlockStoresNothing) {
  Store("attributed", AttributedRows(1, 0));
  EXPECT_EQ(Attributed(), 0u);
  size_t blocks = 0;
  ASSERT_TRUE(lake_->Query("SELECT run FROM attributed", [&](const Block&) {
    ++blocks;
    return absl::OkStatus();
  }).ok());
  EXPECT_EQ(blocks, 0u);
}

TEST_P(LakeConformance, TheLargestBlockIsStoredAndOneRowMoreIsRefused) {
  Store("attributed", AttributedRows(1, kInsertRowsMax));
  EXPECT_EQ(Attributed(), kInsertRowsMax);
  EXPECT_EQ(Number("SELECT uniqExact(exchange_id) AS n FROM attributed"), kInsertRowsMax);
  EXPECT_EQ(lake_->Insert("attributed", AttributedRows(2, kInsertRowsMax + 1)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Attributed("run = 2"), 0u);
}

TEST_P(LakeConformance, StringsKeepEveryByteInRowsAndInSql) {
  std::vector<std::string> values = {"", "plain", "o'clock", "back\\slash", "\\'", "'; DROP TABLE attributed; --",
                                     std::string("a\0b\0", 4), "naïve 日本語 🦦", "\xFF\xFE\x80 not UTF-8", "new\nline\ttab\r",
                                     "“‘’”", "{x:String}", "%_?", "\\x41\\N", "$$", "`\"/* -- #"};
  std::mt19937 random(11);
  while (values.size() < 300) {
    std::string v(random() % 24 + 1, '\0');
    for (char& c : v) c = static_cast<char>(values.size() % 2 ? random() : "'\\\0\n xn0`\"$"[random() % 11]);
    if (std::find(values.begin(), values.end(), v) == values.end()) values.push_back(v);
  }
  Store("attributed", AttributedRows(1, values));
  for (const std::string& v : values) {
    EXPECT_EQ(Strings("SELECT " + SqlString(v) + " AS v"), std::vector<std::string>{v}) << SqlString(v);
    EXPECT_EQ(Strings("SELECT exchange_id FROM attributed WHERE exchange_id = " + SqlString(v)), std::vector<std::string>{v})
        << SqlString(v);
  }
  std::vector<std::string> back = Strings("SELECT exchange_id FROM attributed");
  std::sort(back.begin(), back.end());
  std::sort(values.begin(), values.end());
  EXPECT_EQ(back, values);
}

TEST_P(LakeConformance, TheSameRowTwiceCountsOnceOnRead) {
  const auto account = [](const std::string& id, uint32_t content) {
    StringColumn c;
    c.Append(id);
    return Block{{{"account_id", c}, {"content", std::vector<uint32_t>{content}}}};
  };
  Block pair = account("a", 5);
  pair.columns[0].As<StringColumn>().Append("a");
  pair.columns[1].As<std::vector<uint32_t>>().push_back(5);
  Store("accounts", pair);  // within a block
  for (int i = 0; i < 3; ++i) Store("accounts", account("a", 5));  // and across
  Store("accounts", account("a", 6));
  Store("accounts", account("b", 5));
  EXPECT_EQ(Number("SELECT count() AS n FROM accounts FINAL"), 3u);
  EXPECT_EQ(Number("SELECT count() AS n FROM (SELECT account_id, min(content) AS c FROM accounts GROUP BY account_id)"), 2u);
}

TEST_P(LakeConformance, SeveralThreadsInsertAndQuery) {
  constexpr uint32_t kThreads = 4, kRounds = 6, kRows = 3000;
  std::vector<std::thread> threads;
  std::atomic<int> failed{0}, torn{0};
  for (uint32_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint32_t i = 0; i < kRounds; ++i) {
        failed += !lake_->Insert("attributed", AttributedRows(t * 100 + i, kRows)).ok();
        // Another thread's block is seen whole or not at all.
        failed += !lake_->Query("SELECT run, count() AS n FROM attributed GROUP BY run", [&](const Block& b) {
          for (uint64_t n : b.columns[1].As<std::vector<uint64_t>>()) torn += n != kRows;
          return absl::OkStatus();
        }).ok();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(torn, 0);
  EXPECT_EQ(Attributed(), uint64_t{kThreads} * kRounds * kRows);
}

TEST_P(LakeConformance, WrongBlocksAreRefusedBeforeAnythingIsStored) {
  const Block good = AttributedRows(1, 3);
  Block name = good, type = good, shorter = good, twice = good, torn = good;
  name.columns[0].name = "runs";
  type.columns[0].data = std::vector<uint64_t>(3, 1);
  shorter.columns[0].data = std::vector<uint32_t>(2, 1);
  twice.columns.push_back(twice.columns[0]);
  torn.columns[1].As<StringColumn>().ends[1] = 99;
  Store("attributed", good);  // the shape has been seen
  for (const Block* b : {&name, &type, &shorter, &twice, &torn}) {
    const absl::Status s = lake_->Insert("attributed", *b);
    EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument) << s;
  }
  const absl::Status nowhere = lake_->Insert("nowhere", good);
  EXPECT_EQ(nowhere.code(), absl::StatusCode::kInvalidArgument) << nowhere;
  EXPECT_EQ(Attributed(), 3u);
  // A table that has changed since is looked at again.
  ASSERT_TRUE(lake_->Execute("DROP TABLE attributed").ok());
  ASSERT_TRUE(lake_->Execute("CREATE TABLE attributed (run UInt64) ENGINE = MergeTree ORDER BY run").ok());
  EXPECT_FALSE(lake_->Insert("attributed", good).ok());
  EXPECT_EQ(Attributed(), 0u);
}

TEST_P(LakeConformance, AGoodQueryFollowsAFailedOne) {
  Store("attributed", AttributedRows(1, 1000));
  const auto ignore = [](const Block&) { return absl::OkStatus(); };
  for (int i = 0; i < 5; ++i) {
    const absl::Status s = lake_->Query("SELECT nothing FROM nowhere", ignore);
    EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument) << s;
    EXPECT_NE(s.message().find("nowhere"), std::string::npos) << s;
    EXPECT_EQ(s.message().find("version"), std::string::npos) << s;
    EXPECT_FALSE(lake_->Execute("CREATE NONSENSE").ok());
    EXPECT_EQ(Attributed(), 1000u);
  }
}

TEST_P(LakeConformance, AnErrorInTheMiddleOfAStreamIsAnErrorAndStaysThere) {
  for (int i = 0; i < 5; ++i) {
    uint64_t rows = 0;
    const absl::Status s =
        lake_->Query("SELECT number, throwIf(number = 300000) AS bad FROM numbers(1000000) SETTINGS max_block_size = 1000",
                     [&](const Block& b) {
                       rows += b.rows();
                       return absl::OkStatus();
                     });
    EXPECT_FALSE(s.ok());
    EXPECT_LE(rows, 300'000u);
    // Nothing of it turns up in what follows.
    EXPECT_EQ(Number("SELECT toUInt64(42) AS n"), 42u);
    EXPECT_EQ(Number("SELECT sum(number) AS n FROM numbers(1000)"), 499'500u);
  }
}

TEST_P(LakeConformance, ACallerMayStopAStream) {
  for (int i = 0; i < 5; ++i) {
    int blocks = 0;
    const absl::Status s = lake_->Query("SELECT number FROM numbers(20000000)", [&](const Block&) {
      return ++blocks == 3 ? absl::CancelledError("enough") : absl::OkStatus();
    });
    EXPECT_EQ(s.code(), absl::StatusCode::kCancelled) << s;
    EXPECT_EQ(blocks, 3);
    EXPECT_EQ(Number("SELECT toUInt64(7) AS n"), 7u);
  }
}

TEST_P(LakeConformance, AQueryMayRunInsideAnother) {
  Store("attributed", AttributedRows(1, 10));
  uint64_t inner = 0;
  ASSERT_TRUE(lake_->Query("SELECT run FROM attributed", [&](const Block&) {
    inner = Attributed();
    return lake_->Insert("attributed", AttributedRows(2, 5));
  }).ok());
  EXPECT_EQ(inner, 10u);
  EXPECT_EQ(Attributed(), 15u);
}

TEST_P(LakeConformance, WhatWasStoredIsThereAfterReopening) {
  Store("attributed", AttributedRows(3, 12'345));
  Open();
  EXPECT_EQ(Attributed("run = 3"), 12'345u);
}

TEST_P(LakeConformance, ReportsReadAndDoNotWrite) {
  Store("attributed", AttributedRows(1, 3));
  for (const char* sql : {"SELECT count() FROM attributed", " SELECT count() FROM attributed ; ",
                          "-- how many\nSELECT count() FROM attributed", "/* ' */ SELECT count() FROM attributed -- '",
                          "WITH (SELECT count() FROM attributed) AS n SELECT n", "(SELECT count() FROM attributed)"}) {
    const auto csv = lake_->Report(sql, "CSV");
    ASSERT_TRUE(csv.ok()) << sql << " " << csv.status();
    EXPECT_EQ(*csv, "3\n") << sql;
  }
  EXPECT_TRUE(lake_->Report("SHOW TABLES", "CSV").ok());
  EXPECT_TRUE(lake_->Report("DESCRIBE TABLE attributed", "CSV").ok());
  for (const char* sql :
       {"DROP TABLE attributed", "INSERT INTO attributed VALUES (1,'a','b','c')", "ALTER TABLE attributed DELETE WHERE 1",
        "TRUNCATE TABLE attributed", "SYSTEM SHUTDOWN", "SET max_threads = 1", "SELECT 1; DROP TABLE attributed",
        "SELECT 1; SELECT 2", "CREATE TABLE t (a UInt8) ENGINE = Memory", "RENAME TABLE attributed TO b", "KILL QUERY WHERE 1",
        "SELECT 1 SETTINGS readonly = 0", "OPTIMIZE TABLE attributed", "DETACH TABLE attributed", "USE system", "", ";", "1",
        "nonsense", "SELECT"}) {
    const auto out = lake_->Report(sql, "CSV");
    EXPECT_FALSE(out.ok()) << sql << " gave " << *out;
  }
  EXPECT_EQ(Attributed(), 3u);
}

TEST_P(LakeConformance, MigratingAgainChangesNothing) {
  Store("attributed", AttributedRows(1, 3));
  ASSERT_TRUE(lake_->Migrate().ok());
  EXPECT_EQ(Attributed(), 3u);
  EXPECT_EQ(Number("SELECT count() AS n FROM schema_version"), Number("SELECT uniqExact(version) AS n FROM schema_version"));
  EXPECT_EQ(Number("SELECT toUInt64(max(version)) AS n FROM schema_version"),
            Number("SELECT count() AS n FROM schema_version"));
}

}  // namespace stillwatch::lake
