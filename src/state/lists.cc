// Lists with expiry. A change that touches many accounts waits for a second person.
#include <simdjson.h>

#include <algorithm>
#include <set>

#include "state/impl.h"

namespace stillwatch::state {
namespace {

using base::StrCat;

// A change as it waits in the table: {"put":[{"value","reason","expires_ms"}],"remove":[...]}.
std::string ToJson(const ListChange& c) {
  std::string out;
  base::JsonWriter w(&out);
  w.BeginObject();
  w.Key("put");
  w.BeginArray();
  for (const ListEntry& e : c.put) {
    w.BeginObject();
    w.Key("value"), w.String(e.value);
    w.Key("reason"), w.String(e.reason);
    w.Key("expires_ms"), w.Int(e.expires_ms);
    w.EndObject();
  }
  w.EndArray();
  w.Key("remove");
  w.BeginArray();
  for (const std::string& v : c.remove) w.String(v);
  w.EndArray();
  w.EndObject();
  return out;
}

absl::Status FromJson(const std::string& json, ListChange* c) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  simdjson::dom::array put, remove;
  const auto fault = absl::InternalError("state: a waiting list change cannot be read");
  if (parser.parse(json).get(root) != simdjson::SUCCESS ||
      root["put"].get(put) != simdjson::SUCCESS || root["remove"].get(remove) != simdjson::SUCCESS)
    return fault;
  for (simdjson::dom::element e : put) {
    std::string_view value, reason;
    int64_t expires = 0;
    if (e["value"].get(value) != simdjson::SUCCESS ||
        e["reason"].get(reason) != simdjson::SUCCESS ||
        e["expires_ms"].get(expires) != simdjson::SUCCESS)
      return fault;
    c->put.push_back({std::string(value), std::string(reason), expires, "", 0});
  }
  for (simdjson::dom::element e : remove) {
    std::string_view value;
    if (e.get(value) != simdjson::SUCCESS) return fault;
    c->remove.emplace_back(value);
  }
  return absl::OkStatus();
}

absl::Status Revision(Db& db, std::string_view list, int64_t* revision) {
  Query q(db, "SELECT revision FROM lists WHERE name = ?1", list);
  *revision = q.Row() ? q.Int(0) : 0;
  return q.status();
}

absl::Status Expect(Db& db, std::string_view list, int64_t expected) {
  int64_t have = 0;
  SW_RETURN_IF_ERROR(Revision(db, list, &have));
  if (have == expected) return absl::OkStatus();
  return absl::AbortedError(StrCat("list ", list, ": is at revision ", have, ", not ", expected,
                                   ": somebody changed it; look again"));
}

absl::Status Apply(Db& db, const ListChange& c, std::string_view person, int64_t ms) {
  SW_RETURN_IF_ERROR(Run(db,
                         "INSERT INTO lists VALUES (?1, 1, '') ON CONFLICT (name) DO UPDATE SET "
                         "revision = revision + 1",
                         c.list));
  // What has expired goes when the list is touched.
  SW_RETURN_IF_ERROR(
      Run(db, "DELETE FROM list_entries WHERE list = ?1 AND expires_ms != 0 AND expires_ms <= ?2",
          c.list, ms));
  for (const std::string& v : c.remove)
    SW_RETURN_IF_ERROR(
        Run(db, "DELETE FROM list_entries WHERE list = ?1 AND value = ?2", c.list, v));
  for (const ListEntry& e : c.put) {
    SW_RETURN_IF_ERROR(Run(db,
                           "INSERT OR REPLACE INTO list_entries VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                           c.list, e.value, e.reason, e.expires_ms, person, ms));
  }
  Query q(db, "SELECT count(*) FROM list_entries");
  if (q.Row() && q.Uint(0) > kListEntries)
    return absl::ResourceExhaustedError(
        StrCat("lists: more than ", kListEntries, " entries in all; remove some first"));
  return q.status();
}

ListProposal ProposalOf(const Query& q) {
  ListProposal p;
  p.id = q.Int(0), p.change.list = q.Text(1), p.base_revision = q.Int(2), p.status = q.Text(3),
  p.entries = q.Uint(4), p.touched = q.Uint(5);
  p.proposed_by = q.Text(6), p.proposed_ms = q.Int(7), p.decided_by = q.Text(8),
  p.decided_ms = q.Int(9);
  return p;
}

}  // namespace

absl::StatusOr<ListProposal> State::ChangeList(const ListChange& change, int64_t expected,
                                               Impact impact, std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("list", change.list, kNameBytes, true));
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  const size_t entries = change.put.size() + change.remove.size();
  if (entries == 0 || entries > kBatchRows)
    return absl::InvalidArgumentError(
        StrCat("list ", change.list, ": expected 1 to ", kBatchRows, " entries to put or remove"));
  const int64_t now = impl_->now();
  std::set<std::string_view> seen;
  for (const ListEntry& e : change.put) {
    SW_RETURN_IF_ERROR(CheckText("value", e.value, kNameBytes, true));
    SW_RETURN_IF_ERROR(CheckText("reason", e.reason, kNoteBytes, true));
    if (e.expires_ms != 0 && e.expires_ms <= now)
      return absl::InvalidArgumentError(StrCat("expires: of ", e.value, " is in the past"));
    if (!seen.insert(e.value).second)
      return absl::InvalidArgumentError(StrCat("value: ", e.value, " is there twice"));
  }
  for (const std::string& v : change.remove)
    if (!seen.insert(v).second)
      return absl::InvalidArgumentError(StrCat("value: ", v, " is there twice"));
  ListProposal out;
  out.change = change;
  out.base_revision = expected;
  out.entries = entries;
  out.proposed_by = person;
  out.touched = std::max<uint64_t>(entries, impact.touched);
  const bool waits = out.touched > impact.approval_above;
  SW_RETURN_IF_ERROR(impl_->Write(
      "lists", person, waits ? "list.propose" : "list.change",
      [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        SW_RETURN_IF_ERROR(Expect(db, change.list, expected));
        out.proposed_ms = record->time_ms;
        out.status = waits ? "proposed" : "applied";
        if (!waits) {
          out.decided_by = person;
          out.decided_ms = record->time_ms;
          SW_RETURN_IF_ERROR(Apply(db, change, person, record->time_ms));
        }
        SW_RETURN_IF_ERROR(
            Run(db,
                "INSERT INTO list_changes (list, base_revision, status, payload, "
                "entries, touched, proposed_by, proposed_ms, decided_by, decided_ms) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                change.list, expected, out.status, waits ? ToJson(change) : std::string(), entries,
                out.touched, person, out.proposed_ms, out.decided_by, out.decided_ms));
        out.id = db.last_id();
        record->subject = StrCat("list ", change.list);
        Details d;
        d.Add("change", out.id).Add("put", change.put.size()).Add("removed", change.remove.size());
        if (entries == 1)
          d.Add("value", change.put.empty() ? change.remove[0] : change.put[0].value);
        record->details = d.Done();
        return absl::OkStatus();
      }));
  return out;
}

absl::StatusOr<ListProposal> State::DecideListChange(int64_t id, bool approve,
                                                     std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  ListProposal p;
  SW_RETURN_IF_ERROR(impl_->Write(
      "lists", person, approve ? "list.approve" : "list.reject",
      [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        std::string payload;
        {
          Query q(
              db,
              "SELECT id, list, base_revision, status, entries, touched, proposed_by, proposed_ms, "
              "decided_by, decided_ms, payload FROM list_changes WHERE id = ?1",
              id);
          if (!q.Row()) {
            SW_RETURN_IF_ERROR(q.status());
            return absl::NotFoundError(StrCat("list change: there is none with id ", id));
          }
          p = ProposalOf(q);
          payload = q.Text(10);
        }
        if (p.status != "proposed")
          return absl::FailedPreconditionError(
              StrCat("list change ", id, ": is ", p.status, " already"));
        if (approve && p.proposed_by == person) {
          return absl::PermissionDeniedError(
              StrCat("list change ", id, ": was proposed by ", person,
                     ", who cannot approve it too; another approver must"));
        }
        SW_RETURN_IF_ERROR(FromJson(payload, &p.change));
        if (approve) {
          SW_RETURN_IF_ERROR(Expect(db, p.change.list, p.base_revision));
          SW_RETURN_IF_ERROR(Apply(db, p.change, p.proposed_by, record->time_ms));
        }
        p.status = approve ? "applied" : "rejected";
        p.decided_by = person;
        p.decided_ms = record->time_ms;
        SW_RETURN_IF_ERROR(Run(db,
                               "UPDATE list_changes SET status = ?2, decided_by = ?3, decided_ms = "
                               "?4, payload = '' WHERE id = ?1",
                               id, p.status, person, record->time_ms));
        record->subject = StrCat("list ", p.change.list);
        record->details = Details()
                              .Add("change", id)
                              .Add("proposed_by", p.proposed_by)
                              .Add("put", p.change.put.size())
                              .Add("removed", p.change.remove.size())
                              .Done();
        return absl::OkStatus();
      }));
  return p;
}

absl::StatusOr<std::vector<State::ListInfo>> State::Lists() {
  std::vector<ListInfo> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) {
    Query q(db,
            "SELECT name, note, revision, (SELECT count(*) FROM list_entries e WHERE e.list = name "
            "AND (expires_ms = 0 OR expires_ms > ?1)) FROM lists ORDER BY name",
            impl_->now());
    while (q.Row()) out.push_back({q.Text(0), q.Text(1), q.Int(2), q.Uint(3)});
    return q.status();
  }));
  return out;
}

absl::StatusOr<Rows<ListEntry>> State::ReadList(std::string_view name, std::string_view prefix,
                                                Page page) {
  SW_RETURN_IF_ERROR(CheckPage(page));
  Rows<ListEntry> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    int64_t revision = 0;
    SW_RETURN_IF_ERROR(Revision(db, name, &revision));
    if (revision == 0) return absl::NotFoundError(StrCat("list: there is none named ", name));
    const int64_t now = impl_->now();
    {
      Query q(db,
              "SELECT count(*) FROM list_entries WHERE list = ?1 AND substr(value, 1, length(?2)) "
              "= ?2 AND (expires_ms = 0 OR expires_ms > ?3)",
              name, prefix, now);
      if (q.Row()) out.total = q.Uint(0);
      SW_RETURN_IF_ERROR(q.status());
    }
    Query q(db,
            "SELECT value, reason, expires_ms, person, ms FROM list_entries WHERE list = ?1 AND "
            "substr(value, 1, length(?2)) = ?2 "
            "AND (expires_ms = 0 OR expires_ms > ?3) ORDER BY value LIMIT ?4 OFFSET ?5",
            name, prefix, now, page.limit, page.offset);
    while (q.Row()) out.rows.push_back({q.Text(0), q.Text(1), q.Int(2), q.Text(3), q.Int(4)});
    return q.status();
  }));
  return out;
}

absl::StatusOr<Rows<ListProposal>> State::ListProposals(std::string_view status, Page page) {
  SW_RETURN_IF_ERROR(CheckPage(page));
  if (!status.empty() && status != "proposed" && status != "applied" && status != "rejected")
    return absl::InvalidArgumentError("status: expected proposed, applied or rejected");
  Rows<ListProposal> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    {
      Query q(db, "SELECT count(*) FROM list_changes WHERE ?1 = '' OR status = ?1", status);
      if (q.Row()) out.total = q.Uint(0);
      SW_RETURN_IF_ERROR(q.status());
    }
    Query q(db,
            "SELECT id, list, base_revision, status, entries, touched, proposed_by, proposed_ms, "
            "decided_by, decided_ms, payload FROM list_changes "
            "WHERE ?1 = '' OR status = ?1 ORDER BY id DESC LIMIT ?2 OFFSET ?3",
            status, page.limit, page.offset);
    while (q.Row()) {
      ListProposal p = ProposalOf(q);
      if (const std::string payload = q.Text(10); !payload.empty())
        SW_RETURN_IF_ERROR(FromJson(payload, &p.change));
      out.rows.push_back(std::move(p));
    }
    return q.status();
  }));
  return out;
}

}  // namespace stillwatch::state
