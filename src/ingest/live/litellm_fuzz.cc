// Any bytes may be posted as LiteLLM's log: each piece becomes a row or is refused, and rows are
// whole.
#include <cstdlib>
#include <string>

#include "ingest/formats/rows.h"
#include "ingest/live/litellm.h"
#include "lake/native.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch;
  static ingest::LitellmReader litellm;
  static ingest::RowReader reader(1'798'761'600'000);
  ingest::RowWriter rows;
  size_t refused = 0, taken = 0;
  const auto reject = [&](model::Reject r) {
    if (r.reason.empty() || r.record.size() > 1024) std::abort();
    ++refused;
  };
  litellm.Read({reinterpret_cast<const char*>(data), size}, &rows, reject);
  if (!lake::CheckShape(rows.Block()).ok()) std::abort();
  const size_t before = refused;
  ingest::ReadRows(
      rows.Block(), &reader, [&](const model::ExchangeView&) { ++taken; }, reject);
  if (taken + refused - before != rows.rows()) std::abort();
  return 0;
}
