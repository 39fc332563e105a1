// JSON records of foreign logs: an object a line, arrays of objects on a line, or one document over
// many lines (an array, or indented objects one after the other).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ingest/jsonl/lines.h"
#include "ingest/source.h"

namespace stillwatch::ingest {

struct RawRecord {
  size_t begin = 0, size = 0;     // in the batch's bytes
  uint64_t line = 0, offset = 0;  // where it begins in the source, decompressed
  bool cut = false;               // the source, or its line, ends inside of it
  int indent = -1;                // columns before it when it is first in its line of a document
};

struct RecordBatch {
  uint64_t number = 0;  // in the order of reading, from 1
  std::string bytes;    // 64 spare bytes behind the last record, for simdjson
  std::string source;
  std::vector<RawRecord> records;
  std::string_view Text(const RawRecord& r) const {
    return std::string_view(bytes).substr(r.begin, r.size);
  }
  void Add(std::string_view text, RawRecord r);
};

// Whether a file that begins like this is one document over many lines and not a record a line.
bool IsDocument(std::string_view head);

// Splits a document by its brackets; what else stands between objects becomes a record of its own,
// to be refused. A raw line break ends a string, as JSON has none in strings. Holds one record,
// kRecordBytesMax of it at most. Thread-compatible.
class DocumentSplitter {
 public:
  explicit DocumentSplitter(uint64_t line = 1, uint64_t offset = 0)
      : line_(line), offset_(offset) {}
  // Appends the records that end within `text`.
  void Feed(std::string_view text, RecordBatch* batch);
  // The end of the source: what is open is a record cut short.
  void Finish(RecordBatch* batch);

 private:
  void Emit(RecordBatch* batch);
  void Overflow(RecordBatch* batch);
  std::string open_;  // the record in progress
  RawRecord at_;
  uint64_t line_, offset_;
  int depth_ = 0, column_ = 0;  // column_: blanks so far in this line; -1 when something else came
  bool string_ = false, escape_ = false, skipping_ = false;
};

// A record of a document whose brackets do not match has swallowed its neighbours. Where a line
// begins with an object at the record's own indentation, a new one is taken to begin. Gives the
// pieces, or nothing when there is but one.
std::vector<RawRecord> SplitByIndent(std::string_view bytes, const RawRecord& record);

// What a SELECT is run over at a time: enough that preparing it weighs little.
inline constexpr size_t kBatchBytes = 8u << 20;

// Batches of records of one source each ("-" too), about kBatchBytes. Arguments as of LineReader.
class RecordReader {
 public:
  RecordReader(std::vector<std::string> paths, Progress* progress,
               std::function<void(std::string)> note,
               std::function<absl::Status(model::Reject)> reject);
  ~RecordReader();
  void StopBy(const std::atomic<bool>* stop);  // see LineReader
  // False at the end, the same error again after an error. Thread-safe.
  absl::StatusOr<bool> Next(RecordBatch* batch);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace stillwatch::ingest
