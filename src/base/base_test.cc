#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/json.h"
#include "base/parallel.h"
#include "base/time.h"
#include "base/write_file.h"

namespace stillwatch::base {
namespace {

TEST(Time, ReadsOffsetsAndFractions) {
  EXPECT_EQ(ParseRfc3339("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(ParseRfc3339("2026-04-22T00:01:43.688Z"), 1776816103688);
  EXPECT_EQ(ParseRfc3339("2026-04-22T02:01:43.688999+02:00"), 1776816103688);
  EXPECT_EQ(ParseRfc3339("1969-12-31T23:59:59.999Z"), -1);
  EXPECT_EQ(FormatRfc3339(1776816103688), "2026-04-22T00:01:43.688Z");
  EXPECT_EQ(FormatRfc3339(-1), "1969-12-31T23:59:59.999Z");
}

TEST(Time, RefusesWhatIsNotATime) {
  for (const char* text : {"", "2026-04-22", "2026-04-22T00:01:43", "2026-02-30T00:00:00Z",
                           "2026-04-22T24:00:00Z", "2026-04-22T00:01:43.Z", "yesterday",
                           "2026-04-22T00:01:43Zx", "2026-04-22T00:01:43+0200"}) {
    EXPECT_FALSE(ParseRfc3339(text).has_value()) << text;
  }
}

TEST(Json, EscapesMarkupAndRepairsUtf8) {
  std::string out;
  AppendJsonString("a\"<b>\n\xff\xe4\xbd\xa0", &out);
  EXPECT_EQ(out, "\"a\\\"\\u003cb\\u003e\\n\\ufffd\xe4\xbd\xa0\"");
}

TEST(Json, WritesNestedValues) {
  std::string out;
  JsonWriter w(&out);
  w.BeginObject();
  w.Key("a");
  w.BeginArray();
  w.Int(1);
  w.Double(0.1);
  w.EndArray();
  w.Key("b");
  w.BeginObject();
  w.EndObject();
  w.EndObject();
  EXPECT_EQ(out, R"({"a":[1,0.1],"b":{}})");
}

TEST(Parallel, CoversEachIndexOnce) {
  std::vector<std::atomic<int>> seen(10'001);
  Parallel(4).For(seen.size(), 7, [&](size_t b, size_t e, int) {
    for (size_t i = b; i < e; ++i) ++seen[i];
  });
  for (const auto& s : seen) EXPECT_EQ(s, 1);
}

TEST(WriteFile, IsWholeOrNotThere) {
  const std::string dir = testing::TempDir() + "/write_file";
  std::filesystem::create_directories(dir);
  const std::string path = dir + "/it";
  for (const std::string& bytes : {std::string("one"), std::string(1 << 20, 'x'), std::string()}) {
    ASSERT_EQ(WriteFileDurably(path, bytes), 0);
    std::ifstream in(path, std::ios::binary);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), bytes);
    struct stat st;
    ASSERT_EQ(stat(path.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600u);
  }
  // What stands in the place cannot be replaced: nothing half written is left beside it.
  std::filesystem::create_directories(dir + "/taken/inside");
  EXPECT_EQ(WriteFileDurably(dir + "/taken", "x"), EISDIR);
  EXPECT_FALSE(std::filesystem::exists(dir + "/taken.partial"));
  EXPECT_EQ(WriteFileDurably(dir + "/nowhere/it", "x"), ENOENT);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace stillwatch::base
