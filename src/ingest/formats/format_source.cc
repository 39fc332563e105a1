#include "ingest/formats/format_source.h"

#include <simdjson.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <mutex>
#include <set>

#include "base/parallel.h"
#include "base/str.h"
#include "base/time.h"
#include "ingest/formats/decode.h"
#include "ingest/formats/records.h"
#include "ingest/formats/rows.h"

namespace stillwatch::ingest {
namespace {

using base::StrCat;
namespace dom = simdjson::dom;

// "{name}" in a SELECT.
std::string Replace(std::string sql, std::string_view name, std::string_view with) {
  for (size_t at = 0; (at = sql.find(name, at)) != std::string::npos; at += with.size())
    sql.replace(at, name.size(), with);
  return sql;
}

// What both sources share: running the SELECT, handing out its rows, telling when it does not fit.
class FormatSource : public Source {
 public:
  FormatSource(lake::Lake* lake, Format format, FormatOptions options)
      : lake_(lake), format_(std::move(format)), options_(std::move(options)) {}

  absl::Status Read(int threads, const Sink& sink, Progress* progress,
                    const std::atomic<bool>* stop) final {
    good_ = bad_ = missing_ = 0;
    first_missing_.clear();
    std::mutex lock;  // of rejects, notes and the first error
    const auto reject = [&](model::Reject r) {
      ++bad_;
      const std::lock_guard<std::mutex> hold(lock);
      return sink.reject(std::move(r));
    };
    if (format_.sql.find("{since}") != std::string::npos && options_.since_ms == INT64_MIN) {
      return absl::InvalidArgumentError(
          StrCat("format ", format_.name,
                 ": its records carry no time; give the one that they are to count under "
                 "with --since T, or take it from elsewhere in a FILE.sql of your own"));
    }
    sql_ = Replace(format_.sql, "{since}", std::to_string(options_.since_ms));
    joiner_ = {};
    const Sink counted{sink.exchange, reject};
    absl::Status status = ReadAll(std::min(threads, kFormatWorkersMax), counted, progress, stop);
    RowReader rows(options_.now_ms);
    if (status.ok()) status = Joined(true, 0, &rows, counted, progress);
    if (!status.ok()) return status;
    if (good_ == 0 && missing_ > 0) {
      return absl::InvalidArgumentError(StrCat("format ", format_.name,
                                               ": does not fit this log: none of its ", bad_.load(),
                                               " records carries the required fields (",
                                               first_missing_, "); name another with --format"));
    }
    if (good_ == 0 && bad_ == 0 && !Empty()) {
      return absl::InvalidArgumentError(StrCat("format ", format_.name,
                                               ": no record of this format is in ", First(),
                                               "; name another with --format"));
    }
    return absl::OkStatus();
  }

 protected:
  virtual absl::Status ReadAll(int threads, const Sink& sink, Progress* progress,
                               const std::atomic<bool>* stop) = 0;
  virtual bool Empty() const = 0;         // nothing was there to read
  virtual std::string First() const = 0;  // name of the log, for messages

  // Runs the SELECT over `from`; `place` tells where a row of it stands in the log.
  absl::Status Select(
      const std::string& from, const std::string& name, int worker, RowReader* rows,
      const Sink& sink, Progress* progress, const std::atomic<bool>* stop,
      const std::function<void(uint64_t source_row, uint64_t row, model::Reject*)>& place,
      uint64_t batch = 0, const std::string& log = "") {
    uint64_t row = 0;
    const auto placed = [&](uint64_t source_row, uint64_t number) {
      model::Reject r;
      r.source = name;
      place(source_row, number, &r);
      return r;
    };
    const absl::Status s = lake_->Query(
        WrapSelect(Replace(sql_, "{source}", from), format_.strict),
        [&](const lake::Block& b) -> absl::Status {
          for (size_t i = 0; i < b.rows(); ++i) {
            if (stop != nullptr && *stop) return absl::CancelledError("interrupted");
            ++row;
            if (IsPart(b, i)) {
              const std::lock_guard<std::mutex> hold(joining_);
              joiner_.Take(b, i, batch, placed(SourceRow(b, i), row));
              continue;
            }
            const auto where = [&](uint64_t source_row) { return placed(source_row, row); };
            if (absl::Status done = Hand(rows, worker, sink, progress, where, b, i); !done.ok()) {
              return done;
            }
          }
          return Joined(false, worker, rows, sink, progress);
        });
    if (!absl::IsInvalidArgument(s) || s.message().substr(0, 5) != "lake:") return s;
    return absl::InvalidArgumentError(
        StrCat(name, ": format ", format_.name, ": ", EngineMessage(s, log, name)));
  }

  // One row to the sink, as an exchange or refused. `row`: of what RowReader reads.
  template <typename... Row>
  absl::Status Hand(RowReader* rows, int worker, const Sink& sink, Progress* progress,
                    const std::function<model::Reject(uint64_t source_row)>& where,
                    const Row&... row) {
    model::ExchangeView e;
    RowReader::Outcome o = rows->Read(row..., &e);
    if (o.reason.empty()) {
      ++good_;
      if (progress != nullptr) ++progress->records;
      return sink.exchange(worker, e);
    }
    model::Reject r = where(o.source_row);
    if (!o.record.empty()) r.record = o.record.substr(0, 1024);
    if (o.missing && ++missing_ == 1) first_missing_ = o.reason;
    r.reason = std::move(o.reason);
    return sink.reject(std::move(r));
  }

  // All before it were read and joined; UINT64_MAX: what is read has no numbers.
  std::atomic<uint64_t> settled_{UINT64_MAX};
  lake::Lake* lake_;
  const Format format_;
  const FormatOptions options_;

 private:
  // Exchanges of several rows that are complete, as far as can be known.
  absl::Status Joined(bool all, int worker, RowReader* rows, const Sink& sink, Progress* progress) {
    for (;;) {
      lake::Block b;
      model::Reject place;
      {
        const std::lock_guard<std::mutex> hold(joining_);
        if (!joiner_.Next(all, settled_, &b, &place)) return absl::OkStatus();
      }
      const auto where = [&](uint64_t) { return place; };
      if (absl::Status s = Hand(rows, worker, sink, progress, where, b, size_t{0}); !s.ok())
        return s;
    }
  }

  std::string sql_;
  std::mutex joining_;
  RowJoiner joiner_;
  std::atomic<uint64_t> good_{0}, bad_{0}, missing_{0};
  std::string first_missing_;
};

class RecordsSource : public FormatSource {
 public:
  RecordsSource(lake::Lake* lake, Format format, std::vector<std::string> paths,
                FormatOptions options)
      : FormatSource(lake, std::move(format), std::move(options)), paths_(std::move(paths)) {}

 protected:
  bool Empty() const override { return empty_; }
  std::string First() const override {
    return paths_[0] + (paths_.size() > 1 ? " and the others" : "");
  }

  absl::Status ReadAll(int threads, const Sink& sink, Progress* progress,
                       const std::atomic<bool>* stop) override {
    empty_ = true;
    settled_ = 1;
    done_.clear();
    for (int w = 0; w < kFormatWorkersMax; ++w) {  // of a scan that was killed
      if (absl::Status s = Drop(w); !s.ok()) return s;
    }
    RecordReader reader(paths_, progress, options_.note, sink.reject);
    reader.StopBy(stop);
    std::mutex lock;
    absl::Status status;
    std::atomic<bool> failed{false};
    base::Parallel(threads).For(
        static_cast<size_t>(threads), 1, [&](size_t begin, size_t end, int) {
          for (size_t w = begin; w < end; ++w) {
            const absl::Status s =
                Work(static_cast<int>(w), &reader, sink, progress, stop, &failed);
            const std::lock_guard<std::mutex> hold(lock);
            if (status.ok()) status = s;
            if (!s.ok()) failed = true;
          }
        });
    return status;
  }

 private:
  static std::string TableOf(int worker) { return StrCat("incoming_", worker); }
  absl::Status Drop(int worker) {
    return lake_->Execute(StrCat("DROP TABLE IF EXISTS ", TableOf(worker), " SYNC"));
  }

  // Texts go through a table in memory: nothing of them touches the disk.
  absl::Status Work(int worker, RecordReader* reader, const Sink& sink, Progress* progress,
                    const std::atomic<bool>* stop, const std::atomic<bool>* failed) {
    const std::string table = TableOf(worker);
    RecordBatch batch;
    RowReader rows(options_.now_ms);
    const std::unique_ptr<Decoder> decoder = MakeDecoder(format_.name);
    Rows decoded;
    dom::parser parser;
    // Rows of a record that its decoder understood; what it did not is left to the SELECT.
    const auto take = [&](dom::element e, const RawRecord& record) -> absl::StatusOr<bool> {
      decoded.Clear();
      if (decoder == nullptr || !decoder->Decode(e, &decoded)) return false;
      const auto where = [&](uint64_t) {
        model::Reject r;
        r.source = batch.source;
        Place(batch, record, &r);
        return r;
      };
      for (size_t i = 0; i < decoded.size(); ++i) {
        if (absl::Status s = Hand(&rows, worker, sink, progress, where, decoded[i]); !s.ok())
          return s;
      }
      return true;
    };
    bool made = false;
    absl::Status status;
    while (status.ok() && !*failed) {
      if (stop != nullptr && *stop) {
        status = absl::CancelledError("interrupted");
        break;
      }
      if (batch.number > 0) Done(batch.number);
      auto more = reader->Next(&batch);
      if (!more.ok()) status = more.status();
      if (!more.ok() || !*more) break;
      empty_ = empty_ && batch.records.empty();
      std::vector<uint64_t> number;
      lake::StringColumn json;
      status = Sort(&batch, &parser, sink, take, stop, &number, &json);
      if (!status.ok() || number.empty()) continue;
      if (!made) {
        status = lake_->Execute(
            StrCat("CREATE TABLE ", table, " (source_row UInt64, json String) ENGINE = Memory"));
        made = true;
      } else {
        status = lake_->Execute(StrCat("TRUNCATE TABLE ", table));
      }
      if (status.ok())
        status =
            lake_->Insert(table, {{{"source_row", std::move(number)}, {"json", std::move(json)}}});
      if (!status.ok()) break;
      status = Select(
          table, batch.source, worker, &rows, sink, progress, stop,
          [&](uint64_t row, uint64_t, model::Reject* r) {
            // Numbers of records are handed out below; a SELECT that loses them loses
            // the position.
            if (row == 0 || row > batch.records.size()) return;
            Place(batch, batch.records[row - 1], r);
          },
          batch.number);
    }
    if (made) {
      const absl::Status dropped = Drop(worker);
      if (status.ok()) status = dropped;
    }
    return status;
  }

  void Done(uint64_t batch) {
    const std::lock_guard<std::mutex> hold(settling_);
    done_.insert(batch);
    uint64_t settled = settled_;
    while (done_.erase(settled) > 0) ++settled;
    settled_ = settled;
  }

  static void Place(const RecordBatch& batch, const RawRecord& record, model::Reject* r) {
    r->line = record.line;
    r->offset = record.offset;
    if (r->record.empty()) r->record = batch.Text(record).substr(0, 1024);
  }

  // Objects that are not taken go to the columns with their number, everything else is refused.
  absl::Status Sort(RecordBatch* batch, dom::parser* parser, const Sink& sink,
                    const std::function<absl::StatusOr<bool>(dom::element, const RawRecord&)>& take,
                    const std::atomic<bool>* stop, std::vector<uint64_t>* number,
                    lake::StringColumn* json) {
    for (size_t i = 0; i < batch->records.size(); ++i) {
      if (stop != nullptr && *stop) return absl::CancelledError("interrupted");
      const RawRecord record = batch->records[i];
      const std::string_view text = batch->Text(record);
      dom::element e;
      std::string reason;
      if (text.size() > kRecordBytesMax) {
        reason = StrCat("record: longer than ", kRecordBytesMax >> 20,
                        " MiB; split it or drop its attachments");
      } else if (parser->parse(text.data(), text.size(), false).get(e) != simdjson::SUCCESS) {
        reason = record.cut ? "record: cut short: the log, or its line, ends inside of it"
                            : "record: not valid JSON";
      } else if (!e.is_object()) {
        reason = "record: expected an object";
      }
      if (reason.empty()) {
        const auto taken = take(e, record);
        if (!taken.ok()) return taken.status();
        if (*taken) continue;
        number->push_back(i + 1);
        json->Append(text);
        continue;
      }
      // The pieces stand in line behind all others; they have no indentation, so it ends there.
      if (std::vector<RawRecord> pieces = SplitByIndent(batch->bytes, record); !pieces.empty()) {
        for (RawRecord& piece : pieces) {
          piece.indent = -1;
          batch->records.push_back(piece);
        }
        continue;
      }
      model::Reject r;
      r.source = batch->source;
      r.reason = std::move(reason);
      Place(*batch, record, &r);
      if (absl::Status s = sink.reject(std::move(r)); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

  const std::vector<std::string> paths_;
  std::atomic<bool> empty_{true};
  std::mutex settling_;
  std::set<uint64_t> done_;  // batches after one that is not
};

class TableSource : public FormatSource {
 public:
  TableSource(lake::Lake* lake, Format format, std::vector<Table> tables, FormatOptions options)
      : FormatSource(lake, std::move(format), std::move(options)), tables_(std::move(tables)) {}

 protected:
  // Of canonical columns every row is a record; other formats leave rows out.
  bool Empty() const override { return format_.name == kCanonicalTable; }
  std::string First() const override {
    return tables_[0].name + (tables_.size() > 1 ? " and the others" : "");
  }

  absl::Status ReadAll(int threads, const Sink& sink, Progress* progress,
                       const std::atomic<bool>* stop) override {
    std::mutex lock;
    absl::Status status;
    std::atomic<bool> failed{false};
    const auto size = [](const Table& t) {
      std::error_code none;
      const auto n = t.path.empty() ? 0 : std::filesystem::file_size(t.path, none);
      return none ? 0 : n;
    };
    if (progress != nullptr) {
      for (const Table& t : tables_) progress->bytes_total += size(t);
    }
    base::Parallel(threads).For(tables_.size(), 1, [&](size_t begin, size_t end, int worker) {
      for (size_t i = begin; i < end && !failed; ++i) {
        RowReader rows(options_.now_ms);
        const absl::Status s = Select(
            tables_[i].from, tables_[i].name, worker, &rows, sink, progress, stop,
            [&](uint64_t source_row, uint64_t row, model::Reject* r) {
              r->line = source_row == 0 ? row : source_row;
            },
            0, tables_[i].log);
        if (s.ok() && progress != nullptr) progress->bytes_done += size(tables_[i]);
        const std::lock_guard<std::mutex> hold(lock);
        if (status.ok()) status = s;
        if (!s.ok()) failed = true;
      }
    });
    return status;
  }

 private:
  const std::vector<Table> tables_;
};

}  // namespace

std::string EngineMessage(const absl::Status& s, const std::string& log, const std::string& name) {
  std::string why(s.message().data(), s.message().size());
  for (const std::string& secret : {log, lake::SqlString(log)}) {
    if (log.empty() || log == name) break;
    for (size_t at = 0; (at = why.find(secret, at)) != why.npos; at += name.size()) {
      why.replace(at, secret.size(), name);
    }
  }
  for (const char* tail : {", body: ", "Stack trace"}) {
    why.resize(std::min(why.find(tail), why.size()));
  }
  std::replace(why.begin(), why.end(), '\n', ' ');
  why.resize(std::min<size_t>(500, why.find_last_not_of(" .,") + 1));
  return why;
}

std::unique_ptr<Source> MakeRecordsSource(lake::Lake* lake, Format format,
                                          std::vector<std::string> paths, FormatOptions options) {
  return std::make_unique<RecordsSource>(lake, std::move(format), std::move(paths),
                                         std::move(options));
}

std::unique_ptr<Source> MakeTableSource(lake::Lake* lake, Format format, std::vector<Table> tables,
                                        FormatOptions options) {
  return std::make_unique<TableSource>(lake, std::move(format), std::move(tables),
                                       std::move(options));
}

}  // namespace stillwatch::ingest
