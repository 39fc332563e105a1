#include "share/psi/group.h"

#include <sodium.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace stillwatch::share::psi {
namespace {

constexpr size_t kHashBytes = crypto_hash_sha512_BYTES, kBlockBytes = 128;  // SHA-512
constexpr size_t kGrain = 256;  // elements that a worker takes at once: 10 ms of work

const uint8_t* Data(std::string_view s) { return reinterpret_cast<const uint8_t*>(s.data()); }

}  // namespace

Scalar::~Scalar() { sodium_memzero(bytes_.data(), bytes_.size()); }
bool Scalar::zero() const { return sodium_is_zero(bytes_.data(), bytes_.size()) == 1; }

Scalar Scalar::Plus(const Scalar& b) const {
  Scalar out;
  crypto_core_ristretto255_scalar_add(out.data(), bytes_.data(), b.bytes_.data());
  return out;
}
Scalar Scalar::Minus(const Scalar& b) const {
  Scalar out;
  crypto_core_ristretto255_scalar_sub(out.data(), bytes_.data(), b.bytes_.data());
  return out;
}
Scalar Scalar::Times(const Scalar& b) const {
  Scalar out;
  crypto_core_ristretto255_scalar_mul(out.data(), bytes_.data(), b.bytes_.data());
  return out;
}
Scalar Scalar::Inverse() const {
  Scalar out;
  crypto_core_ristretto255_scalar_invert(out.data(), bytes_.data());
  return out;
}

bool Canonical(const Bytes32& scalar) {
  std::array<uint8_t, 64> wide{};
  std::copy(scalar.begin(), scalar.end(), wide.begin());
  Bytes32 reduced;
  crypto_core_ristretto255_scalar_reduce(reduced.data(), wide.data());
  const bool same = sodium_memcmp(reduced.data(), scalar.data(), scalar.size()) == 0;
  sodium_memzero(wide.data(), wide.size());
  sodium_memzero(reduced.data(), reduced.size());
  return same;
}

Seed::~Seed() { sodium_memzero(bytes_.data(), bytes_.size()); }

Scalar Seed::ScalarAt(std::string_view name, uint64_t index) const {
  std::array<uint8_t, 64> wide;
  Scalar out;
  for (uint64_t attempt = 0; out.zero(); ++attempt) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, bytes_.data(), bytes_.size(), wide.size());
    crypto_generichash_update(&state, Data(name), name.size());
    const uint64_t tail[2] = {index, attempt};
    crypto_generichash_update(&state, reinterpret_cast<const uint8_t*>(tail), sizeof tail);
    crypto_generichash_final(&state, wide.data(), wide.size());
    crypto_core_ristretto255_scalar_reduce(out.data(), wide.data());
    sodium_memzero(&state, sizeof state);
  }
  sodium_memzero(wide.data(), wide.size());
  return out;
}

uint64_t Seed::NumberAt(std::string_view name, uint64_t index) const {
  uint64_t out;
  const Scalar wide = ScalarAt(name, index);
  std::memcpy(&out, wide.bytes().data(), sizeof out);
  return out;
}

void ExpandMessageXmd(std::string_view message, std::string_view dst, std::span<uint8_t> out) {
  const uint8_t kZeros[kBlockBytes] = {};
  const uint8_t length[3] = {uint8_t(out.size() >> 8), uint8_t(out.size()), 0};
  const uint8_t dst_size = uint8_t(dst.size());
  uint8_t first[kHashBytes], block[kHashBytes] = {};
  crypto_hash_sha512_state state;
  crypto_hash_sha512_init(&state);
  crypto_hash_sha512_update(&state, kZeros, sizeof kZeros);
  crypto_hash_sha512_update(&state, Data(message), message.size());
  crypto_hash_sha512_update(&state, length, sizeof length);
  crypto_hash_sha512_update(&state, Data(dst), dst.size());
  crypto_hash_sha512_update(&state, &dst_size, 1);
  crypto_hash_sha512_final(&state, first);
  uint8_t number = 0;
  for (size_t at = 0; at < out.size(); at += kHashBytes) {
    for (size_t i = 0; i < kHashBytes; ++i) block[i] ^= first[i];
    ++number;
    crypto_hash_sha512_init(&state);
    crypto_hash_sha512_update(&state, block, sizeof block);
    crypto_hash_sha512_update(&state, &number, 1);
    crypto_hash_sha512_update(&state, Data(dst), dst.size());
    crypto_hash_sha512_update(&state, &dst_size, 1);
    crypto_hash_sha512_final(&state, block);
    std::copy_n(block, std::min(kHashBytes, out.size() - at), out.begin() + ptrdiff_t(at));
  }
  sodium_memzero(&state, sizeof state);
  sodium_memzero(first, sizeof first);
  sodium_memzero(block, sizeof block);
}

Element HashToGroup(std::string_view input, std::string_view dst) {
  std::array<uint8_t, 64> wide;
  ExpandMessageXmd(input, dst, wide);
  Element out;
  crypto_core_ristretto255_from_hash(out.data(), wide.data());
  sodium_memzero(wide.data(), wide.size());
  return out;
}

Scalar HashToScalar(std::string_view input, std::string_view dst) {
  std::array<uint8_t, 64> wide;
  ExpandMessageXmd(input, dst, wide);
  Scalar out;
  crypto_core_ristretto255_scalar_reduce(out.data(), wide.data());
  sodium_memzero(wide.data(), wide.size());
  return out;
}

bool ValidElement(const Element& e) {
  return e != kIdentity && crypto_core_ristretto255_is_valid_point(e.data()) == 1;
}

bool Multiply(const Scalar& k, const Element& e, Element* out) {
  // libsodium refuses encodings that are not canonical, and the identity as a result; of a group
  // of prime order only the identity itself, or 0, leads there.
  return crypto_scalarmult_ristretto255(out->data(), k.bytes().data(), e.data()) == 0;
}

Element MultiplyBase(const Scalar& k) {
  Element out{};
  if (crypto_scalarmult_ristretto255_base(out.data(), k.bytes().data()) != 0) out = kIdentity;
  return out;
}

Element Add(const Element& a, const Element& b) {
  Element out{};
  if (crypto_core_ristretto255_add(out.data(), a.data(), b.data()) != 0) out = kIdentity;
  return out;
}

int64_t MultiplyAll(const Scalar& k, std::span<Element> elements, const base::Parallel& parallel) {
  std::atomic<int64_t> bad{INT64_MAX};
  parallel.For(elements.size(), kGrain, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) {
      Element out;
      if (Multiply(k, elements[i], &out)) {
        elements[i] = out;
        continue;
      }
      int64_t seen = bad.load();
      while (int64_t(i) < seen && !bad.compare_exchange_weak(seen, int64_t(i))) {
      }
      return;
    }
  });
  return bad.load() == INT64_MAX ? -1 : bad.load();
}

void InvertAll(std::span<Scalar> scalars) {
  if (scalars.empty()) return;
  std::vector<Scalar> before(scalars.size());  // product of all before
  before[0] = scalars[0];
  for (size_t i = 1; i < scalars.size(); ++i) before[i] = before[i - 1].Times(scalars[i]);
  Scalar rest = before.back().Inverse();  // of the product of all up to i
  for (size_t i = scalars.size() - 1; i > 0; --i) {
    const Scalar one = rest.Times(before[i - 1]);
    rest = rest.Times(scalars[i]);
    scalars[i] = one;
  }
  scalars[0] = rest;
}

}  // namespace stillwatch::share::psi
