#include "ingest/formats/otlp.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "absl/container/flat_hash_map.h"
#include "base/json.h"
#include "base/str.h"

namespace stillwatch::ingest {
namespace {

using base::StrAppend;
using base::StrCat;

constexpr std::string_view kKeys[] = {"user.id",
                                      "enduser.id",
                                      "user.hash",
                                      "enduser.pseudo.id",
                                      "langfuse.user.id",
                                      "traceloop.association.properties.user_id",
                                      "organization.id",
                                      "tenant.id",
                                      "session.id",
                                      "gen_ai.conversation.id",
                                      "langfuse.session.id",
                                      "gen_ai.request.model",
                                      "gen_ai.response.model",
                                      "llm.model_name",
                                      "llm.request.model",
                                      "gen_ai.operation.name",
                                      "llm.request.type",
                                      "openinference.span.kind",
                                      "gen_ai.system",
                                      "gen_ai.provider.name",
                                      "gen_ai.system_instructions",
                                      "gen_ai.input.messages",
                                      "gen_ai.prompt",
                                      "gen_ai.output.messages",
                                      "gen_ai.completion",
                                      "output.value",
                                      "gen_ai.tool.definitions",
                                      "gen_ai.usage.input_tokens",
                                      "gen_ai.usage.prompt_tokens",
                                      "llm.token_count.prompt",
                                      "llm.usage.prompt_tokens",
                                      "gen_ai.usage.output_tokens",
                                      "gen_ai.usage.completion_tokens",
                                      "llm.token_count.completion",
                                      "llm.usage.completion_tokens",
                                      "gen_ai.usage.reasoning.output_tokens",
                                      "llm.token_count.completion_details.reasoning",
                                      "gen_ai.usage.cache_read.input_tokens",
                                      "gen_ai.usage.cache_read_input_tokens",
                                      "llm.token_count.prompt_details.cache_read",
                                      "gen_ai.request.max_tokens",
                                      "llm.request.max_tokens",
                                      "gen_ai.request.temperature",
                                      "gen_ai.request.top_p",
                                      "gen_ai.request.stream",
                                      "llm.is_streaming",
                                      "http.response.status_code",
                                      "client.address",
                                      "user_agent.original",
                                      "event.name"};
static_assert(std::size(kKeys) <= 64);

// An attribute's place, found when this is compiled; a name that is not listed does not compile.
struct Key {
  size_t place;
  template <size_t N>
  consteval Key(const char (&name)[N]) : place(0) {
    while (kKeys[place] != std::string_view(name, N - 1)) ++place;
  }
};
using Keys = std::initializer_list<Key>;

constexpr std::string_view kNumbered[] = {"gen_ai.prompt.", "gen_ai.completion.",
                                          "llm.input_messages.", "llm.output_messages."};

bool IsNumbered(std::string_view key) {
  return std::any_of(std::begin(kNumbered), std::end(kNumbered),
                     [&](std::string_view prefix) { return key.starts_with(prefix); });
}

int PlaceOf(std::string_view key) {
  static const auto* places = [] {
    auto* map = new absl::flat_hash_map<std::string_view, int>;
    for (size_t i = 0; i < std::size(kKeys); ++i) map->emplace(kKeys[i], static_cast<int>(i));
    return map;
  }();
  const auto at = places->find(key);
  return at == places->end() ? -1 : at->second;
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

std::string_view Keep(Rows* rows, std::string text) { return rows->Keep(std::move(text)); }
std::string Keep(RowWriter*, std::string text) { return text; }

}  // namespace

OtlpAttributes::OtlpAttributes() : known_(std::size(kKeys)) {}

void OtlpAttributes::Clear() {
  has_ = 0;
  numbered_.clear();
}

bool OtlpAttributes::Asked(std::string_view key) { return PlaceOf(key) >= 0 || IsNumbered(key); }

void OtlpAttributes::Add(std::string_view key, const OtlpValue& value) {
  if (const int place = PlaceOf(key); place >= 0) {
    if (has_ >> place & 1) return;
    has_ |= uint64_t{1} << place;
    known_[static_cast<size_t>(place)] = value;
  } else if (IsNumbered(key)) {
    for (const auto& [other, ignored] : numbered_) {
      if (other == key) return;
    }
    numbered_.emplace_back(key, value);
  }
}

bool OtlpEvent::Asked(std::string_view key) {
  return key == "content" || key == "gen_ai.prompt" || key == "message" ||
         key == "gen_ai.completion";
}

void OtlpEvent::Add(std::string_view key, const OtlpValue& value) {
  OtlpValue* to = key == "content"             ? &content
                  : key == "gen_ai.prompt"     ? &prompt
                  : key == "message"           ? &message
                  : key == "gen_ai.completion" ? &completion
                                               : nullptr;
  if (to != nullptr && to->kind == OtlpValue::kNone) *to = value;
}

// One row from attributes. Texts are those of as_map in otlp_attributes.inc.
template <typename W>
class OtlpRow {
 public:
  OtlpRow(const OtlpAttributes& a, W* rows) : a_(a), w_(rows) {}

  std::string_view Text(const OtlpValue& v) {
    switch (v.kind) {
      case OtlpValue::kText:
      case OtlpValue::kJson:
        return v.text;
      case OtlpValue::kBool:
        return v.number != 0 ? "true" : "false";
      case OtlpValue::kInt:
        return Made(std::to_string(v.number));
      case OtlpValue::kDouble: {
        std::string text;
        base::AppendJsonNumber(v.real, &text);
        return Made(std::move(text));
      }
      case OtlpValue::kNone:
        break;
    }
    return {};
  }
  std::string_view operator[](Key key) {
    return a_.has_ >> key.place & 1 ? Text(a_.known_[key.place]) : std::string_view();
  }
  std::string_view Pick(Keys keys) {
    for (const Key key : keys) {
      if (const std::string_view v = (*this)[key]; !v.empty()) return v;
    }
    return {};
  }

  // PREFIX.0.role, PREFIX.0.content, ... as messages.
  std::string Numbered(std::string_view prefix, std::string_view role, std::string_view content) {
    std::vector<std::pair<int, std::string_view>> numbers;
    for (const auto& [key, value] : a_.numbered_) {
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
    const auto at = [&](const std::string& key) {
      for (const auto& [name, value] : a_.numbered_) {
        if (name == key) return Text(value);
      }
      return std::string_view();
    };
    std::string out = "[";
    for (const auto& [n, digits] : numbers) {
      StrAppend(&out, out.size() > 1 ? "," : "", "{\"role\":");
      base::AppendJsonString(at(StrCat(prefix, digits, role)), &out);
      out += ",\"content\":";
      base::AppendJsonString(at(StrCat(prefix, digits, content)), &out);
      out += '}';
    }
    return out + "]";
  }

  // The columns of otlp_columns.inc.
  void Common(const std::string& events_in, const std::string& events_out) {
    const Columns& c = Places();
    const std::string_view account =
        Pick({"user.id", "enduser.id", "user.hash", "enduser.pseudo.id", "langfuse.user.id",
              "traceloop.association.properties.user_id"});
    w_->Set(c.account, account);
    if (account.empty())
      w_->Set(c.reject, "account_id: none of user.id, enduser.id, user.hash, enduser.pseudo.id");
    w_->Set(c.org, Pick({"organization.id", "tenant.id"}));
    w_->Set(c.session, Pick({"session.id", "gen_ai.conversation.id", "langfuse.session.id"}));
    w_->Set(c.channel, "api");
    w_->Set(c.model, Pick({"gen_ai.request.model", "gen_ai.response.model", "llm.model_name",
                           "llm.request.model"}));
    w_->Set(c.operation,
            Pick({"gen_ai.operation.name", "llm.request.type", "openinference.span.kind"}));
    w_->Set(c.system, (*this)["gen_ai.system_instructions"]);
    std::string text;
    if (const std::string_view now = (*this)["gen_ai.input.messages"]; !now.empty()) {
      w_->Set(c.messages, now);
    } else if (!(text = Numbered("gen_ai.prompt.", ".role", ".content")).empty() ||
               !(text = Numbered("llm.input_messages.", ".message.role", ".message.content"))
                    .empty()) {
      w_->Set(c.messages, Keep(w_, std::move(text)));
    } else if (const std::string_view prompt = (*this)["gen_ai.prompt"]; !prompt.empty()) {
      w_->Set(c.messages, Keep(w_, AsMessages(prompt)));
    } else {
      w_->Set(c.messages, Keep(w_, events_in));
    }
    std::string_view answer = Pick({"gen_ai.output.messages", "gen_ai.completion", "output.value"});
    if (answer.empty()) {
      text = Numbered("gen_ai.completion.", ".role", ".content");
      if (text.empty())
        text = Numbered("llm.output_messages.", ".message.role", ".message.content");
      answer = Made(text.empty() ? events_out : text);
    }
    w_->Set(IsJson(answer) ? c.json : c.response, answer);
    w_->Set(c.tools, (*this)["gen_ai.tool.definitions"]);
    w_->Set(c.input, Pick({"gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens",
                           "llm.token_count.prompt", "llm.usage.prompt_tokens"}));
    w_->Set(c.output, Pick({"gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
                            "llm.token_count.completion", "llm.usage.completion_tokens"}));
    w_->Set(c.reasoning, Pick({"gen_ai.usage.reasoning.output_tokens",
                               "llm.token_count.completion_details.reasoning"}));
    w_->Set(c.cached,
            Pick({"gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
                  "llm.token_count.prompt_details.cache_read"}));
    w_->Set(c.max, Pick({"gen_ai.request.max_tokens", "llm.request.max_tokens"}));
    w_->Set(c.temperature, (*this)["gen_ai.request.temperature"]);
    w_->Set(c.top_p, (*this)["gen_ai.request.top_p"]);
    w_->Set(c.stream, Pick({"gen_ai.request.stream", "llm.is_streaming"}));
    w_->Set(c.status, (*this)["http.response.status_code"]);
    w_->Set(c.ip, (*this)["client.address"]);
    w_->Set(c.agent, (*this)["user_agent.original"]);
  }

  OtlpSpeaks Span(const OtlpSpan& span) {
    const Columns& c = Places();
    const std::string_view operation = (*this)["gen_ai.operation.name"];
    if (!(operation == "chat" || operation == "text_completion" ||
          operation == "generate_content" ||
          (operation.empty() && !Pick({"gen_ai.system", "gen_ai.provider.name", "llm.model_name",
                                       "gen_ai.request.model"})
                                     .empty())))
      return OtlpSpeaks::kNothing;
    // Older dialects put messages into the span's events: one each, or all in one attribute.
    std::string asked, prompt, chosen;
    for (const OtlpEvent& e : span.events) {
      if (const std::string_view role = MessageRole(e.name); !role.empty()) {
        StrAppend(&asked, asked.empty() ? "[" : ",", "{\"role\":\"", role, "\",\"content\":");
        base::AppendJsonString(StrCat(Text(e.content), Text(e.prompt)), &asked);
        asked += '}';
      } else if (e.name == "gen_ai.content.prompt") {
        prompt += Text(e.prompt);
      } else if (e.name == "gen_ai.choice" || e.name == "gen_ai.content.completion") {
        StrAppend(&chosen, chosen.empty() ? "[" : ",", "{\"content\":");
        base::AppendJsonString(StrCat(Text(e.content), Text(e.message), Text(e.completion)),
                               &chosen);
        chosen += '}';
      }
    }
    if (!asked.empty())
      asked += ']';
    else if (!prompt.empty())
      asked = AsMessages(prompt);
    if (!chosen.empty()) chosen += ']';
    w_->Begin();
    w_->Set(c.id, span.id);
    const auto nanoseconds = [](uint64_t v) { return v > INT64_MAX ? 0 : static_cast<int64_t>(v); };
    const int64_t begin = nanoseconds(span.begin_ns), end = nanoseconds(span.end_ns);
    w_->Set(c.ts, Made(std::to_string(begin / 1'000'000)));
    if (const int64_t took = (end - begin) / 1'000'000; end > 0 && took >= 0)
      w_->Set(c.latency, static_cast<uint64_t>(took));
    Common(asked, chosen);
    return OtlpSpeaks::kExchange;
  }

  OtlpSpeaks Log(const OtlpLog& log) {
    const Columns& c = Places();
    const std::string_view name = log.event_name.empty() ? (*this)["event.name"] : log.event_name,
                           role = MessageRole(name);
    const bool choice = name == "gen_ai.choice";
    const bool older =
        choice || role == "system" || role == "user" || role == "assistant" || role == "tool";
    if (!older && name != "gen_ai.client.inference.operation.details") return OtlpSpeaks::kNothing;
    // An older event is one message of a span's exchange; its content is in the body.
    std::string asked, chosen;
    if (choice) {
      chosen = StrCat("[", log.body, "]");
    } else if (older) {
      const std::string_view content = Text(log.content);
      StrAppend(&asked, "[{\"role\":\"", role, "\",\"content\":");
      if (content.starts_with("{\"arrayValue\"") || content.starts_with("{\"kvlistValue\""))
        asked += content;
      else
        base::AppendJsonString(content, &asked);
      asked += "}]";
    }
    w_->Begin();
    w_->Set(c.id, log.id);
    if (older) w_->Set(c.part, log.id);
    const uint64_t time = log.time_ns > 0 ? log.time_ns : log.observed_ns;
    w_->Set(c.order, time);
    w_->Set(c.ts, Made(std::to_string(time / 1'000'000)));
    Common(asked, chosen);
    return older ? OtlpSpeaks::kMessage : OtlpSpeaks::kExchange;
  }

 private:
  static const Columns& Places() {
    static const Columns columns{};
    return columns;
  }
  std::string_view Made(std::string text) { return made_.Keep(std::move(text)); }

  const OtlpAttributes& a_;
  W* const w_;
  // Rows keep a text themselves, a block copies it.
  struct Here {
    std::deque<std::string> kept;
    std::string_view Keep(std::string text) { return kept.emplace_back(std::move(text)); }
  };
  struct There {
    Rows* rows;
    std::string_view Keep(std::string text) { return rows->Keep(std::move(text)); }
  };
  std::conditional_t<std::is_same_v<W, Rows>, There, Here> made_ = Home(w_);
  static There Home(Rows* rows) { return {rows}; }
  static Here Home(RowWriter*) { return {}; }
};

template <typename W>
OtlpSpeaks AppendSpan(const OtlpSpan& span, const OtlpAttributes& attributes, W* rows) {
  return OtlpRow<W>(attributes, rows).Span(span);
}
template <typename W>
OtlpSpeaks AppendLog(const OtlpLog& log, const OtlpAttributes& attributes, W* rows) {
  return OtlpRow<W>(attributes, rows).Log(log);
}
template OtlpSpeaks AppendSpan(const OtlpSpan&, const OtlpAttributes&, Rows*);
template OtlpSpeaks AppendSpan(const OtlpSpan&, const OtlpAttributes&, RowWriter*);
template OtlpSpeaks AppendLog(const OtlpLog&, const OtlpAttributes&, Rows*);
template OtlpSpeaks AppendLog(const OtlpLog&, const OtlpAttributes&, RowWriter*);

}  // namespace stillwatch::ingest
