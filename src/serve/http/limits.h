// Bounds of the HTTP server, all of them. Tests lower a copy; nothing else changes them.
#pragma once

#include <chrono>
#include <cstddef>

namespace stillwatch::serve {

struct Limits {
  size_t header_bytes = 32u << 10;         // request line and headers together; more: 431
  size_t body_bytes = 64u << 20;           // as sent, unless the route allows less; more: 413
  size_t decompressed_bytes = 64u << 20;   // what OTLP recommends; a bomb: 413
  size_t bodies_in_flight = 512u << 20;    // of all connections together; more: 503
  size_t connections = 16'384;             // more: 503 and closed
  size_t pool_queue = 256;                 // requests that wait for a worker; more: 503
  size_t inline_body_bytes = 128u << 10;   // a longer body never keeps an io thread busy
  std::chrono::milliseconds idle{75'000};  // between requests of a connection
  std::chrono::milliseconds header{
      10'000};                             // from a request's first byte (a TLS handshake too): 408
  std::chrono::milliseconds body{60'000};  // from the end of the headers: 408
  std::chrono::milliseconds write{30'000};  // until the client has taken the whole reply
  std::chrono::milliseconds tick{100};      // how closely the four above are watched
  int retry_after_s = 1;                    // what a 503 asks for
};

}  // namespace stillwatch::serve
