// What the two sides of a comparison send each other, over a network or carried as files:
//   offer    the answering side: which comparison, which epoch, which families, how many items
//   request  the asking side: its blinded elements
//   reply    the answering side: the elements it raised, the tags of its own items
//   receipt  the asking side, if it likes: how many are common
// Each is one string of bytes that names its run, the two parties by their Ed25519 keys and the
// hash of the message before it, and ends with its sender's signature. Pure, thread-safe.
//
// Bytes, integers little-endian:
//   "SWCP" version:1 kind:1 mode:1 0:1 run:16 previous:32 from:32 to:32 created_ms:8 expires_ms:8
//   floor:4 public_key:32 epoch(length:1, text) families:1
//   {name(length:1, text) mine:4 yours:4 common:4} for each, ascending by name
//   {request: mine elements of 32} or {reply: yours elements of 32, mine tags of 16, proofs of 64}
//   signature:64 over the hash (BLAKE2b-256) of all before it
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "share/psi/compare.h"

namespace stillwatch::share::psi {

inline constexpr uint8_t kMessageVersion = 1;
inline constexpr size_t kAskedMax = 1 << 20;     // elements of a request, all families
inline constexpr size_t kAnsweredMax = 1 << 22;  // tags of a reply, all families
inline constexpr size_t kEpochBytes = 64;
inline constexpr size_t kMessageBytesMax =
    (size_t{kAskedMax} * 32) + (size_t{kAnsweredMax} * 16) + (1 << 20);
inline constexpr size_t kRequestBytesMax = (size_t{kAskedMax} * 32) + (1 << 16);

enum class Kind : uint8_t { kOffer = 1, kRequest = 2, kReply = 3, kReceipt = 4 };
const char* KindName(Kind k);  // "offer"
enum class Question : uint8_t { kCount = 0, kWhich = 1 };
const char* QuestionName(Question q);  // "count"

using RunId = std::array<uint8_t, 16>;

struct Part {
  std::string family;
  uint32_t mine = 0;    // items of the one who sends (offer, request, reply)
  uint32_t yours = 0;   // of the other (request, reply)
  uint32_t common = 0;  // receipt
  std::vector<Element> elements;
  std::vector<Tag> tags;
  std::vector<Proof> proofs;
};

struct Message {
  Kind kind = Kind::kOffer;
  Question question = Question::kCount;
  RunId run{};
  Bytes32 previous{};      // hash of the message before; zeros in an offer
  Bytes32 from{}, to{};    // Ed25519 public keys
  int64_t created_ms = 0;  // of this message
  int64_t expires_ms = 0;  // of the run; the same in all its messages
  uint32_t floor = 0;      // of a count: families with fewer items are not answered
  Element public_key{};    // of a which, in all its messages; zeros in a count
  std::string epoch;
  std::vector<Part> parts;
  Bytes32 hash{};  // set by both functions below
};

// `secret` is the Ed25519 secret key (64 bytes, libsodium's form) of message->from. What is encoded
// is taken to be well formed: an own bug otherwise, and the receiver says so.
std::string Encode(Message* message, std::string_view secret);

// InvalidArgument with one sentence: cut short, too long, another version, another kind than
// `expected`, counts that do not fit what follows, elements or tags out of order or repeated where
// they must ascend, a signature that does not hold. Elements are not yet known to be valid: that is
// found when they are multiplied.
absl::StatusOr<Message> Decode(std::string_view bytes, Kind expected);

}  // namespace stillwatch::share::psi
