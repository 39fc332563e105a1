// A TAXII 2.1 client: from a server's address to its collections, reading all that was added to one
// since a date, adding to one. After "TAXII Version 2.1", OASIS Standard of 10 June 2021.
//
// A peer may lie, stall and vanish: replies, pages, objects and waits are bounded; certificates are
// checked; the secret goes to the address that was named and nowhere else (no redirect is followed,
// an API root elsewhere is refused). A pull gives all that there is or nothing.
//
// Errors, all with one sentence for people that names the address: InvalidArgument (the peer's
// answer, or what was asked, makes no sense), NotFound, PermissionDenied (401, 403), Unavailable
// (no answer after several tries, or busy for longer than we wait), ResourceExhausted (a bound),
// Cancelled (`stop`).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stillwatch::share {

inline constexpr size_t kTaxiiReplyBytes = 64u << 20;   // of one reply
inline constexpr size_t kTaxiiPullObjects = 1'000'000;  // of one pull
inline constexpr size_t kTaxiiPullBytes = 512u << 20;   // their text
inline constexpr size_t kTaxiiPushBytes = 8u << 20;     // of one envelope, or what the peer takes
inline constexpr size_t kTaxiiPushObjects = 1000;       // of one envelope
inline constexpr int kTaxiiTries = 5;                   // of one request
inline constexpr int kTaxiiStatusPolls = 120;           // of one pending status

struct TaxiiClientOptions {
  std::string url;               // of the server (".../taxii2/") or of an API root
  std::string user, secret;      // Basic; Bearer with the secret when `user` is empty
  std::string ca_file;           // PEM; empty: the machine's own
  std::string certificate, key;  // ours, PEM, where the peer asks for one
  std::chrono::milliseconds connect{10'000}, silence{60'000};  // without a byte
  std::chrono::milliseconds pause{300};                        // before the second try; doubles
  std::chrono::milliseconds wait_max{120'000};   // a Retry-After that asks for more ends it
  const std::atomic<bool>* stop = nullptr;       // ends a wait or a call within a second
  std::function<void(const std::string&)> note;  // what was tried again; may be null
};

struct RemoteCollection {
  std::string id, alias, title, description;  // fit for a terminal; at most 300 bytes each
  bool can_read = false, can_write = false;
  std::string url;             // ends with "/"
  uint64_t content_bytes = 0;  // the API root's max_content_length
  std::string root_url;
};

struct PullOptions {
  std::string added_after;         // as the last pull's `last_added`; empty: from the beginning
  std::vector<std::string> types;  // empty: all
  std::string version;             // of match[version]; empty: the last of each object
  size_t page = 1000;
};
struct Pulled {
  std::vector<std::string> objects;  // JSON as it came, in the order of their arrival there
  std::string last_added;            // for the next pull; what was asked for when nothing came
  size_t pages = 0;
};
struct Pushed {
  struct Failure {
    std::string id, message;
  };
  uint64_t total = 0, success = 0;
  uint64_t pending = 0;  // the peer had not said after kTaxiiStatusPolls
  std::vector<Failure> failures;
  std::vector<std::string> statuses;  // their addresses
};

// One thread at a time.
class TaxiiClient {
 public:
  // InvalidArgument for an address that is none, or a secret that would go in the clear to another
  // machine.
  static absl::StatusOr<std::unique_ptr<TaxiiClient>> Create(TaxiiClientOptions options);
  virtual ~TaxiiClient() = default;

  virtual absl::StatusOr<std::vector<RemoteCollection>> Collections() = 0;
  // By id, alias or title; NotFound names those that there are.
  virtual absl::StatusOr<RemoteCollection> Find(std::string_view collection) = 0;
  virtual absl::StatusOr<Pulled> Pull(const RemoteCollection& from, const PullOptions& options) = 0;
  // In envelopes that the peer takes. An error after some were taken says so: pushing again is
  // harmless, as a version that is there stays as it is.
  virtual absl::StatusOr<Pushed> Push(const RemoteCollection& to,
                                      const std::vector<std::string_view>& objects) = 0;
};

}  // namespace stillwatch::share
