// share key: what the peers of one group blind with.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "app/command.h"
#include "app/share.h"
#include "base/str.h"
#include "share/indicator.h"

namespace stillwatch::app {
namespace {

using base::StrCat;

int MakeBlindingKey(const std::string& path) {
  const share::BlindingKey key = share::BlindingKey::Random();
  const std::string text = key.ToHex() + "\n";
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    return Report(absl::InvalidArgumentError(
        StrCat(path, ": ", std::strerror(errno), "; name a file that is not there yet")));
  }
  const bool ok = write(fd, text.data(), text.size()) == ssize_t(text.size()) && fsync(fd) == 0;
  close(fd);
  if (!ok) {
    unlink(path.c_str());
    return Report(absl::InvalidArgumentError(StrCat(path, ": cannot be written")));
  }
  std::printf("%s\n", key.id().c_str());
  return kOk;
}

}  // namespace

void AddShareExport(CLI::App* share, int* code) {
  auto* make = share->add_subcommand(
      "key", "make a key under which guessable values leave; the peers of a group hold the same");
  auto file = std::make_shared<std::string>();
  make->add_option("FILE", *file, "a file that is not there yet")->required();
  make->footer("Example: stillwatch share key group.key");
  make->callback([=] { *code = MakeBlindingKey(*file); });
}

}  // namespace stillwatch::app
