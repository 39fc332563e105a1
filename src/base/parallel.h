// The one way in which cores use threads: the engine owns them and hands a Parallel in.
#pragma once

#include <cstddef>
#include <functional>

namespace stillwatch::base {

// Runs body(begin, end, worker) over disjoint ranges that cover [0, n), on up to `threads()`
// workers, and returns when all have ended. Results must not depend on how ranges fall.
// Thread-compatible: one For at a time per object.
class Parallel {
 public:
  explicit Parallel(int threads) : threads_(threads < 1 ? 1 : threads) {}
  int threads() const { return threads_; }
  void For(size_t n, size_t grain,
           const std::function<void(size_t begin, size_t end, int worker)>& body) const;

 private:
  int threads_;
};

}  // namespace stillwatch::base
