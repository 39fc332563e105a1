// Any bytes as the address of a lake: refused without the password in the message, or what is shown
// of it reads back as the same lake.
#include <cstdlib>

#include "lake/cluster/url.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stillwatch::lake;
  const std::string text(reinterpret_cast<const char*>(data), size);
  // The same with a password that the rest does not spell.
  static constexpr std::string_view kSecret = "\x7fsecret\x7f";
  if (const auto other = ParseLakeUrl("clickhouse://u:" + std::string(kSecret) + "@" + text);
      text.find(kSecret) == std::string::npos &&
      (other.ok() ? other->Shown() : std::string(other.status().message())).find(kSecret) !=
          std::string::npos)
    std::abort();
  (void)IsLakeUrl(text);
  const auto url = ParseLakeUrl(text);
  if (!url.ok()) return 0;
  if (!IsLakeUrl(text) || (url->hosts.empty() && url->socket.empty())) std::abort();
  const auto again = ParseLakeUrl(url->Shown());
  if (!again.ok() || again->hosts != url->hosts || again->socket != url->socket ||
      again->database != url->database || again->cluster != url->cluster)
    std::abort();
  return 0;
}
