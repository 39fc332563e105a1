// Tells people and their tools of new and changed campaigns: signed webhooks and OTLP logs.
//
// An alert carries figures and names of campaigns, never a prompt, a response or an account id; it
// goes to the receivers of the configuration and nowhere else.
//
// Each alert is a file in DIR/queue/RECEIVER until that receiver has taken it: it survives a
// restart. Delivery is at least once; a receiver drops what it has by `id`. Per receiver alerts go
// out in order, one at a time. A receiver that answers 2xx has taken it; one that answers 3xx, or
// 4xx but 408, 425 and 429, never will, so the alert goes to DIR/dead.jsonl at once; anything else
// is tried again with exponential backoff (kRetryFirstMs to kRetryMaxMs, or what Retry-After says
// up to that), kAttemptsMax times, then it is dead as well. Beyond kQueueMax the oldest waiting one
// is dead. A receiver that is gone from the configuration: what waits for it stays, untouched.
//
// Webhook: POST, application/json, body as AlertJson, headers
//   X-Stillwatch-Timestamp: seconds since 1970
//   X-Stillwatch-Signature: v1=HEX, HMAC-SHA256(secret, timestamp + "." + body)
// A receiver recomputes it in constant time and refuses timestamps more than kReplayWindowS away
// from its clock; each attempt is signed anew. Redirects are not followed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/live.h"

namespace stillwatch::serve {

inline constexpr size_t kQueueMax = 1'000;  // alerts waiting for one receiver
inline constexpr int kAttemptsMax = 16;     // over about two hours
inline constexpr int64_t kRetryFirstMs = 1'000, kRetryMaxMs = 20 * 60'000;
inline constexpr int64_t kAttemptTimeoutMs = 10'000;
inline constexpr int64_t kReplayWindowS = 300;
inline constexpr size_t kDeadBytesMax = 64 << 20;  // of dead.jsonl, which is then kept as .1
inline constexpr size_t kReceiversMax = 16;

struct AlertReceiver {
  enum class Kind : uint8_t { kWebhook, kOtlp } kind = Kind::kWebhook;
  std::string name;    // for logs and folders: letters, digits, - and _, at most 64
  std::string url;     // http or https; of OTLP the whole path, ".../v1/logs"
  std::string secret;  // of a webhook, at least 16 bytes
  std::map<std::string, std::string> headers;  // of OTLP: what its collector asks for
};

struct Alert {
  std::string id;    // 16 hex digits, the same when told again
  int64_t ms = 0;    // end of the pass
  std::string kind;  // watch::ChangeName
  std::string campaign, name, other, verdict, verdict_before, summary, capability;
  double probability = 0;
  uint64_t exchanges = 0, accounts = 0, pass = 0;
  int64_t first_seen_ms = 0, last_seen_ms = 0;
};

// Which events of a pass are told: `opened` stands for all that happened to a campaign at the pass
// that may first tell it; then what happens to it while it is open, until `closed`.
std::vector<Alert> AlertsOf(const engine::PassFindings& pass);
std::string AlertJson(const Alert& alert);  // one line, schema stillwatch.alert/1
// An ExportLogsServiceRequest (OTLP/HTTP with JSON) of one record.
std::string AlertOtlp(const Alert& alert);
// "v1=..."; of `secret` over "TIMESTAMP.BODY".
std::string SignWebhook(std::string_view secret, int64_t timestamp_s, std::string_view body);

struct AlertOptions {
  std::string dir;  // made when missing
  std::vector<AlertReceiver> receivers;
  std::function<int64_t()> now_ms;               // required
  std::function<void(const std::string&)> note;  // one clear sentence for the log
  int64_t retry_first_ms = kRetryFirstMs;        // tests shorten it
};

struct AlertStats {
  uint64_t offered = 0, delivered = 0, failed = 0, dead = 0;  // by receiver and alert
  uint64_t waiting = 0;                                       // likewise
};

// Safe for concurrent use. One thread of its own for each receiver.
class Alerts {
 public:
  // InvalidArgument for a receiver that cannot be (which, why).
  static absl::StatusOr<std::unique_ptr<Alerts>> Open(AlertOptions options);
  ~Alerts();  // stops; what waits stays in the queue
  // Durable when it returns. One that still waits, or was in the last offer, counts once.
  absl::Status Offer(const std::vector<Alert>& alerts);
  AlertStats stats() const;

  Alerts(const Alerts&) = delete;
  Alerts& operator=(const Alerts&) = delete;

 private:
  class Impl;
  explicit Alerts(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace stillwatch::serve
