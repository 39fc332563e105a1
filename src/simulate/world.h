// A world: a scenario, a scale and a seed made into accounts, exchanges and their truth. Every draw
// is a function of the seed and of what it is drawn for, so days are planned and blocks rendered in
// any number of threads and the bytes are the same. Planned a day at a time: memory is that of the
// accounts (about 100 bytes each) and of one day's plan (16 bytes an exchange).
//
//   auto world = World::Make(scenario, seed, {}, parallel);
//   for (int day = 0; day < world->days(); ++day) {
//     const DayPlan plan = world->Plan(day, parallel);           // in order
//     for (size_t b = 0; b < plan.blocks(); ++b) world->Render(plan, b, &scratch, &lines, &truth);
//   }
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/parallel.h"
#include "simulate/catalogue.h"
#include "simulate/grammar.h"
#include "simulate/kinds.h"
#include "simulate/scenario.h"

namespace stillwatch::simulate {

inline constexpr uint32_t kNone32 = UINT32_MAX;
inline constexpr uint16_t kNone16 = UINT16_MAX;
inline constexpr uint32_t kExitsMax = 4'000'000;  // addresses of a pool
inline constexpr size_t kBlockEvents = 2048;  // of one block at least, but for a day's last

// How somebody calls the API. Operators' are drawn by the function that draws everybody's.
struct Manner {
  uint16_t client = 0;
  uint8_t temperature = 0, top_p = 0, max_tokens = 0;  // indexes of tables; 0: not sent
  uint8_t model = 0;                                   // of those there from the start
  uint8_t tools = 0;                                   // how many it offers
  uint8_t keys = 1;                                    // API keys
  bool stream = false, thinking = false, sessions = false;
};

// An account. What is not here is drawn again from `key` whenever it is needed.
struct Person {
  uint64_t key = 0;
  float per_day = 0;
  int32_t from_min = 0, until_min = 0;  // in use, minutes since the start
  uint32_t unit = kNone32;              // its customer, course, carrier ...
  uint16_t pool = kNone16;              // whose account it is, or whose thief holds its key
  uint8_t role = 0;                     // index of World::RoleName
  uint8_t kind = 0;                     // of innocents, whose habits it has
  uint8_t language = 0;
  Network network = Network::kHome;
  float noon = 12;  // the middle of its day, hours UTC
  std::array<uint8_t, 3> topics{}, asks{};
  uint8_t form = 0;             // forms of its own: how many
  uint8_t systems = 0;          // system prompts of its own: how many
  bool infrastructure = false;  // on the pool's cards, addresses, mail domains
  float turns = 1;              // mean of a session
  Manner manner;
};

struct Event {
  uint32_t at;  // ms of the day in which it is logged: the request's time and a delay
  uint32_t account;
  uint64_t ref;  // what it is, see world.cc
};

struct DayPlan {
  int day = 0;
  std::vector<Event> events;   // by minute, within a minute unsorted
  std::vector<size_t> starts;  // of blocks, and the end
  size_t blocks() const { return starts.size() - 1; }
};

// Symbols that rendering needs by name.
enum Fixed {
  kOwnSystem,
  kAppSystem,
  kJobForm,
  kSyntheticForm,
  kExplainForm,
  kLicensedForm,
  kTask,
  kGreet,
  kHarnessEnv,
  kProbe,
  kToolName,
  kAnsShort,
  kAnsMark,
  kAnsReasoned,
  kCopiedPrompt,
  kFixedCount
};

// Scratch space of one worker.
struct Scratch {
  Text form;
  std::vector<Event> events;
};

struct CampaignTruth {
  std::string name, operator_name, capability;
  uint64_t exchanges = 0, accounts = 0;
  int64_t first_ms = 0, last_ms = 0;
};

class World {
 public:
  // `prompts`: payloads, escaped for the inside of a JSON string, that outlive the world; none: the
  // grammar's. The scenario is scaled already.
  static absl::StatusOr<std::unique_ptr<World>> Make(Scenario scenario, uint64_t seed,
                                                     std::vector<std::string_view> prompts,
                                                     const base::Parallel& parallel);

  uint32_t accounts() const { return static_cast<uint32_t>(people_.size()); }
  // Of the scenario, or those that are made.
  int days() const { return made_; }
  // Makes the first `days` alone; before the first Plan, 1 to days().
  void StopAfter(int days) { made_ = days; }
  const Scenario& scenario() const { return scenario_; }
  const std::vector<Person>& people() const { return people_; }
  std::string_view RoleName(uint8_t role) const;
  std::string_view OperatorOf(const Person& p) const;  // of operators' accounts; empty: innocent
  // Exchanges to be expected, for a progress bar.
  double Expected() const;

  // Of this world one part in `parts` alone: accounts are dealt out by a hash, with all that they
  // do, as if each were with one of several providers. Before the first Plan.
  void Only(uint32_t part, uint32_t parts) {
    part_ = part;
    parts_ = parts;
  }

  // Days in order, each once: what runs past midnight is carried over, and the truth is counted.
  DayPlan Plan(int day, const base::Parallel& parallel);
  // Thread-safe. Appends JSON lines, and `id,campaign` lines of the harvest.
  void Render(const DayPlan& plan, size_t block, Scratch* scratch, Text* lines, Text* truth) const;

  // Accounts in the order of their ids, which says nothing. Thread-safe.
  std::vector<uint32_t> AccountOrder() const;
  void RenderAccount(uint32_t account, Text* lines) const;
  void PutAccountId(uint32_t account, Text* out) const;
  std::string Permits() const, Known() const;  // YAML
  // After the last day.
  std::vector<CampaignTruth> Truth() const;

 private:
  struct Pool {
    int64_t from_ms = 0, until_ms = 0;  // in use by anybody
    uint32_t first = 0, accounts = 0;   // of people_
    uint32_t victims_first = 0, victims = 0;
    std::vector<float> weight;    // of work, by account
    std::vector<uint32_t> exits;  // addresses
    std::vector<std::string> domains;
    double customers_day = 0;  // exchanges of the relay's own customers
    uint32_t customers = 0;
    bool plain = true;  // the same accounts work at any hour of a day
    Manner manner;      // of the relay's customers where it has one for all
  };
  struct Wording {
    std::string before, after;  // of the item
    std::string system;         // or all of it as a system prompt
  };
  struct Job {  // a campaign, made ready
    const MethodInfo* method = nullptr;
    std::vector<uint16_t> pools;
    std::vector<float>
        rate;  // cumulative share of the main work by minute since the start; the last is 1
    uint64_t probes = 0, main = 0;           // arrivals
    double probe_from = 0, probe_until = 0;  // minutes
    double mean_turns = 1;
    std::vector<Wording> wordings;  // English, then Chinese
    uint32_t chinese_from = 0;      // first of the Chinese ones; == size: none
    std::vector<uint8_t> asks;
    std::array<Manner, 3> manners;
    int manner_count = 1;
    uint64_t key = 0;
    Grammar::Symbol answer = Grammar::kNone;
    bool thinking = false;
  };
  struct Tally {
    uint64_t exchanges = 0;
    int64_t first_ms = INT64_MAX, last_ms = INT64_MIN;
    std::vector<bool> seen;  // of people_
  };
  // Who works in a quarter of an hour: cumulative weights.
  struct Roster {
    std::vector<float> sum;
    std::vector<uint32_t> who;
    float total() const { return sum.empty() ? 0 : sum.back(); }
  };
  struct PoolDay {
    std::vector<Roster> roster;  // by quarter; one alone where the pool is plain
    Roster victims;
    const Roster& At(int64_t ms_of_day) const;
  };
  class Writer;

  World() = default;
  absl::Status Prepare(const base::Parallel& parallel);
  Manner DrawManner(Rng* r, bool web) const;
  void MakePerson(Person* p, uint8_t kind, Rng* r) const;
  void MakePools();
  void MakeJobs();
  std::vector<std::pair<int64_t, int64_t>> Spans(const CampaignSpec& c, const PoolSpec& p) const;
  Grammar::Symbol Symbol(Fixed f) const { return fixed_[f]; }
  uint64_t PoolCard(uint16_t pool, uint64_t n) const { return Key(Key(seed_, 0xca2d, pool), n); }
  uint64_t OrgOf(uint32_t account, const Person& p) const;
  int ModelAt(const Person& p, const Manner& m, int64_t ts) const;
  uint32_t Home(uint64_t house, int day) const;
  uint32_t Carrier(uint64_t which, int64_t ts) const;
  uint32_t Vpn(uint64_t which) const;
  uint32_t Address(const Person& p, int64_t ts, uint64_t draw) const;
  template <typename F>
  void Live(const Person& p, int day, double per_day, double more, Rng* r, F&& emit) const;
  void PullWork(uint16_t campaign, int day, const std::vector<PoolDay>& pools, uint64_t first,
                uint64_t n, std::vector<Event>* out) const;
  void PlanPerson(uint32_t account, int day, std::vector<Event>* out) const;
  void PlanPool(uint16_t pool, int day, PoolDay* out) const;
  void PlanJob(uint16_t campaign, int day, const std::vector<PoolDay>& pools,
               std::vector<Event>* out) const;
  void PlanCustomers(uint16_t pool, int day, const PoolDay& pd, std::vector<Event>* out) const;
  void Push(int day, int64_t ts, uint32_t account, uint64_t ref, std::vector<Event>* out) const;
  uint64_t UnitKey(uint32_t unit) const { return Key(seed_, 0x756e6974, unit); }
  bool Kept(uint32_t account) const {
    return parts_ == 1 || Key(Key(seed_, 0x9a27), account) % parts_ == part_;
  }
  uint64_t AccountNumber(uint32_t account) const {
    return base::Mix64(seed_ ^ 0xacc0 ^ (uint64_t{account} << 20));
  }

  Scenario scenario_;
  int made_ = 0;  // days
  uint64_t seed_ = 0;
  uint32_t part_ = 0, parts_ = 1;
  Grammar grammar_;
  std::unique_ptr<Catalogue> catalogue_;
  std::vector<std::string_view> prompts_;
  std::vector<Person> people_;
  std::vector<Pool> pools_;
  std::vector<Job> jobs_;
  std::vector<Tally> tallies_;
  std::vector<Event> carry_;
  std::vector<uint32_t> carriers_, vpns_, egresses_;  // addresses that strangers share
  std::vector<std::string> tools_, harnesses_;        // names of published programs
  std::vector<std::string> tool_systems_, harness_systems_;
  std::vector<Wording> public_judges_, public_reasonings_;
  std::array<std::array<Grammar::Symbol, kLanguageCount>, kAsks> ask_symbols_{};
  std::array<std::array<Grammar::Symbol, kLanguageCount>, 3> other_{};  // follow, answer, general
  std::array<Grammar::Symbol, kAsks> answer_of_{};
  std::array<Grammar::Symbol, kFixedCount> fixed_{};
  std::vector<std::string> model_parts_;  // `,"model":"..."`
  std::vector<std::vector<uint8_t>> kind_asks_;
  std::vector<uint8_t> base_models_;
  std::vector<double> base_shares_;
  uint32_t first_operator_ = 0;  // of people_
};

}  // namespace stillwatch::simulate
