// The configuration of `serve`: one YAML file, every key optional, every one known by name. Secrets
// are never in it: an entry names the environment variable or the file that holds one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace stillwatch::app {

inline constexpr size_t kConfigBytesMax = 1 << 20;
inline constexpr size_t kProblemsMax = 20;  // told at once

// Where a secret lies: in an environment variable or in a file (its last line end does not count).
struct Secret {
  std::string env, file;
  bool empty() const { return env.empty() && file.empty(); }
};
// InvalidArgument when there is none or it is shorter than `bytes_min`; says neither it nor its
// length.
absl::StatusOr<std::string> ReadSecret(const Secret& secret, size_t bytes_min);

struct Config {
  std::string data = "/var/lib/stillwatch";  // journal, state, audit log, passes, embedded lake
  std::string lake;                          // empty: DATA/lake, in a child process
  struct {
    std::string address = "127.0.0.1";
    int64_t port = 8080;
    bool insecure = false;
  } listen;
  struct Port {
    bool enabled = true;
    int64_t port = 0;
  };
  Port otlp_http{true, 4318}, otlp_grpc{true, 4317};
  struct {
    bool enabled = true;
    std::string address = "127.0.0.1";
    int64_t port = 9191;
  } ext_authz;
  struct {
    std::string certificate, key;
  } tls;
  struct Token {
    std::string person;
    std::vector<std::string> roles;
    std::string hash;  // this, or
    Secret secret;     // this
    std::string expires;
  };
  std::vector<Token> tokens;
  struct {
    int64_t io = 2, pool = 8;
  } threads;
  struct {
    int64_t body_mib = 64, bodies_in_flight_mib = 512, connections = 16'384, pool_queue = 256;
    int64_t header_s = 10, body_s = 60, idle_s = 75;
  } limits;
  struct {
    std::string level = "info", file;
  } log;
  // Who a gateway's client is, for /v1/check/ and ext_authz (serve/decide/decider.h).
  struct {
    std::string account_header = "x-stillwatch-account", key_header = "x-stillwatch-key",
                org_header = "x-stillwatch-org", model_header = "x-stillwatch-model";
    bool hash_keys = true;
    int64_t trusted_hops = 1;
    std::string deny_style = "native";
  } gate;
  struct {
    std::string file;  // taken up as the active policy at start when none is active yet
    int64_t approval_accounts = 100;
  } policy;
  std::string audit_signing_key;            // file of 64 hex digits; empty: heads are not signed
  std::string accounts;                     // account records, for directives and recognition
  std::vector<std::string> permits, known, mmdb;  // side files of `scan`
  struct {
    std::vector<std::string> blinding_keys;  // files of `share key`, one a group of peers
  } imports;                                 // what others shared and passes act on
  struct {
    // Files of `share key`, by audience: what can be guessed leaves the service under it, or stays.
    std::string provider, cloud, government;
  } sharing_keys;
  struct {
    bool enabled = true;
    int64_t interval_s = 60, window_days = 30, threads = 1, memory_mib = 8192;
  } passes;
  struct {
    int64_t max_mib = 16'384;
  } journal;
  struct Alert {
    std::string name, kind = "webhook", url;
    Secret secret;
  };
  std::vector<Alert> alerts;
  struct {
    std::string brokers, topic, group = "stillwatch", format = "canonical";
    std::map<std::string, std::string> properties;  // librdkafka's
    Secret password;                                // its sasl.password
  } kafka;
  // The answering side of private comparisons (share/compare/peers.h); off without peers.
  struct {
    std::string peers, set, address = "127.0.0.1";
    int64_t port = 8443, threads = 1;
  } compare;
  int64_t drain_s = 30;
};

struct Problem {
  int line = 0;  // 0: of the file as a whole
  std::string what;
};

// Reads all of it and finds all that is wrong (at most kProblemsMax), so that a file is mended in
// one go. Relative paths stay as they are: relative to where the program runs.
Config ParseConfig(std::string_view yaml, std::vector<Problem>* problems);
// InvalidArgument with the problems, "NAME:LINE: what" each on a line.
absl::StatusOr<Config> ReadConfig(const std::string& path);

// What the file amounts to, defaults included: YAML that reads back as the same.
std::string PrintConfig(const Config& config);
// The keys in which they differ ("listen.port"), for a reload.
std::vector<std::string> ChangedKeys(const Config& a, const Config& b);

}  // namespace stillwatch::app
