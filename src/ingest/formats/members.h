// What decoders read of JSON objects: the members that they know, of the types that a log's writer
// gives them. Anything else makes the record odd, and its SELECT takes it.
#pragma once

#include <simdjson.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>

#include "ingest/formats/rows.h"

namespace stillwatch::ingest {

// Set where a record is not as its SELECT's author knew it.
using Odd = bool;

// Known members of one object, found in one pass. Null counts as absent. Two of a name are odd.
template <size_t N>
class Members {
 public:
  using Names = std::array<std::string_view, N>;
  Members(const Names& names, std::optional<simdjson::dom::element> of, Odd* odd) : odd_(odd) {
    simdjson::dom::object object;
    if (!of) return;
    if (of->get_object().get(object) != simdjson::SUCCESS) {
      *odd = true;
      return;
    }
    size_t next = 0;  // writers keep an order
    for (const auto field : object) {
      for (size_t k = 0; k < N; ++k) {
        const size_t i = next + k < N ? next + k : next + k - N;
        if (names[i] != field.key) continue;
        if (seen_ >> i & 1) *odd = true;
        seen_ |= uint64_t{1} << i;
        if (!field.value.is_null()) at_[i] = field.value;
        next = i + 1 < N ? i + 1 : 0;
        break;
      }
    }
  }
  const std::optional<simdjson::dom::element>& operator[](size_t i) const { return at_[i]; }

  std::string_view Text(size_t i) const {
    std::string_view s;
    if (at_[i] && at_[i]->get_string().get(s) != simdjson::SUCCESS) *odd_ = true;
    return s;
  }
  std::optional<uint32_t> Count(size_t i) const {
    uint64_t n;
    if (!at_[i]) return {};
    if (at_[i]->get_uint64().get(n) == simdjson::SUCCESS && n <= UINT32_MAX)
      return static_cast<uint32_t>(n);
    *odd_ = true;
    return {};
  }
  std::optional<int64_t> Whole(size_t i) const {
    int64_t n;
    if (!at_[i]) return {};
    if (at_[i]->get_int64().get(n) == simdjson::SUCCESS) return n;
    *odd_ = true;
    return {};
  }
  std::optional<double> Real(size_t i) const {
    double d;
    if (!at_[i]) return {};
    if (at_[i]->get_double().get(d) == simdjson::SUCCESS && std::isfinite(d)) return d;
    *odd_ = true;
    return {};
  }
  std::optional<simdjson::dom::element> Array(size_t i) const {
    if (at_[i] && !at_[i]->is_array()) *odd_ = true;
    return at_[i];
  }
  std::optional<simdjson::dom::element> Object(size_t i) const {
    if (at_[i] && !at_[i]->is_object()) *odd_ = true;
    return at_[i];
  }

 private:
  std::array<std::optional<simdjson::dom::element>, N> at_;
  uint64_t seen_ = 0;
  Odd* odd_;
};
template <size_t N>
Members(const std::array<std::string_view, N>&, std::optional<simdjson::dom::element>, Odd*)
    -> Members<N>;

// The shortest decimal, as the engine writes a Float64 out to cast it.
inline void SetReal(Rows* rows, int column, std::optional<double> v) {
  char text[32];
  if (!v) return;
  const auto end = std::to_chars(text, text + sizeof text, *v).ptr;
  rows->Set(column, std::string_view(text, static_cast<size_t>(end - text)));
}
inline void SetCount(Rows* rows, int column, std::optional<uint64_t> v) {
  if (v) rows->Set(column, *v);
}

}  // namespace stillwatch::ingest
