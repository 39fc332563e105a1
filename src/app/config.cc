#include "app/config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <map>
#include <set>

#include "app/files.h"
#include "base/str.h"
#include "base/time.h"
#include "lake/cluster/url.h"
#include "serve/http/tokens.h"

namespace stillwatch::app {
namespace {

using base::StrCat;

constexpr size_t kTextBytes = 4096;

// Letters that have to change to make one word of the other: what did they mean to write?
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// Both visitors have the same members: one description of the file serves reading and printing.
class Reader {
 public:
  Reader(const YAML::Node& node, std::string where, std::vector<Problem>* problems)
      : node_(node.IsDefined() && node.IsMap() ? node : YAML::Node()),
        where_(std::move(where)),
        problems_(problems) {
    if (node.IsDefined() && !node.IsNull() && !node.IsMap())
      Say(node, StrCat(where_.empty() ? "the file" : where_.substr(0, where_.size() - 1),
                       ": expected keys and values"));
  }
  ~Reader() {
    if (!node_.IsMap()) return;
    std::set<std::string> seen;
    for (const auto& entry : node_) {
      if (!entry.first.IsScalar()) {
        Say(entry.first, StrCat(where_, "a key is expected to be a word"));
        continue;
      }
      const std::string key = entry.first.Scalar();
      if (!seen.insert(key).second) Say(entry.first, StrCat(where_, key, ": is there twice"));
      if (known_.count(key)) continue;
      std::string best;
      for (const auto& k : known_) {
        if (best.empty() || Distance(key, k) < Distance(key, best)) best = k;
      }
      Say(entry.first, Distance(key, best) <= 2 && 2 * Distance(key, best) < key.size()
                           ? StrCat(where_, key, ": no such key; ", best, " is meant?")
                           : StrCat(where_, key, ": no such key; there are ", Join(known_)));
    }
  }
  static constexpr bool kReads = true;

  template <typename F>
  void Section(const char* key, F body) {
    Reader inner(At(key), StrCat(where_, key, "."), problems_);
    body(inner);
  }
  template <typename T, typename F>
  void List(const char* key, std::vector<T>* out, F body) {
    const YAML::Node list = At(key);
    if (!list.IsDefined() || list.IsNull()) return;
    if (!list.IsSequence()) return Say(list, StrCat(where_, key, ": expected a list"));
    for (size_t i = 0; i < list.size(); ++i) {
      T item;
      Reader inner(list[i], StrCat(where_, key, "[", i, "]."), problems_);
      body(inner, &item);
      out->push_back(std::move(item));
    }
  }
  void Text(const char* key, std::string* out) {
    const YAML::Node v = At(key);
    if (!v.IsDefined() || v.IsNull()) return;
    if (!v.IsScalar()) return Say(v, StrCat(where_, key, ": expected a single value"));
    *out = Line(v, key);
  }
  void Word(const char* key, std::string* out, const std::vector<std::string>& words) {
    Text(key, out);
    if (std::find(words.begin(), words.end(), *out) == words.end())
      Say(At(key), StrCat(where_, key, ": expected ", Join(words)));
  }
  void Words(const char* key, std::vector<std::string>* out) {
    const YAML::Node list = At(key);
    if (!list.IsDefined() || list.IsNull()) return;
    if (list.IsScalar()) return out->assign(1, Line(list, key));
    if (!list.IsSequence()) return Say(list, StrCat(where_, key, ": expected a list"));
    out->clear();
    for (const auto& item : list) {
      if (!item.IsScalar()) return Say(item, StrCat(where_, key, ": expected a list of words"));
      out->push_back(Line(item, key));
    }
  }
  void Map(const char* key, std::map<std::string, std::string>* out) {
    const YAML::Node map = At(key);
    if (!map.IsDefined() || map.IsNull()) return;
    if (!map.IsMap()) return Say(map, StrCat(where_, key, ": expected keys and values"));
    for (const auto& entry : map) {
      if (!entry.first.IsScalar() || !entry.second.IsScalar())
        return Say(entry.first, StrCat(where_, key, ": expected a word and a value"));
      (*out)[Line(entry.first, key)] = Line(entry.second, key);
    }
  }
  void Number(const char* key, int64_t* out, int64_t low, int64_t high) {
    const YAML::Node v = At(key);
    if (!v.IsDefined() || v.IsNull()) return;
    int64_t n = 0;
    if (!v.IsScalar() || !YAML::convert<int64_t>::decode(v, n) || n < low || n > high)
      return Say(v, StrCat(where_, key, ": expected a whole number from ", low, " to ", high));
    *out = n;
  }
  void Flag(const char* key, bool* out) {
    const YAML::Node v = At(key);
    if (!v.IsDefined() || v.IsNull()) return;
    if (!v.IsScalar() || !YAML::convert<bool>::decode(v, *out))
      Say(v, StrCat(where_, key, ": expected true or false"));
  }
  void Check(const char* key, bool good, std::string_view what) {
    if (good) return;
    const YAML::Node v = At(key);
    Say(v.IsDefined() ? v : node_, StrCat(where_, key, ": ", what));
  }

 private:
  template <typename C>
  static std::string Join(const C& words) {
    std::string out;
    for (const auto& w : words) out += (out.empty() ? "" : ", ") + std::string(w);
    return out;
  }
  // The text of a scalar: one line, as names, paths and addresses are.
  const std::string& Line(const YAML::Node& v, const char* key) {
    const std::string& text = v.Scalar();
    const bool plain = std::none_of(text.begin(), text.end(),
                                    [](unsigned char c) { return c < 0x20 || c == 0x7f; });
    if (!plain || text.size() > kTextBytes)
      Say(v, StrCat(where_, key, ": expected one line of at most ", kTextBytes, " bytes"));
    return text;
  }
  YAML::Node At(const char* key) {
    known_.insert(key);
    return node_.IsMap() ? static_cast<const YAML::Node&>(node_)[key]
                         : YAML::Node(YAML::NodeType::Undefined);
  }
  void Say(const YAML::Node& at, std::string what) {
    if (problems_->size() == kProblemsMax) return;
    const YAML::Mark mark = at.IsDefined() ? at.Mark() : YAML::Mark::null_mark();
    problems_->push_back({mark.line + 1, std::move(what)});
  }
  YAML::Node node_;
  const std::string where_;
  std::vector<Problem>* const problems_;
  std::set<std::string> known_;
};

class Writer {
 public:
  explicit Writer(std::string indent, std::string path, std::string* yaml,
                  std::map<std::string, std::string>* flat)
      : indent_(std::move(indent)), path_(std::move(path)), yaml_(yaml), flat_(flat) {}
  static constexpr bool kReads = false;

  template <typename F>
  void Section(const char* key, F body) {
    Line(key, "");
    Writer inner(indent_ + "  ", StrCat(path_, key, "."), yaml_, flat_);
    body(inner);
  }
  template <typename T, typename F>
  void List(const char* key, std::vector<T>* in, F body) {
    if (in->empty()) return Line(key, "[]");
    Line(key, "");
    std::string all;
    for (T& item : *in) {
      std::string text;
      std::map<std::string, std::string> ignored;
      Writer inner(indent_ + "    ", "", &text, &ignored);
      body(inner, &item);
      text[indent_.size() + 2] = '-';
      all += text;
    }
    *yaml_ += all;
    (*flat_)[path_ + key] = all;
  }
  void Text(const char* key, std::string* in) { Line(key, Quoted(*in)); }
  void Word(const char* key, std::string* in, const std::vector<std::string>&) { Line(key, *in); }
  void Words(const char* key, std::vector<std::string>* in) {
    std::string out = "[";
    for (const auto& w : *in) out += (out.size() > 1 ? ", " : "") + Quoted(w);
    Line(key, out + "]");
  }
  void Map(const char* key, std::map<std::string, std::string>* in) {
    std::string out = "{";
    for (const auto& [k, v] : *in)
      out += (out.size() > 1 ? ", " : "") + Quoted(k) + ": " + Quoted(v);
    Line(key, out + "}");
  }
  void Number(const char* key, int64_t* in, int64_t, int64_t) { Line(key, std::to_string(*in)); }
  void Flag(const char* key, bool* in) { Line(key, *in ? "true" : "false"); }
  void Check(const char*, bool, std::string_view) {}

 private:
  static std::string Quoted(const std::string& s) {
    std::string out = "'";
    for (const char c : s) out += c == '\'' ? std::string("''") : std::string(1, c);
    return out + "'";
  }
  void Line(std::string_view key, std::string_view value) {
    *yaml_ += StrCat(indent_, key, value.empty() ? ":" : ": ", value, "\n");
    if (!value.empty()) (*flat_)[StrCat(path_, key)] = value;
  }
  const std::string indent_, path_;
  std::string* const yaml_;
  std::map<std::string, std::string>* const flat_;
};

template <typename V>
void Where(V& v, Secret* s, const char* env, const char* file) {
  v.Text(env, &s->env);
  v.Text(file, &s->file);
  v.Check(file, s->env.empty() || s->file.empty(), StrCat("give it or ", env, ", not both"));
}

template <typename V>
void Visit(V& v, Config* c) {
  constexpr int64_t kPortMax = 65'535;
  v.Text("data", &c->data);
  v.Check("data", !c->data.empty(), "a folder is needed");
  v.Text("lake", &c->lake);
  if (lake::IsLakeUrl(c->lake)) {
    const auto url = lake::ParseLakeUrl(c->lake);
    v.Check("lake", url.ok(),
            "expected a folder, clickhouse://user@host:8123/database?cluster=NAME, or unix:PATH");
    v.Check("lake", !url.ok() || url->password.empty(),
            "a password does not belong here: name it in STILLWATCH_LAKE_PASSWORD, or its file in "
            "STILLWATCH_LAKE_PASSWORD_FILE");
  }
  v.Section("listen", [&](V& s) {
    s.Text("address", &c->listen.address);
    s.Number("port", &c->listen.port, 0, kPortMax);
    s.Flag("insecure", &c->listen.insecure);
  });
  v.Section("otlp", [&](V& s) {
    s.Section("http", [&](V& p) {
      p.Flag("enabled", &c->otlp_http.enabled);
      p.Number("port", &c->otlp_http.port, 0, kPortMax);
    });
    s.Section("grpc", [&](V& p) {
      p.Flag("enabled", &c->otlp_grpc.enabled);
      p.Number("port", &c->otlp_grpc.port, 0, kPortMax);
    });
  });
  v.Section("ext_authz", [&](V& s) {
    s.Flag("enabled", &c->ext_authz.enabled);
    s.Text("address", &c->ext_authz.address);
    s.Number("port", &c->ext_authz.port, 0, kPortMax);
  });
  v.Section("tls", [&](V& s) {
    s.Text("certificate", &c->tls.certificate);
    s.Text("key", &c->tls.key);
    s.Check("certificate", c->tls.certificate.empty() == c->tls.key.empty(),
            "certificate and key go together");
  });
  v.List("tokens", &c->tokens, [&](V& s, Config::Token* t) {
    s.Text("person", &t->person);
    s.Check("person", !t->person.empty(), "whose token is it?");
    s.Words("roles", &t->roles);
    bool known = !t->roles.empty();
    for (const auto& r : t->roles) known &= serve::RoleOf(r).has_value();
    s.Check("roles", known, "expected some of ingest, decide, analyst, approver, admin, share");
    s.Text("hash", &t->hash);
    s.Check("hash", t->hash.empty() || serve::ParseTokenHash(t->hash).has_value(),
            "expected 64 hex digits, as `stillwatch config token` prints them");
    Where(s, &t->secret, "env", "file");
    s.Check("hash", t->hash.empty() != t->secret.empty(), "one of hash, env and file is needed");
    s.Text("expires", &t->expires);
    s.Check("expires", t->expires.empty() || base::ParseRfc3339(t->expires).has_value(),
            "expected a time like 2027-01-01T00:00:00Z");
  });
  v.Section("threads", [&](V& s) {
    s.Number("io", &c->threads.io, 1, 64);
    s.Number("pool", &c->threads.pool, 1, 256);
  });
  v.Section("limits", [&](V& s) {
    s.Number("body_mib", &c->limits.body_mib, 1, 1024);
    s.Number("bodies_in_flight_mib", &c->limits.bodies_in_flight_mib, 1, 65'536);
    s.Number("connections", &c->limits.connections, 1, 1'000'000);
    s.Number("pool_queue", &c->limits.pool_queue, 1, 100'000);
    s.Number("header_s", &c->limits.header_s, 1, 3600);
    s.Number("body_s", &c->limits.body_s, 1, 3600);
    s.Number("idle_s", &c->limits.idle_s, 1, 3600);
    s.Check("bodies_in_flight_mib", c->limits.bodies_in_flight_mib >= c->limits.body_mib,
            "smaller than body_mib: no longest body could ever come in");
  });
  v.Section("log", [&](V& s) {
    s.Word("level", &c->log.level, {"debug", "info", "warn", "error"});
    s.Text("file", &c->log.file);
  });
  v.Section("gate", [&](V& s) {
    s.Text("account_header", &c->gate.account_header);
    s.Text("key_header", &c->gate.key_header);
    s.Text("org_header", &c->gate.org_header);
    s.Text("model_header", &c->gate.model_header);
    s.Flag("hash_keys", &c->gate.hash_keys);
    s.Number("trusted_hops", &c->gate.trusted_hops, 0, 16);
    s.Word("deny_style", &c->gate.deny_style, {"native", "nginx"});
  });
  v.Section("policy", [&](V& s) {
    s.Text("file", &c->policy.file);
    s.Number("approval_accounts", &c->policy.approval_accounts, 0, 1'000'000'000);
  });
  v.Section("audit", [&](V& s) { s.Text("signing_key", &c->audit_signing_key); });
  v.Text("accounts", &c->accounts);
  v.Words("permits", &c->permits);
  v.Words("known", &c->known);
  v.Words("mmdb", &c->mmdb);
  v.Section("imports", [&](V& s) { s.Words("blinding_keys", &c->imports.blinding_keys); });
  v.Section("sharing", [&](V& s) {
    s.Section("keys", [&](V& k) {
      k.Text("provider", &c->sharing_keys.provider);
      k.Text("cloud", &c->sharing_keys.cloud);
      k.Text("government", &c->sharing_keys.government);
    });
  });
  v.Section("passes", [&](V& s) {
    s.Flag("enabled", &c->passes.enabled);
    s.Number("interval_s", &c->passes.interval_s, 1, 86'400);
    s.Number("window_days", &c->passes.window_days, 0, 3660);
    s.Number("threads", &c->passes.threads, 1, 256);
    s.Number("memory_mib", &c->passes.memory_mib, 256, 1 << 20);
  });
  v.Section("journal", [&](V& s) { s.Number("max_mib", &c->journal.max_mib, 16, 1 << 24); });
  v.List("alerts", &c->alerts, [&](V& s, Config::Alert* a) {
    s.Text("name", &a->name);
    s.Check("name", !a->name.empty(), "a name is needed, for logs and metrics");
    s.Word("kind", &a->kind, {"webhook", "otlp"});
    s.Text("url", &a->url);
    s.Check("url", a->url.starts_with("http://") || a->url.starts_with("https://"),
            "expected http:// or https://");
    Where(s, &a->secret, "secret_env", "secret_file");
    s.Check("secret_env", a->kind != "webhook" || !a->secret.empty(),
            "a webhook is signed: name where its secret lies");
  });
  v.Section("kafka", [&](V& s) {
    s.Text("brokers", &c->kafka.brokers);
    s.Text("topic", &c->kafka.topic);
    s.Text("group", &c->kafka.group);
    s.Word("format", &c->kafka.format,
           {"canonical", "accounts", "litellm", "otlp_traces", "otlp_logs", "otlp_traces_json",
            "otlp_logs_json"});
    s.Map("properties", &c->kafka.properties);
    bool secret = false;
    for (const auto& [k, value] : c->kafka.properties) secret |= k.find("password") != k.npos;
    s.Check("properties", !secret,
            "no password stands in this file: password_env or password_file names it");
    Where(s, &c->kafka.password, "password_env", "password_file");
    s.Check("topic", c->kafka.brokers.empty() == c->kafka.topic.empty(),
            "brokers and topic go together");
  });
  v.Section("compare", [&](V& s) {
    s.Text("peers", &c->compare.peers);
    s.Text("set", &c->compare.set);
    s.Text("address", &c->compare.address);
    s.Number("port", &c->compare.port, 0, kPortMax);
    s.Number("threads", &c->compare.threads, 1, 256);
    s.Check("peers", c->compare.peers.empty() == c->compare.set.empty(),
            "peers and set, the items that answer, go together");
    s.Check("peers", c->compare.peers.empty() || !c->tls.certificate.empty(),
            "a comparison needs tls.certificate and tls.key");
  });
  v.Number("drain_s", &c->drain_s, 0, 3600);
}

void Write(const Config& config, std::string* yaml, std::map<std::string, std::string>* flat) {
  Config copy = config;
  Writer w("", "", yaml, flat);
  Visit(w, &copy);
}

}  // namespace

absl::StatusOr<std::string> ReadSecret(const Secret& secret, size_t bytes_min) {
  std::string out;
  if (!secret.env.empty()) {
    const char* v = std::getenv(secret.env.c_str());
    if (v == nullptr) {
      return absl::InvalidArgumentError(
          StrCat("the environment variable ", secret.env, " is not set"));
    }
    out = v;
  } else {
    auto read = ReadFile(secret.file, kConfigBytesMax);
    if (!read.ok()) return read.status();
    out = *std::move(read);
    while (!out.empty() && (out.back() == '\n' || out.back() == '\r')) out.pop_back();
  }
  if (out.size() < bytes_min) {
    return absl::InvalidArgumentError(StrCat(secret.env.empty() ? secret.file : secret.env,
                                             ": a secret has at least ", bytes_min, " bytes"));
  }
  return out;
}

Config ParseConfig(std::string_view yaml, std::vector<Problem>* problems) {
  Config out;
  if (yaml.size() > kConfigBytesMax) {
    problems->push_back({0, StrCat("longer than ", kConfigBytesMax, " bytes")});
    return out;
  }
  try {
    const YAML::Node root = YAML::Load(std::string(yaml));
    Reader reader(root, "", problems);
    Visit(reader, &out);
  } catch (const YAML::Exception& e) {
    if (problems->size() < kProblemsMax) problems->push_back({e.mark.line + 1, e.msg});
  }
  return out;
}

absl::StatusOr<Config> ReadConfig(const std::string& path) {
  const auto text = ReadFile(path, kConfigBytesMax);
  if (!text.ok()) {
    return absl::InvalidArgumentError(StrCat("config: ", std::string(text.status().message())));
  }
  std::vector<Problem> problems;
  Config config = ParseConfig(*text, &problems);
  if (problems.empty()) return config;
  std::stable_sort(problems.begin(), problems.end(),
                   [](const Problem& a, const Problem& b) { return a.line < b.line; });
  std::string all;
  for (const Problem& p : problems)
    base::StrAppend(&all, all.empty() ? "" : "\n", path, ":", p.line, ": ", p.what);
  return absl::InvalidArgumentError(all);
}

std::string PrintConfig(const Config& config) {
  std::string yaml;
  std::map<std::string, std::string> flat;
  Write(config, &yaml, &flat);
  return yaml;
}

std::vector<std::string> ChangedKeys(const Config& a, const Config& b) {
  std::string yaml;
  std::map<std::string, std::string> x, y;
  Write(a, &yaml, &x);
  Write(b, &yaml, &y);
  std::vector<std::string> out;
  for (const auto& [key, value] : x) {
    const auto it = y.find(key);
    if (it == y.end() || it->second != value) out.push_back(key);
  }
  for (const auto& [key, value] : y) {
    if (!x.count(key)) out.push_back(key);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace stillwatch::app
