// The database of one of Stillwatch's stores: a file that its owner alone can read, one connection
// that writes and kReaders that read beside it. For src/state and share/collections.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "state/sqlite.h"

namespace stillwatch::state {

inline constexpr int kReaders = 4;  // connections

// Makes DIR, for its owner alone, where it is not there.
absl::Status MakeStoreFolder(const std::string& who, const std::string& dir);

// Thread-safe.
class Database {
 public:
  // DIR/FILE, whose folder is there, brought to the last of `schema` (Migrate, state/sqlite.h).
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& who,
                                                        const std::string& dir,
                                                        const std::string& file,
                                                        int64_t application,
                                                        const base::EmbeddedFile* schema);

  // A change within a transaction: all of it or nothing. One at a time, also among processes.
  // `undone`, where it is given, hears why `change` was good and its commit was not; it is still
  // alone then.
  absl::Status Write(const std::function<absl::Status(Db&)>& change,
                     const std::function<void(const absl::Status&)>& undone = nullptr);
  // Reads as of one moment. Waits while all connections are in use.
  absl::Status Read(const std::function<absl::Status(Db&)>& read);

 private:
  Database() = default;
  std::mutex write_mutex_;
  std::unique_ptr<Db> writer_;
  std::mutex pool_mutex_;
  std::condition_variable pool_free_;
  std::vector<std::unique_ptr<Db>> pool_;
};

}  // namespace stillwatch::state
