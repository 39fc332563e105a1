// One STIX 2.1 object against the specification: its properties, their kinds, ranges and orders.
// Pure, thread-safe.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stillwatch::share::stix {

enum class Class : uint8_t { kSdo, kSro, kSco, kMeta };

struct Reference {
  std::string_view from;  // property
  std::string_view to;    // id; lives as long as the document
  std::string pointer;    // within the object: "/object_refs/3"
};

struct Checked {
  std::string_view type, id;  // live as long as the document
  Class object_class = Class::kSdo;
  std::vector<Reference> references;  // in order
};

// True when `object` is valid by itself; else *fault is "/property: what is wrong".
// `sdo_text`: where the object stands, for messages.
bool Check(const simdjson::dom::object& object, Checked* out, std::string* fault);

// TLP 1 and 2 markings by id: "clear", "green", "amber", "amber+strict", "red"; empty: another.
std::string_view TlpOf(std::string_view marking_id);
std::string_view TlpId(std::string_view level);  // of TLP 2; empty: no such level

}  // namespace stillwatch::share::stix
