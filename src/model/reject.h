// A refused record as members of a JSON object, the same wherever it is kept.
#pragma once

#include "base/json.h"
#include "model/exchange.h"

namespace stillwatch::model {

// source, line, offset, reason and, where it is kept, the record's beginning: at most
// `record_bytes_max` bytes of it.
void WriteReject(const Reject& reject, base::JsonWriter* w, size_t record_bytes_max = SIZE_MAX);

}  // namespace stillwatch::model
