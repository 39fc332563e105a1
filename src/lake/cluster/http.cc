#include "lake/cluster/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>

#include "base/str.h"

namespace stillwatch::lake {
namespace {

using base::StrCat;
using Clock = std::chrono::steady_clock;

constexpr size_t kErrorBytesMax = 64 << 10;
constexpr long kConnectSeconds = 5;
constexpr long kReceiveBytes = 512 << 10;  // of one read

struct State {
  CURL* curl;
  const HttpCall* call;
  const std::atomic<bool>* stop;
  HttpAnswer* answer;
  Clock::time_point moved;  // when a byte last did
  curl_off_t bytes = 0;
};

size_t OnBody(char* data, size_t one, size_t n, void* p) {
  State& s = *static_cast<State*>(p);
  curl_easy_getinfo(s.curl, CURLINFO_RESPONSE_CODE, &s.answer->status);
  if (s.answer->status == 200 && s.call->on_body) {
    s.answer->stopped = s.call->on_body({data, n});
    s.moved = Clock::now();  // the time that on_body takes is not the server's
    return s.answer->stopped.ok() ? n : 0;
  }
  const size_t room = kErrorBytesMax - std::min(kErrorBytesMax, s.answer->error.size());
  s.answer->error.append(data, std::min(n, room));
  return n;
}

int OnProgress(void* p, curl_off_t, curl_off_t down, curl_off_t, curl_off_t up) {
  State& s = *static_cast<State*>(p);
  if (s.stop != nullptr && *s.stop) {
    s.answer->stopped = absl::CancelledError("interrupted");
    return 1;
  }
  const auto now = Clock::now();
  if (down + up != s.bytes) {
    s.bytes = down + up;
    s.moved = now;
  }
  return s.call->silent_seconds > 0 && now - s.moved > std::chrono::seconds(s.call->silent_seconds)
             ? 1
             : 0;
}

size_t OnHeader(char* data, size_t one, size_t n, void* p) {
  State& s = *static_cast<State*>(p);
  s.moved = Clock::now();  // a server tells of its progress in headers
  static constexpr std::string_view kStatus = "X-Stillwatch-Status: ";
  const std::string_view line(data, n);
  if (line.substr(0, kStatus.size()) == kStatus) {
    (void)std::from_chars(data + kStatus.size(), data + n, s.answer->lake_status);
  }
  return n;
}

}  // namespace

std::string Param(std::string_view key, std::string_view value) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out = StrCat("&", key, "=");
  for (const char c : value) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
        c == '-' || c == '.') {
      out.push_back(c);
    } else {
      const uint8_t byte = static_cast<uint8_t>(c);
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

HttpAnswer Post(const LakeUrl& url, const HttpCall& call, const std::atomic<bool>* stop) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  HttpAnswer answer;
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(
      ready == CURLE_OK ? curl_easy_init() : nullptr, curl_easy_cleanup);
  if (curl == nullptr) {
    answer.fate = HttpAnswer::kNotSent;
    answer.error = "libcurl does not start";
    return answer;
  }
  State state{curl.get(), &call, stop, &answer, Clock::now()};
  const std::string address =
      StrCat(url.secure ? "https://" : "http://", call.server.empty() ? "localhost" : call.server,
             "/?", call.params.empty() ? "" : std::string_view(call.params).substr(1));
  char why[CURL_ERROR_SIZE] = "";
  const auto set = [&](CURLoption option, auto value) {
    curl_easy_setopt(curl.get(), option, value);
  };
  set(CURLOPT_URL, address.c_str());
  if (!url.socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, url.socket.c_str());
  if (!url.ca_file.empty()) set(CURLOPT_CAINFO, url.ca_file.c_str());
  set(CURLOPT_PROXY, "");  // a lake is reached directly, whatever the environment says
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_POST, 1L);
  set(CURLOPT_POSTFIELDS, call.body.data() == nullptr ? "" : call.body.data());
  set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
  set(CURLOPT_BUFFERSIZE, kReceiveBytes);
  set(CURLOPT_FRESH_CONNECT, 1L);
  set(CURLOPT_FORBID_REUSE, 1L);
  set(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  if (call.seconds > 0) set(CURLOPT_TIMEOUT, static_cast<long>(call.seconds));
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_WRITEFUNCTION, &OnBody);
  set(CURLOPT_WRITEDATA, &state);
  set(CURLOPT_HEADERFUNCTION, &OnHeader);
  set(CURLOPT_HEADERDATA, &state);
  set(CURLOPT_XFERINFOFUNCTION, &OnProgress);
  set(CURLOPT_XFERINFODATA, &state);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_ERRORBUFFER, why);
  curl_slist* list = nullptr;
  const auto header = [&](const std::string& text) {
    if (curl_slist* more = curl_slist_append(list, text.c_str()); more != nullptr) list = more;
  };
  header("Expect:");  // no round trip before a body
  header("Content-Type: application/octet-stream");
  if (url.socket.empty()) {
    header(StrCat("X-ClickHouse-User: ", url.user));
    if (!url.password.empty()) header(StrCat("X-ClickHouse-Key: ", url.password));
  }
  set(CURLOPT_HTTPHEADER, list);
  const CURLcode code = curl_easy_perform(curl.get());
  curl_slist_free_all(list);
  if (code == CURLE_OK) {
    answer.fate = HttpAnswer::kAnswered;
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
    return answer;
  }
  if (!answer.stopped.ok()) {
    answer.fate = HttpAnswer::kStopped;
    return answer;
  }
  long sent = 0;  // bytes of requests, as far as they left
  curl_easy_getinfo(curl.get(), CURLINFO_REQUEST_SIZE, &sent);
  answer.fate = sent == 0 ? HttpAnswer::kNotSent : HttpAnswer::kUnknown;
  if (code == CURLE_ABORTED_BY_CALLBACK) {
    answer.error = StrCat("silent for ", call.silent_seconds, " s");
  } else if (code == CURLE_COULDNT_CONNECT && !url.socket.empty()) {
    answer.error = "nothing listens there";  // libcurl would name a host and a port
  } else {
    // What came before the answer broke off may say why.
    answer.error = StrCat(why[0] != 0 ? why : curl_easy_strerror(code),
                          answer.error.substr(0, 6) == "Code: " ? StrCat("; ", answer.error) : "");
  }
  return answer;
}

}  // namespace stillwatch::lake
