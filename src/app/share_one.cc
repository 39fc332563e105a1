#include "app/share_one.h"

#include <algorithm>
#include <vector>

#include "app/command.h"
#include "app/share_release.h"
#include "base/json.h"
#include "base/str.h"
#include "share/stix/write.h"

namespace stillwatch::app {

absl::StatusOr<serve::Shared> ShareOne(const model::Campaign& campaign, lake::Lake* lake,
                                       const serve::ShareAsk& ask, const AudienceKeys& keys,
                                       const std::string& opinion) {
  const auto audience = share::AudienceNamed(ask.audience);
  if (!audience)
    return absl::InvalidArgumentError(base::StrCat(
        "audience: expected provider, cloud, government or public, not '", ask.audience, "'"));
  const auto key = keys.find(*audience);
  auto release = Release({&campaign}, *audience, key == keys.end() ? nullptr : &key->second, lake);
  if (!release.ok()) return release.status();
  serve::Shared out;
  out.campaign_name = campaign.name;
  out.summary = Summary(*release);
  if (ask.issuer.empty()) {
    std::vector<const share::Item*> items;
    for (const auto& c : release->campaigns())
      for (const share::Item& i : c.items)
        if (ask.type.empty() || ask.type == share::ItemTypeName(i.type())) items.push_back(&i);
    // As people count: account 9 before account 10.
    std::stable_sort(items.begin(), items.end(), [](const share::Item* a, const share::Item* b) {
      if (a->type() != b->type()) return a->type() < b->type();
      return a->type() == share::ItemType::kAccount && a->value().size() < b->value().size();
    });
    out.items_total = items.size();
    base::JsonWriter w(&out.items);
    w.BeginArray();
    for (size_t n = ask.offset; n < items.size() && n - ask.offset < ask.limit; ++n) {
      const share::Item& i = *items[n];
      w.BeginObject();
      w.Key("type");
      w.String(share::ItemTypeName(i.type()));
      w.Key("form");
      w.String(i.blinded() ? "blinded" : "plain");
      w.Key("value");
      w.String(i.value());
      w.EndObject();
    }
    w.EndArray();
    return out;
  }
  ExportOptions options;
  options.issuer = ask.issuer;
  options.opinion = opinion;
  options.now_ms = ask.now_ms;
  auto files = Render(*release, options);
  if (!files.ok()) return files.status();
  out.bundle = std::move((*files)[0].bytes);
  return out;
}

absl::StatusOr<std::string> RevocationOf(const std::string& issuer, std::string_view bundle) {
  return share::stix::Revoke(
      {.issuer = issuer, .now_ms = NowMs(), .tlp = {}, .opinion = {}, .previous = bundle});
}

}  // namespace stillwatch::app
