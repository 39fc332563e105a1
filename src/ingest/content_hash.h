// The hash of a record's canonical form: what decides between two records of one exchange_id.
#pragma once

#include <cstdint>

#include "model/exchange.h"

namespace stillwatch::ingest {

// Over every canonical field in a fixed order; independent of key order and white space. A record
// with text and the same record with a sketch in place of it count as different content.
uint32_t ContentHash(const model::ExchangeView& e);

}  // namespace stillwatch::ingest
