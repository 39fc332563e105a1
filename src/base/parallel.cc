#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace stillwatch::base {

void Parallel::For(size_t n, size_t grain,
                   const std::function<void(size_t, size_t, int)>& body) const {
  grain = std::max<size_t>(1, grain);
  const int workers = static_cast<int>(
      std::min<size_t>(static_cast<size_t>(threads_), (n + grain - 1) / grain));
  if (workers <= 1) {
    if (n > 0) body(0, n, 0);
    return;
  }
  std::atomic<size_t> next{0};
  const auto work = [&](int worker) {
    for (;;) {
      const size_t begin = next.fetch_add(grain);
      if (begin >= n) return;
      body(begin, std::min(n, begin + grain), worker);
    }
  };
  std::vector<std::thread> threads;
  for (int w = 1; w < workers; ++w) threads.emplace_back(work, w);
  work(0);
  for (auto& t : threads) t.join();
}

}  // namespace stillwatch::base
