#include "serve/ingest/routes.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>

#include "base/str.h"
#include "serve/http/server.h"
#include "serve/http/test_client.h"

namespace stillwatch::serve {
namespace {

namespace fs = std::filesystem;
using base::StrCat;

constexpr int64_t kNow = 1'798'761'600'000;  // 2027

class RoutesTest : public testing::Test {
 protected:
  void SetUp() override { Start(1u << 20); }
  void Start(uint64_t journal_bytes) {
    server_.reset();
    ingest_.reset();
    journal_.reset();
    folder_ = testing::TempDir() + "/routes";
    fs::remove_all(folder_);
    auto journal = journal::Journal::Open(
        {.folder = folder_ + "/journal", .bytes_max = journal_bytes, .segment_bytes = 4096},
        [](std::string) {});
    ASSERT_TRUE(journal.ok());
    journal_ = std::move(*journal);
    auto rejected = ingest::RejectedLog::Open({.folder = folder_});
    ASSERT_TRUE(rejected.ok());
    rejected_ = std::move(*rejected);
    ingest::LiveOptions options;
    options.now_ms = [] { return kNow; };
    ingest_ = std::make_unique<ingest::IngestService>(journal_.get(), rejected_.get(), options);
    otlp_ = std::make_unique<OtlpService>(ingest_.get());
    router_ = std::make_unique<Router>();
    AddIngestRoutes(router_.get(), ingest_.get());
    AddOtlpRoutes(router_.get(), otlp_.get());
    auto tokens = std::make_shared<TokenTable>();
    ASSERT_TRUE(tokens->Add(HashToken("good"), {"gateway", RoleBit(Role::kIngest), "1"}));
    ASSERT_TRUE(tokens->Add(HashToken("other"), {"decider", RoleBit(Role::kDecide), "2"}));
    ServerOptions server;
    server.endpoints = {{"127.0.0.1", 0, router_.get()}};
    server.limits.decompressed_bytes = 1u << 20;
    auto started = Server::Start(server, tokens, &metrics_, &log_);
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = std::move(*started);
  }
  void TearDown() override {
    server_.reset();
    ingest_.reset();
    journal_.reset();
    fs::remove_all(folder_);
  }
  TestReply Post(const std::string& path, const std::string& body, const std::string& headers = "",
                 const std::string& token = "good") {
    TestClient client(server_->ports()[0]);
    EXPECT_TRUE(
        client.Send(StrCat("POST ", path, " HTTP/1.1\r\nHost: localhost\r\n",
                           token.empty() ? "" : StrCat("Authorization: Bearer ", token, "\r\n"),
                           headers, "Content-Length: ", body.size(), "\r\n\r\n", body)));
    return client.Receive();
  }
  size_t Journaled() {
    journal::Entry e;
    size_t rows = 0;
    while (journal_->Next(&e).value_or(false)) rows += e.rows;
    return rows;
  }
  std::string folder_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<ingest::RejectedLog> rejected_;
  std::unique_ptr<ingest::IngestService> ingest_;
  std::unique_ptr<OtlpService> otlp_;
  std::unique_ptr<Router> router_;
  Metrics metrics_;
  Log log_{LogLevel::kError};
  std::unique_ptr<Server> server_;
};

std::string Record(int n) {
  return StrCat(R"({"exchange_id":"e)", n,
                R"(","ts":"2026-05-01T10:00:00Z","account_id":"a","messages":[]})", "\n");
}

std::string Gzip(const std::string& text) {
  z_stream z{};
  deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

TEST_F(RoutesTest, LinesPlainAndCompressed) {
  const std::string body = Record(1) + Record(2);
  TestReply r = Post("/v1/exchanges", body);
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.body, R"({"accepted":2,"rejected":0,"errors":[]})");
  EXPECT_EQ(Post("/v1/exchanges", Gzip(body), "Content-Encoding: gzip\r\n").status, 200);
  std::string zstd(ZSTD_compressBound(body.size()), '\0');
  zstd.resize(ZSTD_compress(zstd.data(), zstd.size(), body.data(), body.size(), 3));
  EXPECT_EQ(Post("/v1/exchanges", zstd, "Content-Encoding: zstd\r\n").status, 200);
  EXPECT_EQ(Journaled(), 6u);
  EXPECT_EQ(Post("/v1/exchanges", body, "Content-Encoding: br\r\n").status, 415);
  EXPECT_EQ(Post("/v1/exchanges", zstd.substr(0, 20), "Content-Encoding: zstd\r\n").status, 400);
  const std::string bomb(5u << 20, ' ');
  EXPECT_EQ(Post("/v1/exchanges", Gzip(bomb), "Content-Encoding: gzip\r\n").status, 413);
  EXPECT_EQ(Journaled(), 0u);
}

TEST_F(RoutesTest, BadLinesAreNamedAndTheOthersTaken) {
  TestReply r = Post("/v1/exchanges", Record(1) + "{\n");
  EXPECT_EQ(r.status, 200);
  EXPECT_NE(r.body.find(R"("accepted":1,"rejected":1,"errors":[{"record":2,)"), r.body.npos)
      << r.body;
  r = Post("/v1/exchanges", "{\n");
  EXPECT_EQ(r.status, 400);
  EXPECT_EQ(Post("/v1/exchanges", "").status, 200);
  EXPECT_EQ(Journaled(), 1u);
}

TEST_F(RoutesTest, OnlyWhoMayIngest) {
  EXPECT_EQ(Post("/v1/exchanges", Record(1), "", "").status, 401);
  EXPECT_EQ(Post("/v1/traces", "{}", "Content-Type: application/json\r\n", "other").status, 403);
  EXPECT_EQ(Journaled(), 0u);
}

TEST_F(RoutesTest, OtlpAnswersInKind) {
  TestReply r = Post("/v1/traces", "{}", "Content-Type: application/json; charset=utf-8\r\n");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.Header("Content-Type"), "application/json");
  EXPECT_EQ(r.body, "{}");
  r = Post("/v1/logs", "", "Content-Type: application/x-protobuf\r\n");
  EXPECT_EQ(r.status, 200);
  r = Post("/v1/logs", "\xff", "Content-Type: application/x-protobuf\r\n");
  EXPECT_EQ(r.status, 400);
  EXPECT_EQ(r.Header("Content-Type"), "application/x-protobuf");
  EXPECT_EQ(Post("/v1/logs", "{}", "Content-Type: text/plain\r\n").status, 415);
  EXPECT_EQ(Post("/v1/logs", "{}").status, 415);
}

TEST_F(RoutesTest, AccountsAndLitellm) {
  EXPECT_EQ(Post("/v1/accounts", R"({"account_id":"a","country":"FR"})").body,
            R"({"accepted":1,"rejected":0,"errors":[]})");
  const TestReply r = Post(
      "/v1/litellm",
      R"([{"id":"1","startTime":1767225600.5,"end_user":"u"},{"id":"2","startTime":1767225601,"end_user":"u"}])",
      "Content-Type: application/json\r\n");
  EXPECT_EQ(r.body, R"({"accepted":2,"rejected":0,"errors":[]})");
  EXPECT_EQ(Journaled(), 3u);
}

TEST_F(RoutesTest, AFullJournalAsksToComeBackAndSaysItInMetrics) {
  Start(16'384);
  ingest::Loader loader(journal_.get(), nullptr, {});
  WatchIngest(&metrics_, ingest_.get(), journal_.get(), &loader, rejected_.get());
  TestReply r;
  int taken = 0;
  for (int i = 0; i < 200; ++i, ++taken) {
    r = Post("/v1/exchanges", Record(i));
    if (r.status != 200) break;
  }
  EXPECT_EQ(r.status, 503);
  EXPECT_EQ(r.Header("Retry-After"), "1");
  EXPECT_EQ(static_cast<int>(Journaled()), taken);
  const std::string text = metrics_.Text();
  EXPECT_NE(text.find(StrCat("stillwatch_ingest_accepted_total ", taken)), text.npos) << text;
  EXPECT_NE(text.find("stillwatch_journal_refused_total 1"), text.npos);
}

}  // namespace
}  // namespace stillwatch::serve
