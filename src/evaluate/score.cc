#include "evaluate/score.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include "base/str.h"

namespace stillwatch::evaluate {
namespace {

using base::StrCat;

absl::Status OtherLog(const World& world, const Findings& findings, const std::string& account) {
  return absl::InvalidArgumentError(StrCat(findings.dir, " and ", world.dir,
                                           " are of different logs: account ", account,
                                           " is not in truth_accounts.csv"));
}

JudgedCandidate Label(const World& world, const FoundCandidate& c) {
  JudgedCandidate out;
  out.found = c;
  out.found.sample.clear();
  std::map<std::string, size_t> operators, campaigns, roles;
  for (const auto& [exchange, account] : c.sample) {
    if (const uint32_t of = world.CampaignOf(exchange); of != kNone) {
      ++operators[world.campaigns[of].operator_name];
      ++campaigns[world.campaigns[of].name];
    } else if (const TrueAccount* a = world.Account(account)) {
      ++roles[world.roles[a->role]];
    }
  }
  const auto most = [](const std::map<std::string, size_t>& counts) {
    return std::max_element(counts.begin(), counts.end(),
                            [](const auto& x, const auto& y) { return x.second < y.second; });
  };
  out.harvest = !operators.empty() && most(operators)->second * 2 >= c.sample.size();
  const auto& kinds = out.harvest || roles.empty() ? campaigns : roles;
  if (!kinds.empty()) out.kind = most(kinds)->first;
  return out;
}

}  // namespace

absl::StatusOr<Score> ScoreFindings(const World& world, const Findings& found) {
  Score score;
  score.truth = world.dir;
  score.found = found.dir;
  score.scenario = world.scenario;
  if (found.judged_accounts > world.accounts.size()) {
    return absl::InvalidArgumentError(
        StrCat(found.dir, " and ", world.dir, " are of different logs: ", found.judged_accounts,
               " accounts were judged, the truth knows ", world.accounts.size()));
  }
  // Where nothing was found, what was weighed tells another log.
  for (const FoundCandidate& c : found.candidates)
    for (const auto& [exchange, account] : c.sample)
      if (world.Account(account) == nullptr) return OtherLog(world, found, account);

  // Exchanges. An exchange may be in several findings and counts once.
  struct Match {
    uint64_t rows = 0;
    std::map<uint32_t, uint64_t> of;
  };
  std::vector<Match> matches(found.campaigns.size());
  enum : uint8_t { kReported = 1, kAccused = 2 };
  std::vector<uint8_t> seen(world.harvest.size(), 0);
  absl::Status s = EachExchange(
      found,
      [&](const std::string& exchange, const std::string& account, uint32_t c) -> absl::Status {
        if (world.Account(account) == nullptr) return OtherLog(world, found, account);
        Match& m = matches[c];
        ++m.rows;
        const bool accused = found.campaigns[c].verdict == "distillation";
        const size_t at = world.HarvestIndex(exchange);
        if (accused) ++score.precision.all;
        if (at < world.harvest.size()) {
          ++m.of[world.harvest[at].second];
          seen[at] |= accused ? kReported | kAccused : kReported;
          if (accused) ++score.precision.part;
        }
        return absl::OkStatus();
      });
  if (!s.ok()) return s;

  // Accounts.
  std::map<std::string, size_t> accused;  // account -> row of accounts.csv
  std::map<std::string, std::map<uint32_t, uint64_t>>
      together;  // operator -> found campaign -> accounts
  std::map<std::string, std::unordered_set<std::string>> reported;
  for (size_t i = 0; i < found.accounts.size(); ++i) {
    const FoundAccount& a = found.accounts[i];
    const TrueAccount* truth = world.Account(a.account_id);
    if (truth == nullptr) return OtherLog(world, found, a.account_id);
    if (a.verdict == "distillation") {
      const auto [it, fresh] = accused.emplace(a.account_id, i);
      if (!fresh && found.accounts[it->second].probability < a.probability) it->second = i;
    }
    if (!world.IsOperators(*truth) || truth->operator_index == kNone) continue;
    const std::string& name = world.operators[truth->operator_index];
    ++together[name][a.campaign];
    reported[name].insert(a.account_id);
  }
  std::map<std::string, Share> named;  // by operator
  for (const auto& [id, a] : world.accounts) {
    const bool is_accused = accused.contains(id);
    if (world.IsOperators(a)) {
      ++score.accounts.all;
      score.accounts.part += is_accused;
      if (a.operator_index != kNone) {
        Share& n = named[world.operators[a.operator_index]];
        ++n.all;
        n.part += is_accused;
      }
      continue;
    }
    ++score.innocents.all;
    score.innocents.part += is_accused;
    Share& entry = score.by_class[world.roles[a.role]];
    ++entry.all;
    entry.part += is_accused;
  }
  std::vector<std::pair<std::string, std::string>> wanted;
  for (const auto& [id, row] : accused) {
    const TrueAccount& a = *world.Account(id);
    if (world.IsOperators(a)) continue;
    const FoundAccount& f = found.accounts[row];
    score.accused.push_back({id, world.roles[a.role], found.campaigns[f.campaign].id, "",
                             f.probability, found.campaigns[f.campaign].evidence});
    wanted.emplace_back(id, found.campaigns[f.campaign].id);
  }
  const std::vector<std::string> why = Explanations(found.dir, wanted);
  for (size_t i = 0; i < why.size(); ++i) score.accused[i].why = why[i];

  // Campaigns.
  score.campaigns.resize(world.campaigns.size());
  for (size_t i = 0; i < world.campaigns.size(); ++i) {
    CampaignScore& c = score.campaigns[i];
    c.campaign = world.campaigns[i].name;
    c.operator_name = world.campaigns[i].operator_name;
    c.capability = world.campaigns[i].capability;
    c.exchanges = world.campaigns[i].exchanges;
  }
  for (size_t i = 0; i < world.harvest.size(); ++i) {
    CampaignScore& c = score.campaigns[world.harvest[i].second];
    ++score.recall.all;
    if (seen[i] & kAccused) ++score.recall.part, c.recall += 1;
    if (seen[i] & kReported) c.reported_recall += 1;
  }
  for (uint32_t i = 0; i < score.campaigns.size(); ++i) {
    CampaignScore& c = score.campaigns[i];
    const double n = std::max<double>(1, static_cast<double>(c.exchanges));
    c.recall /= n;
    c.reported_recall /= n;
    for (size_t m = 0; m < matches.size(); ++m) {
      const auto it = matches[m].of.find(i);
      if (it == matches[m].of.end()) continue;
      const double share = static_cast<double>(it->second) / n;
      if (share >= .02) ++c.pieces;
      if (share > c.in_best) {
        c.in_best = share;
        c.best_id = found.campaigns[m].id;
        c.best_verdict = found.campaigns[m].verdict;
        c.purity = static_cast<double>(it->second) / static_cast<double>(matches[m].rows);
        c.volume_error = (static_cast<double>(matches[m].rows) - n) / n;
        c.capability_right = found.campaigns[m].capability == c.capability;
      }
    }
    if (const auto it = named.find(c.operator_name); it != named.end()) {
      const double all = static_cast<double>(it->second.all);
      c.accounts = it->second.all;
      c.accounts_named = it->second.value(0);
      c.accounts_reported = static_cast<double>(reported[c.operator_name].size()) / all;
      for (const auto& [id, accounts] : together[c.operator_name]) {
        c.accounts_together = std::max(c.accounts_together, static_cast<double>(accounts) / all);
      }
    }
    score.min_campaign_recall = std::min(score.min_campaign_recall, c.recall);
  }
  for (const FoundCandidate& c : found.candidates) score.judged.push_back(Label(world, c));
  return score;
}

}  // namespace stillwatch::evaluate
