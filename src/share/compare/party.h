// One side of comparisons: what is due, what was spent, what must not be done twice. The steps
// themselves are share/psi's; the messages come and go as bytes, over whatever carries them.
//
// Kept in DIR: identity.key (an Ed25519 seed), compare.db (SQLite: runs, rations, epochs' keys) and
// the requests of runs under way. What answers is recorded in the audit log before it leaves:
// counts and hashes, never an item.
//
// Errors, all one sentence: InvalidArgument (the message or the set is not as it must be),
// FailedPrecondition (not due, replayed, expired, not agreed), PermissionDenied (not one of our
// peers), ResourceExhausted (the ration is spent), Unavailable (the disk, or another comparison is
// being answered).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "audit/log.h"
#include "share/compare/items.h"
#include "share/compare/peers.h"
#include "share/psi/message.h"

namespace stillwatch::share::compare {

inline constexpr int64_t kRunMs = int64_t{14} * 86'400'000;  // a run carried as files
inline constexpr int64_t kOnlineRunMs = 3'600'000;
inline constexpr int64_t kSkewMs = 3'600'000;  // between the two sides' clocks
inline constexpr uint32_t kCountFloor = 16;  // items of a family that a count answers for at least
inline constexpr size_t kOpenOffers = 16;    // of one peer, not yet answered

// "2026-11-16/P7D": the epoch of `days` days that holds a time, and when it ends.
std::string EpochAt(int64_t now_ms, int64_t days, int64_t* until_ms = nullptr);

struct PartyOptions {
  std::string dir;
  audit::AuditLog* audit = nullptr;  // outlives the party
  std::function<int64_t()> now_ms;
  std::function<void(void*, size_t)> random;  // empty: the system's
  int threads = 1;
};

struct Result {
  psi::Question question = psi::Question::kCount;
  std::string peer, epoch;
  char reliability = 'F';
  psi::RunId run{};
  int64_t at_ms = 0;
  struct Row {
    std::string family;
    uint64_t mine = 0, theirs = 0, common = 0;
  };
  std::vector<Row> rows;
  std::vector<std::pair<std::string, std::string>> matched;  // family and value; which alone
  psi::Bytes32 transcript{};  // hash of the reply, which names all before it
};
// {"schema": "stillwatch.comparison/1", ...}: what `share import` reads.
std::string ResultJson(const Result& r, std::string_view campaign);

// Safe for concurrent use; one reply is computed at a time.
class Party {
 public:
  // Makes the folder and the identity when they are missing.
  static absl::StatusOr<std::unique_ptr<Party>> Open(PartyOptions options, Peers peers);
  virtual ~Party() = default;

  virtual psi::Bytes32 key() const = 0;  // ours, public
  virtual const Peers& peers() const = 0;

  // Answering side. `actor`: who does it, for the audit log.
  virtual absl::StatusOr<std::string> Offer(std::string_view peer, psi::Question question,
                                            const ItemSet& items, int64_t run_ms,
                                            std::string_view actor) = 0;
  // `from`: the peer that it came from, where that is known; empty: whose signature it has.
  virtual absl::StatusOr<std::string> Reply(std::string_view request, const ItemSet& items,
                                            std::string_view actor, std::string_view from = "") = 0;
  virtual absl::StatusOr<Result> TakeReceipt(std::string_view receipt, std::string_view actor,
                                             std::string_view from = "") = 0;

  // Asking side. The question is the offer's, and must be the one that was meant.
  virtual absl::StatusOr<std::string> Request(std::string_view offer, psi::Question question,
                                              const ItemSet& items, std::string_view actor,
                                              std::string_view from = "") = 0;
  // The run is over with it, whatever comes after.
  virtual absl::StatusOr<Result> Finish(std::string_view reply, const ItemSet& items,
                                        std::string_view actor) = 0;
  // A run that gets no answer, by its request: its secrets go, and no reply is taken any more.
  virtual void Abandon(std::string_view request) = 0;
  // Of a run that is finished: tells the other side how many.
  virtual absl::StatusOr<std::string> Receipt(const Result& result, std::string_view actor) = 0;

  // What a peer asked about in the epoch that now is.
  struct Spent {
    std::string peer, family;
    uint64_t items = 0, limit = 0;
  };
  virtual absl::StatusOr<std::vector<Spent>> Rations() = 0;
};

}  // namespace stillwatch::share::compare
