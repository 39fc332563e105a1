#include "lake/block.h"

namespace stillwatch::lake {
namespace {

template <typename T>
constexpr const char* kType = nullptr;
template <> constexpr const char* kType<std::vector<uint8_t>> = "UInt8";
template <> constexpr const char* kType<std::vector<uint16_t>> = "UInt16";
template <> constexpr const char* kType<std::vector<uint32_t>> = "UInt32";
template <> constexpr const char* kType<std::vector<uint64_t>> = "UInt64";
template <> constexpr const char* kType<std::vector<int64_t>> = "Int64";
template <> constexpr const char* kType<std::vector<float>> = "Float32";
template <> constexpr const char* kType<std::vector<double>> = "Float64";
template <> constexpr const char* kType<StringColumn> = "String";
template <> constexpr const char* kType<ArrayColumn<uint32_t>> = "Array(UInt32)";
template <> constexpr const char* kType<ArrayColumn<uint64_t>> = "Array(UInt64)";

}  // namespace

std::string TypeName(const ColumnData& data) {
  return std::visit([](const auto& c) { return std::string(kType<std::decay_t<decltype(c)>>); }, data);
}

size_t Rows(const ColumnData& data) {
  return std::visit([](const auto& c) { return c.size(); }, data);
}

const Column* Block::Find(std::string_view name) const {
  for (const Column& c : columns) {
    if (c.name == name) return &c;
  }
  return nullptr;
}

}  // namespace stillwatch::lake
