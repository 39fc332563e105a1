// What MaxMind databases say about an address. Supporting evidence, never an accusation: real
// households share residential-proxy addresses. Country is not read.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/account.h"
#include "model/campaign.h"

namespace stillwatch::enrich {

// Immutable once open; Lookup is safe from any thread.
class AddressBook {
 public:
  // ASN or ISP, Anonymous-IP, Residential-Proxy and Enterprise databases, in any order. Every node
  // of each search tree and every record is read once, so that a broken database is refused here,
  // by name, and not in the middle of a scan.
  static absl::StatusOr<AddressBook> Open(const std::vector<std::string>& paths);
  ~AddressBook();
  AddressBook(AddressBook&&) noexcept;
  AddressBook& operator=(AddressBook&&) noexcept;

  // Of several classes the one that hides most wins: tor, relay, residential_proxy, public_proxy,
  // vpn, hosting, then what the network is: mobile, business, residential. Empty: not known.
  model::AddressInfo Lookup(std::string_view ip) const;

 private:
  AddressBook();
  struct State;
  std::unique_ptr<State> state_;
};

// Addresses of a campaign by class and network, most exchanges first.
std::vector<model::InfrastructureLine> Summarise(
    const AddressBook& book, const std::map<std::string, uint64_t>& exchanges_by_address);

}  // namespace stillwatch::enrich
