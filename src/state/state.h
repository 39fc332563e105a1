// What people decided and what serve must find again: policies and approvals, appeals,
// dispositions, tokens, attestations, lists, use of permits, campaigns under the identity that they
// keep. One SQLite database (WAL, synced at each commit) in a folder; several processes may have it
// open.
//
// Every change made by a person goes into the audit log within its transaction: a change that
// cannot be recorded is not made, one that was acknowledged is in both.
//
// Errors, all with one sentence for people:
//   InvalidArgument     the request makes no sense (which field, what is expected)
//   NotFound            no such row
//   Aborted             somebody else changed it since it was read: read again
//   FailedPrecondition  not in this status (already decided, not yet approved, ...)
//   PermissionDenied    this person may not (the proposer approves, ...)
//   ResourceExhausted   a bound below is reached
//   Unavailable         the disk or the audit log said no; nothing was changed
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "audit/log.h"
#include "state/tokens.h"
#include "state/types.h"

namespace stillwatch::state {

inline constexpr size_t kPolicyBytes = 16 << 20;
inline constexpr size_t kNoteBytes = 4096;  // notes, reasons, messages of appeals
inline constexpr size_t kNameBytes = 256;   // ids, names, values
inline constexpr size_t kBatchRows =
    10'000;  // entries of one list change, attestations of one call
inline constexpr size_t kPageRows = 500;
inline constexpr size_t kListEntries = 1'000'000;  // of all lists together
inline constexpr size_t kPassesKept = 10'000;      // a week of one a minute
inline constexpr size_t kOpenAppeals = 100'000;
inline constexpr size_t kImportBatch = 200'000;   // indicators of one import
inline constexpr size_t kImportsMax = 1'000'000;  // of all sources together, revoked ones too
inline constexpr size_t kImportSources = 1'000;
inline constexpr size_t kImportValueBytes = 16 << 10;
inline constexpr size_t kImportSightings = 1'000'000;
inline constexpr size_t kImportMarks = 10'000;  // collections that were read
inline constexpr size_t kExportsKept = 500;     // the oldest that is decided makes room
inline constexpr int64_t kApprovalMs = int64_t{30} * 86'400'000;  // how long an approval holds

struct StateOptions {
  std::string dir;                   // holds state.db and token.key; made when it is missing
  audit::AuditLog* audit = nullptr;  // required; must outlive the state
  std::function<int64_t()> now_ms;   // required
  uint64_t approval_accounts = 100;  // the bar where no policy is active
};

struct Page {
  size_t offset = 0, limit = 50;  // at most kPageRows
};
template <typename T>
struct Rows {
  std::vector<T> rows;
  uint64_t total = 0;  // that match, on all pages
};

// Counters that only grow, one per topic: compare to learn what changed. One read, cheap enough to
// ask every second; other processes' changes count too.
struct Changes {
  uint64_t policy = 0, appeals = 0, lists = 0, attestations = 0, permits = 0, tokens = 0,
           dispositions = 0, campaigns = 0, imports = 0;
  bool operator==(const Changes&) const = default;
};

// What the snapshot of decisions is built from, as of one moment.
struct Enforcement {
  Changes changes;
  std::optional<Policy> policy;                         // the active one
  std::vector<Overturned> overturned;                   // by account
  std::map<std::string, std::vector<ListEntry>> lists;  // without what has expired
  std::vector<Attestation> attestations;                // by account and kind; expired ones too
  std::map<std::string, uint64_t> permit_usage;
};

// Safe for concurrent use. Writers queue behind one another, readers do not wait for them.
class State {
 public:
  // FailedPrecondition when the database is newer than this program or not ours.
  static absl::StatusOr<std::unique_ptr<State>> Open(StateOptions options);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  absl::StatusOr<Changes> GetChanges();
  // With `attestations` false that table is not read (it may hold millions of rows).
  absl::StatusOr<Enforcement> GetEnforcement(bool attestations);

  // --- policies: text and its hash; respond parses and counts ---
  // The same text as the active one is refused.
  absl::StatusOr<Policy> Propose(std::string_view text, Impact impact, std::string_view note,
                                 std::string_view person);
  // By a person other than the proposer. `touched`: counted again now.
  absl::StatusOr<Policy> Approve(int64_t version, int64_t revision, uint64_t touched,
                                 std::string_view note, std::string_view person);
  // `expected_active`: the version that the caller believes active (0: none), else Aborted. When
  // more than approval_above are touched, now or when proposed, an approval of a second person is
  // needed, and one that was given for less than half as many accounts does not do.
  absl::StatusOr<Policy> Activate(int64_t version, int64_t expected_active, Impact impact,
                                  std::string_view note, std::string_view person);
  // Back to the version that was active before the active one, at once, without an approval.
  // Version 0, no policy, when there was none.
  absl::StatusOr<Policy> Rollback(int64_t expected_active, std::string_view note,
                                  std::string_view person);
  absl::StatusOr<Policy> Withdraw(int64_t version, int64_t revision, std::string_view person);
  absl::StatusOr<Policy> GetPolicy(int64_t version);
  absl::StatusOr<std::optional<Policy>> ActivePolicy();
  absl::StatusOr<Rows<Policy>> ListPolicies(Page page);  // newest first, without their text
  absl::StatusOr<Rows<Activation>> ListActivations(Page page);

  // --- appeals ---
  // Opening an open one again returns it as it is (AlreadyExists is no error to a customer).
  absl::StatusOr<Appeal> OpenAppeal(std::string_view ref, std::string_view account_id,
                                    std::string_view campaign_id, std::string_view message,
                                    std::string_view person);
  // `overturn` restores access at once: the account is among Enforcement::overturned when this
  // returns. Upholding one that was overturned takes it out again.
  enum class Ruling : uint8_t {
    kUphold,
    kOverturn,
    kOverturnCampaign /* for its campaign alone */
  };
  absl::StatusOr<Appeal> DecideAppeal(std::string_view ref, int64_t revision, Ruling ruling,
                                      std::string_view reason, std::string_view person);
  absl::StatusOr<Appeal> GetAppeal(std::string_view ref);
  absl::StatusOr<Rows<Appeal>> ListAppeals(std::string_view status, std::string_view account_id,
                                           Page page);  // oldest open first

  // --- dispositions ---
  // `expected`: revision of the disposition that the caller saw, 0 for none.
  absl::StatusOr<Disposition> Dispose(Disposition disposition, int64_t expected);
  absl::StatusOr<std::vector<Disposition>> DispositionHistory(std::string_view campaign_id);
  absl::StatusOr<std::vector<Disposition>> CurrentDispositions();  // for watch: no twin again
  absl::StatusOr<std::vector<Feedback>> GetFeedback();             // for the evaluation

  // --- tokens ---
  struct NewToken {
    TokenInfo info;
    std::string token;  // shown once
  };
  absl::StatusOr<NewToken> CreateToken(std::string_view person, std::string_view label, Roles roles,
                                       int64_t expires_ms, std::string_view by);
  absl::StatusOr<TokenInfo> RevokeToken(std::string_view id, std::string_view by);
  absl::StatusOr<std::vector<TokenInfo>> ListTokens();
  const TokenBook& tokens() const { return tokens_; }
  // Brings the book up to date with other processes' changes; call it every second or so.
  absl::Status RefreshTokens();

  // --- attestations ---
  absl::Status PutAttestations(const std::vector<Attestation>& rows, std::string_view person);
  absl::Status RemoveAttestation(std::string_view account_id, std::string_view kind,
                                 std::string_view person);
  absl::StatusOr<std::vector<Attestation>> GetAttestations(std::string_view account_id);

  // --- lists ---
  struct ListInfo {
    std::string name, note;
    int64_t revision = 0;
    uint64_t entries = 0;
  };
  // Applied at once when neither its entries nor the accounts that it touches (one address range
  // may touch many) are more than impact.approval_above; else it waits for a second person.
  // `expected`: revision of the list that the caller saw, 0 for a new one.
  absl::StatusOr<ListProposal> ChangeList(const ListChange& change, int64_t expected, Impact impact,
                                          std::string_view person);
  absl::StatusOr<ListProposal> DecideListChange(int64_t id, bool approve, std::string_view person);
  absl::StatusOr<std::vector<ListInfo>> Lists();
  absl::StatusOr<Rows<ListEntry>> ReadList(std::string_view name, std::string_view prefix,
                                           Page page);
  absl::StatusOr<Rows<ListProposal>> ListProposals(std::string_view status, Page page);

  // --- what others shared ---
  // All or nothing, and nothing twice: what is not newer than what is there changes nothing, so a
  // replayed bundle neither alters nor revives. What was revoked stays revoked. A new source is
  // graded F. ResourceExhausted beyond kImportsMax.
  // With `mark` the collection is read up to there; in the same transaction.
  absl::StatusOr<ImportCounts> Import(std::string_view source,
                                      const std::vector<ImportedIndicator>& indicators,
                                      std::string_view person, const ImportMark* mark = nullptr,
                                      const std::vector<ImportedSighting>& sightings = {});
  // What others saw, without what was revoked; `source` empty: all. Newest first.
  absl::StatusOr<Rows<ImportedSighting>> ListSightings(std::string_view source, Page page);
  // The source's indicators, but for revoked ones, that current distillations here match, but for
  // dismissed ones. By id.
  absl::StatusOr<std::vector<SeenHere>> SeenOf(std::string_view source);
  // How far the source's collection was read; empty: not yet.
  absl::StatusOr<std::string> ImportedUntil(std::string_view source, std::string_view collection);
  // Stops a source's indicators: of one STIX id, an indicator's or a campaign's; of an empty one,
  // all. Returns how many were not revoked before. They are not revived by importing them again.
  absl::StatusOr<uint64_t> RevokeImports(std::string_view source, std::string_view id,
                                         std::string_view person);
  // Of a source that may be new: so that it is graded before anything of it acts.
  absl::StatusOr<ImportSource> GradeSource(std::string_view name, char reliability,
                                           std::string_view note, std::string_view person);
  absl::StatusOr<std::vector<ImportSource>> ImportSources();  // by name
  absl::StatusOr<Rows<ImportSource>> ListImportSources(Page page);
  struct ImportQuery {
    std::string source, type, campaign;  // empty: any
    std::string status;  // active, expired, revoked, waiting (not valid yet); empty: any
  };
  absl::StatusOr<Rows<ImportedIndicator>> ListImports(const ImportQuery& query, Page page);
  // Those that act now, by source and id, and when that changes by the clock alone (INT64_MAX:
  // never).
  struct ActiveImports {
    std::vector<ImportedIndicator> rows;
    int64_t until_ms = INT64_MAX;
  };
  absl::StatusOr<ActiveImports> GetActiveImports();

  // --- what leaves: two persons answer for it ---
  // Keeps the bytes beside the database; `digest` is made from them where there are any.
  absl::StatusOr<Export> ProposeExport(Export proposal, const std::vector<ExportFile>& files);
  // Aborted when it is not proposed any more or not at `expected`, PermissionDenied when the
  // proposer would approve.
  absl::StatusOr<Export> DecideExport(int64_t id, int64_t expected, bool approve,
                                      std::string_view person);
  absl::StatusOr<Export> GetExport(int64_t id);
  absl::StatusOr<std::vector<Export>> Exports();  // newest first
  // The newest approved one with these bytes; `kind` tells comparisons from all else.
  // FailedPrecondition when there is none that still holds.
  absl::StatusOr<Export> ApprovedExport(std::string_view kind, std::string_view digest);
  // The bytes that were approved, by name; FailedPrecondition where they were not or are others.
  absl::StatusOr<std::vector<ExportFile>> ReadExport(int64_t id);
  // The same, recorded as taken by `person` before they are given.
  absl::StatusOr<std::vector<ExportFile>> TakeExport(int64_t id, std::string_view person);

  // --- permits ---
  // Adds to what each permit has used; called every few seconds, so a kill forgets that much.
  absl::Status AddPermitUsage(const std::map<std::string, uint64_t>& used);
  absl::StatusOr<std::map<std::string, uint64_t>> PermitUsage();

  // --- campaigns, for watch ---
  absl::StatusOr<int64_t> RecordPass(const PassResult& result);  // the pass's id
  struct CampaignQuery {
    std::string status = "current";                             // empty: all
    std::string verdict, disposition, capability, text, owner;  // empty: any; disposition "none"
    std::string account_id;                                     // that this account is a member of
    double probability_min = 0;
    int64_t changed_since_ms = 0;
    std::string sort = "exchanges";  // exchanges, accounts, probability, changed, first_seen,
    bool ascending = false;          // last_seen, name
  };
  absl::StatusOr<Rows<Campaign>> ListCampaigns(const CampaignQuery& query, Page page);  // no json
  absl::StatusOr<Campaign> GetCampaign(std::string_view id);
  // Makes `owner` (empty: nobody) responsible for it, in place of `expected_owner`.
  absl::StatusOr<Campaign> TakeCampaign(std::string_view id, std::string_view expected_owner,
                                        std::string_view owner, std::string_view person);
  absl::StatusOr<Rows<CampaignMember>> CampaignMembers(std::string_view id, Page page);
  absl::StatusOr<CampaignMember> GetCampaignMember(std::string_view id, std::string_view account);
  absl::StatusOr<Rows<CampaignEvent>> CampaignEvents(std::string_view id, Page page);
  absl::StatusOr<Rows<Pass>> Passes(Page page);  // newest first
  // Small values that a module keeps: an unknown key is empty, revision 0.
  struct Note {
    std::string value;
    int64_t revision = 0;
  };
  absl::StatusOr<Note> GetNote(std::string_view key);
  absl::Status PutNote(std::string_view key, std::string_view value, int64_t expected);

  // Keys the references of appeals (respond); the same for the life of this folder.
  std::array<uint8_t, 16> AppealKey() const;
  uint64_t approval_accounts() const { return options_.approval_accounts; }
  const std::string& dir() const { return options_.dir; }

 private:
  class Impl;
  explicit State(StateOptions options);
  StateOptions options_;
  TokenBook tokens_;
  std::unique_ptr<Impl> impl_;
};

// BLAKE2b-256, as hex digits: of a file without a name its bytes alone, of others by name with name
// and size before them.
std::string ExportDigest(const std::vector<ExportFile>& files);

}  // namespace stillwatch::state
