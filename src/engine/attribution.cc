#include "engine/attribution.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "base/hash.h"
#include "base/str.h"

namespace stillwatch::engine {
namespace {

constexpr size_t kAccountsAsked = 4'096;  // of one statement
constexpr size_t kRowsAsked = 1 << 19;    // about, of one statement

// Calls `use` for each row that somebody speaks of, with where its name goes.
template <typename F>
void EachCited(model::Findings* findings, std::vector<judge::WeighedCandidate>* weighed, F&& use) {
  for (judge::WeighedCandidate& c : *weighed) {
    c.sample.resize(c.rows.size());
    for (size_t i = 0; i < c.rows.size(); ++i) use(c.rows[i], &c.sample[i].first);
  }
  for (model::Campaign& c : findings->campaigns) {
    for (model::Evidence& e : c.evidence) {
      e.exchanges.resize(e.rows.size());
      for (size_t i = 0; i < e.rows.size(); ++i) use(e.rows[i], &e.exchanges[i]);
    }
    for (model::TemplateRef& t : c.templates) {
      for (model::Specimen& s : t.specimens) use(s.row, &s.exchange_id);
    }
  }
}

}  // namespace

absl::Status NameExchanges(lake::Lake& lake, const link::Log& log, uint32_t run,
                           model::Findings* findings, std::vector<judge::WeighedCandidate>* weighed,
                           const EachExchange& each, bool store) {
  std::vector<std::pair<uint32_t, std::string*>> cited;
  EachCited(findings, weighed, [&](uint32_t row, std::string* to) { cited.push_back({row, to}); });
  std::sort(cited.begin(), cited.end());
  std::vector<model::AttributedRow>& rows = findings->rows;
  std::sort(rows.begin(), rows.end(), [](const auto& x, const auto& y) {
    return std::tie(x.row, x.campaign) < std::tie(y.row, y.campaign);
  });

  struct Asked {
    uint64_t id;
    uint32_t row;
    bool found;
  };
  std::vector<Asked> asked;
  std::vector<std::tuple<std::string_view, std::string, std::string_view>> named;
  std::string sql;
  // Rows ascend, and with them their accounts: both lists are walked once.
  for (size_t next_cited = 0, next_row = 0; next_cited < cited.size() || next_row < rows.size();) {
    const size_t first_cited = next_cited, first_row = next_row;
    asked.clear();
    sql = "SELECT exchange_id FROM exchanges WHERE account_id IN (";
    uint32_t account = link::kNone;
    int64_t from = INT64_MAX, to = INT64_MIN;
    for (size_t accounts = 0;;) {
      const uint32_t row = std::min(next_cited < cited.size() ? cited[next_cited].first : link::kNone,
                                    next_row < rows.size() ? rows[next_row].row : link::kNone);
      if (row == link::kNone) break;
      if (const uint32_t a = log.row_account[row]; a != account) {
        if (accounts == kAccountsAsked || asked.size() >= kRowsAsked) break;
        if (accounts++ > 0) sql += ',';
        sql += lake::SqlString(log.account_id[a]);
        account = a;
      }
      asked.push_back({log.id[row], row, false});
      from = std::min(from, log.ts_ms[row]);
      to = std::max(to, log.ts_ms[row]);
      while (next_cited < cited.size() && cited[next_cited].first == row) ++next_cited;
      while (next_row < rows.size() && rows[next_row].row == row) ++next_row;
    }
    sql += base::StrCat(") AND ts >= ", from, " AND ts <= ", to);
    std::sort(asked.begin(), asked.end(), [](const Asked& x, const Asked& y) { return x.id < y.id; });
    named.clear();
    absl::Status s = lake.Query(sql + " SETTINGS max_query_size = 16777216", [&](const lake::Block&
                                                                                     b) {
      const auto& ids = b.columns[0].As<lake::StringColumn>();
      for (size_t i = 0; i < ids.size(); ++i) {
        const uint64_t id = base::Hash64(ids[i]);
        const auto it = std::lower_bound(asked.begin(), asked.end(), id,
                                         [](const Asked& x, uint64_t v) { return x.id < v; });
        if (it == asked.end() || it->id != id || it->found) continue;
        it->found = true;
        for (auto c = std::lower_bound(cited.begin() + static_cast<ptrdiff_t>(first_cited), cited.end(),
                                       std::pair<uint32_t, std::string*>{it->row, nullptr});
             c != cited.end() && c->first == it->row; ++c) {
          *c->second = ids[i];
        }
        for (auto r = std::lower_bound(rows.begin() + static_cast<ptrdiff_t>(first_row), rows.end(), it->row,
                                       [](const auto& x, uint32_t v) { return x.row < v; });
             r != rows.end() && r->row == it->row; ++r) {
          named.emplace_back(log.account_id[log.row_account[it->row]], ids[i],
                             findings->campaigns[r->campaign].id);
        }
      }
      return absl::OkStatus();
    });
    if (!s.ok()) return s;
    for (const Asked& a : asked) {
      if (!a.found) return absl::InternalError("lake: an exchange that was judged is no longer in the lake");
    }
    std::sort(named.begin(), named.end());
    for (size_t begin = 0; begin < named.size(); begin += lake::kInsertRows) {
      lake::Block block{{{"run", std::vector<uint32_t>()},
                         {"exchange_id", lake::StringColumn()},
                         {"account_id", lake::StringColumn()},
                         {"campaign_id", lake::StringColumn()}}};
      for (size_t i = begin; i < std::min(named.size(), begin + lake::kInsertRows); ++i) {
        const auto& [of, exchange, campaign] = named[i];
        block.columns[0].As<std::vector<uint32_t>>().push_back(run);
        block.columns[1].As<lake::StringColumn>().Append(exchange);
        block.columns[2].As<lake::StringColumn>().Append(of);
        block.columns[3].As<lake::StringColumn>().Append(campaign);
        if (each != nullptr) {
          if (s = each(exchange, of, campaign); !s.ok()) return s;
        }
      }
      if (!store) continue;
      if (s = lake.Insert("attributed", block); !s.ok()) return s;
    }
  }
  for (judge::WeighedCandidate& c : *weighed) {
    for (size_t i = 0; i < c.rows.size(); ++i) c.sample[i].second = log.account_id[log.row_account[c.rows[i]]];
  }
  for (model::Campaign& c : findings->campaigns) {
    for (model::Evidence& e : c.evidence) std::sort(e.exchanges.begin(), e.exchanges.end());
  }
  return absl::OkStatus();
}

}  // namespace stillwatch::engine
