// main() of every *_test: what tests write under testing::TempDir() or TMPDIR lies in a folder of
// this process alone, gone when it ends. A process that died leaves it; the next one removes it.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "stillwatch-test-";

void RemoveFoldersOfTheDead(const fs::path& where) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(where, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    pid_t pid = 0;
    const char* end = name.data() + name.size();
    const auto [at, error] = std::from_chars(name.data() + kPrefix.size(), end, pid);
    if (error != std::errc() || at != end || pid <= 0) continue;
    if (kill(pid, 0) != 0 && errno == ESRCH) fs::remove_all(entry.path(), ignored);
  }
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const fs::path where = fs::temp_directory_path();
  RemoveFoldersOfTheDead(where);
  const fs::path mine = where / (std::string(kPrefix) + std::to_string(getpid()));
  std::error_code error;
  fs::remove_all(mine, error);
  if (!fs::create_directory(mine, error)) {
    std::fprintf(stderr, "test: %s: cannot be made: %s\n", mine.c_str(), error.message().c_str());
    return 1;
  }
  setenv("TMPDIR", mine.c_str(), 1);
  unsetenv("TEST_TMPDIR");  // goes before TMPDIR
  const int code = RUN_ALL_TESTS();
  fs::remove_all(mine, error);
  return code;
}
