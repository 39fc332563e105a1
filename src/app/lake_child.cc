#include "app/lake_child.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/str.h"

extern char** environ;

namespace stillwatch::app {

using Clock = std::chrono::steady_clock;

Child::Child(ChildOptions options) : options_(std::move(options)), thread_([this] { Run(); }) {}

Child::~Child() { Stop(); }

void Child::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

pid_t Child::Spawn() {
  std::vector<char*> argv;
  for (const auto& a : options_.argv) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  // Of its own process group: a ctrl-C at a terminal is ours to pass on, once all is stored.
  posix_spawnattr_t how;
  posix_spawnattr_init(&how);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&how, &none);
  posix_spawnattr_setpgroup(&how, 0);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, argv[0], nullptr, &how, argv.data(), environ);
  posix_spawnattr_destroy(&how);
  if (error == 0) return pid;
  options_.note(base::StrCat(argv[0], ": cannot be started: ", std::strerror(error)));
  return -1;
}

void Child::Run() {
  auto wait = options_.backoff;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_) {
    const auto begin = Clock::now();
    const pid_t pid = Spawn();
    pid_ = pid;
    ++starts_;
    int status = 0;
    bool ended = pid < 0, told = false;
    Clock::time_point kill_at{};
    while (!ended) {
      if (waitpid(pid, &status, WNOHANG) == pid) break;
      if (stop_ && !told) {
        kill(pid, SIGTERM);
        told = true;
        kill_at = Clock::now() + options_.stop_wait;
      }
      if (told && Clock::now() >= kill_at) kill(pid, SIGKILL);
      if (told) {
        lock.unlock();
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        lock.lock();
      } else {
        wake_.wait_for(lock, std::chrono::milliseconds(50), [this] { return stop_; });
      }
    }
    pid_ = -1;
    if (stop_) return;
    if (Clock::now() - begin >= options_.steady) wait = options_.backoff;
    if (pid >= 0) {
      options_.note(WIFSIGNALED(status)
                        ? base::StrCat("the lake's process was ended by signal ", WTERMSIG(status),
                                       "; it is started again in ", wait.count(), " ms")
                        : base::StrCat("the lake's process ended with status ", WEXITSTATUS(status),
                                       "; it is started again in ", wait.count(), " ms"));
    }
    wake_.wait_for(lock, wait, [this] { return stop_; });
    wait = std::min(wait * 2, options_.backoff_max);
  }
}

}  // namespace stillwatch::app
