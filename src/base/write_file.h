// Files that are written whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace stillwatch::base {

// Writes a file whole or not at all: beside its place as PATH.partial, to the disk, and then there.
// Only its owner may read it. 0, or the errno of what failed; nothing of it is left then.
int WriteFileDurably(const std::string& path, std::string_view bytes);
// Writes all of it, however often the system stops on its way: 0, or an errno.
int WriteAt(int file, const void* bytes, size_t n, uint64_t at);

}  // namespace stillwatch::base
