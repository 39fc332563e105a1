// The audit log: what was decided, changed and approved, by whom, in an order that nobody can alter
// without being found out. A folder of segments audit-NNNNNN.jsonl; each record is a line
//   {"seq":7,"time":"...","actor":"...","action":"...","subject":"...","details":{...},
//    "prev":"<hash of record 6>","hash":"<hash of this one>"}
// hash = BLAKE2b-256 (RFC 7693, libsodium) over the bytes of the line before `,"hash":`, so that
// `b2sum -l 256` can check it without this program. The first record's prev is 64 zeros; numbers and
// chain go on from segment to segment. A chain alone does not show that its end was cut off, or that
// all of it was written anew: keep heads elsewhere (Head), or have them signed.
//
// Several processes may write to one folder: a batch is written under a lock on the file LOCK.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stillwatch::audit {

inline constexpr size_t kRecordBytes = 64 << 10;        // of one record's strings together
inline constexpr size_t kQueueRecords = 65'536;         // offered and not yet written
inline constexpr size_t kQueueBytes = 32 << 20;         // their strings together
inline constexpr uint64_t kSegmentBytes = 32 << 20;     // then the next segment begins
inline constexpr uint64_t kSignEvery = 1024;            // records between signatures, at most
inline constexpr int kGatherMs = 50;                    // an offered record waits as long for company

struct AuditRecord {
  int64_t time_ms = 0;
  std::string actor;    // a person (the token's name), "gateway", "stillwatch"
  std::string action;   // "decision.deny", "policy.activate", "appeal.overturn", ...
  std::string subject;  // what it was done to: an account, a policy version, a reference
  std::string details = "{}";  // a JSON object on one line; never a prompt, a response or a secret
};

struct AuditHead {
  uint64_t seq = 0;   // 0: nothing is written yet
  std::string hash;   // 64 hexadecimal digits
};

struct AuditStats {
  uint64_t written = 0;         // records, by this process
  uint64_t dropped = 0;         // offered while the queue was full, or too long
  uint64_t failed_batches = 0;  // the disk said no; offered records are tried again
  size_t queued = 0;
};

struct AuditOptions {
  std::string dir;                  // made when it is missing
  std::function<int64_t()> now_ms;  // for the log's own records (recovery, overflow, signatures)
  std::string signing_key;          // 32 bytes (Ed25519 seed); empty: heads are not signed
  uint64_t segment_bytes = kSegmentBytes;
};

// Safe for concurrent use. Owns one thread, which writes; the destructor writes what is queued.
class AuditLog {
 public:
  // Continues the folder's last segment. What a crash left unfinished at its end stays where it is;
  // a new segment begins with a record that names it (audit.recovered).
  static absl::StatusOr<std::unique_ptr<AuditLog>> Open(AuditOptions options);
  virtual ~AuditLog() = default;

  // Queues the record and returns at once; never waits for the disk. False when the queue is full or
  // the record too long: it is then counted, and the count itself is recorded (audit.overflow).
  virtual bool Offer(AuditRecord record) = 0;

  // Returns when the record is on the disk (group commit). Unavailable when it could not be written:
  // then whatever was to be recorded must not be done. InvalidArgument when it is too long.
  virtual absl::Status Append(AuditRecord record) = 0;

  // Waits until all that was offered before is on the disk, or could not be written.
  virtual absl::Status Flush() = 0;

  virtual AuditHead Head() const = 0;
  virtual AuditStats Stats() const = 0;
  virtual const std::string& dir() const = 0;
};

// --- reading ---

struct AuditFilter {
  std::string action;   // that begin with it ("policy."); empty: all
  std::string subject;  // exactly
  std::string actor;    // exactly
  std::string contains; // anywhere in the line
};

// Records with seq < before (0: from the end), newest first, as lines without their line end. Looks
// at no more than `scan_bytes` of segments; `next` is the `before` that goes on, 0 at the beginning.
struct AuditPage {
  std::vector<std::string> lines;
  uint64_t next = 0;
};
absl::StatusOr<AuditPage> ReadAudit(const std::string& dir, const AuditFilter& filter,
                                    uint64_t before, size_t limit,
                                    uint64_t scan_bytes = 256 << 20);

// Of AuditOptions::signing_key, an Ed25519 seed; both are 32 bytes.
std::string PublicKey(std::string_view signing_key);

}  // namespace stillwatch::audit
