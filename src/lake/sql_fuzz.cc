// Any bytes as a value: the literal ends where it should and means the same bytes.
#include <cstdlib>
#include <string>

#include "lake/lake.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view value(reinterpret_cast<const char*>(data), size);
  const std::string sql = stillwatch::lake::SqlString(value);
  if (sql.size() < 2 || sql.front() != '\'' || sql.back() != '\'') std::abort();
  // Read as ClickHouse does: a backslash escapes the next character or starts \xHH.
  std::string back;
  for (size_t i = 1; i + 1 < sql.size(); ++i) {
    if (sql[i] == '\'') std::abort();  // would end the literal
    if (sql[i] != '\\') {
      back.push_back(sql[i]);
    } else if (sql[++i] == 'x') {
      if (i + 3 >= sql.size()) std::abort();
      back.push_back(static_cast<char>(std::stoi(sql.substr(i + 1, 2), nullptr, 16)));
      i += 2;
    } else {
      if (i + 1 >= sql.size()) std::abort();  // escapes the closing quote
      back.push_back(sql[i]);
    }
  }
  if (back != value) std::abort();
  return 0;
}
