// Records a second of every format, end to end but for the sketch: read, split, SELECT, exchange.
// The same texts (about 1.5 kB a record) in each, with four workers; the label says how much of the
// canonical JSON lines' rate that is, measured in the same process: by its CPU time, which a busy
// machine changes little, and by the clock, which shows what waits.
#include <benchmark/benchmark.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>

#include "base/str.h"
#include "ingest/formats/log.h"
#include "lake/embedded/embedded_lake.h"

namespace {

using namespace stillwatch;
using base::StrCat;

constexpr int kRecords = 100'000, kThreads = 4;

std::string Turn(int n) {
  std::string out;
  for (int k = 0; k < 12; ++k)
    out += StrCat("Solve problem number ", n, " step by step, and show each step of the work. ");
  return out;
}
std::string Answer(int n) {
  std::string out;
  for (int k = 0; k < 6; ++k)
    out += StrCat("First we note of ", n, " that the value is bounded, then we conclude. ");
  return out;
}
std::string Messages(int n) {
  return StrCat(
      R"([{"role":"system","content":"You are an assistant."},{"role":"user","content":")", Turn(n),
      R"("}])");
}
std::string Attribute(const char* key, const std::string& value) {
  return StrCat(R"({"key":")", key, R"(","value":{"stringValue":")", value, R"("}})");
}
std::string Escaped(std::string json) {
  for (size_t at = 0; (at = json.find('"', at)) != json.npos; at += 2) json.insert(at, 1, '\\');
  return json;
}

// Lines of each format that reads JSON.
const std::map<std::string, std::function<std::string(int)>>& Lines() {
  static const auto* lines = new std::map<std::string, std::function<std::string(int)>>{
      {"canonical",
       [](int n) {
         return StrCat(R"({"exchange_id":"x-)", n,
                       R"(","ts":"2026-04-01T00:00:00.000Z","account_id":"a)", n % 997,
                       R"(","api_key_id":"k","model":"m",)",
                       R"("input_tokens":1200,"output_tokens":400,"status":200,"messages":)",
                       Messages(n), R"(,"response":")", Answer(n), R"("})");
       }},
      {"litellm",
       [](int n) {
         return StrCat(
             R"({"id":"x-)", n,
             R"(","call_type":"acompletion","status":"success","prompt_tokens":1200,"completion_tokens":400,"startTime":1774972800.25,)",
             R"("endTime":1774972801.5,"model":"m","metadata":{"user_api_key_hash":"k","user_api_key_user_id":"a)",
             n % 997, R"("},"messages":)", Messages(n),
             R"(,"response":{"choices":[{"message":{"role":"assistant","content":")", Answer(n),
             R"("}}]}})");
       }},
      {"bedrock",
       [](int n) {
         return StrCat(
             R"({"schemaType":"ModelInvocationLog","timestamp":"2026-04-01T00:00:00Z","accountId":"1","identity":{"arn":"a)",
             n % 997, R"("},"requestId":"x-)", n,
             R"(","operation":"InvokeModel","modelId":"m","input":{"inputBodyJson":{"messages":)",
             Messages(n),
             R"(},"inputTokenCount":1200},"output":{"outputBodyJson":{"content":[{"type":"text","text":")",
             Answer(n), R"("}]},"outputTokenCount":400}})");
       }},
      {"openai_batch",
       [](int n) {
         return StrCat(
             R"({"id":"x-)", n,
             R"(","custom_id":"c","response":{"status_code":200,"body":{"created":1774972800,"model":"m","safety_identifier":"a)",
             n % 997, R"(","choices":[{"message":{"role":"assistant","content":")", Answer(n),
             R"("}}],"usage":{"prompt_tokens":1200,"completion_tokens":400}}},"body":{"messages":)",
             Messages(n), "}}");
       }},
      {"otlp_traces",
       [](int n) {
         return StrCat(
             R"({"resourceSpans":[{"resource":{"attributes":[]},"scopeSpans":[{"spans":[{"traceId":"x","spanId":")",
             n,
             R"(","startTimeUnixNano":"1774972800000000000","endTimeUnixNano":"1774972801000000000","attributes":[)",
             Attribute("gen_ai.operation.name", "chat"), ",",
             Attribute("user.id", StrCat("a", n % 997)), ",",
             Attribute("gen_ai.request.model", "m"), ",",
             R"({"key":"gen_ai.usage.input_tokens","value":{"intValue":"1200"}},{"key":"gen_ai.usage.output_tokens","value":{"intValue":"400"}},)",
             Attribute("gen_ai.input.messages", Escaped(Messages(n))), ",",
             Attribute("gen_ai.output.messages",
                       Escaped(StrCat(R"([{"role":"assistant","parts":[{"type":"text","content":")",
                                      Answer(n), R"("}]}])"))),
             "]}]}]}]}");
       }},
      {"otlp_logs",
       [](int n) {
         return StrCat(
             R"({"resourceLogs":[{"resource":{"attributes":[]},"scopeLogs":[{"logRecords":[{"traceId":"x","spanId":")",
             n,
             R"(","timeUnixNano":"1774972800000000000","eventName":"gen_ai.client.inference.operation.details","attributes":[)",
             Attribute("user.id", StrCat("a", n % 997)), ",",
             Attribute("gen_ai.request.model", "m"), ",",
             Attribute("gen_ai.input.messages", Escaped(Messages(n))), ",",
             Attribute("gen_ai.output.messages",
                       Escaped(StrCat(R"([{"role":"assistant","parts":[{"type":"text","content":")",
                                      Answer(n), R"("}]}])"))),
             "]}]}]}]}");
       }},
  };
  return *lines;
}

// Tables, made by the engine from the canonical lines: {file name, SELECT}.
struct TableLog {
  const char *name, *file, *columns, *output;
};
constexpr TableLog kTables[] = {
    {"canonical.parquet", "canonical.parquet", "*", "Parquet"},
    {"canonical.csv", "canonical.csv", "* REPLACE(toJSONString(messages) AS messages)",
     "CSVWithNames"},
    {"langfuse", "langfuse.parquet",
     "exchange_id AS span_id, 't' AS trace_id, 'p' AS project_id, 'GENERATION' AS type, "
     "toDateTime64('2026-04-01 00:00:00', 3, 'UTC') AS start_time, model AS "
     "provided_model_name, account_id AS user_id, '' AS session_id, toJSONString(messages) AS "
     "input, toJSONString(map('role', 'assistant', 'content', response)) AS output, "
     "map('input', toUInt64(1200), 'output', toUInt64(400)) AS usage_details",
     "Parquet"},
    {"helicone", "helicone.parquet",
     "exchange_id AS request_id, toDateTime64('2026-04-01 00:00:00', 3, 'UTC') AS "
     "request_created_at, account_id AS user_id, 'o' AS organization_id, api_key_id AS "
     "proxy_key_id, model, concat('{\"messages\":', toJSONString(messages), '}') AS request_body, "
     "concat('{\"choices\":[{\"message\":{\"content\":', "
     "toJSONString(response), '}}]}') AS response_body, 1200 AS prompt_tokens, 400 AS "
     "completion_tokens, 70 AS latency, 200 AS status",
     "Parquet"},
    {"wildchat", "wildchat.parquet",
     "exchange_id AS conversation_hash, model, toDateTime64('2026-04-01 00:00:00', 6, 'UTC') AS "
     "timestamp, arrayConcat(messages, [CAST(('assistant', response), "
     "'Tuple(role String, content String)')]) AS conversation, account_id AS hashed_ip, "
     "CAST(('en', 'UA'), 'Tuple(`accept-language` String, `user-agent` String)') AS header",
     "Parquet"},
};

struct Folder {
  std::string path;
  std::unique_ptr<lake::Lake> lake;
  Folder() {
    path =
        StrCat(std::filesystem::temp_directory_path().string(), "/stillwatch-formats-", getpid());
    std::filesystem::create_directories(path);
    auto opened = lake::OpenEmbedded({.path = path + "/lake", .threads = kThreads});
    if (opened.ok()) lake = *std::move(opened);
  }
  ~Folder() {
    lake.reset();
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

// Where a log of this name lies, made when it is first asked for; the lake it is read through.
std::string Make(Folder& folder, const std::string& name) {
  if (const auto line = Lines().find(name); line != Lines().end()) {
    const std::string file = StrCat(folder.path, "/", name, ".jsonl");
    if (std::filesystem::exists(file)) return file;
    std::ofstream out(file, std::ios::binary);
    for (int n = 0; n < kRecords; ++n) out << line->second(n) << '\n';
    return file;
  }
  for (const TableLog& t : kTables) {
    if (name != t.name) continue;
    const std::string file = StrCat(folder.path, "/", t.file);
    if (std::filesystem::exists(file)) return file;
    // Plain types: what a log's own writer would give, without NULL everywhere.
    const absl::Status s = folder.lake->Execute(
        StrCat("SELECT ", t.columns, " FROM file(", lake::SqlString(Make(folder, "canonical")),
               ", 'JSONEachRow', 'exchange_id String, ts String, account_id String, api_key_id "
               "String, model String, input_tokens UInt32, output_tokens UInt32, status "
               "UInt16, messages Array(Tuple(role String, content String)), response String') INTO "
               "OUTFILE ",
               lake::SqlString(file), " FORMAT ", t.output));
    return s.ok() ? file : "";
  }
  return "";
}

double CpuSeconds() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

void Format(benchmark::State& state, const std::string& name) {
  static Folder folder;
  static double canonical = 0, canonical_cpu = 0;  // records a second
  if (folder.lake == nullptr) return state.SkipWithError("the embedded lake did not open");
  const std::string file = Make(folder, name);
  std::atomic<int> seen{0};
  const ingest::Sink sink{[&](int, const model::ExchangeView& e) {
                            ++seen;
                            benchmark::DoNotOptimize(e.turn.size());
                            return absl::OkStatus();
                          },
                          [](model::Reject r) { return absl::InternalError(r.reason); }};
  const auto begin = std::chrono::steady_clock::now();
  const double cpu_begin = CpuSeconds();
  for (auto _ : state) {
    seen = 0;
    auto log = ingest::Log::Plan({file}, "auto");
    if (!log.ok()) return state.SkipWithError(std::string(log.status().message()).c_str());
    auto source = log->Open(folder.lake.get(), {.now_ms = 1'800'000'000'000});
    if (!source.ok()) return state.SkipWithError(std::string(source.status().message()).c_str());
    const absl::Status s = (*source)->Read(kThreads, sink, nullptr, nullptr);
    if (!s.ok()) return state.SkipWithError(std::string(s.message()).c_str());
    if (seen != kRecords) return state.SkipWithError("records were lost");
  }
  const double records = static_cast<double>(state.iterations()) * kRecords,
               rate =
                   records /
                   std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
               cpu = records / (CpuSeconds() - cpu_begin);
  state.SetItemsProcessed(state.iterations() * kRecords);
  if (name == "canonical") canonical = rate, canonical_cpu = cpu;
  char label[64] = "";
  if (canonical > 0) {
    std::snprintf(label, sizeof label, "%.2f of canonical by CPU, %.2f by the clock",
                  cpu / canonical_cpu, rate / canonical);
  }
  state.SetLabel(label);
  if (canonical > 0) state.counters["of_canonical"] = cpu / canonical_cpu;
}

int Register() {
  const auto one = [](const std::string& name) {
    benchmark::RegisterBenchmark(("Format/" + name).c_str(),
                                 [name](benchmark::State& state) { Format(state, name); })
        ->UseRealTime()
        ->MeasureProcessCPUTime()
        ->Unit(benchmark::kMillisecond);
  };
  one("canonical");
  for (const auto& [name, line] : Lines()) {
    if (name != "canonical") one(name);
  }
  for (const TableLog& t : kTables) one(t.name);
  return 0;
}
const int registered = Register();

}  // namespace
