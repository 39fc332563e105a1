#include "serve/decide/denial.h"

#include <algorithm>

#include "base/json.h"
#include "base/str.h"

namespace stillwatch::serve {
namespace {

using base::StrCat;

struct Words {
  int status;
  std::string_view type, code, message;
};

Words WordsOf(Refusal refusal) {
  switch (refusal) {
    case Refusal::kSlowDown:
      return {429, "rate_limit_error", "rate_limit_exceeded",
              "Too many requests. Try again later."};
    case Refusal::kVerify:
      return {403, "permission_error", "verification_required",
              "This account must be verified before this request can be served."};
    case Refusal::kDenied:
      break;
  }
  return {403, "permission_error", "permission_denied", "This request is not permitted."};
}

}  // namespace

Dialect DialectOf(std::string_view path, std::string_view anthropic_version) {
  if (!anthropic_version.empty()) return Dialect::kAnthropic;
  path = path.substr(0, path.find_first_of("?#"));
  for (const std::string_view mark : {"/v1/messages", "/v1/complete"}) {
    const size_t at = path.find(mark);
    if (at == std::string_view::npos) continue;
    const std::string_view rest = path.substr(at + mark.size());
    if (rest.empty() || rest.front() == '/') return Dialect::kAnthropic;
  }
  return Dialect::kOpenAi;
}

Denial Deny(Refusal refusal, Dialect dialect, std::string_view appeal, uint32_t retry_after_s,
            std::string_view request_id) {
  const Words words = WordsOf(refusal);
  std::string message(words.message);
  if (!appeal.empty()) {
    message += StrCat(" If this looks wrong, contact support and quote ", appeal, ".");
  }
  Denial d;
  d.status = words.status;
  if (refusal == Refusal::kSlowDown) {
    const uint32_t wait = retry_after_s == 0 ? 60 : retry_after_s;
    d.headers.emplace_back("retry-after", std::to_string(wait));
  }
  d.headers.emplace_back("x-should-retry", "false");
  d.headers.emplace_back("content-type", "application/json");
  base::JsonWriter w(&d.body);
  w.BeginObject();
  if (dialect == Dialect::kAnthropic) {
    w.Key("type");
    w.String("error");
  }
  w.Key("error");
  w.BeginObject();
  w.Key("type");
  w.String(words.type);
  w.Key("message");
  w.String(message);
  if (dialect == Dialect::kOpenAi) {
    w.Key("param");
    w.Null();
    w.Key("code");
    w.String(words.code);
  }
  w.EndObject();
  if (dialect == Dialect::kAnthropic && !request_id.empty()) {
    w.Key("request_id");
    w.String(request_id.substr(0, 128));
  }
  w.EndObject();
  return d;
}

Denial ForNginx(Denial denial) {
  Denial d;
  d.status = 403;
  for (auto& header : denial.headers) {
    if (header.first != "content-type") d.headers.push_back(std::move(header));
  }
  d.headers.emplace_back("x-stillwatch-status", std::to_string(denial.status));
  d.headers.emplace_back("x-stillwatch-body", std::move(denial.body));
  return d;
}

}  // namespace stillwatch::serve
