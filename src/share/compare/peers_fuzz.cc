// Any bytes as the file of peers and as a set of items: refused by the file's name, or what the
// headers promise; items once normalised are the same set again.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "share/compare/items.h"
#include "share/compare/peers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::share::compare;
  const int fd = memfd_create("peers", 0);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) std::abort();
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const auto peers = ReadPeers(path);
  if (peers.ok()) {
    if (peers->all.size() > kPeersMax || peers->epoch_days < 1) std::abort();
    for (const Peer& p : peers->all) {
      if (p.name.empty() || peers->Named(p.name) != &p || peers->WithKey(p.key) != &p) std::abort();
      if (p.reliability < 'A' || p.reliability > 'F') std::abort();
    }
  } else if (peers.status().message().substr(0, path.size()) != path) {
    std::abort();
  }
  const auto set = ItemSet::Read(path);
  close(fd);
  if (!set.ok()) {
    if (set.status().message().find(path) == std::string::npos) std::abort();
    return 0;
  }
  std::vector<std::pair<std::string, std::string>> items;
  for (const auto& family : set->families()) {
    if (family.values.empty()) std::abort();
    for (const std::string& value : family.values) items.emplace_back(family.family, value);
  }
  if (items.size() != set->size()) std::abort();
  const auto again = ItemSet::Make(std::move(items));
  if (!again.ok() || again->digest() != set->digest()) std::abort();
  return 0;
}
