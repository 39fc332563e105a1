#include "serve/gate/gate.h"

#include <algorithm>

#include "base/json.h"
#include "base/str.h"
#include "serve/decide/denial.h"

namespace stillwatch::serve {
namespace {

using respond::Action;

bool Refuses(Action a) {
  return a == Action::kThrottle || a == Action::kVerify || a == Action::kDeny;
}

// For whoever is refused, and nothing about why.
std::string Message(const Ruling& r) {
  std::string out = r.action == Action::kThrottle ? "Too many requests. Try again later."
                    : r.action == Action::kVerify
                        ? "This account must be verified before this request can be served."
                        : "This request is not permitted.";
  if (!r.appeal_ref.empty())
    base::StrAppend(&out, " If this looks wrong, contact support and quote ", r.appeal_ref, ".");
  return out;
}

HttpReply Decide(const Decider& decider, const HttpRequest& http) {
  static thread_local DecideParser parser;
  static thread_local DecideBody body;
  const std::string type = http.ContentType();
  if (!type.empty() && type != "application/json")
    return ErrorReply(415, "Content-Type: expected application/json");
  if (const absl::Status s = parser.Decide(http.body, &body); !s.ok())
    return ErrorReply(400, std::string_view(s.message().data(), s.message().size()));
  const Ruling r = decider.Rule("decide", body.request);
  HttpReply reply;
  base::JsonWriter w(&reply.body);
  w.BeginObject();
  w.Key("action");
  w.String(respond::ActionName(r.action));
  w.Key("reason");
  w.String(respond::ReasonName(r.reason));
  if (r.action == Action::kThrottle) {
    w.Key("retry_after_s");
    w.Uint(std::max(1u, r.retry_after_s));
  }
  if (r.action == Action::kReduce && !r.reduce_to.empty()) {
    w.Key("reduce_to");
    w.String(r.reduce_to);
  }
  if (!r.appeal_ref.empty()) {
    w.Key("appeal_ref");
    w.String(r.appeal_ref);
  }
  if (Refuses(r.action)) {
    w.Key("message");
    w.String(Message(r));
  }
  w.Key("shadow");
  w.Bool(r.shadow);
  if (r.shadow) {
    w.Key("shadowed");
    w.String(respond::ActionName(r.shadowed));
  }
  w.EndObject();
  return reply;
}

HttpReply Litellm(const Decider& decider, const HttpRequest& http) {
  static thread_local DecideParser parser;
  static thread_local DecideBody body;
  HttpReply reply;
  if (parser.Litellm(http.body, &body)) {
    const Ruling r = decider.Rule("litellm", body.request);
    if (Refuses(r.action)) {
      base::JsonWriter w(&reply.body);
      w.BeginObject();
      w.Key("action");
      w.String("BLOCKED");
      w.Key("blocked_reason");
      w.String(Message(r));
      w.EndObject();
      return reply;
    }
  }
  reply.body = "{\"action\":\"NONE\"}";
  return reply;
}

// What the client asked for, as the gateway tells it.
std::string PathOf(const HttpRequest& http) {
  for (const std::string_view name :
       {"x-forwarded-uri", "x-original-uri", "x-original-url", "x-envoy-original-path"}) {
    if (const std::string_view v = http.Header(name); !v.empty()) return std::string(v);
  }
  return base::StrCat("/", http.suffix);
}

HttpReply Check(const Decider& decider, bool nginx, const HttpRequest& http) {
  const std::string path = PathOf(http);
  Answer answer = decider.Check({
      .via = "check",
      .path = path,
      .header = [&](std::string_view name) { return http.Header(name); },
      .setting = [](std::string_view) { return std::string_view(); },
      .client_ip = {},
      .body = http.body,
      .body_cut = http.Header("x-envoy-auth-partial-body") == "true",
  });
  HttpReply reply;
  if (!answer.refused) {
    // Always there, if empty: Caddy's copy_headers writes a placeholder for a header that is
    // missing.
    reply.headers.emplace_back(std::string(kReduceHeader), answer.reduce_to);
    return reply;
  }
  if (!http.query.empty()) {
    const auto style = http.Query("deny_style");
    if (style == "nginx") nginx = true;
    if (style == "native") nginx = false;
  }
  Denial denial = nginx ? ForNginx(std::move(answer.denial)) : std::move(answer.denial);
  reply.status = denial.status;
  reply.body = std::move(denial.body);
  for (auto& header : denial.headers) {
    if (header.first == "content-type")
      reply.content_type = std::move(header.second);
    else
      reply.headers.push_back(std::move(header));
  }
  return reply;
}

}  // namespace

void AddGate(Router* router, const Decider* decider, GateOptions options) {
  router->Add({.method = "POST",
               .pattern = "/v1/decide",
               .role = Role::kDecide,
               .speed = Speed::kInline,
               .handler = [=](const HttpRequest& r) { return Decide(*decider, r); },
               .body_bytes = kContentBytesMax});
  router->Add({.method = "POST",
               .pattern = "/beta/litellm_basic_guardrail_api",
               .role = Role::kDecide,
               .speed = Speed::kInline,
               .handler = [=](const HttpRequest& r) { return Litellm(*decider, r); },
               .body_bytes = kContentBytesMax});
  for (const char* pattern : {"/v1/check", "/v1/check/*"}) {
    router->Add({.method = "*",
                 .pattern = pattern,
                 .role = Role::kDecide,
                 .speed = Speed::kInline,
                 .handler = [=](const HttpRequest& r) { return Check(*decider, options.nginx, r); },
                 .body_bytes = kContentBytesMax,
                 .token_header_only = true});
  }
}

}  // namespace stillwatch::serve
