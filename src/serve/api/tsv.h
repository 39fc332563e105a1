// Reading the tab-separated answers of the engine. Internal to src/serve/api.
#pragma once

#include <string>
#include <string_view>

namespace stillwatch::serve::api {

// Calls each(cell) for the cells of a line, as they stand there.
template <typename F>
void EachCell(std::string_view line, F&& each) {
  for (bool more = true; more;) {
    const size_t tab = line.find('\t');
    more = tab != std::string_view::npos;
    each(line.substr(0, tab));
    line.remove_prefix(more ? tab + 1 : line.size());
  }
}

// The text of a cell; of a longer one its first `bytes_max` bytes.
std::string Unescaped(std::string_view cell, size_t bytes_max = std::string::npos);

}  // namespace stillwatch::serve::api
