#include "state/state.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "audit/test_kill.h"
#include "audit/verify.h"
#include "base/str.h"
#include "state/impl.h"

namespace stillwatch::state {
namespace {

namespace fs = std::filesystem;
using base::StrCat;

constexpr int64_t kNow = 1'780'000'000'000;

// An audit log that can be made to fail.
class BrokenLog final : public audit::AuditLog {
 public:
  explicit BrokenLog(audit::AuditLog* real) : real_(real) {}
  bool Offer(audit::AuditRecord r) override { return real_->Offer(std::move(r)); }
  absl::Status Append(audit::AuditRecord r) override {
    return broken ? absl::UnavailableError("audit log: the disk is full")
                  : real_->Append(std::move(r));
  }
  absl::Status Flush() override { return real_->Flush(); }
  audit::AuditHead Head() const override { return real_->Head(); }
  audit::AuditStats Stats() const override { return real_->Stats(); }
  const std::string& dir() const override { return real_->dir(); }
  std::atomic<bool> broken{false};

 private:
  audit::AuditLog* real_;
};

class StateTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + "/state";
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    Open();
  }
  void Open() {
    state_.reset();
    if (log_ == nullptr) {
      auto log =
          audit::AuditLog::Open({dir_ + "/audit", [] { return kNow; }, "", audit::kSegmentBytes});
      ASSERT_TRUE(log.ok()) << log.status();
      log_ = std::move(*log);
      broken_ = std::make_unique<BrokenLog>(log_.get());
    }
    auto state = State::Open(Options());
    ASSERT_TRUE(state.ok()) << state.status();
    state_ = std::move(*state);
  }
  StateOptions Options() {
    return {dir_ + "/state", broken_.get(), [this] { return now_.load(); }, 100};
  }
  // Every line of the log whose action begins so.
  std::vector<std::string> Logged(const std::string& action) {
    auto page = audit::ReadAudit(dir_ + "/audit", {action, "", "", ""}, 0, 1000);
    return page.ok() ? page->lines : std::vector<std::string>();
  }
  PassResult OnePass(int campaigns, int members) {
    PassResult r;
    r.pass = {0, kNow, kNow + 1, 0, kNow, "{}"};
    for (int i = 0; i < campaigns; ++i) {
      auto& c = r.campaigns.emplace_back();
      c.campaign.id = StrCat("c", i);
      c.campaign.finding_id = StrCat("f", i);
      c.campaign.name = StrCat("amber_otter ", i);
      c.campaign.status = "current";
      c.campaign.verdict = i % 2 ? "unresolved" : "distillation";
      c.campaign.probability = .5 + .01 * i;
      c.campaign.exchanges = 1000 * i;
      c.campaign.families = {"network", "text"};
      c.campaign.json = "{\"id\":\"x\"}";
      c.campaign.changed_ms = kNow + i;
      c.members_given = true;
      for (int m = 0; m < members; ++m)
        c.members.push_back({StrCat("acct-", i, "-", m), "p", "distillation", "why", .9, 10, 9});
      r.events.push_back({0, c.campaign.id, kNow, 0, "new", "{}"});
    }
    return r;
  }

  std::string dir_;
  std::atomic<int64_t> now_{kNow};
  std::unique_ptr<audit::AuditLog> log_;
  std::unique_ptr<BrokenLog> broken_;
  std::unique_ptr<State> state_;
};

absl::StatusCode CodeOf(const absl::Status& s) { return s.code(); }
#define EXPECT_CODE(c, s) EXPECT_EQ(absl::StatusCode::c, CodeOf(s)) << #s

TEST_F(StateTest, APolicyTakesTwoPersonsAboveTheBar) {
  auto small = state_->Propose("rules: []", {10, 100}, "first", "ada");
  ASSERT_TRUE(small.ok()) << small.status();
  EXPECT_EQ(small->status, "proposed");
  EXPECT_FALSE(small->needs_approval);
  auto active = state_->Activate(small->version, 0, {10, 100}, "", "ada");
  ASSERT_TRUE(active.ok()) << active.status();
  EXPECT_EQ(active->status, "active");
  EXPECT_CODE(kFailedPrecondition, state_->Propose("rules: []", {10, 100}, "", "bob").status());

  auto big = state_->Propose("rules: [deny]", {101, 100}, "", "ada");
  EXPECT_TRUE(big->needs_approval);
  EXPECT_CODE(kPermissionDenied,
              state_->Activate(big->version, small->version, {101, 100}, "", "ada").status());
  EXPECT_CODE(kPermissionDenied,
              state_->Activate(big->version, small->version, {101, 100}, "", "bob").status());
  EXPECT_CODE(kPermissionDenied,
              state_->Approve(big->version, big->revision, 101, "", "ada").status());
  EXPECT_CODE(kAborted, state_->Approve(big->version, big->revision + 1, 101, "", "bob").status());
  auto approved = state_->Approve(big->version, big->revision, 101, "seen", "bob");
  ASSERT_TRUE(approved.ok()) << approved.status();
  EXPECT_EQ(approved->status, "approved");
  EXPECT_FALSE(approved->needs_approval);
  ASSERT_EQ(approved->approvals.size(), 1u);
  // The count has grown beyond what was approved; a proposal does not lift its own bar.
  EXPECT_CODE(kPermissionDenied,
              state_->Activate(big->version, small->version, {300, 100}, "", "ada").status());
  EXPECT_CODE(kPermissionDenied,
              state_->Activate(big->version, small->version, {300, 1000}, "", "ada").status());
  // Somebody else activated meanwhile.
  EXPECT_CODE(kAborted, state_->Activate(big->version, 0, {150, 100}, "", "ada").status());
  ASSERT_TRUE(state_->Activate(big->version, small->version, {150, 100}, "", "ada").ok());
  EXPECT_EQ(state_->GetPolicy(small->version)->status, "superseded");
  EXPECT_EQ((*state_->ActivePolicy())->version, big->version);
  // Used up: not activated or approved twice.
  EXPECT_CODE(kFailedPrecondition,
              state_->Activate(big->version, big->version, {1, 100}, "", "ada").status());

  // One command back, then to none, then nothing.
  auto back = state_->Rollback(big->version, "hurts customers", "ada");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->version, small->version);
  EXPECT_EQ(back->status, "active");
  EXPECT_EQ(back->text, "rules: []");
  EXPECT_EQ(state_->GetPolicy(big->version)->status, "rolled back");
  EXPECT_CODE(kAborted, state_->Rollback(big->version, "", "bob").status());
  EXPECT_EQ(state_->Rollback(small->version, "", "ada")->version, 0);
  EXPECT_FALSE((*state_->ActivePolicy()).has_value());
  EXPECT_CODE(kFailedPrecondition, state_->Rollback(0, "", "ada").status());

  auto withdrawn = state_->Propose("rules: [other]", {0, 100}, "", "ada");
  EXPECT_EQ(state_->Withdraw(withdrawn->version, withdrawn->revision, "ada")->status, "withdrawn");
  EXPECT_CODE(kFailedPrecondition, state_->Approve(withdrawn->version, 2, 0, "", "bob").status());
  EXPECT_CODE(kNotFound, state_->GetPolicy(99).status());
  EXPECT_EQ(state_->ListPolicies({0, 2})->rows.size(), 2u);
  EXPECT_EQ(state_->ListPolicies({0, 2})->total, 3u);
  EXPECT_EQ(state_->ListActivations({})->rows.size(), 4u);

  // Each step is in the log, and those that were refused are not.
  EXPECT_EQ(Logged("policy.propose").size(), 3u);
  EXPECT_EQ(Logged("policy.approve").size(), 1u);
  EXPECT_EQ(Logged("policy.activate").size(), 2u);
  EXPECT_EQ(Logged("policy.rollback").size(), 2u);
  EXPECT_NE(Logged("policy.approve")[0].find(R"("actor":"bob")"), std::string::npos);
  EXPECT_TRUE(audit::VerifyAudit(dir_ + "/audit")->ok());
}

TEST_F(StateTest, WhatCannotBeRecordedIsNotDone) {
  auto p = state_->Propose("a", {0, 100}, "", "ada");
  const auto before = *state_->GetChanges();
  broken_->broken = true;
  EXPECT_CODE(kUnavailable, state_->Activate(p->version, 0, {0, 100}, "", "ada").status());
  EXPECT_CODE(kUnavailable, state_->Propose("b", {0, 100}, "", "ada").status());
  EXPECT_CODE(kUnavailable, state_->CreateToken("ada", "", kAdmin, 0, "root").status());
  EXPECT_CODE(kUnavailable, state_->OpenAppeal("r", "a", "", "", "ada").status());
  EXPECT_EQ(*state_->GetChanges(), before);
  EXPECT_FALSE((*state_->ActivePolicy()).has_value());
  EXPECT_TRUE(state_->tokens().empty());
  broken_->broken = false;
  EXPECT_TRUE(state_->Activate(p->version, 0, {0, 100}, "", "ada").ok());
  EXPECT_GT(state_->GetChanges()->policy, before.policy);
}

TEST_F(StateTest, AnOverturnedAppealRestoresAtOnce) {
  auto a = state_->OpenAppeal("ref-1", "acct-1", "c1", "I am a university", "support");
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_EQ(a->status, "open");
  EXPECT_EQ(state_->OpenAppeal("ref-1", "acct-1", "c1", "again", "support")->message,
            "I am a university");
  EXPECT_EQ(Logged("appeal.open").size(), 1u);
  EXPECT_CODE(kFailedPrecondition,
              state_->OpenAppeal("ref-1", "acct-2", "", "", "support").status());
  EXPECT_CODE(kNotFound,
              state_->DecideAppeal("ref-9", 1, State::Ruling::kUphold, "x", "ada").status());
  EXPECT_CODE(kInvalidArgument,
              state_->DecideAppeal("ref-1", 1, State::Ruling::kUphold, "", "ada").status());
  const auto before = *state_->GetChanges();
  auto over =
      state_->DecideAppeal("ref-1", a->revision, State::Ruling::kOverturn, "campus network", "ada");
  ASSERT_TRUE(over.ok()) << over.status();
  EXPECT_EQ(over->status, "overturned");
  auto e = state_->GetEnforcement(false);
  ASSERT_EQ(e->overturned.size(), 1u);
  EXPECT_EQ(e->overturned[0].account_id, "acct-1");
  EXPECT_EQ(e->overturned[0].campaign_id, "");
  EXPECT_GT(e->changes.appeals, before.appeals);
  // The second of two is told, and nothing changes.
  EXPECT_CODE(
      kAborted,
      state_->DecideAppeal("ref-1", a->revision, State::Ruling::kUphold, "y", "bob").status());
  EXPECT_EQ(state_->GetEnforcement(false)->overturned.size(), 1u);
  // For its campaign alone; then upheld after all.
  auto narrow = state_->DecideAppeal("ref-1", over->revision, State::Ruling::kOverturnCampaign,
                                     "only there", "bob");
  EXPECT_EQ(state_->GetEnforcement(false)->overturned[0].campaign_id, "c1");
  auto upheld =
      state_->DecideAppeal("ref-1", narrow->revision, State::Ruling::kUphold, "no campus", "bob");
  EXPECT_EQ(upheld->status, "upheld");
  EXPECT_TRUE(state_->GetEnforcement(false)->overturned.empty());
  ASSERT_TRUE(state_->OpenAppeal("ref-2", "acct-2", "", "", "support").ok());
  EXPECT_CODE(
      kFailedPrecondition,
      state_->DecideAppeal("ref-2", 1, State::Ruling::kOverturnCampaign, "x", "ada").status());
  EXPECT_EQ(state_->ListAppeals("open", "", {})->rows.size(), 1u);
  EXPECT_EQ(state_->ListAppeals("", "", {})->rows[0].ref, "ref-2");  // open first
  EXPECT_EQ(state_->ListAppeals("", "acct-1", {})->total, 1u);
  EXPECT_CODE(kInvalidArgument, state_->ListAppeals("lost", "", {}).status());
  auto feedback = state_->GetFeedback();
  ASSERT_EQ(feedback->size(), 1u);
  EXPECT_EQ((*feedback)[0].label, "right");
  EXPECT_EQ((*feedback)[0].account_id, "acct-1");
}

TEST_F(StateTest, Dispositions) {
  ASSERT_TRUE(state_->RecordPass(OnePass(3, 2)).ok());
  const auto say = [&](std::string value, std::string look_alike, std::string reason,
                       int64_t expected, std::string person = "ada") {
    Disposition d;
    d.campaign_id = "c1", d.value = value, d.look_alike = look_alike, d.reason = reason,
    d.person = person;
    return state_->Dispose(d, expected);
  };
  EXPECT_CODE(kInvalidArgument, say("dismissed", "", "customer-explained", 0).status());
  EXPECT_CODE(kInvalidArgument, say("confirmed", "class", "evidence-checked", 0).status());
  EXPECT_CODE(kInvalidArgument, say("confirmed", "", "", 0).status());
  EXPECT_CODE(kInvalidArgument, say("maybe", "", "other", 0).status());
  auto d = say("dismissed", "class", "customer-explained", 0);
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_EQ(d->families, (std::vector<std::string>{"network", "text"}));
  EXPECT_EQ(d->finding_id, "f1");
  EXPECT_CODE(kAborted, say("confirmed", "", "evidence-checked", 0, "bob").status());
  EXPECT_EQ(state_->GetCampaign("c1")->disposition, "dismissed");
  EXPECT_EQ(state_->CurrentDispositions()->size(), 1u);
  EXPECT_EQ(state_->GetFeedback()->at(0).label, "wrong");
  ASSERT_TRUE(say("withdrawn", "", "mistake", 1).ok());  // undo
  EXPECT_TRUE(state_->CurrentDispositions()->empty());
  EXPECT_EQ(state_->GetCampaign("c1")->disposition, "");
  EXPECT_EQ(state_->DispositionHistory("c1")->size(), 2u);
  Disposition d2;
  d2.campaign_id = "nope", d2.value = "unsure", d2.reason = "needs-more-data", d2.person = "ada";
  EXPECT_CODE(kNotFound, state_->Dispose(d2, 0).status());
  // A pass keeps dispositions and owners.
  ASSERT_TRUE(say("confirmed", "", "evidence-checked", 2).ok());
  ASSERT_TRUE(state_->TakeCampaign("c1", "", "ada", "ada").ok());
  EXPECT_CODE(kAborted, state_->TakeCampaign("c1", "", "bob", "bob").status());
  ASSERT_TRUE(state_->RecordPass(OnePass(3, 2)).ok());
  auto c = state_->GetCampaign("c1");
  EXPECT_EQ(c->disposition, "confirmed");
  EXPECT_EQ(c->owner, "ada");
  EXPECT_EQ(c->revision, 2);
}

TEST_F(StateTest, Tokens) {
  EXPECT_TRUE(state_->tokens().empty());
  auto t = state_->CreateToken("ada", "laptop", kAnalyst | kApprover, 0, "root");
  ASSERT_TRUE(t.ok()) << t.status();
  auto who = state_->tokens().Find(t->token, kNow);
  ASSERT_TRUE(who.has_value());
  EXPECT_EQ(who->person, "ada");
  EXPECT_EQ(who->roles, kAnalyst | kApprover);
  EXPECT_EQ(RoleNames(who->roles), "analyst,approver");
  // No other text is that token.
  for (size_t i = 0; i < t->token.size(); ++i) {
    std::string other = t->token;
    other[i] = other[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(state_->tokens().Find(other, kNow)) << i;
    EXPECT_FALSE(state_->tokens().Find(t->token.substr(0, i), kNow));
  }
  EXPECT_FALSE(state_->tokens().Find(t->token + "A", kNow));
  EXPECT_FALSE(state_->tokens().Find("", kNow));
  // Neither the database nor the log holds the secret.
  const std::string secret = t->token.substr(13);
  ASSERT_EQ(secret.size(), 43u);
  int files = 0;
  for (const auto& f : fs::recursive_directory_iterator(dir_)) {
    if (!f.is_regular_file()) continue;
    std::ifstream in(f.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(bytes.find(secret), std::string::npos) << f.path();
    ++files;
    struct stat st {};
    ASSERT_EQ(stat(f.path().c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 077, 0u) << f.path();
  }
  EXPECT_GE(files, 4);
  auto brief = state_->CreateToken("gateway", "", kDecide, kNow + 1000, "root");
  EXPECT_TRUE(state_->tokens().Find(brief->token, kNow + 999));
  EXPECT_FALSE(state_->tokens().Find(brief->token, kNow + 1000));
  EXPECT_CODE(kInvalidArgument, state_->CreateToken("x", "", 0, 0, "root").status());
  EXPECT_CODE(kInvalidArgument, state_->CreateToken("x", "", 64, 0, "root").status());
  EXPECT_CODE(kInvalidArgument, state_->CreateToken("", "", kDecide, 0, "root").status());
  EXPECT_CODE(kInvalidArgument, state_->CreateToken("x", "", kDecide, kNow, "root").status());
  // Another process revokes; this one learns of it when it looks.
  {
    auto other = State::Open(Options());
    ASSERT_TRUE((*other)->RevokeToken(t->info.id, "root").ok());
    EXPECT_CODE(kFailedPrecondition, (*other)->RevokeToken(t->info.id, "root").status());
  }
  const auto changes = state_->GetChanges();
  EXPECT_TRUE(state_->tokens().Find(t->token, kNow));
  ASSERT_TRUE(state_->RefreshTokens().ok());
  EXPECT_FALSE(state_->tokens().Find(t->token, kNow));
  EXPECT_FALSE(state_->tokens().empty());
  EXPECT_EQ(changes->tokens, 3u);
  EXPECT_CODE(kNotFound, state_->RevokeToken("nope", "root").status());
  EXPECT_EQ(state_->ListTokens()->size(), 2u);
  Open();
  EXPECT_TRUE(state_->tokens().Find(brief->token, kNow));
}

TEST_F(StateTest, Lists) {
  ListChange c{
      "blocked", {{"account:a", "abuse", 0, "", 0}, {"account:b", "abuse", kNow + 10, "", 0}}, {}};
  auto done = state_->ChangeList(c, 0, {0, 100}, "ada");
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->status, "applied");
  EXPECT_CODE(kAborted, state_->ChangeList(c, 0, {0, 100}, "bob").status());
  EXPECT_EQ(state_->GetEnforcement(false)->lists["blocked"].size(), 2u);
  now_ = kNow + 10;
  EXPECT_EQ(state_->GetEnforcement(false)->lists["blocked"].size(), 1u);
  EXPECT_EQ(state_->ReadList("blocked", "account:", {})->total, 1u);
  EXPECT_EQ(state_->ReadList("blocked", "key:", {})->total, 0u);
  EXPECT_CODE(kNotFound, state_->ReadList("other", "", {}).status());
  EXPECT_CODE(kInvalidArgument,
              state_->ChangeList(c, 1, {0, 100}, "ada").status());  // expired already
  // Many entries wait for a second person.
  ListChange many{"blocked", {}, {"account:a"}};
  for (int i = 0; i < 100; ++i) many.put.push_back({StrCat("account:m", i), "pool", 0, "", 0});
  auto waits = state_->ChangeList(many, 1, {0, 100}, "ada");
  ASSERT_TRUE(waits.ok()) << waits.status();
  EXPECT_EQ(waits->status, "proposed");
  EXPECT_EQ(state_->ReadList("blocked", "", {})->total, 1u);
  EXPECT_EQ(state_->ListProposals("proposed", {})->rows.at(0).change.put.size(), 100u);
  EXPECT_CODE(kPermissionDenied, state_->DecideListChange(waits->id, true, "ada").status());
  auto applied = state_->DecideListChange(waits->id, true, "bob");
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(state_->ReadList("blocked", "", {0, 500})->rows.size(), 100u);
  EXPECT_EQ(state_->ReadList("blocked", "account:m99", {})->rows.at(0).person, "ada");
  EXPECT_CODE(kFailedPrecondition, state_->DecideListChange(waits->id, false, "bob").status());
  EXPECT_CODE(kNotFound, state_->DecideListChange(77, true, "bob").status());
  // Proposed on a revision that is past: refused, and may be rejected.
  for (auto& e : many.put) e.value += "x";
  many.remove = {"account:never"};
  auto late = state_->ChangeList(many, 2, {0, 100}, "ada");
  ASSERT_EQ(late->status, "proposed");
  ASSERT_TRUE(
      state_->ChangeList({"blocked", {{"account:z", "r", 0, "", 0}}, {}}, 2, {0, 100}, "bob").ok());
  EXPECT_CODE(kAborted, state_->DecideListChange(late->id, true, "bob").status());
  EXPECT_EQ(state_->DecideListChange(late->id, false, "ada")->status, "rejected");
  EXPECT_CODE(kInvalidArgument,
              state_->ChangeList({"blocked", {}, {}}, 3, {0, 100}, "bob").status());
  EXPECT_CODE(
      kInvalidArgument,
      state_
          ->ChangeList({"l", {{"account:q", "r", 0, "", 0}, {"account:q", "r", 0, "", 0}}, {}}, 0,
                       {0, 100}, "bob")
          .status());
  // One entry may touch many accounts.
  auto wide = state_->ChangeList({"wide", {{"address:10.0.0.0/8", "r", 0, "", 0}}, {}}, 0,
                                 {500, 100}, "ada");
  EXPECT_EQ(wide->status, "proposed");
  EXPECT_EQ(state_->ListProposals("proposed", {})->rows.at(0).touched, 500u);
  EXPECT_EQ(state_->Lists()->at(0).entries, 101u);
}

TEST_F(StateTest, AttestationsPermitsNotes) {
  ASSERT_TRUE(state_
                  ->PutAttestations({{"a", "citizenship", "US", 0, "passport", "", 0},
                                     {"a", "country", "DE", kNow + 5, "bill", "", 0}},
                                    "ada")
                  .ok());
  EXPECT_EQ(state_->GetAttestations("a")->size(), 2u);
  EXPECT_EQ(state_->GetEnforcement(true)->attestations.size(), 2u);
  EXPECT_TRUE(state_->GetEnforcement(false)->attestations.empty());
  for (const std::string& l : Logged("attestation."))
    EXPECT_EQ(l.find("\"US\""), std::string::npos);  // no fact about a person
  ASSERT_TRUE(state_->RemoveAttestation("a", "country", "ada").ok());
  EXPECT_CODE(kNotFound, state_->RemoveAttestation("a", "country", "ada"));
  EXPECT_CODE(kInvalidArgument, state_->PutAttestations({}, "ada"));
  EXPECT_CODE(kInvalidArgument, state_->PutAttestations({{"a", "kyc", "", 0, "s", "", 0}}, "ada"));

  ASSERT_TRUE(state_->AddPermitUsage({{"p1", 5}, {"p2", 7}}).ok());
  ASSERT_TRUE(state_->AddPermitUsage({{"p1", 6}}).ok());
  EXPECT_EQ(state_->PermitUsage()->at("p1"), 11u);

  EXPECT_EQ(state_->GetNote("k")->revision, 0);
  const std::string bytes("\0\xff\0x", 4);
  ASSERT_TRUE(state_->PutNote("k", bytes, 0).ok());
  EXPECT_CODE(kAborted, state_->PutNote("k", "other", 0));
  EXPECT_EQ(state_->GetNote("k")->value, bytes);
  const auto key = state_->AppealKey();
  Open();
  EXPECT_EQ(state_->AppealKey(), key);
  EXPECT_NE(key, (std::array<uint8_t, 16>{}));
}

TEST_F(StateTest, Campaigns) {
  PassResult pass = OnePass(12, 3);
  pass.notes["watch"] = std::string(1 << 20, 'w');
  auto id = state_->RecordPass(pass);
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(*id, 1);
  EXPECT_EQ(state_->GetNote("watch")->value.size(), size_t{1} << 20);
  State::CampaignQuery q;
  auto rows = state_->ListCampaigns(q, {0, 5});
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->total, 12u);
  EXPECT_EQ(rows->rows[0].id, "c11");
  EXPECT_EQ(state_->ListCampaigns(q, {10, 5})->rows.size(), 2u);
  q.verdict = "distillation";
  EXPECT_EQ(state_->ListCampaigns(q, {})->total, 6u);
  q.probability_min = .56;
  EXPECT_EQ(state_->ListCampaigns(q, {})->total, 3u);
  q = {};
  q.account_id = "acct-7-2";
  EXPECT_EQ(state_->ListCampaigns(q, {})->rows.at(0).id, "c7");
  q = {};
  q.text = "r_otter 1";  // the underscore is no wildcard
  EXPECT_EQ(state_->ListCampaigns(q, {})->total, 3u);
  q.text = "r%otter";
  EXPECT_EQ(state_->ListCampaigns(q, {})->total, 0u);
  q = {};
  q.sort = "name; DROP TABLE campaigns";
  EXPECT_CODE(kInvalidArgument, state_->ListCampaigns(q, {}).status());
  EXPECT_CODE(kInvalidArgument, state_->ListCampaigns({}, {0, 501}).status());
  EXPECT_EQ(state_->GetCampaign("c3")->json, "{\"id\":\"x\"}");
  EXPECT_CODE(kNotFound, state_->GetCampaign("x").status());
  EXPECT_EQ(state_->CampaignMembers("c3", {0, 2})->rows.size(), 2u);
  EXPECT_EQ(state_->CampaignMembers("c3", {0, 2})->total, 3u);
  EXPECT_CODE(kNotFound, state_->CampaignMembers("x", {}).status());
  EXPECT_EQ(state_->CampaignEvents("c3", {})->rows.at(0).pass, 1);
  PassResult next;
  next.pass = pass.pass;
  next.campaigns = {pass.campaigns[3]};
  next.campaigns[0].campaign.status = "merged";
  next.campaigns[0].campaign.merged_into = "c4";
  next.campaigns[0].members_given = false;
  ASSERT_TRUE(state_->RecordPass(next).ok());
  EXPECT_EQ(state_->ListCampaigns({}, {})->total, 11u);
  EXPECT_EQ(state_->CampaignMembers("c3", {})->total, 3u);
  EXPECT_EQ(state_->Passes({})->rows.at(0).id, 2);
  // Whole or not at all.
  next.campaigns.push_back(next.campaigns[0]);
  next.campaigns[1].campaign.id = "new";
  next.campaigns[1].members_given = true;
  next.campaigns[1].members = {{"same", "", "", "", 0, 0, 0}, {"same", "", "", "", 0, 0, 0}};
  EXPECT_FALSE(state_->RecordPass(next).ok());
  EXPECT_CODE(kNotFound, state_->GetCampaign("new").status());
  EXPECT_EQ(state_->Passes({})->total, 2u);
}

TEST_F(StateTest, TwoProcessesAtOnce) {
  auto other = State::Open(Options());
  ASSERT_TRUE(other.ok());
  auto p = state_->Propose("x", {500, 100}, "", "ada");
  ASSERT_TRUE(state_->Approve(p->version, 1, 500, "", "bob").ok());
  auto q = (*other)->Propose("y", {500, 100}, "", "ada");
  ASSERT_TRUE((*other)->Approve(q->version, 1, 500, "", "bob").ok());
  // Both believe that nothing is active; one of them is right.
  std::atomic<int> won{0}, told{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      State& s = i == 0 ? *state_ : **other;
      const auto r = s.Activate(i == 0 ? p->version : q->version, 0, {500, 100}, "", "cy");
      if (r.ok())
        ++won;
      else if (absl::IsAborted(r.status()))
        ++told;
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(won, 1);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(Logged("policy.activate").size(), 1u);
}

TEST_F(StateTest, RefusesWhatIsNotItsOwn) {
  state_.reset();
  const std::string db = dir_ + "/state/state.db";
  for (const char* f : {"/state/state.db", "/state/state.db-wal", "/state/state.db-shm"})
    fs::remove(dir_ + f);
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(db.c_str(), &raw), SQLITE_OK);
  sqlite3_exec(raw, "CREATE TABLE recipes (x)", nullptr, nullptr, nullptr);
  sqlite3_close(raw);
  EXPECT_CODE(kFailedPrecondition, State::Open(Options()).status());
  { std::ofstream(db, std::ios::binary) << std::string(4096, 'x'); }
  EXPECT_CODE(kFailedPrecondition, State::Open(Options()).status());
  fs::remove(db);
  EXPECT_TRUE(State::Open(Options()).ok());
  ASSERT_EQ(sqlite3_open(db.c_str(), &raw), SQLITE_OK);
  sqlite3_exec(raw, "PRAGMA user_version = 999", nullptr, nullptr, nullptr);
  sqlite3_close(raw);
  EXPECT_CODE(kFailedPrecondition, State::Open(Options()).status());
  fs::remove(dir_ + "/state/token.key");
  EXPECT_CODE(kFailedPrecondition, State::Open(Options()).status());
  { std::ofstream(dir_ + "/state/token.key") << "short"; }
  EXPECT_CODE(kFailedPrecondition, State::Open(Options()).status());
}

// A database as the first version left it, with all that its tables hold.
TEST_F(StateTest, AnOlderDatabaseIsMigratedAndKeepsWhatItHas) {
  ASSERT_TRUE(state_->RecordPass(OnePass(2, 3)).ok());
  Disposition d;
  d.campaign_id = "c0", d.value = "confirmed", d.reason = "evidence-checked", d.person = "ada";
  ASSERT_TRUE(state_->Dispose(d, 0).ok());
  const auto token = state_->CreateToken("ada", "", kAnalyst, 0, "root");
  ASSERT_TRUE(token.ok()) << token.status();
  const std::string db = dir_ + "/state/state.db", old = dir_ + "/old.db";
  const auto number = [&](const std::string& path, const char* sql) {
    auto opened = Db::Open(path);
    EXPECT_TRUE(opened.ok()) << opened.status();
    Query q(**opened, sql);
    return q.Row() ? q.Int(0) : -1;
  };
  const int64_t newest = number(db, "PRAGMA user_version");
  const int64_t application = number(db, "PRAGMA application_id");
  state_.reset();
  {
    auto first = Db::Open(old);
    ASSERT_TRUE(first.ok()) << first.status();
    ASSERT_TRUE((*first)->Script(std::string(kStateSchema[0].text)).ok());
    ASSERT_TRUE((*first)
                    ->Script(StrCat("PRAGMA user_version = 1; PRAGMA application_id = ",
                                    application, "; ATTACH '", db, "' AS now"))
                    .ok());
    std::map<std::string, std::string> columns;
    {
      Query q(
          **first,
          "SELECT m.name, group_concat(c.name) FROM sqlite_master m, pragma_table_info(m.name) c "
          "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' GROUP BY m.name");
      while (q.Row()) columns[q.Text(0)] = q.Text(1);
    }
    EXPECT_GT(columns.size(), 10u);
    for (const auto& [table, names] : columns) {
      const absl::Status s = (*first)->Script(
          StrCat("INSERT INTO ", table, " (", names, ") SELECT ", names, " FROM now.", table));
      ASSERT_TRUE(s.ok()) << s;
    }
  }
  for (const char* end : {"", "-wal", "-shm"}) {
    fs::remove(db + end);
    if (fs::exists(old + end)) fs::rename(old + end, db + end);
  }
  ASSERT_EQ(number(db, "PRAGMA user_version"), 1);

  Open();
  EXPECT_EQ(number(db, "PRAGMA user_version"), newest);
  EXPECT_GT(newest, 1);
  const auto now = state_->CurrentDispositions();
  ASSERT_TRUE(now.ok()) << now.status();
  ASSERT_EQ(now->size(), 1u);
  EXPECT_EQ((*now)[0].value, "confirmed");
  EXPECT_EQ((*now)[0].person, "ada");
  EXPECT_EQ((*now)[0].verdict, "") << "unknown of what was said before the second version";
  EXPECT_EQ((*now)[0].probability, -1);
  EXPECT_EQ(state_->GetCampaign("c0")->disposition, "confirmed");
  EXPECT_EQ(state_->GetCampaign("c1")->name, "amber_otter 1");
  const auto who = state_->tokens().Find(token->token, kNow);
  ASSERT_TRUE(who.has_value());
  EXPECT_EQ(who->person, "ada");
  // What came later works on it.
  d.value = "dismissed", d.look_alike = "class", d.reason = "customer-explained";
  const auto said = state_->Dispose(d, 1);
  ASSERT_TRUE(said.ok()) << said.status();
  EXPECT_EQ(said->verdict, "distillation");
  EXPECT_TRUE(state_->RecordPass(OnePass(2, 3)).ok());
  EXPECT_TRUE(state_->GradeSource("peer", 'B', "known", "ada").ok());
}

// kill -9 at any moment: what was acknowledged is there, and everything that is there is in the
// log.
TEST_F(StateTest, KeepsWhatItAcknowledgedWhenKilled) {
  state_.reset();
  broken_.reset();
  log_.reset();
  std::set<std::string> acknowledged;
  for (int round = 0; round < 10; ++round) {
    acknowledged.merge(audit::Killed(std::chrono::milliseconds(5 * round), [&](const auto& said) {
      auto log =
          audit::AuditLog::Open({dir_ + "/audit", [] { return kNow; }, "", audit::kSegmentBytes});
      if (!log.ok()) _exit(3);
      auto state = State::Open({dir_ + "/state", log->get(), [] { return kNow; }, 100});
      if (!state.ok()) _exit(4);
      for (int i = 0;; ++i) {
        const std::string ref = StrCat("r", round, "-", i);
        if (!(*state)->OpenAppeal(ref, "acct", "", "", "ada").ok()) _exit(5);
        said(ref);
      }
    }));
  }
  Open();
  ASSERT_GT(acknowledged.size(), 20u);
  std::set<std::string> there;
  for (size_t offset = 0;; offset += 500) {
    auto page = state_->ListAppeals("", "", {offset, 500});
    ASSERT_TRUE(page.ok());
    for (const Appeal& a : page->rows) there.insert(a.ref);
    if (page->rows.size() < 500) break;
  }
  for (const std::string& ref : acknowledged) EXPECT_TRUE(there.contains(ref)) << ref;
  EXPECT_LE(there.size(), acknowledged.size() + 10);
  auto page = audit::ReadAudit(dir_ + "/audit", {"appeal.open", "", "", ""}, 0, 1'000'000);
  std::string all;
  for (const std::string& l : page->lines) all += l;
  for (const std::string& ref : there)
    EXPECT_NE(all.find(StrCat("appeal ", ref, "\"")), std::string::npos) << ref;
  EXPECT_TRUE(audit::VerifyAudit(dir_ + "/audit")->ok());
}

TEST_F(StateTest, BoundsAreTold) {
  EXPECT_CODE(kInvalidArgument,
              state_->Propose(std::string(kPolicyBytes + 1, 'x'), {}, "", "ada").status());
  EXPECT_CODE(kInvalidArgument, state_->Propose("", {}, "", "ada").status());
  EXPECT_CODE(kInvalidArgument,
              state_->Propose("x", {}, std::string(kNoteBytes + 1, 'x'), "ada").status());
  EXPECT_CODE(kInvalidArgument, state_->Propose("x", {}, "", "").status());
  EXPECT_CODE(kInvalidArgument,
              state_->OpenAppeal(std::string("a\0b", 3), "acct", "", "", "ada").status());
  EXPECT_CODE(kInvalidArgument, state_->ListPolicies({0, 0}).status());
  EXPECT_CODE(kInvalidArgument,
              state_->PutAttestations(std::vector<Attestation>(kBatchRows + 1), "ada"));
}

}  // namespace
}  // namespace stillwatch::state
