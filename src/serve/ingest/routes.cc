#include "serve/ingest/routes.h"

#include "base/json.h"
#include "base/str.h"

namespace stillwatch::serve {
namespace {

using base::StrCat;

// What is kept beside a refused record: which path, who.
std::string SourceOf(const HttpRequest& request) {
  return StrCat(request.path, " ", request.remote, " ",
                request.principal == nullptr ? "" : request.principal->name);
}

HttpReply Failed(const absl::Status& status) {
  const bool passes = absl::IsResourceExhausted(status) || absl::IsUnavailable(status);
  HttpReply reply = ErrorReply(passes                            ? 503
                               : absl::IsInvalidArgument(status) ? 400
                                                                 : 500,
                               std::string_view(status.message().data(), status.message().size()));
  if (passes) reply.headers.emplace_back("Retry-After", "1");
  return reply;
}

HttpReply Answer(const absl::StatusOr<ingest::IngestResult>& result) {
  if (!result.ok()) return Failed(result.status());
  std::string body;
  base::JsonWriter w(&body);
  w.BeginObject();
  w.Key("accepted");
  w.Uint(result->accepted);
  w.Key("rejected");
  w.Uint(result->rejected);
  w.Key("errors");
  w.BeginArray();
  for (const ingest::IngestReason& r : result->reasons) {
    w.BeginObject();
    w.Key("record");
    w.Uint(r.record);
    w.Key("reason");
    w.String(r.reason);
    w.EndObject();
  }
  w.EndArray();
  w.EndObject();
  return JsonReply(std::move(body), result->accepted == 0 && result->rejected > 0 ? 400 : 200);
}

Handler Otlp(OtlpService* service, OtlpKind kind) {
  return [service, kind](const HttpRequest& request) {
    const std::string type = request.ContentType();
    const bool json = type == "application/json";
    HttpReply reply;
    if (!json && type != "application/x-protobuf") {
      reply.status = 415;
      reply.body = OtlpErrorBody(
          absl::InvalidArgumentError("content-type: application/x-protobuf or application/json"),
          OtlpEncoding::kJson);
      return reply;
    }
    OtlpAnswer answer = service->Export(kind, json ? OtlpEncoding::kJson : OtlpEncoding::kProtobuf,
                                        request.body, SourceOf(request));
    reply.status = answer.http_status;
    reply.content_type = type;
    reply.body = std::move(answer.body);
    if (answer.retry_after_s > 0)
      reply.headers.emplace_back("Retry-After", std::to_string(answer.retry_after_s));
    return reply;
  };
}

}  // namespace

void AddIngestRoutes(Router* router, ingest::IngestService* service) {
  const auto exchanges = [service](ingest::BodyFormat format) {
    return [service, format](const HttpRequest& request) {
      return Answer(service->Exchanges(format, request.body, SourceOf(request)));
    };
  };
  router->Add("POST", "/v1/exchanges", Role::kIngest, Speed::kPool,
              exchanges(ingest::BodyFormat::kCanonical));
  // LiteLLM calls its ndjson application/json: the body tells, not its type.
  router->Add("POST", "/v1/litellm", Role::kIngest, Speed::kPool,
              exchanges(ingest::BodyFormat::kLitellm));
  router->Add("POST", "/v1/accounts", Role::kIngest, Speed::kPool,
              [service](const HttpRequest& request) {
                return Answer(service->Accounts(request.body, SourceOf(request)));
              });
}

void AddOtlpRoutes(Router* router, OtlpService* service) {
  router->Add("POST", "/v1/traces", Role::kIngest, Speed::kPool, Otlp(service, OtlpKind::kTraces));
  router->Add("POST", "/v1/logs", Role::kIngest, Speed::kPool, Otlp(service, OtlpKind::kLogs));
}

void WatchIngest(Metrics* metrics, const ingest::IngestService* service,
                 const journal::Journal* journal, const ingest::Loader* loader,
                 const ingest::RejectedLog* rejected) {
  const auto watch = [&](const char* name, const char* help, std::function<double()> read) {
    metrics->Watch(StrCat("stillwatch_", name), help, std::move(read));
  };
  const auto d = [](uint64_t v) { return static_cast<double>(v); };
  watch("ingest_accepted_total", "exchanges acknowledged",
        [=] { return d(service->stats().accepted); });
  watch("ingest_rejected_total", "records refused, see rejected.jsonl",
        [=] { return d(service->stats().rejected); });
  watch("ingest_accounts_total", "account records acknowledged",
        [=] { return d(service->stats().accounts); });
  watch("ingest_refused_bodies_total", "requests refused because too much was in work",
        [=] { return d(service->stats().refused_bodies); });
  watch("ingest_rejected_unkept_total", "refused records that could not be written down",
        [=] { return d(rejected->unkept()); });
  watch("journal_bytes", "of the journal on disk", [=] { return d(journal->stats().bytes); });
  watch("journal_entries", "acknowledged, not yet in the lake", [=] {
    const journal::JournalStats s = journal->stats();
    return d(s.last - s.committed);
  });
  watch("journal_syncs_total", "fdatasync calls", [=] { return d(journal->stats().syncs); });
  watch("journal_refused_total", "appends refused because a bound was reached",
        [=] { return d(journal->stats().refused); });
  watch("journal_failed_total", "appends that the disk refused",
        [=] { return d(journal->stats().failed); });
  watch("journal_lost_entries", "acknowledged entries that cannot be read back",
        [=] { return d(journal->stats().lost); });
  watch("loader_rows_total", "rows that the lake has taken",
        [=] { return d(loader->stats().rows); });
  watch("loader_inserts_total", "inserts that the lake has taken",
        [=] { return d(loader->stats().inserts); });
  watch("loader_failures_total", "inserts that are tried again",
        [=] { return d(loader->stats().failures); });
}

}  // namespace stillwatch::serve
