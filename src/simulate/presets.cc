#include "simulate/presets.h"

#include "base/embedded_file.h"

namespace stillwatch::simulate {

extern const base::EmbeddedFile kScenarioFiles[];

namespace {
constexpr std::string_view kEnding = ".yaml";
}

std::string_view FindPreset(std::string_view name) {
  for (const base::EmbeddedFile* f = kScenarioFiles; !f->name.empty(); ++f) {
    if (f->name.substr(0, f->name.size() - kEnding.size()) == name) return f->text;
  }
  return {};
}

std::vector<std::pair<std::string, std::string>> Presets() {
  std::vector<std::pair<std::string, std::string>> out;
  for (const base::EmbeddedFile* f = kScenarioFiles; !f->name.empty(); ++f) {
    const size_t title = f->text.find("\ntitle: ");
    std::string_view line =
        title == std::string_view::npos ? std::string_view() : f->text.substr(title + 8);
    line = line.substr(0, line.find('\n'));
    out.emplace_back(f->name.substr(0, f->name.size() - kEnding.size()), line);
  }
  return out;
}

}  // namespace stillwatch::simulate
