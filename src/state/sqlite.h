// SQLite, as little of it as is needed. For src/state, share/collections and share/compare.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/embedded_file.h"

namespace stillwatch::state {

// One connection; one thread at a time. Statements are prepared once.
class Db {
 public:
  static absl::StatusOr<std::unique_ptr<Db>> Open(const std::string& path);
  ~Db();
  Db(const Db&) = delete;
  Db& operator=(const Db&) = delete;

  // Statements without values, several perhaps.
  absl::Status Script(const std::string& sql);
  // What the last call met, as one sentence; Unavailable for what the disk or a lock says.
  absl::Status Error() const;
  int64_t changes() const { return sqlite3_changes64(db_); }
  int64_t last_id() const { return sqlite3_last_insert_rowid(db_); }

 private:
  friend class Query;
  explicit Db(std::string path) : path_(std::move(path)) {}
  sqlite3_stmt* Prepared(const char* sql);
  std::string path_;
  sqlite3* db_ = nullptr;
  std::map<std::string, sqlite3_stmt*, std::less<>> prepared_;
};

struct Blob {
  std::string_view bytes;
};

// One run of a statement. Values are bound, never put into the SQL.
class Query {
 public:
  template <typename... A>
  Query(Db& db, const char* sql, const A&... args) : db_(db), stmt_(db.Prepared(sql)) {
    int i = 0;
    (Bind(++i, args), ...);
  }
  ~Query() {
    if (stmt_ == nullptr) return;
    sqlite3_reset(stmt_);
    sqlite3_clear_bindings(stmt_);
  }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  // False at the end, and on an error: then status() says which.
  bool Row() {
    if (stmt_ == nullptr || !status_.ok()) return false;
    const int rc = sqlite3_step(stmt_);
    if (rc == SQLITE_ROW) return true;
    if (rc != SQLITE_DONE) status_ = db_.Error();
    return false;
  }
  absl::Status status() const { return stmt_ == nullptr ? db_.Error() : status_; }

  int64_t Int(int i) const { return sqlite3_column_int64(stmt_, i); }
  uint64_t Uint(int i) const { return static_cast<uint64_t>(Int(i)); }
  double Real(int i) const { return sqlite3_column_double(stmt_, i); }
  std::string Text(int i) const {
    const auto* p = static_cast<const char*>(sqlite3_column_blob(stmt_, i));
    const int n = sqlite3_column_bytes(stmt_, i);
    return p == nullptr ? std::string() : std::string(p, static_cast<size_t>(n));
  }

 private:
  void Bind(int i, std::string_view v) {
    Check(sqlite3_bind_text64(stmt_, i, v.data() == nullptr ? "" : v.data(), v.size(),
                              SQLITE_TRANSIENT, SQLITE_UTF8));
  }
  void Bind(int i, Blob v) {
    Check(sqlite3_bind_blob64(stmt_, i, v.bytes.data() == nullptr ? "" : v.bytes.data(),
                              v.bytes.size(), SQLITE_TRANSIENT));
  }
  void Bind(int i, const std::string& v) { Bind(i, std::string_view(v)); }
  void Bind(int i, const char* v) { Bind(i, std::string_view(v)); }
  void Bind(int i, double v) { Check(sqlite3_bind_double(stmt_, i, v)); }
  template <typename T>
  requires std::is_integral_v<T>
  void Bind(int i, T v) { Check(sqlite3_bind_int64(stmt_, i, static_cast<int64_t>(v))); }
  void Check(int rc) {
    if (stmt_ != nullptr && rc != SQLITE_OK && status_.ok()) status_ = db_.Error();
  }

  Db& db_;
  sqlite3_stmt* stmt_;
  absl::Status status_;
};

// Runs a statement that returns no rows.
template <typename... A>
absl::Status Run(Db& db, const char* sql, const A&... args) {
  Query q(db, sql, args...);
  while (q.Row()) {
  }
  return q.status();
}

// Brings the database DIR/FILE of one of Stillwatch's stores (`who`, in messages; `application`, in
// its header) to the last of its schema's files, which are numbered and ascend. Within the caller's
// transaction. FailedPrecondition: it is another program's, or a newer Stillwatch's.
absl::Status Migrate(Db& db, std::string_view who, std::string_view dir, std::string_view file,
                     int64_t application, const base::EmbeddedFile* schema);

}  // namespace stillwatch::state
