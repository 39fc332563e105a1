#include "app/share_release.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/hex.h"
#include "base/json.h"
#include "base/str.h"
#include "dossier/archive.h"
#include "dossier/outputs.h"
#include "share/candidates/candidates.h"
#include "share/misp/write.h"
#include "share/stix/write.h"

namespace stillwatch::app {

using base::StrCat;

absl::StatusOr<std::string> ReadWhole(const std::string& path, size_t bytes_max) {
  std::ifstream in(path, std::ios::binary);
  std::string text;
  char piece[1 << 16];
  while (in.read(piece, sizeof piece) || in.gcount() > 0) {
    text.append(piece, static_cast<size_t>(in.gcount()));
    if (text.size() > bytes_max)
      return absl::InvalidArgumentError(
          StrCat(path, ": longer than ", bytes_max >> 20, " MiB; it is not read"));
  }
  if (in.bad() || !in.eof()) return absl::NotFoundError(path + ": cannot be read");
  return text;
}

absl::StatusOr<share::BlindingKey> ReadBlindingKey(const std::string& path) {
  auto seed = dossier::ReadKey(path);  // 64 hexadecimal digits that others may not read
  if (!seed.ok()) return seed.status();
  return *share::BlindingKey::FromHex(base::Hex(std::string_view(*seed)));
}

absl::StatusOr<share::Release> Release(const std::vector<const model::Campaign*>& campaigns,
                                       share::Audience audience, const share::BlindingKey* key,
                                       lake::Lake* lake) {
  std::vector<share::CandidateCampaign> candidates;
  for (const model::Campaign* c : campaigns) {
    if (c->verdict != model::Verdict::kDistillation && c->verdict != model::Verdict::kUnresolved)
      return absl::InvalidArgumentError(
          StrCat(c->id, ": is judged ", model::VerdictName(c->verdict),
                 "; only a distillation, or the suspicion of one (unresolved), may leave"));
    auto candidate = share::Candidates(*c, lake);
    if (!candidate.ok()) return candidate.status();
    candidates.push_back(std::move(*candidate));
  }
  return share::Gate(candidates, audience, key);
}

absl::StatusOr<std::vector<ExportFile>> Render(const share::Release& release,
                                               const ExportOptions& o) {
  std::vector<ExportFile> files;
  if (o.format == "stix") {
    share::stix::WriteOptions options;
    options.issuer = o.issuer;
    options.now_ms = o.now_ms;
    options.tlp = o.tlp;
    options.opinion = o.opinion;
    options.previous = o.previous;
    auto bundle = share::stix::Write(release, options);
    if (!bundle.ok()) return bundle.status();
    files.push_back({"", std::move(*bundle)});
    return files;
  }
  const share::misp::WriteOptions options{o.issuer, o.now_ms, o.tlp};
  if (o.format == "misp-event") {
    auto event = share::misp::WriteEvent(release, options);
    if (!event.ok()) return event.status();
    files.push_back({"", std::move(*event)});
    return files;
  }
  if (o.format != "misp-feed")
    return absl::InvalidArgumentError(
        StrCat("format: stix, misp-event or misp-feed, not '", o.format, "'"));
  auto feed = share::misp::WriteFeed(release, options);
  if (!feed.ok()) return feed.status();
  for (auto& f : *feed) files.push_back({std::move(f.name), std::move(f.bytes)});
  return files;
}

std::string Summary(const share::Release& release) {
  std::map<std::pair<std::string, std::string>, uint64_t> leaves;
  for (const auto& c : release.campaigns()) {
    ++leaves[{share::ItemTypeName(share::ItemType::kCampaignFigures), "plain"}];
    for (const share::Item& i : c.items)
      ++leaves[{share::ItemTypeName(i.type()), i.blinded() ? "blinded" : "plain"}];
    if (!c.attribution.empty())
      leaves[{share::ItemTypeName(share::ItemType::kAttribution), "plain"}] += c.attribution.size();
  }
  if (!release.sightings().empty()) leaves[{"sighting", "plain"}] = release.sightings().size();
  std::string out;
  base::JsonWriter w(&out);
  w.BeginObject();
  w.Key("audience");
  w.String(share::AudienceName(release.audience()));
  w.Key("campaigns");
  w.BeginArray();
  for (const auto& c : release.campaigns()) w.String(c.facts.key);
  w.EndArray();
  w.Key("leaves");
  w.BeginArray();
  for (const auto& [what, n] : leaves) {
    w.BeginObject();
    w.Key("type");
    w.String(what.first);
    w.Key("form");
    w.String(what.second);
    w.Key("count");
    w.Uint(n);
    w.EndObject();
  }
  w.EndArray();
  w.Key("stays");
  w.BeginArray();
  for (const share::Kept& k : release.kept()) {
    w.BeginObject();
    w.Key("type");
    w.String(share::ItemTypeName(k.type));
    w.Key("rule");
    w.String(share::RuleName(k.rule));
    w.Key("count");
    w.Uint(k.count);
    w.Key("why");
    w.String(k.why);
    w.EndObject();
  }
  w.EndArray();
  w.EndObject();
  return out;
}

absl::Status WriteExport(const std::string& to, const std::vector<ExportFile>& files) {
  namespace fs = std::filesystem;
  if (files.size() == 1 && files[0].name.empty()) {
    if (to != "-") return dossier::WriteWhole(to, files[0].bytes);
    std::fwrite(files[0].bytes.data(), 1, files[0].bytes.size(), stdout);
    return absl::OkStatus();
  }
  std::error_code error;
  fs::create_directories(to, error);
  if (error) return absl::InvalidArgumentError(StrCat(to, ": ", error.message()));
  // The manifest last: a reader of the feed finds what it names.
  for (const bool manifest : {false, true})
    for (const ExportFile& f : files)
      if ((f.name == "manifest.json") == manifest)
        if (absl::Status s = dossier::WriteWhole(StrCat(to, "/", f.name), f.bytes); !s.ok())
          return s;
  for (const fs::directory_entry& e : fs::directory_iterator(to, error)) {
    const std::string name = e.path().filename().string();
    const bool event = name.size() == 41 && name.ends_with(".json");
    if (event && std::none_of(files.begin(), files.end(),
                              [&](const ExportFile& f) { return f.name == name; }))
      fs::remove(e.path(), error);  // of a campaign that no longer holds
  }
  return absl::OkStatus();
}

}  // namespace stillwatch::app
