// Oblivious pseudorandom functions of RFC 9497, ciphersuite ristretto255-SHA512, all three modes.
// The private comparison uses POPRF (0x02), with the epoch as public info; the other two are here
// because the RFC's vectors test what all share. Randomness is handed in. Pure and thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/parallel.h"
#include "share/psi/group.h"

namespace stillwatch::share::psi {

enum class Mode : uint8_t { kOprf = 0, kVoprf = 1, kPoprf = 2 };

inline constexpr size_t kProofElementsMax = 65'535;  // of one proof: its index has two bytes
inline constexpr size_t kOprfTextMax = 65'535;       // bytes of an input or of the public info

using Output = std::array<uint8_t, 64>;
struct Proof {
  Bytes32 c{}, s{};  // canonical scalars
  bool operator==(const Proof&) const = default;
};

struct KeyPair {
  Scalar secret;
  Element public_key{};
};
// DeriveKeyPair, section 3.2.1.
absl::StatusOr<KeyPair> DeriveKeyPair(Mode mode, const Bytes32& seed, std::string_view info);

// The input's element times `blind`. InvalidArgument for the inputs (none is known) that hash to
// the identity.
absl::StatusOr<Element> Blind(Mode mode, std::string_view input, const Scalar& blind);

// What the holder of the key does with blinded elements: the key's power of each, and in the
// verifiable modes one proof for all. `r`: random, used once.
struct Evaluated {
  std::vector<Element> elements;
  Proof proof;
};
// InvalidArgument with the index of an element that is not valid; there is then no result at all.
absl::StatusOr<Evaluated> BlindEvaluate(Mode mode, const KeyPair& key, std::string_view info,
                                        std::span<const Element> blinded, const Scalar& r,
                                        const base::Parallel& parallel);

// The client's check. InvalidArgument when the proof does not hold or something is not valid: no
// element of it may then be used.
absl::Status VerifyEvaluation(Mode mode, const Element& public_key, std::string_view info,
                              std::span<const Element> blinded, std::span<const Element> evaluated,
                              const Proof& proof, const base::Parallel& parallel);

// The output from an evaluated element and the inverse of its blind. InvalidArgument: not valid.
absl::StatusOr<Output> Finalize(Mode mode, std::string_view input, std::string_view info,
                                const Element& evaluated, const Scalar& inverse_blind);

// The same output from the key itself: what the key's holder does with its own inputs. The scalar
// comes from EvaluationKey, once for many.
absl::StatusOr<Scalar> EvaluationKey(Mode mode, const KeyPair& key, std::string_view info);
absl::StatusOr<Output> Evaluate(Mode mode, const Scalar& evaluation_key, std::string_view input,
                                std::string_view info);

}  // namespace stillwatch::share::psi
