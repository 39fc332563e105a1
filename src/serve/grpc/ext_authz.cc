#include "serve/grpc/ext_authz.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <string>

#include "serve/grpc/metadata.h"
#include "serve/grpc/proto/ext_authz.grpc.pb.h"
#include "serve/grpc/server.h"

namespace stillwatch::serve {
namespace {

namespace auth = envoy::service::auth::v3;

constexpr int kOk = 0, kPermissionDenied = 7;  // google.rpc.Code

void Overwrite(std::string_view key, std::string_view value, auth::HeaderValueOption* option) {
  option->mutable_header()->set_key(std::string(key));
  option->mutable_header()->set_value(std::string(value));
  option->set_append_action(auth::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD);
}

class ExtAuthz final : public auth::Authorization::CallbackService {
 public:
  ExtAuthz(CheckFn check, Authorize authorize, Observe observe)
      : check_(std::move(check)), authorize_(std::move(authorize)), observe_(std::move(observe)) {}

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const auth::CheckRequest* request,
                                  auth::CheckResponse* response) override {
    const auto begin = std::chrono::steady_clock::now();
    grpc::Status status = AuthorizeCall(*context, authorize_);
    if (status.ok()) CheckExtAuthz(check_, *request, response);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    // Before the end: once all calls have ended this service may be gone.
    if (observe_) observe_("Check", status.error_code(), NanosecondsSince(begin));
    reactor->Finish(std::move(status));
    return reactor;
  }

 private:
  const CheckFn check_;
  const Authorize authorize_;
  const Observe observe_;
};

}  // namespace

void CheckExtAuthz(const CheckFn& check, const auth::CheckRequest& request,
                   auth::CheckResponse* response) {
  const auth::AttributeContext& attributes = request.attributes();
  const auth::AttributeContext::HttpRequest& http = attributes.request().http();
  const auto header = [&](std::string_view name) -> std::string_view {
    if (const auto it = http.headers().find(name); it != http.headers().end()) return it->second;
    // encode_raw_headers: a list in place of the map. The last of a name is the gateway's own.
    const auto& list = http.header_map().headers();
    for (int i = list.size() - 1; i >= 0; --i) {
      if (list[i].key() == name) {
        return list[i].raw_value().empty() ? list[i].value() : list[i].raw_value();
      }
    }
    return {};
  };
  const auto setting = [&](std::string_view name) -> std::string_view {
    const auto it = attributes.context_extensions().find(name);
    return it == attributes.context_extensions().end() ? std::string_view() : it->second;
  };
  const Ask ask{.via = "ext_authz",
                .path = http.path(),
                .header = header,
                .setting = setting,
                .client_ip = attributes.source().address().socket_address().address(),
                .body = http.raw_body().empty() ? http.body() : http.raw_body(),
                .body_cut = header("x-envoy-auth-partial-body") == "true"};
  const Answer answer = check(ask);
  if (!answer.refused) {
    response->mutable_status()->set_code(kOk);
    auth::OkHttpResponse* ok = response->mutable_ok_response();
    if (answer.reduce_to.empty()) {
      ok->add_headers_to_remove(std::string(kReduceHeader));  // a client's own says nothing
    } else {
      Overwrite(kReduceHeader, answer.reduce_to, ok->add_headers());
    }
    return;
  }
  response->mutable_status()->set_code(kPermissionDenied);
  auth::DeniedHttpResponse* denied = response->mutable_denied_response();
  denied->mutable_status()->set_code(answer.denial.status);
  for (const auto& [key, value] : answer.denial.headers) {
    Overwrite(key, value, denied->add_headers());
  }
  denied->set_body(answer.denial.body);
}

std::shared_ptr<grpc::Service> MakeExtAuthz(CheckFn check, Authorize authorize, Observe observe) {
  return std::make_shared<ExtAuthz>(std::move(check), std::move(authorize), std::move(observe));
}

}  // namespace stillwatch::serve
