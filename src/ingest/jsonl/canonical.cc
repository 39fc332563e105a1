#include "ingest/jsonl/canonical.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/json.h"
#include "base/time.h"
#include "sketch/sketcher.h"

namespace stillwatch::ingest {

void AppendCanonical(const model::ExchangeView& e, const model::Sketch* sketch, std::string* out) {
  base::JsonWriter w(out);
  const auto text = [&](const char* key, std::string_view v) {
    if (v.empty()) return;
    w.Key(key);
    w.String(v);
  };
  const auto count = [&](const char* key, uint32_t v) {
    if (v == model::kNoTokens) return;
    w.Key(key);
    w.Uint(v);
  };
  // The shortest decimal that reads back as the same float: .7, not .699999988.
  const auto real = [&](const char* key, float v) {
    if (!std::isfinite(v)) return;
    char digits[32];
    *std::to_chars(digits, digits + sizeof digits - 1, v).ptr = '\0';
    w.Key(key);
    w.Double(std::strtod(digits, nullptr));
  };
  const auto list = [&](const char* key, const std::vector<std::string_view>& v) {
    if (v.empty()) return;
    w.Key(key);
    w.BeginArray();
    for (const auto item : v) w.String(item);
    w.EndArray();
  };
  w.BeginObject();
  text("exchange_id", e.exchange_id);
  text("ts", base::FormatRfc3339(e.ts_ms));
  text("account_id", e.account_id);
  text("org_id", e.org_id);
  text("api_key_id", e.api_key_id);
  text("session_id", e.session_id);
  text("channel", e.channel);
  text("model", e.model);
  text("operation", e.operation);
  if (sketch == nullptr && !(e.system.empty() && e.turn.empty())) {
    w.Key("messages");
    w.BeginArray();
    for (const auto& [role, content] : {std::pair("system", e.system), std::pair("user", e.turn)}) {
      if (content.empty()) continue;
      w.BeginObject();
      text("role", role);
      text("content", content);
      w.EndObject();
    }
    w.EndArray();
  }
  if (sketch == nullptr) text("response", e.response);
  count("input_tokens", e.input_tokens);
  count("output_tokens", e.output_tokens);
  count("reasoning_tokens", e.reasoning_tokens);
  count("cached_tokens", e.cached_tokens);
  real("temperature", e.temperature);
  real("top_p", e.top_p);
  count("max_tokens", e.max_tokens);
  list("tools", e.tools);
  if (e.stream >= 0) {
    w.Key("stream");
    w.Bool(e.stream != 0);
  }
  if (e.status >= 0) count("status", static_cast<uint32_t>(e.status));
  text("client_ip", e.client_ip);
  text("user_agent", e.user_agent);
  text("ja4", e.ja4);
  count("latency_ms", e.latency_ms);
  list("reasoning_signatures_issued", e.signatures_issued);
  list("reasoning_signatures_presented", e.signatures_presented);
  if (sketch != nullptr) {
    const sketch::EncodedSketch s = sketch::Encode(*sketch);
    w.Key("sketch");
    w.BeginObject();
    w.Key("version");
    w.Int(model::kSketchVersion);
    text("system", s.system);
    text("turn", s.turn);
    text("response", s.response);
    w.EndObject();
  }
  w.EndObject();
}

}  // namespace stillwatch::ingest
