#include "evaluate/replay.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/str.h"
#include "base/text.h"

namespace stillwatch::evaluate {

using base::Fixed;
using base::StrCat;

namespace {

// Of moments in order: from which share on each has it, and the last share at which one had not.
void HoldsFrom(bool has, double harvested, double* from, double* not_yet) {
  if (!has) {
    *from = 2;
    *not_yet = harvested;
  } else if (*from > 1) {
    *from = harvested;
  }
}

}  // namespace

std::string Between(double first, double before) {
  if (first > 1) return "never";
  return StrCat(Fixed(before * 100, 2), " to ", Fixed(first * 100, 2), " %");
}

absl::StatusOr<Replay> ReplayWorld(const World& world, const ReplayInput& input) {
  Replay out;
  out.truth = world.dir;
  const size_t n = world.campaigns.size();
  // Pools that are followed as campaigns are, after these.
  std::vector<uint32_t> unit_of(world.pools.size(), kNone);
  size_t units = n;
  for (uint32_t p = 0; p < world.pools.size(); ++p) {
    if (world.TookOver(p)) unit_of[p] = static_cast<uint32_t>(units++);
  }
  const auto pool_unit = [&](const TrueAccount* a) {
    return a == nullptr || a->pool == kNone ? kNone : unit_of[a->pool];
  };
  std::vector<std::vector<int64_t>> times(units);  // of each unit's exchanges
  std::vector<std::unordered_map<std::string, int64_t>> begins(
      units);                                           // account -> first exchange of the harvest
  std::vector<bool> seen(world.harvest.size(), false);  // a log may hold a record twice
  absl::Status s =
      input.each_exchange([&](std::string_view exchange, std::string_view account, int64_t ts) {
        const size_t at = world.HarvestIndex(exchange);
        if (at == world.harvest.size() || seen[at]) return;
        seen[at] = true;
        const TrueAccount* a = world.Account(account);
        for (const uint32_t c : {world.harvest[at].second, pool_unit(a)}) {
          if (c == kNone) continue;
          times[c].push_back(ts);
          if (a == nullptr || !world.IsOperators(*a)) continue;  // a victim is nobody to name
          const auto [it, fresh] = begins[c].emplace(account, ts);
          if (!fresh) it->second = std::min(it->second, ts);
        }
      });
  if (!s.ok()) return s;
  std::set<int64_t> moments;
  std::vector<uint64_t> whole(units);
  for (size_t c = 0; c < n; ++c) {
    if (times[c].size() != world.campaigns[c].exchanges) {
      return absl::InvalidArgumentError(
          StrCat(world.dir, ": the log holds ", times[c].size(), " of the ",
                 world.campaigns[c].exchanges, " exchanges of campaign ", world.campaigns[c].name,
                 "; log and truth are of different worlds, or the log was cut short"));
    }
    whole[c] = world.Planned(world.campaigns[c]);
  }
  const bool all =
      std::equal(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n), times.begin(),
                 [](uint64_t w, const auto& t) { return w == t.size(); });
  for (size_t c = n; c < units; ++c) whole[c] = all ? times[c].size() : 0;  // else unknown
  for (size_t c = 0; c < units; ++c) {
    std::sort(times[c].begin(), times[c].end());
    for (const double share : input.shares) {
      const size_t k = std::max<size_t>(
          1, static_cast<size_t>(std::ceil(share * static_cast<double>(whole[c]) - 1e-9)));
      if (whole[c] == 0 || k > times[c].size()) break;
      moments.insert(times[c][k - 1] + 1);
    }
    ReplayedCampaign one;
    if (c < n) one.campaign = world.campaigns[c].name;
    one.exchanges = whole[c];
    one.accounts = begins[c].size();
    out.campaigns.push_back(std::move(one));
  }
  for (uint32_t p = 0; p < unit_of.size(); ++p) {
    if (unit_of[p] != kNone) out.campaigns[unit_of[p]].campaign = "pool " + world.pools[p];
  }
  for (const int64_t until : moments) {
    auto dir = input.judge(until);
    if (!dir.ok()) return dir.status();
    auto found = ReadFindings(*dir);
    if (!found.ok()) return found.status();
    std::vector<std::vector<uint64_t>> hits(found->campaigns.size(), std::vector<uint64_t>(n, 0));
    std::vector<std::vector<uint64_t>> of_pool(found->campaigns.size(),
                                               std::vector<uint64_t>(units - n, 0));
    std::vector<uint64_t> rows(found->campaigns.size(), 0), accused(n, 0);
    std::vector<uint64_t> right(units, 0);  // in findings that are mostly one operator's harvests
    const auto accuses = [&](uint32_t f) { return found->campaigns[f].verdict == "distillation"; };
    s = EachExchange(
        *found,
        [&](const std::string& exchange, const std::string& account, uint32_t f) -> absl::Status {
          const TrueAccount* a = world.Account(account);
          if (a == nullptr)
            return absl::InvalidArgumentError(StrCat(world.dir, ": account ", account,
                                                     " of the log is not in truth_accounts.csv"));
          ++rows[f];
          const uint32_t c = world.CampaignOf(exchange);
          if (c == kNone || !accuses(f)) return absl::OkStatus();
          ++hits[f][c];
          ++accused[c];
          if (const uint32_t p = pool_unit(a); p != kNone) ++of_pool[f][p - n];
          return absl::OkStatus();
        });
    if (!s.ok()) return s;
    for (uint32_t f = 0; f < rows.size(); ++f) {
      std::map<std::string, uint64_t> of_operator;
      uint64_t most = 0;
      for (size_t c = 0; c < n; ++c)
        most = std::max(most, of_operator[world.campaigns[c].operator_name] += hits[f][c]);
      if (most * 2 <= rows[f]) continue;
      for (size_t c = 0; c < n; ++c) {
        if (of_operator[world.campaigns[c].operator_name] == most) right[c] += hits[f][c];
      }
      for (size_t p = 0; p < units - n; ++p) right[n + p] += of_pool[f][p];
    }
    std::unordered_set<std::string> named;
    uint64_t innocents = 0;
    for (const FoundAccount& a : found->accounts) {
      if (a.verdict != "distillation" || !named.insert(a.account_id).second) continue;
      const TrueAccount* t = world.Account(a.account_id);
      innocents += t != nullptr && !world.IsOperators(*t);
    }
    ++out.moments;
    out.innocents_accused = std::max(out.innocents_accused, innocents);
    for (size_t c = 0; c < units; ++c) {
      ReplayedCampaign& one = out.campaigns[c];
      Moment m;
      m.until_ms = until;
      m.exchanges = static_cast<uint64_t>(
          std::lower_bound(times[c].begin(), times[c].end(), until) - times[c].begin());
      if (m.exchanges == 0 || one.exchanges == 0) continue;
      m.harvested = static_cast<double>(m.exchanges) / static_cast<double>(one.exchanges);
      m.recall =
          static_cast<double>(c < n ? accused[c] : right[c]) / static_cast<double>(m.exchanges);
      m.innocents_accused = innocents;
      for (uint32_t f = 0; c < n && f < rows.size(); ++f)
        m.apart |= hits[f][c] > 0 && hits[f][c] * 2 > rows[f];
      m.correct = m.apart || right[c] * 2 >= m.exchanges;
      uint64_t active = 0, known = 0;
      for (const auto& [account, begin] : begins[c]) {
        if (begin >= until) continue;
        ++active;
        known += named.contains(account);
      }
      m.named_active = active ? static_cast<double>(known) / static_cast<double>(active) : 0;
      m.named = one.accounts ? static_cast<double>(known) / static_cast<double>(one.accounts) : 0;
      // Moments of other campaigns after this one's end say nothing more about its harvest.
      if (!one.moments.empty() && one.moments.back().harvested == 1) continue;
      one.moments.push_back(m);
    }
  }
  for (ReplayedCampaign& c : out.campaigns) {
    for (const Moment& m : c.moments) {
      HoldsFrom(m.correct, m.harvested, &c.holds, &c.not_held);
      HoldsFrom(m.apart, m.harvested, &c.apart_holds, &c.apart_not_held);
      if (c.first_verdict > 1) {
        if (m.correct)
          c.first_verdict = m.harvested;
        else
          c.no_verdict_yet = m.harvested;
      } else if (!m.correct) {
        c.held = false;
      }
      if (c.apart > 1) {
        if (m.apart)
          c.apart = m.harvested;
        else
          c.not_apart_yet = m.harvested;
      }
      if (c.nine_tenths > 1) {
        if (m.named >= .9)
          c.nine_tenths = m.harvested;
        else
          c.nine_tenths_not_yet = m.harvested;
      }
    }
    if (c.first_verdict > 1) c.held = false;
  }
  return out;
}

}  // namespace stillwatch::evaluate
