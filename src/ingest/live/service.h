// Records that arrive over a network: decoded, sketched, journaled, and only then acknowledged.
//
//   auto batch = service.Begin("otlp 192.0.2.1");   // any thread; one batch a request
//   if (!batch.ok()) ...                            // 503: too much at once
//   batch->Rows(block);  batch->Exchange(view);     // text becomes numbers here
//   auto result = batch->Commit();                  // OK: durable
//
// Text is in memory during the call alone. What was refused is counted and kept (RejectedLog).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ingest/live/rejected.h"
#include "ingest/live/tally.h"
#include "journal/journal.h"
#include "lake/block.h"
#include "model/exchange.h"

namespace stillwatch::ingest {

inline constexpr size_t kReasonsMax = 10;       // told to the sender
inline constexpr size_t kReasonBytesMax = 300;  // of each

// How a body of lines is read. LiteLLM's has one payload, an array of them, or one a line.
enum class BodyFormat : uint8_t { kCanonical, kLitellm };

struct IngestReason {
  uint64_t record = 0;  // 1-based: the line, or the number of the record in the body
  std::string reason;
};

struct IngestResult {
  uint64_t accepted = 0, rejected = 0;
  std::vector<IngestReason> reasons;  // the first kReasonsMax
};

// What directives need to know of an account; kept outside the lake's reach of judging.
struct Attestation {
  std::string account_id, kind, value;  // kind: "country", "citizenship"
};

struct LiveOptions {
  std::function<int64_t()> now_ms;
  size_t bytes_in_work_max = 512u << 20;  // bodies that are being decoded, all together
  // Keeps attestations, durably. At most kAttestationsMax a call. Null: they go into the lake
  // alone.
  std::function<absl::Status(const std::vector<Attestation>&)> attest;
};
inline constexpr size_t kAttestationsMax = 10'000;

struct LiveStats {
  uint64_t accepted = 0, rejected = 0, refused_bodies = 0, accounts = 0;
  uint64_t bytes_in_work = 0, bytes_in_work_max = 0;
};

// Safe for concurrent use; calls block until the disk has answered. Objects handed in must outlive
// it. Errors: ResourceExhausted or Unavailable (503, nothing of the body need have been kept, send
// it again: what was kept twice counts once), InvalidArgument (400, the body as a whole).
class IngestService {
 public:
  IngestService(journal::Journal* journal, RejectedLog* rejected, LiveOptions options);
  ~IngestService();

  // `source` names the sender in what is kept of refused records; no secrets.
  absl::StatusOr<IngestResult> Exchanges(BodyFormat format, std::string_view body,
                                         std::string_view source);
  // Account records (docs/FORMATS.md), one a line.
  absl::StatusOr<IngestResult> Accounts(std::string_view body, std::string_view source);

  // One request of another decoder. Movable; dropping it without Commit keeps nothing.
  class Batch {
   public:
    Batch(Batch&&) noexcept;
    Batch& operator=(Batch&&) = delete;
    ~Batch();
    void Exchange(const model::ExchangeView& e);
    void Reject(model::Reject r);
    // Rows of a RowWriter (ingest/formats/rows.h); parts of one exchange are joined within the
    // batch. `record` gives the number of a row in the request.
    void Rows(const lake::Block& rows);
    absl::StatusOr<IngestResult> Commit();

   private:
    friend class IngestService;
    struct State;
    explicit Batch(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };
  // `bytes`: of the request, held against bytes_in_work_max.
  absl::StatusOr<Batch> Begin(std::string_view source, size_t bytes);

  LiveStats stats() const;
  const Tally& tally() const { return tally_; }

 private:
  struct Worker;
  std::unique_ptr<Worker> Take();
  void Return(std::unique_ptr<Worker> worker);
  absl::Status Reserve(size_t bytes);

  journal::Journal* const journal_;
  RejectedLog* const rejected_;
  const LiveOptions options_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Worker>> idle_;  // at most kIdleMax
  std::atomic<size_t> in_work_{0};
  Tally tally_;
  std::atomic<uint64_t> accepted_{0}, rejected_count_{0}, refused_{0}, accounts_{0};
};

}  // namespace stillwatch::ingest
