#include "engine/log_builder.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>

#include "absl/container/flat_hash_map.h"
#include "base/hash.h"
#include "base/str.h"
#include "model/exchange.h"

namespace stillwatch::engine {
namespace {

using link::kNone;

template <typename T>
const T* Get(const lake::Block& block, const char* name) {
  const lake::Column* column = block.Find(name);
  return column == nullptr ? nullptr : std::get_if<T>(&column->data);
}

// Strings to dense numbers in order of first use; neighbouring rows repeat their values, so the
// last one is kept at hand.
class Interner {
 public:
  uint32_t operator()(std::string_view v) {
    if (last_ != nullptr && v == *last_) return number_;
    const auto it = ids_.find(v);
    if (it != ids_.end()) {
      number_ = it->second;
      last_ = &names_[number_];
      return number_;
    }
    number_ = static_cast<uint32_t>(names_.size());
    last_ = &names_.emplace_back(v);
    ids_.emplace(*last_, number_);
    return number_;
  }
  bool Has(std::string_view v) const { return ids_.contains(v); }
  const std::deque<std::string>& names() const { return names_; }

 private:
  struct Hash {
    size_t operator()(std::string_view s) const { return base::Hash64(s); }
  };
  std::deque<std::string> names_;
  absl::flat_hash_map<std::string_view, uint32_t, Hash, std::equal_to<>> ids_;
  const std::string* last_ = nullptr;
  uint32_t number_ = 0;
};

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

}  // namespace

const char kLogColumns[] =
    "exchange_id, content, ts, account_id, session, model, status, input_tokens, output_tokens, "
    "temperature, top_p, max_tokens, tools, client_ip, user_agent, ja4, signatures_issued, "
    "signatures_presented, features, system_sketch, turn_sketch";

struct LogBuilder::Part {
  Interner accounts, models, settings, addresses, clients, ja4s;
  std::vector<uint64_t> id, features;
  std::vector<int64_t> ts_ms;
  std::vector<uint32_t> content, account, model, setting, address, client, ja4, session, input,
      output;
  std::vector<uint16_t> status;
  link::Ragged<uint64_t> issued, presented;
  link::Ragged<uint32_t> system, turn;
  std::string key;
};

LogBuilder::LogBuilder(int64_t since_ms, int64_t until_ms) : since_(since_ms), until_(until_ms) {}
LogBuilder::~LogBuilder() = default;

std::unique_ptr<LogBuilder::Part> LogBuilder::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (parts_.empty()) return std::make_unique<Part>();
  std::unique_ptr<Part> part = std::move(parts_.back());
  parts_.pop_back();
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
  const auto* session = Get<std::vector<uint32_t>>(b, "session");
  const auto* model = Get<lake::StringColumn>(b, "model");
  const auto* status = Get<std::vector<uint16_t>>(b, "status");
  const auto* input = Get<std::vector<uint32_t>>(b, "input_tokens");
  const auto* output = Get<std::vector<uint32_t>>(b, "output_tokens");
  const auto* temperature = Get<std::vector<float>>(b, "temperature");
  const auto* top_p = Get<std::vector<float>>(b, "top_p");
  const auto* max_tokens = Get<std::vector<uint32_t>>(b, "max_tokens");
  const auto* tools = Get<lake::StringColumn>(b, "tools");
  const auto* ip = Get<lake::StringColumn>(b, "client_ip");
  const auto* agent = Get<lake::StringColumn>(b, "user_agent");
  const auto* ja4 = Get<lake::StringColumn>(b, "ja4");
  const auto* issued = Get<lake::ArrayColumn<uint64_t>>(b, "signatures_issued");
  const auto* presented = Get<lake::ArrayColumn<uint64_t>>(b, "signatures_presented");
  const auto* features = Get<std::vector<uint64_t>>(b, "features");
  const auto* system = Get<lake::ArrayColumn<uint32_t>>(b, "system_sketch");
  const auto* turn = Get<lake::ArrayColumn<uint32_t>>(b, "turn_sketch");
  if (!id || !content || !ts || !account || !session || !model || !status || !input || !output ||
      !temperature || !top_p || !max_tokens || !tools || !ip || !agent || !ja4 || !issued ||
      !presented || !features || !system || !turn) {
    return absl::InternalError(
        "log: a block of exchanges lacks a column or has it in another type");
  }
  std::unique_ptr<Part> part = Take();
  Part& p = *part;
  for (size_t i = 0; i < b.rows(); ++i) {
    if ((*ts)[i] < since_ || (*ts)[i] >= until_) continue;
    p.id.push_back(base::Hash64((*id)[i]));
    p.content.push_back((*content)[i]);
    p.ts_ms.push_back((*ts)[i]);
    p.account.push_back(p.accounts((*account)[i]));
    p.session.push_back((*session)[i]);
    p.model.push_back(p.models((*model)[i]));
    p.status.push_back((*status)[i]);
    p.input.push_back((*input)[i]);
    p.output.push_back((*output)[i]);
    const Setting s{(*temperature)[i], (*top_p)[i], (*max_tokens)[i]};
    p.key.assign(reinterpret_cast<const char*>(&s), sizeof s).append((*tools)[i]);
    p.setting.push_back(p.settings(p.key));
    p.address.push_back(p.addresses((*ip)[i]));
    p.client.push_back(p.clients((*agent)[i]));
    p.ja4.push_back(p.ja4s((*ja4)[i]));
    p.features.push_back((*features)[i]);
    const auto append = [&](const auto& from, auto* to) {
      to->values.insert(to->values.end(), from.begin(i), from.end(i));
      to->Close();
    };
    append(*issued, &p.issued);
    append(*presented, &p.presented);
    append(*system, &p.system);
    append(*turn, &p.turn);
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
             std::vector<std::string> more) {
  struct Entry {
    std::string name;
    uint32_t part, own;
  };
  std::vector<Entry> all;
  Merged out;
  out.number.resize(parts.size());
  for (uint32_t p = 0; p < parts.size(); ++p) {
    out.number[p].resize(parts[p]->size());
    for (uint32_t i = 0; i < parts[p]->size(); ++i) all.push_back({name_of((*parts[p])[i]), p, i});
  }
  for (std::string& m : more) all.push_back({std::move(m), kNone, 0});
  std::sort(all.begin(), all.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  for (Entry& e : all) {
    if (out.names.empty() || out.names.back() != e.name) out.names.push_back(std::move(e.name));
    if (e.part != kNone) out.number[e.part][e.own] = static_cast<uint32_t>(out.names.size() - 1);
  }
  return out;
}

}  // namespace

absl::Status LogBuilder::Finish(const base::Parallel& parallel, link::Log* log,
                                uint64_t* conflicts) {
  // Rows of all parts one after the other: `at` says where each part begins.
  const size_t parts = parts_.size();
  std::vector<uint64_t> at(parts + 1, 0);
  for (size_t p = 0; p < parts; ++p) at[p + 1] = at[p] + parts_[p]->id.size();
  const size_t n = at[parts];
  if (n >= kNone)
    return absl::ResourceExhaustedError(
        "log: more than 4,294,967,294 rows; narrow --since and --until");

  if (until_ != INT64_MAX) {
    std::erase_if(records_, [&](const auto& r) {
      return r.first.created_at_ms.value_or(INT64_MAX) >= until_ &&
             std::none_of(parts_.begin(), parts_.end(), [&](const auto& p) { return p->accounts.Has(r.first.account_id); });
    });
  }

  // Names. "" is number 0 of every column but the accounts'.
  Interner Part::*const columns[] = {&Part::accounts,  &Part::models,  &Part::settings,
                                     &Part::addresses, &Part::clients, &Part::ja4s};
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
                      ? Merge(from, SettingName, std::move(more))
                      : Merge(
                            from, [](const std::string& v) { return v; }, std::move(more));
    }
  });
  if (merged[1].names.size() > 0x10000)
    return absl::ResourceExhaustedError("log: more than 65,535 model names");
  log->account_id = std::move(merged[0].names);
  log->models = std::move(merged[1].names);
  log->setting_names = std::move(merged[2].names);
  log->addresses = std::move(merged[3].names);
  log->clients = std::move(merged[4].names);
  log->ja4s = std::move(merged[5].names);

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
  records_ = {};

  // Runs `body(part, own row, row)` over every row.
  const auto each = [&](const auto& body) {
    parallel.For(n, 65'536, [&](size_t begin, size_t end, int) {
      size_t p =
          static_cast<size_t>(std::upper_bound(at.begin(), at.end(), begin) - at.begin()) - 1;
      for (size_t row = begin; row < end; ++row) {
        while (row >= at[p + 1]) ++p;
        body(p, row - at[p], row);
      }
    });
  };
  const auto part_of = [&](uint32_t row) {
    size_t p = 0;
    while (row >= at[p + 1]) ++p;
    return p;
  };

  // Duplicates. Two bits of a small table tell which ids can have any: only those are compared.
  std::vector<uint8_t> dead(n, 0);
  {
    const uint64_t mask = std::bit_ceil(std::max<uint64_t>(n * 16, 64)) - 1;
    std::vector<std::atomic<uint64_t>> once(mask / 64 + 1), twice(mask / 64 + 1);
    each([&](size_t p, size_t i, size_t) {
      const uint64_t h = parts_[p]->id[i] & mask, bit = uint64_t{1} << (h & 63);
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
    each([&](size_t p, size_t i, size_t row) {
      const Part& part = *parts_[p];
      const uint64_t h = part.id[i] & mask;
      if (!(twice[h >> 6].load(std::memory_order_relaxed) >> (h & 63) & 1)) return;
      const std::lock_guard<std::mutex> lock(mutex);
      suspects.push_back({part.id[i], part.content[i], merged[0].number[p][part.account[i]],
                          static_cast<uint32_t>(row), part.ts_ms[i]});
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

  // By account first (a counting sort), then each account on its own.
  log->row_account.resize(n);
  each([&](size_t p, size_t i, size_t row) {
    log->row_account[row] = merged[0].number[p][parts_[p]->account[i]];
  });
  std::vector<uint64_t> start(accounts + 1, 0);
  for (size_t i = 0; i < n; ++i) start[log->row_account[i] + 1] += !dead[i];
  for (uint32_t i = 0; i < accounts; ++i) start[i + 1] += start[i];
  std::vector<uint32_t> order(start[accounts]);
  {
    std::vector<uint64_t> next(start.begin(), start.end());
    for (uint32_t i = 0; i < n; ++i) {
      if (!dead[i]) order[next[log->row_account[i]]++] = i;
    }
  }
  dead = {};
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
        const size_t p = part_of(order[j]);
        keys.push_back(
            {parts_[p]->ts_ms[order[j] - at[p]], parts_[p]->id[order[j] - at[p]], order[j]});
      }
      std::sort(keys.begin(), keys.end(), [](const Key& x, const Key& y) {
        return std::tie(x.ts_ms, x.id) < std::tie(y.ts_ms, y.id);
      });
      for (uint64_t j = start[k]; j < start[k + 1]; ++j) order[j] = keys[j - start[k]].row;
    }
  });

  // Column by column into that order; each part's column is dropped when it has been copied.
  const size_t rows = order.size();
  const auto gather = [&](auto Part::*from, auto* to,
                          const std::vector<std::vector<uint32_t>>* number) {
    to->resize(rows);
    parallel.For(rows, 16'384, [&](size_t begin, size_t end, int) {
      for (size_t i = begin; i < end; ++i) {
        const size_t p = part_of(order[i]);
        const auto v = ((*parts_[p]).*from)[order[i] - at[p]];
        using To = typename std::decay_t<decltype(*to)>::value_type;
        (*to)[i] = static_cast<To>(number == nullptr ? v : (*number)[p][v]);
      }
    });
    for (auto& p : parts_) (*p).*from = {};
  };
  gather(&Part::id, &log->id, nullptr);
  gather(&Part::ts_ms, &log->ts_ms, nullptr);
  gather(&Part::account, &log->row_account, &merged[0].number);
  gather(&Part::model, &log->model, &merged[1].number);
  gather(&Part::setting, &log->settings, &merged[2].number);
  gather(&Part::address, &log->address, &merged[3].number);
  gather(&Part::client, &log->client, &merged[4].number);
  gather(&Part::ja4, &log->ja4, &merged[5].number);
  gather(&Part::session, &log->session, nullptr);
  gather(&Part::input, &log->input_tokens, nullptr);
  gather(&Part::output, &log->output_tokens, nullptr);
  gather(&Part::status, &log->status, nullptr);
  gather(&Part::features, &log->features, nullptr);
  const auto gather_rows = [&](auto Part::*from, auto* to) {
    to->ends.resize(rows);
    uint64_t sum = 0;
    for (size_t i = 0; i < rows; ++i) {
      const size_t p = part_of(order[i]);
      sum += ((*parts_[p]).*from)[order[i] - at[p]].size();
      to->ends[i] = sum;
    }
    to->values.resize(sum);
    if (sum > 0) {
      parallel.For(rows, 16'384, [&](size_t begin, size_t end, int) {
        for (size_t i = begin; i < end; ++i) {
          const size_t p = part_of(order[i]);
          const auto v = ((*parts_[p]).*from)[order[i] - at[p]];
          std::copy(v.begin(), v.end(),
                    to->values.begin() + static_cast<ptrdiff_t>(to->ends[i] - v.size()));
        }
      });
    }
    for (auto& p : parts_) (*p).*from = {};
  };
  gather_rows(&Part::issued, &log->issued);
  gather_rows(&Part::presented, &log->presented);
  gather_rows(&Part::system, &log->system);
  gather_rows(&Part::turn, &log->turn);
  parts_.clear();
  log->Finish();
  return absl::OkStatus();
}

absl::Status NameExchanges(lake::Lake& lake, const link::Log& log, model::Findings* findings,
                           std::vector<judge::WeighedCandidate>* weighed) {
  // What is asked for: the rows by id hash, and the accounts to look at.
  std::vector<std::pair<uint64_t, uint32_t>> wanted;
  const auto want = [&](uint32_t row) { wanted.push_back({log.id[row], row}); };
  for (const model::AttributedRow& r : findings->rows) want(r.row);
  for (const judge::WeighedCandidate& c : *weighed) {
    for (const uint32_t row : c.rows) want(row);
  }
  for (const model::Campaign& c : findings->campaigns) {
    for (const model::Evidence& e : c.evidence) {
      for (const uint32_t row : e.rows) want(row);
    }
    for (const model::TemplateRef& t : c.templates) {
      for (const model::Specimen& s : t.specimens) want(s.row);
    }
  }
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  std::vector<uint32_t> accounts;
  for (const auto& [id, row] : wanted) accounts.push_back(log.row_account[row]);
  std::sort(accounts.begin(), accounts.end());
  accounts.erase(std::unique(accounts.begin(), accounts.end()), accounts.end());

  std::vector<std::string> names(wanted.size());
  constexpr size_t kAccountsAsked = 4'096;  // of one statement
  for (size_t begin = 0; begin < accounts.size(); begin += kAccountsAsked) {
    std::string sql = "SELECT exchange_id FROM exchanges WHERE account_id IN (";
    for (size_t i = begin; i < std::min(accounts.size(), begin + kAccountsAsked); ++i) {
      if (i > begin) sql += ',';
      sql += lake::SqlString(log.account_id[accounts[i]]);
    }
    const absl::Status s =
        lake.Query(sql + ") SETTINGS max_query_size = 16777216", [&](const lake::Block& b) {
          const auto& ids = b.columns[0].As<lake::StringColumn>();
          for (size_t i = 0; i < ids.size(); ++i) {
            const std::pair<uint64_t, uint32_t> key{base::Hash64(ids[i]), 0};
            const auto it = std::lower_bound(wanted.begin(), wanted.end(), key);
            if (it != wanted.end() && it->first == key.first)
              names[static_cast<size_t>(it - wanted.begin())] = ids[i];
          }
          return absl::OkStatus();
        });
    if (!s.ok()) return s;
  }
  const auto name = [&](uint32_t row) {
    const auto it = std::lower_bound(wanted.begin(), wanted.end(), std::pair(log.id[row], row));
    return names[static_cast<size_t>(it - wanted.begin())];
  };
  for (const std::string& n : names) {
    if (n.empty())
      return absl::InternalError("lake: an exchange that was judged is no longer in the lake");
  }
  for (model::Campaign& c : findings->campaigns) {
    for (model::Evidence& e : c.evidence) {
      for (const uint32_t row : e.rows) e.exchanges.push_back(name(row));
      std::sort(e.exchanges.begin(), e.exchanges.end());
    }
    for (model::TemplateRef& t : c.templates) {
      for (model::Specimen& specimen : t.specimens) specimen.exchange_id = name(specimen.row);
    }
  }
  for (judge::WeighedCandidate& c : *weighed) {
    for (const uint32_t row : c.rows) c.sample.push_back(name(row));
  }
  for (const model::AttributedRow& r : findings->rows) {
    findings->exchanges.push_back(
        {name(r.row), log.account_id[log.row_account[r.row]], r.campaign});
  }
  std::sort(findings->exchanges.begin(), findings->exchanges.end(),
            [](const auto& a, const auto& b) {
              return std::tie(a.exchange_id, a.campaign) < std::tie(b.exchange_id, b.campaign);
            });
  return absl::OkStatus();
}

}  // namespace stillwatch::engine
