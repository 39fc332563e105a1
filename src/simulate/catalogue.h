// What everybody picks from: programs that call the API, browsers, mail domains, countries. Drawn
// alike for innocents and operators.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simulate/rng.h"

namespace stillwatch::simulate {

// `,"user_agent":"...","ja4":"..."`, ready to copy.
struct Catalogue {
  // `tools` and `harnesses`: names of published programs, each with a client of its own.
  Catalogue(std::span<const std::string> tools, std::span<const std::string> harnesses);
  std::vector<std::string> clients;  // [0, sdk_end) API libraries, then browsers, tools, harnesses
  uint32_t sdk_end = 0, browser_end = 0, tool_end = 0;
  uint32_t Sdk(Rng* r) const;  // popular ones more often
  uint32_t Browser(Rng* r) const;
};

// By popularity.
std::string_view PublicMail(Rng* r);
std::string_view DisposableMail(Rng* r);
// ISO 3166 code, by the language spoken (index of kLanguages).
std::string_view Country(int language, Rng* r);

inline constexpr std::string_view kLanguages[] = {"en", "es", "de", "fr", "pt",
                                                  "zh", "ja", "ru", "ko"};
inline constexpr int kLanguageCount = 9, kChinese = 5;
int DrawLanguage(Rng* r);
// Hours that noon there is before noon UTC.
double ZoneOf(int language, Rng* r);

}  // namespace stillwatch::simulate
