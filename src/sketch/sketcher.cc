#include "sketch/sketcher.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/hash.h"
#include "base/str.h"
#include "sketch/features.h"

namespace stillwatch::sketch {
namespace {

constexpr uint64_t kStart = 0x9ae16a3b2f90404fULL, kStep = 0xff51afd7ed558ccdULL;
constexpr uint64_t kDigits = 0xc3a5c85c97cb3127ULL;  // any run of digits

// 0 separates, 1 digit, otherwise the lower-case letter.
constexpr std::array<uint8_t, 128> kAscii = [] {
  std::array<uint8_t, 128> t{};
  for (int c = '0'; c <= '9'; ++c) t[c] = 1;
  for (int c = 'a'; c <= 'z'; ++c) t[c] = static_cast<uint8_t>(c), t[c - 32] = static_cast<uint8_t>(c);
  t['_'] = '_';
  return t;
}();

// One code point at s[i]; length 1 and 0 for what is not UTF-8.
size_t Decode1(std::string_view s, size_t i, uint32_t* cp) {
  const auto b = [&](size_t k) { return static_cast<uint8_t>(s[i + k]); };
  const uint8_t c = b(0);
  const size_t n = c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
  *cp = 0;
  if (n == 0 || i + n > s.size()) return 1;
  uint32_t v = c & (0xFF >> (n + 1));
  for (size_t k = 1; k < n; ++k) {
    if ((b(k) & 0xC0) != 0x80) return 1;
    v = v << 6 | (b(k) & 0x3F);
  }
  *cp = v;
  return n;
}

bool WithoutSpaces(uint32_t c) {
  return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x20000 && c <= 0x3FFFF) || (c >= 0x0E00 && c <= 0x0EFF) || (c >= 0x1780 && c <= 0x17FF) ||
         (c >= 0x1000 && c <= 0x109F);
}

// 0 for punctuation and space, otherwise the lower-case letter.
uint32_t Letter(uint32_t c) {
  if (c < 0xC0 || c == 0xD7 || c == 0xF7) return 0;
  if (c <= 0xDE) return c + 32;
  if (c >= 0x100 && c <= 0x17F) return c | 1;
  if (c >= 0x391 && c <= 0x3A9) return c + 32;
  if (c >= 0x410 && c <= 0x42F) return c + 32;
  if (c >= 0x400 && c <= 0x40F) return c + 80;
  if ((c >= 0x2000 && c <= 0x2BFF) || (c >= 0x3000 && c <= 0x303F) || (c >= 0xFF00 && c <= 0xFF0F) ||
      (c >= 0xFF1A && c <= 0xFF20) || (c >= 0xFF3B && c <= 0xFF40) || (c >= 0xFF5B && c <= 0xFF65) ||
      c == 0xFEFF || (c >= 0xE000 && c <= 0xF8FF) || c >= 0x1F000) {
    return 0;
  }
  return c;
}

}  // namespace

void SplitWords(std::string_view s, std::vector<Word>* words) {
  words->clear();
  uint64_t hash = 0;  // of the word under way; 0: none
  bool digits = false;
  const auto end = [&]() __attribute__((always_inline)) {
    if (hash != 0) words->push_back({base::Mix64(hash), false});
    hash = 0;
    digits = false;
  };
  for (size_t i = 0; i < s.size() && words->size() < kWordsMax;) {
    const uint8_t byte = static_cast<uint8_t>(s[i]);
    if (byte < 0x80) {
      const uint8_t c = kAscii[byte];
      ++i;
      if (c == 0) {
        if (hash != 0) end();
      } else if (c == 1) {
        if (!digits) hash = ((hash == 0 ? kStart : hash) ^ kDigits) * kStep;
        digits = true;
      } else {
        hash = ((hash == 0 ? kStart : hash) ^ c) * kStep;
        digits = false;
      }
      continue;
    }
    uint32_t cp;
    i += Decode1(s, i, &cp);
    if (WithoutSpaces(cp)) {
      end();
      words->push_back({base::Mix64((kStart ^ cp) * kStep), true});
    } else if (const uint32_t c = Letter(cp); c != 0) {
      hash = ((hash == 0 ? kStart : hash) ^ c) * kStep;
      digits = false;
    } else {
      end();
    }
  }
  end();
}

void Sketcher::Select(const std::vector<Word>& w, size_t max, size_t floor, std::vector<uint32_t>* out) {
  out->clear();
  kept_.clear();
  rest_.clear();
  const size_t n = w.size();
  if (n == 0) return;
  const auto offer = [&](uint64_t shingle, bool window) {
    const uint32_t order = static_cast<uint32_t>(shingle >> 32);
    if (window && order < 0x80000000u) kept_.push_back(shingle);
    else if (n <= 64 || order < 0x08000000u) rest_.push_back(shingle);
  };
  bool any = false;
  for (size_t i = 0; i < n; ++i) {
    const size_t length = w[i].character ? kCharacterShingle : kWordShingle;
    if (i + length > n) break;
    uint64_t h = 0;
    for (size_t k = 0; k < length; ++k) h = std::rotl(h, 17) * kStep + w[i + k].hash;
    any = true;
    offer(base::Mix64(h), i < kWindowWords || i + length + kWindowWords > n);
  }
  if (!any) {
    uint64_t h = n;
    for (const Word& word : w) h = std::rotl(h, 17) * kStep + word.hash;
    kept_.push_back(base::Mix64(h));
  }
  // The windows have their own share of the cap, or a long payload's smallest would drive the
  // scaffold out. What begins between them fills up to the floor, or a few places.
  const auto take = [&](std::vector<uint64_t>& from, size_t most) {
    std::sort(from.begin(), from.end());
    from.erase(std::unique(from.begin(), from.end()), from.end());
    for (size_t i = 0; i < std::min(most, from.size()); ++i) out->push_back(static_cast<uint32_t>(from[i]));
  };
  const size_t between = std::min(kBetweenMax, max / 4);
  take(kept_, max - between);
  take(rest_, n > 64 ? between : floor > kept_.size() ? floor - kept_.size() : 0);
  std::sort(out->begin(), out->end());
  out->erase(std::unique(out->begin(), out->end()), out->end());
}

void Sketcher::Sketch(std::string_view system, std::string_view turn, std::string_view response,
                      std::span<const std::string_view> tools, uint32_t messages, model::Sketch* out) {
  SplitWords(system, &system_);
  SplitWords(turn, &turn_);
  // Of a response a prefix tells enough: one hash is kept, and its length.
  SplitWords(response.substr(0, 512), &response_);
  Select(system_, kSystemMax, kFloor, &out->system);
  Select(turn_, kTurnMax, kFloor, &out->turn);
  Select(response_, kResponseMax, 1, &out->response);
  out->features = Features(system, turn, response, system_, turn_, tools, messages);
  out->present = true;
}

namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string Base64(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t v = 0;
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    for (size_t k = 0; k < 3; ++k) v = v << 8 | (k < n ? static_cast<uint8_t>(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) out.push_back(k <= n ? kAlphabet[v >> (18 - 6 * k) & 63] : '=');
  }
  return out;
}

bool FromBase64(std::string_view text, std::string* out) {
  static constexpr std::array<int8_t, 256> kValue = [] {
    std::array<int8_t, 256> t{};
    t.fill(-1);
    for (int i = 0; i < 64; ++i) t[static_cast<uint8_t>(kAlphabet[i])] = static_cast<int8_t>(i);
    return t;
  }();
  out->clear();
  if (text.size() % 4 != 0) return false;
  for (size_t i = 0; i < text.size(); i += 4) {
    const bool last = i + 4 == text.size();
    const size_t pad = last ? (text[i + 3] == '=') + (text[i + 3] == '=' && text[i + 2] == '=') : 0;
    uint32_t v = 0;
    for (size_t k = 0; k < 4; ++k) {
      const int8_t x = k >= 4 - pad ? 0 : kValue[static_cast<uint8_t>(text[i + k])];
      if (x < 0) return false;
      v = v << 6 | static_cast<uint32_t>(x);
    }
    for (size_t k = 0; k < 3 - pad; ++k) out->push_back(static_cast<char>(v >> (16 - 8 * k)));
  }
  return true;
}

void PutHashes(const std::vector<uint32_t>& hashes, std::string* bytes) {
  for (const uint32_t h : hashes) {
    for (int k = 0; k < 4; ++k) bytes->push_back(static_cast<char>(h >> (8 * k)));
  }
}

absl::Status GetHashes(const char* part, std::string_view bytes, std::vector<uint32_t>* hashes) {
  hashes->clear();
  if (bytes.size() % 4 != 0) {
    return absl::InvalidArgumentError(base::StrCat("sketch.", part, ": not a whole number of 4-byte hashes"));
  }
  if (bytes.size() / 4 > model::kSketchHashesMax) {
    return absl::InvalidArgumentError(base::StrCat("sketch.", part, ": more than 64 hashes"));
  }
  for (size_t i = 0; i < bytes.size(); i += 4) {
    uint32_t h = 0;
    for (size_t k = 0; k < 4; ++k) h |= uint32_t{static_cast<uint8_t>(bytes[i + k])} << (8 * k);
    if (!hashes->empty() && h <= hashes->back()) {
      return absl::InvalidArgumentError(base::StrCat("sketch.", part, ": hashes do not ascend"));
    }
    hashes->push_back(h);
  }
  return absl::OkStatus();
}

}  // namespace

EncodedSketch Encode(const model::Sketch& sketch) {
  std::string system, turn, response;
  PutHashes(sketch.system, &system);
  const uint64_t features = sketch.features.Pack();
  for (int k = 0; k < 8; ++k) turn.push_back(static_cast<char>(features >> (8 * k)));
  PutHashes(sketch.turn, &turn);
  PutHashes(sketch.response, &response);
  return {Base64(system), Base64(turn), Base64(response)};
}

absl::Status Decode(int version, std::string_view system, std::string_view turn,
                    std::string_view response, model::Sketch* out) {
  if (version != model::kSketchVersion) {
    return absl::InvalidArgumentError(base::StrCat("sketch.version: ", version, "; this program reads ",
                                                   model::kSketchVersion));
  }
  std::string bytes;
  const auto part = [&](const char* name, std::string_view text, std::vector<uint32_t>* hashes) {
    if (!FromBase64(text, &bytes)) return absl::InvalidArgumentError(base::StrCat("sketch.", name, ": not base64"));
    return GetHashes(name, bytes, hashes);
  };
  if (absl::Status s = part("system", system, &out->system); !s.ok()) return s;
  if (absl::Status s = part("response", response, &out->response); !s.ok()) return s;
  if (!FromBase64(turn, &bytes)) return absl::InvalidArgumentError("sketch.turn: not base64");
  if (bytes.size() < 8) return absl::InvalidArgumentError("sketch.turn: shorter than its 8 bytes of features");
  uint64_t features = 0;
  for (size_t k = 0; k < 8; ++k) features |= uint64_t{static_cast<uint8_t>(bytes[k])} << (8 * k);
  out->features = model::TextFeatures::Unpack(features);
  if (absl::Status s = GetHashes("turn", std::string_view(bytes).substr(8), &out->turn); !s.ok()) return s;
  out->present = true;
  return absl::OkStatus();
}

}  // namespace stillwatch::sketch
