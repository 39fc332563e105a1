#include "link/log.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "base/time.h"

namespace stillwatch::link {

namespace {

constexpr int64_t kHeardStepMs = base::kMsPerHour / 2;
constexpr int64_t kMissedMsMax = base::kMsPerHour;  // of a day that is heard as a whole
constexpr int64_t kFewDays = 7;  // ...below which the part of one more is worth hearing
constexpr int64_t kPartStepMs = 2 * base::kMsPerHour;  // the longest slot of a rhythm
constexpr double kOfOne = .6;  // of an organisation's accounts, to be those of one customer

// The organisation that openly owns an account; "" for an account on its own.
class Owners {
 public:
  explicit Owners(const std::vector<model::Account>& accounts) {
    struct Org {
      uint32_t accounts = 0;
      std::map<std::string_view, uint32_t> domains, payments;
    };
    std::unordered_map<std::string_view, Org> orgs;
    for (const model::Account& a : accounts) {
      if (a.org_id.empty()) continue;
      Org& org = orgs[a.org_id];
      ++org.accounts;
      if (!a.email_domain.empty()) ++org.domains[a.email_domain];
      if (!a.payment_id.empty()) ++org.payments[a.payment_id];
    }
    const auto of_one = [](const auto& count, uint32_t all) {
      uint32_t most = 0;
      for (const auto& [value, n] : count) most = std::max(most, n);
      return most >= kOfOne * all;
    };
    for (const auto& [id, org] : orgs) {
      if (of_one(org.domains, org.accounts) && of_one(org.payments, org.accounts)) open_.insert(id);
    }
  }
  std::string_view Of(const model::Account& a) const {
    return a.org_verified || open_.contains(a.org_id) ? std::string_view(a.org_id) : "";
  }

 private:
  std::unordered_set<std::string_view> open_;
};

}  // namespace

void Log::Finish() {
  FindDays();
  row_account.Assign(first_row);
  entity.assign(accounts(), 0);
  const Owners owners(account);
  std::unordered_map<std::string_view, uint32_t> of_org;
  entities = 0;
  for (size_t a = 0; a < accounts(); ++a) {
    const std::string_view owner = owners.Of(account[a]);
    if (!owner.empty()) {
      const auto [it, fresh] = of_org.emplace(owner, entities);
      if (fresh) ++entities;
      entity[a] = it->second;
    } else {
      entity[a] = entities++;
    }
  }
}

void Log::FindDays() {
  heard_from_ms = heard_until_ms = shift_ms = 0;
  if (ts_ms.empty()) return;
  int64_t first = ts_ms[0], last = ts_ms[0];
  for (size_t row = 1; row < rows(); ++row) {
    first = std::min(first, ts_ms[row]);
    last = std::max(last, ts_ms[row]);
  }
  const int64_t end = last + 1, missed = base::kMsPerDay - 1 - last % base::kMsPerDay;
  if (missed <= kMissedMsMax) {
    heard_until_ms = end + missed;
  } else {
    // Of a log of less than a day nothing is left out.
    const int64_t begun = end - first < base::kMsPerDay ? kHeardStepMs - 1 : 0;
    heard_until_ms = (end + begun) / kHeardStepMs * kHeardStepMs;
    shift_ms = base::kMsPerDay - 1 - (heard_until_ms - 1) % base::kMsPerDay;
  }
  const int64_t begin = (first + shift_ms) / base::kMsPerDay * base::kMsPerDay - shift_ms;
  const int64_t next = begin + base::kMsPerDay;
  heard_from_ms = begin;
  if (first - begin <= kMissedMsMax || next >= heard_until_ms) return;
  heard_from_ms = next;
  if (heard_until_ms - next >= kFewDays * base::kMsPerDay) return;
  const int64_t covered = (first - begin + kPartStepMs - 1) / kPartStepMs * kPartStepMs;
  heard_from_ms = begin + covered;
}

void Log::Rest() const {
  id.Rest(), model.Rest(), address.Rest(), settings.Rest(), ja4.Rest();
  input_tokens.Rest(), output_tokens.Rest(), features.Rest(), item.Rest(), text.Rest();
  texts.Rest();
}

std::span<const Log::Presented> Log::PresentedBy(uint32_t row) const {
  const auto begin = std::lower_bound(presented.begin(), presented.end(), Presented{row, 0});
  auto end = begin;
  while (end != presented.end() && end->row == row) ++end;
  return {begin, end};
}

}  // namespace stillwatch::link
