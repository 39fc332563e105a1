#include "serve/http/server.h"

#include <gtest/gtest.h>
#include <isa-l/igzip_lib.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <zstd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "serve/http/body.h"
#include "serve/http/test_client.h"

namespace stillwatch::serve {
namespace {

using std::chrono::milliseconds;

class ServerTest : public testing::Test {
 protected:
  ServerTest() : log_(LogLevel::kError) {
    router_.Add("GET", "/hello", Role::kPublic, Speed::kInline,
                [](const HttpRequest&) { return JsonReply("{\"hello\":1}"); });
    const auto echo = [this](const HttpRequest& r) {
      ++calls_;
      HttpReply reply = JsonReply(std::string(r.body));
      reply.headers.emplace_back("X-Who", r.principal->name);
      reply.headers.emplace_back("X-Suffix", std::string(r.suffix));
      return reply;
    };
    router_.Add("POST", "/echo", Role::kDecide, Speed::kInline, echo);
    router_.Add("POST", "/slow-echo", Role::kIngest, Speed::kPool, echo);
    router_.Add({.method = "*",
                 .pattern = "/check/*",
                 .role = Role::kDecide,
                 .speed = Speed::kInline,
                 .handler = echo,
                 .token_header_only = true});
    router_.Add({.method = "*",
                 .pattern = "/peers/*",
                 .role = Role::kDecide,
                 .speed = Speed::kInline,
                 .handler = echo,
                 .body_bytes = 16,
                 .basic = true,
                 .refusal = [](int status, std::string_view) {
                   HttpReply reply = JsonReply("{\"theirs\":1}", status);
                   reply.content_type = "application/theirs";
                   return reply;
                 }});
    router_.Add("GET", "/admin", Role::kAdmin, Speed::kPool,
                [](const HttpRequest&) { return JsonReply("{}"); });
    router_.Add("POST", "/wait", Role::kPublic, Speed::kPool, [this](const HttpRequest&) {
      ++waiting_;
      while (!go_) std::this_thread::sleep_for(milliseconds(1));
      return JsonReply("{}");
    });
    router_.Add("GET", "/throw", Role::kPublic, Speed::kInline,
                [](const HttpRequest&) -> HttpReply { throw std::runtime_error("secret"); });
    options_.endpoints = {{.router = &router_}};
    options_.limits.tick = milliseconds(20);
  }
  ~ServerTest() override { go_ = true; }
  void Start(std::shared_ptr<const TokenStore> tokens = nullptr) {
    auto server = Server::Start(options_, std::move(tokens), &metrics_, &log_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
    port_ = server_->ports()[0];
  }
  static std::shared_ptr<TokenTable> Tokens() {
    auto t = std::make_shared<TokenTable>();
    EXPECT_TRUE(t->Add(HashToken("sw_decide"), {"gateway", RoleBit(Role::kDecide)}));
    EXPECT_TRUE(t->Add(HashToken("sw_admin"), {"root", RoleBit(Role::kAdmin)}));
    EXPECT_TRUE(t->Add(HashToken("sw_old"), {"old", RoleBit(Role::kAdmin)}, 1000));
    return t;
  }

  // Announces a body for /echo and waits until the server has read as much.
  static bool Begins(TestClient& c, size_t bytes) {
    c.Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: " +
           std::to_string(bytes) + "\r\n\r\n");
    return c.Receive().status == 100;
  }
  template <typename F>
  static bool Soon(const F& what) {
    const auto bound = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!what()) {
      if (std::chrono::steady_clock::now() > bound) return false;
      std::this_thread::sleep_for(milliseconds(5));
    }
    return true;
  }

  std::atomic<int> calls_{0}, waiting_{0};
  std::atomic<bool> go_{false};
  Router router_;
  Metrics metrics_;
  Log log_;
  ServerOptions options_;
  uint16_t port_ = 0;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, KeepsConnectionsAndAnswersInOrder) {
  Start();
  TestClient c(port_);
  EXPECT_EQ(c.Do("GET", "/hello").body, "{\"hello\":1}");
  EXPECT_EQ(c.Do("POST", "/echo", "[1]").body, "[1]");
  // A whole pipeline in one packet, slow and fast mixed.
  std::string all;
  for (int i = 0; i < 20; ++i) {
    const std::string body = std::to_string(i);
    all += std::string("POST ") + (i % 3 ? "/echo" : "/slow-echo") +
           " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  }
  c.Send(all);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(c.Receive().body, std::to_string(i));
  const TestReply head = c.Do("HEAD", "/hello");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.Header("Content-Length"), "11");
  EXPECT_EQ(c.Do("GET", "/hello").status, 200);
}

TEST_F(ServerTest, SaysWhatIsWrongWithARequest) {
  Start();
  TestClient c(port_);
  EXPECT_EQ(c.Do("GET", "/nothing").status, 404);
  const TestReply method = c.Do("DELETE", "/hello");
  EXPECT_EQ(method.status, 405);
  EXPECT_EQ(method.Header("Allow"), "GET");
  const TestReply mine = c.Do("GET", "/throw");
  EXPECT_EQ(mine.status, 500);
  EXPECT_EQ(mine.body.find("secret"), std::string::npos);
  EXPECT_EQ(c.Do("GET", "/hello").status, 200);  // none of them cost the connection
  for (const char* bad :
       {"GARBAGE\r\n\r\n", "GET /hello HTTP/3.7\r\nHost: a\r\n\r\n", "GET /hello HTTP/1.1\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: "
        "2\r\n\r\nab",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: "
        "chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    TestClient one(port_);
    one.Send(bad);
    const TestReply r = one.Receive();
    EXPECT_EQ(r.status, 400) << bad;
    EXPECT_NE(r.body.find("\"message\""), std::string::npos) << r.body;
    EXPECT_TRUE(one.Ended()) << bad;
  }
  TestClient other(port_);
  other.Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n");
  EXPECT_EQ(other.Receive().status, 501);
}

TEST_F(ServerTest, TakesChunksAndWaitsForContinue) {
  Start();
  TestClient c(port_);
  c.Send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  std::this_thread::sleep_for(milliseconds(30));
  c.Send("2;x=y\r\nde\r\n0\r\n\r\n");
  EXPECT_EQ(c.Receive().body, "abcde");
  c.Send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: "
      "2\r\n\r\n");
  EXPECT_EQ(c.Receive().status, 100);
  c.Send("ok");
  EXPECT_EQ(c.Receive().body, "ok");
}

TEST_F(ServerTest, HoldsItsLimits) {
  options_.limits.header_bytes = 1024;
  options_.limits.body_bytes = 10'000;
  options_.limits.bodies_in_flight = 15'000;
  options_.limits.connections = 8;
  Start();
  {
    TestClient c(port_);
    c.Send("GET /hello HTTP/1.1\r\nHost: a\r\nX: " + std::string(2000, 'x') + "\r\n\r\n");
    EXPECT_EQ(c.Receive().status, 431);
  }
  {
    TestClient c(port_);
    c.Send("GET /" + std::string(200'000, 'x') + " HTTP/1.1\r\n");  // no end in sight
    EXPECT_EQ(c.Receive().status, 431);
  }
  {
    TestClient c(port_);  // refused by what it announces
    c.Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10001\r\n\r\n");
    EXPECT_EQ(c.Receive().status, 413);
  }
  {
    TestClient c(port_);  // announces nothing
    c.Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 11 && c.Send("3e8\r\n" + std::string(1000, 'x') + "\r\n"); ++i) {
    }
    EXPECT_EQ(c.Receive().status, 413);
  }
  {
    TestClient c(port_);  // a chunk's extension without end
    c.Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;" +
           std::string(40'000, 'x'));
    const int status = c.Receive().status;
    EXPECT_TRUE(status == 431 || status == 400) << status;
  }
  {
    TestClient a(port_), b(port_);
    ASSERT_TRUE(Begins(a, 9000));
    b.Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n");
    const TestReply busy = b.Receive();
    EXPECT_EQ(busy.status, 503);
    EXPECT_EQ(busy.Header("Retry-After"), "1");
    a.Send(std::string(9000, 'x'));
    EXPECT_EQ(a.Receive().status, 200);
    // What it sent counts until the server has seen its reply go out.
    int status = 0;
    for (int tries = 0; tries < 3000 && status != 200; ++tries) {
      if (tries) std::this_thread::sleep_for(milliseconds(20));
      status = TestClient(port_).Do("POST", "/echo", std::string(9000, 'x')).status;
    }
    EXPECT_EQ(status, 200);
  }
  std::vector<std::unique_ptr<TestClient>> many;
  for (int i = 0; i < 8; ++i) {
    many.push_back(std::make_unique<TestClient>(port_));
    int status = 0;
    for (int tries = 0; tries < 100 && status != 200;
         ++tries) {  // the ones above may still be open
      if (tries) many.back() = std::make_unique<TestClient>(port_);
      status = many.back()->Do("GET", "/hello").status;
      if (status != 200) std::this_thread::sleep_for(milliseconds(20));
    }
    EXPECT_EQ(status, 200);
  }
  TestClient ninth(port_);
  EXPECT_EQ(ninth.Receive().status, 503);
  EXPECT_EQ(many[0]->Do("GET", "/hello").status, 200);
}

TEST_F(ServerTest, CutsOffSlowClients) {
  options_.limits.header = options_.limits.body = milliseconds(150);
  options_.limits.idle = milliseconds(300);
  options_.limits.write = milliseconds(300);
  router_.Add("GET", "/large", Role::kPublic, Speed::kInline,
              [](const HttpRequest&) { return JsonReply(std::string(64 << 20, 'x')); });
  Start();
  TestClient header(port_), body(port_), idle(port_), deaf(port_);
  deaf.Send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
  header.Send("GET /hel");
  body.Send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab");
  for (int i = 0; i < 10; ++i) {  // a byte now and then buys no time
    std::this_thread::sleep_for(milliseconds(20));
    header.Send("x");
  }
  EXPECT_EQ(header.Receive().status, 408);
  EXPECT_EQ(body.Receive().status, 408);
  EXPECT_TRUE(idle.Ended());
  EXPECT_TRUE(Soon([&] {
    return metrics_.Text().find("stillwatch_http_slow_clients_total 3") != std::string::npos;
  })) << metrics_.Text();
}

std::string Gzip(const std::string& text) {
  isal_zstream z;
  isal_deflate_stateless_init(&z);
  z.gzip_flag = IGZIP_GZIP;
  z.end_of_stream = 1;
  std::string out(text.size() + (text.size() >> 10) + 1024, '\0');
  z.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  z.avail_in = uint32_t(text.size());
  z.next_out = reinterpret_cast<uint8_t*>(out.data());
  z.avail_out = uint32_t(out.size());
  isal_deflate_stateless(&z);
  out.resize(z.total_out);
  return out;
}
std::string Zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

TEST_F(ServerTest, DecompressesWithinBounds) {
  options_.limits.decompressed_bytes = 1 << 20;
  Start();
  std::string text;
  for (int i = 0; i < 9000; ++i) text += "line " + std::to_string(i * 7919) + "\n";
  TestClient c(port_);
  EXPECT_EQ(c.Do("POST", "/echo", Gzip(text), "Content-Encoding: gzip\r\n").body, text);
  EXPECT_EQ(c.Do("POST", "/echo", Gzip("ab") + Gzip("cd"), "Content-Encoding: GZIP\r\n").body,
            "abcd");
  EXPECT_EQ(c.Do("POST", "/slow-echo", Zstd(text), "Content-Encoding: zstd\r\n").body, text);
  EXPECT_EQ(c.Do("POST", "/slow-echo", Zstd("ab") + Zstd("cd"), "Content-Encoding: zstd\r\n").body,
            "abcd");
  const std::string bomb(200 << 20, '\0');
  EXPECT_EQ(c.Do("POST", "/echo", Gzip(bomb), "Content-Encoding: gzip\r\n").status, 413);
  EXPECT_EQ(c.Do("POST", "/echo", Zstd(bomb), "Content-Encoding: zstd\r\n").status, 413);
  EXPECT_EQ(c.Do("POST", "/echo", "junk", "Content-Encoding: gzip\r\n").status, 400);
  EXPECT_EQ(c.Do("POST", "/echo", "junk", "Content-Encoding: zstd\r\n").status, 400);
  const std::string gz = Gzip(text), zs = Zstd(text);
  for (size_t n : {size_t(1), size_t(11), gz.size() / 2, gz.size() - 1})
    EXPECT_EQ(c.Do("POST", "/echo", gz.substr(0, n), "Content-Encoding: gzip\r\n").status, 400)
        << n;
  for (size_t n : {size_t(1), size_t(11), zs.size() / 2, zs.size() - 1})
    EXPECT_EQ(c.Do("POST", "/echo", zs.substr(0, n), "Content-Encoding: zstd\r\n").status, 400)
        << n;
  EXPECT_EQ(c.Do("POST", "/echo", "x", "Content-Encoding: br\r\n").status, 415);
}

TEST_F(ServerTest, AsksForTokensAndRoles) {
  Start(Tokens());
  TestClient c(port_);
  EXPECT_EQ(c.Do("GET", "/hello").status, 200);
  const TestReply none = c.Do("POST", "/echo", "x");
  EXPECT_EQ(none.status, 401);
  EXPECT_NE(none.Header("WWW-Authenticate"), "");
  EXPECT_TRUE(c.Ended());  // its body was not read
  const auto with = [&](const char* method, const char* path, const std::string& headers) {
    return TestClient(port_).Do(method, path, "", headers);
  };
  EXPECT_EQ(with("POST", "/echo", "Authorization: Bearer sw_decide\r\n").Header("X-Who"),
            "gateway");
  EXPECT_EQ(with("POST", "/echo", "authorization: bearer sw_decide\r\n").status, 200);
  EXPECT_EQ(with("POST", "/echo", "x-api-key: sw_decide\r\n").status, 200);
  EXPECT_EQ(with("POST", "/echo", "X-Stillwatch-Token: sw_decide\r\n").status, 200);
  EXPECT_EQ(with("POST", "/echo", "Authorization: Bearer sw_decidf\r\n").status, 401);
  EXPECT_EQ(with("POST", "/echo", "Authorization: Basic sw_decide\r\n").status, 401);
  EXPECT_EQ(with("GET", "/admin", "Authorization: Bearer sw_decide\r\n").status, 403);
  EXPECT_EQ(with("GET", "/admin", "Authorization: Bearer sw_old\r\n").status, 401);  // expired
  EXPECT_EQ(with("GET", "/admin", "Authorization: Bearer sw_admin\r\n").status, 200);
  EXPECT_EQ(with("POST", "/slow-echo", "Authorization: Bearer sw_admin\r\n").status, 403);
  // At a check the client's own key is no token of ours.
  EXPECT_EQ(with("GET", "/check/v1/messages", "x-api-key: sw_decide\r\n").status, 401);
  const TestReply check = with("PUT", "/check/v1/messages", "X-Stillwatch-Token: sw_decide\r\n");
  EXPECT_EQ(check.status, 200);
  EXPECT_EQ(check.Header("X-Suffix"), "v1/messages");
  // Where Basic is taken the token is the password; what the server refuses is in the route's
  // words.
  const TestReply basic = with("GET", "/peers/x", "Authorization: basic YTpzd19kZWNpZGU=\r\n");
  EXPECT_EQ(basic.status, 200);  // a:sw_decide
  EXPECT_EQ(basic.Header("X-Who"), "gateway");
  EXPECT_EQ(with("GET", "/peers/x", "Authorization: Bearer sw_decide\r\n").status, 200);
  for (const char* bad :
       {"", "Basic", "Basic c3dfZGVjaWRl" /* no colon */, "Basic YTpzd19kZWNpZGY=", "Basic YTpz!2",
        "Basic sw_decide", "Digest YTpzd19kZWNpZGU="}) {
    const TestReply no = with("GET", "/peers/x", std::string("Authorization: ") + bad + "\r\n");
    EXPECT_EQ(no.status, 401) << bad;
    EXPECT_EQ(no.body, "{\"theirs\":1}") << bad;
    EXPECT_EQ(no.Header("Content-Type"), "application/theirs");
    EXPECT_EQ(no.Header("WWW-Authenticate"), "Basic realm=\"stillwatch\"");
  }
  const TestReply lacks = with("GET", "/peers/x", "Authorization: Bearer sw_admin\r\n");
  EXPECT_EQ(lacks.status, 403);
  EXPECT_EQ(lacks.body, "{\"theirs\":1}");
  const TestReply longer = TestClient(port_).Do("POST", "/peers/x", std::string(17, 'x'),
                                                "Authorization: Bearer sw_decide\r\n");
  EXPECT_EQ(longer.status, 413);
  EXPECT_EQ(longer.body, "{\"theirs\":1}");
  // New tokens hold for connections that are open.
  TestClient open(port_);
  EXPECT_EQ(open.Do("POST", "/echo", "", "X-Api-Key: sw_decide\r\n").status, 200);
  auto other = std::make_shared<TokenTable>();
  other->Add(HashToken("sw_new"), {"new", RoleBit(Role::kDecide)});
  ASSERT_TRUE(server_->SetTokens(other).ok());
  int status = 200;
  for (int i = 0; i < 100 && status == 200; ++i)
    status = open.Do("POST", "/echo", "", "X-Api-Key: sw_decide\r\n").status;
  EXPECT_EQ(status, 401);
  EXPECT_EQ(with("POST", "/echo", "X-Api-Key: sw_new\r\n").status, 200);
}

TEST_F(ServerTest, WithoutTokensPagesOfElsewhereMayNotAdminister) {
  Start();
  const auto with = [&](const std::string& head) {
    TestClient c(port_);
    c.Send("GET /admin HTTP/1.1\r\n" + head + "\r\n");
    return c.Receive().status;
  };
  EXPECT_EQ(with("Host: 127.0.0.1:80\r\n"), 200);
  EXPECT_EQ(with("Host: [::1]:80\r\n"), 200);
  EXPECT_EQ(with("Host: localhost\r\nOrigin: http://localhost:8080\r\n"), 200);
  EXPECT_EQ(with("Host: evil.example\r\n"), 403);  // a name that was made to point here
  EXPECT_EQ(with("Host: localhost\r\nOrigin: https://evil.example\r\n"), 403);
  EXPECT_EQ(with("Host: localhost\r\nOrigin: null\r\n"), 403);
}

TEST_F(ServerTest, OthersReachItOnlyWithTlsAndTokens) {
  options_.endpoints[0].address = "0.0.0.0";
  const auto refused = Server::Start(options_, Tokens(), &metrics_, &log_);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.status().message().find("TLS"), absl::string_view::npos);
  options_.insecure = true;
  Start(Tokens());
  EXPECT_EQ(TestClient(port_).Do("GET", "/hello").status, 200);
}

TEST_F(ServerTest, APortThatIsTakenIsAnError) {
  Start();
  options_.endpoints[0].port = port_;
  const auto second = Server::Start(options_, nullptr, &metrics_, &log_);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find("in use"), absl::string_view::npos) << second.status();
}

TEST_F(ServerTest, AFullPoolIsSaidAndDecisionsGoOn) {
  options_.pool_threads = 2;
  options_.limits.pool_queue = 3;
  Start();
  std::vector<std::unique_ptr<TestClient>> waiting;
  for (int i = 0; i < 5; ++i) {
    waiting.push_back(std::make_unique<TestClient>(port_));
    waiting.back()->Send("POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    if (i < 2) {
      while (waiting_ <= i) std::this_thread::sleep_for(milliseconds(1));
    }
  }
  while (metrics_.Text().find("stillwatch_http_pool_waiting 3") == std::string::npos)
    std::this_thread::sleep_for(milliseconds(1));
  TestClient c(port_);
  const TestReply busy = c.Do("POST", "/slow-echo", "x");
  EXPECT_EQ(busy.status, 503);
  EXPECT_EQ(busy.Header("Retry-After"), "1");
  // Inline handlers answer, those with a long body too, on the same connection.
  EXPECT_EQ(c.Do("POST", "/echo", std::string(1 << 20, 'x')).body.size(), 1u << 20);
  go_ = true;
  for (auto& w : waiting) EXPECT_EQ(w->Receive().status, 200);
}

TEST_F(ServerTest, DrainsWithoutLosingARequest) {
  Start();
  TestClient idle(port_), busy(port_), half(port_);
  EXPECT_EQ(idle.Do("GET", "/hello").status, 200);
  busy.Send("POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(Begins(half, 4));
  half.Send("ab");
  EXPECT_TRUE(Soon([&] { return waiting_ > 0; }));
  size_t cut = 99;
  std::thread drain([&] { cut = server_->Drain(std::chrono::seconds(60)); });
  EXPECT_TRUE(idle.Ended());  // it has begun
  half.Send("cd");
  const TestReply last = half.Receive();
  EXPECT_EQ(last.body, "abcd");
  EXPECT_EQ(last.Header("Connection"), "close");
  go_ = true;
  EXPECT_EQ(busy.Receive().status, 200);
  drain.join();
  EXPECT_EQ(cut, 0u);
  EXPECT_FALSE(TestClient(port_).connected());
}

TEST_F(ServerTest, DrainingHasABound) {
  options_.limits.body = std::chrono::seconds(60);
  Start();
  TestClient half(port_);
  ASSERT_TRUE(Begins(half, 4));
  half.Send("ab");
  EXPECT_EQ(server_->Drain(milliseconds(200)), 1u);
  EXPECT_TRUE(half.Ended());
}

// A self-signed certificate of that name, and its key.
void WriteCertificate(const std::string& folder, const char* name) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* x = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  X509_gmtime_adj(X509_getm_notBefore(x), 0);
  X509_gmtime_adj(X509_getm_notAfter(x), 3600);
  X509_set_pubkey(x, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509_set_issuer_name(x, X509_get_subject_name(x));
  X509_sign(x, key, EVP_sha256());
  FILE* f = std::fopen((folder + "/cert.pem").c_str(), "w");
  PEM_write_X509(f, x);
  std::fclose(f);
  f = std::fopen((folder + "/key.pem").c_str(), "w");
  PEM_write_PrivateKey(f, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(f);
  X509_free(x);
  EVP_PKEY_free(key);
}

class TlsClient {
 public:
  explicit TlsClient(uint16_t port, int version = TLS1_3_VERSION)
      : raw_(port), context_(SSL_CTX_new(TLS_client_method())), ssl_(SSL_new(context_)) {
    SSL_set_min_proto_version(ssl_, 0);
    SSL_set_max_proto_version(ssl_, version);
    SSL_set_fd(ssl_, raw_.fd());
    ok_ = SSL_connect(ssl_) == 1;
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  bool ok() const { return ok_; }
  std::string Name() const {
    X509* x = SSL_get1_peer_certificate(ssl_);
    char text[64] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, text, sizeof text);
    X509_free(x);
    return text;
  }
  std::string Get(const std::string& path) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    SSL_write(ssl_, request.data(), int(request.size()));
    char reply[4096];
    const int n = SSL_read(ssl_, reply, sizeof reply);
    return std::string(reply, size_t(std::max(n, 0)));
  }

 private:
  TestClient raw_;
  SSL_CTX* context_;
  SSL* ssl_;
  bool ok_ = false;
};

TEST_F(ServerTest, SpeaksTlsAndReadsANewCertificate) {
  const std::string folder = testing::TempDir();
  WriteCertificate(folder, "first");
  options_.tls_certificate = folder + "/cert.pem";
  options_.tls_key = folder + "/key.pem";
  options_.limits.header = milliseconds(300);
  options_.endpoints[0].address = "0.0.0.0";
  Start(Tokens());  // with both others may reach it
  TlsClient old(port_);
  ASSERT_TRUE(old.ok());
  EXPECT_EQ(old.Name(), "first");
  EXPECT_NE(old.Get("/hello").find("{\"hello\":1}"), std::string::npos);
  EXPECT_FALSE(TlsClient(port_, TLS1_1_VERSION).ok());
  EXPECT_TRUE(TlsClient(port_, TLS1_2_VERSION).ok());
  TestClient plain(port_);  // who speaks no TLS, or nothing at all, is cut off
  plain.Send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(plain.Ended());
  EXPECT_TRUE(TestClient(port_).Ended());

  std::ofstream(folder + "/cert.pem") << "nonsense";
  const absl::Status bad = server_->ReloadTls();
  EXPECT_NE(bad.message().find("cert.pem"), absl::string_view::npos) << bad;
  EXPECT_EQ(TlsClient(port_).Name(), "first");
  WriteCertificate(folder, "second");
  ASSERT_TRUE(server_->ReloadTls().ok());
  std::string name;
  for (int i = 0; i < 100 && name != "second"; ++i) name = TlsClient(port_).Name();
  EXPECT_EQ(name, "second");
  EXPECT_NE(old.Get("/hello").find("{\"hello\":1}"), std::string::npos);  // it goes on
}

TEST(Router, MatchesExactlyThenTheLongestPattern) {
  Router r;
  const auto name = [](const char* n) { return [n](const HttpRequest&) { return JsonReply(n); }; };
  r.Add("GET", "/a", Role::kPublic, Speed::kInline, name("a"));
  r.Add("GET", "/a/{id}", Role::kPublic, Speed::kInline, name("id"));
  r.Add("POST", "/a/{id}/close", Role::kPublic, Speed::kInline, name("close"));
  r.Add("*", "/a/b/*", Role::kPublic, Speed::kInline, name("rest"));
  const auto got = [&](const char* method, const char* path) {
    const auto m = r.Find(method, path);
    return m.route ? m.route->handler({}).body : "allow " + m.allow;
  };
  EXPECT_EQ(got("GET", "/a"), "a");
  EXPECT_EQ(got("GET", "/a/x%20y"), "id");
  EXPECT_EQ(r.Find("GET", "/a/x%20y").params[0].second, "x y");
  EXPECT_EQ(got("GET", "/a/%zz"), "allow ");
  EXPECT_EQ(got("GET", "/a/"), "allow ");
  EXPECT_EQ(got("POST", "/a/7/close"), "close");
  EXPECT_EQ(got("GET", "/a/7/close"), "allow POST");
  EXPECT_EQ(got("PUT", "/a/b/"), "rest");
  EXPECT_EQ(got("PUT", "/a/b/c/d"), "rest");
  EXPECT_EQ(got("GET", "/a/b"), "id");
  EXPECT_EQ(got("PATCH", "/a"), "allow GET");
}

TEST(Request, QueryAndHeaders) {
  HttpRequest r;
  r.query = "a=1&b=x+y%2F&empty=&flag&bad=%q";
  EXPECT_EQ(r.Query("a"), "1");
  EXPECT_EQ(r.Query("b"), "x y/");
  EXPECT_EQ(r.Query("empty"), "");
  EXPECT_EQ(r.Query("flag"), "");
  EXPECT_EQ(r.Query("bad"), std::nullopt);
  EXPECT_EQ(r.Query("none"), std::nullopt);
  r.headers = {{"Content-Type", "Application/JSON ; charset=utf-8"}, {"x", "1"}, {"X", "2"}};
  EXPECT_EQ(r.ContentType(), "application/json");
  EXPECT_EQ(r.Header("X"), "1");
}

TEST(Tokens, AreKeptAsHashes) {
  const std::string token = NewToken();
  EXPECT_EQ(token.size(), 46u);
  EXPECT_NE(token, NewToken());
  const std::string hex = TokenHashHex(HashToken(token));
  EXPECT_EQ(ParseTokenHash(hex), HashToken(token));
  EXPECT_EQ(ParseTokenHash(hex.substr(1)), std::nullopt);
  EXPECT_EQ(ParseTokenHash("zz" + hex.substr(2)), std::nullopt);
  EXPECT_TRUE(SameSecret("a", "a"));
  EXPECT_FALSE(SameSecret("a", "b"));
  TokenTable t;
  EXPECT_TRUE(t.Add(HashToken(token), {"n", 0}));
  EXPECT_FALSE(t.Add(HashToken(token), {"m", 0}));
  ASSERT_TRUE(t.Find(token, 0));
  EXPECT_EQ(t.Find(token, 0)->name, "n");
  EXPECT_EQ(t.Find("", 0), std::nullopt);
}

TEST(Log, OneObjectALine) {
  const std::string path = testing::TempDir() + "/log";
  {
    Log log(LogLevel::kInfo, path);
    log.Info("start \"x\"\n", {{"n", 3}, {"ok", true}, {"f", 1.5}, {"s", "a\\b"}});
    log.Write(LogLevel::kDebug, "hidden");
    log.SetLevel(LogLevel::kDebug);
    log.Write(LogLevel::kDebug, "shown");
  }
  std::ifstream in(path);
  std::string first, second, third;
  std::getline(in, first);
  std::getline(in, second);
  EXPECT_NE(first.find("\"level\":\"info\",\"event\":\"start \\\"x\\\"\\n\",\"n\":3,\"ok\":true,"
                       "\"f\":1.5,\"s\":\"a\\\\b\"}"),
            std::string::npos)
      << first;
  EXPECT_NE(second.find("shown"), std::string::npos);
  EXPECT_FALSE(std::getline(in, third));
}

TEST(Metrics, CountsInBuckets) {
  Metrics m;
  Latency& l = m.Histogram("x_seconds", "help", {{"endpoint", "/a"}});
  EXPECT_EQ(&l, &m.Histogram("x_seconds", "help", {{"endpoint", "/a"}}));
  l.Observe(40'000);
  l.Observe(3'000'000);
  l.Observe(60'000'000'000);
  m.Counter("y_total", "help", {{"a", "b"}}).Increment();
  m.Counter("y_total", "help", {{"a", "b"}}).Increment();
  m.Watch("z", "help", [] { return 4.0; });
  const std::string text = m.Text();
  for (const char* want :
       {"x_seconds_bucket{endpoint=\"/a\",le=\"0.002\"} 1\n",
        "x_seconds_bucket{endpoint=\"/a\",le=\"0.005\"} 2\n",
        "x_seconds_bucket{endpoint=\"/a\",le=\"+Inf\"} 3\n", "x_seconds_count{endpoint=\"/a\"} 3\n",
        "y_total{a=\"b\"} 2\n", "\nz 4\n"}) {
    EXPECT_NE(text.find(want), std::string::npos) << want << text;
  }
}

}  // namespace
}  // namespace stillwatch::serve
