// Sources that run a format's SELECT: over JSON records that this program reads and splits, or over
// tables that the engine reads.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ingest/formats/format.h"
#include "ingest/source.h"
#include "lake/lake.h"

namespace stillwatch::ingest {

// Workers beyond this wait: each holds a connection of the lake while its rows are stored over
// another (lake/embedded: 16).
inline constexpr int kFormatWorkersMax = 7;

// What of a format's rows can be known only here.
struct FormatOptions {
  int64_t now_ms = 0;            // records more than a day later are refused
  int64_t since_ms = INT64_MIN;  // what {since} in a SELECT stands for; unset: such a SELECT fails
  std::function<void(std::string)> note = [](std::string) {};
};

// `format.lines`: files, "-" and pipes, plain, gzip or zstd, read once; the text stays in memory,
// a chunk per worker. `lake` must outlive the source.
std::unique_ptr<Source> MakeRecordsSource(lake::Lake* lake, Format format,
                                          std::vector<std::string> paths, FormatOptions options);

// What the engine reads: an expression for FROM and a name for messages. One worker each.
struct Table {
  std::string name, from;
  std::string path;  // of a local file, for the progress; may be empty
  std::string log;   // as the person wrote it, secrets included; `name` stands for it in messages
};

std::unique_ptr<Source> MakeTableSource(lake::Lake* lake, Format format, std::vector<Table> tables,
                                        FormatOptions options);

// What the engine says, without `log`, which it repeats, without pages of a server's, in one line.
std::string EngineMessage(const absl::Status& s, const std::string& log, const std::string& name);

}  // namespace stillwatch::ingest
