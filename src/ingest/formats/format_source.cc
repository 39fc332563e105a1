#include "ingest/formats/format_source.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>

#include "base/embedded_file.h"
#include "base/json.h"
#include "base/parallel.h"
#include "base/str.h"
#include "base/time.h"
#include "ingest/jsonl/jsonl_source.h"
#include "ingest/jsonl/lines.h"

namespace stillwatch::ingest {

extern const base::EmbeddedFile kFormatFiles[];

namespace {

using base::StrAppend;
using base::StrCat;
namespace dom = simdjson::dom;

std::vector<std::string> Words(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::vector<std::string> out;
  for (std::string w; in >> w;) out.push_back(w);
  return out;
}

absl::StatusOr<Format> ParseFormat(std::string_view name, std::string_view text) {
  Format f;
  f.name = name;
  f.sql = text;
  while (!text.empty()) {
    const size_t eol = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, eol);
    text.remove_prefix(std::min(text.size(), eol + 1));
    const auto value = [&](std::string_view key) -> std::string_view {
      return line.substr(0, key.size()) == key ? line.substr(key.size()) : std::string_view();
    };
    if (const auto v = value("-- describes: "); !v.empty()) f.describes = v;
    if (const auto v = value("-- recognise: "); !v.empty()) f.recognise = Words(v);
    if (const auto v = value("-- reads: "); !v.empty()) f.lines = v.rfind("JSON lines", 0) == 0;
  }
  while (!f.sql.empty() &&
         (std::isspace(static_cast<unsigned char>(f.sql.back())) || f.sql.back() == ';'))
    f.sql.pop_back();
  if (f.sql.find("{source}") == std::string::npos) {
    return absl::InvalidArgumentError(
        StrCat("format ", name, ": the SELECT does not read from {source}"));
  }
  return f;
}

// One file as the FROM of a SELECT.
struct File {
  std::string path, quoted, compression;
  bool parquet = false;
};

absl::StatusOr<File> Inspect(const std::string& path) {
  if (path == "-") {
    return absl::InvalidArgumentError(
        "-: only canonical lines are read from standard input; write this log to a file first");
  }
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) {
    return absl::InvalidArgumentError(StrCat(
        path,
        ": is no regular file, and this format is read twice; write the log to a file first"));
  }
  if (path.find_first_of("*?{}") != std::string::npos) {
    return absl::InvalidArgumentError(StrCat(
        path, ": the engine would read * ? { } in a file's name as a pattern; rename the file"));
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::InvalidArgumentError(StrCat(path, ": cannot be read"));
  char magic[4] = {};
  in.read(magic, 4);
  File f;
  f.path = path;
  f.quoted = lake::SqlString(std::filesystem::absolute(path).string());
  f.parquet = std::memcmp(magic, "PAR1", 4) == 0;
  f.compression = std::memcmp(magic, "\x1f\x8b", 2) == 0           ? "gzip"
                  : std::memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0 ? "zstd"
                                                                   : "none";
  return f;
}

// The first 64 KiB, decompressed.
absl::StatusOr<std::string> Head(const std::string& path) {
  LineReader reader(
      {path}, nullptr, [](std::string) {}, [](model::Reject) { return absl::OkStatus(); });
  Chunk chunk;
  auto more = reader.Next(&chunk);
  if (!more.ok()) return more.status();
  if (!*more) return std::string();
  return chunk.bytes.substr(0, chunk.size);
}

bool Valid(std::string_view json) {
  dom::parser parser;
  dom::element e;
  return parser.parse(json.data(), json.size()).get(e) == simdjson::SUCCESS;
}

// Whether the file is one document over many lines (an array, or indented objects) and not a
// record a line.
bool OneDocument(std::string_view head) {
  size_t at = head.find_first_not_of(" \t\r\n");
  if (at == std::string_view::npos) return false;
  head.remove_prefix(at);
  std::string_view line = head.substr(0, head.find('\n'));
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  return line == "[" || line == "{" || (line[0] == '[' && !Valid(line) && line.back() == ',');
}

bool Has(dom::element e, std::string_view dotted) {
  while (true) {
    const size_t dot = dotted.find('.');
    dom::object object;
    if (e.get_object().get(object) != simdjson::SUCCESS) return false;
    dom::element next;
    if (object.at_key(dotted.substr(0, dot)).get(next) != simdjson::SUCCESS) return false;
    if (dot == std::string_view::npos) return true;
    e = next;
    dotted.remove_prefix(dot + 1);
  }
}

// OTLP's AnyValue (lowerCamelCase JSON) as plain JSON; anything else as it is.
void Plain(dom::element e, int depth, std::string* out) {
  dom::object object;
  dom::array array;
  if (depth > kNestingMax) {
    *out += "null";
  } else if (e.get_object().get(object) == simdjson::SUCCESS) {
    dom::element inner;
    for (const char* key : {"stringValue", "intValue", "doubleValue", "boolValue"}) {
      if (object.size() == 1 && object.at_key(key).get(inner) == simdjson::SUCCESS) {
        StrAppend(out, std::string(simdjson::minify(inner)));
        return;
      }
    }
    if (object.size() == 1 && object.at_key("arrayValue").get(inner) == simdjson::SUCCESS) {
      *out += '[';
      dom::array values;
      bool first = true;
      if (inner["values"].get_array().get(values) == simdjson::SUCCESS) {
        for (dom::element v : values) {
          if (!first) *out += ',';
          first = false;
          Plain(v, depth + 1, out);
        }
      }
      *out += ']';
      return;
    }
    if (object.size() == 1 && object.at_key("kvlistValue").get(inner) == simdjson::SUCCESS) {
      *out += '{';
      dom::array values;
      bool first = true;
      if (inner["values"].get_array().get(values) == simdjson::SUCCESS) {
        for (dom::element v : values) {
          std::string_view key;
          dom::element value;
          if (v["key"].get_string().get(key) != simdjson::SUCCESS ||
              v["value"].get(value) != simdjson::SUCCESS)
            continue;
          if (!first) *out += ',';
          first = false;
          base::AppendJsonString(key, out);
          *out += ':';
          Plain(value, depth + 1, out);
        }
      }
      *out += '}';
      return;
    }
    *out += '{';
    bool first = true;
    for (const auto field : object) {
      if (!first) *out += ',';
      first = false;
      base::AppendJsonString(field.key, out);
      *out += ':';
      Plain(field.value, depth + 1, out);
    }
    *out += '}';
  } else if (e.get_array().get(array) == simdjson::SUCCESS) {
    *out += '[';
    bool first = true;
    for (dom::element v : array) {
      if (!first) *out += ',';
      first = false;
      Plain(v, depth + 1, out);
    }
    *out += ']';
  } else {
    StrAppend(out, std::string(simdjson::minify(e)));
  }
}

// The text of a message, of parts, or of lists of them.
void Text(dom::element e, int depth, std::string* out) {
  std::string_view text;
  dom::object object;
  dom::array array;
  if (depth > kNestingMax) return;
  if (e.get_string().get(text) == simdjson::SUCCESS) {
    if (text.empty()) return;
    if (!out->empty()) out->push_back('\n');
    *out += text;
  } else if (e.get_array().get(array) == simdjson::SUCCESS) {
    for (dom::element v : array) Text(v, depth + 1, out);
  } else if (e.get_object().get(object) == simdjson::SUCCESS) {
    for (const auto field : object) {
      for (const char* key : {"text", "content", "parts", "message", "output_text"}) {
        if (field.key == key) Text(field.value, depth + 1, out);
      }
    }
  }
}

struct ColumnType {
  const char* name;
  const char* type;      // "String", or a number's type
  const char* fallback;  // of an absent or unusable value
};
constexpr ColumnType kColumns[] = {
    {"exchange_id", "String", "''"},
    {"ts", "Int64", "0"},
    {"account_id", "String", "''"},
    {"org_id", "String", "''"},
    {"api_key_id", "String", "''"},
    {"session_id", "String", "''"},
    {"channel", "String", "''"},
    {"model", "String", "''"},
    {"operation", "String", "''"},
    {"messages", "String", "''"},
    {"response", "String", "''"},
    {"response_json", "String", "''"},
    {"input_tokens", "UInt32", "4294967295"},
    {"output_tokens", "UInt32", "4294967295"},
    {"reasoning_tokens", "UInt32", "4294967295"},
    {"cached_tokens", "UInt32", "4294967295"},
    {"max_tokens", "UInt32", "4294967295"},
    {"latency_ms", "UInt32", "4294967295"},
    {"temperature", "Float32", "nan"},
    {"top_p", "Float32", "nan"},
    {"tools", "String", "''"},
    {"stream", "UInt8", "2"},
    {"status", "UInt16", "0"},
    {"client_ip", "String", "''"},
    {"user_agent", "String", "''"},
    {"ja4", "String", "''"},
    {"signatures_issued", "String", "''"},
    {"signatures_presented", "String", "''"},
    {"source_row", "UInt64", "0"},
    {"source_record", "String", "''"},
    {"reject", "String", "''"},
};

// Fixed columns with fixed types, whatever the format gives and leaves out: COLUMNS('^x$') is
// empty where there is no column x, and the tuple's first member is then the fallback.
std::string Wrap(std::string_view format_sql) {
  std::string sql = "SELECT ";
  for (const ColumnType& c : kColumns) {
    const std::string value = StrCat("toString((tuple(COLUMNS('^", c.name, "$'), NULL)).1)");
    if (sql.size() > 7) sql += ", ";
    if (std::string_view(c.type) == "String") {
      StrAppend(&sql, "ifNull(", value, ", '')");
    } else {
      StrAppend(&sql, "ifNull(accurateCastOrNull(", value, ", '", c.type, "'), to", c.type, "(",
                c.fallback, "))");
    }
    StrAppend(&sql, " AS c_", c.name);
  }
  StrAppend(&sql, " FROM (\n", format_sql,
            "\n) SETTINGS max_block_size = 8192, max_threads = 1, "
            "input_format_parallel_parsing = 0");
  return sql;
}

std::string ReplaceSource(std::string sql, std::string_view with) {
  for (size_t at = 0; (at = sql.find("{source}", at)) != std::string::npos; at += with.size())
    sql.replace(at, 8, with);
  return sql;
}

class FormatSource : public Source {
 public:
  FormatSource(lake::Lake* lake, Format format, std::vector<std::string> paths, int64_t now_ms)
      : lake_(lake), format_(std::move(format)), paths_(std::move(paths)), now_ms_(now_ms) {}

  absl::Status Read(int threads, const Sink& sink, Progress* progress,
                    const std::atomic<bool>* stop) override {
    std::vector<File> files;
    for (const std::string& path : paths_) {
      auto file = Inspect(path);
      if (!file.ok()) return file.status();
      files.push_back(*std::move(file));
      std::error_code ignored;
      if (progress != nullptr) progress->bytes_total += std::filesystem::file_size(path, ignored);
    }
    std::mutex lock;
    absl::Status status;
    std::atomic<bool> failed{false};
    base::Parallel(threads).For(files.size(), 1, [&](size_t begin, size_t end, int worker) {
      for (size_t i = begin; i < end && !failed; ++i) {
        const absl::Status s = ReadFile(worker, files[i], sink, progress, stop, &lock);
        if (!s.ok()) {
          const std::lock_guard<std::mutex> hold(lock);
          if (status.ok()) status = s;
          failed = true;
        } else if (progress != nullptr) {
          std::error_code ignored;
          progress->bytes_done += std::filesystem::file_size(files[i].path, ignored);
        }
      }
    });
    if (!status.ok()) return status;
    if (good_ == 0 && missing_ > 0) {
      return absl::InvalidArgumentError(StrCat("format ", format_.name,
                                               ": does not fit this log: none of its ", bad_.load(),
                                               " records carries the required fields (",
                                               first_missing_, "); name another with --format"));
    }
    if (good_ == 0 && bad_ == 0) {
      uint64_t size = 0;
      std::error_code ignored;
      for (const File& f : files) size += std::filesystem::file_size(f.path, ignored);
      if (size > 0) {
        return absl::InvalidArgumentError(
            StrCat("format ", format_.name, ": no record of this format is in ", paths_[0],
                   paths_.size() > 1 ? " and the others" : "", "; name another with --format"));
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status ReadFile(int worker, const File& file, const Sink& sink, Progress* progress,
                        const std::atomic<bool>* stop, std::mutex* lock) {
    std::string source;
    const auto query = [&](const std::string& sql,
                           const std::function<absl::Status(const lake::Block&)>& f) {
      const absl::Status s = lake_->Query(sql, f);
      if (!absl::IsInvalidArgument(s) || s.message().substr(0, 5) != "lake:") return s;
      return absl::InvalidArgumentError(
          StrCat(file.path, ": format ", format_.name, ": ",
                 std::string(s.message().data(), s.message().size())));
    };
    if (format_.lines) {
      if (file.parquet)
        return absl::InvalidArgumentError(
            StrCat(file.path, ": is Parquet; format ", format_.name, " reads JSON lines"));
      auto head = Head(file.path);
      if (!head.ok()) return head.status();
      const std::string raw = StrCat(
          "SELECT row, record FROM (SELECT rowNumberInAllBlocks() + 1 AS row, json FROM file(",
          file.quoted, ", '", OneDocument(*head) ? "JSONAsString" : "LineAsString",
          "', 'json String', '", file.compression,
          "') WHERE trim(BOTH ' \\r\\t' FROM json) != '') ARRAY JOIN if(isValidJSON(json) AND "
          "JSONType(json) = 'Array', "
          "JSONExtractArrayRaw(json), [json]) AS record");
      static constexpr std::string_view kGood =
          "isValidJSON(record) AND JSONType(record) = 'Object'";
      // What is no record never reaches the format's SELECT, and is refused one by one.
      if (absl::Status s =
              query(StrCat("SELECT toUInt64(row) AS row, substring(record, 1, 1024) AS head, "
                           "toUInt8(isValidJSON(record)) AS valid FROM (",
                           raw, ") WHERE NOT (", kGood,
                           ") SETTINGS max_threads = 1, input_format_parallel_parsing = 0"),
                    [&](const lake::Block& b) -> absl::Status {
                      for (size_t i = 0; i < b.rows(); ++i) {
                        model::Reject r;
                        r.source = file.path;
                        r.line = b.columns[0].As<std::vector<uint64_t>>()[i];
                        r.record = b.columns[1].As<lake::StringColumn>()[i];
                        r.reason = b.columns[2].As<std::vector<uint8_t>>()[i]
                                       ? "record: expected an object"
                                       : "record: not valid JSON";
                        ++bad_;
                        const std::lock_guard<std::mutex> hold(*lock);
                        if (absl::Status s = sink.reject(std::move(r)); !s.ok()) return s;
                      }
                      return absl::OkStatus();
                    });
          !s.ok()) {
        return s;
      }
      source = StrCat("(SELECT toUInt64(row) AS source_row, record AS json FROM (", raw, ") WHERE ",
                      kGood, ")");
    } else {
      source = StrCat("file(", file.quoted, file.parquet ? ", 'Parquet'" : "", ")");
    }
    RecordParser parser(now_ms_);
    Row row;
    uint64_t n = 0;
    return query(
        Wrap(ReplaceSource(format_.sql, source)), [&](const lake::Block& b) -> absl::Status {
          if (stop != nullptr && *stop) return absl::CancelledError("interrupted");
          for (size_t i = 0; i < b.rows(); ++i) {
            ++n;
            model::ExchangeView e;
            std::string reason = Convert(b, i, &parser, &row, &e);
            if (reason.empty()) {
              ++good_;
              if (progress != nullptr) ++progress->records;
              if (absl::Status s = sink.exchange(worker, e); !s.ok()) return s;
              continue;
            }
            ++bad_;
            model::Reject r;
            r.source = file.path;
            r.line = b.Find("c_source_row")->As<std::vector<uint64_t>>()[i];
            if (r.line == 0) r.line = n;
            r.record = b.Find("c_source_record")->As<lake::StringColumn>()[i].substr(0, 1024);
            const std::lock_guard<std::mutex> hold(*lock);
            if (row.missing) {
              ++missing_;
              if (first_missing_.empty()) first_missing_ = reason;
            }
            r.reason = std::move(reason);
            if (absl::Status s = sink.reject(std::move(r)); !s.ok()) return s;
          }
          return absl::OkStatus();
        });
  }

  struct Row {
    dom::parser parser;
    std::string plain, response, tools;
    std::array<std::vector<std::string>, 3> lists;
    bool missing = false;
  };

  static bool List(std::string_view json, Row* row, std::vector<std::string>* owned,
                   std::vector<std::string_view>* out, size_t max) {
    owned->clear();
    dom::element e;
    dom::array array;
    if (json.empty()) return true;
    if (json[0] == '[' && row->parser.parse(json.data(), json.size()).get(e) == simdjson::SUCCESS &&
        e.get_array().get(array) == simdjson::SUCCESS) {
      for (dom::element v : array) {
        std::string_view text;
        if (v.get_string().get(text) == simdjson::SUCCESS && !text.empty())
          owned->emplace_back(text);
      }
    } else {
      for (size_t at = 0; at <= json.size();) {
        const size_t comma = std::min(json.find(',', at), json.size());
        if (comma > at) owned->emplace_back(json.substr(at, comma - at));
        at = comma + 1;
      }
    }
    out->assign(owned->begin(), owned->end());
    return owned->size() <= max;
  }

  // Empty when the row is an exchange; else why it is not.
  std::string Convert(const lake::Block& b, size_t i, RecordParser* parser, Row* row,
                      model::ExchangeView* e) const {
    row->missing = false;
    const auto s = [&](const char* name) {
      return b.Find(StrCat("c_", name))->As<lake::StringColumn>()[i];
    };
    const auto u32 = [&](const char* name) {
      return b.Find(StrCat("c_", name))->As<std::vector<uint32_t>>()[i];
    };
    const auto f32 = [&](const char* name) {
      return b.Find(StrCat("c_", name))->As<std::vector<float>>()[i];
    };
    if (const std::string_view reason = s("reject"); !reason.empty()) {
      row->missing = true;
      return std::string(reason);
    }
    e->exchange_id = s("exchange_id");
    e->account_id = s("account_id");
    e->ts_ms = b.Find("c_ts")->As<std::vector<int64_t>>()[i];
    for (const auto& [name, id] :
         {std::pair("exchange_id", e->exchange_id), std::pair("account_id", e->account_id)}) {
      if (id.empty()) {
        row->missing = true;
        return StrCat(name, ": missing");
      }
      if (id.size() > kIdBytesMax) return StrCat(name, ": longer than ", kIdBytesMax, " bytes");
      if (std::any_of(id.begin(), id.end(),
                      [](char c) { return static_cast<uint8_t>(c) < 0x20; })) {
        return StrCat(name, ": contains a control character");
      }
    }
    if (e->ts_ms == 0) {
      row->missing = true;
      return "ts: missing or not a time";
    }
    if (e->ts_ms < 0) return "ts: before 1970";
    if (e->ts_ms > now_ms_ + base::kMsPerDay) return "ts: in the future";
    e->org_id = s("org_id");
    e->api_key_id = s("api_key_id");
    e->session_id = s("session_id");
    e->channel = s("channel");
    e->model = s("model");
    e->operation = s("operation");
    e->client_ip = s("client_ip");
    e->user_agent = s("user_agent");
    e->ja4 = s("ja4");
    const auto count = [&](const char* name) {
      const uint32_t v = u32(name);
      return v > INT32_MAX ? model::kNoTokens : v;
    };
    e->input_tokens = count("input_tokens");
    e->output_tokens = count("output_tokens");
    e->reasoning_tokens = count("reasoning_tokens");
    e->cached_tokens = count("cached_tokens");
    e->max_tokens = count("max_tokens");
    e->latency_ms = count("latency_ms");
    e->temperature = f32("temperature");
    e->top_p = f32("top_p");
    const uint8_t stream = b.Find("c_stream")->As<std::vector<uint8_t>>()[i];
    e->stream = stream < 2 ? stream : -1;
    const uint16_t status = b.Find("c_status")->As<std::vector<uint16_t>>()[i];
    e->status = status == 0 ? -1 : status;
    if (!List(s("tools"), row, &row->lists[0], &e->tools, kToolsMax))
      return StrCat("tools: more than ", kToolsMax, " entries");
    if (!List(s("signatures_issued"), row, &row->lists[1], &e->signatures_issued, kSignaturesMax) ||
        !List(s("signatures_presented"), row, &row->lists[2], &e->signatures_presented,
              kSignaturesMax)) {
      return StrCat("signatures: more than ", kSignaturesMax, " entries");
    }
    dom::element element;
    if (const std::string_view json = s("response_json"); !json.empty()) {
      row->response.clear();
      if (row->parser.parse(json.data(), json.size()).get(element) == simdjson::SUCCESS) {
        row->plain.clear();
        Plain(element, 0, &row->plain);
        if (row->parser.parse(row->plain).get(element) == simdjson::SUCCESS)
          Text(element, 0, &row->response);
      }
      e->response = row->response;
    }
    if (e->response.empty()) e->response = s("response");
    e->has_text = !e->response.empty();
    if (const std::string_view json = s("messages"); !json.empty()) {
      if (row->parser.parse(json.data(), json.size()).get(element) != simdjson::SUCCESS)
        return "messages: not valid JSON";
      row->plain.clear();
      Plain(element, 0, &row->plain);
      if (absl::Status parsed = parser->ParseMessages(row->plain, e); !parsed.ok()) {
        return std::string(parsed.message().data(), parsed.message().size());
      }
      if (e->messages > 0) e->has_text = true;
    }
    return {};
  }

  lake::Lake* lake_;
  const Format format_;
  const std::vector<std::string> paths_;
  const int64_t now_ms_;
  std::atomic<uint64_t> good_{0}, bad_{0}, missing_{0};
  std::string first_missing_;
};

}  // namespace

const std::vector<Format>& BuiltInFormats() {
  static const std::vector<Format>* formats = [] {
    auto* out = new std::vector<Format>;
    for (const base::EmbeddedFile* f = kFormatFiles; !f->name.empty(); ++f) {
      auto format = ParseFormat(f->name.substr(0, f->name.rfind('.')), f->text);
      if (format.ok()) out->push_back(*std::move(format));
    }
    return out;
  }();
  return *formats;
}

absl::StatusOr<Format> FindFormat(const std::string& name) {
  if (name.size() > 4 && name.compare(name.size() - 4, 4, ".sql") == 0) {
    std::ifstream in(name);
    if (!in) return absl::InvalidArgumentError(StrCat(name, ": cannot be read"));
    std::ostringstream text;
    text << in.rdbuf();
    return ParseFormat(name, text.str());
  }
  std::string names;
  for (const Format& f : BuiltInFormats()) {
    if (f.name == name) return f;
    StrAppend(&names, names.empty() ? "" : ", ", f.name);
  }
  return absl::NotFoundError(StrCat("--format: ", name,
                                    " is unknown; this version reads auto, canonical, ", names,
                                    ", or a FILE.sql"));
}

absl::StatusOr<Detected> DetectFormat(const std::vector<std::string>& paths) {
  if (paths.empty() || paths[0] == "-")
    return Detected{"canonical", "standard input is read as canonical lines"};
  std::error_code ignored;
  // What is read from a pipe is gone for the reader that follows.
  if (!std::filesystem::is_regular_file(paths[0], ignored)) return Detected{"canonical", ""};
  auto file = Inspect(paths[0]);
  if (!file.ok()) {
    // A name that the engine would misread is no trouble for canonical lines.
    return Detected{"canonical", ""};
  }
  std::vector<const Format*> fits;
  std::string seen;
  if (file->parquet) {
    std::ifstream in(paths[0], std::ios::binary | std::ios::ate);
    const int64_t size = in.tellg(), tail = std::min<int64_t>(size, 1 << 20);
    std::string footer(static_cast<size_t>(tail), '\0');
    in.seekg(size - tail);
    in.read(footer.data(), tail);
    for (const Format& f : BuiltInFormats()) {
      if (f.lines || f.recognise.empty()) continue;
      if (std::all_of(f.recognise.begin(), f.recognise.end(),
                      [&](const std::string& k) { return footer.find(k) != std::string::npos; })) {
        fits.push_back(&f);
      }
    }
    seen = "a Parquet file with other columns";
  } else {
    auto head = Head(paths[0]);
    if (!head.ok() || head->empty())
      return Detected{"canonical", ""};  // its reader says what is wrong
    // The first record that parses; a broken first line does not decide.
    dom::parser parser;
    dom::element e;
    bool found = false;
    std::string_view rest(*head);
    if (OneDocument(rest) && parser.parse(rest.data(), rest.size()).get(e) == simdjson::SUCCESS) {
      found = true;
    }
    for (int tries = 0; !found && tries < 64 && !rest.empty(); ++tries) {
      const size_t eol = std::min(rest.find('\n'), rest.size());
      const std::string_view line = rest.substr(0, eol);
      rest.remove_prefix(std::min(rest.size(), eol + 1));
      found = !line.empty() && parser.parse(line.data(), line.size()).get(e) == simdjson::SUCCESS &&
              (e.is_object() || e.is_array());
    }
    dom::array array;
    if (found && e.get_array().get(array) == simdjson::SUCCESS && array.size() > 0)
      e = array.at(0).value();
    dom::object object;
    if (!found || e.get_object().get(object) != simdjson::SUCCESS) return Detected{"canonical", ""};
    if (Has(e, "exchange_id") || (Has(e, "ts") && Has(e, "account_id"))) {
      return Detected{
          "canonical",
          "recognised as canonical: the first record carries exchange_id, ts, account_id"};
    }
    for (const Format& f : BuiltInFormats()) {
      if (!f.lines || f.recognise.empty()) continue;
      if (std::all_of(f.recognise.begin(), f.recognise.end(),
                      [&](const std::string& k) { return Has(e, k); }))
        fits.push_back(&f);
    }
    seen = "a record with the keys ";
    int n = 0;
    for (const auto field : object) {
      if (++n > 8) break;
      StrAppend(&seen, n > 1 ? ", " : "", std::string_view(field.key).substr(0, 64));
    }
    if (fits.empty() && n == 0) seen = "an empty object";
  }
  if (fits.empty()) {
    return absl::InvalidArgumentError(
        StrCat(paths[0], ": no known format: found ", seen,
               "; name the format with --format NAME or map it with your own FILE.sql"));
  }
  if (fits.size() > 1) {
    std::string names;
    for (const Format* f : fits) StrAppend(&names, names.empty() ? "" : ", ", f->name);
    return absl::InvalidArgumentError(
        StrCat(paths[0], ": could be ", names, "; name one with --format"));
  }
  std::string keys;
  for (const std::string& k : fits[0]->recognise) StrAppend(&keys, keys.empty() ? "" : ", ", k);
  return Detected{
      fits[0]->name,
      StrCat("recognised as ", fits[0]->name, ": ",
             file->parquet ? "the columns include " : "the first record carries ", keys)};
}

std::unique_ptr<Source> MakeFormatSource(lake::Lake* lake, Format format,
                                         std::vector<std::string> paths, int64_t now_ms) {
  return std::make_unique<FormatSource>(lake, std::move(format), std::move(paths), now_ms);
}

}  // namespace stillwatch::ingest
