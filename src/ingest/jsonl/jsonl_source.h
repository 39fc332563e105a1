// Canonical exchanges as JSON lines (docs/FORMATS.md), read by simdjson on all cores.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ingest/source.h"

namespace stillwatch::ingest {

inline constexpr size_t kIdBytesMax = 512;      // of exchange_id and account_id
inline constexpr size_t kShortBytesMax = 4096;  // of every other name, address and agent
inline constexpr size_t kToolsMax = 256;

struct JsonlOptions {
  int64_t now_ms = 0;  // records more than a day later are refused
  std::function<void(std::string)> note = [](std::string) {};
};

// Paths: files (plain, gzip, zstd by their first bytes) or "-".
std::unique_ptr<Source> MakeJsonlSource(std::vector<std::string> paths, JsonlOptions options);

// Reads one record, or the `messages` or `sketch` of one. Thread-compatible; views that it fills
// live until the next call.
class RecordParser {
 public:
  explicit RecordParser(int64_t now_ms);
  ~RecordParser();
  // `line` must have 64 readable bytes behind it.
  absl::Status Parse(std::string_view line, model::ExchangeView* e);
  // Of a foreign format: [{role, content}] -> system, turn, messages. Copies its input.
  absl::Status ParseMessages(std::string_view json, model::ExchangeView* e);
  absl::Status ParseSketch(std::string_view json, model::ExchangeView* e);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace stillwatch::ingest
