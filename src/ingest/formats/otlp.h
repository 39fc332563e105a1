// Spans and log records with the GenAI conventions (current, older, OpenInference), however they
// arrived, to the rows that otlp_traces.sql and otlp_logs.sql give; tests hold them equal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/formats/rows.h"

namespace stillwatch::ingest {

// OTLP's AnyValue. Views live as long as the rows are read.
struct OtlpValue {
  enum Kind : uint8_t { kNone, kText, kBool, kInt, kDouble, kJson } kind = kNone;
  std::string_view text;  // kText; of kJson as OTLP/JSON has it: {"arrayValue": ...}
  int64_t number = 0;     // kBool, kInt
  double real = 0;        // kDouble
};

// The attributes of one span or record over those of its resource: those of its own come first, of
// two under one key the first counts. Thread-compatible.
class OtlpAttributes {
 public:
  OtlpAttributes();
  void Clear();
  // Whether anybody asks for this one: if not, it need not be added.
  static bool Asked(std::string_view key);
  void Add(std::string_view key, const OtlpValue& value);

 private:
  template <typename W>
  friend class OtlpRow;
  std::vector<OtlpValue> known_;
  uint64_t has_ = 0;
  // PREFIX.N.role, PREFIX.N.content: messages as attributes of their own.
  std::vector<std::pair<std::string_view, OtlpValue>> numbered_;
};

struct OtlpEvent {
  std::string_view name;
  OtlpValue content, prompt, message, completion;  // content, gen_ai.prompt, message, ...
  // Takes an attribute that is one of these and is not there yet.
  void Add(std::string_view key, const OtlpValue& value);
  static bool Asked(std::string_view key);
};

struct OtlpSpan {
  std::string_view id;  // TRACE-SPAN
  uint64_t begin_ns = 0, end_ns = 0;
  std::vector<OtlpEvent> events;
};

struct OtlpLog {
  std::string_view id, event_name;
  uint64_t time_ns = 0, observed_ns = 0;
  std::string_view body;  // as OTLP/JSON; empty: none
  OtlpValue content;      // the body's `content`
};

enum class OtlpSpeaks : uint8_t { kNothing, kExchange, kMessage };  // a message: of older events

// Appends the row, all but source_row and source_record, of what speaks of an exchange. W: Rows or
// RowWriter.
template <typename W>
OtlpSpeaks AppendSpan(const OtlpSpan& span, const OtlpAttributes& attributes, W* rows);
template <typename W>
OtlpSpeaks AppendLog(const OtlpLog& log, const OtlpAttributes& attributes, W* rows);

}  // namespace stillwatch::ingest
