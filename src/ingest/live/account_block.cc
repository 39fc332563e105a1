#include "ingest/live/account_block.h"

#include <utility>

namespace stillwatch::ingest {

void AccountBlock::Add(const AccountRow& row) {
  id_.Append(row.account.account_id);
  content_.push_back(row.content);
  created_.push_back(row.account.created_at_ms.value_or(INT64_MIN));
  org_.Append(row.account.org_id);
  verified_.push_back(row.account.org_verified);
  plan_.Append(row.account.plan);
  channel_.Append(row.account.channel);
  domain_.Append(row.account.email_domain);
  payment_.Append(row.account.payment_id);
  kyc_.Append(row.account.kyc);
  country_.Append(row.country);
  citizenship_.Append(row.citizenship);
  referrer_.Append(row.account.referrer);
  ip_.Append(row.account.signup_ip);
}

lake::Block AccountBlock::Take() {
  AccountBlock all = std::exchange(*this, {});
  return {{{"account_id", std::move(all.id_)},
           {"content", std::move(all.content_)},
           {"created_at", std::move(all.created_)},
           {"org_id", std::move(all.org_)},
           {"org_verified", std::move(all.verified_)},
           {"plan", std::move(all.plan_)},
           {"channel", std::move(all.channel_)},
           {"email_domain", std::move(all.domain_)},
           {"payment_id", std::move(all.payment_)},
           {"kyc", std::move(all.kyc_)},
           {"country", std::move(all.country_)},
           {"citizenship", std::move(all.citizenship_)},
           {"referrer", std::move(all.referrer_)},
           {"signup_ip", std::move(all.ip_)}}};
}

}  // namespace stillwatch::ingest
