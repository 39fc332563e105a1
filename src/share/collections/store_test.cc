#include "share/collections/store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <set>
#include <thread>

#include "base/str.h"
#include "base/test_folder.h"
#include "share/collections/stamp.h"

namespace stillwatch::share {
namespace {

using base::StrCat;

std::string Id(int n, const char* type = "indicator") {
  char text[64];
  std::snprintf(text, sizeof text, "%s--00000000-0000-4000-8000-%012d", type, n);
  return text;
}
NewObject Object(int n, std::string version = "2026-01-01T00:00:00.000Z",
                 const char* type = "indicator", std::string more = "") {
  const std::string id = Id(n, type);
  return {id, type, version,
          StrCat("{\"id\":\"", id, "\",\"modified\":\"", version, "\",\"x\":\"", more, "\"}")};
}

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    Reopen();
    auto made = store_->Add({.title = "Shared"});
    EXPECT_TRUE(made.ok()) << made.status();
    id_ = made->id;
  }
  void Reopen() {
    store_.reset();
    auto store =
        CollectionStore::Open({.dir = dir_ + "/share", .now_us = [this] { return now_.load(); }});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  std::vector<PutResult> Put(const std::vector<NewObject>& objects, const char* person = "ada") {
    auto put = store_->Put(id_, objects, person, StrCat("status-", ++statuses_),
                           [](const auto&) { return std::string("{}"); });
    EXPECT_TRUE(put.ok()) << put.status();
    return put.ok() ? *put : std::vector<PutResult>();
  }
  // Ids of all pages of `limit`, and that each page is whole.
  std::vector<std::string> All(ObjectFilter f, size_t limit) {
    std::vector<std::string> out;
    for (bool more = true; more;) {
      auto page = store_->Objects(id_, f, limit, true);
      EXPECT_TRUE(page.ok()) << page.status();
      if (!page.ok()) break;
      for (const auto& o : page->objects) {
        EXPECT_GT(o.added_us, f.after_us);
        EXPECT_NE(o.json.find(o.id), std::string::npos);
        f.after_us = o.added_us;
        out.push_back(o.id + "@" + o.version);
      }
      more = page->more;
      if (more) EXPECT_EQ(page->objects.size(), limit);
    }
    return out;
  }

  const base::TestFolder held_;
  const std::string dir_ = held_.path();
  std::string id_;
  std::atomic<int64_t> now_{1'767'225'600'000'000};
  std::atomic<int> statuses_{0};
  std::unique_ptr<CollectionStore> store_;
};

TEST(Stamp, KeepsMicroseconds) {
  for (const char* text : {"2026-04-22T00:01:43.688001Z", "1969-12-31T23:59:59.999999Z",
                           "1970-01-01T00:00:00.000000Z"}) {
    const auto us = ParseMicros(text);
    ASSERT_TRUE(us) << text;
    EXPECT_EQ(FormatMicros(*us), text);
  }
  EXPECT_EQ(ParseMicros("2026-04-22T00:01:43Z"), ParseMicros("2026-04-22T02:01:43.0000009+02:00"));
  EXPECT_EQ(*ParseMicros("1970-01-01T00:00:00.12Z"), 120'000);
  EXPECT_FALSE(ParseMicros("2026-04-22"));
}

TEST_F(StoreTest, CollectionsHaveNamesAndRights) {
  EXPECT_EQ(store_->Add({.title = ""}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->Add({.id = "x", .title = "t"}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->Add({.alias = "A b", .title = "t"}).status().code(),
            absl::StatusCode::kInvalidArgument);
  auto other = store_->Add({.alias = "peers", .title = "Peers", .description = "d"});
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(store_->Add({.alias = "peers", .title = "t"}).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(store_->Get("peers")->id, other->id);
  EXPECT_EQ(store_->Get(other->id)->description, "d");
  EXPECT_TRUE(absl::IsNotFound(store_->Get("").status()));
  // Nobody may anything until it is said.
  const auto access = [&](Caller c) {
    auto a = store_->AccessOf("peers" == other->alias ? other->id : "", c);
    return StrCat(a->read ? "r" : "", a->write ? "w" : "");
  };
  EXPECT_EQ(access({"bob", {"share"}, false}), "");
  EXPECT_EQ(access({"bob", {"admin"}, true}), "rw");
  ASSERT_TRUE(store_->SetRight(other->id, {"person:bob", true, false}).ok());
  ASSERT_TRUE(store_->SetRight(other->id, {"role:analyst", false, true}).ok());
  EXPECT_EQ(access({"bob", {"share"}, false}), "r");
  EXPECT_EQ(access({"bobby", {"share"}, false}), "");
  EXPECT_EQ(access({"bob", {"analyst"}, false}), "rw");
  EXPECT_EQ(access({"eve", {"analyst"}, false}), "w");
  ASSERT_TRUE(store_->SetRight(other->id, {"*", true, false}).ok());
  EXPECT_EQ(access({"eve", {}, false}), "r");
  ASSERT_TRUE(store_->SetRight(other->id, {"*", false, false}).ok());
  EXPECT_EQ(access({"eve", {}, false}), "");
  EXPECT_EQ(store_->Rights(other->id)->size(), 2u);
  for (const char* bad : {"", "bob", "person:", "role:"})
    EXPECT_FALSE(store_->SetRight(other->id, {bad, true, true}).ok()) << bad;
  EXPECT_EQ(store_->List()->size(), 2u);
  ASSERT_TRUE(store_->Remove(other->id).ok());
  EXPECT_TRUE(absl::IsNotFound(store_->Remove(other->id)));
  EXPECT_TRUE(absl::IsNotFound(store_->AccessOf(other->id, {"bob", {}, false}).status()));
  EXPECT_EQ(store_->List()->size(), 1u);
}

TEST_F(StoreTest, VersionsFirstLastAllAndByTime) {
  const char* const v1 = "2026-01-01T00:00:00.000Z";
  const char* const v2 = "2026-02-01T00:00:00.000Z";
  const char* const v3 = "2026-03-01T00:00:00.000Z";
  Put({Object(1, v2), Object(2, v1)});
  now_ += 1000;
  Put({Object(1, v3)});
  Put({Object(1, v1)});  // an old one, late
  const auto all = [&](ObjectFilter f) { return All(std::move(f), 100); };
  using V = std::vector<std::string>;
  EXPECT_EQ(all({}), (V{Id(2) + "@" + v1, Id(1) + "@" + v3}));
  EXPECT_EQ(all({.last = true}), all({}));
  EXPECT_EQ(all({.first = true}), (V{Id(2) + "@" + v1, Id(1) + "@" + v1}));
  EXPECT_EQ(all({.all = true}),
            (V{Id(1) + "@" + v2, Id(2) + "@" + v1, Id(1) + "@" + v3, Id(1) + "@" + v1}));
  EXPECT_EQ(all({.versions_us = {*ParseMicros(v2)}}), (V{Id(1) + "@" + v2}));
  EXPECT_EQ(all({.ids = {Id(1)}, .first = true, .last = true}),
            (V{Id(1) + "@" + v3, Id(1) + "@" + v1}));
  EXPECT_EQ(all({.ids = {Id(1), Id(1), Id(9)}}), (V{Id(1) + "@" + v3}));
  EXPECT_EQ(all({.ids = {Id(1)}, .types = {"malware"}}), V{});
  EXPECT_EQ(all({.types = {"malware", "indicator", "indicator"}}), all({}));
  // Deleting the last makes the one before it the last, and nothing said takes all.
  EXPECT_EQ(*store_->Delete(id_, Id(1), {.last = true}), 1u);
  EXPECT_EQ(all({}), (V{Id(1) + "@" + v2, Id(2) + "@" + v1}));
  EXPECT_EQ(*store_->Delete(id_, Id(1), {.versions_us = {*ParseMicros(v3)}}), 0u);
  EXPECT_EQ(*store_->Delete(id_, Id(1), {}), 2u);
  EXPECT_FALSE(*store_->Has(id_, Id(1)));
  EXPECT_TRUE(*store_->Has(id_, Id(2)));
  EXPECT_EQ(store_->Get(id_)->objects, 1u);
}

TEST_F(StoreTest, AReplayChangesNothing) {
  const NewObject plain = {Id(7, "ipv4-addr"), "ipv4-addr", "",
                           StrCat("{\"id\":\"", Id(7, "ipv4-addr"), "\"}")};
  Put({Object(1), plain});
  const auto before = All({.all = true}, 10);
  now_ += 5'000'000;
  const auto again = Put({Object(1), plain});
  ASSERT_EQ(again.size(), 2u);
  EXPECT_EQ(again[0].why + again[1].why, "");
  EXPECT_EQ(All({.all = true}, 10), before);
  EXPECT_EQ(again[1].version, FormatMicros(1'767'225'600'000'001));  // of its arrival
  // The same version with other content is no version.
  const auto other = Put({Object(1, "2026-01-01T00:00:00Z", "indicator", "other")});
  EXPECT_NE(other[0].why.find("other content"), std::string::npos);
  EXPECT_EQ(All({.all = true}, 10), before);
  // What has no version of its own is a new one when it differs.
  NewObject changed = plain;
  changed.json += " ";
  EXPECT_EQ(Put({changed})[0].why, "");
  EXPECT_EQ(All({.all = true}, 10).size(), 3u);
  EXPECT_EQ(All({}, 10).size(), 2u);
  // Bounds and nonsense are said for each object.
  NewObject large = Object(3);
  large.json.assign(kObjectBytes + 1, 'x');
  NewObject odd = Object(4, "yesterday");
  const auto mixed = Put({large, odd, Object(5)});
  EXPECT_NE(mixed[0].why, "");
  EXPECT_NE(mixed[1].why, "");
  EXPECT_EQ(mixed[2].why, "");
}

TEST_F(StoreTest, DatesRiseEvenWhenTheClockFalls) {
  Put({Object(1), Object(2)});
  now_ -= 3'600'000'000;
  Put({Object(3)});
  Reopen();
  Put({Object(4)});
  const auto page = store_->Objects(id_, {}, 10, false);
  ASSERT_EQ(page->objects.size(), 4u);
  for (size_t i = 1; i < 4; ++i)
    EXPECT_GT(page->objects[i].added_us, page->objects[i - 1].added_us);
  EXPECT_EQ(page->objects[3].id, Id(4));
  EXPECT_TRUE(page->objects[3].json.empty());
}

TEST_F(StoreTest, PagesAreBoundedInBytesToo) {
  for (int i = 0; i < 6; ++i)
    Put({Object(i, "2026-01-01T00:00:00.000Z", "indicator", std::string(kObjectBytes - 200, 'x'))});
  const auto page = store_->Objects(id_, {}, 1000, true);
  EXPECT_TRUE(page->more);
  EXPECT_EQ(page->objects.size(), kPageBytes / kObjectBytes);
  EXPECT_EQ(store_->Objects(id_, {}, 1000, false)->objects.size(), 6u);
}

TEST_F(StoreTest, StatusesAreKeptWithinABound) {
  for (size_t i = 0; i < kStatusesKept + 5; ++i) Put({Object(1)});
  Put({Object(1)}, "bob");
  EXPECT_TRUE(absl::IsNotFound(store_->GetStatus("status-1").status()));
  EXPECT_TRUE(absl::IsNotFound(store_->GetStatus("status-5").status()));
  EXPECT_EQ(store_->GetStatus("status-6")->person, "ada");
  EXPECT_EQ(store_->GetStatus(StrCat("status-", kStatusesKept + 6))->person, "bob");
}

// Whoever reads from where they stopped sees each object once, whoever writes meanwhile.
TEST_F(StoreTest, ReadersBesideWritersMissNothing) {
  constexpr int kWriters = 3, kEach = 60;
  std::vector<std::thread> writers;
  std::atomic<int> done{0};
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < kEach; ++i) {
        now_ += (i * 7 + w) % 3 - 1;  // back and forth
        Put({Object(w * kEach + i)});
      }
      ++done;
    });
  }
  std::vector<std::string> seen;
  ObjectFilter f;
  for (bool last = false;;) {
    last = done == kWriters;
    const auto page = store_->Objects(id_, f, 7, false);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const auto& o : page->objects) seen.push_back(o.id), f.after_us = o.added_us;
    if (last && page->objects.empty()) break;
  }
  for (auto& t : writers) t.join();
  EXPECT_EQ(seen.size(), size_t(kWriters * kEach));
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), seen.size());
}

TEST_F(StoreTest, ADatabaseOfOthersIsLeftAlone) {
  store_.reset();
  const std::string dir = dir_ + "/other";
  std::filesystem::create_directories(dir);
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open((dir + "/collections.db").c_str(), &db), SQLITE_OK);
  sqlite3_exec(db, "CREATE TABLE t (x)", nullptr, nullptr, nullptr);
  sqlite3_close(db);
  auto store = CollectionStore::Open({.dir = dir, .now_us = [] { return int64_t{1}; }});
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition) << store.status();
}

// The last page of 100,000 objects costs what the first one costs. Times of one moment, the best of
// several, against one another; a walk from the beginning would be a hundred times as long.
TEST_F(StoreTest, TheLastPageCostsWhatTheFirstCosts) {
  constexpr int kObjects = 100'000, kBatch = 10'000;
  for (int i = 0; i < kObjects; i += kBatch) {
    std::vector<NewObject> batch;
    for (int k = i; k < i + kBatch; ++k)
      batch.push_back(Object(k, "2026-01-01T00:00:00.000Z", k % 1000 ? "indicator" : "campaign"));
    Put(batch);
    now_ += 1'000'000;
  }
  const auto whole = All({}, 1000);
  ASSERT_EQ(whole.size(), size_t(kObjects));
  EXPECT_EQ(std::set<std::string>(whole.begin(), whole.end()).size(), whole.size());
  EXPECT_EQ(All({.types = {"campaign"}}, 7).size(), 100u);
  int64_t deep = 0;
  {
    ObjectFilter f;
    for (int page = 0; page < 99; ++page) {
      const auto p = store_->Objects(id_, f, 1000, false);
      f.after_us = p->objects.back().added_us;
    }
    deep = f.after_us;
  }
  using Clock = std::chrono::steady_clock;
  const auto time = [&](int64_t after) {
    const auto begin = Clock::now();
    const auto page = store_->Objects(id_, {.after_us = after}, 1000, true);
    EXPECT_EQ(page->objects.size(), 1000u);
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  double first = 1e9, last = 1e9;
  const auto until = Clock::now() + std::chrono::seconds(60);
  for (int i = 0; Clock::now() < until; ++i) {
    first = std::min(first, time(INT64_MIN));
    last = std::min(last, time(deep));
    if (i >= 20 && last < 1.5 * first) break;
  }
  std::printf("first page %.3f ms, last page %.3f ms, ratio %.2f\n", first * 1e3, last * 1e3,
              last / first);
  EXPECT_LT(last, 1.5 * first);
}

}  // namespace
}  // namespace stillwatch::share
