#include "serve/alerts/alerts.h"

#include <gtest/gtest.h>
#include <simdjson.h>
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/str.h"
#include "serve/http/server.h"

namespace stillwatch::serve {
namespace {

using base::StrCat;
namespace fs = std::filesystem;

constexpr char kSecret[] = "a secret of some length";

// A receiver on loopback that answers as it is told.
class Receiver {
 public:
  struct Got {
    std::string body, signature, timestamp, type, token;
  };
  explicit Receiver(uint16_t port = 0) : log_(LogLevel::kError) {
    router_.Add("POST", "/hook", Role::kPublic, Speed::kPool, [this](const HttpRequest& r) {
      const std::lock_guard<std::mutex> lock(mutex_);
      got_.push_back({std::string(r.body), std::string(r.Header("X-Stillwatch-Signature")),
                      std::string(r.Header("X-Stillwatch-Timestamp")), r.ContentType(),
                      std::string(r.Header("X-Collector"))});
      HttpReply reply = JsonReply(answer);
      reply.status = statuses.empty() ? 200 : statuses.front();
      if (!statuses.empty()) statuses.erase(statuses.begin());
      return reply;
    });
    ServerOptions o;
    o.endpoints.push_back({"127.0.0.1", port, &router_});
    auto server = Server::Start(o, std::make_shared<TokenTable>(), &metrics_, &log_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  uint16_t port() const { return server_->ports()[0]; }
  std::string url() const { return StrCat("http://127.0.0.1:", port(), "/hook"); }
  std::vector<Got> got() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return got_;
  }
  void Answer(std::vector<int> with) {
    const std::lock_guard<std::mutex> lock(mutex_);
    statuses = std::move(with);
  }
  std::vector<int> statuses;  // one a request, then 200
  std::string answer = "{}";

 private:
  std::mutex mutex_;
  std::vector<Got> got_;
  Router router_;
  Metrics metrics_;
  Log log_;
  std::unique_ptr<Server> server_;
};

Alert Example(int n) {
  Alert a;
  a.id = StrCat("000000000000000", n);
  a.ms = 1'767'225'600'000;
  a.kind = "opened";
  a.campaign = StrCat("cmp_", n);
  a.name = "amber-otter";
  a.verdict = "distillation";
  a.probability = .97;
  a.exchanges = 12'345;
  a.accounts = 24;
  a.capability = "agentic_reasoning";
  a.summary = "24 accounts send one scaffold \"round\" payloads.";
  a.pass = 7;
  return a;
}

std::string Field(const std::string& json, const char* key) {
  simdjson::dom::parser parser;
  return std::string(std::string_view(parser.parse(json)[key]));
}

class AlertsTest : public testing::Test {
 protected:
  AlertsTest() : dir_(testing::TempDir() + "/alerts") {
    for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) unsetenv(name);
    fs::remove_all(dir_);
  }
  ~AlertsTest() override { fs::remove_all(dir_); }
  AlertOptions Options(const std::vector<AlertReceiver>& receivers) {
    AlertOptions o;
    o.dir = dir_;
    o.receivers = receivers;
    o.now_ms = [this] { return now_ms_.load(); };
    o.note = [this](const std::string& n) {
      const std::lock_guard<std::mutex> lock(mutex_);
      notes_.push_back(n);
    };
    o.retry_first_ms = 5;
    return o;
  }
  static AlertReceiver Webhook(const std::string& url, const std::string& name = "desk") {
    return {AlertReceiver::Kind::kWebhook, name, url, kSecret, {}};
  }
  std::unique_ptr<Alerts> Open(const std::vector<AlertReceiver>& receivers) {
    auto alerts = Alerts::Open(Options(receivers));
    EXPECT_TRUE(alerts.ok()) << alerts.status();
    return *std::move(alerts);
  }
  template <typename F>
  static bool Soon(const F& what) {
    for (int i = 0; i < 6000; ++i) {
      if (what()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  std::string Dead() {
    std::ifstream in(dir_ + "/dead.jsonl");
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string dir_;
  std::mutex mutex_;
  std::vector<std::string> notes_;
  std::atomic<int64_t> now_ms_{1'767'225'600'123};
};

// The value is OpenSSL's: printf '1767225600.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
TEST(SignWebhook, IsHmacSha256OfTimestampDotBody) {
  EXPECT_EQ(SignWebhook("0123456789abcdef", 1767225600, "{\"a\":1}"),
            "v1=539b0e21b535c5201ef7d1453c0a0de4ad132293226de9018be0cfbf0092faa6");
}

TEST_F(AlertsTest, DeliversInOrderSignedAndForgets) {
  Receiver r;
  auto alerts = Open({Webhook(r.url())});
  ASSERT_TRUE(alerts->Offer({Example(1), Example(2)}).ok());
  ASSERT_TRUE(alerts->Offer({Example(3)}).ok());
  ASSERT_TRUE(Soon([&] { return alerts->stats().delivered == 3; }));
  const auto got = r.got();
  ASSERT_EQ(got.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(got[i].body, AlertJson(Example(i + 1)));
    EXPECT_EQ(got[i].type, "application/json");
    EXPECT_EQ(got[i].timestamp, "1767225600");
    EXPECT_EQ(got[i].signature, SignWebhook(kSecret, 1767225600, got[i].body));
  }
  EXPECT_TRUE(fs::is_empty(dir_ + "/queue/desk"));
  EXPECT_EQ(alerts->stats().waiting, 0u);
  // What the last offer held is not told again, by this process or the next.
  ASSERT_TRUE(alerts->Offer({Example(3)}).ok());
  alerts.reset();
  alerts = Open({Webhook(r.url())});
  ASSERT_TRUE(alerts->Offer({Example(3), Example(4)}).ok());
  ASSERT_TRUE(Soon([&] { return alerts->stats().delivered == 1; }));
  EXPECT_EQ(Field(r.got().back().body, "campaign"), "cmp_4");
  EXPECT_EQ(r.got().size(), 4u);
}

TEST_F(AlertsTest, TriesAgainAndSignsEachAttemptAnew) {
  Receiver r;
  r.Answer({503, 429, 500});
  auto alerts = Open({Webhook(r.url())});
  ASSERT_TRUE(alerts->Offer({Example(1)}).ok());
  ASSERT_TRUE(Soon([&] {
    now_ms_ += 1000;
    return alerts->stats().delivered == 1;
  }));
  EXPECT_EQ(alerts->stats().failed, 3u);
  const auto got = r.got();
  ASSERT_EQ(got.size(), 4u);
  std::set<std::string> signatures;
  for (const auto& g : got) {
    signatures.insert(g.signature);
    EXPECT_EQ(g.signature, SignWebhook(kSecret, std::stoll(g.timestamp), g.body));
  }
  EXPECT_GT(signatures.size(), 1u);
  const std::lock_guard<std::mutex> lock(mutex_);
  EXPECT_EQ(notes_.size(), 1u);  // once, not for each attempt
}

TEST_F(AlertsTest, WhatIsRefusedIsDeadAtOnceAndTheNextOneGoesOn) {
  Receiver r;
  r.Answer({400, 302, 200});
  auto alerts = Open({Webhook(r.url())});
  ASSERT_TRUE(alerts->Offer({Example(1), Example(2), Example(3)}).ok());
  ASSERT_TRUE(Soon([&] { return alerts->stats().delivered == 1 && alerts->stats().dead == 2; }));
  const std::string dead = Dead();
  EXPECT_NE(dead.find("\"why\":\"status 400\",\"alert\":" + AlertJson(Example(1)) + "}\n"),
            std::string::npos)
      << dead;
  EXPECT_NE(dead.find("status 302"), std::string::npos);  // redirects are not followed
  EXPECT_EQ(r.got().size(), 3u);
  EXPECT_TRUE(fs::is_empty(dir_ + "/queue/desk"));
}

TEST_F(AlertsTest, AReceiverThatIsAwayHoldsUpNobodyAndARestartLosesNothing) {
  Receiver there;
  uint16_t gone = 0;
  {
    Receiver r;
    gone = r.port();
  }
  const auto away = Webhook(StrCat("http://127.0.0.1:", gone, "/hook"), "away");
  auto alerts = Open({Webhook(there.url()), away});
  ASSERT_TRUE(alerts->Offer({Example(1), Example(2)}).ok());
  ASSERT_TRUE(Soon([&] { return alerts->stats().delivered == 2 && alerts->stats().failed > 0; }));
  EXPECT_EQ(alerts->stats().waiting, 2u);
  const auto begin = std::chrono::steady_clock::now();
  alerts.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
  Receiver back;
  alerts = Open({Webhook(there.url()), Webhook(back.url(), "away")});
  ASSERT_TRUE(Soon([&] { return alerts->stats().delivered == 2; }));
  ASSERT_EQ(back.got().size(), 2u);
  EXPECT_EQ(back.got()[0].body, AlertJson(Example(1)));
  EXPECT_EQ(there.got().size(), 2u);
}

TEST_F(AlertsTest, GivesUpAfterItsAttempts) {
  Receiver r;
  r.Answer(std::vector<int>(1000, 503));
  AlertOptions o = Options({Webhook(r.url())});
  o.retry_first_ms = 0;
  auto alerts = Alerts::Open(o);
  ASSERT_TRUE(alerts.ok());
  ASSERT_TRUE(alerts->get()->Offer({Example(1)}).ok());
  ASSERT_TRUE(Soon([&] { return alerts->get()->stats().dead == 1; }));
  EXPECT_EQ(r.got().size(), static_cast<size_t>(kAttemptsMax));
  EXPECT_NE(Dead().find("status 503"), std::string::npos);
}

TEST_F(AlertsTest, TheQueueIsBoundedAndTheOldestGoesFirst) {
  Receiver r;
  r.Answer(std::vector<int>(100'000, 503));
  AlertOptions o = Options({Webhook(r.url())});
  o.retry_first_ms = 600'000;
  auto alerts = Alerts::Open(o);
  ASSERT_TRUE(alerts.ok());
  ASSERT_TRUE(alerts->get()->Offer({Example(0)}).ok());
  ASSERT_TRUE(Soon([&] { return alerts->get()->stats().failed == 1; }));  // this one is on its way
  std::vector<Alert> many;
  for (size_t i = 1; i <= kQueueMax + 4; ++i) {
    many.push_back(Example(1));
    many.back().id = StrCat("id", i);
  }
  ASSERT_TRUE(alerts->get()->Offer(many).ok());
  EXPECT_EQ(alerts->get()->stats().waiting, kQueueMax);
  EXPECT_EQ(alerts->get()->stats().dead, 5u);
  EXPECT_NE(Dead().find("\"id1\""), std::string::npos);
  EXPECT_EQ(Dead().find("\"id6\""), std::string::npos);
}

TEST_F(AlertsTest, OtlpIsALogRecordAndAPartialSuccessIsARefusal) {
  Receiver r;
  AlertReceiver collector{
      AlertReceiver::Kind::kOtlp, "otlp", r.url(), "", {{"X-Collector", "key"}}};
  auto alerts = Open({collector});
  ASSERT_TRUE(alerts->Offer({Example(1)}).ok());
  ASSERT_TRUE(Soon([&] { return alerts->stats().delivered == 1; }));
  EXPECT_EQ(r.got()[0].token, "key");
  EXPECT_TRUE(r.got()[0].signature.empty());
  simdjson::dom::parser parser;
  const simdjson::dom::element e = parser.parse(r.got()[0].body);
  const simdjson::dom::element record =
      e["resourceLogs"].at(0)["scopeLogs"].at(0)["logRecords"].at(0);
  EXPECT_EQ(std::string_view(record["timeUnixNano"]), "1767225600000000000");
  EXPECT_EQ(int64_t(record["severityNumber"]), 13);
  std::map<std::string, std::string> attributes;
  for (const simdjson::dom::element a : record["attributes"])
    attributes[std::string(std::string_view(a["key"]))] = simdjson::minify(a["value"]);
  EXPECT_EQ(attributes["event.name"], "{\"stringValue\":\"stillwatch.campaign.opened\"}");
  EXPECT_EQ(attributes["stillwatch.campaign.exchanges"], "{\"intValue\":\"12345\"}");
  EXPECT_EQ(attributes["stillwatch.campaign.probability"], "{\"doubleValue\":0.97}");
  r.answer = "{\"partialSuccess\":{\"rejectedLogRecords\":\"1\",\"errorMessage\":\"no\"}}";
  ASSERT_TRUE(alerts->Offer({Example(2)}).ok());
  ASSERT_TRUE(Soon([&] { return alerts->stats().dead == 1; }));
}

TEST_F(AlertsTest, SaysWhichReceiverCannotBe) {
  const auto why = [&](AlertReceiver r) {
    const auto alerts = Alerts::Open(Options({std::move(r)}));
    EXPECT_TRUE(absl::IsInvalidArgument(alerts.status()));
    return std::string(alerts.status().message());
  };
  EXPECT_NE(why(Webhook("ftp://x/")).find("\"desk\": its url"), std::string::npos);
  AlertReceiver r = Webhook("http://x/");
  r.secret = "short";
  EXPECT_NE(why(r).find("at least 16 bytes"), std::string::npos);
  EXPECT_NE(why(Webhook("http://x/", "../x")).find("its name"), std::string::npos);
  r = Webhook("http://x/");
  r.headers["A"] = "b\r\nC: d";
  EXPECT_NE(why(r).find("line break"), std::string::npos);
}

TEST(AlertsOf, TellsWhatIsOpenOnceAndNoPrompts) {
  engine::PassFindings pass;
  pass.ended_ms = 5;
  model::Campaign c;
  c.id = "cmp_1";
  c.name = "amber-otter";
  c.summary = "24 accounts.";
  c.templates.push_back({"tpl", 3, {{0, "x", "a prompt that nobody may see"}}, {}});
  c.members.push_back({"acct_secret", "", "distillation", .9, 3, 3, ""});
  pass.findings.campaigns.push_back(c);
  const auto event = [](const char* id, watch::Change change, bool open, const char* other = "") {
    watch::Event e;
    e.pass = 3;
    e.id = id;
    e.change = change;
    e.other = other;
    e.open = open;
    return e;
  };
  using watch::Change;
  pass.events = {
      event("cmp_1", Change::kSplit, true, "cmp_0"), event("cmp_1", Change::kOpened, true),
      event("cmp_2", Change::kNew, false),           event("cmp_3", Change::kGrew, true),
      event("cmp_4", Change::kVerdict, false),       event("cmp_4", Change::kClosed, false),
      event("cmp_5", Change::kFaded, true),          event("cmp_6", Change::kFaded, false),
      event("cmp_7", Change::kGrew, false)};
  pass.events[4].before = model::Verdict::kDistillation;
  const std::vector<Alert> alerts = AlertsOf(pass);
  std::string told;
  std::set<std::string> ids;
  for (const Alert& a : alerts) {
    told += StrCat(a.campaign, " ", a.kind, " ", a.other, a.verdict_before, "\n");
    ids.insert(a.id);
    EXPECT_EQ((AlertJson(a) + AlertOtlp(a)).find("nobody may see"), std::string::npos);
    EXPECT_EQ((AlertJson(a) + AlertOtlp(a)).find("acct_secret"), std::string::npos);
  }
  EXPECT_EQ(told, "cmp_1 opened cmp_0\ncmp_3 grew \ncmp_4 closed distillation\ncmp_5 faded \n");
  EXPECT_EQ(ids.size(), alerts.size());
  pass.ended_ms = 99;  // told again after a restart
  EXPECT_EQ(AlertsOf(pass)[0].id, alerts[0].id);
}

}  // namespace
}  // namespace stillwatch::serve
