// Who sends how much, of late, and what was refused and why: for people who look after ingest.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace stillwatch::ingest {

inline constexpr size_t kTallySources = 64;  // told apart; further ones are "others"
inline constexpr size_t kTallyReasons = 64;  // likewise
inline constexpr size_t kTallyMinutes = 60;
inline constexpr size_t kTallyRefused = 50;  // the newest, with their place

struct SourceTally {
  std::string source;
  uint64_t accepted = 0, rejected = 0;
  int64_t first_ms = 0, last_ms = 0;  // of requests
  int64_t newest_ms = INT64_MIN;      // time of its newest record; INT64_MIN: of none
};
struct MinuteTally {
  int64_t begin_ms = 0;
  uint64_t accepted = 0, rejected = 0;
};
struct ReasonTally {
  std::string reason;  // without what was quoted of the record
  uint64_t count = 0;
  int64_t last_ms = 0;
};
struct RefusedRecord {  // no text of the record: rejected.jsonl has its beginning
  int64_t ms = 0;
  std::string source, reason;
  uint64_t record = 0;
};

// Thread-safe; since the start of the process.
class Tally {
 public:
  void Add(std::string_view source, uint64_t accepted, uint64_t rejected, int64_t newest_ms,
           int64_t now_ms);
  void Refuse(std::string_view source, uint64_t record, std::string_view reason, int64_t now_ms);

  std::vector<SourceTally> Sources() const;  // by name
  // Every minute of the last hour, oldest first, quiet ones too.
  std::vector<MinuteTally> Minutes(int64_t now_ms) const;
  std::vector<ReasonTally> Reasons() const;    // most first
  std::vector<RefusedRecord> Refused() const;  // newest first

 private:
  mutable std::mutex mutex_;
  std::map<std::string, SourceTally, std::less<>> sources_;
  std::map<int64_t, MinuteTally> minutes_;
  std::map<std::string, ReasonTally, std::less<>> reasons_;
  std::deque<RefusedRecord> refused_;
};

}  // namespace stillwatch::ingest
