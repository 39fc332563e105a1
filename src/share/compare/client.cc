#include "share/compare/client.h"

#include <curl/curl.h>

#include <memory>
#include <mutex>

#include "base/str.h"

namespace stillwatch::share::compare {
namespace {

using base::StrCat;

struct Taken {
  std::string body;
  size_t most = 0;
  bool too_long = false;
};

size_t Take(char* data, size_t one, size_t n, void* to) {
  auto* t = static_cast<Taken*>(to);
  if (t->body.size() + (one * n) > t->most) {
    t->too_long = true;
    return 0;
  }
  t->body.append(data, one * n);
  return one * n;
}

int Stop(void* stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return stop != nullptr && *static_cast<const std::atomic<bool>*>(stop) ? 1 : 0;
}

// The "message" of an error body, else nothing; printable and short, as it is shown.
std::string Reason(std::string_view body) {
  constexpr std::string_view kKey = "\"message\":";
  size_t at = body.find(kKey);
  if (at == body.npos) return "";
  at = body.find('"', at + kKey.size());
  std::string out;
  for (++at; at < body.size() && body[at] != '"' && out.size() < 400; ++at) {
    if (body[at] == '\\') {
      if (++at == body.size()) break;
      out += body[at] == '"' || body[at] == '\\' || body[at] == '/' ? body[at] : '?';
    } else if (uint8_t(body[at]) >= 0x20) {
      out += body[at];
    }
  }
  return out;
}

class Connection {
 public:
  Connection(const Peers& peers, const Peer& peer, const OnlineOptions& options)
      : peers_(peers), peer_(peer), options_(options), curl_(curl_easy_init(), curl_easy_cleanup) {}

  absl::StatusOr<std::string> Post(std::string_view path, std::string_view body, size_t most) {
    if (curl_ == nullptr) return absl::InternalError("compare: libcurl cannot start");
    CURL* c = curl_.get();
    curl_easy_reset(c);
    Taken taken;
    taken.most = most;
    char error[CURL_ERROR_SIZE] = "";
    std::string url = peer_.url;
    while (url.ends_with('/')) url.pop_back();
    url += path;
    curl_slist* list = nullptr;
    list = curl_slist_append(list, StrCat("Content-Type: ", kMessageType).c_str());
    list = curl_slist_append(list, "Expect:");
    const std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(list, curl_slist_free_all);
    curl_easy_setopt(c, CURLOPT_URL, url.c_str());
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(c, CURLOPT_SSLVERSION, long(CURL_SSLVERSION_TLSv1_2));
    curl_easy_setopt(c, CURLOPT_CAINFO, peer_.certificate.c_str());
    curl_easy_setopt(c, CURLOPT_CAPATH, nullptr);
    curl_easy_setopt(c, CURLOPT_SSLCERT, peers_.certificate.c_str());
    curl_easy_setopt(c, CURLOPT_SSLKEY, peers_.key.c_str());
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(c, CURLOPT_POST, 1L);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body.size()));
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, long(options_.answer_s));
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, Take);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &taken);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, Stop);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, options_.stop);
    const CURLcode rc = curl_easy_perform(c);
    if (rc == CURLE_ABORTED_BY_CALLBACK) return absl::CancelledError("stopped; there is no result");
    if (taken.too_long)
      return absl::UnavailableError(StrCat(peer_.name, ": the answer is longer than it may be"));
    if (rc != CURLE_OK) {
      return absl::UnavailableError(StrCat(
          peer_.name, " (", peer_.url, "): ", error[0] != '\0' ? error : curl_easy_strerror(rc)));
    }
    long status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    if (status / 100 == 2) return std::move(taken.body);
    const std::string reason = Reason(taken.body);
    return absl::UnavailableError(
        StrCat(peer_.name, " refuses (HTTP ", status, ")", reason.empty() ? "" : ": ", reason));
  }

 private:
  const Peers& peers_;
  const Peer& peer_;
  const OnlineOptions& options_;
  const std::unique_ptr<CURL, void (*)(CURL*)> curl_;
};

}  // namespace

absl::StatusOr<Result> RunOnline(Party* party, std::string_view name, psi::Question question,
                                 const ItemSet& items, const OnlineOptions& options) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  const Peers& peers = party->peers();
  const Peer* peer = peers.Named(name);
  if (peer == nullptr)
    return absl::PermissionDeniedError(StrCat(peers.path, " names no peer ", name));
  if (peer->url.empty() || peer->certificate.empty() || peers.certificate.empty()) {
    return absl::InvalidArgumentError(
        StrCat(peers.path, ": a comparison with ", name,
               " over the network needs its url and certificate, and a certificate and key here"));
  }
  Connection connection(peers, *peer, options);
  auto offer =
      connection.Post(StrCat(kOfferPath, "?question=", psi::QuestionName(question)), "", 1 << 16);
  if (!offer.ok()) return offer.status();
  auto request = party->Request(*offer, question, items, options.actor);
  if (!request.ok()) return request.status();
  auto reply = connection.Post(kRequestPath, *request, psi::kMessageBytesMax);
  if (!reply.ok()) {
    party->Abandon(*request);
    return reply.status();
  }
  auto result = party->Finish(*reply, items, options.actor);
  if (!result.ok() || !options.tell) return result;
  auto receipt = party->Receipt(*result, options.actor);
  if (!receipt.ok()) return receipt.status();
  auto told = connection.Post(kReceiptPath, *receipt, 1 << 16);
  if (!told.ok()) return told.status();
  return result;
}

}  // namespace stillwatch::share::compare
