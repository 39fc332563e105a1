// Port: the lake. Adapters: lake/embedded (chDB in process), later lake/cluster (HTTP).
// The same SQL and the same blocks on both; only the transport differs.
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

// Safe for concurrent use: Insert and Query take a connection each from a small pool.
class Lake {
 public:
  virtual ~Lake() = default;

  // Creates missing tables and migrates older ones (lake/schema/NNN_*.sql in order; the applied
  // versions are in table `schema_version`). FailedPrecondition when the lake is newer than this
  // program, or was left by another program.
  virtual absl::Status Migrate() = 0;

  // All or nothing for one block of at most kInsertRowsMax rows. Column names and types are
  // checked against the table before the first insert.
  virtual absl::Status Insert(std::string_view table, const Block& block) = 0;

  // Runs a SELECT; `on_block` sees blocks in order and may stop by an error, which is returned.
  // Result columns must be of the types in block.h: cast in the SQL.
  virtual absl::Status Query(std::string_view sql,
                             const std::function<absl::Status(const Block&)>& on_block) = 0;

  // A statement without a result.
  virtual absl::Status Execute(std::string_view sql) = 0;

  // A read-only statement of a person's, rendered by the engine in `format` ("PrettyCompact",
  // "JSONEachRow", "CSVWithNames", ...). InvalidArgument for anything that writes.
  virtual absl::StatusOr<std::string> Report(std::string_view sql, std::string_view format) = 0;
};

// A string literal for SQL, quoted and escaped; the one way in which values get into statements.
std::string SqlString(std::string_view value);

}  // namespace stillwatch::lake
