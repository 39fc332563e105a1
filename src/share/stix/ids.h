// Ids that follow from content: UUID version 5 (RFC 4122) over canonical JSON (RFC 8785).
// Pure, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "share/indicator.h"

namespace stillwatch::share::stix {

// Of cyber-observable objects: section 2.9 of STIX 2.1.
inline constexpr std::string_view kOasisNamespace = "00abedb4-aa42-466c-9c01-fed23315a9b7";
// Of Stillwatch's other objects.
inline constexpr std::string_view kOwnNamespace = "dc0931d5-e869-4c1e-a532-6c5a995cdb91";
// What STIX lacks: template sketch, decoding settings, campaign figures.
inline constexpr std::string_view kExtension =
    "extension-definition--499bd72f-1df0-4fa4-9a5d-d86d61a64ab3";

std::string Uuid5(std::string_view name_space, std::string_view name);
bool IsUuid(std::string_view text);  // RFC 4122, versions 1 to 5, hexadecimal digits of either case

// A string as RFC 8785 writes it, quotes and all; `text` is UTF-8.
std::string CanonicalString(std::string_view text);

// "TYPE--UUID" from parts that together name the object; none holds a zero byte.
std::string OwnId(std::string_view type, const std::vector<std::string_view>& parts);

// The observable that stands for an item: its type, its own properties in the order of their names,
// and its id. Nothing for items that STIX has no observable for, and for
// blinded ones but account ids.
struct Observable {
  std::string type, id;
  struct Property {
    std::string name, value;
    bool number = false;
  };
  std::vector<Property> properties;
};
std::optional<Observable> ObservableOf(const Item& item, std::string_view campaign_key);

}  // namespace stillwatch::share::stix
