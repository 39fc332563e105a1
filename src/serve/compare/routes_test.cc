#include "serve/compare/routes.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/str.h"
#include "base/test_folder.h"
#include "serve/grpc/test_certificate.h"
#include "serve/http/server.h"
#include "serve/http/test_client.h"
#include "share/compare/client.h"

namespace stillwatch::serve {
namespace {

using base::StrCat;
using share::compare::ItemSet;
using share::compare::Party;
using share::compare::Peer;
using share::compare::Peers;
using share::psi::Question;

void MakeCertificate(const std::string& path) {
  WriteCertificate(path + ".pem", path + ".key", std::filesystem::path(path).filename());
}

ItemSet Set(int from, int to) {
  std::vector<std::pair<std::string, std::string>> items;
  for (int i = from; i < to; ++i) items.emplace_back("payment", StrCat("pm_secret_", i));
  return *ItemSet::Make(items);
}

bool Says(const absl::Status& s, std::string_view what) {
  return std::string(s.message()).find(what) != std::string::npos;
}

// Ant serves; bee is its peer, wasp is nobody.
class CompareOverHttps : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* who : {"ant", "bee", "wasp"}) {
      MakeCertificate(dir_ / who);
      audit::AuditOptions a;
      a.dir = dir_ / StrCat(who, "-audit");
      a.now_ms = [] { return kNow; };
      audit_[who] = *audit::AuditLog::Open(a);
      parties_[who] = Open(who, Peers());
    }
    Peers ants;
    ants.path = "ant.yaml";
    ants.all.push_back(PeerOf("bee"));
    parties_["ant"] = Open("ant", ants);
    CompareContext c;
    c.party = parties_["ant"].get();
    c.items = [this] { return items_; };
    c.peers[*CertificateHash(dir_ / "bee.pem")] = "bee";
    AddCompareRoutes(&router_, std::move(c));
    ServerOptions o;
    o.endpoints.push_back({"127.0.0.1", 0, &router_, {dir_ / "bee.pem"}});
    o.tls_certificate = dir_ / "ant.pem";
    o.tls_key = dir_ / "ant.key";
    auto server = Server::Start(o, nullptr, &metrics_, &log_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    for (const char* who : {"bee", "wasp"}) {
      Peers p;
      p.path = "peers.yaml";
      p.certificate = dir_ / StrCat(who, ".pem");
      p.key = dir_ / StrCat(who, ".key");
      p.all.push_back(PeerOf("ant"));
      p.all[0].url = StrCat("https://127.0.0.1:", server_->ports()[0]);
      peers_[who] = p;
      parties_[who] = Open(who, p);
    }
  }
  std::unique_ptr<Party> Open(const std::string& who, const Peers& peers) {
    parties_[who].reset();
    auto party = Party::Open({.dir = dir_ / who,
                              .audit = audit_[who].get(),
                              .now_ms = [] { return kNow; },
                              .random = nullptr,
                              .threads = 2},
                             peers);
    EXPECT_TRUE(party.ok()) << party.status();
    return *std::move(party);
  }
  Peer PeerOf(const std::string& who) {
    Peer p;
    p.name = who;
    p.key = parties_[who]->key();
    p.certificate = dir_ / (who + ".pem");
    p.count = p.which = true;
    return p;
  }
  absl::StatusOr<share::compare::Result> Run(const std::string& who, Question q,
                                             bool tell = false) {
    return share::compare::RunOnline(parties_[who].get(), "ant", q, Set(30, 60),
                                     {.actor = "test", .tell = tell, .stop = nullptr});
  }

  static constexpr int64_t kNow = 1'795'000'000'000;
  const base::TestFolder dir_;
  std::shared_ptr<const ItemSet> items_ = std::make_shared<const ItemSet>(Set(0, 50));
  std::map<std::string, std::unique_ptr<audit::AuditLog>> audit_;
  std::map<std::string, std::unique_ptr<Party>> parties_;
  std::map<std::string, Peers> peers_;
  Metrics metrics_;
  Log log_{LogLevel::kError};
  Router router_;
  std::unique_ptr<Server> server_;
};

TEST_F(CompareOverHttps, HowManyAndWhich) {
  const auto count = Run("bee", Question::kCount);
  ASSERT_TRUE(count.ok()) << count.status();
  EXPECT_EQ(count->rows[0].common, 20u);
  EXPECT_TRUE(count->matched.empty());
  const auto which = Run("bee", Question::kWhich, true);
  ASSERT_TRUE(which.ok()) << which.status();
  EXPECT_EQ(which->matched.size(), 20u);
  ASSERT_TRUE(audit_["ant"]->Flush().ok());
  audit::AuditFilter receipts;
  receipts.action = "compare.receipt";
  const auto log = audit::ReadAudit(dir_ / "ant-audit", receipts, 0, 10);
  ASSERT_TRUE(log.ok());
  EXPECT_EQ(log->lines.size(), 1u);
}

TEST_F(CompareOverHttps, OnlyPeersGetIn) {
  // A certificate that nobody named, and none at all: the handshake ends.
  EXPECT_FALSE(Run("wasp", Question::kCount).ok());
  parties_["bee"] = Open("bee", [&] {
    Peers p = peers_["bee"];
    p.all[0].certificate = dir_ / "wasp.pem";  // not the one that ant shows
    return p;
  }());
  EXPECT_FALSE(Run("bee", Question::kCount).ok());
  // Plain HTTP to the port.
  TestClient plain(server_->ports()[0]);
  EXPECT_EQ(plain.Do("POST", "/compare/v1/offer?question=count").status, 0);
}

TEST_F(CompareOverHttps, RefusalsSayWhyAndNothingIsHalfDone) {
  {
    // Bee's certificate, another's signature.
    Peers p = peers_["bee"];
    p.key = dir_ / "bee.key";
    parties_["wasp"] = Open("wasp", p);
    const auto r = Run("wasp", Question::kWhich);
    EXPECT_FALSE(r.ok());
    EXPECT_TRUE(Says(r.status(), "somebody else")) << r.status();
  }
  // Ant's items change between offer and request: asked again, it goes.
  items_ = std::make_shared<const ItemSet>(Set(0, 51));
  ASSERT_TRUE(Run("bee", Question::kWhich).ok());
  // Ant goes away.
  server_->Drain(std::chrono::milliseconds(0));
  const auto gone = Run("bee", Question::kWhich);
  EXPECT_TRUE(absl::IsUnavailable(gone.status())) << gone.status();
  for (const char* who : {"bee", "wasp"}) {
    for (const auto& e : std::filesystem::directory_iterator(dir_ / who))
      EXPECT_FALSE(e.path().string().ends_with(".request")) << e.path();
  }
}

TEST(MutualTls, NeedsACertificateOfItsOwn) {
  const base::TestFolder dir;
  MakeCertificate(dir / "one");
  Router router;
  Metrics metrics;
  Log log(LogLevel::kError);
  ServerOptions o;
  o.endpoints.push_back({"127.0.0.1", 0, &router, {dir / "one.pem"}});
  const auto none = Server::Start(o, nullptr, &metrics, &log);
  EXPECT_TRUE(Says(none.status(), "has none itself")) << none.status();
  o.tls_certificate = dir / "one.pem";
  o.tls_key = dir / "one.key";
  o.endpoints[0].client_certificates = {dir / "absent.pem"};
  EXPECT_TRUE(Says(Server::Start(o, nullptr, &metrics, &log).status(), "absent.pem"));
  EXPECT_TRUE(Says(CertificateHash(dir / "one.key").status(), "not a certificate"));
}

}  // namespace
}  // namespace stillwatch::serve
