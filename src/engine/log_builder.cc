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
#include <span>

#include "absl/container/flat_hash_map.h"
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
  uint64_t from = column->at;
  char* p = reinterpret_cast<char*>(column->v.data());
  for (size_t n = column->count * sizeof(column->v[0]); n > 0;) {
    const ssize_t done = ::pread(file_, p, n, static_cast<off_t>(from));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return done < 0 ? errno : EIO;  // cut short
    p += done, from += static_cast<uint64_t>(done), n -= static_cast<size_t>(done);
  }
  return 0;
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

}  // namespace

absl::Status LogBuilder::Finish(const base::Parallel& parallel, link::Log* log, uint64_t* conflicts,
                                lookup::Writer* index) {
  std::sort(parts_.begin(), parts_.end(), [](const auto& x, const auto& y) { return x->number < y->number; });
  std::vector<std::unique_ptr<Chunk>> chunks;
  for (auto& p : parts_) {
    if (!p->chunks.empty()) Count(*p->chunks.back());  // not full, and needed soon
    for (auto& c : p->chunks) chunks.push_back(std::move(c));
  }
  // A row's number: its chunk, then its place there; not every number is taken.
  if (chunks.size() >= kNone >> Chunk::kBits) return absl::ResourceExhaustedError("log: more than 4,294,000,000 rows; narrow --since and --until");
  const auto chunk_of = [&](uint32_t row) -> const Chunk& { return *chunks[row >> Chunk::kBits]; };
  constexpr uint32_t kPlace = Chunk::kRows - 1;

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

  // Columns that are in the file.
  std::atomic<int> failed = 0;  // an errno, which is each thread's own
  const auto load = [&](auto... columns) {
    parallel.For(chunks.size(), 1, [&](size_t begin, size_t end, int) {
      for (size_t k = begin; k < end; ++k) {
        const int errors[] = {ReadBack(&((*chunks[k]).*columns))...};
        for (const int error : errors) {
          if (error != 0) failed = error;
        }
      }
    });
    return failed == 0;
  };
  const auto drop = [&](auto... columns) {
    for (auto& c : chunks) (base::Release(((*c).*columns).v), ...);
  };
  // Runs `body(chunk, place, row)` over every row.
  const auto each = [&](const auto& body) {
    parallel.For(chunks.size(), 1, [&](size_t begin, size_t end, int) {
      for (size_t k = begin; k < end; ++k) {
        for (size_t i = 0; i < chunks[k]->rows; ++i)
          body(*chunks[k], i, static_cast<uint32_t>(k << Chunk::kBits | i));
      }
    });
  };
  const auto account_of = [&](const Chunk& c, size_t i) {
    return merged[0].number[c.part][c.account.v[i]];
  };

  // Duplicates. Two bits of a small table tell which ids can have any: only those are compared.
  if (!load(&Chunk::id, &Chunk::ts_ms, &Chunk::account, &Chunk::content))
    return FileError(folder_, failed);
  size_t n = 0;
  for (const auto& c : chunks) n += c->rows;
  std::vector<uint8_t> dead(chunks.size() << Chunk::kBits, 0);
  {
    const uint64_t mask = std::bit_ceil(std::max<uint64_t>(n * 16, 64)) - 1;
    std::vector<std::atomic<uint64_t>> once(mask / 64 + 1), twice(mask / 64 + 1);
    each([&](const Chunk& c, size_t i, uint32_t) {
      const uint64_t h = c.id.v[i] & mask, bit = uint64_t{1} << (h & 63);
      if (once[h >> 6].fetch_or(bit, std::memory_order_relaxed) & bit) {
        twice[h >> 6].fetch_or(bit, std::memory_order_relaxed);
      }
    });
    struct Suspect {
      uint64_t id;
      uint32_t content, account, row;
      int64_t ts_ms;
    };
    std::vector<Suspect> suspects;
    std::mutex mutex;
    each([&](const Chunk& c, size_t i, uint32_t row) {
      const uint64_t h = c.id.v[i] & mask;
      if (!(twice[h >> 6].load(std::memory_order_relaxed) >> (h & 63) & 1)) return;
      const std::lock_guard<std::mutex> lock(mutex);
      suspects.push_back({c.id.v[i], c.content.v[i], account_of(c, i), row, c.ts_ms.v[i]});
    });
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
      dead[suspects[i].row] = 1;
      *conflicts += suspects[i].content != suspects[winner].content;
    }
  }
  drop(&Chunk::content);

  // Signatures that nobody presented say nothing.
  if (!load(&Chunk::presented, &Chunk::presented_place)) return FileError(folder_, failed);
  {
    std::vector<uint64_t> asked;
    for (const auto& c : chunks)
      asked.insert(asked.end(), c->presented.v.begin(), c->presented.v.end());
    std::sort(asked.begin(), asked.end());
    std::vector<std::vector<std::pair<uint64_t, uint32_t>>> issued(chunks.size());
    parallel.For(chunks.size(), 1, [&](size_t begin, size_t end, int) {
      for (size_t k = begin; k < end; ++k) {
        Chunk& c = *chunks[k];
        for (const int error : {ReadBack(&c.issued), ReadBack(&c.issued_place)}) {
          if (error != 0) failed = error;
        }
        if (failed != 0) return;
        for (size_t i = 0; i < c.issued.v.size(); ++i) {
          const uint16_t place = c.issued_place.v[i];
          if (!dead[k << Chunk::kBits | place] &&
              std::binary_search(asked.begin(), asked.end(), c.issued.v[i]))
            issued[k].push_back({c.issued.v[i], account_of(c, place)});
        }
        base::Release(c.issued.v);
        base::Release(c.issued_place.v);
      }
    });
    if (failed != 0) return FileError(folder_, failed);
    for (const auto& of_chunk : issued)
      log->issued.insert(log->issued.end(), of_chunk.begin(), of_chunk.end());
    std::sort(log->issued.begin(), log->issued.end());
  }

  // By account first (a counting sort), then each account on its own: in what order the first puts
  // an account's rows does not matter.
  std::vector<uint64_t> start(accounts + 1, 0);
  std::vector<std::atomic<uint64_t>> next(accounts);
  each([&](const Chunk& c, size_t i, uint32_t row) {
    if (!dead[row]) next[account_of(c, i)].fetch_add(1, std::memory_order_relaxed);
  });
  for (uint32_t i = 0; i < accounts; ++i) {
    start[i + 1] = start[i] + next[i];
    next[i] = start[i];
  }
  std::vector<uint32_t> order(start[accounts]);
  each([&](const Chunk& c, size_t i, uint32_t row) {
    if (!dead[row]) order[next[account_of(c, i)].fetch_add(1, std::memory_order_relaxed)] = row;
  });
  base::Release(dead);
  constexpr size_t kAhead = 16;  // rows that are fetched before they are needed: they lie anywhere
  parallel.For(accounts, 256, [&](size_t begin, size_t end, int) {
    struct Key {
      int64_t ts_ms;
      uint64_t id;
      uint32_t row;
    };
    std::vector<Key> keys;
    for (size_t k = begin; k < end; ++k) {
      keys.clear();
      for (uint64_t j = start[k]; j < start[k + 1]; ++j) {
        if (j + kAhead < start[end]) {  // what lies beyond, another thread may be sorting
          const Chunk& next = chunk_of(order[j + kAhead]);
          __builtin_prefetch(&next.ts_ms.v[order[j + kAhead] & kPlace]);
          __builtin_prefetch(&next.id.v[order[j + kAhead] & kPlace]);
        }
        const Chunk& c = chunk_of(order[j]);
        keys.push_back({c.ts_ms.v[order[j] & kPlace], c.id.v[order[j] & kPlace], order[j]});
      }
      std::sort(keys.begin(), keys.end(), [](const Key& x, const Key& y) {
        return std::tie(x.ts_ms, x.id) < std::tie(y.ts_ms, y.id);
      });
      for (uint64_t j = start[k]; j < start[k + 1]; ++j) order[j] = keys[j - start[k]].row;
    }
  });

  log->first_row = std::move(start);

  // Column by column into that order; each column of the chunks is dropped when it has been copied.
  const size_t rows = order.size();
  drop(&Chunk::account);
  int64_t from_ms = INT64_MAX, to_ms = INT64_MIN;
  for (const auto& c : chunks) {
    for (const int64_t ms : c->ts_ms.v)
      from_ms = std::min(from_ms, ms), to_ms = std::max(to_ms, ms);
  }
  const auto gather = [&](auto from, auto* to, const std::vector<std::vector<uint32_t>>* number) {
    if (failed != 0 || !load(from)) return;
    const auto value = [&](size_t i) {
      if (i + kAhead < rows)
        __builtin_prefetch(&(chunk_of(order[i + kAhead]).*from).v[order[i + kAhead] & kPlace]);
      const Chunk& c = chunk_of(order[i]);
      const auto v = (c.*from).v[order[i] & kPlace];
      return number == nullptr ? v : (*number)[c.part][v];
    };
    if constexpr (std::is_same_v<decltype(to), base::ColdColumn<uint64_t>*>) {
      if (const int e = to->Fill(rows, folder_, parallel, value); e != 0) failed = e;
    } else if constexpr (std::is_same_v<decltype(to), link::Times*>) {
      to->Fill(rows, from_ms, to_ms, parallel, value);
    } else if constexpr (requires { to->data(); }) {
      to->resize(rows);
      parallel.For(rows, 16'384, [&](size_t begin, size_t end, int) {
        using To = typename std::decay_t<decltype(*to)>::value_type;
        for (size_t i = begin; i < end; ++i) (*to)[i] = static_cast<To>(value(i));
      });
    } else {
      to->Fill(rows, parallel, value);
    }
    drop(from);
  };
  gather(&Chunk::id, &log->id, nullptr);
  gather(&Chunk::ts_ms, &log->ts_ms, nullptr);
  if (failed != 0) return FileError(folder_, failed);
  {
    // The texts before the other columns: what is counted of them and their hashes take most room.
    std::vector<uint32_t> row_of(chunks.size() << Chunk::kBits, kNone);
    parallel.For(rows, 65'536, [&](size_t begin, size_t end, int) {
      for (size_t i = begin; i < end; ++i) row_of[order[i]] = static_cast<uint32_t>(i);
    });
    for (size_t k = 0; k < chunks.size(); ++k) {
      const Chunk& c = *chunks[k];
      for (size_t i = 0; i < c.presented.v.size(); ++i) {
        if (const uint32_t row = row_of[k << Chunk::kBits | c.presented_place.v[i]]; row != kNone)
          log->presented.push_back({row, c.presented.v[i]});
      }
    }
    std::sort(log->presented.begin(), log->presented.end());
    drop(&Chunk::presented, &Chunk::presented_place);
    if (absl::Status s = TextsInto(chunks, row_of, rows, parallel, log); !s.ok()) return s;
    counts_.reset();
  }
  gather(&Chunk::item, &log->item, nullptr);
  gather(&Chunk::address, &log->address, &merged[3].number);
  gather(&Chunk::features, &log->features, nullptr);
  gather(&Chunk::setting, &log->settings, &merged[2].number);
  gather(&Chunk::ja4, &log->ja4, &merged[4].number);
  gather(&Chunk::input, &log->input_tokens, nullptr);
  gather(&Chunk::output, &log->output_tokens, nullptr);
  gather(&Chunk::model, &log->model, &merged[1].number);
  if (failed != 0) return FileError(folder_, failed);
  if (index != nullptr) {
    if (!load(&Chunk::sender)) return FileError(folder_, failed);
    senders.of = [&](uint64_t row) {
      const Chunk& c = chunk_of(order[row]);
      return first_sent[c.part] + c.sender.v[order[row] & kPlace];
    };
    if (absl::Status s = IndexAccounts(*log, senders, parallel, index); !s.ok()) return s;
  }
  drop(&Chunk::sender);
  log->Finish();
  return absl::OkStatus();
}

absl::Status LogBuilder::TextsInto(const std::vector<std::unique_ptr<Chunk>>& chunks,
                                   const std::vector<uint32_t>& row_of, size_t rows,
                                   const base::Parallel& parallel, link::Log* log) {
  std::vector<uint32_t> text(rows);
  const uint32_t enough = options_.ExchangesMin(rows);
  std::atomic<int> failed = 0;  // an errno, which is each thread's own
  parallel.For(chunks.size(), 1, [&](size_t begin, size_t end, int) {
    std::vector<uint64_t> kept;
    for (size_t k = begin; k < end && !failed; ++k) {
      Chunk& c = *chunks[k];
      for (const int error :
           {ReadBack(&c.system_hashes), ReadBack(&c.turn_hashes), ReadBack(&c.hashes)}) {
        if (error != 0) failed = error;
      }
      if (failed) return;
      EachText(c, [&](size_t i, std::span<const uint64_t> hashes) {
        kept.clear();
        for (const uint64_t h : hashes) {
          if (counts_->MayHave(h, enough)) kept.push_back(h);
        }
        if (const uint32_t row = row_of[k << Chunk::kBits | i]; row != kNone)
          text[row] = log->texts.Add(kept);
      });
      base::Release(c.system_hashes.v);
      base::Release(c.turn_hashes.v);
      base::Release(c.hashes.v);
    }
  });
  if (failed == 0) failed = log->texts.Seal(folder_);
  if (failed == 0)
    failed = log->text.Fill(rows, folder_, parallel, [&](size_t i) { return text[i]; });
  return failed ? FileError(folder_, failed) : absl::OkStatus();
}

}  // namespace stillwatch::engine
