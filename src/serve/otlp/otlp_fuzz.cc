// Any bytes may be exported: as protobuf and as JSON, spans and records, they are refused or become
// whole rows.
#include <cstdlib>
#include <string_view>

#include "ingest/formats/rows.h"
#include "lake/native.h"
#include "serve/otlp/json.h"
#include "serve/otlp/otlp.pb.h"
#include "serve/otlp/rows.h"

namespace {

using namespace stillwatch;

template <typename Request>
void Rows(const Request& request, bool text_ids) {
  static ingest::RowReader reader(1'798'761'600'000);
  ingest::RowWriter rows;
  otlp::RowsOf(request, text_ids, &rows);
  if (!lake::CheckShape(rows.Block()).ok()) std::abort();
  ingest::ReadRows(
      rows.Block(), &reader,
      [](const model::ExchangeView& e) {
        if (e.exchange_id.empty() || e.account_id.empty()) std::abort();
      },
      [](model::Reject r) {
        if (r.reason.empty() || r.record.size() > 1024) std::abort();
      });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool traces = data[0] & 1, json = data[0] & 2;
  if (traces) {
    otlp::Traces t;
    if (json ? otlp::TracesFromJson(bytes, &t).ok()
             : t.ParseFromArray(bytes.data(), int(bytes.size())))
      Rows(t, json);
  } else {
    otlp::Logs t;
    if (json ? otlp::LogsFromJson(bytes, &t).ok()
             : t.ParseFromArray(bytes.data(), int(bytes.size())))
      Rows(t, json);
  }
  return 0;
}
