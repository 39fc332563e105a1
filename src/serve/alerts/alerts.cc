#include "serve/alerts/alerts.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <simdjson.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>

#include "base/hash.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/str.h"
#include "base/text.h"
#include "base/time.h"
#include "base/write_file.h"

namespace stillwatch::serve {
namespace {

using base::JsonWriter;
using base::StrCat;
using watch::Change;
namespace fs = std::filesystem;

constexpr size_t kReplyBytesMax = 64 << 10;  // of a receiver's reply; the rest is not read
constexpr size_t kSecretBytesMin = 16;

std::string Sentence(const Alert& a) {
  std::string out = StrCat("Campaign ", a.name, " (", a.campaign, ") ", a.kind);
  if (!a.other.empty()) out += StrCat(a.kind == "merged" ? " into " : " from ", a.other);
  return out + StrCat(": ", a.verdict, ", ", base::Percent(a.probability), ", ",
                      base::Grouped(a.exchanges), " exchanges of ", base::Grouped(a.accounts),
                      " accounts");
}

// The alert of a line that AlertJson wrote.
absl::StatusOr<Alert> ParseAlert(const std::string& line) {
  simdjson::dom::parser parser;
  Alert a;
  try {
    const simdjson::dom::element e = parser.parse(line);
    const auto text = [&](const char* key) { return std::string(std::string_view(e[key])); };
    const auto time = [&](const char* key) { return base::ParseRfc3339(text(key)).value_or(0); };
    a.id = text("id");
    a.ms = time("time");
    a.kind = text("kind");
    a.campaign = text("campaign");
    a.name = text("name");
    a.other = text("other");
    a.verdict = text("verdict");
    a.verdict_before = text("verdict_before");
    a.summary = text("summary");
    a.capability = text("capability");
    a.probability = double(e["probability"]);
    a.exchanges = uint64_t(e["exchanges"]);
    a.accounts = uint64_t(e["accounts"]);
    a.pass = uint64_t(e["pass"]);
    a.first_seen_ms = time("first_seen");
    a.last_seen_ms = time("last_seen");
  } catch (const simdjson::simdjson_error& error) {
    return absl::DataLossError(error.what());
  }
  return a;
}

// Whole or not at all, and on the disk when it returns.
absl::Status WriteDurably(const std::string& path, const std::string& bytes) {
  const int error = base::WriteFileDurably(path, bytes);
  if (error == 0) return absl::OkStatus();
  const std::string text = StrCat(path, ": ", std::strerror(error));
  return error == ENOSPC ? absl::ResourceExhaustedError(text + "; free space")
                         : absl::UnavailableError(text);
}

void SyncFolder(const std::string& dir) {
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

std::string Slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// "00...42-0f3c.json": in the order of their offering.
std::string IdOf(const std::string& file) {
  const size_t dash = file.rfind('-');
  return dash == std::string::npos ? "" : file.substr(dash + 1, file.size() - dash - 6);
}

enum class Outcome : uint8_t { kTaken, kRefused, kLater, kStopped };
struct Attempt {
  Outcome outcome = Outcome::kLater;
  std::string why;
  int64_t retry_after_ms = 0;
};

}  // namespace

std::vector<Alert> AlertsOf(const engine::PassFindings& pass) {
  std::unordered_map<std::string, const model::Campaign*> campaigns;
  for (const model::Campaign& c : pass.findings.campaigns) campaigns[c.id] = &c;
  std::vector<Alert> out;
  const std::vector<watch::Event>& events = pass.events;
  for (size_t begin = 0, end; begin < events.size(); begin = end) {
    end = begin;
    bool opened = false;
    std::string from;
    const watch::Event* verdict = nullptr;
    for (; end < events.size() && events[end].id == events[begin].id; ++end) {
      const watch::Event& e = events[end];
      opened |= e.change == Change::kOpened;
      if (e.change == Change::kSplit) from = e.other;
      if (e.change == Change::kVerdict) verdict = &e;
    }
    for (size_t i = begin; i < end; ++i) {
      const watch::Event& e = events[i];
      if (opened ? e.change != Change::kOpened
                 : (!e.open && e.change != Change::kClosed) || e.change == Change::kVerdict) {
        continue;
      }
      Alert a;
      a.id = base::Hex(
          base::Combine64(base::Combine64(base::Hash64(e.id), static_cast<uint64_t>(e.change)),
                          base::Combine64(base::Combine64(e.pass, e.exchanges), e.accounts)));
      a.ms = pass.ended_ms;
      a.kind = watch::ChangeName(e.change);
      a.campaign = e.id;
      a.other = opened ? from : e.other;
      a.verdict = model::VerdictName(e.verdict);
      if (verdict != nullptr) a.verdict_before = model::VerdictName(verdict->before);
      a.probability = e.probability;
      a.exchanges = e.exchanges;
      a.accounts = e.accounts;
      a.pass = e.pass;
      if (const auto it = campaigns.find(e.id); it != campaigns.end()) {
        const model::Campaign& c = *it->second;
        a.name = c.name;
        a.summary = c.summary;
        if (!c.capabilities.empty()) a.capability = model::CapabilityName(c.capabilities[0].first);
        a.first_seen_ms = c.first_seen_ms;
        a.last_seen_ms = c.last_seen_ms;
      }
      out.push_back(std::move(a));
    }
  }
  return out;
}

std::string AlertJson(const Alert& a) {
  std::string out;
  JsonWriter w(&out);
  const auto text = [&](const char* key, std::string_view v) {
    w.Key(key);
    w.String(v);
  };
  const auto number = [&](const char* key, uint64_t v) {
    w.Key(key);
    w.Uint(v);
  };
  w.BeginObject();
  text("schema", "stillwatch.alert/1");
  text("id", a.id);
  text("time", base::FormatRfc3339(a.ms));
  text("kind", a.kind);
  text("campaign", a.campaign);
  text("name", a.name);
  text("other", a.other);
  text("verdict", a.verdict);
  text("verdict_before", a.verdict_before);
  w.Key("probability");
  w.Double(a.probability);
  number("exchanges", a.exchanges);
  number("accounts", a.accounts);
  text("capability", a.capability);
  text("first_seen", base::FormatRfc3339(a.first_seen_ms));
  text("last_seen", base::FormatRfc3339(a.last_seen_ms));
  text("summary", a.summary);
  number("pass", a.pass);
  w.EndObject();
  return out;
}

std::string AlertOtlp(const Alert& a) {
  std::string out;
  JsonWriter w(&out);
  const auto value = [&](const char* type, std::string_view v) {
    w.BeginObject();
    w.Key(type);
    w.String(v);
    w.EndObject();
  };
  const auto attribute = [&](const char* key, const char* type, std::string_view v) {
    w.BeginObject();
    w.Key("key");
    w.String(key);
    w.Key("value");
    value(type, v);
    w.EndObject();
  };
  const auto list = [&](const char* key, const auto& body) {
    w.Key(key);
    w.BeginArray();
    body();
    w.EndArray();
  };
  const bool quiet = a.kind == "closed" || a.kind == "faded";
  const std::string nanos = StrCat(a.ms, "000000");
  w.BeginObject();
  list("resourceLogs", [&] {
    w.BeginObject();
    w.Key("resource");
    w.BeginObject();
    list("attributes", [&] { attribute("service.name", "stringValue", "stillwatch"); });
    w.EndObject();
    list("scopeLogs", [&] {
      w.BeginObject();
      w.Key("scope");
      w.BeginObject();
      w.Key("name");
      w.String("stillwatch.alerts");
      w.EndObject();
      list("logRecords", [&] {
        w.BeginObject();
        w.Key("timeUnixNano");
        w.String(nanos);
        w.Key("observedTimeUnixNano");
        w.String(nanos);
        w.Key("severityNumber");
        w.Int(quiet ? 9 : 13);
        w.Key("severityText");
        w.String(quiet ? "INFO" : "WARN");
        w.Key("body");
        value("stringValue", Sentence(a));
        list("attributes", [&] {
          attribute("event.name", "stringValue", StrCat("stillwatch.campaign.", a.kind));
          attribute("stillwatch.alert.id", "stringValue", a.id);
          attribute("stillwatch.campaign.id", "stringValue", a.campaign);
          attribute("stillwatch.campaign.name", "stringValue", a.name);
          attribute("stillwatch.campaign.verdict", "stringValue", a.verdict);
          attribute("stillwatch.campaign.capability", "stringValue", a.capability);
          attribute("stillwatch.campaign.exchanges", "intValue", std::to_string(a.exchanges));
          attribute("stillwatch.campaign.accounts", "intValue", std::to_string(a.accounts));
          if (!a.other.empty()) attribute("stillwatch.campaign.other", "stringValue", a.other);
          w.BeginObject();
          w.Key("key");
          w.String("stillwatch.campaign.probability");
          w.Key("value");
          w.BeginObject();
          w.Key("doubleValue");
          w.Double(a.probability);
          w.EndObject();
          w.EndObject();
        });
        w.EndObject();
      });
      w.EndObject();
    });
    w.EndObject();
  });
  w.EndObject();
  return out;
}

std::string SignWebhook(std::string_view secret, int64_t timestamp_s, std::string_view body) {
  const std::string head = StrCat(timestamp_s, ".");
  const auto bytes = [](std::string_view s) {
    return reinterpret_cast<const unsigned char*>(s.data());
  };
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, bytes(secret), secret.size());
  crypto_auth_hmacsha256_update(&state, bytes(head), head.size());
  crypto_auth_hmacsha256_update(&state, bytes(body), body.size());
  unsigned char mac[crypto_auth_hmacsha256_BYTES];
  crypto_auth_hmacsha256_final(&state, mac);
  char hex[2 * sizeof mac + 1];
  sodium_bin2hex(hex, sizeof hex, mac, sizeof mac);
  return StrCat("v1=", static_cast<const char*>(hex));
}

class Alerts::Impl {
 public:
  explicit Impl(AlertOptions options) : options_(std::move(options)) {}

  ~Impl() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (auto& line : lines_)
      if (line->thread.joinable()) line->thread.join();
  }

  absl::Status Open() {
    if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
      return absl::InternalError("alerts: libsodium or libcurl cannot start");
    if (options_.receivers.size() > kReceiversMax) {
      return absl::InvalidArgumentError(
          StrCat("alerts: ", options_.receivers.size(), " receivers, at most ", kReceiversMax));
    }
    std::set<std::string> names;
    for (const AlertReceiver& r : options_.receivers) {
      const auto wrong = [&](const std::string& why) {
        return absl::InvalidArgumentError(StrCat("alerts: receiver \"", r.name, "\": ", why));
      };
      const bool plain = !r.name.empty() && r.name.size() <= 64 &&
                         std::all_of(r.name.begin(), r.name.end(), [](unsigned char c) {
                           return std::isalnum(c) != 0 || c == '-' || c == '_';
                         });
      if (!plain) return wrong("its name is letters, digits, - and _, at most 64");
      if (!names.insert(r.name).second) return wrong("there are two of that name");
      if (!r.url.starts_with("http://") && !r.url.starts_with("https://"))
        return wrong("its url begins with http:// or https://");
      if (r.kind == AlertReceiver::Kind::kWebhook && r.secret.size() < kSecretBytesMin)
        return wrong(StrCat("its secret has at least ", kSecretBytesMin, " bytes"));
      for (const auto& [key, value] : r.headers) {
        if ((key + value).find_first_of("\r\n") != std::string::npos)
          return wrong("a header holds a line break");
      }
    }
    for (const AlertReceiver& r : options_.receivers) {
      auto line = std::make_unique<Line>();
      line->receiver = r;
      line->dir = StrCat(options_.dir, "/queue/", r.name);
      std::error_code error;
      fs::create_directories(line->dir, error);
      for (const auto& entry : fs::directory_iterator(line->dir, error)) {
        const std::string name = entry.path().filename().string();
        if (name.ends_with(".json"))
          line->waiting.insert(name);
        else
          fs::remove(entry.path(), error);  // cut short: it was never offered
      }
      if (error || access(line->dir.c_str(), W_OK) != 0)
        return absl::InvalidArgumentError(StrCat(line->dir, ": alerts cannot be kept there"));
      for (const std::string& name : line->waiting) {
        next_ = std::max<uint64_t>(next_, std::strtoull(name.c_str(), nullptr, 10) + 1);
      }
      lines_.push_back(std::move(line));
    }
    std::ifstream in(options_.dir + "/offered");
    for (std::string id; std::getline(in, id);) offered_.insert(id);
    for (auto& line : lines_) line->thread = std::thread([this, l = line.get()] { Deliver(l); });
    return absl::OkStatus();
  }

  absl::Status Offer(const std::vector<Alert>& alerts) {
    if (alerts.empty() || lines_.empty()) return absl::OkStatus();
    const std::lock_guard<std::mutex> offer(offer_mutex_);
    std::string ids;
    for (const Alert& a : alerts) {
      ids += a.id + "\n";
      if (offered_.contains(a.id)) continue;
      std::string number = std::to_string(next_++);
      number.insert(0, 20 - number.size(), '0');
      const std::string name = StrCat(number, "-", a.id, ".json"), json = AlertJson(a);
      for (auto& line : lines_) {
        {
          const std::lock_guard<std::mutex> lock(mutex_);
          if (std::any_of(line->waiting.begin(), line->waiting.end(),
                          [&](const std::string& n) { return IdOf(n) == a.id; })) {
            continue;
          }
        }
        if (absl::Status s = WriteDurably(line->dir + "/" + name, json); !s.ok()) return s;
        std::string oldest;
        {
          const std::lock_guard<std::mutex> lock(mutex_);
          line->waiting.insert(name);
          ++stats_.offered;
          if (line->waiting.size() > kQueueMax) {
            // Not the one that is on its way.
            oldest = *std::find_if(line->waiting.begin(), line->waiting.end(),
                                   [&](const std::string& n) { return n != line->at; });
            line->waiting.erase(oldest);
          }
        }
        if (!oldest.empty())
          Bury(line.get(), oldest, StrCat("more than ", kQueueMax, " alerts were waiting"));
      }
    }
    for (auto& line : lines_) SyncFolder(line->dir);
    wake_.notify_all();
    if (absl::Status s = WriteDurably(options_.dir + "/offered", ids); !s.ok()) return s;
    offered_.clear();
    for (const Alert& a : alerts) offered_.insert(a.id);
    return absl::OkStatus();
  }

  AlertStats stats() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    AlertStats s = stats_;
    for (const auto& line : lines_) s.waiting += line->waiting.size();
    return s;
  }

 private:
  struct Line {
    AlertReceiver receiver;
    std::string dir;
    std::set<std::string> waiting;  // names of files
    std::string at;                 // the one that is being delivered
    std::thread thread;
  };

  void Deliver(Line* line) {
    CURL* curl = curl_easy_init();
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return stop_ || !line->waiting.empty(); });
      if (stop_) break;
      const std::string name = line->at = *line->waiting.begin();
      lock.unlock();
      const auto alert = ParseAlert(Slurp(line->dir + "/" + name));
      Attempt last;
      int64_t wait = options_.retry_first_ms;
      bool stopped = false;
      if (!alert.ok()) {
        last = {Outcome::kRefused, "its file is damaged", 0};
      } else {
        for (int attempt = 1;; ++attempt) {
          last = Post(curl, line->receiver, *alert);
          if (last.outcome != Outcome::kLater) break;
          if (attempt == 1) {
            options_.note(StrCat("alert receiver ", line->receiver.name, " cannot be told (",
                                 last.why, "); trying again"));
          }
          std::unique_lock<std::mutex> sleep(mutex_);
          ++stats_.failed;
          if (attempt == kAttemptsMax) break;
          const int64_t ms = std::min(kRetryMaxMs, std::max(wait, last.retry_after_ms));
          stopped = wake_.wait_for(sleep, std::chrono::milliseconds(ms), [&] { return stop_; });
          wait *= 2;
          if (stopped) break;
        }
      }
      lock.lock();
      line->at.clear();
      if (stopped || last.outcome == Outcome::kStopped) break;
      if (line->waiting.erase(name) == 0) continue;
      if (last.outcome == Outcome::kTaken) {
        ++stats_.delivered;
        unlink((line->dir + "/" + name).c_str());
        continue;
      }
      lock.unlock();
      Bury(line, name, last.why);
      lock.lock();
    }
    lock.unlock();
    curl_easy_cleanup(curl);
  }

  // A letter that cannot be delivered: told, kept, and out of the way.
  void Bury(Line* line, const std::string& name, const std::string& why) {
    const std::string from = line->dir + "/" + name, path = options_.dir + "/dead.jsonl";
    std::string entry = "{\"receiver\":";
    base::AppendJsonString(line->receiver.name, &entry);
    entry += ",\"why\":";
    base::AppendJsonString(why, &entry);
    std::string body = Slurp(from);
    if (!ParseAlert(body).ok()) body = "null";
    entry += StrCat(",\"alert\":", body, "}\n");
    const std::lock_guard<std::mutex> lock(dead_mutex_);
    struct stat st {};
    if (stat(path.c_str(), &st) == 0 &&
        static_cast<size_t>(st.st_size) + entry.size() > kDeadBytesMax)
      std::rename(path.c_str(), (path + ".1").c_str());
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const bool kept = fd >= 0 &&
                      write(fd, entry.data(), entry.size()) == static_cast<ssize_t>(entry.size()) &&
                      fsync(fd) == 0;
    if (fd >= 0) close(fd);
    options_.note(StrCat("alert ", IdOf(name), " to ", line->receiver.name, " was not delivered (",
                         why, ")", kept ? "; it is in " : " and could not be written to ", path));
    if (kept) unlink(from.c_str());
    const std::lock_guard<std::mutex> counting(mutex_);
    ++stats_.dead;
  }

  static size_t TakeReply(char* data, size_t one, size_t n, void* to) {
    auto* reply = static_cast<std::string*>(to);
    if (reply->size() + one * n > kReplyBytesMax) return 0;
    reply->append(data, one * n);
    return one * n;
  }
  static int Going(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    auto* impl = static_cast<Impl*>(self);
    const std::lock_guard<std::mutex> lock(impl->mutex_);
    return impl->stop_ ? 1 : 0;
  }

  Attempt Post(CURL* curl, const AlertReceiver& r, const Alert& alert) {
    const bool webhook = r.kind == AlertReceiver::Kind::kWebhook;
    const std::string body = webhook ? AlertJson(alert) : AlertOtlp(alert);
    curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/json");
    const auto header = [&](const std::string& h) {
      headers = curl_slist_append(headers, h.c_str());
    };
    header("Expect:");
    if (webhook) {
      const int64_t now_s = options_.now_ms() / 1000;
      header(StrCat("X-Stillwatch-Timestamp: ", now_s));
      header(StrCat("X-Stillwatch-Signature: ", SignWebhook(r.secret, now_s, body)));
    }
    for (const auto& [key, value] : r.headers) header(StrCat(key, ": ", value));
    std::string reply;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, r.url.c_str());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "stillwatch");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(kAttemptTimeoutMs));
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Impl::TakeReply);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &Impl::Going);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, this);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    const CURLcode code = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    if (code == CURLE_ABORTED_BY_CALLBACK) return {Outcome::kStopped, "stopped", 0};
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    // A reply that is too long is a reply.
    if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && status > 0))
      return {Outcome::kLater, curl_easy_strerror(code), 0};
    const std::string why = StrCat("status ", status);
    if (status >= 200 && status < 300) {
      simdjson::dom::parser parser;
      simdjson::dom::element e;
      std::string_view rejected;
      uint64_t count = 0;
      if (!webhook && parser.parse(reply).get(e) == simdjson::SUCCESS) {
        const auto field = e["partialSuccess"]["rejectedLogRecords"];
        if (field.get(count) == simdjson::SUCCESS
                ? count > 0
                : field.get(rejected) == simdjson::SUCCESS && rejected != "0")
          return {Outcome::kRefused, "the collector rejected the record", 0};
      }
      return {Outcome::kTaken, "", 0};
    }
    if (status < 500 && status != 408 && status != 425 && status != 429)
      return {Outcome::kRefused, why, 0};
    curl_off_t after = 0;
    curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &after);
    return {Outcome::kLater, why, std::min<int64_t>(after, kRetryMaxMs / 1000) * 1000};
  }

  AlertOptions options_;
  std::vector<std::unique_ptr<Line>> lines_;
  std::mutex offer_mutex_, dead_mutex_;
  std::set<std::string> offered_;  // ids of the last offer
  uint64_t next_ = 1;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  AlertStats stats_;
};

Alerts::Alerts(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Alerts::~Alerts() = default;

absl::StatusOr<std::unique_ptr<Alerts>> Alerts::Open(AlertOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  if (absl::Status s = impl->Open(); !s.ok()) return s;
  return std::unique_ptr<Alerts>(new Alerts(std::move(impl)));
}

absl::Status Alerts::Offer(const std::vector<Alert>& alerts) { return impl_->Offer(alerts); }
AlertStats Alerts::stats() const { return impl_->stats(); }

}  // namespace stillwatch::serve
