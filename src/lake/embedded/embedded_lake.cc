#include "lake/embedded/embedded_lake.h"

#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <set>

#include "base/str.h"
#include "base/embedded_file.h"
#include "lake/native.h"

namespace stillwatch::lake {

extern const base::EmbeddedFile kSchemaFiles[];

namespace {

// chDB's C interface (26.7), as far as it is used here.
struct chdb_result;
using Connection = void*;
struct Api {
  Connection* (*connect)(int, char**);
  void (*close)(Connection*);
  chdb_result* (*query)(Connection, const char*, size_t, const char*, size_t);
  chdb_result* (*stream)(Connection, const char*, size_t, const char*, size_t);
  chdb_result* (*fetch)(Connection, chdb_result*);
  void (*cancel)(Connection, chdb_result*);
  void (*destroy)(chdb_result*);
  char* (*buffer)(chdb_result*);
  size_t (*length)(chdb_result*);
  const char* (*error)(chdb_result*);
  void (*signals)(int);
  void* (*insert)(Connection, const char*, size_t, const char*, size_t);
  int (*append)(void*, const void*, size_t);
  chdb_result* (*done)(void*);
  const char* (*insert_error)(void*);
  void (*destroy_insert)(void*);
};

absl::StatusOr<const Api*> LoadApi() {
  static std::mutex mutex;
  static Api api;
  static bool loaded = false;
  const std::lock_guard<std::mutex> lock(mutex);
  if (loaded) return &api;
  std::vector<std::string> places;
  if (const char* env = std::getenv("STILLWATCH_CHDB")) places.push_back(env);
  std::error_code ignored;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  places.push_back((self.parent_path() / "libchdb.so").string());
  places.push_back(STILLWATCH_CHDB_DIR "/libchdb.so");
  void* handle = nullptr;
  std::string why;
  for (const std::string& place : places) {
    // RTLD_LOCAL | RTLD_DEEPBIND: neither its symbols nor ours are mistaken for the other's.
    handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle != nullptr) break;
    const char* error = dlerror();
    why = error == nullptr ? "" : error;
  }
  if (handle == nullptr) {
    return absl::FailedPreconditionError(base::StrCat(
        "lake: the embedded engine libchdb.so cannot be loaded (", why,
        "); run `make setup`, or set STILLWATCH_CHDB to the file"));
  }
  const auto find = [&](const char* name, auto* function) {
    *function = reinterpret_cast<std::decay_t<decltype(*function)>>(dlsym(handle, name));
    return *function != nullptr;
  };
  if (!find("chdb_connect", &api.connect) || !find("chdb_close_conn", &api.close) ||
      !find("chdb_query_n", &api.query) || !find("chdb_stream_query_n", &api.stream) ||
      !find("chdb_stream_fetch_result", &api.fetch) ||
      !find("chdb_stream_cancel_query", &api.cancel) ||
      !find("chdb_destroy_query_result", &api.destroy) || !find("chdb_result_buffer", &api.buffer) ||
      !find("chdb_result_length", &api.length) || !find("chdb_result_error", &api.error) ||
      !find("chdb_set_signal_handlers_enabled", &api.signals) ||
      !find("chdb_stream_insert_n", &api.insert) || !find("chdb_stream_append", &api.append) ||
      !find("chdb_stream_done", &api.done) || !find("chdb_stream_insert_error", &api.insert_error) ||
      !find("chdb_destroy_insert_stream", &api.destroy_insert)) {
    return absl::FailedPreconditionError(
        "lake: libchdb.so is of another version; the lock file names the one that fits");
  }
  api.signals(0);
  loaded = true;
  return &api;
}

// The first sentence of an engine error, without its version tail.
std::string Short(std::string_view error) {
  const size_t end = error.find(" (version ");
  if (end != std::string_view::npos) error = error.substr(0, end);
  return std::string(error.substr(0, 2000));
}

absl::Status EngineError(std::string_view what, std::string_view error) {
  const std::string text = base::StrCat("lake: ", what, ": ", Short(error));
  if (error.find("Code: 243") != std::string_view::npos ||
      error.find("No space left") != std::string_view::npos) {
    return absl::ResourceExhaustedError(base::StrCat(text, " (the disk is full: free space and run again)"));
  }
  return absl::InvalidArgumentError(text);
}

class EmbeddedLake : public Lake {
 public:
  EmbeddedLake(const Api& api, EmbeddedOptions options) : api_(api), options_(std::move(options)) {}
  ~EmbeddedLake() override {
    for (Connection* c : idle_) api_.close(c);
    if (root_ != nullptr) api_.close(root_);
  }

  absl::Status Open() {
    auto first = Connect();
    if (!first.ok()) return first.status();
    root_ = *first;  // kept for life: the engine shuts down with its last connection
    return absl::OkStatus();
  }

  absl::Status Migrate() override {
    if (absl::Status s = Execute("CREATE TABLE IF NOT EXISTS schema_version (version UInt32, applied UInt8) "
                                 "ENGINE = MergeTree ORDER BY version");
        !s.ok()) {
      return s;
    }
    uint32_t have = 0;
    uint64_t tables = 0;
    const auto number = [](auto* out) {
      return [out](const Block& b) {
        if (b.rows() > 0) *out = b.columns[0].As<std::vector<std::decay_t<decltype(*out)>>>()[0];
        return absl::OkStatus();
      };
    };
    if (absl::Status s = Query("SELECT max(version) FROM schema_version", number(&have)); !s.ok()) return s;
    if (absl::Status s = Query("SELECT count() FROM system.tables WHERE database = currentDatabase() AND "
                               "name = 'exchanges'", number(&tables)); !s.ok()) {
      return s;
    }
    const bool foreign = tables > 0 && have == 0;
    if (foreign) {
      return absl::FailedPreconditionError(base::StrCat(
          "lake: ", options_.path, " holds a table `exchanges` that another program made; name another folder"));
    }
    uint32_t newest = 0;
    for (const base::EmbeddedFile* f = kSchemaFiles; !f->name.empty(); ++f) {
      const uint32_t version = static_cast<uint32_t>(std::atoi(std::string(f->name).c_str()));
      newest = std::max(newest, version);
      if (version <= have) continue;
      std::string statement;
      std::string_view rest = f->text;
      while (!rest.empty()) {
        const size_t eol = std::min(rest.find('\n'), rest.size());
        const std::string_view line = rest.substr(0, eol);
        if (line == ";") {
          if (absl::Status s = Execute(statement); !s.ok()) return s;
          statement.clear();
        } else {
          base::StrAppend(&statement, line, "\n");
        }
        rest.remove_prefix(std::min(rest.size(), eol + 1));
      }
      // As a block: an INSERT statement would make the engine look at this process's stdin.
      const Block applied{{{"version", std::vector<uint32_t>{version}}, {"applied", std::vector<uint8_t>{1}}}};
      if (absl::Status s = Insert("schema_version", applied); !s.ok()) return s;
    }
    if (have > newest) {
      return absl::FailedPreconditionError(base::StrCat(
          "lake: ", options_.path, " was written by a newer Stillwatch (schema ", have, ", this one knows ", newest,
          "); update the program or name another folder"));
    }
    // Old parts go soon after a merge: the disk need not hold them twice for eight minutes.
    return Execute("ALTER TABLE exchanges MODIFY SETTING old_parts_lifetime = 5");
  }

  absl::Status Insert(std::string_view table, const Block& block) override {
    if (block.rows() == 0) return absl::OkStatus();
    if (block.rows() > kInsertRowsMax) {
      return absl::InvalidArgumentError(base::StrCat("lake: ", block.rows(), " rows in one insert; at most ",
                                                     kInsertRowsMax, " are stored whole"));
    }
    if (absl::Status s = CheckColumns(table, block); !s.ok()) return s;
    std::string sql = base::StrCat("INSERT INTO ", table, " (");
    for (size_t i = 0; i < block.columns.size(); ++i) {
      base::StrAppend(&sql, i == 0 ? "" : ", ", block.columns[i].name);
    }
    sql += ")";
    std::string bytes;
    EncodeNative(block, &bytes);
    auto connection = Take();
    if (!connection.ok()) return connection.status();
    static constexpr std::string_view kFormat = "Native";
    void* stream = api_.insert(**connection, sql.data(), sql.size(), kFormat.data(), kFormat.size());
    absl::Status status;
    if (const char* error = api_.insert_error(stream); error != nullptr) {
      status = EngineError(base::StrCat("insert into ", table), error);
    } else {
      (void)api_.append(stream, bytes.data(), bytes.size());
      // The answer to `done` is the acknowledgement; it carries an earlier append's error too.
      chdb_result* result = api_.done(stream);
      const char* failed = result == nullptr ? "no answer" : api_.error(result);
      if (failed != nullptr) status = EngineError(base::StrCat("insert into ", table), failed);
      if (result != nullptr) api_.destroy(result);
    }
    api_.destroy_insert(stream);
    if (status.ok()) Give(*connection);
    else api_.close(*connection);
    return status;
  }

  absl::Status Query(std::string_view sql,
                     const std::function<absl::Status(const Block&)>& on_block) override {
    auto connection = Take();
    if (!connection.ok()) return connection.status();
    static constexpr std::string_view kFormat = "Native";
    chdb_result* stream = api_.stream(**connection, sql.data(), sql.size(), kFormat.data(), kFormat.size());
    absl::Status status;
    if (stream == nullptr) {
      api_.close(*connection);
      return absl::InternalError("lake: the engine gave no result");
    }
    if (const char* error = api_.error(stream); error != nullptr) status = EngineError("query", error);
    while (status.ok()) {
      chdb_result* chunk = api_.fetch(**connection, stream);
      if (chunk == nullptr) break;
      if (const char* error = api_.error(chunk); error != nullptr) {
        status = EngineError("query", error);
      }
      std::string_view bytes(api_.buffer(chunk), api_.length(chunk));
      const bool end = bytes.empty();
      while (status.ok() && !bytes.empty()) {
        auto block = DecodeNative(&bytes);
        if (!block.ok()) {
          status = block.status();
        } else if (block->rows() > 0) {
          status = on_block(*block);
        }
      }
      api_.destroy(chunk);
      if (end) break;
    }
    if (!status.ok()) api_.cancel(**connection, stream);
    api_.destroy(stream);
    // After an error the engine may prepend the rest of this result to the next one.
    if (status.ok()) Give(*connection);
    else api_.close(*connection);
    return status;
  }

  absl::Status Execute(std::string_view sql) override { return Run(sql, "statement").status(); }

  absl::StatusOr<std::string> Report(std::string_view sql, std::string_view format) override {
    std::string text(sql);
    while (!text.empty() && (std::isspace(static_cast<unsigned char>(text.back())) || text.back() == ';')) text.pop_back();
    // Only one reading statement, and only over the lake: the wrapper is a subquery, so that a
    // statement that is not a SELECT does not parse; functions that reach outside are refused.
    std::string lower = text;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
    size_t at = 0;
    while (at < lower.size() && (std::isspace(static_cast<unsigned char>(lower[at])) || lower[at] == '(')) ++at;
    const std::string_view head = std::string_view(lower).substr(at);
    const bool reads = head.rfind("select", 0) == 0 || head.rfind("with", 0) == 0 || head.rfind("show", 0) == 0 ||
                       head.rfind("describe", 0) == 0 || head.rfind("explain", 0) == 0;
    if (!reads) return absl::InvalidArgumentError("query: only SELECT, WITH, SHOW, DESCRIBE and EXPLAIN; the lake is read-only here");
    static const std::set<std::string> kOutside = {
        "file", "url", "s3", "s3cluster", "gcs", "hdfs", "remote", "remotesecure", "mysql", "postgresql", "mongodb",
        "redis", "sqlite", "odbc", "jdbc", "executable", "input", "azureblobstorage", "deltalake", "iceberg", "hudi",
        "cluster", "clusterallreplicas", "urlcluster", "filecluster", "python", "dictionary", "loop", "icebergs3", "icebergazure", "iceberglocal", "deltalakelocal"};
    for (size_t i = 0; i < lower.size();) {
      if (lower[i] == '\'') {
        for (++i; i < lower.size() && lower[i] != '\''; ++i) i += lower[i] == '\\';
        ++i;
      } else if (std::isalpha(static_cast<unsigned char>(lower[i])) || lower[i] == '_') {
        size_t j = i;
        while (j < lower.size() && (std::isalnum(static_cast<unsigned char>(lower[j])) || lower[j] == '_')) ++j;
        const std::string word = lower.substr(i, j - i);
        size_t k = j;
        while (k < lower.size() && std::isspace(static_cast<unsigned char>(lower[k]))) ++k;
        if (k < lower.size() && lower[k] == '(' && kOutside.contains(word)) {
          return absl::InvalidArgumentError(base::StrCat("query: ", word, "() reaches outside the lake and is refused"));
        }
        if (word == "outfile" || word == "settings") {
          return absl::InvalidArgumentError(base::StrCat("query: ", word, " is refused here"));
        }
        i = j;
      } else {
        ++i;
      }
    }
    if (head.rfind("select", 0) == 0 || head.rfind("with", 0) == 0) {
      text += " SETTINGS readonly = 2, max_execution_time = 60, max_result_rows = 1000000";
    }
    return Run(text, "query", std::string(format));
  }

 private:
  absl::StatusOr<Connection*> Connect() {
    std::string path = "--path=" + options_.path;
    std::string threads = base::StrCat("--max_threads=", options_.threads);
    std::string memory = base::StrCat("--max_memory_usage=", options_.memory_max_bytes);
    std::string group = base::StrCat("--max_bytes_before_external_group_by=", options_.memory_max_bytes / 2);
    std::string sort = base::StrCat("--max_bytes_before_external_sort=", options_.memory_max_bytes / 2);
    std::string name = "clickhouse";
    std::vector<char*> argv = {name.data(), path.data(), threads.data(), memory.data(), group.data(), sort.data()};
    Connection* c = api_.connect(static_cast<int>(argv.size()), argv.data());
    if (c == nullptr || *c == nullptr) {
      return absl::UnavailableError(base::StrCat(
          "lake: ", options_.path, " cannot be opened: another process has it in use, or it is not a lake of this engine"));
    }
    return c;
  }

  absl::StatusOr<Connection*> Take() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!idle_.empty()) {
        Connection* c = idle_.back();
        idle_.pop_back();
        return c;
      }
    }
    return Connect();
  }

  void Give(Connection* c) {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(c);
  }

  absl::StatusOr<std::string> Run(std::string_view sql, std::string_view what, std::string format = "Native") {
    auto connection = Take();
    if (!connection.ok()) return connection.status();
    chdb_result* r = api_.query(**connection, sql.data(), sql.size(), format.data(), format.size());
    std::string out;
    absl::Status status;
    if (r == nullptr) {
      status = absl::InternalError("lake: the engine gave no result");
    } else {
      if (const char* error = api_.error(r); error != nullptr) status = EngineError(what, error);
      else if (api_.length(r) > 0) out.assign(api_.buffer(r), api_.length(r));
      api_.destroy(r);
    }
    if (status.ok()) Give(*connection);
    else api_.close(*connection);
    if (!status.ok()) return status;
    return out;
  }

  // Both ends accept a block with an unknown column in silence, so it is checked here, once a table.
  absl::Status CheckColumns(std::string_view table, const Block& block) {
    std::string key(table);
    for (const Column& c : block.columns) base::StrAppend(&key, ",", c.name, " ", TypeName(c.data));
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (checked_.contains(key)) return absl::OkStatus();
    }
    std::set<std::string> known;
    if (absl::Status s = Query(base::StrCat("SELECT name, type FROM system.columns WHERE database = currentDatabase() "
                                            "AND table = ", SqlString(table)),
                               [&](const Block& b) {
                                 for (size_t i = 0; i < b.rows(); ++i) {
                                   known.insert(base::StrCat(b.columns[0].As<StringColumn>()[i], " ",
                                                             b.columns[1].As<StringColumn>()[i]));
                                 }
                                 return absl::OkStatus();
                               });
        !s.ok()) {
      return s;
    }
    for (const Column& c : block.columns) {
      const std::string want = base::StrCat(c.name, " ", TypeName(c.data));
      if (!known.contains(want)) {
        return absl::InvalidArgumentError(base::StrCat("lake: table ", table, " has no column ", want));
      }
      if (Rows(c.data) != block.rows()) {
        return absl::InvalidArgumentError(base::StrCat("lake: column ", c.name, " has ", Rows(c.data), " rows of ", block.rows()));
      }
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    checked_.insert(std::move(key));
    return absl::OkStatus();
  }

  const Api& api_;
  const EmbeddedOptions options_;
  Connection* root_ = nullptr;
  std::mutex mutex_;
  std::vector<Connection*> idle_;   // guarded by mutex_
  std::set<std::string> checked_;   // guarded by mutex_
};

}  // namespace

absl::StatusOr<std::unique_ptr<Lake>> OpenEmbedded(const EmbeddedOptions& options) {
  struct stat info;
  if (stat(options.path.c_str(), &info) == 0 && !S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(base::StrCat("lake: ", options.path, " is a file; name a folder"));
  }
  std::error_code error;
  std::filesystem::create_directories(options.path, error);
  if (error || access(options.path.c_str(), W_OK) != 0) {
    return absl::FailedPreconditionError(
        base::StrCat("lake: ", options.path, " cannot be written: ", error ? error.message() : "permission denied"));
  }
  auto api = LoadApi();
  if (!api.ok()) return api.status();
  auto lake = std::make_unique<EmbeddedLake>(**api, options);
  if (absl::Status s = lake->Open(); !s.ok()) return s;
  return lake;
}

}  // namespace stillwatch::lake
