#include "engine/live_store.h"

#include <simdjson.h>

#include <algorithm>

#include "base/hash.h"
#include "base/json.h"
#include "base/str.h"
#include "dossier/outputs.h"

namespace stillwatch::engine {
namespace {

using base::StrCat;

constexpr char kNote[] = "watch.passes";

// The campaign's object of campaigns.json under its lasting id, and what only passes know.
absl::StatusOr<std::string> Json(const model::Campaign& c, const std::string& finding_id, bool open,
                                 double bits_short, bool dismissed) {
  const std::string file = dossier::CampaignsJson({&c, 1});
  simdjson::dom::parser parser;
  simdjson::dom::element object;
  if (parser.parse(file)["campaigns"].at(0).get(object) != simdjson::SUCCESS)
    return absl::InternalError(StrCat("campaign ", c.id, " cannot be written as JSON"));
  std::string out = "{\"finding_id\":";
  base::AppendJsonString(finding_id, &out);
  out += StrCat(",\"open\":", open ? "true" : "false", ",\"gate_bits_short\":");
  base::AppendJsonNumber(bits_short, &out);
  if (dismissed) out += ",\"dismissed\":true";
  return out + "," + simdjson::minify(object).substr(1);
}

std::string Details(const watch::Event& e) {
  std::string out;
  base::JsonWriter w(&out);
  const auto text = [&](const char* key, std::string_view v) {
    w.Key(key);
    w.String(v);
  };
  w.BeginObject();
  if (!e.other.empty()) text("other", e.other);
  if (e.change == watch::Change::kVerdict) text("before", model::VerdictName(e.before));
  text("verdict", model::VerdictName(e.verdict));
  w.Key("probability");
  w.Double(e.probability);
  w.Key("exchanges");
  w.Uint(e.exchanges);
  w.Key("accounts");
  w.Uint(e.accounts);
  w.Key("open");
  w.Bool(e.open);
  w.EndObject();
  return out;
}

}  // namespace

absl::StatusOr<std::string> StateStore::Load() {
  auto note = state_->GetNote(kNote);
  if (!note.ok()) return note.status();
  return std::move(note->value);
}

absl::Status StateStore::Commit(const PassFindings& pass, const watch::Identities& identities,
                                std::string_view bytes) {
  state::PassResult result;
  result.pass.began_ms = pass.began_ms;
  result.pass.ended_ms = pass.ended_ms;
  result.pass.since_ms = std::max<int64_t>(0, pass.since_ms);  // 0: from the beginning
  result.pass.until_ms = pass.ended_ms;
  {
    base::JsonWriter w(&result.pass.details);
    result.pass.details.clear();
    w.BeginObject();
    const auto number = [&](const char* key, uint64_t v) {
      w.Key(key);
      w.Uint(v);
    };
    number("number", pass.pass);
    number("exchanges", pass.exchanges);
    number("accounts", pass.accounts);
    number("campaigns", pass.findings.campaigns.size());
    w.EndObject();
  }
  std::unordered_map<std::string, uint64_t> written;
  for (size_t i = 0; i < pass.findings.campaigns.size(); ++i) {
    const model::Campaign& c = pass.findings.campaigns[i];
    for (const model::ImportRef& r : c.imports)
      result.hits.push_back({c.id, r.origin, r.id, r.accounts, r.exchanges});
    auto json = Json(c, pass.finding_ids[i], pass.open[i], pass.bits_short[i],
                     i < pass.dismissed.size() && pass.dismissed[i] != 0);
    if (!json.ok()) return json.status();
    uint64_t hash = base::Hash64(*json);
    for (const model::CampaignMember& m : c.members) {
      hash = base::Combine64(hash, base::Hash64(StrCat(m.account_id, " ", m.verdict, " ",
                                                       m.exchanges, " ", m.attributed_exchanges)));
    }
    const auto before = written_.find(c.id);
    written[c.id] = hash;
    if (before != written_.end() && before->second == hash) continue;
    state::PassResult::Changed changed;
    state::Campaign& to = changed.campaign;
    to.id = c.id;
    to.finding_id = pass.finding_ids[i];
    to.name = c.name;
    to.status = "current";
    to.verdict = model::VerdictName(c.verdict);
    to.rival = model::VerdictName(c.rival.verdict);
    to.probability = c.probability;
    to.rival_probability = c.rival.probability;
    to.accounts = c.accounts;
    to.exchanges = c.exchanges;
    to.input_tokens = c.input_tokens;
    to.output_tokens = c.output_tokens;
    to.first_seen_ms = c.first_seen_ms;
    to.last_seen_ms = c.last_seen_ms;
    if (!c.capabilities.empty()) to.capability = model::CapabilityName(c.capabilities[0].first);
    uint32_t families = 0;
    for (const model::Evidence& e : c.evidence)
      if (e.bits > 0) families |= 1u << static_cast<int>(e.family);
    for (int f = 0; f < model::kFamilies; ++f)
      if (families >> f & 1)
        to.families.emplace_back(model::FamilyName(static_cast<model::Family>(f)));
    to.json = *std::move(json);
    to.opened_ms = to.changed_ms = pass.ended_ms;
    changed.members_given = true;
    for (const model::CampaignMember& m : c.members) {
      changed.members.push_back({m.account_id, m.pool_id, m.verdict, m.why, m.probability,
                                 m.exchanges, m.attributed_exchanges});
    }
    result.campaigns.push_back(std::move(changed));
  }
  for (const watch::Event& e : pass.events) {
    state::CampaignEvent event;
    event.campaign_id = e.id;
    event.ms = pass.ended_ms;
    event.kind = watch::ChangeName(e.change);
    event.details = Details(e);
    result.events.push_back(std::move(event));
    if (e.change != watch::Change::kMerged && e.change != watch::Change::kFaded) continue;
    // What is no finding any more keeps what was last known of it.
    auto row = state_->GetCampaign(e.id);
    if (absl::IsNotFound(row.status())) continue;
    if (!row.ok()) return row.status();
    state::PassResult::Changed gone;
    gone.campaign = *std::move(row);
    const watch::Identity* i = identities.Find(e.id);
    gone.campaign.status = e.change == watch::Change::kMerged ? "merged" : "gone";
    gone.campaign.merged_into = i == nullptr ? "" : i->merged_into;
    gone.campaign.changed_ms = pass.ended_ms;
    result.campaigns.push_back(std::move(gone));
  }
  result.notes[kNote] = std::string(bytes);
  if (auto id = state_->RecordPass(result); !id.ok()) return id.status();
  written_ = std::move(written);
  return absl::OkStatus();
}

}  // namespace stillwatch::engine
