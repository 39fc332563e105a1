#include "engine/snapshot.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/csv.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/time.h"

namespace stillwatch::engine {
namespace {

using base::StrCat;
using model::Verdict;

constexpr size_t kAttributedMax = 8 << 20;  // exchanges of open campaigns that are told apart
constexpr size_t kSketchesMax = 65'536;     // of them that are recognised when sent again, about
constexpr int kOrdinaryEach = 64;           // exchanges of one account in the sample
constexpr int64_t kTrafficStepMs = base::kMsPerHour;

const lake::StringColumn& Text(const lake::Block& b, size_t column) {
  return b.columns[column].As<lake::StringColumn>();
}

struct Replayed {
  uint64_t signature;
  uint32_t campaign;
  std::string issued_to;
};

struct Sketched {
  uint32_t campaign;
  std::vector<uint32_t> turn;
};

// Exchanges of open campaigns by the hash of their ids, and how the lake knows those campaigns.
struct Attributed {
  // Ascending. In one piece, which goes back to the system: what is allocated while this is there
  // stays, and above millions of small pieces it would keep them all.
  std::vector<std::pair<uint64_t, uint32_t>> campaign_of;
  std::optional<uint32_t> CampaignOf(std::string_view exchange) const {
    const uint64_t hash = base::Hash64(exchange);
    const auto it = std::lower_bound(campaign_of.begin(), campaign_of.end(),
                                     std::pair<uint64_t, uint32_t>(hash, 0));
    if (it == campaign_of.end() || it->first != hash) return std::nullopt;
    return it->second;
  }
  std::string open;       // "'id','id'", as its table `attributed` has them; empty: none
  std::string replaying;  // likewise, those with evidence of replays
};

absl::StatusOr<Attributed> ReadAttributed(const PassFindings& pass) {
  Attributed out;
  std::unordered_map<std::string, uint32_t> wanted;  // finding -> campaign
  const auto list = [](const std::string& id, std::string* to) {
    *to += (to->empty() ? "" : ",") + lake::SqlString(id);
  };
  for (size_t i = 0; i < pass.findings.campaigns.size(); ++i) {
    if (!pass.open[i]) continue;
    wanted[pass.finding_ids[i]] = static_cast<uint32_t>(i);
    list(pass.finding_ids[i], &out.open);
    const auto& evidence = pass.findings.campaigns[i].evidence;
    if (std::any_of(evidence.begin(), evidence.end(), [](const model::Evidence& e) {
          return e.family == model::Family::kReplay && e.bits > 0;
        })) {
      list(pass.finding_ids[i], &out.replaying);
    }
  }
  if (wanted.empty()) return out;
  auto rows =
      base::CsvReader::Open(pass.dir + "/exchanges.csv", "exchange_id,account_id,campaign_id");
  if (!rows.ok()) return rows.status();
  for (std::vector<std::string> cells; out.campaign_of.size() < kAttributedMax;) {
    const auto more = rows->Next(&cells);
    if (!more.ok()) return more.status();
    if (!*more) break;
    if (const auto it = wanted.find(cells[2]); it != wanted.end())
      out.campaign_of.emplace_back(base::Hash64(cells[0]), it->second);
  }
  std::sort(out.campaign_of.begin(), out.campaign_of.end());
  return out;
}

// A sample of what was asked in open campaigns.
absl::StatusOr<std::vector<Sketched>> ReadSketches(const Attributed& of, lake::Lake* lake) {
  std::vector<Sketched> out;
  if (of.open.empty()) return out;
  const uint64_t one_in = 1 + of.campaign_of.size() / kSketchesMax;
  const absl::Status s = lake->Query(
      StrCat(
          "SELECT exchange_id, turn_sketch FROM exchanges WHERE length(turn_sketch) >= ",
          respond::kPatternHashesMin, " AND cityHash64(exchange_id) % ", one_in,
          " = 0 AND account_id GLOBAL IN (SELECT account_id FROM attributed WHERE campaign_id IN (",
          of.open, "))"),
      [&](const lake::Block& b) {
        const auto& turn = b.columns[1].As<lake::ArrayColumn<uint32_t>>();
        for (size_t i = 0; i < b.rows(); ++i) {
          if (out.size() >= 2 * kSketchesMax) break;
          if (const auto campaign = of.CampaignOf(Text(b, 0)[i]))
            out.push_back({*campaign, {turn.begin(i), turn.end(i)}});
        }
        return absl::OkStatus();
      });
  if (!s.ok()) return s;
  return out;
}

// Signatures that exchanges of open campaigns presented and that were issued to others.
absl::StatusOr<std::vector<Replayed>> ReadReplayed(const Attributed& of, lake::Lake* lake) {
  std::vector<Replayed> out;
  if (of.replaying.empty()) return out;
  struct Presented {
    uint64_t signature, account;
    uint32_t campaign;
    auto operator<=>(const Presented&) const = default;
  };
  std::vector<Presented> presented;
  // By subqueries: a statement with a long list would be refused.
  const std::string of_members = StrCat(
      "notEmpty(signatures_presented) AND account_id GLOBAL IN (SELECT account_id FROM attributed "
      "WHERE campaign_id IN (",
      of.replaying, "))");
  absl::Status s = lake->Query(
      StrCat("SELECT exchange_id, account_id, signatures_presented FROM exchanges WHERE ",
             of_members),
      [&](const lake::Block& b) {
        const auto& signatures = b.columns[2].As<lake::ArrayColumn<uint64_t>>();
        for (size_t i = 0; i < b.rows(); ++i) {
          const auto campaign = of.CampaignOf(Text(b, 0)[i]);
          if (!campaign) continue;
          for (const uint64_t* x = signatures.begin(i); x != signatures.end(i); ++x)
            presented.push_back({*x, base::Hash64(Text(b, 1)[i]), *campaign});
        }
        return absl::OkStatus();
      });
  if (!s.ok()) return s;
  std::sort(presented.begin(), presented.end());
  presented.erase(std::unique(presented.begin(), presented.end()), presented.end());
  s = lake->Query(
      StrCat("SELECT s, account_id FROM (SELECT account_id, arrayJoin(signatures_issued) AS s FROM "
             "exchanges WHERE notEmpty(signatures_issued)) WHERE s GLOBAL IN (SELECT "
             "arrayJoin(signatures_presented) FROM exchanges WHERE ",
             of_members, ") GROUP BY s, account_id ORDER BY s, account_id"),
      [&](const lake::Block& b) {
        const auto& signatures = b.columns[0].As<std::vector<uint64_t>>();
        for (size_t i = 0; i < b.rows(); ++i) {
          const std::string_view to = Text(b, 1)[i];
          const uint64_t owner = base::Hash64(to);
          for (auto it = std::lower_bound(presented.begin(), presented.end(),
                                          Presented{signatures[i], 0, 0});
               it != presented.end() && it->signature == signatures[i]; ++it) {
            const bool told = !out.empty() && out.back().signature == it->signature &&
                              out.back().campaign == it->campaign && out.back().issued_to == to;
            if (it->account != owner && !told && out.size() < kReplayedMax)
              out.push_back({it->signature, it->campaign, std::string(to)});
          }
        }
        return absl::OkStatus();
      });
  if (!s.ok()) return s;
  return out;
}

}  // namespace

struct SnapshotMaker::Facts {
  // account_id, org_id, org_verified, plan, channel, kyc, country, citizenship
  std::vector<lake::Block> accounts;
  std::vector<lake::Block> keys;                           // api_key_id, account_id
  std::vector<std::pair<std::string, Replayed>> replayed;  // lasting id of the campaign
  std::vector<std::pair<std::string, std::vector<uint32_t>>> sketches;  // likewise
  // account_id, ts, system_sketch, turn_sketch of a sample of what no open campaign did
  std::vector<lake::Block> ordinary;
};

absl::Status SnapshotMaker::Take(const PassFindings& pass, lake::Lake* lake) {
  auto campaigns = std::make_shared<std::vector<model::Campaign>>();
  for (size_t i = 0; i < pass.findings.campaigns.size(); ++i)
    campaigns->push_back(ForDecisions(pass.findings.campaigns[i], pass.open[i]));
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    campaigns_ = std::move(campaigns);
    as_of_ms_ = pass.ended_ms;
  }
  auto facts = std::make_shared<Facts>();
  const auto keep = [](std::vector<lake::Block>* to, size_t max) {
    return [to, max, n = size_t{0}](const lake::Block& b) mutable -> absl::Status {
      n += b.rows();
      if (n > max) {
        return absl::ResourceExhaustedError(
            StrCat("more than ", max,
                   " accounts or keys are in the lake: decisions go by those read "
                   "before"));
      }
      if (b.rows() > 0) to->push_back(b);
      return absl::OkStatus();
    };
  };
  absl::Status s = lake->Query(
      "SELECT account_id, argMin(org_id, content), argMin(org_verified, content), "
      "argMin(plan, content), argMin(channel, content), argMin(kyc, content), "
      "argMin(country, content), argMin(citizenship, content) FROM accounts GROUP BY account_id",
      keep(&facts->accounts, kSnapshotAccountsMax));
  if (!s.ok()) return s;
  s = lake->Query(StrCat("SELECT api_key_id, account_id FROM exchanges WHERE api_key_id != ''",
                         pass.since_ms == INT64_MIN ? "" : StrCat(" AND ts >= ", pass.since_ms),
                         " GROUP BY api_key_id, account_id"),
                  keep(&facts->keys, kSnapshotKeysMax));
  if (!s.ok()) return s;
  const auto attributed = ReadAttributed(pass);
  if (!attributed.ok()) return attributed.status();
  auto replayed = ReadReplayed(*attributed, lake);
  if (!replayed.ok()) return replayed.status();
  for (Replayed& r : *replayed) {
    const std::string& id = pass.findings.campaigns[r.campaign].id;
    facts->replayed.emplace_back(id, std::move(r));
  }
  auto sketches = ReadSketches(*attributed, lake);
  if (!sketches.ok()) return sketches.status();
  for (Sketched& k : *sketches)
    facts->sketches.emplace_back(pass.findings.campaigns[k.campaign].id, std::move(k.turn));
  if (!attributed->open.empty()) {
    const uint64_t one_in = 1 + pass.exchanges / respond::kOrdinaryMax;
    s = lake->Query(
        StrCat(
            "SELECT account_id, ts, system_sketch, turn_sketch FROM exchanges WHERE features != 0 "
            "AND cityHash64(exchange_id) % ",
            one_in, " = 0", pass.since_ms == INT64_MIN ? "" : StrCat(" AND ts >= ", pass.since_ms),
            " AND exchange_id GLOBAL NOT IN (SELECT exchange_id FROM attributed WHERE campaign_id "
            "IN (",
            attributed->open, ") AND cityHash64(exchange_id) % ", one_in, " = 0) LIMIT ",
            kOrdinaryEach, " BY account_id LIMIT ", respond::kOrdinaryMax),
        [&](const lake::Block& b) {
          if (b.rows() > 0) facts->ordinary.push_back(b);
          return absl::OkStatus();
        });
    if (!s.ok()) return s;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  facts_ = std::move(facts);
  return absl::OkStatus();
}

void SnapshotMaker::ActsOn(std::function<bool(const model::ImportRef&)> acts) {
  const std::lock_guard<std::mutex> lock(mutex_);
  acts_ = std::move(acts);
}

absl::StatusOr<std::shared_ptr<const respond::Snapshot>> SnapshotMaker::Make(
    respond::Policy policy, const state::Enforcement& enforcement,
    std::span<const uint8_t, 16> appeal_key, int64_t now_ms) const {
  std::shared_ptr<const Facts> facts;
  std::shared_ptr<const std::vector<model::Campaign>> campaigns;
  std::function<bool(const model::ImportRef&)> acts;
  int64_t as_of = now_ms;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    facts = facts_;
    campaigns = campaigns_;
    acts = acts_;
    if (as_of_ms_ > 0) as_of = as_of_ms_;
  }
  respond::SnapshotBuilder builder(std::move(policy));
  // What holds of each account, beside its record.
  std::vector<const state::Attestation*> attested;
  for (const state::Attestation& a : enforcement.attestations)
    if (a.valid_until_ms == 0 || a.valid_until_ms > now_ms) attested.push_back(&a);
  std::stable_sort(attested.begin(), attested.end(),
                   [](const auto* x, const auto* y) { return x->account_id < y->account_id; });
  std::vector<uint8_t> used(attested.size());
  std::vector<std::pair<std::string_view, std::string_view>> more;
  const auto add = [&](respond::AccountFacts f) {
    more.clear();
    auto it = std::lower_bound(
        attested.begin(), attested.end(), f.account_id,
        [](const auto* a, std::string_view id) { return std::string_view(a->account_id) < id; });
    for (; it != attested.end() && (*it)->account_id == f.account_id; ++it) {
      used[static_cast<size_t>(it - attested.begin())] = 1;
      if ((*it)->kind == "country")
        f.country = (*it)->value;
      else if ((*it)->kind == "citizenship")
        f.citizenship = (*it)->value;
      else if ((*it)->kind == "kyc")
        f.kyc = (*it)->value;
      else
        more.emplace_back((*it)->kind, (*it)->value);
    }
    f.attestations = more;
    builder.AddAccount(f);
  };
  if (facts != nullptr) {
    size_t n = 0;
    for (const lake::Block& b : facts->accounts) n += b.rows();
    builder.ExpectAccounts(n);
    for (const lake::Block& b : facts->accounts) {
      const auto& verified = b.columns[2].As<std::vector<uint8_t>>();
      for (size_t i = 0; i < b.rows(); ++i) {
        respond::AccountFacts f;
        f.account_id = Text(b, 0)[i];
        f.org_id = Text(b, 1)[i];
        f.org_verified = verified[i] != 0;
        f.plan = Text(b, 3)[i];
        f.channel = Text(b, 4)[i];
        f.kyc = Text(b, 5)[i];
        f.country = Text(b, 6)[i];
        f.citizenship = Text(b, 7)[i];
        add(f);
      }
    }
    for (const lake::Block& b : facts->keys)
      for (size_t i = 0; i < b.rows(); ++i) builder.AddKey(Text(b, 0)[i], Text(b, 1)[i]);
  }
  for (size_t i = 0; i < attested.size(); ++i) {
    if (used[i]) continue;
    respond::AccountFacts f;
    f.account_id = attested[i]->account_id;
    add(f);
  }
  if (campaigns != nullptr) {
    std::unordered_map<std::string_view, const model::Campaign*> accused;
    for (const model::Campaign& c : *campaigns) {
      if (acts && c.rests_on_imports && !std::all_of(c.imports.begin(), c.imports.end(), acts)) {
        builder.AddCampaign(ForDecisions(c, false));
        continue;
      }
      builder.AddCampaign(c);
      if (c.verdict == Verdict::kDistillation) accused[c.id] = &c;
    }
    if (facts != nullptr) {
      for (const auto& [campaign, r] : facts->replayed)
        if (accused.contains(campaign)) builder.AddReplayed(campaign, r.signature, r.issued_to);
      for (const auto& [campaign, turn] : facts->sketches)
        if (accused.contains(campaign)) builder.AddSketch(campaign, turn);
      for (const lake::Block& b : facts->ordinary) {
        const auto& ts = b.columns[1].As<std::vector<int64_t>>();
        const auto& system = b.columns[2].As<lake::ArrayColumn<uint32_t>>();
        const auto& turn = b.columns[3].As<lake::ArrayColumn<uint32_t>>();
        for (size_t i = 0; i < b.rows(); ++i) {
          builder.AddOrdinary(Text(b, 0)[i], ts[i], {system.begin(i), system.end(i)},
                              {turn.begin(i), turn.end(i)});
        }
      }
    }
  }
  for (const auto& [list, entries] : enforcement.lists) {
    for (const state::ListEntry& e : entries) {
      auto entry = respond::ParseListEntry(e.value);
      if (!entry) continue;  // the state takes none that cannot be read
      if (e.expires_ms > 0) entry->until_ms = e.expires_ms;
      entry->note = e.reason;
      builder.AddListEntry(list, *std::move(entry));
    }
  }
  for (const state::Overturned& o : enforcement.overturned)
    builder.AddOverturned({.account_id = o.account_id, .campaign_id = o.campaign_id});
  return builder.Build(as_of, appeal_key);
}

absl::StatusOr<uint64_t> LakeMark(lake::Lake* lake) {
  uint64_t mark = 0;
  // A pass may load the file of accounts anew: the same records are nothing new.
  for (const char* sql : {"SELECT count() FROM exchanges",
                          "SELECT count() FROM (SELECT account_id, content FROM accounts GROUP BY "
                          "account_id, content)"}) {
    uint64_t n = 0;
    const absl::Status s = lake->Query(sql, [&](const lake::Block& b) {
      if (b.rows() > 0) n = b.columns[0].As<std::vector<uint64_t>>()[0];
      return absl::OkStatus();
    });
    if (!s.ok()) return s;
    mark = base::Combine64(mark, n);
  }
  return mark;
}

respond::Traffic LakeTraffic(lake::Lake* lake, int64_t since_ms, int64_t until_ms,
                             std::shared_ptr<absl::Status> status) {
  struct Reading {
    int64_t at, until;
    std::vector<lake::Block> blocks = {};
    size_t block = 0, row = 0;
    model::Sketch sketch = {};
  };
  auto r = std::make_shared<Reading>(Reading{.at = since_ms, .until = until_ms});
  return [lake, r, status = std::move(status)](respond::TrafficRow* out) {
    for (;;) {
      if (r->block < r->blocks.size() && r->row == r->blocks[r->block].rows()) {
        ++r->block;
        r->row = 0;
        continue;
      }
      if (r->block < r->blocks.size()) break;
      if (r->at >= r->until || !status->ok()) return false;
      r->blocks.clear();
      r->block = r->row = 0;
      const int64_t end = std::min(r->until, r->at + kTrafficStepMs);
      *status = lake->Query(
          StrCat("SELECT ts, account_id, api_key_id, org_id, model, channel, client_ip, "
                 "system_sketch, turn_sketch, signatures_presented FROM exchanges WHERE ts >= ",
                 r->at, " AND ts < ", end,
                 " ORDER BY ts, exchange_id, content LIMIT 1 BY exchange_id"),
          [&](const lake::Block& b) {
            if (b.rows() > 0) r->blocks.push_back(b);
            return absl::OkStatus();
          });
      r->at = end;
    }
    const lake::Block& b = r->blocks[r->block];
    const size_t i = r->row++;
    *out = {};
    out->ts_ms = b.columns[0].As<std::vector<int64_t>>()[i];
    respond::Request& q = out->request;
    q.account_id = Text(b, 1)[i];
    q.api_key_id = Text(b, 2)[i];
    q.org_id = Text(b, 3)[i];
    q.model = Text(b, 4)[i];
    q.channel = Text(b, 5)[i];
    q.client_ip = Text(b, 6)[i];
    const auto& system = b.columns[7].As<lake::ArrayColumn<uint32_t>>();
    const auto& turn = b.columns[8].As<lake::ArrayColumn<uint32_t>>();
    r->sketch.system.assign(system.begin(i), system.end(i));
    r->sketch.turn.assign(turn.begin(i), turn.end(i));
    r->sketch.present = !r->sketch.system.empty() || !r->sketch.turn.empty();
    if (r->sketch.present) q.sketch = &r->sketch;
    const auto& signatures = b.columns[9].As<lake::ArrayColumn<uint64_t>>();
    q.signatures_presented = {signatures.begin(i), signatures.end(i)};
    return true;
  };
}

}  // namespace stillwatch::engine
