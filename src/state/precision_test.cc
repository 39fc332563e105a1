#include "state/precision.h"

#include <gtest/gtest.h>

namespace stillwatch::state {
namespace {

Disposition Said(const char* id, const char* value, double probability,
                 std::vector<std::string> families, const char* verdict = "distillation") {
  Disposition d;
  d.campaign_id = id, d.value = value, d.probability = probability, d.verdict = verdict;
  d.families = std::move(families);
  if (d.value == "dismissed") d.look_alike = "school";
  return d;
}

TEST(Precision, CountsByFamilyAndByWhatWasStated) {
  const Precision p = PrecisionOf(
      {Said("a", "confirmed", .995, {"rhythm", "payment"}),
       Said("b", "dismissed", .995, {"rhythm"}), Said("c", "unsure", .6, {"payment"}),
       Said("d", "dismissed", .9, {"text"}, "unresolved"), Said("e", "confirmed", -1, {"text"})});
  EXPECT_EQ(p.all.confirmed, 2u);
  EXPECT_EQ(p.all.dismissed, 2u);
  EXPECT_EQ(p.accused.decided(), 3u);
  EXPECT_EQ(p.families.at("rhythm").confirmed, 1u);
  EXPECT_EQ(p.families.at("rhythm").dismissed, 1u);
  EXPECT_EQ(p.families.at("payment").decided(), 1u);
  EXPECT_EQ(p.look_alikes.at("school"), 2u);
  EXPECT_EQ(p.stated.back().decided(), 2u);
  EXPECT_DOUBLE_EQ(p.stated.back().stated, 1.99);
  EXPECT_EQ(p.stated.front().decided(), 0u);  // what was stated of "e" is not known
  const ShareRight right = RightOf(p.families.at("rhythm"));
  EXPECT_DOUBLE_EQ(right.precision, .5);
  EXPECT_NEAR(right.low, .0945, 1e-4);  // Wilson's, of 1 in 2
  EXPECT_NEAR(right.high, .9055, 1e-4);
  EXPECT_NE(PrecisionJson(p).find(R"({"family":"payment","confirmed":1,"dismissed":0,"unsure":1,)"
                                  R"("precision":1)"),
            std::string::npos)
      << PrecisionJson(p);
  EXPECT_NE(PrecisionJson({}).find(R"("precision":null)"), std::string::npos);
}

TEST(Precision, ReadsWhatTheApiGives) {
  const auto row = [](const char* id, const char* value, const char* probability) {
    return std::string(R"({"campaign_id":")") + id + R"(","value":")" + value +
           R"(","look_alike":"","verdict":"distillation","families":["text"],"probability":)" +
           probability + "}";
  };
  const auto read = [](const std::string& rows) {
    return ReadDispositions("{\"total\":1,\"rows\":[" + rows + "]}");
  };
  const auto two = read(row("a", "confirmed", "0.5") + "," + row("b", "unsure", "null"));
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_EQ((*two)[0].families, std::vector<std::string>{"text"});
  EXPECT_EQ((*two)[1].probability, -1);
  for (const std::string& bad :
       {row("a", "confirmed", "2"), row("a", "confirmed", "\"x\""), row("a", "maybe", "1"),
        row("a", "unsure", "1") + "," + row("a", "unsure", "1"),
        std::string(R"({"value":"unsure"})"), std::string("7")}) {
    const auto s = read(bad).status();
    EXPECT_TRUE(absl::IsInvalidArgument(s)) << bad;
    EXPECT_NE(std::string(s.message()).find("rows["), std::string::npos) << s;
  }
  for (const char* bad : {"", "[]", "{}", "{\"rows\":7}"})
    EXPECT_TRUE(absl::IsInvalidArgument(ReadDispositions(bad).status())) << bad;
}

}  // namespace
}  // namespace stillwatch::state
