// What is compared: values of a few families, in one normal form, so that both sides hash the same.
// Pure, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace stillwatch::share::psi {

inline constexpr size_t kValueBytes = 1024;  // of a value, before and after

// The families, ascending; names as in share/indicator.h where it has one.
//   account-id   as the log has it
//   address      IPv4 or IPv6, or a network "a.b.c.d/n"; canonical; IPv4 in IPv6 becomes IPv4
//   card-range   the first 6 to 8 digits of a card; anything longer is refused: a card number does
//                not belong here, not even blinded
//   mail         a whole address: lower case, without what follows a plus in its local part
//   mail-domain  lower case, without a final dot
//   payment      as the log has it (a hash of a means of payment); hexadecimal ones in lower case
// All: valid UTF-8, white space at both ends goes, control characters are refused.
struct Family {
  std::string_view name;
  uint64_t epoch_items;  // that one peer may ask about in an epoch unless told otherwise: so few of
                         // what can be enumerated that enumerating it takes years
};
const std::vector<Family>& Families();
// The family's place in Families(), or -1.
int FamilyIndex(std::string_view name);

// InvalidArgument with one sentence that never repeats the value.
absl::StatusOr<std::string> Normalise(std::string_view family, std::string_view value);

// What is hashed for a normalised value: "stillwatch item 1", the family and the value, each ended
// by a zero byte (which none of them holds).
std::string HashInput(std::string_view family, std::string_view value);

}  // namespace stillwatch::share::psi
