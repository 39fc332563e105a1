#include "ingest/formats/records.h"

#include <simdjson.h>

#include <cstring>
#include <mutex>
#include <utility>

namespace stillwatch::ingest {
namespace {

bool Blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

std::string_view Trim(std::string_view s) {
  while (!s.empty() && Blank(s.back())) s.remove_suffix(1);
  while (!s.empty() && Blank(s.front())) s.remove_prefix(1);
  return s;
}

// The next place after `from` where a line begins with `indent` blanks and an object; npos: none.
size_t NextAtIndent(std::string_view s, size_t from, int indent) {
  for (size_t at = s.find('\n', from); at != s.npos; at = s.find('\n', at + 1)) {
    size_t p = at + 1;
    while (p < s.size() && (s[p] == ' ' || s[p] == '\t')) ++p;
    if (p < s.size() && s[p] == '{' && p - at - 1 == static_cast<size_t>(indent)) return p;
  }
  return s.npos;
}

}  // namespace

void RecordBatch::Add(std::string_view text, RawRecord r) {
  r.begin = bytes.size();
  r.size = text.size();
  bytes.append(text);
  records.push_back(r);
}

bool IsDocument(std::string_view head) {
  const size_t at = head.find_first_not_of(" \t\r\n");
  if (at == head.npos) return false;
  head.remove_prefix(at);
  const std::string_view line = Trim(head.substr(0, head.find('\n')));
  if (line == "[" || line == "{" || line == "[{") return true;
  if (line[0] != '[') return false;
  const bool goes_on = head.find('\n') == head.npos;
  if (!goes_on && line.back() != ',' && line.back() != '{') return false;
  simdjson::dom::parser parser;
  simdjson::dom::element ignored;
  return parser.parse(line.data(), line.size()).get(ignored) != simdjson::SUCCESS;
}

void DocumentSplitter::Emit(RecordBatch* batch) {
  std::string_view text = open_;
  while (!text.empty() && (Blank(text.back()) || text.back() == '\n')) text.remove_suffix(1);
  batch->Add(text, at_);
  open_.clear();
  depth_ = 0;
  string_ = escape_ = false;
}

void DocumentSplitter::Overflow(RecordBatch* batch) {
  // Up to the last place where a record may begin; the rest is split again.
  size_t cut = open_.npos;
  for (size_t p = 0; at_.indent >= 0 && (p = NextAtIndent(open_, p, at_.indent)) != open_.npos;)
    cut = p;
  if (cut == open_.npos) {
    Emit(batch);
    skipping_ = true;
    return;
  }
  const std::string rest = open_.substr(cut);
  open_.resize(cut);
  const int indent = at_.indent;
  Emit(batch);
  line_ -= CountByte(rest, '\n');
  offset_ -= rest.size();
  column_ = indent;
  Feed(rest, batch);
}

void DocumentSplitter::Feed(std::string_view text, RecordBatch* batch) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const uint64_t here = offset_++;
    const int column = column_;
    if (c == '\n') {
      column_ = 0;
    } else if (column_ >= 0) {
      column_ = c == ' ' || c == '\t' ? column_ + 1 : -1;
    }
    if (skipping_) {
      if (c == '{' && column == at_.indent && column >= 0) skipping_ = false;
    }
    if (!skipping_) {
      if (open_.empty()) {
        if (!Blank(c) && c != '\n' && c != ',' && c != '[' && c != ']') {
          at_ = {};
          at_.line = line_;
          at_.offset = here;
          at_.indent = column;
          open_.push_back(c);
          depth_ = c == '{';
          string_ = c == '"';
        }
      } else if (depth_ == 0 && !string_ && (c == ',' || c == ']' || c == '\n')) {
        Emit(batch);  // what is no object
      } else {
        open_.push_back(c);
        if (string_) {
          if (escape_)
            escape_ = false;
          else if (c == '\\')
            escape_ = true;
          else if (c == '"' || c == '\n')
            string_ = false;
        } else if (c == '"') {
          string_ = true;
        } else if (c == '{' || c == '[') {
          ++depth_;
        } else if (c == '}' || c == ']') {
          if (--depth_ <= 0) Emit(batch);
        }
      }
    }
    if (c == '\n') ++line_;
    if (open_.size() > kRecordBytesMax) Overflow(batch);
  }
}

void DocumentSplitter::Finish(RecordBatch* batch) {
  at_.cut = depth_ > 0 || string_;
  if (!open_.empty()) Emit(batch);
  *this = DocumentSplitter();
}

std::vector<RawRecord> SplitByIndent(std::string_view bytes, const RawRecord& record) {
  std::vector<RawRecord> out;
  if (record.indent < 0) return out;
  const std::string_view text = bytes.substr(record.begin, record.size);
  for (size_t at = 0; at < text.size();) {
    const size_t next = std::min(NextAtIndent(text, at, record.indent), text.size());
    RawRecord r = record;
    r.begin = record.begin + at;
    r.size = next - at;
    r.cut = record.cut && next == text.size();
    r.offset = record.offset + at;
    r.line = record.line + CountByte(text.substr(0, at), '\n');
    // A comma and, behind the last, the document's own bracket.
    for (int brackets = 0; r.size > 0; --r.size) {
      const char c = bytes[r.begin + r.size - 1];
      if (c == ']' && next == text.size() && brackets++ == 0) continue;
      if (!Blank(c) && c != '\n' && c != ',') break;
    }
    if (r.size > 0) out.push_back(r);
    at = next;
  }
  if (out.size() < 2) out.clear();
  return out;
}

struct RecordReader::State {
  State(std::vector<std::string> paths, Progress* progress, std::function<void(std::string)> note,
        std::function<absl::Status(model::Reject)> reject)
      : lines(std::move(paths), progress, std::move(note), std::move(reject), true) {}
  LineReader lines;
  std::mutex mutex;
  DocumentSplitter splitter;
  bool document = false;  // the source in progress is one; its splitter may hold a record
  std::string source;
  Chunk held;  // the first of the next source, while the end of this one is handed out
  bool holds = false;
  uint64_t batches = 0;
};

RecordReader::RecordReader(std::vector<std::string> paths, Progress* progress,
                           std::function<void(std::string)> note,
                           std::function<absl::Status(model::Reject)> reject)
    : state_(std::make_unique<State>(std::move(paths), progress, std::move(note),
                                     std::move(reject))) {}
RecordReader::~RecordReader() = default;

void RecordReader::StopBy(const std::atomic<bool>* stop) { state_->lines.StopBy(stop); }

absl::StatusOr<bool> RecordReader::Next(RecordBatch* batch) {
  State& s = *state_;
  struct Lines {
    size_t begin, end;
    uint64_t line, offset;
  };
  std::vector<Lines> parts;
  batch->bytes.clear();
  batch->records.clear();
  {
    const std::lock_guard<std::mutex> lock(s.mutex);
    Chunk chunk;
    for (;;) {
      absl::StatusOr<bool> more = true;
      if (s.holds) {
        chunk = std::move(s.held);
        s.holds = false;
      } else {
        more = s.lines.Next(&chunk);
        if (!more.ok() || !*more || chunk.first) {
          if (s.document) s.splitter.Finish(batch);
          s.document = false;
        }
        if (!batch->bytes.empty() && (!more.ok() || !*more || chunk.first)) {
          s.holds = more.ok() && *more;
          if (s.holds) s.held = std::move(chunk);
          break;  // the reader gives its end or error once more
        }
      }
      if (!more.ok() || !*more) return more;
      const std::string_view text = std::string_view(chunk.bytes).substr(0, chunk.size);
      if (chunk.first) {
        s.document = IsDocument(text);
        s.splitter = DocumentSplitter(chunk.first_line, chunk.offset);
        s.source = chunk.source;
      }
      if (s.document) {
        s.splitter.Feed(text, batch);
      } else {
        parts.push_back({batch->bytes.size(), batch->bytes.size() + text.size(), chunk.first_line,
                         chunk.offset});
        batch->bytes.append(text);
      }
      if (batch->bytes.size() >= kBatchBytes) break;
    }
    batch->source = s.source;
    batch->number = ++s.batches;
  }
  // Lines need no order: split outside of the lock.
  RecordBatch elements;  // of lines that are arrays
  for (const Lines& part : parts) {
    uint64_t line = part.line;
    for (size_t at = part.begin; at < part.end; ++line) {
      const size_t end = std::min(batch->bytes.find('\n', at), part.end);
      const std::string_view text = Trim(std::string_view(batch->bytes).substr(at, end - at));
      const size_t begin = static_cast<size_t>(text.data() - batch->bytes.data());
      const uint64_t offset = part.offset + begin - part.begin;
      if (!text.empty() && text[0] == '[') {
        DocumentSplitter splitter(line, offset);
        splitter.Feed(text, &elements);
        splitter.Finish(&elements);
      } else if (!text.empty()) {
        batch->records.push_back({begin, text.size(), line, offset, false, -1});
      }
      at = end + 1;
    }
  }
  for (RawRecord r : elements.records) {
    r.begin += batch->bytes.size();
    r.indent = -1;
    batch->records.push_back(r);
  }
  batch->bytes += elements.bytes;
  batch->bytes.append(64, '\0');
  return true;
}

}  // namespace stillwatch::ingest
