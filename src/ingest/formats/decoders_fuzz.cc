// Any JSON object as a record of each built-in line format: its decoder leaves it to the SELECT, or
// gives rows that are exchanges within the bounds or refused for a reason.
#include <simdjson.h>

#include <cstdlib>
#include <string>

#include "ingest/formats/decode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch;
  static ingest::RowReader reader(1'798'761'600'000);
  static simdjson::dom::parser parser;
  simdjson::dom::element record;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (parser.parse(bytes.data(), bytes.size()).get(record) != simdjson::SUCCESS ||
      !record.is_object())
    return 0;
  for (const char* format : {"litellm", "bedrock", "openai_batch", "otlp_traces", "otlp_logs"}) {
    const auto decoder = ingest::MakeDecoder(format);
    ingest::Rows rows;
    if (!decoder->Decode(record, &rows)) continue;
    for (size_t i = 0; i < rows.size(); ++i) {
      model::ExchangeView e;
      const auto outcome = reader.Read(rows[i], &e);
      if (!outcome.reason.empty()) continue;
      if (e.exchange_id.empty() || e.account_id.empty() || e.ts_ms <= 0) std::abort();
      if (e.exchange_id.size() > 512 || e.account_id.size() > 512) std::abort();
    }
  }
  return 0;
}
