#include "engine/evaluate.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <set>
#include <unordered_map>

#include "base/json.h"
#include "base/str.h"

namespace stillwatch::engine {
namespace {

using base::StrCat;

// Plain CSV without quoted values: ids of worlds and findings hold no commas.
absl::Status ReadCsv(const std::string& path, std::string_view header, const std::function<void(const std::vector<std::string>&)>& row) {
  std::ifstream in(path);
  if (!in) return absl::InvalidArgumentError(StrCat(path, ": cannot be opened; is this the folder of a world, or of a finished scan?"));
  std::string line;
  std::getline(in, line);
  if (line.substr(0, header.size()) != header) return absl::InvalidArgumentError(StrCat(path, ":1: expected the header ", header));
  const size_t columns = static_cast<size_t>(std::count(header.begin(), header.end(), ',')) + 1;
  std::vector<std::string> cells;
  for (uint64_t n = 2; std::getline(in, line); ++n) {
    cells.assign(1, "");
    for (const char c : line) {
      if (c == ',') cells.emplace_back();
      else if (c != '\r') cells.back().push_back(c);
    }
    if (cells.size() < columns) return absl::InvalidArgumentError(StrCat(path, ":", n, ": expected ", columns, " columns"));
    row(cells);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Score> Evaluate(const std::string& truth, const std::string& found) {
  std::unordered_map<std::string, std::string> harvest;  // exchange -> campaign
  std::unordered_map<std::string, std::pair<std::string, std::string>> role;
  Score score;
  std::map<std::string, CampaignScore> scores;
  absl::Status s = ReadCsv(truth + "/truth_exchanges.csv", "exchange_id,campaign", [&](const auto& c) { harvest[c[0]] = c[1]; });
  if (s.ok()) s = ReadCsv(truth + "/truth_accounts.csv", "account_id,role,operator", [&](const auto& c) { role[c[0]] = {c[1], c[2]}; });
  if (s.ok()) {
    s = ReadCsv(truth + "/truth_campaigns.csv", "campaign,operator,exchanges,accounts,first_seen,last_seen,capability", [&](const auto& c) {
      CampaignScore& one = scores[c[0]];
      one.campaign = c[0];
      one.operator_name = c[1];
      one.capability = c[6];
    });
  }
  struct Found {
    std::string verdict, top;
    uint64_t rows = 0;
    std::map<std::string, uint64_t> of;
    std::map<std::string, std::set<std::string>> accounts;  // by operator
  };
  std::map<std::string, Found> campaigns;
  if (s.ok()) {
    simdjson::dom::parser parser;
    simdjson::dom::element root;
    simdjson::dom::array list;
    if (parser.load(found + "/campaigns.json").get(root) != simdjson::SUCCESS || root["campaigns"].get(list) != simdjson::SUCCESS) {
      return absl::InvalidArgumentError(StrCat(found, "/campaigns.json: cannot be read; a finished scan leaves it"));
    }
    for (simdjson::dom::element c : list) {
      Found& f = campaigns[std::string(c["id"].get_string().value())];
      f.verdict = std::string(c["verdict"].get_string().value());
      double best = -1;
      simdjson::dom::object shares;
      if (c["capabilities"].get(shares) == simdjson::SUCCESS) {
        for (const auto& kv : shares) {
          const double v = kv.value.get_double().value();
          if (v > best) best = v, f.top = std::string(kv.key);
        }
      }
    }
  }
  for (const auto& [id, campaign] : harvest) {
    ++scores[campaign].exchanges;
    scores[campaign].campaign = campaign;
  }
  uint64_t right = 0, wrong = 0, unknown = 0;
  if (s.ok()) {
    s = ReadCsv(found + "/exchanges.csv", "exchange_id,account_id,campaign_id", [&](const auto& c) {
      Found& f = campaigns[c[2]];
      ++f.rows;
      const auto it = harvest.find(c[0]);
      if (!role.contains(c[1])) ++unknown;
      if (it != harvest.end()) {
        ++f.of[it->second];
        scores[it->second].reported_recall += 1;
      }
      if (f.verdict != "distillation") return;
      ++score.attributed;
      if (it == harvest.end()) {
        ++wrong;
      } else {
        ++right;
        scores[it->second].recall += 1;
      }
    });
  }
  if (s.ok() && unknown > 0 && unknown * 2 > score.attributed + 1) {
    return absl::InvalidArgumentError(StrCat(found, " and ", truth, " are of different logs: ", unknown, " attributed exchanges belong to accounts the truth does not know"));
  }
  std::set<std::string> accused;
  std::map<std::string, std::map<std::string, uint64_t>> together;  // operator -> found campaign -> accounts
  std::map<std::string, std::set<std::string>> reported;
  if (s.ok()) {
    s = ReadCsv(found + "/accounts.csv", "account_id,campaign_id,pool_id,verdict,probability,exchanges,attributed_exchanges", [&](const auto& c) {
      if (c[3] == "distillation") accused.insert(c[0]);
      const auto it = role.find(c[0]);
      if (it == role.end() || it->second.second.empty()) return;
      ++together[it->second.second][c[1]];
      reported[it->second.second].insert(c[0]);
    });
  }
  if (!s.ok()) return s;
  std::map<std::string, uint64_t> accounts_of;
  uint64_t operators = 0, operators_found = 0;
  for (const auto& [id, r] : role) {
    if (r.first == "campaign" || r.first == "relay-pool") {
      ++operators;
      operators_found += accused.contains(id);
      ++accounts_of[r.second];
      continue;
    }
    ++score.innocents;
    auto& entry = score.by_class[r.first];
    ++entry.second;
    if (accused.contains(id)) ++entry.first, ++score.innocents_accused;
  }
  score.account_recall = operators ? static_cast<double>(operators_found) / static_cast<double>(operators) : 1;
  score.exchange_recall = harvest.empty() ? 1 : static_cast<double>(right) / static_cast<double>(harvest.size());
  score.exchange_precision = score.attributed ? static_cast<double>(right) / static_cast<double>(score.attributed) : 1;
  score.min_campaign_recall = scores.empty() ? 1 : 1e9;
  for (auto& [name, c] : scores) {
    const double n = std::max<double>(1, static_cast<double>(c.exchanges));
    c.recall /= n;
    c.reported_recall /= n;
    for (const auto& [id, f] : campaigns) {
      const auto it = f.of.find(name);
      if (it == f.of.end()) continue;
      const double share = static_cast<double>(it->second) / n;
      if (share >= .02) ++c.pieces;
      if (share > c.in_best) {
        c.in_best = share;
        c.best_id = id;
        c.best_verdict = f.verdict;
        c.purity = static_cast<double>(it->second) / static_cast<double>(f.rows);
        c.volume_error = (static_cast<double>(f.rows) - n) / n;
        c.capability_right = f.top == c.capability;
      }
    }
    if (accounts_of[c.operator_name] > 0) {
      const double all = static_cast<double>(accounts_of[c.operator_name]);
      c.accounts_reported = static_cast<double>(reported[c.operator_name].size()) / all;
      for (const auto& [id, n_accounts] : together[c.operator_name]) {
        c.accounts_together = std::max(c.accounts_together, static_cast<double>(n_accounts) / all);
      }
    }
    score.min_campaign_recall = std::min(score.min_campaign_recall, c.recall);
    score.campaigns.push_back(c);
  }
  return score;
}

std::string ScoreJson(const Score& score) {
  std::string out;
  base::JsonWriter w(&out, true);
  const auto real = [&](const char* key, double v) { w.Key(key); w.Double(std::round(v * 1e6) / 1e6); };
  w.BeginObject();
  real("exchange_recall", score.exchange_recall);
  real("exchange_precision", score.exchange_precision);
  real("account_recall", score.account_recall);
  real("min_campaign_recall", score.min_campaign_recall);
  w.Key("innocents");
  w.Uint(score.innocents);
  w.Key("innocents_accused");
  w.Uint(score.innocents_accused);
  w.Key("innocents_by_class");
  w.BeginObject();
  for (const auto& [name, n] : score.by_class) {
    w.Key(name);
    w.BeginObject();
    w.Key("accused");
    w.Uint(n.first);
    w.Key("accounts");
    w.Uint(n.second);
    w.EndObject();
  }
  w.EndObject();
  w.Key("campaigns");
  w.BeginObject();
  for (const auto& c : score.campaigns) {
    w.Key(c.campaign);
    w.BeginObject();
    w.Key("verdict");
    w.String(c.best_verdict);
    real("recall", c.recall);
    real("reported_recall", c.reported_recall);
    real("in_best", c.in_best);
    real("purity", c.purity);
    w.Key("pieces");
    w.Uint(c.pieces);
    real("volume_error", c.volume_error);
    w.Key("capability_right");
    w.Bool(c.capability_right);
    real("accounts_reported", c.accounts_reported);
    real("accounts_together", c.accounts_together);
    w.EndObject();
  }
  w.EndObject();
  w.EndObject();
  out.push_back('\n');
  return out;
}

std::string ScoreText(const Score& score) {
  char line[300];
  std::string out;
  std::snprintf(line, sizeof line, "exchange recall %.4f  precision %.4f  account recall %.4f  innocents accused %llu of %llu\n\n",
                score.exchange_recall, score.exchange_precision, score.account_recall,
                static_cast<unsigned long long>(score.innocents_accused), static_cast<unsigned long long>(score.innocents));
  out += line;
  std::snprintf(line, sizeof line, "%-20s %-17s %7s %8s %7s %7s %6s %8s %-5s %8s %8s\n", "campaign", "verdict", "recall", "reported",
                "in best", "purity", "pieces", "volume", "aim", "accounts", "together");
  out += line;
  for (const auto& c : score.campaigns) {
    std::snprintf(line, sizeof line, "%-20s %-17s %7.4f %8.4f %7.4f %7.4f %6llu %+7.1f%% %-5s %8.3f %8.3f\n", c.campaign.c_str(),
                  c.best_verdict.empty() ? "not found" : c.best_verdict.c_str(), c.recall, c.reported_recall, c.in_best, c.purity,
                  static_cast<unsigned long long>(c.pieces), c.volume_error * 100, c.capability_right ? "right" : "wrong",
                  c.accounts_reported, c.accounts_together);
    out += line;
  }
  for (const auto& [name, n] : score.by_class) {
    if (n.first == 0) continue;
    std::snprintf(line, sizeof line, "accused innocents: %s %llu of %llu\n", name.c_str(), static_cast<unsigned long long>(n.first),
                  static_cast<unsigned long long>(n.second));
    out += line;
  }
  return out;
}

}  // namespace stillwatch::engine
