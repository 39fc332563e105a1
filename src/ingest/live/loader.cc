#include "ingest/live/loader.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/str.h"
#include "lake/native.h"

namespace stillwatch::ingest {
namespace {

using base::StrCat;
using Clock = std::chrono::steady_clock;

int64_t MsSince(Clock::time_point t) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - t).count();
}

// Rows of `from` behind those of *to. False when the columns differ (an entry of another version).
bool AddRows(const lake::Block& from, lake::Block* to) {
  if (from.columns.size() != to->columns.size()) return false;
  for (size_t i = 0; i < from.columns.size(); ++i) {
    if (from.columns[i].name != to->columns[i].name ||
        from.columns[i].data.index() != to->columns[i].data.index())
      return false;
  }
  for (size_t i = 0; i < from.columns.size(); ++i) {
    std::visit(
        [&](auto& column) {
          using T = std::decay_t<decltype(column)>;
          const T& more = from.columns[i].As<T>();
          if constexpr (requires { column.ends; }) {
            auto& all = [&]() -> auto& {
              if constexpr (requires { column.bytes; })
                return column.bytes;
              else
                return column.values;
            }
            ();
            const auto& fresh = [&]() -> const auto& {
              if constexpr (requires { more.bytes; })
                return more.bytes;
              else
                return more.values;
            }
            ();
            const uint64_t base = all.size();
            all.insert(all.end(), fresh.begin(), fresh.end());
            for (const uint64_t end : more.ends) column.ends.push_back(base + end);
          } else {
            column.insert(column.end(), more.begin(), more.end());
          }
        },
        to->columns[i].data);
  }
  return true;
}

}  // namespace

Loader::Loader(journal::Journal* journal, lake::Lake* lake, LoaderOptions options)
    : journal_(journal), lake_(lake), options_(std::move(options)) {}

Loader::~Loader() { Stop(); }

void Loader::Start() {
  thread_ = std::thread([this] {
    while (!stop_) Step();
  });
}

void Loader::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    stopped_.notify_all();
  }
  if (!thread_.joinable()) return;
  journal_->Interrupt();
  thread_.join();
}

void Loader::Sleep(int64_t ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  stopped_.wait_for(lock, std::chrono::milliseconds(ms), [&] { return stop_.load(); });
}

bool Loader::Step() {
  size_t rows = 0;
  Clock::time_point first;
  bool waited = false;
  while (!stop_ && rows < options_.rows_max) {
    journal::Entry entry;
    const auto more = journal_->Next(&entry);
    if (!more.ok()) {
      options_.note(std::string(more.status().message().data(), more.status().message().size()));
      // The disk may answer again; what is damaged was stepped over.
      if (!absl::IsDataLoss(more.status())) Sleep(options_.backoff_ms);
      continue;
    }
    if (!*more) {
      const int64_t left = rows == 0 ? options_.linger_ms : options_.linger_ms - MsSince(first);
      if (left <= 0 || rows >= options_.rows_min || (rows == 0 && waited)) break;
      journal_->Wait(left);
      waited = true;
      continue;
    }
    if (rows == 0) first = Clock::now();
    read_ = entry.sequence;
    std::string_view bytes = entry.block;
    auto block = lake::DecodeNative(&bytes);
    if (!block.ok()) {  // its checksum was right: an entry of a program that this one does not know
      options_.note(
          StrCat("journal: entry ", entry.sequence, " of ", entry.rows, " rows cannot be read: ",
                 std::string(block.status().message().data(), block.status().message().size())));
      continue;
    }
    rows += block->rows();
    std::vector<lake::Block>& blocks = pending_[entry.table];
    if (blocks.empty() || blocks.back().rows() + block->rows() > lake::kInsertRowsMax ||
        !AddRows(*block, &blocks.back())) {
      blocks.push_back(std::move(*block));
    }
  }
  if (read_ <= journal_->stats().committed) return false;  // nothing came
  int64_t backoff = options_.backoff_ms;
  while (!stop_) {
    absl::Status s = InsertAll();
    if (s.ok()) s = journal_->Commit(read_);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stats_.failing = !s.ok();
      if (s.ok()) return true;
      ++stats_.failures;
      stats_.last_error.assign(s.message().data(), s.message().size());
    }
    options_.note(StrCat("lake: rows wait in the journal and are tried again in ", backoff,
                         " ms: ", std::string(s.message().data(), s.message().size())));
    Sleep(backoff);
    backoff = std::min(2 * backoff, options_.backoff_max_ms);
  }
  return false;
}

absl::Status Loader::InsertAll() {
  for (auto& [table, blocks] : pending_) {
    while (!blocks.empty()) {
      if (absl::Status s = lake_->Insert(table, blocks.back()); !s.ok()) return s;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        stats_.rows += blocks.back().rows();
        ++stats_.inserts;
      }
      blocks.pop_back();
    }
  }
  return absl::OkStatus();
}

LoaderStats Loader::stats() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

}  // namespace stillwatch::ingest
