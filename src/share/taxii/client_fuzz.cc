// Any bytes as the answers of a TAXII server, one after the other, cut at form feeds: a status and
// headers up to an empty line, then the body. Reading and adding end, and what is said of them is
// fit for a terminal.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

#include "base/str.h"
#include "share/taxii/client.h"
#include "share/taxii/media.h"

namespace {

using namespace stillwatch;

// Answers each connection with the next piece; 404 when there is none left.
class Peer {
 public:
  Peer() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(listener_, 64) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      std::abort();
    port_ = ntohs(address.sin_port);
    std::thread([this] { Serve(); }).detach();  // as long as the process
  }
  int port() const { return port_; }
  void Say(std::string_view pieces) {
    const std::lock_guard<std::mutex> lock(mutex_);
    rest_ = pieces;
  }

 private:
  std::string Next() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (rest_.empty()) return "HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n";
    const std::string piece = rest_.substr(0, rest_.find('\f'));
    rest_.erase(0, piece.size() + 1);
    std::string head = piece.substr(0, piece.find("\n\n"));
    const std::string body = piece.substr(std::min(piece.size(), head.size() + 2));
    static constexpr int kStatus[] = {200, 202, 400, 401, 403, 404, 429, 503, 500, 301};
    const int status = kStatus[head.empty() ? 0 : uint8_t(head[0]) % std::size(kStatus)];
    std::string out = base::StrCat("HTTP/1.1 ", status, " x\r\ncontent-type: ", share::kTaxiiMedia,
                                   "\r\ncontent-length: ", body.size(), "\r\n");
    for (size_t at = std::min(head.find('\n'), head.size()); at < head.size();) {
      const size_t end = std::min(head.find('\n', at + 1), head.size());
      const std::string line = head.substr(at + 1, end - at - 1);
      at = end;
      // What frames the answer is libcurl's business.
      if (line.starts_with("x-taxii-") || line.starts_with("retry-after:") ||
          line.starts_with("location:") || line.starts_with("content-type:"))
        out += line + "\r\n";
    }
    return out + "connection: close\r\n\r\n" + body;
  }
  void Serve() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) std::abort();
      std::string in;
      char buffer[4096];
      const auto whole = [&] {
        const size_t head = in.find("\r\n\r\n");
        if (head == in.npos) return false;
        const size_t length = in.find("Content-Length: ");
        const size_t body = length < head ? std::strtoul(&in[length + 16], nullptr, 10) : 0;
        return in.size() >= head + 4 + body;
      };
      ssize_t n = 1;
      while (!whole() && (n = read(fd, buffer, sizeof buffer)) > 0) in.append(buffer, size_t(n));
      const std::string out = Next();
      for (size_t at = 0; at < out.size();) {
        n = send(fd, out.data() + at, out.size() - at, MSG_NOSIGNAL);
        if (n <= 0) break;
        at += size_t(n);
      }
      close(fd);
    }
  }
  int listener_ = -1, port_ = 0;
  std::mutex mutex_;
  std::string rest_;
};

void Fit(std::string_view text) {
  if (text.empty()) std::abort();
  for (const char c : text) {
    if (uint8_t(c) < 0x20 || c == 0x7f) std::abort();
  }
}
void Fit(const absl::Status& s) {
  if (s.ok()) return;
  if (absl::IsInternal(s) || absl::IsUnknown(s)) std::abort();
  Fit(std::string_view(s.message().data(), s.message().size()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::share;
  static Peer& peer = *new Peer;
  TaxiiClientOptions o;
  o.url = base::StrCat("http://127.0.0.1:", peer.port(), "/taxii2/");
  o.secret = "s";
  o.pause = o.wait_max = std::chrono::milliseconds(0);
  o.note = [](const std::string& text) { Fit(text); };
  const auto client = TaxiiClient::Create(o);
  if (!client.ok()) std::abort();
  peer.Say({reinterpret_cast<const char*>(data), size});
  const auto all = (*client)->Collections();
  Fit(all.status());
  if (all.ok()) {
    for (const RemoteCollection& c : *all) {
      Fit("." + c.id + c.alias + c.title + c.description);
      if (c.id.empty() || !c.url.starts_with(o.url.substr(0, o.url.size() - 8))) std::abort();
    }
    peer.Say({reinterpret_cast<const char*>(data), size});
    Fit((*client)->Find("no such").status());
    peer.Say({reinterpret_cast<const char*>(data), size});
  }
  // Whatever its right is said to be, of a collection that there might be.
  RemoteCollection c;
  c.id = "c";
  c.root_url = o.url;
  c.url = o.url + "collections/c/";
  c.can_read = c.can_write = true;
  const auto pulled = (*client)->Pull(c, {});
  Fit(pulled.status());
  if (pulled.ok() && pulled->objects.size() > size) std::abort();
  peer.Say({reinterpret_cast<const char*>(data), size});
  const auto pushed = (*client)->Push(c, {"{\"id\":\"a\"}", "{\"id\":\"b\"}"});
  Fit(pushed.status());
  if (pushed.ok()) {
    if (pushed->total != 2 || pushed->success > 2) std::abort();
    for (const auto& f : pushed->failures) Fit(f.id + f.message + ".");
  }
  return 0;
}
