#include "serve/api/tsv.h"

namespace stillwatch::serve::api {

std::string Unescaped(std::string_view cell, size_t bytes_max) {
  std::string out;
  for (size_t i = 0; i < cell.size() && out.size() < bytes_max; ++i) {
    if (cell[i] != '\\' || i + 1 == cell.size()) {
      out.push_back(cell[i]);
      continue;
    }
    const char c = cell[++i];
    out.push_back(c == 't'   ? '\t'
                  : c == 'n' ? '\n'
                  : c == 'r' ? '\r'
                  : c == 'b' ? '\b'
                  : c == 'f' ? '\f'
                  : c == '0' ? '\0'
                             : c);
  }
  return out;
}

}  // namespace stillwatch::serve::api
