// /api/v1: what people do with a running service. docs/openapi.yaml describes each route; a test
// holds the two together. Handlers run on the pool; every change is in the audit log before its
// reply.
//
// Errors are {"error": {"message", ...}}: 400 the request makes no sense, 403 this person may not,
// 404, 409 somebody else was first or the status does not allow it (look again), 503 the disk, the
// audit log or the lake said no and nothing was changed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "audit/log.h"
#include "lake/lake.h"
#include "lookup/lookup.h"
#include "respond/policy.h"
#include "serve/http/router.h"
#include "state/state.h"

namespace stillwatch::serve {

inline constexpr size_t kApiBodyBytes = 17 << 20;         // a policy with its quotes escaped
inline constexpr uint64_t kAppealScanBytes = 2ull << 30;  // of the audit log, for a reference

// What a policy would have done to the last day of traffic.
struct TriedPolicy {
  uint64_t touched = 0;         // accounts that what it enforces would touch
  std::string report = "null";  // JSON object for people: respond::DryRunReport
};

// Decisions other than allow since the start. Shadow: what would have been done.
struct DecisionCount {
  std::string action, reason;
  bool shadow = false;
  uint64_t count = 0;
};

// What of a campaign would leave for an audience (share/gate.h), as JSON for people.
struct ShareAsk {
  std::string campaign, audience;  // provider, cloud, government, public
  std::string issuer;              // empty: a preview, no bundle is made
  int64_t now_ms = 0;
  std::string type = {};          // of a preview: values of this type alone
  size_t offset = 0, limit = 50;  // of its values
};
struct Shared {
  std::string campaign_name;
  std::string summary;  // {"audience", "campaigns", "leaves", "stays"}: counts, never a value
  std::string items;    // of a preview: a page of [{"type", "form", "value"}], accounts by number
  uint64_t items_total = 0;
  std::string bundle;  // STIX 2.1
};

// What the handlers are made of; all of it outlives the router.
struct ApiContext {
  state::State* state = nullptr;
  audit::AuditLog* audit = nullptr;
  std::function<int64_t()> now_ms;
  // Tries it. FailedPrecondition with the count when it would lock out more than it may. Null where
  // no traffic can be read: then a policy that enforces anything is refused.
  std::function<absl::StatusOr<TriedPolicy>(const respond::Policy&)> try_policy;
  // What holds while the state has no active policy; null: nothing does.
  std::function<respond::Policy()> file_policy;
  // Told after each change, so that a snapshot can follow at once ("policy", "appeals", "lists",
  // "attestations", "tokens", "dispositions", "campaigns", "imports"); may be null, must not block
  // for long.
  std::function<void(std::string_view topic)> changed;
  // A read-only statement over the lake (lake::Lake::Report), for hunting; null where there is
  // none.
  std::function<absl::StatusOr<std::string>(std::string_view sql, std::string_view format,
                                            const lake::ReportBounds&)>
      report;
  // What the last pass wrote of accounts and their values. Null, or gives null, where it wrote
  // none: then the lake is asked, which takes seconds where there are millions of exchanges.
  std::function<std::shared_ptr<const lookup::Lookup>()> lookup;
  // NotFound: no such campaign among the findings; InvalidArgument: it or the audience may not be.
  // Null where there are no findings.
  std::function<absl::StatusOr<Shared>(const ShareAsk&)> share;
  // Of a STIX bundle that this issuer issued: that nothing of it holds any longer. Null where there
  // are no findings.
  std::function<absl::StatusOr<std::string>(const std::string& issuer, std::string_view bundle)>
      revocation;
  // What was decided, counts above 0; null where nothing is.
  std::function<std::vector<DecisionCount>()> decisions;
  // How taking in goes, as a JSON object (docs/openapi.yaml, Ingest); null where nothing is taken
  // in.
  std::function<std::string()> ingest;
  // Told of errors that the client is not told in full; may be null.
  std::function<void(std::string_view what)> note;
};

void AddApiRoutes(Router* router, ApiContext context);

}  // namespace stillwatch::serve
