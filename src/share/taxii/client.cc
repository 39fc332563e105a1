#include "share/taxii/client.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <thread>
#include <unordered_set>

#include "base/hash.h"
#include "base/str.h"
#include "base/time.h"
#include "share/taxii/envelope.h"
#include "share/taxii/media.h"

namespace stillwatch::share {
namespace {

using base::StrCat;
using std::chrono::milliseconds;

constexpr size_t kRootsMax = 100, kCollectionsMax = 10'000;
constexpr size_t kShownBytes = 300;  // of a peer's own words

bool SameNoCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return (x | 0x20) == (y | 0x20);
         });
}

// A peer's words, fit for a terminal.
std::string Shown(std::string_view text) {
  std::string out;
  text = text.substr(0, kShownBytes);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    const bool second = c == 0xc2 && next >= 0x80 && next < 0xa0;  // U+0080 to U+009F, in UTF-8
    out.push_back(c < 0x20 || c == 0x7f || second ? ' ' : text[i]);
    i += second ? 1 : 0;
  }
  return out;
}

// libcurl's parser; empty parts when the address is none.
class Url {
 public:
  Url() : handle_(curl_url()) {}
  ~Url() { curl_url_cleanup(handle_); }
  Url(const Url&) = delete;
  Url& operator=(const Url&) = delete;
  // Relative ones are resolved against what is set.
  bool Set(const std::string& url) {
    return curl_url_set(handle_, CURLUPART_URL, url.c_str(), 0) == CURLUE_OK;
  }
  bool SetPart(CURLUPart part, const char* value) {
    return curl_url_set(handle_, part, value, 0) == CURLUE_OK;
  }
  std::string Part(CURLUPart part, unsigned flags = 0) const {
    char* text = nullptr;
    if (curl_url_get(handle_, part, &text, flags) != CURLUE_OK) return {};
    std::string out = text;
    curl_free(text);
    return out;
  }
  std::string Origin() const {
    return StrCat(Part(CURLUPART_SCHEME), "://", Part(CURLUPART_HOST), ":",
                  Part(CURLUPART_PORT, CURLU_DEFAULT_PORT));
  }

 private:
  CURLU* const handle_;
};

bool Loopback(std::string_view host) {
  return host == "localhost" || host == "[::1]" || host == "::1" || host.starts_with("127.");
}

std::string Escape(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
        std::strchr("-_.", c) != nullptr) {
      out.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

struct Reply {
  long status = 0;
  std::string body, content_type, date_first, date_last, retry_after, location;
  bool too_long = false;
};

struct Transfer {
  Reply* reply;
  const std::atomic<bool>* stop;
};

size_t OnBody(char* data, size_t, size_t n, void* p) {
  Reply& r = *static_cast<Transfer*>(p)->reply;
  if (r.body.size() + n > kTaxiiReplyBytes) {
    r.too_long = true;
    return 0;
  }
  r.body.append(data, n);
  return n;
}

size_t OnHeader(char* data, size_t, size_t n, void* p) {
  Reply& r = *static_cast<Transfer*>(p)->reply;
  std::string_view line(data, n);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) r = Reply();  // after "100 Continue"
  const size_t colon = line.find(':');
  if (colon == line.npos) return n;
  const std::string_view name = line.substr(0, colon);
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  for (const auto& [key, to] : {std::pair{"content-type", &r.content_type},
                                {"x-taxii-date-added-first", &r.date_first},
                                {"x-taxii-date-added-last", &r.date_last},
                                {"retry-after", &r.retry_after},
                                {"location", &r.location}}) {
    if (SameNoCase(name, key)) *to = value;
  }
  return n;
}

int OnProgress(void* p, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto* stop = static_cast<Transfer*>(p)->stop;
  return stop != nullptr && *stop ? 1 : 0;
}

class Client final : public TaxiiClient {
 public:
  explicit Client(TaxiiClientOptions options)
      : o_(std::move(options)), curl_(curl_easy_init(), curl_easy_cleanup) {}

  absl::Status Init() {
    if (curl_ == nullptr) return absl::InternalError("libcurl does not start");
    if (!base_.Set(o_.url) ||
        (base_.Part(CURLUPART_SCHEME) != "https" && base_.Part(CURLUPART_SCHEME) != "http")) {
      return absl::InvalidArgumentError(
          StrCat(o_.url, ": expected the address of a TAXII server, https://HOST/taxii2/"));
    }
    if (!base_.Part(CURLUPART_USER).empty() || !base_.Part(CURLUPART_PASSWORD).empty()) {
      return absl::InvalidArgumentError(
          "a name or a password in the address would be seen by others; give them apart");
    }
    if (base_.Part(CURLUPART_SCHEME) == "http" && !Loopback(base_.Part(CURLUPART_HOST))) {
      return absl::InvalidArgumentError(
          StrCat(o_.url, ": the secret and the objects would go in the clear; use https"));
    }
    const std::string path = base_.Part(CURLUPART_PATH);
    if (path.empty() || path.back() != '/') base_.SetPart(CURLUPART_PATH, (path + "/").c_str());
    base_.SetPart(CURLUPART_QUERY, nullptr);
    base_.SetPart(CURLUPART_FRAGMENT, nullptr);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<RemoteCollection>> Collections() override {
    const std::string url = base_.Part(CURLUPART_URL);
    auto reply = Ask("GET", url);
    if (!reply.ok()) return reply.status();
    simdjson::dom::parser parser;
    simdjson::dom::element e;
    if (absl::Status s = Parse(url, *reply, &parser, &e); !s.ok()) return s;
    // A server's discovery names its roots; an API root names the versions that it speaks.
    std::vector<std::string> roots;
    simdjson::dom::array array;
    if (!e["api_roots"].get(array)) {
      for (const auto one : array) {
        std::string_view text;
        if (one.get(text) || roots.size() == kRootsMax)
          return Odd(url, "its api_roots are no list of addresses, or too many");
        Url root;
        root.Set(url);
        if (!root.Set(std::string(text)))
          return Odd(url, StrCat("the API root ", Shown(text), " is no address"));
        if (root.Origin() != base_.Origin()) {
          Note(StrCat(url, ": the API root ", Shown(text),
                      " lies on another server and is left out; name it to reach it"));
          continue;
        }
        roots.push_back(root.Part(CURLUPART_URL));
        if (roots.back().back() != '/') roots.back() += '/';
      }
    } else if (!e["versions"].get(array)) {
      roots.push_back(url);
    } else {
      return Odd(url, "is neither TAXII's discovery nor an API root");
    }
    std::vector<RemoteCollection> out;
    for (const std::string& root : roots) {
      if (absl::Status s = OfRoot(root, &out); !s.ok()) return s;
    }
    return out;
  }

  absl::StatusOr<RemoteCollection> Find(std::string_view name) override {
    auto all = Collections();
    if (!all.ok()) return all.status();
    std::string names;
    const RemoteCollection* titled = nullptr;
    for (RemoteCollection& c : *all) {
      if (SameNoCase(c.id, name) || (!c.alias.empty() && c.alias == name)) return std::move(c);
      if (c.title == name) {
        if (titled != nullptr) {
          return absl::InvalidArgumentError(
              StrCat(o_.url, ": several collections are called ", name, "; name one by its id"));
        }
        titled = &c;
      }
      if (names.size() < 1000)
        base::StrAppend(&names, names.empty() ? "" : ", ", c.id, " (", Shown(c.title), ")");
    }
    if (titled != nullptr) return *titled;
    return absl::NotFoundError(StrCat(o_.url, ": no collection ", name, " for this token; there ",
                                      names.empty() ? "is none" : "are " + names));
  }

  absl::StatusOr<Pulled> Pull(const RemoteCollection& from, const PullOptions& options) override {
    if (!from.can_read)
      return absl::PermissionDeniedError(StrCat(from.url, ": this token may not read it"));
    if (!options.added_after.empty() && !base::ParseRfc3339(options.added_after)) {
      return absl::InvalidArgumentError(
          "added after: expected a time like 2026-04-22T00:01:43.688001Z");
    }
    std::string filters;
    if (!options.types.empty()) {
      std::string types;
      for (const auto& t : options.types) base::StrAppend(&types, types.empty() ? "" : ",", t);
      filters += "&match%5Btype%5D=" + Escape(types);
    }
    if (!options.version.empty()) filters += "&match%5Bversion%5D=" + Escape(options.version);
    Pulled out;
    out.last_added = options.added_after;
    std::unordered_set<uint64_t> seen;
    size_t bytes = 0;
    // Where the next page begins: after a date, or where the peer's `next` says.
    std::string after = options.added_after, next;
    while (true) {
      const auto url = [&] {
        return StrCat(from.url, "objects/?limit=", options.page,
                      after.empty() ? "" : "&added_after=" + Escape(after), filters,
                      next.empty() ? "" : "&next=" + Escape(next));
      };
      auto reply = Ask("GET", url());
      if (absl::IsInvalidArgument(reply.status()) && last_status_ == 400 && !next.empty() &&
          !out.last_added.empty()) {
        // The peer has forgotten its own `next` (a restart, say): go on from the last date.
        Note(StrCat(from.url, ": the peer does not know its own `next` any more; going on after ",
                    out.last_added));
        after = out.last_added;
        next.clear();
        reply = Ask("GET", url());
      }
      if (!reply.ok()) return reply.status();
      const simdjson::padded_string text(reply->body);
      auto page = ReadEnvelope(text, kTaxiiPullObjects);
      if (!page.ok()) return Odd(from.url, Message(page.status()));
      ++out.pages;
      size_t fresh = 0;
      for (const std::string_view object : page->objects) {
        if (!seen.insert(base::Hash64(object)).second) continue;
        ++fresh;
        bytes += object.size();
        if (out.objects.size() == kTaxiiPullObjects || bytes > kTaxiiPullBytes) {
          return absl::ResourceExhaustedError(StrCat(
              from.url, ": more than ", kTaxiiPullObjects, " objects or ", kTaxiiPullBytes >> 20,
              " MiB in one pull; nothing of it is kept: narrow it by "
              "type or date"));
        }
        out.objects.emplace_back(object);
      }
      // (Of a page of one object some servers name the first date alone.)
      const std::string& last = reply->date_last.empty() ? reply->date_first : reply->date_last;
      const auto at = base::ParseRfc3339(last), before = base::ParseRfc3339(out.last_added);
      if (!last.empty() && !at)
        return Odd(from.url, StrCat("X-TAXII-Date-Added-Last: ", Shown(last), " is no time"));
      if (at && before && *at < *before && out.pages > 1)
        return Odd(from.url, "the dates of its pages go back");
      if (!last.empty()) out.last_added = last;
      if (!page->more) return out;
      // Every page must bring something, or there would be no end.
      if (fresh == 0)
        return Odd(from.url, "it says that there is more and sends nothing that is new");
      if (page->next.empty() && last.empty())
        return Odd(from.url, "it says that there is more and not where");
      next = page->next;
      if (next.empty()) after = last;
    }
  }

  absl::StatusOr<Pushed> Push(const RemoteCollection& to,
                              const std::vector<std::string_view>& objects) override {
    if (!to.can_write)
      return absl::PermissionDeniedError(StrCat(to.url, ": this token may not add to it"));
    const size_t most = size_t(std::min<uint64_t>(
        kTaxiiPushBytes, to.content_bytes == 0 ? kTaxiiPushBytes : to.content_bytes));
    constexpr std::string_view kBegin = "{\"objects\":[", kEnd = "]}";
    for (const std::string_view o : objects) {
      if (o.size() + kBegin.size() + kEnd.size() > most) {
        return absl::ResourceExhaustedError(StrCat(to.url, ": an object of ", o.size(),
                                                   " bytes is longer than the peer takes (", most,
                                                   "); nothing was sent"));
      }
    }
    Pushed out;
    for (size_t i = 0; i < objects.size();) {
      std::string body(kBegin);
      size_t n = 0;
      for (; i < objects.size() && n < kTaxiiPushObjects &&
             body.size() + objects[i].size() + 1 + kEnd.size() <= most;
           ++i, ++n) {
        base::StrAppend(&body, n == 0 ? "" : ",", objects[i]);
      }
      body += kEnd;
      absl::Status s = PushOne(to, body, n, &out);
      if (s.ok()) continue;
      if (out.total == 0) return s;
      return absl::Status(s.code(), StrCat(Message(s), "; ", out.success, " of ", objects.size(),
                                           " objects are there already, push again for the rest"));
    }
    return out;
  }

 private:
  static std::string Message(const absl::Status& s) {
    return {s.message().data(), s.message().size()};
  }
  static absl::Status Odd(std::string_view url, std::string_view what) {
    return absl::InvalidArgumentError(StrCat(url, ": the peer's answer makes no sense: ", what));
  }
  void Note(const std::string& text) const {
    if (o_.note) o_.note(text);
  }

  absl::Status Parse(const std::string& url, const Reply& reply, simdjson::dom::parser* parser,
                     simdjson::dom::element* out) const {
    if (parser->parse(reply.body).get(*out) || !out->is_object())
      return Odd(url, "expected a JSON object");
    return absl::OkStatus();
  }

  static std::string TextOf(simdjson::dom::element e, std::string_view key) {
    std::string_view v;
    return e[key].get(v) ? std::string() : std::string(v);
  }
  static uint64_t CountOf(simdjson::dom::element e, std::string_view key) {
    uint64_t v = 0;
    return e[key].get(v) ? 0 : v;
  }

  absl::Status OfRoot(const std::string& root, std::vector<RemoteCollection>* out) {
    auto reply = Ask("GET", root);
    // A root that this token may not see is none of ours.
    if (absl::IsNotFound(reply.status()) || absl::IsPermissionDenied(reply.status())) {
      Note(Message(reply.status()));
      return absl::OkStatus();
    }
    if (!reply.ok()) return reply.status();
    simdjson::dom::parser parser;
    simdjson::dom::element e;
    if (absl::Status s = Parse(root, *reply, &parser, &e); !s.ok()) return s;
    bool speaks = false;
    simdjson::dom::array array;
    if (e["versions"].get(array)) return Odd(root, "an API root without versions");
    for (const auto v : array) {
      std::string_view text;
      speaks |= !v.get(text) && IsTaxii(text);
    }
    if (!speaks) {
      return absl::InvalidArgumentError(
          StrCat(root, ": speaks no TAXII 2.1; this program speaks nothing else"));
    }
    const uint64_t most = CountOf(e, "max_content_length");
    const std::string url = root + "collections/";
    reply = Ask("GET", url);
    if (!reply.ok()) return reply.status();
    if (absl::Status s = Parse(url, *reply, &parser, &e); !s.ok()) return s;
    if (e["collections"].get(array)) return absl::OkStatus();
    for (const auto one : array) {
      RemoteCollection c;
      c.id = TextOf(one, "id");
      c.alias = Shown(TextOf(one, "alias"));
      c.title = Shown(TextOf(one, "title"));
      c.description = Shown(TextOf(one, "description"));
      if (c.id.empty() || Shown(c.id) != c.id || one["can_read"].get(c.can_read) ||
          one["can_write"].get(c.can_write) || out->size() == kCollectionsMax) {
        return Odd(url, "a collection without a plain id or without rights, or too many");
      }
      c.url = StrCat(url, Escape(c.id), "/");
      c.root_url = root;
      c.content_bytes = most;
      out->push_back(std::move(c));
    }
    return absl::OkStatus();
  }

  absl::Status PushOne(const RemoteCollection& to, const std::string& body, size_t n, Pushed* out) {
    auto reply = Ask("POST", to.url + "objects/", &body);
    if (!reply.ok()) return reply.status();
    simdjson::dom::parser parser;
    simdjson::dom::element e;
    std::string url = to.url + "objects/";
    for (int poll = 0;; ++poll) {
      if (absl::Status s = Parse(url, *reply, &parser, &e); !s.ok()) return s;
      const std::string id = TextOf(e, "id");
      if (id.empty()) return Odd(url, "a status without an id");
      url = StrCat(to.root_url, "status/", Escape(id), "/");
      if (TextOf(e, "status") == "complete" || poll == kTaxiiStatusPolls) break;
      if (absl::Status s = Wait(std::min(o_.pause * (1 << std::min(poll, 3)), milliseconds(5000)));
          !s.ok()) {
        return s;
      }
      reply = Ask("GET", url);
      if (!reply.ok()) return reply.status();
    }
    const uint64_t success = CountOf(e, "success_count"), failure = CountOf(e, "failure_count"),
                   pending = CountOf(e, "pending_count");
    if (success + failure + pending != n || CountOf(e, "total_count") != n) {
      return Odd(url, StrCat("its status speaks of ", success + failure + pending,
                             " objects where ", n, " were sent"));
    }
    out->total += n;
    out->success += success;
    out->pending += pending;
    out->statuses.push_back(url);
    simdjson::dom::array failures;
    if (!e["failures"].get(failures)) {
      for (const auto f : failures)
        out->failures.push_back({Shown(TextOf(f, "id")), Shown(TextOf(f, "message"))});
    }
    return absl::OkStatus();
  }

  absl::Status Wait(milliseconds time) const {
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
      if (o_.stop != nullptr && *o_.stop) return absl::CancelledError("interrupted");
      std::this_thread::sleep_for(std::min(milliseconds(100), time));
    }
    return absl::OkStatus();
  }

  // How long a busy peer asks us to wait; -1 when it does not say.
  static int64_t RetryMs(const Reply& r) {
    uint64_t seconds = 0;
    const char* const end = r.retry_after.data() + r.retry_after.size();
    const auto [rest, error] = std::from_chars(r.retry_after.data(), end, seconds);
    if (error == std::errc() && rest == end && !r.retry_after.empty())
      return int64_t(std::min<uint64_t>(seconds, 1 << 30)) * 1000;
    const time_t at = r.retry_after.empty() ? -1 : curl_getdate(r.retry_after.c_str(), nullptr);
    return at < 0 ? -1 : std::max<int64_t>(0, int64_t(at) - int64_t(std::time(nullptr))) * 1000;
  }

  // One request, tried again while that may help. An answer of 200 or 202 in TAXII, or an error.
  absl::StatusOr<Reply> Ask(const char* method, const std::string& url,
                            const std::string* body = nullptr) {
    const std::string shown = url.substr(0, url.find('?'));
    milliseconds pause = o_.pause;
    for (int attempt = 1;; ++attempt) {
      Reply reply;
      bool sent = false;
      const absl::Status s = Once(url, body, &reply, &sent);
      last_status_ = reply.status;
      if (s.ok() && (reply.status == 200 || reply.status == 202)) {
        if (!IsTaxii(reply.content_type)) {
          return absl::InvalidArgumentError(
              StrCat(shown, ": answers as ",
                     reply.content_type.empty() ? "nothing" : Shown(reply.content_type),
                     ", not as ", kTaxiiMedia, ": is it a TAXII 2.1 server?"));
        }
        return reply;
      }
      if (absl::IsCancelled(s) || absl::IsResourceExhausted(s)) return s;
      const bool busy = s.ok() && (reply.status == 429 || reply.status == 503);
      const bool broken =
          s.ok() && (reply.status == 500 || reply.status == 502 || reply.status == 504);
      if (s.ok() && !busy && !broken) return Refused(shown, reply);
      // What was sent and not answered may have been done.
      if (!s.ok() && (absl::IsInvalidArgument(s) || (sent && body != nullptr))) return s;
      if (broken && body != nullptr) return Refused(shown, reply);
      const int64_t asked = busy ? RetryMs(reply) : -1;
      if (attempt == kTaxiiTries || asked > o_.wait_max.count()) {
        return absl::UnavailableError(
            s.ok() ? StrCat(shown, ": answers ", reply.status,
                            asked >= 0 ? StrCat(", asks to come back in ", asked / 1000, " s") : "",
                            attempt > 1 ? StrCat(", ", attempt, " times") : "", "; try later")
                   : StrCat(Message(s), ", ", attempt, " times; try later"));
      }
      Note(StrCat(s.ok() ? StrCat(shown, ": answers ", reply.status) : Message(s),
                  "; trying again"));
      if (absl::Status w = Wait(asked >= 0 ? milliseconds(asked) : pause); !w.ok()) return w;
      pause = std::min(pause * 2, milliseconds(30'000));
    }
  }

  // What an answer other than 200 and 202 means.
  static absl::Status Refused(const std::string& url, const Reply& r) {
    std::string said;
    simdjson::dom::parser parser;
    simdjson::dom::element e;
    if (IsTaxii(r.content_type) && !parser.parse(r.body).get(e) && e.is_object()) {
      said = Shown(TextOf(e, "title"));
      if (const std::string more = Shown(TextOf(e, "description")); !more.empty())
        base::StrAppend(&said, said.empty() ? "" : ": ", more);
    }
    const std::string what =
        StrCat(url, ": answers ", r.status, said.empty() ? "" : " (" + said + ")");
    switch (r.status) {
      case 401:
        return absl::PermissionDeniedError(what + "; is the secret right?");
      case 403:
        return absl::PermissionDeniedError(what);
      case 404:
        return absl::NotFoundError(what);
      default:
        if (r.status >= 300 && r.status < 400) {
          return absl::InvalidArgumentError(
              StrCat(what, ", to ", Shown(r.location),
                     "; no redirect is followed, as the secret would go along: name that address"));
        }
        return absl::InvalidArgumentError(what);
    }
  }

  absl::Status Once(const std::string& url, const std::string* body, Reply* reply, bool* sent) {
    const std::string shown = url.substr(0, url.find('?'));
    curl_easy_reset(curl_.get());
    const auto set = [&](CURLoption option, auto value) {
      curl_easy_setopt(curl_.get(), option, value);
    };
    Transfer transfer{reply, o_.stop};
    char why[CURL_ERROR_SIZE] = "";
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_SSLVERSION, long(CURL_SSLVERSION_TLSv1_2));
    set(CURLOPT_CONNECTTIMEOUT_MS, long(o_.connect.count()));
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, std::max(1L, long(o_.silence.count() / 1000)));
    set(CURLOPT_WRITEFUNCTION, &OnBody);
    set(CURLOPT_WRITEDATA, &transfer);
    set(CURLOPT_HEADERFUNCTION, &OnHeader);
    set(CURLOPT_HEADERDATA, &transfer);
    set(CURLOPT_XFERINFOFUNCTION, &OnProgress);
    set(CURLOPT_XFERINFODATA, &transfer);
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_ERRORBUFFER, why);
    // What was compressed to much more than it is would pass the bound; it is asked for plain.
    if (!o_.ca_file.empty()) set(CURLOPT_CAINFO, o_.ca_file.c_str());
    if (!o_.certificate.empty()) set(CURLOPT_SSLCERT, o_.certificate.c_str());
    if (!o_.key.empty()) set(CURLOPT_SSLKEY, o_.key.c_str());
    if (!o_.user.empty()) {
      set(CURLOPT_HTTPAUTH, long(CURLAUTH_BASIC));
      set(CURLOPT_USERNAME, o_.user.c_str());
      set(CURLOPT_PASSWORD, o_.secret.c_str());
    } else if (!o_.secret.empty()) {
      set(CURLOPT_HTTPAUTH, long(CURLAUTH_BEARER));
      set(CURLOPT_XOAUTH2_BEARER, o_.secret.c_str());
    }
    curl_slist* list = nullptr;
    const auto header = [&](const std::string& text) {
      if (curl_slist* more = curl_slist_append(list, text.c_str()); more != nullptr) list = more;
    };
    header(StrCat("Accept: ", kTaxiiMedia));
    if (body != nullptr) {
      header(StrCat("Content-Type: ", kTaxiiMedia));
      header("Expect:");
      // On a connection that was used before, libcurl may send a request twice.
      set(CURLOPT_FRESH_CONNECT, 1L);
      set(CURLOPT_POST, 1L);
      set(CURLOPT_POSTFIELDS, body->data());
      set(CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body->size()));
    }
    set(CURLOPT_HTTPHEADER, list);
    const CURLcode code = curl_easy_perform(curl_.get());
    curl_slist_free_all(list);
    if (code == CURLE_OK) {
      curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &reply->status);
      return absl::OkStatus();
    }
    reply->status = 0;
    if (reply->too_long) {
      return absl::ResourceExhaustedError(
          StrCat(shown, ": an answer of more than ", kTaxiiReplyBytes >> 20, " MiB; not read"));
    }
    if (code == CURLE_ABORTED_BY_CALLBACK) return absl::CancelledError("interrupted");
    long bytes = 0;
    curl_easy_getinfo(curl_.get(), CURLINFO_REQUEST_SIZE, &bytes);
    *sent = bytes > 0;
    const std::string text =
        StrCat(shown, ": ", why[0] != 0 ? why : curl_easy_strerror(code),
               *sent ? " (the connection broke off; nothing of this request is kept here)" : "");
    switch (code) {
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CACERT_BADFILE:
      case CURLE_SSL_CERTPROBLEM:
      case CURLE_SSL_ISSUER_ERROR:
      case CURLE_UNSUPPORTED_PROTOCOL:
      case CURLE_URL_MALFORMAT:
        return absl::InvalidArgumentError(text);
      default:
        return absl::UnavailableError(text);
    }
  }

  const TaxiiClientOptions o_;
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl_;
  Url base_;
  long last_status_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TaxiiClient>> TaxiiClient::Create(TaxiiClientOptions options) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) return absl::InternalError("libcurl does not start");
  auto client = std::make_unique<Client>(std::move(options));
  if (absl::Status s = client->Init(); !s.ok()) return s;
  return client;
}

}  // namespace stillwatch::share
