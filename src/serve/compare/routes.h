// The answering side of private comparisons over HTTPS: for an endpoint that asks for certificates
// (Endpoint::client_certificates) and has a router of its own.
//   POST /compare/v1/offer?question=count|which  -> an offer
//   POST /compare/v1/request                     -> the reply; computed while the peer waits
//   POST /compare/v1/receipt                     -> 204
// Bodies are messages of share/psi. Who calls is known by its certificate, and the message must be
// signed by the same peer.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "serve/http/router.h"
#include "share/compare/party.h"

namespace stillwatch::serve {

struct CompareContext {
  share::compare::Party* party = nullptr;  // outlives the router
  // Peers by HttpRequest::client_certificate.
  std::map<std::string, std::string, std::less<>> peers;
  // The items that answer; may change between calls. Never null.
  std::function<std::shared_ptr<const share::compare::ItemSet>()> items;
};

void AddCompareRoutes(Router* router, CompareContext context);

}  // namespace stillwatch::serve
