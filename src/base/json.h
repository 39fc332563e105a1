// Writing JSON. Parsing is simdjson's; there is no document model here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace stillwatch::base {

// Appends `text` as a quoted JSON string. Invalid UTF-8 becomes U+FFFD, so the output is always
// valid; "<", ">" and "&" are escaped too, so the output may stand inside an HTML script element.
void AppendJsonString(std::string_view text, std::string* out);

// The shortest decimal that reads back as the same double; null for what JSON cannot hold.
void AppendJsonNumber(double value, std::string* out);

// Streaming writer; commas and nesting are its own business. Keys are written in call order.
//   JsonWriter w(&out); w.BeginObject(); w.Key("n"); w.Int(3); w.EndObject();
class JsonWriter {
 public:
  explicit JsonWriter(std::string* out, bool pretty = false) : out_(out), pretty_(pretty) {}
  void BeginObject();
  void EndObject();
  void BeginArray();
  void EndArray();
  void Key(std::string_view key);
  void String(std::string_view value);
  void Int(int64_t value);
  void Uint(uint64_t value);
  void Double(double value);
  void Bool(bool value);
  void Null();

 private:
  void Separate();
  void NewLine();
  std::string* out_;
  bool pretty_;
  std::string stack_;  // one of 'o' 'a' per level, upper case once it has a member
  bool after_key_ = false;
};

}  // namespace stillwatch::base
