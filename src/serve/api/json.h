// Reading request bodies and writing replies. Internal to src/serve/api.
#pragma once

#include <simdjson.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "serve/http/router.h"

namespace stillwatch::serve::api {

// The object in a request's body. The first fault is kept; a reader asks ok() once, at the end.
class Body {
 public:
  // `known`: the fields that there may be. An unknown one is a fault: a misspelt "expected" must
  // not be taken for none.
  Body(const HttpRequest& request, std::initializer_list<std::string_view> known);

  std::string Text(std::string_view key, bool required = false);
  int64_t Int(std::string_view key, bool required = false);
  bool Bool(std::string_view key);
  int64_t Time(std::string_view key);  // RFC 3339 to milliseconds; 0 when absent or null
  std::vector<std::string> Texts(std::string_view key);
  // Elements of an array of objects, each with these fields at most.
  std::vector<simdjson::dom::object> Objects(std::string_view key,
                                             std::initializer_list<std::string_view> known);
  std::string TextOf(simdjson::dom::object o, std::string_view key, bool required);
  int64_t TimeOf(simdjson::dom::object o, std::string_view key);

  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;

  bool ok() const { return status_ == 0; }
  HttpReply Error() const { return ErrorReply(status_, why_); }

 private:
  void Fault(std::string why, int status = 400) {
    if (status_ == 0) status_ = status, why_ = std::move(why);
  }
  void Known(simdjson::dom::object o, std::initializer_list<std::string_view> known);

  simdjson::dom::parser parser_;
  simdjson::dom::object root_;
  bool parsed_ = false;
  int status_ = 0;
  std::string why_;
};

// An object or array being written; a time of 0 is null.
class Out {
 public:
  Out() : w_(&text_) {}
  base::JsonWriter& operator*() { return w_; }
  Out& Object() {
    w_.BeginObject();
    return *this;
  }
  Out& End() {
    w_.EndObject();
    return *this;
  }
  Out& Array(std::string_view key) {
    w_.Key(key), w_.BeginArray();
    return *this;
  }
  Out& EndArray() {
    w_.EndArray();
    return *this;
  }
  Out& Text(std::string_view key, std::string_view v) {
    w_.Key(key), w_.String(v);
    return *this;
  }
  Out& Texts(std::string_view key, const std::vector<std::string>& v) {
    Array(key);
    for (const std::string& s : v) w_.String(s);
    return EndArray();
  }
  Out& Bool(std::string_view key, bool v) {
    w_.Key(key), w_.Bool(v);
    return *this;
  }
  Out& Real(std::string_view key, double v) {
    w_.Key(key), w_.Double(v);
    return *this;
  }
  template <typename T>
  Out& Int(std::string_view key, T v) {
    w_.Key(key), w_.Int(static_cast<int64_t>(v));
    return *this;
  }
  Out& Time(std::string_view key, int64_t ms) {
    w_.Key(key);
    if (ms == 0)
      w_.Null();
    else
      w_.String(base::FormatRfc3339(ms));
    return *this;
  }
  // A value that is JSON already; null when it turns out not to be. Only as the last member.
  std::string Done() { return std::move(text_); }
  static void Splice(std::string_view key, std::string_view json, std::string* object);

 private:
  std::string text_;
  base::JsonWriter w_;
};

// Members of an object of one's own: "" and 0 where there is none.
std::string TextIn(simdjson::dom::element e, std::string_view key);
int64_t IntIn(simdjson::dom::element e, std::string_view key);

// ?offset=&limit=
absl::StatusOr<size_t> NumberOf(const HttpRequest& r, std::string_view key, size_t otherwise);

}  // namespace stillwatch::serve::api
