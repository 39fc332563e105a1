// Any bytes may lie where a segment should: recovery ends, keeps a prefix, and what it keeps reads
// the same when it is opened again. Bytes are also put through the reader itself.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/str.h"
#include "journal/frame.h"
#include "journal/journal.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::journal;
  namespace fs = std::filesystem;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Recovered r = Recover(bytes);
  if (r.keep > std::max(size, kSegmentHead)) std::abort();
  const Recovered again = Recover(bytes.substr(0, r.keep));
  if (again.keep != r.keep || again.last != r.last) std::abort();

  static const std::string folder =
      stillwatch::base::StrCat(fs::temp_directory_path().string(), "/journal-fuzz-", getpid());
  fs::remove_all(folder);
  fs::create_directories(folder);
  std::ofstream(folder + "/0000000000000001.journal", std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<long>(size));
  {
    auto journal = Journal::Open({.folder = folder}, [](std::string) {});
    if (!journal.ok()) std::abort();
    Entry e;
    uint64_t last = 0;
    for (int errors = 0; errors < 1'000'000;) {
      const auto more = (*journal)->Next(&e);
      if (!more.ok()) {
        ++errors;
        continue;
      }
      if (!*more) break;
      if (e.sequence <= last) std::abort();
      last = e.sequence;
    }
    if ((*journal)->Next(&e).value_or(true)) std::abort();
    if (last > 0 && !(*journal)->Commit(last).ok()) std::abort();
  }
  fs::remove_all(folder);
  return 0;
}
