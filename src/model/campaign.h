// A finding: what judge produces and dossier, outputs and later respond and share read.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/sketch.h"

namespace stillwatch::model {

enum class Verdict : uint8_t {
  kDistillation,
  kCoordinatedOther,
  kSharedTool,
  kEvaluation,
  kPermitted,
  kUnresolved,
};
inline constexpr int kVerdicts = 6;
const char* VerdictName(Verdict v);  // "coordinated-other"
std::optional<Verdict> VerdictNamed(std::string_view name);

// Words of likelihood, ICD 203: "almost certain" for .95 to .99 and so on.
const char* LikelihoodWords(double probability);

// Families of evidence. The first eight are of coordination, then one of purpose; what others say
// (`shared`) is of neither and counts for no gate.
enum class Family : uint8_t {
  kNetwork,
  kClient,
  kEnrolment,
  kPayment,
  kText,
  kManner,
  kRhythm,
  kReplay,
  kPurpose,
  kShared,
};
inline constexpr int kFamilies = 10;
const char* FamilyName(Family f);  // "network"
std::optional<Family> FamilyNamed(std::string_view name);

struct Evidence {
  Family family;
  double bits =
      0;  // log2 likelihood ratio for distillation against the best rival; may be negative
  std::string statement;               // one plain sentence with its figures
  std::string null;                    // what was assumed otherwise
  std::string query;                   // SQL over the kept lake that recomputes the figure
  std::vector<uint32_t> rows;          // of the log that show it, until they are named
  std::vector<std::string> exchanges;  // their ids, at most 20, ascending
};

// An imported indicator that a campaign matches (judge/prior.h).
struct ImportRef {
  std::string id, campaign, origin;  // STIX ids of the indicator and of its campaign; who said so
  std::string type;                  // of the item: "template-sketch"
  char reliability = 'F';            // of the source, Admiralty A to F
  int credibility = 6;               // of what it says, 1 to 6
  uint64_t accounts = 0, exchanges = 0;  // of the campaign that match it
};
inline constexpr size_t kImportRefsMax = 32;  // of one campaign

struct PoolRef {
  std::string id;
  uint64_t accounts = 0;
};

struct Specimen {
  uint32_t row = 0;  // of the log, until it is named
  std::string exchange_id, text;  // of the request: system prompt and last turn
};

struct TemplateRef {
  std::string id;
  uint64_t exchanges = 0;
  std::vector<Specimen> specimens;  // only with --specimens; by hash of the exchange id, ascending
  std::vector<uint32_t> hashes;
};

struct Attribution {
  std::string actor, basis;
  double probability = 0;
};

struct VerdictProbability {
  Verdict verdict = Verdict::kUnresolved;
  double probability = 0;
};

struct TimelineDay {
  std::string day;  // "2026-04-22"
  uint64_t exchanges = 0;
  uint64_t accounts = 0;
  std::map<std::string, uint64_t> models;
};

// A dated change worth pointing at: "half of the traffic moved to atlas-5 within 24 h".
struct Pivot {
  int64_t ts_ms = 0;
  std::string statement;
};

struct InfrastructureLine {  // addresses by class and network, when --mmdb was given
  std::string address_class, as_org;
  uint32_t asn = 0;
  uint64_t addresses = 0, exchanges = 0;
};

struct CampaignMember {
  std::string account_id, pool_id;
  std::string verdict;  // the account's own: distillation, unresolved, victim, permitted, ...
  double probability = 0;
  uint64_t exchanges = 0, attributed_exchanges = 0;
  std::string why;  // one sentence: what links it; what speaks against it
};

struct Campaign {
  std::string id;    // derived from content
  std::string name;  // short, for people: "amber-otter", derived from the id
  Verdict verdict = Verdict::kUnresolved;
  double probability = 0;               // of the verdict
  VerdictProbability rival;             // the runner-up
  std::vector<VerdictProbability> all;  // every verdict, descending
  std::string would_change;             // what would change the verdict, one or two sentences
  uint64_t accounts = 0, exchanges = 0, input_tokens = 0, output_tokens = 0;
  int64_t first_seen_ms = 0, last_seen_ms = 0;
  std::map<std::string, uint64_t> models;
  std::vector<std::pair<Capability, double>> capabilities;  // share, descending
  std::vector<PoolRef> pools;
  std::vector<TemplateRef> templates;
  std::vector<Evidence> evidence;  // by bits, descending
  std::vector<Attribution> attribution;
  std::vector<ImportRef> imports;  // by id; those that count, then others, kImportRefsMax at most
  bool rests_on_imports = false;   // accused, and would not be without them
  double own_probability = 0;      // of distillation without them; 0 where there are none
  std::vector<TimelineDay> timeline;
  std::vector<Pivot> pivots;
  std::vector<InfrastructureLine> infrastructure;
  std::map<std::string, uint64_t>
      addresses;        // of its exchanges, with their number; for enrichment, not written out
  std::string summary;  // one sentence for the top of the dossier
  std::map<std::string, std::string> queries;  // figure -> SQL: exchanges, accounts, tokens,
                                               // window, models, capabilities, timeline
  std::vector<CampaignMember> members;         // by account_id
};

// One attributed exchange.
struct AttributedRow {
  uint32_t row = 0;       // of the log
  uint32_t campaign = 0;  // index into Findings::campaigns
};

struct Findings {
  std::vector<Campaign> campaigns;  // distillation first, then by exchanges, then id
  std::vector<AttributedRow> rows;
};

}  // namespace stillwatch::model
