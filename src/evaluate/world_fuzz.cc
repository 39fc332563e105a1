// Any bytes as the files of a world and of findings (cut at form feeds): refused by the folder's
// name, or what the header promises.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/str.h"
#include "evaluate/world.h"

namespace {

std::string Folder() {
  return stillwatch::base::StrCat(std::filesystem::temp_directory_path().string(), "/world-fuzz-",
                                  getpid());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::evaluate;
  static const std::string dir = [] {
    std::filesystem::create_directories(Folder());
    std::atexit([] { std::filesystem::remove_all(Folder()); });
    return Folder();
  }();
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  for (const char* name : {"truth_campaigns.csv", "truth_exchanges.csv", "truth_accounts.csv",
                           "truth_pools.csv", "scenario.yaml", "campaigns.json", "accounts.csv",
                           "exchanges.csv", "candidates.jsonl", "run.json"}) {
    const std::string_view part = rest.substr(0, rest.find('\f'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    std::ofstream(dir + "/" + name, std::ios::binary) << part;
  }
  const auto named = [](const absl::Status& s) {
    if (!s.ok() && s.message().find(dir) == std::string::npos) std::abort();
  };
  const auto world = ReadWorld(dir);
  named(world.status());
  if (world.ok()) {
    for (const TrueCampaign& c : world->campaigns) {
      if (world->Planned(c) < c.exchanges) std::abort();
    }
    for (const auto& [id, a] : world->accounts) {
      if (a.role >= world->roles.size()) std::abort();
      if (a.pool != kNone) (void)world->TookOver(a.pool);
      (void)world->IsOperators(a);
    }
    for (const auto& [hash, campaign] : world->harvest) {
      if (campaign >= world->campaigns.size()) std::abort();
    }
  }
  const auto found = ReadFindings(dir);
  named(found.status());
  if (!found.ok()) return 0;
  for (const FoundAccount& a : found->accounts) {
    if (a.campaign >= found->campaigns.size()) std::abort();
  }
  uint64_t rows = 0;
  named(EachExchange(*found, [&](const std::string&, const std::string&, uint32_t campaign) {
    if (campaign >= found->campaigns.size()) std::abort();
    ++rows;
    return absl::OkStatus();
  }));
  return 0;
}
