// Any bytes: the reader ends, keeps its bounds, and what it read is what RFC 4180 writes back.
#include <cstdint>
#include <cstdlib>
#include <sstream>

#include "base/csv.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using stillwatch::base::CsvReader;
  const std::string bytes = "a,b\n" + std::string(reinterpret_cast<const char*>(data), size);
  auto reader = CsvReader::Read(std::make_unique<std::istringstream>(bytes), "fuzz", "a,b");
  if (!reader.ok()) abort();
  std::vector<std::string> cells, again;
  for (;;) {
    auto more = reader->Next(&cells);
    if (!more.ok() || !*more) return 0;
    if (cells.size() < 2) abort();
    std::string record;
    for (const std::string& cell : cells) {
      if (&cell != &cells[0]) record.push_back(',');
      record.push_back('"');
      for (const char c : cell) {
        if (c == '"') record.push_back('"');
        record.push_back(c);
      }
      record.push_back('"');
    }
    if (!stillwatch::base::SplitCsv(record, &again) || again != cells) abort();
  }
}
