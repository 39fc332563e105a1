// Log formats: one SQL SELECT each (NAME.sql), built in or a person's own.
// README.md in this folder says what a SELECT may use and which columns it gives.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace stillwatch::ingest {

struct Format {
  std::string name, describes;
  bool lines = true;                   // {source} is rows of JSON text; else the log's own columns
  std::vector<std::string> recognise;  // dotted keys of the first record, or column names
  bool strict = false;                 // a value of the wrong type refuses the record
  std::string sql;
};

// Canonical columns of Parquet and CSV in place of JSON lines; people call it canonical, too.
inline constexpr char kCanonicalTable[] = "canonical_table";

// The formats built into the program, by name.
const std::vector<Format>& BuiltInFormats();

// By name, or of a person's own file by a path that ends in .sql. NotFound lists the names.
absl::StatusOr<Format> FindFormat(const std::string& name_or_path);

// "auto, canonical, bedrock, ...".
std::string FormatNames();

// What a log begins with, as far as telling formats apart needs it.
struct Glance {
  bool table = false;             // columns, else JSON
  bool text = true;               // false: nothing was recognised in it at all
  std::vector<std::string> keys;  // of the columns, or dotted keys of the first record
};
// JSON lines or a document; the last line may be cut.
Glance GlanceAtJson(std::string_view head);

struct Detected {
  std::string name;    // of a format, or "canonical"
  std::string reason;  // "litellm: the first record carries call_type, startTime"
};
// InvalidArgument when nothing or more than one format fits; the message says what was seen.
absl::StatusOr<Detected> DetectFormat(std::string_view log, const Glance& glance);

}  // namespace stillwatch::ingest
