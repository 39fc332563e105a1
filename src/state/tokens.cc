#include "state/tokens.h"

#include <sodium.h>

#include <cstring>

#include "state/impl.h"

namespace stillwatch::state {
namespace {

using base::StrCat;

constexpr std::string_view kPrefix = "stw_";
constexpr size_t kIdLetters = 8, kSecretLetters = 43;
constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz234567";

struct {
  Role role;
  const char* name;
} constexpr kRoleNames[] = {{kIngest, "ingest"},     {kDecide, "decide"}, {kAnalyst, "analyst"},
                            {kApprover, "approver"}, {kAdmin, "admin"},   {kShare, "share"}};

void HashSecret(std::string_view key, std::string_view secret, unsigned char out[32]) {
  crypto_generichash(out, 32, reinterpret_cast<const unsigned char*>(secret.data()), secret.size(),
                     reinterpret_cast<const unsigned char*>(key.data()), key.size());
}

TokenInfo InfoOf(const Query& q) {
  return {q.Text(0), q.Text(1), q.Text(2), static_cast<Roles>(q.Int(3)), q.Int(4), q.Int(5),
          q.Int(6),  q.Text(7), q.Text(8)};
}
constexpr const char* kSelect =
    "SELECT id, person, label, roles, created_ms, expires_ms, revoked_ms, created_by, revoked_by, "
    "hash FROM tokens ORDER BY created_ms, id";

}  // namespace

const char* RoleName(Role role) {
  for (const auto& r : kRoleNames)
    if (r.role == role) return r.name;
  return "";
}

Roles ParseRole(std::string_view name) {
  for (const auto& r : kRoleNames)
    if (name == r.name) return r.role;
  return 0;
}

std::string RoleNames(Roles roles) {
  std::string out;
  for (const auto& r : kRoleNames)
    if (roles & r.role) base::StrAppend(&out, out.empty() ? "" : ",", r.name);
  return out;
}

std::optional<Principal> TokenBook::Find(std::string_view token, int64_t now_ms) const {
  std::shared_ptr<const Table> table;
  {
    std::lock_guard lock(mutex_);
    table = table_;
  }
  if (table == nullptr || token.size() != kPrefix.size() + kIdLetters + 1 + kSecretLetters ||
      !token.starts_with(kPrefix) || token[kPrefix.size() + kIdLetters] != '_') {
    return std::nullopt;
  }
  // The id is no secret; what follows is compared as a hash, in constant time. An unknown id is
  // compared too, against nothing.
  static const Entry kNobody{};
  const auto it = table->by_id.find(std::string(token.substr(kPrefix.size(), kIdLetters)));
  const Entry& entry = it == table->by_id.end() ? kNobody : it->second;
  unsigned char hash[32];
  HashSecret(table->key, token.substr(kPrefix.size() + kIdLetters + 1), hash);
  const bool same = sodium_memcmp(hash, entry.hash, sizeof hash) == 0;
  if (!same || it == table->by_id.end() || entry.revoked ||
      (entry.expires_ms != 0 && now_ms >= entry.expires_ms))
    return std::nullopt;
  return entry.principal;
}

bool TokenBook::empty() const {
  std::lock_guard lock(mutex_);
  return table_ == nullptr || table_->by_id.empty();
}

void TokenBook::Set(std::shared_ptr<const Table> table) {
  std::lock_guard lock(mutex_);
  table_ = std::move(table);
}

absl::Status State::RefreshTokens() {
  auto table = std::make_shared<TokenBook::Table>();
  table->key = impl_->key();
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    Query q(db, kSelect);
    while (q.Row()) {
      const TokenInfo t = InfoOf(q);
      const std::string hash = q.Text(9);
      if (hash.size() != 32)
        return absl::InternalError(StrCat("state: token ", t.id, " has no hash"));
      TokenBook::Entry& e = table->by_id[t.id];
      e.principal = {t.id, t.person, t.roles};
      std::memcpy(e.hash, hash.data(), sizeof e.hash);
      e.expires_ms = t.expires_ms;
      e.revoked = t.revoked_ms != 0;
    }
    return q.status();
  }));
  tokens_.Set(std::move(table));
  return absl::OkStatus();
}

absl::StatusOr<State::NewToken> State::CreateToken(std::string_view person, std::string_view label,
                                                   Roles roles, int64_t expires_ms,
                                                   std::string_view by) {
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  SW_RETURN_IF_ERROR(CheckText("label", label, kNameBytes, false));
  SW_RETURN_IF_ERROR(CheckText("by", by, kNameBytes, true));
  if (roles == 0 || (roles & ~kAllRoles) != 0)
    return absl::InvalidArgumentError(
        "roles: expected one or several of ingest, decide, analyst, approver, admin, share");
  const int64_t now = impl_->now();
  if (expires_ms != 0 && expires_ms <= now)
    return absl::InvalidArgumentError("expires: is in the past");
  NewToken out;
  unsigned char secret[32];
  randombytes_buf(secret, sizeof secret);
  char text[sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
  sodium_bin2base64(text, sizeof text, secret, sizeof secret,
                    sodium_base64_VARIANT_URLSAFE_NO_PADDING);
  sodium_memzero(secret, sizeof secret);
  std::string id;
  for (size_t i = 0; i < kIdLetters; ++i)
    id += kLetters[randombytes_uniform(uint32_t(kLetters.size()))];
  unsigned char hash[32];
  HashSecret(impl_->key(), text, hash);
  out.info = {
      id, std::string(person), std::string(label), roles, now, expires_ms, 0, std::string(by), ""};
  out.token = StrCat(kPrefix, id, "_", text);
  SW_RETURN_IF_ERROR(impl_->Write(
      "tokens", by, "token.create", [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        record->subject = StrCat("token ", id);
        record->details = Details()
                              .Add("person", person)
                              .Add("label", label)
                              .Add("roles", RoleNames(roles))
                              .Add("expires_ms", expires_ms)
                              .Done();
        return Run(db, "INSERT INTO tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, '')", id,
                   person, label, roles, Blob{{reinterpret_cast<char*>(hash), sizeof hash}}, now,
                   by, expires_ms);
      }));
  SW_RETURN_IF_ERROR(RefreshTokens());
  return out;
}

absl::StatusOr<TokenInfo> State::RevokeToken(std::string_view id, std::string_view by) {
  SW_RETURN_IF_ERROR(CheckText("by", by, kNameBytes, true));
  TokenInfo out;
  SW_RETURN_IF_ERROR(impl_->Write(
      "tokens", by, "token.revoke", [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        bool found = false;
        {
          Query q(db, kSelect);
          while (q.Row()) {
            if (q.Text(0) != id) continue;
            out = InfoOf(q);
            found = true;
          }
          SW_RETURN_IF_ERROR(q.status());
        }
        if (!found) return absl::NotFoundError(StrCat("token: there is none with id ", id));
        if (out.revoked_ms != 0)
          return absl::FailedPreconditionError(
              StrCat("token: ", id, " was revoked already, by ", out.revoked_by));
        out.revoked_ms = record->time_ms;
        out.revoked_by = by;
        record->subject = StrCat("token ", id);
        record->details = Details().Add("person", out.person).Done();
        return Run(db, "UPDATE tokens SET revoked_ms = ?2, revoked_by = ?3 WHERE id = ?1", id,
                   record->time_ms, by);
      }));
  SW_RETURN_IF_ERROR(RefreshTokens());
  return out;
}

absl::StatusOr<std::vector<TokenInfo>> State::ListTokens() {
  std::vector<TokenInfo> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) {
    Query q(db, kSelect);
    while (q.Row()) out.push_back(InfoOf(q));
    return q.status();
  }));
  return out;
}

}  // namespace stillwatch::state
