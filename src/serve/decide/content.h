// The body of a request to a model, as far as a decision needs it: model, text as a sketch,
// reasoning signatures. OpenAI's chat completions, responses and completions, Anthropic's messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "model/sketch.h"
#include "respond/decide.h"

namespace stillwatch::serve {

inline constexpr size_t kContentBytesMax = 32u << 20;  // as ingest's limit of a record
inline constexpr size_t kPresentedMax = respond::kSignaturesSeenMax;  // first come

struct Content {
  std::string_view model;           // empty: the body does not say
  model::Sketch sketch;             // `present` false: the body has no text
  std::vector<uint64_t> presented;  // hashes as the lake keeps them (base::Hash64)
};

// Thread-compatible, one per worker; what it fills lives until the next call.
class ContentParser {
 public:
  ContentParser();
  ~ContentParser();
  // System prompt and last turn are told apart as for a log (ingest/jsonl), so that the sketch is
  // the one that the lake holds of the same request. Of a `cut` body, whose end the gateway
  // withheld, what is there counts. InvalidArgument, with what could be read before the fault, for
  // what is no JSON object or longer than kContentBytesMax; a field that is not understood is as if
  // it were not there.
  absl::Status Parse(std::string_view body, bool cut, Content* out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The shortest valid JSON that begins like `body`, which ends anywhere: open strings, arrays and
// objects are closed, an unfinished key, number or escape goes. For what does not begin like an
// object, nothing.
std::string CloseJson(std::string_view body);

}  // namespace stillwatch::serve
