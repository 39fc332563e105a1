#include "serve/http/server.h"

#include <sys/socket.h>

#include <mutex>
#include <thread>

#include "serve/http/connection.h"

namespace stillwatch::serve {
namespace internal {
namespace {

class BeastServer final : public Server {
 public:
  ~BeastServer() override { BeastServer::Drain(std::chrono::milliseconds(0)); }

  absl::Status Init(ServerOptions options, std::shared_ptr<const TokenStore> tokens,
                    Metrics* metrics, Log* log) {
    shared_.options = std::move(options);
    shared_.log = log;
    if (tokens == nullptr) tokens = std::make_shared<TokenTable>();
    const ServerOptions& o = shared_.options;
    auto tls = ReadTls(o);
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
    auto tls = ReadTls(shared_.options);
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
}  // namespace internal

bool IsLoopback(std::string_view address) {
  if (address == "localhost") return true;
  boost::system::error_code ec;
  const auto parsed = boost::asio::ip::make_address(std::string(address), ec);
  return !ec && parsed.is_loopback();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options,
                                                      std::shared_ptr<const TokenStore> tokens,
                                                      Metrics* metrics, Log* log) {
  auto server = std::make_unique<internal::BeastServer>();
  if (absl::Status s = server->Init(std::move(options), std::move(tokens), metrics, log); !s.ok())
    return s;
  return server;
}

}  // namespace stillwatch::serve
