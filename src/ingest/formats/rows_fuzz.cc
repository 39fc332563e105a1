// Any bytes as a row that the engine gives for a format: an exchange within the bounds, or a
// reason, also when it comes in two parts. The input is cut into the columns that the SELECT asks
// for; a text ends at a 1.
#include <cstdlib>
#include <cstring>
#include <string>

#include "ingest/formats/rows.h"

namespace {

using namespace stillwatch;

template <typename T>
void Add(const std::string& name, std::string_view* bytes, lake::Block* block) {
  T value{};
  const size_t n = std::min(sizeof(T), bytes->size());
  if (n > 0) std::memcpy(&value, bytes->data(), n);
  bytes->remove_prefix(n);
  block->columns.push_back({name, std::vector<T>{value}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string sql = ingest::WrapSelect("SELECT * FROM {source}", true);
  static ingest::RowReader reader(1'800'000'000'000);
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  lake::Block block;
  // A column is "... AS c_NAME", a number's has its type in ", toTYPE(" before that.
  size_t from = 0;
  for (size_t at; (at = sql.find(" AS c_", from)) != std::string::npos; from = at + 6) {
    const std::string column = sql.substr(from, at - from);
    const std::string name = sql.substr(at + 4, sql.find_first_of(", ", at + 6) - at - 4);
    const auto is = [&](const char* type) {
      return column.find(std::string(", to") + type + "(") != std::string::npos &&
             name != "c_unfit";
    };
    if (is("UInt64")) {
      Add<uint64_t>(name, &bytes, &block);
    } else if (is("UInt32")) {
      Add<uint32_t>(name, &bytes, &block);
    } else if (is("UInt16")) {
      Add<uint16_t>(name, &bytes, &block);
    } else if (is("UInt8")) {
      Add<uint8_t>(name, &bytes, &block);
    } else if (is("Float32")) {
      Add<float>(name, &bytes, &block);
    } else {
      lake::StringColumn text;
      text.Append(bytes.substr(0, bytes.find('\x01')));
      bytes.remove_prefix(std::min(bytes.size(), text.bytes.size() + 1));
      block.columns.push_back({name, std::move(text)});
    }
  }
  model::ExchangeView e;
  if (ingest::IsPart(block, 0)) {
    ingest::RowJoiner joiner;
    joiner.Take(block, 0, 1, {});
    joiner.Take(block, 0, 2, {});
    lake::Block joined;
    model::Reject place;
    if (!joiner.Next(true, 0, &joined, &place) || joiner.Next(true, 0, &joined, &place))
      std::abort();
    if (ingest::IsPart(joined, 0) || joined.columns.size() != block.columns.size()) std::abort();
    block = std::move(joined);
  }
  const auto outcome = reader.Read(block, 0, &e);
  if (!outcome.reason.empty()) return 0;
  if (e.exchange_id.empty() || e.account_id.empty() || e.ts_ms <= 0) std::abort();
  if (e.exchange_id.size() > 512 || e.account_id.size() > 512) std::abort();
  return 0;
}
