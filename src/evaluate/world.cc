#include "evaluate/world.h"

#include <simdjson.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/csv.h"
#include "base/hash.h"
#include "base/str.h"

namespace stillwatch::evaluate {
namespace {

using base::CsvReader;
using base::StrCat;
namespace fs = std::filesystem;

constexpr int kScenarioDepthMax = 16;
constexpr size_t kScenarioNodesMax = 100'000;  // an alias counts as what it stands for

absl::Status EachRow(
    const std::string& path, std::string_view header,
    const std::function<absl::Status(const CsvReader&, const std::vector<std::string>&)>& row) {
  auto reader = CsvReader::Open(path, header);
  if (!reader.ok()) return reader.status();
  std::vector<std::string> cells;
  for (;;) {
    const auto more = reader->Next(&cells);
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    if (absl::Status s = row(*reader, cells); !s.ok()) return s;
  }
}

void Flatten(const YAML::Node& node, const std::string& path, int depth, size_t* nodes,
             std::map<std::string, std::string>* out) {
  const auto under = [&](const std::string& key) { return path.empty() ? key : path + "." + key; };
  if (depth > kScenarioDepthMax || ++*nodes > kScenarioNodesMax) return;
  if (node.IsScalar()) {
    (*out)[path] = node.Scalar();
  } else if (node.IsMap()) {
    for (const auto& kv : node)
      Flatten(kv.second, under(kv.first.as<std::string>()), depth + 1, nodes, out);
  } else if (node.IsSequence()) {
    for (size_t i = 0; i < node.size(); ++i) {
      std::string name = std::to_string(i);
      if (node[i].IsMap()) {
        for (const char* key : {"name", "id", "campaign"}) {
          if (node[i][key] && node[i][key].IsScalar()) {
            name = node[i][key].Scalar();
            break;
          }
        }
      }
      Flatten(node[i], under(name), depth + 1, nodes, out);
    }
  }
}

uint32_t Intern(std::vector<std::string>* names, std::unordered_map<std::string, uint32_t>* index,
                const std::string& name) {
  const auto [it, fresh] = index->emplace(name, static_cast<uint32_t>(names->size()));
  if (fresh) names->push_back(name);
  return it->second;
}

bool ParseUint(const std::string& text, uint64_t* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

size_t World::HarvestIndex(std::string_view exchange_id) const {
  const uint64_t key = base::Hash64(exchange_id);
  const auto it = std::lower_bound(harvest.begin(), harvest.end(), std::pair(key, uint32_t{0}));
  return it != harvest.end() && it->first == key ? static_cast<size_t>(it - harvest.begin())
                                                 : harvest.size();
}

uint32_t World::CampaignOf(std::string_view exchange_id) const {
  const size_t at = HarvestIndex(exchange_id);
  return at == harvest.size() ? kNone : harvest[at].second;
}

const TrueAccount* World::Account(std::string_view id) const {
  const auto it = accounts.find(std::string(id));
  return it == accounts.end() ? nullptr : &it->second;
}

bool World::IsOperators(const TrueAccount& a) const {
  return roles[a.role] == "campaign" || roles[a.role] == "relay-pool";
}

uint64_t World::Planned(const TrueCampaign& c) const {
  const auto it = scenario.find(StrCat("campaigns.", c.name, ".exchanges"));
  if (it == scenario.end()) return c.exchanges;
  const double planned = std::strtod(it->second.c_str(), nullptr);  // "1.08e+07"
  return std::max(c.exchanges, static_cast<uint64_t>(std::clamp(std::round(planned), 0., 1e15)));
}

bool World::TookOver(uint32_t pool) const {
  return std::any_of(scenario.begin(), scenario.end(), [&](const auto& s) {
    return s.first.starts_with("pools.") && s.first.ends_with(".failover") &&
           s.second == pools[pool];
  });
}

absl::StatusOr<World> ReadWorld(const std::string& dir) {
  World w;
  w.dir = dir;
  std::error_code error;
  if (!fs::is_directory(dir, error))
    return absl::InvalidArgumentError(
        StrCat("--truth ", dir, ": is not a folder; name a world with truth_*.csv"));
  std::unordered_map<std::string, uint32_t> campaign_index, role_index, operator_index;
  absl::Status s = EachRow(dir + "/truth_campaigns.csv",
                           "campaign,operator,exchanges,accounts,first_seen,last_seen,capability",
                           [&](const CsvReader& at, const auto& c) -> absl::Status {
                             TrueCampaign one{c[0], c[1], c[6], 0};
                             if (!ParseUint(c[2], &one.exchanges)) {
                               return absl::InvalidArgumentError(
                                   StrCat(at.Where(), ": exchanges: not a whole number: ", c[2]));
                             }
                             w.campaigns.push_back(std::move(one));
                             return absl::OkStatus();
                           });
  if (!s.ok()) return s;
  std::sort(w.campaigns.begin(), w.campaigns.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  for (uint32_t i = 0; i < w.campaigns.size(); ++i) {
    if (!campaign_index.emplace(w.campaigns[i].name, i).second) {
      return absl::InvalidArgumentError(
          StrCat(dir, "/truth_campaigns.csv: campaign ", w.campaigns[i].name, " appears twice"));
    }
  }
  std::vector<uint64_t> rows(w.campaigns.size(), 0);
  s = EachRow(dir + "/truth_exchanges.csv", "exchange_id,campaign",
              [&](const CsvReader& at, const auto& c) -> absl::Status {
                const auto it = campaign_index.find(c[1]);
                if (it == campaign_index.end())
                  return absl::InvalidArgumentError(
                      StrCat(at.Where(), ": campaign ", c[1], " is not in truth_campaigns.csv"));
                w.harvest.push_back({base::Hash64(c[0]), it->second});
                ++rows[it->second];
                return absl::OkStatus();
              });
  if (!s.ok()) return s;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] != w.campaigns[i].exchanges) {
      return absl::InvalidArgumentError(
          StrCat(dir, "/truth_exchanges.csv: campaign ", w.campaigns[i].name, " has ", rows[i],
                 " of its ", w.campaigns[i].exchanges, " exchanges; was the file cut short?"));
    }
  }
  std::sort(w.harvest.begin(), w.harvest.end());
  const auto twice =
      std::adjacent_find(w.harvest.begin(), w.harvest.end(),
                         [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twice != w.harvest.end()) {
    return absl::InvalidArgumentError(StrCat(dir, "/truth_exchanges.csv: an exchange of campaign ",
                                             w.campaigns[twice->second].name, " appears twice"));
  }
  s = EachRow(
      dir + "/truth_accounts.csv", "account_id,role,operator",
      [&](const CsvReader& at, const auto& c) -> absl::Status {
        if (c[1].empty())
          return absl::InvalidArgumentError(StrCat(at.Where(), ": account ", c[0], " has no role"));
        TrueAccount a{Intern(&w.roles, &role_index, c[1]),
                      c[2].empty() ? kNone : Intern(&w.operators, &operator_index, c[2])};
        if (!w.accounts.emplace(c[0], a).second)
          return absl::InvalidArgumentError(
              StrCat(at.Where(), ": account ", c[0], " appears twice"));
        return absl::OkStatus();
      });
  if (!s.ok()) return s;
  if (const std::string path = dir + "/truth_pools.csv"; fs::exists(path, error)) {
    std::unordered_map<std::string, uint32_t> pool_index;
    s = EachRow(path, "account_id,pool", [&](const CsvReader& at, const auto& c) -> absl::Status {
      const auto it = w.accounts.find(c[0]);
      if (it == w.accounts.end())
        return absl::InvalidArgumentError(
            StrCat(at.Where(), ": account ", c[0], " is not in truth_accounts.csv"));
      it->second.pool = Intern(&w.pools, &pool_index, c[1]);
      return absl::OkStatus();
    });
    if (!s.ok()) return s;
  }
  if (const std::string path = dir + "/scenario.yaml"; fs::exists(path, error)) {
    try {
      size_t nodes = 0;
      Flatten(YAML::LoadFile(path), "", 0, &nodes, &w.scenario);
      if (nodes > kScenarioNodesMax)
        return absl::InvalidArgumentError(
            StrCat(path, ": more than ", kScenarioNodesMax, " values"));
    } catch (const YAML::Exception& e) {
      return absl::InvalidArgumentError(StrCat(path, ":", e.mark.line + 1, ": ", e.msg));
    }
  }
  return w;
}

uint32_t Findings::Index(std::string_view id) const {
  for (uint32_t i = 0; i < campaigns.size(); ++i) {
    if (campaigns[i].id == id) return i;
  }
  return kNone;
}

absl::StatusOr<Findings> ReadFindings(const std::string& dir) {
  Findings f;
  f.dir = dir;
  std::error_code error;
  if (!fs::is_directory(dir, error))
    return absl::InvalidArgumentError(
        StrCat("--found ", dir, ": is not a folder; name one that a finished scan left"));
  if (!fs::exists(dir + "/campaigns.json", error)) {
    return absl::InvalidArgumentError(StrCat(dir,
                                             "/campaigns.json: is missing, so the findings are not "
                                             "complete; let the scan finish, or run it again"));
  }
  if (!fs::exists(dir + "/accounts.csv", error)) {
    return absl::InvalidArgumentError(StrCat(
        dir, "/accounts.csv: is missing, so the findings are not complete; run the scan again"));
  }
  if (!fs::exists(dir + "/exchanges.csv", error)) {
    return absl::InvalidArgumentError(
        StrCat(dir, "/exchanges.csv: is missing; run the scan again with --attribution csv"));
  }
  const char* reading = "campaigns.json";
  try {
    simdjson::dom::parser parser;
    simdjson::dom::element root = parser.load(dir + "/campaigns.json");
    if (std::string_view(root["schema"]) != "stillwatch.campaigns/1") {
      return absl::InvalidArgumentError(StrCat(dir, "/campaigns.json: schema ",
                                               std::string_view(root["schema"]),
                                               " is not stillwatch.campaigns/1"));
    }
    for (simdjson::dom::element c : root["campaigns"]) {
      FoundCampaign one;
      one.id = std::string_view(c["id"]);
      one.verdict = std::string_view(c["verdict"]);
      one.probability = double(c["probability"]);
      one.exchanges = uint64_t(c["exchanges"]);
      one.accounts = uint64_t(c["accounts"]);
      double best = -1;
      simdjson::dom::object shares;
      if (c["capabilities"].get(shares) == simdjson::SUCCESS) {
        for (const auto& kv : shares) {
          if (const double v = kv.value.get_double().value(); v > best)
            best = v, one.capability = std::string(kv.key);
        }
      }
      simdjson::dom::array evidence;
      if (c["evidence"].get(evidence) == simdjson::SUCCESS) {
        for (simdjson::dom::element e : evidence) {
          if (one.evidence.size() == 4) break;
          char bits[32];
          std::snprintf(bits, sizeof bits, " %+.1f bits: ", double(e["bits"]));
          one.evidence.push_back(
              StrCat(std::string_view(e["family"]), bits, std::string_view(e["statement"])));
        }
      }
      f.campaigns.push_back(std::move(one));
    }
    reading = "candidates.jsonl";
    if (fs::exists(dir + "/candidates.jsonl", error)) {
      const simdjson::padded_string text = simdjson::padded_string::load(dir + "/candidates.jsonl");
      if (text.size() > 0 && text.data()[text.size() - 1] != '\n') {
        return absl::InvalidArgumentError(
            StrCat(dir, "/candidates.jsonl: ends in the middle of a line; was it cut short?"));
      }
      for (simdjson::dom::element c : parser.parse_many(text, 1 << 20)) {
        FoundCandidate one;
        one.formed = std::string_view(c["formed"]);
        one.verdict = std::string_view(c["verdict"]);
        one.distillation = double(c["distillation"]);
        one.odds_bits = double(c["odds_bits"]);
        one.purpose_bits = double(c["purpose_bits"]);
        one.open = bool(c["open"]);
        one.reported = bool(c["reported"]);
        one.exchanges = uint64_t(c["exchanges"]);
        for (simdjson::dom::element x : c["sample"]) {
          one.sample.emplace_back(std::string_view(x.at(0)), std::string_view(x.at(1)));
        }
        f.candidates.push_back(std::move(one));
      }
    }
    reading = "run.json";
    if (fs::exists(dir + "/run.json", error))
      f.judged_accounts = uint64_t(parser.load(dir + "/run.json")["accounts"]);
  } catch (const simdjson::simdjson_error& e) {
    return absl::InvalidArgumentError(StrCat(dir, "/", reading,
                                             ": is not what a scan writes, or was cut short (",
                                             e.what(), "); run the scan again"));
  }
  std::unordered_map<std::string, uint32_t> index;
  for (uint32_t i = 0; i < f.campaigns.size(); ++i) index[f.campaigns[i].id] = i;
  std::vector<uint64_t> members(f.campaigns.size(), 0);
  absl::Status s =
      EachRow(dir + "/accounts.csv",
              "account_id,campaign_id,pool_id,verdict,probability,exchanges,attributed_exchanges",
              [&](const CsvReader& at, const auto& c) -> absl::Status {
                const auto it = index.find(c[1]);
                if (it == index.end()) {
                  return absl::InvalidArgumentError(
                      StrCat(at.Where(), ": campaign ", c[1],
                             " is not in campaigns.json; the files are of different scans"));
                }
                ++members[it->second];
                f.accounts.push_back({c[0], c[3], it->second, std::strtod(c[4].c_str(), nullptr)});
                return absl::OkStatus();
              });
  if (!s.ok()) return s;
  for (size_t i = 0; i < members.size(); ++i) {
    if (members[i] != f.campaigns[i].accounts) {
      return absl::InvalidArgumentError(
          StrCat(dir, "/accounts.csv: campaign ", f.campaigns[i].id, " has ", members[i],
                 " of its ", f.campaigns[i].accounts, " accounts; was the file cut short?"));
    }
  }
  return f;
}

absl::Status EachExchange(
    const Findings& f,
    const std::function<absl::Status(const std::string&, const std::string&, uint32_t)>& row) {
  std::unordered_map<std::string, uint32_t> index;
  for (uint32_t i = 0; i < f.campaigns.size(); ++i) index[f.campaigns[i].id] = i;
  std::vector<uint64_t> rows(f.campaigns.size(), 0);
  absl::Status s = EachRow(f.dir + "/exchanges.csv", "exchange_id,account_id,campaign_id",
                           [&](const CsvReader& at, const auto& c) -> absl::Status {
                             const auto it = index.find(c[2]);
                             if (it == index.end()) {
                               return absl::InvalidArgumentError(StrCat(
                                   at.Where(), ": campaign ", c[2],
                                   " is not in campaigns.json; the files are of different scans"));
                             }
                             ++rows[it->second];
                             return row(c[0], c[1], it->second);
                           });
  if (!s.ok()) return s;
  for (size_t i = 0; i < rows.size(); ++i) {
    // The exchanges of what nobody is asked to look into are not listed.
    const std::string& verdict = f.campaigns[i].verdict;
    if (rows[i] == 0 && verdict != "distillation" && verdict != "unresolved" &&
        verdict != "coordinated-other")
      continue;
    if (rows[i] != f.campaigns[i].exchanges) {
      return absl::InvalidArgumentError(
          StrCat(f.dir, "/exchanges.csv: campaign ", f.campaigns[i].id, " has ", rows[i],
                 " of its ", f.campaigns[i].exchanges, " exchanges; was the file cut short?"));
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> Explanations(
    const std::string& dir, const std::vector<std::pair<std::string, std::string>>& wanted) {
  std::map<std::pair<std::string, std::string>, size_t> at;
  for (size_t i = 0; i < wanted.size(); ++i) at[wanted[i]] = i;
  std::vector<std::string> out(wanted.size());
  std::ifstream in(dir + "/explain.jsonl");
  std::string line;
  simdjson::dom::parser parser;
  while (!at.empty() && std::getline(in, line)) {
    simdjson::dom::element e;
    std::string_view account, campaign, why;
    if (parser.parse(line).get(e) != simdjson::SUCCESS ||
        e["account_id"].get(account) != simdjson::SUCCESS ||
        e["campaign_id"].get(campaign) != simdjson::SUCCESS ||
        e["why"].get(why) != simdjson::SUCCESS) {
      continue;
    }
    const auto it = at.find({std::string(account), std::string(campaign)});
    if (it != at.end()) out[it->second] = std::string(why);
  }
  return out;
}

}  // namespace stillwatch::evaluate
