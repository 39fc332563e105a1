// Who the provider bills or knows, and the side files that speak about accounts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/str.h"

namespace stillwatch::model {

// Times are milliseconds since 1970 (UTC); an empty text is one that nobody stated.
//
// `country` and `citizenship` are deliberately absent: linking and judging must not be able to
// read them. Directives read them from the lake and from attestations (engine/snapshot.h).
struct Account {
  std::string account_id;
  std::optional<int64_t> created_at_ms;
  std::string org_id;
  bool org_verified = false;
  std::string plan, channel, email_domain, payment_id, kyc, referrer, signup_ip;
};

// One half of the accounts is told of to others where a campaign's rhythm is shared; the other half
// is what listens to theirs (judge/prior.h). So nobody's echo of what was told proves anything.
inline bool ToldOf(std::string_view account_id) {
  return base::Hash64(base::StrCat("told of ", account_id)) & 1;
}

// Licensed distillation: who, which models, how much, until when.
struct Permit {
  std::string id;
  std::string org_id;                    // either this
  std::vector<std::string> account_ids;  // or these
  std::vector<std::string> models;       // empty: every model
  uint64_t exchanges_max = 0;            // 0: no bound
  int64_t valid_from_ms = INT64_MIN, valid_until_ms = INT64_MAX;
};

struct KnownTrait {
  std::string family, value;  // trait value as the log writes it
};

// A known actor, from a file: raises attribution, never a verdict.
struct KnownActor {
  std::string actor, basis;
  char reliability = 'F';  // Admiralty scale, A (reliable) to F (cannot be judged)
  std::vector<KnownTrait> traits;
  std::vector<std::vector<uint32_t>> templates;  // shingle hashes
};

// What a database says about an address. Supporting evidence only.
struct AddressInfo {
  std::string address_class;  // residential, mobile, business, hosting, vpn, public_proxy, residential_proxy, tor, relay; empty: unknown
  std::string source;         // database type that said so
  int confidence = 0;         // 0 to 100
  uint32_t asn = 0;
  std::string as_org;
};

}  // namespace stillwatch::model
