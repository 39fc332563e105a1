#include "share/indicator.h"

#include <arpa/inet.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/hex.h"
#include "base/str.h"

namespace stillwatch::share {
namespace {

using base::StrCat;

constexpr const char* kNames[kItemTypes] = {
    "template-sketch", "settings",         "network",     "tls-fingerprint",
    "client",          "signature",        "address",     "payment",
    "mail-domain",     "referrer",         "account-id",  "account",
    "capability",      "campaign-figures", "attribution", "rhythm",
};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f'); }
bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsAlnum(char c) { return IsDigit(c) || IsLower(c) || (c >= 'A' && c <= 'Z'); }
bool AllHex(std::string_view v, size_t n) {
  return v.size() == n && std::all_of(v.begin(), v.end(), IsHex);
}
bool AllDigits(std::string_view v, size_t max) {
  return !v.empty() && v.size() <= max && std::all_of(v.begin(), v.end(), IsDigit) &&
         (v.size() == 1 || v[0] != '0');
}
int HexDigit(char c) { return IsDigit(c) ? c - '0' : c - 'a' + 10; }

uint32_t Hash8(std::string_view v) {
  uint32_t h = 0;
  for (const char c : v) h = h << 4 | static_cast<uint32_t>(HexDigit(c));
  return h;
}

bool IsSketch(std::string_view v) {
  if (!v.starts_with("2:")) return false;
  v.remove_prefix(2);
  if (v.empty() || v.size() % 8 != 0 || v.size() / 8 > kSketchHashes) return false;
  if (!std::all_of(v.begin(), v.end(), IsHex)) return false;
  for (size_t i = 8; i < v.size(); i += 8)
    if (v.substr(i - 8, 8) >= v.substr(i, 8)) return false;
  return true;
}

bool IsRhythm(std::string_view v) {
  if (!v.starts_with("1:")) return false;
  v.remove_prefix(2);
  const size_t colon = v.find(':');
  if (colon == v.npos || !AllDigits(v.substr(0, colon), 5)) return false;
  v.remove_prefix(colon + 1);
  return !v.empty() && v.size() % kHalfHours == 0 && v.size() <= kRhythmDays * kHalfHours &&
         std::all_of(v.begin(), v.end(), [](char c) { return IsHex(c) && c != 'f'; });
}

// "0", "1.25": at most 4 digits after the point and none of them a last zero.
bool IsDecimal(std::string_view v, size_t whole) {
  const size_t point = v.find('.');
  if (!AllDigits(v.substr(0, point), whole)) return false;
  if (point == v.npos) return true;
  const std::string_view rest = v.substr(point + 1);
  return !rest.empty() && rest.size() <= 4 && std::all_of(rest.begin(), rest.end(), IsDigit) &&
         rest.back() != '0';
}

bool IsSettings(std::string_view v) {
  size_t order = 0;
  bool any = false;
  for (size_t at = 0; at <= v.size();) {
    const size_t end = std::min(v.find(';', at), v.size());
    const std::string_view part = v.substr(at, end - at);
    const size_t equals = part.find('=');
    if (equals == part.npos) return false;
    static constexpr std::string_view kKeys[] = {"temperature", "top_p", "max_tokens", "stream"};
    while (order < std::size(kKeys) && kKeys[order] != part.substr(0, equals)) ++order;
    if (order == std::size(kKeys)) return false;
    const std::string_view value = part.substr(equals + 1);
    if (order < 2    ? !IsDecimal(value, 2)
        : order == 2 ? !AllDigits(value, 9)
                     : value != "0" && value != "1")
      return false;
    ++order;
    any = true;
    at = end + 1;
  }
  return any;
}

// The technical description of JA4: 10 signs, then two cut SHA-256.
bool IsJa4(std::string_view v) {
  if (v.size() != 36 || v[10] != '_' || v[23] != '_') return false;
  if (std::string_view("tqd").find(v[0]) == v.npos || (v[3] != 'd' && v[3] != 'i')) return false;
  for (const size_t i : {4, 5, 6, 7})
    if (!IsDigit(v[i])) return false;
  for (const size_t i : {1, 2, 8, 9})
    if (!IsAlnum(v[i])) return false;
  return AllHex(v.substr(11, 12), 12) && AllHex(v.substr(24), 12);
}

bool IsClient(std::string_view v) {
  const size_t slash = v.find('/');
  const std::string_view product = v.substr(0, slash);
  const auto sign = [](char c) {
    return IsAlnum(c) || c == '.' || c == '_' || c == '-' || c == '+';
  };
  if (product.empty() || product.size() > 64 || !std::all_of(product.begin(), product.end(), sign))
    return false;
  if (slash == v.npos) return true;
  const std::string_view version = v.substr(slash + 1);
  return !version.empty() && version.size() <= 32 && IsDigit(version[0]) &&
         std::all_of(version.begin(), version.end(), sign);
}

bool IsAddress(std::string_view v) {
  const std::string text(v);
  std::array<unsigned char, 16> bytes;
  std::array<char, INET6_ADDRSTRLEN> shown;
  const int family = text.find(':') == text.npos ? AF_INET : AF_INET6;
  return inet_pton(family, text.c_str(), bytes.data()) == 1 &&
         inet_ntop(family, bytes.data(), shown.data(), shown.size()) != nullptr &&
         text == shown.data();
}

bool IsDomain(std::string_view v) {
  if (v.empty() || v.size() > 253 || v.front() == '.' || v.back() == '.') return false;
  size_t label = 0;
  for (size_t i = 0; i < v.size(); ++i) {
    if (v[i] == '.') {
      if (label == 0 || v[i - 1] == '-') return false;
      label = 0;
    } else {
      if (!(IsLower(v[i]) || IsDigit(v[i]) || (v[i] == '-' && label > 0)) || ++label > 63)
        return false;
    }
  }
  return v.back() != '-' && v.find('.') != v.npos;
}

bool Printable(std::string_view v, size_t max, bool space) {
  return !v.empty() && v.size() <= max && std::all_of(v.begin(), v.end(), [&](char c) {
    return c > (space ? 0x1f : 0x20) && c < 0x7f;
  });
}

// UTF-8 of code points that can be seen: a name.
bool IsName(std::string_view v) {
  if (v.empty() || v.size() > 128 || v.front() == ' ' || v.back() == ' ') return false;
  for (size_t i = 0; i < v.size();) {
    const auto c = static_cast<unsigned char>(v[i]);
    const size_t n = c < 0x80                ? 1
                     : c >= 0xc2 && c < 0xe0 ? 2
                     : c >= 0xe0 && c < 0xf0 ? 3
                     : c >= 0xf0 && c < 0xf5 ? 4
                                             : 0;
    if (n == 0 || i + n > v.size() || c < 0x20 || c == 0x7f) return false;
    uint32_t point = n == 1 ? c : c & (0xff >> (n + 1));
    for (size_t k = 1; k < n; ++k) {
      const auto next = static_cast<unsigned char>(v[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      point = point << 6 | (next & 0x3f);
    }
    static constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < kLeast[n] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000) ||
        (point >= 0x80 && point < 0xa0))
      return false;
    i += n;
  }
  return true;
}

bool InGrammar(ItemType type, std::string_view v) {
  switch (type) {
    case ItemType::kTemplateSketch:
      return IsSketch(v);
    case ItemType::kSettings:
      return IsSettings(v);
    case ItemType::kNetwork:
      return AllDigits(v, 10) && v != "0" && std::stoull(std::string(v)) <= 0xffffffffu;
    case ItemType::kTlsFingerprint:
      return IsJa4(v);
    case ItemType::kClient:
      return IsClient(v);
    case ItemType::kSignature:
      return AllHex(v, 16);
    case ItemType::kAddress:
      return IsAddress(v);
    case ItemType::kPayment:
      return Printable(v, 128, false);
    case ItemType::kMailDomain:
      return IsDomain(v);
    case ItemType::kReferrer:
      return Printable(v, 253, false) &&
             std::none_of(v.begin(), v.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    case ItemType::kAccountId:
      return Printable(v, 256, true);
    case ItemType::kAccount:
      return AllDigits(v, 9) && v != "0";
    case ItemType::kCapability:
      return !v.empty() && v.size() <= 32 &&
             std::all_of(v.begin(), v.end(), [](char c) { return IsLower(c) || c == '_'; });
    case ItemType::kCampaignFigures:
      return false;
    case ItemType::kAttribution:
      return IsName(v);
    case ItemType::kRhythm:
      return IsRhythm(v);
  }
  return false;
}

std::string Hmac(std::string_view key, std::string_view type, std::string_view value) {
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, reinterpret_cast<const unsigned char*>(key.data()),
                              key.size());
  const auto add = [&](std::string_view v) {
    crypto_auth_hmacsha256_update(&state, reinterpret_cast<const unsigned char*>(v.data()),
                                  v.size());
  };
  add(type);
  add(std::string_view("\0", 1));
  add(value);
  std::string out(crypto_auth_hmacsha256_BYTES, '\0');
  crypto_auth_hmacsha256_final(&state, reinterpret_cast<unsigned char*>(out.data()));
  return out;
}

}  // namespace

const char* ItemTypeName(ItemType t) { return kNames[static_cast<int>(t)]; }

std::optional<ItemType> ItemTypeNamed(std::string_view name) {
  for (int i = 0; i < kItemTypes; ++i)
    if (name == kNames[i]) return static_cast<ItemType>(i);
  return std::nullopt;
}

std::optional<BlindingKey> BlindingKey::FromHex(std::string_view hex) {
  if (!AllHex(hex, 2 * kBlindingKeyBytes)) return std::nullopt;
  BlindingKey key;
  for (size_t i = 0; i < hex.size(); i += 2)
    key.bytes_.push_back(static_cast<char>(HexDigit(hex[i]) << 4 | HexDigit(hex[i + 1])));
  key.id_ = base::Hex(std::string_view(Hmac(key.bytes_, "stillwatch", "key id")).substr(0, 8));
  return key;
}

BlindingKey BlindingKey::Random() {
  std::string bytes(kBlindingKeyBytes, '\0');
  randombytes_buf(bytes.data(), bytes.size());
  return *FromHex(base::Hex(std::string_view(bytes)));
}

std::string BlindingKey::ToHex() const { return base::Hex(std::string_view(bytes_)); }

std::optional<Item> Item::Parse(ItemType type, std::string_view value) {
  if (value.size() > kItemBytes || !InGrammar(type, value)) return std::nullopt;
  return Item(type, std::string(value), false);
}

std::optional<Item> Item::Blinded(ItemType type, std::string_view key_id, std::string_view hash) {
  if (!AllHex(key_id, 16) || !AllHex(hash, 64)) return std::nullopt;
  return Item(type, StrCat(key_id, ":", hash), true);
}

Item Item::Blind(const BlindingKey& key) const {
  if (blinded_) return *this;
  return Item(type_,
              StrCat(key.id_, ":",
                     base::Hex(std::string_view(Hmac(key.bytes_, ItemTypeName(type_), value_)))),
              true);
}

std::vector<uint32_t> Item::Hashes() const {
  std::vector<uint32_t> hashes;
  if (type_ != ItemType::kTemplateSketch || blinded_) return hashes;
  for (size_t i = 2; i < value_.size(); i += 8)
    hashes.push_back(Hash8(std::string_view(value_).substr(i, 8)));
  return hashes;
}

std::vector<int8_t> Item::HalfHours(int32_t* first) const {
  std::vector<int8_t> out;
  if (type_ != ItemType::kRhythm || blinded_) return out;
  const size_t colon = value_.find(':', 2);
  *first = std::stoi(value_.substr(2, colon - 2)) * static_cast<int32_t>(kHalfHours);
  for (const char c : std::string_view(value_).substr(colon + 1))
    out.push_back(static_cast<int8_t>(HexDigit(c) - 7));
  return out;
}

std::optional<Item> RhythmOf(int32_t first_day, std::span<const uint32_t> present) {
  const size_t days = present.size() / kHalfHours;
  if (days == 0 || days > kRhythmDays || days * kHalfHours != present.size()) return std::nullopt;
  std::vector<double> of_day(days, 0), of_time(kHalfHours, 0);
  double all = 0;
  for (size_t i = 0; i < present.size(); ++i) {
    of_day[i / kHalfHours] += present[i];
    of_time[i % kHalfHours] += present[i];
    all += present[i];
  }
  if (all == 0) return std::nullopt;
  std::string value = StrCat("1:", first_day, ":");
  for (size_t i = 0; i < present.size(); ++i) {
    // The habit of the time of day with its neighbours', or few days would take the rhythm in.
    double time = 0;
    for (size_t k = 0; k < 5; ++k)
      time += of_time[(i % kHalfHours + kHalfHours - 2 + k) % kHalfHours];
    const double mean = of_day[i / kHalfHours] * time / 5 / all;
    const double far = mean > 0 ? 2 * (present[i] - mean) / std::sqrt(mean) : 0;
    value.push_back("0123456789abcde"[std::clamp(std::lround(far), -7L, 7L) + 7]);
  }
  return Item::Parse(ItemType::kRhythm, value);
}

std::optional<Item> TemplateSketch(std::vector<uint32_t> hashes) {
  std::sort(hashes.begin(), hashes.end());
  hashes.erase(std::unique(hashes.begin(), hashes.end()), hashes.end());
  std::string value = "2:";
  for (const uint32_t h : hashes) value += base::Hex(uint64_t{h}).substr(8);
  return Item::Parse(ItemType::kTemplateSketch, value);
}

}  // namespace stillwatch::share
