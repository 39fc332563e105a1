// Any path and query to a server with a few objects (first line), with any Accept (second line);
// the rest is an object that was posted.
#include <simdjson.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/str.h"
#include "serve/taxii/taxii.h"
#include "share/collections/stamp.h"

namespace {

using namespace stillwatch;

struct World {
  std::string dir;
  std::unique_ptr<share::CollectionStore> store;
  serve::Router router;
  serve::Principal who;

  World() {
    std::string name = (std::filesystem::temp_directory_path() / "taxii-fuzz-XXXXXX").string();
    dir = mkdtemp(name.data());
    static std::atomic<int64_t> now{1'767'225'600'000'000};
    auto opened = share::CollectionStore::Open({.dir = dir, .now_us = [] { return ++now; }});
    if (!opened.ok()) std::abort();
    store = *std::move(opened);
    const auto c = store->Add({.alias = "c", .title = "C"});
    if (!c.ok()) std::abort();
    std::vector<share::NewObject> objects;
    for (int i = 0; i < 12; ++i) {
      char id[64];
      std::snprintf(id, sizeof id, "indicator--00000000-0000-4000-8000-%012d", i % 9);
      objects.push_back(
          {id, "indicator", base::StrCat("2026-01-0", 1 + i / 9, "T00:00:00Z"), "{}"});
    }
    if (!store->Put(c->id, objects, "p", "s", [](const auto&) { return std::string("{}"); }).ok())
      std::abort();
    who.name = "p";
    who.roles = serve::kAllRoles;
    serve::TaxiiContext context;
    context.store = store.get();
    context.now_us = [] { return ++now; };
    context.record = [](audit::AuditRecord) { return absl::OkStatus(); };
    serve::AddTaxiiRoutes(&router, std::move(context));
  }
  ~World() {
    store.reset();
    std::filesystem::remove_all(dir);
  }
};

std::string_view Line(std::string_view* all) {
  const size_t end = std::min(all->find('\n'), all->size());
  const std::string_view out = all->substr(0, end);
  all->remove_prefix(std::min(end + 1, all->size()));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World world;
  std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::string target = base::StrCat("/taxii2/", Line(&all));
  const std::string_view accept = Line(&all);
  serve::HttpRequest r;
  r.method = "GET";
  r.target = target;
  const size_t question = std::min(target.find('?'), target.size());
  r.path = r.target.substr(0, question);
  r.query = question < target.size() ? r.target.substr(question + 1) : std::string_view();
  r.headers = {{"Accept", accept}};
  r.principal = &world.who;
  auto match = world.router.Find(r.method, r.path);
  if (match.route != nullptr) {
    r.suffix = match.suffix;
    const serve::HttpReply reply = match.route->handler(r);
    if (reply.status != 200 && reply.status != 400 && reply.status != 404 && reply.status != 406)
      std::abort();
    simdjson::dom::parser parser;
    simdjson::dom::element e;
    if (parser.parse(reply.body).get(e) || !e.is_object()) std::abort();
    for (const auto& [key, value] : reply.headers) {
      if (key.starts_with("X-TAXII") && !share::ParseMicros(value)) std::abort();
    }
  }
  const auto object = serve::ReadTaxiiObject(all);
  if (object.ok()) {
    if (!object->id.starts_with(object->type + "--") || object->json != all) std::abort();
    if (!object->version.empty() && !share::ParseMicros(object->version)) std::abort();
  }
  return 0;
}
