#include "serve/console/console.h"

#include <isa-l/igzip_lib.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "base/embedded_file.h"
#include "base/hash.h"
#include "base/str.h"

namespace stillwatch::serve {

extern const base::EmbeddedFile kConsoleFiles[];

namespace {

constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct File {
  std::string_view bytes;
  std::string gzip, type, tag;
};

std::string Gzip(std::string_view bytes) {
  std::string out(bytes.size() + bytes.size() / 8 + 256, 0);
  std::string level(ISAL_DEF_LVL3_LARGE, 0);
  isal_zstream z;
  isal_deflate_stateless_init(&z);
  z.gzip_flag = IGZIP_GZIP;
  z.level = 3;
  z.level_buf = reinterpret_cast<uint8_t*>(level.data());
  z.level_buf_size = static_cast<uint32_t>(level.size());
  z.end_of_stream = 1;
  z.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uint32_t>(bytes.size());
  z.next_out = reinterpret_cast<uint8_t*>(out.data());
  z.avail_out = static_cast<uint32_t>(out.size());
  if (isal_deflate_stateless(&z) != COMP_OK) std::abort();  // there was room
  out.resize(z.total_out);
  return out;
}

std::string TypeOf(std::string_view name) {
  const auto ends = [&](std::string_view with) { return name.ends_with(with); };
  return ends(".html")  ? "text/html; charset=utf-8"
         : ends(".js")  ? "text/javascript; charset=utf-8"
         : ends(".css") ? "text/css; charset=utf-8"
         : ends(".svg") ? "image/svg+xml"
                        : "application/octet-stream";
}

HttpReply Send(const File& file, const HttpRequest& request, bool named_by_content) {
  HttpReply reply;
  reply.content_type = file.type;
  reply.headers = {
      {"ETag", file.tag},
      {"Cache-Control", named_by_content ? "public, max-age=31536000, immutable" : "no-cache"},
      {"Vary", "Accept-Encoding"},
      {"Content-Security-Policy", kPolicy},
      {"Referrer-Policy", "no-referrer"}};
  if (request.Header("if-none-match") == file.tag) {
    reply.status = 304;
  } else if (request.Header("accept-encoding").find("gzip") != std::string_view::npos) {
    reply.headers.emplace_back("Content-Encoding", "gzip");
    reply.body = file.gzip;
  } else {
    reply.body = file.bytes;
  }
  return reply;
}

}  // namespace

void AddConsole(Router* router) {
  for (const base::EmbeddedFile* f = kConsoleFiles; !f->name.empty(); ++f) {
    const bool page = f->name == "index.html", asset = f->name.starts_with("index-");
    const auto file = std::make_shared<const File>(File{
        f->text, Gzip(f->text), TypeOf(f->name), base::StrCat("\"", base::Hash64(f->text), "\"")});
    const auto send = [file, asset](const HttpRequest& request) {
      return Send(*file, request, asset);
    };
    const auto at = [&](const std::string& path) {
      router->Add("GET", path, Role::kPublic, Speed::kInline, send);
    };
    if (!page) {
      at(base::StrCat(asset ? "/assets/" : "/", f->name));
      continue;
    }
    // The screens (console/src/app.tsx): the page finds out which from the address.
    for (const char* place :
         {"/", "/index.html", "/campaigns", "/campaigns/*", "/compare", "/holders", "/accounts/*",
          "/hunt", "/enforcement", "/directives", "/appeals", "/lists", "/sharing", "/sharing/in",
          "/detector", "/ingest", "/audit", "/settings"}) {
      at(place);
    }
  }
}

}  // namespace stillwatch::serve
