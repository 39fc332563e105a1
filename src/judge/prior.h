// What others say of a campaign, as the prior of what matches it here.
//
// The weighing starts from a stated prior: of scaffolds like this one in 65 is a harvest (-6 bits,
// weigh.cc). An imported indicator is a statement of a graded source that something is one's
// campaign; a candidate that matches it starts from
//
//   q = p / 2,   p = reliability (A to F) x credibility (1 to 6) x share of the candidate matched,
//
// so its prior rises by log2(q / (1 - q)) + 6 bits where that is more than none. **The best of
// sources raises it to even odds: 6 bits, never more.** What is then told apart is told by the
// evidence of one's own log, as always. Why this holds whoever says what:
//
// - Statements do not add up. Of all that match the strongest counts: sources repeat one another,
//   and a liar with a hundred names is one liar.
// - They are of no family of evidence, are no purpose and tell of no job, so none of the verdict's
//   gates opens by them (weigh.h); with nothing of its own a candidate reaches 2^(2.5 - 0) at most,
//   where 2^4.3 accuses.
// - They are in no e-value. In a review's error budget (e-BH) they move shares, and the shares sum
// to
//   the same: with weights w_i of mean one, whoever sets them without knowing this log's evidence,
//   the expected share of false ones among the accused stays at most the rate (Genovese, Roeder and
//   Wasserman 2006; for e-values Wang and Ramdas 2022). Scaffolds alone do so: of a shared card, an
//   e-value knows. Everything keeps half of its share at least, so a liar who names all innocents
//   costs the others one bit and no more.
//
// **A rhythm is heard, not believed.** With a scaffold a source may state in which half hours its
// campaign's accounts were busier together than their habits. Whether the accounts here that match
// the scaffold were busier in the same hours is counted in one's own log (link::MeasureAgainst), in
// standard deviations of random groups of it. Given the stated hours, accounts that come and go on
// their own match them by chance, whatever the source says and why, as long as it did not see them:
// so only accounts listen of which nothing is told to others (model::ToldOf), and an echo of what
// one told oneself proves nothing. What is heard is one rhythm with one's own: the e-value of both
// together, averaged with that of one's own alone and over all sources, none of which can cost
// more than a bit or make up for a gate. The gate of a live instance (watch) leaves it out.
//
// A sketch matches a template by kSharedHashesMin hashes in common, and half of its own. A value
// (card, address, mail domain, referrer) matches the accounts that have it, and counts where the
// share of the candidate's accounts is kTraitLift times that of others: what everybody has
// tells nobody apart.
//
// Pure. Memory: a word for each match of a template or an account.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "link/log.h"
#include "link/templates.h"
#include "model/campaign.h"

namespace stillwatch::judge {

struct Candidate;
class Background;

inline constexpr double kPriorBitsMax = 6;     // to even odds
inline constexpr size_t kSharedHashesMin = 3;  // fewer are a turn of phrase (judge.cc)
inline constexpr double kTraitShareMin = .05, kTraitLift = 5;
inline constexpr double kBudgetKept = .5;  // of a candidate's share, that others' words cannot take
inline constexpr size_t kSharedMax = 1'000'000;  // indicators; who reads them refuses more
inline constexpr size_t kHeardMax = 16;          // rhythms of one candidate, the best graded
inline constexpr size_t kListenersMin = 5;       // accounts; fewer hear nothing

// An indicator that acts: not revoked, not expired.
struct SharedIndicator {
  enum class Kind : uint8_t { kTemplate, kPayment, kAddress, kMailDomain, kReferrer, kRhythm };
  Kind kind = Kind::kTemplate;
  std::string id, campaign, origin;  // as model::ImportRef
  std::string type;
  char reliability = 'F';
  int credibility = 6;
  std::vector<uint32_t> hashes;  // of a template: ascending, distinct, without salt
  std::vector<int8_t> busy;      // of a rhythm: of each half hour, from `first_half_hour` on
  int32_t first_half_hour = 0;   // since 1970
  std::string value;             // of others; of a blinded one its hash
  std::string key;               // that blinds it, by id; empty: it is plain
};

// Blinds a value of this log under a key; empty when the key is not held. May be null.
using Blind = std::function<std::string(const std::string& key, SharedIndicator::Kind kind,
                                        std::string_view value)>;

// How likely it is that a statement of this grade is right, before anything is known of it here.
double Trust(char reliability, int credibility);
// Of a prior that rises to trust / 2: in [0, kPriorBitsMax].
double PriorBits(double trust);

struct Prior {
  double bits = 0;
  double scaffold_bits = 0;     // of scaffolds alone, which no e-value has part in: for the budget
  std::string statement, null;  // empty when nothing matches
  std::vector<uint32_t> scaffolds;  // Imports' own numbers of whose scaffold half of it has
  // Of each stated rhythm the standard score of those who listen; empty when none was heard.
  std::vector<double> heard;
  std::string heard_statement, heard_null;
  std::vector<model::ImportRef> refs;
};

class Imports {
 public:
  // Keeps references: all must outlive it.
  Imports(const link::Log& log, const std::vector<link::Template>& templates,
          const std::vector<SharedIndicator>& indicators, const Blind& blind);
  bool empty() const { return indicators_.empty(); }
  // Thread-safe.
  Prior Of(const Candidate& candidate) const;
  // Listens to the rhythms of those whose scaffold the candidate has. `not_innocent`: accounts that
  // may not serve in random groups. Thread-safe.
  void Listen(const Background& background, const Candidate& candidate,
              const std::vector<bool>& not_innocent, Prior* prior) const;

 private:
  const link::Log& log_;
  const std::vector<SharedIndicator>& indicators_;
  std::vector<uint32_t> group_;  // of each indicator: its origin and campaign
  std::vector<std::vector<uint32_t>> of_template_, groups_of_template_;  // indicators, groups
  std::unordered_map<uint32_t, std::vector<uint32_t>> of_account_;       // indicators
  std::vector<uint32_t> carriers_;  // of each group: accounts with any of its values
  std::map<uint32_t, uint32_t> rhythm_of_group_;  // indicator
};

// log2 of each candidate's share of a review's error budget against an equal one: by 2 to the bits
// of its prior, of mean one, none below kBudgetKept. All 0 where nobody says anything.
std::vector<double> BudgetBits(std::span<const double> prior_bits);

}  // namespace stillwatch::judge
