// What others shared: sources and their grades, indicators, and what came of them here.
#include <set>

#include "state/impl.h"

namespace stillwatch::state {
namespace {

using base::StrCat;

// ?1: now. One list of statuses for rows and counts alike.
constexpr const char* kStatus =
    "CASE WHEN i.revoked_ms != 0 THEN 'revoked' WHEN i.valid_until_ms <= ?1 THEN 'expired' WHEN "
    "i.valid_from_ms > ?1 THEN 'waiting' ELSE 'active' END";
constexpr const char* kColumns =
    "i.source, i.id, i.campaign, i.type, i.value, i.blinded, i.tlp, i.credibility, i.modified_ms, "
    "i.valid_from_ms, i.valid_until_ms, i.revoked_ms, i.revoked_by, i.imported_ms, i.imported_by, "
    "s.reliability, (SELECT count(*) FROM import_hits h WHERE h.source = i.source AND h.id = i.id) "
    "FROM imports i JOIN import_sources s ON s.name = i.source ";

ImportedIndicator IndicatorOf(const Query& q) {
  ImportedIndicator i;
  i.source = q.Text(0), i.id = q.Text(1), i.campaign = q.Text(2), i.type = q.Text(3),
  i.value = q.Text(4), i.blinded = q.Int(5) != 0, i.tlp = q.Text(6);
  i.credibility = static_cast<int>(q.Int(7)), i.modified_ms = q.Int(8), i.valid_from_ms = q.Int(9),
  i.valid_until_ms = q.Int(10);
  i.revoked_ms = q.Int(11), i.revoked = i.revoked_ms != 0, i.revoked_by = q.Text(12),
  i.imported_ms = q.Int(13), i.imported_by = q.Text(14);
  const std::string grade = q.Text(15);
  i.reliability = grade.size() == 1 ? grade[0] : 'F';
  i.hits = q.Uint(16);
  return i;
}

absl::Status Known(Db& db, std::string_view source, int64_t now) {
  SW_RETURN_IF_ERROR(
      Run(db,
          "INSERT INTO import_sources VALUES (?1, 'F', '', '', 0, ?2, ?2) ON CONFLICT "
          "(name) DO NOTHING",
          source, now));
  Query q(db, "SELECT count(*) FROM import_sources");
  if (q.Row() && q.Uint(0) > kImportSources)
    return absl::ResourceExhaustedError(StrCat("imports: more than ", kImportSources, " sources"));
  return q.status();
}

absl::Status Check(const ImportedIndicator& i) {
  SW_RETURN_IF_ERROR(CheckText("id", i.id, kNameBytes, true));
  SW_RETURN_IF_ERROR(CheckText("campaign", i.campaign, kNameBytes, false));
  SW_RETURN_IF_ERROR(CheckText("type", i.type, kNameBytes, true));
  SW_RETURN_IF_ERROR(CheckText("value", i.value, kImportValueBytes, true));
  SW_RETURN_IF_ERROR(CheckText("tlp", i.tlp, kNameBytes, false));
  if (i.credibility < 1 || i.credibility > 6)
    return absl::InvalidArgumentError(StrCat("credibility: of ", i.id, ": expected 1 to 6"));
  if (i.valid_until_ms <= i.valid_from_ms)
    return absl::InvalidArgumentError(
        StrCat("valid_until: of ", i.id, ": must be after valid_from"));
  return absl::OkStatus();
}

absl::Status ImportSightings(Db& db, std::string_view source,
                             const std::vector<ImportedSighting>& sightings, int64_t now,
                             uint64_t* changed) {
  for (const ImportedSighting& s : sightings) {
    SW_RETURN_IF_ERROR(
        Run(db,
            "INSERT INTO import_sightings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT "
            "(source, id) DO UPDATE SET exchanges = ?4, first_seen_ms = ?5, last_seen_ms = ?6, "
            "modified_ms = ?7, revoked = ?8, imported_ms = ?9 WHERE NOT revoked AND (modified_ms < "
            "?7 OR ?8)",
            source, s.id, s.of, static_cast<int64_t>(s.exchanges), s.first_seen_ms, s.last_seen_ms,
            s.modified_ms, s.revoked, now));
    *changed += static_cast<uint64_t>(db.changes());
  }
  Query q(db, "SELECT count(*) FROM import_sightings");
  if (!sightings.empty() && q.Row() && q.Uint(0) > kImportSightings)
    return absl::ResourceExhaustedError(
        StrCat("imports: more than ", kImportSightings, " sightings in all"));
  return q.status();
}

}  // namespace

absl::StatusOr<ImportCounts> State::Import(std::string_view source,
                                           const std::vector<ImportedIndicator>& indicators,
                                           std::string_view person, const ImportMark* mark,
                                           const std::vector<ImportedSighting>& sightings) {
  SW_RETURN_IF_ERROR(CheckText("source", source, kNameBytes, true));
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  if (mark != nullptr) {
    SW_RETURN_IF_ERROR(CheckText("collection", mark->collection, kNoteBytes, true));
    SW_RETURN_IF_ERROR(CheckText("added_after", mark->added_after, kNameBytes, false));
  }
  for (const size_t n : {indicators.size(), sightings.size()})
    if (n > kImportBatch)
      return absl::InvalidArgumentError(
          StrCat("imports: ", n, " indicators at once; ", kImportBatch, " is the most"));
  std::set<std::string_view> seen;
  for (const ImportedIndicator& i : indicators) {
    SW_RETURN_IF_ERROR(Check(i));
    if (!seen.insert(i.id).second)
      return absl::InvalidArgumentError(StrCat("id: ", i.id, " is there twice"));
  }
  for (const ImportedSighting& s : sightings) {
    SW_RETURN_IF_ERROR(CheckText("id", s.id, kNameBytes, true));
    SW_RETURN_IF_ERROR(CheckText("sighting_of_ref", s.of, kNameBytes, true));
  }
  ImportCounts n;
  SW_RETURN_IF_ERROR(impl_->Write(
      "imports", person, "share.import", [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        const int64_t now = record->time_ms;
        SW_RETURN_IF_ERROR(Known(db, source, now));
        for (const ImportedIndicator& i : indicators) {
          bool there = false, revoked = false, newer = true;
          {
            Query q(db, "SELECT modified_ms, revoked_ms FROM imports WHERE source = ?1 AND id = ?2",
                    source, i.id);
            if ((there = q.Row())) newer = i.modified_ms > q.Int(0), revoked = q.Int(1) != 0;
            SW_RETURN_IF_ERROR(q.status());
          }
          // A revocation is final and needs no newer date: it may say that of the version that we
          // have.
          if (there && (revoked || (!newer && !i.revoked))) {
            ++n.unchanged;
            continue;
          }
          SW_RETURN_IF_ERROR(Run(
              db,
              "INSERT INTO imports VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, "
              "?14, ?15) ON CONFLICT (source, id) DO UPDATE SET campaign = CASE ?3 WHEN '' THEN "
              "campaign ELSE ?3 END, type = ?4, value = ?5, "
              "blinded = ?6, tlp = ?7, credibility = ?8, modified_ms = ?9, valid_from_ms = ?10, "
              "valid_until_ms = ?11, revoked_ms = ?12, revoked_by = ?13",
              source, i.id, i.campaign, i.type, i.value, i.blinded, i.tlp, i.credibility,
              i.modified_ms, i.valid_from_ms, i.valid_until_ms, i.revoked ? now : int64_t{0},
              i.revoked ? source : std::string_view(), now, person));
          ++(i.revoked ? n.revoked : there ? n.updated : n.added);
        }
        SW_RETURN_IF_ERROR(
            Run(db, "UPDATE import_sources SET last_ms = ?2 WHERE name = ?1", source, now));
        Query q(db, "SELECT count(*) FROM imports");
        if (q.Row() && q.Uint(0) > kImportsMax)
          return absl::ResourceExhaustedError(
              StrCat("imports: more than ", kImportsMax, " indicators in all"));
        SW_RETURN_IF_ERROR(q.status());
        SW_RETURN_IF_ERROR(ImportSightings(db, source, sightings, now, &n.sightings));
        record->subject = source;
        Details d;
        d.Add("added", n.added)
            .Add("updated", n.updated)
            .Add("revoked", n.revoked)
            .Add("unchanged", n.unchanged)
            .Add("sightings", n.sightings);
        if (mark != nullptr) {
          SW_RETURN_IF_ERROR(Run(db, "INSERT OR REPLACE INTO import_marks VALUES (?1, ?2, ?3, ?4)",
                                 source, mark->collection, mark->added_after, now));
          Query marks(db, "SELECT count(*) FROM import_marks");
          if (marks.Row() && marks.Uint(0) > kImportMarks)
            return absl::ResourceExhaustedError(
                StrCat("imports: more than ", kImportMarks, " collections"));
          SW_RETURN_IF_ERROR(marks.status());
          d.Add("collection", mark->collection).Add("added_after", mark->added_after);
        }
        record->details = d.Done();
        return absl::OkStatus();
      }));
  return n;
}

absl::StatusOr<std::string> State::ImportedUntil(std::string_view source,
                                                 std::string_view collection) {
  std::string out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) {
    Query q(db, "SELECT added_after FROM import_marks WHERE source = ?1 AND collection = ?2",
            source, collection);
    if (q.Row()) out = q.Text(0);
    return q.status();
  }));
  return out;
}

absl::StatusOr<uint64_t> State::RevokeImports(std::string_view source, std::string_view id,
                                              std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("source", source, kNameBytes, true));
  SW_RETURN_IF_ERROR(CheckText("id", id, kNameBytes, false));
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  uint64_t n = 0;
  SW_RETURN_IF_ERROR(impl_->Write(
      "imports", person, "share.revoke", [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        {
          Query q(
              db,
              "SELECT count(*) FROM imports WHERE source = ?1 AND (?2 = '' OR id = ?2 OR campaign "
              "= ?2)",
              source, id);
          if (q.Row() && q.Int(0) == 0)
            return absl::NotFoundError(
                StrCat("imports: there is nothing of ", source, id.empty() ? "" : " with id ", id));
          SW_RETURN_IF_ERROR(q.status());
        }
        SW_RETURN_IF_ERROR(
            Run(db,
                "UPDATE imports SET revoked_ms = ?3, revoked_by = ?4 WHERE source = ?1 "
                "AND (?2 = '' OR id = ?2 OR campaign = ?2) AND revoked_ms = 0",
                source, id, record->time_ms, person));
        n = static_cast<uint64_t>(db.changes());
        record->subject = source;
        record->details = Details().Add("id", id).Add("indicators", n).Done();
        return absl::OkStatus();
      }));
  return n;
}

absl::StatusOr<ImportSource> State::GradeSource(std::string_view name, char reliability,
                                                std::string_view note, std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("source", name, kNameBytes, true));
  SW_RETURN_IF_ERROR(CheckText("note", note, kNoteBytes, false));
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  if (reliability < 'A' || reliability > 'F')
    return absl::InvalidArgumentError("reliability: expected A (reliable) to F (cannot be judged)");
  const std::string grade(1, reliability);
  SW_RETURN_IF_ERROR(impl_->Write(
      "imports", person, "share.grade", [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        SW_RETURN_IF_ERROR(Known(db, name, record->time_ms));
        SW_RETURN_IF_ERROR(Run(db,
                               "UPDATE import_sources SET reliability = ?2, note = ?3, graded_by = "
                               "?4, graded_ms = ?5 WHERE name = ?1",
                               name, grade, note, person, record->time_ms));
        record->subject = name;
        record->details = Details().Add("reliability", grade).Add("note", note).Done();
        return absl::OkStatus();
      }));
  auto all = ImportSources();
  if (!all.ok()) return all.status();
  for (ImportSource& s : *all)
    if (s.name == name) return std::move(s);
  return absl::InternalError("imports: a source is gone that was just graded");
}

absl::StatusOr<std::vector<ImportSource>> State::ImportSources() {
  std::vector<ImportSource> out;
  const int64_t now = impl_->now();
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    {
      const std::string sql = StrCat(
          "SELECT s.name, s.reliability, s.note, s.graded_by, s.graded_ms, s.first_ms, s.last_ms, "
          "count(i.id), coalesce(sum(",
          kStatus, " = 'active'), 0), coalesce(sum(", kStatus, " = 'revoked'), 0), coalesce(sum(",
          kStatus,
          " = 'expired'), 0) FROM import_sources s LEFT JOIN imports i ON i.source = s.name GROUP "
          "BY "
          "s.name ORDER BY s.name");
      Query q(db, sql.c_str(), now);
      while (q.Row()) {
        ImportSource& s = out.emplace_back();
        s.name = q.Text(0);
        const std::string grade = q.Text(1);
        s.reliability = grade.size() == 1 ? grade[0] : 'F';
        s.note = q.Text(2), s.graded_by = q.Text(3), s.graded_ms = q.Int(4);
        s.first_ms = q.Int(5), s.last_ms = q.Int(6), s.indicators = q.Uint(7);
        // Nothing joins as one row of NULLs, which is of no status but the last.
        if (s.indicators > 0) s.active = q.Uint(8), s.revoked = q.Uint(9), s.expired = q.Uint(10);
      }
      SW_RETURN_IF_ERROR(q.status());
    }
    for (ImportSource& s : out) {
      Query q(
          db,
          "SELECT count(*), coalesce(sum(c.disposition = 'confirmed'), 0), "
          "coalesce(sum(c.disposition = 'dismissed'), 0), coalesce(sum(c.disposition = 'unsure'), "
          "0) FROM (SELECT DISTINCT campaign_id FROM import_hits WHERE source = ?1) h JOIN "
          "campaigns c ON c.id = h.campaign_id",
          s.name);
      if (q.Row())
        s.campaigns = q.Uint(0), s.right = q.Uint(1), s.wrong = q.Uint(2), s.unsure = q.Uint(3);
      SW_RETURN_IF_ERROR(q.status());
    }
    return absl::OkStatus();
  }));
  return out;
}

absl::StatusOr<Rows<ImportSource>> State::ListImportSources(Page page) {
  SW_RETURN_IF_ERROR(CheckPage(page));
  auto all = ImportSources();  // kImportSources at most
  if (!all.ok()) return all.status();
  Rows<ImportSource> out;
  out.total = all->size();
  for (size_t i = page.offset; i < all->size() && out.rows.size() < page.limit; ++i)
    out.rows.push_back(std::move((*all)[i]));
  return out;
}

absl::StatusOr<Rows<ImportedIndicator>> State::ListImports(const ImportQuery& query, Page page) {
  SW_RETURN_IF_ERROR(CheckPage(page));
  if (!query.status.empty() && query.status != "active" && query.status != "expired" &&
      query.status != "revoked" && query.status != "waiting")
    return absl::InvalidArgumentError("status: expected active, expired, revoked or waiting");
  Rows<ImportedIndicator> out;
  const std::string where = StrCat(
      "WHERE (?2 = '' OR i.source = ?2) AND (?3 = '' OR i.type = ?3) AND (?4 = '' OR "
      "i.campaign = ?4) AND (?5 = '' OR ",
      kStatus, " = ?5) ");
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    const int64_t now = impl_->now();
    {
      const std::string sql = StrCat("SELECT count(*) FROM imports i ", where);
      Query q(db, sql.c_str(), now, query.source, query.type, query.campaign, query.status);
      if (q.Row()) out.total = q.Uint(0);
      SW_RETURN_IF_ERROR(q.status());
    }
    const std::string sql =
        StrCat("SELECT ", kColumns, where, "ORDER BY i.source, i.id LIMIT ?6 OFFSET ?7");
    Query q(db, sql.c_str(), now, query.source, query.type, query.campaign, query.status,
            page.limit, page.offset);
    while (q.Row()) out.rows.push_back(IndicatorOf(q));
    return q.status();
  }));
  return out;
}

absl::StatusOr<Rows<ImportedSighting>> State::ListSightings(std::string_view source, Page page) {
  SW_RETURN_IF_ERROR(CheckPage(page));
  Rows<ImportedSighting> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    {
      Query q(db,
              "SELECT count(*) FROM import_sightings WHERE NOT revoked AND (?1 = '' OR source = "
              "?1)",
              source);
      if (q.Row()) out.total = q.Uint(0);
      SW_RETURN_IF_ERROR(q.status());
    }
    Query q(db,
            "SELECT source, id, of, exchanges, first_seen_ms, last_seen_ms, modified_ms, "
            "imported_ms FROM import_sightings WHERE NOT revoked AND (?1 = '' OR source = ?1) "
            "ORDER BY modified_ms DESC, source, id LIMIT ?2 OFFSET ?3",
            source, page.limit, page.offset);
    while (q.Row()) {
      ImportedSighting& s = out.rows.emplace_back();
      s.source = q.Text(0), s.id = q.Text(1), s.of = q.Text(2), s.exchanges = q.Uint(3);
      s.first_seen_ms = q.Int(4), s.last_seen_ms = q.Int(5), s.modified_ms = q.Int(6);
      s.imported_ms = q.Int(7);
    }
    return q.status();
  }));
  return out;
}

absl::StatusOr<std::vector<SeenHere>> State::SeenOf(std::string_view source) {
  std::vector<SeenHere> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    Query known(db, "SELECT count(*) FROM import_sources WHERE name = ?1", source);
    if (known.Row() && known.Int(0) == 0)
      return absl::NotFoundError(StrCat("imports: there is nothing of ", source));
    SW_RETURN_IF_ERROR(known.status());
    Query q(db,
            "SELECT h.id, sum(h.accounts), sum(h.exchanges), min(c.first_seen_ms), "
            "max(c.last_seen_ms) FROM import_hits h JOIN campaigns c ON c.id = h.campaign_id JOIN "
            "imports i ON i.source = h.source AND i.id = h.id "
            "WHERE h.source = ?1 AND i.revoked_ms = 0 AND c.status = 'current' AND c.verdict = "
            "'distillation' AND "
            "c.disposition != 'dismissed' GROUP BY h.id ORDER BY h.id",
            source);
    while (q.Row()) {
      SeenHere& s = out.emplace_back();
      s.id = q.Text(0), s.accounts = q.Uint(1), s.exchanges = q.Uint(2);
      s.first_seen_ms = q.Int(3), s.last_seen_ms = q.Int(4);
    }
    return q.status();
  }));
  return out;
}

absl::StatusOr<State::ActiveImports> State::GetActiveImports() {
  ActiveImports out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    const int64_t now = impl_->now();
    {
      const std::string sql =
          StrCat("SELECT ", kColumns, "WHERE ", kStatus, " = 'active' ORDER BY i.source, i.id");
      Query q(db, sql.c_str(), now);
      while (q.Row()) {
        out.rows.push_back(IndicatorOf(q));
        out.until_ms = std::min(out.until_ms, out.rows.back().valid_until_ms);
      }
      SW_RETURN_IF_ERROR(q.status());
    }
    Query q(
        db,
        "SELECT min(valid_from_ms) FROM imports WHERE revoked_ms = 0 AND valid_from_ms > ?1 AND "
        "valid_until_ms > ?1",
        now);
    if (q.Row() && q.Int(0) != 0) out.until_ms = std::min(out.until_ms, q.Int(0));
    return q.status();
  }));
  return out;
}

}  // namespace stillwatch::state
