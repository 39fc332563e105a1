// Time as the project keeps it: milliseconds since 1970-01-01T00:00:00Z, int64.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace stillwatch::base {

inline constexpr int64_t kMsPerHour = 3'600'000;
inline constexpr int64_t kMsPerDay = 86'400'000;

// RFC 3339 with any offset and 0 to 9 digits of fraction (cut to milliseconds), "T" or a space
// between date and time. Nothing when the text is anything else, a zone is missing or the date
// does not exist; a leap second counts as the second after it.
std::optional<int64_t> ParseRfc3339(std::string_view text);

// "2026-04-22T00:01:43.688Z".
std::string FormatRfc3339(int64_t ms);

}  // namespace stillwatch::base
