// Bytes and numbers in hexadecimal digits, lower case.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace stillwatch::base {

std::string Hex(std::string_view bytes);  // two digits a byte
std::string Hex(uint64_t number);         // always 16 digits

}  // namespace stillwatch::base
