#include "lake/embedded/embedded_lake.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "base/str.h"
#include "lake/columns.h"
#include "lake/embedded/chdb_api.h"
#include "lake/engine_error.h"
#include "lake/migrate.h"
#include "lake/native.h"
#include "lake/report_gate.h"

namespace stillwatch::lake {
namespace {

namespace fs = std::filesystem;
using base::StrCat;

// Settings of every table, which an older server would refuse, so they are no part of the schema.
// The parts that a merge replaced stay for eight minutes by default, which would hold every row
// twice; they may go sooner once the merged one is safe on disk, and not before. A scan inserts large
// blocks: a merge brings an account's rows together, which saves a sixth of the bytes, and a merge of
// a few of them is repeated by the next. So there is none below six parts of a size.
constexpr std::string_view kTableSettings[] = {"old_parts_lifetime = 5", "min_rows_to_fsync_after_merge = 1",
                                               "min_parts_to_merge_at_once = 6"};
// Rows are merged again each time there is six times as much. A table into which one process writes
// millions, in large blocks, has its parts merged many at a time instead, until it is opened again:
// of 5 million exchanges that saved 1 microsecond of CPU each, and more of more of them.
constexpr std::string_view kManyRowsSetting = "min_parts_to_merge_at_once = 32";
constexpr size_t kLargeBlock = kInsertRows / 2;

// What the engine makes at the top of its directory, in the order of removal: `data` has the names
// of tables, by which a lake is known, and goes last.
constexpr std::string_view kEngineEntries[] = {"store",    "tmp",    "metadata_dropped",
                                               "metadata", "status", "data"};

// The engine knows one data path per process, and connects one at a time here: connecting from
// several threads at once has crashed it.
struct Process {
  std::mutex mutex;
  std::string path;  // guarded by mutex, like all here
  int lakes = 0;
};
Process& ThisProcess() {
  static Process process;
  return process;
}

absl::Status CheckDirectory(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::exists(status) && !fs::is_directory(status)) {
    return absl::FailedPreconditionError(StrCat("lake: ", path, " is a file; name a folder"));
  }
  error.clear();
  fs::create_directories(path, error);
  if (error) {
    return absl::FailedPreconditionError(StrCat("lake: ", path, " cannot be made: ", error.message()));
  }
  if (access(path.c_str(), R_OK | W_OK | X_OK) != 0) {
    return absl::FailedPreconditionError(StrCat("lake: ", path, " cannot be written: ", std::strerror(errno)));
  }
  // A folder with anything else in it is somebody's.
  std::string foreign;
  bool store = false;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    store |= name == "store";
    if (std::find(std::begin(kEngineEntries), std::end(kEngineEntries), name) == std::end(kEngineEntries)) foreign = name;
  }
  if (error) return absl::FailedPreconditionError(StrCat("lake: ", path, " cannot be read: ", error.message()));
  if (!foreign.empty() && !store) {
    return absl::FailedPreconditionError(
        StrCat("lake: ", path, " is no lake: it holds ", foreign, "; name an empty or new folder"));
  }
  return absl::OkStatus();
}

// The engine locks its file `status`; who holds it is written there.
absl::Status CheckLock(const std::string& path) {
  const std::string file = path + "/status";
  const int fd = open(file.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return absl::OkStatus();
  const bool held = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(fd);
  if (!held) return absl::OkStatus();
  std::ifstream in(file);
  std::string word, pid;
  if (!(in >> word >> pid) || word != "PID:") pid.clear();
  return absl::UnavailableError(StrCat("lake: ", path, " is in use by another process",
                                       pid.empty() ? "" : " (process ", pid, pid.empty() ? "" : ")",
                                       "; wait for it, or name another folder"));
}

class EmbeddedLake : public Lake {
 public:
  EmbeddedLake(const ChdbApi& api, EmbeddedOptions options) : api_(api), options_(std::move(options)) {}

  ~EmbeddedLake() override {
    Process& process = ThisProcess();
    const std::lock_guard<std::mutex> lock(process.mutex);
    for (ChdbConnection* c : idle_) api_.close(c);
    if (root_ != nullptr) {
      api_.close(root_);
      --process.lakes;
    }
  }

  // The first connection is kept for life: the engine shuts down with its last one.
  absl::Status Open() {
    Process& process = ThisProcess();
    const std::lock_guard<std::mutex> lock(process.mutex);
    if (process.lakes > 0 && process.path != options_.path) {
      return absl::FailedPreconditionError(StrCat("lake: ", options_.path, " cannot be opened while this process has ",
                                                  process.path, " open; close that first"));
    }
    if (process.lakes == 0) {
      if (absl::Status s = CheckLock(options_.path); !s.ok()) return s;
    }
    root_ = ConnectLocked({});
    if (root_ == nullptr) {
      absl::Status held = CheckLock(options_.path);  // taken since
      if (!held.ok() && process.lakes == 0) return held;
      return absl::UnavailableError(
          StrCat("lake: ", options_.path, " cannot be opened by the engine: its files are damaged, unreadable or not a lake"));
    }
    process.path = options_.path;
    ++process.lakes;
    return absl::OkStatus();
  }

  absl::Status Migrate() override {
    if (absl::Status s = MigrateSchema(*this, options_.path, kSchemaFiles); !s.ok()) return s;
    std::string missing = "0", all;
    for (const std::string_view setting : kTableSettings) {
      base::StrAppend(&missing, " OR position(create_table_query, ", SqlString(setting), ") = 0");
      base::StrAppend(&all, all.empty() ? "" : ", ", setting);
    }
    std::vector<std::string> tables;
    absl::Status status = Query(
        StrCat("SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND (",
               missing, ") ORDER BY name"),
        [&](const Block& b) {
          for (size_t i = 0; i < b.rows(); ++i) tables.emplace_back(b.columns[0].As<StringColumn>()[i]);
          return absl::OkStatus();
        });
    for (const std::string& table : tables) {
      if (status.ok())
        status = Execute(StrCat("ALTER TABLE ", SqlName(table), " MODIFY SETTING ", all));
    }
    return status;
  }

  absl::Status Insert(std::string_view table, const Block& block) override {
    if (block.rows() > kInsertRowsMax) {
      return absl::InvalidArgumentError(
          StrCat("lake: ", block.rows(), " rows in one insert; at most ", kInsertRowsMax, " are stored whole"));
    }
    if (absl::Status s = CheckShape(block); !s.ok()) return s;
    if (absl::Status s = columns_.Check(*this, table, block).status(); !s.ok()) return s;
    if (block.rows() == 0) return absl::OkStatus();
    std::string sql = StrCat("INSERT INTO ", SqlName(table), " (");
    for (size_t i = 0; i < block.columns.size(); ++i) {
      base::StrAppend(&sql, i == 0 ? "" : ", ", SqlName(block.columns[i].name));
    }
    sql += ")";
    auto connection = Take();
    if (!connection.ok()) return connection.status();
    const std::string what = StrCat("insert into ", table);
    ChdbInsert* stream = api_.insert(**connection, sql.data(), sql.size(), kNative.data(), kNative.size());
    absl::Status status;
    if (const char* error = api_.insert_error(stream); error != nullptr) {
      status = EngineError(what, error, absl::StatusCode::kInternal);
    } else {
      // One Native block whatever the pieces: it is read whole before anything is stored.
      std::string bytes;
      EncodeNativeHead(block, &bytes);
      bool open = true;
      for (size_t i = 0; open && i < block.columns.size(); ++i) {
        EncodeNativeColumn(block.columns[i], &bytes);
        open = api_.append(stream, bytes.data(), bytes.size()) == 0;
        bytes.clear();
      }
      ChdbResult* result = api_.done(stream);
      const char* failed = result == nullptr ? "the engine gave no answer" : api_.error(result);
      if (failed != nullptr) status = EngineError(what, failed, absl::StatusCode::kInternal);
      else if (!open) status = absl::InternalError(StrCat("lake: ", what, ": the engine refused a part of the block"));
      if (result != nullptr) api_.destroy_result(result);
    }
    api_.destroy_insert(stream);
    Return(*connection, status.ok());
    if (!status.ok() || !BecameMany(table, block.rows())) return status;
    return Execute(StrCat("ALTER TABLE ", SqlName(table), " MODIFY SETTING ", kManyRowsSetting));
  }

  absl::Status Query(std::string_view sql,
                     const std::function<absl::Status(const Block&)>& on_block) override {
    auto connection = Take();
    if (!connection.ok()) return connection.status();
    ChdbResult* stream = api_.stream(**connection, sql.data(), sql.size(), kNative.data(), kNative.size());
    absl::Status status;
    if (stream == nullptr) {
      status = absl::InternalError("lake: query: the engine gave no answer");
    } else if (const char* error = api_.error(stream); error != nullptr) {
      status = EngineError("query", error);
    }
    for (bool end = false; status.ok() && !end;) {
      ChdbResult* chunk = api_.fetch(**connection, stream);
      if (chunk == nullptr) {
        status = absl::InternalError("lake: query: the engine broke the result off");
        break;
      }
      if (const char* error = api_.error(chunk); error != nullptr) status = EngineError("query", error);
      std::string_view bytes;
      if (status.ok() && api_.length(chunk) > 0) bytes = {api_.buffer(chunk), api_.length(chunk)};
      end = bytes.empty();
      while (status.ok() && !bytes.empty()) {
        auto block = DecodeNative(&bytes);
        if (!block.ok()) status = block.status();
        else if (block->rows() > 0) status = on_block(*block);
      }
      api_.destroy_result(chunk);
    }
    if (stream != nullptr) {
      if (!status.ok()) api_.cancel(**connection, stream);
      api_.destroy_result(stream);
    }
    Return(*connection, status.ok());
    return status;
  }

  absl::Status Execute(std::string_view sql) override {
    columns_.Forget();  // it may change a table
    auto connection = Take();
    if (!connection.ok()) return connection.status();
    const absl::Status status = Run(*connection, sql, "statement", kNative).status();
    Return(*connection, status.ok());
    return status;
  }

  using Lake::Report;
  absl::StatusOr<std::string> Report(std::string_view sql, std::string_view format,
                                     const ReportBounds& bounds) override {
    if (absl::Status s = CheckReportStart(sql); !s.ok()) return s;
    // A connection of its own, in the engine's readonly mode, which no statement can leave.
    auto connection = Connect(
        {"--readonly=1", StrCat("--max_execution_time=", bounds.seconds),
         StrCat("--max_result_rows=", bounds.rows), StrCat("--max_result_bytes=", bounds.bytes),
         bounds.cut ? "--result_overflow_mode=break" : "--result_overflow_mode=throw"});
    if (!connection.ok()) return connection.status();
    absl::StatusOr<std::string> out = ReportOn(*connection, sql, format);
    Close(*connection);
    return out;
  }

 private:
  static constexpr std::string_view kNative = "Native";

  // Once for each table.
  bool BecameMany(std::string_view table, size_t rows) {
    if (rows < kLargeBlock) return false;
    const std::lock_guard<std::mutex> lock(written_mutex_);
    uint64_t& written = written_[std::string(table)];
    written += rows;
    return written >= options_.many_rows && written - rows < options_.many_rows;
  }

  absl::StatusOr<std::string> ReportOn(ChdbConnection* connection, std::string_view sql, std::string_view format) {
    ChdbAnalysis analysis = {};
    analysis.struct_size = sizeof(analysis);
    if (api_.classify(*connection, sql.data(), sql.size(), nullptr, 0, &analysis) != 0) {
      return absl::InternalError("lake: query: the engine could not read the statement");
    }
    if (analysis.statement_count > 1) return absl::InvalidArgumentError("query: one statement at a time");
    if (analysis.statement_count == 1 && analysis.query_class != kChdbReadOnly) {
      return absl::InvalidArgumentError("query: the lake is read-only here: this statement writes or changes something");
    }
    // Also what says why a statement does not parse.
    auto tree = Run(connection, StrCat("EXPLAIN AST\n", sql), "query", "TSVRaw");
    if (!tree.ok()) return tree.status();
    if (analysis.statement_count != 1) return absl::InvalidArgumentError("query: not a statement that the engine reads");
    auto names = Run(connection, "SELECT lower(name) FROM system.table_functions", "query", "TSVRaw");
    if (!names.ok()) return names.status();
    std::set<std::string> table_functions;
    for (size_t at = 0; at < names->size();) {
      const size_t eol = std::min(names->find('\n', at), names->size());
      table_functions.insert(names->substr(at, eol - at));
      at = eol + 1;
    }
    if (absl::Status s = CheckReportTree(*tree, table_functions); !s.ok()) return s;
    return Run(connection, sql, "query", format);
  }

  ChdbConnection* ConnectLocked(const std::vector<std::string>& more) {
    std::vector<std::string> args = {
        "clickhouse", StrCat("--path=", options_.path), StrCat("--max_threads=", options_.threads),
        StrCat("--max_memory_usage=", options_.memory_max_bytes),
        StrCat("--max_bytes_before_external_group_by=", options_.memory_max_bytes / 2),
        StrCat("--max_bytes_before_external_sort=", options_.memory_max_bytes / 2),
        // Collapsing duplicates already in the block would take half of an insert's time; reading
        // collapses them anyway.
        "--optimize_on_insert=0",
        // It would write to stderr: where no cgroup says how much memory is in use, and on a terminal.
        "--memory_worker_use_cgroup=0", "--logger.console=0"};
    args.insert(args.end(), more.begin(), more.end());
    std::vector<char*> argv;
    for (std::string& a : args) argv.push_back(a.data());
    ChdbConnection* c = api_.connect(static_cast<int>(argv.size()), argv.data());
    if (c != nullptr && *c == nullptr) {
      api_.close(c);
      c = nullptr;
    }
    return c;
  }

  absl::StatusOr<ChdbConnection*> Connect(const std::vector<std::string>& more) {
    const std::lock_guard<std::mutex> lock(ThisProcess().mutex);
    ChdbConnection* c = ConnectLocked(more);
    if (c == nullptr) return absl::InternalError(StrCat("lake: ", options_.path, ": the engine refused a further connection"));
    return c;
  }

  void Close(ChdbConnection* c) {
    const std::lock_guard<std::mutex> lock(ThisProcess().mutex);
    api_.close(c);
  }

  // Settings belong to a connection, and so does what a failed statement leaves behind.
  absl::StatusOr<ChdbConnection*> Take() {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      free_.wait(lock, [&] { return taken_ < kEmbeddedConnectionsMax; });
      ++taken_;
      if (!idle_.empty()) {
        ChdbConnection* c = idle_.back();
        idle_.pop_back();
        return c;
      }
    }
    auto c = Connect({});
    if (!c.ok()) {
      const std::lock_guard<std::mutex> lock(mutex_);
      --taken_;
      free_.notify_one();
    }
    return c;
  }

  // After an error the engine may put the rest of that result in front of the connection's next
  // one, so the connection goes.
  void Return(ChdbConnection* c, bool good) {
    if (!good) Close(c);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (good) idle_.push_back(c);
    --taken_;
    free_.notify_one();
  }

  absl::StatusOr<std::string> Run(ChdbConnection* connection, std::string_view sql, std::string_view what,
                                  std::string_view format) {
    ChdbResult* r = api_.query(*connection, sql.data(), sql.size(), format.data(), format.size());
    if (r == nullptr) return absl::InternalError(StrCat("lake: ", what, ": the engine gave no answer"));
    std::string out;
    absl::Status status;
    if (const char* error = api_.error(r); error != nullptr) status = EngineError(what, error);
    else if (api_.length(r) > 0) out.assign(api_.buffer(r), api_.length(r));
    api_.destroy_result(r);
    if (!status.ok()) return status;
    return out;
  }

  const ChdbApi& api_;
  const EmbeddedOptions options_;
  ChdbConnection* root_ = nullptr;
  std::mutex mutex_;
  std::condition_variable free_;
  int taken_ = 0;                      // guarded by mutex_, like all below
  std::vector<ChdbConnection*> idle_;
  KnownColumns columns_;
  std::mutex written_mutex_;
  std::map<std::string, uint64_t, std::less<>> written_;  // rows of large blocks, by table
};

}  // namespace

absl::StatusOr<std::unique_ptr<Lake>> OpenEmbedded(const EmbeddedOptions& options) {
  if (options.path.empty()) return absl::InvalidArgumentError("lake: the folder's name is empty");
  if (absl::Status s = CheckDirectory(options.path); !s.ok()) return s;
  EmbeddedOptions absolute = options;
  std::error_code error;
  const fs::path canonical = fs::canonical(options.path, error);
  if (error) return absl::FailedPreconditionError(StrCat("lake: ", options.path, ": ", error.message()));
  absolute.path = canonical.string();
  absolute.threads = std::max(1, options.threads);
  auto api = LoadChdb();
  if (!api.ok()) return api.status();
  auto lake = std::make_unique<EmbeddedLake>(**api, absolute);
  if (absl::Status s = lake->Open(); !s.ok()) return s;
  return lake;
}

absl::Status DropEmbedded(const std::string& path) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(path + "/data/default/schema_version", error))) {
    return absl::NotFoundError(StrCat("lake: ", path, " is no lake; nothing was removed"));
  }
  if (absl::Status s = CheckLock(path); !s.ok()) return s;
  for (const std::string_view entry : kEngineEntries) {
    fs::remove_all(fs::path(path) / entry, error);
    if (error) {
      return absl::FailedPreconditionError(StrCat("lake: ", path, "/", entry,
                                                  " cannot be removed: ", error.message(),
                                                  "; what is left can be dropped again"));
    }
  }
  fs::remove(path, error);  // only when nothing else is in it
  return absl::OkStatus();
}

}  // namespace stillwatch::lake
