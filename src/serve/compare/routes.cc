#include "serve/compare/routes.h"

#include "base/str.h"
#include "share/compare/client.h"

namespace stillwatch::serve {
namespace {

using share::compare::ItemSet;
using share::psi::Question;

HttpReply Refusal(const absl::Status& s) {
  const int status = absl::IsInvalidArgument(s)      ? 400
                     : absl::IsPermissionDenied(s)   ? 403
                     : absl::IsFailedPrecondition(s) ? 409
                     : absl::IsResourceExhausted(s)  ? 429
                     : absl::IsUnavailable(s)        ? 503
                                                     : 500;
  // What is our own fault is nobody else's business.
  HttpReply out = status == 500
                      ? ErrorReply(500, "this is a fault of Stillwatch's own; its log says more")
                      : ErrorReply(status, {s.message().data(), s.message().size()});
  if (status == 503) out.headers.emplace_back("Retry-After", "30");
  return out;
}

HttpReply Message(absl::StatusOr<std::string> bytes) {
  if (!bytes.ok()) return Refusal(bytes.status());
  HttpReply out;
  out.body = *std::move(bytes);
  out.content_type = share::compare::kMessageType;
  return out;
}

}  // namespace

void AddCompareRoutes(Router* router, CompareContext context) {
  const auto shared = std::make_shared<const CompareContext>(std::move(context));
  const auto add = [&](std::string_view path, size_t body_bytes, auto answer) {
    Route r;
    r.method = "POST";
    r.pattern = path;
    r.role = Role::kPublic;  // who is not a peer has no connection
    r.speed = Speed::kPool;
    r.body_bytes = body_bytes;
    r.handler = [shared, answer](const HttpRequest& request) {
      const auto peer = shared->peers.find(request.client_certificate);
      if (peer == shared->peers.end())
        return ErrorReply(403, "this certificate belongs to no peer of ours");
      return answer(*shared, request, peer->second);
    };
    router->Add(std::move(r));
  };
  add(share::compare::kOfferPath, 1024,
      [](const CompareContext& c, const HttpRequest& request, const std::string& peer) {
        const auto question = request.Query("question");
        if (!question || (*question != "count" && *question != "which"))
          return ErrorReply(400, "question: expected count or which");
        return Message(c.party->Offer(peer,
                                      *question == "which" ? Question::kWhich : Question::kCount,
                                      *c.items(), share::compare::kOnlineRunMs, peer));
      });
  add(share::compare::kRequestPath, share::psi::kRequestBytesMax,
      [](const CompareContext& c, const HttpRequest& request, const std::string& peer) {
        return Message(c.party->Reply(request.body, *c.items(), peer, peer));
      });
  add(share::compare::kReceiptPath, size_t{1} << 16,
      [](const CompareContext& c, const HttpRequest& request, const std::string& peer) {
        auto told = c.party->TakeReceipt(request.body, peer, peer);
        if (!told.ok()) return Refusal(told.status());
        HttpReply out;
        out.status = 204;
        return out;
      });
}

}  // namespace stillwatch::serve
