// Envoy's CheckRequest to an Ask and an Answer back to a CheckResponse, without a server around it.
#pragma once

#include "serve/grpc/server.h"

namespace envoy::service::auth::v3 {
class CheckRequest;
class CheckResponse;
}  // namespace envoy::service::auth::v3

namespace stillwatch::serve {

// Never fails: what the request does not say is not known. `response` is empty before.
void CheckExtAuthz(const CheckFn& check, const envoy::service::auth::v3::CheckRequest& request,
                   envoy::service::auth::v3::CheckResponse* response);

}  // namespace stillwatch::serve
