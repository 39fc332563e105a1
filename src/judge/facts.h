// What is measured of a candidate before anything is weighed. Every number here is a plain count
// or ratio over the candidate's rows; the weighing (judge/weigh.h) reads nothing else.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/parallel.h"
#include "judge/prior.h"
#include "link/log.h"
#include "link/pools.h"
#include "link/rhythm.h"

namespace stillwatch::judge {

// One bit for each account of the log.
using AccountSet = std::vector<bool>;

// How a candidate was formed: its own kind of evidence is then not counted for it.
enum class Formed : uint8_t { kText, kPurse, kManner, kReplay, kCompany };
const char* FormedName(Formed formed);  // "text"

struct Candidate {
  Formed formed = Formed::kText;
  bool phrase = false;              // its templates are turns of phrase, too short for a scaffold
  std::vector<uint32_t> rows;          // ascending
  std::vector<uint32_t> row_template;  // of each row: index into the templates; empty: none
  std::vector<uint32_t> accounts;      // ascending, those of the rows
  std::vector<uint32_t> templates;     // those of the rows, ascending
  std::vector<uint32_t> part;          // of each account: the hand it came from (empty: all one)
  // Of each account: log2 of how many follow the queue to how many do not among all that came the
  // same way (judge/split.h); empty: no queue was heard.
  std::vector<float> way_bits;
  // Where the accounts were picked by their hours: the rhythm of those picked by other days than
  // the one that is heard (judge/split.h). What picked them would speak for itself otherwise.
  std::optional<link::Rhythm> unpicked;
  // Accounts among which these were found by what they share: the whole workload's, of which this
  // may be one hand. Less than its own: nobody else.
  size_t among = 0;
  // All who send the scaffold; null: the candidate's own alone.
  std::shared_ptr<const std::vector<uint32_t>> senders;
  // Of a turn of phrase: the same by accounts that share nothing else; null: none.
  std::shared_ptr<const Candidate> unlinked;
  size_t scaffold = 0;     // sampled shingles; half of the rows have a template as long
  double main_family = 0;  // share of the rows with the most frequent family of templates
};

// Accounts of the candidate that share a rare value with another of its entities, against what
// accounts of the same number of links would by chance (degree-preserving null): with any of those
// among whom the candidate was found, because links are what cut it out.
struct Coverage {
  uint32_t linked = 0;    // accounts
  double expected = 0;    // under the null
  double bits = 0;        // log2 likelihood ratio of an operator's pool to strangers, capped
};

struct Facts {
  uint32_t entities = 0, accounts = 0;
  bool phrase = false;  // Candidate::phrase
  size_t scaffold = 0;     // Candidate::scaffold
  double main_family = 0;  // Candidate::main_family
  uint32_t strangers = 0;  // accounts that send the same scaffold and follow no queue
  uint64_t exchanges = 0;
  bool has_text = false;
  double dedicated = 0;  // share of all exchanges of its accounts that are the candidate's

  link::Rhythm rhythm;
  double rhythm_z = 0;          // against random groups of this log, in their standard deviations
  uint32_t rhythm_groups = 0;   // how many such groups there were
  double followed = 0;          // share of exchanges by accounts told to follow it (judge/split.h)

  std::array<Coverage, link::kLinkFamilies> coverage;  // network, client, enrolment, payment

  // Openly one customer: the largest share of accounts behind one value.
  double one_payment = 0, one_address = 0, one_own_domain = 0, verified = 0, business = 0;
  uint32_t payments = 0, addresses = 0;  // distinct ones

  double young = 0;             // share of accounts created within 30 days before first use...
  double young_elsewhere = 0;   // ...and among all other accounts of the log
  double sign_up_burst = 0;     // largest share of accounts created within one week

  double one_setting = 0;       // largest share of exchanges with the same decoding settings

  // Items: distinct last turns.
  double distinct_items = 0;    // per exchange
  double effective_items = 0;   // 1 / sum of squared shares (Simpson): few when a few are asked by all
  double popular_items = 0;     // share of exchanges whose item at least 5 entities ask, 5 times as often as the mean item
  double recurring_items = 0;   // share of exchanges whose item the same account asked before, on another day

  std::array<double, model::kCapabilities> capability{};  // shares
  std::array<double, 7> sign{};     // share of exchanges with each PurposeSign bit
  std::array<double, 7> sign_elsewhere{};  // mean of that share over all other accounts
  double follow_ups = 0;        // share of exchanges inside a longer conversation
  double replays = 0;           // exchanges that present another account's signature
  double replayed_volume = 0;   // share of exchanges by accounts that replay; of kCompany: in them
  double company = 0;           // share of accounts that do other work which is accused
  double focus = 0;             // share of exchanges with the commonest shingle; of kCompany alone
  Prior prior;                  // what others say of it; not Measure's
};

// Evidence that looks at all accounts together, computed once per log.
class Background {
 public:
  explicit Background(const link::Log& log);
  const link::Log& log() const { return log_; }
  // Account that was issued a signature; kNone when unknown or issued to several.
  uint32_t IssuedTo(uint64_t signature) const;
  // Share of an account's exchanges that carry each sign of purpose; [7] is 1 if it sent any text.
  using Signs = std::array<float, 8>;
  const Signs& SignsOf(uint32_t account) const { return account_signs_[account]; }
  const std::array<double, 7>& signs() const { return signs_; }  // sums over accounts
  double accounts_with_text() const { return accounts_with_text_; }
  double young_accounts() const { return young_; }
  double described_accounts() const { return described_; }
  double active_accounts() const { return active_; }
  // Whether the exchange presents a signature issued to another customer.
  bool IsReplay(uint32_t row) const;
  // Whether replaying is what the account does: more than a shared session would bring about.
  bool Replaying(uint32_t account) const {
    return Replaying(replays_[account], log_.Exchanges(account));
  }
  static bool Replaying(uint64_t replays, uint64_t exchanges) {
    return replays >= 3 && replays * 20 >= exchanges;
  }
  // When anyone used the model first; INT64_MAX: nobody.
  int64_t FirstUse(uint16_t model) const { return first_use_[model]; }
  // How many accounts have an address at this mail domain.
  size_t AtDomain(std::string_view domain) const;
  // How many have it as their referrer.
  size_t FromReferrer(std::string_view referrer) const;
  // All accounts in a fixed random order: that of the hashes of their ids.
  const std::vector<uint32_t>& shuffled() const { return shuffled_; }

 private:
  const link::Log& log_;
  std::array<double, 7> signs_{};
  std::vector<uint32_t> shuffled_;
  std::vector<int64_t> first_use_;
  std::vector<uint32_t> replays_;
  std::unordered_map<std::string_view, size_t> domains_, referrers_;
  std::vector<Signs> account_signs_;
  double accounts_with_text_ = 0, young_ = 0, described_ = 0, active_ = 0;
};

bool IsYoung(const link::Log& log, uint32_t account);

// Each hand (Candidate::part) against its own habit. The events are of the candidate's accounts and
// ascend by account. `who`: those who are heard; `counted`: as of link::MeasureRhythm.
link::Rhythm RhythmOf(const link::Log& log, const std::vector<link::Event>& events,
                      const Candidate& candidate, const base::Parallel& parallel,
                      const link::Accounts& who = {}, const link::Days& counted = {});

// Whether a candidate's rhythm is a queue's beyond all calibration. Its accounts then say nothing
// about innocent groups.
bool FollowsAQueue(const Background& background, const Candidate& candidate,
                   const base::Parallel& parallel = base::Parallel(1));

// `not_innocent` marks the accounts that may not serve in random groups: the candidate's own, and
// those of every candidate that follows a queue. The same at any thread count.
Facts Measure(const Background& background, const link::AccountGraph& graph,
              const Candidate& candidate, const AccountSet& not_innocent,
              const base::Parallel& parallel = base::Parallel(1));

}  // namespace stillwatch::judge
