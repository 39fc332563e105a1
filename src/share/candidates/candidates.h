// What of a finding might leave: its figures, and the traits of the accounts that it accuses,
// counted in the kept lake. Nothing leaves by this; the gate (share/gate.h) decides.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "lake/lake.h"
#include "model/campaign.h"
#include "share/gate.h"

namespace stillwatch::share {

// What many users of innocent software have too is no trait of a campaign's below these.
inline constexpr uint64_t kSoftwareAccountsMin = 20;  // that use a client, fingerprint or setting
inline constexpr double kSettingsShareMin = .1;       // of the campaign's exchanges
inline constexpr uint64_t kPersonalAccountsMin = 2;   // that share an address, payment, domain
inline constexpr size_t kSoftwareMax = 16;            // of each kind, the most used
inline constexpr size_t kPersonalMax = 10'000;        // of each kind, in order of value
inline constexpr size_t kAccountNumbersMax = 100;     // running numbers
// Half of a shingle's, because half of the accounts are told of (model::ToldOf).
inline constexpr uint64_t kRhythmAccountsMin = 10, kRhythmExchangesMin = 100;
inline constexpr uint64_t kRowsAtOnce = 2'000'000;  // exchanges that one statement reads

// The campaign's key: 16 hex digits that follow from its id.
std::string CampaignKey(const std::string& campaign_id);

// Reads the rows that the lake attributes to the campaign, once each; traits of accounts that are
// not accused themselves (customers of a relay, owners of stolen keys) are left out.
// NotFound when the lake does not hold the campaign's attribution.
// `rows_at_once` does not change what is found.
absl::StatusOr<CandidateCampaign> Candidates(const model::Campaign& campaign, lake::Lake* lake,
                                             uint64_t rows_at_once = kRowsAtOnce);

}  // namespace stillwatch::share
