#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

#include "audit/verify.h"
#include "base/str.h"
#include "state/state.h"

namespace stillwatch::state {
namespace {

namespace fs = std::filesystem;
using base::StrCat;

constexpr int64_t kNow = 1'780'000'000'000, kDay = 86'400'000;

class ImportsTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + "/imports";
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    auto log =
        audit::AuditLog::Open({dir_ + "/audit", [] { return kNow; }, "", audit::kSegmentBytes});
    ASSERT_TRUE(log.ok()) << log.status();
    log_ = *std::move(log);
    Open();
  }
  void TearDown() override { fs::remove_all(dir_); }
  void Open() {
    state_.reset();
    auto state = State::Open({dir_ + "/state", log_.get(), [this] { return now_.load(); }, 100});
    ASSERT_TRUE(state.ok()) << state.status();
    state_ = *std::move(state);
  }
  static ImportedIndicator One(const std::string& id, int64_t modified = 1) {
    ImportedIndicator i;
    i.id = "indicator--" + id, i.campaign = "campaign--1", i.type = "payment",
    i.value = "card " + id;
    i.credibility = 2, i.modified_ms = modified, i.valid_from_ms = kNow - kDay;
    i.valid_until_ms = kNow + kDay;
    return i;
  }
  ImportCounts Import(const std::string& source, std::vector<ImportedIndicator> rows) {
    auto n = state_->Import(source, rows, "ada");
    EXPECT_TRUE(n.ok()) << n.status();
    return n.ok() ? *n : ImportCounts();
  }
  std::vector<std::string> Acting() {
    auto active = state_->GetActiveImports();
    EXPECT_TRUE(active.ok()) << active.status();
    std::vector<std::string> out;
    for (const auto& i : active->rows)
      out.push_back(StrCat(i.source, "/", i.id.substr(11), std::string(1, i.reliability)));
    return out;
  }
  ImportSource Source(const std::string& name) {
    auto all = state_->ImportSources();
    EXPECT_TRUE(all.ok()) << all.status();
    for (const auto& s : *all)
      if (s.name == name) return s;
    ADD_FAILURE() << name;
    return {};
  }
  using Names = std::vector<std::string>;

  std::atomic<int64_t> now_{kNow};
  std::string dir_;
  std::unique_ptr<audit::AuditLog> log_;
  std::unique_ptr<State> state_;
};

TEST_F(ImportsTest, NothingTwiceAndNothingRevived) {
  EXPECT_EQ(Import("north", {One("a"), One("b")}).added, 2u);
  EXPECT_EQ(Import("north", {One("a"), One("b")}).unchanged, 2u);
  EXPECT_EQ(Acting(), (Names{"north/aF", "north/bF"}));
  // What came before does not undo what came after, and is not there twice.
  ImportedIndicator newer = One("a", 5), older = One("a", 3);
  newer.value = "new card", older.value = "old card";
  EXPECT_EQ(Import("north", {newer}).updated, 1u);
  EXPECT_EQ(Import("north", {older}).unchanged, 1u);
  EXPECT_EQ(state_->GetActiveImports()->rows[0].value, "new card");
  // A revocation is final, whatever is replayed; and survives a restart.
  newer.revoked = true;
  EXPECT_EQ(Import("north", {newer}).revoked, 1u);
  newer.revoked = false, newer.modified_ms = 99;
  EXPECT_EQ(Import("north", {newer}).unchanged, 1u);
  Open();
  EXPECT_EQ(Acting(), (Names{"north/bF"}));
  // Even of what nobody has yet.
  ImportedIndicator never = One("c");
  never.revoked = true;
  EXPECT_EQ(Import("north", {never}).revoked, 1u);
  EXPECT_EQ(Import("north", {One("c", 7)}).unchanged, 1u);
  EXPECT_EQ(Acting(), (Names{"north/bF"}));
}

TEST_F(ImportsTest, ASourceSpeaksForItself) {
  Import("north", {One("a")});
  ImportedIndicator theirs = One("a", 50);
  theirs.revoked = true;
  Import("liar", {theirs});  // another's id
  EXPECT_EQ(Acting(), (Names{"north/aF"}));
  EXPECT_TRUE(state_->GradeSource("north", 'B', "right in 9 of 11", "ada").ok());
  EXPECT_EQ(Acting(), (Names{"north/aB"}));
  EXPECT_FALSE(state_->GradeSource("north", 'G', "", "ada").ok());
  EXPECT_EQ(Source("north").graded_by, "ada");
  EXPECT_EQ(Source("liar").reliability, 'F');
}

TEST_F(ImportsTest, AllOrNothing) {
  ImportedIndicator bad = One("b");
  bad.credibility = 7;
  for (const auto& rows : {std::vector{One("a"), bad}, std::vector{One("a"), One("a")}}) {
    EXPECT_EQ(state_->Import("north", rows, "ada").status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_TRUE(Acting().empty());
  EXPECT_TRUE(state_->ImportSources()->empty());
  EXPECT_FALSE(state_->Import("", {One("a")}, "ada").ok());
  EXPECT_FALSE(state_->RevokeImports("north", "", "ada").ok());
}

TEST_F(ImportsTest, TheClockAloneEndsAndBegins) {
  ImportedIndicator later = One("b");
  later.valid_from_ms = kNow + 2 * kDay, later.valid_until_ms = kNow + 3 * kDay;
  Import("north", {One("a"), later});
  EXPECT_EQ(Acting(), (Names{"north/aF"}));
  EXPECT_EQ(state_->GetActiveImports()->until_ms, kNow + kDay);
  now_ = kNow + kDay;
  EXPECT_TRUE(Acting().empty());
  EXPECT_EQ(state_->GetActiveImports()->until_ms, kNow + 2 * kDay);
  EXPECT_EQ(Source("north").expired, 1u);
  now_ = kNow + 2 * kDay;
  EXPECT_EQ(Acting(), (Names{"north/bF"}));
  now_ = kNow + 4 * kDay;
  EXPECT_EQ(state_->GetActiveImports()->until_ms, INT64_MAX);
  const auto page = state_->ListImports({"north", "", "", "expired"}, {0, 1});
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->total, 2u);
  EXPECT_EQ(page->rows.size(), 1u);
  EXPECT_FALSE(state_->ListImports({"", "", "", "gone"}, {0, 1}).ok());
}

TEST_F(ImportsTest, IsStoppedByIdByCampaignAndWhole) {
  ImportedIndicator other = One("c");
  other.campaign = "campaign--2";
  Import("north", {One("a"), One("b"), other, One("d")});
  const uint64_t before = state_->GetChanges()->imports;
  EXPECT_EQ(*state_->RevokeImports("north", "indicator--d", "ada"), 1u);
  EXPECT_EQ(*state_->RevokeImports("north", "campaign--1", "ada"), 2u);
  EXPECT_EQ(Acting(), (Names{"north/cF"}));
  EXPECT_EQ(*state_->RevokeImports("north", "", "ada"), 1u);
  EXPECT_EQ(*state_->RevokeImports("north", "", "ada"), 0u);
  EXPECT_TRUE(Acting().empty());
  EXPECT_GT(state_->GetChanges()->imports, before);
  EXPECT_EQ(Source("north").revoked, 4u);
  const auto logged = audit::ReadAudit(dir_ + "/audit", {"share.", "", "", ""}, 0, 100);
  ASSERT_TRUE(logged.ok());
  EXPECT_EQ(logged->lines.size(), 5u);
}

TEST_F(ImportsTest, HowFarACollectionWasReadIsKeptWithWhatCameFromIt) {
  const std::string url = "https://peer/taxii2/share/collections/1/";
  EXPECT_EQ(*state_->ImportedUntil("north", url), "");
  const ImportMark mark{url, "2026-11-21T12:00:00.000001Z"};
  ASSERT_TRUE(state_->Import("north", {One("a")}, "ada", &mark).ok());
  EXPECT_EQ(*state_->ImportedUntil("north", url), mark.added_after);
  EXPECT_EQ(*state_->ImportedUntil("south", url), "");
  // What is refused moves nothing.
  const ImportMark later{url, "2026-11-22T12:00:00.000001Z"};
  auto bad = One("b");
  bad.credibility = 7;
  EXPECT_FALSE(state_->Import("north", {bad}, "ada", &later).ok());
  EXPECT_EQ(*state_->ImportedUntil("north", url), mark.added_after);
  // Nothing for us in it: read all the same. And what a later version leaves unsaid stays known.
  auto revoked = One("a", 2);
  revoked.revoked = true, revoked.campaign = "";
  ASSERT_TRUE(state_->Import("north", {revoked}, "ada", &later).ok());
  EXPECT_EQ(*state_->ImportedUntil("north", url), later.added_after);
  EXPECT_EQ(state_->ListImports({"north", "", "campaign--1", "revoked"}, {0, 10})->total, 1u);
  Open();
  EXPECT_EQ(*state_->ImportedUntil("north", url), later.added_after);
}

Export Asked(const char* who) {
  Export e;
  e.kind = "bundle", e.campaign_id = "c1", e.campaign_name = "amber-otter", e.audience = "cloud";
  e.issuer = "North", e.note = "they asked", e.proposed_by = who, e.summary = "{}";
  return e;
}

TEST_F(ImportsTest, TwoPersonsAnswerForWhatLeaves) {
  auto made = state_->ProposeExport(Asked("ada"), {{"", "the bytes"}});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->digest, ExportDigest({{"", "the bytes"}}));
  const auto code = [](const auto& s) { return s.status().code(); };
  EXPECT_EQ(code(state_->TakeExport(made->id, "ada")), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(state_->ApprovedExport("bundle", made->digest)),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(state_->DecideExport(made->id, 1, true, "ada")),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(code(state_->DecideExport(made->id, 2, true, "bob")), absl::StatusCode::kAborted);
  EXPECT_EQ(code(state_->DecideExport(99, 1, true, "bob")), absl::StatusCode::kNotFound);
  ASSERT_TRUE(state_->DecideExport(made->id, 1, true, "bob").ok());
  EXPECT_EQ(code(state_->DecideExport(made->id, 2, false, "eve")), absl::StatusCode::kAborted);
  auto files = state_->TakeExport(made->id, "eve");
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 1u);
  EXPECT_EQ(files->front().bytes, "the bytes");
  EXPECT_EQ(state_->ApprovedExport("bundle", made->digest)->decided_by, "bob");
  EXPECT_FALSE(state_->ApprovedExport("comparison", made->digest).ok());
  // An approval is for a while.
  now_ = kNow + kApprovalMs + 1;
  EXPECT_FALSE(state_->ApprovedExport("bundle", made->digest).ok());
  now_ = kNow;
  // Without a word why, nothing.
  auto mute = Asked("ada");
  mute.note = "";
  EXPECT_EQ(code(state_->ProposeExport(mute, {{"", "x"}})), absl::StatusCode::kInvalidArgument);
  // Several files are one proposal; the proposer may withdraw it.
  auto feed = state_->ProposeExport(Asked("ada"), {{"b.json", "2"}, {"a.json", "1"}});
  ASSERT_TRUE(feed.ok());
  ASSERT_TRUE(state_->DecideExport(feed->id, 1, false, "ada").ok());
  EXPECT_EQ(state_->GetExport(feed->id)->status, "rejected");
  EXPECT_EQ(state_->Exports()->size(), 2u);
  const auto logged = audit::ReadAudit(dir_ + "/audit", {"share.", "", "", ""}, 0, 100);
  ASSERT_TRUE(logged.ok());
  EXPECT_EQ(logged->lines.size(), 5u);  // 2 proposed, approved, rejected, taken
}

TEST_F(ImportsTest, WhatIsDecidedMakesRoomAndWhatWaitsDoesNot) {
  for (size_t i = 0; i < kExportsKept; ++i)
    ASSERT_TRUE(state_->ProposeExport(Asked("ada"), {{"", "x"}}).ok());
  EXPECT_EQ(state_->ProposeExport(Asked("ada"), {{"", "x"}}).status().code(),
            absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(state_->DecideExport(7, 1, false, "bob").ok());
  auto one = state_->ProposeExport(Asked("ada"), {{"", "y"}});
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(state_->GetExport(7).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(fs::exists(dir_ + "/state/exports/7.json"));
  EXPECT_TRUE(fs::exists(StrCat(dir_, "/state/exports/", one->id, ".json")));
}

TEST_F(ImportsTest, HowOftenItWasRightHere) {
  Import("north", {One("a"), One("b")});
  Import("south", {One("a")});
  PassResult pass;
  pass.pass = {0, kNow, kNow + 1, 0, kNow, "{}"};
  for (const char* id : {"c1", "c2", "c3"}) {
    auto& c = pass.campaigns.emplace_back().campaign;
    c.id = id, c.finding_id = id, c.status = "current", c.verdict = "distillation", c.json = "{}";
  }
  pass.hits = {{"c1", "north", "indicator--a", 4, 40},
               {"c1", "north", "indicator--b", 4, 40},
               {"c2", "north", "indicator--a", 4, 40},
               {"c3", "south", "indicator--a", 1, 1}};
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(state_->RecordPass(pass).ok());
  Disposition d;
  d.campaign_id = "c1", d.value = "confirmed", d.reason = Reasons()[0], d.person = "ada";
  ASSERT_TRUE(state_->Dispose(d, 0).ok());
  d.campaign_id = "c2", d.value = "dismissed", d.look_alike = LookAlikes()[0];
  ASSERT_TRUE(state_->Dispose(d, 0).ok());
  const ImportSource north = Source("north"), south = Source("south");
  EXPECT_EQ(north.campaigns, 2u);
  EXPECT_EQ(north.right, 1u);
  EXPECT_EQ(north.wrong, 1u);
  EXPECT_EQ(south.campaigns, 1u);
  EXPECT_EQ(south.right + south.wrong + south.unsure, 0u);
  EXPECT_EQ(state_->ListImports({"north", "", "", ""}, {0, 10})->rows[0].hits, 2u);
}

}  // namespace
}  // namespace stillwatch::state
