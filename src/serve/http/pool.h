// Threads for handlers that may block. Internal to src/serve/http.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace stillwatch::serve::internal {

// Requests wait in a queue with a bound. Thread-safe.
class Pool {
 public:
  Pool(int threads, size_t bound) : bound_(bound) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
  }
  ~Pool() { Stop(); }
  // False when it is full or, with `patient` unset, when its lock is held.
  bool Push(std::function<void()> job, bool patient) {
    std::unique_lock<std::mutex> lock(mutex_, std::defer_lock);
    if (patient)
      lock.lock();
    else if (!lock.try_lock())
      return false;
    if (stop_ || jobs_.size() >= bound_) return false;
    jobs_.push_back(std::move(job));
    lock.unlock();
    wake_.notify_one();
    return true;
  }
  void Stop() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (auto& t : threads_) t.join();
    threads_.clear();
  }
  size_t waiting() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return jobs_.size();
  }

 private:
  void Run() {
    while (true) {
      std::function<void()> job;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
        if (jobs_.empty()) return;
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
      job();
    }
  }
  const size_t bound_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace stillwatch::serve::internal
