#include "state/database.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/str.h"

namespace stillwatch::state {

using base::StrCat;

absl::Status MakeStoreFolder(const std::string& who, const std::string& dir) {
  if (std::filesystem::is_directory(dir)) return absl::OkStatus();
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (error) {
    return absl::InvalidArgumentError(
        StrCat(who, ": ", dir, ": cannot be made: ", error.message()));
  }
  chmod(dir.c_str(), 0700);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& who,
                                                         const std::string& dir,
                                                         const std::string& file,
                                                         int64_t application,
                                                         const base::EmbeddedFile* schema) {
  const std::string path = dir + "/" + file;
  // Made by us, so that nobody else can read it; SQLite gives its journal the same mode.
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return absl::UnavailableError(StrCat(who, ": ", path, ": ", std::strerror(errno)));
  close(fd);
  std::unique_ptr<Database> out(new Database());
  auto writer = Db::Open(path);
  if (!writer.ok()) return writer.status();
  out->writer_ = *std::move(writer);
  absl::Status s =
      out->Write([&](Db& db) { return Migrate(db, who, dir, file, application, schema); });
  if (!s.ok()) return s;
  for (int i = 0; i < kReaders; ++i) {
    auto reader = Db::Open(path);
    if (!reader.ok()) return reader.status();
    s = (*reader)->Script("PRAGMA query_only = ON");
    if (!s.ok()) return s;
    out->pool_.push_back(*std::move(reader));
  }
  return out;
}

absl::Status Database::Write(const std::function<absl::Status(Db&)>& change,
                             const std::function<void(const absl::Status&)>& undone) {
  const std::lock_guard lock(write_mutex_);
  absl::Status s = writer_->Script("BEGIN IMMEDIATE");
  if (!s.ok()) return s;
  s = change(*writer_);
  if (s.ok()) {
    s = writer_->Script("COMMIT");
    if (!s.ok() && undone) undone(s);
  }
  if (!s.ok()) writer_->Script("ROLLBACK").IgnoreError();
  return s;
}

absl::Status Database::Read(const std::function<absl::Status(Db&)>& read) {
  std::unique_ptr<Db> db;
  {
    std::unique_lock lock(pool_mutex_);
    pool_free_.wait(lock, [&] { return !pool_.empty(); });
    db = std::move(pool_.back());
    pool_.pop_back();
  }
  absl::Status s = db->Script("BEGIN");
  if (s.ok()) {
    s = read(*db);
    db->Script("ROLLBACK").IgnoreError();
  }
  {
    const std::lock_guard lock(pool_mutex_);
    pool_.push_back(std::move(db));
  }
  pool_free_.notify_one();
  return s;
}

}  // namespace stillwatch::state
