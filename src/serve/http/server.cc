// All of Boost.Beast and Asio is in this file: it takes long to compile.
#include "serve/http/server.h"

#include <netinet/tcp.h>
#include <sodium.h>
#include <sys/socket.h>

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
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <typeinfo>

#include "base/hex.h"
#include "base/str.h"
#include "serve/http/body.h"

namespace stillwatch::serve {
namespace {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using base::StrCat;

constexpr size_t kReadBytes = 16u << 10;  // asked of the kernel at once

int64_t WallMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string DateHeader() {
  const std::time_t now = std::time(nullptr);
  std::tm t;
  gmtime_r(&now, &t);
  char text[40];
  std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &t);
  return text;
}

std::string_view View(boost::beast::string_view s) { return {s.data(), s.size()}; }

std::string HashOf(X509* certificate) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(certificate, EVP_sha256(), hash, &size) != 1) return "";
  return base::Hex(std::string_view(reinterpret_cast<const char*>(hash), size));
}

absl::StatusOr<std::unique_ptr<X509, void (*)(X509*)>> ReadCertificate(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                             std::fclose);
  std::unique_ptr<X509, void (*)(X509*)> out(
      file ? PEM_read_X509(file.get(), nullptr, nullptr, nullptr) : nullptr, X509_free);
  if (out == nullptr)
    return absl::InvalidArgumentError(StrCat("tls: ", path, ": not a certificate in PEM"));
  return out;
}

// What follows an authentication scheme ("bearer ", in lower case); empty for another.
std::string_view AfterScheme(std::string_view value, std::string_view scheme) {
  if (value.size() <= scheme.size()) return {};
  for (size_t i = 0; i < scheme.size(); ++i) {
    if ((value[i] | 0x20) != (scheme[i] | 0x20)) return {};
  }
  return value.substr(scheme.size());
}

// The password of "user:password" in base64; empty when it is none.
std::string BasicPassword(std::string_view base64) {
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

// Handlers that may block. Requests wait in a queue with a bound.
class Pool {
 public:
  Pool(int threads, size_t bound) : bound_(bound) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
  }
  ~Pool() { Stop(); }
  // False when it is full or, with `patient` unset, when its lock is held.
  bool Push(std::function<void()> job, bool patient) {
    std::unique_lock<std::mutex> lock(mutex_, std::defer_lock);
    if (patient)
      lock.lock();
    else if (!lock.try_lock())
      return false;
    if (stop_ || jobs_.size() >= bound_) return false;
    jobs_.push_back(std::move(job));
    lock.unlock();
    wake_.notify_one();
    return true;
  }
  void Stop() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (auto& t : threads_) t.join();
    threads_.clear();
  }
  size_t waiting() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return jobs_.size();
  }

 private:
  void Run() {
    while (true) {
      std::function<void()> job;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
        if (jobs_.empty()) return;
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
      job();
    }
  }
  const size_t bound_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

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

// Of the endpoints, in order; null: plain.
using TlsContexts = std::vector<std::shared_ptr<ssl::context>>;

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

absl::StatusOr<std::shared_ptr<ssl::context>> ReadTls(const ServerOptions& o) {
  if (o.tls_certificate.empty() && o.tls_key.empty()) return std::shared_ptr<ssl::context>();
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  error_code ec;
  context->set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 |
                           ssl::context::no_tlsv1_1 | ssl::context::single_dh_use,
                       ec);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  context->use_certificate_chain_file(o.tls_certificate, ec);
  if (ec) {
    return absl::InvalidArgumentError(
        StrCat("tls: ", o.tls_certificate, ": not a certificate chain in PEM: ", ec.message()));
  }
  context->use_private_key_file(o.tls_key, ssl::context::pem, ec);
  if (ec) {
    return absl::InvalidArgumentError(
        StrCat("tls: ", o.tls_key, ": not the certificate's private key in PEM: ", ec.message()));
  }
  if (SSL_CTX_check_private_key(context->native_handle()) != 1) {
    return absl::InvalidArgumentError(
        StrCat("tls: ", o.tls_key, " does not belong to ", o.tls_certificate));
  }
  // HTTP/1.1 and nothing else, for clients that negotiate.
  SSL_CTX_set_alpn_select_cb(
      context->native_handle(),
      [](SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
         unsigned in_size, void*) {
        static const unsigned char kMine[] = "\x08http/1.1";
        return SSL_select_next_proto(const_cast<unsigned char**>(out), out_size, kMine, 9, in,
                                     in_size) == OPENSSL_NPN_NEGOTIATED
                   ? SSL_TLSEXT_ERR_OK
                   : SSL_TLSEXT_ERR_ALERT_FATAL;
      },
      nullptr);
  return context;
}

// Takes no one but who has the key of one of these certificates.
absl::Status AskForCertificate(const std::vector<std::string>& files, ssl::context* context) {
  SSL_CTX* const c = context->native_handle();
  for (const std::string& path : files) {
    auto one = ReadCertificate(path);
    if (!one.ok()) return one.status();
    X509_STORE_add_cert(SSL_CTX_get_cert_store(c), one->get());
    SSL_CTX_add_client_CA(c, one->get());
  }
  // Each of them is trusted as it is, whoever signed it.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(c), X509_V_FLAG_PARTIAL_CHAIN);
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  // No session outlives the list.
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
  return absl::OkStatus();
}

absl::StatusOr<TlsContexts> ReadAllTls(const ServerOptions& o) {
  auto common = ReadTls(o);
  if (!common.ok()) return common.status();
  TlsContexts out;
  for (const Endpoint& e : o.endpoints) {
    if (e.client_certificates.empty()) {
      out.push_back(*common);
      continue;
    }
    if (*common == nullptr) {
      return absl::InvalidArgumentError(
          StrCat("listen: ", e.address, ":", e.port,
                 " asks for certificates of its clients and has none itself (tls)"));
    }
    auto own = ReadTls(o);
    if (!own.ok()) return own.status();
    if (absl::Status s = AskForCertificate(e.client_certificates, own->get()); !s.ok()) return s;
    out.push_back(*own);
  }
  return out;
}

class BeastServer final : public Server {
 public:
  ~BeastServer() override { BeastServer::Drain(std::chrono::milliseconds(0)); }

  absl::Status Init(ServerOptions options, std::shared_ptr<const TokenStore> tokens,
                    Metrics* metrics, Log* log) {
    shared_.options = std::move(options);
    shared_.log = log;
    if (tokens == nullptr) tokens = std::make_shared<TokenTable>();
    const ServerOptions& o = shared_.options;
    auto tls = ReadAllTls(o);
    if (!tls.ok()) return tls.status();
    // Who is let in by its certificate needs no token.
    for (const Endpoint& e : o.endpoints)
      reachable_ |= !IsLoopback(e.address) && e.client_certificates.empty();
    if (reachable_ && !o.insecure && (o.tls_certificate.empty() || tokens->empty())) {
      return absl::InvalidArgumentError(
          "others can reach an address that is listened on, and there is no TLS or no token: set "
          "up both (tls, tokens), listen on 127.0.0.1, or say insecure: true behind a proxy that "
          "has both");
    }
    CountIn(metrics);
    for (int i = 0; i < std::max(1, o.io_threads); ++i) {
      workers_.push_back(std::make_unique<Worker>(&shared_));
      workers_.back()->tokens = tokens;
      workers_.back()->tls = *tls;
    }
    for (size_t i = 0; i < o.endpoints.size(); ++i) {
      uint16_t port = o.endpoints[i].port;
      for (auto& w : workers_) {
        if (absl::Status s = Listen(w.get(), i, &port); !s.ok()) return s;
      }
      ports_.push_back(port);
    }
    shared_.pool = std::make_unique<Pool>(std::max(1, o.pool_threads), o.limits.pool_queue);
    for (auto& w : workers_) {
      for (auto& l : w->listeners) Accept(w.get(), l.get());
      Tick(w.get());
      threads_.emplace_back([w = w.get()] { w->io.run(); });
    }
    return absl::OkStatus();
  }

  std::vector<uint16_t> ports() const override { return ports_; }
  size_t connections() const override { return shared_.connections.load(); }

  absl::Status SetTokens(std::shared_ptr<const TokenStore> tokens) override {
    if (tokens->empty() && reachable_ && !shared_.options.insecure) {
      return absl::FailedPreconditionError(
          "no token is left and others can reach this server: the tokens stay as they were");
    }
    for (auto& w : workers_) asio::post(w->io, [w = w.get(), tokens] { w->tokens = tokens; });
    return absl::OkStatus();
  }

  absl::Status ReloadTls() override {
    auto tls = ReadAllTls(shared_.options);
    if (!tls.ok()) return tls.status();
    for (auto& w : workers_) asio::post(w->io, [w = w.get(), tls = *tls] { w->tls = tls; });
    return absl::OkStatus();
  }

  size_t Drain(std::chrono::milliseconds bound) override {
    if (threads_.empty()) return 0;
    const auto until = Clock::now() + bound;
    shared_.draining = true;
    // Half of the time an idle connection may still bring a request.
    const auto idle = Clock::now() + std::min<std::chrono::milliseconds>(
                                         bound / 2, std::chrono::milliseconds(500));
    for (auto& w : workers_) {
      asio::post(w->io, [w = w.get(), idle] {
        for (auto& l : w->listeners) l->closing = true;
        for (auto& l : w->listeners) l->acceptor.cancel();  // what waits is taken first
        for (Session* s : w->sessions) s->Drain(idle);
      });
    }
    while (shared_.connections.load() != 0 && Clock::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const size_t cut = shared_.connections.load();
    for (auto& w : workers_) {
      asio::post(w->io, [w = w.get()] {
        w->tick.cancel();
        for (auto& l : w->listeners) l->acceptor.close();
        for (Session* s : std::vector<Session*>(w->sessions)) s->Close();
      });
    }
    shared_.pool->Stop();  // handlers under way end; their replies find the connection closed
    stopping_ = true;
    for (auto& t : threads_) t.join();
    threads_.clear();
    for (auto& w : workers_) {  // replies that came when their thread had ended
      w->io.restart();
      w->io.poll();
    }
    return cut;
  }

 private:
  void CountIn(Metrics* m) {
    const auto route = [&](const std::string& method, const std::string& pattern) {
      const MetricLabels labels = {{"endpoint", pattern}, {"method", method}};
      RouteMetrics out;
      out.latency =
          &m->Histogram("stillwatch_http_request_seconds",
                        "From the last byte of a request to the last of its reply", labels);
      for (int i = 0; i < 5; ++i) {
        MetricLabels l = labels;
        l["status"] = StrCat(i + 1, "xx");
        out.by_class[i] = &m->Counter("stillwatch_http_requests_total", "Replies sent", l);
      }
      return out;
    };
    for (const Endpoint& e : shared_.options.endpoints) {
      for (const auto& r : e.router->routes())
        shared_.metrics.emplace(r.get(), route(r->method, r->pattern));
    }
    shared_.no_route = route("", "none");
    shared_.refused = &m->Counter("stillwatch_http_connections_refused_total",
                                  "Connections above the bound, answered 503 or closed");
    shared_.timed_out = &m->Counter("stillwatch_http_slow_clients_total",
                                    "Requests or replies that were cut off for being too slow");
    shared_.overloaded = &m->Counter("stillwatch_http_overload_total",
                                     "Requests answered 503 because a bound was reached");
    m->Watch("stillwatch_http_connections", "Open connections",
             [s = state_] { return double(s->connections.load()); });
    m->Watch("stillwatch_http_body_bytes", "Bytes of bodies held",
             [s = state_] { return double(s->bodies.load()); });
    m->Watch("stillwatch_http_pool_waiting", "Requests waiting for a worker",
             [s = state_] { return s->pool ? double(s->pool->waiting()) : 0.0; });
  }

  absl::Status Listen(Worker* w, size_t endpoint, uint16_t* port) {
    const Endpoint& e = shared_.options.endpoints[endpoint];
    error_code ec;
    const auto address =
        asio::ip::make_address(e.address == "localhost" ? "127.0.0.1" : e.address, ec);
    const auto fail = [&](const char* what) {
      return absl::InvalidArgumentError(
          StrCat("listen: ", e.address, ":", e.port, ": ", what, ": ", ec.message()));
    };
    if (ec) return fail("not an address");
    auto l = std::make_unique<Worker::Listener>(
        Worker::Listener{tcp::acceptor(w->io), e.router, endpoint, false});
    const tcp::endpoint at(address, *port);
    l->acceptor.open(at.protocol(), ec);
    if (ec) return fail("no socket");
    const int fd = l->acceptor.native_handle(), on = 1;
    // Somebody else's server on the port must be an error, so the first of ours does not share
    // until it has it.
    if (w == workers_.front().get() && *port != 0) {
      tcp::acceptor probe(w->io);
      probe.open(at.protocol(), ec);
      probe.set_option(tcp::acceptor::reuse_address(true), ec);
      probe.bind(at, ec);
      if (ec) return fail("cannot be listened on");
      probe.close(ec);
    }
    l->acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    l->acceptor.bind(at, ec);
    if (ec) return fail("cannot be listened on");
    l->acceptor.listen(tcp::acceptor::max_listen_connections, ec);
    if (ec) return fail("cannot be listened on");
    l->acceptor.non_blocking(true, ec);
    *port = l->acceptor.local_endpoint().port();
    w->listeners.push_back(std::move(l));
    return absl::OkStatus();
  }

  void Accept(Worker* w, Worker::Listener* l) {
    l->acceptor.async_accept([this, w, l](error_code ec, tcp::socket socket) {
      if (!ec) Take(w, l, std::move(socket));
      if (l->closing) {
        for (;;) {
          tcp::socket more(w->io);
          l->acceptor.accept(more, ec);
          if (ec) break;
          Take(w, l, std::move(more));
        }
        l->acceptor.close(ec);
        return;
      }
      if (ec && ec != asio::error::operation_aborted && ec != asio::error::connection_aborted) {
        // Out of descriptors, most likely: wait until some are given back.
        shared_.log->Error("accept failed", {{"why", ec.message()}});
        auto pause = std::make_shared<asio::steady_timer>(w->io, std::chrono::milliseconds(200));
        pause->async_wait([this, w, l, pause](error_code) {
          if (l->acceptor.is_open()) Accept(w, l);
        });
        return;
      }
      if (l->acceptor.is_open()) Accept(w, l);
    });
  }

  void Take(Worker* w, Worker::Listener* l, tcp::socket socket) {
    error_code ec;
    const auto peer = socket.remote_endpoint(ec);
    if (ec) return;
    if (shared_.connections.fetch_add(1) >= shared_.options.limits.connections) {
      shared_.connections.fetch_sub(1);
      shared_.refused->Increment();
      if (w->tls[l->endpoint] == nullptr) {
        static constexpr std::string_view kFull =
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
            "Connection: close\r\n\r\n";
        socket.non_blocking(true, ec);
        socket.write_some(asio::buffer(kFull), ec);
      }
      return;
    }
    socket.set_option(tcp::no_delay(true), ec);
    std::string remote =
        peer.address().is_v6() && peer.address().to_v6().is_v4_mapped()
            ? asio::ip::make_address_v4(asio::ip::v4_mapped, peer.address().to_v6()).to_string()
            : peer.address().to_string();
    if (const auto& tls = w->tls[l->endpoint]; tls != nullptr) {
      std::make_shared<Connection<TlsStream>>(w, l->router, tls, TlsStream(std::move(socket), *tls),
                                              std::move(remote))
          ->Start();
    } else {
      std::make_shared<Connection<PlainStream>>(w, l->router, nullptr, std::move(socket),
                                                std::move(remote))
          ->Start();
    }
  }

  void Tick(Worker* w) {
    w->tick.expires_after(shared_.options.limits.tick);
    w->tick.async_wait([this, w](error_code ec) {
      if (ec || stopping_) return;
      const auto now = Clock::now();
      w->date = DateHeader();
      // A connection that closes leaves the list only when its operations have ended, later.
      for (size_t i = 0; i < w->sessions.size(); ++i) w->sessions[i]->Tick(now);
      Tick(w);
    });
  }

  const std::shared_ptr<Shared> state_ = std::make_shared<Shared>();  // metrics read it too
  Shared& shared_ = *state_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::thread> threads_;
  std::vector<uint16_t> ports_;
  bool reachable_ = false;
  std::atomic<bool> stopping_{false};
};

}  // namespace

bool IsLoopback(std::string_view address) {
  if (address == "localhost") return true;
  error_code ec;
  const auto parsed = asio::ip::make_address(std::string(address), ec);
  return !ec && parsed.is_loopback();
}

absl::StatusOr<std::string> CertificateHash(const std::string& pem_file) {
  auto one = ReadCertificate(pem_file);
  if (!one.ok()) return one.status();
  return HashOf(one->get());
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options,
                                                      std::shared_ptr<const TokenStore> tokens,
                                                      Metrics* metrics, Log* log) {
  auto server = std::make_unique<BeastServer>();
  if (absl::Status s = server->Init(std::move(options), std::move(tokens), metrics, log); !s.ok())
    return s;
  return server;
}

}  // namespace stillwatch::serve
