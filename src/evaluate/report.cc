#include "evaluate/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "base/json.h"
#include "base/str.h"

namespace stillwatch::evaluate {
namespace {

using base::StrCat;

void Add(const Share& from, Share* to) {
  to->part += from.part;
  to->all += from.all;
}

std::optional<Interval> Spread(const std::vector<Score>& worlds, Share Score::*field,
                               double empty) {
  return Bootstrap(worlds.size(), [&](std::span<const uint32_t> drawn) {
    Share sum;
    for (const uint32_t i : drawn) Add(worlds[i].*field, &sum);
    return sum.value(empty);
  });
}

std::vector<Prediction> Predictions(const std::vector<Score>& worlds,
                                    const std::function<bool(const JudgedCandidate&)>& take) {
  std::vector<Prediction> out;
  for (const Score& w : worlds) {
    for (const JudgedCandidate& c : w.judged) {
      if (take(c)) out.push_back({c.found.distillation, c.harvest});
    }
  }
  return out;
}

std::vector<CampaignSummary> Campaigns(const std::vector<Score>& worlds) {
  std::map<std::string, std::vector<const CampaignScore*>> by_name;
  for (const Score& w : worlds) {
    for (const CampaignScore& c : w.campaigns) by_name[c.campaign].push_back(&c);
  }
  std::vector<CampaignSummary> out;
  for (const auto& [name, list] : by_name) {
    CampaignSummary s;
    s.campaign = name;
    s.worlds = list.size();
    const CampaignScore* worst = list[0];
    const double n = static_cast<double>(list.size());
    CampaignScore mean;
    for (const CampaignScore* c : list) {
      if (c->recall < worst->recall) worst = c;
      mean.recall += c->recall / n;
      mean.reported_recall += c->reported_recall / n;
      mean.in_best += c->in_best / n;
      mean.purity += c->purity / n;
      mean.volume_error += c->volume_error / n;
      mean.accounts_named += c->accounts_named / n;
      mean.accounts_reported += c->accounts_reported / n;
      mean.accounts_together += c->accounts_together / n;
      mean.exchanges += c->exchanges;
      mean.accounts += c->accounts;
      s.pieces += static_cast<double>(c->pieces) / n;
      s.capability_right += c->capability_right;
      s.accused += c->best_verdict == "distillation";
    }
    mean.campaign = name;
    mean.operator_name = worst->operator_name;
    mean.capability = worst->capability;
    mean.best_id = worst->best_id;
    mean.best_verdict = worst->best_verdict;
    mean.capability_right = s.capability_right == list.size();
    s.mean = std::move(mean);
    s.worst_recall = worst->recall;
    s.recall = Bootstrap(list.size(), [&list = list](std::span<const uint32_t> drawn) {
      double sum = 0;
      for (const uint32_t i : drawn) sum += list[i]->recall;
      return sum / static_cast<double>(drawn.size());
    });
    out.push_back(std::move(s));
  }
  return out;
}

bool Number(const std::string& text, double* out) {
  char* end = nullptr;
  *out = std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0' && std::isfinite(*out);
}

std::vector<Knob> Knobs(const std::vector<Score>& worlds) {
  std::map<std::string, std::set<std::string>> values;
  for (const Score& w : worlds) {
    for (const auto& [path, value] : w.scenario) values[path].insert(value);
  }
  // What was turned on purpose, where scenarios say so; else everything that differs.
  const bool named = values.lower_bound("knobs.") != values.end() &&
                     values.lower_bound("knobs.")->first.starts_with("knobs.");
  std::vector<Knob> out;
  for (const auto& [path, all] : values) {
    const std::string leaf = path.substr(path.rfind('.') + 1);
    if (named && !path.starts_with("knobs.")) continue;
    if (all.size() < 2 || leaf == "seed" || out.size() == kKnobsMax) continue;
    Knob knob;
    knob.path = path;
    std::map<std::string, std::vector<std::pair<double, Share>>> by_value;
    for (const Score& w : worlds) {
      const auto it = w.scenario.find(path);
      if (it == w.scenario.end()) continue;
      double recall = w.recall.value(1);
      for (const CampaignScore& c : w.campaigns) {
        if (("." + path + ".").find("." + c.campaign + ".") != std::string::npos) recall = c.recall;
      }
      by_value[it->second].push_back({recall, w.innocents});
    }
    for (const auto& [value, list] : by_value) {
      Knob::Level level;
      level.value = value;
      level.worlds = list.size();
      for (const auto& [recall, innocents] : list) {
        level.recall += recall / static_cast<double>(list.size());
        Add(innocents, &level.innocents);
      }
      level.interval = Bootstrap(list.size(), [&list = list](std::span<const uint32_t> drawn) {
        double sum = 0;
        for (const uint32_t i : drawn) sum += list[i].first;
        return sum / static_cast<double>(drawn.size());
      });
      knob.levels.push_back(std::move(level));
    }
    std::stable_sort(knob.levels.begin(), knob.levels.end(), [](const auto& a, const auto& b) {
      double x = 0, y = 0;
      return Number(a.value, &x) && Number(b.value, &y) ? x < y : a.value < b.value;
    });
    out.push_back(std::move(knob));
  }
  return out;
}

}  // namespace

Summary Summarise(std::vector<Score> worlds, std::vector<Replay> replays) {
  Summary s;
  std::sort(worlds.begin(), worlds.end(), [](const Score& a, const Score& b) {
    return std::tie(a.truth, a.found) < std::tie(b.truth, b.found);
  });
  std::sort(replays.begin(), replays.end(),
            [](const Replay& a, const Replay& b) { return a.truth < b.truth; });
  for (const Score& w : worlds) {
    Add(w.recall, &s.recall);
    Add(w.precision, &s.precision);
    Add(w.accounts, &s.accounts);
    Add(w.innocents, &s.innocents);
    for (const auto& [role, n] : w.by_class) Add(n, &s.by_class[role]);
    s.min_campaign_recall = std::min(s.min_campaign_recall, w.min_campaign_recall);
  }
  s.recall_interval = Spread(worlds, &Score::recall, 1);
  s.precision_interval = Spread(worlds, &Score::precision, 1);
  s.accounts_interval = Spread(worlds, &Score::accounts, 1);
  s.min_recall_interval = Bootstrap(worlds.size(), [&](std::span<const uint32_t> drawn) {
    double sum = 0;
    for (const uint32_t i : drawn) sum += worlds[i].min_campaign_recall;
    return sum / static_cast<double>(drawn.size());
  });
  s.innocents_interval = Wilson(s.innocents.part, s.innocents.all);
  s.campaigns = Campaigns(worlds);
  s.calibration = Calibrate(Predictions(worlds, [](const auto&) { return true; }));
  s.reported = Calibrate(Predictions(worlds, [](const auto& c) { return c.found.reported; }));
  s.calibration_interval = Bootstrap(worlds.size(), [&](std::span<const uint32_t> drawn) {
    std::vector<Prediction> all;
    for (const uint32_t i : drawn) {
      for (const JudgedCandidate& c : worlds[i].judged)
        all.push_back({c.found.distillation, c.harvest});
    }
    return Calibrate(all).error;
  });
  std::set<std::string> verdicts, kinds;
  for (const Score& w : worlds) {
    for (const JudgedCandidate& c : w.judged)
      verdicts.insert(c.found.verdict), kinds.insert(c.kind);
  }
  for (const std::string& v : verdicts)
    s.by_verdict[v] =
        Calibrate(Predictions(worlds, [&](const auto& c) { return c.found.verdict == v; }));
  for (const std::string& k : kinds)
    s.by_kind[k] = Calibrate(Predictions(worlds, [&](const auto& c) { return c.kind == k; }));
  s.knobs = Knobs(worlds);
  s.worlds = std::move(worlds);
  s.replays = std::move(replays);
  return s;
}

namespace {

class Writer {
 public:
  explicit Writer(std::string* out) : w_(out, true) {}
  base::JsonWriter& w() { return w_; }
  void Real(const char* key, double v) {
    w_.Key(key);
    Value(v);
  }
  void Value(double v) { w_.Double(std::round(v * 1e6) / 1e6); }
  void Count(const char* key, uint64_t v) {
    w_.Key(key);
    w_.Uint(v);
  }
  void Text(const char* key, std::string_view v) {
    w_.Key(key);
    w_.String(v);
  }
  void Range(const char* key, const std::optional<Interval>& i) {
    w_.Key(key);
    if (!i) {
      w_.Null();
      return;
    }
    w_.BeginArray();
    Value(i->low);
    Value(i->high);
    w_.EndArray();
  }
  void Classes(const std::map<std::string, Share>& by_class) {
    w_.Key("innocents_by_class");
    w_.BeginObject();
    for (const auto& [name, n] : by_class) {
      w_.Key(name);
      w_.BeginObject();
      Count("accused", n.part);
      Count("accounts", n.all);
      Range("interval", Wilson(n.part, n.all));
      w_.EndObject();
    }
    w_.EndObject();
  }
  void Campaign(const CampaignScore& c, double pieces) {
    Text("verdict", c.best_verdict);
    Real("recall", c.recall);
    Real("reported_recall", c.reported_recall);
    Real("in_best", c.in_best);
    Real("purity", c.purity);
    Real("pieces", pieces);
    Real("volume_error", c.volume_error);
    w_.Key("capability_right");
    w_.Bool(c.capability_right);
    Real("accounts_named", c.accounts_named);
    Real("accounts_reported", c.accounts_reported);
    Real("accounts_together", c.accounts_together);
  }
  void Calibrated(const char* key, const Calibration& c, bool bins) {
    w_.Key(key);
    w_.BeginObject();
    Count("candidates", c.count);
    Count("harvests", c.happened);
    Real("expected_calibration_error", c.error);
    Real("log_loss", c.log_loss);
    Real("brier", c.brier);
    if (bins) {
      w_.Key("bins");
      w_.BeginArray();
      for (const Bin& b : c.bins) {
        w_.BeginObject();
        Real("from", b.from);
        Real("to", b.to);
        Count("candidates", b.count);
        Count("harvests", b.happened);
        Real("stated", b.stated);
        Range("interval", Wilson(b.happened, b.count));
        w_.EndObject();
      }
      w_.EndArray();
    }
    w_.EndObject();
  }

 private:
  base::JsonWriter w_;
};

// Shares above 1 mean never.
void Moments(Writer* out, const char* key, double first, double before) {
  out->w().Key(key);
  if (first > 1)
    out->w().Null();
  else
    out->Value(first);
  out->Real(StrCat("not_by_", key).c_str(), before);
}

}  // namespace

std::string SummaryJson(const Summary& s) {
  std::string text;
  Writer out(&text);
  base::JsonWriter& w = out.w();
  w.BeginObject();
  out.Real("exchange_recall", s.recall.value(1));
  out.Real("exchange_precision", s.precision.value(1));
  out.Real("account_recall", s.accounts.value(1));
  out.Real("min_campaign_recall", s.min_campaign_recall);
  out.Count("innocents", s.innocents.all);
  out.Count("innocents_accused", s.innocents.part);
  w.Key("intervals");
  w.BeginObject();
  out.Range("exchange_recall", s.recall_interval);
  out.Range("exchange_precision", s.precision_interval);
  out.Range("account_recall", s.accounts_interval);
  out.Range("mean_min_campaign_recall", s.min_recall_interval);
  out.Range("share_of_innocents_accused", s.innocents_interval);
  out.Range("expected_calibration_error", s.calibration_interval);
  w.EndObject();
  out.Classes(s.by_class);
  w.Key("campaigns");
  w.BeginObject();
  for (const CampaignSummary& c : s.campaigns) {
    w.Key(c.campaign);
    w.BeginObject();
    out.Campaign(c.mean, c.pieces);
    out.Count("exchanges", c.mean.exchanges);
    out.Count("accounts", c.mean.accounts);
    out.Count("worlds", c.worlds);
    out.Count("worlds_accused", c.accused);
    out.Count("worlds_capability_right", c.capability_right);
    out.Real("worst_recall", c.worst_recall);
    out.Range("recall_interval", c.recall);
    w.EndObject();
  }
  w.EndObject();
  out.Calibrated("calibration", s.calibration, true);
  out.Calibrated("calibration_of_reported", s.reported, true);
  w.Key("calibration_by_verdict");
  w.BeginObject();
  for (const auto& [name, c] : s.by_verdict) out.Calibrated(name.c_str(), c, false);
  w.EndObject();
  w.Key("calibration_by_kind");
  w.BeginObject();
  for (const auto& [name, c] : s.by_kind)
    out.Calibrated(name.empty() ? "unknown" : name.c_str(), c, false);
  w.EndObject();
  w.Key("accused");
  w.BeginArray();
  for (const Score& world : s.worlds) {
    for (const Accused& a : world.accused) {
      w.BeginObject();
      out.Text("truth", world.truth);
      out.Text("account", a.account);
      out.Text("class", a.role);
      out.Text("campaign", a.campaign);
      out.Real("probability", a.probability);
      out.Text("why", a.why);
      w.Key("evidence");
      w.BeginArray();
      for (const std::string& e : a.evidence) w.String(e);
      w.EndArray();
      w.EndObject();
    }
  }
  w.EndArray();
  w.Key("knobs");
  w.BeginArray();
  for (const Knob& k : s.knobs) {
    w.BeginObject();
    out.Text("path", k.path);
    w.Key("levels");
    w.BeginArray();
    for (const Knob::Level& l : k.levels) {
      w.BeginObject();
      out.Text("value", l.value);
      out.Count("worlds", l.worlds);
      out.Real("recall", l.recall);
      out.Range("interval", l.interval);
      out.Count("innocents", l.innocents.all);
      out.Count("innocents_accused", l.innocents.part);
      w.EndObject();
    }
    w.EndArray();
    w.EndObject();
  }
  w.EndArray();
  w.Key("replay");
  w.BeginArray();
  for (const Replay& r : s.replays) {
    w.BeginObject();
    out.Text("truth", r.truth);
    out.Count("moments", r.moments);
    out.Count("innocents_accused_at_most", r.innocents_accused);
    w.Key("campaigns");
    w.BeginObject();
    for (const ReplayedCampaign& c : r.campaigns) {
      w.Key(c.campaign);
      w.BeginObject();
      out.Count("exchanges", c.exchanges);
      out.Count("accounts", c.accounts);
      Moments(&out, "first_correct_verdict", c.first_verdict, c.no_verdict_yet);
      w.Key("held");
      w.Bool(c.held);
      Moments(&out, "holds_from", c.holds, c.not_held);
      Moments(&out, "first_of_its_own", c.apart, c.not_apart_yet);
      Moments(&out, "its_own_holds_from", c.apart_holds, c.apart_not_held);
      Moments(&out, "nine_tenths_named", c.nine_tenths, c.nine_tenths_not_yet);
      w.Key("moments");
      w.BeginArray();
      for (const Moment& m : c.moments) {
        w.BeginObject();
        w.Key("until_ms");
        w.Int(m.until_ms);
        out.Count("exchanges", m.exchanges);
        out.Real("harvested", m.harvested);
        w.Key("correct");
        w.Bool(m.correct);
        w.Key("of_its_own");
        w.Bool(m.apart);
        out.Real("recall", m.recall);
        out.Real("named", m.named);
        out.Real("named_of_active", m.named_active);
        out.Count("innocents_accused", m.innocents_accused);
        w.EndObject();
      }
      w.EndArray();
      w.EndObject();
    }
    w.EndObject();
    w.EndObject();
  }
  w.EndArray();
  w.Key("worlds");
  w.BeginArray();
  for (const Score& world : s.worlds) {
    w.BeginObject();
    out.Text("truth", world.truth);
    out.Text("found", world.found);
    out.Real("exchange_recall", world.recall.value(1));
    out.Real("exchange_precision", world.precision.value(1));
    out.Real("account_recall", world.accounts.value(1));
    out.Real("min_campaign_recall", world.min_campaign_recall);
    out.Count("exchanges_of_harvest", world.recall.all);
    out.Count("innocents", world.innocents.all);
    out.Count("innocents_accused", world.innocents.part);
    out.Classes(world.by_class);
    w.Key("campaigns");
    w.BeginObject();
    for (const CampaignScore& c : world.campaigns) {
      w.Key(c.campaign);
      w.BeginObject();
      out.Campaign(c, static_cast<double>(c.pieces));
      w.EndObject();
    }
    w.EndObject();
    w.EndObject();
  }
  w.EndArray();
  w.EndObject();
  text.push_back('\n');
  return text;
}

std::string CandidatesCsv(const Summary& s) {
  const auto cell = [](const std::string& text) {
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string out = "\"";
    for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
    return out + "\"";
  };
  std::string out =
      "truth,formed,verdict,stated,odds_bits,purpose_bits,open,exchanges,harvest,kind\n";
  char numbers[96];
  for (const Score& w : s.worlds) {
    for (const JudgedCandidate& c : w.judged) {
      std::snprintf(numbers, sizeof numbers, "%.6f,%.3f,%.3f,%d", c.found.distillation,
                    c.found.odds_bits, c.found.purpose_bits, c.found.open);
      out += StrCat(cell(w.truth), ",", c.found.formed, ",", c.found.verdict, ",", numbers, ",",
                    c.found.exchanges, ",", c.harvest ? 1 : 0, ",", cell(c.kind), "\n");
    }
  }
  return out;
}

std::string SummaryText(const Summary& s) {
  std::string out;
  char line[400];
  const auto range = [](const std::optional<Interval>& i) {
    char text[40] = "";
    if (i) std::snprintf(text, sizeof text, " [%.3f, %.3f]", i->low, i->high);
    return std::string(text);
  };
  if (s.worlds.size() > 1)
    out += StrCat(s.worlds.size(), " worlds; in brackets 95 % intervals over them\n");
  std::snprintf(line, sizeof line,
                "exchange recall %.4f%s  precision %.4f%s  account recall %.4f%s  innocents "
                "accused %llu of %llu\n\n",
                s.recall.value(1), range(s.recall_interval).c_str(), s.precision.value(1),
                range(s.precision_interval).c_str(), s.accounts.value(1),
                range(s.accounts_interval).c_str(),
                static_cast<unsigned long long>(s.innocents.part),
                static_cast<unsigned long long>(s.innocents.all));
  out += line;
  std::snprintf(line, sizeof line, "%-20s %-17s %7s %7s %8s %7s %7s %6s %8s %-5s %8s %8s\n",
                "campaign", "verdict", "recall", "worst", "reported", "in best", "purity", "pieces",
                "volume", "aim", "accounts", "together");
  out += line;
  for (const CampaignSummary& c : s.campaigns) {
    std::snprintf(
        line, sizeof line,
        "%-20s %-17s %7.4f %7.4f %8.4f %7.4f %7.4f %6.1f %+7.1f%% %-5s %8.3f %8.3f\n",
        c.campaign.c_str(), c.mean.best_verdict.empty() ? "not found" : c.mean.best_verdict.c_str(),
        c.mean.recall, c.worst_recall, c.mean.reported_recall, c.mean.in_best, c.mean.purity,
        c.pieces, c.mean.volume_error * 100, c.mean.capability_right ? "right" : "wrong",
        c.mean.accounts_reported, c.mean.accounts_together);
    out += line;
  }
  for (const auto& [name, n] : s.by_class) {
    if (n.part == 0) continue;
    std::snprintf(line, sizeof line, "accused innocents: %s %llu of %llu\n", name.c_str(),
                  static_cast<unsigned long long>(n.part), static_cast<unsigned long long>(n.all));
    out += line;
  }
  if (s.calibration.count > 0) {
    std::snprintf(line, sizeof line,
                  "\n%llu candidates judged, %llu of them harvests: expected calibration error "
                  "%.4f%s, log loss %.4f\n",
                  static_cast<unsigned long long>(s.calibration.count),
                  static_cast<unsigned long long>(s.calibration.happened), s.calibration.error,
                  range(s.calibration_interval).c_str(), s.calibration.log_loss);
    out += line;
  }
  for (const Replay& r : s.replays) {
    out += StrCat("\nReplay of ", r.truth, ": innocents accused at any of ", r.moments,
                  " moments: at most ", r.innocents_accused, ". Share harvested before...\n");
    std::snprintf(line, sizeof line, "%-20s %20s %20s %20s %20s %22s\n", "campaign",
                  "the first verdict", "it held for good", "one of its own", "that held for good",
                  "nine tenths were named");
    out += line;
    for (const ReplayedCampaign& c : r.campaigns) {
      std::snprintf(line, sizeof line, "%-20s %20s %20s %20s %20s %22s\n", c.campaign.c_str(),
                    Between(c.first_verdict, c.no_verdict_yet).c_str(),
                    Between(c.holds, c.not_held).c_str(), Between(c.apart, c.not_apart_yet).c_str(),
                    Between(c.apart_holds, c.apart_not_held).c_str(),
                    Between(c.nine_tenths, c.nine_tenths_not_yet).c_str());
      out += line;
    }
  }
  return out;
}

}  // namespace stillwatch::evaluate
