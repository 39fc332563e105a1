// Media types as TAXII 2.1 negotiates them (section 1.6.8). Pure.
#pragma once

#include <string_view>

namespace stillwatch::share {

inline constexpr const char* kTaxiiMedia = "application/taxii+json;version=2.1";

// Whether an Accept header takes TAXII 2.1; one that is missing does.
bool AcceptsTaxii(std::string_view accept);
// Whether a Content-Type is TAXII 2.1, or TAXII without a version.
bool IsTaxii(std::string_view content_type);

}  // namespace stillwatch::share
