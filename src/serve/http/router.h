// Requests, replies, and which handler answers which path. No sockets here: a handler can be
// tested with a request made by hand.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "serve/http/tokens.h"

namespace stillwatch::serve {

// Views and pointers are valid during the handler's call.
struct HttpRequest {
  std::string_view method;  // "GET"
  std::string_view target;  // as sent, with the query
  std::string_view path;    // of it, before "?"; not decoded
  std::string_view query;   // of it, after "?"
  std::string_view remote;  // the peer's address, without port
  bool tls = false;
  // SHA-256 of the client's certificate in 64 hex digits; empty where none is asked for.
  std::string_view client_certificate;
  std::vector<std::pair<std::string_view, std::string_view>> headers;  // as sent, in order
  std::string_view body;                                               // decompressed
  std::string_view suffix;  // what a pattern's final "*" stands for
  std::vector<std::pair<std::string_view, std::string>>
      params;                            // of "{name}" in the pattern, decoded
  const Principal* principal = nullptr;  // never null in a handler

  // The first of that name (any case), else empty. Absence and emptiness look alike.
  std::string_view Header(std::string_view name) const;
  std::string_view Param(std::string_view name) const;
  // Of "?a=b&c": decoded; nothing when the key is not there.
  std::optional<std::string> Query(std::string_view key) const;
  // Media type of the body in lower case, without parameters: "application/json".
  std::string ContentType() const;
};

struct HttpReply {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";  // sent when there is a body
  std::vector<std::pair<std::string, std::string>> headers;
};

// {"error": {"message", "type", "param": null, "code": null}}, the shape of OpenAI's API.
HttpReply ErrorReply(int status, std::string_view message);
HttpReply JsonReply(std::string body, int status = 200);
const char* ReasonPhrase(int status);

// "%41+b" as in a path or a query (there "+" is a space). Nothing for a broken escape.
std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space);

// kInline: on an io thread, must never block: no disk, no database, no lock held elsewhere. Bodies
// above Limits::inline_body_bytes are taken to the pool when it has room. kPool: on a worker,
// which may block; 503 when Limits::pool_queue are waiting.
enum class Speed : uint8_t { kInline, kPool };

using Handler = std::function<HttpReply(const HttpRequest&)>;

struct Route {
  std::string method;   // "POST", or "*" for any
  std::string pattern;  // "/v1/decide", "/api/v1/appeals/{id}", "/v1/check/*"
  Role role = Role::kAdmin;
  Speed speed = Speed::kPool;
  Handler handler;
  size_t body_bytes = SIZE_MAX;  // as sent and decompressed, where less than the Limits
  // The caller's token is read from X-Stillwatch-Token alone: Authorization and x-api-key belong to
  // somebody else's request, which the gateway shows us.
  bool token_header_only = false;
  // HTTP Basic does too, with the token as the password; whatever the user's name.
  bool basic = false;
  // What the server itself answers once the route is known: no token, too long, busy.
  HttpReply (*refusal)(int status, std::string_view message) = ErrorReply;
};

// Filled before the server starts, then read by many threads.
class Router {
 public:
  // Dies on a pattern that is there already: two handlers for one path are a bug.
  void Add(Route route);
  void Add(std::string method, std::string pattern, Role role, Speed speed, Handler handler) {
    Add({.method = std::move(method),
         .pattern = std::move(pattern),
         .role = role,
         .speed = speed,
         .handler = std::move(handler)});
  }

  struct Match {
    const Route* route = nullptr;  // null: 404, or 405 when `allow` says which methods there are
    std::string allow;
    std::string_view suffix;
    std::vector<std::pair<std::string_view, std::string>> params;
  };
  // HEAD finds GET's handler. Exact paths go before patterns, longer patterns before shorter.
  Match Find(std::string_view method, std::string_view path) const;
  const std::vector<std::unique_ptr<Route>>& routes() const { return routes_; }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  std::vector<std::unique_ptr<Route>> routes_;
  std::unordered_map<std::string, std::vector<const Route*>, Hash, std::equal_to<>> exact_;
  std::vector<const Route*> patterns_;  // longest first
};

}  // namespace stillwatch::serve
