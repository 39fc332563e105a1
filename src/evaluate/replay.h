// A campaign judged while it goes on: what was known at the moments when given shares of it had
// been harvested, and nothing of later.
#pragma once

#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "evaluate/score.h"
#include "evaluate/world.h"

namespace stillwatch::evaluate {

// Shares of a campaign at which it is judged.
inline constexpr double kReplayShares[] = {.001, .0025, .005, .01, .02, .05, .1, .25, .5, 1};

struct Moment {
  int64_t until_ms = 0;     // judged were the exchanges before this
  double harvested = 0;     // share of the campaign's exchanges
  uint64_t exchanges = 0;   // of the campaign, so far
  // Findings `distillation`: one most of whose exchanges are the campaign's; or, of such as are
  // mostly one operator's harvests, enough to hold half of what had been harvested. Two jobs of one
  // operator may be one finding, which is a wrong number of pieces and no wrong verdict.
  bool correct = false;
  bool apart = false;       // one is mostly the campaign's
  double recall = 0;        // of what had been harvested, in findings `distillation`
  double named = 0;         // share of all accounts that take part, sooner or later
  double named_active = 0;  // ... of those that had taken part by then
  uint64_t innocents_accused = 0;
};

struct ReplayedCampaign {
  // Its name, or "pool NAME" for a pool that took over after a ban: its part of all harvests.
  std::string campaign;
  uint64_t exchanges = 0, accounts = 0;  // in all; accounts of operators
  std::vector<Moment> moments;           // ascending; every moment at which any campaign was judged
  // Share harvested at the first moment with a correct verdict, and at the last one before; above
  // 1: never. The verdict came in between.
  double first_verdict = 2, no_verdict_yet = 0;
  bool held = true;  // and every later moment had one too
  // Share harvested at the moment from which on there is always one, and at the last one without.
  double holds = 2, not_held = 0;
  double apart = 2, not_apart_yet = 0;  // likewise for a finding of its own; pools: never
  double apart_holds = 2, apart_not_held = 0;
  double nine_tenths = 2,
         nine_tenths_not_yet = 0;  // likewise for nine tenths of its accounts named
};

// Of such a pair of shares, for people: "0.10 to 0.25 %", or "never".
std::string Between(double first, double before);

struct Replay {
  std::string truth;
  std::vector<ReplayedCampaign> campaigns;  // by name, then pools
  size_t moments = 0;                       // at which the log was judged
  uint64_t innocents_accused = 0;           // at the moment with most of them
};

struct ReplayInput {
  // Of the whole campaign; those that the log does not reach are left out.
  std::vector<double> shares{std::begin(kReplayShares), std::end(kReplayShares)};
  // Every exchange of the log, in any order; of several with one id the first counts.
  std::function<absl::Status(const std::function<void(std::string_view exchange,
                                                      std::string_view account, int64_t ts_ms)>&)>
      each_exchange;
  // Judges what lies before `until_ms` and leaves the findings in the folder that it returns.
  std::function<absl::StatusOr<std::string>(int64_t until_ms)> judge;
};

// One call of `judge` per moment: at most the number of campaigns and pools times that of shares.
absl::StatusOr<Replay> ReplayWorld(const World& world, const ReplayInput& input);

}  // namespace stillwatch::evaluate
