// Traits that accounts share -> links between accounts -> pools.
//
// A value that k of N entities carry is worth log2(N / k) bits when two accounts share it: the
// log of how much likelier it is that two accounts of one operator share it than two strangers,
// for an operator who uses the value throughout. Values that more than `holders_max` entities
// carry say nothing and are skipped (and counted); bits are capped per family and correlated
// values of one family are not added: the best one counts. Links inside one verified entity do
// not exist. Closure is guarded: pools are communities by the Leiden method (Traag, Waltman and
// van Eck 2019) on modularity with a low resolution, never connected components.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "link/log.h"
#include "model/campaign.h"

namespace stillwatch::link {

// Families that link accounts by a shared value, in this order of model::Family.
inline constexpr int kLinkFamilies = 4;  // network, client, enrolment, payment

struct Trait {
  Trait() = default;
  Trait(uint32_t account, model::Family family, uint64_t value, bool domain = false)
      : account(account), family(family), domain(domain), value(value) {}
  uint32_t account = 0;
  model::Family family = model::Family::kNetwork;
  bool domain = false;  // of mail
  uint64_t value = 0;   // any number that is equal for equal values of the family
};

struct Link {
  uint32_t a = 0, b = 0;  // a < b
  std::array<float, kLinkFamilies> bits{};
  float total = 0;
};

struct PoolOptions {
  uint32_t holders_max = 512;  // longest posting list
  float family_bits_max = 8;   // cap of one family
  float client_bits_max = 2;   // a client is what one installs, not who one is
  float domain_bits_off = 4;   // strangers choose among few mail providers: a domain counts less
  float link_bits_min = 5;     // weaker links are dropped
  double resolution = .1;      // of modularity: low, because splitting a pool costs more
  // Of all postings together, a bound on memory (36 bytes each): longer ones, which are addresses
  // of carriers and offices, are skipped.
  uint64_t pairs_max = uint64_t{1} << 25;
};

struct AccountGraph {
  std::vector<Link> links;         // sorted by (a, b)
  std::vector<uint64_t> first;     // adjacency: links of account v are incident[first[v]..)
  std::vector<uint32_t> incident;  // link numbers
  uint64_t values_skipped = 0;
  std::span<const uint32_t> Of(uint32_t account) const {
    return {incident.data() + first[account], incident.data() + first[account + 1]};
  }
};

// What the log says about accounts: cards, sign-up addresses, mail domains, referrers, request
// addresses and clients. Never country or citizenship.
std::vector<Trait> AccountTraits(const Log& log,
                                 const base::Parallel& parallel = base::Parallel(1));

// The same at any thread count. Memory beside the graph: that of the traits twice and four bytes an
// account and worker; no list of pairs.
AccountGraph BuildGraph(std::vector<Trait> traits, std::span<const uint32_t> entity,
                        uint32_t entities, const PoolOptions& options,
                        const base::Parallel& parallel = base::Parallel(1));

// pool[v] for every account: dense numbers ascending with each pool's smallest account; kNone for
// an account without links. `members`: restrict to these accounts (empty: all). Deterministic.
std::vector<uint32_t> FindPools(const AccountGraph& graph, std::span<const uint32_t> members,
                                const PoolOptions& options);

}  // namespace stillwatch::link
