#include "simulate/world.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/embedded_file.h"
#include "base/str.h"
#include "base/time.h"
#include "simulate/refs.h"

namespace stillwatch::simulate {

extern const base::EmbeddedFile kGrammarFiles[];

namespace {

using base::kMsPerDay;
using base::kMsPerHour;
using base::StrCat;

constexpr int kMinutesPerDay = 1440, kQuarters = 96;
constexpr double kMsPerMinute = 60'000;
constexpr int kTools = 12, kHarnesses = 4, kPublic = 3;
constexpr double kNewShare = .15;  // of accounts that join within the window
constexpr double kTurnsMax = 24;   // of a session

// Innocents' roles are their kinds; these come after.
enum SpecialRole { kRoleCampaign, kRoleRelayPool, kRoleVictim, kRoleRelayCustomer, kSpecialRoles };
constexpr std::string_view kSpecialRoleNames[kSpecialRoles] = {"campaign", "relay-pool", "victim",
                                                               "relay-customer"};

uint8_t SpecialRole(int role) {
  return static_cast<uint8_t>(Kinds().size() + static_cast<size_t>(role));
}

uint8_t KindIndex(std::string_view name) {
  return static_cast<uint8_t>(FindKind(name) - Kinds().data());
}

// A public address from any bits.
uint32_t Ipv4(uint64_t h) {
  h = base::Mix64(h);
  uint32_t first = 11 + static_cast<uint32_t>(h % 205);
  for (const uint32_t reserved : {100u, 127u, 169u, 172u, 192u, 198u, 203u})
    first += first == reserved;
  return first << 24 | static_cast<uint32_t>(h >> 40 & 0xffffff);
}

}  // namespace

std::string_view World::RoleName(uint8_t role) const {
  return role < Kinds().size() ? Kinds()[role].name : kSpecialRoleNames[role - Kinds().size()];
}

std::string_view World::OperatorOf(const Person& p) const {
  const bool own = p.role == SpecialRole(kRoleCampaign) || p.role == SpecialRole(kRoleRelayPool);
  return own ? std::string_view(scenario_.pools[p.pool].operator_name) : std::string_view();
}

absl::StatusOr<std::unique_ptr<World>> World::Make(Scenario scenario, uint64_t seed,
                                                   std::vector<std::string_view> prompts,
                                                   const base::Parallel& parallel) {
  std::unique_ptr<World> w(new World);
  w->scenario_ = std::move(scenario);
  w->made_ = w->scenario_.days;
  w->seed_ = base::Mix64(seed + 0x73696d);
  w->prompts_ = std::move(prompts);
  if (absl::Status s = w->Prepare(parallel); !s.ok()) return s;
  return w;
}

absl::Status World::Prepare(const base::Parallel& parallel) {
  std::vector<std::pair<std::string_view, std::string_view>> files;
  for (const base::EmbeddedFile* f = kGrammarFiles; !f->name.empty(); ++f)
    files.emplace_back(f->name, f->text);
  auto grammar = Grammar::Compile(files);
  if (!grammar.ok()) return absl::InternalError(std::string(grammar.status().message()));
  grammar_ = std::move(*grammar);

  const auto symbol = [&](const std::string& name) { return grammar_.Find(name); };
  const Grammar::Symbol general_answer = symbol("ans.general");
  for (int a = 0; a < kAsks; ++a) {
    const std::string name(AskName(a));
    for (int l = 0; l < kLanguageCount; ++l) {
      Grammar::Symbol s = symbol(StrCat(kLanguages[l], ".", name));
      if (s == Grammar::kNone)
        s = name == "harness" ? symbol("harness.turn")
            : name == "case"  ? symbol("explain.case")
                              : symbol("en." + name);
      if (s == Grammar::kNone)
        return absl::InternalError(StrCat("grammar: nothing to ask for ", name));
      ask_symbols_[static_cast<size_t>(a)][static_cast<size_t>(l)] = s;
    }
  }
  for (size_t l = 0; l < kLanguageCount; ++l) {
    other_[0][l] = symbol(StrCat(kLanguages[l], ".follow"));
    other_[1][l] = l == 0 ? general_answer : symbol(StrCat(kLanguages[l], ".answer"));
  }
  constexpr const char* kFixedNames[kFixedCount] = {
      "own.system",    "app.system", "job.form", "synthetic.form", "explain.form",
      "licensed.form", "class.task", "en.greet", "harness.env",    "scaffold.probe",
      "tool.name",     "ans.short",  "ans.mark", "ans.reasoned",   "copied.prompt"};
  for (int f = 0; f < kFixedCount; ++f) {
    fixed_[static_cast<size_t>(f)] = symbol(kFixedNames[f]);
    if (fixed_[static_cast<size_t>(f)] == Grammar::kNone)
      return absl::InternalError(StrCat("grammar: no ", kFixedNames[f]));
  }
  answer_of_.fill(general_answer);
  const auto answers = [&](Ask a, const char* name) {
    answer_of_[static_cast<size_t>(a)] = symbol(name);
  };
  answers(Ask::kSoftware, "ans.code");
  answers(Ask::kSecurity, "ans.code");
  answers(Ask::kHarness, "ans.code");
  answers(Ask::kMaths, "ans.maths");
  answers(Ask::kTool, "ans.call");
  answers(Ask::kSolved, "ans.mark");
  for (const KindInfo& k : Kinds()) {
    std::vector<uint8_t>& asks = kind_asks_.emplace_back();
    for (size_t at = 0; at < k.asks.size();) {
      const size_t space = std::min(k.asks.find(' ', at), k.asks.size());
      asks.push_back(static_cast<uint8_t>(FindAsk(k.asks.substr(at, space - at))));
      at = space + 1;
    }
  }

  // Published programs and scaffolds, which everybody knows; each seed has its own.
  const auto say = [&](const char* name, uint64_t key) {
    Rng r(Key(seed_, base::Hash64(name), key));
    Text t;
    const uint32_t topic = r.Below(grammar_.topics());
    grammar_.Expand(symbol(name), topic, &r, &t);
    return std::string(t.view());
  };
  const auto distinct = [&](const char* name, int n, std::vector<std::string>* out) {
    for (uint64_t key = 0; out->size() < static_cast<size_t>(n); ++key) {
      std::string one = say(name, key);
      if (std::find(out->begin(), out->end(), one) == out->end()) out->push_back(std::move(one));
    }
  };
  distinct("toolname", kTools, &tools_);
  distinct("harness.name", kHarnesses, &harnesses_);
  for (uint64_t i = 0; i < kTools; ++i) tool_systems_.push_back(say("tool.system", i));
  for (uint64_t i = 0; i < kHarnesses; ++i) harness_systems_.push_back(say("harness.system", i));
  const auto published = [&](const char* name, std::vector<Wording>* out) {
    for (uint64_t i = 0; i < kPublic; ++i) {
      const std::string text = say(name, 100 + i);
      const size_t mark = text.find(kItemMark);
      Wording w{text.substr(0, mark), text.substr(mark + 1), {}};
      w.system = w.before + w.after;
      out->push_back(std::move(w));
    }
  };
  published("scaffold.grading", &public_judges_);
  published("scaffold.forced_reasoning", &public_reasonings_);
  catalogue_ = std::make_unique<Catalogue>(tools_, harnesses_);

  for (const ModelSpec& m : scenario_.models) {
    if (m.released_ms == 0 && m.share > 0) {
      base_models_.push_back(static_cast<uint8_t>(model_parts_.size()));
      base_shares_.push_back(m.share + (base_shares_.empty() ? 0 : base_shares_.back()));
    }
    model_parts_.push_back(StrCat(",\"model\":\"", m.name, "\",\"operation\":\"chat\""));
  }

  // Who there is. Units are cut first, in order; the rest of a person is its own matter.
  struct Range {
    uint8_t kind, role;
    uint64_t accounts;
    double per_day;
  };
  std::vector<Range> ranges;
  uint64_t all = 0;
  for (const PopulationSpec& p : scenario_.populations) {
    const uint8_t kind = KindIndex(p.kind);
    ranges.push_back({kind, kind, p.accounts, p.per_day});
    all += p.accounts;
  }
  const uint64_t innocents = all;
  for (const PoolSpec& p : scenario_.pools) all += p.accounts + p.victims + p.relay_customers;
  if (all > kAccountsMax)
    return absl::InvalidArgumentError(StrCat(all, " accounts; at most ", kAccountsMax));
  people_.resize(all);
  first_operator_ = static_cast<uint32_t>(innocents);
  uint32_t unit = 0;
  size_t at = 0;
  for (const Range& range : ranges) {
    const KindInfo& k = Kinds()[range.kind];
    Rng r(Key(seed_, 0x6b696e64, range.kind));
    uint64_t left = 0;
    for (uint64_t i = 0; i < range.accounts; ++i, ++at) {
      Person& p = people_[at];
      p.kind = range.kind;
      p.role = range.role;
      p.per_day = static_cast<float>(range.per_day);
      if (k.unit == 0) continue;
      if (left == 0) {
        left = std::max<uint64_t>(2, static_cast<uint64_t>(std::llround(k.unit * r.LogNormal(.4))));
        ++unit;
      }
      --left;
      p.unit = unit;
    }
  }
  // Addresses that strangers share, about as many as there are people behind them.
  const auto shared = [&](uint64_t label, uint64_t n, std::vector<uint32_t>* out) {
    for (uint64_t i = 0; i < n; ++i) out->push_back(Ipv4(Key(seed_, label, i)));
  };
  shared(0xca55, std::max<uint64_t>(24, all / 60), &carriers_);
  shared(0x7690, std::max<uint64_t>(8, all / 900), &vpns_);
  shared(0xe65e, std::max<uint64_t>(4, all / 1500), &egresses_);

  pools_.resize(scenario_.pools.size());
  uint32_t next = first_operator_;
  for (size_t i = 0; i < pools_.size(); ++i) {
    const PoolSpec& spec = scenario_.pools[i];
    Pool& pool = pools_[i];
    pool.first = next;
    pool.accounts = static_cast<uint32_t>(spec.accounts);
    pool.victims_first = pool.first + pool.accounts;
    pool.victims = static_cast<uint32_t>(spec.victims);
    next = pool.victims_first + pool.victims + static_cast<uint32_t>(spec.relay_customers);
    const uint8_t independent = KindIndex("independent"), heavy = KindIndex("heavy-independent");
    for (uint32_t a = pool.first; a < next; ++a) {
      Person& p = people_[a];
      p.kind = spec.own_hours && base::Mix64(Key(seed_, 0x4ab1, a)) % 10 < 3 ? heavy : independent;
      p.pool = static_cast<uint16_t>(i);
      p.per_day = 0;
      if (a < pool.victims_first) {
        p.role = SpecialRole(spec.relay ? kRoleRelayPool : kRoleCampaign);
      } else if (a < pool.victims_first + pool.victims) {
        p.role = SpecialRole(kRoleVictim);
        p.per_day = 4;
      } else {
        p.role = SpecialRole(kRoleRelayCustomer);
        p.per_day = 2;
      }
    }
    for (const CampaignSpec& c : scenario_.campaigns) {
      for (const auto& [from, until] : Spans(c, spec)) {
        pool.from_ms = pool.from_ms == 0 ? from : std::min(pool.from_ms, from);
        pool.until_ms = std::max(pool.until_ms, until);
      }
    }
  }
  parallel.For(people_.size(), 4096, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) {
      Person& p = people_[i];
      p.key = Key(seed_, 0xacc0, i);
      Rng r(Key(p.key, 1));
      MakePerson(&p, p.kind, &r);
    }
  });
  MakePools();
  MakeJobs();
  return absl::OkStatus();
}

Manner World::DrawManner(Rng* r, bool web) const {
  Manner m;
  if (web) {
    m.client = static_cast<uint16_t>(catalogue_->Browser(r));
    m.stream = true;
    m.thinking = r->Chance(.3);
    m.sessions = true;
  } else {
    constexpr uint8_t kTemperature[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1,
                                        2, 3, 4, 5, 6, 6, 6, 7, 8, 8, 8};
    constexpr uint8_t kMaxTokens[] = {0, 0, 0, 0, 0, 0, 1, 2, 3, 3, 4, 4, 4, 5, 5, 6, 7, 8, 9};
    m.client = static_cast<uint16_t>(catalogue_->Sdk(r));
    m.temperature = kTemperature[r->Below(sizeof kTemperature)];
    m.top_p = r->Chance(.12) ? static_cast<uint8_t>(1 + r->Below(3)) : 0;
    m.max_tokens = kMaxTokens[r->Below(sizeof kMaxTokens)];
    m.tools = r->Chance(.2) ? static_cast<uint8_t>(1 + r->Below(4)) : 0;
    m.keys = static_cast<uint8_t>(1 + (r->Chance(.25) ? r->Below(3) : 0));
    m.stream = r->Chance(.45);
    m.thinking = r->Chance(.35);
    m.sessions = r->Chance(.3);
  }
  const double u = r->Unit() * base_shares_.back();
  while (base_shares_[m.model] <= u) ++m.model;
  return m;
}

void World::MakePerson(Person* p, uint8_t kind, Rng* r) const {
  const KindInfo& k = Kinds()[kind];
  const bool innocent = p->role < Kinds().size();
  p->language = static_cast<uint8_t>(DrawLanguage(r));
  p->noon = static_cast<float>(14 - ZoneOf(p->language, r) + 1.6 * r->Normal());
  for (uint8_t& t : p->topics) t = static_cast<uint8_t>(r->Below(grammar_.topics()));
  const auto& asks = kind_asks_[kind];
  for (uint8_t& a : p->asks) a = asks[r->Below(static_cast<uint32_t>(asks.size()))];
  p->manner = DrawManner(r, k.web);
  p->network = k.network;
  if (k.network == Network::kHosting && k.unit == 0 && r->Chance(.35)) p->network = Network::kHome;
  const double own_forms = r->Unit();
  if (k.frame == Frame::kAccountForm || own_forms < (k.habit == Habit::kJobs && k.unit == 0 ? .5
                                                     : k.web                                ? 0
                                                             : .12)) {
    p->form = static_cast<uint8_t>(1 + r->Below(3));
  }
  if (!k.web && r->Chance(.35)) p->systems = static_cast<uint8_t>(1 + r->Below(3));
  p->turns = k.habit == Habit::kJobs || k.habit == Habit::kNightly || k.habit == Habit::kLaunch
                 ? 1.F
             : k.web                      ? 2.2F
             : k.frame == Frame::kHarness ? 4.F
             : r->Chance(.55)             ? 1.F
                                          : 2.5F;
  switch (k.frame) {  // published programs bring their client and settings along
    case Frame::kTool: {
      const uint32_t tool = std::min(r->Below(kTools), r->Below(kTools));
      p->unit = tool;
      p->manner.client = static_cast<uint16_t>(catalogue_->browser_end + tool);
      p->manner.temperature = static_cast<uint8_t>(1 + tool % 8);
      p->manner.max_tokens = static_cast<uint8_t>(3 + tool % 4);
      p->manner.tools = 2;
      break;
    }
    case Frame::kHarness: {
      const uint32_t harness =
          static_cast<uint32_t>((p->unit != kNone32 ? UnitKey(p->unit) : p->key) >> 9) % kHarnesses;
      p->manner.client = static_cast<uint16_t>(catalogue_->tool_end + harness);
      p->manner.temperature = 8;
      p->manner.max_tokens = static_cast<uint8_t>(6 + harness % 3);
      p->manner.tools = 4;
      p->manner.stream = p->manner.sessions = true;
      p->form = 0;
      p->systems = static_cast<uint8_t>(harness);
      break;
    }
    case Frame::kPublicJudge:
    case Frame::kPublicReasoning:
      p->unit = std::min(r->Below(kPublic), r->Below(kPublic));
      p->form = 0;
      if (r->Chance(.6)) p->manner.temperature = 1;
      if (k.frame == Frame::kPublicJudge && r->Chance(.5)) p->manner.max_tokens = 1;
      break;
    default:
      break;
  }
  // Some join within the window; their rate is that of days in use, so totals keep to the scenario.
  const double minutes = double{kMinutesPerDay} * scenario_.days;
  p->from_min = 0;
  p->until_min = static_cast<int32_t>(minutes);
  const bool joins = r->Chance(kNewShare);
  const double when = r->Uniform(0, .8);
  const bool dated = k.habit == Habit::kClass || k.habit == Habit::kLaunch ||
                     k.habit == Habit::kEvent || k.habit == Habit::kNightly;
  if (joins && !dated && p->role != SpecialRole(kRoleVictim))
    p->from_min = static_cast<int32_t>(minutes * when);
  if (innocent || p->per_day > 0) {
    const double used = dated ? 1 : 1 - kNewShare * .4;
    p->per_day = static_cast<float>(p->per_day * r->LogNormal(k.sigma) / used);
    p->per_day = std::min(p->per_day, static_cast<float>(kPerAccountDayMax));
  }
  if (p->pool == kNone16) return;
  // Operators' accounts come into use with their pool.
  const PoolSpec& spec = scenario_.pools[p->pool];
  const Pool& pool = pools_[p->pool];
  const double first = static_cast<double>(pool.from_ms - scenario_.start_ms) / kMsPerMinute;
  const double last = static_cast<double>(pool.until_ms - scenario_.start_ms) / kMsPerMinute;
  const bool victim = p->role == SpecialRole(kRoleVictim);
  if (!victim) p->infrastructure = r->Chance(spec.infrastructure);
  if (p->role == SpecialRole(kRoleCampaign) || p->role == SpecialRole(kRoleRelayPool)) {
    const bool late = joins && !spec.account_age_days;
    p->from_min = static_cast<int32_t>(
        first + (late             ? (last - first) * when
                 : spec.own_hours ? 0
                                  : std::min(.1 * (last - first), r->Exponential(600))));
    p->until_min = static_cast<int32_t>(last);
    if (p == &people_[pool.first]) p->from_min = static_cast<int32_t>(first);
  }
}

int World::ModelAt(const Person& p, const Manner& m, int64_t ts) const {
  int model = base_models_[m.model];
  for (size_t i = 0; i < scenario_.models.size(); ++i) {
    const int64_t released = scenario_.models[i].released_ms;
    if (released == 0 || ts < released) continue;
    Rng r(Key(p.key, 0xad09, i));
    const bool launch = Kinds()[p.kind].habit == Habit::kLaunch;
    if (launch || (r.Chance(.6) &&
                   ts > released + static_cast<int64_t>(r.Exponential(9 * double{kMsPerDay}))))
      model = static_cast<int>(i);
  }
  return model;
}

// --- addresses

uint32_t World::Home(uint64_t house, int day) const {
  const int lease = 4 + static_cast<int>(house >> 20 & 63);  // days
  return Ipv4(Key(seed_ ^ 0x40e5, house, static_cast<uint64_t>((day + 400) / lease)));
}

uint32_t World::Carrier(uint64_t which, int64_t ts) const {
  // A carrier has twelve addresses and changes them for a customer every few hours.
  const uint64_t carriers = carriers_.size() / 12;
  const uint64_t slot = Key(which, static_cast<uint64_t>(ts / (6 * kMsPerHour))) % 12;
  return carriers_[which % carriers * 12 + slot];
}

uint32_t World::Vpn(uint64_t which) const { return vpns_[which % vpns_.size()]; }

uint32_t World::Address(const Person& p, int64_t ts, uint64_t draw) const {
  Rng r(draw);
  const int day = static_cast<int>((ts - scenario_.start_ms) / kMsPerDay);
  if (p.pool != kNone16 && p.infrastructure &&
      (p.role != SpecialRole(kRoleRelayCustomer) || r.Chance(.3))) {
    const Pool& pool = pools_[p.pool];
    const uint64_t n = pool.exits.size();
    // A few exits of its own for some days, now and then another.
    const uint64_t which =
        r.Chance(.1) ? r.Next() : Key(p.key, static_cast<uint64_t>(day / 6), r.Below(3));
    return pool.exits[which % n];
  }
  uint64_t house = p.key >> 3;
  if ((p.key & 7) == 0)
    house = Key(
        seed_, 0x405e,
        (p.key >> 3) % std::max<size_t>(1, people_.size() / 20));  // a household of two or three
  switch (p.network) {
    case Network::kHome:
      break;
    case Network::kHosting: {
      if ((p.key >> 8 & 15) == 0) return egresses_[Key(p.key, r.Below(2)) % egresses_.size()];
      const uint32_t n = 1 + static_cast<uint32_t>(p.key >> 12 & 1);
      return Ipv4(Key(p.key, 0x4057, r.Below(n)));
    }
    case Network::kOffice:
      if (r.Chance(.85)) return Ipv4(Key(UnitKey(p.unit), 0x0ff1, r.Below(2)));
      break;
    case Network::kCarrier:
      return Carrier(UnitKey(p.unit), ts + static_cast<int64_t>(p.key % 7) * kMsPerHour);
    case Network::kCampus:
      if (r.Chance(.75)) return Ipv4(Key(UnitKey(p.unit), 0xca2b, r.Below(3)));
      break;
    case Network::kVpn:
      if (r.Chance(.8)) return Vpn(Key(p.key, static_cast<uint64_t>(day / 2)));
      break;
  }
  if (r.Chance(.08)) return Carrier(p.key >> 5, ts);  // on the way
  return Home(house, day);
}

// --- pools and campaigns

// When campaign c works through pool p, to a quarter of an hour.
std::vector<std::pair<int64_t, int64_t>> World::Spans(const CampaignSpec& c,
                                                      const PoolSpec& p) const {
  constexpr int64_t kQuarter = 15 * 60'000;
  if (std::find(c.pools.begin(), c.pools.end(), p.name) == c.pools.end()) return {};
  int64_t from = c.from_ms,
          until = p.banned_ms != 0 ? std::min(c.until_ms, p.banned_ms) : c.until_ms;
  for (const PoolSpec& before : scenario_.pools) {
    if (before.failover == p.name)
      from = std::max(from, before.banned_ms +
                                static_cast<int64_t>(before.failover_hours * double{kMsPerHour}));
  }
  from = (from + kQuarter - 1) / kQuarter * kQuarter;
  until = until / kQuarter * kQuarter;
  if (from >= until) return {};
  return {{from, until}};
}

void World::MakePools() {
  for (size_t i = 0; i < pools_.size(); ++i) {
    const PoolSpec& spec = scenario_.pools[i];
    Pool& pool = pools_[i];
    Rng r(Key(seed_, 0x9001, i));
    const bool web = false;
    pool.manner = DrawManner(&r, web);
    pool.weight.resize(pool.accounts);
    for (float& w : pool.weight) w = static_cast<float>(r.LogNormal(spec.spread));
    pool.plain = !spec.own_hours;
    const size_t exits = static_cast<size_t>(
        std::clamp(spec.addresses * static_cast<double>(spec.accounts), 4., double{kExitsMax}));
    for (size_t e = 0; e < exits; ++e) {
      // Residential proxies sit in strangers' homes and phones, others are rented by anybody.
      const double u = r.Unit();
      if (u < .08)
        pool.exits.push_back(vpns_[r.Below(static_cast<uint32_t>(vpns_.size()))]);
      else if (u < .18)
        pool.exits.push_back(carriers_[r.Below(static_cast<uint32_t>(carriers_.size()))]);
      else if (u < .33 && first_operator_ > 0) {
        const Person& host = people_[r.Below(first_operator_)];
        pool.exits.push_back(
            Address(host, pool.from_ms + static_cast<int64_t>(r.Below(86'400'000)), r.Next()));
      } else
        pool.exits.push_back(Ipv4(r.Next()));
    }
    const uint32_t domains = 2 + r.Below(3);
    for (uint32_t d = 0; d < domains; ++d) {
      pool.domains.push_back(r.Chance(.6) ? std::string(DisposableMail(&r)) : OwnDomain(r.Next()));
    }
    if (spec.customers > 0) {
      double through = 0;  // harvest through this pool, by its share of account days
      for (const CampaignSpec& c : scenario_.campaigns) {
        double own = 0, all = 0;
        for (const PoolSpec& other : scenario_.pools) {
          for (const auto& [from, until] : Spans(c, other)) {
            const double v =
                static_cast<double>(other.accounts) * static_cast<double>(until - from);
            all += v;
            if (&other == &spec) own += v;
          }
        }
        if (all > 0) through += c.exchanges * own / all;
      }
      const double days =
          std::max(1., static_cast<double>(pool.until_ms - pool.from_ms) / double{kMsPerDay});
      pool.customers_day = through * spec.customers / (1 - spec.customers) / days;
      pool.customers = static_cast<uint32_t>(std::clamp(pool.customers_day * days / 60, 12., 5e6));
    }
  }
  // Whoever rents the next pool often goes back to the same proxies and mail domains.
  for (size_t i = 0; i < pools_.size(); ++i) {
    for (size_t j = 0; j < pools_.size(); ++j) {
      if (scenario_.pools[i].failover != scenario_.pools[j].name) continue;
      Rng r(Key(seed_, 0x9002, j));
      for (uint32_t& exit : pools_[j].exits) {
        const auto& before = pools_[i].exits;
        if (r.Chance(.15)) exit = before[r.Below(static_cast<uint32_t>(before.size()))];
      }
      if (r.Chance(.5)) pools_[j].domains[0] = pools_[i].domains[0];
    }
  }
}

void World::MakeJobs() {
  const int minutes = kMinutesPerDay * scenario_.days;
  jobs_.resize(scenario_.campaigns.size());
  tallies_.resize(jobs_.size());
  for (size_t i = 0; i < jobs_.size(); ++i) {
    const CampaignSpec& c = scenario_.campaigns[i];
    Job& job = jobs_[i];
    job.key = Key(seed_, 0xca3b, i);
    Rng r(job.key);
    job.method = FindMethod(c.method);
    tallies_[i].seen.resize(people_.size() - first_operator_);
    for (const std::string& name : c.pools) {
      for (size_t p = 0; p < scenario_.pools.size(); ++p) {
        if (scenario_.pools[p].name == name) job.pools.push_back(static_cast<uint16_t>(p));
      }
    }
    if (c.asks.empty()) {
      for (size_t at = 0; at < job.method->asks.size();) {
        const size_t space = std::min(job.method->asks.find(' ', at), job.method->asks.size());
        job.asks.push_back(static_cast<uint8_t>(FindAsk(job.method->asks.substr(at, space - at))));
        at = space + 1;
      }
    } else {
      for (const std::string& a : c.asks) job.asks.push_back(static_cast<uint8_t>(FindAsk(a)));
    }
    job.mean_turns = job.method->conversation ? 2.4 : 1;
    job.probes =
        static_cast<uint64_t>(std::llround(std::min(c.probing_exchanges, c.exchanges * .5)));
    job.main = static_cast<uint64_t>(
        std::llround((c.exchanges - static_cast<double>(job.probes)) / job.mean_turns));
    job.thinking = c.replay > 0 || r.Chance(.4);
    job.manner_count = static_cast<int>(1 + r.Below(3));
    job.manners[0] = DrawManner(&r, false);
    for (size_t m = 1; m < job.manners.size(); ++m) {  // one harvester, run from several places
      job.manners[m] = job.manners[0];
      job.manners[m].client = static_cast<uint16_t>(catalogue_->Sdk(&r));
    }
    for (Manner& m : job.manners) m.thinking = job.thinking;
    job.answer = grammar_.Find(job.method->answer);

    // Its words: one choice of clauses, and paraphrases that choose some of them again.
    job.chinese_from = 0;
    if (!job.method->scaffold.empty() && c.scaffold != "none") {
      const auto word = [&](Grammar::Symbol symbol, uint64_t key) {
        const uint32_t topic = Rng(key).Below(grammar_.topics());
        for (uint32_t w = 0; w < c.wordings; ++w) {
          Text t;
          grammar_.ExpandClauses(
              symbol, topic, Key(key, 1),
              [&](uint32_t clause) {
                const bool again = w > 0 && Rng(Key(key, 7 + w, clause)).Chance(c.reworded);
                return again ? Key(key, 1000 + w, clause) : Key(key, 2, clause);
              },
              &t);
          const std::string text(t.view());
          const size_t mark = std::min(text.find(kItemMark), text.size());
          Wording wording{
              text.substr(0, mark), mark < text.size() ? text.substr(mark + 1) : "", {}};
          if (c.scaffold == "system") wording.system = wording.before + wording.after;
          job.wordings.push_back(std::move(wording));
        }
      };
      word(grammar_.Find(job.method->scaffold), Key(job.key, 0x3c1));
      job.chinese_from = static_cast<uint32_t>(job.wordings.size());
      const Grammar::Symbol chinese = grammar_.Find(StrCat(job.method->scaffold, ".zh"));
      if (chinese != Grammar::kNone && c.chinese > 0) word(chinese, Key(job.key, 0x3c2));
    }

    // The queue: shifts of hours and pauses, minutes of rush, growth; spread evenly by jitter.
    std::vector<float> rate(static_cast<size_t>(minutes), 0);
    std::vector<bool> open(static_cast<size_t>(minutes), false);
    for (const uint16_t p : job.pools) {
      for (const auto& [from, until] : Spans(c, scenario_.pools[p])) {
        for (int64_t m = (from - scenario_.start_ms) / 60'000;
             m < (until - scenario_.start_ms) / 60'000; ++m)
          open[static_cast<size_t>(m)] = true;
      }
    }
    const double begin = static_cast<double>(c.from_ms - scenario_.start_ms) / kMsPerMinute;
    const double end = static_cast<double>(c.until_ms - scenario_.start_ms) / kMsPerMinute;
    job.probe_from = begin;
    job.probe_until = begin + c.probing_days * kMinutesPerDay;
    double t = begin;
    bool on = true;
    while (t < end) {
      const double length = on ? 15 + r.Exponential(190) : 10 + r.Exponential(140);
      const double level = r.Uniform(.5, 1.6);
      for (int m = static_cast<int>(t); m < std::min<double>(minutes, std::min(end, t + length));
           ++m) {
        const double rush = r.Chance(.04) ? r.Uniform(1.5, 4) : r.Uniform(.7, 1.3);
        rate[static_cast<size_t>(m)] =
            static_cast<float>(c.jitter + (1 - c.jitter) * (on ? level * rush * 1.7 : .02));
      }
      t += length;
      on = !on;
    }
    double sum = 0;
    for (int m = 0; m < minutes; ++m) {
      double v =
          open[static_cast<size_t>(m)] && m >= begin && m < end ? rate[static_cast<size_t>(m)] : 0;
      if (c.ramp > 0) v *= std::min(1., (m - begin + 60) / (c.ramp * (end - begin)));
      if (job.probes > 0 && m < job.probe_until)
        v *= .02;  // little else before the winners are known
      sum += v;
      rate[static_cast<size_t>(m)] = static_cast<float>(v);
    }
    double total = 0;
    for (float& v : rate) {
      total += v;
      v = static_cast<float>(total / sum);
    }
    rate.back() = 1;
    job.rate = std::move(rate);
  }
}

double World::Expected() const {
  double n = 0;
  for (const PopulationSpec& p : scenario_.populations)
    n += static_cast<double>(p.accounts) * p.per_day * scenario_.days;
  for (const CampaignSpec& c : scenario_.campaigns) n += c.exchanges;
  for (const Pool& p : pools_)
    n += p.customers_day * static_cast<double>(p.until_ms - p.from_ms) / double{kMsPerDay};
  return n * made_ / scenario_.days;
}

// --- a day

void World::Push(int day, int64_t ts, uint32_t account, uint64_t ref,
                 std::vector<Event>* out) const {
  if (ts >= scenario_.end_ms()) return;
  const int64_t at =
      ts - (scenario_.start_ms + day * kMsPerDay) + LogDelay(seed_, UidOf(account, ref));
  if (at < 0 || at > INT32_MAX) return;
  out->push_back({static_cast<uint32_t>(at), account, ref});
}

// One day of a life: emit(ts, session, turn), sessions in no order. `more`: how many times as many
// sessions as the rate asks for, where some of them will be dropped; habits stay those of the rate.
template <typename F>
void World::Live(const Person& p, int day, double per_day, double more, Rng* rng, F&& emit) const {
  Rng& r = *rng;
  const KindInfo& k = Kinds()[p.kind];
  const int64_t day_ms = scenario_.start_ms + day * kMsPerDay;
  const int weekday = static_cast<int>((day_ms / kMsPerDay + 4) % 7);  // 0: Sunday
  const bool weekend = weekday == 0 || weekday == 6;
  const double rate = per_day * (k.business ? (weekend ? .43 : 1.228) : weekend ? .888 : 1.045);
  uint32_t session = 0;
  const auto begin_session = [&](double hour, double turns) {
    if (session >= kSessionsMax) return;
    int64_t ts = day_ms + static_cast<int64_t>(hour * double{kMsPerHour});
    const uint32_t n = std::min<uint32_t>(r.Geometric(turns), static_cast<uint32_t>(kTurnsMax));
    for (uint32_t i = 0; i < n; ++i) {
      const int64_t minute = (ts - scenario_.start_ms) / 60'000;
      if (minute >= p.from_min && minute < p.until_min) emit(ts, session, i);
      ts += 6'000 + static_cast<int64_t>(r.Exponential(80'000));
    }
    ++session;
  };
  const auto wrap = [](double hour) { return hour - 24 * std::floor(hour / 24); };
  Habit habit = k.habit;
  int releases = 0;
  if (habit == Habit::kLaunch) {
    for (const ModelSpec& m : scenario_.models) releases += m.released_ms != 0;
    if (releases == 0) habit = Habit::kPerson;
  }
  switch (habit) {
    case Habit::kPerson: {
      const double sessions = rate / p.turns;
      const double active = std::min(std::min(.8, .12 + .12 * rate), sessions);
      if (!r.Chance(active)) return;
      const uint32_t n = 1 + r.Poisson(sessions / active * more - 1);
      for (uint32_t i = 0; i < n; ++i) begin_session(wrap(p.noon + 3.3 * r.Normal()), p.turns);
      break;
    }
    case Habit::kService: {
      const uint32_t n = r.Poisson(rate / p.turns);
      for (uint32_t i = 0; i < n; ++i) {
        double hour;
        do hour = 24 * r.Unit();
        while (r.Unit() * 1.7 > 1 + .7 * std::cos((hour - p.noon) * 2 * M_PI / 24));
        begin_session(hour, p.turns);
      }
      break;
    }
    case Habit::kJobs: {
      constexpr double kDays = .35;
      if (!r.Chance(kDays)) return;
      const uint32_t n = r.Poisson(rate / kDays * more), runs = r.Chance(.5) ? 2 : 1;
      double start[2], length[2];
      for (uint32_t i = 0; i < runs; ++i) {
        start[i] = r.Chance(.5) ? wrap(p.noon + 4 * r.Normal()) : 24 * r.Unit();
        length[i] = r.Uniform(.4, 5);
      }
      for (uint32_t i = 0; i < n; ++i)
        begin_session(start[i % runs] + length[i % runs] * r.Unit(), 1);
      break;
    }
    case Habit::kNightly: {
      if (!r.Chance(.97)) return;
      const uint32_t n = std::max(4u, static_cast<uint32_t>(p.per_day + .5F));
      const double start = (p.key >> 7 & 255) / 16. + r.Uniform(0, .15),
                   length = .2 + (p.key >> 15 & 15) / 16.;
      for (uint32_t i = 0; i < n; ++i) begin_session(start + length * (i + r.Unit()) / n, 1);
      break;
    }
    case Habit::kClass: {
      const uint64_t unit = UnitKey(p.unit);
      const int meets = 1 + static_cast<int>(unit >> 5 & 1), first = 1 + static_cast<int>(unit % 5);
      const bool today = weekday == first || (meets == 2 && weekday == 1 + (first + 1) % 5);
      if (!today || !r.Chance(.85)) return;
      const double mean = p.per_day * 7 / meets / .85;
      const uint32_t n =
          std::min(8u, static_cast<uint32_t>(mean) + r.Chance(mean - std::floor(mean)));
      const double hour =
          wrap(Rng(unit).Uniform(8, 17) - ZoneOf(static_cast<int>(unit % kLanguageCount), &r) / 3);
      for (uint32_t i = 0; i < n; ++i) begin_session(hour + 1.4 * r.Unit(), 1);
      break;
    }
    case Habit::kLaunch: {
      for (const ModelSpec& m : scenario_.models) {
        if (m.released_ms == 0) continue;
        const double since = static_cast<double>(day_ms - m.released_ms) / double{kMsPerHour};
        if (since <= -24 || since >= 24) continue;  // the day itself and the next
        const double share = since < 0 ? .7 : .3;
        const uint32_t n = r.Poisson(p.per_day * scenario_.days / releases * share);
        for (uint32_t i = 0; i < n; ++i)
          begin_session(since < 0 ? -since + r.Unit() * (24 + since) : 24 * r.Unit(), 1);
      }
      break;
    }
    case Habit::kEvent: {
      const int event = static_cast<int>(UnitKey(p.unit) %
                                         static_cast<uint64_t>(std::max(1, scenario_.days - 1)));
      if (day != event && day != event + 1) return;
      const uint32_t n = r.Poisson(p.per_day * scenario_.days / 2 / p.turns);
      for (uint32_t i = 0; i < n; ++i) begin_session(r.Uniform(8, 23.5), p.turns);
      break;
    }
  }
}

void World::PlanPerson(uint32_t account, int day, std::vector<Event>* out) const {
  const Person& p = people_[account];
  if (p.per_day <= 0 || (day + 1) * kMinutesPerDay <= p.from_min ||
      day * kMinutesPerDay >= p.until_min)
    return;
  Rng r(Key(p.key, 0xda1, static_cast<uint64_t>(day)));
  Live(p, day, p.per_day, 1, &r, [&](int64_t ts, uint32_t session, uint32_t turn) {
    Push(day, ts, account, InnocentRef(day, session, turn), out);
  });
}

const World::Roster& World::PoolDay::At(int64_t ms_of_day) const {
  return roster.size() == 1 ? roster[0] : roster[static_cast<size_t>(ms_of_day / 900'000)];
}

void World::PlanPool(uint16_t which, int day, PoolDay* out) const {
  const PoolSpec& spec = scenario_.pools[which];
  const Pool& pool = pools_[which];
  const int64_t day_ms = scenario_.start_ms + day * kMsPerDay;
  if (pool.until_ms <= day_ms || pool.from_ms >= day_ms + kMsPerDay) return;
  // Accounts come into use in the course of a day, so only a day without such is the same all day.
  out->roster.resize(pool.plain ? 24 : kQuarters);
  const double quarter = kMinutesPerDay / static_cast<double>(out->roster.size());
  for (uint32_t i = 0; i < pool.accounts; ++i) {
    const uint32_t account = pool.first + i;
    const Person& p = people_[account];
    Rng r(Key(p.key, 0xda2, static_cast<uint64_t>(day)));
    if (!r.Chance(spec.duty_cycle)) continue;
    double start[3] = {}, length[3] = {};
    int windows = 1;
    if (pool.plain) {
      length[0] = kMinutesPerDay;
    } else {
      windows = static_cast<int>(1 + r.Below(3));
      for (int w = 0; w < windows; ++w) {
        double hour = p.noon + 3.3 * r.Normal();
        hour -= 24 * std::floor(hour / 24);
        start[w] = hour * 60;
        length[w] = 60 * r.Uniform(.4, 3);
      }
    }
    const double from = p.from_min - day * kMinutesPerDay,
                 until = p.until_min - day * kMinutesPerDay;
    size_t done = 0;  // windows may overlap: a quarter counts once
    std::sort(start, start + windows);
    for (int w = 0; w < windows; ++w) {
      const double a = std::max(start[w], from);
      const double b = std::min(start[w] + length[w], until);
      for (size_t q = std::max(done, static_cast<size_t>(std::max(0., std::ceil(a / quarter))));
           q < out->roster.size() && static_cast<double>(q) * quarter < b; ++q) {
        Roster& roster = out->roster[q];
        roster.sum.push_back(roster.total() + pool.weight[i]);
        roster.who.push_back(account);
        done = q + 1;
      }
    }
  }
  // Stolen keys are used for some days.
  for (uint32_t i = 0; i < pool.victims; ++i) {
    const uint32_t account = pool.victims_first + i;
    Rng r(Key(people_[account].key, 0x57, 1));
    const double days = static_cast<double>(pool.until_ms - pool.from_ms) / double{kMsPerDay};
    const double first =
        static_cast<double>(pool.from_ms - scenario_.start_ms) / double{kMsPerDay} +
        r.Uniform(0, .8) * days;
    if (day < first || day > first + r.Uniform(3, 15)) continue;
    out->victims.sum.push_back(out->victims.total() + .6F);
    out->victims.who.push_back(account);
  }
}

void World::PlanJob(uint16_t campaign, int day, const std::vector<PoolDay>& pools,
                    std::vector<Event>* out) const {
  const CampaignSpec& c = scenario_.campaigns[campaign];
  const Job& job = jobs_[campaign];
  const int64_t day_ms = scenario_.start_ms + day * kMsPerDay;
  if (c.until_ms <= day_ms || c.from_ms >= day_ms + kMsPerDay) return;
  const auto hour_roster = [&](const PoolDay& pd, int64_t ms) -> const Roster& {
    return pd.roster.size() == 24 ? pd.roster[static_cast<size_t>(ms / kMsPerHour)] : pd.At(ms);
  };
  struct Open {
    uint16_t pool;
    int64_t from, until;  // ms of the day
  };
  std::vector<Open> open;
  for (const uint16_t p : job.pools) {
    if (pools[p].roster.empty()) continue;
    for (const auto& [from, until] : Spans(c, scenario_.pools[p]))
      open.push_back({p, from - day_ms, until - day_ms});
  }
  const auto deal = [&](int64_t ms, Rng* r) -> uint32_t {
    float total = 0;
    for (const Open& o : open) {
      if (ms < o.from || ms >= o.until) continue;
      total += hour_roster(pools[o.pool], ms).total() + pools[o.pool].victims.total();
    }
    float u = static_cast<float>(r->Unit()) * total;
    const Open* any = nullptr;
    for (const Open& o : open) {
      if (ms < o.from || ms >= o.until) continue;
      any = &o;
      for (const Roster* roster : {&hour_roster(pools[o.pool], ms), &pools[o.pool].victims}) {
        if (roster->total() > u) {
          const size_t i = static_cast<size_t>(
              std::upper_bound(roster->sum.begin(), roster->sum.end(), u) - roster->sum.begin());
          return roster->who[std::min(i, roster->who.size() - 1)];
        }
        u -= roster->total();
      }
    }
    // Nobody is at work just now: the queue wakes one up.
    if (any == nullptr) return kNone32;
    const Pool& pool = pools_[any->pool];
    for (int i = 0; i < 16; ++i) {
      const uint32_t account = pool.first + r->Below(pool.accounts);
      if (day_ms + ms >= scenario_.start_ms + people_[account].from_min * int64_t{60'000})
        return account;
    }
    return pool.first;  // in use from the start
  };
  // `n` arrivals of a share of the day, in order: uniform order statistics by exponential gaps.
  const auto arrivals = [&](uint64_t first, uint64_t n, uint64_t label, auto&& when) {
    if (n == 0) return;
    Rng gaps(Key(job.key, label, static_cast<uint64_t>(day)));
    double sum = gaps.Exponential(1);
    for (uint64_t i = 0; i < n; ++i) sum += gaps.Exponential(1);
    gaps = Rng(Key(job.key, label, static_cast<uint64_t>(day)));
    double at = 0;
    for (uint64_t i = 0; i < n; ++i) {
      at += gaps.Exponential(1) / sum;
      const uint64_t k = first + i;
      Rng r(Key(job.key, label + 1, k));
      int64_t ms = static_cast<int64_t>(when(at, &r) * kMsPerMinute);
      uint32_t account = deal(ms, &r);
      if (account == kNone32) continue;
      const uint32_t turns =
          job.mean_turns > 1 && label == 0xa44
              ? std::min<uint32_t>(r.Geometric(job.mean_turns), static_cast<uint32_t>(kTurnsMax))
              : 1;
      for (uint32_t turn = 0; turn < turns; ++turn) {
        Push(day, day_ms + ms, account, HarvestRef(campaign, k, turn), out);
        ms += 6'000 + static_cast<int64_t>(r.Exponential(80'000));
        // Balanced over accounts turn by turn, with the signatures of whoever had the turn before.
        if (c.replay > 0 && ms < kMsPerDay && r.Chance(c.replay)) {
          const uint32_t other = deal(ms, &r);
          if (other != kNone32) account = other;
        }
        bool still = false;
        for (const Open& o : open) still |= ms < o.until && ms >= o.from;
        if (!still) break;  // banned, or over, in the middle
      }
    }
  };
  const float* rate = job.rate.data() + day * kMinutesPerDay;
  const double before = day == 0 ? 0 : rate[-1], after = rate[kMinutesPerDay - 1];
  const auto count = [](double share, uint64_t n) {
    return static_cast<uint64_t>(share * static_cast<double>(n) + .5);
  };
  const uint64_t first = count(before, job.main), last = count(after, job.main);
  const bool pull = std::all_of(job.pools.begin(), job.pools.end(),
                                [&](uint16_t p) { return scenario_.pools[p].own_hours; });
  if (pull)
    PullWork(campaign, day, pools, first, last - first, out);
  else
    arrivals(job.probes + first, last - first, 0xa44, [&](double share, Rng* r) {
      const float want = static_cast<float>(before + share * (after - before));
      const int minute =
          static_cast<int>(std::upper_bound(rate, rate + kMinutesPerDay, want) - rate);
      return std::min(minute, kMinutesPerDay - 1) + r->Unit();
    });
  if (job.probes > 0) {
    const double from = std::max(job.probe_from, double{kMinutesPerDay} * day),
                 until = std::min(job.probe_until, double{kMinutesPerDay} * (day + 1));
    if (until > from) {
      const double length = job.probe_until - job.probe_from;
      const uint64_t a = count((from - job.probe_from) / length, job.probes),
                     b = count((until - job.probe_from) / length, job.probes);
      arrivals(a, b - a, 0xb44, [&](double share, Rng*) {
        return from - double{kMinutesPerDay} * day + share * (until - from);
      });
    }
  }
}

// Accounts that keep hours of their own take work when they are awake, as people do theirs: each
// lives a day by its habit, and the queue's shifts decide which sessions find work.
void World::PullWork(uint16_t campaign, int day, const std::vector<PoolDay>& pools, uint64_t first,
                     uint64_t n, std::vector<Event>* out) const {
  const CampaignSpec& c = scenario_.campaigns[campaign];
  const Job& job = jobs_[campaign];
  if (n == 0) return;
  const int64_t day_ms = scenario_.start_ms + day * kMsPerDay;
  const float* rate = job.rate.data() + day * kMinutesPerDay;
  const double mean = (rate[kMinutesPerDay - 1] - (day == 0 ? 0 : rate[-1])) / kMinutesPerDay;
  constexpr double kPeak = 2.5;  // of the mean; what rushes more than that is cut
  std::vector<float> accept(kMinutesPerDay);
  double accepted = 0;
  for (int m = 0; m < kMinutesPerDay; ++m) {
    const double now = rate[m] - (day + m == 0 ? 0 : rate[m - 1]);
    accept[static_cast<size_t>(m)] = static_cast<float>(std::min(1., now / mean / kPeak));
    accepted += accept[static_cast<size_t>(m)] / kMinutesPerDay;
  }
  struct Worker {
    uint32_t account;
    double weight;
    int64_t from, until;
  };
  std::vector<Worker> workers;
  double weights = 0;
  for (const uint16_t which : job.pools) {
    for (const auto& span : Spans(c, scenario_.pools[which])) {
      const auto add = [&](uint32_t account, double weight) {
        const Person& p = people_[account];
        if ((day + 1) * kMinutesPerDay <= p.from_min || day * kMinutesPerDay >= p.until_min) return;
        workers.push_back({account, weight, span.first, span.second});
        weights += weight;
      };
      const Pool& pool = pools_[which];
      for (uint32_t i = 0; i < pool.accounts; ++i) add(pool.first + i, pool.weight[i]);
      for (const uint32_t victim : pools[which].victims.who) add(victim, .6);
    }
  }
  struct Session {
    uint64_t draw;
    uint32_t begin, end;  // of turns
  };
  struct Turn {
    int64_t ts;
    uint32_t account;
  };
  std::vector<Session> sessions;
  std::vector<Turn> turns;
  // What one life a day does not find is found in another.
  for (uint64_t round = 0; round < 6 && turns.size() < n; ++round) {
    const double wanted = static_cast<double>(n - turns.size());
    for (const Worker& w : workers) {
      const Person& p = people_[w.account];
      const double duty = scenario_.pools[p.pool].duty_cycle;
      Rng r(Key(p.key, 0xda3 + round, static_cast<uint64_t>(day)));
      if (!r.Chance(duty)) continue;
      Rng dice(Key(job.key, p.key, static_cast<uint64_t>(day) << 8 | round));
      const int64_t late = static_cast<int64_t>(dice.Exponential(60'000));
      uint32_t now = kNone32;
      bool taken = false;
      Live(p, day, wanted * w.weight / weights / duty, 1.2 / accepted, &r,
           [&](int64_t ts, uint32_t session, uint32_t) {
             ts += late;
             if (session != now) {
               now = session;
               const int64_t minute = (ts - day_ms) / 60'000;
               taken = minute < kMinutesPerDay && dice.Chance(accept[static_cast<size_t>(minute)]);
               if (taken) sessions.push_back({dice.Next(), static_cast<uint32_t>(turns.size()), 0});
             }
             if (!taken || ts < w.from || ts >= w.until) return;
             turns.push_back({ts, w.account});
             sessions.back().end = static_cast<uint32_t>(turns.size());
           });
    }
  }
  std::sort(sessions.begin(), sessions.end(),
            [](const Session& a, const Session& b) { return a.draw < b.draw; });
  std::vector<Turn> work;
  for (const Session& s : sessions) {
    for (uint32_t t = s.begin; t < s.end && work.size() < n; ++t) work.push_back(turns[t]);
  }
  std::sort(work.begin(), work.end(), [](const Turn& a, const Turn& b) {
    return a.ts != b.ts ? a.ts < b.ts : a.account < b.account;
  });
  for (size_t i = 0; i < work.size(); ++i) {
    const uint64_t k = job.probes + first + i;
    Rng r(Key(job.key, 0xa46, k));
    const uint32_t length =
        job.mean_turns > 1
            ? std::min<uint32_t>(r.Geometric(job.mean_turns), static_cast<uint32_t>(kTurnsMax))
            : 1;
    uint32_t account = work[i].account;
    int64_t ts = work[i].ts;
    for (uint32_t turn = 0; turn < length; ++turn) {
      Push(day, ts, account, HarvestRef(campaign, k, turn), out);
      ts += 6'000 + static_cast<int64_t>(r.Exponential(80'000));
      const Pool& pool = pools_[people_[account].pool];
      if (ts >= pool.until_ms || ts >= c.until_ms) break;
      // Balanced over accounts turn by turn: to whoever is at work next.
      if (c.replay > 0 && i + 1 < work.size() && r.Chance(c.replay)) account = work[i + 1].account;
    }
  }
}

void World::PlanCustomers(uint16_t which, int day, const PoolDay& pd,
                          std::vector<Event>* out) const {
  const Pool& pool = pools_[which];
  if (pool.customers_day <= 0 || pd.roster.empty()) return;
  const int64_t day_ms = scenario_.start_ms + day * kMsPerDay;
  Rng r(Key(seed_ ^ 0xc057, which, static_cast<uint64_t>(day)));
  const double open = static_cast<double>(std::min(pool.until_ms, day_ms + kMsPerDay) -
                                          std::max(pool.from_ms, day_ms)) /
                      double{kMsPerDay};
  constexpr double kTurns = 1.8;
  const uint32_t n = r.Poisson(pool.customers_day * open / kTurns * r.Uniform(.85, 1.15));
  for (uint32_t k = 0; k < n; ++k) {
    const uint32_t customer = CustomerOf(seed_, which, day, k, pool.customers);
    Rng of(Key(seed_ ^ 0xc058, which, customer));
    const int language = DrawLanguage(&of);
    const double noon = 14 - ZoneOf(language, &of);
    double hour = r.Chance(.3) ? 24 * r.Unit() : noon + 3.5 * r.Normal();
    hour -= 24 * std::floor(hour / 24);
    int64_t ms = static_cast<int64_t>(hour * double{kMsPerHour});
    const Roster& roster =
        pd.roster.size() == 24 ? pd.roster[static_cast<size_t>(ms / kMsPerHour)] : pd.At(ms);
    const uint32_t turns =
        std::min<uint32_t>(r.Geometric(kTurns), static_cast<uint32_t>(kTurnsMax));
    const float u = static_cast<float>(r.Unit());
    uint32_t account = pool.first;
    if (!roster.who.empty()) {
      const size_t i = static_cast<size_t>(
          std::upper_bound(roster.sum.begin(), roster.sum.end(), u * roster.total()) -
          roster.sum.begin());
      account = roster.who[std::min(i, roster.who.size() - 1)];
    }
    for (uint32_t turn = 0; turn < turns; ++turn) {
      if (day_ms + ms >= pool.from_ms && day_ms + ms < pool.until_ms)
        Push(day, day_ms + ms, account, CustomerRef(which, day, k, turn), out);
      ms += 6'000 + static_cast<int64_t>(r.Exponential(80'000));
    }
  }
}

DayPlan World::Plan(int day, const base::Parallel& parallel) {
  std::vector<PoolDay> pools(pools_.size());
  parallel.For(pools.size(), 1, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) PlanPool(static_cast<uint16_t>(i), day, &pools[i]);
  });
  constexpr size_t kPeople = 16384;
  const size_t groups = (people_.size() + kPeople - 1) / kPeople;
  const size_t campaigns = jobs_.size(), jobs = campaigns + pools_.size() + groups;
  std::vector<std::vector<Event>> parts(jobs + 1);
  parallel.For(jobs, 1, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) {
      if (i < campaigns)
        PlanJob(static_cast<uint16_t>(i), day, pools, &parts[i]);
      else if (i < campaigns + pools_.size())
        PlanCustomers(static_cast<uint16_t>(i - campaigns), day, pools[i - campaigns], &parts[i]);
      else {
        const size_t first = (i - campaigns - pools_.size()) * kPeople;
        for (size_t a = first; a < std::min(people_.size(), first + kPeople); ++a)
          PlanPerson(static_cast<uint32_t>(a), day, &parts[i]);
      }
    }
  });
  if (parts_ > 1) {
    for (auto& part : parts) std::erase_if(part, [&](const Event& e) { return !Kept(e.account); });
  }
  const int64_t day_ms = scenario_.start_ms + day * kMsPerDay;
  for (size_t i = 0; i < campaigns; ++i) {
    Tally& t = tallies_[i];
    for (const Event& e : parts[i]) {
      const int64_t ts = day_ms + e.at - LogDelay(seed_, UidOf(e.account, e.ref));
      ++t.exchanges;
      t.first_ms = std::min(t.first_ms, ts);
      t.last_ms = std::max(t.last_ms, ts);
      t.seen[e.account - first_operator_] = true;
    }
  }
  parts[jobs] = std::move(carry_);
  carry_.clear();

  // Into minutes; what is logged after midnight waits for its day, unless there is none.
  const bool last = day + 1 == made_;
  DayPlan plan;
  plan.day = day;
  std::vector<size_t> at(kMinutesPerDay + 1, 0);
  const auto minute = [&](const Event& e) {
    return std::min<size_t>(e.at / 60'000, last ? kMinutesPerDay - 1 : kMinutesPerDay);
  };
  for (const auto& part : parts) {
    for (const Event& e : part) ++at[minute(e)];
  }
  size_t sum = 0;
  for (size_t m = 0; m < kMinutesPerDay; ++m) {
    const size_t n = at[m];
    at[m] = sum;
    if (plan.starts.empty() || sum - plan.starts.back() >= kBlockEvents) plan.starts.push_back(sum);
    sum += n;
  }
  plan.starts.push_back(sum);
  plan.events.resize(sum);
  for (auto& part : parts) {
    for (Event e : part) {
      const size_t m = minute(e);
      if (m < kMinutesPerDay) {
        plan.events[at[m]++] = e;
      } else {
        e.at -= static_cast<uint32_t>(kMsPerDay);
        carry_.push_back(e);
      }
    }
    part = {};
  }
  return plan;
}

std::vector<CampaignTruth> World::Truth() const {
  std::vector<CampaignTruth> out;
  for (size_t i = 0; i < jobs_.size(); ++i) {
    const Tally& t = tallies_[i];
    out.push_back({scenario_.campaigns[i].name, scenario_.campaigns[i].operator_name,
                   std::string(jobs_[i].method->capability), t.exchanges,
                   static_cast<uint64_t>(std::count(t.seen.begin(), t.seen.end(), true)),
                   t.first_ms, t.last_ms});
  }
  return out;
}

}  // namespace stillwatch::simulate
