#include "ingest/formats/records.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>

namespace stillwatch::ingest {
namespace {

// Every record of a file by where it begins, in the order of the file.
std::map<uint64_t, std::string> Records(const std::string& bytes, const std::string& name = "log") {
  const std::string path = testing::TempDir() + "/records_" + name;
  std::ofstream(path, std::ios::binary) << bytes;
  RecordReader reader(
      {path}, nullptr, [](std::string) {},
      [](model::Reject r) { return absl::InternalError(r.reason); });
  std::map<uint64_t, std::string> out;
  std::map<uint64_t, uint64_t> lines;
  RecordBatch batch;
  for (;;) {
    auto more = reader.Next(&batch);
    EXPECT_TRUE(more.ok()) << more.status();
    if (!more.ok() || !*more) break;
    for (const RawRecord& r : batch.records) {
      EXPECT_TRUE(out.emplace(r.offset, batch.Text(r)).second);
      lines[r.offset] = r.line;
      EXPECT_EQ(bytes.substr(r.offset, r.size), batch.Text(r));
    }
  }
  std::remove(path.c_str());
  uint64_t at = 0, line = 1;
  for (const auto& [offset, said] : lines) {
    line += CountByte(std::string_view(bytes).substr(at, offset - at), '\n');
    at = offset;
    EXPECT_EQ(said, line) << offset;
  }
  return out;
}

std::vector<std::string> Texts(const std::string& bytes) {
  std::vector<std::string> out;
  for (auto& [offset, text] : Records(bytes)) out.push_back(text);
  return out;
}

using List = std::vector<std::string>;

TEST(Records, AreLinesOrElementsOfArrays) {
  EXPECT_EQ(Texts("{\"a\":1}\n\n  {\"a\":2}\r\n{\"a\":3}"),
            (List{"{\"a\":1}", "{\"a\":2}", "{\"a\":3}"}));
  EXPECT_EQ(Texts("[{\"a\":1},{\"a\":[2]}]\n[{\"a\":3}]\n"),
            (List{"{\"a\":1}", "{\"a\":[2]}", "{\"a\":3}"}));
  EXPECT_EQ(Texts("[\n{\"a\":1},\n{\"a\":\n2}\n]\n"), (List{"{\"a\":1}", "{\"a\":\n2}"}));
  EXPECT_EQ(Texts("{\n  \"a\": \"}\\\"{\"\n}\n{\n  \"a\": 2\n}\n"),
            (List{"{\n  \"a\": \"}\\\"{\"\n}", "{\n  \"a\": 2\n}"}));
  EXPECT_EQ(Texts("[]\n"), (List{}));
  EXPECT_EQ(Texts("\xEF\xBB\xBF{\"a\":1}\n").size(), 1u);
}

TEST(Records, WhatIsNoObjectIsARecordToRefuse) {
  EXPECT_EQ(Texts("[\n1,\n{\"a\":1},\n\"x,y\",\nnull\n]\n"),
            (List{"1", "{\"a\":1}", "\"x,y\"", "null"}));
}

TEST(Records, ACutDocumentEndsInARecordCutShort) {
  EXPECT_EQ(Texts("[\n  {\"a\":1},\n  {\"a\":"), (List{"{\"a\":1}", "{\"a\":"}));
}

TEST(Records, ElementsAreFoundAcrossChunksAndOnOneLongLine) {
  for (const char* separator : {",", ",\n"}) {
    std::string bytes = separator[1] == '\0' ? "[" : "[\n";
    List want;
    while (bytes.size() < 3 * kBatchBytes) {
      want.push_back("{\"n\":" + std::to_string(want.size()) + ",\"t\":\"" +
                     std::string(want.size() % 7001, 'x') + "\"}");
      bytes += want.back() + separator;
    }
    bytes += "{}]";
    want.push_back("{}");
    EXPECT_EQ(Texts(bytes), want);
  }
}

TEST(Records, SwallowedNeighboursAreFoundByTheirIndentation) {
  const std::string bytes =
      "[\n  {\"a\": {\"b\": 1},\n  {\"a\": 2},\n  {\n    \"a\": {\"x\": 3}\n  }\n]\n";
  RecordBatch batch;
  DocumentSplitter splitter;
  splitter.Feed(bytes, &batch);
  splitter.Finish(&batch);
  ASSERT_EQ(batch.records.size(), 1u);  // the first one's bracket is missing
  const auto pieces = SplitByIndent(batch.bytes, batch.records[0]);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(batch.Text(pieces[0]), "{\"a\": {\"b\": 1}");
  EXPECT_EQ(batch.Text(pieces[1]), "{\"a\": 2}");
  EXPECT_EQ(batch.Text(pieces[2]), "{\n    \"a\": {\"x\": 3}\n  }");
  EXPECT_EQ(pieces[2].line, 4u);
  EXPECT_EQ(bytes.substr(pieces[1].offset, pieces[1].size), "{\"a\": 2}");
}

TEST(Records, AnElementThatNeverEndsIsGivenUpAtTheLimit) {
  std::string bytes = "[\n  {\"a\": [\n";
  while (bytes.size() < kRecordBytesMax + (1u << 20))
    bytes += "    [0000000000000000000000000000000000000000000000],\n";
  bytes += "  {\"a\": 2}\n]\n";
  const auto got = Texts(bytes);
  ASSERT_GE(got.size(), 2u);
  EXPECT_EQ(got.back().substr(0, 8), "{\"a\": 2}");
}

}  // namespace
}  // namespace stillwatch::ingest
