#include "share/psi/items.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/str.h"

namespace stillwatch::share::psi {
namespace {

using base::StrCat;

bool Utf8(std::string_view s) {
  for (size_t i = 0; i < s.size();) {
    const auto c = uint8_t(s[i]);
    const size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (n == 0 || i + n > s.size()) return false;
    for (size_t j = 1; j < n; ++j) {
      if ((uint8_t(s[i + j]) & 0xc0) != 0x80) return false;
    }
    if (n > 2) {  // overlong, surrogates, beyond U+10FFFF
      const auto d = uint8_t(s[i + 1]);
      if ((c == 0xe0 && d < 0xa0) || (c == 0xed && d > 0x9f) || (c == 0xf0 && d < 0x90) ||
          (c == 0xf4 && d > 0x8f))
        return false;
    }
    i += n;
  }
  return true;
}

// ASCII alone: other letters keep their case, as nobody agrees on theirs.
std::string Lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = char(c + 32);
  }
  return out;
}

absl::Status Not(std::string_view family, std::string_view what) {
  return absl::InvalidArgumentError(StrCat(family, ": ", what));
}

absl::StatusOr<std::string> Address(std::string_view v) {
  const size_t slash = v.find('/');
  const std::string host(v.substr(0, slash));
  uint8_t bytes[16];
  int bits = 32;
  if (inet_pton(AF_INET, host.c_str(), bytes) != 1) {
    if (inet_pton(AF_INET6, host.c_str(), bytes) != 1)
      return Not("address", "expected an IPv4 or IPv6 address, or a network with a prefix length");
    bits = 128;
  }
  int prefix = bits;
  if (slash != v.npos) {
    const std::string_view text = v.substr(slash + 1);
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), prefix);
    if (ec != std::errc() || end != text.data() + text.size() || prefix < 0 || prefix > bits)
      return Not("address", StrCat("a prefix length here is 0 to ", bits));
  }
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (bits == 128 && prefix >= 96 && std::memcmp(bytes, kMapped, 12) == 0) {
    std::memmove(bytes, bytes + 12, 4);
    bits = 32;
    prefix -= 96;
  }
  for (int i = prefix; i < bits; ++i) bytes[i / 8] &= uint8_t(~(0x80 >> (i % 8)));
  char text[INET6_ADDRSTRLEN];
  inet_ntop(bits == 32 ? AF_INET : AF_INET6, bytes, text, sizeof text);
  return prefix == bits ? std::string(text) : StrCat(static_cast<const char*>(text), "/", prefix);
}

absl::StatusOr<std::string> CardRange(std::string_view v) {
  std::string digits;
  for (const char c : v) {
    if (c == ' ' || c == '-') continue;
    if (c < '0' || c > '9') return Not("card-range", "expected the first 6 to 8 digits of a card");
    digits += c;
  }
  if (digits.size() > 8)
    return Not("card-range", "a card number does not belong here: give its first 6 to 8 digits");
  if (digits.size() < 6) return Not("card-range", "expected the first 6 to 8 digits of a card");
  return digits;
}

absl::StatusOr<std::string> MailDomain(std::string_view v) {
  if (v.ends_with('.')) v.remove_suffix(1);
  if (v.empty() || v.find_first_of(" @,;<>\"") != v.npos || v.find("..") != v.npos ||
      v.starts_with('.') || v.ends_with('.'))
    return Not("mail-domain", "expected a domain such as example.org");
  return Lower(v);
}

absl::StatusOr<std::string> Mail(std::string_view v) {
  const size_t at = v.rfind('@');
  if (at == v.npos || at == 0)
    return Not("mail",
               "expected an address such as name@example.org; a domain alone is of the "
               "family mail-domain");
  auto domain = MailDomain(v.substr(at + 1));
  if (!domain.ok()) return Not("mail", "expected an address such as name@example.org");
  std::string_view local = v.substr(0, at);
  if (const size_t plus = local.find('+'); plus != local.npos && plus > 0)
    local = local.substr(0, plus);
  return StrCat(Lower(local), "@", *domain);
}

std::string Payment(std::string_view v) {
  const bool hex = v.size() >= 16 && v.find_first_not_of("0123456789abcdefABCDEF") == v.npos;
  return hex ? Lower(v) : std::string(v);
}

}  // namespace

const std::vector<Family>& Families() {
  static const std::vector<Family> all = {{"account-id", 100'000}, {"address", 100'000},
                                          {"card-range", 1'000},   {"mail", 100'000},
                                          {"mail-domain", 10'000}, {"payment", 100'000}};
  return all;
}

int FamilyIndex(std::string_view name) {
  for (size_t i = 0; i < Families().size(); ++i) {
    if (Families()[i].name == name) return int(i);
  }
  return -1;
}

absl::StatusOr<std::string> Normalise(std::string_view family, std::string_view value) {
  if (FamilyIndex(family) < 0) {
    std::string all;
    for (const Family& f : Families()) base::StrAppend(&all, all.empty() ? "" : ", ", f.name);
    return absl::InvalidArgumentError(StrCat("no such family; there are ", all));
  }
  const auto blank = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!value.empty() && blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && blank(value.back())) value.remove_suffix(1);
  if (value.empty()) return Not(family, "the value is empty");
  if (value.size() > kValueBytes)
    return Not(family, StrCat("the value is longer than ", kValueBytes, " bytes"));
  if (!Utf8(value)) return Not(family, "the value is not UTF-8");
  for (const char c : value) {
    if (uint8_t(c) < 0x20 || c == 0x7f) return Not(family, "the value holds a control character");
  }
  if (family == "address") return Address(value);
  if (family == "card-range") return CardRange(value);
  if (family == "mail") return Mail(value);
  if (family == "mail-domain") return MailDomain(value);
  if (family == "payment") return Payment(value);
  return std::string(value);
}

std::string HashInput(std::string_view family, std::string_view value) {
  std::string out = "stillwatch item 1";
  out.push_back('\0');
  out.append(family);
  out.push_back('\0');
  out.append(value);
  out.push_back('\0');
  return out;
}

}  // namespace stillwatch::share::psi
