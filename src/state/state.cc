#include "state/state.h"

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "state/impl.h"

namespace stillwatch::state {
namespace {

using base::StrCat;

constexpr int32_t kApplication = 0x5374696c;  // "Stil"
constexpr size_t kKeyBytes = 32;

absl::Status Fault(const std::string& path) {
  return absl::UnavailableError(StrCat("state: ", path, ": ", std::strerror(errno)));
}

absl::Status ReadChanges(Db& db, Changes* out) {
  Query q(db, "SELECT topic, counter FROM changes");
  while (q.Row()) {
    const std::string topic = q.Text(0);
    for (const auto& [name, counter] : {std::pair<const char*, uint64_t*>{"policy", &out->policy},
                                        {"appeals", &out->appeals},
                                        {"lists", &out->lists},
                                        {"attestations", &out->attestations},
                                        {"permits", &out->permits},
                                        {"tokens", &out->tokens},
                                        {"dispositions", &out->dispositions},
                                        {"campaigns", &out->campaigns},
                                        {"imports", &out->imports}}) {
      if (topic == name) *counter = q.Uint(1);
    }
  }
  return q.status();
}

}  // namespace

absl::Status CheckText(std::string_view field, std::string_view value, size_t most, bool required) {
  if (required && value.empty())
    return absl::InvalidArgumentError(StrCat(field, ": is missing or empty"));
  if (value.size() > most) {
    return absl::InvalidArgumentError(
        StrCat(field, ": ", value.size(), " bytes; ", most, " is the most"));
  }
  // A zero byte would end the text where SQLite compares it.
  if (value.find('\0') != std::string_view::npos)
    return absl::InvalidArgumentError(StrCat(field, ": holds a zero byte"));
  return absl::OkStatus();
}

absl::Status CheckPage(const Page& page) {
  if (page.limit == 0 || page.limit > kPageRows)
    return absl::InvalidArgumentError(StrCat("limit: expected 1 to ", kPageRows));
  if (page.offset > (size_t{1} << 40)) return absl::InvalidArgumentError("offset: out of range");
  return absl::OkStatus();
}

std::string Join(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& p : parts) base::StrAppend(&out, out.empty() ? "" : ",", p);
  return out;
}

std::vector<std::string> SplitComma(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) out.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(text.size(), comma + 1));
  }
  return out;
}

// --- Impl ---

absl::Status State::Impl::Open() {
  if (sodium_init() < 0) return absl::InternalError("libsodium cannot be initialised");
  SW_RETURN_IF_ERROR(MakeStoreFolder("state", options_.dir));
  SW_RETURN_IF_ERROR(LoadKey());
  auto db = Database::Open("state", options_.dir, "state.db", kApplication, kStateSchema);
  if (!db.ok()) return db.status();
  db_ = *std::move(db);
  return absl::OkStatus();
}

absl::Status State::Impl::LoadKey() {
  const std::string path = options_.dir + "/token.key";
  key_.assign(kKeyBytes, '\0');
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) {
    if (std::filesystem::exists(options_.dir + "/state.db")) {
      return absl::FailedPreconditionError(
          StrCat("state: ", path,
                 " is missing: restore it from the backup of state.db, or no token is known"));
    }
    // Whole or not at all, and the first of two processes wins.
    const std::string part = StrCat(path, ".", getpid());
    randombytes_buf(key_.data(), key_.size());
    fd = open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return Fault(part);
    const bool ok = write(fd, key_.data(), key_.size()) == ssize_t(key_.size()) && fsync(fd) == 0;
    close(fd);
    if (!ok || (link(part.c_str(), path.c_str()) != 0 && errno != EEXIST)) {
      const absl::Status s = Fault(part);
      unlink(part.c_str());
      return s;
    }
    unlink(part.c_str());
    fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  }
  if (fd < 0) return Fault(path);
  const ssize_t n = read(fd, key_.data(), key_.size());
  char more = 0;
  const bool whole = n == ssize_t(key_.size()) && read(fd, &more, 1) == 0;
  close(fd);
  return whole ? absl::OkStatus()
               : absl::FailedPreconditionError(StrCat("state: ", path, ": expected ", kKeyBytes,
                                                      " bytes; restore it from a backup"));
}

absl::Status State::Impl::Write(
    const char* topic, std::string_view person, std::string_view action,
    const std::function<absl::Status(Db&, audit::AuditRecord*)>& change) {
  audit::AuditRecord record;
  const auto recorded = [&] { return !record.action.empty(); };
  return db_->Write(
      [&](Db& db) {
        record = {now(), std::string(person), std::string(action), "", "{}"};
        SW_RETURN_IF_ERROR(change(db, &record));
        SW_RETURN_IF_ERROR(Run(db,
                               "INSERT INTO changes VALUES (?1, 1) ON CONFLICT (topic) DO UPDATE "
                               "SET counter = counter + 1",
                               topic));
        return recorded() ? options_.audit->Append(record) : absl::OkStatus();
      },
      [&](const absl::Status& s) {
        if (!recorded()) return;
        // It says that something was done which was not.
        record.details = Details()
                             .Add("of", record.action)
                             .Add("why", std::string(s.message().data(), s.message().size()))
                             .Done();
        record.action = "state.failed";
        options_.audit->Append(record).IgnoreError();
      });
}

// --- State ---

State::State(StateOptions options)
    : options_(std::move(options)), impl_(std::make_unique<Impl>(options_)) {}
State::~State() = default;

absl::StatusOr<std::unique_ptr<State>> State::Open(StateOptions options) {
  if (options.audit == nullptr || !options.now_ms)
    return absl::InternalError("state: opened without an audit log or a clock");
  std::unique_ptr<State> state(new State(std::move(options)));
  SW_RETURN_IF_ERROR(state->impl_->Open());
  SW_RETURN_IF_ERROR(state->RefreshTokens());
  return state;
}

absl::StatusOr<Changes> State::GetChanges() {
  Changes out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) { return ReadChanges(db, &out); }));
  return out;
}

absl::StatusOr<Enforcement> State::GetEnforcement(bool attestations) {
  Enforcement out;
  const int64_t now = impl_->now();
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    SW_RETURN_IF_ERROR(ReadChanges(db, &out.changes));
    {
      Query q(db,
              "SELECT p.version, p.revision, p.status, p.text, p.hash, p.note, p.touched, "
              "p.proposed_by, p.proposed_ms, "
              "p.activated_by, p.activated_ms FROM policies p WHERE p.version = "
              "(SELECT version FROM policy_activations ORDER BY id DESC LIMIT 1)");
      if (q.Row()) {
        Policy& p = out.policy.emplace();
        p.version = q.Int(0), p.revision = q.Int(1), p.status = q.Text(2), p.text = q.Text(3),
        p.hash = q.Text(4);
        p.note = q.Text(5), p.touched = q.Uint(6), p.proposed_by = q.Text(7),
        p.proposed_ms = q.Int(8);
        p.activated_by = q.Text(9), p.activated_ms = q.Int(10);
      }
      SW_RETURN_IF_ERROR(q.status());
    }
    {
      Query q(db,
              "SELECT account_id, campaign_id, ref, ms FROM overturned ORDER BY account_id, "
              "campaign_id, ref");
      while (q.Row()) out.overturned.push_back({q.Text(0), q.Text(1), q.Text(2), q.Int(3)});
      SW_RETURN_IF_ERROR(q.status());
    }
    {
      Query q(db,
              "SELECT list, value, reason, expires_ms, person, ms FROM list_entries WHERE "
              "expires_ms = 0 OR expires_ms > ?1 ORDER BY list, value",
              now);
      while (q.Row())
        out.lists[q.Text(0)].push_back({q.Text(1), q.Text(2), q.Int(3), q.Text(4), q.Int(5)});
      SW_RETURN_IF_ERROR(q.status());
    }
    {
      Query q(db, "SELECT permit_id, used FROM permit_usage");
      while (q.Row()) out.permit_usage[q.Text(0)] = q.Uint(1);
      SW_RETURN_IF_ERROR(q.status());
    }
    if (!attestations) return absl::OkStatus();
    Query q(db,
            "SELECT account_id, kind, value, valid_until_ms, source, person, ms FROM attestations "
            "ORDER BY account_id, kind");
    while (q.Row())
      out.attestations.push_back(
          {q.Text(0), q.Text(1), q.Text(2), q.Int(3), q.Text(4), q.Text(5), q.Int(6)});
    return q.status();
  }));
  return out;
}

// --- attestations ---

absl::Status State::PutAttestations(const std::vector<Attestation>& rows, std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  if (rows.empty() || rows.size() > kBatchRows)
    return absl::InvalidArgumentError(StrCat("attestations: expected 1 to ", kBatchRows, " rows"));
  for (const Attestation& a : rows) {
    SW_RETURN_IF_ERROR(CheckText("account_id", a.account_id, kNameBytes, true));
    SW_RETURN_IF_ERROR(CheckText("kind", a.kind, kNameBytes, true));
    SW_RETURN_IF_ERROR(CheckText("value", a.value, kNameBytes, true));
    SW_RETURN_IF_ERROR(CheckText("source", a.source, kNameBytes, true));
  }
  return impl_->Write(
      "attestations", person, "attestation.put",
      [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        for (const Attestation& a : rows) {
          SW_RETURN_IF_ERROR(Run(
              db, "INSERT OR REPLACE INTO attestations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
              a.account_id, a.kind, a.value, a.valid_until_ms, a.source, person, record->time_ms));
        }
        // The values are facts about people: the log says who stated what kind for whom, not what.
        record->subject = rows.size() == 1 ? rows[0].account_id : StrCat(rows.size(), " accounts");
        record->details = Details()
                              .Add("rows", rows.size())
                              .Add("kind", rows[0].kind)
                              .Add("source", rows[0].source)
                              .Done();
        return absl::OkStatus();
      });
}

absl::Status State::RemoveAttestation(std::string_view account_id, std::string_view kind,
                                      std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  return impl_->Write(
      "attestations", person, "attestation.remove",
      [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        SW_RETURN_IF_ERROR(Run(db, "DELETE FROM attestations WHERE account_id = ?1 AND kind = ?2",
                               account_id, kind));
        if (db.changes() == 0)
          return absl::NotFoundError(
              StrCat("attestation: ", account_id, " has none of kind ", kind));
        record->subject = account_id;
        record->details = Details().Add("kind", kind).Done();
        return absl::OkStatus();
      });
}

absl::StatusOr<std::vector<Attestation>> State::GetAttestations(std::string_view account_id) {
  std::vector<Attestation> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) {
    Query q(db,
            "SELECT account_id, kind, value, valid_until_ms, source, person, ms FROM attestations "
            "WHERE account_id = ?1 ORDER BY kind",
            account_id);
    while (q.Row())
      out.push_back({q.Text(0), q.Text(1), q.Text(2), q.Int(3), q.Text(4), q.Text(5), q.Int(6)});
    return q.status();
  }));
  return out;
}

// --- permits, notes ---

absl::Status State::AddPermitUsage(const std::map<std::string, uint64_t>& used) {
  if (used.empty()) return absl::OkStatus();
  return impl_->Write("permits", "", "", [&](Db& db, audit::AuditRecord* record) -> absl::Status {
    for (const auto& [id, n] : used) {
      SW_RETURN_IF_ERROR(Run(db,
                             "INSERT INTO permit_usage VALUES (?1, ?2, ?3) ON CONFLICT (permit_id) "
                             "DO UPDATE SET used = used + ?2, ms = ?3",
                             id, n, record->time_ms));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::map<std::string, uint64_t>> State::PermitUsage() {
  std::map<std::string, uint64_t> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) {
    Query q(db, "SELECT permit_id, used FROM permit_usage");
    while (q.Row()) out[q.Text(0)] = q.Uint(1);
    return q.status();
  }));
  return out;
}

absl::StatusOr<State::Note> State::GetNote(std::string_view key) {
  Note out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) {
    Query q(db, "SELECT value, revision FROM notes WHERE key = ?1", key);
    if (q.Row()) out = {q.Text(0), q.Int(1)};
    return q.status();
  }));
  return out;
}

absl::Status State::PutNote(std::string_view key, std::string_view value, int64_t expected) {
  SW_RETURN_IF_ERROR(CheckText("key", key, kNameBytes, true));
  return impl_->Write("notes", "", "", [&](Db& db, audit::AuditRecord*) -> absl::Status {
    int64_t have = 0;
    {
      Query q(db, "SELECT revision FROM notes WHERE key = ?1", key);
      if (q.Row()) have = q.Int(0);
      SW_RETURN_IF_ERROR(q.status());
    }
    if (have != expected)
      return absl::AbortedError(
          StrCat("note ", key, ": is at revision ", have, ", not ", expected));
    return Run(db, "INSERT OR REPLACE INTO notes VALUES (?1, ?2, ?3)", key, have + 1, Blob{value});
  });
}

std::array<uint8_t, 16> State::AppealKey() const {
  std::array<uint8_t, 16> out;
  static constexpr unsigned char kWhat[] = "stillwatch appeal references";
  crypto_generichash(out.data(), out.size(), kWhat, sizeof kWhat - 1,
                     reinterpret_cast<const unsigned char*>(impl_->key().data()),
                     impl_->key().size());
  return out;
}

}  // namespace stillwatch::state
