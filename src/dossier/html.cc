#include "dossier/html.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/embedded_file.h"
#include "base/str.h"
#include "base/text.h"
#include "base/time.h"
#include "base/version.h"
#include "model/words.h"

namespace stillwatch::dossier {

extern const base::EmbeddedFile kStyle[];

namespace {

using base::Fixed;
using base::Grouped;
using base::Html;
using base::Percent;
using base::StrAppend;
using base::StrCat;
using model::Campaign;
using model::Family;
using model::Verdict;

constexpr size_t kDaysShown = 366, kModelsShown = 4, kRowsShown = 40;

std::string Minute(int64_t ms) { return base::FormatRfc3339(ms).replace(10, 1, " ").substr(0, 16); }
std::string Day(int64_t ms) { return base::FormatRfc3339(ms).substr(0, 10); }
std::string Whole(double n) {
  return Grouped(static_cast<uint64_t>(std::llround(std::max(0.0, n))));
}
// A number that is uncertain is not printed with more digits than it has.
std::string Range(const Interval& i) { return StrCat(Whole(i.low), " to ", Whole(i.high)); }
bool Wide(const Interval& i) { return i.high - i.low >= .5; }

// The four circumstances from which purpose may be inferred (docs/DETECTION.md), in the bill's
// order.
enum Circumstance { kPattern, kConcentration, kCoordination, kElsewhere };
constexpr const char* kCircumstance[] = {
    "Volume, structure, pattern, coordination and timing", "Concentration on specific capabilities",
    "Several accounts used in a coordinated manner", "What others say of it"};
Circumstance Of(Family f) {
  switch (f) {
    case Family::kRhythm:
    case Family::kText:
    case Family::kManner:
    case Family::kReplay:
      return kPattern;
    case Family::kPurpose:
      return kConcentration;
    case Family::kShared:
      return kElsewhere;
    default:
      return kCoordination;
  }
}

// One dossier being written.
class Page {
 public:
  Page(const Campaign& c, const Context& x) : c_(c), x_(x) { h_.reserve(96 << 10); }

  std::string Render() {
    Head();
    Summary();
    Volume();
    Timeline();
    Capabilities();
    Methods();
    Evidence();
    Development();
    Rivals();
    Unknown();
    Attribution();
    Accounts();
    Recompute();
    Foot();
    return std::move(h_);
  }

 private:
  template <typename... Args>
  void Add(const Args&... args) {
    StrAppend(&h_, args...);
  }

  void Head() {
    Add("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
        "'unsafe-inline'; base-uri 'none'; form-action 'none'\">"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta "
        "name=\"color-scheme\" content=\"light dark\"><title>Dossier ",
        Html(c_.name), "</title><style>", kStyle[0].text, "@page{size:", x_.paper,
        "}</style></head><body><main>");
  }

  double Days() const {
    return std::max(1.0, static_cast<double>(c_.last_seen_ms - c_.first_seen_ms) /
                             static_cast<double>(base::kMsPerDay));
  }

  void Figure(const std::string& value, std::string_view label, const std::string& range = "") {
    // A number of ten characters and more would be cut at the card's edge.
    Add("<div class=\"fig\"><b", value.size() > 9 ? " class=\"long\">" : ">", value, "</b><span>",
        label, "</span>", range.empty() ? "" : "<span class=\"range\">" + range + "</span>",
        "</div>");
  }

  // One printed page for whoever reads no further.
  void Summary() {
    const std::string verdict = model::VerdictName(c_.verdict);
    Add("<section class=\"summary\"><p class=\"over\">Stillwatch dossier &middot; ", Html(c_.id),
        " &middot; <span class=\"mark\">", AudienceName(x_.audience), "</span></p><h1>",
        Html(c_.name), "</h1><span class=\"badge ", verdict, "\">", verdict, "</span><span>",
        c_.verdict == Verdict::kUnresolved ? "distillation: " : "",
        model::LikelihoodWords(c_.probability), " (probability ",
        Fixed(std::floor(c_.probability * 1000) / 1000, 3), ")</span><p class=\"lead\">",
        Html(c_.summary), "</p><div class=\"figs\">");
    const auto range = [](const Interval& i) { return Wide(i) ? Range(i) : std::string(); };
    Figure(Grouped(c_.exchanges), "exchanges", range(x_.intervals.exchanges));
    Figure(Grouped(c_.accounts), "accounts", range(x_.intervals.accounts));
    Figure(Fixed(static_cast<double>(c_.exchanges) /
                     std::max<double>(1, static_cast<double>(c_.accounts)) / Days(),
                 1),
           "exchanges per account and day");
    if (x_.figures != nullptr)
      Figure(Grouped(x_.figures->answered()), "training examples obtained");
    else
      Figure(Grouped(c_.input_tokens), "input tokens");
    Figure(Grouped(c_.output_tokens), "output tokens");
    Figure(Fixed(Days(), Days() < 10 ? 1 : 0) + (Days() == 1 ? " day" : " days"),
           StrCat(Minute(c_.first_seen_ms), "</span><span>to ", Minute(c_.last_seen_ms), " UTC"));
    Add("</div><h2>In short</h2><ul class=\"tight\">");
    if (!c_.capabilities.empty()) {
      Add("<li>Aimed at ");
      for (size_t i = 0; i < std::min<size_t>(3, c_.capabilities.size()); ++i) {
        if (i > 0 && c_.capabilities[i].second < .005) break;  // "0 %" tells nothing
        Add(i > 0 ? ", " : "", model::CapabilityWords(c_.capabilities[i].first), " (",
            Percent(c_.capabilities[i].second), ")");
      }
      Add(".</li>");
    }
    for (const Circumstance k : {kPattern, kConcentration, kCoordination, kElsewhere}) {
      if (k == kElsewhere && c_.imports.empty()) continue;
      if (const model::Evidence* e = Strongest(k)) Add("<li>", Html(e->statement), "</li>");
    }
    for (const auto& p : c_.pivots)
      Add("<li>", Minute(p.ts_ms), " UTC: ", Html(p.statement), ".</li>");
    Add("<li>Next likeliest explanation: ", model::VerdictName(c_.rival.verdict), " (probability ",
        Fixed(c_.rival.probability, 3), "). ", Html(c_.would_change), "</li></ul>");
    Add("<p class=\"null\">An allegation until adjudicated. Each statement below carries its "
        "weight, "
        "what was assumed otherwise and",
        Internal() ? " how to recompute it" : " what it rests on",
        "; who stands behind it is a separate question, at the end.</p></section>");
  }

  bool Internal() const { return x_.audience == Audience::kInternal; }

  const model::Evidence* Strongest(Circumstance k) const {
    const model::Evidence* best = nullptr;
    for (const auto& e : c_.evidence)
      if (Of(e.family) == k && e.bits > 0 && (best == nullptr || e.bits > best->bits)) best = &e;
    return best;
  }

  void Volume() {
    Add("<h2>How much</h2><table><thead><tr><th></th><th class=\"n\">attributed</th><th "
        "class=\"n\">95 % of what it may be</th></tr></thead>");
    const auto row = [&](const char* what, uint64_t n, const Interval& i) {
      Add("<tr><td>", what, "</td><td class=\"n\">", Grouped(n), "</td><td class=\"n\">", Range(i),
          "</td></tr>");
    };
    // Tokens and answers go with their exchanges.
    const auto scaled = [&](uint64_t n) {
      const double all = std::max<double>(1, static_cast<double>(c_.exchanges));
      return Interval{static_cast<double>(n) * x_.intervals.exchanges.low / all,
                      static_cast<double>(n) * std::min(1.0, x_.intervals.exchanges.high / all)};
    };
    row("exchanges", c_.exchanges, x_.intervals.exchanges);
    row("accounts", c_.accounts, x_.intervals.accounts);
    if (x_.figures != nullptr)
      row("training examples obtained (requests that were answered)", x_.figures->answered(),
          scaled(x_.figures->answered()));
    row("input tokens", c_.input_tokens, scaled(c_.input_tokens));
    row("output tokens", c_.output_tokens, scaled(c_.output_tokens));
    Add("</table><p class=\"null\">The interval says how sure the membership of each account is, "
        "given "
        "the verdict. Work that was not recognised is in neither column.</p>");
    if (x_.figures == nullptr) return;
    Add("<div class=\"scroll\"><table class=\"wide\"><thead><tr><th>model</th><th "
        "class=\"n\">exchanges</th><th "
        "class=\"n\">answered</th><th class=\"n\">input tokens</th><th class=\"n\">of them "
        "cached</th><th "
        "class=\"n\">output tokens</th><th class=\"n\">of them reasoning</th></tr></thead>");
    const auto number = [&](uint64_t n) { Add("<td class=\"n\">", Grouped(n), "</td>"); };
    for (const ModelUsage& u : x_.figures->usage) {
      Add("<tr><td>", Html(u.model.empty() ? "not logged" : u.model), "</td>");
      for (const uint64_t n : {u.exchanges, u.answered, u.input_tokens, u.cached_tokens,
                               u.output_tokens, u.reasoning_tokens})
        number(n);
      Add("</tr>");
    }
    Add("</table></div>");
    double worth = 0;
    if (x_.prices != nullptr && Internal()) {
      if (Worth(*x_.figures, *x_.prices, &worth))
        Add("<p>At the list prices given, these tokens cost ", Whole(worth), " ",
            Html(x_.prices->currency), ".</p>");
      else
        Add("<p>The price file has no price for every model above, so no worth is stated.</p>");
    }
  }

  // Days as bars, split by the models most used. The bars stretch with the page, the words do not.
  void Timeline() {
    if (c_.timeline.empty()) return;
    const size_t n = std::min(c_.timeline.size(), kDaysShown);
    uint64_t top = 1;
    for (size_t i = 0; i < n; ++i) top = std::max(top, c_.timeline[i].exchanges);
    std::vector<std::pair<uint64_t, std::string>> models;
    for (const auto& [name, count] : c_.models) models.push_back({count, name});
    std::sort(models.begin(), models.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    if (models.size() > kModelsShown) models.resize(kModelsShown);
    Add("<h2>When</h2><div class=\"axis key\"><span>exchanges per day, at most ", Grouped(top),
        "</span><span>");
    for (size_t m = 0; m < models.size(); ++m)
      Add("<i class=\"m", m, "\"></i>",
          Html(models[m].second.empty() ? "not logged" : models[m].second));
    Add("</span></div><div class=\"chart\"><svg viewBox=\"0 0 ", n,
        " 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Exchanges per day, at most ",
        Grouped(top), "\">");
    for (size_t i = 0; i < n; ++i) {
      const auto& day = c_.timeline[i];
      Add("<g><title>", Html(day.day), ": ", Grouped(day.exchanges), " exchanges, ",
          Grouped(day.accounts), " accounts</title>");
      double y = 100;
      uint64_t shown = 0;
      const auto bar = [&](size_t m, uint64_t count) {
        if (count == 0) return;
        const double height = 100 * static_cast<double>(count) / static_cast<double>(top);
        y -= height;
        Add("<rect class=\"m", m, "\" x=\"", Fixed(static_cast<double>(i) + .08, 2), "\" y=\"",
            Fixed(std::max(0.0, y), 1), "\" width=\".84\" height=\"", Fixed(height, 1), "\"/>");
      };
      for (size_t m = 0; m < models.size(); ++m) {
        const auto it = day.models.find(models[m].second);
        if (it == day.models.end()) continue;
        bar(m, it->second);
        shown += it->second;
      }
      bar(models.empty() ? 0 : kModelsShown - 1, day.exchanges - std::min(day.exchanges, shown));
      Add("</g>");
    }
    const auto line = [&](const std::string& at) {
      for (size_t i = 0; i < n; ++i)
        if (c_.timeline[i].day == at)
          Add("<line x1=\"", i, "\" y1=\"0\" x2=\"", i, "\" y2=\"100\"/>");
    };
    for (const auto& p : c_.pivots) line(Day(p.ts_ms));
    Add("</svg></div><div class=\"axis\"><span>", Html(c_.timeline[0].day), "</span>");
    if (n > 1) Add("<span>", Html(c_.timeline[n - 1].day), "</span>");
    Add("</div>");
    for (const auto& p : c_.pivots)
      Add("<p>", Minute(p.ts_ms), " UTC: ", Html(p.statement),
          ". Launch days move many customers: this "
          "corroborates and does not accuse.</p>");
  }

  void Capabilities() {
    if (c_.capabilities.empty()) return;
    Add("<h2>At which capabilities</h2><table>");
    for (const auto& [capability, share] : c_.capabilities) {
      if (share < .0005) continue;
      Add("<tr><td>", model::CapabilityWords(capability),
          "</td><td style=\"width:45%\"><span class=\"meter\" style=\"width:",
          Fixed(share * 100, 1), "%\"></span></td><td class=\"n\">", Fixed(share * 100, 1),
          " %</td></tr>");
    }
    Add("</table>");
  }

  void Methods() {
    const bool specimens = std::any_of(c_.templates.begin(), c_.templates.end(),
                                       [](const auto& t) { return !t.specimens.empty(); });
    Add("<h2>By which methods, through which infrastructure</h2><p>The work was dealt out in ",
        Grouped(c_.templates.size()), c_.templates.size() == 1 ? " template" : " templates",
        " (a scaffold that recurs around changing payloads) over ", Grouped(c_.pools.size()),
        c_.pools.size() == 1 ? " pool" : " pools",
        " of accounts that appear to be run by one operator. ",
        specimens ? "Specimens of text were asked for and stand below."
                  : "The wording is not kept.",
        "</p>");
    if (!c_.pools.empty()) {
      Add("<table><thead><tr><th>pool</th><th class=\"n\">accounts</th></tr></thead>");
      for (size_t i = 0; i < std::min(c_.pools.size(), kRowsShown); ++i)
        Add("<tr><td><code>", Html(c_.pools[i].id), "</code></td><td class=\"n\">",
            Grouped(c_.pools[i].accounts), "</td></tr>");
      Add("</table>");
    }
    if (!c_.templates.empty()) {
      Add("<table><thead><tr><th>template</th><th class=\"n\">exchanges</th></tr></thead>");
      for (size_t i = 0; i < std::min(c_.templates.size(), kRowsShown); ++i) {
        const auto& t = c_.templates[i];
        Add("<tr><td><code>", Html(t.id), "</code></td><td class=\"n\">", Grouped(t.exchanges),
            "</td></tr>");
        if (t.specimens.empty()) continue;
        Add("<tr><td colspan=\"2\">");
        for (const auto& s : t.specimens)
          Add("<span class=\"null\">", Html(s.exchange_id), "</span><pre>", Html(s.text), "</pre>");
        Add("</td></tr>");
      }
      Add("</table>");
    }
    if (c_.infrastructure.empty()) return;
    Add("<p>Addresses support and do not accuse: real households share those of proxies.</p><div "
        "class=\"scroll\"><table class=\"wide\"><thead><tr><th>class</th><th>network</th><th "
        "class=\"n\">addresses</th><th class=\"n\">exchanges</th></tr></thead>");
    for (const auto& i : c_.infrastructure)
      Add("<tr><td>", Html(i.address_class), "</td><td>",
          i.asn ? StrCat("AS", i.asn, " ") : std::string(), Html(i.as_org), "</td><td class=\"n\">",
          Grouped(i.addresses), "</td><td class=\"n\">", Grouped(i.exchanges), "</td></tr>");
    Add("</table></div>");
  }

  void Evidence() {
    Add("<h2>Evidence</h2><p>By the circumstances from which purpose may be inferred (H.R. 8283 "
        "&sect;3(11)(B), as introduced). The weight of a statement is in bits: how many times two "
        "it makes "
        "the finding likelier than its best rival, capped. Negative weights speak against it.</p>");
    for (const Circumstance k : {kPattern, kConcentration, kCoordination}) {
      Add("<h3>", kCircumstance[k], "</h3>");
      bool any = false;
      for (const auto& e : c_.evidence) {
        if (Of(e.family) != k) continue;
        if (!any)
          Add("<table><thead><tr><th>family</th><th "
              "class=\"n\">bits</th><th>statement</th></tr></thead>");
        any = true;
        Add("<tr><td class=\"w\">", model::FamilyName(e.family), "<br><span class=\"meter",
            e.bits < 0 ? " neg" : "",
            "\" style=\"width:", Fixed(std::min(4.5, std::fabs(e.bits) * .32), 2),
            "rem\"></span></td><td class=\"n\">", Fixed(e.bits, 1), "</td><td>", Html(e.statement),
            "<br><span class=\"null\">Assumed otherwise: ", Html(e.null), "</span>");
        if (!e.query.empty())
          Add("<details><summary>query</summary><pre>", Html(e.query), "</pre></details>");
        if (!e.exchanges.empty()) {
          Add("<details><summary>", Grouped(e.exchanges.size()),
              " exchanges that show it</summary><p>");
          for (const auto& id : e.exchanges) Add("<code>", Html(id), "</code> ");
          Add("</p></details>");
        }
        Add("</td></tr>");
      }
      Add(any ? "</table>" : "<p>Nothing was measured here.</p>");
    }
  }

  // The fourth circumstance. What happened when is put side by side; nothing is weighed.
  void Development() {
    Add("<h3>Correlation with another model's development timeline</h3>");
    if (x_.milestones == nullptr || x_.milestones->empty()) {
      Add("<p>No such timeline was supplied.</p>");
      return;
    }
    const double all = std::max<double>(1, static_cast<double>(c_.exchanges));
    Add("<table><thead><tr><th>date</th><th>event</th><th class=\"n\">of the campaign before "
        "it</th><th "
        "class=\"n\">in the 30 days before it</th></tr></thead>");
    for (const Milestone& m : *x_.milestones) {
      const int64_t at = base::ParseRfc3339(m.date + "T00:00:00Z").value_or(0);
      const std::string month = Day(at - 30 * base::kMsPerDay);
      uint64_t before = 0, near = 0;
      for (const auto& d : c_.timeline) {
        if (d.day >= m.date) continue;
        before += d.exchanges;
        if (d.day >= month) near += d.exchanges;
      }
      Add("<tr><td class=\"w\">", Html(m.date), "</td><td>", Html(m.event),
          "<br><span class=\"null\">Source: ", Html(m.source), "</span></td><td class=\"n\">",
          Percent(static_cast<double>(before) / all), "</td><td class=\"n\">",
          Percent(static_cast<double>(near) / all), "</td></tr>");
    }
    Add("</table><p class=\"null\">Put side by side as supplied; no weight is drawn from it.</p>");
  }

  // Why another explanation is less likely: the strongest statements that it does not account for.
  void Rivals() {
    Add("<h2>Rival explanations</h2><table><thead><tr><th>explanation</th><th "
        "class=\"n\">probability</th><th>what it leaves unexplained</th></tr></thead>");
    for (const auto& v : c_.all) {
      if (v.probability < .0005) continue;
      Add("<tr><td class=\"w\">", model::VerdictName(v.verdict), "</td><td class=\"n\">",
          Fixed(v.probability, 3), "</td><td>",
          v.verdict == c_.verdict ? std::string() : LeavesUnexplained(v.verdict), "</td></tr>");
    }
    Add("</table><p>", Html(c_.would_change), "</p>");
  }

  std::string LeavesUnexplained(Verdict rival) const {
    if (rival == Verdict::kUnresolved) return "";
    if (rival == Verdict::kPermitted)
      return "No permit on file covers these accounts, models and dates.";
    if (c_.verdict != Verdict::kDistillation) return "";
    // Who shares a tool, an exercise or a contract shares the text, not the purse or the queue; who
    // is one customer shares those and has nothing to hide or to train.
    const bool together = rival == Verdict::kCoordinatedOther;
    const model::Evidence* first = nullptr;
    for (const auto& e : c_.evidence) {
      if (e.bits <= 0 || e.family == Family::kText || e.family == Family::kManner ||
          e.family == Family::kShared)
        continue;
      if ((e.family == Family::kPurpose) == together && (first == nullptr || e.bits > first->bits))
        first = &e;
    }
    return first == nullptr ? "" : Html(first->statement);
  }

  void Unknown() {
    Add("<h2>What is not known</h2><ul class=\"tight\"><li>Who stands behind the accounts, beyond "
        "what is "
        "stated under attribution.</li><li>What the answers were used for.</li><li>Transcripts "
        "bought "
        "elsewhere, which leave no request here.</li><li>Work of the same operator that was not "
        "recognised as such.</li>");
    if (std::none_of(c_.templates.begin(), c_.templates.end(),
                     [](const auto& t) { return !t.specimens.empty(); }))
      Add("<li>The wording of the requests, of which only hashes were kept.</li>");
    Add("</ul>");
  }

  void Attribution() {
    Add("<h2>Attribution</h2><p>Kept apart from the findings: the evidence above says that the "
        "work is "
        "coordinated and what it aims at, not whose it is.</p>");
    if (x_.audience == Audience::kPublic)
      Add("<p>Not part of a public dossier.</p>");
    else if (c_.attribution.empty())
      Add("<p>None is stated.</p>");
    for (const auto& a : c_.attribution)
      Add("<p>", Html(a.actor), ": ", model::LikelihoodWords(a.probability), " (",
          Fixed(a.probability, 2), "). Basis: ", Html(a.basis), "</p>");
  }

  void Accounts() {
    if (c_.members.empty()) return;
    std::map<std::string, uint64_t> verdicts;
    for (const auto& m : c_.members) ++verdicts[m.verdict];
    Add("<h2>Accounts</h2><p>An account is judged apart from its campaign; the owner of a stolen "
        "key or a "
        "relay's customer is not accused.");
    for (const auto& [verdict, n] : verdicts) Add(" ", Html(verdict), ": ", Grouped(n), ".");
    if (c_.members.size() > kMembersShown)
      Add(" The first ", kMembersShown, " of ", Grouped(c_.members.size()),
          "; all are in accounts.csv.");
    Add("</p><div class=\"scroll\"><table "
        "class=\"wide\"><thead><tr><th>account</th><th>verdict</th><th "
        "class=\"n\">prob.</th><th class=\"n\">attributed</th><th "
        "class=\"n\">of</th><th>why</th></tr></thead>");
    for (size_t i = 0; i < std::min(c_.members.size(), kMembersShown); ++i) {
      const auto& m = c_.members[i];
      // A short name stays in one piece, any other may break.
      Add("<tr><td class=\"", m.account_id.size() <= 24 ? "w" : "any", "\"><code>",
          Html(m.account_id), "</code></td><td class=\"w\">", Html(m.verdict),
          "</td><td class=\"n\">", Fixed(m.probability, 2), "</td><td class=\"n\">",
          Grouped(m.attributed_exchanges), "</td><td class=\"n\">", Grouped(m.exchanges),
          "</td><td>", Html(m.why), "</td></tr>");
    }
    Add("</table></div>");
  }

  void Recompute() {
    Add("<h2>Method and version</h2><p>Written by Stillwatch ", base::kVersion,
        " by the method of "
        "docs/DETECTION.md: candidates form on one half of the evidence and are judged on the "
        "other, "
        "against look-alikes as rival explanations, with the error over all candidates "
        "controlled.</p>");
    if (!c_.queries.empty() || x_.figures != nullptr) {
      Add("<h2>Recompute each figure</h2><p>Every figure above comes from the kept lake. Run "
          "<code>stillwatch "
          "query --lake DIR/lake \"...\"</code> with:</p>");
      auto queries = c_.queries;
      if (x_.figures != nullptr && Internal())
        queries.insert(x_.figures->queries.begin(), x_.figures->queries.end());
      for (const auto& [figure, sql] : queries)
        Add("<h3>", Html(figure), "</h3><pre>", Html(sql), "</pre>");
    }
  }

  void Foot() {
    Add("<footer>");
    if (!Internal()) {
      Add("<p>Written for the audience &ldquo;", AudienceName(x_.audience), "&rdquo;. Left out: ");
      bool first = true;
      for (const Redaction& r : x_.redactions) {
        if (r.leaves || r.count == 0) continue;
        Add(first ? "" : ", ", r.what);
        first = false;
      }
      Add(first ? "nothing" : "", ".</p>");
    }
    Add("All attributions are allegations until adjudicated.</footer></main></body></html>\n");
  }

  const Campaign& c_;
  const Context& x_;
  std::string h_;
};

}  // namespace

std::string RenderDossier(const Campaign& campaign, const Context& context) {
  return Page(campaign, context).Render();
}

}  // namespace stillwatch::dossier
