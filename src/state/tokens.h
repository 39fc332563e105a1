// API tokens: "stw_<id>_<secret>", 8 letters of id and 43 of secret (32 random bytes, base64url).
// Kept is a hash of the secret, BLAKE2b-256 under a key that lies beside the database
// (state/token.key): a secret of 256 random bits needs no slow hash, and a copy of the database
// alone cannot even confirm a guess.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "state/types.h"

namespace stillwatch::state {

struct Principal {
  std::string token_id, person;
  Roles roles = 0;
};

// The tokens in memory. Safe for concurrent use; Find takes no lock that a writer holds for long.
class TokenBook {
 public:
  // Nothing for a token that is unknown, wrong, revoked or expired. The secret is compared in
  // constant time, and an unknown id costs what a known one does.
  std::optional<Principal> Find(std::string_view token, int64_t now_ms) const;
  bool empty() const;  // no token was ever created: a revoked one counts

 private:
  friend class State;
  struct Entry {
    Principal principal;
    unsigned char hash[32];
    int64_t expires_ms = 0;
    bool revoked = false;
  };
  struct Table {
    std::string key;
    std::unordered_map<std::string, Entry> by_id;
  };
  void Set(std::shared_ptr<const Table> table);
  mutable std::mutex mutex_;
  std::shared_ptr<const Table> table_;
};

// "analyst" of one bit, "" of none or several; 0 for an unknown name.
const char* RoleName(Role role);
Roles ParseRole(std::string_view name);
std::string RoleNames(Roles roles);  // "analyst,approver"

}  // namespace stillwatch::state
