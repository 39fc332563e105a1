#include "dossier/read.h"

#include <simdjson.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <unordered_map>

#include "base/csv.h"
#include "base/str.h"
#include "base/time.h"

namespace stillwatch::dossier {
namespace {

using base::StrCat;
using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

bool IsProbability(double v) { return v >= 0 && v <= 1; }

// Members of objects by name. What is missing or of another type is remembered: the first such
// place is the error of the whole file.
class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}

  std::string Text(const object& o, const char* key) {
    std::string_view v;
    Need(o[key].get(v), key, "a string");
    return std::string(v);
  }
  uint64_t Number(const object& o, const char* key) {
    uint64_t v = 0;
    Need(o[key].get(v), key, "a whole number");
    return v;
  }
  double Real(const object& o, const char* key) {
    double v = 0;
    Need(o[key].get(v), key, "a number");
    return v;
  }
  double Probability(const object& o, const char* key) {
    const double v = Real(o, key);
    if (!IsProbability(v)) Fail(key, "a number from 0 to 1");
    return v;
  }
  int64_t Time(const object& o, const char* key) {
    const auto ms = base::ParseRfc3339(Text(o, key));
    if (!ms) Fail(key, "a time (RFC 3339)");
    return ms.value_or(0);
  }
  template <typename Row>
  void Each(const object& o, const char* key, const Row& row) {
    array rows;
    Need(o[key].get(rows), key, "an array");
    if (!status_.ok()) return;
    for (const element one : rows) {
      object of;
      Need(one.get(of), key, "an array of objects");
      if (!status_.ok()) return;
      row(of);
    }
  }
  template <typename Member>
  void EachMember(const object& o, const char* key, const Member& member) {
    object of;
    Need(o[key].get(of), key, "an object");
    if (!status_.ok()) return;
    for (const auto& [name, value] : of) member(std::string(name), value);
  }
  template <typename T>
  T Named(std::optional<T> value, const char* key) {
    if (!value) Fail(key, "a name that this version knows");
    return value.value_or(T{});
  }
  template <typename T>
  T Value(const element& e, const char* key) {
    T v{};
    Need(e.get(v), key, "a number");
    return v;
  }
  void Fail(const char* key, const char* wanted) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(StrCat(file_, ": ", where, key, ": expected ", wanted,
                                                  "; was it written by a scan of this version?"));
    }
  }
  const absl::Status& status() const { return status_; }

  std::string where;  // "campaign amber-otter: "

 private:
  void Need(simdjson::error_code error, const char* key, const char* wanted) {
    if (error != simdjson::SUCCESS) Fail(key, wanted);
  }
  std::string file_;
  absl::Status status_;
};

model::Campaign ReadCampaign(const object& o, Reader* r) {
  model::Campaign c;
  c.id = r->Text(o, "id");
  r->where = StrCat("campaign ", c.id, ": ");
  c.name = r->Text(o, "name");
  c.verdict = r->Named(model::VerdictNamed(r->Text(o, "verdict")), "verdict");
  c.probability = r->Probability(o, "probability");
  c.would_change = r->Text(o, "would_change");
  c.summary = r->Text(o, "summary");
  c.accounts = r->Number(o, "accounts");
  c.exchanges = r->Number(o, "exchanges");
  c.input_tokens = r->Number(o, "input_tokens");
  c.output_tokens = r->Number(o, "output_tokens");
  c.first_seen_ms = r->Time(o, "first_seen");
  c.last_seen_ms = r->Time(o, "last_seen");
  object rival;
  if (o["rival"].get(rival) != simdjson::SUCCESS) {
    r->Fail("rival", "an object");
    return c;
  }
  c.rival = {r->Named(model::VerdictNamed(r->Text(rival, "verdict")), "rival.verdict"),
             r->Probability(rival, "probability")};
  r->EachMember(o, "verdicts", [&](const std::string& name, const element& v) {
    c.all.push_back({r->Named(model::VerdictNamed(name), "verdicts"), r->Value<double>(v, "verdicts")});
  });
  r->EachMember(o, "models", [&](const std::string& name, const element& v) {
    c.models[name] = r->Value<uint64_t>(v, "models");
  });
  r->EachMember(o, "capabilities", [&](const std::string& name, const element& v) {
    c.capabilities.push_back({r->Named(model::CapabilityNamed(name), "capabilities"),
                              r->Value<double>(v, "capabilities")});
  });
  r->Each(o, "pools", [&](const object& p) {
    c.pools.push_back({r->Text(p, "id"), r->Number(p, "accounts")});
  });
  r->Each(o, "templates", [&](const object& t) {
    model::TemplateRef ref;
    ref.id = r->Text(t, "id");
    ref.exchanges = r->Number(t, "exchanges");
    std::string_view text;
    if (t["specimen"].get(text) == simdjson::SUCCESS) {
      ref.specimens.push_back({0, "", std::string(text)});
      array more;
      if (t["more_specimens"].get(more) == simdjson::SUCCESS) {
        for (const element e : more)
          ref.specimens.push_back({0, "", std::string(r->Value<std::string_view>(e, "more_specimens"))});
      }
    }
    array hashes;
    if (t["hashes"].get(hashes) != simdjson::SUCCESS) r->Fail("templates.hashes", "an array");
    else
      for (const element h : hashes)
        ref.hashes.push_back(static_cast<uint32_t>(r->Value<uint64_t>(h, "templates.hashes")));
    c.templates.push_back(std::move(ref));
  });
  r->Each(o, "evidence", [&](const object& e) {
    model::Evidence one;
    one.family = r->Named(model::FamilyNamed(r->Text(e, "family")), "evidence.family");
    one.bits = r->Real(e, "bits");
    one.statement = r->Text(e, "statement");
    one.null = r->Text(e, "null");
    one.query = r->Text(e, "query");
    array ids;
    if (e["exchanges"].get(ids) != simdjson::SUCCESS) r->Fail("evidence.exchanges", "an array");
    else
      for (const element id : ids)
        one.exchanges.emplace_back(r->Value<std::string_view>(id, "evidence.exchanges"));
    c.evidence.push_back(std::move(one));
  });
  r->Each(o, "attribution", [&](const object& a) {
    c.attribution.push_back(
        {r->Text(a, "actor"), r->Text(a, "basis"), r->Probability(a, "probability")});
  });
  if (element imports; o["imports"].get(imports) == simdjson::SUCCESS) {
    r->Each(o, "imports", [&](const object& i) {
      const std::string grade = r->Text(i, "grade");
      if (grade.size() != 2 || grade[0] < 'A' || grade[0] > 'F' || grade[1] < '1' ||
          grade[1] > '6') {
        r->Fail("imports.grade", "a grade, A1 to F6");
        return;
      }
      c.imports.push_back({r->Text(i, "id"), r->Text(i, "campaign"), r->Text(i, "origin"),
                           r->Text(i, "type"), grade[0], grade[1] - '0', r->Number(i, "accounts"),
                           r->Number(i, "exchanges")});
    });
    if (o["rests_on_imports"].get(c.rests_on_imports) != simdjson::SUCCESS)
      r->Fail("rests_on_imports", "true or false");
    c.own_probability = r->Real(o, "own_probability");
  }
  r->Each(o, "timeline", [&](const object& d) {
    model::TimelineDay day{
        r->Text(d, "day"), r->Number(d, "exchanges"), r->Number(d, "accounts"), {}};
    r->EachMember(d, "models", [&](const std::string& name, const element& v) {
      day.models[name] = r->Value<uint64_t>(v, "timeline.models");
    });
    c.timeline.push_back(std::move(day));
  });
  r->Each(o, "pivots", [&](const object& p) {
    c.pivots.push_back({r->Time(p, "ts"), r->Text(p, "statement")});
  });
  r->Each(o, "infrastructure", [&](const object& i) {
    c.infrastructure.push_back({r->Text(i, "class"), r->Text(i, "organisation"),
                                static_cast<uint32_t>(r->Number(i, "asn")),
                                r->Number(i, "addresses"), r->Number(i, "exchanges")});
  });
  r->EachMember(o, "queries", [&](const std::string& figure, const element& sql) {
    c.queries[figure] = r->Value<std::string_view>(sql, "queries");
  });
  return c;
}

template <typename T>
bool Parse(const std::string& text, T* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

absl::Status ReadMembers(const std::string& dir, model::Findings* findings) {
  std::unordered_map<std::string, model::Campaign*> by_id;
  for (model::Campaign& c : findings->campaigns) by_id[c.id] = &c;
  auto reader = base::CsvReader::Open(
      dir + "/accounts.csv",
      "account_id,campaign_id,pool_id,verdict,probability,exchanges,attributed_exchanges");
  if (!reader.ok()) return reader.status();
  // The why of each is in the same order, a line per row.
  const std::string explain = dir + "/explain.jsonl";
  std::ifstream lines(explain);
  simdjson::dom::parser parser;
  std::vector<std::string> cells;
  std::string line;
  for (;;) {
    const auto more = reader->Next(&cells);
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    model::CampaignMember m{cells[0], cells[2], cells[3], 0, 0, 0, ""};
    const auto campaign = by_id.find(cells[1]);
    if (campaign == by_id.end() || !Parse(cells[4], &m.probability) ||
        !IsProbability(m.probability) || !Parse(cells[5], &m.exchanges) ||
        !Parse(cells[6], &m.attributed_exchanges)) {
      return absl::InvalidArgumentError(
          StrCat(reader->Where(), campaign == by_id.end() ? ": its campaign is not in campaigns.json"
                                                          : ": a number was expected",
                 "; run the scan again"));
    }
    element e;
    std::string_view account, why;
    if (!std::getline(lines, line) || parser.parse(line).get(e) != simdjson::SUCCESS ||
        e["account_id"].get(account) != simdjson::SUCCESS || account != m.account_id ||
        e["why"].get(why) != simdjson::SUCCESS) {
      return absl::InvalidArgumentError(StrCat(explain, ": no line for account ", m.account_id,
                                               " where accounts.csv has it; run the scan again"));
    }
    m.why = std::string(why);
    campaign->second->members.push_back(std::move(m));
  }
}

}  // namespace

absl::StatusOr<model::Findings> ReadFindings(const std::string& dir) {
  const std::string path = dir + "/campaigns.json";
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) {
    return absl::NotFoundError(
        StrCat(path, ": ", error.message(), "; name the folder of a finished scan"));
  }
  if (size > kCampaignsBytesMax) return absl::InvalidArgumentError(path + ": longer than 1 GiB");
  simdjson::dom::parser parser;
  element root;
  if (const auto e = parser.load(path).get(root); e != simdjson::SUCCESS)
    return absl::InvalidArgumentError(StrCat(path, ": not JSON: ", simdjson::error_message(e)));
  Reader reader(path);
  object top;
  if (root.get(top) != simdjson::SUCCESS || reader.Text(top, "schema") != "stillwatch.campaigns/1") {
    return absl::InvalidArgumentError(
        StrCat(path, ": schema: expected stillwatch.campaigns/1; written by another version?"));
  }
  model::Findings findings;
  reader.Each(top, "campaigns", [&](const object& o) {
    findings.campaigns.push_back(ReadCampaign(o, &reader));
    reader.where.clear();
  });
  if (!reader.status().ok()) return reader.status();
  if (absl::Status s = ReadMembers(dir, &findings); !s.ok()) return s;
  return findings;
}

}  // namespace stillwatch::dossier
