// The paths under which records arrive over HTTP.
#pragma once

#include "ingest/live/loader.h"
#include "ingest/live/service.h"
#include "journal/journal.h"
#include "serve/http/metrics.h"
#include "serve/http/router.h"
#include "serve/otlp/otlp.h"

namespace stillwatch::serve {

// POST /v1/exchanges (canonical lines), /v1/accounts, /v1/litellm (LiteLLM's generic API logger).
// 200 {"accepted", "rejected", "errors": [{"record", "reason"}]}, durable; 400 when nothing of the
// body could be used; 503 with Retry-After. Role ingest. `service` outlives the router.
void AddIngestRoutes(Router* router, ingest::IngestService* service);

// POST /v1/traces, /v1/logs as OTLP/HTTP: application/x-protobuf or application/json, answered in
// kind; anything else 415.
void AddOtlpRoutes(Router* router, OtlpService* service);

// Counts and sizes for /metrics. All outlive `metrics`.
void WatchIngest(Metrics* metrics, const ingest::IngestService* service,
                 const journal::Journal* journal, const ingest::Loader* loader,
                 const ingest::RejectedLog* rejected);

}  // namespace stillwatch::serve
