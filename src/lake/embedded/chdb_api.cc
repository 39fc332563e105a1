#include "lake/embedded/chdb_api.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "base/str.h"

#ifdef STILLWATCH_SANITIZED
#include <pthread.h>
// libchdb.so takes these names from libc, which since 2.34 has them for old binaries alone. The
// sanitizers' interceptors look for them without a version, find none and would call null.
extern "C" int __pthread_mutex_lock(pthread_mutex_t* m) { return pthread_mutex_lock(m); }
extern "C" int __pthread_mutex_unlock(pthread_mutex_t* m) { return pthread_mutex_unlock(m); }
// The engine's threads have signal stacks of their own, which a sanitizer would unmap.
extern "C" const char* __asan_default_options() { return "use_sigaltstack=0"; }
// The engine holds more locks at once than the deadlock detector counts; its races are its own.
extern "C" const char* __tsan_default_options() { return "use_sigaltstack=0:detect_deadlocks=0"; }
// Weak: a program with Kafka has a longer list (serve/kafka/sanitized_threads.c).
extern "C" __attribute__((weak)) const char* __tsan_default_suppressions() {
  return "race:libchdb.so\n";
}
#endif

namespace stillwatch::lake {

absl::StatusOr<const ChdbApi*> LoadChdb() {
  static std::mutex mutex;
  static ChdbApi api;
  static bool loaded = false;
  const std::lock_guard<std::mutex> lock(mutex);
  if (loaded) return &api;
  std::vector<std::string> places;
  if (const char* named = std::getenv("STILLWATCH_CHDB"); named != nullptr && *named != '\0') {
    places.push_back(named);
  } else {
    std::error_code ignored;
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", ignored);
    places.push_back((self.parent_path() / "libchdb.so").string());
    places.push_back(STILLWATCH_CHDB_DIR "/libchdb.so");
  }
  void* handle = nullptr;
  std::string why;
  for (const std::string& place : places) {
    // RTLD_LOCAL: its symbols are for dlsym alone, so neither side's are mistaken for the other's.
    handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle != nullptr) break;
    const char* error = dlerror();
    base::StrAppend(&why, why.empty() ? "" : "; ", error == nullptr ? place.c_str() : error);
  }
  if (handle == nullptr) {
    return absl::FailedPreconditionError(
        base::StrCat("lake: the embedded engine libchdb.so cannot be loaded (", why,
                     "): run `make setup`, or set STILLWATCH_CHDB to the file"));
  }
  const char* missing = nullptr;
  const auto find = [&](const char* name, auto* function) {
    *function = reinterpret_cast<std::decay_t<decltype(*function)>>(dlsym(handle, name));
    if (*function == nullptr) missing = name;
  };
  find("chdb_connect", &api.connect);
  find("chdb_close_conn", &api.close);
  find("chdb_query_n", &api.query);
  find("chdb_stream_query_n", &api.stream);
  find("chdb_stream_fetch_result", &api.fetch);
  find("chdb_stream_cancel_query", &api.cancel);
  find("chdb_destroy_query_result", &api.destroy_result);
  find("chdb_result_buffer", &api.buffer);
  find("chdb_result_length", &api.length);
  find("chdb_result_error", &api.error);
  find("chdb_stream_insert_n", &api.insert);
  find("chdb_stream_append", &api.append);
  find("chdb_stream_done", &api.done);
  find("chdb_stream_insert_error", &api.insert_error);
  find("chdb_destroy_insert_stream", &api.destroy_insert);
  find("chdb_classify_query_n", &api.classify);
  find("chdb_set_signal_handlers_enabled", &api.signal_handlers);
  if (missing != nullptr) {
    dlclose(handle);
    return absl::FailedPreconditionError(
        base::StrCat("lake: libchdb.so has no ", missing,
                     ": it is of another version than the lock file names"));
  }
  api.signal_handlers(0);
  loaded = true;
  return &api;
}

}  // namespace stillwatch::lake
