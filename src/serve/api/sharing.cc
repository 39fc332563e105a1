#include "serve/api/sharing.h"

#include <cstdlib>

#include "serve/api/json.h"

namespace stillwatch::serve::api {
namespace {

using base::StrCat;

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
    case absl::StatusCode::kResourceExhausted:
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

}  // namespace

void Sharing::Tell(const state::Export& e, std::string* out) {
  Out o;
  o.Object()
      .Int("id", e.id)
      .Int("revision", e.revision)
      .Text("kind", e.kind)
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

HttpReply Sharing::Preview(const HttpRequest& r) const {
  if (!c_.share) return NoLake();
  const auto offset = NumberOf(r, "offset", 0), limit = NumberOf(r, "limit", 50);
  if (!offset.ok()) return Fail(offset.status());
  if (!limit.ok()) return Fail(limit.status());
  if (*limit == 0 || *limit > state::kPageRows)
    return ErrorReply(400, StrCat("limit: expected 1 to ", state::kPageRows));
  auto shared = c_.share({r.Query("campaign").value_or(""), r.Query("audience").value_or(""), "", 0,
                          r.Query("type").value_or(""), *offset, *limit});
  if (!shared.ok()) return Fail(shared.status());
  std::string out = shared->summary;
  Out::Splice("items_total", std::to_string(shared->items_total), &out);
  Out::Splice("items", shared->items, &out);
  return JsonReply(out);
}

HttpReply Sharing::Propose(const HttpRequest& r) const {
  Body b(r, {"campaign_id", "audience", "issuer", "note"});
  state::Export e;
  e.kind = "campaign";
  e.campaign_id = b.Text("campaign_id", true), e.audience = b.Text("audience", true);
  e.issuer = b.Text("issuer", true), e.note = b.Text("note", true);
  if (!b.ok()) return b.Error();
  if (!c_.share) return NoLake();
  auto shared = c_.share({e.campaign_id, e.audience, e.issuer, c_.now_ms()});
  if (!shared.ok()) return Fail(shared.status());
  e.campaign_name = shared->campaign_name;
  e.summary = shared->summary;
  e.proposed_by = r.principal->name;
  // The bytes that are proposed are those that are approved.
  auto kept = c_.state->ProposeExport(std::move(e), {{"", std::move(shared->bundle)}});
  if (!kept.ok()) return Fail(kept.status());
  std::string out;
  Tell(*kept, &out);
  return JsonReply(out, 201);
}

HttpReply Sharing::List(const HttpRequest&) const {
  auto all = c_.state->Exports();
  if (!all.ok()) return Fail(all.status());
  std::string out = StrCat(R"({"total":)", all->size(), R"(,"rows":[)");
  for (const state::Export& e : *all) {
    std::string one;
    Tell(e, &one);
    base::StrAppend(&out, &e == &all->front() ? "" : ",", one);
  }
  return JsonReply(out + "]}");
}

absl::StatusOr<state::Export> Sharing::Named(const HttpRequest& r) const {
  const std::string text(r.Param("id"));
  const int64_t id = std::strtoll(text.c_str(), nullptr, 10);
  if (std::to_string(id) != text)
    return absl::NotFoundError("There is no export with this number.");
  return c_.state->GetExport(id);
}

HttpReply Sharing::Decide(const HttpRequest& r, bool approve) const {
  Body b(r, {"revision"});
  const int64_t expected = b.Int("revision", true);
  if (!b.ok()) return b.Error();
  auto e = Named(r);
  if (!e.ok()) return Fail(e.status());
  // Of the last pass: what would leave now is what was looked at. Of a scan, the bytes are all.
  if (approve && e->kind == "campaign" && e->status == "proposed" &&
      e->proposed_by != r.principal->name) {
    if (!c_.share) return NoLake();
    auto shared = c_.share({e->campaign_id, e->audience, "", 0});
    if (!shared.ok()) return Fail(shared.status());
    if (shared->summary != e->summary)
      return ErrorReply(409,
                        "What would leave has changed since this was proposed, as the findings "
                        "have. Reject it, look at the preview, and propose again.");
  }
  auto decided = c_.state->DecideExport(e->id, expected, approve, r.principal->name);
  if (!decided.ok()) return Fail(decided.status());
  std::string out;
  Tell(*decided, &out);
  return JsonReply(out);
}

HttpReply Sharing::File(const HttpRequest& r) const {
  auto e = Named(r);
  if (!e.ok()) return Fail(e.status());
  auto files = c_.state->TakeExport(e->id, r.principal->name);
  if (!files.ok()) return Fail(files.status());
  if (files->size() != 1)
    return ErrorReply(409, StrCat("export ", e->id, ": is of ", files->size(),
                                  " files; `stillwatch share fetch` writes them"));
  HttpReply reply = JsonReply(std::move(files->front().bytes));
  reply.headers.emplace_back("Content-Disposition",
                             StrCat("attachment; filename=\"stillwatch-", e->id, ".stix.json\""));
  reply.headers.emplace_back("Cache-Control", "no-store");
  return reply;
}

HttpReply Sharing::Revoke(const HttpRequest& r) const {
  Body b(r, {"note"});
  const std::string note = b.Text("note", true);
  if (!b.ok()) return b.Error();
  if (!c_.revocation) return NoLake();
  auto of = Named(r);
  if (!of.ok()) return Fail(of.status());
  if (of->kind == "comparison")
    return ErrorReply(409, "What a comparison told the peer cannot be taken back.");
  auto files = c_.state->ReadExport(of->id);
  if (!files.ok()) return Fail(files.status());
  if (files->size() != 1)
    return ErrorReply(409, StrCat("export ", of->id,
                                  ": is a feed; what is taken out of it no "
                                  "longer holds, and MISP's readers see that by themselves"));
  auto bundle = c_.revocation(of->issuer, files->front().bytes);
  if (!bundle.ok()) return Fail(bundle.status());
  state::Export e;
  e.kind = "bundle";  // its bytes are all; findings are not asked again
  e.campaign_id = of->campaign_id;
  e.campaign_name = StrCat("revocation of export ", of->id);
  e.audience = of->audience, e.issuer = of->issuer, e.note = note;
  e.summary =
      StrCat(R"({"audience":")", of->audience, R"(","campaigns":[],"leaves":[],"stays":[]})");
  e.proposed_by = r.principal->name;
  auto kept = c_.state->ProposeExport(std::move(e), {{"", *std::move(bundle)}});
  if (!kept.ok()) return Fail(kept.status());
  std::string out;
  Tell(*kept, &out);
  return JsonReply(out, 201);
}

}  // namespace stillwatch::serve::api
