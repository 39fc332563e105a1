#include "model/reject.h"

namespace stillwatch::model {

void WriteReject(const Reject& r, base::JsonWriter* w, size_t record_bytes_max) {
  w->Key("source");
  w->String(r.source);
  w->Key("line");
  w->Uint(r.line);
  w->Key("offset");
  w->Uint(r.offset);
  w->Key("reason");
  w->String(r.reason);
  w->Key("record");
  w->String(std::string_view(r.record).substr(0, record_bytes_max));
}

}  // namespace stillwatch::model
