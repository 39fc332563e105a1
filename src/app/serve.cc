// `stillwatch serve`: builds every part from the configuration, runs them, reloads, drains.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <mutex>
#include <thread>

#include "app/command.h"
#include "app/config.h"
#include "base/str.h"
#include "base/time.h"
#include "serve/http/server.h"

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

class Service {
 public:
  explicit Service(std::string path) : path_(std::move(path)) {}

  absl::Status Run() {
    if (absl::Status s = Start(); !s.ok()) return s;
    while (!g_stop) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      if (g_reload.exchange(false)) Reload();
    }
    Stop();
    return absl::OkStatus();
  }

 private:
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
    AddRoutes();
    serve::ServerOptions o;
    o.endpoints.push_back({config_.listen.address, uint16_t(config_.listen.port), &router_});
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
    auto server = serve::Server::Start(std::move(o), *tokens, &metrics_, log_.get());
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    ready_ = true;
    log_->Info("serving", {{"address", config_.listen.address},
                           {"port", server_->ports()[0]},
                           {"tls", !config_.tls.certificate.empty()},
                           {"tokens", (*tokens)->size()},
                           {"pid", getpid()}});
    Notify("READY=1");
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
    auto tokens = TokensOf(*config);
    if (!tokens.ok()) return tokens.status();
    if (absl::Status s = server_->ReloadTls(); !s.ok()) return s;
    if (absl::Status s = server_->SetTokens(*tokens); !s.ok()) return s;
    log_->SetLevel(LevelOf(config->log.level));
    Config now = config_;
    now.tokens = config->tokens;
    now.log.level = config->log.level;
    for (const std::string& key : ChangedKeys(now, *config))
      log_->Warn("takes effect at the next start", {{"key", key}});
    config_ = std::move(now);
    return absl::OkStatus();
  }

  void Stop() {
    Notify("STOPPING=1");
    ready_ = false;
    log_->Info("draining", {{"connections", server_->connections()}});
    const size_t cut = server_->Drain(std::chrono::seconds(config_.drain_s));
    log_->Info("stopped", {{"cut_off", cut}});
  }

  const std::string path_;
  Config config_;
  serve::Metrics metrics_;
  std::unique_ptr<serve::Log> log_;
  serve::Router router_;
  std::atomic<bool> ready_{false};
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
