#include "ingest/live/litellm.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/str.h"
#include "ingest/formats/records.h"

namespace stillwatch::ingest {
namespace {

namespace dom = simdjson::dom;

// As the engine's JSONExtract(..., 'String'): a string's text, nothing of null, else JSON.
std::string Text(dom::element object, std::string_view key) {
  dom::element v;
  std::string_view s;
  if (object[key].get(v) != simdjson::SUCCESS || v.is_null()) return {};
  if (v.get(s) == simdjson::SUCCESS) return std::string(s);
  return simdjson::minify(v);
}

std::optional<double> Real(dom::element object, std::string_view key) {
  dom::element v;
  double d;
  if (object[key].get(v) != simdjson::SUCCESS || v.get(d) != simdjson::SUCCESS) return {};
  return d;
}

// Whole numbers, as text; nothing of anything else.
std::string Whole(dom::element object, std::string_view key) {
  dom::element v;
  int64_t n;
  if (object[key].get(v) != simdjson::SUCCESS) return {};
  if (v.get(n) == simdjson::SUCCESS) return std::to_string(n);
  const auto d = Real(object, key);
  if (d && *d == std::floor(*d) && std::abs(*d) < 1e15)
    return std::to_string(static_cast<int64_t>(*d));
  return {};
}

}  // namespace

struct LitellmReader::State {
  const Columns c{};
  dom::parser parser, metadata_parser, parameters_parser, empty_parser;
  dom::element empty = empty_parser.parse(std::string_view("{}"));

  // An object, or one written out as a string.
  dom::element Object(dom::element e, std::string_view key, dom::parser* own) {
    dom::element v;
    std::string_view s;
    if (e[key].get(v) != simdjson::SUCCESS) return empty;
    if (v.is_object()) return v;
    if (v.get(s) == simdjson::SUCCESS &&
        own->parse(s.data(), s.size()).get(v) == simdjson::SUCCESS && v.is_object())
      return v;
    return empty;
  }

  void Row(dom::element e, RowWriter* w) {
    const dom::element m = Object(e, "metadata", &metadata_parser),
                       p = Object(e, "model_parameters", &parameters_parser);
    const std::string status = Text(e, "status");
    const bool failed = status == "failure";
    const auto first = [](std::string a, std::string b) { return a.empty() ? b : a; };
    w->Set(c.id, Text(e, "id"));
    const double start = Real(e, "startTime").value_or(0), end = Real(e, "endTime").value_or(0);
    if (std::abs(start) < 1e12)
      w->Set(c.ts, std::to_string(static_cast<int64_t>(std::nearbyint(start * 1000))));
    const std::string user = Text(m, "user_api_key_user_id"), hash = Text(m, "user_api_key_hash");
    w->Set(c.account,
           !user.empty() && user != "default_user_id"
               ? user
               : first(first(Text(e, "end_user"), Text(m, "user_api_key_end_user_id")), hash));
    w->Set(c.org, first(Text(m, "user_api_key_org_id"), Text(m, "user_api_key_team_id")));
    w->Set(c.key, hash);
    w->Set(c.session, Text(e, "trace_id"));
    w->Set(c.channel, "api");
    w->Set(c.model, Text(e, "model"));
    w->Set(c.operation, Text(e, "call_type"));
    if (const std::string messages = Text(e, "messages"); messages.starts_with('['))
      w->Set(c.messages, messages);
    dom::element response;
    if (e["response"].get(response) == simdjson::SUCCESS) {
      dom::element choices;
      if (response.is_object()) {
        w->Set(c.json, response["choices"].get(choices) == simdjson::SUCCESS
                           ? std::string(simdjson::minify(choices))
                           : std::string(simdjson::minify(response)));
      } else if (!response.is_array()) {
        w->Set(c.response, Text(e, "response"));
      }
    }
    // A request that failed counts 0, which is not known.
    const char* unknown = failed ? "0" : "-1";
    if (const std::string n = Whole(e, "prompt_tokens"); n != unknown) w->Set(c.input, n);
    if (const std::string n = Whole(e, "completion_tokens"); n != unknown) w->Set(c.output, n);
    dom::element usage, details;
    if (m["usage_object"].get(usage) == simdjson::SUCCESS) {
      if (usage["completion_tokens_details"].get(details) == simdjson::SUCCESS)
        w->Set(c.reasoning, Whole(details, "reasoning_tokens"));
      if (usage["prompt_tokens_details"].get(details) == simdjson::SUCCESS)
        w->Set(c.cached, Whole(details, "cached_tokens"));
    }
    w->Set(c.max, Whole(p, "max_tokens"));
    w->Set(c.temperature, Text(p, "temperature"));
    w->Set(c.top_p, Text(p, "top_p"));
    w->Set(c.tools, Text(p, "tools"));
    w->Set(c.stream, Text(e, "stream"));
    if (end > start && end - start < 4e6) {
      w->Set(c.latency, static_cast<uint64_t>(std::nearbyint((end - start) * 1000)));
    }
    dom::element error;
    if (status == "success")
      w->Set(c.status, uint64_t{200});
    else if (e["error_information"].get(error) == simdjson::SUCCESS)
      w->Set(c.status, Text(error, "error_code"));
    w->Set(c.ip, first(Text(e, "requester_ip_address"), Text(m, "requester_ip_address")));
    w->Set(c.agent, first(Text(e, "user_agent"), Text(m, "user_agent")));
  }
};

LitellmReader::LitellmReader() : state_(std::make_unique<State>()) {}
LitellmReader::~LitellmReader() = default;

void LitellmReader::Read(std::string_view body, RowWriter* rows,
                         const std::function<void(model::Reject)>& reject) {
  State& s = *state_;
  RecordBatch batch;
  const auto split = [&](std::string_view text, size_t offset) {
    DocumentSplitter splitter(1, offset);
    splitter.Feed(text, &batch);
    splitter.Finish(&batch);
  };
  if (IsDocument(body)) {
    split(body, 0);
  } else {
    // A line on its own, so that a broken one takes no other with it.
    for (size_t at = 0; at < body.size();) {
      const size_t end = std::min(body.find('\n', at), body.size());
      split(body.substr(at, end - at), at);
      at = end + 1;
    }
  }
  uint64_t number = 0;
  for (const RawRecord& raw : batch.records) {
    const std::string_view text = batch.Text(raw);
    ++number;
    dom::element e;
    std::string problem;
    if (raw.cut) {
      problem = "record: cut short";
    } else if (const auto error = s.parser.parse(text.data(), text.size()).get(e); error) {
      problem = base::StrCat("record: not valid JSON: ", simdjson::error_message(error));
    } else if (!e.is_object()) {
      problem = "record: expected an object";
    }
    if (!problem.empty()) {
      model::Reject r;
      r.line = number;
      r.offset = raw.offset;
      r.reason = std::move(problem);
      r.record = text.substr(0, 1024);
      reject(std::move(r));
      continue;
    }
    rows->Begin();
    rows->Set(s.c.row, number);
    rows->Set(s.c.record, text.substr(0, 1024));
    s.Row(e, rows);
  }
}

}  // namespace stillwatch::ingest
