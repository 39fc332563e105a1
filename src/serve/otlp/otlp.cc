#include "serve/otlp/otlp.h"

#include <google/protobuf/arena.h>

#include "base/json.h"
#include "base/str.h"
#include "ingest/formats/rows.h"
#include "serve/otlp/json.h"
#include "serve/otlp/otlp.pb.h"
#include "serve/otlp/rows.h"

namespace stillwatch::serve {
namespace {

using base::StrCat;
using ingest::RowWriter;

constexpr uint32_t kRetryAfterS = 1;

absl::Status FromJson(std::string_view json, otlp::Traces* out) {
  return otlp::TracesFromJson(json, out);
}
absl::Status FromJson(std::string_view json, otlp::Logs* out) {
  return otlp::LogsFromJson(json, out);
}

template <typename Request>
absl::Status Decode(OtlpEncoding encoding, std::string_view bytes, RowWriter* rows) {
  google::protobuf::Arena arena;
  auto* request = google::protobuf::Arena::CreateMessage<Request>(&arena);
  if (encoding == OtlpEncoding::kJson) {
    if (absl::Status s = FromJson(bytes, request); !s.ok()) return s;
  } else if (bytes.size() > INT32_MAX ||
             !request->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("body: not a protobuf message of this service");
  }
  otlp::RowsOf(*request, encoding == OtlpEncoding::kJson, rows);
  return absl::OkStatus();
}

OtlpAnswer Failed(absl::Status status, OtlpEncoding encoding) {
  OtlpAnswer a;
  const bool passes = absl::IsResourceExhausted(status) || absl::IsUnavailable(status);
  a.http_status = passes ? 503 : absl::IsInvalidArgument(status) ? 400 : 500;
  a.retry_after_s = passes ? kRetryAfterS : 0;
  a.body = OtlpErrorBody(status, encoding);
  a.status = std::move(status);
  return a;
}

std::string Answer(OtlpKind kind, OtlpEncoding encoding, const ingest::IngestResult& result) {
  std::string message;
  for (const ingest::IngestReason& r : result.reasons) {
    base::StrAppend(&message, message.empty() ? "" : "; ",
                    kind == OtlpKind::kTraces ? "span " : "record ", r.record, ": ", r.reason);
  }
  if (encoding == OtlpEncoding::kProtobuf) {
    otlp::Response response;
    if (result.rejected > 0) {
      response.mutable_partial_success()->set_rejected(static_cast<int64_t>(result.rejected));
      response.mutable_partial_success()->set_error_message(message);
    }
    return response.SerializeAsString();
  }
  std::string out;
  base::JsonWriter w(&out);
  w.BeginObject();
  if (result.rejected > 0) {
    w.Key("partialSuccess");
    w.BeginObject();
    w.Key(kind == OtlpKind::kTraces ? "rejectedSpans" : "rejectedLogRecords");
    w.String(std::to_string(result.rejected));
    w.Key("errorMessage");
    w.String(message);
    w.EndObject();
  }
  w.EndObject();
  return out;
}

}  // namespace

std::string OtlpErrorBody(const absl::Status& status, OtlpEncoding encoding) {
  const std::string message(status.message().data(), status.message().size());
  const int code = static_cast<int>(status.code());
  if (encoding == OtlpEncoding::kProtobuf) {
    otlp::Status body;
    body.set_code(code);
    body.set_message(message);
    return body.SerializeAsString();
  }
  std::string out;
  base::JsonWriter w(&out);
  w.BeginObject();
  w.Key("code");
  w.Int(code);
  w.Key("message");
  w.String(message);
  w.EndObject();
  return out;
}

OtlpAnswer OtlpService::Export(OtlpKind kind, OtlpEncoding encoding, std::string_view request,
                               std::string_view source) {
  auto batch = ingest_->Begin(source, request.size());
  if (!batch.ok()) return Failed(batch.status(), encoding);
  RowWriter rows;
  const absl::Status decoded = kind == OtlpKind::kTraces
                                   ? Decode<otlp::Traces>(encoding, request, &rows)
                                   : Decode<otlp::Logs>(encoding, request, &rows);
  if (!decoded.ok()) return Failed(decoded, encoding);
  batch->Rows(rows.Block());
  const auto result = batch->Commit();
  if (!result.ok()) return Failed(result.status(), encoding);
  return {absl::OkStatus(), 200, Answer(kind, encoding, *result), 0};
}

}  // namespace stillwatch::serve
