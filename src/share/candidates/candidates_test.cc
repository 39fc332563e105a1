#include "share/candidates/candidates.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/str.h"
#include "lake/embedded/embedded_lake.h"

namespace stillwatch::share {
namespace {

namespace fs = std::filesystem;
using base::StrCat;

// 30 accused accounts, a00 to a29, with ten exchanges each; of v0, whose key was stolen, ten more.
class CandidatesTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = StrCat(testing::TempDir(), "/candidates-", getpid());
    fs::remove_all(dir_);
    auto lake = lake::OpenEmbedded({.path = dir_, .threads = 2});
    ASSERT_TRUE(lake.ok()) << lake.status();
    lake_ = *std::move(lake);
    ASSERT_TRUE(lake_->Migrate().ok());
    campaign_.id = "c1";
    campaign_.verdict = model::Verdict::kDistillation;
    campaign_.probability = .97;
    campaign_.accounts = 31, campaign_.exchanges = 310;
    campaign_.first_seen_ms = 1'780'000'000'000, campaign_.last_seen_ms = 1'780'100'000'000;
    for (int a = 0; a < 30; ++a)
      campaign_.members.push_back({Account(a), "", "distillation", .97, 10, 10, ""});
    campaign_.members.push_back({"v0", "", "victim", .1, 10, 10, ""});
  }
  void TearDown() override {
    lake_.reset();
    fs::remove_all(dir_);
  }
  static std::string Account(int a) { return StrCat(a < 10 ? "a0" : "a", a); }

  void Run(const std::string& sql) {
    const absl::Status s = lake_->Execute(sql);
    ASSERT_TRUE(s.ok()) << s;
  }
  // `presented`: an SQL list of signatures; `turn`: of hashes. i is the exchange's number.
  void Fill(const std::string& presented, const std::string& turn) {
    const std::string account =
        "if(number < 300, concat('a', leftPad(toString(number % 30), 2, '0')), 'v0')";
    Run(StrCat("INSERT INTO exchanges SELECT concat('e', toString(number)), 1, 1, ",
               campaign_.first_seen_ms, " + number, ", account,
               ", '', '', 0, '', 'm', '', 200, 1, 1, 0, 0, if(number < 300, 0.5, 0.25), 1, 100, "
               "'', 0, '198.51.100.7', 'tool/1.2 (x)', '', 1, [], ",
               presented, ", 0, [], ", turn, " FROM numbers(310)"));
    // The same record twice: counted once.
    Run("INSERT INTO exchanges SELECT * REPLACE (2 AS content) FROM exchanges");
    Run(StrCat("INSERT INTO attributed SELECT 1, concat('e', toString(number)), ", account,
               ", 'c1' FROM numbers(310)"));
  }
  CandidateCampaign Got() {
    auto got = Candidates(campaign_, lake_.get());
    EXPECT_TRUE(got.ok()) << got.status();
    // Read some accounts at a time it is the same.
    model::Campaign large = campaign_;
    large.exchanges = 310;
    const auto parts = Candidates(large, lake_.get(), 50);
    EXPECT_TRUE(parts.ok()) << parts.status();
    if (got.ok() && parts.ok()) {
      const auto told = [](const CandidateCampaign& c) {
        std::vector<std::string> out;
        for (const Item& i : c.items)
          out.push_back(base::StrCat(ItemTypeName(i.type()), " ", i.value()));
        for (const auto& t : c.templates)
          for (const CountedShingle& s : t)
            out.push_back(base::StrCat(s.hash, " ", s.accounts, " ", s.exchanges));
        return out;
      };
      EXPECT_EQ(told(*got), told(*parts));
    }
    return got.ok() ? *std::move(got) : CandidateCampaign();
  }
  static std::set<std::string> Of(const std::vector<Item>& items, ItemType type) {
    std::set<std::string> out;
    for (const Item& i : items)
      if (i.type() == type) out.insert(i.value());
    return out;
  }

  std::string dir_;
  std::unique_ptr<lake::Lake> lake_;
  model::Campaign campaign_;
};

using Names = std::set<std::string>;

TEST_F(CandidatesTest, ReplayedSignaturesLeaveForWhoServesTheSameModelsAlone) {
  // One presented by every account, one by a07 alone, and one by the owner of the stolen key.
  Fill(
      "if(number >= 300, [toUInt64(3)], if(number = 7, [toUInt64(1), toUInt64(2)], "
      "[toUInt64(1)]))",
      "[]");
  const CandidateCampaign c = Got();
  const Names both = {"0000000000000001", "0000000000000002"};
  EXPECT_EQ(Of(c.items, ItemType::kSignature), both);
  for (const Audience a :
       {Audience::kProvider, Audience::kCloud, Audience::kGovernment, Audience::kPublic}) {
    const auto release = Gate({c}, a, nullptr);
    ASSERT_TRUE(release.ok()) << release.status();
    EXPECT_EQ(Of(release->campaigns()[0].items, ItemType::kSignature),
              a == Audience::kCloud ? both : Names())
        << AudienceName(a);
    const auto& kept = release->kept();
    const auto stays = std::find_if(kept.begin(), kept.end(),
                                    [](const Kept& k) { return k.type == ItemType::kSignature; });
    ASSERT_EQ(stays == kept.end(), a == Audience::kCloud);
    if (stays != kept.end()) EXPECT_EQ(stays->count, 2u);
  }
}

TEST_F(CandidatesTest, OfMoreSignaturesThanLeaveTheSmallest) {
  // 100 an exchange, 30,000 in all, ascending with the exchange.
  Fill("arrayMap(x -> toUInt64(number * 100 + x), range(100))", "[]");
  const Names got = Of(Got().items, ItemType::kSignature);
  EXPECT_EQ(got.size(), kPersonalMax);
  EXPECT_EQ(*got.begin(), "0000000000000000");
  EXPECT_EQ(*got.rbegin(), "000000000000270f");
}

TEST_F(CandidatesTest, TraitsAreCountedOnceAndOfTheAccusedAlone) {
  // Hash 5 in all exchanges, 6 in those of 19 accounts, 7 in 199 exchanges.
  Fill("[]",
       "arrayConcat([toUInt32(5)], if(number < 300 AND number % 30 < 19, [toUInt32(6)], []), "
       "if(number < 199, "
       "[toUInt32(7)], []))");
  model::TemplateRef t;
  t.hashes = {5, 6, 7, 8};
  campaign_.templates.push_back(t);
  Run("INSERT INTO accounts SELECT concat('a', leftPad(toString(number), 2, '0')), 1, 0, '', 0, "
      "'', '', if(number < 2, 'Mail.Example', 'alone.example'), if(number < 2, 'pm_two', "
      "concat('pm_', toString(number))), '', '', '', '', '' FROM numbers(3)");
  Run("INSERT INTO accounts SELECT 'v0', 1, 0, '', 0, '', '', 'mail.example', 'pm_2', '', '', '', "
      "'', ''");
  const CandidateCampaign c = Got();
  EXPECT_EQ(Of(c.items, ItemType::kPayment), Names{"pm_two"});
  EXPECT_EQ(Of(c.items, ItemType::kMailDomain), Names{"mail.example"});
  EXPECT_EQ(Of(c.items, ItemType::kAddress), Names{"198.51.100.7"});
  EXPECT_EQ(Of(c.items, ItemType::kClient), Names{"tool/1.2"});
  EXPECT_EQ(Of(c.items, ItemType::kSettings),
            Names{"temperature=0.5;top_p=1;max_tokens=100;stream=0"});
  EXPECT_EQ(Of(c.items, ItemType::kAccount).size(), 30u);
  EXPECT_EQ(Of(c.items, ItemType::kAccountId).count("v0"), 0u);
  ASSERT_EQ(c.templates.size(), 1u);
  const auto& shingles = c.templates[0];
  ASSERT_EQ(shingles.size(), 4u);
  EXPECT_EQ(shingles[0].accounts, 31u);
  EXPECT_EQ(shingles[0].exchanges, 310u);
  EXPECT_EQ(shingles[1].accounts, 19u);
  EXPECT_EQ(shingles[2].exchanges, 199u);
  EXPECT_EQ(shingles[3].exchanges, 0u);
  const auto release = Gate({c}, Audience::kProvider, nullptr);
  ASSERT_TRUE(release.ok());
  EXPECT_EQ(Of(release->campaigns()[0].items, ItemType::kTemplateSketch), Names{"2:00000005"});
}

TEST_F(CandidatesTest, WithoutItsRowsThereIsNothingToTell) {
  EXPECT_EQ(Candidates(campaign_, lake_.get()).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace stillwatch::share
