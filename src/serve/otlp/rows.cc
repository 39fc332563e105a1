#include "serve/otlp/rows.h"

#include <deque>
#include <string>
#include <string_view>

#include "base/hex.h"
#include "base/str.h"
#include "ingest/formats/otlp.h"
#include "serve/otlp/json.h"
#include "serve/otlp/otlp.pb.h"

namespace stillwatch::otlp {
namespace {

using base::StrAppend;
using base::StrCat;
using ingest::OtlpAttributes;
using ingest::OtlpEvent;
using ingest::OtlpSpeaks;
using ingest::OtlpValue;
using ingest::RowWriter;
using Attributes = google::protobuf::RepeatedPtrField<KeyValue>;

std::string IdOf(const std::string& trace, const std::string& span, bool text) {
  std::string out = text ? trace : base::Hex(trace);
  if (!span.empty()) StrAppend(&out, "-", text ? span : base::Hex(span));
  return out;
}

// One span or record at a time; views into it and into what was made of it.
class Reader {
 public:
  Reader(bool text_ids, RowWriter* rows) : text_ids_(text_ids), rows_(rows) {}

  void One(const Span& span, const Attributes& resource, uint64_t number) {
    Begin(span.attributes(), resource);
    const std::string id = IdOf(span.trace_id(), span.span_id(), text_ids_);
    span_.id = id;
    span_.begin_ns = span.start_time_unix_nano();
    span_.end_ns = span.end_time_unix_nano();
    span_.events.clear();
    for (const Event& e : span.events()) {
      OtlpEvent& event = span_.events.emplace_back();
      event.name = e.name();
      for (const KeyValue& kv : e.attributes()) {
        if (OtlpEvent::Asked(kv.key())) event.Add(kv.key(), Value(kv.value()));
      }
    }
    if (AppendSpan(span_, attributes_, rows_) == OtlpSpeaks::kNothing) return;
    rows_->Set(c_.row, number);
    rows_->Set(c_.record, StrCat("span ", id, " ", span.name()));
  }

  void One(const LogRecord& log, const Attributes& resource, uint64_t number) {
    Begin(log.attributes(), resource);
    const std::string id = IdOf(log.trace_id(), log.span_id(), text_ids_);
    ingest::OtlpLog l;
    l.id = id;
    l.event_name = log.event_name();
    l.time_ns = log.time_unix_nano();
    l.observed_ns = log.observed_time_unix_nano();
    if (log.has_body()) {
      std::string& body = kept_.emplace_back();
      AppendJson(log.body(), &body);
      l.body = body;
    }
    for (const KeyValue& kv : log.body().kvlist_value().values()) {
      if (kv.key() != "content") continue;
      l.content = Value(kv.value());
      break;
    }
    if (AppendLog(l, attributes_, rows_) == OtlpSpeaks::kNothing) return;
    rows_->Set(c_.row, number);
    rows_->Set(c_.record, StrCat("log ", id, " ", l.event_name));
  }

 private:
  void Begin(const Attributes& own, const Attributes& resource) {
    kept_.clear();
    attributes_.Clear();
    for (const Attributes* list : {&own, &resource}) {
      for (const KeyValue& kv : *list) {
        if (OtlpAttributes::Asked(kv.key())) attributes_.Add(kv.key(), Value(kv.value()));
      }
    }
  }

  OtlpValue Value(const AnyValue& v) {
    OtlpValue out;
    switch (v.value_case()) {
      case AnyValue::kStringValue:
        out.kind = OtlpValue::kText;
        out.text = v.string_value();
        break;
      case AnyValue::kBoolValue:
        out.kind = OtlpValue::kBool;
        out.number = v.bool_value();
        break;
      case AnyValue::kIntValue:
        out.kind = OtlpValue::kInt;
        out.number = v.int_value();
        break;
      case AnyValue::kDoubleValue:
        out.kind = OtlpValue::kDouble;
        out.real = v.double_value();
        break;
      case AnyValue::kArrayValue:
      case AnyValue::kKvlistValue:
        out.kind = OtlpValue::kJson;
        AppendJson(v, &kept_.emplace_back());
        out.text = kept_.back();
        break;
      case AnyValue::kBytesValue:
      case AnyValue::VALUE_NOT_SET:
        break;
    }
    return out;
  }

  const bool text_ids_;
  RowWriter* const rows_;
  const ingest::Columns c_{};
  OtlpAttributes attributes_;
  ingest::OtlpSpan span_;
  std::deque<std::string> kept_;
};

}  // namespace

void RowsOf(const Traces& traces, bool text_ids, RowWriter* rows) {
  Reader reader(text_ids, rows);
  uint64_t number = 0;
  for (const ResourceSpans& r : traces.resource_spans()) {
    for (const ScopeSpans& scope : r.scope_spans()) {
      for (const Span& span : scope.spans()) reader.One(span, r.resource().attributes(), ++number);
    }
  }
}

void RowsOf(const Logs& logs, bool text_ids, RowWriter* rows) {
  Reader reader(text_ids, rows);
  uint64_t number = 0;
  for (const ResourceLogs& r : logs.resource_logs()) {
    for (const ScopeLogs& scope : r.scope_logs()) {
      for (const LogRecord& log : scope.log_records())
        reader.One(log, r.resource().attributes(), ++number);
    }
  }
}

}  // namespace stillwatch::otlp
