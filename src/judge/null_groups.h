// Random groups of a log's other accounts. Whatever a candidate's accounts seem to do together is
// told in standard deviations of such groups: what moves everybody (a calendar, an outage) moves
// them too.
//
// A group has as many accounts as the candidate, kNullAccountsMax at most, of those who did at
// least half as much, and of each about as many exchanges. Neighbours in a fixed random order
// (Background::shuffled) are a random group; the groups start at even distances, so that they
// overlap as little as the log allows.
//
// Thread-safe. Memory: none of its own; Events holds a group's accounts and events.
#pragma once

#include <cstddef>
#include <vector>

#include "judge/facts.h"
#include "link/rhythm.h"

namespace stillwatch::judge {

inline constexpr size_t kNullGroups = 24, kNullGroupsMin = 8;  // fewer are nothing to compare with
inline constexpr size_t kNullAccountsMax = 400;

class NullGroups {
 public:
  // Groups like `accounts` accounts with `rows` exchanges. Keeps references: both must outlive it.
  NullGroups(const Background& background, const AccountSet& not_innocent, size_t accounts,
             size_t rows);
  size_t accounts() const { return accounts_; }  // of a full group

  // The events of one of kNullGroups groups, ascending by account and time, in place of what
  // `events` held. Where the log has too few such accounts all groups are the same smaller one;
  // false, without events, where it is of fewer than `at_least`.
  bool Events(size_t group, size_t at_least, std::vector<link::Event>* events) const;

 private:
  const Background& background_;
  const AccountSet& not_innocent_;
  size_t accounts_, per_account_;
};

// `z` against those of kNullGroupsMin random groups or more, in their standard deviations; of fewer
// it stays as it is. By median and 84th percentile, because some of the groups may hold another,
// unknown queue; never more than it was on its own.
double AgainstGroups(double z, std::vector<double> groups);

}  // namespace stillwatch::judge
