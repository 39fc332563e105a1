// Any bytes as a request's body, whole and cut: reading ends in a status, what is given is sound,
// and whatever begins like valid JSON can be closed.
#include <simdjson.h>

#include <cstdlib>
#include <string>

#include "serve/decide/content.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::serve;
  if (size < 1) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string_view head = body.substr(0, body.size() * data[0] / 255);
  static ContentParser parser;
  static Content c;
  for (const bool cut : {false, true}) {
    for (const std::string_view text : {body, head}) {
      const absl::Status status = parser.Parse(text, cut, &c);
      if (c.presented.size() > kPresentedMax) std::abort();
      for (const auto* hashes : {&c.sketch.system, &c.sketch.turn}) {
        for (size_t i = 1; c.sketch.present && i < hashes->size(); ++i) {
          if ((*hashes)[i - 1] >= (*hashes)[i]) std::abort();
        }
      }
      if (!status.ok() && status.message().empty()) std::abort();
    }
  }
  simdjson::dom::parser dom;
  if (dom.parse(body.data(), body.size()).error() != simdjson::SUCCESS) return 0;
  const std::string closed = CloseJson(head);
  if (!closed.empty() && dom.parse(closed).error() != simdjson::SUCCESS) std::abort();
  if (CloseJson(closed) != closed && !closed.empty()) std::abort();
  return 0;
}
