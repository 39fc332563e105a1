// The files of an audit log. Internal to src/audit.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "audit/log.h"

namespace stillwatch::audit {

struct SegmentFile {
  uint64_t number = 0;
  std::string name, path;
  uint64_t bytes = 0;
};

std::string SegmentName(uint64_t number);  // "audit-000007.jsonl"

// By number. Files of other names are none of the log's.
absl::StatusOr<std::vector<SegmentFile>> ListSegments(const std::string& dir);

// Reads up to `bytes` from `offset`; less at the end of the file.
absl::StatusOr<std::string> ReadRange(const std::string& path, uint64_t offset, uint64_t bytes);

// What a recovery record says of the bytes that a crash left behind a segment's last whole record.
std::string RecoveredDetails(std::string_view segment, uint64_t offset, uint64_t bytes,
                             std::string_view hash_hex);

// `{"key":"<64 digits>","signature":"<128 digits>"}`
std::string SignatureDetails(std::string_view key, std::string_view signature);

// Appends the record's line, details as they are, and returns its hash.
std::string FormatRecord(uint64_t seq, std::string_view prev, const AuditRecord& record,
                         std::string* out);

bool FromHex(std::string_view hex, std::string* out);  // lower case alone

inline constexpr std::string_view kZeroHash =
    "0000000000000000000000000000000000000000000000000000000000000000";
inline constexpr std::string_view kActionRecovered = "audit.recovered";
inline constexpr std::string_view kActionSigned = "audit.signed";
inline constexpr std::string_view kActionOverflow = "audit.overflow";

}  // namespace stillwatch::audit
