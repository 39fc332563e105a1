// A row of a format's SELECT -> an exchange.
#pragma once

#include <simdjson.h>

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "lake/block.h"
#include "model/exchange.h"

namespace stillwatch::ingest {

// The SELECT with its columns brought to fixed names and types, whatever the format gives and
// leaves out; one thread, so that rows keep their order. `strict`: a number that is none refuses
// its row; else it counts as unknown.
std::string WrapSelect(std::string_view format_sql, bool strict);

// Rows as a wrapped SELECT gives them, for decoders that take a format apart in C++: so they differ
// from the SQL in nothing behind the SELECT. They refer to the texts that they are given, which
// must live as long as they are read. Thread-compatible.
class Rows {
 public:
  static constexpr size_t kCount = 35;
  // JSON that was parsed already, in place of a column's text.
  enum Parsed : uint8_t {
    kMessagesParsed,
    kResponseParsed,
    kToolsParsed,
    kSystemParsed,
    kRecordParsed,
    kNoneParsed
  };
  struct Row {
    std::array<std::string_view, kCount> text;
    std::array<uint64_t, kCount> number;  // of a Float32 its bits
    std::array<simdjson::dom::element, kNoneParsed> parsed;
    uint64_t set = 0;        // columns
    uint8_t has_parsed = 0;  // bits by Parsed
    std::string_view unfit;
  };
  // Begins a row; what is not Set in it reads as if the SELECT lacked the column.
  void Begin();
  // At most once per row and column (RowWriter::Column): the first counts. Text is cast as the
  // wrapped SELECT casts it.
  void Set(int column, std::string_view text);
  void Set(int column, uint64_t number);  // of integer columns alone
  // Of system, messages, response_json, tools and source_record.
  void Set(int column, simdjson::dom::element json);
  bool Has(int column) const { return rows_[size_ - 1].set >> column & 1; }
  // A text that is to live as long as the rows.
  std::string_view Keep(std::string text);
  size_t size() const { return size_; }
  Row& operator[](size_t i) { return rows_[i]; }
  const Row& operator[](size_t i) const { return rows_[i]; }
  void Clear() { Cut(0); }
  void Cut(size_t size);  // to the first rows; texts are kept until there are none

 private:
  std::vector<Row> rows_;  // more than size_ to be used again
  size_t size_ = 0;
  std::deque<std::string> kept_;
  size_t kept_size_ = 0;
};

// Thread-compatible; views that it fills live until the next call.
class RowReader {
 public:
  explicit RowReader(int64_t now_ms);
  ~RowReader();
  struct Outcome {
    std::string reason;    // empty: the row is an exchange
    bool missing = false;  // a required field: the format may not fit
    uint64_t source_row = 0;
    std::string_view record;  // `source_record`, if the SELECT gives one
  };
  // `b` is of a wrapped SELECT.
  Outcome Read(const lake::Block& b, size_t row, model::ExchangeView* e);
  Outcome Read(const Rows::Row& row, model::ExchangeView* e);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The same as Rows, with the texts copied into a block. Thread-compatible.
class RowWriter {
 public:
  RowWriter();
  // The column's place for Set; -1 when no exchange has such a field.
  static int Column(std::string_view name);
  // Begins a row; what is not Set in it reads as if the SELECT lacked the column.
  void Begin();
  // At most once per row and column. Text is cast as the wrapped SELECT casts it.
  void Set(int column, std::string_view text);
  void Set(int column, uint64_t number);  // of integer columns alone
  size_t rows() const { return rows_; }
  // Complete after the last Set of the last row; valid until Clear.
  const lake::Block& Block();
  void Clear();

 private:
  void Fill();
  lake::Block block_;
  size_t rows_ = 0;
};

// Places of the columns, for Set.
struct Columns {
  static int At(const char* name) { return RowWriter::Column(name); }
  int id = At("exchange_id"), ts = At("ts"), account = At("account_id"), part = At("part_of"),
      order = At("part_order"), system = At("system"), messages = At("messages"),
      response = At("response"), json = At("response_json"), tools = At("tools"),
      stream = At("stream"), status = At("status"), issued = At("signatures_issued"),
      row = At("source_row"), record = At("source_record"), reject = At("reject"),
      org = At("org_id"), key = At("api_key_id"), session = At("session_id"),
      channel = At("channel"), model = At("model"), operation = At("operation"),
      ip = At("client_ip"), agent = At("user_agent"), input = At("input_tokens"),
      output = At("output_tokens"), reasoning = At("reasoning_tokens"),
      cached = At("cached_tokens"), max = At("max_tokens"), latency = At("latency_ms"),
      temperature = At("temperature"), top_p = At("top_p");
};

// Whether a row of a wrapped SELECT is a part of an exchange only (`part_of`).
bool IsPart(const lake::Block& b, size_t row);
uint64_t SourceRow(const lake::Block& b, size_t row);

// Puts exchanges together whose parts are rows of their own, somewhere near each other in the log:
// messages and answers in the order of time, of everything else what says something first.
// Thread-compatible.
class RowJoiner {
 public:
  static constexpr size_t kOpenMax = 16'384;           // exchanges that wait for parts
  static constexpr size_t kOpenBytesMax = 256u << 20;  // and their texts
  // `batch` numbers what is read in order, by several workers at a time.
  void Take(const lake::Block& b, size_t row, uint64_t batch, model::Reject place);
  // The oldest exchange, as one row, and where it began: `all`, or while more than kOpenMax wait
  // and the batches before `settled` are done, two of them since its last part. Four times as many
  // or too many bytes wait for nothing.
  bool Next(bool all, uint64_t settled, lake::Block* row, model::Reject* place);

 private:
  struct Item {
    uint64_t order, line;
    std::string json;
  };
  struct Open {
    int64_t ts = 0;
    uint64_t batch = 0;  // of the last part
    model::Reject place;
    std::vector<Item> asked, answered;
    std::vector<std::variant<std::string, uint64_t, float>> values;
  };
  std::unordered_map<std::string, Open> open_;
  std::deque<std::string> order_;
  size_t bytes_ = 0;
};

// All rows of a block, in order; parts of one exchange are joined within it. A reject's line is its
// row's source_row.
void ReadRows(const lake::Block& b, RowReader* reader,
              const std::function<void(const model::ExchangeView&)>& exchange,
              const std::function<void(model::Reject)>& reject);

}  // namespace stillwatch::ingest
