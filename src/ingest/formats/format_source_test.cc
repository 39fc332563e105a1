#include <gtest/gtest.h>
#include <simdjson.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <sstream>

#include "ingest/formats/log.h"
#include "ingest/formats/rows.h"
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
  std::mutex lock;
  Progress progress;
  std::atomic<bool> stop{false};
  o.status = source.Read(2,
                         {.exchange =
                              [&](int, const model::ExchangeView& e) {
                                const std::lock_guard<std::mutex> hold(lock);
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

Outcome ReadLogs(const std::string& format, const std::vector<std::string>& logs,
                 int64_t since_ms = INT64_MIN) {
  auto log = Log::Plan(logs, format);
  if (!log.ok()) return {log.status(), "", 0, 0};
  auto source = log->Open(&TheLake(), {.now_ms = kNow, .since_ms = since_ms});
  if (!source.ok()) return {source.status(), "", 0, 0};
  return ReadAll(**source);
}
Outcome ReadAll(const std::string& format, const std::string& path) {
  return ReadLogs(format, {path});
}

// What `--format auto` takes a file for; empty: canonical.
std::string Recognised(const std::string& path) {
  auto log = Log::Plan({path}, "auto");
  if (!log.ok()) return std::string(log.status().message());
  if (log->recognised().empty()) return "";
  const std::string& why = log->recognised()[0];
  const std::string begin = path + ": recognised as ";
  EXPECT_EQ(why.rfind(begin, 0), 0u) << why;
  return why.substr(begin.size(), why.find(':', begin.size()) - begin.size());
}

// Workers and what is left to the SELECT come as they come.
std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  return lines;
}
std::string Sorted(const std::string& text) {
  std::string out;
  for (const std::string& line : Lines(text)) out += line + "\n";
  return out;
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, SpecimenBecomesCanonicalLines) {
  const std::string specimen = Data(GetParam() + ".jsonl");
  EXPECT_EQ(Recognised(specimen), GetParam());
  const Outcome o = ReadAll(GetParam(), specimen);
  ASSERT_TRUE(o.status.ok()) << o.status;
  const std::string golden = STILLWATCH_SOURCE_DIR "/tests/golden/formats/" + GetParam() + ".jsonl";
  if (std::getenv("STILLWATCH_WRITE_GOLDEN") != nullptr) std::ofstream(golden) << o.text;
  EXPECT_EQ(Sorted(o.text), Sorted(Slurp(golden)));
}

// Records with one value in another one's place.
void Replaced(simdjson::dom::element e, int* left, const std::string& with, std::string* out) {
  if ((*left)-- == 0) {
    *out += with;
  } else if (e.is_object()) {
    *out += '{';
    bool first = true;
    for (const auto field : simdjson::dom::object(e)) {
      std::string value;
      const bool here = *left == 0;
      Replaced(field.value, left, with, &value);
      if (here && with == "(gone)") continue;
      if (!first) *out += ',';
      first = false;
      const std::string member = "\"" + std::string(field.key) + "\":" + value;
      *out += here && with == "(twice)"
                  ? "\"" + std::string(field.key) + "\":\"other\",\"" + std::string(field.key) +
                        "\":" + std::string(simdjson::minify(field.value))
                  : member;
    }
    *out += '}';
  } else if (e.is_array()) {
    *out += '[';
    bool first = true;
    for (simdjson::dom::element v : simdjson::dom::array(e)) {
      if (!first) *out += ',';
      first = false;
      Replaced(v, left, with, out);
    }
    *out += ']';
  } else {
    *out += simdjson::minify(e);
  }
}

// What the built-in decoders give is what the SELECTs give, whatever stands in a record.
TEST_P(Golden, EveryValueInAnyPlaceIsReadAsBySelect) {
  const std::string path = testing::TempDir() + "/replaced.jsonl";
  std::ofstream out(path);
  std::istringstream in(Slurp(Data(GetParam() + ".jsonl")));
  simdjson::dom::parser parser;
  int lines = 0;
  for (std::string line; std::getline(in, line);) {
    simdjson::dom::element e;
    if (parser.parse(line).get(e) != simdjson::SUCCESS || !e.is_object()) continue;
    for (const char* with :
         {"null", R"("")", R"("other")", R"("12")", "7", "-1", "1.0", "0.25", "5000000000", "true",
          "[]", "{}", R"([{"role":"user","content":3}])", R"({"stringValue":"s"})",
          R"({"intValue":"3"})", "(gone)", "(twice)"}) {
      for (int at = 1;; ++at) {
        int left = at;
        std::string text;
        Replaced(e, &left, with, &text);
        if (left >= 0) break;                                         // past the last
        if (text.find('(') != text.npos && with[0] == '(') continue;  // in a list
        out << text << "\n";
        ++lines;
      }
    }
  }
  out.close();
  ASSERT_GT(lines, 500);
  const Outcome got = ReadAll(GetParam(), path),
                want = ReadAll(STILLWATCH_SOURCE_DIR "/src/ingest/formats/" + GetParam() + ".sql",
                               path);
  ASSERT_TRUE(got.status.ok()) << got.status;
  ASSERT_TRUE(want.status.ok()) << want.status;
  EXPECT_GT(want.exchanges, lines / 10);
  // Where the first part of an exchange was met is a matter of workers.
  const auto unplaced = [](std::string text) {
    for (size_t at = 0; (at = text.find("\nrejected ", at)) != text.npos; ++at)
      text.erase(at + 9, text.find(':', at) - at - 9);
    return Lines(text);
  };
  const std::vector<std::string> g = unplaced(got.text), w = unplaced(want.text);
  std::vector<std::string> here, there;
  std::set_difference(g.begin(), g.end(), w.begin(), w.end(), std::back_inserter(here));
  std::set_difference(w.begin(), w.end(), g.begin(), g.end(), std::back_inserter(there));
  EXPECT_EQ(here.size() + there.size(), 0u)
      << "of the decoder alone:\n"
      << (here.empty() ? "" : here[0]) << "\nof the SELECT alone:\n"
      << (there.empty() ? "" : there[0]);
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
  EXPECT_EQ(Recognised(path), "wildchat");
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
  EXPECT_EQ(Recognised(path), format);
  const Outcome o = ReadAll(format, path);
  ASSERT_TRUE(o.status.ok()) << o.status;
  EXPECT_EQ(o.exchanges, 1) << o.text;
  for (const std::string& part : parts)
    EXPECT_NE(o.text.find(part), std::string::npos) << part << " in " << o.text;
}

TEST(Parquet, LmsysHasNoTimeAndTakesTheOneThatIsGiven) {
  const std::string path = MakeParquet("lmsys",
                                       "SELECT 'l1' AS conversation_id, 'm' AS model, [CAST(('q', "
                                       "'user'), 'Tuple(content String, role String)'), "
                                       "CAST(('a', 'assistant'), 'Tuple(content String, role "
                                       "String)')] AS conversation, [1] AS openai_moderation");
  EXPECT_EQ(Recognised(path), "lmsys");
  const Outcome refused = ReadLogs("auto", {path});
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status)) << refused.status;
  EXPECT_NE(refused.status.message().find("--since"), absl::string_view::npos) << refused.status;
  EXPECT_EQ(refused.exchanges, 0);
  const Outcome o = ReadLogs("auto", {path}, 1'767'225'600'000);
  ASSERT_TRUE(o.status.ok()) << o.status;
  EXPECT_EQ(o.text,
            "{\"exchange_id\":\"l1:2\",\"ts\":\"2026-01-01T00:00:00.000Z\",\"account_id\":\"l1\","
            "\"session_id\":\"l1\",\"channel\":\"web\","
            "\"model\":\"m\",\"operation\":\"chat\",\"messages\":[{\"role\":\"user\",\"content\":"
            "\"q\"}],\"response\":\"a\"}\n");
}

TEST(Parquet, LangfuseV4AndV3) {
  const std::string rest =
      " AS trace_id, 'p' AS project_id, 'GENERATION' AS type, toDateTime64('2026-01-01 00:00:00', "
      "3, 'UTC') AS start_time, "
      "'m' AS provided_model_name, 'u1' AS user_id, 's1' AS session_id, "
      "'{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}' AS input, "
      "'{\"role\":\"assistant\",\"content\":\"a\"}' AS output, map('input', toUInt64(5), "
      "'input_cached_tokens', toUInt64(7), 'output', toUInt64(2), 'output_reasoning_tokens', "
      "toUInt64(3), 'total', toUInt64(17)) AS usage_details";
  const std::vector<std::string> parts = {"\"o1\"",
                                          "\"u1\"",
                                          "\"content\":\"q\"",
                                          "\"response\":\"a\"",
                                          "\"input_tokens\":12,\"output_tokens\":5,"
                                          "\"reasoning_tokens\":3,\"cached_tokens\":7",
                                          "\"ts\":\"2026-01-01T00:00:00.000Z\""};
  ExpectOne("langfuse", "SELECT 'o1' AS span_id, 't1'" + rest, parts);
  ExpectOne("langfuse", "SELECT 'o1' AS id, 't1'" + rest, parts);
}

// Anthropic leaves cached tokens out of its count, OpenAI includes them: 5 + 3 + 2 and 10 are the
// same.
TEST(Parquet, HeliconeCountsCachedTokensAlike) {
  const auto row = [](const std::string& usage, const std::string& columns) {
    return "SELECT toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0') AS request_id, "
           "toDateTime64('2026-01-01 00:00:00', 3, 'UTC') AS request_created_at, '' AS user_id, "
           "toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba1') AS organization_id, "
           "'k1' AS proxy_key_id, 'm' AS model, "
           "'{\"system\":\"S\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}' AS "
           "request_body, "
           "'{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"a\"}}]" +
           usage + "}' AS response_body, " + columns +
           "toInt64(5) AS prompt_tokens, toInt64(2) AS completion_tokens, toInt64(70) AS latency, "
           "toInt16(200) AS status";
  };
  const std::vector<std::string> parts = {"\"account_id\":\"k1\"", "\"content\":\"S\"",
                                          "\"response\":\"a\"", "\"latency_ms\":70",
                                          "\"output_tokens\":2"};
  const auto expect = [&](const std::string& usage, const std::string& columns,
                          const std::string& in, const std::string& cached) {
    std::vector<std::string> all = parts;
    all.push_back("\"input_tokens\":" + in + ",");
    if (!cached.empty()) all.push_back("\"cached_tokens\":" + cached + ",");
    ExpectOne("helicone", row(usage, columns), all);
  };
  expect("", "", "5", "");
  expect("", "toInt64(3) AS prompt_cache_read_tokens, toInt64(2) AS prompt_cache_write_tokens, ",
         "10", "3");
  expect(R"(,"usage":{"prompt_tokens":10,"prompt_tokens_details":{"cached_tokens":3}})", "", "10",
         "3");
  expect(
      R"(,"usage":{"input_tokens":5,"cache_read_input_tokens":3,"cache_creation_input_tokens":2})",
      "", "10", "3");
  expect(R"(,"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":3}})", "", "10",
         "3");
}

// The canonical reader is the oracle. Tables written by another program: tests/e2e/formats_test.py.
TEST(Canonical, ParquetGivesWhatLinesGive) {
  const std::string lines = testing::TempDir() + "/same.jsonl";
  std::ofstream(lines)
      << R"({"exchange_id":"e1","ts":"2026-01-01T00:00:00.123Z","account_id":"a","org_id":"o","messages":[{"role":"system","content":"s, \"t\""},)"
         R"({"role":"user","content":"x\ny"}],"response":"r\n1","status":429,"input_tokens":5,"cached_tokens":0,"temperature":0.7,"tools":["t1","t,2"],)"
         R"("stream":true,"latency_ms":70,"reasoning_signatures_issued":["i"],"reasoning_signatures_presented":["p","q"]})"
         "\n";
  const Outcome want = ReadAll(*MakeJsonlSource({lines}, {.now_ms = kNow}));
  ASSERT_EQ(want.exchanges, 1) << want.text;
  const std::string rest =
      ", 'a' AS account_id, CAST('o', 'LowCardinality(Nullable(String))') AS org_id, CAST(NULL, "
      "'Nullable(String)') AS session_id, 'r\\n1' AS response, "
      "toInt64(429) AS status, toInt64(5) AS input_tokens, 0 AS cached_tokens, 0.7 AS temperature, "
      "true AS stream, 70.0 AS latency_ms, "
      "['i'] AS reasoning_signatures_issued, '[\"p\",\"q\"]' AS reasoning_signatures_presented";
  const std::string nested =
      "SELECT 'e1' AS exchange_id, toDateTime64('2026-01-01 00:00:00.123', 6, 'UTC') AS ts, "
      "[CAST(('system', 's, \"t\"'), "
      "'Tuple(role String, content String)'), CAST(('user', 'x\\ny'), 'Tuple(role String, content "
      "String)')] AS messages, ['t1', 't,2'] AS tools" +
      rest;
  const std::string flat =
      "SELECT 'e1' AS exchange_id, '2026-01-01T01:00:00.123+01:00' AS ts, "
      "'[{\"role\":\"system\",\"content\":\"s, \\\\\"t\\\\\"\"},"
      "{\"role\":\"user\",\"content\":\"x\\\\ny\"}]' AS messages, '[\"t1\",\"t,2\"]' AS tools" +
      rest;
  for (const std::string& select : {nested, flat}) {
    const std::string path = MakeParquet("canonical", select);
    EXPECT_EQ(Recognised(path), "canonical");
    for (const char* format : {"auto", "canonical"}) {
      const Outcome o = ReadLogs(format, {path});
      ASSERT_TRUE(o.status.ok()) << o.status;
      EXPECT_EQ(o.text, want.text) << format;
    }
  }
}

TEST(Canonical, TablesRefuseWhatLinesRefuse) {
  const std::string path = testing::TempDir() + "/bad.csv";
  std::ofstream(path) << "exchange_id,ts,account_id,input_tokens,stream,response,temperature\n"
                         "e1,2026-01-01T00:00:00Z,a,5,true,ok,\n"
                         "e2,2026-01-01 00:00:00,a,5,true,no zone,\n"
                         "e3,2026-01-01T00:00:00Z,a,five,true,no number,\n"
                         "e4,2026-01-01T00:00:00Z,a,5,perhaps,no boolean,\n"
                         "e5,2026-01-01T00:00:00Z,,5,true,no account,\n"
                         "e6,2026-01-01T00:00:00Z\n"
                         "e7,2026-01-01T00:00:00Z,a,5,true,\xff,\n"
                         "e8,2026-01-01T00:00:00Z,a,-1,true,negative,\n"
                         "e9,1969-01-01T00:00:00Z,a,1,true,old,0.5\n";
  const Outcome o = ReadLogs("auto", {path});
  ASSERT_TRUE(o.status.ok()) << o.status;
  EXPECT_EQ(o.exchanges, 1) << o.text;
  for (const char* part :
       {"rejected 2: ts: neither", "rejected 3: input_tokens: expected an integer",
        "rejected 4: stream: expected true", "rejected 5: account_id: missing",
        "rejected 6: account_id: missing", "rejected 7: response: not valid UTF-8",
        "rejected 8: input_tokens", "rejected 9: ts: before 1970"}) {
    EXPECT_NE(o.text.find(part), std::string::npos) << part << " in " << o.text;
  }
  const std::string numbers =
      MakeParquet("numbers", "SELECT 'e1' AS exchange_id, 1767225600 AS ts, 'a' AS account_id");
  const absl::Status refused = ReadLogs("auto", {numbers}).status;
  EXPECT_NE(refused.message().find("ts: a number; expected a timestamp"), absl::string_view::npos)
      << refused;
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

// More exchanges than may wait at a time, over several batches; each part is a line of its own.
TEST(Format, PartsOfAnExchangeFindEachOther) {
  const std::string log = testing::TempDir() + "/parts.jsonl";
  constexpr int kExchanges = static_cast<int>(RowJoiner::kOpenMax) + 4000, kApart = 300;
  {
    std::ofstream out(log);
    const auto event = [&](int n, const char* name, const std::string& body) {
      out << R"({"resourceLogs":[{"resource":{"attributes":[{"key":"user.id","value":{"stringValue":"u"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":")"
          << 1'767'225'600'000'000'000 + n << R"(","eventName":")" << name
          << R"(","traceId":"t","spanId":")" << n << R"(","body":{"kvlistValue":{"values":[)"
          << body << "]}}}]}]}]}\n";
    };
    const auto said = [](int n, const char* what) {
      return R"({"key":"content","value":{"stringValue":")" + std::string(what) +
             std::to_string(n) + std::string(150, 'x') + "\"}}";
    };
    for (int n = 0; n < kExchanges + kApart; ++n) {
      if (n < kExchanges) event(n, "gen_ai.user.message", said(n, "q"));
      if (n >= kApart) {
        event(n - kApart, "gen_ai.choice",
              R"({"key":"message","value":{"kvlistValue":{"values":[)" + said(n - kApart, "a") +
                  "]}}}");
      }
    }
  }
  const Outcome o = ReadAll("otlp_logs", log);
  std::remove(log.c_str());
  ASSERT_TRUE(o.status.ok()) << o.status;
  EXPECT_EQ(o.exchanges, kExchanges);
  EXPECT_EQ(o.rejects, 0);
  std::istringstream lines(o.text);
  int whole = 0;
  for (std::string line; std::getline(lines, line);) {
    const size_t id = line.find("t-") + 2;
    const std::string n = line.substr(id, line.find('"', id) - id);
    whole += line.find("\"q" + n + "x") != line.npos &&
             line.find("\"response\":\"a" + n + "x") != line.npos;
  }
  EXPECT_EQ(whole, kExchanges);
}

TEST(Format, NothingRecognisedSaysWhatWasSeen) {
  const std::string log = testing::TempDir() + "/strange.jsonl";
  std::ofstream(log) << "{\"foo\":1,\"bar\":{\"baz\":2}}\n";
  EXPECT_NE(Recognised(log).find("foo, bar;"), std::string::npos) << Recognised(log);
}

}  // namespace
}  // namespace stillwatch::ingest
