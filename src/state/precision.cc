#include "state/precision.h"

#include <simdjson.h>

#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/proportion.h"
#include "base/str.h"

namespace stillwatch::state {

using base::StrCat;

ShareRight RightOf(const Judged& n) {
  if (n.decided() == 0) return {};
  const base::Interval i = base::Wilson(n.confirmed, n.decided());
  return {static_cast<double>(n.confirmed) / static_cast<double>(n.decided()), i.low, i.high};
}

Precision PrecisionOf(const std::vector<Disposition>& dispositions) {
  Precision out;
  for (const Disposition& d : dispositions) {
    const auto add = [&](Judged& n) {
      (d.value == "confirmed" ? n.confirmed : d.value == "dismissed" ? n.dismissed : n.unsure)++;
      if (d.value != "unsure") n.stated += d.probability;
    };
    add(out.all);
    for (const std::string& f : d.families) add(out.families[f]);
    if (d.value == "dismissed") ++out.look_alikes[d.look_alike];
    if (d.verdict != "distillation") continue;
    add(out.accused);
    if (d.probability < 0) continue;
    size_t bin = 0;
    while (bin + 1 < out.stated.size() && d.probability >= kStatedBins[bin + 1]) ++bin;
    add(out.stated[bin]);
  }
  return out;
}

std::string PrecisionJson(const Precision& precision) {
  std::string out;
  base::JsonWriter w(&out);
  const auto number = [&](const char* key, uint64_t n) {
    w.Key(key);
    w.Uint(n);
  };
  const auto share = [&](const char* key, bool known, double v) {
    w.Key(key);
    if (known)
      w.Double(v);
    else
      w.Null();
  };
  const auto write = [&](const Judged& n) {
    const ShareRight right = RightOf(n);
    const bool known = n.decided() > 0;
    number("confirmed", n.confirmed);
    number("dismissed", n.dismissed);
    number("unsure", n.unsure);
    share("precision", known, right.precision);
    share("low", known, right.low);
    share("high", known, right.high);
    w.EndObject();
  };
  w.BeginObject();
  for (const auto& [key, n] : {std::pair("all", &precision.all), {"accused", &precision.accused}}) {
    w.Key(key);
    w.BeginObject();
    write(*n);
  }
  w.Key("families");
  w.BeginArray();
  for (const auto& [name, n] : precision.families) {
    w.BeginObject();
    w.Key("family");
    w.String(name);
    write(n);
  }
  w.EndArray();
  w.Key("calibration");
  w.BeginArray();
  for (size_t bin = 0; bin < precision.stated.size(); ++bin) {
    const Judged& n = precision.stated[bin];
    if (n.decided() + n.unsure == 0) continue;
    w.BeginObject();
    share("from", true, kStatedBins[bin]);
    share("to", true, kStatedBins[bin + 1]);
    share("stated", n.decided() > 0,
          n.decided() > 0 ? n.stated / static_cast<double>(n.decided()) : 0);
    write(n);
  }
  w.EndArray();
  w.Key("look_alikes");
  w.BeginArray();
  for (const auto& [name, n] : precision.look_alikes) {
    w.BeginObject();
    w.Key("look_alike");
    w.String(name);
    number("dismissed", n);
    w.EndObject();
  }
  w.EndArray();
  w.EndObject();
  return out;
}

absl::StatusOr<std::vector<Disposition>> ReadDispositions(const std::string& json) {
  simdjson::dom::parser parser;
  simdjson::dom::array rows;
  if (parser.parse(json)["rows"].get(rows) != simdjson::SUCCESS)
    return absl::InvalidArgumentError(
        "expected the JSON of GET /api/v1/dispositions: {\"rows\": [...]}");
  std::vector<Disposition> out;
  std::set<std::string> seen;
  for (simdjson::dom::element row : rows) {
    Disposition& d = out.emplace_back();
    std::string wrong;
    const auto text = [&](const char* key, std::string* to) {
      std::string_view v;
      if (row[key].get(v) != simdjson::SUCCESS)
        wrong = StrCat(key, ": is missing or no string");
      else
        *to = v;
    };
    text("campaign_id", &d.campaign_id);
    text("value", &d.value);
    text("look_alike", &d.look_alike);
    text("verdict", &d.verdict);
    simdjson::dom::element p;
    if (row["probability"].get(p) != simdjson::SUCCESS)
      wrong = "probability: is missing";
    else if (p.is_null())
      d.probability = -1;
    else if (p.get(d.probability) != simdjson::SUCCESS || !(d.probability >= 0) ||
             d.probability > 1)
      wrong = "probability: expected 0 to 1, or null";
    simdjson::dom::array families;
    if (row["families"].get(families) != simdjson::SUCCESS)
      wrong = "families: is missing";
    else
      for (simdjson::dom::element f : families) {
        std::string_view v;
        if (f.get(v) != simdjson::SUCCESS) wrong = "families: expected strings";
        d.families.emplace_back(v);
      }
    if (wrong.empty() && d.value != "confirmed" && d.value != "dismissed" && d.value != "unsure")
      wrong = "value: expected confirmed, dismissed or unsure";
    if (wrong.empty() && !seen.insert(d.campaign_id).second)
      wrong = "campaign_id: is there twice; one disposition a campaign holds";
    if (!wrong.empty())
      return absl::InvalidArgumentError(StrCat("rows[", out.size() - 1, "].", wrong));
  }
  return out;
}

}  // namespace stillwatch::state
