#include "engine/account_index.h"

#include <algorithm>
#include <bit>
#include <string_view>

#include "engine/names.h"
#include "judge/report.h"
#include "model/exchange.h"

namespace stillwatch::engine {
namespace {

using lookup::Account;
using lookup::Field;
using lookup::Use;

constexpr uint32_t kBatch = 8'192;  // accounts that are encoded before they are written...
constexpr uint32_t kPiece = 256;    // ...by one thread at a time

// Counts numbers of one account's rows, which come in the order of time. Few are distinct and
// neighbours repeat; tables stay as large as an account needed them.
class Counter {
 public:
  void Add(uint32_t value, int64_t ts_ms) {
    if (!uses_.empty() && uses_[last_].value == value) {
      ++uses_[last_].exchanges;
      uses_[last_].last_ms = ts_ms;
      return;
    }
    if (2 * uses_.size() >= slots_.size()) Grow();
    const size_t mask = slots_.size() - 1;
    size_t i = Slot(value, mask);
    while (slots_[i] != 0 && uses_[slots_[i] - 1].value != value) i = (i + 1) & mask;
    if (slots_[i] == 0) {
      uses_.push_back({value, 0, ts_ms, ts_ms});
      slots_[i] = static_cast<uint32_t>(uses_.size());
    }
    last_ = slots_[i] - 1;
    ++uses_[last_].exchanges;
    uses_[last_].last_ms = ts_ms;
  }
  // Those seen since the last call, in no order; 0 is left out with `named`.
  void Take(bool named, std::vector<Use>* out) {
    out->clear();
    for (const Use& u : uses_)
      if (u.value != 0 || !named) out->push_back(u);
    if (uses_.size() * 8 < slots_.size()) {
      const size_t mask = slots_.size() - 1;
      // Backwards: what a later one was pushed past is still there.
      for (size_t n = uses_.size(); n-- > 0;) {
        size_t i = Slot(uses_[n].value, mask);
        while (slots_[i] != n + 1) i = (i + 1) & mask;
        slots_[i] = 0;
      }
    } else {
      std::fill(slots_.begin(), slots_.end(), 0);
    }
    uses_.clear();
    last_ = 0;
  }

 private:
  static size_t Slot(uint32_t value, size_t mask) { return (value * 0x9e3779b1u >> 8) & mask; }
  void Grow() {
    slots_.assign(std::max<size_t>(64, 2 * slots_.size()), 0);
    const size_t mask = slots_.size() - 1;
    for (uint32_t n = 0; n < uses_.size(); ++n) {
      size_t i = Slot(uses_[n].value, mask);
      while (slots_[i] != 0) i = (i + 1) & mask;
      slots_[i] = n + 1;
    }
  }
  std::vector<Use> uses_;
  std::vector<uint32_t> slots_;  // open addressing: place in `uses_` + 1, 0: free
  size_t last_ = 0;
};

void Sort(std::vector<Use>* uses) {
  std::sort(uses->begin(), uses->end(),
            [](const Use& a, const Use& b) { return a.value < b.value; });
}

// What accounts registered with: names of each field, and each account's number in them.
struct Records {
  static constexpr std::pair<Field, std::string model::Account::*> kOf[] = {
      {Field::kSignupIp, &model::Account::signup_ip},
      {Field::kEmailDomain, &model::Account::email_domain},
      {Field::kPaymentId, &model::Account::payment_id},
      {Field::kReferrer, &model::Account::referrer},
      {Field::kRecordOrg, &model::Account::org_id},
      {Field::kPlan, &model::Account::plan},
      {Field::kRecordChannel, &model::Account::channel},
      {Field::kKyc, &model::Account::kyc}};
  static constexpr size_t kCount = std::size(kOf);
  std::array<link::Names, kCount> names;
  std::array<std::vector<uint32_t>, kCount> number;

  Records(const link::Log& log, const base::Parallel& parallel) {
    parallel.For(kCount, 1, [&](size_t begin, size_t end, int) {
      for (size_t r = begin; r < end; ++r) {
        Interner<std::string_view> intern;
        intern("");
        number[r].reserve(log.account.size());
        for (const model::Account& a : log.account) number[r].push_back(intern(a.*kOf[r].second));
        const std::vector<uint32_t> rank = intern.Rank(&names[r]);
        for (uint32_t& n : number[r]) n = rank[n];
      }
    });
  }
};

}  // namespace

absl::Status IndexAccounts(const link::Log& log, const Senders& senders,
                           const base::Parallel& parallel, lookup::Writer* writer) {
  const Records records(log, parallel);
  struct alignas(64) Worker {
    Counter address, ja4, model, sender;
    std::array<Counter, Senders::kParts> part;
    std::vector<Use> sent;
    Account account;
  };
  static constexpr Field kParts[] = {Field::kChannel, Field::kUserAgent, Field::kApiKey,
                                     Field::kOrg};
  std::vector<Worker> workers(static_cast<size_t>(parallel.threads()));
  const auto encode = [&](Worker& w, uint32_t a, std::string* out) {
    Account& x = w.account;
    const uint64_t begin = log.first_row[a], end = log.first_row[a + 1];
    x.exchanges = end - begin;
    x.with_text = x.input_tokens = x.output_tokens = 0;
    x.hours = {};
    for (uint64_t i = begin; i < end; ++i) {
      const int64_t ts = log.ts_ms[i];
      const int64_t hour = ts / 3'600'000 - (ts % 3'600'000 < 0);
      ++x.hours[static_cast<size_t>((hour % 24 + 24) % 24)];
      x.with_text += log.features[i] != 0;
      if (const uint32_t n = log.input_tokens[i]; n != model::kNoTokens) x.input_tokens += n;
      if (const uint32_t n = log.output_tokens[i]; n != model::kNoTokens) x.output_tokens += n;
      w.address.Add(log.address[i], ts);
      w.ja4.Add(log.ja4[i], ts);
      w.model.Add(log.model[i], ts);
      w.sender.Add(senders.of(i), ts);
    }
    if (begin < end) x.first_ms = log.ts_ms[begin], x.last_ms = log.ts_ms[end - 1];
    w.address.Take(true, &x.of(Field::kClientIp));
    w.ja4.Take(true, &x.of(Field::kJa4));
    w.model.Take(true, &x.of(Field::kModel));
    w.sender.Take(false, &w.sent);
    for (size_t p = 0; p < Senders::kParts; ++p) {
      auto& uses = x.of(kParts[p]);
      uses.clear();
      // Combinations that are alike in this part are one.
      for (Use u : w.sent) {
        u.value = senders.sent[u.value][p];
        if (u.value != 0) uses.push_back(u);
      }
      Sort(&uses);
      size_t n = 0;
      for (const Use& u : uses) {
        if (n == 0 || uses[n - 1].value != u.value) {
          uses[n++] = u;
          continue;
        }
        Use& same = uses[n - 1];
        same.exchanges += u.exchanges;
        same.first_ms = std::min(same.first_ms, u.first_ms);
        same.last_ms = std::max(same.last_ms, u.last_ms);
      }
      uses.resize(n);
    }
    for (const Field f : {Field::kClientIp, Field::kJa4, Field::kModel}) Sort(&x.of(f));
    for (size_t r = 0; r < Records::kCount; ++r) {
      auto& uses = x.of(Records::kOf[r].first);
      uses.clear();
      if (const uint32_t v = records.number[r][a]; v != 0) uses.push_back({v, 0, 0, 0});
    }
    x.created_ms = log.account[a].created_at_ms;
    lookup::Writer::Encode(x, out);
  };
  const auto accounts = static_cast<uint32_t>(log.accounts());
  std::vector<std::string> bytes(kBatch / kPiece);
  std::vector<uint64_t> ends;
  for (uint32_t from = 0; from < accounts; from += kBatch) {
    const uint32_t n = std::min(kBatch, accounts - from);
    ends.assign(n, 0);
    parallel.For((n + kPiece - 1) / kPiece, 1, [&](size_t begin, size_t end, int worker) {
      for (size_t piece = begin; piece < end; ++piece) {
        bytes[piece].clear();
        for (auto i = static_cast<uint32_t>(kPiece * piece);
             i < std::min<size_t>(n, kPiece * (piece + 1)); ++i) {
          encode(workers[static_cast<size_t>(worker)], from + i, &bytes[piece]);
          ends[i] = bytes[piece].size();
        }
      }
    });
    for (uint32_t i = 0; i < n; i += kPiece) {
      const absl::Status s =
          writer->Append(bytes[i / kPiece], std::span(ends).subspan(i, std::min(kPiece, n - i)));
      if (!s.ok()) return s;
    }
  }
  std::array<const link::Names*, lookup::kFields> names{};
  const auto name = [&](Field f) -> const link::Names*& { return names[static_cast<size_t>(f)]; };
  name(Field::kClientIp) = &log.addresses;
  name(Field::kJa4) = &log.ja4s;
  name(Field::kModel) = &log.models;
  for (size_t p = 0; p < Senders::kParts; ++p) name(kParts[p]) = &senders.names[p];
  for (size_t r = 0; r < Records::kCount; ++r) name(Records::kOf[r].first) = &records.names[r];
  return writer->Names(log.account_id, names);
}

absl::Status IndexTemplates(const link::Log& log, std::span<const link::Template> templates,
                            lookup::Writer* writer) {
  std::vector<std::pair<std::string, const link::Template*>> by_id;
  for (const link::Template& t : templates) by_id.emplace_back(judge::TemplateId(t), &t);
  std::sort(by_id.begin(), by_id.end());
  std::vector<std::string> ids;
  for (const auto& [id, t] : by_id) ids.push_back(id);
  return writer->Templates(ids, [&](size_t i, std::vector<lookup::Holder>* out) {
    // Rows lie by account, and an account's by time.
    for (const uint32_t row : by_id[i].second->rows) {
      const uint32_t a = log.row_account[row];
      const int64_t ts = log.ts_ms[row];
      if (out->empty() || out->back().account != a) out->push_back({a, 0, ts, ts});
      ++out->back().exchanges;
      out->back().last_ms = ts;
    }
  });
}

}  // namespace stillwatch::engine
