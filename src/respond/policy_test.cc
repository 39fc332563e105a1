#include "respond/policy.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/str.h"
#include "base/time.h"
#include "respond/decide.h"

namespace stillwatch::respond {
namespace {

using base::StrCat;

std::string Faults(std::string_view text) {
  const auto p = ParsePolicy(text, "p");
  if (p.ok()) return "fine";
  return std::string(p.status().message().data(), p.status().message().size());
}

// A policy with one rule, the lines of which stand from line 4 on.
std::string WithRule(std::string_view lines, std::string_view section = "rules") {
  return StrCat("version: 1\n", section, ":\n  -\n", lines);
}

bool Has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

#define EXPECT_FAULT(text, ...)                                                             \
  do {                                                                                      \
    const std::string said = Faults(text);                                                  \
    for (const std::string_view part : {__VA_ARGS__}) EXPECT_TRUE(Has(said, part)) << said; \
  } while (false)

TEST(Policy, ReadsEveryKey) {
  const auto p = ParsePolicy(R"(
version: 1
name: all
approval_above: 7
lockout_share_max: 0.25
lists:
  - {name: friends, kind: allow, entries: [{org: o1, until: "2026-07-01T00:00:00Z", note: why}]}
  - {name: foes, kind: deny, action: throttle, rate: 10/hour, burst: 3, enforce: true, entries: [{address: 10.0.0.0/8}, {key: k}]}
  - {name: annex, kind: entities, entries: [{account: a}]}
directives:
  - id: d
    basis: because
    models: [B-2, a-1]
    effective_from: 2026-06-12T00:00:00Z
    effective_until: 2026-07-12T00:00:00Z
    require: {citizenship: [us, CA], Country: US}
    proof: [document, business]
    listed: annex
    unknown: verify
    action: deny
    enforce: true
permits:
  - {id: p, org_id: o, models: [m], exchanges_max: 5, valid_from: 2026-01-01T00:00:00Z, valid_until: 2026-02-01T00:00:00Z}
rules:
  - id: r
    match: {verdict: distillation, probability_min: .9, probability_max: .99, capability: [grading, mathematics],
            campaign: [c1], kyc: [none, email], org_verified: false, known: true, plan: free, model: "At*", channel: [web, api]}
    action: throttle
    rate: 60/minute
    burst: 5
    per: campaign
    enforce: true
    until: 2026-09-01T00:00:00Z
    expires_after: 14d
recognition:
  - {id: q, match: {by: [sketch, replay], containment_min: .9, tier: high}, action: reduce, reduce_to: small, beyond_verify: true}
)",
                             "p");
  ASSERT_TRUE(p.ok()) << p.status();
  EXPECT_EQ(p->name, "all");
  EXPECT_EQ(p->approval_above, 7u);
  EXPECT_EQ(p->lockout_share_max, .25);
  ASSERT_EQ(p->lists.size(), 3u);
  EXPECT_EQ(p->lists[0].kind, ListKind::kAllow);
  EXPECT_EQ(p->lists[0].entries[0].until_ms, *base::ParseRfc3339("2026-07-01T00:00:00Z"));
  EXPECT_EQ(p->lists[0].entries[0].note, "why");
  EXPECT_EQ(p->lists[1].throttle.count, 10u);
  EXPECT_EQ(p->lists[1].throttle.period_ms, base::kMsPerHour);
  EXPECT_TRUE(p->lists[1].enforce);
  EXPECT_EQ(p->lists[1].entries.size(), 2u);
  const Directive& d = p->directives[0];
  EXPECT_EQ(d.models, (std::vector<std::string>{"a-1", "b-2"}));
  ASSERT_EQ(d.require.size(), 2u);
  EXPECT_EQ(d.require[0].key, "citizenship");
  EXPECT_EQ(d.require[0].values, (std::vector<std::string>{"ca", "us"}));
  EXPECT_EQ(d.require[1].key, "country");
  EXPECT_EQ(d.proof, 0b11000u);
  EXPECT_EQ(d.unknown, Unknown::kVerify);
  EXPECT_EQ(p->permits[0].exchanges_max, 5u);
  const Rule& r = p->rules[0];
  EXPECT_EQ(r.action, Action::kThrottle);
  EXPECT_EQ(r.throttle.burst, 5u);
  EXPECT_EQ(r.throttle.per, Per::kCampaign);
  EXPECT_EQ(r.expires_after_ms, 14 * base::kMsPerDay);
  EXPECT_EQ(r.match.models, std::vector<std::string>{"at*"});
  EXPECT_EQ(r.match.channels, (std::vector<std::string>{"api", "web"}));
  EXPECT_EQ(r.match.kycs, 0b11u);
  EXPECT_TRUE(p->recognition[0].beyond_verify);
  EXPECT_EQ(p->recognition[0].match.containment_min, .9);
  EXPECT_FALSE(p->recognition[0].enforce);  // shadow is the default

  const auto again = ParsePolicy(p->Canonical(), "canonical");
  ASSERT_TRUE(again.ok()) << again.status() << p->Canonical();
  EXPECT_EQ(again->Canonical(), p->Canonical());
}

TEST(Policy, FaultsNameLineKeyAndRemedy) {
  EXPECT_FAULT("version: 1\nruels: []\n", "p:2: unknown key \"ruels\"", "known here: version");
  EXPECT_FAULT("rules: []\n", "p:1: version: missing", "version: 1");
  EXPECT_FAULT("version: 2\n", "p:1: version:");
  EXPECT_FAULT("version: 1\nrules: []\nrules: []\n", "p:3: rules: appears twice");
  EXPECT_FAULT("version: 1\nrules: {}\n", "p:2: rules: expected a list");
  EXPECT_FAULT("[]", "p:1: expected keys");
  EXPECT_FAULT("version: [", "not valid YAML");
  EXPECT_FAULT(
      WithRule("    id: a\n    match: {verdict: guilty}\n    action: deny\n"),
      "p:5: rules[0].match.verdict: \"guilty\" is none of distillation, coordinated-other");
  EXPECT_FAULT(WithRule("    id: a\n    match: {}\n    action: deny\n"),
               "p:5: rules[0].match: empty; a rule for everybody");
  EXPECT_FAULT(WithRule("    id: a\n    action: deny\n"), "match is missing");
  EXPECT_FAULT(WithRule("    id: a\n    match: {kyc: none}\n"), "action is missing");
  EXPECT_FAULT(WithRule("    match: {kyc: none}\n    action: observe\n"), "id is missing");
  EXPECT_FAULT(WithRule("    id: a b\n    match: {kyc: none}\n    action: observe\n"),
               "p:4: rules[0].id: \"a b\"");
  EXPECT_FAULT(WithRule("    id: a\n    match: {kyc: []}\n    action: observe\n"),
               "match.kyc: empty");
  EXPECT_FAULT(WithRule("    id: a\n    match: {kyc: none}\n    action: throttle\n"),
               "needs a rate");
  for (const char* rate : {"60", "60/week", "0/minute", "-1/minute", "1.5/minute", "x/day"}) {
    EXPECT_FAULT(
        WithRule(StrCat("    id: a\n    match: {kyc: none}\n    action: throttle\n    rate: ",
                        std::string_view(rate), "\n")),
        "p:7: rules[0].rate: expected a rate as 60/minute");
  }
  EXPECT_FAULT(WithRule("    id: a\n    match: {kyc: none}\n    action: reduce\n"),
               "needs reduce_to");
  EXPECT_FAULT(
      WithRule("    id: a\n    match: {kyc: none}\n    action: deny\n    until: tomorrow\n"),
      "p:7: rules[0].until: not a time");
  EXPECT_FAULT(
      WithRule("    id: a\n    match: {tier: high}\n    action: deny\n    expires_after: 2w\n"),
      "expected a span as 14d");
  EXPECT_FAULT(WithRule("    id: a\n    match: {probability_min: 1.5}\n    action: deny\n"),
               "1.5 is out of range; 0 to 1");
  // All that is wrong is said, in order.
  const std::string two = Faults("version: 1\na: 1\nb: 2\n");
  EXPECT_TRUE(Has(two, "p:2: unknown key \"a\"") && Has(two, "p:3: unknown key \"b\"")) << two;
  std::string many = "version: 1\n";
  for (int i = 0; i < 100; ++i) many += StrCat("k", i, ": 1\n");
  EXPECT_FAULT(many, "p:21:", "more may be wrong");
  EXPECT_FALSE(Has(Faults(many), "p:22:"));
}

TEST(Policy, ContradictionsAreFaults) {
  const auto rule = [](std::string_view match, std::string_view rest) {
    return WithRule(StrCat("    id: a\n    match: {", match, "}\n", rest));
  };
  EXPECT_FAULT(rule("kyc: none", "    action: deny\n    rate: 1/minute\n"),
               "p:7: rules[0].rate: contradicts action deny");
  EXPECT_FAULT(rule("kyc: none", "    action: deny\n    reduce_to: x\n"),
               "contradicts action deny");
  EXPECT_FAULT(rule("tier: high, probability_min: .5", "    action: deny\n"),
               "contradicts probability_min");
  EXPECT_FAULT(rule("probability_min: .9, probability_max: .5", "    action: deny\n"),
               "nothing matches");
  EXPECT_FAULT(rule("known: false, plan: free", "    action: deny\n"), "known: false contradicts");
  EXPECT_FAULT(rule("known: false, verdict: distillation", "    action: deny\n"),
               "known: false contradicts");
  EXPECT_FAULT(rule("kyc: none", "    action: deny\n    expires_after: 3d\n"),
               "the rule asks for none");
  EXPECT_FAULT(rule("kyc: none", "    action: throttle\n    rate: 1/day\n    per: campaign\n"),
               "needs a condition on a finding");
  EXPECT_FAULT(rule("kyc: none", "    action: allow\n    enforce: false\n"),
               "contradicts action allow");
  EXPECT_FAULT(rule("kyc: none", "    action: throttle\n    rate: 5000/second\n"),
               "rules[0].rate: time is counted in milliseconds", "a burst of at least 5");
  // Only distillation accuses, and a victim is not punished.
  EXPECT_FAULT(rule("verdict: [distillation, unresolved]", "    action: deny\n"),
               "only verdict distillation accuses");
  EXPECT_FAULT(rule("verdict: victim", "    action: reduce\n    reduce_to: x\n"),
               "only verdict distillation accuses");
  EXPECT_FAULT(rule("verdict: victim", "    action: throttle\n    rate: 1/day\n"), "a victim");
  EXPECT_EQ(Faults(rule("verdict: victim", "    action: verify\n")), "fine");
  EXPECT_EQ(Faults(rule("verdict: unresolved", "    action: throttle\n    rate: 1/day\n")), "fine");

  EXPECT_FAULT(WithRule("    id: a\n    match: {by: template}\n    action: deny\n", "recognition"),
               "recognition[0].action: scaffolds get published", "beyond_verify: true");
  EXPECT_FAULT(
      WithRule(
          "    id: a\n    match: {by: template}\n    action: verify\n    beyond_verify: true\n",
          "recognition"),
      "contradicts action verify");
  EXPECT_FAULT(WithRule("    id: a\n    match: {kyc: none}\n    action: verify\n", "recognition"),
               "by is missing");
  EXPECT_FAULT(
      WithRule("    id: a\n    match: {by: replay, containment_min: .9}\n    action: verify\n",
               "recognition"),
      "contradicts by: replay");
  EXPECT_FAULT(
      WithRule("    id: a\n    match: {by: template, containment_min: .2}\n    action: verify\n",
               "recognition"),
      ".2 is out of range");

  EXPECT_FAULT("version: 1\nlists:\n  - {name: l, kind: allow, enforce: true}\n",
               "contradicts kind: allow");
  EXPECT_FAULT("version: 1\nlists:\n  - {name: l, kind: entities, action: deny}\n",
               "contradicts kind: entities");
  EXPECT_FAULT("version: 1\nlists:\n  - {name: l, kind: deny, action: allow}\n",
               "contradicts kind: deny");
  EXPECT_FAULT(
      "version: 1\nlists:\n  - name: l\n    kind: deny\n    entries:\n      - {account: a, key: "
      "b}\n",
      "p:6: lists[0].entries[0]: an entry names one of");
  EXPECT_FAULT("version: 1\nlists:\n  - {name: l, kind: deny, entries: [{address: 10.0.0.1/8}]}\n",
               "host bits zero");
  EXPECT_FAULT(
      "version: 1\nlists:\n  - {name: l, kind: deny, entries: [{key: a}, {key: a, note: b}]}\n",
      "appears twice");
  EXPECT_FAULT("version: 1\nlists:\n  - {name: l, kind: deny}\n  - {name: l, kind: allow}\n",
               "\"l\" is taken");

  const std::string d = "version: 1\ndirectives:\n  - id: d\n    models: [m]\n";
  EXPECT_FAULT(d + "    unknown: deny\n", "states nobody");
  EXPECT_FAULT(d + "    require: {country: [US]}\n", "unknown is missing: allow, verify or deny");
  EXPECT_FAULT(d + "    unknown: deny\n    require: {}\n", "p:6: directives[0].require");
  EXPECT_FAULT(d + "    unknown: deny\n    listed: x\n", "no list is called \"x\"");
  EXPECT_FAULT(d + "    unknown: deny\n    listed: x\nlists:\n  - {name: x, kind: deny}\n",
               "not of kind entities");
  EXPECT_FAULT(d + "    unknown: deny\n    proof: document\n    listed: x\n", "none is required");
  EXPECT_FAULT(d + "    unknown: deny\n    require: {country: [US]}\n    action: observe\n",
               "a directive denies or verifies");
  EXPECT_FAULT(d + "    unknown: deny\n    require: {country: [US]}\n    effective_from: "
                   "2026-06-02T00:00:00Z\n    effective_until: 2026-06-01T00:00:00Z\n",
               "p:8: directives[0].effective_until: not after");
  EXPECT_FAULT(
      "version: 1\ndirectives:\n  - id: d\n    unknown: deny\n    require: {country: [US]}\n",
      "models is missing");

  EXPECT_FAULT("version: 1\npermits:\n  - {id: p, org_id: o, account_ids: [a]}\n",
               "either org_id or account_ids");
  EXPECT_FAULT("version: 1\npermits:\n  - {id: p, org_id: o, exchanges_max: -1}\n",
               "expected a whole number");
}

TEST(Policy, WhatMeansTheSameHasOneVersion) {
  const auto a = ParsePolicy(
      "version: 1\nrules:\n  - {id: r, match: {verdict: distillation, tier: [high, elevated], "
      "model: [B, a]}, action: observe}\n",
      "a");
  const auto b = ParsePolicy(
      "# a comment\nrules:\n  - action: observe\n    enforce: false\n    match:\n      model: [a, "
      "b, A]\n      tier: [elevated, high]\n    id: r\nversion: 1\napproval_above: 100\n",
      "b");
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(a->Canonical(), b->Canonical());
  EXPECT_EQ(a->Version(), b->Version());
  EXPECT_EQ(a->Version().size(), 32u);
  Policy c = *a;
  c.rules[0].enforce = true;
  EXPECT_NE(c.Version(), a->Version());
  c = *a;
  c.rules[0].line = 99;
  EXPECT_EQ(c.Version(), a->Version());
}

// A file for `scan --permits` stands under `permits:` as it is.
TEST(Policy, PermitsHaveTheShapeOfTheSideFile) {
  const auto p = ParsePolicy(
      "version: 1\npermits:\n- id: permit-e32269\n  org_id: org_e32269ac32aa\n  models: []\n"
      "  exchanges_max: 5814\n  valid_from: 2025-10-12T00:00:00.000Z\n"
      "- id: p2\n  account_ids: [b, a]\n  models: [X]\n",
      "p");
  ASSERT_TRUE(p.ok()) << p.status();
  EXPECT_TRUE(p->permits[0].models.empty());
  EXPECT_EQ(p->permits[0].exchanges_max, 5814u);
  EXPECT_EQ(p->permits[1].account_ids, (std::vector<std::string>{"a", "b"}));
  EXPECT_FAULT("version: 1\npermits:\n  - {id: p, account_ids: []}\n",
               "either org_id or account_ids");
}

TEST(Policy, BoundsHold) {
  std::string rules = "version: 1\nrules:\n";
  for (size_t i = 0; i <= kRulesMax; ++i)
    rules += StrCat("  - {id: r", i, ", match: {kyc: none}, action: observe}\n");
  EXPECT_FAULT(rules, "129 entries; at most 128");
  EXPECT_FAULT(StrCat("version: 1\nname: ", std::string(300, 'x'), "\n"), "longer than 256 bytes");
  EXPECT_FAULT("version: 1\nname: \"a\\x07b\"\n", "control character");
  EXPECT_FAULT("version: 1\nname: \xff\xfe\n", "not UTF-8");
  // Nesting that a parser could drown in.
  EXPECT_NE(Faults("version: 1\nname: " + std::string(100'000, '[')), "fine");
  EXPECT_FAULT("version: 1\nname: &a [*a]\n", "name");
  // A tree that would take gigabytes.
  std::string wide = "version: 1\nname: [1";
  for (size_t i = 0; i < kPolicyMarksMax; ++i) wide += ",1";
  EXPECT_FAULT(wide + "]\n", "too many entries");
  EXPECT_FAULT(std::string(kPolicyBytesMax + 1, ' '), "a policy has at most");
}

TEST(Policy, AddressRanges) {
  const auto r = ParseAddressRange("198.51.100.0/24");
  ASSERT_TRUE(r);
  EXPECT_EQ(r->length, 120);
  EXPECT_EQ(r->bytes[11], 0xff);
  EXPECT_EQ(r->bytes[14], 100);
  EXPECT_EQ(ParseAddressRange("0.0.0.0/0")->length, 96);
  EXPECT_EQ(ParseAddressRange("2001:db8::/32")->length, 32);
  EXPECT_EQ(ParseAddressRange("::1")->length, 128);
  for (const char* bad : {"", "/8", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1",
                          "10.0.0.0/8x", "2001:db8::1/32", "::/129", "localhost", "1.2.3"}) {
    EXPECT_FALSE(ParseAddressRange(bad)) << bad;
  }
}

TEST(Policy, Glob) {
  EXPECT_TRUE(Glob("atlas-5", "atlas-5"));
  EXPECT_FALSE(Glob("atlas-5", "atlas-50"));
  EXPECT_TRUE(Glob("atlas-5*", "atlas-50"));
  EXPECT_TRUE(Glob("*5*mini", "atlas-5-x-mini"));
  EXPECT_FALSE(Glob("*5*mini", "atlas-5-x-minx"));
  EXPECT_TRUE(Glob("*", ""));
  EXPECT_FALSE(Glob("", "a"));
  EXPECT_TRUE(Glob("a*b*c", "aXbXbXc"));
}

TEST(Policy, AppealReferencesReadBack) {
  for (const uint64_t v : {uint64_t{1}, uint64_t{0x123456789abcdef0}, ~uint64_t{0}}) {
    const std::string text = AppealText(v);
    EXPECT_EQ(text.size(), 18u) << text;
    EXPECT_EQ(ParseAppeal(text), v);
    std::string typed = text;
    for (char& c : typed) c = c == '0' ? 'o' : c == '1' ? 'l' : static_cast<char>(std::tolower(c));
    EXPECT_EQ(ParseAppeal(typed), v) << typed;
  }
  EXPECT_EQ(AppealText(0), "");
  for (const char* bad : {"", "SW-", "SW-12345", "SW-ZZZZZ-ZZZZZ-ZZZ", "SW-00000-00000-0001",
                          "XX-00000-00000-001", "SW-0000U-00000-001"}) {
    EXPECT_EQ(ParseAppeal(bad), 0u) << bad;
  }
}

TEST(Policy, ExamplesAreRight) {
  size_t n = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(STILLWATCH_SOURCE_DIR "/examples/policy")) {
    if (file.path().extension() != ".yaml") continue;
    std::ifstream in(file.path());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto p = ParsePolicy(text, file.path().filename().string());
    ASSERT_TRUE(p.ok()) << p.status();
    const auto again = ParsePolicy(p->Canonical(), "canonical");
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->Version(), p->Version());
    ++n;
  }
  EXPECT_EQ(n, 4u);
}

// What docs/POLICY.md shows can be copied from it.
TEST(Policy, TheReferencesExamplesAreRight) {
  std::ifstream in(STILLWATCH_SOURCE_DIR "/docs/POLICY.md");
  std::string block, line;
  bool inside = false;
  size_t n = 0;
  while (std::getline(in, line)) {
    if (line == "```yaml") {
      inside = true;
      block = "version: 1\n";
    } else if (inside && line == "```") {
      inside = false;
      ++n;
      EXPECT_EQ(Faults(block), "fine") << block;
    } else if (inside) {
      block += line + "\n";
    }
  }
  EXPECT_GE(n, 5u);
}

}  // namespace
}  // namespace stillwatch::respond
