#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "base/str.h"
#include "base/time.h"
#include "ingest/formats/rows.h"
#include "ingest/jsonl/canonical.h"
#include "ingest/live/litellm.h"
#include "ingest/live/loader.h"
#include "ingest/live/rejected.h"
#include "ingest/live/service.h"
#include "lake/embedded/embedded_lake.h"

namespace stillwatch::ingest {
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

std::string Record(std::string_view id, std::string_view text = "") {
  std::string out = StrCat(R"({"exchange_id":")", id,
                           R"(","ts":"2026-05-01T10:00:00.250Z","account_id":"acct-1")");
  if (!text.empty())
    base::StrAppend(&out, R"(,"messages":[{"role":"user","content":")", text, R"("}])");
  return out + "}";
}

// Keeps what it is given, once it works.
class FakeLake : public lake::Lake {
 public:
  absl::Status Migrate() override { return absl::OkStatus(); }
  absl::Status Insert(std::string_view table, const lake::Block& b) override {
    if (failures > 0) {
      --failures;
      return absl::UnavailableError("lake: gone");
    }
    ++inserts;
    largest = std::max(largest, b.rows());
    if (table == "accounts") accounts += b.rows();
    if (table != "exchanges") return absl::OkStatus();
    const auto& id = b.Find("exchange_id")->As<lake::StringColumn>();
    const auto& turn = b.Find("turn_sketch")->As<lake::ArrayColumn<uint32_t>>();
    for (size_t i = 0; i < b.rows(); ++i) {
      ids.emplace_back(id[i]);
      if (turn.end(i) > turn.begin(i)) sketched.insert(std::string(id[i]));
    }
    return absl::OkStatus();
  }
  absl::Status Query(std::string_view,
                     const std::function<absl::Status(const lake::Block&)>&) override {
    return absl::UnimplementedError("");
  }
  absl::Status Execute(std::string_view) override { return absl::UnimplementedError(""); }
  absl::StatusOr<std::string> Report(std::string_view, std::string_view,
                                     const lake::ReportBounds&) override {
    return absl::UnimplementedError("");
  }
  std::atomic<int> failures{0};
  int inserts = 0;
  size_t largest = 0, accounts = 0;
  std::vector<std::string> ids;
  std::set<std::string> sketched;
};

class LiveTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = StrCat(testing::TempDir(), "/live");
    fs::remove_all(folder_);
    journal_options_.folder = StrCat(folder_, "/journal");
    Open();
  }
  void TearDown() override {
    service_.reset();
    journal_.reset();
    fs::remove_all(folder_);
  }
  void Open() {
    service_.reset();
    journal_.reset();
    auto journal = journal::Journal::Open(journal_options_, [](std::string) {});
    ASSERT_TRUE(journal.ok()) << journal.status();
    journal_ = std::move(*journal);
    rejected_options_.folder = folder_;
    auto rejected = RejectedLog::Open(rejected_options_);
    ASSERT_TRUE(rejected.ok()) << rejected.status();
    rejected_ = std::move(*rejected);
    options_.now_ms = [] { return kNow; };
    service_ = std::make_unique<IngestService>(journal_.get(), rejected_.get(), options_);
  }
  // Loads all that is in the journal.
  void Load() {
    Loader loader(journal_.get(), &lake_, {.linger_ms = 0, .backoff_ms = 1});
    while (loader.Step()) {
    }
  }

  std::string folder_;
  journal::JournalOptions journal_options_;
  RejectedOptions rejected_options_;
  LiveOptions options_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<RejectedLog> rejected_;
  std::unique_ptr<IngestService> service_;
  FakeLake lake_;
};

TEST_F(LiveTest, GoodLinesGoInAndBadOnesAreExplained) {
  const std::string body = StrCat(Record("e1", "please sum the numbers in the table below for me"),
                                  "\r\n\n", "{broken\n", Record("e2"), "\n",
                                  R"({"exchange_id":"e3","ts":"yesterday","account_id":"a"})");
  const auto r = service_->Exchanges(BodyFormat::kCanonical, body, "http 192.0.2.1");
  ASSERT_TRUE(r.ok()) << r.status();
  EXPECT_EQ(r->accepted, 2u);
  EXPECT_EQ(r->rejected, 2u);
  ASSERT_EQ(r->reasons.size(), 2u);
  EXPECT_EQ(r->reasons[0].record, 3u);
  EXPECT_EQ(r->reasons[1].record, 5u);
  EXPECT_NE(r->reasons[1].reason.find("ts: not RFC 3339"), std::string::npos);
  // Nothing is in the lake yet, all of it is in the journal: another process would find it.
  Open();
  Load();
  EXPECT_EQ(lake_.ids, (std::vector<std::string>{"e1", "e2"}));
  EXPECT_EQ(lake_.sketched, std::set<std::string>{"e1"});
  const std::string kept = Slurp(folder_ + "/rejected.jsonl");
  EXPECT_NE(kept.find("{broken"), std::string::npos);
  EXPECT_NE(kept.find("http 192.0.2.1"), std::string::npos);
  EXPECT_EQ(std::count(kept.begin(), kept.end(), '\n'), 2);
}

TEST_F(LiveTest, NoTextReachesTheDisk) {
  const std::string secret = "the marzipan zeppelin password";
  ASSERT_TRUE(service_->Exchanges(BodyFormat::kCanonical, Record("e1", secret), "s").ok());
  ASSERT_TRUE(
      service_
          ->Exchanges(BodyFormat::kLitellm,
                      StrCat(R"({"id":"x","startTime":1767225600,"end_user":"u","messages":)"
                             R"([{"role":"user","content":")",
                             secret, R"("}],"response":")", secret, R"("})"),
                      "s")
          .ok());
  size_t files = 0;
  for (const auto& f : fs::recursive_directory_iterator(folder_)) {
    if (!f.is_regular_file()) continue;
    ++files;
    EXPECT_EQ(Slurp(f.path()).find("zeppelin"), std::string::npos) << f.path();
  }
  EXPECT_GE(files, 2u);
  Load();
  EXPECT_EQ(lake_.sketched, (std::set<std::string>{"e1", "x"}));
}

TEST_F(LiveTest, ALakeThatIsGoneDelaysAndLosesNothing) {
  lake_.failures = 5;
  std::vector<std::string> want;
  for (int i = 0; i < 50; ++i) {
    want.push_back(StrCat("e", i));
    ASSERT_TRUE(service_->Exchanges(BodyFormat::kCanonical, Record(want.back()), "s").ok());
  }
  Loader loader(journal_.get(), &lake_, {.linger_ms = 20, .backoff_ms = 1});
  loader.Start();
  for (int i = 0; i < 60'000 && journal_->stats().committed < 50; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  loader.Stop();
  EXPECT_EQ(lake_.ids, want);
  EXPECT_EQ(loader.stats().failures, 5u);
  EXPECT_FALSE(loader.stats().failing);
  EXPECT_LT(lake_.inserts, 10);  // requests of one record do not become inserts of one row
  EXPECT_EQ(journal_->stats().committed, 50u);
}

TEST_F(LiveTest, AStoppedLoaderLeavesTheRestToTheNext) {
  lake_.failures = 1'000'000;
  ASSERT_TRUE(service_->Exchanges(BodyFormat::kCanonical, Record("e1"), "s").ok());
  {
    Loader loader(journal_.get(), &lake_, {.linger_ms = 1, .backoff_ms = 60'000});
    loader.Start();
    while (loader.stats().failures == 0) std::this_thread::yield();
    EXPECT_TRUE(loader.stats().failing);
    loader.Stop();  // though it would sleep for a minute
  }
  lake_.failures = 0;
  Open();
  Load();
  EXPECT_EQ(lake_.ids, std::vector<std::string>{"e1"});
}

TEST_F(LiveTest, AFullJournalSaysSoAndTakesAgainOnceLoaded) {
  journal_options_.segment_bytes = 4096;
  journal_options_.bytes_max = 16'384;
  Open();
  absl::Status full;
  int taken = 0;
  for (; taken < 1000 && full.ok(); ++taken)
    full = service_->Exchanges(BodyFormat::kCanonical, Record(StrCat("e", taken)), "s").status();
  --taken;
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  ASSERT_GT(taken, 3);
  Load();
  EXPECT_EQ(static_cast<int>(lake_.ids.size()), taken);
  EXPECT_TRUE(service_->Exchanges(BodyFormat::kCanonical, Record("again"), "s").ok());
}

TEST_F(LiveTest, TooMuchAtOnceIsRefused) {
  options_.bytes_in_work_max = 1000;
  Open();
  auto large = service_->Begin("s", 5000);  // alone: let through
  ASSERT_TRUE(large.ok());
  EXPECT_TRUE(absl::IsResourceExhausted(service_->Begin("s", 1).status()));
  EXPECT_EQ(service_->stats().refused_bodies, 1u);
  { const auto gone = std::move(*large); }
  EXPECT_TRUE(service_->Begin("s", 900).ok());
}

TEST_F(LiveTest, ManySendersAtOnce) {
  constexpr int kThreads = 8, kEach = 50;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const auto r = service_->Exchanges(
            BodyFormat::kCanonical, StrCat(Record(StrCat(t, "-", i), "a few words"), "\n{"), "s");
        ASSERT_TRUE(r.ok());
        ASSERT_EQ(r->accepted, 1u);
        ASSERT_EQ(r->rejected, 1u);
      }
    });
  }
  for (auto& t : threads) t.join();
  Load();
  EXPECT_EQ(lake_.ids.size(), static_cast<size_t>(kThreads * kEach));
  EXPECT_EQ(std::set<std::string>(lake_.ids.begin(), lake_.ids.end()).size(), lake_.ids.size());
  EXPECT_EQ(service_->stats().accepted, static_cast<uint64_t>(kThreads * kEach));
  EXPECT_EQ(service_->stats().rejected, static_cast<uint64_t>(kThreads * kEach));
}

TEST_F(LiveTest, RefusedRecordsAreBounded) {
  rejected_options_.bytes_max = 20'000;
  rejected_options_.record_bytes_max = 10;
  Open();
  const std::string bad = StrCat("{", std::string(5000, 'y'), "\n");
  for (int i = 0; i < 500; ++i)
    ASSERT_TRUE(service_->Exchanges(BodyFormat::kCanonical, bad, "s").ok());
  uint64_t bytes = 0;
  for (const char* name : {"/rejected.jsonl", "/rejected.1.jsonl"})
    bytes += fs::file_size(folder_ + name);
  EXPECT_LE(bytes, 20'000u);
  EXPECT_GT(bytes, 5'000u);
  EXPECT_EQ(Slurp(folder_ + "/rejected.jsonl").find("yyyyyyyyyyy"), std::string::npos);
  EXPECT_EQ(service_->stats().rejected, 500u);
  EXPECT_EQ(rejected_->unkept(), 0u);
}

TEST_F(LiveTest, AccountsAndTheirAttestations) {
  std::vector<Attestation> got;
  absl::Status answer;
  options_.attest = [&](const std::vector<Attestation>& a) {
    EXPECT_LE(a.size(), kAttestationsMax);
    got.insert(got.end(), a.begin(), a.end());
    return answer;
  };
  Open();
  std::string body;
  for (int i = 0; i < 6000; ++i)
    body += StrCat(R"({"account_id":"a)", i, R"(","country":"FR","citizenship":"DE"})", "\n");
  body += "{\"account_id\":\"plain\"}\n{\"plan\":\"free\"}\n";
  auto r = service_->Accounts(body, "s");
  ASSERT_TRUE(r.ok()) << r.status();
  EXPECT_EQ(r->accepted, 6001u);
  EXPECT_EQ(r->rejected, 1u);
  EXPECT_EQ(got.size(), 12'000u);
  EXPECT_EQ(got.back().account_id + got.back().kind + got.back().value, "a5999citizenshipDE");
  Load();
  EXPECT_EQ(lake_.accounts, 6001u);
  answer = absl::UnavailableError("state: gone");
  EXPECT_EQ(service_->Accounts(body, "s").status(), answer);
  Load();
  EXPECT_EQ(lake_.accounts, 6001u);  // not acknowledged, not taken
}

// The C++ reader gives what formats/litellm.sql gives: the golden lines are the SELECT's.
TEST(Litellm, EqualsItsSelect) {
  const std::string body = Slurp(STILLWATCH_SOURCE_DIR "/tests/data/formats/litellm.jsonl");
  std::multiset<std::string> want, got;
  std::istringstream golden(Slurp(STILLWATCH_SOURCE_DIR "/tests/golden/formats/litellm.jsonl"));
  for (std::string line; std::getline(golden, line);) {
    // Places are counted otherwise, and what is no JSON is worded by another reader.
    if (line.starts_with("rejected")) line = line.substr(line.find(':'), 8);
    want.insert(line);
  }
  RowWriter rows;
  RowReader reader(kNow);
  LitellmReader litellm;
  const auto reject = [&](model::Reject r) { got.insert(StrCat(": ", r.reason).substr(0, 8)); };
  litellm.Read(body, &rows, reject);
  ReadRows(
      rows.Block(), &reader,
      [&](const model::ExchangeView& e) {
        std::string line;
        AppendCanonical(e, nullptr, &line);
        got.insert(line);
      },
      reject);
  EXPECT_GT(want.size(), 6u);
  EXPECT_EQ(got, want);
}

TEST_F(LiveTest, LitellmInEachOfItsShapes) {
  const auto payload = [](std::string_view id) {
    return StrCat(R"({"id":")", id, R"(","startTime":1767225600.5,"end_user":"u"})");
  };
  for (const std::string& body :
       {payload("one"), StrCat("[", payload("two"), ",", payload("three"), "]"),
        StrCat(payload("four"), "\n", payload("five"), "\n")}) {
    const auto r = service_->Exchanges(BodyFormat::kLitellm, body, "s");
    ASSERT_TRUE(r.ok());
    EXPECT_EQ(r->rejected, 0u);
  }
  const auto bad = service_->Exchanges(BodyFormat::kLitellm, R"([{"id":"six"},7,{"id":)", "s");
  ASSERT_TRUE(bad.ok());
  EXPECT_EQ(bad->accepted, 0u);
  EXPECT_EQ(bad->rejected, 3u);
  Load();
  EXPECT_EQ(lake_.ids, (std::vector<std::string>{"one", "two", "three", "four", "five"}));
}

// Into the real engine, twice the same: it counts once.
TEST_F(LiveTest, TheEmbeddedLakeTakesWhatTheJournalHolds) {
  const std::string path = StrCat(folder_, "/lake");
  auto lake = lake::OpenEmbedded({.path = path, .threads = 1});
  ASSERT_TRUE(lake.ok()) << lake.status();
  ASSERT_TRUE((*lake)->Migrate().ok());
  const std::string sample =
      StrCat(Record("e1", "some words to look at"), "\n", Record("e2"), "\n");
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(service_->Exchanges(BodyFormat::kCanonical, sample, "s").ok());
  ASSERT_TRUE(service_->Accounts(R"({"account_id":"acct-1","kyc":"email"})", "s").ok());
  Loader loader(journal_.get(), lake->get(), {.linger_ms = 0});
  while (loader.Step()) {
  }
  const auto count = (*lake)->Report(
      "SELECT uniqExact(exchange_id), uniqExact(content), min(ts), (SELECT count() FROM accounts) "
      "FROM exchanges",
      "CSV");
  ASSERT_TRUE(count.ok()) << count.status();
  EXPECT_EQ(*count, StrCat("2,2,", *base::ParseRfc3339("2026-05-01T10:00:00.250Z"), ",1\n"));
}

}  // namespace
}  // namespace stillwatch::ingest
