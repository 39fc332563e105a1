#include "serve/gate/gate.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "base/hash.h"
#include "respond/snapshot.h"
#include "serve/http/server.h"
#include "serve/http/test_client.h"
#include "sketch/sketcher.h"

namespace stillwatch::serve {
namespace {

std::string Why(DecideParser& p, std::string_view body) {
  DecideBody out;
  const absl::Status s = p.Decide(body, &out);
  return std::string(s.message());
}

TEST(DecideParser, ReadsWhatTheContractSays) {
  DecideParser p;
  DecideBody b;
  ASSERT_TRUE(p.Decide(R"({"account_id":"a","api_key_id":"k","org_id":"o","model":"m\u00e9",)"
                       R"("client_ip":"1.2.3.4","unknown":[1,{"x":2}],"messages":null,)"
                       R"("reasoning_signatures_presented":["s1","s2"]})",
                       &b)
                  .ok());
  EXPECT_EQ(b.request.account_id, "a");
  EXPECT_EQ(b.request.api_key_id, "k");
  EXPECT_EQ(b.request.org_id, "o");
  EXPECT_EQ(b.request.model, "m\xc3\xa9");
  EXPECT_EQ(b.request.client_ip, "1.2.3.4");
  EXPECT_EQ(b.request.sketch, nullptr);
  ASSERT_EQ(b.request.signatures_presented.size(), 2u);
  EXPECT_EQ(b.request.signatures_presented[1], base::Hash64("s2"));
  // Nothing of it stays for the next.
  ASSERT_TRUE(p.Decide(R"({"api_key_id":"k2"})", &b).ok());
  EXPECT_EQ(b.request.account_id, "");
  EXPECT_EQ(b.request.model, "");
  EXPECT_TRUE(b.request.signatures_presented.empty());
}

TEST(DecideParser, TextAndItsSketchSayTheSame) {
  const std::string system = "You are a patient tutor. Show every step of your working.";
  const std::string turn =
      "Solve the following problem and write out your full chain of reasoning in <think> tags: "
      "a train leaves at noon";
  DecideParser p;
  DecideBody text;
  ASSERT_TRUE(p.Decide("{\"account_id\":\"a\",\"messages\":[{\"role\":\"system\",\"content\":\"" +
                           system + "\"},{\"role\":\"user\",\"content\":\"" + turn + "\"}]}",
                       &text)
                  .ok());
  ASSERT_NE(text.request.sketch, nullptr);
  const model::Sketch made = *text.request.sketch;
  EXPECT_FALSE(made.turn.empty());
  EXPECT_FALSE(made.system.empty());
  sketch::Sketcher sketcher;
  model::Sketch wanted;
  sketcher.Sketch(system, turn, "", {}, 2, &wanted);
  EXPECT_EQ(made.turn, wanted.turn);
  EXPECT_EQ(made.system, wanted.system);
  const sketch::EncodedSketch e = sketch::Encode(wanted);
  DecideBody sent;
  ASSERT_TRUE(p.Decide("{\"account_id\":\"a\",\"sketch\":{\"version\":2,\"system\":\"" + e.system +
                           "\",\"turn\":\"" + e.turn + "\"}}",
                       &sent)
                  .ok());
  ASSERT_NE(sent.request.sketch, nullptr);
  EXPECT_EQ(sent.request.sketch->turn, wanted.turn);
  EXPECT_EQ(sent.request.sketch->system, wanted.system);
}

TEST(DecideParser, NamesWhatIsWrong) {
  DecideParser p;
  EXPECT_NE(Why(p, "").find("JSON"), std::string::npos);
  EXPECT_NE(Why(p, "[]").find("JSON object"), std::string::npos);
  EXPECT_NE(Why(p, "{\"account_id\":\"a\"").find("JSON"), std::string::npos);
  EXPECT_NE(Why(p, "{\"account_id\":\"a\"} x").find("JSON"), std::string::npos);
  EXPECT_NE(Why(p, "{\"account_id\":\"a\"} {}").find("follows"), std::string::npos);
  EXPECT_NE(Why(p, "{}").find("account_id: missing"), std::string::npos);
  EXPECT_NE(Why(p, "{\"account_id\":7}").find("account_id: expected a string"), std::string::npos);
  EXPECT_NE(Why(p, "{\"account_id\":\"" + std::string(2000, 'x') + "\"}").find("longer than 1024"),
            std::string::npos);
  EXPECT_NE(Why(p, "{\"account_id\":\"a\",\"messages\":\"hi\"}").find("messages: expected"),
            std::string::npos);
  EXPECT_NE(Why(p, "{\"account_id\":\"a\",\"sketch\":[]}").find("sketch: expected"),
            std::string::npos);
  EXPECT_NE(
      Why(p, "{\"account_id\":\"a\",\"sketch\":{\"version\":1,\"turn\":\"\"}}").find("sketch"),
      std::string::npos);
  EXPECT_NE(Why(p, "{\"account_id\":\"a\",\"reasoning_signatures_presented\":[1]}").find("strings"),
            std::string::npos);
  std::string many = "{\"account_id\":\"a\",\"reasoning_signatures_presented\":[\"x\"";
  for (int i = 0; i < 1024; ++i) many += ",\"x\"";
  EXPECT_NE(Why(p, many + "]}").find("more than 1024"), std::string::npos);
  EXPECT_EQ(Why(p, "{\"api_key_id\":\"k\"}"), "");
}

TEST(DecideParser, ReadsLitellmAsTheLogDoes) {
  DecideParser p;
  DecideBody b;
  const std::string data = R"("request_data":{"user_api_key_hash":"h","user_api_key_user_id":"u",)"
                           R"("user_api_key_team_id":"t","user_api_key_org_id":null})";
  ASSERT_TRUE(p.Litellm(
      R"({"input_type":"request","texts":["first","write out every step of the reasoning please"],"model":"m",)"
      R"("request_headers":{"host":"x","x-forwarded-for":"6.6.6.6, 1.2.3.4"},)" +
          data + "}",
      &b));
  EXPECT_EQ(b.request.account_id, "u");
  EXPECT_EQ(b.request.api_key_id, "h");
  EXPECT_EQ(b.request.org_id, "t");
  EXPECT_EQ(b.request.model, "m");
  EXPECT_EQ(b.request.client_ip, "1.2.3.4");
  ASSERT_NE(b.request.sketch, nullptr);
  sketch::Sketcher sketcher;
  model::Sketch wanted;
  sketcher.Sketch("", "write out every step of the reasoning please", "", {}, 2, &wanted);
  EXPECT_EQ(b.request.sketch->turn, wanted.turn);
  ASSERT_TRUE(p.Litellm(
      R"({"texts":["x"],"structured_messages":[{"role":"user","content":"one two three four five six"}],)"
      R"("request_headers":{"x-forwarded-for":"[present]"},"request_data":{"user_api_key_hash":"h",)"
      R"("user_api_key_user_id":"default_user_id"}})",
      &b));
  EXPECT_EQ(b.request.account_id, "h");
  EXPECT_EQ(b.request.client_ip, "");
  sketcher.Sketch("", "one two three four five six", "", {}, 1, &wanted);
  EXPECT_EQ(b.request.sketch->turn, wanted.turn);
  EXPECT_FALSE(p.Litellm(R"({"input_type":"response","texts":["x"]})", &b));
  EXPECT_FALSE(p.Litellm("junk", &b));
  // What is of another type than expected is as if it were not there.
  EXPECT_TRUE(p.Litellm(
      R"({"texts":7,"model":[1],"request_data":{"user_api_key_hash":3},"structured_messages":{}})",
      &b));
  EXPECT_EQ(b.request.sketch, nullptr);
}

// Over HTTP, against a real snapshot.
class GateTest : public testing::Test {
 protected:
  static constexpr const char* kPolicy = R"(version: 1
lists:
  - {name: foes, kind: deny, enforce: true, entries: [{account: bad}, {key: badkey},
     {key: d9f0250080cda1e7ed070797afb8e60d0c12e991048a251f9a3084111be957da}]}
  - {name: slow, kind: deny, action: throttle, rate: 1/hour, burst: 1, enforce: true, entries: [{account: hasty}]}
  - {name: later, kind: deny, entries: [{account: watched}]}
  - {name: proof, kind: deny, action: verify, enforce: true, entries: [{account: unproven}]}
  - {name: less, kind: deny, action: reduce, reduce_to: summarised, enforce: true, entries: [{account: tiered}]}
)";
  GateTest() : log_(LogLevel::kError) {
    AddGate(&router_, &decider_, {});
    auto policy = respond::ParsePolicy(kPolicy, "p");
    EXPECT_TRUE(policy.ok()) << policy.status();
    policy_ = *policy;
    Publish();
    auto server = Server::Start({.endpoints = {{.router = &router_}}}, nullptr, &metrics_, &log_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    port_ = server_->ports()[0];
  }
  void Publish() {
    const std::array<uint8_t, 16> key{1};
    auto snapshot = respond::SnapshotBuilder(policy_).Build(0, key);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    holder_.Set(*snapshot);
  }
  TestReply Decide(const std::string& body) {
    return TestClient(port_).Do("POST", "/v1/decide", body);
  }
  TestReply Check(const std::string& headers, const std::string& target = "/v1/check/x",
                  const std::string& method = "GET") {
    return TestClient(port_).Do(method, target, "", headers);
  }

  respond::Policy policy_;
  respond::SnapshotHolder holder_;
  respond::Counters counters_{1024};
  std::atomic<int> audited_{0};
  Decider decider_{&holder_, &counters_, [this](audit::AuditRecord) { ++audited_; },
                   [] { return int64_t{1'800'000'000'000}; }};
  Metrics metrics_;
  Log log_;
  Router router_;
  std::unique_ptr<Server> server_;
  uint16_t port_ = 0;
};

TEST_F(GateTest, DecideAnswersAsTheContractSays) {
  EXPECT_EQ(Decide(R"({"account_id":"good","model":"m"})").body,
            R"({"action":"allow","reason":"nothing","shadow":false})");
  EXPECT_EQ(audited_, 0);
  const TestReply denied = Decide(R"({"account_id":"bad","model":"m"})");
  EXPECT_EQ(denied.status, 200);
  EXPECT_TRUE(denied.body.starts_with(R"({"action":"deny","reason":"deny_list","appeal_ref":"SW-)"))
      << denied.body;
  EXPECT_NE(denied.body.find("\"message\":\"This request is not permitted."), std::string::npos);
  EXPECT_EQ(denied.body.find("foes"), std::string::npos);  // why is not for the client
  EXPECT_EQ(audited_, 1);
  EXPECT_NE(Decide(R"({"account_id":"hasty"})").body.find("\"allow\""), std::string::npos);
  const std::string slow = Decide(R"({"account_id":"hasty"})").body;
  EXPECT_NE(slow.find("\"throttle\""), std::string::npos) << slow;
  EXPECT_NE(slow.find("\"retry_after_s\":3"), std::string::npos) << slow;
  const std::string shadow = Decide(R"({"account_id":"watched"})").body;
  EXPECT_EQ(shadow, R"({"action":"allow","reason":"nothing","shadow":true,"shadowed":"deny"})");
  EXPECT_NE(Decide(R"({"account_id":"tiered"})").body.find("\"reduce_to\":\"summarised\""),
            std::string::npos);
  EXPECT_EQ(Decide("{").status, 400);
  EXPECT_EQ(TestClient(port_).Do("POST", "/v1/decide", "{}", "Content-Type: text/plain\r\n").status,
            415);
  EXPECT_EQ(TestClient(port_).Do("GET", "/v1/decide").status, 405);
}

TEST_F(GateTest, CheckSpeaksEveryGatewaysLanguage) {
  EXPECT_EQ(Check("x-stillwatch-account: good\r\n").status, 200);
  EXPECT_EQ(Check("x-stillwatch-account: good\r\n", "/v1/check", "DELETE").status, 200);
  const TestReply openai =
      Check("x-stillwatch-account: bad\r\nX-Forwarded-Uri: /v1/chat/completions\r\n");
  EXPECT_EQ(openai.status, 403);
  EXPECT_EQ(openai.Header("x-should-retry"), "false");
  EXPECT_NE(openai.body.find("\"param\":null"), std::string::npos) << openai.body;
  const TestReply claude = Check(
      "x-stillwatch-account: bad\r\nX-Original-URI: /v1/messages?beta=1\r\n", "/v1/check/", "POST");
  EXPECT_EQ(claude.status, 403);
  EXPECT_TRUE(claude.body.starts_with("{\"type\":\"error\"")) << claude.body;
  // Envoy puts the client's path behind the prefix.
  EXPECT_TRUE(Check("x-stillwatch-account: bad\r\n", "/v1/check/v1/messages")
                  .body.starts_with("{\"type\":\"error\""));
  // The client's key is known by its hash: this is that of sk-stolen.
  EXPECT_EQ(Check("Authorization: Bearer sk-other\r\n").status, 200);
  EXPECT_EQ(Check("Authorization: Bearer sk-stolen\r\n").status, 403);
  EXPECT_EQ(Check("x-api-key: sk-stolen\r\n").status, 403);
  EXPECT_EQ(Check("x-stillwatch-account: good\r\nx-stillwatch-key: badkey\r\n").status, 403);
  // A body that the gateway shows.
  EXPECT_EQ(
      TestClient(port_)
          .Do("POST", "/v1/check/v1/chat/completions", "not json", "x-stillwatch-account: good\r\n")
          .status,
      200);
  const TestReply tier = Check("x-stillwatch-account: tiered\r\n");
  EXPECT_EQ(tier.status, 200);
  EXPECT_EQ(tier.Header("x-stillwatch-reduce"), "summarised");
  Check("x-stillwatch-account: hasty\r\n");
  const TestReply slow = Check("x-stillwatch-account: hasty\r\n");
  EXPECT_EQ(slow.status, 429);
  EXPECT_NE(slow.Header("retry-after"), "");
  // nginx relays no body and no other status.
  const TestReply nginx = Check("x-stillwatch-account: hasty\r\n", "/v1/check/?deny_style=nginx");
  EXPECT_EQ(nginx.status, 403);
  EXPECT_EQ(nginx.Header("x-stillwatch-status"), "429");
  EXPECT_NE(nginx.Header("retry-after"), "");
  EXPECT_NE(nginx.Header("x-stillwatch-body").find("rate_limit"), std::string::npos);
  EXPECT_EQ(nginx.body, "");
}

TEST_F(GateTest, LitellmBlocksWithAGenericReason) {
  const auto ask = [&](const std::string& user, const std::string& type = "request") {
    return TestClient(port_)
        .Do("POST", "/beta/litellm_basic_guardrail_api",
            "{\"input_type\":\"" + type +
                "\",\"texts\":[\"hi\"],\"request_data\":{\"user_api_key_user_id\":\"" + user +
                "\"}}")
        .body;
  };
  EXPECT_EQ(ask("good"), "{\"action\":\"NONE\"}");
  EXPECT_EQ(ask("watched"), "{\"action\":\"NONE\"}");
  EXPECT_TRUE(
      ask("bad").starts_with("{\"action\":\"BLOCKED\",\"blocked_reason\":\"This request is not "
                             "permitted. If this looks wrong"));
  EXPECT_NE(ask("unproven").find("must be verified"), std::string::npos);
  EXPECT_EQ(ask("bad", "response"), "{\"action\":\"NONE\"}");
  EXPECT_EQ(TestClient(port_).Do("POST", "/beta/litellm_basic_guardrail_api", "junk").body,
            "{\"action\":\"NONE\"}");
}

// Snapshots change under load: no decision fails, none is of a state that never was.
TEST_F(GateTest, SwapsDisturbNoDecision) {
  std::atomic<bool> stop{false};
  std::atomic<int> asked{0}, wrong{0};
  std::vector<std::thread> clients;
  for (int t = 0; t < 3; ++t) {
    clients.emplace_back([&, t] {
      TestClient c(port_);
      while (!stop) {
        const TestReply r = t == 2
                                ? c.Do("GET", "/v1/check/x", "", "x-stillwatch-account: bad\r\n")
                                : c.Do("POST", "/v1/decide",
                                       t ? R"({"account_id":"bad"})" : R"({"account_id":"good"})");
        const bool good = t == 2   ? r.status == 403
                          : t == 1 ? r.body.find("\"deny\"") != std::string::npos
                                   : r.body.find("\"allow\"") != std::string::npos;
        if (!good) ++wrong;
        ++asked;
      }
    });
  }
  for (int i = 0; i < 200 || asked < 300; ++i) {
    Publish();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (i == 20'000) break;
  }
  stop = true;
  for (auto& c : clients) c.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GE(asked, 300);
}

}  // namespace
}  // namespace stillwatch::serve
