// Records of the built-in line formats taken apart in C++, a dozen times as fast as their SELECTs.
// NAME.sql stays the definition: what is out of the ordinary is left to it, and a test puts records
// of every kind through both.
#pragma once

#include <simdjson.h>

#include <memory>
#include <string_view>

#include "ingest/formats/rows.h"

namespace stillwatch::ingest {

// Thread-compatible.
class Decoder {
 public:
  virtual ~Decoder() = default;
  // Appends the rows of a record, which is an object; or gives false, and the SELECT has to take
  // it, whatever was appended. The rows refer to the record and to *rows.
  virtual bool Decode(simdjson::dom::element record, Rows* rows) = 0;
};

// Of a built-in format by name; null where there is none.
std::unique_ptr<Decoder> MakeDecoder(std::string_view format);

std::unique_ptr<Decoder> MakeLitellmDecoder();
std::unique_ptr<Decoder> MakeBedrockDecoder();
std::unique_ptr<Decoder> MakeOpenaiBatchDecoder();
std::unique_ptr<Decoder> MakeOtlpTracesDecoder();
std::unique_ptr<Decoder> MakeOtlpLogsDecoder();

}  // namespace stillwatch::ingest
