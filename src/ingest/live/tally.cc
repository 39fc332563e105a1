#include "ingest/live/tally.h"

#include <algorithm>

namespace stillwatch::ingest {
namespace {

constexpr int64_t kMinuteMs = 60'000;
constexpr char kOthers[] = "others";
constexpr size_t kReasonBytes = 300;

template <typename Map>
auto& Bounded(Map& map, std::string_view key, size_t most) {
  if (auto it = map.find(key); it != map.end()) return it->second;
  return map[std::string(map.size() < most ? key : kOthers)];
}

// What is the same for all records that are wrong in the same way: nothing quoted, no number.
std::string Kind(std::string_view reason) {
  reason = reason.substr(0, std::min(reason.find('"'), kReasonBytes));
  std::string out;
  for (const char c : reason) {
    if (c >= '0' && c <= '9') {
      if (out.empty() || out.back() != '#') out.push_back('#');
    } else {
      out.push_back(c);
    }
  }
  while (!out.empty() && (out.back() == ' ' || out.back() == ':' || out.back() == ','))
    out.pop_back();
  return out;
}

}  // namespace

void Tally::Add(std::string_view source, uint64_t accepted, uint64_t rejected, int64_t newest_ms,
                int64_t now_ms) {
  const std::lock_guard<std::mutex> lock(mutex_);
  SourceTally& s = Bounded(sources_, source, kTallySources);
  if (s.first_ms == 0) s.first_ms = now_ms;
  s.last_ms = std::max(s.last_ms, now_ms);
  s.newest_ms = std::max(s.newest_ms, newest_ms);
  s.accepted += accepted;
  s.rejected += rejected;
  const int64_t minute = now_ms / kMinuteMs * kMinuteMs;
  MinuteTally& m = minutes_[minute];
  m.accepted += accepted;
  m.rejected += rejected;
  while (minutes_.size() > kTallyMinutes) minutes_.erase(minutes_.begin());
}

void Tally::Refuse(std::string_view source, uint64_t record, std::string_view reason,
                   int64_t now_ms) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ReasonTally& r = Bounded(reasons_, Kind(reason), kTallyReasons);
  ++r.count;
  r.last_ms = now_ms;
  refused_.push_front(
      {now_ms, std::string(source), std::string(reason.substr(0, kReasonBytes)), record});
  if (refused_.size() > kTallyRefused) refused_.pop_back();
}

std::vector<SourceTally> Tally::Sources() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<SourceTally> out;
  for (const auto& [name, s] : sources_) {
    out.push_back(s);
    out.back().source = name;
  }
  return out;
}

std::vector<MinuteTally> Tally::Minutes(int64_t now_ms) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<MinuteTally> out;
  const int64_t last = now_ms / kMinuteMs * kMinuteMs;
  for (int64_t at = last - int64_t{kTallyMinutes - 1} * kMinuteMs; at <= last; at += kMinuteMs) {
    const auto it = minutes_.find(at);
    out.push_back(it == minutes_.end() ? MinuteTally{} : it->second);
    out.back().begin_ms = at;
  }
  return out;
}

std::vector<ReasonTally> Tally::Reasons() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<ReasonTally> out;
  for (const auto& [name, r] : reasons_) {
    out.push_back(r);
    out.back().reason = name;
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const ReasonTally& a, const ReasonTally& b) { return a.count > b.count; });
  return out;
}

std::vector<RefusedRecord> Tally::Refused() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {refused_.begin(), refused_.end()};
}

}  // namespace stillwatch::ingest
