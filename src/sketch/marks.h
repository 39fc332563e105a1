// The marks that tell what a text is written in: TextFeatures::format is the bits of those that
// begin and end within its first kFormatBytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace stillwatch::sketch {

inline constexpr size_t kFormatBytes = 4096;

struct Mark {
  std::string_view text;
  uint8_t bit;
  // One of eight groups of marks whose first three bytes together are rare in prose, so that a
  // search for a group seldom stops in vain. A group may mix marks of two bytes with longer ones
  // only where the first two bytes suffice for that.
  uint8_t group;
};

inline constexpr Mark kMarks[] = {
    {"```", 1, 0},
    {"def ", 1, 0},
    {"function ", 1, 0},
    {"#include", 1, 1},
    {"();", 1, 1},
    {"(A) ", 16, 1},
    {"\xEF\xBC\x9F", 128, 1},
    {"SELECT ", 1, 2},
    {"JSON", 2, 2},
    {"json", 2, 2},
    {"http", 64, 2},
    {" = ", 4, 3},
    {"\nA. ", 16, 3},
    {"\nA) ", 16, 3},
    {"\n- ", 32, 4},
    {"\n# ", 32, 4},
    {"\\frac", 4, 4},
    {"</", 8, 5},
    {"/>", 8, 5},
    {"**", 32, 6},
    {"$$", 4, 6},
    {"^2", 4, 7},
    {"{\"", 2, 7},
    {"?", 128, 8},  // looked for by itself
};
inline constexpr int kMarkGroups = 8;

}  // namespace stillwatch::sketch
