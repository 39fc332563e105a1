// Any bytes as a CheckRequest: a decision comes back that Envoy can carry out, and a refusal has
// the body of an API's error, one line of printable text.
#include <simdjson.h>

#include <array>
#include <cstdlib>

#include "serve/grpc/ext_authz.h"
#include "serve/grpc/proto/ext_authz.pb.h"

namespace {

using namespace stillwatch;

struct World {
  respond::SnapshotHolder holder;
  respond::Counters counters{64};
  World() {
    auto policy = respond::ParsePolicy(
        "version: 1\n"
        "lists:\n"
        "  - {name: d, kind: deny, enforce: true, entries: [{account: denied}, {address: "
        "10.0.0.0/8}]}\n"
        "  - {name: r, kind: deny, action: reduce, reduce_to: s, enforce: true, entries: [{org: "
        "reduced}]}\n"
        "  - {name: t, kind: deny, action: throttle, rate: 1/day, burst: 1, enforce: true, "
        "entries: [{key: slow}]}\n"
        "directives: [{id: x, basis: b, models: [\"gated*\"], require: {country: [US]}, unknown: "
        "allow, enforce: true}]\n",
        "p");
    if (!policy.ok()) std::abort();
    respond::SnapshotBuilder builder(*std::move(policy));
    auto snapshot = builder.Build(0, std::array<uint8_t, 16>{});
    if (!snapshot.ok()) std::abort();
    holder.Set(*snapshot);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World world;
  static int64_t now = 0;
  simdjson::dom::parser parser;
  simdjson::dom::element element;
  const serve::Decider decider(
      &world.holder, &world.counters,
      [&](audit::AuditRecord r) {
        if (parser.parse(r.details).get(element) != simdjson::SUCCESS) std::abort();
        if (r.details.find('\n') != std::string::npos) std::abort();
      },
      [] { return now += 1000; });
  envoy::service::auth::v3::CheckRequest request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return 0;
  envoy::service::auth::v3::CheckResponse response;
  serve::CheckExtAuthz([&](const serve::Ask& ask) { return decider.Check(ask); }, request,
                       &response);
  if (response.status().code() == 0) {
    if (!response.has_ok_response()) std::abort();
  } else {
    const auto& denied = response.denied_response();
    if (response.status().code() != 7 || !response.has_denied_response()) std::abort();
    if (denied.status().code() != 403 && denied.status().code() != 429) std::abort();
    if (parser.parse(denied.body()).get(element) != simdjson::SUCCESS) std::abort();
    for (const char c : denied.body()) {
      if (c == '\n' || c == '\r') std::abort();
    }
  }
  // What was written reads back: protobuf writes no text that is not UTF-8.
  envoy::service::auth::v3::CheckResponse again;
  if (!again.ParseFromString(response.SerializeAsString())) std::abort();
  return 0;
}
