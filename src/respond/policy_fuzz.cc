// Any bytes as a policy: no crash; what is accepted says the same when written out and read again;
// what is refused says where.
#include <cstdlib>
#include <string>

#include "respond/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::respond;
  const auto policy = ParsePolicy({reinterpret_cast<const char*>(data), size}, "p");
  if (!policy.ok()) {
    if (policy.status().message().substr(0, 2) != "p:") std::abort();
    return 0;
  }
  const std::string text = policy->Canonical();
  const auto again = ParsePolicy(text, "canonical");
  if (!again.ok() || again->Canonical() != text) std::abort();
  return 0;
}
