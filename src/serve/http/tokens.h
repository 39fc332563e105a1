// API tokens: who calls, and what for. A token names one person or machine; only its hash is kept.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stillwatch::serve {

// kPublic asks for nothing. None is a superset of another: a right that is needed is named.
enum class Role : uint8_t { kPublic, kIngest, kDecide, kAnalyst, kApprover, kAdmin, kShare };
inline constexpr int kRoles = 7;
const char* RoleName(Role role);  // "ingest"
std::optional<Role> RoleOf(std::string_view name);

constexpr uint8_t RoleBit(Role role) { return uint8_t(1u << int(role)); }
inline constexpr uint8_t kAllRoles = 0xff;

struct Principal {
  std::string name;      // of the token's person; "local" where no tokens are set up, "" in public
  uint8_t roles = 0;     // RoleBits
  std::string token_id;  // not secret; may be empty
  bool Has(Role role) const { return role == Role::kPublic || (roles & RoleBit(role)) != 0; }
};

// Where a server looks tokens up: a file's (TokenTable), a database's.
class TokenStore {
 public:
  virtual ~TokenStore() = default;
  // On io threads, for every request, from many at once: must not wait for a disk or a database.
  // Compares in constant time.
  virtual std::optional<Principal> Find(std::string_view token, int64_t now_ms) const = 0;
  // No token was ever set up: an expired or revoked one counts as set up.
  virtual bool empty() const = 0;
};

using TokenHash = std::array<uint8_t, 32>;
// BLAKE2b-256. Tokens are 256 random bits (NewToken), so a slow hash would add nothing.
TokenHash HashToken(std::string_view token);
std::string TokenHashHex(const TokenHash& hash);
std::optional<TokenHash> ParseTokenHash(std::string_view hex);
// "sw_" and 43 characters of base64url from the system's random source.
std::string NewToken();

// Compares in time that does not depend on where the two differ.
bool SameSecret(std::string_view a, std::string_view b);

// Immutable once shared. Every row is compared, whichever it is.
class TokenTable final : public TokenStore {
 public:
  static constexpr size_t kTokensMax = 1024;
  // False: full, or the hash is there already.
  bool Add(const TokenHash& hash, Principal principal, int64_t expires_ms = INT64_MAX);
  std::optional<Principal> Find(std::string_view token, int64_t now_ms) const override;
  bool empty() const override { return rows_.empty(); }
  size_t size() const { return rows_.size(); }

 private:
  struct Row {
    TokenHash hash;
    Principal principal;
    int64_t expires_ms;
  };
  std::vector<Row> rows_;
};

}  // namespace stillwatch::serve
