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

// kPublic asks for nothing. A token with kAdmin may do all that the others may.
enum class Role : uint8_t { kPublic, kIngest, kDecide, kAnalyst, kApprover, kAdmin };
inline constexpr int kRoles = 6;
const char* RoleName(Role role);  // "ingest"
std::optional<Role> RoleOf(std::string_view name);

struct Principal {
  std::string name;   // of the token, hence of its person; "local" where no tokens are set up
  uint8_t roles = 0;  // bit 1 << Role
  bool Has(Role role) const {
    return role == Role::kPublic || (roles & (1u << int(role) | 1u << int(Role::kAdmin))) != 0;
  }
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

// Immutable once shared; a server reads it from many threads. Whoever stores tokens (a file, a
// database) builds one and hands it to Server::SetTokens whenever they change.
class TokenTable {
 public:
  static constexpr size_t kTokensMax = 1024;
  // False: full, or the hash is there already.
  bool Add(const TokenHash& hash, Principal principal, int64_t expires_ms = INT64_MAX);
  // Null for a token that is not there or has expired. Every row is compared, in constant time.
  const Principal* Find(std::string_view token, int64_t now_ms) const;
  bool empty() const { return rows_.empty(); }
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
