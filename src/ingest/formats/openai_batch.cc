// openai_batch.sql in C++.
#include "base/json.h"
#include "ingest/formats/decode.h"
#include "ingest/formats/members.h"

namespace stillwatch::ingest {
namespace {

namespace dom = simdjson::dom;
using Names = std::string_view;

constexpr std::array<Names, 4> kTop = {"id", "url", "body", "response"};
constexpr std::array<Names, 2> kResponse = {"status_code", "body"};
enum : size_t { kCreated, kCreatedAt, kModel, kObject, kSafety, kUser, kChoices, kOutput, kUsage };
constexpr std::array<Names, 9> kAnswer = {
    "created", "created_at", "model",  "object", "safety_identifier",
    "user",    "choices",    "output", "usage"};
constexpr std::array<Names, 8> kUsageNames = {"prompt_tokens",
                                              "input_tokens",
                                              "completion_tokens",
                                              "output_tokens",
                                              "completion_tokens_details",
                                              "output_tokens_details",
                                              "prompt_tokens_details",
                                              "input_tokens_details"};
constexpr std::array<Names, 1> kReasoning = {"reasoning_tokens"}, kCached = {"cached_tokens"};
enum : size_t {
  kAskedSafety,
  kAskedUser,
  kMessages,
  kInput,
  kInstructions,
  kTools,
  kMaxTokens,
  kMaxCompletion,
  kMaxOutput,
  kTemperature,
  kTopP,
};
constexpr std::array<Names, 11> kAsked = {
    "safety_identifier", "user",        "messages",   "input",
    "instructions",      "tools",       "max_tokens", "max_completion_tokens",
    "max_output_tokens", "temperature", "top_p"};

template <typename T>
std::optional<T> First(std::optional<T> a, std::optional<T> b) {
  return a ? a : b;
}

class OpenaiBatchDecoder : public Decoder {
 public:
  bool Decode(dom::element record, Rows* rows) override {
    Odd odd = false;
    const Members t(kTop, record, &odd);
    if (!t[3]) return false;  // the request failed
    const Members response(kResponse, t[3], &odd);
    const Members b(kAnswer, response[1], &odd);
    const Members usage(kUsageNames, b[kUsage], &odd);
    const Members q(kAsked, t[2], &odd);

    rows->Begin();
    rows->Set(c_.id, t.Text(0));
    const int64_t created = b.Whole(kCreated).value_or(0),
                  created_at = b.Whole(kCreatedAt).value_or(0),
                  time = created > 0 ? created : created_at;
    if (time <= 0 || time > INT32_MAX * int64_t{16}) return false;
    rows->Set(c_.ts, rows->Keep(std::to_string(time * 1000)));
    for (const std::string_view id :
         {b.Text(kSafety), q.Text(kAskedSafety), b.Text(kUser), q.Text(kAskedUser)}) {
      if (id.empty()) continue;
      rows->Set(c_.account, id);
      break;
    }
    rows->Set(c_.channel, "api");
    rows->Set(c_.model, b.Text(kModel));
    const std::string_view url = t.Text(1), object = b.Text(kObject);
    rows->Set(c_.operation, url.empty() ? object : url);
    if (const auto& instructions = q[kInstructions]; instructions && instructions->is_array())
      rows->Set(c_.system, *instructions);
    else
      rows->Set(c_.system, q.Text(kInstructions));
    if (const auto messages = q.Array(kMessages)) {
      rows->Set(c_.messages, *messages);
    } else if (const auto& input = q[kInput]; input && input->is_array()) {
      rows->Set(c_.messages, *input);
    } else if (const std::string_view text = q.Text(kInput); !text.empty()) {
      std::string made = "[{\"role\":\"user\",\"content\":";
      base::AppendJsonString(text, &made);
      rows->Set(c_.messages, rows->Keep(made + "}]"));
    }
    const auto choices = b.Array(kChoices), output = b.Array(kOutput);
    if (choices || output) rows->Set(c_.json, choices ? *choices : *output);
    SetCount(rows, c_.input, First(usage.Count(0), usage.Count(1)));
    SetCount(rows, c_.output, First(usage.Count(2), usage.Count(3)));
    const auto details = [&](const auto& names, size_t one, size_t other) {
      const Members a(names, usage[one], &odd), z(names, usage[other], &odd);
      return First(a.Count(0), z.Count(0));
    };
    SetCount(rows, c_.reasoning, details(kReasoning, 4, 5));
    SetCount(rows, c_.cached, details(kCached, 6, 7));
    SetCount(rows, c_.max,
             First(First(q.Count(kMaxTokens), q.Count(kMaxCompletion)), q.Count(kMaxOutput)));
    SetReal(rows, c_.temperature, q.Real(kTemperature));
    SetReal(rows, c_.top_p, q.Real(kTopP));
    if (const auto tools = q.Array(kTools)) rows->Set(c_.tools, *tools);
    rows->Set(c_.stream, "0");
    const auto status = response.Count(0);
    if (status && *status > UINT16_MAX) return false;
    SetCount(rows, c_.status, status);
    // Without an account the SELECT says what is missing.
    return !odd && rows->Has(c_.account);
  }

 private:
  const Columns c_{};
};

}  // namespace

std::unique_ptr<Decoder> MakeOpenaiBatchDecoder() { return std::make_unique<OpenaiBatchDecoder>(); }

}  // namespace stillwatch::ingest
