// Text for people: numbers as they are read, and text as HTML wants it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace stillwatch::base {

// "1,234,567".
std::string Grouped(uint64_t n);
// The same of a count that is a mean or an expectation.
std::string Counted(double n);
// With that many digits after the point.
std::string Fixed(double value, int digits);
// "83 %" of .83.
std::string Percent(double share);
// Escaped for HTML text and quoted attributes; control characters but line breaks and tabs go.
std::string Html(std::string_view text);

}  // namespace stillwatch::base
