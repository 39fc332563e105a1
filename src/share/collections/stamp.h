// Timestamps of TAXII and STIX: RFC 3339 in UTC, microseconds since 1970.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace stillwatch::share {

// As base::ParseRfc3339, cut to microseconds.
std::optional<int64_t> ParseMicros(std::string_view text);
// "2026-04-22T00:01:43.688001Z", always six digits.
std::string FormatMicros(int64_t us);

}  // namespace stillwatch::share
