// The gate: the one declared list of what may leave, for whom. Default: nothing.
// Pure, thread-safe. There is no other way to a Release, and nothing is written but a Release.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "share/indicator.h"

namespace stillwatch::share {

enum class Audience : uint8_t { kProvider, kCloud, kGovernment, kPublic };
inline constexpr int kAudiences = 4;
const char* AudienceName(Audience a);  // "provider"
std::optional<Audience> AudienceNamed(std::string_view name);

enum class Rule : uint8_t {
  kNever,
  kCompare,  // only by private comparison: `stillwatch share compare`
  kBlinded,  // under the group's key
  kPlain,
};
const char* RuleName(Rule r);  // "compare"

// The table (gate.cc), which docs/SHARING.md prints and a test holds equal.
Rule RuleFor(ItemType type, Audience audience);
const char* RuleReason(ItemType type);  // one sentence: why it is as it is

// A sketch confirms guesses, so a shingle leaves only when so many have sent it already.
inline constexpr uint64_t kShingleAccountsMin = 20, kShingleExchangesMin = 200;

struct CountedShingle {
  uint32_t hash = 0;
  uint64_t accounts = 0, exchanges = 0;  // of the campaign that carry it
};

// What a campaign has that might leave. Volumes by customer and text have no field here.
struct CandidateCampaign {
  CampaignFacts facts;
  std::vector<Item> items;  // of any type but sketches, figures and attribution
  std::vector<std::vector<CountedShingle>> templates;
  struct Actor {
    std::string name;  // of the known-actors file, where the findings state it
    double probability = 0;
  };
  std::vector<Actor> attribution;
};

struct Kept {
  ItemType type;
  Rule rule;  // that kept it; kPlain and kBlinded: not for the rule but for `why`
  uint64_t count = 0;
  std::string why;  // one sentence
};

// What left, which only the gate makes.
class Release {
 public:
  struct Campaign {
    CampaignFacts facts;
    std::vector<Item> items;  // ascending and distinct
    std::vector<CandidateCampaign::Actor> attribution;
  };
  Audience audience() const { return audience_; }
  const std::vector<Campaign>& campaigns() const { return campaigns_; }  // by key
  const std::vector<Sighting>& sightings() const { return sightings_; }  // by what was seen
  const std::vector<Kept>& kept() const { return kept_; }                // by type

 private:
  friend absl::StatusOr<Release> Gate(const std::vector<CandidateCampaign>&, Audience,
                                      const BlindingKey*);
  friend absl::StatusOr<Release> GateSightings(std::vector<Sighting>, Audience);
  Release() = default;
  Audience audience_ = Audience::kPublic;
  std::vector<Campaign> campaigns_;
  std::vector<Sighting> sightings_;
  std::vector<Kept> kept_;
};

// `key` may be null: what needs it then stays, and Release::kept says so.
// InvalidArgument when facts are not of their grammar.
absl::StatusOr<Release> Gate(const std::vector<CandidateCampaign>& campaigns, Audience audience,
                             const BlindingKey* key);

// That indicators of others were seen here, as figures of campaigns are: rounded, whole days, and
// only what at least kShingleAccountsMin accounts and kShingleExchangesMin exchanges show.
// InvalidArgument when an id is none of STIX.
absl::StatusOr<Release> GateSightings(std::vector<Sighting> sightings, Audience audience);

}  // namespace stillwatch::share
