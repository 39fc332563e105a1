// otlp_traces.sql and otlp_logs.sql in C++.
#include <cmath>

#include "ingest/formats/decode.h"
#include "ingest/formats/members.h"
#include "ingest/formats/otlp.h"

namespace stillwatch::ingest {
namespace {

namespace dom = simdjson::dom;
using Names = std::string_view;

constexpr std::array<Names, 2> kPair = {"key", "value"};
constexpr std::array<Names, 1> kAttributes = {"attributes"};
constexpr std::array<Names, 2> kEventNames = {"name", "attributes"};
constexpr std::array<Names, 6> kSpanNames = {"traceId",         "spanId",     "startTimeUnixNano",
                                             "endTimeUnixNano", "attributes", "events"};
constexpr std::array<Names, 6> kLogNames = {"traceId",   "spanId",     "timeUnixNano",
                                            "eventName", "attributes", "observedTimeUnixNano"};

class OtlpDecoder : public Decoder {
 public:
  explicit OtlpDecoder(bool traces) : traces_(traces) {}

  bool Decode(dom::element record, Rows* rows) override {
    constexpr std::array<Names, 1> kTop[] = {{"resourceLogs"}, {"resourceSpans"}};
    constexpr std::array<Names, 2> kResource[] = {{"resource", "scopeLogs"},
                                                  {"resource", "scopeSpans"}};
    constexpr std::array<Names, 1> kScope[] = {{"logRecords"}, {"spans"}};
    odd_ = false;
    older_ = false;
    Each(Members(kTop[traces_], record, &odd_).Array(0), [&](dom::element r) {
      const Members resource(kResource[traces_], r, &odd_);
      const auto shared = Members(kAttributes, resource[0], &odd_).Array(0);
      Each(resource.Array(1), [&](dom::element scope) {
        Each(Members(kScope[traces_], scope, &odd_).Array(0),
             [&](dom::element one) { One(one, shared, rows); });
      });
    });
    return !odd_ && !older_;
  }

 private:
  template <typename F>
  void Each(const std::optional<dom::element>& list, F each) {
    dom::array items;
    if (!list || list->get_array().get(items) != simdjson::SUCCESS) return;
    for (dom::element item : items) {
      if (odd_ || older_) return;
      if (!item.is_object()) odd_ = true;
      each(item);
    }
  }

  OtlpValue Value(const std::optional<dom::element>& e, Rows* rows) {
    OtlpValue out;
    dom::object object;
    if (!e || e->get_object().get(object) != simdjson::SUCCESS || object.size() > 1) {
      odd_ = true;
      return out;
    }
    for (const auto [key, v] : object) {
      const bool text = v.get_string().get(out.text) == simdjson::SUCCESS;
      bool flag = false;
      if (key == "stringValue") {
        odd_ = odd_ || !text;
        out.kind = OtlpValue::kText;
      } else if (key == "intValue" || key == "doubleValue" || key == "boolValue") {
        if (text) {
          out.kind = OtlpValue::kText;
        } else if (v.get_bool().get(flag) == simdjson::SUCCESS) {
          out.kind = OtlpValue::kBool;
          out.number = flag;
        } else if (v.get_int64().get(out.number) == simdjson::SUCCESS) {
          out.kind = OtlpValue::kInt;
        } else if (v.get_double().get(out.real) == simdjson::SUCCESS) {
          // How the engine writes very large and small ones is its own affair.
          const double size = std::abs(out.real);
          odd_ = odd_ || !(size == 0 || (size >= 1e-4 && size < 1e15));
          out.kind = OtlpValue::kDouble;
        } else {
          odd_ = true;
        }
      } else if (key == "arrayValue" || key == "kvlistValue") {
        odd_ = odd_ || !v.is_object();
        out.text = rows->Keep(std::string(simdjson::minify(*e)));
        out.kind = OtlpValue::kJson;
      } else if (key != "bytesValue") {
        odd_ = true;
      }
    }
    return out;
  }

  template <typename F>
  void Attributes(const std::optional<dom::element>& list, Rows* rows, F add) {
    Each(list, [&](dom::element item) {
      const Members kv(kPair, item, &odd_);
      const std::string_view key = kv.Text(0);
      add(key, [&] { return Value(kv[1], rows); });
    });
  }

  uint64_t Time(const std::optional<dom::element>& e) {
    uint64_t n = 0;
    std::string_view text;
    if (!e || e->get_uint64().get(n) == simdjson::SUCCESS) return n;
    if (e->get_string().get(text) != simdjson::SUCCESS) {
      odd_ = true;
      return 0;
    }
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc() || end != text.data() + text.size() || n > INT64_MAX) odd_ = true;
    return n;
  }

  void One(dom::element e, const std::optional<dom::element>& shared, Rows* rows) {
    const Members m(traces_ ? kSpanNames : kLogNames, e, &odd_);
    attributes_.Clear();
    for (const auto& list : {m.Array(4), shared}) {
      Attributes(list, rows, [&](std::string_view key, auto value) {
        if (OtlpAttributes::Asked(key)) attributes_.Add(key, value());
      });
    }
    std::string id(m.Text(0));
    if (const std::string_view span = m.Text(1); !span.empty()) (id += '-') += span;
    OtlpSpeaks speaks;
    if (traces_) {
      span_.id = rows->Keep(std::move(id));
      span_.begin_ns = Time(m[2]);
      span_.end_ns = Time(m[3]);
      span_.events.clear();
      Each(m.Array(5), [&](dom::element event) {
        const Members named(kEventNames, event, &odd_);
        OtlpEvent& to = span_.events.emplace_back();
        to.name = named.Text(0);
        Attributes(named.Array(1), rows, [&](std::string_view key, auto value) {
          if (OtlpEvent::Asked(key)) to.Add(key, value());
        });
      });
      speaks = AppendSpan(span_, attributes_, rows);
    } else {
      OtlpLog log;
      log.id = rows->Keep(std::move(id));
      log.event_name = m.Text(3);
      log.time_ns = Time(m[2]);
      log.observed_ns = Time(m[5]);
      speaks = AppendLog(log, attributes_, rows);
    }
    older_ = speaks == OtlpSpeaks::kMessage;
    if (speaks == OtlpSpeaks::kExchange) rows->Set(c_.record, e);
  }

  const bool traces_;
  const Columns c_{};
  OtlpAttributes attributes_;
  OtlpSpan span_;
  Odd odd_ = false;
  bool older_ = false;  // an event of a message: the SELECT puts them together
};

}  // namespace

std::unique_ptr<Decoder> MakeOtlpTracesDecoder() { return std::make_unique<OtlpDecoder>(true); }
std::unique_ptr<Decoder> MakeOtlpLogsDecoder() { return std::make_unique<OtlpDecoder>(false); }

}  // namespace stillwatch::ingest
