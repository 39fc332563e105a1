// Any bytes as each of the side files: no crash; what is accepted keeps the promises of the header.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "ingest/jsonl/side_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch;
  const int fd = memfd_create("side", 0);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) std::abort();
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  if (const auto permits = ingest::ReadPermits(path); permits.ok()) {
    for (const auto& p : *permits) {
      if (p.id.empty() || p.org_id.empty() == p.account_ids.empty() || p.valid_from_ms >= p.valid_until_ms) std::abort();
    }
  }
  if (const auto actors = ingest::ReadKnownActors(path); actors.ok()) {
    for (const auto& a : *actors) {
      if (a.actor.empty() || a.reliability < 'A' || a.reliability > 'F') std::abort();
    }
  }
  if (const auto traits = ingest::ReadTraits(path); traits.ok()) {
    for (const auto& t : *traits) {
      if (t.account_id.empty() || t.family.empty() || t.value.empty()) std::abort();
    }
  }
  (void)ingest::ReadAccounts(
      path,
      [](ingest::AccountRow row) {
        if (row.account.account_id.empty() || row.account.account_id.size() > 512) std::abort();
        return absl::OkStatus();
      },
      [](model::Reject r) {
        if (r.reason.empty() || r.record.size() > 1024) std::abort();
        return absl::OkStatus();
      });
  close(fd);
  return 0;
}
