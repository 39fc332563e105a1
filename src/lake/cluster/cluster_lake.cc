#include "lake/cluster/cluster_lake.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/hex.h"
#include "base/str.h"
#include "lake/cluster/http.h"
#include "lake/columns.h"
#include "lake/engine_error.h"
#include "lake/migrate.h"
#include "lake/native.h"
#include "lake/report_gate.h"

namespace stillwatch::lake {
namespace {

using base::StrCat;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kLocal = "_local";  // suffix of the database with a shard's own rows
constexpr std::string_view kInsertId = "insert_id";
constexpr size_t kFirstDecode = 64 << 10;  // bytes that wait before a block is looked for
constexpr auto kPauseFirst = std::chrono::milliseconds(50),
               kPauseMax = std::chrono::milliseconds(2000);

// What a server says when another one, or its own network, failed it: asking again may help.
bool Passes(int code) {
  static const std::set<int> codes = {32,  // the other end closed in the middle
                                      33,
                                      101,
                                      102,
                                      198,
                                      202,  // too many queries at once
                                      203,
                                      209,
                                      210,
                                      252 /* too many parts */,
                                      279 /* no shard answers */,
                                      1000 /* the network library's */};
  return codes.contains(code);
}

// 46, 47, 60, 81: function, column, table or database is unknown. 44: a column is there already.
constexpr int kColumnExists = 44, kNoTable = 60, kNoDatabase = 81;

bool IsRefusal(int code) {
  return code == 192 || code == 193 || code == 194 || code == 497 || code == 516;
}

bool IsError(std::string_view text) {
  return text.substr(0, 6) == "Code: " || text.substr(0, 15) == "Poco::Exception";
}

uint64_t Random64() {
  static std::mutex mutex;
  static std::random_device device;
  const std::lock_guard<std::mutex> lock(mutex);
  return uint64_t{device()} << 32 | device();
}

std::string Text(const absl::Status& s) {
  return std::string(s.message().data(), s.message().size());
}

struct HashOf {
  template <typename T>
  uint64_t operator()(const std::vector<T>& c) const {
    return base::Hash64({reinterpret_cast<const char*>(c.data()), c.size() * sizeof(T)});
  }
  uint64_t operator()(const StringColumn& c) const {
    return base::Combine64(base::Hash64(c.bytes), (*this)(c.ends));
  }
  template <typename T>
  uint64_t operator()(const ArrayColumn<T>& c) const {
    return base::Combine64((*this)(c.values), (*this)(c.ends));
  }
};

uint64_t HashOfBlock(std::string_view table, const Block& block) {
  uint64_t h = base::Hash64(table);
  for (const Column& c : block.columns) {
    h = base::Combine64(h, base::Combine64(base::Hash64(c.name), std::visit(HashOf{}, c.data)));
  }
  return h;
}

struct TakeRows {
  const std::vector<uint32_t>& rows;
  template <typename T>
  ColumnData operator()(const std::vector<T>& c) const {
    std::vector<T> out;
    out.reserve(rows.size());
    for (const uint32_t r : rows) out.push_back(c[r]);
    return out;
  }
  ColumnData operator()(const StringColumn& c) const {
    StringColumn out;
    for (const uint32_t r : rows) out.Append(c[r]);
    return out;
  }
  template <typename T>
  ColumnData operator()(const ArrayColumn<T>& c) const {
    ArrayColumn<T> out;
    for (const uint32_t r : rows) out.Append(c.begin(r), c.end(r));
    return out;
  }
};

// A native stream in pieces to blocks. Tries again only when the bytes have doubled, so that a
// large block costs a small multiple of its size.
class BlockReader {
 public:
  explicit BlockReader(const std::function<absl::Status(const Block&)>& on_block)
      : on_block_(on_block) {}

  absl::Status Add(std::string_view bytes) {
    if (buffer_.size() + bytes.size() > kUndecodedBytesMax) {
      return absl::ResourceExhaustedError(StrCat(
          "lake: query: a block of the answer is larger than ", kUndecodedBytesMax, " bytes"));
    }
    buffer_.append(bytes);
    return buffer_.size() < next_ ? absl::OkStatus() : Decode(false);
  }
  absl::Status End() { return Decode(true); }
  bool handed() const { return handed_; }
  const std::string& error() const {
    return error_;
  }  // the server's, if it came in place of a block

 private:
  absl::Status Decode(bool end) {
    std::string_view rest = buffer_;
    absl::Status status;
    while (status.ok() && !rest.empty()) {
      std::string_view at = rest;
      bool cut = false;
      auto block = DecodeNative(&at, &cut);
      if (!block.ok()) {
        if (cut && !end) break;
        if (IsError(rest)) error_ = rest;
        status = block.status();
        break;
      }
      rest = at;
      if (block->rows() == 0) continue;
      handed_ = true;
      status = on_block_(*block);
    }
    buffer_.erase(0, buffer_.size() - rest.size());
    next_ = std::max(kFirstDecode, buffer_.size() * 2);
    return status;
  }

  const std::function<absl::Status(const Block&)>& on_block_;
  std::string buffer_, error_;
  size_t next_ = kFirstDecode;
  bool handed_ = false;
};

struct Node {
  std::string server;  // "host:port", empty: the socket
  uint32_t shard = 1;  // as the servers count them
};

class ClusterLake : public Lake {
 public:
  explicit ClusterLake(ClusterOptions options) : options_(std::move(options)), url_(options_.url) {}

  absl::Status Open() {
    if (url_.cluster.empty()) {
      nodes_ = {{url_.hosts.empty() ? std::string() : url_.hosts[0], 1}};
      return Read(nodes_[0], "", "SELECT toUInt8(1) AS one",
                  [](const Block&) { return absl::OkStatus(); });
    }
    return Discover();
  }

  absl::Status Migrate() override {
    if (IsHost()) return MigrateSchema(*this, url_.Shown(), kSchemaFiles);
    for (const Node& node : nodes_) {
      for (const std::string& database : Databases()) {
        auto there = Number(
            node, "",
            StrCat("SELECT count() AS n FROM system.databases WHERE name = ", SqlString(database)));
        if (!there.ok()) return there.status();
        if (*there > 0) continue;
        if (absl::Status s = Run(node, "", StrCat("CREATE DATABASE IF NOT EXISTS ", database));
            !s.ok())
          return s;
      }
      if (IsCluster()) {
        auto tables = Tables(node, Local());
        if (!tables.ok()) return tables.status();
        if (!tables->empty() && !tables->contains("schema_version")) {
          return absl::FailedPreconditionError(StrCat(
              "lake: database ", Local(), " on ", Shown(node), " holds tables of another program (",
              tables->begin()->first, "); name another database"));
        }
      }
    }
    if (IsCluster()) {
      if (absl::Status s = Align(); !s.ok())
        return s;  // a shard that was added, or a run that was cut short
    }
    return MigrateSchema(*this, url_.Shown(), kSchemaFiles);
  }

  absl::Status Insert(std::string_view table, const Block& block) override {
    if (block.rows() > kInsertRowsMax) {
      return absl::InvalidArgumentError(StrCat("lake: ", block.rows(),
                                               " rows in one insert; at most ", kInsertRowsMax,
                                               " are stored whole"));
    }
    if (absl::Status s = CheckShape(block); !s.ok()) return s;
    auto names = columns_.Check(*this, table, block);
    if (!names.ok()) return names.status();
    if (block.rows() == 0) return absl::OkStatus();
    const bool marked = (*names)->contains(std::string(kInsertId));
    if (marked && block.Find(kInsertId) != nullptr) {
      return absl::InvalidArgumentError(StrCat("lake: column ", kInsertId, " belongs to the lake"));
    }

    std::vector<std::vector<uint32_t>> rows(nodes_.size());
    const Column* account = block.Find("account_id");
    if (nodes_.size() > 1 && account != nullptr &&
        std::holds_alternative<StringColumn>(account->data)) {
      const auto& ids = account->As<StringColumn>();
      for (uint32_t i = 0; i < ids.size(); ++i)
        rows[base::Hash64(ids[i]) % nodes_.size()].push_back(i);
    }
    const auto whole = [&](size_t n) {
      return rows[n].size() == block.rows() || (n == 0 && Sum(rows) == 0);
    };

    const uint64_t digest = HashOfBlock(table, block);
    Unsettled parts = TakeUnsettled(digest);
    Patience patience(*this);
    absl::Status status;
    for (size_t n = 0; n < nodes_.size(); ++n) {
      if ((rows[n].empty() && !whole(n)) || parts.fate[n] == Unsettled::kStored) continue;
      absl::Status s;
      if (whole(n)) {
        s = InsertPart(nodes_[n], table, block, marked, parts.id, &patience, &parts.fate[n]);
      } else {
        Block part;
        for (const Column& c : block.columns)
          part.columns.push_back({c.name, std::visit(TakeRows{rows[n]}, c.data)});
        s = InsertPart(nodes_[n], table, part, marked, parts.id, &patience, &parts.fate[n]);
      }
      if (s.ok()) continue;
      status = std::move(s);
      if (!absl::IsUnavailable(status)) break;  // what one shard refuses, all do
    }
    if (!status.ok()) KeepUnsettled(digest, std::move(parts));
    return status;
  }

  absl::Status Query(std::string_view sql,
                     const std::function<absl::Status(const Block&)>& on_block) override {
    return ReadAny(url_.database, sql, on_block);
  }

  absl::Status Execute(std::string_view sql) override {
    columns_.Forget();
    for (const Node& node : nodes_) {
      if (absl::Status s = Run(node, IsCluster() ? Local() : url_.database, sql); !s.ok()) return s;
    }
    const absl::Status status = IsHost() ? absl::OkStatus() : Align();
    columns_.Forget();
    return status;
  }

  using Lake::Report;
  absl::StatusOr<std::string> Report(std::string_view sql, std::string_view format,
                                     const ReportBounds& bounds) override {
    if (absl::Status s = CheckReportStart(sql); !s.ok()) return s;
    Patience patience(*this);
    for (size_t turn = 0;; ++turn) {
      const Node& node = nodes_[turn % nodes_.size()];
      std::string out;
      HttpCall call = Call(node, url_.database, "");
      call.params += Param("readonly", "1");
      call.params += Param("default_format", format);
      call.params += Param("max_execution_time", std::to_string(bounds.seconds));
      call.params += Param("max_result_rows", std::to_string(bounds.rows));
      call.params += Param("max_result_bytes", std::to_string(bounds.bytes));
      call.params += Param("result_overflow_mode", bounds.cut ? "break" : "throw");
      call.body = sql;
      call.seconds = 2 * bounds.seconds;
      call.on_body = [&](std::string_view bytes) -> absl::Status {
        if (out.size() + bytes.size() > 2 * bounds.bytes) {
          return absl::ResourceExhaustedError(
              StrCat("lake: query: the answer is larger than ", 2 * bounds.bytes, " bytes"));
        }
        out.append(bytes);
        return absl::OkStatus();
      };
      const HttpAnswer answer = Post(url_, call, options_.stop);
      if (answer.fate == HttpAnswer::kAnswered && answer.status == 200) return out;
      if (answer.fate == HttpAnswer::kStopped) return answer.stopped;
      absl::Status status = Failure(node, "query", answer);
      if (!bounds.wait && absl::IsUnavailable(status)) return status;
      if (!absl::IsUnavailable(status) || !patience.Wait(status)) return patience.Said(status);
    }
  }

  absl::Status Replace(std::string_view table, const Block& rows) override {
    if (IsHost()) return Lake::Replace(table, rows);
    for (const Node& node : nodes_) {
      if (absl::Status s = Run(node, Own(), StrCat("TRUNCATE TABLE ", SqlName(table))); !s.ok())
        return s;
    }
    return Insert(table, rows);
  }

  absl::Status Delete(std::string_view table, std::string_view condition) override {
    if (IsHost()) return Lake::Delete(table, condition);
    for (const Node& node : nodes_) {
      if (absl::Status s =
              Run(node, Own(), StrCat("ALTER TABLE ", SqlName(table), " DELETE WHERE ", condition));
          !s.ok())
        return s;
    }
    const auto end = Clock::now() + std::chrono::seconds(kDeleteSecondsMax);
    for (const Node& node : nodes_) {
      for (;;) {
        auto left = Number(
            node, Own(),
            StrCat("SELECT count() AS n FROM system.mutations WHERE database = currentDatabase() "
                   "AND is_done = 0 AND table = ",
                   SqlString(table)));
        if (!left.ok()) return left.status();
        if (*left == 0) break;
        if (Clock::now() > end) {
          return absl::DeadlineExceededError(StrCat("lake: delete from ", table, ": ", Shown(node),
                                                    " is not done after ", kDeleteSecondsMax,
                                                    " s; it goes on there"));
        }
        if (!Pause(std::chrono::milliseconds(200))) return absl::CancelledError("interrupted");
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::map<std::string, TableUse>> Use() override {
    std::map<std::string, TableUse> out;
    for (const Node& node : nodes_) {
      const absl::Status s = Read(node, Own(), kTableUseSql, [&](const Block& b) {
        AddTableUse(b, &out);
        return absl::OkStatus();
      });
      if (!s.ok()) return s;
    }
    return out;
  }

  bool Shared() const override { return true; }

  absl::StatusOr<bool> HasLake() {
    uint64_t ours = 0, tables = 0;
    const absl::Status s = Read(
        nodes_[0], "",
        StrCat("SELECT countIf(name = 'schema_version') AS ours, count() AS n FROM system.tables "
               "WHERE database = ",
               IsHost() ? "currentDatabase()" : SqlString(Own())),
        [&](const Block& b) {
          ours = b.columns[0].As<std::vector<uint64_t>>()[0];
          tables = b.columns[1].As<std::vector<uint64_t>>()[0];
          return absl::OkStatus();
        });
    if (!s.ok()) return s;
    if (ours == 0 && tables > 0) {
      return absl::FailedPreconditionError(StrCat(
          "lake: ", url_.Shown(), " holds tables of another program; name another database"));
    }
    return ours > 0;
  }

  absl::Status Drop() {
    auto has = HasLake();
    if (!has.ok()) return has.status();
    if (!*has)
      return absl::NotFoundError(
          StrCat("lake: ", url_.Shown(), " holds no lake; nothing was dropped"));
    std::set<std::string> ours = {"schema_version"};
    for (const base::EmbeddedFile* f = kSchemaFiles; !f->name.empty(); ++f) {
      static constexpr std::string_view kCreate = "CREATE TABLE IF NOT EXISTS ";
      for (size_t at = f->text.find(kCreate); at != std::string_view::npos;
           at = f->text.find(kCreate, at)) {
        at += kCreate.size();
        ours.emplace(f->text.substr(at, f->text.find_first_of(" \n(", at) - at));
      }
    }
    for (const Node& node : nodes_) {
      for (const std::string& database : Databases()) {
        auto tables = Tables(node, database);
        if (!tables.ok()) return tables.status();
        size_t left = tables->size();
        // The mark goes last, so that a drop that was cut short can be run again.
        for (const bool mark : {false, true}) {
          for (const auto& [table, engine] : *tables) {
            if (!ours.contains(table) || (table == "schema_version") != mark) continue;
            if (absl::Status s =
                    Run(node, database, StrCat("DROP TABLE IF EXISTS ", SqlName(table)));
                !s.ok())
              return s;
            --left;
          }
        }
        if (left == 0 && database != "default") {
          if (absl::Status s = Run(node, "", StrCat("DROP DATABASE IF EXISTS ", database)); !s.ok())
            return s;
        }
      }
    }
    return absl::OkStatus();
  }

 private:
  // The parts of one block, by node.
  struct Unsettled {
    enum Fate : uint8_t { kNotStored, kUnknown, kStored };
    uint64_t id = 0;
    std::vector<Fate> fate;
  };

  // How long one call waits, over all its attempts.
  class Patience {
   public:
    explicit Patience(const ClusterLake& lake) : lake_(lake) {}
    // False: waited long enough, or stopped.
    bool Wait(const absl::Status& why) {
      const auto now = Clock::now();
      if (!began_) {
        began_ = true;
        end_ = now + std::chrono::seconds(lake_.url_.wait_seconds);
        if (lake_.url_.wait_seconds > 0 && lake_.options_.note) {
          lake_.options_.note(StrCat(Text(why), "; waiting up to ", lake_.url_.wait_seconds, " s"));
        }
      }
      if (now >= end_) return false;
      const auto pause = std::min<Clock::duration>(pause_, end_ - now);
      pause_ = std::min(pause_ * 2, kPauseMax);
      return lake_.Pause(std::chrono::duration_cast<std::chrono::milliseconds>(pause) +
                         std::chrono::milliseconds(1));
    }
    absl::Status Said(const absl::Status& why) const {
      if (lake_.options_.stop != nullptr && *lake_.options_.stop)
        return absl::CancelledError("interrupted");
      if (!absl::IsUnavailable(why)) return why;
      return absl::UnavailableError(
          StrCat(Text(why), "; waited ", lake_.url_.wait_seconds,
                 " s: start the server again and repeat, nothing counts twice"));
    }

   private:
    const ClusterLake& lake_;
    bool began_ = false;
    Clock::time_point end_;
    std::chrono::milliseconds pause_ = kPauseFirst;
  };

  static size_t Sum(const std::vector<std::vector<uint32_t>>& rows) {
    size_t n = 0;
    for (const auto& r : rows) n += r.size();
    return n;
  }

  bool IsHost() const { return !url_.socket.empty(); }
  bool IsCluster() const { return !url_.cluster.empty(); }
  std::string Local() const { return StrCat(url_.database, kLocal); }
  // Where a node's own rows are.
  std::string Own() const { return IsCluster() ? Local() : url_.database; }
  std::vector<std::string> Databases() const {
    return IsCluster() ? std::vector<std::string>{url_.database, Local()}
                       : std::vector<std::string>{url_.database};
  }
  std::string Shown(const Node& node) const {
    if (IsHost()) return url_.Shown();
    return IsCluster() ? StrCat("shard ", node.shard, " (", node.server, ")") : node.server;
  }

  // False when told to stop.
  bool Pause(std::chrono::milliseconds time) const {
    const auto end = Clock::now() + time;
    while (Clock::now() < end) {
      if (options_.stop != nullptr && *options_.stop) return false;
      std::this_thread::sleep_for(
          std::min<Clock::duration>(std::chrono::milliseconds(50), end - Clock::now()));
    }
    return true;
  }

  // What every call has. An empty database stands for the server's own.
  HttpCall Call(const Node& node, const std::string& database, std::string_view query_id) const {
    HttpCall call;
    call.server = node.server;
    if (!database.empty()) call.params += Param("database", database);
    call.params += Param("query_id", query_id.empty() ? StrCat("stillwatch-", base::Hex(Random64()))
                                                      : std::string(query_id));
    call.params +=
        Param("wait_end_of_query", "1");  // an error comes in place of the answer, not in it
    call.params += Param("max_query_size", std::to_string(kServerQueryBytes));
    call.params += Param("max_memory_usage", std::to_string(kServerMemoryBytes));
    call.params +=
        Param("max_bytes_before_external_group_by", std::to_string(kServerMemoryBytes / 2));
    call.params += Param("max_bytes_before_external_sort", std::to_string(kServerMemoryBytes / 2));
    if (IsCluster()) {
      // A shard that is silent is an error, never left out.
      call.params += Param("distributed_product_mode", "global");
      call.params +=
          Param("receive_timeout", std::to_string(std::max(1, options_.silent_seconds / 2)));
      call.params += Param("connect_timeout_with_failover_ms", "2000");
      call.params += Param("skip_unavailable_shards", "0");
    }
    return call;
  }

  // Unavailable: trying again may help.
  absl::Status Failure(const Node& node, std::string_view what, const HttpAnswer& answer,
                       absl::StatusCode otherwise = absl::StatusCode::kInvalidArgument) const {
    if (answer.fate == HttpAnswer::kStopped) return answer.stopped;
    if (answer.fate != HttpAnswer::kAnswered) {
      return absl::UnavailableError(
          StrCat("lake: ", what, ": ", Shown(node), " does not answer (", answer.error, ")"));
    }
    if (answer.lake_status > 0 && answer.lake_status <= 16) {
      static constexpr std::string_view kBefore = "DB::Exception: ";
      const size_t at = answer.error.find(kBefore);
      return absl::Status(
          static_cast<absl::StatusCode>(answer.lake_status),
          at == std::string::npos ? answer.error : answer.error.substr(at + kBefore.size()));
    }
    if (!IsError(answer.error)) {
      return absl::UnavailableError(StrCat("lake: ", what, ": ", Shown(node), " answered HTTP ",
                                           answer.status, " ", answer.error.substr(0, 200)));
    }
    const int code = EngineCode(answer.error);
    if (IsRefusal(code)) {
      return absl::PermissionDeniedError(StrCat("lake: ", Shown(node), " refuses user ", url_.user,
                                                ": ", EngineSentence(answer.error)));
    }
    if (Passes(code)) {
      return absl::UnavailableError(
          StrCat("lake: ", what, ": ", Shown(node), ": ", EngineSentence(answer.error)));
    }
    if (code == kNoDatabase) {
      return absl::NotFoundError(StrCat("lake: ", Shown(node), ": ", EngineSentence(answer.error),
                                        "; `stillwatch lake init` makes it"));
    }
    return EngineError(what, answer.error, otherwise);
  }

  // One SELECT on the nodes in turn.
  absl::Status ReadFrom(const std::vector<const Node*>& nodes, const std::string& database,
                        std::string_view sql,
                        const std::function<absl::Status(const Block&)>& on_block) const {
    Patience patience(*this);
    for (size_t turn = 0;; ++turn) {
      const Node& node = *nodes[turn % nodes.size()];
      HttpCall call = Call(node, database, "");
      call.params += Param("default_format", "Native");
      if (!IsHost()) {
        // Signs of life while it works.
        call.params += Param("send_progress_in_http_headers", "1");
        call.params += Param("http_headers_progress_interval_ms",
                             std::to_string(std::max(1, options_.silent_seconds / 8) * 1000));
        call.silent_seconds = options_.silent_seconds;
      }
      call.body = sql;
      BlockReader reader(on_block);
      call.on_body = [&](std::string_view bytes) { return reader.Add(bytes); };
      HttpAnswer answer = Post(url_, call, options_.stop);
      absl::Status status;
      if (answer.fate == HttpAnswer::kAnswered && answer.status == 200)
        status = reader.End();
      else if (answer.fate == HttpAnswer::kStopped)
        status = answer.stopped;
      else
        status = Failure(node, "query", answer);
      // The words of an error may stand where the answer broke off.
      if (answer.fate == HttpAnswer::kUnknown) (void)reader.End();
      if (!reader.error().empty()) {
        answer.fate = HttpAnswer::kAnswered;
        answer.error = reader.error();
        status = Failure(node, "query", answer);
      }
      if (!absl::IsUnavailable(status)) return status;
      if (reader.handed()) {
        return BrokenOff(StrCat(Text(status), "; the answer broke off: repeat it"));
      }
      if (!patience.Wait(status)) return patience.Said(status);
    }
  }
  absl::Status Read(const Node& node, const std::string& database, std::string_view sql,
                    const std::function<absl::Status(const Block&)>& on_block) const {
    return ReadFrom({&node}, database, sql, on_block);
  }
  absl::Status ReadAny(const std::string& database, std::string_view sql,
                       const std::function<absl::Status(const Block&)>& on_block) const {
    std::vector<const Node*> nodes;
    for (const Node& node : nodes_) nodes.push_back(&node);
    return ReadFrom(nodes, database, sql, on_block);
  }

  absl::StatusOr<uint64_t> Number(const Node& node, const std::string& database,
                                  std::string_view sql) const {
    uint64_t n = 0;
    const absl::Status s = Read(node, database, sql, [&](const Block& b) {
      n = b.columns[0].As<std::vector<uint64_t>>()[0];
      return absl::OkStatus();
    });
    if (!s.ok()) return s;
    return n;
  }

  // A statement without a result. It is sent again only when the server cannot have seen it.
  absl::Status Run(const Node& node, const std::string& database, std::string_view sql,
                   int* code = nullptr) const {
    Patience patience(*this);
    for (;;) {
      HttpCall call = Call(node, database, "");
      call.body = sql;
      std::string text;
      call.on_body = [&](std::string_view bytes) {
        text.append(bytes.substr(0, kFirstDecode - std::min(kFirstDecode, text.size())));
        return absl::OkStatus();
      };
      HttpAnswer answer = Post(url_, call, options_.stop);
      if (answer.fate == HttpAnswer::kAnswered && answer.status == 200 && !IsError(text))
        return absl::OkStatus();
      if (answer.fate == HttpAnswer::kAnswered && answer.error.empty()) answer.error = text;
      // Of two that make a table at once the later one is told that it is there.
      if (sql.substr(0, 7) == "CREATE " &&
          answer.error.find(" already exists") != std::string::npos)
        return absl::OkStatus();
      const absl::Status status = Failure(node, "statement", answer);
      if (code != nullptr && answer.fate == HttpAnswer::kAnswered) *code = EngineCode(answer.error);
      if (answer.fate == HttpAnswer::kUnknown) {
        return BrokenOff(StrCat(
            Text(status), "; whether it was done is not known: repeat it when the server is back"));
      }
      if (!absl::IsUnavailable(status) || !patience.Wait(status)) return patience.Said(status);
    }
  }

  // Names and engines.
  absl::StatusOr<std::map<std::string, std::string>> Tables(const Node& node,
                                                            const std::string& database) const {
    std::map<std::string, std::string> out;
    const absl::Status s = Read(
        node, "",
        StrCat("SELECT name, engine FROM system.tables WHERE database = ", SqlString(database)),
        [&](const Block& b) {
          for (size_t i = 0; i < b.rows(); ++i) {
            out.emplace(b.columns[0].As<StringColumn>()[i], b.columns[1].As<StringColumn>()[i]);
          }
          return absl::OkStatus();
        });
    if (!s.ok()) return s;
    return out;
  }

  absl::StatusOr<std::map<std::string, std::string>> Columns(const Node& node,
                                                             const std::string& database) const {
    std::map<std::string, std::string> out;
    const absl::Status s =
        Read(node, "",
             StrCat("SELECT table, name, type FROM system.columns WHERE database = ",
                    SqlString(database)),
             [&](const Block& b) {
               for (size_t i = 0; i < b.rows(); ++i) {
                 base::StrAppend(&out[std::string(b.columns[0].As<StringColumn>()[i])], ", ",
                                 SqlName(b.columns[1].As<StringColumn>()[i]), " ",
                                 b.columns[2].As<StringColumn>()[i]);
               }
               return absl::OkStatus();
             });
    if (!s.ok()) return s;
    return out;
  }

  // After a statement on the nodes' own tables: each has the column that marks inserts, each node
  // has every table of the first, and the Distributed tables fit.
  absl::Status Align() {
    std::map<std::string, std::string> pattern;  // the first node's CREATE statements
    for (size_t n = 0; n < nodes_.size(); ++n) {
      const Node& node = nodes_[n];
      auto tables = Tables(node, Own());
      if (!tables.ok()) return tables.status();
      if (n > 0) {
        for (const auto& [table, create] : pattern) {
          if (tables->contains(table)) continue;
          if (absl::Status s = Run(node, Own(), create); !s.ok()) return s;
          tables->emplace(table, "MergeTree");
        }
      }
      auto columns = Columns(node, Own());
      if (!columns.ok()) return columns.status();
      const std::string mark = StrCat(", ", SqlName(kInsertId), " UInt64");
      bool added = false;
      for (const auto& [table, engine] : *tables) {
        if (engine.size() < 9 || engine.substr(engine.size() - 9) != "MergeTree" ||
            (*columns)[table].find(mark) != std::string::npos) {
          continue;
        }
        int code = 0;  // another process may have been quicker
        const absl::Status s = Run(
            node, Own(),
            StrCat("ALTER TABLE ", SqlName(table), " ADD COLUMN ", kInsertId, " UInt64"), &code);
        if (!s.ok() && code != kColumnExists) return s;
        added = true;
      }
      if (!IsCluster()) return absl::OkStatus();
      if (added) {
        columns = Columns(node, Own());
        if (!columns.ok()) return columns.status();
      }
      auto views = Columns(node, url_.database);
      if (!views.ok()) return views.status();
      for (const auto& [table, engine] : *tables) {
        const auto view = views->find(table);
        if (view != views->end() && view->second == (*columns)[table]) continue;
        if (view != views->end()) {
          if (absl::Status s =
                  Run(node, url_.database, StrCat("DROP TABLE IF EXISTS ", SqlName(table)));
              !s.ok())
            return s;
        }
        // Without a sharding key: nobody writes through it.
        const absl::Status s =
            Run(node, url_.database,
                StrCat("CREATE TABLE IF NOT EXISTS ", SqlName(table), " AS ", Local(), ".",
                       SqlName(table), " ENGINE = Distributed(", SqlString(url_.cluster), ", ",
                       SqlString(Local()), ", ", SqlString(table), ")"));
        if (!s.ok()) return s;
      }
      auto engines = Tables(node, url_.database);
      if (!engines.ok()) return engines.status();
      for (const auto& [table, engine] : *engines) {
        if (engine != "Distributed" || tables->contains(table)) continue;
        if (absl::Status s =
                Run(node, url_.database, StrCat("DROP TABLE IF EXISTS ", SqlName(table)));
            !s.ok())
          return s;
      }
      if (n > 0) continue;
      const absl::Status s =
          Read(node, "",
               StrCat("SELECT name, create_table_query FROM system.tables WHERE database = ",
                      SqlString(Own()), " AND engine LIKE '%MergeTree'"),
               [&](const Block& b) {
                 for (size_t i = 0; i < b.rows(); ++i) {
                   pattern.emplace(b.columns[0].As<StringColumn>()[i],
                                   b.columns[1].As<StringColumn>()[i]);
                 }
                 return absl::OkStatus();
               });
      if (!s.ok()) return s;
    }
    return absl::OkStatus();
  }

  // Asks a server how it sees the cluster: shards by number, and which of them it is itself.
  absl::Status AskCluster(const Node& node, std::map<uint32_t, std::string>* shards,
                          uint32_t* self) const {
    *self = 0;
    uint32_t replicas = 0;
    absl::Status s = Read(
        node, "",
        StrCat("SELECT toUInt32(shard_num) AS shard, toUInt32(replica_num) AS replica, host_name, "
               "toUInt8(is_local) AS here FROM system.clusters WHERE cluster = ",
               SqlString(url_.cluster)),
        [&](const Block& b) {
          for (size_t i = 0; i < b.rows(); ++i) {
            const uint32_t shard = b.columns[0].As<std::vector<uint32_t>>()[i];
            replicas = std::max(replicas, b.columns[1].As<std::vector<uint32_t>>()[i]);
            shards->emplace(shard, b.columns[2].As<StringColumn>()[i]);
            if (b.columns[3].As<std::vector<uint8_t>>()[i] != 0) *self = shard;
          }
          return absl::OkStatus();
        });
    if (!s.ok()) return s;
    if (shards->empty()) {
      return absl::InvalidArgumentError(StrCat(
          "lake: ", node.server, " knows no cluster ", url_.cluster,
          "; name one of its remote_servers (SELECT DISTINCT cluster FROM system.clusters)"));
    }
    if (replicas > 1) {
      return absl::InvalidArgumentError(
          StrCat("lake: cluster ", url_.cluster, " has ", replicas,
                 " replicas of a shard; a lake's tables are "
                 "not replicated, name a cluster with one replica a shard"));
    }
    return absl::OkStatus();
  }

  absl::Status Discover() {
    std::map<uint32_t, std::string> shards, servers;
    for (const std::string& host : url_.hosts) {
      uint32_t self = 0;
      if (absl::Status s = AskCluster({host}, &shards, &self); !s.ok()) return s;
      if (self == 0) {
        return absl::InvalidArgumentError(StrCat("lake: ", host, " is not in its own cluster ",
                                                 url_.cluster, "; name hosts that are"));
      }
      if (!servers.emplace(self, host).second) {
        return absl::InvalidArgumentError(StrCat("lake: ", host, " and ", servers[self],
                                                 " are the same shard of ", url_.cluster,
                                                 "; name each once"));
      }
    }
    for (const auto& [shard, name] : shards) {
      if (!servers.contains(shard)) {
        const std::string host =
            StrCat(name.find(':') == std::string::npos ? name : StrCat("[", name, "]"),
                   url_.hosts[0].substr(url_.hosts[0].rfind(':')));
        std::map<uint32_t, std::string> seen;
        uint32_t self = 0;
        absl::Status s = AskCluster({host}, &seen, &self);
        if (s.ok() && self != shard) s = absl::UnavailableError(StrCat(host, " is another one"));
        if (!s.ok()) {
          return absl::Status(s.code(), StrCat("lake: shard ", shard, " of ", url_.cluster,
                                               " is in no host of the URL, and was looked for at ",
                                               host, ": ", Text(s)));
        }
        servers[shard] = host;
      }
      nodes_.push_back({servers[shard], shard});
    }
    return absl::OkStatus();
  }

  absl::Status InsertPart(const Node& node, std::string_view table, const Block& part, bool marked,
                          uint64_t id, Patience* patience, Unsettled::Fate* fate) {
    const std::string what = StrCat("insert into ", table);
    std::string sql = StrCat("INSERT INTO ", SqlName(table), " (");
    for (size_t i = 0; i < part.columns.size(); ++i) {
      base::StrAppend(&sql, i == 0 ? "" : ", ", SqlName(part.columns[i].name));
    }
    base::StrAppend(&sql, marked ? StrCat(", ", kInsertId) : "", ") FORMAT Native");
    std::string bytes;
    {
      Block head = Block{std::vector<Column>(part.columns.size() + (marked ? 1 : 0))};
      head.columns[0].data = std::vector<uint8_t>(part.rows());
      EncodeNativeHead(head, &bytes);
      for (const Column& c : part.columns) EncodeNativeColumn(c, &bytes);
      if (marked)
        EncodeNativeColumn({std::string(kInsertId), std::vector<uint64_t>(part.rows(), id)},
                           &bytes);
    }
    for (;;) {
      if (*fate == Unsettled::kUnknown) {
        if (absl::Status s = Settle(node, table, part.rows(), marked, id, patience, fate); !s.ok())
          return s;
        if (*fate == Unsettled::kStored) return absl::OkStatus();
      }
      HttpCall call =
          Call(node, Own(), StrCat("stillwatch-", base::Hex(id), "-", base::Hex(Random64())));
      call.params += Param("query", sql);
      call.body = bytes;
      call.seconds = options_.insert_seconds;
      std::string text;
      call.on_body = [&](std::string_view more) {
        text.append(more.substr(0, kFirstDecode - std::min(kFirstDecode, text.size())));
        return absl::OkStatus();
      };
      HttpAnswer answer = Post(url_, call, options_.stop);
      if (answer.fate == HttpAnswer::kAnswered && answer.status == 200 && text.empty()) {
        *fate = Unsettled::kStored;
        return absl::OkStatus();
      }
      if (answer.fate == HttpAnswer::kAnswered && answer.error.empty()) answer.error = text;
      const absl::Status status = Failure(node, what, answer, absl::StatusCode::kInternal);
      if (answer.fate == HttpAnswer::kUnknown || answer.fate == HttpAnswer::kStopped)
        *fate = Unsettled::kUnknown;
      if (!absl::IsUnavailable(status) || !patience->Wait(status)) return patience->Said(status);
    }
  }

  // Finds out whether a part of unknown fate is there, once no query of it runs any more.
  absl::Status Settle(const Node& node, std::string_view table, size_t rows, bool marked,
                      uint64_t id, Patience* patience, Unsettled::Fate* fate) {
    const std::string what = StrCat("insert into ", table);
    if (!marked) {
      // Only the socket's tables have no such column. Where equal rows are one, sending again does
      // no harm.
      uint64_t equal_are_one = 0;
      const absl::Status s = Read(
          node, Own(),
          StrCat("SELECT count() AS n FROM system.tables WHERE database = currentDatabase() AND "
                 "engine LIKE 'Replacing%' AND name = ",
                 SqlString(table)),
          [&](const Block& b) {
            equal_are_one = b.columns[0].As<std::vector<uint64_t>>()[0];
            return absl::OkStatus();
          });
      if (!s.ok()) return s;
      if (equal_are_one == 0) {
        *fate = Unsettled::kNotStored;  // the caller knows, and decides
        return BrokenOff(
            StrCat("lake: ", what, ": the connection to ", Shown(node),
                   " broke before the answer; whether the rows are there is not known: "
                   "repeat it"));
      }
      *fate = Unsettled::kNotStored;
      return absl::OkStatus();
    }
    const std::string sql = StrCat(
        "SELECT toUInt64((SELECT count() FROM system.processes WHERE startsWith(query_id, ",
        SqlString(StrCat("stillwatch-", base::Hex(id))), "))) AS running, count() AS n FROM ",
        SqlName(table), " WHERE ", kInsertId, " = ", id);
    for (int clear = 0;;) {
      uint64_t running = 0, stored = 0;
      HttpCall call = Call(node, Own(), "");
      call.params += Param("default_format", "Native");
      call.body = sql;
      call.seconds = options_.insert_seconds;
      const std::function<absl::Status(const Block&)> on_block = [&](const Block& b) {
        running = b.columns[0].As<std::vector<uint64_t>>()[0];
        stored = b.columns[1].As<std::vector<uint64_t>>()[0];
        return absl::OkStatus();
      };
      BlockReader reader(on_block);
      call.on_body = [&](std::string_view bytes) { return reader.Add(bytes); };
      const HttpAnswer answer = Post(url_, call, options_.stop);
      absl::Status status = answer.fate == HttpAnswer::kAnswered && answer.status == 200
                                ? reader.End()
                                : Failure(node, what, answer);
      if (!status.ok()) {
        clear = 0;
        if (!absl::IsUnavailable(status) || !patience->Wait(status)) return patience->Said(status);
        continue;
      }
      if (stored == rows) {
        *fate = Unsettled::kStored;
        return absl::OkStatus();
      }
      if (running > 0) {
        clear = 0;
        status =
            absl::UnavailableError(StrCat("lake: ", what, ": ", Shown(node), " is still at it"));
        if (!patience->Wait(status)) return patience->Said(status);
        continue;
      }
      if (stored > 0) {
        // Of rows that are equal to others a merge leaves one.
        *fate = Unsettled::kStored;
        return absl::OkStatus();
      }
      // What waited in a frozen server's queue has not shown itself yet at the first look.
      if (++clear == 2) {
        *fate = Unsettled::kNotStored;
        return absl::OkStatus();
      }
      if (!Pause(std::chrono::milliseconds(options_.settle_ms)))
        return absl::CancelledError("interrupted");
    }
  }

  Unsettled TakeUnsettled(uint64_t digest) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto it = unsettled_.find(digest); it != unsettled_.end()) {
      Unsettled parts = std::move(it->second);
      unsettled_.erase(it);
      unsettled_order_.erase(std::find(unsettled_order_.begin(), unsettled_order_.end(), digest));
      return parts;
    }
    return {Random64(), std::vector<Unsettled::Fate>(nodes_.size(), Unsettled::kNotStored)};
  }
  void KeepUnsettled(uint64_t digest, Unsettled parts) {
    if (std::all_of(parts.fate.begin(), parts.fate.end(),
                    [](auto f) { return f == Unsettled::kNotStored; }))
      return;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!unsettled_.insert_or_assign(digest, std::move(parts)).second) return;
    unsettled_order_.push_back(digest);
    if (unsettled_order_.size() > kUnsettledMax) {
      unsettled_.erase(unsettled_order_.front());
      unsettled_order_.pop_front();
    }
  }

  const ClusterOptions options_;
  const LakeUrl url_;
  std::vector<Node> nodes_;  // by shard; fixed once open
  KnownColumns columns_;
  std::mutex mutex_;
  std::map<uint64_t, Unsettled> unsettled_;  // guarded by mutex_, by the block's hash
  std::deque<uint64_t> unsettled_order_;     // guarded by mutex_
};

absl::StatusOr<std::unique_ptr<ClusterLake>> Opened(const ClusterOptions& options) {
  auto lake = std::make_unique<ClusterLake>(options);
  if (absl::Status s = lake->Open(); !s.ok()) return s;
  return lake;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Lake>> OpenCluster(const ClusterOptions& options) {
  auto lake = Opened(options);
  if (!lake.ok()) return lake.status();
  return std::unique_ptr<Lake>(std::move(*lake));
}

absl::StatusOr<bool> ClusterHasLake(const ClusterOptions& options) {
  auto lake = Opened(options);
  if (!lake.ok()) return lake.status();
  return (*lake)->HasLake();
}

absl::Status DropCluster(const ClusterOptions& options) {
  if (!options.url.socket.empty()) {
    return absl::InvalidArgumentError(
        "lake: drop the folder that is served on the socket, once nothing serves it");
  }
  auto lake = Opened(options);
  if (!lake.ok()) return lake.status();
  return (*lake)->Drop();
}

}  // namespace stillwatch::lake
