// The page for people: no script, no network, plots as inline SVG.
#include <algorithm>
#include <cmath>
#include <cstdlib>

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

constexpr size_t kAccusedShown = 200;

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
.bad{color:var(--bad)}.soft{color:var(--soft)}svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font:11px system-ui,sans-serif}svg line,svg path{stroke:var(--line);fill:none}svg .s0{stroke:var(--bar);fill:var(--bar)}svg .s1{stroke:var(--bar2);fill:var(--bar2)}svg path.s0,svg path.s1{fill:none;stroke-width:2}.scroll{overflow-x:auto}footer{margin-top:3rem;color:var(--soft);font:.82rem/1.5 system-ui,sans-serif}
@media print{main{max-width:none;padding:0}.plot,tr{break-inside:avoid}}
)";

struct Point {
  double x = 0, y = 0;  // both 0 to 1
  double low = 0, high = 0;
  double size = 4;
  std::string title;
  bool whisker = false;
};

// A frame from 0 to 1 both ways, with series of points, joined when `join`.
std::string Plot(const std::string& label, const std::vector<std::pair<double, std::string>>& ticks,
                 const std::string& x_label, const std::string& y_label,
                 const std::vector<std::vector<Point>>& series, bool diagonal, bool join) {
  constexpr double kLeft = 44, kTop = 10, kWidth = 300, kHeight = 190;
  const auto x = [&](double v) { return Fixed(kLeft + kWidth * std::clamp(v, 0.0, 1.0), 1); };
  const auto y = [&](double v) { return Fixed(kTop + kHeight * (1 - std::clamp(v, 0.0, 1.0)), 1); };
  std::string s =
      StrCat("<svg viewBox=\"0 0 360 250\" role=\"img\" aria-label=\"", Html(label), "\">");
  for (const double v : {0.0, .25, .5, .75, 1.0}) {
    StrAppend(&s, "<line x1=\"", x(0), "\" y1=\"", y(v), "\" x2=\"", x(1), "\" y2=\"", y(v),
              "\"/><text x=\"", Fixed(kLeft - 5, 0), "\" y=\"", Fixed(kTop + kHeight * (1 - v) + 4, 1),
              "\" text-anchor=\"end\">", Fixed(v, 2), "</text>");
  }
  for (const auto& [at, text] : ticks) {
    StrAppend(&s, "<text x=\"", x(at), "\" y=\"216\" text-anchor=\"middle\">", Html(text), "</text>");
  }
  StrAppend(&s, "<text x=\"", x(.5), "\" y=\"238\" text-anchor=\"middle\">", Html(x_label),
            "</text><text transform=\"rotate(-90)\" x=\"-105\" y=\"11\" text-anchor=\"middle\">",
            Html(y_label), "</text>");
  if (diagonal)
    StrAppend(&s, "<line x1=\"", x(0), "\" y1=\"", y(0), "\" x2=\"", x(1), "\" y2=\"", y(1),
              "\" stroke-dasharray=\"4 4\"/>");
  for (size_t i = 0; i < series.size(); ++i) {
    const std::string colour = StrCat("class=\"s", i % 2, "\"");
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
  return Plot("Reliability: observed share of harvests against stated probability",
              {{0, "0"}, {.25, ".25"}, {.5, ".5"}, {.75, ".75"}, {1, "1"}},
              "stated probability of distillation", "share that was a harvest", {points}, true,
              false);
}

std::string KnobPlots(const Knob& k) {
  const double n = static_cast<double>(std::max<size_t>(1, k.levels.size() - 1));
  std::vector<Point> recall, innocents;
  std::vector<std::pair<double, std::string>> ticks;
  double most = 0;
  for (const auto& l : k.levels) most = std::max(most, l.innocents.value(0));
  for (size_t i = 0; i < k.levels.size(); ++i) {
    const auto& l = k.levels[i];
    const double x = .04 + .92 * static_cast<double>(i) / n;
    ticks.push_back({x, l.value.substr(0, 10)});
    recall.push_back({x, l.recall, l.interval ? l.interval->low : 0,
                      l.interval ? l.interval->high : 0, 4,
                      StrCat(l.value, ": recall ", Fixed(l.recall, 3), ", ", l.worlds, " worlds"),
                      l.interval.has_value()});
    const Interval w = Wilson(l.innocents.part, l.innocents.all);
    const double scale = most > 0 ? std::max(most, .001) * 1.5 : .01;
    innocents.push_back({x, l.innocents.value(0) / scale, w.low / scale, w.high / scale, 3,
                         StrCat(l.value, ": ", Grouped(l.innocents.part), " of ", Grouped(l.innocents.all),
                                " innocents accused"),
                         false});
  }
  return StrCat(
      "<div class=\"plot\"><h3>", Html(k.path), "</h3>",
      Plot(k.path + ": recall, and innocents accused", ticks,
           "blue: recall; amber: innocents accused", "recall", {recall, innocents}, false, true),
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
  return StrCat("<div class=\"plot\"><h3>", Html(c.campaign), "</h3>",
                Plot(c.campaign + ": what was known while it went on",
                     {{at(.001), ".1 %"}, {at(.01), "1 %"}, {at(.1), "10 %"}, {1, "100 %"}},
                     "share harvested; blue: recall, amber: accounts named", "share",
                     {recall, named}, false, true),
                "</div>");
}

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
            Grouped(s.worlds.size()),
            s.worlds.size() == 1 ? " world."
                                 : " worlds; in brackets 95 % intervals, by bootstrap over worlds "
                                   "or, for counted innocents, by Wilson's score.",
            "</p><div class=\"figs\">");
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
    Figure(&h, Fixed(s.calibration.log_loss, 4),
           StrCat("log loss over ", Grouped(s.calibration.count), " judged candidates"));
  }
  h += "</div><h2>Campaigns</h2><div class=\"scroll\"><table><tr><th>campaign<th "
       "class=\"n\">worlds<th class=\"n\">accused in<th class=\"n\">recall<th class=\"n\">worst"
       "<th class=\"n\">reported<th class=\"n\">in best match<th class=\"n\">purity<th "
       "class=\"n\">pieces<th class=\"n\">volume error<th class=\"n\">aim right</tr>";
  for (const CampaignSummary& c : s.campaigns) {
    StrAppend(&h, "<tr><td>", Html(c.campaign), "<td class=\"n\">", c.worlds, "<td class=\"n\">",
              c.accused, "<td class=\"n\">", Fixed(c.mean.recall, 3), Range(c.recall, 3),
              "<td class=\"n\">", Fixed(c.worst_recall, 3), "<td class=\"n\">",
              Fixed(c.mean.reported_recall, 3), "<td class=\"n\">", Fixed(c.mean.in_best, 3),
              "<td class=\"n\">", Fixed(c.mean.purity, 3), "<td class=\"n\">", Fixed(c.pieces, 1),
              "<td class=\"n\">", Fixed(c.mean.volume_error * 100, 1), " %<td class=\"n\">",
              c.capability_right, "</tr>");
  }
  h += "</table></div><h2>Innocents</h2><div class=\"scroll\"><table><tr><th>class<th "
       "class=\"n\">accounts<th class=\"n\">accused<th class=\"n\">at most, with 95 % "
       "certainty</tr>";
  for (const auto& [name, n] : s.by_class) {
    StrAppend(&h, "<tr><td>", Html(name), "<td class=\"n\">", Grouped(n.all),
              n.part > 0 ? "<td class=\"n bad\">" : "<td class=\"n\">", Grouped(n.part),
              "<td class=\"n\">", Fixed(Wilson(n.part, n.all).high * 100, 2), " %</tr>");
  }
  h += "</table></div>";
  size_t accused = 0;
  for (const Score& w : s.worlds) accused += w.accused.size();
  if (accused > 0) {
    StrAppend(&h, "<h2>Who was wrongly accused, and why</h2><p class=\"soft\">", Grouped(accused),
              " accounts", accused > kAccusedShown ? StrCat("; the first ", kAccusedShown) : "",
              ".</p><div class=\"scroll\"><table><tr><th>account<th>class<th "
              "class=\"n\">stated<th>why, and the evidence of its campaign</tr>");
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
        "<h2>What stated probabilities are worth</h2><div class=\"plots\"><div "
        "class=\"plot\"><h3>All ",
        Grouped(s.calibration.count), " judged candidates</h3>", Reliability(s.calibration),
        "</div><div class=\"plot\"><h3>The ", Grouped(s.reported.count), " reported ones, error ",
        Fixed(s.reported.error, 4), "</h3>", Reliability(s.reported),
        "</div></div><div class=\"scroll\"><table><tr><th>verdict<th class=\"n\">candidates<th "
        "class=\"n\">harvests<th class=\"n\">error<th class=\"n\">log loss</tr>");
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
      StrAppend(&h, "<p class=\"soft\">", Html(r.truth),
                ". Large dots: a correct verdict stood.</p><div class=\"plots\">");
      for (const ReplayedCampaign& c : r.campaigns) h += ReplayPlot(c);
      h += "</div>";
    }
  }
  if (!s.knobs.empty()) {
    h += "<h2>By knob</h2><div class=\"plots\">";
    for (const Knob& k : s.knobs) h += KnobPlots(k);
    h += "</div>";
  }
  return h +
         "<footer>Measured on labelled worlds; a simulator is not a provider's "
         "log.</footer></main></body></html>\n";
}

}  // namespace stillwatch::evaluate
