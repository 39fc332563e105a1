#include "ingest/jsonl/jsonl_source.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <isa-l/igzip_lib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "base/str.h"
#include "base/time.h"
#include "ingest/content_hash.h"
#include "ingest/jsonl/lines.h"
#include "sketch/sketcher.h"

namespace stillwatch::ingest {
namespace {

using base::StrCat;

using Names = std::vector<std::string>;
using Numbers = std::vector<uint32_t>;

std::string Message(const absl::Status& s) { return std::string(s.message().data(), s.message().size()); }

bool Has(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

const int64_t kNow = *base::ParseRfc3339("2026-04-22T00:00:00Z");

std::string Write(const std::string& name, std::string_view bytes) {
  const std::string path = testing::TempDir() + StrCat("jsonl_", getpid(), "_", name);
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

std::string Gzip(std::string_view bytes) {
  std::string out(bytes.size() + bytes.size() / 8 + 4096, 0), level(ISAL_DEF_LVL1_DEFAULT, 0);
  isal_zstream z;
  isal_deflate_init(&z);
  z.gzip_flag = IGZIP_GZIP;
  z.level = 1;
  z.level_buf = reinterpret_cast<uint8_t*>(level.data());
  z.level_buf_size = static_cast<uint32_t>(level.size());
  z.end_of_stream = 1;
  z.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uint32_t>(bytes.size());
  z.next_out = reinterpret_cast<uint8_t*>(out.data());
  z.avail_out = static_cast<uint32_t>(out.size());
  EXPECT_EQ(isal_deflate(&z), COMP_OK);
  out.resize(z.total_out);
  return out;
}

std::string Zstd(std::string_view bytes, bool checksum = false) {
  std::string out(ZSTD_compressBound(bytes.size()), 0);
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 1);
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, checksum);
  out.resize(ZSTD_compress2(context, out.data(), out.size(), bytes.data(), bytes.size()));
  ZSTD_freeCCtx(context);
  return out;
}

struct Found {
  absl::Status status;
  std::vector<std::string> ids;        // sorted
  std::vector<uint32_t> contents;      // sorted
  std::vector<model::Reject> rejects;  // by source and offset
  std::vector<std::string> notes;
  uint64_t bytes_done = 0, records = 0;
};

Found Read(std::vector<std::string> paths, int threads = 1,
           const std::function<void(const model::ExchangeView&)>& look = {}) {
  Found found;
  std::mutex mutex;
  JsonlOptions options;
  options.now_ms = kNow;
  options.note = [&](std::string text) { found.notes.push_back(std::move(text)); };
  Sink sink;
  sink.exchange = [&](int worker, const model::ExchangeView& e) {
    EXPECT_GE(worker, 0);
    EXPECT_LT(worker, threads);
    const std::lock_guard<std::mutex> lock(mutex);
    if (look) look(e);
    found.ids.emplace_back(e.exchange_id);
    found.contents.push_back(ContentHash(e));
    return absl::OkStatus();
  };
  sink.reject = [&](model::Reject r) {
    found.rejects.push_back(std::move(r));
    return absl::OkStatus();
  };
  Progress progress;
  found.status = MakeJsonlSource(std::move(paths), options)->Read(threads, sink, &progress, nullptr);
  found.bytes_done = progress.bytes_done;
  found.records = progress.records;
  std::sort(found.ids.begin(), found.ids.end());
  std::sort(found.contents.begin(), found.contents.end());
  std::sort(found.rejects.begin(), found.rejects.end(), [](const auto& a, const auto& b) {
    return std::tie(a.source, a.offset) < std::tie(b.source, b.offset);
  });
  return found;
}

Found ReadText(std::string_view text, const std::function<void(const model::ExchangeView&)>& look = {}) {
  return Read({Write("text", text)}, 1, look);
}

// A record with `more` between the required fields and the brace.
std::string Record(std::string_view id, std::string_view more = "") {
  return StrCat(R"({"exchange_id":")", id, R"(","ts":"2026-04-01T00:00:00.000Z","account_id":"a")", more, "}\n");
}

// What is said about `line`; the good lines around it must survive.
std::string Reason(std::string_view line) {
  const std::string before = Record("before"), after = Record("zafter");
  const Found f = ReadText(StrCat(before, line, "\n", after));
  EXPECT_TRUE(f.status.ok()) << f.status;
  EXPECT_EQ(f.ids, (Names{"before", "zafter"}));
  if (f.rejects.size() != 1) return StrCat(f.rejects.size(), " rejects");
  EXPECT_EQ(f.rejects[0].line, 2u);
  EXPECT_EQ(f.rejects[0].offset, before.size());
  EXPECT_EQ(f.rejects[0].record, line.substr(0, 1024));
  return f.rejects[0].reason;
}

std::string With(std::string_view more) {
  std::string r = Record("x", more);
  r.pop_back();
  return r;
}

std::string At(std::string_view ts) {
  return StrCat(R"({"exchange_id":"x","ts":")", ts, R"(","account_id":"a"})");
}

TEST(JsonlRecord, EveryField) {
  const Found f = ReadText(
      R"({"exchange_id":"x1","ts":"2026-04-01T02:00:00.250+02:00","account_id":"a1","org_id":"o","api_key_id":"k",)"
      R"("session_id":"s","channel":"cloud:x","model":"m","operation":"chat","input_tokens":10,"output_tokens":20,)"
      R"("reasoning_tokens":3,"cached_tokens":4,"temperature":0.5,"top_p":1,"max_tokens":4096,"status":200,)"
      R"("stream":true,"client_ip":"192.0.2.1","user_agent":"u/1","ja4":"j","latency_ms":7,"tools":["bash",)"
      R"({"name":"edit"},{"type":"function","function":{"name":"grep"}}],"reasoning_signatures_issued":["i1"],)"
      R"("reasoning_signatures_presented":["p1","p2"],"unknown":{"deep":[1,2]},"messages":[)"
      R"({"role":"system","content":"be brief"},{"role":"user","content":"first"},)"
      R"({"role":"assistant","content":"hm"},{"content":"l\u00e4st\n\"q\"","role":"user"}],"response":"done"})",
      [](const model::ExchangeView& e) {
        EXPECT_EQ(e.exchange_id, "x1");
        EXPECT_EQ(e.ts_ms, *base::ParseRfc3339("2026-04-01T00:00:00.250Z"));
        EXPECT_EQ(StrCat(e.account_id, e.org_id, e.api_key_id, e.session_id, e.channel, e.model, e.operation),
                  "a1okscloud:xmchat");
        EXPECT_EQ((std::vector{e.input_tokens, e.output_tokens, e.reasoning_tokens, e.cached_tokens, e.max_tokens,
                                 e.latency_ms, e.messages}), (Numbers{10, 20, 3, 4, 4096, 7, 4}));
        EXPECT_EQ(e.temperature, 0.5f);
        EXPECT_EQ(e.top_p, 1.0f);
        EXPECT_EQ(e.status, 200);
        EXPECT_EQ(e.stream, 1);
        EXPECT_EQ(StrCat(e.client_ip, e.user_agent, e.ja4), "192.0.2.1u/1j");
        EXPECT_EQ(Names(e.tools.begin(), e.tools.end()), (Names{"bash", "edit", "grep"}));
        EXPECT_EQ(Names(e.signatures_issued.begin(), e.signatures_issued.end()), (Names{"i1"}));
        EXPECT_EQ(Names(e.signatures_presented.begin(), e.signatures_presented.end()), (Names{"p1", "p2"}));
        EXPECT_EQ(e.system, "be brief");
        EXPECT_EQ(e.turn, "l\u00e4st\n\"q\"");
        EXPECT_EQ(e.response, "done");
        EXPECT_TRUE(e.has_text);
        EXPECT_FALSE(e.has_sketch);
      });
  EXPECT_TRUE(f.status.ok());
  EXPECT_EQ(f.ids.size(), 1u);
  EXPECT_TRUE(f.rejects.empty());
}

TEST(JsonlRecord, AbsentAndNullAreUnknown) {
  const Found f = ReadText(Record("x", R"(,"input_tokens":null,"temperature":null,"messages":null,"org_id":null)"),
                           [](const model::ExchangeView& e) {
                             EXPECT_EQ(e.input_tokens, model::kNoTokens);
                             EXPECT_TRUE(std::isnan(e.temperature));
                             EXPECT_EQ(e.status, -1);
                             EXPECT_EQ(e.stream, -1);
                             EXPECT_FALSE(e.has_text);
                           });
  EXPECT_EQ(f.ids.size(), 1u);
}

TEST(JsonlRecord, ContentInParts) {
  const Found f = ReadText(
      Record("x", R"(,"messages":[{"role":"developer","content":[{"type":"text","text":"one"}]},)"
                  R"({"role":"system","content":"two"},{"role":"user","content":[{"type":"text","text":"p"},)"
                  R"({"type":"image","source":{"data":"AAAA"}},{"type":"input_text","text":"q"}]},)"
                  R"({"role":"assistant","content":[{"type":"text","text":"over"}]},)"
                  R"({"role":"tool","content":[{"type":"tool_result","content":[{"type":"text","text":"r"}]},)"
                  R"({"type":"text","content":"otel"}]},{"role":"assistant","content":[{"type":"text","text":"z"}]}],)"
                  R"("response":{"role":"assistant","content":[{"type":"text","text":"A"},{"type":"text","text":"B"}]})"),
      [](const model::ExchangeView& e) {
        EXPECT_EQ(e.system, "one\ntwo");
        EXPECT_EQ(e.turn, "r\notel");
        EXPECT_EQ(e.response, "A\nB");
        EXPECT_EQ(e.messages, 6u);
      });
  EXPECT_EQ(f.ids.size(), 1u) << (f.rejects.empty() ? "" : f.rejects[0].reason);
}

TEST(JsonlRecord, TopLevelSystemComesFirstWhereverItsKeyStands) {
  const std::string messages = R"("messages":[{"role":"system","content":"in"},{"role":"user","content":"u"}])";
  const std::string system = R"("system":[{"type":"text","text":"top"}])";
  std::vector<std::string> seen;
  const auto look = [&](const model::ExchangeView& e) { seen.emplace_back(e.system); };
  const Found a = ReadText(Record("x", StrCat(",", messages, ",", system)), look);
  const Found b = ReadText(Record("x", StrCat(",", system, ",", messages)), look);
  EXPECT_EQ(seen, (Names{"top\nin", "top\nin"}));
  EXPECT_EQ(a.contents, b.contents);
}

TEST(JsonlRecord, SketchInPlaceOfText) {
  model::Sketch sketch;
  sketch.turn = {1, 2, 0xFFFFFFFF};
  sketch.system = {7};
  const sketch::EncodedSketch text = sketch::Encode(sketch);
  const std::string record = Record("x", StrCat(R"(,"sketch":{"version":)", model::kSketchVersion, R"(,"system":")", text.system,
                                                R"(","turn":")", text.turn, R"(","response":")", text.response, "\"}"));
  const Found f = ReadText(record, [&](const model::ExchangeView& e) {
    EXPECT_TRUE(e.has_sketch);
    EXPECT_EQ(e.sketch.turn, sketch.turn);
    EXPECT_EQ(e.sketch.system, sketch.system);
  });
  EXPECT_EQ(f.ids.size(), 1u) << (f.rejects.empty() ? "" : f.rejects[0].reason);
  EXPECT_PRED2(Has, Reason(With(R"(,"sketch":{"version":99,"turn":""})")), "version");
  EXPECT_PRED2(Has, Reason(With(StrCat(R"(,"sketch":{"version":)", model::kSketchVersion, R"(,"turn":"%%%%"})"))), "base64");
  EXPECT_PRED2(Has, Reason(With(R"(,"sketch":7)")), "sketch: expected an object, found a number");
}

TEST(JsonlBadRecord, NotJson) {
  EXPECT_PRED2(Has, Reason("nonsense"), "record: ");
  EXPECT_PRED2(Has, Reason("[1,2]"), "expected an object");
  EXPECT_PRED2(Has, Reason(R"({"exchange_id":"x","ts")"), "not valid JSON");
  EXPECT_PRED2(Has, Reason(R"({"exchange_id":"x)"), "not valid JSON");
  EXPECT_PRED2(Has, Reason(With("") + " {}"), "record: ");
  EXPECT_PRED2(Has, Reason(With(R"(,"status":200x)")), "status: expected an integer");
  EXPECT_PRED2(Has, Reason(With(R"(,"stream":tru)")), "record: ");
}

TEST(JsonlBadRecord, TruncatedLastLine) {
  const Found f = ReadText(Record("x") + R"({"exchange_id":"y","ts":"2026-04)");
  EXPECT_TRUE(f.status.ok());
  EXPECT_EQ(f.ids, (Names{"x"}));
  ASSERT_EQ(f.rejects.size(), 1u);
  EXPECT_EQ(f.rejects[0].line, 2u);
  EXPECT_PRED2(Has, f.rejects[0].reason, "not valid JSON");
}

TEST(JsonlBadRecord, InvalidUtf8) {
  EXPECT_PRED2(Has, Reason(With(",\"response\":\"\xC3\x28\"")), "UTF-8");
  EXPECT_PRED2(Has, Reason(With(",\"ignored\":\"\xFF\"")), "UTF-8");
  EXPECT_PRED2(Has, Reason(With(R"(,"response":"\ud800")")), "record: ");
}

TEST(JsonlBadRecord, Nul) {
  EXPECT_PRED2(Has, Reason(With(std::string_view(",\"response\":\"a\0b\"", 17))), "record: ");
  EXPECT_PRED2(Has, Reason(std::string_view("{\0}", 3)), "record: ");
  EXPECT_PRED2(Has, Reason(With("") + std::string(1, '\0')), "record: ");
  EXPECT_PRED2(Has, Reason(R"({"exchange_id":"x\u0000","ts":"2026-04-01T00:00:00Z","account_id":"a"})"), "exchange_id: contains a control character");
}

TEST(JsonlBadRecord, DeepNesting) {
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  EXPECT_PRED2(Has, Reason(With(StrCat(R"(,"x":)", deep))), "nested deeper than 64");
  EXPECT_PRED2(Has, Reason(With(StrCat(R"(,"messages":)", deep))), "nested deeper than 64");
  EXPECT_PRED2(Has, Reason(std::string(3'000'000, '[')), "nested deeper than 64");
  // Brackets in text are text.
  EXPECT_EQ(ReadText(Record("x", StrCat(R"(,"response":")", std::string(500, '['), "\""))).ids.size(), 1u);
}

TEST(JsonlBadRecord, DuplicateKeys) {
  EXPECT_PRED2(Has, Reason(With(R"(,"account_id":"b")")), "account_id: appears twice");
  EXPECT_PRED2(Has, Reason(With(R"(,"account\u005fid":"b")")), "account_id: appears twice");
}

TEST(JsonlBadRecord, WrongTypes) {
  EXPECT_PRED2(Has, Reason(R"({"exchange_id":7,"ts":"2026-04-01T00:00:00Z","account_id":"a"})"), "exchange_id: expected a string, found a number");
  EXPECT_PRED2(Has, Reason(R"({"exchange_id":"x","ts":1700000000,"account_id":"a"})"), "ts: expected a string, found a number");
  EXPECT_PRED2(Has, Reason(With(R"(,"input_tokens":"12")")), "input_tokens: expected an integer, found a string");
  EXPECT_PRED2(Has, Reason(With(R"(,"input_tokens":1.5)")), "input_tokens: expected an integer");
  EXPECT_PRED2(Has, Reason(With(R"(,"input_tokens":-1)")), "input_tokens: -1 is out of range");
  EXPECT_PRED2(Has, Reason(With(R"(,"output_tokens":4294967296)")), "output_tokens: 4294967296 is out of range");
  EXPECT_PRED2(Has, Reason(With(R"(,"output_tokens":1e300)")), "output_tokens: out of range");
  EXPECT_PRED2(Has, Reason(With(R"(,"output_tokens":99999999999999999999999)")), "output_tokens: ");
  EXPECT_PRED2(Has, Reason(With(R"(,"temperature":"hot")")), "temperature: expected a number, found a string");
  EXPECT_PRED2(Has, Reason(With(R"(,"stream":1)")), "stream: expected a boolean, found a number");
  EXPECT_PRED2(Has, Reason(With(R"(,"tools":"bash")")), "tools: expected an array, found a string");
  EXPECT_PRED2(Has, Reason(With(R"(,"tools":[3])")), "tools: expected a string, found a number");
  EXPECT_PRED2(Has, Reason(With(R"(,"messages":"hi")")), "messages: expected an array, found a string");
  EXPECT_PRED2(Has, Reason(With(R"(,"messages":["hi"])")), "messages[0]: expected an object, found a string");
  EXPECT_PRED2(Has, Reason(With(R"(,"messages":[{"role":"user","content":3}])")), "messages.content: expected");
  EXPECT_PRED2(Has, Reason(With(R"(,"response":3)")), "response: expected a string or parts");
  EXPECT_PRED2(Has, Reason(With(R"(,"org_id":{})")), "org_id: expected a string, found an object");
}

TEST(JsonlBadRecord, MissingRequired) {
  EXPECT_PRED2(Has, Reason(R"({"ts":"2026-04-01T00:00:00Z","account_id":"a"})"), "exchange_id: missing");
  EXPECT_PRED2(Has, Reason(R"({"exchange_id":"x","account_id":"a"})"), "ts: missing");
  EXPECT_PRED2(Has, Reason(R"({"exchange_id":"x","ts":"2026-04-01T00:00:00Z"})"), "account_id: missing");
  EXPECT_PRED2(Has, Reason(R"({"exchange_id":"","ts":"2026-04-01T00:00:00Z","account_id":"a"})"), "exchange_id: empty");
  EXPECT_PRED2(Has, Reason(R"({"exchange_id":"x","ts":null,"account_id":"a"})"), "ts: missing");
  EXPECT_PRED2(Has, Reason(R"({"exchange_id":"x","ts":"2026-04-01T00:00:00Z","account_id":null})"), "account_id: ");
}

TEST(JsonlBadRecord, TooMuch) {
  const std::string id(513, 'i');
  EXPECT_PRED2(Has, Reason(StrCat(R"({"exchange_id":")", id, R"(","ts":"2026-04-01T00:00:00Z","account_id":"a"})")), "exchange_id: longer than 512 bytes");
  EXPECT_PRED2(Has, Reason(With(StrCat(R"(,"user_agent":")", std::string(5000, 'u'), "\""))), "user_agent: longer than 4096 bytes");
  std::string many;
  for (int i = 0; i < 300; ++i) many += R"("t",)";
  many.back() = ']';
  EXPECT_PRED2(Has, Reason(With(StrCat(R"(,"tools":[)", many))), "tools: more than 256 entries");
  EXPECT_PRED2(Has, Reason(With(StrCat(R"(,"reasoning_signatures_issued":[)", many))), "reasoning_signatures_issued: more than 64 entries");
}

TEST(JsonlBadRecord, Times) {
  EXPECT_PRED2(Has, Reason(At("yesterday")), "ts: not RFC 3339 with a zone: \"yesterday\"");
  EXPECT_PRED2(Has, Reason(At("2026-04-01T00:00:00")), "ts: not RFC 3339 with a zone");
  EXPECT_PRED2(Has, Reason(At("2026-02-30T00:00:00Z")), "ts: not RFC 3339");
  EXPECT_PRED2(Has, Reason(At("1969-12-31T23:59:59Z")), "ts: before 1970");
  EXPECT_PRED2(Has, Reason(At("1970-01-01T00:30:00+01:00")), "ts: before 1970");
  EXPECT_PRED2(Has, Reason(At("2026-04-23T00:00:00.001Z")), "ts: in the future");
  EXPECT_EQ(ReadText(At("2026-04-23T00:00:00.000Z")).ids.size(), 1u);
  // The same instant in two zones is the same content; order of time does not matter.
  const Found f = ReadText(At("2026-04-02T12:00:00+12:00") + "\n" + At("2026-04-02T00:00:00Z") + "\n" + At("2026-04-01T00:00:00Z"));
  ASSERT_EQ(f.contents.size(), 3u);
  EXPECT_EQ(std::set<uint32_t>(f.contents.begin(), f.contents.end()).size(), 2u);
}

TEST(JsonlLines, BlankLinesCarriageReturnsAndByteOrderMark) {
  std::string crlf = Record("x");
  crlf.insert(crlf.size() - 1, "\r");
  const std::string text = "\xEF\xBB\xBF" + crlf + "\n \t \r\n" + crlf;
  for (const std::string& bytes : {text, Gzip(text), Zstd(text)}) {
    const Found f = ReadText(bytes);
    EXPECT_EQ(f.ids, (Names{"x", "x"}));
    EXPECT_TRUE(f.rejects.empty());
  }
  const Found f = ReadText("\xEF\xBB\xBF\nbad\n");
  ASSERT_EQ(f.rejects.size(), 1u);
  EXPECT_EQ(f.rejects[0].line, 2u);
  EXPECT_EQ(f.rejects[0].offset, 4u);
}

TEST(JsonlLines, FiftyMegabyteLine) {
  std::string text = Record("before");
  const size_t at = text.size();
  text += R"({"exchange_id":"big","response":")" + std::string(50u << 20, 'x') + "\"}\n";
  const size_t bad_at = text.size();
  text += "bad\n" + Record("zafter");
  for (const bool compressed : {false, true}) {
    const Found f = Read({Write("big", compressed ? Zstd(text) : text)}, 3);
    EXPECT_TRUE(f.status.ok()) << f.status;
    EXPECT_EQ(f.ids, (Names{"before", "zafter"}));
    ASSERT_EQ(f.rejects.size(), 2u);
    EXPECT_EQ(f.rejects[0].line, 2u);
    EXPECT_EQ(f.rejects[0].offset, at);
    EXPECT_PRED2(Has, f.rejects[0].reason, "longer than 32 MiB");
    EXPECT_EQ(f.rejects[0].record, text.substr(at, 1024));
    EXPECT_EQ(f.rejects[1].line, 3u);
    EXPECT_EQ(f.rejects[1].offset, bad_at);
  }
  // As the last line, without an end; and one that just fits.
  EXPECT_EQ(ReadText(text.substr(0, 40u << 20)).rejects.size(), 1u);
  const Found fits = ReadText(Record("x", StrCat(R"(,"response":")", std::string(31u << 20, 'x'), "\"")));
  EXPECT_EQ(fits.ids, (Names{"x"}));
}

TEST(JsonlFiles, MissingFolderUnreadable) {
  EXPECT_PRED2(Has, Message(Read({"/nonexistent/log"}).status), "/nonexistent/log: cannot be opened: No such");
  EXPECT_PRED2(Has, Message(Read({testing::TempDir()}).status), "is a folder; name its files");
  // Found out before the first file is read.
  const Found f = Read({Write("first", Record("x")), "/nonexistent/log"});
  EXPECT_FALSE(f.status.ok());
  EXPECT_TRUE(f.ids.empty());
  if (geteuid() != 0) {
    const std::string path = Write("secret", Record("x"));
    chmod(path.c_str(), 0);
    EXPECT_PRED2(Has, Message(Read({path}).status), "Permission denied");
  }
}

TEST(JsonlFiles, Empty) {
  const Found f = ReadText("");
  EXPECT_TRUE(f.status.ok());
  EXPECT_TRUE(f.ids.empty());
  ASSERT_EQ(f.notes.size(), 1u);
  EXPECT_PRED2(Has, f.notes[0], "is empty");
}

std::string Many(int n, int seed = 1) {
  std::mt19937 rng(seed);
  std::string out;
  for (int i = 0; i < n; ++i) {
    std::string text;
    for (int k = static_cast<int>(rng() % 600); k > 0; --k) text.push_back(static_cast<char>('a' + rng() % 26));
    out += Record(StrCat("x", seed, "-", i), StrCat(R"(,"response":")", text, "\""));
    if (rng() % 50 == 0) out += "bad line\n";
    if (rng() % 50 == 0) out += "\n";
  }
  return out;
}

TEST(JsonlFiles, CutShort) {
  const std::string text = Many(20'000);  // several chunks
  for (const std::string& whole : {Gzip(text), Zstd(text)}) {
    const Found f = Read({Write("cut", whole.substr(0, whole.size() * 9 / 10))}, 2);
    EXPECT_EQ(f.status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_PRED2(Has, Message(f.status), "ends in the middle of its"); EXPECT_PRED2(Has, Message(f.status), "get the whole file");
    EXPECT_GT(f.ids.size(), 17'000u);  // all of what was there
    EXPECT_LT(f.ids.size(), 20'000u);
    // Cut in the trailer: every record came, and it is still an error.
    const Found trailer = Read({Write("cut", whole.substr(0, whole.size() - 2))});
    EXPECT_FALSE(trailer.status.ok());
    // Cut in the header.
    EXPECT_FALSE(Read({Write("cut", whole.substr(0, 6))}).status.ok());
  }
}

TEST(JsonlFiles, BrokenCompression) {
  const std::string text = Many(3'000);
  std::string gzip = Gzip(text), zstd = Zstd(text, true);
  gzip[gzip.size() - 6] ^= 1;  // the checksum
  EXPECT_PRED2(Has, Message(Read({Write("broken", gzip)}).status), "broken gzip data");
  for (size_t i = 0; i < 64; ++i) zstd[zstd.size() / 2 + i] ^= 0x55;
  EXPECT_PRED2(Has, Message(Read({Write("broken", zstd)}).status), "broken zstd data");
  EXPECT_PRED2(Has, Message(Read({Write("broken", Gzip(text) + "garbage")}).status), "gzip");
}

TEST(JsonlFiles, ShrinksWhileRead) {
  const std::string path = Write("shrink", Many(60'000));
  const auto size = std::filesystem::file_size(path);
  ASSERT_GT(size, 3 * (4u << 20));
  bool done = false;
  const Found f = Read({path}, 1, [&](const model::ExchangeView&) {
    if (!done) std::filesystem::resize_file(path, 5u << 20);
    done = true;
  });
  EXPECT_PRED2(Has, Message(f.status), "became shorter while it was read"); EXPECT_PRED2(Has, Message(f.status), "scan a copy");
  EXPECT_GT(f.ids.size(), 1000u);
}

TEST(JsonlFiles, GrowsWhileRead) {
  const std::string path = Write("grow", Many(60'000) + R"({"exchange_id":"half)");
  bool done = false;
  const Found f = Read({path}, 1, [&](const model::ExchangeView&) {
    if (!done) std::ofstream(path, std::ios::app) << R"(","ts":"2026-04-01T00:00:00Z","account_id":"a"})" << "\n" << Record("later");
    done = true;
  });
  EXPECT_TRUE(f.status.ok()) << f.status;
  EXPECT_EQ(f.ids.size(), 60'000u);
  ASSERT_EQ(f.notes.size(), 1u);
  EXPECT_PRED2(Has, f.notes[0], "still being written");
  for (const auto& r : f.rejects) EXPECT_EQ(r.record, "bad line");
}

TEST(JsonlFiles, DisappearsWhileRead) {
  const std::string path = Write("gone", Many(60'000));
  bool done = false;
  const Found f = Read({path}, 1, [&](const model::ExchangeView&) {
    if (!done) unlink(path.c_str());
    done = true;
  });
  EXPECT_TRUE(f.status.ok());
  EXPECT_EQ(f.ids.size(), 60'000u);
}

TEST(JsonlFiles, PipeThatGivesSingleBytes) {
  const std::string path = testing::TempDir() + StrCat("jsonl_fifo_", getpid());
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const std::string bytes = Gzip(Record("x") + Record("y"));
  std::thread writer([&] {
    const int fd = open(path.c_str(), O_WRONLY);
    for (const char c : bytes) {
      ASSERT_EQ(write(fd, &c, 1), 1);
      if (&c - bytes.data() < 8) usleep(2000);
    }
    close(fd);
  });
  const Found f = Read({path});
  writer.join();
  unlink(path.c_str());
  EXPECT_EQ(f.ids, (Names{"x", "y"})) << f.status;
}

TEST(JsonlFiles, StopsWhenAsked) {
  std::atomic<bool> stop{true};
  Sink sink{[](int, const model::ExchangeView&) { return absl::OkStatus(); }, [](model::Reject) { return absl::OkStatus(); }};
  EXPECT_TRUE(absl::IsCancelled(MakeJsonlSource({Write("stop", Many(10))}, {.now_ms = kNow})->Read(2, sink, nullptr, &stop)));
}

TEST(JsonlFiles, ASinkThatFailsEndsReading) {
  Sink sink{[](int, const model::ExchangeView&) { return absl::InternalError("full"); }, [](model::Reject) { return absl::OkStatus(); }};
  EXPECT_EQ(MakeJsonlSource({Write("full", Many(10))}, {.now_ms = kNow})->Read(2, sink, nullptr, nullptr).message(), "full");
}

TEST(JsonlProperty, SameRecordsHoweverTheyCome) {
  const std::string text = Many(40'000, 3);
  const Found all = Read({Write("all", text)});
  ASSERT_TRUE(all.status.ok());
  ASSERT_EQ(all.ids.size(), 40'000u);
  EXPECT_EQ(all.records, 40'000u);
  EXPECT_EQ(all.bytes_done, text.size());
  ASSERT_GT(all.rejects.size(), 400u);
  uint64_t line = 1;
  size_t counted = 0;
  for (const auto& r : all.rejects) {
    EXPECT_EQ(text.substr(r.offset, 8), "bad line");
    line += static_cast<uint64_t>(std::count(text.begin() + static_cast<long>(counted), text.begin() + static_cast<long>(r.offset), '\n'));
    counted = r.offset;
    EXPECT_EQ(line, r.line);
  }
  std::mt19937 rng(5);
  for (int round = 0; round < 8; ++round) {
    // Cut at lines into files, each file into members or frames anywhere.
    std::vector<std::string> paths;
    size_t begin = 0;
    for (int file = 0; begin < text.size(); ++file) {
      size_t end = std::min(text.size(), begin + 1 + rng() % (8u << 20));
      const size_t newline = text.find('\n', end);
      end = newline == std::string::npos ? text.size() : newline + 1;
      std::string bytes;
      const int kind = static_cast<int>(rng() % 3);
      for (size_t at = begin; at < end;) {
        const size_t size = std::min(end - at, static_cast<size_t>(1 + rng() % (3u << 20)));
        const std::string_view part = std::string_view(text).substr(at, size);
        bytes += kind == 0 ? std::string(part) : kind == 1 ? Gzip(part) : Zstd(part);
        at += size;
      }
      paths.push_back(Write(StrCat("part", file), bytes));
      begin = end;
    }
    std::shuffle(paths.begin(), paths.end(), rng);
    const Found f = Read(paths, 1 + static_cast<int>(rng() % 6));
    EXPECT_TRUE(f.status.ok()) << f.status;
    EXPECT_EQ(f.ids, all.ids);
    EXPECT_EQ(f.contents, all.contents);
    EXPECT_EQ(f.rejects.size(), all.rejects.size());
  }
}

TEST(JsonlProperty, CompressedSizesAroundTheRoomOfOneStep) {
  for (const size_t size : {size_t{1} << 20, size_t{2} << 20, size_t{4} << 20}) {
    for (size_t less = 0; less < 7; ++less) {
      std::string text = Record("x");
      text.resize(size + 3 - less, ' ');
      text.back() = '\n';
      for (const std::string& bytes : {Gzip(text), Zstd(text)}) {
        const Found f = ReadText(bytes);
        EXPECT_TRUE(f.status.ok()) << f.status << " " << text.size();
        EXPECT_EQ(f.ids.size(), 1u) << text.size();
      }
    }
  }
}

TEST(CountByte, EqualsTheObviousLoop) {
  std::mt19937 rng(7);
  for (const size_t size : {0u, 1u, 15u, 16u, 17u, 4079u, 4080u, 4081u, 9000u, 70'000u}) {
    std::string s(size, 'x');
    EXPECT_EQ(CountByte(s, 'x'), size);
    for (char& c : s) c = static_cast<char>(rng() % 3);
    EXPECT_EQ(CountByte(s, 1), static_cast<uint64_t>(std::count(s.begin(), s.end(), 1)));
  }
}

TEST(ContentHash, KeyOrderAndWhiteSpaceDoNotCount) {
  const Found f = ReadText(
      R"({"exchange_id":"x","ts":"2026-04-01T00:00:00Z","account_id":"a","status":200,"response":"r"})" "\n"
      R"({ "response" : "\u0072", "status":200, "account_id":"a", "ts":"2026-04-01T00:00:00.000Z","exchange_id":"x" })" "\n");
  ASSERT_EQ(f.contents.size(), 2u);
  EXPECT_EQ(f.contents[0], f.contents[1]);
}

TEST(ContentHash, EveryFieldCounts) {
  const std::vector<std::string> fields = {
      "", R"(,"org_id":"v")", R"(,"api_key_id":"v")", R"(,"session_id":"v")", R"(,"channel":"v")", R"(,"model":"v")",
      R"(,"operation":"v")", R"(,"client_ip":"v")", R"(,"user_agent":"v")", R"(,"ja4":"v")", R"(,"input_tokens":5)",
      R"(,"output_tokens":5)", R"(,"reasoning_tokens":5)", R"(,"cached_tokens":5)", R"(,"max_tokens":5)",
      R"(,"latency_ms":5)", R"(,"temperature":0.5)", R"(,"top_p":0.5)", R"(,"status":5)", R"(,"stream":true)",
      R"(,"stream":false)", R"(,"tools":["v"])", R"(,"reasoning_signatures_issued":["v"])",
      R"(,"reasoning_signatures_presented":["v"])", R"(,"response":"v")", R"(,"system":"v")",
      R"(,"messages":[{"role":"user","content":"v"}])", R"(,"messages":[{"role":"assistant","content":"v"}])"};
  std::string text;
  for (const std::string& field : fields) text += Record("x", field);
  const Found f = ReadText(text);
  ASSERT_EQ(f.contents.size(), fields.size());
  EXPECT_EQ(std::set<uint32_t>(f.contents.begin(), f.contents.end()).size(), fields.size());
}

TEST(ParseMessages, ForForeignFormats) {
  RecordParser parser(kNow);
  model::ExchangeView e;
  ASSERT_TRUE(parser.ParseMessages(R"([{"role":"system","content":"s"},{"role":"user","content":"u"}])", &e).ok());
  EXPECT_EQ(e.system, "s");
  EXPECT_EQ(e.turn, "u");
  EXPECT_EQ(e.messages, 2u);
  EXPECT_FALSE(parser.ParseMessages("", &e).ok());
  EXPECT_FALSE(parser.ParseMessages("[{\"role\":", &e).ok());
  EXPECT_FALSE(parser.ParseMessages("7", &e).ok());
}

}  // namespace
}  // namespace stillwatch::ingest
