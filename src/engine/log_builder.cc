#include "engine/log_builder.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <unordered_map>
#include <unordered_set>

#include "base/hash.h"
#include "model/exchange.h"

namespace stillwatch::engine {
namespace {

using link::kNone;

template <typename T>
const T* Get(const lake::Block& block, const char* name) {
  const lake::Column* column = block.Find(name);
  return column == nullptr ? nullptr : std::get_if<T>(&column->data);
}

std::string Setting(float temperature, float top_p, uint32_t max_tokens, std::string_view tools) {
  char text[96];
  std::snprintf(text, sizeof text, "t=%s%.3g p=%s%.3g m=%u tools=", std::isnan(temperature) ? "-" : "",
                std::isnan(temperature) ? 0.0 : double{temperature}, std::isnan(top_p) ? "-" : "",
                std::isnan(top_p) ? 0.0 : double{top_p}, max_tokens);
  return text + std::string(tools);
}

// Renumbers a dictionary by the order of its names, so that numbers do not depend on arrival.
std::vector<uint32_t> SortNames(link::Dictionary* d) {
  std::vector<uint32_t> order(d->size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return d->Name(a) < d->Name(b); });
  link::Dictionary sorted;
  std::vector<uint32_t> number(d->size());
  for (const uint32_t i : order) number[i] = sorted.Intern(d->Name(i));
  *d = std::move(sorted);
  return number;
}

template <typename T>
void Permute(const std::vector<uint32_t>& order, std::vector<T>* column) {
  std::vector<T> out(order.size());
  for (size_t i = 0; i < order.size(); ++i) out[i] = (*column)[order[i]];
  *column = std::move(out);
}

template <typename T>
void Permute(const std::vector<uint32_t>& order, link::Ragged<T>* column) {
  link::Ragged<T> out;
  out.values.reserve(column->values.size());
  out.ends.reserve(order.size());
  for (const uint32_t i : order) {
    const auto row = (*column)[i];
    out.values.insert(out.values.end(), row.begin(), row.end());
    out.Close();
  }
  *column = std::move(out);
}

// Neighbouring rows repeat their values: the last one is kept at hand.
struct Last {
  std::string value;
  uint32_t number = 0;
  uint32_t Of(std::string_view v, link::Dictionary* d) {
    if (v != value) {
      value = v;
      number = d->Intern(v);
    }
    return number;
  }
};

}  // namespace

const char kLogColumns[] =
    "exchange_id, content, ts, account_id, session, model, status, input_tokens, output_tokens, "
    "temperature, top_p, max_tokens, tools, client_ip, user_agent, ja4, signatures_issued, "
    "signatures_presented, features, system_sketch, turn_sketch";

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
    return absl::InternalError("log: a block of exchanges lacks a column or has it in another type");
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  Last last_account, last_model, last_ip, last_agent, last_ja4;
  const auto same = [](float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); };
  size_t setting_row = kNone;
  uint32_t setting = 0;
  for (size_t i = 0; i < b.rows(); ++i) {
    if ((*ts)[i] < since_ || (*ts)[i] >= until_) continue;
    const auto name = (*id)[i];
    log_.exchange_id.values.insert(log_.exchange_id.values.end(), name.begin(), name.end());
    log_.exchange_id.Close();
    content_.push_back((*content)[i]);
    log_.ts_ms.push_back((*ts)[i]);
    log_.row_account.push_back(last_account.Of((*account)[i], &accounts_));
    log_.session.push_back((*session)[i]);
    const uint32_t m = last_model.Of((*model)[i], &log_.models);
    if (m > 0xFFFF) return absl::ResourceExhaustedError("log: more than 65,535 model names");
    log_.model.push_back(static_cast<uint16_t>(m));
    log_.status.push_back((*status)[i]);
    log_.input_tokens.push_back((*input)[i]);
    log_.output_tokens.push_back((*output)[i]);
    const size_t s = setting_row;
    if (s == kNone || !same((*temperature)[s], (*temperature)[i]) || !same((*top_p)[s], (*top_p)[i]) ||
        (*max_tokens)[s] != (*max_tokens)[i] || (*tools)[s] != (*tools)[i]) {
      setting_row = i;
      setting = log_.setting_names.Intern(
          Setting((*temperature)[i], (*top_p)[i], (*max_tokens)[i], (*tools)[i]));
    }
    log_.settings.push_back(setting);
    log_.address.push_back(last_ip.Of((*ip)[i], &log_.addresses));
    log_.client.push_back(last_agent.Of((*agent)[i], &log_.clients));
    log_.ja4.push_back(last_ja4.Of((*ja4)[i], &log_.ja4s));
    log_.features.push_back((*features)[i]);
    const auto append = [&](const auto& from, auto* to) {
      to->values.insert(to->values.end(), from.begin(i), from.end(i));
      to->Close();
    };
    append(*issued, &log_.issued);
    append(*presented, &log_.presented);
    append(*system, &log_.system);
    append(*turn, &log_.turn);
  }
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

link::Log LogBuilder::Finish(const base::Parallel& parallel, std::vector<Conflict>* conflicts) {
  if (until_ != INT64_MAX) {
    std::unordered_set<std::string_view> seen;
    for (uint32_t i = 1; i < accounts_.size(); ++i) seen.insert(accounts_.Name(i));
    std::erase_if(records_, [&](const auto& r) {
      return !seen.contains(r.first.account_id) && r.first.created_at_ms.value_or(INT64_MAX) >= until_;
    });
  }
  // Accounts ascending by id: those with exchanges and those only described.
  for (const auto& [record, content] : records_) accounts_.Intern(record.account_id);
  std::vector<uint32_t> rank = SortNames(&accounts_);
  // Number 0 is "" and no account.
  const uint32_t accounts = static_cast<uint32_t>(accounts_.size()) - 1;
  for (uint32_t& r : rank) r = r == 0 ? 0 : r - 1;
  log_.account_id.resize(accounts);
  log_.account.resize(accounts);
  log_.described.assign(accounts, 0);
  for (uint32_t a = 0; a < accounts; ++a) {
    log_.account_id[a] = accounts_.Name(a + 1);
    log_.account[a].account_id = log_.account_id[a];
  }
  std::sort(records_.begin(), records_.end(), [](const auto& x, const auto& y) {
    return std::tie(x.first.account_id, x.second) < std::tie(y.first.account_id, y.second);
  });
  for (auto& [record, content] : records_) {
    const uint32_t a = accounts_.Intern(record.account_id) - 1;
    if (log_.described[a]) continue;
    log_.described[a] = 1;
    log_.account[a] = std::move(record);
  }
  records_.clear();
  for (uint32_t& a : log_.row_account) a = rank[a];

  const auto renumber = [](link::Dictionary* d, auto* column) {
    const std::vector<uint32_t> number = SortNames(d);
    for (auto& v : *column) v = static_cast<std::decay_t<decltype(v)>>(number[v]);
  };
  renumber(&log_.models, &log_.model);
  renumber(&log_.setting_names, &log_.settings);
  renumber(&log_.addresses, &log_.address);
  renumber(&log_.clients, &log_.client);
  renumber(&log_.ja4s, &log_.ja4);

  // Duplicates by exchange id.
  const size_t n = log_.rows();
  std::vector<std::pair<uint64_t, uint32_t>> keys(n);
  parallel.For(n, 65'536, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) {
      keys[i] = {base::Hash64(log_.ExchangeId(i)), static_cast<uint32_t>(i)};
    }
  });
  std::sort(keys.begin(), keys.end());
  std::vector<uint8_t> dead(n, 0);
  for (size_t i = 0; i < n;) {
    size_t j = i + 1;
    while (j < n && keys[j].first == keys[i].first) ++j;
    for (size_t x = i; x < j && j - i > 1; ++x) {
      if (dead[keys[x].second]) continue;
      uint32_t best = keys[x].second;
      const auto order = [&](uint32_t row) {
        return std::tuple(content_[row], log_.row_account[row], log_.ts_ms[row]);
      };
      for (size_t y = x + 1; y < j; ++y) {
        const uint32_t other = keys[y].second;
        if (dead[other] || log_.ExchangeId(other) != log_.ExchangeId(best)) continue;
        const uint32_t loser = order(other) < order(best) ? best : other;
        const uint32_t winner = loser == best ? other : best;
        dead[loser] = 1;
        if (content_[loser] != content_[winner] && conflicts != nullptr) {
          conflicts->push_back({std::string(log_.ExchangeId(loser)),
                                log_.account_id[log_.row_account[loser]], log_.ts_ms[loser]});
        }
        best = winner;
      }
    }
    i = j;
  }
  keys = {};

  // By account first (a counting sort), then each account on its own, in parallel.
  std::vector<uint64_t> start(accounts + 1, 0);
  for (uint32_t i = 0; i < n; ++i) start[log_.row_account[i] + 1] += !dead[i];
  for (uint32_t a = 0; a < accounts; ++a) start[a + 1] += start[a];
  std::vector<uint32_t> sorted(start[accounts]);
  {
    std::vector<uint64_t> at(start.begin(), start.end());
    for (uint32_t i = 0; i < n; ++i) {
      if (!dead[i]) sorted[at[log_.row_account[i]]++] = i;
    }
  }
  parallel.For(accounts, 256, [&](size_t begin, size_t end, int) {
    for (size_t a = begin; a < end; ++a) {
      std::sort(sorted.begin() + start[a], sorted.begin() + start[a + 1],
                [&](uint32_t x, uint32_t y) {
                  if (log_.ts_ms[x] != log_.ts_ms[y]) return log_.ts_ms[x] < log_.ts_ms[y];
                  return log_.ExchangeId(x) < log_.ExchangeId(y);
                });
    }
  });
  const auto permute = [&](auto*... columns) { (Permute(sorted, columns), ...); };
  permute(&log_.row_account, &log_.ts_ms, &log_.model, &log_.settings, &log_.address, &log_.client,
          &log_.ja4, &log_.session, &log_.input_tokens, &log_.output_tokens, &log_.status,
          &log_.features, &log_.exchange_id, &log_.issued, &log_.presented, &log_.system,
          &log_.turn);
  log_.Finish();
  return std::move(log_);
}

}  // namespace stillwatch::engine
