// A decision in process, with a snapshot of a million accounts: by account, by key, by
// organisation, with text; and what it costs to get hold of the snapshot while others are set.
//
// Accounts are asked for in random order, so most requests miss the caches as they would in a
// server. Where each call is timed by itself (median, p99) the clock's own time is in the figures.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/hash.h"
#include "base/str.h"
#include "respond/decide.h"
#include "respond/dry_run.h"
#include "respond/holder.h"
#include "respond/policy.h"
#include "respond/snapshot.h"
#include "sketch/sketcher.h"

namespace {

using namespace stillwatch;
using base::StrCat;

constexpr size_t kAccounts = 1'000'000, kAccused = 25'000, kTemplates = 2'000, kSketches = 100'000;
constexpr size_t kSignatures = 100'000;
constexpr int64_t kNow = 1'781'000'000'000;

constexpr std::string_view kPolicy = R"(
version: 1
directives:
  - {id: order, models: [atlas-5, "atlas-5-2*"], require: {citizenship: [US]}, unknown: allow, enforce: true}
  - {id: annex, models: "*", listed: [entities], unknown: allow, enforce: true}
lists:
  - {name: entities, kind: entities, entries: [{org: nobody}]}
  - {name: friends, kind: allow, entries: [{org: org-1}, {address: 10.0.0.0/8}]}
  - {name: foes, kind: deny, enforce: true, entries: [{address: 198.51.100.0/24}, {address: "2001:db8::/32"}]}
permits:
  - {id: licence, org_id: org-2, exchanges_max: 1000000000}
rules:
  - {id: high, match: {verdict: distillation, tier: high}, action: deny, enforce: true, expires_after: 30d}
  - {id: elevated, match: {verdict: distillation, tier: elevated}, action: reduce, reduce_to: small, enforce: true}
  - {id: brake, match: {verdict: distillation, tier: moderate}, action: throttle, rate: 60/minute, enforce: true}
  - {id: doubtful, match: {verdict: unresolved}, action: observe}
  - {id: victim, match: {verdict: victim}, action: verify}
  - {id: nameless, match: {model: "atlas-5*", kyc: [none, unknown]}, action: verify}
  - {id: free, match: {plan: free, channel: web, model: "atlas-5*"}, action: observe}
recognition:
  - {id: verified, match: {by: [template, sketch], org_verified: true}, action: allow}
  - {id: known, match: {by: [template, sketch], probability_min: 0.95}, action: verify, enforce: true}
  - {id: replay, match: {by: replay}, action: verify, enforce: true}
)";

std::string Text(std::mt19937& rng, size_t bytes) {
  std::string out;
  while (out.size() < bytes) {
    for (size_t n = 2 + rng() % 9; n > 0; --n) out.push_back(static_cast<char>('a' + rng() % 26));
    out += rng() % 8 == 0 ? ". " : " ";
  }
  return out;
}

std::string Account(size_t i) { return StrCat("acct_", base::Mix64(i)); }
std::string Key(size_t i) { return StrCat("key_", base::Mix64(i + kAccounts)); }

model::Campaign CampaignOf(size_t c, const std::vector<std::vector<uint32_t>>& templates) {
  model::Campaign campaign;
  campaign.id = StrCat("cmp_", c);
  campaign.verdict = model::Verdict::kDistillation;
  campaign.probability = .97;
  campaign.last_seen_ms = kNow;
  for (size_t i = c; i < kAccused; i += 20) {
    model::CampaignMember m;
    m.account_id = Account(i * (kAccounts / kAccused));
    m.verdict = i % 10 == 0 ? "victim" : "distillation";
    m.probability = i % 3 == 0 ? .7 : .99;
    campaign.members.push_back(m);
  }
  for (size_t t = c; t < templates.size(); t += 20) {
    campaign.templates.emplace_back();
    campaign.templates.back().hashes = templates[t];
  }
  return campaign;
}

struct World {
  std::shared_ptr<const respond::Snapshot> snapshot;
  std::string scaffold;  // a text that is recognised
  double build_s = 0;    // of Build alone, once all was added
};

const World& TheWorld() {
  static const World world = [] {
    World w;
    std::mt19937 rng(1);
    respond::SnapshotBuilder b(*respond::ParsePolicy(kPolicy, "benchmark"));
    b.ExpectAccounts(kAccounts);
    const char* const kyc[] = {"none", "email", "phone", "document", "business"};
    const char* const plans[] = {"free", "team", "payg", "enterprise"};
    const char* const countries[] = {"US", "CA", "FR", "DE", "BR", "IN", "JP", ""};
    for (size_t i = 0; i < kAccounts; ++i) {
      const std::string account = Account(i), org = StrCat("org-", i / 10), key = Key(i);
      respond::AccountFacts f;
      f.account_id = account;
      f.org_id = org;
      f.kyc = kyc[rng() % 5];
      f.plan = plans[rng() % 4];
      f.channel = rng() % 2 == 0 ? "api" : "web";
      f.country = f.citizenship = countries[rng() % 8];
      f.org_verified = rng() % 10 == 0;
      b.AddAccount(f);
      b.AddKey(key, account);
    }
    sketch::Sketcher sketcher;
    model::Sketch s;
    std::vector<std::vector<uint32_t>> templates;
    w.scaffold = Text(rng, 150);  // what stands at the head of a turn
    sketcher.Sketch({}, w.scaffold, {}, {}, 1, &s);
    templates.push_back(s.turn);
    while (templates.size() < kTemplates) {
      sketcher.Sketch({}, Text(rng, 400), {}, {}, 1, &s);
      templates.push_back(s.turn);
    }
    for (size_t c = 0; c < 20; ++c) b.AddCampaign(CampaignOf(c, templates));
    for (size_t i = 0; i < kSketches; ++i) {
      sketcher.Sketch({}, Text(rng, 500), {}, {}, 1, &s);
      b.AddSketch(StrCat("cmp_", i % 20), s.turn);
    }
    for (size_t i = 0; i < kSignatures; ++i) b.AddReplayed("cmp_1", base::Mix64(i), "owner");
    const std::array<uint8_t, 16> key{1};
    const auto start = std::chrono::steady_clock::now();
    w.snapshot = *b.Build(kNow, key);
    w.build_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return w;
  }();
  return world;
}

respond::Counters& Counts() {
  static respond::Counters counters;
  return counters;
}

// A million requests, their words in one place each, as a server would have read them.
struct Asks {
  std::vector<std::string> words;
  std::vector<respond::Request> requests;
};
enum Kind : int64_t { kByAccount, kByKey, kByOrg, kUnknown, kAccusedAccount, kEverything };
constexpr const char* kKinds[] = {"account",         "key",
                                  "organisation",    "unknown account",
                                  "accused account", "account, key, org, address"};

const Asks& Requests(int64_t kind) {
  static std::vector<Asks> all(6);
  Asks& a = all[static_cast<size_t>(kind)];
  if (!a.requests.empty()) return a;
  constexpr size_t kRequests = 1 << 19;
  std::mt19937 rng(static_cast<uint32_t>(kind) + 7);
  a.words.reserve(kRequests * 3);
  const auto word = [&](std::string w) -> std::string_view {
    return a.words.emplace_back(std::move(w));
  };
  const char* const models[] = {"atlas-4", "atlas-4-mini", "atlas-5", "atlas-5-20260501"};
  for (size_t i = 0; i < kRequests; ++i) {
    respond::Request r;
    r.model = models[rng() % 4];
    const size_t n = rng() % kAccounts;
    if (kind == kByAccount || kind == kEverything) r.account_id = word(Account(n));
    if (kind == kByKey || kind == kEverything) r.api_key_id = word(Key(n));
    if (kind == kByOrg || kind == kEverything) r.org_id = word(StrCat("org-", n / 10));
    if (kind == kUnknown) r.account_id = word(StrCat("new-", n));
    if (kind == kAccusedAccount) r.account_id = word(Account(n / 40 * 40));
    if (kind == kEverything) r.client_ip = "203.0.113.77";
    a.requests.push_back(r);
  }
  return a;
}

void Decide(benchmark::State& state) {
  const World& w = TheWorld();
  const Asks& asks = Requests(state.range(0));
  size_t i = 0;
  for (auto _ : state) {
    const respond::Request& r = asks.requests[i++ & (asks.requests.size() - 1)];
    benchmark::DoNotOptimize(respond::Decide(*w.snapshot, r, kNow, &Counts()));
  }
  state.SetLabel(std::string("by ") + kKinds[state.range(0)]);
}
BENCHMARK(Decide)->DenseRange(kByAccount, kEverything);

// One call at a time by the clock.
void DecidePercentiles(benchmark::State& state) {
  const World& w = TheWorld();
  const Asks& asks = Requests(state.range(0));
  std::vector<uint32_t> ns;
  ns.reserve(4 << 20);
  size_t i = 0;
  for (auto _ : state) {
    const respond::Request& r = asks.requests[i++ & (asks.requests.size() - 1)];
    const auto start = std::chrono::steady_clock::now();
    benchmark::DoNotOptimize(respond::Decide(*w.snapshot, r, kNow, &Counts()));
    const auto took = std::chrono::steady_clock::now() - start;
    if (ns.size() < ns.capacity()) {
      ns.push_back(static_cast<uint32_t>(
          std::chrono::duration_cast<std::chrono::nanoseconds>(took).count()));
    }
  }
  std::sort(ns.begin(), ns.end());
  state.counters["median_ns"] = ns[ns.size() / 2];
  state.counters["p99_ns"] = ns[ns.size() * 99 / 100];
  state.SetLabel(std::string("by ") + kKinds[state.range(0)]);
}
BENCHMARK(DecidePercentiles)->Arg(kByAccount)->Arg(kByKey)->Arg(kEverything);

double CpuNs() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

// With text: sketched and looked up. ns_per_byte is what it costs beside a decision by account.
void DecideWithText(benchmark::State& state) {
  const World& w = TheWorld();
  const Asks& asks = Requests(kByAccount);
  const auto bytes = static_cast<size_t>(state.range(0));
  const bool recognised = state.range(1) != 0;
  std::mt19937 rng(5);
  std::vector<std::string> texts(std::max<size_t>(16, 400'000 / bytes));
  for (std::string& t : texts) {
    t = Text(rng, bytes);
    // The scaffold is at the head of the turn and the rest is another payload.
    if (recognised) t = (w.scaffold + " " + t).substr(0, std::max(bytes, w.scaffold.size()));
  }
  sketch::Sketcher sketcher;
  model::Sketch s;
  size_t i = 0, done = 0, met = 0;
  double plain = 0;
  for (int round = 0; round < 2; ++round) {
    const double start = CpuNs();
    for (size_t k = 0; k < 200'000; ++k)
      benchmark::DoNotOptimize(respond::Decide(*w.snapshot, asks.requests[k], kNow, &Counts()));
    plain = (CpuNs() - start) / 200'000;
  }
  const double start = CpuNs();
  for (auto _ : state) {
    const std::string& text = texts[i % texts.size()];
    respond::Request r = asks.requests[i++ & (asks.requests.size() - 1)];
    sketcher.Sketch({}, text, {}, {}, 1, &s);
    s.present = true;
    r.sketch = &s;
    const respond::Decision d = respond::Decide(*w.snapshot, r, kNow, &Counts());
    met += d.reason == respond::Reason::kTemplate;
    done += text.size();
  }
  const double took = CpuNs() - start;
  state.counters["ns_per_byte"] =
      (took - plain * static_cast<double>(i)) / static_cast<double>(done);
  state.counters["recognised"] = static_cast<double>(met) / static_cast<double>(i);
  state.SetBytesProcessed(static_cast<int64_t>(done));
}
BENCHMARK(DecideWithText)
    ->ArgsProduct({{100, 300, 600, 2'000, 20'000}, {0}})
    ->Args({600, 1})
    ->Args({2'000, 1});

// With a sketch that the caller made: what looking it up costs.
void DecideWithSketch(benchmark::State& state) {
  const World& w = TheWorld();
  const Asks& asks = Requests(kByAccount);
  std::mt19937 rng(6);
  std::vector<model::Sketch> sketches(2'000);
  sketch::Sketcher sketcher;
  for (model::Sketch& s : sketches) {
    sketcher.Sketch({}, Text(rng, static_cast<size_t>(state.range(0))), {}, {}, 1, &s);
  }
  size_t i = 0;
  for (auto _ : state) {
    respond::Request r = asks.requests[i & (asks.requests.size() - 1)];
    r.sketch = &sketches[i++ % sketches.size()];
    benchmark::DoNotOptimize(respond::Decide(*w.snapshot, r, kNow, &Counts()));
  }
}
BENCHMARK(DecideWithSketch)->Arg(100)->Arg(600);

void Memory(benchmark::State& state) {
  const auto& info = TheWorld().snapshot->info();
  for (auto _ : state) benchmark::DoNotOptimize(info.bytes);
  state.counters["bytes"] = static_cast<double>(info.bytes);
  state.counters["accounts"] = static_cast<double>(info.accounts);
  state.counters["build_s"] = TheWorld().build_s;
  state.counters["sketches"] = static_cast<double>(info.sketches);
}
BENCHMARK(Memory)->Iterations(1);

// A policy over traffic: items are requests.
void DryRun(benchmark::State& state) {
  const Asks& asks = Requests(kByAccount);
  for (auto _ : state) {
    size_t i = 0;
    benchmark::DoNotOptimize(respond::DryRun(*TheWorld().snapshot, [&](respond::TrafficRow* row) {
      if (i == asks.requests.size()) return false;
      row->request = asks.requests[i++];
      row->ts_ms = kNow + static_cast<int64_t>(i);
      return true;
    }));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(asks.requests.size()));
}
BENCHMARK(DryRun)->Unit(benchmark::kMillisecond);

// Reading the current snapshot, on 1 to 4 threads, while another sets a new one every millisecond.
respond::SnapshotHolder* holder;
std::atomic<bool> stop_setting;
std::thread* setter;
void Hold(benchmark::State& state) {
  if (state.thread_index() == 0) {
    holder = new respond::SnapshotHolder;
    holder->Set(TheWorld().snapshot);
    stop_setting = false;
    setter = state.range(0) == 0 ? nullptr : new std::thread([] {
      const auto other = TheWorld().snapshot->With({});
      for (int i = 0; !stop_setting; ++i) {
        holder->Set(i % 2 == 0 ? other : TheWorld().snapshot);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  }
  for (auto _ : state) benchmark::DoNotOptimize(holder->Get().get());
  if (state.thread_index() == 0) {
    stop_setting = true;
    if (setter != nullptr) setter->join();
    delete setter;
    delete holder;
  }
  state.SetLabel(state.range(0) == 0 ? "nothing is set" : "set every ms");
}
BENCHMARK(Hold)->Arg(0)->Arg(1)->ThreadRange(1, 4)->UseRealTime();

// Restoring access: the same snapshot with other overturned appeals.
void With(benchmark::State& state) {
  std::vector<respond::Overturned> overturned;
  for (size_t i = 0; i < 100; ++i) overturned.push_back({Account(i * 40), "", respond::kNever});
  for (auto _ : state) benchmark::DoNotOptimize(TheWorld().snapshot->With(overturned));
}
BENCHMARK(With);

}  // namespace
