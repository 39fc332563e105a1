// What a TAXII client asks for: filters and pages. After "TAXII Version 2.1", OASIS Standard of 10
// June 2021, sections 3.4 and 3.5. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "share/collections/store.h"

namespace stillwatch::serve {

inline constexpr size_t kFilterValues = 256;  // of one match parameter

// Which parameters a resource knows.
struct TaxiiKnown {
  bool page = true;  // added_after, limit, next
  bool id = true, type = true, version = true, spec_version = true;
};

struct TaxiiQuery {
  share::ObjectFilter filter;
  size_t limit = share::kPageObjects;
  bool none = false;    // only specification versions that nothing here has
  std::string filters;  // canonical, without the page: what a `next` belongs to
};

// InvalidArgument (400) for a value that makes no sense, a parameter that is there twice, a match
// that is unknown or does not go with this resource, a `next` that belongs to other filters. Other
// parameters are passed over. `scope` names the resource: a `next` of one is none of another.
absl::StatusOr<TaxiiQuery> ParseTaxiiQuery(std::string_view query, const TaxiiKnown& known,
                                           std::string_view scope);

// The opaque `next` of a page that ended at `added_us`.
std::string NextOf(int64_t added_us, const TaxiiQuery& query, std::string_view scope);

// "type--uuid".
bool IsStixId(std::string_view id);

}  // namespace stillwatch::serve
