// A world with truth and a folder of findings, read and checked before anything is scored.
// Everything that can be known to be wrong is an InvalidArgument with file, line and remedy.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stillwatch::evaluate {

inline constexpr uint32_t kNone = ~uint32_t{0};

struct TrueCampaign {
  std::string name, operator_name, capability;
  uint64_t exchanges = 0;
};

struct TrueAccount {
  uint32_t role = 0;                // index into World::roles
  uint32_t operator_index = kNone;  // into World::operators; kNone: nobody's
  uint32_t pool = kNone;            // into World::pools; kNone: of none, or not said
};

// About 16 bytes an exchange of the harvest and 100 an account. Thread-safe to read.
struct World {
  std::string dir;
  std::vector<TrueCampaign> campaigns;                 // by name
  std::vector<std::pair<uint64_t, uint32_t>> harvest;  // hash of the exchange id, campaign; sorted
  std::vector<std::string> roles, operators, pools;    // pools: of truth_pools.csv, if there is one
  std::unordered_map<std::string, TrueAccount> accounts;
  // Scalars of scenario.yaml by their path ("campaigns.june.jitter" where a list names its
  // members, "models.0.at" where not); empty without the file.
  std::map<std::string, std::string> scenario;

  size_t HarvestIndex(
      std::string_view exchange_id) const;  // into harvest; its size: not of a harvest
  uint32_t CampaignOf(std::string_view exchange_id) const;  // kNone: not of a harvest
  const TrueAccount* Account(std::string_view id) const;    // null: not of this world
  bool IsOperators(const TrueAccount& a) const;             // role campaign or relay-pool
  // How many exchanges a campaign has in the whole of its scenario; the log may be a part of it.
  uint64_t Planned(const TrueCampaign& c) const;
  // Whether the pool took over after another was banned, by the scenario.
  bool TookOver(uint32_t pool) const;
};

absl::StatusOr<World> ReadWorld(const std::string& dir);

struct FoundCampaign {
  std::string id, verdict, capability;  // capability: the one with the largest share
  double probability = 0;
  uint64_t exchanges = 0, accounts = 0;
  std::vector<std::string> evidence;  // "rhythm +12.3: statement", strongest first, at most 4
};

struct FoundAccount {
  std::string account_id, verdict;
  uint32_t campaign = 0;
  double probability = 0;
};

// One line of candidates.jsonl.
struct FoundCandidate {
  std::string formed, verdict;
  double distillation = 0;  // stated probability
  double odds_bits = 0,
         purpose_bits = 0;  // what it was made of; `open`: one customer's, or a crowd
  bool open = false;
  bool reported = false;
  uint64_t exchanges = 0;
  std::vector<std::pair<std::string, std::string>> sample;  // exchange, account
};

struct Findings {
  std::string dir;
  std::vector<FoundCampaign> campaigns;
  std::vector<FoundAccount> accounts;
  std::vector<FoundCandidate> candidates;  // none when the folder has no candidates.jsonl
  uint64_t judged_accounts = 0;            // of run.json; 0: not stated

  // Index of a campaign, kNone when there is none of that id.
  uint32_t Index(std::string_view id) const;
};

// Checks the folder for completeness; the rows of exchanges.csv are read by EachExchange.
absl::StatusOr<Findings> ReadFindings(const std::string& dir);
// Rows of exchanges.csv in file order. Fails on unknown campaigns and when a campaign has another
// number of rows than campaigns.json states.
absl::Status EachExchange(
    const Findings& findings,
    const std::function<absl::Status(const std::string& exchange, const std::string& account,
                                     uint32_t campaign)>& row);
// Sentence of explain.jsonl for each (account, campaign id) wanted; empty where there is none.
std::vector<std::string> Explanations(
    const std::string& dir, const std::vector<std::pair<std::string, std::string>>& wanted);

}  // namespace stillwatch::evaluate
