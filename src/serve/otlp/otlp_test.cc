#include "serve/otlp/otlp.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "base/str.h"
#include "ingest/formats/log.h"
#include "ingest/formats/rows.h"
#include "ingest/jsonl/canonical.h"
#include "journal/journal.h"
#include "lake/embedded/embedded_lake.h"
#include "lake/native.h"
#include "serve/otlp/json.h"
#include "serve/otlp/otlp.pb.h"
#include "serve/otlp/rows.h"

namespace stillwatch::serve {
namespace {

namespace fs = std::filesystem;
using base::StrCat;

constexpr int64_t kNow = 1'798'761'600'000;  // 2027

std::string Slurp(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

// Ids of the wire are bytes.
std::string Bytes(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}
void IdsToBytes(otlp::Traces* t) {
  for (auto& r : *t->mutable_resource_spans()) {
    for (auto& s : *r.mutable_scope_spans()) {
      for (auto& span : *s.mutable_spans()) {
        span.set_trace_id(Bytes(span.trace_id()));
        span.set_span_id(Bytes(span.span_id()));
      }
    }
  }
}
void IdsToBytes(otlp::Logs* t) {
  for (auto& r : *t->mutable_resource_logs()) {
    for (auto& s : *r.mutable_scope_logs()) {
      for (auto& log : *s.mutable_log_records()) {
        log.set_trace_id(Bytes(log.trace_id()));
        log.set_span_id(Bytes(log.span_id()));
      }
    }
  }
}

absl::Status Read(std::string_view json, otlp::Traces* t) { return otlp::TracesFromJson(json, t); }
absl::Status Read(std::string_view json, otlp::Logs* t) { return otlp::LogsFromJson(json, t); }

// Canonical lines of exchanges, and reasons of refusals.
template <typename Request>
std::multiset<std::string> Canonical(const Request& request, bool text_ids) {
  std::multiset<std::string> out;
  ingest::RowWriter rows;
  ingest::RowReader reader(kNow);
  otlp::RowsOf(request, text_ids, &rows);
  EXPECT_TRUE(lake::CheckShape(rows.Block()).ok());
  ingest::ReadRows(
      rows.Block(), &reader,
      [&](const model::ExchangeView& e) {
        std::string line;
        ingest::AppendCanonical(e, nullptr, &line);
        out.insert(line);
      },
      [&](model::Reject r) { out.insert("rejected: " + r.reason); });
  return out;
}

// What the SELECT gives of the same lines, in the same form.
std::multiset<std::string> Selected(const std::string& format, const std::string& path) {
  static lake::Lake* lake = [] {
    const std::string where = testing::TempDir() + "/otlp_lake";
    fs::remove_all(where);
    auto opened = lake::OpenEmbedded({.path = where, .threads = 1});
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened->release();
  }();
  std::multiset<std::string> out;
  // By its file: the format's name would have it decoded.
  auto log = ingest::Log::Plan(
      {path}, StrCat(STILLWATCH_SOURCE_DIR "/src/ingest/formats/", format, ".sql"));
  EXPECT_TRUE(log.ok()) << log.status();
  auto source = log->Open(lake, {.now_ms = kNow, .since_ms = INT64_MIN});
  EXPECT_TRUE(source.ok()) << source.status();
  ingest::Progress progress;
  std::atomic<bool> stop{false};
  const absl::Status s = (*source)->Read(1,
                                         {.exchange =
                                              [&](int, const model::ExchangeView& e) {
                                                std::string line;
                                                ingest::AppendCanonical(e, nullptr, &line);
                                                out.insert(line);
                                                return absl::OkStatus();
                                              },
                                          .reject =
                                              [&](model::Reject r) {
                                                if (!r.reason.starts_with("record: not valid JSON"))
                                                  out.insert("rejected: " + r.reason);
                                                return absl::OkStatus();
                                              }},
                                         &progress, &stop);
  EXPECT_TRUE(s.ok()) << s;
  return out;
}

// Says what is only on one side.
void ExpectSame(const std::multiset<std::string>& got, const std::multiset<std::string>& want) {
  for (const std::string& line : got)
    EXPECT_EQ(got.count(line), want.count(line)) << "decoded: " << line;
  for (const std::string& line : want)
    EXPECT_EQ(got.count(line), want.count(line)) << "selected: " << line;
}

template <typename Request>
void ExpectEqualToSelect(const std::string& format, const std::string& path, size_t at_least) {
  const std::multiset<std::string> want = Selected(format, path);
  ASSERT_GE(want.size(), at_least);
  Request request;
  for (const std::string& line : Lines(Slurp(path))) {
    Request one;
    if (Read(line, &one).ok()) request.MergeFrom(one);
  }
  ExpectSame(Canonical(request, true), want);
  // The same through the wire.
  IdsToBytes(&request);
  Request again;
  ASSERT_TRUE(again.ParseFromString(request.SerializeAsString()));
  ExpectSame(Canonical(again, false), want);
}

TEST(Otlp, TracesEqualTheSelect) {
  ExpectEqualToSelect<otlp::Traces>(
      "otlp_traces", STILLWATCH_SOURCE_DIR "/tests/data/formats/otlp_traces.jsonl", 6);
}
TEST(Otlp, LogsEqualTheSelect) {
  ExpectEqualToSelect<otlp::Logs>("otlp_logs",
                                  STILLWATCH_SOURCE_DIR "/tests/data/formats/otlp_logs.jsonl", 6);
}

// Every attribute, dialect and kind of value that the SELECTs know, each in turn and in pairs.
std::string Attribute(std::string_view key, std::string_view value) {
  return StrCat(R"({"key":")", key, R"(","value":)", value, "}");
}

TEST(Otlp, EveryAttributeEqualsTheSelect) {
  const std::vector<std::pair<std::string, std::string>> attributes = {
      {"enduser.id", R"({"stringValue":"e"})"},
      {"user.hash", R"({"stringValue":"h"})"},
      {"enduser.pseudo.id", R"({"intValue":"77"})"},
      {"langfuse.user.id", R"({"stringValue":"l"})"},
      {"traceloop.association.properties.user_id", R"({"stringValue":"t"})"},
      {"organization.id", R"({"stringValue":"o"})"},
      {"tenant.id", R"({"stringValue":"tt"})"},
      {"session.id", R"({"stringValue":"s"})"},
      {"gen_ai.conversation.id", R"({"stringValue":"c"})"},
      {"gen_ai.response.model", R"({"stringValue":"rm"})"},
      {"llm.request.model", R"({"stringValue":"lm"})"},
      {"llm.request.type", R"({"stringValue":"chat"})"},
      {"openinference.span.kind", R"({"stringValue":"LLM"})"},
      {"gen_ai.system_instructions", R"({"stringValue":"be good"})"},
      {"gen_ai.system_instructions",
       R"({"arrayValue":{"values":[{"kvlistValue":{"values":[{"key":"type","value":{"stringValue":"text"}},{"key":"content","value":{"stringValue":"be <fine> & \"quoted\""}}]}}]}})"},
      {"gen_ai.input.messages",
       R"({"stringValue":"[{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"in\"}]}]"})"},
      {"gen_ai.input.messages", R"({"stringValue":"no json"})"},
      {"gen_ai.prompt.0.role", R"({"stringValue":"user"})"},
      {"gen_ai.prompt.0.content", R"({"stringValue":"zero"})"},
      {"gen_ai.prompt.10.content", R"({"stringValue":"ten"})"},
      {"gen_ai.prompt.10.role", R"({"stringValue":"user"})"},
      {"gen_ai.prompt.x.role", R"({"stringValue":"user"})"},
      {"gen_ai.prompt", R"({"stringValue":"plain prompt"})"},
      {"gen_ai.prompt", R"({"stringValue":"[{\"role\":\"user\",\"content\":\"listed\"}]"})"},
      {"gen_ai.completion", R"({"stringValue":"plain answer"})"},
      {"gen_ai.completion", R"({"stringValue":"{\"content\":\"in json\"}"})"},
      {"gen_ai.completion", R"({"stringValue":"42"})"},
      {"gen_ai.completion.0.content", R"({"stringValue":"numbered answer"})"},
      {"llm.output_messages.0.message.content", R"({"stringValue":"oi answer"})"},
      {"output.value", R"({"stringValue":"a value"})"},
      {"gen_ai.tool.definitions",
       R"({"stringValue":"[{\"type\":\"function\",\"name\":\"look\"},{\"function\":{\"name\":\"find\"}}]"})"},
      {"gen_ai.usage.input_tokens", R"({"intValue":"12"})"},
      {"gen_ai.usage.input_tokens", R"({"doubleValue":12.5})"},
      {"gen_ai.usage.input_tokens", R"({"intValue":"-1"})"},
      {"gen_ai.usage.prompt_tokens", R"({"intValue":13})"},
      {"llm.usage.completion_tokens", R"({"intValue":14})"},
      {"gen_ai.usage.reasoning.output_tokens", R"({"intValue":"15"})"},
      {"gen_ai.usage.cache_read_input_tokens", R"({"stringValue":"16"})"},
      {"gen_ai.request.max_tokens", R"({"intValue":"4294967296"})"},
      {"gen_ai.request.temperature", R"({"doubleValue":0.7})"},
      {"gen_ai.request.temperature", R"({"intValue":"1"})"},
      {"gen_ai.request.top_p", R"({"doubleValue":0.95})"},
      {"gen_ai.request.stream", R"({"boolValue":true})"},
      {"llm.is_streaming", R"({"stringValue":"false"})"},
      {"http.response.status_code", R"({"intValue":"429"})"},
      {"http.response.status_code", R"({"stringValue":"no"})"},
      {"client.address", R"({"stringValue":"192.0.2.1"})"},
      {"user_agent.original", R"({"stringValue":"agent/1"})"},
  };
  const std::string path = testing::TempDir() + "/every.jsonl";
  for (const bool logs : {false, true}) {
    std::ofstream out(path);
    int n = 0;
    const auto line = [&](const std::string& own, const std::string& events) {
      ++n;
      char id[17];
      std::snprintf(id, sizeof id, "%016x", n);
      const std::string times = R"("17672256000000)" + std::to_string(10000 + n) + R"(")";
      out << (logs ? R"({"resourceLogs":[)" : R"({"resourceSpans":[)")
          << R"({"resource":{"attributes":[)"
          << Attribute("user.id", n % 7 ? R"({"stringValue":"u"})" : R"({"stringValue":""})")
          << R"(]},")" << (logs ? R"(scopeLogs":[{"logRecords":[)" : R"(scopeSpans":[{"spans":[)")
          << R"({"traceId":"5b8efff798038103d269b633813fc60c","spanId":")" << id << R"(",)"
          << (logs ? R"("eventName":"gen_ai.client.inference.operation.details","timeUnixNano":)"
                   : R"("startTimeUnixNano":)")
          << times << (logs || n % 3 ? "" : R"(,"endTimeUnixNano":"1767225601234567890")")
          << R"(,"attributes":[)" << own << "]" << events << "}]}]}]}\n";
    };
    const std::string model = Attribute("gen_ai.request.model", R"({"stringValue":"m"})");
    for (const auto& [key, value] : attributes) {
      line(model + "," + Attribute(key, value), "");
      for (const auto& [other, more] : attributes) {
        if (other > key && other.substr(0, 9) == key.substr(0, 9))
          line(model + "," + Attribute(key, value) + "," + Attribute(other, more), "");
      }
    }
    line("", "");  // of no model: passed over, or without one
    if (!logs) {
      for (
          const char* events :
          {R"({"name":"gen_ai.user.message","attributes":[{"key":"content","value":{"stringValue":"asked"}}]},{"name":"gen_ai.choice","attributes":[{"key":"message","value":{"stringValue":"chosen"}}]})",
           R"({"name":"gen_ai.content.prompt","attributes":[{"key":"gen_ai.prompt","value":{"stringValue":"whole"}}]},{"name":"gen_ai.content.completion","attributes":[{"key":"gen_ai.completion","value":{"stringValue":"done"}}]})",
           R"({"name":"gen_ai.system.message","attributes":[]},{"name":"gen_ai.Odd.message"},{"name":"exception"})"})
        line(model, StrCat(R"(,"events":[)", events, "]"));
    }
    out.close();
    if (logs)
      ExpectEqualToSelect<otlp::Logs>("otlp_logs", path, 100);
    else
      ExpectEqualToSelect<otlp::Traces>("otlp_traces", path, 100);
  }
}

class OtlpServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/otlp";
    fs::remove_all(folder_);
    auto journal = journal::Journal::Open(
        {.folder = folder_ + "/journal", .bytes_max = 32'768, .segment_bytes = 4096},
        [](std::string) {});
    ASSERT_TRUE(journal.ok());
    journal_ = std::move(*journal);
    auto rejected = ingest::RejectedLog::Open({.folder = folder_});
    ASSERT_TRUE(rejected.ok());
    rejected_ = std::move(*rejected);
    ingest::LiveOptions options;
    options.now_ms = [] { return kNow; };
    ingest_ = std::make_unique<ingest::IngestService>(journal_.get(), rejected_.get(), options);
    service_ = std::make_unique<OtlpService>(ingest_.get());
  }
  void TearDown() override {
    ingest_.reset();
    journal_.reset();
    fs::remove_all(folder_);
  }
  static std::string Span(std::string_view user, int n = 1) {
    return StrCat(R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"aa","spanId":"b)", n,
                  R"(","startTimeUnixNano":"1767225600000000000","attributes":[)",
                  Attribute("gen_ai.request.model", R"({"stringValue":"m"})"), ",",
                  Attribute("user.id", StrCat(R"({"stringValue":")", user, R"("})")),
                  R"(]},{"name":"something else"}]}]}]})");
  }
  size_t Journaled() {
    journal::Entry e;
    size_t rows = 0;
    while (journal_->Next(&e).value_or(false)) rows += e.rows;
    return rows;
  }
  std::string folder_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<ingest::RejectedLog> rejected_;
  std::unique_ptr<ingest::IngestService> ingest_;
  std::unique_ptr<OtlpService> service_;
};

TEST_F(OtlpServiceTest, AnswersInTheRequestsEncoding) {
  auto a = service_->Export(OtlpKind::kTraces, OtlpEncoding::kJson, Span("u"), "s");
  EXPECT_TRUE(a.status.ok());
  EXPECT_EQ(a.http_status, 200);
  EXPECT_EQ(a.body, "{}");
  EXPECT_EQ(Journaled(), 1u);
  a = service_->Export(OtlpKind::kTraces, OtlpEncoding::kJson, Span(""), "s");
  EXPECT_EQ(a.http_status, 200);
  EXPECT_NE(a.body.find(R"("rejectedSpans":"1")"), a.body.npos) << a.body;
  EXPECT_NE(a.body.find("account_id: none of"), a.body.npos) << a.body;
  otlp::Traces t;
  ASSERT_TRUE(otlp::TracesFromJson(Span(""), &t).ok());
  a = service_->Export(OtlpKind::kTraces, OtlpEncoding::kProtobuf, t.SerializeAsString(), "s");
  otlp::Response r;
  ASSERT_TRUE(r.ParseFromString(a.body));
  EXPECT_EQ(r.partial_success().rejected(), 1);
  EXPECT_EQ(Journaled(), 0u);
  // Nothing of a model in it, nothing at all: fine.
  EXPECT_EQ(service_->Export(OtlpKind::kLogs, OtlpEncoding::kJson, "{}", "s").body, "{}");
  EXPECT_EQ(service_->Export(OtlpKind::kLogs, OtlpEncoding::kProtobuf, "", "s").http_status, 200);
}

TEST_F(OtlpServiceTest, BadRequestsAreNamed) {
  for (const char* body : {"", "nonsense", "[]", R"({"resourceSpans":7})",
                           R"({"resourceSpans":[{"scopeSpans":[7]}]})"}) {
    const auto a = service_->Export(OtlpKind::kTraces, OtlpEncoding::kJson, body, "s");
    EXPECT_EQ(a.http_status, 400) << body;
    EXPECT_EQ(a.retry_after_s, 0u);
    simdjson::dom::parser parser;
    EXPECT_EQ(int64_t(parser.parse(a.body)["code"]), 3) << a.body;
  }
  const auto a = service_->Export(OtlpKind::kTraces, OtlpEncoding::kProtobuf, "\x0a\xff", "s");
  EXPECT_EQ(a.http_status, 400);
  otlp::Status s;
  ASSERT_TRUE(s.ParseFromString(a.body));
  EXPECT_EQ(s.code(), 3);
}

TEST_F(OtlpServiceTest, AFullJournalAsksToComeBack) {
  OtlpAnswer a;
  for (int i = 0; i < 200 && a.status.ok(); ++i)
    a = service_->Export(OtlpKind::kTraces, OtlpEncoding::kJson, Span("u", i), "s");
  EXPECT_EQ(a.http_status, 503);
  EXPECT_GT(a.retry_after_s, 0u);
  EXPECT_TRUE(absl::IsResourceExhausted(a.status));
}

TEST_F(OtlpServiceTest, OneBadTextRefusesItsOwnRecord) {
  otlp::Traces t;
  ASSERT_TRUE(otlp::TracesFromJson(Span("u", 1), &t).ok());
  ASSERT_TRUE(otlp::TracesFromJson(Span("u", 2), &t).ok());
  auto* span = t.mutable_resource_spans(0)->mutable_scope_spans(0)->mutable_spans(0);
  span->mutable_attributes(1)->mutable_value()->set_string_value("\xff\xfe");
  const auto a =
      service_->Export(OtlpKind::kTraces, OtlpEncoding::kProtobuf, t.SerializeAsString(), "s");
  otlp::Response r;
  ASSERT_TRUE(r.ParseFromString(a.body));
  EXPECT_EQ(r.partial_success().rejected(), 1);
  EXPECT_EQ(Journaled(), 1u);
}

}  // namespace
}  // namespace stillwatch::serve
