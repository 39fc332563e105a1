#include "engine/log_builder.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <span>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "base/cold_column.h"
#include "base/hash.h"
#include "base/release.h"
#include "base/str.h"
#include "engine/names.h"
#include "model/exchange.h"

namespace stillwatch::engine {
namespace {

using link::kNone;

template <typename T>
const T* Get(const lake::Block& block, const char* name) {
  const lake::Column* column = block.Find(name);
  return column == nullptr ? nullptr : std::get_if<T>(&column->data);
}

using Names = Interner<std::string>;

// Decoding settings as the interner's key; written out for people only once each.
struct Setting {
  float temperature, top_p;
  uint32_t max_tokens;
};

std::string SettingName(std::string_view key) {
  Setting s;
  std::memcpy(&s, key.data(), sizeof s);
  char text[96];
  std::snprintf(
      text, sizeof text, "t=%s%.3g p=%s%.3g m=%u tools=", std::isnan(s.temperature) ? "-" : "",
      std::isnan(s.temperature) ? 0.0 : double{s.temperature}, std::isnan(s.top_p) ? "-" : "",
      std::isnan(s.top_p) ? 0.0 : double{s.top_p}, s.max_tokens);
  return text + std::string(key.substr(sizeof s));
}

// Combinations of how exchanges were sent, by their hash: among 10^7 two share one with probability
// 3e-6, and then one is shown as the other.
class SenderInterner {
 public:
  uint32_t operator()(const std::array<std::string_view, Senders::kParts>& parts) {
    uint64_t h = 0;
    for (const std::string_view p : parts) h = base::Combine64(h, base::Hash64(p));
    if (h == last_ && !sent.empty()) return number_;
    const auto [it, fresh] = ids_.try_emplace(h, static_cast<uint32_t>(sent.size()));
    if (fresh) {
      auto& of = sent.emplace_back();
      for (size_t p = 0; p < parts.size(); ++p) of[p] = names[p](parts[p]);
    }
    last_ = h;
    return number_ = it->second;
  }
  std::array<Names, Senders::kParts> names;
  std::vector<std::array<uint32_t, Senders::kParts>> sent;

 private:
  absl::flat_hash_map<uint64_t, uint32_t> ids_;
  uint64_t last_ = 0;
  uint32_t number_ = 0;
};

absl::Status FileError(const std::string& folder, int error) {
  const std::string text = base::StrCat(folder, ": a temporary file: ", std::strerror(error));
  return error == ENOSPC ? absl::ResourceExhaustedError(text + "; free space and run again")
                         : absl::FailedPreconditionError(text);
}

}  // namespace

const char kLogColumns[] =
    "exchange_id, content, ts, account_id, model, input_tokens, output_tokens, temperature, top_p, "
    "max_tokens, tools, client_ip, ja4, signatures_issued, signatures_presented, features, "
    "system_sketch, turn_sketch, channel, user_agent, api_key_id, org_id";

// Rows come in chunks of one size, so that no column is ever copied to make room and the number of
// a row says where it is.
struct LogBuilder::Chunk {
  static constexpr int kBits = 16;
  static constexpr size_t kRows = size_t{1} << kBits;
  // In memory, or `count` values of the file from `at` on.
  template <typename T>
  struct Column {
    std::vector<T> v;
    uint64_t at = 0, count = 0;
  };
  explicit Chunk(uint32_t part) : part(part) {
    const auto reserve = [](auto&... columns) { (columns.v.reserve(kRows), ...); };
    reserve(id, features, item, ts_ms, content, account, model, setting, address, ja4, sender,
            input, output, system_hashes, turn_hashes);
    hashes.v.reserve(kRows * 20);
  }
  template <typename F>
  void EachColumn(F&& f) {
    f(id), f(item), f(ts_ms), f(features), f(content), f(account), f(model), f(setting);
    f(address), f(ja4), f(sender), f(input), f(output), f(issued), f(presented), f(issued_place);
    f(presented_place), f(system_hashes), f(turn_hashes), f(hashes);
  }
  size_t rows = 0;
  uint32_t part;  // whose numbers it has
  uint64_t at = 0, bytes = 0;  // of the file
  Column<uint64_t> id, item;
  Column<int64_t> ts_ms;
  Column<uint32_t> features, content, account, model, setting, address, ja4, sender, input, output;
  Column<uint64_t> issued, presented;  // signatures, and the places of their rows
  Column<uint16_t> issued_place, presented_place;
  // Of each row those of the system prompt, then those of the turn.
  Column<uint8_t> system_hashes, turn_hashes;  // how many
  Column<uint32_t> hashes;
  static constexpr size_t kHashesMax = 255;  // of a part; sketches have 64
};

struct LogBuilder::Part {
  Names accounts, models, settings, addresses, ja4s;
  SenderInterner senders;
  uint32_t number = 0;
  std::vector<std::unique_ptr<Chunk>> chunks;
  std::string key;
  int64_t from_ms = INT64_MAX, to_ms = INT64_MIN;
};

LogBuilder::LogBuilder(int64_t since_ms, int64_t until_ms, const link::TemplateOptions& options,
                       std::string folder, uint64_t memory_bytes)
    : since_(since_ms),
      until_(until_ms),
      options_(options),
      folder_(std::move(folder)),
      memory_bytes_(memory_bytes),
      counts_(std::make_unique<link::HashCounts>()) {}

LogBuilder::~LogBuilder() {
  if (file_ >= 0) ::close(file_);
}

// Calls each(row's place, its salted hashes) for all rows, when their counters are at hand.
template <typename F>
void LogBuilder::EachText(const Chunk& chunk, F&& each) const {
  constexpr size_t kAhead = 4;  // rows: about as many lines as a core waits for at once
  std::vector<uint64_t> salted(chunk.hashes.v.size());
  size_t at = 0, expected = 0;
  for (size_t i = 0; i < chunk.rows; ++i) {
    for (uint8_t n = chunk.system_hashes.v[i]; n > 0; --n, ++at)
      salted[at] = link::SaltSystem(chunk.hashes.v[at]);
    for (uint8_t n = chunk.turn_hashes.v[i]; n > 0; --n, ++at)
      salted[at] = link::SaltTurn(chunk.hashes.v[at]);
  }
  const auto hashes_of = [&](size_t i) {
    return size_t{chunk.system_hashes.v[i]} + chunk.turn_hashes.v[i];
  };
  const auto expect = [&](size_t i) {
    for (size_t n = hashes_of(i); n > 0; --n) counts_->Expect(salted[expected++]);
  };
  for (size_t i = 0; i < std::min(kAhead, chunk.rows); ++i) expect(i);
  at = 0;
  for (size_t i = 0; i < chunk.rows; ++i) {
    if (i + kAhead < chunk.rows) expect(i + kAhead);
    const size_t n = hashes_of(i);
    each(i, std::span<const uint64_t>(salted).subspan(at, n));
    at += n;
  }
}

void LogBuilder::Count(const Chunk& chunk) {
  EachText(chunk, [&](size_t, std::span<const uint64_t> hashes) {
    for (const uint64_t h : hashes) counts_->Add(h);
  });
}

// Counts a full chunk's hashes; beyond the bound its columns go into the file.
absl::Status LogBuilder::Seal(Chunk* chunk) {
  Count(*chunk);
  uint64_t bytes = 0;
  chunk->EachColumn([&](auto& c) { bytes += c.v.size() * sizeof(c.v[0]); });
  if (held_.fetch_add(bytes) + bytes <= memory_bytes_) return absl::OkStatus();
  held_ -= bytes;
  uint64_t to;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (file_ < 0) file_ = base::OpenNameless(folder_);
    if (file_ < 0) return FileError(folder_, errno);
    to = file_end_;
    file_end_ += bytes;
  }
  chunk->at = to;
  chunk->bytes = bytes;
  int error = 0;
  chunk->EachColumn([&](auto& c) {
    c.at = to;
    c.count = c.v.size();
    const size_t n = c.count * sizeof(c.v[0]);
    if (error == 0) error = base::WriteAt(file_, c.v.data(), n, to);
    to += n;
    base::Release(c.v);
  });
  return error == 0 ? absl::OkStatus() : FileError(folder_, error);
}

template <typename T>
int LogBuilder::ReadBack(T* column) const {
  if (column->count == 0 || !column->v.empty()) return 0;
  column->v.resize(column->count);
  return base::ReadAt(file_, column->v.data(), column->count * sizeof(column->v[0]), column->at);
}

std::unique_ptr<LogBuilder::Part> LogBuilder::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!parts_.empty()) {
    std::unique_ptr<Part> part = std::move(parts_.back());
    parts_.pop_back();
    return part;
  }
  auto part = std::make_unique<Part>();
  part->number = part_count_++;
  return part;
}

void LogBuilder::Return(std::unique_ptr<Part> part) {
  const std::lock_guard<std::mutex> lock(mutex_);
  parts_.push_back(std::move(part));
}

absl::Status LogBuilder::AddExchanges(const lake::Block& b) {
  const auto* id = Get<lake::StringColumn>(b, "exchange_id");
  const auto* content = Get<std::vector<uint32_t>>(b, "content");
  const auto* ts = Get<std::vector<int64_t>>(b, "ts");
  const auto* account = Get<lake::StringColumn>(b, "account_id");
  const auto* model = Get<lake::StringColumn>(b, "model");
  const auto* input = Get<std::vector<uint32_t>>(b, "input_tokens");
  const auto* output = Get<std::vector<uint32_t>>(b, "output_tokens");
  const auto* temperature = Get<std::vector<float>>(b, "temperature");
  const auto* top_p = Get<std::vector<float>>(b, "top_p");
  const auto* max_tokens = Get<std::vector<uint32_t>>(b, "max_tokens");
  const auto* tools = Get<lake::StringColumn>(b, "tools");
  const auto* ip = Get<lake::StringColumn>(b, "client_ip");
  const auto* ja4 = Get<lake::StringColumn>(b, "ja4");
  const auto* issued = Get<lake::ArrayColumn<uint64_t>>(b, "signatures_issued");
  const auto* presented = Get<lake::ArrayColumn<uint64_t>>(b, "signatures_presented");
  const auto* features = Get<std::vector<uint64_t>>(b, "features");
  const auto* system = Get<lake::ArrayColumn<uint32_t>>(b, "system_sketch");
  const auto* turn = Get<lake::ArrayColumn<uint32_t>>(b, "turn_sketch");
  const auto* channel = Get<lake::StringColumn>(b, "channel");
  const auto* agent = Get<lake::StringColumn>(b, "user_agent");
  const auto* key = Get<lake::StringColumn>(b, "api_key_id");
  const auto* org = Get<lake::StringColumn>(b, "org_id");
  if (!id || !content || !ts || !account || !model || !input || !output || !temperature || !top_p ||
      !max_tokens || !tools || !ip || !ja4 || !issued || !presented || !features || !system ||
      !turn || !channel || !agent || !key || !org) {
    return absl::InternalError(
        "log: a block of exchanges lacks a column or has it in another type");
  }
  std::unique_ptr<Part> part = Take();
  Part& p = *part;
  for (size_t i = 0; i < b.rows(); ++i) {
    if ((*ts)[i] < since_ || (*ts)[i] >= until_) continue;
    if (p.chunks.empty() || p.chunks.back()->rows == Chunk::kRows) {
      if (!p.chunks.empty()) {
        if (absl::Status s = Seal(p.chunks.back().get()); !s.ok()) return s;
      }
      p.chunks.push_back(std::make_unique<Chunk>(p.number));
    }
    Chunk& c = *p.chunks.back();
    c.id.v.push_back(base::Hash64((*id)[i]));
    c.content.v.push_back((*content)[i]);
    c.ts_ms.v.push_back((*ts)[i]);
    p.from_ms = std::min(p.from_ms, (*ts)[i]);
    p.to_ms = std::max(p.to_ms, (*ts)[i]);
    c.account.v.push_back(p.accounts((*account)[i]));
    c.model.v.push_back(p.models((*model)[i]));
    c.input.v.push_back((*input)[i]);
    c.output.v.push_back((*output)[i]);
    const Setting s{(*temperature)[i], (*top_p)[i], (*max_tokens)[i]};
    p.key.assign(reinterpret_cast<const char*>(&s), sizeof s).append((*tools)[i]);
    c.setting.v.push_back(p.settings(p.key));
    c.address.v.push_back(p.addresses((*ip)[i]));
    c.ja4.v.push_back(p.ja4s((*ja4)[i]));
    c.sender.v.push_back(p.senders({(*channel)[i], (*agent)[i], (*key)[i], (*org)[i]}));
    c.features.v.push_back(link::ShortFeatures((*features)[i]));
    const auto signatures = [&](const lake::ArrayColumn<uint64_t>& from, auto* to, auto* places) {
      to->v.insert(to->v.end(), from.begin(i), from.end(i));
      places->v.insert(places->v.end(), static_cast<size_t>(from.end(i) - from.begin(i)),
                       static_cast<uint16_t>(c.rows));
    };
    signatures(*issued, &c.issued, &c.issued_place);
    signatures(*presented, &c.presented, &c.presented_place);
    const std::span<const uint32_t> of_system(system->begin(i), system->end(i)), of_turn(turn->begin(i), turn->end(i));
    if (of_system.size() > Chunk::kHashesMax || of_turn.size() > Chunk::kHashesMax)
      return absl::InternalError("log: a sketch of more than 255 hashes");
    c.item.v.push_back(link::ItemOf(of_turn));
    c.system_hashes.v.push_back(static_cast<uint8_t>(of_system.size()));
    c.turn_hashes.v.push_back(static_cast<uint8_t>(of_turn.size()));
    c.hashes.v.insert(c.hashes.v.end(), of_system.begin(), of_system.end());
    c.hashes.v.insert(c.hashes.v.end(), of_turn.begin(), of_turn.end());
    ++c.rows;
  }
  Return(std::move(part));
  return absl::OkStatus();
}

absl::Status LogBuilder::AddAccounts(const lake::Block& b) {
  const auto* content = Get<std::vector<uint32_t>>(b, "content");
  const auto* created = Get<std::vector<int64_t>>(b, "created_at");
  const auto* verified = Get<std::vector<uint8_t>>(b, "org_verified");
  const auto text = [&](const char* name) { return Get<lake::StringColumn>(b, name); };
  const auto *id = text("account_id"), *org = text("org_id"), *plan = text("plan"),
             *channel = text("channel"), *domain = text("email_domain"),
             *payment = text("payment_id"), *kyc = text("kyc"), *referrer = text("referrer"),
             *ip = text("signup_ip");
  if (!content || !created || !verified || !id || !org || !plan || !channel || !domain ||
      !payment || !kyc || !referrer || !ip) {
    return absl::InternalError("log: a block of accounts lacks a column or has it in another type");
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = 0; i < b.rows(); ++i) {
    model::Account a;
    a.account_id = (*id)[i];
    if ((*created)[i] != INT64_MIN) a.created_at_ms = (*created)[i];
    a.org_id = (*org)[i];
    a.org_verified = (*verified)[i] != 0;
    a.plan = (*plan)[i];
    a.channel = (*channel)[i];
    a.email_domain = (*domain)[i];
    a.payment_id = (*payment)[i];
    a.kyc = (*kyc)[i];
    a.referrer = (*referrer)[i];
    a.signup_ip = (*ip)[i];
    records_.push_back({std::move(a), (*content)[i]});
  }
  return absl::OkStatus();
}

namespace {

// One column's names over all parts, ascending, and each part's numbers in them.
struct Merged {
  link::Names names;
  std::vector<std::vector<uint32_t>> number;  // [part][its own number]
};

// `more`: names beside those of the parts.
template <typename NameOf>
Merged Merge(const std::vector<const std::deque<std::string>*>& parts, const NameOf& name_of,
             const std::vector<std::string>& more) {
  Names all;
  Merged out;
  out.number.resize(parts.size());
  for (size_t p = 0; p < parts.size(); ++p) {
    for (const std::string& name : *parts[p]) out.number[p].push_back(all(name_of(name)));
  }
  for (const std::string& name : more) all(name);
  const std::vector<uint32_t> rank = all.Rank(&out.names);
  for (auto& numbers : out.number) {
    for (uint32_t& n : numbers) n = rank[n];
  }
  return out;
}

// Deals things out to parts of one place: each worker gathers a part's in a small buffer of its
// own, so that what is written lies side by side. `flush(part, things)` is called from several
// threads.
template <typename T>
class Dealer {
 public:
  using Flush = std::function<void(size_t part, std::span<const T> things)>;
  Dealer(int workers, size_t parts, size_t buffered, Flush flush)
      : buffered_(buffered), flush_(std::move(flush)) {
    mine_.assign(static_cast<size_t>(workers), std::vector<std::vector<T>>(parts));
  }
  void Deal(int worker, size_t part, const T& thing) {
    std::vector<T>& to = mine_[static_cast<size_t>(worker)][part];
    if (to.capacity() == 0) to.reserve(buffered_);
    to.push_back(thing);
    if (to.size() < buffered_) return;
    flush_(part, std::span<const T>(to));
    to.clear();
  }
  void End() {
    for (auto& parts : mine_) {
      for (size_t part = 0; part < parts.size(); ++part)
        if (!parts[part].empty()) flush_(part, std::span<const T>(parts[part]));
    }
    mine_.clear();
  }

 private:
  const size_t buffered_;
  Flush flush_;
  std::vector<std::vector<std::vector<T>>> mine_;  // [worker][part]
};

// What several threads fill part by part; it begins where the part does.
std::vector<std::atomic<uint64_t>> Cursors(const std::vector<uint64_t>& first) {
  std::vector<std::atomic<uint64_t>> out(first.size());
  for (size_t i = 0; i < first.size(); ++i) out[i] = first[i];
  return out;
}

// A row on its way from its chunk to its place.
struct Row {
  uint64_t id, item;
  int64_t ts_ms;
  uint32_t account, address, text, features, setting, ja4, sender, input, output;
  uint16_t model;
  bool presents;
};

}  // namespace

// Calls body(number, chunk, worker) for all chunks, with these columns of them at hand.
template <typename Body, typename... Columns>
absl::Status LogBuilder::EachChunk(const Chunks& chunks, const base::Parallel& parallel,
                                   const Body& body, Columns... columns) const {
  std::atomic<int> failed = 0;  // an errno, which is each thread's own
  parallel.For(chunks.size(), 1, [&](size_t begin, size_t end, int worker) {
    for (size_t k = begin; k < end && failed == 0; ++k) {
      Chunk& c = *chunks[k];
      for (const int error : {ReadBack(&(c.*columns))...}) {
        if (error != 0) failed = error;
      }
      if (failed != 0) return;
      if (const int error = body(k, c, worker); error != 0) failed = error;
      const auto rest = [](auto& column) {
        if (column.count > 0) base::Release(column.v);
      };
      (rest(c.*columns), ...);
    }
  });
  return failed == 0 ? absl::OkStatus() : FileError(folder_, failed);
}

// Exchange ids that more than one row has. Dealt out by their first bits, so that what tells which
// can have another of their kind, two bits of a small table, is in a core's cache.
absl::Status LogBuilder::FindTwice(const Chunks& chunks, const base::Parallel& parallel,
                                   absl::flat_hash_set<uint64_t>* twice) const {
  constexpr int kPartBits = 10;
  constexpr size_t kParts = size_t{1} << kPartBits, kBuffered = 64;
  const auto part_of = [](uint64_t id) { return static_cast<size_t>(id >> (64 - kPartBits)); };
  std::vector<std::vector<uint64_t>> counts(static_cast<size_t>(parallel.threads()),
                                            std::vector<uint64_t>(kParts, 0));
  absl::Status s = EachChunk(
      chunks, parallel,
      [&](size_t, Chunk& c, int worker) {
        for (const uint64_t id : c.id.v) ++counts[static_cast<size_t>(worker)][part_of(id)];
        return 0;
      },
      &Chunk::id);
  if (!s.ok()) return s;
  std::vector<uint64_t> first(kParts + 1, 0);
  for (size_t p = 0; p < kParts; ++p) {
    first[p + 1] = first[p];
    for (const auto& of_worker : counts) first[p + 1] += of_worker[p];
  }
  std::vector<uint64_t> ids(first[kParts]);
  {
    std::vector<std::atomic<uint64_t>> next = Cursors(first);
    Dealer<uint64_t> dealer(
        parallel.threads(), kParts, kBuffered, [&](size_t part, std::span<const uint64_t> some) {
          const uint64_t at = next[part].fetch_add(some.size(), std::memory_order_relaxed);
          std::copy(some.begin(), some.end(), ids.begin() + static_cast<ptrdiff_t>(at));
        });
    s = EachChunk(
        chunks, parallel,
        [&](size_t, Chunk& c, int worker) {
          for (const uint64_t id : c.id.v) dealer.Deal(worker, part_of(id), id);
          return 0;
        },
        &Chunk::id);
    if (!s.ok()) return s;
    dealer.End();
  }
  std::mutex mutex;
  parallel.For(kParts, 8, [&](size_t begin, size_t end, int) {
    std::vector<uint64_t> seen, again, suspects;
    for (size_t p = begin; p < end; ++p) {
      const std::span<const uint64_t> part(ids.data() + first[p], first[p + 1] - first[p]);
      const uint64_t mask = std::bit_ceil(std::max<uint64_t>(part.size() * 16, 64)) - 1;
      seen.assign(mask / 64 + 1, 0);
      again.assign(mask / 64 + 1, 0);
      for (const uint64_t id : part) {
        const uint64_t h = id & mask, bit = uint64_t{1} << (h & 63);
        again[h >> 6] |= seen[h >> 6] & bit;
        seen[h >> 6] |= bit;
      }
      suspects.clear();
      for (const uint64_t id : part) {
        if (const uint64_t h = id & mask; again[h >> 6] >> (h & 63) & 1) suspects.push_back(id);
      }
      std::sort(suspects.begin(), suspects.end());
      const std::lock_guard<std::mutex> lock(mutex);
      for (size_t i = 1; i < suspects.size(); ++i)
        if (suspects[i] == suspects[i - 1]) twice->insert(suspects[i]);
    }
  });
  return absl::OkStatus();
}

absl::Status LogBuilder::Finish(const base::Parallel& parallel, link::Log* log, uint64_t* conflicts,
                                lookup::Writer* index) {
  std::sort(parts_.begin(), parts_.end(), [](const auto& x, const auto& y) { return x->number < y->number; });
  Chunks chunks;
  int64_t from_ms = INT64_MAX, to_ms = INT64_MIN;
  for (auto& p : parts_) {
    if (!p->chunks.empty()) Count(*p->chunks.back());  // not full, and needed soon
    for (auto& c : p->chunks) chunks.push_back(std::move(c));
    from_ms = std::min(from_ms, p->from_ms);
    to_ms = std::max(to_ms, p->to_ms);
  }
  // A row's number: its chunk, then its place there; not every number is taken.
  if (chunks.size() >= kNone >> Chunk::kBits)
    return absl::ResourceExhaustedError(
        "log: more than 4,294,000,000 rows; narrow --since and --until");

  if (until_ != INT64_MAX) {
    std::erase_if(records_, [&](const auto& r) {
      return r.first.created_at_ms.value_or(INT64_MAX) >= until_ &&
             std::none_of(parts_.begin(), parts_.end(),
                          [&](const auto& p) { return p->accounts.Has(r.first.account_id); });
    });
  }

  // Names. "" is number 0 of every column but the accounts'.
  Names Part::*const columns[] = {&Part::accounts, &Part::models, &Part::settings, &Part::addresses,
                                  &Part::ja4s};
  std::vector<Merged> merged(std::size(columns));
  parallel.For(std::size(columns), 1, [&](size_t begin, size_t end, int) {
    for (size_t c = begin; c < end; ++c) {
      std::vector<const std::deque<std::string>*> from;
      for (const auto& p : parts_) from.push_back(&((*p).*columns[c]).names());
      std::vector<std::string> more;
      if (c == 0) {
        for (const auto& [record, content] : records_) more.push_back(record.account_id);
      } else {
        more.push_back("");
      }
      merged[c] = columns[c] == &Part::settings
                      ? Merge(from, SettingName, more)
                      : Merge(
                            from, [](const std::string& v) -> const std::string& { return v; }, more);
    }
  });
  Senders senders;
  std::vector<uint32_t> first_sent;  // of each part's combinations
  if (index != nullptr) {
    for (const auto& p : parts_) {
      first_sent.push_back(static_cast<uint32_t>(senders.sent.size()));
      senders.sent.insert(senders.sent.end(), p->senders.sent.begin(), p->senders.sent.end());
    }
    parallel.For(Senders::kParts, 1, [&](size_t begin, size_t end, int) {
      for (size_t part = begin; part < end; ++part) {
        std::vector<const std::deque<std::string>*> from;
        for (const auto& p : parts_) from.push_back(&p->senders.names[part].names());
        Merged names =
            Merge(from, [](const std::string& v) -> const std::string& { return v; }, {""});
        for (size_t p = 0; p < parts_.size(); ++p) {
          for (size_t i = 0; i < parts_[p]->senders.sent.size(); ++i) {
            uint32_t& n = senders.sent[first_sent[p] + i][part];
            n = names.number[p][n];
          }
        }
        senders.names[part] = std::move(names.names);
      }
    });
  }
  parts_.clear();
  if (merged[1].names.size() > 0x10000)
    return absl::ResourceExhaustedError("log: more than 65,535 model names");
  log->account_id = std::move(merged[0].names);
  log->models = std::move(merged[1].names);
  log->setting_names = std::move(merged[2].names);
  log->addresses = std::move(merged[3].names);
  log->ja4s = std::move(merged[4].names);

  const uint32_t accounts = static_cast<uint32_t>(log->account_id.size());
  log->account.resize(accounts);
  log->described.assign(accounts, 0);
  for (uint32_t a = 0; a < accounts; ++a) log->account[a].account_id = log->account_id[a];
  std::sort(records_.begin(), records_.end(), [](const auto& x, const auto& y) {
    return std::tie(x.first.account_id, x.second) < std::tie(y.first.account_id, y.second);
  });
  uint32_t a = 0;
  for (auto& [record, content] : records_) {
    while (log->account_id[a] != record.account_id) ++a;
    if (log->described[a]) continue;
    log->described[a] = 1;
    log->account[a] = std::move(record);
  }
  base::Release(records_);

  const auto account_of = [&](const Chunk& c, size_t i) {
    return merged[0].number[c.part][c.account.v[i]];
  };

  // Duplicates.
  std::vector<std::vector<bool>> dead(chunks.size());  // empty: none
  absl::flat_hash_set<uint64_t> twice;
  if (absl::Status s = FindTwice(chunks, parallel, &twice); !s.ok()) return s;
  if (!twice.empty()) {
    struct Suspect {
      uint64_t id;
      uint32_t content, account, row;
      int64_t ts_ms;
    };
    std::vector<std::vector<Suspect>> found(chunks.size());
    const absl::Status s = EachChunk(
        chunks, parallel,
        [&](size_t k, Chunk& c, int) {
          for (size_t i = 0; i < c.rows; ++i) {
            if (twice.contains(c.id.v[i]))
              found[k].push_back({c.id.v[i], c.content.v[i], account_of(c, i),
                                  static_cast<uint32_t>(k << Chunk::kBits | i), c.ts_ms.v[i]});
          }
          return 0;
        },
        &Chunk::id, &Chunk::content, &Chunk::account, &Chunk::ts_ms);
    if (!s.ok()) return s;
    std::vector<Suspect> suspects;
    for (auto& of_chunk : found) {
      suspects.insert(suspects.end(), of_chunk.begin(), of_chunk.end());
      base::Release(of_chunk);
    }
    std::sort(suspects.begin(), suspects.end(), [](const Suspect& x, const Suspect& y) {
      return std::tie(x.id, x.content, x.account, x.ts_ms) <
             std::tie(y.id, y.content, y.account, y.ts_ms);
    });
    size_t winner = 0;
    for (size_t i = 1; i < suspects.size(); ++i) {
      if (suspects[i].id != suspects[winner].id) {
        winner = i;
        continue;
      }
      std::vector<bool>& of_chunk = dead[suspects[i].row >> Chunk::kBits];
      if (of_chunk.empty()) of_chunk.assign(Chunk::kRows, false);
      of_chunk[suspects[i].row & (Chunk::kRows - 1)] = true;
      *conflicts += suspects[i].content != suspects[winner].content;
    }
    base::Release(twice);
  }
  const auto lives = [&](size_t k, size_t i) { return dead[k].empty() || !dead[k][i]; };

  // Signatures that nobody presented say nothing.
  {
    std::vector<std::vector<uint64_t>> presented(chunks.size());
    absl::Status s = EachChunk(
        chunks, parallel,
        [&](size_t k, Chunk& c, int) {
          presented[k] = c.presented.v;
          return 0;
        },
        &Chunk::presented);
    if (!s.ok()) return s;
    std::vector<uint64_t> asked;
    for (auto& of_chunk : presented) {
      asked.insert(asked.end(), of_chunk.begin(), of_chunk.end());
      base::Release(of_chunk);
    }
    std::sort(asked.begin(), asked.end());
    std::vector<std::vector<std::pair<uint64_t, uint32_t>>> issued(chunks.size());
    s = EachChunk(
        chunks, parallel,
        [&](size_t k, Chunk& c, int) {
          for (size_t i = 0; i < c.issued.v.size(); ++i) {
            const uint16_t place = c.issued_place.v[i];
            if (lives(k, place) && std::binary_search(asked.begin(), asked.end(), c.issued.v[i]))
              issued[k].push_back({c.issued.v[i], account_of(c, place)});
          }
          return 0;
        },
        &Chunk::issued, &Chunk::issued_place, &Chunk::account);
    if (!s.ok()) return s;
    for (const auto& of_chunk : issued)
      log->issued.insert(log->issued.end(), of_chunk.begin(), of_chunk.end());
    std::sort(log->issued.begin(), log->issued.end());
  }

  // Rows of each account.
  {
    std::vector<std::atomic<uint64_t>> count(accounts);
    const absl::Status s = EachChunk(
        chunks, parallel,
        [&](size_t k, Chunk& c, int) {
          for (size_t i = 0; i < c.rows; ++i) {
            if (lives(k, i)) count[account_of(c, i)].fetch_add(1, std::memory_order_relaxed);
          }
          return 0;
        },
        &Chunk::account);
    if (!s.ok()) return s;
    log->first_row.assign(accounts + 1, 0);
    for (uint32_t i = 0; i < accounts; ++i) log->first_row[i + 1] = log->first_row[i] + count[i];
  }
  const size_t rows = log->first_row[accounts];

  // Rows are dealt out to ranges of accounts of which a core's caches hold one, and each range is
  // put in order: what lies anywhere in memory is never looked for row by row.
  constexpr size_t kRangeRows = 1 << 16, kRangesMax = 1'024, kBuffered = 256;
  const size_t range_rows = std::max(kRangeRows, rows / kRangesMax);
  std::vector<uint32_t> range_begin = {0};  // its first account
  std::vector<uint16_t> range_of(accounts);
  for (uint32_t i = 0; i < accounts; ++i) {
    if (log->first_row[i] > log->first_row[range_begin.back()] &&
        log->first_row[i + 1] - log->first_row[range_begin.back()] > range_rows)
      range_begin.push_back(i);
    range_of[i] = static_cast<uint16_t>(range_begin.size() - 1);
  }
  const size_t ranges = range_begin.size();
  range_begin.push_back(accounts);
  std::vector<uint64_t> range_first(ranges);
  for (size_t r = 0; r < ranges; ++r) range_first[r] = log->first_row[range_begin[r]];

  std::vector<Row> held;  // or in the file, from `dealt_at` on
  const bool in_memory = file_ < 0 || rows * sizeof(Row) <= memory_bytes_ / 2;
  constexpr uint64_t kPage = 4'096;
  const uint64_t dealt_at = (file_end_ + kPage - 1) / kPage * kPage;
  if (in_memory) held.resize(rows);
  std::vector<std::vector<std::pair<uint64_t, uint64_t>>> presented(
      chunks.size());  // id, signature
  {
    std::vector<std::atomic<uint64_t>> next = Cursors(range_first);
    std::atomic<int> unwritten = 0;
    Dealer<Row> dealer(
        parallel.threads(), ranges, kBuffered, [&](size_t range, std::span<const Row> some) {
          const uint64_t at = next[range].fetch_add(some.size(), std::memory_order_relaxed);
          if (in_memory) {
            std::copy(some.begin(), some.end(), held.begin() + static_cast<ptrdiff_t>(at));
          } else if (const int e = base::WriteAt(file_, some.data(), some.size_bytes(),
                                                 dealt_at + at * sizeof(Row));
                     e != 0) {
            unwritten = e;
          }
        });
    const uint32_t enough = options_.ExchangesMin(rows);
    const absl::Status s = EachChunk(
        chunks, parallel,
        [&](size_t k, Chunk& c, int worker) {
          std::vector<bool> presents(c.rows, false);
          for (size_t i = 0; i < c.presented.v.size(); ++i) {
            const uint16_t place = c.presented_place.v[i];
            if (!lives(k, place)) continue;
            presents[place] = true;
            presented[k].push_back({c.id.v[place], c.presented.v[i]});
          }
          std::vector<uint64_t> kept;
          EachText(c, [&](size_t i, std::span<const uint64_t> hashes) {
            kept.clear();
            for (const uint64_t h : hashes) {
              if (counts_->MayHave(h, enough)) kept.push_back(h);
            }
            if (!lives(k, i)) return;
            Row row;
            row.id = c.id.v[i];
            row.item = c.item.v[i];
            row.ts_ms = c.ts_ms.v[i];
            row.account = account_of(c, i);
            row.address = merged[3].number[c.part][c.address.v[i]];
            row.text = log->texts.Add(kept);
            row.features = c.features.v[i];
            row.setting = merged[2].number[c.part][c.setting.v[i]];
            row.ja4 = merged[4].number[c.part][c.ja4.v[i]];
            row.sender = index == nullptr ? 0 : first_sent[c.part] + c.sender.v[i];
            row.input = c.input.v[i];
            row.output = c.output.v[i];
            row.model = static_cast<uint16_t>(merged[1].number[c.part][c.model.v[i]]);
            row.presents = presents[i];
            dealer.Deal(worker, range_of[row.account], row);
          });
          c.EachColumn([](auto& column) { base::Release(column.v); });
          if (c.bytes > 0) base::PunchHole(file_, c.at, c.bytes);
          return unwritten.load();
        },
        &Chunk::id, &Chunk::item, &Chunk::ts_ms, &Chunk::features, &Chunk::account, &Chunk::model,
        &Chunk::setting, &Chunk::address, &Chunk::ja4, &Chunk::sender, &Chunk::input,
        &Chunk::output, &Chunk::presented, &Chunk::presented_place, &Chunk::system_hashes,
        &Chunk::turn_hashes, &Chunk::hashes);
    if (!s.ok()) return s;
    dealer.End();
    if (unwritten != 0) return FileError(folder_, unwritten);
  }
  chunks.clear();
  merged.clear();
  counts_.reset();
  if (const int e = log->texts.Seal(folder_); e != 0) return FileError(folder_, e);

  base::ColdColumn<uint32_t> sender;
  log->ts_ms.Begin(rows, from_ms, to_ms);
  const auto each_column = [&](const auto& with) {
    int failed = 0;
    const auto one = [&](auto& column, auto of) {
      if (failed == 0) failed = with(column, of);
    };
    one(log->id, &Row::id);
    one(log->item, &Row::item);
    one(log->text, &Row::text);
    one(log->model, &Row::model);
    one(log->address, &Row::address);
    one(log->settings, &Row::setting);
    one(log->ja4, &Row::ja4);
    one(log->input_tokens, &Row::input);
    one(log->output_tokens, &Row::output);
    one(log->features, &Row::features);
    if (index != nullptr) one(sender, &Row::sender);
    return failed;
  };
  if (const int e = each_column([&](auto& c, auto) { return c.Begin(rows, folder_); }); e != 0)
    return FileError(folder_, e);
  std::mutex mutex;
  std::vector<std::pair<uint64_t, uint32_t>> presenting;  // id, row
  std::atomic<int> failed = 0;
  parallel.For(ranges, 1, [&](size_t begin, size_t end, int) {
    struct Key {
      int64_t ts_ms;
      uint64_t id;
      const Row* row;
    };
    std::vector<Row> read;
    std::vector<Key> keys;
    std::vector<uint64_t> next;
    for (size_t r = begin; r < end && failed == 0; ++r) {
      const uint32_t first_account = range_begin[r], last_account = range_begin[r + 1];
      const uint64_t first = range_first[r], n = log->first_row[last_account] - first;
      if (!in_memory) {
        read.resize(n);
        const uint64_t at = dealt_at + first * sizeof(Row);
        if (const int e = base::ReadAt(file_, read.data(), n * sizeof(Row), at); e != 0) {
          failed = e;
          return;
        }
        base::PunchHole(file_, at, n * sizeof(Row));
      }
      const std::span<const Row> dealt(in_memory ? held.data() + first : read.data(), n);
      // By account first (a counting sort), then each account on its own.
      next.clear();
      for (uint32_t i = first_account; i < last_account; ++i)
        next.push_back(log->first_row[i] - first);
      keys.resize(n);
      for (const Row& row : dealt)
        keys[next[row.account - first_account]++] = {row.ts_ms, row.id, &row};
      for (uint32_t i = first_account; i < last_account; ++i) {
        std::sort(keys.begin() + static_cast<ptrdiff_t>(log->first_row[i] - first),
                  keys.begin() + static_cast<ptrdiff_t>(log->first_row[i + 1] - first),
                  [](const Key& x, const Key& y) {
                    return std::tie(x.ts_ms, x.id) < std::tie(y.ts_ms, y.id);
                  });
      }
      for (uint64_t i = 0; i < n; ++i) {
        log->ts_ms.Put(first + i, keys[i].ts_ms);
        if (!keys[i].row->presents) continue;
        const std::lock_guard<std::mutex> lock(mutex);
        presenting.push_back({keys[i].id, static_cast<uint32_t>(first + i)});
      }
      const int e = each_column([&](auto& column, auto of) {
        std::vector<std::decay_t<decltype(dealt[0].*of)>> values(n);
        for (uint64_t i = 0; i < n; ++i) values[i] = keys[i].row->*of;
        return column.Put(first, values);
      });
      if (e != 0) failed = e;
    }
  });
  if (failed != 0) return FileError(folder_, failed);
  base::Release(held);
  if (const int e = each_column([](auto& c, auto) { return c.End(); }); e != 0)
    return FileError(folder_, e);
  std::sort(presenting.begin(), presenting.end());
  for (const auto& of_chunk : presented) {
    for (const auto& [id, signature] : of_chunk) {
      const auto row =
          std::lower_bound(presenting.begin(), presenting.end(), std::pair(id, uint32_t{0}));
      log->presented.push_back({row->second, signature});
    }
  }
  std::sort(log->presented.begin(), log->presented.end());
  if (index != nullptr) {
    senders.of = [&](uint64_t row) { return sender[row]; };
    if (absl::Status s = IndexAccounts(*log, senders, parallel, index); !s.ok()) return s;
  }
  log->Rest();
  log->Finish();
  return absl::OkStatus();
}

}  // namespace stillwatch::engine
