#include "dossier/audience.h"

#include "base/str.h"

namespace stillwatch::dossier {

const char* AudienceName(Audience a) {
  static constexpr const char* kNames[] = {"internal", "partner", "public"};
  return kNames[static_cast<int>(a)];
}

std::optional<Audience> AudienceNamed(std::string_view name) {
  for (const Audience a : {Audience::kInternal, Audience::kPartner, Audience::kPublic})
    if (name == AudienceName(a)) return a;
  return std::nullopt;
}

std::vector<Redaction> Redact(Audience audience, model::Campaign* c) {
  const bool internal = audience == Audience::kInternal, open = audience == Audience::kPublic;
  std::vector<Redaction> list;
  const auto kind = [&](const char* what, uint64_t count, bool leaves) {
    list.push_back({what, count, leaves});
    return !leaves;
  };
  uint64_t specimens = 0, exchanges = 0, queries = c->queries.size(), hashes = 0;
  for (const auto& t : c->templates) specimens += t.specimens.size(), hashes += t.hashes.size();
  for (const auto& e : c->evidence) exchanges += e.exchanges.size(), queries += !e.query.empty();

  if (kind("account ids", c->members.size(), internal)) {
    size_t n = 0;
    for (auto& m : c->members) {
      m.account_id = base::StrCat("account ", ++n);
      m.why.clear();  // may name other accounts
    }
  }
  if (kind("figures of each account", c->members.size(), !open)) c->members.clear();
  if (kind("exchange ids", exchanges, internal))
    for (auto& e : c->evidence) e.exchanges.clear();
  if (kind("queries over the kept lake", queries, internal)) {
    c->queries.clear();
    for (auto& e : c->evidence) e.query.clear();
  }
  if (kind("specimens of text", specimens, internal))
    for (auto& t : c->templates) t.specimens.clear();
  // Which scaffold it is can be confirmed from its hashes: they leave through the sharing gate
  // alone.
  if (kind("template hashes", hashes, internal))
    for (auto& t : c->templates) t.hashes.clear();
  if (kind("networks of its addresses", c->infrastructure.size(), !open)) c->infrastructure.clear();
  if (kind("attribution", c->attribution.size(), !open)) c->attribution.clear();
  c->addresses.clear();
  return list;
}

}  // namespace stillwatch::dossier
