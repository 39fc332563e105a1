#include "serve/api/sharing.h"

#include <fcntl.h>
#include <simdjson.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "serve/api/json.h"

namespace stillwatch::serve::api {
namespace {

using base::StrCat;

constexpr char kNote[] = "sharing.exports";

HttpReply Fail(const absl::Status& s) {
  const std::string text(s.message().data(), s.message().size());
  switch (s.code()) {
    case absl::StatusCode::kInvalidArgument:
      return ErrorReply(400, text);
    case absl::StatusCode::kPermissionDenied:
      return ErrorReply(403, text);
    case absl::StatusCode::kNotFound:
      return ErrorReply(404, text);
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kFailedPrecondition:
      return ErrorReply(409, text);
    case absl::StatusCode::kUnavailable: {
      HttpReply r = ErrorReply(
          503,
          "The lake or the disk does not answer, and nothing was changed. Try again in a "
          "minute, and look at the service's log.");
      r.headers.emplace_back("Retry-After", "5");
      return r;
    }
    default:
      return ErrorReply(500, "a failure of our own; the service's log says more");
  }
}

HttpReply NoLake() { return ErrorReply(404, "There are no findings here that could be shared."); }

// Whole or not at all, durable, for the owner alone.
absl::Status Keep(const std::string& path, std::string_view bytes) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  const std::string part = path + ".part";
  const int fd = open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool ok = fd >= 0;
  for (size_t at = 0; ok && at < bytes.size();) {
    const ssize_t n = write(fd, bytes.data() + at, bytes.size() - at);
    ok = n > 0;
    at += ok ? static_cast<size_t>(n) : 0;
  }
  ok = ok && fsync(fd) == 0;
  if (fd >= 0) close(fd);
  ok = ok && std::rename(part.c_str(), path.c_str()) == 0;
  if (ok) return absl::OkStatus();
  unlink(part.c_str());
  return absl::UnavailableError(StrCat(path, ": cannot be written"));
}

}  // namespace

std::string Sharing::PathOf(int64_t id) const {
  return StrCat(c_.state->dir(), "/exports/", id, ".json");
}

void Sharing::Tell(const Export& e, std::string* out) {
  Out o;
  o.Object()
      .Int("id", e.id)
      .Int("revision", e.revision)
      .Text("campaign_id", e.campaign_id)
      .Text("campaign_name", e.campaign_name)
      .Text("audience", e.audience)
      .Text("issuer", e.issuer)
      .Text("note", e.note)
      .Text("status", e.status)
      .Text("proposed_by", e.proposed_by)
      .Time("proposed_at", e.proposed_ms)
      .Text("decided_by", e.decided_by)
      .Time("decided_at", e.decided_ms)
      .Text("digest", e.digest)
      .End();
  *out = o.Done();
  Out::Splice("summary", e.summary.empty() ? "null" : e.summary, out);
}

absl::StatusOr<std::vector<Sharing::Export>> Sharing::Read(int64_t* revision) const {
  auto note = c_.state->GetNote(kNote);
  if (!note.ok()) return note.status();
  *revision = note->revision;
  std::vector<Export> out;
  if (note->value.empty()) return out;
  simdjson::dom::parser parser;
  simdjson::dom::array all;
  if (parser.parse(note->value).get(all) != simdjson::SUCCESS)
    return absl::InternalError("sharing: the kept exports cannot be read");
  for (simdjson::dom::element e : all) {
    const auto text = [&](const char* key) { return TextIn(e, key); };
    const auto number = [&](const char* key) { return IntIn(e, key); };
    Export x;
    x.id = number("id"), x.revision = number("revision");
    x.proposed_ms = number("proposed_ms"), x.decided_ms = number("decided_ms");
    x.campaign_id = text("campaign_id"), x.campaign_name = text("campaign_name");
    x.audience = text("audience"), x.issuer = text("issuer"), x.note = text("note");
    x.status = text("status"), x.proposed_by = text("proposed_by");
    x.decided_by = text("decided_by"), x.digest = text("digest"), x.summary = text("summary");
    out.push_back(std::move(x));
  }
  return out;
}

absl::Status Sharing::Write(const std::vector<Export>& all, int64_t revision) const {
  std::string out;
  base::JsonWriter w(&out);
  w.BeginArray();
  for (const Export& e : all) {
    w.BeginObject();
    for (const auto& [key, v] : {std::pair("id", e.id),
                                 {"revision", e.revision},
                                 {"proposed_ms", e.proposed_ms},
                                 {"decided_ms", e.decided_ms}}) {
      w.Key(key);
      w.Int(v);
    }
    for (const auto& [key, v] :
         {std::pair<const char*, const std::string*>{"campaign_id", &e.campaign_id},
          {"campaign_name", &e.campaign_name},
          {"audience", &e.audience},
          {"issuer", &e.issuer},
          {"note", &e.note},
          {"status", &e.status},
          {"proposed_by", &e.proposed_by},
          {"decided_by", &e.decided_by},
          {"digest", &e.digest},
          {"summary", &e.summary}}) {
      w.Key(key);
      w.String(*v);
    }
    w.EndObject();
  }
  w.EndArray();
  return c_.state->PutNote(kNote, out, revision);
}

absl::Status Sharing::Record(const char* action, const Export& e, std::string_view person) const {
  audit::AuditRecord record;
  record.time_ms = c_.now_ms();
  record.actor = person;
  record.action = action;
  record.subject = StrCat("campaign ", e.campaign_id);
  Out o;
  o.Object()
      .Int("export", e.id)
      .Text("audience", e.audience)
      .Text("issuer", e.issuer)
      .Text("note", e.note)
      .Text("proposed_by", e.proposed_by)
      .Text("blake2b", e.digest)
      .End();
  record.details = o.Done();
  Out::Splice("release", e.summary.empty() ? "null" : e.summary, &record.details);
  return c_.audit->Append(std::move(record));
}

HttpReply Sharing::Preview(const HttpRequest& r) const {
  if (!c_.share) return NoLake();
  auto shared =
      c_.share({r.Query("campaign").value_or(""), r.Query("audience").value_or(""), "", 0});
  if (!shared.ok()) return Fail(shared.status());
  std::string out = shared->summary;
  Out::Splice("items", shared->items, &out);
  return JsonReply(out);
}

HttpReply Sharing::Propose(const HttpRequest& r) {
  Body b(r, {"campaign_id", "audience", "issuer", "note"});
  Export e;
  e.campaign_id = b.Text("campaign_id", true), e.audience = b.Text("audience", true);
  e.issuer = b.Text("issuer", true), e.note = b.Text("note", true);
  if (!b.ok()) return b.Error();
  if (e.issuer.size() > state::kNameBytes || e.note.size() > state::kNoteBytes)
    return ErrorReply(400, StrCat("issuer, note: at most ", state::kNameBytes, " and ",
                                  state::kNoteBytes, " bytes"));
  if (!c_.share) return NoLake();
  auto shared = c_.share({e.campaign_id, e.audience, e.issuer, c_.now_ms()});
  if (!shared.ok()) return Fail(shared.status());
  e.campaign_name = shared->campaign_name;
  e.summary = shared->summary;
  e.status = "proposed";
  e.revision = 1;
  e.proposed_by = r.principal->name;
  e.proposed_ms = c_.now_ms();
  const std::lock_guard<std::mutex> lock(mutex_);
  int64_t revision = 0;
  auto all = Read(&revision);
  if (!all.ok()) return Fail(all.status());
  if (all->size() >= kExportsKept) {
    const auto old = std::find_if(all->begin(), all->end(),
                                  [](const Export& x) { return x.status == "rejected"; });
    if (old == all->end())
      return ErrorReply(409, StrCat("there are ", kExportsKept, " exports, and none was rejected"));
    all->erase(old);
  }
  for (const Export& x : *all) e.id = std::max(e.id, x.id);
  ++e.id;
  // The bytes that are proposed are those that are approved.
  e.digest = shared->digest;
  if (absl::Status s = Keep(PathOf(e.id), shared->bundle); !s.ok()) return Fail(s);
  all->push_back(e);
  if (absl::Status s = Record("share.propose", e, e.proposed_by); !s.ok()) return Fail(s);
  if (absl::Status s = Write(*all, revision); !s.ok()) return Fail(s);
  std::string out;
  Tell(e, &out);
  return JsonReply(out, 201);
}

HttpReply Sharing::List(const HttpRequest&) const {
  int64_t revision = 0;
  auto all = Read(&revision);
  if (!all.ok()) return Fail(all.status());
  std::string out = StrCat(R"({"total":)", all->size(), R"(,"rows":[)");
  for (size_t i = all->size(); i-- > 0;) {  // newest first
    std::string one;
    Tell((*all)[i], &one);
    base::StrAppend(&out, i + 1 == all->size() ? "" : ",", one);
  }
  return JsonReply(out + "]}");
}

HttpReply Sharing::Decide(const HttpRequest& r, bool approve) {
  Body b(r, {"revision"});
  const int64_t expected = b.Int("revision", true);
  if (!b.ok()) return b.Error();
  const std::lock_guard<std::mutex> lock(mutex_);
  int64_t revision = 0;
  auto all = Read(&revision);
  if (!all.ok()) return Fail(all.status());
  const auto it = std::find_if(all->begin(), all->end(), [&](const Export& e) {
    return std::to_string(e.id) == r.Param("id");
  });
  if (it == all->end()) return ErrorReply(404, "There is no export with this number.");
  if (it->revision != expected || it->status != "proposed")
    return ErrorReply(
        409, StrCat("export ", it->id, ": is ", it->status,
                    it->decided_by.empty() ? "" : StrCat(" by ", it->decided_by), "; look again"));
  if (approve && it->proposed_by == r.principal->name)
    return ErrorReply(403, StrCat("export ", it->id, ": was proposed by ", it->proposed_by,
                                  ", who cannot approve it too; another approver must"));
  it->decided_by = r.principal->name;
  it->decided_ms = c_.now_ms();
  it->status = approve ? "approved" : "rejected";
  ++it->revision;
  if (approve) {
    if (!c_.share) return NoLake();
    auto shared = c_.share({it->campaign_id, it->audience, "", 0});
    if (!shared.ok()) return Fail(shared.status());
    if (shared->summary != it->summary)
      return ErrorReply(409,
                        "What would leave has changed since this was proposed, as the findings "
                        "have. Reject it, look at the preview, and propose again.");
  }
  if (absl::Status s = Record(approve ? "share.approve" : "share.reject", *it, it->decided_by);
      !s.ok())
    return Fail(s);
  if (absl::Status s = Write(*all, revision); !s.ok()) return Fail(s);
  std::string out;
  Tell(*it, &out);
  return JsonReply(out);
}

HttpReply Sharing::File(const HttpRequest& r) const {
  int64_t revision = 0;
  auto all = Read(&revision);
  if (!all.ok()) return Fail(all.status());
  for (const Export& e : *all) {
    if (std::to_string(e.id) != r.Param("id")) continue;
    if (e.status != "approved")
      return ErrorReply(409, StrCat("export ", e.id, ": is ", e.status,
                                    "; only what another person "
                                    "approved leaves"));
    std::ifstream in(PathOf(e.id), std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    if (!in.is_open() || bytes.empty()) return ErrorReply(404, "The file is not there any more.");
    // Who took it away is in the log before it goes.
    if (absl::Status s = Record("share.download", e, r.principal->name); !s.ok()) return Fail(s);
    HttpReply reply = JsonReply(std::move(bytes));
    reply.headers.emplace_back("Content-Disposition",
                               StrCat("attachment; filename=\"stillwatch-", e.id, ".stix.json\""));
    reply.headers.emplace_back("Cache-Control", "no-store");
    return reply;
  }
  return ErrorReply(404, "There is no export with this number.");
}

}  // namespace stillwatch::serve::api
