#include <cctype>

#include "base/str.h"
#include "respond/decide.h"
#include "respond/policy.h"

namespace stillwatch::respond {
namespace {

constexpr const char* kActionNames[kActions] = {"allow",  "observe", "throttle",
                                                "verify", "reduce",  "deny"};
constexpr const char* kOwnNames[kOwns] = {"distillation", "coordinated-other", "shared-tool",
                                          "evaluation",   "permitted",         "unresolved",
                                          "victim"};
constexpr const char* kTierNames[kTiers] = {"low", "moderate", "elevated", "high"};
constexpr const char* kKycNames[kKycs] = {"none",     "email",    "phone",
                                          "document", "business", "unknown"};
constexpr const char* kByNames[kBys] = {"template", "sketch", "replay"};
constexpr const char* kReasonNames[kReasons] = {
    "nothing",  "directive", "directive_unknown", "permit", "overturned", "allow_list", "deny_list",
    "campaign", "rule",      "template",          "sketch", "replay",     "within_rate"};

// Crockford's base 32: no I, L, O, U.
constexpr std::string_view kDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr int kAppealDigits = 13;  // of 64 bits

}  // namespace

const char* ActionName(Action a) { return kActionNames[static_cast<int>(a)]; }
const char* OwnName(Own v) { return kOwnNames[static_cast<int>(v)]; }
const char* TierName(Tier t) { return kTierNames[static_cast<int>(t)]; }
const char* KycName(Kyc k) { return kKycNames[static_cast<int>(k)]; }
const char* ByName(By b) { return kByNames[static_cast<int>(b)]; }
const char* ReasonName(Reason r) { return kReasonNames[static_cast<int>(r)]; }

std::optional<Own> OwnFromName(std::string_view name) {
  for (int i = 0; i < kOwns; ++i) {
    if (name == kOwnNames[i]) return static_cast<Own>(i);
  }
  return std::nullopt;
}

Kyc KycFromName(std::string_view name) {
  for (int i = 0; i < kKycs; ++i) {
    if (name == kKycNames[i]) return static_cast<Kyc>(i);
  }
  return Kyc::kUnknown;
}

Tier TierOf(double p) {
  return p < .55 ? Tier::kLow : p < .80 ? Tier::kModerate : p < .95 ? Tier::kElevated : Tier::kHigh;
}

bool Glob(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string AppealText(uint64_t appeal) {
  if (appeal == 0) return "";
  std::string out = "SW-";
  for (int i = 0; i < kAppealDigits; ++i) {
    if (i == 5 || i == 10) out.push_back('-');
    out.push_back(kDigits[appeal >> (5 * (kAppealDigits - 1 - i)) & 31]);
  }
  return out;
}

uint64_t ParseAppeal(std::string_view text) {
  if (text.size() < 3 || (text[0] | 32) != 's' || (text[1] | 32) != 'w' || text[2] != '-') return 0;
  uint64_t v = 0;
  int digits = 0;
  for (const char raw : text.substr(3)) {
    if (raw == '-') continue;
    char c = static_cast<char>(std::toupper(static_cast<unsigned char>(raw)));
    if (c == 'O') c = '0';
    if (c == 'I' || c == 'L') c = '1';
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos || ++digits > kAppealDigits) return 0;
    if (digits == 1 && digit > 15) return 0;  // 65 bits
    v = v << 5 | digit;
  }
  return digits == kAppealDigits ? v : 0;
}

}  // namespace stillwatch::respond
