#include "judge/facts.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <span>
#include <unordered_map>

#include "base/hash.h"
#include "base/time.h"
#include "judge/null_groups.h"
#include "judge/split.h"

namespace stillwatch::judge {
namespace {

using link::kNone;

constexpr double kComparedScore = 2;
// Beyond what a calendar that strangers share brings about.
constexpr double kQueueZ = 6, kQueueExcess = .1;
constexpr double kCoverageBitsMax = 8;

// log2 of Binomial(n, p) odds between two rates for k successes.
double BinomialBits(double k, double n, double q1, double q0) {
  q1 = std::clamp(q1, 1e-4, 1 - 1e-4);
  q0 = std::clamp(q0, 1e-4, 1 - 1e-4);
  return k * std::log2(q1 / q0) + (n - k) * std::log2((1 - q1) / (1 - q0));
}

template <typename T>
size_t LargestCount(std::vector<T> values, size_t* distinct) {
  std::sort(values.begin(), values.end());
  size_t best = 0;
  *distinct = 0;
  for (size_t i = 0; i < values.size();) {
    size_t j = i;
    while (j < values.size() && values[j] == values[i]) ++j;
    best = std::max(best, j - i);
    ++*distinct;
    i = j;
  }
  return best;
}

// The candidate's rhythm in standard deviations of random groups of other accounts of the log,
// with as many accounts and as many exchanges per account.
void Calibrate(const Background& background, const Candidate& c, const AccountSet& not_innocent,
               const base::Parallel& parallel, Facts* f) {
  const link::Log& log = background.log();
  const std::vector<link::Event> own = EventsOf(log, c.rows);
  f->rhythm = c.unpicked ? *c.unpicked : RhythmOf(log, own, c, parallel);
  if (Audible(f->rhythm)) {
    AccountSet follows(log.accounts(), false);
    for (const link::Following& one : link::MeasureFollowing(
             own, [](uint32_t) { return true; }, {}, CoveredFrom(log))) {
      follows[one.account] = FollowingBits(one, f->rhythm.excess) >= kTellingBits;
    }
    double rows = 0;
    for (const uint32_t row : c.rows) rows += follows[log.row_account[row]];
    f->followed = rows / static_cast<double>(std::max<size_t>(1, c.rows.size()));
  }
  // What would say nothing at face value needs no comparison, which would make it less.
  if (f->rhythm.z < kComparedScore) {
    f->rhythm_z = f->rhythm.z;
    return;
  }
  const NullGroups groups(background, not_innocent, c.accounts.size(), c.rows.size());
  const size_t wanted = std::max<size_t>(20, groups.accounts() / 2);
  std::array<std::optional<double>, kNullGroups> z;
  parallel.For(kNullGroups, 1, [&](size_t begin, size_t end, int) {
    std::vector<link::Event> events;
    for (size_t g = begin; g < end; ++g) {
      if (groups.Events(g, wanted, &events))
        z[g] = link::MeasureRhythm(events, base::Parallel(1), {}, {}, CoveredFrom(log)).z;
    }
  });
  std::vector<double> zs;
  for (size_t g = 0; g < kNullGroups && z[g]; ++g)
    zs.push_back(*z[g]);  // else too few others to compare with
  f->rhythm_groups = static_cast<uint32_t>(zs.size());
  f->rhythm_z = AgainstGroups(f->rhythm.z, std::move(zs));
}

// Who asks what how often. Items are dealt into parts by their first bits, so that few of a large
// candidate's are sorted at a time.
void Items(const link::Log& log, const Candidate& c, const base::Parallel& parallel, Facts* f) {
  constexpr size_t kRowsAtOnce = 1 << 20;
  struct Ask {
    uint64_t item;
    uint32_t row;
    auto operator<=>(const Ask&) const = default;
  };
  struct Counts {
    uint64_t asks = 0, items = 0, again = 0;
    double squares = 0;
    std::vector<uint64_t> popular;  // how often each item of at least five entities was asked
  };
  const int bits = static_cast<int>(std::bit_width(c.rows.size() / kRowsAtOnce));
  std::vector<Counts> parts(size_t{1} << bits);
  parallel.For(parts.size(), 1, [&](size_t begin, size_t end, int) {
    std::vector<Ask> asks;
    std::vector<uint32_t> entities;
    for (size_t part = begin; part < end; ++part) {
      asks.clear();
      for (const uint32_t row : c.rows) {
        if (log.features[row] == 0 || log.item[row] == 0) continue;
        if (bits > 0 && log.item[row] >> (64 - bits) != part) continue;
        asks.push_back({log.item[row], row});
      }
      std::sort(asks.begin(), asks.end());
      Counts& n = parts[part];
      n.asks = asks.size();
      for (size_t i = 0, j = 0; i < asks.size(); i = j) {
        entities.clear();
        for (; j < asks.size() && asks[j].item == asks[i].item; ++j) {
          // Rows ascend by account, then time.
          const uint32_t row = asks[j].row, a = log.row_account[row];
          if (j > i && log.row_account[asks[j - 1].row] == a) {
            n.again +=
                log.ts_ms[row] / base::kMsPerDay != log.ts_ms[asks[j - 1].row] / base::kMsPerDay;
            continue;
          }
          if (std::find(entities.begin(), entities.end(), log.entity[a]) == entities.end() &&
              entities.size() < 5)
            entities.push_back(log.entity[a]);
        }
        ++n.items;
        n.squares += static_cast<double>(j - i) * static_cast<double>(j - i);
        if (entities.size() >= 5) n.popular.push_back(j - i);
      }
    }
  });
  double asks = 0, items = 0, again = 0, squares = 0, popular = 0;
  for (const Counts& n : parts) {
    asks += static_cast<double>(n.asks);
    items += static_cast<double>(n.items);
    again += static_cast<double>(n.again);
    squares += n.squares;
  }
  if (asks == 0) return;
  const double often = std::max(5.0, 5 * asks / items);
  for (const Counts& n : parts) {
    for (const uint64_t times : n.popular)
      popular += static_cast<double>(times) >= often ? static_cast<double>(times) : 0;
  }
  f->distinct_items = items / asks;
  f->effective_items = asks * asks / squares;
  f->popular_items = popular / asks;
  f->recurring_items = again / asks;
  log.item.Rest();
}

}  // namespace

link::Rhythm RhythmOf(const link::Log& log, const std::vector<link::Event>& events,
                      const Candidate& c, const base::Parallel& parallel, const link::Accounts& who,
                      const link::Days& counted) {
  const auto part_of = [&](uint32_t a) {
    if (who && !who(a)) return kNone;
    if (c.part.empty()) return uint32_t{0};
    return c.part[static_cast<size_t>(std::lower_bound(c.accounts.begin(), c.accounts.end(), a) -
                                      c.accounts.begin())];
  };
  return link::MeasureRhythm(events, part_of, parallel, counted, CoveredFrom(log));
}

bool FollowsAQueue(const Background& background, const Candidate& c,
                   const base::Parallel& parallel) {
  const link::Log& log = background.log();
  const link::Rhythm r = RhythmOf(log, EventsOf(log, c.rows), c, parallel);
  return r.z >= kQueueZ && r.excess >= kQueueExcess * (1 - r.absorbed);
}

const char* FormedName(Formed formed) {
  static constexpr const char* kNames[] = {"text", "purse", "manner", "replay", "company"};
  return kNames[static_cast<int>(formed)];
}

bool IsYoung(const link::Log& log, uint32_t a) {
  if (!log.described[a] || !log.account[a].created_at_ms || log.Exchanges(a) == 0) return false;
  const int64_t first = log.ts_ms[log.first_row[a]];
  return first - *log.account[a].created_at_ms < 30 * base::kMsPerDay;
}

Background::Background(const link::Log& log) : log_(log) {
  first_use_.assign(log.models.size(), INT64_MAX);
  for (uint32_t row = 0; row < log.rows(); ++row) {
    first_use_[log.model[row]] = std::min(first_use_[log.model[row]], log.ts_ms[row]);
  }
  account_signs_.resize(log.accounts());
  for (uint32_t a = 0; a < log.accounts(); ++a) {
    float texts = 0;
    Signs& signs = account_signs_[a];
    for (uint64_t row = log.first_row[a]; row < log.first_row[a + 1]; ++row) {
      if (log.features[row] == 0) continue;
      ++texts;
      const uint16_t purpose = link::LongFeatures(log.features[row]).purpose;
      for (int b = 0; b < 7; ++b) signs[b] += static_cast<float>(purpose >> b & 1);
    }
    if (texts == 0) continue;
    ++accounts_with_text_;
    signs[7] = 1;
    for (int b = 0; b < 7; ++b) signs_[b] += signs[b] /= texts;
  }
  replays_.assign(log.accounts(), 0);
  for (size_t i = 0; i < log.presented.size(); ++i) {
    const uint32_t row = log.presented[i].row;
    if (i == 0 || log.presented[i - 1].row != row) replays_[log.row_account[row]] += IsReplay(row);
  }
  std::vector<std::pair<uint64_t, uint32_t>> order;
  for (uint32_t a = 0; a < log.accounts(); ++a) order.push_back({base::Hash64(log.account_id[a]), a});
  std::sort(order.begin(), order.end());
  for (const auto& [hash, a] : order) shuffled_.push_back(a);
  for (uint32_t a = 0; a < log.accounts(); ++a) {
    active_ += log.Exchanges(a) > 0;
    ++domains_[log.account[a].email_domain];
    ++referrers_[log.account[a].referrer];
    if (!log.described[a] || !log.account[a].created_at_ms || log.Exchanges(a) == 0) continue;
    ++described_;
    young_ += IsYoung(log, a);
  }
}

size_t Background::AtDomain(std::string_view domain) const {
  const auto it = domains_.find(domain);
  return it == domains_.end() ? 0 : it->second;
}

size_t Background::FromReferrer(std::string_view referrer) const {
  const auto it = referrers_.find(referrer);
  return it == referrers_.end() ? 0 : it->second;
}

bool Background::IsReplay(uint32_t row) const {
  for (const auto& p : log_.PresentedBy(row)) {
    const uint32_t owner = IssuedTo(p.signature);
    if (owner != kNone && log_.entity[owner] != log_.entity[log_.row_account[row]]) return true;
  }
  return false;
}

uint32_t Background::IssuedTo(uint64_t signature) const {
  const auto& issued = log_.issued;
  const auto it = std::lower_bound(issued.begin(), issued.end(),
                                   std::pair<uint64_t, uint32_t>{signature, 0});
  if (it == issued.end() || it->first != signature) return kNone;
  for (auto next = it; next != issued.end() && next->first == signature; ++next) {
    if (next->second != it->second) return kNone;
  }
  return it->second;
}

Facts Measure(const Background& background, const link::AccountGraph& graph, const Candidate& c,
              const AccountSet& not_innocent, const base::Parallel& parallel) {
  const link::Log& log = background.log();
  Facts f;
  f.accounts = static_cast<uint32_t>(c.accounts.size());
  f.exchanges = c.rows.size();
  f.phrase = c.phrase;
  f.scaffold = c.scaffold;
  f.main_family = c.main_family;
  std::vector<uint32_t> entities;
  for (const uint32_t a : c.accounts) entities.push_back(log.entity[a]);
  size_t distinct = 0;
  LargestCount(entities, &distinct);
  double all = 0;
  for (const uint32_t a : c.accounts) all += static_cast<double>(log.Exchanges(a));
  if (all > 0) f.dedicated = static_cast<double>(f.exchanges) / all;
  f.entities = static_cast<uint32_t>(distinct);

  if (c.senders != nullptr) {
    f.strangers = static_cast<uint32_t>(std::count_if(
        c.senders->begin(), c.senders->end(), [&](uint32_t a) { return !not_innocent[a]; }));
  }

  Calibrate(background, c, not_innocent, parallel, &f);

  // Links inside the candidate.
  AccountSet inside(log.accounts(), false);
  for (const uint32_t a : c.accounts) inside[a] = true;
  std::vector<double> weight;  // of each account: its exchanges here
  for (size_t i = 0, j = 0; i < c.rows.size(); i = j) {
    while (j < c.rows.size() && log.row_account[c.rows[j]] == log.row_account[c.rows[i]]) ++j;
    weight.push_back(static_cast<double>(j - i));
  }
  const double active = background.active_accounts();
  // A crowd that uses a published tool has hands that share a carrier's addresses; they were chosen
  // for it.
  const double among = std::min(active, static_cast<double>(std::max<size_t>(f.accounts, c.among)));
  for (int family = 0; family < link::kLinkFamilies; ++family) {
    Coverage& cover = f.coverage[family];
    double volume = 0;
    for (size_t i = 0; i < c.accounts.size(); ++i) {
      const uint32_t a = c.accounts[i];
      bool linked = false;
      double degree = 0;
      for (const uint32_t l : graph.Of(a)) {
        const link::Link& link = graph.links[l];
        if (link.bits[family] < 3) continue;
        ++degree;
        linked = linked || inside[link.a == a ? link.b : link.a];
      }
      cover.linked += linked;
      volume += linked ? weight[i] : 0;
      cover.expected += 1 - std::pow(1 - among / std::max(active, 1.0), degree);
    }
    const double n = f.accounts;
    if (n > 0) {
      const double share = cover.linked / n;
      // An operator's pool shares a value over most of its accounts or, when he takes care, over
      // none: silence costs one bit at most.
      const double q0 = std::max(cover.expected / n, .02);
      // Accounts that share do so in groups: a quarter of them counts as independent. The purse says
      // who does the work only as far as it covers the work: less than a third of it is somebody's
      // own, two thirds are the group's.
      const double covered =
          (volume / static_cast<double>(c.rows.size()) - q0) / std::max(1e-9, 1 - q0);
      cover.bits = std::clamp(BinomialBits(cover.linked, n, std::max(share, q0), q0) / 4, 0.0,
                              kCoverageBitsMax) *
                   std::clamp(3 * covered - 1, 0.0, 1.0);
    }
  }

  std::vector<std::string_view> payments, domains;
  double with_payment = 0, verified = 0, business = 0, created = 0, young = 0;
  std::vector<int64_t> births;
  for (const uint32_t a : c.accounts) {
    const model::Account& record = log.account[a];
    verified += record.org_verified;
    business += record.kyc == "business";
    if (!record.payment_id.empty()) payments.push_back(record.payment_id), ++with_payment;
    if (!record.email_domain.empty()) domains.push_back(record.email_domain);
    if (record.created_at_ms) {
      births.push_back(*record.created_at_ms);
      ++created;
      young += IsYoung(log, a);
    }
  }
  const double n = std::max<double>(1, f.accounts);
  f.verified = verified / n;
  f.business = business / n;
  f.one_payment = static_cast<double>(LargestCount(payments, &distinct)) / n;
  f.payments = static_cast<uint32_t>(distinct);
  {
    // The largest domain, if hardly anybody else in the log has it.
    std::sort(domains.begin(), domains.end());
    std::string_view best;
    size_t best_count = 0;
    for (size_t i = 0; i < domains.size();) {
      size_t j = i;
      while (j < domains.size() && domains[j] == domains[i]) ++j;
      if (j - i > best_count) best = domains[i], best_count = j - i;
      i = j;
    }
    const size_t everywhere = best.empty() ? 0 : background.AtDomain(best);
    if (best_count * 10 >= everywhere * 8) f.one_own_domain = static_cast<double>(best_count) / n;
  }
  if (created > 0) f.young = young / created;
  const double others = background.described_accounts() - created;
  if (others > 0) f.young_elsewhere = std::max(0.0, background.young_accounts() - young) / others;
  std::sort(births.begin(), births.end());
  for (size_t i = 0, j = 0; i < births.size(); ++i) {
    while (births[i] - births[j] > 7 * base::kMsPerDay) ++j;
    f.sign_up_burst = std::max(f.sign_up_burst, static_cast<double>(i - j + 1) / n);
  }

  // Addresses by account, settings, text.
  double text_rows = 0, followed = 0, replays = 0, replayed = 0;
  std::vector<uint32_t> holders, mine;  // addresses, once for each account that has them
  uint64_t mine_rows = 0, mine_replays = 0;
  std::vector<uint32_t> of_setting(log.setting_names.size(), 0);
  for (size_t i = 0; i < c.rows.size(); ++i) {
    const uint32_t row = c.rows[i], a = log.row_account[row];
    ++mine_rows;
    mine_replays += background.IsReplay(row);
    if (log.address[row] != 0 && (mine.empty() || mine.back() != log.address[row]))
      mine.push_back(log.address[row]);
    if (i + 1 == c.rows.size() || log.row_account[c.rows[i + 1]] != a) {
      std::sort(mine.begin(), mine.end());
      holders.insert(holders.end(), mine.begin(), std::unique(mine.begin(), mine.end()));
      mine.clear();
      // Work by company is told apart from the accounts' other work by what is its own.
      const bool replaying = c.formed == Formed::kCompany
                                 ? Background::Replaying(mine_replays, mine_rows)
                                 : background.Replaying(a);
      replayed += replaying ? static_cast<double>(mine_rows) : 0;
      replays += static_cast<double>(mine_replays);
      mine_rows = mine_replays = 0;
    }
    ++of_setting[log.settings[row]];
    if (log.features[row] == 0) continue;
    ++text_rows;
    const auto text = link::LongFeatures(log.features[row]);
    ++f.capability[static_cast<int>(text.capability)];
    for (int b = 0; b < 7; ++b) f.sign[b] += text.purpose >> b & 1;
    followed += text.messages >= 3;
  }
  if (c.formed == Formed::kCompany) {
    std::unordered_map<uint64_t, uint32_t> carried;
    uint32_t most = 0;
    for (const uint32_t row : c.rows) {
      for (const uint64_t h : log.texts[log.text[row]]) most = std::max(most, ++carried[h]);
    }
    f.focus = most / static_cast<double>(std::max<uint64_t>(1, f.exchanges));
  }
  f.replays = replays;
  f.replayed_volume = f.exchanges ? replayed / static_cast<double>(f.exchanges) : 0;
  size_t kinds = 0;
  f.one_address = static_cast<double>(LargestCount(std::move(holders), &kinds)) / n;
  f.addresses = static_cast<uint32_t>(kinds);
  f.one_setting = f.exchanges ? *std::max_element(of_setting.begin(), of_setting.end()) /
                                    static_cast<double>(f.exchanges)
                              : 0;
  f.has_text = text_rows * 2 > static_cast<double>(f.exchanges);
  if (text_rows > 0) {
    for (double& share : f.capability) share /= text_rows;
    // By accounts, each counted once: other harvests in the log are many exchanges of few.
    std::array<double, 7> elsewhere = background.signs();
    double rest = background.accounts_with_text();
    for (const uint32_t a : c.accounts) {
      const Background::Signs& signs = background.SignsOf(a);
      rest -= signs[7];
      for (int b = 0; b < 7; ++b) elsewhere[b] -= signs[b];
    }
    for (int b = 0; b < 7; ++b) {
      if (rest > .5) f.sign_elsewhere[b] = std::max(0.0, elsewhere[b] / rest);
      f.sign[b] /= text_rows;
    }
    f.follow_ups = followed / text_rows;
  }
  Items(log, c, parallel, &f);
  return f;
}

}  // namespace stillwatch::judge
