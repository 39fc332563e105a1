// Decompression of request bodies, bounded before a byte too many is kept.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace stillwatch::serve {

// `encoding` is the Content-Encoding: "gzip", "x-gzip", "zstd", "identity" or empty, any case.
// ResourceExhausted: more than `limit` bytes come out (413); Unimplemented: another encoding (415);
// InvalidArgument: broken or cut short (400). Several members or frames follow one another.
absl::Status Decompress(std::string_view encoding, std::string_view in, size_t limit,
                        std::string* out);

}  // namespace stillwatch::serve
