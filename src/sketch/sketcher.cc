#include "sketch/sketcher.h"

#include <algorithm>
#include <array>

#include "base/str.h"
#include "sketch/features.h"

namespace stillwatch::sketch {

const Kernel& BestKernel() {
  static const Kernel* const kBest = Avx2Kernel() != nullptr ? Avx2Kernel() : &kScalarKernel;
  return *kBest;
}

void Sketcher::Sketch(std::string_view system, std::string_view turn, std::string_view response,
                      std::span<const std::string_view> tools, uint32_t messages,
                      model::Sketch* out) {
  std::array<uint32_t, kSelectedMax + kSelectedPadding> kept;
  const auto part = [&](std::string_view text, size_t window, Words* words,
                        std::vector<uint32_t>* to) {
    kernel_.split(text, words);
    to->assign(kept.data(), kept.data() + kernel_.select(*words, window, kept.data()));
  };
  part(system, kSystemWindow, &system_, &out->system);
  part(turn, kTurnWindow, &turn_, &out->turn);
  out->response.clear();
  out->features =
      Features(kernel_, {turn, system_, turn_, response.size(), !tools.empty(), messages});
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
    return absl::InvalidArgumentError(
        base::StrCat("sketch.", part, ": not a whole number of 4-byte hashes"));
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
    return absl::InvalidArgumentError(
        base::StrCat("sketch.version: ", version, "; this program reads ", model::kSketchVersion));
  }
  std::string bytes;
  const auto part = [&](const char* name, std::string_view text, std::vector<uint32_t>* hashes) {
    if (!FromBase64(text, &bytes))
      return absl::InvalidArgumentError(base::StrCat("sketch.", name, ": not base64"));
    return GetHashes(name, bytes, hashes);
  };
  if (absl::Status s = part("system", system, &out->system); !s.ok()) return s;
  if (absl::Status s = part("response", response, &out->response); !s.ok()) return s;
  if (!FromBase64(turn, &bytes)) return absl::InvalidArgumentError("sketch.turn: not base64");
  if (bytes.size() < 8)
    return absl::InvalidArgumentError("sketch.turn: shorter than its 8 bytes of features");
  uint64_t features = 0;
  for (size_t k = 0; k < 8; ++k) features |= uint64_t{static_cast<uint8_t>(bytes[k])} << (8 * k);
  out->features = model::TextFeatures::Unpack(features);
  if (absl::Status s = GetHashes("turn", std::string_view(bytes).substr(8), &out->turn); !s.ok())
    return s;
  out->present = true;
  return absl::OkStatus();
}

}  // namespace stillwatch::sketch
