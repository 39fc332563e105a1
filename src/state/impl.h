// What the parts of State share. Internal to src/state.
#pragma once

#include <deque>
#include <functional>

#include "base/embedded_file.h"
#include "base/json.h"
#include "base/str.h"
#include "state/database.h"
#include "state/sqlite.h"
#include "state/state.h"

namespace stillwatch::state {

extern const base::EmbeddedFile kStateSchema[];

class State::Impl {
 public:
  explicit Impl(const StateOptions& options) : options_(options) {}

  absl::Status Open();

  // A change within a transaction; `topic` is counted up. What `change` writes down in `record`
  // (action, subject, details) is in the audit log before the commit; an empty action records
  // nothing.
  absl::Status Write(const char* topic, std::string_view person, std::string_view action,
                     const std::function<absl::Status(Db&, audit::AuditRecord*)>& change);

  // Reads as of one moment.
  absl::Status Read(const std::function<absl::Status(Db&)>& read) { return db_->Read(read); }

  int64_t now() const { return options_.now_ms(); }
  const std::string& key() const { return key_; }

 private:
  absl::Status LoadKey();

  const StateOptions& options_;
  std::string key_;
  std::unique_ptr<Database> db_;
};

// InvalidArgument when a text is longer than `most`, or empty where it may not be.
absl::Status CheckText(std::string_view field, std::string_view value, size_t most, bool required);
absl::Status CheckPage(const Page& page);

std::string Join(const std::vector<std::string>& parts);  // with ","
std::vector<std::string> SplitComma(std::string_view text);

// {"key": value, ...} of pairs; values are strings, numbers and booleans.
class Details {
 public:
  Details() : w_(&out_) { w_.BeginObject(); }
  Details& Add(std::string_view key, std::string_view v) {
    w_.Key(key);
    w_.String(v);
    return *this;
  }
  Details& Add(std::string_view key, const char* v) { return Add(key, std::string_view(v)); }
  Details& Add(std::string_view key, bool v) {
    w_.Key(key);
    w_.Bool(v);
    return *this;
  }
  template <typename T>
  requires std::is_integral_v<T> Details& Add(std::string_view key, T v) {
    w_.Key(key);
    w_.Int(static_cast<int64_t>(v));
    return *this;
  }
  std::string Done() {
    w_.EndObject();
    return std::move(out_);
  }

 private:
  std::string out_;
  base::JsonWriter w_;
};

#define SW_RETURN_IF_ERROR(expr)                       \
  do {                                                 \
    if (absl::Status s_ = (expr); !s_.ok()) return s_; \
  } while (false)

}  // namespace stillwatch::state
