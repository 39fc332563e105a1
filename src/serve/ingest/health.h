// How taking in goes, as one JSON object for people: GET /api/v1/ingest (docs/openapi.yaml,
// Ingest).
#pragma once

#include <string>

#include "ingest/live/loader.h"
#include "ingest/live/service.h"
#include "journal/journal.h"

namespace stillwatch::serve {

struct IngestHealth {
  const ingest::IngestService* service = nullptr;
  const journal::Journal* journal = nullptr;
  const ingest::Loader* loader = nullptr;
  const ingest::RejectedLog* rejected = nullptr;
  uint64_t journal_bytes_max = 0;
  // Of other parts, as of now.
  bool lake_open = false;
  uint64_t lake_starts = 0;  // of its process
  uint64_t audit_queued = 0, audit_queue_max = 0, audit_dropped = 0;
  uint64_t alerts_waiting = 0, alerts_dead = 0;
  struct Passes {
    bool enabled = false;
    uint64_t done = 0, failed = 0, skipped = 0, killed = 0;
    int64_t ended_ms = 0, duration_ms = 0, interval_ms = 0;
    uint64_t exchanges = 0, accounts = 0, campaigns = 0, open = 0, peak_bytes = 0;
    std::string error;  // of the last attempt; empty: it succeeded
  } passes;
};

std::string IngestHealthJson(const IngestHealth& health, int64_t now_ms);

}  // namespace stillwatch::serve
