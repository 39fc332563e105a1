// The files that a scan leaves, complete or not at all.
#pragma once

#include <cstdio>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "model/campaign.h"
#include "model/exchange.h"

namespace stillwatch::dossier {

// Calls follow: Begin Reject* Exchange* Write Put* Publish. Everything is written into DIR/.partial
// and moved into place by Publish; without it the folder is removed and DIR stays as it was.
class Results {
 public:
  explicit Results(std::string dir) : dir_(std::move(dir)) {}
  ~Results();
  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;

  absl::Status Begin();
  absl::Status Reject(const model::Reject& reject);  // not thread-safe
  // exchanges.csv, if it is wanted: its head, then its lines; begun again, the lines before are
  // gone. Not thread-safe.
  absl::Status BeginExchanges();
  absl::Status Exchange(std::string_view exchange_id, std::string_view account_id,
                        std::string_view campaign_id);
  absl::Status Write(const model::Findings& findings);
  // Where a file is to be written that Publish will move into place.
  std::string Partial(const std::string& name) const { return partial_ + "/" + name; }
  // One more file; its name must be in the list of Publish.
  absl::Status Put(const std::string& name, const std::string& bytes);
  absl::Status Publish();

 private:
  std::string dir_, partial_;
  std::FILE* rejected_ = nullptr;
  std::FILE* exchanges_ = nullptr;
  std::string line_;
};

// One file, complete or not at all: written beside its place as PATH.partial, then moved there.
absl::Status WriteWhole(const std::string& path, const std::string& bytes);

std::string CampaignsJson(std::span<const model::Campaign> campaigns);
// A row per campaign and account.
std::string AccountsCsv(std::span<const model::Campaign> campaigns);
// One line per campaign, for people.
std::string CampaignTable(const model::Findings& findings, const std::string& out);
// RFC 4180: quoted when it holds a comma, a quote or a line break.
void AppendCsv(std::string_view value, std::string* out);

}  // namespace stillwatch::dossier
