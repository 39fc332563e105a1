// What watching remembers between passes, as one value and as bytes.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "watch/gate.h"
#include "watch/identity.h"

namespace stillwatch::watch {

struct Watched {
  Identities identities;
  Gate gate;
  // Events of the last pass: told again after a restart, in case it came before they were sent.
  std::vector<Event> events;
  bool operator==(const Watched&) const = default;
};

inline constexpr size_t kWatchedBytesMax = size_t{1} << 30;

// Versioned, ends in a checksum. Decode takes any bytes and allocates a small multiple of them at
// most; DataLoss when they are not what Encode wrote, FailedPrecondition when a newer version did.
std::string Encode(const Watched& watched);
absl::StatusOr<Watched> Decode(std::string_view bytes);

}  // namespace stillwatch::watch
