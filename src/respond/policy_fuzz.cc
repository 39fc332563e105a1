// Any bytes as an address, a list entry, an appeal reference and a policy: no crash; what is
// accepted says the same when written out and read again; what is refused says where.
#include <cstdlib>
#include <string>

#include "respond/decide.h"
#include "respond/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::respond;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto range = ParseAddressRange(bytes);
      range && (range->length < 0 || range->length > 128))
    std::abort();
  if (const auto entry = ParseListEntry(bytes); entry && entry->value.empty()) std::abort();
  if (const uint64_t appeal = ParseAppeal(bytes);
      appeal != 0 && ParseAppeal(AppealText(appeal)) != appeal)
    std::abort();
  const auto policy = ParsePolicy(bytes, "p");
  if (!policy.ok()) {
    if (policy.status().message().substr(0, 2) != "p:") std::abort();
    return 0;
  }
  const std::string text = policy->Canonical();
  const auto again = ParsePolicy(text, "canonical");
  if (!again.ok() || again->Canonical() != text) std::abort();
  return 0;
}
