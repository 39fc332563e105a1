#include "base/hex.h"

namespace stillwatch::base {
namespace {
constexpr char kDigits[] = "0123456789abcdef";
}  // namespace

std::string Hex(std::string_view bytes) {
  std::string out;
  out.reserve(2 * bytes.size());
  for (const unsigned char c : bytes) {
    out.push_back(kDigits[c >> 4]);
    out.push_back(kDigits[c & 15]);
  }
  return out;
}

std::string Hex(uint64_t number) {
  std::string out;
  for (int shift = 60; shift >= 0; shift -= 4) out.push_back(kDigits[number >> shift & 15]);
  return out;
}

}  // namespace stillwatch::base
