#include "serve/http/log.h"

#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "base/json.h"

namespace stillwatch::serve {

struct Log::State {
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
  size_t told = 0;  // of those overwritten
};

namespace {
spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}
}  // namespace

Log::Log(LogLevel level, const std::string& path) : state_(std::make_unique<State>()) {
  state_->pool = std::make_shared<spdlog::details::thread_pool>(kQueueMax, 1);
  spdlog::sink_ptr sink;
  if (path.empty())
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  else
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
  state_->logger = std::make_shared<spdlog::async_logger>(
      "serve", std::move(sink), state_->pool, spdlog::async_overflow_policy::overrun_oldest);
  state_->logger->set_pattern("{\"ts\":\"%Y-%m-%dT%H:%M:%S.%eZ\",\"level\":\"%l\",%v}",
                              spdlog::pattern_time_type::utc);
  state_->logger->flush_on(spdlog::level::info);
  SetLevel(level);
}

Log::~Log() {
  state_->logger->flush();
  state_->pool.reset();  // joins after what waits has been written
  state_->logger.reset();
}

void Log::SetLevel(LogLevel level) { state_->logger->set_level(LevelOf(level)); }

void Log::Flush() { state_->logger->flush(); }

void Log::Write(LogLevel level, std::string_view event, std::initializer_list<Field> fields) {
  if (!state_->logger->should_log(LevelOf(level))) return;
  std::string line = "\"event\":";
  base::AppendJsonString(event, &line);
  for (const Field& f : fields) {
    line.push_back(',');
    base::AppendJsonString(f.key, &line);
    line.push_back(':');
    if (const auto* s = std::get_if<std::string_view>(&f.value))
      base::AppendJsonString(*s, &line);
    else if (const auto* i = std::get_if<int64_t>(&f.value))
      line += std::to_string(*i);
    else if (const auto* d = std::get_if<double>(&f.value))
      base::AppendJsonNumber(*d, &line);
    else
      line += std::get<bool>(f.value) ? "true" : "false";
  }
  state_->logger->log(LevelOf(level), spdlog::string_view_t(line));
}

}  // namespace stillwatch::serve
