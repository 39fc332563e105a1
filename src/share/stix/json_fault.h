// Where a text stops being JSON, for people: simdjson says that it does, not where.
#pragma once

#include <string>
#include <string_view>

namespace stillwatch::share::stix {

// "/objects/3/name: byte 412: a string without an end" of a text that is no JSON (RFC 8259) or is
// deeper than `depth`; empty when it is JSON.
std::string JsonFault(std::string_view text, size_t depth);

}  // namespace stillwatch::share::stix
