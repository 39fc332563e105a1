// Any bytes as the beginning of a log, as a document of records and as a person's .sql: detection
// ends, and a document splits the same however it arrives.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "ingest/formats/format.h"
#include "ingest/formats/records.h"

namespace {

using namespace stillwatch::ingest;

RecordBatch Split(std::string_view bytes, size_t piece) {
  RecordBatch batch;
  DocumentSplitter splitter;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    splitter.Feed(bytes.substr(0, piece), &batch);
  }
  splitter.Finish(&batch);
  return batch;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto found = DetectFormat("fuzz", GlanceAtJson(bytes));
  if (found.ok() && found->name != "canonical" && !FindFormat(found->name).ok()) std::abort();

  const RecordBatch whole = Split(bytes, size), pieces = Split(bytes, size % 7 + 1);
  if (whole.records.size() != pieces.records.size()) std::abort();
  for (size_t i = 0; i < whole.records.size(); ++i) {
    const RawRecord &a = whole.records[i], &b = pieces.records[i];
    if (whole.Text(a) != pieces.Text(b) || a.line != b.line || a.offset != b.offset) std::abort();
    if (a.begin + a.size > whole.bytes.size() || a.offset > size) std::abort();
    for (const RawRecord& part : SplitByIndent(whole.bytes, a)) {
      if (part.begin < a.begin || part.begin + part.size > a.begin + a.size) std::abort();
    }
  }

  // A format of one's own is found by a name that ends in .sql.
  static const std::string sql = [] {
    const char* tmp = std::getenv("TMPDIR");
    return std::string(tmp ? tmp : "/tmp") + "/format_fuzz-" + std::to_string(getpid()) + ".sql";
  }();
  const int fd = memfd_create("sql", 0);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) std::abort();
  unlink(sql.c_str());
  if (symlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), sql.c_str()) != 0) std::abort();
  if (const auto own = FindFormat(sql); own.ok()) {
    if (own->sql.find("{source}") == std::string::npos) std::abort();
  }
  unlink(sql.c_str());
  close(fd);
  return 0;
}
