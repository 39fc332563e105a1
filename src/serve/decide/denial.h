// What a refused client reads: the error body of the API that it called, and nothing about why. The
// official SDKs turn 429 into RateLimitError and 403 into PermissionDeniedError, and x-should-retry
// stops their retrying (openai-node 6, anthropic-sdk-typescript 1).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace stillwatch::serve {

enum class Dialect : uint8_t { kOpenAi, kAnthropic };

// By the path that the client asked for (".../messages", ".../complete" are Anthropic's) and the
// header anthropic-version. Both may be empty.
Dialect DialectOf(std::string_view path, std::string_view anthropic_version);

enum class Refusal : uint8_t {
  kSlowDown,  // 429
  kVerify,    // 403: the account must be verified first
  kDenied,    // 403
};

struct Denial {
  int status = 403;
  // Retry-After (with kSlowDown), x-should-retry: false, content-type.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  // one line of JSON
};

// `appeal` is the reference to quote, or empty; `request_id` the gateway's own, or empty. Seconds
// of Retry-After: at least 1, 60 when `retry_after_s` is 0.
Denial Deny(Refusal refusal, Dialect dialect, std::string_view appeal, uint32_t retry_after_s,
            std::string_view request_id);

// The same for nginx, whose auth_request relays 401 and 403 alone and no body (docs/GATEWAYS.md): a
// 403 with the true status and body in headers, from which the configuration makes the answer.
Denial ForNginx(Denial denial);

}  // namespace stillwatch::serve
