// What the lake shows of accounts: the network of a campaign, an account's habits, two accounts
// side by side, all that have a value. Internal to src/serve/api; thread-safe.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "graph/network.h"
#include "serve/api/api.h"

namespace stillwatch::serve::api {

inline constexpr size_t kMembersRead = 60'000;    // of a campaign; the network takes fewer
inline constexpr uint32_t kHoldersMax = 512;      // more accounts: no link (link/pools.h)
inline constexpr size_t kTemplatesMax = 64;       // of a campaign, the largest
inline constexpr size_t kTemplateHashes = 8'000;  // of all of them
inline constexpr size_t kSampleEach = 8;          // exchanges of an account that are compared
inline constexpr size_t kSampled = 60'000;        // of all accounts of a campaign
inline constexpr int kNetworkSeconds = 30;        // of one question for a network
inline constexpr size_t kNetworksKept = 4;        // the one longest not looked at goes first
inline constexpr int64_t kNetworkMs = 300'000;    // a campaign that changes is read again then
inline constexpr size_t kProfileValues = 20'000;  // of one account in its fields, most used first
inline constexpr size_t kProfileShown = 20;       // of them
inline constexpr size_t kHoldersRead = 10'000;    // accounts that have a value
inline constexpr size_t kHoldersKept = 16;        // answers
inline constexpr int64_t kHoldersMs = 60'000;
inline constexpr int kExploreSeconds = 20;  // of any other question

class Explore {
 public:
  explicit Explore(const ApiContext* context) : c_(*context) {}

  HttpReply Graph(const HttpRequest& r);  // /campaigns/{id}/graph?open=&focus=
  HttpReply Nodes(const HttpRequest& r);  // /campaigns/{id}/graph/nodes?text=&kind=&parent=&linked=
  HttpReply Profile(const HttpRequest& r);  // /accounts/{id}/profile
  HttpReply Compare(const HttpRequest& r);  // /compare?a=&b=
  HttpReply Holders(const HttpRequest& r);  // /holders?field=&value=&campaign=

 private:
  struct Held;  // a network and what people want to know beside it
  struct Slot;
  struct Template;
  struct Facts;  // of one account
  struct Having;

  absl::StatusOr<std::shared_ptr<const Held>> Network(const std::string& campaign);
  absl::StatusOr<std::shared_ptr<const Held>> Make(const state::Campaign& campaign) const;
  absl::StatusOr<std::vector<std::vector<std::string>>> Ask(const std::string& sql, int seconds,
                                                            size_t rows) const;
  absl::StatusOr<Facts> Read(const std::string& account) const;
  static void ReadIndex(const lookup::Lookup& index, uint32_t account, Facts* f);
  absl::Status ReadLake(Facts* f) const;
  // Of the last pass's index, where it knows all of them, else of a sample from the lake.
  absl::Status ReadTemplates(const lookup::Lookup* index, Facts* f) const;
  // Values of a campaign's members, of the last pass's index, else of the lake; their templates,
  // likewise.
  struct Found;
  static void FindIndex(const lookup::Lookup& index, Found* found);
  void FindLake(const state::Campaign& campaign, Found* found) const;
  void FindTemplates(const state::Campaign& campaign, const lookup::Lookup* index,
                     Found* found) const;
  absl::StatusOr<uint64_t> Accounts();  // in the lake, about
  absl::StatusOr<std::shared_ptr<const Having>> Find(const std::string& field,
                                                     const std::string& value,
                                                     const std::string& campaign);
  static std::vector<Template> TemplatesOf(const std::string& finding);

  const ApiContext& c_;
  std::mutex mutex_;                                                   // of what follows
  std::list<std::pair<std::string, std::shared_ptr<Slot>>> networks_;  // last looked at first
  std::list<std::shared_ptr<const Having>> holders_;                   // likewise
  uint64_t accounts_ = 0;
  int64_t accounts_ms_ = 0;
};

}  // namespace stillwatch::serve::api
