// Two columns of a log in the bytes that they need: whose a row is, and when it was.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace stillwatch::link {

// The account of each row, rows being in order of accounts: of the rows in blocks of 256 how many
// accounts begin between the block's first row and this one. A byte a row, and four an account.
// Thread-safe to read.
class RowAccounts {
 public:
  // `first_row` has an entry for each account and one for the end.
  void Assign(std::span<const uint64_t> first_row) {
    const size_t rows = first_row.empty() ? 0 : first_row.back();
    with_rows_.clear();
    block_.assign((rows + kBlock - 1) / kBlock, 0);
    step_.assign(rows, 0);
    size_t row = 0;
    for (uint32_t a = 0; a + 1 < first_row.size(); ++a) {
      if (first_row[a] == first_row[a + 1]) continue;
      const uint32_t number = static_cast<uint32_t>(with_rows_.size());
      with_rows_.push_back(a);
      for (; row < first_row[a + 1]; ++row) {
        if (row % kBlock == 0) block_[row / kBlock] = number;
        step_[row] = static_cast<uint8_t>(number - block_[row / kBlock]);
      }
    }
  }
  size_t size() const { return step_.size(); }
  uint32_t operator[](size_t row) const { return with_rows_[block_[row / kBlock] + step_[row]]; }

 private:
  static constexpr size_t kBlock = 256;  // so that a byte counts those that begin in one
  std::vector<uint32_t> with_rows_, block_;
  std::vector<uint8_t> step_;
};

// Times in ms: five bytes each where all are within 34 years, else eight. Thread-safe to read.
class Times {
 public:
  size_t size() const { return low_.size() + wide_.size(); }
  bool empty() const { return size() == 0; }
  int64_t operator[](size_t i) const {
    if (!wide_.empty()) return wide_[i];
    return from_ + static_cast<int64_t>(uint64_t{high_[i]} << 32 | low_[i]);
  }
  // One at a time takes eight bytes.
  void push_back(int64_t ms) { wide_.push_back(ms); }
  // Begin, of an empty one; then Put from several threads, each of n once, all in [from, to].
  void Begin(size_t n, int64_t from, int64_t to) {
    from_ = from;
    if (static_cast<uint64_t>(to) - static_cast<uint64_t>(from) < uint64_t{1} << 40) {
      low_.resize(n);
      high_.resize(n);
    } else {
      wide_.resize(n);
    }
  }
  void Put(size_t i, int64_t ms) {
    if (!wide_.empty()) {
      wide_[i] = ms;
      return;
    }
    const uint64_t after = static_cast<uint64_t>(ms - from_);
    low_[i] = static_cast<uint32_t>(after);
    high_[i] = static_cast<uint8_t>(after >> 32);
  }

 private:
  int64_t from_ = 0;
  std::vector<uint32_t> low_;
  std::vector<uint8_t> high_;
  std::vector<int64_t> wide_;
};

}  // namespace stillwatch::link
