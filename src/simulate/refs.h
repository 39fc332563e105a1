// What an event is, in 64 bits: who asks (an innocent, a campaign, a relay's customer), which of
// its sessions, which turn. With the account it names the exchange, and all of it is drawn from
// that.
#pragma once

#include <cstdint>
#include <string>

#include "simulate/rng.h"

namespace stillwatch::simulate {

enum class RefType : uint8_t { kInnocent = 0, kHarvest = 1, kCustomer = 2 };

// Bounds of the fields below: 512 days, 2^18 sessions of an account and day, 32 turns of a session,
// 65,536 pools and campaigns (scenario.h allows fewer), 2^25 accounts.
inline constexpr uint32_t kSessionsMax = (1U << 18) - 1;

inline uint64_t InnocentRef(int day, uint32_t session, uint32_t turn) {
  return uint64_t(day) << 23 | uint64_t{session} << 5 | turn;
}
inline uint64_t HarvestRef(uint16_t campaign, uint64_t k, uint32_t turn) {
  return 1ULL << 62 | uint64_t{campaign} << 46 | k << 5 | turn;
}
inline uint64_t CustomerRef(uint16_t pool, int day, uint32_t k, uint32_t turn) {
  return 2ULL << 62 | uint64_t{pool} << 46 | uint64_t(day) << 37 | uint64_t{k} << 5 | turn;
}
inline RefType TypeOf(uint64_t ref) { return static_cast<RefType>(ref >> 62); }

// Unique in the world: an innocent's session belongs to its account.
inline uint64_t UidOf(uint32_t account, uint64_t ref) {
  return ref >> 62 == 0 ? ref | uint64_t{account} << 32 : ref;
}

// Records are logged when they are done: ms behind the request.
inline uint32_t LogDelay(uint64_t seed, uint64_t uid) {
  const uint64_t h = base::Mix64(uid ^ seed);
  return 200 + static_cast<uint32_t>((h & 0xfff) * (h >> 12 & 0xfff) >>
                                     11);  // mean about 2.2 s, at most 8.4 s
}

inline uint32_t CustomerOf(uint64_t seed, uint16_t pool, int day, uint32_t k, uint32_t customers) {
  Rng r(Key(Key(seed, pool), static_cast<uint64_t>(day), k));
  const double u = r.Unit();
  return static_cast<uint32_t>(u * u * customers);  // some ask more often
}

// "hadova.io"; of somebody's own.
std::string OwnDomain(uint64_t key);

}  // namespace stillwatch::simulate
