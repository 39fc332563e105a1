// Foreign log formats: one SQL SELECT each (NAME.sql), run by the engine over the log's files.
// README.md in this folder says what a SELECT may use and which columns it gives.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "ingest/source.h"
#include "lake/lake.h"

namespace stillwatch::ingest {

struct Format {
  std::string name, describes;
  bool lines = true;                   // {source} is rows of JSON text; else the file's own columns
  std::vector<std::string> recognise;  // dotted keys of the first record, or column names
  std::string sql;
};

// The formats built into the program, by name.
const std::vector<Format>& BuiltInFormats();

// By name, or of a person's own file by a path that ends in .sql. NotFound lists the names.
absl::StatusOr<Format> FindFormat(const std::string& name_or_path);

struct Detected {
  std::string name;    // of a format, or "canonical"
  std::string reason;  // "recognised as litellm: the first record carries startTime, call_type"
};

// Looks at the first record of the first path. InvalidArgument when nothing or more than one
// format fits; the message says what was seen.
absl::StatusOr<Detected> DetectFormat(const std::vector<std::string>& paths);

// `lake` must outlive the source. Files are read by up to `threads` workers, one file each.
std::unique_ptr<Source> MakeFormatSource(lake::Lake* lake, Format format,
                                         std::vector<std::string> paths, int64_t now_ms);

}  // namespace stillwatch::ingest
