// What gateways ask over HTTP: POST /v1/decide, forward-auth under /v1/check/, LiteLLM's guardrail.
// Transport only: serve/decide decides. All of it runs on io threads and waits for nothing.
//
// None of these answers 5xx of its own accord: a gateway would take that for a failure of ours and
// do what it does then. What cannot be understood is 400 (/v1/decide, the caller's bug) or decided
// by what else is known (/v1/check/, LiteLLM: the body is somebody else's).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "respond/decide.h"
#include "serve/decide/content.h"
#include "serve/decide/decider.h"
#include "serve/http/router.h"

namespace stillwatch::serve {

inline constexpr size_t kGateIdBytesMax = 1024;     // of an id, model or address
inline constexpr size_t kGateSignaturesMax = 1024;  // in one request; more: 400

struct GateOptions {
  // nginx's auth_request relays 401 and 403 and no body (docs/GATEWAYS.md). Per request the query
  // of the check's URL says otherwise: ?deny_style=nginx or native.
  bool nginx = false;
};

// `decider` must outlive the router. Role decide; at a check the token is read from
// X-Stillwatch-Token alone.
void AddGate(Router* router, const Decider* decider, GateOptions options);

// A body of /v1/decide. Views live until the parser's next call.
struct DecideBody {
  respond::Request request;
  model::Sketch sketch;
  Content content;
  std::vector<uint64_t> presented;
};

// Thread-compatible; buffers stay warm.
class DecideParser {
 public:
  DecideParser();
  ~DecideParser();
  // InvalidArgument names the field and what is expected. `out->request` points into the parser and
  // *out.
  absl::Status Decide(std::string_view body, DecideBody* out);

  // LiteLLM's request. False: it is about a response, or no JSON object; nothing is to be decided.
  bool Litellm(std::string_view body, DecideBody* out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace stillwatch::serve
