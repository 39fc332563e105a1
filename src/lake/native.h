// ClickHouse's Native format for the column types of block.h: one block is
//   varuint columns, varuint rows, then per column: name, type (varuint length + bytes), data.
// Strings are length-prefixed; arrays are cumulative UInt64 ends, then the values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lake/block.h"

namespace stillwatch::lake {

// Whether every column has the block's number of rows and its parts agree with each other; what
// breaks this would shift the values of all later columns. InvalidArgument names the column.
absl::Status CheckShape(const Block& block);

// Appends one block; it must pass CheckShape.
void EncodeNative(const Block& block, std::string* out);

// The same piece by piece, so that a large block is never in memory twice: the head (counts), then
// each column in order.
void EncodeNativeHead(const Block& block, std::string* out);
void EncodeNativeColumn(const Column& column, std::string* out);

// Reads one block from the front of *bytes and advances it; further blocks may follow. After an
// error *bytes is anywhere. InvalidArgument for bytes that are cut short, lengths that do not fit,
// and types that block.h does not hold ("cast it in the SQL"). Never reads past the end and never
// allocates more than the input's size calls for. *cut, if given, says whether an error might pass
// with more bytes.
absl::StatusOr<Block> DecodeNative(std::string_view* bytes, bool* cut = nullptr);

}  // namespace stillwatch::lake
