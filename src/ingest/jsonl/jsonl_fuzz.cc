// Any bytes as a log: no crash, every line either delivered or refused with a place inside the
// input, and the same records whether they come plain or as one zstd frame.
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "ingest/content_hash.h"
#include "ingest/jsonl/jsonl_source.h"

namespace {

using namespace stillwatch;

struct Found {
  bool ok = false;
  std::vector<uint32_t> contents;
  std::vector<uint64_t> rejects;
};

Found Read(std::string_view bytes, size_t bound) {
  const int fd = memfd_create("log", 0);
  if (fd < 0 || write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
  Found found;
  ingest::Sink sink;
  sink.exchange = [&](int, const model::ExchangeView& e) {
    if (e.exchange_id.empty() || e.account_id.empty() || e.ts_ms < 0) std::abort();
    found.contents.push_back(ingest::ContentHash(e));
    return absl::OkStatus();
  };
  sink.reject = [&](model::Reject r) {
    if (r.offset > bound || r.line == 0 || r.reason.empty() || r.record.size() > 1024) std::abort();
    found.rejects.push_back(r.offset);
    return absl::OkStatus();
  };
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  found.ok = ingest::MakeJsonlSource({path}, {.now_ms = 1'800'000'000'000})->Read(1, sink, nullptr, nullptr).ok();
  close(fd);
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Found plain = Read(bytes, bytes.starts_with("\x28\xB5\x2F\xFD") || bytes.starts_with("\x1F\x8B") ? SIZE_MAX : size);
  const bool compressed = size > 1 && (bytes.starts_with("\x1F\x8B") || bytes.starts_with("\x28\xB5\x2F\xFD"));
  if (!compressed && size > 0) {
    if (!plain.ok) std::abort();
    std::string frame(ZSTD_compressBound(size), 0);
    frame.resize(ZSTD_compress(frame.data(), frame.size(), data, size, 1));
    const Found again = Read(frame, size);
    if (!again.ok || again.contents != plain.contents || again.rejects != plain.rejects) std::abort();
  }
  std::string copy(bytes);
  ingest::RecordParser parser(0);
  model::ExchangeView e;
  (void)parser.ParseMessages(copy, &e);
  return 0;
}
