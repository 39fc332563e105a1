// A refused record as members of a JSON object, the same wherever it is kept.
#pragma once

#include "base/json.h"
#include "model/exchange.h"

namespace stillwatch::model {

void WriteReject(const Reject& reject, base::JsonWriter* w, size_t record_bytes_max = SIZE_MAX);

}  // namespace stillwatch::model
