// Collections of STIX objects, as a TAXII 2.1 server keeps them: versions of objects in the order
// of their arrival, and who may read and add. One SQLite database (WAL, synced at each commit) in a
// folder; several processes may have it open.
//
// Every object of a collection has a date of its own (microseconds, strictly rising in the order of
// commits), so "added after" never skips or repeats one, whoever writes meanwhile. A page is a walk
// along an index from there (never an offset): the last page of 100,000 objects costs what the
// first does.
//
// Errors, all with one sentence for people: InvalidArgument (which field), NotFound, AlreadyExists,
// ResourceExhausted (a bound below), Unavailable (the disk said no; nothing was changed),
// FailedPrecondition (the database is newer than this program, or not ours).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stillwatch::state {
class Database;
}

namespace stillwatch::share {

inline constexpr size_t kCollectionsMax = 1000;
inline constexpr size_t kRightsMax = 1000;          // of one collection
inline constexpr size_t kTitleBytes = 4096;         // titles, descriptions
inline constexpr uint64_t kObjectsMax = 2'000'000;  // of one collection, versions counted
inline constexpr size_t kObjectBytes = 4 << 20;     // of one object
inline constexpr size_t kVersionsMax = 1000;        // of one object
inline constexpr size_t kStatusesKept = 100;        // of one person; older ones go
inline constexpr size_t kPageObjects = 1000;        // asked for or not
inline constexpr size_t kPageBytes = 16u << 20;     // of a page's objects; at least one comes

struct Collection {
  std::string id;     // a UUID
  std::string alias;  // another name in URLs, [a-z0-9-]; may be empty
  std::string title, description;
  int64_t created_us = 0, last_added_us = 0;
  uint64_t objects = 0;  // versions
};

// `subject`: "person:NAME" (of a token), "role:NAME", or "*", any token that may use TAXII at all.
struct Right {
  std::string subject;
  bool read = false, write = false;
};
struct Access {
  bool read = false, write = false;
  bool any() const { return read || write; }
};
struct Caller {
  std::string person;
  std::vector<std::string> roles;
  bool admin = false;  // reads and writes all
};

// Which objects. Conditions hold together; the values of one are alternatives.
struct ObjectFilter {
  int64_t after_us = INT64_MIN;  // added later than this
  std::vector<std::string> ids, types;
  // Of each object's versions. All unset: the last.
  bool first = false, last = false, all = false;
  std::vector<int64_t> versions_us;
};

struct StoredObject {
  int64_t added_us = 0;
  std::string id, version;
  std::string json;  // as it was given
};
struct ObjectPage {
  std::vector<StoredObject> objects;  // by added_us
  bool more = false;
};

// What a client posted: an object that has been checked already.
struct NewObject {
  std::string id, type;
  std::string version;  // `modified`, else `created`, else empty: the time of its arrival is taken
  std::string json;
};
// The fate of one posted object; `why` is empty when it is there now.
struct PutResult {
  std::string id, version, why;
};

struct StoreOptions {
  std::string dir;                  // made when it is missing
  std::function<int64_t()> now_us;  // required
};

// Safe for concurrent use. Writers queue behind one another, readers do not wait for them.
class CollectionStore {
 public:
  static absl::StatusOr<std::unique_ptr<CollectionStore>> Open(StoreOptions options);
  ~CollectionStore();
  CollectionStore(const CollectionStore&) = delete;
  CollectionStore& operator=(const CollectionStore&) = delete;

  // With a new id where it has none.
  absl::StatusOr<Collection> Add(Collection collection);
  absl::Status Remove(std::string_view id);        // with its objects
  absl::StatusOr<std::vector<Collection>> List();  // by title, then id
  absl::StatusOr<Collection> Get(std::string_view id_or_alias);

  // Neither read nor write takes the right away.
  absl::Status SetRight(std::string_view id, const Right& right);
  absl::StatusOr<std::vector<Right>> Rights(std::string_view id);
  absl::StatusOr<Access> AccessOf(std::string_view id, const Caller& caller);

  // Objects by date added; `limit` is cut to kPageObjects. Without their text where `json` is
  // unset.
  absl::StatusOr<ObjectPage> Objects(std::string_view id, const ObjectFilter& filter, size_t limit,
                                     bool json);
  // False when no version of it is there.
  absl::StatusOr<bool> Has(std::string_view id, std::string_view object);

  // All that is taken is taken in one transaction, with the text that `status` makes of the results
  // under `status_id`; a version that is there already with the same content is a success and keeps
  // its date. Nothing is taken when this fails.
  absl::StatusOr<std::vector<PutResult>> Put(
      std::string_view id, const std::vector<NewObject>& objects, std::string_view person,
      std::string_view status_id,
      const std::function<std::string(const std::vector<PutResult>&)>& status);
  struct Status {
    std::string person, json;
  };
  absl::StatusOr<Status> GetStatus(std::string_view status_id);

  // Versions of one object that `filter` lets through (nothing said: all). How many went.
  absl::StatusOr<uint64_t> Delete(std::string_view id, std::string_view object,
                                  const ObjectFilter& filter);

 private:
  explicit CollectionStore(StoreOptions options);
  absl::Status Init();

  const StoreOptions options_;
  std::unique_ptr<state::Database> db_;
};

// A random UUID (version 4), lower case.
std::string NewUuid();
// 8-4-4-4-12 hexadecimal digits.
bool IsUuid(std::string_view text);

}  // namespace stillwatch::share
