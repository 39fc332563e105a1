#include "share/psi/oprf.h"

#include <sodium.h>

#include <algorithm>
#include <mutex>

#include "base/str.h"

namespace stillwatch::share::psi {
namespace {

using base::StrCat;

std::string Context(Mode mode) { return StrCat("OPRFV1-", char(mode), "-ristretto255-SHA512"); }

std::string_view View(const Bytes32& b) {
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

// I2OSP(length, 2) and the bytes.
void Framed(std::string_view bytes, std::string* out) {
  out->push_back(char(bytes.size() >> 8));
  out->push_back(char(bytes.size()));
  out->append(bytes);
}

void Wipe(std::string* s) { sodium_memzero(s->data(), s->size()); }

Scalar InfoScalar(Mode mode, std::string_view info) {
  std::string framed = "Info";
  Framed(info, &framed);
  return HashToScalar(framed, "HashToScalar-" + Context(mode));
}

struct Composites {
  Element m{}, z{};
};

// Sums of d_i * C_i and, without the key, of d_i * D_i. Elements must be valid: the index of one
// that is not is put in `bad`.
Composites Compose(Mode mode, const Element& b, std::span<const Element> c,
                   std::span<const Element> d, const Scalar* key, const base::Parallel& parallel,
                   int64_t* bad) {
  const std::string context = Context(mode), dst = "HashToScalar-" + context;
  std::string transcript;
  Framed(View(b), &transcript);
  Framed("Seed-" + context, &transcript);
  std::array<uint8_t, 64> seed;
  crypto_hash_sha512(seed.data(), reinterpret_cast<const uint8_t*>(transcript.data()),
                     transcript.size());
  Composites out{kIdentity, kIdentity};
  std::mutex mutex;
  *bad = -1;
  parallel.For(c.size(), 64, [&](size_t begin, size_t end, int) {
    Composites part{kIdentity, kIdentity};
    int64_t wrong = -1;
    std::string text;
    for (size_t i = begin; i < end && wrong < 0; ++i) {
      text.clear();
      Framed({reinterpret_cast<const char*>(seed.data()), seed.size()}, &text);
      text.push_back(char(i >> 8));
      text.push_back(char(i));
      Framed(View(c[i]), &text);
      Framed(View(d[i]), &text);
      text += "Composite";
      const Scalar di = HashToScalar(text, dst);
      Element product;
      if (!Multiply(di, c[i], &product)) {
        wrong = int64_t(i);
        break;
      }
      part.m = Add(part.m, product);
      if (key != nullptr) continue;
      if (!Multiply(di, d[i], &product)) {
        wrong = int64_t(i);
        break;
      }
      part.z = Add(part.z, product);
    }
    const std::lock_guard<std::mutex> lock(mutex);
    if (wrong >= 0) *bad = wrong;
    out.m = Add(out.m, part.m);
    out.z = Add(out.z, part.z);
  });
  if (key != nullptr && *bad < 0 && !Multiply(*key, out.m, &out.z)) *bad = 0;
  return out;
}

Scalar Challenge(Mode mode, const Element& b, const Composites& x, const Element& t2,
                 const Element& t3) {
  std::string transcript;
  for (const Element* e : {&b, &x.m, &x.z, &t2, &t3}) Framed(View(*e), &transcript);
  transcript += "Challenge";
  return HashToScalar(transcript, "HashToScalar-" + Context(mode));
}

// That z = k*m for the k of b = k*G, for all pairs (c, d) at once (section 2.2.1).
Proof Prove(Mode mode, const Scalar& k, const Element& b, std::span<const Element> c,
            std::span<const Element> d, const Scalar& r, const base::Parallel& parallel,
            int64_t* bad) {
  const Composites x = Compose(mode, b, c, d, &k, parallel, bad);
  Proof proof;
  Element t3;
  if (*bad >= 0 || !Multiply(r, x.m, &t3)) {
    *bad = std::max<int64_t>(*bad, 0);
    return proof;
  }
  const Scalar challenge = Challenge(mode, b, x, MultiplyBase(r), t3);
  proof.c = challenge.bytes();
  proof.s = r.Minus(challenge.Times(k)).bytes();
  return proof;
}

bool Holds(Mode mode, const Element& b, std::span<const Element> c, std::span<const Element> d,
           const Proof& proof, const base::Parallel& parallel) {
  if (!Canonical(proof.c) || !Canonical(proof.s)) return false;
  int64_t bad;
  const Composites x = Compose(mode, b, c, d, nullptr, parallel, &bad);
  if (bad >= 0) return false;
  const Scalar challenge(proof.c), s(proof.s);
  // A challenge or answer of 0 has no product here; an honest proof has one with 2^-252.
  Element cb, sm, cz;
  if (!Multiply(challenge, b, &cb) || !Multiply(s, x.m, &sm) || !Multiply(challenge, x.z, &cz)) {
    return false;
  }
  const Scalar expected = Challenge(mode, b, x, Add(MultiplyBase(s), cb), Add(sm, cz));
  return sodium_memcmp(expected.bytes().data(), proof.c.data(), proof.c.size()) == 0;
}

absl::Status TooLong(size_t n) {
  return absl::InvalidArgumentError(
      StrCat("oprf: ", n, " bytes, at most ", kOprfTextMax, " may be hashed"));
}

absl::Status NotValid(size_t i) {
  return absl::InvalidArgumentError(
      StrCat("element ", i, " is not an element of ristretto255 other than the identity"));
}

Output HashOutput(Mode mode, std::string_view input, std::string_view info,
                  const Element& unblinded) {
  std::string text;
  Framed(input, &text);
  if (mode == Mode::kPoprf) Framed(info, &text);
  Framed(View(unblinded), &text);
  text += "Finalize";
  Output out;
  crypto_hash_sha512(out.data(), reinterpret_cast<const uint8_t*>(text.data()), text.size());
  Wipe(&text);
  return out;
}

}  // namespace

absl::StatusOr<KeyPair> DeriveKeyPair(Mode mode, const Bytes32& seed, std::string_view info) {
  if (info.size() > kOprfTextMax) return TooLong(info.size());
  std::string input(View(seed));
  Framed(info, &input);
  input.push_back('\0');
  KeyPair out;
  for (int counter = 0; counter < 256 && out.secret.zero(); ++counter) {
    input.back() = char(counter);
    out.secret = HashToScalar(input, "DeriveKeyPair" + Context(mode));
  }
  Wipe(&input);
  if (out.secret.zero()) return absl::InternalError("oprf: no key follows from this seed");
  out.public_key = MultiplyBase(out.secret);
  return out;
}

absl::StatusOr<Element> Blind(Mode mode, std::string_view input, const Scalar& blind) {
  if (input.size() > kOprfTextMax) return TooLong(input.size());
  Element out;
  if (!Multiply(blind, HashToGroup(input, "HashToGroup-" + Context(mode)), &out))
    return absl::InvalidArgumentError("oprf: this input or this blind cannot be used");
  return out;
}

absl::StatusOr<Scalar> EvaluationKey(Mode mode, const KeyPair& key, std::string_view info) {
  if (mode != Mode::kPoprf) return key.secret;
  if (info.size() > kOprfTextMax) return TooLong(info.size());
  const Scalar t = key.secret.Plus(InfoScalar(mode, info));
  if (t.zero())
    return absl::InvalidArgumentError("oprf: this info reveals the key: choose another");
  return t.Inverse();
}

absl::StatusOr<Evaluated> BlindEvaluate(Mode mode, const KeyPair& key, std::string_view info,
                                        std::span<const Element> blinded, const Scalar& r,
                                        const base::Parallel& parallel) {
  if (blinded.empty() || blinded.size() > kProofElementsMax) {
    return absl::InvalidArgumentError(
        StrCat("oprf: ", blinded.size(), " elements; 1 to ", kProofElementsMax, " in one go"));
  }
  auto k = EvaluationKey(mode, key, info);
  if (!k.ok()) return k.status();
  Evaluated out;
  out.elements.assign(blinded.begin(), blinded.end());
  const int64_t bad = MultiplyAll(*k, out.elements, parallel);
  if (bad >= 0) return NotValid(size_t(bad));
  if (mode == Mode::kOprf) return out;
  int64_t failed;
  if (mode == Mode::kVoprf) {
    out.proof =
        Prove(mode, key.secret, key.public_key, blinded, out.elements, r, parallel, &failed);
  } else {
    const Scalar t = key.secret.Plus(InfoScalar(mode, info));
    out.proof = Prove(mode, t, MultiplyBase(t), out.elements, blinded, r, parallel, &failed);
  }
  if (failed >= 0) return absl::InternalError("oprf: no proof could be made");
  return out;
}

absl::Status VerifyEvaluation(Mode mode, const Element& public_key, std::string_view info,
                              std::span<const Element> blinded, std::span<const Element> evaluated,
                              const Proof& proof, const base::Parallel& parallel) {
  if (blinded.empty() || blinded.size() > kProofElementsMax || blinded.size() != evaluated.size())
    return absl::InvalidArgumentError(
        "oprf: as many elements came back as were sent: they did not");
  if (info.size() > kOprfTextMax) return TooLong(info.size());
  if (!ValidElement(public_key))
    return absl::InvalidArgumentError("oprf: the public key is no key");
  bool holds = mode == Mode::kOprf;
  if (mode == Mode::kVoprf) {
    holds = Holds(mode, public_key, blinded, evaluated, proof, parallel);
  } else if (mode == Mode::kPoprf) {
    const Element tweaked = Add(MultiplyBase(InfoScalar(mode, info)), public_key);
    holds = tweaked != kIdentity && Holds(mode, tweaked, evaluated, blinded, proof, parallel);
  }
  if (holds) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "the proof does not hold: these elements were not all raised with the announced key");
}

absl::StatusOr<Output> Finalize(Mode mode, std::string_view input, std::string_view info,
                                const Element& evaluated, const Scalar& inverse_blind) {
  if (input.size() > kOprfTextMax || info.size() > kOprfTextMax)
    return TooLong(std::max(input.size(), info.size()));
  Element unblinded;
  if (!Multiply(inverse_blind, evaluated, &unblinded)) return NotValid(0);
  return HashOutput(mode, input, info, unblinded);
}

absl::StatusOr<Output> Evaluate(Mode mode, const Scalar& evaluation_key, std::string_view input,
                                std::string_view info) {
  auto element = Blind(mode, input, evaluation_key);
  if (!element.ok()) return element.status();
  return HashOutput(mode, input, info, *element);
}

}  // namespace stillwatch::share::psi
