// What is kept of a text in place of it: a bounded set of shingle hashes and a few features.
// A sketch can confirm a guess of the text, so it is guarded like a pseudonym (docs/PRIVACY.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stillwatch::model {

inline constexpr int kSketchVersion = 2;
inline constexpr size_t kSketchHashesMax = 64;  // a part, in the record format

// What the asks aim at (the contract's labels, in its order).
enum class Capability : uint8_t {
  kAgenticReasoning, kToolUse, kSoftwareEngineering, kLongHorizonPlanning, kComputerUse,
  kMathematics, kDataAnalysis, kGrading, kTraceExtraction, kTranslation, kSafetyRewriting,
  kDecisionMaking, kOther,
};
inline constexpr int kCapabilities = 13;
const char* CapabilityName(Capability c);  // "agentic_reasoning"
std::optional<Capability> CapabilityNamed(std::string_view name);

// Signs of training value that a text shows by itself; bit mask.
enum PurposeSign : uint16_t {
  kAsksReasoning = 1 << 0,    // reasoning or working to be written out, in tags or in full
  kAsksVerbatim = 1 << 1,     // earlier or hidden reasoning, working memory, restated
  kAsksGrade = 1 << 2,        // a rubric or score for somebody's answer
  kAsksTrajectory = 1 << 3,   // complete agent steps: call, arguments, observation
  kSaysDataset = 1 << 4,      // says that the output becomes data or trains something
  kAsksRewrite = 1 << 5,      // refusals or style rewritten
  kDictatesFormat = 1 << 6,   // output format dictated for a machine (tags, one JSON object)
};

// Features of the request's text, packed so that they cost few bytes in the lake.
struct TextFeatures {
  uint8_t language = 0;        // 0 unknown, else sketch/words.h Script
  Capability capability = Capability::kOther;
  uint16_t purpose = 0;        // PurposeSign bits
  uint8_t format = 0;          // bit mask: 1 code, 2 JSON, 4 mathematics, 8 markup tags, 16 multiple choice, 32 markdown, 64 URL, 128 question mark
  uint8_t turn_length = 0;     // floor(2 * log2(1 + words)), system excluded
  uint8_t response_length = 0; // the same of the response; 0 when there is none
  uint8_t messages = 0;        // of the request, at most 255

  uint64_t Pack() const {
    return uint64_t{language} | uint64_t(capability) << 8 | uint64_t{purpose} << 16 |
           uint64_t{format} << 32 | uint64_t{turn_length} << 40 |
           uint64_t{response_length} << 48 | uint64_t{messages} << 56;
  }
  static TextFeatures Unpack(uint64_t v) {
    TextFeatures f;
    f.language = static_cast<uint8_t>(v);
    const uint8_t c = static_cast<uint8_t>(v >> 8);
    f.capability = c < kCapabilities ? static_cast<Capability>(c) : Capability::kOther;
    f.purpose = static_cast<uint16_t>(v >> 16);
    f.format = static_cast<uint8_t>(v >> 32);
    f.turn_length = static_cast<uint8_t>(v >> 40);
    f.response_length = static_cast<uint8_t>(v >> 48);
    f.messages = static_cast<uint8_t>(v >> 56);
    return f;
  }
};

// Hashes are ascending and distinct. `turn` is the last user turn alone.
struct Sketch {
  std::vector<uint32_t> system, turn, response;
  TextFeatures features;
  bool present = false;  // false: the record carried neither text nor sketch
};

}  // namespace stillwatch::model
