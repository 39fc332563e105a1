#include "dossier/html.h"

#include <algorithm>
#include <cmath>

#include "base/str.h"
#include "base/text.h"
#include "base/time.h"

namespace stillwatch::dossier {
namespace {

using base::Fixed;
using base::Grouped;
using base::Html;
using base::StrAppend;
using model::Family;

constexpr char kStyle[] = R"(
:root{--bg:#fdfcf9;--ink:#1d2127;--soft:#59616d;--line:#d9d5cc;--card:#fff;--accent:#174ea6;--bad:#9b1c1c;--good:#1e6b3a;--bar:#3b6fb6;--bar2:#b9742a;--code:#f3f0e9}
@media(prefers-color-scheme:dark){:root{--bg:#14171c;--ink:#e8e6e1;--soft:#a9b0ba;--line:#333a44;--card:#1b2027;--accent:#8ab4f8;--bad:#ff9c92;--good:#7fd69a;--bar:#6f9fdf;--bar2:#e0a458;--code:#22272f}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 Georgia,'Source Serif 4','Times New Roman',serif}
main{max-width:62rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}h1{font-size:1.9rem;line-height:1.2;margin:.2rem 0}h2{font-size:1.2rem;margin:2.4rem 0 .6rem;padding-top:.7rem;border-top:1px solid var(--line)}h3{font-size:1rem;margin:1.4rem 0 .4rem}
.over{font:600 .78rem/1.4 system-ui,sans-serif;letter-spacing:.08em;text-transform:uppercase;color:var(--soft)}
.badge{display:inline-block;font:600 .85rem/1 system-ui,sans-serif;padding:.4rem .65rem;border:1.5px solid currentColor;border-radius:.35rem;margin:.5rem .6rem .5rem 0}
.distillation{color:var(--bad)}.permitted,.shared-tool,.evaluation{color:var(--good)}
.lead{font-size:1.15rem;max-width:46rem}.figs{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.7rem;margin:1.3rem 0}
.fig{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.75rem .9rem}.fig b{display:block;font:600 1.2rem/1.25 system-ui,sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}.fig span{display:block;color:var(--soft);font:.82rem/1.3 system-ui,sans-serif}
table{border-collapse:collapse;width:100%;margin:.6rem 0 1.4rem;font:.88rem/1.45 system-ui,sans-serif}th{text-align:left;color:var(--soft);font-weight:600;border-bottom:1.5px solid var(--line);padding:.35rem .8rem .35rem 0}td{border-bottom:1px solid var(--line);padding:.5rem .8rem .5rem 0;vertical-align:top;overflow-wrap:break-word}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.w,td.w code{white-space:nowrap}td.w{width:1%}td:last-child,th:last-child{padding-right:0}
.null{color:var(--soft)}code,pre{font:.8rem/1.5 ui-monospace,Menlo,Consolas,monospace;background:var(--code);border-radius:.3rem}code{padding:.1rem .3rem;overflow-wrap:anywhere}pre{padding:.7rem;white-space:pre-wrap;overflow-wrap:anywhere;margin:.3rem 0}
.meter{display:inline-block;height:.6rem;border-radius:.15rem;background:var(--bar);vertical-align:middle}.meter.neg{background:var(--bar2)}
.chart{border-bottom:1px solid var(--line);margin-top:.3rem}.chart svg{width:100%;height:9rem;display:block}svg rect{fill:var(--bar)}svg line{stroke:var(--bar2);stroke-width:2;stroke-dasharray:4 4;vector-effect:non-scaling-stroke}.axis{display:flex;justify-content:space-between;color:var(--soft);font:.75rem/1.6 system-ui,sans-serif;font-variant-numeric:tabular-nums}
details summary{cursor:pointer;color:var(--accent)}.scroll{overflow-x:auto}.scroll .wide{min-width:38rem}footer{margin-top:3rem;color:var(--soft);font:.82rem/1.5 system-ui,sans-serif}
@media print{.figs{grid-template-columns:repeat(3,1fr)}:root{--bg:#fff;--ink:#000;--soft:#444;--line:#bbb;--card:#fff;--accent:#000;--bad:#7a1010;--good:#14502b;--bar:#3b6fb6;--bar2:#b9742a;--code:#f5f5f5}main{max-width:none;padding:0}body{font-size:10pt}h2,h3,th{break-after:avoid}thead{display:table-header-group}tr,.fig,pre{break-inside:avoid}tr:has(details){break-inside:auto}.scroll .wide{min-width:0}.meter,svg rect,pre,code{print-color-adjust:exact;-webkit-print-color-adjust:exact}details::details-content{content-visibility:visible;display:block}summary{list-style:none}@page{size:A4;margin:18mm 16mm}}
)";

// Days as bars, at most 366 of them. The bars stretch with the page, the words beside them do not.
std::string Timeline(const model::Campaign& c) {
  if (c.timeline.empty()) return "";
  std::string s;
  const size_t n = std::min<size_t>(c.timeline.size(), 366);
  uint64_t top = 1;
  for (size_t i = 0; i < n; ++i) top = std::max(top, c.timeline[i].exchanges);
  StrAppend(
      &s, "<div class=\"axis\"><span>exchanges per day, at most ", Grouped(top),
      "</span></div><div class=\"chart\"><svg viewBox=\"0 0 ", n,
      " 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Exchanges per day, at most ",
      Grouped(top), "\">");
  for (size_t i = 0; i < n; ++i) {
    const auto& day = c.timeline[i];
    const double h = 100 * static_cast<double>(day.exchanges) / static_cast<double>(top);
    StrAppend(&s, "<rect x=\"", Fixed(static_cast<double>(i) + .08, 2), "\" y=\"", Fixed(100 - h, 1),
              "\" width=\".84\" height=\"", Fixed(h, 1), "\"><title>", Html(day.day), ": ",
              Grouped(day.exchanges), " exchanges, ", Grouped(day.accounts), " accounts</title></rect>");
  }
  for (const auto& p : c.pivots) {
    const std::string day = base::FormatRfc3339(p.ts_ms).substr(0, 10);
    for (size_t i = 0; i < n; ++i) {
      if (c.timeline[i].day == day)
        StrAppend(&s, "<line x1=\"", i, "\" y1=\"0\" x2=\"", i, "\" y2=\"100\"/>");
    }
  }
  s += "</svg></div><div class=\"axis\">";
  StrAppend(&s, "<span>", Html(c.timeline[0].day), "</span>");
  if (n > 1) StrAppend(&s, "<span>", Html(c.timeline[n - 1].day), "</span>");
  return s + "</div>";
}

// "trace_extraction" -> "trace extraction".
std::string Words(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

std::string Minute(int64_t ms) { return base::FormatRfc3339(ms).replace(10, 1, " ").substr(0, 16); }

const char* Circumstance(Family f) {
  switch (f) {
    case Family::kRhythm:
    case Family::kText:
    case Family::kManner:
    case Family::kReplay:
      return "Volume, structure, pattern, coordination and timing";
    case Family::kPurpose:
      return "Concentration on specific capabilities";
    default:
      return "Several accounts used in a coordinated manner";
  }
}

}  // namespace

std::string RenderDossier(const model::Campaign& c) {
  std::string h;
  h.reserve(64 << 10);
  const std::string verdict = model::VerdictName(c.verdict);
  StrAppend(&h,
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
            "'unsafe-inline'; base-uri 'none'; form-action 'none'\">"
            "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta "
            "name=\"color-scheme\" content=\"light dark\">"
            "<title>Dossier ",
            Html(c.name), "</title><style>", std::string(kStyle), "</style></head><body><main>");
  StrAppend(&h, "<p class=\"over\">Stillwatch dossier &middot; ", Html(c.id), "</p><h1>", Html(c.name),
            "</h1>");
  StrAppend(&h, "<span class=\"badge ", verdict, "\">", verdict, "</span><span>",
            c.verdict == model::Verdict::kUnresolved ? "distillation: " : "",
            model::LikelihoodWords(c.probability), " (probability ",
            Fixed(std::floor(c.probability * 1000) / 1000, 3), ")</span>");
  StrAppend(&h, "<p class=\"lead\">", Html(c.summary), "</p><div class=\"figs\">");
  const auto fig = [&](const std::string& value, std::string_view label) {
    StrAppend(&h, "<div class=\"fig\"><b>", value, "</b><span>", label, "</span></div>");
  };
  const double days = std::max(1.0, static_cast<double>(c.last_seen_ms - c.first_seen_ms) /
                                        static_cast<double>(base::kMsPerDay));
  fig(Grouped(c.exchanges), "exchanges");
  fig(Grouped(c.accounts), "accounts");
  fig(Fixed(static_cast<double>(c.exchanges) / std::max<double>(1, static_cast<double>(c.accounts)) /
            days,
        1),
      "exchanges per account and day");
  fig(Grouped(c.input_tokens), "input tokens");
  fig(Grouped(c.output_tokens), "output tokens");
  fig(Fixed(days, days < 10 ? 1 : 0) + (days == 1 ? " day" : " days"),
      base::StrCat(Minute(c.first_seen_ms), "</span><span>to ", Minute(c.last_seen_ms), " UTC"));
  StrAppend(&h, "</div><h2>Timeline</h2>", Timeline(c));
  for (const auto& p : c.pivots)
    StrAppend(&h, "<p>", Minute(p.ts_ms), " UTC: ", Html(p.statement), ".</p>");

  h += "<h2>Evidence</h2><p>Each statement carries its weight in bits: how many times two it makes "
       "the finding likelier than its best "
       "rival, capped. Negative weights speak against it.</p>";
  for (const char* circumstance : {"Volume, structure, pattern, coordination and timing",
                                   "Concentration on specific capabilities",
                                   "Several accounts used in a coordinated manner"}) {
    bool any = false;
    for (const auto& e : c.evidence) {
      if (std::string_view(Circumstance(e.family)) != circumstance) continue;
      if (!any) {
        StrAppend(&h, "<h3>", circumstance,
                  "</h3><table><thead><tr><th>family</th><th "
                  "class=\"n\">bits</th><th>statement</th></tr></thead>");
        any = true;
      }
      StrAppend(&h, "<tr><td class=\"w\">", model::FamilyName(e.family), "<br><span class=\"meter",
                e.bits < 0 ? " neg" : "",
                "\" style=\"width:", Fixed(std::min(4.5, std::fabs(e.bits) * .32), 2),
                "rem\"></span></td><td class=\"n\">", Fixed(e.bits, 1), "</td><td>", Html(e.statement),
                "<br><span class=\"null\">Assumed otherwise: ", Html(e.null), "</span>");
      if (!e.query.empty())
        StrAppend(&h, "<details><summary>query</summary><pre>", Html(e.query), "</pre></details>");
      if (!e.exchanges.empty()) {
        StrAppend(&h, "<details><summary>", Grouped(e.exchanges.size()),
                  " exchanges that show it</summary><p>");
        for (const auto& id : e.exchanges) StrAppend(&h, "<code>", Html(id), "</code> ");
        h += "</p></details>";
      }
      h += "</td></tr>";
    }
    if (any) h += "</table>";
  }
  h += "<h3>Correlation with another model's development</h3><p>";
  h += c.pivots.empty() ? "No move to a newly released model was seen."
                        : "See the moves in the timeline: they corroborate and do not accuse.";
  h += "</p><h2>Rival explanations</h2><table><thead><tr><th>explanation</th><th "
       "class=\"n\">probability</th></tr></thead>";
  for (const auto& v : c.all) {
    if (v.probability < .0005) continue;
    StrAppend(&h, "<tr><td>", model::VerdictName(v.verdict), "</td><td class=\"n\">",
              Fixed(v.probability, 3), "</td></tr>");
  }
  StrAppend(&h, "</table><p>", Html(c.would_change), "</p>");

  const auto shares =
      [&](const char* title,
          const std::vector<std::pair<std::string, std::pair<double, std::string>>>& rows) {
        if (rows.empty()) return;
        StrAppend(&h, "<h2>", title, "</h2><table>");
        for (const auto& [name, v] : rows) {
          StrAppend(&h, "<tr><td>", Html(name),
                    "</td><td style=\"width:45%\"><span class=\"meter\" style=\"width:",
                    Fixed(v.first * 100, 1), "%\"></span></td><td class=\"n\">", v.second,
                    "</td></tr>");
        }
        h += "</table>";
      };
  std::vector<std::pair<std::string, std::pair<double, std::string>>> rows;
  for (const auto& [capability, share] : c.capabilities) {
    rows.push_back({Words(model::CapabilityName(capability)), {share, Fixed(share * 100, 1) + " %"}});
  }
  shares("Capabilities aimed at", rows);
  rows.clear();
  for (const auto& [name, n] : c.models) {
    rows.push_back(
        {name,
         {static_cast<double>(n) / std::max<double>(1, static_cast<double>(c.exchanges)), Grouped(n)}});
  }
  shares("Models", rows);

  const bool specimens = std::any_of(c.templates.begin(), c.templates.end(),
                                     [](const auto& t) { return !t.specimens.empty(); });
  StrAppend(&h,
            "<h2>Pools and templates</h2><p>A pool is a group of accounts that appears to be run "
            "by one operator; a template is a "
            "scaffold that recurs around changing payloads. ",
            specimens ? "Specimens of text were asked for and stand below."
                      : "Neither holds any text; specimens are kept only when asked for.",
            "</p><table><thead><tr><th>pool</th><th class=\"n\">accounts</th></tr></thead>");
  for (size_t i = 0; i < std::min<size_t>(c.pools.size(), 40); ++i) {
    StrAppend(&h, "<tr><td><code>", Html(c.pools[i].id), "</code></td><td class=\"n\">",
              Grouped(c.pools[i].accounts), "</td></tr>");
  }
  h += "</table>";
  if (!c.templates.empty()) {
    h += "<table><thead><tr><th>template</th><th class=\"n\">exchanges</th></tr></thead>";
    for (size_t i = 0; i < std::min<size_t>(c.templates.size(), 40); ++i) {
      StrAppend(&h, "<tr><td><code>", Html(c.templates[i].id), "</code></td><td class=\"n\">",
                Grouped(c.templates[i].exchanges), "</td></tr>");
      if (c.templates[i].specimens.empty()) continue;
      h += "<tr><td colspan=\"2\">";
      for (const auto& s : c.templates[i].specimens) {
        StrAppend(&h, "<span class=\"null\">", Html(s.exchange_id), "</span><pre>", Html(s.text),
                  "</pre>");
      }
      h += "</td></tr>";
    }
    h += "</table>";
  }
  if (!c.infrastructure.empty()) {
    h +=
        "<h2>Infrastructure</h2><p>Supporting only: real households share proxy addresses.</p><div "
        "class=\"scroll\"><table class=\"wide\"><thead><tr><th>class</th><th>network</th><th "
        "class=\"n\">addresses</th><th class=\"n\">exchanges</th></tr></thead>";
    for (const auto& i : c.infrastructure) {
      StrAppend(&h, "<tr><td>", Html(i.address_class), "</td><td>",
                i.asn ? base::StrCat("AS", i.asn, " ") : std::string(), Html(i.as_org),
                "</td><td class=\"n\">", Grouped(i.addresses), "</td><td class=\"n\">", Grouped(i.exchanges),
                "</td></tr>");
    }
    h += "</table></div>";
  }

  StrAppend(
      &h,
      "<h2>What is not known</h2><p>Who stands behind the accounts, beyond what is stated under "
      "attribution; what the answers were used for; transcripts bought elsewhere, which leave no "
      "query here.",
      specimens ? "" : " The wording of the requests is not kept.", "</p><h2>Attribution</h2>");
  if (c.attribution.empty()) h += "<p>None is stated.</p>";
  for (const auto& a : c.attribution) {
    StrAppend(&h, "<p>", Html(a.actor), ": ", model::LikelihoodWords(a.probability), " (",
              Fixed(a.probability, 2), "). Basis: ", Html(a.basis), "</p>");
  }
  StrAppend(
      &h,
      "<h2>Accounts</h2><p>An account is judged apart from its campaign; the owner of a stolen key "
      "or a relay's customer is not accused.",
      c.members.size() > kMembersShown
          ? base::StrCat(" The first ", kMembersShown, " of ", Grouped(c.members.size()),
                         "; all are in accounts.csv.")
          : std::string(),
      "</p><div class=\"scroll\"><table "
      "class=\"wide\"><thead><tr><th>account</th><th>verdict</th><th class=\"n\">prob.</th><th "
      "class=\"n\">attributed</th><th class=\"n\">of</th><th>why</th></tr></thead>");
  for (size_t i = 0; i < std::min(c.members.size(), kMembersShown); ++i) {
    const auto& m = c.members[i];
    // A short name stays in one piece, any other may break.
    StrAppend(&h, "<tr><td class=\"", m.account_id.size() <= 24 ? "w" : "any", "\"><code>",
              Html(m.account_id), "</code></td><td class=\"w\">", Html(m.verdict),
              "</td><td class=\"n\">", Fixed(m.probability, 2), "</td><td class=\"n\">",
              Grouped(m.attributed_exchanges), "</td><td class=\"n\">", Grouped(m.exchanges), "</td><td>",
              Html(m.why), "</td></tr>");
  }
  h += "</table></div><h2>Recompute each figure</h2><p>Every figure above comes from the kept "
       "lake. Run "
       "<code>stillwatch query --lake DIR/lake \"...\"</code> with:</p>";
  for (const auto& [figure, sql] : c.queries)
    StrAppend(&h, "<h3>", Html(figure), "</h3><pre>", Html(sql), "</pre>");
  h += "<footer>Written by Stillwatch 0.1.0. All attributions are allegations until adjudicated. "
       "Method: docs/DETECTION.md.</footer></main></body></html>\n";
  return h;
}

}  // namespace stillwatch::dossier
