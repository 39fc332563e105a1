#include "ingest/formats/log.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/parallel.h"
#include "base/str.h"
#include "ingest/jsonl/jsonl_source.h"
#include "ingest/jsonl/lines.h"

namespace stillwatch::ingest {
namespace {

using base::StrAppend;
using base::StrCat;
namespace fs = std::filesystem;

std::string Lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// The engine's name of a table's format by the name of its file; empty: not a table's name.
std::string TableFormat(std::string_view name) {
  std::string n = Lower(name);
  for (const char* packed : {".gz", ".zst", ".xz", ".bz2", ".lz4"}) {
    if (n.ends_with(packed)) n.resize(n.size() - std::strlen(packed));
  }
  for (const auto& [end, format] :
       {std::pair(".parquet", "Parquet"), std::pair(".csv", "CSVWithNames"),
        std::pair(".tsv", "TSVWithNames"), std::pair(".arrow", "Arrow"), std::pair(".orc", "ORC"),
        std::pair(".avro", "Avro"), std::pair(".native", "Native")}) {
    if (n.ends_with(end)) return format;
  }
  return "";
}

std::string UrlPath(std::string_view url) {
  return std::string(url.substr(0, url.find_first_of("?#")));
}

// FROM for a URL: s3://, gs:// by their own functions, everything else by url().
std::string UrlTable(const std::string& url, std::string_view more) {
  const char* function = url.starts_with("s3://") ? "s3" : url.starts_with("gs://") ? "gcs" : "url";
  return StrCat(function, "(", lake::SqlString(url), more, ")");
}

std::string UrlName(const std::string& url) {
  std::string name = UrlPath(url);
  const size_t host = name.find("://") + 3,
               at = name.substr(host, name.find('/', host) - host).rfind('@');
  if (at != name.npos) name.erase(host, at + 1);
  return name;
}

// A server that is not there is tried for seconds, not minutes.
constexpr char kPatience[] = "http_max_tries = 3, http_connection_timeout = 5";

absl::Status Unreadable(const absl::Status& s, const std::string& log, const std::string& name) {
  return absl::InvalidArgumentError(
      StrCat(name, ": cannot be read: ", EngineMessage(s, log, name)));
}

// Columns of a table as the engine sees them; `one_string`: there is one, of text. DESCRIBE would
// give no blocks.
absl::StatusOr<std::vector<std::string>> Columns(lake::Lake* lake, const std::string& from,
                                                 const std::string& log, const std::string& name,
                                                 bool* one_string) {
  std::string names, type;
  const absl::Status s = lake->Query(
      StrCat("SELECT arrayStringConcat(tupleNames(t), '\\n'), toTypeName(t) FROM (SELECT "
             "any(tuple(*)) AS t FROM (SELECT * FROM ",
             from, " LIMIT 0)) SETTINGS enable_named_columns_in_function_tuple = 1, ", kPatience),
      [&](const lake::Block& b) {
        if (b.rows() == 0) return absl::OkStatus();
        names = b.columns[0].As<lake::StringColumn>()[0];
        type = b.columns[1].As<lake::StringColumn>()[0];
        return absl::OkStatus();
      });
  if (!s.ok()) return Unreadable(s, log, name);
  std::vector<std::string> out;
  std::istringstream lines(names);
  for (std::string line; std::getline(lines, line);) out.push_back(line);
  *one_string =
      out.size() == 1 && (type.ends_with(" String)") || type.ends_with(" Nullable(String))"));
  return out;
}

// Lines that the engine fetches, put through a socket to a source that reads a file's.
class FetchedLines : public Source {
 public:
  FetchedLines(lake::Lake* lake, std::string sql, std::string log, std::string name,
               std::function<std::unique_ptr<Source>(std::string path)> make)
      : lake_(lake),
        sql_(std::move(sql)),
        log_(std::move(log)),
        name_(std::move(name)),
        make_(std::move(make)) {}

  absl::Status Read(int threads, const Sink& sink, Progress* progress,
                    const std::atomic<bool>* stop) override {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      return absl::ResourceExhaustedError(StrCat(name_, ": no socket: ", std::strerror(errno)));
    }
    // The reader opens a name; this one is of a descriptor that waits to be read.
    const std::string path = AdoptPipe(ends[0]);
    absl::Status fetched, read;
    bool left = false;  // the reader went before the end
    const auto fetch = [&] {
      fetched = lake_->Query(sql_, [&](const lake::Block& b) -> absl::Status {
        const auto& lines = b.columns[0].As<lake::StringColumn>();
        std::string bytes;
        for (size_t i = 0; i < b.rows(); ++i) bytes.append(lines[i]).push_back('\n');
        for (size_t at = 0; at < bytes.size();) {
          const ssize_t n = send(ends[1], bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
          if (n < 0 && errno == EINTR) continue;
          if (n < 0) {
            left = true;
            return absl::CancelledError("the reader has left");
          }
          at += static_cast<size_t>(n);
        }
        return absl::OkStatus();
      });
      close(ends[1]);
    };
    const auto take = [&] {
      Sink named = sink;
      named.reject = [&](model::Reject r) {
        r.source = name_;
        return sink.reject(std::move(r));
      };
      read = make_(path)->Read(threads, named, progress, stop);
      DropPipe(path);  // if it was not taken, and with it what blocks the other side
    };
    base::Parallel(2).For(2, 1, [&](size_t i, size_t, int) { i == 0 ? fetch() : take(); });
    if (!fetched.ok() && !left) return Unreadable(fetched, log_, name_);
    return read;
  }

 private:
  lake::Lake* lake_;
  const std::string sql_, log_, name_;
  const std::function<std::unique_ptr<Source>(std::string path)> make_;
};

class Chain : public Source {
 public:
  explicit Chain(std::vector<std::unique_ptr<Source>> sources) : sources_(std::move(sources)) {}
  absl::Status Read(int threads, const Sink& sink, Progress* progress,
                    const std::atomic<bool>* stop) override {
    for (const auto& source : sources_) {
      if (absl::Status s = source->Read(threads, sink, progress, stop); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

 private:
  const std::vector<std::unique_ptr<Source>> sources_;
};

bool IsUrl(const std::string& log) {
  const size_t colon = log.find("://");
  return colon != log.npos && colon > 0 &&
         std::all_of(log.begin(), log.begin() + static_cast<std::ptrdiff_t>(colon), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '-' || c == '.';
         });
}

// name(...) or (SELECT ...), and no file of that name.
bool IsTable(const std::string& log) {
  size_t n = 0;
  while (n < log.size() && (std::isalnum(static_cast<unsigned char>(log[n])) || log[n] == '_')) ++n;
  if (n >= log.size() || log[n] != '(' || log.back() != ')') return false;
  if (n == 0 && Lower(log.substr(1, 6)) != "select") return false;
  std::error_code error;
  return !fs::exists(log, error);
}

}  // namespace

absl::Status Log::Recognise(Part* part, const Glance& glance) {
  auto detected = DetectFormat(part->name, glance);
  if (!detected.ok()) return detected.status();
  part->format = detected->name;
  if (!detected->reason.empty())
    recognised_.push_back(StrCat(part->name, ": recognised as ", detected->reason));
  return absl::OkStatus();
}

absl::StatusOr<Log> Log::Plan(const std::vector<std::string>& logs, const std::string& asked,
                              const std::atomic<bool>* stop) {
  Log out;
  out.asked_ = asked;
  Format format;
  if (asked != "auto" && asked != "canonical") {
    auto found = FindFormat(asked);
    if (!found.ok()) return found.status();
    format = *std::move(found);
  }
  for (const std::string& log : logs) {
    if (log != "-" && (IsUrl(log) || IsTable(log))) {
      Part part;
      part.kind = IsUrl(log) ? Part::kUrl : Part::kTable;
      part.log = log;
      part.name =
          part.kind == Part::kUrl ? UrlName(log) : StrCat(log.substr(0, log.find('(')), "(...)");
      if (asked != "auto") part.format = asked;
      out.parts_.push_back(part);
      continue;
    }
    glob_t found{};
    if (log != "-" && log.find_first_of("*?[") != log.npos &&
        glob(log.c_str(), 0, nullptr, &found) == 0) {
      for (size_t i = 0; i < found.gl_pathc; ++i)
        out.parts_.push_back({Part::kFile, found.gl_pathv[i], found.gl_pathv[i], "", true});
    } else {
      out.parts_.push_back({Part::kFile, log, log, "", true});
    }
    globfree(&found);
  }
  for (Part& part : out.parts_) {
    out.names_.push_back(part.name);
    if (part.kind != Part::kFile) continue;
    const std::string& path = part.log;
    struct stat info {};
    if (path != "-" && stat(path.c_str(), &info) != 0) {
      return absl::InvalidArgumentError(StrCat(
          path, errno == ENOENT ? path.find_first_of("*?[") != path.npos ? ": no file is called so"
                                                                         : ": does not exist"
                                : StrCat(": cannot be opened: ", std::strerror(errno))));
    }
    if (absl::Status s = CheckReadable(path); !s.ok()) return s;
    if (path != "-" && access(path.c_str(), R_OK) != 0)
      return absl::InvalidArgumentError(StrCat(path, ": may not be read"));
    const bool regular = path != "-" && S_ISREG(info.st_mode);
    if (!regular && out.once_.empty()) out.once_ = path;
    // The format is known, and no table can hide behind it: nothing to look at.
    if (asked != "auto" && (asked == "canonical" ? !regular : format.lines)) {
      part.format = asked;
      continue;
    }
    auto head = PeekHead(path, stop);
    if (!head.ok()) return head.status();
    const bool parquet = head->starts_with("PAR1");
    const std::string table = parquet ? "Parquet" : regular ? TableFormat(path) : "";
    if (!regular && (parquet || (asked != "auto" && asked != "canonical"))) {
      return absl::InvalidArgumentError(
          StrCat(path, ": tables (Parquet, CSV) are read from files; write it to one first"));
    }
    if (regular && (!table.empty() || (asked != "auto" && asked != "canonical")) &&
        path.find_first_of("*?{}") != path.npos) {
      return absl::InvalidArgumentError(StrCat(
          path, ": the engine would read * ? { } in a file's name as a pattern; rename the file"));
    }
    if (asked != "auto") {
      part.format = asked == "canonical" && !table.empty() ? kCanonicalTable : asked;
      continue;
    }
    Glance glance;
    if (parquet) {
      // The footer holds the columns' names among other things: enough to look for known ones.
      std::ifstream in(path, std::ios::binary | std::ios::ate);
      const int64_t size = in.tellg(), tail = std::min<int64_t>(size, 1 << 20);
      std::string footer(static_cast<size_t>(tail), '\0');
      in.seekg(size - tail);
      in.read(footer.data(), tail);
      glance.table = true;
      for (const Format& f : BuiltInFormats()) {
        for (const std::string& key : f.recognise) {
          if (!f.lines && footer.find(key) != footer.npos) glance.keys.push_back(key);
        }
      }
    } else if (table.ends_with("WithNames")) {
      glance.table = true;
      std::string key;
      for (const char c : head->substr(0, head->find('\n')) + ",") {
        if (c == ',' || c == '\t')
          glance.keys.push_back(std::exchange(key, ""));
        else if (c != '"' && c != '\r')
          key.push_back(c);
      }
    } else if (!table.empty()) {
      return absl::InvalidArgumentError(StrCat(
          path, ": a table; name its format with --format NAME or map it with your own FILE.sql"));
    } else {
      glance = GlanceAtJson(*head);
    }
    if (absl::Status s = out.Recognise(&part, glance); !s.ok()) return s;
  }
  if (std::all_of(out.parts_.begin(), out.parts_.end(),
                  [](const Part& p) { return p.format == "canonical"; }))
    out.recognised_.clear();
  return out;
}

absl::Status Log::Look(lake::Lake* lake, Part* part) {
  const std::string path = UrlPath(part->log);
  const bool url = part->kind == Part::kUrl;
  const std::string from = url ? UrlTable(part->log, "") : part->log;
  const bool known = !part->format.empty() && part->format != "canonical";
  if (known) {
    auto format = FindFormat(part->format);
    if (!format.ok()) return format.status();
    part->lines = format->lines;
    if (!format->lines) return absl::OkStatus();
  }
  if (url && TableFormat(path).empty()) return absl::OkStatus();
  bool one_string = false;
  auto columns = Columns(lake, from, part->log, part->name, &one_string);
  if (!columns.ok()) return columns.status();
  part->lines = one_string;
  if (one_string) return absl::OkStatus();
  if (known)
    return absl::InvalidArgumentError(StrCat(part->name, ": format ", part->format,
                                             " reads JSON lines, and this is a table of ",
                                             columns->size(), " columns"));
  if (part->format == "canonical") {
    part->format = kCanonicalTable;
    return absl::OkStatus();
  }
  Glance glance;
  glance.table = true;
  glance.keys = *std::move(columns);
  return Recognise(part, glance);
}

absl::StatusOr<std::unique_ptr<Source>> Log::Open(lake::Lake* lake, const FormatOptions& options) {
  recognised_.clear();
  std::vector<std::unique_ptr<Source>> sources;
  const auto lines =
      [lake, options](const std::string& format,
                      std::vector<std::string> paths) -> absl::StatusOr<std::unique_ptr<Source>> {
    if (format == "canonical")
      return MakeJsonlSource(std::move(paths), {.now_ms = options.now_ms, .note = options.note});
    auto found = FindFormat(format);
    if (!found.ok()) return found.status();
    return MakeRecordsSource(lake, *std::move(found), std::move(paths), options);
  };
  // Files of one format are one source, which reads them in order with all workers.
  std::vector<bool> done(parts_.size(), false);
  for (size_t i = 0; i < parts_.size(); ++i) {
    Part& part = parts_[i];
    if (done[i]) continue;
    if (part.kind == Part::kFile) {
      std::vector<std::string> paths;
      for (size_t j = i; j < parts_.size(); ++j) {
        if (parts_[j].kind != Part::kFile || parts_[j].format != part.format) continue;
        paths.push_back(parts_[j].log);
        done[j] = true;
      }
      absl::StatusOr<Format> format = Format();
      if (part.format != "canonical") format = FindFormat(part.format);
      if (!format.ok()) return format.status();
      if (format->lines) {
        auto source = lines(part.format, std::move(paths));
        if (!source.ok()) return source.status();
        sources.push_back(*std::move(source));
        continue;
      }
      std::vector<Table> tables;
      for (const std::string& path : paths) {
        std::string table = TableFormat(path);
        char magic[4] = {};
        if (std::ifstream in(path, std::ios::binary);
            in.read(magic, 4) && std::memcmp(magic, "PAR1", 4) == 0)
          table = "Parquet";
        tables.push_back({path,
                          StrCat("file(", lake::SqlString(fs::absolute(path).string()),
                                 table.empty() ? "" : StrCat(", '", table, "'"), ")"),
                          path, ""});
      }
      sources.push_back(MakeTableSource(lake, *std::move(format), std::move(tables), options));
      continue;
    }
    if (absl::Status s = Look(lake, &part); !s.ok()) return s;
    const std::string line_sql =
        part.kind == Part::kTable
            ? StrCat("SELECT ifNull(*, '') AS line FROM ", part.log)
            : StrCat("SELECT line FROM ", UrlTable(part.log, ", 'LineAsString', 'line String'"));
    if (part.lines && part.format.empty()) {
      std::string head;
      const absl::Status s = lake->Query(
          StrCat(line_sql, " LIMIT 20 SETTINGS ", kPatience), [&](const lake::Block& b) {
            for (size_t row = 0; row < b.rows(); ++row)
              StrAppend(&head, std::string(b.columns[0].As<lake::StringColumn>()[row]), "\n");
            return absl::OkStatus();
          });
      if (!s.ok()) return Unreadable(s, part.log, part.name);
      if (head.empty()) options.note(StrCat(part.name, ": is empty"));
      if (absl::Status r = Recognise(&part, GlanceAtJson(head)); !r.ok()) return r;
    }
    if (part.lines) {
      if (auto tried = lines(part.format, {}); !tried.ok()) return tried.status();
      sources.push_back(std::make_unique<FetchedLines>(
          lake,
          StrCat(line_sql, " SETTINGS max_threads = 1, input_format_parallel_parsing = 0, ",
                 kPatience),
          part.log, part.name, [lines, format = part.format](std::string path) {
            return *lines(format, {std::move(path)});
          }));
    } else {
      auto format = FindFormat(part.format);
      if (!format.ok()) return format.status();
      const std::string table = part.kind == Part::kUrl ? TableFormat(UrlPath(part.log)) : "";
      std::vector<Table> tables;
      tables.push_back({part.name,
                        part.kind == Part::kTable
                            ? part.log
                            : UrlTable(part.log, table.empty() ? "" : StrCat(", '", table, "'")),
                        "", part.log});
      sources.push_back(MakeTableSource(lake, *std::move(format), std::move(tables), options));
    }
  }
  if (sources.size() == 1) return std::move(sources[0]);
  return std::make_unique<Chain>(std::move(sources));
}

}  // namespace stillwatch::ingest
