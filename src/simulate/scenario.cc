#include "simulate/scenario.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>
#include <unordered_map>

#include "base/str.h"
#include "base/time.h"
#include "simulate/kinds.h"

namespace stillwatch::simulate {
namespace {

using base::StrCat;

constexpr int kBaseDepthMax = 4;

struct Bad {
  std::string what;
};

// One file's nodes, with its name for messages.
class Reader {
 public:
  explicit Reader(const std::string& name) : name_(name) {}

  [[noreturn]] void Fail(const YAML::Node& at, std::string_view what) const {
    throw Bad{StrCat(name_, ":", at.Mark().line + 1, ": ", what)};
  }
  void Map(const YAML::Node& node, std::string_view what,
           const std::set<std::string_view>& keys) const {
    if (!node.IsMap()) Fail(node, StrCat(what, ": expected keys with values"));
    std::set<std::string> seen;
    for (const auto& kv : node) {
      const std::string key = kv.first.Scalar();
      if (!keys.contains(key)) {
        std::string known;
        for (const auto k : keys) known += (known.empty() ? "" : ", ") + std::string(k);
        Fail(kv.first, StrCat("unknown key \"", key, "\" of ", what, "; known are ", known));
      }
      if (!seen.insert(key).second)
        Fail(kv.first, StrCat("\"", key, "\" of ", what, " appears twice"));
    }
  }
  const YAML::Node List(const YAML::Node& node, std::string_view what) const {
    if (!node.IsSequence()) Fail(node, StrCat(what, ": expected a list"));
    return node;
  }
  std::string String(const YAML::Node& v, std::string_view key) const {
    if (!v.IsScalar() || v.Scalar().empty()) Fail(v, StrCat(key, ": expected a single value"));
    return v.Scalar();
  }
  // Names go into CSV files and ids.
  std::string Name(const YAML::Node& v, std::string_view key) const {
    const std::string s = String(v, key);
    for (const char c : s) {
      if (!(std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.')) {
        Fail(v, StrCat(key, ": \"", s, "\": letters, digits, - _ . alone"));
      }
    }
    if (s.size() > 64) Fail(v, StrCat(key, ": longer than 64 characters"));
    return s;
  }
  double Number(const YAML::Node& v, std::string_view key, double low, double high) const {
    std::string s = String(v, key);
    s.erase(std::remove(s.begin(), s.end(), '_'), s.end());
    char* end;
    const double d = std::strtod(s.c_str(), &end);
    if (*end != 0 || !std::isfinite(d))
      Fail(v, StrCat(key, ": expected a number, found \"", s, "\""));
    if (d < low || d > high) {
      char range[96];
      std::snprintf(range, sizeof range, ": %g is impossible; %g to %g", d, low, high);
      Fail(v, StrCat(key, range));
    }
    return d;
  }
  uint64_t Count(const YAML::Node& v, std::string_view key, double low, double high) const {
    const double d = Number(v, key, low, high);
    if (d != std::floor(d)) Fail(v, StrCat(key, ": expected a whole number"));
    return static_cast<uint64_t>(d);
  }
  bool Bool(const YAML::Node& v, std::string_view key) const {
    const std::string s = String(v, key);
    if (s != "true" && s != "false") Fail(v, StrCat(key, ": true or false"));
    return s == "true";
  }
  int64_t Time(const YAML::Node& v, std::string_view key) const {
    const auto ms = base::ParseRfc3339(String(v, key));
    if (!ms) Fail(v, StrCat(key, ": not RFC 3339 with a zone"));
    return *ms;
  }
  std::pair<double, double> Range(const YAML::Node& v, std::string_view key, double low,
                                  double high) const {
    if (!v.IsSequence() || v.size() != 2) Fail(v, StrCat(key, ": expected [least, most]"));
    const double a = Number(v[0], key, low, high), b = Number(v[1], key, low, high);
    if (a > b) Fail(v, StrCat(key, ": least is above most"));
    return {a, b};
  }
  template <typename F>
  void Each(const YAML::Node& node, F&& f) const {
    for (const auto& kv : node) f(kv.first.Scalar(), kv.second);
  }

 private:
  std::string name_;
};

using enum KnobInfo::Of;
constexpr KnobInfo kKnobs[] = {
    {"infrastructure", kPool, 0, 1, ".9",
     "share of accounts on the pool's cards, addresses, domains"},
    {"card_accounts", kPool, 1, 100'000, "10", "accounts per card"},
    {"addresses", kPool, .001, 100, ".4", "exit addresses per account"},
    {"mail", kPool, 0, 1, ".75", "share of those accounts with mail at the pool's domains"},
    {"account_age", kPool, 0, 4000, "any",
     "[least, most] days at first use, or any: like everybody's"},
    {"duty_cycle", kPool, .02, 1, ".8", "share of days on which an account works"},
    {"own_hours", kPool, 0, 0, "false", "each account has daily hours of its own"},
    {"spread", kPool, 0, 3, ".6", "of work over accounts: sigma of a log-normal"},
    {"customers", kPool, 0, .95, "0", "share of strangers' exchanges in the pool's traffic"},
    {"scaffold", kCampaign, 0, 0, "turn", "turn, system or none: where it stands"},
    {"wordings", kCampaign, 1, 1000, "1", "paraphrases of the scaffold"},
    {"reworded", kCampaign, 0, 1, ".5", "share of its clauses that each words anew"},
    {"samples", kCampaign, 1, 1000, "1", "exchanges per item"},
    {"chinese", kCampaign, 0, 1, ".35", "share of items in Chinese"},
    {"jitter", kCampaign, 0, 1, "0", "0: the bursts of a queue; 1: evenly over the day"},
    {"ramp", kCampaign, 0, 1, "0", "share of the window in which the volume grows to its level"},
    {"own_manner", kCampaign, 0, 0, "false", "client, settings and model of each account's own"},
    {"replay", kCampaign, 0, .9, "0",
     "share of exchanges with a signature issued to another account"},
    {"pivot_share", kCampaign, 0, 1, "0", "share that moves to a model released in the window"},
    {"pivot_hours", kCampaign, 1, 2000, "24", "within how many hours of the release"},
    {"per_account_day", kEvery, 1e-3, kPerAccountDayMax, "the scenario's",
     "exchanges per account and day, in place of its volume"},
    {"careful", kEvery, 0, 0, "false",
     "true: infrastructure 0, account_age any, own_hours, duty_cycle 1, spread 1, own_manner"},
};
const KnobInfo& Info(std::string_view key) {
  return *std::find_if(std::begin(kKnobs), std::end(kKnobs),
                       [&](const KnobInfo& k) { return k.name == key; });
}
std::set<std::string_view> Names(KnobInfo::Of of) {
  std::set<std::string_view> out;
  for (const KnobInfo& k : kKnobs)
    if (k.of == of) out.insert(k.name);
  return out;
}
const std::set<std::string_view> kPoolKnobs = Names(kPool), kCampaignKnobs = Names(kCampaign);

void PoolKnob(const Reader& r, const std::string& key, const YAML::Node& v, PoolSpec* p) {
  const auto [low, high] = std::pair(Info(key).low, Info(key).high);
  if (key == "infrastructure")
    p->infrastructure = r.Number(v, key, low, high);
  else if (key == "card_accounts")
    p->card_accounts = static_cast<uint32_t>(r.Count(v, key, low, high));
  else if (key == "addresses")
    p->addresses = r.Number(v, key, low, high);
  else if (key == "mail")
    p->mail = r.Number(v, key, low, high);
  else if (key == "account_age") {
    if (v.IsScalar() && v.Scalar() == "any")
      p->account_age_days.reset();
    else
      p->account_age_days = r.Range(v, key, low, high);
  } else if (key == "customers")
    p->customers = r.Number(v, key, low, high);
  else if (key == "duty_cycle")
    p->duty_cycle = r.Number(v, key, low, high);
  else if (key == "own_hours")
    p->own_hours = r.Bool(v, key);
  else if (key == "spread")
    p->spread = r.Number(v, key, low, high);
}

void CampaignKnob(const Reader& r, const std::string& key, const YAML::Node& v, CampaignSpec* c) {
  const auto [low, high] = std::pair(Info(key).low, Info(key).high);
  if (key == "scaffold") {
    c->scaffold = r.String(v, key);
    if (c->scaffold != "turn" && c->scaffold != "system" && c->scaffold != "none")
      r.Fail(v, StrCat("scaffold: turn, system or none, not \"", c->scaffold, "\""));
  } else if (key == "wordings")
    c->wordings = static_cast<uint32_t>(r.Count(v, key, low, high));
  else if (key == "reworded")
    c->reworded = r.Number(v, key, low, high);
  else if (key == "samples")
    c->samples = static_cast<uint32_t>(r.Count(v, key, low, high));
  else if (key == "chinese")
    c->chinese = r.Number(v, key, low, high);
  else if (key == "jitter")
    c->jitter = r.Number(v, key, low, high);
  else if (key == "ramp")
    c->ramp = r.Number(v, key, low, high);
  else if (key == "own_manner")
    c->own_manner = r.Bool(v, key);
  else if (key == "replay")
    c->replay = r.Number(v, key, low, high);
  else if (key == "pivot_share")
    c->pivot_share = r.Number(v, key, low, high);
  else if (key == "pivot_hours")
    c->pivot_hours = r.Number(v, key, low, high);
}

std::set<std::string_view> Join(std::set<std::string_view> a, const std::set<std::string_view>& b) {
  a.insert(b.begin(), b.end());
  return a;
}

template <typename Infos>
std::string NamesOf(const Infos& all) {
  std::string known;
  for (const auto& one : all) base::StrAppend(&known, known.empty() ? "" : ", ", one.name);
  return known;
}

void Mixture(const Reader& r, const YAML::Node& node, Scenario* s) {
  r.Map(node, "innocents", {"accounts", "exchanges", "without"});
  if (!node["accounts"] || !node["exchanges"])
    r.Fail(node, "innocents: accounts and exchanges are needed");
  const double accounts =
      static_cast<double>(r.Count(node["accounts"], "accounts", 1, kAccountsMax));
  const double exchanges =
      r.Number(node["exchanges"], "exchanges", 1, static_cast<double>(kExchangesMax));
  std::set<std::string> without;
  if (node["without"]) {
    for (const auto& kind : r.List(node["without"], "without")) {
      if (FindKind(kind.Scalar()) == nullptr)
        r.Fail(kind, StrCat("without: unknown kind \"", kind.Scalar(), "\"; known are ",
                            NamesOf(Kinds())));
      without.insert(kind.Scalar());
    }
  }
  double share = 0, volume = 0;
  for (const KindInfo& k : Kinds()) {
    if (without.contains(std::string(k.name))) continue;
    share += k.share;
    volume += k.share * k.per_day;
  }
  if (share == 0) r.Fail(node["without"], "without: leaves no kind");
  const double factor = exchanges / (accounts * volume / share * s->days);
  for (const KindInfo& k : Kinds()) {
    if (without.contains(std::string(k.name))) continue;
    PopulationSpec p;
    p.kind = k.name;
    p.accounts =
        std::max<uint64_t>(1, static_cast<uint64_t>(std::llround(accounts * k.share / share)));
    p.per_day = k.per_day * factor;
    if (p.per_day > kPerAccountDayMax)
      r.Fail(node["exchanges"], StrCat("exchanges: more than ", kPerAccountDayMax,
                                       " a day for an account of kind ", k.name));
    if (p.per_day < kPerAccountDayMin)
      r.Fail(node["exchanges"], StrCat("exchanges: fewer than ", kPerAccountDayMin,
                                       " a day for an account of kind ", k.name));
    s->populations.push_back(std::move(p));
  }
}

// A model to which it could pivot.
bool Released(const Scenario& s, const CampaignSpec& c) {
  return std::any_of(s.models.begin(), s.models.end(), [&](const ModelSpec& x) {
    return x.released_ms > c.from_ms && x.released_ms < c.until_ms;
  });
}

void ReadInto(const std::string& name, std::string_view yaml,
              const std::function<std::string_view(std::string_view)>& find, int depth,
              Scenario* s) {
  const Reader r(name);
  YAML::Node root;
  try {
    root = YAML::Load(std::string(yaml));
  } catch (const YAML::Exception& e) {
    throw Bad{StrCat(name, ":", e.mark.line + 1, ": not valid YAML: ", e.msg)};
  }
  r.Map(root, "a scenario",
        {"base", "name", "title", "start", "days", "models", "innocents", "populations", "pools",
         "campaigns", "knobs"});
  if (root["base"]) {
    const std::string base = r.String(root["base"], "base");
    const std::string_view text = find(base);
    if (text.empty()) r.Fail(root["base"], StrCat("base: there is no preset \"", base, "\""));
    if (depth >= kBaseDepthMax)
      r.Fail(root["base"], StrCat("base: more than ", kBaseDepthMax, " deep"));
    ReadInto(base, text, find, depth + 1, s);
  }
  if (root["name"]) s->name = r.Name(root["name"], "name");
  if (root["title"]) s->title = r.String(root["title"], "title");
  if (root["start"]) s->start_ms = r.Time(root["start"], "start");
  if (root["days"]) s->days = static_cast<int>(r.Count(root["days"], "days", 1, kDaysMax));
  if (s->start_ms == 0 || s->days == 0) r.Fail(root, "a scenario needs start and days");
  if (s->start_ms < 0 || s->start_ms % base::kMsPerDay != 0)
    r.Fail(root["start"], "start: midnight UTC of a day after 1970");

  if (root["models"]) {
    s->models.clear();
    for (const auto& m : r.List(root["models"], "models")) {
      r.Map(m, "a model", {"name", "share", "released"});
      ModelSpec spec;
      if (!m["name"]) r.Fail(m, "a model needs a name");
      r.Each(m, [&](const std::string& key, const YAML::Node& v) {
        if (key == "name")
          spec.name = r.Name(v, key);
        else if (key == "share")
          spec.share = r.Number(v, key, 0, 1e6);
        else
          spec.released_ms = r.Time(v, key);
      });
      s->models.push_back(std::move(spec));
    }
  }
  if (root["innocents"] || root["populations"]) s->populations.clear();
  if (root["innocents"]) Mixture(r, root["innocents"], s);
  if (root["populations"]) {
    for (const auto& p : r.List(root["populations"], "populations")) {
      r.Map(p, "a population", {"kind", "accounts", "per_day"});
      if (!p["kind"] || !p["accounts"] || !p["per_day"])
        r.Fail(p, "a population needs kind, accounts and per_day");
      PopulationSpec spec;
      spec.kind = r.String(p["kind"], "kind");
      if (FindKind(spec.kind) == nullptr)
        r.Fail(p["kind"],
               StrCat("kind: unknown \"", spec.kind, "\"; known are ", NamesOf(Kinds())));
      spec.accounts = r.Count(p["accounts"], "accounts", 1, kAccountsMax);
      spec.per_day = r.Number(p["per_day"], "per_day", kPerAccountDayMin, kPerAccountDayMax);
      // In place of the mixture's, or beside it.
      std::erase_if(s->populations, [&](const PopulationSpec& old) {
        return old.kind == spec.kind && root["innocents"];
      });
      s->populations.push_back(std::move(spec));
    }
  }
  if (root["pools"]) {
    if (root["pools"].size() > kPoolsMax)
      r.Fail(root["pools"], StrCat("pools: more than ", kPoolsMax));
    s->pools.clear();
    for (const auto& p : r.List(root["pools"], "pools")) {
      r.Map(p, "a pool",
            Join(kPoolKnobs, {"name", "operator", "relay", "accounts", "banned", "failover",
                              "failover_hours", "victims", "relay_customers"}));
      PoolSpec spec;
      if (!p["name"] || !p["operator"] || !p["accounts"])
        r.Fail(p, "a pool needs name, operator and accounts");
      r.Each(p, [&](const std::string& key, const YAML::Node& v) {
        if (key == "name")
          spec.name = r.Name(v, key);
        else if (key == "operator")
          spec.operator_name = r.Name(v, key);
        else if (key == "relay")
          spec.relay = r.Bool(v, key);
        else if (key == "accounts")
          spec.accounts = r.Count(v, key, kPoolAccountsMin, kAccountsMax);
        else if (key == "banned")
          spec.banned_ms = r.Time(v, key);
        else if (key == "failover")
          spec.failover = r.Name(v, key);
        else if (key == "failover_hours")
          spec.failover_hours = r.Number(v, key, 0, 500);
        else if (key == "victims")
          spec.victims = r.Count(v, key, 0, 100'000);
        else if (key == "relay_customers")
          spec.relay_customers = r.Count(v, key, 0, 1'000'000);
        else
          PoolKnob(r, key, v, &spec);
      });
      if (spec.banned_ms != 0 && (spec.banned_ms <= s->start_ms || spec.banned_ms >= s->end_ms()))
        r.Fail(p["banned"], "banned: outside of the window");
      if (!spec.failover.empty() && spec.banned_ms == 0)
        r.Fail(p["failover"], "failover: contradicts a pool that is never banned");
      if (spec.customers > 0 && !spec.relay && !(p["relay"])) spec.relay = true;
      if (p["customers"] && p["relay"] && !spec.relay && spec.customers > 0)
        r.Fail(p["customers"], "customers: contradicts relay: false");
      for (const PoolSpec& other : s->pools) {
        if (other.name == spec.name)
          r.Fail(p["name"], StrCat("pool ", spec.name, " is there already"));
      }
      s->pools.push_back(std::move(spec));
    }
  }
  const auto find_pool = [&](const std::string& pool) {
    return std::find_if(s->pools.begin(), s->pools.end(),
                        [&](const PoolSpec& p) { return p.name == pool; });
  };
  if (root["pools"]) {
    for (const auto& p : root["pools"]) {
      if (!p["failover"]) continue;
      const std::string to = p["failover"].Scalar();
      if (find_pool(to) == s->pools.end())
        r.Fail(p["failover"], StrCat("failover: there is no pool \"", to, "\""));
      if (to == p["name"].Scalar()) r.Fail(p["failover"], "failover: a pool cannot replace itself");
    }
  }
  // Exchanges of a rate: over its pools' accounts and the days on which they are in use.
  const auto volume = [&](const CampaignSpec& c, double rate) {
    double account_days = 0;
    for (const std::string& pool : c.pools) {
      const PoolSpec& p = *find_pool(pool);
      int64_t from = c.from_ms, until = c.until_ms;
      if (p.banned_ms != 0) until = std::min(until, p.banned_ms);
      for (const PoolSpec& q : s->pools) {
        if (q.failover == p.name) from = std::max(from, q.banned_ms);
      }
      account_days += static_cast<double>(p.accounts) *
                      std::max<double>(0, static_cast<double>(until - from)) / 86'400'000.0;
    }
    return rate * account_days;
  };
  if (root["campaigns"]) {
    if (root["campaigns"].size() > kCampaignsMax)
      r.Fail(root["campaigns"], StrCat("campaigns: more than ", kCampaignsMax));
    s->campaigns.clear();
    for (const auto& node : r.List(root["campaigns"], "campaigns")) {
      r.Map(node, "a campaign",
            Join(kCampaignKnobs, {"name", "operator", "pools", "method", "asks", "exchanges",
                                  "per_account_day", "from", "until", "probing"}));
      if (!node["name"] || !node["operator"] || !node["pools"] || !node["method"])
        r.Fail(node, "a campaign needs name, operator, pools and method");
      CampaignSpec c;
      c.from_ms = s->start_ms;
      c.until_ms = s->end_ms();
      r.Each(node, [&](const std::string& key, const YAML::Node& v) {
        if (key == "name")
          c.name = r.Name(v, key);
        else if (key == "operator")
          c.operator_name = r.Name(v, key);
        else if (key == "pools") {
          for (const auto& p : r.List(v, key)) {
            if (find_pool(p.Scalar()) == s->pools.end())
              r.Fail(p, StrCat("pools: there is no pool \"", p.Scalar(), "\""));
            c.pools.push_back(p.Scalar());
          }
          if (c.pools.empty()) r.Fail(v, "pools: empty");
        } else if (key == "method") {
          c.method = r.String(v, key);
          if (FindMethod(c.method) == nullptr)
            r.Fail(v, StrCat("method: unknown \"", c.method, "\"; known are ", NamesOf(Methods())));
        } else if (key == "asks") {
          for (const auto& a : r.List(v, key)) {
            if (FindAsk(a.Scalar()) < 0) {
              std::string known;
              for (int i = 0; i < kAsks; ++i) base::StrAppend(&known, i ? ", " : "", AskName(i));
              r.Fail(a, StrCat("asks: unknown \"", a.Scalar(), "\"; known are ", known));
            }
            c.asks.push_back(a.Scalar());
          }
          if (c.asks.empty()) r.Fail(v, "asks: empty");
        } else if (key == "exchanges")
          c.exchanges = r.Number(v, key, 1, static_cast<double>(kExchangesMax));
        else if (key == "per_account_day")
          return;
        else if (key == "from")
          c.from_ms = r.Time(v, key);
        else if (key == "until")
          c.until_ms = r.Time(v, key);
        else if (key == "probing") {
          r.Map(v, "probing", {"exchanges", "days"});
          if (!v["exchanges"] || !v["days"]) r.Fail(v, "probing needs exchanges and days");
          c.probing_exchanges = r.Number(v["exchanges"], "exchanges", 1, 1e9);
          c.probing_days = r.Number(v["days"], "days", .1, kDaysMax);
        } else
          CampaignKnob(r, key, v, &c);
      });
      const auto in_window = [&](int64_t t) { return t >= s->start_ms && t <= s->end_ms(); };
      if (!in_window(c.from_ms) || !in_window(c.until_ms))
        r.Fail(node[in_window(c.from_ms) ? "until" : "from"], "outside of the scenario's window");
      if (c.from_ms >= c.until_ms)
        r.Fail(node[node["until"] ? "until" : "from"], "until: not after from");
      if ((node["exchanges"] ? 1 : 0) + (node["per_account_day"] ? 1 : 0) != 1) {
        r.Fail(node["per_account_day"] ? node["per_account_day"] : node,
               "a campaign has either exchanges or per_account_day");
      }
      if (node["per_account_day"])
        c.exchanges = volume(
            c, r.Number(node["per_account_day"], "per_account_day", 1e-3, kPerAccountDayMax));
      const MethodInfo& m = *FindMethod(c.method);
      if (c.scaffold.empty()) c.scaffold = m.scaffold.empty() ? "none" : "turn";
      if (c.scaffold != "none" && m.scaffold.empty())
        r.Fail(node["scaffold"],
               StrCat("scaffold: contradicts method ", m.name, ", which has none"));
      if (c.probing_days * 86'400'000.0 >= static_cast<double>(c.until_ms - c.from_ms))
        r.Fail(node["probing"], "probing: longer than the campaign");
      if (c.pivot_share > 0 && !Released(*s, c)) {
        r.Fail(node["pivot_share"],
               "pivot_share: contradicts models; none is released while the campaign runs");
      }
      if (volume(c, kPerAccountDayMax) < c.exchanges)
        r.Fail(node, StrCat("campaign ", c.name, ": more than ", kPerAccountDayMax,
                            " exchanges per account and day is impossible"));
      for (const CampaignSpec& other : s->campaigns) {
        if (other.name == c.name)
          r.Fail(node["name"], StrCat("campaign ", c.name, " is there already"));
      }
      s->campaigns.push_back(std::move(c));
    }
  }
  if (root["knobs"]) {
    const YAML::Node k = root["knobs"];
    r.Map(k, "knobs", Join(Join(kPoolKnobs, kCampaignKnobs), Names(kEvery)));
    if (k.size() > 0 && s->campaigns.empty())
      r.Fail(k.begin()->first, StrCat(k.begin()->first.Scalar(),
                                      ": contradicts a scenario without campaigns; a knob turns "
                                      "pools and campaigns"));
    if (k["careful"] && r.Bool(k["careful"], "careful")) {
      for (PoolSpec& p : s->pools) {
        p.infrastructure = 0;
        p.account_age_days.reset();
        p.own_hours = true;
        p.duty_cycle = 1;
        p.spread = 1;
      }
      for (CampaignSpec& c : s->campaigns) c.own_manner = true;
    }
    r.Each(k, [&](const std::string& key, const YAML::Node& v) {
      if (kPoolKnobs.contains(key)) {
        for (PoolSpec& p : s->pools) {
          PoolKnob(r, key, v, &p);
          if (key == "customers" && p.customers > 0) p.relay = true;
        }
      }
      if (kCampaignKnobs.contains(key)) {
        for (CampaignSpec& c : s->campaigns) {
          CampaignSpec changed = c;
          CampaignKnob(r, key, v, &changed);
          // What a method has no scaffold for stays without one.
          if (key == "scaffold" && FindMethod(c.method)->scaffold.empty()) continue;
          if (key == "pivot_share" && changed.pivot_share > 0 && !Released(*s, c)) {
            r.Fail(v, StrCat("pivot_share: contradicts models; none is released while campaign ",
                             c.name, " runs"));
          }
          c = std::move(changed);
        }
      }
      if (key == "per_account_day") {
        const double rate = r.Number(v, key, Info(key).low, Info(key).high);
        for (CampaignSpec& c : s->campaigns) c.exchanges = volume(c, rate);
      }
    });
  }
}

std::string Time(int64_t ms) { return base::FormatRfc3339(ms); }

std::string Real(double d) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", d);
  double back = 0;
  for (int digits = 1; digits < 17; ++digits) {
    char shorter[40];
    std::snprintf(shorter, sizeof shorter, "%.*g", digits, d);
    back = std::strtod(shorter, nullptr);
    if (back == d) return shorter;
  }
  return text;
}

}  // namespace

std::span<const KnobInfo> Knobs() { return kKnobs; }

absl::StatusOr<Scenario> ReadScenario(
    const std::string& name, std::string_view yaml,
    const std::function<std::string_view(std::string_view)>& find) {
  Scenario s;
  try {
    ReadInto(name, yaml, find, 0, &s);
  } catch (const Bad& bad) {
    return absl::InvalidArgumentError(bad.what);
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(StrCat(name, ":", e.mark.line + 1, ": ", e.msg));
  }
  if (s.name.empty()) s.name = "scenario";
  if (s.models.empty()) s.models = {{"atlas-4-mini", .35, 0}, {"atlas-4", .65, 0}};
  if (std::none_of(s.models.begin(), s.models.end(),
                   [](const ModelSpec& m) { return m.released_ms == 0 && m.share > 0; })) {
    return absl::InvalidArgumentError(StrCat(name, ": models: none is there from the start"));
  }
  if (s.populations.empty() && s.campaigns.empty())
    return absl::InvalidArgumentError(
        StrCat(name, ": neither innocents, populations nor campaigns"));
  for (const PoolSpec& p : s.pools) {
    const bool used =
        std::any_of(s.campaigns.begin(), s.campaigns.end(), [&](const CampaignSpec& c) {
          return std::find(c.pools.begin(), c.pools.end(), p.name) != c.pools.end();
        });
    if (!used)
      return absl::InvalidArgumentError(StrCat(name, ": pool ", p.name, " is used by no campaign"));
  }
  return s;
}

absl::Status Scale(double scale, Scenario* s) {
  if (!(scale > 0) || scale > 1000)
    return absl::InvalidArgumentError(
        StrCat("--scale: ", Real(scale), " is impossible; above 0, at most 1000"));
  const auto scaled = [&](uint64_t n, uint64_t least) {
    return std::max<uint64_t>(least,
                              static_cast<uint64_t>(std::llround(static_cast<double>(n) * scale)));
  };
  uint64_t all = 0;
  for (PopulationSpec& p : s->populations) {
    const uint64_t unit = FindKind(p.kind)->unit;
    p.accounts = scaled(p.accounts,
                        std::min(p.accounts, std::max<uint64_t>(1, std::min<uint64_t>(unit, 12))));
    all += p.accounts;
  }
  std::unordered_map<std::string, std::pair<double, double>> accounts;  // of pools: before, after
  for (PoolSpec& p : s->pools) {
    auto& [before, after] = accounts[p.name];
    before = static_cast<double>(p.accounts);
    p.accounts = scaled(p.accounts, kPoolAccountsMin);
    after = static_cast<double>(p.accounts);
    if (p.victims > 0) p.victims = scaled(p.victims, 2);
    if (p.relay_customers > 0) p.relay_customers = scaled(p.relay_customers, 2);
    all += p.accounts + p.victims + p.relay_customers;
  }
  for (CampaignSpec& c : s->campaigns) {
    double before = 0, after = 0;
    for (const std::string& pool : c.pools) {
      before += accounts[pool].first;
      after += accounts[pool].second;
    }
    c.exchanges *= after / before;
    c.probing_exchanges *= after / before;
    if (c.exchanges > static_cast<double>(kExchangesMax))
      return absl::InvalidArgumentError(StrCat(
          "--scale: campaign ", c.name, " would have more than ", kExchangesMax, " exchanges"));
  }
  if (all > kAccountsMax)
    return absl::InvalidArgumentError(
        StrCat("--scale: ", all, " accounts; at most ", kAccountsMax));
  return absl::OkStatus();
}

std::string ScenarioYaml(const Scenario& s) {
  std::string out = StrCat("name: ", s.name, "\n");
  const auto quoted = [](std::string_view text) {
    std::string q = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') q.push_back('\\');
      q.push_back(c);
    }
    return q + "\"";
  };
  if (!s.title.empty()) base::StrAppend(&out, "title: ", quoted(s.title), "\n");
  base::StrAppend(&out, "start: ", Time(s.start_ms), "\ndays: ", s.days, "\nmodels:\n");
  for (const ModelSpec& m : s.models) {
    base::StrAppend(&out, "  - {name: ", m.name, ", share: ", Real(m.share));
    if (m.released_ms != 0) base::StrAppend(&out, ", released: ", Time(m.released_ms));
    out += "}\n";
  }
  if (!s.populations.empty()) out += "populations:\n";
  for (const PopulationSpec& p : s.populations) {
    base::StrAppend(&out, "  - {kind: ", p.kind, ", accounts: ", p.accounts,
                    ", per_day: ", Real(p.per_day), "}\n");
  }
  if (!s.pools.empty()) out += "pools:\n";
  for (const PoolSpec& p : s.pools) {
    base::StrAppend(&out, "  - name: ", p.name, "\n    operator: ", p.operator_name,
                    "\n    relay: ", p.relay ? "true" : "false", "\n    accounts: ", p.accounts,
                    "\n    infrastructure: ", Real(p.infrastructure),
                    "\n    card_accounts: ", p.card_accounts,
                    "\n    addresses: ", Real(p.addresses), "\n    account_age: ");
    if (p.account_age_days)
      base::StrAppend(&out, "[", Real(p.account_age_days->first), ", ",
                      Real(p.account_age_days->second), "]");
    else
      out += "any";
    if (p.mail != PoolSpec().mail) base::StrAppend(&out, "\n    mail: ", Real(p.mail));
    if (p.banned_ms != 0) base::StrAppend(&out, "\n    banned: ", Time(p.banned_ms));
    if (!p.failover.empty())
      base::StrAppend(&out, "\n    failover: ", p.failover,
                      "\n    failover_hours: ", Real(p.failover_hours));
    base::StrAppend(&out, "\n    customers: ", Real(p.customers), "\n    victims: ", p.victims,
                    "\n    relay_customers: ", p.relay_customers,
                    "\n    duty_cycle: ", Real(p.duty_cycle),
                    "\n    own_hours: ", p.own_hours ? "true" : "false",
                    "\n    spread: ", Real(p.spread), "\n");
  }
  if (!s.campaigns.empty()) out += "campaigns:\n";
  for (const CampaignSpec& c : s.campaigns) {
    base::StrAppend(&out, "  - name: ", c.name, "\n    operator: ", c.operator_name,
                    "\n    pools: [");
    for (size_t i = 0; i < c.pools.size(); ++i)
      base::StrAppend(&out, i == 0 ? "" : ", ", c.pools[i]);
    base::StrAppend(&out, "]\n    method: ", c.method);
    if (!c.asks.empty()) {
      out += "\n    asks: [";
      for (size_t i = 0; i < c.asks.size(); ++i)
        base::StrAppend(&out, i == 0 ? "" : ", ", c.asks[i]);
      out += "]";
    }
    base::StrAppend(&out, "\n    exchanges: ", Real(c.exchanges), "\n    from: ", Time(c.from_ms),
                    "\n    until: ", Time(c.until_ms));
    if (!FindMethod(c.method)->scaffold.empty())
      base::StrAppend(&out, "\n    scaffold: ", c.scaffold);
    base::StrAppend(&out, "\n    wordings: ", c.wordings, "\n    reworded: ", Real(c.reworded),
                    "\n    samples: ", c.samples, "\n    chinese: ", Real(c.chinese),
                    "\n    jitter: ", Real(c.jitter), "\n    ramp: ", Real(c.ramp),
                    "\n    own_manner: ", c.own_manner ? "true" : "false",
                    "\n    replay: ", Real(c.replay));
    if (c.probing_exchanges > 0)
      base::StrAppend(&out, "\n    probing: {exchanges: ", Real(c.probing_exchanges),
                      ", days: ", Real(c.probing_days), "}");
    if (c.pivot_share > 0)
      base::StrAppend(&out, "\n    pivot_share: ", Real(c.pivot_share),
                      "\n    pivot_hours: ", Real(c.pivot_hours));
    out += "\n";
  }
  return out;
}

}  // namespace stillwatch::simulate
