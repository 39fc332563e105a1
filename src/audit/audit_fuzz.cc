// Bytes as an audit log and as an anchor: the verifier takes any, and a log that was changed
// anywhere does not pass for the one whose head was kept.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "audit/segments.h"
#include "audit/verify.h"
#include "base/str.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::audit;
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  // As it is, cut into segments at form feeds.
  std::vector<SegmentBytes> raw;
  for (size_t at = 0; at <= in.size() && raw.size() < 20;) {
    const size_t end = std::min(in.find('\f', at), in.size());
    raw.push_back({SegmentName(raw.size() + 1), std::string(in.substr(at, end - at))});
    at = end + 1;
  }
  const AuditReport report = VerifySegments(raw);
  if (report.findings.size() > kFindingsMax || report.findings.size() > report.findings_total)
    std::abort();
  // What passes is what the writer would write: its lines, and nothing else.
  if (report.ok() && report.notes.empty()) {
    uint64_t lines = 0;
    for (const auto& s : raw) {
      if (!s.bytes.empty() && s.bytes.back() != '\n') std::abort();
      for (const char c : s.bytes) lines += c == '\n';
    }
    if (lines != report.records) std::abort();
  }
  if (const auto anchor = ParseAnchor(in); anchor.ok()) {
    const auto again = ParseAnchor(stillwatch::base::StrCat(anchor->seq, ":", anchor->hash));
    if (!again.ok() || again->seq != anchor->seq || again->hash != anchor->hash) std::abort();
  }
  // A log of three records made from the input, then changed where the input says.
  if (size < 8) return 0;
  std::vector<SegmentBytes> log = {{SegmentName(1), ""}, {SegmentName(2), ""}};
  std::string prev(kZeroHash);
  const std::string text(in.substr(6, 200));
  for (int i = 1; i <= 3; ++i)
    prev = FormatRecord(i, prev, {i, text, "a", text, "{}"}, &log[i == 3].bytes);
  VerifyOptions options;
  options.anchors = {{3, prev}};
  if (!VerifySegments(log, options).ok()) std::abort();
  auto bad = log;
  std::string& target = bad[data[0] & 1].bytes;
  const size_t at = (data[1] | data[2] << 8) % target.size();
  switch (data[0] >> 1 & 3) {
    case 0:
      target[at] = static_cast<char>(data[3]);
      break;
    case 1:
      target.erase(at, 1 + data[4]);
      break;
    case 2:
      target.insert(at, text.substr(0, 1 + data[4]));
      break;
    case 3:
      target.insert(at, target.substr(data[4] % target.size(), data[5]));
      break;
  }
  if ((bad[0].bytes != log[0].bytes || bad[1].bytes != log[1].bytes) &&
      VerifySegments(bad, options).ok())
    std::abort();
  return 0;
}
