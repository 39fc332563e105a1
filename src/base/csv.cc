#include "base/csv.h"

#include <algorithm>
#include <fstream>

#include "base/str.h"

namespace stillwatch::base {

using base::StrCat;

bool SplitCsv(std::string_view r, std::vector<std::string>* cells) {
  cells->assign(1, "");
  for (size_t i = 0; i < r.size(); ++i) {
    if (r[i] == ',') {
      cells->emplace_back();
    } else if (r[i] != '"') {
      cells->back().push_back(r[i]);
    } else {
      // Only a whole cell can be quoted.
      if (!cells->back().empty() || (i > 0 && r[i - 1] != ',')) return false;
      for (++i;; ++i) {
        if (i >= r.size()) return false;
        if (r[i] != '"') {
          cells->back().push_back(r[i]);
        } else if (i + 1 < r.size() && r[i + 1] == '"') {
          cells->back().push_back('"');
          ++i;
        } else {
          break;
        }
      }
      if (i + 1 < r.size() && r[i + 1] != ',') return false;
    }
  }
  return true;
}

absl::StatusOr<CsvReader> CsvReader::Open(const std::string& path, std::string_view header) {
  auto in = std::make_unique<std::ifstream>(path, std::ios::binary);
  if (!*in) {
    return absl::InvalidArgumentError(
        StrCat(path, ": cannot be opened; is this the folder of a world, or of a finished scan?"));
  }
  return Read(std::move(in), path, header);
}

absl::StatusOr<CsvReader> CsvReader::Read(std::unique_ptr<std::istream> in, std::string name,
                                          std::string_view header) {
  CsvReader out;
  out.in_ = std::move(in);
  out.name_ = std::move(name);
  out.columns_ = static_cast<size_t>(std::count(header.begin(), header.end(), ',')) + 1;
  auto first = out.Record();
  if (!first.ok()) return first.status();
  const std::string_view got(out.record_);
  if (!*first || got.substr(0, header.size()) != header ||
      (got.size() > header.size() && got[header.size()] != ',')) {
    return absl::InvalidArgumentError(StrCat(out.name_, ":1: expected the header ", header));
  }
  return out;
}

absl::StatusOr<bool> CsvReader::Record() {
  record_.clear();
  begin_ = line_number_ + 1;
  for (bool open = false;;) {
    if (!std::getline(*in_, line_)) {
      if (in_->bad())
        return absl::InvalidArgumentError(StrCat(name_, ": cannot be read to its end"));
      if (!open) return false;
      return absl::InvalidArgumentError(StrCat(Where(), ": a quoted value is never closed"));
    }
    ++line_number_;
    if (in_->eof())
      return absl::InvalidArgumentError(
          StrCat(name_, ":", line_number_, ": ends in the middle of a line; was it cut short?"));
    if (record_.size() + line_.size() > kCsvRecordMax) {
      return absl::InvalidArgumentError(
          StrCat(Where(), ": a record of more than ", kCsvRecordMax, " bytes"));
    }
    if (open) record_.push_back('\n');
    record_ += line_;
    open ^= std::count(line_.begin(), line_.end(), '"') % 2 != 0;
    if (!open) break;
  }
  if (!record_.empty() && record_.back() == '\r') record_.pop_back();
  return true;
}

absl::StatusOr<bool> CsvReader::Next(std::vector<std::string>* cells) {
  auto more = Record();
  if (!more.ok() || !*more) return more;
  if (!SplitCsv(record_, cells))
    return absl::InvalidArgumentError(StrCat(Where(), ": a quote in the middle of a value"));
  if (cells->size() < columns_) {
    return absl::InvalidArgumentError(
        StrCat(Where(), ": expected ", columns_, " columns, got ", cells->size()));
  }
  return true;
}

std::string CsvReader::Where() const { return StrCat(name_, ":", begin_); }

}  // namespace stillwatch::base
