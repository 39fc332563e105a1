#include "serve/decide/content.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "base/hash.h"
#include "base/str.h"
#include "ingest/jsonl/jsonl_source.h"
#include "sketch/sketcher.h"

namespace stillwatch::serve {
namespace {

constexpr const char* kSystem =
    "You are a careful engine that solves problems step by step and writes every thought down";
constexpr const char* kTurn =
    "Solve the following task and grade your own answer on a scale of one to ten, then explain";

// What the lake holds of the same request when it comes by a canonical log.
model::Sketch OfLog(const std::string& messages) {
  std::string line =
      base::StrCat(R"({"exchange_id":"e","ts":"2026-01-01T00:00:00Z","account_id":"a","messages":)",
                   messages, "}");
  const size_t size = line.size();
  line.append(simdjson::SIMDJSON_PADDING, '\0');
  ingest::RecordParser parser(1'800'000'000'000);
  model::ExchangeView e;
  EXPECT_TRUE(parser.Parse(std::string_view(line).substr(0, size), &e).ok());
  model::Sketch sketch;
  sketch::Sketcher().Sketch(e.system, e.turn, {}, {}, e.messages, &sketch);
  return sketch;
}

void ExpectSame(const Content& got, const model::Sketch& want) {
  EXPECT_TRUE(got.sketch.present);
  EXPECT_FALSE(want.turn.empty());
  EXPECT_EQ(got.sketch.system, want.system);
  EXPECT_EQ(got.sketch.turn, want.turn);
}

const std::string kMessages = base::StrCat(
    R"([{"role":"system","content":")", kSystem, R"("},{"role":"user","content":"hi"},)",
    R"({"role":"assistant","content":"hello"},{"role":"user","content":")", kTurn, R"("}])");

TEST(Content, EveryDialectGivesTheSketchOfTheLog) {
  const model::Sketch want = OfLog(kMessages);
  ASSERT_FALSE(want.system.empty());
  ContentParser parser;
  Content c;
  const std::vector<std::string> bodies = {
      // OpenAI: chat completions, text as a string and as parts
      base::StrCat(R"({"model":"m-1","messages":)", kMessages, "}"),
      base::StrCat(
          R"({"messages":[{"role":"developer","content":[{"type":"text","text":")", kSystem,
          R"("}]},{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}},)",
          R"({"type":"text","text":")", kTurn, R"("}]}],"model":"m-1"})"),
      // OpenAI: responses
      base::StrCat(R"({"model":"m-1","instructions":")", kSystem, R"(","input":")", kTurn, R"("})"),
      base::StrCat(R"({"model":"m-1","input":[{"type":"message","role":"user","content":)",
                   R"([{"type":"input_text","text":")", kTurn, R"("}]}],"instructions":")", kSystem,
                   R"("})"),
      // Anthropic: the system prompt beside the messages, as a string and as blocks
      base::StrCat(R"({"model":"m-1","system":")", kSystem,
                   R"(","max_tokens":9,"messages":[ {"role":"user","content":")", kTurn,
                   R"("} ]})"),
      base::StrCat(
          R"({"model":"m-1","messages":[{"role":"user","content":[{"type":"text","text":")", kTurn,
          R"("}]}],"system":[{"type":"text","text":")", kSystem, R"("}]})"),
      // Gemini
      base::StrCat(R"({"model":"m-1","contents":[{"role":"user","parts":[{"text":")", kTurn,
                   R"("}]}],"systemInstruction":{"parts":[{"text":")", kSystem, R"("}]}})"),
  };
  for (const std::string& body : bodies) {
    SCOPED_TRACE(body);
    ASSERT_TRUE(parser.Parse(body, false, &c).ok());
    EXPECT_EQ(c.model, "m-1");
    ExpectSame(c, want);
  }
  // OpenAI: completions have no system prompt.
  ASSERT_TRUE(parser.Parse(base::StrCat(R"({"prompt":")", kTurn, R"("})"), false, &c).ok());
  EXPECT_EQ(c.sketch.turn, want.turn);
  EXPECT_TRUE(c.sketch.system.empty());
  EXPECT_EQ(c.model, "");
}

TEST(Content, FindsSignaturesWhereverTheyStand) {
  ContentParser parser;
  Content c;
  ASSERT_TRUE(
      parser
          .Parse(R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[
                    {"type":"thinking","thinking":"hm","signature":"c2lnMQ=="},
                    {"type":"redacted_thinking","data":"cmVk"},
                    {"type":"text","text":"the signature is mine","data":"no"}]},
                    {"role":"assistant","content":"a","thinking_blocks":[{"signature":"c2lnMg=="}]},
                    {"type":"reasoning","encrypted_content":"ZW5j"},{"role":"user","content":"x"}]})",
                 false, &c)
          .ok());
  EXPECT_EQ(c.presented, (std::vector<uint64_t>{base::Hash64("c2lnMQ=="), base::Hash64("cmVk"),
                                                base::Hash64("c2lnMg=="), base::Hash64("ZW5j")}));
  ASSERT_TRUE(
      parser.Parse(R"({"messages":[{"role":"user","content":"no signature"}]})", false, &c).ok());
  EXPECT_TRUE(c.presented.empty());
  // No more than are looked at; what is known before the bound is kept.
  std::string many = R"({"messages":[{"role":"assistant","content":[)";
  for (size_t i = 0; i < 3 * kPresentedMax; ++i) {
    many += base::StrCat(i > 0 ? "," : "", R"({"signature":"s)", i, "\"}");
  }
  ASSERT_TRUE(parser.Parse(many + "]}]}", false, &c).ok());
  ASSERT_EQ(c.presented.size(), kPresentedMax);
  EXPECT_EQ(c.presented.front(), base::Hash64("s0"));
}

TEST(Content, WhatIsNoConversationHasNoSketch) {
  ContentParser parser;
  Content c;
  for (const char* body :
       {R"({"model":"e","input":["a","b"]})", R"({"model":"e","messages":[]})", R"({"model":"e"})",
        R"({"model":"e","messages":null,"system":null})", R"({"model":"e","messages":7})",
        R"({"model":"e","messages":[1,2]})", R"({"model":"e","prompt":[1,2,3]})"}) {
    SCOPED_TRACE(body);
    EXPECT_TRUE(parser.Parse(body, false, &c).ok());
    EXPECT_EQ(c.model, "e");
    EXPECT_FALSE(c.sketch.present);
  }
  // A model that is no string is none, and the last of two counts.
  EXPECT_TRUE(parser.Parse(R"({"model":7})", false, &c).ok());
  EXPECT_EQ(c.model, "");
  EXPECT_TRUE(parser.Parse(R"({"model":"a","model":"b"})", false, &c).ok());
  EXPECT_EQ(c.model, "b");
}

TEST(Content, SaysWhatIsNoJson) {
  ContentParser parser;
  Content c;
  for (const char* body : {"", "x", "[]", "\"s\"", "{", R"({"model":"a")", R"({"model":"a",})",
                           "\xff\xfe", R"({"messages":[{"role":"user","content":")"}) {
    SCOPED_TRACE(body);
    const absl::Status s = parser.Parse(body, false, &c);
    EXPECT_FALSE(s.ok());
    EXPECT_EQ(std::string(s.message().data(), s.message().size()).rfind("body: ", 0), 0u);
    EXPECT_FALSE(c.sketch.present);
    EXPECT_TRUE(c.presented.empty());
  }
  EXPECT_FALSE(parser.Parse(std::string(kContentBytesMax + 1, ' '), false, &c).ok());
  EXPECT_FALSE(parser.Parse(std::string(100'000, '['), false, &c).ok());
  const std::string deep = R"({"messages":[{"role":"user","content":)" + std::string(90'000, '[') +
                           "\"x\"" + std::string(90'000, ']') + "}]}";
  (void)parser.Parse(deep, false, &c);  // ends
  EXPECT_FALSE(c.sketch.present);
}

TEST(Content, OfACutBodyWhatIsThereCounts) {
  const std::string body =
      base::StrCat(R"({"model":"m-1","messages":)", kMessages, R"(,"temperature":1.5})");
  const model::Sketch want = OfLog(kMessages);
  ContentParser parser;
  Content c;
  // Cut within the last message: model and system prompt are whole.
  ASSERT_TRUE(parser.Parse(body.substr(0, body.find("grade your own") + 3), true, &c).ok());
  EXPECT_EQ(c.model, "m-1");
  EXPECT_EQ(c.sketch.system, want.system);
  EXPECT_NE(c.sketch.turn, want.turn);
  EXPECT_FALSE(c.sketch.turn.empty());
  // Cut behind the messages: all of them.
  ASSERT_TRUE(parser.Parse(body.substr(0, body.find("1.5")), true, &c).ok());
  ExpectSame(c, want);
}

TEST(CloseJson, EveryPrefixOfAValidTextBecomesValid) {
  const std::string text =
      "{ \"a\\\"b\" : [1, -2.5e3 ,true,null, \"x\\u00e9\\ud83d\\ude00\\\\\"], \"\xc3\xa9\": "
      "{\"k\":\"\xf0\x9f\x98\x80 \xe4\xb8\xad\", \"n\":12},\"z\":[[],{}, [\"q\"]]} ";
  simdjson::dom::parser parser;
  ASSERT_EQ(parser.parse(text).error(), simdjson::SUCCESS);
  for (size_t n = 0; n <= text.size(); ++n) {
    const std::string closed = CloseJson(std::string_view(text).substr(0, n));
    SCOPED_TRACE(text.substr(0, n) + " -> " + closed);
    if (n == 0) {
      EXPECT_EQ(closed, "");
      continue;
    }
    EXPECT_EQ(parser.parse(closed).error(), simdjson::SUCCESS);
  }
  EXPECT_EQ(CloseJson(R"({"model":"gpt-4o","messages":[{"role":"user","content":"abc)"),
            R"({"model":"gpt-4o","messages":[{"role":"user","content":"abc"}]})");
  EXPECT_EQ(CloseJson(R"({"n":12)"), "{}");
  EXPECT_EQ(CloseJson(R"({"n":12,"m)"), R"({"n":12})");
  EXPECT_EQ(CloseJson("{\"s\":\"a\\"), R"({"s":"a"})");
  EXPECT_EQ(CloseJson("{\"s\":\"a\\ud83d"), R"({"s":"a"})");
  EXPECT_EQ(CloseJson("x{"), "");
  EXPECT_EQ(CloseJson("\"s"), "");
}

}  // namespace
}  // namespace stillwatch::serve
