#include "serve/kafka/source.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <chrono>
#include <filesystem>
#include <set>
#include <thread>

#include "base/str.h"
#include "lake/native.h"

namespace stillwatch::serve {
namespace {

namespace fs = std::filesystem;
using base::StrCat;

constexpr int64_t kNow = 1'798'761'600'000;  // 2027
constexpr char kTopic[] = "exchanges";

std::string Record(std::string_view id) {
  return StrCat(R"({"exchange_id":")", id, R"(","ts":"2026-05-01T10:00:00Z","account_id":"a"})");
}

// librdkafka's own broker, in this process.
class KafkaTest : public testing::Test {
 protected:
  void SetUp() override {
    char error[512];
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "0", error, sizeof error);
    producer_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    ASSERT_NE(producer_, nullptr) << error;
    cluster_ = rd_kafka_mock_cluster_new(producer_, 1);
    ASSERT_NE(cluster_, nullptr);
    rd_kafka_mock_topic_create(cluster_, kTopic, 2, 1);
    rd_kafka_brokers_add(producer_, rd_kafka_mock_cluster_bootstraps(cluster_));
    folder_ = testing::TempDir() + "/kafka";
    fs::remove_all(folder_);
    Open(1u << 20);
  }
  void TearDown() override {
    service_.reset();
    journal_.reset();
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(producer_);
    fs::remove_all(folder_);
  }
  void Open(uint64_t journal_bytes) {
    service_.reset();
    journal_.reset();
    auto journal = journal::Journal::Open(
        {.folder = folder_ + "/journal", .bytes_max = journal_bytes, .segment_bytes = 4096},
        [](std::string) {});
    ASSERT_TRUE(journal.ok()) << journal.status();
    journal_ = std::move(*journal);
    auto rejected = ingest::RejectedLog::Open({.folder = folder_});
    ASSERT_TRUE(rejected.ok());
    rejected_ = std::move(*rejected);
    ingest::LiveOptions options;
    options.now_ms = [] { return kNow; };
    service_ = std::make_unique<ingest::IngestService>(journal_.get(), rejected_.get(), options);
  }
  void Produce(const std::string& value, int partition = 0) {
    ASSERT_EQ(rd_kafka_producev(
                  producer_, RD_KAFKA_V_TOPIC(kTopic), RD_KAFKA_V_PARTITION(partition),
                  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                  RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()), RD_KAFKA_V_END),
              RD_KAFKA_RESP_ERR_NO_ERROR);
    ASSERT_EQ(rd_kafka_flush(producer_, 10'000), RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  KafkaOptions Options() {
    KafkaOptions o;
    o.brokers = rd_kafka_mock_cluster_bootstraps(cluster_);
    o.topic = kTopic;
    o.linger_ms = 20;
    o.backoff_max_ms = 50;
    o.properties = {{"session.timeout.ms", "6000"}};
    return o;
  }
  std::unique_ptr<KafkaSource> Source(const KafkaOptions& options) {
    auto source = KafkaSource::Create(options, service_.get());
    EXPECT_TRUE(source.ok()) << source.status();
    (*source)->Start();
    return std::move(*source);
  }
  template <typename F>
  static bool Eventually(F done) {
    for (int i = 0; i < 3000; ++i) {
      if (done()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  // What the group has committed in both partitions, together; -1: nothing.
  int64_t Committed() {
    char error[512];
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "group.id", "stillwatch", error, sizeof error);
    rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster_), error,
                      sizeof error);
    rd_kafka_t* rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    auto* list = rd_kafka_topic_partition_list_new(2);
    rd_kafka_topic_partition_list_add(list, kTopic, 0);
    rd_kafka_topic_partition_list_add(list, kTopic, 1);
    int64_t sum = -1;
    if (rd_kafka_committed(rk, list, 10'000) == RD_KAFKA_RESP_ERR_NO_ERROR) {
      for (int i = 0; i < list->cnt; ++i) {
        if (list->elems[i].offset >= 0) sum = std::max<int64_t>(sum, 0) + list->elems[i].offset;
      }
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
    return sum;
  }
  std::multiset<std::string> Journaled() {
    std::multiset<std::string> out;
    journal::Entry e;
    while (journal_->Next(&e).value_or(false)) {
      std::string_view bytes = e.block;
      const auto block = lake::DecodeNative(&bytes);
      if (const auto* id = block->Find("exchange_id")) {
        for (size_t i = 0; i < e.rows; ++i) out.emplace(id->As<lake::StringColumn>()[i]);
      }
      sequence_ = e.sequence;
    }
    return out;
  }

  rd_kafka_t* producer_ = nullptr;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
  std::string folder_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<ingest::RejectedLog> rejected_;
  std::unique_ptr<ingest::IngestService> service_;
  uint64_t sequence_ = 0;
};

TEST_F(KafkaTest, TakesMessagesCountsBadOnesAndCommits) {
  Produce(Record("e1"));
  Produce("{bad");
  Produce(Record("e2") + "\n" + Record("e3"), 1);
  auto source = Source(Options());
  ASSERT_TRUE(Eventually([&] { return source->stats().messages == 3; }))
      << source->stats().last_error;
  EXPECT_EQ(source->stats().accepted, 3u);
  EXPECT_EQ(source->stats().rejected, 1u);
  source->Stop();
  EXPECT_EQ(Journaled(), (std::multiset<std::string>{"e1", "e2", "e3"}));
  EXPECT_EQ(Committed(), 3);
  // The next one of the group goes on behind.
  Produce(Record("e4"));
  source = Source(Options());
  ASSERT_TRUE(Eventually([&] { return source->stats().messages == 1; }));
  source->Stop();
  EXPECT_EQ(Journaled(), std::multiset<std::string>{"e4"});
}

TEST_F(KafkaTest, WhatTheJournalRefusesIsNotCommittedAndComesAgain) {
  Open(8192);
  std::multiset<std::string> want;
  while (service_->Exchanges(ingest::BodyFormat::kCanonical, Record("filler"), "s").ok()) {
  }
  for (int i = 0; i < 5; ++i) {
    want.insert(StrCat("e", i));
    Produce(Record(StrCat("e", i)));
  }
  auto source = Source(Options());
  ASSERT_TRUE(Eventually([&] { return source->stats().retries >= 2; }));
  EXPECT_EQ(source->stats().messages, 0u);
  source->Stop();  // a kill would leave no more behind
  EXPECT_EQ(Committed(), -1);
  source = Source(Options());
  ASSERT_TRUE(Eventually([&] { return source->stats().retries >= 1; }));
  Journaled();
  ASSERT_TRUE(journal_->Commit(sequence_).ok());  // the lake has caught up
  ASSERT_TRUE(Eventually([&] { return source->stats().messages == 5; }));
  source->Stop();
  EXPECT_EQ(Journaled(), want);
  EXPECT_EQ(Committed(), 5);
}

TEST_F(KafkaTest, OtlpMessages) {
  Produce(
      R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"aa","spanId":"bb","startTimeUnixNano":"1767225600000000000","attributes":[{"key":"gen_ai.request.model","value":{"stringValue":"m"}},{"key":"user.id","value":{"stringValue":"u"}}]}]}]}]})");
  Produce("no json");
  KafkaOptions o = Options();
  o.format = KafkaFormat::kOtlpTracesJson;
  auto source = Source(o);
  ASSERT_TRUE(Eventually([&] { return source->stats().messages == 2; }));
  source->Stop();
  EXPECT_EQ(Journaled(), std::multiset<std::string>{"aa-bb"});
  EXPECT_EQ(service_->stats().rejected, 1u);
}

TEST_F(KafkaTest, OptionsThatCannotBeAreRefused) {
  KafkaOptions o = Options();
  o.properties["no.such.property"] = "s3cret";
  auto source = KafkaSource::Create(o, service_.get());
  EXPECT_TRUE(absl::IsInvalidArgument(source.status()));
  EXPECT_NE(source.status().message().find("no.such.property"), source.status().message().npos);
  EXPECT_EQ(source.status().message().find("s3cret"), source.status().message().npos);
  o = Options();
  o.properties["enable.auto.offset.store"] = "true";
  EXPECT_TRUE(absl::IsInvalidArgument(KafkaSource::Create(o, service_.get()).status()));
  o = Options();
  o.topic = "";
  EXPECT_TRUE(absl::IsInvalidArgument(KafkaSource::Create(o, service_.get()).status()));
  KafkaFormat f;
  EXPECT_TRUE(ParseKafkaFormat("otlp_logs", &f));
  EXPECT_FALSE(ParseKafkaFormat("avro", &f));
}

}  // namespace
}  // namespace stillwatch::serve
