#include "dossier/outputs.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "dossier/html.h"
#include "model/reject.h"
#include "model/words.h"

namespace stillwatch::dossier {

using base::JsonWriter;
using base::StrCat;
using model::VerdictName;
namespace fs = std::filesystem;

namespace {

double Rounded(double v) { return std::round(v * 10'000) / 10'000; }

absl::Status Full(const std::string& what) {
  const std::string text = StrCat(what, ": ", std::strerror(errno));
  return errno == ENOSPC ? absl::ResourceExhaustedError(text + "; free space and run again")
                         : absl::FailedPreconditionError(text);
}

absl::Status WriteFile(const std::string& path, const std::string& bytes) {
  std::FILE* f = std::fopen(path.c_str(), "w");
  if (f == nullptr) return Full(path);
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), f) == bytes.size();
  if (std::fclose(f) != 0 || !written) return Full(path);
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteWhole(const std::string& path, const std::string& bytes) {
  const std::string partial = path + ".partial";
  if (WriteFile(partial, bytes).ok() && std::rename(partial.c_str(), path.c_str()) == 0)
    return absl::OkStatus();
  // The person named the file, not what it is written to first.
  const absl::Status failed = Full(StrCat(path, ": cannot be written"));
  std::remove(partial.c_str());
  return failed;
}

void AppendCsv(std::string_view v, std::string* out) {
  if (v.find_first_of(",\"\r\n") == std::string_view::npos) {
    out->append(v);
    return;
  }
  out->push_back('"');
  for (const char c : v) {
    if (c == '"') out->push_back('"');
    out->push_back(c);
  }
  out->push_back('"');
}

std::string CampaignsJson(std::span<const model::Campaign> campaigns) {
  std::string out;
  JsonWriter w(&out, true);
  w.BeginObject();
  w.Key("schema");
  w.String("stillwatch.campaigns/1");
  w.Key("campaigns");
  w.BeginArray();
  for (const model::Campaign& c : campaigns) {
    w.BeginObject();
    const auto text = [&](const char* key, std::string_view v) { w.Key(key); w.String(v); };
    const auto number = [&](const char* key, uint64_t v) { w.Key(key); w.Uint(v); };
    const auto real = [&](const char* key, double v) { w.Key(key); w.Double(Rounded(v)); };
    text("id", c.id);
    text("name", c.name);
    text("verdict", VerdictName(c.verdict));
    real("probability", c.probability);
    text("likelihood", model::LikelihoodWords(c.probability));
    w.Key("rival");
    w.BeginObject();
    text("verdict", VerdictName(c.rival.verdict));
    real("probability", c.rival.probability);
    w.EndObject();
    w.Key("verdicts");
    w.BeginObject();
    for (const auto& v : c.all) real(VerdictName(v.verdict), v.probability);
    w.EndObject();
    text("would_change", c.would_change);
    text("summary", c.summary);
    number("accounts", c.accounts);
    number("exchanges", c.exchanges);
    number("input_tokens", c.input_tokens);
    number("output_tokens", c.output_tokens);
    text("first_seen", base::FormatRfc3339(c.first_seen_ms));
    text("last_seen", base::FormatRfc3339(c.last_seen_ms));
    w.Key("models");
    w.BeginObject();
    for (const auto& [name, n] : c.models) number(name.c_str(), n);
    w.EndObject();
    w.Key("capabilities");
    w.BeginObject();
    for (const auto& [capability, share] : c.capabilities) real(model::CapabilityName(capability), share);
    w.EndObject();
    w.Key("pools");
    w.BeginArray();
    for (const auto& p : c.pools) {
      w.BeginObject();
      text("id", p.id);
      number("accounts", p.accounts);
      w.EndObject();
    }
    w.EndArray();
    w.Key("templates");
    w.BeginArray();
    for (const auto& t : c.templates) {
      w.BeginObject();
      text("id", t.id);
      number("exchanges", t.exchanges);
      if (!t.specimens.empty()) text("specimen", t.specimens[0].text);
      if (t.specimens.size() > 1) {
        w.Key("more_specimens");
        w.BeginArray();
        for (size_t i = 1; i < t.specimens.size(); ++i) w.String(t.specimens[i].text);
        w.EndArray();
      }
      w.Key("hashes");
      w.BeginArray();
      for (const uint32_t h : t.hashes) w.Uint(h);
      w.EndArray();
      w.EndObject();
    }
    w.EndArray();
    w.Key("evidence");
    w.BeginArray();
    for (const auto& e : c.evidence) {
      w.BeginObject();
      text("family", model::FamilyName(e.family));
      real("bits", e.bits);
      text("statement", e.statement);
      text("null", e.null);
      text("query", e.query);
      w.Key("exchanges");
      w.BeginArray();
      for (const auto& id : e.exchanges) w.String(id);
      w.EndArray();
      w.EndObject();
    }
    w.EndArray();
    w.Key("attribution");
    w.BeginArray();
    for (const auto& a : c.attribution) {
      w.BeginObject();
      text("actor", a.actor);
      real("probability", a.probability);
      text("basis", a.basis);
      w.EndObject();
    }
    w.EndArray();
    if (!c.imports.empty()) {
      w.Key("imports");
      w.BeginArray();
      for (const auto& i : c.imports) {
        w.BeginObject();
        text("id", i.id);
        text("campaign", i.campaign);
        text("origin", i.origin);
        text("type", i.type);
        text("grade", base::StrCat(std::string(1, i.reliability), i.credibility));
        number("accounts", i.accounts);
        number("exchanges", i.exchanges);
        w.EndObject();
      }
      w.EndArray();
      w.Key("rests_on_imports");
      w.Bool(c.rests_on_imports);
      w.Key("own_probability");
      w.Double(c.own_probability);
    }
    w.Key("timeline");
    w.BeginArray();
    for (const auto& d : c.timeline) {
      w.BeginObject();
      text("day", d.day);
      number("exchanges", d.exchanges);
      number("accounts", d.accounts);
      w.Key("models");
      w.BeginObject();
      for (const auto& [name, n] : d.models) number(name.c_str(), n);
      w.EndObject();
      w.EndObject();
    }
    w.EndArray();
    w.Key("pivots");
    w.BeginArray();
    for (const auto& p : c.pivots) {
      w.BeginObject();
      text("ts", base::FormatRfc3339(p.ts_ms));
      text("statement", p.statement);
      w.EndObject();
    }
    w.EndArray();
    w.Key("infrastructure");
    w.BeginArray();
    for (const auto& i : c.infrastructure) {
      w.BeginObject();
      text("class", i.address_class);
      number("asn", i.asn);
      text("organisation", i.as_org);
      number("addresses", i.addresses);
      number("exchanges", i.exchanges);
      w.EndObject();
    }
    w.EndArray();
    w.Key("queries");
    w.BeginObject();
    for (const auto& [figure, sql] : c.queries) text(figure.c_str(), sql);
    w.EndObject();
    w.EndObject();
  }
  w.EndArray();
  w.EndObject();
  out.push_back('\n');
  return out;
}

std::string AccountsCsv(std::span<const model::Campaign> campaigns) {
  std::string out =
      "account_id,campaign_id,pool_id,verdict,probability,exchanges,attributed_exchanges\n";
  for (const model::Campaign& c : campaigns) {
    for (const model::CampaignMember& m : c.members) {
      AppendCsv(m.account_id, &out);
      base::StrAppend(&out, ",", c.id, ",", m.pool_id, ",", m.verdict, ",");
      base::AppendJsonNumber(Rounded(m.probability), &out);
      base::StrAppend(&out, ",", m.exchanges, ",", m.attributed_exchanges, "\n");
    }
  }
  return out;
}

Results::~Results() {
  if (rejected_ != nullptr) std::fclose(rejected_);
  if (exchanges_ != nullptr) std::fclose(exchanges_);
  std::error_code ignored;
  if (!partial_.empty()) fs::remove_all(partial_, ignored);
}

absl::Status Results::Begin() {
  const std::string partial = dir_ + "/.partial";
  std::error_code error;
  fs::remove_all(partial, error);
  fs::create_directories(partial + "/dossier", error);
  if (error) {
    return absl::FailedPreconditionError(
        StrCat(dir_, ": results cannot be written there: ", error.message(), "; name another folder with --out"));
  }
  partial_ = partial;
  rejected_ = std::fopen((partial_ + "/rejected.jsonl").c_str(), "w");
  if (rejected_ == nullptr) return Full(partial_ + "/rejected.jsonl");
  return absl::OkStatus();
}

absl::Status Results::Reject(const model::Reject& r) {
  std::string line;
  JsonWriter w(&line);
  w.BeginObject();
  model::WriteReject(r, &w);
  w.EndObject();
  line.push_back('\n');
  if (std::fwrite(line.data(), 1, line.size(), rejected_) != line.size()) return Full(partial_ + "/rejected.jsonl");
  return absl::OkStatus();
}

absl::Status Results::BeginExchanges() {
  const std::string path = Partial("exchanges.csv");
  if (exchanges_ != nullptr) std::fclose(exchanges_);  // begun again
  exchanges_ = std::fopen(path.c_str(), "w");
  if (exchanges_ == nullptr || std::fputs("exchange_id,account_id,campaign_id\n", exchanges_) < 0) return Full(path);
  return absl::OkStatus();
}

absl::Status Results::Exchange(std::string_view exchange_id, std::string_view account_id,
                               std::string_view campaign_id) {
  line_.clear();
  AppendCsv(exchange_id, &line_);
  line_.push_back(',');
  AppendCsv(account_id, &line_);
  base::StrAppend(&line_, ",", campaign_id, "\n");
  if (std::fwrite(line_.data(), 1, line_.size(), exchanges_) != line_.size()) return Full(Partial("exchanges.csv"));
  return absl::OkStatus();
}

absl::Status Results::Put(const std::string& name, const std::string& bytes) {
  return WriteFile(Partial(name), bytes);
}

absl::Status Results::Write(const model::Findings& findings) {
  if (absl::Status s = Put("campaigns.json", CampaignsJson(findings.campaigns)); !s.ok()) return s;
  std::string explain;
  for (const model::Campaign& c : findings.campaigns) {
    for (const model::CampaignMember& m : c.members) {
      JsonWriter w(&explain);
      w.BeginObject();
      w.Key("account_id");
      w.String(m.account_id);
      w.Key("campaign_id");
      w.String(c.id);
      w.Key("verdict");
      w.String(m.verdict);
      w.Key("why");
      w.String(m.why);
      w.EndObject();
      explain.push_back('\n');
    }
    std::error_code error;
    fs::create_directories(partial_ + "/dossier/" + c.id, error);
    if (absl::Status s = Put("dossier/" + c.id + "/index.html",
                             RenderDossier(c, {.intervals = MembershipIntervals(c)}));
        !s.ok())
      return s;
  }
  if (absl::Status s = Put("accounts.csv", AccountsCsv(findings.campaigns)); !s.ok()) return s;
  if (absl::Status s = Put("explain.jsonl", explain); !s.ok()) return s;
  return absl::OkStatus();
}

absl::Status Results::Publish() {
  for (const auto& [file, name] : {std::pair(&rejected_, "rejected.jsonl"), std::pair(&exchanges_, "exchanges.csv")}) {
    std::FILE* f = std::exchange(*file, nullptr);
    if (f != nullptr && std::fclose(f) != 0) return Full(Partial(name));
  }
  std::error_code error;
  // campaigns.json goes last: while it is missing the results are not complete.
  fs::remove(dir_ + "/campaigns.json", error);
  for (const char* name :
       {"dossier", "accounts.csv", "exchanges.csv", "exchanges.parquet", "explain.jsonl",
        "accounts.index", "candidates.jsonl", "rejected.jsonl", "campaigns.json"}) {
    fs::remove_all(dir_ + "/" + name, error);
    if (!fs::exists(partial_ + "/" + name)) continue;
    fs::rename(partial_ + "/" + name, dir_ + "/" + name, error);
    if (error) return absl::FailedPreconditionError(StrCat(dir_, "/", name, ": ", error.message()));
  }
  fs::remove_all(partial_, error);
  return absl::OkStatus();
}

std::string CampaignTable(const model::Findings& findings, const std::string& out) {
  std::string text;
  char line[400];
  std::snprintf(line, sizeof line, "%-18s %-18s %6s %10s %9s  %-10s  %-10s  %s\n", "campaign", "verdict", "prob.",
                "exchanges", "accounts", "first", "last", "mainly");
  text += line;
  for (const model::Campaign& c : findings.campaigns) {
    std::snprintf(
        line, sizeof line, "%-18s %-18s %5.0f%% %10llu %9llu  %-10s  %-10s  %s\n", c.name.c_str(),
        VerdictName(c.verdict), std::floor(c.probability * 100),
        static_cast<unsigned long long>(c.exchanges), static_cast<unsigned long long>(c.accounts),
        base::FormatRfc3339(c.first_seen_ms).substr(0, 10).c_str(),
        base::FormatRfc3339(c.last_seen_ms).substr(0, 10).c_str(),
        c.capabilities.empty() ? "-" : model::CapabilityWords(c.capabilities[0].first).c_str());
    text += line;
  }
  if (findings.campaigns.empty()) {
    text = "No campaign found.\n";
  } else {
    text += StrCat("\nDossier of the first: ", out, "/dossier/", findings.campaigns[0].id, "/index.html\n");
  }
  return text;
}

}  // namespace stillwatch::dossier
