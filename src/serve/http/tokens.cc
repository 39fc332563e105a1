#include "serve/http/tokens.h"

#include <sodium.h>

#include <algorithm>

namespace stillwatch::serve {

namespace {
constexpr const char* kNames[kRoles] = {"public",   "ingest", "decide", "analyst",
                                        "approver", "admin",  "share"};
}

const char* RoleName(Role role) { return kNames[int(role)]; }

std::optional<Role> RoleOf(std::string_view name) {
  for (int i = 1; i < kRoles; ++i) {
    if (name == kNames[i]) return Role(i);
  }
  return std::nullopt;
}

TokenHash HashToken(std::string_view token) {
  TokenHash out;
  crypto_generichash(out.data(), out.size(), reinterpret_cast<const unsigned char*>(token.data()),
                     token.size(), nullptr, 0);
  return out;
}

std::string TokenHashHex(const TokenHash& hash) {
  std::string out(2 * hash.size() + 1, '\0');
  sodium_bin2hex(out.data(), out.size(), hash.data(), hash.size());
  out.pop_back();
  return out;
}

std::optional<TokenHash> ParseTokenHash(std::string_view hex) {
  TokenHash out;
  size_t n = 0;
  const char* end = nullptr;
  if (sodium_hex2bin(out.data(), out.size(), hex.data(), hex.size(), nullptr, &n, &end) != 0 ||
      n != out.size() || end != hex.data() + hex.size()) {
    return std::nullopt;
  }
  return out;
}

std::string NewToken() {
  unsigned char bits[32];
  randombytes_buf(bits, sizeof bits);
  char text[sodium_base64_ENCODED_LEN(sizeof bits, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
  sodium_bin2base64(text, sizeof text, bits, sizeof bits, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
  return std::string("sw_") + text;
}

bool SameSecret(std::string_view a, std::string_view b) {
  const TokenHash x = HashToken(a), y = HashToken(b);
  return sodium_memcmp(x.data(), y.data(), x.size()) == 0;
}

bool TokenTable::Add(const TokenHash& hash, Principal principal, int64_t expires_ms) {
  if (rows_.size() == kTokensMax) return false;
  for (const Row& r : rows_) {
    if (r.hash == hash) return false;
  }
  rows_.push_back({hash, std::move(principal), expires_ms});
  return true;
}

std::optional<Principal> TokenTable::Find(std::string_view token, int64_t now_ms) const {
  const TokenHash hash = HashToken(token);
  const Row* found = nullptr;
  for (const Row& r : rows_) {
    if (sodium_memcmp(r.hash.data(), hash.data(), hash.size()) == 0) found = &r;
  }
  if (found == nullptr || now_ms >= found->expires_ms) return std::nullopt;
  return found->principal;
}

}  // namespace stillwatch::serve
