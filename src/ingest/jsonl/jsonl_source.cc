#include "ingest/jsonl/jsonl_source.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/str.h"
#include "base/time.h"
#include "ingest/jsonl/lines.h"
#include "sketch/sketcher.h"

namespace stillwatch::ingest {
namespace {

namespace sj = simdjson::ondemand;
using base::StrCat;

// Depth of brackets outside strings, up to `limit` + 1.
int Depth(std::string_view s, int limit) {
  int depth = 0, deepest = 0;
  for (size_t i = 0; i < s.size() && deepest <= limit; ++i) {
    if (s[i] == '"') {
      for (++i; i < s.size() && s[i] != '"'; ++i) i += s[i] == '\\';
    } else if (s[i] == '[' || s[i] == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (s[i] == ']' || s[i] == '}') {
      --depth;
    }
  }
  return deepest;
}

const char* TypeName(sj::json_type type) {
  switch (type) {
    case sj::json_type::array:
      return "an array";
    case sj::json_type::object:
      return "an object";
    case sj::json_type::number:
      return "a number";
    case sj::json_type::string:
      return "a string";
    case sj::json_type::boolean:
      return "a boolean";
    default:
      return "null";
  }
}

struct Failure {
  std::string reason;
};

enum Field : int {
  kExchangeId,
  kTs,
  kAccountId,
  kOrgId,
  kApiKeyId,
  kSessionId,
  kChannel,
  kModel,
  kOperation,
  kMessages,
  kSystem,
  kResponse,
  kStatus,
  kInput,
  kOutput,
  kReasoning,
  kCached,
  kTemperature,
  kTopP,
  kMaxTokens,
  kTools,
  kStream,
  kIp,
  kAgent,
  kJa4,
  kLatency,
  kIssued,
  kPresented,
  kSketch,
  kFields,
};
constexpr std::string_view kNames[kFields] = {"exchange_id",
                                              "ts",
                                              "account_id",
                                              "org_id",
                                              "api_key_id",
                                              "session_id",
                                              "channel",
                                              "model",
                                              "operation",
                                              "messages",
                                              "system",
                                              "response",
                                              "status",
                                              "input_tokens",
                                              "output_tokens",
                                              "reasoning_tokens",
                                              "cached_tokens",
                                              "temperature",
                                              "top_p",
                                              "max_tokens",
                                              "tools",
                                              "stream",
                                              "client_ip",
                                              "user_agent",
                                              "ja4",
                                              "latency_ms",
                                              "reasoning_signatures_issued",
                                              "reasoning_signatures_presented",
                                              "sketch"};

// Length and three characters tell the names apart; a name is then compared once.
constexpr size_t Slot(std::string_view key) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(key[i]); };
  return (key.size() * 2 + at(0) + at(key.size() / 2) * 35 + at(key.size() - 1) * 29) % 64;
}
constexpr auto kSlots = [] {
  std::array<int8_t, 64> slots{};
  slots.fill(-1);
  for (int f = 0; f < kFields; ++f) {
    if (slots[Slot(kNames[f])] >= 0)
      throw "two names in one slot: choose other factors";  // does not compile
    slots[Slot(kNames[f])] = static_cast<int8_t>(f);
  }
  return slots;
}();

int FieldOf(std::string_view key) {
  if (key.empty()) return -1;
  const int f = kSlots[Slot(key)];
  return f >= 0 && kNames[f] == key ? f : -1;
}

}  // namespace

struct RecordParser::State {
  sj::parser parser;
  int64_t now_ms;
  std::string system, top_system, turn, response, part, copy;

  [[noreturn]] static void Fail(std::string reason) { throw Failure{std::move(reason)}; }

  static bool IsNull(sj::value& v) {
    bool null;
    return v.type().value() == sj::json_type::null && !v.is_null().get(null);
  }
  static std::string_view Short(std::string_view name, sj::value& v) {
    const std::string_view s = Text(name, v);
    if (s.size() > kShortBytesMax) Fail(StrCat(name, ": longer than ", kShortBytesMax, " bytes"));
    return s;
  }
  static std::string_view Text(std::string_view name, sj::value& v) {
    if (v.type() != sj::json_type::string)
      Fail(StrCat(name, ": expected a string, found ", TypeName(v.type())));
    return v.get_string().value();
  }
  static uint32_t Count(std::string_view name, sj::value& v) {
    if (v.type() != sj::json_type::number)
      Fail(StrCat(name, ": expected an integer, found ", TypeName(v.type())));
    int64_t n;
    if (v.get_int64().get(n) != simdjson::SUCCESS) {
      double d;
      if (v.get_double().get(d) != simdjson::SUCCESS) Fail(StrCat(name, ": expected an integer"));
      if (!(d >= 0 && d <= INT32_MAX)) Fail(StrCat(name, ": out of range (0 to 2147483647)"));
      if (d != std::floor(d)) Fail(StrCat(name, ": expected an integer, found a fraction"));
      n = static_cast<int64_t>(d);
    }
    if (n < 0 || n > INT32_MAX) Fail(StrCat(name, ": ", n, " is out of range (0 to 2147483647)"));
    return static_cast<uint32_t>(n);
  }
  static float Real(std::string_view name, sj::value& v) {
    if (v.type() != sj::json_type::number)
      Fail(StrCat(name, ": expected a number, found ", TypeName(v.type())));
    return static_cast<float>(v.get_double().value());
  }
  static void List(std::string_view name, sj::value& v, size_t max,
                   std::vector<std::string_view>* out) {
    if (v.type() != sj::json_type::array)
      Fail(StrCat(name, ": expected an array, found ", TypeName(v.type())));
    for (auto item : v.get_array()) {
      sj::value element = item.value();
      if (element.type() == sj::json_type::object) {
        // A tool as the request declares it: {"name"} or {"function": {"name"}}.
        std::string_view found;
        for (auto field : element.get_object()) {
          const std::string_view key = field.unescaped_key().value();
          sj::value inner = field.value();
          if (key == "name") {
            found = Text(name, inner);
          } else if (key == "function" && inner.type() == sj::json_type::object) {
            for (auto deeper : inner.get_object()) {
              const std::string_view k = deeper.unescaped_key().value();
              sj::value d = deeper.value();
              if (k == "name") found = Text(name, d);
            }
          }
        }
        if (!found.empty()) out->push_back(found);
      } else {
        out->push_back(Text(name, element));
      }
      if (out->size() > max) Fail(StrCat(name, ": more than ", max, " entries"));
    }
  }

  // Content as a string or as parts; of parts the text, joined by newlines.
  std::string_view Content(std::string_view name, sj::value& v, std::string* buffer) {
    const auto type = v.type().value();
    if (type == sj::json_type::string) return v.get_string().value();
    if (type == sj::json_type::null) return {};
    buffer->clear();
    const auto append = [&](std::string_view text) {
      if (text.empty()) return;
      if (!buffer->empty()) buffer->push_back('\n');
      buffer->append(text);
    };
    const auto one = [&](auto&& self, sj::value& item, int depth) -> void {
      if (depth > 8) Fail(StrCat(name, ": parts are nested too deeply"));
      const auto kind = item.type().value();
      if (kind == sj::json_type::string) return append(item.get_string().value());
      if (kind == sj::json_type::array) {
        for (auto element : item.get_array()) {
          sj::value inner = element.value();
          self(self, inner, depth + 1);
        }
        return;
      }
      if (kind != sj::json_type::object) return;
      for (auto field : item.get_object()) {
        const std::string_view key = field.unescaped_key().value();
        sj::value inner = field.value();
        if (key == "text" || key == "content" || key == "response" || key == "output" ||
            key == "parts") {
          self(self, inner, depth + 1);
        }
      }
    };
    if (type != sj::json_type::array && type != sj::json_type::object) {
      Fail(StrCat(name, ": expected a string or parts, found ", TypeName(type)));
    }
    one(one, v, 0);
    return *buffer;
  }

  void Messages(sj::value& v, model::ExchangeView* e) {
    if (v.type() != sj::json_type::array)
      Fail(StrCat("messages: expected an array, found ", TypeName(v.type())));
    for (auto item : v.get_array()) {
      sj::value message = item.value();
      if (message.type() != sj::json_type::object) {
        Fail(StrCat("messages[", e->messages, "]: expected an object, found ",
                    TypeName(message.type())));
      }
      std::string_view role, content;
      for (auto field : message.get_object()) {
        const std::string_view key = field.unescaped_key().value();
        sj::value inner = field.value();
        if (key == "role")
          role = Text("messages.role", inner);
        else if (key == "content" || key == "parts")
          content = Content("messages.content", inner, &part);
      }
      ++e->messages;
      if (role == "system" || role == "developer") {
        if (!system.empty()) system.push_back('\n');
        system.append(content);
      } else if (role == "user" || role == "tool" || role == "function" || role == "human") {
        if (content.data() == part.data()) {
          turn.swap(part);
          content = turn;
        }
        e->turn = content;
      }
    }
  }

  void ReadSketch(sj::value& v, model::ExchangeView* e) {
    if (v.type() != sj::json_type::object)
      Fail(StrCat("sketch: expected an object, found ", TypeName(v.type())));
    int64_t version = 0;
    std::string_view system_b64, turn_b64, response_b64;
    for (auto field : v.get_object()) {
      const std::string_view key = field.unescaped_key().value();
      sj::value inner = field.value();
      if (key == "version")
        version = Count("sketch.version", inner);
      else if (key == "system")
        system_b64 = Text("sketch.system", inner);
      else if (key == "turn")
        turn_b64 = Text("sketch.turn", inner);
      else if (key == "response")
        response_b64 = Text("sketch.response", inner);
    }
    if (absl::Status s = sketch::Decode(static_cast<int>(version), system_b64, turn_b64,
                                        response_b64, &e->sketch);
        !s.ok()) {
      Fail(std::string(s.message().data(), s.message().size()));
    }
    e->has_sketch = true;
  }

  // Hands one value, copied, to `read`.
  template <typename F>
  absl::Status Value(std::string_view name, std::string_view json, F read) {
    copy.assign(json);
    copy.append(simdjson::SIMDJSON_PADDING, '\0');
    try {
      sj::document document = parser.iterate(copy.data(), json.size(), copy.size());
      sj::value v = document.get_value();
      read(v);
    } catch (const Failure& failure) {
      return absl::InvalidArgumentError(failure.reason);
    } catch (const simdjson::simdjson_error& error) {
      return absl::InvalidArgumentError(StrCat(name, ": not valid JSON: ", error.what()));
    }
    return absl::OkStatus();
  }

  void Record(std::string_view line, model::ExchangeView* e) {
    if (CountByte(line, '{') + CountByte(line, '[') > kNestingMax &&
        Depth(line, kNestingMax) > kNestingMax) {
      Fail(StrCat("record: nested deeper than ", kNestingMax, " levels"));
    }
    *e = {};
    system.clear();
    top_system.clear();
    sj::document document =
        parser.iterate(line.data(), line.size(), line.size() + simdjson::SIMDJSON_PADDING);
    if (document.type() != sj::json_type::object) Fail("record: expected an object");
    uint64_t seen = 0;
    bool text = false;
    for (auto field : document.get_object()) {
      const std::string_view key = field.unescaped_key().value();
      const int f = FieldOf(key);
      sj::value v = field.value();
      if (f < 0) continue;
      if (seen >> f & 1) Fail(StrCat(kNames[f], ": appears twice"));
      seen |= uint64_t{1} << f;
      if (IsNull(v)) {
        if (f == kExchangeId || f == kTs || f == kAccountId)
          Fail(StrCat(kNames[f], ": missing (null)"));
        continue;
      }
      const std::string_view name = kNames[f];
      switch (f) {
        case kExchangeId:
          e->exchange_id = Text(name, v);
          break;
        case kAccountId:
          e->account_id = Text(name, v);
          break;
        case kTs: {
          const std::string_view t = Text(name, v);
          const auto ms = base::ParseRfc3339(t);
          if (!ms) Fail(StrCat("ts: not RFC 3339 with a zone: \"", t.substr(0, 64), "\""));
          if (*ms < 0) Fail(StrCat("ts: before 1970: ", t.substr(0, 64)));
          if (*ms > now_ms + base::kMsPerDay) Fail(StrCat("ts: in the future: ", t.substr(0, 64)));
          e->ts_ms = *ms;
          break;
        }
        case kOrgId:
          e->org_id = Short(name, v);
          break;
        case kApiKeyId:
          e->api_key_id = Short(name, v);
          break;
        case kSessionId:
          e->session_id = Short(name, v);
          break;
        case kChannel:
          e->channel = Short(name, v);
          break;
        case kModel:
          e->model = Short(name, v);
          break;
        case kOperation:
          e->operation = Short(name, v);
          break;
        case kMessages:
          Messages(v, e);
          text = true;
          break;
        case kSystem: {
          top_system.assign(Content(name, v, &part));
          text = true;
          break;
        }
        case kResponse: {
          e->response = Content(name, v, &response);
          text = true;
          break;
        }
        case kStatus:
          e->status = static_cast<int32_t>(std::min<uint32_t>(Count(name, v), 65'535));
          break;
        case kInput:
          e->input_tokens = Count(name, v);
          break;
        case kOutput:
          e->output_tokens = Count(name, v);
          break;
        case kReasoning:
          e->reasoning_tokens = Count(name, v);
          break;
        case kCached:
          e->cached_tokens = Count(name, v);
          break;
        case kTemperature:
          e->temperature = Real(name, v);
          break;
        case kTopP:
          e->top_p = Real(name, v);
          break;
        case kMaxTokens:
          e->max_tokens = Count(name, v);
          break;
        case kTools:
          List(name, v, kToolsMax, &e->tools);
          break;
        case kStream:
          if (v.type() != sj::json_type::boolean)
            Fail(StrCat("stream: expected a boolean, found ", TypeName(v.type())));
          e->stream = v.get_bool().value();
          break;
        case kIp:
          e->client_ip = Short(name, v);
          break;
        case kAgent:
          e->user_agent = Short(name, v);
          break;
        case kJa4:
          e->ja4 = Short(name, v);
          break;
        case kLatency:
          e->latency_ms = Count(name, v);
          break;
        case kIssued:
          List(name, v, kSignaturesMax, &e->signatures_issued);
          break;
        case kPresented:
          List(name, v, kSignaturesMax, &e->signatures_presented);
          break;
        case kSketch:
          ReadSketch(v, e);
          break;
      }
    }
    if (document.current_location().error() == simdjson::SUCCESS)
      Fail("record: something follows the object");
    for (const int f : {kExchangeId, kTs, kAccountId}) {
      if (!(seen >> f & 1)) Fail(StrCat(kNames[f], ": missing"));
    }
    for (const auto& [name, id] : {std::pair(kNames[kExchangeId], e->exchange_id),
                                   std::pair(kNames[kAccountId], e->account_id)}) {
      if (id.empty()) Fail(StrCat(name, ": empty"));
      if (id.size() > kIdBytesMax) Fail(StrCat(name, ": longer than ", kIdBytesMax, " bytes"));
      if (std::any_of(id.begin(), id.end(),
                      [](char c) { return static_cast<uint8_t>(c) < 0x20; })) {
        Fail(StrCat(name, ": contains a control character"));
      }
    }
    if (!top_system.empty()) {  // first, wherever the key stands
      if (!system.empty()) top_system.append(1, '\n').append(system);
      system.swap(top_system);
    }
    e->system = system;
    e->has_text = text;
    if (e->has_sketch && text)
      Fail("sketch: stands beside messages or response; a record carries one or the other");
  }
};

RecordParser::RecordParser(int64_t now_ms) : state_(std::make_unique<State>()) {
  state_->now_ms = now_ms;
}
RecordParser::~RecordParser() = default;

absl::Status RecordParser::Parse(std::string_view line, model::ExchangeView* e) {
  try {
    state_->Record(line, e);
  } catch (const Failure& failure) {
    return absl::InvalidArgumentError(failure.reason);
  } catch (const simdjson::simdjson_error& error) {
    return absl::InvalidArgumentError(StrCat("record: not valid JSON: ", error.what()));
  }
  return absl::OkStatus();
}

absl::Status RecordParser::ParseMessages(std::string_view json, model::ExchangeView* e) {
  State& s = *state_;
  s.system.clear();
  const absl::Status parsed = s.Value("messages", json, [&](sj::value& v) { s.Messages(v, e); });
  if (parsed.ok()) e->system = s.system;
  return parsed;
}

absl::Status RecordParser::ParseSketch(std::string_view json, model::ExchangeView* e) {
  State& s = *state_;
  return s.Value("sketch", json, [&](sj::value& v) { s.ReadSketch(v, e); });
}

namespace {

class JsonlSource : public Source {
 public:
  JsonlSource(std::vector<std::string> paths, JsonlOptions options)
      : paths_(std::move(paths)), options_(std::move(options)) {}

  absl::Status Read(int threads, const Sink& sink, Progress* progress,
                    const std::atomic<bool>* stop) override {
    std::mutex lock;  // of rejects, notes and the first error
    absl::Status status;
    const auto reject = [&](model::Reject r) {
      const std::lock_guard<std::mutex> hold(lock);
      return sink.reject(std::move(r));
    };
    const auto note = [&](std::string text) {
      const std::lock_guard<std::mutex> hold(lock);
      options_.note(std::move(text));
    };
    LineReader reader(paths_, progress, note, reject);
    reader.StopBy(stop);
    std::atomic<bool> failed{false};
    const auto work = [&](int worker) {
      RecordParser parser(options_.now_ms);
      model::ExchangeView e;
      Chunk chunk;
      absl::Status mine;
      while (mine.ok() && !failed) {
        if (stop != nullptr && *stop) {
          mine = absl::CancelledError("interrupted");
          break;
        }
        auto more = reader.Next(&chunk);
        if (!more.ok()) mine = more.status();
        if (!more.ok() || !*more) break;
        uint64_t line = chunk.first_line, parsed_here = 0;
        for (size_t at = 0; at < chunk.size && mine.ok(); ++line) {
          const void* newline = std::memchr(chunk.bytes.data() + at, '\n', chunk.size - at);
          const size_t end =
              newline == nullptr
                  ? chunk.size
                  : static_cast<size_t>(static_cast<const char*>(newline) - chunk.bytes.data());
          std::string_view text(chunk.bytes.data() + at, end - at);
          const size_t begin = at;
          at = end + 1;
          while (!text.empty() &&
                 (text.back() == '\r' || text.back() == ' ' || text.back() == '\t'))
            text.remove_suffix(1);
          if (text.empty()) continue;
          absl::Status parsed =
              text.size() > kRecordBytesMax
                  ? absl::InvalidArgumentError(
                        "line: longer than 32 MiB; split the record or drop its attachments")
                  : parser.Parse(text, &e);
          if (parsed.ok()) {
            ++parsed_here;
            mine = sink.exchange(worker, e);
          } else {
            model::Reject r;
            r.source = chunk.source;
            r.line = line;
            r.offset = chunk.offset + begin;
            r.reason.assign(parsed.message().data(), parsed.message().size());
            r.record = text.substr(0, 1024);
            mine = reject(std::move(r));
          }
        }
        if (progress != nullptr) progress->records += parsed_here;
      }
      if (!mine.ok()) {
        const std::lock_guard<std::mutex> hold(lock);
        if (status.ok()) status = mine;
        failed = true;
      }
    };
    std::vector<std::thread> others;
    for (int w = 1; w < threads; ++w) others.emplace_back(work, w);
    work(0);
    for (auto& t : others) t.join();
    return status;
  }

 private:
  std::vector<std::string> paths_;
  JsonlOptions options_;
};

}  // namespace

std::unique_ptr<Source> MakeJsonlSource(std::vector<std::string> paths, JsonlOptions options) {
  return std::make_unique<JsonlSource>(std::move(paths), std::move(options));
}

}  // namespace stillwatch::ingest
