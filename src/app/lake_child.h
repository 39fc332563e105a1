// The embedded lake of `serve`: `stillwatch lake host` in a process of its own, started again when
// it ends. Its memory and its crashes touch neither decisions nor what is acknowledged.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace stillwatch::app {

struct ChildOptions {
  std::vector<std::string> argv;                                // argv[0] is the program's path
  std::chrono::milliseconds backoff{200}, backoff_max{30'000};  // doubles while it keeps ending
  std::chrono::milliseconds steady{60'000};      // who lived so long starts anew at once
  std::chrono::milliseconds stop_wait{20'000};   // after SIGTERM; then SIGKILL
  std::function<void(const std::string&)> note;  // one clear sentence; own thread
};

// Owns one thread from construction to Stop.
class Child {
 public:
  explicit Child(ChildOptions options);
  ~Child();  // Stop
  void Stop();
  pid_t pid() const { return pid_; }  // -1: none runs at this moment
  uint64_t starts() const { return starts_; }

 private:
  void Run();
  pid_t Spawn();
  const ChildOptions options_;
  std::atomic<pid_t> pid_{-1};
  std::atomic<uint64_t> starts_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace stillwatch::app
