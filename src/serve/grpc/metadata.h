// What both services do before a request is theirs.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <string>
#include <string_view>

#include "serve/grpc/server.h"

namespace stillwatch::serve {

// The token of metadata `authorization: Bearer TOKEN` put to `authorize`; OK without one to ask.
grpc::Status AuthorizeCall(const grpc::CallbackServerContext& context, const Authorize& authorize);

inline uint64_t NanosecondsSince(std::chrono::steady_clock::time_point begin) {
  return static_cast<uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count());
}

}  // namespace stillwatch::serve
