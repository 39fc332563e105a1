// A text file compiled into the program (cmake/embed.cmake).
#pragma once

#include <string_view>

namespace stillwatch::base {

struct EmbeddedFile {
  std::string_view name, text;
};

}  // namespace stillwatch::base
