// Patterns of indicators: STIX's language (section 9 of STIX 2.1), checked whole, and Stillwatch's
// own for what STIX has no object for. Pure, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "share/indicator.h"

namespace stillwatch::share::stix {

inline constexpr std::string_view kPatternType = "stillwatch";
inline constexpr size_t kPatternBytes = 64 << 10;
inline constexpr int kPatternDepth = 64;

struct Comparison {
  std::string object, path;  // "user-account", "user_id"
  std::string value;         // without quotes and escapes
  bool number = false;
};
struct Pattern {
  // One observation of equalities joined by AND: all of it is in `all`. Otherwise `all` is empty.
  std::vector<Comparison> all;
};

// InvalidArgument with the place: "byte 17: expected ']'".
absl::StatusOr<Pattern> ParsePattern(std::string_view text);

// The item of a pattern that says no more than one item does.
std::optional<Item> ItemOf(const Pattern& pattern);

// The pattern and its type that say `item`: "stix" where STIX has an object, else kPatternType:
//   template-sketch = '2:0000000100000004'      address blinded '0123456789abcdef:...'
struct Written {
  std::string pattern, pattern_type;
};
Written PatternOf(const Item& item, std::string_view campaign_key);
std::optional<Item> ParseOwnPattern(std::string_view text);

}  // namespace stillwatch::share::stix
