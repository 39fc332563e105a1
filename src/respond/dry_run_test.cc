#include "respond/dry_run.h"

#include <gtest/gtest.h>

#include "base/str.h"
#include "respond/test_snapshot.h"

namespace stillwatch::respond {
namespace {

using base::StrCat;

// `n` accounts, each with `each` requests, in turns.
struct Day {
  size_t accounts, each;
  std::string id;
  size_t at = 0;
  Traffic traffic() {
    at = 0;
    return [this](TrafficRow* row) {
      if (at == accounts * each) return false;
      id = StrCat("acct-", at % accounts);
      row->request = From(id, at / accounts % 2 == 0 ? "atlas-4" : "atlas-5");
      row->ts_ms = kNow + static_cast<int64_t>(at) * 10;
      row->label = {};
      ++at;
      return true;
    };
  }
};

std::shared_ptr<const Snapshot> Accused(std::string_view policy, size_t n) {
  SnapshotBuilder b(MustParse(policy));
  model::Campaign c = Campaign("c1", {});
  for (size_t i = 0; i < n; ++i)
    c.members.push_back(Member(StrCat("acct-", i), "distillation", .99));
  b.AddCampaign(c);
  AccountFacts f;
  f.account_id = "acct-19";
  b.AddAccount(f);
  return MustBuild(&b);
}

TEST(DryRun, CountsByActionRuleLabelAndAccount) {
  const auto s = Accused(R"(
version: 1
rules:
  - {id: five, match: {verdict: distillation, model: atlas-5}, action: deny, enforce: true}
  - {id: slow, match: {verdict: distillation}, action: throttle, rate: 1/day, burst: 2}
)",
                         4);
  Day day{20, 10, ""};
  const DryRunReport r = DryRun(*s, day.traffic());
  EXPECT_EQ(r.policy_version, s->info().policy_version);
  EXPECT_EQ(r.requests, 200u);
  EXPECT_EQ(r.accounts, 20u);
  EXPECT_EQ(r.first_ms, kNow);
  EXPECT_EQ(r.last_ms, kNow + 1990);
  const auto deny = static_cast<size_t>(Action::kDeny),
             throttle = static_cast<size_t>(Action::kThrottle),
             allow = static_cast<size_t>(Action::kAllow);
  EXPECT_EQ(r.enforced.requests[deny], 20u);  // half of what the four sent
  EXPECT_EQ(r.enforced.accounts[deny], 4u);
  EXPECT_EQ(r.enforced.requests[allow], 180u);
  EXPECT_EQ(r.enforced.accounts[allow], 20u);
  EXPECT_EQ(r.enforced.accounts_touched, 4u);
  EXPECT_EQ(r.all.requests[throttle], 12u);  // five each of the others, two within the burst
  EXPECT_EQ(r.all.accounts_touched, 4u);
  EXPECT_EQ(r.all.requests_touched, 32u);
  EXPECT_EQ(r.rules.at("five").requests[deny], 20u);
  EXPECT_EQ(r.rules.at("slow").requests[allow], 8u);
  EXPECT_EQ(r.rules.at("slow").accounts[throttle], 4u);
  EXPECT_EQ(r.labels.at("distillation").requests_touched, 32u);
  EXPECT_EQ(r.labels.at("no finding").requests[allow], 10u);
  EXPECT_EQ(r.labels.at("no record").accounts[allow], 15u);
  EXPECT_EQ(r.accounts_locked, 4u);
  EXPECT_EQ(r.locked_examples, (std::vector<std::string>{"acct-0", "acct-1", "acct-2", "acct-3"}));
  EXPECT_FALSE(r.accounts_overflow);
}

TEST(DryRun, RefusesWhatLocksEveryoneOutWithTheCount) {
  constexpr std::string_view kAll =
      "version: 1\nrules:\n  - {id: all, match: {model: \"*\"}, action: deny, enforce: true}\n";
  const auto s = Accused(kAll, 1);
  Day day{1'500, 2, ""};
  const DryRunReport r = DryRun(*s, day.traffic());
  const absl::Status refused = CheckLockout(s->policy(), r);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  const std::string said(refused.message().data(), refused.message().size());
  EXPECT_NE(said.find("1,500 of the 1,500 accounts"), std::string::npos) << said;
  EXPECT_NE(said.find("100 %"), std::string::npos) << said;
  EXPECT_NE(said.find("lockout_share_max is 10 %"), std::string::npos) << said;

  // The same in shadow locks nobody out; one in ten may be.
  std::string shadow(kAll);
  shadow.replace(shadow.find(", enforce: true"), 15, "");
  const auto watched = Accused(shadow, 1);
  EXPECT_TRUE(CheckLockout(watched->policy(), DryRun(*watched, day.traffic())).ok());
  constexpr std::string_view kAccused =
      "version: 1\nrules:\n  - {id: r, match: {verdict: distillation}, action: verify, enforce: "
      "true}\n";
  Day twenty{20, 1, ""};
  const auto two = Accused(kAccused, 2), three = Accused(kAccused, 3);
  EXPECT_TRUE(CheckLockout(two->policy(), DryRun(*two, twenty.traffic())).ok());
  EXPECT_FALSE(CheckLockout(three->policy(), DryRun(*three, twenty.traffic())).ok());
  // Stated, it is meant.
  const auto stated = Accused(StrCat(kAccused, "lockout_share_max: 0.5\n"), 3);
  EXPECT_TRUE(CheckLockout(stated->policy(), DryRun(*stated, twenty.traffic())).ok());
}

TEST(DryRun, WithoutTrafficOnlyAShadowPasses) {
  Day none{0, 0, ""};
  for (const bool enforce : {false, true}) {
    const auto s = Accused(
        StrCat("version: 1\nrules:\n  - {id: r, match: {kyc: none}, action: deny, enforce: ",
               std::string_view(enforce ? "true" : "false"), "}\n"),
        1);
    EXPECT_EQ(CheckLockout(s->policy(), DryRun(*s, none.traffic())).ok(), !enforce);
  }
}

TEST(DryRun, ComparesTwoPolicies) {
  const auto before = Accused(
      "version: 1\nrules:\n  - {id: r, match: {verdict: distillation, model: atlas-5}, action: "
      "deny, enforce: true}\n",
      4);
  const auto after = Accused(R"(
version: 1
lists:
  - {name: friends, kind: allow, entries: [{account: acct-0}]}
  - {name: foes, kind: deny, action: verify, enforce: true, entries: [{account: acct-9}]}
rules:
  - {id: r, match: {verdict: distillation}, action: deny, enforce: true}
)",
                             4);
  Day day{20, 2, ""};
  const PolicyDiff d = Compare(*before, *after, day.traffic());
  const auto deny = static_cast<size_t>(Action::kDeny),
             verify = static_cast<size_t>(Action::kVerify),
             allow = static_cast<size_t>(Action::kAllow);
  EXPECT_EQ(d.enforced[deny][allow], 1u);  // acct-0
  EXPECT_EQ(d.enforced[deny][deny], 3u);   // the others' atlas-5
  EXPECT_EQ(d.enforced[allow][deny], 3u);  // and their atlas-4
  EXPECT_EQ(d.enforced[allow][verify], 2u);
  EXPECT_EQ(d.enforced[allow][allow], 31u);
  EXPECT_EQ(d.accounts_changed, 5u);
  EXPECT_EQ(d.accounts_newly_touched, 1u);
  EXPECT_EQ(d.newly_touched_examples, std::vector<std::string>{"acct-9"});
  EXPECT_EQ(d.accounts_released, 1u);
  EXPECT_EQ(d.before.enforced.accounts_touched, 4u);
  EXPECT_EQ(d.after.enforced.accounts_touched, 4u);
}

}  // namespace
}  // namespace stillwatch::respond
