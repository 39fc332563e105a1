// Any bytes may come from a broken server: the decoder ends in a block or an error, and what it
// accepts is well formed and survives a round trip.
#include <cstdlib>
#include <string>

#include "lake/native.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::lake;
  std::string_view in(reinterpret_cast<const char*>(data), size);
  while (!in.empty()) {
    const size_t before = in.size();
    const auto block = DecodeNative(&in);
    if (!block.ok()) break;
    if (in.size() >= before || !CheckShape(*block).ok()) std::abort();
    std::string once, twice;
    EncodeNative(*block, &once);
    std::string_view again(once);
    const auto back = DecodeNative(&again);
    if (!back.ok() || !again.empty()) std::abort();
    EncodeNative(*back, &twice);
    if (once != twice) std::abort();
  }
  return 0;
}
