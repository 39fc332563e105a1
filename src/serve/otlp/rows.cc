#include "serve/otlp/rows.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/str.h"
#include "serve/otlp/json.h"
#include "serve/otlp/otlp.pb.h"

namespace stillwatch::otlp {
namespace {

using base::StrAppend;
using base::StrCat;
using ingest::RowWriter;
using Attributes = google::protobuf::RepeatedPtrField<KeyValue>;
using Names = std::initializer_list<std::string_view>;

struct Columns {
  static int At(const char* name) { return RowWriter::Column(name); }
  int id = At("exchange_id"), ts = At("ts"), account = At("account_id"), part = At("part_of"),
      order = At("part_order"), system = At("system"), messages = At("messages"),
      response = At("response"), json = At("response_json"), tools = At("tools"),
      stream = At("stream"), status = At("status"), row = At("source_row"),
      record = At("source_record"), reject = At("reject"), org = At("org_id"),
      session = At("session_id"), channel = At("channel"), model = At("model"),
      operation = At("operation"), ip = At("client_ip"), agent = At("user_agent"),
      input = At("input_tokens"), output = At("output_tokens"), reasoning = At("reasoning_tokens"),
      cached = At("cached_tokens"), max = At("max_tokens"), latency = At("latency_ms"),
      temperature = At("temperature"), top_p = At("top_p");
};
const Columns& Column() {
  static const Columns columns;
  return columns;
}

// As as_map of otlp_attributes.inc: a text as it is, lists as OTLP/JSON.
std::string_view TextOf(const AnyValue& v, std::deque<std::string>* kept) {
  switch (v.value_case()) {
    case AnyValue::kStringValue:
      return v.string_value();
    case AnyValue::kBoolValue:
      return v.bool_value() ? "true" : "false";
    case AnyValue::kIntValue:
      return kept->emplace_back(std::to_string(v.int_value()));
    case AnyValue::kDoubleValue:
      base::AppendJsonNumber(v.double_value(), &kept->emplace_back());
      return kept->back();
    case AnyValue::kArrayValue:
    case AnyValue::kKvlistValue:
      AppendJson(v, &kept->emplace_back());
      return kept->back();
    case AnyValue::kBytesValue:
    case AnyValue::VALUE_NOT_SET:
      break;
  }
  return {};
}

// The attributes of one span or record over those of its resource.
class Map {
 public:
  void Reset(const Attributes& resource, const Attributes& own) {
    map_.clear();
    kept_.clear();
    // What stands first under one key counts, as in the SELECT.
    for (const KeyValue& kv : own) map_.try_emplace(kv.key(), &kv.value());
    for (const KeyValue& kv : resource) map_.try_emplace(kv.key(), &kv.value());
  }
  std::string_view operator[](std::string_view key) {
    const auto at = map_.find(key);
    return at == map_.end() ? std::string_view() : TextOf(*at->second, &kept_);
  }
  std::string_view Pick(Names keys) {
    for (const std::string_view key : keys) {
      if (const std::string_view v = (*this)[key]; !v.empty()) return v;
    }
    return {};
  }
  // PREFIX.0.role, PREFIX.0.content, ... as messages.
  std::string Numbered(std::string_view prefix, std::string_view role, std::string_view content) {
    std::vector<std::pair<int, std::string_view>> numbers;
    for (const auto& [key, value] : map_) {
      if (!key.starts_with(prefix)) continue;
      const std::string_view rest = key.substr(prefix.size()),
                             digits = rest.substr(0, rest.find('.'));
      int n = 0;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
      if (digits.empty() || digits.size() > 4 || error != std::errc() ||
          end != digits.data() + digits.size() || digits[0] == '-')
        continue;
      numbers.emplace_back(n, digits);
    }
    if (numbers.empty()) return {};
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    std::string out = "[";
    for (const auto& [n, digits] : numbers) {
      StrAppend(&out, out.size() > 1 ? "," : "", "{\"role\":");
      base::AppendJsonString((*this)[StrCat(prefix, digits, role)], &out);
      out += ",\"content\":";
      base::AppendJsonString((*this)[StrCat(prefix, digits, content)], &out);
      out += '}';
    }
    return out + "]";
  }

 private:
  absl::flat_hash_map<std::string_view, const AnyValue*> map_;
  std::deque<std::string> kept_;  // texts that were made; views into it live until Reset
};

std::string AsMessages(std::string_view text) {
  if (text.starts_with('[')) return std::string(text);
  std::string out = "[{\"role\":\"user\",\"content\":";
  base::AppendJsonString(text, &out);
  return out + "}]";
}

bool IsJson(std::string_view text) {
  const size_t at = text.find_first_not_of(" \t\r\n");
  // Most answers are words; what cannot begin a value is not looked at further.
  if (at == text.npos || std::string_view("{[\"-0123456789tfn").find(text[at]) == text.npos)
    return false;
  thread_local simdjson::dom::parser parser;
  return parser.parse(text.data(), text.size()).error() == simdjson::SUCCESS;
}

std::string IdOf(const std::string& trace, const std::string& span, bool text) {
  std::string out = text ? trace : base::Hex(trace);
  if (!span.empty()) StrAppend(&out, "-", text ? span : base::Hex(span));
  return out;
}

// The columns of otlp_columns.inc.
void Common(Map& a, const std::string& events_in, const std::string& events_out, RowWriter* w) {
  const Columns& c = Column();
  const std::string_view account =
      a.Pick({"user.id", "enduser.id", "user.hash", "enduser.pseudo.id", "langfuse.user.id",
              "traceloop.association.properties.user_id"});
  w->Set(c.account, account);
  if (account.empty())
    w->Set(c.reject, "account_id: none of user.id, enduser.id, user.hash, enduser.pseudo.id");
  w->Set(c.org, a.Pick({"organization.id", "tenant.id"}));
  w->Set(c.session, a.Pick({"session.id", "gen_ai.conversation.id", "langfuse.session.id"}));
  w->Set(c.channel, "api");
  w->Set(c.model, a.Pick({"gen_ai.request.model", "gen_ai.response.model", "llm.model_name",
                          "llm.request.model"}));
  w->Set(c.operation,
         a.Pick({"gen_ai.operation.name", "llm.request.type", "openinference.span.kind"}));
  w->Set(c.system, a["gen_ai.system_instructions"]);
  std::string text;
  if (const std::string_view now = a["gen_ai.input.messages"]; !now.empty()) {
    w->Set(c.messages, now);
  } else if (!(text = a.Numbered("gen_ai.prompt.", ".role", ".content")).empty() ||
             !(text = a.Numbered("llm.input_messages.", ".message.role", ".message.content"))
                  .empty()) {
    w->Set(c.messages, text);
  } else if (const std::string_view prompt = a["gen_ai.prompt"]; !prompt.empty()) {
    w->Set(c.messages, AsMessages(prompt));
  } else {
    w->Set(c.messages, events_in);
  }
  std::string_view answer = a.Pick({"gen_ai.output.messages", "gen_ai.completion", "output.value"});
  if (answer.empty()) {
    text = a.Numbered("gen_ai.completion.", ".role", ".content");
    if (text.empty())
      text = a.Numbered("llm.output_messages.", ".message.role", ".message.content");
    answer = text.empty() ? std::string_view(events_out) : text;
  }
  w->Set(IsJson(answer) ? c.json : c.response, answer);
  w->Set(c.tools, a["gen_ai.tool.definitions"]);
  w->Set(c.input, a.Pick({"gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens",
                          "llm.token_count.prompt", "llm.usage.prompt_tokens"}));
  w->Set(c.output, a.Pick({"gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
                           "llm.token_count.completion", "llm.usage.completion_tokens"}));
  w->Set(c.reasoning, a.Pick({"gen_ai.usage.reasoning.output_tokens",
                              "llm.token_count.completion_details.reasoning"}));
  w->Set(c.cached,
         a.Pick({"gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
                 "llm.token_count.prompt_details.cache_read"}));
  w->Set(c.max, a.Pick({"gen_ai.request.max_tokens", "llm.request.max_tokens"}));
  w->Set(c.temperature, a["gen_ai.request.temperature"]);
  w->Set(c.top_p, a["gen_ai.request.top_p"]);
  w->Set(c.stream, a.Pick({"gen_ai.request.stream", "llm.is_streaming"}));
  w->Set(c.status, a["http.response.status_code"]);
  w->Set(c.ip, a["client.address"]);
  w->Set(c.agent, a["user_agent.original"]);
}

// gen_ai.ROLE.message, and its role.
std::string_view MessageRole(std::string_view name) {
  constexpr std::string_view kBefore = "gen_ai.", kAfter = ".message";
  if (name.size() <= kBefore.size() + kAfter.size() || !name.starts_with(kBefore) ||
      !name.ends_with(kAfter))
    return {};
  name.remove_prefix(kBefore.size());
  name.remove_suffix(kAfter.size());
  const bool word =
      std::all_of(name.begin(), name.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  return word ? name : std::string_view();
}

// The texts of some attributes, one behind the other.
std::string Texts(const Attributes& attributes, Names keys) {
  std::string out;
  std::deque<std::string> kept;
  for (const std::string_view key : keys) {
    for (const KeyValue& kv : attributes) {
      if (kv.key() != key) continue;
      out += TextOf(kv.value(), &kept);
      break;
    }
  }
  return out;
}

void OneSpan(const Span& span, const Attributes& resource, bool text_ids, uint64_t number, Map& a,
             RowWriter* w) {
  const Columns& c = Column();
  a.Reset(resource, span.attributes());
  const std::string_view operation = a["gen_ai.operation.name"];
  if (!(operation == "chat" || operation == "text_completion" || operation == "generate_content" ||
        (operation.empty() && !a.Pick({"gen_ai.system", "gen_ai.provider.name", "llm.model_name",
                                       "gen_ai.request.model"})
                                   .empty())))
    return;
  // Older dialects put messages into the span's events: one each, or all in one attribute.
  std::string asked, prompt, chosen;
  for (const Event& e : span.events()) {
    if (const std::string_view role = MessageRole(e.name()); !role.empty()) {
      StrAppend(&asked, asked.empty() ? "[" : ",", "{\"role\":\"", role, "\",\"content\":");
      base::AppendJsonString(Texts(e.attributes(), {"content", "gen_ai.prompt"}), &asked);
      asked += '}';
    } else if (e.name() == "gen_ai.content.prompt") {
      prompt += Texts(e.attributes(), {"gen_ai.prompt"});
    } else if (e.name() == "gen_ai.choice" || e.name() == "gen_ai.content.completion") {
      StrAppend(&chosen, chosen.empty() ? "[" : ",", "{\"content\":");
      base::AppendJsonString(Texts(e.attributes(), {"content", "message", "gen_ai.completion"}),
                             &chosen);
      chosen += '}';
    }
  }
  if (!asked.empty())
    asked += ']';
  else if (!prompt.empty())
    asked = AsMessages(prompt);
  if (!chosen.empty()) chosen += ']';
  w->Begin();
  w->Set(c.row, number);
  const std::string id = IdOf(span.trace_id(), span.span_id(), text_ids);
  w->Set(c.record, StrCat("span ", id, " ", span.name()));
  w->Set(c.id, id);
  const auto nanoseconds = [](uint64_t v) { return v > INT64_MAX ? 0 : static_cast<int64_t>(v); };
  const int64_t begin = nanoseconds(span.start_time_unix_nano()),
                end = nanoseconds(span.end_time_unix_nano());
  w->Set(c.ts, std::to_string(begin / 1'000'000));
  if (const int64_t took = (end - begin) / 1'000'000; end > 0 && took >= 0)
    w->Set(c.latency, static_cast<uint64_t>(took));
  Common(a, asked, chosen, w);
}

void OneLog(const LogRecord& log, const Attributes& resource, bool text_ids, uint64_t number,
            Map& a, RowWriter* w) {
  const Columns& c = Column();
  a.Reset(resource, log.attributes());
  const std::string_view name = log.event_name().empty() ? a["event.name"] : log.event_name();
  const bool choice = name == "gen_ai.choice";
  const std::string_view role = MessageRole(name);
  const bool older =
      choice || role == "system" || role == "user" || role == "assistant" || role == "tool";
  if (!older && name != "gen_ai.client.inference.operation.details") return;
  // An older event is one message of a span's exchange; its content is in the body.
  std::string asked, chosen;
  if (choice) {
    chosen = "[";
    if (log.has_body()) AppendJson(log.body(), &chosen);
    chosen += ']';
  } else if (older) {
    std::deque<std::string> kept;
    std::string_view content;
    for (const KeyValue& kv : log.body().kvlist_value().values()) {
      if (kv.key() != "content") continue;
      content = TextOf(kv.value(), &kept);
      break;
    }
    StrAppend(&asked, "[{\"role\":\"", role, "\",\"content\":");
    if (content.starts_with("{\"arrayValue\"") || content.starts_with("{\"kvlistValue\""))
      asked += content;
    else
      base::AppendJsonString(content, &asked);
    asked += "}]";
  }
  w->Begin();
  w->Set(c.row, number);
  const std::string id = IdOf(log.trace_id(), log.span_id(), text_ids);
  w->Set(c.record, StrCat("log ", id, " ", name));
  w->Set(c.id, id);
  if (older) w->Set(c.part, id);
  const uint64_t time =
      log.time_unix_nano() > 0 ? log.time_unix_nano() : log.observed_time_unix_nano();
  w->Set(c.order, time);
  w->Set(c.ts, std::to_string(time / 1'000'000));
  Common(a, asked, chosen, w);
}

}  // namespace

void RowsOf(const Traces& traces, bool text_ids, RowWriter* rows) {
  Map a;
  uint64_t number = 0;
  for (const ResourceSpans& r : traces.resource_spans()) {
    for (const ScopeSpans& scope : r.scope_spans()) {
      for (const Span& span : scope.spans())
        OneSpan(span, r.resource().attributes(), text_ids, ++number, a, rows);
    }
  }
}

void RowsOf(const Logs& logs, bool text_ids, RowWriter* rows) {
  Map a;
  uint64_t number = 0;
  for (const ResourceLogs& r : logs.resource_logs()) {
    for (const ScopeLogs& scope : r.scope_logs()) {
      for (const LogRecord& log : scope.log_records())
        OneLog(log, r.resource().attributes(), text_ids, ++number, a, rows);
    }
  }
}

}  // namespace stillwatch::otlp
