// Columns of rows on their way into or out of a lake, independent of transport. Plain values: read
// by any number of threads, changed by one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace stillwatch::lake {

// A String column: bytes of all rows, one after the other, and where each ends (ascending; the last
// is bytes.size()). Views into it live until it changes.
struct StringColumn {
  std::string bytes;
  std::vector<uint64_t> ends;
  void Append(std::string_view v) {
    bytes.append(v);
    ends.push_back(bytes.size());
  }
  std::string_view operator[](size_t row) const {
    const uint64_t begin = row == 0 ? 0 : ends[row - 1];
    return std::string_view(bytes).substr(begin, ends[row] - begin);
  }
  size_t size() const { return ends.size(); }
};

// An Array column of a fixed-width type.
template <typename T>
struct ArrayColumn {
  std::vector<T> values;
  std::vector<uint64_t> ends;
  template <typename It>
  void Append(It begin, It end) {
    values.insert(values.end(), begin, end);
    ends.push_back(values.size());
  }
  const T* begin(size_t row) const { return values.data() + (row == 0 ? 0 : ends[row - 1]); }
  const T* end(size_t row) const { return values.data() + ends[row]; }
  size_t size() const { return ends.size(); }
};

using ColumnData =
    std::variant<std::vector<uint8_t>, std::vector<uint16_t>, std::vector<uint32_t>,
                 std::vector<uint64_t>, std::vector<int64_t>, std::vector<float>,
                 std::vector<double>, StringColumn, ArrayColumn<uint32_t>, ArrayColumn<uint64_t>>;

struct Column {
  std::string name;
  ColumnData data;
  template <typename T>
  T& As() { return std::get<T>(data); }
  template <typename T>
  const T& As() const { return std::get<T>(data); }
};

// ClickHouse's name of the column's type: "UInt8" "UInt16" "UInt32" "UInt64" "Int64" "Float32"
// "Float64" "String" "Array(UInt32)" "Array(UInt64)".
std::string TypeName(const ColumnData& data);
size_t Rows(const ColumnData& data);

// Columns of one length, each name once; an adapter checks that before it stores one. At most
// kInsertRowsMax rows on the way in; on the way out what the engine makes of it (65,536 or fewer).
struct Block {
  std::vector<Column> columns;
  size_t rows() const { return columns.empty() ? 0 : Rows(columns[0].data); }
  const Column* Find(std::string_view name) const;
};

}  // namespace stillwatch::lake
