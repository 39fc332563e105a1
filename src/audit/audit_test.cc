#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "audit/log.h"
#include "audit/segments.h"
#include "audit/test_kill.h"
#include "audit/verify.h"
#include "base/hex.h"
#include "base/str.h"

namespace stillwatch::audit {
namespace {

std::string NewSigningKey() {
  std::string seed(crypto_sign_SEEDBYTES, '\0');
  EXPECT_GE(sodium_init(), 0);
  randombytes_buf(seed.data(), seed.size());
  return seed;
}

namespace fs = std::filesystem;
using base::StrCat;

constexpr int64_t kNow = 1'780'000'000'000;

std::string Fresh(const std::string& name) {
  const std::string dir = testing::TempDir() + "/" + name;
  fs::remove_all(dir);
  return dir;
}

std::unique_ptr<AuditLog> MustOpen(const std::string& dir, std::string key = {},
                                   uint64_t segment = kSegmentBytes) {
  auto log = AuditLog::Open({dir, [] { return kNow; }, std::move(key), segment});
  EXPECT_TRUE(log.ok()) << log.status();
  return std::move(*log);
}

AuditRecord Record(int i) {
  return {kNow + i, "ada", "policy.activate", StrCat("policy ", i), StrCat(R"({"n":)", i, "}")};
}

std::string Read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<SegmentBytes> Load(const std::string& dir) {
  std::vector<SegmentBytes> out;
  const auto files = ListSegments(dir);
  for (const auto& f : *files) out.push_back({f.name, Read(f.path)});
  return out;
}

std::string Said(const AuditReport& r) {
  std::string out;
  for (const auto& f : r.findings)
    base::StrAppend(&out, f.segment, ":", f.line, ": ", f.what, "\n");
  return out;
}

std::vector<std::string> LinesOf(const std::string& bytes) {
  std::vector<std::string> out;
  for (size_t at = 0; at < bytes.size();) {
    const size_t eol = bytes.find('\n', at);
    out.push_back(bytes.substr(at, eol - at));
    at = eol + 1;
  }
  return out;
}

// Six records in three segments of two.
std::vector<SegmentBytes> Three(std::string* head_hash = nullptr) {
  std::vector<SegmentBytes> out;
  std::string prev(kZeroHash);
  for (int s = 0; s < 3; ++s) {
    std::string bytes;
    for (int i = 0; i < 2; ++i) {
      AuditRecord r = Record(s * 2 + i + 1);
      if (s == 1) r.details = R"({"text":"\"a\\b\", <\u00e9>","list":[1,2.5,null]})";
      prev = FormatRecord(s * 2 + i + 1, prev, r, &bytes);
    }
    out.push_back({SegmentName(s + 1), bytes});
  }
  if (head_hash != nullptr) *head_hash = prev;
  return out;
}

TEST(Audit, AppendsAndVerifies) {
  const std::string dir = Fresh("append");
  {
    auto log = MustOpen(dir);
    EXPECT_EQ(log->Head().seq, 0u);
    for (int i = 1; i <= 5; ++i) EXPECT_TRUE(log->Append(Record(i)).ok());
    EXPECT_EQ(log->Head().seq, 5u);
    EXPECT_TRUE(log->Offer(Record(6)));
  }
  {
    auto log = MustOpen(dir);
    EXPECT_EQ(log->Head().seq, 6u);  // the destructor wrote what was queued
    EXPECT_TRUE(log->Offer(Record(7)));
    EXPECT_TRUE(log->Flush().ok());
    EXPECT_EQ(log->Head().seq, 7u);
  }
  auto report = VerifyAudit(dir);
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->ok()) << Said(*report);
  EXPECT_EQ(report->records, 7u);
  EXPECT_EQ(report->segments, 1u);
  EXPECT_EQ(report->first.seq, 1u);
  const auto lines = LinesOf(Read(dir + "/audit-000001.jsonl"));
  ASSERT_EQ(lines.size(), 7u);
  RecordView r;
  ASSERT_TRUE(ParseRecord(lines[2], &r));
  EXPECT_EQ(r.subject, "policy 3");
  EXPECT_EQ(r.details, R"({"n":3})");
  EXPECT_EQ(r.time, "2026-05-28T20:26:40.003Z");
}

// Another program computes the same hash.
TEST(Audit, HashIsB2sum) {
  const auto log = Three();
  const std::string path = testing::TempDir() + "/body";
  for (const auto& s : log) {
    for (const std::string& line : LinesOf(s.bytes)) {
      RecordView r;
      ASSERT_TRUE(ParseRecord(line, &r));
      Write(path, line.substr(0, line.find(R"(,"hash":)")));
      FILE* p = popen(StrCat("b2sum -l 256 ", path).c_str(), "r");
      char out[65] = {};
      ASSERT_EQ(std::fread(out, 1, 64, p), 64u);
      pclose(p);
      EXPECT_EQ(r.hash, out);
    }
  }
}

TEST(Audit, EveryChangedByteIsFound) {
  const auto good = Three();
  ASSERT_TRUE(VerifySegments(good).ok());
  for (size_t s = 0; s < good.size(); ++s) {
    for (size_t at = 0; at < good[s].bytes.size(); ++at) {
      for (const char other : {'\0', '\n', ' ', '0', '"', '\\', static_cast<char>(0xff),
                               static_cast<char>(good[s].bytes[at] ^ 1),
                               static_cast<char>(good[s].bytes[at] ^ 0x20)}) {
        if (other == good[s].bytes[at]) continue;
        auto bad = good;
        bad[s].bytes[at] = other;
        const AuditReport r = VerifySegments(bad);
        ASSERT_FALSE(r.ok()) << "segment " << s << " byte " << at << " as " << int(other);
        // It says where: the segment and the line, or the record after a broken line end.
        const uint64_t line =
            1 + std::count(good[s].bytes.begin(), good[s].bytes.begin() + at, '\n');
        EXPECT_EQ(r.findings[0].segment, good[s].name);
        EXPECT_EQ(r.findings[0].line, line) << Said(r);
        EXPECT_LE(r.findings_total, 3u) << Said(r);
      }
      // One byte more, one less.
      auto longer = good, shorter = good;
      longer[s].bytes.insert(at, 1, 'x');
      shorter[s].bytes.erase(at, 1);
      ASSERT_FALSE(VerifySegments(longer).ok()) << at;
      ASSERT_FALSE(VerifySegments(shorter).ok()) << at;
    }
  }
}

struct Breach {
  const char* what;
  std::function<void(std::vector<SegmentBytes>*)> change;
  const char* said;
};

TEST(Audit, RemovedReorderedInserted) {
  std::string head;
  const auto good = Three(&head);
  const auto line = [&](int s, int i) { return LinesOf(good[s].bytes)[i] + "\n"; };
  const Breach breaches[] = {
      {"first record", [&](auto* l) { (*l)[0].bytes = line(0, 1); }, "begins at record 2"},
      {"record in the middle", [&](auto* l) { (*l)[1].bytes = line(1, 1); }, "record 3 is missing"},
      {"two records", [&](auto* l) { (*l)[1].bytes = line(1, 1), (*l)[0].bytes = line(0, 0); },
       "records 2 to 3 are missing"},
      {"reordered", [&](auto* l) { (*l)[1].bytes = line(1, 1) + line(1, 0); }, "reordered"},
      {"repeated", [&](auto* l) { (*l)[1].bytes += line(1, 1); }, "repeated"},
      {"segment in the middle", [&](auto* l) { l->erase(l->begin() + 1); },
       "segment audit-000002.jsonl is missing"},
      {"first segment", [&](auto* l) { l->erase(l->begin()); }, "begins at record 3"},
      {"contents swapped", [&](auto* l) { std::swap((*l)[0].bytes, (*l)[1].bytes); },
       "begins at record 3"},
      {"blank line", [&](auto* l) { (*l)[1].bytes.insert(0, "\n"); }, "not a record"},
      {"forged, with its hash",
       [&](auto* l) {
         RecordView r;
         const std::string was = LinesOf(good[1].bytes)[0];
         ParseRecord(was, &r);
         std::string forged;
         FormatRecord(3, r.prev, {kNow, "eve", "policy.activate", "other", "{}"}, &forged);
         (*l)[1].bytes = forged + line(1, 1);
       },
       "inserted or replaced"},
      {"inserted, with its hash",
       [&](auto* l) {
         RecordView r;
         const std::string was = LinesOf(good[1].bytes)[0];
         ParseRecord(was, &r);
         std::string forged;
         FormatRecord(4, r.hash, {kNow, "eve", "policy.activate", "other", "{}"}, &forged);
         (*l)[1].bytes = line(1, 0) + forged + line(1, 1);
       },
       "stands where record 5 belongs"},
      {"all gone", [&](auto* l) { l->clear(); }, "no segment"},
  };
  for (const Breach& b : breaches) {
    auto bad = good;
    b.change(&bad);
    const AuditReport r = VerifySegments(bad);
    EXPECT_FALSE(r.ok()) << b.what;
    EXPECT_NE(Said(r).find(b.said), std::string::npos) << b.what << ":\n" << Said(r);
  }
}

TEST(Audit, OnlyAKeptHeadShowsACutEnd) {
  std::string head;
  const auto good = Three(&head);
  VerifyOptions kept;
  kept.anchors = {{6, head}};
  EXPECT_TRUE(VerifySegments(good, kept).ok());
  auto cut = good;
  cut.pop_back();
  EXPECT_TRUE(VerifySegments(cut).ok());  // the limit that the documentation states
  EXPECT_NE(Said(VerifySegments(cut, kept)).find("the log ends at record 4"), std::string::npos);
  // All of it written anew, hashes included.
  std::vector<SegmentBytes> anew = {{SegmentName(1), ""}};
  std::string prev(kZeroHash);
  for (int i = 1; i <= 6; ++i) prev = FormatRecord(i, prev, Record(100 + i), &anew[0].bytes);
  EXPECT_TRUE(VerifySegments(anew).ok());
  EXPECT_NE(Said(VerifySegments(anew, kept)).find("another than the one whose head was kept"),
            std::string::npos);
  // Old segments put away: the head kept of their end vouches.
  RecordView r;
  const std::string second = LinesOf(good[0].bytes)[1];
  ASSERT_TRUE(ParseRecord(second, &r));
  VerifyOptions vouched;
  vouched.anchors = {{2, std::string(r.hash)}};
  EXPECT_TRUE(VerifySegments({good[1], good[2]}, vouched).ok());
  vouched.anchors[0].hash[0] ^= 1;
  EXPECT_FALSE(VerifySegments({good[1], good[2]}, vouched).ok());
  auto anchor = ParseAnchor(StrCat("6:", head));
  ASSERT_TRUE(anchor.ok());
  EXPECT_EQ(anchor->seq, 6u);
  for (const char* bad : {"", "6", "6:", "0:", "x:ab", "6:zz"})
    EXPECT_FALSE(ParseAnchor(bad).ok()) << bad;
}

TEST(Audit, Signatures) {
  const std::string dir = Fresh("signed"), key = NewSigningKey();
  {
    auto log = MustOpen(dir, key);
    EXPECT_TRUE(log->Append(Record(1)).ok());
    for (int i = 0; i < 3000; ++i) EXPECT_TRUE(log->Offer(Record(i)));
    EXPECT_TRUE(log->Append(Record(2)).ok());
  }
  VerifyOptions with;
  with.public_key = PublicKey(key);
  auto report = VerifyAudit(dir, with);
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->ok()) << Said(*report);
  EXPECT_EQ(report->signed_through + 1, report->head.seq);
  EXPECT_EQ(report->signed_by, base::Hex(PublicKey(key)));
  // Who rewrites it without the key cannot sign it: neither with another key nor by leaving them
  // out.
  auto log = Load(dir);
  std::vector<SegmentBytes> unsigned_log = {{SegmentName(1), ""}}, other = unsigned_log;
  std::string prev(kZeroHash), prev2(kZeroHash);
  uint64_t seq = 0, seq2 = 0;
  for (const std::string& line : LinesOf(log[0].bytes)) {
    RecordView r;
    ASSERT_TRUE(ParseRecord(line, &r));
    AuditRecord copy{kNow, "eve", std::string(r.action), "", std::string(r.details)};
    if (r.action != kActionSigned) prev = FormatRecord(++seq, prev, copy, &unsigned_log[0].bytes);
    prev2 = FormatRecord(++seq2, prev2, copy, &other[0].bytes);
  }
  EXPECT_TRUE(VerifySegments(unsigned_log).ok());
  EXPECT_NE(Said(VerifySegments(unsigned_log, with)).find("carry no signature"), std::string::npos);
  EXPECT_NE(Said(VerifySegments(other, with)).find("is not valid"), std::string::npos);
  // Another key's signatures do not count.
  with.public_key = PublicKey(NewSigningKey());
  EXPECT_FALSE(VerifySegments(log, with).ok());
  EXPECT_FALSE(AuditLog::Open({dir, [] { return kNow; }, "short", kSegmentBytes}).ok());
}

TEST(Audit, Rotates) {
  const std::string dir = Fresh("rotate");
  {
    auto log = MustOpen(dir, NewSigningKey(), 2000);
    for (int i = 1; i <= 40; ++i) EXPECT_TRUE(log->Append(Record(i)).ok());
  }
  auto report = VerifyAudit(dir);
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->ok()) << Said(*report);
  EXPECT_GT(report->segments, 5u);
  auto page = ReadAudit(dir, {"policy.", "", "", ""}, 0, 15);
  ASSERT_TRUE(page.ok());
  ASSERT_EQ(page->lines.size(), 15u);
  EXPECT_NE(page->lines[0].find("policy 40\""), std::string::npos);
  EXPECT_NE(page->lines[14].find("policy 26\""), std::string::npos);
  std::set<std::string> seen(page->lines.begin(), page->lines.end());
  for (uint64_t next = page->next; next != 0;) {
    page = ReadAudit(dir, {"policy.", "", "", ""}, next, 15, 1);  // one segment a call
    ASSERT_TRUE(page.ok());
    for (auto& l : page->lines) EXPECT_TRUE(seen.insert(l).second);
    ASSERT_TRUE(page->next == 0 || page->next < next);
    next = page->next;
  }
  EXPECT_EQ(seen.size(), 40u);
  page = ReadAudit(dir, {"", "policy 7", "ada", "\"n\":7"}, 0, 15);
  ASSERT_EQ(page->lines.size(), 1u);
  page = ReadAudit(dir, {"", "policy 7", "eve", ""}, 0, 15);
  EXPECT_TRUE(page->lines.empty());
}

// A crash may leave any part of the last batch.
TEST(Audit, TornTailIsRecorded) {
  const std::string dir = Fresh("torn");
  { MustOpen(dir)->Append(Record(1)).IgnoreError(); }
  const std::string whole = Read(dir + "/audit-000001.jsonl");
  std::string more = whole;
  RecordView r;
  const std::string line = LinesOf(whole)[0];
  ASSERT_TRUE(ParseRecord(line, &r));
  FormatRecord(2, r.hash, Record(2), &more);
  for (size_t cut = whole.size() + 1; cut < more.size();
       cut += cut + 1 == more.size() ? 1 : std::min<size_t>(13, more.size() - 1 - cut)) {
    fs::remove_all(dir);
    fs::create_directory(dir);
    Write(dir + "/audit-000001.jsonl", more.substr(0, cut));
    auto before = VerifyAudit(dir);
    EXPECT_FALSE(before->ok());
    {
      auto log = MustOpen(dir);
      EXPECT_TRUE(log->Append(Record(3)).ok());
    }
    { MustOpen(dir); }  // again: nothing more to recover
    auto report = VerifyAudit(dir);
    ASSERT_TRUE(report->ok()) << cut << ": " << Said(*report);
    ASSERT_EQ(report->notes.size(), 1u);
    EXPECT_EQ(report->records, 3u);
    EXPECT_EQ(Read(dir + "/audit-000001.jsonl").size(), cut);  // the bytes stay
    // The excuse holds for these bytes alone.
    auto log = Load(dir);
    log[0].bytes.back() ^= 1;
    EXPECT_FALSE(VerifySegments(log).ok());
  }
  // Zeros, as a power loss leaves them; a segment that was begun and not written to.
  Write(dir + "/audit-000001.jsonl", whole + std::string(5000, '\0') + "\n\n");
  fs::remove(dir + "/audit-000002.jsonl");
  Write(dir + "/audit-000002.jsonl", "");
  { MustOpen(dir)->Append(Record(2)).IgnoreError(); }
  auto report = VerifyAudit(dir);
  EXPECT_TRUE(report->ok()) << Said(*report);
  EXPECT_EQ(report->notes.size(), 1u);
  Write(dir + "/audit-000003.jsonl", "{\"seq\":");
  { MustOpen(dir)->Append(Record(3)).IgnoreError(); }
  report = VerifyAudit(dir);
  EXPECT_TRUE(report->ok()) << Said(*report);
}

// Damage is no crash: the log goes on, and says so for ever.
TEST(Audit, DamageIsNotExcused) {
  const std::string dir = Fresh("damage");
  {
    auto log = MustOpen(dir);
    for (int i = 1; i <= 5; ++i) EXPECT_TRUE(log->Append(Record(i)).ok());
  }
  std::string bytes = Read(dir + "/audit-000001.jsonl");
  bytes[bytes.find("policy 3")] = 'P';
  Write(dir + "/audit-000001.jsonl", bytes);
  { MustOpen(dir)->Append(Record(6)).IgnoreError(); }
  auto report = VerifyAudit(dir);
  EXPECT_EQ(report->findings_total, 1u) << Said(*report);
  EXPECT_EQ(report->findings[0].line, 3u);
  EXPECT_EQ(report->head.seq, 6u);
}

// While the disk does not answer (here: another process holds the lock) Offer still returns.
TEST(Audit, OverflowIsCountedAndRecorded) {
  const std::string dir = Fresh("overflow");
  uint64_t kept = 0, dropped = 0;
  {
    auto log = MustOpen(dir);
    EXPECT_TRUE(log->Append(Record(0)).ok());
    const int lock = open((dir + "/LOCK").c_str(), O_RDWR);
    ASSERT_EQ(flock(lock, LOCK_EX), 0);
    double slowest = 0;
    for (size_t i = 0; i < 2 * kQueueRecords + 1000; ++i) {
      const auto from = std::chrono::steady_clock::now();
      (log->Offer(Record(1)) ? kept : dropped)++;
      slowest = std::max(
          slowest, std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count());
    }
    EXPECT_LT(slowest, 2);
    EXPECT_GE(dropped, 1000u);
    EXPECT_EQ(log->Stats().dropped, dropped);
    flock(lock, LOCK_UN);
    close(lock);
    EXPECT_TRUE(log->Flush().ok());
    EXPECT_FALSE(log->Offer({kNow, "a", "b", "c", std::string(kRecordBytes + 1, ' ')}));
    ++dropped;
    EXPECT_TRUE(absl::IsInvalidArgument(
        log->Append({kNow, "a", "b", "c", std::string(kRecordBytes + 1, ' ')})));
  }
  auto report = VerifyAudit(dir);
  EXPECT_TRUE(report->ok()) << Said(*report);
  auto page = ReadAudit(dir, {std::string(kActionOverflow), "", "", ""}, 0, 100);
  uint64_t told = 0;
  for (const std::string& l : page->lines)
    told += std::stoull(l.substr(l.find(R"("dropped":)") + 10));
  EXPECT_EQ(told, dropped);
  EXPECT_EQ(report->records, 1 + kept + page->lines.size());
}

TEST(Audit, AFullDiskLosesNothingThatWasOffered) {
  const std::string dir = Fresh("full");
  signal(SIGXFSZ, SIG_IGN);
  rlimit was{};
  getrlimit(RLIMIT_FSIZE, &was);
  {
    auto log = MustOpen(dir);
    EXPECT_TRUE(log->Append(Record(1)).ok());
    rlimit tight = was;
    tight.rlim_cur = fs::file_size(dir + "/audit-000001.jsonl") + 100;  // half a record
    setrlimit(RLIMIT_FSIZE, &tight);
    const absl::Status s = log->Append(Record(2));
    EXPECT_TRUE(absl::IsUnavailable(s)) << s;
    EXPECT_TRUE(log->Offer(Record(3)));
    EXPECT_FALSE(log->Flush().ok());
    EXPECT_GE(log->Stats().failed_batches, 2u);
    setrlimit(RLIMIT_FSIZE, &was);
    EXPECT_TRUE(log->Append(Record(4)).ok());
  }
  auto report = VerifyAudit(dir);
  EXPECT_TRUE(report->ok()) << Said(*report);
  EXPECT_EQ(report->records, 3u);  // 1, 3, 4: the one that failed is not there
  EXPECT_TRUE(ReadAudit(dir, {"", "policy 2", "", ""}, 0, 9)->lines.empty());
  EXPECT_EQ(ReadAudit(dir, {"", "policy 3", "", ""}, 0, 9)->lines.size(), 1u);
}

TEST(Audit, SeveralWritersShareAFolder) {
  const std::string dir = Fresh("several");
  {
    std::vector<std::unique_ptr<AuditLog>> logs;
    for (int i = 0; i < 3; ++i) logs.push_back(MustOpen(dir, "", 3000));
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 30; ++i) {
          if (i % 3 == 0)
            EXPECT_TRUE(logs[t % 3]->Offer(Record(1000 * t + i)));
          else
            EXPECT_TRUE(logs[t % 3]->Append(Record(1000 * t + i)).ok());
        }
      });
    }
    for (auto& t : threads) t.join();
  }
  auto report = VerifyAudit(dir);
  EXPECT_TRUE(report->ok()) << Said(*report);
  EXPECT_EQ(report->records, 180u);
  EXPECT_GT(report->segments, 3u);
}

// kill -9 at any moment: what was acknowledged is there, and the log verifies after the next start.
TEST(Audit, KeepsWhatItAcknowledgedWhenKilled) {
  const std::string dir = Fresh("killed");
  std::set<std::string> acknowledged;
  for (int round = 0; round < 12; ++round) {
    acknowledged.merge(Killed(std::chrono::milliseconds(5 * round), [&](const auto& said) {
      auto log = AuditLog::Open({dir, [] { return kNow; }, "", 20'000});
      if (!log.ok()) _exit(3);
      for (int i = 0;; ++i) {
        (*log)->Offer({kNow, "gateway", "decision.deny", "acct", "{}"});
        const std::string id = StrCat("r", round, "-", i);
        if (!(*log)->Append({kNow, "ada", "test", id, "{}"}).ok()) _exit(4);
        said(id);
      }
    }));
  }
  { MustOpen(dir); }
  auto report = VerifyAudit(dir);
  EXPECT_TRUE(report->ok()) << Said(*report);
  ASSERT_GT(acknowledged.size(), 20u);
  std::map<std::string, int> there;
  for (const auto& s : Load(dir)) {
    for (const std::string& l : LinesOf(s.bytes)) {
      RecordView r;
      if (ParseRecord(l, &r)) ++there[std::string(r.subject)];
    }
  }
  for (const std::string& id : acknowledged) EXPECT_EQ(there[id], 1) << id;
}

TEST(Audit, TextFromOutsideIsData) {
  const std::string dir = Fresh("hostile");
  const std::string nasty = "a\"}\n{\"seq\":1,\"x\\\x01\xff</script>";
  {
    auto log = MustOpen(dir);
    EXPECT_TRUE(log->Append({kNow, nasty, nasty, nasty, "{}"}).ok());
    EXPECT_TRUE(log->Append({kNow, "a", "b", "c", nasty}).ok());  // no JSON
    EXPECT_TRUE(log->Append({kNow, "a", "b", "c", "{\"a\":1},\"prev\":{}"}).ok());
    EXPECT_TRUE(log->Append({kNow, "a", "b", "c", "{\"a\":\n1}"}).ok());
    EXPECT_TRUE(log->Append({kNow, "a", "b", "c", ""}).ok());
  }
  auto report = VerifyAudit(dir);
  EXPECT_TRUE(report->ok()) << Said(*report);
  EXPECT_EQ(report->records, 5u);
  EXPECT_EQ(ReadAudit(dir, {}, 0, 9)->lines.size(), 5u);
}

TEST(Audit, LinesWithoutEnd) {
  auto log = Three();
  log[1].bytes.insert(log[1].bytes.find('\n') + 1, std::string(3 * kLineBytes, 'x'));
  const AuditReport r = VerifySegments(log);
  EXPECT_NE(Said(r).find("longer than any record"), std::string::npos);
  EXPECT_LE(r.findings_total, 2u) << Said(r);
  EXPECT_TRUE(absl::IsNotFound(VerifyAudit(testing::TempDir() + "/nowhere").status()));
}

}  // namespace
}  // namespace stillwatch::audit
