// Bytes as messages of a comparison, unsigned and signed, and as values to be normalised; what is
// taken is answered as a peer would answer it.
#include <sodium.h>

#include <cstdint>
#include <cstdlib>

#include "share/psi/items.h"
#include "share/psi/message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::share::psi;
  static const auto kKeys = [] {
    std::pair<Bytes32, std::string> k;
    k.second.resize(crypto_sign_SECRETKEYBYTES);
    const Bytes32 seed{7};
    crypto_sign_seed_keypair(k.first.data(), reinterpret_cast<uint8_t*>(k.second.data()),
                             seed.data());
    return k;
  }();
  static const KeyPair kKey = *DeriveKeyPair(Mode::kPoprf, Bytes32{3}, "fuzz");
  const stillwatch::base::Parallel one(1);
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  if (size < 1) return 0;
  const auto kind = Kind(1 + (data[0] & 3));
  (void)Decode(in.substr(1), kind);
  // The same under a signature that holds, so that what comes after it is reached.
  std::string bytes(in.substr(1));
  if (bytes.size() >= 8 + 16 + 32 + 32) {
    bytes.replace(8 + 16 + 32, 32, reinterpret_cast<const char*>(kKeys.first.data()), 32);
    Bytes32 hash;
    crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const uint8_t*>(bytes.data()),
                       bytes.size(), nullptr, 0);
    std::string signature(crypto_sign_BYTES, '\0');
    crypto_sign_detached(reinterpret_cast<uint8_t*>(signature.data()), nullptr, hash.data(),
                         hash.size(), reinterpret_cast<const uint8_t*>(kKeys.second.data()));
    bytes += signature;
    if (auto m = Decode(bytes, kind); m.ok()) {
      Message again = *m;
      if (Encode(&again, kKeys.second) != bytes) std::abort();
      const Seed seed(Bytes32{9});
      for (const Part& p : m->parts) {
        if (m->kind == Kind::kRequest) {
          if (m->question == Question::kCount)
            (void)CountReply(p.elements, seed, one);
          else if (auto a = WhichReply(p.elements, kKey, m->epoch, p.family, seed, one); a.ok())
            if (a->evaluated.size() != p.elements.size()) std::abort();
        }
        if (m->kind == Kind::kReply && m->question == Question::kCount) {
          const auto common = CountFinish(p.elements, p.tags, seed, one);
          if (common.ok() && *common > p.tags.size()) std::abort();
        }
      }
    }
  }
  const auto& family = Families()[data[0] % Families().size()];
  if (auto v = Normalise(family.name, in.substr(1)); v.ok()) {
    auto twice = Normalise(family.name, *v);
    if (!twice.ok() || *twice != *v || v->find('\0') != v->npos) std::abort();
  }
  return 0;
}
