#include "ingest/formats/format_source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "ingest/jsonl/canonical.h"
#include "ingest/jsonl/jsonl_source.h"
#include "lake/embedded/embedded_lake.h"

namespace stillwatch::ingest {
namespace {

constexpr int64_t kNow = 1'798'761'600'000;  // 2027

std::string Slurp(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

// The engine allows one data path per process: all tests share it.
lake::Lake& TheLake() {
  static lake::Lake* lake = [] {
    const std::string path = testing::TempDir() + "/formats_lake";
    std::filesystem::remove_all(path);
    auto opened = lake::OpenEmbedded({.path = path, .threads = 2});
    if (!opened.ok()) {
      ADD_FAILURE() << opened.status();
      std::abort();
    }
    return opened->release();
  }();
  return *lake;
}

std::string Data(const std::string& name) {
  return std::string(STILLWATCH_SOURCE_DIR "/tests/data/formats/") + name;
}

struct Outcome {
  absl::Status status;
  std::string text;  // exchanges, then rejects, as lines
  int exchanges = 0, rejects = 0;
};

Outcome ReadAll(Source& source) {
  Outcome o;
  std::string rejects;
  Progress progress;
  std::atomic<bool> stop{false};
  o.status = source.Read(2,
                         {.exchange =
                              [&](int, const model::ExchangeView& e) {
                                ++o.exchanges;
                                AppendCanonical(e, nullptr, &o.text);
                                o.text += "\n";
                                return absl::OkStatus();
                              },
                          .reject =
                              [&](model::Reject r) {
                                ++o.rejects;
                                rejects +=
                                    "rejected " + std::to_string(r.line) + ": " + r.reason + "\n";
                                return absl::OkStatus();
                              }},
                         &progress, &stop);
  o.text += rejects;
  return o;
}

Outcome ReadAll(const std::string& format, const std::string& path) {
  auto found = FindFormat(format);
  if (!found.ok()) return {found.status(), "", 0, 0};
  return ReadAll(*MakeFormatSource(&TheLake(), *found, {path}, kNow));
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, SpecimenBecomesCanonicalLines) {
  const std::string specimen = Data(GetParam() + ".jsonl");
  const auto detected = DetectFormat({specimen});
  ASSERT_TRUE(detected.ok()) << detected.status();
  EXPECT_EQ(detected->name, GetParam());
  const Outcome o = ReadAll(GetParam(), specimen);
  ASSERT_TRUE(o.status.ok()) << o.status;
  const std::string golden = STILLWATCH_SOURCE_DIR "/tests/golden/formats/" + GetParam() + ".jsonl";
  if (std::getenv("STILLWATCH_WRITE_GOLDEN") != nullptr) std::ofstream(golden) << o.text;
  EXPECT_EQ(o.text, Slurp(golden));
}

INSTANTIATE_TEST_SUITE_P(Formats, Golden,
                         testing::Values("litellm", "bedrock", "otlp_traces", "otlp_logs",
                                         "openai_batch"));

std::string MakeParquet(const std::string& name, const std::string& select) {
  const std::string path = testing::TempDir() + "/" + name + ".parquet";
  std::filesystem::remove(path);
  const absl::Status s =
      TheLake().Execute(select + " INTO OUTFILE " + lake::SqlString(path) + " FORMAT Parquet");
  EXPECT_TRUE(s.ok()) << s;
  return path;
}

TEST(Parquet, WildChatGivesAnExchangePerAnswer) {
  const std::string path =
      MakeParquet("wildchat",
                  "SELECT 'c1' AS conversation_hash, 'gpt' AS model, toDateTime64('2026-01-01 "
                  "00:00:00', 6, 'UTC') AS timestamp, "
                  "[CAST(('hi', 'user'), 'Tuple(content String, role String)'), CAST(('hello', "
                  "'assistant'), 'Tuple(content String, role String)'), "
                  "CAST(('more', 'user'), 'Tuple(content String, role String)'), CAST(('done', "
                  "'assistant'), 'Tuple(content String, role String)')] AS conversation, "
                  "'ab' AS hashed_ip, CAST(('en', 'UA'), 'Tuple(`accept-language` String, "
                  "`user-agent` String)') AS header");
  const auto detected = DetectFormat({path});
  ASSERT_TRUE(detected.ok()) << detected.status();
  EXPECT_EQ(detected->name, "wildchat");
  const Outcome o = ReadAll("wildchat", path);
  ASSERT_TRUE(o.status.ok()) << o.status;
  EXPECT_EQ(o.exchanges, 2);
  EXPECT_NE(o.text.find("\"c1:4\""), std::string::npos) << o.text;
  EXPECT_NE(o.text.find("\"content\":\"more\""), std::string::npos) << o.text;
  EXPECT_NE(o.text.find("\"response\":\"done\""), std::string::npos) << o.text;
}

// Makes the table as Parquet, expects the format to be recognised and to give one exchange.
void ExpectOne(const std::string& format, const std::string& select,
               const std::vector<std::string>& parts) {
  const std::string path = MakeParquet(format, select);
  const auto detected = DetectFormat({path});
  ASSERT_TRUE(detected.ok()) << detected.status();
  EXPECT_EQ(detected->name, format);
  const Outcome o = ReadAll(format, path);
  ASSERT_TRUE(o.status.ok()) << o.status;
  EXPECT_EQ(o.exchanges, 1) << o.text;
  for (const std::string& part : parts)
    EXPECT_NE(o.text.find(part), std::string::npos) << part << " in " << o.text;
}

TEST(Parquet, Lmsys) {
  ExpectOne("lmsys",
            "SELECT 'l1' AS conversation_id, 'm' AS model, [CAST(('q', 'user'), 'Tuple(content "
            "String, role String)'), "
            "CAST(('a', 'assistant'), 'Tuple(content String, role String)')] AS conversation, [1] "
            "AS openai_moderation",
            {"\"l1:2\"", "\"response\":\"a\"", "\"content\":\"q\""});
}

TEST(Parquet, LangfuseV4AndV3) {
  const std::string rest =
      " AS trace_id, 'p' AS project_id, 'GENERATION' AS type, toDateTime64('2026-01-01 00:00:00', "
      "3, 'UTC') AS start_time, "
      "'m' AS provided_model_name, 'u1' AS user_id, 's1' AS session_id, "
      "'{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}' AS input, "
      "'{\"role\":\"assistant\",\"content\":\"a\"}' AS output, map('input', toUInt64(5), 'output', "
      "toUInt64(2)) AS usage_details";
  const std::vector<std::string> parts = {"\"o1\"",
                                          "\"u1\"",
                                          "\"content\":\"q\"",
                                          "\"response\":\"a\"",
                                          "\"input_tokens\":5",
                                          "\"ts\":\"2026-01-01T00:00:00.000Z\""};
  ExpectOne("langfuse", "SELECT 'o1' AS span_id, 't1'" + rest, parts);
  ExpectOne("langfuse", "SELECT 'o1' AS id, 't1'" + rest, parts);
}

TEST(Parquet, Helicone) {
  ExpectOne(
      "helicone",
      "SELECT toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0') AS request_id, "
      "toDateTime64('2026-01-01 00:00:00', 3, 'UTC') AS request_created_at, "
      "'' AS user_id, toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba1') AS organization_id, 'k1' AS "
      "proxy_key_id, 'm' AS model, "
      "'{\"system\":\"S\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}' AS request_body, "
      "'{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"a\"}}]}' AS "
      "response_body, "
      "toInt64(5) AS prompt_tokens, toInt64(2) AS completion_tokens, toInt64(70) AS latency, "
      "toInt16(200) AS status",
      {"\"account_id\":\"k1\"", "\"content\":\"S\"", "\"response\":\"a\"", "\"latency_ms\":70"});
}

TEST(Format, OfAPersonGivesWhatSimdjsonGives) {
  const std::string log = testing::TempDir() + "/canonical.jsonl",
                    sql = testing::TempDir() + "/mine.sql";
  std::ofstream(log)
      << R"({"exchange_id":"e1","ts":"2026-01-01T00:00:00.123Z","account_id":"a","model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"x"},{"type":"text","text":"y"}]}],"response":"r","input_tokens":5,"temperature":0.5,"stream":true,"status":200,"tools":["t1","t2"]})"
         "\n"
      << R"({"exchange_id":"e2","ts":"2026-01-01T00:00:01.000Z","account_id":"b"})"
         "\n";
  std::ofstream(sql)
      << "SELECT source_row, JSONExtractString(json, 'exchange_id') AS exchange_id, "
         "toUnixTimestamp64Milli(parseDateTime64BestEffort(JSONExtractString(json, 'ts'), 3, "
         "'UTC')) AS ts, "
         "JSONExtractString(json, 'account_id') AS account_id, JSONExtractString(json, 'model') AS "
         "model, "
         "JSONExtractRaw(json, 'messages') AS messages, JSONExtractString(json, 'response') AS "
         "response, "
         "JSONExtract(json, 'input_tokens', 'Nullable(UInt32)') AS input_tokens, JSONExtract(json, "
         "'temperature', 'Nullable(Float64)') AS temperature, "
         "if(JSONHas(json, 'stream'), toUInt8(JSONExtractBool(json, 'stream')), 2) AS stream, "
         "JSONExtractUInt(json, 'status') AS status, JSONExtractRaw(json, 'tools') AS tools FROM "
         "{source}\n";
  {
    std::string text = Slurp(sql);
    std::ofstream(sql) << "-- reads: JSON lines\n" << text;
  }
  const Outcome mine = ReadAll(sql, log);
  ASSERT_TRUE(mine.status.ok()) << mine.status;
  const Outcome simdjson = ReadAll(*MakeJsonlSource({log}, {.now_ms = kNow}));
  ASSERT_TRUE(simdjson.status.ok()) << simdjson.status;
  EXPECT_EQ(mine.exchanges, 2);
  EXPECT_EQ(mine.text, simdjson.text);
}

TEST(Format, ThatDoesNotFitEndsInAClearError) {
  const Outcome o = ReadAll("bedrock", Data("litellm.jsonl"));
  EXPECT_TRUE(absl::IsInvalidArgument(o.status)) << o.status;
  EXPECT_NE(o.status.message().find("bedrock"), absl::string_view::npos) << o.status;
  EXPECT_EQ(o.exchanges, 0);
  EXPECT_FALSE(FindFormat("nonsense").ok());
}

TEST(Format, APipeIsLeftToItsReader) {
  const std::string pipe = testing::TempDir() + "/pipe.jsonl";
  std::filesystem::remove(pipe);
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const auto detected = DetectFormat({pipe});  // would wait for a writer if it looked inside
  ASSERT_TRUE(detected.ok()) << detected.status();
  EXPECT_EQ(detected->name, "canonical");
  EXPECT_TRUE(absl::IsInvalidArgument(ReadAll("litellm", pipe).status));
}

TEST(Format, NothingRecognisedSaysWhatWasSeen) {
  const std::string log = testing::TempDir() + "/strange.jsonl";
  std::ofstream(log) << "{\"foo\":1,\"bar\":2}\n";
  const auto detected = DetectFormat({log});
  ASSERT_FALSE(detected.ok());
  EXPECT_NE(detected.status().message().find("foo, bar"), absl::string_view::npos)
      << detected.status();
}

}  // namespace
}  // namespace stillwatch::ingest
