// Any bytes as a body of /v1/decide and of LiteLLM, and as headers of a check: nothing may crash,
// no answer may be 5xx, and what is answered is one line without control characters in headers.
#include <cstdint>
#include <cstdlib>

#include "respond/holder.h"
#include "serve/gate/gate.h"

namespace {

using namespace stillwatch;

struct World {
  respond::SnapshotHolder holder;
  respond::Counters counters{64};
  serve::Decider decider{&holder, &counters, [](audit::AuditRecord) {}, [] { return int64_t{1}; }};
  serve::Router router;
  serve::Principal who;
  World() { serve::AddGate(&router, &decider, {}); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World& world = *new World;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  // First line: the target; then headers up to an empty line; then the body. Or all of it a body.
  const auto ask = [&](std::string_view method, std::string_view target, std::string_view rest,
                       bool headers) {
    serve::HttpRequest r;
    r.method = method;
    r.target = target;
    r.path = target.substr(0, target.find('?'));
    r.query = r.path.size() < target.size() ? target.substr(r.path.size() + 1) : std::string_view();
    r.principal = &world.who;
    while (headers && !rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      const std::string_view line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (line.empty()) break;
      const size_t colon = std::min(line.find(':'), line.size());
      r.headers.emplace_back(line.substr(0, colon),
                             colon < line.size() ? line.substr(colon + 1) : line);
    }
    r.body = rest;
    const auto match = world.router.Find(method, r.path);
    if (match.route == nullptr) return;
    r.suffix = match.suffix;
    const serve::HttpReply reply = match.route->handler(r);
    if (reply.status >= 500) std::abort();
  };
  ask("POST", "/v1/decide", all, false);
  ask("POST", "/beta/litellm_basic_guardrail_api", all, false);
  const size_t line = std::min(all.find('\n'), all.size());
  ask("PUT", "/v1/check/" + std::string(all.substr(0, line)), all.substr(line), true);
  return 0;
}
