#include "serve/otlp/json.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/json.h"
#include "base/str.h"
#include "ingest/source.h"
#include "serve/otlp/otlp.pb.h"

namespace stillwatch::otlp {
namespace {

namespace dom = simdjson::dom;
using base::StrCat;

struct Bad {
  std::string what;
};

std::string_view Text(dom::object o, std::string_view key) {
  std::string_view s;
  return o[key].get(s) == simdjson::SUCCESS ? s : std::string_view();
}

// A list under `key`; absent or null: empty.
template <typename F>
void List(dom::object o, std::string_view key, F each) {
  dom::element v;
  dom::array list;
  if (o[key].get(v) != simdjson::SUCCESS || v.is_null()) return;
  if (v.get(list) != simdjson::SUCCESS) throw Bad{StrCat(key, ": expected a list")};
  for (dom::element item : list) {
    dom::object member;
    if (item.get(member) != simdjson::SUCCESS)
      throw Bad{StrCat(key, ": expected a list of objects")};
    each(member);
  }
}

template <typename T>
T Number(dom::element v) {
  T n{};
  std::string_view s;
  if (v.get(n) == simdjson::SUCCESS) return n;
  if (v.get(s) == simdjson::SUCCESS) {
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
    if (error != std::errc() || end != s.data() + s.size()) return T{};
  }
  return n;
}

uint64_t Nanoseconds(dom::object o, std::string_view key) {
  dom::element v;
  return o[key].get(v) == simdjson::SUCCESS ? Number<uint64_t>(v) : 0;
}

void Any(dom::element e, int depth, AnyValue* out) {
  dom::object o;
  if (depth > ingest::kNestingMax || e.get(o) != simdjson::SUCCESS) return;
  for (const auto [key, v] : o) {
    std::string_view s;
    bool b;
    dom::object inner;
    dom::array values;
    if (key == "stringValue" && v.get(s) == simdjson::SUCCESS) {
      out->set_string_value(s.data(), s.size());
    } else if (key == "boolValue" && v.get(b) == simdjson::SUCCESS) {
      out->set_bool_value(b);
    } else if (key == "intValue") {
      out->set_int_value(Number<int64_t>(v));
    } else if (key == "doubleValue") {
      out->set_double_value(Number<double>(v));
    } else if (key == "arrayValue" && v.get(inner) == simdjson::SUCCESS) {
      ArrayValue* list = out->mutable_array_value();
      if (inner["values"].get(values) != simdjson::SUCCESS) continue;
      for (dom::element item : values) Any(item, depth + 1, list->add_values());
    } else if (key == "kvlistValue" && v.get(inner) == simdjson::SUCCESS) {
      KeyValueList* list = out->mutable_kvlist_value();
      if (inner["values"].get(values) != simdjson::SUCCESS) continue;
      for (dom::element item : values) {
        dom::object member;
        if (item.get(member) != simdjson::SUCCESS) continue;
        KeyValue* kv = list->add_values();
        const std::string_view name = Text(member, "key");
        kv->set_key(name.data(), name.size());
        dom::element value;
        if (member["value"].get(value) == simdjson::SUCCESS)
          Any(value, depth + 1, kv->mutable_value());
      }
    }
  }
}

template <typename T>
void Attributes(dom::object o, T* out) {
  List(o, "attributes", [&](dom::object member) {
    KeyValue* kv = out->add_attributes();
    const std::string_view key = Text(member, "key");
    kv->set_key(key.data(), key.size());
    dom::element value;
    if (member["value"].get(value) == simdjson::SUCCESS) Any(value, 0, kv->mutable_value());
  });
}

std::string Id(dom::object o, std::string_view key) {
  std::string id(Text(o, key));
  const auto hex = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  if (std::all_of(id.begin(), id.end(), hex)) {
    for (char& c : id) c = static_cast<char>(c | 0x20);  // digits have that bit
  }
  return id;
}

void OneSpan(dom::object o, Span* span) {
  span->set_trace_id(Id(o, "traceId"));
  span->set_span_id(Id(o, "spanId"));
  span->set_name(std::string(Text(o, "name")));
  span->set_start_time_unix_nano(Nanoseconds(o, "startTimeUnixNano"));
  span->set_end_time_unix_nano(Nanoseconds(o, "endTimeUnixNano"));
  Attributes(o, span);
  List(o, "events", [&](dom::object e) {
    Event* event = span->add_events();
    event->set_name(std::string(Text(e, "name")));
    Attributes(e, event);
  });
}

void OneLog(dom::object o, LogRecord* log) {
  log->set_trace_id(Id(o, "traceId"));
  log->set_span_id(Id(o, "spanId"));
  log->set_time_unix_nano(Nanoseconds(o, "timeUnixNano"));
  log->set_observed_time_unix_nano(Nanoseconds(o, "observedTimeUnixNano"));
  log->set_event_name(std::string(Text(o, "eventName")));
  dom::element body;
  if (o["body"].get(body) == simdjson::SUCCESS && !body.is_null())
    Any(body, 0, log->mutable_body());
  Attributes(o, log);
}

template <typename F>
absl::Status Document(std::string_view json, F read) {
  thread_local dom::parser parser;
  dom::element e;
  dom::object o;
  if (const auto error = parser.parse(json.data(), json.size()).get(e); error) {
    return absl::InvalidArgumentError(
        StrCat("body: not valid JSON: ", simdjson::error_message(error)));
  }
  if (e.get(o) != simdjson::SUCCESS) return absl::InvalidArgumentError("body: expected an object");
  try {
    read(o);
  } catch (const Bad& bad) {
    return absl::InvalidArgumentError(bad.what);
  }
  return absl::OkStatus();
}

template <typename T>
void WithResource(dom::object o, T* out) {
  dom::object resource;
  if (o["resource"].get(resource) == simdjson::SUCCESS)
    Attributes(resource, out->mutable_resource());
}

}  // namespace

absl::Status TracesFromJson(std::string_view json, Traces* out) {
  return Document(json, [&](dom::object o) {
    List(o, "resourceSpans", [&](dom::object r) {
      ResourceSpans* of = out->add_resource_spans();
      WithResource(r, of);
      List(r, "scopeSpans", [&](dom::object scope) {
        ScopeSpans* spans = of->add_scope_spans();
        List(scope, "spans", [&](dom::object s) { OneSpan(s, spans->add_spans()); });
      });
    });
  });
}

absl::Status LogsFromJson(std::string_view json, Logs* out) {
  return Document(json, [&](dom::object o) {
    List(o, "resourceLogs", [&](dom::object r) {
      ResourceLogs* of = out->add_resource_logs();
      WithResource(r, of);
      List(r, "scopeLogs", [&](dom::object scope) {
        ScopeLogs* logs = of->add_scope_logs();
        List(scope, "logRecords", [&](dom::object l) { OneLog(l, logs->add_log_records()); });
      });
    });
  });
}

void AppendJson(const AnyValue& value, std::string* out) {
  *out += '{';
  switch (value.value_case()) {
    case AnyValue::kStringValue:
      *out += "\"stringValue\":";
      base::AppendJsonString(value.string_value(), out);
      break;
    case AnyValue::kBoolValue:
      *out += value.bool_value() ? "\"boolValue\":true" : "\"boolValue\":false";
      break;
    case AnyValue::kIntValue:
      base::StrAppend(out, "\"intValue\":", value.int_value());
      break;
    case AnyValue::kDoubleValue:
      *out += "\"doubleValue\":";
      base::AppendJsonNumber(value.double_value(), out);
      break;
    case AnyValue::kArrayValue: {
      *out += "\"arrayValue\":{\"values\":[";
      bool first = true;
      for (const AnyValue& v : value.array_value().values()) {
        if (!first) *out += ',';
        first = false;
        AppendJson(v, out);
      }
      *out += "]}";
      break;
    }
    case AnyValue::kKvlistValue: {
      *out += "\"kvlistValue\":{\"values\":[";
      bool first = true;
      for (const KeyValue& kv : value.kvlist_value().values()) {
        if (!first) *out += ',';
        first = false;
        *out += "{\"key\":";
        base::AppendJsonString(kv.key(), out);
        *out += ",\"value\":";
        AppendJson(kv.value(), out);
        *out += '}';
      }
      *out += "]}";
      break;
    }
    case AnyValue::kBytesValue:
    case AnyValue::VALUE_NOT_SET:
      break;
  }
  *out += '}';
}

}  // namespace stillwatch::otlp
