// Raw HTTP against the server: each resource, each status code, each header.
#include "serve/taxii/taxii.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <atomic>
#include <cstdio>
#include <mutex>

#include "base/str.h"
#include "base/test_folder.h"
#include "serve/grpc/test_certificate.h"
#include "serve/http/server.h"
#include "serve/http/test_client.h"
#include "serve/taxii/query.h"
#include "share/collections/stamp.h"
#include "share/taxii/client.h"
#include "share/taxii/media.h"

namespace stillwatch::serve {
namespace {

using base::StrCat;
using share::kTaxiiMedia;

std::string Id(int n, const char* type = "indicator") {
  char text[64];
  std::snprintf(text, sizeof text, "%s--00000000-0000-4000-8000-%012d", type, n);
  return text;
}
std::string Indicator(int n, const char* modified = "2026-01-01T00:00:00.000Z") {
  return StrCat(R"({"type":"indicator","spec_version":"2.1","id":")", Id(n), R"(","created":)",
                R"("2026-01-01T00:00:00.000Z","modified":")", modified, R"(","name":")", n, "\"}");
}
std::string Address(int n) {
  return StrCat(R"({"type":"ipv4-addr","id":")", Id(n, "ipv4-addr"), R"(","value":"198.51.100.)", n,
                "\"}");
}

constexpr const char* kReader = "Authorization: Bearer sw_reader\r\n";
constexpr const char* kWriter = "Authorization: Bearer sw_writer\r\n";
constexpr const char* kBoth = "Authorization: Bearer sw_both\r\n";
constexpr const char* kAdmin = "Authorization: Bearer sw_admin\r\n";
constexpr const char* kNobody = "Authorization: Bearer sw_nobody\r\n";

class TaxiiTest : public ::testing::Test {
 protected:
  TaxiiTest() : log_(LogLevel::kError, "/dev/null") {
    auto store = share::CollectionStore::Open({.dir = dir_, .now_us = [this] { return ++now_; }});
    EXPECT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    auto made = store_->Add({.alias = "peers", .title = "Peers", .description = "of ours"});
    EXPECT_TRUE(made.ok()) << made.status();
    id_ = made->id;
    objects_ = StrCat("/taxii2/share/collections/", id_, "/objects/");
    EXPECT_TRUE(store_->SetRight(id_, {"person:reader", true, false}).ok());
    EXPECT_TRUE(store_->SetRight(id_, {"person:writer", false, true}).ok());
    EXPECT_TRUE(store_->SetRight(id_, {"person:both", true, true}).ok());
    TaxiiContext c;
    c.store = store_.get();
    c.now_us = [this] { return now_.load(); };
    c.record = [this](audit::AuditRecord r) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!recording_) return absl::UnavailableError("no room on the disk /secret");
      records_.push_back(StrCat(r.actor, " ", r.action, " ", r.subject, " ", r.details));
      return absl::OkStatus();
    };
    c.check = [](std::string_view json) {
      return json.find("\"invalid\"") == json.npos
                 ? absl::OkStatus()
                 : absl::InvalidArgumentError("/name: is not what a name is");
    };
    AddTaxiiRoutes(&router_, std::move(c));
    auto tokens = std::make_shared<TokenTable>();
    for (const char* who : {"reader", "writer", "both", "nobody"}) {
      Principal p;
      p.name = who;
      p.roles = RoleBit(Role::kShare);
      tokens->Add(HashToken(StrCat("sw_", who)), p);
    }
    Principal admin;
    admin.name = "root";
    admin.roles = RoleBit(Role::kShare) | RoleBit(Role::kAdmin);
    tokens->Add(HashToken("sw_admin"), admin);
    Principal analyst;
    analyst.name = "ada";
    analyst.roles = RoleBit(Role::kAnalyst);
    tokens->Add(HashToken("sw_analyst"), analyst);
    tokens_ = tokens;
    Start({});
  }
  void Start(const std::string& tls) {
    server_.reset();
    ServerOptions options;
    options.endpoints = {{.router = &router_}};
    if (!tls.empty()) options.tls_certificate = tls + ".pem", options.tls_key = tls + ".key";
    auto server = Server::Start(options, tokens_, &metrics_, &log_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  ~TaxiiTest() override {
    server_.reset();
    store_.reset();
  }

  TestReply Do(const char* method, const std::string& path, const std::string& headers = kBoth,
               const std::string& body = "") {
    return TestClient(server_->ports()[0]).Do(method, path, body, headers);
  }
  TestReply Get(const std::string& path, const std::string& headers = kBoth) {
    return Do("GET", path, headers);
  }
  TestReply Post(const std::string& envelope, const std::string& headers = kBoth,
                 const char* type = "application/taxii+json;version=2.1") {
    return Do("POST", objects_, StrCat(headers, "Content-Type: ", type, "\r\n"), envelope);
  }
  static std::string Envelope(std::initializer_list<std::string> objects) {
    std::string out = "{\"objects\":[";
    for (const auto& o : objects) base::StrAppend(&out, out.back() == '[' ? "" : ",", o);
    return out + "]}";
  }
  void Fill(int n) {
    for (int i = 0; i < n;) {
      std::string body = "{\"objects\":[";
      for (int k = 0; k < 50 && i < n; ++k, ++i)
        base::StrAppend(&body, k == 0 ? "" : ",", Indicator(i));
      ASSERT_EQ(Post(body + "]}").status, 202);
    }
  }
  // The reply's body, parsed; lives until the next call.
  simdjson::dom::element Json(const TestReply& r) {
    simdjson::dom::element e;
    EXPECT_FALSE(parser_.parse(r.body).get(e)) << r.body;
    return e;
  }
  // An error of that status, in TAXII's words.
  void Refused(const TestReply& r, int status, const std::string& says = "") {
    EXPECT_EQ(r.status, status) << r.head << r.body;
    EXPECT_EQ(r.Header("Content-Type"), kTaxiiMedia) << r.head;
    const auto e = Json(r);
    EXPECT_EQ(std::string_view(e["http_status"]), std::to_string(status));
    EXPECT_FALSE(std::string_view(e["title"]).empty());
    EXPECT_NE(r.body.find(says), std::string::npos) << r.body;
  }

  const base::TestFolder held_;
  const std::string dir_ = held_.path();
  std::string id_, objects_;
  std::atomic<int64_t> now_{1'767'225'600'000'000};
  std::unique_ptr<share::CollectionStore> store_;
  std::mutex mutex_;
  bool recording_ = true;
  std::vector<std::string> records_;
  std::shared_ptr<const TokenTable> tokens_;
  Router router_;
  Metrics metrics_;
  Log log_;
  std::unique_ptr<Server> server_;
  simdjson::dom::parser parser_;
};

TEST_F(TaxiiTest, DiscoveryRootAndCollections) {
  const TestReply discovery = Get("/taxii2/");
  EXPECT_EQ(discovery.status, 200);
  EXPECT_EQ(discovery.Header("Content-Type"), kTaxiiMedia);
  EXPECT_EQ(std::string_view(Json(discovery)["default"]), "/taxii2/share/");
  EXPECT_EQ(std::string_view(Json(discovery)["api_roots"].at(0)), "/taxii2/share/");
  const TestReply root = Get("/taxii2/share/");
  EXPECT_EQ(uint64_t(Json(root)["max_content_length"]), kTaxiiBodyBytes);
  EXPECT_EQ(std::string_view(Json(root)["versions"].at(0)), kTaxiiMedia);
  EXPECT_EQ(Do("HEAD", "/taxii2/share/").status, 200);
  const TestReply list = Get("/taxii2/share/collections/", kReader);
  const auto c = Json(list)["collections"].at(0);
  EXPECT_EQ(std::string_view(c["id"]), id_);
  EXPECT_EQ(std::string_view(c["alias"]), "peers");
  EXPECT_TRUE(bool(c["can_read"]));
  EXPECT_FALSE(bool(c["can_write"]));
  EXPECT_EQ(std::string_view(c["media_types"].at(0)), "application/stix+json;version=2.1");
  EXPECT_EQ(Get("/taxii2/share/collections/", kNobody).body, "{}");
  const TestReply one = Get("/taxii2/share/collections/peers/", kWriter);
  EXPECT_FALSE(bool(Json(one)["can_read"]));
  EXPECT_TRUE(bool(Json(one)["can_write"]));
  EXPECT_TRUE(bool(Json(Get(StrCat("/taxii2/share/collections/", id_, "/"), kAdmin))["can_read"]));
  EXPECT_TRUE(records_.empty());
}

TEST_F(TaxiiTest, WhoMayWhat) {
  ASSERT_EQ(Post(Envelope({Indicator(1)})).status, 202);
  const std::string collection = StrCat("/taxii2/share/collections/", id_, "/");
  for (const std::string& path : {std::string("/taxii2/"), collection, objects_}) {
    const TestReply none = Get(path, "");
    Refused(none, 401);
    EXPECT_EQ(none.Header("WWW-Authenticate"), "Basic realm=\"stillwatch\"");
    Refused(Get(path, "Authorization: Bearer sw_wrong\r\n"), 401);
    Refused(Get(path, "Authorization: Bearer sw_analyst\r\n"), 403, "share");
  }
  // both:sw_both
  EXPECT_EQ(Get(objects_, "Authorization: Basic Ym90aDpzd19ib3Ro\r\n").status, 200);
  // Who may neither read nor write is not told that it is there.
  for (const std::string& path : {collection, objects_, collection + "manifest/",
                                  objects_ + Id(1) + "/", objects_ + Id(1) + "/versions/"}) {
    const TestReply hidden = Get(path, kNobody);
    Refused(hidden, 404);
    const std::string other = "/taxii2/share/collections/" + share::NewUuid() + "/";
    EXPECT_EQ(hidden.body, Get(other, kNobody).body);
    EXPECT_EQ(Get(path, kReader).status, 200) << path;
    EXPECT_EQ(Get(path, kAdmin).status, 200) << path;
    if (path != collection) Refused(Get(path, kWriter), 403);
  }
  Refused(Post(Envelope({Indicator(2)}), kReader), 403);
  Refused(Post(Envelope({Indicator(2)}), kNobody), 404);
  Refused(Do("DELETE", objects_ + Id(1) + "/", kReader), 403);
  Refused(Do("DELETE", objects_ + Id(1) + "/", kWriter), 403);
  Refused(Do("DELETE", objects_ + Id(1) + "/", kNobody), 404);
  EXPECT_EQ(store_->Get(id_)->objects, 1u);
  // A right that goes is gone at once.
  ASSERT_TRUE(store_->SetRight(id_, {"person:reader", false, false}).ok());
  Refused(Get(objects_, kReader), 404);
}

TEST_F(TaxiiTest, MediaTypes) {
  const auto accept = [&](const char* v) {
    return Get("/taxii2/", StrCat(kBoth, "Accept: ", v, "\r\n"));
  };
  for (const char* good :
       {"application/taxii+json;version=2.1", "application/taxii+json; version=2.1",
        "application/taxii+json", "APPLICATION/TAXII+JSON;VERSION=\"2.1\"", "*/*", "application/*",
        "text/html, application/taxii+json;version=2.1;q=0.5", "text/html;x=\"a,b\", */*"}) {
    EXPECT_EQ(accept(good).status, 200) << good;
    EXPECT_EQ(accept(good).Header("Content-Type"), kTaxiiMedia);
  }
  for (const char* bad :
       {"application/json", "application/taxii+json;version=2.0",
        "application/vnd.oasis.taxii+json", "text/html", "application/taxii+json;version=2.1;q=0",
        "application/taxii+json;version=3", "text/html;x=\", */*\"", ";", ","}) {
    Refused(accept(bad), 406, "application/taxii+json;version=2.1");
  }
  EXPECT_EQ(Get("/taxii2/").status, 200);  // none given
  for (const char* bad : {"application/json", "application/stix+json;version=2.1", "text/plain",
                          "application/taxii+json;version=2.0", ""}) {
    Refused(Post(Envelope({Indicator(1)}), kBoth, bad), 415);
  }
  EXPECT_EQ(Post(Envelope({Indicator(1)}), kBoth, "application/taxii+json").status, 202);
  EXPECT_EQ(store_->Get(id_)->objects, 1u);
}

TEST_F(TaxiiTest, PathsAndMethods) {
  for (const char* path :
       {"/taxii2/other/", "/taxii2/share/x/", "/taxii2/share/collections", "/taxii2/share/status/",
        "/taxii2/share/collections//", "/taxii2/share/collections/%00/",
        "/taxii2/share/collections/%zz/", "/taxii2/share/collections/peers/x/",
        "/taxii2/share/collections/peers/objects", "/taxii2/share/collections/peers/manifest/x/",
        "/taxii2/share/collections/peers/objects/a/b/",
        "/taxii2/share/collections/peers/objects/a/versions/c/",
        "/taxii2/share/collections/peers/objects/nothing/"}) {
    Refused(Get(path), 404);
  }
  Refused(Get("/taxii2/share/status/none/"), 404);
  const struct {
    const char *method, *path, *allow;
  } kWrong[] = {{"POST", "/taxii2/", "GET"},
                {"PUT", "/taxii2/share/", "GET"},
                {"DELETE", "/taxii2/share/collections/", "GET"},
                {"POST", "/taxii2/share/collections/peers/", "GET"},
                {"POST", "/taxii2/share/collections/peers/manifest/", "GET"},
                {"PUT", "/taxii2/share/collections/peers/objects/", "GET, POST"},
                {"DELETE", "/taxii2/share/collections/peers/objects/", "GET, POST"},
                {"POST", "/taxii2/share/collections/peers/objects/x/", "GET, DELETE"},
                {"DELETE", "/taxii2/share/collections/peers/objects/x/versions/", "GET"}};
  for (const auto& w : kWrong) {
    const TestReply r = Do(w.method, w.path);
    Refused(r, 405);
    EXPECT_EQ(r.Header("Allow"), w.allow) << w.path;
  }
}

TEST_F(TaxiiTest, PostGivesAStatus) {
  const TestReply r = Post(Envelope(
      {Indicator(1), Address(2), R"({"type":"indicator","id":"indicator--x"})",
       R"({"type":"indicator","invalid":1,)" + Indicator(3).substr(1), "7", Indicator(1)}));
  EXPECT_EQ(r.status, 202);
  auto s = Json(r);
  const std::string id{std::string_view(s["id"])};
  EXPECT_EQ(std::string_view(s["status"]), "complete");
  EXPECT_EQ(uint64_t(s["total_count"]), 6u);
  EXPECT_EQ(uint64_t(s["success_count"]), 3u);  // the one that is there twice is there
  EXPECT_EQ(uint64_t(s["failure_count"]), 3u);
  EXPECT_EQ(uint64_t(s["pending_count"]), 0u);
  EXPECT_EQ(s["successes"].get_array().size(), 3u);
  EXPECT_EQ(std::string_view(s["successes"].at(0)["id"]), Id(1));
  EXPECT_EQ(std::string_view(s["successes"].at(0)["version"]), "2026-01-01T00:00:00.000Z");
  EXPECT_EQ(std::string_view(s["failures"].at(0)["id"]), "indicator--x");
  EXPECT_FALSE(std::string_view(s["failures"].at(0)["message"]).empty());
  EXPECT_TRUE(share::ParseMicros(std::string_view(s["request_timestamp"])));
  // Until the next call, `s` is of this reply.
  EXPECT_EQ(Get("/taxii2/share/status/" + id + "/").body, r.body);
  EXPECT_EQ(Get("/taxii2/share/status/" + id).body, r.body);
  EXPECT_EQ(Get("/taxii2/share/status/" + id + "/", kAdmin).body, r.body);
  Refused(Get("/taxii2/share/status/" + id + "/", kReader), 404);  // another's
  EXPECT_EQ(store_->Get(id_)->objects, 2u);
  ASSERT_EQ(records_.size(), 1u);
  EXPECT_NE(records_[0].find(StrCat("both taxii.add ", id_)), std::string::npos) << records_[0];
  // What was posted comes back byte for byte.
  EXPECT_NE(Get(objects_).body.find(Indicator(1)), std::string::npos);
}

TEST_F(TaxiiTest, WhatIsNoEnvelopeIsRefusedWhole) {
  for (const char* bad :
       {"", "[]", "{}", "{", "nonsense", "{\"objects\":{}}", "{\"objects\":[]}",
        "{\"objects\":[{]}", "{\"objects\":[{}]} {}", "\"x\"", "{\"objects\":[1,]}"}) {
    Refused(Post(bad), 422);
  }
  Refused(Post("{\"type\":\"bundle\",\"id\":\"x\",\"objects\":[" + Indicator(1) + "]}"), 422,
          "bundle");
  std::string deep = "{\"objects\":[" + std::string(5000, '[') + std::string(5000, ']') + "]}";
  Refused(Post(deep), 422);
  std::string many = "{\"objects\":[1";
  for (size_t i = 0; i < kEnvelopeObjects; ++i) many += ",1";
  Refused(Post(many + "]}"), 413);
  // Longer than max_content_length: refused before it is read.
  TestClient c(server_->ports()[0]);
  c.Send(StrCat("POST ", objects_, " HTTP/1.1\r\nHost: localhost\r\n", kBoth,
                "Content-Type: application/taxii+json\r\nContent-Length: ", kTaxiiBodyBytes + 1,
                "\r\n\r\n"));
  Refused(c.Receive(), 413);
  EXPECT_EQ(store_->Get(id_)->objects, 0u);
}

TEST_F(TaxiiTest, WhatAnObjectMustHave) {
  const auto why = [](std::string_view json) {
    const auto o = ReadTaxiiObject(json);
    return o.ok() ? std::string("ok") : std::string(o.status().message());
  };
  EXPECT_EQ(why(Indicator(1)), "ok");
  EXPECT_EQ(why(Address(1)), "ok");
  EXPECT_EQ(ReadTaxiiObject(Address(1))->version, "");
  EXPECT_EQ(ReadTaxiiObject(Indicator(1, "2026-05-01T00:00:00.000Z"))->version,
            "2026-05-01T00:00:00.000Z");
  const std::string id = "\"id\":\"" + Id(1) + "\"";
  for (const auto& [json, says] :
       {std::pair<std::string, const char*>{"[]", "object"},
        {"{}", "/id"},
        {"{\"type\":\"indicator\",\"id\":\"indicator--1\"}", "/id"},
        {"{\"type\":\"malware\"," + id + "}", "/type"},
        {"{\"type\":\"bundle\"," + id + "}", "bundle"},
        {"{\"type\":7," + id + "}", "/type"},
        {"{\"type\":\"indicator\"," + id + "," + id + "}", "twice"},
        {"{\"type\":\"indicator\",\"spec_version\":\"2.0\"," + id + "}", "/spec_version"},
        {"{\"type\":\"indicator\",\"created\":\"2026-01-01T00:00:00Z\"," + id + "}", "STIX 2.0"},
        {"{\"type\":\"indicator\",\"modified\":\"now\"," + id + "}", "/modified"}}) {
    EXPECT_NE(why(json).find(says), std::string::npos) << json << ": " << why(json);
  }
}

TEST_F(TaxiiTest, PagesFiltersAndDates) {
  Fill(95);
  ASSERT_EQ(Post(Envelope({Address(1), Address(2)})).status, 202);
  std::set<std::string> seen;
  std::string next, last_added;
  int pages = 0;
  for (bool more = true; more; ++pages) {
    const TestReply r =
        Get(StrCat(objects_, "?limit=20", next.empty() ? "" : "&next=" + next), kReader);
    ASSERT_EQ(r.status, 200) << r.body;
    EXPECT_GT(r.Header("X-TAXII-Date-Added-First"), last_added);
    last_added = r.Header("X-TAXII-Date-Added-Last");
    EXPECT_EQ(last_added.size(), 27u);
    const auto e = Json(r);
    size_t n = 0;
    for (const auto o : e["objects"].get_array())
      n += seen.insert(std::string(std::string_view(o["id"]))).second;
    more = bool(e["more"]);
    EXPECT_EQ(n, more ? 20u : 17u);
    next = more ? std::string(std::string_view(e["next"])) : "";
  }
  EXPECT_EQ(pages, 5);
  EXPECT_EQ(seen.size(), 97u);
  // Nothing is added after the last.
  const TestReply empty = Get(objects_ + "?added_after=" + last_added, kReader);
  EXPECT_EQ(empty.body, "{}");
  EXPECT_EQ(empty.Header("X-TAXII-Date-Added-Last"), "");
  const auto count = [&](const std::string& query, const char* what = "objects/") -> size_t {
    const TestReply r =
        Get(StrCat("/taxii2/share/collections/", id_, "/", what, "?", query), kReader);
    EXPECT_EQ(r.status, 200) << query << r.body;
    simdjson::dom::array rows;
    if (Json(r)["objects"].get(rows)) return 0;
    size_t n = 0;
    for ([[maybe_unused]] const auto o : rows) ++n;
    return n;
  };
  for (const char* what : {"objects/", "manifest/"}) {
    EXPECT_EQ(count("match[type]=ipv4-addr", what), 2u);
    EXPECT_EQ(count("match%5Btype%5D=ipv4-addr,indicator,malware", what), 97u);
    EXPECT_EQ(count("match[id]=" + Id(3) + "," + Id(4) + "," + Id(999), what), 2u);
    EXPECT_EQ(count("match[id]=" + Id(3) + "&match[type]=malware", what), 0u);
    EXPECT_EQ(count("match[spec_version]=2.1", what), 97u);
    EXPECT_EQ(count("match[spec_version]=2.0", what), 0u);
    EXPECT_EQ(count("match[spec_version]=2.0,2.1", what), 97u);
    EXPECT_EQ(count("limit=99999999999999999999999999", what), 97u);
    EXPECT_EQ(count("unknown=1&=&x", what), 97u);
    for (const char* bad : {"limit=0",
                            "limit=-1",
                            "limit=x",
                            "limit=",
                            "limit=1&limit=2",
                            "added_after=yesterday",
                            "added_after=",
                            "match[id]=x",
                            "match[type]=UPPER",
                            "match[type]=",
                            "match[type]=a,,b",
                            "match[version]=newest",
                            "match[version]=all,last",
                            "match[spec_version]=two",
                            "match[colour]=red",
                            "match[type]=tool&match[type]=malware",
                            "next=",
                            "next=00",
                            "next=zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
                            "limit=%zz",
                            "%=1"}) {
      Refused(Get(StrCat("/taxii2/share/collections/", id_, "/", what, "?", bad), kReader), 400);
    }
  }
  // A next belongs to its filters and its resource.
  const TestReply part = Get(objects_ + "?limit=5&match[type]=indicator");
  const std::string mine{std::string_view(Json(part)["next"])};
  EXPECT_EQ(Get(objects_ + "?limit=7&match[type]=indicator&next=" + mine).status, 200);
  Refused(Get(objects_ + "?limit=5&next=" + mine), 400, "filters");
  Refused(Get(StrCat("/taxii2/share/collections/", id_,
                     "/manifest/?match[type]=indicator&next=", mine)),
          400, "filters");
  std::string ids = "match[id]=" + Id(0);
  for (int i = 0; i < 256; ++i) ids += "," + Id(0);
  Refused(Get(objects_ + "?" + ids), 400, "256");
}

TEST_F(TaxiiTest, VersionsManifestAndDeletion) {
  const char* const v1 = "2026-01-01T00:00:00.000Z";
  const char* const v2 = "2026-02-01T00:00:00.000Z";
  const char* const v3 = "2026-03-01T00:00:00.000Z";
  ASSERT_EQ(Post(Envelope({Indicator(1, v1), Indicator(1, v2), Indicator(1, v3)})).status, 202);
  const std::string object = objects_ + Id(1) + "/";
  const auto versions = [&](const std::string& path) {
    std::string out;
    const TestReply r = Get(path, kReader);
    EXPECT_EQ(r.status, 200) << r.body;
    simdjson::dom::array rows;
    if (Json(r)["objects"].get(rows)) return out;
    for (const auto o : rows) {
      std::string_view v;
      if (o["modified"].get(v)) v = std::string_view(o["version"]);
      out += v.substr(5, 2);
    }
    return out;
  };
  EXPECT_EQ(versions(object), "03");
  EXPECT_EQ(versions(object + "?match[version]=first"), "01");
  EXPECT_EQ(versions(object + "?match[version]=all"), "010203");
  EXPECT_EQ(versions(object + "?match[version]=first,last"), "0103");
  EXPECT_EQ(versions(object + StrCat("?match[version]=", v2)), "02");
  EXPECT_EQ(versions(object + "?match[version]=2020-01-01T00:00:00Z"), "");
  EXPECT_EQ(versions(StrCat("/taxii2/share/collections/", id_, "/manifest/?match[version]=all")),
            "010203");
  const TestReply list = Get(object + "versions/", kReader);
  EXPECT_EQ(list.body,
            StrCat("{\"more\":false,\"versions\":[\"", v1, "\",\"", v2, "\",\"", v3, "\"]}"));
  EXPECT_LT(list.Header("X-TAXII-Date-Added-First"), list.Header("X-TAXII-Date-Added-Last"));
  const TestReply first = Get(object + "versions/?limit=1", kReader);
  EXPECT_TRUE(bool(Json(first)["more"]));
  EXPECT_EQ(Get(object + "versions/?match[spec_version]=2.0", kReader).body, "{}");
  Refused(Get(object + "versions/?match[version]=all", kReader), 400);
  Refused(Get(object + "?match[type]=indicator", kReader), 400);
  Refused(Get(objects_ + Id(2) + "/versions/", kReader), 404);
  Refused(Get(objects_ + Id(2) + "/", kReader), 404);
  const TestReply manifest = Get(StrCat("/taxii2/share/collections/", id_, "/manifest/"), kReader);
  const auto row = Json(manifest)["objects"].at(0);
  EXPECT_EQ(std::string_view(row["id"]), Id(1));
  EXPECT_EQ(std::string_view(row["version"]), v3);
  EXPECT_EQ(std::string_view(row["date_added"]), manifest.Header("X-TAXII-Date-Added-Last"));
  EXPECT_EQ(std::string_view(row["media_type"]), "application/stix+json;version=2.1");
  // Deletion: of one version, of all.
  Refused(Do("DELETE", object + "?limit=1"), 400);
  Refused(Do("DELETE", object + "?match[version]=2020-01-01T00:00:00Z"), 404);
  EXPECT_EQ(Do("DELETE", object + "?match[version]=last").status, 200);
  EXPECT_EQ(versions(object), "02");
  const TestReply gone = Do("DELETE", object);
  EXPECT_EQ(gone.status, 200);
  EXPECT_EQ(gone.body, "");
  Refused(Do("DELETE", object), 404);
  Refused(Get(object, kReader), 404);
}

TEST_F(TaxiiTest, OurClientOverTls) {
  for (const char* name : {"/ours", "/other"})
    WriteCertificate(StrCat(dir_, name, ".pem"), StrCat(dir_, name, ".key"), name);
  Start(dir_ + "/ours");
  share::TaxiiClientOptions o;
  o.url = StrCat("https://127.0.0.1:", server_->ports()[0], "/taxii2/");
  o.secret = "sw_both";
  o.pause = std::chrono::milliseconds(1);
  // Who is not vouched for gets no secret.
  for (const std::string& ca : {std::string(), dir_ + "/other.pem"}) {
    o.ca_file = ca;
    const auto refused = (*share::TaxiiClient::Create(o))->Collections().status();
    EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
    EXPECT_NE(std::string(refused.message()).find("certificate"), std::string::npos) << refused;
  }
  o.ca_file = dir_ + "/ours.pem";
  auto client = *share::TaxiiClient::Create(o);
  auto peers = client->Find("peers");
  ASSERT_TRUE(peers.ok()) << peers.status();
  std::vector<std::string> store;
  for (int i = 0; i < 3000; ++i) store.push_back(Indicator(i));
  const auto pushed =
      client->Push(*peers, std::vector<std::string_view>(store.begin(), store.end()));
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_EQ(pushed->success, 3000u);
  auto first = client->Pull(*peers, {.page = 700});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->objects, store);
  EXPECT_EQ(first->pages, 5u);
  // Basic, and from where the last pull ended.
  o.user = "whoever";
  auto again = *share::TaxiiClient::Create(o);
  auto none = again->Pull(*peers, {.added_after = first->last_added});
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->objects.empty());
  ASSERT_EQ(again->Push(*peers, {Indicator(1, "2026-02-01T00:00:00.000Z")})->success, 1u);
  auto news = again->Pull(*peers, {.added_after = first->last_added});
  ASSERT_TRUE(news.ok()) << news.status();
  EXPECT_EQ(news->objects, (std::vector<std::string>{Indicator(1, "2026-02-01T00:00:00.000Z")}));
}

TEST_F(TaxiiTest, NothingLeavesOrChangesUnrecorded) {
  ASSERT_EQ(Post(Envelope({Indicator(1)})).status, 202);
  records_.clear();
  EXPECT_EQ(Get(objects_, kReader).status, 200);
  ASSERT_EQ(records_.size(), 1u);
  EXPECT_NE(records_[0].find(StrCat("reader taxii.read ", id_, " ")), std::string::npos);
  EXPECT_NE(records_[0].find("\"objects\":1"), std::string::npos) << records_[0];
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    recording_ = false;
  }
  for (const TestReply& r :
       {Get(objects_, kReader), Get(objects_ + Id(1) + "/", kReader),
        Post(Envelope({Indicator(2)})), Do("DELETE", objects_ + Id(1) + "/")}) {
    Refused(r, 503);
    EXPECT_EQ(r.Header("Retry-After"), "5");
    EXPECT_EQ(r.body.find("secret"), std::string::npos) << r.body;
  }
  EXPECT_EQ(store_->Get(id_)->objects, 1u);
  EXPECT_EQ(Get(StrCat("/taxii2/share/collections/", id_, "/manifest/"), kReader).status, 200);
}

}  // namespace
}  // namespace stillwatch::serve
