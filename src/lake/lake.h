// Port: the lake. Adapters: lake/embedded (chDB in process), lake/cluster (a server, a cluster of
// them, or a socket, over HTTP). The same SQL and the same blocks on all; only the transport
// differs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lake/block.h"

namespace stillwatch::lake {

inline constexpr size_t kInsertRowsMax = 1'048'576;  // one INSERT of more may be stored in part
inline constexpr size_t kInsertRows = 131'072;       // what writers aim at

// Bounds of one Report.
inline constexpr int kReportSecondsMax = 60;
inline constexpr uint64_t kReportRowsMax = 1'000'000;
inline constexpr uint64_t kReportBytesMax = uint64_t{256} << 20;

// Of one Report that asks for less. What is beyond `rows` or `bytes` is an error; with `cut` the
// answer ends there, on a whole block of the engine's, so it may hold somewhat more than `rows`.
struct ReportBounds {
  int seconds = kReportSecondsMax;
  uint64_t rows = kReportRowsMax, bytes = kReportBytesMax;
  bool cut = false;
  bool wait = true;  // for a server that does not answer
};

struct TableUse {
  uint64_t rows = 0, bytes = 0;  // in active parts
};

// Safe for concurrent use: Insert and Query take a connection each from a small pool.
class Lake {
 public:
  virtual ~Lake() = default;

  // Creates missing tables and migrates older ones (lake/schema/NNN_*.sql in order; the applied
  // versions are in table `schema_version`). FailedPrecondition when the lake is newer than this
  // program, or was left by another program.
  virtual absl::Status Migrate() = 0;

  // All or nothing for one block of at most kInsertRowsMax rows; on a cluster for each shard's part
  // of it, and after an error some parts may be there (the same block may be inserted again).
  // Column names and types are checked against the table before the first insert.
  virtual absl::Status Insert(std::string_view table, const Block& block) = 0;

  // Runs a SELECT; `on_block` sees blocks in order and may stop by an error, which is returned.
  // Result columns must be of the types in block.h: cast in the SQL.
  virtual absl::Status Query(std::string_view sql,
                             const std::function<absl::Status(const Block&)>& on_block) = 0;

  // A statement without a result.
  virtual absl::Status Execute(std::string_view sql) = 0;

  // A read-only statement of a person's, rendered by the engine in `format` ("PrettyCompact",
  // "JSONEachRow", "CSVWithNames", ...). InvalidArgument for anything that writes, DeadlineExceeded
  // when it ran longer than its bound.
  virtual absl::StatusOr<std::string> Report(std::string_view sql, std::string_view format,
                                             const ReportBounds& bounds) = 0;
  absl::StatusOr<std::string> Report(std::string_view sql, std::string_view format) {
    return Report(sql, format, {});
  }

  // What engines say in different words. The defaults speak the embedded engine's.

  // `rows` (may be empty) stand in place of all that `table` held, which is gone from the disk.
  virtual absl::Status Replace(std::string_view table, const Block& rows);

  // The rows for which `condition` holds are gone when this returns.
  virtual absl::Status Delete(std::string_view table, std::string_view condition);

  // What each table costs now, by name.
  virtual absl::StatusOr<std::map<std::string, TableUse>> Use();

  // Whether other processes may write at the same time.
  virtual bool Shared() const { return false; }
};

// What a database's tables cost now, one row a table: name, rows, bytes in active parts.
inline constexpr char kTableUseSql[] =
    "SELECT table, sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts "
    "WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table";
// Adds what one block of its answer says.
void AddTableUse(const Block& block, std::map<std::string, TableUse>* out);

// Unavailable, of a lake that was there and went away in the middle: of a SELECT blocks were handed
// out already, or whether a statement was done is not known. Whoever can begin anew may ask again
// at once; a lake that stayed away for as long as it is waited for says Unavailable alone.
absl::Status BrokenOff(std::string_view message);
bool IsBrokenOff(const absl::Status& status);

// A string literal for SQL, quoted and escaped; the one way in which values get into statements.
std::string SqlString(std::string_view value);
// A table's or column's name, in back quotes.
std::string SqlName(std::string_view identifier);

}  // namespace stillwatch::lake
