#include "lake/engine_error.h"

#include <charconv>

#include "base/str.h"

namespace stillwatch::lake {
namespace {
constexpr std::string_view kCode = "Code: ";
constexpr std::string_view kException = "DB::Exception: ";
constexpr size_t kSentenceBytes = 600;
}  // namespace

int EngineCode(std::string_view error) {
  const size_t at = error.find(kCode);
  if (at == std::string_view::npos) return 0;
  int code = 0;
  (void)std::from_chars(error.data() + at + kCode.size(), error.data() + error.size(), code);
  return code;
}

std::string EngineSentence(std::string_view error) {
  while (error.substr(0, kCode.size()) == kCode) {
    const size_t at = error.find(kException);
    if (at == std::string_view::npos) break;
    error.remove_prefix(at + kException.size());
  }
  error = error.substr(0, error.find(" (version "));
  error = error.substr(0, error.find("\nStack trace"));
  error = error.substr(0, error.find(", e.what() = "));  // as servers of 2018 end it
  // ": while executing ..." and what follows is the engine's plan; the code's name is kept.
  std::string text(error);
  if (const size_t plan = text.find(": while executing "); plan != std::string::npos) {
    const size_t name = text.rfind(" (");
    text = text.substr(0, plan) + (name != std::string::npos && name > plan && text.back() == ')' ? text.substr(name) : "");
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  if (text.size() > kSentenceBytes) text = text.substr(0, kSentenceBytes) + "...";
  return text;
}

absl::Status EngineError(std::string_view what, std::string_view error, absl::StatusCode otherwise) {
  const int code = EngineCode(error);
  const std::string text = base::StrCat("lake: ", what, ": ", EngineSentence(error));
  if (code == 243 || error.find("No space left on device") != std::string_view::npos ||
      error.find("errno: 28") != std::string_view::npos) {
    return absl::ResourceExhaustedError(base::StrCat(text, "; the disk is full: free space and run again"));
  }
  if (code == 241) return absl::ResourceExhaustedError(text);
  if (code == 159 || code == 160) return absl::DeadlineExceededError(text);
  if (code == 0 || code == 49 || code == 1001) return absl::InternalError(text);
  return absl::Status(otherwise, text);
}

}  // namespace stillwatch::lake
