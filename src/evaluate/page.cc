// The page for people: no script, no network, plots as inline SVG.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "base/str.h"
#include "base/text.h"
#include "evaluate/report.h"

namespace stillwatch::evaluate {
namespace {

using base::Fixed;
using base::Grouped;
using base::Html;
using base::StrAppend;
using base::StrCat;

constexpr size_t kAccusedShown = 200, kNamesShown = 12;

std::string Range(const std::optional<Interval>& i, int digits) {
  return i ? StrCat(" (", Fixed(i->low, digits), " to ", Fixed(i->high, digits), ")") : "";
}

constexpr char kStyle[] = R"(
:root{--bg:#fdfcf9;--ink:#1d2127;--soft:#59616d;--line:#d9d5cc;--card:#fff;--bad:#9b1c1c;--bar:#3b6fb6;--bar2:#b9742a}
@media(prefers-color-scheme:dark){:root{--bg:#14171c;--ink:#e8e6e1;--soft:#a9b0ba;--line:#333a44;--card:#1b2027;--bad:#ff9c92;--bar:#6f9fdf;--bar2:#e0a458}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 Georgia,'Source Serif 4','Times New Roman',serif}
main{max-width:66rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}h1{font-size:1.9rem;line-height:1.2;margin:.2rem 0}h2{font-size:1.2rem;margin:2.4rem 0 .6rem;padding-top:.7rem;border-top:1px solid var(--line)}h3{font:600 .92rem/1.4 system-ui,sans-serif;margin:1rem 0 .2rem;overflow-wrap:anywhere}
.figs,.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.7rem;margin:1.3rem 0}.plots{grid-template-columns:repeat(auto-fit,minmax(19rem,1fr))}
.fig,.plot{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.75rem .9rem}.fig b{display:block;font:600 1.2rem/1.25 system-ui,sans-serif;font-variant-numeric:tabular-nums}.fig span{color:var(--soft);font:.82rem/1.3 system-ui,sans-serif}
table{border-collapse:collapse;width:100%;font:.86rem/1.45 system-ui,sans-serif}th{text-align:left;color:var(--soft);font-weight:600;border-bottom:1.5px solid var(--line);padding:.35rem .6rem .35rem 0}td{border-bottom:1px solid var(--line);padding:.4rem .6rem .4rem 0;vertical-align:top;overflow-wrap:anywhere}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bad{color:var(--bad)}.soft{color:var(--soft)}svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font:11px system-ui,sans-serif}svg line,svg path{stroke:var(--line);fill:none}svg .s0{stroke:var(--bar);fill:var(--bar)}svg .s1{stroke:var(--bar2);fill:var(--bar2)}svg path.s0,svg path.s1{fill:none;stroke-width:2}svg line.s0,svg line.s1{stroke-width:1.5}svg .even{stroke:var(--soft)}svg text.y{fill:var(--ink)}figure{margin:0}figcaption,caption{color:var(--soft);font:.82rem/1.45 system-ui,sans-serif;text-align:left;padding:.3rem 0 .5rem;max-width:60rem}figcaption b,caption b{color:var(--ink)}.swatch{display:inline-block;width:.7rem;height:.7rem;border-radius:50%;background:var(--bar);vertical-align:-.05rem;margin-right:.25rem}.swatch.b{background:var(--bar2)}dl{font:.86rem/1.5 system-ui,sans-serif;display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.6rem 0}dt{font-weight:600}dd{margin:0;color:var(--soft)}summary{cursor:pointer;font:.9rem/1.6 system-ui,sans-serif}.fine{border-left:4px solid var(--bar);padding:.2rem 0 .2rem .9rem}.scroll{overflow-x:auto}footer{margin-top:3rem;color:var(--soft);font:.82rem/1.5 system-ui,sans-serif}
@media(max-width:40rem){th.n{white-space:normal}td:first-child{overflow-wrap:normal;hyphens:none}dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}main{padding:1.5rem .8rem 3rem}}
@media print{:root{--bg:#fff;--ink:#000;--soft:#444;--line:#bbb;--card:#fff;--bad:#8b0000;--bar:#2a5a9c;--bar2:#9c5a12;color-scheme:light}main{max-width:none;padding:0}body{font-size:10pt}table{font-size:8pt}.scroll{overflow:visible}.plot,.fig,tr,figure{break-inside:avoid}h2,h3,caption{break-after:avoid}.plots{grid-template-columns:1fr 1fr}thead{display:table-header-group}}
)";

struct Point {
  double x = 0, y = 0;  // both 0 to 1
  double low = 0, high = 0;
  double size = 4;
  std::string title;
  bool whisker = false;
};

using Ticks = std::vector<std::pair<double, std::string>>;
const Ticks kQuarters = {{0, "0"}, {.25, ".25"}, {.5, ".5"}, {.75, ".75"}, {1, "1"}};

// A frame from 0 to 1 both ways, with series of points, joined when `join`.
std::string Plot(const std::string& label, const Ticks& ticks, const Ticks& y_ticks,
                 const std::string& x_label, const std::string& y_label,
                 const std::vector<std::vector<Point>>& series, bool diagonal, bool join,
                 size_t colour_of_first = 0) {
  constexpr double kLeft = 58, kTop = 10, kWidth = 290, kHeight = 190;
  const auto x = [&](double v) { return Fixed(kLeft + kWidth * std::clamp(v, 0.0, 1.0), 1); };
  const auto y = [&](double v) { return Fixed(kTop + kHeight * (1 - std::clamp(v, 0.0, 1.0)), 1); };
  std::string s =
      StrCat("<svg viewBox=\"0 0 360 250\" role=\"img\" aria-label=\"", Html(label), "\">");
  for (const auto& [v, text] : y_ticks) {
    StrAppend(&s, "<line x1=\"", x(0), "\" y1=\"", y(v), "\" x2=\"", x(1), "\" y2=\"", y(v),
              "\"/><text x=\"", Fixed(kLeft - 5, 0), "\" y=\"",
              Fixed(kTop + kHeight * (1 - v) + 4, 1), "\" text-anchor=\"end\">", Html(text),
              "</text>");
  }
  for (const auto& [at, text] : ticks) {
    StrAppend(&s, "<text x=\"", x(at), "\" y=\"216\" text-anchor=\"middle\">", Html(text), "</text>");
  }
  StrAppend(&s, "<text x=\"", x(.5), "\" y=\"238\" text-anchor=\"middle\">", Html(x_label),
            "</text><text class=\"y\" transform=\"rotate(-90)\" x=\"-105\" y=\"11\" "
            "text-anchor=\"middle\">",
            Html(y_label), "</text>");
  if (diagonal)
    StrAppend(&s, "<line class=\"even\" x1=\"", x(0), "\" y1=\"", y(0), "\" x2=\"", x(1),
              "\" y2=\"", y(1), "\" stroke-dasharray=\"4 4\"/>");
  for (size_t i = 0; i < series.size(); ++i) {
    const std::string colour = StrCat("class=\"s", (i + colour_of_first) % 2, "\"");
    if (join && series[i].size() > 1) {
      std::string path;
      for (const Point& p : series[i])
        StrAppend(&path, path.empty() ? "M" : "L", x(p.x), " ", y(p.y));
      StrAppend(&s, "<path ", colour, " d=\"", path, "\"/>");
    }
    for (const Point& p : series[i]) {
      if (p.whisker)
        StrAppend(&s, "<line ", colour, " x1=\"", x(p.x), "\" y1=\"", y(p.low), "\" x2=\"", x(p.x),
                  "\" y2=\"", y(p.high), "\"/>");
      StrAppend(&s, "<circle ", colour, " cx=\"", x(p.x), "\" cy=\"", y(p.y), "\" r=\"",
                Fixed(p.size, 1), "\"><title>", Html(p.title), "</title></circle>");
    }
  }
  return s + "</svg>";
}

std::string Reliability(const Calibration& c) {
  std::vector<Point> points;
  for (const Bin& b : c.bins) {
    if (b.count == 0) continue;
    const double observed = static_cast<double>(b.happened) / static_cast<double>(b.count);
    const Interval i = Wilson(b.happened, b.count);
    points.push_back({b.stated, observed, i.low, i.high,
                      std::min(9.0, 2.5 + std::log10(static_cast<double>(b.count)) * 1.8),
                      StrCat("stated ", Fixed(b.stated, 3), ", observed ", Fixed(observed, 3), ", ",
                             Grouped(b.count), " candidates"),
                      true});
  }
  return Plot("Reliability: observed share of harvests against stated probability", kQuarters,
              kQuarters, "stated probability of distillation", "share that was a harvest", {points},
              true, false);
}

// Two plots, as a recall and a share of innocents have no scale in common.
std::string KnobPlots(const Knob& k) {
  const double n = static_cast<double>(std::max<size_t>(1, k.levels.size() - 1));
  std::vector<Point> recall, innocents;
  Ticks ticks;
  double most = 0;  // of what the whiskers reach
  for (const auto& l : k.levels)
    most = std::max(most, Wilson(l.innocents.part, l.innocents.all).high);
  double top = 1e-5;  // 1, 2 or 5 times a power of ten
  for (int i = 0; top < most && top < 1; ++i) top *= i % 3 == 1 ? 2.5 : 2;
  top = std::min(top, 1.0);
  // As many names as there is room for.
  const size_t step = (k.levels.size() + 5) / 6;
  for (size_t i = 0; i < k.levels.size(); ++i) {
    const auto& l = k.levels[i];
    const double x = .04 + .92 * static_cast<double>(i) / n;
    if (i % step == 0) ticks.push_back({x, l.value.substr(0, 10)});
    recall.push_back({x, l.recall, l.interval ? l.interval->low : 0,
                      l.interval ? l.interval->high : 0, 4,
                      StrCat(l.value, ": recall ", Fixed(l.recall, 3), ", ", l.worlds,
                             l.worlds == 1 ? " world" : " worlds"),
                      l.interval.has_value()});
    const Interval w = Wilson(l.innocents.part, l.innocents.all);
    innocents.push_back({x, l.innocents.value(0) / top, w.low / top, w.high / top, 3,
                         StrCat(l.value, ": ", Grouped(l.innocents.part), " of ",
                                Grouped(l.innocents.all), " innocents accused"),
                         true});
  }
  Ticks shares;
  for (const double v : {0.0, .5, 1.0}) {
    char text[16];
    std::snprintf(text, sizeof text, "%.3g %%", v * top * 100);
    shares.push_back({v, text});
  }
  return StrCat(
      "<div class=\"plot\"><h3>", Html(k.path), "</h3>",
      Plot(k.path + ": recall", ticks, kQuarters, k.path, "recall", {recall}, false, true),
      Plot(k.path + ": innocents accused", ticks, shares, k.path, "innocents accused", {innocents},
           false, true, 1),
      "</div>");
}

std::string ReplayPlot(const ReplayedCampaign& c) {
  // Shares from .1 to 100 % on a logarithmic axis.
  const auto at = [](double share) { return 1 + std::log10(std::max(share, .001)) / 3; };
  std::vector<Point> recall, named;
  for (const Moment& m : c.moments) {
    if (m.harvested < .0005) continue;
    recall.push_back({at(m.harvested), m.recall, 0, 0, m.correct ? 4.0 : 2.0,
                      StrCat(Fixed(m.harvested * 100, 2), " % harvested: recall ", Fixed(m.recall, 3),
                             m.correct ? ", correct verdict" : ", no verdict"),
                      false});
    named.push_back({at(m.harvested), m.named, 0, 0, 2,
                     StrCat(Fixed(m.harvested * 100, 2), " % harvested: ", Fixed(m.named * 100, 1),
                            " % of all accounts named"),
                     false});
  }
  return StrCat(
      "<div class=\"plot\"><h3>", Html(c.campaign), "</h3>",
      Plot(c.campaign + ": what was known while it went on",
           {{at(.001), ".1 %"}, {at(.01), "1 %"}, {at(.1), "10 %"}, {1, "100 %"}}, kQuarters,
           "share of the campaign harvested", "share", {recall, named}, false, true),
      "</div>");
}

// "3 worlds: june-2026 (2), mixed".
std::string WorldsOf(const Summary& s) {
  std::map<std::string, size_t> names;
  for (const Score& w : s.worlds) {
    const auto it = w.scenario.find("name");
    ++names[it == w.scenario.end() ? w.truth : it->second];
  }
  std::string out = StrCat(Grouped(s.worlds.size()),
                           s.worlds.size() == 1 ? " labelled world: " : " labelled worlds: ");
  size_t shown = 0;
  for (const auto& [name, n] : names) {
    if (++shown > kNamesShown) {
      StrAppend(&out, " and ", names.size() - kNamesShown, " more");
      break;
    }
    StrAppend(&out, shown == 1 ? "" : ", ", Html(name), n > 1 ? StrCat(" (", n, ")") : "");
  }
  return out + ".";
}

// What one would lose who always states how often it is a harvest.
double LossOfBaseRate(const Calibration& c) {
  const double p =
      static_cast<double>(c.happened) / static_cast<double>(std::max<size_t>(1, c.count));
  return p <= 0 || p >= 1 ? 0 : -(p * std::log(p) + (1 - p) * std::log(1 - p));
}

// Numbers what a text can refer to.
struct Numbers {
  int tables = 0, figures = 0;
  std::string Table(const std::string& what) {
    return StrCat("<caption><b>Table ", ++tables, ".</b> ", what, "</caption>");
  }
  std::string Figure(const std::string& what) {
    return StrCat("<figcaption><b>Figure ", ++figures, ".</b> ", what, "</figcaption>");
  }
};

void Figure(std::string* h, const std::string& value, const std::string& what) {
  StrAppend(h, "<div class=\"fig\"><b>", value, "</b><span>", what, "</span></div>");
}

}  // namespace

std::string SummaryPage(const Summary& s) {
  std::string h;
  StrAppend(&h,
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
            "'unsafe-inline'; base-uri 'none'; form-action 'none'\">"
            "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta "
            "name=\"color-scheme\" content=\"light dark\">"
            "<title>Evaluation</title><style>",
            std::string(kStyle), "</style></head><body><main><h1>Evaluation</h1><p class=\"soft\">",
            WorldsOf(s),
            s.worlds.size() == 1 ? ""
                                 : " In brackets 95 % intervals, by bootstrap over worlds or, for "
                                   "counted innocents, by Wilson's score.",
            "</p><div class=\"figs\">");
  Numbers number;
  Figure(&h, Fixed(s.recall.value(1), 4), "exchange recall" + Range(s.recall_interval, 4));
  Figure(&h, Fixed(s.precision.value(1), 4), "exchange precision" + Range(s.precision_interval, 4));
  Figure(&h, Fixed(s.accounts.value(1), 4),
         "operators' accounts named" + Range(s.accounts_interval, 4));
  Figure(&h, Grouped(s.innocents.part) + " of " + Grouped(s.innocents.all),
         "innocents accused" + Range(s.innocents_interval, 5));
  Figure(&h, Fixed(s.min_campaign_recall, 4), "lowest recall of any campaign in any world");
  if (s.calibration.count > 0) {
    Figure(&h, Fixed(s.calibration.error, 4),
           "expected calibration error" + Range(s.calibration_interval, 4));
    Figure(
        &h, Fixed(s.calibration.log_loss, 4),
        StrCat("log loss over ", Grouped(s.calibration.count), " judged candidates (",
               Fixed(LossOfBaseRate(s.calibration), 4), " for who always states the base rate)"));
  }
  StrAppend(
      &h,
      "</div><details><summary>What is measured</summary><dl>"
      "<dt>recall<dd>of the exchanges that a campaign truly harvested, the share in findings that "
      "accuse (verdict distillation); <i>reported</i>: in any finding"
      "<dt>precision<dd>of the exchanges in findings that accuse, the share that was harvested"
      "<dt>accounts named<dd>of the operators' accounts, the share that is accused, each by itself"
      "<dt>innocents accused<dd>accounts of everybody else that are: customers, look-alikes, "
      "owners "
      "of stolen keys"
      "<dt>best match, purity, pieces<dd>share of the campaign in the finding that has most of it; "
      "share of that finding that is this campaign; how many findings it came in"
      "<dt>volume error<dd>of that finding's exchanges against the true number"
      "<dt>aim<dd>whether the capability named first is the true one"
      "<dt>calibration error<dd>mean distance of the stated probability from how often it came "
      "true, "
      "over all candidates that were weighed, reported or not</dl></details><h2>Campaigns</h2><div "
      "class=\"scroll\"><table>",
      number.Table("Campaigns, means over the worlds that have them."),
      "<thead><tr><th>campaign<th "
      "class=\"n\">worlds<th class=\"n\">accused in<th class=\"n\">recall<th class=\"n\">worst"
      "<th class=\"n\">reported<th class=\"n\">in best match<th class=\"n\">purity<th "
      "class=\"n\">pieces<th class=\"n\">volume error<th class=\"n\">aim right</tr></thead>");
  for (const CampaignSummary& c : s.campaigns) {
    StrAppend(&h, "<tr><td>", Html(c.campaign), "<td class=\"n\">", c.worlds, "<td class=\"n\">",
              c.accused, "<td class=\"n\">", Fixed(c.mean.recall, 3), Range(c.recall, 3),
              "<td class=\"n\">", Fixed(c.worst_recall, 3), "<td class=\"n\">",
              Fixed(c.mean.reported_recall, 3), "<td class=\"n\">", Fixed(c.mean.in_best, 3),
              "<td class=\"n\">", Fixed(c.mean.purity, 3), "<td class=\"n\">", Fixed(c.pieces, 1),
              "<td class=\"n\">", Fixed(c.mean.volume_error * 100, 1), " %<td class=\"n\">",
              c.capability_right, "</tr>");
  }
  StrAppend(&h, "</table></div><h2>Innocents</h2><div class=\"scroll\"><table>",
            number.Table("Innocents by class; the bound is the upper end of Wilson's interval."),
            "<thead><tr><th>class<th class=\"n\">accounts<th class=\"n\">accused<th "
            "class=\"n\">at most, with 95 % certainty</tr></thead>");
  for (const auto& [name, n] : s.by_class) {
    StrAppend(&h, "<tr><td>", Html(name), "<td class=\"n\">", Grouped(n.all),
              n.part > 0 ? "<td class=\"n bad\">" : "<td class=\"n\">", Grouped(n.part),
              "<td class=\"n\">", Fixed(Wilson(n.part, n.all).high * 100, 2), " %</tr>");
  }
  h += "</table></div>";
  size_t accused = 0;
  for (const Score& w : s.worlds) accused += w.accused.size();
  h += "<h2>Who was wrongly accused, and why</h2>";
  if (accused == 0) {
    StrAppend(&h, "<p class=\"fine\">Nobody, of ", Grouped(s.innocents.all), " innocents.</p>");
  } else {
    StrAppend(
        &h, "<div class=\"scroll\"><table>",
        number.Table(StrCat(Grouped(accused), accused == 1 ? " account" : " accounts",
                            accused > kAccusedShown ? StrCat("; the first ", kAccusedShown) : "",
                            ", each with what was said of it and the strongest evidence of "
                            "the campaign that it was put into.")),
        "<thead><tr><th>account<th>class<th class=\"n\">stated<th>why, and the evidence of "
        "its campaign</tr></thead>");
    size_t shown = 0;
    for (const Score& w : s.worlds) {
      for (const Accused& a : w.accused) {
        if (++shown > kAccusedShown) break;
        StrAppend(&h, "<tr><td>", Html(a.account), "<br><span class=\"soft\">", Html(w.truth),
                  "</span><td>", Html(a.role), "<td class=\"n\">", Fixed(a.probability, 3), "<td>",
                  Html(a.why));
        for (const std::string& e : a.evidence)
          StrAppend(&h, "<br><span class=\"soft\">", Html(e), "</span>");
        h += "</tr>";
      }
    }
    h += "</table></div>";
  }
  if (s.calibration.count > 0) {
    StrAppend(
        &h,
        "<h2>What stated probabilities are worth</h2><figure><div class=\"plots\"><div "
        "class=\"plot\"><h3>All ",
        Grouped(s.calibration.count), " judged candidates</h3>", Reliability(s.calibration),
        "</div><div class=\"plot\"><h3>The ", Grouped(s.reported.count), " reported ones, error ",
        Fixed(s.reported.error, 4), "</h3>", Reliability(s.reported), "</div></div>",
        number.Figure("Reliability: how often candidates of a stated probability were harvests, "
                      "with 95 % intervals; larger dots stand for more candidates, the dashed line "
                      "for statements that are exactly right."),
        "</figure><div class=\"scroll\"><table>",
        number.Table("Calibration by the verdict that was given; log loss in nats."),
        "<thead><tr><th>verdict<th class=\"n\">candidates<th "
        "class=\"n\">harvests<th class=\"n\">error<th class=\"n\">log loss</tr></thead>");
    for (const auto& [name, c] : s.by_verdict) {
      StrAppend(&h, "<tr><td>", Html(name), "<td class=\"n\">", Grouped(c.count), "<td class=\"n\">",
                Grouped(c.happened), "<td class=\"n\">", Fixed(c.error, 4), "<td class=\"n\">",
                Fixed(c.log_loss, 4), "</tr>");
    }
    h += "</table></div>";
  }
  if (!s.replays.empty()) {
    h += "<h2>Judged while it went on</h2>";
    for (const Replay& r : s.replays) {
      h += "<figure><div class=\"plots\">";
      for (const ReplayedCampaign& c : r.campaigns) h += ReplayPlot(c);
      StrAppend(
          &h, "</div>",
          number.Figure(StrCat(
              Html(r.truth),
              ": what was known when so much of each campaign had been harvested, with no "
              "information from later. <span class=\"swatch\"></span>recall of what had been "
              "harvested, large where a correct verdict stood; <span class=\"swatch "
              "b\"></span>share of all its accounts that were named. Innocents accused at any of ",
              Grouped(r.moments), " moments: at most ", Grouped(r.innocents_accused), ".")),
          "</figure>");
      h += "<div class=\"scroll\"><table><tr><th>share harvested before<th class=\"n\">the "
           "first verdict<th class=\"n\">it held for good<th class=\"n\">one of its own<th "
           "class=\"n\">that held for good<th class=\"n\">nine tenths named</tr>";
      const auto between = [&](double first, double before) {
        StrAppend(&h, "<td class=\"n\">", Between(first, before));
      };
      for (const ReplayedCampaign& c : r.campaigns) {
        StrAppend(&h, "<tr><td>", Html(c.campaign));
        between(c.first_verdict, c.no_verdict_yet);
        between(c.holds, c.not_held);
        between(c.apart, c.not_apart_yet);
        between(c.apart_holds, c.apart_not_held);
        between(c.nine_tenths, c.nine_tenths_not_yet);
        h += "</tr>";
      }
      h += "</table></div>";
    }
  }
  if (!s.knobs.empty()) {
    h += "<h2>By knob</h2><figure><div class=\"plots\">";
    for (const Knob& k : s.knobs) h += KnobPlots(k);
    StrAppend(
        &h, "</div>",
        number.Figure("What differs between the worlds, one value of scenario.yaml at a time: "
                      "recall of the campaign that it is of, or of all, and the share of "
                      "innocents accused, with 95 % intervals. Other values may differ along "
                      "with it."),
        "</figure>");
  }
  return h +
         "<footer>Measured on labelled worlds; a simulator is not a provider's log. Written by "
         "stillwatch evaluate; the same scores are in evaluation.json (--out) and on the terminal "
         "(--json).</footer></main></body></html>\n";
}

}  // namespace stillwatch::evaluate
