// Any bytes as the dispositions that `evaluate` is given: refused with the row, or every one is
// counted where it belongs and what is told is JSON.
#include <simdjson.h>

#include <cstdlib>
#include <string>

#include "state/precision.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::state;
  const auto read = ReadDispositions({reinterpret_cast<const char*>(data), size});
  if (!read.ok()) {
    const std::string why(read.status().message());
    if (why.find("rows[") != 0 && why.find("expected") != 0) std::abort();
    return 0;
  }
  const Precision p = PrecisionOf(*read);
  const auto of = [](const Judged& n) { return n.confirmed + n.dismissed + n.unsure; };
  uint64_t stated = 0;
  for (const Judged& n : p.stated) stated += of(n);
  if (of(p.all) != read->size() || of(p.accused) > of(p.all) || stated > of(p.accused))
    std::abort();
  if (p.all.decided() > 0) {
    const ShareRight r = RightOf(p.all);
    const double ulps = 1e-12;
    if (!(0 <= r.low && r.low <= r.precision + ulps && r.precision <= r.high + ulps && r.high <= 1))
      std::abort();
  }
  simdjson::dom::parser parser;
  simdjson::dom::element e;
  if (parser.parse(PrecisionJson(p)).get(e)) std::abort();
  return 0;
}
