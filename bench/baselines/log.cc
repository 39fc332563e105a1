#include "log.h"

#include <simdjson.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <unordered_map>

#include "base/hash.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"

namespace stillwatch::baselines {
namespace {

using base::Hash64;
using base::StrCat;
using simdjson::dom::element;

uint64_t Key(const element& o, const char* name) {
  std::string_view v;
  return o[name].get(v) == simdjson::SUCCESS && !v.empty() ? Hash64(v) | 1 : 0;
}

// Text of a message: a string, or the text of its parts.
std::string Text(const element& content) {
  std::string_view text;
  if (content.get(text) == simdjson::SUCCESS) return std::string(text);
  std::string out;
  simdjson::dom::array parts;
  if (content.get(parts) != simdjson::SUCCESS) return out;
  for (const element part : parts) {
    if (part["text"].get(text) == simdjson::SUCCESS) out += text;
  }
  return out;
}

// The first words, lowered, every digit the same; of text without spaces the first bytes.
std::string Head(const std::string& text) {
  constexpr size_t kBytesMax = 96;
  std::string out;
  int words = 0;
  for (const char c : text) {
    if (out.size() >= kBytesMax || words >= kHeadWords) break;
    const auto u = static_cast<unsigned char>(c);
    if (u <= ' ') {
      if (!out.empty() && out.back() != ' ') out += ' ', ++words;
    } else {
      out += u >= '0' && u <= '9' ? '0' : u < 128 ? static_cast<char>(std::tolower(u)) : c;
    }
  }
  return out;
}

absl::Status EachLine(const std::string& path,
                      const std::function<absl::Status(const element&)>& on_line) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::InvalidArgumentError(StrCat(path, ": cannot be opened"));
  simdjson::dom::parser parser;
  std::string line;
  for (uint64_t n = 1; std::getline(in, line); ++n) {
    element o;
    if (parser.parse(line).get(o) != simdjson::SUCCESS)
      return absl::InvalidArgumentError(StrCat(path, ":", n, ": not JSON"));
    if (absl::Status s = on_line(o); !s.ok())
      return absl::InvalidArgumentError(StrCat(path, ":", n, ": ", std::string(s.message())));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Log> ReadLog(const std::string& exchanges, const std::string& accounts) {
  Log log;
  std::unordered_map<std::string, uint32_t> index;
  const auto account = [&](std::string_view id) {
    const auto [it, fresh] =
        index.emplace(std::string(id), static_cast<uint32_t>(log.accounts.size()));
    if (fresh) log.accounts.push_back({std::string(id)});
    return it->second;
  };
  absl::Status s = EachLine(accounts, [&](const element& o) -> absl::Status {
    std::string_view id;
    if (o["account_id"].get(id) != simdjson::SUCCESS)
      return absl::InvalidArgumentError("no account_id");
    Account& a = log.accounts[account(id)];
    bool verified = false;
    a.verified = o["org_verified"].get(verified) == simdjson::SUCCESS && verified;
    a.payment = Key(o, "payment_id");
    a.mail = Key(o, "email_domain");
    a.referrer = Key(o, "referrer");
    a.address = Key(o, "signup_ip");
    return absl::OkStatus();
  });
  if (!s.ok()) return s;
  s = EachLine(exchanges, [&](const element& o) -> absl::Status {
    Exchange e;
    std::string_view id, ts;
    if (o["account_id"].get(id) != simdjson::SUCCESS || o["ts"].get(ts) != simdjson::SUCCESS)
      return absl::InvalidArgumentError("no account_id or ts");
    const auto ms = base::ParseRfc3339(ts);
    if (!ms) return absl::InvalidArgumentError("ts is no time");
    e.ts_ms = *ms;
    e.account = account(id);
    e.address = Key(o, "client_ip");
    e.client = Key(o, "user_agent");
    if (const uint64_t ja4 = Key(o, "ja4"); ja4 != 0) e.client = base::Combine64(e.client, ja4) | 1;
    simdjson::dom::array messages;
    if (o["messages"].get(messages) == simdjson::SUCCESS) {
      std::string system, turn;
      for (const element m : messages) {
        std::string_view role;
        element content;
        if (m["role"].get(role) != simdjson::SUCCESS ||
            m["content"].get(content) != simdjson::SUCCESS)
          continue;
        if (role == "system") system = Text(content);
        if (role == "user") turn = Text(content);
      }
      if (!system.empty()) e.system = Hash64(system) | 1;
      if (!turn.empty()) e.turn = Hash64(turn) | 1, e.head = Hash64(Head(turn)) | 1;
    }
    log.exchanges.push_back(e);
    return absl::OkStatus();
  });
  if (!s.ok()) return s;
  return log;
}

absl::Status WriteFindings(const Log& log, const std::string& exchanges_path,
                           const std::vector<Group>& groups, const std::vector<Named>* named,
                           const std::string& out) {
  std::error_code error;
  std::filesystem::create_directories(out, error);
  std::vector<uint32_t> of(log.accounts.size(), UINT32_MAX);
  std::vector<uint64_t> rows(groups.size(), 0), members(groups.size(), 0),
      own(log.accounts.size(), 0);
  for (uint32_t g = 0; g < groups.size(); ++g) {
    for (const uint32_t a : groups[g]) {
      if (of[a] == UINT32_MAX) of[a] = g, ++members[g];
    }
  }
  const auto id = [](uint32_t g) { return StrCat("cmp_", g); };
  std::string exchanges = "exchange_id,account_id,campaign_id\n";
  std::unordered_map<std::string, uint32_t> index;
  if (named != nullptr) {
    for (uint32_t a = 0; a < log.accounts.size(); ++a) index[log.accounts[a].id] = a;
    for (const Named& n : *named) {
      const uint32_t a = index.at(n.account), g = of[a];
      ++rows[g], ++own[a];
      base::StrAppend(&exchanges, n.exchange, ",", n.account, ",", id(g), "\n");
    }
  } else {
    size_t row = 0;
    const absl::Status s = EachLine(exchanges_path, [&](const element& o) -> absl::Status {
      const uint32_t a = log.exchanges[row++].account, g = of[a];
      if (g == UINT32_MAX) return absl::OkStatus();
      std::string_view exchange;
      if (o["exchange_id"].get(exchange) != simdjson::SUCCESS)
        return absl::InvalidArgumentError("no exchange_id");
      ++rows[g], ++own[a];
      base::StrAppend(&exchanges, exchange, ",", log.accounts[a].id, ",", id(g), "\n");
      return absl::OkStatus();
    });
    if (!s.ok()) return s;
  }
  std::string accounts =
      "account_id,campaign_id,pool_id,verdict,probability,exchanges,attributed_exchanges\n";
  for (uint32_t a = 0; a < log.accounts.size(); ++a) {
    if (of[a] == UINT32_MAX) continue;
    base::StrAppend(&accounts, log.accounts[a].id, ",", id(of[a]), ",,distillation,1,", own[a], ",",
                    own[a], "\n");
  }
  std::string campaigns;
  base::JsonWriter w(&campaigns);
  w.BeginObject();
  w.Key("schema");
  w.String("stillwatch.campaigns/1");
  w.Key("campaigns");
  w.BeginArray();
  for (uint32_t g = 0; g < groups.size(); ++g) {
    if (members[g] == 0) continue;
    w.BeginObject();
    w.Key("id");
    w.String(id(g));
    w.Key("verdict");
    w.String("distillation");
    w.Key("probability");
    w.Double(1);
    w.Key("accounts");
    w.Uint(members[g]);
    w.Key("exchanges");
    w.Uint(rows[g]);
    w.EndObject();
  }
  w.EndArray();
  w.EndObject();
  for (const auto& [name, text] :
       {std::pair("/campaigns.json", &campaigns), std::pair("/accounts.csv", &accounts),
        std::pair("/exchanges.csv", &exchanges)}) {
    std::ofstream file(out + name, std::ios::binary);
    file << *text;
    file.close();
    if (!file) return absl::InvalidArgumentError(StrCat(out, name, ": cannot be written"));
  }
  return absl::OkStatus();
}

}  // namespace stillwatch::baselines
