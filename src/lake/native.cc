#include "lake/native.h"

#include <algorithm>
#include <cstring>

#include "base/str.h"

namespace stillwatch::lake {
namespace {

constexpr uint64_t kColumnsMax = 10'000;
constexpr size_t kNameShown = 200;  // bytes of a name in a message

void PutVarUint(uint64_t v, std::string* out) {
  while (v >= 0x80) {
    out->push_back(static_cast<char>(v | 0x80));
    v >>= 7;
  }
  out->push_back(static_cast<char>(v));
}

void PutString(std::string_view s, std::string* out) {
  PutVarUint(s.size(), out);
  out->append(s);
}

template <typename T>
void PutRaw(const std::vector<T>& values, std::string* out) {
  out->append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

struct Encode {
  std::string* out;
  template <typename T>
  void operator()(const std::vector<T>& c) const { PutRaw(c, out); }
  void operator()(const StringColumn& c) const {
    for (size_t i = 0; i < c.size(); ++i) PutString(c[i], out);
  }
  template <typename T>
  void operator()(const ArrayColumn<T>& c) const {
    PutRaw(c.ends, out);
    PutRaw(c.values, out);
  }
};

// An upper bound that is close: lengths below 16,384 take at most two bytes.
struct EncodedBytes {
  template <typename T>
  size_t operator()(const std::vector<T>& c) const { return c.size() * sizeof(T); }
  size_t operator()(const StringColumn& c) const { return c.bytes.size() + 2 * c.size(); }
  template <typename T>
  size_t operator()(const ArrayColumn<T>& c) const { return c.ends.size() * 8 + c.values.size() * sizeof(T); }
};

bool Ascend(const std::vector<uint64_t>& ends, size_t last) {
  return std::is_sorted(ends.begin(), ends.end()) && (ends.empty() ? 0 : ends.back()) == last;
}

struct Agrees {
  template <typename T>
  bool operator()(const std::vector<T>&) const { return true; }
  bool operator()(const StringColumn& c) const { return Ascend(c.ends, c.bytes.size()); }
  template <typename T>
  bool operator()(const ArrayColumn<T>& c) const { return Ascend(c.ends, c.values.size()); }
};

bool GetVarUint(std::string_view* in, uint64_t* v) {
  *v = 0;
  for (int shift = 0; shift < 63 && !in->empty(); shift += 7) {
    const uint8_t byte = static_cast<uint8_t>(in->front());
    in->remove_prefix(1);
    *v |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool GetString(std::string_view* in, std::string_view* s) {
  uint64_t n;
  if (!GetVarUint(in, &n) || n > in->size()) return false;
  *s = in->substr(0, n);
  in->remove_prefix(n);
  return true;
}

template <typename T>
bool GetRaw(std::string_view* in, uint64_t n, std::vector<T>* values) {
  if (n > in->size() / sizeof(T)) return false;
  values->resize(n);
  if (n > 0) std::memcpy(values->data(), in->data(), n * sizeof(T));
  in->remove_prefix(n * sizeof(T));
  return true;
}

struct Decode {
  std::string_view* in;
  uint64_t rows;
  template <typename T>
  bool operator()(std::vector<T>& c) const { return GetRaw(in, rows, &c); }
  bool operator()(StringColumn& c) const {
    if (rows > in->size()) return false;  // each takes a byte at least
    c.ends.reserve(rows);
    std::string_view s;
    for (uint64_t i = 0; i < rows; ++i) {
      if (!GetString(in, &s)) return false;
      c.Append(s);
    }
    return true;
  }
  template <typename T>
  bool operator()(ArrayColumn<T>& c) const {
    if (!GetRaw(in, rows, &c.ends)) return false;
    if (!std::is_sorted(c.ends.begin(), c.ends.end())) return false;
    return GetRaw(in, c.ends.empty() ? 0 : c.ends.back(), &c.values);
  }
};

bool Make(std::string_view type, ColumnData* data) {
  if (type == "UInt8" || type == "Bool") *data = std::vector<uint8_t>();
  else if (type == "UInt16") *data = std::vector<uint16_t>();
  else if (type == "UInt32") *data = std::vector<uint32_t>();
  else if (type == "UInt64") *data = std::vector<uint64_t>();
  else if (type == "Int64") *data = std::vector<int64_t>();
  else if (type == "Float32") *data = std::vector<float>();
  else if (type == "Float64") *data = std::vector<double>();
  else if (type == "String") *data = StringColumn();
  else if (type == "Array(UInt32)") *data = ArrayColumn<uint32_t>();
  else if (type == "Array(UInt64)") *data = ArrayColumn<uint64_t>();
  else return false;
  return true;
}

}  // namespace

absl::Status CheckShape(const Block& block) {
  for (const Column& c : block.columns) {
    if (Rows(c.data) != block.rows()) {
      return absl::InvalidArgumentError(
          base::StrCat("lake: column ", c.name, " has ", Rows(c.data), " rows of ", block.rows()));
    }
    if (!std::visit(Agrees{}, c.data)) {
      return absl::InvalidArgumentError(base::StrCat("lake: column ", c.name, " ends elsewhere than its values"));
    }
  }
  return absl::OkStatus();
}

void EncodeNativeHead(const Block& block, std::string* out) {
  PutVarUint(block.columns.size(), out);
  PutVarUint(block.rows(), out);
}

void EncodeNativeColumn(const Column& column, std::string* out) {
  PutString(column.name, out);
  PutString(TypeName(column.data), out);
  out->reserve(out->size() + std::visit(EncodedBytes{}, column.data));
  std::visit(Encode{out}, column.data);
}

void EncodeNative(const Block& block, std::string* out) {
  EncodeNativeHead(block, out);
  for (const Column& c : block.columns) EncodeNativeColumn(c, out);
}

absl::StatusOr<Block> DecodeNative(std::string_view* bytes, bool* cut) {
  bool ignored;
  if (cut == nullptr) cut = &ignored;
  *cut = true;
  uint64_t columns = 0, rows;
  if (!GetVarUint(bytes, &columns) || !GetVarUint(bytes, &rows) || columns > kColumnsMax) {
    *cut = columns <= kColumnsMax;
    return absl::InvalidArgumentError("lake: a result block is cut short or not in Native format");
  }
  Block block;
  for (uint64_t i = 0; i < columns; ++i) {
    std::string_view name, type;
    if (!GetString(bytes, &name) || !GetString(bytes, &type)) {
      return absl::InvalidArgumentError("lake: a result block is cut short");
    }
    Column column;
    column.name = name;
    if (!Make(type, &column.data)) {
      *cut = false;
      return absl::InvalidArgumentError(base::StrCat("lake: column ", name.substr(0, kNameShown),
                                                     " is of type ", type.substr(0, kNameShown),
                                                     ": cast it in the SQL (UInt8 to UInt64, Int64, "
                                                     "Float32, Float64, String, Array(UInt32), Array(UInt64))"));
    }
    if (!std::visit(Decode{bytes, rows}, column.data)) {
      return absl::InvalidArgumentError(
          base::StrCat("lake: column ", name.substr(0, kNameShown), " of a result block is cut short"));
    }
    block.columns.push_back(std::move(column));
  }
  return block;
}

}  // namespace stillwatch::lake
