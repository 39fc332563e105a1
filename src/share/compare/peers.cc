#include "share/compare/peers.h"

#include <sodium.h>
#include <yaml-cpp/yaml.h>

#include <filesystem>
#include <functional>
#include <map>

#include "base/str.h"
#include "share/compare/items.h"

namespace stillwatch::share::compare {
namespace {

using base::StrCat;

constexpr size_t kFileBytesMax = 1 << 20;

// One mapping: every key is known, at most once, and of its kind.
class Reader {
 public:
  using Take = std::function<std::string(const YAML::Node&)>;  // what is wrong, or nothing
  Reader(const std::string& path, const YAML::Node& node, const std::map<std::string, Take>& known)
      : status_(Read(path, node, known)) {}
  const absl::Status& status() const { return status_; }

 private:
  static absl::Status Read(const std::string& path, const YAML::Node& node,
                           const std::map<std::string, Take>& known) {
    const auto say = [&](const YAML::Node& at, std::string_view what) {
      return absl::InvalidArgumentError(StrCat(path, ":", at.Mark().line + 1, ": ", what));
    };
    if (!node.IsMap()) return say(node, "expected keys and values");
    std::map<std::string, int> seen;
    for (const auto& entry : node) {
      const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
      const auto it = known.find(key);
      if (it == known.end()) {
        std::string all;
        for (const auto& [k, t] : known) base::StrAppend(&all, all.empty() ? "" : ", ", k);
        return say(entry.first, StrCat("no such key; there are ", all));
      }
      if (++seen[key] > 1) return say(entry.first, StrCat(key, " is there twice"));
      const std::string wrong = it->second(entry.second);
      if (!wrong.empty()) return say(entry.second, StrCat(key, ": ", wrong));
    }
    return absl::OkStatus();
  }
  absl::Status status_;
};

Reader::Take Text(std::string* out) {
  return [out](const YAML::Node& n) -> std::string {
    if (!n.IsScalar() || n.Scalar().empty() || n.Scalar().size() > 1024)
      return "expected a text of at most 1024 bytes";
    for (const char c : n.Scalar()) {
      if (uint8_t(c) < 0x20) return "expected a text on one line";
    }
    *out = n.Scalar();
    return "";
  };
}
Reader::Take Flag(bool* out) {
  return [out](const YAML::Node& n) {
    return n.IsScalar() && YAML::convert<bool>::decode(n, *out) ? "" : "expected true or false";
  };
}
template <typename T>
Reader::Take Number(T* out, T low, T high) {
  return [out, low, high](const YAML::Node& n) -> std::string {
    T v = 0;
    if (!n.IsScalar() || !YAML::convert<T>::decode(n, v) || v < low || v > high)
      return StrCat("expected a whole number from ", low, " to ", high);
    *out = v;
    return "";
  };
}

}  // namespace

const Peer* Peers::Named(std::string_view n) const {
  for (const Peer& p : all) {
    if (p.name == n) return &p;
  }
  return nullptr;
}
const Peer* Peers::WithKey(const psi::Bytes32& k) const {
  for (const Peer& p : all) {
    if (p.key == k) return &p;
  }
  return nullptr;
}

absl::StatusOr<Peers> ReadPeers(const std::string& path) {
  auto text = ReadFile(path, kFileBytesMax);
  if (!text.ok()) return text.status();
  Peers out;
  out.path = path;
  const auto folder = std::filesystem::path(path).parent_path();
  const auto near = [&](std::string* p) {
    if (!p->empty()) *p = (folder / *p).string();  // an absolute one stays
  };
  absl::Status wrong;
  const auto peer = [&](const YAML::Node& n) -> std::string {
    Peer p;
    std::string reliability, key;
    const Reader r(path, n,
                   {{"name", Text(&p.name)},
                    {"key", Text(&key)},
                    {"certificate", Text(&p.certificate)},
                    {"url", Text(&p.url)},
                    {"count", Flag(&p.count)},
                    {"which", Flag(&p.which)},
                    {"reliability", Text(&reliability)},
                    {"items_per_epoch", Number<uint64_t>(&p.items_per_epoch, 1, uint64_t{1} << 32)},
                    {"runs_per_epoch", Number<uint64_t>(&p.runs_per_epoch, 1, 1'000'000)}});
    if (!r.status().ok()) {
      wrong = r.status();
      return "see there";
    }
    if (p.name.empty()) return "a peer needs a name";
    if (out.Named(p.name) != nullptr) return StrCat("two peers are named ", p.name);
    size_t n_bytes = 0;
    if (key.size() != 64 ||
        sodium_hex2bin(p.key.data(), p.key.size(), key.data(), key.size(), nullptr, &n_bytes,
                       nullptr) != 0 ||
        n_bytes != p.key.size())
      return StrCat(p.name,
                    " needs its key: the 64 hex digits that `stillwatch share compare key` "
                    "prints there");
    if (out.WithKey(p.key) != nullptr) return StrCat(p.name, " has the key of another peer");
    if (!reliability.empty()) {
      if (reliability.size() != 1 || reliability[0] < 'A' || reliability[0] > 'F')
        return "reliability: expected A to F";
      p.reliability = reliability[0];
    }
    if (!p.url.empty() && !p.url.starts_with("https://")) return "url: expected https://";
    near(&p.certificate);
    out.all.push_back(std::move(p));
    return "";
  };
  try {
    const YAML::Node root = YAML::Load(*text);
    const Reader r(path, root,
                   {{"name", Text(&out.name)},
                    {"epoch_days", Number<int64_t>(&out.epoch_days, 1, 366)},
                    {"certificate", Text(&out.certificate)},
                    {"key", Text(&out.key)},
                    {"peers", [&](const YAML::Node& list) -> std::string {
                       if (!list.IsSequence() || list.size() > kPeersMax)
                         return StrCat("expected a list of at most ", kPeersMax, " peers");
                       for (const YAML::Node& one : list) {
                         std::string bad = peer(one);
                         if (!bad.empty()) return bad;
                       }
                       return "";
                     }}});
    if (!wrong.ok()) return wrong;
    if (!r.status().ok()) return r.status();
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(StrCat(path, ":", e.mark.line + 1, ": ", e.msg));
  }
  if (out.certificate.empty() != out.key.empty())
    return absl::InvalidArgumentError(StrCat(path, ": certificate and key go together"));
  near(&out.certificate);
  near(&out.key);
  return out;
}

}  // namespace stillwatch::share::compare
