// The part of chDB's C interface (26.7) that the embedded lake uses, and the way to load it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"

namespace stillwatch::lake {

struct ChdbResult;        // opaque; freed by destroy_result
struct ChdbInsert;        // opaque; freed by destroy_insert, which cancels what is not done
struct ChdbSession;       // opaque
using ChdbConnection = ChdbSession*;  // chdb_connect gives a pointer to it; calls take the value

// What a statement does, by the engine's own parser, without running it.
struct ChdbAnalysis {
  uint32_t struct_size;      // set by the caller
  uint32_t statement_count;  // 0: does not parse
  uint32_t flags;
  uint32_t query_class;      // kChdbReadOnly or something worse
};
inline constexpr uint32_t kChdbReadOnly = 0;

// One statement at a time per connection; different connections are independent. A non-null error
// belongs to the result that it was asked of and dies with it. States are 0 for success.
struct ChdbApi {
  ChdbConnection* (*connect)(int argc, char** argv);  // null: refused, without a reason
  void (*close)(ChdbConnection*);
  ChdbResult* (*query)(ChdbConnection, const char* sql, size_t, const char* format, size_t);
  ChdbResult* (*stream)(ChdbConnection, const char* sql, size_t, const char* format, size_t);
  ChdbResult* (*fetch)(ChdbConnection, ChdbResult* stream);  // empty at the end of the stream
  void (*cancel)(ChdbConnection, ChdbResult* stream);
  void (*destroy_result)(ChdbResult*);
  char* (*buffer)(ChdbResult*);
  size_t (*length)(ChdbResult*);
  const char* (*error)(ChdbResult*);
  ChdbInsert* (*insert)(ChdbConnection, const char* sql, size_t, const char* format, size_t);
  int (*append)(ChdbInsert*, const void*, size_t);  // copies; may block until earlier bytes are read
  ChdbResult* (*done)(ChdbInsert*);                 // the acknowledgement, or an append's error
  const char* (*insert_error)(ChdbInsert*);
  void (*destroy_insert)(ChdbInsert*);
  int (*classify)(ChdbConnection, const char* sql, size_t, const char* database, size_t, ChdbAnalysis*);
  void (*signal_handlers)(int on);
};

// Loads libchdb.so on first use: from $STILLWATCH_CHDB (a file), beside the executable, then from
// where the program was built. FailedPrecondition says which were tried. The library stays loaded;
// its signal handlers are off. Safe from any thread.
absl::StatusOr<const ChdbApi*> LoadChdb();

}  // namespace stillwatch::lake
