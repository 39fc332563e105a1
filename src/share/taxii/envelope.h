// TAXII 2.1's envelope: {"more": false, "next": "...", "objects": [...]}. Pure.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace stillwatch::share {

struct Envelope {
  bool more = false;
  std::string next;
  std::vector<std::string_view> objects;  // as they stand in the text, of which these are parts
};

// InvalidArgument when the text is no JSON object, a member has another type than it must, or it is
// a bundle; ResourceExhausted for more than `objects_max`. An empty envelope is one.
absl::StatusOr<Envelope> ReadEnvelope(const simdjson::padded_string& text, size_t objects_max);

}  // namespace stillwatch::share
