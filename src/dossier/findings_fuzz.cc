// Any bytes as campaigns.json, accounts.csv and explain.jsonl (cut at form feeds): refused with the
// file, or findings whose numbers are sound and which are written so that they read back the same.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/str.h"
#include "dossier/figures.h"
#include "dossier/outputs.h"
#include "dossier/read.h"

namespace {

using namespace stillwatch;

bool IsProbability(double p) { return p >= 0 && p <= 1; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string dir = [] {
    const std::string d =
        base::StrCat(std::filesystem::temp_directory_path().string(), "/findings-fuzz-", getpid());
    std::filesystem::create_directories(d);
    std::atexit([] {
      std::filesystem::remove_all(base::StrCat(std::filesystem::temp_directory_path().string(),
                                               "/findings-fuzz-", getpid()));
    });
    return d;
  }();
  const auto write = [](const char* name, std::string_view bytes) {
    std::ofstream(dir + "/" + name, std::ios::binary) << bytes;
  };
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  for (const char* name : {"campaigns.json", "accounts.csv", "explain.jsonl"}) {
    const std::string_view part = rest.substr(0, rest.find('\f'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    write(name, part);
  }
  const auto read = dossier::ReadFindings(dir);
  if (!read.ok()) {
    if (read.status().message().substr(0, dir.size()) != dir) std::abort();
    return 0;
  }
  for (const model::Campaign& c : read->campaigns) {
    if (!IsProbability(c.probability)) std::abort();
    for (const model::CampaignMember& m : c.members) {
      if (!IsProbability(m.probability)) std::abort();
    }
    const dossier::Intervals all = dossier::MembershipIntervals(c);
    if (!(all.accounts.low <= all.accounts.high) || !(all.exchanges.low <= all.exchanges.high))
      std::abort();
  }
  const std::string once = dossier::CampaignsJson(read->campaigns);
  write("campaigns.json", once);
  const auto again = dossier::ReadFindings(dir);
  if (!again.ok() || dossier::CampaignsJson(again->campaigns) != once) std::abort();
  return 0;
}
