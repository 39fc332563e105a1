// One client's connection: requests are read, admitted, authorised, handled and answered one after
// another, each within its bounds of bytes and time. Internal to src/serve/http; all of Boost.Beast
// is here and takes long to compile, so server.cc alone includes it.
#pragma once

#include <sodium.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <unordered_map>
#include <vector>

#include "base/str.h"
#include "serve/http/body.h"
#include "serve/http/pool.h"
#include "serve/http/server.h"
#include "serve/http/tls.h"

namespace stillwatch::serve::internal {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using base::StrCat;

constexpr size_t kReadBytes = 16u << 10;  // asked of the kernel at once

inline int64_t WallMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

inline std::string DateHeader() {
  const std::time_t now = std::time(nullptr);
  std::tm t;
  gmtime_r(&now, &t);
  char text[40];
  std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &t);
  return text;
}

inline std::string_view View(boost::beast::string_view s) { return {s.data(), s.size()}; }

// What follows an authentication scheme ("bearer ", in lower case); empty for another.
inline std::string_view AfterScheme(std::string_view value, std::string_view scheme) {
  if (value.size() <= scheme.size()) return {};
  for (size_t i = 0; i < scheme.size(); ++i) {
    if ((value[i] | 0x20) != (scheme[i] | 0x20)) return {};
  }
  return value.substr(scheme.size());
}

// The password of "user:password" in base64; empty when it is none.
inline std::string BasicPassword(std::string_view base64) {
  std::string out(base64.size(), '\0');
  size_t n = 0;
  const char* end = nullptr;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(out.data()), out.size(), base64.data(),
                        base64.size(), nullptr, &n, &end, sodium_base64_VARIANT_ORIGINAL) != 0 ||
      end != base64.data() + base64.size()) {
    return {};
  }
  out.resize(n);
  const size_t colon = out.find(':');
  return colon == out.npos ? std::string() : out.substr(colon + 1);
}

struct RouteMetrics {
  Latency* latency;
  prometheus::Counter* by_class[5];  // 1xx (unused) to 5xx
};

// What all threads share; written before they start, atomics apart.
struct Shared {
  ServerOptions options;
  Log* log = nullptr;
  std::unique_ptr<Pool> pool;
  std::unordered_map<const Route*, RouteMetrics> metrics;
  RouteMetrics no_route;
  prometheus::Counter* refused = nullptr;    // connections above the bound
  prometheus::Counter* timed_out = nullptr;  // slow clients
  prometheus::Counter* overloaded = nullptr;
  std::atomic<size_t> connections{0}, bodies{0};
  std::atomic<bool> draining{false};
};

class Session;

// One io thread: everything in it is touched by that thread alone.
struct Worker {
  explicit Worker(Shared* s) : shared(s), tick(io) {}
  Shared* const shared;
  std::vector<Session*> sessions;  // outlives what waits in `io`, whose end takes them out
  asio::io_context io{1};
  struct Listener {
    tcp::acceptor acceptor;
    const Router* router;
    size_t endpoint;
    bool closing = false;
  };
  std::vector<std::unique_ptr<Listener>> listeners;
  std::shared_ptr<const TokenStore> tokens;
  TlsContexts tls;
  asio::steady_timer tick;
  std::string date = DateHeader();  // as of the last tick
};

class Session {
 public:
  virtual ~Session() = default;
  virtual void Start() = 0;
  virtual void Tick(Clock::time_point now) = 0;
  virtual void Drain(Clock::time_point until) = 0;
  virtual void Close() = 0;
  size_t index = 0;  // in Worker::sessions
};

using PlainStream = tcp::socket;
using TlsStream = ssl::stream<tcp::socket>;

template <class Stream>
class Connection final : public Session, public std::enable_shared_from_this<Connection<Stream>> {
  static constexpr bool kTls = std::is_same_v<Stream, TlsStream>;

 public:
  Connection(Worker* worker, const Router* router, std::shared_ptr<ssl::context> tls, Stream stream,
             std::string remote)
      : worker_(*worker),
        shared_(*worker->shared),
        limits_(shared_.options.limits),
        router_(router),
        stream_(std::move(stream)),
        buffer_(limits_.header_bytes + kReadBytes),
        tls_(std::move(tls)) {
    request_.remote = remote_ = std::move(remote);
    request_.tls = kTls;
    index = worker_.sessions.size();
    worker_.sessions.push_back(this);
  }
  ~Connection() override {
    ReleaseBody();
    worker_.sessions[index] = worker_.sessions.back();
    worker_.sessions[index]->index = index;
    worker_.sessions.pop_back();
    shared_.connections.fetch_sub(1);
  }

  void Start() override {
    if constexpr (kTls) {
      state_ = State::kHandshake;
      SetDeadline(limits_.header);
      stream_.async_handshake(ssl::stream_base::server,
                              [self = this->shared_from_this()](error_code ec) {
                                if (ec) return self->Close();
                                self->Recognise();
                                self->Next();
                              });
    } else {
      Next();
    }
  }

  void Tick(Clock::time_point now) override {
    if (now < deadline_) return;
    deadline_ = Clock::time_point::max();
    switch (state_) {
      case State::kHeader:
      case State::kBody:
        shared_.timed_out->Increment();
        timed_out_ = true;  // the read that is under way ends, and its handler says 408
        Socket().cancel(ignored_);
        break;
      case State::kHandler:
        break;  // a handler's time is its own business
      case State::kWrite:
        shared_.timed_out->Increment();
        [[fallthrough]];
      default:
        Close();
    }
  }

  void Drain(Clock::time_point until) override {
    // Who sends at this moment is still answered; the answer closes.
    if (state_ == State::kIdle) deadline_ = std::min(deadline_, until);
  }

  void Close() override {
    state_ = State::kClosed;
    Socket().shutdown(tcp::socket::shutdown_both, ignored_);
    Socket().close(ignored_);
  }

 private:
  enum class State : uint8_t { kHandshake, kIdle, kHeader, kBody, kHandler, kWrite, kClosed };

  tcp::socket& Socket() {
    if constexpr (kTls)
      return stream_.next_layer();
    else
      return stream_;
  }
  // Whose certificate the handshake has verified, where one was asked for.
  void Recognise() {
    if constexpr (kTls) {
      const std::unique_ptr<X509, void (*)(X509*)> theirs(
          SSL_get1_peer_certificate(stream_.native_handle()), X509_free);
      if (theirs != nullptr) request_.client_certificate = certificate_ = HashOf(theirs.get());
    }
  }

  void SetDeadline(std::chrono::milliseconds after) { deadline_ = Clock::now() + after; }

  // Waits for the next request, or takes what a pipelining client has sent already.
  void Next() {
    ReleaseBody();
    parser_.emplace();
    parser_->header_limit(uint32_t(limits_.header_bytes));
    parser_->body_limit(boost::none);
    admitted_ = false;
    request_.method = {};  // was the last parser's
    if (buffer_.size() == 0) {
      state_ = State::kIdle;
      SetDeadline(shared_.draining ? limits_.tick : limits_.idle);
      Read();
    } else {
      state_ = State::kHeader;
      SetDeadline(limits_.header);
      Parse();
    }
  }

  void Read() {
    // Headers are bounded by the parser; what a chunk may carry beside its bytes, here.
    if (buffer_.size() > limits_.header_bytes) return Malformed(http::error::buffer_overflow);
    stream_.async_read_some(
        buffer_.prepare(kReadBytes),
        [self = this->shared_from_this()](error_code ec, size_t n) { self->OnRead(ec, n); });
  }

  void OnRead(error_code ec, size_t n) {
    if (state_ == State::kClosed) return;
    if (timed_out_) return Refuse(408, "the request did not arrive in time");
    if (ec) return Close();  // the client has gone, in the middle or not
    buffer_.commit(n);
    if (state_ == State::kIdle) {
      state_ = State::kHeader;
      SetDeadline(limits_.header);
    }
    Parse();
  }

  void Parse() {
    while (true) {
      error_code ec;
      const size_t n = parser_->put(buffer_.data(), ec);
      buffer_.consume(n);
      if (ec == http::error::need_more) {
        if (admitted_ && !Reserve(parser_->get().body().size())) return;
        return Read();
      }
      if (ec) return Malformed(ec);
      if (!admitted_ && parser_->is_header_done()) {
        if (!Admit()) return;
        if (parser_->is_done()) return Dispatch();
        if (Expects()) return Continue();
        if (buffer_.size() == 0) return Read();
        continue;
      }
      if (parser_->is_done()) {
        if (!Reserve(parser_->get().body().size())) return;
        return Dispatch();
      }
      if (buffer_.size() == 0) {
        if (admitted_ && !Reserve(parser_->get().body().size())) return;
        return Read();
      }
    }
  }

  void Malformed(error_code ec) {
    if (ec == http::error::header_limit || ec == http::error::buffer_overflow) {
      return Refuse(431, StrCat("the request line and headers are longer than ",
                                limits_.header_bytes, " bytes together"));
    }
    if (ec == http::error::body_limit) return TooLong();
    Refuse(400, StrCat("this is not a valid HTTP/1.1 request: ", ec.message()));
  }

  void TooLong() {
    Refuse(413, StrCat("the body is longer than ", BodyLimit(), " bytes; send it in parts"));
  }
  size_t BodyLimit() const {
    return std::min(limits_.body_bytes, match_.route ? match_.route->body_bytes : 0);
  }

  // Once the headers are there: who asks, for what, how long will it be? False: answered.
  bool Admit() {
    admitted_ = true;
    state_ = State::kBody;
    SetDeadline(limits_.body);
    auto& message = parser_->get();
    request_.method = View(message.method_string());
    request_.target = View(message.target());
    request_.headers.clear();
    for (const auto& field : message)
      request_.headers.emplace_back(View(field.name_string()), View(field.value()));
    const size_t question = std::min(request_.target.find('?'), request_.target.size());
    request_.path = request_.target.substr(0, question);
    request_.query = question < request_.target.size() ? request_.target.substr(question + 1)
                                                       : std::string_view();
    request_.body = {};
    match_ = router_->Find(request_.method, request_.path);
    if (message.has_content_length() == false && !parser_->chunked() &&
        !request_.Header("transfer-encoding").empty()) {
      Refuse(501, "Transfer-Encoding: only chunked is known");
      return false;
    }
    if (message.version() == 11 && message.find(http::field::host) == message.end()) {
      Refuse(400, "the Host header is missing");
      return false;
    }
    if (match_.route == nullptr) {
      if (match_.allow.empty()) {
        RefuseAndKeep(ErrorReply(404, "there is nothing at this path"));
      } else {
        HttpReply reply = ErrorReply(405, StrCat("this path takes ", match_.allow));
        reply.headers.emplace_back("Allow", match_.allow);
        RefuseAndKeep(std::move(reply));
      }
      return false;
    }
    if (!Authorize()) return false;
    const auto length = parser_->content_length();
    if (length && *length > BodyLimit()) {
      TooLong();
      return false;
    }
    parser_->body_limit(BodyLimit());
    return Reserve(length ? size_t(*length) : 0);
  }

  bool Authorize() {
    const Route& route = *match_.route;
    principal_ = Principal();
    if (route.role == Role::kPublic) return true;
    const TokenStore& tokens = *worker_.tokens;
    if (tokens.empty()) {
      principal_.name = "local";
      principal_.roles = kAllRoles;
      // No token could be asked for, so only the address protects. A browser on this machine can
      // be made to send requests here by any page it shows. (What a gateway asks to decide may
      // carry its client's own Host and Origin, and changes nothing.)
      if (route.role == Role::kDecide) return true;
      const auto local = [](std::string_view authority) {
        if (authority.starts_with("[")) {
          authority = authority.substr(1, authority.find(']') - 1);
        } else {
          authority = authority.substr(0, authority.find(':'));
        }
        return IsLoopback(authority);
      };
      std::string_view origin = request_.Header("origin");
      const size_t scheme = origin.find("://");
      const bool same =
          origin.empty() || (scheme != origin.npos && local(origin.substr(scheme + 3)));
      if (shared_.options.insecure || (same && local(request_.Header("host")))) return true;
      RefuseAndKeep(Refusal(403,
                            "without tokens this is open only to localhost by that name; "
                            "set up tokens in the configuration"));
      return false;
    }
    std::string password;
    std::string_view token = request_.Header("x-stillwatch-token");
    if (token.empty() && !route.token_header_only) {
      token = request_.Header("x-api-key");
      if (token.empty()) {
        const std::string_view given = request_.Header("authorization");
        token = AfterScheme(given, "bearer ");
        if (token.empty() && route.basic) {
          password = BasicPassword(AfterScheme(given, "basic "));
          token = password;
        }
      }
    }
    std::optional<Principal> found;
    if (!token.empty()) found = tokens.Find(token, WallMs());
    if (!found) {
      HttpReply reply = Refusal(
          401, token.empty() ? (route.token_header_only
                                    ? "a Stillwatch token is needed in X-Stillwatch-Token"
                                    : "a Stillwatch token is needed: Authorization: Bearer TOKEN")
                             : "this Stillwatch token is not known or has expired");
      if (route.basic) reply.headers.emplace_back("WWW-Authenticate", "Basic realm=\"stillwatch\"");
      reply.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"stillwatch\"");
      RefuseAndKeep(std::move(reply));
      return false;
    }
    principal_ = std::move(*found);
    if (principal_.Has(route.role)) return true;
    RefuseAndKeep(Refusal(
        403, StrCat("the token \"", principal_.name, "\" lacks the role ", RoleName(route.role))));
    return false;
  }

  // Counts this body among those of all connections.
  bool Reserve(size_t bytes) {
    if (bytes <= reserved_) return true;
    const size_t more = bytes - reserved_;
    if (shared_.bodies.fetch_add(more) + more > limits_.bodies_in_flight) {
      shared_.bodies.fetch_sub(more);
      shared_.overloaded->Increment();
      Overloaded("too many bodies are in flight");
      return false;
    }
    reserved_ = bytes;
    return true;
  }
  void ReleaseBody() {
    shared_.bodies.fetch_sub(reserved_);
    reserved_ = 0;
  }

  bool Expects() const {
    const std::string_view v = request_.Header("expect");
    return v.size() == 12 && v.starts_with("100-");
  }
  void Continue() {
    asio::async_write(stream_, asio::buffer("HTTP/1.1 100 Continue\r\n\r\n", 25),
                      [self = this->shared_from_this()](error_code ec, size_t) {
                        if (ec || self->state_ == State::kClosed) return self->Close();
                        self->buffer_.size() == 0 ? self->Read() : self->Parse();
                      });
  }

  void Dispatch() {
    state_ = State::kHandler;
    deadline_ = Clock::time_point::max();
    begin_ = Clock::now();
    request_.suffix = match_.suffix;
    request_.params = std::move(match_.params);
    request_.principal = &principal_;
    request_.body = parser_->get().body();
    const bool wants_inline = match_.route->speed == Speed::kInline;
    // Compressed bodies are of unknown length.
    const bool small = request_.body.size() <= limits_.inline_body_bytes &&
                       (request_.body.empty() || request_.Header("content-encoding").empty());
    if (wants_inline && small) return Reply(Handle());
    const bool queued = shared_.pool->Push(
        [self = this->shared_from_this()]() mutable {
          HttpReply reply = self->Handle();
          asio::io_context& io = self->worker_.io;
          // The reply goes back to the connection's own thread, and the connection with it: that
          // thread alone may be the one that ends it.
          asio::post(io, [self = std::move(self), reply = std::move(reply)]() mutable {
            self->Reply(std::move(reply));
          });
        },
        !wants_inline);
    if (queued) return;
    if (wants_inline) return Reply(Handle());
    shared_.overloaded->Increment();
    Overloaded("too many requests are waiting");
  }

  HttpReply Handle() {
    try {
      const std::string_view encoding = request_.Header("content-encoding");
      if (!encoding.empty() && !request_.body.empty()) {
        const size_t limit = std::min(limits_.decompressed_bytes, match_.route->body_bytes);
        const absl::Status s = Decompress(encoding, request_.body, limit, &decompressed_);
        if (!s.ok()) {
          return Refusal(absl::IsResourceExhausted(s) ? 413
                         : absl::IsUnimplemented(s)   ? 415
                                                      : 400,
                         std::string_view(s.message().data(), s.message().size()));
        }
        request_.body = decompressed_;
      }
      return match_.route->handler(request_);
    } catch (const std::exception& e) {
      shared_.log->Error("handler failed",
                         {{"route", match_.route->pattern}, {"what", typeid(e).name()}});
      return Refusal(500, "this is a fault of Stillwatch's own; its log says more");
    }
  }

  void Overloaded(std::string_view what) {
    HttpReply reply = Refusal(503, StrCat("busy: ", what, "; try again"));
    reply.headers.emplace_back("Retry-After", std::to_string(limits_.retry_after_s));
    keep_ = parser_->is_done();
    Send(std::move(reply));
  }
  // In the words of the route, once it is known.
  HttpReply Refusal(int status, std::string_view message) const {
    return match_.route ? match_.route->refusal(status, message) : ErrorReply(status, message);
  }
  // Before the request is complete: what is still under way is not read, so the connection ends.
  void Refuse(int status, std::string_view message) {
    timed_out_ = false;
    keep_ = false;
    Send(Refusal(status, message));
  }
  // The same, but a connection whose request has no body left to read stays.
  void RefuseAndKeep(HttpReply reply) {
    keep_ = parser_->is_done() && parser_->get().keep_alive();
    Send(std::move(reply));
  }
  void Reply(HttpReply reply) {
    if (state_ == State::kClosed) return;
    keep_ = parser_->get().keep_alive();
    Send(std::move(reply));
  }

  void Send(HttpReply reply) {
    if (begin_ == Clock::time_point()) begin_ = Clock::now();
    state_ = State::kWrite;
    SetDeadline(limits_.write);
    if (shared_.draining) keep_ = false;
    status_ = reply.status;
    out_.clear();
    base::StrAppend(&out_, "HTTP/1.1 ", reply.status, ' ', ReasonPhrase(reply.status),
                    "\r\nDate: ", worker_.date, "\r\n");
    const bool bodiless = reply.status == 204 || reply.status == 304;
    if (!bodiless) {
      if (!reply.body.empty())
        base::StrAppend(&out_, "Content-Type: ", Clean(reply.content_type), "\r\n");
      base::StrAppend(&out_, "Content-Length: ", reply.body.size(), "\r\n");
    }
    bool cache = false;
    for (const auto& [key, value] : reply.headers) {
      cache |= key == "Cache-Control";
      base::StrAppend(&out_, key, ": ", Clean(value), "\r\n");
    }
    if (!cache) out_ += "Cache-Control: no-store\r\n";
    out_ += "X-Content-Type-Options: nosniff\r\n";
    if (!keep_)
      out_ += "Connection: close\r\n";
    else if (parser_->get().version() == 10)
      out_ += "Connection: keep-alive\r\n";
    out_ += "\r\n";
    if (!bodiless && request_.method != "HEAD") out_ += reply.body;
    asio::async_write(
        stream_, asio::buffer(out_),
        [self = this->shared_from_this()](error_code ec, size_t) { self->OnWritten(ec); });
  }

  static std::string Clean(std::string_view v) {
    std::string out(v);
    for (char& c : out) {
      if (c == '\r' || c == '\n' || c == '\0') c = ' ';
    }
    return out;
  }

  void OnWritten(error_code ec) {
    Count();
    if (ec || state_ == State::kClosed) return Close();
    decompressed_.clear();
    if (decompressed_.capacity() > kReadBytes) decompressed_.shrink_to_fit();
    if (out_.capacity() > 4 * kReadBytes) std::string().swap(out_);
    if (keep_) return Next();
    Linger();
  }

  // A reset would take our last reply from a client that is still sending: say that we have ended,
  // then read what comes for a moment.
  void Linger() {
    state_ = State::kIdle;
    deadline_ = Clock::now() + std::chrono::seconds(1);
    if constexpr (kTls) {
      stream_.async_shutdown([self = this->shared_from_this()](error_code) { self->Close(); });
    } else {
      Socket().shutdown(tcp::socket::shutdown_send, ignored_);
      Discard();
    }
  }
  void Discard() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(kReadBytes),
                            [self = this->shared_from_this()](error_code ec, size_t) {
                              if (ec || self->state_ == State::kClosed) return self->Close();
                              self->Discard();
                            });
  }

  void Count() {
    const auto it = match_.route ? shared_.metrics.find(match_.route) : shared_.metrics.end();
    const RouteMetrics& m = it == shared_.metrics.end() ? shared_.no_route : it->second;
    m.latency->Observe(uint64_t(
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin_).count()));
    m.by_class[std::min(std::max(status_ / 100, 1), 5) - 1]->Increment();
    begin_ = {};
    match_.route = nullptr;
  }

  Worker& worker_;
  Shared& shared_;
  const Limits& limits_;
  const Router* const router_;
  Stream stream_;
  boost::beast::flat_buffer buffer_;
  const std::shared_ptr<ssl::context> tls_;  // what the stream was made with stays as long as it
  std::optional<http::request_parser<http::string_body>> parser_;
  HttpRequest request_;
  Router::Match match_;
  Principal principal_;
  std::string remote_, certificate_, decompressed_, out_;
  Clock::time_point deadline_ = Clock::time_point::max(), begin_;
  size_t reserved_ = 0;
  int status_ = 0;
  State state_ = State::kIdle;
  bool admitted_ = false, keep_ = false, timed_out_ = false;
  error_code ignored_;
};

}  // namespace stillwatch::serve::internal
