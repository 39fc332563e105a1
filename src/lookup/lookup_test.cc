#include "lookup/lookup.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "base/str.h"

namespace stillwatch::lookup {
namespace {

namespace fs = std::filesystem;
using base::StrCat;

class LookupTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = StrCat(testing::TempDir(), "/lookup-", getpid());
    fs::remove(path_);
  }
  void TearDown() override { fs::remove(path_); }

  // Some accounts of few and of many values; times on both sides of 1970 and at the ends of what a
  // number holds.
  void Make(uint32_t accounts, uint64_t seed) {
    std::mt19937_64 random(seed);
    const auto name = [](const char* of, uint32_t i) {
      std::string digits = std::to_string(i);
      return StrCat(of, std::string(6 - digits.size(), '0'), digits);
    };
    for (uint32_t a = 0; a < accounts; ++a) ids_.push_back(name("acct-", a));
    for (size_t f = 0; f < kFields; ++f) {
      names_[f] = {""};
      const uint32_t n = 1 + random() % 300;
      for (uint32_t v = 1; v < n; ++v) names_[f].push_back(name(FieldName(Field(f)), v));
    }
    const int64_t ends[] = {INT64_MIN, -1, 0, 1'780'000'000'000, INT64_MAX};
    for (uint32_t a = 0; a < accounts; ++a) {
      Account& x = accounts_.emplace_back();
      if (random() % 4 != 0) {
        x.exchanges = random() % 3 == 0 ? random() : 1 + random() % 50;
        x.with_text = random() % (x.exchanges + 1);
        x.input_tokens = random();
        x.first_ms = ends[random() % 4];
        x.last_ms = random() % 3 == 0 ? INT64_MAX : std::max(x.first_ms, int64_t(random() % 1'000));
        for (uint64_t& h : x.hours) h = random() % 9;
      }
      if (random() % 2) x.created_ms = ends[random() % 5];
      for (size_t f = 0; f < kFields; ++f) {
        if (x.exchanges == 0 && !OfRecord(Field(f))) continue;
        const uint32_t most = static_cast<uint32_t>(names_[f].size());
        for (uint32_t v = 1 + random() % 40; v < most; v += 1 + random() % 90) {
          if (OfRecord(Field(f))) {
            x.uses[f].push_back({v, 0, 0, 0});
            break;
          }
          Use u{v, 1 + random() % 3, x.first_ms, x.first_ms};
          if (u.exchanges > 1) u.last_ms = x.last_ms;
          x.uses[f].push_back(u);
        }
      }
    }
    auto w = Writer::Create(path_);
    ASSERT_TRUE(w.ok()) << w.status();
    for (uint32_t a = 0; a < accounts;) {
      std::string bytes;
      std::vector<uint64_t> at;
      for (const uint32_t end = a + 1 + random() % 9; a < std::min(end, accounts); ++a) {
        Writer::Encode(accounts_[a], &bytes);
        at.push_back(bytes.size());
      }
      ASSERT_TRUE((*w)->Append(bytes, at).ok());
    }
    std::array<const std::vector<std::string>*, kFields> names;
    for (size_t f = 0; f < kFields; ++f) names[f] = &names_[f];
    ASSERT_TRUE((*w)->Names(ids_, names).ok());
    templates_.clear();
    for (uint32_t t = 0; t < 40 && accounts > 0; ++t) {
      auto& of = templates_[name("tpl_", t)];
      for (uint32_t a = random() % 30; a < accounts; a += 1 + random() % 60)
        of.push_back({a, random(), ends[random() % 4], INT64_MAX});
    }
    std::vector<std::string> ids;
    for (const auto& [id, of] : templates_) ids.push_back(id);
    ASSERT_TRUE((*w)->Templates(ids, [&](size_t t, auto* out) { *out = templates_[ids[t]]; }).ok());
    ASSERT_TRUE((*w)->Finish().ok());
  }

  std::string path_;
  std::vector<std::string> ids_;
  std::array<std::vector<std::string>, kFields> names_;
  std::vector<Account> accounts_;
  std::map<std::string, std::vector<Holder>> templates_;
};

void ExpectSame(const Account& a, const Account& b, uint32_t fields) {
  EXPECT_EQ(a.exchanges, b.exchanges);
  EXPECT_EQ(a.with_text, b.with_text);
  EXPECT_EQ(a.input_tokens, b.input_tokens);
  EXPECT_EQ(a.output_tokens, b.output_tokens);
  EXPECT_EQ(a.first_ms, b.first_ms);
  EXPECT_EQ(a.last_ms, b.last_ms);
  EXPECT_EQ(a.hours, b.hours);
  EXPECT_EQ(a.created_ms, b.created_ms);
  for (size_t f = 0; f < kFields; ++f) {
    if (fields >> f & 1)
      EXPECT_EQ(a.uses[f], b.uses[f]) << FieldName(Field(f));
    else
      EXPECT_TRUE(a.uses[f].empty());
  }
}

TEST_F(LookupTest, WhatWasWrittenIsFoundBothWays) {
  Make(700, 5);
  auto index = Lookup::Open(path_);
  ASSERT_TRUE(index.ok()) << index.status();
  const Lookup& x = **index;
  fs::remove(path_);  // as a later pass does
  ASSERT_EQ(x.accounts(), ids_.size());
  uint32_t active = 0;
  std::array<std::map<uint32_t, std::vector<Holder>>, kFields> expected;
  for (uint32_t a = 0; a < ids_.size(); ++a) {
    active += accounts_[a].exchanges > 0;
    EXPECT_EQ(x.AccountId(a), ids_[a]);
    EXPECT_EQ(x.FindAccount(ids_[a]), a);
    ExpectSame(x.Read(a), accounts_[a], Lookup::kAllFields);
    const uint32_t some = Lookup::Bit(Field(a % kFields)) | Lookup::Bit(Field(a / 16 % kFields));
    ExpectSame(x.Read(a, some), accounts_[a], some);
    for (size_t f = 0; f < kFields; ++f)
      for (const Use& u : accounts_[a].uses[f])
        expected[f][u.value].push_back({a, u.exchanges, u.first_ms, u.last_ms});
  }
  EXPECT_EQ(x.active(), active);
  for (size_t f = 0; f < kFields; ++f) {
    const auto field = Field(f);
    EXPECT_EQ(FieldOf(FieldName(field)), field);
    ASSERT_EQ(x.values(field), names_[f].size());
    for (uint32_t v = 0; v < names_[f].size(); ++v) {
      EXPECT_EQ(x.Value(field, v), names_[f][v]);
      EXPECT_EQ(x.FindValue(field, names_[f][v]), v);
      const auto holders = x.Holders(field, v);
      ASSERT_EQ(holders.size(), expected[f][v].size());
      EXPECT_EQ(x.HolderCount(field, v), holders.size());
      for (size_t i = 0; i < holders.size(); ++i) EXPECT_EQ(holders[i], expected[f][v][i]);
    }
    EXPECT_FALSE(x.FindValue(field, "nobody has it"));
  }
  ASSERT_EQ(x.templates(), templates_.size());
  for (const auto& [id, of] : templates_) {
    const auto t = x.FindTemplate(id);
    ASSERT_TRUE(t);
    EXPECT_EQ(x.TemplateId(*t), id);
    EXPECT_EQ(x.TemplateHolders(*t), of);
  }
  EXPECT_FALSE(x.FindTemplate("tpl_"));
  EXPECT_FALSE(x.FindAccount("acct-"));
  EXPECT_FALSE(x.FindAccount("zzz"));
}

TEST_F(LookupTest, AnEmptyWorldIsAnIndexToo) {
  Make(0, 1);
  auto index = Lookup::Open(path_);
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ((*index)->accounts(), 0u);
  EXPECT_FALSE((*index)->FindAccount(""));
}

TEST_F(LookupTest, OtherFilesAreRefusedWithWhatToDo) {
  EXPECT_EQ(Lookup::Open(path_).status().code(), absl::StatusCode::kNotFound);
  for (const size_t n : {size_t{0}, size_t{7}, size_t{100'000}}) {
    std::ofstream(path_, std::ios::trunc) << std::string(n, 'x');
    EXPECT_EQ(Lookup::Open(path_).status().code(), absl::StatusCode::kInvalidArgument) << n;
  }
}

// Of a damaged file nothing is read but the file, and every question ends.
TEST_F(LookupTest, DamageIsRefusedOrLeavesGaps) {
  Make(60, 9);
  std::ifstream in(path_, std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  std::mt19937_64 random(3);
  int opened = 0;
  for (int round = 0; round < 800; ++round) {
    std::string bytes = good;
    if (round % 5 == 0) bytes.resize(random() % good.size());
    // The header and what follows it are where most can go wrong.
    const size_t within = round % 2 == 0 ? std::min<size_t>(1'100, bytes.size()) : bytes.size();
    for (int i = 0; i <= round % 4 && within > 0; ++i)
      bytes[random() % within] = static_cast<char>(random() % 3 == 0 ? 0xff : random());
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    auto index = Lookup::Open(path_);
    if (!index.ok()) continue;
    ++opened;
    const Lookup& x = **index;
    uint64_t seen = 0;
    for (uint32_t a = 0; a < std::min(x.accounts(), 100u); ++a) {
      seen += x.FindAccount(x.AccountId(a)).value_or(0);
      for (const auto& uses : x.Read(a).uses) seen += uses.size();
    }
    for (size_t f = 0; f < kFields; ++f) {
      for (uint32_t v = 0; v < std::min(x.values(Field(f)), 400u); ++v) {
        seen += x.FindValue(Field(f), x.Value(Field(f), v)).value_or(0);
        EXPECT_LE(x.Holders(Field(f), v).size(), x.accounts());
      }
    }
    for (uint32_t t = 0; t < std::min(x.templates(), 100u); ++t)
      for (const Holder& h : x.TemplateHolders(t)) EXPECT_LT(h.account, x.accounts());
    EXPECT_LT(seen, UINT64_MAX);
  }
  EXPECT_GT(opened, 20);
}

}  // namespace
}  // namespace stillwatch::lookup
