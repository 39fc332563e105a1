#include "state/sqlite.h"

#include <charconv>
#include <utility>

#include "base/str.h"

namespace stillwatch::state {

using base::StrCat;

absl::StatusOr<std::unique_ptr<Db>> Db::Open(const std::string& path) {
  std::unique_ptr<Db> db(new Db(path));
  // One thread at a time holds a connection, so its own lock is not needed.
  const int rc = sqlite3_open_v2(
      path.c_str(), &db->db_,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      nullptr);
  if (rc != SQLITE_OK) return db->Error();
  sqlite3_busy_timeout(db->db_, 10'000);  // another process's transaction takes milliseconds
  // FULL: a commit is on the disk when it returns, through a power loss too.
  absl::Status s = db->Script(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; "
      "PRAGMA cache_size = -16384");
  if (!s.ok()) return s;
  return db;
}

Db::~Db() {
  for (auto& [sql, stmt] : prepared_) sqlite3_finalize(stmt);
  sqlite3_close(db_);
}

absl::Status Db::Error() const {
  const int code = db_ == nullptr ? SQLITE_NOMEM : sqlite3_errcode(db_);
  const std::string what =
      StrCat("state: ", path_, ": ", db_ == nullptr ? "out of memory" : sqlite3_errmsg(db_));
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_NOMEM:
    case SQLITE_INTERRUPT:
      return absl::UnavailableError(what);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::FailedPreconditionError(
          StrCat(what, "; restore it from a backup (docs/OPERATIONS.md)"));
    default:
      return absl::InternalError(StrCat(what, " (", code, ")"));
  }
}

absl::Status Db::Script(const std::string& sql) {
  return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus()
                                                                                : Error();
}

sqlite3_stmt* Db::Prepared(const char* sql) {
  const auto it = prepared_.find(std::string_view(sql));
  if (it != prepared_.end()) return it->second;
  sqlite3_stmt* stmt = nullptr;
  if (sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, nullptr) != SQLITE_OK)
    return nullptr;
  prepared_.emplace(sql, stmt);
  return stmt;
}

absl::Status Migrate(Db& db, std::string_view who, std::string_view dir, std::string_view file,
                     int64_t application, const base::EmbeddedFile* schema) {
  int64_t owner = 0, have = 0, tables = 0;
  for (const auto& [sql, out] : {std::pair<const char*, int64_t*>{"PRAGMA application_id", &owner},
                                 {"PRAGMA user_version", &have},
                                 {"SELECT count(*) FROM sqlite_master", &tables}}) {
    Query q(db, sql);
    if (q.Row()) *out = q.Int(0);
    if (!q.status().ok()) return q.status();
  }
  if (tables > 0 && owner != application) {
    return absl::FailedPreconditionError(StrCat(
        who, ": ", dir, "/", file, " is a database of another program; name another folder"));
  }
  int64_t newest = 0;
  for (const base::EmbeddedFile* f = schema; !f->name.empty(); ++f) {
    int64_t version = 0;
    std::from_chars(f->name.data(), f->name.data() + f->name.size(), version);
    if (version <= newest)
      return absl::InternalError(StrCat(who, ": schema file ", f->name, " is out of order"));
    newest = version;
    if (version <= have) continue;
    absl::Status s = db.Script(std::string(f->text));
    if (s.ok()) s = db.Script(StrCat("PRAGMA user_version = ", version));
    if (!s.ok()) return s;
  }
  if (have > newest) {
    return absl::FailedPreconditionError(
        StrCat(who, ": ", dir, " was written by a newer Stillwatch (schema ", have,
               ", this program knows up to ", newest, "): update the program"));
  }
  return tables > 0 ? absl::OkStatus() : db.Script(StrCat("PRAGMA application_id = ", application));
}

}  // namespace stillwatch::state
