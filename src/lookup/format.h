// How the file lies. Internal to src/lookup.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "lookup/lookup.h"

namespace stillwatch::lookup {

inline constexpr char kMagic[8] = {'S', 'W', 'A', 'C', 'I', 'X', '0', '2'};

// Items one after the other, and where each ends.
struct SectionAt {
  uint64_t bytes, length, ends, count;  // offsets in the file; `ends` on a multiple of 8
};
inline constexpr size_t kAccountNames = 0, kAccountData = 1;
inline constexpr size_t ValueNames(size_t field) { return 2 + 2 * field; }
inline constexpr size_t ValueHolders(size_t field) { return 3 + 2 * field; }
inline constexpr size_t kTemplateNames = ValueNames(kFields),
                        kTemplateHolders = ValueHolders(kFields);
inline constexpr size_t kSections = 4 + 2 * kFields;

struct Header {
  char magic[8];
  uint64_t size;    // of the file
  uint64_t active;  // accounts with exchanges
  SectionAt sections[kSections];
};

inline void PutVarint(uint64_t v, std::string* out) {
  for (; v >= 0x80; v >>= 7) out->push_back(static_cast<char>(v | 0x80));
  out->push_back(static_cast<char>(v));
}
// Small numbers for times near 1970 on either side.
inline uint64_t Signed(int64_t v) {
  return static_cast<uint64_t>(v) << 1 ^ static_cast<uint64_t>(v >> 63);
}
inline int64_t Unsigned(uint64_t v) { return static_cast<int64_t>(v >> 1 ^ (0 - (v & 1))); }
// Differences of times, which may be any 64 bits.
inline uint64_t Since(int64_t from, int64_t to) {
  return static_cast<uint64_t>(to) - static_cast<uint64_t>(from);
}
inline int64_t Later(int64_t from, uint64_t by) {
  return static_cast<int64_t>(static_cast<uint64_t>(from) + by);
}

// Reads a piece from its begin; beyond its end all is 0 and `bad`.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : at_(bytes.data()), end_(at_ + bytes.size()) {}
  uint64_t Varint() {
    uint64_t v = 0;
    for (int shift = 0; at_ != end_ && shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(*at_++);
      v |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return v;
    }
    bad_ = true;
    at_ = end_;
    return 0;
  }
  bool bad() const { return bad_; }

 private:
  const char *at_, *end_;
  bool bad_ = false;
};

// What Encode made; `only` as in Lookup::Read. Values that are left out cost their reading.
void Decode(std::string_view bytes, uint32_t only, Account* out);

}  // namespace stillwatch::lookup
