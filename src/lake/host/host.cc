#include "lake/host/host.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "base/str.h"
#include "lake/native.h"

namespace stillwatch::lake {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using base::StrCat;

constexpr int kPollMs = 200;
constexpr size_t kTargetBytesMax = 64 << 10;

std::string Text(const absl::Status& s) {
  return std::string(s.message().data(), s.message().size());
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::map<std::string, std::string> Params(std::string_view target) {
  std::map<std::string, std::string> out;
  target.remove_prefix(std::min(target.size(), target.find('?')));
  if (!target.empty()) target.remove_prefix(1);
  while (!target.empty()) {
    const std::string_view one = target.substr(0, target.find('&'));
    target.remove_prefix(std::min(target.size(), one.size() + 1));
    std::string parts[2];
    int part = 0;
    for (size_t i = 0; i < one.size(); ++i) {
      if (one[i] == '=' && part == 0) {
        part = 1;
      } else if (one[i] == '%' && i + 2 < one.size() && HexDigit(one[i + 1]) >= 0 &&
                 HexDigit(one[i + 2]) >= 0) {
        parts[part].push_back(static_cast<char>(HexDigit(one[i + 1]) * 16 + HexDigit(one[i + 2])));
        i += 2;
      } else {
        parts[part].push_back(one[i]);
      }
    }
    out[parts[0]] = parts[1];
  }
  return out;
}

// "INSERT INTO `table` (...) FORMAT Native" -> table; empty: another statement.
std::string InsertTable(std::string_view sql) {
  static constexpr std::string_view kInsert = "INSERT INTO `";
  if (sql.substr(0, kInsert.size()) != kInsert) return "";
  std::string table;
  for (sql.remove_prefix(kInsert.size()); !sql.empty() && sql[0] != '`'; sql.remove_prefix(1)) {
    if (sql[0] == '\\') sql.remove_prefix(1);
    if (!sql.empty()) table.push_back(sql[0]);
  }
  return table;
}

// A connected socket for Beast, on which every wait has a bound. Closes it.
class Connection {
 public:
  explicit Connection(int fd) : fd_(fd) {}
  ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;
  void operator=(const Connection&) = delete;

  template <typename Buffers>
  size_t read_some(const Buffers& buffers, boost::system::error_code& error) {
    for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers);
         ++it) {
      const asio::mutable_buffer b(*it);
      if (b.size() == 0) continue;
      if (!Ready(POLLIN, kHostReceiveSeconds, error)) return 0;
      const ssize_t n = recv(fd_, b.data(), b.size(), 0);
      if (n == 0) error = http::error::end_of_stream;
      return Done(n, error);
    }
    return 0;
  }
  template <typename Buffers>
  size_t write_some(const Buffers& buffers, boost::system::error_code& error) {
    for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers);
         ++it) {
      const asio::const_buffer b(*it);
      if (b.size() == 0) continue;
      if (!Ready(POLLOUT, kHostSendSeconds, error)) return 0;
      return Done(send(fd_, b.data(), b.size(), MSG_NOSIGNAL | MSG_DONTWAIT), error);
    }
    return 0;
  }
  template <typename Buffers>
  size_t read_some(const Buffers& buffers) {
    return Thrown([&](auto& error) { return read_some(buffers, error); });
  }
  template <typename Buffers>
  size_t write_some(const Buffers& buffers) {
    return Thrown([&](auto& error) { return write_some(buffers, error); });
  }

 private:
  bool Ready(short what, int seconds, boost::system::error_code& error) const {
    pollfd p{fd_, what, 0};
    int n;
    do n = poll(&p, 1, seconds * 1000);
    while (n < 0 && errno == EINTR);
    if (n <= 0) error = boost::system::errc::make_error_code(boost::system::errc::timed_out);
    return n > 0;
  }
  static size_t Done(ssize_t n, boost::system::error_code& error) {
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EAGAIN && errno != EINTR) error = {errno, boost::system::system_category()};
    return 0;
  }
  template <typename F>
  static size_t Thrown(F&& f) {
    boost::system::error_code error;
    const size_t n = f(error);
    if (error) throw boost::system::system_error(error);
    return n;
  }
  const int fd_;
};

// One request of one connection.
class Request {
 public:
  Request(Lake& lake, Connection& socket) : lake_(lake), socket_(socket) {}

  void Serve() {
    boost::beast::flat_buffer buffer;
    http::request_parser<http::string_body> parser;
    parser.body_limit(kHostBodyBytesMax);
    parser.header_limit(kTargetBytesMax);
    boost::system::error_code error;
    http::read(socket_, buffer, parser, error);
    if (error == http::error::body_limit) {
      Fail(absl::InvalidArgumentError(
          StrCat("lake: a request of more than ", kHostBodyBytesMax, " bytes")));
    }
    if (error) return;
    const auto& request = parser.get();
    if (request.method() != http::verb::post) {
      return Fail(absl::InvalidArgumentError("lake: only POST is spoken here"));
    }
    std::map<std::string, std::string> params =
        Params({request.target().data(), request.target().size()});
    const std::string& body = request.body();
    if (params["readonly"] == "1") {
      // A client may ask for less than the bounds, never for more.
      ReportBounds bounds;
      const auto less = [&](const char* key, auto* bound) {
        const auto it = params.find(key);
        if (it == params.end()) return;
        const uint64_t n = std::strtoull(it->second.c_str(), nullptr, 10);
        if (n > 0 && n < static_cast<uint64_t>(*bound))
          *bound = static_cast<std::remove_reference_t<decltype(*bound)>>(n);
      };
      less("max_execution_time", &bounds.seconds);
      less("max_result_rows", &bounds.rows);
      less("max_result_bytes", &bounds.bytes);
      bounds.cut = params["result_overflow_mode"] == "break";
      auto answer = lake_.Report(body, params["default_format"], bounds);
      return answer.ok() ? Whole(*answer) : Fail(answer.status());
    }
    if (const std::string table = InsertTable(params["query"]); !table.empty()) {
      std::string_view rest = body;
      auto block = DecodeNative(&rest);
      if (!block.ok()) return Fail(block.status());
      if (!rest.empty()) return Fail(absl::InvalidArgumentError("lake: an insert takes one block"));
      return End(lake_.Insert(table, *block));
    }
    if (!params["query"].empty())
      return Fail(absl::InvalidArgumentError("lake: only INSERT comes in the address"));
    if (params["default_format"] == "Native") return Query(body);
    End(lake_.Execute(body));
  }

 private:
  using Fields = http::response<http::empty_body>;

  void Query(const std::string& sql) {
    bool begun = false;
    std::string bytes;
    absl::Status status = lake_.Query(sql, [&](const Block& block) -> absl::Status {
      if (!begun) {
        begun = true;
        Fields head{http::status::ok, 11};
        head.chunked(true);
        http::response_serializer<http::empty_body> serializer{head};
        boost::system::error_code error;
        http::write_header(socket_, serializer, error);
        if (error) return absl::CancelledError("the client has gone");
      }
      bytes.clear();
      EncodeNative(block, &bytes);
      return Chunk(bytes);
    });
    if (!begun) return status.ok() ? Whole("") : Fail(status);
    // An error after the first block: its text, and then no end of the body.
    if (!status.ok()) return (void)Chunk(StrCat("Code: 1001. DB::Exception: ", Text(status)));
    boost::system::error_code error;
    asio::write(socket_, http::make_chunk_last(), error);
  }

  absl::Status Chunk(const std::string& bytes) {
    boost::system::error_code error;
    asio::write(socket_, http::make_chunk(asio::buffer(bytes)), error);
    return error ? absl::CancelledError("the client has gone") : absl::OkStatus();
  }

  void End(const absl::Status& status) { status.ok() ? Whole("") : Fail(status); }

  void Whole(const std::string& body) {
    http::response<http::string_body> reply{http::status::ok, 11, body};
    reply.prepare_payload();
    boost::system::error_code error;
    http::write(socket_, reply, error);
  }

  // The code of the status for our own client, words for others.
  void Fail(const absl::Status& status) {
    http::response<http::string_body> reply{http::status::internal_server_error, 11,
                                            StrCat("Code: 1001. DB::Exception: ", Text(status))};
    reply.set("X-Stillwatch-Status", std::to_string(static_cast<int>(status.code())));
    reply.prepare_payload();
    boost::system::error_code error;
    http::write(socket_, reply, error);
  }

  Lake& lake_;
  Connection& socket_;
};

sockaddr_un Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof(address.sun_path) - 1));
  return address;
}

// A listening socket; what a killed host left at the path goes.
absl::StatusOr<int> Listen(const std::string& path) {
  const sockaddr_un address = Address(path);
  const auto* as = reinterpret_cast<const sockaddr*>(&address);
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        StrCat("--socket: a path of 1 to ", sizeof(address.sun_path) - 1, " bytes"));
  }
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool taken = connect(probe, as, sizeof(address)) == 0;
  close(probe);
  if (taken)
    return absl::AlreadyExistsError(StrCat("--socket: ", path, ": another process listens on it"));
  struct stat there {};
  if (lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) {
      return absl::FailedPreconditionError(StrCat("--socket: ", path, " is there and no socket"));
    }
    unlink(path.c_str());
  }
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  // Nobody else may connect, from its first moment on.
  const mode_t before = umask(0177);
  const bool bound = fd >= 0 && bind(fd, as, sizeof(address)) == 0;
  umask(before);
  if (!bound || listen(fd, kHostConnectionsMax) != 0) {
    const int why = errno;
    if (fd >= 0) close(fd);
    return absl::FailedPreconditionError(StrCat("--socket: ", path, ": ", std::strerror(why)));
  }
  return fd;
}

// Threads of connections. They outlive HostLake when a statement does, so they share what they use.
struct Workers {
  struct Worker {
    int fd;
    bool done = false;
    std::thread thread;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::list<Worker> all;  // guarded by mutex; its nodes stay where they are
  int running = 0;        // guarded by mutex

  // The engine keeps things of a thread, which must be gone before the process ends: threads that
  // are done are waited for.
  void Reap() {
    std::list<Worker> done;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      for (auto it = all.begin(); it != all.end();) {
        const auto here = it++;
        if (here->done) done.splice(done.end(), all, here);
      }
    }
    for (Worker& w : done) w.thread.join();
  }
};

}  // namespace

absl::StatusOr<bool> HostLake(const HostOptions& options) {
  auto opened = OpenEmbedded(options.lake);
  if (!opened.ok()) return opened.status();
  std::unique_ptr<Lake> lake = *std::move(opened);
  if (absl::Status s = lake->Migrate(); !s.ok()) return s;
  auto listening = Listen(options.socket);
  if (!listening.ok()) return listening.status();
  const int listener = *listening;
  const auto workers = std::make_shared<Workers>();
  const auto told = [&] {
    return (options.stop != nullptr && *options.stop) ||
           (options.parent != 0 && getppid() != options.parent);
  };
  while (!told()) {
    workers->Reap();
    pollfd ready{listener, POLLIN, 0};
    bool full;
    {
      std::unique_lock<std::mutex> lock(workers->mutex);
      full = !workers->changed.wait_for(lock, std::chrono::milliseconds(kPollMs),
                                        [&] { return workers->running < kHostConnectionsMax; });
    }
    if (full || poll(&ready, 1, kPollMs) <= 0) continue;
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const std::lock_guard<std::mutex> lock(workers->mutex);
    ++workers->running;
    Workers::Worker& worker = workers->all.emplace_back();
    worker.fd = fd;
    worker.thread = std::thread([lake = lake.get(), workers, &worker] {
      Connection connection(worker.fd);
      Request(*lake, connection).Serve();
      const std::lock_guard<std::mutex> done(workers->mutex);
      worker.done = true;
      --workers->running;
      workers->changed.notify_all();
    });
  }
  close(listener);
  unlink(options.socket.c_str());
  const auto ended = [&] { return workers->running == 0; };
  std::unique_lock<std::mutex> lock(workers->mutex);
  const auto half = std::chrono::seconds(kHostDrainSeconds / 2);
  if (!workers->changed.wait_for(lock, half, ended)) {
    // Streams end with their connection.
    for (const Workers::Worker& w : workers->all) {
      if (!w.done) shutdown(w.fd, SHUT_RDWR);
    }
    if (!workers->changed.wait_for(lock, half, ended)) {
      for (Workers::Worker& w : workers->all) w.thread.detach();
      lake.release();  // NOLINT: the threads are inside it
      return false;
    }
  }
  lock.unlock();
  workers->Reap();
  return true;
}

}  // namespace stillwatch::lake
