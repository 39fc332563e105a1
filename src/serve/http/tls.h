// What each endpoint of a server speaks TLS with. Internal to src/serve/http.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "serve/http/server.h"

namespace stillwatch::serve::internal {

// Of the endpoints, in order; null: plain.
using TlsContexts = std::vector<std::shared_ptr<boost::asio::ssl::context>>;

// Reads the certificates that the options name. InvalidArgument says which file is wrong.
absl::StatusOr<TlsContexts> ReadTls(const ServerOptions& options);

// SHA-256, in hexadecimal; empty when it cannot be taken.
std::string HashOf(X509* certificate);

}  // namespace stillwatch::serve::internal
