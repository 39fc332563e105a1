// Any bytes as paths, queries, header values, hashes of tokens and compressed bodies.
#include <cstdint>
#include <cstdlib>

#include "serve/http/body.h"
#include "serve/http/router.h"
#include "serve/http/tokens.h"

namespace {

using namespace stillwatch::serve;

Router* MakeRouter() {
  auto* r = new Router;
  for (const char* pattern : {"/a", "/a/{id}", "/a/{id}/close", "/a/b/*", "/{x}/{y}"}) {
    r->Add("GET", pattern, Role::kPublic, Speed::kInline,
           [](const HttpRequest&) { return JsonReply("{}"); });
  }
  return r;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Router& router = *MakeRouter();
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t question = std::min(all.find('?'), all.size());
  const auto match = router.Find("GET", all.substr(0, question));
  if (match.route != nullptr) {
    for (const auto& [name, value] : match.params) {
      if (name.empty() || value.size() > size) std::abort();
    }
  }
  HttpRequest r;
  r.query = question < all.size() ? all.substr(question + 1) : std::string_view();
  const auto v = r.Query("id");
  if (v && v->size() > size) std::abort();
  r.headers = {{"content-type", all}};
  if (r.ContentType().size() > size) std::abort();
  if (const auto hash = ParseTokenHash(all); hash && ParseTokenHash(TokenHashHex(*hash)) != hash)
    std::abort();
  // Whatever comes in, no more comes out than was allowed.
  constexpr size_t kLimit = 1 << 16;
  std::string out;
  for (const char* encoding : {"gzip", "zstd", "identity"}) {
    const absl::Status s = Decompress(encoding, all, kLimit, &out);
    if (s.ok() && out.size() > kLimit) std::abort();
    if (out.size() > kLimit + 1) std::abort();
  }
  return 0;
}
