#include "serve/taxii/taxii.h"

#include <simdjson.h>

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "base/json.h"
#include "base/str.h"
#include "serve/taxii/query.h"
#include "share/collections/stamp.h"
#include "share/taxii/envelope.h"
#include "share/taxii/media.h"

namespace stillwatch::serve {
namespace {

using base::JsonWriter;
using base::StrCat;
using share::Access;
using share::Collection;
using share::FormatMicros;
using share::kTaxiiMedia;
using share::ObjectPage;
using share::PutResult;

constexpr const char* kStixMedia = "application/stix+json;version=2.1";
constexpr const char* kRoot = "/taxii2/share/";

std::string Text(const absl::Status& s) { return {s.message().data(), s.message().size()}; }

HttpReply Taxii(std::string body, int status = 200) {
  HttpReply reply;
  reply.status = status;
  reply.body = std::move(body);
  reply.content_type = kTaxiiMedia;
  return reply;
}

// The path below /taxii2/, cut at "/": every resource ends with one.
std::vector<std::string> Parts(std::string_view path, bool* slash) {
  std::vector<std::string> out;
  *slash = path.empty() || path.back() == '/';
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    // What is no text is no name of ours.
    out.push_back(PercentDecode(path.substr(0, end), false).value_or(std::string(1, '\0')));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return out;
}

void Write(JsonWriter& w, const Collection& c, const Access& access) {
  w.BeginObject();
  w.Key("id"), w.String(c.id);
  w.Key("title"), w.String(c.title);
  if (!c.description.empty()) w.Key("description"), w.String(c.description);
  if (!c.alias.empty()) w.Key("alias"), w.String(c.alias);
  w.Key("can_read"), w.Bool(access.read);
  w.Key("can_write"), w.Bool(access.write);
  w.Key("media_types"), w.BeginArray(), w.String(kStixMedia), w.EndArray();
  w.EndObject();
}

class Taxii21 {
 public:
  explicit Taxii21(TaxiiContext context) : c_(std::move(context)) {}

  HttpReply Answer(const HttpRequest& r) const {
    if (!share::AcceptsTaxii(r.Header("accept"))) {
      return TaxiiError(406, StrCat("Accept: this server speaks ", kTaxiiMedia));
    }
    bool slash = false;
    const std::vector<std::string> path = Parts(r.suffix, &slash);
    // Clients of old ask for a status without it.
    const bool status = path.size() == 3 && path[0] == "share" && path[1] == "status";
    if (!slash && !status)
      return TaxiiError(404, "there is nothing at this path; TAXII's paths end with /");
    if (path.empty()) return Get(r, [&] { return Discovery(); });
    if (path[0] != "share") return TaxiiError(404, "no such API root; there is /taxii2/share/");
    if (path.size() == 1) return Get(r, [&] { return Root(); });
    if (status) return Get(r, [&] { return Status(r, path[2]); });
    if (path[1] == "collections" && path.size() == 2) return Get(r, [&] { return List(r); });
    if (path[1] == "collections") return OfCollection(r, path);
    return TaxiiError(404, "there is nothing at this path");
  }

 private:
  template <typename F>
  HttpReply Get(const HttpRequest& r, F f) const {
    if (r.method == "GET" || r.method == "HEAD") return f();
    return Not("GET");
  }
  static HttpReply Not(const char* allow) {
    HttpReply reply = TaxiiError(405, StrCat("this resource takes ", allow));
    reply.headers.emplace_back("Allow", allow);
    return reply;
  }

  // The store's answer to a person: what it says of a request goes out, what it says of a disk not.
  HttpReply Fail(const absl::Status& s) const {
    if (absl::IsInvalidArgument(s)) return TaxiiError(400, Text(s));
    if (absl::IsNotFound(s)) return TaxiiError(404, Text(s));
    if (c_.note) c_.note(StrCat("taxii: ", Text(s)));
    HttpReply reply =
        TaxiiError(absl::IsUnavailable(s) ? 503 : 500, "not now; nothing was changed, try again");
    if (reply.status == 503) reply.headers.emplace_back("Retry-After", "5");
    return reply;
  }

  absl::Status Record(const HttpRequest& r, std::string_view action, const Collection& collection,
                      std::string_view key, uint64_t value, std::string_view more = {}) const {
    audit::AuditRecord record;
    record.time_ms = c_.now_us() / 1000;
    record.actor = r.principal->name;
    record.action = action;
    record.subject = collection.id;
    record.details.clear();
    JsonWriter w(&record.details);
    w.BeginObject();
    w.Key("collection"), w.String(collection.title);
    w.Key(key), w.Uint(value);
    if (!more.empty()) w.Key("what"), w.String(more);
    w.Key("remote"), w.String(r.remote);
    w.EndObject();
    return c_.record(std::move(record));
  }

  static share::Caller CallerOf(const HttpRequest& r) {
    share::Caller out;
    out.person = r.principal->name;
    out.admin = r.principal->Has(Role::kAdmin);
    for (int i = 1; i < kRoles; ++i) {
      if (r.principal->Has(Role(i))) out.roles.emplace_back(RoleName(Role(i)));
    }
    return out;
  }

  HttpReply Discovery() const {
    std::string body;
    JsonWriter w(&body);
    w.BeginObject();
    w.Key("title"), w.String("Stillwatch");
    w.Key("description"), w.String("Indicators of coordinated distillation campaigns");
    w.Key("default"), w.String(kRoot);
    w.Key("api_roots"), w.BeginArray(), w.String(kRoot), w.EndArray();
    w.EndObject();
    return Taxii(std::move(body));
  }

  HttpReply Root() const {
    std::string body;
    JsonWriter w(&body);
    w.BeginObject();
    w.Key("title"), w.String("Stillwatch");
    w.Key("versions"), w.BeginArray(), w.String(kTaxiiMedia), w.EndArray();
    w.Key("max_content_length"), w.Uint(kTaxiiBodyBytes);
    w.EndObject();
    return Taxii(std::move(body));
  }

  HttpReply Status(const HttpRequest& r, const std::string& id) const {
    auto status = c_.store->GetStatus(id);
    if (!status.ok()) return Fail(status.status());
    if (status->person != r.principal->name && !r.principal->Has(Role::kAdmin))
      return TaxiiError(404, StrCat("no status ", id));
    return Taxii(std::move(status->json));
  }

  HttpReply List(const HttpRequest& r) const {
    auto all = c_.store->List();
    if (!all.ok()) return Fail(all.status());
    const share::Caller caller = CallerOf(r);
    std::string rows;
    for (const Collection& c : *all) {
      auto access = c_.store->AccessOf(c.id, caller);
      if (absl::IsNotFound(access.status())) continue;  // removed since
      if (!access.ok()) return Fail(access.status());
      if (!access->any()) continue;
      if (!rows.empty()) rows += ",";
      JsonWriter w(&rows);
      Write(w, c, *access);
    }
    return Taxii(rows.empty() ? "{}" : StrCat("{\"collections\":[", rows, "]}"));
  }

  HttpReply OfCollection(const HttpRequest& r, const std::vector<std::string>& path) const {
    auto collection = c_.store->Get(path[2]);
    absl::StatusOr<Access> access = Access();
    if (collection.ok()) access = c_.store->AccessOf(collection->id, CallerOf(r));
    for (const absl::Status& s : {collection.status(), access.status()}) {
      if (!s.ok() && !absl::IsNotFound(s)) return Fail(s);
    }
    if (!collection.ok() || !access.ok() || !access->any())
      return TaxiiError(404, "no such collection, or none for this token");
    const Collection& c = *collection;
    const auto reading = [&](auto f) {
      return Get(r, [&] {
        return access->read ? f() : TaxiiError(403, "this token may add to it and not read it");
      });
    };
    const size_t n = path.size();
    if (n == 3) {
      return Get(r, [&] {
        std::string body;
        JsonWriter w(&body);
        Write(w, c, *access);
        return Taxii(std::move(body));
      });
    }
    if (n == 4 && path[3] == "manifest") return reading([&] { return Manifest(r, c); });
    if (path[3] != "objects" || n > 6 || (n == 6 && path[5] != "versions"))
      return TaxiiError(404, "there is nothing at this path");
    if (n == 6) return reading([&] { return Versions(r, c, path[4]); });
    if (n == 4) {
      if (r.method == "POST") {
        if (!access->write) return TaxiiError(403, "this token may read it and not add to it");
        return Post(r, c);
      }
      if (r.method != "GET" && r.method != "HEAD") return Not("GET, POST");
      return reading([&] { return Objects(r, c, {}); });
    }
    if (r.method == "DELETE") {
      if (!access->read || !access->write)
        return TaxiiError(403, "this token may not delete from it");
      return Delete(r, c, path[4]);
    }
    if (r.method != "GET" && r.method != "HEAD") return Not("GET, DELETE");
    return reading([&] { return Objects(r, c, path[4]); });
  }

  // A page of what the request asks for; `object`: of this one alone.
  absl::StatusOr<ObjectPage> Page(const HttpRequest& r, const Collection& c, TaxiiKnown known,
                                  const std::string& object, bool json, TaxiiQuery* query) const {
    auto q = ParseTaxiiQuery(r.query, known, r.path);
    if (!q.ok()) return q.status();
    if (!object.empty()) {
      auto has = c_.store->Has(c.id, object);
      if (!has.ok()) return has.status();
      if (!*has) return absl::NotFoundError(StrCat("no object ", object, " in this collection"));
      q->filter.ids = {object};
    }
    *query = *std::move(q);
    if (query->none) return ObjectPage();
    return c_.store->Objects(c.id, query->filter, query->limit, json);
  }

  static void Dates(const ObjectPage& page, HttpReply* reply) {
    if (page.objects.empty()) return;
    reply->headers.emplace_back("X-TAXII-Date-Added-First",
                                FormatMicros(page.objects.front().added_us));
    reply->headers.emplace_back("X-TAXII-Date-Added-Last",
                                FormatMicros(page.objects.back().added_us));
  }

  // {"more", "next", KEY: [...]}, {} when there is nothing.
  static HttpReply Envelope(const HttpRequest& r, const ObjectPage& page, const TaxiiQuery& query,
                            std::string_view key, std::string rows) {
    if (page.objects.empty()) return Taxii("{}");
    std::string body = "{\"more\":";
    body += page.more ? "true" : "false";
    if (page.more) {
      base::StrAppend(&body, ",\"next\":\"", NextOf(page.objects.back().added_us, query, r.path),
                      "\"");
    }
    base::StrAppend(&body, ",\"", key, "\":[", rows, "]}");
    HttpReply reply = Taxii(std::move(body));
    Dates(page, &reply);
    return reply;
  }

  HttpReply Objects(const HttpRequest& r, const Collection& c, const std::string& object) const {
    TaxiiKnown known;
    if (!object.empty()) known.id = known.type = false;
    TaxiiQuery query;
    auto page = Page(r, c, known, object, true, &query);
    if (!page.ok()) return Fail(page.status());
    if (!page->objects.empty()) {
      if (absl::Status s = Record(r, "taxii.read", c, "objects", page->objects.size(),
                                  StrCat(FormatMicros(page->objects.front().added_us), " to ",
                                         FormatMicros(page->objects.back().added_us)));
          !s.ok()) {
        return Fail(s);
      }
    }
    std::string rows;
    for (const auto& o : page->objects) base::StrAppend(&rows, rows.empty() ? "" : ",", o.json);
    return Envelope(r, *page, query, "objects", std::move(rows));
  }

  HttpReply Manifest(const HttpRequest& r, const Collection& c) const {
    TaxiiQuery query;
    auto page = Page(r, c, {}, {}, false, &query);
    if (!page.ok()) return Fail(page.status());
    std::string rows;
    for (const auto& o : page->objects) {
      if (!rows.empty()) rows += ",";
      JsonWriter w(&rows);
      w.BeginObject();
      w.Key("id"), w.String(o.id);
      w.Key("date_added"), w.String(FormatMicros(o.added_us));
      w.Key("version"), w.String(o.version);
      w.Key("media_type"), w.String(kStixMedia);
      w.EndObject();
    }
    return Envelope(r, *page, query, "objects", std::move(rows));
  }

  HttpReply Versions(const HttpRequest& r, const Collection& c, const std::string& object) const {
    TaxiiQuery query;
    TaxiiKnown known;
    known.id = known.type = known.version = false;
    auto q = ParseTaxiiQuery(r.query, known, r.path);
    if (!q.ok()) return Fail(q.status());
    auto has = c_.store->Has(c.id, object);
    if (!has.ok()) return Fail(has.status());
    if (!*has) return TaxiiError(404, StrCat("no object ", object, " in this collection"));
    q->filter.ids = {object};
    q->filter.all = true;
    absl::StatusOr<ObjectPage> page = ObjectPage();
    if (!q->none) page = c_.store->Objects(c.id, q->filter, q->limit, false);
    if (!page.ok()) return Fail(page.status());
    std::string rows;
    for (const auto& o : page->objects) {
      if (!rows.empty()) rows += ",";
      base::AppendJsonString(o.version, &rows);
    }
    return Envelope(r, *page, *q, "versions", std::move(rows));
  }

  HttpReply Delete(const HttpRequest& r, const Collection& c, const std::string& object) const {
    TaxiiKnown known;
    known.page = known.id = known.type = false;
    auto q = ParseTaxiiQuery(r.query, known, r.path);
    if (!q.ok()) return Fail(q.status());
    auto has = c_.store->Has(c.id, object);
    if (!has.ok()) return Fail(has.status());
    if (!*has) return TaxiiError(404, StrCat("no object ", object, " in this collection"));
    if (absl::Status s = Record(r, "taxii.delete", c, "objects", 1, object); !s.ok())
      return Fail(s);
    absl::StatusOr<uint64_t> gone = uint64_t{0};
    if (!q->none) gone = c_.store->Delete(c.id, object, q->filter);
    if (!gone.ok()) return Fail(gone.status());
    if (*gone == 0) return TaxiiError(404, StrCat("no such version of ", object));
    return Taxii("");
  }

  HttpReply Post(const HttpRequest& r, const Collection& c) const {
    if (!share::IsTaxii(r.Header("content-type")))
      return TaxiiError(415, StrCat("Content-Type: this server takes ", kTaxiiMedia));
    const int64_t asked_us = c_.now_us();
    simdjson::padded_string body(r.body);
    auto envelope = share::ReadEnvelope(body, kEnvelopeObjects);
    if (absl::IsResourceExhausted(envelope.status()))
      return TaxiiError(413, Text(envelope.status()) + "; send them in several");
    if (!envelope.ok()) return TaxiiError(422, Text(envelope.status()));
    if (envelope->objects.empty()) {
      return TaxiiError(422, "the envelope holds no object: expected {\"objects\": [...]}");
    }
    std::vector<share::NewObject> good;
    std::vector<PutResult> failed;
    for (const std::string_view json : envelope->objects) {
      auto object = ReadTaxiiObject(json);
      absl::Status s = object.status();
      if (s.ok() && c_.check) s = c_.check(json);
      if (s.ok()) {
        good.push_back(*std::move(object));
        continue;
      }
      PutResult f = Named(json);
      f.why = Text(s);
      failed.push_back(std::move(f));
    }
    if (absl::Status s =
            Record(r, "taxii.add", c, "objects", good.size(), StrCat(failed.size(), " refused"));
        !s.ok()) {
      return Fail(s);
    }
    const std::string id = share::NewUuid();
    std::string status;
    auto put = c_.store->Put(c.id, good, r.principal->name, id,
                             [&](const std::vector<PutResult>& results) {
                               return status = StatusText(id, asked_us, results, failed);
                             });
    if (!put.ok()) return Fail(put.status());
    return Taxii(std::move(status), 202);
  }

  // What a refused object calls itself, as far as that can be repeated.
  static PutResult Named(std::string_view json) {
    PutResult out;
    simdjson::dom::parser parser;
    simdjson::dom::element e;
    std::string_view v;
    if (parser.parse(json.data(), json.size()).get(e) == simdjson::SUCCESS && e.is_object()) {
      if (!e["id"].get(v)) out.id = v.substr(0, 300);
      if (!e["modified"].get(v) && share::ParseMicros(v)) out.version = v;
    }
    if (out.id.empty()) out.id = "unknown";
    return out;
  }

  static std::string StatusText(const std::string& id, int64_t asked_us,
                                const std::vector<PutResult>& results,
                                const std::vector<PutResult>& refused) {
    std::vector<const PutResult*> good, bad;
    for (const auto& r : results) (r.why.empty() ? good : bad).push_back(&r);
    for (const auto& r : refused) bad.push_back(&r);
    std::string out;
    JsonWriter w(&out);
    const auto details = [&](const char* key, const std::vector<const PutResult*>& rows) {
      if (rows.empty()) return;
      w.Key(key), w.BeginArray();
      for (const PutResult* r : rows) {
        w.BeginObject();
        w.Key("id"), w.String(r->id);
        w.Key("version"), w.String(r->version.empty() ? FormatMicros(asked_us) : r->version);
        if (!r->why.empty()) w.Key("message"), w.String(r->why);
        w.EndObject();
      }
      w.EndArray();
    };
    w.BeginObject();
    w.Key("id"), w.String(id);
    w.Key("status"), w.String("complete");
    w.Key("request_timestamp"), w.String(FormatMicros(asked_us));
    w.Key("total_count"), w.Uint(good.size() + bad.size());
    w.Key("success_count"), w.Uint(good.size());
    details("successes", good);
    w.Key("failure_count"), w.Uint(bad.size());
    details("failures", bad);
    w.Key("pending_count"), w.Uint(0);
    w.EndObject();
    return out;
  }

  const TaxiiContext c_;
};

}  // namespace

HttpReply TaxiiError(int status, std::string_view message) {
  std::string body;
  JsonWriter w(&body);
  w.BeginObject();
  w.Key("title"), w.String(ReasonPhrase(status));
  w.Key("description"), w.String(message);
  w.Key("http_status"), w.String(std::to_string(status));
  w.EndObject();
  return Taxii(std::move(body), status);
}

absl::StatusOr<share::NewObject> ReadTaxiiObject(std::string_view json) {
  const auto bad = [](const auto&... what) { return absl::InvalidArgumentError(StrCat(what...)); };
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  simdjson::dom::object object;
  if (parser.parse(json.data(), json.size()).get(root) || root.get(object))
    return bad("expected a JSON object");
  std::string id, type, created, modified, spec;
  std::set<std::string_view> seen;
  for (const auto field : object) {
    std::string* const to = field.key == "id"             ? &id
                            : field.key == "type"         ? &type
                            : field.key == "created"      ? &created
                            : field.key == "modified"     ? &modified
                            : field.key == "spec_version" ? &spec
                                                          : nullptr;
    if (to == nullptr) continue;
    if (!seen.insert(field.key).second) return bad("/", field.key, ": is there twice");
    std::string_view v;
    if (field.value.get(v) || v.empty()) return bad("/", field.key, ": expected text");
    *to = v;
  }
  if (type == "bundle") return bad("/type: a bundle is no object; send what it holds");
  if (!IsStixId(id)) return bad("/id: expected type--uuid");
  if (id.substr(0, id.find("--")) != type) return bad("/type: is not the one of the id");
  if (spec.empty() && !created.empty())
    return bad("/spec_version: is missing (STIX 2.0?); this server takes STIX 2.1");
  if (!spec.empty() && spec != "2.1")
    return bad("/spec_version: ", spec, "; this server takes STIX 2.1");
  for (const auto& [key, value] : {std::pair("created", &created), {"modified", &modified}}) {
    if (!value->empty() && !share::ParseMicros(*value))
      return bad("/", key, ": expected a timestamp like 2026-04-22T00:01:43.688Z");
  }
  return share::NewObject{std::move(id), std::move(type),
                          modified.empty() ? std::move(created) : std::move(modified),
                          std::string(json)};
}

void AddTaxiiRoutes(Router* router, TaxiiContext context) {
  auto taxii = std::make_shared<const Taxii21>(std::move(context));
  router->Add({.method = "*",
               .pattern = "/taxii2/*",
               .role = Role::kShare,
               .speed = Speed::kPool,
               .handler = [taxii](const HttpRequest& r) { return taxii->Answer(r); },
               .body_bytes = kTaxiiBodyBytes,
               .basic = true,
               .refusal = TaxiiError});
}

}  // namespace stillwatch::serve
