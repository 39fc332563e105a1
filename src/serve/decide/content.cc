#include "serve/decide/content.h"

#include <simdjson.h>

#include <algorithm>

#include "base/hash.h"
#include "ingest/jsonl/jsonl_source.h"
#include "serve/decide/raw_json.h"
#include "sketch/sketcher.h"

namespace stillwatch::serve {
namespace {

namespace sj = simdjson::ondemand;

constexpr int kWalkDepth = 12;  // of parts within parts that signatures are looked for in

bool IsArray(std::string_view raw) { return !raw.empty() && raw.front() == '['; }
bool IsText(std::string_view raw) { return !raw.empty() && raw.front() == '"'; }

// What stands between the brackets of an array, blanks at both ends aside.
std::string_view Inside(std::string_view array) {
  array.remove_prefix(1);
  const size_t end = array.rfind(']');
  array = array.substr(0, end == std::string_view::npos ? array.size() : end);
  const size_t first = array.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : array.substr(first);
}

}  // namespace

struct ContentParser::State {
  sj::parser parser;
  ingest::RecordParser messages{0};
  sketch::Sketcher sketcher;
  model::ExchangeView view;
  std::string body, model, composed;

  void Add(std::string_view role, std::string_view raw) {
    if (composed.size() > 1) composed.push_back(',');
    composed.append(R"({"role":")").append(role).append(R"(","content":)").append(raw).append("}");
  }

  void Walk(sj::value v, int depth, std::vector<uint64_t>* out) {
    if (depth > kWalkDepth || out->size() >= kPresentedMax) return;
    const auto type = v.type().value();
    if (type == sj::json_type::array) {
      for (auto item : v.get_array()) Walk(item.value(), depth + 1, out);
    } else if (type == sj::json_type::object) {
      std::string_view kind, data;
      for (auto field : v.get_object()) {
        const std::string_view key = field.unescaped_key().value();
        sj::value inner = field.value();
        const auto inner_type = inner.type().value();
        if (inner_type == sj::json_type::array || inner_type == sj::json_type::object) {
          Walk(inner, depth + 1, out);
        } else if (inner_type == sj::json_type::string) {
          const bool signature = key == "signature" || key == "encrypted_content";
          if (!signature && key != "type" && key != "data") continue;
          const std::string_view text = inner.get_string().value();
          if (signature && !text.empty() && out->size() < kPresentedMax) {
            out->push_back(base::Hash64(text));
          } else if (key == "type") {
            kind = text;
          } else if (key == "data") {
            data = text;
          }
        }
      }
      if (kind == "redacted_thinking" && !data.empty() && out->size() < kPresentedMax) {
        out->push_back(base::Hash64(data));
      }
    }
  }
};

ContentParser::ContentParser() : state_(std::make_unique<State>()) {}
ContentParser::~ContentParser() = default;

absl::Status ContentParser::Parse(std::string_view body, bool cut, Content* out) {
  State& s = *state_;
  out->model = {};
  out->presented.clear();
  out->sketch.present = false;
  if (body.size() > kContentBytesMax) {
    return absl::InvalidArgumentError("body: longer than 32 MiB; decided without its text");
  }
  if (cut) {
    s.body = CloseJson(body);
  } else {
    s.body.assign(body);
  }
  const size_t size = s.body.size();
  s.body.append(simdjson::SIMDJSON_PADDING, '\0');
  std::string_view system, messages, prompt;
  s.model.clear();
  const auto read = [&]() -> absl::Status {
    try {
      sj::document document = s.parser.iterate(s.body.data(), size, s.body.size());
      if (document.type() != sj::json_type::object) {
        return absl::InvalidArgumentError("body: expected a JSON object");
      }
      // Of a key that stands twice the last counts, as with the servers behind a gateway.
      for (auto field : document.get_object()) {
        const std::string_view key = field.unescaped_key().value();
        sj::value v = field.value();
        if (key == "model") {
          if (v.type() == sj::json_type::string) s.model.assign(v.get_string().value());
        } else if (key == "messages" || key == "input" || key == "contents") {
          messages = RawJson(v);
        } else if (key == "system" || key == "instructions" || key == "systemInstruction" ||
                   key == "system_instruction") {
          system = RawJson(v);
        } else if (key == "prompt") {
          prompt = RawJson(v);
        }
      }
    } catch (const simdjson::simdjson_error& error) {
      return absl::InvalidArgumentError(std::string("body: not valid JSON: ") + error.what());
    }
    return absl::OkStatus();
  };
  const absl::Status status = read();
  out->model = s.model;

  s.composed.assign(1, '[');
  if (!system.empty() && system != "null") s.Add("system", system);
  if (IsArray(messages)) {
    const std::string_view inside = Inside(messages);
    if (!inside.empty()) {
      if (s.composed.size() > 1) s.composed.push_back(',');
      s.composed.append(inside);
    }
  } else if (IsText(messages)) {
    s.Add("user", messages);
  } else if (IsText(prompt) || IsArray(prompt)) {
    s.Add("user", prompt);
  }
  s.composed.push_back(']');
  if (s.composed.size() > 2) {
    s.view = {};
    // What is no list of messages (an embedding's list of strings) is no conversation.
    if (s.messages.ParseMessages(s.composed, &s.view).ok() &&
        !(s.view.system.empty() && s.view.turn.empty())) {
      s.sketcher.Sketch(s.view.system, s.view.turn, {}, {}, s.view.messages, &out->sketch);
    }
  }
  if (!messages.empty() && (body.find("signature") != std::string_view::npos ||
                            body.find("encrypted_content") != std::string_view::npos ||
                            body.find("redacted_thinking") != std::string_view::npos)) {
    s.composed.append(simdjson::SIMDJSON_PADDING, '\0');
    try {
      sj::document document = s.parser.iterate(
          s.composed.data(), s.composed.size() - simdjson::SIMDJSON_PADDING, s.composed.size());
      s.Walk(document.get_value(), 0, &out->presented);
    } catch (const simdjson::simdjson_error&) {
      // What was found before the fault counts.
    }
  }
  return status;
}

std::string CloseJson(std::string_view body) {
  std::string open;                 // the brackets that are open
  size_t safe = 0, safe_depth = 0;  // up to here, closed, it is valid
  bool key_next = false, is_key = false;
  size_t i = 0;
  const auto mark = [&](size_t end) {
    safe = end;
    safe_depth = open.size();
  };
  std::string out;
  const auto close = [&](std::string_view text, size_t depth) {
    out.append(text);
    while (depth > 0) out.push_back(open[--depth] == '{' ? '}' : ']');
  };
  while (i < body.size()) {
    const char c = body[i];
    if (c == '"') {
      is_key = key_next;
      const size_t begin = ++i;
      size_t last = begin;  // where the last whole character began or ended
      while (i < body.size() && body[i] != '"') {
        if (body[i] == '\\') {
          const size_t length = i + 1 < body.size() && body[i + 1] == 'u' ? 6 : 2;
          if (i + length > body.size()) break;
          // Half of a pair is no character.
          const bool high = length == 6 && (body[i + 2] | 0x20) == 'd' &&
                            (body[i + 3] == '8' || body[i + 3] == '9' ||
                             (body[i + 3] | 0x20) == 'a' || (body[i + 3] | 0x20) == 'b');
          if (high && i + 12 > body.size()) break;
          i += high ? 12 : length;
        } else {
          const auto lead = static_cast<unsigned char>(body[i]);
          const size_t length = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
          if (i + length > body.size()) break;
          i += length;
        }
        last = i;
      }
      if (i >= body.size() || body[i] != '"') {  // the body ends within it
        if (is_key || open.empty()) break;
        close(body.substr(0, last), 0);
        out.push_back('"');
        close({}, open.size());
        return out;
      }
      ++i;
      if (!is_key && !open.empty()) mark(i);
      key_next = false;
      continue;
    }
    if (c == '{' || c == '[') {
      open.push_back(c);
      key_next = c == '{';
      mark(i + 1);
    } else if (c == '}' || c == ']') {
      if (open.empty() || (open.back() == '{') != (c == '}')) break;
      open.pop_back();
      key_next = false;
      mark(i + 1);
      if (open.empty()) break;  // whole
    } else if (c == ',') {
      // A number or literal before it is whole.
      mark(i);
      key_next = !open.empty() && open.back() == '{';
    } else if (open.empty() && static_cast<unsigned char>(c) > ' ') {
      return {};
    }
    ++i;
  }
  if (safe == 0) return {};
  close(body.substr(0, safe), safe_depth);
  return out;
}

}  // namespace stillwatch::serve
