// gRPC servers: Envoy's ext_authz on 9191 and OTLP on 4317, each with the standard health service.
// docs/GATEWAYS.md has the configuration of the other side.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "serve/decide/decider.h"
#include "serve/http/log.h"

namespace grpc {
class Service;
}

namespace stillwatch::serve {

struct GrpcLimits {
  size_t message_bytes = 64u << 20;  // of a request, decompressed: what OTLP recommends
  // Of a request. More is refused and, as gRPC cannot go on decompressing headers, its connection
  // closed with all that is in work there. A gateway writes its metadata itself: what its clients
  // send is in the message.
  size_t metadata_bytes = 16u << 10;
  int streams = 1024;              // requests in flight on one connection
  size_t memory_bytes = 1u << 30;  // of gRPC's own buffers, all connections together
  std::chrono::milliseconds handshake{10'000};
  std::chrono::milliseconds idle{600'000};   // a connection without a request; then it is closed
  std::chrono::milliseconds age{3'600'000};  // of a connection; then the client opens another
  std::chrono::milliseconds age_grace{
      60'000};  // in which its requests must end: a slow client's too
};

struct GrpcTls {
  std::string certificate, key;  // PEM files, chain first; empty: plain text
  std::string client_ca;         // PEM file: clients must show a certificate of it; empty: none
  // The files are read again as often; new connections use what is there.
  std::chrono::seconds reread{60};
};

struct GrpcOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;  // 0: the kernel picks, GrpcServer::port() tells
  bool gzip = false;  // whether requests may be compressed; the services must open them (MakeOtlp)
  GrpcTls tls;
  GrpcLimits limits;
  // What gRPC itself complains of (handshakes, requests that it cannot read), one line a second at
  // most. The last server started says where to, for all; must outlive them. Null: dropped.
  Log* log = nullptr;
};

// OK, Unauthenticated or PermissionDenied of the token in metadata `authorization: Bearer TOKEN`
// (empty when there is none). Called on gRPC's threads: must not block.
using Authorize = std::function<absl::Status(std::string_view token)>;

// Tells what a request ended in, for metrics: "Check", a gRPC status code, how long it took.
using Observe = std::function<void(std::string_view method, int code, uint64_t ns)>;

// Decider::Check. Called on gRPC's threads: must not block.
using CheckFn = std::function<Answer(const Ask&)>;

// envoy.service.auth.v3.Authorization.
std::shared_ptr<grpc::Service> MakeExtAuthz(CheckFn check, Authorize authorize, Observe observe);

enum class OtlpSignal : uint8_t { kTraces, kLogs };

struct OtlpReply {
  absl::Status status;          // OK: stored; body may report a partial success
  std::string body;             // Export…ServiceResponse, protobuf; empty bytes are one
  uint32_t retry_after_ms = 0;  // with an error: RetryInfo. 0: trying again is of no use
};
// One request's bytes, decompressed: ExportTraceServiceRequest or ExportLogsServiceRequest. May
// block; called from OtlpOptions::threads threads at once.
using OtlpExport = std::function<OtlpReply(OtlpSignal signal, std::string_view request)>;

struct OtlpOptions {
  int threads = 4;
  size_t queued_requests = 256;      // that wait for a thread; more: RESOURCE_EXHAUSTED, RetryInfo
  size_t queued_bytes = 256u << 20;  // theirs and of those in work, as sent
  size_t message_bytes = 64u << 20;  // decompressed; more: RESOURCE_EXHAUSTED, for good
  uint32_t retry_after_ms = 1000;
};

// TraceService and LogsService of OTLP, for one server; gzip or plain.
std::vector<std::shared_ptr<grpc::Service>> MakeOtlp(OtlpOptions options, OtlpExport run,
                                                     Authorize authorize, Observe observe);

// Thread-safe.
class GrpcServer {
 public:
  // Listens when it returns. InvalidArgument: an address or certificate that cannot be used, with
  // what to do. Keeps the services.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(
      const GrpcOptions& options, std::vector<std::shared_ptr<grpc::Service>> services);
  virtual ~GrpcServer() = default;  // as Drain(0)

  virtual uint16_t port() const = 0;
  // What the health service says; serving from the start.
  virtual void SetServing(bool serving) = 0;
  // Says NOT_SERVING, takes no new request, waits for those in flight until `bound` is over, then
  // cuts them off. Blocks; once.
  virtual void Drain(std::chrono::milliseconds bound) = 0;
};

}  // namespace stillwatch::serve
