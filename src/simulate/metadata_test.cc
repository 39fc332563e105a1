// Nothing but the work may give an operator away: a classifier that sees account metadata alone (no
// text, no values that accounts share, no volume) must not tell careful operators from independents
// of comparable volume.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <sstream>

#include "base/time.h"
#include "simulate/presets.h"
#include "simulate/world.h"

namespace stillwatch::simulate {
namespace {

constexpr std::string_view kFeatures[] = {
    "age",    "kyc none",  "kyc document", "plan",        "public mail", "referrer",   "org",
    "hours",  "night",     "weekend",      "days",        "short gaps",  "median gap", "addresses",
    "errors", "throttled", "stream",       "temperature", "max set",     "top_p",      "thinking",
    "tools",  "sessions",  "keys",         "new model",   "small model", "cached",     "latency",
    "burst",  "first day", "last day",     "clients"};
constexpr size_t kCount = std::size(kFeatures);
using Features = std::array<double, kCount>;
struct Sample {
  Features x{};
  bool careful = false;
};

struct Seen {
  std::vector<int64_t> ts;
  std::set<std::string> addresses, keys, clients;
  double errors = 0, throttled = 0, stream = 0, temperature = 0, max_set = 0, top_p = 0,
         thinking = 0, tools = 0, sessions = 0, fresh = 0, small = 0, cached = 0, latency = 0;
};

double AreaUnderCurve(std::vector<std::pair<double, bool>> scored) {
  std::sort(scored.begin(), scored.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  double below = 0, wins = 0, yes = 0;
  for (size_t i = 0; i < scored.size();) {
    size_t j = i;
    double tied_yes = 0, tied_no = 0;
    for (; j < scored.size() && scored[j].first == scored[i].first; ++j)
      (scored[j].second ? tied_yes : tied_no) += 1;
    wins += tied_yes * (below + tied_no / 2);
    below += tied_no;
    yes += tied_yes;
    i = j;
  }
  return wins / (yes * below);
}

// Ridge-regularised logistic regression by gradient descent, on standardised features.
std::array<double, kCount + 1> Logistic(const std::vector<Sample>& train) {
  std::array<double, kCount + 1> w{};
  const double n = static_cast<double>(train.size());
  for (int step = 0; step < 600; ++step) {
    std::array<double, kCount + 1> g{};
    for (const Sample& s : train) {
      double z = w[kCount];
      for (size_t f = 0; f < kCount; ++f) z += w[f] * s.x[f];
      const double d = 1 / (1 + std::exp(-z)) - s.careful;
      for (size_t f = 0; f < kCount; ++f) g[f] += d * s.x[f];
      g[kCount] += d;
    }
    for (size_t f = 0; f <= kCount; ++f) w[f] -= .5 * (g[f] / n + (f < kCount ? .002 * w[f] : 0));
  }
  return w;
}

// A tree of depth four, grown by Gini impurity.
struct Tree {
  int feature = -1;
  double cut = 0, share = 0;
  std::unique_ptr<Tree> low, high;
  double Score(const Features& x) const {
    if (feature < 0) return share;
    return (x[static_cast<size_t>(feature)] < cut ? low : high)->Score(x);
  }
};
std::unique_ptr<Tree> Grow(std::vector<const Sample*> rows, int depth) {
  auto t = std::make_unique<Tree>();
  double yes = 0;
  for (const Sample* s : rows) yes += s->careful;
  const double n = static_cast<double>(rows.size());
  t->share = (yes + 1) / (n + 2);
  if (depth == 0 || rows.size() < 40) return t;
  double best = yes * (n - yes) / n - 1e-9;
  for (size_t f = 0; f < kCount; ++f) {
    std::sort(rows.begin(), rows.end(),
              [&](const Sample* a, const Sample* b) { return a->x[f] < b->x[f]; });
    double left_yes = 0;
    for (size_t i = 0; i + 1 < rows.size(); ++i) {
      left_yes += rows[i]->careful;
      const double a = static_cast<double>(i + 1), b = n - a;
      if (rows[i]->x[f] == rows[i + 1]->x[f] || a < 15 || b < 15) continue;
      const double impurity =
          left_yes * (a - left_yes) / a + (yes - left_yes) * (b - yes + left_yes) / b;
      if (impurity >= best) continue;
      best = impurity;
      t->feature = static_cast<int>(f);
      t->cut = (rows[i]->x[f] + rows[i + 1]->x[f]) / 2;
    }
  }
  if (t->feature < 0) return t;
  std::vector<const Sample*> low, high;
  for (const Sample* s : rows)
    (s->x[static_cast<size_t>(t->feature)] < t->cut ? low : high).push_back(s);
  t->low = Grow(std::move(low), depth - 1);
  t->high = Grow(std::move(high), depth - 1);
  return t;
}

TEST(World, AccountMetadataDoesNotGiveCarefulOperatorsAway) {
  auto scenario = ReadScenario("test", R"(
start: 2026-05-01T00:00:00Z
days: 14
models:
  - {name: m-small, share: 35}
  - {name: m, share: 65}
  - {name: m-new, share: 1, released: 2026-05-06T15:00:00Z}
populations:
  - {kind: independent, accounts: 1500, per_day: 14}
  - {kind: heavy-independent, accounts: 450, per_day: 25}
pools:
  - {name: a, operator: a, accounts: 300}
  - {name: b, operator: b, accounts: 300}
campaigns:
  - {name: thought, operator: a, pools: [a], method: forced-reasoning, per_account_day: 14, wordings: 12, jitter: .4}
  - {name: code, operator: b, pools: [b], method: engineering, per_account_day: 14, scaffold: none, jitter: .4}
knobs: {careful: true}
)",
                               FindPreset);
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  const int64_t start = scenario->start_ms;
  const int days = scenario->days;
  const base::Parallel parallel(2);
  auto world = World::Make(*scenario, 4, {}, parallel);
  ASSERT_TRUE(world.ok());
  std::map<std::string, Seen> seen;
  simdjson::dom::parser parser;
  Scratch scratch;
  for (int day = 0; day < days; ++day) {
    const DayPlan plan = (*world)->Plan(day, parallel);
    for (size_t b = 0; b < plan.blocks(); ++b) {
      Text lines, truth;
      (*world)->Render(plan, b, &scratch, &lines, &truth);
      std::istringstream in{std::string(lines.view())};
      for (std::string line; std::getline(in, line);) {
        simdjson::dom::element e;
        ASSERT_EQ(parser.parse(line).get(e), simdjson::SUCCESS);
        const auto has = [&](const char* key) {
          return e[key].error() == simdjson::SUCCESS ? 1. : 0.;
        };
        Seen& s = seen[std::string(e["account_id"].get_string().value())];
        s.ts.push_back(base::ParseRfc3339(e["ts"].get_string().value()).value());
        s.addresses.insert(std::string(e["client_ip"].get_string().value()));
        s.keys.insert(std::string(e["api_key_id"].get_string().value()));
        s.clients.insert(std::string(e["user_agent"].get_string().value()));
        const int64_t status = e["status"].get_int64().value();
        s.errors += status >= 500;
        s.throttled += status == 429;
        s.stream += e["stream"].get_bool().value();
        s.temperature += has("temperature");
        s.max_set += has("max_tokens");
        s.top_p += has("top_p");
        s.thinking += has("reasoning_tokens");
        s.tools += has("tools");
        s.sessions += has("session_id");
        s.cached += has("cached_tokens");
        const std::string_view model = e["model"].get_string().value();
        s.fresh += model == "m-new";
        s.small += model == "m-small";
        s.latency += status == 200 ? 1 : 0;
      }
    }
  }
  std::vector<Sample> samples;
  size_t careful = 0;
  for (uint32_t a = 0; a < (*world)->accounts(); ++a) {
    Text id, record;
    (*world)->PutAccountId(a, &id);
    const auto it = seen.find(std::string(id.view()));
    if (it == seen.end() || it->second.ts.size() < 80 || it->second.ts.size() > 900) continue;
    Seen& s = it->second;
    (*world)->RenderAccount(a, &record);
    simdjson::dom::element e;
    const std::string account_line(record.view());
    ASSERT_EQ(parser.parse(account_line).get(e), simdjson::SUCCESS);
    const auto text = [&](const char* key) {
      std::string_view v;
      return e[key].get(v) == simdjson::SUCCESS ? std::string(v) : std::string();
    };
    std::sort(s.ts.begin(), s.ts.end());
    const double n = static_cast<double>(s.ts.size());
    std::array<double, 24> hours{};
    std::set<int64_t> on;
    std::map<int64_t, double> per_hour;
    double night = 0, weekend = 0, brief = 0;
    std::vector<double> gaps;
    for (size_t i = 0; i < s.ts.size(); ++i) {
      const int64_t ms = s.ts[i] - start;
      hours[static_cast<size_t>(ms / base::kMsPerHour % 24)] += 1;
      per_hour[ms / base::kMsPerHour] += 1;
      on.insert(ms / base::kMsPerDay);
      const int weekday = static_cast<int>((s.ts[i] / base::kMsPerDay + 4) % 7);
      weekend += weekday == 0 || weekday == 6;
      if (i == 0) continue;
      gaps.push_back(std::log(1. + static_cast<double>(s.ts[i] - s.ts[i - 1])));
      brief += s.ts[i] - s.ts[i - 1] < 120'000;
    }
    double entropy = 0;
    for (const double h : hours) entropy -= h > 0 ? h / n * std::log(h / n) : 0;
    for (size_t h = 0; h < 6; ++h) night += hours[h];
    std::nth_element(gaps.begin(), gaps.begin() + static_cast<ptrdiff_t>(gaps.size() / 2),
                     gaps.end());
    double most = 0;
    for (const auto& [hour, k] : per_hour) most = std::max(most, k);
    const double age = static_cast<double>(start - base::ParseRfc3339(text("created_at")).value()) /
                       double{base::kMsPerDay};
    const std::string mail = text("email_domain");
    const bool is_public = mail.find("mail") != std::string::npos || mail == "qq.com" ||
                           mail == "outlook.com" || mail == "icloud.com";
    Sample sample;
    sample.careful = !(*world)->OperatorOf((*world)->people()[a]).empty();
    careful += sample.careful;
    sample.x = {std::log(std::max(1., age + 20)),
                double(text("kyc") == "none"),
                double(text("kyc") == "document"),
                double(text("plan").back() - '0'),
                double(is_public),
                double(!text("referrer").empty()),
                double(!text("org_id").empty()),
                entropy,
                night / n,
                weekend / n,
                static_cast<double>(on.size()),
                brief / n,
                gaps[gaps.size() / 2],
                static_cast<double>(s.addresses.size()),
                s.errors / n,
                s.throttled / n,
                s.stream / n,
                s.temperature / n,
                s.max_set / n,
                s.top_p / n,
                s.thinking / n,
                s.tools / n,
                s.sessions / n,
                static_cast<double>(s.keys.size()),
                s.fresh / n,
                s.small / n,
                s.cached / n,
                s.latency / n,
                most / n,
                static_cast<double>(s.ts.front() - start),
                static_cast<double>(s.ts.back() - start),
                static_cast<double>(s.clients.size())};
    samples.push_back(sample);
  }
  ASSERT_GT(careful, 300u);
  ASSERT_GT(samples.size() - careful, 300u);
  std::vector<std::pair<double, std::string>> alone;
  for (size_t f = 0; f < kCount; ++f) {
    double mean = 0, square = 0;
    for (const Sample& s : samples) {
      mean += s.x[f];
      square += s.x[f] * s.x[f];
    }
    mean /= static_cast<double>(samples.size());
    const double sd =
        std::sqrt(std::max(1e-12, square / static_cast<double>(samples.size()) - mean * mean));
    std::vector<std::pair<double, bool>> scored;
    for (Sample& s : samples) {
      s.x[f] = (s.x[f] - mean) / sd;
      scored.emplace_back(s.x[f], s.careful);
    }
    alone.emplace_back(std::abs(AreaUnderCurve(scored) - .5), std::string(kFeatures[f]));
  }
  // Two folds; accounts of both sides alternate, for their order is no feature.
  std::vector<std::pair<double, bool>> by_line, by_tree;
  for (size_t fold = 0; fold < 2; ++fold) {
    std::vector<Sample> train;
    std::vector<const Sample*> rows;
    for (size_t i = 0; i < samples.size(); ++i) {
      if (i % 2 != fold) train.push_back(samples[i]);
    }
    for (const Sample& s : train) rows.push_back(&s);
    const auto w = Logistic(train);
    const auto tree = Grow(rows, 4);
    for (size_t i = fold; i < samples.size(); i += 2) {
      double z = w[kCount];
      for (size_t f = 0; f < kCount; ++f) z += w[f] * samples[i].x[f];
      by_line.emplace_back(z, samples[i].careful);
      by_tree.emplace_back(tree->Score(samples[i].x), samples[i].careful);
    }
  }
  std::sort(alone.rbegin(), alone.rend());
  std::string telling;
  for (size_t i = 0; i < 6; ++i)
    telling += " " + alone[i].second + " " + std::to_string(.5 + alone[i].first);
  const double line = AreaUnderCurve(by_line), tree = AreaUnderCurve(by_tree);
  RecordProperty("auc_logistic", std::to_string(line));
  RecordProperty("auc_tree", std::to_string(tree));
  std::printf("AUC: logistic %.3f, tree %.3f; alone:%s\n", line, tree, telling.c_str());
  EXPECT_LE(line, .75) << telling;
  EXPECT_LE(tree, .75) << telling;
}

}  // namespace
}  // namespace stillwatch::simulate
