// Campaigns under the identity that they keep, and the passes that found them.
#include <algorithm>

#include "state/impl.h"

namespace stillwatch::state {
namespace {

using base::StrCat;

constexpr const char* kSelect =
    "SELECT id, revision, finding_id, name, status, merged_into, verdict, rival, probability, "
    "rival_probability, accounts, exchanges, "
    "input_tokens, output_tokens, first_seen_ms, last_seen_ms, capability, families, opened_ms, "
    "changed_ms, disposition, "
    "disposition_revision, owner FROM campaigns ";

Campaign CampaignOf(const Query& q) {
  Campaign c;
  c.id = q.Text(0), c.revision = q.Int(1), c.finding_id = q.Text(2), c.name = q.Text(3),
  c.status = q.Text(4), c.merged_into = q.Text(5);
  c.verdict = q.Text(6), c.rival = q.Text(7), c.probability = q.Real(8),
  c.rival_probability = q.Real(9), c.accounts = q.Uint(10);
  c.exchanges = q.Uint(11), c.input_tokens = q.Uint(12), c.output_tokens = q.Uint(13),
  c.first_seen_ms = q.Int(14), c.last_seen_ms = q.Int(15);
  c.capability = q.Text(16), c.families = SplitComma(q.Text(17)), c.opened_ms = q.Int(18),
  c.changed_ms = q.Int(19);
  c.disposition = q.Text(20), c.disposition_revision = q.Int(21), c.owner = q.Text(22);
  return c;
}

absl::Status Load(Db& db, std::string_view id, Campaign* out) {
  {
    const std::string sql = StrCat(kSelect, "WHERE id = ?1");
    Query q(db, sql.c_str(), id);
    if (!q.Row()) {
      SW_RETURN_IF_ERROR(q.status());
      return absl::NotFoundError(StrCat("campaign: there is none with id ", id));
    }
    *out = CampaignOf(q);
  }
  Query q(db, "SELECT json FROM campaign_json WHERE campaign_id = ?1", id);
  if (q.Row()) out->json = q.Text(0);
  return q.status();
}

absl::Status Exists(Db& db, std::string_view id) {
  Query q(db, "SELECT 1 FROM campaigns WHERE id = ?1", id);
  if (q.Row()) return absl::OkStatus();
  SW_RETURN_IF_ERROR(q.status());
  return absl::NotFoundError(StrCat("campaign: there is none with id ", id));
}

// For LIKE with '\' as escape.
std::string Anywhere(std::string_view text) {
  std::string out = "%";
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + "%";
}

}  // namespace

absl::StatusOr<int64_t> State::RecordPass(const PassResult& result) {
  for (const auto& c : result.campaigns) {
    SW_RETURN_IF_ERROR(CheckText("id", c.campaign.id, kNameBytes, true));
    if (c.campaign.status != "current" && c.campaign.status != "merged" &&
        c.campaign.status != "gone")
      return absl::InvalidArgumentError(
          StrCat("campaign ", c.campaign.id, ": status is ", c.campaign.status));
  }
  int64_t id = 0;
  const char* topic = result.campaigns.empty() && result.events.empty() ? "passes" : "campaigns";
  SW_RETURN_IF_ERROR(impl_->Write(topic, "", "", [&](Db& db, audit::AuditRecord*) -> absl::Status {
    const Pass& p = result.pass;
    SW_RETURN_IF_ERROR(Run(db,
                           "INSERT INTO passes (began_ms, ended_ms, since_ms, until_ms, details) "
                           "VALUES (?1, ?2, ?3, ?4, ?5)",
                           p.began_ms, p.ended_ms, p.since_ms, p.until_ms, p.details));
    id = db.last_id();
    SW_RETURN_IF_ERROR(Run(db, "DELETE FROM passes WHERE id <= ?1", id - int64_t{kPassesKept}));
    for (const auto& [c, members_given, members] : result.campaigns) {
      SW_RETURN_IF_ERROR(Run(db,
                             "INSERT INTO campaigns (id, revision, finding_id, name, status, "
                             "merged_into, verdict, rival, probability, "
                             "rival_probability, accounts, exchanges, input_tokens, output_tokens, "
                             "first_seen_ms, last_seen_ms, capability, "
                             "families, opened_ms, changed_ms) VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, "
                             "?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, "
                             "?17, ?18, ?19) ON CONFLICT (id) DO UPDATE SET revision = revision + "
                             "1, finding_id = ?2, name = ?3, status = ?4, "
                             "merged_into = ?5, verdict = ?6, rival = ?7, probability = ?8, "
                             "rival_probability = ?9, accounts = ?10, exchanges = "
                             "?11, input_tokens = ?12, output_tokens = ?13, first_seen_ms = ?14, "
                             "last_seen_ms = ?15, capability = ?16, families = "
                             "?17, changed_ms = ?19",
                             c.id, c.finding_id, c.name, c.status, c.merged_into, c.verdict,
                             c.rival, c.probability, c.rival_probability, c.accounts, c.exchanges,
                             c.input_tokens, c.output_tokens, c.first_seen_ms, c.last_seen_ms,
                             c.capability, Join(c.families), c.opened_ms, c.changed_ms));
      SW_RETURN_IF_ERROR(
          Run(db, "INSERT OR REPLACE INTO campaign_json VALUES (?1, ?2)", c.id, c.json));
      if (!members_given) continue;
      SW_RETURN_IF_ERROR(Run(db, "DELETE FROM campaign_members WHERE campaign_id = ?1", c.id));
      for (const CampaignMember& m : members) {
        SW_RETURN_IF_ERROR(Run(
            db, "INSERT INTO campaign_members VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", c.id,
            m.account_id, m.pool_id, m.verdict, m.probability, m.exchanges, m.attributed, m.why));
      }
    }
    for (const CampaignEvent& e : result.events) {
      SW_RETURN_IF_ERROR(Run(db,
                             "INSERT INTO campaign_events (campaign_id, ms, pass, kind, details) "
                             "VALUES (?1, ?2, ?3, ?4, ?5)",
                             e.campaign_id, e.ms, id, e.kind, e.details));
    }
    for (const ImportHit& h : result.hits) {
      SW_RETURN_IF_ERROR(
          Run(db,
              "INSERT INTO import_hits VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT "
              "(campaign_id, source, id) DO UPDATE SET accounts = ?4, exchanges = ?5, "
              "last_ms = ?6",
              h.campaign_id, h.source, h.id, h.accounts, h.exchanges, p.ended_ms));
    }
    for (const auto& [key, value] : result.notes) {
      SW_RETURN_IF_ERROR(Run(db,
                             "INSERT INTO notes VALUES (?1, 1, ?2) ON CONFLICT (key) DO UPDATE SET "
                             "revision = revision + 1, value = ?2",
                             key, Blob{value}));
    }
    return absl::OkStatus();
  }));
  return id;
}

absl::StatusOr<Rows<Campaign>> State::ListCampaigns(const CampaignQuery& query, Page page) {
  SW_RETURN_IF_ERROR(CheckPage(page));
  static const std::map<std::string, const char*, std::less<>> kSort = {
      {"exchanges", "exchanges"},
      {"accounts", "accounts"},
      {"probability", "probability"},
      {"changed", "changed_ms"},
      {"first_seen", "first_seen_ms"},
      {"last_seen", "last_seen_ms"},
      {"name", "name"}};
  const auto sort = kSort.find(query.sort);
  if (sort == kSort.end())
    return absl::InvalidArgumentError(
        "sort: expected exchanges, accounts, probability, changed, first_seen, last_seen or name");
  static constexpr const char* kWhere =
      "WHERE (?1 = '' OR status = ?1) AND (?2 = '' OR verdict = ?2) AND (?3 = '' OR disposition = "
      "CASE ?3 WHEN 'none' THEN '' ELSE ?3 END) "
      "AND (?4 = '' OR capability = ?4) AND (?5 = '' OR name LIKE ?6 ESCAPE '\\' OR id LIKE ?6 "
      "ESCAPE '\\') AND (?7 = '' OR owner = ?7) "
      "AND (?8 = '' OR id IN (SELECT campaign_id FROM campaign_members WHERE account_id = ?8)) AND "
      "probability >= ?9 AND changed_ms >= ?10 ";
  Rows<Campaign> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    const std::string like = Anywhere(query.text);
    {
      const std::string sql = StrCat("SELECT count(*) FROM campaigns ", kWhere);
      Query q(db, sql.c_str(), query.status, query.verdict, query.disposition, query.capability,
              query.text, like, query.owner, query.account_id, query.probability_min,
              query.changed_since_ms);
      if (q.Row()) out.total = q.Uint(0);
      SW_RETURN_IF_ERROR(q.status());
    }
    const std::string sql = StrCat(kSelect, kWhere, "ORDER BY ", sort->second,
                                   query.ascending ? " ASC" : " DESC", ", id LIMIT ?11 OFFSET ?12");
    Query q(db, sql.c_str(), query.status, query.verdict, query.disposition, query.capability,
            query.text, like, query.owner, query.account_id, query.probability_min,
            query.changed_since_ms, page.limit, page.offset);
    while (q.Row()) out.rows.push_back(CampaignOf(q));
    return q.status();
  }));
  return out;
}

absl::StatusOr<Campaign> State::GetCampaign(std::string_view id) {
  Campaign out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) { return Load(db, id, &out); }));
  return out;
}

absl::StatusOr<Campaign> State::TakeCampaign(std::string_view id, std::string_view expected_owner,
                                             std::string_view owner, std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("owner", owner, kNameBytes, false));
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  Campaign out;
  SW_RETURN_IF_ERROR(impl_->Write(
      "campaigns", person, "campaign.take",
      [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        SW_RETURN_IF_ERROR(Load(db, id, &out));
        if (out.owner != expected_owner) {
          return absl::AbortedError(
              StrCat("campaign ", id, ": is ",
                     out.owner.empty() ? std::string("nobody's") : StrCat("with ", out.owner),
                     " by now; look again"));
        }
        SW_RETURN_IF_ERROR(Run(db, "UPDATE campaigns SET owner = ?2 WHERE id = ?1", id, owner));
        out.owner = owner;
        record->subject = StrCat("campaign ", id);
        record->details = Details().Add("owner", owner).Done();
        return absl::OkStatus();
      }));
  return out;
}

absl::StatusOr<Rows<CampaignMember>> State::CampaignMembers(std::string_view id, Page page) {
  SW_RETURN_IF_ERROR(CheckPage(page));
  Rows<CampaignMember> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    SW_RETURN_IF_ERROR(Exists(db, id));
    {
      Query q(db, "SELECT count(*) FROM campaign_members WHERE campaign_id = ?1", id);
      if (q.Row()) out.total = q.Uint(0);
      SW_RETURN_IF_ERROR(q.status());
    }
    Query q(db,
            "SELECT account_id, pool_id, verdict, why, probability, exchanges, attributed FROM "
            "campaign_members WHERE campaign_id = ?1 "
            "ORDER BY account_id LIMIT ?2 OFFSET ?3",
            id, page.limit, page.offset);
    while (q.Row())
      out.rows.push_back(
          {q.Text(0), q.Text(1), q.Text(2), q.Text(3), q.Real(4), q.Uint(5), q.Uint(6)});
    return q.status();
  }));
  return out;
}

absl::StatusOr<CampaignMember> State::GetCampaignMember(std::string_view id,
                                                        std::string_view account) {
  CampaignMember out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    Query q(db,
            "SELECT account_id, pool_id, verdict, why, probability, exchanges, attributed FROM "
            "campaign_members WHERE campaign_id = ?1 AND account_id = ?2",
            id, account);
    if (q.Row()) {
      out = {q.Text(0), q.Text(1), q.Text(2), q.Text(3), q.Real(4), q.Uint(5), q.Uint(6)};
      return q.status();
    }
    SW_RETURN_IF_ERROR(q.status());
    return absl::NotFoundError(StrCat("account ", account, ": is no member of campaign ", id));
  }));
  return out;
}

absl::StatusOr<Rows<CampaignEvent>> State::CampaignEvents(std::string_view id, Page page) {
  SW_RETURN_IF_ERROR(CheckPage(page));
  Rows<CampaignEvent> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    SW_RETURN_IF_ERROR(Exists(db, id));
    {
      Query q(db, "SELECT count(*) FROM campaign_events WHERE campaign_id = ?1", id);
      if (q.Row()) out.total = q.Uint(0);
      SW_RETURN_IF_ERROR(q.status());
    }
    Query q(db,
            "SELECT id, campaign_id, ms, pass, kind, details FROM campaign_events WHERE "
            "campaign_id = ?1 ORDER BY id DESC LIMIT ?2 OFFSET ?3",
            id, page.limit, page.offset);
    while (q.Row())
      out.rows.push_back({q.Int(0), q.Text(1), q.Int(2), q.Int(3), q.Text(4), q.Text(5)});
    return q.status();
  }));
  return out;
}

absl::StatusOr<Rows<Pass>> State::Passes(Page page) {
  SW_RETURN_IF_ERROR(CheckPage(page));
  Rows<Pass> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    {
      Query q(db, "SELECT count(*) FROM passes");
      if (q.Row()) out.total = q.Uint(0);
      SW_RETURN_IF_ERROR(q.status());
    }
    Query q(db,
            "SELECT id, began_ms, ended_ms, since_ms, until_ms, details FROM passes ORDER BY id "
            "DESC LIMIT ?1 OFFSET ?2",
            page.limit, page.offset);
    while (q.Row())
      out.rows.push_back({q.Int(0), q.Int(1), q.Int(2), q.Int(3), q.Int(4), q.Text(5)});
    return q.status();
  }));
  return out;
}

}  // namespace stillwatch::state
