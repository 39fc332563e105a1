#include "share/taxii/media.h"

#include <algorithm>
#include <string>

namespace stillwatch::share {
namespace {

std::string_view Trim(std::string_view v) {
  while (!v.empty() && (v.front() == ' ' || v.front() == '\t')) v.remove_prefix(1);
  while (!v.empty() && (v.back() == ' ' || v.back() == '\t')) v.remove_suffix(1);
  return v;
}

std::string Lower(std::string_view v) {
  std::string out(v);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = char(c | 0x20);
  }
  return out;
}

// The parts between separators that stand outside quotes; false from `each` ends it.
template <typename F>
void Split(std::string_view text, char separator, F each) {
  bool quoted = false;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] == '"') quoted = !quoted;
    if (i < text.size() && (text[i] != separator || quoted)) continue;
    if (!each(Trim(text.substr(begin, i - begin)))) return;
    begin = i + 1;
  }
}

struct Media {
  std::string type, version;
  bool refused = false;  // q=0
};

Media MediaOf(std::string_view text) {
  Media out;
  bool first = true;
  Split(text, ';', [&](std::string_view part) {
    if (first) {
      out.type = Lower(part);
      first = false;
      return true;
    }
    const size_t eq = std::min(part.find('='), part.size());
    const std::string key = Lower(Trim(part.substr(0, eq)));
    std::string_view value = Trim(part.substr(std::min(eq + 1, part.size())));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
      value = value.substr(1, value.size() - 2);
    if (key == "version") out.version = value;
    if (key == "q")
      out.refused = value.starts_with("0") && value.find_first_not_of("0.") == value.npos;
    return true;
  });
  return out;
}

bool Ours(const Media& m) {
  return m.type == "application/taxii+json" && (m.version.empty() || m.version == "2.1");
}

}  // namespace

bool AcceptsTaxii(std::string_view accept) {
  if (Trim(accept).empty()) return true;
  bool found = false;
  Split(accept, ',', [&](std::string_view one) {
    const Media m = MediaOf(one);
    found = !m.refused && (m.type == "*/*" || m.type == "application/*" || Ours(m));
    return !found;
  });
  return found;
}

bool IsTaxii(std::string_view content_type) { return Ours(MediaOf(content_type)); }

}  // namespace stillwatch::share
