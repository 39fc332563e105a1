// Bytes as each message of a comparison, signed by the peer that it must come from, in a run that
// is under way: answered or refused with a reason of the header, never our own fault.
#include <sodium.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/hex.h"
#include "base/str.h"
#include "share/compare/party.h"

namespace {

using namespace stillwatch;
using namespace stillwatch::share::compare;
using share::psi::Bytes32;
using share::psi::Question;

constexpr int64_t kNow = 1'795'000'000'000;
constexpr int kInputs = 12;  // of one world: fewer than kOpenOffers
// Where things are in a message (share/psi/message.h).
constexpr size_t kRunAt = 8, kPreviousAt = 24, kFromAt = 56, kToAt = 88, kExpiresAt = 128,
                 kEpochAt = 172;

ItemSet Set(int from, int to) {
  std::vector<std::pair<std::string, std::string>> items;
  for (int i = from; i < to; ++i) items.emplace_back("payment", base::StrCat("pm_secret_", i));
  return *ItemSet::Make(std::move(items));
}

std::string Hash(std::string_view bytes) {
  std::string hash(32, '\0');
  crypto_generichash(reinterpret_cast<uint8_t*>(hash.data()), hash.size(),
                     reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), nullptr, 0);
  return hash;
}

// Ant, whose peer is bee; both know what they do.
class World {
 public:
  World() {
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_ + "/bee");
    const std::string seed(32, '\7');
    Bytes32 key{};
    secret_.resize(crypto_sign_SECRETKEYBYTES);
    crypto_sign_seed_keypair(key.data(), reinterpret_cast<uint8_t*>(secret_.data()),
                             reinterpret_cast<const uint8_t*>(seed.data()));
    if (!WriteFile(dir_ + "/bee/identity.key", base::Hex(seed)).ok()) std::abort();
    audit::AuditOptions a;
    a.dir = dir_ + "/audit";
    a.now_ms = [] { return kNow; };
    auto log = audit::AuditLog::Open(a);
    if (!log.ok()) std::abort();
    log_ = *std::move(log);
    ant = Open("ant", "bee", key);
    bee = Open("bee", "ant", ant->key());
  }
  ~World() {
    ant.reset();
    bee.reset();
    log_.reset();
    std::filesystem::remove_all(dir_);
  }
  // As bee signs it for ant, after the message `before`; empty: the first of a run. `fitting`: with
  // what all messages of a run have in common.
  std::string Signed(std::string bytes, std::string_view before, bool fitting) const {
    if (bytes.size() < kEpochAt) return bytes;
    if (!before.empty()) {
      bytes.replace(kRunAt, kPreviousAt - kRunAt, before.substr(kRunAt, kPreviousAt - kRunAt));
      bytes.replace(kPreviousAt, 32, Hash(before.substr(0, before.size() - crypto_sign_BYTES)));
      if (fitting)
        bytes.replace(kExpiresAt, kEpochAt - kExpiresAt,
                      before.substr(kExpiresAt, kEpochAt - kExpiresAt));
    }
    bytes.replace(kFromAt, 32, secret_.substr(32));
    bytes.replace(kToAt, 32, reinterpret_cast<const char*>(ant->key().data()), 32);
    const std::string hash = Hash(bytes);
    std::string signature(crypto_sign_BYTES, '\0');
    crypto_sign_detached(reinterpret_cast<uint8_t*>(signature.data()), nullptr,
                         reinterpret_cast<const uint8_t*>(hash.data()), hash.size(),
                         reinterpret_cast<const uint8_t*>(secret_.data()));
    return bytes + signature;
  }

  std::unique_ptr<Party> ant, bee;

 private:
  std::unique_ptr<Party> Open(const std::string& who, const char* peer, const Bytes32& key) {
    Peers peers;
    peers.path = "peers.yaml";
    Peer& p = peers.all.emplace_back();
    p.name = peer;
    p.key = key;
    p.count = p.which = true;
    auto opened =
        Party::Open({.dir = dir_ + "/" + who,
                     .audit = log_.get(),
                     .now_ms = [] { return kNow; },
                     .random = [this](void* to, size_t n) { std::memset(to, ++drawn_, n); },
                     .threads = 1},
                    peers);
    if (!opened.ok()) std::abort();
    return *std::move(opened);
  }
  const std::string dir_ =
      base::StrCat(std::filesystem::temp_directory_path().string(), "/party-fuzz-", getpid());
  std::string secret_;
  int drawn_ = 0;
  std::unique_ptr<audit::AuditLog> log_;
};

template <typename T>
void Fair(const absl::StatusOr<T>& r) {
  if (absl::IsInternal(r.status()) || absl::IsUnknown(r.status())) std::abort();
  if (!r.ok() && r.status().message().empty()) std::abort();
}
// Of a step that both take as they should.
std::string Must(absl::StatusOr<std::string> r) {
  if (!r.ok()) {
    std::fprintf(stderr, "party_fuzz: %s\n", r.status().ToString().c_str());
    std::abort();
  }
  return *std::move(r);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static std::unique_ptr<World> world;
  static int inputs = 0;
  static const ItemSet ants = Set(0, 17), bees = Set(8, 25);
  if (size < 1) return 0;
  if (inputs++ % kInputs == 0) {
    world.reset();
    world = std::make_unique<World>();
  }
  const Question q = data[0] & 4 ? Question::kWhich : Question::kCount;
  const auto message = [&](std::string_view before) {
    return world->Signed({reinterpret_cast<const char*>(data) + 1, size - 1}, before, data[0] & 8);
  };
  Party &ant = *world->ant, &bee = *world->bee;
  switch (data[0] & 3) {
    case 0: {
      const auto request = ant.Request(message(""), q, ants, "fuzz");
      Fair(request);
      if (request.ok()) ant.Abandon(*request);
      break;
    }
    case 1:
      Fair(ant.Reply(message(Must(ant.Offer("bee", q, ants, kRunMs, "fuzz"))), ants, "fuzz"));
      break;
    case 2: {
      const std::string offer = Must(bee.Offer("ant", q, bees, kRunMs, "fuzz"));
      const auto request = ant.Request(offer, q, ants, "fuzz");
      Fair(request);  // refused after another message showed another key for this epoch
      if (!request.ok()) break;
      Fair(ant.Finish(message(*request), ants, "fuzz"));
      ant.Abandon(*request);
      break;
    }
    case 3: {
      const std::string offer = Must(ant.Offer("bee", q, ants, kRunMs, "fuzz"));
      const std::string reply =
          Must(ant.Reply(Must(bee.Request(offer, q, bees, "fuzz")), ants, "fuzz"));
      Fair(ant.TakeReceipt(message(reply), "fuzz"));
      break;
    }
  }
  return 0;
}
