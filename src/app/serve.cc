// `stillwatch serve`: builds every part from the configuration, runs them, reloads, drains.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <unordered_map>

#include "app/command.h"
#include "app/config.h"
#include "app/files.h"
#include "app/indicators.h"
#include "app/lake_child.h"
#include "app/share_one.h"
#include "app/share_release.h"
#include "app/try_policy.h"
#include "audit/log.h"
#include "base/str.h"
#include "base/time.h"
#include "dossier/outputs.h"
#include "engine/again.h"
#include "engine/live.h"
#include "engine/live_store.h"
#include "engine/snapshot.h"
#include "ingest/live/loader.h"
#include "ingest/live/service.h"
#include "journal/journal.h"
#include "lake/cluster/url.h"
#include "respond/holder.h"
#include "serve/alerts/alerts.h"
#include "serve/api/api.h"
#include "serve/compare/routes.h"
#include "serve/console/console.h"
#include "serve/gate/gate.h"
#include "serve/grpc/server.h"
#include "serve/http/server.h"
#include "serve/ingest/health.h"
#include "serve/ingest/routes.h"
#include "serve/kafka/source.h"
#include "serve/otlp/otlp.h"
#include "serve/taxii/taxii.h"
#include "share/collections/store.h"
#include "share/compare/party.h"
#include "share/stix/read.h"
#include "state/state.h"

namespace stillwatch::app {
namespace {

using base::StrCat;
using serve::HttpReply;
using serve::HttpRequest;
using serve::Role;
using serve::Speed;

std::atomic<bool> g_reload{false};

std::string_view Text(const absl::Status& s) { return {s.message().data(), s.message().size()}; }

// Tells the service manager how we are (sd_notify(3): a datagram to the socket that it named).
void Notify(const std::string& state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un to{};
  if (path == nullptr || std::strlen(path) >= sizeof to.sun_path) return;
  to.sun_family = AF_UNIX;
  std::strcpy(to.sun_path, path);
  const socklen_t size = socklen_t(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  if (to.sun_path[0] == '@') to.sun_path[0] = '\0';
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  (void)!sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&to),
                size);
  close(fd);
}

int64_t NowUs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

uint64_t MonotonicUs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return uint64_t(t.tv_sec) * 1'000'000 + uint64_t(t.tv_nsec) / 1000;
}

serve::LogLevel LevelOf(std::string_view name) {
  return name == "debug"   ? serve::LogLevel::kDebug
         : name == "warn"  ? serve::LogLevel::kWarn
         : name == "error" ? serve::LogLevel::kError
                           : serve::LogLevel::kInfo;
}

absl::StatusOr<std::shared_ptr<const serve::TokenTable>> TokensOf(const Config& config) {
  auto table = std::make_shared<serve::TokenTable>();
  for (const auto& t : config.tokens) {
    serve::Principal who;
    who.name = t.person;
    for (const auto& r : t.roles) who.roles |= serve::RoleBit(*serve::RoleOf(r));
    serve::TokenHash hash;
    if (!t.hash.empty()) {
      hash = *serve::ParseTokenHash(t.hash);
    } else {
      auto secret = ReadSecret(t.secret, 32);
      if (!secret.ok()) {
        return absl::InvalidArgumentError(
            StrCat("config: the token of ", t.person, ": ", Text(secret.status())));
      }
      hash = serve::HashToken(*secret);
    }
    const int64_t expires = t.expires.empty() ? INT64_MAX : *base::ParseRfc3339(t.expires);
    if (!table->Add(hash, std::move(who), expires)) {
      return absl::InvalidArgumentError(StrCat("config: the token of ", t.person,
                                               " is there twice, or there are more than ",
                                               serve::TokenTable::kTokensMax));
    }
  }
  return table;
}

// Tokens of the file and of the state, as one.
class AllTokens final : public serve::TokenStore {
 public:
  AllTokens(std::shared_ptr<const serve::TokenTable> file, const state::State* state)
      : file_(std::move(file)), state_(state) {}
  std::optional<serve::Principal> Find(std::string_view token, int64_t now_ms) const override {
    if (auto found = state_->tokens().Find(token, now_ms)) {
      serve::Principal out;
      out.name = std::move(found->person);
      out.token_id = std::move(found->token_id);
      for (const auto& [theirs, ours] : {std::pair(state::kIngest, Role::kIngest),
                                         {state::kDecide, Role::kDecide},
                                         {state::kAnalyst, Role::kAnalyst},
                                         {state::kApprover, Role::kApprover},
                                         {state::kAdmin, Role::kAdmin},
                                         {state::kShare, Role::kShare}}) {
        if (found->roles & theirs) out.roles |= serve::RoleBit(ours);
      }
      return out;
    }
    return file_->Find(token, now_ms);
  }
  bool empty() const override { return file_->empty() && state_->tokens().empty(); }

 private:
  const std::shared_ptr<const serve::TokenTable> file_;
  const state::State* const state_;
};

// What people dismissed, as watching asks for it.
absl::StatusOr<std::vector<watch::Dismissed>> Dismissed(state::State* state) {
  auto all = state->CurrentDispositions();
  if (!all.ok()) return all.status();
  std::vector<watch::Dismissed> out;
  for (const state::Disposition& d : *all) {
    if (d.value != "dismissed") continue;
    watch::Dismissed one{d.campaign_id, 0, d.bits, d.exchanges};
    for (const std::string& name : d.families)
      if (const auto f = model::FamilyNamed(name)) one.families |= 1u << static_cast<int>(*f);
    out.push_back(std::move(one));
  }
  return out;
}

// The lake as the loader sees it: away until it has been opened.
class LateLake final : public lake::Lake {
 public:
  void Set(std::unique_ptr<lake::Lake> lake) {
    owned_ = std::move(lake);
    lake_ = owned_.get();
  }
  bool open() const { return lake_ != nullptr; }
  absl::Status Migrate() override {
    return With([](Lake* l) { return l->Migrate(); });
  }
  absl::Status Insert(std::string_view table, const lake::Block& block) override {
    return With([&](Lake* l) { return l->Insert(table, block); });
  }
  absl::Status Query(std::string_view sql,
                     const std::function<absl::Status(const lake::Block&)>& on_block) override {
    return With([&](Lake* l) { return l->Query(sql, on_block); });
  }
  absl::Status Execute(std::string_view sql) override {
    return With([&](Lake* l) { return l->Execute(sql); });
  }
  using Lake::Report;
  absl::StatusOr<std::string> Report(std::string_view sql, std::string_view format,
                                     const lake::ReportBounds& bounds) override {
    Lake* const l = lake_;
    if (l == nullptr) return Away();
    return l->Report(sql, format, bounds);
  }

 private:
  static absl::Status Away() { return absl::UnavailableError("the lake is not open yet"); }
  template <typename F>
  absl::Status With(F f) {
    Lake* const l = lake_;
    return l == nullptr ? Away() : f(l);
  }
  std::unique_ptr<lake::Lake> owned_;
  std::atomic<lake::Lake*> lake_{nullptr};
};

// Decisions other than allow, by what was or would have been done and why. Counters are made at the
// start, so that counting takes no lock.
class DecisionCounts {
 public:
  explicit DecisionCounts(serve::Metrics* metrics) {
    for (const bool shadow : {false, true}) {
      for (int a = 0; a < respond::kActions; ++a) {
        for (int r = 0; r < respond::kReasons; ++r) {
          const char* action = respond::ActionName(respond::Action(a));
          const char* reason = respond::ReasonName(respond::Reason(r));
          prometheus::Counter* counter = &metrics->Counter(
              "stillwatch_decisions_total", "Decisions other than allow (shadow: would have been)",
              {{"action", action}, {"reason", reason}, {"shadow", shadow ? "1" : "0"}});
          by_name_.emplace(StrCat(shadow ? "shadow." : "decision.", action, " ", reason), counter);
          all_.push_back({{action, reason, shadow, 0}, counter});
        }
      }
    }
  }
  void Count(const audit::AuditRecord& record) const {
    constexpr std::string_view kKey = "\"reason\":\"";
    const size_t at = record.details.find(kKey);
    if (at == std::string::npos) return;
    const std::string_view rest = std::string_view(record.details).substr(at + kKey.size());
    const auto it = by_name_.find(StrCat(record.action, " ", rest.substr(0, rest.find('"'))));
    if (it != by_name_.end()) it->second->Increment();
  }
  std::vector<serve::DecisionCount> Counts() const {
    std::vector<serve::DecisionCount> out;
    for (const auto& [what, counter] : all_) {
      if (counter->Value() == 0) continue;
      out.push_back(what);
      out.back().count = static_cast<uint64_t>(counter->Value());
    }
    return out;
  }

 private:
  std::unordered_map<std::string, prometheus::Counter*> by_name_;
  std::vector<std::pair<serve::DecisionCount, const prometheus::Counter*>> all_;
};

class Service {
 public:
  explicit Service(std::string path) : path_(std::move(path)) {}

  absl::Status Run() {
    if (absl::Status s = Start(); !s.ok()) {
      Stop();
      return s;
    }
    auto chores = Clock::now();
    while (!g_stop) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      if (g_reload.exchange(false)) Reload();
      if (Clock::now() < chores) continue;
      chores = Clock::now() + std::chrono::seconds(1);
      Chores();
    }
    Stop();
    return absl::OkStatus();
  }

 private:
  using Clock = std::chrono::steady_clock;

  absl::Status Start() {
    if (!path_.empty()) {
      auto config = ReadConfig(path_);
      if (!config.ok()) return config.status();
      config_ = *std::move(config);
    }
    auto tokens = TokensOf(config_);
    if (!tokens.ok()) return tokens.status();
    try {
      log_ = std::make_unique<serve::Log>(LevelOf(config_.log.level), config_.log.file);
    } catch (const std::exception& e) {
      return absl::InvalidArgumentError(StrCat("log.file: ", config_.log.file, ": ", e.what()));
    }
    if (absl::Status s = OpenStores(); !s.ok()) return s;
    if (absl::Status s = ReadPolicy(config_); !s.ok()) return s;
    if (auto followed = FollowImports(); !followed.ok()) return followed.status();
    if (absl::Status s = Publish(); !s.ok()) return s;
    ChooseLake();
    if (absl::Status s = OpenPasses(); !s.ok()) return s;
    if (absl::Status s = OpenCompare(); !s.ok()) return s;
    AddRoutes();
    if (absl::Status s = Listen(*tokens); !s.ok()) return s;
    if (absl::Status s = ListenGrpc(); !s.ok()) return s;
    if (absl::Status s = StartKafka(); !s.ok()) return s;
    StartLake();
    ready_ = true;
    log_->Info("serving", {{"address", config_.listen.address},
                           {"port", server_->ports()[0]},
                           {"otlp_http_port", config_.otlp_http.enabled ? server_->ports()[1] : 0},
                           {"otlp_grpc_port", otlp_grpc_ ? otlp_grpc_->port() : 0},
                           {"ext_authz_port", ext_authz_ ? ext_authz_->port() : 0},
                           {"compare_port", compare_ ? server_->ports().back() : 0},
                           {"tls", !config_.tls.certificate.empty()},
                           {"tokens", tokens_->empty() ? "none" : "set up"},
                           {"pid", getpid()}});
    Notify("READY=1");
    return absl::OkStatus();
  }

  std::function<void(std::string)> Note(const char* who) {
    return [this, who](const std::string& what) {
      log_->Warn("note", {{"of", who}, {"what", what}});
    };
  }

  absl::Status OpenStores() {
    std::error_code ec;
    std::filesystem::create_directories(config_.data, ec);
    if (ec) {
      return absl::InvalidArgumentError(
          StrCat("data: ", config_.data, ": cannot be made: ", ec.message(),
                 "; name a folder that this user may write in, or make it"));
    }
    std::filesystem::permissions(
        config_.data, std::filesystem::perms::group_all | std::filesystem::perms::others_all,
        std::filesystem::perm_options::remove, ec);
    audit::AuditOptions a;
    a.dir = config_.data + "/audit";
    a.now_ms = NowMs;
    if (!config_.audit_signing_key.empty()) {
      auto hex = ReadSecret({.env = {}, .file = config_.audit_signing_key}, 64);
      if (!hex.ok()) return hex.status();
      const auto key = serve::ParseTokenHash(*hex);
      if (!key) {
        return absl::InvalidArgumentError(StrCat("audit.signing_key: ", config_.audit_signing_key,
                                                 ": expected 64 hex digits (32 random bytes)"));
      }
      a.signing_key.assign(key->begin(), key->end());
    }
    auto audit = audit::AuditLog::Open(std::move(a));
    if (!audit.ok()) return audit.status();
    audit_ = *std::move(audit);
    auto state =
        state::State::Open({.dir = config_.data + "/state",
                            .audit = audit_.get(),
                            .now_ms = NowMs,
                            .approval_accounts = uint64_t(config_.policy.approval_accounts)});
    if (!state.ok()) return state.status();
    state_ = *std::move(state);
    if (absl::Status s = state_->RefreshTokens(); !s.ok()) return s;
    const auto& files = config_.sharing_keys;
    for (const auto& [audience, file] : {std::pair<share::Audience, const std::string&>{
                                             share::Audience::kProvider, files.provider},
                                         {share::Audience::kCloud, files.cloud},
                                         {share::Audience::kGovernment, files.government}}) {
      if (file.empty()) continue;
      auto key = ReadBlindingKey(file);
      if (!key.ok()) return key.status();
      sharing_keys_.emplace(audience, *std::move(key));
    }
    auto collections =
        share::CollectionStore::Open({.dir = config_.data + "/share", .now_us = NowUs});
    if (!collections.ok()) return collections.status();
    collections_ = *std::move(collections);
    auto journal = journal::Journal::Open(
        {.folder = config_.data + "/journal", .bytes_max = uint64_t(config_.journal.max_mib) << 20},
        Note("journal"));
    if (!journal.ok()) return journal.status();
    journal_ = *std::move(journal);
    auto rejected = ingest::RejectedLog::Open({.folder = config_.data});
    if (!rejected.ok()) return rejected.status();
    rejected_ = *std::move(rejected);
    ingest::LiveOptions live;
    live.now_ms = NowMs;
    live.attest = [this](const std::vector<ingest::Attestation>& rows) {
      std::vector<state::Attestation> out;
      for (const auto& r : rows) {
        state::Attestation a;
        a.account_id = r.account_id;
        a.kind = r.kind;
        a.value = r.value;
        a.source = "accounts";
        out.push_back(std::move(a));
      }
      return state_->PutAttestations(out, "stillwatch");
    };
    ingest_ =
        std::make_unique<ingest::IngestService>(journal_.get(), rejected_.get(), std::move(live));
    otlp_.emplace(ingest_.get());
    loader_ = std::make_unique<ingest::Loader>(journal_.get(), &lake_,
                                               ingest::LoaderOptions{.note = Note("loader")});
    decider_ = std::make_unique<serve::Decider>(
        &holder_, &counters_,
        [this](audit::AuditRecord r) {
          decisions_.Count(r);
          audit_->Offer(std::move(r));
        },
        NowMs,
        serve::DeciderOptions{.account_header = config_.gate.account_header,
                              .key_header = config_.gate.key_header,
                              .org_header = config_.gate.org_header,
                              .model_header = config_.gate.model_header,
                              .hash_keys = config_.gate.hash_keys,
                              .trusted_hops = int(config_.gate.trusted_hops)});
    return absl::OkStatus();
  }

  // The policy of the file: what holds while none was activated in the state.
  absl::Status ReadPolicy(const Config& config) {
    respond::Policy policy;
    if (!config.policy.file.empty()) {
      const auto text = ReadFile(config.policy.file);
      if (!text.ok()) {
        return absl::InvalidArgumentError(
            StrCat("policy.file: ", std::string(text.status().message())));
      }
      auto parsed = respond::ParsePolicy(*text, config.policy.file);
      if (!parsed.ok()) return parsed.status();
      policy = *std::move(parsed);
      audit::AuditRecord r;
      r.time_ms = NowMs();
      r.actor = "stillwatch";
      r.action = "policy.file";
      r.subject = policy.Version();
      if (absl::Status s = audit_->Append(std::move(r)); !s.ok()) return s;
    }
    const std::lock_guard<std::mutex> lock(publish_mutex_);
    file_policy_ = std::move(policy);
    return absl::OkStatus();
  }

  // The policy that holds: the state's, else the file's. With publish_mutex_.
  absl::StatusOr<respond::Policy> ActivePolicy(const state::Enforcement& e) const {
    if (!e.policy) return file_policy_;
    return respond::ParsePolicy(e.policy->text, StrCat("policy ", e.policy->version));
  }

  // A new snapshot from the last pass and what people decided; requests see it at once.
  absl::Status Publish() {
    const std::lock_guard<std::mutex> lock(publish_mutex_);
    auto e = state_->GetEnforcement(true);
    if (!e.ok()) return e.status();
    auto policy = ActivePolicy(*e);
    if (!policy.ok()) return policy.status();
    for (const auto& [id, used] : e->permit_usage) {
      counters_.permits.Raise(respond::PermitKey(id), used);
      uint64_t& kept = permits_kept_[id];  // the state knows these
      kept = std::max(kept, used);
    }
    permits_.clear();
    for (const auto& p : policy->permits) permits_.push_back(p.id);
    const auto key = state_->AppealKey();
    auto snapshot = maker_.Make(*std::move(policy), *e, key, NowMs());
    if (!snapshot.ok()) return snapshot.status();
    holder_.Set(*std::move(snapshot));
    changes_ = e->changes;
    return absl::OkStatus();
  }

  // Appeals alone: the snapshot that is there, with them.
  absl::Status PublishAppeals() {
    const std::lock_guard<std::mutex> lock(publish_mutex_);
    auto e = state_->GetEnforcement(false);
    if (!e.ok()) return e.status();
    std::vector<respond::Overturned> overturned;
    for (const auto& o : e->overturned)
      overturned.push_back({.account_id = o.account_id, .campaign_id = o.campaign_id});
    holder_.Set(holder_.Get()->With(std::move(overturned)));
    changes_.appeals = e->changes.appeals;
    return absl::OkStatus();
  }

  // What others shared, as of now: the file that the next pass reads, and what decisions may rest
  // on. True when it is not what it was.
  absl::StatusOr<bool> FollowImports() {
    auto changes = state_->GetChanges();
    if (!changes.ok()) return changes.status();
    auto active = state_->GetActiveImports();
    if (!active.ok()) return active.status();
    const std::string bytes = IndicatorsJson(active->rows);
    auto acting = std::make_shared<std::set<std::pair<std::string, std::string>>>();
    for (const auto& i : active->rows) acting->emplace(i.source, i.id);
    const std::lock_guard<std::mutex> lock(publish_mutex_);
    if (bytes != indicators_) {
      if (absl::Status s = dossier::WriteWhole(IndicatorFile(), bytes); !s.ok()) return s;
    }
    maker_.ActsOn([acting](const model::ImportRef& r) {
      return acting->contains({r.origin, r.id});
    });
    imports_change_ = changes->imports;
    imports_until_ = active->until_ms;
    const bool first = indicators_.empty(), differs = bytes != indicators_;
    indicators_ = bytes;
    return differs && !first;
  }
  std::string IndicatorFile() const { return config_.data + "/indicators.json"; }

  // After a change of what others shared: it acts, or acts no more, from now on.
  absl::Status ImportsChanged() {
    auto differs = FollowImports();
    if (!differs.ok()) return differs.status();
    if (!*differs) return absl::OkStatus();
    absl::Status s = Publish();
    if (live_) live_->Kick();
    return s;
  }

  // After a change through the API.
  void Changed(std::string_view topic) {
    absl::Status s;
    if (topic == "appeals")
      s = PublishAppeals();
    else if (topic == "policy" || topic == "lists" || topic == "attestations")
      s = Publish();
    else if (topic == "dispositions" && live_)
      live_->Kick();  // what was dismissed is closed with the next pass
    else if (topic == "imports")
      s = ImportsChanged();
    if (!s.ok())
      log_->Error("a change is kept and not yet in force", {{"topic", topic}, {"why", Text(s)}});
  }

  absl::StatusOr<serve::TriedPolicy> Try(const respond::Policy& policy) {
    auto e = state_->GetEnforcement(true);
    if (!e.ok()) return e.status();
    const auto key = state_->AppealKey();
    auto candidate = maker_.Make(policy, *e, key, NowMs());
    if (!candidate.ok()) return candidate.status();
    return TryPolicy(**candidate, &lake_, NowMs());
  }

  // Once a second: what other processes changed, what permits used.
  void Chores() {
    if (absl::Status s = state_->RefreshTokens(); !s.ok())
      log_->Error("tokens", {{"why", Text(s)}});
    auto changes = state_->GetChanges();
    absl::Status s = changes.status();
    bool differs = false;
    std::vector<std::string> permits;
    {
      const std::lock_guard<std::mutex> lock(publish_mutex_);
      permits = permits_;
      // The other topics change nothing of a decision.
      differs =
          s.ok() &&
          (changes->policy != changes_.policy || changes->appeals != changes_.appeals ||
           changes->lists != changes_.lists || changes->attestations != changes_.attestations);
    }
    if (differs) s = Publish();
    if (!s.ok()) log_->Error("state", {{"why", Text(s)}});
    if (changes.ok() && (changes->imports != imports_change_ || NowMs() >= imports_until_)) {
      if (s = ImportsChanged(); !s.ok()) log_->Error("imports", {{"why", Text(s)}});
    }
    std::map<std::string, uint64_t> used;
    {
      const std::lock_guard<std::mutex> lock(publish_mutex_);
      for (const std::string& id : permits) {
        const uint64_t now = counters_.permits.Used(respond::PermitKey(id));
        const uint64_t kept = permits_kept_[id];
        if (now > kept) used[id] = now - kept;
      }
      if (!used.empty() && state_->AddPermitUsage(used).ok()) {
        for (const auto& [id, n] : used) permits_kept_[id] += n;
      }
    }
  }

  absl::Status Listen(std::shared_ptr<const serve::TokenTable> table) {
    serve::ServerOptions o;
    o.endpoints.push_back({config_.listen.address, uint16_t(config_.listen.port), &router_});
    if (config_.otlp_http.enabled)
      o.endpoints.push_back(
          {config_.listen.address, uint16_t(config_.otlp_http.port), &otlp_router_});
    if (compare_ != nullptr) {
      o.endpoints.push_back({config_.compare.address, uint16_t(config_.compare.port),
                             &compare_router_, compare_certificates_});
    }
    o.io_threads = int(config_.threads.io);
    o.pool_threads = int(config_.threads.pool);
    o.tls_certificate = config_.tls.certificate;
    o.tls_key = config_.tls.key;
    o.insecure = config_.listen.insecure;
    o.limits.body_bytes = o.limits.decompressed_bytes = size_t(config_.limits.body_mib) << 20;
    o.limits.bodies_in_flight = size_t(config_.limits.bodies_in_flight_mib) << 20;
    o.limits.connections = size_t(config_.limits.connections);
    o.limits.pool_queue = size_t(config_.limits.pool_queue);
    o.limits.header = std::chrono::seconds(config_.limits.header_s);
    o.limits.body = std::chrono::seconds(config_.limits.body_s);
    o.limits.idle = std::chrono::seconds(config_.limits.idle_s);
    SetTokens(std::move(table));
    auto server = serve::Server::Start(std::move(o), tokens_, &metrics_, log_.get());
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    return absl::OkStatus();
  }

  void SetTokens(std::shared_ptr<const serve::TokenTable> table) {
    auto all = std::make_shared<const AllTokens>(std::move(table), state_.get());
    const std::lock_guard<std::mutex> lock(tokens_mutex_);
    tokens_ = std::move(all);
  }

  // For gRPC, which asks by token and role.
  absl::Status Allow(Role role, std::string_view token) {
    std::shared_ptr<const serve::TokenStore> tokens;
    {
      const std::lock_guard<std::mutex> lock(tokens_mutex_);
      tokens = tokens_;
    }
    if (tokens->empty()) return absl::OkStatus();
    const auto who = tokens->Find(token, NowMs());
    if (!who) return absl::UnauthenticatedError("a Stillwatch token is needed");
    if (who->Has(role)) return absl::OkStatus();
    return absl::PermissionDeniedError(
        StrCat("the token \"", who->name, "\" lacks the role ", serve::RoleName(role)));
  }

  serve::GrpcOptions Grpc(const std::string& address, int64_t port) {
    serve::GrpcOptions o;
    o.address = address;
    o.port = uint16_t(port);
    o.tls.certificate = config_.tls.certificate;
    o.tls.key = config_.tls.key;
    o.log = log_.get();
    return o;
  }

  absl::Status ListenGrpc() {
    const auto authorize = [this](Role role) {
      return [this, role](std::string_view token) { return Allow(role, token); };
    };
    const serve::Observe observe = [this](std::string_view method, int code, uint64_t ns) {
      (method == "Check" ? grpc_check_ : grpc_export_).Observe(ns);
      if (code != 0) grpc_failed_.Increment();
    };
    if (config_.ext_authz.enabled) {
      if (!serve::IsLoopback(config_.ext_authz.address) && !config_.listen.insecure &&
          (config_.tls.certificate.empty() || tokens_->empty())) {
        return absl::InvalidArgumentError(
            "ext_authz.address: others can reach it, and there is no TLS or no token: set up both, "
            "use 127.0.0.1, or say listen.insecure: true");
      }
      auto server = serve::GrpcServer::Start(
          Grpc(config_.ext_authz.address, config_.ext_authz.port),
          {serve::MakeExtAuthz([this](const serve::Ask& ask) { return decider_->Check(ask); },
                               authorize(Role::kDecide), observe)});
      if (!server.ok()) return server.status();
      ext_authz_ = *std::move(server);
    }
    if (config_.otlp_grpc.enabled) {
      serve::GrpcOptions o = Grpc(config_.listen.address, config_.otlp_grpc.port);
      o.gzip = true;
      const serve::OtlpExport run = [this](serve::OtlpSignal signal, std::string_view request) {
        auto a = otlp_->Export(signal == serve::OtlpSignal::kTraces ? serve::OtlpKind::kTraces
                                                                    : serve::OtlpKind::kLogs,
                               serve::OtlpEncoding::kProtobuf, request, "otlp grpc");
        serve::OtlpReply reply;
        if (a.status.ok()) reply.body = std::move(a.body);
        reply.status = std::move(a.status);
        reply.retry_after_ms = a.retry_after_s * 1000;
        return reply;
      };
      auto server =
          serve::GrpcServer::Start(o, serve::MakeOtlp({}, run, authorize(Role::kIngest), observe));
      if (!server.ok()) return server.status();
      otlp_grpc_ = *std::move(server);
    }
    return absl::OkStatus();
  }

  void AddRoutes() {
    router_.Add("GET", "/healthz", Role::kPublic, Speed::kInline,
                [](const HttpRequest&) { return serve::JsonReply("{\"status\":\"ok\"}\n"); });
    router_.Add("GET", "/readyz", Role::kPublic, Speed::kInline, [this](const HttpRequest&) {
      if (ready_) return serve::JsonReply("{\"status\":\"ready\"}\n");
      return serve::ErrorReply(503, "starting or draining");
    });
    router_.Add("GET", "/metrics", Role::kAnalyst, Speed::kPool, [this](const HttpRequest&) {
      HttpReply reply = serve::JsonReply(metrics_.Text());
      reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
      return reply;
    });
    serve::AddGate(&router_, decider_.get(), {.nginx = config_.gate.deny_style == "nginx"});
    serve::ApiContext api;
    api.state = state_.get();
    api.audit = audit_.get();
    api.now_ms = NowMs;
    api.try_policy = [this](const respond::Policy& p) { return Try(p); };
    api.changed = [this](std::string_view topic) { Changed(topic); };
    api.report = [this](std::string_view sql, std::string_view format,
                        const lake::ReportBounds& bounds) {
      return lake_.Report(sql, format, bounds);
    };
    api.lookup = [this] {
      const std::lock_guard<std::mutex> lock(publish_mutex_);
      return lookup_;
    };
    api.share = [this](const serve::ShareAsk& ask) -> absl::StatusOr<serve::Shared> {
      std::shared_ptr<const engine::PassFindings> pass;
      {
        const std::lock_guard<std::mutex> lock(publish_mutex_);
        pass = last_;
      }
      for (size_t i = 0; pass != nullptr && i < pass->findings.campaigns.size(); ++i) {
        if (pass->findings.campaigns[i].id != ask.campaign) continue;
        // What the person who reviewed it said, as that person's opinion.
        const auto kept = state_->GetCampaign(ask.campaign);
        const std::string said = kept.ok() ? kept->disposition : "";
        const bool known = i < pass->dismissed.size();  // not of the pass before a restart
        if (said == "dismissed" || (known && pass->dismissed[i]))
          return absl::InvalidArgumentError(
              "campaign: it was dismissed, so nothing of it may leave");
        if (!known && !pass->open[i])
          return absl::FailedPreconditionError(
              "campaign: the service has just started; its next pass says whether it may leave");
        // What may not be acted upon yet is a suspicion to others too.
        model::Campaign c = engine::ForDecisions(pass->findings.campaigns[i], pass->open[i]);
        c.id = pass->finding_ids[i];  // as the lake has it
        return ShareOne(c, &lake_, ask, sharing_keys_,
                        said == "confirmed" ? "agree"
                        : said == "unsure"  ? "neutral"
                                            : "");
      }
      return absl::NotFoundError("campaign: the last pass found none with this id");
    };
    api.revocation = RevocationOf;
    api.file_policy = [this] {
      const std::lock_guard<std::mutex> lock(publish_mutex_);
      return file_policy_;
    };
    api.ingest = [this] { return Health(); };
    api.decisions = [this] { return decisions_.Counts(); };
    api.note = [this](std::string_view what) {
      log_->Warn("note", {{"of", "api"}, {"what", what}});
    };
    serve::AddApiRoutes(&router_, std::move(api));
    serve::TaxiiContext taxii;
    taxii.store = collections_.get();
    taxii.record = [this](audit::AuditRecord r) { return audit_->Append(std::move(r)); };
    taxii.now_us = NowUs;
    taxii.check = [](std::string_view json) { return share::stix::ReadObject(json).status(); };
    taxii.note = [this](std::string_view what) {
      log_->Warn("note", {{"of", "taxii"}, {"what", what}});
    };
    serve::AddTaxiiRoutes(&router_, std::move(taxii));
    serve::AddConsole(&router_);
    serve::AddIngestRoutes(&router_, ingest_.get());
    for (serve::Router* r : {&router_, &otlp_router_}) serve::AddOtlpRoutes(r, &*otlp_);
    serve::WatchIngest(&metrics_, ingest_.get(), journal_.get(), loader_.get(), rejected_.get());
    WatchPasses();
    metrics_.Watch("stillwatch_audit_dropped", "Decisions that the audit log had no room for",
                   [this] { return double(audit_->Stats().dropped); });
    metrics_.Watch("stillwatch_audit_queued", "Records not yet written",
                   [this] { return double(audit_->Stats().queued); });
    metrics_.Watch("stillwatch_snapshots", "Snapshots published since the start",
                   [this] { return double(holder_.version()); });
    metrics_.Watch("stillwatch_lake_starts", "How often the lake's process was started",
                   [this] { return child_ ? double(child_->starts()) : 0.0; });
    metrics_.Watch("stillwatch_lake_failing", "1: the lake takes no rows; they wait in the journal",
                   [this] { return !lake_.open() || loader_->stats().failing ? 1.0 : 0.0; });
  }

  std::string Health() {
    serve::IngestHealth h;
    h.service = ingest_.get();
    h.journal = journal_.get();
    h.loader = loader_.get();
    h.rejected = rejected_.get();
    h.journal_bytes_max = uint64_t(config_.journal.max_mib) << 20;
    h.lake_open = lake_.open();
    h.lake_starts = child_ ? child_->starts() : 0;
    const audit::AuditStats a = audit_->Stats();
    h.audit_queued = a.queued;
    h.audit_queue_max = audit::kQueueRecords;
    h.audit_dropped = a.dropped;
    if (alerts_) {
      h.alerts_waiting = alerts_->stats().waiting;
      h.alerts_dead = alerts_->stats().dead;
    }
    if (live_) {
      const engine::LiveStats s = live_->stats();
      h.passes = {true,
                  s.passes,
                  s.failed,
                  s.skipped,
                  s.killed_memory + s.killed_time,
                  s.last_ended_ms,
                  s.last_duration_ms,
                  config_.passes.interval_s * 1000,
                  s.exchanges,
                  s.accounts,
                  s.campaigns,
                  s.open,
                  s.last_peak_bytes,
                  s.last_error};
    }
    return serve::IngestHealthJson(h, NowMs());
  }

  void WatchPasses() {
    const auto watch = [this](const char* name, const char* help, auto read) {
      metrics_.Watch(name, help,
                     [this, read] { return live_ ? double(read(live_->stats())) : 0.0; });
    };
    using S = engine::LiveStats;
    watch("stillwatch_passes_total", "Passes committed", [](const S& s) { return s.passes; });
    watch("stillwatch_passes_failed_total", "Passes that failed",
          [](const S& s) { return s.failed; });
    watch("stillwatch_passes_killed_total", "Passes ended for their memory or time",
          [](const S& s) { return s.killed_memory + s.killed_time; });
    watch("stillwatch_pass_seconds", "How long the last pass took",
          [](const S& s) { return double(s.last_duration_ms) / 1000; });
    watch("stillwatch_pass_ended_seconds", "When the last pass ended, since 1970",
          [](const S& s) { return double(s.last_ended_ms) / 1000; });
    watch("stillwatch_pass_peak_bytes", "Anonymous memory of the last pass",
          [](const S& s) { return s.last_peak_bytes; });
    watch("stillwatch_pass_exchanges", "Exchanges that the last pass judged",
          [](const S& s) { return s.exchanges; });
    watch("stillwatch_campaigns", "Campaigns of the last pass",
          [](const S& s) { return s.campaigns; });
    watch("stillwatch_campaigns_open", "Of them, those that may be told and acted upon",
          [](const S& s) { return s.open; });
    metrics_.Watch("stillwatch_alerts_waiting", "Alerts not yet delivered",
                   [this] { return alerts_ ? double(alerts_->stats().waiting) : 0.0; });
    metrics_.Watch("stillwatch_alerts_dead_total", "Alerts given up, see dead.jsonl",
                   [this] { return alerts_ ? double(alerts_->stats().dead) : 0.0; });
  }

  void ChooseLake() {
    lake_url_ = config_.lake.empty() ? config_.data + "/lake" : config_.lake;
    if (lake::IsLakeUrl(lake_url_)) return;
    lake_folder_ = lake_url_;
    lake_url_ = "unix:" + config_.data + "/lake.socket";
  }

  // Alerts and passes. The last pass's findings are in force before the first request.
  absl::Status OpenPasses() {
    serve::AlertOptions a;
    a.dir = config_.data + "/alerts";
    a.now_ms = NowMs;
    a.note = Note("alerts");
    for (const auto& one : config_.alerts) {
      serve::AlertReceiver r;
      r.kind = one.kind == "otlp" ? serve::AlertReceiver::Kind::kOtlp
                                  : serve::AlertReceiver::Kind::kWebhook;
      r.name = one.name;
      r.url = one.url;
      if (!one.secret.empty()) {
        auto secret = ReadSecret(one.secret, 16);
        if (!secret.ok()) return secret.status();
        if (one.kind == "otlp")
          r.headers["Authorization"] = StrCat("Bearer ", *secret);
        else
          r.secret = *std::move(secret);
      }
      a.receivers.push_back(std::move(r));
    }
    auto alerts = serve::Alerts::Open(std::move(a));
    if (!alerts.ok()) return alerts.status();
    alerts_ = *std::move(alerts);
    if (!config_.passes.enabled) return absl::OkStatus();
    engine::LiveOptions o;
    o.program = Program();
    o.lake = lake_url_;
    o.dir = config_.data + "/passes";
    const auto flag = [&](const char* name, const std::string& value) {
      o.flags.push_back(name);
      o.flags.push_back(value);
    };
    if (!config_.accounts.empty()) flag("--accounts", config_.accounts);
    for (const auto& f : config_.permits) flag("--permits", f);
    for (const auto& f : config_.known) flag("--known", f);
    for (const auto& f : config_.mmdb) flag("--mmdb", f);
    flag("--indicators", IndicatorFile());
    for (const auto& f : config_.imports.blinding_keys) flag("--blinding-key", f);
    o.window_ms = config_.passes.window_days * base::kMsPerDay;
    o.interval_ms = config_.passes.interval_s * 1000;
    o.threads = int(config_.passes.threads);
    o.memory_max = uint64_t(config_.passes.memory_mib) << 20;
    engine::LiveHooks hooks;
    hooks.now_ms = NowMs;
    hooks.note = Note("passes");
    hooks.mark = [this] { return engine::LakeMark(&lake_); };
    hooks.dismissed = [this] { return Dismissed(state_.get()); };
    hooks.publish = [this](const engine::PassFindings& pass) {
      auto index = lookup::Lookup::Open(pass.dir + "/" + lookup::kFileName);
      if (!index.ok())
        log_->Warn("accounts are looked up in the lake, which is slow, until the next pass",
                   {{"why", Text(index.status())}});
      {
        const std::lock_guard<std::mutex> lock(publish_mutex_);
        last_ = std::make_shared<const engine::PassFindings>(pass);
        lookup_ = index.ok() ? *index : nullptr;
      }
      const absl::Status taken =
          engine::Again([&] { return maker_.Take(pass, &lake_); }, Note("passes"), &stopping_);
      if (!taken.ok()) {
        {
          const std::lock_guard<std::mutex> lock(publish_mutex_);
          untaken_ = pass;
        }
        log_->Warn("accounts and keys are those of an earlier pass", {{"why", Text(taken)}});
        // The next pass brings them, though nothing new came.
        if (live_ && absl::IsUnavailable(taken)) live_->Kick();
      }
      return Publish();
    };
    hooks.alert = [this](const engine::PassFindings& pass) {
      if (absl::Status s = alerts_->Offer(serve::AlertsOf(pass)); !s.ok())
        log_->Error("alerts could not be kept", {{"why", Text(s)}});
    };
    store_ = std::make_unique<engine::StateStore>(state_.get());
    auto live = engine::LivePasses::Open(std::move(o), std::move(hooks), store_.get());
    if (!live.ok()) return live.status();
    live_ = *std::move(live);
    return absl::OkStatus();
  }

  // What answers private comparisons: a listener of its own, for peers' certificates alone.
  absl::Status OpenCompare() {
    if (config_.compare.peers.empty()) return absl::OkStatus();
    auto peers = share::compare::ReadPeers(config_.compare.peers);
    if (!peers.ok()) return peers.status();
    serve::CompareContext context;
    for (const auto& p : peers->all) {
      if (p.certificate.empty()) continue;  // compares by files
      auto hash = serve::CertificateHash(p.certificate);
      if (!hash.ok()) return hash.status();
      context.peers[*hash] = p.name;
      compare_certificates_.push_back(p.certificate);
    }
    if (compare_certificates_.empty()) {
      return absl::InvalidArgumentError(StrCat("compare.peers: ", config_.compare.peers,
                                               " has no peer with a certificate: nobody could "
                                               "connect"));
    }
    if (absl::Status s = ReadCompareSet(config_.compare.set); !s.ok()) return s;
    auto party = share::compare::Party::Open({.dir = config_.data + "/compare",
                                              .audit = audit_.get(),
                                              .now_ms = NowMs,
                                              .random = nullptr,
                                              .threads = int(config_.compare.threads)},
                                             *std::move(peers));
    if (!party.ok()) return party.status();
    compare_ = *std::move(party);
    context.party = compare_.get();
    context.items = [this] {
      const std::lock_guard<std::mutex> lock(compare_mutex_);
      return compare_set_;
    };
    serve::AddCompareRoutes(&compare_router_, std::move(context));
    return absl::OkStatus();
  }

  absl::Status ReadCompareSet(const std::string& path) {
    auto set = share::compare::ItemSet::Read(path);
    if (!set.ok()) return set.status();
    auto shared = std::make_shared<const share::compare::ItemSet>(*std::move(set));
    const std::lock_guard<std::mutex> lock(compare_mutex_);
    compare_set_ = std::move(shared);
    return absl::OkStatus();
  }

  absl::Status StartKafka() {
    if (config_.kafka.brokers.empty()) return absl::OkStatus();
    serve::KafkaOptions o;
    o.brokers = config_.kafka.brokers;
    o.topic = config_.kafka.topic;
    o.group = config_.kafka.group;
    serve::ParseKafkaFormat(config_.kafka.format, &o.format);
    o.properties = config_.kafka.properties;
    if (!config_.kafka.password.empty()) {
      auto password = ReadSecret(config_.kafka.password, 1);
      if (!password.ok()) return password.status();
      o.properties["sasl.password"] = *std::move(password);
    }
    o.note = Note("kafka");
    auto source = serve::KafkaSource::Create(std::move(o), ingest_.get());
    if (!source.ok()) return source.status();
    kafka_ = *std::move(source);
    kafka_->Start();
    metrics_.Watch("stillwatch_kafka_messages_total", "Messages durable or refused",
                   [this] { return double(kafka_->stats().messages); });
    metrics_.Watch("stillwatch_kafka_retries_total",
                   "Messages that the journal refused, tried again",
                   [this] { return double(kafka_->stats().retries); });
    return absl::OkStatus();
  }

  static std::string Program() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

  // Neither decisions nor acknowledgements wait for the lake: it is opened beside them, and what
  // came in meanwhile lies in the journal.
  void StartLake() {
    if (!lake_folder_.empty()) {
      child_ = std::make_unique<Child>(ChildOptions{
          .argv = {Program(), "lake", "host", "--socket", lake_url_.substr(5), "--lake",
                   lake_folder_, "--die-with-parent", std::to_string(getpid())},
          .note = Note("lake")});
    }
    lake_thread_ = std::thread([this] {
      auto wait = std::chrono::milliseconds(200);
      // Ours takes a moment to be there, which is nothing to be noted.
      for (int i = 0; child_ && i < 100 && !stopping_ && access(lake_url_.c_str() + 5, F_OK) != 0;
           ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      while (!stopping_) {
        auto lake = OpenLake(lake_url_, 1, false, Note("lake"));
        if (lake.ok()) {
          lake_.Set(*std::move(lake));
          loader_->Start();
          log_->Info("lake open");
          LakeIsThere();
          return;
        }
        if (!stopping_)
          log_->Warn("lake cannot be opened; tried again", {{"why", Text(lake.status())}});
        std::unique_lock<std::mutex> lock(stop_mutex_);
        stop_wake_.wait_for(lock, wait, [this] { return stopping_.load(); });
        wait = std::min(wait * 2, std::chrono::milliseconds(30'000));
      }
    });
  }

  void LakeIsThere() {
    std::optional<engine::PassFindings> pass;
    {
      const std::lock_guard<std::mutex> lock(publish_mutex_);
      pass.swap(untaken_);
    }
    if (pass) {
      absl::Status s = maker_.Take(*pass, &lake_);
      if (s.ok()) s = Publish();
      if (!s.ok()) log_->Error("snapshot", {{"why", Text(s)}});
    }
    if (live_) live_->Start();
  }

  // What can change while we run does; an error leaves all as it was.
  void Reload() {
    Notify(StrCat("RELOADING=1\nMONOTONIC_USEC=", MonotonicUs()));
    const absl::Status s = TryReload();
    if (s.ok())
      log_->Info("reloaded");
    else
      log_->Error("reload refused, all stays as it was", {{"why", Text(s)}});
    Notify("READY=1");
  }

  absl::Status TryReload() {
    if (path_.empty()) return server_->ReloadTls();
    auto config = ReadConfig(path_);
    if (!config.ok()) return config.status();
    auto table = TokensOf(*config);
    if (!table.ok()) return table.status();
    if (absl::Status s = server_->ReloadTls(); !s.ok()) return s;
    const auto old = tokens_;
    SetTokens(*table);
    if (absl::Status s = server_->SetTokens(tokens_); !s.ok()) {
      const std::lock_guard<std::mutex> lock(tokens_mutex_);
      tokens_ = old;
      return s;
    }
    if (absl::Status s = ReadPolicy(*config); !s.ok()) return s;
    if (absl::Status s = Publish(); !s.ok()) return s;
    if (compare_ != nullptr) {
      if (absl::Status s = ReadCompareSet(config_.compare.set); !s.ok()) return s;
    }
    log_->SetLevel(LevelOf(config->log.level));
    Config now = config_;
    now.tokens = config->tokens;
    now.log.level = config->log.level;
    now.policy.file = config->policy.file;
    for (const std::string& key : ChangedKeys(now, *config))
      log_->Warn("takes effect at the next start", {{"key", key}});
    config_ = std::move(now);
    return absl::OkStatus();
  }

  // Requests first, then what serves them, then what keeps it. Also after a start that failed.
  void Stop() {
    Notify("STOPPING=1");
    ready_ = false;
    const auto bound = std::chrono::seconds(config_.drain_s);
    if (server_ != nullptr) {
      log_->Info("draining", {{"connections", server_->connections()}});
      for (auto* g : {ext_authz_.get(), otlp_grpc_.get()}) {
        if (g != nullptr) g->SetServing(false);
      }
      const auto until = Clock::now() + bound;
      const size_t cut = server_->Drain(bound);
      for (auto* g : {ext_authz_.get(), otlp_grpc_.get()}) {
        if (g != nullptr)
          g->Drain(std::max(
              std::chrono::milliseconds(0),
              std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now())));
      }
      log_->Info("drained", {{"cut_off", cut}});
    }
    {
      const std::lock_guard<std::mutex> lock(stop_mutex_);
      stopping_ = true;
    }
    stop_wake_.notify_all();
    if (lake_thread_.joinable()) lake_thread_.join();
    if (kafka_) kafka_->Stop();
    if (live_) live_->Stop();
    alerts_.reset();
    if (loader_) loader_->Stop();
    if (child_) child_->Stop();
    if (state_ != nullptr && server_ != nullptr) Chores();
    if (audit_) (void)audit_->Flush();
    if (log_) log_->Info("stopped");
  }

  const std::string path_;
  Config config_;
  serve::Metrics metrics_;
  serve::Latency& grpc_check_ = metrics_.Histogram("stillwatch_grpc_request_seconds",
                                                   "Of a gRPC request", {{"method", "Check"}});
  serve::Latency& grpc_export_ = metrics_.Histogram("stillwatch_grpc_request_seconds",
                                                    "Of a gRPC request", {{"method", "Export"}});
  prometheus::Counter& grpc_failed_ =
      metrics_.Counter("stillwatch_grpc_failed_total", "gRPC requests that ended in an error");
  const DecisionCounts decisions_{&metrics_};
  std::unique_ptr<serve::Log> log_;
  std::unique_ptr<audit::AuditLog> audit_;
  std::unique_ptr<state::State> state_;
  std::unique_ptr<share::CollectionStore> collections_;
  AudienceKeys sharing_keys_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<ingest::RejectedLog> rejected_;
  std::unique_ptr<ingest::IngestService> ingest_;
  std::optional<serve::OtlpService> otlp_;
  respond::SnapshotHolder holder_;
  respond::Counters counters_;
  std::mutex publish_mutex_;  // of the next four; snapshots are set in order
  respond::Policy file_policy_;
  state::Changes changes_;
  std::vector<std::string> permits_;                  // ids in force
  std::optional<engine::PassFindings> untaken_;       // the lake was away when it came
  std::map<std::string, uint64_t> permits_kept_;      // of their use, what the state has
  std::shared_ptr<const engine::PassFindings> last_;  // of publish_mutex_ too
  std::shared_ptr<const lookup::Lookup> lookup_;      // likewise
  engine::SnapshotMaker maker_;
  std::string indicators_;  // what the file holds
  std::atomic<uint64_t> imports_change_{0};
  std::atomic<int64_t> imports_until_{INT64_MAX};
  std::unique_ptr<serve::Decider> decider_;
  std::mutex tokens_mutex_;
  std::shared_ptr<const serve::TokenStore> tokens_;
  serve::Router router_, otlp_router_, compare_router_;
  std::unique_ptr<share::compare::Party> compare_;  // null: off
  std::vector<std::string> compare_certificates_;
  std::mutex compare_mutex_;  // of the next
  std::shared_ptr<const share::compare::ItemSet> compare_set_;
  std::atomic<bool> ready_{false}, stopping_{false};
  std::mutex stop_mutex_;
  std::condition_variable stop_wake_;
  std::string lake_url_, lake_folder_;  // folder: ours to host
  std::unique_ptr<Child> child_;
  LateLake lake_;
  std::unique_ptr<ingest::Loader> loader_;
  std::unique_ptr<serve::Alerts> alerts_;
  std::unique_ptr<engine::StateStore> store_;
  std::unique_ptr<engine::LivePasses> live_;
  std::unique_ptr<serve::KafkaSource> kafka_;
  std::thread lake_thread_;
  std::unique_ptr<serve::GrpcServer> ext_authz_, otlp_grpc_;
  std::unique_ptr<serve::Server> server_;  // last: its end ends all requests
};

}  // namespace

void AddServe(CLI::App& app, int* code) {
  auto* sub = app.add_subcommand("serve", "Take in traffic, watch it, answer gateways");
  auto config = std::make_shared<std::string>();
  sub->add_option("--config", *config, "YAML (stillwatch config check); without it all defaults");
  sub->footer("Example: stillwatch serve --config /etc/stillwatch/stillwatch.yaml");
  sub->callback([=] {
    std::signal(SIGHUP, [](int) { g_reload = true; });
    *code = Report(Service(*config).Run());
  });
}

}  // namespace stillwatch::app
