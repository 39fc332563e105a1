#include "sketch/sketcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace stillwatch::sketch {
namespace {

model::Sketch Of(std::string_view turn, std::string_view system = "") {
  Sketcher s;
  model::Sketch out;
  s.Sketch(system, turn, "", {}, 1, &out);
  return out;
}

std::string RandomWords(std::mt19937& rng, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < 6; ++k) out.push_back(static_cast<char>('a' + rng() % 26));
    out.push_back(' ');
  }
  return out;
}

size_t Common(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  std::vector<uint32_t> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return both.size();
}

TEST(Sketcher, IgnoresCaseDigitsSpaceAndQuotes) {
  EXPECT_EQ(Of("Write 12 lines \"about\" the old sea").turn,
            Of("write  7 LINES about\nthe \xE2\x80\x9Cold\xE2\x80\x9D sea!").turn);
}

// The promise that linking rests on: what is kept of a scaffold depends on the payload hardly at
// all.
TEST(Sketcher, KeepsTheScaffoldAroundAnyPayload) {
  std::mt19937 rng(7);
  int enough = 0, scaffolds = 0;
  for (; scaffolds < 200; ++scaffolds) {
    const std::string head = RandomWords(rng, 8), tail = RandomWords(rng, 12);
    std::vector<uint32_t> always;
    for (const int payload : {5, 50, 500, 5000}) {
      const auto kept = Of(head + RandomWords(rng, payload) + tail).turn;
      if (always.empty()) {
        always = kept;
      } else {
        std::vector<uint32_t> both;
        std::set_intersection(always.begin(), always.end(), kept.begin(), kept.end(),
                              std::back_inserter(both));
        always = both;
      }
    }
    enough += always.size() >= 2;
  }
  EXPECT_GE(enough, scaffolds * 95 / 100);
}

TEST(Sketcher, ReadsScriptsWithoutSpaces) {
  const auto a = Of("请先在标签内写出完整的思考过程然后给出最终答案第一题是苹果有几个");
  const auto b = Of("请先在标签内写出完整的思考过程然后给出最终答案第二个问题关于火车");
  EXPECT_GE(Common(a.turn, b.turn), 2u);
  EXPECT_GE(a.turn.size(), kFloor);
}

TEST(Sketcher, NotesOfAResponseOnlyItsLength) {
  Sketcher sketcher;
  model::Sketch a, b;
  a.response = {1, 2, 3};  // of an exchange before
  sketcher.Sketch("", "why?", "because the tide comes in", {}, 1, &a);
  sketcher.Sketch("", "why?", "since nobody ever looked!", {}, 1, &b);
  EXPECT_TRUE(a.response.empty());
  EXPECT_EQ(a.features.Pack(), b.features.Pack());
  sketcher.Sketch("", "why?", std::string(4000, 'x'), {}, 1, &b);
  EXPECT_GT(b.features.response_length, a.features.response_length);
  sketcher.Sketch("", "why?", "", {}, 1, &b);
  EXPECT_EQ(b.features.response_length, 0);
}

TEST(Sketcher, EncodesAndDecodes) {
  const auto s = Of("one two three four five six seven eight", "be brief and kind to all");
  const EncodedSketch e = Encode(s);
  model::Sketch back;
  ASSERT_TRUE(Decode(model::kSketchVersion, e.system, e.turn, e.response, &back).ok());
  EXPECT_EQ(back.turn, s.turn);
  EXPECT_EQ(back.system, s.system);
  EXPECT_EQ(back.features.Pack(), s.features.Pack());
  EXPECT_FALSE(Decode(model::kSketchVersion - 1, e.system, e.turn, e.response, &back).ok());
  EXPECT_FALSE(Decode(model::kSketchVersion, "!", e.turn, e.response, &back).ok());
  EXPECT_FALSE(Decode(model::kSketchVersion, "AAAA", e.turn, e.response, &back).ok());
  EXPECT_FALSE(Decode(model::kSketchVersion, "", "AAAA", e.response, &back).ok());
  EXPECT_FALSE(Decode(model::kSketchVersion, "AAAAAAAAAAA=", e.turn, "", &back).ok())
      << "equal hashes do not ascend";
}

TEST(Sketcher, SurvivesAnyBytes) {
  std::mt19937 rng(3);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(rng() % 60, 0);
    for (char& c : bytes) c = static_cast<char>(rng());
    const auto s = Of(bytes, bytes);
    EXPECT_LE(s.turn.size(), kSelectedMax);
    EXPECT_TRUE(std::is_sorted(s.turn.begin(), s.turn.end()));
  }
}

// Phrasings that are not in the corpus.
TEST(Features, KnowsCapabilitiesFromUnseenPhrases) {
  using model::Capability;
  const std::pair<const char*, Capability> cases[] = {
      {"Please write a Java method that reverses a linked list.", Capability::kSoftwareEngineering},
      {"Rate the answer of the student from one to ten with a short reason for each criterion.",
       Capability::kGrading},
      {"Put all your thoughts inside the tags before you give the final answer, leaving nothing "
       "out.",
       Capability::kTraceExtraction},
      {"For each step name the action, its arguments and the observation until the goal is done.",
       Capability::kAgenticReasoning},
      {"Translate this letter into German.", Capability::kTranslation},
      {"What is a good name for a puppy?", Capability::kOther},
      {"Schreibe eine Funktion in Python, die eine Liste umdreht.",
       Capability::kSoftwareEngineering},
  };
  for (const auto& [text, want] : cases) {
    EXPECT_EQ(model::CapabilityName(Of(text).features.capability),
              std::string(model::CapabilityName(want)))
        << text;
  }
}

}  // namespace
}  // namespace stillwatch::sketch
