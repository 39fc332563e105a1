// Items in their grammar, the blinding, and the gate.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "share/gate.h"
#include "share/indicator.h"

namespace stillwatch::share {
namespace {

Item It(ItemType t, std::string_view v) {
  auto item = Item::Parse(t, v);
  EXPECT_TRUE(item.has_value()) << ItemTypeName(t) << " " << v;
  return item ? *item : *Item::Parse(ItemType::kAccount, "1");
}

TEST(Item, TakesItsGrammarAndNothingElse) {
  const std::string ja4 = "t13d1516h2_8daaf6152771_b186095e22b6";
  struct Case {
    ItemType type;
    std::vector<std::string> good, bad;
  };
  const std::string prompt =
      "You are a careful tutor. Write out every step of your reasoning inside <trace> tags.";
  const Case cases[] = {
      {ItemType::kTemplateSketch,
       {"2:00000001", "2:00000001ffffffff"},
       {"2:", "1:00000001", "2:0000000", "2:0000000G", "2:0000000200000001", "2:0000000100000001",
        "2:" + std::string(8 * (kSketchHashes + 1), '0')}},
      {ItemType::kSettings,
       {"temperature=0.7", "temperature=1;top_p=0.95;max_tokens=4096;stream=1", "stream=0"},
       {"", "temperature=", "temperature=0.70", "top_p=1;temperature=1", "temperature=1;",
        "temperature=1;temperature=1", "tools=search", "stream=2", "max_tokens=0010",
        "temperature=100"}},
      {ItemType::kNetwork, {"64500", "4294967295"}, {"0", "AS64500", "4294967296", "-1", "01"}},
      {ItemType::kTlsFingerprint, {ja4}, {ja4 + "0", "x" + ja4.substr(1), ja4.substr(1)}},
      {ItemType::kClient,
       {"openai-python/1.40", "curl"},
       {"", "a b", "Mozilla/5.0 (X11)", "x/", "x/y", std::string(65, 'a')}},
      {ItemType::kSignature, {"0123456789abcdef"}, {"0123456789abcde", "0123456789ABCDEF"}},
      {ItemType::kAddress,
       {"198.51.100.3", "2001:db8::1"},
       {"198.51.100.03", "198.51.100.3/24", "2001:DB8::1", "2001:db8:0::1", "host"}},
      {ItemType::kPayment, {"pm_0123"}, {"", "a b", std::string(129, 'a')}},
      {ItemType::kMailDomain,
       {"example.org", "a-b.example.org"},
       {"example", "Example.org", ".example.org", "example.org.", "a..b", "-a.org", "a-.org",
        "somebody@example.org"}},
      {ItemType::kReferrer, {"https://example.org/x", "friend"}, {"", "Friend", "a b"}},
      {ItemType::kAccountId, {"acc 1"}, {"", "a\nb", "\xc3\xa4"}},
      {ItemType::kAccount, {"1", "25000"}, {"0", "01", "a"}},
      {ItemType::kCapability, {"agentic_reasoning"}, {"", "Agentic", "a b"}},
      {ItemType::kCampaignFigures, {}, {"", "1"}},
      {ItemType::kRhythm,
       {"1:20565:" + std::string(48, '7'), "1:0:" + std::string(60 * 48, 'e')},
       {"", "1:20565:", "1:20565:" + std::string(47, '7'), "2:20565:" + std::string(48, '7'),
        "1:020565:" + std::string(48, '7'), "1:20565:" + std::string(48, 'f'),
        "1:123456:" + std::string(48, '7'), "1:20565:" + std::string(61 * 48, '7')}},
      {ItemType::kAttribution,
       {"Example Lab", "\xc3\x84rger"},
       {"", " x", "a\nb", "\xff", "\xc0\x80", "\xed\xa0\x80", std::string(129, 'x')}},
  };
  std::set<ItemType> seen;
  for (const Case& c : cases) {
    seen.insert(c.type);
    for (const auto& v : c.good) {
      const auto item = Item::Parse(c.type, v);
      ASSERT_TRUE(item) << ItemTypeName(c.type) << " " << v;
      EXPECT_EQ(item->value(), v);
    }
    for (const auto& v : c.bad)
      EXPECT_FALSE(Item::Parse(c.type, v)) << ItemTypeName(c.type) << " " << v;
    // A prompt is in no grammar. What names a customer or an actor leaves blinded or not, never in
    // a field that could hold more than a name.
    if (c.type != ItemType::kAccountId && c.type != ItemType::kAttribution) {
      EXPECT_FALSE(Item::Parse(c.type, prompt)) << ItemTypeName(c.type);
    }
    EXPECT_FALSE(Item::Parse(c.type, prompt + prompt + prompt + prompt)) << ItemTypeName(c.type);
    EXPECT_EQ(ItemTypeNamed(ItemTypeName(c.type)), c.type);
  }
  EXPECT_EQ(seen.size(), size_t{kItemTypes});
}

TEST(Item, SketchesAreTheirHashesInAnyOrder) {
  const auto a = TemplateSketch({7, 3, 0xffffffff, 3});
  ASSERT_TRUE(a);
  EXPECT_EQ(a->value(), "2:0000000300000007ffffffff");
  EXPECT_EQ(a->Hashes(), (std::vector<uint32_t>{3, 7, 0xffffffff}));
  EXPECT_FALSE(TemplateSketch({}));
}

TEST(Item, ARhythmIsHowFarHalfHoursAreFromHabits) {
  // Ten days of office hours, evenly; on the third day nobody comes from 10 to 11 and all do
  // from 14.
  std::vector<uint32_t> present(10 * kHalfHours, 0);
  for (size_t i = 0; i < present.size(); ++i)
    present[i] = i % kHalfHours >= 16 && i % kHalfHours < 36 ? 9 : 0;
  for (const size_t half : {20, 21}) {
    present[2 * kHalfHours + half] = 0;
    present[2 * kHalfHours + half + 8] = 18;
  }
  const auto item = RhythmOf(20'000, present);
  ASSERT_TRUE(item);
  EXPECT_TRUE(item->value().starts_with("1:20000:"));
  int32_t first = 0;
  const std::vector<int8_t> digits = item->HalfHours(&first);
  EXPECT_EQ(first, 20'000 * 48);
  ASSERT_EQ(digits.size(), present.size());
  EXPECT_LE(digits[2 * kHalfHours + 20], -5);
  EXPECT_GE(digits[2 * kHalfHours + 28], 5);
  EXPECT_EQ(digits[4 * kHalfHours + 24], 0);  // as full as ever
  EXPECT_EQ(digits[4 * kHalfHours], 0);       // empty as ever
  EXPECT_FALSE(RhythmOf(20'000, std::vector<uint32_t>(47, 1)));
  EXPECT_FALSE(RhythmOf(20'000, std::vector<uint32_t>(48, 0)));
  EXPECT_FALSE(RhythmOf(20'000, std::vector<uint32_t>(61 * 48, 1)));
  EXPECT_TRUE(It(ItemType::kClient, "curl/8").HalfHours(&first).empty());
}

TEST(Blinding, IsKeyedTypedAndRepeatable) {
  const auto key = BlindingKey::FromHex(std::string(64, '0'));
  const auto other = BlindingKey::Random();
  ASSERT_TRUE(key);
  EXPECT_FALSE(BlindingKey::FromHex("00"));
  const Item ip = It(ItemType::kAddress, "198.51.100.3");
  const Item blind = ip.Blind(*key);
  EXPECT_TRUE(blind.blinded());
  EXPECT_EQ(blind, ip.Blind(*key));
  EXPECT_EQ(blind, blind.Blind(other));  // once
  EXPECT_NE(blind.value(), ip.Blind(other).value());
  EXPECT_NE(blind.value(), It(ItemType::kReferrer, "198.51.100.3").Blind(*key).value());
  EXPECT_EQ(blind.value().find("198"), std::string::npos);
  // HMAC-SHA-256 of "address\0198.51.100.3" under 32 zero bytes, by Python's hmac.
  EXPECT_EQ(blind.value().substr(17),
            "e60995c07d6c19ca211ec734fac348e64d0ed744f6153e750e162be9852b814d");
  EXPECT_EQ(BlindingKey::FromHex(other.ToHex())->id(), other.id());
  const auto again =
      Item::Blinded(ItemType::kAddress, blind.value().substr(0, 16), blind.value().substr(17));
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, blind);
}

CandidateCampaign Some() {
  CandidateCampaign c;
  c.facts.key = "00000000000000aa";
  c.facts.accounts = 25'132, c.facts.exchanges = 28'812'345;
  c.facts.first_seen_ms = 1'776'816'000'123, c.facts.last_seen_ms = 1'780'617'600'999;
  c.facts.probability = .9731;
  c.facts.capabilities = {{"agentic_reasoning", .75123}, {"other", .25}};
  c.facts.families = {"network", "rhythm"};
  c.items = {It(ItemType::kSettings, "temperature=0.7"),
             It(ItemType::kNetwork, "64500"),
             It(ItemType::kTlsFingerprint, "t13d1516h2_8daaf6152771_b186095e22b6"),
             It(ItemType::kClient, "openai-python/1.40"),
             It(ItemType::kSignature, "0123456789abcdef"),
             It(ItemType::kAddress, "198.51.100.3"),
             It(ItemType::kPayment, "pm_secret"),
             It(ItemType::kMailDomain, "mail.example"),
             It(ItemType::kReferrer, "friend"),
             It(ItemType::kAccountId, "acc_secret"),
             It(ItemType::kAccount, "1"),
             It(ItemType::kCapability, "grading"),
             It(ItemType::kRhythm, "1:20565:" + std::string(48, '7'))};
  c.templates = {{{1, 20, 200}, {2, 19, 5000}, {3, 5000, 199}, {4, 21, 201}}, {{9, 1, 1}}};
  c.attribution = {{"Example Lab", .6}};
  return c;
}

TEST(Gate, IsTheTableOfTheDocumentation) {
  std::ifstream page(STILLWATCH_SOURCE_DIR "/docs/SHARING.md");
  std::set<ItemType> seen;
  for (std::string line; std::getline(page, line);) {
    std::vector<std::string> cells;
    std::istringstream in(line);
    for (std::string cell; std::getline(in, cell, '|');) {
      const size_t first = cell.find_first_not_of(' '), last = cell.find_last_not_of(' ');
      cells.push_back(first == cell.npos ? "" : cell.substr(first, last - first + 1));
    }
    const auto type = cells.size() < 6 ? std::nullopt : ItemTypeNamed(cells[1]);
    if (!type) continue;
    EXPECT_TRUE(seen.insert(*type).second) << cells[1];
    for (int a = 0; a < kAudiences; ++a)
      EXPECT_EQ(cells[2 + static_cast<size_t>(a)],
                RuleName(RuleFor(*type, static_cast<Audience>(a))))
          << cells[1];
  }
  EXPECT_EQ(seen.size(), size_t{kItemTypes});
}

TEST(Gate, LetsThroughWhatTheTableSays) {
  const auto key = BlindingKey::Random();
  for (int a = 0; a < kAudiences; ++a) {
    const auto audience = static_cast<Audience>(a);
    const auto out = Gate({Some()}, audience, &key);
    ASSERT_TRUE(out.ok());
    ASSERT_EQ(out->campaigns().size(), 1u);
    std::set<ItemType> plain, blinded;
    for (const Item& i : out->campaigns()[0].items)
      (i.blinded() ? blinded : plain).insert(i.type());
    for (int t = 0; t < kItemTypes; ++t) {
      const auto type = static_cast<ItemType>(t);
      if (type == ItemType::kCampaignFigures || type == ItemType::kAttribution) continue;
      const Rule rule = RuleFor(type, audience);
      EXPECT_EQ(plain.count(type), rule == Rule::kPlain) << ItemTypeName(type) << " " << a;
      EXPECT_EQ(blinded.count(type), rule == Rule::kBlinded) << ItemTypeName(type) << " " << a;
    }
    EXPECT_EQ(out->campaigns()[0].attribution.size(), audience == Audience::kPublic ? 0u : 1u);
  }
  // What can be guessed never leaves as it is, whoever asks.
  for (const ItemType t : {ItemType::kAddress, ItemType::kPayment, ItemType::kMailDomain,
                           ItemType::kReferrer, ItemType::kAccountId}) {
    for (int a = 0; a < kAudiences; ++a)
      EXPECT_NE(RuleFor(t, static_cast<Audience>(a)), Rule::kPlain) << ItemTypeName(t);
  }
  for (int t = 0; t < kItemTypes; ++t) {
    EXPECT_NE(std::string(RuleReason(static_cast<ItemType>(t))), "");
    if (t != int(ItemType::kCapability) && t != int(ItemType::kCampaignFigures)) {
      EXPECT_EQ(RuleFor(static_cast<ItemType>(t), Audience::kPublic), Rule::kNever);
    }
  }
  EXPECT_EQ(RuleFor(static_cast<ItemType>(kItemTypes), Audience::kProvider), Rule::kNever);
}

TEST(Gate, OfASuspicionOnlyScaffoldRhythmAndFiguresLeave) {
  const auto key = BlindingKey::Random();
  CandidateCampaign c = Some();
  c.facts.suspected = true;
  for (const Audience audience : {Audience::kProvider, Audience::kCloud, Audience::kGovernment}) {
    const auto out = Gate({c}, audience, &key);
    ASSERT_TRUE(out.ok());
    const Release::Campaign& r = out->campaigns()[0];
    EXPECT_TRUE(r.facts.suspected);
    EXPECT_TRUE(r.attribution.empty());
    std::set<ItemType> left;
    for (const Item& i : r.items) left.insert(i.type());
    EXPECT_EQ(left, (std::set<ItemType>{ItemType::kTemplateSketch, ItemType::kRhythm,
                                        ItemType::kCapability}));
  }
  EXPECT_FALSE(Gate({c}, Audience::kPublic, &key).ok());
  c.templates = {{{1, 20, 199}}};  // nothing by which it could be known again
  const auto out = Gate({c}, Audience::kProvider, &key);
  ASSERT_TRUE(out.ok());
  EXPECT_TRUE(out->campaigns().empty());
  EXPECT_FALSE(out->kept().empty());
}

TEST(Gate, FiguresAreRoundedAndDaysWhole) {
  const auto out = Gate({Some()}, Audience::kPublic, nullptr);
  ASSERT_TRUE(out.ok());
  const CampaignFacts& f = out->campaigns()[0].facts;
  EXPECT_EQ(f.accounts, 25'000u);
  EXPECT_EQ(f.exchanges, 29'000'000u);
  EXPECT_EQ(f.first_seen_ms % 86'400'000, 0);
  EXPECT_EQ(f.last_seen_ms % 86'400'000, 0);
  EXPECT_EQ(f.capabilities[0].second, .75);
}

TEST(Gate, OnlyCommonShinglesLeave) {
  const auto out = Gate({Some()}, Audience::kProvider, nullptr);
  ASSERT_TRUE(out.ok());
  std::vector<std::string> sketches;
  for (const Item& i : out->campaigns()[0].items)
    if (i.type() == ItemType::kTemplateSketch) sketches.push_back(i.value());
  EXPECT_EQ(sketches, (std::vector<std::string>{"2:0000000100000004"}));
  uint64_t kept = 0;
  for (const Kept& k : out->kept())
    if (k.type == ItemType::kTemplateSketch) kept += k.count;
  EXPECT_EQ(kept, 3u);
}

TEST(Gate, WithoutAKeyWhatNeedsOneStaysAndSaysSo) {
  const auto out = Gate({Some()}, Audience::kProvider, nullptr);
  ASSERT_TRUE(out.ok());
  for (const Item& i : out->campaigns()[0].items) EXPECT_FALSE(i.blinded());
  bool said = false;
  for (const Kept& k : out->kept()) {
    EXPECT_GT(k.count, 0u);
    said |= k.type == ItemType::kAddress && k.why.find("--key") != std::string::npos;
  }
  EXPECT_TRUE(said);
}

TEST(Gate, SightingsLeaveAsFiguresOfMany) {
  const std::string id = "indicator--00000000-0000-5000-8000-00000000000";
  std::vector<Sighting> seen(3);
  for (size_t i = 0; i < seen.size(); ++i) {
    seen[i].of = id + static_cast<char>('0' + i);
    seen[i].accounts = 123, seen[i].exchanges = 45'678;
    seen[i].first_seen_ms = 1'780'000'000'001, seen[i].last_seen_ms = 1'780'100'000'001;
  }
  seen[1].accounts = kShingleAccountsMin - 1;
  seen[2].exchanges = kShingleExchangesMin - 1;
  for (const Audience a :
       {Audience::kProvider, Audience::kCloud, Audience::kGovernment, Audience::kPublic}) {
    const auto out = GateSightings(seen, a);
    ASSERT_TRUE(out.ok()) << out.status();
    ASSERT_EQ(out->sightings().size(), 1u);
    const Sighting& s = out->sightings()[0];
    EXPECT_EQ(s.of, id + "0");
    EXPECT_EQ(s.accounts, 120u);
    EXPECT_EQ(s.exchanges, 46'000u);
    EXPECT_EQ(s.first_seen_ms % 86'400'000, 0);
    EXPECT_EQ(s.last_seen_ms % 86'400'000, 0);
    ASSERT_EQ(out->kept().size(), 1u);
    EXPECT_EQ(out->kept()[0].count, 2u);
  }
  for (const char* bad : {"", "indicator", "indicator--1", "who did it--00000000-0000-5000-8000-00",
                          "indicator--00000000-0000-5000-8000-0000000000 1"}) {
    seen[0].of = bad;
    EXPECT_FALSE(GateSightings(seen, Audience::kCloud).ok()) << bad;
  }
}

TEST(Gate, RefusesWhatIsNoFact) {
  auto bad = [](auto change) {
    CandidateCampaign c = Some();
    change(&c);
    return Gate({c}, Audience::kProvider, nullptr).status();
  };
  EXPECT_FALSE(bad([](auto* c) { c->facts.key = "cmp_x"; }).ok());
  EXPECT_FALSE(bad([](auto* c) { c->facts.probability = 2; }).ok());
  EXPECT_FALSE(bad([](auto* c) { c->facts.capabilities = {{"Say it all", 1}}; }).ok());
  EXPECT_FALSE(bad([](auto* c) { c->facts.families = {"a b"}; }).ok());
  EXPECT_FALSE(bad([](auto* c) { c->attribution[0].name = "a\nb"; }).ok());
  // A sketch that was not counted has no way in.
  EXPECT_FALSE(bad([](auto* c) { c->items.push_back(*TemplateSketch({1})); }).ok());
  EXPECT_TRUE(bad([](auto*) {}).ok());
}

}  // namespace
}  // namespace stillwatch::share
