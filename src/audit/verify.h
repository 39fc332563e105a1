// Checks an audit log: every byte of every record, their order, the segments, the signatures.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "audit/log.h"

namespace stillwatch::audit {

inline constexpr size_t kFindingsMax = 100;        // named; the others are counted
inline constexpr size_t kLineBytes = 1 << 20;      // a longer line is no record

struct AuditFinding {
  std::string segment;  // name of the file
  uint64_t line = 0;    // from 1; 0: the segment as a whole
  uint64_t offset = 0;  // of the line, in bytes
  uint64_t seq = 0;     // as the record says, or would have to say; 0: unknown
  std::string what;     // one sentence
};

struct AuditReport {
  uint64_t segments = 0, records = 0;
  AuditHead first, head;          // of what could be read
  uint64_t signed_through = 0;    // number of the last record that a valid signature covers
  std::string signed_by;          // its public key, hexadecimal
  std::vector<AuditFinding> findings;  // in the order of the log
  uint64_t findings_total = 0;
  std::vector<std::string> notes;      // torn tails that a recovery has recorded, and the like
  bool ok() const { return findings_total == 0; }
};

struct VerifyOptions {
  std::vector<AuditHead> anchors;  // heads that were kept elsewhere: these records must be there
  std::string public_key;          // 32 bytes: this key must have signed all but the last records
  std::string last_segment;        // of a log that is being written: look no further than
  uint64_t last_bytes = 0;         // these bytes of this segment (both empty: all there is)
};

// NotFound when there is no such folder; a folder without segments is a finding.
absl::StatusOr<AuditReport> VerifyAudit(const std::string& dir, const VerifyOptions& options = {});

// "SEQ:HASH", as `stillwatch audit verify` prints it.
absl::StatusOr<AuditHead> ParseAnchor(std::string_view text);

// --- for tests, fuzzing and the log itself ---

// One record as its line shows it. Views into the line.
struct RecordView {
  uint64_t seq = 0;
  std::string_view time, actor, action, subject, details;  // the four strings still escaped
  std::string_view prev, hash;                             // 64 lower-case hexadecimal digits
  std::string_view body;                                   // what the hash is taken over
};

// A line without its line end. False for anything that this program would not have written; the hash
// is not computed.
bool ParseRecord(std::string_view line, RecordView* out);

// BLAKE2b-256 in hexadecimal.
std::string HashHex(std::string_view bytes);

// What a signature signs.
std::string SignedText(const AuditHead& head);

// The same checks over bytes in memory: segments in order, each with name and content.
struct SegmentBytes {
  std::string name, bytes;
};
AuditReport VerifySegments(const std::vector<SegmentBytes>& segments,
                           const VerifyOptions& options = {});

}  // namespace stillwatch::audit
