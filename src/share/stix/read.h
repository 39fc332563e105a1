// STIX 2.1 bundles from outside: checked whole, then read, or refused whole.
// After "STIX Version 2.1", OASIS Standard of 10 June 2021. Pure, thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "share/indicator.h"

namespace stillwatch::share::stix {

struct ReadLimits {
  size_t bytes = size_t{256} << 20;
  size_t objects = 200'000;
  size_t depth = 32;              // of JSON
  size_t object_bytes = 4 << 20;  // of one object, without white space
  // Every object says who made it, and that identity and each marking are in the bundle, as the
  // interoperability overlay wants it. Without it what a collection holds object by object passes.
  bool whole = true;
};

// One object as it came.
struct Object {
  std::string id, type, modified;  // modified: empty where the type has none
  std::string json;                // its bytes
};

struct Bundle {
  std::string id;
  std::vector<Object> objects;        // in the bundle's order
  std::vector<Indicator> indicators;  // those that Stillwatch can act on
  std::vector<Sighting> sightings;    // of whatever was seen
  uint64_t indicators_other = 0;      // patterns of other kinds; counted, not acted on
};

// InvalidArgument with a JSON pointer to the fault ("/objects/3/pattern: ...") for whatever is not
// a valid bundle: nothing is read then. `json` need not be padded.
absl::StatusOr<Bundle> Read(std::string_view json, const ReadLimits& limits = {});

// One object alone, as a TAXII envelope holds it; pointers begin at the object ("/pattern: ...").
// `whole` is taken as false.
absl::StatusOr<Bundle> ReadObject(std::string_view json, const ReadLimits& limits = {});

}  // namespace stillwatch::share::stix
