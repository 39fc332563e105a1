// What the baselines read of a log: everything their methods have a use for, as numbers.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stillwatch::baselines {

// Hashes; 0 means absent.
struct Exchange {
  uint32_t account = 0;
  int64_t ts_ms = 0;
  uint64_t address = 0, client = 0;
  uint64_t system = 0;  // of the whole system prompt
  uint64_t head = 0;    // of the first words of the last turn
  uint64_t turn = 0;    // of the whole last turn
};
inline constexpr int kHeadWords = 8;

struct Account {
  std::string id;
  bool verified = false;  // openly one customer: no baseline may accuse it
  uint64_t payment = 0, mail = 0, referrer = 0, address = 0;
};

// Thread-compatible; 64 bytes an exchange.
struct Log {
  std::vector<Account> accounts;
  std::vector<Exchange> exchanges;  // in the file's order
};

// InvalidArgument names the file and the line.
absl::StatusOr<Log> ReadLog(const std::string& exchanges, const std::string& accounts);

// A method's numbers by name, each with its default.
using Parameters = std::map<std::string, double>;

using Group = std::vector<uint32_t>;  // accounts that the method accuses together, ascending

// Writes what a scan writes: campaigns.json, accounts.csv, exchanges.csv. A method that names
// accounts is credited with all their exchanges; `exchange_ids`, when given, are those that it
// named itself, in group order. An account in several groups counts in the first.
struct Named {
  std::string exchange, account;
  uint32_t group = 0;
};
absl::Status WriteFindings(const Log& log, const std::string& exchanges_path,
                           const std::vector<Group>& groups, const std::vector<Named>* named,
                           const std::string& out);

// Accounts whose busiest day has at least `per_day` exchanges.
std::vector<Group> Threshold(const Log& log, const Parameters& p);

// Connected components of accounts over shared card (and address, mail domain, client where
// `address`, `mail`, `client` are 1), values of more than `value_accounts_max` accounts left out;
// components of at least `accounts_min`.
std::vector<Group> Components(const Log& log, const Parameters& p);

// SynchroTrap (Cao, Yang, Yu and Palow, CCS 2014): accounts are similar when they act on the same
// object within the same `window_minutes`; Jaccard similarity over all objects within `days`;
// single-linkage clusters at `similarity`, of at least `accounts_min`. Objects: address, system
// prompt, head of the turn, and the turn itself. An object with more than `object_accounts_max`
// accounts in one window is left out, as the paper leaves out what is popular.
std::vector<Group> SynchroTrap(const Log& log, const Parameters& p);

// FRAUDAR (Hooi et al., KDD 2016): dense blocks of the graph of accounts and values (card,
// addresses, mail domain, client, system prompt, head of the turn), column weights 1 / log(degree
// + 5), greedy peeling; up to `blocks` blocks, each found after the edges of those before were
// taken out, while one is at least `share` as dense as the first; of at least `accounts_min`.
std::vector<Group> Fraudar(const Log& log, const Parameters& p);

}  // namespace stillwatch::baselines
