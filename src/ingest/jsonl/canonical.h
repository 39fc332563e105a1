// Writes the canonical record (docs/FORMATS.md): the one writer, as jsonl_source.h is the one
// reader.
#pragma once

#include <string>

#include "model/exchange.h"

namespace stillwatch::ingest {

// Appends `e` as one line of JSON, without a newline. With a sketch this stands in place of
// messages and response; without one `system` and `turn` become the messages. What is unknown is
// left out. Reading the line gives the same exchange again but for the number of messages.
void AppendCanonical(const model::ExchangeView& e, const model::Sketch* sketch, std::string* out);

}  // namespace stillwatch::ingest
