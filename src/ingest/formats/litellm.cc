// litellm.sql in C++.
#include <cmath>

#include "ingest/formats/decode.h"
#include "ingest/formats/members.h"

namespace stillwatch::ingest {
namespace {

namespace dom = simdjson::dom;
using Names = std::string_view;

enum : size_t {
  kId,
  kCallType,
  kTraceId,
  kStatus,
  kModel,
  kEndUser,
  kStream,
  kStart,
  kEnd,
  kPrompt,
  kCompletion,
  kMessages,
  kResponse,
  kIp,
  kAgent,
  kMetadata,
  kParameters,
  kError,
};
constexpr std::array<Names, 18> kTop = {"id",
                                        "call_type",
                                        "trace_id",
                                        "status",
                                        "model",
                                        "end_user",
                                        "stream",
                                        "startTime",
                                        "endTime",
                                        "prompt_tokens",
                                        "completion_tokens",
                                        "messages",
                                        "response",
                                        "requester_ip_address",
                                        "user_agent",
                                        "metadata",
                                        "model_parameters",
                                        "error_information"};
constexpr std::array<Names, 8> kMetadataNames = {
    "user_api_key_user_id", "user_api_key_end_user_id", "user_api_key_hash", "user_api_key_org_id",
    "user_api_key_team_id", "requester_ip_address",     "user_agent",        "usage_object"};
constexpr std::array<Names, 4> kParameterNames = {"max_tokens", "temperature", "top_p", "tools"};
constexpr std::array<Names, 2> kUsageNames = {"completion_tokens_details", "prompt_tokens_details"};
constexpr std::array<Names, 1> kErrorNames = {"error_code"}, kReasoningNames = {"reasoning_tokens"},
                               kCachedNames = {"cached_tokens"}, kChoicesNames = {"choices"};

class LitellmDecoder : public Decoder {
 public:
  bool Decode(dom::element record, Rows* rows) override {
    Odd odd = false;
    const Members t(kTop, record, &odd);
    const Members m(kMetadataNames, t[kMetadata], &odd);
    const Members p(kParameterNames, t[kParameters], &odd);
    const Members usage(kUsageNames, m[7], &odd);
    const Members completion(kReasoningNames, usage[0], &odd), prompt(kCachedNames, usage[1], &odd);
    const Members error(kErrorNames, t[kError], &odd);
    const auto first = [](std::string_view a, std::string_view b) { return a.empty() ? b : a; };

    rows->Begin();
    rows->Set(c_.id, t.Text(kId));
    const double start = t.Real(kStart).value_or(0), end = t.Real(kEnd).value_or(0);
    if (std::abs(start) >= 1e12 || std::abs(end) >= 1e12 || end - start >= 4e6) return false;
    rows->Set(c_.ts,
              rows->Keep(std::to_string(static_cast<int64_t>(std::nearbyint(start * 1000)))));
    const std::string_view user = m.Text(0), hash = m.Text(2),
                           others = first(first(t.Text(kEndUser), m.Text(1)), hash);
    rows->Set(c_.account, !user.empty() && user != "default_user_id" ? user : others);
    rows->Set(c_.org, first(m.Text(3), m.Text(4)));
    rows->Set(c_.key, hash);
    rows->Set(c_.session, t.Text(kTraceId));
    rows->Set(c_.channel, "api");
    rows->Set(c_.model, t.Text(kModel));
    rows->Set(c_.operation, t.Text(kCallType));
    if (const auto messages = t.Array(kMessages)) rows->Set(c_.messages, *messages);
    if (const auto& response = t[kResponse]) {
      std::string_view text;
      if (response->get_string().get(text) == simdjson::SUCCESS) {
        rows->Set(c_.response, text);
      } else {
        const Members r(kChoicesNames, response, &odd);
        rows->Set(c_.json, r[0].value_or(*response));
      }
    }
    // A request that failed counts 0, which is not known.
    const std::string_view status = t.Text(kStatus);
    const int64_t unknown = status == "failure" ? 0 : -1;
    for (const auto& [column, at] : {std::pair(c_.input, kPrompt), {c_.output, kCompletion}}) {
      const auto n = t.Whole(at);
      if (n && *n != unknown && *n >= 0) rows->Set(column, static_cast<uint64_t>(*n));
    }
    SetCount(rows, c_.reasoning, completion.Count(0));
    SetCount(rows, c_.cached, prompt.Count(0));
    SetCount(rows, c_.max, p.Count(0));
    SetReal(rows, c_.temperature, p.Real(1));
    SetReal(rows, c_.top_p, p.Real(2));
    if (const auto tools = p.Array(3)) rows->Set(c_.tools, *tools);
    bool stream = false;
    if (t[kStream] && t[kStream]->get_bool().get(stream) != simdjson::SUCCESS) return false;
    if (t[kStream]) rows->Set(c_.stream, stream ? "true" : "false");
    if (end > start)
      rows->Set(c_.latency, static_cast<uint64_t>(std::nearbyint((end - start) * 1000)));
    if (status == "success")
      rows->Set(c_.status, uint64_t{200});
    else
      rows->Set(c_.status, error.Text(0));
    rows->Set(c_.ip, first(t.Text(kIp), m.Text(5)));
    rows->Set(c_.agent, first(t.Text(kAgent), m.Text(6)));
    return !odd;
  }

 private:
  const Columns c_{};
};

}  // namespace

std::unique_ptr<Decoder> MakeLitellmDecoder() { return std::make_unique<LitellmDecoder>(); }

}  // namespace stillwatch::ingest
