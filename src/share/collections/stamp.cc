#include "share/collections/stamp.h"

#include "base/time.h"

namespace stillwatch::share {

std::optional<int64_t> ParseMicros(std::string_view text) {
  const auto ms = base::ParseRfc3339(text);
  if (!ms) return std::nullopt;
  int64_t us = 0, scale = 100;
  // What parsed has its fraction after 19 characters: digits four to six of it.
  if (text.size() > 19 && text[19] == '.') {
    for (size_t i = 20; i < text.size() && text[i] >= '0' && text[i] <= '9' && i < 26; ++i) {
      if (i < 23) continue;
      us += (text[i] - '0') * scale;
      scale /= 10;
    }
  }
  return *ms * 1000 + us;
}

std::string FormatMicros(int64_t us) {
  int64_t ms = us / 1000, rest = us % 1000;
  if (rest < 0) rest += 1000, --ms;
  std::string out = base::FormatRfc3339(ms);
  out.pop_back();
  for (const int64_t unit : {100, 10, 1}) out.push_back(char('0' + rest / unit % 10));
  out.push_back('Z');
  return out;
}

}  // namespace stillwatch::share
