// OTLP/JSON: the protobuf's fields in lowerCamelCase, 64-bit integers as strings or numbers, ids in
// hexadecimal. Unknown fields are passed over.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace stillwatch::otlp {

class AnyValue;
class Logs;
class Traces;

// Appends to *out, whose ids are then text as sent (lower case where they are hexadecimal).
// InvalidArgument: no JSON, or a list that is none.
absl::Status TracesFromJson(std::string_view json, Traces* out);
absl::Status LogsFromJson(std::string_view json, Logs* out);

// A value as OTLP/JSON has it: {"stringValue": ...}.
void AppendJson(const AnyValue& value, std::string* out);

}  // namespace stillwatch::otlp
