// One request to a server's HTTP interface, told apart by what is known of its fate.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "lake/cluster/url.h"

namespace stillwatch::lake {

struct HttpCall {
  std::string server;      // "host:port", or empty for the URL's socket
  std::string params;      // of the address, encoded (Param)
  std::string_view body;   // valid during the call
  int seconds = 0;         // of the whole call, 0: no bound
  int silent_seconds = 0;  // without a byte either way, 0: no bound
  // Sees the body of an answer with status 200 as it comes; an error ends the call.
  std::function<absl::Status(std::string_view)> on_body;
};

struct HttpAnswer {
  enum Fate {
    kNotSent,   // no connection: the server has seen nothing of it
    kAnswered,  // a whole answer came: `status` and, if it is not 200, `error`
    kUnknown,   // sent, but the answer did not come or not whole
    kStopped,   // by `stop`, or by on_body (`stopped` is its error)
  } fate = kUnknown;
  long status = 0;
  int lake_status = -1;  // an absl::StatusCode, of a host (lake/host)
  std::string error;  // the answer's text (at most 64 KiB), or why there was none
  absl::Status stopped;
};

// "key=value" with the value percent-encoded, "&" in front.
std::string Param(std::string_view key, std::string_view value);

// Every call has a connection of its own: on one that was used before, libcurl may send a request
// twice. `stop` (may be null) ends a call within a second. Safe from any thread.
HttpAnswer Post(const LakeUrl& url, const HttpCall& call, const std::atomic<bool>* stop);

}  // namespace stillwatch::lake
