// Appeals, dispositions, and what both teach.
#include <simdjson.h>

#include <algorithm>

#include "state/impl.h"

namespace stillwatch::state {
namespace {

using base::StrCat;

constexpr const char* kAppeal =
    "SELECT ref, revision, status, account_id, campaign_id, message, opened_by, decided_by, "
    "reason, opened_ms, decided_ms FROM appeals ";

Appeal AppealOf(const Query& q) {
  return {q.Text(0), q.Int(1),  q.Text(2), q.Text(3), q.Text(4), q.Text(5),
          q.Text(6), q.Text(7), q.Text(8), q.Int(9),  q.Int(10)};
}

absl::Status Load(Db& db, std::string_view ref, Appeal* out, bool* found) {
  Query q(db,
          "SELECT ref, revision, status, account_id, campaign_id, message, opened_by, decided_by, "
          "reason, opened_ms, decided_ms FROM appeals WHERE ref = ?1",
          ref);
  *found = q.Row();
  if (*found) *out = AppealOf(q);
  return q.status();
}

constexpr const char* kDisposition =
    "SELECT campaign_id, revision, value, look_alike, reason, note, person, ms, finding_id, "
    "families, verdict, probability, bits, exchanges FROM dispositions ";

Disposition DispositionOf(const Query& q) {
  return {q.Text(0),  q.Int(1),   q.Text(2),  q.Text(3), q.Text(4),
          q.Text(5),  q.Text(6),  q.Int(7),   q.Text(8), SplitComma(q.Text(9)),
          q.Text(10), q.Real(11), q.Real(12), q.Uint(13)};
}

// Of the evidence that speaks for a campaign, by its object of campaigns.json; 0 where there is
// none.
double BitsFor(const std::string& json) {
  double sum = 0;
  simdjson::dom::parser parser;
  simdjson::dom::array evidence;
  if (parser.parse(json)["evidence"].get(evidence) != simdjson::SUCCESS) return 0;
  for (simdjson::dom::element e : evidence)
    if (double bits = 0; e["bits"].get(bits) == simdjson::SUCCESS && bits > 0) sum += bits;
  return sum;
}

bool Among(const std::vector<std::string>& all, std::string_view one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

}  // namespace

const std::vector<std::string>& LookAlikes() {
  static const std::vector<std::string> kAll = {
      "evaluation",       "synthetic-data", "permitted",      "ci-agents",
      "gateway",          "agency",         "class",          "audit",
      "launch-benchmark", "popular-tool",   "shared-network", "relay-customer",
      "stolen-key",       "other"};
  return kAll;
}

const std::vector<std::string>& Reasons() {
  static const std::vector<std::string> kAll = {
      "evidence-checked",   "customer-explained", "contract-on-file", "identity-verified",
      "links-coincidental", "content-benign",     "volume-explained", "data-error",
      "needs-more-data",    "duplicate",          "mistake",          "other"};
  return kAll;
}

absl::StatusOr<Appeal> State::OpenAppeal(std::string_view ref, std::string_view account_id,
                                         std::string_view campaign_id, std::string_view message,
                                         std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("ref", ref, kNameBytes, true));
  SW_RETURN_IF_ERROR(CheckText("account_id", account_id, kNameBytes, true));
  SW_RETURN_IF_ERROR(CheckText("campaign_id", campaign_id, kNameBytes, false));
  SW_RETURN_IF_ERROR(CheckText("message", message, kNoteBytes, false));
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  Appeal out;
  SW_RETURN_IF_ERROR(impl_->Write(
      "appeals", person, "appeal.open", [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        bool found = false;
        SW_RETURN_IF_ERROR(Load(db, ref, &out, &found));
        if (found) {
          if (out.account_id != account_id)
            return absl::FailedPreconditionError(
                StrCat("appeal ", ref, ": belongs to another account"));
          record->action.clear();
          return absl::OkStatus();
        }
        {
          Query q(db, "SELECT count(*) FROM appeals WHERE status = 'open'");
          if (q.Row() && q.Uint(0) >= kOpenAppeals)
            return absl::ResourceExhaustedError(
                StrCat("appeals: ", kOpenAppeals, " are open; decide some first"));
          SW_RETURN_IF_ERROR(q.status());
        }
        SW_RETURN_IF_ERROR(
            Run(db, "INSERT INTO appeals VALUES (?1, 1, 'open', ?2, ?3, ?4, ?5, ?6, '', 0, '')",
                ref, account_id, campaign_id, message, person, record->time_ms));
        record->subject = StrCat("appeal ", ref);
        record->details =
            Details().Add("account_id", account_id).Add("campaign_id", campaign_id).Done();
        return Load(db, ref, &out, &found);
      }));
  return out;
}

absl::StatusOr<Appeal> State::DecideAppeal(std::string_view ref, int64_t revision, Ruling ruling,
                                           std::string_view reason, std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("reason", reason, kNoteBytes, true));
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  const bool overturn = ruling != Ruling::kUphold;
  Appeal out;
  SW_RETURN_IF_ERROR(impl_->Write(
      "appeals", person, overturn ? "appeal.overturn" : "appeal.uphold",
      [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        bool found = false;
        SW_RETURN_IF_ERROR(Load(db, ref, &out, &found));
        if (!found)
          return absl::NotFoundError(StrCat("appeal: there is none with reference ", ref));
        if (out.revision != revision) {
          return absl::AbortedError(StrCat("appeal ", ref, ": is ", out.status, " at revision ",
                                           out.revision, ", not ", revision,
                                           ": somebody decided it; look again"));
        }
        if (ruling == Ruling::kOverturnCampaign && out.campaign_id.empty())
          return absl::FailedPreconditionError(
              StrCat("appeal ", ref, ": names no campaign; overturn it as a whole"));
        SW_RETURN_IF_ERROR(Run(db,
                               "UPDATE appeals SET revision = revision + 1, status = ?2, "
                               "decided_by = ?3, decided_ms = ?4, reason = ?5 WHERE ref = ?1",
                               ref, overturn ? "overturned" : "upheld", person, record->time_ms,
                               reason));
        SW_RETURN_IF_ERROR(Run(db, "DELETE FROM overturned WHERE ref = ?1", ref));
        const std::string campaign =
            ruling == Ruling::kOverturnCampaign ? out.campaign_id : std::string();
        if (overturn) {
          SW_RETURN_IF_ERROR(Run(db, "INSERT INTO overturned VALUES (?1, ?2, ?3, ?4, ?5)",
                                 out.account_id, campaign, ref, person, record->time_ms));
        }
        record->subject = StrCat("appeal ", ref);
        record->details = Details()
                              .Add("account_id", out.account_id)
                              .Add("campaign_id", campaign)
                              .Add("reason", reason)
                              .Done();
        return Load(db, ref, &out, &found);
      }));
  return out;
}

absl::StatusOr<Appeal> State::GetAppeal(std::string_view ref) {
  Appeal out;
  bool found = false;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) { return Load(db, ref, &out, &found); }));
  if (!found) return absl::NotFoundError(StrCat("appeal: there is none with reference ", ref));
  return out;
}

absl::StatusOr<Rows<Appeal>> State::ListAppeals(std::string_view status,
                                                std::string_view account_id, Page page) {
  SW_RETURN_IF_ERROR(CheckPage(page));
  if (!status.empty() && status != "open" && status != "upheld" && status != "overturned")
    return absl::InvalidArgumentError("status: expected open, upheld or overturned");
  Rows<Appeal> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    {
      Query q(db,
              "SELECT count(*) FROM appeals WHERE (?1 = '' OR status = ?1) AND (?2 = '' OR "
              "account_id = ?2)",
              status, account_id);
      if (q.Row()) out.total = q.Uint(0);
      SW_RETURN_IF_ERROR(q.status());
    }
    const std::string sql =
        StrCat(kAppeal,
               "WHERE (?1 = '' OR status = ?1) AND (?2 = '' OR account_id = ?2) "
               "ORDER BY status != 'open', CASE status WHEN 'open' THEN opened_ms ELSE -decided_ms "
               "END, ref LIMIT ?3 OFFSET ?4");
    Query q(db, sql.c_str(), status, account_id, page.limit, page.offset);
    while (q.Row()) out.rows.push_back(AppealOf(q));
    return q.status();
  }));
  return out;
}

// --- dispositions ---

absl::StatusOr<Disposition> State::Dispose(Disposition d, int64_t expected) {
  SW_RETURN_IF_ERROR(CheckText("campaign_id", d.campaign_id, kNameBytes, true));
  SW_RETURN_IF_ERROR(CheckText("note", d.note, kNoteBytes, false));
  SW_RETURN_IF_ERROR(CheckText("person", d.person, kNameBytes, true));
  if (!Among({"confirmed", "dismissed", "unsure", "withdrawn"}, d.value))
    return absl::InvalidArgumentError("value: expected confirmed, dismissed, unsure or withdrawn");
  if (!Among(Reasons(), d.reason))
    return absl::InvalidArgumentError(StrCat("reason: expected one of ", Join(Reasons())));
  if (d.value == "dismissed" ? !Among(LookAlikes(), d.look_alike) : !d.look_alike.empty()) {
    return absl::InvalidArgumentError(
        d.value == "dismissed"
            ? StrCat("look_alike: a dismissed campaign was something else; expected one of ",
                     Join(LookAlikes()))
            : std::string("look_alike: only a dismissed campaign has one"));
  }
  SW_RETURN_IF_ERROR(impl_->Write(
      "dispositions", d.person, "disposition.set",
      [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        {
          Query q(db,
                  "SELECT finding_id, families, disposition_revision, verdict, probability, "
                  "exchanges, json FROM campaigns LEFT JOIN campaign_json ON campaign_id = id "
                  "WHERE id = ?1",
                  d.campaign_id);
          if (!q.Row()) {
            SW_RETURN_IF_ERROR(q.status());
            return absl::NotFoundError(StrCat("campaign: there is none with id ", d.campaign_id));
          }
          d.finding_id = q.Text(0);
          d.families = SplitComma(q.Text(1));
          d.revision = q.Int(2);
          d.verdict = q.Text(3);
          d.probability = q.Real(4);
          d.exchanges = q.Uint(5);
          d.bits = BitsFor(q.Text(6));
        }
        if (d.revision != expected) {
          return absl::AbortedError(
              StrCat("campaign ", d.campaign_id, ": its disposition is at revision ", d.revision,
                     ", not ", expected, ": somebody disposed of it; look again"));
        }
        ++d.revision;
        d.ms = record->time_ms;
        SW_RETURN_IF_ERROR(
            Run(db,
                "INSERT INTO dispositions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, "
                "?11, ?12, ?13, ?14)",
                d.campaign_id, d.revision, d.value, d.look_alike, d.reason, d.note, d.person, d.ms,
                d.finding_id, Join(d.families), d.verdict, d.probability, d.bits, d.exchanges));
        SW_RETURN_IF_ERROR(Run(
            db, "UPDATE campaigns SET disposition = ?2, disposition_revision = ?3 WHERE id = ?1",
            d.campaign_id, d.value == "withdrawn" ? std::string() : d.value, d.revision));
        record->subject = StrCat("campaign ", d.campaign_id);
        record->details = Details()
                              .Add("value", d.value)
                              .Add("look_alike", d.look_alike)
                              .Add("reason", d.reason)
                              .Add("note", d.note)
                              .Done();
        return absl::OkStatus();
      }));
  return d;
}

absl::StatusOr<std::vector<Disposition>> State::DispositionHistory(std::string_view campaign_id) {
  std::vector<Disposition> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) {
    const std::string sql = StrCat(kDisposition, "WHERE campaign_id = ?1 ORDER BY revision");
    Query q(db, sql.c_str(), campaign_id);
    while (q.Row()) out.push_back(DispositionOf(q));
    return q.status();
  }));
  return out;
}

absl::StatusOr<std::vector<Disposition>> State::CurrentDispositions() {
  std::vector<Disposition> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) {
    const std::string sql = StrCat(kDisposition,
                                   "d WHERE revision = (SELECT max(revision) FROM dispositions "
                                   "WHERE campaign_id = d.campaign_id) "
                                   "AND value != 'withdrawn' ORDER BY campaign_id");
    Query q(db, sql.c_str());
    while (q.Row()) out.push_back(DispositionOf(q));
    return q.status();
  }));
  return out;
}

absl::StatusOr<std::vector<Feedback>> State::GetFeedback() {
  std::vector<Feedback> out;
  auto dispositions = CurrentDispositions();
  if (!dispositions.ok()) return dispositions.status();
  for (Disposition& d : *dispositions) {
    out.push_back({"disposition", std::move(d.campaign_id), "",
                   d.value == "confirmed"   ? "right"
                   : d.value == "dismissed" ? "wrong"
                                            : "unsure",
                   std::move(d.look_alike), std::move(d.reason), std::move(d.person),
                   std::move(d.families), d.ms});
  }
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) {
    const std::string sql = StrCat(kAppeal, "WHERE status != 'open' ORDER BY decided_ms, ref");
    Query q(db, sql.c_str());
    while (q.Row()) {
      Appeal a = AppealOf(q);
      out.push_back({"appeal",
                     std::move(a.campaign_id),
                     std::move(a.account_id),
                     a.status == "overturned" ? "wrong" : "right",
                     "",
                     std::move(a.reason),
                     std::move(a.decided_by),
                     {},
                     a.decided_ms});
    }
    return q.status();
  }));
  return out;
}

}  // namespace stillwatch::state
