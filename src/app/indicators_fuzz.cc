// Any bytes as a file of what others shared: refused by its name, or indicators within their
// bounds; what this program would write of them reads back the same.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "app/indicators.h"
#include "share/indicator.h"

namespace {

// A file of these bytes; closed with it.
class Bytes {
 public:
  Bytes(const void* data, size_t size) : fd_(memfd_create("indicators", 0)) {
    if (fd_ < 0 || write(fd_, data, size) != static_cast<ssize_t>(size)) std::abort();
  }
  ~Bytes() { close(fd_); }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  const int fd_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch;
  constexpr int64_t kNow = 1'795'000'000'000;
  const Bytes file(data, size);
  const auto acting = app::ReadIndicators({file.path()}, kNow, 'C');
  if (!acting.ok() && acting.status().message().find(file.path()) == std::string::npos)
    std::abort();
  if (acting.ok()) {
    for (const judge::SharedIndicator& i : *acting) {
      if (i.first_half_hour < 0 || i.busy.size() > share::kRhythmDays * share::kHalfHours ||
          i.hashes.size() > share::kSketchHashes)
        std::abort();
    }
  }
  auto rows = app::ReadBundle(file.path());
  if (!rows.ok()) return 0;
  for (state::ImportedIndicator& i : rows->indicators) {
    if (i.id.empty() || i.credibility < 1 || i.credibility > 6) std::abort();
    i.reliability = 'C';
  }
  const std::string written = app::IndicatorsJson(rows->indicators);
  const Bytes ours(written.data(), written.size());
  if (!app::ReadIndicators({ours.path()}, kNow, 'C').ok()) std::abort();
  return 0;
}
