// What must hold of any policy, any accounts and any order, tried on many drawn at random.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <set>

#include "base/hash.h"
#include "base/str.h"
#include "respond/recognise.h"
#include "respond/test_snapshot.h"

namespace stillwatch::respond {
namespace {

using base::StrCat;

using Rng = std::mt19937_64;
size_t Pick(Rng& rng, size_t n) { return static_cast<size_t>(rng() % n); }
bool Chance(Rng& rng, int percent) { return static_cast<int>(rng() % 100) < percent; }

constexpr int kAccounts = 60, kOrgs = 6, kCampaigns = 5;
const char* const kModels[] = {"atlas-4", "atlas-5", "atlas-5-mini", "mini"};
const char* const kCountries[] = {"US", "CA", "FR", "CN", ""};

std::string Account(size_t i) { return StrCat("acct-", i); }

Throttle RandomThrottle(Rng& rng) {
  const int64_t periods[] = {1'000, 60'000, 3'600'000};
  return {static_cast<uint32_t>(1 + Pick(rng, 5)), periods[Pick(rng, 3)],
          static_cast<uint32_t>(1 + Pick(rng, 3)), Per::kAccount};
}

void RandomAct(Rng& rng, bool harsh, Action* action, Throttle* throttle, std::string* reduce_to) {
  *action = static_cast<Action>(1 + Pick(rng, harsh ? 5 : 3));
  if (*action == Action::kThrottle) *throttle = RandomThrottle(rng);
  if (*action == Action::kReduce) *reduce_to = "small";
}

Rule RandomRule(Rng& rng, size_t i, bool recognition) {
  Rule r;
  r.id = StrCat(recognition ? "q" : "r", i);
  Match& m = r.match;
  bool harsh = true;
  if (recognition) {
    m.by = static_cast<uint32_t>(1 + Pick(rng, 7));
    if (m.by == 4) m.containment_min = .6;
    harsh = r.beyond_verify = Chance(rng, 30);
  } else {
    if (Chance(rng, 60)) {
      m.verdicts = Chance(rng, 70) ? 1u : 1u << static_cast<int>(Own::kUnresolved);
      harsh = m.verdicts == 1;
    }
  }
  if (m.verdicts != 0 || recognition) {
    if (Chance(rng, 30)) m.probability_min = .5;
    if (Chance(rng, 20)) m.campaigns = {StrCat("c", Pick(rng, kCampaigns))};
    if (Chance(rng, 20)) r.expires_after_ms = 3 * kDay;
  }
  if (Chance(rng, 30)) m.kycs = static_cast<uint32_t>(1 + Pick(rng, 63));
  if (Chance(rng, 20)) m.org_verified = Chance(rng, 50);
  if (Chance(rng, 30)) m.models = {Chance(rng, 50) ? "atlas-5*" : "mini"};
  if (m.kycs == 0 && m.models.empty() && m.verdicts == 0 && m.by == 0) m.models = {"atlas-4"};
  RandomAct(rng, harsh, &r.action, &r.throttle, &r.reduce_to);
  if (r.action < Action::kReduce) r.beyond_verify = false;
  r.enforce = Chance(rng, 50);
  return r;
}

Policy RandomPolicy(Rng& rng, bool directives) {
  Policy p;
  for (size_t i = 0, n = Pick(rng, 6); i < n; ++i) p.rules.push_back(RandomRule(rng, i, false));
  for (size_t i = 0, n = Pick(rng, 4); i < n; ++i)
    p.recognition.push_back(RandomRule(rng, i, true));
  for (size_t i = 0, n = Pick(rng, 4); i < n; ++i) {
    List l;
    l.name = StrCat("l", i);
    l.kind = i == 0 ? ListKind::kEntities : Chance(rng, 40) ? ListKind::kAllow : ListKind::kDeny;
    l.action = Action::kAllow;
    if (l.kind == ListKind::kDeny) {
      RandomAct(rng, true, &l.action, &l.throttle, &l.reduce_to);
      l.enforce = Chance(rng, 50);
    }
    std::set<std::string> taken;
    for (size_t k = 0; k < 4; ++k) {
      ListEntry e;
      e.kind = Chance(rng, 80) ? EntryKind::kAccount : EntryKind::kOrg;
      e.value = e.kind == EntryKind::kAccount ? Account(Pick(rng, kAccounts))
                                              : StrCat("org-", Pick(rng, kOrgs));
      if (Chance(rng, 30)) e.until_ms = kNow + kDay;
      if (taken.insert(e.value).second) l.entries.push_back(e);
    }
    std::sort(l.entries.begin(), l.entries.end(), [](const auto& a, const auto& b) {
      return std::tie(a.kind, a.value) < std::tie(b.kind, b.value);
    });
    p.lists.push_back(l);
  }
  for (size_t i = 0, n = directives ? Pick(rng, 4) : 0; i < n; ++i) {
    Directive d;
    d.id = StrCat("d", i);
    if (Chance(rng, 70)) d.models = {Chance(rng, 50) ? "atlas-5" : "mini"};
    if (i == 0 && !p.lists.empty() && Chance(rng, 50)) d.lists = {"l0"};
    if (d.lists.empty() || Chance(rng, 50)) {
      d.require = {{Chance(rng, 50) ? "citizenship" : "country", {"ca", "us"}}};
      if (Chance(rng, 30)) d.proof = 1u << static_cast<int>(Kyc::kDocument);
    }
    d.unknown = static_cast<Unknown>(Pick(rng, 3));
    d.action = Chance(rng, 70) ? Action::kDeny : Action::kVerify;
    d.enforce = Chance(rng, 60);
    p.directives.push_back(d);
  }
  if (Chance(rng, 50)) {
    model::Permit permit;
    permit.id = "permit";
    permit.account_ids = {Account(Pick(rng, kAccounts))};
    permit.exchanges_max = 3;
    p.permits.push_back(permit);
  }
  return p;
}

struct World {
  struct Acc {
    std::string id, org, kyc, country, citizenship;
    bool verified;
  };
  std::vector<Acc> accounts;
  std::vector<model::Campaign> campaigns;
  std::vector<std::pair<std::string, std::vector<uint32_t>>> sketches;
  std::vector<std::tuple<std::string, uint64_t, std::string>> replayed;
  std::vector<Overturned> overturned;
};

World RandomWorld(Rng& rng) {
  World w;
  for (size_t i = 0; i < kAccounts; ++i) {
    const size_t org = Pick(rng, kOrgs + 3);
    w.accounts.push_back({Account(i), org < kOrgs ? StrCat("org-", org) : "",
                          KycName(static_cast<Kyc>(Pick(rng, 5))), kCountries[Pick(rng, 5)],
                          kCountries[Pick(rng, 5)], org < 2});
  }
  const char* const verdicts[] = {"distillation", "unresolved", "victim"};
  for (uint32_t c = 0; c < kCampaigns; ++c) {
    model::Campaign campaign =
        Campaign(StrCat("c", c), {}, .5 + .1 * c,
                 c == 4 ? model::Verdict::kUnresolved : model::Verdict::kDistillation);
    campaign.last_seen_ms = kNow - static_cast<int64_t>(Pick(rng, 5)) * kDay;
    for (int k = 0; k < 8; ++k) {
      campaign.members.push_back(Member(Account(Pick(rng, kAccounts)), verdicts[Pick(rng, 3)],
                                        static_cast<double>(Pick(rng, 100)) / 100));
    }
    campaign.templates = {Template(Hashes(c, 12))};
    w.campaigns.push_back(campaign);
    w.sketches.push_back({campaign.id, Hashes(100 + c, 20)});
    w.replayed.push_back({campaign.id, 1000 + c, Account(Pick(rng, kAccounts))});
  }
  if (Chance(rng, 50))
    w.overturned.push_back({Account(Pick(rng, kAccounts)), Chance(rng, 50) ? "c0" : "", kNever});
  return w;
}

std::shared_ptr<const Snapshot> Build(const Policy& policy, World w, Rng* shuffle = nullptr) {
  SnapshotBuilder b(policy);
  std::vector<std::function<void()>> steps;
  for (const auto& a : w.accounts) {
    steps.push_back([&] {
      AccountFacts f;
      f.account_id = a.id;
      f.org_id = a.org;
      f.kyc = a.kyc;
      f.org_verified = a.verified;
      f.country = a.country;
      f.citizenship = a.citizenship;
      b.AddAccount(f);
    });
    steps.push_back([&] { b.AddKey("key-" + a.id, a.id); });
  }
  for (auto& c : w.campaigns) {
    steps.push_back([&] { b.AddCampaign(c); });
    if (shuffle != nullptr) std::shuffle(c.members.begin(), c.members.end(), *shuffle);
  }
  for (const auto& s : w.sketches) {
    steps.push_back([&] { b.AddSketch(s.first, s.second); });
  }
  for (const auto& r : w.replayed) {
    steps.push_back([&] { b.AddReplayed(std::get<0>(r), std::get<1>(r), std::get<2>(r)); });
  }
  for (size_t i = 0; i < 40; ++i) {
    steps.push_back([&b, i] {
      b.AddOrdinary(Account(i), kNow - static_cast<int64_t>(i) * kDay / 10, {},
                    Hashes(static_cast<uint32_t>(i % 3), 12));
    });
  }
  for (const auto& o : w.overturned) steps.push_back([&] { b.AddOverturned(o); });
  if (shuffle != nullptr) std::shuffle(steps.begin(), steps.end(), *shuffle);
  for (const auto& step : steps) step();
  return MustBuild(&b);
}

// A request that owns what it says.
struct Said {
  std::string account, key, org;
  const char* model;
  model::Sketch sketch;
  std::vector<uint64_t> signatures;
  int64_t now;
  Request Get() const {
    Request r;
    r.account_id = account;
    r.api_key_id = key;
    r.org_id = org;
    r.model = model;
    r.sketch = &sketch;
    r.signatures_presented = signatures;
    return r;
  }
};

std::vector<Said> RandomTraffic(Rng& rng, size_t n) {
  std::vector<Said> out;
  for (size_t i = 0; i < n; ++i) {
    Said s;
    if (Chance(rng, 80))
      s.account = Account(Pick(rng, kAccounts + 5));
    else
      s.key = "key-" + Account(Pick(rng, kAccounts));
    if (Chance(rng, 20)) s.org = StrCat("org-", Pick(rng, kOrgs + 2));
    s.model = Chance(rng, 5) ? "" : kModels[Pick(rng, 4)];
    if (Chance(rng, 40))
      s.sketch = SketchOf(Hashes(static_cast<uint32_t>(Pick(rng, 8)), 12));
    else if (Chance(rng, 40))
      s.sketch = SketchOf(Hashes(100 + static_cast<uint32_t>(Pick(rng, 8)), 20));
    if (Chance(rng, 20)) s.signatures = {1000 + Pick(rng, 8)};
    s.now = kNow + static_cast<int64_t>(i) * 500;
    out.push_back(std::move(s));
  }
  return out;
}

bool Same(const Outcome& a, const Outcome& b) {
  return a.action == b.action && a.reason == b.reason && a.rule == b.rule &&
         a.campaign == b.campaign && a.reduce_to == b.reduce_to && a.probability == b.probability &&
         a.expires_ms == b.expires_ms && a.retry_after_s == b.retry_after_s;
}

std::string Text(const Outcome& o) {
  return StrCat(std::string_view(ActionName(o.action)), " ", std::string_view(ReasonName(o.reason)),
                " ", o.rule, " ", o.campaign);
}

TEST(Property, PoliciesReadBackFromTheirCanonicalForm) {
  Rng rng(1);
  for (int i = 0; i < 300; ++i) {
    const Policy p = RandomPolicy(rng, true);
    const auto again = ParsePolicy(p.Canonical(), "canonical");
    ASSERT_TRUE(again.ok()) << again.status() << p.Canonical();
    EXPECT_EQ(again->Canonical(), p.Canonical());
  }
}

TEST(Property, OrderOfInputDoesNotMatter) {
  Rng rng(2);
  for (int i = 0; i < 60; ++i) {
    const Policy p = RandomPolicy(rng, true);
    const World w = RandomWorld(rng);
    const auto a = Build(p, w), b = Build(p, w, &rng);
    ASSERT_EQ(a->info().fingerprint, b->info().fingerprint);
    ASSERT_EQ(a->info().bytes, b->info().bytes);
    Counters ca(1024), cb(1024);
    for (const Said& s : RandomTraffic(rng, 200)) {
      const Decision x = Decide(*a, s.Get(), s.now, &ca), y = Decide(*b, s.Get(), s.now, &cb);
      ASSERT_TRUE(Same(x, y) && Same(x.shadowed, y.shadowed) && x.appeal == y.appeal);
    }
  }
}

TEST(Property, AFingerprintTellsWorldsApart) {
  Rng rng(3);
  const Policy p = RandomPolicy(rng, true);
  World w = RandomWorld(rng);
  const uint64_t before = Build(p, w)->info().fingerprint;
  w.campaigns[0].members[0].probability += .005;
  EXPECT_NE(Build(p, w)->info().fingerprint, before);
}

TEST(Property, WhatIsWatchedNeverChangesWhatIsDone) {
  Rng rng(4);
  size_t acted = 0, shadowed = 0;
  for (int i = 0; i < 200; ++i) {
    const Policy p = RandomPolicy(rng, true);
    Policy enforced = p;  // without all that is only watched
    const auto watched = [](const auto& x) { return !x.enforce; };
    std::erase_if(enforced.rules, watched);
    std::erase_if(enforced.recognition, watched);
    std::erase_if(enforced.directives, watched);
    std::erase_if(enforced.lists,
                  [](const List& l) { return l.kind == ListKind::kDeny && !l.enforce; });
    const World w = RandomWorld(rng);
    const auto a = Build(p, w), b = Build(enforced, w);
    Counters ca(1024), cb(1024);
    for (const Said& s : RandomTraffic(rng, 200)) {
      const Decision x = Decide(*a, s.Get(), s.now, &ca), y = Decide(*b, s.Get(), s.now, &cb);
      ASSERT_TRUE(Same(x, y)) << Text(x) << " / " << Text(y) << "\n" << p.Canonical();
      acted += x.action != Action::kAllow;
      shadowed += x.shadow;
    }
  }
  EXPECT_GT(acted, 1000u);
  EXPECT_GT(shadowed, 1000u);
}

TEST(Property, TheShadowIsWhatEnforcingAllWouldDo) {
  Rng rng(5);
  for (int i = 0; i < 200; ++i) {
    Policy p = RandomPolicy(rng, true);
    const World w = RandomWorld(rng);
    const auto a = Build(p, w);
    for (Rule& r : p.rules) r.enforce = true;
    for (Rule& r : p.recognition) r.enforce = true;
    for (Directive& d : p.directives) d.enforce = true;
    for (List& l : p.lists) l.enforce = l.kind == ListKind::kDeny;
    const auto b = Build(p, w);
    for (const Said& s : RandomTraffic(rng, 100)) {
      const Decision x = Decide(*a, s.Get(), s.now, nullptr),
                     y = Decide(*b, s.Get(), s.now, nullptr);
      ASSERT_TRUE(Same(x.shadowed, y)) << Text(x.shadowed) << " / " << Text(y);
      ASSERT_FALSE(y.shadow);
    }
  }
}

// Where an account is, and whose citizen, reaches a decision through directives and by no other
// way.
TEST(Property, CountryAndCitizenshipActThroughDirectivesAlone) {
  Rng rng(6);
  size_t differ = 0;
  for (int i = 0; i < 200; ++i) {
    const bool with_directives = i % 2 == 0;
    const Policy p = RandomPolicy(rng, with_directives);
    const World w = RandomWorld(rng);
    World other = w;
    for (auto& a : other.accounts) {
      a.country = kCountries[Pick(rng, 5)];
      a.citizenship = kCountries[Pick(rng, 5)];
    }
    const auto a = Build(p, w), b = Build(p, other);
    if (p.directives.empty()) {
      ASSERT_EQ(a->info().fingerprint, b->info().fingerprint);
    }
    const auto directive = [](const Outcome& o) {
      return o.reason == Reason::kDirective || o.reason == Reason::kDirectiveUnknown;
    };
    for (const Said& s : RandomTraffic(rng, 100)) {
      const Decision x = Decide(*a, s.Get(), s.now, nullptr),
                     y = Decide(*b, s.Get(), s.now, nullptr);
      if (!directive(x) && !directive(y)) {
        ASSERT_TRUE(Same(x, y)) << Text(x) << " / " << Text(y);
      }
      if (!directive(x.shadowed) && !directive(y.shadowed)) {
        ASSERT_TRUE(Same(x.shadowed, y.shadowed));
      }
      differ += !Same(x, y);
    }
  }
  EXPECT_GT(differ, 100u);  // or the test shows nothing
}

// Nothing that a policy can say denies or reduces somebody whom nobody accuses, unless it is by a
// list, a directive, or a rule about no finding at all.
TEST(Property, TheUnaccusedAreNotPunishedForAnothersCampaign) {
  Rng rng(7);
  for (int i = 0; i < 200; ++i) {
    const World w = RandomWorld(rng);
    const auto s = Build(RandomPolicy(rng, true), w);
    for (const Said& said : RandomTraffic(rng, 200)) {
      const Decision d = Decide(*s, said.Get(), said.now, nullptr);
      for (const Outcome& o : {static_cast<const Outcome&>(d), d.shadowed}) {
        if (o.reason != Reason::kCampaign || o.action < Action::kReduce) continue;
        const std::string who = said.account.empty() ? said.key.substr(4) : said.account;
        const auto found = s->Findings(who);
        ASSERT_TRUE(std::any_of(found.begin(), found.end(), [&](const KnownFinding& f) {
          return f.campaign == o.campaign && f.verdict == Own::kDistillation;
        })) << who;
      }
    }
  }
}

TEST(Property, TheIndexFindsWhatAScanOverAllPatternsFinds) {
  Rng rng(8);
  std::vector<Pattern> patterns;
  // Families of variants that share most of their hashes, and requests that nobody shares.
  for (uint32_t family = 0; family < 20; ++family) {
    const auto base = Hashes(family, 20);
    for (int variant = 0; variant < 60; ++variant) {
      std::vector<uint32_t> h;
      for (const uint32_t v : base) {
        if (Chance(rng, 80)) h.push_back(v);
      }
      for (int k = 0; k < 5; ++k) h.push_back(static_cast<uint32_t>(rng()));
      std::sort(h.begin(), h.end());
      h.erase(std::unique(h.begin(), h.end()), h.end());
      patterns.push_back({By::kTemplate, family, h});
    }
  }
  for (uint32_t i = 0; i < 5000; ++i) {
    std::vector<uint32_t> h;
    for (int k = 0; k < 20; ++k) h.push_back(static_cast<uint32_t>(rng()));
    std::sort(h.begin(), h.end());
    patterns.push_back({By::kSketch, i % 20, h});
  }
  const PatternIndex index(patterns);
  size_t truth = 0, found = 0;
  for (int i = 0; i < 3000; ++i) {
    const Pattern& p = patterns[Pick(rng, patterns.size())];
    std::vector<uint32_t> turn;
    for (const uint32_t v : p.hashes) {
      if (Chance(rng, 85)) turn.push_back(v);
    }
    for (size_t k = Pick(rng, 4); k > 0; --k) turn.push_back(static_cast<uint32_t>(rng()));
    std::sort(turn.begin(), turn.end());
    turn.erase(std::unique(turn.begin(), turn.end()), turn.end());
    // (campaign, kind) -> similarity, by looking at all.
    std::map<std::pair<uint32_t, By>, double> all;
    for (const Pattern& q : patterns) {
      std::vector<uint32_t> both;
      std::set_intersection(q.hashes.begin(), q.hashes.end(), turn.begin(), turn.end(),
                            std::back_inserter(both));
      const double common = static_cast<double>(both.size());
      const double similarity =
          q.by == By::kTemplate
              ? common / static_cast<double>(q.hashes.size())
              : common / static_cast<double>(q.hashes.size() + turn.size() - both.size());
      if (both.size() < kCommonMin || similarity < (q.by == By::kTemplate ? .6 : .8)) continue;
      double& best = all[{q.campaign, q.by}];
      best = std::max(best, similarity);
    }
    PatternMatch matches[kMatchesMax];
    const size_t n = index.Find({}, turn, .6, matches);
    truth += all.size();
    for (size_t k = 0; k < n; ++k) {
      const auto it = all.find({matches[k].campaign, matches[k].by});
      ASSERT_NE(it, all.end());  // nothing is told that is not so
      ASSERT_LE(matches[k].similarity, it->second);
      ++found;
    }
  }
  EXPECT_GT(truth, 1500u);
  EXPECT_GE(static_cast<double>(found), .99 * static_cast<double>(truth))
      << found << " of " << truth;
}

}  // namespace
}  // namespace stillwatch::respond
