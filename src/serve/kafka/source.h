// Exchanges from a Kafka topic. An offset is committed only when all before it is durable in the
// journal: after a crash messages come again, and count once.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ingest/live/service.h"

namespace stillwatch::serve {

// What a message is: lines of canonical exchanges or account records, LiteLLM's payloads, or an
// export request of OTLP (what the OpenTelemetry collector's kafka exporter writes).
enum class KafkaFormat : uint8_t {
  kCanonical,
  kAccounts,
  kLitellm,
  kOtlpTraces,
  kOtlpLogs,
  kOtlpTracesJson,
  kOtlpLogsJson,
};
// "canonical" "accounts" "litellm" "otlp_traces" "otlp_logs" "otlp_traces_json" "otlp_logs_json"
bool ParseKafkaFormat(std::string_view name, KafkaFormat* format);

struct KafkaOptions {
  std::string brokers;  // "host:9092,host:9092"
  std::string topic;    // a name, or a regular expression that begins with "^"
  std::string group = "stillwatch";
  KafkaFormat format = KafkaFormat::kCanonical;
  // librdkafka's own, for TLS, SASL and bounds; what this class relies on cannot be set.
  std::map<std::string, std::string> properties;
  size_t messages_max = 10'000;     // taken at a time,
  size_t bytes_max = 16u << 20;     // no more than so many bytes (but one message),
  int64_t linger_ms = 100;          // waiting no longer for more
  int64_t backoff_max_ms = 10'000;  // while the journal refuses
  std::function<void(std::string)> note = [](std::string) {};  // from the source's thread
};

struct KafkaStats {
  uint64_t messages = 0;                // durable or refused, each once
  uint64_t accepted = 0, rejected = 0;  // records of formats of lines; all are in LiveStats
  uint64_t retries = 0;                 // the journal refused; tried again
  std::string last_error;
};

// Owns one thread from Start to Stop.
class KafkaSource {
 public:
  // InvalidArgument: an option that librdkafka refuses, with its reason. Brokers that cannot be
  // reached are no error: it goes on trying, and says so. `service` outlives it.
  static absl::StatusOr<std::unique_ptr<KafkaSource>> Create(KafkaOptions options,
                                                             ingest::IngestService* service);
  ~KafkaSource();
  void Start();
  // Finishes what it has taken, commits, leaves the group.
  void Stop();
  KafkaStats stats() const;

 private:
  struct Consumer;
  struct Taken;
  KafkaSource(KafkaOptions options, ingest::IngestService* service);
  void Run();
  // False: stopped before all of it was durable.
  bool Ingest(const Taken& taken);
  void Note(std::string text);

  const KafkaOptions options_;
  ingest::IngestService* const service_;
  std::unique_ptr<Consumer> consumer_;
  std::thread thread_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  KafkaStats stats_;
};

}  // namespace stillwatch::serve
