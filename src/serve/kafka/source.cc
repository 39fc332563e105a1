#include "serve/kafka/source.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <chrono>

#include "base/str.h"
#include "serve/otlp/otlp.h"

namespace stillwatch::serve {
namespace {

using base::StrCat;
using Clock = std::chrono::steady_clock;

constexpr size_t kErrorBytes = 512;
constexpr std::pair<std::string_view, KafkaFormat> kFormats[] = {
    {"canonical", KafkaFormat::kCanonical},
    {"accounts", KafkaFormat::kAccounts},
    {"litellm", KafkaFormat::kLitellm},
    {"otlp_traces", KafkaFormat::kOtlpTraces},
    {"otlp_logs", KafkaFormat::kOtlpLogs},
    {"otlp_traces_json", KafkaFormat::kOtlpTracesJson},
    {"otlp_logs_json", KafkaFormat::kOtlpLogsJson},
};

// What acknowledging only what is durable rests on. Offsets are stored by hand, once the journal
// has them; librdkafka commits what is stored, each second and when a partition is given up.
constexpr std::pair<const char*, const char*> kOurs[] = {
    {"enable.auto.commit", "true"},
    {"auto.commit.interval.ms", "1000"},
    {"enable.auto.offset.store", "false"},
    {"enable.partition.eof", "false"},
};

std::string Text(const absl::Status& s) { return {s.message().data(), s.message().size()}; }

}  // namespace

bool ParseKafkaFormat(std::string_view name, KafkaFormat* format) {
  for (const auto& [known, f] : kFormats) {
    if (known != name) continue;
    *format = f;
    return true;
  }
  return false;
}

struct KafkaSource::Consumer {
  ~Consumer() {
    if (rk == nullptr) return;
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
  }
  rd_kafka_t* rk = nullptr;
};

// Messages of one partition, in order.
struct KafkaSource::Taken {
  std::string topic;
  int32_t partition = 0;
  int64_t first = 0, next = 0;  // offsets
  std::vector<std::string> values;
};

KafkaSource::KafkaSource(KafkaOptions options, ingest::IngestService* service)
    : options_(std::move(options)), service_(service) {}

KafkaSource::~KafkaSource() { Stop(); }

absl::StatusOr<std::unique_ptr<KafkaSource>> KafkaSource::Create(KafkaOptions options,
                                                                 ingest::IngestService* service) {
  std::unique_ptr<KafkaSource> source(new KafkaSource(std::move(options), service));
  const KafkaOptions& o = source->options_;
  if (o.brokers.empty() || o.topic.empty() || o.group.empty())
    return absl::InvalidArgumentError("kafka: brokers, topic and group are needed");
  char error[kErrorBytes];
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  const auto set = [&](const std::string& key, const std::string& value) {
    if (rd_kafka_conf_set(conf, key.c_str(), value.c_str(), error, sizeof error) ==
        RD_KAFKA_CONF_OK)
      return absl::OkStatus();
    // Its sentence repeats the value, which may be a password.
    std::string why = error;
    for (size_t at; !value.empty() && (at = why.find(value)) != why.npos;)
      why.replace(at, value.size(), "...");
    return absl::InvalidArgumentError(StrCat("kafka: ", key, ": ", why));
  };
  absl::Status status = set("bootstrap.servers", o.brokers);
  if (status.ok()) status = set("group.id", o.group);
  if (status.ok()) status = set("auto.offset.reset", "earliest");
  for (const auto& [key, value] : o.properties) {
    if (!status.ok()) break;
    const bool ours = std::any_of(std::begin(kOurs), std::end(kOurs),
                                  [&, k = key](const auto& p) { return k == p.first; });
    status = ours ? absl::InvalidArgumentError(StrCat("kafka: ", key, ": cannot be set"))
                  : set(key, value);
  }
  for (const auto& [key, value] : kOurs) {
    if (status.ok()) status = set(key, value);
  }
  if (!status.ok()) {
    rd_kafka_conf_destroy(conf);
    return status;
  }
  rd_kafka_conf_set_opaque(conf, source.get());
  rd_kafka_conf_set_error_cb(conf, [](rd_kafka_t*, int code, const char* reason, void* self) {
    static_cast<KafkaSource*>(self)->Note(
        StrCat("kafka: ", rd_kafka_err2str(static_cast<rd_kafka_resp_err_t>(code)), ": ", reason));
  });
  rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
  source->consumer_ = std::make_unique<Consumer>();
  source->consumer_->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
  if (source->consumer_->rk == nullptr) {
    rd_kafka_conf_destroy(conf);
    return absl::InvalidArgumentError(StrCat("kafka: ", error));
  }
  rd_kafka_poll_set_consumer(source->consumer_->rk);
  rd_kafka_topic_partition_list_t* topics = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(topics, o.topic.c_str(), RD_KAFKA_PARTITION_UA);
  const rd_kafka_resp_err_t code = rd_kafka_subscribe(source->consumer_->rk, topics);
  rd_kafka_topic_partition_list_destroy(topics);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return absl::InvalidArgumentError(
        StrCat("kafka: topic ", o.topic, ": ", rd_kafka_err2str(code)));
  }
  return source;
}

void KafkaSource::Start() {
  thread_ = std::thread([this] { Run(); });
}

void KafkaSource::Stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  consumer_.reset();  // commits what is stored
}

void KafkaSource::Note(std::string text) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stats_.last_error = text;
  }
  options_.note(std::move(text));
}

void KafkaSource::Run() {
  rd_kafka_t* rk = consumer_->rk;
  while (!stop_) {
    std::vector<Taken> taken;
    size_t messages = 0, bytes = 0;
    const Clock::time_point begin = Clock::now();
    while (!stop_ && messages < options_.messages_max && bytes < options_.bytes_max) {
      const auto gone =
          std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
      if (gone >= options_.linger_ms) break;
      rd_kafka_message_t* m =
          rd_kafka_consumer_poll(rk, static_cast<int>(options_.linger_ms - gone));
      if (m == nullptr) break;
      if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        Note(StrCat("kafka: ", rd_kafka_message_errstr(m)));
        rd_kafka_message_destroy(m);
        continue;
      }
      const std::string topic = rd_kafka_topic_name(m->rkt);
      auto at = std::find_if(taken.begin(), taken.end(), [&](const Taken& t) {
        return t.partition == m->partition && t.topic == topic;
      });
      if (at == taken.end()) {
        taken.emplace_back();
        at = taken.end() - 1;
        at->topic = topic;
        at->partition = m->partition;
        at->first = m->offset;
      }
      at->next = m->offset + 1;
      at->values.emplace_back(static_cast<const char*>(m->payload), m->len);
      bytes += m->len;
      ++messages;
      rd_kafka_message_destroy(m);
    }
    for (const Taken& t : taken) {
      if (!Ingest(t)) return;
      rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
      rd_kafka_topic_partition_list_add(list, t.topic.c_str(), t.partition)->offset = t.next;
      // A partition that was taken away meanwhile is another's now: it reads these again.
      (void)rd_kafka_offsets_store(rk, list);
      rd_kafka_topic_partition_list_destroy(list);
    }
  }
}

bool KafkaSource::Ingest(const Taken& taken) {
  const std::string source =
      StrCat("kafka ", taken.topic, " partition ", taken.partition, " from offset ", taken.first);
  OtlpService otlp(service_);
  const auto exported = [&](OtlpKind kind, OtlpEncoding encoding) -> absl::Status {
    for (const std::string& value : taken.values) {
      const OtlpAnswer answer = otlp.Export(kind, encoding, value, source);
      if (absl::IsInvalidArgument(answer.status)) {  // the message as a whole: kept, passed over
        auto batch = service_->Begin(source, 0);
        if (!batch.ok()) return batch.status();
        model::Reject r;
        r.line = static_cast<uint64_t>(&value - taken.values.data()) + 1;
        r.reason = Text(answer.status);
        batch->Reject(std::move(r));
        if (const auto kept = batch->Commit(); !kept.ok()) return kept.status();
      } else if (!answer.status.ok()) {
        return answer.status;
      }
    }
    return absl::OkStatus();
  };
  // Lines of messages, together: one sync for all.
  std::string body;
  if (options_.format <= KafkaFormat::kLitellm) {
    for (const std::string& value : taken.values) base::StrAppend(&body, value, "\n");
  }
  int64_t backoff = 50;
  uint64_t accepted = 0, rejected = 0;
  const auto lines = [&](const absl::StatusOr<ingest::IngestResult>& result) -> absl::Status {
    if (!result.ok()) return result.status();
    accepted = result->accepted;
    rejected = result->rejected;
    return absl::OkStatus();
  };
  for (;;) {
    absl::Status status;
    switch (options_.format) {
      case KafkaFormat::kCanonical:
        status = lines(service_->Exchanges(ingest::BodyFormat::kCanonical, body, source));
        break;
      case KafkaFormat::kLitellm:
        status = lines(service_->Exchanges(ingest::BodyFormat::kLitellm, body, source));
        break;
      case KafkaFormat::kAccounts:
        status = lines(service_->Accounts(body, source));
        break;
      case KafkaFormat::kOtlpTraces:
        status = exported(OtlpKind::kTraces, OtlpEncoding::kProtobuf);
        break;
      case KafkaFormat::kOtlpLogs:
        status = exported(OtlpKind::kLogs, OtlpEncoding::kProtobuf);
        break;
      case KafkaFormat::kOtlpTracesJson:
        status = exported(OtlpKind::kTraces, OtlpEncoding::kJson);
        break;
      case KafkaFormat::kOtlpLogsJson:
        status = exported(OtlpKind::kLogs, OtlpEncoding::kJson);
        break;
    }
    if (status.ok()) break;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++stats_.retries;
    }
    Note(StrCat("kafka: ", taken.values.size(), " messages wait, tried again in ", backoff,
                " ms: ", Text(status)));
    for (int64_t waited = 0; waited < backoff; waited += 10) {
      if (stop_) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    backoff = std::min(2 * backoff, options_.backoff_max_ms);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.messages += taken.values.size();
  stats_.accepted += accepted;
  stats_.rejected += rejected;
  return true;
}

KafkaStats KafkaSource::stats() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

}  // namespace stillwatch::serve
