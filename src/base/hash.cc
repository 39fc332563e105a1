#include "base/hash.h"

#include <xxhash.h>

namespace stillwatch::base {

uint64_t Hash64(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace stillwatch::base
