// Files that must not be found half written.
#pragma once

#include <string>
#include <string_view>

namespace stillwatch::base {

// Writes a file whole or not at all: beside its place as PATH.partial, to the disk, and then there.
// Only its owner may read it. 0, or the errno of what failed; nothing of it is left then.
int WriteFileDurably(const std::string& path, std::string_view bytes);

}  // namespace stillwatch::base
