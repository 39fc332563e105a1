// Any bytes as one record: refused with a reason, or read, and then written so that it reads back
// the same. Fast, where jsonl_fuzz takes the whole way through files.
#include <cstdlib>
#include <string>

#include "ingest/jsonl/canonical.h"
#include "ingest/jsonl/jsonl_source.h"

namespace {

using namespace stillwatch;

bool Parse(ingest::RecordParser* parser, std::string* bytes, model::ExchangeView* e) {
  const size_t size = bytes->size();
  bytes->append(64, '\0');  // what the parser may read
  const absl::Status s = parser->Parse(std::string_view(*bytes).substr(0, size), e);
  if (!s.ok() && s.message().empty()) std::abort();
  return s.ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ingest::RecordParser first(1'800'000'000'000), second(1'800'000'000'000);
  std::string bytes(reinterpret_cast<const char*>(data), size), once, twice;
  model::ExchangeView e, back;
  if (!Parse(&first, &bytes, &e)) return 0;
  if (e.exchange_id.empty() || e.account_id.empty() || e.ts_ms < 0) std::abort();
  ingest::AppendCanonical(e, e.has_sketch ? &e.sketch : nullptr, &once);
  std::string line = once;
  if (!Parse(&second, &line, &back)) std::abort();
  ingest::AppendCanonical(back, back.has_sketch ? &back.sketch : nullptr, &twice);
  if (once != twice) std::abort();
  return 0;
}
