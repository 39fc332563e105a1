// For tests: kill -9 at any moment.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <thread>

namespace stillwatch::audit {

// Runs `work` in a process of its own, which gives `acknowledged` each id that is so and never
// ends, and kills it `delay` after the third. The ids; none and a failed test if it ended before.
inline std::set<std::string> Killed(
    std::chrono::milliseconds delay,
    const std::function<void(const std::function<void(const std::string& id)>& acknowledged)>&
        work) {
  int fds[2];
  if (pipe(fds) != 0) {
    ADD_FAILURE() << "no pipe";
    return {};
  }
  const pid_t pid = fork();
  if (pid == 0) {
    close(fds[0]);
    work([&](const std::string& id) {
      const std::string line = id + "\n";
      if (write(fds[1], line.data(), line.size()) < 0) _exit(9);
    });
    _exit(8);
  }
  close(fds[1]);
  std::string said;
  char buffer[4096];
  const auto more = [&] {
    const ssize_t n = read(fds[0], buffer, sizeof buffer);
    if (n > 0) said.append(buffer, static_cast<size_t>(n));
    return n > 0;
  };
  while (std::count(said.begin(), said.end(), '\n') < 3 && more()) {
  }
  std::this_thread::sleep_for(delay);
  kill(pid, SIGKILL);
  int status = 0;
  waitpid(pid, &status, 0);
  while (more()) {
  }
  close(fds[0]);
  EXPECT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  std::set<std::string> ids;
  for (size_t at = 0, eol; (eol = said.find('\n', at)) != std::string::npos; at = eol + 1)
    ids.insert(said.substr(at, eol - at));
  return ids;
}

}  // namespace stillwatch::audit
