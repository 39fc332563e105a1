#include "share/psi/message.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "base/str.h"
#include "share/psi/items.h"

namespace stillwatch::share::psi {
namespace {

using base::StrCat;

constexpr std::string_view kMagic = "SWCP";
constexpr size_t kSignatureBytes = crypto_sign_BYTES;

template <size_t N>
void Put(const std::array<uint8_t, N>& a, std::string* out) {
  out->append(reinterpret_cast<const char*>(a.data()), N);
}
template <typename T>
void PutNumber(T v, std::string* out) {
  for (size_t i = 0; i < sizeof v; ++i) out->push_back(char(uint64_t(v) >> (8 * i)));
}
void PutText(std::string_view s, std::string* out) {
  out->push_back(char(s.size()));
  out->append(s);
}

// What is left of a message; false from then on when it was too short.
class Cursor {
 public:
  explicit Cursor(std::string_view in) : in_(in) {}
  template <size_t N>
  bool Get(std::array<uint8_t, N>* out) {
    if (in_.size() < N) return false;
    std::memcpy(out->data(), in_.data(), N);
    in_.remove_prefix(N);
    return true;
  }
  template <typename T>
  bool Number(T* out) {
    if (in_.size() < sizeof(T)) return false;
    uint64_t v = 0;
    for (size_t i = 0; i < sizeof(T); ++i) v |= uint64_t(uint8_t(in_[i])) << (8 * i);
    *out = T(v);
    in_.remove_prefix(sizeof(T));
    return true;
  }
  bool Text(size_t most, std::string* out) {
    if (in_.empty()) return false;
    const size_t n = uint8_t(in_[0]);
    if (n > most || in_.size() < 1 + n) return false;
    *out = in_.substr(1, n);
    in_.remove_prefix(1 + n);
    return true;
  }
  size_t left() const { return in_.size(); }

 private:
  std::string_view in_;
};

size_t ProofsOf(const Message& m, const Part& p) {
  return m.question == Question::kWhich ? (size_t(p.yours) + kProofBatch - 1) / kProofBatch : 0;
}

Bytes32 HashOf(std::string_view bytes) {
  Bytes32 out;
  crypto_generichash(out.data(), out.size(), reinterpret_cast<const uint8_t*>(bytes.data()),
                     bytes.size(), nullptr, 0);
  return out;
}

absl::Status Bad(std::string_view what) {
  return absl::InvalidArgumentError(StrCat("not a message of a comparison: ", what));
}

// Counts as they may be for the kind; nothing when all is well.
std::string Counts(const Message& m) {
  uint64_t asked = 0, answered = 0;
  for (const Part& p : m.parts) {
    const bool offer = m.kind == Kind::kOffer, receipt = m.kind == Kind::kReceipt;
    if (p.mine == 0) return StrCat(p.family, " has no items");
    if (offer ? p.yours != 0 : p.yours == 0) return StrCat(p.family, " has a wrong count");
    if (receipt ? p.common > std::min(p.mine, p.yours) : p.common != 0)
      return StrCat(p.family, " has more in common than it has items");
    const bool asks = m.kind == Kind::kRequest || receipt;
    asked += offer ? 0 : asks ? p.mine : p.yours;
    answered += offer || !asks ? p.mine : p.yours;
  }
  if (asked > kAskedMax) return StrCat(asked, " items are asked about, at most ", kAskedMax);
  if (answered > kAnsweredMax) return StrCat(answered, " items answer, at most ", kAnsweredMax);
  return "";
}

}  // namespace

const char* KindName(Kind k) {
  static constexpr const char* kNames[] = {"offer", "request", "reply", "receipt"};
  return kNames[int(k) - 1];
}
const char* QuestionName(Question q) { return q == Question::kCount ? "count" : "which"; }

std::string Encode(Message* m, std::string_view secret) {
  size_t size = 512;
  for (const Part& p : m->parts)
    size += 64 + (32 * p.elements.size()) + (kTagBytes * p.tags.size()) + (64 * p.proofs.size());
  std::string out(kMagic);
  out.reserve(size);
  out.push_back(char(kMessageVersion));
  out.push_back(char(m->kind));
  out.push_back(char(m->question));
  out.push_back('\0');
  Put(m->run, &out);
  Put(m->previous, &out);
  Put(m->from, &out);
  Put(m->to, &out);
  PutNumber(m->created_ms, &out);
  PutNumber(m->expires_ms, &out);
  PutNumber(m->floor, &out);
  Put(m->public_key, &out);
  PutText(m->epoch, &out);
  out.push_back(char(m->parts.size()));
  for (const Part& p : m->parts) {
    PutText(p.family, &out);
    PutNumber(p.mine, &out);
    PutNumber(p.yours, &out);
    PutNumber(p.common, &out);
  }
  for (const Part& p : m->parts) {
    for (const Element& e : p.elements) Put(e, &out);
    for (const Tag& t : p.tags) Put(t, &out);
    for (const Proof& x : p.proofs) {
      Put(x.c, &out);
      Put(x.s, &out);
    }
  }
  m->hash = HashOf(out);
  std::array<uint8_t, kSignatureBytes> signature;
  crypto_sign_detached(signature.data(), nullptr, m->hash.data(), m->hash.size(),
                       reinterpret_cast<const uint8_t*>(secret.data()));
  Put(signature, &out);
  return out;
}

absl::StatusOr<Message> Decode(std::string_view bytes, Kind expected) {
  if (bytes.size() > kMessageBytesMax)
    return Bad(StrCat("it has ", bytes.size(), " bytes, at most ", kMessageBytesMax));
  if (!bytes.starts_with(kMagic)) return Bad("it begins with something else");
  if (bytes.size() < kMagic.size() + 4 + kSignatureBytes) return Bad("it is cut short");
  const auto version = uint8_t(bytes[4]), kind = uint8_t(bytes[5]), question = uint8_t(bytes[6]);
  if (version != kMessageVersion) {
    return absl::InvalidArgumentError(StrCat("this message has version ", int(version),
                                             ", this program speaks version ", int(kMessageVersion),
                                             ": the two sides need the same"));
  }
  if (kind < 1 || kind > 4 || question > 1 || bytes[7] != 0) return Bad("its header is wrong");
  Message m;
  m.kind = Kind(kind);
  m.question = Question(question);
  if (m.kind != expected) {
    return absl::InvalidArgumentError(StrCat("this is a comparison's ", KindName(m.kind),
                                             ", and its ", KindName(expected), " is due now"));
  }
  const std::string_view content = bytes.substr(0, bytes.size() - kSignatureBytes);
  m.hash = HashOf(content);
  Cursor in(content.substr(8));
  uint8_t families = 0;
  if (!in.Get(&m.run) || !in.Get(&m.previous) || !in.Get(&m.from) || !in.Get(&m.to) ||
      !in.Number(&m.created_ms) || !in.Number(&m.expires_ms) || !in.Number(&m.floor) ||
      !in.Get(&m.public_key) || !in.Text(kEpochBytes, &m.epoch) || !in.Number(&families))
    return Bad("it is cut short");
  // Before anything is made of it: does its sender say all that?
  if (crypto_sign_verify_detached(reinterpret_cast<const uint8_t*>(bytes.data() + content.size()),
                                  m.hash.data(), m.hash.size(), m.from.data()) != 0) {
    return Bad("its signature does not hold: it was changed or cut on its way");
  }
  for (int i = 0; i < int(families); ++i) {
    Part p;
    if (!in.Text(32, &p.family) || !in.Number(&p.mine) || !in.Number(&p.yours) ||
        !in.Number(&p.common))
      return Bad("it is cut short");
    if (FamilyIndex(p.family) < 0) return Bad("it names a family that there is not");
    if (!m.parts.empty() && p.family <= m.parts.back().family)
      return Bad("its families are not in order");
    m.parts.push_back(std::move(p));
  }
  if (const std::string wrong = Counts(m); !wrong.empty()) return Bad(wrong);
  uint64_t size = 0;
  for (const Part& p : m.parts) {
    if (m.kind == Kind::kRequest) size += uint64_t{32} * p.mine;
    if (m.kind == Kind::kReply) {
      size += (uint64_t{32} * p.yours) + (uint64_t{kTagBytes} * p.mine) +
              (uint64_t{64} * ProofsOf(m, p));
    }
  }
  if (in.left() != size) {
    return Bad(StrCat("its counts ask for ", size, " bytes and ", in.left(), " follow"));
  }
  const bool ordered = m.question == Question::kCount;
  for (Part& p : m.parts) {
    if (m.kind == Kind::kRequest) p.elements.resize(p.mine);
    if (m.kind == Kind::kReply) {
      p.elements.resize(p.yours);
      p.tags.resize(p.mine);
      p.proofs.resize(ProofsOf(m, p));
    }
    for (Element& e : p.elements) in.Get(&e);
    for (Tag& t : p.tags) in.Get(&t);
    for (Proof& x : p.proofs) {
      in.Get(&x.c);
      in.Get(&x.s);
    }
    if ((ordered && !Ascending(p.elements)) || !Ascending(p.tags))
      return Bad(StrCat(p.family, " is not in ascending order, or something is there twice"));
  }
  return m;
}

}  // namespace stillwatch::share::psi
