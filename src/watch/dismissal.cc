#include "watch/dismissal.h"

namespace stillwatch::watch {
namespace {

bool Fresh(const Finding& f, const Dismissed& d) {
  return (f.families & ~d.families) != 0 || (d.bits > 0 && f.bits >= d.bits + kNewBits) ||
         (d.exchanges > 0 &&
          static_cast<double>(f.exchanges.size) >= kOutgrown * static_cast<double>(d.exchanges));
}

}  // namespace

std::vector<size_t> Repeats(const Identities& before, const std::vector<Finding>& findings,
                            const std::vector<Dismissed>& dismissed) {
  std::vector<size_t> out(findings.size(), kNoRepeat);
  std::vector<double> share(findings.size(), 0);
  std::vector<bool> fresh(findings.size(), false);
  for (size_t d = 0; d < dismissed.size(); ++d) {
    const Identity* was = before.Find(dismissed[d].id);
    if (was == nullptr) continue;
    bool in_window = false;
    for (const Finding& f : findings) in_window |= Compare(f.exchanges, was->exchanges).both > 0;
    for (size_t i = 0; i < findings.size(); ++i) {
      const Finding& f = findings[i];
      const double of_it = in_window ? Compare(f.exchanges, was->exchanges).ShareOfA()
                                     : Compare(f.accounts, was->accounts).ShareOfA();
      if (of_it < kTwinShare) continue;
      if (Fresh(f, dismissed[d])) {
        fresh[i] = true;
      } else if (of_it > share[i]) {
        share[i] = of_it;
        out[i] = d;
      }
    }
  }
  for (size_t i = 0; i < findings.size(); ++i)
    if (fresh[i]) out[i] = kNoRepeat;
  return out;
}

}  // namespace stillwatch::watch
