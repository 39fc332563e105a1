// Facts by chance, for tests of the weighing.
#pragma once

#include <random>

#include "judge/facts.h"

namespace stillwatch::judge {

// How many, how much text, what rhythm and what is shared; the rest says nothing.
inline Facts RandomFacts(std::mt19937_64& random) {
  const auto share = [&] { return std::uniform_real_distribution<double>(0, 1)(random); };
  Facts f;
  f.accounts = 2 + static_cast<uint32_t>(random() % 200);
  f.entities = 1 + static_cast<uint32_t>(random() % f.accounts);
  f.exchanges = f.accounts * (1 + random() % 50);
  f.phrase = random() % 4 == 0;
  f.scaffold = f.phrase ? random() % 3 : 3 + random() % 9;
  f.has_text = random() % 6 != 0;
  f.dedicated = share();
  f.main_family = share();
  f.followed = share();
  f.rhythm_z = share() * 14 - 3;
  f.rhythm.power = share() * 9;
  f.rhythm.excess = f.rhythm_z * .05 + share() * .1;
  for (Coverage& c : f.coverage) {
    if (random() % 3 == 0) continue;
    c.linked = static_cast<uint32_t>(random() % (f.accounts + 1));
    c.expected = share() * c.linked;
    if (c.linked > 0) c.bits = share() * 8;
  }
  f.coverage[1] = {};
  return f;
}

}  // namespace stillwatch::judge
