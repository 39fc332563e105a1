#include "watch/identity.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "base/hash.h"

namespace stillwatch::watch {
namespace {

constexpr uint32_t kNone = ~uint32_t{0};
constexpr double kMostShare = .5;  // of an identity: where it went, if it went anywhere

struct Link {
  uint32_t identity, finding;
  double shared, of_identity;
};

const Sample& Exchanges(const Identity& i) { return i.exchanges; }
const Sample& Exchanges(const Finding& f) { return f.exchanges; }
const Sample& Accounts(const Identity& i) { return i.accounts; }
const Sample& Accounts(const Finding& f) { return f.accounts; }

std::string FreshId(const Finding& f, uint64_t pass, const std::set<std::string>& used) {
  if (!used.contains(f.id)) return f.id;
  static constexpr char kDigits[] = "0123456789abcdef";
  for (uint64_t salt = base::Combine64(base::Hash64(f.id), pass);; salt = base::Mix64(salt + 1)) {
    std::string id = "cmp_";
    for (int shift = 60; shift >= 0; shift -= 4) id += kDigits[salt >> shift & 15];
    if (!used.contains(id)) return id;
  }
}

class Identifier {
 public:
  Identifier(const Identities& before, const std::vector<Finding>& findings)
      : before_(before),
        findings_(findings),
        of_finding_(findings.size(), kNone),
        of_identity_(before.all.size(), kNone) {}

  Step Run() {
    step_.next.passes = before_.passes + 1;
    step_.next.all = before_.all;
    step_.ids.resize(findings_.size());
    links_ = Links([](const auto& x) -> const Sample& { return Exchanges(x); });
    std::erase_if(links_, [&](const Link& l) {
      const Overlap o = Compare(before_.all[l.identity].exchanges, findings_[l.finding].exchanges);
      return std::max(o.ShareOfA(), o.ShareOfB()) < kLinkShare;
    });
    // What goes on.
    Claim(links_, [&](const Link& l) { return before_.all[l.identity].life != Life::kMerged; });
    // What can be told by its accounts alone: nothing of it is found, nothing is known of them.
    std::vector<uint8_t> known_identity(before_.all.size()), known_finding(findings_.size());
    for (const Link& l : links_) known_identity[l.identity] = known_finding[l.finding] = 1;
    std::vector<Link> accounts = Links([](const auto& x) -> const Sample& { return Accounts(x); });
    std::erase_if(accounts, [&](const Link& l) {
      const Overlap o = Compare(before_.all[l.identity].accounts, findings_[l.finding].accounts);
      return known_identity[l.identity] || known_finding[l.finding] ||
             before_.all[l.identity].life == Life::kMerged || o.ShareOfA() < kReturnShare ||
             o.ShareOfB() < kReturnShare;
    });
    Claim(accounts, [](const Link&) { return true; });
    // What comes apart again.
    Claim(links_, [&](const Link& l) {
      return before_.all[l.identity].life == Life::kMerged && l.of_identity >= kMostShare;
    });
    Continue();
    Begin();
    End();
    Forget();
    std::sort(step_.next.all.begin(), step_.next.all.end(),
              [](const Identity& x, const Identity& y) { return x.id < y.id; });
    std::sort(step_.events.begin(), step_.events.end(), [](const Event& x, const Event& y) {
      return std::tie(x.id, x.change) < std::tie(y.id, y.change);
    });
    return std::move(step_);
  }

 private:
  template <typename F>
  std::vector<Link> Links(const F& sample) const {
    std::vector<const Sample*> a, b;
    for (const Identity& i : before_.all) a.push_back(&sample(i));
    for (const Finding& f : findings_) b.push_back(&sample(f));
    std::vector<Link> links;
    for (const auto& [i, f] : Meeting(a, b)) {
      const Overlap o = Compare(*a[i], *b[f]);
      if (o.both > 0) links.push_back({i, f, o.shared, o.ShareOfA()});
    }
    std::sort(links.begin(), links.end(), [&](const Link& x, const Link& y) {
      const Identity &p = before_.all[x.identity], &q = before_.all[y.identity];
      const Finding &f = findings_[x.finding], &g = findings_[y.finding];
      // Of equal shares the same finding's: nothing changes where nothing changed.
      return std::tuple(-x.shared, p.finding_id != f.id, p.born, std::string_view(p.id),
                        std::string_view(f.id)) < std::tuple(-y.shared, q.finding_id != g.id,
                                                             q.born, std::string_view(q.id),
                                                             std::string_view(g.id));
    });
    return links;
  }

  template <typename F>
  void Claim(const std::vector<Link>& links, const F& may) {
    for (const Link& l : links) {
      if (of_identity_[l.identity] != kNone || of_finding_[l.finding] != kNone || !may(l)) continue;
      of_identity_[l.identity] = l.finding;
      of_finding_[l.finding] = l.identity;
    }
  }

  Event Make(const Identity& i, Change change) const {
    Event e;
    e.pass = step_.next.passes;
    e.id = i.id;
    e.change = change;
    e.verdict = i.verdict;
    e.probability = i.probability;
    e.exchanges = i.exchanges.size;
    e.accounts = i.accounts.size;
    e.open = i.open;
    return e;
  }

  void See(const Finding& f, Identity* i) {
    i->finding_id = f.id;
    i->life = Life::kCurrent;
    i->merged_into.clear();
    i->seen = step_.next.passes;
    i->verdict = f.verdict;
    i->probability = f.probability;
    // Findings that nobody needs to look into list no exchanges: the last ones known stay.
    if (!f.exchanges.hashes.empty()) i->exchanges.hashes = f.exchanges.hashes;
    if (!f.accounts.hashes.empty()) i->accounts.hashes = f.accounts.hashes;
    i->exchanges.size = f.exchanges.size;
    i->accounts.size = f.accounts.size;
    i->first_seen_ms = f.first_seen_ms;
    i->last_seen_ms = f.last_seen_ms;
    // Open stays open while it is accused, though the gate may take what grew at a leap for new;
    // a person's word closes it.
    i->open = !f.dismissed && (f.open || (i->open && f.verdict == model::Verdict::kDistillation));
  }

  void Continue() {
    for (uint32_t n = 0; n < before_.all.size(); ++n) {
      if (of_identity_[n] == kNone) continue;
      const Finding& f = findings_[of_identity_[n]];
      const Identity& was = before_.all[n];
      Identity& now = step_.next.all[n];
      See(f, &now);
      step_.ids[of_identity_[n]] = now.id;
      if (was.life == Life::kFaded) step_.events.push_back(Make(now, Change::kReturned));
      if (was.life == Life::kMerged) {
        Event e = Make(now, Change::kSplit);
        e.other = before_.Resolve(was.id);
        now.parent = e.other;
        step_.events.push_back(std::move(e));
      }
      if (was.verdict != now.verdict) {
        Event e = Make(now, Change::kVerdict);
        e.before = was.verdict;
        step_.events.push_back(std::move(e));
      }
      const auto grew = [](uint64_t size, uint64_t told) {
        return static_cast<double>(size) >= kGrewFactor * static_cast<double>(told);
      };
      if (grew(now.exchanges.size, now.told_exchanges) ||
          grew(now.accounts.size, now.told_accounts)) {
        step_.events.push_back(Make(now, Change::kGrew));
        now.told_exchanges = now.exchanges.size;
        now.told_accounts = now.accounts.size;
      }
      if (was.open != now.open)
        step_.events.push_back(Make(now, now.open ? Change::kOpened : Change::kClosed));
    }
  }

  void Begin() {
    std::vector<uint32_t> fresh;
    for (uint32_t f = 0; f < findings_.size(); ++f)
      if (of_finding_[f] == kNone) fresh.push_back(f);
    std::sort(fresh.begin(), fresh.end(),
              [&](uint32_t x, uint32_t y) { return findings_[x].id < findings_[y].id; });
    std::set<std::string> used;
    for (const Identity& i : before_.all) used.insert(i.id);
    for (const uint32_t f : fresh) {
      Identity i;
      i.id = FreshId(findings_[f], step_.next.passes, used);
      used.insert(i.id);
      i.name = findings_[f].name;
      i.born = step_.next.passes;
      See(findings_[f], &i);
      i.told_exchanges = i.exchanges.size;
      i.told_accounts = i.accounts.size;
      // Links are by what they share, most first; what carries on under its own id is a parent.
      for (const Link& l : links_) {
        if (l.finding != f || of_identity_[l.identity] == kNone) continue;
        i.parent = before_.all[l.identity].id;
        break;
      }
      Event e = Make(i, i.parent.empty() ? Change::kNew : Change::kSplit);
      e.other = i.parent;
      step_.events.push_back(std::move(e));
      if (i.open) step_.events.push_back(Make(i, Change::kOpened));
      step_.ids[f] = i.id;
      step_.next.all.push_back(std::move(i));
    }
  }

  void End() {
    for (uint32_t n = 0; n < before_.all.size(); ++n) {
      Identity& now = step_.next.all[n];
      if (of_identity_[n] != kNone || now.life != Life::kCurrent) continue;
      now.life = Life::kFaded;
      for (const Link& l : links_) {
        if (l.identity != n || l.of_identity < kMostShare) continue;
        now.life = Life::kMerged;
        now.merged_into = step_.ids[l.finding];
        break;
      }
      Event e = Make(now, now.life == Life::kMerged ? Change::kMerged : Change::kFaded);
      e.other = now.merged_into;
      step_.events.push_back(std::move(e));
      now.open = false;
    }
  }

  void Forget() {
    std::vector<Identity>& all = step_.next.all;
    if (all.size() <= kIdentitiesMax) return;
    std::vector<std::pair<uint64_t, std::string>> gone;
    for (const Identity& i : all)
      if (i.life != Life::kCurrent) gone.push_back({i.seen, i.id});
    std::sort(gone.begin(), gone.end());
    gone.resize(std::min(gone.size(), all.size() - kIdentitiesMax));
    std::set<std::string> drop;
    for (auto& [seen, id] : gone) drop.insert(std::move(id));
    std::erase_if(all, [&](const Identity& i) { return drop.contains(i.id); });
  }

  const Identities& before_;
  const std::vector<Finding>& findings_;
  std::vector<uint32_t> of_finding_, of_identity_;  // each other's index
  std::vector<Link> links_;                         // by exchanges
  Step step_;
};

}  // namespace

const char* ChangeName(Change c) {
  static constexpr const char* kNames[] = {"new",      "grew",    "merged", "split", "faded",
                                           "returned", "verdict", "opened", "closed"};
  return kNames[static_cast<int>(c)];
}

const Identity* Identities::Find(const std::string& id) const {
  const auto it = std::lower_bound(
      all.begin(), all.end(), id, [](const Identity& i, const std::string& v) { return i.id < v; });
  return it != all.end() && it->id == id ? &*it : nullptr;
}

std::string Identities::Resolve(const std::string& id) const {
  std::string at = id;
  // A merge points to what is current at that time, so that a chain has no cycle longer than all.
  for (size_t steps = 0; steps <= all.size(); ++steps) {
    const Identity* i = Find(at);
    if (i == nullptr || i->life != Life::kMerged) break;
    at = i->merged_into;
  }
  return at;
}

Step Identify(const Identities& before, const std::vector<Finding>& findings) {
  return Identifier(before, findings).Run();
}

}  // namespace stillwatch::watch
