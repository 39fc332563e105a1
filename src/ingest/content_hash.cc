#include "ingest/content_hash.h"

#include <bit>

#include "base/hash.h"

namespace stillwatch::ingest {

uint32_t ContentHash(const model::ExchangeView& e) {
  uint64_t h = 0;
  const auto number = [&](uint64_t v) { h = base::Combine64(h, v); };
  const auto text = [&](std::string_view v) { number(v.empty() ? 0 : base::Hash64(v)); };
  const auto real = [&](float v) { number(v != v ? ~uint64_t{0} : std::bit_cast<uint32_t>(v)); };
  text(e.exchange_id);
  number(static_cast<uint64_t>(e.ts_ms));
  for (const auto v : {e.account_id, e.org_id, e.api_key_id, e.session_id, e.channel, e.model, e.operation,
                       e.client_ip, e.user_agent, e.ja4, e.system, e.turn, e.response}) {
    text(v);
  }
  for (const uint32_t v : {e.input_tokens, e.output_tokens, e.reasoning_tokens, e.cached_tokens, e.max_tokens,
                           e.latency_ms, e.messages}) {
    number(v);
  }
  real(e.temperature);
  real(e.top_p);
  number(static_cast<uint64_t>(e.status));
  number(static_cast<uint64_t>(e.stream));
  for (const auto* list : {&e.tools, &e.signatures_issued, &e.signatures_presented}) {
    number(list->size());
    for (const auto v : *list) text(v);
  }
  if (e.has_sketch) {
    for (const auto* part : {&e.sketch.system, &e.sketch.turn, &e.sketch.response}) {
      number(part->size());
      for (const uint32_t v : *part) number(v);
    }
    number(e.sketch.features.Pack());
  }
  return static_cast<uint32_t>(h);
}

}  // namespace stillwatch::ingest
