// The client before peers that are honest, busy, wrong, lying and gone. What it does with our own
// server: serve/taxii.
#include "share/taxii/client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mutex>
#include <thread>

#include "base/str.h"
#include "share/taxii/envelope.h"
#include "share/taxii/media.h"

namespace stillwatch::share {
namespace {

using base::StrCat;
using std::chrono::milliseconds;

// A peer by hand: one request a connection, answered with whatever `answer` says of it.
class Peer {
 public:
  using Answer = std::function<std::string(const std::string& request)>;
  explicit Peer(Answer answer) : answer_(std::move(answer)), fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&at), size), 0);
    EXPECT_EQ(listen(fd_, 64), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~Peer() {
    stop_ = true;
    thread_.join();
    close(fd_);
  }
  std::string url() const { return StrCat("http://127.0.0.1:", port_, "/taxii2/"); }
  std::vector<std::string> requests() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return requests_;
  }

 private:
  void Run() {
    while (!stop_) {
      pollfd p{fd_, POLLIN, 0};
      if (poll(&p, 1, 20) <= 0) continue;
      const int c = accept(fd_, nullptr, nullptr);
      if (c < 0) continue;
      std::string in;
      size_t end, length = 0;
      char part[65536];
      while (true) {
        end = in.find("\r\n\r\n");
        if (end != in.npos) {
          const size_t at = in.find("Content-Length: ");
          length = at == in.npos ? 0 : std::strtoull(in.c_str() + at + 16, nullptr, 10);
          if (in.size() >= end + 4 + length) break;
        }
        const ssize_t n = recv(c, part, sizeof part, 0);
        if (n <= 0) break;
        in.append(part, size_t(n));
      }
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        requests_.push_back(in);
      }
      const std::string out = answer_(in);
      for (size_t at = 0; at < out.size();) {
        const ssize_t n = send(c, out.data() + at, out.size() - at, MSG_NOSIGNAL);
        if (n <= 0) break;
        at += size_t(n);
      }
      shutdown(c, SHUT_WR);
      while (recv(c, part, sizeof part, 0) > 0) {
      }
      close(c);
    }
  }
  const Answer answer_;
  const int fd_;
  uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

std::string Http(int status, const std::string& body, const std::string& headers = "",
                 const std::string& type = kTaxiiMedia) {
  return StrCat("HTTP/1.1 ", status, " X\r\nContent-Type: ", type,
                "\r\nContent-Length: ", body.size(), "\r\nConnection: close\r\n", headers, "\r\n",
                body);
}

constexpr const char* kDiscovery = R"({"title":"t","api_roots":["/taxii2/r"]})";
constexpr const char* kRoot =
    R"({"title":"r","versions":["application/taxii+json;version=2.1"],"max_content_length":100000})";
constexpr const char* kCollections =
    R"({"collections":[{"id":"c1","title":"One","can_read":true,"can_write":true},)"
    R"({"id":"c2","title":"Two","alias":"two","can_read":true,"can_write":false},)"
    R"({"id":"c3","title":"Two","can_read":false,"can_write":true}]})";

// Discovery to collections as they should be; `rest` answers everything below a collection.
Peer::Answer Honest(Peer::Answer rest) {
  return [rest = std::move(rest)](const std::string& r) {
    if (r.starts_with("GET /taxii2/ ")) return Http(200, kDiscovery);
    if (r.starts_with("GET /taxii2/r/ ")) return Http(200, kRoot);
    if (r.starts_with("GET /taxii2/r/collections/ ")) return Http(200, kCollections);
    return rest(r);
  };
}

std::string Page(int from, int n, const std::string& more) {
  std::string out = "{" + more + "\"objects\":[";
  for (int i = 0; i < n; ++i)
    base::StrAppend(&out, i == 0 ? "" : ",", "{\"id\":\"x--", from + i, "\"}");
  return out + "]}";
}
std::string Dated(int seconds) {
  return StrCat("X-TAXII-Date-Added-Last: 2026-01-01T00:00:", seconds < 10 ? "0" : "", seconds,
                ".000001Z\r\n");
}

TaxiiClientOptions Options(const std::string& url) {
  TaxiiClientOptions o;
  o.url = url;
  o.secret = "s3cret";
  o.pause = milliseconds(1);
  return o;
}

absl::StatusOr<Pulled> PullFrom(Peer& peer, PullOptions options = {},
                                TaxiiClientOptions (*tune)(TaxiiClientOptions) = nullptr) {
  auto o = Options(peer.url());
  if (tune) o = tune(o);
  auto client = TaxiiClient::Create(o);
  if (!client.ok()) return client.status();
  auto c = (*client)->Find("c1");
  if (!c.ok()) return c.status();
  return (*client)->Pull(*c, options);
}

std::string Why(const absl::Status& s) { return {s.message().data(), s.message().size()}; }

TEST(TaxiiClient, FindsCollections) {
  Peer peer(Honest([](const std::string&) { return Http(404, "{}"); }));
  auto client = TaxiiClient::Create(Options(peer.url()));
  ASSERT_TRUE(client.ok());
  auto all = (*client)->Collections();
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->size(), 3u);
  EXPECT_TRUE((*all)[0].url.ends_with("/taxii2/r/collections/c1/"));
  EXPECT_EQ((*client)->Find("C1")->title, "One");
  EXPECT_EQ((*client)->Find("One")->id, "c1");
  EXPECT_EQ((*client)->Find("two")->id, "c2");
  EXPECT_NE(Why((*client)->Find("Two").status()).find("by its id"), std::string::npos);
  const auto none = (*client)->Find("Three");
  EXPECT_TRUE(absl::IsNotFound(none.status()));
  EXPECT_NE(Why(none.status()).find("c1 (One)"), std::string::npos) << none.status();
  for (const std::string& r : peer.requests()) {
    EXPECT_NE(r.find("Authorization: Bearer s3cret\r\n"), std::string::npos) << r;
    EXPECT_NE(r.find(StrCat("Accept: ", kTaxiiMedia, "\r\n")), std::string::npos) << r;
  }
  // An API root by its own address, and Basic.
  auto o = Options(peer.url() + "r");
  o.user = "ada";
  auto direct = TaxiiClient::Create(o);
  ASSERT_TRUE(direct.ok());
  EXPECT_EQ((*direct)->Collections()->size(), 3u);
  EXPECT_NE(peer.requests().back().find("Authorization: Basic YWRhOnMzY3JldA=="),
            std::string::npos);
}

TEST(TaxiiClient, RefusesAddressesThatWouldTellTheSecret) {
  for (const char* bad : {"", "nonsense", "ftp://127.0.0.1/", "http://example.com/taxii2/",
                          "https://u:p@example.com/", "file:///etc/passwd"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(TaxiiClient::Create(Options(bad)).status())) << bad;
  }
  // A root on another server is left out, a redirect is not followed.
  std::atomic<int> elsewhere{0};
  Peer other([&](const std::string&) {
    ++elsewhere;
    return Http(200, kRoot);
  });
  Peer peer([&](const std::string& r) {
    if (r.starts_with("GET /taxii2/ "))
      return Http(200, StrCat(R"({"title":"t","api_roots":[")", other.url(), "\"]}"));
    return Http(302, "", StrCat("Location: ", other.url(), "\r\n"));
  });
  auto client = TaxiiClient::Create(Options(peer.url()));
  EXPECT_TRUE((*client)->Collections()->empty());
  auto moved = TaxiiClient::Create(Options(peer.url() + "moved/"));
  const auto why = (*moved)->Collections().status();
  EXPECT_TRUE(absl::IsInvalidArgument(why));
  EXPECT_NE(Why(why).find("redirect"), std::string::npos) << why;
  EXPECT_EQ(elsewhere, 0);
}

TEST(TaxiiClient, PullsAllPagesByNextAndByDate) {
  Peer peer(Honest([](const std::string& r) {
    if (r.find("next=b") != r.npos) return Http(200, Page(20, 10, R"("more":true,)"), Dated(2));
    if (r.find("added_after=2026-01-01T00%3A00%3A02.000001Z") != r.npos)
      return Http(200, Page(30, 5, R"("more":false,)"), Dated(3));
    if (r.find("next=a") != r.npos)
      return Http(200, Page(10, 10, R"("more":true,"next":"b",)"), Dated(1));
    return Http(200, Page(0, 10, R"("more":true,"next":"a",)"), Dated(0));
  }));
  auto pulled = PullFrom(peer, {.types = {"indicator", "malware"}, .version = "all", .page = 10});
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_EQ(pulled->objects.size(), 35u);
  EXPECT_EQ(pulled->objects[34], "{\"id\":\"x--34\"}");
  EXPECT_EQ(pulled->last_added, "2026-01-01T00:00:03.000001Z");
  EXPECT_EQ(pulled->pages, 4u);
  for (const std::string& r : peer.requests()) {
    if (r.find("/objects/") == r.npos) continue;
    EXPECT_NE(r.find("limit=10"), std::string::npos);
    EXPECT_NE(r.find("match%5Btype%5D=indicator%2Cmalware&match%5Bversion%5D=all"),
              std::string::npos)
        << r;
  }
  // Nothing new: the date stays.
  Peer quiet(Honest([](const std::string&) { return Http(200, "{}"); }));
  auto none = PullFrom(quiet, {.added_after = "2026-01-01T00:00:03.000001Z"});
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->objects.empty());
  EXPECT_EQ(none->last_added, "2026-01-01T00:00:03.000001Z");
  EXPECT_TRUE(absl::IsInvalidArgument(PullFrom(quiet, {.added_after = "then"}).status()));
}

TEST(TaxiiClient, WaitsForABusyPeerAndResumesWhereItWas) {
  std::atomic<int> n{0};
  Peer peer(Honest([&](const std::string& r) -> std::string {
    switch (n++) {
      case 0:
        return Http(200, Page(0, 10, R"("more":true,"next":"a",)"), Dated(1));
      case 1:
        return Http(429, "", "Retry-After: 0\r\n");
      case 2:
        return Http(503, "", "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
      case 3:
        return "";  // gone before a word
      case 4:
        return Http(200, Page(10, 10, "")).substr(0, 120);  // gone in the middle
      case 5:
        return Http(400, R"({"title":"next: none that this server gave"})");  // restarted
      default:
        EXPECT_NE(r.find("added_after=2026-01-01T00%3A00%3A01.000001Z"), std::string::npos) << r;
        EXPECT_EQ(r.find("next="), std::string::npos) << r;
        return Http(200, Page(10, 10, R"("more":false,)"), Dated(2));
    }
  }));
  auto pulled = PullFrom(peer);
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_EQ(pulled->objects.size(), 20u);
  EXPECT_EQ(n, 7);
}

TEST(TaxiiClient, GivesUpWithOneSentence) {
  const struct {
    const char* what;
    std::function<std::string()> answer;
    absl::StatusCode code;
    const char* says;
    int requests;
  } kCases[] = {
      {"busy for long", [] { return Http(503, "", "Retry-After: 86400\r\n"); },
       absl::StatusCode::kUnavailable, "86400 s", 1},
      {"always busy", [] { return Http(429, "", "Retry-After: 0\r\n"); },
       absl::StatusCode::kUnavailable, "5 times", kTaxiiTries},
      {"always gone", [] { return std::string(); }, absl::StatusCode::kUnavailable, "5 times",
       kTaxiiTries},
      {"always broken", [] { return Http(502, "x", "", "text/html"); },
       absl::StatusCode::kUnavailable, "502", kTaxiiTries},
      {"wrong media type", [] { return Http(200, "{}", "", "text/html"); },
       absl::StatusCode::kInvalidArgument, "text/html", 1},
      {"old TAXII", [] { return Http(200, "{}", "", "application/taxii+json;version=2.0"); },
       absl::StatusCode::kInvalidArgument, "version=2.0", 1},
      {"no token", [] { return Http(401, R"({"title":"who?","description":"a\u001b[2Jb"})"); },
       absl::StatusCode::kPermissionDenied, "who?: a [2Jb", 1},
      {"no right", [] { return Http(403, "{}"); }, absl::StatusCode::kPermissionDenied, "403", 1},
      {"gone collection", [] { return Http(404, "{}"); }, absl::StatusCode::kNotFound, "404", 1},
      {"not acceptable", [] { return Http(406, R"({"title":"no"})"); },
       absl::StatusCode::kInvalidArgument, "406 (no)", 1},
      {"no JSON", [] { return Http(200, "{\"objects\":[", Dated(1)); },
       absl::StatusCode::kInvalidArgument, "no JSON", 1},
      {"a list", [] { return Http(200, "[]"); }, absl::StatusCode::kInvalidArgument, "envelope", 1},
      {"a bundle", [] { return Http(200, R"({"type":"bundle","objects":[]})"); },
       absl::StatusCode::kInvalidArgument, "bundle", 1},
      {"objects of another kind", [] { return Http(200, R"({"objects":{}})"); },
       absl::StatusCode::kInvalidArgument, "array", 1},
      {"more of nothing", [] { return Http(200, R"({"more":true,"next":"a"})", Dated(1)); },
       absl::StatusCode::kInvalidArgument, "nothing that is new", 1},
      {"the same for ever", [] { return Http(200, Page(0, 3, R"("more":true,"next":"a",)")); },
       absl::StatusCode::kInvalidArgument, "nothing that is new", 2},
      {"more and not where", [] { return Http(200, Page(0, 3, R"("more":true,)")); },
       absl::StatusCode::kInvalidArgument, "not where", 1},
      {"no date", [] { return Http(200, Page(0, 1, ""), "X-TAXII-Date-Added-Last: now\r\n"); },
       absl::StatusCode::kInvalidArgument, "is no time", 1},
      {"too long",
       [] {
         return StrCat("HTTP/1.1 200 X\r\nContent-Type: ", kTaxiiMedia, "\r\n\r\n",
                       std::string(kTaxiiReplyBytes + 100, ' '));
       },
       absl::StatusCode::kResourceExhausted, "64 MiB", 1},
  };
  for (const auto& c : kCases) {
    Peer peer(Honest([&](const std::string&) { return c.answer(); }));
    const auto pulled = PullFrom(peer);
    EXPECT_EQ(pulled.status().code(), c.code) << c.what << ": " << pulled.status();
    EXPECT_NE(Why(pulled.status()).find(c.says), std::string::npos)
        << c.what << ": " << pulled.status();
    EXPECT_EQ(Why(pulled.status()).find("s3cret"), std::string::npos);
    EXPECT_EQ(int(peer.requests().size()) - 3, c.requests) << c.what;
  }
  // Dates that go back.
  std::atomic<int> n{0};
  Peer back(Honest([&](const std::string&) {
    const int i = n++;
    return Http(200, Page(10 * i, 3, StrCat(R"("more":true,"next":")", i, "\",")), Dated(5 - i));
  }));
  EXPECT_NE(Why(PullFrom(back).status()).find("go back"), std::string::npos);
}

TEST(TaxiiClient, EndsASilentPeerAndAnInterruption) {
  std::atomic<bool> go{false};
  Peer peer(Honest([&](const std::string&) {
    while (!go) std::this_thread::sleep_for(milliseconds(5));
    return std::string();
  }));
  std::atomic<bool> stop{false};
  auto o = Options(peer.url());
  o.stop = &stop;
  auto client = TaxiiClient::Create(o);
  auto c = (*client)->Find("c1");
  ASSERT_TRUE(c.ok()) << c.status();
  std::thread later([&] {
    while (peer.requests().size() < 4) std::this_thread::sleep_for(milliseconds(5));
    stop = true;
  });
  EXPECT_TRUE(absl::IsCancelled((*client)->Pull(*c, {}).status()));
  later.join();
  go = true;
}

TEST(TaxiiClient, PushesInEnvelopesThatThePeerTakes) {
  std::vector<std::string> store;
  for (int i = 0; i < 2500; ++i) store.push_back(StrCat("{\"id\":\"", i, "\"}"));
  const std::vector<std::string_view> objects(store.begin(), store.end());
  std::atomic<int> polls{0};
  const auto status = [](const char* s, int good, int bad, int pending) {
    return StrCat(R"({"id":"s1","status":")", s, R"(","total_count":)", good + bad + pending,
                  R"(,"success_count":)", good, R"(,"failure_count":)", bad, R"(,"pending_count":)",
                  pending, bad ? R"(,"failures":[{"id":"x","message":"no"}]})" : "}");
  };
  std::mutex mutex;
  std::vector<int> sizes;
  Peer peer(Honest([&](const std::string& r) {
    if (r.starts_with("POST /taxii2/r/collections/c1/objects/ ")) {
      const size_t n = size_t(std::count(r.begin(), r.end(), '{')) - 1;
      const std::lock_guard<std::mutex> lock(mutex);
      sizes.push_back(int(n));
      return Http(202, status("pending", 0, 0, int(n)));
    }
    EXPECT_TRUE(r.starts_with("GET /taxii2/r/status/s1/ ")) << r;
    if (polls++ % 2 == 0) return Http(200, status("pending", 0, 0, sizes.back()));
    return Http(200, status("complete", sizes.back() - 1, 1, 0));
  }));
  auto client = TaxiiClient::Create(Options(peer.url()));
  auto c = (*client)->Find("c1");
  ASSERT_TRUE(c.ok());
  auto pushed = (*client)->Push(*c, objects);
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_EQ(sizes, (std::vector<int>{1000, 1000, 500}));
  EXPECT_EQ(pushed->total, 2500u);
  EXPECT_EQ(pushed->success, 2497u);
  ASSERT_EQ(pushed->failures.size(), 3u);
  EXPECT_EQ(pushed->failures[0].message, "no");
  // By its bytes too; what is longer than it takes is sent to nobody.
  sizes.clear();
  const std::string large = StrCat("{\"id\":\"", std::string(60'000, 'x'), "\"}");
  ASSERT_TRUE((*client)->Push(*c, {large, large, large}).ok());
  EXPECT_EQ(sizes, (std::vector<int>{1, 1, 1}));
  sizes.clear();
  const std::string huge(100'000, 'x');
  EXPECT_TRUE(absl::IsResourceExhausted((*client)->Push(*c, {large, huge}).status()));
  EXPECT_TRUE(sizes.empty());
  EXPECT_TRUE(absl::IsPermissionDenied((*client)->Push(*(*client)->Find("c2"), {"{}"}).status()));
  EXPECT_TRUE(absl::IsPermissionDenied((*client)->Pull(*(*client)->Find("c3"), {}).status()));
}

TEST(TaxiiClient, APushThatBreaksOffIsNotSentAgainByItself) {
  std::atomic<int> posts{0};
  Peer peer(Honest([&](const std::string&) {
    ++posts;
    return std::string();  // taken, perhaps, and gone
  }));
  auto client = TaxiiClient::Create(Options(peer.url()));
  auto c = (*client)->Find("c1");
  const auto s = (*client)->Push(*c, {"{}"}).status();
  EXPECT_TRUE(absl::IsUnavailable(s)) << s;
  EXPECT_EQ(posts, 1);
  // A status of other objects than were sent is a lie.
  Peer liar(Honest([](const std::string&) {
    return Http(202, R"({"id":"s","status":"complete","total_count":5,"success_count":5,)"
                     R"("failure_count":0,"pending_count":0})");
  }));
  auto other = TaxiiClient::Create(Options(liar.url()));
  EXPECT_NE(Why((*other)->Push(*(*other)->Find("c1"), {"{}"}).status()).find("speaks of 5"),
            std::string::npos);
}

TEST(TaxiiClient, NobodyThere) {
  auto o = Options("http://127.0.0.1:1/taxii2/");
  auto client = TaxiiClient::Create(o);
  const auto s = (*client)->Collections().status();
  EXPECT_TRUE(absl::IsUnavailable(s)) << s;
  EXPECT_NE(Why(s).find("127.0.0.1:1"), std::string::npos);
  o.url = "https://127.0.0.1:1/";
  o.ca_file = "/nonexistent.pem";
  auto tls = TaxiiClient::Create(o);
  EXPECT_FALSE((*tls)->Collections().ok());
}

TEST(Envelope, ObjectsStandAsTheyCame) {
  const simdjson::padded_string text(std::string_view(
      R"({"next":"n","objects":[ {"a": 1.00 } ,{"b":[1 ,2]}	],"more":true,"x":{"objects":[]}})"));
  auto e = ReadEnvelope(text, 2);
  ASSERT_TRUE(e.ok()) << e.status();
  EXPECT_TRUE(e->more);
  EXPECT_EQ(e->next, "n");
  EXPECT_EQ(e->objects, (std::vector<std::string_view>{R"({"a": 1.00 })", R"({"b":[1 ,2]})"}));
  EXPECT_TRUE(absl::IsResourceExhausted(ReadEnvelope(text, 1).status()));
  for (const char* bad : {"", "[]", "{\"more\":1}", "{\"next\":1}", "{\"objects\":7}", "{} {}"})
    EXPECT_FALSE(ReadEnvelope(simdjson::padded_string(std::string_view(bad)), 9).ok()) << bad;
}

}  // namespace
}  // namespace stillwatch::share
