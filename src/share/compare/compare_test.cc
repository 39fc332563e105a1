#include <gtest/gtest.h>
#include <sodium.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/hex.h"
#include "base/str.h"
#include "base/test_folder.h"
#include "share/compare/client.h"
#include "share/compare/items.h"
#include "share/compare/party.h"
#include "share/compare/peers.h"
#include "share/psi/items.h"

namespace stillwatch::share::compare {
namespace {

using base::StrCat;
using psi::Question;
namespace fs = std::filesystem;

std::string Why(const absl::Status& s) { return {s.message().data(), s.message().size()}; }
bool Says(const absl::Status& s, std::string_view what) {
  return !s.ok() && Why(s).find(what) != std::string::npos;
}

ItemSet Set(int from, int to, const std::string& family = "payment") {
  std::vector<std::pair<std::string, std::string>> items;
  for (int i = from; i < to; ++i) items.emplace_back(family, StrCat("pm_secret_", i));
  return *ItemSet::Make(items);
}

// Two parties on one clock that know each other.
class Two {
 public:
  explicit Two(bool count = true, bool which = true) {
    for (int i = 0; i < 2; ++i) {
      audit::AuditOptions a;
      a.dir = folder / StrCat("audit", i);
      a.now_ms = [this] { return now; };
      audit[i] = *audit::AuditLog::Open(a);
    }
    // Keys first, then peers.
    for (int i = 0; i < 2; ++i) Reopen(i, {});
    const psi::Bytes32 keys[2] = {party[0]->key(), party[1]->key()};
    for (int i = 0; i < 2; ++i) {
      Peers p;
      p.path = "peers.yaml";
      Peer other;
      other.name = i == 0 ? "bee" : "ant";
      other.key = keys[1 - i];
      other.count = count;
      other.which = which;
      other.reliability = 'B';
      p.all.push_back(other);
      peers[i] = p;
      Reopen(i, p);
    }
  }
  void Reopen(int i, const Peers& p) {
    party[i].reset();
    PartyOptions o;
    o.dir = folder / StrCat("party", i);
    o.audit = audit[i].get();
    o.now_ms = [this] { return now; };
    o.threads = 2;
    auto made = Party::Open(o, p);
    ASSERT_TRUE(made.ok()) << made.status();
    party[i] = *std::move(made);
  }
  // Bee asks, ant answers.
  absl::StatusOr<std::string> Offer(Question q, const ItemSet& ants) {
    return party[0]->Offer("bee", q, ants, kRunMs, "test");
  }
  absl::StatusOr<Result> All(Question q, const ItemSet& ants, const ItemSet& bees) {
    auto offer = Offer(q, ants);
    if (!offer.ok()) return offer.status();
    auto request = party[1]->Request(*offer, q, bees, "test");
    if (!request.ok()) return request.status();
    auto reply = party[0]->Reply(*request, ants, "test");
    if (!reply.ok()) return reply.status();
    return party[1]->Finish(*reply, bees, "test");
  }
  std::string Audited(int i) {
    EXPECT_TRUE(audit[i]->Flush().ok());
    std::string out;
    const auto page = audit::ReadAudit(folder / StrCat("audit", i), {}, 0, 1000);
    EXPECT_TRUE(page.ok());
    if (!page.ok()) return out;
    for (const std::string& line : page->lines) out += line + "\n";
    return out;
  }

  base::TestFolder folder;
  int64_t now = 1'795'000'000'000;  // 2026-11-18
  Peers peers[2];
  std::unique_ptr<audit::AuditLog> audit[2];
  std::unique_ptr<Party> party[2];  // 0 is ant, 1 is bee
};

TEST(Epoch, BeginsOnMondays) {
  int64_t until = 0;
  EXPECT_EQ(EpochAt(1'795'000'000'000, 7, &until), "2026-11-16/P7D");
  EXPECT_EQ(EpochAt(until - 1, 7), "2026-11-16/P7D");
  EXPECT_EQ(EpochAt(until, 7), "2026-11-23/P7D");
  EXPECT_EQ(EpochAt(0, 7), "1969-12-29/P7D");
}

TEST(Files, HowMany) {
  Two t;
  const ItemSet ants = Set(0, 100), bees = Set(70, 130);
  const auto r = t.All(Question::kCount, ants, bees);
  ASSERT_TRUE(r.ok()) << r.status();
  ASSERT_EQ(r->rows.size(), 1u);
  EXPECT_EQ(r->rows[0].mine, 60u);
  EXPECT_EQ(r->rows[0].theirs, 100u);
  EXPECT_EQ(r->rows[0].common, 30u);
  EXPECT_TRUE(r->matched.empty());
  const std::string json = ResultJson(*r, "c1");
  EXPECT_NE(json.find("\"stillwatch.comparison/1\""), std::string::npos);
  EXPECT_EQ(json.find("pm_secret"), std::string::npos);
}

TEST(Files, WhichAndTheReceipt) {
  Two t;
  const ItemSet ants = Set(0, 100), bees = Set(98, 103);
  const auto r = t.All(Question::kWhich, ants, bees);
  ASSERT_TRUE(r.ok()) << r.status();
  EXPECT_EQ(r->rows[0].common, 2u);
  const std::vector<std::pair<std::string, std::string>> expected = {{"payment", "pm_secret_98"},
                                                                     {"payment", "pm_secret_99"}};
  EXPECT_EQ(r->matched, expected);
  const auto receipt = t.party[1]->Receipt(*r, "test");
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  const auto told = t.party[0]->TakeReceipt(*receipt, "test");
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(told->rows[0].common, 2u);
  EXPECT_EQ(told->rows[0].mine, 100u);
  EXPECT_TRUE(Says(t.party[0]->TakeReceipt(*receipt, "test").status(), "came before"));
  // Both logs hold the same transcript, and neither an item.
  for (int i = 0; i < 2; ++i) {
    const std::string log = t.Audited(i);
    EXPECT_NE(log.find(base::Hex(std::string_view(
                  reinterpret_cast<const char*>(r->transcript.data()), r->transcript.size()))),
              std::string::npos);
    EXPECT_EQ(log.find("secret"), std::string::npos);
  }
}

TEST(Files, TheLargeSidesTagsAreKeptForTheEpoch) {
  Two t;
  const ItemSet ants = Set(0, 60), bees = Set(50, 70);
  const auto kept = [&] {
    std::set<std::string> out;
    for (const auto& e : fs::directory_iterator(t.folder / "party0")) {
      if (e.path().filename().string().starts_with("tags-")) out.insert(e.path());
    }
    return out;
  };
  EXPECT_EQ(t.All(Question::kWhich, ants, bees)->rows[0].common, 10u);
  const auto first = kept();
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(t.All(Question::kWhich, ants, bees)->rows[0].common, 10u);
  EXPECT_EQ(kept(), first);
  // A damaged file is computed anew, and another epoch has another.
  std::ofstream(*first.begin(), std::ios::binary | std::ios::app) << "x";
  EXPECT_EQ(t.All(Question::kWhich, ants, bees)->rows[0].common, 10u);
  t.now += 8 * int64_t{86'400'000};
  EXPECT_EQ(t.All(Question::kWhich, ants, bees)->rows[0].common, 10u);
  ASSERT_EQ(kept().size(), 1u);
  EXPECT_NE(kept(), first);
}

TEST(Files, ReplaysAndWrongOrderAreRefused) {
  Two t;
  const ItemSet ants = Set(0, 50), bees = Set(20, 70);
  const auto offer = t.Offer(Question::kCount, ants);
  const auto request = t.party[1]->Request(*offer, Question::kCount, bees, "test");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_TRUE(
      Says(t.party[1]->Request(*offer, Question::kCount, bees, "test").status(), "used already"));
  EXPECT_TRUE(
      Says(t.party[0]->Reply(*offer, ants, "test").status(), "this is a comparison's offer"));
  EXPECT_TRUE(Says(t.party[1]->Finish(*request, bees, "test").status(), "reply is due"));
  EXPECT_TRUE(Says(t.party[1]->Reply(*request, bees, "test").status(), "somebody else"));
  const auto reply = t.party[0]->Reply(*request, ants, "test");
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(Says(t.party[0]->Reply(*request, ants, "test").status(), "came before"));
  // Across a restart too.
  t.Reopen(0, t.peers[0]);
  EXPECT_TRUE(Says(t.party[0]->Reply(*request, ants, "test").status(), "came before"));
  EXPECT_TRUE(Says(t.party[1]->Finish(*reply, Set(20, 71), "test").status(), "same set"));
  t.Reopen(1, t.peers[1]);
  ASSERT_TRUE(t.party[1]->Finish(*reply, bees, "test").ok());
  EXPECT_TRUE(Says(t.party[1]->Finish(*reply, bees, "test").status(), "came before"));
  // Nothing of the run is left but its record.
  for (const auto& e : fs::directory_iterator(t.folder / "party1"))
    EXPECT_FALSE(e.path().string().ends_with(".request")) << e.path();
}

TEST(Files, WhatWasNotAgreedIsRefused) {
  Two t(true, false);
  const ItemSet ants = Set(0, 50), bees = Set(20, 70);
  EXPECT_TRUE(Says(t.Offer(Question::kWhich, ants).status(), "not agreed"));
  EXPECT_TRUE(Says(t.party[0]->Offer("wasp", Question::kCount, ants, kRunMs, "t").status(),
                   "names no peer"));
  const auto offer = t.Offer(Question::kCount, ants);
  EXPECT_TRUE(Says(t.party[1]->Request(*offer, Question::kWhich, bees, "t").status(), "is meant"));
  // Too few to be counted without saying which.
  EXPECT_TRUE(Says(t.party[1]->Request(*offer, Question::kCount, Set(20, 30), "t").status(),
                   "would tell which"));
  EXPECT_TRUE(
      Says(t.party[1]->Request(*offer, Question::kCount, Set(0, 20, "account-id"), "t").status(),
           "no family in common"));
  // Consent that is withdrawn while a run is under way.
  const auto request = t.party[1]->Request(*offer, Question::kCount, bees, "t");
  ASSERT_TRUE(request.ok());
  Peers withdrawn = t.peers[0];
  withdrawn.all[0].count = false;
  t.Reopen(0, withdrawn);
  EXPECT_TRUE(Says(t.party[0]->Reply(*request, ants, "t").status(), "not agreed"));
  // A stranger.
  t.Reopen(0, Peers());
  EXPECT_TRUE(Says(t.party[0]->Reply(*request, ants, "t").status(), "no peer"));
}

TEST(Files, RunsExpireAndClocksAreCompared) {
  Two t;
  const ItemSet ants = Set(0, 50), bees = Set(20, 70);
  auto offer = t.Offer(Question::kWhich, ants);
  t.now += kRunMs + 1;
  EXPECT_TRUE(Says(t.party[1]->Request(*offer, Question::kWhich, bees, "t").status(), "expired"));
  t.now -= kRunMs + 1 + (3 * kSkewMs);
  EXPECT_TRUE(Says(t.party[1]->Request(*offer, Question::kWhich, bees, "t").status(), "future"));
  t.now += 3 * kSkewMs;
  const auto request = t.party[1]->Request(*offer, Question::kWhich, bees, "t");
  ASSERT_TRUE(request.ok()) << request.status();
  t.now += 10 * int64_t{86'400'000};  // the epoch is over, the run is not
  const auto reply = t.party[0]->Reply(*request, ants, "t");
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(t.party[1]->Finish(*reply, bees, "t")->rows[0].common, 30u);
  // A set that changed between offer and request.
  offer = t.Offer(Question::kCount, ants);
  const auto again = t.party[1]->Request(*offer, Question::kCount, bees, "t");
  EXPECT_TRUE(Says(t.party[0]->Reply(*again, Set(0, 51), "t").status(), "changed"));
}

TEST(Rations, AreSpentForGoodAndSurviveARestart) {
  Two t;
  Peers rationed = t.peers[0];
  rationed.all[0].items_per_epoch = 100;
  rationed.all[0].runs_per_epoch = 3;
  t.Reopen(0, rationed);
  const ItemSet ants = Set(0, 50);
  ASSERT_TRUE(t.All(Question::kWhich, ants, Set(0, 60)).ok());
  const auto spent = t.party[0]->Rations();
  ASSERT_TRUE(spent.ok());
  uint64_t sum = 0;
  for (const auto& s : *spent) sum += s.items;
  EXPECT_EQ(sum, 60u);
  t.Reopen(0, rationed);
  EXPECT_TRUE(Says(t.All(Question::kWhich, ants, Set(0, 41)).status(),
                   "may ask about 100 items in the epoch 2026-11-16/P7D, has asked about 60 and "
                   "asks about 41 more"));
  EXPECT_TRUE(t.All(Question::kWhich, ants, Set(0, 40)).ok());
  EXPECT_FALSE(t.All(Question::kWhich, ants, Set(0, 1)).ok());
  t.now += 7 * int64_t{86'400'000};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(t.All(Question::kWhich, ants, Set(i, i + 1)).ok());
  EXPECT_TRUE(Says(t.All(Question::kWhich, ants, Set(0, 1)).status(), "answered 3 times"));
}

TEST(Rations, OpenOffersAreFew) {
  Two t;
  const ItemSet ants = Set(0, 50);
  for (size_t i = 0; i < kOpenOffers; ++i)
    ASSERT_TRUE(t.party[0]->Offer("bee", Question::kCount, ants, kOnlineRunMs, "t").ok());
  EXPECT_TRUE(Says(t.Offer(Question::kCount, ants).status(), "offers open"));
  t.now += kOnlineRunMs + 1;
  EXPECT_TRUE(t.Offer(Question::kCount, ants).ok());
}

// A peer that has the key it should have, and does not do as it should.
class Rogue {
 public:
  explicit Rogue(const std::string& dir) {
    const std::string hex = *ReadFile(dir + "/identity.key", 4096);
    psi::Bytes32 seed;
    sodium_hex2bin(seed.data(), seed.size(), hex.data(), 64, nullptr, nullptr, nullptr);
    secret_.resize(crypto_sign_SECRETKEYBYTES);
    psi::Bytes32 key;
    crypto_sign_seed_keypair(key.data(), reinterpret_cast<uint8_t*>(secret_.data()), seed.data());
  }
  template <typename F>
  std::string Change(const std::string& bytes, psi::Kind kind, const F& change) {
    psi::Message m = *psi::Decode(bytes, kind);
    change(&m);
    return psi::Encode(&m, secret_);
  }

 private:
  std::string secret_;
};

TEST(Rogues, ThatAsk) {
  const ItemSet ants = Set(0, 50), bees = Set(20, 70);
  const psi::Element junk = [] {
    psi::Element e;
    e.fill(0xff);
    return e;
  }();
  const auto answer = [&](Question q, const auto& change) {
    Two t;
    Rogue bee(t.folder / "party1");
    const auto offer = t.Offer(q, ants);
    const auto request = t.party[1]->Request(*offer, q, bees, "t");
    const std::string changed = bee.Change(*request, psi::Kind::kRequest, change);
    const absl::Status s = t.party[0]->Reply(changed, ants, "t").status();
    // However it went, the answer to the honest request comes at most once.
    const auto second = t.party[0]->Reply(*request, ants, "t");
    if (second.ok()) {
      EXPECT_FALSE(t.party[0]->Reply(*request, ants, "t").ok());
    }
    return s;
  };
  for (const Question q : {Question::kCount, Question::kWhich}) {
    EXPECT_TRUE(Says(answer(q, [&](psi::Message* m) { m->parts[0].elements.back() = junk; }),
                     "is not an element"));
    EXPECT_TRUE(
        Says(answer(q, [&](psi::Message* m) { m->parts[0].elements.front() = psi::kIdentity; }),
             "is not an element"));
    EXPECT_TRUE(
        Says(answer(q, [&](psi::Message* m) { m->parts[0].elements[1] = m->parts[0].elements[0]; }),
             "twice"));
    EXPECT_TRUE(Says(answer(q, [&](psi::Message* m) { m->parts[0].yours = 51; }), "not offered"));
    EXPECT_TRUE(
        Says(answer(q, [&](psi::Message* m) { m->parts[0].family = "mail"; }), "not offered"));
    EXPECT_TRUE(Says(answer(q, [&](psi::Message* m) { m->previous[0] ^= 1; }), "follow"));
    EXPECT_TRUE(Says(answer(q, [&](psi::Message* m) { m->run[0] ^= 1; }), "not known"));
    EXPECT_TRUE(Says(answer(q, [&](psi::Message* m) { m->epoch = "2026-11-09/P7D"; }), "fit"));
    EXPECT_TRUE(Says(answer(q, [&](psi::Message* m) { m->expires_ms += 1; }), "fit"));
    EXPECT_TRUE(Says(answer(q, [&](psi::Message* m) { m->parts.clear(); }), "nothing is asked"));
  }
}

TEST(Rogues, ThatAnswer) {
  const ItemSet ants = Set(0, 50), bees = Set(20, 70);
  const auto finish = [&](Question q, const auto& change) {
    Two t;
    Rogue ant(t.folder / "party0");
    const auto offer = t.Offer(q, ants);
    const auto request = t.party[1]->Request(*offer, q, bees, "t");
    const auto reply = t.party[0]->Reply(*request, ants, "t");
    const std::string changed = ant.Change(*reply, psi::Kind::kReply, change);
    return t.party[1]->Finish(changed, bees, "t").status();
  };
  for (const Question q : {Question::kCount, Question::kWhich}) {
    EXPECT_TRUE(Says(finish(q,
                            [](psi::Message* m) {
                              m->parts[0].tags.pop_back();
                              --m->parts[0].mine;
                            }),
                     "counts"));
    EXPECT_TRUE(Says(finish(q, [](psi::Message* m) { m->parts[0].elements[0] = psi::kIdentity; }),
                     q == Question::kCount ? "not an element" : "proof"));
    EXPECT_TRUE(Says(finish(q, [](psi::Message* m) { m->previous[3] ^= 1; }), "follow"));
  }
  // Another key for one of many: the proof shows it.
  EXPECT_TRUE(Says(
      finish(Question::kWhich,
             [](psi::Message* m) { std::swap(m->parts[0].elements[0], m->parts[0].elements[1]); }),
      "proof does not hold"));
  EXPECT_TRUE(
      Says(finish(Question::kWhich, [](psi::Message* m) { m->public_key[0] ^= 1; }), "counts"));
  // Another key than before in the epoch.
  Two t;
  Rogue ant(t.folder / "party0");
  ASSERT_TRUE(t.All(Question::kWhich, ants, bees).ok());
  const auto offer = t.Offer(Question::kWhich, ants);
  const std::string other = ant.Change(*offer, psi::Kind::kOffer, [](psi::Message* m) {
    m->public_key = psi::HashToGroup("other", "test");
  });
  EXPECT_TRUE(
      Says(t.party[1]->Request(other, Question::kWhich, bees, "t").status(), "another key"));
  const std::string old =
      ant.Change(*offer, psi::Kind::kOffer, [](psi::Message* m) { m->epoch = "2026-11-02/P7D"; });
  EXPECT_TRUE(Says(t.party[1]->Request(old, Question::kWhich, bees, "t").status(), "epoch"));
}

TEST(Items, AreReadWholeOrNotAtAll) {
  const base::TestFolder dir;
  const auto read = [&](const std::string& text) {
    std::ofstream(dir / "items.csv") << text;
    return ItemSet::Read(dir / "items.csv");
  };
  const auto good =
      read("family,value,note\nmail,A@example.org,x\npayment,p1,\nmail,a@example.org,y\n");
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->size(), 2u);
  EXPECT_EQ(good->digest(),
            ItemSet::Make({{"payment", "p1"}, {"mail", "a@EXAMPLE.org"}})->digest());
  EXPECT_NE(good->digest(), ItemSet::Make({{"payment", "p1"}})->digest());
  const auto card = read("family,value\npayment,p1\ncard-range,4242424242424242\n");
  EXPECT_TRUE(Says(card.status(), "items.csv:3: card-range: a card number does not belong here"));
  EXPECT_FALSE(Says(card.status(), "4242"));
  EXPECT_TRUE(Says(read("family,value\n").status(), "no items"));
  EXPECT_TRUE(Says(read("family;value\n").status(), "items.csv"));
  EXPECT_TRUE(Says(ItemSet::Read(dir / "absent.csv").status(), "absent.csv"));
}

TEST(Peers, AreReadWholeOrNotAtAll) {
  const base::TestFolder dir;
  const std::string key(64, 'a'), other(64, 'b');
  const auto read = [&](const std::string& text) {
    std::ofstream(dir / "peers.yaml") << text;
    return ReadPeers(dir / "peers.yaml");
  };
  const auto good =
      read(StrCat("name: ant\nepoch_days: 14\ncertificate: a.pem\nkey: /x/a.key\npeers:\n"
                  "  - name: bee\n    key: ",
                  key,
                  "\n    count: true\n    reliability: B\n"
                  "    url: https://bee.example\n    certificate: b.pem\n"
                  "    items_per_epoch: 7\n"));
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->epoch_days, 14);
  EXPECT_EQ(good->certificate, dir / "a.pem");
  EXPECT_EQ(good->key, "/x/a.key");
  ASSERT_NE(good->Named("bee"), nullptr);
  EXPECT_TRUE(good->Named("bee")->count);
  EXPECT_FALSE(good->Named("bee")->which);
  EXPECT_EQ(good->Named("bee")->items_per_epoch, 7u);
  const auto wrong = [&](const std::string& text, std::string_view what) {
    const absl::Status s = read(text).status();
    EXPECT_TRUE(Says(s, what)) << s;
    EXPECT_TRUE(Says(s, "peers.yaml")) << s;
  };
  wrong("peers: 7\n", "expected a list");
  wrong("name: a\nepoch_days: 0\n", "1 to 366");
  wrong("colour: red\n", "no such key");
  wrong("peers:\n  - name: bee\n", "needs its key");
  wrong(StrCat("peers:\n  - key: ", key, "\n"), "needs a name");
  wrong(StrCat("peers:\n  - name: bee\n    key: ", key, "\n    which: perhaps\n"), "peers.yaml:4");
  wrong(StrCat("peers:\n  - name: bee\n    key: ", key, "\n  - name: bee\n    key: ", other, "\n"),
        "two peers");
  wrong(StrCat("peers:\n  - name: bee\n    key: ", key, "\n  - name: cow\n    key: ", key, "\n"),
        "key of another");
  wrong(StrCat("peers:\n  - name: bee\n    key: ", key, "\n    reliability: G\n"), "A to F");
  wrong(StrCat("peers:\n  - name: bee\n    key: ", key, "\n    url: http://b\n"), "https");
  wrong("certificate: a.pem\n", "go together");
  wrong("a: [\n", "peers.yaml:");
}

}  // namespace
}  // namespace stillwatch::share::compare
