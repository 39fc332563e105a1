// Sends HTTP requests at a fixed rate over kept connections and prints how long answers took.
//
//   serve_load PORT RATE SECONDS CONNECTIONS REQUEST_FILE STATUS[,STATUS]...
//
// The schedule does not wait for answers: request i is due at i / RATE, and its time counts from
// then, however long it waited for a free connection (no "coordinated omission"). One thread, which
// spins: give it a core of its own. The file holds one request as it goes over the wire. Prints
// JSON: microseconds, and what was not answered with one of STATUS as `failed`.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Connection {
  int fd = -1;
  bool busy = false;
  Clock::time_point due;
  std::string in;
};

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(uint16_t(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    std::perror("serve_load: connect");
    std::exit(2);
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  return fd;
}

// Bytes of the reply at the beginning of `in`, 0 when it is not whole.
size_t Whole(const std::string& in, int* status, bool* close) {
  const size_t end = in.find("\r\n\r\n");
  if (end == std::string::npos) return 0;
  *status = std::atoi(in.c_str() + 9);
  size_t body = 0;
  *close = false;
  for (size_t at = in.find("\r\n") + 2; at < end + 2;) {
    const size_t next = in.find("\r\n", at);
    if (strncasecmp(in.c_str() + at, "content-length:", 15) == 0)
      body = std::strtoull(in.c_str() + at + 15, nullptr, 10);
    if (strncasecmp(in.c_str() + at, "connection: close", 17) == 0) *close = true;
    at = next + 2;
  }
  return in.size() >= end + 4 + body ? end + 4 + body : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr,
                 "serve_load PORT RATE SECONDS CONNECTIONS REQUEST_FILE STATUS[,STATUS]...\n");
    return 2;
  }
  const int port = std::atoi(argv[1]);
  const double rate = std::atof(argv[2]), seconds = std::atof(argv[3]);
  const int n = std::atoi(argv[4]);
  std::ifstream file(argv[5], std::ios::binary);
  const std::string request((std::istreambuf_iterator<char>(file)), {});
  const std::string wanted = std::string(",") + argv[6] + ",";
  if (request.empty() || rate <= 0 || n <= 0) return 2;

  const int poll = epoll_create1(0);
  std::vector<Connection> connections(static_cast<size_t>(n));
  std::vector<size_t> idle;
  const auto open = [&](size_t i) {
    connections[i].fd = Connect(port);
    connections[i].in.clear();
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.u64 = i;
    epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].fd, &e);
  };
  for (size_t i = 0; i < connections.size(); ++i) {
    open(i);
    idle.push_back(i);
  }
  const uint64_t total = uint64_t(rate * seconds);
  std::vector<float> us;
  us.reserve(total);
  uint64_t sent = 0, failed = 0;
  const auto begin = Clock::now() + std::chrono::milliseconds(20);
  const auto give_up = begin + std::chrono::milliseconds(int64_t(seconds * 1000) + 10'000);
  const auto due = [&](uint64_t i) {
    return begin + std::chrono::nanoseconds(int64_t(double(i) * 1e9 / rate));
  };
  const auto over = [&](size_t i, bool good, bool again) {
    Connection& c = connections[i];
    us.push_back(float(std::chrono::duration<double, std::micro>(Clock::now() - c.due).count()));
    if (!good) ++failed;
    c.busy = false;
    if (again) {
      close(c.fd);
      open(i);
    }
    idle.push_back(i);
  };
  epoll_event events[256];
  while (us.size() < total && Clock::now() < give_up) {
    while (sent < total && !idle.empty() && Clock::now() >= due(sent)) {
      const size_t i = idle.back();
      idle.pop_back();
      Connection& c = connections[i];
      c.busy = true;
      c.due = due(sent++);
      if (send(c.fd, request.data(), request.size(), MSG_NOSIGNAL) != ssize_t(request.size()))
        over(i, false, true);
    }
    const int got = epoll_wait(poll, events, 256, 0);
    for (int k = 0; k < got; ++k) {
      const size_t i = events[k].data.u64;
      Connection& c = connections[i];
      char part[8192];
      const ssize_t bytes = recv(c.fd, part, sizeof part, 0);
      if (bytes < 0 && errno == EAGAIN) continue;
      if (bytes <= 0) {
        if (c.busy) {
          over(i, false, true);
        } else {  // closed while idle: that is the server's right
          close(c.fd);
          open(i);
        }
        continue;
      }
      c.in.append(part, size_t(bytes));
      int status = 0;
      bool ends = false;
      if (const size_t size = Whole(c.in, &status, &ends); size > 0) {
        c.in.erase(0, size);
        over(i, wanted.find("," + std::to_string(status) + ",") != std::string::npos, ends);
      }
    }
  }
  const double took = std::chrono::duration<double>(Clock::now() - begin).count();
  failed += total - us.size();
  std::sort(us.begin(), us.end());
  const auto at = [&](double q) {
    return us.empty() ? 0.f : us[std::min(us.size() - 1, size_t(q * double(us.size())))];
  };
  std::printf(
      "{\"requests\": %llu, \"failed\": %llu, \"rate\": %.0f, \"p50_us\": %.1f, \"p90_us\": %.1f, "
      "\"p99_us\": %.1f, "
      "\"p999_us\": %.1f, \"max_us\": %.1f}\n",
      static_cast<unsigned long long>(total), static_cast<unsigned long long>(failed),
      double(us.size()) / took, double(at(.5)), double(at(.9)), double(at(.99)), double(at(.999)),
      double(us.empty() ? 0.f : us.back()));
  return 0;
}
