#include "share/compare/party.h"

#include <sodium.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <numeric>

#include "base/hex.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "share/psi/items.h"
#include "state/sqlite.h"

namespace stillwatch::share::compare {
namespace {

using base::JsonWriter;
using base::StrCat;
using psi::Bytes32;
using psi::Kind;
using psi::Message;
using psi::Part;
using psi::Question;
using state::Blob;
using state::Query;
using state::Run;
namespace fs = std::filesystem;

constexpr const char* kSchema = R"sql(
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS epochs(epoch TEXT PRIMARY KEY, seed BLOB NOT NULL,
  kept_until INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS runs(run BLOB NOT NULL, side INTEGER NOT NULL, peer BLOB NOT NULL,
  question INTEGER NOT NULL, epoch TEXT NOT NULL, status INTEGER NOT NULL, expires INTEGER NOT NULL,
  last BLOB NOT NULL, digest BLOB NOT NULL, counts TEXT NOT NULL, seed BLOB NOT NULL,
  PRIMARY KEY(run, side));
CREATE INDEX IF NOT EXISTS runs_of ON runs(peer, epoch, side, status);
CREATE TABLE IF NOT EXISTS spent(peer BLOB NOT NULL, epoch TEXT NOT NULL, family TEXT NOT NULL,
  items INTEGER NOT NULL, PRIMARY KEY(peer, epoch, family));
CREATE TABLE IF NOT EXISTS pins(peer BLOB NOT NULL, epoch TEXT NOT NULL, public_key BLOB NOT NULL,
  PRIMARY KEY(peer, epoch));
)sql";

// Written to disk.
enum Side : int { kAnswers = 0, kAsks = 1 };
enum Status : int {
  kOffered = 1,
  kAnswered = 2,
  kRequested = 3,
  kFinished = 4,
  kFailed = 5,
  kTold = 6
};

constexpr int64_t kDayMs = base::kMsPerDay, kMonday = 4 * kDayMs;  // 1970-01-05

template <typename A>
std::string_view View(const A& a) {
  return {reinterpret_cast<const char*>(a.data()), a.size()};
}
template <typename A>
Blob AsBlob(const A& a) {
  return Blob{View(a)};
}
template <typename A>
std::string Hex(const A& a) {
  return base::Hex(View(a));
}
std::string Text(const absl::Status& s) { return {s.message().data(), s.message().size()}; }

// True when the text is an epoch that holds the time, give or take the clocks.
bool EpochHolds(const std::string& epoch, int64_t ms) {
  const size_t slash = epoch.find("/P");
  if (slash != 10 || !epoch.ends_with('D') || epoch.size() > 16) return false;
  const auto start = base::ParseRfc3339(epoch.substr(0, 10) + "T00:00:00Z");
  int64_t days = 0;
  for (const char c : epoch.substr(12, epoch.size() - 13)) {
    if (c < '0' || c > '9') return false;
    days = (days * 10) + (c - '0');
  }
  return start && days > 0 && ms >= *start - kSkewMs && ms <= *start + (days * kDayMs) + kSkewMs;
}

// The counts of a run as they are kept: "mail:3:5;payment:1:7;", answering side's first.
std::string Counts(const std::vector<Part>& parts, bool asking) {
  std::string out;
  for (const Part& p : parts)
    base::StrAppend(&out, p.family, ":", asking ? p.yours : p.mine, ":", asking ? p.mine : p.yours,
                    ";");
  return out;
}

std::vector<std::string> Inputs(const ItemSet::FamilyItems& f) {
  std::vector<std::string> out;
  out.reserve(f.values.size());
  for (const std::string& v : f.values) out.push_back(psi::HashInput(f.family, v));
  return out;
}

// In what order the items are asked about: any, so that it says nothing of their values.
std::vector<uint32_t> Order(std::string_view family, size_t n, const psi::Seed& seed) {
  std::vector<std::pair<uint64_t, uint32_t>> drawn(n);
  const std::string name = StrCat("order ", family);
  for (size_t i = 0; i < n; ++i) drawn[i] = {seed.NumberAt(name, i), uint32_t(i)};
  std::sort(drawn.begin(), drawn.end());
  std::vector<uint32_t> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = drawn[i].second;
  return out;
}
std::vector<std::string> Ordered(std::vector<std::string> inputs,
                                 const std::vector<uint32_t>& order) {
  std::vector<std::string> out;
  out.reserve(inputs.size());
  for (const uint32_t i : order) out.push_back(std::move(inputs[i]));
  return out;
}

class Transaction {
 public:
  explicit Transaction(state::Db* db) : db_(db), status_(db->Script("BEGIN IMMEDIATE")) {}
  ~Transaction() {
    if (status_.ok() && !done_) (void)db_->Script("ROLLBACK");
  }
  const absl::Status& status() const { return status_; }
  absl::Status Commit() {
    done_ = true;
    return db_->Script("COMMIT");
  }

 private:
  state::Db* const db_;
  const absl::Status status_;
  bool done_ = false;
};

class RealParty final : public Party {
 public:
  RealParty(PartyOptions options, Peers peers)
      : options_(std::move(options)), peers_(std::move(peers)), parallel_(options_.threads) {}

  absl::Status Init() {
    if (sodium_init() < 0) return absl::InternalError("compare: libsodium cannot start");
    if (!options_.random) options_.random = [](void* p, size_t n) { randombytes_buf(p, n); };
    std::error_code ec;
    fs::create_directories(options_.dir, ec);
    if (ec)
      return absl::InvalidArgumentError(StrCat(options_.dir, ": cannot be made: ", ec.message()));
    fs::permissions(options_.dir, fs::perms::owner_all, ec);
    if (absl::Status s = Identity(); !s.ok()) return s;
    const std::string path = options_.dir + "/compare.db";
    auto db = state::Db::Open(path);
    if (!db.ok()) return db.status();
    db_ = *std::move(db);
    chmod(path.c_str(), 0600);
    return db_->Script(kSchema);
  }

  Bytes32 key() const override { return key_; }
  const Peers& peers() const override { return peers_; }

  absl::StatusOr<std::string> Offer(std::string_view name, Question question, const ItemSet& items,
                                    int64_t run_ms, std::string_view actor) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Peer* peer = peers_.Named(name);
    if (peer == nullptr)
      return absl::PermissionDeniedError(StrCat(peers_.path, " names no peer ", name));
    if (absl::Status s = Agreed(*peer, question); !s.ok()) return s;
    const int64_t now = options_.now_ms();
    int64_t until = 0;
    const std::string epoch = EpochAt(now, peers_.epoch_days, &until);
    Message m;
    m.kind = Kind::kOffer;
    m.question = question;
    options_.random(m.run.data(), m.run.size());
    m.from = key_;
    m.to = peer->key;
    m.created_ms = now;
    m.expires_ms = now + run_ms;
    m.epoch = epoch;
    if (question == Question::kCount && !peer->which) m.floor = kCountFloor;
    for (const auto& f : items.families()) {
      Part p;
      p.family = f.family;
      p.mine = uint32_t(f.values.size());
      m.parts.push_back(std::move(p));
    }
    Transaction tx(db_.get());
    if (!tx.status().ok()) return tx.status();
    absl::Status s = Run(*db_, "DELETE FROM runs WHERE status = 1 AND expires < ?", now);
    if (s.ok()) s = Run(*db_, "DELETE FROM epochs WHERE kept_until < ?", now);
    if (!s.ok()) return s;
    {
      Query open(*db_, "SELECT count(*) FROM runs WHERE side = 0 AND peer = ? AND status = 1",
                 AsBlob(peer->key));
      if (open.Row() && open.Int(0) >= int64_t(kOpenOffers)) {
        return absl::ResourceExhaustedError(
            StrCat(peer->name, " has ", kOpenOffers,
                   " offers open; they end when they are answered or "
                   "expire"));
      }
    }
    if (s = RunsLeft(*peer, epoch); !s.ok()) return s;
    if (question == Question::kWhich) {
      auto pair = EpochKey(epoch, until + kRunMs);
      if (!pair.ok()) return pair.status();
      m.public_key = pair->public_key;
    }
    std::string out = psi::Encode(&m, secret_);
    s = Run(*db_, "INSERT INTO runs VALUES(?,0,?,?,?,1,?,?,?,?,?)", AsBlob(m.run),
            AsBlob(peer->key), int(question), epoch, m.expires_ms, AsBlob(m.hash),
            AsBlob(items.digest()), Counts(m.parts, false), Blob{});
    if (s.ok()) s = Record("compare.offer", *peer, m, actor, "");
    if (s.ok()) s = tx.Commit();
    if (!s.ok()) return s;
    return out;
  }

  absl::StatusOr<std::string> Reply(std::string_view request, const ItemSet& items,
                                    std::string_view actor, std::string_view from) override {
    const std::unique_lock<std::mutex> one(answering_, std::try_to_lock);
    if (!one.owns_lock())
      return absl::UnavailableError("another comparison is being answered; try again");
    auto m = psi::Decode(request, Kind::kRequest);
    if (!m.ok()) return m.status();
    auto peer = Sender(*m, from);
    if (!peer.ok()) return peer.status();
    psi::KeyPair pair;
    if (absl::Status s = Admit(*m, **peer, items, actor, &pair); !s.ok()) return s;
    // From here on the run is used up, whatever happens.
    auto reply = Answer(*m, items, pair);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!reply.ok()) {
      (void)Run(*db_, "UPDATE runs SET status = 5 WHERE run = ? AND side = 0", AsBlob(m->run));
      (void)Record("compare.refused", **peer, *m, actor, Text(reply.status()));
      return absl::Status(
          reply.status().code(),
          StrCat((*peer)->name, "'s request: ", Text(reply.status()), "; nothing was answered"));
    }
    std::string out = psi::Encode(&*reply, secret_);
    absl::Status s = Run(*db_, "UPDATE runs SET last = ?, counts = ? WHERE run = ? AND side = 0",
                         AsBlob(reply->hash), Counts(reply->parts, false), AsBlob(m->run));
    if (s.ok()) s = Record("compare.reply", **peer, *reply, actor, "");
    if (!s.ok()) return s;
    return out;
  }

  absl::StatusOr<Result> TakeReceipt(std::string_view receipt, std::string_view actor,
                                     std::string_view from) override {
    auto m = psi::Decode(receipt, Kind::kReceipt);
    if (!m.ok()) return m.status();
    const std::lock_guard<std::mutex> lock(mutex_);
    auto peer = Sender(*m, from);
    if (!peer.ok()) return peer.status();
    Transaction tx(db_.get());
    if (!tx.status().ok()) return tx.status();
    Known run;
    if (absl::Status s = Find(*m, **peer, kAnswers, kAnswered, &run); !s.ok()) return s;
    if (Counts(m->parts, true) != run.counts)
      return absl::InvalidArgumentError("the receipt's counts are not those of the reply");
    absl::Status s =
        Run(*db_, "UPDATE runs SET status = 6 WHERE run = ? AND side = 0", AsBlob(m->run));
    if (s.ok()) s = Record("compare.receipt", **peer, *m, actor, "");
    if (s.ok()) s = tx.Commit();
    if (!s.ok()) return s;
    Result out = ResultOf(*m, **peer);
    for (const Part& p : m->parts) out.rows.push_back({p.family, p.yours, p.mine, p.common});
    return out;
  }

  absl::StatusOr<std::string> Request(std::string_view offer, Question question,
                                      const ItemSet& items, std::string_view actor,
                                      std::string_view from) override {
    auto m = psi::Decode(offer, Kind::kOffer);
    if (!m.ok()) return m.status();
    const std::lock_guard<std::mutex> lock(mutex_);
    auto peer = Sender(*m, from);
    if (!peer.ok()) return peer.status();
    const int64_t now = options_.now_ms();
    if (m->question != question) {
      return absl::FailedPreconditionError(StrCat((*peer)->name, " offers \"",
                                                  psi::QuestionName(m->question), "\", and \"",
                                                  psi::QuestionName(question), "\" is meant here"));
    }
    if (absl::Status s = Agreed(**peer, question); !s.ok()) return s;
    if (absl::Status s = Timely(*m, now); !s.ok()) return s;
    if (!EpochHolds(m->epoch, m->created_ms))
      return absl::FailedPreconditionError("the offer's epoch is not that of its time");
    psi::Seed seed = FreshSeed();
    Message out = Next(*m, Kind::kRequest, now);
    uint64_t total = 0;
    std::string small;
    for (const Part& theirs : m->parts) {
      const auto* mine = items.Find(theirs.family);
      if (mine == nullptr) continue;
      if (mine->values.size() < m->floor) {
        base::StrAppend(&small, small.empty() ? "" : ", ", theirs.family);
        continue;
      }
      total += mine->values.size();
      Part p;
      p.family = theirs.family;
      p.mine = uint32_t(mine->values.size());
      p.yours = theirs.mine;
      out.parts.push_back(std::move(p));
    }
    if (out.parts.empty()) {
      return absl::FailedPreconditionError(
          small.empty() ? "the two sides have no family in common"
                        : StrCat("of ", small, " there are fewer than ", m->floor,
                                 " items here, and their number would tell which; agree on "
                                 "\"which\", or compare more"));
    }
    if (total > psi::kAskedMax) {
      return absl::ResourceExhaustedError(
          StrCat(total, " items, at most ", psi::kAskedMax, " in one request; split the set"));
    }
    for (Part& p : out.parts) {
      auto elements = Blinded(p.family, *items.Find(p.family), question, seed);
      if (!elements.ok()) return elements.status();
      p.elements = *std::move(elements);
    }
    std::string bytes = psi::Encode(&out, secret_);
    if (absl::Status s = WriteFile(RequestPath(out.run), bytes); !s.ok()) return s;
    Transaction tx(db_.get());
    if (!tx.status().ok()) return tx.status();
    absl::Status s = Pin(**peer, *m);
    if (s.ok()) {
      Query seen(*db_, "SELECT 1 FROM runs WHERE run = ? AND side = 1", AsBlob(m->run));
      if (seen.Row())
        s = absl::FailedPreconditionError("this offer was used already; ask for a new one");
      else
        s = seen.status();
    }
    if (s.ok()) {
      s = Run(*db_, "INSERT INTO runs VALUES(?,1,?,?,?,3,?,?,?,?,?)", AsBlob(m->run),
              AsBlob((*peer)->key), int(question), m->epoch, m->expires_ms, AsBlob(out.hash),
              AsBlob(items.digest()), Counts(out.parts, true), AsBlob(seed.bytes()));
    }
    if (s.ok()) s = Record("compare.request", **peer, out, actor, "");
    if (s.ok()) s = tx.Commit();
    if (!s.ok()) return s;
    return bytes;
  }

  absl::StatusOr<Result> Finish(std::string_view reply, const ItemSet& items,
                                std::string_view actor) override {
    auto m = psi::Decode(reply, Kind::kReply);
    if (!m.ok()) return m.status();
    const std::lock_guard<std::mutex> lock(mutex_);
    auto peer = Sender(*m);
    if (!peer.ok()) return peer.status();
    Known run;
    if (absl::Status s = Find(*m, **peer, kAsks, kRequested, &run); !s.ok()) return s;
    if (View(items.digest()) != run.digest) {
      return absl::InvalidArgumentError(
          "the items are not those that the request was made from; give the same set");
    }
    auto bytes = ReadFile(RequestPath(m->run), psi::kRequestBytesMax);
    if (!bytes.ok()) return bytes.status();
    auto request = psi::Decode(*bytes, Kind::kRequest);
    if (!request.ok()) return request.status();
    auto result = Work(*m, *request, items, **peer, run);
    absl::Status s;
    if (!result.ok()) {
      // Signed by the peer and wrong all the same: another try could only be worse.
      s = Close(*m, kFailed);
      if (s.ok()) s = Record("compare.refused", **peer, *m, actor, Text(result.status()));
      if (!s.ok()) return s;
      return absl::Status(
          result.status().code(),
          StrCat((*peer)->name, "'s reply: ", Text(result.status()), "; there is no result"));
    }
    Message done = *m;
    for (size_t i = 0; i < done.parts.size(); ++i)
      done.parts[i].common = uint32_t(result->rows[i].common);
    s = Record("compare.result", **peer, done, actor, "");
    if (s.ok()) s = Close(*m, kFinished);
    if (!s.ok()) return s;
    return result;
  }

  void Abandon(std::string_view request) override {
    const auto m = psi::Decode(request, Kind::kRequest);
    if (!m.ok() || m->from != key_) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    (void)Close(*m, kFailed);
  }

  absl::StatusOr<std::string> Receipt(const Result& r, std::string_view actor) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Peer* peer = peers_.Named(r.peer);
    if (peer == nullptr) return absl::PermissionDeniedError(StrCat("no peer ", r.peer));
    Message m;
    m.kind = Kind::kReceipt;
    m.question = r.question;
    m.run = r.run;
    m.previous = r.transcript;
    m.from = key_;
    m.to = peer->key;
    m.created_ms = options_.now_ms();
    m.epoch = r.epoch;
    {
      Query q(*db_, "SELECT expires FROM runs WHERE run = ? AND side = 1 AND status = 4",
              AsBlob(r.run));
      if (!q.Row()) return absl::FailedPreconditionError("this run has no result to tell");
      m.expires_ms = q.Int(0);
    }
    {
      Query q(*db_, "SELECT public_key FROM pins WHERE peer = ? AND epoch = ?", AsBlob(peer->key),
              r.epoch);
      if (r.question == Question::kWhich && q.Row()) {
        const std::string k = q.Text(0);
        if (k.size() == m.public_key.size()) std::copy(k.begin(), k.end(), m.public_key.begin());
      }
    }
    for (const auto& row : r.rows) {
      Part p;
      p.family = row.family;
      p.mine = uint32_t(row.mine);
      p.yours = uint32_t(row.theirs);
      p.common = uint32_t(row.common);
      m.parts.push_back(std::move(p));
    }
    std::string out = psi::Encode(&m, secret_);
    if (absl::Status s = Record("compare.told", *peer, m, actor, ""); !s.ok()) return s;
    return out;
  }

  absl::StatusOr<std::vector<Spent>> Rations() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const std::string epoch = EpochAt(options_.now_ms(), peers_.epoch_days);
    std::vector<Spent> out;
    for (const Peer& p : peers_.all) {
      for (const psi::Family& f : psi::Families()) {
        auto spent = SpentOn(p, epoch, f.name);
        if (!spent.ok()) return spent.status();
        out.push_back({p.name, std::string(f.name), *spent, Limit(p, f.name)});
      }
    }
    return out;
  }

 private:
  struct Known {
    std::string digest, counts, seed;
  };

  absl::Status Identity() {
    const std::string path = options_.dir + "/identity.key";
    std::error_code ec;
    if (!fs::exists(path, ec)) {
      Bytes32 fresh;
      options_.random(fresh.data(), fresh.size());
      const absl::Status s = WriteFile(path, Hex(fresh) + "\n");
      sodium_memzero(fresh.data(), fresh.size());
      if (!s.ok()) return s;
    }
    auto text = ReadFile(path, 4096);
    if (!text.ok()) return text.status();
    Bytes32 seed;
    size_t n = 0;
    if (text->size() < 64 ||
        sodium_hex2bin(seed.data(), seed.size(), text->data(), 64, nullptr, &n, nullptr) != 0 ||
        n != seed.size())
      return absl::InvalidArgumentError(StrCat(path, ": expected 64 hex digits"));
    secret_.resize(crypto_sign_SECRETKEYBYTES);
    crypto_sign_seed_keypair(key_.data(), reinterpret_cast<uint8_t*>(secret_.data()), seed.data());
    sodium_memzero(seed.data(), seed.size());
    sodium_memzero(text->data(), text->size());
    return absl::OkStatus();
  }

 public:
  ~RealParty() override { sodium_memzero(secret_.data(), secret_.size()); }

 private:
  psi::Seed FreshSeed() {
    Bytes32 b;
    options_.random(b.data(), b.size());
    psi::Seed out(b);
    sodium_memzero(b.data(), b.size());
    return out;
  }

  std::string RequestPath(const psi::RunId& run) const {
    return StrCat(options_.dir, "/", Hex(run), ".request");
  }

  absl::Status Agreed(const Peer& peer, Question q) const {
    if (peer.Agrees(q)) return absl::OkStatus();
    return absl::FailedPreconditionError(StrCat(
        "\"", psi::QuestionName(q), "\" is not agreed with ", peer.name, " (", peers_.path, ")"));
  }

  absl::Status Timely(const Message& m, int64_t now) const {
    if (m.expires_ms < now)
      return absl::FailedPreconditionError("this comparison has expired; begin a new one");
    if (m.created_ms > now + kSkewMs || m.expires_ms > m.created_ms + (2 * kRunMs))
      return absl::FailedPreconditionError("the message is from the future: compare the clocks");
    return absl::OkStatus();
  }

  absl::StatusOr<const Peer*> Sender(const Message& m, std::string_view from = "") const {
    if (m.to != key_)
      return absl::PermissionDeniedError("this message is addressed to somebody else");
    const Peer* peer = peers_.WithKey(m.from);
    if (peer == nullptr) {
      return absl::PermissionDeniedError(
          StrCat("the message is signed with a key that no peer in ", peers_.path, " has"));
    }
    if (!from.empty() && from != peer->name) {
      return absl::PermissionDeniedError(
          StrCat("the message is signed by ", peer->name, " and came from ", from));
    }
    return peer;
  }

  // The run of a message, which must follow on the last one of it.
  absl::Status Find(const Message& m, const Peer& peer, Side side, Status due, Known* out) {
    Query q(*db_,
            "SELECT peer, question, epoch, status, expires, last, digest, counts, seed FROM runs "
            "WHERE run = ? AND side = ?",
            AsBlob(m.run), int(side));
    if (!q.Row()) {
      if (!q.status().ok()) return q.status();
      return absl::FailedPreconditionError(
          "this comparison is not known here: it was never begun, or has expired");
    }
    if (q.Text(0) != View(peer.key) || q.Int(1) != int(m.question) || q.Text(2) != m.epoch ||
        q.Int(4) != m.expires_ms)
      return absl::InvalidArgumentError("the message does not fit its comparison");
    if (q.Int(3) != due) {
      return absl::FailedPreconditionError(
          q.Int(3) == kFailed ? "this comparison has failed; begin a new one"
          : q.Int(3) < due
              ? "the message before this one has not come yet"
              : StrCat("this ", psi::KindName(m.kind), " came before; it is taken once"));
    }
    if (q.Text(5) != View(m.previous))
      return absl::InvalidArgumentError(
          "the message does not follow the last one of its comparison");
    out->digest = q.Text(6);
    out->counts = q.Text(7);
    out->seed = q.Text(8);
    return Timely(m, options_.now_ms());
  }

  absl::StatusOr<uint64_t> SpentOn(const Peer& peer, std::string_view epoch,
                                   std::string_view family) {
    Query q(*db_, "SELECT items FROM spent WHERE peer = ? AND epoch = ? AND family = ?",
            AsBlob(peer.key), epoch, family);
    const uint64_t out = q.Row() ? q.Uint(0) : 0;
    if (!q.status().ok()) return q.status();
    return out;
  }

  static uint64_t Limit(const Peer& peer, std::string_view family) {
    if (peer.items_per_epoch > 0) return peer.items_per_epoch;
    return psi::Families()[size_t(psi::FamilyIndex(family))].epoch_items;
  }

  absl::Status RunsLeft(const Peer& peer, std::string_view epoch) {
    Query q(*db_,
            "SELECT count(*) FROM runs WHERE side = 0 AND peer = ? AND epoch = ? AND status <> 1",
            AsBlob(peer.key), epoch);
    if (q.Row() && q.Uint(0) >= peer.runs_per_epoch) {
      return absl::ResourceExhaustedError(StrCat(peer.name, " was answered ", peer.runs_per_epoch,
                                                 " times in the epoch ", epoch,
                                                 "; the next one begins afresh"));
    }
    return q.status();
  }

  // All that must hold before anything is computed; spends the ration and closes the run to others.
  absl::Status Admit(const Message& m, const Peer& peer, const ItemSet& items,
                     std::string_view actor, psi::KeyPair* pair) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (absl::Status s = Agreed(peer, m.question); !s.ok()) return s;
    Transaction tx(db_.get());
    if (!tx.status().ok()) return tx.status();
    Known run;
    if (absl::Status s = Find(m, peer, kAnswers, kOffered, &run); !s.ok()) return s;
    if (View(items.digest()) != run.digest) {
      return absl::FailedPreconditionError(
          "the items here have changed since the offer; begin with a new one");
    }
    if (m.parts.empty()) return absl::InvalidArgumentError("nothing is asked");
    const bool floored = m.question == Question::kCount && !peer.which;
    for (const Part& p : m.parts) {
      const auto* mine = items.Find(p.family);
      if (mine == nullptr || mine->values.size() != p.yours)
        return absl::InvalidArgumentError(StrCat(p.family, " was not offered like this"));
      if (floored && p.mine < kCountFloor) {
        return absl::InvalidArgumentError(StrCat(p.family, ": fewer than ", kCountFloor,
                                                 " items: their number would tell which"));
      }
      auto spent = SpentOn(peer, m.epoch, p.family);
      if (!spent.ok()) return spent.status();
      const uint64_t limit = Limit(peer, p.family);
      if (*spent + p.mine > limit) {
        return absl::ResourceExhaustedError(
            StrCat(p.family, ": ", peer.name, " may ask about ", limit, " items in the epoch ",
                   m.epoch, ", has asked about ", *spent, " and asks about ", p.mine, " more"));
      }
      const absl::Status s =
          Run(*db_,
              "INSERT INTO spent VALUES(?,?,?,?) ON CONFLICT(peer, epoch, family) DO UPDATE SET "
              "items = items + excluded.items",
              AsBlob(peer.key), m.epoch, p.family, p.mine);
      if (!s.ok()) return s;
    }
    if (absl::Status s = RunsLeft(peer, m.epoch); !s.ok()) return s;
    if (m.question == Question::kWhich) {
      auto k = EpochKey(m.epoch, 0);
      if (!k.ok()) return k.status();
      if (k->public_key != m.public_key)
        return absl::InvalidArgumentError("the message does not fit its comparison");
      *pair = *k;
    }
    absl::Status s = Run(*db_, "UPDATE runs SET status = 2, last = ? WHERE run = ? AND side = 0",
                         AsBlob(m.hash), AsBlob(m.run));
    if (s.ok()) s = Record("compare.asked", peer, m, actor, "");
    if (s.ok()) s = tx.Commit();
    return s;
  }

  Message Next(const Message& before, Kind kind, int64_t now) const {
    Message out;
    out.kind = kind;
    out.question = before.question;
    out.run = before.run;
    out.previous = before.hash;
    out.from = key_;
    out.to = before.from;
    out.created_ms = now;
    out.expires_ms = before.expires_ms;
    out.floor = before.floor;
    out.public_key = before.public_key;
    out.epoch = before.epoch;
    return out;
  }

  absl::StatusOr<Message> Answer(const Message& m, const ItemSet& items, const psi::KeyPair& pair) {
    const psi::Seed seed = FreshSeed();
    Message out = Next(m, Kind::kReply, options_.now_ms());
    for (const Part& asked : m.parts) {
      Part p;
      p.family = asked.family;
      p.mine = asked.yours;
      p.yours = asked.mine;
      if (m.question == Question::kCount) {
        auto elements = psi::CountReply(asked.elements, seed, parallel_);
        if (!elements.ok()) return Of(asked, elements.status());
        auto tags = psi::CountTags(Hashed(items, asked.family), seed, parallel_);
        if (!tags.ok()) return tags.status();
        p.elements = *std::move(elements);
        p.tags = *std::move(tags);
      } else {
        auto answer = psi::WhichReply(asked.elements, pair, m.epoch, asked.family, seed, parallel_);
        if (!answer.ok()) return Of(asked, answer.status());
        auto tags = EpochTags(items, asked.family, m.epoch, pair);
        if (!tags.ok()) return tags.status();
        p.elements = std::move(answer->evaluated);
        p.proofs = std::move(answer->proofs);
        p.tags = *std::move(tags);
      }
      out.parts.push_back(std::move(p));
    }
    return out;
  }

  static absl::Status Of(const Part& p, const absl::Status& s) {
    return absl::Status(s.code(), StrCat(p.family, ": ", Text(s)));
  }

  // Elements of the own items: they depend on no secret, so the last set's are kept.
  std::vector<psi::Element> Hashed(const ItemSet& items, const std::string& family) {
    if (hashed_of_ != items.digest()) {
      hashed_.clear();
      hashed_of_ = items.digest();
    }
    const auto it = hashed_.find(family);
    if (it != hashed_.end()) return it->second;
    auto made = psi::HashItems(Inputs(*items.Find(family)), parallel_);
    return hashed_.emplace(family, std::move(made)).first->second;
  }

  // Tags of the own items under the epoch's key: the same for every peer, so that they are computed
  // once per epoch and set and kept in a file. Who asked has them anyway.
  absl::StatusOr<std::vector<psi::Tag>> EpochTags(const ItemSet& items, const std::string& family,
                                                  const std::string& epoch,
                                                  const psi::KeyPair& pair) {
    Bytes32 name;
    crypto_generichash_state hash;
    crypto_generichash_init(&hash, nullptr, 0, name.size());
    for (const std::string_view part : {View(pair.public_key), View(items.digest()),
                                        std::string_view(family), std::string_view(epoch)})
      crypto_generichash_update(&hash, reinterpret_cast<const uint8_t*>(part.data()), part.size());
    crypto_generichash_final(&hash, name.data(), name.size());
    const std::string prefix = StrCat("tags-", epoch.substr(0, 10));
    const std::string path = StrCat(options_.dir, "/", prefix, "-", Hex(name).substr(0, 32));
    const size_t n = items.Find(family)->values.size();
    std::error_code ec;
    if (fs::exists(path, ec)) {
      auto bytes = ReadFile(path, (n * psi::kTagBytes) + name.size());
      if (bytes.ok() && bytes->size() == (n * psi::kTagBytes) + name.size()) {
        std::vector<psi::Tag> tags(n);
        std::memcpy(tags.data(), bytes->data(), n * psi::kTagBytes);
        if (Checksum(name, tags) == bytes->substr(n * psi::kTagBytes) && psi::Ascending(tags))
          return tags;
      }
    }
    auto tags = psi::WhichTags(Inputs(*items.Find(family)), pair, epoch, parallel_);
    if (!tags.ok()) return tags.status();
    for (const auto& entry : fs::directory_iterator(options_.dir, ec)) {
      const std::string file = entry.path().filename().string();
      if (file.starts_with("tags-") && !file.starts_with(prefix)) fs::remove(entry.path(), ec);
    }
    std::string bytes(View(*tags).data(), n * psi::kTagBytes);
    bytes += Checksum(name, *tags);
    (void)WriteFile(path, bytes);  // only saves work
    return tags;
  }
  static std::string Checksum(const Bytes32& name, const std::vector<psi::Tag>& tags) {
    Bytes32 out;
    crypto_generichash(out.data(), out.size(), reinterpret_cast<const uint8_t*>(tags.data()),
                       tags.size() * psi::kTagBytes, name.data(), name.size());
    return std::string(View(out));
  }

  // One key per epoch, from a seed that is deleted when no run can need it: with it goes what could
  // recompute an old epoch's tags. `kept_until` 0: an epoch that must be there already.
  absl::StatusOr<psi::KeyPair> EpochKey(const std::string& epoch, int64_t kept_until) {
    std::string kept;
    {
      Query q(*db_, "SELECT seed FROM epochs WHERE epoch = ?", epoch);
      if (q.Row()) kept = q.Text(0);
      if (!q.status().ok()) return q.status();
    }
    Bytes32 seed{};
    if (kept.size() == seed.size()) {
      std::copy(kept.begin(), kept.end(), seed.begin());
      sodium_memzero(kept.data(), kept.size());
    } else if (kept_until == 0) {
      return absl::FailedPreconditionError("the epoch of this comparison is over; begin a new one");
    } else {
      options_.random(seed.data(), seed.size());
      const absl::Status s =
          Run(*db_, "INSERT INTO epochs VALUES(?,?,?)", epoch, AsBlob(seed), kept_until);
      if (!s.ok()) return s;
    }
    auto out = psi::DeriveKeyPair(psi::Mode::kPoprf, seed, StrCat("stillwatch compare ", epoch));
    sodium_memzero(seed.data(), seed.size());
    return out;
  }

  // A peer that shows different keys to different askers could tell them apart; to us it shows one.
  absl::Status Pin(const Peer& peer, const Message& m) {
    if (m.question == Question::kCount) return absl::OkStatus();
    if (!psi::ValidElement(m.public_key))
      return absl::InvalidArgumentError("the offer's public key is no key");
    Query q(*db_, "SELECT public_key FROM pins WHERE peer = ? AND epoch = ?", AsBlob(peer.key),
            m.epoch);
    if (q.Row()) {
      if (q.Text(0) == View(m.public_key)) return absl::OkStatus();
      return absl::FailedPreconditionError(StrCat(
          peer.name, " shows another key than before in the epoch ", m.epoch, "; ask them why"));
    }
    if (!q.status().ok()) return q.status();
    return Run(*db_, "INSERT INTO pins VALUES(?,?,?)", AsBlob(peer.key), m.epoch,
               AsBlob(m.public_key));
  }

  absl::StatusOr<std::vector<psi::Element>> Blinded(const std::string& family,
                                                    const ItemSet::FamilyItems& f,
                                                    Question question, const psi::Seed& seed) {
    if (question == Question::kCount)
      return psi::CountRequest(psi::HashItems(Inputs(f), parallel_), seed, parallel_);
    const auto order = Order(family, f.values.size(), seed);
    return psi::WhichRequest(family, Ordered(Inputs(f), order), seed, parallel_);
  }

  absl::StatusOr<Result> Work(const Message& m, const Message& request, const ItemSet& items,
                              const Peer& peer, const Known& run) {
    if (Counts(m.parts, false) != run.counts || m.public_key != request.public_key ||
        m.parts.size() != request.parts.size())
      return absl::InvalidArgumentError("its counts are not those of the offer and the request");
    Bytes32 b{};
    if (run.seed.size() != b.size()) return absl::InternalError("compare: a run without its seed");
    std::copy(run.seed.begin(), run.seed.end(), b.begin());
    const psi::Seed seed(b);
    sodium_memzero(b.data(), b.size());
    Result out = ResultOf(m, peer);
    out.transcript = m.hash;
    for (size_t i = 0; i < m.parts.size(); ++i) {
      const Part& p = m.parts[i];
      const auto& f = *items.Find(p.family);
      Result::Row row{p.family, p.yours, p.mine, 0};
      if (m.question == Question::kCount) {
        auto common = psi::CountFinish(p.elements, p.tags, seed, parallel_);
        if (!common.ok()) return Of(p, common.status());
        row.common = *common;
      } else {
        const auto order = Order(p.family, f.values.size(), seed);
        auto found = psi::WhichFinish(p.family, Ordered(Inputs(f), order),
                                      request.parts[i].elements, {p.elements, p.proofs}, p.tags,
                                      m.public_key, m.epoch, seed, parallel_);
        if (!found.ok()) return Of(p, found.status());
        row.common = found->size();
        for (const uint32_t j : *found) out.matched.emplace_back(p.family, f.values[order[j]]);
      }
      out.rows.push_back(std::move(row));
    }
    std::sort(out.matched.begin(), out.matched.end());
    return out;
  }

  Result ResultOf(const Message& m, const Peer& peer) const {
    Result out;
    out.question = m.question;
    out.peer = peer.name;
    out.epoch = m.epoch;
    out.reliability = peer.reliability;
    out.run = m.run;
    out.at_ms = options_.now_ms();
    out.transcript = m.previous;
    return out;
  }

  // The run's secrets go with it.
  absl::Status Close(const Message& m, Status status) {
    absl::Status s = Run(*db_,
                         "UPDATE runs SET status = ?, last = ?, seed = zeroblob(0) "
                         "WHERE run = ? AND side = 1 AND status = 3",
                         int(status), AsBlob(m.hash), AsBlob(m.run));
    if (!s.ok()) return s;
    std::error_code ec;
    fs::remove(RequestPath(m.run), ec);
    return absl::OkStatus();
  }

  // The transcript: who, what about, how many, hashes; never an item, blinded or not.
  absl::Status Record(const char* action, const Peer& peer, const Message& m,
                      std::string_view actor, const std::string& why) {
    audit::AuditRecord r;
    r.time_ms = options_.now_ms();
    r.actor = actor;
    r.action = action;
    r.subject = peer.name;
    r.details.clear();
    JsonWriter w(&r.details);
    w.BeginObject();
    w.Key("run");
    w.String(Hex(m.run));
    w.Key("question");
    w.String(psi::QuestionName(m.question));
    w.Key("epoch");
    w.String(m.epoch);
    w.Key("message");
    w.String(Hex(m.hash));
    w.Key("follows");
    w.String(Hex(m.previous));
    w.Key("families");
    w.BeginArray();
    for (const Part& p : m.parts) {
      w.BeginObject();
      w.Key("family");
      w.String(p.family);
      w.Key("sender");
      w.Uint(p.mine);
      w.Key("receiver");
      w.Uint(p.yours);
      w.Key("common");
      w.Uint(p.common);
      w.EndObject();
    }
    w.EndArray();
    if (!why.empty()) {
      w.Key("why");
      w.String(why);
    }
    w.EndObject();
    return options_.audit->Append(std::move(r));
  }

  PartyOptions options_;
  const Peers peers_;
  const base::Parallel parallel_;
  std::mutex mutex_;  // of the database; held for long only by the asking side
  std::mutex answering_;
  std::unique_ptr<state::Db> db_;
  Bytes32 key_{};
  std::string secret_;
  Bytes32 hashed_of_{};  // with answering_
  std::map<std::string, std::vector<psi::Element>> hashed_;
};

}  // namespace

std::string EpochAt(int64_t now_ms, int64_t days, int64_t* until_ms) {
  const int64_t length = days * kDayMs, since = now_ms - kMonday;
  const int64_t index = since >= 0 ? since / length : -((-since + length - 1) / length);
  const int64_t start = kMonday + (index * length);
  if (until_ms != nullptr) *until_ms = start + length;
  return StrCat(base::FormatRfc3339(start).substr(0, 10), "/P", days, "D");
}

std::string ResultJson(const Result& r, std::string_view campaign) {
  std::string out;
  JsonWriter w(&out, true);
  const auto text = [&](const char* key, std::string_view v) {
    w.Key(key);
    w.String(v);
  };
  w.BeginObject();
  text("schema", "stillwatch.comparison/1");
  text("peer", r.peer);
  text("reliability", std::string_view(&r.reliability, 1));
  text("mode", psi::QuestionName(r.question));
  text("run", Hex(r.run));
  text("epoch", r.epoch);
  text("at", base::FormatRfc3339(r.at_ms));
  text("campaign", campaign);
  w.Key("families");
  w.BeginArray();
  for (const auto& row : r.rows) {
    w.BeginObject();
    text("family", row.family);
    w.Key("mine");
    w.Uint(row.mine);
    w.Key("theirs");
    w.Uint(row.theirs);
    w.Key("common");
    w.Uint(row.common);
    w.EndObject();
  }
  w.EndArray();
  w.Key("matched");
  w.BeginArray();
  for (const auto& [family, value] : r.matched) {
    w.BeginObject();
    text("family", family);
    text("value", value);
    w.EndObject();
  }
  w.EndArray();
  text("transcript", Hex(r.transcript));
  w.EndObject();
  out += '\n';
  return out;
}

absl::StatusOr<std::unique_ptr<Party>> Party::Open(PartyOptions options, Peers peers) {
  auto party = std::make_unique<RealParty>(std::move(options), std::move(peers));
  if (absl::Status s = party->Init(); !s.ok()) return s;
  return party;
}

}  // namespace stillwatch::share::compare
