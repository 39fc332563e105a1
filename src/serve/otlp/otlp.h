// OpenTelemetry's receiver: the bytes of an export request in, the bytes of its answer out. The
// transport (HTTP on 4318, gRPC on 4317) is somebody else's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "ingest/live/service.h"

namespace stillwatch::serve {

enum class OtlpKind : uint8_t { kTraces, kLogs };
enum class OtlpEncoding : uint8_t { kProtobuf, kJson };

struct OtlpAnswer {
  // OK: what could be used is durable, and `body` tells what could not. InvalidArgument: the whole
  // request, for good. ResourceExhausted, Unavailable: nothing need have been kept; send it again.
  absl::Status status;
  int http_status = 200;
  std::string body;            // Export...ServiceResponse, or google.rpc.Status, in the encoding
  uint32_t retry_after_s = 0;  // with an error that passes
};

// Thread-safe; blocks until the disk has answered.
class OtlpService {
 public:
  explicit OtlpService(ingest::IngestService* ingest) : ingest_(ingest) {}
  // `request` is decompressed. Spans and records that speak of no exchange with a model are taken
  // and passed over. `source`: who sent it, for what is kept of refused records.
  OtlpAnswer Export(OtlpKind kind, OtlpEncoding encoding, std::string_view request,
                    std::string_view source);

 private:
  ingest::IngestService* const ingest_;
};

// google.rpc.Status for errors found before (content type, size), in the request's encoding.
std::string OtlpErrorBody(const absl::Status& status, OtlpEncoding encoding);

}  // namespace stillwatch::serve
