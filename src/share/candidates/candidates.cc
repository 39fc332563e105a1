#include "share/candidates/candidates.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/hash.h"
#include "base/hex.h"
#include "base/str.h"
#include "model/account.h"
#include "model/exchanges_of.h"

namespace stillwatch::share {
namespace {

using base::StrCat;
using lake::StringColumn;

// A decimal as the grammar of settings wants it: at most 4 digits, no last zeros.
std::string Decimal(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", v);
  std::string s = text;
  while (s.back() == '0') s.pop_back();
  if (s.back() == '.') s.pop_back();
  return s;
}

// The first product of a user agent: "OpenAI-Python/1.40.2" of "OpenAI/Python 1.40.2" and of
// "OpenAI-Python/1.40.2 (Linux; x86_64) httpx".
std::string Client(std::string_view agent) {
  const size_t end = std::min(agent.find_first_of(" (;,"), agent.size());
  std::string first(agent.substr(0, end));
  const size_t slash = first.find('/');
  if (slash == first.npos || (slash + 1 < first.size() && first[slash + 1] <= '9')) return first;
  if (end + 1 < agent.size() && agent[end] == ' ' && agent[end + 1] >= '0' &&
      agent[end + 1] <= '9') {
    first[slash] = '-';
    const std::string_view rest = agent.substr(end + 1);
    base::StrAppend(&first, "/", rest.substr(0, rest.find_first_of(" (;,")));
  }
  return first;
}

std::string Lower(std::string_view v) {
  std::string out(v);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return out;
}

class Reader {
 public:
  Reader(const model::Campaign& c, lake::Lake* lake, uint64_t rows_at_once)
      : c_(c), lake_(lake), rows_at_once_(rows_at_once) {
    for (const model::CampaignMember& m : c.members)
      if (m.verdict == model::VerdictName(c.verdict)) accused_.insert(m.account_id);
  }

  absl::StatusOr<CandidateCampaign> Run() {
    Facts();
    if (absl::Status s = Parts(); !s.ok()) return s;
    for (const auto& step : {&Reader::Templates, &Reader::Rhythm, &Reader::Software,
                             &Reader::Addresses, &Reader::Signatures, &Reader::Accounts})
      if (absl::Status s = (this->*step)(); !s.ok()) return s;
    return std::move(out_);
  }

 private:
  using Columns = std::initializer_list<model::ExchangeColumn>;

  void Add(ItemType type, std::string_view value) {
    if (auto item = Item::Parse(type, value)) out_.items.push_back(*item);
  }

  void Facts() {
    CampaignFacts& f = out_.facts;
    f.key = CampaignKey(c_.id);
    f.accounts = c_.accounts, f.exchanges = c_.exchanges;
    f.first_seen_ms = c_.first_seen_ms, f.last_seen_ms = c_.last_seen_ms;
    f.probability = c_.verdict == model::Verdict::kDistillation ? c_.probability : 0;
    for (const model::VerdictProbability& v : c_.all)
      if (v.verdict == model::Verdict::kDistillation) f.probability = v.probability;
    // What others said is theirs to say.
    if (!c_.imports.empty()) f.probability = c_.own_probability;
    f.suspected = c_.verdict != model::Verdict::kDistillation || c_.rests_on_imports;
    for (const auto& [capability, share] : c_.capabilities) {
      f.capabilities.emplace_back(model::CapabilityName(capability), share);
      Add(ItemType::kCapability, model::CapabilityName(capability));
    }
    for (const model::Evidence& e : c_.evidence) {
      if (e.bits <= 0) continue;
      const std::string name = model::FamilyName(e.family);
      if (std::find(f.families.begin(), f.families.end(), name) == f.families.end())
        f.families.push_back(name);
    }
    for (const model::Attribution& a : c_.attribution)
      out_.attribution.push_back({a.actor, a.probability});
    std::set<uint32_t> networks;
    for (const model::InfrastructureLine& line : c_.infrastructure)
      if (line.asn != 0) networks.insert(line.asn);
    for (const uint32_t asn : networks) Add(ItemType::kNetwork, std::to_string(asn));
    size_t number = 0;
    for (const std::string& account : accused_) {
      if (++number <= kAccountNumbersMax) Add(ItemType::kAccount, std::to_string(number));
      if (number <= kPersonalMax) Add(ItemType::kAccountId, account);
    }
  }

  absl::Status Query(const std::string& sql,
                     const std::function<void(const lake::Block&, size_t)>& row) {
    return lake_->Query(sql, [&](const lake::Block& b) {
      for (size_t i = 0; i < b.rows(); ++i) row(b, i);
      return absl::OkStatus();
    });
  }
  // Ranges of accounts, each with no more exchanges than one statement is to read.
  absl::Status Parts() {
    std::string first, last;
    uint64_t held = 0;
    const auto end = [&] {
      if (held == 0) return;
      parts_.push_back(StrCat("account_id >= ", lake::SqlString(first),
                              " AND account_id <= ", lake::SqlString(last)));
      held = 0;
    };
    absl::Status s = Query(
        StrCat("SELECT account_id, toUInt64(count()) AS n FROM attributed WHERE campaign_id = ",
               lake::SqlString(c_.id), " GROUP BY account_id ORDER BY account_id"),
        [&](const lake::Block& b, size_t i) {
          const uint64_t n = b.columns[1].As<std::vector<uint64_t>>()[i];
          if (held + n > rows_at_once_) end();
          last = std::string(b.columns[0].As<StringColumn>()[i]);
          if (held == 0) first = last;
          held += n;
        });
    end();
    if (!s.ok() || !parts_.empty()) return s;
    return absl::NotFoundError(StrCat("the lake has no attribution of campaign ", c_.id,
                                      "; scan again, which writes findings and lake together"));
  }

  // A statement over the campaign's exchanges with account_id and COLUMNS: BEFORE, they and AFTER.
  // Some accounts at a time, to fit into a statement's memory: they lie together in both tables,
  // and each is in one answer.
  absl::Status QueryRows(Columns columns, const std::string& before, const std::string& after,
                         const std::function<void(const lake::Block&, size_t)>& row) {
    std::vector<model::ExchangeColumn> all = {{"account_id", "account"}};
    all.insert(all.end(), columns.begin(), columns.end());
    for (const std::string& part : parts_) {
      absl::Status s = Query(
          StrCat(before, model::ExchangesOf(lake::SqlString(c_.id), all, part, part), after), row);
      if (!s.ok()) return s;
    }
    return absl::OkStatus();
  }

  absl::Status Templates() {
    std::set<uint32_t> hashes;
    for (const model::TemplateRef& t : c_.templates)
      hashes.insert(t.hashes.begin(), t.hashes.end());
    std::unordered_map<uint32_t, CountedShingle> counted;
    if (!hashes.empty()) {
      std::string list;
      for (const uint32_t h : hashes) base::StrAppend(&list, list.empty() ? "" : ",", h);
      absl::Status s = QueryRows(
          {{"system_sketch", "system"}, {"turn_sketch", "turn"}},
          "SELECT h, toUInt64(uniqExact(account)) AS accounts, toUInt64(count()) AS exchanges "
          "FROM (SELECT account, arrayJoin(arrayDistinct(arrayConcat(system, turn))) AS h FROM ",
          StrCat(") WHERE h IN (", list, ") GROUP BY h ORDER BY h"),
          [&](const lake::Block& b, size_t i) {
            const uint32_t h = b.columns[0].As<std::vector<uint32_t>>()[i];
            CountedShingle& c = counted.try_emplace(h, CountedShingle{h, 0, 0}).first->second;
            c.accounts += b.columns[1].As<std::vector<uint64_t>>()[i];
            c.exchanges += b.columns[2].As<std::vector<uint64_t>>()[i];
          });
      if (!s.ok()) return s;
    }
    for (const model::TemplateRef& t : c_.templates) {
      std::vector<CountedShingle> shingles;
      for (const uint32_t h : t.hashes) {
        const auto found = counted.find(h);
        shingles.push_back(found == counted.end() ? CountedShingle{h, 0, 0} : found->second);
      }
      if (!shingles.empty()) out_.templates.push_back(std::move(shingles));
    }
    return absl::OkStatus();
  }

  // In which half hours those of the accounts that are told of were there together.
  absl::Status Rhythm() {
    std::map<int64_t, uint32_t> present;  // by half hour
    std::set<std::string> accounts;
    uint64_t exchanges = 0;
    absl::Status s =
        QueryRows({{"ts", "time"}},
                  "SELECT account, intDiv(time, 1800000) AS half, toUInt64(count()) AS n FROM ",
                  " GROUP BY account, half", [&](const lake::Block& b, size_t i) {
                    const std::string account(b.columns[0].As<StringColumn>()[i]);
                    if (!model::ToldOf(account)) return;
                    accounts.insert(account);
                    exchanges += b.columns[2].As<std::vector<uint64_t>>()[i];
                    ++present[b.columns[1].As<std::vector<int64_t>>()[i]];
                  });
    if (!s.ok() || accounts.size() < kRhythmAccountsMin || exchanges < kRhythmExchangesMin)
      return s;
    const auto halves = static_cast<int64_t>(kHalfHours), most = static_cast<int64_t>(kRhythmDays);
    const int64_t last = present.rbegin()->first / halves;
    const int64_t first = std::max(present.begin()->first / halves, last - most + 1);
    std::vector<uint32_t> counts(static_cast<size_t>((last - first + 1) * halves), 0);
    for (const auto& [half, n] : present)
      if (half >= first * halves) counts[static_cast<size_t>(half - first * halves)] = n;
    if (const auto item = RhythmOf(static_cast<int32_t>(first), counts))
      out_.items.push_back(*item);
    return s;
  }

  // Values with the accounts and exchanges that have them, the most accounts first.
  struct Use {
    uint64_t accounts = 0, exchanges = 0;
  };
  void AddMost(ItemType type, const std::map<std::string, Use>& uses, uint64_t exchanges_min) {
    std::vector<std::pair<std::string, Use>> list;
    for (const auto& [value, use] : uses)
      if (use.accounts >= kSoftwareAccountsMin && use.exchanges >= exchanges_min)
        list.emplace_back(value, use);
    std::stable_sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
      return a.second.accounts > b.second.accounts;
    });
    if (list.size() > kSoftwareMax) list.resize(kSoftwareMax);
    for (const auto& [value, use] : list) Add(type, value);
  }

  absl::Status Software() {
    std::map<std::string, Use> settings, clients, fingerprints;
    uint64_t all = 0;
    absl::Status s = QueryRows(
        {{"temperature"}, {"top_p"}, {"max_tokens"}, {"stream"}, {"user_agent"}, {"ja4"}},
        "SELECT account, toFloat64(temperature) AS t, toFloat64(top_p) AS p, max_tokens, stream, "
        "user_agent, ja4, toUInt64(count()) AS n FROM ",
        " GROUP BY account, t, p, max_tokens, stream, user_agent, ja4 ORDER BY account, "
        "max_tokens, stream, user_agent, ja4",
        [&](const lake::Block& b, size_t i) {
          const std::string account(b.columns[0].As<StringColumn>()[i]);
          const uint64_t n = b.columns[7].As<std::vector<uint64_t>>()[i];
          all += n;
          if (!accused_.count(account)) return;
          const double temperature = b.columns[1].As<std::vector<double>>()[i],
                       top_p = b.columns[2].As<std::vector<double>>()[i];
          const uint32_t max_tokens = b.columns[3].As<std::vector<uint32_t>>()[i];
          const uint8_t stream = b.columns[4].As<std::vector<uint8_t>>()[i];
          std::string setting;
          const auto part = [&](const std::string& text) {
            base::StrAppend(&setting, setting.empty() ? "" : ";", text);
          };
          if (std::isfinite(temperature)) part("temperature=" + Decimal(temperature));
          if (std::isfinite(top_p)) part("top_p=" + Decimal(top_p));
          if (max_tokens != UINT32_MAX) part(StrCat("max_tokens=", max_tokens));
          if (stream < 2) part(StrCat("stream=", int{stream}));
          Count(&settings, setting, account, n);
          Count(&clients, Client(b.columns[5].As<StringColumn>()[i]), account, n);
          Count(&fingerprints, std::string(b.columns[6].As<StringColumn>()[i]), account, n);
        });
    if (!s.ok()) return s;
    AddMost(ItemType::kSettings, settings,
            static_cast<uint64_t>(kSettingsShareMin * static_cast<double>(all)));
    AddMost(ItemType::kClient, clients, 1);
    AddMost(ItemType::kTlsFingerprint, fingerprints, 1);
    return absl::OkStatus();
  }

  void Count(std::map<std::string, Use>* uses, const std::string& value, const std::string& account,
             uint64_t n) {
    if (value.empty()) return;
    Use& use = (*uses)[value];
    use.exchanges += n;
    use.accounts += seen_[uses].insert(StrCat(value, std::string(1, '\0'), account)).second;
  }

  // Values that several of the accused share; what one alone has may be a household's.
  void AddShared(ItemType type, const std::map<std::string, std::set<std::string>>& users) {
    size_t n = 0;
    for (const auto& [value, accounts] : users)
      if (accounts.size() >= kPersonalAccountsMin && n++ < kPersonalMax) Add(type, value);
  }

  absl::Status Addresses() {
    return QueryRows(
        {{"client_ip", "address"}}, "SELECT address, account FROM ",
        " WHERE address != '' GROUP BY address, account", [&](const lake::Block& b, size_t i) {
          const std::string account(b.columns[1].As<StringColumn>()[i]);
          if (accused_.count(account))
            addresses_[std::string(b.columns[0].As<StringColumn>()[i])].insert(account);
        });
  }

  absl::Status Signatures() {
    std::set<uint64_t> kept;  // the smallest
    absl::Status status =
        QueryRows({{"signatures_presented", "presented"}},
                  "SELECT s, account FROM (SELECT arrayJoin(presented) AS s, account FROM ",
                  ") GROUP BY s, account", [&](const lake::Block& b, size_t i) {
                    if (!accused_.count(std::string(b.columns[1].As<StringColumn>()[i]))) return;
                    kept.insert(b.columns[0].As<std::vector<uint64_t>>()[i]);
                    if (kept.size() > kPersonalMax) kept.erase(std::prev(kept.end()));
                  });
    for (const uint64_t s : kept) Add(ItemType::kSignature, base::Hex(s));
    return status;
  }

  absl::Status Accounts() {
    std::map<std::string, std::set<std::string>> payments, domains, referrers;
    absl::Status s = Query(
        StrCat(
            "SELECT account_id, argMin(payment_id, content) AS payment, argMin(email_domain, "
            "content) AS domain, argMin(referrer, content) AS referrer, argMin(signup_ip, content) "
            "AS signup FROM accounts WHERE account_id IN (SELECT account_id FROM attributed WHERE "
            "campaign_id = ",
            lake::SqlString(c_.id), ") GROUP BY account_id"),
        [&](const lake::Block& b, size_t i) {
          const auto text = [&](size_t column) {
            return std::string(b.columns[column].As<StringColumn>()[i]);
          };
          const std::string account = text(0);
          if (!accused_.count(account)) return;
          if (!text(1).empty()) payments[text(1)].insert(account);
          if (!text(2).empty()) domains[Lower(text(2))].insert(account);
          if (!text(3).empty()) referrers[Lower(text(3))].insert(account);
          if (!text(4).empty()) addresses_[text(4)].insert(account);
        });
    if (!s.ok()) return s;
    AddShared(ItemType::kAddress, addresses_);
    AddShared(ItemType::kPayment, payments);
    AddShared(ItemType::kMailDomain, domains);
    AddShared(ItemType::kReferrer, referrers);
    return absl::OkStatus();
  }

  const model::Campaign& c_;
  lake::Lake* lake_;
  const uint64_t rows_at_once_;
  std::vector<std::string> parts_;  // conditions, of either table
  std::set<std::string> accused_;
  std::map<std::string, std::set<std::string>> addresses_;
  std::map<const void*, std::unordered_set<std::string>> seen_;
  CandidateCampaign out_;
};

}  // namespace

std::string CampaignKey(const std::string& campaign_id) {
  return base::Hex(base::Hash64(StrCat("campaign ", campaign_id)));
}

absl::StatusOr<CandidateCampaign> Candidates(const model::Campaign& campaign, lake::Lake* lake,
                                             uint64_t rows_at_once) {
  return Reader(campaign, lake, rows_at_once).Run();
}

}  // namespace stillwatch::share
