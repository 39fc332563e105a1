// Reading CSV as RFC 4180 writes it: quoted cells may hold commas, quotes and line breaks.
#pragma once

#include <cstdint>
#include <istream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stillwatch::base {

inline constexpr size_t kCsvRecordMax = 1 << 20;  // bytes; a longer one is an error

// Cells of one record without its line break. False when the quoting is broken.
bool SplitCsv(std::string_view record, std::vector<std::string>* cells);

// Not thread-safe. Lines may end in CRLF. A file that does not end in a line break was cut short.
class CsvReader {
 public:
  // InvalidArgument when the file cannot be opened or does not begin with `header`; more columns
  // than the header's are allowed.
  static absl::StatusOr<CsvReader> Open(const std::string& path, std::string_view header);
  static absl::StatusOr<CsvReader> Read(std::unique_ptr<std::istream> in, std::string name,
                                        std::string_view header);
  // False at the end.
  absl::StatusOr<bool> Next(std::vector<std::string>* cells);
  // "truth_exchanges.csv:17": where the last record began.
  std::string Where() const;

 private:
  CsvReader() = default;
  absl::StatusOr<bool> Record();
  std::unique_ptr<std::istream> in_;
  std::string name_, record_, line_;
  size_t columns_ = 0;
  uint64_t line_number_ = 0, begin_ = 0;
};

}  // namespace stillwatch::base
