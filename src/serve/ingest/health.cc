#include "serve/ingest/health.h"

#include "base/json.h"
#include "base/time.h"

namespace stillwatch::serve {
namespace {

class Out {
 public:
  explicit Out(std::string* text) : w_(text) {}
  Out& Open(const char* key = nullptr) {
    if (key != nullptr) w_.Key(key);
    w_.BeginObject();
    return *this;
  }
  Out& Close() {
    w_.EndObject();
    return *this;
  }
  Out& List(const char* key) {
    w_.Key(key);
    w_.BeginArray();
    return *this;
  }
  Out& EndList() {
    w_.EndArray();
    return *this;
  }
  Out& N(const char* key, uint64_t v) {
    w_.Key(key);
    w_.Uint(v);
    return *this;
  }
  Out& B(const char* key, bool v) {
    w_.Key(key);
    w_.Bool(v);
    return *this;
  }
  Out& S(const char* key, std::string_view v) {
    w_.Key(key);
    w_.String(v);
    return *this;
  }
  // 0 and below: never.
  Out& T(const char* key, int64_t ms) {
    w_.Key(key);
    if (ms <= 0)
      w_.Null();
    else
      w_.String(base::FormatRfc3339(ms));
    return *this;
  }

 private:
  base::JsonWriter w_;
};

}  // namespace

std::string IngestHealthJson(const IngestHealth& h, int64_t now_ms) {
  std::string text;
  Out o(&text);
  const ingest::LiveStats live = h.service->stats();
  o.Open()
      .T("now", now_ms)
      .N("accepted", live.accepted)
      .N("rejected", live.rejected)
      .N("rejected_unkept", h.rejected->unkept())
      .N("accounts", live.accounts)
      .N("refused_bodies", live.refused_bodies);
  const journal::JournalStats j = h.journal->stats();
  const ingest::LoaderStats l = h.loader->stats();
  o.List("queues");
  for (const auto& [name, used, most, lost] :
       {std::tuple{"requests in work, bytes", live.bytes_in_work, live.bytes_in_work_max,
                   live.refused_bodies},
        {"journal, bytes on disk", j.bytes, h.journal_bytes_max, j.refused},
        {"audit log, records", h.audit_queued, h.audit_queue_max, h.audit_dropped}})
    o.Open().S("name", name).N("used", used).N("bound", most).N("refused", lost).Close();
  o.EndList();
  o.Open("journal")
      .N("waiting", j.last - j.committed)
      .N("failed", j.failed)
      .N("lost", j.lost)
      .Close();
  o.Open("lake")
      .B("open", h.lake_open)
      .B("failing", l.failing)
      .S("error", l.last_error)
      .N("rows", l.rows)
      .N("failures", l.failures)
      .N("starts", h.lake_starts)
      .Close();
  o.Open("alerts").N("waiting", h.alerts_waiting).N("dead", h.alerts_dead).Close();
  const IngestHealth::Passes& p = h.passes;
  o.Open("passes")
      .B("enabled", p.enabled)
      .N("done", p.done)
      .N("failed", p.failed)
      .N("skipped", p.skipped)
      .N("killed", p.killed)
      .T("ended_at", p.ended_ms)
      .N("milliseconds", uint64_t(p.duration_ms))
      .N("interval_milliseconds", uint64_t(p.interval_ms))
      .N("exchanges", p.exchanges)
      .N("accounts", p.accounts)
      .N("campaigns", p.campaigns)
      .N("open", p.open)
      .N("peak_bytes", p.peak_bytes)
      .S("error", p.error)
      .Close();
  const ingest::Tally& t = h.service->tally();
  o.List("sources");
  for (const auto& s : t.Sources())
    o.Open()
        .S("source", s.source)
        .N("accepted", s.accepted)
        .N("rejected", s.rejected)
        .T("first_at", s.first_ms)
        .T("last_at", s.last_ms)
        .T("newest_record", s.newest_ms)
        .Close();
  o.EndList().List("minutes");
  for (const auto& m : t.Minutes(now_ms))
    o.Open().T("begin", m.begin_ms).N("accepted", m.accepted).N("rejected", m.rejected).Close();
  o.EndList().List("reasons");
  for (const auto& r : t.Reasons())
    o.Open().S("reason", r.reason).N("count", r.count).T("last_at", r.last_ms).Close();
  o.EndList().List("refused");
  for (const auto& r : t.Refused())
    o.Open()
        .T("at", r.ms)
        .S("source", r.source)
        .N("record", r.record)
        .S("reason", r.reason)
        .Close();
  o.EndList().Close();
  return text;
}

}  // namespace stillwatch::serve
