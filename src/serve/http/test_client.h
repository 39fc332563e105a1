// For tests: a blocking HTTP client over a raw socket, so that a test can send what no library
// would.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace stillwatch::serve {

struct TestReply {
  int status = 0;  // 0: the connection ended without a reply
  std::string head, body;
  // Value of a header, by its exact name; empty when absent.
  std::string Header(const std::string& name) const {
    const size_t at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "";
    const size_t begin = at + name.size() + 4;
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
};

// Waits at most 30 s for anything.
class TestClient {
 public:
  explicit TestClient(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval wait{30, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  ~TestClient() { close(fd_); }
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(size_t(n));
    }
    return true;
  }
  // The next reply; `head_only`: one to HEAD.
  TestReply Receive(bool head_only = false) {
    TestReply out;
    size_t end;
    while ((end = in_.find("\r\n\r\n")) == std::string::npos) {
      if (!More()) return out;
    }
    out.head = in_.substr(0, end + 2);
    in_.erase(0, end + 4);
    out.status = std::atoi(out.head.c_str() + 9);
    const std::string length = out.Header("Content-Length");
    const size_t n = head_only || length.empty() ? 0 : std::strtoull(length.c_str(), nullptr, 10);
    while (in_.size() < n) {
      if (!More()) break;
    }
    out.body = in_.substr(0, n);
    in_.erase(0, n);
    return out;
  }
  // True once the server has ended the connection; throws away what it still sends.
  bool Ended() {
    in_.clear();
    while (More()) {
    }
    return in_.empty() || ended_;
  }
  TestReply Do(const std::string& method, const std::string& target, const std::string& body = "",
               const std::string& headers = "Content-Type: application/json\r\n") {
    Send(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n" + headers +
         (body.empty() && method != "POST"
              ? ""
              : "Content-Length: " + std::to_string(body.size()) + "\r\n") +
         "\r\n" + body);
    return Receive(method == "HEAD");
  }

 private:
  bool More() {
    char part[16384];
    const ssize_t n = recv(fd_, part, sizeof part, 0);
    if (n <= 0) {
      ended_ = n == 0 || errno != EAGAIN;
      return false;
    }
    in_.append(part, size_t(n));
    return true;
  }
  const int fd_;
  bool connected_ = false, ended_ = false;
  std::string in_;
};

}  // namespace stillwatch::serve
