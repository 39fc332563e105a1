#include "engine/scan.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <optional>
#include <random>
#include <tuple>

#include "base/json.h"
#include "base/parallel.h"
#include "base/str.h"
#include "dossier/outputs.h"
#include "engine/again.h"
#include "engine/attribution.h"
#include "engine/exchange_rows.h"
#include "engine/log_builder.h"
#include "engine/specimens.h"
#include "ingest/content_hash.h"
#include "lookup/lookup.h"
#include "sketch/sketcher.h"

namespace stillwatch::engine {
namespace {

using base::StrCat;
namespace fs = std::filesystem;

class Clock {
 public:
  double Lap() {
    const auto now = std::chrono::steady_clock::now();
    const double s = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return s;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

absl::StatusOr<uint64_t> Number(lake::Lake& lake, std::string_view sql) {
  uint64_t n = 0;
  const absl::Status s = lake.Query(sql, [&](const lake::Block& b) {
    if (b.rows() > 0) n = b.columns[0].As<std::vector<uint64_t>>()[0];
    return absl::OkStatus();
  });
  if (!s.ok()) return s;
  return n;
}

lake::Block Journal(uint32_t batch, const char* state, std::string_view source, uint64_t records,
                    uint64_t rejected) {
  lake::StringColumn state_column, source_column;
  state_column.Append(state);
  source_column.Append(source);
  return {{{"batch", std::vector<uint32_t>{batch}},
           {"state", state_column},
           {"source", source_column},
           {"records", std::vector<uint64_t>{records}},
           {"rejected", std::vector<uint64_t>{rejected}}}};
}

// The rows that a scan may see. Of duplicates only those within the window compete, as in memory.
std::string Window(const ScanInput& in) {
  std::string window = "1";
  if (in.since_ms != INT64_MIN) window += StrCat(" AND ts >= ", in.since_ms);
  if (in.until_ms != INT64_MAX) window += StrCat(" AND ts < ", in.until_ms);
  return window;
}

// Names the records that lost against another of the same exchange_id with different content. Begun
// again it goes on behind the last that was named: the lake's order is that of bytes, as here.
absl::Status RejectConflicts(const ScanInput& in,
                             const std::function<absl::Status(model::Reject)>& reject,
                             uint64_t* count) {
  const std::string window = Window(in);
  std::pair<std::string, uint32_t> named;  // exchange and content
  const auto read = [&] {
    std::string winner;
    uint32_t last = 0;
    return in.lake->Query(
        StrCat("SELECT exchange_id, account_id, content FROM exchanges WHERE ", window,
               " AND exchange_id IN (SELECT exchange_id FROM exchanges WHERE ", window,
               " GROUP BY exchange_id HAVING min(content) != max(content)) ORDER BY exchange_id, "
               "content, account_id, ts"),
        [&](const lake::Block& b) -> absl::Status {
          for (size_t i = 0; i < b.rows(); ++i) {
            const auto id = b.columns[0].As<lake::StringColumn>()[i];
            const uint32_t content = b.columns[2].As<std::vector<uint32_t>>()[i];
            const bool fresh = id != winner, same = content == last;
            winner = id;
            last = content;
            if (fresh || same || std::tie(winner, last) <= std::tie(named.first, named.second))
              continue;
            named = {winner, last};
            model::Reject r;
            r.source = "lake";
            r.reason = StrCat(
                "exchange_id: \"", id, "\" of account ", b.columns[1].As<lake::StringColumn>()[i],
                " has two different records; the one with the smaller content hash counts");
            ++*count;
            if (absl::Status s = reject(std::move(r)); !s.ok()) return s;
          }
          return absl::OkStatus();
        });
  };
  return Again(read, in.note, in.stop);
}

// One line for each candidate that was weighed; read by evaluate and by passes (engine/live.cc).
std::string CandidatesJson(const std::vector<judge::WeighedCandidate>& weighed) {
  std::string out;
  for (const judge::WeighedCandidate& c : weighed) {
    base::JsonWriter w(&out);
    w.BeginObject();
    w.Key("formed");
    w.String(judge::FormedName(c.formed));
    w.Key("verdict");
    w.String(model::VerdictName(c.verdict));
    w.Key("distillation");
    w.Double(std::round(c.probability[static_cast<int>(model::Verdict::kDistillation)] * 1e6) /
             1e6);
    w.Key("odds_bits");
    w.Double(std::round(c.odds_bits * 1e3) / 1e3);
    w.Key("purpose_bits");
    w.Double(std::round(c.purpose_bits * 1e3) / 1e3);
    w.Key("independent_bits");
    w.Double(std::round(c.independent_bits * 1e3) / 1e3);
    w.Key("open");
    w.Bool(c.open);
    w.Key("reported");
    w.Bool(c.reported);
    w.Key("campaign");
    w.String(c.campaign);
    w.Key("accounts");
    w.Uint(c.accounts);
    w.Key("exchanges");
    w.Uint(c.exchanges);
    w.Key("sample");
    w.BeginArray();
    for (const auto& [exchange, account] : c.sample) {
      w.BeginArray();
      w.String(exchange);
      w.String(account);
      w.EndArray();
    }
    w.EndArray();
    w.EndObject();
    out.push_back('\n');
  }
  return out;
}

}  // namespace

absl::StatusOr<ScanResult> Scan(const ScanInput& in) {
  ScanResult out;
  Clock clock;
  lake::Lake& lake = *in.lake;
  dossier::Results results(in.out);
  if (absl::Status s = results.Begin(); !s.ok()) return s;

  // What earlier scans left.
  if (absl::Status s = lake.Query(
          "SELECT batch, argMin(source, state) AS source FROM ingests GROUP BY batch "
          "HAVING countIf(state = 'done') = 0 ORDER BY batch",
          [&](const lake::Block& b) {
            for (size_t i = 0; i < b.rows(); ++i) {
              in.note(StrCat("an earlier scan of ", b.columns[1].As<lake::StringColumn>()[i],
                             " was interrupted; what it had read is kept and counts once: scan "
                             "that log again to complete it"));
            }
            return absl::OkStatus();
          });
      !s.ok()) {
    return s;
  }
  auto before = Number(lake, "SELECT count() FROM exchanges");
  if (!before.ok()) return before.status();
  auto next = Number(lake, "SELECT toUInt64(max(batch)) FROM ingests");
  if (!next.ok()) return next.status();
  // Scans that begin at once in a shared lake must not take the same number.
  const uint32_t batch =
      lake.Shared() ? (std::random_device()() >> 1 | 1u << 20) : static_cast<uint32_t>(*next + 1);
  // Into an empty lake rows go to the log as they are stored; otherwise, and when others write too,
  // it is read back whole.
  const bool direct = *before == 0 && !lake.Shared();
  std::optional<LogBuilder> builder;
  const auto begin = [&] { builder.emplace(in.since_ms, in.until_ms, in.judge.templates, in.out); };
  begin();

  const auto reject = [&](model::Reject r) -> absl::Status {
    ++out.rejected;
    if (in.strict) {
      return absl::InvalidArgumentError(
          StrCat(r.source, ":", r.line, ": ", r.reason, " (--strict)"));
    }
    return results.Reject(r);
  };
  absl::Status status;
  if (in.source != nullptr) {
    in.stage("reading");
    status = lake.Insert("ingests", Journal(batch, "begun", in.source_name, 0, 0));
    if (!status.ok()) return status;
    struct alignas(64) Worker {
      sketch::Sketcher sketcher;
      model::Sketch sketch;
      std::unique_ptr<ExchangeRows> rows;
      uint64_t read = 0;
    };
    std::vector<Worker> workers(in.threads);
    for (Worker& w : workers) w.rows = std::make_unique<ExchangeRows>(batch);
    const auto flush = [&](Worker& w) -> absl::Status {
      if (w.rows->rows() == 0) return absl::OkStatus();
      const lake::Block block = w.rows->Take();
      if (absl::Status s = lake.Insert("exchanges", block); !s.ok()) return s;
      return direct ? builder->AddExchanges(block) : absl::OkStatus();
    };
    ingest::Sink sink;
    sink.exchange = [&](int worker, const model::ExchangeView& e) -> absl::Status {
      Worker& w = workers[worker];
      const uint32_t content = ingest::ContentHash(e);
      if (e.has_sketch) {
        w.rows->Append(e, content, e.sketch);
      } else if (e.has_text) {
        w.sketcher.Sketch(e.system, e.turn, e.response, e.tools, e.messages, &w.sketch);
        w.rows->Append(e, content, w.sketch);
      } else {
        w.rows->Append(e, content, model::Sketch());
      }
      ++w.read;
      return w.rows->rows() >= lake::kInsertRows ? flush(w) : absl::OkStatus();
    };
    sink.reject = reject;
    status = in.source->Read(in.threads, sink, in.progress, in.stop);
    base::Parallel(in.threads).For(workers.size(), 1, [&](size_t begin, size_t end, int) {
      for (size_t i = begin; i < end; ++i) {
        // After an error too: what was read is kept, unless the whole batch is withdrawn below.
        const absl::Status s = flush(workers[i]);
        static std::mutex mutex;
        const std::lock_guard<std::mutex> lock(mutex);
        if (status.ok()) status = s;
      }
    });
    for (const Worker& w : workers) out.read += w.read;
  }
  if (status.ok() && in.accounts) {
    status = in.accounts(
        [&](const lake::Block& block) -> absl::Status {
          if (absl::Status s = lake.Insert("accounts", block); !s.ok()) return s;
          return direct ? builder->AddAccounts(block) : absl::OkStatus();
        },
        reject);
  }
  if (!status.ok()) {
    if (absl::IsInvalidArgument(status) && in.source != nullptr) {
      // Unreadable input leaves nothing: its rows go, and the journal forgets the attempt.
      (void)lake.Delete("exchanges", StrCat("batch = ", batch));
      (void)lake.Insert("ingests", Journal(batch, "done", in.source_name, 0, out.rejected));
    }
    return status;
  }
  out.seconds.push_back({"read", clock.Lap()});

  in.stage("linking");
  const auto read_accounts = [&] {
    return lake.Query(
        "SELECT account_id, content, created_at, org_id, org_verified, plan, channel, "
        "email_domain, payment_id, "
        "kyc, referrer, signup_ip FROM accounts",
        [&](const lake::Block& b) { return builder->AddAccounts(b); });
  };
  if (!direct) {
    const auto read = [&] {
      begin();
      const absl::Status s =
          lake.Query(StrCat("SELECT ", kLogColumns, " FROM exchanges WHERE ", Window(in)),
                     [&](const lake::Block& b) { return builder->AddExchanges(b); });
      return s.ok() ? read_accounts() : s;
    };
    status = Again(read, in.note, in.stop);
  } else if (!in.accounts) {
    status = read_accounts();
  }
  if (!status.ok()) return status;
  const base::Parallel parallel(in.threads);
  uint64_t conflicts = 0;
  link::Log log;
  auto index = lookup::Writer::Create(results.Partial(lookup::kFileName));
  if (!index.ok()) return index.status();
  status = builder->Finish(parallel, &log, &conflicts, index->get());
  if (!status.ok()) return status;
  builder.reset();  // with its file
  if (conflicts > 0) {
    if (status = RejectConflicts(in, reject, &out.conflicts); !status.ok()) return status;
  }
  out.exchanges = log.rows();
  for (uint32_t a = 0; a < log.accounts(); ++a) out.accounts += log.Exchanges(a) > 0;
  out.seconds.push_back({"load", clock.Lap()});
  if (in.stop != nullptr && *in.stop) return absl::CancelledError("interrupted");

  in.stage("judging");
  judge::JudgeOptions options = in.judge;
  options.specimens = in.specimens;
  options.on_templates = [&](std::span<const link::Template> templates) {
    status = IndexTemplates(log, templates, index->get());
    if (status.ok()) status = (*index)->Finish();
  };
  judge::Judged judged = judge::Judge(log, options, parallel);
  if (!status.ok()) return status;
  out.candidates = judged.candidates;
  out.templates = judged.templates;
  out.findings = std::move(judged.findings);
  out.weighed = std::move(judged.weighed);
  if (judged.skipped > 0)
    in.note(StrCat(judged.skipped, " small candidates were not weighed (bound of the review)"));
  if (in.enrich) {
    for (model::Campaign& c : out.findings.campaigns) in.enrich(&c);
  }
  out.seconds.push_back({"judge", clock.Lap()});
  if (in.stop != nullptr && *in.stop) return absl::CancelledError("interrupted");

  in.stage("writing");
  const bool csv = in.attribution == ScanInput::kCsv;
  const auto name = [&] {
    // The queries of the dossiers read this table.
    absl::Status s = in.trial ? absl::OkStatus() : lake.Execute("TRUNCATE TABLE attributed");
    if (s.ok() && csv) s = results.BeginExchanges();
    if (!s.ok()) return s;
    return NameExchanges(
        lake, log, batch, &out.findings, &out.weighed,
        csv ? EachExchange(std::bind_front(&dossier::Results::Exchange, &results)) : nullptr,
        !in.trial);
  };
  if (status = Again(name, in.note, in.stop); !status.ok()) return status;
  if (status = TakeSpecimens(in, &out.findings); !status.ok()) return status;
  if (status = results.Write(out.findings); !status.ok()) return status;
  if (status = results.Put("candidates.jsonl", CandidatesJson(out.weighed)); !status.ok())
    return status;
  if (in.attribution == ScanInput::kParquet) {
    // One thread: the same rows make the same bytes.
    status = lake.Execute(StrCat(
        "SELECT exchange_id, account_id, campaign_id FROM attributed ORDER BY campaign_id, "
        "account_id, exchange_id INTO OUTFILE ",
        lake::SqlString(fs::absolute(results.Partial("exchanges.parquet")).string()),
        " FORMAT Parquet SETTINGS max_threads = 1, output_format_parquet_parallel_encoding = 0"));
    if (!status.ok()) return status;
  }
  if (in.source != nullptr) {
    status = lake.Insert("ingests", Journal(batch, "done", in.source_name, out.read, out.rejected));
    if (!status.ok()) return status;
  }
  if (status = results.Publish(); !status.ok()) return status;
  out.seconds.push_back({"write", clock.Lap()});
  return out;
}

}  // namespace stillwatch::engine
