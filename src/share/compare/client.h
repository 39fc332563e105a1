// A comparison over the network, from the asking side: HTTPS with certificates on both sides, and
// no others than those that the peers' file names.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "share/compare/party.h"

namespace stillwatch::share::compare {

// Paths of the answering side (serve/compare). Bodies are messages of share/psi.
inline constexpr std::string_view kOfferPath = "/compare/v1/offer";  // ?question=count|which
inline constexpr std::string_view kRequestPath = "/compare/v1/request";
inline constexpr std::string_view kReceiptPath = "/compare/v1/receipt";
inline constexpr std::string_view kMessageType = "application/vnd.stillwatch.comparison";

struct OnlineOptions {
  std::string actor;
  bool tell = false;                        // the other side gets a receipt
  const std::atomic<bool>* stop = nullptr;  // true: give up (Cancelled)
  int answer_s = 900;                       // the longest that the other side may compute
};

// Blocks. Unavailable: the peer is away, vanished or answered with an error, which is said; what
// the run asked about is spent there, and there is no result here.
absl::StatusOr<Result> RunOnline(Party* party, std::string_view peer, psi::Question question,
                                 const ItemSet& items, const OnlineOptions& options);

}  // namespace stillwatch::share::compare
