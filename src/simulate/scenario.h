// What a world is made of, read from YAML (docs/SIMULATOR.md has every key). Times are
// milliseconds since 1970, numbers of accounts and exchanges those of scale 1 until Scale.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace stillwatch::simulate {

inline constexpr uint32_t kPoolAccountsMin = 24;   // of a pool, whatever the scale
inline constexpr double kPerAccountDayMin = 1e-4;  // of an innocent: one exchange in 27 years
inline constexpr double kPerAccountDayMax =
    50'000;  // exchanges; more is impossible for one account
inline constexpr uint64_t kAccountsMax = 20'000'000;      // of a world
inline constexpr uint64_t kExchangesMax = 4'000'000'000;  // of a campaign
inline constexpr int kDaysMax = 400;
inline constexpr size_t kPoolsMax = 1000, kCampaignsMax = 1000;

struct ModelSpec {
  std::string name;
  double share = 1;         // of users before anything newer is there
  int64_t released_ms = 0;  // 0: there from the start
};

// Innocents of one kind (kinds.h lists them).
struct PopulationSpec {
  std::string kind;
  uint64_t accounts = 0;
  double per_day = 0;  // mean exchanges per account and day
};

struct PoolSpec {
  std::string name, operator_name;
  bool relay = false;  // role relay-pool: its own customers' requests go through it too
  uint64_t accounts = 0;
  double infrastructure = .9;   // share of accounts on the pool's cards, addresses and mail domains
  uint32_t card_accounts = 10;  // accounts per card
  double addresses = .4;        // exit addresses per account
  double mail = .75;            // share of those accounts with the pool's mail domains
  std::optional<std::pair<double, double>>
      account_age_days;   // at first use; nothing: like everybody's
  int64_t banned_ms = 0;  // 0: never
  std::string failover;   // pool that takes over
  double failover_hours = 3;
  double customers = 0;  // share of innocents' exchanges in the pool's traffic
  uint64_t victims = 0;  // accounts of stolen keys
  uint64_t relay_customers =
      0;                   // innocent accounts bought from the relay, in use for their own work
  double duty_cycle = .8;  // share of days on which an account works
  bool own_hours = false;  // each account keeps daily hours of its own
  double spread = .6;      // of work over accounts: sigma of a log-normal
};

struct CampaignSpec {
  std::string name, operator_name;
  std::vector<std::string> pools;
  std::string method;             // methods.h lists them
  std::vector<std::string> asks;  // what its items are about; empty: the method's own
  double exchanges = 0;
  int64_t from_ms = 0, until_ms = 0;
  std::string scaffold;     // turn, system, none; empty: the method's own
  uint32_t wordings = 1;    // paraphrases of the scaffold
  double reworded = .5;     // share of clauses that a paraphrase words anew
  uint32_t samples = 1;     // per item
  double chinese = .35;     // share of items (and, by this chance, a scaffold) in Chinese
  double jitter = 0;        // 0: in the queue's bursts; 1: spread evenly over the hours of work
  double ramp = 0;          // share of the window in which the volume grows to its level
  bool own_manner = false;  // settings, model and client drawn per account, not per campaign
  double replay = 0;        // share of exchanges that present somebody else's signature
  double probing_exchanges = 0, probing_days = 0;
  double pivot_share = 0, pivot_hours = 24;  // to a model released within the window
};

struct Scenario {
  std::string name, title;
  int64_t start_ms = 0;
  int days = 0;
  std::vector<ModelSpec> models;
  std::vector<PopulationSpec> populations;
  std::vector<PoolSpec> pools;
  std::vector<CampaignSpec> campaigns;
  int64_t end_ms() const { return start_ms + int64_t{days} * 86'400'000; }
};

// What `knobs` and --set turn, for every pool or campaign; most are also keys of one.
struct KnobInfo {
  enum class Of : uint8_t { kPool, kCampaign, kEvery };
  std::string_view name;
  Of of;
  double low, high;  // both 0: takes words
  std::string_view fallback, meaning;
};
std::span<const KnobInfo> Knobs();

// `base` of a scenario names a preset, which `find` gives (empty: there is none). InvalidArgument
// names the file and the line.
absl::StatusOr<Scenario> ReadScenario(
    const std::string& name, std::string_view yaml,
    const std::function<std::string_view(std::string_view)>& find);

// Multiplies accounts (pools keep at least kPoolAccountsMin, kinds at least one group) and with
// them the volumes, so that rates per account stay. InvalidArgument unless 0 < scale <= 1000.
absl::Status Scale(double scale, Scenario* scenario);

// Everything resolved, as YAML that ReadScenario takes.
std::string ScenarioYaml(const Scenario& scenario);

}  // namespace stillwatch::simulate
