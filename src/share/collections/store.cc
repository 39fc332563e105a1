#include "share/collections/store.h"

#include <sodium.h>

#include <algorithm>
#include <optional>

#include "base/embedded_file.h"
#include "base/hex.h"
#include "base/str.h"
#include "share/collections/stamp.h"
#include "state/database.h"

namespace stillwatch::share {

extern const base::EmbeddedFile kCollectionsSchema[];

namespace {

using base::StrCat;
using state::Blob;
using state::Db;
using state::Query;
using state::Run;

constexpr int32_t kApplication = 0x53744c63;  // "StLc"

#define SW_TRY(expr)                                   \
  do {                                                 \
    if (absl::Status s_ = (expr); !s_.ok()) return s_; \
  } while (false)

absl::Status CheckText(std::string_view field, std::string_view value, bool required) {
  if (required && value.empty())
    return absl::InvalidArgumentError(StrCat(field, ": is missing or empty"));
  if (value.size() > kTitleBytes) {
    return absl::InvalidArgumentError(
        StrCat(field, ": ", value.size(), " bytes; ", kTitleBytes, " is the most"));
  }
  if (value.find('\0') != std::string_view::npos)
    return absl::InvalidArgumentError(StrCat(field, ": holds a zero byte"));
  return absl::OkStatus();
}

// What one look at a row says, without its text.
struct Row {
  int64_t num, added_us, version_us;
  std::string id, version;
  uint64_t size;
  bool first, last;
};
#define SW_ROW "num, added_us, version_us, id, version, size, is_first, is_last"
Row RowOf(const Query& q) {
  return {q.Int(0),  q.Int(1),  q.Int(2),      q.Text(3),
          q.Text(4), q.Uint(5), q.Int(6) != 0, q.Int(7) != 0};
}

bool VersionFits(const ObjectFilter& f, const Row& row) {
  if (f.all) return true;
  if (!f.first && !f.last && f.versions_us.empty()) return row.last;
  return (f.first && row.first) || (f.last && row.last) ||
         std::find(f.versions_us.begin(), f.versions_us.end(), row.version_us) !=
             f.versions_us.end();
}

absl::StatusOr<int64_t> NumOf(Db& db, std::string_view id) {
  Query q(db, "SELECT num FROM collections WHERE id = ?1", id);
  if (q.Row()) return q.Int(0);
  SW_TRY(q.status());
  return absl::NotFoundError(StrCat("no collection ", id));
}

// Which of an object's versions are the first and the last, after some came or went.
absl::Status Mark(Db& db, int64_t num, std::string_view id) {
  return Run(db,
             "UPDATE objects SET is_first = (version_us = (SELECT min(version_us) FROM objects "
             "WHERE collection = ?1 AND id = ?2)), is_last = (version_us = (SELECT max(version_us) "
             "FROM objects WHERE collection = ?1 AND id = ?2)) WHERE collection = ?1 AND id = ?2",
             num, id);
}

std::string Hash(std::string_view bytes) {
  std::string out(16, '\0');
  crypto_generichash(reinterpret_cast<unsigned char*>(out.data()), out.size(),
                     reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), nullptr,
                     0);
  return out;
}

}  // namespace

std::string NewUuid() {
  unsigned char b[16];
  randombytes_buf(b, sizeof b);
  b[6] = (b[6] & 0x0f) | 0x40;
  b[8] = (b[8] & 0x3f) | 0x80;
  std::string out = base::Hex(std::string_view(reinterpret_cast<const char*>(b), sizeof b));
  for (const size_t at : {8, 13, 18, 23}) out.insert(at, 1, '-');
  return out;
}

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const bool digit = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
    if (dash ? c != '-' : !digit) return false;
  }
  return true;
}

absl::StatusOr<std::unique_ptr<CollectionStore>> CollectionStore::Open(StoreOptions options) {
  if (!options.now_us) return absl::InternalError("collections: opened without a clock");
  std::unique_ptr<CollectionStore> store(new CollectionStore(std::move(options)));
  SW_TRY(store->Init());
  return store;
}

CollectionStore::CollectionStore(StoreOptions options) : options_(std::move(options)) {}
CollectionStore::~CollectionStore() = default;

absl::Status CollectionStore::Init() {
  if (sodium_init() < 0) return absl::InternalError("libsodium cannot be initialised");
  SW_TRY(state::MakeStoreFolder("collections", options_.dir));
  auto db = state::Database::Open("collections", options_.dir, "collections.db", kApplication,
                                  kCollectionsSchema);
  if (!db.ok()) return db.status();
  db_ = *std::move(db);
  return absl::OkStatus();
}

// --- collections and rights ---

absl::StatusOr<Collection> CollectionStore::Add(Collection c) {
  if (c.id.empty()) c.id = NewUuid();
  if (!IsUuid(c.id)) return absl::InvalidArgumentError(StrCat("id: ", c.id, " is no UUID"));
  SW_TRY(CheckText("title", c.title, true));
  SW_TRY(CheckText("description", c.description, false));
  if (c.alias.size() > 64 ||
      c.alias.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos ||
      IsUuid(c.alias)) {
    return absl::InvalidArgumentError(
        "alias: expected up to 64 of a-z, 0-9 and -, and nothing that looks like an id");
  }
  c.created_us = options_.now_us();
  c.last_added_us = 0;
  c.objects = 0;
  SW_TRY(db_->Write([&](Db& db) -> absl::Status {
    {
      Query q(db, "SELECT count(*), sum(id = ?1), sum(alias <> '' AND alias = ?2) FROM collections",
              c.id, c.alias);
      if (q.Row() && q.Uint(0) >= kCollectionsMax) {
        return absl::ResourceExhaustedError(
            StrCat("there are ", kCollectionsMax, " collections, which is the most"));
      }
      if (q.Int(1) + q.Int(2) > 0) {
        return absl::AlreadyExistsError(
            StrCat(q.Int(1) > 0 ? "id: " : "alias: ", q.Int(1) > 0 ? c.id : c.alias,
                   " is another collection's"));
      }
      SW_TRY(q.status());
    }
    return Run(db,
               "INSERT INTO collections (id, alias, title, description, created_us) VALUES (?1, "
               "?2, ?3, ?4, ?5)",
               c.id, c.alias, c.title, c.description, c.created_us);
  }));
  return c;
}

absl::Status CollectionStore::Remove(std::string_view id) {
  return db_->Write([&](Db& db) -> absl::Status {
    auto num = NumOf(db, id);
    if (!num.ok()) return num.status();
    SW_TRY(Run(db, "DELETE FROM objects WHERE collection = ?1", *num));
    SW_TRY(Run(db, "DELETE FROM rights WHERE collection = ?1", *num));
    return Run(db, "DELETE FROM collections WHERE num = ?1", *num);
  });
}

#define SW_COLLECTION \
  "SELECT id, alias, title, description, created_us, last_added_us, objects FROM collections "

static Collection CollectionOf(const Query& q) {
  return {q.Text(0), q.Text(1), q.Text(2), q.Text(3), q.Int(4), q.Int(5), q.Uint(6)};
}

absl::StatusOr<std::vector<Collection>> CollectionStore::List() {
  std::vector<Collection> out;
  SW_TRY(db_->Read([&](Db& db) {
    Query q(db, SW_COLLECTION "ORDER BY title, id");
    while (q.Row()) out.push_back(CollectionOf(q));
    return q.status();
  }));
  return out;
}

absl::StatusOr<Collection> CollectionStore::Get(std::string_view id) {
  std::optional<Collection> out;
  SW_TRY(db_->Read([&](Db& db) {
    Query q(db, SW_COLLECTION "WHERE id = ?1 OR (alias <> '' AND alias = ?1)", id);
    if (q.Row()) out = CollectionOf(q);
    return q.status();
  }));
  if (!out) return absl::NotFoundError(StrCat("no collection ", id));
  return *std::move(out);
}

absl::Status CollectionStore::SetRight(std::string_view id, const Right& right) {
  const std::string_view s = right.subject;
  SW_TRY(CheckText("subject", s, true));
  if (s != "*" && !(s.starts_with("person:") && s.size() > 7) &&
      !(s.starts_with("role:") && s.size() > 5)) {
    return absl::InvalidArgumentError(
        StrCat("subject: ", s, ": expected person:NAME, role:NAME or *"));
  }
  return db_->Write([&](Db& db) -> absl::Status {
    auto num = NumOf(db, id);
    if (!num.ok()) return num.status();
    if (!right.read && !right.write)
      return Run(db, "DELETE FROM rights WHERE collection = ?1 AND subject = ?2", *num, s);
    {
      Query q(db, "SELECT count(*) FROM rights WHERE collection = ?1 AND subject <> ?2", *num, s);
      if (q.Row() && q.Uint(0) >= kRightsMax) {
        return absl::ResourceExhaustedError(
            StrCat("the collection has ", kRightsMax, " rights, which is the most"));
      }
      SW_TRY(q.status());
    }
    return Run(db, "INSERT OR REPLACE INTO rights VALUES (?1, ?2, ?3, ?4)", *num, s,
               int(right.read), int(right.write));
  });
}

absl::StatusOr<std::vector<Right>> CollectionStore::Rights(std::string_view id) {
  std::vector<Right> out;
  SW_TRY(db_->Read([&](Db& db) -> absl::Status {
    auto num = NumOf(db, id);
    if (!num.ok()) return num.status();
    Query q(db,
            "SELECT subject, can_read, can_write FROM rights WHERE collection = ?1 ORDER BY "
            "subject",
            *num);
    while (q.Row()) out.push_back({q.Text(0), q.Int(1) != 0, q.Int(2) != 0});
    return q.status();
  }));
  return out;
}

absl::StatusOr<Access> CollectionStore::AccessOf(std::string_view id, const Caller& caller) {
  if (caller.admin) return Access{true, true};
  auto rights = Rights(id);
  if (!rights.ok()) return rights.status();
  Access out;
  for (const Right& r : *rights) {
    const std::string_view s = r.subject;
    const bool mine = s == "*" || (s.starts_with("person:") && s.substr(7) == caller.person) ||
                      (s.starts_with("role:") && std::find(caller.roles.begin(), caller.roles.end(),
                                                           s.substr(5)) != caller.roles.end());
    if (!mine) continue;
    out.read |= r.read;
    out.write |= r.write;
  }
  return out;
}

// --- objects ---

absl::StatusOr<ObjectPage> CollectionStore::Objects(std::string_view id, const ObjectFilter& f,
                                                    size_t limit, bool json) {
  limit = std::min(limit, kPageObjects);
  ObjectPage out;
  SW_TRY(db_->Read([&](Db& db) -> absl::Status {
    auto num = NumOf(db, id);
    if (!num.ok()) return num.status();
    std::vector<Row> rows;
    // A walk in the order of dates, until there is one row more than the page takes.
    const auto walk = [&](Query q) {
      for (size_t n = 0; n <= limit && q.Row();) {
        Row row = RowOf(q);
        if (!VersionFits(f, row)) continue;
        rows.push_back(std::move(row));
        ++n;
      }
      return q.status();
    };
    if (!f.ids.empty()) {
      for (const std::string& one : f.ids) {
        const std::string_view type = std::string_view(one).substr(0, one.find("--"));
        if (!f.types.empty() && std::find(f.types.begin(), f.types.end(), type) == f.types.end())
          continue;
        SW_TRY(walk(Query(db,
                          "SELECT " SW_ROW
                          " FROM objects WHERE collection = ?1 AND id = ?2 AND added_us > ?3 ORDER "
                          "BY added_us",
                          *num, one, f.after_us)));
      }
    } else if (!f.types.empty()) {
      for (const std::string& one : f.types) {
        SW_TRY(walk(Query(db,
                          "SELECT " SW_ROW
                          " FROM objects WHERE collection = ?1 AND type = ?2 AND added_us > ?3 "
                          "ORDER BY added_us",
                          *num, one, f.after_us)));
      }
    } else {
      SW_TRY(walk(Query(db,
                        "SELECT " SW_ROW
                        " FROM objects WHERE collection = ?1 AND added_us > ?2 ORDER BY added_us",
                        *num, f.after_us)));
    }
    std::sort(rows.begin(), rows.end(),
              [](const Row& a, const Row& b) { return a.added_us < b.added_us; });
    rows.erase(std::unique(rows.begin(), rows.end(),
                           [](const Row& a, const Row& b) { return a.num == b.num; }),
               rows.end());
    size_t bytes = 0;
    for (Row& row : rows) {
      bytes += json ? row.size : 0;
      if (out.objects.size() == limit || (bytes > kPageBytes && !out.objects.empty())) {
        out.more = true;
        break;
      }
      StoredObject o{row.added_us, std::move(row.id), std::move(row.version), {}};
      if (json) {
        Query q(db, "SELECT json FROM objects WHERE num = ?1", row.num);
        if (q.Row()) o.json = q.Text(0);
        SW_TRY(q.status());
      }
      out.objects.push_back(std::move(o));
    }
    return absl::OkStatus();
  }));
  return out;
}

absl::StatusOr<bool> CollectionStore::Has(std::string_view id, std::string_view object) {
  bool out = false;
  SW_TRY(db_->Read([&](Db& db) -> absl::Status {
    auto num = NumOf(db, id);
    if (!num.ok()) return num.status();
    Query q(db, "SELECT 1 FROM objects WHERE collection = ?1 AND id = ?2 LIMIT 1", *num, object);
    out = q.Row();
    return q.status();
  }));
  return out;
}

absl::StatusOr<std::vector<PutResult>> CollectionStore::Put(
    std::string_view id, const std::vector<NewObject>& objects, std::string_view person,
    std::string_view status_id,
    const std::function<std::string(const std::vector<PutResult>&)>& status) {
  std::vector<PutResult> results;
  SW_TRY(db_->Write([&](Db& db) -> absl::Status {
    int64_t num = 0, last_added = 0;
    uint64_t have = 0;
    {
      Query q(db, "SELECT num, last_added_us, objects FROM collections WHERE id = ?1", id);
      if (!q.Row())
        return q.status().ok() ? absl::NotFoundError(StrCat("no collection ", id)) : q.status();
      num = q.Int(0), last_added = q.Int(1), have = q.Uint(2);
    }
    for (const NewObject& o : objects) {
      PutResult& r = results.emplace_back(PutResult{o.id, o.version, {}});
      if (o.json.size() > kObjectBytes) {
        r.why = StrCat(o.json.size(), " bytes; ", kObjectBytes, " is the most for an object");
        continue;
      }
      const int64_t added = std::max(options_.now_us(), last_added + 1);
      if (r.version.empty()) r.version = FormatMicros(added);
      const auto version = ParseMicros(r.version);
      if (!version) {
        r.why = StrCat("modified: ", r.version, " is no timestamp");
        continue;
      }
      const std::string hash = Hash(o.json);
      size_t versions = 0;
      bool there = false, newest = true, oldest = true;
      {
        Query q(db,
                "SELECT version_us, hash, version FROM objects WHERE collection = ?1 AND id = ?2",
                num, o.id);
        while (q.Row() && !there) {
          ++versions;
          const bool same = q.Text(1) == hash;
          newest &= q.Int(0) < *version;
          oldest &= q.Int(0) > *version;
          if (q.Int(0) != *version && !(same && o.version.empty())) continue;
          there = true;
          r.version = q.Text(2);
          if (!same) r.why = "this version is there already with other content";
        }
        SW_TRY(q.status());
      }
      if (there) continue;
      if (versions >= kVersionsMax) {
        r.why = StrCat(kVersionsMax, " versions of it are there, which is the most");
        continue;
      }
      if (have >= kObjectsMax) {
        r.why = StrCat("the collection is full (", kObjectsMax, " objects)");
        continue;
      }
      // As it comes in, so that marking all is needed only when a version is neither end.
      if (versions > 0 && newest) {
        SW_TRY(
            Run(db, "UPDATE objects SET is_last = 0 WHERE collection = ?1 AND id = ?2", num, o.id));
      }
      if (versions > 0 && oldest) {
        SW_TRY(Run(db, "UPDATE objects SET is_first = 0 WHERE collection = ?1 AND id = ?2", num,
                   o.id));
      }
      SW_TRY(Run(db,
                 "INSERT INTO objects (collection, added_us, id, type, version_us, is_first, "
                 "is_last, version, size, hash, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
                 "?10, ?11)",
                 num, added, o.id, o.type, *version, int(versions == 0 || oldest),
                 int(versions == 0 || newest), r.version, o.json.size(), Blob{hash}, o.json));
      last_added = added;
      ++have;
    }
    SW_TRY(Run(db, "UPDATE collections SET last_added_us = ?2, objects = ?3 WHERE num = ?1", num,
               last_added, have));
    SW_TRY(Run(db, "INSERT INTO statuses (id, person, json) VALUES (?1, ?2, ?3)", status_id, person,
               status(results)));
    return Run(db,
               "DELETE FROM statuses WHERE person = ?1 AND num <= (SELECT num FROM statuses WHERE "
               "person = ?1 ORDER BY num DESC LIMIT 1 OFFSET ?2)",
               person, kStatusesKept);
  }));
  return results;
}

absl::StatusOr<CollectionStore::Status> CollectionStore::GetStatus(std::string_view status_id) {
  std::optional<Status> out;
  SW_TRY(db_->Read([&](Db& db) {
    Query q(db, "SELECT person, json FROM statuses WHERE id = ?1", status_id);
    if (q.Row()) out = Status{q.Text(0), q.Text(1)};
    return q.status();
  }));
  if (!out) return absl::NotFoundError(StrCat("no status ", status_id));
  return *std::move(out);
}

absl::StatusOr<uint64_t> CollectionStore::Delete(std::string_view id, std::string_view object,
                                                 const ObjectFilter& filter) {
  ObjectFilter f = filter;
  if (!f.first && !f.last && f.versions_us.empty()) f.all = true;
  uint64_t gone = 0;
  SW_TRY(db_->Write([&](Db& db) -> absl::Status {
    auto num = NumOf(db, id);
    if (!num.ok()) return num.status();
    std::vector<int64_t> doomed;
    {
      Query q(db, "SELECT " SW_ROW " FROM objects WHERE collection = ?1 AND id = ?2", *num, object);
      while (q.Row()) {
        if (const Row row = RowOf(q); VersionFits(f, row)) doomed.push_back(row.num);
      }
      SW_TRY(q.status());
    }
    for (const int64_t row : doomed) SW_TRY(Run(db, "DELETE FROM objects WHERE num = ?1", row));
    gone = doomed.size();
    if (gone == 0) return absl::OkStatus();
    SW_TRY(Mark(db, *num, object));
    return Run(db, "UPDATE collections SET objects = objects - ?2 WHERE num = ?1", *num, gone);
  }));
  return gone;
}

}  // namespace stillwatch::share
