// ristretto255 (libsodium) as the private comparison uses it: hashing to it as RFC 9380 says,
// multiplying many elements, random bytes from a seed. Pure and thread-safe: chance is handed in.
// What depends on a secret takes constant time (libsodium's scalars and multiplication); secrets
// are wiped when they go out of scope.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/parallel.h"

namespace stillwatch::share::psi {

using Bytes32 = std::array<uint8_t, 32>;
using Element = Bytes32;  // canonical encoding (RFC 9496)

// A number modulo the group's order, little-endian.
class Scalar {
 public:
  Scalar() = default;
  explicit Scalar(const Bytes32& bytes) : bytes_(bytes) {}
  Scalar(const Scalar&) = default;
  Scalar& operator=(const Scalar&) = default;
  ~Scalar();
  const Bytes32& bytes() const { return bytes_; }
  uint8_t* data() { return bytes_.data(); }
  bool zero() const;  // constant time
  Scalar Plus(const Scalar& b) const;
  Scalar Minus(const Scalar& b) const;
  Scalar Times(const Scalar& b) const;
  Scalar Inverse() const;  // of a number other than 0

 private:
  Bytes32 bytes_{};
};

// Canonical and below the order: what a scalar from outside must be.
bool Canonical(const Bytes32& scalar);

// 32 random bytes that one run's secrets are derived from; wiped like a scalar.
class Seed {
 public:
  explicit Seed(const Bytes32& random) : bytes_(random) {}
  Seed(const Seed&) = default;
  Seed& operator=(const Seed&) = default;
  ~Seed();
  const Bytes32& bytes() const { return bytes_; }
  // The index-th scalar under a name: BLAKE2b-512, keyed with the seed, reduced; never 0.
  Scalar ScalarAt(std::string_view name, uint64_t index) const;
  uint64_t NumberAt(std::string_view name, uint64_t index) const;

 private:
  Bytes32 bytes_;
};

// expand_message_xmd of RFC 9380, section 5.3.1, with SHA-512. `dst` at most 255 bytes, `out` at
// most 255 * 64.
void ExpandMessageXmd(std::string_view message, std::string_view dst, std::span<uint8_t> out);
Element HashToGroup(std::string_view input, std::string_view dst);
Scalar HashToScalar(std::string_view input, std::string_view dst);

inline constexpr Element kIdentity{};
// Canonical and not the identity: what an element from outside must be.
bool ValidElement(const Element& e);
// False when `e` is not valid (or k is 0): `out` is then unspecified.
bool Multiply(const Scalar& k, const Element& e, Element* out);
Element MultiplyBase(const Scalar& k);
Element Add(const Element& a, const Element& b);  // of valid elements or the identity

// All of them with one scalar, in place. The index of the first that is not valid, or -1: then all
// were multiplied.
int64_t MultiplyAll(const Scalar& k, std::span<Element> elements, const base::Parallel& parallel);

// Inverts all (none may be 0) at the price of one inversion and three products each (Montgomery).
void InvertAll(std::span<Scalar> scalars);

}  // namespace stillwatch::share::psi
