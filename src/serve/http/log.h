// The service's log: one JSON object a line. Never give it a secret, a prompt or a response; who
// calls is named by the token's name, an account by its id.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace stillwatch::serve {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

// Thread-safe and never blocks on the disk: lines wait in a queue of kQueueMax for a writer; when
// that is full the oldest are overwritten and counted.
class Log {
 public:
  static constexpr size_t kQueueMax = 8192;
  using Value = std::variant<std::string_view, int64_t, double, bool>;
  struct Field {
    Field(std::string_view k, std::string_view v) : key(k), value(v) {}
    Field(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
    Field(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
    Field(std::string_view k, bool v) : key(k), value(v) {}
    Field(std::string_view k, double v) : key(k), value(v) {}
    template <std::integral T>
    Field(std::string_view k, T v) : key(k), value(int64_t(v)) {}
    std::string_view key;
    Value value;
  };

  // To standard error when `path` is empty, else appended to the file.
  explicit Log(LogLevel level = LogLevel::kInfo, const std::string& path = "");
  ~Log();  // writes what waits
  void SetLevel(LogLevel level);
  void Write(LogLevel level, std::string_view event, std::initializer_list<Field> fields = {});
  void Info(std::string_view event, std::initializer_list<Field> f = {}) {
    Write(LogLevel::kInfo, event, f);
  }
  void Warn(std::string_view event, std::initializer_list<Field> f = {}) {
    Write(LogLevel::kWarn, event, f);
  }
  void Error(std::string_view event, std::initializer_list<Field> f = {}) {
    Write(LogLevel::kError, event, f);
  }
  void Flush();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace stillwatch::serve
