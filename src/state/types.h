// What the state keeps, as plain values. Times are milliseconds since 1970; 0 means never or not
// yet.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace stillwatch::state {

// Rights of a token, as bits. Admin is no superset: a right that is needed is named.
enum Role : uint8_t {
  kIngest = 1,    // send exchanges
  kDecide = 2,    // ask for decisions
  kAnalyst = 4,   // read everything, dispose, propose, open and decide appeals
  kApprover = 8,  // approve what another person proposed
  kAdmin = 16,    // tokens, settings
  kShare = 32,    // another instance: TAXII, comparisons, as far as each collection says
};
using Roles = uint8_t;
inline constexpr Roles kAllRoles = 63;

struct TokenInfo {  // never the secret, nor its hash
  std::string id, person, label;
  Roles roles = 0;
  int64_t created_ms = 0, expires_ms = 0, revoked_ms = 0;
  std::string created_by, revoked_by;
};

struct Approval {
  std::string person, note;
  int64_t ms = 0;
  uint64_t touched = 0;  // accounts that the change touched when it was approved
};

// proposed -> approved -> active -> superseded | rolled_back; proposed | approved -> withdrawn.
struct Policy {
  int64_t version = 0, revision = 0;
  std::string status, text, hash, note;
  uint64_t touched = 0;         // accounts that it would touch, counted when it was proposed
  bool needs_approval = false;  // of a second person, and none has been given yet
  std::string proposed_by, activated_by;
  int64_t proposed_ms = 0, activated_ms = 0;
  std::vector<Approval> approvals;
};

// What a dry run says of a policy.
struct Impact {
  uint64_t touched = 0;         // accounts that what is enforced would touch
  uint64_t approval_above = 0;  // more of them need a second person: the smaller number of the
                                // active policy and the new one, lest a proposal lift its own bar
};

struct Activation {
  int64_t id = 0, version = 0, ms = 0;
  std::string kind, person, note;  // kind: activate, rollback
};

struct Appeal {  // open -> upheld | overturned; a decided one may be decided otherwise
  std::string ref;
  int64_t revision = 0;
  std::string status, account_id, campaign_id, message, opened_by, decided_by, reason;
  int64_t opened_ms = 0, decided_ms = 0;
};

struct Disposition {
  std::string campaign_id;
  int64_t revision = 0;
  std::string value;       // confirmed, dismissed, unsure, withdrawn
  std::string look_alike;  // of a dismissed one: LookAlikes()
  std::string reason;      // a code: Reasons()
  std::string note, person;
  int64_t ms = 0;
  std::string finding_id;             // what was looked at
  std::vector<std::string> families;  // of its evidence then
  // Likewise: what the program said, the bits that spoke for it, its size. Of dispositions given
  // before these were kept: "", -1, 0, 0.
  std::string verdict;
  double probability = -1, bits = 0;
  uint64_t exchanges = 0;
};

// An appeal that was granted: no finding counts against the account any more, or with a campaign
// none of that one. Directives still do.
struct Overturned {
  std::string account_id, campaign_id, ref;
  int64_t ms = 0;
};

// Something that was verified about an account, for directives alone: judging never reads it.
struct Attestation {
  std::string account_id, kind, value;  // kind: "citizenship", "country", "kyc", ...
  int64_t valid_until_ms = 0;           // 0: no end
  std::string source, person;
  int64_t ms = 0;
};

struct ListEntry {
  std::string value;  // "account:ID", "key:ID", "org:ID", "address:CIDR"
  std::string reason;
  int64_t expires_ms = 0;  // 0: no end
  std::string person;
  int64_t ms = 0;
};

struct ListChange {  // one change, applied whole
  std::string list;
  std::vector<ListEntry> put;
  std::vector<std::string> remove;
};

struct ListProposal {  // proposed -> applied | rejected
  int64_t id = 0, base_revision = 0;
  std::string status;
  ListChange change;
  uint64_t entries = 0, touched = 0;  // accounts; at least as many as entries
  std::string proposed_by, decided_by;
  int64_t proposed_ms = 0, decided_ms = 0;
};

struct CampaignMember {
  std::string account_id, pool_id, verdict, why;
  double probability = 0;
  uint64_t exchanges = 0, attributed = 0;
};

struct Campaign {
  std::string id;          // the identity that it keeps
  int64_t revision = 0;    // of the row; each pass that changes it counts
  std::string finding_id;  // the content's id in the last findings
  std::string name;
  std::string status;       // current, merged, gone
  std::string merged_into;  // the id that carries on
  std::string verdict, rival;
  double probability = 0, rival_probability = 0;
  uint64_t accounts = 0, exchanges = 0, input_tokens = 0, output_tokens = 0;
  int64_t first_seen_ms = 0, last_seen_ms = 0;
  std::string capability;             // the largest
  std::vector<std::string> families;  // of evidence that speaks for it
  std::string json;                   // the object of campaigns.json
  int64_t opened_ms = 0, changed_ms = 0;
  std::string disposition;           // value of the one that holds, or empty
  int64_t disposition_revision = 0;  // to name when disposing
  std::string owner;                 // the analyst who took it
};

struct CampaignEvent {
  int64_t id = 0;
  std::string campaign_id;
  int64_t ms = 0, pass = 0;
  std::string kind;            // new, grew, merged, split, verdict, gone, ...
  std::string details = "{}";  // JSON object
};

struct Pass {
  int64_t id = 0, began_ms = 0, ended_ms = 0, since_ms = 0, until_ms = 0;
  std::string details = "{}";
};

// --- what others shared ---

struct ImportedIndicator {
  std::string source;        // who said it, as this instance calls them
  std::string id, campaign;  // STIX ids of the indicator and of what it indicates
  std::string type, value;   // of the item (share/indicator.h); blinded: "KEYID:HASH"
  bool blinded = false;
  std::string tlp;
  int credibility = 6;  // of the information, Admiralty 1 to 6
  int64_t modified_ms = 0, valid_from_ms = 0;
  int64_t valid_until_ms = INT64_MAX;  // INT64_MAX: no end
  bool revoked = false;
  // Filled in by the state.
  char reliability = 'F';  // of the source
  int64_t imported_ms = 0, revoked_ms = 0;
  std::string imported_by, revoked_by;
  uint64_t hits = 0;  // campaigns here that match it or did
};

// Somebody saw an indicator, perhaps one of ours, in traffic of their own.
struct ImportedSighting {
  std::string source, id, of;  // STIX ids of the sighting and of what was seen
  uint64_t exchanges = 0;      // as they say; 0: not stated
  int64_t first_seen_ms = 0, last_seen_ms = 0, modified_ms = 0;
  bool revoked = false;
  int64_t imported_ms = 0;  // filled in by the state
};

// An indicator of a source's that campaigns match which hold here: for telling the source so.
struct SeenHere {
  std::string id;
  uint64_t accounts = 0, exchanges = 0;
  int64_t first_seen_ms = 0, last_seen_ms = 0;  // of those campaigns
};

struct ImportCounts {
  uint64_t added = 0, updated = 0, unchanged = 0, revoked = 0;
  uint64_t sightings = 0;  // new or changed
};

struct ImportSource {
  std::string name;
  char reliability = 'F';  // Admiralty A to F; F until somebody grades it
  std::string note, graded_by;
  int64_t graded_ms = 0, first_ms = 0, last_ms = 0;  // imports
  uint64_t indicators = 0, active = 0, revoked = 0, expired = 0;
  // Campaigns here that match any of its indicators or did, and what people said of them: how often
  // the source was right here.
  uint64_t campaigns = 0, right = 0, wrong = 0, unsure = 0;
};

// How far a collection of others was read: what comes next was added there after it.
struct ImportMark {
  std::string collection, added_after;
};

// What leaves only when two persons answer for it: proposed -> approved | rejected.
struct Export {
  int64_t id = 0, revision = 0;
  std::string kind;  // campaign (of the last pass), bundle (of a scan), comparison
  std::string status;
  std::string campaign_id, campaign_name;  // of a bundle may be several, with ", "
  std::string audience;                    // of a comparison the peer
  std::string issuer, note;
  std::string proposed_by, decided_by;
  int64_t proposed_ms = 0, decided_ms = 0;
  std::string digest;   // BLAKE2b-256 of the bytes; of a comparison, of peer and items
  std::string summary;  // JSON object: counts, never a value
};
struct ExportFile {
  std::string name;  // empty: the only one
  std::string bytes;
};

// A campaign of a pass that matches an indicator.
struct ImportHit {
  std::string campaign_id, source, id;
  uint64_t accounts = 0, exchanges = 0;
};

// What one pass changed; kept whole or not at all.
struct PassResult {
  Pass pass;
  struct Changed {
    Campaign campaign;           // revision, disposition and owner are ignored
    bool members_given = false;  // false: the members stay as they are
    std::vector<CampaignMember> members;
  };
  std::vector<Changed> campaigns;
  std::vector<ImportHit> hits;
  std::vector<CampaignEvent> events;         // id and pass are filled in
  std::map<std::string, std::string> notes;  // replaced in the same transaction (State::GetNote)
};

// A person's word on an account or a campaign, for the evaluation: what was right, what was wrong.
struct Feedback {
  std::string source;                   // "appeal", "disposition"
  std::string campaign_id, account_id;  // the latter empty for a campaign
  std::string label;                    // "right", "wrong", "unsure"
  std::string look_alike, reason, person;
  std::vector<std::string> families;
  int64_t ms = 0;
};

// The populations of docs/DETECTION.md that a dismissed campaign may be, and the codes of reasons.
const std::vector<std::string>& LookAlikes();
const std::vector<std::string>& Reasons();

}  // namespace stillwatch::state
