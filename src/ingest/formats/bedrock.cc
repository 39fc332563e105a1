// bedrock.sql in C++.
#include "base/json.h"
#include "base/time.h"
#include "ingest/formats/decode.h"
#include "ingest/formats/members.h"

namespace stillwatch::ingest {
namespace {

namespace dom = simdjson::dom;
using Names = std::string_view;

enum : size_t { kRequest, kTime, kAccount, kIdentity, kModel, kOperation, kError, kInput, kOutput };
constexpr std::array<Names, 9> kTop = {"requestId", "timestamp", "accountId", "identity", "modelId",
                                       "operation", "errorCode", "input",     "output"};
constexpr std::array<Names, 1> kArn = {"arn"}, kTools = {"tools"}, kMessage = {"message"},
                               kOutputText = {"outputText"};
constexpr std::array<Names, 4> kInputNames = {
    "inputBodyJson", "inputTokenCount", "cacheReadInputTokenCount", "cacheWriteInputTokenCount"};
constexpr std::array<Names, 2> kOutputNames = {"outputBodyJson", "outputTokenCount"};
enum : size_t {
  kSystem,
  kMessages,
  kPrompt,
  kInputText,
  kMaxTokens,
  kTemperature,
  kTopP,
  kToolList,
  kToolConfig,
  kInference,
};
constexpr std::array<Names, 10> kAsked = {"system",     "messages",       "prompt", "inputText",
                                          "max_tokens", "temperature",    "top_p",  "tools",
                                          "toolConfig", "inferenceConfig"};
constexpr std::array<Names, 3> kInferenceNames = {"maxTokens", "temperature", "topP"};
enum : size_t { kOut, kContent, kChoices, kGeneration, kCompletion, kResults };
constexpr std::array<Names, 6> kAnswered = {"output",     "content",    "choices",
                                            "generation", "completion", "results"};

// The string at the end of a path, if there is anything.
template <typename... Keys>
std::string_view At(Odd* odd, dom::element e, Keys... keys) {
  std::string_view s;
  bool there = true;
  ((there = there && e.is_object() && e[keys].get(e) == simdjson::SUCCESS), ...);
  if (there && !e.is_null() && e.get_string().get(s) != simdjson::SUCCESS) *odd = true;
  return s;
}

class BedrockDecoder : public Decoder {
 public:
  bool Decode(dom::element record, Rows* rows) override {
    Odd odd = false;
    const Members t(kTop, record, &odd);
    const Members identity(kArn, t[kIdentity], &odd);
    const Members input(kInputNames, t[kInput], &odd);
    const Members output(kOutputNames, t[kOutput], &odd);
    const Members q(kAsked, input[0], &odd);
    const Members tool_config(kTools, q[kToolConfig], &odd);
    const Members inference(kInferenceNames, q[kInference], &odd);

    const std::string_view time = t.Text(kTime);
    const auto ts = base::ParseRfc3339(time);
    if (!ts || *ts <= 0 || time.size() > sizeof "2026-01-01T00:00:00.000Z" - 1) return false;
    rows->Begin();
    rows->Set(c_.id, t.Text(kRequest));
    rows->Set(c_.ts, rows->Keep(std::to_string(*ts)));
    const std::string_view arn = identity.Text(0), account = t.Text(kAccount);
    rows->Set(c_.account, arn.empty() ? account : arn);
    rows->Set(c_.org, account);
    rows->Set(c_.channel, "cloud:aws.bedrock");
    rows->Set(c_.model, t.Text(kModel));
    const std::string_view operation = t.Text(kOperation), error = t.Text(kError);
    rows->Set(c_.operation, operation);
    if (const auto& system = q[kSystem]) {
      if (system->is_string())
        rows->Set(c_.system, q.Text(kSystem));
      else if (const auto parts = q.Array(kSystem))
        rows->Set(c_.system, *parts);
    }
    const std::string_view prompt = q.Text(kPrompt), input_text = q.Text(kInputText);
    if (const auto messages = q.Array(kMessages)) {
      rows->Set(c_.messages, *messages);
    } else if (!prompt.empty() || !input_text.empty()) {
      std::string made = "[{\"role\":\"user\",\"content\":";
      base::AppendJsonString(std::string(prompt) + std::string(input_text), &made);
      rows->Set(c_.messages, rows->Keep(made + "}]"));
    }
    if (output[0] && !Answer(*output[0], rows, &odd)) return false;
    const auto fresh = input.Count(1), cached = input.Count(2), written = input.Count(3);
    // The counter leaves out what came from the cache or went into it.
    if (fresh) rows->Set(c_.input, uint64_t{*fresh} + cached.value_or(0) + written.value_or(0));
    SetCount(rows, c_.output, output.Count(1));
    SetCount(rows, c_.cached, cached);
    const auto max = q.Count(kMaxTokens), max_too = inference.Count(0);
    SetCount(rows, c_.max, max ? max : max_too);
    const auto temperature = q.Real(kTemperature), temperature_too = inference.Real(1);
    SetReal(rows, c_.temperature, temperature ? temperature : temperature_too);
    const auto top_p = q.Real(kTopP), top_p_too = inference.Real(2);
    SetReal(rows, c_.top_p, top_p ? top_p : top_p_too);
    const auto tools = q.Array(kToolList), tools_too = tool_config.Array(0);
    if (tools || tools_too) rows->Set(c_.tools, tools ? *tools : *tools_too);
    const bool stream =
        operation == "InvokeModelWithResponseStream" || operation == "ConverseStream";
    rows->Set(c_.stream, stream ? "1" : "0");
    rows->Set(c_.status, uint64_t{error.empty()                      ? 200u
                                  : error == "ThrottlingException"   ? 429u
                                  : error == "AccessDeniedException" ? 403u
                                  : error == "ValidationException"   ? 400u
                                                                     : 500u});
    return !odd;
  }

 private:
  // The body of an answer, or the chunks of a stream.
  bool Answer(dom::element body, Rows* rows, Odd* odd) const {
    dom::array chunks;
    if (body.get_array().get(chunks) == simdjson::SUCCESS) {
      if (chunks.begin() == chunks.end()) return false;
      std::string text, signatures = "[";
      for (dom::element x : chunks) {
        for (const std::string_view part :
             {At(odd, x, "delta", "text"), At(odd, x, "contentBlockDelta", "delta", "text"),
              At(odd, x, "generation"), At(odd, x, "outputText"), At(odd, x, "completion")})
          text += part;
        std::string signature;
        for (const std::string_view part :
             {At(odd, x, "delta", "signature"), At(odd, x, "content_block", "data"),
              At(odd, x, "contentBlockDelta", "delta", "reasoningContent", "signature"),
              At(odd, x, "contentBlockDelta", "delta", "reasoningContent", "redactedContent")})
          signature += part;
        if (signature.empty()) continue;
        if (signatures.size() > 1) signatures += ',';
        base::AppendJsonString(signature, &signatures);
      }
      rows->Set(c_.response, rows->Keep(std::move(text)));
      rows->Set(c_.issued, rows->Keep(signatures + "]"));
      return true;
    }
    const Members r(kAnswered, body, odd);
    const Members out(kMessage, r[kOut], odd);
    for (const auto& json : {out[0], r.Array(kContent), r.Array(kChoices)}) {
      if (!json) continue;
      if (json->is_string()) return false;
      rows->Set(c_.json, *json);
      break;
    }
    std::string_view text = r.Text(kGeneration);
    const std::string_view completion = r.Text(kCompletion);
    dom::element first;
    std::string_view result;
    if (const auto results = r.Array(kResults)) {
      if (results->at(0).get(first) == simdjson::SUCCESS)
        result = Members(kOutputText, first, odd).Text(0);
    }
    if (!text.empty() + !completion.empty() + !result.empty() > 1)
      text = rows->Keep(std::string(text) + std::string(completion) + std::string(result));
    else if (text.empty())
      text = completion.empty() ? result : completion;
    rows->Set(c_.response, text);
    return true;
  }

  const Columns c_{};
};

}  // namespace

std::unique_ptr<Decoder> MakeBedrockDecoder() { return std::make_unique<BedrockDecoder>(); }

}  // namespace stillwatch::ingest
