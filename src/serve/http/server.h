// HTTP/1.1 over plain TCP or TLS: a few io threads, each with a socket of its own on every port
// (SO_REUSEPORT), connections that never change thread, and a pool for handlers that may block.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "serve/http/limits.h"
#include "serve/http/log.h"
#include "serve/http/metrics.h"
#include "serve/http/router.h"
#include "serve/http/tokens.h"

namespace stillwatch::serve {

struct Endpoint {
  std::string address = "127.0.0.1";
  uint16_t port = 0;               // 0: the kernel picks, Server::ports() tells
  const Router* router = nullptr;  // outlives the server
  // PEM files of certificates. Not empty: only who has the key of one of them gets in (mutual TLS),
  // and HttpRequest::client_certificate tells which; routes there ask for no tokens (kPublic).
  std::vector<std::string> client_certificates{};
};

struct ServerOptions {
  std::vector<Endpoint> endpoints;
  int io_threads = 2;
  int pool_threads = 4;
  std::string tls_certificate, tls_key;  // PEM files, chain first; empty: plain
  // Serve other machines without TLS and tokens all the same (behind a proxy that has both).
  bool insecure = false;
  Limits limits;
};

// As HttpRequest::client_certificate names one: SHA-256 of the first certificate of a PEM file.
absl::StatusOr<std::string> CertificateHash(const std::string& pem_file);

// True for 127.0.0.0/8, ::1 and "localhost".
bool IsLoopback(std::string_view address);

// Thread-safe. Where no tokens are set up every caller is "local" with every role, but all
// except deciding is then only open to requests that address this machine by a loopback name and
// come from no web page of elsewhere, since a browser on this machine can be made to send any.
// `metrics` and `log` outlive the server.
class Server {
 public:
  // Listens when it returns. InvalidArgument: an address, certificate or key that cannot be used,
  // an address that others reach without TLS and tokens; says what to do.
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options,
                                                       std::shared_ptr<const TokenStore> tokens,
                                                       Metrics* metrics, Log* log);
  virtual ~Server() = default;  // as Drain(0)

  virtual std::vector<uint16_t> ports() const = 0;  // of the endpoints, in order
  // Another store, for requests that arrive from now on (the one that is there may change by itself
  // too). FailedPrecondition, and the old one stays: it is empty and others reach this server.
  virtual absl::Status SetTokens(std::shared_ptr<const TokenStore> tokens) = 0;
  // Reads certificate and key again; new connections use them. An error keeps the old ones.
  virtual absl::Status ReloadTls() = 0;
  // Takes no new connection, answers what has arrived, closes what is idle, waits until all is
  // answered or `bound` is over, then closes what is left. Returns how many were cut off. Blocks;
  // once.
  virtual size_t Drain(std::chrono::milliseconds bound) = 0;
  virtual size_t connections() const = 0;
};

}  // namespace stillwatch::serve
