#include "serve/api/rows.h"

#include "base/str.h"

namespace stillwatch::serve::api {

using base::StrCat;

void Write(Out& o, const state::Policy& p, bool text) {
  o.Object()
      .Int("version", p.version)
      .Int("revision", p.revision)
      .Text("status", p.status)
      .Text("hash", p.hash)
      .Text("note", p.note);
  o.Int("touched", p.touched)
      .Bool("needs_approval", p.needs_approval)
      .Text("proposed_by", p.proposed_by)
      .Time("proposed_at", p.proposed_ms);
  o.Text("activated_by", p.activated_by).Time("activated_at", p.activated_ms).Array("approvals");
  for (const auto& a : p.approvals) {
    o.Object()
        .Text("person", a.person)
        .Text("note", a.note)
        .Time("at", a.ms)
        .Int("touched", a.touched)
        .End();
  }
  o.EndArray();
  if (text) o.Text("text", p.text);
  o.End();
}

void Write(Out& o, const state::Activation& a) {
  o.Object()
      .Int("id", a.id)
      .Int("version", a.version)
      .Text("kind", a.kind)
      .Text("person", a.person)
      .Time("at", a.ms)
      .Text("note", a.note)
      .End();
}

void Write(Out& o, const state::Appeal& a) {
  o.Object()
      .Text("ref", a.ref)
      .Int("revision", a.revision)
      .Text("status", a.status)
      .Text("account_id", a.account_id);
  o.Text("campaign_id", a.campaign_id)
      .Text("message", a.message)
      .Text("opened_by", a.opened_by)
      .Time("opened_at", a.opened_ms);
  o.Text("decided_by", a.decided_by)
      .Time("decided_at", a.decided_ms)
      .Text("reason", a.reason)
      .End();
}

void Write(Out& o, const state::Disposition& d) {
  o.Object()
      .Text("campaign_id", d.campaign_id)
      .Int("revision", d.revision)
      .Text("value", d.value)
      .Text("look_alike", d.look_alike);
  o.Text("reason", d.reason)
      .Text("note", d.note)
      .Text("person", d.person)
      .Time("at", d.ms)
      .Text("finding_id", d.finding_id);
  o.Texts("families", d.families).Text("verdict", d.verdict);
  (*o).Key("probability");
  if (d.probability < 0)
    (*o).Null();
  else
    (*o).Double(d.probability);
  o.Real("bits", d.bits).Int("exchanges", d.exchanges).End();
}

void Write(Out& o, const state::Feedback& f) {
  o.Object()
      .Text("source", f.source)
      .Text("campaign_id", f.campaign_id)
      .Text("account_id", f.account_id)
      .Text("label", f.label);
  o.Text("look_alike", f.look_alike)
      .Text("reason", f.reason)
      .Text("person", f.person)
      .Texts("families", f.families)
      .Time("at", f.ms)
      .End();
}

void Write(Out& o, const state::ImportSource& s) {
  o.Object()
      .Text("name", s.name)
      .Text("reliability", std::string_view(&s.reliability, 1))
      .Text("note", s.note)
      .Text("graded_by", s.graded_by)
      .Time("graded_at", s.graded_ms)
      .Time("first_import", s.first_ms)
      .Time("last_import", s.last_ms);
  o.Int("indicators", s.indicators)
      .Int("active", s.active)
      .Int("expired", s.expired)
      .Int("revoked", s.revoked)
      .Int("campaigns", s.campaigns)
      .Int("right", s.right)
      .Int("wrong", s.wrong)
      .Int("unsure", s.unsure)
      .End();
}

void Write(Out& o, const state::ImportedSighting& s) {
  o.Object()
      .Text("source", s.source)
      .Text("id", s.id)
      .Text("of", s.of)
      .Int("exchanges", s.exchanges)
      .Time("first_seen", s.first_seen_ms)
      .Time("last_seen", s.last_seen_ms)
      .Time("modified", s.modified_ms)
      .Time("imported_at", s.imported_ms)
      .End();
}

void Write(Out& o, const state::ImportedIndicator& i) {
  o.Object()
      .Text("source", i.source)
      .Text("id", i.id)
      .Text("campaign", i.campaign)
      .Text("type", i.type)
      .Text("value", i.value)
      .Bool("blinded", i.blinded)
      .Text("tlp", i.tlp)
      .Text("reliability", std::string_view(&i.reliability, 1))
      .Int("credibility", i.credibility);
  o.Time("modified", i.modified_ms)
      .Time("valid_from", i.valid_from_ms)
      .Time("valid_until", i.valid_until_ms == INT64_MAX ? 0 : i.valid_until_ms)
      .Time("imported_at", i.imported_ms)
      .Text("imported_by", i.imported_by)
      .Time("revoked_at", i.revoked_ms)
      .Text("revoked_by", i.revoked_by)
      .Int("hits", i.hits)
      .End();
}

void Write(Out& o, const state::TokenInfo& t) {
  o.Object().Text("id", t.id).Text("person", t.person).Text("label", t.label).Array("roles");
  for (const auto role : {state::kIngest, state::kDecide, state::kAnalyst, state::kApprover,
                          state::kAdmin, state::kShare})
    if (t.roles & role) (*o).String(state::RoleName(role));
  o.EndArray()
      .Time("created_at", t.created_ms)
      .Text("created_by", t.created_by)
      .Time("expires_at", t.expires_ms);
  o.Time("revoked_at", t.revoked_ms).Text("revoked_by", t.revoked_by).End();
}

void Write(Out& o, const state::Attestation& a) {
  o.Object()
      .Text("account_id", a.account_id)
      .Text("kind", a.kind)
      .Text("value", a.value)
      .Time("valid_until", a.valid_until_ms);
  o.Text("source", a.source).Text("person", a.person).Time("at", a.ms).End();
}

void Write(Out& o, const state::ListEntry& e) {
  o.Object()
      .Text("value", e.value)
      .Text("reason", e.reason)
      .Time("expires_at", e.expires_ms)
      .Text("person", e.person)
      .Time("at", e.ms)
      .End();
}

void Write(Out& o, const state::ListProposal& p) {
  o.Object()
      .Int("id", p.id)
      .Text("list", p.change.list)
      .Int("base_revision", p.base_revision)
      .Text("status", p.status)
      .Int("entries", p.entries)
      .Int("touched", p.touched);
  o.Text("proposed_by", p.proposed_by)
      .Time("proposed_at", p.proposed_ms)
      .Text("decided_by", p.decided_by)
      .Time("decided_at", p.decided_ms);
  o.Array("put");
  for (const auto& e : p.change.put)
    o.Object()
        .Text("value", e.value)
        .Text("reason", e.reason)
        .Time("expires_at", e.expires_ms)
        .End();
  o.EndArray().Texts("remove", p.change.remove).End();
}

void Write(Out& o, const state::Campaign& c) {
  o.Object()
      .Text("id", c.id)
      .Int("revision", c.revision)
      .Text("finding_id", c.finding_id)
      .Text("name", c.name)
      .Text("status", c.status);
  o.Text("merged_into", c.merged_into)
      .Text("verdict", c.verdict)
      .Real("probability", c.probability)
      .Text("rival", c.rival);
  o.Real("rival_probability", c.rival_probability)
      .Int("accounts", c.accounts)
      .Int("exchanges", c.exchanges);
  o.Int("input_tokens", c.input_tokens)
      .Int("output_tokens", c.output_tokens)
      .Time("first_seen", c.first_seen_ms);
  o.Time("last_seen", c.last_seen_ms)
      .Text("capability", c.capability)
      .Texts("families", c.families)
      .Time("opened_at", c.opened_ms);
  o.Time("changed_at", c.changed_ms)
      .Text("disposition", c.disposition)
      .Int("disposition_revision", c.disposition_revision);
  o.Text("owner", c.owner).End();
}

void Write(Out& o, const state::CampaignMember& m) {
  o.Object()
      .Text("account_id", m.account_id)
      .Text("pool_id", m.pool_id)
      .Text("verdict", m.verdict)
      .Real("probability", m.probability);
  o.Int("exchanges", m.exchanges).Int("attributed", m.attributed).Text("why", m.why).End();
}

HttpReply ManySpliced(uint64_t total, const std::vector<std::string>& rows) {
  std::string out = StrCat(R"({"total":)", total, R"(,"rows":[)");
  for (size_t i = 0; i < rows.size(); ++i) base::StrAppend(&out, i == 0 ? "" : ",", rows[i]);
  return JsonReply(out + "]}");
}

}  // namespace stillwatch::serve::api
