// Any bytes as an envelope, as headers.
#include <cstdint>
#include <cstdlib>

#include "share/taxii/envelope.h"
#include "share/taxii/media.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::share;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  (void)AcceptsTaxii(all);
  if (IsTaxii(all) && !AcceptsTaxii(all)) {
    // What we take we also give, unless it is refused by its weight or is a list.
    if (all.find_first_of("qQ,\"") == all.npos) std::abort();
  }
  const simdjson::padded_string text(all);
  const auto e = ReadEnvelope(text, 100);
  if (!e.ok()) return 0;
  if (e->objects.size() > 100) std::abort();
  simdjson::dom::parser parser;
  const char* at = text.data();
  for (const std::string_view object : e->objects) {
    // Each is a part of the text, in its order, and JSON by itself.
    if (object.data() < at || object.data() + object.size() > text.data() + text.size())
      std::abort();
    at = object.data() + object.size();
    simdjson::dom::element parsed;
    if (parser.parse(object.data(), object.size()).get(parsed)) std::abort();
  }
  return 0;
}
