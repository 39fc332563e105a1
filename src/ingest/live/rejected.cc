#include "ingest/live/rejected.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "model/reject.h"

namespace stillwatch::ingest {

using base::StrCat;
namespace fs = std::filesystem;

absl::StatusOr<std::unique_ptr<RejectedLog>> RejectedLog::Open(RejectedOptions options) {
  std::error_code error;
  fs::create_directories(options.folder, error);
  std::unique_ptr<RejectedLog> log(new RejectedLog(std::move(options)));
  const std::string path = StrCat(log->options_.folder, "/rejected.jsonl");
  log->file_ = error ? nullptr : std::fopen(path.c_str(), "ae");
  if (log->file_ == nullptr)
    return absl::UnavailableError(
        StrCat(path, ": cannot be opened: ", error ? error.message() : std::strerror(errno)));
  log->bytes_ = fs::file_size(path, error);
  if (error) log->bytes_ = 0;
  return log;
}

RejectedLog::~RejectedLog() {
  if (file_ != nullptr) std::fclose(file_);
}

void RejectedLog::Rotate() {
  const std::string path = StrCat(options_.folder, "/rejected.jsonl");
  if (file_ != nullptr) std::fclose(file_);
  (void)std::rename(path.c_str(), StrCat(options_.folder, "/rejected.1.jsonl").c_str());
  file_ = std::fopen(path.c_str(), "we");
  bytes_ = 0;
}

void RejectedLog::Add(const model::Reject& r, int64_t now_ms) {
  std::string line;
  base::JsonWriter w(&line);
  w.BeginObject();
  w.Key("ts");
  w.String(base::FormatRfc3339(now_ms));
  model::WriteReject(r, &w, options_.record_bytes_max);
  w.EndObject();
  line.push_back('\n');
  const std::lock_guard<std::mutex> lock(mutex_);
  if (bytes_ + line.size() > options_.bytes_max / 2) Rotate();
  // Handed to the system at once: a kill loses none of it.
  if (file_ == nullptr || std::fwrite(line.data(), 1, line.size(), file_) != line.size() ||
      std::fflush(file_) != 0) {
    ++unkept_;
    if (file_ != nullptr) std::clearerr(file_);
    return;
  }
  bytes_ += line.size();
}

uint64_t RejectedLog::unkept() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return unkept_;
}

}  // namespace stillwatch::ingest
