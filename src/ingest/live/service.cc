#include "ingest/live/service.h"

#include <simdjson.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/str.h"
#include "engine/exchange_rows.h"
#include "ingest/content_hash.h"
#include "ingest/formats/rows.h"
#include "ingest/jsonl/jsonl_source.h"
#include "ingest/jsonl/side_files.h"
#include "ingest/live/account_block.h"
#include "ingest/live/litellm.h"
#include "lake/lake.h"
#include "sketch/sketcher.h"

namespace stillwatch::ingest {
namespace {

using base::StrCat;

constexpr size_t kIdleMax = 64;        // workers kept for the next request
constexpr int64_t kWorkerMs = 60'000;  // their clock may be off by so much
constexpr size_t kRejectBytes = 1024;  // of a record, before RejectedLog's own bound

// Lines of a body, blanks at their ends and empty ones left out: (text, number, offset).
template <typename F>
void ForLines(std::string_view body, F f) {
  uint64_t line = 1;
  for (size_t at = 0; at < body.size(); ++line) {
    const size_t begin = at, end = std::min(body.find('\n', at), body.size());
    at = end + 1;
    std::string_view text = body.substr(begin, end - begin);
    while (!text.empty() && (text.back() == '\r' || text.back() == ' ' || text.back() == '\t'))
      text.remove_suffix(1);
    if (!text.empty()) f(text, line, begin);
  }
}

}  // namespace

// What one request at a time works with; its buffers stay warm.
struct IngestService::Worker {
  explicit Worker(int64_t now) : now_ms(now), parser(now), reader(now), rows(0) {}
  const int64_t now_ms;
  RecordParser parser;
  RowReader reader;
  sketch::Sketcher sketcher;
  model::Sketch sketch;
  model::ExchangeView view;
  engine::ExchangeRows rows;
  RowWriter writer;
  LitellmReader litellm;
  AccountParser accounts;
  std::string line;
};

struct IngestService::Batch::State {
  IngestService* service;
  std::unique_ptr<Worker> worker;
  std::string source;
  size_t bytes = 0;
  int64_t newest_ms = INT64_MIN;
  IngestResult result;
  absl::Status status;  // of blocks that were full before Commit

  void Flush() {
    if (worker->rows.rows() == 0) return;
    const lake::Block block = worker->rows.Take();
    if (status.ok()) status = service->journal_->Append("exchanges", block);
  }
};

IngestService::Batch::Batch(std::unique_ptr<State> state) : state_(std::move(state)) {}
IngestService::Batch::Batch(Batch&&) noexcept = default;

IngestService::Batch::~Batch() {
  if (state_ == nullptr) return;
  state_->service->in_work_ -= state_->bytes;
  if (state_->worker->rows.rows() == 0) state_->service->Return(std::move(state_->worker));
}

void IngestService::Batch::Exchange(const model::ExchangeView& e) {
  Worker& w = *state_->worker;
  const uint32_t content = ContentHash(e);
  if (e.has_sketch) {
    w.rows.Append(e, content, e.sketch);
  } else if (e.has_text) {
    w.sketcher.Sketch(e.system, e.turn, e.response, e.tools, e.messages, &w.sketch);
    w.rows.Append(e, content, w.sketch);
  } else {
    w.rows.Append(e, content, model::Sketch());
  }
  ++state_->result.accepted;
  state_->newest_ms = std::max(state_->newest_ms, e.ts_ms);
  if (w.rows.rows() >= lake::kInsertRows) state_->Flush();
}

void IngestService::Batch::Reject(model::Reject r) {
  IngestResult& result = state_->result;
  ++result.rejected;
  if (result.reasons.size() < kReasonsMax)
    result.reasons.push_back({r.line, r.reason.substr(0, kReasonBytesMax)});
  r.source = state_->source;
  state_->service->rejected_->Add(r, state_->worker->now_ms);
  state_->service->tally_.Refuse(r.source, r.line, r.reason, state_->worker->now_ms);
}

void IngestService::Batch::Rows(const lake::Block& rows) {
  ReadRows(
      rows, &state_->worker->reader, [this](const model::ExchangeView& e) { Exchange(e); },
      [this](model::Reject r) { Reject(std::move(r)); });
}

absl::StatusOr<IngestResult> IngestService::Batch::Commit() {
  State& s = *state_;
  s.Flush();
  if (!s.status.ok()) return s.status;
  s.service->accepted_ += s.result.accepted;
  s.service->rejected_count_ += s.result.rejected;
  s.service->tally_.Add(s.source, s.result.accepted, s.result.rejected, s.newest_ms,
                        s.service->options_.now_ms());
  return std::move(s.result);
}

IngestService::IngestService(journal::Journal* journal, RejectedLog* rejected, LiveOptions options)
    : journal_(journal), rejected_(rejected), options_(std::move(options)) {}
IngestService::~IngestService() = default;

std::unique_ptr<IngestService::Worker> IngestService::Take() {
  const int64_t now = options_.now_ms();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    while (!idle_.empty()) {
      std::unique_ptr<Worker> worker = std::move(idle_.back());
      idle_.pop_back();
      if (std::abs(now - worker->now_ms) < kWorkerMs) return worker;
    }
  }
  return std::make_unique<Worker>(now);
}

void IngestService::Return(std::unique_ptr<Worker> worker) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (idle_.size() < kIdleMax) idle_.push_back(std::move(worker));
}

absl::Status IngestService::Reserve(size_t bytes) {
  const size_t before = in_work_.fetch_add(bytes);
  // One alone may be larger than the bound.
  if (before == 0 || before + bytes <= options_.bytes_in_work_max) return absl::OkStatus();
  in_work_ -= bytes;
  ++refused_;
  return absl::ResourceExhaustedError(
      StrCat("ingest: ", before, " bytes of requests are in work; send this one again later"));
}

absl::StatusOr<IngestService::Batch> IngestService::Begin(std::string_view source, size_t bytes) {
  if (absl::Status s = Reserve(bytes); !s.ok()) return s;
  auto state = std::make_unique<Batch::State>();
  state->service = this;
  state->worker = Take();
  state->source = source;
  state->bytes = bytes;
  return Batch(std::move(state));
}

absl::StatusOr<IngestResult> IngestService::Exchanges(BodyFormat format, std::string_view body,
                                                      std::string_view source) {
  auto batch = Begin(source, body.size());
  if (!batch.ok()) return batch.status();
  Worker& w = *batch->state_->worker;
  if (format == BodyFormat::kLitellm) {
    w.writer.Clear();
    w.litellm.Read(body, &w.writer, [&](model::Reject r) { batch->Reject(std::move(r)); });
    batch->Rows(w.writer.Block());
    w.writer.Clear();
    return batch->Commit();
  }
  ForLines(body, [&](std::string_view text, uint64_t line, uint64_t offset) {
    absl::Status parsed;
    if (text.size() > kRecordBytesMax) {
      parsed = absl::InvalidArgumentError("line: longer than 32 MiB; drop its attachments");
    } else if (offset + text.size() + simdjson::SIMDJSON_PADDING > body.size()) {
      w.line.assign(text);  // the parser looks at bytes behind the line
      w.line.append(simdjson::SIMDJSON_PADDING, '\0');
      parsed = w.parser.Parse(std::string_view(w.line).substr(0, text.size()), &w.view);
    } else {
      parsed = w.parser.Parse(text, &w.view);
    }
    if (parsed.ok()) return batch->Exchange(w.view);
    model::Reject r;
    r.line = line;
    r.offset = offset;
    r.reason.assign(parsed.message().data(), parsed.message().size());
    r.record = text.substr(0, kRejectBytes);
    batch->Reject(std::move(r));
  });
  return batch->Commit();
}

absl::StatusOr<IngestResult> IngestService::Accounts(std::string_view body,
                                                     std::string_view source) {
  auto batch = Begin(source, body.size());
  if (!batch.ok()) return batch.status();
  Worker& w = *batch->state_->worker;
  AccountBlock accounts;
  std::vector<Attestation> attestations;
  absl::Status attested;
  const auto attest = [&](bool all) {
    if (attestations.size() + 2 <= kAttestationsMax && !all) return;
    if (options_.attest && attested.ok() && !attestations.empty())
      attested = options_.attest(attestations);
    attestations.clear();
  };
  ForLines(body, [&](std::string_view text, uint64_t line, uint64_t offset) {
    AccountRow row;
    if (std::string problem = w.accounts.Parse(text, &row); !problem.empty()) {
      model::Reject r;
      r.line = line;
      r.offset = offset;
      r.reason = std::move(problem);
      r.record = text.substr(0, kRejectBytes);
      return batch->Reject(std::move(r));
    }
    accounts.Add(row);
    if (!row.country.empty())
      attestations.push_back({row.account.account_id, "country", row.country});
    if (!row.citizenship.empty())
      attestations.push_back({row.account.account_id, "citizenship", row.citizenship});
    attest(false);
  });
  attest(true);
  if (!attested.ok()) return attested;
  const uint64_t taken = accounts.rows();
  if (absl::Status s = journal_->Append("accounts", accounts.Take()); !s.ok()) return s;
  accounts_ += taken;
  auto result = batch->Commit();  // counts what was refused
  if (result.ok()) {
    result->accepted = taken;
    tally_.Add(source, taken, 0, INT64_MIN, options_.now_ms());
  }
  return result;
}

LiveStats IngestService::stats() const {
  return {accepted_, rejected_count_, refused_, accounts_, in_work_, options_.bytes_in_work_max};
}

}  // namespace stillwatch::ingest
