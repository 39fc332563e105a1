// The two comparisons, as steps between the one who asks and the one who answers. Each step is a
// pure function of a party's items, a seed of 32 fresh random bytes, and what came from the other
// side. Families are compared apart; a family's items must be distinct.
//
// How many (count). Meadows 1986; Huberman, Franklin and Hogg 1999; the answer in no order, as in
// De Cristofaro, Gasti and Tsudik 2012. With H hashing to the group, a and b fresh in every run:
//   asks    sends  a*H(x) of its items x, ascending
//   answers sends  b*a*H(x), ascending, and the tags hash(b*H(y)) of its own items y, ascending
//   asks    counts the tags among hash((1/a)*b*a*H(x))
// Ascending by encoding is an order that depends on the set alone, so it says nothing of who was
// where. The side that asks multiplies its own items twice, the one that answers each of both sets
// once: a small set asks of a large one, not the other way round. Who asks learns how many per
// family; who answers learns the sizes. Secure against parties that follow the protocol; one that
// asks with doctored sets can learn which (docs/SHARING.md), so items are rationed.
//
// Which (POPRF of RFC 9497). The key is the answering side's, one per epoch; the epoch is the
// public info; the tags of its own items follow from the key, once per epoch for all peers.
//   asks    sends  blinded elements, each with a blind of its own
//   answers sends  the evaluated elements with proofs, and the tags of its own items, ascending
//   asks    verifies, unblinds, and looks its items' tags up
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/parallel.h"
#include "share/psi/group.h"
#include "share/psi/oprf.h"

namespace stillwatch::share::psi {

// 128 bits of a hash: two sets of a million differ where their tags do with 2^-88 to spare.
inline constexpr size_t kTagBytes = 16;
using Tag = std::array<uint8_t, kTagBytes>;

inline constexpr size_t kProofBatch = 4096;  // evaluated elements that one proof covers

// --- how many ---
// Of HashInput()s. Depends on no secret: may be kept from run to run.
std::vector<Element> HashItems(std::span<const std::string> inputs, const base::Parallel& parallel);
// What the asking side sends.
absl::StatusOr<std::vector<Element>> CountRequest(std::vector<Element> hashed, const Seed& seed,
                                                  const base::Parallel& parallel);
// What the answering side sends for the elements it got. InvalidArgument: one is not valid, or they
// are not strictly ascending (a repeated element would count twice); nothing is then answered.
absl::StatusOr<std::vector<Element>> CountReply(std::vector<Element> blinded, const Seed& seed,
                                                const base::Parallel& parallel);
absl::StatusOr<std::vector<Tag>> CountTags(std::vector<Element> hashed, const Seed& seed,
                                           const base::Parallel& parallel);
absl::StatusOr<uint64_t> CountFinish(std::vector<Element> replied, std::span<const Tag> tags,
                                     const Seed& seed, const base::Parallel& parallel);

// --- which ---
// Item i of `inputs` has the blind seed.ScalarAt(family, i).
absl::StatusOr<std::vector<Element>> WhichRequest(std::string_view family,
                                                  std::span<const std::string> inputs,
                                                  const Seed& seed, const base::Parallel& parallel);
struct WhichAnswer {
  std::vector<Element> evaluated;  // in the order of what was sent
  std::vector<Proof> proofs;       // one for each kProofBatch
};
absl::StatusOr<WhichAnswer> WhichReply(std::span<const Element> blinded, const KeyPair& key,
                                       std::string_view epoch, std::string_view family,
                                       const Seed& seed, const base::Parallel& parallel);
absl::StatusOr<std::vector<Tag>> WhichTags(std::span<const std::string> inputs, const KeyPair& key,
                                           std::string_view epoch, const base::Parallel& parallel);
// Indices of the inputs that are among the tags, ascending.
absl::StatusOr<std::vector<uint32_t>> WhichFinish(
    std::string_view family, std::span<const std::string> inputs, std::span<const Element> blinded,
    const WhichAnswer& answer, std::span<const Tag> tags, const Element& public_key,
    std::string_view epoch, const Seed& seed, const base::Parallel& parallel);

// True when each is greater than the one before.
bool Ascending(std::span<const Element> elements);
bool Ascending(std::span<const Tag> tags);

}  // namespace stillwatch::share::psi
