#include "ingest/formats/rows.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <optional>
#include <tuple>
#include <variant>

#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "ingest/jsonl/jsonl_source.h"
#include "ingest/source.h"

namespace stillwatch::ingest {
namespace {

using base::StrAppend;
using base::StrCat;
using model::ExchangeView;
namespace dom = simdjson::dom;

// OTLP's AnyValue (lowerCamelCase JSON) as plain JSON; anything else as it is.
void Plain(dom::element e, int depth, std::string* out) {
  dom::object object;
  dom::array array;
  if (depth > kNestingMax) {
    *out += "null";
    return;
  }
  const auto list = [&](dom::array values) {
    *out += '[';
    bool first = true;
    for (dom::element v : values) {
      if (!first) *out += ',';
      first = false;
      Plain(v, depth + 1, out);
    }
    *out += ']';
  };
  bool first = true;
  const auto member = [&](std::string_view key, dom::element value) {
    if (!first) *out += ',';
    first = false;
    base::AppendJsonString(key, out);
    *out += ':';
    Plain(value, depth + 1, out);
  };
  if (e.get_object().get(object) == simdjson::SUCCESS) {
    dom::element inner;
    dom::array values;
    const bool lone = object.size() == 1;
    for (const char* key : {"stringValue", "intValue", "doubleValue", "boolValue"}) {
      if (lone && object.at_key(key).get(inner) == simdjson::SUCCESS) {
        StrAppend(out, std::string(simdjson::minify(inner)));
        return;
      }
    }
    if (lone && object.at_key("arrayValue").get(inner) == simdjson::SUCCESS) {
      if (inner["values"].get_array().get(values) == simdjson::SUCCESS)
        list(values);
      else
        *out += "[]";
      return;
    }
    *out += '{';
    if (lone && object.at_key("kvlistValue").get(inner) == simdjson::SUCCESS) {
      if (inner["values"].get_array().get(values) == simdjson::SUCCESS) {
        for (dom::element v : values) {
          std::string_view key;
          dom::element value;
          if (v["key"].get_string().get(key) == simdjson::SUCCESS &&
              v["value"].get(value) == simdjson::SUCCESS)
            member(key, value);
        }
      }
    } else {
      for (const auto field : object) member(field.key, field.value);
    }
    *out += '}';
  } else if (e.get_array().get(array) == simdjson::SUCCESS) {
    list(array);
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
    std::string_view type;
    // What the model thought is no part of its answer.
    if (object["type"].get_string().get(type) == simdjson::SUCCESS &&
        (type == "reasoning" || type == "thinking"))
      return;
    for (const auto field : object) {
      for (const char* key : {"text", "content", "parts", "message", "output_text"}) {
        if (field.key == key) Text(field.value, depth + 1, out);
      }
    }
  }
}

// Signatures of reasoning in messages: of Anthropic's thinking blocks (as LiteLLM passes them on,
// too), of Bedrock's reasoningText, `data` of redacted ones, `encrypted_content` of OpenAI's
// reasoning items, thoughtSignature of Gemini's parts. Each once, however often it is repeated.
void Signatures(dom::element e, std::string_view under, int depth, std::vector<std::string>* out) {
  dom::object object;
  dom::array array;
  if (depth > kNestingMax) return;
  if (e.get_array().get(array) == simdjson::SUCCESS) {
    for (dom::element v : array) Signatures(v, under, depth + 1, out);
  } else if (e.get_object().get(object) == simdjson::SUCCESS) {
    std::string_view type, text;
    if (object["type"].get_string().get(type) != simdjson::SUCCESS) type = {};
    const bool reasons = type == "thinking" || type.starts_with("reasoning");
    for (const auto field : object) {
      const std::string_view key = field.key;
      // What a tool is called with or gives back is anybody's.
      if (key == "input" || key == "arguments" || key == "response" || key == "result") continue;
      const bool one =
          key == "signature"           ? reasons || under == "reasoningText"
          : key == "encrypted_content" ? reasons
          : key == "data"
              ? type == "redacted_thinking" || type == "reasoning.encrypted"
              : key == "redactedContent" || key == "thoughtSignature" || key == "thought_signature";
      if (one && field.value.get_string().get(text) == simdjson::SUCCESS) {
        if (!text.empty() && std::find(out->begin(), out->end(), text) == out->end() &&
            out->size() <= kSignaturesMax)
          out->emplace_back(text);
      } else {
        Signatures(field.value, key, depth + 1, out);
      }
    }
  }
}

// What JSON may carry that costs a closer look: OTLP's AnyValue, signatures of reasoning.
struct Carries {
  bool any_value = false, signatures = false;
};

// By one pass over the quotes, of which prose has few.
Carries Look(std::string_view json) {
  Carries c;
  for (size_t at = json.find('"'); at != json.npos && !(c.any_value && c.signatures);
       at = json.find('"', at + 1)) {
    const std::string_view before = json.substr(0, at), behind = json.substr(at + 1);
    c.any_value = c.any_value || before.ends_with("Value");
    c.signatures = c.signatures || before.ends_with("ignature") ||
                   behind.starts_with("encrypted_content\"") || behind.starts_with("redacted") ||
                   behind.starts_with("reasoning.encrypted\"");
  }
  return c;
}

// The same of what was parsed; whether an AnyValue is one is for Plain to say.
void Look(dom::element e, int depth, Carries* c) {
  dom::object object;
  dom::array array;
  if (depth > kNestingMax) return;
  if (e.get_array().get(array) == simdjson::SUCCESS) {
    for (dom::element v : array) Look(v, depth + 1, c);
  } else if (e.get_object().get(object) == simdjson::SUCCESS) {
    for (const auto field : object) {
      const std::string_view key = field.key;
      c->any_value = c->any_value || key.ends_with("Value");
      c->signatures = c->signatures || key.ends_with("ignature") || key == "encrypted_content" ||
                      key == "data" || key.starts_with("redacted");
      Look(field.value, depth + 1, c);
    }
  }
}

const char* TypeName(dom::element e) {
  switch (e.type()) {
    case dom::element_type::ARRAY:
      return "an array";
    case dom::element_type::OBJECT:
      return "an object";
    case dom::element_type::STRING:
      return "a string";
    case dom::element_type::BOOL:
      return "a boolean";
    case dom::element_type::NULL_VALUE:
      return "null";
    default:
      return "a number";
  }
}

// Messages that were parsed already, read as RecordParser::ParseMessages reads their text; a test
// holds both equal. Views into the parser's texts and the buffers.
class MessagesReader {
 public:
  // What is wrong, or nothing.
  std::string Read(dom::element messages, ExchangeView* e) {
    system_.clear();
    dom::array list;
    if (messages.get_array().get(list) != simdjson::SUCCESS)
      return StrCat("messages: expected an array, found ", TypeName(messages));
    for (dom::element message : list) {
      dom::object object;
      if (message.get_object().get(object) != simdjson::SUCCESS)
        return StrCat("messages[", e->messages, "]: expected an object, found ", TypeName(message));
      std::string_view role, content;
      std::string why;
      for (const auto field : object) {
        if (field.key == "role") {
          if (field.value.get_string().get(role) != simdjson::SUCCESS)
            return StrCat("messages.role: expected a string, found ", TypeName(field.value));
        } else if (field.key == "content" || field.key == "parts") {
          if (!Content(field.value, &content, &why)) return why;
        }
      }
      ++e->messages;
      if (role == "system" || role == "developer") {
        if (!system_.empty()) system_.push_back('\n');
        system_.append(content);
      } else if (role == "user" || role == "tool" || role == "function" || role == "human") {
        if (content.data() == part_.data()) {
          turn_.swap(part_);
          content = turn_;
        }
        e->turn = content;
      }
    }
    e->system = system_;
    return {};
  }

 private:
  bool Content(dom::element e, std::string_view* out, std::string* why) {
    if (e.get_string().get(*out) == simdjson::SUCCESS) return true;
    *out = {};
    if (e.is_null()) return true;
    if (!e.is_array() && !e.is_object()) {
      *why = StrCat("messages.content: expected a string or parts, found ", TypeName(e));
      return false;
    }
    part_.clear();
    if (!Parts(e, 0)) {
      *why = "messages.content: parts are nested too deeply";
      return false;
    }
    *out = part_;
    return true;
  }
  bool Parts(dom::element e, int depth) {
    if (depth > 8) return false;
    std::string_view text;
    dom::array array;
    dom::object object;
    if (e.get_string().get(text) == simdjson::SUCCESS) {
      if (text.empty()) return true;
      if (!part_.empty()) part_.push_back('\n');
      part_.append(text);
    } else if (e.get_array().get(array) == simdjson::SUCCESS) {
      for (dom::element v : array) {
        if (!Parts(v, depth + 1)) return false;
      }
    } else if (e.get_object().get(object) == simdjson::SUCCESS) {
      for (const auto field : object) {
        for (const char* key : {"text", "content", "response", "output", "parts"}) {
          if (field.key == key && !Parts(field.value, depth + 1)) return false;
        }
      }
    }
    return true;
  }
  std::string system_, turn_, part_;
};

using Member = std::variant<std::monostate, std::string_view ExchangeView::*,
                            uint32_t ExchangeView::*, float ExchangeView::*>;

struct Spec {
  std::string_view name;
  std::string_view type = "String";
  const char* fallback = "''";  // of an absent or unusable value
  Member member = {};           // where it goes as it is
};
constexpr const char* kUnknown = "4294967295";

enum At : int {
  kExchangeId,
  kTs,
  kAccountId,
  kPartOf,
  kPartOrder,
  kSystem,
  kMessages,
  kResponse,
  kResponseJson,
  kTools,
  kStream,
  kStatus,
  kIssued,
  kPresented,
  kSketch,
  kSourceRow,
  kSourceRecord,
  kReject,
  kPlainColumns,
};
const Spec kColumns[] = {
    {"exchange_id"},
    {"ts"},
    {"account_id"},
    {"part_of"},
    {"part_order", "UInt64", "0"},
    {"system"},
    {"messages"},
    {"response"},
    {"response_json"},
    {"tools"},
    {"stream", "UInt8", "2"},
    {"status", "UInt16", "0"},
    {"signatures_issued"},
    {"signatures_presented"},
    {"sketch"},
    {"source_row", "UInt64", "0"},
    {"source_record"},
    {"reject"},
    {"org_id", "String", "''", &ExchangeView::org_id},
    {"api_key_id", "String", "''", &ExchangeView::api_key_id},
    {"session_id", "String", "''", &ExchangeView::session_id},
    {"channel", "String", "''", &ExchangeView::channel},
    {"model", "String", "''", &ExchangeView::model},
    {"operation", "String", "''", &ExchangeView::operation},
    {"client_ip", "String", "''", &ExchangeView::client_ip},
    {"user_agent", "String", "''", &ExchangeView::user_agent},
    {"ja4", "String", "''", &ExchangeView::ja4},
    {"input_tokens", "UInt32", kUnknown, &ExchangeView::input_tokens},
    {"output_tokens", "UInt32", kUnknown, &ExchangeView::output_tokens},
    {"reasoning_tokens", "UInt32", kUnknown, &ExchangeView::reasoning_tokens},
    {"cached_tokens", "UInt32", kUnknown, &ExchangeView::cached_tokens},
    {"max_tokens", "UInt32", kUnknown, &ExchangeView::max_tokens},
    {"latency_ms", "UInt32", kUnknown, &ExchangeView::latency_ms},
    {"temperature", "Float32", "nan", &ExchangeView::temperature},
    {"top_p", "Float32", "nan", &ExchangeView::top_p},
};

static_assert(std::size(kColumns) == Rows::kCount);

// An exchange's value as a wrapped SELECT casts text; nothing of what does not fit.
std::optional<uint64_t> Cast(std::string_view type, std::string_view text) {
  if (type == "UInt8") {  // stream
    if (text == "true" || text == "1") return 1;
    if (text == "false" || text == "0") return 0;
    return {};
  }
  const char *begin = text.data(), *end = begin + text.size();
  if (type == "Float32") {
    float v{};
    const auto [at, error] = std::from_chars(begin, end, v);
    if (text.empty() || error != std::errc() || at != end) return {};
    return std::bit_cast<uint32_t>(v);
  }
  uint64_t v{};
  const auto [at, error] = std::from_chars(begin, end, v);
  const uint64_t most = type == "UInt16" ? UINT16_MAX : type == "UInt32" ? UINT32_MAX : UINT64_MAX;
  if (text.empty() || error != std::errc() || at != end || v > most) return {};
  return v;
}

// A row of nothing.
const Rows::Row& EmptyRow() {
  static const Rows::Row row = [] {
    Rows::Row r;
    for (size_t c = 0; c < Rows::kCount; ++c) {
      const std::string_view type = kColumns[c].type;
      r.number[c] = type == "UInt8"    ? 2
                    : type == "UInt32" ? model::kNoTokens
                    : type == "Float32"
                        ? std::bit_cast<uint32_t>(std::numeric_limits<float>::quiet_NaN())
                        : 0;
    }
    return r;
  }();
  return row;
}

// Milliseconds since 1970 or RFC 3339; 0 of nothing.
std::optional<int64_t> ParseTime(std::string_view text) {
  int64_t ms = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
  if (text.empty() || (error == std::errc() && end == text.data() + text.size())) return ms;
  return base::ParseRfc3339(text);
}

}  // namespace

std::string WrapSelect(std::string_view format_sql, bool strict) {
  std::string sql = "SELECT ", unfit;
  for (const Spec& c : kColumns) {
    // COLUMNS('^x$') is empty where there is no column x, and the tuple's first member is then
    // NULL.
    const std::string value = StrCat("toString((tuple(COLUMNS('^", c.name, "$'), NULL)).1)");
    if (c.type == "String") {
      StrAppend(&sql, "ifNull(", value, ", '') AS c_", c.name, ", ");
      continue;
    }
    const std::string typed = c.name == "stream"
                                  ? StrCat("multiIf(", value, " IN ('true', '1'), 1, ", value,
                                           " IN ('false', '0'), 0, NULL)")
                                  : StrCat("accurateCastOrNull(", value, ", '", c.type, "')");
    StrAppend(&sql, "ifNull(", typed, ", to", c.type, "(", c.fallback, ")) AS c_", c.name, ", ");
    StrAppend(&unfit, unfit.empty() ? "" : ", ", "if(ifNull(", value, ", '') != '' AND isNull(",
              typed, "), '", c.name, "', '')");
  }
  StrAppend(&sql, strict ? StrCat("arrayFirst(x -> x != '', [", unfit, "])") : "''", " AS c_unfit");
  // Cells of CSV are text until they are read as what they must be; a short line lacks its last
  // ones.
  return StrCat(
      sql, " FROM (\n", format_sql,
      "\n) SETTINGS max_block_size = 8192, max_threads = 1, input_format_parallel_parsing = 0"
      ", input_format_csv_use_best_effort_in_schema_inference = 0, "
      "input_format_tsv_use_best_effort_in_schema_inference = 0"
      ", input_format_csv_allow_variable_number_of_columns = 1, "
      "input_format_tsv_allow_variable_number_of_columns = 1");
}

struct RowReader::State {
  explicit State(int64_t now) : now_ms(now), messages_parser(now) {}
  const int64_t now_ms;
  RecordParser messages_parser;
  MessagesReader messages;
  dom::parser parser;
  Rows::Row gathered;
  std::string plain, response, system, record;
  std::array<std::vector<std::string>, 3> lists;

  static void Names(dom::array array, std::vector<std::string>* owned) {
    for (dom::element v : array) {
      std::string_view text;
      // A tool may be declared with its name inside.
      if (v.get_string().get(text) != simdjson::SUCCESS &&
          v["name"].get_string().get(text) != simdjson::SUCCESS &&
          v["function"]["name"].get_string().get(text) != simdjson::SUCCESS &&
          v["toolSpec"]["name"].get_string().get(text) != simdjson::SUCCESS) {
        continue;
      }
      if (!text.empty()) owned->emplace_back(text);
    }
  }

  bool List(std::string_view json, std::vector<std::string>* owned) {
    owned->clear();
    dom::element e;
    dom::array array;
    if (!json.empty() && json[0] == '[' &&
        parser.parse(json.data(), json.size()).get(e) == simdjson::SUCCESS &&
        e.get_array().get(array) == simdjson::SUCCESS) {
      Names(array, owned);
      return true;
    }
    for (size_t at = 0; at < json.size();) {
      const size_t comma = std::min(json.find(',', at), json.size());
      if (comma > at) owned->emplace_back(json.substr(at, comma - at));
      at = comma + 1;
    }
    return !owned->empty();
  }

  // A column's JSON, AnyValue resolved: parsed, or as text, of which nothing is left when it does
  // not parse.
  struct Json {
    std::optional<dom::element> parsed;
    std::string_view text;
    bool signatures = false;  // it may carry some
  };
  Json Column(const Rows::Row& row, At column, Rows::Parsed parsed) {
    Json out;
    Carries c;
    dom::element e;
    out.text = row.text[column];
    if (row.has_parsed >> parsed & 1) {
      e = row.parsed[parsed];
      Look(e, 0, &c);
      if (!c.any_value) out.parsed = e;
    } else {
      c = Look(out.text);
      if (c.any_value && parser.parse(out.text.data(), out.text.size()).get(e) != simdjson::SUCCESS)
        out.text = {}, c.any_value = false;
    }
    if (c.any_value) {
      plain.clear();
      Plain(e, 0, &plain);
      out.text = plain;
    }
    out.signatures = c.signatures;
    return out;
  }

  // `json`'s value; nothing when it does not parse.
  std::optional<dom::element> Value(const Json& json) {
    if (json.parsed) return json.parsed;
    dom::element e;
    if (parser.parse(json.text.data(), json.text.size()).get(e) != simdjson::SUCCESS) return {};
    return e;
  }
};

RowReader::RowReader(int64_t now_ms) : state_(std::make_unique<State>(now_ms)) {}
RowReader::~RowReader() = default;

RowReader::Outcome RowReader::Read(const lake::Block& b, size_t row, ExchangeView* e) {
  // The wrapped SELECT gives exactly kColumns, in order, and the name of what does not fit.
  Rows::Row& r = state_->gathered;
  for (size_t c = 0; c < Rows::kCount; ++c) {
    std::visit(
        [&](const auto& column) {
          using T = std::decay_t<decltype(column)>;
          if constexpr (std::is_same_v<T, lake::StringColumn>)
            r.text[c] = column[row];
          else if constexpr (std::is_same_v<T, std::vector<float>>)
            r.number[c] = std::bit_cast<uint32_t>(column[row]);
          else if constexpr (std::is_same_v<T, std::vector<uint8_t>> ||
                             std::is_same_v<T, std::vector<uint16_t>> ||
                             std::is_same_v<T, std::vector<uint32_t>> ||
                             std::is_same_v<T, std::vector<uint64_t>>)
            r.number[c] = column[row];
        },
        b.columns[c].data);
  }
  r.unfit = b.columns.back().As<lake::StringColumn>()[row];
  return Read(r, e);
}

RowReader::Outcome RowReader::Read(const Rows::Row& row, ExchangeView* e) {
  State& s = *state_;
  Outcome out;
  const auto& text = row.text;
  const auto fail = [&](std::string reason, bool missing = false) {
    out.reason = std::move(reason);
    out.missing = missing;
    if (row.has_parsed >> Rows::kRecordParsed & 1)
      out.record = s.record = simdjson::minify(row.parsed[Rows::kRecordParsed]);
    return out;
  };
  *e = {};
  out.source_row = row.number[kSourceRow];
  out.record = text[kSourceRecord];
  if (const std::string_view reason = text[kReject]; !reason.empty())
    return fail(std::string(reason), true);
  if (const std::string_view name = row.unfit; !name.empty())
    return fail(StrCat(name, ": expected ",
                       name == "temperature" || name == "top_p" ? "a number"
                       : name == "stream"                       ? "true or false"
                                                                : "an integer",
                       " in range"));
  e->exchange_id = text[kExchangeId];
  e->account_id = text[kAccountId];
  for (const auto& [name, id] :
       {std::pair("exchange_id", e->exchange_id), std::pair("account_id", e->account_id)}) {
    if (id.empty()) return fail(StrCat(name, ": missing"), true);
    if (id.size() > kIdBytesMax) return fail(StrCat(name, ": longer than ", kIdBytesMax, " bytes"));
    if (!simdjson::validate_utf8(id)) return fail(StrCat(name, ": not valid UTF-8"));
    if (std::any_of(id.begin(), id.end(), [](char c) { return static_cast<uint8_t>(c) < 0x20; })) {
      return fail(StrCat(name, ": contains a control character"));
    }
  }
  const auto ts = ParseTime(text[kTs]);
  if (!ts) {
    return fail(StrCat("ts: neither milliseconds since 1970 nor RFC 3339 with a zone: \"",
                       text[kTs].substr(0, 64), "\""),
                true);
  }
  e->ts_ms = *ts;
  if (e->ts_ms == 0) return fail("ts: missing", true);
  if (e->ts_ms < 0) return fail("ts: before 1970");
  if (e->ts_ms > s.now_ms + base::kMsPerDay) return fail("ts: in the future");
  for (size_t at = kPlainColumns; at < Rows::kCount; ++at) {
    const Spec& c = kColumns[at];
    if (const auto* m = std::get_if<std::string_view ExchangeView::*>(&c.member)) {
      if (text[at].empty()) continue;
      e->** m = text[at];
      if (text[at].size() > kShortBytesMax)
        return fail(StrCat(c.name, ": longer than ", kShortBytesMax, " bytes"));
      if (!simdjson::validate_utf8(text[at])) return fail(StrCat(c.name, ": not valid UTF-8"));
    } else if (const auto* n = std::get_if<uint32_t ExchangeView::*>(&c.member)) {
      const uint64_t v = row.number[at];
      e->** n = v > INT32_MAX ? model::kNoTokens : static_cast<uint32_t>(v);
    } else {
      e->**std::get_if<float ExchangeView::*>(&c.member) =
          std::bit_cast<float>(static_cast<uint32_t>(row.number[at]));
    }
  }
  const uint64_t stream = row.number[kStream], status = row.number[kStatus];
  e->stream = stream < 2 ? static_cast<int32_t>(stream) : -1;
  e->status = status == 0 ? -1 : static_cast<int32_t>(status);

  const bool issued = s.List(text[kIssued], &s.lists[1]),
             presented = s.List(text[kPresented], &s.lists[2]);
  s.response.clear();
  const bool parsed_response = row.has_parsed >> Rows::kResponseParsed & 1;
  if (parsed_response || !text[kResponseJson].empty()) {
    const State::Json json = s.Column(row, kResponseJson, Rows::kResponseParsed);
    if (const auto element = s.Value(json)) {
      if (!issued && json.signatures) Signatures(*element, {}, 0, &s.lists[1]);
      Text(*element, 0, &s.response);
    }
    e->response = s.response;
  }
  if (e->response.empty()) e->response = text[kResponse];
  if (!simdjson::validate_utf8(e->response)) return fail("response: not valid UTF-8");
  e->has_text = !e->response.empty();
  if ((row.has_parsed >> Rows::kMessagesParsed & 1) || !text[kMessages].empty()) {
    const State::Json json = s.Column(row, kMessages, Rows::kMessagesParsed);
    if (!presented && json.signatures) {
      if (const auto element = s.Value(json)) Signatures(*element, {}, 0, &s.lists[2]);
    }
    if (json.parsed) {
      if (std::string why = s.messages.Read(*json.parsed, e); !why.empty()) return fail(why);
    } else if (json.text.empty()) {
      return fail("messages: not valid JSON");
    } else if (absl::Status parsed = s.messages_parser.ParseMessages(json.text, e); !parsed.ok()) {
      return fail(std::string(parsed.message().data(), parsed.message().size()));
    }
    if (e->messages > 0) e->has_text = true;
  }
  if ((row.has_parsed >> Rows::kSystemParsed & 1) || !text[kSystem].empty()) {
    // Text, or parts.
    s.system.clear();
    const State::Json json = s.Column(row, kSystem, Rows::kSystemParsed);
    const bool may =
        json.parsed ||
        (!json.text.empty() && (json.text[0] == '[' || json.text[0] == '{' || json.text[0] == '"'));
    if (const auto parts = may ? s.Value(json) : std::nullopt)
      Text(*parts, 0, &s.system);
    else
      s.system = text[kSystem];
    if (!simdjson::validate_utf8(s.system)) return fail("system: not valid UTF-8");
    if (!s.system.empty()) {
      ++e->messages;
      e->has_text = true;
      if (!e->system.empty()) s.system.append(1, '\n').append(e->system);
      e->system = s.system;
    }
  }
  if (const std::string_view json = text[kSketch]; !json.empty()) {
    if (e->has_text)
      return fail("sketch: stands beside messages or response; a record carries one or the other");
    if (absl::Status parsed = s.messages_parser.ParseSketch(json, e); !parsed.ok()) {
      return fail(std::string(parsed.message().data(), parsed.message().size()));
    }
  }
  const State::Json tools = s.Column(row, kTools, Rows::kToolsParsed);
  dom::array declared;
  if (!tools.parsed) {
    s.List(tools.text, &s.lists[0]);
  } else {
    s.lists[0].clear();
    if (tools.parsed->get_array().get(declared) == simdjson::SUCCESS)
      State::Names(declared, &s.lists[0]);
  }
  e->tools.assign(s.lists[0].begin(), s.lists[0].end());
  e->signatures_issued.assign(s.lists[1].begin(), s.lists[1].end());
  e->signatures_presented.assign(s.lists[2].begin(), s.lists[2].end());
  if (e->tools.size() > kToolsMax) return fail(StrCat("tools: more than ", kToolsMax, " entries"));
  if (e->signatures_issued.size() > kSignaturesMax ||
      e->signatures_presented.size() > kSignaturesMax) {
    return fail(StrCat("signatures: more than ", kSignaturesMax, " entries"));
  }
  return out;
}

void Rows::Begin() {
  if (++size_ > rows_.size()) rows_.emplace_back();
  rows_[size_ - 1] = EmptyRow();
}

void Rows::Cut(size_t size) {
  size_ = size;
  if (size_ == 0) kept_size_ = 0;
}

std::string_view Rows::Keep(std::string text) {
  if (kept_size_ == kept_.size()) kept_.emplace_back();
  return kept_[kept_size_++] = std::move(text);
}

void Rows::Set(int column, std::string_view text) {
  Row& r = rows_[size_ - 1];
  const auto c = static_cast<size_t>(column);
  if (r.set >> c & 1) return;
  if (kColumns[c].type == "String") {
    r.text[c] = text;
  } else {
    const auto number = Cast(kColumns[c].type, text);
    if (!number) return;
    r.number[c] = *number;
  }
  r.set |= uint64_t{1} << c;
}

void Rows::Set(int column, uint64_t number) {
  Row& r = rows_[size_ - 1];
  const auto c = static_cast<size_t>(column);
  const std::string_view type = kColumns[c].type;
  const uint64_t most = type == "UInt16"   ? UINT16_MAX
                        : type == "UInt32" ? UINT32_MAX
                        : type == "UInt64" ? UINT64_MAX
                                           : 0;
  if (most == 0 || number > most || r.set >> c & 1) return;
  r.number[c] = number;
  r.set |= uint64_t{1} << c;
}

void Rows::Set(int column, dom::element json) {
  Row& r = rows_[size_ - 1];
  const Parsed as = column == kMessages       ? kMessagesParsed
                    : column == kResponseJson ? kResponseParsed
                    : column == kTools        ? kToolsParsed
                    : column == kSourceRecord ? kRecordParsed
                                              : kSystemParsed;
  r.parsed[as] = json;
  r.has_parsed |= static_cast<uint8_t>(1u << as);
}

RowWriter::RowWriter() { Clear(); }

int RowWriter::Column(std::string_view name) {
  for (size_t i = 0; i < std::size(kColumns); ++i) {
    if (kColumns[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

void RowWriter::Clear() {
  rows_ = 0;
  block_.columns.clear();
  for (const Spec& c : kColumns) {
    const std::string_view type = c.type;
    lake::ColumnData data = lake::StringColumn();
    if (type == "UInt8") data = std::vector<uint8_t>();
    if (type == "UInt16") data = std::vector<uint16_t>();
    if (type == "UInt32") data = std::vector<uint32_t>();
    if (type == "UInt64") data = std::vector<uint64_t>();
    if (type == "Float32") data = std::vector<float>();
    block_.columns.push_back({StrCat("c_", c.name), std::move(data)});
  }
  block_.columns.push_back({"c_unfit", lake::StringColumn()});
}

void RowWriter::Fill() {
  for (size_t i = 0; i < block_.columns.size(); ++i) {
    std::visit(
        [&](auto& column) {
          using T = std::decay_t<decltype(column)>;
          if (column.size() >= rows_) return;
          if constexpr (std::is_same_v<T, lake::StringColumn>)
            column.Append({});
          else if constexpr (std::is_same_v<T, std::vector<float>>)
            column.push_back(std::numeric_limits<float>::quiet_NaN());
          else if constexpr (std::is_same_v<T, std::vector<uint32_t>>)
            column.push_back(model::kNoTokens);
          else if constexpr (std::is_same_v<T, std::vector<uint8_t>>)
            column.push_back(2);
          else if constexpr (std::is_same_v<T, std::vector<uint16_t>> ||
                             std::is_same_v<T, std::vector<uint64_t>>)
            column.push_back(0);
        },
        block_.columns[i].data);
  }
}

void RowWriter::Begin() {
  Fill();
  ++rows_;
}

const lake::Block& RowWriter::Block() {
  Fill();
  return block_;
}

void RowWriter::Set(int column, std::string_view text) {
  std::visit(
      [&](auto& c) {
        using T = std::decay_t<decltype(c)>;
        if (c.size() >= rows_) return;
        if constexpr (std::is_same_v<T, lake::StringColumn>) {
          c.Append(text);
        } else if (const auto number = Cast(kColumns[column].type, text)) {
          if constexpr (std::is_same_v<T, std::vector<float>>)
            c.push_back(std::bit_cast<float>(static_cast<uint32_t>(*number)));
          else if constexpr (std::is_same_v<T, std::vector<uint8_t>> ||
                             std::is_same_v<T, std::vector<uint16_t>> ||
                             std::is_same_v<T, std::vector<uint32_t>> ||
                             std::is_same_v<T, std::vector<uint64_t>>)
            c.push_back(static_cast<typename T::value_type>(*number));
        }
      },
      block_.columns[static_cast<size_t>(column)].data);
}

void RowWriter::Set(int column, uint64_t number) {
  std::visit(
      [&](auto& c) {
        using T = std::decay_t<decltype(c)>;
        if constexpr (std::is_same_v<T, std::vector<uint16_t>> ||
                      std::is_same_v<T, std::vector<uint32_t>> ||
                      std::is_same_v<T, std::vector<uint64_t>>) {
          if (c.size() < rows_ && number <= std::numeric_limits<typename T::value_type>::max())
            c.push_back(static_cast<typename T::value_type>(number));
        }
      },
      block_.columns[static_cast<size_t>(column)].data);
}

bool IsPart(const lake::Block& b, size_t row) {
  return !b.columns[kPartOf].As<lake::StringColumn>()[row].empty();
}

uint64_t SourceRow(const lake::Block& b, size_t row) {
  return b.columns[kSourceRow].As<std::vector<uint64_t>>()[row];
}

void RowJoiner::Take(const lake::Block& b, size_t row, uint64_t batch, model::Reject place) {
  const auto text = [&](int at) { return b.columns[at].As<lake::StringColumn>()[row]; };
  const std::string id(text(kPartOf));
  const auto [at, fresh] = open_.try_emplace(id);
  Open& o = at->second;
  if (fresh) order_.push_back(id);
  o.batch = std::max(o.batch, batch);
  const int64_t ts = ParseTime(text(kTs)).value_or(0);
  uint64_t order = b.columns[kPartOrder].As<std::vector<uint64_t>>()[row];
  if (order == 0) order = static_cast<uint64_t>(std::max<int64_t>(0, ts));
  for (const int list : {kMessages, kResponseJson}) {
    std::string_view items = text(list);
    const size_t begin = items.find('['), end = items.rfind(']');
    if (begin == items.npos || end <= begin + 1) continue;
    items = items.substr(begin + 1, end - begin - 1);
    (list == kMessages ? o.asked : o.answered).push_back({order, place.line, std::string(items)});
    bytes_ += items.size();
  }
  // Of everything else the first that says something.
  o.values.resize(b.columns.size());
  for (size_t c = 0; c < b.columns.size(); ++c) {
    if (c == kMessages || c == kResponseJson || c == kPartOf) continue;
    std::visit(
        [&, fresh = fresh](const auto& column) {
          using T = std::decay_t<decltype(column)>;
          auto& value = o.values[c];
          if constexpr (std::is_same_v<T, lake::StringColumn>) {
            const std::string_view v = column[row];
            // A part may be refused for what another one carries.
            if (fresh || (c == kReject ? v.empty() : std::get<std::string>(value).empty()))
              value = std::string(v);
          } else if constexpr (std::is_same_v<T, std::vector<float>>) {
            if (fresh || std::isnan(std::get<float>(value))) value = column[row];
          } else if constexpr (std::is_same_v<T, std::vector<uint32_t>>) {
            if (fresh || std::get<uint64_t>(value) == model::kNoTokens)
              value = uint64_t{column[row]};
          } else if constexpr (std::is_same_v<T, std::vector<uint64_t>> ||
                               std::is_same_v<T, std::vector<uint16_t>> ||
                               std::is_same_v<T, std::vector<uint8_t>>) {
            if (fresh || std::get<uint64_t>(value) == (c == kStream ? 2u : 0u))
              value = uint64_t{column[row]};
          }
        },
        b.columns[c].data);
  }
  if (fresh || ts < o.ts) o.ts = ts;
  if (fresh) o.place = std::move(place);
}

bool RowJoiner::Next(bool all, uint64_t settled, lake::Block* row, model::Reject* place) {
  if (order_.empty()) return false;
  const bool full = order_.size() > 4 * kOpenMax || bytes_ > kOpenBytesMax;
  const bool old = order_.size() > kOpenMax && open_.at(order_.front()).batch + 1 < settled;
  if (!all && !full && !old) return false;
  auto node = open_.extract(order_.front());
  order_.pop_front();
  Open& o = node.mapped();
  const auto joined = [&](std::vector<Item>& items) {
    std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
      return std::tie(a.order, a.line) < std::tie(b.order, b.line);
    });
    std::string out;
    for (const Item& item : items) {
      StrAppend(&out, out.empty() ? "[" : ",", item.json);
      bytes_ -= item.json.size();
    }
    if (!out.empty()) out += "]";
    return out;
  };
  row->columns.assign(o.values.size(), {});
  for (size_t c = 0; c < o.values.size(); ++c) {
    auto& data = row->columns[c].data;
    const std::string_view type = c < std::size(kColumns) ? kColumns[c].type : "String";
    if (type == "String") {
      lake::StringColumn column;
      column.Append(c == kPartOf         ? ""
                    : c == kTs           ? std::to_string(o.ts)
                    : c == kMessages     ? joined(o.asked)
                    : c == kResponseJson ? joined(o.answered)
                                         : std::get<std::string>(o.values[c]));
      data = std::move(column);
    } else if (type == "Float32") {
      data = std::vector<float>{std::get<float>(o.values[c])};
    } else {
      const uint64_t v = std::get<uint64_t>(o.values[c]);
      if (type == "UInt8") data = std::vector<uint8_t>{static_cast<uint8_t>(v)};
      if (type == "UInt16") data = std::vector<uint16_t>{static_cast<uint16_t>(v)};
      if (type == "UInt32") data = std::vector<uint32_t>{static_cast<uint32_t>(v)};
      if (type == "UInt64") data = std::vector<uint64_t>{v};
    }
  }
  *place = std::move(o.place);
  return true;
}

void ReadRows(const lake::Block& b, RowReader* reader,
              const std::function<void(const ExchangeView&)>& exchange,
              const std::function<void(model::Reject)>& reject) {
  ExchangeView e;
  RowJoiner joiner;
  const auto hand = [&](const lake::Block& rows, size_t i, model::Reject place) {
    RowReader::Outcome o = reader->Read(rows, i, &e);
    if (o.reason.empty()) return exchange(e);
    place.reason = std::move(o.reason);
    place.record = o.record.substr(0, 1024);
    reject(std::move(place));
  };
  for (size_t i = 0; i < b.rows(); ++i) {
    model::Reject place;
    place.line = SourceRow(b, i);
    if (IsPart(b, i))
      joiner.Take(b, i, 0, std::move(place));
    else
      hand(b, i, std::move(place));
  }
  lake::Block joined;
  for (model::Reject place; joiner.Next(true, 0, &joined, &place);) hand(joined, 0, place);
}

}  // namespace stillwatch::ingest
