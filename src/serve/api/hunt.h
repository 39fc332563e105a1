// Hunting: one SELECT of a person's over the lake, its answer kept for paging, queries worth
// keeping. Internal to src/serve/api; thread-safe.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "serve/api/api.h"

namespace stillwatch::serve::api {

inline constexpr size_t kHuntSqlBytes = 32 << 10;
inline constexpr size_t kHuntRows = 10'000;     // of an answer; the rest is cut off, and said
inline constexpr size_t kHuntBytes = 8 << 20;   // of an answer's text; likewise
inline constexpr size_t kHuntCellBytes = 4096;  // of one value
inline constexpr int kHuntSeconds = 20;         // then it is ended
inline constexpr int kHuntsAtOnce = 2;          // so that handlers are left for other people
inline constexpr size_t kHuntsKept = 16;        // answers; the one longest not looked at goes first
inline constexpr size_t kSavedQueries = 200;

class Hunts {
 public:
  explicit Hunts(const ApiContext* context) : c_(*context) {}

  HttpReply Run(const HttpRequest& r);           // {sql}: the answer's first page
  HttpReply Page(const HttpRequest& r);          // /{id}?offset=&limit=
  HttpReply Schema(const HttpRequest& r) const;  // tables and columns that there are
  HttpReply Saved(const HttpRequest& r) const;
  HttpReply Save(const HttpRequest& r) const;  // /{name}: {expected, sql, note}; empty sql: removed

 private:
  struct Answer {
    std::string id, person, sql, text;  // text: tab-separated, with names and types
    std::vector<size_t> rows;           // where each begins
    bool cut = false;
    int64_t ms = 0;
  };
  std::string Write(const Answer& a, size_t offset, size_t limit) const;

  const ApiContext& c_;
  std::mutex mutex_;
  int running_ = 0;
  uint64_t serial_ = 0;
  std::list<std::shared_ptr<const Answer>> kept_;  // the one last looked at first
};

}  // namespace stillwatch::serve::api
