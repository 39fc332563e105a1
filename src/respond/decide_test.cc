#include "respond/decide.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/hash.h"
#include "base/str.h"
#include "base/time.h"
#include "respond/test_snapshot.h"

namespace stillwatch::respond {
namespace {

using base::StrCat;

Decision Ask(const Snapshot& s, const Request& r, int64_t now = kNow,
             Counters* counters = nullptr) {
  return Decide(s, r, now, counters);
}

AccountFacts Facts(std::string_view id, std::string_view kyc = "email") {
  AccountFacts f;
  f.account_id = id;
  f.kyc = kyc;
  return f;
}

constexpr std::string_view kDenyAccused = R"(
version: 1
rules:
  - {id: deny-accused, match: {verdict: distillation, probability_min: 0.9}, action: deny, enforce: true}
)";

TEST(Decide, NothingKnownIsAllowed) {
  SnapshotBuilder b(MustParse("version: 1\n"));
  const auto s = MustBuild(&b);
  const Decision d = Ask(*s, From("anyone"));
  EXPECT_EQ(d.action, Action::kAllow);
  EXPECT_EQ(d.reason, Reason::kNothing);
  EXPECT_EQ(d.appeal, 0u);
  EXPECT_FALSE(d.shadow);
  EXPECT_EQ(Ask(*s, Request{}).action, Action::kAllow);
}

TEST(Decide, AnAccountsOwnVerdictDecides) {
  SnapshotBuilder b(MustParse(kDenyAccused));
  b.AddCampaign(Campaign(
      "c1", {Member("thief", "distillation", .99), Member("victim", "victim", .99),
             Member("relay-customer", "unresolved", .97), Member("doubtful", "distillation", .5)}));
  // A member may not be worse than the campaign that it is in.
  b.AddCampaign(
      Campaign("c2", {Member("tool-user", "distillation", .99)}, .99, model::Verdict::kSharedTool));
  const auto s = MustBuild(&b);
  const Decision d = Ask(*s, From("thief"));
  EXPECT_EQ(d.action, Action::kDeny);
  EXPECT_EQ(d.reason, Reason::kCampaign);
  EXPECT_EQ(d.campaign, "c1");
  EXPECT_EQ(d.rule, "deny-accused");
  EXPECT_NEAR(d.probability, .99, 1e-6);
  EXPECT_NE(d.appeal, 0u);
  for (const char* who : {"victim", "relay-customer", "doubtful", "tool-user", "stranger"}) {
    EXPECT_EQ(Ask(*s, From(who)).action, Action::kAllow) << who;
  }
  EXPECT_EQ(s->Findings("victim").size(), 1u);
  EXPECT_EQ(s->Findings("victim")[0].verdict, Own::kVictim);
  EXPECT_EQ(s->Findings("tool-user")[0].verdict, Own::kUnresolved);
  EXPECT_TRUE(s->Findings("stranger").empty());
}

TEST(Decide, ShadowIsTheDefaultAndChangesNothing) {
  SnapshotBuilder b(MustParse(R"(
version: 1
rules:
  - {id: watched, match: {verdict: distillation}, action: deny}
  - {id: enforced, match: {verdict: distillation}, action: observe, enforce: true}
)"));
  b.AddCampaign(Campaign("c1", {Member("a", "distillation", .99)}));
  const auto s = MustBuild(&b);
  const Decision d = Ask(*s, From("a"));
  EXPECT_EQ(d.action, Action::kObserve);
  EXPECT_EQ(d.rule, "enforced");
  EXPECT_EQ(d.shadowed.action, Action::kDeny);
  EXPECT_EQ(d.shadowed.rule, "watched");
  EXPECT_TRUE(d.shadow);
  EXPECT_NE(d.appeal, 0u);
}

TEST(Decide, ByKeyAndByOrganisation) {
  SnapshotBuilder b(MustParse(std::string(kDenyAccused) + R"(
lists:
  - {name: foes, kind: deny, enforce: true, entries: [{org: bad-org}, {key: leaked}]}
)"));
  b.AddCampaign(Campaign("c1", {Member("a", "distillation", .99)}));
  AccountFacts f = Facts("b");
  f.org_id = "bad-org";
  b.AddAccount(f);
  b.AddKey("key-a", "a");
  b.AddKey("key-b", "b");
  b.AddKey("shared", "a");
  b.AddKey("shared", "b");
  const auto s = MustBuild(&b);
  Request r;
  r.api_key_id = "key-a";
  EXPECT_EQ(Ask(*s, r).reason, Reason::kCampaign);
  r.api_key_id = "key-b";
  EXPECT_EQ(Ask(*s, r).rule, "foes");
  r.api_key_id = "shared";  // of two accounts: says nothing
  EXPECT_EQ(Ask(*s, r).action, Action::kAllow);
  EXPECT_EQ(s->info().keys_ambiguous, 1u);
  r.api_key_id = "leaked";
  EXPECT_EQ(Ask(*s, r).rule, "foes");
  Request o;
  o.org_id = "bad-org";
  EXPECT_EQ(Ask(*s, o).rule, "foes");
  // The account decides, not the key that is named beside it.
  r = From("b");
  r.api_key_id = "key-a";
  EXPECT_EQ(Ask(*s, r).reason, Reason::kDenyList);
}

TEST(Decide, PrecedenceOfSteps) {
  SnapshotBuilder b(MustParse(R"(
version: 1
directives:
  - {id: order, models: [banned], require: {citizenship: [US]}, unknown: allow, enforce: true}
permits:
  - {id: licence, account_ids: [a], models: [licensed], exchanges_max: 2}
lists:
  - {name: friends, kind: allow, entries: [{account: a, until: "2026-06-10T00:00:00Z"}]}
  - {name: foes, kind: deny, enforce: true, entries: [{account: a, until: "2026-06-20T00:00:00Z"}]}
rules:
  - {id: rule, match: {verdict: distillation}, action: reduce, reduce_to: small, enforce: true}
recognition:
  - {id: known, match: {by: template}, action: verify, enforce: true}
)"));
  model::Campaign c = Campaign("c1", {Member("a", "distillation", .99)});
  const auto scaffold = Hashes(1, 10);
  c.templates.push_back(Template(scaffold));
  b.AddCampaign(c);
  AccountFacts f = Facts("a");
  f.citizenship = "FR";
  b.AddAccount(f);
  const auto s = MustBuild(&b);
  Counters counters;
  const int64_t june5 = *base::ParseRfc3339("2026-06-05T00:00:00Z"), june15 = june5 + 10 * kDay,
                june25 = june5 + 20 * kDay;
  // A directive is above the permit and the allow list.
  EXPECT_EQ(Ask(*s, From("a", "banned"), june5, &counters).rule, "order");
  // The permit, while it lasts; then the allow list.
  EXPECT_EQ(Ask(*s, From("a", "licensed"), june5, &counters).rule, "licence");
  EXPECT_EQ(Ask(*s, From("a", "licensed"), june5, &counters).reason, Reason::kPermit);
  EXPECT_EQ(Ask(*s, From("a", "licensed"), june5, &counters).rule, "friends");
  EXPECT_EQ(counters.permits.Used(PermitKey("licence")), 2u);
  // The allow list's entry lapses, the deny list holds; that lapses, the rule holds.
  EXPECT_EQ(Ask(*s, From("a"), june5).rule, "friends");
  EXPECT_EQ(Ask(*s, From("a"), june15).rule, "foes");
  EXPECT_EQ(Ask(*s, From("a"), june15).expires_ms, *base::ParseRfc3339("2026-06-20T00:00:00Z"));
  const Decision d = Ask(*s, From("a"), june25);
  EXPECT_EQ(d.rule, "rule");
  EXPECT_EQ(d.action, Action::kReduce);
  EXPECT_EQ(d.reduce_to, "small");
  // Recognition is last: the rule about the account speaks first.
  const model::Sketch sketch = SketchOf(scaffold);
  Request r = From("a");
  r.sketch = &sketch;
  EXPECT_EQ(Ask(*s, r, june25).rule, "rule");
  r.account_id = "new";
  EXPECT_EQ(Ask(*s, r, june25).rule, "known");
}

TEST(Decide, WorkedExampleTheExportControlOrder) {
  const Policy policy = Example("export-control-2026-06.yaml");
  SnapshotBuilder b(policy);
  const auto account = [&](std::string_view id, std::string_view org, std::string_view kyc,
                           std::string_view citizenship) {
    AccountFacts f = Facts(id, kyc);
    f.org_id = org;
    f.citizenship = citizenship;
    b.AddAccount(f);
  };
  account("american", "", "document", "US");
  account("dual", "", "document", "FR, us");
  account("foreigner", "", "document", "FR");
  account("says-so", "", "email", "US");  // no document behind it
  account("silent", "", "document", "");
  account("employee", "org_provider_staff", "document", "IN");
  account("employee-us", "org_provider_staff", "document", "US");
  account("annex", "org_named_in_the_annex", "document", "US");
  const auto s = MustBuild(&b);
  const int64_t before = *base::ParseRfc3339("2026-06-11T23:59:59.999Z");
  const int64_t from = *base::ParseRfc3339("2026-06-12T00:00:00Z");
  const int64_t after = *base::ParseRfc3339("2026-12-12T00:00:00Z");
  const auto ask = [&](std::string_view who, std::string_view model, int64_t now) {
    return Ask(*s, From(who, model), now);
  };
  for (const char* model : {"atlas-5", "Atlas-5-Agent", "atlas-5-2026-05-01"}) {
    for (const char* who : {"foreigner", "employee"}) {
      const Decision d = ask(who, model, from);
      EXPECT_EQ(d.action, Action::kDeny) << who << model;
      EXPECT_EQ(d.reason, Reason::kDirective) << who << model;
      EXPECT_EQ(d.rule, "export-control-2026-06");
      EXPECT_EQ(d.expires_ms, after);
      // Before it takes effect and after it has ended.
      EXPECT_EQ(ask(who, model, before).action, Action::kAllow);
      EXPECT_EQ(ask(who, model, after).action, Action::kAllow);
    }
    for (const char* who : {"says-so", "silent", "never-seen"}) {
      const Decision d = ask(who, model, from);
      EXPECT_EQ(d.action, Action::kDeny) << who;
      EXPECT_EQ(d.reason, Reason::kDirectiveUnknown) << who;
    }
    for (const char* who : {"american", "dual", "employee-us"}) {
      EXPECT_EQ(ask(who, model, from).action, Action::kAllow) << who;
    }
  }
  // Other models are not meant.
  for (const char* who : {"foreigner", "employee", "silent", "never-seen"}) {
    EXPECT_EQ(ask(who, "atlas-4", from).action, Action::kAllow) << who;
    EXPECT_EQ(ask(who, "atlas-50", from).action, Action::kAllow) << who;
  }
  EXPECT_EQ(ask("employee", "atlas-4", from).reason, Reason::kAllowList);
  // The annex is refused every model, whatever its citizenship.
  EXPECT_EQ(ask("annex", "atlas-4", from).rule, "entity-list");
  EXPECT_EQ(ask("acct_front_company", "atlas-4", from).rule, "entity-list");
  // A claimed organisation cannot clear one that is recorded, and accuses where none is.
  Request r = From("american", "atlas-4");
  r.org_id = "org_named_in_the_annex";
  EXPECT_EQ(Ask(*s, r, from).rule, "entity-list");
  r = From("annex", "atlas-4");
  r.org_id = "org_provider_staff";
  EXPECT_EQ(Ask(*s, r, from).rule, "entity-list");
  // Without a model it is not known what is asked for: treated as stated.
  EXPECT_EQ(ask("foreigner", "", from).reason, Reason::kDirectiveUnknown);
  EXPECT_EQ(ask("american", "", from).action, Action::kAllow);
  EXPECT_EQ(ask("foreigner", std::string(300, 'x'), from).reason, Reason::kDirectiveUnknown);
}

TEST(Decide, TheOtherExamplesDoWhatTheySay) {
  const auto scaffold = Hashes(1, 12);
  const model::Sketch sketch = SketchOf(scaffold);
  const uint64_t signature[] = {77};
  const auto build = [&](std::string_view example) {
    SnapshotBuilder b(Example(example));
    model::Campaign c = Campaign(
        "c1", {Member("high", "distillation", .99), Member("elevated", "distillation", .85),
               Member("moderate", "distillation", .6), Member("owner", "victim", .9),
               Member("corp", "distillation", .99)});
    c.capabilities = {{model::Capability::kTraceExtraction, .9}};
    c.templates = {Template(scaffold)};
    b.AddCampaign(c);
    b.AddReplayed("c1", 77, "owner");
    AccountFacts f = Facts("corp", "business");
    f.org_verified = true;
    b.AddAccount(f);
    return MustBuild(&b);
  };
  Request fresh = From("fresh");
  fresh.sketch = &sketch;
  Request replay = From("fresh");
  replay.signatures_presented = signature;
  Counters counters;
  {
    const auto s = build("shadow.yaml");
    for (const auto& [who, action] :
         {std::pair{"high", Action::kDeny}, std::pair{"elevated", Action::kReduce},
          std::pair{"moderate", Action::kAllow}, std::pair{"owner", Action::kVerify}}) {
      const Decision d = Ask(*s, From(who));
      EXPECT_EQ(d.action, Action::kAllow) << who;
      EXPECT_EQ(d.shadowed.action, action) << who;
    }
    EXPECT_EQ(Ask(*s, fresh).shadowed.action, Action::kThrottle);
    EXPECT_EQ(Ask(*s, replay).shadowed.action, Action::kVerify);
    EXPECT_EQ(Ask(*s, replay).action, Action::kAllow);
  }
  {
    const auto s = build("enforce.yaml");
    EXPECT_EQ(Ask(*s, From("high")).action, Action::kDeny);
    EXPECT_EQ(Ask(*s, From("high"), kNow + 30 * kDay).action,
              Action::kThrottle);  // lapsed; the brake is left
    EXPECT_EQ(Ask(*s, From("elevated")).reduce_to, "summarised-reasoning");
    EXPECT_EQ(Ask(*s, From("moderate")).rule, "pool-brake");
    EXPECT_EQ(Ask(*s, From("corp")).rule, "business-first");
    EXPECT_EQ(Ask(*s, fresh).rule, "failover");
    EXPECT_EQ(Ask(*s, replay).rule, "trace-theft");
    Request r = From("anyone");
    r.client_ip = "2001:db8:77:1::9";
    EXPECT_EQ(Ask(*s, r).rule, "known-resellers");
    EXPECT_EQ(Decide(*s, r, kNow, &counters).reason, Reason::kWithinRate);
    r.org_id = "org_safety_lab";
    EXPECT_EQ(Ask(*s, r).rule, "red-team");
  }
  {
    const auto s = build("licensed-distillation.yaml");
    Request r = From("high", "atlas-4");
    EXPECT_EQ(Decide(*s, r, kNow, &counters).action, Action::kDeny);
    r.org_id = "org_753903a424f4b8";
    EXPECT_EQ(Decide(*s, r, kNow, &counters).rule, "licence-2026-031");
    EXPECT_EQ(counters.permits.Used(PermitKey("licence-2026-031")), 1u);
    r.model = "atlas-5";  // not what was licensed
    EXPECT_EQ(Decide(*s, r, kNow, &counters).action, Action::kDeny);
  }
}

TEST(Decide, UnknownIsTreatedAsStated) {
  for (const auto& [stated, action] :
       {std::pair{"allow", Action::kAllow}, std::pair{"verify", Action::kVerify},
        std::pair{"deny", Action::kDeny}}) {
    SnapshotBuilder b(
        MustParse(StrCat("version: 1\ndirectives:\n  - {id: d, models: \"*\", require: {country: "
                         "[US, CA], clearance: [a]}, unknown: ",
                         std::string_view(stated), ", action: verify, enforce: true}\n")));
    const std::pair<std::string_view, std::string_view> cleared[] = {{"Clearance", "A"}},
                                                        not_cleared[] = {{"clearance", "b"}};
    AccountFacts f = Facts("both");
    f.country = "ca";
    f.attestations = cleared;
    b.AddAccount(f);
    f.account_id = "half";
    f.attestations = {};
    b.AddAccount(f);
    f.account_id = "wrong";
    f.attestations = not_cleared;
    b.AddAccount(f);
    f.account_id = "abroad-half";  // one that is known not to hold outweighs one that is unknown
    f.country = "FR";
    f.attestations = {};
    b.AddAccount(f);
    const auto s = MustBuild(&b);
    EXPECT_EQ(Ask(*s, From("both")).action, Action::kAllow);
    EXPECT_EQ(Ask(*s, From("half")).action, action) << stated;
    EXPECT_EQ(Ask(*s, From("new")).action, action) << stated;
    EXPECT_EQ(Ask(*s, From("wrong")).reason, Reason::kDirective);
    EXPECT_EQ(Ask(*s, From("wrong")).action, Action::kVerify);
    EXPECT_EQ(Ask(*s, From("abroad-half")).reason, Reason::kDirective);
  }
}

TEST(Decide, ConditionsOnAccountAndRequest) {
  SnapshotBuilder b(MustParse(R"(
version: 1
rules:
  - {id: kyc, match: {kyc: [none, unknown], model: "atlas-5*", channel: api}, action: verify, enforce: true}
  - {id: plan, match: {plan: [free], model: [atlas-4]}, action: observe, enforce: true}
  - {id: org, match: {org_verified: true, channel: web}, action: observe, enforce: true}
  - {id: new, match: {known: false, model: mini}, action: observe, enforce: true, until: "2027-01-01T00:00:00Z"}
)"));
  AccountFacts f = Facts("none", "");
  f.channel = "api";
  b.AddAccount(f);
  f = Facts("free");
  f.plan = "free";
  b.AddAccount(f);
  f = Facts("corp");
  f.org_id = "o";
  f.org_verified = true;
  f.channel = "web";
  b.AddAccount(f);
  const auto s = MustBuild(&b);
  const auto rule = [&](std::string_view who, std::string_view model,
                        std::string_view channel = "") {
    Request r = From(who, model);
    r.channel = channel;
    return Ask(*s, r).rule;
  };
  EXPECT_EQ(rule("none", "ATLAS-5-big"), "kyc");  // no kyc stated is none; the account's channel
  EXPECT_EQ(rule("none", "atlas-5", "web"), "");
  EXPECT_EQ(rule("none", "atlas-4"), "");
  EXPECT_EQ(rule("free", "atlas-5"), "");
  EXPECT_EQ(rule("free", "atlas-4"), "plan");
  EXPECT_EQ(rule("corp", "x"), "org");
  EXPECT_EQ(rule("new", "atlas-5", "api"), "kyc");
  EXPECT_EQ(rule("new", "atlas-5"), "");  // its channel is not known
  EXPECT_EQ(rule("new", "mini"), "new");
  EXPECT_EQ(rule("free", "mini"), "");
  // A new account of a verified organisation is verified.
  Request r = From("new", "x");
  r.org_id = "o";
  r.channel = "web";
  EXPECT_EQ(Ask(*s, r).rule, "org");
  const Decision d = Ask(*s, From("new", "mini"));
  EXPECT_EQ(d.reason, Reason::kRule);
  EXPECT_EQ(Ask(*s, From("new", "mini"), d.expires_ms).rule, "");  // until has come
}

TEST(Decide, ConditionsOnFindings) {
  SnapshotBuilder b(MustParse(R"(
version: 1
rules:
  - {id: named, match: {campaign: [c2]}, action: observe, enforce: true}
  - {id: graders, match: {capability: grading, tier: high}, action: deny, enforce: true, expires_after: 2d}
  - {id: elevated, match: {tier: elevated}, action: reduce, reduce_to: t, enforce: true}
  - {id: rest, match: {verdict: [unresolved], probability_max: 0.5}, action: observe, enforce: true}
)"));
  model::Campaign c =
      Campaign("c1", {Member("a", "distillation", .95), Member("b", "distillation", .80),
                      Member("u", "unresolved", .4)});
  c.capabilities = {{model::Capability::kMathematics, .7},
                    {model::Capability::kGrading, .25},
                    {model::Capability::kOther, .05}};
  b.AddCampaign(c);
  c = Campaign("c2", {Member("a2", "distillation", .99), Member("two", "distillation", .81)});
  b.AddCampaign(c);
  c = Campaign("c3", {Member("x", "distillation", .99), Member("two", "distillation", .96)});
  c.capabilities = {{model::Capability::kGrading, .1}};
  b.AddCampaign(c);
  const auto s = MustBuild(&b);
  EXPECT_EQ(Ask(*s, From("a")).rule, "graders");  // .95 is high, though kept as a float
  EXPECT_EQ(Ask(*s, From("b")).rule, "elevated");
  EXPECT_EQ(Ask(*s, From("u")).rule, "rest");
  EXPECT_EQ(Ask(*s, From("a2")).rule, "named");
  EXPECT_EQ(Ask(*s, From("x")).rule, "");  // grades too little of the time
  // Of two campaigns the one that a rule is about, not the most probable.
  EXPECT_EQ(Ask(*s, From("two")).rule, "named");
  EXPECT_EQ(Ask(*s, From("two")).campaign, "c2");
  // An accusation lapses when its campaign has been silent.
  const Decision d = Ask(*s, From("a"));
  EXPECT_EQ(d.expires_ms, kNow + kDay);
  EXPECT_EQ(Ask(*s, From("a"), d.expires_ms - 1).rule, "graders");
  EXPECT_EQ(Ask(*s, From("a"), d.expires_ms).rule, "");
}

TEST(Decide, OverturnedRestoresAtOnce) {
  SnapshotBuilder b(MustParse(std::string(kDenyAccused) + R"(
directives:
  - {id: order, models: [banned], require: {citizenship: [US]}, unknown: deny, enforce: true}
lists:
  - {name: foes, kind: deny, enforce: true, entries: [{account: listed}]}
)"));
  b.AddCampaign(Campaign("c1", {Member("a", "distillation", .99)}));
  b.AddCampaign(
      Campaign("c2", {Member("a", "distillation", .95), Member("b", "distillation", .95)}));
  const auto s = MustBuild(&b);
  EXPECT_EQ(Ask(*s, From("a")).campaign, "c1");
  // One campaign struck: the other still counts.
  EXPECT_EQ(Ask(*s->With({{"a", "c1"}}), From("a")).campaign, "c2");
  const auto both = s->With({{"a", "c1"}, {"a", "c2"}});
  EXPECT_EQ(Ask(*both, From("a")).action, Action::kAllow);
  EXPECT_EQ(Ask(*both, From("b")).action, Action::kDeny);
  // All struck, deny list included, directives not.
  EXPECT_EQ(Ask(*s, From("listed")).action, Action::kDeny);
  const auto all = s->With({{"listed", ""}, {"a", "", kNow + 1}});
  EXPECT_EQ(Ask(*all, From("listed")).reason, Reason::kOverturned);
  EXPECT_EQ(Ask(*all, From("listed", "banned")).rule, "order");
  EXPECT_EQ(Ask(*all, From("a")).reason, Reason::kOverturned);
  EXPECT_EQ(Ask(*all, From("a"), kNow + 1).action, Action::kDeny);
  // Nothing of the first snapshot changed.
  EXPECT_EQ(Ask(*s, From("a")).action, Action::kDeny);
}

TEST(Decide, RecognisesAFreshPool) {
  SnapshotBuilder b(MustParse(R"(
version: 1
recognition:
  - {id: spared, match: {by: [template, sketch], org_verified: true}, action: allow}
  - {id: doubtful, match: {by: template, probability_max: 0.9}, action: observe, enforce: true}
  - {id: scaffold, match: {by: template, containment_min: 0.7}, action: verify, enforce: true}
  - {id: item, match: {by: sketch}, action: throttle, rate: 1/minute, enforce: true}
  - {id: replay, match: {by: replay}, action: deny, beyond_verify: true, enforce: true}
)"));
  const auto scaffold = Hashes(1, 20), weak = Hashes(2, 20), item = Hashes(3, 24),
             innocent = Hashes(4, 20), tool = Hashes(5, 20);
  model::Campaign c =
      Campaign("c1", {Member("old", "distillation", .99), Member("victim", "victim", .9)});
  c.templates = {Template(scaffold), Template({1, 2, 3})};
  b.AddCampaign(c);
  c = Campaign("c2", {}, .8);
  c.templates = {Template(weak)};
  b.AddCampaign(c);
  c = Campaign("c3", {}, .99, model::Verdict::kSharedTool);  // accuses nobody
  c.templates = {Template(innocent)};
  b.AddCampaign(c);
  c = Campaign("c4", {});
  c.templates = {Template(tool)};
  b.AddCampaign(c);
  b.AddPublicTemplate(std::span(tool).first(11));
  b.AddSketch("c1", item);
  b.AddReplayed("c1", 77, "owner");
  AccountFacts f = Facts("owner");
  f.org_id = "o";
  b.AddAccount(f);
  f.account_id = "colleague";
  f.org_verified = true;
  b.AddAccount(f);
  const auto s = MustBuild(&b);
  EXPECT_EQ(s->info().templates, 2u);
  EXPECT_EQ(s->info().patterns_short, 1u);
  EXPECT_EQ(s->info().patterns_public, 1u);
  Counters counters;
  const auto ask = [&](std::string_view who, std::vector<uint32_t> turn,
                       std::vector<uint32_t> system = {}) {
    const model::Sketch sketch = SketchOf(std::move(turn), std::move(system));
    Request r = From(who);
    r.sketch = &sketch;
    return Decide(*s, r, kNow, &counters);
  };
  const auto part = [](const std::vector<uint32_t>& all, size_t n, uint32_t other) {
    std::vector<uint32_t> out(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n));
    const auto more = Hashes(other, 10);
    out.insert(out.end(), more.begin(), more.end());
    std::sort(out.begin(), out.end());
    return out;
  };
  // Around another payload, in the turn, in the system prompt, or in both.
  Decision d = ask("new", part(scaffold, 20, 90));
  EXPECT_EQ(d.rule, "scaffold");
  EXPECT_EQ(d.reason, Reason::kTemplate);
  EXPECT_EQ(d.campaign, "c1");
  EXPECT_EQ(d.action, Action::kVerify);
  EXPECT_EQ(ask("new", {}, scaffold).rule, "scaffold");
  EXPECT_EQ(ask("new", part(scaffold, 8, 91), {scaffold.begin() + 8, scaffold.begin() + 15}).rule,
            "scaffold");
  EXPECT_EQ(ask("new", part(scaffold, 14, 90)).rule, "scaffold");
  EXPECT_EQ(ask("new", part(scaffold, 13, 90)).rule, "");  // .65 of it
  EXPECT_EQ(ask("new", weak).rule, "doubtful");
  for (const auto& other : {innocent, tool, Hashes(60, 28)}) EXPECT_EQ(ask("new", other).rule, "");
  // A victim's key in a thief's hand is met by what it sends, not by whose it is.
  EXPECT_EQ(ask("victim", {1, 2, 3}).rule, "");
  EXPECT_EQ(ask("victim", scaffold).rule, "scaffold");
  EXPECT_EQ(ask("colleague", scaffold).rule, "spared");
  // A request that was made before, but for a word; half of one is another.
  std::vector<uint32_t> near(item.begin(), item.end() - 2);
  near.push_back(0xffffff01);
  EXPECT_EQ(ask("x1", near).rule, "item");
  EXPECT_EQ(ask("x1", near).action, Action::kThrottle);  // the second within a minute
  EXPECT_EQ(ask("x2", {item.begin(), item.begin() + 12}).rule, "");
  // A signature that was issued to somebody else.
  const uint64_t signatures[] = {5, 77};
  Request r = From("new");
  r.signatures_presented = signatures;
  EXPECT_EQ(Ask(*s, r).rule, "replay");
  EXPECT_EQ(Ask(*s, r).reason, Reason::kReplay);
  r.account_id = "owner";
  EXPECT_EQ(Ask(*s, r).action, Action::kAllow);
  r.account_id = "colleague";  // of the same organisation
  EXPECT_EQ(Ask(*s, r).action, Action::kAllow);
  r.account_id = "new";
  r.signatures_presented = std::span(signatures).first(1);
  EXPECT_EQ(Ask(*s, r).action, Action::kAllow);
  // An overturned appeal holds against recognition too.
  const model::Sketch again = SketchOf(scaffold);
  r = From("new");
  r.sketch = &again;
  EXPECT_EQ(Ask(*s->With({{"new", "c1"}}), r).action, Action::kAllow);
}

TEST(Decide, WhatOrdinaryAccountsSendIsNotRecognised) {
  constexpr std::string_view kPolicy =
      "version: 1\nrecognition:\n  - {id: q, match: {by: [template, sketch]}, action: verify, "
      "enforce: true}\n";
  const auto harness = Hashes(1, 12), own = Hashes(2, 12), common = Hashes(3, 20),
             item = Hashes(4, 20);
  const auto build = [&](const std::function<void(SnapshotBuilder*)>& ordinary) {
    SnapshotBuilder b(MustParse(kPolicy));
    model::Campaign c = Campaign("c1", {Member("victim", "victim", .9)});
    c.accounts = 60;
    c.first_seen_ms = kNow - 5 * kDay;
    c.templates = {Template(harness), Template(own)};
    b.AddCampaign(c);
    b.AddSketch("c1", common);
    b.AddSketch("c1", item);
    ordinary(&b);
    return MustBuild(&b);
  };
  const auto rule = [](const Snapshot& s, const std::vector<uint32_t>& turn) {
    const model::Sketch sketch = SketchOf(turn);
    Request r = From("new");
    r.sketch = &sketch;
    return Ask(s, r).rule;
  };
  const auto users = [&](int n, const std::vector<uint32_t>& turn, int64_t ts,
                         std::string_view name) {
    return [=](SnapshotBuilder* b) {
      for (int i = 0; i < n; ++i) b->AddOrdinary(StrCat(name, i), ts, {}, turn);
    };
  };
  const auto none = build([](SnapshotBuilder*) {});
  for (const auto& h : {harness, own, common, item}) EXPECT_EQ(rule(*none, h), "q");
  // Seven users of a harness whose sessions a campaign of sixty accounts replays.
  const int64_t during = kNow - 2 * kDay;
  const auto s = build(users(7, harness, during, "user"));
  EXPECT_EQ(rule(*s, harness), "");
  EXPECT_EQ(rule(*s, own), "q");
  EXPECT_EQ(s->info().patterns_ordinary, 1u);
  // Six are a tenth and may be members that were missed; one account's many requests are one
  // account.
  EXPECT_EQ(rule(*build(users(6, harness, during, "user")), harness), "q");
  EXPECT_EQ(rule(*build([&](SnapshotBuilder* b) {
              for (int i = 0; i < 100; ++i) b->AddOrdinary("one", during + i, harness, {});
            }),
                 harness),
            "q");
  // After the campaign was last seen it may be the fresh pool; who is in the campaign is not
  // ordinary.
  EXPECT_EQ(rule(*build(users(50, harness, kNow, "user")), harness), "q");
  EXPECT_EQ(rule(*build([&](SnapshotBuilder* b) { b->AddOrdinary("victim", during, {}, common); }),
                 common),
            "q");
  // A request that one ordinary account made is anybody's.
  const auto t = build(users(1, common, during, "user"));
  EXPECT_EQ(rule(*t, common), "");
  EXPECT_EQ(rule(*t, item), "q");
}

TEST(Decide, ThrottlesByAccountAndByCampaign) {
  SnapshotBuilder b(MustParse(R"(
version: 1
rules:
  - {id: pool, match: {campaign: [c1]}, action: throttle, rate: 1/second, burst: 3, per: campaign, enforce: true}
  - {id: each, match: {campaign: [c2]}, action: throttle, rate: 60/minute, burst: 2, enforce: true}
)"));
  b.AddCampaign(
      Campaign("c1", {Member("a", "distillation", .99), Member("b", "distillation", .99)}));
  b.AddCampaign(
      Campaign("c2", {Member("x", "distillation", .99), Member("y", "distillation", .99)}));
  const auto s = MustBuild(&b);
  Counters counters;
  const auto ask = [&](const char* who, int64_t now) {
    return Decide(*s, From(who), now, &counters);
  };
  // Three at once for the whole pool.
  EXPECT_EQ(ask("a", kNow).reason, Reason::kWithinRate);
  EXPECT_EQ(ask("b", kNow).action, Action::kAllow);
  EXPECT_EQ(ask("a", kNow).action, Action::kAllow);
  const Decision d = ask("b", kNow);
  EXPECT_EQ(d.action, Action::kThrottle);
  EXPECT_EQ(d.retry_after_s, 1u);
  EXPECT_EQ(d.rule, "pool");
  EXPECT_EQ(ask("a", kNow + 999).action, Action::kThrottle);
  EXPECT_EQ(ask("a", kNow + 1000).action, Action::kAllow);
  EXPECT_EQ(ask("b", kNow + 1000).action, Action::kThrottle);
  // Two at once for each account.
  for (const char* who : {"x", "y"}) {
    EXPECT_EQ(ask(who, kNow).action, Action::kAllow);
    EXPECT_EQ(ask(who, kNow).action, Action::kAllow);
    EXPECT_EQ(ask(who, kNow).action, Action::kThrottle);
  }
  // Asked without counters, it says what the account is under.
  EXPECT_EQ(Decide(*s, From("x"), kNow, nullptr).action, Action::kThrottle);
}

TEST(Decide, AddressRanges) {
  SnapshotBuilder b(MustParse(R"(
version: 1
lists:
  - name: networks
    kind: deny
    action: verify
    enforce: true
    entries: [{address: 198.51.100.0/24, until: "2026-01-01T00:00:00Z"}, {address: 198.51.0.0/16}, {address: "2001:db8::/32"}]
  - {name: office, kind: allow, entries: [{address: 198.51.7.9}]}
)"));
  ListEntry added = *ParseListEntry("address:203.0.113.0/25");
  b.AddListEntry("networks", added);
  b.AddListEntry("no-such-list", added);
  const auto s = MustBuild(&b);
  EXPECT_EQ(s->info().entries_unused, 1u);
  const auto ask = [&](std::string_view ip) {
    Request r = From("a");
    r.client_ip = ip;
    return Ask(*s, r).rule;
  };
  EXPECT_EQ(ask("198.51.100.7"), "networks");  // its own range has lapsed, the wider one has not
  EXPECT_EQ(ask("198.51.7.9"), "office");
  EXPECT_EQ(ask("198.52.0.1"), "");
  EXPECT_EQ(ask("::ffff:198.51.7.8"), "networks");
  EXPECT_EQ(ask("2001:db8:1::1"), "networks");
  EXPECT_EQ(ask("2001:db9::1"), "");
  EXPECT_EQ(ask("203.0.113.127"), "networks");
  EXPECT_EQ(ask("203.0.113.128"), "");
  for (const char* odd : {"", "x", "198.51.7", "198.51.7.9, 1.2.3.4"})
    EXPECT_EQ(ask(odd), "") << odd;
}

TEST(Decide, AppealReferencesAreKeyedAndStable) {
  const auto build = [](std::array<uint8_t, 16> key) {
    SnapshotBuilder b(MustParse(kDenyAccused));
    b.AddCampaign(
        Campaign("c1", {Member("a", "distillation", .99), Member("b", "distillation", .99)}));
    return *b.Build(kNow, key);
  };
  const auto s = build(kTestKey);
  const uint64_t a = Ask(*s, From("a")).appeal;
  EXPECT_EQ(Ask(*s, From("a"), kNow + 5 * kDay).appeal, a);
  EXPECT_EQ(Ask(*build(kTestKey), From("a")).appeal, a);
  EXPECT_NE(Ask(*s, From("b")).appeal, a);
  EXPECT_NE(Ask(*build({9}), From("a")).appeal, a);
}

}  // namespace
}  // namespace stillwatch::respond
