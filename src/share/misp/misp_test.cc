// Events and feeds: bytes that are kept, and the templates of MISP's objects.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "share/misp/write.h"

namespace stillwatch::share::misp {
namespace {

using simdjson::dom::element;

constexpr int64_t kNow = 1'780'300'000'000;

Release Released(Audience audience, bool with_key = true) {
  CandidateCampaign c;
  c.facts.key = "00112233aabbccdd";
  c.facts.accounts = 4711, c.facts.exchanges = 98'765, c.facts.probability = .93;
  c.facts.first_seen_ms = 1'780'000'000'000, c.facts.last_seen_ms = 1'780'200'000'000;
  c.facts.capabilities = {{"agentic_reasoning", .7}, {"coding", .3}};
  c.facts.families = {"template", "network"};
  for (const auto& [type, value] :
       {std::pair<ItemType, const char*>{ItemType::kSettings, "temperature=0.7;stream=0"},
        {ItemType::kNetwork, "64500"},
        {ItemType::kTlsFingerprint, "t13d1516h2_8daaf6152771_b186095e22b6"},
        {ItemType::kClient, "openai-python/1.40"},
        {ItemType::kSignature, "0123456789abcdef"},
        {ItemType::kAddress, "198.51.100.3"},
        {ItemType::kPayment, "pm_0123"},
        {ItemType::kMailDomain, "example.org"},
        {ItemType::kReferrer, "friend"},
        {ItemType::kAccountId, "acc 1"},
        {ItemType::kAccount, "1"},
        {ItemType::kAccount, "2"},
        {ItemType::kCapability, "agentic_reasoning"}})
    c.items.push_back(*Item::Parse(type, value));
  c.templates = {{{0x10, 25, 250}, {0x20, 25, 250}, {0x30, 3, 250}}};
  c.attribution = {{"Example Lab", .7}};
  const auto key = BlindingKey::FromHex(std::string(64, '7'));
  auto release = Gate({c}, audience, with_key ? &*key : nullptr);
  EXPECT_TRUE(release.ok()) << release.status();
  return *std::move(release);
}

// The kept bytes; STILLWATCH_GOLDEN=write keeps new ones.
void Golden(const std::string& name, const std::string& bytes) {
  const std::string path = STILLWATCH_SOURCE_DIR "/tests/golden/misp/" + name;
  const char* write = std::getenv("STILLWATCH_GOLDEN");
  if (write != nullptr && std::string_view(write) == "write") {
    std::ofstream(path, std::ios::binary) << bytes;
    return;
  }
  std::ifstream in(path, std::ios::binary);
  const std::string want((std::istreambuf_iterator<char>(in)), {});
  EXPECT_EQ(bytes, want) << path << ": differs; STILLWATCH_GOLDEN=write keeps what there is now";
}

std::string Text(element e, const char* key) {
  std::string_view v;
  return e[key].get(v) == simdjson::SUCCESS ? std::string(v) : "";
}

TEST(Misp, AnEventIsTheseBytes) {
  for (const Audience a : {Audience::kProvider, Audience::kCloud, Audience::kPublic}) {
    const auto event = WriteEvent(Released(a), {"Provider A", kNow, ""});
    ASSERT_TRUE(event.ok()) << event.status();
    Golden(std::string("event-") + AudienceName(a) + ".json", *event);
    EXPECT_EQ(*WriteEvent(Released(a), {"Provider A", kNow, ""}), *event);
  }
}

// What MISP's object templates have of the relations that are written, and what each must have.
struct Template {
  const char *uuid, *version, *category;
  std::map<std::string, std::string> relations;  // to the attribute's type
  std::set<std::string> one_of;                  // "requiredOneOf"
};
const std::map<std::string, Template> kTemplates = {
    {"user-account",
     {"49606b06-22f0-4ac8-8eee-2f12ad46f3d3",
      "6",
      "misc",
      {{"user-id", "text"}, {"account-type", "text"}},
      {"user-id"}}},
    {"ai-chat-prompt",
     {"a78f4156-0bb7-405c-aa25-ba16a73f68e4",
      "2",
      "misc",
      {{"prompt", "text"}, {"comment", "text"}, {"role", "text"}},
      {"prompt"}}},
    {"ja4-plus",
     {"2c15c75e-e7db-4b62-8d17-633e7571818f",
      "2",
      "network",
      {{"ja4-fingerprint", "text"}, {"ja4-type", "text"}},
      {"ja4-fingerprint"}}},
    {"asn", {"4ec55cc6-9e49-4c64-b794-03c25c1a6587", "6", "network", {{"asn", "AS"}}, {"asn"}}},
    {"report",
     {"70a68471-df22-4e3f-aa1a-5a3be19f82df",
      "8",
      "misc",
      {{"title", "text"}, {"summary", "text"}},
      {"summary"}}},
};

TEST(Misp, ObjectsAreOfTheTemplatesTheyName) {
  const auto text = WriteEvent(Released(Audience::kCloud), {"Provider A", kNow, "green"});
  ASSERT_TRUE(text.ok()) << text.status();
  simdjson::dom::parser parser;
  element root;
  ASSERT_FALSE(parser.parse(*text).get(root));
  const element event = root["Event"];
  EXPECT_EQ(Text(event, "distribution"), "2");
  std::set<std::string> names, uuids, referenced;
  size_t written = 1;
  uuids.insert(Text(event, "uuid"));
  const auto attributes = [&](element of, const Template* t) {
    std::set<std::string> relations;
    for (const element a : simdjson::dom::array(of["Attribute"])) {
      ++written, uuids.insert(Text(a, "uuid"));
      EXPECT_FALSE(Text(a, "value").empty());
      EXPECT_FALSE(Text(a, "category").empty());
      EXPECT_TRUE(a["to_ids"].is_bool() && a["deleted"].is_bool());
      const std::string relation = Text(a, "object_relation");
      EXPECT_EQ(relation.empty(), t == nullptr);
      if (t == nullptr) continue;
      relations.insert(relation);
      const auto type = t->relations.find(relation);
      ASSERT_NE(type, t->relations.end()) << relation;
      EXPECT_EQ(Text(a, "type"), type->second) << relation;
    }
    if (t == nullptr) return;
    bool one = false;
    for (const auto& r : t->one_of) one |= relations.count(r) > 0;
    EXPECT_TRUE(one) << t->uuid;
  };
  attributes(event, nullptr);
  for (const element o : simdjson::dom::array(event["Object"])) {
    const std::string name = Text(o, "name");
    names.insert(name);
    ++written, uuids.insert(Text(o, "uuid"));
    const auto t = kTemplates.find(name);
    ASSERT_NE(t, kTemplates.end()) << name;
    EXPECT_EQ(Text(o, "template_uuid"), t->second.uuid);
    EXPECT_EQ(Text(o, "template_version"), t->second.version);
    EXPECT_EQ(Text(o, "meta-category"), t->second.category);
    attributes(o, &t->second);
    for (const element r : simdjson::dom::array(o["ObjectReference"])) {
      ++written, uuids.insert(Text(r, "uuid"));
      referenced.insert(Text(r, "referenced_uuid"));
      EXPECT_EQ(Text(r, "object_uuid"), Text(o, "uuid"));
    }
  }
  EXPECT_EQ(uuids.size(), written);
  EXPECT_EQ(names.size(), kTemplates.size());
  for (const std::string& r : referenced) EXPECT_TRUE(uuids.count(r)) << r;
}

TEST(Misp, NothingPersonalIsInTheBytes) {
  for (const Audience a :
       {Audience::kProvider, Audience::kCloud, Audience::kGovernment, Audience::kPublic}) {
    for (const bool with_key : {true, false}) {
      const auto text = WriteEvent(Released(a, with_key), {"Provider A", kNow, ""});
      ASSERT_TRUE(text.ok());
      for (const char* secret :
           {"198.51.100.3", "pm_0123", "example.org", "acc 1", "4711", "98765", "00000030"})
        EXPECT_EQ(text->find(secret), std::string::npos) << secret << " " << AudienceName(a);
      EXPECT_EQ(text->find(" blinded ") != std::string::npos, with_key && a != Audience::kPublic);
      EXPECT_EQ(text->find("Example Lab") != std::string::npos, a != Audience::kPublic);
    }
  }
}

TEST(Misp, AFeedNamesItsEventsAndTheirValues) {
  const auto feed = WriteFeed(Released(Audience::kProvider), {"Provider A", kNow, ""});
  ASSERT_TRUE(feed.ok()) << feed.status();
  ASSERT_EQ(feed->size(), 3u);
  for (const File& f : *feed)
    Golden(
        f.name == "manifest.json" || f.name == "hashes.csv" ? "feed-" + f.name : "feed-event.json",
        f.bytes);
  EXPECT_EQ(feed->front().name, "manifest.json");
  EXPECT_NE(feed->front().bytes.find((*feed)[1].name.substr(0, 36)), std::string::npos);
}

TEST(Misp, WhatMakesNoSenseIsRefused) {
  EXPECT_FALSE(WriteEvent(Released(Audience::kProvider), {"", kNow, ""}).ok());
  EXPECT_FALSE(WriteEvent(Released(Audience::kProvider), {"A", kNow, "blue"}).ok());
  EXPECT_FALSE(WriteFeed(Released(Audience::kProvider), {"A\nB", kNow, ""}).ok());
}

}  // namespace
}  // namespace stillwatch::share::misp
