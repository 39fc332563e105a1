// Any text in every field of a campaign: it adds no markup to the page.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "dossier/html.h"

namespace {

using namespace stillwatch;

std::string Page(const std::string& t) {
  model::Campaign c;
  c.id = c.name = c.would_change = c.summary = t;
  c.accounts = c.exchanges = 1;
  c.models[t] = 1;
  c.pools.push_back({t, 1});
  c.templates.push_back({t, 1, {{0, t, t}}, {}});
  for (const model::Family family :
       {model::Family::kRhythm, model::Family::kPurpose, model::Family::kNetwork}) {
    model::Evidence e{family, 1, t, t, t, {}, {}};
    e.exchanges.push_back(t);
    c.evidence.push_back(e);
  }
  c.attribution.push_back({t, t, .5});
  c.timeline.push_back({"2026-04-22", 1, 1, {{t, 1}}});
  c.pivots.push_back({0, t});
  c.infrastructure.push_back({t, t, 1, 1, 1});
  c.queries[t] = t;
  c.members.push_back({t, t, t, .5, 1, 1, t});
  const dossier::Figures figures{{{t, 1, 1, 1, 1, 1, 1}}, {{t, t}}};
  const dossier::Prices prices{t, {{t, {1, 1, 1}}}};
  const std::vector<dossier::Milestone> milestones{{"2026-04-22", t, t}};
  return dossier::RenderDossier(c, {.figures = &figures,
                                    .prices = &prices,
                                    .milestones = &milestones,
                                    .intervals = dossier::MembershipIntervals(c)});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string plain = Page("plain text");
  // What is empty is left out, with its markup.
  const std::string page = Page("x" + std::string(reinterpret_cast<const char*>(data), size));
  for (const char markup : {'<', '>', '"', '\''}) {
    if (std::count(page.begin(), page.end(), markup) !=
        std::count(plain.begin(), plain.end(), markup)) {
      std::abort();
    }
  }
  if (page.find('\0') != std::string::npos) std::abort();
  return 0;
}
