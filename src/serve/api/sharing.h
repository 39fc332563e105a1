// Sharing a campaign: what would leave for an audience, and exports that two persons answer for.
// Internal to src/serve/api; thread-safe.
#pragma once

#include <string>

#include "serve/api/api.h"

namespace stillwatch::serve::api {

class Sharing {
 public:
  explicit Sharing(const ApiContext* context) : c_(*context) {}

  HttpReply Preview(const HttpRequest& r) const;  // ?campaign=&audience=
  HttpReply Propose(const HttpRequest& r) const;  // {campaign_id, audience, issuer, note}
  HttpReply List(const HttpRequest& r) const;
  HttpReply Decide(const HttpRequest& r, bool approve) const;
  HttpReply File(const HttpRequest& r) const;  // of an approved one: the bundle
  HttpReply Revoke(const HttpRequest& r) const;  // {note}: proposes that it is taken back

 private:
  absl::StatusOr<state::Export> Named(const HttpRequest& r) const;
  static void Tell(const state::Export& e, std::string* out);

  const ApiContext& c_;
};

}  // namespace stillwatch::serve::api
