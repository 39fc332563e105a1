#include "lake/cluster/url.h"

#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>

#include "base/str.h"

namespace stillwatch::lake {
namespace {

using base::StrCat;

constexpr std::string_view kScheme = "clickhouse://", kUnix = "unix:";
constexpr std::string_view kForm =
    "clickhouse://user@host:8123,host2:8123/database?cluster=NAME, or unix:PATH";
constexpr std::string_view kDefaultPort = "8123";
constexpr size_t kHostsMax = 1024, kNameMax = 64;
constexpr int kWaitMax = 24 * 3600;

absl::Status Wrong(std::string_view what) {
  return absl::InvalidArgumentError(StrCat("--lake: ", what, "; expected ", kForm));
}

bool Number(std::string_view text, int low, int high, int* out) {
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && at == text.data() + text.size() && *out >= low && *out <= high;
}

bool PercentDecode(std::string_view text, std::string* out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out->push_back(text[i]);
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size()) return false;
    const auto [at, error] = std::from_chars(&text[i + 1], &text[i + 1] + 2, value, 16);
    if (error != std::errc() || at != &text[i + 1] + 2) return false;
    out->push_back(static_cast<char>(value));
    i += 2;
  }
  return true;
}

bool Among(std::string_view text, std::string_view more) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           more.find(c) != std::string_view::npos;
  });
}

// "host", "host:port", "[::1]:port" -> with a port.
bool Host(std::string_view text, std::string* out) {
  size_t end = text.find(':');
  if (text.substr(0, 1) == "[") {
    end = text.find(']');
    if (end == std::string_view::npos || !Among(text.substr(1, end - 1), ":.%")) return false;
    ++end;
  } else if (!Among(text.substr(0, end), "-.")) {
    return false;
  }
  end = std::min(end, text.size());
  if (end == 0) return false;
  std::string_view port = kDefaultPort;
  int number = 0;
  if (end < text.size()) {
    if (text[end] != ':') return false;
    port = text.substr(end + 1);
  }
  if (!Number(port, 1, 65535, &number)) return false;
  *out = StrCat(text.substr(0, end), ":", port);
  return true;
}

}  // namespace

std::string LakeUrl::Shown() const {
  if (!socket.empty()) return StrCat(kUnix, socket);
  std::string out(kScheme);
  for (size_t i = 0; i < hosts.size(); ++i) base::StrAppend(&out, i == 0 ? "" : ",", hosts[i]);
  base::StrAppend(&out, "/", database);
  if (!cluster.empty()) base::StrAppend(&out, "?cluster=", cluster);
  return out;
}

bool IsLakeUrl(std::string_view where) {
  return where.find("://") != std::string_view::npos || where.substr(0, kUnix.size()) == kUnix;
}

absl::StatusOr<LakeUrl> ParseLakeUrl(std::string_view text) {
  LakeUrl url;
  if (text.substr(0, kUnix.size()) == kUnix && text.find("://") == std::string_view::npos) {
    url.socket = text.substr(kUnix.size());
    if (url.socket.empty()) return Wrong("unix: names no socket");
    if (url.socket.size() >= sizeof(sockaddr_un::sun_path)) {
      return Wrong(
          StrCat("the path of a socket has at most ", sizeof(sockaddr_un::sun_path) - 1, " bytes"));
    }
    return url;
  }
  if (text.substr(0, kScheme.size()) != kScheme) {
    return Wrong(StrCat("\"", text.substr(0, text.find("://")), "://\" is no lake"));
  }
  text.remove_prefix(kScheme.size());
  std::string_view params;
  if (const size_t at = text.find('?'); at != std::string_view::npos) {
    params = text.substr(at + 1);
    text = text.substr(0, at);
  }
  // A password may hold what separates the other parts, so the last "@" ends it.
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    const std::string_view who = text.substr(0, at);
    const size_t colon = who.find(':');
    url.user.clear();
    if (!PercentDecode(who.substr(0, colon), &url.user) || url.user.empty() ||
        (colon != std::string_view::npos && !PercentDecode(who.substr(colon + 1), &url.password))) {
      return Wrong("user or password is empty or not percent-encoded");
    }
    if (url.user.find_first_of("\r\n") != std::string::npos ||
        url.password.find_first_of("\r\n") != std::string::npos) {
      return Wrong("user or password holds a line break");
    }
    text.remove_prefix(at + 1);
  }
  const size_t slash = text.find('/');
  std::string_view hosts = text.substr(0, slash);
  if (slash != std::string_view::npos) url.database = text.substr(slash + 1);
  if (url.database.empty()) return Wrong("it names no database");
  if (!Among(url.database, "") || url.database.size() > kNameMax ||
      (url.database[0] >= '0' && url.database[0] <= '9')) {
    return Wrong("a database's name has letters, digits and _ alone");
  }
  while (true) {
    const size_t comma = hosts.find(',');
    std::string host;
    if (!Host(hosts.substr(0, comma), &host))
      return Wrong(StrCat("\"", hosts.substr(0, comma), "\" is not host:port"));
    if (std::find(url.hosts.begin(), url.hosts.end(), host) == url.hosts.end())
      url.hosts.push_back(host);
    if (comma == std::string_view::npos) break;
    hosts.remove_prefix(comma + 1);
  }
  if (url.hosts.size() > kHostsMax) return Wrong(StrCat("more than ", kHostsMax, " hosts"));
  while (!params.empty()) {
    const size_t end = std::min(params.find('&'), params.size());
    const std::string_view param = params.substr(0, end);
    params.remove_prefix(std::min(params.size(), end + 1));
    const size_t equals = std::min(param.find('='), param.size());
    const std::string_view key = param.substr(0, equals),
                           value = param.substr(std::min(equals + 1, param.size()));
    if (key == "cluster") {
      if (value.empty() || value.size() > kNameMax || !Among(value, ".-"))
        return Wrong("cluster= names no cluster");
      url.cluster = value;
    } else if (key == "wait") {
      if (!Number(value, 0, kWaitMax, &url.wait_seconds))
        return Wrong(StrCat("wait= takes 0 to ", kWaitMax, " seconds"));
    } else if (key == "secure") {
      if (value != "0" && value != "1") return Wrong("secure= takes 0 or 1");
      url.secure = value == "1";
    } else {
      return Wrong(StrCat("\"", key, "\" is none of cluster, wait, secure"));
    }
  }
  if (url.hosts.size() > 1 && url.cluster.empty())
    return Wrong("several hosts need cluster=NAME (of their remote_servers)");
  return url;
}

absl::Status TakeEnvironment(LakeUrl* url) {
  if (const char* ca = std::getenv("STILLWATCH_LAKE_CA_FILE"); url->secure && ca != nullptr) {
    if (!std::ifstream(ca)) {
      return absl::InvalidArgumentError(StrCat("STILLWATCH_LAKE_CA_FILE: ", ca,
                                               " cannot be read; name a PEM file of certificates"));
    }
    url->ca_file = ca;
  }
  if (!url->socket.empty() || !url->password.empty()) return absl::OkStatus();
  if (const char* password = std::getenv("STILLWATCH_LAKE_PASSWORD"); password != nullptr) {
    url->password = password;
  } else if (const char* file = std::getenv("STILLWATCH_LAKE_PASSWORD_FILE"); file != nullptr) {
    std::ifstream in(file);
    if (!std::getline(in, url->password)) {
      return absl::InvalidArgumentError(StrCat("STILLWATCH_LAKE_PASSWORD_FILE: ", file,
                                               " cannot be read, or its first line is missing"));
    }
  }
  if (url->password.find_first_of("\r\n") != std::string::npos) {
    return absl::InvalidArgumentError("STILLWATCH_LAKE_PASSWORD: holds a line break");
  }
  return absl::OkStatus();
}

}  // namespace stillwatch::lake
