#include "serve/decide/decider.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <array>
#include <map>
#include <thread>

#include "base/hash.h"
#include "base/str.h"

namespace stillwatch::serve {
namespace {

using base::StrCat;
using Words = std::map<std::string, std::string, std::less<>>;

// printf %s sk-1 | sha256sum
#define KEY_ID "0f2c10bf3d128c719c6bfa4ecbae94b7fceebaea6e4438fef38a90e5acc326f3"

class DeciderTest : public testing::Test {
 protected:
  void Policy(const std::string& yaml) {
    auto policy = respond::ParsePolicy("version: 1\n" + yaml, "p");
    ASSERT_TRUE(policy.ok()) << policy.status();
    respond::SnapshotBuilder builder(*std::move(policy));
    const std::array<uint8_t, 16> key{1, 2, 3};
    auto snapshot = builder.Build(now_, key);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    holder_.Set(*snapshot);
  }
  static std::string List(const std::string& entry, const std::string& more) {
    return StrCat("lists: [{name: the-list, kind: deny, entries: [{", entry, "}], ", more, "}]\n");
  }
  Answer Check(const Words& headers, std::string_view path = "/v1/chat/completions",
               std::string_view body = "", const Words& settings = {}, std::string_view ip = "",
               bool cut = false) {
    const auto in = [](const Words& words) {
      return [&words](std::string_view name) {
        const auto it = words.find(name);
        return it == words.end() ? std::string_view() : std::string_view(it->second);
      };
    };
    const auto header = in(headers), setting = in(settings);
    return decider().Check({.via = "test",
                            .path = path,
                            .header = header,
                            .setting = setting,
                            .client_ip = ip,
                            .body = body,
                            .body_cut = cut});
  }
  Decider& decider() {
    if (!decider_) {
      decider_ = std::make_unique<Decider>(
          &holder_, &counters_, [this](audit::AuditRecord r) { records_.push_back(std::move(r)); },
          [this] { return now_; }, options_);
    }
    return *decider_;
  }
  // A string of the last record's details.
  std::string Detail(const char* key) {
    if (records_.empty()) return "no record";
    simdjson::dom::parser parser;
    simdjson::dom::element e;
    if (parser.parse(records_.back().details).get(e) != simdjson::SUCCESS) return "no JSON";
    std::string_view text;
    return e[key].get(text) == simdjson::SUCCESS ? std::string(text) : "-";
  }

  int64_t now_ = 1'800'000'000'000;
  respond::SnapshotHolder holder_;
  respond::Counters counters_{64};
  DeciderOptions options_;
  std::vector<audit::AuditRecord> records_;
  std::unique_ptr<Decider> decider_;
};

TEST_F(DeciderTest, BeforeThereIsASnapshotAllIsAllowed) {
  EXPECT_FALSE(Check({{"x-stillwatch-account", "a"}}).refused);
  EXPECT_TRUE(records_.empty());
}

TEST_F(DeciderTest, TellsTheClientNothingAndTheAuditLogAll) {
  Policy(List("account: acct-1", "enforce: true"));
  const Answer a = Check({{"x-stillwatch-account", " acct-1 "},
                          {"x-stillwatch-org", "org-1"},
                          {"x-request-id", "req-1"},
                          {"x-forwarded-for", "203.0.113.1, 198.51.100.7"}},
                         "/v1/messages", R"({"model":"m-1"})");
  ASSERT_TRUE(a.refused);
  EXPECT_EQ(a.denial.status, 403);
  EXPECT_EQ(a.reduce_to, "");
  EXPECT_EQ(a.denial.body.find("the-list"), std::string::npos);
  EXPECT_EQ(a.denial.body.find("acct-1"), std::string::npos);
  EXPECT_NE(a.denial.body.find("\"request_id\":\"req-1\""), std::string::npos);
  ASSERT_EQ(records_.size(), 1u);
  const audit::AuditRecord& r = records_[0];
  EXPECT_EQ(r.time_ms, now_);
  EXPECT_EQ(r.actor, "gateway");
  EXPECT_EQ(r.action, "decision.deny");
  EXPECT_EQ(r.subject, "acct-1");
  EXPECT_EQ(Detail("via"), "test");
  EXPECT_EQ(Detail("reason"), "deny_list");
  EXPECT_EQ(Detail("rule"), "the-list");
  EXPECT_EQ(Detail("org_id"), "org-1");
  EXPECT_EQ(Detail("model"), "m-1");
  EXPECT_EQ(Detail("client_ip"), "198.51.100.7");
  EXPECT_EQ(Detail("shadowed"), "-");
  // An appeal quotes what the client was shown, and finds the record.
  ASSERT_NE(Detail("appeal_ref"), "-");
  EXPECT_NE(a.denial.body.find(Detail("appeal_ref")), std::string::npos);
  EXPECT_FALSE(Check({{"x-stillwatch-account", "acct-2"}}).refused);
  EXPECT_EQ(records_.size(), 1u);
}

TEST_F(DeciderTest, EveryActionHasItsAnswer) {
  const auto with = [&](const char* more) {
    Policy(List("account: a", more));
    records_.clear();
    return Check({{"x-stillwatch-account", "a"}});
  };
  EXPECT_EQ(with("enforce: true, action: verify").denial.status, 403);
  EXPECT_EQ(records_.back().action, "decision.verify");
  const Answer reduced = with("enforce: true, action: reduce, reduce_to: small");
  EXPECT_FALSE(reduced.refused);
  EXPECT_EQ(reduced.reduce_to, "small");
  EXPECT_EQ(records_.back().action, "decision.reduce");
  EXPECT_FALSE(with("enforce: true, action: observe").refused);
  EXPECT_EQ(records_.back().action, "decision.observe");
  EXPECT_FALSE(with("enforce: false, action: deny").refused);  // shadow mode
  EXPECT_EQ(records_.back().action, "shadow.deny");
  EXPECT_EQ(Detail("rule"), "the-list");
  EXPECT_FALSE(with("enforce: true, action: throttle, rate: 2/hour, burst: 1").refused);
  EXPECT_TRUE(records_.empty());
  const Answer slow = Check({{"x-stillwatch-account", "a"}});
  EXPECT_EQ(slow.denial.status, 429);
  EXPECT_EQ(slow.denial.headers[0], (std::pair<std::string, std::string>{"retry-after", "1800"}));
  now_ += 1'800'000;
  EXPECT_FALSE(Check({{"x-stillwatch-account", "a"}}).refused);
}

TEST_F(DeciderTest, OfTwoOutcomesTheEnforcedIsToldFirst) {
  Policy(
      "lists:\n"
      "  - {name: harsh, kind: deny, action: deny, entries: [{account: a}]}\n"
      "  - {name: mild, kind: deny, action: observe, enforce: true, entries: [{account: a}]}\n");
  EXPECT_FALSE(Check({{"x-stillwatch-account", "a"}}).refused);
  ASSERT_EQ(records_.size(), 1u);
  EXPECT_EQ(records_[0].action, "decision.observe");
  EXPECT_EQ(Detail("rule"), "mild");
  EXPECT_EQ(Detail("shadowed"), "deny");
  EXPECT_EQ(Detail("shadowed_rule"), "harsh");
}

TEST_F(DeciderTest, KnowsTheClientsKeyByItsHash) {
  const auto refused = [&](const Words& headers) { return Check(headers).refused; };
  Policy(List("key: " KEY_ID, "enforce: true"));
  EXPECT_TRUE(refused({{"authorization", "Bearer sk-1"}}));
  EXPECT_TRUE(refused({{"authorization", "bearer  sk-1 "}}));
  EXPECT_TRUE(refused({{"x-api-key", "sk-1"}}));
  EXPECT_TRUE(refused({{"api-key", "sk-1"}}));
  EXPECT_TRUE(refused({{"x-goog-api-key", "sk-1"}}));
  EXPECT_TRUE(refused({{"x-stillwatch-key", KEY_ID}}));
  EXPECT_EQ(records_.back().subject, KEY_ID);
  EXPECT_FALSE(refused({{"authorization", "Basic sk-1"}}));
  EXPECT_FALSE(refused({{"authorization", "Bearer sk-2"}}));
  EXPECT_FALSE(refused({{"authorization", "Bearer"}}));
  // The gateway's word goes before the client's key, the route's before the gateway's.
  EXPECT_FALSE(refused({{"x-stillwatch-key", "other"}, {"authorization", "Bearer sk-1"}}));
  EXPECT_FALSE(Check({{"x-stillwatch-key", KEY_ID}}, "/", "", {{"key", "other"}}).refused);
  EXPECT_TRUE(Check({}, "/", "", {{"key", KEY_ID}}).refused);
  // Never the key itself.
  for (const auto& r : records_) EXPECT_EQ(r.details.find("sk-1"), std::string::npos);
  options_.hash_keys = false;
  decider_.reset();
  EXPECT_FALSE(refused({{"authorization", "Bearer sk-1"}}));
}

TEST_F(DeciderTest, TheModelIsThatWhichIsServed) {
  Policy(
      "directives: [{id: d, basis: b, models: [\"gated\"], require: {country: [US]}, unknown: "
      "deny, enforce: true}]\n");
  const auto model = [&](std::string_view path, std::string_view body, const Words& headers = {},
                         const Words& settings = {}, bool cut = false) {
    records_.clear();
    Check(headers, path, body, settings, "", cut);
    return Detail("model");
  };
  const std::string gated = R"({"model":"gated","messages":[]})";
  EXPECT_EQ(model("/v1/chat/completions", gated), "gated");
  EXPECT_EQ(model("/v1/chat/completions", gated, {{"x-stillwatch-model", "free"}}), "gated");
  EXPECT_EQ(model("/v1/chat/completions", R"({"model":"free"})"), "no record");
  EXPECT_EQ(model("/v1/chat/completions", "", {{"x-stillwatch-model", "gated"}}), "gated");
  EXPECT_EQ(model("/v1/chat/completions", R"({"model":"gated","messa)", {}, {}, true), "gated");
  EXPECT_EQ(model("/v1/chat/completions", R"({"model":"gated","messa)"), "gated");
  EXPECT_EQ(
      model("/openai/deployments/gated/chat/completions?api-version=1", R"({"model":"free"})"),
      "gated");
  EXPECT_EQ(model("/v1beta/models/gated:generateContent", "{}"), "gated");
  EXPECT_EQ(model("/model/gated/invoke", ""), "gated");
  // A path that a server may read otherwise names none.
  EXPECT_EQ(model("/openai/deployments/free/../gated/chat", gated), "gated");
  EXPECT_EQ(model("/openai/deployments/free//chat", gated), "gated");
  EXPECT_EQ(model("/v1/chat/completions/models/free:x", gated), "gated");
  EXPECT_EQ(model("/", R"({"model":"free"})", {}, {{"model", "gated"}}), "gated");
  // A model that nobody names is unknown, and the directive says what then.
  EXPECT_EQ(model("/v1/chat/completions", ""), "-");
  EXPECT_EQ(records_.size(), 1u);
}

TEST_F(DeciderTest, TheAddressIsTheGatewaysEntry) {
  Policy(List("address: 198.51.100.0/24", "enforce: true"));
  const auto refused = [&](const char* forwarded, const char* ip = "") {
    return Check({{"x-forwarded-for", forwarded}}, "/", "", {}, ip).refused;
  };
  EXPECT_TRUE(refused("198.51.100.7"));
  EXPECT_TRUE(refused("203.0.113.1,198.51.100.7"));
  EXPECT_FALSE(refused("198.51.100.7, 203.0.113.1"));
  EXPECT_FALSE(refused("198.51.100.7", "203.0.113.1"));
  EXPECT_TRUE(refused("203.0.113.1", "198.51.100.7"));
  options_.trusted_hops = 2;
  decider_.reset();
  EXPECT_TRUE(refused("10.0.0.1, 198.51.100.7, 203.0.113.1"));
  EXPECT_TRUE(refused("198.51.100.7"));  // fewer hops than trusted: what there is
  options_.trusted_hops = 0;
  decider_.reset();
  EXPECT_FALSE(refused("198.51.100.7"));
}

TEST_F(DeciderTest, WhatIsTooLongIsNotThere) {
  Policy(List("account: a", "enforce: true"));
  EXPECT_FALSE(Check({{"x-stillwatch-account", std::string(kNameBytesMax + 1, 'a')}}).refused);
  EXPECT_FALSE(Check({}, std::string(1 << 20, '/'), std::string(1 << 20, '{')).refused);
  EXPECT_TRUE(Check({{"x-stillwatch-account", "a"}}, "/", "\xff\xfe not JSON").refused);
}

TEST_F(DeciderTest, DecidesWhileSnapshotsChange) {
  Policy(List("account: a", "enforce: true"));
  decider_ = std::make_unique<Decider>(
      &holder_, &counters_, [](audit::AuditRecord) {}, [this] { return now_; }, options_);
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0}, asked{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (!stop) {
        wrong += !Check({{"x-stillwatch-account", "a"}}, "/",
                        R"({"messages":[{"role":"user","content":"x"}]})")
                      .refused;
        wrong += Check({{"x-stillwatch-account", "b"}}).refused;
        ++asked;
      }
    });
  }
  for (int i = 0; i < 50; ++i)
    Policy(List("account: a", StrCat("enforce: true, action: ", i % 2 ? "deny" : "verify")));
  while (asked < 1000) std::this_thread::yield();
  stop = true;
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace stillwatch::serve
