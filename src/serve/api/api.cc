#include "serve/api/api.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "audit/verify.h"
#include "base/embedded_file.h"
#include "respond/decide.h"
#include "serve/api/explore.h"
#include "serve/api/hunt.h"
#include "serve/api/json.h"
#include "serve/api/rows.h"
#include "serve/api/sharing.h"
#include "state/precision.h"

namespace stillwatch::serve::api {

extern const base::EmbeddedFile kOpenApi[];

namespace {

using base::StrCat;
using state::State;

constexpr const char* kNoPolicy = R"({"version":0})";

std::string Message(const absl::Status& s) { return {s.message().data(), s.message().size()}; }

bool EnforcesAnything(const respond::Policy& p) {
  const auto on = [](const auto& x) { return x.enforce; };
  return std::any_of(p.rules.begin(), p.rules.end(), on) ||
         std::any_of(p.recognition.begin(), p.recognition.end(), on) ||
         std::any_of(p.directives.begin(), p.directives.end(), on) ||
         std::any_of(p.lists.begin(), p.lists.end(), on);
}

class Api {
 public:
  explicit Api(ApiContext context) : c_(std::move(context)) {}

  HttpReply Fail(const absl::Status& s) const {
    switch (s.code()) {
      case absl::StatusCode::kInvalidArgument:
        return ErrorReply(400, Message(s));
      case absl::StatusCode::kPermissionDenied:
        return ErrorReply(403, Message(s));
      case absl::StatusCode::kNotFound:
        return ErrorReply(404, Message(s));
      case absl::StatusCode::kAborted:
      case absl::StatusCode::kFailedPrecondition:
        return ErrorReply(409, Message(s));
      case absl::StatusCode::kUnavailable:
      case absl::StatusCode::kResourceExhausted: {
        if (c_.note) c_.note(Message(s));
        HttpReply r = ErrorReply(503, absl::IsUnavailable(s)
                                          ? "this could not be stored or read, and nothing was "
                                            "changed; try again, and look at the service's log"
                                          : Message(s));
        r.headers.emplace_back("Retry-After", "5");
        return r;
      }
      default:
        if (c_.note) c_.note(Message(s));
        return ErrorReply(500, "a failure of our own; the service's log says more");
    }
  }

  template <typename T>
  HttpReply Told(const absl::StatusOr<T>& row, std::string_view topic, int status = 200) const {
    if (!row.ok()) return Fail(row.status());
    if (c_.changed && !topic.empty()) c_.changed(topic);
    return JsonReply(One(*row), status);
  }

  template <typename T>
  HttpReply Listed(const absl::StatusOr<T>& rows) const {
    return rows.ok() ? Many(*rows) : Fail(rows.status());
  }

  // --- policies ---

  struct Checked {
    respond::Policy policy;
    state::Impact impact;
    TriedPolicy tried;
    bool enforces = false;
  };

  // Reads the text, tries it, and finds the bar that holds for it.
  absl::StatusOr<Checked> Check(const std::string& text, bool try_it) const {
    auto policy = respond::ParsePolicy(text, "policy");
    if (!policy.ok()) return policy.status();
    Checked out{*std::move(policy), {}, {}, false};
    out.enforces = EnforcesAnything(out.policy);
    out.impact.approval_above = out.policy.approval_above;
    auto active = c_.state->ActivePolicy();
    if (!active.ok()) return active.status();
    if (active->has_value()) {
      // One that no longer parses (a newer program wrote it) sets no higher bar than the state's
      // own.
      auto before = respond::ParsePolicy((*active)->text, "policy");
      out.impact.approval_above =
          std::min(out.impact.approval_above,
                   before.ok() ? before->approval_above : c_.state->approval_accounts());
    } else {
      out.impact.approval_above =
          std::min(out.impact.approval_above, c_.state->approval_accounts());
    }
    if (!try_it) return out;
    if (c_.try_policy) {
      auto tried = c_.try_policy(out.policy);
      if (!tried.ok()) return tried.status();
      out.tried = *std::move(tried);
    } else if (out.enforces) {
      return absl::FailedPreconditionError(
          "policy: there is no traffic to try it on here, and it enforces something; without "
          "enforce it can be proposed");
    }
    out.impact.touched = out.enforces ? out.tried.touched : 0;
    return out;
  }

  HttpReply Validate(const HttpRequest& r) const {
    Body b(r, {"text"});
    const std::string text = b.Text("text", true);
    if (!b.ok()) return b.Error();
    auto checked = Check(text, false);
    Out o;
    o.Object().Bool("valid", checked.ok());
    if (!checked.ok()) {
      if (!absl::IsInvalidArgument(checked.status())) return Fail(checked.status());
      o.Array("faults");
      std::string_view rest =
          std::string_view(checked.status().message().data(), checked.status().message().size());
      while (!rest.empty()) {
        const size_t eol = std::min(rest.find('\n'), rest.size());
        (*o).String(rest.substr(0, eol));
        rest.remove_prefix(std::min(rest.size(), eol + 1));
      }
      return JsonReply(o.EndArray().End().Done());
    }
    o.Array("faults")
        .EndArray()
        .Text("name", checked->policy.name)
        .Text("meaning", checked->policy.Version());
    o.Bool("enforces", checked->enforces).Int("approval_above", checked->impact.approval_above);
    o.Text("canonical", checked->policy.Canonical()).End();
    return JsonReply(o.Done());
  }

  HttpReply DryRun(const HttpRequest& r) const {
    Body b(r, {"text"});
    const std::string text = b.Text("text", true);
    if (!b.ok()) return b.Error();
    auto checked = Check(text, true);
    if (!checked.ok()) return Fail(checked.status());
    Out o;
    o.Object()
        .Text("meaning", checked->policy.Version())
        .Bool("enforces", checked->enforces)
        .Int("touched", checked->impact.touched);
    o.Int("approval_above", checked->impact.approval_above)
        .Bool("needs_approval", checked->impact.touched > checked->impact.approval_above)
        .End();
    std::string out = o.Done();
    Out::Splice("report", checked->tried.report, &out);
    return JsonReply(out);
  }

  HttpReply Propose(const HttpRequest& r) const {
    Body b(r, {"text", "note"});
    const std::string text = b.Text("text", true), note = b.Text("note");
    if (!b.ok()) return b.Error();
    auto checked = Check(text, true);
    if (!checked.ok()) return Fail(checked.status());
    return Told(c_.state->Propose(text, checked->impact, note, r.principal->name), "policy", 201);
  }

  absl::StatusOr<int64_t> Version(const HttpRequest& r) const {
    return Number(r.Param("version"), "version");
  }

  static absl::StatusOr<int64_t> Number(std::string_view text, std::string_view what) {
    int64_t v = 0;
    for (const char ch : text) {
      if (ch < '0' || ch > '9' || v > (int64_t{1} << 52))
        return absl::InvalidArgumentError(StrCat(what, ": expected a number"));
      v = v * 10 + (ch - '0');
    }
    return v;
  }

  // The impact of a stored version, counted again.
  absl::StatusOr<state::Impact> Recount(int64_t version) const {
    auto policy = c_.state->GetPolicy(version);
    if (!policy.ok()) return policy.status();
    auto checked = Check(policy->text, true);
    if (!checked.ok()) return checked.status();
    return checked->impact;
  }

  HttpReply Approve(const HttpRequest& r) const {
    Body b(r, {"revision", "note"});
    const int64_t revision = b.Int("revision", true);
    const std::string note = b.Text("note");
    if (!b.ok()) return b.Error();
    auto version = Version(r);
    if (!version.ok()) return Fail(version.status());
    auto impact = Recount(*version);
    if (!impact.ok()) return Fail(impact.status());
    return Told(c_.state->Approve(*version, revision, impact->touched, note, r.principal->name),
                "policy");
  }

  HttpReply Activate(const HttpRequest& r) const {
    Body b(r, {"expected_active", "note"});
    const int64_t expected = b.Int("expected_active", true);
    const std::string note = b.Text("note");
    if (!b.ok()) return b.Error();
    auto version = Version(r);
    if (!version.ok()) return Fail(version.status());
    auto impact = Recount(*version);
    if (!impact.ok()) return Fail(impact.status());
    return Told(c_.state->Activate(*version, expected, *impact, note, r.principal->name), "policy");
  }

  HttpReply Withdraw(const HttpRequest& r) const {
    Body b(r, {"revision"});
    const int64_t revision = b.Int("revision", true);
    if (!b.ok()) return b.Error();
    auto version = Version(r);
    if (!version.ok()) return Fail(version.status());
    return Told(c_.state->Withdraw(*version, revision, r.principal->name), "policy");
  }

  HttpReply Rollback(const HttpRequest& r) const {
    Body b(r, {"expected_active", "note"});
    const int64_t expected = b.Int("expected_active", true);
    const std::string note = b.Text("note");
    if (!b.ok()) return b.Error();
    auto back = c_.state->Rollback(expected, note, r.principal->name);
    HttpReply reply = Told(back, "policy");
    if (back.ok() && back->version == 0) reply.body = kNoPolicy;
    return reply;
  }

  HttpReply GetPolicy(const HttpRequest& r) const {
    auto version = Version(r);
    if (!version.ok()) return Fail(version.status());
    return Told(c_.state->GetPolicy(*version), "");
  }

  HttpReply Active(const HttpRequest&) const {
    auto active = c_.state->ActivePolicy();
    if (!active.ok()) return Fail(active.status());
    return JsonReply(active->has_value() ? One(**active) : std::string(kNoPolicy));
  }

  // --- appeals ---

  // Who a reference was given to: the decision that carried it is in the audit log.
  absl::Status Find(const std::string& ref, std::string* account, std::string* campaign,
                    bool* found) const {
    *found = false;
    audit::AuditFilter filter;
    filter.contains = StrCat(R"("appeal_ref":")", ref, "\"");
    uint64_t before = 0;
    for (uint64_t looked = 0; looked < kAppealScanBytes; looked += 256 << 20) {
      auto page = audit::ReadAudit(c_.audit->dir(), filter, before, 1);
      if (!page.ok()) return page.status();
      for (const std::string& line : page->lines) {
        simdjson::dom::parser parser;
        simdjson::dom::element e;
        std::string_view text;
        if (parser.parse(line).get(e) != simdjson::SUCCESS) continue;
        if (e["details"]["account_id"].get(text) == simdjson::SUCCESS) *account = text;
        if (e["details"]["campaign"].get(text) == simdjson::SUCCESS) *campaign = text;
        *found = true;
        return absl::OkStatus();
      }
      before = page->next;
      if (before == 0) break;
    }
    return absl::OkStatus();
  }

  // As the reference is written, whatever case and separators somebody read out.
  static absl::StatusOr<std::string> Ref(std::string_view text) {
    const uint64_t appeal = respond::ParseAppeal(text);
    if (appeal == 0)
      return absl::InvalidArgumentError(
          "ref: expected a reference like SW-4XK2P-9M7RD-3TZ0, as the refusal quoted it");
    return respond::AppealText(appeal);
  }

  HttpReply OpenAppeal(const HttpRequest& r) const {
    Body b(r, {"ref", "account_id", "message"});
    const std::string text = b.Text("ref", true), message = b.Text("message");
    std::string account = b.Text("account_id");
    if (!b.ok()) return b.Error();
    auto ref = Ref(text);
    if (!ref.ok()) return Fail(ref.status());
    (void)c_.audit->Flush();  // a decision of this moment may still wait to be written
    std::string known, campaign;
    bool found = false;
    if (absl::Status s = Find(*ref, &known, &campaign, &found); !s.ok()) return Fail(s);
    if (found && !account.empty() && !known.empty() && known != account)
      return ErrorReply(409, StrCat("ref: ", *ref, " was given to another account"));
    if (account.empty()) account = known;
    if (account.empty()) {
      return ErrorReply(
          found ? 400 : 404,
          found
              ? StrCat("account_id: the request with ", *ref, " named no account; say which it is")
              : StrCat("ref: no decision with ", *ref,
                       " is in the audit log; give account_id to open it all the same"));
    }
    return Told(c_.state->OpenAppeal(*ref, account, campaign, message, r.principal->name), "", 201);
  }

  HttpReply DecideAppeal(const HttpRequest& r, bool overturn) const {
    Body b = overturn ? Body(r, {"revision", "reason", "campaign_only"})
                      : Body(r, {"revision", "reason"});
    const int64_t revision = b.Int("revision", true);
    const std::string reason = b.Text("reason", true);
    const bool narrow = overturn && b.Bool("campaign_only");
    if (!b.ok()) return b.Error();
    auto ref = Ref(r.Param("ref"));
    if (!ref.ok()) return Fail(ref.status());
    const auto ruling = !overturn ? State::Ruling::kUphold
                        : narrow  ? State::Ruling::kOverturnCampaign
                                  : State::Ruling::kOverturn;
    return Told(c_.state->DecideAppeal(*ref, revision, ruling, reason, r.principal->name),
                "appeals");
  }

  HttpReply GetAppeal(const HttpRequest& r) const {
    auto ref = Ref(r.Param("ref"));
    if (!ref.ok()) return Fail(ref.status());
    return Told(c_.state->GetAppeal(*ref), "");
  }

  // --- pages ---

  static absl::StatusOr<state::Page> PageOf(const HttpRequest& r) {
    state::Page page;
    for (const auto& [key, out] :
         {std::pair<const char*, size_t*>{"offset", &page.offset}, {"limit", &page.limit}}) {
      auto n = NumberOf(r, key, *out);
      if (!n.ok()) return n.status();
      *out = *n;
    }
    return page;
  }

  template <typename F>
  HttpReply Paged(const HttpRequest& r, F read) const {
    const auto page = PageOf(r);
    if (!page.ok()) return Fail(page.status());
    auto rows = read(*page);
    return rows.ok() ? Many(*rows) : Fail(rows.status());
  }

  // --- campaigns ---

  HttpReply Campaigns(const HttpRequest& r) const {
    State::CampaignQuery q;
    for (const auto& [key, out] : {std::pair<const char*, std::string*>{"status", &q.status},
                                   {"verdict", &q.verdict},
                                   {"disposition", &q.disposition},
                                   {"capability", &q.capability},
                                   {"text", &q.text},
                                   {"owner", &q.owner},
                                   {"account_id", &q.account_id},
                                   {"sort", &q.sort}}) {
      if (auto v = r.Query(key)) *out = *v;
    }
    if (q.status == "all") q.status.clear();
    q.ascending = r.Query("order").value_or("desc") == "asc";
    if (auto p = r.Query("probability_min"); p && !p->empty()) {
      char* end = nullptr;
      q.probability_min = std::strtod(p->c_str(), &end);
      if (*end != 0 || !std::isfinite(q.probability_min))
        return ErrorReply(400, "probability_min: expected a number from 0 to 1");
    }
    if (auto t = r.Query("changed_since"); t && !t->empty()) {
      auto ms = base::ParseRfc3339(*t);
      if (!ms) return ErrorReply(400, "changed_since: expected a time like 2026-12-31T00:00:00Z");
      q.changed_since_ms = *ms;
    }
    return Paged(r, [&](state::Page page) { return c_.state->ListCampaigns(q, page); });
  }

  HttpReply Campaign(const HttpRequest& r) const {
    auto c = c_.state->GetCampaign(r.Param("id"));
    if (!c.ok()) return Fail(c.status());
    std::string out = One(*c);
    Out::Splice("finding", c->json, &out);
    return JsonReply(out);
  }

  HttpReply Events(const HttpRequest& r) const {
    const auto page = PageOf(r);
    if (!page.ok()) return Fail(page.status());
    auto events = c_.state->CampaignEvents(r.Param("id"), *page);
    if (!events.ok()) return Fail(events.status());
    std::vector<std::string> rows;
    for (const auto& e : events->rows) {
      Out o;
      o.Object()
          .Int("id", e.id)
          .Text("campaign_id", e.campaign_id)
          .Time("at", e.ms)
          .Int("pass", e.pass)
          .Text("kind", e.kind)
          .End();
      Out::Splice("details", e.details, &rows.emplace_back(o.Done()));
    }
    return ManySpliced(events->total, rows);
  }

  HttpReply Passes(const HttpRequest& r) const {
    const auto page = PageOf(r);
    if (!page.ok()) return Fail(page.status());
    auto passes = c_.state->Passes(*page);
    if (!passes.ok()) return Fail(passes.status());
    std::vector<std::string> rows;
    for (const auto& p : passes->rows) {
      Out o;
      o.Object()
          .Int("id", p.id)
          .Time("began_at", p.began_ms)
          .Time("ended_at", p.ended_ms)
          .Time("since", p.since_ms)
          .Time("until", p.until_ms)
          .End();
      Out::Splice("details", p.details, &rows.emplace_back(o.Done()));
    }
    return ManySpliced(passes->total, rows);
  }

  HttpReply Dispose(const HttpRequest& r) const {
    Body b(r, {"expected", "value", "look_alike", "reason", "note"});
    state::Disposition d;
    d.campaign_id = r.Param("id");
    const int64_t expected = b.Int("expected", true);
    d.value = b.Text("value", true), d.look_alike = b.Text("look_alike"),
    d.reason = b.Text("reason", true), d.note = b.Text("note");
    d.person = r.principal->name;
    if (!b.ok()) return b.Error();
    return Told(c_.state->Dispose(std::move(d), expected), "dispositions");
  }

  HttpReply Take(const HttpRequest& r) const {
    Body b(r, {"expected_owner", "owner"});
    const std::string expected = b.Text("expected_owner"), owner = b.Text("owner");
    if (!b.ok()) return b.Error();
    return Told(c_.state->TakeCampaign(r.Param("id"), expected, owner, r.principal->name),
                "campaigns");
  }

  HttpReply Precision(const HttpRequest&) const {
    auto all = c_.state->CurrentDispositions();
    if (!all.ok()) return Fail(all.status());
    return JsonReply(state::PrecisionJson(state::PrecisionOf(*all)));
  }

  HttpReply Account(const HttpRequest& r) const {
    const std::string id(r.Param("id"));
    State::CampaignQuery q;
    q.status.clear();
    q.account_id = id;
    auto campaigns = c_.state->ListCampaigns(q, {0, 100});
    if (!campaigns.ok()) return Fail(campaigns.status());
    auto attestations = c_.state->GetAttestations(id);
    if (!attestations.ok()) return Fail(attestations.status());
    auto appeals = c_.state->ListAppeals("", id, {0, 100});
    if (!appeals.ok()) return Fail(appeals.status());
    Out o;
    o.Object().Text("account_id", id).Array("campaigns");
    for (const auto& c : campaigns->rows) Write(o, c);
    o.EndArray().Array("attestations");
    for (const auto& a : *attestations) Write(o, a);
    o.EndArray().Array("appeals");
    for (const auto& a : appeals->rows) Write(o, a);
    return JsonReply(o.EndArray().End().Done());
  }

  // --- tokens, attestations, lists ---

  HttpReply CreateToken(const HttpRequest& r) const {
    Body b(r, {"person", "label", "roles", "expires_at"});
    const std::string person = b.Text("person", true), label = b.Text("label");
    const std::vector<std::string> names = b.Texts("roles");
    const int64_t expires = b.Time("expires_at");
    if (!b.ok()) return b.Error();
    state::Roles roles = 0;
    for (const std::string& n : names) {
      const state::Roles role = state::ParseRole(n);
      if (role == 0)
        return ErrorReply(400,
                          StrCat("roles: there is no ", n.substr(0, 64),
                                 "; there are ingest, decide, analyst, approver, admin, share"));
      roles |= role;
    }
    auto made = c_.state->CreateToken(person, label, roles, expires, r.principal->name);
    if (!made.ok()) return Fail(made.status());
    if (c_.changed) c_.changed("tokens");
    std::string out = One(made->info), token;
    base::AppendJsonString(made->token, &token);
    Out::Splice("token", token, &out);
    HttpReply reply = JsonReply(out, 201);
    reply.headers.emplace_back("Cache-Control", "no-store");
    return reply;
  }

  HttpReply PutAttestations(const HttpRequest& r) const {
    Body b(r, {"attestations"});
    std::vector<state::Attestation> rows;
    for (auto o :
         b.Objects("attestations", {"account_id", "kind", "value", "valid_until", "source"})) {
      rows.push_back({b.TextOf(o, "account_id", true), b.TextOf(o, "kind", true),
                      b.TextOf(o, "value", true), b.TimeOf(o, "valid_until"),
                      b.TextOf(o, "source", true), "", 0});
    }
    if (!b.ok()) return b.Error();
    if (absl::Status s = c_.state->PutAttestations(rows, r.principal->name); !s.ok())
      return Fail(s);
    if (c_.changed) c_.changed("attestations");
    return JsonReply(StrCat(R"({"stored":)", rows.size(), "}"));
  }

  HttpReply RemoveAttestation(const HttpRequest& r) const {
    if (absl::Status s =
            c_.state->RemoveAttestation(r.Param("id"), r.Param("kind"), r.principal->name);
        !s.ok())
      return Fail(s);
    if (c_.changed) c_.changed("attestations");
    return JsonReply("{\"removed\":true}");
  }

  HttpReply Lists(const HttpRequest&) const {
    auto lists = c_.state->Lists();
    if (!lists.ok()) return Fail(lists.status());
    Out o;
    o.Object().Int("total", lists->size()).Array("rows");
    for (const auto& l : *lists)
      o.Object().Text("name", l.name).Int("revision", l.revision).Int("entries", l.entries).End();
    return JsonReply(o.EndArray().End().Done());
  }

  // One range or organisation may be many accounts: such entries are tried on the last day of
  // traffic as the active policy uses their list. What cannot be counted needs a second person.
  absl::StatusOr<state::Impact> ImpactOf(const state::ListChange& change) const {
    state::Impact impact{0, c_.state->approval_accounts()};
    auto active = c_.state->ActivePolicy();
    if (!active.ok()) return active.status();
    respond::Policy policy;
    if (active->has_value()) {
      auto parsed = respond::ParsePolicy((*active)->text, "policy");
      if (parsed.ok()) policy = *std::move(parsed);
      impact.approval_above = std::min(impact.approval_above, policy.approval_above);
    }
    respond::Policy alone;
    for (const respond::List& l : policy.lists)
      if (l.name == change.list) alone.lists = {l};
    if (alone.lists.empty() || alone.lists[0].kind == respond::ListKind::kAllow) return impact;
    respond::List& list = alone.lists[0];
    list.entries.clear();
    for (const auto& e : change.put) {
      auto entry = respond::ParseListEntry(e.value);
      if (entry && entry->kind != respond::EntryKind::kAccount &&
          entry->kind != respond::EntryKind::kKey)
        list.entries.push_back(*std::move(entry));
    }
    if (list.entries.empty()) return impact;
    impact.touched = impact.approval_above + 1;
    if (list.kind != respond::ListKind::kDeny || !c_.try_policy) return impact;
    if (!list.enforce) {
      impact.touched = 0;  // it is tried when a policy enforces it
      return impact;
    }
    list.name = "list change";  // so that what is on the list already does not count
    alone.name = list.name;
    alone.lockout_share_max = policy.lockout_share_max;
    auto tried = c_.try_policy(alone);
    if (absl::IsFailedPrecondition(tried.status())) return tried.status();
    if (tried.ok()) impact.touched = tried->touched;
    return impact;
  }

  HttpReply ChangeList(const HttpRequest& r) const {
    Body b(r, {"expected", "put", "remove"});
    state::ListChange change;
    change.list = r.Param("name");
    const int64_t expected = b.Int("expected", true);
    for (auto o : b.Objects("put", {"value", "reason", "expires_at"}))
      change.put.push_back({b.TextOf(o, "value", true), b.TextOf(o, "reason", true),
                            b.TimeOf(o, "expires_at"), "", 0});
    change.remove = b.Texts("remove");
    if (!b.ok()) return b.Error();
    for (const auto& e : change.put) {
      const std::string_view v = e.value;
      const size_t colon = v.find(':');
      const std::string_view kind = v.substr(0, colon);
      const bool known = colon != std::string_view::npos && colon + 1 < v.size() &&
                         (kind == "account" || kind == "key" || kind == "org" ||
                          (kind == "address" && respond::ParseAddressRange(v.substr(colon + 1))));
      if (!known)
        return ErrorReply(
            400, StrCat("value: ", v.substr(0, 80),
                        ": expected account:ID, key:ID, org:ID or address:198.51.100.0/24"));
    }
    auto impact = ImpactOf(change);
    if (!impact.ok()) return Fail(impact.status());
    auto p = c_.state->ChangeList(change, expected, *impact, r.principal->name);
    return Told(p, "lists", p.ok() && p->status == "proposed" ? 202 : 200);
  }

  HttpReply DecideListChange(const HttpRequest& r, bool approve) const {
    auto id = Number(r.Param("id"), "id");
    if (!id.ok()) return Fail(id.status());
    return Told(c_.state->DecideListChange(*id, approve, r.principal->name), "lists");
  }

  // --- what others shared ---

  HttpReply GradeSource(const HttpRequest& r) const {
    Body b(r, {"reliability", "note"});
    const std::string grade = b.Text("reliability", true), note = b.Text("note");
    if (!b.ok()) return b.Error();
    if (grade.size() != 1)
      return ErrorReply(400, "reliability: expected A (reliable) to F (cannot be judged)");
    return Told(c_.state->GradeSource(r.Param("name"), grade[0], note, r.principal->name),
                "imports");
  }

  HttpReply RevokeImports(const HttpRequest& r) const {
    Body b(r, {"id"});
    const std::string id = b.Text("id");
    if (!b.ok()) return b.Error();
    auto n = c_.state->RevokeImports(r.Param("name"), id, r.principal->name);
    if (!n.ok()) return Fail(n.status());
    if (c_.changed) c_.changed("imports");
    return JsonReply(StrCat(R"({"revoked":)", *n, "}"));
  }

  HttpReply PermitUsage(const HttpRequest&) const {
    auto used = c_.state->PermitUsage();
    if (!used.ok()) return Fail(used.status());
    Out o;
    o.Object().Int("total", used->size()).Array("rows");
    for (const auto& [id, n] : *used) o.Object().Text("permit_id", id).Int("used", n).End();
    return JsonReply(o.EndArray().End().Done());
  }

  // --- audit, the rest ---

  HttpReply Audit(const HttpRequest& r) const {
    audit::AuditFilter f{r.Query("action").value_or(""), r.Query("subject").value_or(""),
                         r.Query("actor").value_or(""), ""};
    auto before = NumberOf(r, "before", 0), limit = NumberOf(r, "limit", 50);
    if (!before.ok()) return Fail(before.status());
    if (!limit.ok()) return Fail(limit.status());
    if (*limit == 0 || *limit > state::kPageRows)
      return ErrorReply(400, StrCat("limit: expected 1 to ", state::kPageRows));
    auto page = audit::ReadAudit(c_.audit->dir(), f, *before, *limit);
    if (!page.ok()) return Fail(page.status());
    std::string out = R"({"records":[)";
    for (size_t i = 0; i < page->lines.size(); ++i)
      base::StrAppend(&out, i == 0 ? "" : ",", page->lines[i]);
    base::StrAppend(&out, R"(],"next_before":)", page->next, "}");
    return JsonReply(out);
  }

  HttpReply Head(const HttpRequest&) const {
    const audit::AuditHead head = c_.audit->Head();
    const audit::AuditStats s = c_.audit->Stats();
    Out o;
    o.Object()
        .Int("seq", head.seq)
        .Text("hash", head.hash)
        .Int("dropped", s.dropped)
        .Int("queued", s.queued)
        .End();
    return JsonReply(o.Done());
  }

  HttpReply Verify(const HttpRequest& r) const {
    Body b(r, {"anchors"});
    const std::vector<std::string> anchors = b.Texts("anchors");
    if (!b.ok()) return b.Error();
    audit::VerifyOptions options;
    for (const std::string& a : anchors) {
      auto head = audit::ParseAnchor(a);
      if (!head.ok()) return Fail(head.status());
      options.anchors.push_back(*head);
    }
    if (absl::Status s = c_.audit->Flush(); !s.ok()) return Fail(s);
    auto report = audit::VerifyAudit(c_.audit->dir(), options);
    if (!report.ok()) return Fail(report.status());
    Out o;
    o.Object()
        .Bool("ok", report->ok())
        .Int("segments", report->segments)
        .Int("records", report->records);
    o.Text("head", StrCat(report->head.seq, ":", report->head.hash))
        .Int("signed_through", report->signed_through);
    o.Text("signed_by", report->signed_by)
        .Int("findings_total", report->findings_total)
        .Array("findings");
    for (const auto& f : report->findings)
      o.Object()
          .Text("segment", f.segment)
          .Int("line", f.line)
          .Int("offset", f.offset)
          .Int("seq", f.seq)
          .Text("what", f.what)
          .End();
    o.EndArray().Texts("notes", report->notes).End();
    return JsonReply(o.Done());
  }

  // Directives and permits of the policy in force, with what was used of each permit.
  HttpReply Directives(const HttpRequest&) const {
    auto active = c_.state->ActivePolicy();
    if (!active.ok()) return Fail(active.status());
    auto used = c_.state->PermitUsage();
    if (!used.ok()) return Fail(used.status());
    respond::Policy policy;
    Out o;
    o.Object();
    if (active->has_value()) {
      auto parsed = respond::ParsePolicy((*active)->text, "policy");
      if (!parsed.ok()) return Fail(parsed.status());
      policy = *std::move(parsed);
      o.Text("source", "state").Int("version", (*active)->version);
    } else {
      if (c_.file_policy) policy = c_.file_policy();
      o.Text("source", c_.file_policy ? "file" : "none").Int("version", 0);
    }
    const auto until = [](int64_t ms) { return ms == respond::kNever ? 0 : ms; };
    o.Text("name", policy.name).Time("now", c_.now_ms()).Array("directives");
    for (const respond::Directive& d : policy.directives) {
      o.Object()
          .Text("id", d.id)
          .Text("basis", d.basis)
          .Texts("models", d.models)
          .Time("effective_from", d.from_ms == INT64_MIN ? 0 : d.from_ms)
          .Time("effective_until", until(d.until_ms))
          .Array("require");
      for (const respond::Requirement& q : d.require)
        o.Object().Text("key", q.key).Texts("values", q.values).End();
      o.EndArray().Array("proof");
      for (int k = 0; k < respond::kKycs; ++k)
        if (d.proof >> k & 1) (*o).String(respond::KycName(respond::Kyc(k)));
      static constexpr const char* kUnknown[] = {"allow", "verify", "deny"};
      o.EndArray()
          .Texts("lists", d.lists)
          .Text("unknown", kUnknown[int(d.unknown)])
          .Text("action", respond::ActionName(d.action))
          .Bool("enforce", d.enforce)
          .End();
    }
    o.EndArray().Array("permits");
    for (const model::Permit& p : policy.permits) {
      const auto it = used->find(p.id);
      o.Object()
          .Text("id", p.id)
          .Text("org_id", p.org_id)
          .Int("accounts", p.account_ids.size())
          .Texts("models", p.models)
          .Int("exchanges_max", p.exchanges_max)
          .Int("used", it == used->end() ? 0 : it->second)
          .Time("valid_from", p.valid_from_ms == INT64_MIN ? 0 : p.valid_from_ms)
          .Time("valid_until", until(p.valid_until_ms))
          .End();
    }
    return JsonReply(o.EndArray().End().Done());
  }

  // Decisions since the service started: what was done beside what would have been.
  HttpReply Decisions(const HttpRequest&) const {
    Out o;
    o.Object().Array("rows");
    if (c_.decisions)
      for (const DecisionCount& d : c_.decisions())
        o.Object()
            .Text("action", d.action)
            .Text("reason", d.reason)
            .Bool("shadow", d.shadow)
            .Int("count", d.count)
            .End();
    return JsonReply(o.EndArray().End().Done());
  }

  HttpReply Changes(const HttpRequest&) const {
    auto c = c_.state->GetChanges();
    if (!c.ok()) return Fail(c.status());
    Out o;
    o.Object()
        .Int("policy", c->policy)
        .Int("appeals", c->appeals)
        .Int("lists", c->lists)
        .Int("attestations", c->attestations);
    o.Int("permits", c->permits)
        .Int("tokens", c->tokens)
        .Int("dispositions", c->dispositions)
        .Int("campaigns", c->campaigns)
        .Int("imports", c->imports)
        .End();
    return JsonReply(o.Done());
  }

  HttpReply Me(const HttpRequest& r) const {
    Out o;
    o.Object().Text("person", r.principal->name).Array("roles");
    for (const Role role : {Role::kIngest, Role::kDecide, Role::kAnalyst, Role::kApprover,
                            Role::kAdmin, Role::kShare})
      if (r.principal->Has(role)) (*o).String(RoleName(role));
    return JsonReply(o.EndArray().End().Done());
  }

  HttpReply Codes(const HttpRequest&) const {
    Out o;
    o.Object().Texts("look_alikes", state::LookAlikes()).Texts("reasons", state::Reasons()).End();
    return JsonReply(o.Done());
  }

  const ApiContext& context() const { return c_; }
  Explore& explore() const { return *explore_; }
  Hunts& hunts() const { return *hunts_; }
  Sharing& sharing() const { return *sharing_; }

 private:
  const ApiContext c_;
  const std::unique_ptr<Explore> explore_ = std::make_unique<Explore>(&c_);
  const std::unique_ptr<Hunts> hunts_ = std::make_unique<Hunts>(&c_);
  const std::unique_ptr<Sharing> sharing_ = std::make_unique<Sharing>(&c_);
};

}  // namespace
}  // namespace stillwatch::serve::api

namespace stillwatch::serve {

void AddApiRoutes(Router* router, ApiContext context) {
  using api::Api;
  auto api = std::make_shared<Api>(std::move(context));
  const auto add = [&](const char* method, std::string pattern, Role role, auto handler) {
    Route route;
    route.method = method;
    route.pattern = "/api/v1" + pattern;
    route.role = role;
    route.speed = Speed::kPool;
    route.body_bytes = kApiBodyBytes;
    route.handler = [api, handler](const HttpRequest& r) { return handler(*api, r); };
    router->Add(std::move(route));
  };
  using R = const HttpRequest&;
  constexpr Role kRead = Role::kAnalyst, kWrite = Role::kAnalyst;

  add("GET", "/policies", kRead, [](const Api& a, R r) {
    return a.Paged(r, [&](state::Page p) { return a.context().state->ListPolicies(p); });
  });
  add("POST", "/policies", kWrite, [](const Api& a, R r) { return a.Propose(r); });
  add("POST", "/policies/validate", kWrite, [](const Api& a, R r) { return a.Validate(r); });
  add("POST", "/policies/dry-run", kWrite, [](const Api& a, R r) { return a.DryRun(r); });
  add("POST", "/policies/rollback", kWrite, [](const Api& a, R r) { return a.Rollback(r); });
  add("GET", "/policies/active", kRead, [](const Api& a, R r) { return a.Active(r); });
  add("GET", "/policies/activations", kRead, [](const Api& a, R r) {
    return a.Paged(r, [&](state::Page p) { return a.context().state->ListActivations(p); });
  });
  add("GET", "/policies/{version}", kRead, [](const Api& a, R r) { return a.GetPolicy(r); });
  add("POST", "/policies/{version}/approve", Role::kApprover,
      [](const Api& a, R r) { return a.Approve(r); });
  add("POST", "/policies/{version}/activate", kWrite,
      [](const Api& a, R r) { return a.Activate(r); });
  add("POST", "/policies/{version}/withdraw", kWrite,
      [](const Api& a, R r) { return a.Withdraw(r); });

  add("GET", "/appeals", kRead, [](const Api& a, R r) {
    return a.Paged(r, [&](state::Page p) {
      return a.context().state->ListAppeals(r.Query("status").value_or(""),
                                            r.Query("account_id").value_or(""), p);
    });
  });
  add("POST", "/appeals", kWrite, [](const Api& a, R r) { return a.OpenAppeal(r); });
  add("GET", "/appeals/{ref}", kRead, [](const Api& a, R r) { return a.GetAppeal(r); });
  add("POST", "/appeals/{ref}/uphold", kWrite,
      [](const Api& a, R r) { return a.DecideAppeal(r, false); });
  add("POST", "/appeals/{ref}/overturn", kWrite,
      [](const Api& a, R r) { return a.DecideAppeal(r, true); });

  add("GET", "/campaigns", kRead, [](const Api& a, R r) { return a.Campaigns(r); });
  add("GET", "/campaigns/{id}", kRead, [](const Api& a, R r) { return a.Campaign(r); });
  add("GET", "/campaigns/{id}/members", kRead, [](const Api& a, R r) {
    return a.Paged(
        r, [&](state::Page p) { return a.context().state->CampaignMembers(r.Param("id"), p); });
  });
  add("GET", "/campaigns/{id}/events", kRead, [](const Api& a, R r) { return a.Events(r); });
  add("GET", "/campaigns/{id}/dispositions", kRead, [](const Api& a, R r) {
    return a.Listed(a.context().state->DispositionHistory(r.Param("id")));
  });
  add("POST", "/campaigns/{id}/disposition", kWrite,
      [](const Api& a, R r) { return a.Dispose(r); });
  add("POST", "/campaigns/{id}/owner", kWrite, [](const Api& a, R r) { return a.Take(r); });
  add("GET", "/accounts/{id}", kRead, [](const Api& a, R r) { return a.Account(r); });
  add("GET", "/campaigns/{id}/graph", kRead,
      [](const Api& a, R r) { return a.explore().Graph(r); });
  add("GET", "/campaigns/{id}/graph/nodes", kRead,
      [](const Api& a, R r) { return a.explore().Nodes(r); });
  add("GET", "/accounts/{id}/profile", kRead,
      [](const Api& a, R r) { return a.explore().Profile(r); });
  add("GET", "/compare", kRead, [](const Api& a, R r) { return a.explore().Compare(r); });
  add("GET", "/holders", kRead, [](const Api& a, R r) { return a.explore().Holders(r); });
  add("GET", "/passes", kRead, [](const Api& a, R r) { return a.Passes(r); });

  add("GET", "/dispositions", kRead,
      [](const Api& a, R) { return a.Listed(a.context().state->CurrentDispositions()); });
  add("GET", "/feedback", kRead,
      [](const Api& a, R) { return a.Listed(a.context().state->GetFeedback()); });
  add("GET", "/precision", kRead, [](const Api& a, R r) { return a.Precision(r); });
  add("GET", "/decisions", kRead, [](const Api& a, R r) { return a.Decisions(r); });
  add("GET", "/ingest", kRead, [](const Api& a, R) {
    return a.context().ingest ? JsonReply(a.context().ingest())
                              : ErrorReply(404,
                                           "Nothing is taken in here: these are the findings "
                                           "of one scan.");
  });
  add("GET", "/codes", kRead, [](const Api& a, R r) { return a.Codes(r); });

  add("GET", "/tokens", Role::kAdmin,
      [](const Api& a, R) { return a.Listed(a.context().state->ListTokens()); });
  add("POST", "/tokens", Role::kAdmin, [](const Api& a, R r) { return a.CreateToken(r); });
  add("POST", "/tokens/{id}/revoke", Role::kAdmin, [](const Api& a, R r) {
    return a.Told(a.context().state->RevokeToken(r.Param("id"), r.principal->name), "tokens");
  });

  add("POST", "/attestations", kWrite, [](const Api& a, R r) { return a.PutAttestations(r); });
  add("GET", "/accounts/{id}/attestations", kRead, [](const Api& a, R r) {
    return a.Listed(a.context().state->GetAttestations(r.Param("id")));
  });
  add("DELETE", "/accounts/{id}/attestations/{kind}", kWrite,
      [](const Api& a, R r) { return a.RemoveAttestation(r); });

  add("GET", "/lists", kRead, [](const Api& a, R r) { return a.Lists(r); });
  add("GET", "/lists/{name}", kRead, [](const Api& a, R r) {
    return a.Paged(r, [&](state::Page p) {
      return a.context().state->ReadList(r.Param("name"), r.Query("prefix").value_or(""), p);
    });
  });
  add("POST", "/lists/{name}", kWrite, [](const Api& a, R r) { return a.ChangeList(r); });
  add("GET", "/list-changes", kRead, [](const Api& a, R r) {
    return a.Paged(r, [&](state::Page p) {
      return a.context().state->ListProposals(r.Query("status").value_or(""), p);
    });
  });
  add("POST", "/list-changes/{id}/approve", Role::kApprover,
      [](const Api& a, R r) { return a.DecideListChange(r, true); });
  add("POST", "/list-changes/{id}/reject", kWrite,
      [](const Api& a, R r) { return a.DecideListChange(r, false); });
  add("GET", "/directives", kRead, [](const Api& a, R r) { return a.Directives(r); });
  add("GET", "/permits/usage", kRead, [](const Api& a, R r) { return a.PermitUsage(r); });

  add("GET", "/sharing/preview", kRead, [](const Api& a, R r) { return a.sharing().Preview(r); });
  add("GET", "/sharing/exports", kRead, [](const Api& a, R r) { return a.sharing().List(r); });
  add("POST", "/sharing/exports", kWrite, [](const Api& a, R r) { return a.sharing().Propose(r); });
  add("POST", "/sharing/exports/{id}/approve", Role::kApprover,
      [](const Api& a, R r) { return a.sharing().Decide(r, true); });
  add("POST", "/sharing/exports/{id}/reject", kWrite,
      [](const Api& a, R r) { return a.sharing().Decide(r, false); });
  add("GET", "/sharing/exports/{id}/file", kRead,
      [](const Api& a, R r) { return a.sharing().File(r); });
  add("POST", "/sharing/exports/{id}/revoke", kWrite,
      [](const Api& a, R r) { return a.sharing().Revoke(r); });

  add("POST", "/hunt", kRead, [](const Api& a, R r) { return a.hunts().Run(r); });
  add("GET", "/hunt/answers/{id}", kRead, [](const Api& a, R r) { return a.hunts().Page(r); });
  add("GET", "/hunt/schema", kRead, [](const Api& a, R r) { return a.hunts().Schema(r); });
  add("GET", "/hunt/queries", kRead, [](const Api& a, R r) { return a.hunts().Saved(r); });
  add("POST", "/hunt/queries/{name}", kWrite, [](const Api& a, R r) { return a.hunts().Save(r); });
  add("GET", "/sharing/sources", kRead, [](const Api& a, R r) {
    return a.Paged(r, [&](state::Page p) { return a.context().state->ListImportSources(p); });
  });
  add("POST", "/sharing/sources/{name}", kWrite,
      [](const Api& a, R r) { return a.GradeSource(r); });
  add("POST", "/sharing/sources/{name}/revoke", kWrite,
      [](const Api& a, R r) { return a.RevokeImports(r); });
  add("GET", "/sharing/sightings", kRead, [](const Api& a, R r) {
    return a.Paged(r, [&](state::Page p) {
      return a.context().state->ListSightings(r.Query("source").value_or(""), p);
    });
  });
  add("GET", "/sharing/imports", kRead, [](const Api& a, R r) {
    return a.Paged(r, [&](state::Page p) {
      return a.context().state->ListImports(
          {r.Query("source").value_or(""), r.Query("type").value_or(""),
           r.Query("campaign").value_or(""), r.Query("status").value_or("")},
          p);
    });
  });

  add("GET", "/audit", kRead, [](const Api& a, R r) { return a.Audit(r); });
  add("GET", "/audit/head", kRead, [](const Api& a, R r) { return a.Head(r); });
  add("POST", "/audit/verify", kRead, [](const Api& a, R r) { return a.Verify(r); });
  add("GET", "/changes", kRead, [](const Api& a, R r) { return a.Changes(r); });
  add("GET", "/me", kRead, [](const Api& a, R r) { return a.Me(r); });
  add("GET", "/openapi.yaml", kRead, [](const Api&, R) {
    HttpReply reply = JsonReply(std::string(api::kOpenApi[0].text));
    reply.content_type = "application/yaml";
    return reply;
  });
}

}  // namespace stillwatch::serve
