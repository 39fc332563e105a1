#include "app/indicators.h"

#include <simdjson.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>

#include "app/command.h"
#include "app/config.h"
#include "base/hash.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"

namespace stillwatch::app {
namespace {

using base::StrCat;
using judge::SharedIndicator;
using share::ItemType;
namespace fs = std::filesystem;

constexpr std::string_view kSchema = "stillwatch.indicators/1";
constexpr std::string_view kComparison = "stillwatch.comparison/1";
constexpr int64_t kComparisonDays = 90;  // cards and addresses are given back

// What the judge can match; other items are kept and shown.
std::optional<SharedIndicator::Kind> KindOf(ItemType t) {
  switch (t) {
    case ItemType::kTemplateSketch:
      return SharedIndicator::Kind::kTemplate;
    case ItemType::kPayment:
      return SharedIndicator::Kind::kPayment;
    case ItemType::kAddress:
      return SharedIndicator::Kind::kAddress;
    case ItemType::kMailDomain:
      return SharedIndicator::Kind::kMailDomain;
    case ItemType::kReferrer:
      return SharedIndicator::Kind::kReferrer;
    case ItemType::kRhythm:
      return SharedIndicator::Kind::kRhythm;
    default:
      return std::nullopt;
  }
}

ItemType TypeOf(SharedIndicator::Kind kind) {
  switch (kind) {
    case SharedIndicator::Kind::kPayment:
      return ItemType::kPayment;
    case SharedIndicator::Kind::kAddress:
      return ItemType::kAddress;
    case SharedIndicator::Kind::kMailDomain:
      return ItemType::kMailDomain;
    case SharedIndicator::Kind::kReferrer:
      return ItemType::kReferrer;
    case SharedIndicator::Kind::kRhythm:
      return ItemType::kRhythm;
    case SharedIndicator::Kind::kTemplate:
      break;
  }
  return ItemType::kTemplateSketch;
}

// False for a value that is not of its type's grammar.
bool Convert(const state::ImportedIndicator& from, std::vector<SharedIndicator>* to) {
  const auto type = share::ItemTypeNamed(from.type);
  if (!type) return false;
  const auto kind = KindOf(*type);
  SharedIndicator i;
  i.id = from.id, i.campaign = from.campaign, i.origin = from.source, i.type = from.type;
  i.reliability = from.reliability, i.credibility = from.credibility;
  const size_t colon = from.value.find(':');
  const auto item = from.blinded ? colon == std::string::npos
                                       ? std::nullopt
                                       : share::Item::Blinded(
                                             *type, std::string_view(from.value).substr(0, colon),
                                             std::string_view(from.value).substr(colon + 1))
                                 : share::Item::Parse(*type, from.value);
  if (!item) return false;
  if (!kind) return true;
  i.kind = *kind;
  if (i.kind == SharedIndicator::Kind::kTemplate) {
    if (from.blinded) return true;
    i.hashes = item->Hashes();
  } else if (i.kind == SharedIndicator::Kind::kRhythm) {
    if (from.blinded) return true;
    i.busy = item->HalfHours(&i.first_half_hour);
  } else if (from.blinded) {
    i.key = from.value.substr(0, colon);
    i.value = from.value.substr(colon + 1);
  } else {
    i.value = item->value();
  }
  to->push_back(std::move(i));
  return true;
}

absl::StatusOr<std::string> Load(const std::string& path, size_t bytes_max) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error || fs::is_directory(path))
    return absl::InvalidArgumentError(StrCat(path, ": cannot be read; name a file"));
  if (size > bytes_max)
    return absl::InvalidArgumentError(StrCat(path, ": longer than ", bytes_max >> 20, " MiB"));
  std::ifstream in(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  if (!in) return absl::InvalidArgumentError(StrCat(path, ": cannot be read"));
  return text;
}

absl::StatusOr<std::vector<state::ImportedIndicator>> FromOurs(const std::string& path,
                                                               const simdjson::dom::element& root) {
  std::vector<state::ImportedIndicator> out;
  try {
    for (const simdjson::dom::object o : simdjson::dom::array(root["indicators"])) {
      state::ImportedIndicator& i = out.emplace_back();
      const auto text = [&](const char* key) { return std::string(std::string_view(o[key])); };
      i.source = text("source"), i.id = text("id"), i.campaign = text("campaign");
      i.type = text("type"), i.value = text("value"), i.blinded = bool(o["blinded"]);
      const std::string grade = text("grade");
      i.modified_ms = int64_t(o["modified_ms"]);
      i.valid_from_ms = int64_t(o["valid_from_ms"]),
      i.valid_until_ms = int64_t(o["valid_until_ms"]);
      std::vector<SharedIndicator> ignored;
      if (grade.size() != 2 || grade[0] < 'A' || grade[0] > 'F' || grade[1] < '1' ||
          grade[1] > '6' || !Convert(i, &ignored)) {
        return absl::InvalidArgumentError(
            StrCat(path, ": /indicators/", out.size() - 1, ": not what this program writes"));
      }
      i.reliability = grade[0], i.credibility = grade[1] - '0';
    }
  } catch (const simdjson::simdjson_error& e) {
    return absl::InvalidArgumentError(
        StrCat(path, ": /indicators/", out.empty() ? 0 : out.size() - 1, ": ", e.what()));
  }
  return out;
}

// Of two versions the newer; what was revoked once stays so.
void Newer(state::ImportedIndicator i, state::ImportedIndicator* have) {
  const bool revoked = have->revoked || i.revoked;
  if (i.modified_ms > have->modified_ms) *have = std::move(i);
  have->revoked = revoked;
}

std::vector<state::ImportedIndicator> FromStix(const share::stix::Bundle& bundle) {
  std::vector<state::ImportedIndicator> out;
  std::map<std::string, size_t> places;  // a bundle may hold several versions of one object
  for (const share::Indicator& from : bundle.indicators) {
    state::ImportedIndicator i;
    i.id = from.id, i.campaign = from.campaign;
    i.source = from.origin.empty() ? from.created_by : from.origin;
    i.type = share::ItemTypeName(from.item.type()), i.value = from.item.value();
    i.blinded = from.item.blinded();
    i.tlp = from.tlp;
    i.credibility =
        from.credibility == 6 ? CredibilityOf(from.confidence) : std::max(2, from.credibility);
    i.modified_ms = from.modified_ms, i.valid_from_ms = from.valid_from_ms;
    i.valid_until_ms = from.valid_until_ms, i.revoked = from.revoked;
    const auto [place, fresh] = places.try_emplace(i.id, out.size());
    if (fresh)
      out.push_back(std::move(i));
    else
      Newer(std::move(i), &out[place->second]);
  }
  return out;
}

// What a private comparison found that both sides have: the peer's word, confirmed by our own set.
absl::StatusOr<ImportRows> FromComparison(const std::string& path, const std::string& text) {
  ImportRows out;
  std::string at = "/schema";
  simdjson::dom::parser parser;
  try {
    const simdjson::dom::object root = parser.parse(text);
    if (std::string_view(root["schema"]) != kComparison)
      return absl::InvalidArgumentError(StrCat(path, ": /schema: expected ", kComparison));
    at = "/peer";
    const std::string peer{std::string_view(root["peer"])};
    at = "/at";
    const auto ms = base::ParseRfc3339(std::string_view(root["at"]));
    if (!ms) return absl::InvalidArgumentError(StrCat(path, ": /at: expected a time, RFC 3339"));
    at = "/campaign";
    const std::string campaign{std::string_view(root["campaign"])};
    simdjson::dom::array matched;
    if (root["matched"].get(matched) != simdjson::SUCCESS) return out;  // how many, not which
    size_t n = 0;
    for (const simdjson::dom::object one : matched) {
      at = StrCat("/matched/", n++);
      const std::string_view family = one["family"], value = one["value"];
      const auto type = share::ItemTypeNamed(family);
      const auto item = type ? share::Item::Parse(*type, value) : std::nullopt;
      if (!item) {
        ++out.other;
        continue;
      }
      state::ImportedIndicator& i = out.indicators.emplace_back();
      i.id =
          StrCat("comparison--", base::Hex(base::Hash64(StrCat(peer, "\n", family, "\n", value))));
      i.campaign = campaign, i.source = peer;
      i.type = family, i.value = item->value();
      i.credibility = 1;
      i.modified_ms = i.valid_from_ms = *ms;
      i.valid_until_ms = *ms + kComparisonDays * base::kMsPerDay;
    }
  } catch (const simdjson::simdjson_error& e) {
    return absl::InvalidArgumentError(StrCat(path, ": ", at, ": ", e.what()));
  }
  return out;
}

}  // namespace

int CredibilityOf(int confidence) {
  return confidence < 0     ? 6
         : confidence >= 60 ? 2
         : confidence >= 40 ? 3
         : confidence >= 20 ? 4
                            : 5;
}

std::string IndicatorsJson(const std::vector<state::ImportedIndicator>& active) {
  std::string out;
  base::JsonWriter w(&out);
  w.BeginObject();
  w.Key("schema"), w.String(kSchema);
  w.Key("indicators"), w.BeginArray();
  for (const state::ImportedIndicator& i : active) {
    w.BeginObject();
    w.Key("source"), w.String(i.source);
    w.Key("id"), w.String(i.id);
    w.Key("campaign"), w.String(i.campaign);
    w.Key("type"), w.String(i.type);
    w.Key("value"), w.String(i.value);
    w.Key("blinded"), w.Bool(i.blinded);
    w.Key("grade"), w.String(StrCat(std::string(1, i.reliability), i.credibility));
    w.Key("modified_ms"), w.Int(i.modified_ms);
    w.Key("valid_from_ms"), w.Int(i.valid_from_ms);
    w.Key("valid_until_ms"), w.Int(i.valid_until_ms);
    w.EndObject();
  }
  w.EndArray();
  w.EndObject();
  return out + "\n";
}

absl::StatusOr<ImportRows> ReadBundle(const std::string& path) {
  auto text = Load(path, share::stix::ReadLimits().bytes);
  if (!text.ok()) return text.status();
  if (std::string_view(*text).substr(0, 64).find(kComparison) != std::string_view::npos)
    return FromComparison(path, *text);
  return BundleRows(path, *text, {});
}

absl::StatusOr<ImportRows> BundleRows(const std::string& name, std::string_view text,
                                      const share::stix::ReadLimits& limits) {
  auto bundle = share::stix::Read(text, limits);
  if (!bundle.ok())
    return absl::InvalidArgumentError(StrCat(name, ": ", std::string(bundle.status().message())));
  ImportRows out{FromStix(*bundle), {}, bundle->indicators_other};
  for (const share::Sighting& from : bundle->sightings) {
    state::ImportedSighting& s = out.sightings.emplace_back();
    s.source = from.origin.empty() ? from.created_by : from.origin;
    s.id = from.id, s.of = from.of, s.exchanges = from.exchanges;
    s.first_seen_ms = from.first_seen_ms, s.last_seen_ms = from.last_seen_ms;
    s.modified_ms = from.modified_ms, s.revoked = from.revoked;
  }
  return out;
}

absl::StatusOr<std::vector<SharedIndicator>> ReadIndicators(const std::vector<std::string>& paths,
                                                            int64_t now_ms, char reliability) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      files.push_back(path);
      continue;
    }
    const size_t first = files.size();
    for (const auto& entry : fs::directory_iterator(path, error))
      if (entry.path().extension() == ".json") files.push_back(entry.path().string());
    if (error)
      return absl::InvalidArgumentError(StrCat(path, ": cannot be read: ", error.message()));
    std::sort(files.begin() + static_cast<ptrdiff_t>(first), files.end());
  }
  if (files.size() > kIndicatorFiles)
    return absl::InvalidArgumentError(
        StrCat("--indicators: ", files.size(), " files; ", kIndicatorFiles, " is the most"));
  std::map<std::pair<std::string, std::string>, state::ImportedIndicator> newest;  // by source, id
  for (const std::string& path : files) {
    auto text = Load(path, kIndicatorBytes);
    if (!text.ok()) return text.status();
    absl::StatusOr<std::vector<state::ImportedIndicator>> rows;
    // Ours by its first member; all else has to be STIX and is told what it lacks.
    std::string_view start = std::string_view(*text).substr(0, 64);
    if (start.find(kSchema) != std::string_view::npos) {
      simdjson::dom::parser parser;
      simdjson::dom::element root;
      if (const auto e = parser.parse(*text).get(root); e != simdjson::SUCCESS)
        return absl::InvalidArgumentError(StrCat(path, ": not JSON: ", simdjson::error_message(e)));
      rows = FromOurs(path, root);
    } else {
      auto bundle = ReadBundle(path);
      if (!bundle.ok()) return bundle.status();
      for (state::ImportedIndicator& i : bundle->indicators) i.reliability = reliability;
      rows = std::move(bundle->indicators);
    }
    if (!rows.ok()) return rows.status();
    for (state::ImportedIndicator& i : *rows) {
      const auto key = std::pair(i.source, i.id);
      const auto [it, fresh] = newest.try_emplace(key, i);
      if (!fresh) Newer(std::move(i), &it->second);
    }
    if (newest.size() > judge::kSharedMax)
      return absl::InvalidArgumentError(
          StrCat("--indicators: more than ", judge::kSharedMax, " indicators"));
  }
  std::vector<SharedIndicator> out;
  for (const auto& [key, i] : newest) {
    if (i.revoked || i.valid_until_ms <= now_ms || i.valid_from_ms > now_ms) continue;
    if (!Convert(i, &out))
      return absl::InternalError(
          StrCat("indicator ", i.id, ": ", i.type, " is not of its grammar"));
  }
  return out;
}

absl::StatusOr<judge::Blind> BlindWith(const std::vector<std::string>& key_files) {
  if (key_files.empty()) return judge::Blind();
  if (key_files.size() > kBlindingKeys)
    return absl::InvalidArgumentError(StrCat("blinding keys: more than ", kBlindingKeys));
  auto keys = std::make_shared<std::map<std::string, share::BlindingKey>>();
  for (const std::string& file : key_files) {
    auto hex = ReadSecret({.env = {}, .file = file}, 64);
    if (!hex.ok()) return hex.status();
    const auto key = share::BlindingKey::FromHex(*hex);
    if (!key)
      return absl::InvalidArgumentError(
          StrCat(file, ": expected 64 hex digits, as `stillwatch share key` writes them"));
    keys->emplace(key->id(), *key);
  }
  return judge::Blind([keys](const std::string& id, SharedIndicator::Kind kind,
                             std::string_view value) -> std::string {
    const auto key = keys->find(id);
    if (key == keys->end()) return "";
    const auto item = share::Item::Parse(TypeOf(kind), value);
    if (!item) return "";
    const std::string blinded = item->Blind(key->second).value();
    return blinded.substr(blinded.find(':') + 1);
  });
}

}  // namespace stillwatch::app
