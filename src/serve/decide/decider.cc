#include "serve/decide/decider.h"

#include <sodium.h>

#include <algorithm>
#include <array>

#include "base/json.h"
#include "base/str.h"
#include "serve/decide/content.h"

namespace stillwatch::serve {
namespace {

using respond::Action;

std::string_view Bounded(std::string_view s) {
  return s.size() <= kNameBytesMax ? s : std::string_view();
}

std::string_view Trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

bool StartsWithNoCase(std::string_view s, std::string_view lower) {
  if (s.size() < lower.size()) return false;
  for (size_t i = 0; i < lower.size(); ++i) {
    const char c = s[i] >= 'A' && s[i] <= 'Z' ? static_cast<char>(s[i] + 32) : s[i];
    if (c != lower[i]) return false;
  }
  return true;
}

// The key with which the client calls the API, as each of them wants it.
std::string_view ClientKey(const Lookup& header) {
  const std::string_view authorization = header("authorization");
  if (StartsWithNoCase(authorization, "bearer ")) return Trim(authorization.substr(7));
  for (const std::string_view name : {"x-api-key", "api-key", "x-goog-api-key"}) {
    if (const std::string_view key = Trim(header(name)); !key.empty()) return key;
  }
  return {};
}

std::string_view FromRight(std::string_view list, int n) {
  for (;; --n) {
    const size_t comma = list.rfind(',');
    if (n <= 1) return Trim(comma == std::string_view::npos ? list : list.substr(comma + 1));
    if (comma == std::string_view::npos) return Trim(list);
    list = list.substr(0, comma);
  }
}

// Where the path names the model the server goes by it, whatever the body says:
// "/v1beta/models/NAME:generateContent", "/openai/deployments/NAME/chat/completions" (Azure),
// "/model/NAME/invoke" (Bedrock). A path that a server might read otherwise names none.
std::string_view ModelOfPath(std::string_view path) {
  path = path.substr(0, path.find_first_of("?#"));
  if (path.find("..") != std::string_view::npos || path.find("//") != std::string_view::npos) {
    return {};
  }
  for (const std::string_view begin :
       {"/v1beta/models/", "/v1/models/", "/openai/deployments/", "/model/"}) {
    if (!path.starts_with(begin)) continue;
    const std::string_view rest = path.substr(begin.size());
    const size_t end = rest.find_first_of("/:");
    return end == std::string_view::npos ? std::string_view() : rest.substr(0, end);
  }
  return {};
}

// Of a thread: buffers that stay warm.
struct Scratch {
  ContentParser parser;
  Content content;
  std::array<char, 65> key_id;
};

}  // namespace

Decider::Decider(const respond::SnapshotHolder* snapshots, respond::Counters* counters, Audit audit,
                 std::function<int64_t()> now_ms, DeciderOptions options)
    : snapshots_(snapshots),
      counters_(counters),
      audit_(std::move(audit)),
      now_ms_(std::move(now_ms)),
      options_(std::move(options)) {}

Ruling Decider::Rule(std::string_view via, const respond::Request& request) const {
  Ruling ruling;
  const std::shared_ptr<const respond::Snapshot>& snapshot = snapshots_->Get();
  if (snapshot == nullptr) return ruling;  // nothing is known of anybody yet
  const int64_t now_ms = now_ms_();
  const respond::Decision d = respond::Decide(*snapshot, request, now_ms, counters_);
  ruling.action = d.action;
  ruling.shadowed = d.shadowed.action;
  ruling.shadow = d.shadow;
  ruling.reason = d.reason;
  ruling.reduce_to = d.reduce_to;
  ruling.retry_after_s = d.retry_after_s;
  ruling.expires_ms = d.expires_ms;
  if (d.action != Action::kAllow) ruling.appeal_ref = respond::AppealText(d.appeal);
  if (d.action == Action::kAllow && !d.shadow) return ruling;

  // What was done is told; where nothing was, what would have been.
  const bool done = d.action != Action::kAllow;
  const respond::Outcome& told = done ? static_cast<const respond::Outcome&>(d) : d.shadowed;
  audit::AuditRecord record;
  record.time_ms = now_ms;
  record.actor = "gateway";
  record.action = base::StrCat(done ? "decision." : "shadow.", respond::ActionName(told.action));
  record.subject = request.account_id.empty() ? request.api_key_id : request.account_id;
  record.details.clear();
  base::JsonWriter w(&record.details);
  const auto text = [&](std::string_view key, std::string_view value) {
    if (value.empty()) return;
    w.Key(key);
    w.String(value);
  };
  w.BeginObject();
  text("via", via);
  text("reason", respond::ReasonName(told.reason));
  text("rule", told.rule);
  text("campaign", told.campaign);
  if (told.probability > 0) {
    w.Key("probability");
    w.Double(told.probability);
  }
  if (done && d.shadow) {
    text("shadowed", respond::ActionName(d.shadowed.action));
    text("shadowed_rule", d.shadowed.rule);
  }
  if (told.expires_ms != 0) {
    w.Key("expires_ms");
    w.Int(told.expires_ms);
  }
  text("account_id", request.account_id);
  text("api_key_id", request.api_key_id);
  text("org_id", request.org_id);
  text("model", request.model);
  text("client_ip", request.client_ip);
  text("appeal_ref", respond::AppealText(d.appeal));
  w.EndObject();
  audit_(std::move(record));
  return ruling;
}

Answer Decider::Check(const Ask& ask) const {
  static thread_local Scratch scratch;
  respond::Request request;
  const auto named = [&](std::string_view setting, const std::string& header) {
    const std::string_view set = ask.setting(setting);
    if (!set.empty()) return Bounded(set);
    return header.empty() ? std::string_view() : Bounded(Trim(ask.header(header)));
  };
  request.account_id = named("account", options_.account_header);
  request.org_id = named("org", options_.org_header);
  request.api_key_id = named("key", options_.key_header);
  if (request.api_key_id.empty() && options_.hash_keys) {
    if (const std::string_view key = ClientKey(ask.header); !key.empty()) {
      std::array<unsigned char, crypto_hash_sha256_BYTES> hash;
      crypto_hash_sha256(hash.data(), reinterpret_cast<const unsigned char*>(key.data()),
                         key.size());
      sodium_bin2hex(scratch.key_id.data(), scratch.key_id.size(), hash.data(), hash.size());
      request.api_key_id = std::string_view(scratch.key_id.data(), 64);
    }
  }
  request.client_ip = Bounded(ask.client_ip);
  if (request.client_ip.empty() && options_.trusted_hops > 0) {
    request.client_ip = Bounded(FromRight(ask.header("x-forwarded-for"), options_.trusted_hops));
  }
  request.model = Bounded(ask.setting("model"));
  if (request.model.empty()) request.model = Bounded(ModelOfPath(ask.path));
  if (!ask.body.empty()) {
    // A body that cannot be read is the model server's to refuse; it is decided by what else is
    // known. Envoy says of a body cut at its very limit that it is whole.
    if (!scratch.parser.Parse(ask.body, ask.body_cut, &scratch.content).ok() && !ask.body_cut) {
      (void)scratch.parser.Parse(ask.body, true, &scratch.content);
    }
    if (request.model.empty()) request.model = Bounded(scratch.content.model);
    if (scratch.content.sketch.present) request.sketch = &scratch.content.sketch;
    request.signatures_presented = scratch.content.presented;
  }
  if (request.model.empty()) request.model = named("model", options_.model_header);

  const Ruling ruling = Rule(ask.via, request);
  Answer answer;
  const auto refuse = [&](Refusal refusal) {
    answer.refused = true;
    answer.denial =
        Deny(refusal, DialectOf(ask.path, ask.header("anthropic-version")), ruling.appeal_ref,
             ruling.retry_after_s, Bounded(ask.header("x-request-id")));
  };
  switch (ruling.action) {
    case Action::kThrottle:
      refuse(Refusal::kSlowDown);
      break;
    case Action::kVerify:
      refuse(Refusal::kVerify);
      break;
    case Action::kDeny:
      refuse(Refusal::kDenied);
      break;
    case Action::kReduce:
      answer.reduce_to = ruling.reduce_to.empty() ? "reduce" : ruling.reduce_to;
      break;
    case Action::kAllow:
    case Action::kObserve:
      break;
  }
  return answer;
}

}  // namespace stillwatch::serve
