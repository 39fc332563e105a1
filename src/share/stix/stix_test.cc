// STIX bundles: ids, patterns, what is written is read again, what is wrong is refused with its
// place.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <cstdio>
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

std::string Sighted(std::vector<std::string> of, std::string_view previous = {},
                    int64_t now = kNow) {
  std::vector<Sighting> seen;
  for (std::string& id : of) {
    Sighting& s = seen.emplace_back();
    s.of = std::move(id), s.accounts = 123, s.exchanges = 45'678;
    s.first_seen_ms = kNow - 86'400'000, s.last_seen_ms = kNow;
  }
  const auto release = GateSightings(std::move(seen), Audience::kProvider);
  EXPECT_TRUE(release.ok()) << release.status();
  WriteOptions o;
  o.issuer = "Provider B";
  o.now_ms = now;
  o.previous = previous;
  const auto out = Write(*release, o);
  EXPECT_TRUE(out.ok()) << out.status();
  return out.ok() ? *out : std::string();
}

TEST(Bundles, SightingsOfAnothersIndicatorsGoBackAndAreTakenBack) {
  const auto theirs = Read(Bundled({Some()}, Audience::kProvider));
  ASSERT_TRUE(theirs.ok());
  ASSERT_GE(theirs->indicators.size(), 2u);
  // Their own bundle says that they saw their campaign.
  ASSERT_EQ(theirs->sightings.size(), 1u);
  EXPECT_TRUE(theirs->sightings[0].of.starts_with("campaign--"));
  const std::string one = theirs->indicators[0].id, two = theirs->indicators[1].id;
  const std::string first = Sighted({one, two});
  EXPECT_EQ(first, Sighted({two, one}));
  const auto read = Read(first);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->indicators.empty());
  ASSERT_EQ(read->sightings.size(), 2u);
  std::set<std::string> of;
  for (const Sighting& s : read->sightings) {
    of.insert(s.of);
    EXPECT_EQ(s.exchanges, 46'000u);
    EXPECT_EQ(s.origin, "Provider B");
    EXPECT_LT(s.first_seen_ms, s.last_seen_ms);
    EXPECT_FALSE(s.revoked);
  }
  EXPECT_EQ(of, (std::set<std::string>{one, two}));
  // No longer seen: under its id, revoked.
  const auto later = Read(Sighted({one}, first, kNow + 1));
  ASSERT_TRUE(later.ok()) << later.status();
  size_t revoked = 0;
  for (const Sighting& s : later->sightings) {
    revoked += s.revoked;
    EXPECT_EQ(s.revoked, s.of == two);
  }
  EXPECT_EQ(revoked, 1u);
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
  std::ofstream(StrCat(to, "/sightings.json"))
      << Sighted({"indicator--00000000-0000-5000-8000-000000000001"});
}

TEST(Bundles, ConfidenceIsOnTheBands) {
  const std::pair<double, int> bands[] = {{0, 5},    {.0999, 5}, {.1, 15}, {.2, 30},
                                          {.39, 30}, {.4, 50},   {.6, 70}, {.799, 70},
                                          {.8, 85},  {.899, 85}, {.9, 95}, {1, 95}};
  for (const auto& [p, band] : bands) EXPECT_EQ(ConfidenceBand(p), band) << p;
}

// --- the mutated corpus: whatever is invalid is refused, with a pointer to the fault ---

using simdjson::dom::element;

enum class Change { kReplace, kRemove, kTwice };

// `e` as JSON, with `what` done at `pointer`.
std::string Changed(const element& e, const std::string& here, const std::string& pointer,
                    Change what, const std::string& with) {
  if (here == pointer && what == Change::kReplace) return with;
  std::string out;
  simdjson::dom::object o;
  simdjson::dom::array a;
  if (e.get(o) == simdjson::SUCCESS) {
    for (const auto field : o) {
      const std::string at = StrCat(here, "/", field.key);
      if (at == pointer && what == Change::kRemove) continue;
      const std::string member =
          StrCat("\"", field.key, "\":", Changed(field.value, at, pointer, what, with));
      base::StrAppend(&out, out.empty() ? "" : ",", member);
      if (at == pointer && what == Change::kTwice) out += "," + member;
    }
    return "{" + out + "}";
  }
  if (e.get(a) == simdjson::SUCCESS) {
    size_t i = 0;
    for (const element item : a)
      base::StrAppend(&out, out.empty() ? "" : ",",
                      Changed(item, StrCat(here, "/", i++), pointer, what, with));
    return "[" + out + "]";
  }
  return simdjson::minify(e);
}

void Pointers(const element& e, const std::string& here,
              std::vector<std::pair<std::string, element>>* out) {
  simdjson::dom::object o;
  simdjson::dom::array a;
  if (!here.empty()) out->emplace_back(here, e);
  if (e.get(o) == simdjson::SUCCESS)
    for (const auto field : o) Pointers(field.value, StrCat(here, "/", field.key), out);
  size_t i = 0;
  if (e.get(a) == simdjson::SUCCESS)
    for (const element item : a) Pointers(item, StrCat(here, "/", i++), out);
}

// One object of each kind, with those that they refer to.
std::string Corpus() {
  const std::string whole = Bundled({Some(), Some("00000000000000bb")}, Audience::kCloud);
  const std::string both = Bundled({Some()}, Audience::kCloud, whole, kNow + 5000);
  const auto bundle = Read(both);
  std::set<std::string> kinds;
  std::string out = StrCat("{\"type\":\"bundle\",\"id\":\"", bundle->id, "\",\"objects\":[");
  bool first = true;
  for (const Object& o : bundle->objects) {
    const bool revoked = o.json.find("\"revoked\":true") != std::string::npos;
    std::string kind = revoked ? "revoked" : o.type;
    if (o.type == "indicator" && !revoked) kind += o.json.substr(o.json.find("\"pattern\""), 30);
    if (o.type == "identity") kind = o.id;
    if (!kinds.insert(kind).second) continue;
    base::StrAppend(&out, first ? "" : ",", o.json);
    first = false;
  }
  return out + "]}";
}

std::string FaultOf(const std::string& json) {
  const auto read = Read(json);
  return read.ok() ? ""
                   : std::string(read.status().message().data(), read.status().message().size());
}

TEST(MutatedCorpus, IsRefusedWithAPointer) {
  const std::string corpus = Corpus();
  ASSERT_EQ(FaultOf(corpus), "");
  simdjson::dom::parser parser;
  element root;
  ASSERT_EQ(parser.parse(corpus).get(root), simdjson::SUCCESS);
  std::vector<std::pair<std::string, element>> places;
  Pointers(root, "", &places);
  const std::set<std::string> required = {"type",
                                          "id",
                                          "created",
                                          "modified",
                                          "spec_version",
                                          "pattern",
                                          "pattern_type",
                                          "valid_from",
                                          "source_ref",
                                          "target_ref",
                                          "relationship_type",
                                          "sighting_of_ref",
                                          "object_refs",
                                          "first_observed",
                                          "last_observed",
                                          "number_observed",
                                          "published",
                                          "content",
                                          "opinion",
                                          "schema",
                                          "version",
                                          "extension_types",
                                          "created_by_ref",
                                          "number"};
  size_t tried = 0;
  const auto refused = [&](const std::string& pointer, Change what, const std::string& with) {
    ++tried;
    const std::string fault = FaultOf(Changed(root, "", pointer, what, with));
    ASSERT_NE(fault, "") << pointer << " " << int(what) << " " << with;
    // The fault is at the change, above it, or (of what follows from it) within the same object.
    const std::string object = pointer.substr(0, pointer.find('/', 9));
    const bool inside = fault.compare(0, object.size(), object) == 0;
    const bool outer = pointer.rfind("/objects", 0) != 0 || fault.rfind("/objects/", 0) == 0;
    ASSERT_TRUE(inside || outer) << pointer << ": " << fault;
    ASSERT_NE(fault.find(": "), std::string::npos) << fault;
  };
  for (const auto& [pointer, value] : places) {
    const std::string name = pointer.substr(pointer.rfind('/') + 1);
    refused(pointer, Change::kReplace, "null");
    refused(pointer, Change::kReplace, "[]");
    refused(pointer, Change::kReplace, "{\"a\":{}}");
    if (!value.is_number()) refused(pointer, Change::kReplace, "5");
    if (!value.is_string()) refused(pointer, Change::kReplace, "\"x\"");
    const bool index = name.find_first_not_of("0123456789") == std::string::npos;
    if (!index) refused(pointer, Change::kTwice, "");
    const bool top = std::count(pointer.begin(), pointer.end(), '/') == 3 && !index;
    if (!top) continue;
    const std::string object = pointer.substr(0, pointer.rfind('/'));
    bool observable = false;  // it may leave out its version, and software's own is another
    for (const auto& [p, v] : places) {
      std::string_view type;
      observable |= p == object + "/type" && v.get(type) == simdjson::SUCCESS &&
                    (type == "user-account" || type == "software" || type == "autonomous-system");
    }
    if (required.count(name) && !(observable && name.ends_with("version")))
      refused(pointer, Change::kRemove, "");
    std::string_view text;
    if (value.get(text)) continue;
    if (name == "id" || name.ends_with("_ref")) {
      refused(pointer, Change::kReplace, "\"campaign\"");
      refused(pointer, Change::kReplace, "\"campaign--5e57c739-391a-4eb3-b6be\"");
      refused(pointer, Change::kReplace, "\"" + std::string(text) + "0\"");
    }
    if (name == "created" || name == "modified" || name == "first_seen" || name == "last_seen" ||
        name == "valid_from" || name == "valid_until" || name == "published") {
      for (const char* bad :
           {"\"\"", "\"yesterday\"", "\"2026-02-30T00:00:00.000Z\"", "\"2026-01-01T00:00:00.000\"",
            "\"2026-01-01 00:00:00.000Z\"", "\"2026-01-01T00:00:00.000+01:00\""})
        refused(pointer, Change::kReplace, bad);
    }
    if (name == "spec_version") refused(pointer, Change::kReplace, "\"2.0\"");
  }
  EXPECT_GT(tried, 3000u);
  std::printf("%zu mutations of %zu places, all refused\n", tried, places.size());
}

TEST(MutatedCorpus, CutAnywhereIsNoBundle) {
  const std::string corpus = Corpus();
  for (size_t n = 0; n < corpus.size(); n += 37) {
    const std::string fault = FaultOf(corpus.substr(0, n));
    ASSERT_NE(fault.find("byte "), std::string::npos) << n << " " << fault;
  }
  for (const std::string& bad :
       {std::string("\xff"), std::string(40'000, '['), std::string("{\"a\":1}{"),
        std::string("{\"type\":\"\\ud800\"}"), std::string("nul"), std::string("{\"type\":01}"),
        std::string("\0", 1)})
    EXPECT_NE(FaultOf(bad), "") << bad.substr(0, 20);
}

TEST(MutatedCorpus, WhatContradictsItselfIsRefused) {
  const std::string t = "\"2026-01-01T00:00:00.000Z\"",
                    u = "--1e57c739-391a-4eb3-b6be-7d15ca92d5ed",
                    v = "--0e57c739-391a-4eb3-b6be-7d15ca92d5ed";
  const auto object = [&](const std::string& type, const std::string& rest,
                          const std::string& id = {}) {
    return StrCat("{\"type\":\"", type, "\",\"spec_version\":\"2.1\",\"id\":\"", type,
                  id.empty() ? u : id, "\",\"created\":", t, ",\"modified\":", t,
                  rest.empty() ? "" : ",", rest, "}");
  };
  const auto bundle = [&](const std::string& objects) {
    return StrCat("{\"type\":\"bundle\",\"id\":\"bundle", u, "\",\"objects\":[", objects, "]}");
  };
  ReadLimits loose;
  loose.whole = false;
  const auto fault = [&](const std::string& objects) {
    const auto read = Read(bundle(objects), loose);
    return read.ok() ? ""
                     : std::string(read.status().message().data(), read.status().message().size());
  };
  ASSERT_EQ(fault(object("campaign", "\"name\":\"x\"")), "");
  const std::string note = "\"content\":\"x\",\"object_refs\":[\"";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {object("campaign", "\"name\":\"x\",\"nmae\":\"y\""), "/objects/0/nmae: is no property"},
      {object("campaign", "\"name\":\"x\",\"Name\":\"y\""), "/objects/0/Name: names of"},
      {object("campaign", "\"name\":\"x\",\"confidence\":101"),
       "/objects/0/confidence: is not within"},
      {object("campaign",
              "\"name\":\"x\",\"first_seen\":\"2026-02-01T00:00:00Z\",\"last_seen\":\"2026-01-"
              "01T00:00:00Z\""),
       "/objects/0/last_seen: is before"},
      {object("note", note + "note" + u + "\"]"),
       "/objects/0/object_refs/0: refers to the object itself"},
      {object("note", note + "note" + v + "\"]") + "," +
           object("note", note + "note" + u + "\"]", v),
       "/objects/1/object_refs/0: closes a circle"},
      {object("relationship", "\"relationship_type\":\"uses\",\"source_ref\":\"campaign" + u +
                                  "\",\"target_ref\":\"campaign" + u + "\""),
       "/objects/0/target_ref: is the source_ref"},
      {object("relationship", "\"relationship_type\":\"uses\",\"source_ref\":\"relationship" + v +
                                  "\",\"target_ref\":\"campaign" + u + "\""),
       "/objects/0/source_ref: refers to what"},
      {object("relationship", "\"relationship_type\":\"Uses\",\"source_ref\":\"tool" + v +
                                  "\",\"target_ref\":\"campaign" + u + "\""),
       "/objects/0/relationship_type: "},
      {object("campaign", "\"name\":\"x\",\"object_marking_refs\":[\"campaign" + v + "\"]"),
       "/objects/0/object_marking_refs/0: refers to campaign"},
      {object("campaign",
              "\"name\":\"x\",\"object_marking_refs\":[\"marking-definition--613f2e26-407d-48c7-"
              "9eca-b8e91df99dc9\",\"marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1\"]"),
       "/objects/0/object_marking_refs/1: marks as TLP red what is marked as TLP clear"},
      {"{\"type\":\"marking-definition\",\"spec_version\":\"2.1\",\"id\":\"marking-definition--"
       "e828b379-4e03-4974-9ac4-e53a884c97c1\",\"created\":" +
           t +
           ",\"extensions\":{\"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d\":{"
           "\"extension_type\":\"property-extension\",\"tlp_2_0\":\"clear\"}}}",
       "/objects/0/id: TLP 2.0 clear has one id"},
      {"{\"type\":\"marking-definition\",\"spec_version\":\"2.1\",\"id\":\"marking-definition" + u +
           "\",\"created\":" + t + ",\"definition_type\":\"tlp\",\"definition\":{\"tlp\":\"red\"}}",
       ""},
      {"{\"type\":\"ipv4-addr\",\"id\":\"ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c5\","
       "\"value\":\"198.51.100.3\"}",
       "/objects/0/id: does not follow"},
      {"{\"type\":\"ipv4-addr\",\"id\":\"ipv4-addr" + u + "\",\"value\":\"198.51.100.300\"}",
       "/objects/0/value: "},
      {"{\"type\":\"ipv4-addr\",\"id\":\"ipv4-addr" + u + "\",\"value\":\"198.51.100.0/33\"}",
       "/objects/0/value: "},
      {object("malware", "\"is_family\":true"), "/objects/0/name: is missing"},
      {object("location", "\"latitude\":1"), "/objects/0/latitude: "},
      {object("location", ""), "/objects/0/region: "},
      {object("observed-data", "\"first_observed\":" + t + ",\"last_observed\":" + t +
                                   ",\"number_observed\":0,\"object_refs\":[\"url" + u + "\"]"),
       "/objects/0/number_observed: "},
      {object("observed-data", "\"first_observed\":" + t + ",\"last_observed\":" + t +
                                   ",\"number_observed\":1,\"object_refs\":[\"campaign" + u +
                                   "\"]"),
       "/objects/0/object_refs/0: refers to no observable"},
      {object("observed-data",
              "\"first_observed\":" + t + ",\"last_observed\":" + t + ",\"number_observed\":1"),
       "/objects/0/object_refs: needs"},
      {object("opinion", "\"opinion\":\"fine\",\"object_refs\":[\"tool" + u + "\"]"),
       "/objects/0/opinion: is none of"},
      {object("sandwich", "\"name\":\"x\""), "/objects/0/type: 'sandwich' is no type"},
      {object("bundle", ""), "/objects/0/type: "},
      {object("indicator", "\"pattern\":\"x\",\"pattern_type\":\"stix\",\"valid_from\":" + t),
       "/objects/0/pattern: byte"},
      {object("indicator",
              "\"pattern\":\"prompt = 'x'\",\"pattern_type\":\"stillwatch\",\"valid_from\":" + t),
       "/objects/0/pattern: is no pattern of"},
      {object("indicator",
              "\"pattern\":\"template-sketch = "
              "'2:00000001'\",\"pattern_type\":\"stillwatch\",\"valid_from\":" +
                  t + ",\"extensions\":{\"" + std::string(kExtension) +
                  "\":{\"extension_type\":\"property-extension\",\"template_sketch\":{\"version\":"
                  "2,\"hashes\":[\"00000002\"]}}}"),
       "/objects/0/pattern: is not the sketch"},
      {object("campaign",
              "\"name\":\"x\",\"extensions\":{\"" + std::string(kExtension) +
                  "\":{\"extension_type\":\"property-extension\",\"prompt\":\"secret\"}}"),
       "is no property of Stillwatch's extension"},
      {object("campaign", "\"name\":\"x\"") + "," + object("campaign", "\"name\":\"y\""),
       "/objects/1/id: is the same version"},
      {object("tool", "\"name\":\"x\",\"external_references\":[{\"source_name\":\"x\"}]"),
       "/objects/0/external_references/0: needs"},
      {"5", "/objects/0: is no object"},
      {"", "/objects: is an empty list"},
  };
  for (const auto& [objects, said] : cases) {
    const std::string got = fault(objects);
    EXPECT_NE(got, "") << objects;
    EXPECT_NE(got.find(said), std::string::npos) << got << " for " << objects;
  }
}

TEST(Limits, HoldAndSaySo) {
  const std::string corpus = Corpus();
  const auto fault = [&](auto change) {
    ReadLimits l;
    change(&l);
    const auto read = Read(corpus, l);
    return read.ok() ? ""
                     : std::string(read.status().message().data(), read.status().message().size());
  };
  EXPECT_EQ(fault([](auto*) {}), "");
  EXPECT_NE(fault([](auto* l) { l->bytes = 100; }).find("at most 100"), std::string::npos);
  EXPECT_NE(fault([](auto* l) { l->objects = 3; }).find("/objects/3: more than 3"),
            std::string::npos);
  EXPECT_NE(fault([](auto* l) { l->depth = 3; }).find("nested too deep"), std::string::npos);
  EXPECT_NE(fault([](auto* l) { l->object_bytes = 50; }).find("/objects/0: is "),
            std::string::npos);
}

}  // namespace
}  // namespace stillwatch::share::stix
