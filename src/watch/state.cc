#include "watch/state.h"

#include <bit>
#include <cstring>

#include "base/hash.h"

namespace stillwatch::watch {
namespace {

constexpr char kMagic[8] = {'s', 'w', 'w', 'a', 't', 'c', 'h', '1'};

// One list of fields serves both directions, so that they cannot differ.
class Writer {
 public:
  static constexpr bool kReads = false;
  void Number(uint64_t v) {
    for (; v >= 128; v >>= 7) out.push_back(static_cast<char>(v | 128));
    out.push_back(static_cast<char>(v));
  }
  void Fixed(uint64_t v) {
    for (int shift = 0; shift < 64; shift += 8) out.push_back(static_cast<char>(v >> shift));
  }
  void operator()(uint64_t& v) { Number(v); }
  void operator()(int64_t& v) { Fixed(static_cast<uint64_t>(v)); }
  void operator()(double& v) { Fixed(std::bit_cast<uint64_t>(v)); }
  void operator()(bool& v) { Number(v); }
  void operator()(std::string& v) {
    Number(v.size());
    out += v;
  }
  template <typename E>
  void Enum(E& v, int) {
    Number(static_cast<uint64_t>(v));
  }
  void Hashes(std::vector<uint64_t>& v) {
    Number(v.size());
    for (const uint64_t h : v) Fixed(h);
  }
  template <typename T, typename F>
  void List(std::vector<T>& v, const F& each) {
    Number(v.size());
    for (T& one : v) each(one);
  }
  std::string out;
};

class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}
  uint64_t Number() {
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (in_.empty()) break;
      const auto c = static_cast<unsigned char>(in_[0]);
      in_.remove_prefix(1);
      v |= uint64_t{c & 127u} << shift;
      if (c < 128) return v;
    }
    ok = false;
    return 0;
  }
  uint64_t Fixed() {
    if (in_.size() < 8) {
      ok = false;
      return 0;
    }
    uint64_t v = 0;
    for (int i = 0; i < 8; ++i) v |= uint64_t{static_cast<unsigned char>(in_[i])} << (8 * i);
    in_.remove_prefix(8);
    return v;
  }
  // A list's length; each member takes at least one byte.
  size_t Length(size_t bytes_each) {
    const uint64_t n = Number();
    if (n <= in_.size() / bytes_each) return n;
    ok = false;
    return 0;
  }
  void operator()(uint64_t& v) { v = Number(); }
  void operator()(int64_t& v) { v = static_cast<int64_t>(Fixed()); }
  void operator()(double& v) { v = std::bit_cast<double>(Fixed()); }
  void operator()(bool& v) {
    const uint64_t n = Number();
    ok &= n < 2;
    v = n == 1;
  }
  void operator()(std::string& v) {
    const size_t n = Length(1);
    v.assign(in_.substr(0, n));
    in_.remove_prefix(n);
  }
  template <typename E>
  void Enum(E& v, int values) {
    const uint64_t n = Number();
    ok &= n < static_cast<uint64_t>(values);
    v = static_cast<E>(ok ? n : 0);
  }
  void Hashes(std::vector<uint64_t>& v) {
    const size_t n = Length(8);
    v.clear();
    v.reserve(n);
    for (size_t i = 0; i < n; ++i) v.push_back(Fixed());
  }
  template <typename T, typename F>
  void List(std::vector<T>& v, const F& each) {
    const size_t n = Length(16);  // no record of ours is smaller
    v.clear();
    for (size_t i = 0; i < n && ok; ++i) each(v.emplace_back());
  }
  bool empty() const { return in_.empty(); }
  bool ok = true;

 private:
  std::string_view in_;
};

constexpr int kLives = 3, kChanges = 9;

template <typename A>
void Fields(Sample& s, A& a) {
  a(s.size);
  a.Hashes(s.hashes);
}

template <typename A>
void Fields(Watched& w, A& a) {
  a(w.identities.passes);
  a.List(w.identities.all, [&](Identity& i) {
    a(i.id), a(i.name), a(i.finding_id), a(i.parent), a(i.merged_into);
    a.Enum(i.life, kLives);
    a(i.born), a(i.seen);
    a.Enum(i.verdict, model::kVerdicts);
    a(i.probability);
    Fields(i.exchanges, a), Fields(i.accounts, a);
    a(i.told_exchanges), a(i.told_accounts), a(i.first_seen_ms), a(i.last_seen_ms), a(i.open);
  });
  a(w.gate.cohort), a(w.gate.serials);
  a.List(w.gate.starts, [&](Start& s) {
    a(s.cohort), a(s.serial), a(s.looks), a(s.looked_exchanges), a(s.looked_ms), a(s.log2_sum);
    a(s.open), a(s.seen_ms);
    Fields(s.exchanges, a);
  });
  a.List(w.events, [&](Event& e) {
    a(e.pass), a(e.id);
    a.Enum(e.change, kChanges);
    a(e.other);
    a.Enum(e.before, model::kVerdicts), a.Enum(e.verdict, model::kVerdicts);
    a(e.probability), a(e.exchanges), a(e.accounts), a(e.open);
  });
}

}  // namespace

std::string Encode(const Watched& watched) {
  Writer w;
  w.out.assign(kMagic, sizeof kMagic);
  Fields(const_cast<Watched&>(watched), w);  // a Writer changes nothing
  w.Fixed(base::Hash64(w.out));
  return std::move(w.out);
}

absl::StatusOr<Watched> Decode(std::string_view bytes) {
  constexpr size_t kVersionAt = sizeof kMagic - 1;
  if (bytes.size() < sizeof kMagic + 8 || std::memcmp(bytes.data(), kMagic, kVersionAt) != 0)
    return absl::DataLossError("the state of watching is not what this program writes");
  if (bytes[kVersionAt] > kMagic[kVersionAt]) {
    return absl::FailedPreconditionError(
        "the state of watching was written by a newer version of this program");
  }
  const std::string_view body = bytes.substr(0, bytes.size() - 8);
  if (Reader(bytes.substr(body.size())).Fixed() != base::Hash64(body))
    return absl::DataLossError("the state of watching is damaged: its checksum does not fit");
  Reader r(body.substr(sizeof kMagic));
  Watched out;
  Fields(out, r);
  if (!r.ok || !r.empty())
    return absl::DataLossError("the state of watching is damaged: its fields do not fit");
  return out;
}

}  // namespace stillwatch::watch
