// From what a gateway says of a request to what the gateway is to do: the one way to a decision for
// Envoy's ext_authz (serve/grpc) and for the HTTP handlers.
//
// Who calls is read from headers that the gateway sets (docs/GATEWAYS.md). It must overwrite them:
// whatever a client sends under these names would be believed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "audit/log.h"
#include "respond/decide.h"
#include "respond/holder.h"
#include "serve/decide/denial.h"

namespace stillwatch::serve {

inline constexpr size_t kNameBytesMax =
    4096;  // of an id, model or address; longer: as if not there

struct DeciderOptions {
  // Names in lower case; empty: not read.
  std::string account_header = "x-stillwatch-account";
  std::string key_header = "x-stillwatch-key";  // the key's id as the log has it, never the key
  std::string org_header = "x-stillwatch-org";
  std::string model_header = "x-stillwatch-model";
  // Where the gateway names no key: SHA-256, in hex, of the client's own (Authorization: Bearer,
  // x-api-key, api-key, x-goog-api-key) is its id. LiteLLM's logs name keys so.
  bool hash_keys = true;
  // The client's address where the protocol does not say: this one from the right of
  // X-Forwarded-For, 1 for the gateway's own entry. 0: X-Forwarded-For is not read.
  int trusted_hops = 1;
};

using Lookup = absl::FunctionRef<std::string_view(std::string_view lower_case_name)>;

// One request of a client, seen by a gateway. Views live during the call.
struct Ask {
  std::string_view via;        // "ext_authz", "check": for the audit log
  std::string_view path;       // as the client sent it
  Lookup header;               // of the client's request, empty when it is not there
  Lookup setting;              // what the operator set for the route: account, key, org, model
  std::string_view client_ip;  // when the gateway's protocol says it
  std::string_view body;       // when the gateway shows it
  bool body_cut = false;       // it shows the beginning
};

// What the gateway is to do. `denial` counts when `refused`.
struct Answer {
  bool refused = false;
  Denial denial;
  // Of kReduce, for whoever serves the model; else empty. As header kReduceHeader.
  std::string reduce_to;
};
inline constexpr std::string_view kReduceHeader = "x-stillwatch-reduce";

// A decision as a protocol may show it: neither campaign, rule nor score.
struct Ruling {
  respond::Action action = respond::Action::kAllow;
  respond::Action shadowed = respond::Action::kAllow;
  bool shadow = false;
  respond::Reason reason = respond::Reason::kNothing;
  std::string reduce_to;  // of kReduce
  uint32_t retry_after_s = 0;
  int64_t expires_ms = 0;
  std::string appeal_ref;  // empty without one
};

// Thread-safe; decisions wait for nothing. What it is given must outlive it.
class Decider {
 public:
  // Gets every record of a decision that is not allow, or would not be without shadow mode; must
  // not block (AuditLog::Offer).
  using Audit = std::function<void(audit::AuditRecord)>;

  Decider(const respond::SnapshotHolder* snapshots, respond::Counters* counters, Audit audit,
          std::function<int64_t()> now_ms, DeciderOptions options = {});

  Answer Check(const Ask& ask) const;
  // For protocols that name account, key and model themselves (/v1/decide, LiteLLM).
  Ruling Rule(std::string_view via, const respond::Request& request) const;

 private:
  const respond::SnapshotHolder* snapshots_;
  respond::Counters* counters_;
  Audit audit_;
  std::function<int64_t()> now_ms_;
  const DeciderOptions options_;
};

}  // namespace stillwatch::serve
