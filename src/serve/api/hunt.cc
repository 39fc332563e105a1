#include "serve/api/hunt.h"

#include <simdjson.h>

#include <algorithm>
#include <chrono>

#include "lake/report_gate.h"
#include "serve/api/json.h"
#include "serve/api/tsv.h"

namespace stillwatch::serve::api {
namespace {

using base::StrCat;

constexpr char kNote[] = "hunt.queries";
constexpr char kFormat[] = "TabSeparatedWithNamesAndTypes";
constexpr char kNoLake[] =
    "The lake does not answer at the moment. Nothing is lost: what comes in waits in the journal, "
    "decisions go on. Try again in a minute; if it stays so, look at Ingest and at the service's "
    "log.";

HttpReply Fail(const absl::Status& s) {
  const std::string text(s.message().data(), s.message().size());
  switch (s.code()) {
    case absl::StatusCode::kInvalidArgument:
      return ErrorReply(400, text);
    case absl::StatusCode::kDeadlineExceeded:
      return ErrorReply(504, StrCat("query: it was cancelled after ", kHuntSeconds,
                                    " seconds. Ask for less: a time range, one account, a LIMIT"));
    case absl::StatusCode::kResourceExhausted:
      return ErrorReply(507,
                        "query: it needed more memory than a query may have. Ask for less: a "
                        "time range, fewer columns, no sorting of everything");
    case absl::StatusCode::kNotFound:
      return ErrorReply(404, text);
    case absl::StatusCode::kAborted:
      return ErrorReply(409, text);
    default: {
      HttpReply r = ErrorReply(503, absl::IsUnavailable(s) ? std::string(kNoLake) : text);
      r.headers.emplace_back("Retry-After", "5");
      return r;
    }
  }
}

std::string_view Line(std::string_view text, size_t at) {
  return text.substr(at, text.find('\n', at) - at);
}

// Values of a tab-separated line as a JSON array: NULL is null, everything else text.
void WriteCells(std::string_view line, base::JsonWriter* w) {
  w->BeginArray();
  EachCell(line, [&](std::string_view cell) {
    if (cell == "\\N") {
      w->Null();
      return;
    }
    std::string value = Unescaped(cell, kHuntCellBytes);
    if (value.size() >= kHuntCellBytes) value += " …";
    w->String(value);
  });
  w->EndArray();
}

struct SavedQuery {
  std::string name, sql, note, person;
  int64_t ms = 0, revision = 0;
};

absl::StatusOr<std::vector<SavedQuery>> Parse(const std::string& json) {
  std::vector<SavedQuery> out;
  if (json.empty()) return out;
  simdjson::dom::parser parser;
  simdjson::dom::array all;
  if (parser.parse(json).get(all) != simdjson::SUCCESS)
    return absl::InternalError("hunt: the saved queries cannot be read");
  for (simdjson::dom::element e : all) {
    const auto text = [&](const char* key) { return TextIn(e, key); };
    const auto number = [&](const char* key) { return IntIn(e, key); };
    out.push_back({text("name"), text("sql"), text("note"), text("person"), number("ms"),
                   number("revision")});
  }
  return out;
}

std::string ToJson(const std::vector<SavedQuery>& all) {
  std::string out;
  base::JsonWriter w(&out);
  w.BeginArray();
  for (const SavedQuery& q : all) {
    w.BeginObject();
    for (const auto& [key, value] : {std::pair<const char*, const std::string*>{"name", &q.name},
                                     {"sql", &q.sql},
                                     {"note", &q.note},
                                     {"person", &q.person}}) {
      w.Key(key);
      w.String(*value);
    }
    w.Key("ms");
    w.Int(q.ms);
    w.Key("revision");
    w.Int(q.revision);
    w.EndObject();
  }
  w.EndArray();
  return out;
}

HttpReply Told(const std::vector<SavedQuery>& all) {
  Out o;
  o.Object().Int("total", all.size()).Array("rows");
  for (const SavedQuery& q : all)
    o.Object()
        .Text("name", q.name)
        .Text("sql", q.sql)
        .Text("note", q.note)
        .Text("person", q.person)
        .Time("at", q.ms)
        .Int("revision", q.revision)
        .End();
  return JsonReply(o.EndArray().End().Done());
}

}  // namespace

HttpReply Hunts::Run(const HttpRequest& r) {
  Body b(r, {"sql"});
  const std::string sql = b.Text("sql", true);
  if (!b.ok()) return b.Error();
  if (sql.size() > kHuntSqlBytes)
    return ErrorReply(400, StrCat("sql: longer than ", kHuntSqlBytes, " bytes"));
  // What is asked for is on the disk before it is answered, refused or not.
  const absl::Status allowed = lake::CheckHunt(sql);
  audit::AuditRecord record;
  record.time_ms = c_.now_ms();
  record.actor = r.principal->name;
  record.action = allowed.ok() ? "hunt.query" : "hunt.refused";
  record.subject = "lake";
  record.details = "{\"sql\":";
  base::AppendJsonString(sql, &record.details);
  record.details += "}";
  if (absl::Status s = c_.audit->Append(std::move(record)); !s.ok()) {
    return ErrorReply(503,
                      "the audit log takes no record, so nothing was asked; look at the "
                      "service's log");
  }
  if (!allowed.ok()) return Fail(allowed);
  if (!c_.report) return ErrorReply(503, "There is no lake here to ask.");
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (running_ >= kHuntsAtOnce) {
      HttpReply busy = ErrorReply(
          503, StrCat("query: ", kHuntsAtOnce, " others are running; try again in a moment"));
      busy.headers.emplace_back("Retry-After", "5");
      return busy;
    }
    ++running_;
  }
  lake::ReportBounds bounds;
  bounds.seconds = kHuntSeconds;
  bounds.rows = kHuntRows + 1;
  bounds.bytes = 4 * kHuntBytes;  // of columns in memory; a number's text may be a quarter of it
  bounds.cut = true;
  bounds.wait = false;
  const auto began = std::chrono::steady_clock::now();
  auto text = c_.report(sql, kFormat, bounds);
  auto answer = std::make_shared<Answer>();
  answer->ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                   std::chrono::steady_clock::now() - began)
                   .count();
  const std::lock_guard<std::mutex> lock(mutex_);
  --running_;
  if (!text.ok()) {
    if (c_.note && absl::IsUnavailable(text.status()))
      c_.note(StrCat("hunt: ", std::string_view(text.status().message().data(),
                                                text.status().message().size())));
    return Fail(text.status());
  }
  answer->id = StrCat("h", ++serial_, "-", c_.now_ms());
  answer->person = r.principal->name;
  answer->sql = sql;
  answer->text = *std::move(text);
  size_t at = 0;
  for (int line = 0; at < answer->text.size(); ++line) {
    if (line >= 2) {
      if (answer->rows.size() == kHuntRows || at > kHuntBytes) {
        answer->cut = true;
        answer->text.resize(at);
        answer->text.shrink_to_fit();
        break;
      }
      answer->rows.push_back(at);
    }
    at = std::min(answer->text.find('\n', at), answer->text.size() - 1) + 1;
  }
  kept_.push_front(answer);
  if (kept_.size() > kHuntsKept) kept_.pop_back();
  return JsonReply(Write(*answer, 0, state::Page().limit));
}

std::string Hunts::Write(const Answer& a, size_t offset, size_t limit) const {
  Out o;
  o.Object()
      .Text("id", a.id)
      .Int("total", a.rows.size())
      .Bool("cut", a.cut)
      .Int("row_bound", kHuntRows)
      .Int("milliseconds", a.ms)
      .Int("offset", offset);
  (*o).Key("names");
  WriteCells(Line(a.text, 0), &*o);
  const size_t second = std::min(a.text.find('\n'), a.text.size() - 1) + 1;
  (*o).Key("types");
  WriteCells(Line(a.text, second), &*o);
  o.Array("rows");
  for (size_t i = offset; i < std::min(a.rows.size(), offset + limit); ++i)
    WriteCells(Line(a.text, a.rows[i]), &*o);
  return o.EndArray().End().Done();
}

HttpReply Hunts::Page(const HttpRequest& r) {
  auto offset = NumberOf(r, "offset", 0), limit = NumberOf(r, "limit", 50);
  if (!offset.ok()) return Fail(offset.status());
  if (!limit.ok()) return Fail(limit.status());
  if (*limit == 0 || *limit > state::kPageRows)
    return ErrorReply(400, StrCat("limit: expected 1 to ", state::kPageRows));
  std::shared_ptr<const Answer> answer;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto it = std::find_if(kept_.begin(), kept_.end(), [&](const auto& a) {
      return a->id == r.Param("id") && a->person == r.principal->name;
    });
    if (it == kept_.end())
      return ErrorReply(404, "This answer is no longer kept. Run the query again.");
    kept_.splice(kept_.begin(), kept_, it);
    answer = kept_.front();
  }
  return JsonReply(Write(*answer, *offset, *limit));
}

HttpReply Hunts::Schema(const HttpRequest&) const {
  if (!c_.report) return ErrorReply(503, "There is no lake here to ask.");
  lake::ReportBounds bounds;
  bounds.seconds = kHuntSeconds;
  bounds.wait = false;
  auto text =
      c_.report("SELECT table, name, type FROM system.columns WHERE database = currentDatabase()",
                "TabSeparated", bounds);
  if (!text.ok()) return Fail(text.status());
  std::vector<std::pair<std::string, std::vector<std::pair<std::string, std::string>>>> tables;
  for (size_t at = 0; at < text->size();) {
    const std::string_view line = Line(*text, at);
    at += line.size() + 1;
    const size_t one = line.find('\t'), two = line.find('\t', one + 1);
    if (one == std::string_view::npos || two == std::string_view::npos) continue;
    const std::string table(line.substr(0, one));
    if (tables.empty() || tables.back().first != table) tables.push_back({table, {}});
    tables.back().second.emplace_back(line.substr(one + 1, two - one - 1), line.substr(two + 1));
  }
  Out o;
  o.Object().Array("tables");
  for (const auto& [table, columns] : tables) {
    o.Object().Text("name", table).Array("columns");
    for (const auto& [name, type] : columns) o.Object().Text("name", name).Text("type", type).End();
    o.EndArray().End();
  }
  return JsonReply(o.EndArray().End().Done());
}

HttpReply Hunts::Saved(const HttpRequest&) const {
  auto note = c_.state->GetNote(kNote);
  if (!note.ok()) return Fail(note.status());
  auto all = Parse(note->value);
  return all.ok() ? Told(*all) : Fail(all.status());
}

HttpReply Hunts::Save(const HttpRequest& r) const {
  Body b(r, {"expected", "sql", "note"});
  const int64_t expected = b.Int("expected", true);
  SavedQuery mine{std::string(r.Param("name")),
                  b.Text("sql"),
                  b.Text("note"),
                  r.principal->name,
                  c_.now_ms(),
                  expected + 1};
  if (!b.ok()) return b.Error();
  if (mine.name.empty() || mine.name.size() > state::kNameBytes)
    return ErrorReply(400, StrCat("name: expected 1 to ", state::kNameBytes, " bytes"));
  if (mine.sql.size() > kHuntSqlBytes || mine.note.size() > state::kNoteBytes)
    return ErrorReply(400, StrCat("sql, note: expected at most ", kHuntSqlBytes, " and ",
                                  state::kNoteBytes, " bytes"));
  if (!mine.sql.empty())
    if (absl::Status s = lake::CheckHunt(mine.sql); !s.ok()) return Fail(s);
  // Two people may save different queries at once: only the same one is a conflict.
  for (int turn = 0; turn < 8; ++turn) {
    auto note = c_.state->GetNote(kNote);
    if (!note.ok()) return Fail(note.status());
    auto all = Parse(note->value);
    if (!all.ok()) return Fail(all.status());
    const auto it = std::find_if(all->begin(), all->end(),
                                 [&](const SavedQuery& q) { return q.name == mine.name; });
    const int64_t have = it == all->end() ? 0 : it->revision;
    if (have != expected)
      return ErrorReply(
          409, StrCat("query ", mine.name, ": ",
                      have == 0 ? "is not there any more" : StrCat("was changed by ", it->person),
                      " since you looked; look again"));
    if (mine.sql.empty()) {
      if (it == all->end()) return ErrorReply(400, "sql: expected a query to save");
      all->erase(it);
    } else if (it != all->end()) {
      *it = mine;
    } else {
      if (all->size() >= kSavedQueries)
        return ErrorReply(400,
                          StrCat("there are ", kSavedQueries, " saved queries; remove one first"));
      all->push_back(mine);
      std::sort(all->begin(), all->end(),
                [](const SavedQuery& a, const SavedQuery& x) { return a.name < x.name; });
    }
    audit::AuditRecord record;
    record.time_ms = mine.ms;
    record.actor = mine.person;
    record.action = mine.sql.empty() ? "hunt.remove" : "hunt.save";
    record.subject = mine.name;
    record.details = "{\"sql\":";
    base::AppendJsonString(mine.sql, &record.details);
    record.details += "}";
    if (absl::Status s = c_.audit->Append(std::move(record)); !s.ok())
      return ErrorReply(503, "the audit log takes no record, so nothing was changed");
    absl::Status s = c_.state->PutNote(kNote, ToJson(*all), note->revision);
    if (s.ok()) return Told(*all);
    if (!absl::IsAborted(s)) return Fail(s);
  }
  return ErrorReply(409, "others are saving queries too; try again");
}

}  // namespace stillwatch::serve::api
