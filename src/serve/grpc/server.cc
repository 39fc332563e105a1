#include "serve/grpc/server.h"

#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <sstream>

#include "base/str.h"

namespace stillwatch::serve {
namespace {

using base::StrCat;

std::atomic<Log*> g_log{nullptr};  // gRPC has one log a process

void WriteLog(gpr_log_func_args* args) {
  static std::atomic<int64_t> next{0};
  Log* log = g_log.load(std::memory_order_acquire);
  if (log == nullptr || args->severity < GPR_LOG_SEVERITY_ERROR) return;
  const int64_t now = std::chrono::steady_clock::now().time_since_epoch() / std::chrono::seconds(1);
  int64_t due = next.load(std::memory_order_relaxed);
  if (now < due || !next.compare_exchange_strong(due, now + 1)) return;
  log->Warn("grpc",
            {{"message", std::string_view(args->message).substr(0, 512)}, {"line", args->line}});
}

absl::Status Readable(const std::string& path, std::string_view what, std::string_view mark) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  if (!in) {
    return absl::InvalidArgumentError(
        StrCat(what, ": ", path, " cannot be read; give a PEM file that this user may read"));
  }
  if (text.str().find(mark) == std::string::npos) {
    return absl::InvalidArgumentError(
        StrCat(what, ": ", path, " has no line \"", mark, "\"; give a PEM file"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(const GrpcTls& tls) {
  if (tls.certificate.empty() && tls.key.empty()) {
    if (!tls.client_ca.empty()) {
      return absl::InvalidArgumentError(
          "TLS: client certificates are asked for, but the server has none; give certificate and "
          "key");
    }
    return grpc::InsecureServerCredentials();
  }
  if (absl::Status s = Readable(tls.certificate, "TLS certificate", "-----BEGIN CERTIFICATE-----");
      !s.ok()) {
    return s;
  }
  if (absl::Status s = Readable(tls.key, "TLS key", "PRIVATE KEY-----"); !s.ok()) return s;
  if (!tls.client_ca.empty()) {
    if (absl::Status s = Readable(tls.client_ca, "TLS client CA", "-----BEGIN CERTIFICATE-----");
        !s.ok()) {
      return s;
    }
  }
  const auto provider = std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      tls.key, tls.certificate, tls.client_ca, static_cast<unsigned>(tls.reread.count()));
  grpc::experimental::TlsServerCredentialsOptions options(provider);
  options.watch_identity_key_cert_pairs();
  options.set_identity_cert_name("");
  if (tls.client_ca.empty()) {
    options.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  } else {
    options.watch_root_certs();
    options.set_root_cert_name("");
    options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

class GrpcServerImpl final : public GrpcServer {
 public:
  ~GrpcServerImpl() override {
    if (server_ == nullptr) return;  // it never began
    Drain(std::chrono::milliseconds(0));
    Log* mine = log_;
    g_log.compare_exchange_strong(mine, nullptr);
  }

  uint16_t port() const override { return static_cast<uint16_t>(port_); }

  void SetServing(bool serving) override {
    if (auto* health = server_->GetHealthCheckService()) health->SetServingStatus(serving);
  }

  void Drain(std::chrono::milliseconds bound) override {
    std::call_once(drained_, [&] {
      SetServing(false);
      server_->Shutdown(std::chrono::system_clock::now() + bound);
      server_->Wait();
    });
  }

  std::vector<std::shared_ptr<grpc::Service>> services_;  // die after the server
  std::unique_ptr<grpc::Server> server_;
  Log* log_ = nullptr;
  int port_ = 0;
  std::once_flag drained_;
};

int Ms(std::chrono::milliseconds ms) { return static_cast<int>(ms.count()); }

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(
    const GrpcOptions& options, std::vector<std::shared_ptr<grpc::Service>> services) {
  static std::once_flag health;
  std::call_once(health, [] {
    grpc::EnableDefaultHealthCheckService(true);
    gpr_set_log_function(WriteLog);
  });
  g_log.store(options.log, std::memory_order_release);
  auto credentials = Credentials(options.tls);
  if (!credentials.ok()) return credentials.status();
  const GrpcLimits& limits = options.limits;
  auto server = std::make_unique<GrpcServerImpl>();
  server->services_ = std::move(services);
  server->log_ = options.log;

  grpc::ServerBuilder builder;
  // An IPv6 address stands in brackets.
  const bool six = options.address.find(':') != std::string::npos && options.address[0] != '[';
  const std::string where = StrCat(six ? "[" : "", options.address, six ? "]:" : ":", options.port);
  builder.AddListeningPort(where, *credentials, &server->port_);
  for (const auto& service : server->services_) builder.RegisterService(service.get());
  builder.SetMaxReceiveMessageSize(static_cast<int>(limits.message_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.streams);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, static_cast<int>(limits.metadata_bytes));
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Ms(limits.handshake));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, Ms(limits.idle));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, Ms(limits.age));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, Ms(limits.age_grace));
  // gRPC's own decompression knows no bound.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, options.gzip);
  // Two servers on one port would each get a part of the requests.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  grpc::ResourceQuota quota("stillwatch");
  quota.Resize(limits.memory_bytes);
  builder.SetResourceQuota(quota);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || server->port_ == 0) {
    return absl::InvalidArgumentError(
        StrCat(where, ": cannot listen here; is the address this machine's, and the port free?"));
  }
  return std::unique_ptr<GrpcServer>(std::move(server));
}

}  // namespace stillwatch::serve
