#include "serve/http/router.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/json.h"

namespace stillwatch::serve {

namespace {

bool SameNoCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? char(c | 0x20) : c; };
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = char(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Matches segment by segment; "{name}" takes one that is not empty, a final "*" the rest.
bool Fits(std::string_view pattern, std::string_view path, std::string_view* suffix,
          std::vector<std::pair<std::string_view, std::string>>* params) {
  params->clear();
  while (true) {
    if (pattern == "*") {
      *suffix = path;
      return true;
    }
    const size_t a = std::min(pattern.find('/'), pattern.size());
    const size_t b = std::min(path.find('/'), path.size());
    const std::string_view want = pattern.substr(0, a), have = path.substr(0, b);
    if (want.size() > 2 && want.front() == '{' && want.back() == '}') {
      auto decoded = PercentDecode(have, false);
      if (have.empty() || !decoded) return false;
      params->emplace_back(want.substr(1, want.size() - 2), std::move(*decoded));
    } else if (want != have) {
      return false;
    }
    if (a == pattern.size() || b == path.size()) {
      return a == pattern.size() && b == path.size();
    }
    pattern.remove_prefix(a + 1);
    path.remove_prefix(b + 1);
  }
}

}  // namespace

std::string_view HttpRequest::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (SameNoCase(key, name)) return value;
  }
  return {};
}

std::string_view HttpRequest::Param(std::string_view name) const {
  for (const auto& [key, value] : params) {
    if (key == name) return value;
  }
  return {};
}

std::optional<std::string> HttpRequest::Query(std::string_view key) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view one = rest.substr(0, end);
    const size_t eq = std::min(one.find('='), one.size());
    const auto name = PercentDecode(one.substr(0, eq), true);
    if (name && *name == key)
      return PercentDecode(eq < one.size() ? one.substr(eq + 1) : std::string_view(), true);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return std::nullopt;
}

std::string HttpRequest::ContentType() const {
  std::string_view v = Header("content-type");
  v = v.substr(0, v.find(';'));
  while (!v.empty() && (v.back() == ' ' || v.back() == '\t')) v.remove_suffix(1);
  std::string out(v);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = char(c | 0x20);
  }
  return out;
}

HttpReply ErrorReply(int status, std::string_view message) {
  HttpReply reply;
  reply.status = status;
  base::JsonWriter w(&reply.body);
  w.BeginObject();
  w.Key("error");
  w.BeginObject();
  w.Key("message");
  w.String(message);
  w.Key("type");
  w.String(status == 401   ? "authentication_error"
           : status == 403 ? "permission_error"
           : status == 429 ? "rate_limit_error"
           : status >= 500 ? "server_error"
                           : "invalid_request_error");
  w.Key("param");
  w.Null();
  w.Key("code");
  w.Null();
  w.EndObject();
  w.EndObject();
  reply.body.push_back('\n');
  return reply;
}

HttpReply JsonReply(std::string body, int status) {
  HttpReply reply;
  reply.status = status;
  reply.body = std::move(body);
  return reply;
}

const char* ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 507:
      return "Insufficient Storage";
    default:
      return "Status";
  }
}

std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      const int hi = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int lo = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (hi < 0 || lo < 0) return std::nullopt;
      out.push_back(char(hi << 4 | lo));
      i += 2;
    } else {
      out.push_back(plus_is_space && text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

void Router::Add(Route route) {
  for (const auto& have : routes_) {
    if (have->pattern == route.pattern && have->method == route.method) {
      std::fprintf(stderr, "router: %s %s is there twice\n", route.method.c_str(),
                   route.pattern.c_str());
      std::abort();
    }
  }
  routes_.push_back(std::make_unique<Route>(std::move(route)));
  const Route* r = routes_.back().get();
  if (r->pattern.find_first_of("{*") == std::string::npos) {
    exact_[r->pattern].push_back(r);
    return;
  }
  patterns_.push_back(r);
  std::stable_sort(patterns_.begin(), patterns_.end(), [](const Route* a, const Route* b) {
    return a->pattern.size() > b->pattern.size();
  });
}

Router::Match Router::Find(std::string_view method, std::string_view path) const {
  Match out;
  const auto consider = [&](const Route* r) {
    if (r->method == "*" || r->method == method || (method == "HEAD" && r->method == "GET")) {
      out.route = r;
      return true;
    }
    if (!out.allow.empty()) out.allow += ", ";
    out.allow += r->method;
    return false;
  };
  if (const auto it = exact_.find(path); it != exact_.end()) {
    for (const Route* r : it->second) {
      if (consider(r)) return out;
    }
  }
  for (const Route* r : patterns_) {
    if (Fits(r->pattern, path, &out.suffix, &out.params) && consider(r)) return out;
  }
  out.params.clear();
  return out;
}

}  // namespace stillwatch::serve
