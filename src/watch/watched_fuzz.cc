// Any bytes as the body of a kept state: refused, or a state that is written and read back the
// same.
#include <cstdint>
#include <cstdlib>

#include "base/hash.h"
#include "watch/state.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch;
  // The head and the checksum are given, or nothing would get past them.
  static const std::string head = watch::Encode({}).substr(0, 8);
  std::string bytes = head + std::string(reinterpret_cast<const char*>(data), size);
  const uint64_t sum = base::Hash64(bytes);
  for (int shift = 0; shift < 64; shift += 8) bytes.push_back(static_cast<char>(sum >> shift));
  const auto read = watch::Decode(bytes);
  if (!read.ok()) return 0;
  const std::string written = watch::Encode(*read);
  const auto again = watch::Decode(written);
  if (!again.ok() || watch::Encode(*again) != written) abort();
  return 0;
}
