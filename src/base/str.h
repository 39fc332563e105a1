// Text from parts. (Debian's Abseil is built with its own string_view, which absl::StrCat wants.)
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

namespace stillwatch::base {

template <typename T>
void StrAppend1(std::string* out, const T& v) {
  if constexpr (std::is_same_v<T, char>) out->push_back(v);
  else if constexpr (std::is_arithmetic_v<T>) out->append(std::to_string(v));
  else out->append(std::string_view(v));
}

// Strings, characters and numbers, in order.
template <typename... T>
void StrAppend(std::string* out, const T&... parts) {
  (StrAppend1(out, parts), ...);
}

template <typename... T>
std::string StrCat(const T&... parts) {
  std::string out;
  StrAppend(&out, parts...);
  return out;
}

}  // namespace stillwatch::base
