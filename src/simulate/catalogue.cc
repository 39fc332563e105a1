#include "simulate/catalogue.h"

#include <cstdio>

#include "base/hash.h"
#include "base/str.h"

namespace stillwatch::simulate {
namespace {

using base::StrCat;

// Name with %d for the version's moving part; how many versions are about; TLS stacks under it.
struct Family {
  std::string_view before, after;
  int from, versions, stacks, weight;
};

constexpr Family kSdks[] = {
    {"OpenAI/Python 2.", ".0", 24, 9, 3, 20},
    {"OpenAI/JS 6.", ".1", 40, 8, 2, 14},
    {"Anthropic/Python 1.", ".0", 6, 7, 3, 12},
    {"Anthropic/JS 0.", ".2", 60, 5, 2, 7},
    {"python-requests/2.", ".3", 30, 3, 4, 9},
    {"python-httpx/0.", ".0", 26, 4, 3, 7},
    {"aiohttp/3.", ".4 Python/3.12", 9, 4, 3, 6},
    {"node-fetch/3.", ".2", 2, 2, 2, 4},
    {"axios/1.", ".7", 6, 5, 2, 6},
    {"Go-http-client/2.", "", 0, 1, 4, 6},
    {"okhttp/5.", ".0", 0, 3, 2, 3},
    {"Java-http-client/2", ".0.2", 1, 4, 2, 3},
    {"curl/8.", ".0", 4, 8, 3, 3},
    {"reqwest/0.", ".4", 11, 2, 2, 2},
    {"Faraday v2.", ".1", 8, 4, 1, 1},
    {"GuzzleHttp/7.", "", 7, 3, 2, 2},
    {"langchain/1.", ".4", 0, 6, 2, 5},
    {"litellm/1.", ".0", 78, 6, 2, 4},
    {"LlamaIndex/0.", ".2", 13, 3, 2, 2},
    {"n8n/2.", ".1", 1, 6, 1, 2},
    {"Dart/3.", " (dart:io)", 8, 3, 1, 1},
};
constexpr Family kBrowsers[] = {
    {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/", ".0.0.0 Safari/537.36", 144, 4, 1, 30},
    {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome/", ".0.0.0 Safari/537.36", 144, 4, 1,
     12},
    {"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/", ".1 Safari/605.1.15", 25, 3, 1,
     10},
    {"Mozilla/5.0 (iPhone; CPU iPhone OS ", "_2 like Mac OS X) Mobile/15E148 Safari/604.1", 24, 3,
     1, 14},
    {"Mozilla/5.0 (Linux; Android 16) Chrome/", ".0.0.0 Mobile Safari/537.36", 143, 5, 1, 14},
    {"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Firefox/", ".0", 144, 4, 1, 6},
    {"Mozilla/5.0 (X11; Linux x86_64) Firefox/", ".0", 140, 9, 1, 3},
    {"Mozilla/5.0 (Windows NT 10.0; Win64; x64) Edg/", ".0.0.0", 144, 4, 1, 8},
};

std::string Fragment(std::string_view agent, std::string_view stack) {
  const uint64_t h = base::Hash64(stack), g = base::Mix64(h);
  char ja4[64];
  std::snprintf(ja4, sizeof ja4, "t13d%02d%02dh2_%012llx_%012llx", int(10 + h % 9), int(8 + g % 8),
                static_cast<unsigned long long>(h >> 16), static_cast<unsigned long long>(g >> 16));
  return StrCat(",\"user_agent\":\"", agent, "\",\"ja4\":\"", ja4, "\"");
}

// Weighted by repetition, so that drawing is one step.
void Add(std::span<const Family> families, std::vector<std::string>* out) {
  for (const Family& f : families) {
    for (int i = 0; i < f.weight * 2; ++i) {
      const uint64_t h = base::Mix64(base::Hash64(f.before) + static_cast<uint64_t>(i));
      const int version = f.from + static_cast<int>(h % static_cast<uint64_t>(f.versions));
      const uint64_t stack = (h >> 32) % static_cast<uint64_t>(f.stacks);
      out->push_back(Fragment(StrCat(f.before, version, f.after), StrCat(f.before, stack)));
    }
  }
}

constexpr std::string_view kMail[] = {
    "gmail.com",   "gmail.com",   "gmail.com",   "gmail.com",   "gmail.com", "gmail.com",
    "outlook.com", "outlook.com", "outlook.com", "hotmail.com", "yahoo.com", "icloud.com",
    "icloud.com",  "proton.me",   "qq.com",      "qq.com",      "163.com",   "gmx.net",
    "web.de",      "naver.com",   "yandex.com",  "orange.fr"};
constexpr std::string_view kDisposable[] = {"dropinbox.cc",  "mailbin.io",   "tempnest.net",
                                            "quickbox.pw",   "oneuse.email", "fleetmail.top",
                                            "paperbag.site", "inboxly.fun",  "vanishpost.org",
                                            "mintmail.xyz",  "noreply.pics", "tenminute.lol"};
constexpr std::string_view kCountries[kLanguageCount][6] = {
    {"US", "US", "US", "GB", "IN", "CA"}, {"ES", "MX", "AR", "CO", "CL", "US"},
    {"DE", "DE", "DE", "AT", "CH", "US"}, {"FR", "FR", "FR", "BE", "CA", "SN"},
    {"BR", "BR", "BR", "BR", "PT", "US"}, {"CN", "TW", "HK", "SG", "US", "MY"},
    {"JP", "JP", "JP", "JP", "JP", "US"}, {"KZ", "UA", "GE", "RS", "DE", "AM"},
    {"KR", "KR", "KR", "KR", "KR", "US"}};
constexpr double kZones[kLanguageCount][3] = {{-5, -8, 1}, {1, -5, -3}, {1, 1, 1},
                                              {1, 1, 0},   {-3, -3, 0}, {8, 8, 8},
                                              {9, 9, 9},   {3, 5, 2},   {9, 9, 9}};

}  // namespace

Catalogue::Catalogue(std::span<const std::string> tools, std::span<const std::string> harnesses) {
  Add(kSdks, &clients);
  sdk_end = static_cast<uint32_t>(clients.size());
  Add(kBrowsers, &clients);
  browser_end = static_cast<uint32_t>(clients.size());
  for (const std::string& t : tools) clients.push_back(Fragment(StrCat(t, "/5.1"), t));
  tool_end = static_cast<uint32_t>(clients.size());
  for (const std::string& h : harnesses) clients.push_back(Fragment(StrCat(h, "-cli/2.4"), h));
}

uint32_t Catalogue::Sdk(Rng* r) const { return r->Below(sdk_end); }
uint32_t Catalogue::Browser(Rng* r) const { return sdk_end + r->Below(browser_end - sdk_end); }

std::string_view PublicMail(Rng* r) { return kMail[r->Below(std::size(kMail))]; }
std::string_view DisposableMail(Rng* r) { return kDisposable[r->Below(std::size(kDisposable))]; }
std::string_view Country(int language, Rng* r) { return kCountries[language][r->Below(6)]; }

int DrawLanguage(Rng* r) {
  constexpr uint8_t kOf[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                             0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 6, 6, 7, 8};
  return kOf[r->Below(std::size(kOf))];
}

double ZoneOf(int language, Rng* r) { return kZones[language][r->Below(3)]; }

}  // namespace stillwatch::simulate
