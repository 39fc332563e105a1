#include "journal/journal.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "base/str.h"
#include "journal/frame.h"
#include "lake/native.h"

namespace stillwatch::journal {
namespace {

namespace fs = std::filesystem;
using base::StrCat;

lake::Block Numbers(std::vector<uint64_t> v, size_t padding = 0) {
  lake::StringColumn text;
  for (size_t i = 0; i < v.size(); ++i) text.Append(std::string(padding, 'x'));
  return {{{"n", std::move(v)}, {"text", std::move(text)}}};
}

std::vector<uint64_t> NumbersOf(const Entry& e) {
  std::string_view bytes = e.block;
  const auto block = lake::DecodeNative(&bytes);
  EXPECT_TRUE(block.ok()) << block.status();
  return block->Find("n")->As<std::vector<uint64_t>>();
}

class JournalTest : public testing::Test {
 protected:
  void SetUp() override { options_.folder = StrCat(testing::TempDir(), "/journal"); }
  void TearDown() override { fs::remove_all(options_.folder); }

  std::unique_ptr<Journal> Open() {
    notes_.clear();
    auto j = Journal::Open(options_, [this](std::string n) { notes_.push_back(std::move(n)); });
    EXPECT_TRUE(j.ok()) << j.status();
    return j.ok() ? std::move(*j) : nullptr;
  }
  // Everything that can be read now, in order; errors go to errors_.
  std::vector<uint64_t> Drain(Journal& j) {
    std::vector<uint64_t> out;
    Entry e;
    for (;;) {
      const auto more = j.Next(&e);
      if (!more.ok()) {
        errors_.push_back(more.status());
        if (!absl::IsDataLoss(more.status())) return out;
        continue;
      }
      if (!*more) return out;
      EXPECT_EQ(e.table, "exchanges");
      for (const uint64_t n : NumbersOf(e)) out.push_back(n);
      last_ = e.sequence;
    }
  }
  std::vector<fs::path> Segments() {
    std::vector<fs::path> out;
    for (const auto& f : fs::directory_iterator(options_.folder))
      if (f.path().extension() == ".journal") out.push_back(f.path());
    std::sort(out.begin(), out.end());
    return out;
  }
  static std::string Bytes(const fs::path& p) {
    std::ifstream in(p, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  static void Write(const fs::path& p, std::string_view bytes) {
    std::ofstream(p, std::ios::binary).write(bytes.data(), static_cast<long>(bytes.size()));
  }

  JournalOptions options_;
  std::vector<std::string> notes_;
  std::vector<absl::Status> errors_;
  uint64_t last_ = 0;
};

TEST_F(JournalTest, GivesBackWhatItTookAcrossReopening) {
  {
    auto j = Open();
    ASSERT_TRUE(j->Append("exchanges", Numbers({1, 2})).ok());
    ASSERT_TRUE(j->Append("exchanges", Numbers({3})).ok());
    EXPECT_EQ(Drain(*j), (std::vector<uint64_t>{1, 2, 3}));
    ASSERT_TRUE(j->Commit(1).ok());
  }
  auto j = Open();
  EXPECT_EQ(Drain(*j), (std::vector<uint64_t>{3}));
  ASSERT_TRUE(j->Append("exchanges", Numbers({4})).ok());
  EXPECT_EQ(Drain(*j), (std::vector<uint64_t>{4}));
  ASSERT_TRUE(j->Commit(last_).ok());
  j.reset();
  j = Open();
  EXPECT_TRUE(Drain(*j).empty());
  EXPECT_TRUE(Segments().empty());  // all loaded
  ASSERT_TRUE(j->Append("exchanges", Numbers({5})).ok());
  EXPECT_EQ(Drain(*j), (std::vector<uint64_t>{5}));
  EXPECT_EQ(last_, 4u);  // sequences never start anew
  EXPECT_TRUE(notes_.empty());
  EXPECT_TRUE(errors_.empty());
}

TEST_F(JournalTest, RefusesASecondOwnerAndForeignBlocks) {
  auto j = Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(Journal::Open(options_, [](std::string) {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(j->Append("", Numbers({1}))));
  lake::Block uneven = Numbers({1});
  uneven.columns.push_back({"more", std::vector<uint64_t>{1, 2}});
  EXPECT_TRUE(absl::IsInvalidArgument(j->Append("exchanges", uneven)));
  EXPECT_TRUE(j->Append("exchanges", Numbers({})).ok());
  EXPECT_TRUE(Drain(*j).empty());
}

TEST_F(JournalTest, AWriteCutAnywhereLosesNothingBefore) {
  {
    auto j = Open();
    for (uint64_t n = 1; n <= 3; ++n) ASSERT_TRUE(j->Append("exchanges", Numbers({n}, 20)).ok());
  }
  const fs::path path = Segments().at(0);
  const std::string whole = Bytes(path);
  std::vector<size_t> ends;
  for (size_t at = kSegmentHead; at < whole.size();) {
    const auto f = FindFrame(whole, at);
    ASSERT_TRUE(f && f->offset == at);
    ends.push_back(at += f->head.size());
  }
  ASSERT_EQ(ends.size(), 3u);
  for (size_t cut = 0; cut <= whole.size(); cut += cut < 80 || cut + 20 > whole.size() ? 1 : 7) {
    fs::remove_all(options_.folder);
    fs::create_directories(options_.folder);
    Write(path, whole.substr(0, cut));
    auto j = Open();
    std::vector<uint64_t> want;
    bool whole_end = cut == kSegmentHead || cut == 0;
    for (size_t i = 0; i < ends.size(); ++i) {
      if (ends[i] <= cut) want.push_back(i + 1);
      whole_end |= ends[i] == cut;
    }
    ASSERT_EQ(Drain(*j), want) << cut;
    ASSERT_TRUE(errors_.empty()) << cut << " " << errors_[0];
    if (cut > kSegmentHead) {
      ASSERT_EQ(notes_.empty(), whole_end) << cut;
    }
    ASSERT_TRUE(j->Append("exchanges", Numbers({9})).ok());
    ASSERT_EQ(Drain(*j), std::vector<uint64_t>{9}) << cut;
    ASSERT_EQ(j->stats().lost, 0u);
  }
}

TEST_F(JournalTest, AByteChangedAnywhereIsReportedAndTheRestIsRead) {
  {
    auto j = Open();
    for (uint64_t n = 1; n <= 4; ++n) ASSERT_TRUE(j->Append("exchanges", Numbers({n}, 20)).ok());
  }
  const fs::path path = Segments().at(0);
  const std::string whole = Bytes(path);
  const size_t last = [&] {
    size_t at = kSegmentHead;
    for (int i = 0; i < 3; ++i) at += FindFrame(whole, at)->head.size();
    return at;
  }();
  for (size_t at = kSegmentHead; at < last; at += at < 60 ? 1 : 11) {
    fs::remove_all(options_.folder);
    fs::create_directories(options_.folder);
    std::string broken = whole;
    broken[at] = static_cast<char>(broken[at] ^ 0x40);
    Write(path, broken);
    auto j = Open();
    errors_.clear();
    const auto got = Drain(*j);
    ASSERT_EQ(errors_.size(), 1u) << at;
    ASSERT_TRUE(absl::IsDataLoss(errors_[0]));
    ASSERT_EQ(got.size(), 3u) << at << " " << errors_[0];
    ASSERT_EQ(got.back(), 4u);
    ASSERT_EQ(j->stats().lost, 1u);
    ASSERT_TRUE(j->Commit(last_).ok());
    ASSERT_TRUE(fs::exists(StrCat(path.string(), ".damaged"))) << at;
  }
}

TEST_F(JournalTest, ALostSegmentIsReported) {
  options_.segment_bytes = 4096;
  {
    auto j = Open();
    for (uint64_t n = 1; n <= 3; ++n) ASSERT_TRUE(j->Append("exchanges", Numbers({n}, 5000)).ok());
  }
  ASSERT_EQ(Segments().size(), 3u);
  fs::remove(Segments()[1]);
  auto j = Open();
  EXPECT_EQ(Drain(*j), (std::vector<uint64_t>{1, 3}));
  ASSERT_EQ(errors_.size(), 1u);
  EXPECT_EQ(j->stats().lost, 1u);
}

TEST_F(JournalTest, BoundsRefuseAndFreeAgain) {
  options_.segment_bytes = 4096;
  options_.bytes_max = 20'000;
  auto j = Open();
  int taken = 0;
  absl::Status s;
  while ((s = j->Append("exchanges", Numbers({1}, 1000))).ok() && taken < 100) ++taken;
  EXPECT_TRUE(absl::IsResourceExhausted(s)) << s;
  EXPECT_GT(taken, 10);
  EXPECT_LE(j->stats().bytes, options_.bytes_max);
  EXPECT_EQ(static_cast<int>(Drain(*j).size()), taken);
  ASSERT_TRUE(j->Commit(last_).ok());
  EXPECT_TRUE(j->Append("exchanges", Numbers({1}, 1000)).ok());
  // A block as large as the bound leaves may fill the last segment: it must go too.
  ASSERT_TRUE(j->Append("exchanges", Numbers({1}, 9000)).ok());
  Drain(*j);
  ASSERT_TRUE(j->Commit(last_).ok());
  EXPECT_TRUE(j->Append("exchanges", Numbers({1}, 15'000)).ok());
  EXPECT_EQ(j->stats().refused, 1u);
}

TEST_F(JournalTest, AFullDiskRefusesAndNothingOfItCounts) {
  auto j = Open();
  ASSERT_TRUE(j->Append("exchanges", Numbers({1}, 1000)).ok());
  struct rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 2000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status full = j->Append("exchanges", Numbers({2}, 1000));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  EXPECT_NE(full.message().find("free space"), full.message().npos) << full;
  ASSERT_TRUE(j->Append("exchanges", Numbers({3}, 1000)).ok());
  EXPECT_EQ(Drain(*j), (std::vector<uint64_t>{1, 3}));
  j.reset();
  j = Open();
  EXPECT_EQ(Drain(*j), (std::vector<uint64_t>{1, 3}));
  EXPECT_TRUE(notes_.empty());
  EXPECT_TRUE(errors_.empty());
}

TEST_F(JournalTest, OneSyncServesManyAndTheReaderKeepsUp) {
  options_.segment_bytes = 8192;
  options_.bytes_max = 64u << 20;
  auto j = Open();
  constexpr int kThreads = 8, kEach = 200;
  std::atomic<int> left = kThreads;
  std::multiset<uint64_t> got;
  std::thread reader([&] {
    Entry e;
    for (;;) {
      const bool over = left == 0;
      const auto more = j->Next(&e);
      ASSERT_TRUE(more.ok()) << more.status();
      if (*more) {
        for (const uint64_t n : NumbersOf(e)) got.insert(n);
        if (e.sequence % 7 == 0) {
          ASSERT_TRUE(j->Commit(e.sequence).ok());
        }
      } else if (over) {
        return;
      } else {
        j->Wait(10);
      }
    }
  });
  std::vector<std::thread> writers;
  for (int t = 0; t < kThreads; ++t) {
    writers.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i)
        ASSERT_TRUE(j->Append("exchanges", Numbers({static_cast<uint64_t>(t * kEach + i)})).ok());
      --left;
    });
  }
  for (auto& w : writers) w.join();
  j->Interrupt();
  reader.join();
  EXPECT_EQ(got.size(), static_cast<size_t>(kThreads * kEach));
  EXPECT_EQ(std::set<uint64_t>(got.begin(), got.end()).size(), got.size());
  EXPECT_LT(j->stats().syncs, j->stats().appended);
  EXPECT_EQ(j->stats().appended, static_cast<uint64_t>(kThreads * kEach));
}

// A writer that is killed at any moment: what it said to be durable is there when it is opened.
TEST_F(JournalTest, KilledWritersKeepTheirWord) {
  options_.segment_bytes = 16'384;
  std::set<uint64_t> promised, found;
  unsigned seed = 7;
  for (int round = 0; round < 20; ++round) {
    int pipe_fds[2];
    ASSERT_EQ(pipe(pipe_fds), 0);
    const pid_t child = fork();
    if (child == 0) {
      auto j = Journal::Open(options_, [](std::string) {});
      if (!j.ok()) _exit(1);
      for (uint64_t n = 0;; ++n) {
        const uint64_t id = static_cast<uint64_t>(round) << 32 | n;
        if (!(*j)->Append("exchanges", Numbers({id}, id % 700)).ok()) _exit(2);
        if (write(pipe_fds[1], &id, sizeof id) != sizeof id) _exit(3);
      }
    }
    close(pipe_fds[1]);
    uint64_t id;
    // Once it works, for up to 8 ms.
    ASSERT_EQ(read(pipe_fds[0], &id, sizeof id), static_cast<ssize_t>(sizeof id));
    promised.insert(id);
    usleep(rand_r(&seed) % 8000);
    kill(child, SIGKILL);
    while (read(pipe_fds[0], &id, sizeof id) == sizeof id) promised.insert(id);
    close(pipe_fds[0]);
    int status;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    auto j = Open();
    for (const uint64_t n : Drain(*j)) found.insert(n);
    ASSERT_TRUE(errors_.empty()) << errors_[0];
    if (round % 3 == 0 && last_ > 0) {
      ASSERT_TRUE(j->Commit(last_).ok());
    }
  }
  EXPECT_GT(promised.size(), 20u);
  for (const uint64_t id : promised) ASSERT_TRUE(found.count(id)) << id;
  EXPECT_LE(found.size(), promised.size() + 20);  // at most one a round was under way
}

}  // namespace
}  // namespace stillwatch::journal
