// STIX bundles: ids, patterns, what is written is read again, what is wrong is refused with its
// place.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "base/str.h"
#include "base/time.h"
#include "share/gate.h"
#include "share/stix/ids.h"
#include "share/stix/json_fault.h"
#include "share/stix/pattern.h"
#include "share/stix/read.h"
#include "share/stix/write.h"

namespace stillwatch::share::stix {
namespace {

using base::StrCat;

Item It(ItemType t, std::string_view v) {
  auto item = Item::Parse(t, v);
  EXPECT_TRUE(item.has_value()) << ItemTypeName(t) << " " << v;
  return item ? *item : *Item::Parse(ItemType::kAccount, "1");
}

CandidateCampaign Some(std::string key = "00000000000000aa") {
  CandidateCampaign c;
  c.facts.key = std::move(key);
  c.facts.accounts = 25'132, c.facts.exchanges = 28'812'345;
  c.facts.first_seen_ms = 1'776'816'000'123, c.facts.last_seen_ms = 1'780'617'600'999;
  c.facts.probability = .9731;
  c.facts.capabilities = {{"agentic_reasoning", .75}, {"other", .25}};
  c.facts.families = {"network", "rhythm", "purpose"};
  c.items = {It(ItemType::kSettings, "temperature=0.7;max_tokens=4096;stream=0"),
             It(ItemType::kNetwork, "64500"),
             It(ItemType::kTlsFingerprint, "t13d1516h2_8daaf6152771_b186095e22b6"),
             It(ItemType::kClient, "openai-python/1.40"),
             It(ItemType::kAddress, "198.51.100.3"),
             It(ItemType::kMailDomain, "mail.example"),
             It(ItemType::kAccountId, "it's \\ one"),
             It(ItemType::kAccount, "1"),
             It(ItemType::kAccount, "2")};
  c.templates = {{{1, 20, 200}, {4, 21, 201}}, {{7, 99, 9999}}};
  c.attribution = {{"Example <Lab> & Co", .6}};
  return c;
}

constexpr int64_t kNow = 1'795'000'000'000;

std::string Bundled(const std::vector<CandidateCampaign>& campaigns, Audience audience,
                    std::string_view previous = {}, int64_t now = kNow) {
  const auto key = BlindingKey::FromHex(std::string(64, '7'));
  const auto release = Gate(campaigns, audience, &*key);
  EXPECT_TRUE(release.ok());
  WriteOptions o;
  o.issuer = "Provider A";
  o.now_ms = now;
  o.opinion = "agree";
  o.previous = previous;
  const auto out = Write(*release, o);
  EXPECT_TRUE(out.ok()) << out.status();
  return out.ok() ? *out : "";
}

TEST(Ids, FollowFromContent) {
  // The published vector of an address's id.
  EXPECT_EQ(ObservableOf(It(ItemType::kAddress, "198.51.100.3"), "")->id,
            "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4");
  // By Python's uuid.uuid5.
  EXPECT_EQ(ObservableOf(It(ItemType::kNetwork, "64500"), "")->id,
            "autonomous-system--0a5f7072-df00-5729-9f0a-4eb18631a446");
  EXPECT_EQ(ObservableOf(It(ItemType::kClient, "openai-python/1.40"), "")->id,
            "software--8bafa49f-8ebc-55bc-8824-25c0512b51ab");
  EXPECT_EQ(ObservableOf(It(ItemType::kAccountId, "it's \\ \"one\""), "")->id,
            "user-account--33d2039d-e716-5031-a15f-a72a5fdbce45");
  EXPECT_FALSE(ObservableOf(*TemplateSketch({1}), ""));
  EXPECT_TRUE(IsUuid("28bb3599-77cd-5a82-a950-b5bc3caf07c4"));
  EXPECT_FALSE(IsUuid("28bb3599-77cd-6a82-a950-b5bc3caf07c4"));
  EXPECT_FALSE(IsUuid("28bb3599-77cd-5a82-c950-b5bc3caf07c4"));
}

TEST(Patterns, TakeTheLanguageAndNothingElse) {
  for (const char* good : {
           "[ipv4-addr:value = '198.51.100.3']",
           "[ipv4-addr:value ISSUBSET '198.51.100.0/24']",
           "[user-account:account_type='llm-api' AND user-account:user_id='it\\'s \\\\ x']",
           "[user-account:user_id = 'a'] REPEATS 5 TIMES WITHIN 300 SECONDS",
           "([a:b_c = 1] AND [d:e.f[0].g[*].'h-i' IN ('x', 2, 3.5, true)]) FOLLOWEDBY [x-y:z "
           "MATCHES "
           "'^a'] START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00.5Z'",
           "[file:hashes.'SHA-256' NOT = h'00ff' OR (file:size > -5 AND EXISTS file:name)]",
           "[artifact:payload_bin = b'QUJD']",
           "[a:b <> 1 OR a:b != 1 OR a:b <= 1 OR a:b >= 1 OR a:b LIKE 'x%']",
       })
    EXPECT_TRUE(ParsePattern(good).ok()) << good << ParsePattern(good).status();
  for (const char* bad : {
           "",
           "[",
           "]",
           "[]",
           "ipv4-addr:value = 'x'",
           "[ipv4-addr:value = 'x'",
           "[a:b = ]",
           "[a:b = 'x]",
           "[a:b = 'x\\y']",
           "[a = 'x']",
           "[a:b 'x']",
           "[a:b = x]",
           "[a:b = 'x'] AND",
           "[a:b = 'x']]",
           "[a:b = 'x'] REPEATS 0 TIMES",
           "[a:b = 'x'] WITHIN 5 MINUTES",
           "[a:b = t'2026-13-01T00:00:00Z']",
           "[a:b = h'0']",
           "[a:b = b'A']",
           "[a:b[x] = 1]",
           "[a:b = 01]",
           "[a:b MATCHES 5]",
           "[a:b AND a:c = 1]",
           "[a:b = 'x' AND]",
           "[(a:b = 1]",
           "[a:b = 1] START t'2026-01-02T00:00:00Z' STOP t'2026-01-01T00:00:00Z'",
           "[a:b # 1]",
           "[a:b = 'x'] [a:b = 'y']",
       })
    EXPECT_FALSE(ParsePattern(bad).ok()) << bad;
  const std::string deep(10'000, '(');
  EXPECT_FALSE(ParsePattern(deep + "[a:b = 1]").ok());
  EXPECT_FALSE(ParsePattern("[" + deep + "a:b = 1]").ok());
}

TEST(Patterns, GiveTheirItemBack) {
  const auto key = BlindingKey::Random();
  for (const Item& item : Some().items) {
    for (const Item& i : {item, item.Blind(key)}) {
      if (i.type() == ItemType::kAccount && !i.blinded()) continue;  // says nothing elsewhere
      const Written w = PatternOf(i, "00000000000000aa");
      if (w.pattern_type == "stix") {
        const auto pattern = ParsePattern(w.pattern);
        ASSERT_TRUE(pattern.ok()) << w.pattern;
        EXPECT_EQ(ItemOf(*pattern), i) << w.pattern;
      } else {
        EXPECT_EQ(ParseOwnPattern(w.pattern), i) << w.pattern;
      }
    }
  }
  // What says more or less than one item is none.
  for (const char* other :
       {"[ipv4-addr:value = '198.51.100.3' OR ipv4-addr:value = '198.51.100.4']",
        "[ipv4-addr:value ISSUBSET '198.51.100.0/24']", "[user-account:user_id = 'a']",
        "[ipv4-addr:value = '198.51.100.3'] REPEATS 5 TIMES",
        "[ipv4-addr:value NOT = '198.51.100.3']", "[ipv4-addr:value != '198.51.100.3']",
        "[ipv4-addr:value = '198.51.100.3' AND user-account:user_id = 'a']",
        "[ipv4-addr:value = '198.51.100.3'] AND [ipv4-addr:value = '198.51.100.4']"})
    EXPECT_FALSE(ItemOf(*ParsePattern(other))) << other;
  for (const char* bad :
       {"", "template-sketch", "template-sketch = '2:'", "template-sketch = 2:00000001",
        "template-sketch = '2:00000001' ", "prompt = 'x'", "address blinded '198.51.100.3'",
        "client = 'a'b'", "payment = 'a\\q'"})
    EXPECT_FALSE(ParseOwnPattern(bad)) << bad;
}

TEST(Bundles, WhatIsWrittenIsReadAgain) {
  for (int a = 0; a < kAudiences; ++a) {
    const auto audience = static_cast<Audience>(a);
    const std::string json = Bundled({Some(), Some("00000000000000bb")}, audience);
    EXPECT_TRUE(json == Bundled({Some("00000000000000bb"), Some()}, audience))
        << "not the same bytes";
    const auto bundle = Read(json);
    ASSERT_TRUE(bundle.ok()) << bundle.status();
    EXPECT_EQ(bundle->indicators_other, 0u);
    const auto key = BlindingKey::FromHex(std::string(64, '7'));
    const auto release = Gate({Some()}, audience, &*key);
    std::multiset<Item> want, got;
    for (const Item& i : release->campaigns()[0].items)
      if (i.type() != ItemType::kNetwork && i.type() != ItemType::kAccount &&
          i.type() != ItemType::kCapability)
        want.insert(i), want.insert(i);
    for (const Indicator& i : bundle->indicators) {
      got.insert(i.item);
      EXPECT_EQ(i.origin, "Provider A");
      EXPECT_EQ(i.tlp, "amber");
      EXPECT_TRUE(i.campaign.starts_with("campaign--"));
      EXPECT_LT(i.valid_from_ms, i.valid_until_ms);
      EXPECT_FALSE(i.revoked);
      EXPECT_EQ(i.modified_ms, kNow);
      EXPECT_GT(i.confidence, 0);
    }
    EXPECT_EQ(got, want);
    EXPECT_EQ(want.empty(), audience == Audience::kPublic);
    // Each object alone is what a collection holds.
    for (const Object& o : bundle->objects) EXPECT_TRUE(ReadObject(o.json).ok()) << o.json;
    // Nothing of what stays is in the bytes.
    for (const char* secret : {"198.51.100.3", "mail.example", "it's", "28812345", "25132"})
      EXPECT_EQ(json.find(secret), std::string::npos) << secret;
  }
}

std::set<std::string> Ids(std::string_view json, bool revoked) {
  std::set<std::string> ids;
  const auto bundle = Read(json);
  EXPECT_TRUE(bundle.ok()) << bundle.status();
  for (const Object& o : bundle->objects)
    if (!o.modified.empty() && (o.json.find("\"revoked\":true") != std::string::npos) == revoked)
      ids.insert(o.id);
  return ids;
}

TEST(Bundles, WhatNoLongerHoldsIsRevokedAndStaysSo) {
  const std::string first = Bundled({Some(), Some("00000000000000bb")}, Audience::kProvider);
  // Nothing changed: no new versions.
  EXPECT_TRUE(Bundled({Some(), Some("00000000000000bb")}, Audience::kProvider, first, kNow + 1) ==
              first);
  // One campaign and one trait are gone.
  CandidateCampaign less = Some();
  less.templates.pop_back();
  const std::string second = Bundled({less}, Audience::kProvider, first, kNow + 5000);
  const auto gone = Ids(second, true);
  std::set<std::string> types;
  for (const std::string& id : gone) types.insert(id.substr(0, id.find("--")));
  EXPECT_EQ(types, (std::set<std::string>{"campaign", "indicator", "infrastructure",
                                          "intrusion-set", "note", "observed-data", "opinion",
                                          "relationship", "report", "sighting"}));
  const auto before = Ids(first, false);
  for (const std::string& id : gone) EXPECT_TRUE(before.count(id)) << "an id that was not issued";
  const auto read = Read(second);
  size_t revoked = 0;
  for (const Indicator& i : read->indicators) {
    revoked += i.revoked;
    EXPECT_TRUE(!i.revoked || i.modified_ms == kNow + 5000);
  }
  EXPECT_EQ(revoked, 1u + Read(first)->indicators.size() / 2);
  // It comes back: under another id, and the revoked stay revoked.
  const std::string third =
      Bundled({Some(), Some("00000000000000bb")}, Audience::kProvider, second, kNow + 9000);
  for (const std::string& id : gone) EXPECT_TRUE(Ids(third, true).count(id)) << id;
  for (const std::string& id : Ids(third, false)) EXPECT_FALSE(gone.count(id)) << id;
  // All of it.
  WriteOptions o;
  o.issuer = "Provider A";
  o.now_ms = kNow + 1;
  o.previous = first;
  const auto none = Revoke(o);
  ASSERT_TRUE(none.ok()) << none.status();
  const auto all = Read(*none);
  ASSERT_TRUE(all.ok()) << all.status();
  for (const Indicator& i : all->indicators) EXPECT_TRUE(i.revoked);
  o.now_ms = kNow;
  EXPECT_FALSE(Revoke(o).ok()) << "a version that is not later";
  o.now_ms = kNow + 1;
  o.issuer = "Somebody else";
  EXPECT_FALSE(Revoke(o).ok()) << "not theirs to revoke";
  o.previous = {};
  EXPECT_FALSE(Revoke(o).ok());
}

// For the validators of others: STILLWATCH_STIX_TO names a folder.
TEST(Bundles, AreWrittenForOthersToCheck) {
  const char* to = std::getenv("STILLWATCH_STIX_TO");
  if (!to) GTEST_SKIP() << "STILLWATCH_STIX_TO is not set";
  for (int a = 0; a < kAudiences; ++a) {
    const auto audience = static_cast<Audience>(a);
    const std::string first = Bundled({Some(), Some("00000000000000bb")}, audience);
    std::ofstream(StrCat(to, "/", AudienceName(audience), ".json")) << first;
    std::ofstream(StrCat(to, "/", AudienceName(audience), "-revoked.json"))
        << Bundled({Some()}, audience, first, kNow + 5000);
  }
}

TEST(Bundles, ConfidenceIsOnTheBands) {
  const std::pair<double, int> bands[] = {{0, 5},    {.0999, 5}, {.1, 15}, {.2, 30},
                                          {.39, 30}, {.4, 50},   {.6, 70}, {.799, 70},
                                          {.8, 85},  {.899, 85}, {.9, 95}, {1, 95}};
  for (const auto& [p, band] : bands) EXPECT_EQ(ConfidenceBand(p), band) << p;
}

}  // namespace
}  // namespace stillwatch::share::stix
