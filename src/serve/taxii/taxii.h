// TAXII 2.1 under /taxii2/: one API root, /taxii2/share/, over share/collections. After "TAXII
// Version 2.1", OASIS Standard of 10 June 2021.
//
// A caller sees the collections that it may read or add to; the others are not there (404). Status
// codes: 200, 202; 400 filters, 401, 403, 404, 405, 406, 413, 415, 422 (no envelope), 503. Errors
// are TAXII's. Every reading of objects is in the audit log before it leaves, every change before
// its reply; what cannot be recorded is refused.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "absl/status/status.h"
#include "audit/log.h"
#include "serve/http/router.h"
#include "share/collections/store.h"

namespace stillwatch::serve {

inline constexpr size_t kTaxiiBodyBytes = 16u << 20;  // max_content_length; more: 413
inline constexpr size_t kEnvelopeObjects = 10'000;    // more: 413

// All of it outlives the router.
struct TaxiiContext {
  share::CollectionStore* store = nullptr;
  std::function<absl::Status(audit::AuditRecord)> record;  // durable when it returns
  std::function<int64_t()> now_us;
  // Whether a posted object is valid; the message goes to the client. Null: only what a collection
  // needs is looked at (id, type, versions).
  std::function<absl::Status(std::string_view json)> check;
  // Told of errors that the client is not told in full; may be null.
  std::function<void(std::string_view what)> note;
};

void AddTaxiiRoutes(Router* router, TaxiiContext context);

// {"title", "description", "http_status"} as application/taxii+json;version=2.1.
HttpReply TaxiiError(int status, std::string_view message);

// What a collection needs to know of a posted object. InvalidArgument says what is wrong.
absl::StatusOr<share::NewObject> ReadTaxiiObject(std::string_view json);

}  // namespace stillwatch::serve
